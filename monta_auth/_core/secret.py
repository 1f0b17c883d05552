"""Strings and bytes that hide their content: secrets, tokens, and what is made from them.

HTTP libraries can use them like other strings and bytes, but neither repr nor pickle shows them, so
requests and traceback frames do not either. SECURITY.md lists what is not protected: ``str()``,
f-strings, ``+``, ``json.dumps``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from traceback import clear_frames
from typing import Any, ClassVar, Self, SupportsIndex, TypeVar, cast

T = TypeVar("T")
S = TypeVar("S")
P = TypeVar("P")


class SecretBytes(bytes):
    """Bytes that hide their content, as do slices and copies."""

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
    """A string that hides its content, as do slices and copies."""

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
    """The value of an ``Authorization`` header, which stands for a token in this package."""

    __slots__ = ("_encoded",)
    _encoded: SecretBytes
    _shown = "Bearer [redacted]"

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> SecretBytes:
        """Return its ASCII bytes, which are the same in every encoding of headers."""
        return self._encoded


class _BearerBytes(SecretBytes):
    __slots__ = ()
    _shown = b"Bearer [redacted]"
    decode = bytes.decode  # httpx decodes several times per request, and hides the value itself


def bearer(access_token: str) -> BearerHeader:
    """Return the header for this access token."""
    header = BearerHeader("Bearer " + access_token)
    header._encoded = _BearerBytes(str.encode(header, "ascii"))
    return header


def hidden(value: T) -> T:
    """Return a string or bytes hidden; any other value unchanged.

    Functions that receive a secret call it first, so that their frames do not show it.
    """
    shown: object = value
    if isinstance(value, str) and not isinstance(value, Secret):
        shown = Secret(value)
    elif isinstance(value, bytes) and not isinstance(value, SecretBytes):
        shown = SecretBytes(value)
    return shown  # type: ignore[return-value]  # a subclass of the same


class Unfit:
    """Replaces a value of the wrong type that may contain a secret or token.

    Attributes:
        kind: the type of the value, for the error.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"<{self.kind}>"


def hidden_argument(value: T) -> T:
    """Do what `hidden` does, and replace containers, which may hold a secret, with `Unfit`."""
    return hidden(_without_container(value))


def _without_container(value: T) -> T:
    if isinstance(value, dict | list | tuple | set | bytearray):
        shown: Any = Unfit(type(value).__name__)  # pyright: ignore[reportUnknownArgumentType]
        return cast(T, shown)
    return value


def hidden_arguments(client_id: T, client_secret: S, token: P) -> tuple[T, S, P]:
    """Return these arguments hidden. A client id is no secret, unless it is a pair with one."""
    return _without_container(client_id), hidden_argument(client_secret), hidden_argument(token)


def with_hidden_secret(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return these settings with the values of `hidden_arguments` hidden."""
    hide = {
        "client_id": _without_container,
        "client_secret": hidden_argument,
        "token": hidden_argument,
    }
    return {k: hide[k](v) if k in hide else v for k, v in settings.items()}


def in_clear(value: object) -> Any:
    """Return a value, or the values of a dict, in clear text, for a pickle."""
    if isinstance(value, dict):
        settings = cast("dict[str, Any]", value)
        return {name: in_clear(entry) for name, entry in settings.items()}
    return str(value) if isinstance(value, Secret) else value


def empty_frames(error: BaseException, before: BaseException | None) -> None:
    """Clear all finished frames that this error leads to, below the caller's frame.

    Libraries make plain copies of what they send and receive. Line numbers and functions stay.

    Args:
        before: the exception that was handled when the call began; its frames stay.
    """
    for cause in causes_since(error, before):
        clear_frames(cause.__traceback__)


def causes_since(error: BaseException, before: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all its causes, without what was handled before."""
    seen: set[int] = {id(before)}
    found: list[BaseException | None] = [error]
    while found:
        cause = found.pop()
        if cause is not None and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            found += [cause.__cause__, cause.__context__, *getattr(cause, "exceptions", ())]
