"""The numbers for when to renew and how long to try, and the clock behind them."""

from __future__ import annotations

import random as chance
import sys
import time
from collections.abc import Callable
from functools import partial

from .errors import ConfigurationError
from .frozen import Frozen

#: A duration without a limit.
INFINITE = float("inf")

#: All other durations are in seconds.

#: A waiting caller takes over once from a leader that was silent for half the policy's deadline.
#: After that it takes over only after this time, which is also the longest deadline.
LEADER_LEASE = 60.0
#: A caller that blocks its thread takes over from a leader in an event loop after this time. It
#: is below `CONNECT_LIMIT`, so that neither fails.
POOL_PATIENCE = 2.0
#: Life of a store's lease, extended before each token call and each save. It is below a request's
#: deadline, so that requests that wait for a stopped process get their turn.
STORE_LEASE = 6.0
#: This part of a request's deadline, at most half of it, is reserved for the token call. A store
#: that is still locked or silent by then is skipped.
STORE_REST = 2.0
#: Pause between two attempts to get a store's lease; half of it is jitter.
STORE_POLL = 0.1
#: First and longest pause between two token calls of one renewal.
RETRY_FIRST, RETRY_LONGEST = 0.5, 1.0
#: How long a cancelled caller waits for a coroutine that saves a token pair or runs `on_token`.
FINISH = 1.0
#: Number of waiters that continue in one turn of an event loop. Measured with 500 tasks: with 16,
#: httpx's connection pool takes five times as long as with 4.
WOKEN_AT_ONCE = 4
#: How long a failure is remembered: doubling from first to longest. If the server asks for a wait,
#: that long, up to the third number.
FAILURE_FIRST, FAILURE_LONGEST, FAILURE_ASKED = 0.5, 5.0, 60.0
#: How long refused credentials are remembered: doubling from first to longest.
REFUSAL_FIRST, REFUSAL_LONGEST = 5.0, 300.0
LONGEST_COOLDOWN = 300.0
#: While the current token is valid, a request waits at most this long for a new one.
LIVING_LIMIT = 3.0
#: Longest pause before an early renewal after several token calls in a row without a response.
PAUSE_LONGEST = 60.0
#: Pause before a mint after two or more in a row were abandoned by their callers; it doubles.
ABANDONED_FIRST, ABANDONED_LONGEST = 2.0, 60.0
#: Renewals that one request may lead; more would not help it.
RENEWALS = 2
#: Life of an access token with an unusable expiry date: short enough to notice a revocation, long
#: enough not to renew at every request.
UNKNOWN_LIFE = 300.0
#: Longest plausible life of an access token: 30 days.
LONGEST_LIFE = 30 * 86400.0
#: Two clocks that differ by less count as equal.
CLOCKS_AGREE = 2.0

#: Longest wait for a connection to an auth endpoint.
CONNECT_LIMIT = 3.0
#: Most bytes of a decoded auth response; a token pair takes about 400.
AUTH_RESPONSE_LIMIT = 1 << 20
#: Bytes and seconds to spend on reading a 401, so that its connection can be reused. Beyond that,
#: a new connection is cheaper.
DRAIN_LIMIT, DRAIN_SECONDS = 1 << 16, 1.0

#: The advisory and mandatory windows are at most these shares of a token's life.
ADVISORY_SHARE, MANDATORY_SHARE = 0.20, 0.05
#: Random spread of the advisory window between sources.
ADVISORY_JITTER = 60.0
#: `token` and its variants renew this much earlier than requests, at most this share of a token's
#: life. So a health check renews, and no request waits.
PROBE_LEAD, PROBE_SHARE = 60.0, 0.05


class RefreshPolicy(Frozen):
    """Set how early to renew and how long to try, in seconds (`attempts`: a count).

    The API recommends no numbers. These defaults follow from two facts: an access token lives one
    hour (API reference, ``POST /auth/token``), and public credentials may make ten calls in 60 s
    (reported by users).

    Args:
        advisory: this long before expiry, one caller renews while all others use the current
            token; at most 20 % of the token's life. Each source adds a random 0 to 60 s, so that
            workers that start together do not renew together. Other clients of this API use 300 s.
        mandatory: this long before expiry, every request waits for the renewal; at most 5 % of the
            token's life. 30 s lets a request that was just sent arrive in time.
        deadline: the most that one request spends on its token, with attempts, sleeps, waits and
            store, also if it is retried or redirected. 10 s is below the usual 30 s limit of web
            servers and load balancers. While the current token is valid, the limit is 3 s.
        attempts: token calls in one renewal if the endpoint answers 429 or 5xx. Three leave seven
            of the ten calls per minute for your requests.
        sleep_limit: total sleep between these attempts. If the server asks for a longer pause, the
            caller gets the error at once. 2 s is about as long as a person waits.
        cooldown: if a token that replaced a refused one is refused within this time, twice in a
            row, renewals stop for this long, doubling to 300 s. With 15 s, at most two of the ten
            calls per minute go to an endpoint that refuses every token.
        pause: wait after a failed renewal while the current token is valid. 10 s gives 30 tries in
            the advisory window.

    Raises:
        ConfigurationError: a number is negative or not finite, `mandatory` exceeds `advisory`,
            `attempts` is not a whole number from 1 on, or `deadline` is 0 or above 60 s.
    """

    __slots__ = (
        "advisory",
        "attempts",
        "cooldown",
        "deadline",
        "mandatory",
        "pause",
        "sleep_limit",
    )

    advisory: float
    mandatory: float
    deadline: float
    attempts: int
    sleep_limit: float
    cooldown: float
    pause: float

    def __init__(
        self,
        advisory: float = 300.0,
        mandatory: float = 30.0,
        deadline: float = 10.0,
        attempts: int = 3,
        sleep_limit: float = 2.0,
        cooldown: float = 15.0,
        pause: float = 10.0,
    ) -> None:
        self._set(locals())
        for name, value in zip(self._fields, self._values(), strict=True):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ConfigurationError(f"RefreshPolicy: {name} must be a number")
            if not 0 <= value < float("inf"):
                raise ConfigurationError(f"RefreshPolicy: {name} must be 0 or more, and finite")
        if self.mandatory > self.advisory:
            raise ConfigurationError("RefreshPolicy: mandatory must not exceed advisory")
        if self.attempts < 1 or self.attempts != int(self.attempts):
            raise ConfigurationError("RefreshPolicy: attempts must be a whole number from 1 on")
        if not 0 < self.deadline <= LEADER_LEASE:
            raise ConfigurationError(
                f"RefreshPolicy: deadline must be above 0 and up to {LEADER_LEASE:g} s"
            )


def _counting_sleep() -> Callable[[], float]:
    """Return a monotonic clock, if possible one that runs while the machine sleeps.

    Tokens expire while a laptop sleeps.
    """
    name = "CLOCK_MONOTONIC" if sys.platform == "darwin" else "CLOCK_BOOTTIME"
    number = getattr(time, name, None)
    if number is not None:
        try:
            time.clock_gettime(number)
        except OSError:
            pass
        else:
            return partial(time.clock_gettime, number)
    return time.monotonic


monotonic_clock = _counting_sleep()


class Clock:
    """Provide time and random numbers to a source; tests pass their own.

    Args:
        monotonic: returns seconds, for every duration. Default: a clock that never jumps and, if
            the system has one, also runs while the machine sleeps.
        wall: returns seconds since 1970; used only to read dates.
        random: returns a number from 0 to below 1.
    """

    __slots__ = ("monotonic", "random", "wall")

    def __init__(
        self,
        monotonic: Callable[[], float] = monotonic_clock,
        wall: Callable[[], float] = time.time,
        random: Callable[[], float] = chance.random,
    ) -> None:
        self.monotonic: Callable[[], float] = monotonic
        self.wall: Callable[[], float] = wall
        self.random: Callable[[], float] = random


SYSTEM_CLOCK = Clock()


def doubled(first: float, step: int, longest: float) -> float:
    """Return the seconds of pause number `step`, counted from 0."""
    return min(first * 2.0 ** min(step, 16), longest)


def backoff(step: int, first: float, longest: float, luck: float) -> float:
    """Return `doubled` plus up to a quarter of jitter."""
    return doubled(first, step, longest) * (1.0 + luck / 4.0)


def store_pause(luck: float) -> float:
    """Return the seconds between two attempts to get a store's lease."""
    return STORE_POLL * (1.0 + luck) / 2.0


class Spent:
    """What one request has spent on its token so far, including its retry.

    Attributes:
        seconds: time spent waiting for tokens, without sending the request itself.
        renewals: number of renewals that it led.
    """

    seconds = 0.0
    renewals = 0
