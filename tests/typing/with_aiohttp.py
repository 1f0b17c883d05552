"""User code with aiohttp_monta, right and wrong; see `api`."""

from __future__ import annotations

import copy
from typing import assert_type

import aiohttp
import httpx
import requests

import httpx_monta
from aiohttp_monta import (
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

from .api import forget_of_any, heard_async, secret_from_async_vault
from .stores import AsyncTable


async def authorize(settings: MontaAuthSettings) -> None:
    auth = MontaAuth("id", "secret")
    middleware: aiohttp.ClientMiddlewareType = auth
    async with aiohttp.ClientSession(PARTNER_SANDBOX_API, middlewares=(middleware,)) as session:
        async with session.get("charges") as response:
            assert_type(response, aiohttp.ClientResponse)
        await session.get("charges", middlewares=[auth])
        MontaAuth("id", "secret", session=session)
        MontaAuth(**settings, session=session)
    MontaAuth(
        client_id="id",
        client_secret=secret_from_async_vault,
        base_url=PARTNER_API,
        allowed_origins=["https://proxy.example"],
        store=AsyncTable(),
        on_token=heard_async,
        policy=RefreshPolicy(advisory=120, mandatory=20.5),
    )
    MontaAuth(source=httpx_monta.MontaAuth().source)
    aiohttp.ClientSession(auth=auth)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    aiohttp.ClientSession(middlewares=auth)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    aiohttp.ClientSession(middlewares=(MontaAuth,))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    aiohttp.ClientSession(middlewares=(httpx_monta.MontaAuth(),))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    httpx.AsyncClient(auth=auth)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def use_what_it_offers(auth: MontaAuth, session: aiohttp.ClientSession) -> None:
    assert_type(await auth.token(), TokenSet)
    assert_type(await auth.token(session), TokenSet)
    assert_type(await auth.bearer_token(), str)
    assert_type(await auth.bearer_token(session), str)
    assert_type(await auth.atoken(session), TokenSet)
    assert_type(await auth.abearer_token(session), str)
    assert_type(await auth.aapplication(session), Application)
    assert_type(await auth.application(), Application)
    assert_type(await auth.application(session), Application)
    assert_type(auth.source, TokenSource)
    assert_type(auth.status(), Status)
    assert_type(auth.base_url, str)
    assert_type(copy.copy(auth), MontaAuth)
    auth.invalidate()
    auth.forget()
    auth.token()  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    auth.bearer_token().upper()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    await auth.status()  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    await auth.token(httpx.AsyncClient())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await auth.token(client=session)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def give_wrong_arguments(auth: MontaAuth, pair: TokenSet) -> None:
    MontaAuth("id", "secret", PUBLIC_API)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    MontaAuth(scope="all")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    MontaAuth(timeout=3.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    MontaAuth(token=pair.to_dict())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(store="tokens.json")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(policy=60.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(source=auth)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(session=requests.Session())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(session=httpx.AsyncClient())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def handle_errors(session: aiohttp.ClientSession) -> float:
    try:
        await session.get(PUBLIC_API)
    except errors.RateLimitError as error:
        assert_type(error, RateLimitError)
        return error.retry_after or 60.0
    except errors.InvalidCredentialsError as error:
        assert_type(error, InvalidCredentialsError)
    except errors.InvalidTokenResponseError as error:
        assert_type(error, InvalidTokenResponseError)
    except errors.TokenEndpointError as error:
        assert_type(error, TokenEndpointError)
    except (errors.MontaAuthError, aiohttp.ClientError):
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


def wait_for_the_limit(response: aiohttp.ClientResponse, other: httpx.Response) -> float:
    retry_after(other)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    wait = retry_after(response)
    assert_type(wait, float | None)
    return wait or 1.0
