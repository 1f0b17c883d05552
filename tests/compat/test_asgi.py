"""ASGITransport and WSGITransport: the API or a service that calls it, without a socket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from monta_auth import PUBLIC_API
from monta_auth.emulator import Emulator, Fault

from .httpx_libraries import Library, avisit, visit
from .table import Combination
from .visits import PAGE, VISIT, calls

COMBINATION = Combination(
    name="``ASGITransport``, ``WSGITransport``",
    with_="httpx, httpx2",
    know="The token calls go to the app, too. ``base_url`` of the client and of ``MontaAuth`` name "
    "the same host, which need not exist: ``PUBLIC_API`` will do.",
    distribution="httpx",
)


@pytest.fixture
def app() -> Emulator:
    """A Monta without a socket, only its `app`."""
    return Emulator()


def test_the_whole_api_may_be_an_app(library: Library, app: Emulator) -> None:
    auth = library.auth(app, PUBLIC_API)

    async def main() -> None:
        transport = library.module.ASGITransport(app.app)
        async with library.module.AsyncClient(
            transport=transport, auth=auth, base_url=PUBLIC_API
        ) as client:
            await avisit(app, client, auth)

    asyncio.run(main())
    assert calls(app) == VISIT


def test_an_app_that_raises_in_a_token_call_leaves_no_request_waiting(
    library: Library, app: Emulator
) -> None:
    """This is a failed token call. The refresh token may be spent, so the next request mints."""
    auth = library.auth(app, PUBLIC_API)

    async def main() -> None:
        transport = library.module.ASGITransport(app.app)
        async with library.module.AsyncClient(
            transport=transport, auth=auth, base_url=PUBLIC_API
        ) as client:
            await client.get(PAGE)
            app.revoke_access_tokens()
            app.inject(Fault(close=True), path="/auth/refresh")
            with pytest.raises(library.module.NetworkError, match="ConnectionResetError"):
                await client.get(PAGE)
            await asyncio.sleep(0.65)  # as long as the failure is remembered at most
            assert (await client.get(PAGE)).status_code == 200

    asyncio.run(main())
    assert calls(app) == [
        ("/auth/token", 200),
        (PAGE, 200),
        (PAGE, 401),
        ("/auth/refresh", None),
        ("/auth/token", 200),
        (PAGE, 200),
    ]


def test_a_service_under_test_calls_monta_with_its_own_auth(
    library: Library, site: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """The test's client has no token. The service has its own auth."""
    auth = library.auth(site)
    came: list[bool] = []

    async def count(request: Request) -> JSONResponse:
        came.append("authorization" in request.headers)
        async with library.module.AsyncClient(auth=auth, base_url=site.base_url) as monta:
            return JSONResponse((await monta.get(PAGE)).json()["meta"]["totalItemCount"])

    service = Starlette(routes=[Route("/count", count)])

    async def main() -> list[Any]:
        transport = library.module.ASGITransport(service)
        async with library.module.AsyncClient(
            transport=transport, base_url="http://testserver", auth=auth
        ) as client:
            first = await client.get("/count")
            site.revoke_access_tokens()
            return [first.json(), (await client.get("/count")).json()]

    with caplog.at_level(logging.CRITICAL, "monta_auth"):  # it warns about the foreign origin
        assert asyncio.run(main()) == [24, 24]
    assert came == [False, False]
    assert calls(site) == [VISIT[0], VISIT[1], *VISIT[4:]]


class Wsgi:
    """A WSGI application in front of a running Monta."""

    def __init__(self, site: Emulator) -> None:
        self._site = site

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        names = {"CONTENT_TYPE": "Content-Type", "HTTP_AUTHORIZATION": "Authorization"}
        reply = httpx.request(
            environ["REQUEST_METHOD"],
            self._site.base_url + environ["PATH_INFO"].removeprefix("/api/v1"),
            headers={name: environ[key] for key, name in names.items() if key in environ},
            content=environ["wsgi.input"].read(),
        )
        headers = [(k, v) for k, v in reply.headers.items() if k in ("content-type", "date")]
        start_response(f"{reply.status_code} {reply.reason_phrase}", headers)
        return [reply.content]


def test_the_api_may_be_a_wsgi_app(library: Library, site: Emulator) -> None:
    auth = library.auth(site, PUBLIC_API)
    transport = library.module.WSGITransport(app=Wsgi(site))
    with library.module.Client(transport=transport, auth=auth, base_url=PUBLIC_API) as client:
        visit(site, client, auth)
    assert calls(site) == VISIT
