"""`Status`: what users see of the state of a token source."""

from __future__ import annotations

from datetime import UTC, datetime

from .errors import in_words
from .frozen import Frozen
from .policy import Clock
from .state import State
from .tokens import date_text


class Status(Frozen):
    """Report the state of a token source, for metrics. It contains no secrets and no tokens.

    For a readiness probe, call ``token()`` or await ``atoken()`` instead: they renew in time.

    Args:
        usable: whether requests have an access token that is neither expired nor refused. It stays
            True during a cool-down: after the API has refused two new tokens in a row, requests use
            the last one.
        access_expires_at, refresh_expires_at: expiry of the token pair, by the server's clock.
        last_renewal: time of the last new token pair, also one from a store, by the local clock.
        last_failure: type and text of the last renewal's failure; None after a success.
        next_try: earliest time of the next token call, by the local clock; None: at once.
        fetches, refreshes: number of token pairs from ``/auth/token`` and ``/auth/refresh``.
        failures: number of failed renewals.
        refusals: number of access tokens that the API refused with a 401.
        store_failure: why the last use of the store failed; None if it worked.
    """

    usable: bool
    access_expires_at: datetime | None
    refresh_expires_at: datetime | None
    last_renewal: datetime | None
    last_failure: str | None
    next_try: datetime | None
    fetches: int
    refreshes: int
    failures: int
    refusals: int
    store_failure: str | None

    def __init__(
        self,
        usable: bool = False,
        access_expires_at: datetime | None = None,
        refresh_expires_at: datetime | None = None,
        last_renewal: datetime | None = None,
        last_failure: str | None = None,
        next_try: datetime | None = None,
        fetches: int = 0,
        refreshes: int = 0,
        failures: int = 0,
        refusals: int = 0,
        store_failure: str | None = None,
    ) -> None:
        self._set(locals())

    def to_dict(self) -> dict[str, bool | int | str | None]:
        """Return the fields ready for JSON, with dates in ISO 8601 with ``Z``."""
        values = zip(self._fields, self._values(), strict=True)
        return {n: _text(value) if isinstance(value, datetime) else value for n, value in values}

    def __repr__(self) -> str:
        values = self._values()
        shown = [_text(value) if isinstance(value, datetime) else repr(value) for value in values]
        fields = zip(self._fields, shown, strict=True)
        return f"Status({', '.join(f'{name}={value}' for name, value in fields)})"


def _text(date: datetime) -> str:
    return date_text(date, "seconds")


def status_of(state: State, clock: Clock, store_failure: str | None = None) -> Status:
    """Return the status of a source with this state."""
    now, wall = clock.monotonic(), clock.wall()
    with state.held_still():
        held, failures = state.held, state.failures
        next_try = _next_try(state, now)
        return Status(
            usable=state.usable(now) is not None,
            access_expires_at=held.pair.access_expires_at if held else None,
            refresh_expires_at=held.pair.refresh_expires_at if held else None,
            last_renewal=_date_of(state.last_renewal),
            last_failure=in_words(failures.last) if failures.last else None,
            next_try=_date_of(wall + next_try - now) if next_try > now else None,
            fetches=state.counts["mint"],
            refreshes=state.counts["refresh"],
            failures=state.counts["failure"],
            refusals=state.refusals.count,
            store_failure=store_failure,
        )


def _next_try(state: State, now: float) -> float:
    """Return the earliest time of the next token call."""
    held, failures = state.usable(now), state.failures
    if held is None:
        return max(failures.until, failures.mint_after)
    return max(held.advisory_at, failures.pause_until)


def _date_of(wall: float | None) -> datetime | None:
    return None if wall is None else datetime.fromtimestamp(wall, UTC)
