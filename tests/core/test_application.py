"""`application()`: which URL is requested, and what each response becomes."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monta_auth import (
    PARTNER_API,
    PARTNER_SANDBOX_API,
    PUBLIC_API,
    InvalidTokenResponseError,
    MontaAuthError,
    RateLimitError,
    TokenEndpointError,
    TokenSet,
)
from monta_auth._core.application import Application, Ask, find_application, read_application
from monta_auth._core.replies import Reply
from monta_auth._core.source import Source
from monta_auth.emulator import Emulator

NOW = 1_754_472_037.25
# From the public API reference.
PUBLIC = {
    "id": 12,
    "userId": 14,
    "name": "Application name",
    "clientId": "b1b8f8a0-0b0a-4b0a-8b0a-0b0a4b0a8b0a",
    "clientSecret": None,
    "scopes": ["all"],
    "createdAt": "2022-05-12T15:56:45.12Z",
    "updatedAt": "2022-05-13T15:56:45Z",
}
# From the partner API reference.
PARTNER = {
    "name": "Consumer",
    "operatorId": 7,
    "operatorIds": [7, 8],
    "teamIds": [],
    "clientId": "consumer",
    "scopes": ["charge-points:read", "all:write"],
    "rateLimit": 1000,
    "rateLimitIntervalInSeconds": 600,
}


def reply(data: Any = None, status: int = 200, **headers: str) -> Reply:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, names, body)


def source_at(base_url: str, **settings: Any) -> Source:
    settings = settings or {"client_id": "id", "client_secret": "the-secret"}
    return Source(base_url=base_url, **settings)


def asked(source: Source, *replies: Reply) -> tuple[list[str], Application]:
    """Return the requested URLs, and the result of the replies."""
    flow = find_application(source, wall=lambda: NOW)
    ask, urls, pending = next(flow), list[str](), list(replies)
    while True:
        assert ask.headers == {"Accept": "application/json"}
        urls.append(ask.url)
        try:
            ask = flow.send(pending.pop(0))
        except StopIteration as done:
            assert pending == []
            return urls, done.value


def test_the_public_apis_response_is_read() -> None:
    assert read_application(reply(PUBLIC), NOW) == Application(
        id=12,
        user_id=14,
        name="Application name",
        client_id="b1b8f8a0-0b0a-4b0a-8b0a-0b0a4b0a8b0a",
        scopes=("all",),
        created_at=datetime(2022, 5, 12, 15, 56, 45, 120_000, UTC),
        updated_at=datetime(2022, 5, 13, 15, 56, 45, tzinfo=UTC),
    )


def test_the_partner_apis_response_is_read() -> None:
    assert read_application(reply(PARTNER), NOW) == Application(
        name="Consumer",
        client_id="consumer",
        scopes=("charge-points:read", "all:write"),
        rate_limit=1000,
        rate_limit_interval=600,
        operator_id=7,
        operator_ids=(7, 8),
        team_ids=(),
    )


@pytest.mark.parametrize("partner", [False, True], ids=["public", "partner"])
def test_the_emulators_response_is_read(partner: bool) -> None:
    emulator = Emulator(partner=partner)
    me = read_application(reply(emulator._state.me(emulator.client_id)), NOW)
    assert me.client_id == emulator.client_id
    assert me.scopes
    assert (me.rate_limit is None) is not partner


def test_all_fields_except_the_scopes_may_be_missing() -> None:
    me = read_application(reply({"scopes": ["all"], "somethingNew": {"a": 1}}), NOW)
    assert me == Application(scopes=("all",))


def test_a_field_of_another_type_is_ignored() -> None:
    odd = {name: {"odd": [1]} for name in (*PUBLIC, *PARTNER)} | {"name": "still here"}
    assert read_application(reply(odd), NOW) == Application(name="still here")
    mixed = {"scopes": ["all", None, 7], "operatorIds": [1, "2", True], "id": True}
    me = read_application(reply(mixed), NOW)
    assert (me.scopes, me.operator_ids, me.id) == (("all",), (1,), None)


def test_an_application_is_an_immutable_value() -> None:
    me = read_application(reply(PARTNER), NOW)
    assert hash(me) == hash(read_application(reply(PARTNER), NOW))
    assert pickle.loads(pickle.dumps(me)) == me == copy.deepcopy(me)
    assert "rate_limit=1000" in repr(me)
    with pytest.raises(AttributeError):
        me.name = "another"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("base_url", "first", "second"),
    [
        pytest.param(PUBLIC_API, "/auth/me", "/consumers/me", id="public"),
        pytest.param(PARTNER_API, "/consumers/me", "/auth/me", id="partner"),
        pytest.param(PARTNER_SANDBOX_API, "/consumers/me", "/auth/me", id="sandbox"),
        pytest.param("http://localhost:1/api/v1", "/auth/me", "/consumers/me", id="another"),
    ],
)
def test_the_path_of_the_hosts_api_is_requested_first(
    base_url: str, first: str, second: str
) -> None:
    source = source_at(base_url)
    urls, me = asked(source, reply(PUBLIC))
    assert (urls, me.id) == ([base_url + first], 12)
    urls, me = asked(source, reply(status=404), reply(PARTNER))
    assert (urls, me.operator_id) == ([base_url + first, base_url + second], 7)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 405, 410, 429, 500, 503])
def test_only_after_a_404_the_other_path_is_requested(status: int) -> None:
    with pytest.raises(TokenEndpointError) as caught:
        asked(source_at(PUBLIC_API), reply(status=status))
    assert caught.value.status == status
    assert caught.value.retryable == (status in (429, 500, 503))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        pytest.param(reply(status=404), "/api/v1", id="404"),
        pytest.param(reply(status=401), "refuses the token", id="401"),
        pytest.param(reply({"errorCode": "ACCESS_FORBIDDEN"}, 403), "ACCESS_FORBIDDEN", id="403"),
        pytest.param(reply(status=302, location="http://elsewhere/"), "HTTP 302", id="302"),
    ],
)
def test_an_error_says_what_happened(answer: Reply, text: str) -> None:
    with pytest.raises(TokenEndpointError, match=text):
        read_application(answer, NOW)


def test_a_rate_limit_says_how_long_to_wait() -> None:
    body = {"context": {"rateLimitResponse": {"resetsIn": 25}}, "message": "slow down"}
    with pytest.raises(RateLimitError, match="slow down") as caught:
        read_application(reply(body, 429, request_id="r-1"), NOW)
    error = caught.value
    assert (error.retry_after, error.request_id, error.retryable) == (25.0, "r-1", True)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>", id="html"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x80", id="no text"),
        pytest.param(b"[" * 100_000, id="deeply nested"),
        pytest.param([PUBLIC], id="a list"),
        pytest.param(None, id="null"),
        pytest.param({}, id="empty"),
        pytest.param({"clientSecret": "x"}, id="nothing known"),
        pytest.param({"errorCode": "UNKNOWN", "name": "x"}, id="an envelope with 200"),
    ],
)
def test_an_unreadable_response_raises_our_error(body: Any) -> None:
    with pytest.raises(InvalidTokenResponseError, match="something other"):
        read_application(reply(body), NOW)


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*PUBLIC, *PARTNER]), inner),
)


@given(data=JSON, status=st.integers(100, 599))
def test_any_response_gives_a_value_or_our_error(data: Any, status: int) -> None:
    try:
        me = read_application(reply(data, status), NOW)
    except MontaAuthError:
        return
    assert 200 <= status < 300
    assert all(isinstance(scope, str) for scope in me.scopes)
    hash(me)


def test_an_error_does_not_repeat_a_secret() -> None:
    """A server may quote the token in its message. Our error must not repeat it."""
    born = datetime.fromtimestamp(NOW, UTC)
    pair = TokenSet("the-access-token", "the-refresh-token", born.replace(year=2999))
    source = source_at(PUBLIC_API, client_id="id", client_secret="the-secret", token=pair)
    said = "no the-access-token, no the-refresh-token, no the-secret"
    with pytest.raises(TokenEndpointError) as caught:
        asked(source, reply({"message": said}, 403))
    assert caught.value.api_message == "no [redacted], no [redacted], no [redacted]"
    assert "the-" not in str(caught.value)


def test_without_credentials_an_error_needs_no_secret_to_hide() -> None:
    born = datetime.fromtimestamp(NOW, UTC)
    pair = TokenSet("the-access-token", None, born.replace(year=2999))
    urls, _ = asked(source_at(PUBLIC_API, token=pair), reply(PUBLIC))
    assert urls == [PUBLIC_API + "/auth/me"]


def test_the_effects_repr_shows_only_its_url() -> None:
    assert repr(Ask("https://api/x")) == "Ask('https://api/x')"
