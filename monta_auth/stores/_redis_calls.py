"""Calls to a Redis client, each with a time limit and with an error that names the server."""

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

#: Limit for each call in seconds, in addition to the client's own limits.
_LIMIT = 1.0
#: After this many seconds it is too late for another try.
_AGAIN_BEFORE = 0.5
#: Number of hanging calls (one thread each) above which further calls fail at once.
_LEFT_BEHIND = 16
#: After this many idle seconds, a connection may have been cut silently.
_LONGEST_IDLE = 30.0
#: Return records as bytes, even if the client decodes other responses.
_BYTES: dict[str, Any] = {"NEVER_DECODE": True}


class Calls:
    """Calls to a client with plain methods.

    Args:
        place: the server's name, for errors.
        is_ours: whether only this store uses the client.
    """

    def __init__(self, client: Any, place: str, is_ours: bool) -> None:
        self._client = client
        self._place = place
        self._is_ours = is_ours
        self._used = monotonic_clock()
        self._hanging: list[Thread] = []

    def run(self, operation: str, command: tuple[Any, ...], again: bool) -> Any:
        """Run a command in a separate thread, which can limit any client; return the response.

        Args:
            operation: its name, for errors.
            again: whether to repeat it once if the response was lost.

        Raises:
            TokenStoreError: with the library's error as its cause.
        """
        answer, error = self._in_thread(lambda: self._execute(command, again))
        if error is not None:
            empty_frames(error, None)  # The frames contain the password.
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
        except RuntimeError as error:  # Shutdown of the interpreter, or too many threads.
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
            # The same cause has probably cut the idle connections as well.
            self._drop_idle()
            if not again or monotonic_clock() - began > _AGAIN_BEFORE:
                raise
        return self._client.execute_command(*command, **_BYTES)

    def _drop_idle(self) -> None:
        for pool in pools(self._client):
            with suppress(Exception):
                pool.disconnect(inuse_connections=False)


class AsyncCalls:
    """Calls to an asyncio client, with the arguments of `Calls`."""

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
            # In redis-py 8, concurrent first commands of a cluster client close each other's nodes.
            await self._client.initialize()
        return await self._client.execute_command(*command, **_BYTES)


def _was_cut(error: Exception) -> bool:
    """Return whether it is a ConnectionError, of Python or of one of the libraries."""
    return any(kind.__name__ == "ConnectionError" for kind in type(error).__mro__)


def _failure(operation: str, error: BaseException, place: str) -> TokenStoreError:
    return TokenStoreError(f"{operation} failed: {cause_of(error)} at {place}")
