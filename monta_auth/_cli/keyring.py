"""Credentials in the system keyring: one entry for each profile, all of it in JSON."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType

from .failures import CREDENTIALS, Failed

SERVICE = "monta-auth"
FIELDS = ("client_id", "client_secret", "base_url")
_INSTEAD = "set MONTA_CLIENT_ID and MONTA_CLIENT_SECRET"


def load(profile: str) -> dict[str, str] | None:
    """Return the `FIELDS` of a profile, or None if there is none of this name."""
    with _keyring() as keyring:
        text = keyring.get_password(SERVICE, profile)
    if text is None:
        return None
    try:
        data = json.loads(text)
        return {name: str(data[name]) for name in FIELDS}
    except (ValueError, KeyError, TypeError):
        raise Failed(
            f"what the keyring holds for profile {profile!r} cannot be read",
            "log in again",
            CREDENTIALS,
        ) from None


def save(profile: str, **fields: str) -> None:
    """Put a profile into the keyring, in place of another of its name."""
    text = json.dumps(fields)
    with _keyring() as keyring:
        keyring.set_password(SERVICE, profile, text)
        kept = keyring.get_password(SERVICE, profile)
    # There is a backend that takes everything and keeps nothing.
    if kept != text:
        raise Failed("the keyring of this system does not keep what it is given", _INSTEAD)


def delete(profile: str) -> None:
    """Take a profile out of the keyring."""
    with _keyring() as keyring:
        keyring.delete_password(SERVICE, profile)


@contextmanager
def _keyring() -> Generator[ModuleType, None, None]:
    import keyring
    from keyring.errors import KeyringError, NoKeyringError

    try:
        yield keyring
    except NoKeyringError:
        raise Failed(
            "there are no credentials in the environment, and this system has no keyring",
            _INSTEAD,
            CREDENTIALS,
        ) from None
    except KeyringError as error:
        raise Failed(
            f"the system keyring refuses ({type(error).__name__})",
            f"unlock it, or {_INSTEAD}",
            CREDENTIALS,
        ) from None
