"""Client id and client secret: given, from the environment, or asked for at every mint."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable

from .errors import ConfigurationError

#: A client secret, or a callable that is asked for it at every mint (it may be a coroutine
#: function where only async clients use it).
ClientSecret = str | Callable[[], str] | Callable[[], Awaitable[str]]


class Credentials:
    """A client id and where its secret comes from. Its repr shows no secret.

    Raises:
        ConfigurationError: one of the two is missing, empty, or has white space at an edge.
    """

    __slots__ = ("client_id", "secret")

    def __init__(self, client_id: str, secret: ClientSecret) -> None:
        self.client_id = _checked(client_id, "client_id", "MONTA_CLIENT_ID")
        self.secret = secret if callable(secret) else checked_secret(secret)

    @property
    def literal_secret(self) -> str | None:
        """The secret itself, or None if it is asked for at every mint."""
        return self.secret if isinstance(self.secret, str) else None

    def digest(self, secret: str) -> str:
        """What this client id and secret are remembered by, so that no secret is."""
        return hashlib.sha256(f"{self.client_id}\0{secret}".encode()).hexdigest()

    def __repr__(self) -> str:
        return f"Credentials({self.client_id!r}, <secret>)"


def find_credentials(client_id: str | None, secret: ClientSecret | None) -> Credentials | None:
    """Return credentials from the arguments or the environment; None if there are none at all.

    Raises:
        ConfigurationError: only one of the two is there, or one is unusable.
    """
    if client_id is None:
        client_id = os.environ.get("MONTA_CLIENT_ID")
    if secret is None:
        secret = os.environ.get("MONTA_CLIENT_SECRET")
    if client_id is None and secret is None:
        return None
    if client_id is None:
        raise ConfigurationError(missing("client_id", "MONTA_CLIENT_ID"))
    if secret is None:
        raise ConfigurationError(missing("client_secret", "MONTA_CLIENT_SECRET"))
    return Credentials(client_id, secret)


def missing(argument: str, variable: str) -> str:
    return f"no {argument}: pass {argument}= or set the environment variable {variable}"


def checked_secret(secret: object) -> str:
    return _checked(secret, "client_secret", "MONTA_CLIENT_SECRET")


def _checked(value: object, argument: str, variable: str) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f"{argument} must be a string, not {type(value).__name__}")
    if not value:
        raise ConfigurationError(f"{argument} is empty: pass {argument}= or set {variable}")
    if value != value.strip():
        raise ConfigurationError(
            f"{argument} has white space at an edge, as after copying: remove it "
            f"(argument {argument} or environment variable {variable})"
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"{argument} is no valid text (in {variable}?)") from None
    return value
