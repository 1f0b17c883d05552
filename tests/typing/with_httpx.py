"""User code with httpx_monta, right and wrong; see `api`."""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, Generator
from typing import assert_type

import httpx
import httpx2
import requests

import httpx2_monta
import requests_monta
from httpx_monta import (
    PARTNER_API,
    PARTNER_SANDBOX_API,
    PUBLIC_API,
    Application,
    ClientSecret,
    ConfigurationError,
    InvalidCredentialsError,
    InvalidTokenResponseError,
    MontaAuth,
    MontaAuthError,
    MontaAuthMixin,
    OnToken,
    RateLimitError,
    RefreshPolicy,
    Status,
    TokenEndpointError,
    TokenSet,
    TokenSource,
    TokenStoreError,
    errors,
    retry_after,
)
from monta_auth import MontaAuthSettings
from monta_auth.stores import MemoryStore

from .api import (
    forget_of_any,
    heard,
    heard_async,
    secret_from_async_vault,
    secret_from_vault,
)
from .stores import AsyncTable


def authorize() -> None:
    auth = MontaAuth("id", "secret")
    plain: httpx.Auth = auth
    with httpx.Client(auth=plain, base_url=PARTNER_SANDBOX_API) as client:
        assert_type(client.get("/charges"), httpx.Response)
        MontaAuth("id", "secret", client=client)
    httpx.get(PUBLIC_API + "/charges", auth=auth)
    MontaAuth(
        client_id="id",
        client_secret=secret_from_vault,
        base_url=PARTNER_API,
        allowed_origins=["https://proxy.example"],
        store=MemoryStore(),
        on_token=heard,
        policy=RefreshPolicy(advisory=120, mandatory=20.5),
    )
    MontaAuth(source=requests_monta.MontaAuth().source)
    httpx.get(PUBLIC_API, auth=MontaAuth)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    httpx.Client(auth=requests_monta.MontaAuth())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    httpx.Client(auth=httpx2_monta.MontaAuth())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    httpx2.Client(auth=auth)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def authorize_async_code() -> None:
    auth = MontaAuth("id", secret_from_async_vault, on_token=heard_async, store=AsyncTable())
    async with httpx.AsyncClient(auth=auth) as client:
        assert_type(await client.get(PUBLIC_API + "/charges"), httpx.Response)
        MontaAuth("id", "secret", client=client)


def use_what_it_offers(
    auth: MontaAuth, client: httpx.Client, async_client: httpx.AsyncClient
) -> None:
    assert_type(auth.token(), TokenSet)
    assert_type(auth.token(client), TokenSet)
    assert_type(auth.bearer_token(), str)
    assert_type(auth.bearer_token(client), str)
    assert_type(auth.application(), Application)
    assert_type(auth.application(client), Application)
    assert_type(auth.source, TokenSource)
    assert_type(auth.status(), Status)
    assert_type(auth.base_url, str)
    assert_type(copy.copy(auth), MontaAuth)
    auth.invalidate()
    auth.forget()
    auth.token(async_client)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    auth.token(httpx2.Client())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    auth.bearer_token(session=client)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    auth.atoken().to_dict()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


async def use_what_it_offers_to_async_code(auth: MontaAuth, client: httpx.AsyncClient) -> None:
    assert_type(await auth.atoken(), TokenSet)
    assert_type(await auth.atoken(client), TokenSet)
    assert_type(await auth.abearer_token(), str)
    assert_type(await auth.abearer_token(client), str)
    assert_type(await auth.aapplication(), Application)
    assert_type(await auth.aapplication(client), Application)
    auth.atoken()  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    await auth.token()  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    await auth.atoken(httpx.Client())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await auth.atoken(httpx2.AsyncClient())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Traced(httpx.Auth):
    """A user's auth that wraps ours."""

    def __init__(self, auth: MontaAuth) -> None:
        self._auth = auth

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        flow = self._auth.sync_auth_flow(request)
        assert_type(flow, Generator[httpx.Request, httpx.Response, None])
        assert_type(self._auth.auth_flow(request), Generator[httpx.Request, httpx.Response, None])
        self._auth.sync_auth_flow("GET")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        yield from flow

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        flow = self._auth.async_auth_flow(request)
        assert_type(flow, AsyncGenerator[httpx.Request, httpx.Response])
        try:
            request = await anext(flow)
            while True:
                response = yield request
                request = await flow.asend(response)
        except StopAsyncIteration:
            return
        finally:
            await flow.aclose()


def give_wrong_arguments(auth: MontaAuth, pair: TokenSet) -> None:
    MontaAuth("id", "secret", PUBLIC_API)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    MontaAuth(scope="all")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    MontaAuth(session=requests.Session())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    MontaAuth(timeout=3.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    MontaAuth(token=pair.to_dict())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(store="tokens.json")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(policy=60.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(source=auth)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(client=httpx.Client)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(client=requests.Session())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(client=httpx2.Client())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(client=httpx2.AsyncClient())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Sdk(MontaAuthMixin, httpx.Client):
    pass


class AsyncSdk(MontaAuthMixin, httpx.AsyncClient):
    pass


async def use_a_mixin(settings: MontaAuthSettings) -> None:
    with Sdk(base_url=PARTNER_API, monta_auth={**settings, "on_token": heard}) as sdk:
        assert_type(sdk.get("/charges"), httpx.Response)
    async with AsyncSdk(monta_auth=settings) as async_sdk:
        assert_type(await async_sdk.get(PARTNER_API + "/charges"), httpx.Response)
    Sdk()
    MontaAuth(**settings)
    Sdk(monta_auth={"client": sdk})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Sdk(monta_auth={"policy": 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    AsyncSdk(monta_auth=MontaAuth())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def handle_errors() -> float:
    try:
        httpx.get(PUBLIC_API, auth=MontaAuth()).raise_for_status()
    except errors.RateLimitError as error:
        assert_type(error, RateLimitError)
        return error.retry_after or 60.0
    except errors.InvalidCredentialsError as error:
        assert_type(error, InvalidCredentialsError)
    except errors.InvalidTokenResponseError as error:
        assert_type(error, InvalidTokenResponseError)
    except errors.TokenEndpointError as error:
        assert_type(error, TokenEndpointError)
    except (errors.MontaAuthError, httpx.HTTPError):
        return 1.0
    # It is not an error of a library.
    except errors.ConfigurationError:  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        raise
    except ConfigurationError as error:
        raise ValueError(str(error)) from error
    except MontaAuthError as error:
        assert_type(error, MontaAuthError)
    return 0.0


def annotate(secret: ClientSecret, on_token: OnToken) -> Status:
    auth = MontaAuth("id", secret, on_token=on_token)
    assert_type(auth.source, TokenSource)
    try:
        return forget_of_any(auth)
    except TokenStoreError:
        return Status()


def wait_for_the_limit(response: httpx.Response, other: requests.Response) -> float:
    retry_after(other)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    wait = retry_after(response)
    assert_type(wait, float | None)
    return wait or 1.0
