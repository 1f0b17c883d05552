"""A clock to turn by hand, and emulators that use it."""

from collections.abc import Iterator

import pytest

from monta_auth.emulator import Emulator

START = 1_754_472_037.25
"""2025-08-06T09:20:37.25Z, in Unix seconds."""


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def monta(clock: Clock) -> Iterator[Emulator]:
    with Emulator(time=clock) as emulator:
        yield emulator
