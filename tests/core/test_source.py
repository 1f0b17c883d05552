"""The source's three methods, flow by flow: which caller renews, which waits, and which goes on."""

from __future__ import annotations

import asyncio
import json
import linecache
import logging
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

import pytest

from monta_auth import (
    ConfigurationError,
    InvalidCredentialsError,
    MontaAuthError,
    RateLimitError,
    RefreshPolicy,
    Status,
    TokenEndpointError,
)
from monta_auth._core.effects import Send, Wait
from monta_auth._core.errors import TransportFailure
from monta_auth._core.flight import Flight, led_here
from monta_auth._core.origins import Origins
from monta_auth._core.policy import LEADER_LEASE
from monta_auth._core.refusals import RefusedCredentials
from monta_auth._core.sealing import Seal
from monta_auth._core.source import Source, _after_fork_in_child
from monta_auth._core.state import State

from ..simulation.flows import (
    ADVISORY,
    DEAD,
    FRESH,
    ID,
    MANDATORY,
    SECRET,
    URL,
    Caller,
    Hands,
    error_reply,
    fail,
    hold,
    make_source,
    no_answer,
    no_connection,
    pair,
    pair_reply,
    refuse,
)

# --- fresh and acquire


def test_a_cold_start_mints_with_the_credentials(hands: Hands, source: Source) -> None:
    assert source.fresh() is None
    caller = Caller(source)
    assert caller.wants == "mint"
    assert caller.body == {"clientId": ID, "clientSecret": SECRET}
    assert caller.effect.timeout == 10.0
    caller.resume(pair_reply(hands, 1))
    assert caller.token == "access-1"
    assert source.fresh() == "Bearer access-1"


def test_while_a_token_is_fresh_there_is_no_token_call(hands: Hands, holder: Source) -> None:
    hands.advance(3299)
    assert holder.fresh() == "Bearer access-1"
    assert Caller(holder).wants == "done"


def test_the_fast_path_ends_when_the_advisory_window_begins(hands: Hands, holder: Source) -> None:
    hands.advance(3300)
    assert holder.fresh() is None


def test_each_source_shifts_its_window_by_its_own_jitter(hands: Hands) -> None:
    hands.chance = 0.5
    source = make_source(hands)
    hold(hands, source)
    hands.advance(3269)
    assert source.fresh() is not None
    hands.advance(1)
    assert source.fresh() is None


def test_a_given_pair_is_used_and_then_refreshed(hands: Hands) -> None:
    source = make_source(hands, token=pair(hands, 1))
    assert source.fresh() == "Bearer access-1"
    hands.advance(ADVISORY)
    caller = Caller(source)
    assert caller.wants == "refresh"
    assert caller.body == {"refreshToken": "refresh-1"}


@pytest.mark.parametrize("blocking", [True, False], ids=["sync", "async"])
@pytest.mark.parametrize("flying", [False, True], ids=["no flight", "a flight"])
@pytest.mark.parametrize(
    ("moment", "alone", "behind"),
    [
        pytest.param(FRESH, "done", "done", id="fresh"),
        pytest.param(ADVISORY, "refresh", "done", id="advisory"),
        pytest.param(MANDATORY, "refresh", "wait", id="mandatory"),
        pytest.param(DEAD, "refresh", "wait", id="expired"),
    ],
)
def test_a_caller_leads_waits_or_goes_on_depending_on_the_window(
    hands: Hands,
    holder: Source,
    moment: float,
    alone: str,
    behind: str,
    flying: bool,
    blocking: bool,
) -> None:
    hands.advance(moment)
    leader = Leader(holder, thread=1) if flying else None
    caller = Caller(holder, blocking=blocking)
    assert caller.wants == (behind if leader is not None else alone)


class Leader(Caller):
    """A flow whose leader seems to run in another thread."""

    def __init__(self, source: Source, thread: int) -> None:
        super().__init__(source)
        flight = source._state._flight
        if flight is not None:
            flight.leader = thread


@pytest.mark.parametrize("phase", ["start", "mandatory", "expired", "401"])
def test_one_of_many_callers_leads_and_all_use_its_pair(hands: Hands, phase: str) -> None:
    source = make_source(hands)
    if phase != "start":
        hold(hands, source)
        hands.advance({"mandatory": MANDATORY, "expired": DEAD}.get(phase, 0.0))
    if phase == "401":
        assert refuse(source)
    callers = [Caller(source) for _ in range(50)]
    assert [caller.wants for caller in callers[1:]] == ["wait"] * 49
    callers[0].resume(pair_reply(hands, 2))
    for caller in callers[1:]:
        caller.resume(None)
    assert {caller.token for caller in callers} == {"access-2"}


def test_a_waiter_waits_until_its_own_deadline_at_most(hands: Hands, source: Source) -> None:
    """It checks its leader now and then, and leaves at its deadline."""
    _leader = Caller(source)
    hands.advance(3)
    late = Caller(source)
    for seconds in (2.0, 5.0, 3.0):
        assert late.effect.seconds == seconds
        hands.advance(seconds)
        source._state._flight.touched = hands.now  # type: ignore[union-attr]
        late.resume(None)
    assert late.wants == "failed"


def test_a_waiter_whose_time_is_up_gets_its_librarys_timeout(hands: Hands, source: Source) -> None:
    _leader = Caller(source)
    waiter = Caller(source)
    hands.advance(10)
    waiter.resume(None)
    assert isinstance(waiter.error, TransportFailure)
    assert str(waiter.error) == (
        "no token within 10 s: a renewal is under way, but it did not end in time"
    )
    assert (waiter.error.kind, waiter.error.sent) == ("timeout", False)
    assert waiter.error.library_class is None


def test_a_waiter_whose_time_is_up_goes_on_with_a_valid_token(hands: Hands, holder: Source) -> None:
    hands.advance(MANDATORY)
    _leader = Caller(holder)
    waiter = Caller(holder)
    hands.advance(10)
    assert waiter.resume(None).token == "access-1"


# --- how a failed renewal reaches callers


OUTCOMES: dict[str, Callable[[Caller], object]] = {
    "cancelled": lambda caller: caller.close(),
    "no connection": lambda caller: fail(caller, no_connection()),
    "no answer": lambda caller: fail(caller, no_answer()),
    "503": lambda caller: fail(caller, error_reply(503)),
    "429": lambda caller: caller.resume(error_reply(429, headers={"Retry-After": "30"})),
    "garbage": lambda caller: caller.resume(error_reply(200)),
}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_in_the_advisory_window_a_failed_renewal_fails_no_request(
    hands: Hands, holder: Source, outcome: str
) -> None:
    """Neither the leader nor another caller fails. However the renewal ended, a pause begins."""
    hands.advance(ADVISORY)
    leader = Caller(holder)
    OUTCOMES[outcome](leader)
    if outcome != "cancelled":
        assert leader.token == "access-1"
    pause = 30.0 if outcome == "429" else 10.0
    hands.advance(pause - 0.01)
    assert Caller(holder).token == "access-1"
    hands.advance(0.01)
    assert Caller(holder).wants in ("refresh", "mint")


@pytest.mark.parametrize("outcome", [o for o in OUTCOMES if o != "cancelled"])
def test_in_the_mandatory_window_all_wait_and_go_on_if_the_renewal_fails(
    hands: Hands, holder: Source, outcome: str
) -> None:
    hands.advance(MANDATORY)
    leader, waiter = Caller(holder), Caller(holder)
    assert waiter.wants == "wait"
    OUTCOMES[outcome](leader)
    assert leader.token == "access-1"
    assert waiter.resume(None).token == "access-1"
    # No later caller tries again before the pause is over.
    assert Caller(holder).token == "access-1"
    hands.advance(9.99)
    assert Caller(holder).token == "access-1"


def test_in_the_mandatory_window_the_next_try_comes_after_the_pause(
    hands: Hands, holder: Source
) -> None:
    hands.advance(MANDATORY)
    Caller(holder).resume(no_answer())
    hands.advance(10)
    assert Caller(holder).wants == "mint"


def test_in_the_mandatory_window_a_waiter_replaces_a_cancelled_leader_at_once(
    hands: Hands, holder: Source
) -> None:
    hands.advance(MANDATORY)
    leader, waiter = Caller(holder), Caller(holder)
    leader.close()
    assert waiter.resume(None).wants == "mint"


@pytest.mark.parametrize("moment", [pytest.param(DEAD, id="expired"), pytest.param(0, id="401")])
@pytest.mark.parametrize("outcome", [o for o in OUTCOMES if o != "cancelled"])
def test_a_failure_only_reaches_callers_without_a_valid_token(
    hands: Hands, holder: Source, outcome: str, moment: float
) -> None:
    hands.advance(moment)
    if not moment:
        assert refuse(holder)
    leader, waiter = Caller(holder), Caller(holder)
    OUTCOMES[outcome](leader)
    waiter.resume(None)
    later = Caller(holder)
    errors = [leader.error, waiter.error, later.error]
    assert all(isinstance(error, MontaAuthError | TransportFailure) for error in errors)
    assert str(waiter.error) == str(leader.error)
    what = re.sub("; wait .* s before the next try", "", str(leader.error))
    assert str(later.error).startswith(f"{what} (remembered since 2025-")
    assert len({type(error) for error in errors}) == 1


def test_each_caller_gets_its_own_copy_of_a_failure(hands: Hands, source: Source) -> None:
    """Callers must not share a traceback that each of them extends, or notes that one adds."""
    callers = [Caller(source) for _ in range(4)]
    thrown = no_answer()
    callers[0].resume(thrown)
    for caller in callers[1:]:
        caller.resume(None)
    callers.append(Caller(source))
    errors = [caller.error for caller in callers]
    assert len({id(error) for error in [*errors, thrown]}) == 6
    for error in errors:
        assert error is not None
        assert error.__context__ is None
        assert error.__cause__ is None


def test_a_waiter_gets_its_token_from_the_source_and_not_from_the_flight(
    hands: Hands, holder: Source
) -> None:
    """The pair may have been refused between the flight's end and the waiter's turn."""
    assert refuse(holder)
    leader, waiter = Caller(holder), Caller(holder)
    leader.resume(pair_reply(hands, 2))
    assert refuse(holder, 2)
    assert waiter.resume(None).wants == "refresh"
    assert waiter.body == {"refreshToken": "refresh-2"}


def test_a_failed_advisory_renewal_never_returns_a_token_refused_meanwhile(
    hands: Hands, holder: Source
) -> None:
    hands.advance(ADVISORY)
    leader = Caller(holder)
    assert refuse(holder)
    fail(leader, no_answer())
    assert isinstance(leader.error, TransportFailure)


def test_a_token_refused_between_its_installation_and_its_return_is_not_returned(
    hands: Hands,
) -> None:
    source = make_source(hands, on_token=lambda new: None)
    caller = Caller(source).resume(pair_reply(hands, 1))
    assert caller.wants == "call <lambda>"
    assert refuse(source)
    caller.call()
    assert caller.wants == "refresh"
    assert caller.resume(pair_reply(hands, 2)).call().token == "access-2"


def test_a_pair_replaced_while_on_token_ran_is_not_returned(hands: Hands) -> None:
    source = make_source(hands, on_token=lambda new: None)
    slow = Caller(source).resume(pair_reply(hands, 1))
    hands.advance(DEAD)
    quick = Caller(source).resume(pair_reply(hands, 2)).call()
    assert quick.token == "access-2"
    assert slow.call().token == "access-2"


# --- the memory of failures


def test_a_failure_is_remembered_for_a_time_that_doubles_to_five_seconds(
    hands: Hands, source: Source
) -> None:
    for seconds in [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]:
        caller = Caller(source)
        assert caller.wants == "mint"
        fail(caller, TransportFailure("connection refused", "connect", sent=False, hint="; advice"))
        assert str(caller.error) == "connection refused; advice"  # for this caller's own settings
        since = datetime.fromtimestamp(hands.wall, UTC)
        until = since + timedelta(seconds=seconds)
        hands.advance(seconds - 0.001)
        assert str(Caller(source).error) == (
            f"connection refused (remembered since {since:%Y-%m-%dT%H:%M:%SZ}; "
            f"no token call before {until:%Y-%m-%dT%H:%M:%SZ}, in 0.1 s)"
        )
        hands.advance(0.001)


def test_a_remembered_failure_says_how_much_of_the_wait_is_left(
    hands: Hands, source: Source
) -> None:
    """This also applies if the server asked for a longer wait than the failure is remembered."""
    first = Caller(source).resume(error_reply(429, headers={"Retry-After": "90"})).error
    assert isinstance(first, RateLimitError)
    assert "; wait 90 s before the next try (HTTP 429, " in str(first)
    hands.advance(20)
    later = Caller(source).error
    assert isinstance(later, RateLimitError)
    assert (first.retry_after, later.retry_after) == (90, 70)
    assert str(later).endswith(", in 40 s)")
    assert "wait 90 s" not in str(later)  # Those seconds were counted from the first failure.
    assert later.request_id == "id-429"


def test_a_remembered_failure_without_retry_after_says_when_the_next_call_is_made(
    hands: Hands, source: Source
) -> None:
    fail(Caller(source), error_reply(503))
    hands.advance(0.2)
    error = Caller(source).error
    assert isinstance(error, MontaAuthError)
    assert error.retry_after == pytest.approx(0.3)
    assert str(error).endswith(", in 0.3 s)")


def test_the_time_for_which_a_failure_is_remembered_has_jitter(
    hands: Hands, source: Source
) -> None:
    hands.chance = 0.8
    fail(Caller(source), no_connection())
    hands.advance(0.599)
    assert Caller(source).wants == "failed"
    hands.advance(0.001)
    assert Caller(source).wants == "mint"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({"Retry-After": "30"}, 30.0, id="Retry-After"),
        pytest.param({"RateLimit-ResetsIn": "42"}, 42.0, id="resetsIn"),
        pytest.param({"Retry-After": "3600"}, 60.0, id="60 s at most"),
    ],
)
def test_the_servers_retry_after_is_respected(
    hands: Hands, source: Source, headers: dict[str, str], seconds: float
) -> None:
    Caller(source).resume(error_reply(429, headers=headers))
    hands.advance(seconds - 0.01)
    assert isinstance(Caller(source).error, RateLimitError)
    hands.advance(0.01)
    assert Caller(source).wants == "mint"


def test_a_success_ends_the_memory_and_the_doubling(hands: Hands, source: Source) -> None:
    for _ in range(3):
        fail(Caller(source), no_connection())
        hands.advance(5)
    hold(hands, source)
    assert source.status().last_failure is None
    assert refuse(source)
    fail(Caller(source), no_connection())
    hands.advance(0.5)
    assert Caller(source).wants == "refresh"


def test_after_a_success_a_refusal_renews_even_within_the_old_pause(
    hands: Hands, source: Source
) -> None:
    leader, other = Caller(source), Caller(source)
    fail(leader, no_connection())
    assert other.resume(None).wants == "failed"
    hands.advance(0.5)
    hold(hands, source)
    assert refuse(source)
    assert Caller(source).wants == "refresh"


def test_refused_credentials_are_remembered_by_value_doubling_to_five_minutes(
    hands: Hands, source: Source
) -> None:
    for seconds in [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]:
        caller = Caller(source)
        assert caller.wants == "mint"
        caller.resume(error_reply(401))
        assert isinstance(caller.error, InvalidCredentialsError)
        until = hands.date() + timedelta(seconds=seconds)
        error: object = None
        for moment in (seconds / 2, seconds / 2 - 0.05):
            hands.advance(moment)
            error = Caller(source).error
            assert isinstance(error, InvalidCredentialsError)
            assert f"; no token call before {until:%Y-%m-%dT%H:%M:%SZ}, in " in str(error)
            next_try = source.status().next_try
            assert next_try is not None
            assert abs((next_try - until).total_seconds()) < 0.001
        assert str(error).endswith(", in 0.1 s)")
        assert "remembered" not in str(source.status().last_failure)
        hands.advance(0.05)
    assert (source.status().failures, source.status().next_try) == (8, None)


def test_a_callable_may_return_another_secret_while_a_refusal_is_remembered(hands: Hands) -> None:
    secrets = ["wrong-secret", "wrong-secret", "wrong-secret", SECRET]
    source = make_source(hands, client_secret=lambda: secrets.pop(0))
    caller = Caller(source).until_send()
    caller.resume(error_reply(401)).until_send()  # called again, it returns the same secret
    assert isinstance(caller.error, InvalidCredentialsError)
    since = hands.date()
    hands.advance(1)
    # Called once more, it returns a secret that is known to be refused, so there is no call.
    error = Caller(source).until_send().error
    assert f"(remembered since {since:%Y-%m-%dT%H:%M:%SZ}; no token call before " in str(error)
    assert str(error).endswith(", in 4 s)")
    assert source.status().failures == 1
    hands.advance(1.5)
    hold(hands, source)


def test_the_next_try_after_abandoned_cold_starts_is_known(hands: Hands, source: Source) -> None:
    for _ in range(2):
        caller = Caller(source)
        assert caller.wants == "mint"
        caller.close()
    next_try = source.status().next_try
    assert next_try is not None
    assert (next_try - hands.date()).total_seconds() == 2


def test_a_success_clears_what_is_remembered_of_these_credentials(
    hands: Hands, source: Source
) -> None:
    for _ in range(2):
        Caller(source).resume(error_reply(401))
        hands.advance(60)
    remembered = source._state.refusals.credentials._entries
    assert [each.until - each.since for each in remembered.values()] == [10.0]
    assert Caller(source).resume(pair_reply(hands, 1)).token == "access-1"
    assert not remembered


def test_sixteen_refused_credentials_are_remembered() -> None:
    refused, error = RefusedCredentials(), InvalidCredentialsError("no")
    for number in range(17):
        refused.add(str(number), error, 0.0)
    assert refused.find("0", 0.0) is None
    for number in range(1, 17):
        assert refused.find(str(number), 0.0) is not None


def test_a_thousand_requests_with_wrong_credentials_in_five_seconds_cost_one_call(
    hands: Hands, source: Source
) -> None:
    Caller(source).resume(error_reply(401))
    for _ in range(999):
        hands.advance(4.9 / 999)
        assert isinstance(Caller(source).error, InvalidCredentialsError)


def test_the_error_for_refused_credentials_names_the_host(source: Source) -> None:
    caller = Caller(source).resume(error_reply(401))
    assert "public-api.monta.com" in str(caller.error)
    assert SECRET not in repr(caller.error)


# --- replacing a leader


def test_a_flight_whose_leader_stopped_running_is_taken_over(hands: Hands, source: Source) -> None:
    """After half the deadline, so that the new leader has the other half."""
    _leader = Caller(source)
    waiter = Caller(source)
    hands.advance(4.99)
    assert waiter.resume(None).wants == "wait"
    hands.advance(0.01)
    assert waiter.resume(None).wants == "mint"
    assert waiter.effect.timeout == 5.0


@pytest.mark.parametrize("outcome", ["a pair", "a failure"])
def test_a_flight_is_taken_over_only_once_until_a_renewal_ends(
    hands: Hands, source: Source, outcome: str
) -> None:
    """The waiting callers must not call a slow endpoint one after the other."""
    _leader = Caller(source)
    hands.advance(5)
    _taker = Caller(source)
    hands.advance(5)
    assert Caller(source).wants == "wait"
    hands.advance(LEADER_LEASE - 5)
    taker = Caller(source)
    assert taker.wants == "mint"
    taker.resume(pair_reply(hands, 1) if outcome == "a pair" else error_reply(400))
    if outcome == "a pair":
        assert refuse(source)
    hands.advance(1)
    _leader = Caller(source)
    hands.advance(5)
    assert Caller(source).wants == "mint"


def test_a_caller_in_a_thread_takes_over_from_a_loop_before_its_connection_fails(
    hands: Hands, source: Source
) -> None:
    """The loop may look up the host in a pool whose threads all wait for this renewal."""
    _leader = Leader(source, thread=1)
    sync, other = Caller(source, blocking=True), Caller(source)
    assert (sync.effect.seconds, other.effect.seconds) == (2.0, 5.0)
    hands.advance(2)
    assert sync.resume(None).wants == "mint"


def test_the_lease_runs_from_the_leaders_last_effect(hands: Hands, source: Source) -> None:
    leader = Caller(source)
    hands.advance(4)
    assert leader.resume(error_reply(503)).wants == "sleep"
    hands.advance(4.9)
    assert Caller(source).wants == "wait"


def test_a_superseded_leader_installs_nothing_and_takes_the_newer_pair(
    hands: Hands, source: Source
) -> None:
    old = Caller(source)
    hands.advance(LEADER_LEASE + 1)
    hold(hands, source, 2)
    old.resume(pair_reply(hands, 1))
    assert old.token == "access-2"
    assert source.fresh() == "Bearer access-2"


def test_a_superseded_leaders_pair_is_used_and_saved_if_there_is_no_newer_one(
    hands: Hands,
) -> None:
    store = OneLease()
    store.tries = 1
    source = make_source(hands, store=store)
    old = Caller(source).until_send()
    hands.advance(LEADER_LEASE + 1)
    new = Caller(source).until_send()
    assert new.wants == "mint"
    hands.advance(-LEADER_LEASE)
    assert old.resume(pair_reply(hands, 1)).call().token == "access-1"
    saved = store.saved
    assert saved is not None
    assert new.resume(pair_reply(hands, 2)).until_send().token == "access-1"
    assert store.saved == saved


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(no_answer(), id="no answer"),
        pytest.param(error_reply(503), id="503"),
        pytest.param(error_reply(401), id="401"),
        pytest.param(MontaAuthError("redirected"), id="an error of ours"),
    ],
)
def test_a_superseded_leaders_failure_fails_no_request(
    hands: Hands, source: Source, outcome: object
) -> None:
    old = Caller(source)
    hands.advance(LEADER_LEASE + 1)
    new = Caller(source)
    hands.advance(-LEADER_LEASE)  # so that its own deadline does not stop it
    assert old.resume(outcome).wants == "wait"
    new.resume(pair_reply(hands, 2))
    assert old.resume(None).token == "access-2"
    assert source.status().failures == 0


def test_a_superseded_leaders_refresh_token_counts_as_spent(hands: Hands, holder: Source) -> None:
    assert refuse(holder)
    _leader = Caller(holder)
    hands.advance(LEADER_LEASE + 1)
    assert Caller(holder).wants == "mint"


def test_in_the_advisory_window_an_expired_flight_starts_a_pause(
    hands: Hands, holder: Source
) -> None:
    hands.advance(3301)
    _leader = Caller(holder)
    hands.advance(LEADER_LEASE + 1)
    assert Caller(holder).token == "access-1"
    hands.advance(9.99)
    assert Caller(holder).token == "access-1"
    hands.advance(0.01)
    assert Caller(holder).wants == "mint"


def test_a_sync_caller_in_the_leaders_thread_takes_the_flight_over(
    hands: Hands, holder: Source
) -> None:
    """Otherwise a sync client inside a coroutine would wait for its own event loop."""
    assert refuse(holder)
    task, other = Caller(holder), Caller(holder)
    sync = Caller(holder, blocking=True)
    assert sync.wants == "mint"  # the refresh token is on the wire
    assert other.resume(None).wants == "wait"
    sync.resume(pair_reply(hands, 2))
    assert sync.token == "access-2"
    assert task.resume(pair_reply(hands, 3)).token == "access-2"
    assert other.resume(None).token == "access-2"


@pytest.mark.parametrize("moment", [ADVISORY, MANDATORY])
def test_a_sync_caller_does_not_take_over_an_advisory_renewal_in_its_thread(
    hands: Hands, holder: Source, moment: float
) -> None:
    hands.advance(moment)
    _leader = Caller(holder)
    sync = Caller(holder, blocking=True)
    assert sync.wants == ("done" if moment == ADVISORY else "mint")


def test_a_cancelled_waiter_disturbs_no_other_caller(hands: Hands, source: Source) -> None:
    leader, waiter, other = Caller(source), Caller(source), Caller(source)
    waiter.close()
    leader.resume(pair_reply(hands, 1))
    assert other.resume(None).token == "access-1"


def test_a_garbage_collected_leader_is_replaced(hands: Hands, source: Source) -> None:
    leader = Caller(source)
    waiter = Caller(source)
    del leader
    assert waiter.resume(None).wants == "mint"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, OSError])
def test_a_leader_stopped_by_any_exception_is_replaced(
    hands: Hands, source: Source, kind: type[BaseException]
) -> None:
    leader, waiter = Caller(source), Caller(source)
    with pytest.raises(kind):
        leader.flow.throw(kind())
    assert waiter.resume(None).wants == "mint"


def test_an_interrupt_just_after_the_flight_began_leaves_no_flight_behind(
    hands: Hands, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide = source._state.decide

    def interrupted(*args: Any) -> object:
        decide(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(source._state, "decide", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Caller(source)
    assert Caller(source).wants == "mint"


class Interrupt:
    """Raises KeyboardInterrupt before line number `stop` of the code that ends a flight."""

    ends = (State.install, State.fail, State._retire, Flight.end, Flight.wake)
    codes = tuple(function.__code__ for function in ends)

    def __init__(self, stop: int) -> None:
        self.left = stop
        self.lines: list[str] = []

    def trace(self, frame: FrameType, event: str, arg: object) -> Any:
        if frame.f_code not in self.codes:
            return None
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
        # No signal arrives between the end of a with statement and the exit of its mutex.
        if event == "line" and not line.startswith("with "):
            self.lines.append(line)
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self.trace

    def __enter__(self) -> None:
        self.before = sys.gettrace()
        sys.settrace(self.trace)

    def __exit__(self, *args: object) -> None:
        sys.settrace(self.before)


@pytest.mark.parametrize("status", [200, 403], ids=["install", "fail"])
def test_an_interrupt_at_any_line_that_ends_a_flight_leaves_no_caller_waiting(
    hands: Hands, status: int
) -> None:
    reply = pair_reply(hands, 1) if status == 200 else error_reply(status)
    stop = 0
    while True:
        stop += 1
        source = make_source(hands)
        leader, waiter = Caller(source), Caller(source)
        flight = source._state._flight
        assert flight is not None
        woken: list[bool] = []
        flight.add(lambda woken=woken: woken.append(True))  # type: ignore[misc]
        interrupt = Interrupt(stop)
        try:
            with interrupt:
                leader.resume(reply)
        except KeyboardInterrupt:
            assert woken, interrupt.lines
            waiter.resume(None)
            assert waiter.wants in ("done", "mint", "failed"), interrupt.lines
            assert source._state._flight is None or waiter.wants == "mint"
        else:
            break
    assert stop > 10


class Leaky:
    """A mutex that lets a test do something just after the mutex was released."""

    def __init__(self, mutex: Any) -> None:
        self.mutex = mutex
        self.then: list[Callable[[], object]] = []

    def __enter__(self) -> None:
        self.mutex.__enter__()

    def __exit__(self, *args: object) -> None:
        self.mutex.__exit__(*args)
        if self.then:
            self.then.pop()()


def test_a_leader_that_fails_while_it_is_replaced_fails_no_other_request(
    hands: Hands, source: Source
) -> None:
    """In two threads: one has just taken the flight away, but has not woken the waiters yet."""
    leader, waiter = Caller(source), Caller(source)
    mutex: Any = Leaky(source._state._mutex)
    source._state._mutex = mutex
    mutex.then.append(lambda: leader.resume(no_answer()))
    successor = Caller(source, blocking=True)
    assert successor.wants == "mint"
    assert waiter.resume(None).wants != "failed"
    assert leader.wants == "wait"


# --- the deadline


def test_a_call_may_take_the_rest_of_the_deadline(hands: Hands, source: Source) -> None:
    caller = Caller(source)
    hands.advance(4)
    caller.resume(error_reply(503))
    hands.advance(caller.sleep)
    assert caller.resume(None).effect.timeout == 5.5


def test_the_policy_sets_the_deadline(hands: Hands) -> None:
    source = make_source(hands, policy=RefreshPolicy(deadline=2.5))
    leader = Caller(source)
    assert leader.effect.timeout == 2.5
    assert Caller(source).effect.seconds == 1.25  # half of it; then it takes over


def test_no_call_is_made_when_no_time_is_left(hands: Hands) -> None:
    def slow() -> str:
        hands.advance(10)
        return SECRET

    caller = Caller(make_source(hands, client_secret=slow)).call()
    assert isinstance(caller.error, TransportFailure)
    assert caller.error.kind == "timeout"
    assert not caller.error.sent


def test_a_woken_waiter_whose_time_is_up_does_not_lead(hands: Hands, source: Source) -> None:
    """It has no time for a call, while callers that wait for it have time left."""
    leader, old = Caller(source), Caller(source)
    hands.advance(9)
    source._state._flight.touched = hands.now  # type: ignore[union-attr]
    young = Caller(source)
    hands.advance(1)
    leader.close()
    assert old.resume(None).wants == "failed"
    assert young.resume(None).wants == "mint"


# --- refuse


@pytest.mark.parametrize(
    ("status", "url", "sent", "ours"),
    [
        pytest.param(403, URL, "Bearer access-1", "Bearer access-1", id="another status"),
        pytest.param(200, URL, "Bearer access-1", "Bearer access-1", id="a good status"),
        pytest.param(401, URL, "Bearer other", "Bearer access-1", id="the user's own header"),
        pytest.param(401, URL, None, "Bearer access-1", id="no header, as after a redirect"),
        pytest.param(401, URL, "Bearer access-1", None, id="we gave none"),
        pytest.param(401, URL, None, None, id="no header at all"),
        pytest.param(
            401, "https://evil.test/api/v1/x", "Bearer access-1", "Bearer access-1", id="foreign"
        ),
    ],
)
def test_a_response_that_does_not_refuse_our_token_changes_nothing(
    holder: Source, status: int, url: str, sent: str | None, ours: str | None
) -> None:
    assert holder.refuse(status, url, sent, ours) is False
    assert holder.fresh() == "Bearer access-1"


def test_a_caller_may_allow_other_origins(holder: Source) -> None:
    header, url = "Bearer access-1", "https://proxy.test/x"
    assert holder.refuse(401, url, header, header) is False
    origins = Origins(holder.base_url, ("https://proxy.test",))
    assert holder.refuse(401, url, header, header, origins) is True


@pytest.mark.parametrize("moment", [FRESH, ADVISORY, MANDATORY])
def test_a_refused_header_is_never_returned(hands: Hands, holder: Source, moment: float) -> None:
    hands.advance(moment)
    kept = holder._state.held
    assert kept is not None
    assert refuse(holder)
    assert holder.fresh() is None
    assert hands.now >= kept.ready_until  # for a caller that kept it
    caller = Caller(holder)
    assert caller.wants == "refresh"
    assert caller.resume(pair_reply(hands, 2)).token == "access-2"


def test_a_refused_token_that_the_server_issues_again_stays_in_use(
    hands: Hands, holder: Source
) -> None:
    """No other token is available: an endpoint that refused it would refuse every token."""
    assert refuse(holder)
    caller = Caller(holder).resume(pair_reply(hands, 1))
    assert caller.token == "access-1"
    assert holder.fresh() == "Bearer access-1"


def test_getting_the_same_token_again_is_a_strike(hands: Hands, holder: Source) -> None:
    """So an API that issues the same token repeatedly costs one renewal, then a cool-down."""
    assert refuse(holder)
    Caller(holder).resume(pair_reply(hands, 1))
    assert not refuse(holder)
    assert holder.fresh() == "Bearer access-1"


def test_many_refusals_of_one_token_cost_one_renewal(hands: Hands, holder: Source) -> None:
    assert all(refuse(holder) for _ in range(100))
    callers = [Caller(holder) for _ in range(100)]
    assert [caller.wants for caller in callers] == ["refresh"] + ["wait"] * 99
    callers[0].resume(pair_reply(hands, 2))
    assert all(refuse(holder) for _ in range(100))  # late refusals of the older token
    assert {Caller(holder).token for _ in range(100)} == {"access-2"}
    assert holder.status().refusals == 1


def born_of_refusals(hands: Hands, source: Source, first: int, count: int) -> None:
    """Refuse token number `first` and its successors, each immediately."""
    for serial in range(first, first + count):
        assert refuse(source, serial)
        hold(hands, source, serial + 1)


def test_a_first_token_that_is_revoked_early_is_renewed_at_once(
    hands: Hands, holder: Source
) -> None:
    hands.advance(1)
    born_of_refusals(hands, holder, 1, 2)
    assert holder.fresh() == "Bearer access-3"


def test_two_consecutive_strikes_start_a_cool_down(
    hands: Hands, holder: Source, caplog: pytest.LogCaptureFixture
) -> None:
    """At most three calls, however often an endpoint refuses all tokens."""
    born_of_refusals(hands, holder, 1, 2)
    for _ in range(1000):
        assert not refuse(holder, 3)
    assert holder.fresh() == "Bearer access-3"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "no renewal for 15 s" in caplog.text
    hands.advance(14.99)
    assert not refuse(holder, 3)
    hands.advance(0.01)
    assert refuse(holder, 3)


def test_the_warning_about_a_cool_down_shows_no_query(
    hands: Hands, holder: Source, caplog: pytest.LogCaptureFixture
) -> None:
    born_of_refusals(hands, holder, 1, 2)
    header = "Bearer access-3"
    url = URL.replace("//", "//user:password@") + "?key=hidden#part"
    assert not holder.refuse(401, url, header, header)
    (text,) = caplog.messages
    assert text == (
        "two new tokens in a row were soon refused with 401; no renewal for 15 s. Do the "
        f"credentials have access to {URL}?"
    )


def test_in_a_cool_down_a_late_refusal_of_an_older_token_is_still_retried(
    hands: Hands, holder: Source
) -> None:
    born_of_refusals(hands, holder, 1, 2)
    assert not refuse(holder, 3)
    assert refuse(holder, 2)
    assert holder.fresh() == "Bearer access-3"


def test_refusing_a_token_that_worked_for_a_while_is_no_strike(
    hands: Hands, holder: Source
) -> None:
    born_of_refusals(hands, holder, 1, 1)
    hands.advance(15.01)
    born_of_refusals(hands, holder, 2, 2)
    assert not refuse(holder, 4)


@pytest.mark.parametrize("moment", [pytest.param(15.0, id="in time"), 15.01])
def test_a_strike_needs_a_refusal_within_fifteen_seconds(
    hands: Hands, holder: Source, moment: float
) -> None:
    born_of_refusals(hands, holder, 1, 2)
    hands.advance(moment)
    assert refuse(holder, 3) is (moment > 15.0)


def test_a_renewal_without_a_refusal_resets_the_strikes(hands: Hands, holder: Source) -> None:
    born_of_refusals(hands, holder, 1, 2)
    holder.invalidate()
    hold(hands, holder, 4)
    born_of_refusals(hands, holder, 4, 2)
    assert not refuse(holder, 6)


def cool_down(hands: Hands, source: Source, first: int) -> int:
    """Bring a source into a cool-down. Return the number of the token that it keeps."""
    born_of_refusals(hands, source, first, 2)
    assert not refuse(source, first + 2)
    return first + 2


def test_cool_downs_double_to_five_minutes(hands: Hands, holder: Source) -> None:
    serial, lengths = 1, []
    for _ in range(7):
        serial = cool_down(hands, holder, serial)
        start = hands.now
        until = holder._state.refusals.cooldown_until
        hands.advance(until - start - 0.01)
        assert not refuse(holder, serial)
        hands.advance(0.02)
        lengths.append(round(until - start))
    assert lengths == [15, 30, 60, 120, 240, 300, 300]


@pytest.mark.parametrize(("quiet", "length"), [(30.0, 30), (30.01, 15)], ids=["noisy", "quiet"])
def test_twice_the_cool_down_without_a_strike_resets_the_doubling(
    hands: Hands, holder: Source, quiet: float, length: int
) -> None:
    serial = cool_down(hands, holder, 1)
    hands.advance(15 + quiet)
    start = hands.now
    cool_down(hands, holder, serial)
    assert round(holder._state.refusals.cooldown_until - start) == length


def test_the_success_of_other_requests_does_not_reset_the_strikes(
    hands: Hands, holder: Source
) -> None:
    """Otherwise an endpoint that always refuses would cause a renewal at each request."""
    born_of_refusals(hands, holder, 1, 1)
    assert holder.refuse(200, URL, "Bearer access-2", "Bearer access-2") is False
    born_of_refusals(hands, holder, 2, 1)
    assert holder.refuse(200, URL, "Bearer access-3", "Bearer access-3") is False
    assert not refuse(holder, 3)


def test_if_the_renewal_after_a_401_fails_the_caller_gets_that_error(
    hands: Hands, holder: Source
) -> None:
    assert refuse(holder)
    caller = Caller(holder)
    fail(caller, error_reply(503))
    assert isinstance(caller.error, TokenEndpointError)
    assert caller.error.status == 503


# --- invalidate and forget


def test_invalidate_renews_with_the_refresh_token(hands: Hands, holder: Source) -> None:
    holder.invalidate()
    holder.invalidate()
    assert holder.fresh() is None
    caller = Caller(holder)
    assert caller.body == {"refreshToken": "refresh-1"}
    caller.resume(pair_reply(hands, 2))
    assert holder.status().refusals == 0


def test_invalidate_does_not_count_as_a_refusal(hands: Hands, holder: Source) -> None:
    for serial in range(1, 8):
        holder.invalidate()
        hold(hands, holder, serial + 1)
    assert refuse(holder, 8)


def test_invalidate_without_a_pair_is_harmless(source: Source) -> None:
    source.invalidate()
    assert Caller(source).wants == "mint"


def test_invalidate_keeps_the_memory_of_failures(hands: Hands, holder: Source) -> None:
    assert refuse(holder)
    fail(Caller(holder), no_connection())
    holder.invalidate()
    assert Caller(holder).wants == "failed"


def test_invalidate_overrides_a_cool_down(hands: Hands, holder: Source) -> None:
    serial = cool_down(hands, holder, 1)
    holder.invalidate()
    hold(hands, holder, serial + 1)
    assert not refuse(holder, serial + 1)


def test_forget_drops_the_pair_and_mints(hands: Hands, holder: Source) -> None:
    holder.forget()
    assert holder.fresh() is None
    assert holder.status().access_expires_at is None
    assert Caller(holder).wants == "mint"


@pytest.mark.parametrize("reply", [error_reply(401), no_connection()], ids=["401", "network"])
def test_forget_clears_the_memory_of_failures(hands: Hands, source: Source, reply: object) -> None:
    fail(Caller(source), reply)
    assert Caller(source).wants == "failed"
    source.forget()
    assert Caller(source).wants == "mint"
    assert source.status().last_failure is None


def test_after_forget_during_a_renewal_its_pair_is_not_used(hands: Hands, holder: Source) -> None:
    """After a logout, for example, that pair must not be in use a second later."""
    assert refuse(holder)
    leader, waiter = Caller(holder), Caller(holder)
    holder.forget()
    assert leader.resume(pair_reply(hands, 2)).wants == "mint"
    assert waiter.resume(None).wants == "wait"
    leader.resume(pair_reply(hands, 3))
    assert {leader.token, waiter.resume(None).token} == {"access-3"}


def test_forget_clears_the_memory_of_refused_tokens(hands: Hands, holder: Source) -> None:
    assert refuse(holder)
    holder.forget()
    for serial in (1, 2):
        Caller(holder).resume(pair_reply(hands, 1))
        assert holder.fresh() == "Bearer access-1", serial
        holder.invalidate()


# --- a flow may be closed at each yield


class OneLease:
    """A store that is free at the second try; `saved` is its content."""

    doubt = False

    def __init__(self) -> None:
        self.tries = 0
        self.saved: bytes | None = None

    def load(self, name: str) -> bytes | None:
        return self.saved

    def try_lock(self, name: str, seconds: float) -> OneLease | None:
        self.tries += 1
        return self if self.tries > 1 else None

    def save(self, name: str, record: bytes | None, lease: object) -> None:
        self.saved = record

    def extend(self, seconds: float) -> bool:
        return True

    def release(self) -> None:
        pass


STEPS = [
    "call load",
    "call try_lock",
    "sleep",
    "call load",
    "call try_lock",
    "call load",
    "call extend",
    "refresh",
    "sleep",
    "call extend",
    "refresh",
    "call load",
    "call secret",
    "call Seal",
    "call extend",
    "mint",
    "sleep",
    "call extend",
    "mint",
    # The secret was rotated, so its record has another name.
    "call secret",
    "call Seal",
    "call release",
    "call load",
    "call try_lock",
    "call load",
    "call extend",
    "mint",
    "call extend",
    "call save",
    "call release",
    "call on_token",
]


def walk(hands: Hands, stop: int) -> tuple[Source, Caller]:
    """Take a flow through every kind of step. Stop before step number `stop`."""
    secrets = iter(["secret-a", "secret-b", "secret-c", "secret-d"])

    def secret() -> str:
        return next(secrets)

    def on_token(new: object) -> None:
        pass

    source = make_source(hands, client_secret=secret, store=OneLease(), on_token=on_token)
    source._terms.seal = Seal(source.base_url, ID, "secret-a")
    source._state.held = make_source(hands, token=pair(hands, 1))._state.held
    assert refuse(source)
    caller = Caller(source)
    replies = iter([503, 400, 503, 401])
    for step in STEPS[:stop]:
        assert caller.wants == step
        if isinstance(caller.effect, Send):
            status = next(replies, None)
            caller.resume(pair_reply(hands, 2) if status is None else error_reply(status))
        elif step == "sleep":
            hands.advance(caller.sleep)
            caller.resume(None)
        else:
            caller.call()
    return source, caller


def test_the_walk_contains_every_kind_of_step(hands: Hands) -> None:
    _, caller = walk(hands, len(STEPS))
    assert caller.token == "access-2"


@pytest.mark.parametrize("how", ["close", "collect", "interrupt"])
@pytest.mark.parametrize(
    "stop", [pytest.param(i, id=f"{i} {step}") for i, step in enumerate(STEPS)]
)
def test_a_leader_may_be_stopped_at_any_yield(hands: Hands, stop: int, how: str) -> None:
    """A waiter goes on: with the new pair if the leader had received it, or else it leads."""
    source, leader = walk(hands, stop)
    assert leader.wants == STEPS[stop]
    flight = source._state._flight
    waiter = Caller(source)
    installed = stop >= len(STEPS) - 2
    assert waiter.wants == ("done" if installed else "wait")
    woken: list[bool] = []
    if flight is not None:
        flight.add(lambda: woken.append(True))
    if how == "close":
        leader.close()
    elif how == "interrupt":
        with pytest.raises(KeyboardInterrupt):
            leader.flow.throw(KeyboardInterrupt())
    del leader
    if not installed:
        assert woken == [True]
        waiter.resume(None)
    is_in_hand = STEPS[stop] == "call save" or stop == len(STEPS) - 4
    if is_in_hand:
        assert waiter.wants == "call on_token"  # the leader was stopped before that
        waiter.call()
    if installed or is_in_hand:
        assert waiter.token == "access-2"
        return
    wanted: str = waiter.wants
    assert wanted == "call load"
    sent: list[str] = []
    while waiter.wants not in ("done", "failed"):
        if isinstance(waiter.effect, Send):
            sent.append(waiter.wants)
            waiter.resume(pair_reply(hands, 3))
        elif waiter.wants == "sleep":
            waiter.resume(None)
        else:
            waiter.call()
    assert waiter.token == "access-3"
    # A token that was refused, or on the wire when the leader was stopped, is not sent again.
    spent = STEPS[stop] == "refresh" or stop > STEPS.index("call secret") - 2
    assert sent == ["mint" if spent else "refresh"]


def test_a_waiter_may_be_closed_at_its_yield(hands: Hands, source: Source) -> None:
    _leader = Caller(source)
    waiter = Caller(source)
    assert isinstance(waiter.effect, Wait)
    waiter.close()


@pytest.mark.parametrize("stop", ["call save", "call release"])
def test_on_token_is_called_for_a_pair_whose_leader_was_cancelled(hands: Hands, stop: str) -> None:
    heard: list[str] = []
    source = make_source(
        hands, store=OneLease(), on_token=lambda new: heard.append(new.access_token)
    )
    leader = Caller(source)
    while leader.wants != stop:
        if isinstance(leader.effect, Send):
            leader.resume(pair_reply(hands, 1))
        elif leader.wants == "sleep":
            leader.resume(None)
        else:
            leader.call()
    leader.close()
    hands.advance(ADVISORY)
    later = Caller(source)
    while later.wants != "done":
        if isinstance(later.effect, Send):
            later.resume(pair_reply(hands, 2))
        elif later.wants == "sleep":
            later.resume(None)
        else:
            later.call()
    assert heard == ["access-1", "access-2"]


# --- requests from inside a renewal: hooks, callables, stores over HTTP


def inside(outer: Caller, source: Source) -> Caller:
    """Return a request that is made inside the outer one, which waits for it."""
    return outer.context.run(Caller, source)


@pytest.mark.parametrize("moment", [ADVISORY, MANDATORY])
def test_a_request_inside_a_renewal_uses_the_valid_token(
    hands: Hands, holder: Source, moment: float
) -> None:
    hands.advance(moment)
    outer = Caller(holder)
    assert inside(outer, holder).token == "access-1"
    assert outer.resume(pair_reply(hands, 2)).token == "access-2"


@pytest.mark.parametrize("phase", ["start", "expired", "401"])
def test_without_a_valid_token_a_request_inside_a_renewal_renews_for_both(
    hands: Hands, phase: str
) -> None:
    source = make_source(hands)
    if phase != "start":
        hold(hands, source)
        hands.advance(DEAD if phase == "expired" else 0)
    if phase == "401":
        assert refuse(source)
    outer = Caller(source)
    inner = inside(outer, source)
    assert inner.wants == "mint"  # the refresh token may already be on the wire
    assert inner.resume(pair_reply(hands, 2)).token == "access-2"
    assert outer.resume(pair_reply(hands, 1)).token == "access-2"
    assert source.fresh() == "Bearer access-2"


def test_if_the_inner_renewal_fails_both_requests_get_the_failure(
    hands: Hands, source: Source
) -> None:
    outer = Caller(source)
    inner = inside(outer, source).resume(error_reply(400))
    assert isinstance(inner.error, TokenEndpointError)
    outer.resume(TransportFailure("a hook raised it"))
    assert isinstance(outer.error, TokenEndpointError)
    assert inner.error is not outer.error


def test_a_request_inside_the_inner_renewal_is_refused_at_once(
    hands: Hands, source: Source
) -> None:
    outer = Caller(source)
    inner = inside(outer, source)
    innermost = inside(inner, source)
    assert isinstance(innermost.error, ConfigurationError)
    assert str(innermost.error) == (
        "a hook, callable or store makes requests with the auth that it belongs to, which calls it "
        "again: let it use a client without this auth"
    )
    assert inner.resume(pair_reply(hands, 2)).token == "access-2"
    assert outer.resume(pair_reply(hands, 1)).token == "access-2"


def test_earlier_renewals_of_the_same_context_do_not_count(hands: Hands, source: Source) -> None:
    first = Caller(source).resume(pair_reply(hands, 1))
    assert first.context[led_here] == ()
    assert refuse(source)
    second = inside(first, source)
    assert second.wants == "refresh"
    assert len(second.context[led_here]) == 1


def test_an_inner_request_of_another_source_may_wait(hands: Hands, source: Source) -> None:
    other = make_source(hands)
    leader, outer = Caller(other), Caller(source)
    inner = inside(outer, other)
    assert inner.wants == "wait"
    leader.close()
    assert inner.resume(None).wants == "mint"
    assert inside(inner, source).wants == "mint"  # still inside the outer request


# --- on_token


def test_on_token_is_called_once_for_each_pair_that_is_in_use(hands: Hands) -> None:
    heard: list[tuple[str, object]] = []

    def on_token(new: Any) -> None:
        heard.append((new.access_token, owner.fresh()))

    owner = make_source(hands, on_token=on_token)
    leader, waiter = Caller(owner), Caller(owner)
    assert leader.resume(pair_reply(hands, 1)).wants == "call on_token"
    assert waiter.resume(None).token == "access-1"  # waiters do not wait for on_token
    assert heard == []
    assert leader.call().token == "access-1"
    assert heard == [("access-1", "Bearer access-1")]


@pytest.mark.parametrize("how", ["closed", "its request has failed"])
def test_on_token_is_called_with_the_next_request_at_the_latest(hands: Hands, how: str) -> None:
    """Its leader may have been cancelled just before that, or cannot act any more."""
    heard: list[str] = []

    def on_token(new: Any) -> None:
        heard.append(new.access_token)

    store = OneLease()
    store.tries = 1
    owner = make_source(hands, store=store, on_token=on_token)
    leader = Caller(owner).until_send().resume(pair_reply(hands, 1))
    while leader.wants != ("call release" if how == "closed" else "call on_token"):
        leader.call()
    if how == "closed":
        leader.close()
    else:
        leader.resume(TransportFailure("the request has failed"))
    assert heard == []
    assert owner.fresh() is None
    assert owner.fresh_pair() is None
    follower = Caller(owner)
    assert follower.wants == "call on_token"
    assert Caller(owner).token == "access-1"  # no other caller waits for on_token
    assert follower.call().token == "access-1"
    assert heard == ["access-1"]
    assert owner.fresh() == "Bearer access-1"


def test_a_forked_child_does_not_announce_its_parents_pair(hands: Hands) -> None:
    owner = make_source(hands, on_token=lambda new: pytest.fail("called"))
    Caller(owner).resume(pair_reply(hands, 1)).resume(TransportFailure("the request has failed"))
    _after_fork_in_child()
    assert owner.fresh() == "Bearer access-1"
    assert Caller(owner).token == "access-1"


@pytest.mark.parametrize("how", ["refused", "forgotten"])
def test_a_pair_may_be_dropped_before_on_token_was_called(hands: Hands, how: str) -> None:
    heard: list[str] = []

    def on_token(new: Any) -> None:
        heard.append(new.access_token)

    owner = make_source(hands, on_token=on_token)
    leader = Caller(owner).resume(pair_reply(hands, 1))
    leader.resume(TransportFailure("the request has failed"))
    if how == "forgotten":
        owner.forget()
    else:
        assert refuse(owner)
    follower = Caller(owner).resume(pair_reply(hands, 2))
    while follower.wants == "call on_token":
        follower.call()
    assert follower.token == "access-2"
    assert heard == (["access-2"] if how == "forgotten" else ["access-1", "access-2"])


@pytest.mark.parametrize("kind", [ValueError, StopIteration, MontaAuthError])
def test_an_error_of_on_token_fails_no_request_and_is_logged_by_type(
    hands: Hands, kind: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    def on_token(new: Any) -> None:
        raise kind(new.access_token)

    source = make_source(hands, on_token=on_token)
    assert Caller(source).resume(pair_reply(hands, 1)).call().token == "access-1"
    assert f"on_token raised {kind.__name__} at {__file__}:" in caplog.text
    assert "access-1" not in caplog.text


def test_on_token_is_not_called_for_a_given_pair(hands: Hands) -> None:
    source = make_source(hands, token=pair(hands, 1), on_token=lambda new: pytest.fail("called"))
    assert Caller(source).token == "access-1"


# --- asynchronous functions of the user


async def a_secret() -> str:
    return SECRET


async def an_on_token(new: object) -> None:
    pass


class AsyncStore:
    async def load(self, name: str) -> None:
        return None

    async def try_lock(self, name: str, seconds: float) -> None:
        return None

    async def save(self, name: str, record: object, lease: object) -> None:
        pass


ASYNC_SETTINGS: dict[str, dict[str, Any]] = {
    "secret": {"client_secret": a_secret},
    "on_token": {"on_token": an_on_token},
    "store": {"store": AsyncStore()},
}


@pytest.mark.parametrize("what", ASYNC_SETTINGS)
def test_a_coroutine_function_in_a_sync_flow_is_refused_before_any_call(
    hands: Hands, what: str
) -> None:
    source = make_source(hands, **ASYNC_SETTINGS[what])
    sync = Caller(source, blocking=True)
    assert isinstance(sync.error, ConfigurationError)
    assert "async" in str(sync.error)
    assert Caller(source).error is None  # nothing is remembered


@pytest.mark.parametrize("verb", ["invalidate", "forget"])
@pytest.mark.parametrize("what", ["store", "secret"])
def test_a_sync_method_names_the_async_one_if_the_store_needs_it(
    hands: Hands, verb: str, what: str
) -> None:
    """An async secret, too, since the record's key is derived from the secret."""
    source = make_source(hands, **({"store": OneLease()} | ASYNC_SETTINGS[what]))
    with pytest.raises(ConfigurationError, match=rf"await a{verb}\(\) instead"):
        getattr(source, verb)()
    asyncio.run(source.ainvalidate())


@pytest.mark.parametrize("verb", ["invalidate", "forget"])
def test_sync_methods_work_if_only_on_token_is_asynchronous(hands: Hands, verb: str) -> None:
    store = OneLease()
    store.tries, store.saved = 1, b"rubbish"
    source = make_source(hands, store=store, on_token=an_on_token)
    getattr(source, verb)()
    assert store.saved == (b"rubbish" if verb == "invalidate" else None)


def test_async_methods_work_with_a_sync_store(hands: Hands) -> None:
    store = OneLease()
    store.tries, store.saved = 1, b"rubbish"
    asyncio.run(make_source(hands, store=store).aforget())
    assert store.saved is None


# --- settings


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        pytest.param({"store": OneLease()}, "token= and store=", id="token and store"),
        pytest.param({"token": {"access_token": "a"}}, "TokenSet.from_dict", id="a dict"),
        pytest.param({"policy": 300}, "RefreshPolicy", id="a number as policy"),
    ],
)
def test_unusable_settings_are_refused(hands: Hands, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        make_source(hands, **({"token": pair(hands, 1)} | settings))


def test_a_source_needs_credentials_or_a_token(hands: Hands) -> None:
    with pytest.raises(ConfigurationError, match="MONTA_CLIENT_ID"):
        make_source(hands, client_id=None)
    assert "no credentials" in repr(make_source(hands, client_id=None, token=pair(hands, 1)))


def test_repr_shows_neither_secret_nor_token(hands: Hands, holder: Source) -> None:
    assert repr(holder) == f"TokenSource({ID!r}, base_url={holder.base_url!r})"


# --- status


def expiring(hands: Hands, source: Source) -> None:
    hold(hands, source)
    hands.advance(MANDATORY)
    fail(Caller(source), no_connection())


def refused(hands: Hands, source: Source) -> None:
    hold(hands, source)
    assert refuse(source)
    fail(Caller(source), no_connection())


def rejected(hands: Hands, source: Source) -> None:
    """Requests go on with the token, although it cannot be renewed."""
    hold(hands, source)
    hands.advance(MANDATORY)
    source._state.refusals.spent_refresh_tokens.add("refresh-1")
    caller = Caller(source)
    assert caller.wants == "mint"
    caller.resume(error_reply(401))


def expired(hands: Hands, source: Source) -> None:
    hold(hands, source)
    hands.advance(3600.0)


def invalidated(hands: Hands, source: Source) -> None:
    hold(hands, source)
    source.invalidate()


STATES: dict[str, tuple[Callable[[Hands, Source], None], bool, str | None]] = {
    "cold": (lambda hands, source: None, False, None),
    "fresh": (hold, True, None),
    "expiring, and the renewal fails": (expiring, True, "ConnectionError"),
    "refused, and the renewal fails": (refused, False, "ConnectionError"),
    "credentials rejected": (rejected, True, "InvalidCredentialsError"),
    "expired": (expired, False, None),
    "invalidated": (invalidated, False, None),
}


@pytest.mark.parametrize("state", STATES)
def test_status_is_usable_while_a_request_would_get_a_valid_token(
    hands: Hands, source: Source, state: str
) -> None:
    reach, usable, failure = STATES[state]
    reach(hands, source)
    status = source.status()
    assert status.usable is usable
    assert (status.last_failure or "").partition(":")[0] == (failure or "")


def test_a_status_converts_to_json_and_its_repr_is_one_line_with_iso_dates(
    hands: Hands, source: Source
) -> None:
    hold(hands, source)
    status = source.status()
    values = json.loads(json.dumps(status.to_dict()))
    assert list(values) == list(Status._fields)
    assert values["usable"] is True
    assert values["access_expires_at"] == "2025-08-06T09:20:37Z"
    assert values["last_failure"] is None
    assert values["fetches"] == 1
    text = repr(status)
    assert text.startswith("Status(usable=True, access_expires_at=2025-08-06T09:20:37Z, ")
    assert text.endswith("fetches=1, refreshes=0, failures=0, refusals=0, store_failure=None)")
    assert repr(Status()).startswith("Status(usable=False, access_expires_at=None, ")


def test_status_shows_the_state_of_the_source(hands: Hands, source: Source) -> None:
    empty = source.status()
    assert empty.access_expires_at is None
    assert empty.last_renewal is None
    assert empty.next_try is None
    assert (empty.fetches, empty.refreshes, empty.failures, empty.refusals) == (0, 0, 0, 0)
    hold(hands, source)
    born = hands.date()
    status = source.status()
    assert status.access_expires_at is not None
    assert (status.access_expires_at - born).total_seconds() == 3600
    assert status.refresh_expires_at is not None
    assert (status.refresh_expires_at - born).total_seconds() == 86400
    assert status.last_renewal == born
    assert status.next_try is not None
    assert (status.next_try - born).total_seconds() == 3300
    assert status.fetches == 1
    hands.advance(ADVISORY)
    fail(Caller(source), no_connection())
    failed = source.status()
    assert failed.last_failure == "ConnectionError: connection refused"
    assert failed.next_try is not None
    assert (failed.next_try - hands.date()).total_seconds() == 10
    hands.advance(DEAD - ADVISORY)
    assert source.status().next_try is None
    hold(hands, source, 2)
    assert source.status().refreshes == 1
    assert refuse(source, 2)
    assert source.status().refusals == 1
    assert "access-2" not in repr(source.status())


# --- the log


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.levelname for record in caplog.records if record.name == "monta_auth"]


def test_an_ordinary_renewal_is_one_debug_record(
    hands: Hands, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "monta_auth")
    hold(hands, source)
    assert messages(caplog) == ["DEBUG"]
    assert "reason=start kind=mint outcome=renewed status=200" in caplog.text
    assert "access-1" not in caplog.text
    assert SECRET not in caplog.text


def test_an_outage_that_fails_requests_is_logged_as_info_at_start_and_end(
    hands: Hands, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "monta_auth")
    for _ in range(5):
        fail(Caller(source), no_connection())
        hands.advance(6)
    hold(hands, source)
    assert messages(caplog) == ["INFO", "INFO"]


@pytest.mark.parametrize("moment", [ADVISORY, MANDATORY])
def test_an_outage_while_the_token_is_valid_is_a_warning_and_an_info_at_its_end(
    hands: Hands, holder: Source, moment: float, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "monta_auth")
    hands.advance(moment)
    for _ in range(3):
        fail(Caller(holder), no_connection())
        hands.advance(10)
    hold(hands, holder, 2)
    assert messages(caplog) == ["WARNING", "INFO"]


def test_a_client_id_that_was_swapped_with_the_secret_is_not_shown(
    hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "monta_auth")
    secret = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
    source = make_source(hands, client_id=secret, client_secret="client-1")
    error = Caller(source).resume(error_reply(401)).error
    (record,) = caplog.records
    for text in (str(error), caplog.text, str(vars(record)), str(source.status())):
        assert secret not in text
    assert "client id 'f81d4fae...'" in str(error)


def test_a_record_has_a_field_for_each_fact(
    hands: Hands, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "monta_auth")
    reply = error_reply(400, headers={"request-id": "id outcome=renewed"})
    caller = Caller(source)
    hands.advance(0.25)
    error = caller.resume(reply).error
    hands.advance(DEAD)
    hold(hands, source)
    failed, renewed = (vars(record) for record in caplog.records)
    assert failed["message"] == (
        "renewal reason=start kind=mint outcome=TokenEndpointError status=400 "
        "error_code=SOME_CODE request_id=id_outcome_renewed duration=0.25 token=- "
        "client_id=client-1"
    )
    fields = [
        "reason",
        "kind",
        "outcome",
        "status",
        "error_code",
        "request_id",
        "duration",
        "token",
        "client_id",
        "error",
    ]
    assert [failed[f"monta_auth.{name}"] for name in fields] == [
        *("start", "mint", "TokenEndpointError", 400, "SOME_CODE", "id outcome=renewed", 0.25),
        *(None, "client-1", f"TokenEndpointError: {error}"),
    ]
    assert renewed["monta_auth.outcome"] == "renewed"
    assert renewed["monta_auth.error"] is None
    assert renewed["message"].endswith(f" token={renewed['monta_auth.token']} client_id=client-1")


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        pytest.param(lambda hands, source: hands.advance(ADVISORY), "advisory"),
        pytest.param(lambda hands, source: hands.advance(MANDATORY), "mandatory"),
        pytest.param(lambda hands, source: hands.advance(DEAD), "expired"),
        pytest.param(lambda hands, source: refuse(source), "401"),
        pytest.param(lambda hands, source: source.invalidate(), "invalidated"),
        pytest.param(lambda hands, source: source.forget(), "start"),
    ],
    ids=["advisory", "mandatory", "expired", "401", "invalidated", "forgotten"],
)
def test_the_log_record_names_the_reason(
    hands: Hands,
    holder: Source,
    prepare: Callable[[Hands, Source], object],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "monta_auth")
    prepare(hands, holder)
    hold(hands, holder, 2)
    assert f"reason={reason} " in caplog.text


def test_a_cancelled_renewal_is_logged_as_abandoned(
    source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "monta_auth")
    Caller(source).close()
    assert "outcome=abandoned" in caplog.text


def test_a_late_waiter_still_gets_its_flights_failure(hands: Hands, source: Source) -> None:
    """By then the source has forgotten the failure, so the waiter would try again."""
    leader, waiter = Caller(source), Caller(source)
    leader.resume(no_answer())
    hands.advance(6)
    assert str(waiter.resume(None).error) == "read timed out"


def test_renewals_are_counted(hands: Hands, source: Source) -> None:
    Caller(source).resume(pair_reply(hands, 1))
    for serial in (2, 3):
        hands.advance(DEAD)
        Caller(source).resume(pair_reply(hands, serial))
    assert (source.status().fetches, source.status().refreshes) == (1, 2)


def test_a_source_may_use_any_base_url(hands: Hands) -> None:
    caller = Caller(make_source(hands, base_url="https://monta.test/api/v1"))
    assert caller.effect.request.url == "https://monta.test/api/v1/auth/token"


# --- a probe that calls token()


def probe(source: Source) -> Caller:
    return Caller(source, flow=source.pair(blocking=False))


def test_a_probe_renews_up_to_sixty_seconds_before_requests_would(
    hands: Hands, holder: Source
) -> None:
    """If a readiness probe calls `token()` more often than that, requests never wait."""
    hands.advance(3300 - 60.01)
    assert holder.fresh_pair() is not None
    hands.advance(0.02)
    assert holder.fresh_pair() is None
    assert holder.fresh() == "Bearer access-1"
    leader = probe(holder)
    assert leader.wants == "refresh"
    assert probe(holder).result is not None  # a second probe goes on with the token
    assert Caller(holder).token == "access-1"
    leader.resume(pair_reply(hands, 2))
    assert holder.fresh() == "Bearer access-2"


def test_a_probe_renews_early_by_at_most_a_twentieth_of_a_short_life(hands: Hands) -> None:
    source = make_source(hands)
    hold(hands, source, life=600)
    hands.advance(600 * 0.8 - 600 * 0.05 - 0.01)
    assert source.fresh_pair() is not None
    hands.advance(0.02)
    assert source.fresh_pair() is None


def test_without_an_advisory_window_a_probe_does_not_renew_early(hands: Hands) -> None:
    source = make_source(hands, policy=RefreshPolicy(advisory=0, mandatory=0))
    hold(hands, source)
    hands.advance(3599)
    assert source.fresh_pair() is not None


# --- which caller continues a flight


def own() -> TransportFailure:
    return TransportFailure("the client is closed", "other", sent=False, own=True)


def waiting(source: Source, **changes: Any) -> Caller:
    caller = Caller(source, flow=source.acquire(blocking=False, **changes))
    assert caller.wants == "wait"
    return caller


def test_the_leaders_own_failure_fails_no_other_request(hands: Hands, source: Source) -> None:
    leader, first, second = Caller(source), waiting(source), waiting(source)
    leader.resume(own())
    assert str(leader.error) == "the client is closed"
    assert source.status().failures == 0
    assert first.resume(None).wants == "mint"
    assert second.resume(None).wants == "wait"
    first.resume(pair_reply(hands, 1))
    assert (first.token, second.resume(None).token) == ("access-1", "access-1")


def test_the_leaders_own_failure_fails_no_request_while_the_token_is_valid(
    hands: Hands, holder: Source
) -> None:
    hands.advance(ADVISORY)
    assert Caller(holder).resume(own()).token == "access-1"


def test_the_waiting_caller_with_the_longest_limit_goes_on(hands: Hands, source: Source) -> None:
    """Callers with short timeouts would end the call again, one after the other."""
    leader = Caller(source)
    hasty, patient, another = (waiting(source, limit=limit) for limit in (0.5, 5.0, 5.0))
    leader.close()
    wants = [caller.resume(None).wants for caller in (hasty, another, patient)]
    assert wants == ["wait", "wait", "mint"]


def test_if_the_next_leader_has_left_another_waiter_leads(hands: Hands, source: Source) -> None:
    leader, first, second = Caller(source), waiting(source), waiting(source)
    leader.close()
    first.close()
    assert second.resume(None).wants == "mint"


def test_a_waiter_gets_the_failure_of_the_flight_that_succeeded_its_own(
    hands: Hands, source: Source
) -> None:
    leader, first, second = Caller(source), waiting(source), waiting(source)
    leader.close()
    fail(first.resume(None), no_answer())
    hands.advance(6)
    assert str(second.resume(None).error) == "read timed out"


def test_a_broken_connection_in_the_callers_own_pipeline_fails_one_request(
    hands: Hands, source: Source
) -> None:
    """This happens for as many requests as there would be tries. Then the endpoint has failed."""
    callers = [Caller(source, flow=source.acquire(blocking=False, goes_on=False))]
    callers += [waiting(source, goes_on=False) for _ in range(9)]
    for number in range(3):
        callers[number].resume(no_connection())
        assert callers[number].wants == "failed"
        assert source.status().failures == (number == 2)
        for caller in callers[number + 1 :]:
            caller.resume(None)
    assert {caller.wants for caller in callers} == {"failed"}
