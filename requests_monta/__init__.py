"""Monta auth for requests: ``requests.get(url, auth=MontaAuth("client-id", "client-secret"))``."""

from importlib import import_module as _import_module

try:
    _import_module("requests")
except ImportError as _error:
    raise ImportError(
        "requests_monta needs requests: pip install 'monta-auth[requests]'"
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
