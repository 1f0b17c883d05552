"""Many flows in every order: all orders for a few flows, random ones (by seed) for many.

A failing run prints how to replay it: ``MONTA_SIM_SEED=<seed>`` or
``MONTA_SIM_CHOICES=<choices>``, with the name of its test. ``MONTA_SIM_FACTOR=50`` makes 50 times
as many random runs, and makes the exhaustive ones one step longer.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from .world import LOOP, Plan, World, run

FACTOR = int(os.environ.get("MONTA_SIM_FACTOR", "1"))
DEEPER = FACTOR > 1

STARTS = ["cold", "fresh", "advisory", "mandatory", "dead", "401"]
NETWORK = ("lost", "unsent", "503")
#: Connections that break: before the call was sent, before it was carried out, and after that. A
#: hook that raises, with or without a visible response. And the caller's own problems.
BROKEN = ("reset", "reset early", "cut", "hook", "seen hook", "own", "own late")
#: A reply without a refresh token, and one with the same pair again.
ODD = ("bare", "same")
ALL_FAULTS = (*NETWORK, *BROKEN, *ODD, "garbage", "429", "500", "hint", "slow", "400", "302")
ALL_TURNS = (
    "refuse",
    "late refuse",
    "invalidate",
    "forget",
    "lease",
    "second",
    "deadline",
    "age",
    "die",
    "revoke",
    "deny",
)

pytestmark = pytest.mark.timeout(60 if FACTOR == 1 else 6 * 3600)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Silence the log: these tests cause thousands of outages."""
    logger = logging.getLogger("monta_auth")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


class Prefix:
    """Makes the given choices, then always the first one, and records all of them."""

    def __init__(self, choices: list[int]) -> None:
        self.choices = choices
        self.made: list[int] = []
        self.widths: list[int] = []

    def __call__(self, width: int) -> int:
        at = len(self.made)
        choice = self.choices[at] if at < len(self.choices) else 0
        self.made.append(choice)
        self.widths.append(width)
        return choice

    def following(self) -> list[int] | None:
        """Return the next list of choices in lexical order, or None after the last one."""
        for at in reversed(range(len(self.made))):
            if self.made[at] + 1 < self.widths[at]:
                return [*self.made[:at], self.made[at] + 1]
        return None


def explain(error: BaseException, how: str, world: World) -> None:
    error.add_note(f"replay with {how}\n  " + "\n  ".join(world.trace))


def explore(settings: dict[str, Any], steps: int) -> int:
    """Run every sequence of choices of this length. Return how many there are."""
    given = os.environ.get("MONTA_SIM_CHOICES")
    choices: list[int] | None = [int(c) for c in given.split(",")] if given else []
    count = 0
    while choices is not None:
        prefix = Prefix(choices)
        with pytest.MonkeyPatch.context() as patch:
            world = World(patch, **settings)
            try:
                run(world, prefix, steps)
            except BaseException as error:
                explain(error, "MONTA_SIM_CHOICES=" + ",".join(map(str, prefix.made)), world)
                raise
        count += 1
        choices = None if given else prefix.following()
    return count


def wander(make: Callable[[random.Random], dict[str, Any]], runs: int, steps: int) -> None:
    """Run random choices, one run for each seed."""
    given = os.environ.get("MONTA_SIM_SEED")
    for seed in [int(given)] if given else range(runs * FACTOR):
        chance = random.Random(seed)  # noqa: S311 - which choices, no secrets
        with pytest.MonkeyPatch.context() as patch:
            world = World(patch, **make(chance))
            try:
                run(world, chance.randrange, steps, flows_first=True)
            except BaseException as error:
                explain(error, f"MONTA_SIM_SEED={seed}", world)
                raise


TWO = ((LOOP, False), (LOOP, False))
THREE = (*TWO, (LOOP, False))
SYNC_IN_LOOP = (*TWO, (LOOP, True))
#: In httpx's own pipeline, the waiting caller with the most time left goes on.
PIPELINES = ((LOOP, False, 5.0), (LOOP, False, 5.0), (1, True, 9.0))
THREADS = ((1, True), (2, True), (LOOP, False))


@pytest.mark.parametrize("start", [start for start in STARTS if start != "fresh"])
def test_all_interleavings_of_two_flows_with_faults(start: str) -> None:
    settings = {"start": start, "flows": TWO, "faults": NETWORK}
    assert explore(settings, 8 + 4 * DEEPER) > 5


@pytest.mark.parametrize("start", [start for start in STARTS if start != "fresh"])
def test_all_interleavings_of_three_flows_with_cancellations(start: str) -> None:
    settings = {"start": start, "flows": THREE, "faults": ("lost", "503")}
    assert explore(settings, 6 + 3 * DEEPER) > 5


@pytest.mark.parametrize("start", ["cold", "mandatory", "dead", "401"])
@pytest.mark.parametrize(
    "flows",
    [pytest.param(SYNC_IN_LOOP, id="sync in a loop"), pytest.param(THREADS, id="threads")],
)
def test_all_interleavings_of_sync_and_async_flows(start: str, flows: tuple[Plan, ...]) -> None:
    """A blocking flow stops its thread, so no flow may wait for another one in that thread."""
    assert explore({"start": start, "flows": flows, "faults": ("lost",)}, 6 + 3 * DEEPER) > 5


@pytest.mark.parametrize(
    "turns",
    [
        ("refuse", "lease"),
        ("refuse", "forget"),
        ("refuse", "late refuse"),
        ("invalidate", "deadline"),
        ("lease", "forget"),
        ("die", "lease"),
        ("revoke", "refuse"),
    ],
    ids="+".join,
)
@pytest.mark.parametrize("start", ["cold", "advisory", "401"])
def test_all_interleavings_with_events_outside_the_flows(
    start: str, turns: tuple[str, ...]
) -> None:
    """Refusals, flights that run out, a `forget` in the middle, and replies that come too late."""
    settings = {"start": start, "flows": TWO, "faults": ("503",), "turns": turns}
    assert explore(settings, 5 + 2 * DEEPER) > 5


@pytest.mark.parametrize("start", ["cold", "401"])
def test_all_interleavings_with_a_leader_that_stops_running(start: str) -> None:
    settings = {"start": start, "flows": TWO, "turns": ("lease",), "freezes": True}
    assert explore(settings, 6 + 3 * DEEPER) > 5


@pytest.mark.parametrize("start", ["cold", "mandatory", "401"])
def test_all_interleavings_of_two_flows_with_broken_connections(start: str) -> None:
    settings = {"start": start, "flows": TWO, "faults": ("reset", "cut", "hook")}
    assert explore(settings, 6 + 3 * DEEPER) > 5


@pytest.mark.parametrize("start", ["cold", "401"])
@pytest.mark.parametrize(
    ("flows", "faults"),
    [
        pytest.param(PIPELINES, ("reset", "own", "seen hook"), id="pipelines"),
        pytest.param((TWO[0], *PIPELINES[:2]), ("own late", "reset"), id="mixed"),
    ],
)
def test_all_interleavings_with_failures_of_one_caller(
    start: str, flows: tuple[Plan, ...], faults: tuple[str, ...]
) -> None:
    """Failures that end one request in httpx's own pipeline, and failures that concern only it."""
    assert explore({"start": start, "flows": flows, "faults": faults}, 5 + 3 * DEEPER) > 5


@pytest.mark.parametrize("turn", ["refuse", "invalidate"])
@pytest.mark.parametrize("start", ["cold", "401"])
def test_all_interleavings_with_odd_pairs(start: str, turn: str) -> None:
    settings = {"start": start, "flows": TWO, "faults": ODD, "turns": (turn,), "turn_limit": 2}
    assert explore(settings, 5 + 3 * DEEPER) > 5


@pytest.mark.parametrize("start", ["cold", "401"])
def test_all_interleavings_of_two_sources_with_one_store(start: str) -> None:
    settings = {"start": start, "flows": THREE, "sources": 2, "store": True}
    assert explore(settings, 5 + 2 * DEEPER) > 5


def crowd(chance: random.Random) -> dict[str, Any]:
    """Settings for up to thirty flows of all kinds, and everything that can happen to them."""
    count = chance.randint(2, 30)
    return {
        "start": chance.choice(STARTS),
        "flows": tuple(
            chance.choice([(LOOP, False), (LOOP, False), (LOOP, True), (number + 1, True)])
            + chance.choice([(), (), (), (chance.choice([2.0, 5.0, 30.0]),)])
            for number in range(count)
        ),
        "faults": tuple(chance.sample(ALL_FAULTS, chance.randint(0, len(ALL_FAULTS)))),
        "turns": tuple(chance.sample(ALL_TURNS, chance.randint(0, len(ALL_TURNS)))),
        "turn_limit": 8,
        "answers": chance.randint(1, 8),
        "callables": chance.random() < 0.3,
        "two_phases": chance.random() < 0.5,
        "freezes": chance.random() < 0.3,
    }


def test_random_crowds_at_one_source() -> None:
    wander(crowd, runs=1000, steps=150)


def crowd_with_store(chance: random.Random) -> dict[str, Any]:
    settings = crowd(chance)
    turns = settings["turns"] + (("refuse2",) if "refuse" in settings["turns"] else ())
    return settings | {"sources": chance.randint(1, 2), "store": True, "turns": turns}


def test_random_crowds_at_sources_with_one_store() -> None:
    wander(crowd_with_store, runs=500, steps=200)


def crowd_with_faulty_store(chance: random.Random) -> dict[str, Any]:
    settings = crowd_with_store(chance)
    return settings | {"faults": (*settings["faults"], "call"), "callables": True}


def test_random_crowds_at_sources_with_a_store_that_fails() -> None:
    wander(crowd_with_faulty_store, runs=600, steps=120)


class Machine(RuleBasedStateMachine):
    """The same world for Hypothesis, which shortens a failing run."""

    @initialize(start=st.sampled_from(STARTS), store=st.booleans())
    def begin(self, start: str, store: bool) -> None:
        logging.getLogger("monta_auth").setLevel(logging.CRITICAL)
        self.patch = pytest.MonkeyPatch()
        turns = dict.fromkeys(ALL_TURNS)
        self.world = World(
            self.patch,
            start=start,
            store=store,
            callables=True,
            faults=(*ALL_FAULTS, "call"),
            turns=tuple(turns),
            turn_limit=1000,
            two_phases=True,
            freezes=True,
            flows=(),
        )

    @rule(
        thread=st.sampled_from([LOOP, 1, 2]),
        blocking=st.booleans(),
        limit=st.sampled_from([None, 5.0, 30.0]),
    )
    def start(self, thread: int, blocking: bool, limit: float | None) -> None:
        blocking |= thread != LOOP
        plan: Plan = (thread, blocking) if limit is None else (thread, blocking, limit)
        self.world.plan.append(plan)
        self.world.act(("start",))

    @rule(pick=st.integers(0, 1000))
    def step(self, pick: int) -> None:
        actions = self.world.actions_of_flows()
        if actions:
            self.world.act(actions[pick % len(actions)])

    @rule(turn=st.sampled_from(ALL_TURNS))
    def turn(self, turn: str) -> None:
        self.world.act(("turn", turn))

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                self.world.settle()
            finally:
                self.patch.undo()


TestMachine = Machine.TestCase
TestMachine.settings = hypothesis_settings(max_examples=40 * FACTOR, stateful_step_count=40)
