"""One token pair with its dates, to and from JSON.

Dates are the server's, with time zone UTC. The source translates them to its monotonic clock.
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

#: Characters allowed after "Bearer " in a header: visible ASCII. Monta sends UUIDs (observed).
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")


class TokenSet(Frozen):
    """Hold a token pair: an access token and its refresh token. Its repr shows neither.

    Args:
        access_token: the token for the ``Authorization`` header, without ``Bearer``.
        refresh_token: the single-use token that gets the next token pair, or None.
        access_expires_at: expiry of the access token, by the server's clock.
        refresh_expires_at: expiry of the refresh token, by the server's clock; None if unknown.
        issued_at: when the server issued the token pair, by its clock; None if unknown.
        application_id, user_id: owner of the token (Public API only).

    Raises:
        ConfigurationError: a token has characters that a header cannot hold, or a date has no
            time zone.
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
        """Return a dict for JSON. It contains both tokens, so store it like a secret."""
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
        """Return the token pair that `to_dict` wrote. Unknown keys are ignored.

        Raises:
            ConfigurationError: the access token or its expiry is missing or unusable, or the
                refresh token is unusable.
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
        """Pickle both tokens in clear text."""
        return type(self), tuple(map(in_clear, self._values()))

    def __repr__(self) -> str:
        return (
            f"TokenSet(<{fingerprint(self.access_token)}>, "
            f"access_expires_at={_text(self.access_expires_at)}, "
            f"refresh_expires_at={_text(self.refresh_expires_at)})"
        )


#: The stored expiry of a refused access token.
_REFUSED = datetime.fromtimestamp(0, UTC)


def mark_refused(pair: TokenSet) -> TokenSet:
    """Return the token pair to store after its access token was refused: long expired."""
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
    """Return eight digits that distinguish tokens in logs."""
    return hashlib.sha256(token.encode()).hexdigest()[:8]


def parse_date(value: object) -> datetime | None:
    """Read an ISO 8601 date with any number of fraction digits; None if it is not a date.

    Monta sends 0 to 9 digits and ``Z`` (6 and 9 observed). A date without a zone means UTC.
    """
    if not isinstance(value, str):
        return None
    try:
        date = datetime.fromisoformat(value)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def date_text(date: datetime, timespec: str = "auto") -> str:
    """Format a UTC date as Monta does: ISO 8601 with ``Z``."""
    return date.isoformat(timespec=timespec).replace("+00:00", "Z")


def whole_number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(date: datetime | None) -> str | None:
    return None if date is None else date_text(date)
