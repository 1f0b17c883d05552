"""When to renew and how long to try. Decides nothing itself: numbers, and the clock they run on."""

from __future__ import annotations

import random as chance
import sys
import time
from collections.abc import Callable
from functools import partial

from .errors import ConfigurationError
from .frozen import Frozen

#: For a duration: there is no limit.
INFINITE = float("inf")

#: All other durations, in seconds, and sizes.

#: A waiting caller takes over from a leader that has been silent for half the policy's deadline,
#: once; after that only from one that has been silent for so long, which is the longest deadline.
LEADER_LEASE = 60.0
#: A caller that blocks its thread takes over from a leader in an event loop so soon. It is less
#: than `CONNECT_LIMIT`, so that neither fails.
POOL_PATIENCE = 2.0
#: Life of a lease on a record in a store, extended before each token call and each save. Less than
#: a request's deadline, so that requests behind a process that was stopped get their turn.
STORE_LEASE = 6.0
#: So much of a request's deadline, at most half of it, belongs to the token call: a store that is
#: locked or silent until then is left out.
STORE_REST = 2.0
#: Pause between two looks at a store's lease, in seconds; half of it is jitter.
STORE_POLL = 0.1
#: First and longest pause between two calls of one renewal.
RETRY_FIRST, RETRY_LONGEST = 0.5, 1.0
#: How long a cancelled caller waits for the end of a coroutine that saves or announces a pair.
FINISH = 1.0
#: So many waiters of one event loop go on in one of its turns. Measured with 500 tasks: with 16,
#: the connection pool of httpx still takes five times as long as with 4.
WOKEN_AT_ONCE = 4
#: How long a failure is remembered: doubling from the first to the longest, or as long as the
#: server asks, up to the last.
FAILURE_FIRST, FAILURE_LONGEST, FAILURE_ASKED = 0.5, 5.0, 60.0
#: How long refused credentials are remembered: doubling from the first to the longest.
REFUSAL_FIRST, REFUSAL_LONGEST = 5.0, 300.0
LONGEST_COOLDOWN = 300.0
#: While the held token lives, nobody waits longer for another one.
LIVING_LIMIT = 3.0
#: The pause before an early renewal, once several token calls in a row brought no response.
PAUSE_LONGEST = 60.0
#: Pause before a mint, after two or more in a row whose callers left: doubling.
ABANDONED_FIRST, ABANDONED_LONGEST = 2.0, 60.0
#: Renewals that one request may lead: another one would not help it.
RENEWALS = 2
#: Life of an access token whose expiry cannot be read or makes no sense: short enough to
#: notice a revocation soon, long enough not to renew at every request.
UNKNOWN_LIFE = 300.0
#: An access token that claims to live longer is not believed: 30 days.
LONGEST_LIFE = 30 * 86400.0
#: A clock this close to another is taken to be right.
CLOCKS_AGREE = 2.0

#: A connection to an auth endpoint that has not come about by now never will.
CONNECT_LIMIT = 3.0
#: Bytes of an auth response, decoded; a token pair has some 400.
AUTH_RESPONSE_LIMIT = 1 << 20
#: Bytes and seconds that reading a 401 may cost, so that its connection can be used again. Beyond
#: that a new connection is cheaper.
DRAIN_LIMIT, DRAIN_SECONDS = 1 << 16, 1.0

#: The windows are at most these shares of a token's life.
ADVISORY_SHARE, MANDATORY_SHARE = 0.20, 0.05
#: Spread of the advisory window between sources, in seconds.
ADVISORY_JITTER = 60.0
#: For `token` and its variants, the advisory window begins so many seconds earlier than for
#: requests, at most this share of a token's life: then a probe renews, and no request waits.
PROBE_LEAD, PROBE_SHARE = 60.0, 0.05


class RefreshPolicy(Frozen):
    """How early to renew and how long to try, in seconds (`attempts`: a count).

    The API recommends no numbers. Its facts behind ours: an access token lives one hour (API
    reference, ``POST /auth/token``), and a public credential may make ten calls in 60 s
    (reported by users).

    Args:
        advisory: so long before expiry one caller renews while all others go on with the token;
            at most 20 % of the token's life. Each source adds its own random 0 to 60 s, so that
            workers started together do not renew together. 300 s is what other clients of this
            API use.
        mandatory: so long before expiry everybody waits for the renewal; at most 5 % of the life.
            30 s lets a request that was just sent arrive in time.
        deadline: what one request may spend on its token: tries, sleeps, waits and store locks
            together, also if it is refused or redirected. 10 s is below the usual 30 s limit of
            web servers and load balancers. While the held token lives, 3 s.
        attempts: calls to an auth endpoint in one renewal when it answers 429 or 5xx. Three
            leave seven of the ten calls a minute to the requests.
        sleep_limit: sleep between these attempts, in all. A server that asks for a longer pause
            gets it: the caller gets the error at once. 2 s is what a person still waits.
        cooldown: a token that replaced a refused one and is refused within this time is a sign
            that the endpoint refuses every token; two in a row stop renewing for this long,
            doubling to 300 s. 15 s leaves at most 2 calls of a minute's ten to such an endpoint.
        pause: before the next try after a renewal that brought nothing while the token is alive.
            10 s gives 30 tries in the advisory window without disturbing anybody.

    Raises:
        ConfigurationError: a number is negative or not finite, `mandatory` exceeds `advisory`,
            or `attempts` or `deadline` leaves no call at all.
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
    """Return the monotonic clock, as one that goes on while the machine sleeps, if it has one.

    Tokens do not wait for a laptop to wake up.
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
    """Where a source takes its time and chance from; tests put their own here.

    Args:
        monotonic: seconds on a clock that never jumps and, where the system has such a clock,
            counts the time that the machine sleeps; every life and pause is counted on it.
        wall: seconds since 1970; only used to read dates.
        random: a number from 0 up to 1.
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
    """Seconds of the pause number `step` (from 0)."""
    return min(first * 2.0 ** min(step, 16), longest)


def backoff(step: int, first: float, longest: float, luck: float) -> float:
    """As `doubled`, plus up to a quarter of jitter."""
    return doubled(first, step, longest) * (1.0 + luck / 4.0)


def store_pause(luck: float) -> float:
    """Seconds between two looks at a store's lease."""
    return STORE_POLL * (1.0 + luck) / 2.0


class Spent:
    """What one request has spent on its token so far, also if it was refused meanwhile.

    Attributes:
        seconds: of waiting for tokens; its own sending does not count.
        renewals: that it led.
    """

    seconds = 0.0
    renewals = 0
