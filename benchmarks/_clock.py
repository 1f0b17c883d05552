"""What time does to a contestant: an expiry in the middle of traffic, and a clock that is wrong.

Each contestant runs in a process of its own, in which Python's clocks can be moved. The server's
clock is moved with them, so that an hour passes in a second or two.

    python -m benchmarks._clock INDEX PORT quick      prints the figures of one contestant as JSON
"""

from __future__ import annotations

import datetime
import sys
import time

real_time, real_monotonic = time.time, time.monotonic
#: Seconds that have passed by moving the clocks, and by which the wall clock is wrong.
passed, skew = 0.0, 0.0


def install() -> None:
    """Put movable clocks in the place of Python's. The HTTP libraries must not be there yet."""
    time.time = lambda: real_time() + passed + skew
    time.monotonic = lambda: real_monotonic() + passed
    if hasattr(time, "clock_gettime"):
        # Ours counts the time that a machine sleeps.
        gettime = time.clock_gettime
        time.clock_gettime = lambda number: gettime(number) + passed

    class MovableDatetime(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> MovableDatetime:
            return cls.fromtimestamp(time.time(), tz)

    datetime.datetime = MovableDatetime  # type: ignore[misc]

    import asyncio

    # Sleeps and timeouts of the loop go on as they are.
    asyncio.BaseEventLoop.time = lambda self: real_monotonic()  # type: ignore[method-assign]


if __name__ == "__main__":
    install()

import asyncio  # noqa: E402
import json  # noqa: E402
import threading  # noqa: E402
from typing import Any  # noqa: E402

from ._figures import Crowd, Results, Row  # noqa: E402
from ._peers import EVERYONE, STATIC, Contestant, rows  # noqa: E402
from ._server import World, in_child  # noqa: E402

EXPIRY, CLOCK = "expiry, 8 at a time", "clock off by"

WORKERS = 8
TOKEN_LATENCY = 0.4
#: A token call may meet one step, which is less than the three seconds that `MontaAuth` grants it
#: while the token lives.
STEP = 2.5
#: Seconds before the expiry and after it: every margin that a peer has, and ours, lies in between.
BEFORE, AFTER = 400.0, 40.0
LIFE = 3600.0
SKEWS = {"10 min": 600.0, "2 h": 7200.0}
#: The clock is wrong from the start, or from the third request on; slow, and fast.
WRONG_AFTER = (0, 2)


def travel(world: World, seconds: float) -> None:
    global passed
    # The client first: for that moment it thinks that it is later, which harms nobody.
    passed += seconds
    world.set(offset=passed)


def at_an_expiry(one: Contestant, world: World) -> dict[str, int]:
    """Let 8 threads or tasks call without a pause while the token comes to its end."""
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
    waited = sum(took > TOKEN_LATENCY / 2 for took, _ in traffic.requests)
    failed = sum(status != 200 for _, status in traffic.requests)
    return {
        "requests": len(traffic.requests),
        "failed": failed,
        "token_calls": counts["token"],
        "waited": waited,
    }


class Traffic:
    """Threads that call and call."""

    def __init__(self, one: Contestant, world: World) -> None:
        self.one, self.world = one, world
        self.requests: list[tuple[float, int]] = []
        #: How many requests each worker has ended.
        self.turns = [0] * WORKERS
        self.over = False
        self.client: Any = None
        self.open()

    def open(self) -> None:
        self.client = self.one.open(self.world)
        assert self.one.get(self.client, self.world.url) == 200
        self.threads = [threading.Thread(target=self.work, args=[n]) for n in range(WORKERS)]

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
            self.requests.append((real_monotonic() - began, status))
            self.turns[number] += 1
            time.sleep(0.002)

    def wait_for_all(self) -> None:
        """Wait until each worker has ended a request, so that none of them meets two steps."""
        before = self.turns[:]
        while any(old == new for old, new in zip(before, self.turns, strict=True)):
            time.sleep(0.001)

    def stop(self) -> None:
        self.over = True
        for thread in self.threads:
            thread.join()


class AsyncTraffic(Traffic):
    """Tasks that call and call, on a loop in a thread."""

    def open(self) -> None:
        self.ready, self.go = threading.Event(), threading.Event()
        self.threads = [threading.Thread(target=lambda: asyncio.run(self.main()), daemon=True)]
        self.threads[0].start()
        if not self.ready.wait(timeout=30):
            raise RuntimeError("the first request failed")

    def start(self) -> None:
        self.go.set()

    async def main(self) -> None:
        self.client = self.one.open(self.world)
        assert await self.one.aget(self.client, self.world.url) == 200
        self.ready.set()
        await asyncio.to_thread(self.go.wait)
        await asyncio.gather(*(self.call(number) for number in range(WORKERS)))
        await self.one.aclose(self.client)

    async def call(self, number: int) -> None:
        while not self.over:
            began = real_monotonic()
            try:
                status = await self.one.aget(self.client, self.world.url)
            except Exception:
                status = 0
            self.requests.append((real_monotonic() - began, status))
            self.turns[number] += 1
            await asyncio.sleep(0.002)


def with_a_wrong_clock(
    one: Contestant, world: World, seconds: float, after: int, requests: int
) -> dict[str, int]:
    """Call once a minute for more than one life, with a wall clock that is wrong.

    Args:
        after: the clock is right for so many requests and becomes wrong then.
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
    """A static header does not renew."""
    return one.name != STATIC


def main(index: int, port: int, quick: bool) -> None:
    one, world = EVERYONE[index], World(port)
    travel(world, 0.0)
    found: dict[str, list[dict[str, int]]] = {EXPIRY: [at_an_expiry(one, world)]}
    for name, seconds in SKEWS.items():
        if one.row != one.library:
            continue  # the clock of an async client is that of its sync brother
        found[name] = [
            with_a_wrong_clock(one, world, sign * seconds, after, 20 if quick else 100)
            for sign in (-1, 1)
            for after in WRONG_AFTER
        ]
    print(json.dumps(found))


def measure(results: Results, present: list[Contestant], world: World, quick: bool) -> None:
    grouped = rows([one for one in present if takes_part(one)])
    found: dict[tuple[str, str], dict[str, list[dict[str, int]]]] = {}
    for one in present:
        if takes_part(one):
            index = str(EVERYONE.index(one))
            answer: dict[str, list[dict[str, int]]] = in_child(
                "benchmarks._clock", index, str(world.port), "quick" if quick else ""
            )
            world.set(offset=0.0, token_latency=0.0)
            all_of_it = found.setdefault((one.row, one.name), {})
            for name, counts in answer.items():
                all_of_it.setdefault(name, []).extend(counts)
    for name in (EXPIRY, *SKEWS):
        for library, group in grouped.items():
            if name not in found[library, group[0].name]:
                continue
            row = _new_row(results, name, library)
            for one in group:
                row.figures[one.name] = _worst(found[library, one.name][name])


def _new_row(results: Results, name: str, library: str) -> Row:
    if name == EXPIRY:
        return results.row(EXPIRY, library, "1 token call, 1 waited")
    return results.row(f"{CLOCK} {name}", library, "2 token calls")


def _worst(counts: list[dict[str, int]]) -> Crowd:
    def worst(key: str) -> int:
        return max(count[key] for count in counts)

    waited = worst("waited") if "waited" in counts[0] else None
    return Crowd(worst("requests"), worst("failed"), worst("token_calls"), waited)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "quick")
