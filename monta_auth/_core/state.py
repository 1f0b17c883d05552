"""What a token source knows, and what it decides from that.

One mutex guards it, held briefly and never during an effect. It is re-entrant, because a finalizer
or a signal handler may run at any point. Waiting callers are woken after the mutex is released,
because waking runs foreign code.
"""

from __future__ import annotations

import copy
import threading
from contextlib import AbstractContextManager
from typing import Literal

from .errors import ConfigurationError, Failure, TransportFailure, remembered
from .flight import Flight
from .held_pair import Dropped, HeldPair, Phase
from .policy import LEADER_LEASE, POOL_PATIENCE, Clock, RefreshPolicy
from .refusals import Failures, Refusal, Refusals
from .token_calls import Kind
from .tokens import without_refresh_token

Counted = Kind | Literal["failure"]
Verdict = HeldPair | Flight | Failure


class State:
    """The held pair, the flight, and remembered failures and refusals.

    Attributes:
        held: the pair, even if it is no longer usable.
        refusals: what renewals remember of refusals.
        failures: what renewals remember of the last failures.
    """

    def __init__(self, policy: RefreshPolicy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._mutex = threading.RLock()
        self._flight: Flight | None = None
        self.held: HeldPair | None = None
        self.refusals = Refusals(policy.cooldown)
        self.failures = Failures(policy.pause)
        # Whether a caller took over since the last new pair or failure.
        self._has_taken_over = False
        self.last_renewal: float | None = None
        self.counts: dict[Counted, int] = {"mint": 0, "refresh": 0, "failure": 0}

    # --- what a caller does

    def decide(
        self,
        now: float,
        mine: Flight,
        joined: Flight | None,
        is_probe: bool = False,
    ) -> Verdict:
        """Decide what a caller does next.

        Args:
            mine: the flight that it would lead.
            joined: the flight that it led or waited for just before, if any.

        Returns:
            The pair to use, `mine` (to lead it), another flight (to wait for it), or the
            template of a failure (to raise a copy).
        """
        ended: Flight | None = None
        with self._mutex:
            if joined is not None:
                joined.waiting.pop(mine, None)
            held, flight = self.held, self._flight
            if flight is mine:
                mine.touched = now  # it was handed over to this caller
                return mine
            phase = Phase.DEAD if held is None else held.phase(now, is_probe=is_probe)
            if flight is not None:
                is_silent = now - flight.touched >= self.patience(mine, flight)
                # Its leader runs in this same thread and could not continue while we wait here.
                is_below = mine.is_inner or (mine.blocks and flight.leader == mine.leader)
                if is_silent or (is_below and phase in (Phase.MANDATORY, Phase.DEAD)):
                    ended = flight
                    self._has_taken_over |= is_silent
                    self._retire(flight, now)
                    flight.hand_over(mine)
            verdict = self._verdict(now, phase, joined) or mine
            if verdict is mine:
                mine.touched = now
                if held is not None:
                    mine.after_refusal = held.dropped is Dropped.REFUSED
                    mine.reason = (held.dropped or phase).value
                self._flight = mine
            elif isinstance(verdict, Flight):
                verdict.waiting[mine] = None
        if ended is not None:
            ended.wake()
        return verdict

    def _verdict(self, now: float, phase: Phase, joined: Flight | None) -> Verdict | None:
        """Return what `decide` returns; None means to lead."""
        held, flight = self.held, self._flight
        if held is None or phase is Phase.DEAD:
            failure = joined.heir().failure if joined is not None else None
            if failure is not None:
                return failure
            last, until = self.failures.last, self.failures.until
            if flight is None and last is not None and now < until:
                return remembered(last, self._clock.wall(), now - self.failures.since, until - now)
            return flight
        if phase is Phase.MANDATORY:
            return held if flight is None and now < self.failures.rest_until else flight
        is_due = phase is Phase.ADVISORY and flight is None and now >= self.failures.pause_until
        return None if is_due else held

    def outer(self, led_here: tuple[Flight, ...]) -> Flight | None:
        """Return the current flight if the caller's own context leads it."""
        flight = self._flight if self._flight in led_here else None
        if flight is not None and flight.is_inner:
            raise ConfigurationError(
                "a hook, callable or store makes requests with the auth that it belongs to, which "
                "calls it again: let it use a client without this auth"
            )
        return flight

    def late(self, joined: Flight) -> Failure:
        """Return the failure for a caller that has no time left."""
        failure = joined.heir().failure
        if failure is not None:
            return copy.copy(failure)
        return TransportFailure(
            f"no token within {self._policy.deadline:g} s: a renewal is under way, but it did not "
            "end in time",
            "timeout",
            sent=False,
        )

    def patience(self, mine: Flight, flight: Flight) -> float:
        """Return after how many seconds of silence this caller takes over from that leader."""
        if self._has_taken_over:
            return LEADER_LEASE
        half = self._policy.deadline / 2
        # The leader may need a thread of a pool in which all threads wait for the leader.
        return min(half, POOL_PATIENCE) if mine.blocks and not flight.blocks else half

    def usable(self, now: float) -> HeldPair | None:
        """Return the held pair if its access token is still usable."""
        held = self.held
        return held if held is not None and held.phase(now) is not Phase.DEAD else None

    # --- how a flight ends

    def wants(self, flight: Flight) -> bool:
        """Return whether a pair from this flight is still needed: no successor has got one yet."""
        return self._flight is flight.heir()

    def install(self, flight: Flight, held: HeldPair, kind: Kind | None) -> bool:
        """Hold a new pair and wake all waiting callers; return False if it is no longer needed.

        Args:
            kind: the kind of the token call that got it; None if it was adopted from a store.
        """
        now = self._clock.monotonic()
        with self._mutex:
            heir = flight.heir() if flight.over else flight
            if self._flight is not heir:
                return False
            self._flight = None
            self._has_taken_over = False
            self.held = held
            if held.header in self.refusals.headers:
                self.refusals.strike()
            self.failures.clear()
            if held.phase(now) is not Phase.FRESH:
                self.failures.rest(now)
            if kind is not None:
                self.counts[kind] += 1
            self.last_renewal = self._clock.wall()
            flight.refreshing = None
            flight.end()
            heir.end()
        flight.wake()
        heir.wake()
        return True

    def fail(
        self,
        flight: Flight,
        failure: Failure,
        held: HeldPair | None,
        refusal: Refusal | None = None,
        until: float = 0.0,
    ) -> None:
        """End a flight without a new pair, and remember why.

        Args:
            held: the pair that the renewal started from, possibly read from a store.
            refusal: the refusal of the credentials, if that is the cause.
            until: no renewal can succeed before this time, on the monotonic clock.
        """
        now, since, shown = self._clock.monotonic(), None, failure
        if refusal is not None and not refusal.is_new:
            since, left = refusal.since, refusal.until - now
            shown = remembered(failure, self._clock.wall(), now - since, left)
        with self._mutex:
            if self._flight is flight:
                self._retire(flight, now, shown)
                self._has_taken_over = False
                self.held = self.held if held is None else held
                self.counts["failure"] += since is None
                lives, luck = self.usable(now) is not None, self._clock.random()
                self.failures.add(failure, now, luck, lives=lives, since=since, until=until)
        flight.wake()

    def leave(self, mine: Flight, *, with_all: bool = False) -> None:
        """Let a caller stop leading or waiting. If it led, a waiting caller leads next.

        Args:
            with_all: no caller leads next, and all use the current token until a pause is over.
        """
        now = self._clock.monotonic()
        with self._mutex:
            if self._flight is mine:
                self._retire(mine, now)
                if mine.is_minting and self.usable(now) is None:
                    self.failures.abandon_mint(now)
                heir = None if with_all else mine.pass_on(now)
                # The garbage collector may have run in between and closed the heir's flow.
                self._flight = None if heir is None or heir.over else heir
                if self._flight is None:
                    self.failures.rest(now)
            elif self._flight is not None:
                self._flight.waiting.pop(mine, None)
            mine.end()  # An interrupt may have stopped its end halfway.
        mine.wake()

    def _retire(self, flight: Flight, now: float, failure: Failure | None = None) -> None:
        self._flight = None
        flight.end(failure)
        self.failures.pause(now)
        if flight.refreshing is not None:
            self.refusals.spent_refresh_tokens.add(flight.refreshing)
            # Contexts and frames may keep the flight, so leave no token in it.
            flight.refreshing = ""

    def held_still(self) -> AbstractContextManager[object]:
        """Return a context manager during which this state does not change."""
        return self._mutex

    # --- refusals

    def refuse(self, header: str) -> tuple[bool, float]:
        """Judge a 401 of the API to this header; return what `Refusals.judge` returns."""
        with self._mutex:
            return self.refusals.judge(self.held, header, self._clock.monotonic())

    def invalidate(self) -> HeldPair | None:
        """Drop the access token; return the held pair that it belongs to."""
        with self._mutex:
            held = self.held
            if held is not None and held.dropped is None:
                held.drop(Dropped.INVALIDATED)
            return held

    def forget(self) -> None:
        """Drop the pair, and remembered failures and refusals."""
        now = self._clock.monotonic()
        with self._mutex:
            ended = self._flight
            if ended is not None:
                self._retire(ended, now)
            self.invalidate()
            self.held = None
            self.failures.clear()
            self.refusals.credentials.clear()
            self.refusals.headers.clear()
        if ended is not None:
            ended.wake()

    def start_over_in_child(self, jitter: float) -> None:
        """Start over in a forked child, without the parent's threads and refresh token.

        The child has its own jitter, so that forked workers do not renew at the same moment.
        """
        self._mutex = threading.RLock()
        self._flight = None
        held = self.held
        if held is not None:
            if held.pair.refresh_token is not None:
                held.pair = without_refresh_token(held.pair)
            if held.dropped is None:
                held.spread(self._policy, jitter)
