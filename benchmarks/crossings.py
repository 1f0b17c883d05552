"""Count how often a retried 401 crosses from one of our files to another, and how many files.

    python -m benchmarks.crossings [-v]

The emulator refuses one request, the token pair is refreshed, and the request is retried. A
profiler records each call of our functions, and each time that our generators resume. A crossing is
a call in another file than the call before. ``-v`` prints the functions in order, a line per file.

Async clients are left out, because how often a coroutine resumes depends on how the bytes arrive.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import monta_auth
from monta_auth.emulator import Emulator

from ._peers import EVERYONE, OURS, Contestant
from ._server import CLIENT_ID, CLIENT_SECRET, World

HOME = Path(monta_auth.__file__).parents[1]
PACKAGES = ("monta_auth", "requests_monta", "httpx_monta", "httpx2_monta", "aiohttp_monta")
FOLDERS = tuple(f"{HOME / package}{os.sep}" for package in PACKAGES)

#: File and function.
Call = tuple[str, str]


@contextmanager
def recorded() -> Generator[list[Call]]:
    """Collect the calls of our functions in this thread. The emulator runs in another one."""
    calls: list[Call] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(FOLDERS):
            calls.append((code.co_filename, code.co_qualname))

    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def retried(one: Contestant) -> list[Call]:
    with Emulator(client_id=CLIENT_ID, client_secret=CLIENT_SECRET) as monta:
        world = World(monta.port)
        client = one.open(world)
        for _ in range(2):  # the first request fetches a token, the second is an ordinary one
            assert one.get(client, world.url) == 200
        monta.revoke_access_tokens()
        with recorded() as calls:
            status = one.get(client, world.url)
        assert status == 200
        one.close(client)
    return calls


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.crossings",
        description="Count how often a retried 401 crosses from one of our files to another.",
    )
    parser.add_argument("-v", action="store_true", help="print the calls in order")
    verbose = parser.parse_args().v
    for one in EVERYONE:
        if one.name != OURS or one.is_async or one.missing() is not None:
            continue
        calls = retried(one)
        visits = [
            (file, [name for (_, name), _ in itertools.groupby(run)])
            for file, run in itertools.groupby(calls, key=lambda call: call[0])
        ]
        files = {file for file, _ in visits}
        print(f"{one.library}: {len(visits) - 1} crossings, {len(files)} files")
        if verbose:
            for file, names in visits:
                print(f"    {Path(file).relative_to(HOME).as_posix()}: {', '.join(names)}")


if __name__ == "__main__":
    main()
