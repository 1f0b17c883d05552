"""The auth endpoints: every reply gives a value or a MontaAuthError, and none shows a secret."""

import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monta_auth import (
    InvalidCredentialsError,
    InvalidTokenResponseError,
    MontaAuthError,
    RateLimitError,
    TokenEndpointError,
    TokenSet,
)
from monta_auth._core.policy import UNKNOWN_LIFE
from monta_auth._core.replies import Reply, is_worth_a_retry, wait_hint
from monta_auth._core.token_calls import (
    TokenRequest,
    mint_request,
    read_error,
    read_pair,
    read_refusal,
    refresh_request,
)

BASE = "https://public-api.monta.com/api/v1"
SECRET = "s3cr3t-0f-the-client"
REFRESH = "9e8b7c6d-refresh-4f0a-9c55-0d2f4b6a8e22"
MINT = mint_request(BASE, "client-7", SECRET)
RENEW = refresh_request(BASE, REFRESH)

NOW = datetime(2025, 8, 6, 8, 20, 37, tzinfo=UTC)
WALL = NOW.timestamp()
DATE = format_datetime(NOW, usegmt=True)

# From public logs of 2024 and 2025, with other tokens.
PAIR = {
    "accessToken": "5d1c1a3e-0000-4c1d-8a77-b1f6e2a90c11",
    "refreshToken": "9e8b7c6d-0000-4f0a-9c55-0d2f4b6a8e22",
    "accessTokenExpirationDate": "2025-08-06T09:20:37.764028340Z",
    "refreshTokenExpirationDate": "2025-09-05T08:20:37.764028340Z",
    "applicationId": 17,
    "userId": 4711,
}
ENVELOPE = {
    "status": "UNAUTHORIZED",
    "message": "Consumer not found",
    "readableMessage": None,
    "errorCode": "CONSUMER_NOT_FOUND",
    "context": None,
}


def reply(
    status: int = 200, body: object = b"", headers: dict[str, str] | None = None, **more: str
) -> Reply:
    """Return a reply. A body that is not bytes becomes JSON; `more` are headers (`_` for `-`)."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in more.items()}
    return Reply(status, {**(headers or {}), **names}, content)


def without(*names: str) -> dict[str, object]:
    return {name: value for name, value in PAIR.items() if name not in names}


# --- requests


@pytest.mark.parametrize(
    ("request_", "kind", "path", "body", "secret"),
    [
        pytest.param(
            MINT,
            "mint",
            "/auth/token",
            {"clientId": "client-7", "clientSecret": SECRET},
            SECRET,
            id="mint",
        ),
        pytest.param(
            RENEW, "refresh", "/auth/refresh", {"refreshToken": REFRESH}, REFRESH, id="refresh"
        ),
    ],
)
def test_a_token_call_is_built_as_in_the_api_reference(
    request_: TokenRequest, kind: str, path: str, body: dict[str, str], secret: str
) -> None:
    """JSON in camelCase, no grant type, no Authorization, and no secret in a refresh.

    No cache may store it.
    """
    assert request_.kind == kind
    assert request_.url == BASE + path
    assert json.loads(request_.body) == body
    assert b" " not in request_.body
    assert request_.headers == {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "Cache-Control": "no-store",
    }
    assert request_.secrets == (secret,)


@pytest.mark.parametrize("request_", [MINT, RENEW], ids=["mint", "refresh"])
def test_the_repr_of_a_request_shows_no_body(request_: TokenRequest) -> None:
    shown = repr(request_)
    assert request_.kind in shown
    assert request_.url in shown
    assert SECRET not in shown
    assert REFRESH not in shown


def test_requests_do_not_share_their_headers() -> None:
    """A library that adds a header to one request must not add it to the next one."""
    one, other = mint_request(BASE, "a", "x"), mint_request(BASE, "a", "x")
    assert one.headers is not other.headers


@given(secret=st.text(min_size=1))
def test_any_secret_is_sent_unchanged(secret: str) -> None:
    assert json.loads(mint_request(BASE, "a", secret).body)["clientSecret"] == secret


def test_a_reply_has_lower_case_headers_and_its_repr_shows_no_body() -> None:
    headers = {"Request-ID": "abc", "DATE": DATE}
    got = Reply(200, headers, b'{"accessToken":"s3cr3t"}')
    assert got.headers == {"request-id": "abc", "date": DATE}
    assert headers == {"Request-ID": "abc", "DATE": DATE}
    assert repr(got) == "Reply(200)"


# --- pairs


def test_the_pair_of_the_public_api_is_read() -> None:
    assert read_pair(reply(body=PAIR, Date=DATE), MINT, WALL) == TokenSet(
        access_token=str(PAIR["accessToken"]),
        refresh_token=str(PAIR["refreshToken"]),
        access_expires_at=datetime(2025, 8, 6, 9, 20, 37, 764028, tzinfo=UTC),
        refresh_expires_at=datetime(2025, 9, 5, 8, 20, 37, 764028, tzinfo=UTC),
        issued_at=NOW,
        application_id=17,
        user_id=4711,
    )


def test_the_pair_of_the_partner_api_has_no_ids() -> None:
    pair = read_pair(reply(body=without("applicationId", "userId"), Date=DATE), RENEW, WALL)
    assert (pair.application_id, pair.user_id) == (None, None)


def test_unknown_fields_and_another_order_do_not_matter() -> None:
    body = dict(reversed(list({**PAIR, "scope": "all", "expires_in": 7}.items())))
    assert read_pair(reply(body=body), MINT, WALL) == read_pair(reply(body=PAIR), MINT, WALL)


@pytest.mark.parametrize(
    "refresh", [None, "", "a b", 17, "\u00e9"], ids=["none", "empty", "space", "number", "letter"]
)
def test_an_unusable_refresh_token_is_dropped(refresh: object) -> None:
    pair = read_pair(reply(body={**PAIR, "refreshToken": refresh}), MINT, WALL)
    assert pair.refresh_token is None
    assert pair.access_token == PAIR["accessToken"]


# --- birth and life


@pytest.mark.parametrize(
    ("wall", "born"),
    [
        pytest.param(0.0, 0.0, id="the clocks agree"),
        pytest.param(0.25, 0.25, id="the local clock knows the fraction"),
        pytest.param(0.999, 0.999, id="at the end of the second"),
        pytest.param(1.5, 1.0, id="a little ahead: the end of the second"),
        pytest.param(-1.5, 0.0, id="a little behind: its beginning"),
        pytest.param(2.0, 1.0, id="two seconds ahead"),
        pytest.param(-2.0, 0.0, id="two seconds behind"),
        pytest.param(2.001, 0.5, id="too far ahead"),
        pytest.param(-2.001, 0.5, id="too far behind"),
        pytest.param(3600.0, 0.5, id="an hour ahead"),
        pytest.param(-1e9, 0.5, id="decades behind"),
    ],
)
def test_the_issue_date_is_the_servers_with_our_fraction_of_a_second(
    wall: float, born: float
) -> None:
    """`Date` has whole seconds. A clock that is off by more cannot supply the fraction."""
    pair = read_pair(reply(body=PAIR, Date=DATE), MINT, WALL + wall)
    assert pair.issued_at is not None
    assert (pair.issued_at - NOW).total_seconds() == pytest.approx(born, abs=1e-5)


@pytest.mark.parametrize(
    "date",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param("now", id="word"),
        pytest.param("2025-08-06T08:20:37Z", id="ISO 8601"),
        pytest.param("Mon, 99 Jan 2025 00:00:00 GMT", id="day 99"),
        pytest.param("Fri, 31 Dec 9999 23:59:59 -1400", id="after the year 9999"),
    ],
)
def test_without_a_readable_date_the_local_clock_is_used(date: str | None) -> None:
    headers = {} if date is None else {"Date": date}
    pair = read_pair(reply(body=PAIR, headers=headers), MINT, WALL + 7.25)
    assert pair.issued_at == NOW + timedelta(seconds=7.25)


def test_a_date_without_a_zone_is_in_utc() -> None:
    pair = read_pair(reply(body=PAIR, Date="Wed, 06 Aug 2025 08:20:37 -0000"), MINT, WALL)
    assert pair.issued_at == NOW


@pytest.mark.parametrize(
    "expires",
    [
        pytest.param(None, id="none"),
        pytest.param("soon", id="word"),
        pytest.param(1754472037, id="number"),
        pytest.param("2025-08-06T08:20:37Z", id="life of 0"),
        pytest.param("2025-08-06T08:20:36Z", id="in the past"),
        pytest.param("1970-01-01T00:00:00Z", id="long past"),
        pytest.param("2025-09-05T08:20:37.000001Z", id="over 30 days"),
        pytest.param("9999-12-31T23:59:59Z", id="for ever"),
    ],
)
def test_an_impossible_life_is_taken_for_five_minutes(expires: object) -> None:
    """An "always expired" token would cause a token call for each request."""
    body = {**PAIR, "accessTokenExpirationDate": expires}
    pair = read_pair(reply(body=body, Date=DATE), MINT, WALL)
    assert pair.access_expires_at == NOW + timedelta(seconds=UNKNOWN_LIFE)
    assert timedelta(minutes=5) == timedelta(seconds=UNKNOWN_LIFE)


@pytest.mark.parametrize(
    "life", [timedelta(microseconds=1), timedelta(seconds=2), timedelta(days=30)], ids=str
)
def test_a_life_of_up_to_thirty_days_is_accepted(life: timedelta) -> None:
    body = {**PAIR, "accessTokenExpirationDate": (NOW + life).isoformat()}
    pair = read_pair(reply(body=body, Date=DATE), MINT, WALL)
    assert pair.access_expires_at == NOW + life


@pytest.mark.parametrize(
    "expires", [None, "soon", "2025-08-06T08:20:37Z", "1970-01-01T00:00:00Z"], ids=str
)
def test_an_impossible_refresh_expiry_is_treated_as_unknown(expires: str | None) -> None:
    body = {**PAIR, "refreshTokenExpirationDate": expires}
    assert read_pair(reply(body=body, Date=DATE), MINT, WALL).refresh_expires_at is None


# --- a good status without a pair


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param(b"", "is base_url the API, and not a web page", id="empty"),
        pytest.param(b"<html>", "is base_url the API, and not a web page", id="web page"),
        pytest.param(b"\xff\xfe\x00", "without an access token", id="no text"),
        pytest.param(b"[" * 100_000, "without an access token", id="too deep"),
        pytest.param(b"1" * 5000, "without an access token", id="too long a number"),
        pytest.param([PAIR], "without an access token", id="a list"),
        pytest.param(without("accessToken"), "without an access token", id="no access token"),
        pytest.param({"accessToken": None}, "without an access token", id="null"),
        pytest.param({"accessToken": ""}, "is not valid in a header", id="empty token"),
        pytest.param({"accessToken": "a\r\nb"}, "is not valid in a header", id="header injection"),
        pytest.param({"accessToken": 7}, "is not valid in a header", id="number"),
        pytest.param({"accessToken": {"a": 1}}, "is not valid in a header", id="object"),
        pytest.param(ENVELOPE, "an error with a success status", id="envelope"),
    ],
)
def test_a_good_status_without_a_token_pair_raises_a_retryable_error(
    body: object, text: str
) -> None:
    """An error envelope with status 200 was observed in 2024."""
    with pytest.raises(InvalidTokenResponseError, match=text) as caught:
        read_pair(reply(body=body, request_id="rid-1"), MINT, WALL)
    assert caught.value.status == 200
    assert caught.value.request_id == "rid-1"
    assert caught.value.retryable
    assert "HTTP 200" in str(caught.value)


def test_the_error_for_an_envelope_with_a_good_status_has_its_code() -> None:
    with pytest.raises(InvalidTokenResponseError) as caught:
        read_pair(reply(body=ENVELOPE), MINT, WALL)
    assert caught.value.error_code == "CONSUMER_NOT_FOUND"
    assert caught.value.api_message == "Consumer not found"


# --- errors


@pytest.mark.parametrize(
    ("status", "text", "retryable"),
    [
        (301, "redirects are not followed", False),
        (307, "redirects are not followed", False),
        (400, "refused the call", False),
        (403, "refused the call", False),
        (404, "is /api/v1 missing at the end of base_url", False),
        (408, "failed", True),
        (422, "refused the call", False),
        (425, "failed", True),
        (429, "rate limit of these credentials", True),
        (500, "failed", True),
        (503, "failed", True),
        (599, "failed", True),
    ],
)
def test_the_error_for_each_status_says_what_to_do(status: int, text: str, retryable: bool) -> None:
    error = read_error(reply(status, ENVELOPE, request_id="rid-1"), MINT, WALL)
    assert text in str(error)
    assert error.retryable is retryable is is_worth_a_retry(status)
    assert type(error) is (RateLimitError if status == 429 else TokenEndpointError)
    assert (error.status, error.error_code) == (status, "CONSUMER_NOT_FOUND")
    assert (error.api_message, error.request_id) == ("Consumer not found", "rid-1")
    assert error.retry_after is None
    for fact in (f"HTTP {status}", "CONSUMER_NOT_FOUND", "Consumer not found", "request-id rid-1"):
        assert fact in str(error)


def test_an_error_without_an_envelope_only_shows_the_status() -> None:
    error = read_error(reply(502, b"<html>Bad gateway</html>"), MINT, WALL)
    what = "the token endpoint of public-api.monta.com failed"
    assert str(error) == f"{what}; try again later (HTTP 502)"
    assert (error.error_code, error.api_message, error.request_id) == (None, None, None)


def test_the_error_for_refused_credentials_names_the_host_and_the_usual_mistake() -> None:
    error = read_refusal(reply(401, ENVELOPE), MINT, "client-7")
    assert type(error) is InvalidCredentialsError
    assert str(error).startswith("public-api.monta.com does not accept client id 'client-7' with")
    assert "of another environment" in str(error)
    assert (error.status, error.error_code) == (401, "CONSUMER_NOT_FOUND")
    assert not error.retryable


@pytest.mark.parametrize("value", [7, None, "", [], {}, True], ids=repr)
def test_a_field_that_is_not_text_is_ignored(value: object) -> None:
    error = read_error(reply(400, {"errorCode": value, "message": value}), MINT, WALL)
    assert (error.error_code, error.api_message) == (None, None)


def test_a_servers_text_is_shortened_and_made_printable() -> None:
    """It is shown in terminals and logs: no escape sequences, no forged lines, no long texts."""
    word = "\x1b[31mred\n2025-08-06 ERROR forged\u202e\ud800"
    error = read_error(reply(400, {"message": word + "x" * 1000}), MINT, WALL)
    assert error.api_message is not None
    assert error.api_message.isprintable()
    assert error.api_message.startswith(" [31mred 2025-08-06 ERROR forged  xxx")
    assert len(error.api_message) == 300


# --- how long to wait


def limit(**fields: object) -> dict[str, object]:
    return {**ENVELOPE, "context": {"rateLimitResponse": fields}}


AGO = format_datetime(NOW - timedelta(seconds=90), usegmt=True)
LATER = format_datetime(NOW + timedelta(seconds=90), usegmt=True)


@pytest.mark.parametrize(
    ("status", "body", "headers", "seconds"),
    [
        pytest.param(429, b"", {}, None, id="nothing"),
        pytest.param(429, limit(resetsIn=25), {}, 25, id="body"),
        pytest.param(429, limit(resetsIn=0), {"Retry-After": "9"}, 0, id="zero is a value"),
        pytest.param(429, limit(resetsIn="2.5"), {}, 2.5, id="body, text"),
        pytest.param(429, b"", {"RateLimit-ResetsIn": "12"}, 12, id="header of the Partner API"),
        pytest.param(429, b"", {"Retry-After": "7"}, 7, id="Retry-After"),
        pytest.param(
            429,
            limit(resetsIn=25),
            {"RateLimit-ResetsIn": "12", "Retry-After": "7"},
            25,
            id="body first",
        ),
        pytest.param(
            429,
            limit(resetsIn="?"),
            {"RateLimit-ResetsIn": "12", "Retry-After": "7"},
            12,
            id="then the Partner API's header",
        ),
        pytest.param(
            429,
            limit(quota=10),
            {"RateLimit-ResetsIn": "soon", "Retry-After": "7"},
            7,
            id="then Retry-After",
        ),
        pytest.param(
            503,
            limit(resetsIn=25),
            {"RateLimit-ResetsIn": "599"},
            None,
            id="5xx: the quota's end is no hint",
        ),
        pytest.param(503, b"", {"Retry-After": "7"}, 7, id="5xx: Retry-After is"),
        pytest.param(429, {"context": None}, {}, None, id="no context"),
        pytest.param(429, {"context": []}, {}, None, id="context is a list"),
        pytest.param(429, {"context": {"rateLimitResponse": 7}}, {}, None, id="a number inside"),
        pytest.param(429, [limit(resetsIn=25)], {}, None, id="a list"),
        pytest.param(429, b"", {"Retry-After": "-1"}, None, id="negative"),
        pytest.param(429, b"", {"Retry-After": "nan"}, None, id="not a number"),
        pytest.param(429, b"", {"Retry-After": "inf"}, None, id="infinite"),
        pytest.param(429, b"", {"Retry-After": ""}, None, id="empty"),
        pytest.param(429, b"", {"Retry-After": "soon"}, None, id="word"),
        pytest.param(429, limit(resetsIn=True), {}, None, id="bool"),
        pytest.param(429, limit(resetsIn=10**400), {}, None, id="too big for a float"),
        pytest.param(429, b"", {"Retry-After": LATER, "Date": DATE}, 90, id="date"),
        pytest.param(429, b"", {"Retry-After": LATER, "Date": AGO}, 180, id="by its own clock"),
        pytest.param(429, b"", {"Retry-After": LATER}, 97, id="date, by the local clock"),
        pytest.param(429, b"", {"Retry-After": LATER, "Date": "x"}, 97, id="date, Date is a word"),
        pytest.param(429, b"", {"Retry-After": AGO, "Date": DATE}, 0, id="date in the past"),
    ],
)
def test_the_servers_retry_after_is_found(
    status: int, body: object, headers: dict[str, str], seconds: float | None
) -> None:
    """The local clock is 7 s behind. That must not matter if the reply has a `Date`."""
    got = reply(status, body, headers)
    assert wait_hint(got, WALL - 7) == seconds
    assert read_error(got, MINT, WALL - 7).retry_after == seconds


# --- anything at all


READERS: list[Callable[[Reply, TokenRequest], object]] = [
    lambda got, request: read_pair(got, request, WALL),
    lambda got, request: read_error(got, request, WALL),
    lambda got, request: read_refusal(got, request, "client-7"),
    lambda got, request: wait_hint(got, WALL),
]

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
# Without the last possible day: a pair without an expiry that is issued on it raises OverflowError
# (reported).
moments = st.datetimes(max_value=datetime(9999, 12, 30))
date_texts = (
    st.text(max_size=30)
    | st.text("0123456789:+-., GMTJan", max_size=40)
    | moments.map(format_datetime)
    | moments.map(lambda moment: moment.isoformat() + "Z")
    | st.integers().map(str)
    | st.floats().map(str)
)
bodies = (
    st.binary(max_size=200)
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {},
        optional={
            "accessToken": json_values | st.just(PAIR["accessToken"]),
            "refreshToken": json_values | st.just(PAIR["refreshToken"]),
            "accessTokenExpirationDate": json_values | date_texts,
            "refreshTokenExpirationDate": json_values | date_texts,
            "applicationId": json_values,
            "userId": json_values,
            "errorCode": json_values,
            "message": json_values,
            "context": json_values
            | st.fixed_dictionaries({"rateLimitResponse": json_values})
            | st.fixed_dictionaries(
                {"rateLimitResponse": st.fixed_dictionaries({"resetsIn": json_values})}
            ),
        },
    ).map(lambda value: json.dumps(value).encode())
)
headers = st.dictionaries(
    st.sampled_from(["Date", "Retry-After", "RateLimit-ResetsIn", "Request-Id"]), date_texts
) | st.dictionaries(st.text(max_size=10), st.text(max_size=30), max_size=4)


@given(status=st.integers(100, 999), headers=headers, body=bodies)
@settings(max_examples=1000)
@example(status=200, headers={"Date": "Mon, 1 Jan 2025 00:00:00 +99999999999"}, body=b"{}")
@example(status=429, headers={"Retry-After": "9" * 5000}, body=b"1" * 5000)
@example(status=200, headers={}, body=b"[" * 100_000)
def test_any_reply_gives_a_value_or_one_of_our_errors(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    """Whatever a proxy or a captive portal sends, no request raises a ValueError."""
    got = Reply(status, headers, body)
    for read in READERS:
        for request in (MINT, RENEW):
            try:
                value = read(got, request)
            except MontaAuthError as raised:
                value = raised
            if isinstance(value, MontaAuthError):
                restored = pickle.loads(pickle.dumps(value))
                assert vars(restored) == vars(value)
                assert value.status == status
                assert value.retry_after is None or value.retry_after >= 0
            if isinstance(value, TokenSet):
                assert value.issued_at is not None
                life = value.access_expires_at - value.issued_at
                assert timedelta(0) < life <= timedelta(days=30)
                assert TokenSet.from_dict(json.loads(json.dumps(value.to_dict()))) == value


# No brackets: "[redacted]" itself must not complete another secret.
secrets = st.text("abcdefXYZ0123456789-_.~+/=$\\\"'äß", min_size=8, max_size=40)


@given(data=st.data(), secret=secrets, kind=st.sampled_from(["mint", "refresh"]))
@settings(max_examples=500)
def test_no_text_of_a_server_puts_a_secret_into_an_error(
    data: st.DataObject, secret: str, kind: str
) -> None:
    """If an API quotes what it could not read, our secret must not get into a log."""
    make = {
        "mint": lambda: mint_request(BASE, "client-7", secret),
        "refresh": lambda: refresh_request(BASE, secret),
    }
    request = make[kind]()
    part = st.just(secret) | st.text(max_size=5) | st.just("x" * 290) | st.just(secret[:-1])
    text = st.lists(part, max_size=5).map("".join)
    body = {
        name: data.draw(text, label=name)
        for name in ("errorCode", "message", "readableMessage", "status", secret)
    }
    body["accessToken"] = data.draw(st.none() | st.just(f"no token {secret}"))  # type: ignore[assignment]
    content = data.draw(st.just(json.dumps(body).encode()) | text.map(str.encode), label="content")
    status = data.draw(st.sampled_from([200, 301, 400, 401, 404, 429, 500]), label="status")
    got = Reply(status, {"Request-Id": data.draw(text), "Retry-After": data.draw(text)}, content)

    for read in READERS:
        try:
            value = read(got, request)
        except MontaAuthError as raised:
            value = raised
        if isinstance(value, MontaAuthError):
            texts = [str(value), value.error_code, value.api_message, value.request_id]
            assert not any(secret in text for text in texts if text)
            assert value.__cause__ is None
            assert value.__context__ is None


def test_a_removed_secret_is_marked() -> None:
    error = read_error(reply(400, {"message": f"bad {SECRET}, {SECRET}"}), MINT, WALL)
    assert error.api_message == "bad [redacted], [redacted]"


def test_a_secret_is_removed_before_the_text_is_shortened() -> None:
    """Otherwise the beginning of the secret would remain."""
    error = read_error(reply(400, {"message": "x" * 290 + SECRET}), MINT, WALL)
    assert error.api_message == "x" * 290 + "[redacted]"


def test_the_last_possible_date_is_treated_as_no_date() -> None:
    reply = Reply(200, {"Date": "Fri, 31 Dec 9999 23:59:59 GMT"}, b'{"accessToken":"a"}')
    pair = read_pair(reply, mint_request("https://x.example", "id", "secret"), 0.0)
    assert pair.issued_at == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_secret_is_removed_from_a_message_after_it_was_made_printable() -> None:
    request = mint_request("https://x.example", "id", "s3cr3t value")
    error = read_error(Reply(400, {}, b'{"message":"bad s3cr3t\\nvalue"}'), request, 0.0)
    assert "s3cr3t" not in str(error)
