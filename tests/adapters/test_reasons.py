"""Why a token call found no connection: the text is the same in each library."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
import trio
from requests.adapters import HTTPAdapter

import aiohttp_monta
import httpx2_monta
import httpx_monta
import requests_monta
from monta_auth import RefreshPolicy
from monta_auth._adapters.reasons import certificate_reason, reason
from monta_auth._core.effects import Send
from monta_auth._core.token_calls import TokenRequest
from requests_monta._errors import transport_failure

from ..certificates import tls_server
from ..docs.pages import DOCS
from ..faults import server

CREDENTIALS: Any = {
    "client_id": "client-id",
    "client_secret": "client-secret",
    "policy": RefreshPolicy(attempts=1),
    # Gives each auth object its own source, which remembers no failure of another test.
    "on_token": lambda pair: None,
}

#: Makes a token call. Trusts the CA in this file through the user's session or client. Without a
#: file, uses the library's defaults.
Way = Callable[[str, str | None], object]


def with_requests(base_url: str, ca: str | None) -> object:
    if ca is None:
        return requests_monta.MontaAuth(base_url=base_url, **CREDENTIALS).token()
    with requests.Session() as session:
        # Otherwise the environment's CA would be used first.
        session.trust_env, session.verify = False, ca
        auth = requests_monta.MontaAuth(base_url=base_url, session=session, **CREDENTIALS)
        return auth.token()


def with_sync(library: Any, adapter: Any, base_url: str, ca: str | None) -> object:
    if ca is None:
        return adapter.MontaAuth(base_url=base_url, **CREDENTIALS).token()
    with library.Client(verify=ssl.create_default_context(cafile=ca)) as client:
        auth = adapter.MontaAuth(base_url=base_url, client=client, **CREDENTIALS)
        return client.get(base_url, auth=auth)


def with_async(
    library: Any, adapter: Any, run: Callable[[Any], object], base_url: str, ca: str | None
) -> object:
    async def main() -> object:
        if ca is None:
            return await adapter.MontaAuth(base_url=base_url, **CREDENTIALS).atoken()
        async with library.AsyncClient(verify=ssl.create_default_context(cafile=ca)) as client:
            auth = adapter.MontaAuth(base_url=base_url, client=client, **CREDENTIALS)
            return await client.get(base_url, auth=auth)

    return run(main)


def with_aiohttp(base_url: str, ca: str | None) -> object:
    async def main() -> object:
        if ca is None:
            return await aiohttp_monta.MontaAuth(base_url=base_url, **CREDENTIALS).token()
        context = ssl.create_default_context(cafile=ca)
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(connector=connector) as session:
            auth = aiohttp_monta.MontaAuth(base_url=base_url, session=session, **CREDENTIALS)
            return await session.get(base_url, middlewares=(auth,))

    return asyncio.run(main())


def _asyncio(main: Any) -> object:
    return asyncio.run(main())


WAYS: dict[str, tuple[Way, type[Exception], str, str]] = {
    "requests": (
        with_requests,
        requests.exceptions.SSLError,
        "session",
        "REQUESTS_CA_BUNDLE or session.verify",
    ),
    "aiohttp": (with_aiohttp, aiohttp.ClientConnectionError, "session", "SSL_CERT_FILE or ssl="),
}


def _add(name: str, library: Any, adapter: Any) -> None:
    rest = library.ConnectError, "client", "SSL_CERT_FILE or verify="
    WAYS[name] = (partial(with_sync, library, adapter), *rest)
    for backend, run in (("asyncio", _asyncio), ("trio", trio.run)):
        WAYS[f"{name} {backend}"] = (partial(with_async, library, adapter, run), *rest)


_add("httpx", httpx, httpx_monta)
_add("httpx2", httpx2, httpx2_monta)

NOW = r"\(20\d\d-\d\d-\d\d \d\d:\d\d UTC\)"
WORDS = {
    "not yet valid": (
        rf"the certificate of 127.0.0.1 is not yet valid by the clock of this machine {NOW}: check "
        "the clock"
    ),
    "expired": (
        rf"the certificate of 127.0.0.1 has expired by the clock of this machine {NOW}: check the "
        "clock; if it is right, the server needs a new certificate"
    ),
    "other host": (
        "the certificate that was shown is not for 127.0.0.1, but for another host: check the host "
        "of the base URL, and whether a proxy or a login page of the network answers in its place"
    ),
    "unknown issuer": (
        "the certificate of 127.0.0.1 has an issuer that is unknown here: if a proxy opens TLS, or "
        "the server uses your company's CA, name the file of that CA in "
    ),
}


@pytest.fixture(scope="module", params=WORDS)
def problem(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str, str]]:
    """What is wrong with a server's certificate, its base URL, and the file of its CA."""
    with tls_server(tmp_path_factory.mktemp("ca"), request.param) as (base_url, ca):
        yield request.param, base_url, ca


@pytest.mark.parametrize("way", WAYS)
def test_an_error_about_a_certificate_says_what_is_wrong_with_it(
    problem: tuple[str, str, str], way: str
) -> None:
    """If the user passed a session or client, the error does not name that argument."""
    what, base_url, ca = problem
    host = base_url.removeprefix("https://").removesuffix("/api/v1")
    call, kind, argument, variable = WAYS[way]
    if what != "unknown issuer":
        with pytest.raises(kind) as caught:
            call(base_url, ca)
        text = f"the token call to {re.escape(host)} failed: {WORDS[what]}"
        assert re.fullmatch(text, str(caught.value))
    else:
        with pytest.raises(kind) as caught:
            call(base_url, None)
        assert str(caught.value) == (
            f"the token call to {host} failed: {WORDS[what]}{variable}; MontaAuth({argument}=...) "
            f"makes the token calls with your {argument}'s proxy and TLS"
        )


@pytest.mark.parametrize("way", WAYS)
def test_a_refused_connection_names_the_argument_only_with_the_librarys_defaults(
    way: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    call, _, argument, _ = WAYS[way]
    caplog.set_level("INFO", "monta_auth")
    words = f"[Errno {errno.ECONNREFUSED}] Connection refused"
    hint = f"; MontaAuth({argument}=...) makes the token calls with your {argument}'s proxy and TLS"
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{nobody.getsockname()[1]}"
        url = f"http://{host}/api/v1"
        for ca, ending in ((None, hint), (request.getfixturevalue("_authority"), "")):
            caplog.clear()
            with pytest.raises(Exception, match="the token call to ") as caught:
                call(url, ca)
            assert str(caught.value) == f"the token call to {host} failed: {words}{ending}"
            assert f" outcome={type(caught.value).__name__} " in caplog.text


def _not_tls(connection: socket.socket) -> None:
    connection.recv(9999)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def _hang_up(connection: socket.socket) -> None:
    connection.recv(9999)


CUT = "the server closed the connection during the TLS handshake"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (_not_tls, r"\[SSL: WRONG_VERSION_NUMBER\] .+"),
        # asyncio's TLS, which aiohttp uses, does not pass on OpenSSL's text.
        (_hang_up, rf"\[SSL: UNEXPECTED_EOF_WHILE_READING\] .+|{CUT}"),
    ],
    ids=["not TLS", "hangs up"],
)
def test_a_failed_handshake_is_a_tls_error_with_a_reason(
    answer: Callable[[socket.socket], object], words: str, way: str
) -> None:
    call, kind, argument, _ = WAYS[way]
    with server(answer) as port, pytest.raises(kind) as caught:
        call(f"https://127.0.0.1:{port}/api/v1", None)
    ending = rf"; MontaAuth\({argument}=\.\.\.\) .+"
    text = rf"the token call to 127\.0\.0\.1:{port} failed: ({words}){ending}"
    assert re.fullmatch(text, str(caught.value))


@pytest.mark.parametrize("way", ["httpx", "httpx asyncio", "httpx trio", "aiohttp"])
def test_a_failed_handshake_in_the_requests_client_names_the_argument(way: str) -> None:
    """That client has the right proxy and CA for its requests, but perhaps not for this call."""

    async def with_async_httpx(url: str) -> None:
        async with httpx.AsyncClient(auth=httpx_monta.MontaAuth(base_url=url, **CREDENTIALS)) as c:
            await c.get(url)

    async def with_aiohttp(url: str) -> None:
        auth = aiohttp_monta.MontaAuth(base_url=url, **CREDENTIALS)
        async with aiohttp.ClientSession(middlewares=(auth,)) as session:
            await session.get(url)

    calls: dict[str, Callable[[str], object]] = {
        "httpx": lambda url: httpx.get(
            url, auth=httpx_monta.MontaAuth(base_url=url, **CREDENTIALS)
        ),
        "httpx asyncio": lambda url: asyncio.run(with_async_httpx(url)),
        "httpx trio": lambda url: trio.run(with_async_httpx, url),
        "aiohttp": lambda url: asyncio.run(with_aiohttp(url)),
    }
    with server(_hang_up) as port, pytest.raises(Exception, match=r"; MontaAuth\("):
        calls[way](f"https://127.0.0.1:{port}/api/v1")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_timeout_error_says_how_long_it_waited(
    scheme: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With TLS there is no connection, so nothing was sent. The defaults may be the reason."""
    call, _, argument, _ = WAYS[way]
    monkeypatch.setitem(CREDENTIALS, "policy", RefreshPolicy(attempts=1, deadline=0.15))
    words, ending = r"no response within 0\.\d+ s", ""
    if scheme == "https":
        words = r"no connection within 0\.\d+ s"
        ending = rf"; MontaAuth\({argument}=\.\.\.\) .+"
    is_over = threading.Event()
    with server(lambda connection: is_over.wait(5)) as port:
        with pytest.raises(Exception, match="the token call to ") as caught:
            call(f"{scheme}://127.0.0.1:{port}/api/v1", None)
        is_over.set()
    text = rf"the token call to 127\.0\.0\.1:{port} failed: {words}{ending}"
    assert re.fullmatch(text, str(caught.value))


@pytest.mark.parametrize("way", WAYS)
def test_an_unknown_host_is_named_in_the_error(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    text = (
        rf"the token call to no-such-host\.example failed: \[Errno {socket.EAI_NONAME}\] "
        "Name or service not known; .+"
    )
    with pytest.raises(Exception, match=text):
        WAYS[way][0]("https://no-such-host.example/api/v1", None)


PROXIED = [way for way in WAYS if way != "aiohttp"]


@pytest.mark.parametrize("way", PROXIED)
def test_the_proxys_certificate_may_be_the_problem(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    with tls_server(tmp_path) as (proxy, _):
        monkeypatch.setenv("HTTPS_PROXY", proxy.removesuffix("/api/v1"))
        with pytest.raises(Exception, match="unknown here") as caught:
            WAYS[way][0]("https://api.example/api/v1", None)
    assert str(caught.value).startswith(
        "the token call to api.example through a proxy failed: the certificate of api.example, or "
        "of the proxy before it, has an issuer that is unknown here: "
    )


@pytest.mark.parametrize("way", [*PROXIED, "aiohttp"])
def test_the_error_names_a_proxy_but_not_its_password(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def with_aiohttp(url: str) -> None:
        async with aiohttp.ClientSession(trust_env=True) as session:
            auth = aiohttp_monta.MontaAuth(base_url=url, session=session, **CREDENTIALS)
            await auth.token()

    monkeypatch.delenv("NO_PROXY", raising=False)
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        proxy = f"http://user:proxy-password@127.0.0.1:{nobody.getsockname()[1]}"
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        url = "https://api.example/api/v1"
        with pytest.raises(Exception, match="the token call to ") as caught:
            asyncio.run(with_aiohttp(url)) if way == "aiohttp" else WAYS[way][0](url, None)
    assert str(caught.value).partition(";")[0] == (
        f"the token call to api.example through a proxy failed: [Errno {errno.ECONNREFUSED}] "
        "Connection refused"
    )


def test_an_invalid_proxy_url_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slash or a number sign in the password ends the host when the URL is parsed."""

    async def with_aiohttp() -> None:
        async with aiohttp.ClientSession(proxy="user:proxy-password@127.0.0.1:1") as session:
            url = "https://api.example/api/v1"
            await aiohttp_monta.MontaAuth(base_url=url, session=session, **CREDENTIALS).token()

    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://user:proxy/password@127.0.0.1:1")
    text = r"^the token call to api.example .*failed: the URL of a proxy is not valid \(\w+\)"
    with pytest.raises(requests.RequestException, match=text):
        with_requests("https://api.example/api/v1", None)
    with pytest.raises(aiohttp.ClientConnectionError, match=text):
        asyncio.run(with_aiohttp())


def test_a_missing_ca_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """requests raises an OSError here, which is not one of its own errors."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file.pem")
    with pytest.raises(requests.ConnectionError, match=r"failed: Could not .+ /no/such/file"):
        with_requests("https://api.example/api/v1", None)


APPLICATION: dict[str, Callable[[str], object]] = {
    "requests": lambda url: requests_monta.MontaAuth(base_url=url, **CREDENTIALS).application(),
    "httpx": lambda url: httpx_monta.MontaAuth(base_url=url, **CREDENTIALS).application(),
    "httpx async": lambda url: asyncio.run(
        httpx_monta.MontaAuth(base_url=url, **CREDENTIALS).aapplication()
    ),
    "aiohttp": lambda url: asyncio.run(
        aiohttp_monta.MontaAuth(base_url=url, **CREDENTIALS).application()
    ),
}


@pytest.mark.parametrize("way", APPLICATION)
def test_the_error_of_a_failed_application_call_names_the_argument(way: str) -> None:
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(Exception, match=r"call to 127.0.0.1:\d+ failed: .*; MontaAuth\("):
            APPLICATION[way](f"http://127.0.0.1:{nobody.getsockname()[1]}/api/v1")


@pytest.mark.parametrize("library", ["requests", "httpx", "aiohttp"])
def test_the_error_of_a_slow_connection_names_the_argument(library: str) -> None:
    """Firewalls drop connections that avoid the proxy. Here, the listener's queue is full."""
    calls: dict[str, Callable[[str], object]] = {
        "requests": lambda url: requests_monta.MontaAuth(
            base_url=url, timeout=0.1, **CREDENTIALS
        ).token(),
        "httpx": lambda url: httpx_monta.MontaAuth(base_url=url, **QUICK).token(),
        "aiohttp": lambda url: asyncio.run(aiohttp_monta.MontaAuth(base_url=url, **QUICK).token()),
    }
    with closing(socket.socket()) as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with (
            closing(socket.create_connection(full.getsockname())),
            closing(socket.socket()) as last,
        ):
            last.setblocking(False)
            last.connect_ex(full.getsockname())
            with pytest.raises(Exception, match=r"call to 127.0.0.1:\d+ failed: .*; MontaAuth\("):
                calls[library](f"http://127.0.0.1:{full.getsockname()[1]}/api/v1")


QUICK: Any = {**CREDENTIALS, "policy": RefreshPolicy(attempts=1, deadline=0.3)}


def test_the_page_about_errors_lists_each_reason() -> None:
    page = (DOCS / "guides" / "errors.rst").read_text(encoding="utf-8")
    table = page.partition("The text of a failed token call contains\n")[2].partition("\n\n")[0]
    rows = re.findall(r"^   \* - ``(.+?)``", table, re.MULTILINE)
    assert [any(row in text for text in WORDS.values()) for row in rows[:-1]] == [True] * 4
    assert rows[-1] == "MontaAuth(session=...)"


def test_a_handshake_error_that_the_caller_was_handling_is_ignored() -> None:
    """A refresh token is only kept if this very call did not send it."""
    effect = Send(TokenRequest("refresh", "https://api.example/api/v1/auth/refresh", {}, ()), 1.0)
    try:
        raise TimeoutError("_ssl.c:983: The handshake operation timed out")
    except TimeoutError:
        with pytest.raises(requests.ReadTimeout) as caught:
            raise requests.ReadTimeout("Read timed out.")  # noqa: B904 - the context alone
        failure = transport_failure(caught.value, effect, (1.0, 1.0), "defaults")
    assert failure.sent
    assert str(failure) == "the token call to api.example failed: no response within 1 s"


# --- what the error chain may contain


def _of_openssl(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


def test_for_other_reasons_the_text_is_openssls() -> None:
    error = _of_openssl(89, "Basic Constraints of CA cert not marked critical")
    assert certificate_reason(error, "https://api.example/api/v1", "CA_FILE") == (
        "the certificate of api.example was not accepted (Basic Constraints of CA cert not marked "
        "critical): see who issued it, and check the file of CAs in CA_FILE"
    )


def test_a_certificate_error_without_a_reason_is_still_a_certificate_error() -> None:
    """TLS libraries other than OpenSSL raise such errors."""
    reason = certificate_reason(ssl.SSLCertVerificationError(), "https://api.example", "CA_FILE")
    assert reason is not None
    assert "was not accepted (no reason was given)" in reason


def test_the_named_host_is_the_one_that_openssl_compared() -> None:
    """The host in the request's URL may differ."""
    error = _of_openssl(62, "Hostname mismatch, certificate is not valid for 'api.example'.")
    reason = certificate_reason(error, "https://10.0.0.1", "CA_FILE")
    assert reason is not None
    assert "is not for api.example, " in reason
    reason = certificate_reason(_of_openssl(62, "Hostname mismatch"), "https://10.0.0.1", "CA_FILE")
    assert reason is not None
    assert "is not for 10.0.0.1, " in reason


def _wrapped(error: Exception, how: str) -> Exception:
    try:
        try:
            raise error
        except Exception as inner:
            if how == "cause":
                raise ConnectionError from inner
            if how == "argument":
                raise ConnectionError(inner) from None
            raise ConnectionError  # noqa: B904 - the context alone
    except ConnectionError as outer:
        return outer


@pytest.mark.parametrize("how", ["cause", "context", "argument"])
def test_the_reason_is_found_however_a_library_wraps_the_error(how: str) -> None:
    error = _wrapped(_wrapped(_of_openssl(9, ""), how), how)
    error.__cause__ = error.__cause__ or error  # some errors are their own cause
    reason = certificate_reason(error, "https://api.example", "CA_FILE")
    assert reason is not None
    assert "not yet valid" in reason


def test_an_error_that_the_caller_was_handling_is_not_the_reason() -> None:
    """This happens if the user's code tries another API after the first one failed."""
    try:
        raise _of_openssl(9, "")
    except ssl.SSLError:
        with pytest.raises(ConnectionError) as caught:
            raise ConnectionError from None
        caught.value.__suppress_context__ = False
        reason = certificate_reason(caught.value, "https://api.example", "CA_FILE")
    assert isinstance(caught.value.__context__, ssl.SSLError)
    assert reason is None


def test_the_reason_is_the_first_informative_text() -> None:
    """Empty texts and those of wrappers do not count."""
    blank = _wrapped(_wrapped(ValueError("why"), "cause"), "context")
    assert reason(blank, ()) == "why"
    assert reason(_wrapped(ValueError("why"), "argument"), ()) == "why"
    assert reason(ConnectionError(), ()) == "ConnectionError"


def test_a_system_error_number_comes_first_with_its_meaning() -> None:
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('::1', 443)")
    unreachable = OSError(errno.ENETUNREACH, "Connect call failed ('127.0.0.1', 443)")
    group = ExceptionGroup("two attempts failed", [refused, unreachable])
    error = ConnectionError("All connection attempts failed")
    error.__cause__ = group
    assert reason(error, ()) == f"[Errno {errno.ECONNREFUSED}] Connection refused"
    strange = OSError(99999, "said by a driver")
    assert reason(strange, ()) == "[Errno 99999] said by a driver"


def test_a_reason_shows_no_secret_and_no_user_or_password_of_a_url() -> None:
    error = ValueError("http://user:pa@ss@proxy.example:port and secret@value")
    assert reason(error, ("secret@value",)) == "proxy.example:port and [redacted]"


def test_an_unknown_error_around_a_token_call_is_named_by_its_type() -> None:
    """Its text may hold anything. Tested with an adapter of requests and a trace of aiohttp."""

    class Broken(HTTPAdapter):
        def send(self, *args: Any, **kwargs: Any) -> Any:
            raise LookupError("the-words-of-a-plug-in")

    session = requests.Session()
    session.mount("http://", Broken())
    auth = requests_monta.MontaAuth(**CREDENTIALS, base_url=URL, session=session)
    with pytest.raises(requests.ConnectionError) as caught:
        auth.token()
    assert str(caught.value).endswith("failed: a hook or a transport adapter raised LookupError")

    async def trace(*_: object) -> None:
        raise LookupError("the-words-of-a-plug-in")

    async def main() -> None:
        config = aiohttp.TraceConfig()
        config.on_request_start.append(trace)
        async with aiohttp.ClientSession(trace_configs=[config]) as session:
            await aiohttp_monta.MontaAuth(**CREDENTIALS, base_url=URL, session=session).token()

    with pytest.raises(aiohttp.ClientError) as raised:
        asyncio.run(main())
    assert str(raised.value).endswith("failed: a trace hook or a connector raised LookupError")


URL = "http://127.0.0.1:1/api/v1"


def test_a_response_that_is_not_http_is_called_a_bad_status_line() -> None:
    """Otherwise the line itself would be taken for the reason."""

    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"220 ready to start\r\n")

    policy = RefreshPolicy(attempts=1)
    with server(answer) as port:
        url = f"http://127.0.0.1:{port}/api/v1"
        auth = requests_monta.MontaAuth(base_url=url, **CREDENTIALS | {"policy": policy})
        with pytest.raises(requests.ConnectionError, match="failed: BadStatusLine: 220 ready"):
            auth.token()
