"""The errors that users meet, and the private one that carries a network failure.

    MontaAuthError
    ├── ConfigurationError (also a ValueError)
    ├── InvalidCredentialsError
    ├── TokenEndpointError
    │   ├── RateLimitError
    │   └── InvalidTokenResponseError
    └── TokenStoreError

No text quotes a secret, a token or a reply's body. An instance is raised once and never shared:
whoever keeps a failure keeps a template and raises ``copy.copy`` of it.
"""

from __future__ import annotations

import copy
import math
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from types import CodeType
from typing import Literal


class MontaAuthError(Exception):
    """Base of all errors of this package.

    What an adapter raises is also an error of its HTTP library (``requests.RequestException``,
    ``httpx.RequestError``), so either family may be caught.

    Args:
        text: what happened and what to do about it.
        status: HTTP status of the reply, or None if there was none.
        error_code: Monta's ``errorCode``, such as ``"CONSUMER_NOT_FOUND"``.
        api_message: Monta's ``message``, cut to 300 characters, with secrets taken out. Its name is
            another one, since error trackers show an attribute ``message`` instead of the text.
        request_id: the reply's ``request-id`` header; Monta's support can look it up.
        retry_after: seconds to wait before another try: what the server said; of a remembered
            failure, what is left of it or the time until the next token call.
        retryable: whether the same call may succeed later without a change of settings.
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


_WAIT = re.compile(r"; wait [\d.]+ s before the next try")
_CARRIED = ("status", "error_code", "api_message", "request_id", "retry_after", "retryable")


class ConfigurationError(MontaAuthError, ValueError):
    """The settings cannot work. It is no HTTP library's error: retrying is pointless."""


class InvalidCredentialsError(MontaAuthError):
    """``/auth/token`` answered 401: it does not know this client id and secret.

    Nothing else raises it: a 401 of any other endpoint never means wrong credentials.
    """


class TokenEndpointError(MontaAuthError):
    """An auth endpoint answered with something other than a token pair.

    Also what `application` raises where ``/auth/me`` tells nothing.
    """


class RateLimitError(TokenEndpointError):
    """A rate limit is used up: HTTP 429. `retry_after` says how many seconds to wait."""


class InvalidTokenResponseError(TokenEndpointError):
    """The reply had a good status, but no usable token pair (or application) in it."""


class TokenStoreError(MontaAuthError):
    """A token store cannot be used as it is configured."""


FailureKind = Literal["timeout", "connect", "other"]


class TransportFailure(Exception):
    """A token call that brought no reply: a value between a driver, the core and an adapter.

    Users never see it: an adapter turns it into an exception of its own library.

    Args:
        text: what the library said.
        kind: ``timeout``, ``connect`` (no connection came about) or ``other``.
        sent: whether the request may have reached the server. A refresh token that was
            possibly sent must be taken for spent.
        library_class: the library's exception class, for callers of the same library.
        own: whether the caller itself is the reason (its client is closed, its pool is full, its
            own timeout is shorter than the policy's), so that it says nothing of the endpoint.
    """

    retry_after: float | None = None

    def __init__(
        self,
        text: str,
        kind: FailureKind = "other",
        sent: bool = True,
        library_class: type[Exception] | None = None,
        own: bool = False,
    ) -> None:
        super().__init__(text, kind, sent, library_class, own)
        self.text = text
        self.kind: FailureKind = kind
        self.sent = sent
        self.library_class = library_class
        self.own = own

    def __str__(self) -> str:
        return self.text


_THREAD = "It was raised in a thread of its own, as async clients call plain functions."


def note_thread(error: Exception) -> None:
    """Note on an error of a user's function that it was raised in another thread."""
    with suppress(Exception):  # Some cannot be changed.
        error.add_note(_THREAD)


def thread_of(error: Exception) -> str:
    """Return words on the thread in which a user's function raised this, if that is another."""
    is_noted = _THREAD in getattr(error, "__notes__", ())
    return " in a thread of its own (async clients call plain functions there)" if is_noted else ""


class LeftBehind(TimeoutError):
    """A function of the user's or of a store did not end for its async caller, who went on."""


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
    """Return a copy that says since when and until when it is raised in place of a token call.

    Args:
        wall: now, as a Unix time.
        age, left: seconds since it came, and until the next token call.
    """
    new = copy.copy(failure)
    since, until = (
        datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for moment in (wall - age, wall + left)
    )
    # How long it asked to wait counted from then.
    what = _WAIT.sub("", str(new))
    text = f"{what} (remembered since {since}; "
    text += f"no token call before {until}, in {in_seconds(left)} s)"
    if isinstance(new, TransportFailure):
        new.text = text
    else:
        new.args = (text,)
        if new.retryable:
            new.retry_after = max((new.retry_after or 0.0) - age, left)
    return new


def in_seconds(seconds: float) -> str:
    """Return a wait for a text: never less than it is, with a digit more below ten seconds."""
    digits = 1 if seconds < 10 else 0
    # Rounded before, since a sum of floats is often a hair more.
    return f"{math.ceil(round(seconds * 10**digits, 3)) / 10**digits:.{digits}f}".removesuffix(".0")


def recast(error: MontaAuthError, kind: type[MontaAuthError]) -> MontaAuthError:
    """Return a new instance of `kind` that says and carries what `error` does."""
    return kind(str(error), **{name: getattr(error, name) for name in _CARRIED})


def needs_async(function: object) -> str:
    """Return the text of an error for a coroutine function in a sync flow."""
    name = getattr(function, "__qualname__", type(function).__name__)
    return f"{name} is asynchronous: it works with async clients only; pass a plain function"


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it came from, each once: some lead to themselves."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def is_from_signal_handler(error: BaseException) -> bool:
    """Whether a signal handler raised it: the time limit of a Celery or RQ job, an alarm.

    Such an error is meant for the code around us, so no except clause of ours may keep it.
    Libraries wrap errors (an alarm's TimeoutError becomes a ConnectionError of requests), so
    what was wrapped counts as well.
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
    """Whether one that called us handles this error, since before: it is no cause of ours."""
    begin = error.__traceback__
    # Its own frame is left out: a frame that leads to itself keeps all that it holds.
    callers = traceback.walk_stack(sys._getframe(1))
    return begin is not None and any(frame is begin.tb_frame for frame, _ in callers)


def _code_of(handler: object) -> CodeType | None:
    """Return the code of a function, a method, a partial of one, or an object that is called."""
    handler = getattr(handler, "func", handler)
    if not hasattr(handler, "__code__"):
        handler = getattr(type(handler), "__call__", None)  # noqa: B004 - asks for its code
    return getattr(handler, "__code__", None)
