"""Which defaults of a user's client go with its token calls; a gateway may need them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
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

from .site import Monta, Seen

HEADERS = {"X-Api-Key": "key-1", "User-Agent": "my-app/1", "Authorization": "Basic of-the-client"}
COOKIES = {"lane": "7"}
PARAMS = {"teamId": "21"}

Call = Callable[[Monta], object]


def settings(monta: Monta) -> dict[str, Any]:
    given = {"client_id": monta.client_id, "client_secret": monta.client_secret}
    return {**given, "base_url": monta.base_url}


def with_requests(monta: Monta) -> None:
    with requests.Session() as session:
        session.headers.update(HEADERS)
        session.cookies.update(COOKIES)
        session.params = PARAMS
        session.auth = requests_monta.MontaAuth(session=session, **settings(monta))
        session.get(monta.url("/charge-points")).raise_for_status()


def with_httpx(library: Any, adapter: Any) -> Call:
    def call(monta: Monta) -> None:
        with library.Client(headers=HEADERS, cookies=COOKIES, params=PARAMS) as client:
            client.auth = adapter.MontaAuth(client=client, **settings(monta))
            client.get(monta.url("/charge-points")).raise_for_status()

    return call


def in_loop(function: Callable[[Monta], Awaitable[None]]) -> Call:
    def call(monta: Monta) -> None:
        async def main() -> None:
            await function(monta)

        asyncio.run(main())

    return call


def with_async_httpx(library: Any, adapter: Any) -> Call:
    async def call(monta: Monta) -> None:
        async with library.AsyncClient(headers=HEADERS, cookies=COOKIES, params=PARAMS) as client:
            client.auth = adapter.MontaAuth(client=client, **settings(monta))
            (await client.get(monta.url("/charge-points"))).raise_for_status()

    return in_loop(call)


async def with_aiohttp(monta: Monta) -> None:
    jar = aiohttp.CookieJar(unsafe=True)  # the server has an address but no name
    given: dict[str, Any] = {"headers": HEADERS, "cookies": COOKIES, "cookie_jar": jar}
    async with aiohttp.ClientSession(**given) as session:
        auth = aiohttp_monta.MontaAuth(session=session, **settings(monta))
        url = monta.url("/charge-points")
        async with session.get(url, middlewares=(auth,), raise_for_status=True):
            pass


CALLS: dict[str, Call] = {
    "requests": with_requests,
    "httpx": with_httpx(httpx, httpx_monta),
    "httpx async": with_async_httpx(httpx, httpx_monta),
    "httpx2": with_httpx(httpx2, httpx2_monta),
    "httpx2 async": with_async_httpx(httpx2, httpx2_monta),
    "aiohttp": in_loop(with_aiohttp),
}


def token_call(monta: Monta, library: str) -> Seen:
    CALLS[library](monta)
    [seen] = monta.asked("/api/v1/auth/token")
    return seen


@pytest.mark.parametrize("library", CALLS)
def test_headers_and_cookies_go_with_a_token_call_but_authorization_does_not(
    monta: Monta, library: str
) -> None:
    headers = token_call(monta, library).headers
    assert headers["x-api-key"] == "key-1"
    assert headers["user-agent"] == "my-app/1"
    assert "lane=7" in headers["cookie"]
    assert "authorization" not in headers
    assert headers["content-type"] == "application/json"
    assert headers["accept-encoding"] == "gzip, deflate"
    assert headers["content-length"].isdigit()


@pytest.mark.parametrize("library", [name for name in CALLS if name != "aiohttp"])
def test_query_parameters_of_the_client_go_with_a_token_call(monta: Monta, library: str) -> None:
    """aiohttp sessions have no default parameters."""
    assert token_call(monta, library).query == "teamId=21"


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_bare_client_sends_no_defaults_with_the_token_calls_of_its_requests(
    monta: Monta, library: Any
) -> None:
    """Only its user agent, as the pages about httpx say."""
    adapter = httpx_monta if library is httpx else httpx2_monta
    with library.Client(headers=HEADERS, auth=adapter.MontaAuth(**settings(monta))) as client:
        client.get(monta.url("/charge-points")).raise_for_status()
    [seen] = monta.asked("/api/v1/auth/token")
    assert "x-api-key" not in seen.headers
    assert seen.headers["user-agent"] == "my-app/1"
