"""Our errors as errors of requests, and requests' failures as values."""

from __future__ import annotations

import requests
from requests import exceptions

import monta_auth
from monta_auth._core.errors import TransportFailure, error_classes, recast, redacted


class MontaAuthError(monta_auth.MontaAuthError, requests.RequestException):
    pass


class InvalidCredentialsError(monta_auth.InvalidCredentialsError, requests.RequestException):
    pass


class TokenEndpointError(monta_auth.TokenEndpointError, requests.RequestException):
    pass


class RateLimitError(monta_auth.RateLimitError, TokenEndpointError):
    pass


class InvalidTokenResponseError(monta_auth.InvalidTokenResponseError, TokenEndpointError):
    pass


_OURS = error_classes(
    MontaAuthError,
    InvalidCredentialsError,
    TokenEndpointError,
    RateLimitError,
    InvalidTokenResponseError,
)
_BY_KIND = {
    "timeout": requests.Timeout,
    "connect": requests.ConnectionError,
    "other": requests.ConnectionError,
}


def library_error(
    error: monta_auth.MontaAuthError | TransportFailure, request: requests.PreparedRequest | None
) -> Exception:
    """Return what a caller of requests gets for a failure of the core."""
    new: Exception
    if isinstance(error, TransportFailure):
        kind = error.library_class
        if kind is None or not issubclass(kind, requests.RequestException):
            kind = _BY_KIND[error.kind]
        return kind(error.text, request=request)
    new = recast(error, _OURS.get(type(error), type(error)))
    if isinstance(new, requests.RequestException):
        new.request = request
    return new


def transport_failure(error: Exception, secrets: tuple[str, ...], hint: str) -> TransportFailure:
    """Return what the core learns of an exception that a token call raised."""
    text = str(error) if isinstance(error, requests.RequestException) else ""
    text = redacted(text, secrets)
    text = f"the token call failed: {text or type(error).__qualname__}"
    kind = next((c for c in type(error).__mro__ if c.__module__ == exceptions.__name__), None)
    if isinstance(error, requests.Timeout):
        never_sent = isinstance(error, requests.ConnectTimeout)
        return TransportFailure(text, "timeout", not never_sent, kind)
    if isinstance(error, exceptions.SSLError | exceptions.ProxyError):
        return TransportFailure(text + hint, "connect", False, kind)
    if isinstance(error, requests.ConnectionError):
        # urllib3 wraps what happened; only a connection that never was leaves nothing sent.
        reason = getattr(error.args[0] if error.args else None, "reason", None)
        if type(reason).__name__ in ("NewConnectionError", "NameResolutionError"):
            return TransportFailure(text, "connect", False, kind)
    return TransportFailure(text, "other", True, kind)
