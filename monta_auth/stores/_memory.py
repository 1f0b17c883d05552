"""A store in this process's memory: shares a pair between sources that are not the same."""

from __future__ import annotations

import threading
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


class _MemoryLease:
    def __init__(self, store: MemoryStore, until: float) -> None:
        self._store = store
        self.until = until

    def release(self) -> None:
        self._store.release(self)
