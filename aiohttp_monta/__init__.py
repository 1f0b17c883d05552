"""Monta auth for aiohttp: ``ClientSession(middlewares=(MontaAuth("id", "secret"),))``."""

from importlib import import_module as _import_module

try:
    # What makes it 3.12 or newer.
    _import_module("aiohttp.client_middlewares")
except ImportError as _error:
    raise ImportError(
        "aiohttp_monta needs aiohttp 3.12.2 or newer: pip install 'monta-auth[aiohttp]'"
    ) from _error

from monta_auth import (
    PARTNER_API,
    PARTNER_SANDBOX_API,
    PUBLIC_API,
    Application,
    ClientSecret,
    ConfigurationError,
    InvalidCredentialsError,
    InvalidTokenResponseError,
    MontaAuthError,
    OnToken,
    RateLimitError,
    RefreshPolicy,
    Status,
    TokenEndpointError,
    TokenSet,
    TokenSource,
    TokenStoreError,
)

from ._auth import MontaAuth, retry_after
from ._errors import errors

__all__ = [
    "PARTNER_API",
    "PARTNER_SANDBOX_API",
    "PUBLIC_API",
    "Application",
    "ClientSecret",
    "ConfigurationError",
    "InvalidCredentialsError",
    "InvalidTokenResponseError",
    "MontaAuth",
    "MontaAuthError",
    "OnToken",
    "RateLimitError",
    "RefreshPolicy",
    "Status",
    "TokenEndpointError",
    "TokenSet",
    "TokenSource",
    "TokenStoreError",
    "errors",
    "retry_after",
]
