"""Which URLs are allowed to receive the token in every spelling, compared with other parsers."""

import logging
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st
from urllib3.util import parse_url

from monta_auth import PARTNER_API, PARTNER_SANDBOX_API, PUBLIC_API, ConfigurationError
from monta_auth._core.origins import Origin, Origins, clean_base_url, forget_warnings

MONTA = ("https", "public-api.monta.com", 443)


# --- the base URL


def test_without_a_base_url_it_is_the_public_api() -> None:
    assert clean_base_url(None) == PUBLIC_API == "https://public-api.monta.com/api/v1"


def test_the_environment_names_the_base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONTA_BASE_URL", PARTNER_API + "/")
    assert clean_base_url(None) == PARTNER_API
    assert clean_base_url(PARTNER_SANDBOX_API) == PARTNER_SANDBOX_API


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONTA_BASE_URL", "")
    assert clean_base_url(None) == PUBLIC_API


@pytest.mark.parametrize("value", [" ", "partner-api.monta.com", "http://partner-api.monta.com"])
def test_an_unusable_variable_is_named_in_the_error(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Users who set no base_url must learn where the bad one came from."""
    monkeypatch.setenv("MONTA_BASE_URL", value)
    with pytest.raises(ConfigurationError, match="MONTA_BASE_URL must"):
        clean_base_url(None)


@pytest.mark.parametrize(
    ("url", "warns"),
    [
        (PUBLIC_API, False),
        (PARTNER_SANDBOX_API, False),
        ("https://PUBLIC-API.MONTA.COM", False),
        ("http://localhost:8000/api/v1", False),
        ("https://127.0.0.1:8000", False),
        ("https://monta.internal.example/api/v1", True),
        ("https://evilmonta.com", True),
        ("https://public-api.monta.com.evil.example", True),
    ],
)
def test_a_base_url_of_the_environment_that_is_not_montas_is_logged_once(
    url: str, warns: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only once, since many objects read the variable. An argument is a deliberate choice."""
    clean_base_url(url)
    assert caplog.records == []
    monkeypatch.setenv("MONTA_BASE_URL", url)
    for _ in range(2):
        clean_base_url(None)
    text = (
        f"MONTA_BASE_URL sends the client secret and the tokens to {urlsplit(url).hostname}, which "
        "is not a host of Monta; if that is right, pass base_url= instead"
    )
    assert warned(caplog) == [text] * warns

    forget_warnings()
    clean_base_url(None)
    assert warned(caplog) == [text, text] * warns


@pytest.mark.parametrize("slashes", ["", "/", "//"])
def test_slashes_at_the_end_are_removed(slashes: str) -> None:
    assert clean_base_url("https://x.example/api" + slashes) == "https://x.example/api"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param("public-api.monta.com/api/v1", id="no scheme"),
        pytest.param("//public-api.monta.com", id="no scheme, two slashes"),
        pytest.param("ftp://public-api.monta.com", id="another scheme"),
        pytest.param("https:public-api.monta.com", id="no slashes"),
        pytest.param("https:/public-api.monta.com", id="one slash"),
        pytest.param("https:///api", id="no host"),
        pytest.param("https://:443/api", id="no host, port"),
        pytest.param("https://x.example:port", id="port is a word"),
        pytest.param("https://x.example:65536", id="port too high"),
        pytest.param("https://[::1", id="half a bracket"),
        pytest.param("https://x.example/a b", id="space"),
        pytest.param(" https://x.example", id="space in front"),
        pytest.param("https://x.example\n", id="newline behind"),
        pytest.param("https://x.exa\tmple", id="tab"),
        pytest.param("https://x.example/\x00", id="nul"),
        pytest.param("https://user@x.example", id="user"),
        pytest.param("https://user:word@x.example", id="password"),
        pytest.param("https://@x.example", id="empty user"),
        pytest.param("https://x.example?a=b", id="query"),
        pytest.param("https://x.example/#a", id="fragment"),
        pytest.param("https://bücher.example", id="host beyond ASCII"),
        pytest.param("https://evil.example\\.x.example/api", id="backslash in the host"),
        pytest.param("https://x%2eevil.example", id="percent in the host"),
        pytest.param("https://x.example/api?", id="empty query"),
        pytest.param("https://x.example/api#", id="empty fragment"),
        pytest.param("https://x.example/api/?", id="slash and empty query"),
        pytest.param(b"https://x.example", id="bytes"),
        pytest.param(7, id="number"),
    ],
)
def test_an_invalid_base_url_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        clean_base_url(value)
    assert "user:word" not in str(caught.value)


LOOPBACK = ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.10", "[::1]", "localhost:8000"]
NOT_LOOPBACK = [
    "public-api.monta.com",
    "10.0.0.1",
    "0.0.0.0",
    "[::]",
    "[fe80::1]",
    "localhost.",
    "localhost.example",
    "127.0.0.1.example",
    "127.1",
    "2130706433",
    "example.localhost",
]


@pytest.mark.parametrize("host", LOOPBACK)
def test_plain_http_is_allowed_for_loopback(host: str) -> None:
    url = f"http://{host}/api"
    assert clean_base_url(url) == url.lower()
    assert Origins("https://x.example", [url]).allows(url + "/charges")


@pytest.mark.parametrize("host", NOT_LOOPBACK)
def test_plain_http_is_refused_for_other_hosts(host: str) -> None:
    with pytest.raises(ConfigurationError, match="base_url must be https"):
        clean_base_url(f"http://{host}/api")
    with pytest.raises(ConfigurationError, match="allowed_origins must be https"):
        Origins("https://x.example", [f"http://{host}"])


# --- what is allowed


@pytest.mark.parametrize("allowed", ["https://x.example", ""], ids=["one URL", "empty"])
def test_a_single_string_of_allowed_origins_is_refused(allowed: str) -> None:
    """A string is iterable, so each of its letters would be taken for a URL."""
    with pytest.raises(ConfigurationError, match="a list of URLs"):
        Origins(PUBLIC_API, allowed)


@pytest.mark.parametrize("url", ["x.example", None, "https://x.example:x"])
def test_an_allowed_origin_must_be_a_url(url: str) -> None:
    with pytest.raises(ConfigurationError, match="allowed_origins"):
        Origins(PUBLIC_API, [url])


SAME = [
    pytest.param("https://public-api.monta.com", id="no slash"),
    pytest.param("https://public-api.monta.com?page=1", id="no slash, query"),
    pytest.param("https://public-api.monta.com#top", id="no slash, fragment"),
    pytest.param("https://public-api.monta.com/", id="root"),
    pytest.param("https://public-api.monta.com/api/v1/charges?page=1", id="path and query"),
    pytest.param("https://public-api.monta.com/other/path", id="outside of the base path"),
    pytest.param("https://PUBLIC-API.Monta.com/api/v1/charges", id="upper-case host"),
    pytest.param("HTTPS://public-api.monta.com/api/v1/charges", id="upper-case scheme"),
    pytest.param("https://public-api.monta.com:443/api/v1/charges", id="default port"),
    pytest.param("https://public-api.monta.com:/api/v1/charges", id="empty port"),
    pytest.param("https://user:word@public-api.monta.com/", id="userinfo"),
    pytest.param("https://evil.com@public-api.monta.com/", id="userinfo like a host"),
    pytest.param("https://public-api.monta.com/@evil.com/", id="at sign in the path"),
    pytest.param("https://public-api.monta.com?@evil.com/", id="at sign in the query"),
    pytest.param("https://public-api.monta.com/\\evil.com", id="backslash in the path"),
]
FOREIGN = [
    pytest.param("https://public-api.monta.com.evil.com/", id="our host as a subdomain"),
    pytest.param("https://public-api.monta.com@evil.com/", id="our host as a user"),
    pytest.param("https://public-api.monta.com:443@evil.com/", id="our host and port as a user"),
    pytest.param("https://public-api.monta.com\\@evil.com/", id="backslash, user"),
    pytest.param("https://evil.com\\@public-api.monta.com/", id="backslash, host"),
    pytest.param("https://evil.com\\.public-api.monta.com/", id="backslash, subdomain"),
    pytest.param("https://evil.com/https://public-api.monta.com/", id="our URL as a path"),
    pytest.param("https://evil.com#@public-api.monta.com/", id="our host in a fragment"),
    pytest.param("https://evil.com?@public-api.monta.com/", id="our host in a query"),
    pytest.param("https://evilpublic-api.monta.com/", id="our host at the end"),
    pytest.param("https://monta.com/", id="the parent domain"),
    pytest.param("https://a.public-api.monta.com/", id="a subdomain"),
    pytest.param("https://partner-api.monta.com/", id="another API of Monta"),
    pytest.param("https://public-api.monta.com./", id="trailing dot"),
    pytest.param("https://public-api.monta.com:8443/", id="another port"),
    pytest.param("https://public-api.monta.com:0/", id="port 0"),
    pytest.param("https://public-api.monta.com:x/", id="port is a word"),
    pytest.param("http://public-api.monta.com/", id="plain http"),
    pytest.param("http://public-api.monta.com:443/", id="plain http on 443"),
    pytest.param("wss://public-api.monta.com/", id="another scheme"),
    pytest.param("https:public-api.monta.com/", id="no slashes"),
    pytest.param("https:/public-api.monta.com/", id="one slash"),
    pytest.param("https:///public-api.monta.com/", id="three slashes"),
    pytest.param("//public-api.monta.com/", id="no scheme"),
    pytest.param("public-api.monta.com/", id="no scheme, no slashes"),
    pytest.param("/api/v1/charges", id="a path"),
    pytest.param("", id="nothing"),
    pytest.param("https://", id="no host"),
    pytest.param("https://[public-api.monta.com]/", id="brackets"),
    pytest.param("https://[::1/", id="half a bracket"),
    pytest.param("https://public-api.monta.com%2eevil.com/", id="percent sign in the host"),
    pytest.param("https://public-api.monta\u0131.com/", id="IDNA: another letter"),
    pytest.param("https://" + "ü" * 80 + ".com/", id="IDNA: cannot be encoded"),
    pytest.param("https://public-api.monta.com\u2100.evil.com/", id="IDNA: makes a slash"),
]


@pytest.mark.parametrize("url", SAME)
def test_every_spelling_of_the_base_urls_origin_is_allowed(url: str) -> None:
    assert Origins(PUBLIC_API).allows(url)


@pytest.mark.parametrize("url", FOREIGN)
def test_nothing_else_is_allowed(url: str) -> None:
    assert not Origins(PUBLIC_API).allows(url)


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        pytest.param("https://x.example:443/api", "https://x.example/a", id="port 443"),
        pytest.param("https://x.example:/api", "https://x.example/a", id="empty port"),
        pytest.param("https://X.example/api", "https://x.example/a", id="upper case"),
        pytest.param("HTTPS://x.example/api", "https://x.example/a", id="upper-case scheme"),
        pytest.param("http://localhost:80", "http://localhost/a", id="port 80"),
        pytest.param("http://[::1]:8000/api", "http://[::1]:8000/a", id="IPv6"),
        pytest.param("http://[::1]/api", "http://[::1]:80/a", id="IPv6, default port"),
        pytest.param("https://xn--bcher-kva.example", "https://xn--bcher-kva.example/a", id="IDNA"),
    ],
)
def test_any_spelling_of_the_base_url_gives_the_same_origin(base_url: str, url: str) -> None:
    assert Origins(base_url).allows(url)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://reports.example:8443/x", True),
        ("https://REPORTS.example:8443", True),
        ("https://reports.example/x", False),
        ("http://localhost:8000/x", True),
        ("http://localhost/x", False),
        ("https://localhost:8000/x", False),
        ("https://public-api.monta.com/x", True),
    ],
)
def test_allowed_origins_are_added_to_the_base_urls_origin(url: str, allowed: bool) -> None:
    origins = Origins(PUBLIC_API, ["https://reports.example:8443/path", "http://localhost:8000"])
    assert origins.allows(url) is allowed


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://public-api.monta.com/api/v1/auth/token", False),
        ("https://public-api.monta.com/api/v1/auth/refresh", False),
        ("https://public-api.monta.com/api/v1/auth/token?x=1", False),
        ("https://public-api.monta.com/api/v1/auth/refresh#x", False),
        ("https://PUBLIC-API.monta.com/api/v1/auth/token", False),
        ("https://public-api.monta.com:443/api/v1/auth/token", False),
        ("https://public-api.monta.com/api/v1/auth/me", True),
        ("https://public-api.monta.com/api/v1/auth/tokens", True),
        ("https://public-api.monta.com/auth/token", True),
        ("https://reports.example/api/v1/auth/token", True),
    ],
)
def test_the_auth_endpoints_of_the_base_url_get_no_token(url: str, allowed: bool) -> None:
    """They take credentials. An access token there would only be one more place for a leak."""
    assert Origins(PUBLIC_API, ["https://reports.example"]).allows(url) is allowed


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://public-api.monta.com/api/v1/auth/token", "token"),
        ("https://PUBLIC-API.monta.com:443/api/v1/auth/refresh?x=1", "refresh"),
        ("https://public-api.monta.com/api/v1/auth/me", None),
        ("https://public-api.monta.com/auth/token", None),
        ("https://public-api.monta.com:8443/api/v1/auth/token", None),
        ("http://public-api.monta.com/api/v1/auth/token", None),
        ("https://reports.example/api/v1/auth/token", None),
        ("https://public-api.monta.com\\@evil.example/api/v1/auth/token", None),
        ("https://[::1/api/v1/auth/token", None),
    ],
)
def test_credentials_only_go_to_the_auth_endpoints_of_the_base_url(
    url: str, endpoint: str | None
) -> None:
    assert Origins(PUBLIC_API, ["https://reports.example"]).auth_endpoint(url) == endpoint


@pytest.mark.parametrize("base", ["https://x.example/api", "https://x.example"])
@pytest.mark.parametrize("spelling", [str, str.upper], ids=["as it is", "upper-case base URL"])
@pytest.mark.parametrize("endpoint", ["/auth/token", "/auth/refresh"])
def test_the_auth_endpoints_are_recognized_in_any_spelling(
    base: str, spelling: Callable[[str], str], endpoint: str
) -> None:
    """HTTP libraries pass us hosts in lower case, however the user wrote them."""
    origin = "https://x.example"
    assert not Origins(base.replace(origin, spelling(origin))).allows(base + endpoint)


@pytest.mark.parametrize("base", ["https://x.example/api", "https://x.example"])
@pytest.mark.parametrize(
    "rest",
    ["", "/", "/a", "/auth", "/auth/", "/auth/me", "/auth0", "/authx", "/z", "/\U0010ffff", "/0"],
)
def test_all_paths_below_the_base_url_are_allowed(base: str, rest: str) -> None:
    assert Origins(base).allows(base + rest)


@pytest.mark.parametrize(
    "rest", ["0", "0/", ".", "-", "x/", ".evil.com/", ":1/", "@evil.com/", "\\", "\U0010ffff/"]
)
def test_a_longer_host_name_is_another_host(rest: str) -> None:
    """A base URL without a path ends where an attacker could continue the host name."""
    assert not Origins("https://x.example").allows("https://x.example" + rest)


# --- as other parsers read it

MORE = ["https://xn--bcher-kva.example:8443", "http://[::1]:8000", "http://127.0.0.1"]
ORIGINS = [Origins(base, MORE) for base in (PUBLIC_API, "https://public-api.monta.com")]
ALLOWED: set[Origin] = {
    MONTA,
    ("https", "xn--bcher-kva.example", 8443),
    ("http", "::1", 8000),
    ("http", "127.0.0.1", 80),
}
PORTS = {"https": 443, "http": 80}


def as_requests_reads(url: str) -> set[Origin]:
    """Return the origins that requests and urllib3 would connect to; none if they refuse."""
    prepared = requests.PreparedRequest()
    try:
        prepared.prepare_url(url, None)
        assert prepared.url is not None
        requests.Session().get_adapter(prepared.url)
        split, parsed = urlsplit(prepared.url), parse_url(prepared.url)
        scheme, host = split.scheme.lower(), (split.hostname or "").lower()
        other = (parsed.host or "").strip("[]").lower()
        return {
            (scheme, host, split.port or PORTS[scheme]),
            (parsed.scheme or "", other, parsed.port or PORTS[scheme]),
        }
    except (requests.RequestException, ValueError, UnicodeError):
        return set()


def as_httpx_reads(url: str) -> set[Origin]:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError):
        return set()
    if parsed.scheme not in PORTS or not parsed.raw_host:
        return set()
    host = parsed.raw_host.decode("ascii").strip("[]")
    return {(parsed.scheme, host, parsed.port or PORTS[parsed.scheme])}


def prepared_forms(url: str) -> list[str]:
    """Return the URL as it is, and as each library passes it to an auth object."""
    forms = [url]
    prepared = requests.PreparedRequest()
    try:
        prepared.prepare_url(url, None)
        forms.append(str(prepared.url))
    except (requests.RequestException, ValueError, UnicodeError):
        pass
    try:
        forms.append(str(httpx.URL(url)))
    except (httpx.InvalidURL, UnicodeError):
        pass
    return forms


NASTY = (
    "/\\@:?#[]%.;&=,* \t\r\n\x00\x01\x7f"
    "\u00a0\u00ad\u200b\u3002\uff0e\uff0f\u2044\u212a\u0131\ud800"
)
PIECES = (
    "public-api.monta.com evil.com bücher.example xn--bcher-kva.example [::1] 127.0.0.1 api "
    ":443 :8443 :8000 :80 : user:word@ @ \\ / // ? # . %2e %40 %5c https:// http:// https: \t"
)
pieces = st.sampled_from(PIECES.split(" "))
built = st.builds(
    lambda scheme, rest: scheme + "".join(rest),
    st.sampled_from(["https://", "HTTPS://", "http://", "https:/", "https:", "//", ""]),
    st.lists(pieces, min_size=1, max_size=6),
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    url = draw(
        st.sampled_from(
            [
                "https://public-api.monta.com/api/v1/charges",
                "https://xn--bcher-kva.example:8443/x",
                "http://[::1]:8000/x",
                "http://127.0.0.1/x",
            ]
        )
    )
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(url)))
        gone = draw(st.integers(0, 1))
        what = draw(
            st.sampled_from(NASTY) | st.sampled_from(["evil.com", "@evil.com", ".evil.com"])
        )
        url = url[:at] + what + url[at + gone :]
    return url


def check_as_others_read(url: str) -> None:
    for form in prepared_forms(url):
        if any(origins.allows(form) for origins in ORIGINS):
            assert as_requests_reads(form) <= ALLOWED, form
            assert as_httpx_reads(form) <= ALLOWED, form


@given(url=built | mutated())
@settings(max_examples=1500)
@example(url="https://public-api.monta.com\\@evil.com/")
@example(url="https://evil.com\\@public-api.monta.com/")
@example(url="https://public-api.monta.com\t.evil.com/")
@example(url="https://public-api.monta.com%2eevil.com/")
@example(url="http://[::1]evil.com:8000/")
@example(url="http://evil.com[::1]:8000/")
def test_an_allowed_url_goes_to_an_allowed_host_in_requests_and_httpx(url: str) -> None:
    """Parsers disagree about odd URLs. The token must not depend on a parser that we do not use."""
    check_as_others_read(url)


@given(url=st.text(max_size=40).map("https://public-api.monta.com".__add__))
@settings(max_examples=500)
def test_text_after_our_host_cannot_send_the_token_elsewhere(url: str) -> None:
    check_as_others_read(url)


@pytest.mark.parametrize("url", [*SAME, *FOREIGN])
def test_requests_and_httpx_agree_with_us_about_known_url_tricks(url: str) -> None:
    check_as_others_read(url)


@pytest.mark.parametrize("read", [as_requests_reads, as_httpx_reads])
def test_the_other_parsers_of_this_test_work(read: Callable[[str], set[Origin]]) -> None:
    """Otherwise the properties above would also hold if the other parsers refused everything."""
    assert read("https://PUBLIC-API.monta.com:/x") == {MONTA}
    assert read("http://[::1]:8000/") == {("http", "::1", 8000)}
    assert read("https://public-api.monta.com@evil.com/") == {("https", "evil.com", 443)}
    assert read("https://bücher.example:8443") == {("https", "xn--bcher-kva.example", 8443)}
    assert read("wss://public-api.monta.com/") == set()


@given(url=st.text() | built | mutated())
def test_any_text_is_allowed_or_not_without_an_error(url: str) -> None:
    """It is the HTTP library's task to complain about an unreadable URL."""
    assert ORIGINS[0].allows(url) in (True, False)
    Origins(PUBLIC_API).warn_about(url)


# --- the warning


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert {(record.name, record.levelname) for record in caplog.records} <= {
        ("monta_auth", "WARNING")
    }
    return [record.getMessage() for record in caplog.records]


def test_the_warning_names_a_foreign_origin_once_and_nothing_else_of_the_url(
    caplog: pytest.LogCaptureFixture,
) -> None:
    origins = Origins(PUBLIC_API)
    for path in ("/a?secret=s3cr3t", "/b"):
        origins.warn_about("https://user:s3cr3t@evil.com" + path)
    (text,) = warned(caplog)
    assert text == (
        "a request to https://evil.com:443 goes out without the Monta token, which is for "
        "https://public-api.monta.com:443. If the request is for the API, pass that URL as "
        "base_url=; if it is for another host that may receive the token, name that in "
        "allowed_origins="
    )


def test_an_allowed_origin_causes_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    """It is normal that its auth endpoints get no token."""
    Origins(PUBLIC_API).warn_about(PUBLIC_API + "/charges")
    Origins(PUBLIC_API).warn_about(PUBLIC_API + "/auth/token")
    assert warned(caplog) == []


@pytest.mark.parametrize("url", ["https://[::1", "https://a.example:x", "mailto:a"])
def test_an_unreadable_url_is_not_quoted(url: str, caplog: pytest.LogCaptureFixture) -> None:
    Origins(PUBLIC_API).warn_about(url)
    (text,) = warned(caplog)
    assert "an unreadable URL" in text
    assert url not in text


@pytest.mark.parametrize("url", ["/charges", "charges?from=10:00", ""])
def test_a_url_without_a_scheme_is_not_warned_about(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The library says what is wrong with it: the base URL of the auth is no part of that."""
    Origins(PUBLIC_API).warn_about(url)
    assert warned(caplog) == []


def test_the_number_of_warnings_is_limited(caplog: pytest.LogCaptureFixture) -> None:
    """A crawler that visits a million hosts must not fill the memory or the log."""
    caplog.set_level(logging.WARNING, "monta_auth")
    origins = Origins(PUBLIC_API)
    for number in range(200):
        origins.warn_about(f"https://host-{number}.example/")
    *named, last = warned(caplog)
    assert len(named) == 64
    assert last == (
        "requests to more than 64 foreign origins went out without the Monta token; further ones "
        "are not reported"
    )


@pytest.mark.parametrize("url", ["https://x%2eevil.example", "https://b\u00fccher.example"])
def test_an_allowed_origin_that_libraries_read_differently_is_refused(url: str) -> None:
    """IDNA has two versions, and requests decodes percent signs. Name the host as it is sent."""
    with pytest.raises(ConfigurationError, match="xn--"):
        Origins(PUBLIC_API, [url])


def test_base_urls_that_differ_only_in_case_are_equal() -> None:
    """Base URLs are part of the key with which auth objects share a token."""
    assert clean_base_url("HTTPS://X.example/API/") == "https://x.example/API"


def test_a_backslash_before_the_host_is_refused_in_an_allowed_origin() -> None:
    """urlsplit takes it for a part of the user, requests for the end of the host."""
    with pytest.raises(ConfigurationError):
        Origins(PUBLIC_API, ["https://evil.example\\@x.example"])


def test_an_ipv6_origin_is_named_with_brackets(caplog: pytest.LogCaptureFixture) -> None:
    Origins(PUBLIC_API).warn_about("http://[::1]:8000/charges")
    assert "a request to http://[::1]:8000 goes out" in caplog.text
