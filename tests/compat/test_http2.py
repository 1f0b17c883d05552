"""HTTP/2 with TLS: token calls are streams of the same connection as the requests."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("h2", reason="h2 is not installed")
pytest.importorskip("hypercorn", reason="hypercorn is not installed")
pytest.importorskip("trustme", reason="trustme is not installed")

import trustme
from hypercorn.asyncio import serve
from hypercorn.config import Config

from monta_auth.emulator import Emulator

from .httpx_libraries import Library, avisit, visit
from .table import Combination
from .visits import VISIT, calls

COMBINATION = Combination(
    name="HTTP/2",
    with_="httpx, httpx2",
    know="Nothing: with ``http2=True`` the token calls are HTTP/2 too, on the same connection. "
    "Needs ``httpx[http2]``.",
    distribution="h2",
)


class Http2:
    """A Monta that only speaks HTTP/2."""

    def __init__(self, pem: Path) -> None:
        self.monta = Emulator()
        self.connections: set[tuple[str, int]] = set()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"https://127.0.0.1:{self._socket.getsockname()[1]}/api/v1"
        self._config = Config()
        self._config.bind = [f"fd://{self._socket.detach()}"]
        self._config.certfile = self._config.keyfile = str(pem)
        self._config.alpn_protocols = ["h2"]
        self._config.accesslog = self._config.errorlog = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._main(),))

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join()

    async def _main(self) -> None:
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()  # the socket is already listening
        await serve(self._app, self._config, shutdown_trigger=self._done.wait, mode="asgi")

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            assert scope["http_version"] == "2"
            self.connections.add(scope["client"])
            await self.monta.app(scope, receive, send)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server(ca: trustme.CA, tmp_path: Path) -> Iterator[Http2]:
    pem = tmp_path / "server.pem"
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
    server = Http2(pem)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def tls(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


def test_requests_and_token_calls_use_one_connection(
    library: Library, server: Http2, tls: ssl.SSLContext
) -> None:
    auth = library.auth(server.monta, server.base_url)
    with library.module.Client(
        http2=True, verify=tls, auth=auth, base_url=server.base_url
    ) as client:
        responses = visit(server.monta, client, auth)
    assert [response.http_version for response in responses] == ["HTTP/2"] * 3
    assert calls(server.monta) == VISIT
    assert len(server.connections) == 1


def test_requests_and_token_calls_of_an_async_client_use_one_connection(
    library: Library, server: Http2, tls: ssl.SSLContext
) -> None:
    auth = library.auth(server.monta, server.base_url)

    async def main() -> list[Any]:
        async with library.module.AsyncClient(
            http2=True, verify=tls, auth=auth, base_url=server.base_url
        ) as client:
            return await avisit(server.monta, client, auth)

    assert [response.http_version for response in asyncio.run(main())] == ["HTTP/2"] * 3
    assert calls(server.monta) == VISIT
    assert len(server.connections) == 1


def test_streams_with_a_refused_token_cost_one_renewal(
    library: Library, server: Http2, tls: ssl.SSLContext
) -> None:
    auth = library.auth(server.monta, server.base_url)

    async def main() -> list[int]:
        async with library.module.AsyncClient(
            http2=True, verify=tls, auth=auth, base_url=server.base_url
        ) as client:
            await client.get("/charges")
            server.monta.revoke_access_tokens()
            replies = await asyncio.gather(*(client.get("/charges") for _ in range(10)))
            return [reply.status_code for reply in replies]

    assert asyncio.run(main()) == [200] * 10
    assert server.monta.count("/auth/token") == 1
    assert server.monta.count("/auth/refresh") == 1
    assert len(server.connections) == 1
