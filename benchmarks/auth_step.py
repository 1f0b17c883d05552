"""What `MontaAuth` costs a request that has a token: ``python benchmarks/auth_step.py``.

Each figure is a ratio to an auth object of the same library that only sets a header, measured side
by side in one interleaved run (the best of many short rounds). Import figures are what an adapter
adds to its library, in fresh interpreters.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import httpx2
import requests

import httpx2_monta
import httpx_monta
import requests_monta
from monta_auth import TokenSet

URL = "https://public-api.monta.com/api/v1/charge-points?page=1"
ROUNDS, CALLS = 60, 2000
#: What the project promises.
LIMITS = {"requests": 1.6, "httpx": 1.0, "httpx2": 1.0}


def pair() -> TokenSet:
    now = datetime.now(UTC)
    return TokenSet("a" * 36, "r" * 36, now + timedelta(hours=1), None, now)


class HeaderAuth(requests.auth.AuthBase):
    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers["Authorization"] = f"Bearer {self.token}"
        return r


def requests_steps() -> list[Callable[[], None]]:
    prepared = requests.Request("GET", URL).prepare()

    def step(auth: Any) -> Callable[[], None]:
        def run() -> None:
            for _ in range(CALLS):
                prepared.hooks["response"] = []
                auth(prepared)

        return run

    return [step(HeaderAuth("a" * 36)), step(requests_monta.MontaAuth(token=pair()))]


def httpx_steps(library: Any, adapter: Any) -> list[Callable[[], None]]:
    class PlainAuth(library.Auth):  # type: ignore[misc, name-defined]
        def __init__(self, token: str) -> None:
            self.token = token

        def auth_flow(self, request: Any) -> Any:
            request.headers["Authorization"] = f"Bearer {self.token}"
            yield request

    response = library.Response(200)

    def step(auth: Any) -> Callable[[], None]:
        request = library.Request("GET", URL)

        def run() -> None:
            for _ in range(CALLS):
                flow = auth.sync_auth_flow(request)
                next(flow)
                try:
                    flow.send(response)
                except StopIteration:
                    pass
                flow.close()

        return run

    return [step(PlainAuth("a" * 36)), step(adapter.MontaAuth(token=pair()))]


def httpx_async_steps(library: Any, adapter: Any) -> list[Callable[[], None]]:
    class PlainAuth(library.Auth):  # type: ignore[misc, name-defined]
        def auth_flow(self, request: Any) -> Any:
            request.headers["Authorization"] = "Bearer " + "a" * 36
            yield request

    response = library.Response(200)

    def step(auth: Any) -> Callable[[], None]:
        request = library.Request("GET", URL)

        async def main() -> None:
            for _ in range(CALLS):
                flow = auth.async_auth_flow(request)
                await flow.__anext__()
                try:
                    await flow.asend(response)
                except StopAsyncIteration:
                    pass
                await flow.aclose()

        return lambda: asyncio.run(main())

    return [step(PlainAuth()), step(adapter.MontaAuth(token=pair()))]


def compare(steps: list[Callable[[], None]]) -> tuple[float, float]:
    """Return the best time of each of the two steps, in microseconds a call."""
    best = [float("inf")] * len(steps)
    for _ in range(ROUNDS):
        for n, step in enumerate(steps):
            started = time.perf_counter()
            step()
            best[n] = min(best[n], (time.perf_counter() - started) / CALLS * 1e6)
    return best[0], best[1]


def import_cost(library: str) -> tuple[float, int]:
    """Return the milliseconds and the number of foreign modules that an adapter adds."""
    code = (
        f"import sys, time, {library}\n"
        "before, started = set(sys.modules), time.perf_counter()\n"
        f"import {library}_monta\n"
        "took = time.perf_counter() - started\n"
        f"ours = ('monta_auth', '{library}_monta')\n"
        "print(took * 1e3, sum(m.partition('.')[0] not in ours for m in set(sys.modules) - before))"
    )
    runs = []
    for _ in range(9):
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)  # noqa: S603
        took, modules = out.stdout.split()
        runs.append((float(took), int(modules)))
    return min(runs)


def main() -> int:
    print(f"{'auth step':<28}{'header only':>12}{'MontaAuth':>12}{'ratio':>8}{'limit':>8}")
    rows = [("requests", requests_steps())]
    for library, adapter in ((httpx, httpx_monta), (httpx2, httpx2_monta)):
        rows.append((library.__name__, httpx_steps(library, adapter)))
        rows.append((f"{library.__name__} (async)", httpx_async_steps(library, adapter)))
    for name, steps in rows:
        plain, ours = compare(steps)
        limit = LIMITS.get(name.partition(" ")[0])
        print(f"{name:<28}{plain:>9.2f} us{ours:>9.2f} us{ours / plain:>8.2f}{limit:>8}")
    print(f"\n{'import adds':<28}{'ms':>12}{'modules':>12}{'':>8}{'limit':>8}")
    for name in ("requests", "httpx", "httpx2"):
        took, modules = import_cost(name)
        print(f"{name + '_monta':<28}{took:>12.1f}{modules:>12}{'10, 15':>16}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
