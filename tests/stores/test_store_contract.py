"""The suite for stores: a correct store passes, and each fault fails the test that names it."""

from __future__ import annotations

import asyncio
import inspect
import secrets
import threading
import time
from collections.abc import Callable
from textwrap import dedent
from typing import Any

import pytest

from monta_auth import TokenStoreError
from monta_auth.stores import MemoryStore, _check, testing
from monta_auth.stores.testing import StoreContract

from ..clock import Now

pytest_plugins = "pytester"

Name = str


class Lease:
    def __init__(self, place: Place, name: Name, until: float, doubt: bool) -> None:
        self.place, self.name, self.until = place, name, until
        self.doubt = doubt
        self.saved = False

    def extend(self, seconds: float) -> bool:
        if not self.is_held():
            return False
        self.until = self.place.now() + seconds
        self.saved = False
        return True

    def release(self) -> None:
        if self.is_held():
            del self.place.leases[self.name]

    def is_held(self) -> bool:
        return self.place.leases.get(self.name) is self and self.place.now() < self.until


class Place:
    """A correct store in small parts, so that a subclass can make one part wrong."""

    lease_class = Lease

    def __init__(self, now: Now) -> None:
        self.now = now
        self.mutex = threading.RLock()
        self.records: dict[Name, bytes] = {}
        self.leases: dict[Name, Lease] = {}

    def load(self, name: Name) -> bytes | None:
        return self.records.get(name)

    def try_lock(self, name: Name, seconds: float) -> Lease | None:
        with self.mutex:
            before = self.leases.get(name)
            if before is not None and before.is_held():
                return None
            doubt = self.doubt_of(before)
            lease = self.lease_class(self, name, self.now() + seconds, doubt)
            self.leases[name] = lease
            return lease

    def doubt_of(self, before: Lease | None) -> bool:
        return before is not None and not before.saved

    def save(self, name: Name, record: bytes | None, lease: Lease) -> None:
        with self.mutex:
            if lease.is_held():
                self.put(name, record)
                lease.saved = True

    def put(self, name: Name, record: bytes | None) -> None:
        self.records.pop(name, None)
        if record is not None:
            self.records[name] = record

    def check(self) -> None:
        _check.check(self)


class AsyncLease(Lease):
    async def extend(self, seconds: float) -> bool:  # type: ignore[override]
        return super().extend(seconds)

    async def release(self) -> None:  # type: ignore[override]
        super().release()


class AsyncPlace(Place):
    lease_class = AsyncLease

    async def load(self, name: Name) -> bytes | None:  # type: ignore[override]
        return super().load(name)

    async def try_lock(self, name: Name, seconds: float) -> Lease | None:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().try_lock(name, seconds)

    async def save(self, name: Name, record: bytes | None, lease: Lease) -> None:  # type: ignore[override]
        super().save(name, record, lease)

    async def check(self) -> None:  # type: ignore[override]
        await _check.acheck(self)


# --- runs of the suite, without the time that pytest takes


class Contract(StoreContract):
    at_once = 0.1
    now: Now

    def pass_time(self, seconds: float) -> None:
        self.now.advance(seconds)


TESTS = {
    name: function for name, function in vars(StoreContract).items() if name.startswith("test_")
}


def failures(kind: Callable[[Now], Any], only: str = "") -> dict[str, str]:
    """Run each test of the suite with a new store. Return the texts of the failed tests."""
    failed: dict[str, str] = {}
    for name, test in TESTS.items():
        if only not in name:
            continue
        suite = Contract()
        suite.now = Now()
        store = kind(suite.now)
        values = {"store": store, "other": store, "name": secrets.token_hex(16), "size": 45_000}
        wanted = list(inspect.signature(test).parameters)[1:]
        with suite._running():
            try:
                test(suite, **{each: values[each] for each in wanted})
            except Exception as error:
                failed[name] = str(error)
    return failed


@pytest.mark.parametrize("kind", [Place, AsyncPlace])
def test_a_correct_store_passes(kind: type[Place]) -> None:
    assert failures(kind) == {}


def test_a_store_without_a_check_passes() -> None:
    class WithoutCheck(Place):
        check = None  # type: ignore[assignment]

    assert failures(WithoutCheck) == {}


# --- faulty stores, and the tests that must fail for them


class Forgets(Place):
    """A lease has no effect."""

    def try_lock(self, name: Name, seconds: float) -> Lease | None:
        self.leases.pop(name, None)
        return super().try_lock(name, seconds)


class LosesASave(Place):
    def put(self, name: Name, record: bytes | None) -> None:
        pass


class CutsOff(Place):
    """A column that is too short."""

    def put(self, name: Name, record: bytes | None) -> None:
        super().put(name, record and record[:4096])


class KeepsWhatWasDeleted(Place):
    def put(self, name: Name, record: bytes | None) -> None:
        if record is not None:
            super().put(name, record)


class MixesUpRecords(Place):
    def put(self, name: Name, record: bytes | None) -> None:
        super().put("record", record)

    def load(self, name: Name) -> bytes | None:
        return super().load("record")


class MixesUpLeases(Place):
    def try_lock(self, name: Name, seconds: float) -> Lease | None:
        return super().try_lock("lease", seconds)


class NeverExpires(Place):
    class lease_class(Lease):  # noqa: N801
        def is_held(self) -> bool:
            return self.place.leases.get(self.name) is self


class IgnoresItsExtension(Place):
    class lease_class(Lease):  # noqa: N801
        def extend(self, seconds: float) -> bool:
            return self.is_held()


class ExtendsForEver(Place):
    class lease_class(Lease):  # noqa: N801
        def extend(self, seconds: float) -> bool:
            return super().extend(1e9)


class WritesWhenItIsLost(Place):
    def save(self, name: Name, record: bytes | None, lease: Lease) -> None:
        self.put(name, record)
        lease.saved = True


class WritesUntilAnotherTakesIt(Place):
    """It checks that the lease is there, but not whether it has expired."""

    def save(self, name: Name, record: bytes | None, lease: Lease) -> None:
        if self.leases.get(name) is lease:
            self.put(name, record)
            lease.saved = True


class DeletesWhenItIsLost(Place):
    def save(self, name: Name, record: bytes | None, lease: Lease) -> None:
        if record is None:
            self.put(name, None)
        super().save(name, record, lease)


class ReleasesThatOfAnother(Place):
    """It deletes the lock without checking whose lock it is."""

    class lease_class(Lease):  # noqa: N801
        def release(self) -> None:
            self.place.leases.pop(self.name, None)


class ReleasesALostOne(Place):
    """The holder could no longer save, and later leases have no doubt."""

    class lease_class(Lease):  # noqa: N801
        def release(self) -> None:
            if self.place.leases.get(self.name) is self:
                del self.place.leases[self.name]


class SettlesWithALateSave(Place):
    """Like ``UPDATE ... SET saved`` for a token, without checking its time."""

    def save(self, name: Name, record: bytes | None, lease: Lease) -> None:
        super().save(name, record, lease)
        lease.saved = True


class CutsNamesOff(Place):
    """A column that is too short."""

    def try_lock(self, name: Name, seconds: float) -> Lease | None:
        return super().try_lock(name[:8], seconds)


class ExtendsALostOne(Place):
    class lease_class(Lease):  # noqa: N801
        def extend(self, seconds: float) -> bool:
            super().extend(seconds)
            return True


class ExtendsAnExpiredOne(Place):
    """No other caller has taken it since, so it takes the lease back."""

    class lease_class(Lease):  # noqa: N801
        def extend(self, seconds: float) -> bool:
            if self.place.leases.get(self.name) is self:
                self.until = self.place.now() + seconds
            return super().extend(seconds)


class NeverDoubts(Place):
    def doubt_of(self, before: Lease | None) -> bool:
        return False


class DoubtsEachLostOne(Place):
    def doubt_of(self, before: Lease | None) -> bool:
        return before is not None


class DoubtsEachBefore(Place):
    def __init__(self, now: Now) -> None:
        super().__init__(now)
        self.known: set[Name] = set()

    def doubt_of(self, before: Lease | None) -> bool:
        return any(name in self.known for name in self.records)

    def put(self, name: Name, record: bytes | None) -> None:
        super().put(name, record)
        self.known.add(name)


class SettlesForGood(Place):
    class lease_class(Lease):  # noqa: N801
        def extend(self, seconds: float) -> bool:
            saved = self.saved
            held = super().extend(seconds)
            self.saved = saved
            return held


class GivesTrue(Place):
    """`cache.add` does this."""

    def try_lock(self, name: Name, seconds: float) -> Any:
        return super().try_lock(name, seconds) is not None


class GivesFalse(Place):
    def try_lock(self, name: Name, seconds: float) -> Any:
        return super().try_lock(name, seconds) or False


class GivesText(Place):
    def load(self, name: Name) -> Any:
        record = super().load(name)
        return record and record.decode()


class ForgetsToSayThatItExtended(Place):
    class lease_class(Lease):  # noqa: N801
        def extend(self, seconds: float) -> Any:
            super().extend(seconds)


class HasNoRelease(Place):
    class lease_class(Lease):  # noqa: N801
        release = None  # type: ignore[assignment]


class GivesCoroutines(Place):
    """Plain functions that return awaitables, which would run in the wrong place."""

    def load(self, name: Name) -> Any:
        async def load() -> bytes | None:
            raise AssertionError

        coroutine = load()
        coroutine.close()
        return coroutine


class Waits(Place):
    def try_lock(self, name: Name, seconds: float) -> Lease | None:
        end = time.monotonic() + 0.15
        while (lease := super().try_lock(name, seconds)) is None and time.monotonic() < end:
            time.sleep(0.005)
        return lease


class WaitsForEver(Place):
    """A lock that is acquired without a time limit."""

    def __init__(self, now: Now) -> None:
        super().__init__(now)
        self.released = threading.Event()

    def try_lock(self, name: Name, seconds: float) -> Lease | None:
        lease = super().try_lock(name, seconds)
        if lease is None:
            self.released.wait(1.0)
        return lease


class AsyncWaits(AsyncPlace):
    async def try_lock(self, name: Name, seconds: float) -> Lease | None:  # type: ignore[override]
        lease = await super().try_lock(name, seconds)
        if lease is None:
            await asyncio.sleep(0.15)
        return lease


class WritesLater(Place):
    def save(self, name: Name, record: bytes | None, lease: Lease) -> None:
        threading.Timer(0.01, super().save, (name, record, lease)).start()


class SavesOnce(Place):
    """Its save releases the lease."""

    def save(self, name: Name, record: bytes | None, lease: Lease) -> None:
        super().save(name, record, lease)
        lease.release()


class OneThread(Place):
    """A connection of sqlite3 does this."""

    def __init__(self, now: Now) -> None:
        super().__init__(now)
        self.thread = threading.get_ident()

    def load(self, name: Name) -> bytes | None:
        if threading.get_ident() != self.thread:
            raise RuntimeError("made in another thread")
        return super().load(name)


class OneThreadPerLease(Place):
    """An RLock, or a lock file that belongs to one thread, does this."""

    class lease_class(Lease):  # noqa: N801
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.thread = threading.get_ident()

        def release(self) -> None:
            if threading.get_ident() != self.thread:
                raise RuntimeError("taken in another thread")
            super().release()


class LooksBeforeItTakes(Place):
    def try_lock(self, name: Name, seconds: float) -> Lease | None:
        before = self.leases.get(name)
        if before is not None and before.is_held():
            return None
        time.sleep(0.005)
        self.leases.pop(name, None)
        lease = super().try_lock(name, seconds)
        if lease is not None:
            lease.doubt = self.doubt_of(before)
        return lease


class AsyncLooksBeforeItTakes(AsyncPlace):
    async def try_lock(self, name: Name, seconds: float) -> Lease | None:  # type: ignore[override]
        before = self.leases.get(name)
        if before is not None and before.is_held():
            return None
        await asyncio.sleep(0)
        self.leases.pop(name, None)
        lease = Place.try_lock(self, name, seconds)
        if lease is not None:
            lease.doubt = self.doubt_of(before)
        return lease


class FailsItsCheck(Place):
    def check(self) -> None:
        raise RuntimeError("no such table")


#: Which tests fail. Dots mean that others fail as well, since nothing works.
FAULTS: dict[type[Place], str] = {
    Forgets: "only_one_holds_the_lease ...",
    LosesASave: "what_was_saved_is_loaded ...",
    CutsOff: "what_was_saved_is_loaded",
    KeepsWhatWasDeleted: (
        "saving_none_deletes one_lease_saves_several_times its_check_finds_nothing_wrong"
    ),
    MixesUpRecords: "names_have_nothing_in_common",
    MixesUpLeases: "names_have_nothing_in_common",
    NeverExpires: "a_lease_expires_by_itself ...",
    IgnoresItsExtension: (
        "an_extended_lease_expires_later there_is_doubt_about_who_extended_after_a_save"
    ),
    ExtendsForEver: (
        "an_extended_lease_expires_later there_is_doubt_about_who_extended_after_a_save"
    ),
    WritesWhenItIsLost: (
        "who_lost_the_lease_changes_nothing who_released_the_lease_changes_nothing "
        "a_late_save_settles_no_doubt"
    ),
    WritesUntilAnotherTakesIt: "who_lost_the_lease_changes_nothing a_late_save_settles_no_doubt",
    DeletesWhenItIsLost: (
        "who_lost_the_lease_changes_nothing who_released_the_lease_changes_nothing"
    ),
    ReleasesThatOfAnother: (
        "a_second_or_late_release_takes_nothing_from_the_successor a_late_release_settles_no_doubt"
    ),
    ReleasesALostOne: "a_late_release_settles_no_doubt",
    SettlesWithALateSave: "a_late_save_settles_no_doubt",
    CutsNamesOff: "names_have_nothing_in_common",
    ExtendsALostOne: "a_lost_lease_is_not_extended the_methods_return_the_right_types",
    ExtendsAnExpiredOne: "a_lost_lease_is_not_extended",
    NeverDoubts: "there_is_doubt_about_who_was_lost ...",
    DoubtsEachLostOne: "there_is_no_doubt_about_who_was_lost_after_a_save",
    DoubtsEachBefore: "there_is_no_doubt_about_who_released ...",
    SettlesForGood: "there_is_doubt_about_who_extended_after_a_save",
    GivesTrue: "the_methods_return_the_right_types ...",
    GivesFalse: "the_methods_return_the_right_types ...",
    GivesText: "the_methods_return_the_right_types ...",
    ForgetsToSayThatItExtended: "the_methods_return_the_right_types ...",
    HasNoRelease: "the_methods_return_the_right_types ...",
    GivesCoroutines: "what_was_saved_is_loaded ...",
    WritesLater: "a_save_is_written_when_it_returns ...",
    SavesOnce: "one_lease_saves_several_times ...",
    OneThread: "what_was_saved_is_loaded ...",
    OneThreadPerLease: "what_was_saved_is_loaded ...",
    LooksBeforeItTakes: "of_many_one_gets_the_lease",
    AsyncLooksBeforeItTakes: "of_many_one_gets_the_lease",
    FailsItsCheck: "its_check_finds_nothing_wrong",
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_fails_the_test_that_names_it(kind: type[Place]) -> None:
    expected = {f"test_{name}" for name in FAULTS[kind].split() if name != "..."}
    failed = failures(kind).keys()
    assert expected == failed or (expected < failed and FAULTS[kind].endswith("..."))


@pytest.mark.parametrize("kind", [Waits, AsyncWaits, WaitsForEver])
def test_a_store_that_waits_fails_the_test_that_names_it(kind: type[Place]) -> None:
    [text] = failures(kind, "test_nobody_waits_for_a_lease").values()
    assert "None at once" in text


def test_a_store_that_hangs_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Contract, "at_once", 0.01)
    [text] = failures(WaitsForEver, "test_only_one_holds_the_lease").values()
    assert "must return within 0.1 s" in text


def test_five_lines_are_enough(pytester: pytest.Pytester) -> None:
    """With real time, and a store that is made again for each process."""
    pytester.makepyfile(
        """
        import pytest
        from monta_auth.stores._memory_store import MemoryStore
        from monta_auth.stores.testing import StoreContract

        class TestMyStore(StoreContract):
            @pytest.fixture
            def store(self):
                return MemoryStore()

        class TestForgotten(StoreContract):
            pass
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:xdist", "-k", "loaded or expires_by_itself")
    result.assert_outcomes(passed=3, errors=3)
    result.stdout.fnmatch_lines(["*override the fixture `store`*"])


# --- check


def test_the_error_of_a_check_says_what_is_wrong(now: Now) -> None:
    with pytest.raises(TokenStoreError, match=r"saved is not there .*<.*LosesASave"):
        _check.check(LosesASave(now))
    with pytest.raises(TokenStoreError, match="deleted is still there"):
        _check.check(KeepsWhatWasDeleted(now))
    with pytest.raises(TokenStoreError, match="lost at once"):
        _check.check(ForgetsToSayThatItExtended(now))


def test_the_example_of_its_docstring_runs_as_pasted() -> None:
    _, _, example = (testing.__doc__ or "").partition("::\n")
    names: dict[str, Any] = {"MyStore": MemoryStore}
    exec(dedent(example), names)  # noqa: S102 - our own example
    assert issubclass(names["TestMyStore"], StoreContract)
