"""How `StoreContract` calls a store with plain or coroutine functions."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import inspect
import queue
import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

#: A lease that outlives the test, in seconds.
LONG = 30.0


def new_record(size: int = 90) -> bytes:
    """Return random bytes that look like an encrypted record: URL-safe base64."""
    return base64.urlsafe_b64encode(secrets.token_bytes(size // 4 * 3 - 1))


class Calls:
    """Base class of `StoreContract`: everything except the tests."""

    lease_seconds: float = 0.3
    at_once: float = 0.5
    runner: asyncio.Runner

    def pass_time(self, seconds: float) -> None:
        """Let time pass. Override it if you can set the clock of your store."""
        time.sleep(seconds)

    @pytest.fixture(autouse=True)
    def _event_loop_and_threads(self) -> Iterator[None]:
        with self._running():
            yield

    @contextmanager
    def _running(self) -> Generator[None, None, None]:
        #: Keeps leases alive: a collected lease may look like one of a dead process.
        self._kept: list[Any] = []
        # All stay alive, so that no two share an identity.
        self._workers = [_Worker() for _ in range(3)]
        try:
            with asyncio.Runner() as self.runner:
                yield
        finally:
            for worker in self._workers:
                worker.calls.put(None)

    @pytest.fixture
    def name(self) -> str:
        """Return a name that was never used."""
        return secrets.token_hex(16)

    def _do(self, function: Callable[..., Any], *args: Any) -> Any:
        limit = 10.0 * self.at_once
        if inspect.iscoroutinefunction(function):
            return self.runner.run(asyncio.wait_for(function(*args), limit))
        worker = self._workers.pop(0)
        self._workers.append(worker)
        future = worker.call(function, *args)
        done, _ = concurrent.futures.wait([future], limit)
        assert done, f"{function!r} must return within {limit:g} s"
        result = future.result()
        assert not inspect.isawaitable(result), (
            f"{function!r} must be a coroutine function (async def), or return no awaitable"
        )
        return result

    def _load(self, store: Any, name: str) -> Any:
        return self._do(store.load, name)

    def _try_lock(self, store: Any, name: str, seconds: float = LONG) -> Any:
        lease = self._do(store.try_lock, name, seconds)
        self._kept.append(lease)
        return lease

    def _take(self, store: Any, name: str, seconds: float = LONG) -> Any:
        lease = self._try_lock(store, name, seconds)
        assert lease is not None, "try_lock() must return a lease that nobody holds"
        return lease

    def _put(self, store: Any, name: str, record: bytes | None) -> None:
        lease = self._take(store, name)
        self._do(store.save, name, record, lease)
        self._do(lease.release)

    def _expire(self) -> None:
        self.pass_time(self.lease_seconds * 1.1)

    def _is_refused_at_once(self, store: Any, name: str) -> bool:
        began = time.perf_counter()
        try:
            if inspect.iscoroutinefunction(store.try_lock):
                lease = self.runner.run(asyncio.wait_for(store.try_lock(name, LONG), self.at_once))
            else:
                lease = _in_thread(store.try_lock, name, LONG).result(self.at_once)
        except TimeoutError:
            return False
        return lease is None and time.perf_counter() - began < self.at_once

    def _try_lock_at_once(self, stores: list[Any], name: str) -> list[Any]:
        if inspect.iscoroutinefunction(stores[0].try_lock):

            async def all_at_once() -> list[Any]:
                return await asyncio.gather(*(each.try_lock(name, LONG) for each in stores))

            return self.runner.run(all_at_once())
        barrier = threading.Barrier(len(stores))

        def take(each: Any) -> Any:
            barrier.wait()
            return each.try_lock(name, LONG)

        tasks = [_in_thread(take, each) for each in stores]
        return [task.result() for task in tasks]


class _Worker:
    """A thread for calls. A hanging call does not keep the process alive."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def call(self, function: Callable[..., Any], *args: Any) -> concurrent.futures.Future[Any]:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def call() -> None:
            try:
                future.set_result(function(*args))
            except BaseException as error:
                future.set_exception(error)

        self.calls.put(call)
        return future

    def _run(self) -> None:
        while (call := self.calls.get()) is not None:
            call()


def _in_thread(function: Callable[..., Any], *args: Any) -> concurrent.futures.Future[Any]:
    """Make one call in a new thread."""
    worker = _Worker()
    future = worker.call(function, *args)
    worker.calls.put(None)
    return future
