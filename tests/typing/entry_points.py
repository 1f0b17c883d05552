"""User code with the entry points other than the adapters, right and wrong; see `api`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, assert_type

import responses
import respx
from starlette.types import ASGIApp

import aiohttp_monta
import httpx2_monta
import httpx_monta
import requests_monta
from monta_auth import TokenSet, authlib, openapi_generator
from monta_auth.emulator import Call, Emulator, Fault


class Client:
    """Stands for a client of another library."""


def teach_a_generated_sdk(client: Client) -> None:
    speak = openapi_generator.speak_monta
    assert_type(speak(client, requests_monta.MontaAuth()), Client)
    assert_type(speak(client, httpx_monta.MontaAuth()), Client)
    assert_type(speak(client, auth=httpx2_monta.MontaAuth()), Client)
    speak(client)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    speak(client, "access")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    speak(client, aiohttp_monta.MontaAuth())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def teach_a_client_of_authlib(client: Client, pair: TokenSet) -> None:
    assert_type(authlib.speak_monta(client), Client)
    assert_type(authlib.speak_monta(client, base_url=None), Client)
    token = authlib.to_oauth2_token(pair, refresh_token=True)
    assert_type(token, dict[str, Any])
    assert_type(authlib.from_oauth2_token(token, refresh_token=True), TokenSet)
    authlib.speak_monta(client, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    authlib.to_oauth2_token(pair, True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    authlib.to_oauth2_token(token)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    authlib.from_oauth2_token(pair)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    try:
        pass
    except authlib.errors.TokenEndpointError as error:
        assert_type(error.retryable, bool)


def test_with_the_fixtures(
    monta_emulator: Emulator,
    monta_responses: responses.RequestsMock,
    monta_respx: respx.MockRouter,
) -> None:
    assert_type(monta_emulator.base_url, str)
    assert_type(monta_emulator.client_id, str)
    assert_type(monta_emulator.client_secret, str)
    assert_type(monta_emulator.app, ASGIApp)
    assert_type(monta_emulator.count("/auth/token"), int)
    assert_type(monta_emulator.calls, tuple[Call, ...])
    for call in monta_emulator.calls:
        assert_type(call.method, str)
        assert_type(call.path, str)
        assert_type(call.status, int | None)
        assert_type(call.at, datetime)
        assert_type(call.client_id, str | None)
        call.status = 200  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    monta_emulator.inject(Fault(status=503, headers={"Retry-After": "1"}), times=2)
    monta_emulator.inject(503)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Fault(code=503)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with Emulator(partner=True, access_lifetime=60, quota=10) as emulator:
        assert_type(emulator, Emulator)
    Emulator("id")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Emulator(lifetime=60)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
