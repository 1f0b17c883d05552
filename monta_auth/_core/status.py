"""How a source is doing, for its users."""

from __future__ import annotations

from datetime import UTC, datetime

from .frozen import Frozen


class Status(Frozen):
    """How a source is doing; it holds no secret and no token.

    Args:
        access_expires_at, refresh_expires_at: of the held pair, by the server's clock.
        last_renewal: when a pair was last obtained or taken over, by the local clock.
        last_failure: type and text of the failure of the last renewal, None after a success.
        next_try: earliest moment of the next token call, by the local clock; None: at once.
        mints, refreshes: pairs obtained from ``/auth/token`` and ``/auth/refresh``.
        failures: renewals that failed.
        refusals: access tokens that the API refused with a 401.
        store_failure: why the token store does not work, None while it does.
    """

    access_expires_at: datetime | None
    refresh_expires_at: datetime | None
    last_renewal: datetime | None
    last_failure: str | None
    next_try: datetime | None
    mints: int
    refreshes: int
    failures: int
    refusals: int
    store_failure: str | None

    def __init__(
        self,
        access_expires_at: datetime | None = None,
        refresh_expires_at: datetime | None = None,
        last_renewal: datetime | None = None,
        last_failure: str | None = None,
        next_try: datetime | None = None,
        mints: int = 0,
        refreshes: int = 0,
        failures: int = 0,
        refusals: int = 0,
        store_failure: str | None = None,
    ) -> None:
        self._set(locals())


def date_of(wall: float | None) -> datetime | None:
    return None if wall is None else datetime.fromtimestamp(wall, UTC)
