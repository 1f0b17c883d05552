"""requests-mock: mocked responses for requests, with real or mocked token calls."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from monta_auth import PUBLIC_API
from monta_auth.emulator import Emulator
from requests_monta import MontaAuth

from .requests_library import auth_of
from .table import Combination
from .visits import PAGE, calls

requests_mock: Any = pytest.importorskip("requests_mock", reason="requests-mock is not installed")

COMBINATION = Combination(
    name="requests-mock",
    with_="requests",
    know="Register ``/auth/token`` and ``/auth/refresh``, by POST. An adapter that you mount "
    "sees them with ``session=`` only. The bodies of token calls show what was sent.",
)


PAGES = [{"json": {"data": []}}, {"status_code": 401}, {"json": {"data": []}}]


def _mock(mock: Any) -> tuple[Any, Any, Any]:
    """Mock all three. Return its matchers for the mint, the refresh and the page."""
    mint = mock.register_uri("POST", PUBLIC_API + "/auth/token", json=_pair(1))
    refresh = mock.register_uri("POST", PUBLIC_API + "/auth/refresh", json=_pair(2))
    return mint, refresh, mock.register_uri("GET", PUBLIC_API + PAGE, PAGES)


def _pair(number: int) -> dict[str, str]:
    return {"accessToken": f"access-{number}", "refreshToken": f"refresh-{number}"}


def _check(session: requests.Session, matchers: tuple[Any, Any, Any]) -> None:
    mint, refresh, page = matchers
    for _ in range(2):
        assert session.get(PUBLIC_API + PAGE).json() == {"data": []}
    sent = [request.headers["Authorization"] for request in page.request_history]
    # The refused request gets the new token, in case a redirect is built from it.
    assert sent == ["Bearer access-1", "Bearer access-2", "Bearer access-2"]
    assert (mint.call_count, refresh.call_count) == (1, 1)
    assert mint.last_request.json()["clientId"] == "client-id"
    assert refresh.last_request.json() == {"refreshToken": "refresh-1"}


@pytest.mark.parametrize("of_session", [False, True], ids=["fresh session", "session="])
def test_the_mocker_answers_each_call(of_session: bool) -> None:
    with requests_mock.Mocker() as mock, requests.Session() as session:
        matchers = _mock(mock)
        settings: dict[str, Any] = {"session": session} if of_session else {}
        session.auth = MontaAuth("client-id", "client-secret", **settings)
        _check(session, matchers)


def test_an_adapter_answers_token_calls_through_its_session() -> None:
    with requests.Session() as session:
        adapter = requests_mock.Adapter()
        session.mount("https://", adapter)
        matchers = _mock(adapter)
        session.auth = MontaAuth("client-id", "client-secret", session=session)
        _check(session, matchers)


def test_mocked_pages_work_with_real_token_calls(site: Emulator) -> None:
    with requests_mock.Mocker(real_http=True) as mock, requests.Session() as session:
        mock.get(site.base_url + PAGE, PAGES)
        session.auth = auth_of(site)
        assert [session.get(site.base_url + PAGE).status_code for _ in range(2)] == [200, 200]
    assert calls(site) == [("/auth/token", 200), ("/auth/refresh", 200)]
