"""Client id and secret: from arguments, the environment, or a callable at each mint."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Awaitable, Callable

from .errors import ConfigurationError
from .secret import Unfit, hidden, hidden_argument, hidden_arguments

#: A client secret, or a callable that returns it and is called for each fetch. It may be a
#: coroutine function if only async clients use it.
ClientSecret = str | Callable[[], str] | Callable[[], Awaitable[str]]


class Credentials:
    """Hold a client id and the source of its secret. Its repr shows no secret.

    Raises:
        ConfigurationError: one of the two is missing, empty, quoted, or has an invisible
            character.
    """

    __slots__ = ("client_id", "secret")

    def __init__(self, client_id: str, secret: ClientSecret) -> None:
        client_id, secret, _ = hidden_arguments(client_id, secret, None)
        self.client_id = _checked(client_id, "client_id", "MONTA_CLIENT_ID")
        self.secret = secret
        if not callable(secret):
            self.secret = _checked(secret, "client_secret", "MONTA_CLIENT_SECRET")

    @property
    def literal_secret(self) -> str | None:
        """Return the secret, or None if a callable provides it."""
        return self.secret if isinstance(self.secret, str) else None

    def digest(self, secret: str) -> str:
        """Return a digest of this client id and secret, to remember them without the secret."""
        return hashlib.sha256(f"{self.client_id}\0{secret}".encode()).hexdigest()

    def __repr__(self) -> str:
        return f"Credentials({self.client_id!r}, <secret>)"


def shortened(client_id: str) -> str:
    """Return enough of a client id to recognize it in errors and logs.

    If the user swapped client id and secret, it is the secret.
    """
    return client_id if len(client_id) <= 12 else f"{client_id[:8]}..."


def find_credentials(client_id: str | None, secret: ClientSecret | None) -> Credentials | None:
    """Return credentials from the arguments or the environment, or None if there are none.

    An empty variable counts as not set.

    Raises:
        ConfigurationError: client id or secret is missing or unusable, or the secret in the
            environment belongs to another client id.
    """
    client_id, secret, _ = hidden_arguments(client_id, secret, None)
    if client_id is not None:
        client_id = _checked(client_id, "client_id", "MONTA_CLIENT_ID")
    known_id = os.environ.get("MONTA_CLIENT_ID") or None
    if secret is None:
        secret = hidden(os.environ.get("MONTA_CLIENT_SECRET")) or None
        if secret and client_id and known_id and client_id != known_id:
            passed, known = shortened(client_id), shortened(known_id)
            raise ConfigurationError(
                f"client_id={passed!r} was passed, but MONTA_CLIENT_SECRET belongs to "
                f"MONTA_CLIENT_ID={known!r}: pass client_secret= too, or leave client_id= out"
            )
    if client_id is None:
        client_id = known_id
    if client_id is None and secret is None:
        return None
    if client_id is None:
        raise ConfigurationError(missing("client_id", "MONTA_CLIENT_ID"))
    if secret is None:
        raise ConfigurationError(missing("client_secret", "MONTA_CLIENT_SECRET"))
    return Credentials(client_id, secret)


def missing(argument: str, variable: str) -> str:
    return f"no {argument}: pass {argument}= or set the environment variable {variable}"


def returned_secret(secret: object) -> str:
    """Return the result of a callable secret.

    Raises:
        ConfigurationError: it cannot be a secret.
    """
    return _checked(hidden_argument(secret), "the result of the callable client_secret")


def _checked(value: object, name: str, variable: str | None = None) -> str:
    """Return the value of an argument, or the result of a callable (which has no variable)."""
    takes, end = "a string", ""
    if variable is not None:
        takes += ", or a function that returns one" if name == "client_secret" else ""
        end = f" (argument {name} or environment variable {variable})"
    if hasattr(value, "get_secret_value"):  # pydantic's SecretStr
        raise ConfigurationError(f"{name} must be {takes}: pass its .get_secret_value()")
    if not isinstance(value, str):
        kind = value.kind if isinstance(value, Unfit) else type(value).__name__
        kind = "bytes" if isinstance(value, bytes) else kind
        is_pair = name == "client_id" and isinstance(value, Unfit)
        advice = ": write MontaAuth(client_id, client_secret)" if is_pair else ""
        raise ConfigurationError(f"{name} must be {takes}, not {kind}{advice}")
    if not value:
        advice = f": pass {name}= or set {variable}" if variable is not None else ""
        raise ConfigurationError(f"{name} is empty{advice}")
    position = _misplaced(value)
    if position is not None:
        is_quoted = len(value) > 1 and (value[position], value[-1]) in _QUOTES
        raise ConfigurationError(
            f"{name} has {_name(value[position])} at position {position + 1}, probably from "
            f"copying: remove {'both quotes' if is_quoted else 'it'}{end}"
        )
    return value


def _misplaced(value: str) -> int | None:
    """Return the position of a character that is invisible, or a surrounding quote or space."""
    unseen = _UNSEEN.search(value)
    if unseen is not None or not value.isprintable():
        found = (i for i, char in enumerate(value) if not char.isprintable())
        return next(found) if unseen is None else unseen.start()
    if value[0].isspace() or (len(value) > 1 and (value[0], value[-1]) in _QUOTES):
        return 0
    return len(value) - 1 if value[-1].isspace() else None


#: Invisible characters that Python counts as printable: fillers and variation selectors.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
#: Pairs of opening and closing quotes, including typographic ones.
_QUOTES = {
    *zip("\"'`\u201c\u2018\xab\u201e", "\"'`\u201d\u2019\xbb\u201c", strict=True),
}

#: Unicode has no names for control characters.
_CONTROLS = {"\n": "LINE FEED", "\r": "CARRIAGE RETURN", "\t": "TAB", "\0": "NULL"}


def _name(char: str) -> str:
    from unicodedata import name  # imported here, because only errors need it

    return f"U+{ord(char):04X} {name(char, _CONTROLS.get(char, ''))}".rstrip()
