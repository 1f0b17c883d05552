"""What a token source's state decides: the decision table, the end of flights, and reentrancy."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from monta_auth import RefreshPolicy
from monta_auth._core.errors import TransportFailure
from monta_auth._core.flight import Flight
from monta_auth._core.held_pair import HeldPair, Phase, hold_old
from monta_auth._core.policy import LEADER_LEASE
from monta_auth._core.state import State
from monta_auth._core.status import _next_try

from ..simulation.flows import Hands, no_answer, pair

POLICY = RefreshPolicy()
MOMENTS = {"fresh": 100.0, "advisory": 3400.0, "mandatory": 3580.0, "expired": 3700.0}
ME, OTHER = 1, 2


def held_now(hands: Hands, serial: int = 1, life: float = 3600.0, **changes: Any) -> HeldPair:
    return hold_old(
        pair(hands, serial, life), POLICY, now=hands.now, wall=hands.wall, jitter=0.0, **changes
    )


def state_in(hands: Hands, phase: str) -> State:
    state = State(POLICY, hands.clock)
    if phase == "none":
        return state
    state.held = held_now(hands)
    if phase == "refused":
        state.refuse("Bearer access-1")
    else:
        hands.advance(MOMENTS[phase])
    return state


def fly(state: State, hands: Hands, thread: int = OTHER) -> Flight:
    """Begin a flight in any phase."""
    flight = Flight(thread, hands.now)
    state._flight = flight
    return flight


# phase, flight; then what an async caller, a sync one elsewhere and a sync one in its thread do
TABLE = [
    ("none", False, "lead", "lead", "lead"),
    ("none", True, "wait", "wait", "lead"),
    ("fresh", False, "use", "use", "use"),
    ("fresh", True, "use", "use", "use"),
    ("advisory", False, "lead", "lead", "lead"),
    ("advisory", True, "use", "use", "use"),
    ("mandatory", False, "lead", "lead", "lead"),
    ("mandatory", True, "wait", "wait", "lead"),
    ("expired", False, "lead", "lead", "lead"),
    ("expired", True, "wait", "wait", "lead"),
    ("refused", False, "lead", "lead", "lead"),
    ("refused", True, "wait", "wait", "lead"),
]


def decide(state: State, hands: Hands, thread: int, blocking: bool) -> str:
    flight, mine = state._flight, Flight(thread, hands.now)
    mine.blocks = blocking
    verdict = state.decide(hands.now, mine, None)
    if verdict is mine:
        assert state._flight is mine
        return "lead"
    if isinstance(verdict, Flight):
        assert verdict is flight is state._flight
        return "wait"
    return "use" if verdict is state.held else "fail"


@pytest.mark.parametrize(
    ("phase", "flying", "as_task", "elsewhere", "in_its_thread"),
    [pytest.param(*row, id=f"{row[0]}, {'a' if row[1] else 'no'} flight") for row in TABLE],
)
def test_the_decision_table(
    hands: Hands, phase: str, flying: bool, as_task: str, elsewhere: str, in_its_thread: str
) -> None:
    for thread, blocking, expected in [
        (OTHER, False, as_task),
        (ME, True, elsewhere),
        (OTHER, True, in_its_thread),
    ]:
        fresh_hands = Hands()
        state = state_in(fresh_hands, phase)
        flight = fly(state, fresh_hands) if flying else None
        assert decide(state, fresh_hands, thread, blocking) == expected
        if flight is not None:
            assert flight.over is (expected == "lead")


@pytest.mark.parametrize(
    ("phase", "failed", "expected"),
    [
        pytest.param("none", 0.0, "fail", id="none, at once"),
        pytest.param("none", 0.5, "lead", id="none, after its memory"),
        pytest.param("refused", 0.4, "fail", id="refused, soon"),
        pytest.param("refused", 0.5, "lead", id="refused, after its memory"),
        pytest.param("advisory", 9.9, "use", id="advisory, in the pause"),
        pytest.param("advisory", 10.0, "lead", id="advisory, after the pause"),
        pytest.param("mandatory", 9.9, "use", id="mandatory, in the rest"),
        pytest.param("mandatory", 10.0, "lead", id="mandatory, after the rest"),
    ],
)
def test_what_a_caller_does_after_a_failure(
    hands: Hands, phase: str, failed: float, expected: str
) -> None:
    state = state_in(hands, phase)
    state.fail(fly(state, hands), no_answer(), state.held)
    hands.advance(failed)
    assert decide(state, hands, ME, False) == expected


def test_the_end_of_a_superseded_flight_changes_nothing(hands: Hands) -> None:
    state = state_in(hands, "none")
    old = fly(state, hands)
    hands.advance(LEADER_LEASE + 1)
    assert decide(state, hands, ME, False) == "lead"
    current = state._flight
    state.fail(old, no_answer(), None)
    state.leave(old)
    assert state._flight is current
    assert state.held is None
    assert state.counts["failure"] == 0
    assert old.failure is None


@pytest.mark.parametrize("first", ["the superseded leader", "its successor"])
def test_of_two_leaders_the_first_pair_is_used(hands: Hands, first: str) -> None:
    state = state_in(hands, "none")
    old = fly(state, hands)
    hands.advance(LEADER_LEASE + 1)
    assert decide(state, hands, ME, False) == "lead"
    new = state._flight
    assert new is not None
    flights = [old, new] if first == "the superseded leader" else [new, old]
    held = [held_now(hands, 8), held_now(hands, 9)]
    installed = [state.install(*each, "mint") for each in zip(flights, held, strict=True)]
    assert installed == [True, False]
    assert state.held is held[0]
    assert state._flight is None
    assert new.over


@pytest.mark.parametrize("how", ["install", "fail", "leave", "forget", "take over"])
def test_waiters_are_woken_after_the_mutex_was_released(hands: Hands, how: str) -> None:
    """Waking runs foreign code, and another thread that needs the state must not wait for it."""
    state = state_in(hands, "none")
    flight = fly(state, hands)
    free: list[bool] = []

    def probe() -> None:
        def take() -> None:
            if state._mutex.acquire(timeout=5):
                free.append(flight.over)
                state._mutex.release()

        thread = threading.Thread(target=take)
        thread.start()
        thread.join()

    flight.add(probe)
    ends: dict[str, Callable[[], object]] = {
        "install": lambda: state.install(flight, held_now(hands), "mint"),
        "fail": lambda: state.fail(flight, no_answer(), None),
        "leave": lambda: state.leave(flight),
        "forget": state.forget,
        "take over": lambda: decide(state, hands, OTHER, True),
    }
    ends[how]()
    assert free
    assert all(free)


def test_finalizers_and_signal_handlers_may_use_the_state_again(hands: Hands) -> None:
    state = state_in(hands, "none")
    flight = fly(state, hands)
    with state._mutex:
        state.leave(flight)
        assert decide(state, hands, ME, False) == "lead"


def test_a_failed_renewal_keeps_the_pair_that_it_read_from_a_store(hands: Hands) -> None:
    state = state_in(hands, "none")
    stored = held_now(hands, 4, life=20.0)
    state.fail(fly(state, hands), no_answer(), stored)
    assert state.held is stored
    assert state.held is not None
    assert state.held.phase(hands.now) is Phase.FRESH


@pytest.mark.parametrize(
    ("phase", "reason"),
    [
        ("none", "start"),
        ("advisory", "advisory"),
        ("mandatory", "mandatory"),
        ("expired", "expired"),
        ("refused", "401"),
    ],
)
def test_a_flight_has_a_reason(hands: Hands, phase: str, reason: str) -> None:
    state = state_in(hands, phase)
    assert decide(state, hands, ME, False) == "lead"
    assert state._flight is not None
    assert state._flight.reason == reason


@pytest.mark.parametrize("refreshing", [None, "refresh-1"])
@pytest.mark.parametrize("how", ["leave", "fail", "forget", "take over", "lease"])
def test_a_refresh_token_on_the_wire_when_its_flight_ends_is_spent(
    hands: Hands, how: str, refreshing: str | None
) -> None:
    state = state_in(hands, "refused")
    flight = fly(state, hands)
    flight.refreshing = refreshing
    if how == "leave":
        state.leave(flight)
    elif how == "fail":
        state.fail(flight, no_answer(), state.held)
    elif how == "forget":
        state.forget()
    else:
        hands.advance(LEADER_LEASE + 1 if how == "lease" else 0)
        decide(state, hands, OTHER, how == "take over")
    assert ("refresh-1" in state.refusals.spent_refresh_tokens) is (refreshing is not None)
    assert not flight.refreshing  # contexts and frames keep flights in memory


def test_the_refresh_token_of_a_replaced_pair_need_not_be_remembered(hands: Hands) -> None:
    """That token goes with its pair. Only tokens that might be sent again are remembered."""
    state = state_in(hands, "refused")
    flight = fly(state, hands)
    assert state.install(flight, held_now(hands, 2), "refresh")
    assert state.counts["refresh"] == 1
    assert state.held is not None
    assert state.held.header == "Bearer access-2"


def test_next_try_is_after_the_pause_or_the_failures_memory(hands: Hands) -> None:
    state = state_in(hands, "advisory")
    assert _next_try(state, hands.now) <= hands.now
    state.fail(fly(state, hands), no_answer(), state.held)
    assert _next_try(state, hands.now) == hands.now + 10
    state.refuse("Bearer access-1")
    assert _next_try(state, hands.now) == hands.now + 0.5


def test_a_failure_with_a_short_retry_after_keeps_the_doubling(hands: Hands) -> None:
    state = state_in(hands, "none")
    failure = no_answer()
    for hint, expected in [(None, 0.5), (0.1, 1.0), (3.0, 3.0), (99.0, 60.0)]:
        failure.retry_after = hint
        state.fail(fly(state, hands), failure, None)
        assert _next_try(state, hands.now) == hands.now + expected


def test_a_forked_child_starts_with_only_the_access_token(hands: Hands) -> None:
    state = state_in(hands, "fresh")
    fly(state, hands)
    mutex = state._mutex
    state.start_over_in_child(0.5)
    assert state._flight is None
    assert state._mutex is not mutex
    assert state.held is not None
    assert state.held.pair.access_token == "access-1"
    assert state.held.pair.refresh_token is None
    kept = state.held.pair
    state.start_over_in_child(0.5)
    assert state.held.pair is kept


def test_forked_children_renew_at_different_moments(hands: Hands) -> None:
    """Otherwise eight prefork workers with one inherited token would renew in the same second."""
    moments: set[float] = set()
    for jitter in (0.0, 0.25, 0.5, 0.75):
        state = state_in(hands, "fresh")
        state.start_over_in_child(jitter)
        assert state.held is not None
        moments.add(state.held.expires - state.held.advisory_at)
    assert moments == {300.0, 315.0, 330.0, 345.0}


def test_a_forked_child_of_a_source_without_a_pair_starts_cold(hands: Hands) -> None:
    state = state_in(hands, "none")
    state.start_over_in_child(0.5)
    assert state.held is None


def test_without_a_cool_down_no_renewal_is_delayed(hands: Hands) -> None:
    state = State(RefreshPolicy(cooldown=0), hands.clock)
    serials = itertools.count(1)
    for _ in range(5):
        held = held_now(hands, next(serials), after_refusal=True)
        state.held = held
        hands.advance(1)
        assert state.refuse(held.header) == (True, 0.0)


def test_the_kept_failure_is_a_template_without_a_traceback(hands: Hands) -> None:
    state = state_in(hands, "none")
    failure = no_answer()
    state.fail(fly(state, hands), failure, None)
    assert isinstance(state.failures.last, TransportFailure)
    assert state.failures.last.__traceback__ is None


def test_a_waiter_gets_its_flights_failure_after_the_source_forgot_it(
    hands: Hands,
) -> None:
    """A busy loop may run the waiter late."""
    state = state_in(hands, "none")
    flight = fly(state, hands)
    failure = no_answer()
    state.fail(flight, failure, None)
    assert flight.failure is failure
    hands.advance(60)
    assert state.decide(hands.now, Flight(ME, hands.now), flight) is failure


def test_failures_and_refusals_are_counted(hands: Hands) -> None:
    state = state_in(hands, "none")
    for _ in range(2):
        state.fail(fly(state, hands), no_answer(), None)
    for serial in (1, 2):
        state.held = held_now(hands, serial)
        assert state.refuse(f"Bearer access-{serial}") == (True, 0.0)
        assert state.refuse(f"Bearer access-{serial}") == (True, 0.0)
    assert (state.counts["failure"], state.refusals.count) == (2, 2)


def test_a_failed_renewal_without_a_stored_pair_keeps_the_held_one(hands: Hands) -> None:
    state = state_in(hands, "advisory")
    held = state.held
    state.fail(fly(state, hands), no_answer(), None)
    assert state.held is held is not None


def test_after_forget_the_first_failure_is_remembered_for_the_shortest_time(hands: Hands) -> None:
    state = state_in(hands, "none")
    for _ in range(4):
        state.fail(fly(state, hands), no_answer(), None)
    state.forget()
    state.fail(fly(state, hands), no_answer(), None)
    assert _next_try(state, hands.now) == hands.now + 0.5


def test_a_forked_child_does_not_have_its_parents_refresh_token(hands: Hands) -> None:
    state = state_in(hands, "fresh")
    state.start_over_in_child(0.5)
    assert state.held is not None
    assert state.held.pair.refresh_token is None
    assert state.held.pair.refresh_expires_at is None
    assert state.refuse("Bearer access-1") == (True, 0.0)
