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
    ConfigurationError,
    InvalidCredentialsError,
    InvalidTokenResponseError,
    MontaAuthError,
    RateLimitError,
    RefreshPolicy,
    TokenEndpointError,
    TokenSet,
    TokenSource,
)

from ._auth import MontaAuth
from ._errors import errors

__all__ = [
    "PARTNER_API",
    "PARTNER_SANDBOX_API",
    "PUBLIC_API",
    "Application",
    "ConfigurationError",
    "InvalidCredentialsError",
    "InvalidTokenResponseError",
    "MontaAuth",
    "MontaAuthError",
    "RateLimitError",
    "RefreshPolicy",
    "TokenEndpointError",
    "TokenSet",
    "TokenSource",
    "errors",
]
