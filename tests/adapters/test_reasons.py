"""Why a token call found no connection: the same words in each library, and whose settings."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
import trio

import aiohttp_monta
import httpx2_monta
import httpx_monta
import requests_monta
from monta_auth import RefreshPolicy
from monta_auth._adapters.reasons import certificate_reason

from ..certificates import tls_server
from ..docs.pages import DOCS

CREDENTIALS: Any = {
    "client_id": "client-id",
    "client_secret": "client-secret",
    "policy": RefreshPolicy(attempts=1),
    # So that each object has a source of its own, which remembers no failure of another.
    "on_token": lambda pair: None,
}

#: Makes a token call; trusts the CA in this file through a session or client of the user's, or,
#: without one, goes by the library's defaults.
Way = Callable[[str, str | None], object]


def with_requests(base_url: str, ca: str | None) -> object:
    if ca is None:
        return requests_monta.MontaAuth(base_url=base_url, **CREDENTIALS).token()
    with requests.Session() as session:
        # The environment's CA would go before it.
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
    """With the user's own session or client, whose argument it does not name then."""
    what, base_url, ca = problem
    call, kind, argument, variable = WAYS[way]
    if what != "unknown issuer":
        with pytest.raises(kind) as caught:
            call(base_url, ca)
        assert re.fullmatch(f"the token call failed: {WORDS[what]}", str(caught.value))
    else:
        with pytest.raises(kind) as caught:
            call(base_url, None)
        assert str(caught.value) == (
            f"the token call failed: {WORDS[what]}{variable}; MontaAuth({argument}=...) makes the "
            f"token calls with your {argument}'s proxy and TLS"
        )


@pytest.mark.parametrize("way", WAYS)
def test_a_refused_connection_names_the_argument_only_where_the_librarys_defaults_were_used(
    way: str, request: pytest.FixtureRequest
) -> None:
    call, _, argument, _ = WAYS[way]
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/api/v1"
        hint = f"; MontaAuth({argument}=...) makes the token calls with your"
        with pytest.raises(Exception, match="the token call failed: ") as caught:
            call(url, None)
        assert hint in str(caught.value)
        with pytest.raises(Exception, match="the token call failed: ") as caught:
            call(url, request.getfixturevalue("_authority"))
        assert "MontaAuth(" not in str(caught.value)


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
def test_so_does_the_question_whose_token_it_is(way: str) -> None:
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(Exception, match=r"the token call failed: .*; MontaAuth\("):
            APPLICATION[way](f"http://127.0.0.1:{nobody.getsockname()[1]}/api/v1")


@pytest.mark.parametrize("library", ["requests", "httpx", "aiohttp"])
def test_a_connection_that_takes_too_long_names_the_argument(library: str) -> None:
    """A firewall drops what does not go by the proxy. Here, a listener has no place left."""
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
            with pytest.raises(Exception, match=r"the token call failed: .*; MontaAuth\("):
                calls[library](f"http://127.0.0.1:{full.getsockname()[1]}/api/v1")


QUICK: Any = {**CREDENTIALS, "policy": RefreshPolicy(attempts=1, deadline=0.3)}


def test_the_page_of_errors_names_each_reason() -> None:
    page = (DOCS / "guides" / "errors.rst").read_text(encoding="utf-8")
    table = page.partition("The text of a failed token call contains\n")[2].partition("\n\n")[0]
    rows = re.findall(r"^   \* - ``(.+?)``", table, re.MULTILINE)
    assert [any(row in text for text in WORDS.values()) for row in rows[:-1]] == [True] * 4
    assert rows[-1] == "MontaAuth(session=...)"


# --- what the chain of an error may hold


def _of_openssl(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


def test_another_reason_is_openssls_own() -> None:
    error = _of_openssl(89, "Basic Constraints of CA cert not marked critical")
    assert certificate_reason(error, "https://api.example/api/v1", "CA_FILE") == (
        "the certificate of api.example was not accepted (Basic Constraints of CA cert not marked "
        "critical): see who issued it, and check the file of CAs in CA_FILE"
    )


def test_an_error_that_does_not_say_its_reason_is_one_about_a_certificate_all_the_same() -> None:
    """As those that a TLS library in place of OpenSSL raises."""
    reason = certificate_reason(ssl.SSLCertVerificationError(), "https://api.example", "CA_FILE")
    assert reason is not None
    assert "was not accepted (no reason was given)" in reason


def test_a_host_is_the_one_that_openssl_compared_with() -> None:
    """A request can ask for another name than its URL has."""
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
def test_it_is_found_however_a_library_wraps_it(how: str) -> None:
    error = _wrapped(_wrapped(_of_openssl(9, ""), how), how)
    error.__cause__ = error.__cause__ or error  # some lead to themselves
    reason = certificate_reason(error, "https://api.example", "CA_FILE")
    assert reason is not None
    assert "not yet valid" in reason


def test_an_error_that_the_caller_handles_meanwhile_is_not_the_reason() -> None:
    """As where the user's code goes on with another API after the first one failed."""
    try:
        raise _of_openssl(9, "")
    except ssl.SSLError:
        with pytest.raises(ConnectionError) as caught:
            raise ConnectionError from None
        caught.value.__suppress_context__ = False
        reason = certificate_reason(caught.value, "https://api.example", "CA_FILE")
    assert isinstance(caught.value.__context__, ssl.SSLError)
    assert reason is None
