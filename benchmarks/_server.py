"""The server that all contestants call, in a separate process, so that it shares no lock with them.

It has the tokens of the emulator and two dialects: Monta's, and at ``/oauth2/token`` the peers',
with a form body and ``expires_in``. There it issues no refresh token and accepts a reusable one,
which is easiest for the peers. A framework would cost more than what is measured.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import parse_qsl

CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN = "benchmark", "benchmark-secret", "never-wears-out"
BASE, TOKEN_PATH, API_PATH = "/api/v1", "/oauth2/token", "/api/v1/charge-points"
PAGE = json.dumps({"data": [], "meta": {"itemCount": 0, "currentPage": 1}}).encode()


@dataclass
class Settings:
    """The settings of the emulator's state, and those that `World.set` may change."""

    client_id: str = CLIENT_ID
    client_secret: str = CLIENT_SECRET
    credentials: dict[str, str] = field(default_factory=dict[str, str])
    partner: bool = False
    access_lifetime: float = 3600.0
    refresh_lifetime: float | None = None
    reissue: bool = False
    single_use_refresh: bool = True
    rotation_revokes: bool = False
    send_retry_after: bool = False
    quota: int | None = None
    quota_window: float = 60.0
    #: Seconds before replies of an auth endpoint, and of the API.
    token_latency: float = 0.0
    api_latency: float = 0.0
    #: Seconds that this clock is ahead of the machine's.
    offset: float = 0.0


class Desk:
    """Answers calls and counts them."""

    def __init__(self) -> None:
        from monta_auth.emulator._state import State

        self.settings = Settings()
        self.state = State(cast("Any", self.settings))
        self.token_calls = self.api_calls = self.connections = self.busy = 0

    def answer(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes, float]:
        """Return status, body and latency."""
        now = time.time() + self.settings.offset
        if path == "/control":
            return 200, self.control(json.loads(body)), 0.0
        if path == TOKEN_PATH or path.startswith(BASE + "/auth/"):
            self.token_calls += 1
            if path == TOKEN_PATH:
                status, reply = self.oauth2(headers, body, now)
            else:
                answer, _ = self.state.authenticate(method, path.removeprefix(BASE), body, now)
                status, reply = answer.status, answer.body
            return status, reply, self.settings.token_latency
        self.api_calls += 1
        refusal, _ = self.state.admit(headers.get("authorization"), now)
        if refusal is not None:
            return refusal.status, refusal.body, self.settings.api_latency
        return 200, PAGE, self.settings.api_latency

    def oauth2(self, headers: dict[str, str], body: bytes, now: float) -> tuple[int, bytes]:
        form = dict(parse_qsl(body.decode()))
        scheme, _, basic = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            name, _, secret = base64.b64decode(basic).decode().partition(":")
        else:
            name, secret = form.get("client_id", ""), form.get("client_secret", "")
        is_refresh = form.get("grant_type") == "refresh_token"
        if is_refresh and form.get("refresh_token") != REFRESH_TOKEN:
            return 400, b'{"error": "invalid_grant"}'
        mint = json.dumps({"clientId": name, "clientSecret": secret}).encode()
        answer, _ = self.state.authenticate("POST", "/auth/token", mint, now)
        if answer.status != 200:
            return 401, b'{"error": "invalid_client"}'
        token = json.loads(answer.body)["accessToken"]
        life = int(self.settings.access_lifetime)
        reply = {"access_token": token, "token_type": "Bearer", "expires_in": life}
        return 200, json.dumps(reply).encode()

    def control(self, orders: dict[str, float]) -> bytes:
        self.connections -= 1  # the connection of these orders is not a contestant's
        if orders.pop("revoke", False):
            self.state.revoke_access_tokens()
        if orders.pop("clear", False):
            self.token_calls = self.api_calls = self.connections = 0
        for name, value in orders.items():
            setattr(self.settings, name, value)
        counts = {
            "token": self.token_calls,
            "api": self.api_calls,
            "connections": self.connections,
            "busy": self.busy,
        }
        return json.dumps(counts).encode()


class Connection(asyncio.Protocol):
    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.desk.connections += 1

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, blank, rest = self.data.partition(b"\r\n\r\n")
        if not blank:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        body, self.data = rest[:length], rest[length:]
        method, path, _ = first.split(" ")
        status, reply, latency = self.desk.answer(method, path.partition("?")[0], headers, body)
        is_token = path == TOKEN_PATH or "/auth/" in path
        self.desk.busy += is_token

        def send() -> None:
            self.desk.busy -= is_token
            date = formatdate(time.time() + self.desk.settings.offset, usegmt=True)
            start = (
                f"HTTP/1.1 {status} -\r\ndate: {date}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(reply)}\r\n\r\n"
            )
            self.transport.write(start.encode() + reply)

        if latency:
            asyncio.get_running_loop().call_later(latency, send)
        else:
            send()


async def serve() -> None:
    desk = Desk()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(desk), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    # The server ends with the process that started it.
    with contextlib.suppress(asyncio.CancelledError):
        await loop.run_in_executor(None, sys.stdin.read)
    server.close()


@dataclass(frozen=True)
class World:
    """The addresses of a running server, and its controls."""

    port: int

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}{BASE}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{API_PATH}"

    @property
    def token_url(self) -> str:
        return f"http://127.0.0.1:{self.port}{TOKEN_PATH}"

    def set(self, **orders: float) -> dict[str, int]:
        """Change settings, revoke tokens or clear counts; return the counts after that."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", "/control", json.dumps(orders))
            counts: dict[str, int] = json.loads(connection.getresponse().read())
            return counts
        finally:
            connection.close()


class Server:
    """The server process, as a context manager."""

    def __init__(self) -> None:
        self._process = start_child("benchmarks._server", stdin=subprocess.PIPE)
        assert self._process.stdout is not None
        self.world = World(int(self._process.stdout.readline()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.communicate(timeout=30)


def child_environment() -> dict[str, str]:
    """Return an environment in which a child imports from the same folders as this process."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def start_child(module: str, *arguments: str, stdin: int | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", module, *arguments]
    return subprocess.Popen(  # noqa: S603
        command, stdin=stdin, stdout=subprocess.PIPE, text=True, env=child_environment()
    )


def in_child(module: str, *arguments: str) -> Any:
    """Run one of our modules; return the JSON that it prints."""
    process = start_child(module, *arguments)
    out, _ = process.communicate(timeout=120)
    if process.returncode:
        raise RuntimeError(f"{module} {' '.join(arguments)} failed")
    return json.loads(out)


if __name__ == "__main__":
    asyncio.run(serve())
