"""One pair of tokens, its birth and its expiry; to and from JSON.

Dates are the server's, aware and in UTC. Counting down on the local monotonic clock is the
source's business, not that of the pair.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Self

from .errors import ConfigurationError
from .frozen import Frozen
from .secret import Secret, hidden_argument, in_clear

#: What may stand behind "Bearer " in a header: visible ASCII. Observed: UUIDs of 36 characters.
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")


class TokenSet(Frozen):
    """An access token and the refresh token that came with it. Its repr shows neither.

    Args:
        access_token: opaque; stands in the ``Authorization`` header behind ``Bearer``.
        refresh_token: opaque and single-use, or None.
        access_expires_at: by the server's clock.
        refresh_expires_at: by the server's clock; None if it is not known.
        issued_at: when the pair was born, by the server's clock; None if it is not known.
        application_id, user_id: whose token it is (Public API; the Partner API sends neither).

    Raises:
        ConfigurationError: a token could not stand in a header, or a date has no time zone.
    """

    __slots__ = (
        "access_expires_at",
        "access_token",
        "application_id",
        "issued_at",
        "refresh_expires_at",
        "refresh_token",
        "user_id",
    )

    access_token: str
    refresh_token: str | None
    access_expires_at: datetime
    refresh_expires_at: datetime | None
    issued_at: datetime | None
    application_id: int | None
    user_id: int | None

    def __init__(
        self,
        access_token: str,
        refresh_token: str | None,
        access_expires_at: datetime,
        refresh_expires_at: datetime | None = None,
        issued_at: datetime | None = None,
        application_id: int | None = None,
        user_id: int | None = None,
    ) -> None:
        if isinstance(access_token, str) and isinstance(refresh_token, str):
            access_token, refresh_token = Secret(access_token), Secret(refresh_token)
        else:
            access_token = hidden_argument(access_token)
            refresh_token = hidden_argument(refresh_token)
        _check_token(access_token, "access_token")
        if refresh_token is not None:
            _check_token(refresh_token, "refresh_token")
        access_expires_at = _checked_date(access_expires_at, "access_expires_at")
        if refresh_expires_at is not None:
            refresh_expires_at = _checked_date(refresh_expires_at, "refresh_expires_at")
        if issued_at is not None:
            issued_at = _checked_date(issued_at, "issued_at")
        self._set(locals())

    def to_dict(self) -> dict[str, str | int | None]:
        """Return what JSON can hold; it contains both tokens, so keep it as you keep a secret."""
        return {
            "access_token": str(self.access_token),
            "refresh_token": None if self.refresh_token is None else str(self.refresh_token),
            "access_expires_at": _text(self.access_expires_at),
            "refresh_expires_at": _text(self.refresh_expires_at),
            "issued_at": _text(self.issued_at),
            "application_id": self.application_id,
            "user_id": self.user_id,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TokenSet:
        """Return the pair that `to_dict` wrote. Unknown keys are ignored.

        Raises:
            ConfigurationError: a token or the access token's expiry is missing or unusable.
        """
        if isinstance(data, Mapping):
            data = {name: hidden_argument(value) for name, value in data.items()}
        else:
            data = hidden_argument(data)  # type: ignore[unreachable]  # of any type, in fact
            raise ConfigurationError("TokenSet.from_dict takes the mapping that to_dict returned")
        missing = [name for name in ("access_token", "access_expires_at") if name not in data]
        if missing:
            raise ConfigurationError(
                f"TokenSet.from_dict: there is no {' and no '.join(missing)}; it takes what "
                "to_dict() returned, not a response of Monta"
            )
        expires = parse_date(data.get("access_expires_at"))
        if expires is None:
            raise ConfigurationError("TokenSet.from_dict: access_expires_at is not a date")
        return cls(
            access_token=data.get("access_token"),  # type: ignore[arg-type]  # checked there
            refresh_token=data.get("refresh_token"),
            access_expires_at=expires,
            refresh_expires_at=parse_date(data.get("refresh_expires_at")),
            issued_at=parse_date(data.get("issued_at")),
            application_id=whole_number(data.get("application_id")),
            user_id=whole_number(data.get("user_id")),
        )

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        """Its pickle holds both tokens in the clear."""
        return type(self), tuple(map(in_clear, self._values()))

    def __repr__(self) -> str:
        return (
            f"TokenSet(<{fingerprint(self.access_token)}>, "
            f"access_expires_at={_text(self.access_expires_at)}, "
            f"refresh_expires_at={_text(self.refresh_expires_at)})"
        )


#: Stands for the expiry of an access token that was refused, in what is stored.
_REFUSED = datetime.fromtimestamp(0, UTC)


def mark_refused(pair: TokenSet) -> TokenSet:
    """Return the pair as it is stored once its access token was refused: expired long ago."""
    return pair.__replace__(access_expires_at=_REFUSED, issued_at=None)


def is_marked_refused(pair: TokenSet) -> bool:
    return pair.access_expires_at <= _REFUSED


def without_refresh_token(pair: TokenSet) -> TokenSet:
    return pair.__replace__(refresh_token=None, refresh_expires_at=None)


def is_token(value: object) -> bool:
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def _check_token(value: object, name: str) -> None:
    if not is_token(value):
        raise ConfigurationError(f"TokenSet: {name} must be visible ASCII characters")


def _checked_date(value: object, name: str) -> datetime:
    try:
        if isinstance(value, datetime) and value.utcoffset() is not None:
            return value.astimezone(UTC)
    except OverflowError:
        pass
    raise ConfigurationError(f"TokenSet: {name} must be a datetime with a time zone")


def fingerprint(token: str) -> str:
    """Eight digits by which logs tell tokens apart."""
    return hashlib.sha256(token.encode()).hexdigest()[:8]


def parse_date(value: object) -> datetime | None:
    """Read an ISO 8601 date with any number of fraction digits; None if it is none.

    Monta sends 0 to 9 digits and ``Z`` (6 and 9 observed). Without a zone, UTC is meant.
    """
    if not isinstance(value, str):
        return None
    try:
        date = datetime.fromisoformat(value)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def date_text(date: datetime, timespec: str = "auto") -> str:
    """Write a date in UTC as Monta does: in ISO 8601 with ``Z``."""
    return date.isoformat(timespec=timespec).replace("+00:00", "Z")


def whole_number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(date: datetime | None) -> str | None:
    return None if date is None else date_text(date)
