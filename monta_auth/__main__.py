"""``python -m monta_auth``: the command ``monta-auth``. The demo and emulator need no click."""

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
        SystemExit: the command ended with this exit status; 2 if it is unknown, with the usage on
            standard error.
    """
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="python -m monta_auth",
        usage=f"%(prog)s {' | '.join(COMMANDS)} [-h | OPTIONS]",
        description="demo: watch the clients work against a local Monta, in seconds. "
        "emulator: run that local Monta for your own tests. "
        "The other commands are those of `monta-auth`; -h after a command describes it.",
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=argparse.SUPPRESS)
    # Options after the command belong to the command.
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
