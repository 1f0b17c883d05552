"""No refresh token has two users: what a renewal does when leases, saves and holders are lost."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import Any

import pytest

from monta_auth._core.drivers import adrive, drive
from monta_auth._core.errors import TransportFailure
from monta_auth._core.policy import Spent
from monta_auth._core.sealing import Seal
from monta_auth._core.source import Source
from monta_auth._core.store_changes import invalidating
from monta_auth.stores import MemoryStore

from ..simulation import flows
from ..simulation.flows import (
    ADVISORY,
    API,
    DEAD,
    ID,
    SECRET,
    Caller,
    Hands,
    error_reply,
    no_answer,
    pair,
    pair_reply,
)
from .test_store_visit import (
    NAME,
    SEAL,
    Faulty,
    lock,
    make_source,
    play,
    play_until,
    put,
    stored,
)


@pytest.fixture
def faulty(store: MemoryStore) -> Faulty:
    return Faulty(store)


@pytest.fixture
def source(hands: Hands, faulty: Faulty) -> Source:
    """One that has stored pair 1."""
    source = make_source(hands, store=faulty)
    play(Caller(source), hands, pair_reply(hands, 1))
    return source


def refresh_token(store: MemoryStore) -> str | None:
    found = stored(store)
    return None if found is None else found.refresh_token


def at_the_token_call(source: Source, hands: Hands) -> Caller:
    """Return a caller that renews an expired token, as far as it gets without a reply."""
    hands.advance(DEAD)
    caller = Caller(source)
    play(caller, hands)
    return caller


def lose_a_holder(hands: Hands, store: MemoryStore) -> None:
    """The token is over, and so is the lease of another process that neither saved nor released."""
    hands.advance(DEAD)
    assert lock(store, 6.0)
    hands.advance(6.0)


# --- holders that were lost


def test_after_a_holder_that_was_lost_the_refresh_token_is_taken_out_first_and_not_sent(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    lose_a_holder(hands, store)
    caller = Caller(source)
    assert play(caller, hands) == ["load", "try_lock", "load", "save", "extend"]
    assert refresh_token(store) is None
    assert caller.wants == "mint"
    play(caller, hands, pair_reply(hands, 2))
    assert refresh_token(store) == "refresh-2"


def test_after_a_holder_that_had_saved_the_refresh_token_is_sent(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    hands.advance(DEAD)
    store.save(NAME, SEAL.seal(pair(hands, 5, 1.0)), lock(store, 6.0))
    hands.advance(6.0)
    caller = Caller(source)
    play(caller, hands)
    assert caller.body == {"refreshToken": "refresh-5"}


@pytest.mark.parametrize("step", ["call load", "call save"])
def test_a_doubt_is_not_settled_by_one_who_is_cancelled_before_the_refresh_token_is_out(
    hands: Hands, store: MemoryStore, source: Source, step: str
) -> None:
    lose_a_holder(hands, store)
    caller = Caller(source)
    play_until(caller.call().call(), hands, step)
    caller.close()
    hands.advance(6.0)
    assert lock(store, 1.0).doubt


def test_nor_by_one_who_is_cancelled_while_it_asks_for_the_lease(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    lose_a_holder(hands, store)
    caller = Caller(source).call()
    try_lock = caller.effect.function
    caller.close()
    try_lock()
    hands.advance(6.0)
    assert lock(store, 1.0).doubt


def test_a_source_that_knows_a_stored_refresh_token_to_be_spent_takes_it_out(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    """Its leader was cancelled, and the token call of the next one fails."""
    leader = at_the_token_call(source, hands)
    assert leader.wants == "refresh"
    waiter = Caller(source)
    leader.close()
    waiter.resume(None)
    steps = play(waiter, hands, *[error_reply(500)] * 3)
    assert steps[:2] == ["load", "save"]
    assert waiter.wants == "failed"
    assert refresh_token(store) is None
    assert lock(store, 1.0)


def test_so_does_one_that_marks_a_refused_access_token(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    source._state.refusals.spent_refresh_tokens.add("refresh-1")
    assert flows.refuse(source)
    play(Caller(source), hands)
    assert refresh_token(store) is None


@pytest.mark.parametrize("how", ["close", "interrupt"])
def test_one_who_is_stopped_before_the_new_pair_is_saved_does_not_settle_a_doubt(
    hands: Hands, store: MemoryStore, source: Source, how: str
) -> None:
    caller = at_the_token_call(source, hands)
    caller.resume(pair_reply(hands, 2))
    assert caller.wants == "call extend"
    if how == "close":
        caller.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            caller.flow.throw(KeyboardInterrupt())
    assert source.fresh() == "Bearer access-2"
    assert lock(store, 1.0) is None
    hands.advance(6.0)
    assert lock(store, 1.0).doubt


def test_one_who_continues_a_doubted_lease_takes_the_refresh_token_out_all_the_same(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    """The leader before was cancelled while it did that."""
    lose_a_holder(hands, store)
    leader = Caller(source)
    play_until(leader, hands, "call save")
    waiter = Caller(source)
    leader.close()
    assert play(waiter.resume(None), hands) == ["load", "save", "extend"]
    assert waiter.wants == "mint"
    assert refresh_token(store) is None


@pytest.mark.parametrize("doubt", [False, True])
def test_an_invalidation_looks_again_when_it_has_the_lease(
    hands: Hands, store: MemoryStore, source: Source, doubt: bool
) -> None:
    """What it read before may have been replaced: its refresh token would come back."""
    caller = Caller(source, flow=invalidating(source._state, source._terms)).call()
    assert caller.wants == "call try_lock"
    put(store, pair(hands, 2))
    if doubt:
        lock(store, 1.0)
        hands.advance(1.0)
    steps = play(caller, hands)
    assert steps == ["try_lock", "load"] if doubt else ["try_lock", "load", "release"]
    assert refresh_token(store) == "refresh-2"
    hands.advance(6.0)
    assert lock(store, 1.0).doubt is doubt


def test_an_invalidation_takes_out_a_refresh_token_that_is_known_to_be_spent(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    source._state.refusals.spent_refresh_tokens.add("refresh-1")
    source.invalidate()
    assert stored(store) is not None
    assert refresh_token(store) is None


def test_a_lost_holder_without_a_record_is_no_reason_to_save(
    hands: Hands, store: MemoryStore
) -> None:
    lock(store, 1.0)
    hands.advance(2)
    steps = play(Caller(make_source(hands, store=store)), hands)
    assert steps == ["load", "try_lock", "load", "extend"]


# --- a refresh token that was in the store


@pytest.mark.parametrize("failing", ["load", "try_lock", "extend"])
def test_it_is_not_sent_unless_the_leased_store_has_just_shown_it(
    hands: Hands, faulty: Faulty, source: Source, failing: str
) -> None:
    hands.advance(DEAD)
    faulty.failing.add(failing)
    caller = Caller(source)
    play(caller, hands)
    assert caller.wants == "mint"


def test_one_that_never_was_there_is_sent_although_the_store_does_not_work(
    hands: Hands, faulty: Faulty
) -> None:
    faulty.failing.add("load")
    source = make_source(hands, store=faulty)
    play(Caller(source), hands, pair_reply(hands, 1))
    caller = at_the_token_call(source, hands)
    assert caller.body == {"refreshToken": "refresh-1"}


def test_one_that_was_refused_is_taken_out_before_the_credentials_are_sent(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    caller = at_the_token_call(source, hands)
    assert caller.wants == "refresh"
    assert play(caller.resume(error_reply(401)), hands) == ["save", "load", "extend"]
    assert caller.wants == "mint"
    assert refresh_token(store) is None
    other = Caller(make_source(hands, store=store))
    hands.advance(6.1)
    play(other, hands)
    assert other.wants == "mint"


def test_so_is_one_that_brought_no_response(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    caller = at_the_token_call(source, hands)
    play(caller.resume(no_answer()), hands)
    assert caller.wants == "mint"
    assert refresh_token(store) is None


@pytest.mark.parametrize("goes_on", [True, False])
def test_where_a_request_ends_with_one_on_the_wire_the_lease_stays_until_it_expires(
    hands: Hands, store: MemoryStore, source: Source, goes_on: bool
) -> None:
    hands.advance(DEAD)
    before = Spent()
    before.seconds = 7.0 if goes_on else 0.0
    caller = Caller(source, flow=source.acquire(before, goes_on=goes_on))
    play(caller, hands)
    assert caller.wants == "refresh"
    hands.advance(3.0)
    caller.resume(TransportFailure("no response", "timeout", own=goes_on))
    assert caller.wants == "failed"
    assert lock(store, 1.0) is None
    hands.advance(3.0)
    lease = lock(store, 1.0)
    assert lease is not None
    assert lease.doubt


# --- saves that fail


def test_after_a_save_that_failed_the_record_is_removed(
    hands: Hands, store: MemoryStore, faulty: Faulty, source: Source
) -> None:
    hands.advance(DEAD)
    faulty.failing.add("save")
    caller = Caller(source)
    steps = play(caller, hands, pair_reply(hands, 2))
    assert steps[-4:] == ["extend", "save", "save", "release"]
    assert caller.token == "access-2"
    assert stored(store) is None


def test_if_it_cannot_be_removed_the_lease_is_kept_and_expires_with_a_doubt(
    hands: Hands, store: MemoryStore, faulty: Faulty, source: Source
) -> None:
    hands.advance(DEAD)
    faulty.failing |= {"save", "delete"}
    caller = Caller(source)
    assert play(caller, hands, pair_reply(hands, 2))[-1] == "save"
    assert caller.token == "access-2"
    assert lock(store, 1.0) is None
    hands.advance(6.1)
    other = Caller(make_source(hands, store=store))
    play(other, hands)
    assert other.wants == "mint"  # the refresh token in the store is spent


def test_a_lease_that_was_kept_is_continued_by_the_same_source(
    hands: Hands, store: MemoryStore, faulty: Faulty, source: Source
) -> None:
    hands.advance(DEAD)
    faulty.failing |= {"save", "delete"}
    play(Caller(source), hands, pair_reply(hands, 2))
    faulty.failing.clear()
    source._state.invalidate()
    caller = Caller(source)
    assert play(caller, hands, pair_reply(hands, 3)) == [
        *("load", "extend", "mint", "extend", "save", "release")
    ]
    assert refresh_token(store) == "refresh-3"
    assert lock(store, 1.0)


def test_a_mark_that_cannot_be_saved_removes_the_record_and_the_store_is_left_out(
    hands: Hands, store: MemoryStore, faulty: Faulty, source: Source
) -> None:
    faulty.failing.add("save")
    assert flows.refuse(source)
    caller = Caller(source)
    steps = play(caller, hands)
    assert steps == ["load", "try_lock", "load", "save", "save"]
    assert stored(store) is None
    assert caller.wants == "mint"
    assert play(caller, hands, pair_reply(hands, 2)) == ["mint", "release"]


def test_where_the_lease_cannot_be_extended_after_a_refresh_it_is_kept(
    hands: Hands, store: MemoryStore, faulty: Faulty, source: Source
) -> None:
    """The refresh token in the store is spent, and the new one is not there."""
    caller = at_the_token_call(source, hands)
    faulty.failing.add("extend")
    assert play(caller.resume(pair_reply(hands, 2)), hands) == ["extend"]
    assert caller.token == "access-2"
    assert lock(store, 1.0) is None


# --- leases that are lost


def lose(store: MemoryStore) -> None:
    store._leases.clear()


def test_a_lease_that_was_lost_before_the_token_call_lets_the_visit_begin_anew(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    hands.advance(DEAD)
    caller = Caller(source)
    play_until(caller, hands, "call extend")
    lose(store)
    put(store, pair(hands, 7))
    assert play(caller, hands) == ["extend", "load"]
    assert caller.token == "access-7"


def test_one_that_is_lost_twice_leaves_the_store_out(
    hands: Hands, store: MemoryStore, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    hands.advance(DEAD)
    caller = Caller(source)
    for _ in range(2):
        play_until(caller, hands, "call extend")
        lose(store)
        caller.call()
    play(caller, hands, pair_reply(hands, 2))
    assert caller.token == "access-2"
    assert "its lease was lost twice in a row" in caplog.text


def test_one_that_is_lost_during_a_token_call_is_taken_again_to_save(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    """A server that came back empty, or an endpoint that took more than six seconds."""
    caller = at_the_token_call(source, hands)
    lose(store)
    steps = play(caller.resume(pair_reply(hands, 2)), hands)
    assert steps == ["extend", "try_lock", "save", "release"]
    assert refresh_token(store) == "refresh-2"


def test_if_another_process_has_it_by_then_the_pair_stays_in_memory(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    caller = at_the_token_call(source, hands)
    lose(store)
    lease = lock(store, 6.0)
    assert play(caller.resume(pair_reply(hands, 2)), hands) == ["extend", "try_lock"]
    assert caller.token == "access-2"
    assert refresh_token(store) == "refresh-1"
    assert lease.extend(6.0)


def test_one_that_cannot_be_given_back_stays_with_the_source_until_it_expires(
    hands: Hands, faulty: Faulty
) -> None:
    """Else it would wait for itself."""
    faulty.failing.add("release")
    source = make_source(hands, store=faulty)
    play(Caller(source), hands, pair_reply(hands, 1))
    source._state.invalidate()
    caller = Caller(source)
    assert play(caller, hands) == ["load", "extend"]
    assert caller.wants == "refresh"


# --- dates and odd objects


def test_a_refresh_token_without_an_end_can_be_stored(hands: Hands, store: MemoryStore) -> None:
    """By a clock that is ahead, it would end after the last year that there is."""
    hands.server = -100.0
    source = make_source(hands, store=store)
    never = "9999-12-31T23:59:59Z"
    play(Caller(source), hands, pair_reply(hands, 1, refreshTokenExpirationDate=never))
    found = stored(store)
    assert found is not None
    assert found.refresh_expires_at is not None
    assert found.refresh_expires_at.year == 9999


class Odd:
    """An object whose attributes cannot be looked up, as of a proxy outside of its context."""

    def __getattr__(self, name: str) -> Any:
        raise LookupError(name)


class OddLease(Odd):
    doubt = False


@pytest.mark.parametrize("method", ["load", "try_lock", "save"])
def test_a_method_that_cannot_be_looked_up_fails_no_request(
    hands: Hands, store: MemoryStore, method: str
) -> None:
    methods = {name: getattr(store, name) for name in ("load", "try_lock", "save")}
    odd: Any = type("Half", (Odd,), methods)()
    source = make_source(hands, store=odd)
    delattr(type(odd), method)
    play(Caller(source), hands, pair_reply(hands, 1))
    assert source.fresh() == "Bearer access-1"


@pytest.mark.parametrize("value", [Odd, OddLease])
@pytest.mark.parametrize("method", ["load", "try_lock"])
def test_neither_does_an_object_whose_attributes_raise(
    hands: Hands, store: MemoryStore, method: str, value: type[Odd]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Faulty, method, lambda *_: value())
        source = make_source(hands, store=Faulty(store))
        header = drive(source.acquire(), lambda effect: pair_reply(hands, 1))
    assert header == "Bearer access-1"


def test_nor_a_store_whose_own_task_was_cancelled(hands: Hands) -> None:
    class Cancelled(MemoryStore):
        async def load(self, name: str) -> bytes | None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
            raise asyncio.CancelledError

    async def reply(effect: object) -> Any:
        return pair_reply(hands, 1)

    source = make_source(hands, store=Cancelled())
    assert asyncio.run(adrive(source.acquire(blocking=False), reply)) == "Bearer access-1"
    assert source.status().store_failure == "load() was cancelled by other code"


# --- connections that were cut


def test_the_first_load_is_repeated_once_after_an_error(hands: Hands, faulty: Faulty) -> None:
    caller = Caller(make_source(hands, store=faulty))
    assert caller.wants == "call load"
    caller.resume(ConnectionResetError(errno.ECONNRESET, "closed by the server"))
    assert play(caller, hands) == ["load", "try_lock", "load", "extend"]


class OddTimeoutError(Exception):
    """As libraries have them."""


@pytest.mark.parametrize("error", [TimeoutError(), OddTimeoutError()])
def test_but_not_after_a_timeout(hands: Hands, faulty: Faulty, error: Exception) -> None:
    caller = Caller(make_source(hands, store=faulty))
    assert caller.resume(error).wants == "mint"


# --- secrets that are asked for

NEW = Seal(API, ID, "secret-2")


def rotating(hands: Hands, store: Any, secrets: list[str]) -> Source:
    def secret() -> str:
        return secrets[0] if len(secrets) == 1 else secrets.pop(0)

    return flows.make_source(hands, client_secret=secret, store=store)


def put_new(store: MemoryStore, hands: Hands, serial: int) -> None:
    lease = store.try_lock(NEW.name, 1.0)
    assert lease is not None
    store.save(NEW.name, NEW.seal(pair(hands, serial)), lease)
    lease.release()


def test_a_callable_is_asked_before_the_first_visit_and_again_at_the_next_mint(
    hands: Hands, store: MemoryStore
) -> None:
    source = rotating(hands, store, [SECRET])
    cold = ["secret", "Seal", "load", "try_lock", "load", "extend", "mint", "extend"]
    assert play(Caller(source), hands, pair_reply(hands, 1)) == [*cold, "save", "release"]
    caller = at_the_token_call(source, hands)
    assert caller.wants == "refresh"  # without the secret
    caller.resume(error_reply(401))
    steps = ["save", "load", "secret", "Seal", "extend", "mint", "extend", "save", "release"]
    assert play(caller, hands, pair_reply(hands, 2)) == steps
    assert refresh_token(store) == "refresh-2"


def test_after_a_rotation_a_pair_that_was_stored_under_the_new_secret_is_adopted(
    hands: Hands, store: MemoryStore
) -> None:
    secrets = [SECRET, "secret-2"]
    source = rotating(hands, store, secrets)
    play(Caller(source), hands, pair_reply(hands, 1, refreshToken=None))
    hands.advance(DEAD)
    put_new(store, hands, 7)
    caller = Caller(source)
    assert play(caller, hands)[-5:] == ["load", "secret", "Seal", "release", "load"]
    assert caller.token == "access-7"
    assert lock(store, 1.0)


def test_a_secret_that_was_refused_and_rotated_meanwhile_leads_to_its_own_record(
    hands: Hands, store: MemoryStore
) -> None:
    source = rotating(hands, store, [SECRET, "secret-2"])
    caller = Caller(source)
    play(caller, hands)
    assert caller.wants == "mint"
    put_new(store, hands, 7)
    assert play(caller.resume(error_reply(401)), hands) == ["secret", "Seal", "release", "load"]
    assert caller.token == "access-7"


def raises() -> str:
    raise LookupError("the vault is down")


def test_if_the_callable_fails_the_renewal_runs_without_the_store(
    hands: Hands, store: MemoryStore
) -> None:
    put(store, pair(hands, 7))
    source = flows.make_source(hands, client_secret=raises, store=store)
    caller = Caller(source)
    assert play(caller, hands) == ["raises"]
    where = f"{__file__}:{raises.__code__.co_firstlineno + 1}"
    assert f"the callable client_secret raised LookupError at {where}: " in str(caller.error)
    assert source.status().store_failure is None  # it works, and what does not is in the error


def test_a_callable_that_fails_later_leaves_a_stored_refresh_token_to_the_others(
    hands: Hands, faulty: Faulty
) -> None:
    answers: list[Callable[[], str]] = [lambda: SECRET, raises]
    source = flows.make_source(hands, client_secret=lambda: answers.pop(0)(), store=faulty)
    play(Caller(source), hands, pair_reply(hands, 1))
    hands.advance(DEAD)
    faulty.failing.add("load")
    caller = Caller(source)
    play(caller, hands)
    assert "the callable client_secret raised LookupError" in str(caller.error)


def test_the_same_record_serves_where_the_callable_gives_the_same_secret(
    hands: Hands, store: MemoryStore
) -> None:
    put(store, pair(hands, 7))
    hands.advance(ADVISORY)
    caller = Caller(rotating(hands, store, [SECRET]))
    play(caller, hands)
    assert caller.body == {"refreshToken": "refresh-7"}
