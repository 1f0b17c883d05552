"""What a place must offer so that processes can share a token pair there.

The core seals a record before it gives it to a store. A store keeps opaque bytes under an opaque
name, and needs to know nothing of clients, tokens or time zones.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol


class Lease(Protocol):
    """The right to renew one record. It expires by itself and works from any thread."""

    @property
    def doubt(self) -> bool:
        """Whether the holder before it was lost in the middle of a renewal.

        It had neither saved nor released the lease since it took or last extended it, so the
        stored refresh token may be spent.
        """
        ...

    def extend(self, seconds: float) -> Awaitable[bool] | bool:
        """Let it expire `seconds` from now; return False if it is lost.

        A lease that has expired is lost, even if nobody else has taken it since.
        """
        ...

    def release(self) -> Awaitable[None] | None:
        """Give it back; harmless when it is lost or was given back."""


class Store(Protocol):
    """A place for sealed records, such as a directory, a Redis or a table of your own.

    Write the methods as plain functions, or all of them, with those of the lease, as coroutine
    functions; the object then works with async clients only. Plain functions run in changing
    threads under async clients. Give your place time limits of at most one second: in sync
    programs nothing else bounds a call. What a method raises never fails a request.
    """

    def load(self, name: str) -> Awaitable[bytes | None] | bytes | None:
        """Return the record of this name (32 hexadecimal digits), or None."""
        ...

    def try_lock(self, name: str, seconds: float) -> Awaitable[Lease | None] | Lease | None:
        """Return a lease that expires after `seconds`, or None at once if another holds it."""
        ...

    def save(self, name: str, record: bytes | None, lease: Lease) -> Awaitable[None] | None:
        """Store the record, or delete the stored one for None.

        It must be written when this returns, and nothing may change once the lease is lost. One
        lease may save several times.
        """
