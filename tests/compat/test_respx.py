"""respx: routes instead of the network, with the tokens of a real server or of the fixture."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

pytest.importorskip("respx", reason="respx is not installed")

import httpx
import respx

from monta_auth import PUBLIC_API
from monta_auth.emulator import Emulator

from .httpx_libraries import TOKEN_CALLS, Library
from .table import Combination

COMBINATION = Combination(
    name="respx",
    with_="httpx, httpx2",
    know="The fixture ``monta_respx`` answers the auth calls, for httpx2 too. A router of your own "
    "needs a route for ``/auth/token`` and one for ``/auth/refresh``. It keeps their bodies.",
)


REPLIES = [200, 200, 401, 200]
#: The numbers of the tokens that the requests had.
TOKENS = [f"Bearer monta-access-{n}" for n in (1, 2, 2, 3)]


def _mock_pages(router: respx.MockRouter) -> respx.Route:
    route = router.get(f"{PUBLIC_API}/charge-points")
    route.side_effect = [httpx.Response(status, json={"data": []}) for status in REPLIES]
    return route


def _sent(calls: Any) -> list[str]:
    return [call.request.headers["Authorization"] for call in calls]


def test_the_fixture_answers_each_token_call(
    monta_respx: respx.MockRouter, library: Library
) -> None:
    route = _mock_pages(monta_respx)
    auth = library.adapter.MontaAuth()
    with library.module.Client(auth=auth, base_url=PUBLIC_API) as client:
        client.get("/charge-points")
        auth.invalidate()
        client.get("/charge-points")
        assert client.get("/charge-points").status_code == 200
    assert _sent(route.calls) == TOKENS
    assert len(monta_respx.calls) == len(TOKENS) + len(TOKEN_CALLS)


def test_the_fixture_answers_each_token_call_of_async_clients(
    monta_respx: respx.MockRouter, library: Library
) -> None:
    route = _mock_pages(monta_respx)
    auth = library.adapter.MontaAuth()

    async def main() -> None:
        async with library.module.AsyncClient(auth=auth, base_url=PUBLIC_API) as client:
            await client.get("/charge-points")
            auth.invalidate()
            await client.get("/charge-points")
            assert (await client.get("/charge-points")).status_code == 200

    asyncio.run(main())
    assert _sent(route.calls) == TOKENS
    assert len(monta_respx.calls) == len(TOKENS) + len(TOKEN_CALLS)


def test_the_emulator_behind_it_issues_the_tokens(site: Emulator) -> None:
    """Routes answer pages, and a real server token calls: `pass_through`."""
    auth = Library("httpx").auth(site)
    with respx.mock(base_url=site.base_url) as router:
        router.post(path__regex="/auth/").pass_through()
        route = router.get("/charge-points")
        route.side_effect = [httpx.Response(status) for status in (200, 401, 200)]
        with httpx.Client(auth=auth, base_url=site.base_url) as client:
            client.get("/charge-points")
            assert client.get("/charge-points").status_code == 200
    assert [call.path for call in site.calls] == TOKEN_CALLS[:2]
    first, refused, second = _sent(route.calls)
    assert first == refused != second


def test_the_body_of_a_token_call_can_be_matched_and_read() -> None:
    pair = {
        "accessToken": "monta-access",
        "refreshToken": "monta-refresh",
        "accessTokenExpirationDate": "2099-01-01T00:00:00Z",
    }
    body = {"clientId": "client-id", "clientSecret": "client-secret"}
    with respx.mock(base_url=PUBLIC_API) as router:
        token = router.post("/auth/token", json=body).respond(json=pair)
        router.get("/charge-points").respond(json={"data": []})
        auth = Library("httpx").adapter.MontaAuth("client-id", "client-secret")
        with httpx.Client(auth=auth, base_url=PUBLIC_API) as client:
            assert client.get("/charge-points").json() == {"data": []}
    assert token.call_count == 1
    assert json.loads(token.calls.last.request.content) == body
