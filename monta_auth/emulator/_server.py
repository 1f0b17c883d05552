"""Serve an ASGI application on a loopback socket, in a thread.

This uses uvicorn's HTTP protocol without uvicorn.Server, which polls ten times a second, waits for
open connections when it stops, and logs to the user's root logger.
"""

import asyncio
import contextlib
import ipaddress
import re
import socket
import threading
from functools import partial
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from ._app import HANG_UP

_ELSEWHERE = PlainTextResponse("Host must be a loopback name", status_code=421)


def is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    return False


def require_loopback(host: str) -> None:
    if not is_loopback(host):
        raise ValueError(f"the emulator listens on loopback addresses only, not on {host!r}")


def for_loopback_names(app: ASGIApp) -> ASGIApp:
    """Return an application that refuses requests with a ``Host`` other than this machine.

    Otherwise a web page could make its host name resolve to this address (DNS rebinding).
    """

    async def ask(scope: Scope, receive: Receive, send: Send) -> None:
        host = dict(scope["headers"]).get(b"host", b"localhost").decode("latin-1").lower()
        is_here = is_loopback(re.sub(r":[0-9]*$", "", host).strip("[]"))
        await (app if is_here else _ELSEWHERE)(scope, receive, send)

    return ask


class _Protocol(H11Protocol):
    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        # Config(access_log=False) would change a logger of the whole process.
        self.access_log = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio does this only for sockets that name their protocol, and accepted ones do not.
        # Without it, each reply on a kept connection waits 40 ms for the client's acknowledgement.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app_state = {**self.app_state, HANG_UP: transport.close}


class Server:
    """Serves from construction until `stop`. Raises an OSError if the port cannot be used."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        require_loopback(host)
        self._app = app
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family)
        self.port: int = self._socket.getsockname()[1]
        # A long keep-alive, so that no connection closes just as a client sends.
        given: dict[str, Any] = {"ws": "none", "lifespan": "off", "interface": "asgi3"}
        given |= {"log_config": None, "proxy_headers": False, "timeout_keep_alive": 600}
        self._config = Config(self._serve, http=_Protocol, **given)
        self._config.load()
        # If the user logs everything, uvicorn wraps the application in a logger that shows headers,
        # including access tokens. Undo that.
        self._config.loaded_app = self._serve
        self._ready = threading.Event()
        self._thread = threading.Thread(
            target=asyncio.run, args=(self._main(),), name="monta-emulator", daemon=True
        )
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        # A synchronous route of the user may still block. Then the daemon thread is left behind.
        self._thread.join(timeout=5.0)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        state = ServerState()
        given: dict[str, Any] = {"config": self._config, "server_state": state, "app_state": {}}
        protocol = partial(_Protocol, **given, _loop=self._loop)
        server = await self._loop.create_server(protocol, sock=self._socket)
        self._ready.set()
        await self._done.wait()
        # Stop accepting before closing: a closed server would drop a connection that was just
        # accepted, without closing it. After at most three turns of the loop, uvicorn knows it.
        with contextlib.suppress(NotImplementedError):  # Windows
            self._loop.remove_reader(self._socket)
        for _ in range(3):
            await asyncio.sleep(0)
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        # After one turn of the loop, pending calls know that they are disconnected. Then uvicorn
        # does not log them.
        await asyncio.sleep(0)
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Only `stop` cancels calls. Uvicorn would log that as an error of the application.
        with contextlib.suppress(asyncio.CancelledError):
            await self._app(scope, receive, send)
