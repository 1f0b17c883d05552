"""What a store must offer so that processes can share a token pair in it.

The core encrypts each record. A store keeps opaque bytes under an opaque name and knows nothing
about clients or tokens.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol


class Lease(Protocol):
    """The time-limited right to renew one record. It must work from any thread."""

    @property
    def doubt(self) -> bool:
        """Whether the previous holder was lost during a renewal.

        It neither saved nor released after it took or last extended the lease, so the stored
        refresh token may be spent.
        """
        ...

    def extend(self, seconds: float) -> Awaitable[bool] | bool:
        """Let the lease expire `seconds` from now; return False if it is lost.

        An expired lease is lost, even if it has not been taken since.
        """
        ...

    def release(self) -> Awaitable[None] | None:
        """Release the lease; do nothing if it is lost or already released."""


class Store(Protocol):
    """A place for encrypted records, such as a directory, Redis or a table in your database.

    Write all methods, with those of the lease, as plain functions or all as coroutine functions.
    Async clients call plain functions in changing threads; coroutine functions work with async
    clients only. Limit each call to at most one second: in sync programs nothing else limits it.
    An exception in a method never fails a request.
    """

    def load(self, name: str) -> Awaitable[bytes | None] | bytes | None:
        """Return the record with this name (32 hexadecimal digits), or None."""
        ...

    def try_lock(self, name: str, seconds: float) -> Awaitable[Lease | None] | Lease | None:
        """Return a lease that expires after `seconds`; return None at once if it is taken."""
        ...

    def save(self, name: str, record: bytes | None, lease: Lease) -> Awaitable[None] | None:
        """Store the record; if it is None, delete the stored one.

        Return only after it is written. Change nothing if the lease is lost. One lease may save
        several times.
        """
