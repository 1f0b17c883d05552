"""One token pair, its JSON form, the header with the token, and dates."""

import copy
import http.client
import inspect
import io
import json
import pickle
import pprint
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

import httpx
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from monta_auth import ConfigurationError, TokenSet
from monta_auth._core.secret import bearer
from monta_auth._core.tokens import fingerprint, is_token, parse_date, whole_number

ACCESS = "5d1c1a3e-access-4c1d-8a77-b1f6e2a90c11"
REFRESH = "9e8b7c6d-refresh-4f0a-9c55-0d2f4b6a8e22"
BORN = datetime(2025, 8, 6, 8, 20, 37, 250000, tzinfo=UTC)
PAIR = TokenSet(
    access_token=ACCESS,
    refresh_token=REFRESH,
    access_expires_at=datetime(2025, 8, 6, 9, 20, 37, 764028, tzinfo=UTC),
    refresh_expires_at=datetime(2025, 9, 5, 8, 20, 37, tzinfo=UTC),
    issued_at=BORN,
    application_id=17,
    user_id=4711,
)
BARE = TokenSet(ACCESS, None, datetime(2025, 8, 6, 9, tzinfo=UTC))

Show = Callable[[object], str]

tokens = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64)
dates = st.datetimes(
    min_value=datetime(2, 1, 1),
    max_value=datetime(9998, 1, 1),
    timezones=st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))),
)
pairs = st.builds(
    TokenSet,
    access_token=tokens,
    refresh_token=st.none() | tokens,
    access_expires_at=dates,
    refresh_expires_at=st.none() | dates,
    issued_at=st.none() | dates,
    application_id=st.none() | st.integers(),
    user_id=st.none() | st.integers(),
)


# --- TokenSet


@pytest.mark.parametrize(
    "show",
    [
        pytest.param(repr, id="repr"),
        pytest.param(str, id="str"),
        pytest.param("{}".format, id="format"),
        pytest.param(pprint.pformat, id="pprint"),
    ],
)
@pytest.mark.parametrize("pair", [PAIR, BARE], ids=["full", "bare"])
def test_no_text_of_a_pair_shows_a_token(show: Show, pair: TokenSet) -> None:
    text = show(pair)
    assert ACCESS not in text
    assert REFRESH not in text
    assert text.startswith("TokenSet(")


def test_the_repr_shows_a_fingerprint_and_the_expiry() -> None:
    assert fingerprint(ACCESS) in repr(PAIR)
    assert "access_expires_at=2025-08-06T09:20:37.764028Z" in repr(PAIR)
    assert "refresh_expires_at=None" in repr(BARE)


def test_a_pair_is_a_frozen_value_without_a_dict() -> None:
    assert PAIR.__replace__() == PAIR
    assert hash(PAIR.__replace__()) == hash(PAIR)
    assert not hasattr(PAIR, "__dict__")
    assert PAIR != BARE
    assert PAIR.to_dict() != PAIR
    with pytest.raises(AttributeError, match="cannot be changed"):
        PAIR.access_token = "other"  # type: ignore[misc]
    with pytest.raises(AttributeError, match="cannot be changed"):
        del PAIR.access_token  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("other", [copy.copy(PAIR), copy.deepcopy(PAIR)], ids=["copy", "deepcopy"])
def test_a_pair_can_be_copied(other: TokenSet) -> None:
    assert other == PAIR


def test_a_pair_can_be_pickled() -> None:
    """Only this and `to_dict` are meant to take tokens out of the process."""
    assert pickle.loads(pickle.dumps(PAIR)) == PAIR


@given(pair=pairs)
def test_a_pair_can_be_converted_to_json_and_back(pair: TokenSet) -> None:
    text = json.dumps(pair.to_dict())
    assert TokenSet.from_dict(json.loads(text)) == pair
    assert TokenSet.from_dict(pair.to_dict()) == pair


def test_the_json_form_does_not_change() -> None:
    """A newer version must be able to read a file of an older one."""
    assert PAIR.to_dict() == {
        "access_token": ACCESS,
        "refresh_token": REFRESH,
        "access_expires_at": "2025-08-06T09:20:37.764028Z",
        "refresh_expires_at": "2025-09-05T08:20:37Z",
        "issued_at": "2025-08-06T08:20:37.250000Z",
        "application_id": 17,
        "user_id": 4711,
    }
    assert list(PAIR.to_dict()) == list(inspect.signature(TokenSet).parameters)


def test_unknown_keys_are_ignored_and_the_mapping_is_not_changed() -> None:
    data = PAIR.to_dict() | {"version": 2}
    before = dict(data)
    assert TokenSet.from_dict(data) == PAIR
    assert data == before


def test_optional_fields_may_be_missing() -> None:
    assert (
        TokenSet.from_dict({"access_token": ACCESS, "access_expires_at": "2025-08-06T09:00:00Z"})
        == BARE
    )


@pytest.mark.parametrize("name", ["access_expires_at", "refresh_expires_at", "issued_at"])
def test_dates_are_converted_to_utc(name: str) -> None:
    """Comparing and printing dates of two zones easily causes errors of an hour."""
    east = timezone(timedelta(hours=2))
    value = datetime(2025, 8, 6, 11, tzinfo=east)
    pair = PAIR.__replace__(**{name: value})
    assert getattr(pair, name) == value
    assert getattr(pair, name).tzinfo is UTC


@pytest.mark.parametrize("name", ["access_expires_at", "refresh_expires_at", "issued_at"])
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(datetime(2025, 8, 6, 9), id="naive"),
        pytest.param("2025-08-06T09:00:00Z", id="text"),
        pytest.param(1754470800, id="number"),
        pytest.param(date(2025, 8, 6), id="date"),
    ],
)
def test_a_date_without_a_time_zone_is_refused_by_name(name: str, value: object) -> None:
    """Python takes a naive date for local time, and the API for UTC."""
    with pytest.raises(ConfigurationError, match=f"{name} must be a datetime with a time zone"):
        PAIR.__replace__(**{name: value})


def test_the_access_tokens_expiry_must_be_there() -> None:
    with pytest.raises(ConfigurationError, match="access_expires_at"):
        TokenSet(ACCESS, None, None)  # type: ignore[arg-type]


NO_TOKENS = [
    pytest.param("", id="empty"),
    pytest.param("s3cr3t token", id="space"),
    pytest.param("s3cr3t\n", id="newline at the end"),
    pytest.param("s3cr3t\r\nX-Header: 1", id="header injection"),
    pytest.param("s3cr3t\u00e9", id="not ASCII"),
    pytest.param("s3cr3t\x7f", id="delete"),
    pytest.param("s" * 8193, id="too long"),
    pytest.param(b"s3cr3t", id="bytes"),
    pytest.param(17, id="number"),
]


@pytest.mark.parametrize("value", NO_TOKENS)
@pytest.mark.parametrize("name", ["access_token", "refresh_token"])
def test_a_token_that_is_not_allowed_in_a_header_is_refused(name: str, value: object) -> None:
    assert not is_token(value)
    with pytest.raises(ConfigurationError, match=f"{name} must be visible ASCII") as caught:
        PAIR.__replace__(**{name: value})
    assert "s3cr3t" not in str(caught.value)


def test_only_the_refresh_token_may_be_absent() -> None:
    assert PAIR.__replace__(refresh_token=None).refresh_token is None
    with pytest.raises(ConfigurationError, match="access_token"):
        PAIR.__replace__(access_token=None)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param(None, "takes the mapping", id="none"),
        pytest.param("{}", "takes the mapping", id="text"),
        pytest.param([], "takes the mapping", id="list"),
        pytest.param({}, "access_expires_at", id="empty"),
        pytest.param({"access_token": ACCESS}, "access_expires_at", id="no expiry"),
        pytest.param(PAIR.to_dict() | {"access_expires_at": 17}, "access_expires_at", id="number"),
        pytest.param(PAIR.to_dict() | {"access_expires_at": "soon"}, "not a date", id="no date"),
        pytest.param(PAIR.to_dict() | {"access_token": None}, "access_token", id="no token"),
        pytest.param(PAIR.to_dict() | {"access_token": "a b"}, "access_token", id="bad token"),
        pytest.param(PAIR.to_dict() | {"refresh_token": 1}, "refresh_token", id="bad refresh"),
    ],
)
def test_invalid_data_raises_a_configuration_error(data: object, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text) as caught:
        TokenSet.from_dict(data)  # type: ignore[arg-type]
    assert ACCESS not in str(caught.value)
    assert REFRESH not in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


any_fields = st.fixed_dictionaries({}, optional=dict.fromkeys(PAIR.to_dict(), json_values))


@given(data=json_values | any_fields)
def test_any_json_is_a_pair_or_a_configuration_error(data: object) -> None:
    """If somebody edited a file, the error must explain what is wrong."""
    try:
        assert isinstance(TokenSet.from_dict(data), TokenSet)  # type: ignore[arg-type]
    except ConfigurationError:
        pass


@given(changes=any_fields)
def test_a_pair_with_any_fields_damaged_is_a_pair_or_a_configuration_error(
    changes: dict[str, object],
) -> None:
    try:
        assert isinstance(TokenSet.from_dict(PAIR.to_dict() | changes), TokenSet)
    except ConfigurationError:
        pass


@pytest.mark.parametrize(
    ("value", "number"), [(7, 7), (0, 0), (True, None), ("7", None), (7.0, None), (None, None)]
)
def test_ids_must_be_whole_numbers(value: object, number: int | None) -> None:
    assert whole_number(value) == number


# --- the header


HEADER = bearer(ACCESS)


def test_a_header_is_equal_to_the_plain_string() -> None:
    plain = f"Bearer {ACCESS}"
    header = bearer(ACCESS)
    assert header == plain
    assert plain == header
    assert hash(header) == hash(plain)
    assert len({header, plain}) == 1
    assert header != bearer(REFRESH)
    assert isinstance(HEADER, str)
    assert HEADER.encode() == plain.encode()
    assert HEADER.encode("latin-1") == plain.encode()


SHOWS = [
    pytest.param(repr, id="repr"),
    pytest.param(ascii, id="ascii"),
    pytest.param("{!r}".format, id="format"),
    pytest.param(lambda value: "%r" % (value,), id="percent"),  # noqa: UP031
    pytest.param(pprint.pformat, id="pprint"),
]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(HEADER, id="text"),
        pytest.param(HEADER.encode(), id="bytes"),
        pytest.param(HEADER.encode("ascii", "replace"), id="bytes, arguments"),
    ],
)
@pytest.mark.parametrize("show", SHOWS)
def test_the_repr_of_a_header_and_of_its_bytes_shows_no_token(show: Show, value: object) -> None:
    """Tracebacks with locals (pytest, Sentry, rich) print the repr of every header."""
    for shown in (show(value), show({"Authorization": value}), show([value])):
        assert ACCESS not in shown
        assert "Bearer [redacted]" in shown


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [HEADER, HEADER.encode()], ids=["text", "bytes"])
def test_a_pickle_of_a_header_holds_no_token(value: object, protocol: int) -> None:
    """Caches and task queues pickle prepared requests."""
    pickled = pickle.dumps({"Authorization": value}, protocol)
    assert ACCESS.encode() not in pickled
    restored = pickle.loads(pickled)["Authorization"]
    assert restored in ("Bearer [redacted]", b"Bearer [redacted]")
    assert type(restored) in (str, bytes)


def test_a_prepared_request_can_be_pickled_without_its_token() -> None:
    request = requests.Request("GET", "https://x.example", headers={"Authorization": HEADER})
    assert ACCESS.encode() not in pickle.dumps(request.prepare())


def test_requests_accepts_the_header_and_does_not_show_it() -> None:
    prepared = requests.Request("GET", "https://x.example/").prepare()
    prepared.headers["Authorization"] = HEADER
    assert ACCESS not in repr(prepared.headers)
    assert prepared.copy().headers["Authorization"] == f"Bearer {ACCESS}"
    assert isinstance(prepared.headers, CaseInsensitiveDict)
    # check_header_validity runs here
    prepared.prepare_headers({"Authorization": HEADER})
    assert prepared.headers["Authorization"] == f"Bearer {ACCESS}"


def test_requests_sends_the_header_as_it_is() -> None:
    sent: list[bytes] = []

    class Connection:
        """The part of a socket that http.client needs."""

        def sendall(self, data: bytes) -> None:
            sent.append(bytes(data))

        def makefile(self, *args: object) -> io.BytesIO:
            return io.BytesIO(b"HTTP/1.1 204 No Content\r\n\r\n")

        def close(self) -> None:
            pass

    connection = http.client.HTTPConnection("x.example")
    connection.sock = Connection()
    connection.request("GET", "/", headers=CaseInsensitiveDict(Authorization=HEADER))
    assert connection.getresponse().status == 204
    assert f"\r\nAuthorization: Bearer {ACCESS}\r\n".encode() in b"".join(sent)


@pytest.mark.parametrize("encoding", [None, "utf-8", "latin-1"])
def test_httpx_sends_the_header_as_it_is(encoding: str | None) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(204)

    headers = httpx.Headers({"Authorization": HEADER}, encoding=encoding)
    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        assert client.get("https://x.example/", headers=headers).status_code == 204
    (request,) = seen
    assert request.headers["authorization"] == f"Bearer {ACCESS}"
    assert (b"Authorization", f"Bearer {ACCESS}".encode()) in request.headers.raw
    assert ACCESS not in repr(request.headers)


def test_httpx_accepts_the_header_on_a_built_request() -> None:
    """An auth flow of httpx sets it there."""
    request = httpx.Request("GET", "https://x.example/")
    request.headers["Authorization"] = HEADER
    assert request.headers["Authorization"] == HEADER
    assert ACCESS not in repr(request.headers.raw)


# --- fingerprints and dates


def test_a_fingerprint_distinguishes_tokens_and_reveals_nothing() -> None:
    assert fingerprint(ACCESS) == fingerprint(ACCESS)
    assert fingerprint(ACCESS) != fingerprint(REFRESH)
    assert len(fingerprint(ACCESS)) == 8
    assert fingerprint(ACCESS) not in ACCESS


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2025-08-06T09:20:37Z", 0),
        ("2025-08-06T09:20:37.7Z", 700000),
        ("2025-08-06T09:20:37.703Z", 703000),
        ("2025-08-06T09:20:37.703819Z", 703819),
        ("2025-08-06T09:20:37.764028340Z", 764028),
        ("2025-08-06T09:20:37.764028340", 764028),
        ("2025-08-06T11:20:37.703+02:00", 703000),
        ("2025-08-06T03:50:37.703-05:30", 703000),
    ],
)
def test_dates_in_montas_format_are_read(text: str, microsecond: int) -> None:
    """Six and nine digits were observed. Many libraries cannot read one of them."""
    expected = datetime(2025, 8, 6, 9, 20, 37, microsecond, tzinfo=UTC)
    assert parse_date(text) == expected
    assert parse_date(text).tzinfo is UTC  # type: ignore[union-attr]


@given(
    moment=st.datetimes(timezones=st.just(UTC)),
    digits=st.text("0123456789", max_size=30),
    zone=st.sampled_from(["Z", "+00:00", ""]),
)
def test_any_number_of_fraction_digits_is_read(moment: datetime, digits: str, zone: str) -> None:
    moment = moment.replace(microsecond=0)
    text = moment.isoformat().removesuffix("+00:00") + ("." + digits if digits else "") + zone
    expected = moment.replace(microsecond=int(digits[:6].ljust(6, "0")))
    assert parse_date(text) == expected


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="none"),
        pytest.param(1754472037, id="number"),
        pytest.param("", id="empty"),
        pytest.param("soon", id="word"),
        pytest.param("2025-13-01T00:00:00Z", id="month 13"),
        pytest.param("Wed, 06 Aug 2025 09:20:37 GMT", id="HTTP date"),
        pytest.param("1754472037", id="timestamp"),
        pytest.param("0001-01-01T00:00:00+14:00", id="before the year 1"),
        pytest.param("9999-12-31T23:59:59-14:00", id="after the year 9999"),
        pytest.param("2025-08-06T09:20:37.\ud800Z", id="surrogate"),
    ],
)
def test_an_invalid_date_is_none(value: object) -> None:
    assert parse_date(value) is None


@given(value=st.text(max_size=40) | st.text("0123456789-:TZ+.W,", max_size=40) | json_values)
def test_any_value_is_an_aware_utc_date_or_none(value: object) -> None:
    found = parse_date(value)
    assert found is None or found.tzinfo is UTC


def test_a_copy_of_a_header_still_holds_the_token() -> None:
    """A deep copy of a prepared request is sent, while a pickle leaves the process."""
    header = bearer("abc")
    assert copy.copy(header) == header
    assert copy.deepcopy(header).encode() == b"Bearer abc"
    assert copy.copy(header.encode()) == copy.deepcopy(header.encode()) == b"Bearer abc"


class _NoZone(tzinfo):
    def utcoffset(self, dt: datetime | None) -> None:
        return None

    dst = tzname = utcoffset


@pytest.mark.parametrize(
    "date",
    [
        pytest.param(datetime.max.replace(tzinfo=timezone(-timedelta(hours=5))), id="overflow"),
        pytest.param(datetime(2026, 1, 1, tzinfo=_NoZone()), id="a zone that does not know"),
    ],
)
def test_a_date_that_is_no_exact_moment_is_refused(date: datetime) -> None:
    with pytest.raises(ConfigurationError, match="time zone"):
        TokenSet("a", None, date)
