"""Bodies: how much of a response to read, and what httpx can send again."""

from __future__ import annotations

import io
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Self, TypeVar

from .._core.effects import Send
from .._core.errors import TransportFailure
from .._core.loops import in_trio
from .._core.policy import AUTH_RESPONSE_LIMIT, DRAIN_LIMIT, DRAIN_SECONDS
from .._core.secret import SecretBytes
from .reasons import call_failed

T = TypeVar("T")

#: Settings of zlib for each coding that a token call accepts. Some servers send "deflate" without
#: its header.
_CODINGS = {"gzip": (16 + zlib.MAX_WBITS,), "deflate": (zlib.MAX_WBITS, -zlib.MAX_WBITS)}


class Body:
    """The body of a response, read within limits. The defaults suit a 401 that is retried.

    Args:
        limit: in bytes, both as sent and decoded.
        until: when to stop reading, in seconds of `time.monotonic`. Default: `DRAIN_SECONDS` from
            now.

    Attributes:
        is_cut: whether the body may continue.
        is_late: whether the time ran out.
    """

    def __init__(self, limit: int = DRAIN_LIMIT, until: float | None = None) -> None:
        self._limit = limit
        self._until = time.monotonic() + DRAIN_SECONDS if until is None else until
        self._chunks: list[bytes] = []
        self._size = 0
        self.is_cut = self.is_late = False

    def add(self, chunk: bytes) -> bool:
        """Keep a chunk; return whether to read on."""
        self._chunks.append(SecretBytes(chunk))
        self._size += len(chunk)
        self.is_late = time.monotonic() >= self._until
        self.is_cut = self.is_late or self._size > self._limit
        return not self.is_cut

    def read(self, chunks: Iterable[bytes]) -> Self:
        for chunk in chunks:
            if not self.add(chunk):
                break
        return self

    def read_file(self, raw: Any) -> None:
        """Read the raw response of requests, from urllib3 or a custom adapter.

        Older releases of urllib3 wait for all requested bytes, so the first reads are small. A slow
        response then takes at most twice the time.
        """
        options = {"decode_content": False} if hasattr(raw, "stream") else {}
        # Recording libraries replace urllib3 with objects that have a different `read1`.
        is_urllib3 = hasattr(raw, "read1") and hasattr(raw, "read_chunked")
        take, size = (raw.read1, 1 << 16) if is_urllib3 else (raw.read, 1)
        while (chunk := take(size, **options)) and self.add(chunk):
            size = min(2 * size, 1 << 16)

    async def aread(self, stream: Any) -> Self:
        """Read a stream of httpx; close it if it is cut."""
        try:
            async for chunk in stream:
                if self.is_cut:
                    break
                if not self.add(chunk):
                    # Its generators end cleanly only if they are closed.
                    await stream.aclose()
        except Exception:
            if not self.is_cut:
                raise
        return self

    def decoded(self, headers: Mapping[str, str]) -> bytes:
        """Return the decoded body up to the limit; empty if it cannot be decoded."""
        content = b"".join(self._chunks)
        coding = headers.get("Content-Encoding", "").strip().lower()
        if coding not in ("", "identity"):
            content = _decompressed(content, _CODINGS.get(coding, ()), self._limit + 1)
        self.is_cut = self.is_cut or len(content) > self._limit
        return content[: self._limit]

    def again(self, headers: Mapping[str, str]) -> bytes:
        """Return it as it was sent, for a decoder without a limit; empty if it is cut."""
        return b"".join(self._chunks) if self.decoded(headers) and not self.is_cut else b""


class AuthBody(Body):
    """The body of the response to a token call that began at this time."""

    def __init__(self, effect: Send, began: float) -> None:
        super().__init__(AUTH_RESPONSE_LIMIT, began + effect.timeout)
        self._url, self._seconds = effect.request.url, effect.timeout

    def decoded(self, headers: Mapping[str, str]) -> bytes:
        """Do what `Body.decoded` does.

        Raises:
            TransportFailure: the body did not end in time.
        """
        if self.is_late:
            words = f"its reply did not end within {self._seconds:.1f} s"
            raise TransportFailure(call_failed(self._url, words), "timeout")
        return super().decoded(headers)


def _decompressed(content: bytes, kinds: tuple[int, ...], limit: int) -> bytes:
    for bits in kinds:
        try:
            return zlib.decompressobj(bits).decompress(content, limit)
        except zlib.error:
            continue
    return b""


async def within(seconds: float, call: Awaitable[T]) -> T:
    """Await one of our calls; raise a TimeoutError after this many seconds."""
    if in_trio():
        import trio

        with trio.move_on_after(seconds):
            return await call
        raise TimeoutError
    import asyncio

    async with asyncio.timeout(seconds):
        return await call


def rewinder(module: Any, stream: Any) -> Callable[[], bool] | None:
    """Return a function that prepares the body for a retry, or None if it cannot be repeated.

    Call it before the first sending, because files are sent again from their current position.
    """
    if isinstance(stream, module.ByteStream):
        return as_it_is
    if type(stream).__module__.partition(".")[0] != module.__name__:
        return None  # a custom stream may not be repeatable
    fields = getattr(stream, "fields", None)
    if fields is not None and hasattr(stream, "boundary"):
        # Multipart. The library rewinds the files when it sends.
        files = [field.file for field in fields if hasattr(field, "file")]
        ok = all(isinstance(f, str | bytes) or _is_seekable(f) for f in files)
        return as_it_is if ok else None
    # There is no public way to reach the user's content object.
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
