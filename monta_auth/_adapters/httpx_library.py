"""Token calls and their responses in httpx or httpx2, which have the same names for everything.

An adapter passes the library's module and its error classes.
"""

from __future__ import annotations

import time
from contextlib import aclosing, closing, suppress
from functools import cached_property, partial
from typing import Any

from .._core.drivers import Raised, aadvance
from .._core.effects import Call, Send, Steps
from .._core.errors import TokenEndpointError
from .._core.origins import Origins
from .._core.replies import Reply, retry_after
from .auth import check_response
from .bodies import AuthBody, Body, rewinder, within
from .errors import LibraryErrors
from .httpx_failures import Failures
from .httpx_token_call import kept_class, token_call_class
from .reasons import Maker


class Library:
    """Make token calls with one library, and read responses.

    Args:
        module: httpx or httpx2.
        errors: our error classes for this library.
    """

    def __init__(self, module: Any, errors: LibraryErrors) -> None:
        self.module = module
        self.byte_stream = module.ByteStream
        self.failures = Failures(module, errors)
        self._token_call = token_call_class(module)
        self._kept = kept_class(module)
        self.rewinder = partial(rewinder, module)

    def client(self, origins: Origins) -> Any:
        """Open a client for token calls, with the library's defaults."""
        trust_env = not origins.is_plain_http
        return self.module.Client(verify=self._certificates, trust_env=trust_env)

    async def async_client(self, origins: Origins) -> Any:
        """Do what `client` does, with an ``AsyncClient``."""
        if "_certificates" not in vars(self):
            await aadvance(self._read_certificates())  # in a thread
        trust_env = not origins.is_plain_http
        return self.module.AsyncClient(verify=self._certificates, trust_env=trust_env)

    @cached_property
    def _certificates(self) -> Any:
        # Reading them takes 20 ms, so it is done only once and never in an event loop.
        return self.module.create_ssl_context()

    def _read_certificates(self) -> Steps[Any]:
        return (yield Call(lambda: self._certificates))

    def token_call(
        self, effect: Send, like: Any, client: Any = None, maker: Maker = "carrier"
    ) -> Any:
        """Return the library's request for a token call.

        Args:
            like: the request that caused it, or a client: the source of timeout and user agent.
            client: the client that makes the call, unless it is the one that sends the request.
                Its defaults apply, because a gateway may need a key; but not ``Authorization``.
            maker: where that client comes from.
        """
        is_request = isinstance(like, self.module.Request)
        given = like.extensions.get("timeout", {}) if is_request else like.timeout.as_dict()
        timeout: dict[str, float | None] = dict(given)
        names = ("connect", "read", "write", "pool")
        within = {n: effect.within(timeout.get(n), connect=n == "connect") for n in names}
        cut = {n for n in names if within[n] < effect.limit(connect=n == "connect")}
        # A wait for a full pool says nothing about the endpoint.
        received = AuthBody(effect, time.monotonic())
        agent = like.headers.get("User-Agent")
        defaults, url = {"User-Agent": agent} if agent else {}, effect.request.url
        if client is not None:
            plain = client.build_request("POST", url)
            defaults, url = plain.headers, str(plain.url)
        cut |= {"pool"}
        return self._token_call(effect.request, url, received, within, cut, defaults, maker)

    def send(self, client: Any, effect: Send, like: Any, maker: Maker) -> Reply | Raised:
        """Make a token call with a client, without its auth; return the reply or the failure."""
        call = self.token_call(effect, like, client, maker)
        try:
            sent = client.send(call, auth=None, follow_redirects=False, stream=True)
            with closing(sent) as response:
                return self.receive(response, call)
        except Exception as error:
            return self.outcome(error, call, client)

    async def asend(self, client: Any, effect: Send, like: Any, maker: Maker) -> Reply | Raised:
        """Do what `send` does with an ``AsyncClient``, and with a time limit for the whole call."""
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
        """Read the response of a token call; return the reply or the failure."""
        try:
            if _is_unread(response):
                call.received.read(response.stream)
            return self._reply(response, call)
        except Exception as error:
            return self.outcome(error, call)
        finally:
            self._leave(response)

    async def areceive(self, response: Any, call: Any) -> Reply | Raised:
        """Do what `receive` does, for an async response."""
        try:
            if _is_unread(response):
                await call.received.aread(response.stream)
            return self._reply(response, call)
        except Exception as error:
            return self.outcome(error, call)
        finally:
            self._leave(response)

    def retry_after(self, response: Any) -> float | None:
        """Return how many seconds to wait before the user retries this request, or None."""
        check_response(response, self.module.Response)
        return retry_after(response.status_code, response.headers, self._content(response))

    def drain(self, response: Any) -> None:
        """Read a refused response within limits, to free its connection."""
        content = b""
        if _is_unread(response):
            with suppress(self.module.HTTPError, OSError, ValueError, RuntimeError):
                content = Body().read(response.stream).again(response.headers)
        self._leave(response, content)

    async def adrain(self, response: Any) -> None:
        """Do what `drain` does, for an async response."""
        content = b""
        if _is_unread(response):
            with suppress(self.module.HTTPError, OSError, ValueError, RuntimeError):
                content = (await Body().aread(response.stream)).again(response.headers)
        self._leave(response, content)

    def _leave(self, response: Any, content: bytes = b"") -> None:
        """Keep this content for the client, which reads and closes each response except the last.

        It could not read a response that is closed now. An event hook may already have read or
        closed it.
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
        if response.request is not call:  # The client followed a redirect after all.
            return Raised(TokenEndpointError("the token endpoint redirects to somewhere else"))
        content = self._content(response)
        if content is None:
            content = call.received.decoded(response.headers)
        return Reply(response.status_code, response.headers, content)

    def outcome(self, error: BaseException, call: Any, client: Any = None) -> Reply | Raised:
        """Return the reply or the failure of a token call that raised this error.

        Args:
            client: the client that made the call, unless it is the one that sends the request.

        Raises:
            BaseException: the error itself, if it is not about the call.
        """
        failure = self.failures.of(error, call, client)
        if failure is None:
            raise error
        # If a hook raised for the status, there is a response. The same holds for a redirect.
        response = self.failures.response_of(error)
        if response is None or response.request is not call:
            return Raised(failure)
        if response.is_success and self._content(response) is None:
            return Raised(failure)
        return self._reply(response, call)


def _is_unread(response: Any) -> bool:
    return not (response.is_stream_consumed or response.is_closed)
