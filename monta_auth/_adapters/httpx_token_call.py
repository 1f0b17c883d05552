"""A token call as a request of httpx or httpx2, which is sent only once and to one URL.

Also the kept body of a response that the client itself reads and closes.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from types import FrameType
from typing import Any

from .._core.errors import TokenEndpointError
from .._core.token_calls import TokenRequest
from .bodies import AuthBody
from .reasons import Maker, too_late


class Redirected(Exception):
    """A token call got this redirect. Callers never see this exception."""

    def __init__(self, response: Any) -> None:
        self.response = response


def token_call_class(module: Any) -> Any:
    """Make the library's class for a token call: a request whose body is sent only once."""

    class Unredirected(module.URL):  # type: ignore[misc]
        """The URL of a token call. Its redirects are not followed, not even with an empty request.

        A client that follows redirects has no exception for one request. But it reads the fragment
        of the URL only when it builds the redirected request.
        """

        @property
        def fragment(self) -> str:
            response = _response_to_follow(self)
            if response is not None:
                raise Redirected(response)
            return ""

    class OneShot(module.SyncByteStream, module.AsyncByteStream):  # type: ignore[misc]
        """The body of a token call. A transport that retries POST would send a token twice."""

        def __init__(self, body: bytes) -> None:
            self.body = body
            self._is_sent = False

        def _take(self) -> bytes:
            if self._is_sent:
                raise TokenEndpointError(
                    "a token call is sent once, and a transport that retries POST repeated this "
                    "one; MontaAuth(client=...) makes it by another client"
                )
            self._is_sent = True
            return self.body

        def __iter__(self) -> Iterator[bytes]:
            yield self._take()

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield self._take()

    class TokenCall(module.Request):  # type: ignore[misc]
        """A token call. Reading it, as logging hooks do, must not make its body repeatable."""

        def __init__(
            self,
            call: TokenRequest,
            url: str,
            received: AuthBody,
            timeout: Mapping[str, float],
            cut: set[str],
            defaults: Mapping[str, str],
            maker: Maker,
        ) -> None:
            self.cut = cut
            self.maker = maker
            self.received = received
            self.token_request = call
            self.secrets = call.secrets
            place = Unredirected(url)
            headers = module.Headers({"Host": place.netloc.decode("ascii")})
            headers.update(defaults)
            headers.update({**call.headers, "Content-Length": str(len(call.body))})
            headers.pop("Authorization", None)
            super().__init__(  # pyright: ignore[reportUnknownMemberType]
                "POST",
                place,
                headers=headers,
                stream=OneShot(call.body),
                extensions={"timeout": dict(timeout)},
            )

        @property
        def url(self) -> Any:
            return self._url

        @url.setter
        def url(self, url: Any) -> None:
            # The library or a hook set a plain URL.
            self._url = Unredirected(url)

        @property
        def content(self) -> bytes:
            body: bytes = self.stream.body
            return body

        def read(self) -> bytes:
            return self.content

        async def aread(self) -> bytes:
            return self.content

    return TokenCall


def timeout_words(error: Exception, call: Any) -> str | None:
    """Return the text for a timeout; None if the error is not a timeout."""
    what = type(error).__name__.removesuffix("Timeout").lower()
    seconds = call.extensions["timeout"].get(what)
    return None if seconds is None else too_late(what, seconds)


def handles_redirects(frame: FrameType) -> bool:
    """Return whether this is the client's loop over redirects, with its local `response`.

    There is no public way to this response, neither before a redirect nor after a hook that raised.
    """
    return frame.f_code.co_name == "_send_handling_redirects"


def _response_to_follow(url: Any) -> Any:
    """Return the response for this URL whose redirect the client is about to follow.

    Clients of httpx up to 0.28 always build the redirected request, to offer it to the user.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if handles_redirects(frame):
            names = frame.f_locals
            response = names.get("response")
            if response is not None and response.request.url is url:
                is_followed = names.get("follow_redirects") and response.has_redirect_location
                return response if is_followed else None
        frame = frame.f_back
    return None


def kept_class(module: Any) -> Any:
    class Kept(module.ByteStream):  # type: ignore[misc]
        """The kept part of a body, which replaces its stream."""

        def __init__(self, content: bytes, stream: Any) -> None:
            super().__init__(content)  # pyright: ignore[reportUnknownMemberType]
            self._origin = stream

        @property
        def elapsed(self) -> object:
            """Return the time that httpx2 measures in its own stream."""
            return getattr(self._origin, "elapsed", None)

        def close(self) -> None:
            self._origin.close()

        async def aclose(self) -> None:
            await self._origin.aclose()

    return Kept
