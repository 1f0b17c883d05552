"""A renewal's business with the token store: adopt, lease, save, release.

Other processes use the same store. Before a renewal it is leased and read again, and a pair that
another process obtained is adopted. A store that fails is left out for the rest of the renewal;
the pair then lives in memory.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from .drivers import detach, is_async
from .effects import Call, Steps, Turn
from .errors import TokenStoreError, TransportFailure
from .flight import Flight, Superseded
from .held_pair import HeldPair, Phase, hold_old
from .old_store import Lease, Store
from .policy import FINISH, STORE_LEASE, STORE_POLL
from .secret import bearer
from .terms import Leased, Terms
from .tokens import TokenSet, is_marked_refused, mark_refused

logger = logging.getLogger("monta_auth")


class Found(enum.Enum):
    """What is to do after a look at the store."""

    RENEW = "renew: the lease is ours, or the store has failed"
    ADOPTED = "use the stored pair"
    ELSEWHERE = "another process renews, and the held token still serves"


class Visit:
    """One renewal at the store.

    Args:
        held: the pair to start from; replaced by an adopted one.

    Attributes:
        error: what the store raised, in words, once it has failed.
    """

    def __init__(self, terms: Terms, store: Store, turn: Turn, held: HeldPair | None) -> None:
        self.held = held
        self.error: str | None = None
        self._turn = turn
        self._terms = terms
        self._store: Store | None = store
        leased = terms.leased
        if leased is not None and terms.clock.monotonic() < leased.until:
            leased.flight = turn.flight  # The leader before us could not go on.

    @property
    def _lease(self) -> Lease | None:
        leased = self._terms.leased
        return leased.lease if leased and leased.flight is self._turn.flight else None

    def begin(self) -> Steps[Found]:
        """Take what others left there, or else the lease."""
        began_with = self.held
        clock = self._terms.clock
        while True:
            if self._terms.clear_store:
                yield from self._delete()
            elif (yield from self.adopt()):
                return Found.ADOPTED
            if self._lease is not None or self._store is None:
                return Found.RENEW
            yield from self._lock(self._store)
            if self._lease is not None or self.error is not None:
                continue  # look once more: it may have been renewed just before we got the lease
            now = clock.monotonic()
            if self.held is not None and self.held.phase(now) is Phase.ADVISORY:
                return Found.ELSEWHERE if self.held is began_with else Found.ADOPTED
            pause = STORE_POLL * (1.0 + clock.random()) / 2.0
            if now + pause >= self._turn.brief:
                raise TransportFailure(
                    "the token store stayed locked by another process", "timeout", sent=False
                )
            yield from self._turn.sleep(pause)

    def _lock(self, store: Store) -> Steps[None]:
        """Ask for the lease. If it comes when nobody waits for it any more, it is given back."""
        until = self._terms.clock.monotonic() + STORE_LEASE

        def keep(lease: Lease | None) -> None:
            if lease is not None:
                flight = self._turn.flight.heir()
                self._terms.leased = Leased(lease, until, flight)
                if flight.over:
                    self._terms.leased = None
                    detach(lease.release)

        @wraps(store.try_lock)
        def lock() -> Any:
            lease: Any = store.try_lock(STORE_LEASE)
            return lease if hasattr(lease, "__await__") else keep(lease)

        @wraps(store.try_lock)
        async def alock() -> None:
            lease: Any = store.try_lock(STORE_LEASE)
            keep(await lease)

        keep((yield from self._try(alock if is_async(store.try_lock) else lock, finish=0.0)))

    def adopt(self) -> Steps[bool]:
        """Take over the stored pair if it is newer; return whether that ends the renewal."""
        stored = yield from self._ask("load")
        if not isinstance(stored, TokenSet):
            return False
        refusals = self._terms.refusals
        refusals.know(stored.access_token, stored.refresh_token)
        known = self.held.pair if self.held is not None else None
        same = known is not None and stored.access_token == known.access_token
        if known and same and known.refresh_token and stored.refresh_token is None:
            # A process that led before us vanished: it may have sent this token.
            refusals.spent_refresh_tokens.add(known.refresh_token)
        if bearer(stored.access_token) in refusals.headers:
            if self._lease is not None and not is_marked_refused(stored):
                # Mark it, so that no other process takes it for good if we get no further.
                yield from self._ask("save", mark_refused(stored), self._lease)
            return False
        now = self._terms.clock.monotonic()
        held = hold_old(
            stored,
            self._terms.policy,
            now=now,
            wall=self._terms.clock.wall(),
            jitter=self._terms.jitter,
            after_refusal=self._turn.flight.after_refusal,
        )
        # Compared on the monotonic clock: the dates of a stored pair may be by another clock.
        if self.held is not None and (
            held.header == self.held.header or held.expires <= self.held.expires
        ):
            return False
        self.held = held
        return held.phase(now) is Phase.FRESH

    def save(self, pair: TokenSet) -> Steps[None]:
        leased = self._terms.leased  # of the source, whoever leads by now
        if leased is not None:
            leased.is_saving = True
            yield from self._ask("save", pair, leased.lease)
            leased.is_saving = False

    def release(self, seconds: float) -> Steps[None]:
        """Give the lease back; an async caller waits so long for that."""
        lease = self._lease
        if lease is not None:
            self._terms.leased = None
            try:
                yield Call(lease.release, finish=0.0, seconds=seconds)
            except TransportFailure:
                detach(lease.release)  # In httpx's own pipeline, after the request has failed.
            except Exception as error:
                # It expires by itself.
                logger.debug("releasing the token store's lease raised %s", type(error).__name__)

    def _delete(self) -> Steps[None]:
        if self._lease is not None:
            yield from self._ask("save", None, self._lease)
            self._terms.clear_store = self._store is None

    def _ask(self, method: str, *args: object) -> Steps[Any]:
        """Return what the store's method does; None once the store has failed."""
        if self._store is None:
            return None
        function = getattr(self._store, method)
        return (yield from self._try(function, *args, finish=FINISH if method == "save" else None))

    def _try(self, function: Callable[..., Any], *args: object, finish: float | None) -> Steps[Any]:
        try:
            return (yield from self._turn.call(function, *args, finish=finish))
        except Superseded:
            raise
        except Exception as error:
            self._store = None
            # Our own error says what to do, and holds no secret.
            is_ours = isinstance(error, TokenStoreError)
            self.error = f"TokenStoreError: {error}" if is_ours else type(error).__qualname__
            return None


def let_go(terms: Terms, flight: Flight) -> None:
    """Release the lease though nobody waits for that, unless it may still be of use.

    It is, while a refresh token is on the wire, and while the new pair is being saved.
    """
    leased = terms.leased
    is_in_use = flight.refreshing is not None or flight.successor is not None
    if leased is not None and leased.flight is flight and not is_in_use and not leased.is_saving:
        terms.leased = None
        detach(leased.lease.release)


def drop_stored_token(terms: Terms, store: Store, header: str | None) -> Steps[None]:
    """Let no process use the stored access token again: that of `header`, or else any."""
    pair = yield Call(store.load)
    if not isinstance(pair, TokenSet):
        return
    stored = bearer(pair.access_token)
    if header is not None and stored != header:
        return
    yield from _save_now(store, mark_refused(pair))  # or else whoever has the lease replaces it


def delete_stored_pair(terms: Terms, store: Store) -> Steps[None]:
    """Delete the stored pair, now or, if another process has the lease, before the next look."""
    terms.clear_store = True
    if (yield from _save_now(store, None)):
        terms.clear_store = False


def _save_now(store: Store, pair: TokenSet | None) -> Steps[bool]:
    """Save without waiting for the lease; return whether it was free."""
    lease = yield Call(store.try_lock, STORE_LEASE)
    if lease is None:
        return False
    try:
        yield Call(store.save, pair, lease)
    except Exception:
        yield Call(lease.release)
        raise
    yield Call(lease.release)
    return True
