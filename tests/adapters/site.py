"""The servers for the clients of these tests: a local Monta with extra pages, and foreign hosts.

They record each request with its body and the connection that it came on.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from starlette.types import Message, Receive, Scope, Send

from monta_auth import TokenSet, TokenSource
from monta_auth.emulator import Emulator, Fault
from monta_auth.emulator._server import Server

from ..clock import Now


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as the server received it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    connection: int
    query: str = ""

    @property
    def token(self) -> str | None:
        return self.headers.get("authorization")


Page = Callable[[Seen, Send], Awaitable[None]]
#: Serves one connection. Or: starts a server with such a function and returns its base URL.
Serve = Callable[[socket.socket, bytes], None]
Raw = Callable[[Serve], str]


class Host:
    """A server that records each request and answers 200, or with the page for that path."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.pages: dict[str, Page] = {}
        self._server: Server | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self._server = Server(self, "127.0.0.1", 0)
        self.port = self._server.port
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        # A client that connected and left at once is accepted before this one.
        line = http.client.HTTPConnection("127.0.0.1", self.port)
        line.request("GET", "/")
        line.getresponse().read()
        line.close()
        self._server.stop()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asked(self, path: str) -> list[Seen]:
        """Return the requests for that path so far."""
        return [seen for seen in self.seen if seen.path == path]

    @property
    def connections(self) -> set[int]:
        return {seen.connection for seen in self.seen}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        client = scope.get("client") or ("", 0)
        query = scope["query_string"].decode()
        seen = Seen(scope["method"], scope["path"], headers, body, client[1], query)
        self.seen.append(seen)
        page = self.pages.get(seen.path)
        if page is not None:
            await page(seen, send)
        else:
            await self.otherwise(seen, scope, receive, send)

    async def otherwise(self, seen: Seen, scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, b"foreign")


class Monta(Host):
    """The emulator with extra pages in front of it, on the clock `Now`."""

    def __init__(self, now: Now) -> None:
        super().__init__()
        self.now = now
        self.emulator = Emulator(time=now)

    def __enter__(self) -> Self:
        super().__enter__()
        self.emulator.port = self.port
        return self

    @property
    def base_url(self) -> str:
        return self.emulator.base_url

    @property
    def client_id(self) -> str:
        return self.emulator.client_id

    @property
    def client_secret(self) -> str:
        return self.emulator.client_secret

    def url(self, path: str) -> str:
        return self.base_url + path

    def source(self, **settings: Any) -> TokenSource:
        """Return a private source for the emulator's credentials, on the test's clock."""
        settings.setdefault("client_id", self.client_id)
        settings.setdefault("client_secret", self.client_secret)
        return TokenSource(base_url=self.base_url, clock=self.now.clock(), **settings)

    def count(self, path: str) -> int:
        return self.emulator.count(path)

    def reissue(self, pair: TokenSet) -> Fault:
        """Make the next refresh return the same access token again."""
        body = {
            "accessToken": pair.access_token,
            "refreshToken": "the-next-refresh-token",
            "accessTokenExpirationDate": pair.access_expires_at.isoformat(),
        }
        return Fault(status=200, body=json.dumps(body))

    @property
    def mints(self) -> int:
        return self.count("/auth/token")

    @property
    def refreshes(self) -> int:
        return self.count("/auth/refresh")

    @property
    def secrets(self) -> set[str]:
        """Everything that must stay hidden: the secret, and all tokens issued so far."""
        state = self.emulator._state
        return {self.client_secret, *state._access, *state._refresh, *self._handed_out}

    @property
    def _handed_out(self) -> set[str]:
        sent = {seen.token.removeprefix("Bearer ") for seen in self.seen if seen.token}
        for seen in self.asked("/api/v1/auth/refresh"):
            sent.add(seen.body.decode().split('"')[3])
        return sent

    def page(self, path: str, page: Page, *, guarded: bool = False) -> str:
        """Add a page below the base URL (if guarded, only for a valid token). Return its URL."""

        async def guard(seen: Seen, send: Send) -> None:
            refusal, _ = self.emulator._state.admit(seen.token, self.now())
            if refusal is None:
                await page(seen, send)
            else:
                await respond(send, refusal.status, refusal.body)

        self.pages["/api/v1" + path] = guard if guarded else page
        return self.url(path)

    async def otherwise(self, seen: Seen, scope: Scope, receive: Receive, send: Send) -> None:
        pending: list[Message] = [{"type": "http.request", "body": seen.body, "more_body": False}]

        async def replay() -> Message:
            return pending.pop() if pending else await receive()

        await self.emulator.app(scope, replay, send)


async def respond(
    send: Send, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> None:
    raw = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in (headers or {}).items()]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def says(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Page:
    async def page(seen: Seen, send: Send) -> None:
        await respond(send, status, body, headers)

    return page


def redirects(status: int, location: str) -> Page:
    return says(status, b"elsewhere", {"location": location})


async def echo(seen: Seen, send: Send) -> None:
    """Answer with the body of the request."""
    await respond(send, 200, seen.body)
