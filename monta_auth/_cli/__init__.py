"""The command ``monta-auth``. Nothing but ``main`` and `plain` works without the extra ``cli``.

An entry point: it may use anything, and nothing uses it. The commands are in `group`, what each of
them does in a module of its own; what it knows of tokens is the library's.
"""

from __future__ import annotations

from collections.abc import Sequence

from .plain import missing


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command with these arguments (``sys.argv`` unless given).

    Returns 1, with a sentence on standard error, if click is not installed.

    Raises:
        SystemExit: the command has ended, with this exit status.
    """
    try:
        from .group import cli
    except ImportError as error:
        return missing("monta-auth", "cli", error)
    cli.main(args=None if argv is None else [*argv], prog_name="monta-auth")
