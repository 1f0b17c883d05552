"""Credentials in the system keyring: one entry per profile, in JSON."""

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
_NO_LOGIN = "use MONTA_CLIENT_ID and MONTA_CLIENT_SECRET instead of a login"
_NO_KEYRING = "this system has no keyring"


def load(profile: str, *, is_named: bool) -> dict[str, str] | None:
    """Return the `FIELDS` of a profile, or None if it does not exist.

    Args:
        is_named: whether the user named the profile. If not, the environment has no credentials.
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
            f"the entry of profile {profile!r} in the keyring cannot be read",
            "log in again",
            CREDENTIALS,
        ) from None


def backends(profile: str, *, allow_plaintext: bool) -> list[Any]:
    """Return the backends that work and are allowed, the preferred one first.

    This looks up the profile in each, to find out now whether a backend is missing or locked.

    Args:
        allow_plaintext: whether a backend may store secrets in plain text.

    Raises:
        Failed: no backend can be used.
    """
    with _keyring() as keyring:
        from keyring.backends.chainer import ChainerBackend

        chosen = keyring.get_keyring()
        all_of_them = chosen.backends if isinstance(chosen, ChainerBackend) else [chosen]
    allowed = [each for each in all_of_them if allow_plaintext or not _stores_plaintext(each)]
    if not allowed:
        raise Failed(
            f"the keyring {_name_of(chosen)} stores secrets in plain text",
            f"install or unlock the keyring of your system, {_INSTEAD}, or use --allow-plaintext",
        )
    if type(chosen).__module__ == "keyring.backends.null":
        raise Failed(
            "the keyring is turned off (keyring --disable, or PYTHON_KEYRING_BACKEND)",
            f"turn it on (`keyring diagnose` names its files), or {_NO_LOGIN}",
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
        return True  # one of them encrypts, but asks for a password each time
    if module in ("keyring.backends.fail", "keyring.backends.null"):
        return False  # these store nothing
    try:
        # keyring recommends backends with a priority of 1 or more.
        return bool(backend.priority < 1)
    except Exception:
        return False  # it does not work here, and says why when it is used


def _name_of(backend: Any) -> str:
    """Return the name of a backend, as ``PYTHON_KEYRING_BACKEND`` takes it."""
    kind = cast("type[object]", type(backend))
    return f"{kind.__module__}.{kind.__qualname__}"


def save(profile: str, allowed: list[Any], **fields: str) -> str:
    """Store a profile, replacing one with the same name; return the name of the backend used."""
    text = json.dumps(fields)
    for backend in allowed:
        with _keyring() as keyring, suppress(NotImplementedError):  # some are read-only
            backend.set_password(SERVICE, profile, text)
            # Some backends accept everything and store nothing.
            if keyring.get_password(SERVICE, profile) == text:
                return _name_of(backend)
            break
    raise Failed("the keyring of this system does not store the credentials", _INSTEAD)


def delete(profile: str) -> None:
    """Delete a profile from the keyring."""
    with _keyring() as keyring:
        keyring.delete_password(SERVICE, profile)


@contextmanager
def _keyring(
    missing: str = _NO_KEYRING,
    advice: str = f"install or unlock the keyring of your system, or {_NO_LOGIN}",
) -> Generator[ModuleType, None, None]:
    import keyring
    from keyring.errors import NoKeyringError

    try:
        yield keyring
    except NoKeyringError:
        raise Failed(missing, advice, CREDENTIALS) from None
    except Exception as error:  # of keyring, or any that a backend raises
        homeless = os.path.expanduser("~") == "~"  # noqa: PTH111 - Path would raise
        if homeless and isinstance(error, RuntimeError):
            nowhere = "there is no home directory, where the keyring has its settings"
            raise Failed(nowhere, "set HOME", CREDENTIALS) from None
        raise Failed(
            f"the system keyring cannot be used ({type(error).__name__})",
            f"unlock it, or {_INSTEAD}",
            CREDENTIALS,
        ) from None
