"""The errors that users see, and the private one for network failures.

    MontaAuthError
    ├── ConfigurationError (also a ValueError)
    ├── InvalidCredentialsError
    ├── TokenEndpointError
    │   ├── RateLimitError
    │   └── InvalidTokenResponseError
    └── TokenStoreError

No text quotes a secret, a token or a body. An instance is raised only once: code that keeps a
failure raises ``copy.copy`` of it.
"""

from __future__ import annotations

import copy
import math
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from types import CodeType
from typing import Literal


class MontaAuthError(Exception):
    """Catch this for every error of this package.

    Errors of an adapter are also errors of its HTTP library (``requests.RequestException``,
    ``httpx.RequestError``), so you can catch either.

    Args:
        text: what happened and what to do about it.
        status: HTTP status of the response; None if there was no response.
        error_code: Monta's ``errorCode``, such as ``"CONSUMER_NOT_FOUND"``.
        api_message: Monta's ``message`` without secrets, at most 300 characters. (Error trackers
            show an attribute named ``message`` instead of the text.)
        request_id: the ``request-id`` header of the response, for Monta's support.
        retry_after: seconds to wait before the next try, as the server asked. For a remembered
            failure: what is left of that wait, or the time until the next token call.
        retryable: whether the same call may succeed later with the same settings.
    """

    def __init__(
        self,
        text: str,
        *,
        status: int | None = None,
        error_code: str | None = None,
        api_message: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.error_code = error_code
        self.api_message = api_message
        self.request_id = request_id
        self.retry_after = retry_after
        self.retryable = retryable


_CARRIED = ("status", "error_code", "api_message", "request_id", "retry_after", "retryable")


class ConfigurationError(MontaAuthError, ValueError):
    """The settings cannot work. It is not an HTTP library's error, because a retry cannot help."""


class InvalidCredentialsError(MontaAuthError):
    """``/auth/token`` answered 401: it does not accept this client id and secret.

    A 401 from any other endpoint does not raise it.
    """


class TokenEndpointError(MontaAuthError):
    """An auth endpoint answered with something other than a token pair.

    `application` raises it too, if ``/auth/me`` answers with an error.
    """


class RateLimitError(TokenEndpointError):
    """The rate limit is used up (HTTP 429). `retry_after` is the number of seconds to wait."""


class InvalidTokenResponseError(TokenEndpointError):
    """The response succeeded, but has no usable token pair (or application) in it."""


class TokenStoreError(MontaAuthError):
    """A token store does not work as it is configured."""


FailureKind = Literal["timeout", "connect", "other"]


class TransportFailure(Exception):
    """A token call without a response, as drivers, core and adapters pass it on.

    Users never see it: adapters turn it into an exception of their library.

    Args:
        text: the library's error text.
        kind: ``timeout``, ``connect`` (no connection was made) or ``other``.
        sent: whether the request may have reached the server. If so, its refresh token counts as
            spent.
        library_class: the library's exception class, for callers of the same library.
        own: whether the caller is the cause (closed client, full pool, a timeout shorter than the
            policy's), so that the failure says nothing about the endpoint.
        hint: advice that is added to the text, for the code that made this very call.
    """

    retry_after: float | None = None

    def __init__(
        self,
        text: str,
        kind: FailureKind = "other",
        sent: bool = True,
        library_class: type[Exception] | None = None,
        own: bool = False,
        hint: str = "",
    ) -> None:
        super().__init__(text, kind, sent, library_class, own, hint)
        self.text = text
        self.kind: FailureKind = kind
        self.sent = sent
        self.library_class = library_class
        self.own = own
        self.hint = hint

    def __str__(self) -> str:
        return self.text + self.hint


_THREAD = "It was raised in a separate thread, because async clients call plain functions there."


def note_thread(error: Exception) -> None:
    """Add a note to an error of a user's function that was raised in another thread."""
    with suppress(Exception):  # Some exceptions cannot be changed.
        error.add_note(_THREAD)


def thread_of(error: Exception) -> str:
    """Describe the thread in which a user's function raised this, if it was another one."""
    is_noted = _THREAD in getattr(error, "__notes__", ())
    return " in a separate thread (async clients call plain functions there)" if is_noted else ""


class LeftBehind(TimeoutError):
    """A user's or store's function did not end in time; its async caller went on without it."""


Failure = MontaAuthError | TransportFailure


def class_name(failure: Failure) -> str:
    """Return the name of the class that a caller of its library gets for a failure."""
    kind: type = type(failure)
    if isinstance(failure, TransportFailure):
        otherwise = TimeoutError if failure.kind == "timeout" else ConnectionError
        kind = failure.library_class or otherwise
    return kind.__name__


def in_words(failure: Failure) -> str:
    """Return the type and the text of a failure."""
    return f"{class_name(failure)}: {failure}"


def remembered(failure: Failure, wall: float, age: float, left: float) -> Failure:
    """Return a copy that states how long it is raised instead of making a token call.

    Args:
        wall: now, as Unix time in seconds.
        age, left: seconds since the failure, and until the next token call.
    """
    new = copy.copy(failure)
    since, until = (
        datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for moment in (wall - age, wall + left)
    )
    text = new.text if isinstance(new, TransportFailure) else str(new)
    if new.retry_after is not None:  # It counted from the time of the failure.
        text = text.replace(wait_text(new.retry_after), "", 1)
    text += f" (remembered since {since}; "
    text += f"no token call before {until}, in {in_seconds(left)} s)"
    if isinstance(new, TransportFailure):
        new.text, new.hint = text, ""
    else:
        new.args = (text,)
        if new.retryable:
            new.retry_after = max((new.retry_after or 0.0) - age, left)
    return new


def wait_text(seconds: float) -> str:
    return f"; wait {in_seconds(seconds)} s before the next try"


def in_seconds(seconds: float) -> str:
    """Return seconds for a text, rounded up; below ten seconds with one decimal."""
    digits = 1 if seconds < 10 else 0
    # Rounded first, because a sum of floats is often slightly too large.
    return f"{math.ceil(round(seconds * 10**digits, 3)) / 10**digits:.{digits}f}".removesuffix(".0")


def recast(error: MontaAuthError, kind: type[MontaAuthError]) -> MontaAuthError:
    """Return a new instance of `kind` with the text and attributes of `error`."""
    return kind(str(error), **{name: getattr(error, name) for name in _CARRIED})


def needs_async(function: object) -> str:
    """Return the error text for a coroutine function in a sync flow."""
    name = getattr(function, "__qualname__", type(function).__name__)
    return f"{name} is asynchronous: it works with async clients only; pass a plain function"


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, each once; some chains are circular."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def is_from_signal_handler(error: BaseException) -> bool:
    """Return whether a signal handler raised it, such as the time limit of a Celery job.

    Such an error is meant for the calling code, so our except clauses must let it through.
    Libraries wrap errors (requests turns an alarm's TimeoutError into a ConnectionError), so the
    causes count as well.
    """
    import signal

    handlers = {_code_of(signal.getsignal(number)) for number in signal.valid_signals()}
    for cause in causes(error):
        if cause is not error and is_of_caller(cause):
            return False
        if any(frame.f_code in handlers for frame, _ in traceback.walk_tb(cause.__traceback__)):
            return True
    return False


def is_of_caller(error: BaseException) -> bool:
    """Return whether our caller was already handling this error when it called us."""
    begin = error.__traceback__
    # Leave out this function's own frame: only the gc frees a frame that refers to itself.
    callers = traceback.walk_stack(sys._getframe(1))
    return begin is not None and any(frame is begin.tb_frame for frame, _ in callers)


def _code_of(handler: object) -> CodeType | None:
    """Return the code of a function, a method, a partial or a callable object."""
    handler = getattr(handler, "func", handler)
    if not hasattr(handler, "__code__"):
        handler = getattr(type(handler), "__call__", None)  # noqa: B004 - reads its code
    return getattr(handler, "__code__", None)
