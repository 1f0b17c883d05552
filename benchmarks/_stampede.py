"""Many requests at one moment, with no token or with one that was just revoked.

The ideal is what the static header does with a token call made by hand in front of it: one token
call, then all requests at once. After a revocation: all are refused at once, one token call, all
again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from ._figures import Crowd, Results, Spread
from ._peers import STATIC, Contestant, rows
from ._server import World

COLD, REVOKED = "cold start", "revocation"
THREADS, TASKS = 32, 100
#: Seconds of a token call and of an API call; far more than the work of the client.
LATENCY, QUICK_LATENCY = 0.1, 0.03

#: Wall time and number of requests that failed.
Outcome = tuple[float, int]


def threads_at_once(get: Callable[[], int], number: int) -> Outcome:
    barrier = threading.Barrier(number)
    spans: list[tuple[float, float]] = []
    good: list[int] = []

    def work() -> None:
        barrier.wait()
        began = time.perf_counter()
        with suppress(Exception):
            if get() == 200:
                good.append(1)
        spans.append((began, time.perf_counter()))

    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall = max(end for _, end in spans) - min(began for began, _ in spans)
    return wall, number - len(good)


async def tasks_at_once(get: Callable[[], Awaitable[int]], number: int) -> Outcome:
    began = time.perf_counter()
    results = await asyncio.gather(*(get() for _ in range(number)), return_exceptions=True)
    return time.perf_counter() - began, number - results.count(200)


class Tally:
    """The rounds of one contestant."""

    def __init__(self) -> None:
        self.walls: list[float] = []
        self.failed: list[int] = []
        self.token_calls: list[int] = []

    def add(self, outcome: Outcome, token_calls: int) -> None:
        self.walls.append(outcome[0])
        self.failed.append(outcome[1])
        self.token_calls.append(token_calls)

    def crowd(self, number: int, ideal: list[float]) -> Crowd:
        whole = not any(self.failed)
        wall = Spread.of_ratios(self.walls, ideal) if whole else None
        return Crowd(number, max(self.failed), max(self.token_calls), wall=wall)


Tallies = dict[str, dict[str, Tally]]


def one_round(one: Contestant, world: World, tallies: Tallies) -> None:
    client = one.open(world)
    static = one.name == STATIC

    def stampede() -> Outcome:
        return threads_at_once(lambda: one.get(client, world.url), THREADS)

    def by_hand() -> float:
        began = time.perf_counter()
        one.obtain(client, world)
        return time.perf_counter() - began if static else 0.0

    world.set(clear=True)
    took = by_hand()
    wall, failed = stampede()
    tallies[COLD][one.name].add((took + wall, failed), world.set()["token"])
    world.set(revoke=True, clear=True)
    took = stampede()[0] + by_hand() if static else 0.0
    wall, failed = stampede()
    tallies[REVOKED][one.name].add((took + wall, failed), world.set()["token"])
    one.close(client)


async def one_async_round(one: Contestant, world: World, tallies: Tallies) -> None:
    client = one.open(world)
    static = one.name == STATIC

    async def stampede() -> Outcome:
        return await tasks_at_once(lambda: one.aget(client, world.url), TASKS)

    async def by_hand() -> float:
        if not static:
            return 0.0
        began = time.perf_counter()
        await one.aobtain(client, world)
        return time.perf_counter() - began

    world.set(clear=True)
    took = await by_hand()
    wall, failed = await stampede()
    tallies[COLD][one.name].add((took + wall, failed), world.set()["token"])
    world.set(revoke=True, clear=True)
    took = (await stampede())[0] + await by_hand() if static else 0.0
    wall, failed = await stampede()
    tallies[REVOKED][one.name].add((took + wall, failed), world.set()["token"])
    await one.aclose(client)


def measure(results: Results, present: list[Contestant], world: World, quick: bool) -> None:
    latency = QUICK_LATENCY if quick else LATENCY
    world.set(token_latency=latency, api_latency=latency)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its pool keeps 10 connections of 32
    tallies: dict[str, Tallies] = {
        library: {name: {one.name: Tally() for one in group} for name in (COLD, REVOKED)}
        for library, group in rows(present).items()
    }
    for round_ in range(1 if quick else 4):
        first = round_ * 7 % len(present)  # another one each time
        for one in present[first:] + present[:first]:
            if one.is_async:
                asyncio.run(one_async_round(one, world, tallies[one.row]))
            else:
                one_round(one, world, tallies[one.row])
    world.set(token_latency=0.0, api_latency=0.0)
    for name in (COLD, REVOKED):
        for library, group in rows(present).items():
            many = TASKS if group[0].is_async else THREADS
            kind = "tasks" if group[0].is_async else "threads"
            table = tallies[library][name]
            row = results.row(f"{name}, {many} {kind}", library, "1 token call, 1.0 x")
            for one in group:
                if one.name != STATIC:
                    row.figures[one.name] = table[one.name].crowd(many, table[STATIC].walls)
