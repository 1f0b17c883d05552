"""What a flow can ask its driver for. A flow itself opens no socket, reads no file, never sleeps.

The driver sends back the reply (`Send`), the function's return value (`Call`) or nothing. It throws
a network failure into the flow as `TransportFailure`, and a called function's exception unchanged.
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
    """Make this call to an auth endpoint within `timeout` seconds; send back its `Reply`."""

    __slots__ = ("request", "timeout")

    def __init__(self, request: TokenRequest, timeout: float) -> None:
        self.request = request
        self.timeout = timeout

    def limit(self, *, connect: bool = False) -> float:
        """Return how many seconds the server may be silent; fewer while it connects."""
        return min(self.timeout, CONNECT_LIMIT) if connect else self.timeout

    def within(self, seconds: float | None, *, connect: bool = False) -> float:
        """Return the smaller of this call's limit and the caller's (None: no limit)."""
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
    """Call this function of the user or of a store; send back its return value.

    An async driver runs a coroutine function in the loop, and any other function in a new thread.
    A cancelled caller leaves at once: it cancels the coroutine, but it cannot stop a thread. These
    threads are not daemons, so the interpreter waits for them when it exits.

    Args:
        finish: None: a coroutine is cancelled. A number: once started, it is not cancelled, but
            continues as long as its loop runs; a cancelled caller waits this many seconds for it.
        seconds: how long an async driver waits before it throws a TimeoutError into the flow.
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


#: A flow that returns a T. The effect that it yields decides what is sent into it.
Steps = Generator[Send | Wait | Sleep | Call, Any, T]


class Turn:
    """The turn of one leader. It requests effects, and checks the flight after each one.

    Args:
        deadline: until when its caller can wait, on the monotonic clock; `seconds` from now.
        brief: the same while the current token is valid. In httpx's own pipeline it limits only
            stores and callables, because ending a token call early would end the request.
        goes_on: whether its driver can continue after a failed token call. In httpx's own
            pipeline, an exception ends the request.

    Each method raises `Superseded` if the flight has ended without this leader.
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
            # But in httpx's own pipeline the request has ended, and must not lead again.
            if self.flight.over and (self.goes_on or isinstance(effect, Call)):
                raise Superseded from None
            raise
        self.flight.touched = self._clock.monotonic()
        # A token pair that comes late is still useful if no other flight got one since.
        is_pair = isinstance(effect, Send) and outcome.is_good
        if self.flight.over and not is_pair:
            raise Superseded
        return outcome
