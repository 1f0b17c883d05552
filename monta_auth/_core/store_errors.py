"""Why a store or another function failed, in words that are safe to log: never an error's own text.

That text may quote what was read or sent. The type of an error and its line of code quote nothing.
"""

from __future__ import annotations

import errno
import re
import socket
import traceback
from typing import Any

from .errors import (
    ConfigurationError,
    LeftBehind,
    MontaAuthError,
    TokenStoreError,
    causes,
    thread_of,
)
from .sealing import require_cryptography

#: Errors of a Redis server start with such a word. In version 6, the line of a script comes first.
_WORD = re.compile(r"(?:^|@user_script: ?\d+: -?)([A-Z]{3,20})(?= |$)")

KEPT_TOO_LONG = "another process has kept its lease for too long"


def cause_of(error: BaseException) -> str:
    """Return the type of an error and, in parentheses, the errno or error word that caused it."""
    kind = type(error).__qualname__
    for cause in causes(error):
        detail = _detail(cause)
        if detail is not None:
            return f"{kind} ({detail})"
    return kind


def _detail(error: BaseException) -> str | None:
    if isinstance(error, OSError):
        if isinstance(error, socket.gaierror):
            names = (name for name in dir(socket) if name.startswith("EAI_"))
            return next((name for name in names if getattr(socket, name) == error.errno), None)
        # OpenSSL's errors have a reason, and their errno is not one of the system's.
        reason = getattr(error, "reason", None)
        return reason or errno.errorcode.get(error.errno or 0)
    library = type(error).__module__.partition(".")[0]
    word = _WORD.search(str(error)) if library in ("redis", "valkey") else None
    return word[1] if word is not None else None


def line_of(error: BaseException, file: str | None) -> str:
    """Return where an error was raised, as ``file:line``.

    Args:
        file: the file of the called function. Its author learns more from its last line in the
            traceback than from a line of a library. Without such a line, the last of all.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == file]
    last = (own or frames)[-1]
    return f"{last.filename}:{last.lineno}"


_EXPECTED = {
    "load": "bytes, or None",
    "try_lock": "a lease with doubt (True or False), extend() and release(), or None",
    "extend": "True or False",
}


def check_store(store: object) -> None:
    """Check that this can be a store, and that records can be encrypted for it.

    Raises:
        ConfigurationError: it is not a store.
        ImportError: a package is missing.
    """
    methods = ("load", "try_lock", "save")
    missing = [name for name in methods if not callable(getattr(store, name, None))]
    if isinstance(store, type):
        kind = f"the class {store.__name__}"
    elif not missing:
        return require_cryptography()
    elif len(missing) < len(methods):
        raise ConfigurationError(
            f"store= needs the methods of monta_auth.stores.Store: {type(store).__name__} has no "
            f"{' and no '.join(missing)}"
        )
    else:
        kind = type(store).__name__
    raise ConfigurationError(
        "store= takes a store of monta_auth.stores, such as FileStore('/var/lib/my-app/monta'), "
        f"not {kind}"
    )


def checked(operation: str, value: Any) -> Any:
    """Return the result of a method of a store or lease, if it is valid.

    Raises:
        TokenStoreError: the result is not what the protocol requires.
    """
    if operation == "load":
        is_right = value is None or isinstance(value, bytes)
    elif operation == "try_lock":
        names = ("extend", "release")
        is_lease = all(callable(getattr(value, name, None)) for name in names)
        is_right = value is None or (is_lease and isinstance(value.doubt, int))
    else:
        is_right = operation != "extend" or isinstance(value, bool)
    if is_right:
        return value
    kind = "str" if isinstance(value, str) else type(value).__qualname__  # It may be a `Secret`.
    raise TokenStoreError(
        f"{operation}() of the store returned {kind}: expected {_EXPECTED[operation]}"
    )


def is_timeout(error: BaseException) -> bool:
    """Return whether a time limit caused an error, of any library."""
    return any(
        isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__
        for cause in causes(error)
    )


def _is_ours(error: BaseException) -> bool:
    """Return whether our own code raised it."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals.get("__name__")).startswith("monta_auth.")


def words(operation: str, function: Any, error: Exception) -> str:
    """Describe what happened in a method of a store, for a log and for an error."""
    if isinstance(error, MontaAuthError) and _is_ours(error):
        return str(error)  # Our own texts are safe, and say what to do.
    file = _file_of(function)
    if isinstance(error, TypeError) and file and not line_of(error, file).startswith(f"{file}:"):
        return f"{operation}() does not take the arguments that monta_auth.stores.Store names"
    return f"{operation}() {raised(function, error)}"


def raised(function: Any, error: Exception) -> str:
    """Describe the failure of a user's function, without the text of its exception."""
    if isinstance(error, LeftBehind):
        return str(error)
    return f"raised {cause_of(error)} at {line_of(error, _file_of(function))}{thread_of(error)}"


def _file_of(function: Any) -> str | None:
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return getattr(getattr(function, "__code__", None), "co_filename", None)
