"""Typical user code of the three adapters. Type checkers read it; nobody runs it."""

from __future__ import annotations

import pickle
from collections.abc import Awaitable, Callable

import httpx
import httpx2
import requests

import httpx2_monta
import httpx_monta
import requests_monta
from monta_auth import (
    PARTNER_API,
    PARTNER_SANDBOX_API,
    ConfigurationError,
    InvalidCredentialsError,
    MontaAuthError,
    MontaAuthSettings,
    RateLimitError,
    RefreshPolicy,
    Status,
    TokenEndpointError,
    TokenSet,
    TokenSource,
)
from monta_auth.stores import MemoryStore


def secret_from_vault() -> str:
    return "secret"


async def secret_from_async_vault() -> str:
    return "secret"


def heard(pair: TokenSet) -> None:
    print(pair.access_expires_at, pair.application_id)  # noqa: T201


async def heard_async(pair: TokenSet) -> None:
    heard(pair)


def use_requests() -> None:
    requests.get("https://public-api.monta.com/api/v1/charges", auth=requests_monta.MontaAuth())
    with requests.Session() as session:
        session.auth = requests_monta.MontaAuth("client-id", "client-secret")
        response: requests.Response = session.get("https://public-api.monta.com/api/v1/charges")
        response.raise_for_status()
    with requests.Session() as corporate:
        corporate.verify = "/etc/corporate.pem"
        for timeout in (3.0, (1.0, 5.0), (None, 5.0), None):
            requests_monta.MontaAuth("id", "secret", session=corporate, timeout=timeout)
    auth = requests_monta.MontaAuth(
        client_id="id",
        client_secret=secret_from_vault,
        base_url=PARTNER_API,
        allowed_origins=["https://proxy.example"],
        store=MemoryStore(),
        on_token=heard,
        policy=RefreshPolicy(advisory=120, mandatory=20.5),
    )
    pair: TokenSet = auth.token()
    bearer: str = auth.bearer_token()
    status: Status = auth.status()
    source: TokenSource = auth.source
    auth.invalidate()
    auth.forget()
    twin: requests_monta.MontaAuth = pickle.loads(pickle.dumps(auth))
    stored: dict[str, str | int | None] = pair.to_dict()
    again = requests_monta.MontaAuth(token=TokenSet.from_dict(stored))
    print(bearer, status.next_try, source.base_url, twin, again)  # noqa: T201


def handle_errors() -> float:
    try:
        requests.get("https://example.com", auth=requests_monta.MontaAuth())
    except RateLimitError as error:
        return error.retry_after or 60.0
    except InvalidCredentialsError as error:
        raise SystemExit(f"{error} ({error.error_code}, {error.request_id})") from None
    except TokenEndpointError as error:
        return 5.0 if error.retryable else float("inf")
    except ConfigurationError as error:
        raise ValueError(str(error)) from error
    except MontaAuthError as error:
        return float(error.status or 0)
    except requests.RequestException:
        return 1.0
    return 0.0


def use_httpx() -> None:
    auth = httpx_monta.MontaAuth("id", "secret")
    plain: httpx.Auth = auth
    with httpx.Client(auth=plain, base_url=PARTNER_SANDBOX_API) as client:
        response: httpx.Response = client.get("/charges")
        pair: TokenSet = auth.token()
        bearer: str = auth.bearer_token(client)
    with httpx.Client(proxy="http://127.0.0.1:3128") as caller:
        httpx_monta.MontaAuth("id", "secret", client=caller)
    shared = requests_monta.MontaAuth(source=auth.source)
    print(response, pair, bearer, shared)  # noqa: T201


async def use_httpx_async() -> None:
    auth = httpx_monta.MontaAuth(
        "id", secret_from_async_vault, on_token=heard_async, store=MemoryStore()
    )
    async with httpx.AsyncClient(auth=auth) as client:
        response: httpx.Response = await client.get("https://example.com")
        pair: TokenSet = await auth.atoken()
        bearer: str = await auth.abearer_token(client)
        httpx_monta.MontaAuth("id", "secret", client=client)
    print(response, pair, bearer)  # noqa: T201


def use_httpx2() -> None:
    auth = httpx2_monta.MontaAuth("id", "secret")
    plain: httpx2.Auth = auth
    with httpx2.Client(auth=plain) as client:
        response: httpx2.Response = client.get("https://example.com")
        pair: TokenSet = auth.token(client)
        httpx2_monta.MontaAuth("id", "secret", client=client)
    print(response, pair)  # noqa: T201


class Sdk(httpx_monta.MontaAuthMixin, httpx.Client):
    pass


def use_a_mixin() -> None:
    settings: MontaAuthSettings = {"client_id": "id", "client_secret": secret_from_vault}
    with Sdk(base_url=PARTNER_API, monta_auth={**settings, "on_token": heard}) as sdk:
        print(sdk.get("/charges"))  # noqa: T201
    Sdk(monta_auth={"nope": 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Sdk(monta_auth={"policy": 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def use_httpx2_async() -> None:
    auth = httpx2_monta.MontaAuth("id", "secret")
    async with httpx2.AsyncClient(auth=auth) as client:
        response: httpx2.Response = await client.get("https://example.com")
        bearer: str = await auth.abearer_token()
        httpx2_monta.MontaAuth("id", "secret", client=client)
    print(response, bearer)  # noqa: T201


secrets: tuple[Callable[[], str], Callable[[], Awaitable[str]]] = (
    secret_from_vault,
    secret_from_async_vault,
)
