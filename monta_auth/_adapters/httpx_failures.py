"""Convert exceptions of httpx or httpx2 to failures of the core, and failures to exceptions."""

from __future__ import annotations

import errno
import time
import traceback
from typing import Any

from .._core.errors import (
    Failure,
    FailureKind,
    MontaAuthError,
    TransportFailure,
    causes,
    is_from_signal_handler,
)
from .._core.replies import Reply
from .._core.token_calls import read_error
from .errors import LibraryErrors, response_in, transport_error
from .httpx_token_call import Redirected, handles_redirects, timeout_words
from .reasons import (
    call_failed,
    certificate_reason,
    is_about_tls,
    reason,
    settings_hint,
    went_by_proxy,
)


class Failures:
    """Convert the exceptions of one library.

    Args:
        module: httpx or httpx2.
        errors: our error classes for this library.
    """

    def __init__(self, module: Any, errors: LibraryErrors) -> None:
        self._module = module
        self._errors = errors
        self._by_kind: dict[FailureKind, type[Exception]] = {
            "timeout": module.ReadTimeout,
            "connect": module.ConnectError,
            "other": module.NetworkError,
        }
        self._never_sent = (
            module.ConnectError,
            module.ConnectTimeout,
            module.PoolTimeout,
            module.ProxyError,
            module.UnsupportedProtocol,
        )

    def response_of(self, error: Any) -> Any:
        """Return the response for which a client or an event hook raised this error, or None."""
        if error is None:
            return None
        response = response_in(error, self._module.Response)
        # An exception of a hook does not hold the response, but the client's frame does.
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if response is None and handles_redirects(frame):
                response = frame.f_locals.get("response")
        return response

    def of(self, error: BaseException | None, call: Any, client: Any = None) -> Failure | None:
        """Return the failure for an exception that was raised during a token call.

        Args:
            client: the client that made the call, unless it is the one that sends the request.

        Returns:
            None if the exception is not about the call: a cancellation, or the time limit of a job.
        """
        if isinstance(error, MontaAuthError | TransportFailure):
            return error.with_traceback(None)
        if not isinstance(error, Exception) or is_from_signal_handler(error):
            return None
        if isinstance(error, Redirected):
            reply = Reply(error.response.status_code, error.response.headers, b"")
            return read_error(reply, call.token_request, time.time())
        if (client is not None and client.is_closed) or _is_about_a_closed_connection(error):
            words = "the client that was to make it is closed"
            return self._failed(call, words, sent=not isinstance(error, RuntimeError), own=True)
        name = type(error).__qualname__
        if isinstance(error, TimeoutError):
            return self._failed(call, f"it did not end in time ({name})", "timeout")
        # Another request, made by a hook, may have failed. Errors of a stream name no request.
        cause = getattr(error, "_request", None)
        is_of_this_call = cause is None or cause is call
        if is_of_this_call and isinstance(error, self._module.RequestError):
            return self._of_library(error, call)
        return self._failed(call, f"an event hook or transport raised {name}")

    def _failed(
        self,
        call: Any,
        words: str,
        kind: FailureKind = "other",
        sent: bool = True,
        own: bool = False,
    ) -> TransportFailure:
        text = call_failed(str(call.url), words)
        return TransportFailure(text, kind, sent, self._by_kind[kind], own)

    def _of_library(self, error: Any, call: Any) -> TransportFailure:
        module = self._module
        words = certificate_reason(error, str(call.url), "SSL_CERT_FILE or verify=")
        words = words or timeout_words(error, call) or reason(error, call.secrets)
        text = call_failed(str(call.url), words, error)
        kind = next(c for c in type(error).__mro__ if getattr(module, c.__name__, None) is c)
        sent = not isinstance(error, self._never_sent)
        tls = is_about_tls(error)
        hint = ""
        if tls or (not sent and not isinstance(error, module.PoolTimeout)):
            hint = settings_hint("client", call.maker, tls=tls or went_by_proxy(error))
        if isinstance(error, module.TimeoutException):
            own = kind.__name__.removesuffix("Timeout").lower() in call.cut
            return TransportFailure(text, "timeout", sent, kind, own, hint)
        return TransportFailure(text, "other" if sent else "connect", sent, kind, hint=hint)

    def too_many_redirects(self, cause: Any) -> Exception | None:
        """Return this error with a hint that the client counts token calls too, or None."""
        if not isinstance(cause, self._module.TooManyRedirects):
            return None
        text = f"{cause} Token calls count; MontaAuth(client=...) keeps them apart."
        error: Exception = self._module.TooManyRedirects(text, request=cause.request)
        return error

    def error(self, error: MontaAuthError | TransportFailure, request: Any) -> Exception:
        """Return the error for callers of this library."""
        module = self._module
        new: Any
        if isinstance(error, TransportFailure):
            new = transport_error(error, module.RequestError, self._by_kind)
        else:
            new = self._errors.recast(error)
        if isinstance(new, module.RequestError) and request is not None:
            # The library does this for its own errors, but not for those that a flow raises.
            request.headers.pop("Authorization", None)
            new.request = request
        result: Exception = new
        return result


def _is_about_a_closed_connection(error: BaseException) -> bool:
    """Return whether this process closed the connection, as a closed client does."""
    return any(
        type(cause).__name__ == "ClosedResourceError"  # of anyio or trio
        or (isinstance(cause, OSError) and cause.errno == errno.EBADF)
        for cause in causes(error)
    )
