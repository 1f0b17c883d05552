"""Fetch, renew and share access tokens for the Monta EV-charging API, and renew them after a 401.

This core imports no HTTP library. Use it through `requests_monta`, `httpx_monta`, `httpx2_monta`
or `aiohttp_monta`.
"""

import typing as _t
from importlib import import_module as _import_module

from ._adapters.token_source import TokenSource
from ._core.application import Application
from ._core.credentials import ClientSecret
from ._core.errors import (
    ConfigurationError,
    InvalidCredentialsError,
    InvalidTokenResponseError,
    MontaAuthError,
    RateLimitError,
    TokenEndpointError,
    TokenStoreError,
)
from ._core.leader import OnToken
from ._core.origins import PARTNER_API, PARTNER_SANDBOX_API, PUBLIC_API
from ._core.policy import Clock, RefreshPolicy
from ._core.replies import retry_after
from ._core.status import Status
from ._core.tokens import TokenSet

if _t.TYPE_CHECKING:
    from . import stores
    from ._adapters.settings import AnyMontaAuth, MontaAuthSettings

__version__ = "0.1.0"

__all__ = [
    "PARTNER_API",
    "PARTNER_SANDBOX_API",
    "PUBLIC_API",
    "AnyMontaAuth",
    "Application",
    "ClientSecret",
    "Clock",
    "ConfigurationError",
    "InvalidCredentialsError",
    "InvalidTokenResponseError",
    "MontaAuthError",
    "MontaAuthSettings",
    "OnToken",
    "RateLimitError",
    "RefreshPolicy",
    "Status",
    "TokenEndpointError",
    "TokenSet",
    "TokenSource",
    "TokenStoreError",
    "retry_after",
    "stores",
]


if not _t.TYPE_CHECKING:  # pragma: no branch - type checkers would accept any name

    def __getattr__(name: str) -> object:
        """Import on first use what most programs do not need."""
        if name == "stores":
            return _import_module(".stores", __name__)
        if name in ("AnyMontaAuth", "MontaAuthSettings"):
            return getattr(_import_module("._adapters.settings", __name__), name)
        if name == "MontaAuth":  # `from ... import` would replace the text of an AttributeError.
            raise ImportError(
                "each HTTP library has a MontaAuth of its own: write "
                "`from requests_monta import MontaAuth`, or httpx_monta, httpx2_monta, "
                "aiohttp_monta"
            )
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
