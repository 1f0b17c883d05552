"""pytest-httpx: one response for each request, including the token calls."""

from __future__ import annotations

import asyncio
import json

import pytest

pytest.importorskip("pytest_httpx", reason="pytest-httpx is not installed")

import httpx
from pytest_httpx import HTTPXMock

import httpx_monta
from monta_auth import PUBLIC_API
from monta_auth.emulator import Emulator

from .httpx_libraries import Library
from .table import Combination

COMBINATION = Combination(
    name="pytest-httpx",
    with_="httpx",
    know="Add an answer for each token call, or leave them to the emulator by ``should_mock``. "
    "Match their bodies with ``match_json``, or look at them afterwards.",
)

URL = f"{PUBLIC_API}/charge-points"


def _pair(number: int) -> dict[str, str]:
    return {
        "accessToken": f"monta-access-{number}",
        "refreshToken": f"monta-refresh-{number}",
        "accessTokenExpirationDate": "2099-01-01T00:00:00Z",
    }


def _add_a_401_and_its_repair(httpx_mock: HTTPXMock) -> None:
    body = {"clientId": "client-id", "clientSecret": "client-secret"}
    httpx_mock.add_response(
        method="POST", url=f"{PUBLIC_API}/auth/token", match_json=body, json=_pair(1)
    )
    httpx_mock.add_response(
        url=URL, status_code=401, match_headers={"Authorization": "Bearer monta-access-1"}
    )
    httpx_mock.add_response(
        method="POST",
        url=f"{PUBLIC_API}/auth/refresh",
        match_json={"refreshToken": "monta-refresh-1"},
        json=_pair(2),
    )
    httpx_mock.add_response(
        url=URL, json={"data": []}, match_headers={"Authorization": "Bearer monta-access-2"}
    )


def _check(httpx_mock: HTTPXMock) -> None:
    requests = httpx_mock.get_requests()
    assert [request.method for request in requests] == ["POST", "GET", "POST", "GET"]
    assert json.loads(requests[0].content)["clientId"] == "client-id"
    assert json.loads(requests[2].content) == {"refreshToken": "monta-refresh-1"}


def test_a_401_is_retried(httpx_mock: HTTPXMock) -> None:
    _add_a_401_and_its_repair(httpx_mock)
    with httpx.Client(auth=httpx_monta.MontaAuth("client-id", "client-secret")) as client:
        assert client.get(URL).json() == {"data": []}
    _check(httpx_mock)


def test_an_async_client_retries_a_401(httpx_mock: HTTPXMock) -> None:
    _add_a_401_and_its_repair(httpx_mock)
    auth = httpx_monta.MontaAuth("client-id", "client-secret")

    async def main() -> None:
        async with httpx.AsyncClient(auth=auth) as client:
            assert (await client.get(URL)).json() == {"data": []}

    asyncio.run(main())
    _check(httpx_mock)


@pytest.mark.httpx_mock(should_mock=lambda request: "/auth/" not in request.url.path)
def test_the_emulator_may_issue_the_tokens(httpx_mock: HTTPXMock, site: Emulator) -> None:
    auth = Library("httpx").auth(site)
    for status in (200, 200, 401, 200):
        httpx_mock.add_response(url=f"{site.base_url}/charge-points", status_code=status)
    with httpx.Client(auth=auth, base_url=site.base_url) as client:
        client.get("/charge-points")
        auth.invalidate()
        client.get("/charge-points")
        assert client.get("/charge-points").status_code == 200
    assert [(call.path, call.status) for call in site.calls] == [
        ("/auth/token", 200),
        ("/auth/refresh", 200),
        ("/auth/refresh", 200),
    ]


@pytest.mark.httpx_mock(assert_all_requests_were_expected=False)
def test_the_error_names_a_token_call_without_a_response(httpx_mock: HTTPXMock) -> None:
    auth = httpx_monta.MontaAuth("client-id", "client-secret")
    with (
        httpx.Client(auth=auth) as client,
        pytest.raises(httpx.TimeoutException, match=f"POST request on {PUBLIC_API}/auth/token"),
    ):
        client.get(URL)
    assert len(httpx_mock.get_requests()) == 1
