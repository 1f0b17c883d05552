"""Calls to a client of Redis: they end in time, whatever it is, and say where they failed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from .._core.errors import TokenStoreError
from .._core.loops import in_trio
from .._core.policy import monotonic_clock
from .._core.secret import empty_frames
from .._core.store_errors import cause_of
from ._redis_servers import pools

#: Limit for each call, whatever the client's own limits are, in seconds.
_LIMIT = 1.0
#: What is left of `_LIMIT` must be enough for another try, in seconds.
_AGAIN_BEFORE = 0.5
#: So many calls that hang are left behind on their threads before further ones fail at once.
_LEFT_BEHIND = 16
#: A connection that was idle for so long may have been cut silently on its way, in seconds.
_LONGEST_IDLE = 30.0
#: Records come back as bytes, whatever the client makes of other answers.
_BYTES: dict[str, Any] = {"NEVER_DECODE": True}


class Calls:
    """Calls to a client with plain methods.

    Args:
        place: the server's name, for errors.
        is_ours: whether nobody else uses this client.
    """

    def __init__(self, client: Any, place: str, is_ours: bool) -> None:
        self._client = client
        self._place = place
        self._is_ours = is_ours
        self._used = monotonic_clock()
        self._hanging: list[Thread] = []

    def run(self, operation: str, command: tuple[Any, ...], again: bool) -> Any:
        """Return the answer to a command.

        It runs on a thread of its own: nothing else bounds the calls of every client.

        Args:
            operation: for errors.
            again: whether to repeat it once if its answer was lost.

        Raises:
            TokenStoreError: with the library's error as its cause.
        """
        answer, error = self._in_thread(lambda: self._execute(command, again))
        if error is not None:
            empty_frames(error, None)  # They show the password.
            raise _failure(operation, error, self._place) from error
        return answer

    def _in_thread(self, function: Callable[[], Any]) -> tuple[Any, BaseException | None]:
        self._hanging = [thread for thread in self._hanging if thread.is_alive()]
        if len(self._hanging) >= _LEFT_BEHIND:
            return None, TimeoutError("earlier calls still hang")
        answer: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

        def run() -> None:
            try:
                answer.put((function(), None))
            except BaseException as error:
                answer.put((None, error))

        thread = Thread(target=copy_context().run, args=(run,), name="RedisStore", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # The interpreter ends, or there are too many threads.
            return None, error
        try:
            return answer.get(timeout=_LIMIT)
        except Empty:
            self._hanging.append(thread)
            return None, TimeoutError(f"no answer within {_LIMIT:g} s")

    def _execute(self, command: tuple[Any, ...], again: bool) -> Any:
        began = monotonic_clock()
        if self._is_ours and began - self._used > _LONGEST_IDLE:
            self._drop_idle()
        self._used = began
        try:
            return self._client.execute_command(*command, **_BYTES)
        except Exception as error:
            if not _was_cut(error):
                raise
            # Whatever cut this connection has probably cut those that lie idle, too.
            self._drop_idle()
            if not again or monotonic_clock() - began > _AGAIN_BEFORE:
                raise
        return self._client.execute_command(*command, **_BYTES)

    def _drop_idle(self) -> None:
        for pool in pools(self._client):
            with suppress(Exception):
                pool.disconnect(inuse_connections=False)


class AsyncCalls:
    """Calls to a client of asyncio, with the arguments of `Calls`."""

    def __init__(self, client: Any, place: str) -> None:
        self._client = client
        self._place = place

    async def run(self, operation: str, command: tuple[Any, ...], again: bool) -> Any:
        """Do what `Calls.run` does."""
        if in_trio():
            raise TokenStoreError(
                f"{operation} failed: a client of an asyncio package does not work under trio. "
                "Give RedisStore a URL or a client with plain methods"
            )
        before = sys.exception()
        try:
            async with asyncio.timeout(_LIMIT):
                return await self._execute(command, again)
        except Exception as error:
            empty_frames(error, before)
            raise _failure(operation, error, self._place) from error

    async def _execute(self, command: tuple[Any, ...], again: bool) -> Any:
        began = monotonic_clock()
        try:
            return await self._send(command)
        except Exception as error:
            if not _was_cut(error):
                raise
            for pool in pools(self._client):
                with suppress(Exception):
                    await pool.disconnect(inuse_connections=False)
            if not again or monotonic_clock() - began > _AGAIN_BEFORE:
                raise
        return await self._send(command)

    async def _send(self, command: tuple[Any, ...]) -> Any:
        if hasattr(self._client, "nodes_manager"):
            # In redis-py 8, several first commands of a cluster's client close each other's nodes.
            await self._client.initialize()
        return await self._client.execute_command(*command, **_BYTES)


def _was_cut(error: Exception) -> bool:
    """Whether it is a ConnectionError: Python's, or that of one of the libraries."""
    return any(kind.__name__ == "ConnectionError" for kind in type(error).__mro__)


def _failure(operation: str, error: BaseException, place: str) -> TokenStoreError:
    return TokenStoreError(f"{operation} failed: {cause_of(error)} at {place}")
