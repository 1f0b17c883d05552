"""Test a custom store against the rules of all stores.

Subclass `StoreContract` in your tests and return your store from its fixture::

    import pytest
    from monta_auth.stores.testing import StoreContract

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self):
            return MyStore()
"""

from __future__ import annotations

from typing import Any

import pytest

from ._calls import LONG, Calls, new_record

__all__ = ["StoreContract"]


class StoreContract(Calls):
    """Test your store: subclass this and override the fixture `store`.

    The store's methods may be plain or coroutine functions. Plain functions are called from
    changing threads, as async clients do. Coroutine functions run in one event loop per test, which
    fixtures can use too: ``self.runner.run(connect())``.

    Every test uses new names, so other records may be present. Names are 32 hexadecimal digits and
    records up to 45 kB of URL-safe base64. A run takes 4 to 5 s.

    Attributes:
        lease_seconds: life of a lease that a test lets expire, in seconds. Raise it if your store
            is slow or counts whole seconds.
        at_once: longest time in seconds for ``try_lock`` if the lease is taken.
    """

    @pytest.fixture
    def store(self) -> Any:
        """Return your store. You must override this."""
        raise NotImplementedError("override the fixture `store` and return your store from it")

    @pytest.fixture
    def other(self, store: Any) -> Any:
        """Return the store as another process sees it. Override it to return a second object."""
        return store

    # --- records

    def test_a_name_without_a_record_loads_none(self, store: Any, name: str) -> None:
        assert self._load(store, name) is None, "load() must return None if there is no record"

    @pytest.mark.parametrize("size", [100, 45_000])
    def test_what_was_saved_is_loaded(self, store: Any, other: Any, name: str, size: int) -> None:
        record = new_record(size)
        self._put(store, name, record)
        for each in (store, other):
            assert self._load(each, name) == record, "load() must return what was saved"

    def test_a_save_is_written_when_it_returns(self, store: Any, other: Any, name: str) -> None:
        lease = self._take(store, name)
        for _ in range(3):
            record = new_record()
            self._do(store.save, name, record, lease)
            assert self._load(other, name) == record, "save() must not return before it has written"

    def test_one_lease_saves_several_times(self, store: Any, name: str) -> None:
        lease = self._take(store, name)
        records = [new_record(), new_record(), None, new_record()]
        for record in records:
            self._do(store.save, name, record, lease)
            assert self._load(store, name) == record, "each save() on one lease must count"

    def test_saving_none_deletes(self, store: Any, other: Any, name: str) -> None:
        self._put(store, name, None)
        for _ in range(2):
            self._put(store, name, new_record())
            self._put(other, name, None)
            assert self._load(store, name) is None, "save(name, None, lease) must delete the record"

    def test_names_have_nothing_in_common(self, store: Any, name: str) -> None:
        name_2 = name[:-1] + ("0" if name[-1] != "0" else "1")
        record, record_2 = new_record(), new_record()
        lease = self._take(store, name)
        lease_2 = self._try_lock(store, name_2)
        assert lease_2 is not None, "a lease of one name must not block another name"
        self._do(store.save, name, record, lease)
        assert self._load(store, name_2) is None, "a record belongs to one name"
        self._do(store.save, name_2, record_2, lease_2)
        assert self._load(store, name) == record, "a record belongs to one name"
        self._do(lease_2.release)
        assert self._try_lock(store, name) is None, "a release must free one name only"
        self._put(store, name_2, None)
        assert self._load(store, name) == record, "a deletion must delete one name only"

    def test_the_methods_return_the_right_types(self, store: Any, name: str) -> None:
        lease = self._do(store.try_lock, name, LONG)
        assert callable(getattr(lease, "extend", None)), (
            f"try_lock() must return None or a lease with doubt, extend() and release(): {lease!r}"
        )
        assert callable(getattr(lease, "release", None)), "a lease must have a method release()"
        assert isinstance(lease.doubt, bool), "lease.doubt must be True or False"
        refused = self._do(store.try_lock, name, LONG)
        assert refused is None, f"try_lock() must return None if another holds it: {refused!r}"
        self._do(store.save, name, new_record(), lease)
        record = self._do(store.load, name)
        assert isinstance(record, bytes), f"load() must return bytes: {type(record)}"
        assert self._do(lease.extend, LONG) is True, "extend() must return True while it is held"
        self._do(lease.release)
        assert self._do(lease.extend, LONG) is False, "extend() must return False once it is lost"

    # --- leases

    def test_only_one_holds_the_lease(self, store: Any, other: Any, name: str) -> None:
        lease = self._take(store, name)
        for each in (store, other):
            assert self._try_lock(each, name) is None, "two must not hold the lease at once"
        self._do(lease.release)
        assert self._try_lock(other, name) is not None, "a released lease must be free"

    def test_nobody_waits_for_a_lease(self, store: Any, other: Any, name: str) -> None:
        lease = self._take(store, name)
        try:  # Three tries, for busy machines.
            assert any(self._is_refused_at_once(other, name) for _ in range(3)), (
                "try_lock() must return None at once if another holds the lease"
            )
        finally:
            self._do(lease.release)

    def test_a_lease_expires_by_itself(self, store: Any, other: Any, name: str) -> None:
        self._take(store, name, self.lease_seconds)
        self._expire()
        assert self._try_lock(other, name) is not None, "a lease must expire by itself"

    def test_an_extended_lease_expires_later(self, store: Any, other: Any, name: str) -> None:
        lease = self._take(store, name, self.lease_seconds)
        assert self._do(lease.extend, LONG), "a lease that is held must be extended"
        self._expire()
        assert self._try_lock(other, name) is None, "an extended lease must be held for longer"
        assert self._do(lease.extend, self.lease_seconds), "it must be extended more than once"
        self._expire()
        assert self._try_lock(other, name) is not None, "an extended lease must expire, too"

    def test_who_lost_the_lease_changes_nothing(self, store: Any, other: Any, name: str) -> None:
        record, record_2 = new_record(), new_record()
        self._put(store, name, record)
        late = self._take(store, name, self.lease_seconds)
        self._expire()
        for change in (new_record(), None):
            self._do(store.save, name, change, late)
            assert self._load(store, name) == record, "save() must do nothing after the lease ended"
        successor = self._take(other, name)
        for expected in (record, record_2):
            self._do(other.save, name, expected, successor)
            for change in (new_record(), None):
                self._do(store.save, name, change, late)
                assert self._load(store, name) == expected, (
                    "save() must do nothing for a lost lease"
                )

    def test_who_released_the_lease_changes_nothing(self, store: Any, name: str) -> None:
        record = new_record()
        self._put(store, name, record)
        lease = self._take(store, name)
        self._do(lease.release)
        for change in (new_record(), None):
            self._do(store.save, name, change, lease)
            assert self._load(store, name) == record, "save() must do nothing after release()"

    def test_a_second_or_late_release_takes_nothing_from_the_successor(
        self, store: Any, other: Any, name: str
    ) -> None:
        released = self._take(store, name)
        self._do(released.release)
        held = self._take(store, name)
        self._do(released.release)
        assert self._try_lock(other, name) is None, "a second release() must free nothing"
        self._do(held.release)
        late = self._take(store, name, self.lease_seconds)
        self._expire()
        successor = self._take(other, name)
        for lease in (late, released, late):
            self._do(lease.release)
            assert self._try_lock(store, name) is None, "a late release() must free nothing"
        assert self._do(successor.extend, LONG), "a late release() must leave the successor's lease"

    def test_a_lost_lease_is_not_extended(self, store: Any, other: Any, name: str) -> None:
        lease = self._take(store, name, self.lease_seconds)
        self._expire()
        assert not self._do(lease.extend, LONG), "extend() of an expired lease must return False"
        successor = self._try_lock(other, name)
        assert successor is not None, "extend() must not revive an expired lease"
        assert not self._do(lease.extend, LONG), "extend() of a lost lease must return False"
        self._do(successor.release)
        assert not self._do(successor.extend, LONG), "extend() after release() must return False"
        assert self._try_lock(store, name) is not None, "extend() must not revive a released lease"

    def test_of_many_one_gets_the_lease(self, store: Any, other: Any, name: str) -> None:
        leases = self._try_lock_at_once([store, other] * 8, name)
        count = sum(lease is not None for lease in leases)
        assert count == 1, f"one of many must get the lease, not {count}"

    # --- doubt

    def test_there_is_no_doubt_about_who_released(self, store: Any, other: Any, name: str) -> None:
        self._put(store, name, new_record())
        lease = self._take(other, name)
        assert lease.doubt is False, "doubt must be False after a save and a release"
        assert self._do(lease.extend, LONG)
        self._do(lease.release)
        assert self._take(store, name).doubt is False, "doubt must be False after a release"

    def test_there_is_doubt_about_who_was_lost(self, store: Any, other: Any, name: str) -> None:
        self._put(store, name, new_record())
        self._take(store, name, self.lease_seconds)
        self._expire()
        lease = self._take(other, name, self.lease_seconds)
        assert lease.doubt is True, (
            "doubt must be True if the holder before neither saved nor released"
        )
        self._expire()
        lease = self._take(store, name)
        assert lease.doubt is True, "doubt must be True as long as each holder is lost"
        self._do(store.save, name, new_record(), lease)
        self._do(lease.release)
        assert self._take(other, name).doubt is False, "a save must settle the doubt"

    def test_a_late_release_settles_no_doubt(self, store: Any, other: Any, name: str) -> None:
        self._put(store, name, new_record())
        late = self._take(store, name, self.lease_seconds)
        self._expire()
        self._do(late.release)
        assert self._take(other, name).doubt is True, "its holder could not save any more"

    def test_a_late_save_settles_no_doubt(self, store: Any, other: Any, name: str) -> None:
        late = self._take(store, name, self.lease_seconds)
        self._expire()
        self._do(store.save, name, new_record(), late)
        assert self._take(other, name).doubt is True, "its holder could not save any more"

    def test_there_is_no_doubt_about_who_was_lost_after_a_save(
        self, store: Any, other: Any, name: str
    ) -> None:
        lease = self._take(store, name, self.lease_seconds)
        self._do(store.save, name, new_record(), lease)
        self._expire()
        assert self._take(other, name).doubt is False, "doubt must be False after a save"

    def test_there_is_doubt_about_who_extended_after_a_save(
        self, store: Any, other: Any, name: str
    ) -> None:
        lease = self._take(store, name)
        self._do(store.save, name, new_record(), lease)
        assert self._do(lease.extend, self.lease_seconds)
        self._expire()
        assert self._take(other, name).doubt is True, (
            "doubt must be True after a save and an extend"
        )

    # --- check

    def test_its_check_finds_nothing_wrong(self, store: Any) -> None:
        check = getattr(store, "check", None)
        if check is not None:
            self._do(check)
