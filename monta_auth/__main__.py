"""``python -m monta_auth``: the demo, and the emulator as a command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command with these arguments (``sys.argv`` unless given); return the exit status.

    Raises:
        SystemExit: 2, with the usage on standard error, if there is no such command.
    """
    parser = argparse.ArgumentParser(
        prog="python -m monta_auth",
        usage="%(prog)s demo | emulator [--help | OPTIONS]",
        description="demo: watch the clients work against a local Monta, in seconds. "
        "emulator: run that local Monta for your own tests.",
    )
    parser.add_argument("command", choices=("demo", "emulator"), help=argparse.SUPPRESS)
    parser.add_argument("options", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.command == "demo":
        if given.options:
            parser.error("demo takes no options")
        return _demo()
    return _emulator(given.options)


def _demo() -> int:
    try:
        from . import _demo as demo
    except ImportError as error:
        return _missing("the demo", "requests,httpx,httpx2,emulator", error)
    return demo.main()


def _emulator(options: Sequence[str]) -> int:
    try:
        from .emulator import _serve as serve
    except ImportError as error:
        return _missing("the emulator", "emulator", error)
    return serve.main(options)


def _missing(what: str, extras: str, error: ImportError) -> int:
    print(
        f"For {what} something is not installed: pip install 'monta-auth[{extras}]' ({error})",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
