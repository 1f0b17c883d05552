"""The public `TokenSource`, with which users share and inspect a source."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

from .._core.credentials import ClientSecret
from .._core.leader import OnToken
from .._core.policy import SYSTEM_CLOCK, Clock, RefreshPolicy
from .._core.secret import hidden_arguments, in_clear, with_hidden_secret
from .._core.source import Source
from .._core.status import Status
from .._core.store_protocol import Store
from .._core.tokens import TokenSet

_PICKLED = ("client_id", "client_secret", "base_url", "store", "on_token", "policy")


class TokenSource:
    """Hold and renew one token pair for one client id at one base URL.

    Threads, asyncio tasks in several loops and trio tasks may use it at the same time. Each
    ``MontaAuth`` makes one. Make one yourself to share it between several of them.

    Args:
        client_id, client_secret: default: ``MONTA_CLIENT_ID`` and ``MONTA_CLIENT_SECRET``. The
            secret may be a callable, called for each fetch (``/auth/token``).
        base_url: URL of the API with ``/api/v1``. Default: ``MONTA_BASE_URL``, else `PUBLIC_API`.
        token: a token pair to start from. With a refresh token in it, no credentials are needed.
        store: where processes share the token pair; see `monta_auth.stores`. Needs credentials and
            the extra ``[file]``, ``[redis]`` or ``[store]``. Excludes `token`.
        on_token: called with each new token pair of this process, once it is in use.
        policy: when to renew and how long to try; see `RefreshPolicy`.
        clock: time and random numbers, for tests.

    Raises:
        ConfigurationError: the settings cannot work.
    """

    def __init__(
        self,
        client_id: str | None = None,
        client_secret: ClientSecret | None = None,
        *,
        base_url: str | None = None,
        token: TokenSet | None = None,
        store: Store | None = None,
        on_token: OnToken | None = None,
        policy: RefreshPolicy | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        client_id, client_secret, token = hidden_arguments(client_id, client_secret, token)
        given = locals()
        self._settings: dict[str, Any] = {name: given[name] for name in _PICKLED}
        self._source = Source(token=token, clock=clock, **self._settings)
        _of_a_source[self._source] = self

    @property
    def base_url(self) -> str:
        """The URL of the API, without a trailing slash."""
        return self._source.base_url

    def invalidate(self) -> None:
        """Drop the access token, in memory and in the store, so that the next request renews it.

        Remembered failures stay.

        Raises:
            ConfigurationError: the store is asynchronous; await `ainvalidate`.
        """
        self._source.invalidate()

    async def ainvalidate(self) -> None:
        """Do what `invalidate` does without blocking the event loop; works with async stores."""
        await self._source.ainvalidate()

    def forget(self) -> None:
        """Drop the token pair, in memory and in the store, and all remembered failures.

        Raises:
            TokenStoreError: the token pair may still be in the store; try again. Raised after the
                policy's deadline (10 s) at the latest.
            ConfigurationError: the store is asynchronous; await `aforget`.
        """
        self._source.forget()

    async def aforget(self) -> None:
        """Do what `forget` does without blocking the event loop; works with async stores."""
        await self._source.aforget()

    def status(self) -> Status:
        """Report expiry, last renewal, last failure and counts; no secrets."""
        return self._source.status()

    def __repr__(self) -> str:
        return repr(self._source) if hasattr(self, "_source") else "TokenSource(unfinished)"

    def __copy__(self) -> TokenSource:
        return self

    def __deepcopy__(self, memo: object) -> TokenSource:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings with literal credentials, but without the token pair."""
        if self._source.credentials is None and self._settings.get("store") is None:
            raise TypeError("a TokenSource that has nothing but a token pair cannot be pickled")
        return _rebuild, (in_clear(self._settings),)


_mutex = threading.RLock()
_of_a_source: weakref.WeakValueDictionary[Source, TokenSource] = weakref.WeakValueDictionary()


def token_source_of(source: Source, settings: dict[str, Any]) -> TokenSource:
    """Return the only public object of a source, so that ``is`` shows whether it is shared.

    Args:
        settings: what its pickle contains.
    """
    made = object.__new__(TokenSource)
    made._source, made._settings = source, settings
    with _mutex:
        return _of_a_source.setdefault(source, made)


def _after_fork_in_child() -> None:
    global _mutex
    _mutex = threading.RLock()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _rebuild(settings: dict[str, Any]) -> TokenSource:
    settings = with_hidden_secret(settings)
    return TokenSource(**settings)
