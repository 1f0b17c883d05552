"""docs/libraries/authlib.rst: the examples run."""

from __future__ import annotations

import pytest

from ..docs.pages import Example, called_by, parameters


@pytest.mark.parametrize("shown", parameters("libraries/authlib.rst"))
def test_the_example_runs_with_one_token(shown: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = called_by(shown, monkeypatch)

    assert paths.count("/auth/token") == 1
    assert {*paths} == {"/auth/token", "/charge-points"}
