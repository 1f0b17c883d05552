"""Monta auth for httpx: ``httpx.Client(auth=MontaAuth("client-id", "client-secret"))``."""

import importlib

try:
    importlib.import_module("httpx")
except ImportError as error:
    raise ImportError("httpx_monta needs httpx: pip install 'monta-auth[httpx]'") from error

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
from ._mixin import MontaAuthMixin

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
    "MontaAuthMixin",
    "RateLimitError",
    "RefreshPolicy",
    "TokenEndpointError",
    "TokenSet",
    "TokenSource",
]
