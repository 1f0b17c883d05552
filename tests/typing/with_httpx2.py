"""User code with httpx2_monta, where the two libraries could be confused; see `with_httpx`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import assert_type

import httpx
import httpx2

import httpx_monta
from httpx2_monta import (
    PARTNER_API,
    Application,
    ClientSecret,
    MontaAuth,
    MontaAuthMixin,
    OnToken,
    RateLimitError,
    Status,
    TokenSet,
    TokenSource,
    TokenStoreError,
    errors,
    retry_after,
)
from monta_auth import MontaAuthSettings

from .api import forget_of_any


def authorize() -> None:
    auth = MontaAuth("id", "secret")
    plain: httpx2.Auth = auth
    with httpx2.Client(auth=plain, base_url=PARTNER_API) as client:
        assert_type(client.get("/charges"), httpx2.Response)
        assert_type(auth.token(client), TokenSet)
        assert_type(auth.bearer_token(client), str)
        assert_type(auth.application(client), Application)
        MontaAuth("id", "secret", client=client)
    request = httpx2.Request("GET", PARTNER_API)
    flow = auth.sync_auth_flow(request)
    assert_type(flow, Generator[httpx2.Request, httpx2.Response, None])
    async_flow = auth.async_auth_flow(request)
    assert_type(async_flow, AsyncGenerator[httpx2.Request, httpx2.Response])


async def authorize_async_code() -> None:
    auth = MontaAuth("id", "secret")
    async with httpx2.AsyncClient(auth=auth) as client:
        assert_type(await client.get(PARTNER_API + "/charges"), httpx2.Response)
        assert_type(await auth.atoken(client), TokenSet)
        assert_type(await auth.abearer_token(client), str)
        assert_type(await auth.aapplication(client), Application)
        MontaAuth("id", "secret", client=client)


async def confuse_the_two_libraries(auth: MontaAuth, request: httpx.Request) -> None:
    MontaAuth(client=httpx.Client())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(client=httpx.AsyncClient())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    auth.token(httpx.Client())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await auth.atoken(httpx.AsyncClient())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    auth.sync_auth_flow(request)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    httpx.Client(auth=auth)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    httpx2.Client(auth=httpx_monta.MontaAuth())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Sdk(MontaAuthMixin, httpx2.Client):
    pass


class AsyncSdk(MontaAuthMixin, httpx2.AsyncClient):
    pass


async def use_a_mixin(settings: MontaAuthSettings) -> None:
    with Sdk(base_url=PARTNER_API, monta_auth=settings) as sdk:
        assert_type(sdk.get("/charges"), httpx2.Response)
    async with AsyncSdk(monta_auth={"client_id": "id", "client_secret": "secret"}) as async_sdk:
        assert_type(await async_sdk.get(PARTNER_API + "/charges"), httpx2.Response)
    Sdk(monta_auth={"client": sdk})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def handle_errors() -> float | None:
    try:
        httpx2.get(PARTNER_API, auth=MontaAuth())
    except errors.RateLimitError as error:
        assert_type(error, RateLimitError)
        return error.retry_after
    except (errors.MontaAuthError, httpx2.HTTPError):
        return 1.0
    return None


def annotate(secret: ClientSecret, on_token: OnToken) -> Status:
    auth = MontaAuth("id", secret, on_token=on_token)
    assert_type(auth.source, TokenSource)
    try:
        return forget_of_any(auth)
    except TokenStoreError:
        return Status()


def wait_for_the_limit(response: httpx2.Response, other: httpx.Response) -> float:
    retry_after(other)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    wait = retry_after(response)
    assert_type(wait, float | None)
    return wait or 1.0
