"""Real processes with one store: how many token calls they make, also when they are killed."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from monta_auth.emulator import Emulator, Fault

from .fleet import Fleet, RedisServer, Worker, token_calls

CHANCE = random.SystemRandom()
MakeFleet = Callable[..., Fleet]


@pytest.fixture(params=["file", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path, server: RedisServer) -> tuple[str, str]:
    return request.param, server.url if request.param == "redis" else str(tmp_path / "tokens")


@pytest.fixture
def make_fleet(monta: Emulator) -> Iterator[MakeFleet]:
    with ExitStack() as stack:

        def make(place: tuple[str, str], processes: int, threads: int = 1) -> Fleet:
            fleet = Fleet(monta, *place, processes=processes, threads=threads)
            return stack.enter_context(fleet)

        yield make


def wait_for(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_cold_start_is_one_call_and_an_expiry_another(
    monta: Emulator, place: tuple[str, str], make_fleet: MakeFleet
) -> None:
    """The figures for eight processes of eight threads: ``python -m benchmarks.stores``."""
    monta.access_lifetime = 2.5
    monta.latency = 0.02
    fleet = make_fleet(place, 3, 4)
    assert fleet.go() == ["200"] * 12
    assert token_calls(monta) == [("token", 200)]
    time.sleep(2.5)
    assert fleet.go() == ["200"] * 12
    assert token_calls(monta) == [("token", 200), ("refresh", 200)]
    assert [worker.ask("warnings") for worker in fleet.workers] == [[], [], []]


def test_a_token_that_is_refused_is_renewed_once_for_all(
    monta: Emulator, place: tuple[str, str], make_fleet: MakeFleet
) -> None:
    fleet = make_fleet(place, 3, 2)
    fleet.go()
    monta.revoke_access_tokens()
    assert fleet.go() == ["200"] * 6
    assert token_calls(monta) == [("token", 200), ("refresh", 200)]


def test_a_process_that_comes_later_makes_no_call(
    monta: Emulator, place: tuple[str, str], make_fleet: MakeFleet
) -> None:
    """As a cron job does."""
    make_fleet(place, 1).go()
    assert make_fleet(place, 1).go() == ["200"]
    assert token_calls(monta) == [("token", 200)]


def test_random_kills_fail_nobody_else(
    monta: Emulator, tmp_path: Path, make_fleet: MakeFleet
) -> None:
    monta.access_lifetime = 1.5
    monta.latency = 0.02
    fleet = make_fleet(("file", str(tmp_path / "tokens")), 3, 2)
    fleet.go()
    for _ in range(2):
        time.sleep(1.5)
        monta.clear()
        victim = CHANCE.choice(fleet.workers)
        for worker in fleet.workers:
            worker.say("go")
        time.sleep(CHANCE.uniform(0.0, 0.08))
        victim.send_signal(signal.SIGKILL)
        for worker in fleet.workers:
            outcomes = worker.hear()
            assert outcomes == ["200"] * 2 or (worker is victim and outcomes is None)
        assert 1 <= len(token_calls(monta)) <= 2
        fleet.replace(victim)


def test_a_leader_killed_while_it_renews_costs_one_call(
    monta: Emulator, place: tuple[str, str], make_fleet: MakeFleet, server: RedisServer
) -> None:
    """Its refresh token is spent, and nobody sends it again: the next leader mints."""
    fleet = make_fleet(place, 2)
    fleet.go()
    leader, follower = fleet.workers
    monta.revoke_access_tokens()
    monta.clear()
    monta.inject(Fault(delay=2.0), path="/auth/refresh")
    leader.say("go")
    wait_for(lambda: monta.count("/auth/refresh") == 1)
    leader.send_signal(signal.SIGKILL)
    assert leader.hear() is None
    with server.client() as client:
        for lock in client.scan_iter("*:lock"):
            client.pexpire(lock, 300)  # what is left of eight seconds, sooner
    assert follower.ask("go") == ["200"]
    assert token_calls(monta) == [("refresh", 200), ("token", 200)]
    assert make_fleet(place, 1).go() == ["200"]
    assert len(token_calls(monta)) == 2


def test_a_holder_that_is_stopped_does_not_stop_the_others(
    monta: Emulator, place: tuple[str, str], make_fleet: MakeFleet
) -> None:
    """A process in a debugger, or one that the kernel has frozen: its lease expires by itself."""
    fleet = make_fleet(place, 2)
    holder, other = fleet.workers
    assert holder.ask("lease") is True
    holder.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert other.ask("go") == ["200"]
        assert time.monotonic() - began < 4
        assert other.ask("load") is True
    finally:
        holder.send_signal(signal.SIGCONT)
    assert holder.ask("go") == ["200"]
    assert token_calls(monta) == [("token", 200)]


def test_a_fresh_token_touches_no_store(
    monta: Emulator, own_place: tuple[RedisServer, Worker]
) -> None:
    """Not even to find out that it is gone."""
    server, worker = own_place
    assert worker.ask("go") == ["200"]
    took: list[float] = []
    with server.paused():
        for _ in range(3):  # a busy machine lets one of three be quick
            began = time.monotonic()
            assert worker.ask("go") == ["200"]
            took.append(time.monotonic() - began)
    assert min(took) < 0.4
    assert worker.ask("warnings") == []


@pytest.fixture
def own_place(monta: Emulator) -> Iterator[tuple[RedisServer, Worker]]:
    with RedisServer() as server, Fleet(monta, "redis", server.url, processes=1, threads=1) as one:
        yield server, one.workers[0]


def test_without_a_store_processes_work_up_to_the_quota(
    monta: Emulator, make_fleet: MakeFleet
) -> None:
    """The emulator counts each call: two processes need two calls each."""
    monta.quota = 4
    fleet = make_fleet(("none", ""), 3)
    outcomes = [worker.ask("go")[0] for worker in fleet.workers]
    assert outcomes[:2] == ["200", "200"]
    assert outcomes[2].startswith("RateLimitError: ")
