"""Our errors as errors of aiohttp, and aiohttp's failures as values."""

from __future__ import annotations

import aiohttp

from monta_auth._adapters.errors import LibraryErrors
from monta_auth._core.errors import Failure, TransportFailure
from monta_auth._core.replies import redacted

errors: LibraryErrors = LibraryErrors("aiohttp_monta", aiohttp.ClientError)

#: What a text alone can make, and what a session does not take for a stale connection: after a
#: `ClientOSError` or a `ServerDisconnectedError` it would start the user's request over.
_BY_KIND = {
    "timeout": aiohttp.ServerTimeoutError,
    "connect": aiohttp.ClientConnectionError,
    "other": aiohttp.ClientConnectionError,
}
_HINT = "; MontaAuth(session=...) makes the token calls with that session's TLS and proxy"


def library_error(failure: Failure) -> Exception:
    """Return what a caller of aiohttp gets for a failure of the core."""
    if isinstance(failure, TransportFailure):
        return _BY_KIND[failure.kind](failure.text)
    return errors.recast(failure)


def transport_failure(error: Exception, secrets: tuple[str, ...], sent: bool) -> TransportFailure:
    """Return what the core learns of an exception that a token call raised.

    Args:
        sent: whether some of the body went out.
    """
    text = ""
    if isinstance(error, aiohttp.ClientResponseError):
        text = f"{error.status} {error.message}"  # its own text quotes the URL of a proxy
    elif isinstance(error, aiohttp.ClientError | RuntimeError):  # "Session is closed"
        text = str(error)
    text = redacted(text, secrets)
    text = f"the token call failed: {text or type(error).__qualname__}"
    kind = type(error) if isinstance(error, aiohttp.ClientError) else None
    if isinstance(error, TimeoutError):
        return TransportFailure(text, "timeout", sent, kind)
    if isinstance(error, _TLS_AND_PROXY):
        text += _HINT
    return TransportFailure(text, "other" if sent else "connect", sent, kind)


_TLS_AND_PROXY = (
    aiohttp.ClientSSLError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.ClientProxyConnectionError,
    aiohttp.ClientHttpProxyError,
)
