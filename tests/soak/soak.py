"""Chaos over real sockets: ``tox -e soak``, or ``python tests/soak/soak.py --seconds 20``.

Processes x threads x tasks call the emulator with requests, httpx and httpx2. Meanwhile it expires
and revokes tokens, is slow, limits, fails and resets connections, and the workers' wall clocks
jump. At the end it prints a table. The exit status is 1 if anything happened that our documents do
not explain, or if a token or secret got to a wrong place.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import logging
import multiprocessing
import random
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import httpx2
import requests
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

import httpx2_monta
import httpx_monta
import requests_monta
from monta_auth import Clock, MontaAuthError, RefreshPolicy, TokenSet, TokenSource
from monta_auth.emulator import Emulator, Fault

#: So short that a run sees hundreds of expiries.
ACCESS_LIFE = 4.0
#: The seconds that a request may take: twice the policy's deadline (before it, and after a 401),
#: plus the longest delay of the emulator.
LONGEST = 2 * 10.0 + 5.0
#: Errors that an HTTP library itself raises when a call of the API is reset or too slow.
NETWORK = (requests.RequestException, httpx.RequestError, httpx2.RequestError)


#: There are few token calls, so they need fewer faults, or the run is one long outage.
BAD = ["revoke", "dead refresh", "slow", "503", "429", "reset", "lost", "cut", "cut charges"]
DEEDS = [*BAD, *["calm"] * 6]


class HookError(Exception):
    """What some of the users' hooks raise for an error response, like many SDKs."""


class Worker:
    """One process: threads with requests and httpx, event loops with httpx and httpx2."""

    def __init__(self, seed: int, base_url: str, credentials: tuple[str, str], until: float):
        self.random = random.Random(seed)
        self.base_url = base_url
        self.until = until
        self.outcomes: Counter[str] = Counter()
        self.unexplained: list[str] = []
        self.seen: set[str] = {credentials[1]}
        self.skew = 0.0
        self.source = TokenSource(
            *credentials,
            base_url=base_url,
            on_token=self.keep,
            # Chaos refuses tokens all the time, so a cool-down would only make the run idle.
            policy=RefreshPolicy(cooldown=0.0, pause=0.5),
            clock=Clock(wall=lambda: time.time() + self.skew),
        )

    def keep(self, pair: TokenSet) -> None:
        self.seen |= {pair.access_token, pair.refresh_token or pair.access_token}

    def paths(self) -> Iterator[str]:
        while time.time() < self.until:
            if self.random.random() < 0.02:
                self.skew = self.random.choice([0.0, 3.0, -3.0, 600.0, -600.0, 86400.0, -86400.0])
            yield self.random.choice(["/charge-points", "/charges", "/auth/me", "/away"])

    def judge(self, path: str, call: Callable[[], Any]) -> None:
        started = time.monotonic()
        try:
            self.note(path, call().status_code, started)
        except Exception as error:
            self.fault(path, error, started)

    def note(self, path: str, status: int, started: float) -> None:
        self.on_time(path, started)
        expected = {200} | ({204} if path == "/away" else set())
        if status in expected:
            self.outcomes["success"] += 1
        elif status in (401, 429, 503):
            # The API's own responses are returned: a 401 after one renewal (the token was revoked
            # again), the quota, and faults.
            self.outcomes[f"documented: the API answers {status}"] += 1
        else:
            self.unexplained.append(f"{path}: status {status}")

    def fault(self, path: str, error: Exception, started: float) -> None:
        self.on_time(path, started)
        if any(secret in "".join(traceback.format_exception(error)) for secret in set(self.seen)):
            self.outcomes["leaks"] += 1
        if isinstance(error, MontaAuthError) and isinstance(error, NETWORK):
            self.outcomes[f"documented: {type(error).__mro__[1].__name__}"] += 1
        elif isinstance(error, HookError):
            self.outcomes["documented: what a hook raised"] += 1
        elif isinstance(error, NETWORK) and not isinstance(error, MontaAuthError):
            self.outcomes["documented: network"] += 1
        else:
            self.unexplained.append(f"{path}: {error!r}")

    def on_time(self, path: str, started: float) -> None:
        if time.monotonic() - started > LONGEST:
            self.unexplained.append(f"{path}: took {time.monotonic() - started:.1f} s")

    def hook(self, response: Any, **kwargs: Any) -> None:
        """Raise for some error responses, including those of token calls."""
        if response.status_code >= 400 and self.random.random() < 0.3:
            raise HookError

    async def ahook(self, response: Any) -> None:
        self.hook(response)

    def requests_thread(self) -> None:
        with requests.Session() as session:
            session.auth = requests_monta.MontaAuth(source=self.source)
            for path in self.paths():
                self.judge(path, partial(session.get, self.base_url + path, timeout=3.0))

    def hooked_thread(self) -> None:
        with requests.Session() as session:
            session.hooks["response"].append(self.hook)
            session.auth = requests_monta.MontaAuth(source=self.source, session=session)
            for path in self.paths():
                self.judge(path, partial(session.get, self.base_url + path, timeout=3.0))

    def httpx_thread(self) -> None:
        auth = httpx_monta.MontaAuth(source=self.source)
        options: Any = {"follow_redirects": True, "event_hooks": {"response": [self.hook]}}
        with httpx.Client(auth=auth, timeout=3.0, **options) as client:
            for path in self.paths():
                self.judge(path, partial(client.get, self.base_url + path))

    def loop_thread(self, library: Any, auth: Any) -> None:
        async def task(client: Any) -> None:
            for path in self.paths():
                started = time.monotonic()
                try:
                    call = client.get(self.base_url + path)
                    if self.random.random() < 0.05:
                        call = asyncio.wait_for(call, self.random.uniform(0.0, 0.05))
                    response = await call
                    self.note(path, response.status_code, started)
                except TimeoutError:
                    self.outcomes["cancelled on purpose"] += 1
                except Exception as error:
                    self.fault(path, error, started)

        async def main() -> None:
            options: Any = {"follow_redirects": True, "event_hooks": {"response": [self.ahook]}}
            async with library.AsyncClient(auth=auth, timeout=3.0, **options) as client:
                await asyncio.gather(*(task(client) for _ in range(8)))

        asyncio.run(main())

    def run(self) -> dict[str, Any]:
        log = io.StringIO()
        logging.basicConfig(stream=log, level=logging.DEBUG, force=True)
        targets = [
            self.requests_thread,
            self.hooked_thread,
            self.httpx_thread,
            lambda: self.loop_thread(httpx, httpx_monta.MontaAuth(source=self.source)),
            lambda: self.loop_thread(httpx2, httpx2_monta.MontaAuth(source=self.source)),
        ]
        threads = [threading.Thread(target=target, daemon=True) for target in targets]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, self.until - time.time()) + 2 * LONGEST)
        self.unexplained += ["a thread hangs" for thread in threads if thread.is_alive()]
        text = log.getvalue()
        self.outcomes["leaks"] += sum(secret in text for secret in self.seen)
        return {"outcomes": self.outcomes, "unexplained": self.unexplained[:20]}


def work(seed: int, base_url: str, credentials: tuple[str, str], until: float) -> dict[str, Any]:
    return Worker(seed, base_url, credentials, until).run()


class Elsewhere(BaseHTTPRequestHandler):
    """Another origin, which the API redirects to. It must never receive a token."""

    leaks = 0

    def do_GET(self) -> None:
        if self.headers.get("Authorization"):
            Elsewhere.leaks += 1
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def chaos(monta: Emulator, chance: random.Random, until: float) -> Counter[str]:
    """Do one bad thing after another. Return how often each was done."""
    done: Counter[str] = Counter()
    while time.time() < until - ACCESS_LIFE:
        deed = chance.choice(DEEDS)
        done[deed] += 1
        if deed == "revoke":
            monta.revoke_access_tokens()
        elif deed == "dead refresh":
            monta.revoke_refresh_tokens()
        elif deed == "slow":
            monta.latency = chance.uniform(0.0, 0.3)
        elif deed == "503":
            monta.inject(Fault(status=503), times=chance.randint(1, 3))
        elif deed == "429":
            monta.inject(Fault(status=429, headers={"Retry-After": "1"}), times=1)
        elif deed == "reset":
            monta.inject(Fault(close=True))
        elif deed == "lost":
            monta.inject(Fault(close=True, after=True))
        elif deed == "cut":
            monta.inject(Fault(truncate=True))
        elif deed == "cut charges":
            monta.inject(Fault(truncate=True), path="/charges")
        time.sleep(chance.uniform(0.2, 1.5))
        monta.latency = 0.0
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"soak: seed {seed}, {options.seconds:g} s, {options.processes} processes", flush=True)

    elsewhere = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=elsewhere.serve_forever, daemon=True).start()

    def away(request: Request) -> Response:
        return RedirectResponse(f"http://127.0.0.1:{elsewhere.server_port}/", 302)

    until = time.time() + options.seconds
    with Emulator(access_lifetime=ACCESS_LIFE, routes=[Route("/away", away)]) as monta:
        credentials = (monta.client_id, monta.client_secret)
        with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
            results = [
                pool.apply_async(work, (seed + n, monta.base_url, credentials, until))
                for n in range(options.processes)
            ]
            deeds = chaos(monta, random.Random(seed), until)
            reports = [result.get(timeout=options.seconds + 4 * LONGEST) for result in results]
        mints, refreshes = monta.count("/auth/token"), monta.count("/auth/refresh")
    elsewhere.shutdown()

    outcomes: Counter[str] = Counter()
    for report in reports:
        outcomes.update(report["outcomes"])
    unexplained = [line for report in reports for line in report["unexplained"]]
    leaks = outcomes.pop("leaks", 0) + Elsewhere.leaks
    # Each process needs a new token at its start, and when one expires or all are revoked.
    least = options.processes * int(1 + deeds["revoke"] + options.seconds / ACCESS_LIFE)
    rows = [("requests", sum(outcomes.values())), *sorted(outcomes.items(), reverse=True)]
    rows += [("unexplained failures (must be 0)", len(unexplained))]
    rows += [("token calls: /auth/token", mints), ("token calls: /auth/refresh", refreshes)]
    rows += [("token calls: about the least possible", least)]
    rows += [("tokens or secrets leaked (must be 0)", leaks)]
    rows += [(f"chaos: {deed}", times) for deed, times in sorted(deeds.items())]
    for name, number in rows:
        print(f"{name:<50}{number:>10}")
    for line in unexplained:
        print("UNEXPLAINED", line)
    return 1 if unexplained or leaks or not outcomes["success"] else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
