"""User code with requests_monta, right and wrong; see `api`."""

from __future__ import annotations

import copy
import pickle
from typing import assert_type

import httpx
import requests

import httpx_monta
from monta_auth import MontaAuthSettings
from monta_auth.stores import MemoryStore
from requests_monta import (
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

from .api import forget_of_any, heard, secret_from_vault


def authorize() -> None:
    auth = MontaAuth("client-id", "client-secret")
    requests.get(PUBLIC_API + "/charges", auth=MontaAuth())
    with requests.Session() as session:
        session.auth = auth
        assert_type(session.get(PUBLIC_API + "/charges"), requests.Response)
        for timeout in (3, 3.0, (1.0, 5.0), (None, 5.0), None):
            MontaAuth("id", "secret", session=session, timeout=timeout)
    MontaAuth(
        client_id="id",
        client_secret=secret_from_vault,
        base_url=PARTNER_API,
        allowed_origins=["https://proxy.example"],
        store=MemoryStore(),
        on_token=heard,
        policy=RefreshPolicy(advisory=120, mandatory=20.5),
    )
    requests.get(PUBLIC_API, auth=MontaAuth)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    requests.get(PUBLIC_API, auth=httpx_monta.MontaAuth())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    httpx.get(PUBLIC_API, auth=auth)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def use_what_it_offers(auth: MontaAuth, session: requests.Session) -> None:
    pair = auth.token()
    assert_type(pair, TokenSet)
    assert_type(auth.bearer_token(), str)
    assert_type(auth.application(), Application)
    assert_type(auth.application(session), Application)
    assert_type(auth.source, TokenSource)
    assert_type(auth.status(), Status)
    assert_type(auth.base_url, str)
    assert_type(copy.copy(auth), MontaAuth)
    assert_type(copy.deepcopy(auth), MontaAuth)
    twin: MontaAuth = pickle.loads(pickle.dumps(auth))
    MontaAuth(token=pair, base_url=PARTNER_SANDBOX_API)
    MontaAuth(source=twin.source, allowed_origins={"https://proxy.example"})
    auth.invalidate()
    auth.forget()
    auth.token(session)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    auth.application(httpx.Client())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def await_what_needs_no_event_loop(auth: MontaAuth) -> None:
    await auth.token()  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    await auth.atoken()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def give_wrong_arguments(auth: MontaAuth, pair: TokenSet) -> None:
    MontaAuth("id", "secret", PUBLIC_API)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    MontaAuth(scope="all")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    MontaAuth(client=httpx.Client())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    MontaAuth(client_id=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(client_secret=b"secret")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(client_secret=heard)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(allowed_origins=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(token="access")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(token=pair.to_dict())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(store="tokens.json")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(on_token=secret_from_vault)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(policy=60.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(source=auth)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(session=httpx.Client())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(timeout="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MontaAuth(timeout=(1, 2, 3))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Sdk(MontaAuthMixin, requests.Session):
    auth: MontaAuth  # pyright: ignore[reportIncompatibleVariableOverride]


def use_a_mixin(settings: MontaAuthSettings) -> None:
    with Sdk(monta_auth={**settings, "on_token": heard}) as sdk:
        assert_type(sdk.get(sdk.auth.base_url + "/charges"), requests.Response)
    Sdk()
    session = requests.Session()
    session.auth = auth = MontaAuth(session=session, **settings)
    assert_type(auth.base_url, str)
    Sdk(monta_auth={"session": sdk})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Sdk(monta_auth={"policy": 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Sdk(monta_auth=MontaAuth())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def handle_errors() -> float:
    try:
        requests.get(PUBLIC_API, auth=MontaAuth()).raise_for_status()
    except errors.RateLimitError as error:
        assert_type(error, RateLimitError)
        return error.retry_after or 60.0
    except errors.InvalidCredentialsError as error:
        assert_type(error, InvalidCredentialsError)
    except errors.InvalidTokenResponseError as error:
        assert_type(error, InvalidTokenResponseError)
    except errors.TokenEndpointError as error:
        assert_type(error, TokenEndpointError)
    except (errors.MontaAuthError, requests.RequestException):
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


def wait_for_the_limit(response: requests.Response, other: httpx.Response) -> float:
    retry_after(other)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    wait = retry_after(response)
    assert_type(wait, float | None)
    return wait or 1.0
