"""Count the token calls of a fleet with each store that processes can share, also with failures.

    python -m benchmarks.stores [expiries]

It starts a local Monta, a Redis, and eight processes with eight threads each. It moves their clocks
forward, so that an expiry takes no time. Only the times depend on the machine.
"""

from __future__ import annotations

import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from monta_auth.emulator import Emulator
from monta_auth.stores import FileStore, RedisStore
from tests.stores.fleet import PHASES, TROUBLES, Fleet, RedisServer, token_calls
from tests.stores.redis_servers import Sentinel

CHANCE = random.SystemRandom()
PROCESSES, THREADS = 8, 8
NAME = "0" * 32
#: The age of a token of one hour, in seconds: in the advisory window, and after its expiry.
ADVISORY, EXPIRED = 3400, 3700


def failed(outcomes: list[str]) -> dict[str, int]:
    return dict(Counter(outcome for outcome in outcomes if outcome != "200"))


def calls(monta: Emulator) -> str:
    found = Counter(f"{endpoint} {status}" for endpoint, status in token_calls(monta))
    return ", ".join(f"{count} x {call}" for call, count in found.items()) or "none"


@contextmanager
def fleet_of(kind: str, place: str) -> Generator[tuple[Emulator, Fleet]]:
    """Start an emulator and a fleet that has a token."""
    with (
        Emulator(latency=0.02) as monta,
        Fleet(monta, kind, place, processes=PROCESSES, threads=THREADS) as fleet,
    ):
        outcomes = fleet.go()
        assert calls(monta) == "1 x token 200", calls(monta)
        assert not failed(outcomes), failed(outcomes)
        monta.clear()
        yield monta, fleet


def calm(kind: str, place: str, expiries: int) -> None:
    with fleet_of(kind, place) as (monta, fleet):
        outcomes: list[str] = []
        counts: list[int] = []
        for _ in range(expiries):
            fleet.ask(f"advance {EXPIRED}")
            monta.clear()
            outcomes += fleet.go()
            counts.append(len(token_calls(monta)))
        print(f"{kind}: token calls of {expiries} expiries: {counts}; failed: {failed(outcomes)}")


def killing_at_random(kind: str, place: str, expiries: int) -> None:
    with fleet_of(kind, place) as (monta, fleet):
        outcomes: list[str] = []
        more: list[str] = []
        waits: list[float] = []
        for number in range(1, expiries + 1):
            fleet.ask(f"advance {EXPIRED}")
            monta.clear()
            victim = CHANCE.choice(fleet.workers)
            began = time.monotonic()
            for worker in fleet.workers:
                worker.say("go")
            time.sleep(CHANCE.uniform(0.0, 0.1))
            victim.send_signal(signal.SIGKILL)
            for worker in fleet.workers:
                outcomes += worker.hear() or []
            waits.append(time.monotonic() - began)
            if len(token_calls(monta)) != 1:
                more.append(calls(monta))
            fleet.replace(victim).ask(f"advance {number * EXPIRED}")
        print(
            f"{kind}: {expiries} expiries, a process killed in each; expiries without exactly 1 "
            f"token call: {more}; failed: {failed(outcomes)}; wait median "
            f"{statistics.median(waits):.2f} s, longest {max(waits):.2f} s"
        )


def killing_the_leader(kind: str, place: str) -> None:
    for phase in PHASES:
        with fleet_of(kind, place) as (monta, fleet):
            fleet.ask(f"advance {EXPIRED}")
            leader = fleet.workers[0]
            leader.ask(f"die {phase}")
            leader.say("go")
            assert leader.hear() is None
            fleet.workers.remove(leader)
            began = time.monotonic()
            outcomes = fleet.go()
            print(
                f"{kind}: kill -9 of the leader when it has {phase}: {calls(monta)}; "
                f"failed: {failed(outcomes)}; longest wait {time.monotonic() - began:.2f} s"
            )
            leader.close()


@contextmanager
def restarted_empty(server: RedisServer, fleet: Fleet) -> Generator[None]:
    server.kill()
    server.start()
    yield


@contextmanager
def failed_over(sentinel: Sentinel) -> Generator[None]:
    """Kill the primary before the requests. Its replica takes over during them."""
    sentinel.kill()
    yield
    time.sleep(5.0)


def away(directory: str) -> None:
    troubles = {**TROUBLES, "restarted empty": ("redis", restarted_empty)}
    for trouble, (kind, make_trouble) in troubles.items():
        with RedisServer() as server:
            place = server.url if kind == "redis" else str(Path(directory, "away"))
            with fleet_of(kind, place) as (monta, fleet):
                outage(f"{kind} {trouble}", monta, fleet, make_trouble(server, fleet))
    with Sentinel() as sentinel, fleet_of("sentinel", str(sentinel.port)) as (monta, fleet):
        outage("redis failed over by a Sentinel", monta, fleet, failed_over(sentinel))


def outage(
    name: str, monta: Emulator, fleet: Fleet, trouble: AbstractContextManager[object]
) -> None:
    """Make requests in the advisory window: while the store is away, and after that."""
    fleet.ask(f"advance {ADVISORY}")
    with trouble:
        outcomes = fleet.go()
        meanwhile = calls(monta)
    monta.clear()
    for _ in range(2):
        fleet.ask("advance 11")  # longer than the pause between two tries
        outcomes += fleet.go()
    print(
        f"{name}: failed: {failed(outcomes)}; token calls while it is away: {meanwhile}; "
        f"when it is back: {calls(monta)}"
    )


def single(store: Any, kind: str) -> None:
    began = time.perf_counter()
    for _ in range(200):
        lease = store.try_lock(NAME, 6.0)
        assert lease is not None
        store.load(NAME)
        lease.extend(6.0)
        lease.release()
    took = (time.perf_counter() - began) / 200 * 1e3
    print(f"{kind}: lease, load, extend and release: {took:.2f} ms")


def main() -> None:
    expiries = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory() as directory, RedisServer() as server:
        single(FileStore(Path(directory, "single")), "file")
        single(RedisStore(server.url), "redis")
        places = {"file": str(Path(directory, "fleet")), "redis": server.url}
        for kind, place in places.items():
            calm(kind, place, max(1, expiries // 10))
            killing_at_random(kind, place, expiries)
            killing_the_leader(kind, place)
        away(directory)


if __name__ == "__main__":
    main()
