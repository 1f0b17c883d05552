"""Our errors as errors of aiohttp, and aiohttp's failures as values."""

from __future__ import annotations

import traceback

import aiohttp

from monta_auth._adapters.errors import LibraryErrors
from monta_auth._adapters.reasons import Maker, certificate_reason, settings_hint
from monta_auth._core.effects import Send
from monta_auth._core.errors import Failure, TransportFailure, causes
from monta_auth._core.replies import safe_text

errors: LibraryErrors = LibraryErrors("aiohttp_monta", aiohttp.ClientError)

#: What a text alone can make, and what a session does not take for a stale connection: after a
#: `ClientOSError` or a `ServerDisconnectedError` it would start the user's request over.
_BY_KIND = {
    "timeout": aiohttp.ServerTimeoutError,
    "connect": aiohttp.ClientConnectionError,
    "other": aiohttp.ClientConnectionError,
}


def library_error(failure: Failure) -> Exception:
    """Return what a caller of aiohttp gets for a failure of the core."""
    if isinstance(failure, TransportFailure):
        return _BY_KIND[failure.kind](failure.text)
    return errors.recast(failure)


def transport_failure(
    error: Exception,
    effect: Send,
    timeout: aiohttp.ClientTimeout,
    closed: bool,
    sent: bool,
    maker: Maker,
) -> TransportFailure:
    """Return what the core learns of an exception that a token call raised.

    Args:
        timeout: the call's.
        closed: whether its session is closed.
        sent: whether some of the body went out.
        maker: what its session is.
    """
    text = ""
    if isinstance(error, aiohttp.ClientResponseError):
        text = f"{error.status} {error.message}"  # its own text quotes the URL of a proxy
    elif isinstance(error, aiohttp.ClientError | RuntimeError):  # "Session is closed"
        text = str(error)
    call = effect.request
    reason = certificate_reason(error, call.url, "SSL_CERT_FILE or ssl=")
    words = reason or safe_text(text, call.secrets) or type(error).__qualname__
    text = f"the token call failed: {words}"
    kind = type(error) if isinstance(error, aiohttp.ClientError) else None
    if closed:
        text = "the token call failed: Session is closed"
        return TransportFailure(text, "other" if sent else "connect", sent, kind, own=True)
    tls = isinstance(error, _TLS_AND_PROXY)
    if tls or not sent:
        text += settings_hint("session", maker, tls=tls)
    if isinstance(error, TimeoutError):
        own = _is_own(error, effect, timeout, sent)
        return TransportFailure(text, "timeout", sent, kind, own)
    return TransportFailure(text, "other" if sent else "connect", sent, kind)


def _is_own(error: Exception, effect: Send, timeout: aiohttp.ClientTimeout, sent: bool) -> bool:
    """Whether the session's own timeout or its full pool is the reason, not a silent endpoint."""
    for cause in causes(error):
        frames = (frame for frame, _ in traceback.walk_tb(cause.__traceback__))
        if any(frame.f_code.co_name == "_wait_for_available_connection" for frame in frames):
            return True
    given = [timeout.total]
    given += [timeout.sock_read] if sent else [timeout.connect, timeout.sock_connect]
    limit = effect.limit(connect=not sent)
    return any(seconds and seconds < limit for seconds in given)


_TLS_AND_PROXY = (
    aiohttp.ClientSSLError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.ClientProxyConnectionError,
    aiohttp.ClientHttpProxyError,
)
