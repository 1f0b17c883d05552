"""Access tokens for the Monta EV-charging API: fetched, renewed, shared, replaced after a 401.

This is the core, which imports no HTTP library. Use it through `requests_monta`, `httpx_monta`,
`httpx2_monta` or `aiohttp_monta`.
"""

from . import stores as stores
from ._adapters.settings import MontaAuthSettings
from ._adapters.token_source import TokenSource
from ._core.application import Application
from ._core.errors import (
    ConfigurationError,
    InvalidCredentialsError,
    InvalidTokenResponseError,
    MontaAuthError,
    RateLimitError,
    TokenEndpointError,
    TokenStoreError,
)
from ._core.origins import PARTNER_API, PARTNER_SANDBOX_API, PUBLIC_API
from ._core.policy import Clock, RefreshPolicy
from ._core.state import Status
from ._core.tokens import TokenSet

__version__ = "0.1.0"

__all__ = [
    "PARTNER_API",
    "PARTNER_SANDBOX_API",
    "PUBLIC_API",
    "Application",
    "Clock",
    "ConfigurationError",
    "InvalidCredentialsError",
    "InvalidTokenResponseError",
    "MontaAuthError",
    "MontaAuthSettings",
    "RateLimitError",
    "RefreshPolicy",
    "Status",
    "TokenEndpointError",
    "TokenSet",
    "TokenSource",
    "TokenStoreError",
    "stores",
]
