"""How a source is doing, for people and for health checks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

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
    """

    __slots__ = _fields = (
        "access_expires_at",
        "refresh_expires_at",
        "last_renewal",
        "last_failure",
        "next_try",
        "mints",
        "refreshes",
        "failures",
        "refusals",
    )

    access_expires_at: datetime | None
    refresh_expires_at: datetime | None
    last_renewal: datetime | None
    last_failure: str | None
    next_try: datetime | None
    mints: int
    refreshes: int
    failures: int
    refusals: int

    def __init__(self, *values: Any, **named: Any) -> None:
        self._set(**dict(zip(self._fields, values, strict=False)), **named)
