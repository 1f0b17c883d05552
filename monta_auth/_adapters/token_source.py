"""The public `TokenSource`: what users hold of a source, to share and to look at it."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

from .._core.credentials import ClientSecret
from .._core.leader import OnToken
from .._core.policy import SYSTEM_CLOCK, Clock, RefreshPolicy
from .._core.secret import hidden_argument, in_clear, with_hidden_secret
from .._core.source import Source
from .._core.status import Status
from .._core.store_protocol import Store
from .._core.tokens import TokenSet

_PICKLED = ("client_id", "client_secret", "base_url", "store", "on_token", "policy")


class TokenSource:
    """Holds one token pair for one client at one base URL, and renews it for all who ask.

    Safe for threads, asyncio tasks of any number of loops and trio tasks at the same time.
    A ``MontaAuth`` makes one for itself; make one yourself to give it to several of them.

    Args:
        client_id, client_secret: default: ``MONTA_CLIENT_ID``, ``MONTA_CLIENT_SECRET``. The
            secret may be a callable, asked at every mint.
        base_url: default: ``MONTA_BASE_URL``, else `PUBLIC_API`.
        token: a pair to start from. With its refresh token alone, no credentials are needed.
        store: where processes share the token pair; see `monta_auth.stores`. It needs credentials
            and the extra ``[file]``, ``[redis]`` or ``[store]``. Not together with `token`.
        on_token: called once with each pair that this process obtained, after it is in use.
        policy: when to renew and how long to try.
        clock: time and chance, for tests.

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
        client_secret, token = hidden_argument(client_secret), hidden_argument(token)
        given = locals()
        self._settings: dict[str, Any] = {name: given[name] for name in _PICKLED}
        self._source = Source(token=token, clock=clock, **self._settings)
        _of_a_source[self._source] = self

    @property
    def base_url(self) -> str:
        """Where token calls go, without a slash at its end."""
        return self._source.base_url

    def invalidate(self) -> None:
        """Drop the access token: the next request renews. What is remembered of failures stays.

        Raises:
            ConfigurationError: the store is asynchronous; await `ainvalidate`.
        """
        self._source.invalidate()

    async def ainvalidate(self) -> None:
        """As `invalidate`, without blocking the event loop, and for asynchronous stores."""
        await self._source.ainvalidate()

    def forget(self) -> None:
        """Drop the token pair, in memory and in the store, and what is remembered of failures.

        Raises:
            TokenStoreError: the pair may still be in the store; try again. It takes at most the
                policy's deadline (10 s) to find out.
            ConfigurationError: the store is asynchronous; await `aforget`.
        """
        self._source.forget()

    async def aforget(self) -> None:
        """As `forget`, without blocking the event loop, and for asynchronous stores."""
        await self._source.aforget()

    def status(self) -> Status:
        """Report how the source is doing."""
        return self._source.status()

    def __repr__(self) -> str:
        return repr(self._source) if hasattr(self, "_source") else "TokenSource(unfinished)"

    def __copy__(self) -> TokenSource:
        return self

    def __deepcopy__(self, memo: object) -> TokenSource:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings, with literal credentials, and no pair."""
        if self._source.credentials is None and self._settings.get("store") is None:
            raise TypeError("a TokenSource that has nothing but a token pair cannot be pickled")
        return _rebuild, (in_clear(self._settings),)


_mutex = threading.RLock()
_of_a_source: weakref.WeakValueDictionary[Source, TokenSource] = weakref.WeakValueDictionary()


def token_source_of(source: Source, settings: dict[str, Any]) -> TokenSource:
    """Return the one public object of a source, so that ``is`` shows whether two auths share it.

    Args:
        settings: what it is pickled as.
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
