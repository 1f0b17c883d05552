"""Tokens to and from Authlib's OAuth2Token."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import requests

import requests_monta
from monta_auth import ConfigurationError, TokenSet
from monta_auth.authlib import from_oauth2_token, speak_monta, to_oauth2_token
from monta_auth.emulator import Emulator

from .clients import OAuth2Session, OAuth2Token

PAIR = TokenSet(
    access_token="access-1",
    refresh_token="refresh-1",
    access_expires_at=datetime(2026, 1, 2, 4, 5, 6, 700_000, UTC),
    refresh_expires_at=datetime(2026, 2, 2, 3, 4, 5, tzinfo=UTC),
    issued_at=datetime(2026, 1, 2, 3, 5, 6, tzinfo=UTC),
    application_id=7,
    user_id=8,
)


def test_a_pair_becomes_a_token_of_authlibs() -> None:
    token = to_oauth2_token(PAIR, refresh_token=True)

    assert type(token) is OAuth2Token
    assert token == {
        "token_type": "Bearer",
        "access_token": "access-1",
        "expires_at": 1767326706,
        "refresh_token": "refresh-1",
        "refresh_expires_at": 1770001445,
        "issued_at": 1767323106,
        "application_id": 7,
        "user_id": 8,
    }


def test_the_refresh_token_is_only_converted_on_request() -> None:
    """It works only once, so it must not have two owners."""
    assert {"refresh_token", "refresh_expires_at"}.isdisjoint(to_oauth2_token(PAIR))
    taken = from_oauth2_token(to_oauth2_token(PAIR, refresh_token=True))
    assert (taken.refresh_token, taken.refresh_expires_at) == (None, None)


def test_a_pair_converted_there_and_back_is_the_same() -> None:
    """Except for fractions of a second, which Authlib drops: dates are rounded down, never up."""
    back = from_oauth2_token(to_oauth2_token(PAIR, refresh_token=True), refresh_token=True)

    expires = PAIR.access_expires_at.replace(microsecond=0)
    assert back.to_dict() == {**PAIR.to_dict(), "access_expires_at": "2026-01-02T04:05:06Z"}
    assert back.access_expires_at == expires


def test_the_keys_of_oauth_are_enough() -> None:
    pair = from_oauth2_token({"access_token": "access-1", "expires_at": 1767326706.5})

    assert pair.access_expires_at == datetime(2026, 1, 2, 4, 5, 6, 500_000, UTC)
    assert (pair.issued_at, pair.refresh_token, pair.user_id) == (None, None, None)


@pytest.mark.parametrize(
    ("token", "text"),
    [
        pytest.param({"access_token": "a"}, "expires_at", id="no date"),
        pytest.param({"access_token": "a", "expires_at": "soon"}, "expires_at", id="no number"),
        pytest.param({"access_token": "a", "expires_at": True}, "expires_at", id="bool"),
        pytest.param({"access_token": "a", "expires_at": 1e300}, "expires_at", id="too late"),
        pytest.param({"expires_at": 1}, "access_token", id="no token"),
        pytest.param({"access_token": "a b", "expires_at": 1}, "access_token", id="bad token"),
    ],
)
def test_an_object_that_is_not_a_token_is_refused(token: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        from_oauth2_token(token)


@pytest.mark.parametrize("offset", [-7200, 0, 7200], ids=["slow", "right", "fast"])
def test_switching_to_monta_auth_costs_no_token_call(offset: float) -> None:
    """The dates use the local clock of the machine that reads the token again."""
    with Emulator(clock_offset=offset) as site:
        with OAuth2Session(site.client_id, site.client_secret) as client:
            token = speak_monta(client, site.base_url).fetch_token()
        auth = requests_monta.MontaAuth(
            site.client_id,
            site.client_secret,
            base_url=site.base_url,
            token=from_oauth2_token(token, refresh_token=True),
        )
        for _ in range(2):
            assert requests.get(site.base_url + "/charge-points", auth=auth).ok
        auth.invalidate()
        assert requests.get(site.base_url + "/charge-points", auth=auth).ok

        calls = [call.path for call in site.calls]
    assert calls == [
        "/auth/token",
        "/charge-points",
        "/charge-points",
        "/auth/refresh",
        "/charge-points",
    ]


def test_monta_auth_works_on_a_client_of_authlib() -> None:
    """For one request, with its renewal and its retry after a 401."""
    with Emulator() as site, OAuth2Session() as client:
        auth = requests_monta.MontaAuth(site.client_id, site.client_secret, base_url=site.base_url)
        assert client.get(site.base_url + "/charge-points", auth=auth).ok
        site.revoke_access_tokens()
        assert client.get(site.base_url + "/charge-points", auth=auth).ok

        assert site.count("/auth/token") == site.count("/auth/refresh") == 1
