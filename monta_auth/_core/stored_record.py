"""One record in a store, with its lease, as the leader of a renewal uses it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import wraps
from threading import Event
from typing import Any

from .drivers import detach, is_async, is_awaitable
from .effects import Call, Steps, Turn
from .errors import LeftBehind, TransportFailure
from .flight import Superseded
from .held_pair import HeldPair, Phase
from .policy import FINISH, STORE_LEASE, STORE_REST
from .sealing import Seal
from .store_errors import cause_of, checked, is_timeout, words
from .store_protocol import Lease
from .terms import Leased, Terms
from .tokens import TokenSet, without_refresh_token

logger = logging.getLogger("monta_auth")


class StoredRecord:
    """The record of a source, with the lease that its leader holds.

    A store that fails is not used for the rest of the renewal.

    Args:
        held: the pair to start from.

    Attributes:
        error: why the store has failed, as text; None if it has not.
        has_served: whether a record was saved or adopted.
    """

    def __init__(self, terms: Terms, turn: Turn, held: HeldPair | None) -> None:
        assert terms.store is not None  # a source without one has no record
        self.held: HeldPair | None = held
        self.error: str | None = None
        self.has_served = False
        self._terms = terms
        self._store = terms.store
        self._turn = turn
        self._has_looked = False
        #: The pair that was in the store at the last look under the lease.
        self._shown: TokenSet | None = None
        now = terms.clock.monotonic()
        # The rest of the time is reserved for the token call.
        self._until = turn.brief - min(STORE_REST, max(0.0, turn.brief - now) / 2)
        leased = terms.leased
        if leased is not None and now < leased.until:
            leased.flight = turn.flight  # The leader before could not continue.

    def _has_failed(self) -> bool:
        return self.error is not None

    @property
    def _seal(self) -> Seal:
        seal = self._terms.seal
        assert seal is not None  # without one, `error` is set
        return seal

    @property
    def _leased(self) -> Leased | None:
        leased = self._terms.leased
        return leased if leased is not None and leased.flight is self._turn.flight else None

    def take_out(self, refresh_token: str) -> Steps[None]:
        """Remove this refresh token from the store, so that no process sends it again."""
        leased, shown = self._leased, self._shown
        if leased is not None and shown is not None and shown.refresh_token == refresh_token:
            self._shown = without_refresh_token(shown)
            yield from self._write(leased, self._shown)

    def release(self, seconds: float) -> Steps[None]:
        """Release the lease. An async caller waits this many seconds for that."""
        leased = self._leased
        # If a refresh token may be spent and is still stored, the lease has to expire: then the
        # next holder sees that this one was lost.
        if leased is None or leased.is_kept or self._turn.flight.refreshing is not None:
            return
        self._terms.leased = None
        try:
            yield Call(leased.lease.release, finish=0.0, seconds=seconds)
        except TransportFailure:
            detach(leased.lease.release)  # In httpx's own pipeline, the request has failed.
        except Exception as error:
            # The lease will expire. Until then it is ours.
            self._terms.leased = self._terms.leased or leased
            logger.debug("releasing the token store's lease raised %s", cause_of(error))

    def _look(self) -> Steps[TokenSet | None]:
        if self._has_failed():
            return None
        seal = self._seal
        stored = seal.open((yield from self._try("load", lambda: self._store.load, seal.name)))
        leased = self._leased
        if leased is None or self._has_failed():
            return stored
        self._shown = stored
        token = stored.refresh_token if stored is not None else None
        is_spent = token in self._terms.refusals.spent_refresh_tokens
        if token is not None and (leased.is_doubted or is_spent):
            leased.is_doubted = leased.is_kept = True
            yield from self.take_out(token)
        if not leased.is_kept or token is None:
            leased.is_doubted = leased.is_kept = False
        return self._shown

    def _lock(self) -> Steps[Leased | None]:
        """Ask for the lease; return it if we get it.

        If it comes too late, when no caller waits for it any more, it is released.
        """
        store, name = self._store, self._seal.name
        until = self._terms.clock.monotonic() + STORE_LEASE

        def keep(lease: Lease | None) -> None:
            checked("try_lock", lease)
            if lease is not None:
                flight = self._turn.flight.heir()
                self._terms.leased = Leased(lease, until, flight)
                if flight.over:
                    self._terms.leased = None
                    if not lease.doubt:
                        detach(lease.release)

        def taking(try_lock: Callable[..., Any]) -> Callable[[], Any]:
            @wraps(try_lock)
            def lock() -> Any:
                lease: Any = try_lock(name, STORE_LEASE)
                return finish(lease) if is_awaitable(lease) else keep(lease)

            @wraps(try_lock)
            async def alock() -> None:
                keep(await try_lock(name, STORE_LEASE))

            return alock if is_async(try_lock) else lock

        async def finish(lease: Awaitable[Lease | None]) -> None:
            keep(await lease)

        yield from self._try("try_lock", lambda: taking(store.try_lock), finish=0.0)
        return self._leased

    def _extend(self, leased: Leased) -> Steps[bool | None]:
        """Extend the lease; return whether it is still ours, or None if the store has failed."""
        until = self._terms.clock.monotonic() + STORE_LEASE
        is_ours: bool | None = yield from self._try(
            "extend", lambda: leased.lease.extend, STORE_LEASE
        )
        if is_ours:
            leased.until = until
        elif is_ours is False and self._terms.leased is leased:
            self._terms.leased = None
        return is_ours

    def _write(self, leased: Leased, pair: TokenSet | None) -> Steps[None]:
        """Save under the lease. If that fails, delete the record: its token may be spent."""
        if self._has_failed():
            leased.is_kept |= self._turn.flight.refreshing is not None
            return
        leased.is_saving = leased.is_kept = True
        is_saved = yield from self._save(leased, None if pair is None else self._seal.seal(pair))
        if not is_saved:
            error, self.error = self.error, None
            is_saved = yield from self._save(leased, None)
            self.error = error
        leased.is_saving, leased.is_kept = False, not is_saved
        self.has_served |= not self._has_failed()

    def _save(self, leased: Leased, record: bytes | None) -> Steps[bool]:
        """Save the record, or delete it (None); return whether that worked."""
        now, turn = self._terms.clock.monotonic(), self._turn
        # Saving a new pair is worth some extra time.
        end = min(turn.deadline, max(turn.brief, now + FINISH))
        until = now + (end - now) / 2  # The other half is for deleting the record.
        arguments = (self._seal.name, record, leased.lease)
        yield from self._try(
            "save", lambda: self._store.save, *arguments, finish=FINISH, until=until
        )
        return not self._has_failed()

    def _lives(self) -> bool:
        now = self._terms.clock.monotonic()
        return self.held is not None and self.held.phase(now) is not Phase.DEAD

    def _try(
        self,
        operation: str,
        find: Callable[[], Callable[..., Any]],
        *args: object,
        finish: float | None = None,
        until: float | None = None,
    ) -> Steps[Any]:
        """Call a method of the store or its lease; return None if the store has failed.

        Args:
            find: returns the method. Looking it up may fail, too.
        """
        if self._has_failed():
            return None
        may_repeat = operation == "load" and not self._has_looked
        self._has_looked = True
        if until is None:
            until = self._turn.brief if self._lives() else self._until
        left_behind = self._terms.left_behind
        if not all(ended.is_set() for ended in left_behind):
            # Each further call would need another thread.
            self.error = "an earlier call to it has not returned yet"
            return None
        left_behind.clear()
        while True:
            function: object = None
            ended = Event()
            try:
                function = method = _noted(find(), ended)
                value = yield from self._turn.call(method, *args, finish=finish, until=until)
                return checked(operation, value)
            except Superseded:
                raise
            except Exception as error:
                if isinstance(error, LeftBehind) and not is_async(function):
                    left_behind.append(ended)
                if may_repeat and not is_timeout(error):
                    may_repeat = False  # After an idle hour, its connection may be closed.
                    continue
                self.error = words(operation, function, error)
                return None


def _noted(method: Callable[..., Any], ended: Event) -> Callable[..., Any]:
    """Wrap a plain function, so that it sets the event when it ends."""
    if is_async(method):
        return method

    @wraps(method)
    def call(*args: object) -> Any:
        try:
            return method(*args)
        finally:
            ended.set()

    return call
