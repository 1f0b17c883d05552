"""What a renewal does with a store: look, lock, look again, save before use, and give back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from monta_auth import ConfigurationError, RateLimitError, TokenSet
from monta_auth._core.drivers import adrive
from monta_auth._core.effects import Call, Send
from monta_auth._core.errors import TransportFailure
from monta_auth._core.source import Source, _after_fork_in_child
from monta_auth.stores import MemoryStore

from ..simulation.flows import (
    ADVISORY,
    DEAD,
    MANDATORY,
    Caller,
    Hands,
    error_reply,
    hold,
    make_source,
    no_connection,
    pair,
    pair_reply,
    refuse,
)


@pytest.fixture
def store(hands: Hands) -> MemoryStore:
    return MemoryStore(monotonic=lambda: hands.now)


def put(store: MemoryStore, new: TokenSet | None) -> None:
    lease = store.try_lock(1.0)
    assert lease is not None
    store.save(new, lease)
    lease.release()


def play(caller: Caller, hands: Hands, *replies: object) -> list[str]:
    """Perform what the flow wants, until it has ended or there is no reply left; what it was."""
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
    """A store that raises wherever it is told to."""

    def __init__(self, inner: MemoryStore, *failing: str) -> None:
        self.inner = inner
        self.failing = set(failing)

    def _check(self, method: str) -> None:
        if method in self.failing:
            raise OSError(f"{method}: no space left for access-1")

    def load(self) -> TokenSet | None:
        self._check("load")
        return self.inner.load()

    def try_lock(self, seconds: float) -> Any:
        self._check("try_lock")
        lease = self.inner.try_lock(seconds)
        return None if lease is None else FaultyLease(self, lease)

    def save(self, new: TokenSet | None, lease: Any) -> None:
        self._check("save")
        self.inner.save(new, lease.inner)


class FaultyLease:
    def __init__(self, store: Faulty, inner: Any) -> None:
        self.store = store
        self.inner = inner

    def release(self) -> None:
        self.store._check("release")
        self.inner.release()


# --- the order of things


def test_a_cold_start_looks_locks_looks_again_mints_saves_and_gives_back(
    hands: Hands, store: MemoryStore
) -> None:
    heard: list[str] = []
    source = make_source(hands, store=store, on_token=lambda new: heard.append(new.access_token))
    caller = Caller(source)
    steps = ["load", "try_lock", "load", "mint", "save", "release", "<lambda>"]
    assert play(caller, hands, pair_reply(hands, 1)) == steps
    assert caller.token == "access-1"
    assert store.load() == source._state.held.pair  # type: ignore[union-attr]
    assert store.try_lock(1.0) is not None
    assert heard == ["access-1"]


def test_a_pair_is_stored_before_it_is_in_use(hands: Hands, store: MemoryStore) -> None:
    """A process that dies in between must not have used what nobody can find."""
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
def test_a_stored_pair_saves_a_call(hands: Hands, store: MemoryStore, life: float) -> None:
    put(store, pair(hands, 7, life))
    source = make_source(hands, store=store, on_token=lambda new: pytest.fail("no news"))
    caller = Caller(source)
    assert play(caller, hands) == ["load"]
    assert caller.token == "access-7"
    assert source.status().last_renewal is not None
    assert source.status().mints == source.status().refreshes == 0


@pytest.mark.parametrize("moment", [ADVISORY, MANDATORY, DEAD])
def test_a_stored_pair_that_is_old_is_refreshed(
    hands: Hands, store: MemoryStore, moment: float
) -> None:
    put(store, pair(hands, 7))
    hands.advance(moment)
    caller = Caller(make_source(hands, store=store))
    steps = ["load", "try_lock", "load", "refresh", "save", "release"]
    assert play(caller, hands, pair_reply(hands, 8)) == steps
    assert caller.token == "access-8"


def test_a_stored_pair_that_still_lives_is_used_when_its_renewal_fails(
    hands: Hands, store: MemoryStore
) -> None:
    put(store, pair(hands, 7))
    hands.advance(MANDATORY)
    caller = Caller(make_source(hands, store=store))
    play(caller, hands, *[no_connection()] * 3)
    assert caller.token == "access-7"


def test_without_credentials_a_store_is_enough(hands: Hands, store: MemoryStore) -> None:
    put(store, pair(hands, 7))
    hands.advance(DEAD)
    caller = Caller(make_source(hands, client_id=None, store=store))
    play(caller, hands, pair_reply(hands, 8))
    assert caller.token == "access-8"


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


def test_a_pair_renewed_while_the_lock_was_waited_for_is_adopted(
    hands: Hands, store: MemoryStore
) -> None:
    source = make_source(hands, store=store)
    lease = store.try_lock(8.0)
    assert lease is not None
    caller = Caller(source)
    for step in ["call load", "call try_lock", "sleep"]:
        assert caller.wants == step
        if step != "sleep":
            caller.call()
    assert 0.05 <= caller.sleep <= 0.1
    store.save(pair(hands, 3), lease)
    lease.release()
    hands.advance(caller.sleep)
    caller.resume(None)
    assert play(caller, hands) == ["load"]
    assert caller.token == "access-3"


def test_a_pair_renewed_just_before_the_lock_was_had_is_adopted_and_the_lock_given_back(
    hands: Hands, store: MemoryStore
) -> None:
    source = make_source(hands, store=store)
    caller = Caller(source).call()
    put(store, pair(hands, 3))
    assert play(caller, hands) == ["try_lock", "load", "release"]
    assert caller.token == "access-3"
    assert store.try_lock(1.0) is not None


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
    """So that no other process takes it for good if this one gets no further."""
    source = make_source(hands, store=store)
    play(Caller(source), hands, pair_reply(hands, 1))
    assert refuse(source)
    caller = Caller(source)
    assert play(caller, hands) == ["load", "try_lock", "load", "save"]
    stored = store.load()
    assert stored is not None
    assert stored.access_expires_at == datetime.fromtimestamp(0, UTC)
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


def test_after_a_refused_refresh_the_store_is_asked_before_the_credentials(
    hands: Hands, store: MemoryStore
) -> None:
    """Another process may have been faster with the same refresh token."""
    source = make_source(hands, store=store)
    play(Caller(source), hands, pair_reply(hands, 1))
    assert refuse(source)
    caller = Caller(source)
    play(caller, hands)
    assert caller.wants == "refresh"
    hands.advance(9)  # our lease ran out over a slow call
    other_process_renews(hands, store, 5)
    caller.resume(error_reply(401))
    assert play(caller, hands) == ["load", "release"]
    assert caller.token == "access-5"


@pytest.mark.parametrize("odd", [None, 7, "pair", {}])
def test_what_is_no_pair_is_not_adopted(hands: Hands, odd: Any) -> None:
    class Odd(MemoryStore):
        def load(self) -> Any:
            return odd

    caller = Caller(make_source(hands, store=Odd(monotonic=lambda: hands.now)))
    assert play(caller, hands, pair_reply(hands, 1))[-3:] == ["mint", "save", "release"]


# --- the lock


def test_a_lock_that_stays_locked_is_a_timeout_within_the_deadline(
    hands: Hands, store: MemoryStore
) -> None:
    assert store.try_lock(60.0)
    start = hands.now
    caller = Caller(make_source(hands, store=store))
    steps = play(caller, hands)
    assert isinstance(caller.error, TransportFailure)
    assert caller.error.kind == "timeout"
    assert not caller.error.sent
    assert 9.8 < hands.now - start <= 10.0
    assert steps.count("try_lock") < 210


def test_polling_the_lock_is_no_sleep_before_a_retry(hands: Hands, store: MemoryStore) -> None:
    assert store.try_lock(5.0)
    caller = Caller(make_source(hands, store=store))
    play(caller, hands)
    assert caller.wants == "mint"
    assert caller.resume(error_reply(503)).wants == "sleep"


def test_a_process_that_died_with_the_lock_costs_eight_seconds(
    hands: Hands, store: MemoryStore
) -> None:
    dead = Caller(make_source(hands, store=store))
    play(dead, hands)
    assert dead.wants == "mint"
    start = hands.now
    caller = Caller(make_source(hands, store=store))
    play(caller, hands, pair_reply(hands, 2))
    assert caller.token == "access-2"
    assert 8.0 <= hands.now - start <= 8.2


def test_in_the_advisory_window_a_locked_store_means_that_another_process_renews(
    hands: Hands, store: MemoryStore
) -> None:
    source = make_source(hands, store=store)
    play(Caller(source), hands, pair_reply(hands, 1))
    hands.advance(ADVISORY)
    assert store.try_lock(8.0)
    caller = Caller(source)
    assert play(caller, hands) == ["load", "try_lock"]
    assert caller.token == "access-1"
    assert Caller(source).token == "access-1"  # and no caller asks again before a pause


def test_that_another_process_renews_is_no_renewal_of_ours(
    hands: Hands, store: MemoryStore
) -> None:
    source = make_source(hands, store=store)
    play(Caller(source), hands, pair_reply(hands, 1))
    before = source.status().last_renewal
    hands.advance(ADVISORY)
    assert store.try_lock(8.0)
    play(Caller(source), hands)
    assert source.status().last_renewal == before


@pytest.mark.parametrize("moment", [MANDATORY, DEAD])
def test_later_than_that_the_lock_is_waited_for(
    hands: Hands, store: MemoryStore, moment: float
) -> None:
    source = make_source(hands, store=store)
    play(Caller(source), hands, pair_reply(hands, 1))
    hands.advance(moment)
    assert store.try_lock(8.0)
    caller = Caller(source)
    caller.call().call()
    assert caller.wants == "sleep"


@pytest.mark.parametrize(
    "reply",
    [no_connection(), error_reply(400), error_reply(429, headers={"Retry-After": "9"})],
    ids=["network", "400", "429"],
)
def test_the_lock_is_given_back_when_the_renewal_fails(
    hands: Hands, store: MemoryStore, reply: object
) -> None:
    caller = Caller(make_source(hands, store=store))
    assert play(caller, hands, *[reply] * 3)[-1] == "release"
    assert isinstance(caller.error, RateLimitError | TransportFailure | Exception)
    assert store.try_lock(1.0)


@pytest.mark.parametrize("step", ["call load", "mint"])
def test_a_leader_that_is_cancelled_gives_the_lease_back(
    hands: Hands, store: MemoryStore, step: str
) -> None:
    caller = Caller(make_source(hands, store=store))
    play_until(caller, hands, "call try_lock")
    play_until(caller.call(), hands, step)
    caller.close()
    assert store.try_lock(1.0)


def test_a_request_that_fails_for_good_gives_the_lease_back(
    hands: Hands, store: MemoryStore
) -> None:
    """In httpx's own pipeline nothing can be called any more after an exception."""
    failure = TransportFailure("the request has failed")
    source = make_source(hands, store=store)
    caller = Caller(source, flow=source.acquire(goes_on=False))
    play_until(caller, hands, "mint")
    while caller.wants != "failed":
        caller.resume(failure)
    assert store.try_lock(1.0)


def test_whoever_leads_next_goes_on_with_the_lease(hands: Hands, store: MemoryStore) -> None:
    """The source owns it, whoever was cancelled."""
    source = make_source(hands, store=store)
    leader = Caller(source)
    play_until(leader, hands, "mint")
    waiter = Caller(source)
    leader.close()
    assert store.try_lock(1.0) is None
    steps = play(waiter.resume(None), hands, pair_reply(hands, 1))
    assert steps == ["load", "mint", "save", "release"]
    assert store.try_lock(1.0)


def test_a_lease_that_comes_after_its_caller_was_cancelled_is_given_back(
    hands: Hands, store: MemoryStore
) -> None:
    """A plain function goes on in its thread."""
    caller = Caller(make_source(hands, store=store))
    play_until(caller, hands, "call try_lock")
    try_lock = caller.effect.function
    caller.close()
    try_lock()
    assert store.try_lock(1.0)


def test_a_lease_that_comes_after_its_caller_was_cancelled_is_for_the_next_one(
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
    assert steps == ["load", "mint", "save", "release"]
    assert store.try_lock(1.0)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_coroutine_that_takes_the_lease_goes_on_without_its_caller_and_gives_it_back(
    backend: str,
) -> None:
    class Slow:
        begun: anyio.Event
        go: anyio.Event
        given_back: anyio.Event

        async def load(self) -> None:
            return None

        async def try_lock(self, seconds: float) -> Slow:
            self.begun.set()
            await self.go.wait()
            return self

        async def save(self, pair: object, lease: object) -> None:
            pass

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


def test_a_lease_that_has_expired_is_taken_anew(hands: Hands, store: MemoryStore) -> None:
    source = make_source(hands, store=store)
    leader = Caller(source)
    play_until(leader, hands, "mint")
    waiter = Caller(source)
    hands.advance(8)
    leader.close()
    steps = play(waiter.resume(None), hands, pair_reply(hands, 1))
    assert steps == ["load", "try_lock", "load", "mint", "save", "release"]


def test_a_forked_child_leaves_the_lease_to_its_parent(hands: Hands, store: MemoryStore) -> None:
    source = make_source(hands, store=store)
    parent = Caller(source)
    play_until(parent, hands, "mint")
    _after_fork_in_child()
    child = Caller(source).call()
    assert child.wants == "call try_lock"
    assert child.call().wants == "sleep"
    parent.close()  # the child has it too
    assert store.try_lock(1.0) is None


@pytest.mark.parametrize("step", ["refresh", "call save", "call release"])
def test_a_lease_that_is_in_use_is_kept_on_close_and_expires_by_itself(
    hands: Hands, store: MemoryStore, step: str
) -> None:
    source = make_source(hands, store=store)
    if step == "refresh":
        hold_directly(source, hands, 1)
        hands.advance(DEAD)
    caller = Caller(source)
    play_until(caller, hands, step, pair_reply(hands, 1))
    caller.close()
    assert store.try_lock(1.0) is None
    hands.advance(8)
    assert store.try_lock(1.0)


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
    assert store.load().access_token == "access-2"  # type: ignore[union-attr]


def test_a_superseded_leader_whose_store_fails_sends_no_refresh_token(
    hands: Hands, store: MemoryStore
) -> None:
    source = make_source(hands, store=store)
    hold_directly(source, hands, 1)
    assert refuse(source)
    task = Caller(source)
    assert task.wants == "call load"
    sync = Caller(source, blocking=True)  # in the same thread: takes over
    play(sync, hands)
    assert sync.wants == "refresh"
    task.resume(OSError("the file system is gone"))
    assert task.wants != "refresh"


# --- invalidate and forget


def test_invalidate_makes_the_stored_token_look_expired(hands: Hands, store: MemoryStore) -> None:
    source = make_source(hands, store=store)
    play(Caller(source), hands, pair_reply(hands, 1))
    source.invalidate()
    stored = store.load()
    assert stored is not None
    assert stored.access_expires_at == datetime.fromtimestamp(0, UTC)
    assert stored.refresh_token == "refresh-1"
    other = Caller(make_source(hands, store=store))
    play(other, hands)
    assert other.body == {"refreshToken": "refresh-1"}


def test_invalidate_leaves_a_newer_stored_pair_alone(hands: Hands, store: MemoryStore) -> None:
    source = make_source(hands, store=store)
    play(Caller(source), hands, pair_reply(hands, 1))
    other_process_renews(hands, store, 2)
    newer = store.load()
    source.invalidate()
    assert store.load() == newer


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
    assert store.load() is None
    assert store.try_lock(1.0)


@pytest.mark.parametrize("verb", ["invalidate", "forget"])
def test_neither_waits_for_a_locked_store(hands: Hands, store: MemoryStore, verb: str) -> None:
    source = make_source(hands, store=store)
    play(Caller(source), hands, pair_reply(hands, 1))
    assert store.try_lock(8.0)
    getattr(source, verb)()
    assert store.load() is not None


def test_a_deletion_that_could_not_be_made_is_made_up_for(hands: Hands, store: MemoryStore) -> None:
    source = make_source(hands, store=store)
    put(store, pair(hands, 5))
    lease = store.try_lock(8.0)
    assert lease is not None
    source.forget()
    lease.release()
    caller = Caller(source)
    assert play(caller, hands) == ["try_lock", "save"]
    assert store.load() is None
    assert caller.wants == "mint"
    play(caller, hands, pair_reply(hands, 6))
    assert store.load().access_token == "access-6"  # type: ignore[union-attr]


def test_a_deletion_that_failed_is_tried_again(hands: Hands, store: MemoryStore) -> None:
    faulty = Faulty(store, "save")
    put(store, pair(hands, 5))
    source = make_source(hands, store=faulty)
    source.forget()
    hands.advance(9)
    play(Caller(source), hands, *[no_connection()] * 3)
    faulty.failing.clear()
    hands.advance(9)
    caller = Caller(source)
    play(caller, hands)
    assert caller.wants == "mint"


# --- a store that fails


FAILING = ["load", "try_lock", "save", "release"]


@pytest.mark.parametrize("failing", FAILING)
def test_a_store_that_fails_never_fails_a_request(
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
def test_a_store_that_fails_is_one_warning_until_it_works_again(
    hands: Hands, store: MemoryStore, failing: str, caplog: pytest.LogCaptureFixture
) -> None:
    faulty = Faulty(store, failing)
    source = make_source(hands, store=faulty)
    for serial in range(1, 6):
        if serial == 4:
            faulty.failing.clear()
        if serial == 5:
            faulty.failing.add(failing)
        play(Caller(source), hands, pair_reply(hands, serial))
        hands.advance(DEAD)
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 2
    assert all("the token store raised OSError" in warning for warning in warnings)
    assert "no space left" not in caplog.text


def test_a_lease_that_cannot_be_given_back_is_a_debug_record(
    hands: Hands, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "monta_auth")
    play(Caller(make_source(hands, store=Faulty(store, "release"))), hands, pair_reply(hands, 1))
    assert [r.levelname for r in caplog.records if "lease raised OSError" in r.message] == ["DEBUG"]


def test_a_lock_that_fails_in_the_advisory_window_does_not_stop_the_renewal(
    hands: Hands, store: MemoryStore
) -> None:
    source = make_source(hands, store=Faulty(store, "try_lock"))
    play(Caller(source), hands, pair_reply(hands, 1))
    hands.advance(ADVISORY)
    caller = Caller(source)
    play(caller, hands)
    assert caller.wants == "refresh"


@pytest.mark.parametrize("failing", ["try_lock", "load", "save"])
@pytest.mark.parametrize("verb", ["invalidate", "forget"])
def test_a_store_that_fails_does_not_stop_invalidate_or_forget(
    hands: Hands,
    store: MemoryStore,
    verb: str,
    failing: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    faulty = Faulty(store)
    source = make_source(hands, store=faulty)
    play(Caller(source), hands, pair_reply(hands, 1))
    faulty.failing.add(failing)
    getattr(source, verb)()
    assert source.fresh() is None
    if (verb, failing) != ("forget", "load"):
        assert "the token store raised OSError" in caplog.text


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
    assert store.load() is not None


def test_a_store_of_many_clients_is_bound_to_this_one(hands: Hands, store: MemoryStore) -> None:
    asked: list[tuple[str, str | None]] = []

    class Many:
        def bind(self, base_url: str, client_id: str | None) -> MemoryStore:
            asked.append((base_url, client_id))
            return store

    source = make_source(hands, store=Many())
    make_source(hands, client_id=None, store=Many())
    assert asked == [(source.base_url, "client-1"), (source.base_url, None)]
    hold(hands, source)
    assert store.load() is not None


def test_a_deletion_that_was_made_is_made_once(
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


def test_an_async_secret_is_seen_beside_a_sync_store(hands: Hands, store: MemoryStore) -> None:
    async def secret() -> str:
        return "secret"

    source = make_source(hands, store=store, client_secret=secret)
    assert isinstance(Caller(source, blocking=True).error, ConfigurationError)


def test_a_stored_pair_that_lost_its_refresh_token_warns_of_a_leader_that_vanished(
    hands: Hands, store: MemoryStore
) -> None:
    """It may have sent the token: a store tells so by handing the pair out without it."""
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
    assert store.load() is None
    assert not caplog.records
