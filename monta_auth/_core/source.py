"""The core's token source, with the methods that adapters call: `fresh`, `acquire`, `refuse`."""

from __future__ import annotations

import copy
import logging
import os
import threading
import weakref
from typing import NoReturn

from .arguments import check_arguments
from .credentials import ClientSecret, find_credentials
from .drivers import adrive, drive
from .effects import Effect, Steps, Wait
from .errors import ConfigurationError, TransportFailure, needs_async
from .flight import Flight, led_here
from .held_pair import Dropped, HeldPair, hold_old
from .leader import Leader, OnToken
from .origins import Origins, bare, clean_base_url
from .policy import INFINITE, LIVING_LIMIT, RENEWALS, SYSTEM_CLOCK, Clock, RefreshPolicy, Spent
from .replies import safe_text
from .secret import BearerHeader, hidden_arguments
from .state import State
from .status import Status, status_of
from .store_changes import check_sync, find_async, forgetting, invalidating
from .store_errors import check_store
from .store_protocol import Store
from .terms import Terms
from .tokens import TokenSet

logger = logging.getLogger("monta_auth")


class Source:
    """Hold one token pair for one client at one base URL, and renew it for all callers.

    Threads, asyncio tasks in any number of loops, and trio tasks can use it at the same time.
    The arguments are those of the public `TokenSource`.
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
        check_arguments(token, on_token, policy, has_store=store is not None)
        if store is not None:
            check_store(store)
        self.base_url = clean_base_url(base_url)
        self.origins = Origins(self.base_url)
        self.credentials = find_credentials(client_id, client_secret)
        if self.credentials is None and token is None:
            needs = "" if store is None else " (a store needs them, too)"
            raise ConfigurationError(
                "no credentials: pass client_id= and client_secret=, or set the environment "
                f"variables MONTA_CLIENT_ID and MONTA_CLIENT_SECRET{needs}"
            )
        self.policy = policy if policy is not None else RefreshPolicy()
        self._clock = clock
        self._monotonic = clock.monotonic
        self._state = State(self.policy, clock)
        self._terms = Terms(
            self.base_url,
            self.credentials,
            self.policy,
            clock,
            store,
            self._state.refusals,
            self._state.failures,
        )
        self._only_async = find_async(self._terms, on_token)
        self._leader = Leader(self._terms, self._state, on_token)
        if token is not None:
            self._state.refusals.know(token.access_token, token.refresh_token)
            self._state.held = hold_old(
                token,
                self.policy,
                now=clock.monotonic(),
                wall=clock.wall(),
                jitter=self._terms.jitter,
            )
        _every_source.add(self)

    def fresh(self) -> BearerHeader | None:
        """Return the ``Authorization`` header if it is ready; None if `acquire` has to decide."""
        held = self._state.held
        return held.header if held is not None and self._monotonic() < held.ready_until else None

    def acquire(
        self,
        spent: Spent | None = None,
        *,
        blocking: bool = True,
        limit: float = INFINITE,
        goes_on: bool = True,
    ) -> Steps[BearerHeader]:
        """Return an ``Authorization`` header. This is a flow: run it with `drive` or `adrive`.

        Args:
            spent: what the request has spent before; the policy's deadline covers that, too.
            blocking: whether the driver blocks its thread while it performs an effect.
            limit: seconds that the caller has for a token call, as far as its adapter knows.
            goes_on: whether the caller can continue after a failed token call; see `Turn`.

        Raises:
            MontaAuthError: no token is available.
            TransportFailure: no token is available, because of the network.
        """
        held = yield from self._obtain(spent or Spent(), blocking, limit, goes_on)
        return held.header

    def refuse(
        self,
        status: int,
        url: str,
        sent: str | None,
        ours: str | None,
        origins: Origins | None = None,
    ) -> bool:
        """Judge a response; return whether its request should be retried.

        Args:
            status: the HTTP status of the response.
            url: the URL that the response came from, which a redirect may have changed.
            sent: the ``Authorization`` header of the answered request.
            ours: the header that the caller got from `fresh` or `acquire`.
            origins: this caller's allowed origins; default: the origin of the base URL.
        """
        if status != 401 or sent is None or sent != ours:
            return False
        if not (self.origins if origins is None else origins).allows(url):
            return False
        again, cooldown = self._state.refuse(sent)
        if cooldown:
            logger.warning(
                "two new tokens in a row were soon refused with 401; no renewal for %.0f s. Do the "
                "credentials have access to %s?",
                cooldown,
                safe_text(bare(url), self._state.refusals.secrets),
            )
        return again

    def fresh_pair(self) -> TokenSet | None:
        """Return the token pair if it is ready; None if `pair` has to decide."""
        held = self._state.held
        if held is None or self._monotonic() >= min(held.ready_until, held.probe_at):
            return None
        return held.pair

    def pair(self, *, blocking: bool = True) -> Steps[TokenSet]:
        """Do what `acquire` does, but return the token pair, and renew it earlier."""
        held = yield from self._obtain(Spent(), blocking, is_probe=True)
        return held.pair

    def secrets(self) -> tuple[str, ...]:
        """Return the values that no text may contain."""
        return self._state.refusals.secrets

    def lives_until(self) -> float:
        """Return when its access token expires, on the monotonic clock; -inf if none is in use."""
        held = self._state.held
        return held.expires if held is not None and held.dropped is None else -INFINITE

    def invalidate(self) -> None:
        """Drop the access token, so that the next request renews. Remembered failures stay.

        Raises:
            ConfigurationError: the store is asynchronous; see `ainvalidate`.
        """
        check_sync(self._terms, "ainvalidate")
        drive(invalidating(self._state, self._terms), _no_calls)

    async def ainvalidate(self) -> None:
        await adrive(invalidating(self._state, self._terms), _no_calls)

    def forget(self) -> None:
        """Drop the token pair and remembered failures, so that the next request mints.

        Raises:
            TokenStoreError: the token pair may still be in the store. This source does not use it.
            ConfigurationError: the store is asynchronous; see `aforget`.
        """
        check_sync(self._terms, "aforget")
        self._leader.unannounced.clear()
        drive(forgetting(self._state, self._terms), _no_calls)

    async def aforget(self) -> None:
        self._leader.unannounced.clear()
        await adrive(forgetting(self._state, self._terms), _no_calls)

    def status(self) -> Status:
        return status_of(self._state, self._clock, self._terms.store_failure)

    def __repr__(self) -> str:
        if not hasattr(self, "credentials"):
            return "TokenSource(unfinished)"  # An error tracker may show it after __init__ raised.
        who = self.credentials.client_id if self.credentials is not None else "no credentials"
        return f"TokenSource({who!r}, base_url={self.base_url!r})"

    # --- what one caller does

    def _obtain(
        self,
        spent: Spent,
        blocking: bool,
        limit: float = INFINITE,
        goes_on: bool = True,
        is_probe: bool = False,
    ) -> Steps[HeldPair]:
        if blocking and self._only_async is not None:
            raise ConfigurationError(needs_async(self._only_async))
        began = self._monotonic()
        deadline = began + self.policy.deadline - spent.seconds
        mine = Flight(threading.get_ident(), 0.0, limit)
        outer = self._state.outer(led_here.get())
        if outer is not None and (held := self._state.usable(began)) is not None:
            return held
        joined: Flight | None = None
        installed: HeldPair | None = None
        # An interrupt may come at any point from here on.
        try:
            while True:
                now = self._monotonic()
                if joined is not None and now >= self._until(now, began, deadline):
                    held = self._state.usable(now)
                    if held is None:
                        raise self._state.late(joined)
                    return held
                if mine.over:
                    mine = Flight(threading.get_ident(), now, limit)
                mine.blocks, mine.is_inner = blocking, outer is not None
                verdict = self._state.decide(now, mine, joined, is_probe)
                if isinstance(verdict, HeldPair):
                    if verdict.is_held_back:
                        yield from self._leader.announce(deadline)
                        if verdict is not self._state.held or verdict.dropped is not None:
                            continue  # on_token took a while, or dropped the token itself
                    return verdict
                if not isinstance(verdict, Flight):
                    raise copy.copy(verdict)
                joined = verdict
                if verdict is mine:
                    is_dropped = installed and installed.dropped is Dropped.INVALIDATED
                    if installed and is_dropped and spent.renewals >= RENEWALS:
                        return installed  # on_token drops every token, also the next one.
                    spent.renewals += 1
                    installed = yield from self._leader.lead(mine, deadline, goes_on)
                    # Check it again, because on_token may have taken a while.
                    if installed is self._state.held and installed and installed.dropped is None:
                        return installed
                else:
                    until = self._until(now, began, deadline)
                    silent = verdict.touched + self._state.patience(mine, verdict)
                    yield Wait(verdict, max(0.0, min(until, silent) - now))
        except TransportFailure:
            held = self._state.usable(self._monotonic())
            if held is None:
                raise
            return held
        finally:
            spent.seconds += self._monotonic() - began
            if not mine.over or mine.wakers:
                self._state.leave(mine)

    def _until(self, now: float, began: float, deadline: float) -> float:
        """Return until when a caller waits for another one: briefly if the token is still valid."""
        lives = self._state.usable(now) is not None
        return min(deadline, began + LIVING_LIMIT) if lives else deadline


def _no_calls(effect: Effect) -> NoReturn:
    raise AssertionError(effect)  # pragma: no cover - changes in a store make no token call


_every_source: weakref.WeakSet[Source] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for source in list(_every_source):
        source._terms.jitter = source._clock.random()
        source._leader.unannounced.clear()
        source._terms.leased = None
        source._terms.left_behind.clear()  # The parent's threads do not run here.
        source._state.start_over_in_child(source._terms.jitter)


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
