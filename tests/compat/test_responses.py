"""responses: mocked responses for requests, with real or mocked token calls."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from monta_auth import PUBLIC_API
from monta_auth.emulator import Emulator
from requests_monta import MontaAuth

from .requests_library import auth_of
from .table import Combination
from .visits import PAGE, calls

responses: Any = pytest.importorskip("responses", reason="responses is not installed")

COMBINATION = Combination(
    name="responses",
    with_="requests",
    know="The fixture ``monta_responses`` answers the auth calls. Of your own: ``/auth/token`` "
    "and ``/auth/refresh``, by POST. The bodies of token calls show what was sent.",
)


def _mock_pages(mock: Any, base_url: str) -> None:
    for status in (200, 200, 401, 200):
        mock.get(base_url + PAGE, status=status, json={"data": []})


def _visit(base_url: str, auth: MontaAuth) -> None:
    """Do what `visit` does. The mock refuses the third page."""
    with requests.Session() as session:
        session.auth = auth
        assert session.get(base_url + PAGE).status_code == 200
        auth.invalidate()
        assert session.get(base_url + PAGE).status_code == 200
        assert session.get(base_url + PAGE).status_code == 200


def test_the_fixture_answers_each_token_call(monta_responses: Any) -> None:
    _mock_pages(monta_responses, PUBLIC_API)
    _visit(PUBLIC_API, MontaAuth())
    sent = [call.request.headers.get("Authorization") for call in monta_responses.calls]
    assert sent == [
        *(None, "Bearer monta-access-1"),
        *(None, "Bearer monta-access-2"),
        # The refused request gets the new token, in case a redirect is built from it.
        *("Bearer monta-access-3", None, "Bearer monta-access-3"),
    ]


def test_mocked_pages_work_with_real_token_calls(site: Emulator) -> None:
    with responses.RequestsMock() as mock:
        mock.add_passthru(site.base_url + "/auth/")
        _mock_pages(mock, site.base_url)
        _visit(site.base_url, auth_of(site))
    assert calls(site) == [("/auth/token", 200), ("/auth/refresh", 200), ("/auth/refresh", 200)]


def test_a_mock_of_your_own_shows_what_was_sent() -> None:
    with responses.RequestsMock() as mock:
        mock.post(PUBLIC_API + "/auth/token", json={"accessToken": "access-1"})
        mock.get(PUBLIC_API + PAGE, json={"data": []})
        with requests.Session() as session:
            session.auth = MontaAuth("client-id", "client-secret")
            assert session.get(PUBLIC_API + PAGE).json() == {"data": []}
        body = {"clientId": "client-id", "clientSecret": "client-secret"}
        assert json.loads(mock.calls[0].request.body) == body
        assert "client-secret" not in repr(mock.calls[0].request.body)
        assert mock.calls[1].request.headers["Authorization"] == "Bearer access-1"
