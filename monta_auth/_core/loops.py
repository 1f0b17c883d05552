"""What the driver of async flows needs from asyncio and trio. One of them may host the other.

The module of a running loop is already loaded, so the imports below only look it up.
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
    """Return whether the running task is one of trio. The HTTP libraries detect it the same way."""
    sniffio: Any = sys.modules.get("sniffio")  # a dependency of trio
    return sniffio is not None and sniffio.thread_local.name == "trio"


def time_left() -> float:
    """Return the seconds until the running task is cancelled, if its library knows (trio does)."""
    if not in_trio():
        return INFINITE
    import trio

    return trio.current_effective_deadline() - trio.current_time()


#: Keeps tasks from being garbage-collected, because asyncio holds only weak references to them.
_tasks: set[object] = set()


class Bell:
    """A bell that one task can wait for.

    Attributes:
        loop: the event loop of the task.
        event: set it to ring the bell. Use it only in this loop.
        cancelled: the exception that cancels a task of this loop.
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
        """Call this function soon, in the loop. Any thread may ask for this."""
        with suppress(RuntimeError):  # The loop is closed, so nothing waits there any more.
            self._soon(function)

    async def wait(self, seconds: float | None = None) -> None:
        """Wait until the bell rings, for at most this many seconds."""
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
        """Wait this long although the task is cancelled. If it is cancelled again, leave."""
        # anyio cancels an asyncio task in each turn of the loop, unless a shield protects it.
        library: Any = sys.modules.get("trio" if self._in_trio else "anyio")
        with library.CancelScope(shield=True) if library is not None else nullcontext():
            await self.wait(seconds)

    def spawn(self, function: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], object]:
        """Run a function that never raises in a new task; return a function that cancels it."""
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
    """The tasks of one loop that wait for one flight, and continue one after the other.

    A few continue in each turn of the loop, first in, first out. If 500 did so in one turn, they
    would open 500 connections and stall the loop. This way, most reuse an earlier connection.
    """

    def __init__(self) -> None:
        self._woken: deque[Bell] = deque()
        self._is_due = False

    def wake(self, bell: Bell) -> None:
        """Let this task continue when it is its turn. Any thread may call this, even twice."""
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
            if not bell.event.is_set():  # otherwise it has left: it timed out or was cancelled
                bell.event.set()
                left -= 1
        if self._woken:
            self._schedule(self._woken[0])
