"""Who am I: what the API tells of the credential behind a token.

The flow yields `Ask`, which an adapter answers by its normal way of sending a request: with the
token, renewed where that is due, and once more after a 401.
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
#: Partner API has `/auth/me` too, which it calls deprecated.
_PUBLIC, _PARTNER = "/auth/me", "/consumers/me"


class Application(Frozen):
    """The application (public) or consumer (partner) that a credential belongs to.

    What the API does not send is None; the two APIs send different parts of it.

    Args:
        id, user_id: public only.
        name: as its owner called it.
        client_id: as in the credential.
        scopes: what it may do, such as ``("all",)`` or ``("entity:read",)``; may be empty.
        rate_limit: calls that it has in each interval.
        rate_limit_interval: seconds.
        operator_id, operator_ids: whose it is (partner only).
        team_ids: the teams that it is limited to (partner only); empty: all teams.
        created_at, updated_at: aware, in UTC (public only).
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
    """Effect: GET this URL with the token, without following redirects; send back its `Reply`."""

    __slots__ = ("headers", "url")

    def __init__(self, url: str) -> None:
        self.url = url
        self.headers = {"Accept": "application/json"}

    def __repr__(self) -> str:
        return f"Ask({self.url!r})"


def application_urls(base_url: str) -> tuple[str, str]:
    """Where to ask whose a token is: at the path of this API, and at that of the other."""
    public, partner = base_url + _PUBLIC, base_url + _PARTNER
    is_partner = (urlsplit(base_url).hostname or "").startswith("partner-api.")
    return (partner, public) if is_partner else (public, partner)


def find_application(
    source: Source, wall: Callable[[], float] = time.time
) -> Generator[Ask, Reply, Application]:
    """The flow behind ``auth.application``: at the path of one API, and after a 404 of the other.

    Raises:
        TokenEndpointError: or one of its children; the API tells nothing, and why.
    """
    first, second = (Ask(url) for url in application_urls(source.base_url))
    reply = yield first
    if reply.status == 404:
        reply = yield second
    return read_application(reply, wall(), source.secrets())


def read_application(reply: Reply, wall: float, secrets: tuple[str, ...] = ()) -> Application:
    """Return the application of a reply, or raise what is wrong with it.

    Args:
        wall: the local clock, in seconds since 1970.
        secrets: to be taken out of what the server says.
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
        what = "the API sent something else than an application"
        raise error_of(reply, InvalidTokenResponseError, what, secrets)
    return application


def _what_is_wrong(status: int) -> str:
    if status == 401:
        return "the API refuses its own token when asked whose it is"
    if status == 404:
        return "nobody here tells whose token it is: is /api/v1 missing at the end of base_url?"
    if status == 429:
        return "the rate limit of these credentials is used up"
    return "the API does not tell whose token it is"


def _read(data: Mapping[str, Any]) -> Application:
    """Each field alone: one that is missing or of another kind leaves the rest readable."""
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
