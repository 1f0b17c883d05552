"""The token pair that a source holds, with its times on the local monotonic clock."""

from __future__ import annotations

import enum
from datetime import UTC, datetime

from .policy import (
    ADVISORY_JITTER,
    ADVISORY_SHARE,
    MANDATORY_SHARE,
    PROBE_LEAD,
    PROBE_SHARE,
    RefreshPolicy,
)
from .secret import BearerHeader, bearer
from .tokens import TokenSet


class Phase(enum.Enum):
    """What to do with the held access token at some moment. The log shows the value.

    FRESH: use it. ADVISORY: one caller renews, the others use it. MANDATORY: all wait for the
    renewal, and use it if that fails. DEAD: it has expired or was dropped, or there is none.
    """

    FRESH = "fresh"
    ADVISORY = "advisory"
    MANDATORY = "mandatory"
    DEAD = "expired"


class Dropped(enum.Enum):
    """Why an access token is no longer used before it expires. The log shows the value."""

    REFUSED = "401"
    INVALIDATED = "invalidated"


class HeldPair:
    """A token pair with the times at which something changes, in seconds on the monotonic clock.

    Args:
        born: when its token call was sent, or when a pair from elsewhere was received.
        life: seconds from `born` until the access token expires.
        full_life: the access token's whole life in seconds; the windows are shares of it.
        refresh_life: seconds from `born` until the refresh token expires; None if unknown.
        jitter: 0 to 1, this source's share of the advisory spread.
        after_refusal: whether it was fetched because the API refused the token before it.

    Attributes:
        header: the ``Authorization`` header with its access token.
        dropped: why its access token is no longer used; None if it is.
        ready_until: until when requests use it without any further check.
        is_stored: whether it came from a store or was saved in one, so that other processes may
            use its refresh token.
    """

    def __init__(
        self,
        pair: TokenSet,
        policy: RefreshPolicy,
        *,
        born: float,
        life: float,
        full_life: float,
        refresh_life: float | None,
        jitter: float,
        after_refusal: bool = False,
    ) -> None:
        self.pair = pair
        self.born = born
        self.expires = born + life
        self._full_life = full_life
        self.spread(policy, jitter)
        self.refresh_until = float("inf") if refresh_life is None else born + refresh_life
        self.after_refusal = after_refusal
        self.dropped: Dropped | None = None
        self.is_stored = False
        self.header: BearerHeader = bearer(pair.access_token)

    def spread(self, policy: RefreshPolicy, jitter: float) -> None:
        """Set the start of the windows, with this share of the advisory spread."""
        share = jitter * ADVISORY_JITTER if policy.advisory else 0.0
        advisory = min(policy.advisory + share, self._full_life * ADVISORY_SHARE)
        mandatory = min(policy.mandatory, self._full_life * MANDATORY_SHARE)
        self.mandatory_at = self.expires - mandatory
        self.advisory_at = self.expires - max(advisory, mandatory)
        self.probe_at = self.ready_until = self.advisory_at
        if policy.advisory:
            self.probe_at -= min(PROBE_LEAD, self._full_life * PROBE_SHARE)

    def phase(self, now: float, *, is_probe: bool = False) -> Phase:
        """Return the phase. For a probe (`token` and its variants), ADVISORY starts earlier."""
        if self.dropped is not None or now >= self.expires:
            return Phase.DEAD
        if now >= self.mandatory_at:
            return Phase.MANDATORY
        is_early = now >= (self.probe_at if is_probe else self.advisory_at)
        return Phase.ADVISORY if is_early else Phase.FRESH

    def drop(self, why: Dropped) -> None:
        """Stop using its access token."""
        self.dropped = why
        self.ready_until = float("-inf")

    def hold_back(self) -> None:
        """Make requests check it until `show`, because on_token has to be called first."""
        self.ready_until = float("-inf")

    def show(self) -> None:
        """Undo `hold_back`."""
        if self.dropped is None:
            self.ready_until = self.advisory_at

    @property
    def is_held_back(self) -> bool:
        return self.ready_until < self.advisory_at

    def refresh_token(self, now: float) -> str | None:
        """Return the refresh token if it has not expired. Only the source knows if it is spent."""
        return self.pair.refresh_token if now < self.refresh_until else None


def hold_new(
    pair: TokenSet,
    policy: RefreshPolicy,
    *,
    sent: float,
    jitter: float,
    after_refusal: bool,
    old: HeldPair | None = None,
) -> HeldPair:
    """Return the held pair for a new token pair. Its life counts from when the call was sent.

    Args:
        old: the pair that was refreshed, if any.
    """
    if old is not None and pair.refresh_token is None:
        # RFC 6749, section 6: without a new refresh token, the old one stays in use.
        pair = pair.__replace__(
            refresh_token=old.pair.refresh_token, refresh_expires_at=old.pair.refresh_expires_at
        )
    assert pair.issued_at is not None  # `read_pair` always sets it
    life = (pair.access_expires_at - pair.issued_at).total_seconds()
    refresh_life = None
    if pair.refresh_expires_at is not None:
        refresh_life = (pair.refresh_expires_at - pair.issued_at).total_seconds()
    return HeldPair(
        pair,
        policy,
        born=sent,
        life=life,
        full_life=life,
        refresh_life=refresh_life,
        jitter=jitter,
        after_refusal=after_refusal,
    )


def hold_old(
    pair: TokenSet,
    policy: RefreshPolicy,
    *,
    now: float,
    wall: float,
    jitter: float,
    after_refusal: bool = False,
) -> HeldPair:
    """Return the held pair for a token pair from the user or a store: only its dates are known.

    Only this function relies on the local wall clock, and never beyond the life that the server
    gave.
    """
    left = pair.access_expires_at.timestamp() - wall
    full_life = left
    if pair.issued_at is not None:
        full_life = (pair.access_expires_at - pair.issued_at).total_seconds()
        left = min(left, full_life)
    refresh_life = None
    if pair.refresh_expires_at is not None:
        refresh_life = pair.refresh_expires_at.timestamp() - wall
    return HeldPair(
        pair,
        policy,
        born=now,
        life=left,
        full_life=max(full_life, 0.0),
        refresh_life=refresh_life,
        jitter=jitter,
        after_refusal=after_refusal,
    )


#: The end of the year 9999, the latest possible date.
LAST_DATE = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


def on_wall_clock(held: HeldPair, *, now: float, wall: float) -> TokenSet:
    """Return the token pair to store, with dates of the local wall clock."""

    def date(moment: float) -> datetime:
        return datetime.fromtimestamp(min(wall + moment - now, LAST_DATE), UTC)

    is_known = held.refresh_until < float("inf")
    return held.pair.__replace__(
        access_expires_at=date(held.expires),
        refresh_expires_at=date(held.refresh_until) if is_known else None,
        issued_at=date(held.born),
    )
