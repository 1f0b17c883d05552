"""``python -m monta_auth demo``: watch real clients work against a local Monta.

Each step runs the line of code that it shows. It passes if the emulator counted the expected calls
and the caller got the expected results. No token is printed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from textwrap import wrap
from typing import TypedDict

import httpx
import httpx2
import requests

import httpx2_monta
import httpx_monta
import requests_monta

from .. import Clock, RateLimitError, RefreshPolicy, TokenSource, __version__
from ..emulator import Emulator, Fault

#: In the step that waits for an expiry: how long the token is valid, and how long before its expiry
#: the next request is made, in seconds. The default policy renews in the last fifth.
_SHORT_LIFE = 3.0
_BEFORE_END = 0.5
_WIDTH = 78
#: The signs for passed, failed, a gap between two calls, and "times".
_SIGNS = ("✓", "✗", " · ", "×")  # noqa: RUF001 - this sign is intended
_ASCII_SIGNS = ("ok", "XX", ", ", "x")

_STATUS_OK = "200"
_GET = "GET /charge-points 200"


class _Settings(TypedDict):
    base_url: str
    policy: RefreshPolicy | None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the demo.

    Args:
        title: what the step shows.
        line: the line of user code.
        run: runs that line; returns what the caller got, one word per request.
        sent: the expected calls, in the form of `summary`.
        got: the expected results, in the same form.
        before: prepares the step; its calls do not count.
    """

    title: str
    line: str
    run: Callable[[], list[str]]
    sent: list[str]
    got: list[str]
    before: Callable[[], object] | None = None


class Demo:
    """The steps, and the clients that they share.

    Args:
        monta: a running emulator.
        policy: the policy of every client. Default: the library's.
    """

    def __init__(self, monta: Emulator, policy: RefreshPolicy | None = None) -> None:
        self.monta = monta
        self.policy = policy
        self.url = monta.base_url + "/charge-points"
        self.session = requests.Session()
        self.session.auth = self.auth = self.requests_auth(monta.client_id)
        self.remark = ""
        # How far the clock of the client in the outage is ahead, in seconds.
        self._ahead = 0.0
        self._patient = requests.Session()

    def close(self) -> None:
        """Close the connections."""
        self.session.close()
        self._patient.close()

    def requests_auth(self, client_id: str) -> requests_monta.MontaAuth:
        """Return what a user gets with ``MontaAuth(client_id, client_secret)``."""
        return requests_monta.MontaAuth(
            client_id, self._secret(client_id), base_url=self.monta.base_url, policy=self.policy
        )

    def _secret(self, client_id: str) -> str:
        if client_id == self.monta.client_id:
            return self.monta.client_secret
        return self.monta.credentials.setdefault(client_id, f"secret of {client_id}")

    def steps(self) -> list[Step]:
        get = "session.get(url)"
        return [
            Step(
                "The first request fetches a token",
                "session.auth = MontaAuth(client_id, client_secret)",
                lambda: self._get(),
                ["POST /auth/token 200", _GET],
                [_STATUS_OK],
            ),
            Step(
                "The next 100 requests use it",
                get + "  # 100 times",
                lambda: self._get(100),
                [f"{_GET} x100"],
                [f"{_STATUS_OK} x100"],
            ),
            Step(
                f"The token is refreshed before it expires (valid for {_SHORT_LIFE:g} s)",
                f"{get}  # {_BEFORE_END:g} s before the token expires",
                self._near_expiry,
                ["POST /auth/refresh 200", _GET],
                [_STATUS_OK],
                before=self._short_life,
            ),
            Step(
                "Monta revokes the access token: it is refreshed, the request is retried once",
                get,
                lambda: self._get(),
                ["GET /charge-points 401", "POST /auth/refresh 200", _GET],
                [_STATUS_OK],
                before=self.monta.revoke_access_tokens,
            ),
            Step(
                "Monta revokes the refresh token, too: a new token is fetched",
                get,
                lambda: self._get(),
                ["GET /charge-points 401", "POST /auth/refresh 401", "POST /auth/token 200", _GET],
                [_STATUS_OK],
                before=self._revoke_both,
            ),
            Step(
                "Ten auth objects in ten inline calls share one token",
                "requests.get(url, auth=MontaAuth(client_id, client_secret))  # 10 times",
                self._inline,
                ["POST /auth/token 200", f"{_GET} x10"],
                [f"{_STATUS_OK} x10"],
            ),
            Step(
                "50 threads (requests) and 50 tasks (httpx, httpx2) share one renewal",
                "httpx.AsyncClient(auth=MontaAuth(client_id, client_secret))  # and so on",
                lambda: asyncio.run(self._crowd()),
                ["POST /auth/refresh 200", f"{_GET} x100"],
                [f"{_STATUS_OK} x100"],
                before=self.auth.invalidate,
            ),
            Step(
                "Token calls fail, the token is valid: no request fails (clock put forward)",
                get + "  # 20 times",
                lambda: self._get(20, self._patient),
                ["POST /auth/refresh closed", "POST /auth/token closed x3", f"{_GET} x20"],
                [f"{_STATUS_OK} x20"],
                before=self._outage,
            ),
            Step(
                "Token calls work again: the token is renewed (clock put forward)",
                get,
                self._after_outage,
                ["POST /auth/token 200", _GET],
                [_STATUS_OK],
            ),
            Step(
                "At the rate limit you get your request's 429; a token call's is an error",
                "except RateLimitError as error: ...  # wait error.retry_after seconds",
                self._rate_limit,
                [_GET, "GET /charge-points 429", "POST /auth/refresh 429"],
                [_STATUS_OK, "429", "RateLimitError"],
                before=self._small_quota,
            ),
        ]

    # --- the steps

    def _get(self, times: int = 1, session: requests.Session | None = None) -> list[str]:
        session = self.session if session is None else session
        return [str(session.get(self.url, timeout=10).status_code) for _ in range(times)]

    def _short_life(self) -> None:
        usual = self.monta.access_lifetime
        self.monta.access_lifetime = _SHORT_LIFE
        self.auth.invalidate()
        self._get()
        self.monta.access_lifetime = usual

    def _near_expiry(self) -> list[str]:
        expires = self.auth.token().access_expires_at
        time.sleep(max(0.0, expires.timestamp() - _BEFORE_END - time.time()))
        got = self._get()
        renewal = self.monta.calls[-2]
        return got if renewal.at < expires else [*got, "too late"]

    def _revoke_both(self) -> None:
        self.monta.revoke_access_tokens()
        self.monta.revoke_refresh_tokens()

    def _inline(self) -> list[str]:
        return [
            str(requests.get(self.url, auth=self.requests_auth("inline"), timeout=10).status_code)
            for _ in range(10)
        ]

    async def _crowd(self) -> list[str]:
        # The renewal is slow, so that all requests need a token before it ends.
        self.monta.inject(Fault(delay=0.3), path="/auth/refresh")
        monta, secret = self.monta, self.monta.client_secret
        settings: _Settings = {"base_url": monta.base_url, "policy": self.policy}
        first = httpx_monta.MontaAuth(monta.client_id, secret, **settings)
        second = httpx2_monta.MontaAuth(monta.client_id, secret, **settings)

        def in_a_thread() -> int:
            auth = self.requests_auth(monta.client_id)
            return requests.get(self.url, auth=auth, timeout=10).status_code

        async def in_a_task(client: httpx.AsyncClient | httpx2.AsyncClient) -> int:
            return (await client.get(self.url, timeout=10)).status_code

        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(50) as pool:
            threads = [loop.run_in_executor(pool, in_a_thread) for _ in range(50)]
            async with httpx.AsyncClient(auth=first) as one, httpx2.AsyncClient(auth=second) as two:
                tasks = [in_a_task(client) for client in (one, two) for _ in range(25)]
                return [str(status) for status in await asyncio.gather(*tasks, *threads)]

    def _outage(self) -> None:
        clock = Clock(monotonic=lambda: time.monotonic() + self._ahead)
        client_id = "patient"
        source = TokenSource(
            client_id,
            self._secret(client_id),
            base_url=self.monta.base_url,
            policy=self.policy,
            clock=clock,
        )
        self._patient.auth = requests_monta.MontaAuth(source=source)
        self._get(1, self._patient)
        self.monta.inject(Fault(close=True), times=100)
        # This is in the last five minutes of the hour, when the policy renews.
        self._ahead = 0.95 * self.monta.access_lifetime

    def _after_outage(self) -> list[str]:
        # This is after the pause that follows a failed renewal (10 s by default).
        self._ahead += 1.0 + (self.policy or RefreshPolicy()).pause
        return self._get(1, self._patient)

    def _small_quota(self) -> None:
        self.session.auth = self.auth = self.requests_auth("limited")
        self.monta.quota = 2
        self.auth.token()

    def _rate_limit(self) -> list[str]:
        got = self._get(2)
        self.auth.invalidate()
        try:
            got += self._get()
        except RateLimitError as error:
            wait = error.retry_after or 0.0
            in_time = 0.0 < wait <= self.monta.quota_window
            got.append("RateLimitError" if in_time else f"retry_after={wait:g}")
            self.remark = f"retry_after={wait:g}: {error}"
        return got


class Screen:
    """Prints the steps: in color at a terminal, in ASCII if stdout cannot encode more."""

    def __init__(self) -> None:
        self._is_plain = (
            not sys.stdout.isatty()
            or bool(os.environ.get("NO_COLOR"))
            or os.environ.get("TERM") == "dumb"
        )
        self._tick, self._cross, self._dot, self._times = _SIGNS
        try:
            "".join(_SIGNS).encode(sys.stdout.encoding or "ascii")
        except UnicodeEncodeError:
            self._tick, self._cross, self._dot, self._times = _ASCII_SIGNS

    def begin(self, number: int, step: Step) -> None:
        print(self._in("1", f"{number:2}. {step.title}"))
        print(f"    {step.line}", flush=True)

    def end(self, step: Step, sent: list[str], got: list[str], remark: str) -> bool:
        """Print the result of a step; return whether the step passed."""
        good = (sent, got) == (step.sent, step.got)
        mark, color = (self._tick, "32") if good else (self._cross, "31")
        self._list(f"{mark:>3} sent", sent, color)
        self._list("    got ", got)
        if not good:
            self.text(f"expected calls: {self._joined(step.sent)}")
            self.text(f"expected results: {self._joined(step.got)}")
        if remark:
            self.text(remark)
        print(flush=True)
        return good

    def text(self, text: str) -> None:
        indent = " " * 4
        lines = wrap(text, _WIDTH - 4, break_on_hyphens=False)
        print(indent + f"\n{indent}".join(lines))

    def last(self, text: str, good: bool) -> None:
        print(self._in("32" if good else "31", text))

    def _joined(self, items: list[str]) -> str:
        # Only our counts, such as "x100", have an x after a space.
        return self._dot.join(items).replace(" x", f" {self._times}") or "nothing"

    def _list(self, head: str, items: list[str], color: str = "") -> None:
        lines = [head]
        for number, item in enumerate(self._joined([item]) for item in items or [""]):
            if number:
                lines[-1] += self._dot.rstrip()
            if len(lines[-1]) + len(item) > _WIDTH - 3:
                lines.append(" " * 8)
            lines[-1] += " " + item
        mark = head[:3]
        print("\n".join(lines).replace(mark, self._in(color, mark), 1))

    def _in(self, color: str, text: str) -> str:
        return text if self._is_plain or not color else f"\x1b[{color}m{text}\x1b[0m"


def summary(words: Sequence[str]) -> list[str]:
    """Return the words, with equal neighbors counted: ``["a", "a"]`` gives ``["a x2"]``."""
    runs = [(word, len(list(run))) for word, run in groupby(words)]
    return [word if count == 1 else f"{word} x{count}" for word, count in runs]


def run(monta: Emulator, policy: RefreshPolicy | None = None) -> bool:
    """Run all steps against a running emulator; return whether all of them passed."""
    with closing(Demo(monta, policy)) as demo:
        return _show(demo, Screen())


def _show(demo: Demo, screen: Screen) -> bool:
    monta, bad = demo.monta, 0
    print(f"monta-auth {__version__}, against a local Monta at {monta.base_url}")
    print("Each step: the code, the calls sent, what the caller got. No secret is shown.\n")
    steps = demo.steps()
    for number, step in enumerate(steps, 1):
        screen.begin(number, step)
        demo.remark, begin = "", 0
        try:
            if step.before is not None:
                step.before()
                begin = len(monta.calls)
            got = step.run()
        except Exception as error:
            got = [type(error).__name__.lstrip("_")]
            demo.remark = str(error)
        sent = [f"{c.method} {c.path} {c.status or 'closed'}" for c in monta.calls[begin:]]
        bad += not screen.end(step, summary(sent), summary(got), demo.remark)
        monta.clear()
    if bad:
        screen.last(f"{bad} of {len(steps)} steps failed.", good=False)
    else:
        screen.last(f"All {len(steps)} steps passed.", good=True)
    return not bad


def main(monta: Emulator | None = None, policy: RefreshPolicy | None = None) -> int:
    """Run the demo; return the exit status: 0, or 1 if a step failed.

    Args:
        monta: the emulator to start. Default: a new one.
        policy: the policy of every client. Default: the library's.
    """
    with _undisturbed(), monta if monta is not None else Emulator() as running:
        good = run(running, policy)
    if good:
        print("Next: set session.auth = MontaAuth(...) in your code; README.rst shows how.")
        print("The same local Monta for your own tests: python -m monta_auth emulator")
    return 0 if good else 1


@contextmanager
def _undisturbed() -> Generator[None, None, None]:
    """Turn off proxies of the environment, and log lines between the steps."""
    logger, silent = logging.getLogger("monta_auth"), logging.NullHandler()
    before = {name: os.environ.get(name) for name in ("NO_PROXY", "no_proxy")}
    os.environ.update(dict.fromkeys(before, "*"))
    logger.addHandler(silent)
    try:
        yield
    finally:
        logger.removeHandler(silent)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
