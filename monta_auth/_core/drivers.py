"""The only two loops that perform effects: one for threads, one for event loops.

`advance` and `aadvance` perform all effects except those that need an HTTP library. They stop at
such an effect (or at the flow's end), and are called again with its outcome. `drive` and `adrive`
take a function that makes the token calls, and run a flow from start to end.
"""

from __future__ import annotations

import _thread
import contextvars
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeGuard, TypeVar, final
from weakref import WeakKeyDictionary

from .effects import Call, Effect, Sleep, Wait
from .errors import (
    ConfigurationError,
    LeftBehind,
    MontaAuthError,
    TransportFailure,
    is_from_signal_handler,
    needs_async,
    note_thread,
)
from .flight import Flight
from .loops import Bell, Line
from .replies import Reply
from .secret import empty_frames, hidden

T = TypeVar("T")
#: The effects that the driver does not perform itself, such as `Send`.
L = TypeVar("L", bound=Effect)
Flow = Generator[Call | Wait | Sleep | L, Any, T]


@final
class Done(Generic[T]):
    """The end of a flow, with its return value."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value


class Raised:
    """An outcome that is an exception. It is thrown into the flow once.

    Then it drops the exception, because frames keep outcomes, and tracebacks keep frames.
    """

    __slots__ = ("_error",)

    def __init__(self, error: Exception) -> None:
        self._error: Exception | None = error

    def take(self) -> Exception:
        error, self._error = self._error, None
        assert error is not None  # an outcome is used once
        return error


def drive(flow: Flow[L, T], perform: Callable[[L], Reply]) -> T:
    """Run a flow to its end in this thread. `perform` returns a reply or raises a failure."""
    outcome: object = None
    before = sys.exception()
    try:
        while not isinstance(step := advance(flow, outcome), Done):
            try:
                outcome = perform(step)
            except (MontaAuthError, TransportFailure) as failure:
                outcome = Raised(failure)
        return step.value
    except BaseException as error:
        empty_frames(error, before)
        raise
    finally:
        flow.close()


async def adrive(flow: Flow[L, T], perform: Callable[[L], Awaitable[Reply]]) -> T:
    """Run a flow to its end in this task, under asyncio or trio."""
    outcome: object = None
    before = sys.exception()
    try:
        while not isinstance(step := await aadvance(flow, outcome), Done):
            try:
                outcome = await perform(step)
            except (MontaAuthError, TransportFailure) as failure:
                outcome = Raised(failure)
        return step.value
    except BaseException as error:
        empty_frames(error, before)
        raise
    finally:
        flow.close()


def advance(flow: Flow[L, T], outcome: object = None) -> L | Done[T]:
    """Resume the flow; return its first effect that is not performed here, or `Done`."""
    while True:
        effect = resume(flow, outcome)
        if isinstance(effect, Call):
            outcome = _call(effect)
        elif isinstance(effect, Wait):
            _wait(effect)
            outcome = None
        elif isinstance(effect, Sleep):
            time.sleep(effect.seconds)
            outcome = None
        else:
            return effect


async def aadvance(flow: Flow[L, T], outcome: object = None) -> L | Done[T]:
    """Do what `advance` does, without ever blocking the event loop."""
    while True:
        effect = resume(flow, outcome)
        if isinstance(effect, Call):
            outcome = await _acall(effect)
        elif isinstance(effect, Wait):
            await _await(effect)
            outcome = None
        elif isinstance(effect, Sleep):
            await _sleep(effect.seconds)
            outcome = None
        else:
            return effect


def resume(flow: Flow[L, T], outcome: object) -> Call | Wait | Sleep | L | Done[T]:
    """Send or throw the outcome into the flow; return its next effect, or `Done`."""
    try:
        return flow.throw(outcome.take()) if isinstance(outcome, Raised) else flow.send(outcome)
    except StopIteration as done:
        return Done(done.value)


def _call(effect: Call) -> object:
    outcome = _attempt(effect)
    if isinstance(outcome, Raised):
        return outcome
    if is_awaitable(outcome.value):
        # Only the result shows that it is async. Coroutine functions were refused earlier.
        getattr(outcome.value, "close", bool)()
        return Raised(ConfigurationError(needs_async(effect.function)))
    return outcome.value


def _attempt(effect: Call, note: Callable[[Exception], None] | None = None) -> Done[Any] | Raised:
    """Make the call; return its outcome as a value, as some exceptions cannot leave a thread."""
    try:
        return Done(hidden(effect.function(*effect.args)))
    except Exception as error:
        if note is not None:
            note(error)
        return _kept(error)


def _kept(error: Exception) -> Raised:
    if is_from_signal_handler(error):
        raise error
    return Raised(error)


def _wait(effect: Wait) -> None:
    woken = threading.Event()
    try:
        if effect.flight.add(woken.set):
            woken.wait(effect.seconds)
    finally:
        effect.flight.remove(woken.set)


def is_awaitable(value: object) -> TypeGuard[Awaitable[Any]]:
    """Return whether it can be awaited, without a look at its attributes, which might raise."""
    return isinstance(value, Awaitable)


def is_async(function: object) -> bool:
    """Return whether it is a coroutine function, or an object with an async ``__call__``."""
    import inspect

    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - asks what kind it is
    )


# --- in an event loop


async def _sleep(seconds: float) -> None:
    await Bell().wait(seconds)


_lines: WeakKeyDictionary[Flight, dict[object, Line]] = WeakKeyDictionary()


async def _await(effect: Wait) -> None:
    bell = Bell()
    line = _lines.setdefault(effect.flight, {}).setdefault(bell.loop, Line())
    wake = partial(line.wake, bell)
    try:
        if effect.flight.add(wake):
            await bell.wait(effect.seconds)
    finally:
        effect.flight.remove(wake)
        bell.event.set()  # If it is still in the line, it gets skipped.


async def _acall(effect: Call) -> Any:
    """Make the call in a separate task, so that the caller can leave it behind."""
    from concurrent.futures import Future  # imported here, because only async clients need it

    bell, outcome = Bell(), Future[Any]()

    async def run() -> None:
        try:
            outcome.set_result(await _perform(effect))
        except BaseException as error:
            outcome.set_exception(error)
        bell.event.set()

    cancel = bell.spawn(run)
    try:
        await bell.wait(effect.seconds)
    except bell.cancelled:
        if effect.finish is None:
            cancel()
        elif effect.finish and is_async(effect.function):
            await bell.linger(effect.finish)
        raise
    if outcome.done():
        try:
            return outcome.result()
        except bell.cancelled:  # by other code: the caller is not cancelled
            return Raised(LeftBehind("was cancelled by other code"))
    if effect.finish is None:
        cancel()
    return Raised(LeftBehind(f"did not return within {effect.seconds:.1f} s"))


async def _perform(effect: Call) -> Any:
    try:
        if is_async(effect.function):
            return hidden(await effect.function(*effect.args))
        outcome = await _in_thread(effect)
        if isinstance(outcome, Raised):
            return outcome
        value = outcome.value
        return hidden(await value) if is_awaitable(value) else value
    except Exception as error:
        return _kept(error)


def detach(function: Callable[[], Any]) -> None:
    """Call a function of a store without waiting for it: in the loop, or in a new thread.

    A finalizer may call this, so the thread is started without the locks of `threading`.
    """

    def run() -> None:  # pragma: no cover - coverage does not see such a thread
        with suppress(Exception):
            _call(Call(function))

    async def arun() -> None:
        with suppress(Exception):
            await function()

    with suppress(RuntimeError):  # There is no loop, or the interpreter is exiting.
        if is_async(function):
            Bell().spawn(arun)
        else:
            _thread.start_new_thread(run, ())


async def _in_thread(effect: Call) -> Done[Any] | Raised:
    """Make the call in a new thread. A pool may be full of requests that wait for this call."""
    from concurrent.futures import Future

    bell, outcome = Bell(), Future[Done[Any] | Raised]()

    def run() -> None:
        try:
            outcome.set_result(_attempt(effect, note_thread))
        except BaseException as error:
            outcome.set_exception(error)
        bell.soon(bell.event.set)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name="monta_auth", daemon=False).start()
    await bell.wait()
    return outcome.result()
