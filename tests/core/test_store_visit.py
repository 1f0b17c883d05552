"""What a renewal does with a store: load, lock, load again, save before use, and release."""

from __future__ import annotations

import errno
import gc
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from monta_auth import (
    ConfigurationError,
    RateLimitError,
    RefreshPolicy,
    TokenSet,
    TokenStoreError,
)
from monta_auth._core.drivers import adrive
from monta_auth._core.effects import Call, Send
from monta_auth._core.errors import TransportFailure
from monta_auth._core.sealing import Seal
from monta_auth._core.source import Source, _after_fork_in_child
from monta_auth._core.store_changes import forgetting, invalidating
from monta_auth.stores import MemoryStore

from ..simulation import flows
from ..simulation.flows import (
    ADVISORY,
    API,
    DEAD,
    ID,
    MANDATORY,
    SECRET,
    Caller,
    Hands,
    error_reply,
    hold,
    no_connection,
    pair,
    pair_reply,
    refuse,
)

SEAL = Seal(API, ID, SECRET)
NAME = SEAL.name


def make_source(hands: Hands, **settings: Any) -> Source:
    """Return a source that knows its key already, so that a renewal does not begin with that."""
    source = flows.make_source(hands, **settings)
    source._terms.seal = SEAL
    return source


def put(store: MemoryStore, new: TokenSet | None) -> None:
    lease = lock(store, 1.0)
    assert lease is not None
    store.save(NAME, None if new is None else SEAL.seal(new), lease)
    lease.release()


def stored(store: MemoryStore) -> TokenSet | None:
    return SEAL.open(store.load(NAME))


def lock(store: MemoryStore, seconds: float) -> Any:
    return store.try_lock(NAME, seconds)


def play(caller: Caller, hands: Hands, *replies: object) -> list[str]:
    """Do what the flow wants until it ends or needs another reply. Return the steps."""
    queue = list(replies)
    done: list[str] = []
    while caller.wants not in ("done", "failed"):
        if isinstance(caller.effect, Send) and not queue:
            return done
        done.append(caller.wants.removeprefix("call "))
        if isinstance(caller.effect, Send):
            caller.resume(queue.pop(0))
        elif isinstance(caller.effect, Call):
            caller.call()
        elif caller.wants == "sleep":
            hands.advance(caller.sleep)
            caller.resume(None)
        else:
            return done
    return done


class Faulty:
    """A store that raises in the methods that it is told to."""

    def __init__(self, inner: MemoryStore, *failing: str) -> None:
        self.inner = inner
        self.failing = set(failing)

    def _check(self, method: str) -> None:
        if method in self.failing:
            raise OSError(errno.ENOSPC, f"{method}: no space left for access-1")

    def load(self, name: str) -> bytes | None:
        self._check("load")
        return self.inner.load(name)

    def try_lock(self, name: str, seconds: float) -> Any:
        self._check("try_lock")
        lease = self.inner.try_lock(name, seconds)
        return None if lease is None else FaultyLease(self, lease)

    def save(self, name: str, record: bytes | None, lease: Any) -> None:
        self._check("save" if record is not None else "delete")
        self.inner.save(name, record, lease.inner)


class FaultyLease:
    def __init__(self, store: Faulty, inner: Any) -> None:
        self.store = store
        self.inner = inner
        self.doubt = inner.doubt

    def extend(self, seconds: float) -> bool:
        self.store._check("extend")
        return bool(self.inner.extend(seconds))

    def release(self) -> None:
        self.store._check("release")
        self.inner.release()


# --- the order of things


def test_a_cold_start_loads_locks_loads_again_mints_saves_and_releases(
    hands: Hands, store: MemoryStore
) -> None:
    heard: list[str] = []
    source = make_source(hands, store=store, on_token=lambda new: heard.append(new.access_token))
    caller = Caller(source)
    steps = ["load", "try_lock", "load", "extend", "mint", "extend", "save", "release", "<lambda>"]
    assert play(caller, hands, pair_reply(hands, 1)) == steps
    assert caller.token == "access-1"
    assert stored(store) == source._state.held.pair  # type: ignore[union-attr]
    assert lock(store, 1.0) is not None
    assert heard == ["access-1"]


def test_a_pair_is_stored_before_it_is_in_use(hands: Hands, store: MemoryStore) -> None:
    """If the process ends in between, no pair may be in use that other processes cannot find."""
    source = make_source(hands, store=store)
    leader, waiter = Caller(source), Caller(source)
    play_until(leader, hands, "call save", pair_reply(hands, 1))
    assert source.fresh() is None
    assert waiter.wants == "wait"
    leader.call()
    assert source.fresh() == "Bearer access-1"
    assert leader.wants == "call release"
    assert waiter.resume(None).token == "access-1"


def play_until(caller: Caller, hands: Hands, wants: str, *replies: object) -> None:
    queue = list(replies)
    while caller.wants != wants:
        if isinstance(caller.effect, Send):
            caller.resume(queue.pop(0))
        else:
            caller.call()


@pytest.mark.parametrize("life", [3600.0, 1000.0])
def test_a_stored_pair_saves_a_token_call(hands: Hands, store: MemoryStore, life: float) -> None:
    put(store, pair(hands, 7, life))
    source = make_source(hands, store=store, on_token=lambda new: pytest.fail("no news"))
    caller = Caller(source)
    assert play(caller, hands) == ["load"]
    assert caller.token == "access-7"
    assert source.status().last_renewal is not None
    assert source.status().fetches == source.status().refreshes == 0


@pytest.mark.parametrize("moment", [ADVISORY, MANDATORY, DEAD])
def test_an_old_stored_pair_is_refreshed(hands: Hands, store: MemoryStore, moment: float) -> None:
    put(store, pair(hands, 7))
    hands.advance(moment)
    caller = Caller(make_source(hands, store=store))
    steps = ["load", "try_lock", "load", "extend", "refresh", "extend", "save", "release"]
    assert play(caller, hands, pair_reply(hands, 8)) == steps
    assert caller.token == "access-8"


def test_a_valid_stored_pair_is_used_if_its_renewal_fails(hands: Hands, store: MemoryStore) -> None:
    put(store, pair(hands, 7))
    hands.advance(MANDATORY)
    caller = Caller(make_source(hands, store=store))
    play(caller, hands, *[no_connection()] * 3)
    assert caller.token == "access-7"


def test_a_store_needs_credentials(hands: Hands, store: MemoryStore) -> None:
    """Its record's key is derived from the credentials."""
    with pytest.raises(ConfigurationError, match="a store needs them, too"):
        make_source(hands, client_id=None, store=store)


def test_the_key_is_derived_when_the_store_is_first_used(hands: Hands, store: MemoryStore) -> None:
    """In a call of its own, since it imports a package."""
    put(store, pair(hands, 7))
    source = flows.make_source(hands, store=store)
    caller = Caller(source)
    assert play(caller, hands) == ["Seal", "load"]
    assert caller.token == "access-7"
    assert source._terms.seal is not None
    assert source._terms.seal.name == NAME


def test_without_a_key_a_request_goes_on_without_the_store(
    hands: Hands, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    caller = Caller(flows.make_source(hands, store=store))
    assert caller.wants == "call Seal"
    caller.resume(ImportError("a broken installation"))
    assert play(caller, hands, pair_reply(hands, 1)) == ["mint"]
    assert caller.token == "access-1"
    assert "seal() raised ImportError" in caplog.text


# --- adoption


def other_process_renews(hands: Hands, store: MemoryStore, serial: int) -> None:
    put(store, pair(hands, serial))


def test_a_pair_that_another_process_renewed_is_adopted(hands: Hands, store: MemoryStore) -> None:
    source = make_source(hands, store=store)
    play(Caller(source), hands, pair_reply(hands, 1))
    hands.advance(MANDATORY)
    other_process_renews(hands, store, 2)
    caller = Caller(source)
    assert play(caller, hands) == ["load"]
    assert caller.token == "access-2"


def test_a_pair_renewed_during_the_wait_for_the_lock_is_adopted(
    hands: Hands, store: MemoryStore
) -> None:
    source = make_source(hands, store=store)
    lease = lock(store, 8.0)
    assert lease is not None
    caller = Caller(source)
    for step in ["call load", "call try_lock", "sleep"]:
        assert caller.wants == step
        if step != "sleep":
            caller.call()
    assert 0.05 <= caller.sleep <= 0.1
    store.save(NAME, SEAL.seal(pair(hands, 3)), lease)
    lease.release()
    hands.advance(caller.sleep)
    caller.resume(None)
    assert play(caller, hands) == ["load"]
    assert caller.token == "access-3"


def test_a_pair_renewed_just_before_the_lock_is_adopted_and_the_lock_released(
    hands: Hands, store: MemoryStore
) -> None:
    source = make_source(hands, store=store)
    caller = Caller(source).call()
    put(store, pair(hands, 3))
    assert play(caller, hands) == ["try_lock", "load", "release"]
    assert caller.token == "access-3"
    assert lock(store, 1.0) is not None


def test_a_stored_pair_with_the_refused_header_is_not_adopted(
    hands: Hands, store: MemoryStore
) -> None:
    source = make_source(hands, store=store)
    play(Caller(source), hands, pair_reply(hands, 1))
    assert refuse(source)
    caller = Caller(source)
    steps = play(caller, hands, pair_reply(hands, 2))
    assert "refresh" in steps
    assert caller.token == "access-2"


def test_a_refused_token_is_marked_in_the_store_before_it_is_renewed(
    hands: Hands, store: MemoryStore
) -> None:
    """Then no other process uses it if this process stops."""
    source = make_source(hands, store=store)
    play(Caller(source), hands, pair_reply(hands, 1))
    assert refuse(source)
    caller = Caller(source)
    play_until(caller, hands, "call extend")
    found = stored(store)
    assert found is not None
    assert found.access_expires_at == datetime.fromtimestamp(0, UTC)
    caller.close()
    hands.advance(9)
    other = Caller(make_source(hands, store=store))
    play(other, hands)
    assert other.body == {"refreshToken": "refresh-1"}


def test_a_stored_pair_that_is_no_newer_is_not_adopted(hands: Hands, store: MemoryStore) -> None:
    source = make_source(hands, store=store)
    put(store, pair(hands, 9, life=100.0))
    hold_directly(source, hands, 1)
    assert refuse(source)
    caller = Caller(source)
    play(caller, hands)
    assert caller.body == {"refreshToken": "refresh-1"}


def hold_directly(source: Source, hands: Hands, serial: int) -> None:
    held = make_source(hands, token=pair(hands, serial))._state.held
    assert held is not None
    source._state.held = held


def test_after_a_refused_refresh_the_store_is_loaded_before_the_credentials_are_sent(
    hands: Hands, store: MemoryStore
) -> None:
    """Another process may have used the same refresh token first."""
    source = make_source(hands, store=store)
    play(Caller(source), hands, pair_reply(hands, 1))
    assert refuse(source)
    caller = Caller(source)
    play(caller, hands)
    assert caller.wants == "refresh"
    hands.advance(9)  # our lease expired during a slow call
    other_process_renews(hands, store, 5)
    caller.resume(error_reply(401))
    assert play(caller, hands) == ["save", "load", "release"]
    assert caller.token == "access-5"
    found = stored(store)
    assert found is not None
    assert found.refresh_token == "refresh-5"


CUT_OFF = SEAL.seal(TokenSet("access-1", None, datetime.now(UTC)))[:-8]


@pytest.mark.parametrize("odd", [None, b"", b"rubbish", CUT_OFF])
def test_an_invalid_record_is_replaced(hands: Hands, store: MemoryStore, odd: bytes | None) -> None:
    lease = lock(store, 1.0)
    store.save(NAME, odd, lease)
    lease.release()
    caller = Caller(make_source(hands, store=store))
    assert play(caller, hands, pair_reply(hands, 1))[-2:] == ["save", "release"]
    found = stored(store)
    assert found is not None
    assert found.access_token == "access-1"


ODD: dict[str, tuple[str, Any, str]] = {
    "text": ("load", "gAAAAA", "str: expected bytes, or None"),
    "a pair": ("load", {}, "dict: expected bytes, or None"),
    "a bool for a lease": ("try_lock", True, "bool: expected a lease with doubt (True or"),
    "a name for a lease": ("try_lock", "id", "str: expected a lease with doubt (True or"),
    "nothing for a bool": ("extend", None, "NoneType: expected True or False"),
}


@pytest.mark.parametrize("shape", ODD)
def test_the_warning_about_a_wrong_return_value_says_what_is_expected(
    hands: Hands, store: MemoryStore, shape: str, caplog: pytest.LogCaptureFixture
) -> None:
    method, value, text = ODD[shape]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FaultyLease if method == "extend" else Faulty, method, lambda *_: value)
        caller = Caller(make_source(hands, store=Faulty(store)))
        play(caller, hands, pair_reply(hands, 1))
    assert caller.token == "access-1"
    [record] = caplog.records
    assert f"{method}() of the store returned {text}" in record.getMessage()


def test_the_warning_about_a_store_with_other_arguments_names_the_protocol(
    hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    class Nameless(MemoryStore):
        def load(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
            return None

    play(Caller(make_source(hands, store=Nameless())), hands, pair_reply(hands, 1))
    text = "load() does not take the arguments that monta_auth.stores.Store names"
    assert text in caplog.text


# --- the lock


def test_a_lock_that_stays_locked_leaves_two_seconds_to_the_token_call(
    hands: Hands, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    assert lock(store, 60.0)
    start = hands.now
    caller = Caller(make_source(hands, store=store))
    steps = play(caller, hands, pair_reply(hands, 1))
    assert caller.token == "access-1"
    assert 7.8 < hands.now - start <= 8.0
    assert steps.count("try_lock") < 170
    assert steps[-1] == "mint"
    assert stored(store) is None
    [record] = caplog.records
    assert "another process has kept its lease for too long" in record.getMessage()


def test_polling_the_lock_does_not_count_as_a_sleep_before_a_retry(
    hands: Hands, store: MemoryStore
) -> None:
    assert lock(store, 5.0)
    caller = Caller(make_source(hands, store=store))
    play(caller, hands)
    assert caller.wants == "mint"
    assert caller.resume(error_reply(503)).wants == "sleep"


def test_a_process_that_was_killed_with_the_lock_costs_six_seconds(
    hands: Hands, store: MemoryStore
) -> None:
    dead = Caller(make_source(hands, store=store))
    play(dead, hands)
    assert dead.wants == "mint"
    start = hands.now
    caller = Caller(make_source(hands, store=store))
    play(caller, hands, pair_reply(hands, 2))
    assert caller.token == "access-2"
    assert 6.0 <= hands.now - start <= 6.2


def test_in_the_advisory_window_a_locked_store_means_that_another_process_renews(
    hands: Hands, store: MemoryStore
) -> None:
    source = make_source(hands, store=store)
    play(Caller(source), hands, pair_reply(hands, 1))
    hands.advance(ADVISORY)
    assert lock(store, 8.0)
    caller = Caller(source)
    assert play(caller, hands) == ["load", "try_lock"]
    assert caller.token == "access-1"
    assert Caller(source).token == "access-1"  # no caller asks again before the pause is over


def test_a_renewal_of_another_process_is_not_counted_as_ours(
    hands: Hands, store: MemoryStore
) -> None:
    source = make_source(hands, store=store)
    play(Caller(source), hands, pair_reply(hands, 1))
    before = source.status().last_renewal
    hands.advance(ADVISORY)
    assert lock(store, 8.0)
    play(Caller(source), hands)
    assert source.status().last_renewal == before


@pytest.mark.parametrize("moment", [ADVISORY, MANDATORY])
@pytest.mark.parametrize("trouble", ["locked", "load", "try_lock"])
def test_while_the_token_is_valid_a_locked_or_failing_store_postpones_the_renewal(
    hands: Hands, store: MemoryStore, moment: float, trouble: str
) -> None:
    """All callers go on with the token. The next try comes after a pause."""
    faulty = Faulty(store)
    source = make_source(hands, store=faulty)
    play(Caller(source), hands, pair_reply(hands, 1))
    hands.advance(moment)
    if trouble == "locked":
        assert lock(store, 60.0)
    faulty.failing.add(trouble)
    leader, waiter = Caller(source), Caller(source)
    play(leader, hands)
    if moment == MANDATORY:
        assert waiter.wants == "wait"
        waiter.resume(None)
    for caller in (leader, waiter, Caller(source)):
        assert caller.token == "access-1"
    hands.advance(10.1)
    assert Caller(source).wants == "call load"


def test_without_a_valid_token_the_renewal_waits_for_the_lock(
    hands: Hands, store: MemoryStore
) -> None:
    source = make_source(hands, store=store)
    play(Caller(source), hands, pair_reply(hands, 1))
    hands.advance(DEAD)
    assert lock(store, 8.0)
    caller = Caller(source)
    caller.call().call()
    assert caller.wants == "sleep"


@pytest.mark.parametrize(
    "reply",
    [no_connection(), error_reply(400), error_reply(429, headers={"Retry-After": "9"})],
    ids=["network", "400", "429"],
)
def test_the_lock_is_released_if_the_renewal_fails(
    hands: Hands, store: MemoryStore, reply: object
) -> None:
    caller = Caller(make_source(hands, store=store))
    assert play(caller, hands, *[reply] * 3)[-1] == "release"
    assert isinstance(caller.error, RateLimitError | TransportFailure | Exception)
    assert lock(store, 1.0)


@pytest.mark.parametrize("step", ["call load", "mint"])
def test_a_cancelled_leader_releases_the_lease(hands: Hands, store: MemoryStore, step: str) -> None:
    caller = Caller(make_source(hands, store=store))
    play_until(caller, hands, "call try_lock")
    play_until(caller.call(), hands, step)
    caller.close()
    assert lock(store, 1.0)


def test_a_request_that_ends_with_an_error_releases_the_lease(
    hands: Hands, store: MemoryStore
) -> None:
    """In httpx's own pipeline, nothing can be called after an exception."""
    failure = TransportFailure("the request has failed")
    source = make_source(hands, store=store)
    caller = Caller(source, flow=source.acquire(goes_on=False))
    play_until(caller, hands, "mint")
    while caller.wants != "failed":
        caller.resume(failure)
    assert lock(store, 1.0)


def test_the_next_leader_continues_the_lease(hands: Hands, store: MemoryStore) -> None:
    """The lease belongs to the source, whichever caller was cancelled."""
    source = make_source(hands, store=store)
    leader = Caller(source)
    play_until(leader, hands, "mint")
    waiter = Caller(source)
    leader.close()
    assert lock(store, 1.0) is None
    steps = play(waiter.resume(None), hands, pair_reply(hands, 1))
    assert steps == ["load", "extend", "mint", "extend", "save", "release"]
    assert lock(store, 1.0)


def test_a_lease_that_comes_after_the_cancellation_is_released(
    hands: Hands, store: MemoryStore
) -> None:
    """A plain function continues in its thread."""
    caller = Caller(make_source(hands, store=store))
    play_until(caller, hands, "call try_lock")
    try_lock = caller.effect.function
    caller.close()
    try_lock()
    assert lock(store, 1.0)


def test_a_lease_that_comes_after_the_cancellation_goes_to_the_next_leader(
    hands: Hands, store: MemoryStore
) -> None:
    source = make_source(hands, store=store)
    leader = Caller(source)
    play_until(leader, hands, "call try_lock")
    try_lock = leader.effect.function
    waiter = Caller(source)
    leader.close()
    try_lock()
    steps = play(waiter.resume(None), hands, pair_reply(hands, 1))
    assert steps == ["load", "extend", "mint", "extend", "save", "release"]
    assert lock(store, 1.0)


@pytest.mark.parametrize("method", ["load", "try_lock", "save"])
def test_a_plain_function_may_return_an_awaitable(store: MemoryStore, method: str) -> None:
    """Wrappers that count or log may do this."""

    class Wrapped(MemoryStore):
        pass

    async def later(*args: Any) -> Any:
        return getattr(store, method)(*args)

    wrapped = Wrapped()
    for name in ("load", "try_lock", "save"):
        setattr(wrapped, name, getattr(store, name))
    setattr(wrapped, method, lambda *args: later(*args))
    hands = Hands()

    async def reply(effect: object) -> Any:
        return pair_reply(hands, 1)

    source = make_source(hands, store=wrapped)
    assert anyio.run(adrive, source.acquire(blocking=False), reply) == "Bearer access-1"
    assert stored(store) is not None
    assert lock(store, 1.0)


def test_a_silent_store_is_abandoned_on_its_thread(
    caplog: pytest.LogCaptureFixture,
) -> None:
    go = threading.Event()

    class Silent(MemoryStore):
        def load(self, name: str) -> bytes | None:
            go.wait(10)
            return None

    async def reply(effect: object) -> Any:
        return pair_reply(Hands(), 1)

    source = Source(ID, SECRET, store=Silent(), policy=RefreshPolicy(deadline=0.4))
    try:
        assert anyio.run(adrive, source.acquire(blocking=False), reply) == "Bearer access-1"
        assert "load() did not return within 0.2 s" in caplog.text
        before = threading.active_count()
        for _ in range(3):
            source._state.invalidate()
            assert anyio.run(adrive, source.acquire(blocking=False), reply) == "Bearer access-1"
        assert threading.active_count() == before
        failure = source.status().store_failure
        assert failure == "an earlier call to it has not returned yet"
        [ended] = source._terms.left_behind
        _after_fork_in_child()
        assert source._terms.left_behind == []  # The parent's threads do not exist in a child.
        source._terms.left_behind.append(ended)
    finally:
        go.set()
    ended.wait(10)
    source._state.invalidate()
    assert anyio.run(adrive, source.acquire(blocking=False), reply) == "Bearer access-1"
    assert source.status().store_failure is None


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_coroutine_that_gets_the_lease_without_its_caller_releases_it(
    backend: str,
) -> None:
    class Slow:
        begun: anyio.Event
        go: anyio.Event
        given_back: anyio.Event

        doubt = False

        async def load(self, name: str) -> None:
            return None

        async def try_lock(self, name: str, seconds: float) -> Slow:
            self.begun.set()
            await self.go.wait()
            return self

        async def save(self, name: str, record: object, lease: object) -> None:
            pass

        async def extend(self, seconds: float) -> bool:
            return True

        async def release(self) -> None:
            self.given_back.set()

    store = Slow()

    async def never(effect: object) -> Any:
        raise AssertionError(effect)

    async def main() -> None:
        store.begun, store.go, store.given_back = (anyio.Event() for _ in range(3))
        flow = make_source(Hands(), store=store).acquire(blocking=False)
        async with anyio.create_task_group() as group:
            group.start_soon(adrive, flow, never)
            await store.begun.wait()
            group.cancel_scope.cancel()
        store.go.set()
        with anyio.fail_after(5):
            await store.given_back.wait()

    anyio.run(main, backend=backend)


def test_an_expired_lease_is_taken_again(hands: Hands, store: MemoryStore) -> None:
    source = make_source(hands, store=store)
    leader = Caller(source)
    play_until(leader, hands, "mint")
    waiter = Caller(source)
    hands.advance(8)
    leader.close()
    steps = play(waiter.resume(None), hands, pair_reply(hands, 1))
    assert steps == ["load", "try_lock", "load", "extend", "mint", "extend", "save", "release"]


def test_a_forked_child_leaves_the_lease_to_its_parent(hands: Hands, store: MemoryStore) -> None:
    source = make_source(hands, store=store)
    parent = Caller(source)
    play_until(parent, hands, "mint")
    _after_fork_in_child()
    child = Caller(source).call()
    assert child.wants == "call try_lock"
    assert child.call().wants == "sleep"
    parent.close()  # the child has the flow, too
    assert lock(store, 1.0) is None


@pytest.mark.parametrize("step", ["refresh", "call save", "call release"])
def test_a_lease_in_use_is_kept_on_close_and_expires(
    hands: Hands, store: MemoryStore, step: str
) -> None:
    source = make_source(hands, store=store)
    if step == "refresh":
        hold_directly(source, hands, 1)
        hands.advance(DEAD)
    caller = Caller(source)
    play_until(caller, hands, step, pair_reply(hands, 1))
    caller.close()
    assert lock(store, 1.0) is None
    hands.advance(8)
    assert lock(store, 1.0)


def test_a_superseded_leader_leaves_the_lease_to_its_successor_and_saves_nothing(
    hands: Hands, store: MemoryStore
) -> None:
    source = make_source(hands, store=store)
    old = Caller(source)
    play(old, hands)
    assert old.wants == "mint"
    hands.advance(61)
    new = Caller(source)
    play(new, hands, pair_reply(hands, 2))
    hands.advance(-61)
    assert play(old.resume(pair_reply(hands, 1)), hands) == []
    assert old.token == "access-2"
    assert stored(store).access_token == "access-2"  # type: ignore[union-attr]


def test_a_superseded_leader_whose_store_fails_sends_no_refresh_token(
    hands: Hands, store: MemoryStore
) -> None:
    source = make_source(hands, store=store)
    hold_directly(source, hands, 1)
    assert refuse(source)
    task = Caller(source)
    assert task.wants == "call load"
    sync = Caller(source, blocking=True)  # in the same thread, so it takes over
    play(sync, hands)
    assert sync.wants == "refresh"
    task.resume(OSError("the file system is gone"))
    assert task.wants != "refresh"


# --- invalidate and forget


def test_invalidate_makes_the_stored_token_look_expired(hands: Hands, store: MemoryStore) -> None:
    source = make_source(hands, store=store)
    play(Caller(source), hands, pair_reply(hands, 1))
    source.invalidate()
    found = stored(store)
    assert found is not None
    assert found.access_expires_at == datetime.fromtimestamp(0, UTC)
    assert found.refresh_token == "refresh-1"
    other = Caller(make_source(hands, store=store))
    play(other, hands)
    assert other.body == {"refreshToken": "refresh-1"}


def test_invalidate_keeps_a_newer_stored_pair(hands: Hands, store: MemoryStore) -> None:
    source = make_source(hands, store=store)
    play(Caller(source), hands, pair_reply(hands, 1))
    other_process_renews(hands, store, 2)
    newer = stored(store)
    source.invalidate()
    assert stored(store) == newer


def test_invalidate_before_the_first_request_drops_the_stored_token(
    hands: Hands, store: MemoryStore
) -> None:
    put(store, pair(hands, 1))
    source = make_source(hands, store=store)
    source.invalidate()
    caller = Caller(source)
    play(caller, hands)
    assert caller.wants == "refresh"


def test_forget_deletes_the_stored_pair(hands: Hands, store: MemoryStore) -> None:
    source = make_source(hands, store=store)
    play(Caller(source), hands, pair_reply(hands, 1))
    source.forget()
    assert stored(store) is None
    assert lock(store, 1.0)


def test_invalidate_does_not_wait_for_a_locked_store(hands: Hands, store: MemoryStore) -> None:
    source = make_source(hands, store=store)
    play(Caller(source), hands, pair_reply(hands, 1))
    assert lock(store, 8.0)
    source.invalidate()
    assert stored(store) is not None


def forget(source: Source, hands: Hands) -> Caller:
    """Drive `forget` by hand. The caller's `error` is what it raised."""
    caller = Caller(source, flow=forgetting(source._state, source._terms))
    play(caller, hands)
    return caller


def test_forget_waits_for_a_process_that_renews_and_deletes_its_pair(
    hands: Hands, store: MemoryStore
) -> None:
    source = make_source(hands, store=store)
    put(store, pair(hands, 5))
    lease = lock(store, 8.0)
    caller = Caller(source, flow=forgetting(source._state, source._terms))
    assert caller.wants == "call try_lock"
    assert caller.call().wants == "sleep"
    store.save(NAME, SEAL.seal(pair(hands, 6)), lease)
    lease.release()
    caller.resume(None)
    assert play(caller, hands) == ["try_lock", "extend", "save", "load", "release"]
    assert caller.wants == "done"
    assert stored(store) is None


def test_if_a_lease_stays_forget_raises_and_the_pair_is_not_used_any_more(
    hands: Hands, store: MemoryStore
) -> None:
    source = make_source(hands, store=store)
    put(store, pair(hands, 5))
    start = hands.now
    lease = lock(store, 60.0)
    error = forget(source, hands).error
    assert isinstance(error, TokenStoreError)
    assert error.retryable
    assert str(error) == (
        "the token pair may still be in the store: another process has kept its lease for too "
        "long. Try again once that is over"
    )
    assert 9.8 < hands.now - start <= 10.0
    lease.release()
    caller = Caller(source)
    assert play(caller, hands) == ["try_lock", "save", "extend"]
    assert stored(store) is None
    assert caller.wants == "mint"
    play(caller, hands, pair_reply(hands, 6))
    assert stored(store).access_token == "access-6"  # type: ignore[union-attr]


def test_forget_takes_over_the_lease_of_a_renewal_in_its_process(
    hands: Hands, store: MemoryStore
) -> None:
    """Its pair is not wanted any more, and `forget` must not wait for it."""
    source = make_source(hands, store=store)
    leader = Caller(source)
    play_until(leader, hands, "mint")
    assert play(Caller(source, flow=forgetting(source._state, source._terms)), hands) == [
        *("extend", "save", "load", "release")
    ]
    play(leader.resume(pair_reply(hands, 1)), hands, pair_reply(hands, 2))
    assert leader.token == "access-2"
    assert stored(store).access_token == "access-2"  # type: ignore[union-attr]


def test_forget_waits_while_the_same_process_saves(hands: Hands, store: MemoryStore) -> None:
    source = make_source(hands, store=store)
    leader = Caller(source)
    play_until(leader, hands, "call save", pair_reply(hands, 1))
    caller = Caller(source, flow=forgetting(source._state, source._terms))
    assert caller.wants == "sleep"
    leader.call()
    caller.resume(None)
    play(caller, hands)
    assert caller.wants == "done"
    assert stored(store) is None


@pytest.mark.parametrize("failing", ["load", "try_lock", "delete", "extend"])
def test_if_the_store_fails_forget_raises_and_the_next_renewal_deletes_the_pair(
    hands: Hands, store: MemoryStore, failing: str
) -> None:
    faulty = Faulty(store, failing)
    put(store, pair(hands, 5))
    source = make_source(hands, store=faulty)
    error = forget(source, hands).error
    assert isinstance(error, TokenStoreError)
    assert error.retryable
    assert f"{failing if failing != 'delete' else 'save'}() raised OSError (ENOSPC)" in str(error)
    assert "access-1" not in str(error)
    hands.advance(9)
    play(Caller(source), hands, *[no_connection()] * 3)
    faulty.failing.clear()
    hands.advance(9)
    caller = Caller(source)
    play(caller, hands)
    assert caller.wants == "mint"
    assert stored(store) is None


def test_forget_locks_again_if_it_lost_its_lease_at_once(hands: Hands, store: MemoryStore) -> None:
    source = make_source(hands, store=store)
    put(store, pair(hands, 5))
    caller = Caller(source, flow=forgetting(source._state, source._terms)).call()
    assert caller.wants == "call extend"
    store._leases.clear()
    assert caller.call().wants == "sleep"
    caller.resume(None)
    play(caller, hands)
    assert caller.wants == "done"
    assert stored(store) is None


def test_forget_raises_if_the_store_keeps_the_record(hands: Hands, store: MemoryStore) -> None:
    class Deaf(MemoryStore):
        def save(self, name: str, record: bytes | None, lease: object) -> None:
            pass

    deaf = Deaf(monotonic=lambda: hands.now)
    put_into(deaf, pair(hands, 5))
    error = forget(make_source(hands, store=deaf), hands).error
    assert isinstance(error, TokenStoreError)


def put_into(store: MemoryStore, new: TokenSet) -> None:
    store._records[NAME] = SEAL.seal(new)


def test_forget_succeeds_although_the_lease_cannot_be_released(
    hands: Hands, store: MemoryStore
) -> None:
    assert forget(make_source(hands, store=Faulty(store, "release")), hands).wants == "done"


def test_forget_calls_a_callable_secret_unless_the_key_is_known(
    hands: Hands, store: MemoryStore
) -> None:
    asked: list[str] = []

    def secret() -> str:
        asked.append("secret")
        return SECRET

    put(store, pair(hands, 5))
    source = flows.make_source(hands, client_secret=secret, store=store)
    source.forget()
    assert stored(store) is None
    source.forget()
    assert asked == ["secret"]


def test_forget_raises_if_the_callable_secret_fails(hands: Hands, store: MemoryStore) -> None:
    def secret() -> str:
        raise OSError(errno.ECONNREFUSED, "the vault is at access-1")

    with pytest.raises(TokenStoreError, match=r"client_secret\(\) raised .* \(ECONNREFUSED\)"):
        flows.make_source(hands, client_secret=secret, store=store).forget()


@pytest.mark.parametrize("failing", [(), ("delete",)], ids=["removed", "kept"])
def test_an_invalidation_that_cannot_be_saved_removes_the_record(
    hands: Hands, store: MemoryStore, failing: tuple[str, ...]
) -> None:
    source = make_source(hands, store=Faulty(store, "save", *failing))
    put(store, pair(hands, 5))
    source.invalidate()
    assert (stored(store) is None) is (failing == ())
    assert source.status().store_failure is not None


def test_an_invalidation_after_a_lost_holder_removes_the_refresh_token(
    hands: Hands, store: MemoryStore
) -> None:
    source = make_source(hands, store=store)
    put(store, pair(hands, 5))
    lock(store, 1.0)
    hands.advance(2)
    source.invalidate()
    found = stored(store)
    assert found is not None
    assert found.refresh_token is None


# --- a store that fails


FAILING = ["load", "try_lock", "save", "release"]


@pytest.mark.parametrize("failing", FAILING)
def test_a_failing_store_never_fails_a_request(
    hands: Hands, store: MemoryStore, failing: str
) -> None:
    source = make_source(hands, store=Faulty(store, failing))
    caller = Caller(source)
    play(caller, hands, pair_reply(hands, 1))
    assert caller.token == "access-1"
    hands.advance(DEAD)
    later = Caller(source)
    play(later, hands, pair_reply(hands, 2))
    assert later.token == "access-2"


@pytest.mark.parametrize("failing", ["load", "try_lock", "save"])
def test_a_failing_store_causes_one_warning_until_it_works_again(
    hands: Hands, store: MemoryStore, failing: str, caplog: pytest.LogCaptureFixture
) -> None:
    gc.collect()  # flows of other tests would log how their stores are doing
    caplog.set_level(logging.INFO, "monta_auth")
    faulty = Faulty(store, failing)
    source = make_source(hands, store=faulty)
    for serial in range(1, 6):
        if serial == 4:
            faulty.failing.clear()
        if serial == 5:
            faulty.failing.add(failing)
        play(Caller(source), hands, pair_reply(hands, serial))
        hands.advance(DEAD)
    warnings = [
        record.getMessage() for record in caplog.records if "token store" in record.getMessage()
    ]
    assert len(warnings) == 3
    assert warnings.pop(1) == "the token store works again"
    assert all("raised OSError (ENOSPC)" in warning for warning in warnings)
    assert "no space left" not in caplog.text


def test_a_lease_that_cannot_be_released_is_logged_at_debug(
    hands: Hands, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "monta_auth")
    play(Caller(make_source(hands, store=Faulty(store, "release"))), hands, pair_reply(hands, 1))
    assert [r.levelname for r in caplog.records if "lease raised OSError" in r.message] == ["DEBUG"]


@pytest.mark.parametrize("failing", ["try_lock", "load", "save"])
def test_a_failing_store_does_not_stop_invalidate(
    hands: Hands, store: MemoryStore, failing: str, caplog: pytest.LogCaptureFixture
) -> None:
    faulty = Faulty(store)
    source = make_source(hands, store=faulty)
    play(Caller(source), hands, pair_reply(hands, 1))
    faulty.failing.add(failing)
    source.invalidate()
    assert source.fresh() is None
    assert "raised OSError (ENOSPC)" in caplog.text


# --- two processes


def test_two_sources_with_one_store_share_each_renewal(hands: Hands, store: MemoryStore) -> None:
    one, two = make_source(hands, store=store), make_source(hands, store=store)
    calls: list[str] = []
    for serial, moment in enumerate([0.0, DEAD, DEAD], start=1):
        hands.advance(moment)
        for source in (one, two):
            caller = Caller(source)
            steps = play(caller, hands, pair_reply(hands, serial))
            calls += [step for step in steps if step in ("mint", "refresh")]
            assert caller.token == f"access-{serial}"
    assert calls == ["mint", "refresh", "refresh"]


CHANGES: dict[str, Callable[[Source], object]] = {
    "refuse": refuse,
    "invalidate": lambda source: source.invalidate(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_token_refused_in_one_process_is_renewed_once_for_both(
    hands: Hands, store: MemoryStore, change: str
) -> None:
    one, two = make_source(hands, store=store), make_source(hands, store=store)
    play(Caller(one), hands, pair_reply(hands, 1))
    play(Caller(two), hands)
    hands.advance(10)
    CHANGES[change](one)
    play(Caller(one), hands, pair_reply(hands, 2))
    assert refuse(two)
    caller = Caller(two)
    assert play(caller, hands) == ["load"]
    assert caller.token == "access-2"


def test_hold_works_with_a_store(hands: Hands, store: MemoryStore) -> None:
    source = make_source(hands, store=store)
    hold(hands, source)
    assert stored(store) is not None


def test_one_store_keeps_the_records_of_any_number_of_clients(
    hands: Hands, store: MemoryStore
) -> None:
    names = [("client-1", SECRET), ("client-2", SECRET), ("client-1", "secret-2-of-a-rotation")]
    for serial, (client_id, secret) in enumerate(names, start=1):
        source = flows.make_source(hands, client_id=client_id, client_secret=secret, store=store)
        hold(hands, source, serial)
    for serial, (client_id, secret) in enumerate(names, start=1):
        source = flows.make_source(hands, client_id=client_id, client_secret=secret, store=store)
        caller = Caller(source)
        play(caller, hands)
        assert caller.token == f"access-{serial}"
    assert repr(store) == "MemoryStore(3 records)"


def test_the_error_for_an_incomplete_store_names_the_missing_methods(hands: Hands) -> None:
    class Half:
        def load(self, name: str) -> None:
            return None

    with pytest.raises(ConfigurationError, match="Half has no try_lock and no save"):
        make_source(hands, store=Half())


@pytest.mark.parametrize("thing", ["tokens", MemoryStore, 7])
def test_the_error_for_an_object_that_is_no_store_shows_the_right_line(
    hands: Hands, thing: Any
) -> None:
    with pytest.raises(ConfigurationError, match=r"FileStore\('/var/lib/my-app/monta'\)"):
        make_source(hands, store=thing)


def test_a_successful_deletion_is_not_repeated(
    hands: Hands, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_source(hands, store=store)
    play(Caller(source), hands, pair_reply(hands, 1))
    source.forget()
    assert not caplog.records
    put(store, pair(hands, 7))  # by another process
    caller = Caller(source)
    play(caller, hands)
    assert caller.token == "access-7"


def test_an_async_secret_is_noticed_although_the_store_is_sync(
    hands: Hands, store: MemoryStore
) -> None:
    async def secret() -> str:
        return "secret"

    source = make_source(hands, store=store, client_secret=secret)
    assert isinstance(Caller(source, blocking=True).error, ConfigurationError)


def test_a_stored_pair_without_its_refresh_token_shows_that_a_leader_was_lost(
    hands: Hands, store: MemoryStore
) -> None:
    """It may have sent the refresh token. The store shows this with a pair that lacks it."""
    source = make_source(hands, store=store)
    play(Caller(source), hands, pair_reply(hands, 1))
    put(store, pair(hands, 1, refresh=None))
    hands.advance(DEAD)
    caller = Caller(source)
    play(caller, hands)
    assert caller.wants == "mint"


def test_invalidate_of_an_empty_store_is_harmless(
    hands: Hands, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    make_source(hands, store=store).invalidate()
    assert stored(store) is None
    assert not caplog.records


@pytest.mark.parametrize("verb", [forgetting, invalidating])
def test_a_cancelled_forget_or_invalidate_releases_the_lease(
    hands: Hands, store: MemoryStore, verb: Callable[..., Any]
) -> None:
    """Otherwise the next request would wait until the lease expires."""
    given_back = threading.Event()

    class Watched(MemoryStore):
        def try_lock(self, name: str, seconds: float) -> Any:
            lease: Any = super().try_lock(name, seconds)
            release = lease.release

            def watched() -> None:
                release()
                given_back.set()

            lease.release = watched
            return lease

    watched = Watched(monotonic=lambda: hands.now)
    put_into(watched, pair(hands, 5))
    source = make_source(hands, store=watched)
    caller = Caller(source, flow=verb(source._state, source._terms))
    while caller.wants != "call try_lock":
        caller.call()
    caller.call().close()
    assert given_back.wait(5)
    assert lock(watched, 1.0)


@pytest.mark.parametrize("verb", [forgetting, invalidating])
def test_the_status_shows_if_the_store_failed_in_forget_or_invalidate(
    hands: Hands, store: MemoryStore, verb: Callable[..., Any]
) -> None:
    faulty = Faulty(store, "load")
    put(store, pair(hands, 5))
    source = make_source(hands, store=faulty)
    play(Caller(source, flow=verb(source._state, source._terms)), hands)
    assert "load() raised OSError (ENOSPC)" in str(source.status().store_failure)
    faulty.failing.clear()
    play(Caller(source, flow=verb(source._state, source._terms)), hands)
    assert source.status().store_failure is None
