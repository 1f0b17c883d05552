"""What every store promises. Each kind of store inherits this and says how it is made."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monta_auth import TokenSet
from monta_auth.stores import Bindable

URL, ID = "https://public-api.monta.com/api/v1", "client-1"
LEASE = 8.0


def make_pair(serial: int) -> TokenSet:
    """A pair that has just been made."""
    born = datetime.now(UTC)
    hour, day = timedelta(hours=1), timedelta(days=1)
    return TokenSet(f"access-{serial}", f"refresh-{serial}", born + hour, born + day, born, 7, 9)


class StoreContract:
    """Tests in terms of `one` and `two`: what two processes with the same store hold."""

    runner: asyncio.Runner

    def make(self) -> Any:
        """The store as a process makes it: a `Store`, or something to bind."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _event_loop(self) -> Iterator[None]:
        with asyncio.Runner() as self.runner:
            yield

    @pytest.fixture(autouse=True)
    def _clocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed = 0.0
        for name in ("time", "monotonic"):
            real: Callable[[], float] = getattr(time, name)
            monkeypatch.setattr(time, name, lambda real=real: real() + self.passed)

    def outlive_the_lease(self) -> None:
        """Let its time pass, without waiting for it."""
        self.passed += LEASE + 0.1

    def bound(self, base_url: str = URL, client_id: str | None = ID) -> Any:
        store = self.make()
        return store.bind(base_url, client_id) if isinstance(store, Bindable) else store

    @pytest.fixture
    def one(self) -> Any:
        return self.bound()

    @pytest.fixture
    def two(self, one: Any) -> Any:
        return self.bound()

    def do(self, function: Any, *args: Any) -> Any:
        """Call it, and await what it gives if that is to be awaited."""

        async def finish(result: Any) -> Any:
            return await result

        # Clients of asyncio want a running loop already when they are called.
        if inspect.iscoroutinefunction(function):
            return self.runner.run(function(*args))
        result = function(*args)
        return self.runner.run(finish(result)) if inspect.isawaitable(result) else result

    def lease(self, store: Any) -> Any:
        lease = self.do(store.try_lock, LEASE)
        assert lease is not None
        return lease

    def put(self, store: Any, pair: TokenSet | None) -> None:
        lease = self.lease(store)
        self.do(store.save, pair, lease)
        self.do(lease.release)

    def held(self, store: Any) -> str | None:
        pair = self.do(store.load)
        assert pair is None or isinstance(pair, TokenSet)
        return None if pair is None else pair.access_token

    def test_at_first_there_is_nothing(self, one: Any) -> None:
        assert self.held(one) is None

    def test_what_one_saves_the_other_loads(self, one: Any, two: Any) -> None:
        pair = make_pair(1)
        self.put(one, pair)
        assert self.do(one.load) == pair
        assert self.do(two.load) == pair

    def test_a_pair_without_a_refresh_token_is_kept_too(self, one: Any) -> None:
        pair = make_pair(1).__replace__(refresh_token=None, refresh_expires_at=None)
        self.put(one, pair)
        assert self.do(one.load) == pair

    def test_the_later_pair_replaces_the_earlier(self, one: Any, two: Any) -> None:
        self.put(one, make_pair(1))
        self.put(two, make_pair(2))
        assert self.held(one) == self.held(two) == "access-2"

    def test_one_lease_may_save_several_times(self, one: Any, two: Any) -> None:
        """A refused token is marked, then the new pair is stored."""
        lease = self.lease(one)
        self.do(one.save, make_pair(1), lease)
        self.do(one.save, make_pair(2), lease)
        assert self.held(two) == "access-2"

    def test_none_deletes(self, one: Any, two: Any) -> None:
        self.put(one, make_pair(1))
        self.put(two, None)
        assert self.held(one) is None
        self.put(one, None)
        assert self.held(two) is None

    def test_after_a_deletion_a_pair_can_be_saved(self, one: Any, two: Any) -> None:
        self.put(one, make_pair(1))
        self.put(one, None)
        self.put(two, make_pair(2))
        assert self.held(one) == "access-2"

    def test_only_one_has_the_lease_and_nobody_waits(self, one: Any, two: Any) -> None:
        lease = self.lease(one)
        took: list[float] = []
        for store in (one, two) * 3:  # a busy machine lets one of three be quick
            began = time.monotonic()
            assert self.do(store.try_lock, LEASE) is None
            took.append(time.monotonic() - began)
        assert min(took[::2]) + min(took[1::2]) < 0.5
        self.do(lease.release)
        self.lease(two)

    def test_a_lease_expires_by_itself(self, one: Any, two: Any) -> None:
        lost = self.lease(one)
        assert self.do(two.try_lock, LEASE) is None
        self.outlive_the_lease()
        self.lease(two)
        assert lost is not None

    @pytest.mark.parametrize("late_pair", [make_pair(1), None], ids=["a pair", "a deletion"])
    def test_who_lost_the_lease_changes_nothing(
        self, one: Any, two: Any, late_pair: TokenSet | None
    ) -> None:
        late = self.lease(one)
        self.outlive_the_lease()
        successor = self.lease(two)
        self.do(one.save, late_pair, late)
        assert self.held(two) is None
        self.do(two.save, make_pair(2), successor)
        self.do(one.save, late_pair, late)
        assert self.held(one) == "access-2"

    def test_who_released_the_lease_saves_nothing(self, one: Any) -> None:
        lease = self.lease(one)
        self.do(lease.release)
        self.do(one.save, make_pair(1), lease)
        assert self.held(one) is None

    def test_a_second_or_late_release_takes_nothing_from_the_successor(
        self, one: Any, two: Any
    ) -> None:
        late = self.lease(one)
        self.outlive_the_lease()
        successor = self.lease(two)
        self.do(late.release)
        self.do(late.release)
        assert self.do(one.try_lock, LEASE) is None
        self.do(two.save, make_pair(2), successor)
        assert self.held(one) == "access-2"

    def test_the_mark_of_a_refused_token_is_kept(self, one: Any, two: Any) -> None:
        epoch = datetime.fromtimestamp(0, UTC)
        marked = make_pair(1).__replace__(access_expires_at=epoch, issued_at=None)
        self.put(one, marked)
        assert self.do(two.load) == marked

    def test_no_repr_shows_a_token(self, one: Any) -> None:
        self.put(one, make_pair(1))
        lease = self.lease(one)
        for thing in (self.make(), one, lease):
            assert "access-1" not in repr(thing)
            assert "refresh-1" not in repr(thing)


class ThreadedContract(StoreContract):
    """For stores with plain methods."""

    def test_a_lease_works_from_any_thread(self, one: Any, two: Any) -> None:
        """An async client calls each method in another worker thread."""
        lease = self.lease(one)
        for step in (lambda: one.save(make_pair(1), lease), lease.release):
            thread = threading.Thread(target=step)
            thread.start()
            thread.join()
        assert self.held(two) == "access-1"
        self.lease(two)

    def test_of_many_threads_one_gets_the_lease(self, one: Any, two: Any) -> None:
        barrier = threading.Barrier(16)
        leases: list[Any] = []

        def take(store: Any) -> None:
            barrier.wait()
            leases.append(store.try_lock(LEASE))

        threads = [threading.Thread(target=take, args=[(one, two)[n % 2]]) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(lease is not None for lease in leases) == 1


class BoundContract(StoreContract):
    """For places with the pairs of many clients."""

    def spoil(self, text: str) -> None:
        """Put this where the record of the client is."""
        raise NotImplementedError

    def record(self) -> str:
        """What is where the record of the client is."""
        raise NotImplementedError

    def test_it_is_bindable(self) -> None:
        assert isinstance(self.make(), Bindable)

    @pytest.mark.parametrize(
        ("base_url", "client_id"),
        [(URL, "client-2"), (URL, None), ("https://partner-api.monta.com/api/v1", ID)],
    )
    def test_clients_have_nothing_in_common(
        self, one: Any, base_url: str, client_id: str | None
    ) -> None:
        self.put(one, make_pair(1))
        lease = self.lease(one)
        other = self.bound(base_url, client_id)
        assert self.held(other) is None
        self.put(other, make_pair(2))
        assert self.held(one) == "access-1"
        assert lease is not None

    def test_the_record_of_another_client_is_not_used(
        self, one: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Not even if somebody has copied it to the right place."""
        self.put(one, make_pair(1))
        self.spoil(self.record().replace('"client-1"', '"client-2"'))
        assert self.held(one) is None
        assert len(caplog.records) == 1

    def test_rubbish_is_ignored_and_replaced(self, one: Any, two: Any) -> None:
        self.put(one, make_pair(1))
        self.spoil("rubbish of " + type(self).__name__)
        assert self.held(one) is None
        self.put(two, make_pair(2))
        assert self.held(one) == "access-2"


class DoubtContract(BoundContract):
    """For stores that notice the death of a leader."""

    def test_who_follows_a_leader_that_vanished_gets_no_refresh_token(
        self, one: Any, two: Any
    ) -> None:
        """It may have been sent: sending it again would cost a call that is refused."""
        self.put(one, make_pair(1))
        self.lease(one)
        self.outlive_the_lease()
        lease = self.lease(two)
        pair = self.do(two.load)
        assert (pair.access_token, pair.refresh_token) == ("access-1", None)
        assert pair.access_expires_at > datetime.now(UTC)
        self.do(two.save, make_pair(2), lease)
        self.do(lease.release)
        assert self.do(one.load).refresh_token == "refresh-2"

    def test_without_a_pair_there_is_nothing_to_doubt(self, one: Any, two: Any) -> None:
        self.lease(one)
        self.outlive_the_lease()
        self.put(two, make_pair(1))
        assert self.do(one.load).refresh_token == "refresh-1"

    def test_without_credentials_the_refresh_token_is_all_there_is(self) -> None:
        one = self.bound(client_id=None)
        self.put(one, make_pair(1))
        self.lease(one)
        self.outlive_the_lease()
        self.lease(one)
        assert self.do(one.load).refresh_token == "refresh-1"
