"""The store in memory: it passes the suite, and after a fork, parent and child are separate."""

import os
import pickle
from typing import Any

import pytest

from monta_auth import stores
from monta_auth._core.store_protocol import Lease, Store
from monta_auth.stores._memory_store import MemoryStore
from monta_auth.stores.testing import StoreContract

from ..clock import Now


@pytest.fixture
def store(now: Now) -> MemoryStore:
    return MemoryStore(monotonic=now)


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self, now: Now) -> MemoryStore:
        self.now = now
        return MemoryStore(monotonic=now)

    def pass_time(self, seconds: float) -> None:
        self.now.advance(seconds)


def test_it_has_the_protocols_of_a_store_and_a_lease(store: MemoryStore) -> None:
    as_store: Store = store
    lease: Lease | None = store.try_lock("a", 6.0)
    assert as_store.load("a") is None
    assert lease is not None


def test_without_arguments_it_uses_the_monotonic_clock() -> None:
    store = MemoryStore()
    assert store.try_lock("a", 1e9) is not None
    assert store.try_lock("a", 1e9) is None


def test_the_repr_shows_the_number_of_records_and_no_content(store: MemoryStore) -> None:
    assert repr(store) == "MemoryStore(0 records)"
    store.save("name-1", b"record-1", store.try_lock("name-1", 6.0))
    assert repr(store) == "MemoryStore(1 record)"
    store.save("name-2", b"record-2", store.try_lock("name-2", 6.0))
    assert repr(store) == "MemoryStore(2 records)"


def test_nothing_is_saved_without_a_lease(store: MemoryStore) -> None:
    store.save("a", b"record-1", None)
    assert store.load("a") is None


def test_it_cannot_be_pickled(store: MemoryStore) -> None:
    """Another process would get a store that no other process has."""
    with pytest.raises(TypeError):
        pickle.dumps(store)


def test_a_forked_child_has_no_lease_and_doubts_each_record(store: MemoryStore) -> None:
    """The refresh tokens are for the parent."""
    saved: Any = store.try_lock("a", 6.0)
    store.save("a", b"record-1", saved)
    saved.release()
    held: Any = store.try_lock("b", 6.0)
    store.save("b", b"record-2", held)

    if (child := os.fork()) == 0:
        status = 1
        try:
            store.save("b", b"record-3", held)
            assert store.load("b") == b"record-2"
            assert not held.extend(6.0)
            for name in "ab":
                lease = store.try_lock(name, 6.0)
                assert lease is not None
                assert lease.doubt
            new = store.try_lock("c", 6.0)
            assert new is not None
            assert not new.doubt
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0

    assert held.extend(6.0)
    assert store.try_lock("b", 6.0) is None
    lease = store.try_lock("a", 6.0)
    assert lease is not None
    assert not lease.doubt


def test_an_unknown_name_raises_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'SqlStore'"):
        getattr(stores, "SqlStore")  # noqa: B009 - checkers know that it is not there
