"""Measure what time does to a contestant: an expiry during traffic, and a wrong clock.

Each contestant runs in a separate process, where Python's clocks can be moved. The server's clock
moves with them, so that an hour passes in a second or two.

    python -m benchmarks._clock INDEX PORT quick      prints the figures of one contestant as JSON
"""

from __future__ import annotations

import datetime
import sys
import time

real_time, real_monotonic = time.time, time.monotonic
#: How far all clocks were moved, and how far the wall clock is wrong, in seconds.
passed, skew = 0.0, 0.0


def install() -> None:
    """Replace Python's clocks with movable ones, before any HTTP library is imported."""
    time.time = lambda: real_time() + passed + skew
    time.monotonic = lambda: real_monotonic() + passed
    if hasattr(time, "clock_gettime"):
        # `MontaAuth` uses this clock, because it also counts while a machine sleeps.
        gettime = time.clock_gettime
        time.clock_gettime = lambda number: gettime(number) + passed

    class MovableDatetime(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> MovableDatetime:
            return cls.fromtimestamp(time.time(), tz)

    datetime.datetime = MovableDatetime  # type: ignore[misc]

    import asyncio

    # Sleeps and timeouts of the loop keep the real time.
    asyncio.BaseEventLoop.time = lambda self: real_monotonic()  # type: ignore[method-assign]


if __name__ == "__main__":
    install()

import asyncio  # noqa: E402
import json  # noqa: E402
import threading  # noqa: E402
from typing import Any  # noqa: E402

from monta_auth._core.policy import PROBE_LEAD, PROBE_SHARE  # noqa: E402

from ._figures import Crowd, Results, Row, Spread  # noqa: E402
from ._peers import EVERYONE, STATIC, Contestant, rows  # noqa: E402
from ._server import World, in_child  # noqa: E402

EXPIRY, PROBE, CLOCK = "expiry, 8 at a time", "probe, 2 at a time", "clock off by"

#: The numbers of one run by name.
Counts = dict[str, float]

#: Milliseconds that a renewal in a probe may add to the slowest request.
ADDED_LIMIT = 1.0
WORKERS = 8
TOKEN_LATENCY = 0.4
#: Seconds per move of the clocks. A token call can span one move, so a move is shorter than the
#: three seconds that `MontaAuth` allows a token call while the token is valid.
STEP = 2.5
#: Seconds before and after the expiry. The renewal margins of all contestants lie in between.
BEFORE, AFTER = 400.0, 40.0
LIFE = 3600.0
#: Seconds between two probes: a fifth of the time in which probes may renew and requests do not.
PROBE_EVERY = min(PROBE_LEAD, PROBE_SHARE * LIFE) / 5
#: The probes begin this many seconds before the expiry.
PROBE_BEFORE, PROBE_ROUNDS = 480.0, 9
#: Few requests, with pauses. With more, the slowest one would wait for the processor.
PROBE_WORKERS, PROBE_PAUSE = 2, 0.02
SKEWS = {"10 min": 600.0, "2 h": 7200.0}
#: The clock is wrong from the start, or from the third request on.
WRONG_AFTER = (0, 2)


def travel(world: World, seconds: float) -> None:
    global passed
    # Move the client first: it does no harm if the client's clock is ahead for a moment.
    passed += seconds
    world.set(offset=passed)


def at_an_expiry(one: Contestant, world: World) -> Counts:
    """Let 8 threads or tasks call without a pause while the token expires."""
    traffic = AsyncTraffic(one, world) if one.is_async else Traffic(one, world)
    travel(world, LIFE - BEFORE)
    world.set(clear=True, token_latency=TOKEN_LATENCY)
    traffic.start()
    moved = 0.0
    while moved < BEFORE + AFTER:
        traffic.wait_for_all()
        travel(world, STEP)
        moved += STEP
    traffic.stop()
    counts = world.set(token_latency=0.0)
    return {**traffic.counts(), "token_calls": counts["token"]}


def with_a_probe(one: Contestant, world: World, quick: bool) -> list[Counts]:
    """Let a probe ask for the token every few seconds, while 2 threads or tasks call.

    Returns:
        For each token: the counts, and how many milliseconds slower the slowest request was during
        the renewal than in the same time before.
    """
    traffic = (AsyncTraffic if one.is_async else Traffic)(one, world, PROBE_WORKERS, PROBE_PAUSE)
    one.prepare(traffic.client)
    world.set(token_latency=TOKEN_LATENCY)
    traffic.start()
    age, found = 0.0, list[Counts]()
    for _ in range(1 if quick else PROBE_ROUNDS):
        traffic.requests.clear()
        travel(world, LIFE - PROBE_BEFORE - age)
        world.set(clear=True)
        began = real_monotonic()
        time.sleep(TOKEN_LATENCY)
        quiet = slowest = traffic.slowest_since(began)
        calls, moved = 0, 0.0
        while moved < PROBE_BEFORE + AFTER:
            traffic.wait_for_all()
            travel(world, PROBE_EVERY)
            moved, age = moved + PROBE_EVERY, age + PROBE_EVERY
            began = real_monotonic()
            traffic.probe()
            while (counts := world.set())["busy"]:
                time.sleep(0.01)
            if counts["token"] > calls:
                calls, age = counts["token"], 0.0
                slowest = traffic.slowest_since(began)
        added = (slowest - quiet) * 1000
        found.append({**traffic.counts(), "token_calls": calls, "added_ms": added})
    traffic.stop()
    world.set(token_latency=0.0)
    return found


class Traffic:
    """Threads that call until they are stopped."""

    def __init__(
        self, one: Contestant, world: World, workers: int = WORKERS, pause: float = 0.002
    ) -> None:
        self.one, self.world, self.workers, self.pause = one, world, workers, pause
        #: The start, duration and status of each request; 0 if it failed.
        self.requests: list[tuple[float, float, int]] = []
        #: How many requests each worker has finished.
        self.turns = [0] * workers
        self.over = False
        self.client: Any = None
        self.open()

    def open(self) -> None:
        self.client = self.one.open(self.world)
        assert self.one.get(self.client, self.world.url) == 200
        self.threads = [threading.Thread(target=self.work, args=[n]) for n in range(self.workers)]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def work(self, number: int) -> None:
        while not self.over:
            began = real_monotonic()
            try:
                status = self.one.get(self.client, self.world.url)
            except Exception:
                status = 0
            self.requests.append((began, real_monotonic() - began, status))
            self.turns[number] += 1
            time.sleep(self.pause)

    def probe(self) -> None:
        self.one.probe(self.client)

    def slowest_since(self, moment: float) -> float:
        """Return the longest duration of the requests that ended after this moment."""
        return max(took for began, took, _ in self.requests[:] if began + took >= moment)

    def counts(self) -> Counts:
        requests = self.requests[:]
        return {
            "requests": len(requests),
            "failed": sum(status != 200 for _, _, status in requests),
            "waited": sum(took > TOKEN_LATENCY / 2 for _, took, _ in requests),
        }

    def wait_for_all(self) -> None:
        """Wait until each worker has finished a request, so that none spans two moves."""
        before = self.turns[:]
        while any(old == new for old, new in zip(before, self.turns, strict=True)):
            time.sleep(0.001)

    def stop(self) -> None:
        self.over = True
        for thread in self.threads:
            thread.join()


class AsyncTraffic(Traffic):
    """Tasks that call until they are stopped, on a loop in a thread."""

    def open(self) -> None:
        self.ready, self.go = threading.Event(), threading.Event()
        self.threads = [threading.Thread(target=lambda: asyncio.run(self.main()), daemon=True)]
        self.threads[0].start()
        if not self.ready.wait(timeout=30):
            raise RuntimeError("the first request failed")

    def start(self) -> None:
        self.go.set()

    async def main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.client = self.one.open(self.world)
        assert await self.one.aget(self.client, self.world.url) == 200
        self.ready.set()
        await asyncio.to_thread(self.go.wait)
        await asyncio.gather(*(self.call(number) for number in range(self.workers)))
        await self.one.aclose(self.client)

    async def call(self, number: int) -> None:
        while not self.over:
            began = real_monotonic()
            try:
                status = await self.one.aget(self.client, self.world.url)
            except Exception:
                status = 0
            self.requests.append((began, real_monotonic() - began, status))
            self.turns[number] += 1
            await asyncio.sleep(self.pause)

    def probe(self) -> None:
        asyncio.run_coroutine_threadsafe(self.one.aprobe(self.client), self.loop).result()


def with_a_wrong_clock(
    one: Contestant, world: World, seconds: float, after: int, requests: int
) -> Counts:
    """Call for a hundred minutes, longer than a token is valid, with a wrong wall clock.

    Args:
        seconds: how far the clock is wrong.
        after: the number of requests before it becomes wrong.
    """
    every = 100 * 60.0 / requests
    statuses: list[int] = []

    def before_each(number: int) -> None:
        global skew
        skew = seconds if number >= after else 0.0
        if number:
            travel(world, every)

    async def amain() -> None:
        client = one.open(world)
        for number in range(requests):
            before_each(number)
            try:
                statuses.append(await one.aget(client, world.url))
            except Exception:
                statuses.append(0)
        await one.aclose(client)

    world.set(clear=True)
    if one.is_async:
        asyncio.run(amain())
    else:
        client = one.open(world)
        for number in range(requests):
            before_each(number)
            try:
                statuses.append(one.get(client, world.url))
            except Exception:
                statuses.append(0)
        one.close(client)
    failed = requests - statuses.count(200)
    return {"requests": requests, "failed": failed, "token_calls": world.set()["token"]}


def takes_part(one: Contestant) -> bool:
    """Return whether the contestant renews. A static header does not."""
    return one.name != STATIC


def main(index: int, port: int, quick: bool) -> None:
    one, world = EVERYONE[index], World(port)
    travel(world, 0.0)
    found: dict[str, list[Counts]] = {EXPIRY: [at_an_expiry(one, world)]}
    if one.renews_apart:
        found[PROBE] = with_a_probe(one, world, quick)
    for name, seconds in SKEWS.items():
        if one.row != one.library:
            continue  # async clients use the same clock as sync ones
        found[name] = [
            with_a_wrong_clock(one, world, sign * seconds, after, 20 if quick else 100)
            for sign in (-1, 1)
            for after in WRONG_AFTER
        ]
    print(json.dumps(found))


def measure(results: Results, present: list[Contestant], world: World, quick: bool) -> None:
    grouped = rows([one for one in present if takes_part(one)])
    found: dict[tuple[str, str], dict[str, list[Counts]]] = {}
    for one in present:
        if takes_part(one):
            index = str(EVERYONE.index(one))
            answer: dict[str, list[Counts]] = in_child(
                "benchmarks._clock", index, str(world.port), "quick" if quick else ""
            )
            world.set(offset=0.0, token_latency=0.0)
            all_of_it = found.setdefault((one.row, one.name), {})
            for name, counts in answer.items():
                all_of_it.setdefault(name, []).extend(counts)
    for name in (EXPIRY, PROBE, *SKEWS):
        for library, group in grouped.items():
            there = {one.name: found[library, one.name].get(name) for one in group}
            if any(there.values()):
                row = _new_row(results, name, library)
                row.figures.update({one: _worst(counts) for one, counts in there.items() if counts})


def _new_row(results: Results, name: str, library: str) -> Row:
    if name == EXPIRY:
        return results.row(EXPIRY, library, "1 token call, 1 waited")
    if name == PROBE:
        return results.row(PROBE, library, f"1 token call, 0 waited, {ADDED_LIMIT:g} ms added")
    return results.row(f"{CLOCK} {name}", library, "2 token calls")


def _worst(counts: list[Counts]) -> Crowd:
    def worst(key: str) -> int:
        return int(max(count[key] for count in counts))

    return Crowd(
        worst("requests"),
        worst("failed"),
        worst("token_calls"),
        waited=worst("waited") if "waited" in counts[0] else None,
        added=Spread.of([c["added_ms"] for c in counts]) if "added_ms" in counts[0] else None,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "quick")
