"""Measure the import of each contestant after its HTTP library, in new interpreters."""

from __future__ import annotations

import subprocess
import sys
import tempfile

from ._figures import Results, Spread
from ._peers import STATIC, Contestant, rows
from ._server import child_environment

IMPORT = "import, ms"


def took(library: str, added: str, cache: str) -> float:
    code = (
        f"import time, {library}; started = time.process_time(); import {added};"
        "print((time.process_time() - started) * 1e3)"
    )
    # An edited checkout has no compiled files, but an installed package does.
    environment = {**child_environment(), "PYTHONPYCACHEPREFIX": cache}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    out = subprocess.run(  # noqa: S603
        [sys.executable, "-P", "-c", code], capture_output=True, check=True, env=environment
    )
    return float(out.stdout)


def measure(results: Results, present: list[Contestant], quick: bool) -> None:
    # Sync and async clients have the same import.
    sync = rows([one for one in present if one.added and one.row == one.library])
    times: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as cache:
        for round_ in range(2 if quick else 12):
            for library, group in sync.items():
                for one in group:
                    taken = took(library, one.added, cache)
                    if round_:  # the first round compiles
                        times.setdefault((library, one.name), []).append(taken)
    for library, group in sync.items():
        row = results.row(IMPORT, library, "0")
        for one in group:
            assert one.name != STATIC
            row.figures[one.name] = Spread.of(times[library, one.name])
