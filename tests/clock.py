"""Time that stands still until a test advances it."""

from __future__ import annotations

from monta_auth import Clock

START = 1_754_472_037.25
"""2025-08-06T09:20:37.25Z, in Unix seconds."""


class Now:
    """A clock that a test advances; for a source, a store and a server."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> Clock:
        return Clock(monotonic=self, wall=self, random=lambda: 0.0)
