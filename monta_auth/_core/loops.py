"""What the driver of async flows needs of asyncio and trio, one of which may host the other.

Under a running loop its module is loaded: the imports below only look it up.
"""

from __future__ import annotations

import contextvars
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import nullcontext, suppress
from typing import Any

from .policy import INFINITE, WOKEN_AT_ONCE


def in_trio() -> bool:
    """Whether the running task is one of trio, as the HTTP libraries find out as well."""
    sniffio: Any = sys.modules.get("sniffio")  # trio brings it along
    return sniffio is not None and sniffio.thread_local.name == "trio"


def time_left() -> float:
    """Seconds until the running task is cancelled, as far as its library tells (trio does)."""
    if not in_trio():
        return INFINITE
    import trio

    return trio.current_effective_deadline() - trio.current_time()


#: asyncio itself refers to its tasks only weakly.
_tasks: set[object] = set()


class Bell:
    """Lets one task wait until it is rung.

    Attributes:
        loop: the event loop of the task.
        event: to be set, or asked for, in this loop.
        cancelled: what is raised in a task of this loop when it is cancelled.
    """

    def __init__(self) -> None:
        self._in_trio = in_trio()
        if self._in_trio:
            import trio

            self.loop: Any = trio.lowlevel.current_trio_token()
            self._soon: Any = self.loop.run_sync_soon
            self.event: Any = trio.Event()
            self.cancelled: type[BaseException] = trio.Cancelled
        else:
            import asyncio

            self.loop = asyncio.get_running_loop()
            self._soon = self.loop.call_soon_threadsafe
            self.event = asyncio.Event()
            self.cancelled = asyncio.CancelledError

    def soon(self, function: Callable[[], object]) -> None:
        """Have this function called in the loop; any thread may ask for that."""
        with suppress(RuntimeError):  # The loop is closed: nothing waits there anymore.
            self._soon(function)

    async def wait(self, seconds: float | None = None) -> None:
        """Wait until it is rung, for at most so many seconds."""
        if self._in_trio:
            import trio

            with trio.move_on_after(INFINITE if seconds is None else seconds):
                await self.event.wait()
        else:
            import asyncio

            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.event.wait()

    async def linger(self, seconds: float) -> None:
        """Wait for so long although the task is cancelled; when it is cancelled again, leave."""
        # anyio cancels a task of asyncio in each turn of the loop, unless a shield hides it.
        library: Any = sys.modules.get("trio" if self._in_trio else "anyio")
        with library.CancelScope(shield=True) if library is not None else nullcontext():
            await self.wait(seconds)

    def spawn(self, function: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], object]:
        """Run a function that raises nothing, in a task of its own; return what cancels it."""
        if self._in_trio:
            import trio

            scope = trio.CancelScope()

            async def run() -> None:
                with scope:
                    await function()

            trio.lowlevel.spawn_system_task(run, context=contextvars.copy_context())
            return scope.cancel
        task = self.loop.create_task(function())
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
        return task.cancel  # type: ignore[no-any-return]


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
            if not bell.event.is_set():  # else it has left: its time was up, or it was cancelled
                bell.event.set()
                left -= 1
        if self._woken:
            self._schedule(self._woken[0])
