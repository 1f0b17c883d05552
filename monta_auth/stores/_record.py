"""The written form of a pair, the same in every place that can hold text.

A record names the client and the base URL that it belongs to. What is read is checked as
strictly as a reply of the API, and whatever is not right counts as nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from .._core.errors import ConfigurationError
from .._core.policy import CLOCKS_AGREE, LONGEST_LIFE
from .._core.replies import hidden_strings
from .._core.secret import hidden
from .._core.tokens import TokenSet, is_marked_refused

logger = logging.getLogger("monta_auth")

_SCHEMA = 1
#: Two tokens of 8192 characters each, and as much again.
LONGEST = 32768

# Digests of rubbish that was warned about: it is read again before and after each lease.
_warned: dict[str, None] = {}


def record_key(base_url: str, client_id: str | None) -> str:
    """Return a name for the place of this client's record: 32 hexadecimal digits.

    It contains neither the URL nor the client id. Each version of the written form has names of
    its own, so that two releases of this package in one fleet do not fight over a record.
    """
    name = json.dumps([_SCHEMA, base_url, client_id])
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def dump_record(
    pair: TokenSet, base_url: str, client_id: str | None, *, now: float | None = None
) -> str:
    """Return the text to store; it contains both tokens.

    Args:
        pair: one that was just obtained, or that came out of `load_record`. A pair of unknown age
            goes without its `issued_at`: its dates are then compared with the local clock.
        now: the clock of the place, in seconds since 1970; default: that of this machine.
    """
    wall = time.time()
    # A pair from the wire has just been made: the server's birth time is the same moment as
    # `now`, but for the duration of the call.
    origin = wall if pair.issued_at is None else pair.issued_at.timestamp()
    record = {
        "schema": _SCHEMA,
        "base_url": base_url,
        "client_id": client_id,
        "saved_at": wall if now is None else now,
        "origin": origin,
        "pair": {name: hidden(value) for name, value in pair.to_dict().items()},
    }
    return json.dumps(record, separators=(",", ":"))


def load_record(
    text: str | bytes | None, base_url: str, client_id: str | None, *, now: float | None = None
) -> TokenSet | None:
    """Return the pair that `dump_record` wrote for exactly this client, or None.

    Rubbish, another client's pair and another version's are None too, and one warning, which
    quotes nothing.

    A reader's clock does not decide how long a stored token lives: its age is counted by the
    clock of the place. Where the local clock differs from that of Monta's server, the pair's
    dates are moved by the difference, because the local clock is what they are compared with.

    Args:
        text: None where nothing is stored.
        now: the clock of the place, in seconds since 1970; default: that of this machine.
    """
    if text is None:
        return None
    text = hidden(text)
    wall = time.time()
    try:
        return _pair_in(text, base_url, client_id, wall if now is None else now, wall)
    except (ValueError, OverflowError, RecursionError) as error:
        # Our own words; those of other errors may quote what was read.
        why = str(error) if isinstance(error, _RejectedError) else "it cannot be read"
    _warn_once(text, why)
    return None


def without_refresh_token(record: str | bytes) -> str | None:
    """The record as it is when a process died while it perhaps spent the refresh token.

    Its dates stay as they are. None if there is nothing to take out.
    """
    try:
        data: Any = json.loads(record, object_pairs_hook=hidden_strings)
        if data["pair"]["refresh_token"] is None:
            return None
        data["pair"].update(refresh_token=None, refresh_expires_at=None)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # rubbish, which nobody will use
    return json.dumps(data, separators=(",", ":"))


class _RejectedError(ValueError):
    pass


def _pair_in(
    text: str | bytes, base_url: str, client_id: str | None, now: float, wall: float
) -> TokenSet:
    if len(text) > LONGEST:
        raise _RejectedError("it is too long")
    parsed: Any = json.loads(text, object_pairs_hook=hidden_strings)
    data = cast("dict[str, Any]", parsed if isinstance(parsed, dict) else {})
    if data.get("schema") != _SCHEMA:
        raise _RejectedError("it is no record of this version of monta-auth")
    if data.get("base_url") != base_url or data.get("client_id") != client_id:
        raise _RejectedError("it belongs to another client or another base URL")
    saved_at, origin = _number(data.get("saved_at")), _number(data.get("origin"))
    if saved_at is None or origin is None:
        raise _RejectedError("it does not say when it was saved")
    try:
        pair = TokenSet.from_dict(data.get("pair", {}))
    except ConfigurationError:
        raise _RejectedError("its pair is incomplete") from None
    return _on_local_clock(_checked(pair, origin), wall - max(0.0, now - saved_at) - origin)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _checked(pair: TokenSet, origin: float) -> TokenSet:
    """Refuse lives that no reply would be believed either."""
    born = datetime.fromtimestamp(origin, UTC) if pair.issued_at is None else pair.issued_at
    life = pair.access_expires_at - born
    # A pair without a birth time may be one whose access token was refused: long expired.
    if life.total_seconds() > LONGEST_LIFE or (pair.issued_at is not None and life <= timedelta(0)):
        raise _RejectedError("its access token lives nonsensically long or short")
    refresh_expires = pair.refresh_expires_at
    if pair.issued_at is not None and refresh_expires is not None and refresh_expires <= born:
        return pair.__replace__(refresh_expires_at=None)
    return pair


def _on_local_clock(pair: TokenSet, seconds: float) -> TokenSet:
    """Move the dates, unless the clocks agree as it is."""
    if abs(seconds) <= CLOCKS_AGREE:
        return pair
    shift = timedelta(seconds=seconds)
    refresh_expires = pair.refresh_expires_at
    return pair.__replace__(
        access_expires_at=(
            pair.access_expires_at if is_marked_refused(pair) else pair.access_expires_at + shift
        ),
        refresh_expires_at=None if refresh_expires is None else refresh_expires + shift,
        issued_at=None if pair.issued_at is None else pair.issued_at + shift,
    )


def _warn_once(text: str | bytes, why: str) -> None:
    raw = text.encode(errors="replace") if isinstance(text, str) else text
    digest = hashlib.sha256(raw).hexdigest()
    if digest in _warned:
        return
    _warned[digest] = None
    while len(_warned) > 64:
        _warned.pop(next(iter(_warned)), None)
    logger.warning("what the token store holds is not used: %s", why)
