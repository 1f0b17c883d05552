"""Why a store failed, in words that can be logged: never an error's own text.

That text may quote what was read or sent. Names of errors and lines of code quote nothing.
"""

from __future__ import annotations

import errno
import re
import socket
import traceback

from .errors import causes

#: A Redis server begins its errors with such a word.
_WORD = re.compile(r"[A-Z]{3,20}(?= |$)")


def cause_of(error: BaseException) -> str:
    """Return the kind of an error and, in parentheses, the errno or the error word behind it."""
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
        # OpenSSL's errors have a reason, and an errno that is a number of its own.
        reason = getattr(error, "reason", None)
        return reason or errno.errorcode.get(error.errno or 0)
    word = _WORD.match(str(error)) if "redis" in type(error).__module__ else None
    return word[0] if word is not None else None


def line_of(error: BaseException, file: str | None) -> str:
    """Return where an error was raised, as ``file:line``.

    Args:
        file: of the code that was called: the last line in there says more to its author than one
            of a library. Without such a line, the last of all.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == file]
    last = (own or frames)[-1]
    return f"{last.filename}:{last.lineno}"
