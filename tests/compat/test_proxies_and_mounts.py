"""`proxy=`, the environment's proxy and `mounts=`: how the token calls leave."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from monta_auth.emulator import Emulator

from .httpx_libraries import PAGES, TOKEN_CALLS, Library, avisit, visit
from .proxy import Proxy
from .table import Combination
from .visits import PAGE, VISIT, calls

COMBINATION = Combination(
    name="``proxy=``, ``mounts=``",
    with_="httpx, httpx2",
    know="The token calls go the way of the request that needs them, by proxies of the environment "
    "too; with ``client=``, the way of that client.",
    distribution="httpx",
)

EVERYTHING = [path for path, _ in VISIT]


def test_token_calls_go_through_the_proxy_of_the_client(
    library: Library, site: Emulator, proxy: Proxy
) -> None:
    auth = library.auth(site)
    with library.module.Client(proxy=proxy.url, auth=auth, base_url=site.base_url) as client:
        visit(site, client, auth)
    assert proxy.forwarded == EVERYTHING
    assert calls(site) == VISIT


def test_token_calls_go_through_the_proxy_of_the_async_client(
    library: Library, site: Emulator, proxy: Proxy
) -> None:
    auth = library.auth(site)

    async def main() -> None:
        async with library.module.AsyncClient(
            proxy=proxy.url, auth=auth, base_url=site.base_url
        ) as client:
            await avisit(site, client, auth)

    asyncio.run(main())
    assert proxy.forwarded == EVERYTHING
    assert calls(site) == VISIT


@pytest.mark.parametrize("behind", ["pages", "token calls"])
def test_with_client_the_token_calls_use_that_clients_proxy(
    library: Library, site: Emulator, proxy: Proxy, behind: str
) -> None:
    ways = {"pages": (None, proxy.url), "token calls": (proxy.url, None)}
    for_tokens, for_pages = ways[behind]
    with library.module.Client(proxy=for_tokens) as caller:
        auth = library.auth(site, client=caller)
        with library.module.Client(proxy=for_pages, auth=auth, base_url=site.base_url) as client:
            visit(site, client, auth)
    assert proxy.forwarded == (PAGES if behind == "pages" else TOKEN_CALLS)
    assert calls(site) == VISIT


def test_token_calls_use_the_mount_for_their_origin(
    library: Library, site: Emulator, proxy: Proxy
) -> None:
    """A mount is chosen by the origin, which is equal for both kinds of call."""
    http = library.module.HTTPTransport

    def nowhere(request: Any) -> Any:
        raise AssertionError(f"{request.url} took the wrong way")

    mounts = {
        f"all://127.0.0.1:{site.port}": http(proxy=proxy.url),
        "all://": library.module.MockTransport(nowhere),
    }
    auth = library.auth(site)
    with library.module.Client(mounts=mounts, auth=auth, base_url=site.base_url) as client:
        visit(site, client, auth)
    assert proxy.forwarded == EVERYTHING
    assert proxy.forwarded.count(PAGE) == len(PAGES)
