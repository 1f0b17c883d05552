"""What httpx and httpx2 call the same things: requests, failures and bodies of either library.

Generic over the library's module, which an adapter hands in together with its error classes.
"""

from __future__ import annotations

import errno
import time
import traceback
from contextlib import aclosing, closing, suppress
from functools import cached_property, partial
from typing import Any

from .._core.drivers import Raised, aadvance
from .._core.effects import Call, Send, Steps
from .._core.errors import (
    Failure,
    FailureKind,
    MontaAuthError,
    TokenEndpointError,
    TransportFailure,
    causes,
    is_from_signal_handler,
)
from .._core.origins import Origins
from .._core.replies import Reply, retry_after
from .._core.token_calls import read_error
from .auth import check_response
from .bodies import AuthBody, Body, rewinder, within
from .errors import LibraryErrors, response_in, transport_error
from .httpx_token_call import Redirected, kept_class, timeout_words, token_call_class
from .reasons import (
    Maker,
    call_failed,
    certificate_reason,
    is_about_tls,
    reason,
    settings_hint,
    went_by_proxy,
)


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
        self._token_call = token_call_class(module)
        self._kept = kept_class(module)
        self.rewinder = partial(rewinder, module)
        self._never_sent = (
            module.ConnectError,
            module.ConnectTimeout,
            module.PoolTimeout,
            module.ProxyError,
            module.UnsupportedProtocol,
        )

    def client(self, origins: Origins) -> Any:
        """Open a client for token calls, as the library's defaults are."""
        trust_env = not origins.is_plain_http
        return self.module.Client(verify=self._certificates, trust_env=trust_env)

    async def async_client(self, origins: Origins) -> Any:
        """As `client`; an ``AsyncClient``."""
        if "_certificates" not in vars(self):
            await aadvance(self._read_certificates())  # in a thread
        trust_env = not origins.is_plain_http
        return self.module.AsyncClient(verify=self._certificates, trust_env=trust_env)

    @cached_property
    def _certificates(self) -> Any:
        # Reading them takes 20 ms: it is done once, and never in an event loop.
        return self.module.create_ssl_context()

    def _read_certificates(self) -> Steps[Any]:
        return (yield Call(lambda: self._certificates))

    def token_call(
        self, effect: Send, like: Any, client: Any = None, maker: Maker = "carrier"
    ) -> Any:
        """Return the library's request for a token call.

        Args:
            like: the request that caused it, or a client, for its timeout and its user agent; a
                request that a flow yields has neither of its own.
            client: that makes the call, if it is not the one that sends the request. Its defaults
                go with it, since a gateway may want a key; except an ``Authorization``.
            maker: what kind of client that is.
        """
        is_request = isinstance(like, self.module.Request)
        given = like.extensions.get("timeout", {}) if is_request else like.timeout.as_dict()
        timeout: dict[str, float | None] = dict(given)
        names = ("connect", "read", "write", "pool")
        within = {n: effect.within(timeout.get(n), connect=n == "connect") for n in names}
        cut = {n for n in names if within[n] < effect.limit(connect=n == "connect")}
        # How long a full pool lets a call wait says nothing of the endpoint.
        received = AuthBody(effect, time.monotonic())
        agent = like.headers.get("User-Agent")
        defaults, url = {"User-Agent": agent} if agent else {}, effect.request.url
        if client is not None:
            plain = client.build_request("POST", url)
            defaults, url = plain.headers, str(plain.url)
        cut |= {"pool"}
        return self._token_call(effect.request, url, received, within, cut, defaults, maker)

    def send(self, client: Any, effect: Send, like: Any, maker: Maker) -> Reply | Raised:
        """Make a token call through a client, without its auth; return what it came to."""
        call = self.token_call(effect, like, client, maker)
        try:
            sent = client.send(call, auth=None, follow_redirects=False, stream=True)
            with closing(sent) as response:
                return self.receive(response, call)
        except Exception as error:
            return self.outcome(error, call, client)

    async def asend(self, client: Any, effect: Send, like: Any, maker: Maker) -> Reply | Raised:
        """As `send`, through an ``AsyncClient``, and with a time limit for all of it."""
        call = self.token_call(effect, like, client, maker)

        async def make() -> Reply | Raised:
            sent = await client.send(call, auth=None, follow_redirects=False, stream=True)
            async with aclosing(sent) as response:
                return await self.areceive(response, call)

        try:
            # Slightly longer, because the library's own timeouts say more.
            return await within(effect.timeout + 0.5, make())
        except Exception as error:
            return self.outcome(error, call, client)

    def receive(self, response: Any, call: Any) -> Reply | Raised:
        """Read the response of a token call; return what the call came to."""
        try:
            if _is_unread(response):
                call.received.read(response.stream)
            return self._reply(response, call)
        except Exception as error:
            return self.outcome(error, call)
        finally:
            self._leave(response)

    async def areceive(self, response: Any, call: Any) -> Reply | Raised:
        """As `receive`, for an async response."""
        try:
            if _is_unread(response):
                await call.received.aread(response.stream)
            return self._reply(response, call)
        except Exception as error:
            return self.outcome(error, call)
        finally:
            self._leave(response)

    def retry_after(self, response: Any) -> float | None:
        """Return the seconds until a request of the user's has a chance again."""
        check_response(response, self.module.Response)
        return retry_after(response.status_code, response.headers, self._content(response))

    def drain(self, response: Any) -> None:
        """Read a refused response, within limits, so that its connection is free again."""
        content = b""
        if _is_unread(response):
            with suppress(self.module.HTTPError, OSError, ValueError, RuntimeError):
                content = Body().read(response.stream).again(response.headers)
        self._leave(response, content)

    async def adrain(self, response: Any) -> None:
        """As `drain`, for an async response."""
        content = b""
        if _is_unread(response):
            with suppress(self.module.HTTPError, OSError, ValueError, RuntimeError):
                content = (await Body().aread(response.stream)).again(response.headers)
        self._leave(response, content)

    def _leave(self, response: Any, content: bytes = b"") -> None:
        """Let the client read this content: it reads and closes each response but the last.

        Closing it now would be wrong: the client could not read it any more. An event hook may
        have read it, raw or not, or may have closed it.
        """
        if self._content(response) is None:
            response.stream = self._kept(content, response.stream)
            response.is_closed = response.is_stream_consumed = False

    def _content(self, response: Any) -> bytes | None:
        try:
            content: bytes = response.content
        except self.module.StreamError:
            return None
        return content

    def _reply(self, response: Any, call: Any) -> Reply | Raised:
        if response.request is not call:  # A client that followed a redirect in spite of all.
            return Raised(TokenEndpointError("the token endpoint redirects to somewhere else"))
        content = self._content(response)
        if content is None:
            content = call.received.decoded(response.headers)
        return Reply(response.status_code, response.headers, content)

    def outcome(self, error: BaseException, call: Any, client: Any = None) -> Reply | Raised:
        """Return what a token call came to that raised this error.

        Args:
            client: that made the call, if it is not the one that sends the request.

        Raises:
            BaseException: the error itself, if it is not about the call.
        """
        failure = self.failure(error, call, client)
        if failure is None:
            raise error
        # A hook that raised for the status leaves us the response, as does a redirect.
        response = self.response_of(error)
        if response is None or response.request is not call:
            return Raised(failure)
        if response.is_success and self._content(response) is None:
            return Raised(failure)
        return self._reply(response, call)

    def response_of(self, error: Any) -> Any:
        """Return the response at which a client or an event hook raised this error, or None.

        An error that is not the library's own does not lead to it. But the library's function that
        had it is in the traceback.
        """
        if error is None:
            return None
        response = response_in(error, self.module.Response)
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if response is None and frame.f_code.co_name == "_send_handling_redirects":
                response = frame.f_locals.get("response")
        return response

    def failure(self, error: BaseException | None, call: Any, client: Any = None) -> Failure | None:
        """Return what the core learns of an exception that came while a token call was under way.

        Returns:
            None if it is not that call's: a cancellation, or the time limit of a job.
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
        # A hook may have made a request that failed. What a stream raises names no request.
        cause = getattr(error, "_request", None)
        is_of_this_call = cause is None or cause is call
        if is_of_this_call and isinstance(error, self.module.RequestError):
            return self.transport_failure(error, call)
        return self._failed(call, f"an event hook or transport raised {name}")

    def _failed(
        self, call: Any, words: str, kind: FailureKind = "other", **more: bool
    ) -> TransportFailure:
        text = call_failed(str(call.url), words)
        return TransportFailure(text, kind, library_class=self._by_kind[kind], **more)

    def transport_failure(self, error: Any, call: Any) -> TransportFailure:
        module = self.module
        words = certificate_reason(error, str(call.url), "SSL_CERT_FILE or verify=")
        words = words or timeout_words(error, call) or reason(error, call.secrets)
        text = call_failed(str(call.url), words, error)
        kind = next(c for c in type(error).__mro__ if getattr(module, c.__name__, None) is c)
        sent = not isinstance(error, self._never_sent)
        tls = is_about_tls(error)
        if tls or (not sent and not isinstance(error, module.PoolTimeout)):
            text += settings_hint("client", call.maker, tls=tls or went_by_proxy(error))
        if isinstance(error, module.TimeoutException):
            own = kind.__name__.removesuffix("Timeout").lower() in call.cut
            return TransportFailure(text, "timeout", sent, kind, own)
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


def _is_about_a_closed_connection(error: BaseException) -> bool:
    """Whether it failed because this process closed its connection, as a closed client does."""
    return any(
        type(cause).__name__ == "ClosedResourceError"  # of anyio or trio
        or (isinstance(cause, OSError) and cause.errno == errno.EBADF)
        for cause in causes(error)
    )


def _is_unread(response: Any) -> bool:
    return not (response.is_stream_consumed or response.is_closed)
