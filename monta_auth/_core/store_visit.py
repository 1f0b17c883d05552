"""What a renewal does with the token store: adopt, lease, save, release.

Other processes use the same store. So before a renewal, the record is leased and read again, and a
token pair from another process is adopted. A refresh token that was ever in the store is sent only
if the leased store has just shown it. A store that fails is not used for the rest of the renewal.
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

#: This is no fault of the store, so it is not reported as one.
UNOPENED = "the key of its record comes from the client secret, and there is none"


class Found(enum.Enum):
    """What to do after a look at the store."""

    RENEW = "renew: the lease is ours, or the store has failed and no token is valid"
    ADOPTED = "use the stored pair"
    NOT_NOW = "the store is locked or has failed, and the current token is still valid"


class Visit(StoredRecord):
    """The visit of one renewal to the store.

    Args:
        held: the pair to start from. An adopted one replaces it.
        ask: a flow that returns the client secret, or the error if there is none.
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
        """Adopt what another process stored, or take the lease."""
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
        """Adopt the stored pair if it is newer; return whether that ends the renewal."""
        stored = yield from self._look()
        if stored is None:
            return False
        refusals, leased = self._terms.refusals, self._leased
        refusals.know(stored.access_token, stored.refresh_token)
        if bearer(stored.access_token) in refusals.headers:
            if leased is not None and not is_marked_refused(stored):
                # If this renewal fails, the mark keeps other processes from using it.
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
        # Compare on the monotonic clock, because a stored pair may have dates of another clock.
        if self.held is not None and (
            held.header == self.held.header or held.expires <= self.held.expires
        ):
            return False
        self.held = held
        self.has_served = True
        return held.phase(now) is Phase.FRESH

    def shows(self, refresh_token: str) -> bool:
        """Return whether the leased store has just shown this refresh token."""
        shown = self._shown
        is_shown = shown is not None and shown.refresh_token == refresh_token
        return is_shown and not self._has_failed() and self._leased is not None

    def hold(self) -> Steps[bool]:
        """Extend the lease before a token call; return False if the visit has to start over."""
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
        """Store a new pair before it is used."""
        leased = self._terms.leased  # that of the source: another caller may lead by now
        if leased is None:
            return
        # Until the pair is saved, no other process may use the refresh token that it came from.
        leased.is_kept |= self._turn.flight.refreshing is not None
        # A superseded leader can take only one more step, so it does not extend the lease.
        if not self._turn.flight.over and (yield from self._extend(leased)) is False:
            leased = yield from self._lock()  # Perhaps no other process has taken it.
            if leased is None:
                return
        held.is_stored = not self._has_failed()
        clock = self._terms.clock
        dated = on_wall_clock(held, now=clock.monotonic(), wall=clock.wall())
        yield from self._write(leased, dated)

    def rekey(self, secret: str) -> Steps[bool]:
        """Switch to the record of this secret; return whether it is another record than before."""
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
    """Release the lease without waiting, unless it is still needed.

    A successor needs it. So do a refresh token that is being sent and a pair that is being saved.
    """
    leased = terms.leased
    is_in_use = flight.refreshing is not None or flight.successor is not None
    if leased is None or leased.flight is not flight or is_in_use:
        return
    if not leased.is_saving and not leased.is_kept:
        terms.leased = None
        detach(leased.lease.release)
