"""The two commands that do not need the extra ``cli``: the demo and the emulator."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def demo() -> int:
    """Run the demo; return the exit status."""
    try:
        from . import demo
    except ImportError as error:
        return missing("The demo", "requests,httpx,httpx2,emulator", error)
    try:
        return demo.main()
    except BrokenPipeError:
        # The reader closed the pipe, as `head` does. Without this, Python complains at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def emulator(options: Sequence[str]) -> int:
    """Serve the emulator until Ctrl-C; return the exit status."""
    try:
        from . import serve
    except ImportError as error:
        return missing("The emulator", "emulator", error)
    return serve.main(options)


def missing(what: str, extras: str, error: ImportError) -> int:
    """Print on standard error what to install; return the exit status."""
    cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
    sys.stderr.write(
        f"{what} needs {cause.name}, which is not installed: pip install 'monta-auth[{extras}]'\n"
    )
    return 1
