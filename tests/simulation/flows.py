"""What the tests of the flow share: a clock set by hand, and replies like Monta's."""

from __future__ import annotations

import contextvars
import copy
import json
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from monta_auth import TokenSet
from monta_auth._core.effects import Call, Send, Sleep, Wait
from monta_auth._core.errors import TransportFailure
from monta_auth._core.policy import Clock, Spent
from monta_auth._core.replies import Reply
from monta_auth._core.source import Source

ID, SECRET = "client-1", "secret-of-client-1"
WALL = datetime(2025, 8, 6, 8, 20, 37, tzinfo=UTC)
API = "https://public-api.monta.com/api/v1"
URL = API + "/charge-points"
HOUR, DAY = 3600.0, 86400.0
# Moments in the life of a one-hour token pair, in seconds since its birth (no jitter).
FRESH, ADVISORY, MANDATORY, DEAD = 100.0, 3400.0, 3580.0, 3700.0


class Hands:
    """Time that moves only when a test says so. The server's clock moves with the wall clock.

    Attributes:
        server: how many seconds the server's clock is ahead of the local wall clock.
        chance: the value that `random` returns.
    """

    def __init__(self) -> None:
        self.now = 5000.0
        self.wall = WALL.timestamp()
        self.server = 0.0
        self.chance = 0.0
        self.clock = Clock(lambda: self.now, lambda: self.wall, lambda: self.chance)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds

    def date(self) -> datetime:
        return datetime.fromtimestamp(self.wall + self.server, UTC)


def pair_reply(hands: Hands, serial: int, *, life: float = HOUR, **changes: Any) -> Reply:
    """A reply with access token ``access-<serial>``. None in `changes` removes a field."""
    born = hands.date()
    body: dict[str, Any] = {
        "accessToken": f"access-{serial}",
        "refreshToken": f"refresh-{serial}",
        "accessTokenExpirationDate": iso(born + timedelta(seconds=life)),
        "refreshTokenExpirationDate": iso(born + timedelta(seconds=DAY)),
        "applicationId": 7,
        "userId": 9,
    }
    date = changes.pop("date", format_datetime(born.replace(microsecond=0), usegmt=True))
    body.update(changes)
    body = {name: value for name, value in body.items() if value is not None}
    headers = {"Content-Type": "application/json"}
    if date is not None:
        headers["Date"] = date
    return Reply(200, headers, json.dumps(body).encode())


def error_reply(
    status: int, *, headers: dict[str, str] | None = None, body: dict[str, Any] | None = None
) -> Reply:
    if body is None:
        body = {"status": str(status), "errorCode": "SOME_CODE", "message": "in words"}
    return Reply(
        status, {"request-id": f"id-{status}", **(headers or {})}, json.dumps(body).encode()
    )


def iso(date: datetime) -> str:
    return date.isoformat().replace("+00:00", "Z")


def make_source(hands: Hands, **settings: Any) -> Source:
    settings.setdefault("base_url", API)
    if "client_id" not in settings:
        settings |= {"client_id": ID}
        settings.setdefault("client_secret", SECRET)
    return Source(clock=hands.clock, **settings)


def pair(
    hands: Hands, serial: int, life: float = HOUR, refresh: str | None = "", **changes: Any
) -> TokenSet:
    """A pair born now."""
    born = hands.date()
    fields: dict[str, Any] = {
        "access_token": f"access-{serial}",
        "refresh_token": f"refresh-{serial}" if refresh == "" else refresh,
        "access_expires_at": born + timedelta(seconds=life),
        "refresh_expires_at": born + timedelta(seconds=DAY) if refresh is not None else None,
        "issued_at": born,
    }
    return TokenSet(**(fields | changes))


class Caller:
    """One request's flow, driven by hand.

    Attributes:
        effect: what the flow is waiting for; None once it has ended.
        result: the header that it returned.
        error: the exception that it raised.
    """

    def __init__(
        self,
        source: Source,
        *,
        blocking: bool = False,
        flow: Generator[Any, Any, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.spent = Spent()
        self.context = contextvars.copy_context()  # each thread and each task has its own
        if flow is None:
            flow = source.acquire(self.spent, blocking=blocking, **settings)
        self.flow = flow
        self.effect: Any = None
        self.result: str | None = None
        self.error: BaseException | None = None
        self.resume(None)

    def resume(self, outcome: Any) -> Caller:
        """Send the outcome of the effect into the flow; throw it in if it is an exception."""
        self.effect = None
        try:
            if isinstance(outcome, BaseException):
                self.effect = self.context.run(self.flow.throw, outcome)
            else:
                self.effect = self.context.run(self.flow.send, outcome)
        except StopIteration as done:
            self.result = done.value
        except Exception as error:
            self.error = error
        return self

    def close(self) -> None:
        self.effect = None
        self.context.run(self.flow.close)

    def until_send(self) -> Caller:
        """Perform calls until the flow wants to send, sleep or wait, or has ended."""
        while isinstance(self.effect, Call):
            self.call()
        return self

    def call(self) -> Caller:
        """Perform the call that the flow asks for."""
        assert isinstance(self.effect, Call)
        try:
            outcome = self.effect.function(*self.effect.args)
        except Exception as error:
            outcome = error
        return self.resume(outcome)

    @property
    def wants(self) -> str:
        """The effect in one word: the kind of token call or effect, or how the flow ended."""
        effect = self.effect
        if isinstance(effect, Send):
            return effect.request.kind
        if isinstance(effect, Wait):
            return "wait"
        if isinstance(effect, Sleep):
            return "sleep"
        if isinstance(effect, Call):
            return "call " + effect.function.__name__
        return "done" if self.error is None else "failed"

    @property
    def body(self) -> dict[str, Any]:
        assert isinstance(self.effect, Send)
        data: dict[str, Any] = json.loads(self.effect.request.body)
        return data

    @property
    def sleep(self) -> float:
        assert isinstance(self.effect, Sleep)
        return self.effect.seconds

    @property
    def token(self) -> str:
        """The access token that the flow returned."""
        if self.error is not None:
            raise self.error
        assert self.result is not None, self.wants
        return str.removeprefix(self.result, "Bearer ")


def fail(caller: Caller, outcome: object) -> None:
    """Give all its token calls this outcome until the flow ends."""
    while caller.effect is not None:
        caller.resume(copy.copy(outcome) if isinstance(caller.effect, Send) else None)


def hold(hands: Hands, source: Source, serial: int = 1, life: float = HOUR) -> None:
    """Make the source fetch a pair now."""
    caller = Caller(source).until_send()
    assert caller.wants in ("mint", "refresh"), caller.wants
    caller.resume(pair_reply(hands, serial, life=life)).until_send()
    assert caller.token == f"access-{serial}"


def no_connection() -> TransportFailure:
    return TransportFailure("connection refused", "connect", sent=False)


def broken(*, sent: bool = True) -> TransportFailure:
    return TransportFailure("connection reset by peer", sent=sent)


def no_answer() -> TransportFailure:
    return TransportFailure("read timed out", "timeout")


def refuse(source: Source, serial: int = 1) -> bool:
    header = f"Bearer access-{serial}"
    return source.refuse(401, URL, header, header)
