"""The state of the emulator: tokens, quotas, pending faults, and recorded calls.

No web framework, no clock: the time of a call is an argument, in Unix seconds. Every public method
of `State` takes the lock, so any thread may call it.
"""

import json
import math
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from ._replies import CONSUMER_NOT_FOUND, Headers, Reply, answer, date, envelope, not_allowed
from ._schema import models
from ._settings import Settings

AUTH_PATHS = TOKEN, REFRESH = ("/auth/token", "/auth/refresh")

_Answer = tuple[Reply, str | None]
_DAY = 86400.0
_CREATED = 1_683_210_546.0  # 2023-05-04T14:29:06Z


@dataclass(frozen=True, slots=True)
class Call:
    """A recorded call. It holds no secret, no token, no query and no body.

    Attributes:
        method: such as ``"POST"``.
        path: relative to ``/api/v1``, such as ``"/auth/token"`` or ``"../../elsewhere"``.
        status: the status of the reply; None if the connection was closed without a reply.
        at: when the call took effect on the emulator's clock, with the time zone UTC.
        client_id: the caller, or None if unknown.
    """

    method: str
    path: str
    status: int | None
    at: datetime
    client_id: str | None


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with a call. Pass it to `Emulator.inject`.

    With a status, a body or ``close``, the call has no effect: it makes or spends no token, and
    does not count against the quota. ``after`` and ``truncate`` change that.

    Args:
        status: the status of the reply. Without ``body``, the reply is an error envelope, even with
            200 (production log, 2024-10).
        body: sent unchanged (text as UTF-8), by default with status 200. Set its type in
            ``headers``.
        headers: added to the reply; they replace headers of the same name.
        close: close the connection without a reply.
        truncate: the call takes effect, but the connection closes in the middle of the body.
        delay: seconds between the effect of the call and its reply.
        after: the call takes effect before the fault. With ``close``, a refresh token is spent, but
            the new one never arrives.

    Raises:
        ValueError: ``close`` is combined with a part of a reply, or status or delay cannot work.
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
        """Whether the call takes effect despite the fault."""
        is_instead = self.close or self.status is not None or self.body is not None
        return self.after or self.truncate or not is_instead


def reply_of(fault: Fault, path: str) -> Reply | None:
    """Return the reply that the fault sends instead of the API's, or None."""
    if fault.body is not None:
        text = fault.body.encode() if isinstance(fault.body, str) else fault.body
        return Reply(200 if fault.status is None else fault.status, text)
    words = CONSUMER_NOT_FOUND if path == TOKEN and fault.status == 401 else None
    return None if fault.status is None else envelope(fault.status, words=words)


@dataclass(frozen=True, slots=True)
class _Grant:
    """The owner and expiry of a token. For a refresh token, ``access`` is its access token."""

    client_id: str
    expires_at: float
    access: str = ""


def _texts(body: bytes, *names: str) -> list[str] | None:
    try:
        data: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    given = cast("dict[str, object]", data if isinstance(data, dict) else {})
    texts = [value for name in names if isinstance(value := given.get(name), str) and value]
    return texts if len(texts) == len(names) else None


class State:
    """The tokens, quotas, faults and calls of one emulator."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._access: dict[str, _Grant] = {}
        self._refresh: dict[str, _Grant] = {}
        self._blocks: dict[str, tuple[float, int]] = {}
        self._faults: list[tuple[Fault, tuple[str, ...]]] = []
        self._calls: list[Call] = []

    def authenticate(self, method: str, path: str, body: bytes, now: float) -> _Answer:
        """Answer a token call; also return the client id, if it is known."""
        if method != "POST":
            return not_allowed(method, ["POST"]), None
        names = ("clientId", "clientSecret") if path == TOKEN else ("refreshToken",)
        texts = _texts(body, *names)
        if texts is None:
            # Other fields are accepted, because existing clients send some.
            return envelope(400, f"The body must be a JSON object with {' and '.join(names)}"), None
        with self._lock:
            if path == TOKEN:
                return self._mint(texts[0], texts[1], now)
            return self._renew(texts[0], now)

    def _mint(self, client_id: str, client_secret: str, now: float) -> _Answer:
        secret = self._known().get(client_id)
        if secret is not None and (refusal := self._spend(client_id, now)) is not None:
            return refusal, client_id
        if secret != client_secret:
            return envelope(401, words=CONSUMER_NOT_FOUND), None if secret is None else client_id
        held = self._access if self._settings.reissue else {}
        living = (token for token in held if self._owner(held, token, now) == client_id)
        return self._issue(client_id, now, next(living, None))

    def _renew(self, token: str, now: float) -> _Answer:
        client_id = self._owner(self._refresh, token, now)
        if client_id is None:
            return envelope(401, "The refresh token is unknown, used or expired"), None
        if (refusal := self._spend(client_id, now)) is not None:
            return refusal, client_id
        if self._settings.rotation_revokes:
            self._access.pop(self._refresh[token].access, None)
        if self._settings.single_use_refresh:
            del self._refresh[token]
        return self._issue(client_id, now)

    def _issue(self, client_id: str, now: float, access_token: str | None = None) -> _Answer:
        settings = self._settings
        lifetime = settings.refresh_lifetime
        if lifetime is None:
            lifetime = _DAY if settings.partner else 30 * _DAY
        if access_token is None:
            access_token = str(uuid.uuid4())
            self._access[access_token] = _Grant(client_id, now + settings.access_lifetime)
        refresh_token = str(uuid.uuid4())
        self._refresh[refresh_token] = _Grant(client_id, now + lifetime, access_token)
        number, expires_at = self._number(client_id), self._access[access_token].expires_at
        pair = {"applicationId": number, "userId": number, "accessToken": access_token}
        pair |= {"accessTokenExpirationDate": date(expires_at), "refreshToken": refresh_token}
        pair |= {"refreshTokenExpirationDate": date(now + lifetime)}
        return answer(200, models(settings.partner).shape("Token", pair)), client_id

    def admit(self, authorization: str | None, now: float) -> tuple[Reply | None, str | None]:
        """Check the access token of any other call; return a refusal or None, and the client id."""
        scheme, _, token = (authorization or "").partition(" ")
        with self._lock:
            known = self._access if scheme.lower() == "bearer" else {}
            client_id = self._owner(known, token.strip(), now)
            if client_id is not None:
                return self._spend(client_id, now), client_id
        why = "The access token is unknown or expired"
        return envelope(401, why if authorization else "Authorization is missing"), None

    def revoke_access_tokens(self) -> None:
        with self._lock:
            self._access.clear()

    def revoke_refresh_tokens(self) -> None:
        with self._lock:
            self._refresh.clear()

    def _known(self) -> dict[str, str]:
        own = {self._settings.client_id: self._settings.client_secret}
        return {**self._settings.credentials, **own}

    def _number(self, client_id: str) -> int:
        return 1 + [self._settings.client_id, *self._settings.credentials].index(client_id)

    def _owner(self, grants: Mapping[str, _Grant], token: str, now: float) -> str | None:
        grant = grants.get(token)
        alive = grant is not None and now < grant.expires_at and grant.client_id in self._known()
        return grant.client_id if grant is not None and alive else None

    def _spend(self, client_id: str, now: float) -> Reply | None:
        # A fixed window that begins with its first call (integration notes of the Partner API).
        quota = self._settings.quota
        if quota is None:
            return None
        start, used = self._block(client_id, now)
        if used < quota:
            self._blocks[client_id] = (start, used + 1)
            return None
        limit = self._limit(client_id, quota, now)
        wait = (("retry-after", str(limit["resetsIn"])),) * self._settings.send_retry_after
        context = {"rateLimitResponse": {**limit, "exceeded": True}}
        return envelope(429, "Too many requests", context=context, headers=wait)

    def _block(self, client_id: str, now: float) -> tuple[float, int]:
        start, used = self._blocks.get(client_id, (now, 0))
        return (start, used) if 0 <= now - start < self._settings.quota_window else (now, 0)

    def _limit(self, client_id: str, quota: int, now: float) -> dict[str, int]:
        start, used = self._block(client_id, now)
        window = self._settings.quota_window
        resets_in = max(1, math.ceil(start + window - now))
        limit = {"timeWindow": math.ceil(window), "quota": quota}
        return limit | {"remaining": max(0, quota - used), "resetsIn": resets_in}

    def limit_headers(self, client_id: str | None, now: float) -> Headers:
        """Return the RateLimit headers. The Public API sends none (logs of 2025-08)."""
        quota = self._settings.quota
        if client_id is None or quota is None or not self._settings.partner:
            return ()
        with self._lock:
            limit = self._limit(client_id, quota, now)
        names = ((f"ratelimit-{name.lower()}", str(value)) for name, value in limit.items())
        return (("ratelimit-policy", "Quota"), *names)

    def me(self, client_id: str) -> dict[str, Any]:
        """Return what the API says about the credentials."""
        settings = self._settings
        number, quota, window = self._number(client_id), 1000, 600
        if settings.quota is not None:
            quota, window = settings.quota, math.ceil(settings.quota_window)
        kind = "consumer" if settings.partner else "application"
        scopes = ["all:read", "all:write", "all:delete"] if settings.partner else ["all"]
        known = {"id": number, "userId": number, "name": f"Emulated {kind}", "clientId": client_id}
        known |= {"createdAt": _CREATED, "updatedAt": _CREATED, "scopes": scopes}
        known |= {"operatorId": 1, "operatorIds": [1], "teamIds": []}
        known |= {"rateLimit": quota, "rateLimitIntervalInSeconds": window}
        return models(settings.partner).shape("Application", known)

    def inject(self, fault: Fault, times: int, path: str | None) -> None:
        if times < 1:
            raise ValueError("times must be 1 or more")
        if path is not None and not path.startswith("/"):
            raise ValueError("path is relative to /api/v1 and begins with a slash")
        with self._lock:
            self._faults += [(fault, AUTH_PATHS if path is None else (path,))] * times

    def take_fault(self, path: str) -> Fault | None:
        with self._lock:
            waiting = (at for at, (_, paths) in enumerate(self._faults) if path in paths)
            at = next(waiting, None)
            return None if at is None else self._faults.pop(at)[0]

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
