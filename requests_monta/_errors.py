"""Our errors as errors of requests, and requests' failures as values."""

from __future__ import annotations

import requests
from requests import exceptions

from monta_auth._adapters.errors import LibraryErrors, transport_error
from monta_auth._adapters.reasons import Maker, certificate_reason, settings_hint
from monta_auth._core.effects import Send
from monta_auth._core.errors import Failure, FailureKind, TransportFailure
from monta_auth._core.replies import safe_text

errors: LibraryErrors = LibraryErrors("requests_monta", requests.RequestException)

_BY_KIND: dict[FailureKind, type[requests.RequestException]] = {
    "timeout": requests.Timeout,
    "connect": requests.ConnectionError,
    "other": requests.ConnectionError,
}


def library_error(failure: Failure, request: requests.PreparedRequest | None) -> Exception:
    """Return what a caller of requests gets for a failure of the core."""
    new: Exception
    if isinstance(failure, TransportFailure):
        new = transport_error(failure, requests.RequestException, _BY_KIND)
    else:
        new = errors.recast(failure)
    if isinstance(new, requests.RequestException):
        # Asking for the application fails with an error that has its request already.
        new.request = getattr(failure, "request", None) if request is None else _harmless(request)
    return new


def _harmless(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """A copy for an error to carry: no refused token, and nothing that cannot be pickled."""
    copy = request.copy()
    copy.headers.pop("Authorization", None)
    copy.hooks = {"response": []}
    if not isinstance(copy.body, bytes | str | None):
        copy.body = None  # a file or a generator
    return copy


def transport_failure(
    error: Exception, effect: Send, timeouts: tuple[float, float], maker: Maker
) -> TransportFailure:
    """Return what the core learns of an exception that a token call raised.

    Args:
        timeouts: for connecting and for reading.
        maker: what its session is.
    """
    text = str(error) if isinstance(error, requests.RequestException) else ""
    call = effect.request
    reason = certificate_reason(error, call.url, "REQUESTS_CA_BUNDLE or session.verify")
    words = reason or safe_text(text, call.secrets) or type(error).__qualname__
    text = f"the token call failed: {words}"
    kind = next((c for c in type(error).__mro__ if c.__module__ == exceptions.__name__), None)
    if isinstance(error, requests.Timeout):
        never_sent = isinstance(error, requests.ConnectTimeout)
        own = timeouts[0 if never_sent else 1] < effect.limit(connect=never_sent)
        text += settings_hint("session", maker, tls=False) if never_sent else ""
        return TransportFailure(text, "timeout", not never_sent, kind, own)
    if isinstance(error, exceptions.SSLError | exceptions.ProxyError):
        text += settings_hint("session", maker, tls=True)
        return TransportFailure(text, "connect", False, kind)
    # urllib3 wraps what happened; only a connection that never was leaves nothing sent.
    wrapped = error.args[0] if isinstance(error, requests.ConnectionError) and error.args else error
    name = type(getattr(wrapped, "reason", wrapped)).__name__
    if name in ("EmptyPoolError", "ClosedPoolError"):
        return TransportFailure(text, "connect", False, kind, own=True)
    never_sent = name in ("NewConnectionError", "NameResolutionError")
    text += settings_hint("session", maker, tls=False) if never_sent else ""
    return TransportFailure(text, "connect" if never_sent else "other", not never_sent, kind)
