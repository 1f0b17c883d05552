"""Convert our errors to errors of requests, and failures of requests to values."""

from __future__ import annotations

import requests
from requests import exceptions

from monta_auth._adapters.errors import LibraryErrors, transport_error
from monta_auth._adapters.reasons import (
    Maker,
    call_failed,
    certificate_reason,
    linked,
    reason,
    settings_hint,
    too_late,
    went_by_proxy,
)
from monta_auth._core.effects import Send
from monta_auth._core.errors import Failure, FailureKind, TransportFailure

errors: LibraryErrors = LibraryErrors("requests_monta", requests.RequestException)

_BY_KIND: dict[FailureKind, type[requests.RequestException]] = {
    "timeout": requests.Timeout,
    "connect": requests.ConnectionError,
    "other": requests.ConnectionError,
}


def library_error(failure: Failure, request: requests.PreparedRequest | None) -> Exception:
    """Return the error for callers of requests."""
    new: Exception
    if isinstance(failure, TransportFailure):
        new = transport_error(failure, requests.RequestException, _BY_KIND)
    else:
        new = errors.recast(failure)
    if isinstance(new, requests.RequestException):
        # An error of `application` already has its request.
        new.request = getattr(failure, "request", None) if request is None else _harmless(request)
    return new


def _harmless(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Return a copy for an error, without the token and anything that cannot be pickled."""
    copy = request.copy()
    copy.headers.pop("Authorization", None)
    copy.hooks = {"response": []}
    if not isinstance(copy.body, bytes | str | None):
        copy.body = None  # a file or a generator
    return copy


def transport_failure(
    error: Exception, effect: Send, timeouts: tuple[float, float], maker: Maker
) -> TransportFailure:
    """Return the failure for an exception that a token call raised.

    Args:
        timeouts: in seconds, for connecting and for reading.
        maker: where its session comes from.
    """
    call = effect.request
    # urllib3 wraps the cause. Only without a connection was nothing sent.
    wrapped = error.args[0] if isinstance(error, requests.ConnectionError) and error.args else error
    name = type(getattr(wrapped, "reason", wrapped)).__name__
    tls = isinstance(error, exceptions.SSLError | exceptions.ProxyError)
    full = name in ("EmptyPoolError", "ClosedPoolError")
    never_sent = (
        tls
        or full
        or isinstance(error, requests.ConnectTimeout)
        or name in ("NewConnectionError", "NameResolutionError")
        or any("handshake operation timed out" in str(each) for each in linked(error))
    )
    kind: FailureKind = "connect" if never_sent else "other"
    own = full
    words = certificate_reason(error, call.url, "REQUESTS_CA_BUNDLE or session.verify")
    if isinstance(error, requests.Timeout):
        seconds = timeouts[0 if never_sent else 1]
        words = too_late("connect" if never_sent else "read", seconds)
        kind, own = "timeout", seconds < effect.limit(connect=never_sent)
    elif isinstance(error, requests.RequestException) or _is_about_a_file(error):
        words = words or reason(error, call.secrets)
    words = words or f"a hook or a transport adapter raised {type(error).__qualname__}"
    text = call_failed(call.url, words, error)
    hint = ""
    if never_sent and not full:
        hint = settings_hint("session", maker, tls=tls or went_by_proxy(error))
    kinds = (c for c in type(error).__mro__ if c.__module__ == exceptions.__name__)
    return TransportFailure(text, kind, not never_sent, next(kinds, _BY_KIND[kind]), own, hint)


def _is_about_a_file(error: Exception) -> bool:
    """Return whether requests did not find the file of a CA or a client certificate."""
    return type(error) is OSError and str(error).startswith("Could not find ")
