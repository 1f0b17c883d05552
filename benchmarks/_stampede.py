"""Measure many requests at one moment, without a token or with a token that was just revoked.

The ideal at a cold start is one token call, then the first requests of a new client with a static
header, which has no open connections either. After a revocation, it is all requests at once, one
token call, and all requests again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from ._figures import Crowd, Results, Spread
from ._peers import STATIC, Contestant, rows
from ._server import World

COLD, REVOKED = "cold start", "revocation"
#: Threads and tasks of each measure. A quick run needs only counts, for which 100 tasks are enough.
CROWDS = {COLD: (64, 500), REVOKED: (32, 100)}
QUICK_CROWDS = {**CROWDS, COLD: (64, 100)}
#: Seconds of a token call and of an API call. After a revocation, they are far longer than the
#: client's work. At a cold start that work counts, and connections are soon free again.
LATENCIES = {COLD: (0.1, 0.02), REVOKED: (0.1, 0.1)}
QUICK_LATENCY = 0.03
ROUNDS = 4

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
    """Collects the rounds of one contestant."""

    def __init__(self) -> None:
        self.walls: list[float] = []
        self.failed: list[int] = []
        self.token_calls: list[int] = []
        self.connections: list[int] = []

    def add(self, outcome: Outcome, counts: dict[str, int]) -> None:
        self.walls.append(outcome[0])
        self.failed.append(outcome[1])
        self.token_calls.append(counts["token"])
        self.connections.append(counts["connections"])

    def crowd(self, number: int, ideal: list[float]) -> Crowd:
        whole = not any(self.failed)
        wall = Spread.of_ratios(self.walls, ideal) if whole else None
        calls, connections = max(self.token_calls), max(self.connections)
        return Crowd(number, max(self.failed), calls, wall=wall, connections=connections)


def by_hand(one: Contestant, client: Any, world: World) -> float:
    began = time.perf_counter()
    one.obtain(client, world)
    return time.perf_counter() - began


async def by_hand_of_tasks(one: Contestant, client: Any, world: World) -> float:
    began = time.perf_counter()
    await one.aobtain(client, world)
    return time.perf_counter() - began


def cold_start(one: Contestant, world: World, number: int) -> Outcome:
    client, took = one.open(world), 0.0
    if one.name == STATIC:
        other = one.open(world)
        took = by_hand(one, other, world)
        client.auth.token = other.auth.token
        one.close(other)
    wall, failed = threads_at_once(lambda: one.get(client, world.url), number)
    one.close(client)
    return took + wall, failed


async def cold_start_of_tasks(one: Contestant, world: World, number: int) -> Outcome:
    client, took = one.open(world), 0.0
    if one.name == STATIC:
        other = one.open(world)
        took = await by_hand_of_tasks(one, other, world)
        client.auth.token = other.auth.token
        await one.aclose(other)
    wall, failed = await tasks_at_once(lambda: one.aget(client, world.url), number)
    await one.aclose(client)
    return took + wall, failed


def revocation(one: Contestant, world: World, number: int) -> Outcome:
    client, took = one.open(world), 0.0

    def stampede() -> Outcome:
        return threads_at_once(lambda: one.get(client, world.url), number)

    one.obtain(client, world)
    stampede()
    world.set(revoke=True, clear=True)
    if one.name == STATIC:
        took = stampede()[0] + by_hand(one, client, world)
    wall, failed = stampede()
    one.close(client)
    return took + wall, failed


async def revocation_of_tasks(one: Contestant, world: World, number: int) -> Outcome:
    client, took = one.open(world), 0.0

    async def stampede() -> Outcome:
        return await tasks_at_once(lambda: one.aget(client, world.url), number)

    await one.aobtain(client, world)
    await stampede()
    world.set(revoke=True, clear=True)
    if one.name == STATIC:
        took = (await stampede())[0] + await by_hand_of_tasks(one, client, world)
    wall, failed = await stampede()
    await one.aclose(client)
    return took + wall, failed


#: Each measure's functions for threads and for tasks.
MEASURES = {COLD: (cold_start, cold_start_of_tasks), REVOKED: (revocation, revocation_of_tasks)}


def wall_limit(measure: str, library: str) -> float:
    """Return the promised wall time, divided by the ideal.

    Tasks that waited for a token continue a few at a time, and mostly reuse connections.
    """
    is_async = library == "aiohttp" or library.endswith(" async")
    return 0.95 if measure.startswith(COLD) and is_async else 1.1


def measure(results: Results, present: list[Contestant], world: World, quick: bool) -> None:
    # urllib3 warns, because its pool keeps only 10 of 64 connections.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    for name, (of_threads, of_tasks) in MEASURES.items():
        threads, tasks = (QUICK_CROWDS if quick else CROWDS)[name]
        of_token, of_api = (QUICK_LATENCY, QUICK_LATENCY) if quick else LATENCIES[name]
        world.set(token_latency=of_token, api_latency=of_api)
        tallies = {(one.row, one.name): Tally() for one in present}
        for round_ in range(1 if quick else ROUNDS):
            first = round_ * 7 % len(present)  # another contestant in each round
            for one in present[first:] + present[:first]:
                world.set(clear=True)
                if one.is_async:
                    outcome = asyncio.run(of_tasks(one, world, tasks))
                else:
                    outcome = of_threads(one, world, threads)
                tallies[one.row, one.name].add(outcome, world.set())
        for library, group in rows(present).items():
            many, kind = (tasks, "tasks") if group[0].is_async else (threads, "threads")
            ideal = tallies[library, STATIC]
            limit = f"1 token call, {wall_limit(name, library)} x"
            if name == COLD:
                limit += f"; the ideal opens {max(ideal.connections)} connections"
            row = results.row(f"{name}, {many} {kind}", library, limit)
            for one in group:
                if one.name != STATIC:
                    row.figures[one.name] = tallies[library, one.name].crowd(many, ideal.walls)
    world.set(token_latency=0.0, api_latency=0.0)
