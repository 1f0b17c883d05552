"""Ask the API whose credentials these are.

The flow yields `Ask`. The adapter sends it like any request: with a token that is renewed if
needed, and retried once after a 401.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from datetime import datetime
from typing import Any, cast
from urllib.parse import urlsplit

from .effects import Effect
from .errors import InvalidTokenResponseError, RateLimitError, TokenEndpointError
from .frozen import Frozen
from .replies import Reply, error_of, is_worth_a_retry, json_object, wait_hint
from .source import Source
from .tokens import parse_date, whole_number

#: Source: the API references, public ("Authentication") and partner ("Auth information"). The
#: Partner API also has `/auth/me`, but it is deprecated.
_PUBLIC, _PARTNER = "/auth/me", "/consumers/me"


class Application(Frozen):
    """Describe the application (Public API) or consumer (Partner API) of your credentials.

    The two APIs send different fields. Fields that the API does not send are None.

    Args:
        id, user_id: Public API only.
        name: the name that its owner chose.
        client_id: the client id of the credentials.
        scopes: what it may do, such as ``("all",)`` or ``("entity:read",)``; may be empty.
        rate_limit: number of calls allowed per interval.
        rate_limit_interval: length of the interval in seconds.
        operator_id, operator_ids: its operators (Partner API only).
        team_ids: the teams that it is limited to; empty: all teams (Partner API only).
        created_at, updated_at: dates in UTC (Public API only).
    """

    id: int | None
    user_id: int | None
    name: str | None
    client_id: str | None
    scopes: tuple[str, ...]
    rate_limit: int | None
    rate_limit_interval: int | None
    operator_id: int | None
    operator_ids: tuple[int, ...] | None
    team_ids: tuple[int, ...] | None
    created_at: datetime | None
    updated_at: datetime | None

    def __init__(
        self,
        id: int | None = None,  # noqa: A002 - the API's own name
        user_id: int | None = None,
        name: str | None = None,
        client_id: str | None = None,
        scopes: tuple[str, ...] = (),
        rate_limit: int | None = None,
        rate_limit_interval: int | None = None,
        operator_id: int | None = None,
        operator_ids: tuple[int, ...] | None = None,
        team_ids: tuple[int, ...] | None = None,
        created_at: datetime | None = None,
        updated_at: datetime | None = None,
    ) -> None:
        self._set(locals())


class Ask(Effect):
    """Effect: GET this URL with the token, without redirects; send back the `Reply`."""

    __slots__ = ("headers", "url")

    def __init__(self, url: str) -> None:
        self.url = url
        self.headers = {"Accept": "application/json"}

    def __repr__(self) -> str:
        return f"Ask({self.url!r})"


def application_urls(base_url: str) -> tuple[str, str]:
    """Return the URL at which this API answers, and the one of the other API."""
    public, partner = base_url + _PUBLIC, base_url + _PARTNER
    is_partner = (urlsplit(base_url).hostname or "").startswith("partner-api.")
    return (partner, public) if is_partner else (public, partner)


def find_application(
    source: Source, wall: Callable[[], float] = time.time
) -> Generator[Ask, Reply, Application]:
    """Run ``auth.application``: ask at the path of one API, after a 404 at that of the other.

    Raises:
        TokenEndpointError: or a subclass, if the API answers with an error.
    """
    first, second = (Ask(url) for url in application_urls(source.base_url))
    reply = yield first
    if reply.status == 404:
        reply = yield second
    return read_application(reply, wall(), source.secrets())


def read_application(reply: Reply, wall: float, secrets: tuple[str, ...] = ()) -> Application:
    """Return the application in a reply, or raise an error that says what is wrong.

    Args:
        wall: local time, in seconds since 1970.
        secrets: to be removed from the server's texts.
    """
    if not reply.is_good:
        raise error_of(
            reply,
            RateLimitError if reply.status == 429 else TokenEndpointError,
            _what_is_wrong(reply.status),
            secrets,
            retry_after=wait_hint(reply, wall),
            retryable=is_worth_a_retry(reply.status),
        )
    data = json_object(reply)
    application = _read(data)
    if data.get("errorCode") is not None or application == Application():
        what = "the API sent something other than an application"
        raise error_of(reply, InvalidTokenResponseError, what, secrets)
    return application


def _what_is_wrong(status: int) -> str:
    if status == 401:
        return "the API refuses the token when asked whose credentials these are"
    if status == 404:
        return "/auth/me and /consumers/me do not exist: is /api/v1 missing at the end of base_url?"
    if status == 429:
        return "the rate limit of these credentials is used up"
    return "the API does not say whose credentials these are"


def _read(data: Mapping[str, Any]) -> Application:
    """Read each field separately, so that one unusable field does not affect the others."""
    return Application(
        id=whole_number(data.get("id")),
        user_id=whole_number(data.get("userId")),
        name=_string(data.get("name")),
        client_id=_string(data.get("clientId")),
        scopes=tuple(str(s) for s in _list(data.get("scopes")) or () if isinstance(s, str)),
        rate_limit=whole_number(data.get("rateLimit")),
        rate_limit_interval=whole_number(data.get("rateLimitIntervalInSeconds")),
        operator_id=whole_number(data.get("operatorId")),
        operator_ids=_numbers(data.get("operatorIds")),
        team_ids=_numbers(data.get("teamIds")),
        created_at=parse_date(data.get("createdAt")),
        updated_at=parse_date(data.get("updatedAt")),
    )


def _string(value: object) -> str | None:
    return str(value) if isinstance(value, str) else None


def _list(value: Any) -> list[object] | None:
    return cast("list[object]", value) if isinstance(value, list) else None


def _numbers(value: object) -> tuple[int, ...] | None:
    values = _list(value)
    if values is None:
        return None
    return tuple(n for n in map(whole_number, values) if n is not None)
