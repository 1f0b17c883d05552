"""What is read of a response: a limited number of bytes, decoded, in a limited time."""

from __future__ import annotations

import time
import zlib
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, TypeVar

from .._core.errors import TransportFailure
from .._core.loops import in_trio
from .._core.policy import AUTH_RESPONSE_LIMIT, DRAIN_LIMIT, DRAIN_SECONDS

T = TypeVar("T")

#: What zlib is told for each coding that a token call accepts. Some servers send "deflate" without
#: its header.
_CODINGS = {"gzip": (16 + zlib.MAX_WBITS,), "deflate": (zlib.MAX_WBITS, -zlib.MAX_WBITS)}


class Body:
    """The body of a response, as far as it is read: by default, of a 401 that no caller sees.

    Args:
        limit: in bytes, as sent and decoded.
        seconds: how long chunks are read, from now on.

    Attributes:
        is_cut: whether there may be more.
        is_late: whether the time was over.
    """

    def __init__(self, limit: int = DRAIN_LIMIT, seconds: float = DRAIN_SECONDS) -> None:
        self._limit = limit
        self._until = time.monotonic() + seconds
        self._chunks: list[bytes] = []
        self._size = 0
        self.is_cut = self.is_late = False

    @property
    def left(self) -> float:
        """Seconds; 0 once the time is over."""
        return max(0.0, self._until - time.monotonic())

    def add(self, chunk: bytes) -> bool:
        """Keep a chunk; return whether to read on."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        self.is_late = not self.left
        self.is_cut = self.is_late or self._size > self._limit
        return not self.is_cut

    def read(self, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            if not self.add(chunk):
                break

    async def aread(self, stream: Any) -> None:
        """As `read`, for a stream of httpx; one that is cut is closed."""
        try:
            async for chunk in stream:
                if self.is_cut:
                    break
                if not self.add(chunk):
                    # Its generators end well only if they learn of it.
                    await stream.aclose()
                # A frame that is cancelled must not show half a reply.
                del chunk
        except Exception:
            if not self.is_cut:
                raise

    def decoded(self, headers: Mapping[str, str]) -> bytes:
        """Return it without its content coding: as much as the limit allows, if it is readable."""
        content = b"".join(self._chunks)
        coding = headers.get("Content-Encoding", "identity").strip().lower()
        if coding != "identity":
            content = _decompressed(content, _CODINGS.get(coding, ()), self._limit + 1)
        self.is_cut = self.is_cut or len(content) > self._limit
        return content[: self._limit]

    def again(self, headers: Mapping[str, str]) -> bytes:
        """Return it as it was sent, for whoever decodes it without a limit; empty if it is cut."""
        return b"".join(self._chunks) if self.decoded(headers) and not self.is_cut else b""

    def clear(self) -> None:
        self._chunks.clear()


class AuthBody(Body):
    """The body of a response to a token call."""

    def __init__(self, seconds: float) -> None:
        super().__init__(AUTH_RESPONSE_LIMIT, seconds)
        self._seconds = seconds

    def decoded(self, headers: Mapping[str, str]) -> bytes:
        """As of any body.

        Raises:
            TransportFailure: it did not end in time.
        """
        if self.is_late:
            text = f"the token call failed: its reply did not end within {self._seconds:.1f} s"
            raise TransportFailure(text, "timeout")
        return super().decoded(headers)


def _decompressed(content: bytes, kinds: tuple[int, ...], limit: int) -> bytes:
    for bits in kinds:
        try:
            return zlib.decompressobj(bits).decompress(content, limit)
        except zlib.error:
            continue
    return b""


async def within(seconds: float, call: Awaitable[T]) -> T:
    """Await a call of our own, which raises a TimeoutError after so many seconds."""
    if in_trio():
        import trio

        with trio.move_on_after(seconds):
            return await call
        raise TimeoutError
    import asyncio

    async with asyncio.timeout(seconds):
        return await call
