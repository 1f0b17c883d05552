"""Real processes with one store: how many token calls they make, even when some are killed."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import redis.asyncio

import httpx_monta
from monta_auth import Clock, TokenSource
from monta_auth.emulator import Emulator
from monta_auth.stores import RedisStore

from .fleet import ASYNC_LIMITS, PHASES, TROUBLES, Fleet, RedisServer, Worker, token_calls

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


def test_a_cold_start_costs_one_call_and_an_expiry_another(
    monta: Emulator, place: tuple[str, str], make_fleet: MakeFleet
) -> None:
    """``python -m benchmarks.stores`` has the figures for eight processes of eight threads."""
    monta.latency = 0.02
    fleet = make_fleet(place, 3, 4)
    assert fleet.go() == ["200"] * 12
    assert token_calls(monta) == [("token", 200)]
    fleet.ask("advance 3700")
    assert fleet.go() == ["200"] * 12
    assert token_calls(monta) == [("token", 200), ("refresh", 200)]
    assert [worker.ask("warnings") for worker in fleet.workers] == [[], [], []]


def test_a_refused_token_is_renewed_once_for_all_processes(
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
    """A cron job, for example."""
    make_fleet(place, 1).go()
    assert make_fleet(place, 1).go() == ["200"]
    assert token_calls(monta) == [("token", 200)]


def test_random_kills_fail_no_request_of_other_processes(
    monta: Emulator, tmp_path: Path, make_fleet: MakeFleet
) -> None:
    monta.latency = 0.02
    fleet = make_fleet(("file", str(tmp_path / "tokens")), 3, 2)
    fleet.go()
    for passed in (3700, 7400):
        fleet.ask("advance 3700")
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
        fleet.replace(victim).ask(f"advance {passed}")


def end_leases(server: RedisServer) -> None:
    """Let all leases expire without waiting six seconds."""
    with server.client() as client:
        for key in client.scan_iter("*:lease"):
            client.hset(key, "until", 0)


@pytest.mark.parametrize("phase", PHASES)
def test_a_leader_killed_in_any_phase_costs_at_most_one_more_call(
    monta: Emulator,
    place: tuple[str, str],
    make_fleet: MakeFleet,
    server: RedisServer,
    phase: str,
) -> None:
    """Its refresh token may be spent, so it is never sent again, and the next leader mints."""
    fleet = make_fleet(place, 2)
    fleet.go()
    monta.clear()
    fleet.ask("advance 3700")
    leader, follower = fleet.workers
    leader.ask(f"die {phase}")
    leader.say("go")
    assert leader.hear() is None
    end_leases(server)
    outcomes, seconds = follower.ask("timed")
    assert outcomes == ["200"]
    assert seconds < 4.0  # less than a lease lasts
    calls = [("refresh", 200)] if phase in ("refreshed", "saved") else []
    calls += [("token", 200)] if phase != "saved" else []
    assert token_calls(monta) == calls
    assert follower.ask("load") is True  # for processes that come later


@pytest.mark.parametrize("trouble", TROUBLES)
def test_an_unavailable_store_costs_no_call_and_no_request_in_the_advisory_window(
    monta: Emulator, tmp_path: Path, make_fleet: MakeFleet, trouble: str
) -> None:
    """There is no call during the outage, and one call after it."""
    kind, make_trouble = TROUBLES[trouble]
    with RedisServer() as server:
        place = server.url if kind == "redis" else str(tmp_path / "tokens")
        fleet = make_fleet((kind, place), 2)
        assert fleet.go() == ["200"] * 2
        monta.clear()
        fleet.ask("advance 3400")
        with make_trouble(server, fleet):
            assert fleet.go() == ["200"] * 2
            assert token_calls(monta) == []
            assert [len(texts) for texts in fleet.ask("warnings")] == [1, 1]
        for _ in range(2):
            fleet.ask("advance 11")
            assert fleet.go() == ["200"] * 2
        [(endpoint, status)] = token_calls(monta)
        assert status == 200
        assert endpoint == ("token" if trouble == "killed" else "refresh")


def test_cut_idle_connections_of_an_asyncio_client_cost_nothing(
    monta: Emulator, server: RedisServer
) -> None:
    """Firewalls, load balancers and redis.conf's `timeout` cut them, since renewals are rare."""
    shift = 0.0
    plain = Clock()
    clock = Clock(lambda: plain.monotonic() + shift, lambda: plain.wall() + shift)

    async def main() -> None:
        nonlocal shift
        clients = [redis.asyncio.Redis(port=server.port, **ASYNC_LIMITS) for _ in range(4)]
        sources = [
            TokenSource(
                monta.client_id,
                monta.client_secret,
                base_url=monta.base_url,
                store=RedisStore(client),
                clock=clock,
            )
            for client in clients
        ]
        auths = [httpx_monta.MontaAuth(source=source) for source in sources]
        async with httpx.AsyncClient() as http:
            for _ in range(4):
                requests = (http.get(monta.base_url + "/auth/me", auth=auth) for auth in auths)
                replies = await asyncio.gather(*requests)
                assert [reply.status_code for reply in replies] == [200] * 4
                shift += 3700
                with server.client() as control:
                    control.client_kill_filter(_type="normal", skipme=True)
        for client in clients:
            await client.aclose()

    asyncio.run(main())
    assert token_calls(monta) == [("token", 200), *[("refresh", 200)] * 3]


def test_a_stopped_holder_does_not_stop_the_other_processes(
    monta: Emulator, place: tuple[str, str], make_fleet: MakeFleet
) -> None:
    """It is in a debugger, for example, or frozen by the kernel: its lease expires."""
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


def test_with_a_fresh_token_the_store_is_not_used(
    monta: Emulator, own_place: tuple[RedisServer, Worker]
) -> None:
    """Not even to notice that the store is gone."""
    server, worker = own_place
    assert worker.ask("go") == ["200"]
    took: list[float] = []
    with server.paused():
        for _ in range(3):  # on a busy machine, one fast try of three is enough
            began = time.monotonic()
            assert worker.ask("go") == ["200"]
            took.append(time.monotonic() - began)
    assert min(took) < 0.4
    assert worker.ask("warnings") == []


@pytest.fixture
def own_place(monta: Emulator) -> Iterator[tuple[RedisServer, Worker]]:
    with RedisServer() as server, Fleet(monta, "redis", server.url, processes=1, threads=1) as one:
        yield server, one.workers[0]


def test_without_a_store_processes_work_until_the_quota_is_used_up(
    monta: Emulator, make_fleet: MakeFleet
) -> None:
    """The emulator counts each call, and two processes need two calls each."""
    monta.quota = 4
    fleet = make_fleet(("none", ""), 3)
    outcomes = [worker.ask("go")[0] for worker in fleet.workers]
    assert outcomes[:2] == ["200", "200"]
    assert outcomes[2].startswith("RateLimitError: ")
