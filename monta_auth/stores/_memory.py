"""A store in this process's memory: shares a pair between sources that are not the same."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable

from .._core.policy import monotonic_clock
from .._core.tokens import TokenSet


class MemoryStore:
    """Keeps the pair in memory. For tests, and as the shortest example of a store.

    Args:
        monotonic: the clock that leases run on, in seconds.
    """

    def __init__(self, *, monotonic: Callable[[], float] = monotonic_clock) -> None:
        self._monotonic = monotonic
        self._mutex = threading.RLock()
        self._pair: TokenSet | None = None
        self._lease: _MemoryLease | None = None
        _every_store.add(self)

    def load(self) -> TokenSet | None:
        return self._pair

    def try_lock(self, seconds: float) -> _MemoryLease | None:
        now = self._monotonic()
        with self._mutex:
            if self._lease is not None and now < self._lease.until:
                return None
            self._lease = _MemoryLease(self, now + seconds)
            return self._lease

    def save(self, pair: TokenSet | None, lease: object) -> None:
        with self._mutex:
            # A holder that lost its lease must not overwrite the pair of its successor.
            if lease is not None and lease is self._lease:
                self._pair = pair

    def release(self, lease: _MemoryLease) -> None:
        with self._mutex:
            if lease is self._lease:
                self._lease = None

    def __repr__(self) -> str:
        return f"MemoryStore({'a pair' if self._pair else 'empty'})"


_every_store: weakref.WeakSet[MemoryStore] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for store in list(_every_store):
        # The parent's threads are not here, its lease is on a store of its own by now, and its
        # refresh token is for it to use.
        store._mutex = threading.RLock()
        store._lease = None
        if store._pair is not None:
            store._pair = store._pair.__replace__(refresh_token=None, refresh_expires_at=None)


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)


class _MemoryLease:
    def __init__(self, store: MemoryStore, until: float) -> None:
        self._store = store
        self.until = until

    def release(self) -> None:
        self._store.release(self)
