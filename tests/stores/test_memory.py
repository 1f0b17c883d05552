"""The store in memory: one lease at a time, and only its holder may save."""

from datetime import UTC, datetime

import pytest

from monta_auth import RefreshPolicy, TokenSet
from monta_auth._core.policy import STORE_LEASE
from monta_auth.stores import Lease, MemoryStore, Store

from ..clock import Now

PAIR = TokenSet("access-1", "refresh-1", datetime(2025, 8, 6, 10, tzinfo=UTC))
OTHER = TokenSet("access-2", "refresh-2", datetime(2025, 8, 6, 11, tzinfo=UTC))


@pytest.fixture
def store(now: Now) -> MemoryStore:
    return MemoryStore(monotonic=now)


def test_it_is_a_store_and_its_lease_a_lease(store: MemoryStore) -> None:
    as_store: Store = store
    lease: Lease | None = store.try_lock(8.0)
    assert as_store.load() is None
    assert lease is not None


def test_a_store_without_arguments_runs_on_the_monotonic_clock() -> None:
    store = MemoryStore()
    assert store.try_lock(1e9) is not None
    assert store.try_lock(1e9) is None


def test_what_was_saved_is_loaded_and_none_deletes(store: MemoryStore) -> None:
    lease = store.try_lock(8.0)
    store.save(PAIR, lease)
    assert store.load() is PAIR
    store.save(None, lease)
    assert store.load() is None


def test_nobody_gets_a_lease_while_another_holds_it(store: MemoryStore, now: Now) -> None:
    assert store.try_lock(8.0) is not None
    now.advance(7.9)
    assert store.try_lock(8.0) is None


def test_a_lease_expires_by_itself(store: MemoryStore, now: Now) -> None:
    """A holder that was cancelled cannot always give its lease back."""
    lost = store.try_lock(8.0)
    now.advance(8.0)
    assert store.try_lock(8.0) is not None
    assert lost is not None


def test_who_lost_the_lease_does_not_overwrite_the_successor(store: MemoryStore, now: Now) -> None:
    """The pair of the late holder is the older one: its refresh token is spent."""
    late = store.try_lock(8.0)
    now.advance(8.0)
    successor = store.try_lock(8.0)
    store.save(OTHER, successor)

    store.save(PAIR, late)
    store.save(None, late)

    assert store.load() is OTHER


def test_a_lease_that_was_given_back_is_free_for_the_next(store: MemoryStore) -> None:
    lease = store.try_lock(8.0)
    assert lease is not None
    lease.release()
    store.save(PAIR, lease)
    assert store.load() is None
    assert store.try_lock(8.0) is not None


def test_releasing_twice_or_late_takes_nothing_from_the_successor(
    store: MemoryStore, now: Now
) -> None:
    late = store.try_lock(8.0)
    assert late is not None
    now.advance(8.0)
    successor = store.try_lock(8.0)
    late.release()
    late.release()
    assert store.try_lock(8.0) is None
    store.save(PAIR, successor)
    assert store.load() is PAIR


def test_the_repr_shows_no_token(store: MemoryStore) -> None:
    assert repr(store) == "MemoryStore(empty)"
    store.save(PAIR, store.try_lock(8.0))
    assert repr(store) == "MemoryStore(a pair)"


def test_leases_are_shorter_than_a_requests_deadline() -> None:
    """Whoever waits behind a process that died gets its turn within its own deadline."""
    assert RefreshPolicy().deadline > STORE_LEASE


def test_nothing_is_saved_without_a_lease() -> None:
    store = MemoryStore()
    store.save(PAIR, None)
    assert store.load() is None
