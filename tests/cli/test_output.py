"""Text for lengths of time."""

from __future__ import annotations

import pytest

from monta_auth._cli.output import duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0 seconds"),
        (1.2, "1 second"),
        (59.0, "59 seconds"),
        (119.0, "119 seconds"),
        (119.9, "2 minutes"),
        (3599.6, "60 minutes"),
        (7199.0, "120 minutes"),
        (7200.0, "2 hours"),
        (2 * 86400.0 - 1, "48 hours"),
        (30 * 86400.0 - 0.4, "30 days"),
    ],
)
def test_a_length_of_time_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
