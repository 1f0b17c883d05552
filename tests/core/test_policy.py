"""The numbers of renewal: defaults, which values are refused, and pauses that double."""

import copy
import inspect
import pickle
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monta_auth import Clock, ConfigurationError, RefreshPolicy
from monta_auth._core.policy import SYSTEM_CLOCK, _counting_sleep, backoff, monotonic_clock

DEFAULTS = {
    "advisory": 300.0,
    "mandatory": 30.0,
    "deadline": 10.0,
    "attempts": 3,
    "sleep_limit": 2.0,
    "cooldown": 15.0,
    "pause": 10.0,
}
NAMES = list(DEFAULTS)


def test_the_defaults_are_the_designed_ones() -> None:
    policy = RefreshPolicy()
    assert {name: getattr(policy, name) for name in NAMES} == DEFAULTS
    assert policy == RefreshPolicy(*DEFAULTS.values())  # type: ignore[arg-type]
    assert repr(policy) == (
        "RefreshPolicy(advisory=300.0, mandatory=30.0, deadline=10.0, attempts=3, "
        "sleep_limit=2.0, cooldown=15.0, pause=10.0)"
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_describes_each_number(name: str) -> None:
    assert f"    {name}: " in (inspect.getdoc(RefreshPolicy) or "")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(-1, id="negative"),
        pytest.param(float("inf"), id="infinite"),
        pytest.param(float("nan"), id="not a number"),
        pytest.param("3", id="text"),
        pytest.param(None, id="none"),
        pytest.param(True, id="bool"),
    ],
)
def test_an_invalid_number_of_seconds_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"RefreshPolicy: {name} must be"):
        RefreshPolicy(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        pytest.param({"mandatory": 301}, "must not exceed", id="mandatory above advisory"),
        pytest.param({"advisory": 29}, "must not exceed", id="advisory below mandatory"),
        pytest.param({"attempts": 0}, "whole number", id="no attempt"),
        pytest.param({"attempts": 1.5}, "whole number", id="half an attempt"),
        pytest.param({"deadline": 0}, "above 0", id="no time"),
    ],
)
def test_numbers_that_allow_no_token_call_are_refused(
    settings: dict[str, float], text: str
) -> None:
    with pytest.raises(ConfigurationError, match=text):
        RefreshPolicy(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["mandatory", "sleep_limit", "cooldown", "pause"])
def test_zero_is_allowed(name: str) -> None:
    assert getattr(RefreshPolicy(**{name: 0}), name) == 0


def test_both_windows_may_be_zero_or_equal() -> None:
    assert RefreshPolicy(advisory=0, mandatory=0).advisory == 0
    assert RefreshPolicy(advisory=30, mandatory=30).mandatory == 30


def test_a_policy_is_a_frozen_value() -> None:
    """Equal policies share a source, since a policy is part of the source's key."""
    assert RefreshPolicy(advisory=300) == RefreshPolicy()
    assert hash(RefreshPolicy(advisory=300)) == hash(RefreshPolicy())
    assert RefreshPolicy(pause=1) != RefreshPolicy()
    assert RefreshPolicy() != tuple(DEFAULTS.values())
    with pytest.raises(AttributeError, match="RefreshPolicy cannot be changed"):
        RefreshPolicy().pause = 1  # type: ignore[misc]
    with pytest.raises(AttributeError, match="RefreshPolicy cannot be changed"):
        del RefreshPolicy().pause  # pyright: ignore[reportAttributeAccessIssue]
    assert not hasattr(RefreshPolicy(), "__dict__")


def test_a_policy_survives_copies_and_pickles() -> None:
    policy = RefreshPolicy(pause=1)
    assert policy == copy.copy(policy) == copy.deepcopy(policy)
    assert pickle.loads(pickle.dumps(policy)) == policy


def test_a_replaced_policy_is_a_new_one_and_is_checked_too() -> None:
    policy = RefreshPolicy()
    assert policy.__replace__(pause=1) == RefreshPolicy(pause=1)
    assert policy == RefreshPolicy()
    with pytest.raises(ConfigurationError, match="pause"):
        policy.__replace__(pause=-1)


def test_the_system_clock_measures_life_with_a_clock_that_never_jumps() -> None:
    assert SYSTEM_CLOCK.monotonic is monotonic_clock
    assert SYSTEM_CLOCK.wall is time.time
    assert 0 <= SYSTEM_CLOCK.random() < 1


def test_parts_of_a_clock_may_be_replaced() -> None:
    clock = Clock(wall=lambda: 7.0)
    assert clock.wall() == 7.0
    assert clock.monotonic is monotonic_clock


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="Linux has this clock")
def test_the_clock_runs_on_while_a_laptop_sleeps() -> None:
    """Otherwise a token that expired during sleep would be sent after waking up."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= monotonic_clock() <= time.clock_gettime(time.CLOCK_BOOTTIME)


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_without_a_clock_that_counts_sleep_the_monotonic_one_is_used(
    monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    def refuse(number: int) -> float:
        raise OSError("no such clock")

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(time, "clock_gettime", refuse, raising=False)
    assert _counting_sleep() is time.monotonic
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    monkeypatch.delattr(time, "CLOCK_MONOTONIC", raising=False)
    assert _counting_sleep() is time.monotonic


def test_on_macos_the_monotonic_clock_of_the_system_counts_sleep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(time, "CLOCK_MONOTONIC", 6, raising=False)
    monkeypatch.setattr(time, "clock_gettime", lambda number: float(number), raising=False)
    assert _counting_sleep()() == 6.0


def test_pauses_double_up_to_the_longest() -> None:
    pauses = [backoff(step, 0.5, 5.0, 0.0) for step in range(6)]
    assert pauses == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


@given(
    step=st.integers(0, 10**9),
    first=st.floats(0.01, 10),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_jitter_adds_at_most_a_quarter(step: int, first: float, chance: float) -> None:
    """However long an outage lasts, the step count causes no overflow."""
    plain = backoff(step, first, 300.0, 0.0)
    assert plain <= backoff(step, first, 300.0, chance) <= plain * 1.25
    assert first <= plain <= 300.0


def test_the_deadline_ends_before_another_caller_takes_the_flight() -> None:
    with pytest.raises(ConfigurationError, match="deadline"):
        RefreshPolicy(deadline=61)
