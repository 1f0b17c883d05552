"""What the emulator knows and decides: tokens, quota, error envelopes, faults that wait, calls that
were made.

No web framework, no clock: the time of a call is an argument, in Unix seconds. Every public method
of `State` takes the one lock, so it may be called from the server and from any number of test
threads.
"""

import json
import math
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import cast

from . import _records
from ._records import Record
from ._settings import Settings

AUTH_PATHS = TOKEN, REFRESH = ("/auth/token", "/auth/refresh")
Headers = tuple[tuple[str, str], ...]

_DAY = 86400.0
_CODES = {403: "ACCESS_FORBIDDEN", 404: "RESOURCE_NOT_FOUND"}


@dataclass(frozen=True, slots=True)
class Call:
    """One call that the emulator got. It holds no secret, no token, no query and no body.

    Attributes:
        method: such as ``"POST"``.
        path: relative to ``/api/v1``, such as ``"/auth/token"``; a call outside of it shows as
            ``"../../elsewhere"``.
        status: the status of the reply, or None if the connection was closed without one.
        at: when it was carried out, aware UTC, by the emulator's clock.
        client_id: whose call it was, or None if that is not known (wrong token, malformed body, a
            fault).
    """

    method: str
    path: str
    status: int | None
    at: datetime
    client_id: str | None


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with a call: give it to `Emulator.inject`.

    Without ``after`` and ``truncate``, a fault with a status, a body or ``close`` stands in front
    of the API: no token is made or used up and no quota is spent.

    Args:
        status: the status of the reply; without a body it comes with an error envelope like
            Monta's. 200 is allowed: Monta was seen to send an envelope with it (observed in a
            production log, 2024-10).
        body: sent as it is (text as UTF-8), with status 200 unless told otherwise; name its type in
            ``headers``.
        headers: added to the reply, in place of headers of the same name.
        close: the connection is closed without any reply.
        truncate: the call is carried out, but the connection closes in the middle of the reply's
            body.
        delay: seconds between carrying out the call and answering. Alone, it gives the normal
            reply, late.
        after: the call is carried out first, whatever happens to its reply: with ``close`` or a 502
            this is the unknown outcome, in which a refresh token is used up but its successor never
            arrives.

    Raises:
        ValueError: ``close`` together with any part of a reply, a status outside 200 to 599, or a
            delay that is negative or endless.
    """

    status: int | None = None
    body: bytes | str | None = field(default=None, repr=False)
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    close: bool = False
    truncate: bool = False
    delay: float = 0.0
    after: bool = False

    def __post_init__(self) -> None:
        reply = (self.status, self.body, self.headers)
        if self.close and (self.truncate or any(part is not None for part in reply)):
            raise ValueError("close sends no reply: it goes with delay and after only")
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError("status must be 200 to 599")
        if not 0 <= self.delay < math.inf:
            raise ValueError("delay is in seconds, 0 or more")

    @property
    def is_carried_out(self) -> bool:
        """Whether the call takes effect."""
        return (
            self.after
            or self.truncate
            or not (self.close or self.status is not None or self.body is not None)
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply, before the headers that each one gets."""

    status: int
    body: bytes = field(repr=False)
    headers: Headers = ()


@dataclass(slots=True)
class _Pending:
    fault: Fault
    paths: tuple[str, ...]
    times: int


@dataclass(frozen=True, slots=True)
class _Grant:
    client_id: str
    expires_at: float


def compact(data: object) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def answer(status: int, data: object, headers: Headers = ()) -> Reply:
    return Reply(status, compact(data), (("content-type", "application/json"), *headers))


def envelope(
    status: int,
    message: str,
    code: str | None = None,
    context: object = None,
    headers: Headers = (),
) -> Reply:
    """An error in Monta's form: five keys, ``status`` a name (observed in a production log,
    2024-10).

    ``errorCode`` is UNKNOWN wherever no source names Monta's own.
    """
    try:
        name = HTTPStatus(status).name
    except ValueError:
        name = f"HTTP_{status}"
    if code is None:
        code = _CODES.get(status, "UNKNOWN")
    data = {
        "status": name,
        "message": message,
        "readableMessage": None,
        "errorCode": code,
        "context": context,
    }
    return answer(status, data, headers)


def date(moment: float) -> str:
    """ISO 8601 in UTC with nine fractional digits (observed in a production log, 2025-08)."""
    seconds = math.floor(moment)
    whole = datetime.fromtimestamp(seconds, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{int((moment - seconds) * 1e9):09d}Z"


def _json_object(body: bytes) -> dict[str, object] | None:
    try:
        data: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, object]", data) if isinstance(data, dict) else None


def _texts(body: bytes, *names: str) -> list[str] | None:
    data = _json_object(body) or {}
    texts = [value for name in names if isinstance(value := data.get(name), str) and value]
    return texts if len(texts) == len(names) else None


class State:
    """The tokens, quotas, charges, faults and calls of one emulator."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._access: dict[str, _Grant] = {}
        self._refresh: dict[str, _Grant] = {}
        self._blocks: dict[str, tuple[float, int]] = {}
        self._faults: list[_Pending] = []
        self._calls: list[Call] = []
        self._charges = _records.charges()

    # Tokens

    def authenticate(
        self, method: str, path: str, body: bytes, now: float
    ) -> tuple[Reply, str | None]:
        """Answer a call of an auth endpoint; also say whose it was."""
        if method != "POST":
            return envelope(405, f"Method {method} not allowed", headers=(("allow", "POST"),)), None
        names = ("clientId", "clientSecret") if path == TOKEN else ("refreshToken",)
        texts = _texts(body, *names)
        if texts is None:
            return envelope(
                400, f"The body must be a JSON object with the text fields: {', '.join(names)}"
            ), None
        with self._lock:
            return (
                self._mint(texts[0], texts[1], now) if path == TOKEN else self._renew(texts[0], now)
            )

    def _mint(self, client_id: str, client_secret: str, now: float) -> tuple[Reply, str | None]:
        secret = self._known().get(client_id)
        if secret is not None and (refusal := self._spend(client_id, now)) is not None:
            return refusal, client_id
        if secret != client_secret:
            code = "CONSUMER_NOT_FOUND" if self._settings.partner else None
            return envelope(
                401, "Wrong client id or secret", code
            ), None if secret is None else client_id
        return self._issue(client_id, now), client_id

    def _renew(self, token: str, now: float) -> tuple[Reply, str | None]:
        client_id = self._owner(self._refresh, token, now)
        if client_id is None:
            return envelope(401, "The refresh token is unknown, used or expired"), None
        if (refusal := self._spend(client_id, now)) is not None:
            return refusal, client_id
        del self._refresh[token]
        return self._issue(client_id, now), client_id

    def _issue(self, client_id: str, now: float) -> Reply:
        settings = self._settings
        refresh_lifetime = settings.refresh_lifetime
        if refresh_lifetime is None:
            refresh_lifetime = _DAY if settings.partner else 30 * _DAY
        access = _Grant(client_id, now + settings.access_lifetime)
        refresh = _Grant(client_id, now + refresh_lifetime)
        access_token, refresh_token = str(uuid.uuid4()), str(uuid.uuid4())
        self._access[access_token], self._refresh[refresh_token] = access, refresh
        number = self._number(client_id)
        owner = {} if settings.partner else {"applicationId": number, "userId": number}
        return answer(
            200,
            {
                **owner,
                "accessToken": access_token,
                "accessTokenExpirationDate": date(access.expires_at),
                "refreshToken": refresh_token,
                "refreshTokenExpirationDate": date(refresh.expires_at),
            },
        )

    def admit(self, authorization: str | None, now: float) -> tuple[Reply | None, str | None]:
        """Check the bearer of any other call: a refusal, or None; and whose call it is."""
        scheme, _, token = (authorization or "").partition(" ")
        with self._lock:
            client_id = (
                self._owner(self._access, token.strip(), now)
                if scheme.lower() == "bearer"
                else None
            )
            if client_id is None:
                message = (
                    "The access token is unknown or expired"
                    if authorization
                    else "Authorization is missing"
                )
                return envelope(
                    401, message, "INVALID_ACCESS_TOKEN" if self._settings.partner else None
                ), None
            return self._spend(client_id, now), client_id

    def revoke_access_tokens(self) -> None:
        with self._lock:
            self._access.clear()

    def revoke_refresh_tokens(self) -> None:
        with self._lock:
            self._refresh.clear()

    def _known(self) -> dict[str, str]:
        settings = self._settings
        return {**settings.credentials, settings.client_id: settings.client_secret}

    def _number(self, client_id: str) -> int:
        return 1 + [self._settings.client_id, *self._settings.credentials].index(client_id)

    def _owner(self, grants: Mapping[str, _Grant], token: str, now: float) -> str | None:
        grant = grants.get(token)
        alive = grant is not None and now < grant.expires_at and grant.client_id in self._known()
        return grant.client_id if grant is not None and alive else None

    # Quota: a fixed window, which the first call opens (integration notes of the partner API)

    def _spend(self, client_id: str, now: float) -> Reply | None:
        quota = self._settings.quota
        if quota is None:
            return None
        start, used = self._block(client_id, now)
        if used >= quota:
            context = {
                "rateLimitResponse": {**self._limit(client_id, quota, now), "exceeded": True}
            }
            return envelope(429, "Too many requests", context=context)
        self._blocks[client_id] = (start, used + 1)
        return None

    def _block(self, client_id: str, now: float) -> tuple[float, int]:
        start, used = self._blocks.get(client_id, (now, 0))
        return (start, used) if 0 <= now - start < self._settings.quota_window else (now, 0)

    def _limit(self, client_id: str, quota: int, now: float) -> dict[str, int]:
        start, used = self._block(client_id, now)
        window = self._settings.quota_window
        resets_in = max(1, math.ceil(start + window - now))
        remaining = max(0, quota - used)
        return {
            "timeWindow": math.ceil(window),
            "quota": quota,
            "remaining": remaining,
            "resetsIn": resets_in,
        }

    def limit_headers(self, client_id: str | None, now: float) -> Headers:
        """The RateLimit headers of the partner API; the public one sends none (logs of 2025-08)."""
        quota = self._settings.quota
        if client_id is None or quota is None or not self._settings.partner:
            return ()
        with self._lock:
            limit = self._limit(client_id, quota, now)
        names = ((f"ratelimit-{name.lower()}", str(value)) for name, value in limit.items())
        return (("ratelimit-policy", "Quota"), *names)

    # Data

    def me(self, client_id: str) -> Record:
        settings = self._settings
        if settings.partner:
            quota = 1000 if settings.quota is None else settings.quota
            interval = 600 if settings.quota is None else math.ceil(settings.quota_window)
            return {
                "name": "Emulated consumer",
                "operatorId": 1,
                "operatorIds": [1],
                "teamIds": [],
                "clientId": client_id,
                "scopes": ["all:read", "all:write", "all:delete"],
                "rateLimit": quota,
                "rateLimitIntervalInSeconds": interval,
            }
        number = self._number(client_id)
        return {
            "id": number,
            "userId": number,
            "name": "Emulated application",
            "clientId": client_id,
            "clientSecret": None,
            "scopes": ["all"],
            "createdAt": "2023-05-04T14:29:06Z",
            "updatedAt": "2023-05-04T14:29:06Z",
        }

    def charges(self) -> list[Record]:
        with self._lock:
            return list(self._charges)

    def start_charge(self, body: bytes, now: float) -> Reply:
        point = (_json_object(body) or {}).get("chargePointId")
        if not isinstance(point, int) or isinstance(point, bool):
            return envelope(400, "The body must be a JSON object with the number chargePointId")
        if all(row["id"] != point for row in _records.charge_points()):
            return envelope(404, "No such charge point")
        with self._lock:
            charge_id = 5001 + len(self._charges)
            row = _records.charge(
                charge_id, point, datetime.fromtimestamp(now, UTC), completed=False
            )
            self._charges.append(row)
        return answer(201, row)

    # Faults and calls

    def inject(self, fault: Fault, times: int, path: str | None) -> None:
        if times < 1:
            raise ValueError("times must be 1 or more")
        if path is not None and not path.startswith("/"):
            raise ValueError(
                'path is relative to /api/v1 and begins with a slash, such as "/charge-points"'
            )
        with self._lock:
            self._faults.append(_Pending(fault, AUTH_PATHS if path is None else (path,), times))

    def take_fault(self, path: str) -> Fault | None:
        with self._lock:
            for pending in self._faults:
                if path in pending.paths:
                    pending.times -= 1
                    if not pending.times:
                        self._faults.remove(pending)
                    return pending.fault
            return None

    def record(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)

    def calls(self) -> tuple[Call, ...]:
        with self._lock:
            return tuple(self._calls)

    def clear(self) -> None:
        with self._lock:
            self._calls.clear()
            self._faults.clear()
