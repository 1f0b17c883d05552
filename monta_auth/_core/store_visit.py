"""A renewal's business with the token store: adopt, lease, save, release.

Other processes use the same store. Before a renewal the record is leased and read again, and a pair
that another process obtained is adopted. A refresh token that was ever in the store is sent only if
the leased store has just shown it. A store that fails is left out for the rest of the renewal.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from .drivers import detach
from .effects import Steps, Turn
from .errors import MontaAuthError
from .flight import Flight
from .held_pair import HeldPair, Phase, hold_old, on_wall_clock
from .policy import STORE_REST, store_pause
from .sealing import Seal
from .secret import bearer, hidden
from .store_errors import KEPT_TOO_LONG
from .stored_record import StoredRecord
from .terms import Terms
from .tokens import is_marked_refused, mark_refused

#: Says nothing of the store, which works: it cannot be opened.
UNOPENED = "there is no client secret, which the key of its record comes from"


class Found(enum.Enum):
    """What is to do after a look at the store."""

    RENEW = "renew: the lease is ours, or the store has failed and no token lives"
    ADOPTED = "use the stored pair"
    NOT_NOW = "the store is locked or has failed, and the held token still serves"


class Visit(StoredRecord):
    """One renewal at the store.

    Args:
        held: the pair to start from; replaced by an adopted one.
        ask: a flow that returns the client secret, or why there is none.
    """

    def __init__(
        self,
        terms: Terms,
        turn: Turn,
        held: HeldPair | None,
        ask: Callable[[], Steps[str | MontaAuthError]],
    ) -> None:
        super().__init__(terms, turn, held)
        self._ask = ask
        self._losses = 0
        self._opened_with: str | None = None

    def begin(self) -> Steps[Found]:
        """Take what others left there, or else the lease."""
        began_with = self.held
        clock = self._terms.clock
        if self._terms.seal is None and not self._has_failed():
            secret = yield from self._ask()
            if isinstance(secret, MontaAuthError):
                self.error = UNOPENED
            else:
                yield from self.rekey(secret)
        while True:
            if self._terms.clear_store:
                yield from self._delete()
            elif (yield from self.adopt()):
                return Found.ADOPTED
            if not self._has_failed():
                if self._leased is not None:
                    return Found.RENEW
                if (yield from self._lock()):
                    continue  # It may have been renewed just before we got the lease.
            if self._lives():
                return Found.NOT_NOW if self.held is began_with else Found.ADOPTED
            if self._has_failed():
                return Found.RENEW
            pause = store_pause(clock.random())
            if clock.monotonic() + pause >= self._until:
                self.error = KEPT_TOO_LONG
                return Found.RENEW
            yield from self._turn.sleep(pause)

    def adopt(self) -> Steps[bool]:
        """Take over the stored pair if it is newer; return whether that ends the renewal."""
        stored = yield from self._look()
        if stored is None:
            return False
        refusals, leased = self._terms.refusals, self._leased
        refusals.know(stored.access_token, stored.refresh_token)
        if bearer(stored.access_token) in refusals.headers:
            if leased is not None and not is_marked_refused(stored):
                # Mark it, so that no other process takes it for good if we get no further.
                yield from self._write(leased, mark_refused(stored))
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
        held.is_stored = True
        # Compared on the monotonic clock: the dates of a stored pair may be by another clock.
        if self.held is not None and (
            held.header == self.held.header or held.expires <= self.held.expires
        ):
            return False
        self.held = held
        self.has_served = True
        return held.phase(now) is Phase.FRESH

    def shows(self, refresh_token: str) -> bool:
        """Whether the leased store has just shown this refresh token."""
        shown = self._shown
        is_shown = shown is not None and shown.refresh_token == refresh_token
        return is_shown and not self._has_failed() and self._leased is not None

    def hold(self) -> Steps[bool]:
        """Extend the lease before a token call; return False if the visit has to begin anew."""
        leased = self._leased
        if leased is None or self._has_failed():
            return True
        if (yield from self._extend(leased)):
            return True
        if not self._has_failed():
            self._losses += 1
            if self._losses > 1:
                self.error = "its lease was lost twice in a row"
        return False

    def save(self, held: HeldPair) -> Steps[None]:
        """Store a new pair, before it is used."""
        leased = self._terms.leased  # of the source, whoever leads by now
        if leased is None:
            return
        # Until the pair is saved, the refresh token that brought it must not be found by another.
        leased.is_kept |= self._turn.flight.refreshing is not None
        # Who was superseded by now has one step left.
        if not self._turn.flight.over and (yield from self._extend(leased)) is False:
            leased = yield from self._lock()  # Perhaps nobody has taken it since.
            if leased is None:
                return
        held.is_stored = not self._has_failed()
        clock = self._terms.clock
        dated = on_wall_clock(held, now=clock.monotonic(), wall=clock.wall())
        yield from self._write(leased, dated)

    def rekey(self, secret: str) -> Steps[bool]:
        """Go to the record of this secret; return whether it is another one than before."""
        if secret == self._opened_with:
            return False
        terms, credentials = self._terms, self._terms.credentials
        assert credentials is not None  # a store needs them
        self._opened_with = secret = hidden(secret)
        arguments = (terms.base_url, credentials.client_id, secret)
        seal = yield from self._try("seal", lambda: Seal, *arguments)
        if seal is None or (terms.seal is not None and seal.name == terms.seal.name):
            return False
        yield from self.release(STORE_REST)
        terms.seal, terms.leased, self._shown = seal, None, None
        return True

    def _delete(self) -> Steps[None]:
        leased = self._leased
        if leased is not None:
            yield from self._write(leased, None)
            self._terms.clear_store = leased.is_kept


def let_go(terms: Terms, flight: Flight) -> None:
    """Release the lease though nobody waits for that, unless it may still be of use.

    It is, while a refresh token is on the wire, and while the new pair is being saved.
    """
    leased = terms.leased
    is_in_use = flight.refreshing is not None or flight.successor is not None
    if leased is None or leased.flight is not flight or is_in_use:
        return
    if not leased.is_saving and not leased.is_kept:
        terms.leased = None
        detach(leased.lease.release)
