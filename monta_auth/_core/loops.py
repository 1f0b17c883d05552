"""What the driver of async flows needs of asyncio and trio, one of which may host the other.

Under a running loop its module is loaded: the imports below only look it up.
"""

from __future__ import annotations

import contextvars
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from typing import Any, Generic, TypeVar

from .policy import WOKEN_AT_ONCE

T = TypeVar("T")


def in_trio() -> bool:
    """Whether the running task is one of trio, as the HTTP libraries find out as well."""
    sniffio: Any = sys.modules.get("sniffio")  # trio brings it along
    if sniffio is None or "trio" not in sys.modules:
        return False
    try:
        return bool(sniffio.current_async_library() == "trio")
    except sniffio.AsyncLibraryNotFoundError:
        return False


class Bell:
    """Lets one task wait until it is rung.

    Attributes:
        loop: the event loop of the task.
        ring, is_rung: to be called in this loop.
        cancelled: what is raised in a task of this loop when it is cancelled.
    """

    def __init__(self) -> None:
        self._in_trio = in_trio()
        event: Any
        if self._in_trio:
            import trio

            event = trio.Event()
            self.loop: Any = trio.lowlevel.current_trio_token()
            self._soon: Callable[[Callable[[], object]], object] = self.loop.run_sync_soon
            self.cancelled: type[BaseException] = trio.Cancelled
        else:
            import asyncio

            event = asyncio.Event()
            self.loop = asyncio.get_running_loop()
            self._soon = self.loop.call_soon_threadsafe
            self.cancelled = asyncio.CancelledError
        self.ring: Callable[[], object] = event.set
        self.is_rung: Callable[[], bool] = event.is_set
        self._rung: Callable[[], Awaitable[object]] = event.wait

    def soon(self, function: Callable[[], object]) -> None:
        """Have this function called in the loop; any thread may ask for that."""
        with suppress(RuntimeError):  # The loop is closed: nothing waits there anymore.
            self._soon(function)

    async def wait(self, seconds: float | None = None) -> None:
        """Wait until it is rung, for at most so many seconds."""
        if self._in_trio:
            import trio

            with trio.move_on_after(float("inf") if seconds is None else seconds):
                await self._rung()
            return
        timer = self.loop.call_later(seconds, self.ring) if seconds is not None else None
        try:
            await self._rung()
        finally:
            if timer is not None:
                timer.cancel()

    async def linger(self, seconds: float) -> None:
        """Wait for so long although the task is cancelled; when it is cancelled again, leave."""
        # anyio cancels a task of asyncio in each turn of the loop, unless a shield hides it.
        library: Any = sys.modules.get("trio" if self._in_trio else "anyio")
        with library.CancelScope(shield=True) if library is not None else nullcontext():
            await self.wait(seconds)


#: asyncio itself refers to its tasks only weakly.
_under_way: set[object] = set()


class Work(Bell, Generic[T]):
    """Runs a function as a task of its own, which goes on when the asking task has left.

    Attributes:
        is_done: whether the function has returned or raised something.
        cancel: cancels the task.
    """

    def __init__(self, function: Callable[[], Awaitable[T]]) -> None:
        super().__init__()
        self._function = function
        self._results: list[T] = []
        self._errors: list[BaseException] = []
        self.cancel: Callable[[], object]
        if self._in_trio:
            import trio

            self._scope: Any = trio.CancelScope()
            self.cancel = self._scope.cancel
            trio.lowlevel.spawn_system_task(self._run, context=contextvars.copy_context())
        else:
            import asyncio

            self._scope = nullcontext()
            task = asyncio.ensure_future(self._run())
            self.cancel = task.cancel
            _under_way.add(task)
            task.add_done_callback(_under_way.discard)

    @property
    def is_done(self) -> bool:
        return bool(self._results or self._errors)

    def result(self) -> T:
        """Return what the function returned, or raise what it raised."""
        if self._errors:
            raise self._errors.pop()
        return self._results[0]

    async def _run(self) -> None:
        try:
            with self._scope:
                self._results.append(await self._function())
        except BaseException as error:
            self._errors.append(error)
            # A system task of trio that raises brings the whole run down.
            if not (self._in_trio or isinstance(error, Exception)):
                raise
        finally:
            self.ring()


class Line:
    """The tasks of one loop that wait for one flight; those that were woken go on in turn.

    A few go on in each turn of the loop, first in, first out. If 500 did in one turn, they would
    open 500 connections and stall the loop. Now most use the connection of one before them.
    """

    def __init__(self) -> None:
        self._woken: deque[Bell] = deque()
        self._is_due = False

    def wake(self, bell: Bell) -> None:
        """Let this task go on when it is its turn. Any thread may do so, also twice."""
        self._woken.append(bell)
        self._schedule(bell)

    def _schedule(self, bell: Bell) -> None:
        if not self._is_due:
            self._is_due = True
            bell.soon(self._turn)

    def _turn(self) -> None:
        self._is_due = False
        left = WOKEN_AT_ONCE
        while self._woken and left:
            bell = self._woken.popleft()
            if not bell.is_rung():  # else it has left: its time was up, or it was cancelled
                bell.ring()
                left -= 1
        if self._woken:
            self._schedule(self._woken[0])
