"""Strings that must not be seen: a header with an access token in it, so far.

They are strings as HTTP libraries want them, but neither their repr nor their pickle shows the
secret: prepared requests and the frames of a traceback are full of headers.
"""

from __future__ import annotations

from typing import Self, SupportsIndex


class BearerHeader(str):
    """The value of an ``Authorization`` header, which names a token throughout the package."""

    __slots__ = ("_encoded",)
    _encoded: bytes

    def __repr__(self) -> str:
        return "'Bearer [redacted]'"

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[type[str], tuple[str]]:
        return str, ("Bearer [redacted]",)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Return its ASCII bytes; every encoding that headers are sent in agrees on those."""
        return self._encoded


class _BearerBytes(bytes):
    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __repr__(self) -> str:
        return "b'Bearer [redacted]'"

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[type[bytes], tuple[bytes]]:
        return bytes, (b"Bearer [redacted]",)


def bearer(access_token: str) -> BearerHeader:
    """Return the header that carries this access token."""
    header = BearerHeader("Bearer " + access_token)
    header._encoded = _BearerBytes(str.encode(header, "ascii"))
    return header
