"""``python -m monta_auth``: the demo, and the emulator as a command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command with these arguments (``sys.argv`` unless given); return the exit status.

    Raises:
        SystemExit: 2, with the usage on standard error, if there is no such command.
    """
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="python -m monta_auth",
        usage="%(prog)s demo | emulator [--help | OPTIONS]",
        description="demo: watch the clients work against a local Monta, in seconds. "
        "emulator: run that local Monta for your own tests.",
    )
    parser.add_argument(
        "command", choices=("demo", "emulator"), metavar="demo | emulator", help=argparse.SUPPRESS
    )
    # What stands behind the command is the command's own.
    command, options = parser.parse_args(arguments[:1]).command, arguments[1:]
    if command == "emulator":
        return _emulator(options)
    if options:
        parser.error("demo takes no options")
    return _demo()


def _demo() -> int:
    try:
        from . import _demo as demo
    except ImportError as error:
        return _missing("The demo", "requests,httpx,httpx2,emulator", error)
    try:
        return demo.main()
    except BrokenPipeError:
        # Whoever read has gone, as `head` does; the interpreter would complain while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _emulator(options: Sequence[str]) -> int:
    try:
        from .emulator import _serve as serve
    except ImportError as error:
        return _missing("The emulator", "emulator", error)
    return serve.main(options)


def _missing(what: str, extras: str, error: ImportError) -> int:
    cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
    print(
        f"{what} needs {cause.name}, which is not installed: pip install 'monta-auth[{extras}]'",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
