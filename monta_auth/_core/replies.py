"""Any response of Monta: its JSON, its dates, how long it asks to wait, what it says of an error.

Status, headers and bytes in; values out. Nothing that a server sends makes these functions fail.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar, cast

from .errors import MontaAuthError, in_seconds
from .policy import CLOCKS_AGREE, SYSTEM_CLOCK
from .secret import Secret, SecretBytes, empty_frames

E = TypeVar("E", bound=MontaAuthError)


class Reply:
    """An HTTP response: integer status, headers with lower-case names, bytes that are not shown."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        body = SecretBytes(body)
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300

    def __repr__(self) -> str:
        return f"Reply({self.status})"


def json_object(reply: Reply) -> dict[str, Any]:
    """Return the JSON object in the body, or an empty one. Its strings do not show."""
    before = sys.exception()
    try:
        return as_object(json.loads(bytes(reply.body), object_pairs_hook=hidden_strings))
    except (ValueError, RecursionError):
        return {}
    except BaseException as error:
        empty_frames(error, before)
        raise


def hidden_strings(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, as a hook of `json.loads`, whose strings do not show."""
    return {n: Secret(value) if isinstance(value, str) else value for n, value in pairs}


def as_object(value: Any) -> dict[str, Any]:
    """Return the JSON object that this is, or an empty one."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def is_worth_a_retry(status: int) -> bool:
    """Whether a status speaks of the moment and not of what was asked."""
    return status in (408, 425, 429) or status >= 500


class Headers(Protocol):
    """The headers of a response in any library: names in any case, and their values."""

    def items(self) -> Iterable[tuple[str, str]]: ...


def retry_after(
    status: int, headers: Headers | None, body: bytes | str | None = None
) -> float | None:
    """Return how many seconds to wait before a request of yours has a chance again.

    For a 429: ``context.rateLimitResponse.resetsIn`` of the body, else the header
    ``RateLimit-ResetsIn``, else ``Retry-After``. For a 503: ``Retry-After``. A date is counted
    from the response's own ``Date``. Each adapter has a `retry_after` that takes its response.

    Args:
        status: HTTP status.
        headers: a mapping, or another object with ``items()``, such as that of ``urllib``; None
            if they are not known.
        body: as received; None if it was not read.

    Returns:
        None: another status, or a response that does not say.

    Raises:
        TypeError: these are not the parts of a response.
    """
    if not isinstance(status, int):
        raise TypeError(f"status must be an integer such as 429, not {type(status).__name__}")
    if not isinstance(body, bytes | bytearray | str | None):
        raise TypeError(f"body must be bytes, a string or None, not {type(body).__name__}")
    if headers is not None and not hasattr(headers, "items"):
        raise TypeError(f"headers must have items(), as a dict has, not {type(headers).__name__}")
    if status not in (429, 503):
        return None
    content = body.encode(errors="replace") if isinstance(body, str) else bytes(body or b"")
    return wait_hint(
        Reply(status, dict(headers.items() if headers is not None else ()), content),
        SYSTEM_CLOCK.wall(),
    )


def wait_hint(reply: Reply, wall: float) -> float | None:
    """Return how many seconds the server asks to wait, or None.

    In order: ``context.rateLimitResponse.resetsIn`` of the body and ``RateLimit-ResetsIn`` (429
    only: the Partner API sends that header with every response), then ``Retry-After``, as seconds
    or as a date, which is counted from the response's own ``Date``.

    Args:
        wall: the local clock, in seconds since 1970.
    """
    if reply.status == 429:
        hint = _seconds(rate_limit(reply).get("resetsIn"))
        if hint is None:
            hint = _seconds(reply.headers.get("ratelimit-resetsin"))
        if hint is not None:
            return hint
    after = reply.headers.get("retry-after")
    hint = _seconds(after)
    if hint is None and (until := http_date(after)) is not None:
        now = http_date(reply.headers.get("date")) or datetime.fromtimestamp(wall, UTC)
        hint = max(0.0, (until - now).total_seconds())
    return hint


def rate_limit(reply: Reply) -> dict[str, Any]:
    """Return what a 429 says of the limit, or an empty object."""
    return as_object(as_object(json_object(reply).get("context")).get("rateLimitResponse"))


def http_date(value: str | None) -> datetime | None:
    """Read a date of an HTTP header; None if it is none."""
    if not value:
        return None
    try:
        date = parsedate_to_datetime(value)
        date = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
        return date if 1970 <= date.year < 9000 else None  # room for sums
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def answered_at(reply: Reply, wall: float) -> datetime:
    """When the server made this response, by its own clock, which tells whole seconds only.

    Args:
        wall: the local clock when it came, in seconds since 1970.
    """
    local = datetime.fromtimestamp(wall, UTC)
    date = http_date(reply.headers.get("date"))
    if date is None:
        return local
    if abs((local - date).total_seconds()) <= CLOCKS_AGREE:
        # The instant was somewhere in the second that Date names.
        return min(max(local, date), date + timedelta(seconds=1))
    return date + timedelta(seconds=0.5)


def is_error_envelope(reply: Reply) -> bool:
    """Whether the body is an error as Monta words it."""
    data = json_object(reply)
    return isinstance(data.get("errorCode"), str) or (
        isinstance(data.get("message"), str) and isinstance(data.get("status"), str)
    )


def is_html(reply: Reply) -> bool:
    """Whether the body is a web page, as of a firewall or a proxy."""
    kind = reply.headers.get("content-type", "")
    return "html" in kind.lower() or reply.body.lstrip()[:1] == b"<"


def request_id(reply: Reply, secrets: tuple[str, ...]) -> str | None:
    return safe_text(reply.headers.get("request-id"), secrets)


def error_code(reply: Reply, secrets: tuple[str, ...] = ()) -> str | None:
    return safe_text(json_object(reply).get("errorCode"), secrets)


def error_of(
    reply: Reply,
    kind: type[E],
    what: str,
    secrets: tuple[str, ...],
    *,
    retry_after: float | None = None,
    retryable: bool = False,
) -> E:
    """Return an error of this kind that says what happened, and what the server said of it.

    Args:
        secrets: to be taken out of what the server said.
    """
    code, identifier = error_code(reply, secrets), request_id(reply, secrets)
    if retry_after and retryable:
        what += f"; wait {in_seconds(retry_after)} s before the next try"
    message = safe_text(json_object(reply).get("message"), secrets)
    facts = [f"HTTP {reply.status}", code, message, identifier and f"request-id {identifier}"]
    return kind(
        f"{what} ({', '.join(fact for fact in facts if fact)})",
        status=reply.status,
        error_code=code,
        api_message=message,
        request_id=identifier,
        retry_after=retry_after,
        retryable=retryable,
    )


def safe_text(value: object, secrets: tuple[str, ...], longest: int = 300) -> str | None:
    """Return words of a server, a library or a user as they may stand in an error or a log.

    They are printable, at most `longest` characters, and without our secrets. A value of less than
    8 characters is none, and would be found everywhere.
    """
    if not isinstance(value, str) or not value:
        return None
    text = Secret("".join(c if c.isprintable() else " " for c in value))
    forms = {form for secret in secrets if len(secret) >= 8 for form in _written(secret)}
    for form in sorted(forms, key=len, reverse=True):
        text = Secret(text.replace(form, "[redacted]"))
    return str(text)[:longest]


def _written(secret: str) -> Iterator[Secret]:
    """Yield a secret as texts may hold it: as it is, in JSON, and both in what repr shows."""
    for is_ascii in (True, False):
        in_json = Secret(json.dumps(secret, ensure_ascii=is_ascii)[1:-1])
        for form in (Secret(secret), in_json):
            yield form
            yield Secret(str.__repr__(form)[1:-1])
            yield Secret(repr(str.encode(form))[2:-1])


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
