"""Streams of httpx and httpx2: bodies that are sent once, or again, and what is kept of one."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from .._core.effects import Send
from .._core.errors import TokenEndpointError
from .bodies import AuthBody


def rewinder(module: Any, stream: Any) -> Callable[[], bool] | None:
    """Return a function that readies the body for a second sending, or None if that is not
    possible. Called before the first sending: files are sent again from where they stood.
    """
    if isinstance(stream, module.ByteStream):
        return as_it_is
    if type(stream).__module__.partition(".")[0] != module.__name__:
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


def kept_class(module: Any) -> Any:
    class Kept(module.ByteStream):  # type: ignore[misc]
        """What was kept of a body, in place of the stream that it came from."""

        def __init__(self, content: bytes, stream: Any) -> None:
            super().__init__(content)
            self._origin = stream

        @property
        def elapsed(self) -> object:
            """For httpx2, which measures the time in its own stream."""
            return getattr(self._origin, "elapsed", None)

        def close(self) -> None:
            self._origin.close()

        async def aclose(self) -> None:
            await self._origin.aclose()

    return Kept


def token_call_class(module: Any, mark: str) -> Any:
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
            effect: Send,
            timeout: Mapping[str, float],
            cut: set[str],
            like: Mapping[str, str],
        ) -> None:
            self.cut = cut
            self.mark = object()
            self.received = AuthBody(effect.timeout)
            call = effect.request
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
                extensions={"timeout": dict(timeout), mark: self.mark},
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
            self.received.clear()

    return TokenCall
