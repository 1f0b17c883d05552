"""One renewal and the callers that wait for it: threads, asyncio tasks of any loop, trio tasks.

Nothing here blocks or takes a lock: a driver registers how to wake its caller, and the source
decides when. In CPython, changing a dict and setting a flag are atomic, and `add` checks the flag
after it registers. So no waiting caller is lost, and waking one twice does no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar

from .errors import Failure

#: The flights that this context leads. Code that runs inside one (a hook, a callable secret, a
#: store over HTTP) sees them. Flights that are over do not count.
led_here: ContextVar[tuple[Flight, ...]] = ContextVar("monta_auth_led_here", default=())


class Superseded(Exception):
    """Another caller took over this leader's flight, so its result is no longer needed."""


class Flight:
    """A renewal in progress, or one that a waiting caller would lead if it were its turn.

    Attributes:
        leader: ident of the thread in which the leader runs.
        limit: seconds that the leader has for a token call, as far as its adapter knows.
        reason: why a renewal is due, in one word for the log.
        after_refusal: whether it is due because the API refused the current token.
        touched: when the leader last showed that it is still at work, on the monotonic clock.
        refreshing: the refresh token that is being sent, or None. If the flight ends meanwhile,
            it is unknown whether the token still works.
        is_minting: whether a call with the credentials is in progress.
        lost: number of token calls with a broken connection that ended the leader's request.
        waiting: the flights of the callers that wait for this one, in order of arrival.
        successor: the flight that replaced it, if it ended without an outcome.
        failure: a template of the failure (raise a copy), if the flight failed.
        over: whether the flight has ended, for any reason.
        wakers: the functions that wake the waiting callers.
        blocks: whether its leader blocks a thread while it waits.
        is_inner: whether it is led from inside another flight, for example by a hook.
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
        """Hand over to the caller that leads next, and return its flight; None if no caller waits.

        That is the waiting caller with the longest limit and, among equals, the first.
        """
        heir = max(self.waiting, key=lambda other: other.limit, default=None)
        if heir is not None:
            heir.touched = now
            heir.reason, heir.after_refusal = self.reason, self.after_refusal
            self.hand_over(heir)
        return heir

    def hand_over(self, heir: Flight) -> None:
        """Make another flight the successor of this one, with all waiting callers."""
        heir.lost = self.lost
        heir.waiting = {other: None for other in self.waiting if other is not heir}
        self.successor = heir

    def heir(self) -> Flight:
        """Return the last of its successors, or itself if it has none."""
        flight = self
        while flight.successor is not None:
            flight = flight.successor
        return flight

    def add(self, wake: Callable[[], object]) -> bool:
        """Register a function that wakes a caller, in any thread, when the flight ends.

        Return False if it has ended already.
        """
        self.wakers[wake] = None
        return not self.over

    def remove(self, wake: Callable[[], object]) -> None:
        """Remove this waker, because its caller has left."""
        self.wakers.pop(wake, None)

    def end(self, failure: Failure | None = None) -> None:
        """Mark the flight as over. Call `wake` after the source's mutex is released."""
        if not self.over:
            self.failure = failure
            self.over = True

    def wake(self) -> None:
        """Wake all waiting callers. A second call does no harm."""
        while self.wakers:
            for wake in list(self.wakers):
                with suppress(Exception):  # A caller that has left must not affect others.
                    wake()
                self.remove(wake)
