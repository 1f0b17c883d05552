"""Monta auth for httpx: ``httpx.Client(auth=MontaAuth("client-id", "client-secret"))``."""

from importlib import import_module as _import_module

try:
    _import_module("httpx")
except ImportError as _error:
    raise ImportError("httpx_monta needs httpx: pip install 'monta-auth[httpx]'") from _error

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

from ._auth import MontaAuth, errors, retry_after
from ._mixin import MontaAuthMixin

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
    "MontaAuthMixin",
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
