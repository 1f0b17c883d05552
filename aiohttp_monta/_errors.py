"""Convert our errors to errors of aiohttp, and failures of aiohttp to values."""

from __future__ import annotations

import traceback

import aiohttp

from monta_auth._adapters.errors import LibraryErrors, transport_error
from monta_auth._adapters.reasons import (
    Maker,
    call_failed,
    certificate_reason,
    is_about_tls,
    reason,
    settings_hint,
    too_late,
    went_by_proxy,
)
from monta_auth._core.effects import Send
from monta_auth._core.errors import Failure, FailureKind, TransportFailure, causes
from monta_auth._core.replies import safe_text

errors: LibraryErrors = LibraryErrors("aiohttp_monta", aiohttp.ClientError)

#: Classes that take only a text and do not look like a stale connection: after `ClientOSError` or
#: `ServerDisconnectedError`, the session would repeat the user's request.
_BY_KIND: dict[FailureKind, type[aiohttp.ClientError]] = {
    "timeout": aiohttp.ServerTimeoutError,
    "connect": aiohttp.ClientConnectionError,
    "other": aiohttp.ClientConnectionError,
}


def library_error(failure: Failure) -> Exception:
    """Return the error for callers of aiohttp."""
    if isinstance(failure, TransportFailure):
        return transport_error(failure, aiohttp.ClientError, _BY_KIND)
    return errors.recast(failure)


def transport_failure(
    error: Exception,
    effect: Send,
    timeout: aiohttp.ClientTimeout,
    closed: bool,
    sent: bool,
    maker: Maker,
) -> TransportFailure:
    """Return the failure for an exception that a token call raised.

    Args:
        timeout: the timeouts of the call, in seconds.
        closed: whether its session is closed.
        sent: whether a part of the body was sent.
        maker: where its session comes from.
    """
    call = effect.request
    kind: FailureKind = "other" if sent else "connect"
    if closed:
        text = call_failed(call.url, "Session is closed")
        return TransportFailure(text, kind, sent, _BY_KIND[kind], own=True)
    words = certificate_reason(error, call.url, "SSL_CERT_FILE or ssl=")
    tls = is_about_tls(error) or isinstance(error, aiohttp.ServerFingerprintMismatch)
    own = False
    if isinstance(error, TimeoutError):
        kind = "timeout"
        words, own = _lateness(error, effect, timeout, sent)
    elif isinstance(error, aiohttp.ClientResponseError):
        # The original text quotes the URL of a proxy.
        words = safe_text(f"{error.status} {error.message}", call.secrets)
    elif _is_cut_handshake(error):
        words, tls = "the server closed the connection during the TLS handshake", True
    elif isinstance(error, aiohttp.ClientError | RuntimeError):  # "Session is closed"
        words = words or reason(error, call.secrets)
    words = words or f"a trace hook or a connector raised {type(error).__qualname__}"
    text = call_failed(call.url, words, error)
    hint = ""
    if tls or not sent:
        hint = settings_hint("session", maker, tls=tls or went_by_proxy(error))
    return TransportFailure(text, kind, sent, _BY_KIND[kind], own, hint)


def _lateness(
    error: Exception, effect: Send, timeout: aiohttp.ClientTimeout, sent: bool
) -> tuple[str, bool]:
    """Return a text for a timeout, and whether the session's own settings are the cause.

    These are its timeouts or a full pool. Otherwise the endpoint was silent.
    """
    given = [timeout.total]
    given += [timeout.sock_read] if sent else [timeout.connect, timeout.sock_connect]
    seconds = min(each for each in given if each)
    for cause in causes(error):
        frames = (frame for frame, _ in traceback.walk_tb(cause.__traceback__))
        if any(frame.f_code.co_name == "_wait_for_available_connection" for frame in frames):
            return too_late("pool", seconds), True
    words = too_late("read" if sent else "connect", seconds)
    return words, seconds < effect.limit(connect=not sent)


def _is_cut_handshake(error: Exception) -> bool:
    """Return whether the server closed the connection: asyncio reports it without any detail."""
    of_system = getattr(error, "os_error", None)
    return isinstance(of_system, ConnectionResetError) and not of_system.args
