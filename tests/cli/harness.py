"""What the tests of the command line have in common."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from typing import NamedTuple


class Done(NamedTuple):
    """A command that has ended."""

    code: object
    out: str
    err: str = ""


#: The command, wherever the package is installed.
MONTA_AUTH = (sys.executable, "-m", "monta_auth")


def at_a_terminal(
    *command: str,
    columns: int = 80,
    types: tuple[tuple[str, str], ...] = (),
    environment: Mapping[str, str] | None = None,
) -> Done:
    """Run a command at a separate terminal. Its error output is part of its output.

    Args:
        types: what the user answers to which prompt. The prompt's last space is part of it, since
            getpass discards everything that was typed earlier.
    """
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    terminal = {"TERM": "xterm", "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(
        command,
        env=os.environ | terminal | dict(environment or {}),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        # Without a controlling terminal, so that getpass uses this one and not the developer's.
        start_new_session=True,
    ) as process:
        os.close(slave)
        shown, waiting = b"", [*types]
        try:
            while part := os.read(master, 4096):
                shown += part
                if waiting and shown.endswith(waiting[0][0].encode()):
                    os.write(master, waiting.pop(0)[1].encode() + b"\n")
        except OSError:  # on Linux, the end of a terminal is an error
            pass
        finally:
            os.close(master)
    return Done(process.returncode, shown.decode().replace("\r\n", "\n"))


def plain(text: str) -> str:
    """Return the text without its colors."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
