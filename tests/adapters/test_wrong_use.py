"""Mistakes in users' code: each raises an error that shows the right line."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests

import aiohttp_monta
import httpx2_monta
import httpx_monta
import requests_monta
from monta_auth import (
    PARTNER_API,
    PARTNER_SANDBOX_API,
    PUBLIC_API,
    ConfigurationError,
    RefreshPolicy,
    TokenSet,
    TokenSource,
)

from .site import Monta

URL = "http://127.0.0.1:1/api/v1/charges"

ADAPTERS: dict[str, Any] = {
    "requests": requests_monta,
    "httpx": httpx_monta,
    "httpx2": httpx2_monta,
    "aiohttp": aiohttp_monta,
}


async def with_aiohttp(auth: Any) -> None:
    async with aiohttp.ClientSession(middlewares=(auth,)) as session, session.get(URL):
        pass


CALLS: dict[str, Callable[[Any], object]] = {
    "requests": lambda auth: requests.get(URL, auth=auth, timeout=1),
    "httpx": lambda auth: httpx.get(URL, auth=auth),
    "httpx2": lambda auth: httpx2.get(URL, auth=auth),
    "aiohttp": lambda auth: asyncio.run(with_aiohttp(auth)),
}


def make(adapter: str, **settings: Any) -> Any:
    settings = {"base_url": "http://127.0.0.1:1/api/v1", **settings}
    return ADAPTERS[adapter].MontaAuth("id", "secret-of-id", **settings)


@pytest.mark.parametrize(("adapter", "library"), [*itertools.permutations(ADAPTERS, 2)])
def test_the_error_for_another_librarys_auth_shows_the_right_import(
    adapter: str, library: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        CALLS[library](make(adapter))
    assert str(caught.value) == (
        f"this is the MontaAuth of {adapter}_monta, and the request is one of {library}: write "
        f"`from {library}_monta import MontaAuth`"
    )


def test_an_unknown_library_is_named_in_the_error() -> None:
    with pytest.raises(ConfigurationError, match=r"the request is one of builtins$"):
        make("httpx")("a request")


@pytest.mark.parametrize("library", CALLS)
def test_the_error_for_an_auth_class_says_to_call_it(library: str) -> None:
    with pytest.raises(ConfigurationError, match=r"got the class MontaAuth.*MontaAuth\(\)$"):
        CALLS[library](ADAPTERS[library].MontaAuth)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("api", [PUBLIC_API, PARTNER_API, PARTNER_SANDBOX_API])
@pytest.mark.parametrize("end", ["", "/"])
def test_a_monta_host_without_a_path_gets_its_apis_path(adapter: str, api: str, end: str) -> None:
    auth = make(adapter, base_url=api.removesuffix("/api/v1") + end)
    assert auth.base_url == auth.source.base_url == api


@pytest.mark.parametrize("url", ["https://public-api.monta.com/other", "https://api.example"])
def test_other_base_urls_stay_as_they_are(url: str) -> None:
    assert make("requests", base_url=url).base_url == url


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_differently_written_equal_base_urls_are_accepted_with_a_source(adapter: str) -> None:
    source = make(adapter, base_url=PUBLIC_API).source
    for url in (
        PUBLIC_API + "/",
        "https://Public-API.monta.com/api/v1",
        "https://public-api.monta.com",
    ):
        assert ADAPTERS[adapter].MontaAuth(source=source, base_url=url).source is source
    with pytest.raises(ConfigurationError, match="has another base_url"):
        ADAPTERS[adapter].MontaAuth(source=source, base_url=PARTNER_API)


PAIRS = [
    pytest.param(httpx, httpx_monta, id="httpx"),
    pytest.param(httpx2, httpx2_monta, id="httpx2"),
]


@pytest.mark.parametrize(("library", "adapter"), PAIRS)
def test_the_error_for_an_overridden_auth_flow_says_what_to_override(
    library: Any, adapter: Any
) -> None:
    def override(self: Any, request: Any) -> Any:
        yield request

    with pytest.raises(TypeError, match="override sync_auth_flow and async_auth_flow"):
        type("Tenant", (adapter.MontaAuth,), {"auth_flow": override})
    type("Tenant", (adapter.MontaAuth,), {"sync_auth_flow": override})


def wrapped(library: Any, inner: Any) -> Any:
    """Users write such wrappers to add a header."""

    def auth_flow(self: Any, request: Any) -> Any:
        yield from inner.auth_flow(request)

    return type("Wrap", (library.Auth,), {"auth_flow": auth_flow})()


def counted(library: Any, seen: list[str]) -> Any:
    """A server that answers 401, and token calls with a pair. It counts the requests."""

    class Body(library.AsyncByteStream):  # type: ignore[misc]
        async def __aiter__(self) -> Any:
            yield b"{}"

    async def answer(request: Any) -> Any:
        seen.append(request.url.path.rpartition("/")[2])
        return library.Response(401, stream=Body(), request=request)

    return library.MockTransport(answer)


@pytest.mark.parametrize(("library", "adapter"), PAIRS)
@pytest.mark.parametrize("at", ["a cold start", "a 401", "a streamed body"])
def test_a_wrapper_with_only_a_sync_flow_is_refused_in_an_async_client(
    library: Any, adapter: Any, at: str
) -> None:
    until = datetime(2099, 1, 1, tzinfo=UTC)
    token = None if at == "a cold start" else TokenSet("access-1", None, until)
    seen: list[str] = []
    auth = wrapped(library, make(adapter.__name__.removesuffix("_monta"), token=token))

    async def body() -> Any:
        yield b"{}"

    async def main() -> None:
        async with library.AsyncClient(transport=counted(library, seen), auth=auth) as client:
            content = {"content": body()} if at == "a streamed body" else {}
            await client.post(URL, **content)

    with pytest.raises(ConfigurationError, match="a wrapper needs an async_auth_flow, too"):
        asyncio.run(main())
    assert seen == {"a cold start": ["token"], "a 401": ["charges"], "a streamed body": []}[at]


# --- arguments of the wrong kind


def test_a_client_of_the_wrong_type_is_refused_before_anything_is_sent() -> None:
    """The likeliest mistake is an AsyncClient in token(). No other caller may be affected."""
    sync_client, async_client = httpx.Client(), httpx.AsyncClient()
    auth = make("httpx")
    cases: list[tuple[str, Callable[[], object], str]] = [
        (
            "token",
            lambda: auth.token(async_client),
            "httpx.Client; with an AsyncClient, await atoken(client)",
        ),
        (
            "bearer_token",
            lambda: auth.bearer_token(httpx.Client),
            "token() got the class Client, not an object: write Client(...)",
        ),
        (
            "application",
            lambda: auth.application(async_client),
            "httpx.Client; with an AsyncClient, await aapplication(client)",
        ),
        (
            "atoken",
            lambda: asyncio.run(auth.atoken(sync_client)),
            "httpx.AsyncClient; with a Client, call token(client)",
        ),
        (
            "aapplication",
            lambda: asyncio.run(auth.aapplication(requests.Session())),
            "takes httpx.AsyncClient, not Session",
        ),
        (
            "token of aiohttp",
            lambda: asyncio.run(make("aiohttp").token(async_client)),
            "token() takes an aiohttp.ClientSession, not AsyncClient",
        ),
        (
            "aapplication of aiohttp",
            lambda: asyncio.run(make("aiohttp").aapplication("x")),
            "application() takes an aiohttp.ClientSession, not str",
        ),
        (
            "application of requests",
            lambda: make("requests").application(sync_client),
            "application() takes a requests.Session, not Client",
        ),
    ]
    for name, call, text in cases:
        with pytest.raises(ConfigurationError) as caught:
            call()
        assert text in str(caught.value), name
    assert auth.status().failures == 0
    sync_client.close()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"on_token": "x"}, r"^on_token= takes a function of a TokenSet, not str$"),
        ({"on_token": True}, r"on_token= takes a function"),
        ({"policy": {"deadline": 3}}, r"as in RefreshPolicy\(deadline=5\), not dict$"),
        ({"policy": RefreshPolicy}, r"^policy= got the class RefreshPolicy, not an object: write"),
        ({"token": TokenSet}, r"^token= got the class TokenSet"),
        ({"token": {"accessToken": "x"}}, r"^token= takes a TokenSet \(a dict: TokenSet.from_dict"),
        ({"base_url": httpx.URL(PUBLIC_API)}, r"^base_url takes a string, not URL: use str\(\)$"),
        ({"allowed_origins": [1]}, r"^allowed_origins takes a string, not int"),
        ({"allowed_origins": 1}, r"^allowed_origins takes a list of URLs, not int$"),
        ({"allowed_origins": "https://x.example"}, r"not a single string$"),
    ],
)
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_error_for_a_wrong_argument_type_says_what_is_expected(
    adapter: str, settings: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigurationError, match=text):
        make(adapter, **settings)


@pytest.mark.parametrize(
    ("adapter", "argument", "given"),
    [
        ("requests", "session", requests.Session),
        ("httpx", "client", httpx.Client),
        ("httpx2", "client", httpx2.AsyncClient),
        ("aiohttp", "session", aiohttp.ClientSession),
        ("requests", "source", TokenSource),
    ],
)
def test_a_class_instead_of_an_object_is_named_in_the_error(
    adapter: str, argument: str, given: type
) -> None:
    text = rf"^{argument}= got the class {given.__name__}, not an object: write {given.__name__}\("
    with pytest.raises(ConfigurationError, match=text):
        ADAPTERS[adapter].MontaAuth(**{argument: given}, **CREDENTIALS[argument != "source"])


CREDENTIALS: list[dict[str, Any]] = [{}, {"client_id": "id", "client_secret": "secret-of-id"}]


@pytest.mark.parametrize("timeout", ["x", 0, -1.0, True, (1, 2, 3), (1, "x"), [1, 2]])
def test_a_timeout_of_none_is_refused_at_once(timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^timeout= takes seconds, such as 10\.0, or"):
        make("requests", timeout=timeout)
    for good in (3, 0.5, None, (1, None)):
        make("requests", timeout=good)


@pytest.mark.parametrize("end", [":443", ":443/", ":", ":0443/api/v1"])
def test_a_default_port_is_left_out_of_a_base_url(end: str) -> None:
    assert make("requests", base_url="https://PUBLIC-api.monta.com" + end).base_url == PUBLIC_API
    assert make("requests", base_url="http://[::1]:80/x").base_url == "http://[::1]/x"
    assert make("requests", base_url="http://[::1]:81/x/").base_url == "http://[::1]:81/x"


@pytest.mark.parametrize("adapter", ["httpx", "aiohttp"])
def test_a_subclass_may_override_token(adapter: str, monta: Monta) -> None:
    """It is called once per call: a second call would wait for its own lock, forever."""
    calls: list[str] = []
    name = "atoken" if adapter == "httpx" else "token"

    async def override(self: Any) -> Any:
        calls.append(name)
        return await getattr(ADAPTERS[adapter].MontaAuth, name)(self)

    auth = type("Locked", (ADAPTERS[adapter].MontaAuth,), {name: override})(source=monta.source())
    asyncio.run(getattr(auth, name)())
    assert (calls, monta.mints) == ([name], 1)


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_the_error_for_a_called_auth_shows_how_to_wrap_it(library: str) -> None:
    auth = make(library)
    with pytest.raises(ConfigurationError, match=r"yield from auth\.sync_auth_flow\(request\)"):
        LIBRARIES[library].get(URL, auth=lambda request: auth(request))


LIBRARIES: dict[str, Any] = {"httpx": httpx, "httpx2": httpx2}


def test_importing_it_from_the_core_shows_the_right_import() -> None:
    with pytest.raises(ImportError, match="write `from requests_monta import MontaAuth`"):
        exec("from monta_auth import MontaAuth")  # noqa: S102 - as a user writes it


@pytest.mark.parametrize("end", ["/auth/token", "/auth/refresh/"])
def test_the_url_of_an_auth_endpoint_is_refused_as_a_base_url(end: str) -> None:
    with pytest.raises(
        ConfigurationError, match="the URL of an auth endpoint: end it before /auth"
    ):
        make("requests", base_url=PUBLIC_API + end)
