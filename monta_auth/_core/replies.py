"""Read Monta's responses: JSON, dates, how long to wait, error texts.

Status, headers and bytes in, values out. No response makes these functions fail.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar, cast

from .errors import MontaAuthError, wait_text
from .policy import CLOCKS_AGREE, SYSTEM_CLOCK
from .secret import Secret, SecretBytes, empty_frames

E = TypeVar("E", bound=MontaAuthError)


class Reply:
    """An HTTP response: integer status, headers with lower-case names, and a hidden body."""

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
    """Return the JSON object in the body, or an empty one. Its strings are hidden."""
    before = sys.exception()
    try:
        return as_object(json.loads(bytes(reply.body), object_pairs_hook=hidden_strings))
    except (ValueError, RecursionError):
        return {}
    except BaseException as error:
        empty_frames(error, before)
        raise


def hidden_strings(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object with hidden strings; a hook for `json.loads`."""
    return {n: Secret(value) if isinstance(value, str) else value for n, value in pairs}


def as_object(value: Any) -> dict[str, Any]:
    """Return the value if it is a JSON object, else an empty one."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def is_worth_a_retry(status: int) -> bool:
    """Return whether a status means a temporary problem."""
    return status in (408, 425, 429) or status >= 500


class Headers(Protocol):
    """The headers of a response in any library: names in any case, and their values."""

    def items(self) -> Iterable[tuple[str, str]]: ...


def retry_after(
    status: int, headers: Headers | None, body: bytes | str | None = None
) -> float | None:
    """Return how many seconds to wait before you retry a request.

    For a 429: ``context.rateLimitResponse.resetsIn`` in the body, else the header
    ``RateLimit-ResetsIn``, else ``Retry-After``. For a 503: ``Retry-After``. If that is a date,
    the wait counts from the response's own ``Date``. In an adapter, pass the response to its
    `retry_after` instead.

    Args:
        status: HTTP status.
        headers: a mapping, or an object with ``items()`` such as the headers of ``urllib``; None
            if unknown.
        body: as received; None if it was not read.

    Returns:
        Seconds; None for any other status, or if the response does not say.

    Raises:
        TypeError: an argument has the wrong type.
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

    In order: ``context.rateLimitResponse.resetsIn`` in the body and ``RateLimit-ResetsIn`` (for a
    429 only, because the Partner API sends that header with every response), then
    ``Retry-After``: seconds, or a date that counts from the response's own ``Date``.

    Args:
        wall: local time, in seconds since 1970.
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
    """Return what a 429 says about the rate limit, or an empty object."""
    return as_object(as_object(json_object(reply).get("context")).get("rateLimitResponse"))


def http_date(value: str | None) -> datetime | None:
    """Read a date from an HTTP header; None if it is not a date."""
    if not value:
        return None
    try:
        date = parsedate_to_datetime(value)
        date = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
        return date if 1970 <= date.year < 9000 else None  # leaves room for sums
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def answered_at(reply: Reply, wall: float) -> datetime:
    """Return when the server answered, by its own clock, which shows only whole seconds.

    Args:
        wall: local time of arrival, in seconds since 1970.
    """
    local = datetime.fromtimestamp(wall, UTC)
    date = http_date(reply.headers.get("date"))
    if date is None:
        return local
    if abs((local - date).total_seconds()) <= CLOCKS_AGREE:
        # The server answered at some point within the second in Date.
        return min(max(local, date), date + timedelta(seconds=1))
    return date + timedelta(seconds=0.5)


def is_error_envelope(reply: Reply) -> bool:
    """Return whether the body is an error in Monta's format."""
    data = json_object(reply)
    return isinstance(data.get("errorCode"), str) or (
        isinstance(data.get("message"), str) and isinstance(data.get("status"), str)
    )


def is_html(reply: Reply) -> bool:
    """Return whether the body is a web page, for example from a firewall or a proxy."""
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
    """Return an error of this kind that says what happened, with the server's own words.

    Args:
        secrets: to be removed from the server's words.
    """
    code, identifier = error_code(reply, secrets), request_id(reply, secrets)
    if retry_after and retryable:
        what += wait_text(retry_after)
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
    """Return a text of a server, library or user that is safe for errors and logs.

    It is printable, has at most `longest` characters and contains none of the secrets. Values
    below 8 characters do not count as secrets, because they would match everywhere.
    """
    if not isinstance(value, str) or not value:
        return None
    text = Secret("".join(c if c.isprintable() else " " for c in value))
    forms = {form for secret in secrets if len(secret) >= 8 for form in _written(secret)}
    for form in sorted(forms, key=len, reverse=True):
        text = Secret(text.replace(form, "[redacted]"))
    return str(text)[:longest]


def _written(secret: str) -> Iterator[Secret]:
    """Yield the forms of a secret in texts: as it is, in JSON, and the repr of both."""
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
