"""The attributes of an `Emulator`, and their allowed values."""

import math
import time as _time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import UnionType
from typing import TYPE_CHECKING, get_args, get_origin, get_type_hints

from starlette.routing import BaseRoute


@dataclass(kw_only=True, eq=False, repr=False)
class Settings:
    """The settings, read again for each call; see `Emulator`."""

    client_id: str = ""
    client_secret: str = ""
    credentials: dict[str, str] = field(default_factory=dict[str, str])
    partner: bool = False
    reissue: bool = False
    single_use_refresh: bool = True
    rotation_revokes: bool = False
    access_lifetime: float = 3600.0
    refresh_lifetime: float | None = None
    clock_offset: float = 0.0
    latency: float = 0.0
    quota: int | None = None
    quota_window: float = 60.0
    send_retry_after: bool = False
    null_keys: bool = True
    send_date: bool = True
    routes: Sequence[BaseRoute] = ()
    time: Callable[[], float] = field(default=_time.time)
    host: str = "127.0.0.1"
    port: int = 0

    if not TYPE_CHECKING:  # pragma: no branch - or type checkers would accept any name

        def __setattr__(self, name: str, value: object) -> None:
            if name in ("client_id", "client_secret") and value in (None, ""):
                value = str(uuid.uuid4())
            if not name.startswith("_"):
                _check(name, value)
            super().__setattr__(name, value)


_HINTS = get_type_hints(Settings)


def _check(name: str, value: object) -> None:
    """Raise if the attribute or its value cannot be; `Server` checks the host."""
    if name not in _HINTS:
        raise AttributeError(f"an Emulator has no attribute {name!r}")
    hint = _HINTS[name]
    kinds = get_args(hint) if get_origin(hint) is UnionType else (get_origin(hint) or hint,)
    fits = isinstance(value, (*kinds, int) if float in kinds else kinds)
    if isinstance(value, int | float) and bool not in kinds:
        fits &= math.isfinite(value) and (value >= 0 or name == "clock_offset")
        fits &= not isinstance(value, bool)
    if not fits:
        what = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(f"{name} must be {what}, and if it is a number, finite and 0 or more")
