"""The command ``monta-auth``. Without the extra ``cli``, only `main` and `plain` work.

This is an entry point: it may import anything, and only entry points import it. `group` has the
commands and their options; larger commands have a separate module.
"""

from __future__ import annotations

from collections.abc import Sequence

from .plain import missing


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command with these arguments (default: ``sys.argv``).

    Return 1, with a sentence on standard error, if click is not installed.

    Raises:
        SystemExit: the command ended with this exit status.
    """
    try:
        from .group import cli
    except ImportError as error:
        return missing("monta-auth", "cli", error)
    cli.main(args=None if argv is None else [*argv], prog_name="monta-auth")
