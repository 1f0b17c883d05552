"""User code with the core, right and wrong. Type checkers read it, but it never runs.

Each wrong line has an ignore comment for each checker. An unneeded one is an error.
"""

from __future__ import annotations

import http.client
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import assert_type

from monta_auth import (
    PARTNER_API,
    PARTNER_SANDBOX_API,
    PUBLIC_API,
    AnyMontaAuth,
    Application,
    Clock,
    ConfigurationError,
    InvalidCredentialsError,
    InvalidTokenResponseError,
    MontaAuthError,
    MontaAuthSettings,
    RateLimitError,
    RefreshPolicy,
    Status,
    TokenEndpointError,
    TokenSet,
    TokenSource,
    TokenStoreError,
    retry_after,
)
from monta_auth.stores import MemoryStore


def secret_from_vault() -> str:
    return "secret"


async def secret_from_async_vault() -> str:
    return "secret"


def heard(pair: TokenSet) -> None:
    assert_type(pair, TokenSet)


async def heard_async(pair: TokenSet) -> None:
    heard(pair)


secrets: tuple[Callable[[], str], Callable[[], Awaitable[str]]] = (
    secret_from_vault,
    secret_from_async_vault,
)
urls: tuple[str, str, str] = (PUBLIC_API, PARTNER_API, PARTNER_SANDBOX_API)


def read_a_token_pair(pair: TokenSet) -> None:
    assert_type(pair.access_token, str)
    assert_type(pair.refresh_token, str | None)
    assert_type(pair.access_expires_at, datetime)
    assert_type(pair.refresh_expires_at, datetime | None)
    assert_type(pair.issued_at, datetime | None)
    assert_type(pair.application_id, int | None)
    assert_type(pair.user_id, int | None)
    assert_type(pair.to_dict(), dict[str, str | int | None])
    assert_type(TokenSet.from_dict(pair.to_dict()), TokenSet)
    assert_type(pair.__replace__(refresh_token=None), TokenSet)
    assert_type({pair: 1}, dict[TokenSet, int])
    pair.access_token = "another"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    pair["access_token"]  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
    pair.expires_at()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def make_a_token_pair(now: datetime) -> None:
    TokenSet("access", "refresh", now)
    TokenSet("access", refresh_token=None, access_expires_at=now, application_id=1)
    TokenSet("access", "refresh")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    TokenSet("access", "refresh", 3600)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    TokenSet.from_dict("access")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def read_a_status(status: Status) -> None:
    assert_type(status.access_expires_at, datetime | None)
    assert_type(status.refresh_expires_at, datetime | None)
    assert_type(status.last_renewal, datetime | None)
    assert_type(status.last_failure, str | None)
    assert_type(status.next_try, datetime | None)
    assert_type(status.fetches, int)
    assert_type(status.refreshes, int)
    assert_type(status.failures, int)
    assert_type(status.refusals, int)
    assert_type(status.__replace__(fetches=1), Status)
    status.fetches = 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    status.access_token.upper()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def make_a_status() -> None:
    Status(access_expires_at=datetime(2030, 1, 1, tzinfo=UTC), fetches=1)
    Status(renewals=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Status(fetches="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Status(next_try=60.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def read_an_application(application: Application) -> None:
    assert_type(application.id, int | None)
    assert_type(application.user_id, int | None)
    assert_type(application.name, str | None)
    assert_type(application.client_id, str | None)
    assert_type(application.scopes, tuple[str, ...])
    assert_type(application.rate_limit, int | None)
    assert_type(application.rate_limit_interval, int | None)
    assert_type(application.operator_id, int | None)
    assert_type(application.operator_ids, tuple[int, ...] | None)
    assert_type(application.team_ids, tuple[int, ...] | None)
    assert_type(application.created_at, datetime | None)
    assert_type(application.updated_at, datetime | None)
    assert_type(application.__replace__(name="Depot"), Application)
    application.name = "Depot"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    application.secret.upper()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def make_an_application() -> None:
    Application(id=1, scopes=("entity:read",))
    Application(application_id=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Application(scopes="all")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def choose_a_policy() -> None:
    policy = RefreshPolicy(advisory=120, mandatory=20.5, attempts=2)
    assert_type(policy.advisory, float)
    assert_type(policy.mandatory, float)
    assert_type(policy.deadline, float)
    assert_type(policy.attempts, int)
    assert_type(policy.sleep_limit, float)
    assert_type(policy.cooldown, float)
    assert_type(policy.pause, float)
    assert_type(policy.__replace__(deadline=5.0), RefreshPolicy)
    policy.deadline = 5.0  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    RefreshPolicy(early=60)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    RefreshPolicy(advisory="60")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    RefreshPolicy(attempts=1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def now() -> float:
    return 0.0


def share_a_source(pair: TokenSet) -> None:
    source = TokenSource("id", secret_from_async_vault, base_url=PARTNER_API, on_token=heard_async)
    TokenSource(token=pair, policy=RefreshPolicy(), on_token=heard)
    TokenSource("id", "secret", store=MemoryStore(), clock=Clock(monotonic=now))
    assert_type(source.base_url, str)
    assert_type(source.status(), Status)
    source.invalidate()
    source.forget()
    source.token()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    source.base_url = PUBLIC_API  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    TokenSource("id", "secret", PUBLIC_API)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    TokenSource(source=source)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    TokenSource(clock=now)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Clock(wall=datetime.now)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def forget_of_any(auth: AnyMontaAuth) -> Status:
    assert_type(auth.source, TokenSource)
    assert_type(auth.base_url, str)
    auth.invalidate()
    try:
        auth.forget()
    except TokenStoreError as error:
        assert_type(error.retryable, bool)
    return auth.status()


def keep_settings(pair: TokenSet) -> None:
    settings: MontaAuthSettings = {
        "client_id": "id",
        "client_secret": secret_from_vault,
        "base_url": PARTNER_API,
        "allowed_origins": ["https://proxy.example"],
        "token": pair,
        "store": MemoryStore(),
        "on_token": heard,
        "policy": RefreshPolicy(),
        "source": TokenSource("id", "secret"),
    }
    settings["timeout"] = 1.0  # type: ignore[typeddict-unknown-key]  # pyright: ignore[reportGeneralTypeIssues]
    settings["policy"] = 1  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]


def wait_before_another_try(error: MontaAuthError) -> float:
    assert_type(error.status, int | None)
    assert_type(error.error_code, str | None)
    assert_type(error.api_message, str | None)
    assert_type(error.request_id, str | None)
    assert_type(error.retryable, bool)
    error.response.close()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    try:
        raise error
    except InvalidCredentialsError:
        raise SystemExit(f"{error} ({error.error_code}, {error.request_id})") from None
    except RateLimitError as limit:
        assert_type(limit.retry_after, float | None)
        return limit.retry_after or 60.0
    except InvalidTokenResponseError as bad:
        any_of_them: TokenEndpointError = bad
        raise any_of_them from None
    except (TokenEndpointError, TokenStoreError) as failure:
        return 5.0 if failure.retryable else float("inf")
    except ConfigurationError as wrong:
        value_error: ValueError = wrong
        raise value_error from None


def wait_for_urllib(response: http.client.HTTPResponse) -> float | None:
    wait = retry_after(response.status, response.headers, response.read())
    assert_type(wait, float | None)
    retry_after("429", {})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    retry_after(429, {}, {})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return retry_after(429, {"Retry-After": "1"})
