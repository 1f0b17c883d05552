"""One renewal in flight and who waits for it: threads, asyncio tasks of any loop, trio tasks.

Nothing here blocks and nothing here locks: a driver registers how it wants to be woken, the
source says when. Changing a dict and setting a flag are atomic in CPython, and `add` looks at
the flag after it registered, so no waiter is lost, and one woken twice does not mind.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar

from .errors import Failure

#: The flights that this context leads. What runs inside one (a hook, a callable secret, a store
#: over HTTP) sees them; one that is over counts for nothing.
led_here: ContextVar[tuple[Flight, ...]] = ContextVar("monta_auth_led_here", default=())


class Superseded(Exception):
    """The flight was taken from this leader: whatever it brings home is not wanted any more."""


class Flight:
    """A renewal under way; or one that a waiting caller would lead, if it were its turn.

    Attributes:
        leader: ident of the thread in which the leader runs.
        limit: seconds that the leader has for a token call, as far as its adapter knows.
        reason: why a renewal is due, in one word for the log.
        after_refusal: whether it is due because the API refused the held token.
        touched: when the leader last showed a sign of life, on the monotonic clock.
        refreshing: the refresh token that is on the wire, or None. If the flight ends
            while it is, nobody knows whether the token still works.
        is_minting: whether a call with the credentials is on the wire.
        lost: token calls whose broken connection ended their leader's request.
        waiting: the flights of those who wait for this one, in the order in which they came.
        successor: the flight that took its place, if it ended without an outcome.
        failure: a template of what went wrong (raise a copy), once the flight failed.
        over: whether the flight has ended, in whichever way.
        wakers: what wakes those who wait.
        blocks: whether its leader blocks a thread while it waits.
        is_inner: whether it is led from inside another one, by a hook for instance.
    """

    def __init__(self, leader: int, now: float, limit: float = float("inf")) -> None:
        self.leader = leader
        self.limit = limit
        self.touched = now
        self.reason = "start"
        self.after_refusal = False
        self.refreshing: str | None = None
        self.is_minting = False
        self.lost = 0
        self.waiting: dict[Flight, None] = {}
        self.successor: Flight | None = None
        self.failure: Failure | None = None
        self.over = False
        self.is_inner = self.blocks = False
        self.wakers: dict[Callable[[], object], None] = {}

    def pass_on(self, now: float) -> Flight | None:
        """Return the flight of whoever leads next, if anybody waits.

        That is the waiting caller with the longest limit and, among equals, the first.
        """
        heir = max(self.waiting, key=lambda other: other.limit, default=None)
        if heir is not None:
            heir.touched = now
            heir.reason, heir.after_refusal = self.reason, self.after_refusal
            self.hand_over(heir)
        return heir

    def hand_over(self, heir: Flight) -> None:
        """Make another flight the successor of this one, with all who wait."""
        heir.lost = self.lost
        heir.waiting = {other: None for other in self.waiting if other is not heir}
        self.successor = heir

    def heir(self) -> Flight:
        """Return the last one of those that took its place, or itself."""
        flight = self
        while flight.successor is not None:
            flight = flight.successor
        return flight

    def add(self, wake: Callable[[], object]) -> bool:
        """Have `wake` called, from any thread, when the flight ends; False if it has ended."""
        self.wakers[wake] = None
        return not self.over

    def remove(self, wake: Callable[[], object]) -> None:
        """Forget this waker: its waiter has left."""
        self.wakers.pop(wake, None)

    def end(self, failure: Failure | None = None) -> None:
        """Mark the flight as over; `wake` those who wait once the source's mutex is given back."""
        if not self.over:
            self.failure = failure
            self.over = True

    def wake(self) -> None:
        """Wake everybody who waits; harmless when done twice."""
        while self.wakers:
            for wake in list(self.wakers):
                with suppress(Exception):  # One waiter that is gone must not cost the others.
                    wake()
                self.remove(wake)
