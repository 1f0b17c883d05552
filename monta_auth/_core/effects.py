"""What a flow asks of its driver. A flow opens no socket, reads no file, sleeps for nobody.

The driver sends back the reply (`Send`), what the function returned (`Call`) or nothing; a
failed transport is thrown in as `TransportFailure`, an exception of a called function as itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

from .flight import Flight, Superseded
from .policy import CONNECT_LIMIT, Clock
from .replies import Reply
from .token_calls import TokenRequest

T = TypeVar("T")


class Effect:
    """One thing that a flow asks for."""

    __slots__ = ()


class Send(Effect):
    """Make this call to an auth endpoint, within `timeout` seconds; send back its `Reply`."""

    __slots__ = ("request", "timeout")

    def __init__(self, request: TokenRequest, timeout: float) -> None:
        self.request = request
        self.timeout = timeout

    def limit(self, *, connect: bool = False) -> float:
        """Return how long it may be silent; shorter while it connects."""
        return min(self.timeout, CONNECT_LIMIT) if connect else self.timeout

    def within(self, seconds: float | None, *, connect: bool = False) -> float:
        """Return the shorter one of this call's limit and the caller's, where None is none."""
        limit = self.limit(connect=connect)
        return limit if seconds is None else min(seconds, limit)


class Wait(Effect):
    """Wait until this flight has ended, for at most `seconds`."""

    __slots__ = ("flight", "seconds")

    def __init__(self, flight: Flight, seconds: float) -> None:
        self.flight = flight
        self.seconds = seconds


class Sleep(Effect):
    """Do nothing for `seconds`."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Call(Effect):
    """Call this function of the user's or of a store; send back what it returns.

    An async driver runs a coroutine function in the loop, and any other in a thread of its own.
    A caller that is cancelled leaves at once: it cancels the coroutine, but no thread can be
    stopped. As no such thread is a daemon, the interpreter waits for it when it exits.

    Args:
        finish: once begun, a coroutine is not cancelled, but goes on for as long as its loop
            runs; a cancelled caller waits so many seconds for it. None: it is cancelled.
        seconds: how long an async driver waits; then it throws a TimeoutError into the flow.
            A sync driver has to wait until the function returns.
    """

    __slots__ = ("args", "finish", "function", "seconds")

    def __init__(
        self,
        function: Callable[..., Any],
        *args: Any,
        finish: float | None = None,
        seconds: float | None = None,
    ) -> None:
        self.function = function
        self.args = args
        self.finish = finish
        self.seconds = seconds


#: A flow that ends with a T. What is sent into it depends on the effect that it yielded.
Steps = Generator[Send | Wait | Sleep | Call, Any, T]


class Turn:
    """The turn of one leader: it asks for effects, and looks at the flight again after each.

    Args:
        deadline: until when its caller can wait, on the monotonic clock; `seconds` from now.
        brief: the same while the held token lives. In httpx's own pipeline it is for stores and
            callables alone: to end a token call early would end the request.
        goes_on: whether its driver can go on after a token call that failed. In httpx's own
            pipeline an exception ends the request.

    Each method raises `Superseded` once the flight has ended without this leader.
    """

    def __init__(
        self, flight: Flight, clock: Clock, deadline: float, brief: float, goes_on: bool
    ) -> None:
        self.flight = flight
        self.deadline = brief if goes_on else deadline
        self.brief = brief
        self.seconds = self.deadline - clock.monotonic()
        self.goes_on = goes_on
        self._clock = clock

    def send(self, request: TokenRequest, timeout: float) -> Steps[Reply]:
        return self._do(Send(request, timeout))

    def sleep(self, seconds: float) -> Steps[None]:
        return self._do(Sleep(seconds))

    def call(
        self,
        function: Callable[..., T | Awaitable[T]],
        *args: object,
        finish: float | None = None,
        until: float | None = None,
    ) -> Steps[T]:
        until = self.brief if until is None else until
        left = max(0.0, until - self._clock.monotonic())
        return self._do(Call(function, *args, finish=finish, seconds=left))

    def _do(self, effect: Send | Sleep | Call) -> Steps[Any]:
        try:
            outcome = yield effect
        except Exception:
            # In httpx's own pipeline the request has ended: it must not lead once more.
            if self.flight.over and (self.goes_on or isinstance(effect, Call)):
                raise Superseded from None
            raise
        self.flight.touched = self._clock.monotonic()
        # A pair that comes late is still of use, if nobody has brought one since.
        is_pair = isinstance(effect, Send) and outcome.is_good
        if self.flight.over and not is_pair:
            raise Superseded
        return outcome
