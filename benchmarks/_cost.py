"""What a request costs when nothing is the matter: its auth step, itself in memory, over loopback.

Every round runs a block of each contestant, one after the other; the ratio to the static header
of the same round is what counts.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import time
from collections.abc import Callable
from typing import Any

from ._figures import Results, Spread
from ._peers import STATIC, Contestant, rows
from ._server import World

STEP, MEMORY, LOOPBACK = "auth step", "request in memory", "request over loopback"
#: Requests in a block of steps. Few, so that they stay in the processor's cache, as a request does
#: that was made just now.
AT_HAND = 40


def run_blocks(
    blocks: dict[str, Callable[[], Any]], rounds: int, repeat: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Return for each block the times of its rounds; a round runs it `repeat` times."""
    times: dict[str, list[float]] = {name: [] for name in blocks}
    for round_ in range(rounds + 1):
        # Who comes first is another one each time.
        order = list(blocks)[round_ % len(blocks) :] + list(blocks)[: round_ % len(blocks)]
        for name in order:
            took = sum(run_block(blocks[name], clock) for _ in range(repeat))
            if round_:  # the first is to warm up
                times[name].append(took)
    return times


def run_block(block: Callable[[], Any], clock: Callable[[], float]) -> float:
    async def arun() -> float:
        started = clock()  # inside of the loop, whose start is not to be measured
        await block()
        return clock() - started

    getattr(block, "before", lambda: None)()
    gc.collect(0)
    gc.disable()
    try:
        if inspect.iscoroutinefunction(block):
            return _loop().run_until_complete(arun())
        started = clock()
        block()
        return clock() - started
    finally:
        gc.enable()


_the_loop: list[asyncio.AbstractEventLoop] = []


def _loop() -> asyncio.AbstractEventLoop:
    """One loop for all blocks: a client is bound to the loop that opened it."""
    if not _the_loop:
        _the_loop.append(asyncio.new_event_loop())
    return _the_loop[0]


def wait_for(value: Any) -> Any:
    async def waits() -> Any:
        return await value

    return _loop().run_until_complete(waits()) if asyncio.iscoroutine(value) else value


def opened(contestant: Contestant, world: World, in_memory: bool) -> Any:
    """Return a client with a token that is ready."""

    async def aopen() -> Any:
        return contestant.open(world, in_memory=in_memory)

    client = (
        wait_for(aopen()) if contestant.is_async else contestant.open(world, in_memory=in_memory)
    )
    if not in_memory:
        wait_for(contestant.obtain(client, world))
    status = wait_for(contestant.get(client, world.url))
    assert status == 200, f"{contestant.name} with {contestant.row}: {status}"
    return client


def requests_block(contestant: Contestant, client: Any, url: str, calls: int) -> Callable[[], Any]:
    def run() -> None:
        for _ in range(calls):
            contestant.get(client, url)

    async def arun() -> None:
        for _ in range(calls):
            await contestant.get(client, url)

    return arun if contestant.is_async else run


def measure(results: Results, present: list[Contestant], world: World, quick: bool) -> None:
    plan = [(STEP, True, 3 if quick else 300), (MEMORY, True, 3 if quick else 50)]
    plan.append((LOOPBACK, False, 3 if quick else 40))
    for measure_, in_memory, rounds in plan:
        for library, group in rows(present).items():
            if library == "aiohttp" and measure_ == MEMORY:
                results.missing.append(
                    "aiohttp, request in memory: it has no transport that could be exchanged."
                )
                continue
            clients = {
                one.name: opened(one, world, in_memory and library != "aiohttp") for one in group
            }
            blocks: dict[str, Callable[[], Any]] = {}
            for one in group:
                client = clients[one.name]
                if measure_ == STEP:
                    blocks[one.name] = wait_for(_step(one, client, world.url, AT_HAND))
                else:
                    blocks[one.name] = requests_block(one, client, world.url, 2 if quick else 15)
            # The processor's own clock takes too long to read for blocks of some microseconds.
            clock = time.process_time if measure_ == MEMORY else time.perf_counter
            times = run_blocks(blocks, rounds, 8 if measure_ == STEP else 1, clock)
            row = results.row(measure_, library, "1.0")
            for name, taken in times.items():
                if name != STATIC:
                    row.figures[name] = Spread.of_ratios(taken, times[STATIC])
            for one in group:
                wait_for(one.close(clients[one.name]))


async def _step(one: Contestant, client: Any, url: str, calls: int) -> Callable[[], Any]:
    return one.step(client, url, calls)
