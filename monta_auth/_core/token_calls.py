"""The auth endpoints: build a request, read a reply. Status, headers and bytes in; values out.

Any reply gives a value or a `MontaAuthError`, nothing else. The facts are those of the API
reference ("Authentication") and of replies seen in public logs of 2024 and 2025.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal, cast

from .errors import (
    InvalidCredentialsError,
    InvalidTokenResponseError,
    RateLimitError,
    TokenEndpointError,
    redacted,
)
from .tokens import TokenSet, is_token, parse_date, whole_number

#: Life of an access token whose expiry cannot be read or makes no sense: short enough to
#: notice a revocation soon, long enough not to renew at every request.
UNKNOWN_LIFE = timedelta(minutes=5)
_LONGEST_LIFE = timedelta(days=30)
#: A local clock this close to the server's is taken to be right about the fraction of a second.
_CLOCKS_AGREE = timedelta(seconds=2)

Kind = Literal["mint", "refresh"]


class TokenRequest:
    """A call to ``/auth/token`` ("mint") or ``/auth/refresh`` ("refresh"); repr shows no body.

    Always a POST of JSON, without Authorization; the body is bytes.
    """

    __slots__ = ("body", "headers", "kind", "secrets", "url")

    def __init__(self, kind: Kind, url: str, body: dict[str, str], secrets: tuple[str, ...]):
        self.kind: Kind = kind
        self.url = url
        self.headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            # A cache that holds POSTs too (requests-cache can) must neither keep nor replay it.
            "Cache-Control": "no-store",
        }
        self.body = json.dumps(body, separators=(",", ":")).encode()
        self.secrets = secrets

    def wipe(self) -> None:
        """Forget body and secrets, since tracebacks keep what was local when they were made."""
        self.body, self.secrets = b"", ()

    def __repr__(self) -> str:
        return f"TokenRequest({self.kind!r}, {self.url!r})"


class Reply:
    """An HTTP reply: integer status, headers with lower-case names, body as bytes (not shown)."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    def __repr__(self) -> str:
        return f"Reply({self.status})"


def mint_request(base_url: str, client_id: str, secret: str) -> TokenRequest:
    body = {"clientId": client_id, "clientSecret": secret}
    return TokenRequest("mint", base_url + "/auth/token", body, (secret,))


def refresh_request(base_url: str, refresh_token: str) -> TokenRequest:
    body = {"refreshToken": refresh_token}
    return TokenRequest("refresh", base_url + "/auth/refresh", body, (refresh_token,))


def read_pair(reply: Reply, request: TokenRequest, wall: float) -> TokenSet:
    """Return the pair of a reply with a good status.

    Args:
        wall: the local clock when the reply came, in seconds since 1970.

    Raises:
        InvalidTokenResponseError: there is no usable access token in it. An error envelope can
            come with status 200 (observed in 2024).
    """
    data = _json_object(reply)
    access = data.get("accessToken")
    if not is_token(access):
        if data.get("errorCode") is not None:
            what = "an error in a reply with a good status"
        elif access is None:
            what = "a reply without an access token (is base_url the API, and not a web page?)"
        else:
            what = "an access token that cannot stand in a header"
        raise InvalidTokenResponseError(
            _text(f"the token endpoint sent {what}", reply, data, request),
            **_fields(reply, data, request),
            retryable=True,
        )
    refresh = data.get("refreshToken")
    born = _born(reply, wall)
    expires = parse_date(data.get("accessTokenExpirationDate"))
    if expires is None or not timedelta(0) < expires - born <= _LONGEST_LIFE:
        expires = born + UNKNOWN_LIFE
    refresh_expires = parse_date(data.get("refreshTokenExpirationDate"))
    if refresh_expires is not None and refresh_expires <= born:
        refresh_expires = None
    return TokenSet(
        access_token=str(access),
        refresh_token=refresh if is_token(refresh) else None,
        access_expires_at=expires,
        refresh_expires_at=refresh_expires,
        issued_at=born,
        application_id=whole_number(data.get("applicationId")),
        user_id=whole_number(data.get("userId")),
    )


def read_error(reply: Reply, request: TokenRequest, wall: float) -> TokenEndpointError:
    """Return the error for a status that is not good, other than a refusal of credentials."""
    data = _json_object(reply)
    hint = wait_hint(reply, wall, data)
    fields = _fields(reply, data, request)
    status = reply.status
    if status == 429:
        return RateLimitError(
            _text(
                "the rate limit of this credential is used up (by several processes? let them "
                "share a token with store=; see the guide 'Workers, fleets and cron jobs')",
                reply,
                data,
                request,
            ),
            **fields,
            retry_after=hint,
            retryable=True,
        )
    retryable = is_worth_a_retry(status)
    what = "the token endpoint failed" if retryable else "the token endpoint refused the call"
    if 300 <= status < 400:
        what = "the token endpoint redirects, which is not followed with a secret in hand"
    elif status == 404:
        what = "there is no token endpoint here: is /api/v1 missing at the end of base_url?"
    return TokenEndpointError(
        _text(what, reply, data, request), **fields, retry_after=hint, retryable=retryable
    )


def read_refusal(reply: Reply, request: TokenRequest, host: str) -> InvalidCredentialsError:
    """Return the error for a 401 of ``/auth/token``."""
    data = _json_object(reply)
    what = (
        f"{host} does not accept this client id and secret: they are wrong, were deleted, "
        "or are the credentials of another environment"
    )
    return InvalidCredentialsError(
        _text(what, reply, data, request), **_fields(reply, data, request)
    )


def request_id(reply: Reply, request: TokenRequest) -> str | None:
    return _word(reply.headers.get("request-id"), request)


def is_worth_a_retry(status: int) -> bool:
    """Whether a status speaks of the moment and not of what was asked."""
    return status in (408, 425, 429) or status >= 500


def wait_hint(reply: Reply, wall: float, data: Mapping[str, Any] | None = None) -> float | None:
    """Return how many seconds the server asks to wait, or None.

    In order: ``context.rateLimitResponse.resetsIn`` of the body and ``RateLimit-ResetsIn`` (429
    only: the Partner API sends that header with every reply), then ``Retry-After``, as seconds
    or as a date, which is counted from the reply's own ``Date``.
    """
    if data is None:
        data = _json_object(reply)
    if reply.status == 429:
        limit = _object(_object(data.get("context")).get("rateLimitResponse"))
        hint = _seconds(limit.get("resetsIn"))
        if hint is None:
            hint = _seconds(reply.headers.get("ratelimit-resetsin"))
        if hint is not None:
            return hint
    after = reply.headers.get("retry-after")
    hint = _seconds(after)
    if hint is None and (until := _http_date(after)) is not None:
        now = _http_date(reply.headers.get("date")) or _from_wall(wall)
        hint = max(0.0, (until - now).total_seconds())
    return hint


def _born(reply: Reply, wall: float) -> datetime:
    """When the server made the pair, by its own clock, which tells whole seconds only."""
    local = _from_wall(wall)
    date = _http_date(reply.headers.get("date"))
    if date is None:
        return local
    if abs(local - date) <= _CLOCKS_AGREE:
        # The instant was somewhere in the second that Date names.
        return min(max(local, date), date + timedelta(seconds=1))
    return date + timedelta(seconds=0.5)


def _from_wall(wall: float) -> datetime:
    return datetime.fromtimestamp(wall, UTC)


def _http_date(value: str | None) -> datetime | None:
    if not value:
        return None
    try:
        date = parsedate_to_datetime(value)
        date = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
        return date if 1970 <= date.year < 9000 else None  # room for sums
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _json_object(reply: Reply) -> dict[str, Any]:
    try:
        return _object(json.loads(reply.body))
    except (ValueError, RecursionError):
        return {}


def _object(value: Any) -> dict[str, Any]:
    """The JSON object that this is, or an empty one."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _fields(reply: Reply, data: Mapping[str, Any], request: TokenRequest) -> dict[str, Any]:
    return {
        "status": reply.status,
        "error_code": _word(data.get("errorCode"), request),
        "message": _word(data.get("message"), request),
        "request_id": request_id(reply, request),
    }


def _text(what: str, reply: Reply, data: Mapping[str, Any], request: TokenRequest) -> str:
    fields = _fields(reply, data, request)
    facts = [f"HTTP {reply.status}", fields["error_code"], fields["message"]]
    if fields["request_id"]:
        facts.append(f"request-id {fields['request_id']}")
    return f"{what} ({', '.join(fact for fact in facts if fact)})"


def _word(value: object, request: TokenRequest) -> str | None:
    """A server's word as it may stand in an error: printable, short, without our secrets."""
    if not isinstance(value, str) or not value:
        return None
    value = "".join(c if c.isprintable() else " " for c in value)
    return redacted(value, request.secrets)[:300]
