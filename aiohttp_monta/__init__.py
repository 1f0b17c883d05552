"""Monta auth for aiohttp: ``ClientSession(middlewares=(MontaAuth("id", "secret"),))``."""

import importlib

try:
    # What makes it 3.12 or newer.
    importlib.import_module("aiohttp.client_middlewares")
except ImportError as error:
    raise ImportError(
        "aiohttp_monta needs aiohttp 3.12.2 or newer: pip install 'monta-auth[aiohttp]'"
    ) from error

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
]
