"""Measure a request that has its token: its auth step, in memory, and over loopback.

Each round runs a block of every contestant, one after the other. The figure is the ratio to the
static header in the same round.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ._figures import Results, Spread
from ._peers import STATIC, Block, Contestant, rows
from ._server import World

STEP, MEMORY, LOOPBACK = "auth step", "request in memory", "request over loopback"
#: Requests in a block of steps. So few stay in the processor's cache, like a new request.
AT_HAND = 40


def run_blocks(
    blocks: dict[str, Block], rounds: int, repeat: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Return the times of each block, one per round; a round runs the block `repeat` times."""
    times: dict[str, list[float]] = {name: [] for name in blocks}
    for round_ in range(rounds + 1):
        # Another contestant is first in each round.
        order = list(blocks)[round_ % len(blocks) :] + list(blocks)[: round_ % len(blocks)]
        for name in order:
            took = sum(run_block(blocks[name], clock) for _ in range(repeat))
            if round_:  # the first round only warms up
                times[name].append(took)
    return times


def run_block(block: Block, clock: Callable[[], float]) -> float:
    async def arun(run: Callable[[], Awaitable[None]]) -> float:
        started = clock()  # inside the loop, so that its start is not measured
        await run()
        return clock() - started

    block.before()
    run = block.run
    gc.collect(0)
    gc.disable()
    try:
        if inspect.iscoroutinefunction(run):
            return _loop().run_until_complete(arun(run))
        started = clock()
        run()
        return clock() - started
    finally:
        gc.enable()


_the_loop: list[asyncio.AbstractEventLoop] = []


def _loop() -> asyncio.AbstractEventLoop:
    """Return the loop for all blocks, because a client is bound to the loop that opened it."""
    if not _the_loop:
        _the_loop.append(asyncio.new_event_loop())
    return _the_loop[0]


def opened(contestant: Contestant, world: World, in_memory: bool) -> Any:
    """Return a client that has a token."""
    if contestant.is_async:
        return _loop().run_until_complete(aopened(contestant, world, in_memory))
    client = contestant.open(world, in_memory=in_memory)
    if not in_memory:
        contestant.obtain(client, world)
    assert contestant.get(client, world.url) == 200, contestant.name
    return client


async def aopened(contestant: Contestant, world: World, in_memory: bool) -> Any:
    client = contestant.open(world, in_memory=in_memory)
    if not in_memory:
        await contestant.aobtain(client, world)
    assert await contestant.aget(client, world.url) == 200, contestant.name
    return client


def close(contestant: Contestant, client: Any) -> None:
    if contestant.is_async:
        _loop().run_until_complete(contestant.aclose(client))
    else:
        contestant.close(client)


def requests_block(contestant: Contestant, client: Any, url: str, calls: int) -> Block:
    def run() -> None:
        for _ in range(calls):
            contestant.get(client, url)

    async def arun() -> None:
        for _ in range(calls):
            await contestant.aget(client, url)

    return Block(arun if contestant.is_async else run)


def step_block(contestant: Contestant, client: Any, url: str, calls: int) -> Block:
    async def in_loop() -> Block:
        return contestant.step(client, url, calls)

    if contestant.is_async:
        return _loop().run_until_complete(in_loop())
    return contestant.step(client, url, calls)


def measure(results: Results, present: list[Contestant], world: World, quick: bool) -> None:
    plan = [(STEP, True, 3 if quick else 300), (MEMORY, True, 3 if quick else 150)]
    plan.append((LOOPBACK, False, 3 if quick else 40))
    for measure_, in_memory, rounds in plan:
        for library, group in rows(present).items():
            if library == "aiohttp" and measure_ == MEMORY:
                results.missing.append(
                    "aiohttp, request in memory: it has no transport that can be replaced."
                )
                continue
            clients = {
                one.name: opened(one, world, in_memory and library != "aiohttp") for one in group
            }
            blocks: dict[str, Block] = {}
            for one in group:
                client = clients[one.name]
                if measure_ == STEP:
                    blocks[one.name] = step_block(one, client, world.url, AT_HAND)
                else:
                    blocks[one.name] = requests_block(one, client, world.url, 2 if quick else 15)
            # The processor's clock takes too long to read for steps of a few microseconds.
            clock = time.process_time if measure_ == MEMORY else time.perf_counter
            times = run_blocks(blocks, rounds, 8 if measure_ == STEP else 1, clock)
            row = results.row(measure_, library, "1.0")
            for name, taken in times.items():
                if name != STATIC:
                    row.figures[name] = Spread.of_ratios(taken, times[STATIC])
            for one in group:
                close(one, clients[one.name])
