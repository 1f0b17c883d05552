"""The emulator as a command: ``python -m monta_auth emulator``."""

import argparse
import errno
import logging
import os
import shlex
import sys
import time
from collections.abc import Sequence

from ..emulator import Emulator

_LOGGER = "monta_auth.emulator"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m monta_auth emulator",
        description="Serve a local Monta for tests, on 127.0.0.1, until Ctrl-C.",
        epilog="The client secret comes from MONTA_CLIENT_SECRET, or is random and printed.",
    )
    option = parser.add_argument
    option("--client-id", help="default: random")
    option("--port", type=_port, default=0, help="default: a free port")
    option("--partner", action="store_true", help="emulate the Partner API")
    option("--quota", type=int, metavar="CALLS", help="per window; default: no limit")
    for name, default, text in (
        *(("quota-window", 60.0, None), ("access-lifetime", 3600.0, None)),
        ("refresh-lifetime", None, "default: 30 days, with --partner 24 h"),
        ("clock-offset", 0.0, "how far the server's clock is ahead"),
        ("latency", 0.0, "before each reply"),
    ):
        option(f"--{name}", type=float, default=default, metavar="SECONDS", help=text)
    return parser


def _port(text: str) -> int:
    if text.isdecimal() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(
        f"{text!r} is not a port: give a number from 1 to 65535, or 0 for a free port"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (default: ``sys.argv``).

    Returns:
        The exit status: 0, or 1 with a message on standard error if the port cannot be used.
    """
    parser = _parser()
    options = vars(parser.parse_args(argv))
    given = os.environ.get("MONTA_CLIENT_SECRET") or None
    try:
        monta = Emulator(client_secret=given or "", **options)
    except ValueError as error:
        parser.error(str(error))
    try:
        monta.start()
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, type(error).__name__)
        advice = "choose another port, or leave --port out for a free one"
        if error.errno == errno.EACCES:
            advice = "ports below 1024 are for root: choose a higher one, or leave --port out"
        print(f"cannot listen on port {monta.port} ({name}): {advice}", file=sys.stderr)
        return 1
    print(monta.base_url)
    print(f"export MONTA_BASE_URL={shlex.quote(monta.base_url)}")
    print(f"export MONTA_CLIENT_ID={shlex.quote(monta.client_id)}")
    known = "# MONTA_CLIENT_SECRET: as you have set it"
    print(f"export MONTA_CLIENT_SECRET={monta.client_secret}" if given is None else known)
    sys.stdout.flush()
    logger, handler = logging.getLogger(_LOGGER), logging.StreamHandler(sys.stdout)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        while True:
            time.sleep(60)
            monta.clear()  # or the list of calls would grow forever
    except KeyboardInterrupt:
        return 0
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        monta.stop()
