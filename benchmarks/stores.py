"""How many token calls a fleet makes, with each store that processes can share.

    python -m benchmarks.stores [expiries]

It starts a local Monta, a Redis, and eight processes of eight threads each. Every figure is a
count; only the waits depend on the machine.
"""

from __future__ import annotations

import random
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

from monta_auth.emulator import Emulator
from monta_auth.stores import FileStore, RedisStore
from tests.stores.fleet import Fleet, RedisServer, token_calls

CHANCE = random.SystemRandom()
PROCESSES, THREADS = 8, 8
LIFE = 2.0


def calm(kind: str, place: str, expiries: int) -> None:
    with (
        Emulator(access_lifetime=LIFE, latency=0.02) as monta,
        Fleet(monta, kind, place, processes=PROCESSES, threads=THREADS) as fleet,
    ):
        outcomes = fleet.go()
        print(f"{kind}: cold start of {len(outcomes)} requests: {token_calls(monta)}")
        failed = [outcome for outcome in outcomes if outcome != "200"]
        counts: list[int] = []
        for _ in range(expiries):
            time.sleep(LIFE)
            monta.clear()
            outcomes = fleet.go()
            failed += [outcome for outcome in outcomes if outcome != "200"]
            counts.append(len(token_calls(monta)))
        print(f"{kind}: token calls of {expiries} expiries: {counts}; failed: {failed}")


def killing(kind: str, place: str, expiries: int) -> None:
    with (
        Emulator(access_lifetime=LIFE, latency=0.02) as monta,
        Fleet(monta, kind, place, processes=PROCESSES, threads=THREADS) as fleet,
    ):
        fleet.go()
        failed: list[str] = []
        calls: list[list[tuple[str, int | None]]] = []
        waits: list[float] = []
        for _ in range(expiries):
            time.sleep(LIFE)
            monta.clear()
            victim = CHANCE.choice(fleet.workers)
            for worker in fleet.workers:
                worker.say("go")
            began = time.monotonic()
            time.sleep(CHANCE.uniform(0.0, 0.1))
            victim.send_signal(signal.SIGKILL)
            for worker in fleet.workers:
                outcomes: list[str] = worker.hear() or []
                failed += [outcome for outcome in outcomes if outcome != "200"]
            waits.append(time.monotonic() - began)
            calls.append(token_calls(monta))
            fleet.replace(victim)
        more = [round_ for round_ in calls if len(round_) != 1]
        print(
            f"{kind}: {expiries} expiries, a process killed in each: "
            f"{sum(map(len, calls))} token calls; rounds with another number than 1: {more}; "
            f"failed: {failed}; wait median {statistics.median(waits):.2f} s, "
            f"longest {max(waits):.2f} s"
        )


def single(store: FileStore | RedisStore, kind: str) -> None:
    one = store.bind("https://public-api.monta.com/api/v1", "client-1")
    began = time.perf_counter()
    for _ in range(200):
        lease = one.try_lock(8.0)
        assert lease is not None
        one.load()
        lease.release()  # type: ignore[union-attr]
    print(f"{kind}: lease, look and release: {(time.perf_counter() - began) / 200 * 1e3:.2f} ms")


def main() -> None:
    expiries = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory() as directory, RedisServer() as server:
        single(FileStore(Path(directory, "single")), "file")
        single(RedisStore(server.url), "redis")
        places = {"file": str(Path(directory, "fleet")), "redis": server.url}
        for kind, place in places.items():
            calm(kind, place, max(1, expiries // 10))
            killing(kind, place, expiries)


if __name__ == "__main__":
    main()
