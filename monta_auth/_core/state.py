"""What a source knows, and what it decides by it.

One short mutex guards it, never held over an effect. It is re-entrant: a finaliser or a signal
handler may come in anywhere. Who waits for a flight that ends here is woken after the mutex is
given back, since waking runs foreign code.
"""

from __future__ import annotations

import threading

from .errors import Failure
from .flight import Flight
from .held_pair import NOTHING, Held, Nothing, Phase
from .policy import (
    FAILURE_ASKED,
    FAILURE_FIRST,
    FAILURE_LONGEST,
    LONGEST_COOLDOWN,
    Clock,
    RefreshPolicy,
    backoff,
)
from .refusals import Memory

_NEVER = float("-inf")

Verdict = Held | Flight | Failure


class State:
    """The held pair, the flight, and what is remembered of failures and refusals.

    Attributes:
        held: the pair, also when it is used up.
        ready: the same for the hot path, or `NOTHING`; see `Held.advisory_at`.
        memory: what renewals remember among themselves.
        failure: a template of the last failure (raise a copy), None after a success.
    """

    def __init__(self, policy: RefreshPolicy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._mutex = threading.RLock()
        self._flight: Flight | None = None
        self.held: Held | None = None
        self.ready: Held | Nothing = NOTHING
        self.memory = Memory()
        self.failure: Failure | None = None
        self.failures_in_a_row = 0
        # Until when a failure is handed out again; until when nobody renews early (advisory);
        # until when nobody renews although all would wait (mandatory).
        self._failure_until = _NEVER
        self._pause_until = _NEVER
        self._rest_until = _NEVER
        self._strikes = 0
        self._cooldown = 0.0
        self._cooldown_until = _NEVER
        self.last_renewal: float | None = None
        self.counts = {"mint": 0, "refresh": 0, "stored": 0, "failure": 0, "refusal": 0}

    # --- what a caller does

    def decide(self, now: float, mine: Flight, joined: Flight | None, blocking: bool) -> Verdict:
        """Decide what a caller does.

        Args:
            mine: the flight that it would lead.
            joined: the flight that it led or waited for just before, if any.
            blocking: whether it would block its thread while it waits.

        Returns:
            The pair to use, `mine` (to lead it), another flight (to wait for it), or the
            template of a failure.
        """
        ended: Flight | None = None
        with self._mutex:
            phase = self.phase(now)
            flight = self._flight
            if flight is not None and (
                flight.lease_is_over(now)
                # Its leader runs in this very thread and could not go on while we wait here.
                or (blocking and flight.leader == mine.leader and phase in _MUST_RENEW)
            ):
                ended = flight
                self._retire(flight, now)
            verdict = self._verdict(now, phase, joined) or mine
            if verdict is mine:
                held = self.held
                mine.reason = (held.refused_by if held else "start") or phase.name.lower()
                self._flight = mine
        if ended is not None:
            ended.wake()
        return verdict

    def _verdict(self, now: float, phase: Phase, joined: Flight | None) -> Verdict | None:
        """As `decide`; None means to lead."""
        held, flight = self.held, self._flight
        if held is None or phase is Phase.DEAD:
            if joined is not None and joined.failure is not None:
                return joined.failure
            if flight is None and now < self._failure_until:
                return self.failure
            return flight
        if phase is Phase.MANDATORY:
            return held if flight is None and now < self._rest_until else flight
        renews_now = phase is Phase.ADVISORY and flight is None and now >= self._pause_until
        return None if renews_now else held

    def phase(self, now: float) -> Phase:
        return Phase.DEAD if self.held is None else self.held.phase(now)

    def usable(self, now: float) -> Held | None:
        """The held pair, if its access token may still be used."""
        held = self.held
        return held if held is not None and held.phase(now) is not Phase.DEAD else None

    # --- how a flight ends

    def install(self, flight: Flight, held: Held, kind: str) -> bool:
        """Hold a new pair from now on and wake all; False if the flight is the source's no more."""
        now = self._clock.monotonic()
        with self._mutex:
            if self._flight is not flight:
                return False
            self._flight = None
            flight.end()
            self.hold(held)
            self.failure = None
            self.failures_in_a_row = 0
            if held.phase(now) is not Phase.FRESH:
                self._pause_until = now + self._policy.pause
            self.counts[kind] += 1
            self.last_renewal = self._clock.wall()
        flight.wake()
        return True

    def hold(self, held: Held) -> None:
        self.held = self.ready = held

    def fail(self, flight: Flight, failure: Failure, held: Held | None) -> None:
        """End a flight without a pair and remember why.

        Args:
            held: the pair that the renewal went out from; it may have been read from a store.
        """
        now = self._clock.monotonic()
        with self._mutex:
            if self._flight is flight:
                self._retire(flight, now, failure)
                if held is not None and held is not self.held:
                    self.hold(held)
                delay = backoff(
                    self.failures_in_a_row, FAILURE_FIRST, FAILURE_LONGEST, self._clock.random()
                )
                if failure.retry_after is not None:
                    delay = max(delay, min(failure.retry_after, FAILURE_ASKED))
                self.failure = failure
                self.failures_in_a_row += 1
                self.counts["failure"] += 1
                self._failure_until = now + delay
                self._pause_until = self._rest_until = now + max(delay, self._policy.pause)
        flight.wake()

    def abandon(self, flight: Flight) -> None:
        """End a flight that brought neither a pair nor a failure: one of its waiters leads next."""
        now = self._clock.monotonic()
        with self._mutex:
            if self._flight is flight:
                self._retire(flight, now)
        flight.wake()

    def _retire(self, flight: Flight, now: float, failure: Failure | None = None) -> None:
        self._flight = None
        flight.end(failure)
        self._pause_until = now + self._policy.pause
        if flight.refreshing is not None:
            self.memory.spent_refresh_tokens.add(flight.refreshing)

    # --- refusals

    def refuse(self, header: str) -> tuple[bool, float]:
        """Hear that the API answered 401 to this header.

        Returns:
            Whether to send again, and how many seconds of cool-down began, if one did.
        """
        now = self._clock.monotonic()
        with self._mutex:
            held = self.held
            if held is None or held.header != header or held.refused_by is not None:
                return True, 0.0  # it is replaced already, or about to be
            if now < self._cooldown_until:
                return False, 0.0
            soon = held.after_refusal and now - held.born <= self._policy.cooldown
            self._strikes = self._strikes + 1 if soon else 0
            if self._strikes < 2:
                self.counts["refusal"] += 1
                self._drop(held, "401")
                return True, 0.0
            self._strikes = 0
            if self._cooldown and now - self._cooldown_until <= 2 * self._cooldown:
                self._cooldown = min(2 * self._cooldown, LONGEST_COOLDOWN)
            else:
                self._cooldown = self._policy.cooldown
            self._cooldown_until = now + self._cooldown
            return False, self._cooldown

    def invalidate(self) -> Held | None:
        """Drop the access token; return the pair that it belonged to."""
        with self._mutex:
            held = self.held
            if held is not None and held.refused_by is None:
                self._drop(held, "invalidated")
            return held

    def forget(self) -> None:
        """Drop the pair and what is remembered of failures."""
        now = self._clock.monotonic()
        with self._mutex:
            ended = self._flight
            if ended is not None:
                self._retire(ended, now)
            self.invalidate()
            self.held, self.ready = None, NOTHING
            self.failure = None
            self.failures_in_a_row = 0
            self._failure_until = self._rest_until = self._pause_until = _NEVER
            self.memory.credentials.clear()
        if ended is not None:
            ended.wake()

    def _drop(self, held: Held, why: str) -> None:
        held.refused_by = why
        held.advisory_at = _NEVER
        self.memory.headers.add(held.header)

    # --- the rest

    def next_try(self, now: float) -> float:
        """Earliest moment of the next token call."""
        with self._mutex:
            held = self.usable(now)
            return self._failure_until if held is None else max(held.advisory_at, self._pause_until)

    def start_over_in_child(self) -> None:
        """After a fork: the parent's threads are not here, and its refresh token stays its own."""
        self._mutex = threading.RLock()
        self._flight = None
        if self.held is not None and self.held.pair.refresh_token is not None:
            pair = self.held.pair.__replace__(refresh_token=None, refresh_expires_at=None)
            self.held.pair = pair


_MUST_RENEW = (Phase.MANDATORY, Phase.DEAD)
