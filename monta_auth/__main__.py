"""``python -m monta_auth``: the command ``monta-auth``; its demo and its emulator need no click."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ._cli import main as cli
from ._cli import plain

COMMANDS = ("demo", "emulator", "doctor", "login", "logout", "me", "status", "token")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command with these arguments (``sys.argv`` unless given); return the exit status.

    Raises:
        SystemExit: 2, with the usage on standard error, if there is no such command; or the
            command itself has ended.
    """
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="python -m monta_auth",
        usage=f"%(prog)s {' | '.join(COMMANDS)} [-h | OPTIONS]",
        description="demo: watch the clients work against a local Monta, in seconds. "
        "emulator: run that local Monta for your own tests. "
        "The others are those of `monta-auth`; -h after one of them describes it.",
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=argparse.SUPPRESS)
    # What stands behind the command is the command's own.
    command, options = parser.parse_args(arguments[:1]).command, arguments[1:]
    if command == "emulator":
        return plain.emulator(options)
    if command != "demo":
        return cli(arguments)
    if [*options] in (["-h"], ["--help"]):
        parser.print_help()
        return 0
    if options:
        parser.error("demo takes no options")
    return plain.demo()


if __name__ == "__main__":
    sys.exit(main())
