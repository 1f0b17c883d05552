"""Credentials in the system keyring: one entry for each profile, all of it in JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any, cast

from .failures import CREDENTIALS, Failed

SERVICE = "monta-auth"
FIELDS = ("client_id", "client_secret", "base_url")
_INSTEAD = "set MONTA_CLIENT_ID and MONTA_CLIENT_SECRET"
_IN_PLACE = "use MONTA_CLIENT_ID and MONTA_CLIENT_SECRET in place of a login"
_NO_KEYRING = "this system has no keyring"


def load(profile: str, *, is_named: bool) -> dict[str, str] | None:
    """Return the `FIELDS` of a profile, or None if there is none of this name.

    Args:
        is_named: whether the user named it; else it is what is left after the environment.
    """
    nothing = f"there are no credentials in the environment, and {_NO_KEYRING}"
    with _keyring() if is_named else _keyring(nothing, _INSTEAD) as keyring:
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


def backends(profile: str, *, allow_plaintext: bool) -> list[Any]:
    """Return the backends that work here and may hold a profile, the preferred one first.

    Each is asked for the profile, so that one that is missing or locked says so now.

    Args:
        allow_plaintext: also those that store secrets where a copy of the disk shows them.

    Raises:
        Failed: there are none.
    """
    with _keyring() as keyring:
        from keyring.backends.chainer import ChainerBackend

        chosen = keyring.get_keyring()
        all_of_them = chosen.backends if isinstance(chosen, ChainerBackend) else [chosen]
    allowed = [each for each in all_of_them if allow_plaintext or not _stores_plaintext(each)]
    if not allowed:
        raise Failed(
            f"the keyring {_name_of(chosen)} stores secrets in plain text",
            f"install or unlock the keyring of your system, {_INSTEAD}, or --allow-plaintext",
        )
    if type(chosen).__module__ == "keyring.backends.null":
        raise Failed(
            "the keyring is turned off (keyring --disable, or PYTHON_KEYRING_BACKEND)",
            f"turn it on (`keyring diagnose` names its files), or {_IN_PLACE}",
        )
    usable: list[Any] = []
    failures: list[Failed] = []
    for backend in allowed:
        try:
            with _keyring():
                backend.get_password(SERVICE, profile)
            usable.append(backend)
        except Failed as failure:
            failures.append(failure)
    if not usable:
        raise failures[0]
    return usable


def _stores_plaintext(backend: Any) -> bool:
    module = type(backend).__module__
    if module.startswith("keyrings.alt."):
        return True  # One of them encrypts, with a password that it asks for each time.
    if module in ("keyring.backends.fail", "keyring.backends.null"):
        return False  # They store nothing.
    try:
        # What keyring itself does not recommend.
        return bool(backend.priority < 1)
    except Exception:
        return False  # It does not work here, and says why when it is used.


def _name_of(backend: Any) -> str:
    """Return the name by which ``PYTHON_KEYRING_BACKEND`` selects a backend."""
    kind = cast("type[object]", type(backend))
    return f"{kind.__module__}.{kind.__qualname__}"


def save(profile: str, allowed: list[Any], **fields: str) -> str:
    """Put a profile into the keyring, in place of another of its name.

    Returns:
        The name of the backend that keeps it.
    """
    text = json.dumps(fields)
    for backend in allowed:
        with _keyring() as keyring, suppress(NotImplementedError):  # some can only be read
            backend.set_password(SERVICE, profile, text)
            # There is a backend that takes everything and keeps nothing.
            if keyring.get_password(SERVICE, profile) == text:
                return _name_of(backend)
            break
    raise Failed("the keyring of this system does not keep what it is given", _INSTEAD)


def delete(profile: str) -> None:
    """Take a profile out of the keyring."""
    with _keyring() as keyring:
        keyring.delete_password(SERVICE, profile)


@contextmanager
def _keyring(
    missing: str = _NO_KEYRING,
    advice: str = f"install or unlock the keyring of your system, or {_IN_PLACE}",
) -> Generator[ModuleType, None, None]:
    import keyring
    from keyring.errors import NoKeyringError

    try:
        yield keyring
    except NoKeyringError:
        raise Failed(missing, advice, CREDENTIALS) from None
    except Exception as error:  # of keyring's own, or whatever the backend is built on
        homeless = os.path.expanduser("~") == "~"  # noqa: PTH111 - Path would raise
        if homeless and isinstance(error, RuntimeError):
            nowhere = "there is no home directory, where the keyring has its settings"
            raise Failed(nowhere, "set HOME", CREDENTIALS) from None
        raise Failed(
            f"the system keyring refuses ({type(error).__name__})",
            f"unlock it, or {_INSTEAD}",
            CREDENTIALS,
        ) from None
