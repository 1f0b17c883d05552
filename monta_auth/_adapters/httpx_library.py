"""What httpx and httpx2 call the same things: requests, failures and bodies of either library.

Generic over the library's module, which an adapter hands in together with its error classes.
"""

from __future__ import annotations

import errno
import io
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from .._core.drivers import Raised
from .._core.effects import Send
from .._core.errors import (
    Failure,
    FailureKind,
    MontaAuthError,
    TokenEndpointError,
    TransportFailure,
    is_from_signal_handler,
)
from .._core.replies import Reply
from .._core.token_calls import TokenRequest
from .errors import LibraryErrors, response_in, transport_error

#: Key in a request's extensions by which a token call and its redirects are known.
_MARK = "monta_auth.token_call"


class Library:
    """httpx or httpx2.

    Args:
        module: the library itself.
        errors: ours, as its adapter raises them.
    """

    def __init__(self, module: Any, errors: LibraryErrors) -> None:
        self.module = module
        self.byte_stream = module.ByteStream
        self._errors = errors
        self._by_kind: dict[FailureKind, type[Exception]] = {
            "timeout": module.ReadTimeout,
            "connect": module.ConnectError,
            "other": module.NetworkError,
        }
        self._token_call = _token_call_class(module)
        self._never_sent = (
            module.ConnectError,
            module.ConnectTimeout,
            module.PoolTimeout,
            module.ProxyError,
            module.UnsupportedProtocol,
        )

    def token_call(self, effect: Send, like: Any) -> Any:
        """Return the library's request for a token call.

        Args:
            like: the request that caused it, or a client, for its timeout and its user agent; a
                request that a flow yields has neither of its own.
        """
        is_request = isinstance(like, self.module.Request)
        given = like.extensions.get("timeout", {}) if is_request else like.timeout.as_dict()
        timeout: dict[str, float | None] = dict(given)
        names = ("connect", "read", "write", "pool")
        within = {n: effect.within(timeout.get(n), connect=n == "connect") for n in names}
        cut = {n for n in names if within[n] < effect.limit(connect=n == "connect")}
        # How long a full pool lets a call wait says nothing of the endpoint.
        return self._token_call(effect.request, within, cut | {"pool"}, like.headers)

    def send(self, client: Any, effect: Send, like: Any) -> Reply | Raised:
        """Make a token call through a client, without its auth; return what it came to."""
        call = self.token_call(effect, like)
        try:
            response = client.send(call, auth=None, follow_redirects=False)
            return self.outcome(response, call)
        except Exception as error:
            return self.outcome(error, call, client)
        finally:
            call.wipe()

    async def asend(self, client: Any, effect: Send, like: Any) -> Reply | Raised:
        """As `send`, through an ``AsyncClient``."""
        call = self.token_call(effect, like)
        try:
            response = await client.send(call, auth=None, follow_redirects=False)
            return self.outcome(response, call)
        except Exception as error:
            return self.outcome(error, call, client)
        finally:
            call.wipe()

    def drain(self, response: Any) -> None:
        """Read a response to its end, so that its connection is free again."""
        try:
            response.read()
        except self.module.HTTPError:
            self.empty(response)

    async def adrain(self, response: Any) -> None:
        """As `drain`, for an async response."""
        try:
            await response.aread()
        except self.module.HTTPError:
            self.empty(response)

    def outcome(self, result: Any, call: Any, client: Any = None) -> Reply | Raised:
        """Return what a token call came to, and empty its request.

        Args:
            result: the response, read; or the exception that came in its place.
            client: that made the call, if it is not the one that sends the request.

        Raises:
            Exception: `result` itself, if a signal handler raised it.
        """
        response: Any = result
        try:
            if isinstance(result, Exception):
                failure = self.failure(result, call, client)
                if failure is None:
                    raise result
                response = self.response_of(result)
                if response is None or (response.is_success and not response.is_stream_consumed):
                    return Raised(failure)
                # A hook of the client raised for the status.
            if response.request is not call:
                return Raised(_redirected())
            body = response.content if response.is_stream_consumed else b""
            return Reply(response.status_code, response.headers, body)
        finally:
            call.wipe()

    def response_of(self, error: Any) -> Any:
        """Return the response for which an event hook raised this error, or None.

        An error that is not the library's own does not lead to it. But the library's function that
        called the hook is in its traceback.
        """
        if isinstance(error, self.module.RequestError) or error is None:
            return None
        response = response_in(error, self.module.Response)
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if response is None and frame.f_code.co_name == "_send_handling_redirects":
                response = frame.f_locals.get("response")
        return response

    def empty(self, response: Any) -> None:
        """Empty a response: the library's frames hold on to it, or could not read it to its end."""
        response._content, response._text = b"", ""

    def failure(self, error: BaseException | None, call: Any, client: Any = None) -> Failure | None:
        """Return what the core learns of an exception that came while a token call was under way.

        Returns:
            None if it is not that call's: a cancellation, or the time limit of a job.
        """
        if isinstance(error, MontaAuthError):
            return error.with_traceback(None)
        if not isinstance(error, Exception) or is_from_signal_handler(error):
            return None
        if (client is not None and client.is_closed) or _is_about_a_closed_connection(error):
            text = "the token call failed: the client that was to make it is closed"
            return TransportFailure(text, "other", not isinstance(error, RuntimeError), own=True)
        cause = getattr(error, "_request", None)
        is_of_this_call = cause is not None and cause.extensions.get(_MARK) is call.mark
        if is_of_this_call and isinstance(error, self.module.RequestError):
            return self.transport_failure(error, call)
        name = type(error).__qualname__
        return TransportFailure(f"the token call failed: an event hook raised {name}")

    def transport_failure(self, error: Any, call: Any) -> TransportFailure:
        module = self.module
        text = f"the token call failed: {error or type(error).__qualname__}"
        kind = next(c for c in type(error).__mro__ if getattr(module, c.__name__, None) is c)
        sent = not isinstance(error, self._never_sent)
        if isinstance(error, module.TimeoutException):
            own = kind.__name__.removesuffix("Timeout").lower() in call.cut
            return TransportFailure(text, "timeout", sent, kind, own)
        if isinstance(error, module.ProxyError) or "SSL" in text or "certificate" in text:
            text += "; MontaAuth(client=...) makes the token calls with that client's TLS and proxy"
        return TransportFailure(text, "other" if sent else "connect", sent, kind)

    def too_many_redirects(self, cause: Any) -> Exception | None:
        """Return the same error with a word on token calls, which the client counts, too."""
        if not isinstance(cause, self.module.TooManyRedirects):
            return None
        text = f"{cause} Token calls count; MontaAuth(client=...) keeps them apart."
        error: Exception = self.module.TooManyRedirects(text, request=cause.request)
        return error

    def error(self, error: MontaAuthError | TransportFailure, request: Any) -> Exception:
        """Return what a caller of the library gets for a failure of the core."""
        module = self.module
        new: Any
        if isinstance(error, TransportFailure):
            new = transport_error(error, module.RequestError, self._by_kind)
        else:
            new = self._errors.recast(error)
        if isinstance(new, module.RequestError) and request is not None:
            # Raised in a flow, it passes by where the library would do this.
            request.headers.pop("Authorization", None)
            new.request = request
        result: Exception = new
        return result

    def rewinder(self, stream: Any) -> Callable[[], bool] | None:
        """Return a function that readies the body for a second sending, or None if that is not
        possible. Called before the first sending: files are sent again from where they stood.
        """
        if isinstance(stream, self.byte_stream):
            return as_it_is
        if type(stream).__module__.partition(".")[0] != self.module.__name__:
            return None  # a stream of the user's own: nobody knows what a second pass gives
        fields = getattr(stream, "fields", None)
        if fields is not None and hasattr(stream, "boundary"):
            # Multipart. The library itself sets the files back to their start when it sends.
            files = [field.file for field in fields if hasattr(field, "file")]
            ok = all(isinstance(f, str | bytes) or _is_seekable(f) for f in files)
            return as_it_is if ok else None
        # There is no public way to the object that the user gave as content.
        content: Any = getattr(stream, "_stream", None)
        if hasattr(content, "read"):
            return _seeker(content)
        if hasattr(content, "aread"):
            return None
        for ask in (iter, aiter):
            try:
                return None if ask(content) is content else as_it_is
            except TypeError:
                continue
        return None


def as_it_is() -> bool:
    return True


def _is_seekable(file: Any) -> bool:
    try:
        return bool(file.seekable())
    except AttributeError:
        return hasattr(file, "seek")
    except ValueError:
        return False


def _seeker(file: Any) -> Callable[[], bool] | None:
    try:
        start = file.tell()
    except (AttributeError, OSError, ValueError):
        return None

    def rewind() -> bool:
        try:
            file.seek(start)
        except (AttributeError, OSError, ValueError, io.UnsupportedOperation):
            return False
        return True

    return rewind


def _is_about_a_closed_connection(error: BaseException) -> bool:
    """Whether it failed because this process closed its connection, as a closed client does."""
    cause: BaseException | None = error
    while cause is not None:
        if type(cause).__name__ == "ClosedResourceError":  # of anyio or trio
            return True
        if isinstance(cause, OSError) and cause.errno == errno.EBADF:
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _redirected() -> TokenEndpointError:
    return TokenEndpointError(
        "the token endpoint redirects, which is not followed with a secret in hand"
    )


def _token_call_class(module: Any) -> Any:
    """Make the library's classes for a token call: a request whose body can be sent once."""

    class OneShot(module.SyncByteStream, module.AsyncByteStream):  # type: ignore[misc]
        """The body of a token call. A redirect with 307 or 308 would send it on elsewhere."""

        def __init__(self, body: bytes) -> None:
            self.body = body
            self._is_sent = False

        def _take(self) -> bytes:
            if self._is_sent:
                raise TokenEndpointError(
                    "a token call is sent once: this one was redirected, or repeated by a "
                    "transport that retries POST; MontaAuth(client=...) makes it by another client"
                )
            self._is_sent = True
            return self.body

        def __iter__(self) -> Iterator[bytes]:
            yield self._take()

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield self._take()

    class TokenCall(module.Request):  # type: ignore[misc]
        """Reading it (as logging hooks do) must not exchange its stream for one that repeats."""

        def __init__(
            self,
            call: TokenRequest,
            timeout: Mapping[str, float],
            cut: set[str],
            like: Mapping[str, str],
        ) -> None:
            self.cut = cut
            self.mark = object()
            url = module.URL(call.url)
            headers = {"Host": url.netloc.decode("ascii"), **call.headers}
            headers["Content-Length"] = str(len(call.body))
            if "User-Agent" in like:
                headers["User-Agent"] = like["User-Agent"]
            super().__init__(  # pyright: ignore[reportUnknownMemberType]
                "POST",
                url,
                headers=headers,
                stream=OneShot(call.body),
                extensions={"timeout": dict(timeout), _MARK: self.mark},
            )

        @property
        def content(self) -> bytes:
            body: bytes = self.stream.body
            return body

        def read(self) -> bytes:
            return self.content

        async def aread(self) -> bytes:
            return self.content

        def wipe(self) -> None:
            self.stream.body = b""

    return TokenCall
