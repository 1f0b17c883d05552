"""Tools that show the locals of frames in a log or a report: none shows a secret."""

from __future__ import annotations

import asyncio
import importlib
import io
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests

import aiohttp_monta
import httpx2_monta
import httpx_monta
import requests_monta

from .table import Combination

loguru: Any = pytest.importorskip("loguru", reason="loguru is not installed")
rich: Any = pytest.importorskip("rich", reason="rich is not installed")
sentry_sdk: Any = pytest.importorskip("sentry_sdk", reason="sentry-sdk is not installed")

COMBINATION = Combination(
    name="loguru, rich, pytest -l",
    with_="all",
    know="The locals of the frames that they show hold no secret.",
    distribution="loguru",
)

MARK = "a-local-that-is-shown"


def secret() -> str:
    """The secret, which is in the environment but in no frame of these tests."""
    return "-".join(["the", "client", "secret"])


@pytest.fixture(autouse=True)
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment of an auth endpoint that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("MONTA_CLIENT_ID", "client-1")
        monkeypatch.setenv("MONTA_CLIENT_SECRET", secret())
        base_url = f"http://127.0.0.1:{server.getsockname()[1]}/api/v1"
        monkeypatch.setenv("MONTA_BASE_URL", base_url)
        yield


def struck(call: Callable[[], object]) -> BaseException:
    """Return the SystemExit that interrupted a call, like the worker limit of a server."""

    def strike(*args: object) -> None:
        raise SystemExit(1)

    mark = MARK
    before = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        assert call() != mark
    except SystemExit as error:
        return error
    finally:
        signal.signal(signal.SIGALRM, before)
    raise AssertionError(mark)


def timed_out(call: Callable[[], Awaitable[object]]) -> BaseException:
    async def main() -> None:
        mark = MARK
        async with asyncio.timeout(0.1):
            assert await call() != mark

    with pytest.raises(TimeoutError) as caught:
        asyncio.run(main())
    return caught.value


def refused(call: Callable[[], object]) -> BaseException:
    mark = MARK
    try:
        assert call() != mark
    except ValueError as error:
        return error
    raise AssertionError(mark)


def url() -> str:
    return requests_monta.MontaAuth().source.base_url + "/charge-points"


async def with_httpx(library: Any, auth: Any) -> None:
    async with library.AsyncClient(auth=auth) as client:
        await client.get(url())


async def with_aiohttp() -> None:
    auth = aiohttp_monta.MontaAuth()
    async with aiohttp.ClientSession(middlewares=(auth,)) as session, session.get(url()):
        pass


FAILURES: dict[str, Callable[[], BaseException]] = {
    "requests": lambda: struck(lambda: requests.get(url(), auth=requests_monta.MontaAuth())),
    "httpx": lambda: struck(lambda: httpx.get(url(), auth=httpx_monta.MontaAuth())),
    "httpx2": lambda: struck(lambda: httpx2.get(url(), auth=httpx2_monta.MontaAuth())),
    "httpx async": lambda: timed_out(lambda: with_httpx(httpx, httpx_monta.MontaAuth())),
    "httpx2 async": lambda: timed_out(lambda: with_httpx(httpx2, httpx2_monta.MontaAuth())),
    "aiohttp": lambda: timed_out(with_aiohttp),
    "constructor": lambda: refused(lambda: requests_monta.MontaAuth(policy=3)),  # type: ignore[arg-type]
}


def by_loguru(error: BaseException) -> str:
    out = io.StringIO()
    loguru.logger.remove()
    loguru.logger.add(out, diagnose=True, backtrace=True)
    loguru.logger.opt(exception=error).error("it failed")
    loguru.logger.remove()
    return out.getvalue()


def by_rich(error: BaseException) -> str:
    out = io.StringIO()
    module: Any = importlib.import_module("rich.traceback")
    console: Any = importlib.import_module("rich.console").Console(file=out, width=500)
    shown = module.Traceback.from_exception(
        type(error), error, error.__traceback__, show_locals=True, locals_max_string=500
    )
    console.print(shown)
    return out.getvalue()


def by_sentry(error: BaseException) -> str:
    events: list[str] = []

    class Reports(sentry_sdk.transport.Transport):  # type: ignore[misc]
        def capture_envelope(self, envelope: Any) -> None:
            events.append(envelope.serialize().decode())

    with sentry_sdk.isolation_scope():
        sentry_sdk.init(
            dsn="http://key@127.0.0.1:1/1", transport=Reports, auto_enabling_integrations=False
        )
        sentry_sdk.capture_exception(error)
        sentry_sdk.init()
    return "".join(events)


@pytest.mark.parametrize("tool", [by_loguru, by_rich, by_sentry])
@pytest.mark.parametrize("failure", FAILURES)
def test_no_tool_shows_a_secret_in_the_frames_of_a_failure(
    failure: str, tool: Callable[[BaseException], str]
) -> None:
    text = tool(FAILURES[failure]())
    assert MARK in text
    assert secret() not in text


def test_pytest_shows_no_secret_in_locals(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import requests_monta\n"
        "def test_it():\n"
        f"    mark = {MARK!r}\n"
        "    secret = '-'.join\n"
        "    requests_monta.MontaAuth('id', secret(['the', 'client', 'secret']), policy=3)\n"
    )
    command = [sys.executable, "-m", "pytest", "-l", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "client_secret = '[redacted]'" in done.stdout
    assert MARK in done.stdout
    assert secret() not in done.stdout


def test_inspecting_an_auth_object_shows_no_secret() -> None:
    out = io.StringIO()
    console: Any = importlib.import_module("rich.console").Console(file=out, width=500)
    for value in (requests_monta.MontaAuth(), requests_monta.MontaAuth().source):
        rich.inspect(value, console=console, all=True)
        rich.inspect(vars(value), console=console)
    assert "MontaAuth" in out.getvalue()
    assert secret() not in out.getvalue()
