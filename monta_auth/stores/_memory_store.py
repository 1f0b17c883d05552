"""A store in the memory of this process."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable

from .._core.policy import monotonic_clock
from ._check import check


class MemoryStore:
    """Keep records in memory, for tests and as the shortest example of a store.

    Args:
        monotonic: the clock for leases; returns seconds.
    """

    def __init__(self, *, monotonic: Callable[[], float] = monotonic_clock) -> None:
        self._monotonic = monotonic
        self._mutex = threading.RLock()
        self._records: dict[str, bytes] = {}
        #: The last lease of each name, unless it was released.
        self._leases: dict[str, _MemoryLease] = {}
        _every_store.add(self)

    def load(self, name: str) -> bytes | None:
        return self._records.get(name)

    def try_lock(self, name: str, seconds: float) -> _MemoryLease | None:
        with self._mutex:
            before = self._leases.get(name)
            if before is not None and self._holds(before):
                return None
            doubt = before is not None and not before.saved
            lease = _MemoryLease(self, name, self._monotonic() + seconds, doubt)
            self._leases[name] = lease
            return lease

    def save(self, name: str, record: bytes | None, lease: object) -> None:
        with self._mutex:
            # A holder that lost its lease must not overwrite the record of its successor.
            if not isinstance(lease, _MemoryLease) or not self._holds(lease):
                return
            if record is None:
                self._records.pop(name, None)
            else:
                self._records[name] = record
            lease.saved = True

    def check(self) -> None:
        """Save, load and delete a record under a name that nothing else uses."""
        check(self)

    def __repr__(self) -> str:
        count = len(self._records)
        return f"MemoryStore({count} record{'' if count == 1 else 's'})"

    def _extend(self, lease: _MemoryLease, seconds: float) -> bool:
        with self._mutex:
            if not self._holds(lease):
                return False
            lease.until = self._monotonic() + seconds
            lease.saved = False
            return True

    def _release(self, lease: _MemoryLease) -> None:
        with self._mutex:
            # An expired lease stays: its holder could not save, which leaves a doubt.
            if self._holds(lease):
                del self._leases[lease.name]

    def _holds(self, lease: _MemoryLease) -> bool:
        return self._leases.get(lease.name) is lease and self._monotonic() < lease.until


class _MemoryLease:
    def __init__(self, store: MemoryStore, name: str, until: float, doubt: bool) -> None:
        self.name = name
        self.until = until
        self.doubt = doubt
        #: Whether its holder saved since the lease was taken or last extended.
        self.saved = False
        self._store = store

    def extend(self, seconds: float) -> bool:
        return self._store._extend(self, seconds)

    def release(self) -> None:
        self._store._release(self)


_every_store: weakref.WeakSet[MemoryStore] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for store in list(_every_store):
        # The child has neither the parent's threads nor its leases. Only the parent may use its
        # refresh tokens, so the child treats them like those of a lost holder.
        store._mutex = threading.RLock()
        store._leases = {
            name: _MemoryLease(store, name, float("-inf"), False) for name in store._records
        }


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
