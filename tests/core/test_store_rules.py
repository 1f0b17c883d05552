"""What a renewal does when a store loses holders, saves or leases: no token has two users."""

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
    """A source that has stored pair 1."""
    source = make_source(hands, store=faulty)
    play(Caller(source), hands, pair_reply(hands, 1))
    return source


def refresh_token(store: MemoryStore) -> str | None:
    found = stored(store)
    return None if found is None else found.refresh_token


def at_the_token_call(source: Source, hands: Hands) -> Caller:
    """Return a caller that renews an expired token and is waiting for a reply."""
    hands.advance(DEAD)
    caller = Caller(source)
    play(caller, hands)
    return caller


def lose_a_holder(hands: Hands, store: MemoryStore) -> None:
    """Let the token expire, and the lease of another process that neither saved nor released it."""
    hands.advance(DEAD)
    assert lock(store, 6.0)
    hands.advance(6.0)


# --- lost holders


def test_after_a_lost_holder_the_refresh_token_is_removed_and_not_sent(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    lose_a_holder(hands, store)
    caller = Caller(source)
    assert play(caller, hands) == ["load", "try_lock", "load", "save", "extend"]
    assert refresh_token(store) is None
    assert caller.wants == "mint"
    play(caller, hands, pair_reply(hands, 2))
    assert refresh_token(store) == "refresh-2"


def test_after_a_lost_holder_that_saved_the_refresh_token_is_sent(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    hands.advance(DEAD)
    store.save(NAME, SEAL.seal(pair(hands, 5, 1.0)), lock(store, 6.0))
    hands.advance(6.0)
    caller = Caller(source)
    play(caller, hands)
    assert caller.body == {"refreshToken": "refresh-5"}


@pytest.mark.parametrize("step", ["call load", "call save"])
def test_a_doubt_stays_if_the_renewal_is_cancelled_before_the_refresh_token_is_removed(
    hands: Hands, store: MemoryStore, source: Source, step: str
) -> None:
    lose_a_holder(hands, store)
    caller = Caller(source)
    play_until(caller.call().call(), hands, step)
    caller.close()
    hands.advance(6.0)
    assert lock(store, 1.0).doubt


def test_a_doubt_stays_if_the_renewal_is_cancelled_while_it_gets_the_lease(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    lose_a_holder(hands, store)
    caller = Caller(source).call()
    try_lock = caller.effect.function
    caller.close()
    try_lock()
    hands.advance(6.0)
    assert lock(store, 1.0).doubt


def test_a_stored_refresh_token_that_is_known_to_be_spent_is_removed(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    """Its leader was cancelled, and the token call of the next leader fails."""
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


def test_marking_a_refused_access_token_removes_a_spent_refresh_token(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    source._state.refusals.spent_refresh_tokens.add("refresh-1")
    assert flows.refuse(source)
    play(Caller(source), hands)
    assert refresh_token(store) is None


@pytest.mark.parametrize("how", ["close", "interrupt"])
def test_a_renewal_stopped_before_the_save_leaves_a_doubt(
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


def test_a_leader_that_continues_a_lease_in_doubt_removes_the_refresh_token(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    """The leader before it was cancelled while it did that."""
    lose_a_holder(hands, store)
    leader = Caller(source)
    play_until(leader, hands, "call save")
    waiter = Caller(source)
    leader.close()
    assert play(waiter.resume(None), hands) == ["load", "save", "extend"]
    assert waiter.wants == "mint"
    assert refresh_token(store) is None


@pytest.mark.parametrize("doubt", [False, True])
def test_an_invalidation_loads_again_when_it_has_the_lease(
    hands: Hands, store: MemoryStore, source: Source, doubt: bool
) -> None:
    """The record may have been replaced since. Its old refresh token must not come back."""
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


def test_an_invalidation_removes_a_refresh_token_that_is_known_to_be_spent(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    source._state.refusals.spent_refresh_tokens.add("refresh-1")
    source.invalidate()
    assert stored(store) is not None
    assert refresh_token(store) is None


def test_after_a_lost_holder_without_a_record_nothing_is_saved(
    hands: Hands, store: MemoryStore
) -> None:
    lock(store, 1.0)
    hands.advance(2)
    steps = play(Caller(make_source(hands, store=store)), hands)
    assert steps == ["load", "try_lock", "load", "extend"]


# --- a refresh token that was in the store


@pytest.mark.parametrize("failing", ["load", "try_lock", "extend"])
def test_a_stored_refresh_token_is_only_sent_after_a_load_with_the_lease(
    hands: Hands, faulty: Faulty, source: Source, failing: str
) -> None:
    hands.advance(DEAD)
    faulty.failing.add(failing)
    caller = Caller(source)
    play(caller, hands)
    assert caller.wants == "mint"


def test_a_refresh_token_that_was_never_stored_is_sent_without_the_store(
    hands: Hands, faulty: Faulty
) -> None:
    faulty.failing.add("load")
    source = make_source(hands, store=faulty)
    play(Caller(source), hands, pair_reply(hands, 1))
    caller = at_the_token_call(source, hands)
    assert caller.body == {"refreshToken": "refresh-1"}


def test_a_refused_refresh_token_is_removed_before_the_credentials_are_sent(
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


def test_a_refresh_token_without_a_response_is_removed_before_the_credentials_are_sent(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    caller = at_the_token_call(source, hands)
    play(caller.resume(no_answer()), hands)
    assert caller.wants == "mint"
    assert refresh_token(store) is None


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_request_that_ends_with_a_refresh_token_on_the_wire_keeps_its_lease(
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


def test_after_a_failed_save_the_record_is_removed(
    hands: Hands, store: MemoryStore, faulty: Faulty, source: Source
) -> None:
    hands.advance(DEAD)
    faulty.failing.add("save")
    caller = Caller(source)
    steps = play(caller, hands, pair_reply(hands, 2))
    assert steps[-4:] == ["extend", "save", "save", "release"]
    assert caller.token == "access-2"
    assert stored(store) is None


def test_if_the_record_cannot_be_removed_the_lease_expires_with_a_doubt(
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


def test_a_kept_lease_is_continued_by_the_same_source(
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


def test_if_a_mark_cannot_be_saved_the_record_is_removed_and_the_store_not_used(
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


def test_a_lease_that_cannot_be_extended_after_a_refresh_is_kept(
    hands: Hands, store: MemoryStore, faulty: Faulty, source: Source
) -> None:
    """The stored refresh token is spent, and the new one could not be saved."""
    caller = at_the_token_call(source, hands)
    faulty.failing.add("extend")
    assert play(caller.resume(pair_reply(hands, 2)), hands) == ["extend"]
    assert caller.token == "access-2"
    assert lock(store, 1.0) is None


# --- lost leases


def lose(store: MemoryStore) -> None:
    store._leases.clear()


def test_if_the_lease_is_lost_before_the_token_call_the_visit_starts_again(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    hands.advance(DEAD)
    caller = Caller(source)
    play_until(caller, hands, "call extend")
    lose(store)
    put(store, pair(hands, 7))
    assert play(caller, hands) == ["extend", "load"]
    assert caller.token == "access-7"


def test_if_the_lease_is_lost_twice_the_store_is_not_used(
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


def test_a_lease_lost_during_a_token_call_is_taken_again_for_the_save(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    """The server lost its data, for example, or the endpoint took more than six seconds."""
    caller = at_the_token_call(source, hands)
    lose(store)
    steps = play(caller.resume(pair_reply(hands, 2)), hands)
    assert steps == ["extend", "try_lock", "save", "release"]
    assert refresh_token(store) == "refresh-2"


def test_if_another_process_has_the_lease_the_pair_stays_in_memory(
    hands: Hands, store: MemoryStore, source: Source
) -> None:
    caller = at_the_token_call(source, hands)
    lose(store)
    lease = lock(store, 6.0)
    assert play(caller.resume(pair_reply(hands, 2)), hands) == ["extend", "try_lock"]
    assert caller.token == "access-2"
    assert refresh_token(store) == "refresh-1"
    assert lease.extend(6.0)


def test_a_lease_that_cannot_be_released_stays_with_the_source(
    hands: Hands, faulty: Faulty
) -> None:
    """Otherwise the source would wait for its own lease."""
    faulty.failing.add("release")
    source = make_source(hands, store=faulty)
    play(Caller(source), hands, pair_reply(hands, 1))
    source._state.invalidate()
    caller = Caller(source)
    assert play(caller, hands) == ["load", "extend"]
    assert caller.wants == "refresh"


# --- dates and odd objects


def test_a_refresh_token_without_an_expiry_can_be_stored(hands: Hands, store: MemoryStore) -> None:
    """With a clock that is ahead, its end would be after the last possible year."""
    hands.server = -100.0
    source = make_source(hands, store=store)
    never = "9999-12-31T23:59:59Z"
    play(Caller(source), hands, pair_reply(hands, 1, refreshTokenExpirationDate=never))
    found = stored(store)
    assert found is not None
    assert found.refresh_expires_at is not None
    assert found.refresh_expires_at.year == 9999


class Odd:
    """An object whose attributes cannot be looked up, like a proxy outside its context."""

    def __getattr__(self, name: str) -> Any:
        raise LookupError(name)


class OddLease(Odd):
    doubt = False


@pytest.mark.parametrize("method", ["load", "try_lock", "save"])
def test_a_store_method_that_cannot_be_looked_up_fails_no_request(
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
def test_a_store_result_whose_attributes_raise_fails_no_request(
    hands: Hands, store: MemoryStore, method: str, value: type[Odd]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Faulty, method, lambda *_: value())
        source = make_source(hands, store=Faulty(store))
        header = drive(source.acquire(), lambda effect: pair_reply(hands, 1))
    assert header == "Bearer access-1"


def test_a_store_whose_own_task_was_cancelled_fails_no_request(hands: Hands) -> None:
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
    """Stands for the timeout classes of libraries."""


@pytest.mark.parametrize("error", [TimeoutError(), OddTimeoutError()])
def test_the_first_load_is_not_repeated_after_a_timeout(
    hands: Hands, faulty: Faulty, error: Exception
) -> None:
    caller = Caller(make_source(hands, store=faulty))
    assert caller.resume(error).wants == "mint"


# --- callable secrets

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


def test_a_callable_secret_is_called_before_the_first_visit_and_at_the_next_mint(
    hands: Hands, store: MemoryStore
) -> None:
    source = rotating(hands, store, [SECRET])
    cold = ["secret", "Seal", "load", "try_lock", "load", "extend", "mint", "extend"]
    assert play(Caller(source), hands, pair_reply(hands, 1)) == [*cold, "save", "release"]
    caller = at_the_token_call(source, hands)
    assert caller.wants == "refresh"  # without a call of the secret
    caller.resume(error_reply(401))
    steps = ["save", "load", "secret", "Seal", "extend", "mint", "extend", "save", "release"]
    assert play(caller, hands, pair_reply(hands, 2)) == steps
    assert refresh_token(store) == "refresh-2"


def test_after_a_rotation_a_pair_stored_with_the_new_secret_is_adopted(
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


def test_after_a_refused_secret_the_record_of_the_rotated_secret_is_used(
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


def test_if_the_callable_secret_fails_the_store_is_not_used(
    hands: Hands, store: MemoryStore
) -> None:
    put(store, pair(hands, 7))
    source = flows.make_source(hands, client_secret=raises, store=store)
    caller = Caller(source)
    assert play(caller, hands) == ["raises"]
    where = f"{__file__}:{raises.__code__.co_firstlineno + 1}"
    assert f"the callable client_secret raised LookupError at {where}: " in str(caller.error)
    assert source.status().store_failure is None  # it works; the error names what failed


def test_if_the_callable_fails_later_a_stored_refresh_token_is_not_sent(
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


def test_if_the_callable_returns_the_same_secret_the_same_record_is_used(
    hands: Hands, store: MemoryStore
) -> None:
    put(store, pair(hands, 7))
    hands.advance(ADVISORY)
    caller = Caller(rotating(hands, store, [SECRET]))
    play(caller, hands)
    assert caller.body == {"refreshToken": "refresh-7"}
