"""Strings and bytes that must not be seen: secrets, tokens, and what is made of them.

They are strings and bytes as HTTP libraries want them, but neither their repr nor their pickle
shows them: requests and the frames of a traceback are full of them. What is not protected stands
in SECURITY.md: ``str()``, f-strings, ``+``, ``json.dumps``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from traceback import clear_frames
from typing import Any, ClassVar, Self, SupportsIndex, TypeVar, cast

T = TypeVar("T")


class SecretBytes(bytes):
    """Bytes that show nothing; a slice or a copy is again of this kind."""

    __slots__ = ()
    _shown: ClassVar[bytes] = b"[redacted]"

    def __getitem__(self, key: slice | SupportsIndex) -> bytes | int:  # type: ignore[override]
        part = super().__getitem__(key)
        return SecretBytes(part) if isinstance(part, bytes) else part

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return Secret(super().decode(encoding, errors))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __repr__(self) -> str:
        return repr(self._shown)

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[type[bytes], tuple[bytes]]:
        return bytes, (self._shown,)


class Secret(str):
    """A string that shows nothing; a slice or a copy is again of this kind."""

    __slots__ = ()
    _shown: ClassVar[str] = "[redacted]"

    def __getitem__(self, key: slice | SupportsIndex) -> Secret:
        return Secret(super().__getitem__(key))

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> SecretBytes:
        return SecretBytes(super().encode(encoding, errors))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __repr__(self) -> str:
        return repr(self._shown)

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[type[str], tuple[str]]:
        return str, (self._shown,)


class BearerHeader(Secret):
    """The value of an ``Authorization`` header, which names a token throughout the package."""

    __slots__ = ("_encoded",)
    _encoded: SecretBytes
    _shown = "Bearer [redacted]"

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> SecretBytes:
        """Return its ASCII bytes; every encoding that headers are sent in agrees on those."""
        return self._encoded


class _BearerBytes(SecretBytes):
    __slots__ = ()
    _shown = b"Bearer [redacted]"
    decode = bytes.decode  # httpx does so several times in each request, and hides it itself


def bearer(access_token: str) -> BearerHeader:
    """Return the header that carries this access token."""
    header = BearerHeader("Bearer " + access_token)
    header._encoded = _BearerBytes(str.encode(header, "ascii"))
    return header


def hidden(value: T) -> T:
    """Return a string or bytes that show nothing; anything else is returned as it is.

    The first line of each function that is handed a secret: its frame must not show it.
    """
    shown: object = value
    if isinstance(value, str) and not isinstance(value, Secret):
        shown = Secret(value)
    elif isinstance(value, bytes) and not isinstance(value, SecretBytes):
        shown = SecretBytes(value)
    return shown  # type: ignore[return-value]  # a subclass of the same


class Unfit:
    """Stands for what was passed in the place of a secret or of a token pair, and may hold one.

    Attributes:
        kind: its type, for the error.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"<{self.kind}>"


def hidden_argument(value: T) -> T:
    """As `hidden`; a container in the place of a secret may hold one, and becomes an `Unfit`."""
    if isinstance(value, dict | list | tuple | set | bytearray):
        shown: Any = Unfit(type(value).__name__)  # pyright: ignore[reportUnknownArgumentType]
        return cast(T, shown)
    return hidden(value)


def with_hidden_secret(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return these arguments, with a client secret and a token pair that do not show."""
    names = ("client_secret", "token")
    return {k: hidden_argument(v) if k in names else v for k, v in settings.items()}


def in_clear(value: object) -> Any:
    """Return a value, or all those of a dict, as a pickle holds them: that is what it is for."""
    if isinstance(value, dict):
        settings = cast("dict[str, Any]", value)
        return {name: in_clear(entry) for name, entry in settings.items()}
    return str(value) if isinstance(value, Secret) else value


def empty_frames(error: BaseException, before: BaseException | None) -> None:
    """Empty all frames that this error leads to and that have ended: those below the caller's.

    Libraries make plain copies of what they send and receive. Lines and functions still show.

    Args:
        before: what was handled when the call began: how that came about is the caller's.
    """
    for cause in causes_since(error, before):
        clear_frames(cause.__traceback__)


def causes_since(error: BaseException, before: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all that it leads to, without what was handled before."""
    seen: set[int] = {id(before)}
    found: list[BaseException | None] = [error]
    while found:
        cause = found.pop()
        if cause is not None and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            found += [cause.__cause__, cause.__context__, *getattr(cause, "exceptions", ())]
