"""The ASGI application: HTTP in, `State` asked, HTTP out; and the acting out of faults.

A call is carried out first and delayed then, so that a client that gives up waiting meets a server
that went on, as in life. Waiting is done with anyio, because httpx.ASGITransport runs an
application under asyncio and under trio.
"""

import contextlib
import json
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import formatdate
from typing import cast
from urllib.parse import quote

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import _openapi, _records
from ._replies import Headers, Reply, answer, envelope, without_nulls
from ._settings import Settings
from ._state import AUTH_PATHS, Call, Fault, State

BASE_PATH = "/api/v1"
HANG_UP = "monta_auth.emulator.hang_up"
"""Where in the ASGI scope's state our own server leaves the function that closes the connection."""

logger = logging.getLogger("monta_auth.emulator")


class App:
    """The emulator as an ASGI application."""

    def __init__(self, settings: Settings, state: State) -> None:
        self._settings = settings
        self._state = state
        self._charges = _records.charges()
        self._built_in = self._endpoints()
        self._routed: tuple[Sequence[BaseRoute], ASGIApp] | None = None

    def _now(self) -> float:
        return self._settings.time() + self._settings.clock_offset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._api()(scope, receive, send)
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
        reply = None if fault.close else fault.reply(path) or reply
        if reply is not None and not self._settings.null_keys:
            reply = without_nulls(reply)
        status = None if reply is None else reply.status
        at = datetime.fromtimestamp(now, UTC)
        # Recorded and logged before anything is sent: who has the reply sees the record as well.
        self._state.record(Call(scope["method"], path, status, at, client_id))
        await anyio.sleep(self._settings.latency + fault.delay)
        took = 1000 * (time.perf_counter() - began)
        logger.info(
            "%s %s %s %.1f ms",
            scope["method"],
            quote(path),
            "closed" if status is None else status,
            took,
        )

        if reply is not None:
            await send(self._start(reply, fault, client_id))
            if not fault.truncate:
                await send({"type": "http.response.body", "body": _content(reply)})
                return
            await send(
                {
                    "type": "http.response.body",
                    "body": reply.body[: len(reply.body) // 2],
                    "more_body": True,
                }
            )
        if hang_up is None:
            raise ConnectionResetError("the connection was closed by an injected fault")
        hang_up()
        # The server takes the call for finished only when it knows of the disconnection.
        message: Message = {"type": ""}
        while message["type"] != "http.disconnect":
            message = await receive()

    def _start(self, reply: Reply, fault: Fault, client_id: str | None) -> Message:
        now = self._now()
        own = {"request-id": str(uuid.uuid4())}
        if self._settings.send_date:
            own["date"] = formatdate(now, usegmt=True)
        own |= self._state.limit_headers(client_id, now)
        replied = [(name.lower(), value) for name, value in reply.headers]
        injected = [(name.lower(), value) for name, value in (fault.headers or {}).items()]
        headers = [pair for pair in own.items() if pair[0] not in dict(replied)] + replied
        headers = [pair for pair in headers if pair[0] not in dict(injected)] + injected
        headers = [
            pair for pair in headers if pair[0] not in ("content-length", "transfer-encoding")
        ]
        if reply.status not in (204, 304):
            headers.append(("content-length", str(len(reply.body))))
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return {"type": "http.response.start", "status": reply.status, "headers": raw}

    async def _carry_out(
        self, path: str, body: bytes, now: float, scope: Scope, receive: Receive
    ) -> tuple[Reply, str | None]:
        if path in AUTH_PATHS:
            return self._state.authenticate(scope["method"], path, body, now)
        if path == "/openapi.json":
            return answer(200, _openapi.DOCUMENT), None
        if not path.startswith("/"):
            return envelope(404, f"Everything is below {BASE_PATH}"), None
        bearer = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        refusal, client_id = self._state.admit(bearer or None, now)
        if refusal is not None:
            return refusal, client_id
        inner: Scope = {
            **scope,
            "root_path": scope.get("root_path", "") + BASE_PATH,
            "state": {**scope.get("state", {}), "client_id": client_id},
        }
        return await self._ask_api(inner, body, receive), client_id

    async def _ask_api(self, scope: Scope, body: bytes, receive: Receive) -> Reply:
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        status, headers, content = 500, cast("Headers", ()), b""

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        async def collect(message: Message) -> None:
            nonlocal status, headers, content
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = tuple(
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in message["headers"]
                )
            else:
                content += message.get("body", b"")

        try:
            await self._api()(scope, replay, collect)
        except Exception:
            logger.exception("a route raised")
            return envelope(500, "Internal server error")
        return Reply(status, content, headers)

    def _api(self) -> ASGIApp:
        routes = tuple(self._settings.routes)
        if self._routed is None or self._routed[0] != routes:
            # The user's routes come first: they may replace built-in ones.
            api = Starlette(
                routes=[*routes, *self._built_in], exception_handlers={HTTPException: _http_error}
            )
            api.router.redirect_slashes = False
            self._routed = (routes, api)
        return self._routed[1]

    def _start_charge(self, body: bytes, now: float) -> Reply:
        data: object = None
        with contextlib.suppress(ValueError):
            data = json.loads(body)
        given = cast("dict[str, object]", data if isinstance(data, dict) else {})
        point = given.get("chargePointId")
        if not isinstance(point, int) or isinstance(point, bool):
            return envelope(400, "The body must be a JSON object with the number chargePointId")
        if all(row["id"] != point for row in _records.charge_points()):
            return envelope(404, "No such charge point")
        created = datetime.fromtimestamp(now, UTC)
        row = _records.charge(5001 + len(self._charges), point, created, completed=False)
        self._charges.append(row)
        return answer(201, row)

    def _endpoints(self) -> list[BaseRoute]:
        state, settings = self._state, self._settings

        async def me(request: Request) -> Response:
            if request.url.path.endswith("/consumers/me") and not settings.partner:
                raise HTTPException(404)
            return JSONResponse(state.me(request.state.client_id))

        async def charge_points(request: Request) -> Response:
            return _page(_records.charge_points(), request)

        async def charge_point(request: Request) -> Response:
            return _one(_records.charge_points(), request)

        async def charges(request: Request) -> Response:
            if request.method == "POST":
                return _response(self._start_charge(await request.body(), self._now()))
            return _page(self._charges, request)

        async def charge(request: Request) -> Response:
            return _one(self._charges, request)

        async def wallet_transactions(request: Request) -> Response:
            return _page(_records.wallet_transactions(), request)

        return [
            # The partner API has both paths; /auth/me is the deprecated one (partner reference).
            Route("/auth/me", me),
            Route("/consumers/me", me),
            Route("/charge-points", charge_points),
            Route("/charge-points/{id:int}", charge_point),
            Route("/charges", charges, methods=["GET", "POST"]),
            Route("/charges/{id:int}", charge),
            Route("/wallet-transactions", wallet_transactions),
        ]


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


def _content(reply: Reply) -> bytes:
    return b"" if reply.status in (204, 304) else reply.body


def _response(reply: Reply) -> Response:
    return Response(reply.body, reply.status, dict(reply.headers))


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _response(
        envelope(error.status_code, error.detail, headers=tuple((error.headers or {}).items()))
    )


def _page(rows: Sequence[_records.Record], request: Request) -> Response:
    try:
        return JSONResponse(_records.page(rows, request.query_params))
    except ValueError as error:
        raise HTTPException(400, str(error)) from None


def _one(rows: Sequence[_records.Record], request: Request) -> Response:
    for row in rows:
        if row["id"] == request.path_params["id"]:
            return JSONResponse(row)
    raise HTTPException(404)
