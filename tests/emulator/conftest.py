"""An emulator under a clock to turn by hand."""

from collections.abc import Iterator

import pytest

from monta_auth.emulator import Emulator

from ..clock import Now


@pytest.fixture
def monta(now: Now) -> Iterator[Emulator]:
    with Emulator(time=now) as emulator:
        yield emulator
