"""How long one request may take for its token, and how long renewals pause after silence."""

from __future__ import annotations

import pytest

from monta_auth import RefreshPolicy
from monta_auth._core.errors import TransportFailure
from monta_auth._core.policy import Clock, Spent
from monta_auth._core.source import Source
from monta_auth.stores import MemoryStore

from ..simulation.flows import (
    ADVISORY,
    DEAD,
    HOUR,
    MANDATORY,
    Caller,
    Hands,
    error_reply,
    hold,
    make_source,
    no_answer,
    no_connection,
    pair_reply,
    refuse,
)


def silence(hands: Hands, caller: Caller) -> Caller:
    """Let the call's whole time limit pass without a response."""
    hands.advance(caller.effect.timeout)
    return caller.resume(TransportFailure("read timed out", "timeout"))


def cut_short(caller: Caller) -> Caller:
    """End the call with the caller's own, shorter timeout."""
    return caller.resume(TransportFailure("read timed out", "timeout", own=True))


# --- one deadline for a whole request


def test_a_retried_request_has_the_rest_of_its_deadline(hands: Hands, source: Source) -> None:
    """A cold start and a 401 in one request share the policy's deadline."""
    caller = Caller(source)
    hands.advance(7)
    caller.resume(pair_reply(hands, 1))
    hands.advance(100)  # the request itself, which does not count
    assert refuse(source)
    again = Caller(source, flow=source.acquire(caller.spent))
    assert again.effect.timeout == pytest.approx(3.0)
    hands.advance(1)
    again.resume(pair_reply(hands, 2))
    assert caller.spent.seconds == pytest.approx(8.0)
    assert caller.spent.renewals == 2


def test_waiting_time_counts_toward_the_deadline(hands: Hands, source: Source) -> None:
    leader, waiter = Caller(source), Caller(source)
    hands.advance(4)
    leader.resume(pair_reply(hands, 1))
    waiter.resume(None)
    assert (waiter.token, waiter.spent.seconds, waiter.spent.renewals) == ("access-1", 4.0, 0)


@pytest.mark.parametrize("verb", ["invalidate", "forget"])
def test_a_request_leads_at_most_two_renewals_if_on_token_drops_each_pair(
    hands: Hands, verb: str
) -> None:
    source: Source = make_source(hands, on_token=lambda pair: getattr(source, verb)())
    caller = Caller(source).resume(pair_reply(hands, 1)).call()
    assert caller.wants in ("mint", "refresh")
    assert caller.resume(pair_reply(hands, 2)).call().token == "access-2"


def test_too_little_time_is_no_failure_of_the_endpoint(hands: Hands, source: Source) -> None:
    """A request that has used up nearly all of its deadline fails alone."""
    spent = Spent()
    spent.seconds = 9.0
    hurried, other = Caller(source, flow=source.acquire(spent)), Caller(source)
    assert silence(hands, hurried).wants == "failed"
    assert source.status().failures == 0
    assert other.resume(None).wants == "mint"


# --- 3 s while the token is valid


def test_while_the_token_is_valid_requests_wait_at_most_three_seconds(
    hands: Hands, holder: Source
) -> None:
    hands.advance(MANDATORY)
    leader, waiter = Caller(holder), Caller(holder)
    assert leader.effect.timeout == waiter.effect.seconds == 3.0
    hands.advance(3)
    assert waiter.resume(None).token == "access-1"
    leader.resume(TransportFailure("read timed out", "timeout"))
    assert leader.token == "access-1"


@pytest.mark.parametrize("goes_on", [True, False])
def test_while_the_token_is_valid_a_leader_that_gave_up_makes_no_other_request_wait(
    hands: Hands, holder: Source, goes_on: bool
) -> None:
    """In httpx's own pipeline, the request's own timeout ends a silent call."""
    hands.advance(MANDATORY)
    cut_short(Caller(holder, limit=5.0, goes_on=goes_on))
    assert Caller(holder, goes_on=goes_on).token == "access-1"
    hands.advance(holder.policy.pause)
    assert Caller(holder, goes_on=goes_on).wants == "mint"


def test_if_the_leader_is_cancelled_a_waiter_leads_next(hands: Hands, holder: Source) -> None:
    hands.advance(MANDATORY)
    leader, waiter = Caller(holder), Caller(holder)
    leader.close()
    assert waiter.resume(None).wants == "mint"


@pytest.mark.parametrize("goes_on", [True, False])
def test_while_the_token_is_valid_requests_wait_three_seconds_for_a_store(
    hands: Hands, store: MemoryStore, goes_on: bool
) -> None:
    source = make_source(hands, store=store)
    hold(hands, source)
    hands.advance(MANDATORY)
    caller = Caller(source, goes_on=goes_on)
    assert caller.wants == "call load"
    assert caller.effect.seconds == 3.0
    assert caller.resume(TimeoutError()).token == "access-1"


@pytest.mark.parametrize("goes_on", [True, False])
@pytest.mark.parametrize(("spent", "left"), [(0.0, 8.0), (7.0, 1.5)])
def test_a_slow_store_leaves_two_seconds_or_half_the_deadline_to_the_token_call(
    hands: Hands, store: MemoryStore, goes_on: bool, spent: float, left: float
) -> None:
    source = make_source(hands, store=store)
    before = Spent()
    before.seconds = spent
    caller = Caller(source, flow=source.acquire(before, goes_on=goes_on)).call()
    assert caller.wants == "call load"
    assert caller.effect.seconds == left
    hands.advance(left)
    caller.resume(TimeoutError())
    assert caller.wants == "mint"


@pytest.mark.parametrize("goes_on", [True, False])
def test_while_the_token_is_valid_requests_wait_three_seconds_for_a_callable(
    hands: Hands, goes_on: bool
) -> None:
    source = make_source(hands, client_secret=lambda: "secret-of-client-1")
    Caller(source).call().resume(pair_reply(hands, 1, refreshToken=None))
    hands.advance(MANDATORY)
    caller = Caller(source, goes_on=goes_on)
    assert caller.effect.seconds == 3.0
    assert caller.resume(TimeoutError()).token == "access-1"


def test_in_httpxs_own_pipeline_a_token_call_is_not_shortened(hands: Hands, holder: Source) -> None:
    """A shorter timeout would end the request."""
    hands.advance(MANDATORY)
    assert Caller(holder, goes_on=False).effect.timeout == 10.0


def test_an_async_caller_waits_at_most_three_seconds_for_on_token(hands: Hands) -> None:
    caller = Caller(make_source(hands, on_token=print))
    caller.resume(pair_reply(hands, 1))
    assert caller.effect.seconds == 3.0
    assert caller.resume(TimeoutError()).token == "access-1"


def test_an_async_caller_waits_for_on_token_until_its_deadline_at_most(hands: Hands) -> None:
    caller = Caller(make_source(hands, on_token=print))
    hands.advance(9)
    caller.resume(pair_reply(hands, 1))
    assert caller.effect.seconds == pytest.approx(1.0)


def test_a_caller_waits_at_most_three_seconds_for_the_release_of_a_lease(
    hands: Hands, store: MemoryStore
) -> None:
    source = make_source(hands, store=store)
    caller = Caller(source).until_send().resume(pair_reply(hands, 1)).call().call()
    assert caller.wants == "call release"
    assert caller.effect.seconds == 3.0
    assert caller.resume(TimeoutError()).token == "access-1"


def test_silence_is_remembered_even_if_the_clock_moves_between_two_readings(
    hands: Hands,
) -> None:
    def tick() -> float:
        hands.advance(1e-5)
        return hands.now

    hands.clock = Clock(tick, hands.clock.wall, hands.clock.random)
    source = make_source(hands)
    hold(hands, source)
    hands.advance(MANDATORY)
    assert silence(hands, Caller(source)).token == "access-1"
    assert source.status().failures == 1
    assert Caller(source).token == "access-1"  # no request waits again before the pause is over


def test_after_three_seconds_of_silence_the_next_renewal_mints(
    hands: Hands, holder: Source
) -> None:
    hands.advance(ADVISORY)
    caller = Caller(holder)
    assert caller.wants == "refresh"
    assert silence(hands, caller).token == "access-1"
    hands.advance(10)
    assert Caller(holder).wants == "mint"


@pytest.mark.parametrize(
    ("before_expiry", "limit"), [(10.0, 3.0), (9.9, 10.0), (1.0, 10.0)], ids=str
)
def test_a_renewal_close_to_expiry_may_take_the_full_deadline(
    hands: Hands, holder: Source, before_expiry: float, limit: float
) -> None:
    hands.advance(HOUR - before_expiry)
    assert Caller(holder).effect.timeout == limit


@pytest.mark.parametrize(("before_expiry", "timeout"), [(3.0, 3.0), (2.9, 10.0)], ids=str)
def test_a_caller_with_a_short_limit_waits_less_while_the_token_is_valid(
    hands: Hands, holder: Source, before_expiry: float, timeout: float
) -> None:
    """Otherwise its own limit would end the request, although the token is valid."""
    hands.advance(HOUR - before_expiry)
    caller = Caller(holder, flow=holder.acquire(limit=5.0))
    assert caller.effect.timeout == timeout


def test_a_leader_with_too_little_time_goes_on_with_a_valid_token(
    hands: Hands, holder: Source
) -> None:
    hands.advance(ADVISORY)
    spent = Spent()
    spent.seconds = 9.0
    assert silence(hands, Caller(holder, flow=holder.acquire(spent))).token == "access-1"
    assert holder.status().failures == 0


def test_in_httpxs_own_pipeline_a_call_keeps_the_full_deadline(
    hands: Hands, holder: Source
) -> None:
    """A shorter timeout would fail the request."""
    hands.advance(ADVISORY)
    caller = Caller(holder, flow=holder.acquire(goes_on=False))
    assert caller.effect.timeout == 10.0


def test_a_shorter_deadline_of_the_policy_applies(hands: Hands) -> None:
    source = make_source(hands, policy=RefreshPolicy(deadline=2.0))
    hold(hands, source)
    hands.advance(ADVISORY)
    assert silence(hands, Caller(source)).token == "access-1"
    assert source.status().failures == 1


# --- pauses after silence


def test_while_the_token_is_valid_the_pause_doubles_to_a_minute_from_the_second_silence(
    hands: Hands,
) -> None:
    source = make_source(hands, policy=RefreshPolicy(advisory=1000.0))
    hold(hands, source)
    hands.advance(HOUR - 700.0)
    pauses: list[float] = []
    for _ in range(5):
        silence(hands, Caller(source))
        moment = hands.now
        while (caller := Caller(source)).wants == "done":
            hands.advance(0.5)
        pauses.append(hands.now - moment)
        caller.close()
        hands.advance(10)
    assert pauses == [10.0, 20.0, 40.0, 60.0, 60.0]


@pytest.mark.parametrize("end", [no_connection, lambda: error_reply(500)], ids=["refused", "500"])
def test_another_failure_ends_the_doubling(hands: Hands, holder: Source, end: object) -> None:
    failures = holder._state.failures
    late = TransportFailure("", "timeout")
    for _ in range(3):
        failures.add(late, 0.0, 0.0, lives=True)
    assert failures.pause_until == 40.0
    failures.add(TransportFailure("", "connect", sent=False), 0.0, 0.0, lives=True)
    assert failures.pause_until == 10.0
    failures.add(late, 0.0, 0.0, lives=True)
    assert failures.pause_until == 10.0


# --- cold starts that callers abandon


def abandon(caller: Caller, how: str) -> None:
    if how == "cancelled":
        caller.close()
    else:
        assert cut_short(caller).wants == "failed"


@pytest.mark.parametrize("how", ["cancelled", "its own shorter timeout"])
def test_after_two_abandoned_mints_the_wait_doubles_from_two_seconds_to_a_minute(
    hands: Hands, source: Source, how: str
) -> None:
    abandon(Caller(source), how)
    waits: list[float] = []
    for _ in range(7):
        caller = Caller(source)
        assert caller.wants == "mint"
        abandon(caller, how)
        waits.append(round(source._state.failures.mint_after - hands.now, 3))
        hands.advance(waits[-1])
    assert waits == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_callers_wait_for_the_next_mint_within_their_deadlines(
    hands: Hands, source: Source
) -> None:
    for _ in range(2):
        Caller(source).close()
    caller = Caller(source)
    assert caller.sleep == 2.0
    hands.advance(2)
    assert caller.resume(None).wants == "mint"
    assert caller.resume(pair_reply(hands, 1)).token == "access-1"
    assert source._state.failures.mint_after < 0  # a success ends the doubling


def test_if_the_deadline_is_too_short_the_error_says_when_the_next_mint_is_made(
    hands: Hands, source: Source
) -> None:
    for _ in range(5):
        caller = Caller(source)
        if caller.wants == "sleep":
            hands.advance(caller.sleep)
            caller.resume(None)
        caller.close()
    caller = Caller(source)
    hands.advance(caller.sleep)
    assert caller.resume(None).wants == "failed"
    assert "the next one is made in 6 s" in str(caller.error)
    assert source.status().failures == 0


def test_a_failed_mint_resets_the_count_of_abandoned_mints(hands: Hands, source: Source) -> None:
    Caller(source).close()
    Caller(source).resume(error_reply(400))
    hands.advance(1)
    Caller(source).close()
    assert Caller(source).wants == "mint"


def test_while_the_token_is_valid_abandoned_mints_make_no_request_wait(hands: Hands) -> None:
    source = make_source(hands, policy=RefreshPolicy(pause=2))
    hold(hands, source)
    hands.advance(MANDATORY)
    Caller(source).close()  # its refresh token was on the wire
    for _ in range(3):
        assert Caller(source).token == "access-1"
        hands.advance(2)
        caller = Caller(source)
        assert caller.wants == "mint"
        caller.close()


def test_callers_that_leave_while_waiting_for_the_next_mint_do_not_count(
    hands: Hands, source: Source
) -> None:
    for _ in range(2):
        Caller(source).close()
    until = source._state.failures.mint_after
    for _ in range(5):
        caller = Caller(source)
        assert caller.wants == "sleep"
        caller.close()
    assert source._state.failures.mint_after == until


@pytest.mark.parametrize("outcome", [no_answer, no_connection, lambda: error_reply(400)])
def test_a_failed_mint_does_not_count_as_abandoned(
    hands: Hands, source: Source, outcome: object
) -> None:
    for _ in range(3):
        caller = Caller(source)
        while caller.wants in ("mint", "sleep"):
            is_mint = caller.wants == "mint"
            caller.resume(outcome() if is_mint else None)  # type: ignore[operator]
        hands.advance(DEAD)
    assert source._state.failures.mint_after < 0
