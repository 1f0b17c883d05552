"""Replies of the emulator: bodies, dates, and errors in Monta's envelope."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus

Headers = tuple[tuple[str, str], ...]

#: Codes and messages of the errors in Monta's description of the Partner API, version 2024-01-18.
#: Those of the Public API are unknown, so it has the same here.
_WORDS = {
    400: ("BAD_REQUEST", "Invalid request"),
    401: ("INVALID_ACCESS_TOKEN", "Invalid or expired `accessToken`."),
    403: ("ACCESS_FORBIDDEN", "Operator doesn't have access to resource"),
    404: ("RESOURCE_NOT_FOUND", "Requested entity/entity provided in body was not found"),
}
_TEXT = "Consumer with given `clientId` and `clientSecret` not found"
CONSUMER_NOT_FOUND = ("CONSUMER_NOT_FOUND", _TEXT)


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply without the headers that all replies get; ``error`` is its error envelope."""

    status: int
    body: bytes = field(repr=False)
    headers: Headers = ()
    error: Mapping[str, object] | None = None


class ReplyError(Exception):
    """Ends a call with this reply."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply


def answer(status: int, data: Mapping[str, object], headers: Headers = ()) -> Reply:
    body = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    return Reply(status, body, (("content-type", "application/json"), *headers))


def envelope(
    status: int,
    readable: str | None = None,
    words: tuple[str, str] | None = None,
    context: object = None,
    headers: Headers = (),
) -> Reply:
    """Return an error in Monta's form: five keys, with a name as ``status`` (production log,
    2024-10). ``words`` are code and message. The code is UNKNOWN if no source names Monta's."""
    name = HTTPStatus(status).name if status in {*HTTPStatus} else f"HTTP_{status}"
    other = ("UNKNOWN", readable or "This reply was injected")
    code, message = words or _WORDS.get(status, other)
    error: dict[str, object] = {"status": name, "message": message, "readableMessage": readable}
    error |= {"errorCode": code, "context": context}
    return replace(answer(status, error, headers), error=error)


def without_nulls(reply: Reply) -> Reply:
    """Remove keys that are null from an envelope, as services of Monta may do."""
    known = {key: value for key, value in (reply.error or {}).items() if value is not None}
    return replace(reply, body=answer(reply.status, known).body) if known else reply


def not_allowed(method: str, allowed: Iterable[str]) -> Reply:
    allow = ", ".join(allowed)
    return envelope(405, f"Not {method}, but {allow}", headers=(("allow", allow),))


def bad_request(readable: str) -> ReplyError:
    return ReplyError(envelope(400, readable))


def not_emulated(what: str) -> ReplyError:
    message = f"The emulator does not have {what}. Add it with routes=: Emulator(routes=[...])"
    return ReplyError(envelope(501, words=("NOT_EMULATED", message)))


def date(moment: float) -> str:
    """Return ISO 8601 in UTC with nine fractional digits (production log, 2025-08)."""
    seconds = math.floor(moment)
    return f"{date_of_record(seconds)[:-1]}.{int((moment - seconds) * 1e9):09d}Z"


def date_of_record(moment: float) -> str:
    """Return ISO 8601 in UTC without fractions, as in records (API reference)."""
    return f"{datetime.fromtimestamp(math.floor(moment), UTC):%Y-%m-%dT%H:%M:%SZ}"
