"""What a place must offer to keep the pair in."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol, runtime_checkable

from .tokens import TokenSet


class Lease(Protocol):
    """The right to renew the stored pair. It expires by itself and works from any thread."""

    def release(self) -> Awaitable[None] | None:
        """Give it back; harmless when it has expired or was given back."""


@runtime_checkable
class Bindable(Protocol):
    """A place for the pairs of many clients: it gives each of them a `Store` of its own."""

    def bind(self, base_url: str, client_id: str | None) -> Store:
        """Return the store of this client at this base URL; no other pair ever comes out of it.

        Args:
            base_url: without a slash at its end.
            client_id: None where only a token pair is used, without credentials.
        """
        ...


class Store(Protocol):
    """Keeps one pair for one client id at one base URL.

    The methods may be coroutine functions; the object then works with async clients only.
    What a method raises never fails a request: it is logged once, and the pair lives in memory.
    """

    def load(self) -> TokenSet | Awaitable[TokenSet | None] | None:
        """Return the stored pair, or None."""

    def try_lock(self, seconds: float) -> Lease | Awaitable[Lease | None] | None:
        """Return a lease that expires after `seconds`, or None at once if another holds it."""

    def save(self, pair: TokenSet | None, lease: Lease) -> Awaitable[None] | None:
        """Store the pair, or delete the stored one for None."""
