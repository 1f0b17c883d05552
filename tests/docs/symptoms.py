"""Really causes what the page "Errors at 3 a.m." quotes, with one function for each quotation.

Each returns the text as a log or a traceback shows it: type and text of an error, or level and text
of a log record. `plain` replaces what differs in each run.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests

import aiohttp_monta
import httpx_monta
import requests_monta
from monta_auth import Clock, RefreshPolicy, TokenSet, TokenSource
from monta_auth._core.effects import Wait
from monta_auth.emulator import Emulator, Fault
from monta_auth.stores import FileStore, MemoryStore, RedisStore
from requests_monta import MontaAuth

from ..faults import server

Symptom = Callable[[Emulator, pytest.LogCaptureFixture, Path], str]


def plain(text: str, monta: Emulator, folder: Path) -> str:
    """Return the text with the page's names instead of those of this run."""
    text = text.replace(monta.base_url, "https://public-api.monta.com/api/v1")
    text = text.replace(f"http://127.0.0.1:{monta.port}", "https://public-api.monta.com")
    text = text.replace(f"127.0.0.1:{monta.port}", "public-api.monta.com")
    text = text.replace(f"http://localhost:{monta.port}", "https://files.example:443")
    text = text.replace(str(folder), "/var/lib/app")
    text = re.sub(rf"{re.escape(__file__)}:\d+", "/srv/app/main.py:12", text)
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "5f0c...", text)
    text = re.sub(r"duration=[\d.]+", "duration=0.12", text)
    text = re.sub(r"localhost:\d{5}/0", "localhost:6379/0", text)
    return re.sub(r"token=[0-9a-f]{8}", "token=8a1e3e85", text)


def _error(call: Callable[[], object]) -> str:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the text is compared with the page
        call()
    return f"{type(caught.value).__name__}: {caught.value}"


def _auth(monta: Emulator, **settings: Any) -> MontaAuth:
    settings = {"base_url": monta.base_url, **settings}
    return MontaAuth(monta.client_id, settings.pop("secret", monta.client_secret), **settings)


def _logged(log: pytest.LogCaptureFixture, level: int, *, of: int = 1) -> str:
    found = [r for r in log.records if r.name == "monta_auth" and r.levelno == level]
    assert len(found) == of, [r.getMessage() for r in found]
    return f"{found[-1].levelname} monta_auth: {found[-1].getMessage()}"


# --- settings


def no_credentials(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    return _error(MontaAuth)


def no_secret(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    return _error(lambda: MontaAuth("client-id"))


def invisible_character(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    return _error(lambda: MontaAuth("client-id", "client-secret\n"))


def plain_http(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    return _error(lambda: _auth(monta, base_url="http://public-api.monta.com/api/v1"))


def auth_of_aiohttp(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    return _with_aiohttp(monta, lambda auth: {"auth": auth})


def middlewares_of_aiohttp(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    return _with_aiohttp(monta, lambda auth: {"middlewares": auth})


def _with_aiohttp(monta: Emulator, given: Callable[[Any], dict[str, Any]]) -> str:
    auth = aiohttp_monta.MontaAuth("client-id", "client-secret", base_url=monta.base_url)

    async def main() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of auth= in general
            async with aiohttp.ClientSession(**given(auth)) as session:
                await session.get(monta.base_url)

    return _error(lambda: asyncio.run(main()))


def proxy_of_the_environment(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HTTP_PROXY", "http://proxy.example:3128")
        auth = _auth(monta, base_url="http://localhost:8000/api/v1")
        return _error(lambda: requests.get("http://localhost:8000/x", auth=auth, timeout=5))


def asynchronous_secret(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    async def secret() -> str:
        return monta.client_secret

    secret.__qualname__ = "secret"
    return _error(_auth(monta, secret=secret).token)


# --- what the auth endpoints say


def wrong_credentials(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    return _error(_auth(monta, secret="wrong").token)


def rate_limit(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    monta.quota = 0
    return _error(_auth(monta).token)


def endpoint_down(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    monta.inject(Fault(status=503, body=""))
    return _error(_auth(monta, policy=RefreshPolicy(attempts=1)).token)


def no_api_path(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    monta.inject(Fault(status=404, body=""))
    return _error(_auth(monta).token)


def web_page(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    monta.inject(Fault(status=200, body="<html>", headers={"Content-Type": "text/html"}))
    return _error(_auth(monta).token)


def redirected(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    monta.inject(Fault(status=307, body="", headers={"Location": "https://login.example/"}))
    return _error(_auth(monta).token)


def refused_call(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    texts: list[str] = []
    for status in (400, 403):
        monta.inject(Fault(status=status, body=""))
        texts.append(_error(_auth(monta, on_token=lambda pair: None).token))
    assert plain(texts[0], monta, folder).replace("400", "403") == plain(texts[1], monta, folder)
    return texts[1]


def nothing_left(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    pair = TokenSet("a", None, datetime.now(UTC) - timedelta(hours=1))
    return _error(MontaAuth(base_url=monta.base_url, token=pair).token)


def refused_pair(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    pair = TokenSet("a", "a-spent-one", datetime.now(UTC) - timedelta(hours=1))
    return _error(MontaAuth(base_url=monta.base_url, token=pair).token)


def secret_callable(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    def secret() -> str:
        raise PermissionError(13, "the vault says no, and why")

    return _error(_auth(monta, secret=secret).token)


# --- the network


def refused_connection(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    monta.stop()
    with httpx.Client() as client:
        auth = httpx_monta.MontaAuth(monta.client_id, monta.client_secret, base_url=monta.base_url)
        return _error(lambda: client.get(f"{monta.base_url}/charge-points", auth=auth))


API = "https://public-api.monta.com/api/v1"


def unknown_host(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    def unknown(*args: Any, **settings: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.MonkeyPatch.context() as patch, httpx.Client() as client:
        patch.setattr(socket, "getaddrinfo", unknown)
        auth = httpx_monta.MontaAuth("client-id", "client-secret", base_url=API)
        return _error(lambda: client.get(f"{API}/charges", auth=auth))


def no_response(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    def token_call(adapter: Any) -> str:
        once = RefreshPolicy(attempts=1)
        # With on_token, each has a source of its own, which remembers no failure of another.
        settings = {"base_url": monta.base_url, "on_token": lambda pair: None, "policy": once}
        auth = adapter.MontaAuth("client-id", "client-secret", **settings)
        monta.inject(Fault(close=True))
        return _error(
            lambda: asyncio.run(auth.token()) if adapter is aiohttp_monta else auth.token()
        )

    assert "failed: Remote end closed connection without response" in token_call(requests_monta)
    assert "failed: Server disconnected" in token_call(aiohttp_monta)
    return token_call(httpx_monta)


def refused_proxy(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    return _by_proxy(_closed_port())


def proxy_login(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    def refuse(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

    with server(refuse) as port:
        return _by_proxy(port)


def _by_proxy(port: int) -> str:
    with pytest.MonkeyPatch.context() as patch, requests.Session() as session:
        patch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        return _error(_with_session(session).token)


def _with_session(session: requests.Session) -> MontaAuth:
    policy = RefreshPolicy(attempts=1)
    return MontaAuth("client-id", "client-secret", base_url=API, session=session, policy=policy)


NO_FILE = "/etc/ssl/certs/company.pem"


def no_ca_file(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    with pytest.MonkeyPatch.context() as patch, requests.Session() as session:
        patch.setenv("REQUESTS_CA_BUNDLE", NO_FILE)
        return _error(_with_session(session).token)


def no_ca_file_of_httpx(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", NO_FILE)
        text = _error(httpx2.Client)
        if httpx.__version__ >= "0.28":  # Older releases ignore a missing file.
            assert _error(httpx.Client) == text
        return text


def remembered_failure(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    monta.stop()
    source = TokenSource(monta.client_id, monta.client_secret, base_url=monta.base_url)
    with httpx.Client(auth=httpx_monta.MontaAuth(source=source)) as client:
        first, again = (_error(lambda: client.get(monta.base_url)) for _ in range(2))
    assert again.startswith(first)
    again = re.sub(r"since 20[\d:T-]+Z", "since 2025-08-06T08:20:37Z", again)
    return re.sub(
        r"before 20[\d:T-]+Z, in [\d.]+ s", "before 2025-08-06T08:20:38Z, in 0.5 s", again
    )


def slow_endpoint(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    monta.latency = 5.0
    auth = httpx_monta.MontaAuth(monta.client_id, monta.client_secret, base_url=monta.base_url)
    with httpx.Client(timeout=0.05) as client:
        return _error(lambda: client.get(f"{monta.base_url}/charge-points", auth=auth))


def no_token_in_time(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    """The leader and the caller that takes over both stop running. The third one has no time."""
    moment, running = [0.0], [0.0]  # the clock stands still until the third one comes
    source = TokenSource(
        monta.client_id,
        monta.client_secret,
        base_url=monta.base_url,
        policy=RefreshPolicy(deadline=0.05),
        clock=Clock(monotonic=lambda: moment[0] + running[0] * time.monotonic()),
    )
    leader, successor = (source._source.acquire(blocking=False) for _ in range(2))
    copy_context().run(next, leader)
    assert isinstance(copy_context().run(next, successor), Wait)
    moment[0] = 0.03  # more than half of the deadline has passed
    assert not isinstance(copy_context().run(next, successor), Wait)
    moment[0], running[0] = 0.03 - time.monotonic(), 1.0

    async def main() -> str:
        auth = httpx_monta.MontaAuth(source=source)
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.TimeoutException) as caught:
                await client.get(f"{monta.base_url}/charge-points", auth=auth)
            return f"{type(caught.value).__name__}: {caught.value}"

    text = asyncio.run(main())
    leader.close()
    successor.close()
    assert monta.calls == ()
    return text.replace("0.05 s", f"{RefreshPolicy().deadline:g} s")


# --- log records


def outage_begins_unseen(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    now = datetime.now(UTC)
    pair = (
        _auth(monta)
        .token()
        .__replace__(
            access_expires_at=now + timedelta(seconds=5), issued_at=now - timedelta(hours=1)
        )
    )
    monta.inject(Fault(status=503, body=""))
    auth = _auth(monta, token=pair, policy=RefreshPolicy(attempts=1))
    assert auth.token() == pair
    return _logged(log, logging.WARNING)


def outage_begins(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    monta.inject(Fault(status=503, body=""))
    auth = _auth(monta, policy=RefreshPolicy(attempts=1))
    with pytest.raises(requests_monta.TokenEndpointError):
        auth.token()
    return _logged(log, logging.INFO)


def outage_ends(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    auth = _auth(monta, policy=RefreshPolicy(attempts=1, pause=0))
    auth.token()
    auth.source.invalidate()
    monta.inject(Fault(status=503, body=""))
    with pytest.raises(requests_monta.TokenEndpointError):
        auth.token()
    # A failure is remembered for a moment. This ends that moment, so that no test has to wait.
    auth._source._state.failures.until = float("-inf")
    auth.token()
    return _logged(log, logging.INFO, of=2)


def always_401(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    monta.inject(Fault(status=401), times=9, path="/charges")
    with requests.Session() as session:
        session.auth = _auth(monta)
        for _ in range(3):
            assert session.get(f"{monta.base_url}/charges").status_code == 401
    assert monta.count("/auth/token") + monta.count("/auth/refresh") == 3
    return _logged(log, logging.WARNING)


def foreign_origin(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    requests.get(f"http://localhost:{monta.port}/api/v1/charges", auth=_auth(monta), timeout=5)
    base = "https://public-api.monta.com:443"
    return _logged(log, logging.WARNING).replace(f"http://127.0.0.1:{monta.port}", base)


def base_url_of_the_environment(
    monta: Emulator, log: pytest.LogCaptureFixture, folder: Path
) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MONTA_BASE_URL", "https://monta.internal.example/api/v1")
        MontaAuth(monta.client_id, monta.client_secret)
    return _logged(log, logging.WARNING)


def broken_callback(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    def save(pair: TokenSet) -> None:
        raise OSError(28, os.strerror(28))

    _auth(monta, on_token=save).token()
    return _logged(log, logging.WARNING)


# --- stores


def _closed_port() -> int:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def no_home(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    return _error(lambda: FileStore("~no-such-user/monta"))


def empty_path(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    return _error(lambda: FileStore(""))


def _away() -> RedisStore:
    """A store with a server that is not running."""
    return RedisStore(f"redis://localhost:{_closed_port()}/0")


def not_forgotten(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    return _error(_auth(monta, store=_away()).forget)


def asynchronous_store(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    class Asynchronous(MemoryStore):
        async def load(self, name: str) -> bytes | None:  # type: ignore[override]
            raise AssertionError

    return _error(_auth(monta, store=Asynchronous()).forget)


def store_down(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    _auth(monta, store=_away()).token()
    return _logged(log, logging.WARNING)


def store_up(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    store = FileStore(folder / "monta")
    auth = _auth(monta, store=store)
    (folder / "monta").touch()
    auth.token()
    (folder / "monta").unlink()
    auth.invalidate()
    auth.token()
    return _logged(log, logging.INFO)


def open_directory(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    directory = folder / "monta"
    directory.mkdir()
    directory.chmod(0o777)
    _auth(monta, store=FileStore(directory)).token()
    return _logged(log, logging.WARNING)


def lease_that_stays(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    class Locked(MemoryStore):
        def try_lock(self, name: str, seconds: float) -> None:
            return None

    _auth(monta, store=Locked(), policy=RefreshPolicy(deadline=1.0)).token()
    return _logged(log, logging.WARNING)


def custom_store(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    code = "class Broken(MemoryStore):\n def save(self, *_):\n  raise ValueError('text')"
    names: dict[str, Any] = {"MemoryStore": MemoryStore}
    code = "\n" * 15 + code
    exec(compile(code, "/srv/app/stores.py", "exec"), names)  # noqa: S102 - a file of the user's
    _auth(monta, store=names["Broken"]()).token()
    return _logged(log, logging.WARNING)


def damaged_record(monta: Emulator, log: pytest.LogCaptureFixture, folder: Path) -> str:
    store = FileStore(folder / "monta")
    _auth(monta, store=store).token()
    (record,) = (folder / "monta").glob("*.record")
    record.write_bytes(record.read_bytes()[:-4])  # the last byte alone may be padding
    _auth(monta, store=store).token()
    text = _logged(log, logging.WARNING)
    return text.replace(record.stem, "0123456789abcdef0123456789abcdef")


#: In the order of the page.
SYMPTOMS: list[Symptom] = [
    wrong_credentials,
    no_credentials,
    no_secret,
    invisible_character,
    plain_http,
    auth_of_aiohttp,
    middlewares_of_aiohttp,
    proxy_of_the_environment,
    asynchronous_secret,
    secret_callable,
    nothing_left,
    refused_pair,
    rate_limit,
    endpoint_down,
    no_api_path,
    web_page,
    redirected,
    refused_call,
    refused_connection,
    slow_endpoint,
    unknown_host,
    no_response,
    refused_proxy,
    proxy_login,
    no_ca_file,
    no_ca_file_of_httpx,
    remembered_failure,
    no_token_in_time,
    no_home,
    empty_path,
    not_forgotten,
    asynchronous_store,
    store_down,
    store_up,
    open_directory,
    lease_that_stays,
    custom_store,
    damaged_record,
    outage_begins_unseen,
    outage_begins,
    outage_ends,
    always_401,
    foreign_origin,
    base_url_of_the_environment,
    broken_callback,
]
