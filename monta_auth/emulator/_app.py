"""The ASGI application: reads requests, sends replies, and applies faults.

A call takes effect before its delay. So if a client stops waiting, the server has done the work, as
in production. Delays use anyio, because httpx.ASGITransport also runs the app under trio.
"""

import logging
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from typing import cast
from urllib.parse import quote

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ._operations import document, find, guard_of
from ._replies import Headers, Reply, ReplyError, answer, envelope, without_nulls
from ._settings import Settings
from ._site import Site
from ._state import AUTH_PATHS, Call, Fault, State, reply_of

BASE_PATH = "/api/v1"
#: The key in the ASGI scope's state for the function of our server that closes the connection.
HANG_UP = "monta_auth.emulator.hang_up"
#: Monta's reply to a form is unknown. It documents no other status for a wrong body.
_NO_JSON = envelope(400, "The Content-Type of the body must be application/json")

logger = logging.getLogger("monta_auth.emulator")


class App:
    """The emulator as an ASGI application."""

    def __init__(self, settings: Settings, state: State) -> None:
        self._settings = settings
        self._state = state
        self._site = Site()

    def _now(self) -> float:
        return self._settings.time() + self._settings.clock_offset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._routes_app()(scope, receive, send)
            return
        began = time.perf_counter()
        hang_up = cast("Callable[[], None] | None", scope.get("state", {}).pop(HANG_UP, None))
        body = await _read(receive)
        path = _relative(scope)
        fault = self._state.take_fault(path) or Fault()

        now = self._now()
        reply, client_id = None, None
        if fault.is_carried_out:
            reply, client_id = await self._carry_out(path, body, now, scope, receive)
        reply = None if fault.close else reply_of(fault, path) or reply
        if reply is not None and not self._settings.null_keys:
            reply = without_nulls(reply)
        status, at = None if reply is None else reply.status, datetime.fromtimestamp(now, UTC)
        # Record and log before sending, so that a client that has the reply also finds the call.
        self._state.record(Call(scope["method"], path, status, at, client_id))
        await anyio.sleep(self._settings.latency + fault.delay)
        took = 1000 * (time.perf_counter() - began)
        shown = (scope["method"], quote(path), "closed" if status is None else status)
        logger.info("%s %s %s %.1f ms", *shown, took)

        if reply is not None:
            await send(self._start(reply, fault, client_id))
            body = b"" if reply.status in (204, 304) else reply.body
            if not fault.truncate:
                await send({"type": "http.response.body", "body": body})
                return
            half = body[: len(body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
        if hang_up is None:
            raise ConnectionResetError("the connection was closed by an injected fault")
        hang_up()
        # The server treats the call as finished only after the disconnect.
        message: Message = {"type": ""}
        while message["type"] != "http.disconnect":
            message = await receive()

    def _start(self, reply: Reply, fault: Fault, client_id: str | None) -> Message:
        now = self._now()
        own = {"request-id": str(uuid.uuid4())}
        if self._settings.send_date:
            own["date"] = formatdate(now, usegmt=True)
        own |= self._state.limit_headers(client_id, now)
        headers = [*own.items()]
        for more in (reply.headers, [*(fault.headers or {}).items()]):
            news = [(name.lower(), value) for name, value in more]
            headers = [pair for pair in headers if pair[0] not in dict(news)] + news
        ours = ("content-length", "transfer-encoding")
        headers = [pair for pair in headers if pair[0] not in ours]
        if reply.status not in (204, 304):
            headers.append(("content-length", str(len(reply.body))))
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return {"type": "http.response.start", "status": reply.status, "headers": raw}

    async def _carry_out(
        self, path: str, body: bytes, now: float, scope: Scope, receive: Receive
    ) -> tuple[Reply, str | None]:
        if path == "/openapi.json":
            return answer(200, document(self._settings.partner)), None
        if not path.startswith("/"):
            return envelope(404, f"Everything is below {BASE_PATH}"), None
        headers = {key: value.decode("latin-1") for key, value in scope["headers"]}
        if path in AUTH_PATHS:
            # Any query is accepted: a gateway may need one, and it filters nothing.
            if body and not _is_json(headers):
                return _NO_JSON, None
            return self._state.authenticate(scope["method"], path, body, now)
        partner = self._settings.partner
        inner: Scope = {**scope, "root_path": scope.get("root_path", "") + BASE_PATH}
        is_routed = any(route.matches(inner)[0] is Match.FULL for route in self._settings.routes)
        guard = None if is_routed else guard_of(path, partner)
        bearer = headers.get(b"authorization")
        if guard == "upstream" and bearer is None:
            return envelope(400, words=("BAD_REQUEST", "upstream")), None
        refusal, client_id = self._state.admit(bearer, now)
        # An open call ignores a wrong token.
        if refusal is not None and (guard != "open" or refusal.status != 401):
            return refusal, client_id
        if is_routed:
            inner["state"] = {**scope.get("state", {}), "client_id": client_id}
            return await self._ask_routes(inner, body, receive), client_id
        try:
            operation, ids = find(scope["method"], path, partner)
            query = operation.read_query(scope.get("query_string", b"").decode("latin-1"), partner)
            if body and operation.method != "GET" and not _is_json(headers):
                return _NO_JSON, client_id
            asked = {**ids, **query, **operation.read_body(body, partner)}
            if client_id is not None and operation.sends == "Application":
                return answer(200, self._state.me(client_id)), client_id
            return answer(200, self._site.answer(operation, asked, now, partner)), client_id
        except ReplyError as refused:
            return refused.reply, client_id

    async def _ask_routes(self, scope: Scope, body: bytes, receive: Receive) -> Reply:
        messages: list[Message] = [{"type": "http.request", "body": body}]
        status, content = 500, b""
        headers: Headers = ()

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        async def collect(message: Message) -> None:
            nonlocal status, headers, content
            if message["type"] == "http.response.start":
                status, raw = message["status"], message["headers"]
                headers = tuple((n.decode("latin-1"), v.decode("latin-1")) for n, v in raw)
            else:
                content += message.get("body", b"")

        try:
            await self._routes_app()(scope, replay, collect)
        except Exception:
            logger.exception("a route raised")
            return envelope(500, "Internal server error")
        return Reply(status, content, headers)

    def _routes_app(self) -> ASGIApp:
        handlers = {HTTPException: _http_error}
        api = Starlette(routes=[*self._settings.routes], exception_handlers=handlers)
        api.router.redirect_slashes = False
        return api


async def _read(receive: Receive) -> bytes:
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return body


def _relative(scope: Scope) -> str:
    path = cast("str", scope["path"]).removeprefix(scope.get("root_path", ""))
    return path.removeprefix(BASE_PATH) if path.startswith(BASE_PATH + "/") else "../.." + path


def _is_json(headers: dict[bytes, str]) -> bool:
    kind = headers.get(b"content-type", "application/json")
    return kind.partition(";")[0].strip().lower() == "application/json"


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = tuple((error.headers or {}).items())
    reply = envelope(error.status_code, error.detail, headers=headers)
    return Response(reply.body, reply.status, dict(reply.headers))
