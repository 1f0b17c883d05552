"""Compare `MontaAuth` with its peers: ``python -m benchmarks``.

Run it in a checkout, with the libraries and the peers installed:

    pip install -e ".[all]" authlib requests-oauthlib google-auth httpx-auth monta

It prints tables after seven minutes, on a machine that should do nothing else. ``--output
docs/benchmarks`` writes the tables and plots of the page. ``--quick`` runs everything only a few
times, for the counts. Exit status 1: a promise of the project was missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from . import _clock, _cost, _imports, _report, _stampede
from ._figures import Crowd, Figure, Results, Spread
from ._peers import EVERYONE, OURS, Contestant
from ._server import Server

NOT_MEASURED = """\
Authlib in httpx: Authlib uses httpx2 if it is installed.
google-auth in aiohttp: its asyncio session has no credentials that renew themselves.
requests-oauthlib without a refresh token: it does not renew client credentials.
Authlib and requests-oauthlib without a token: they do not fetch the first one, so here they start \
with an expired one.
Peers except monta in Monta's dialect: they use a form body and ``expires_in``, and so does their \
server here.
Refresh tokens that work once, for peers in threads: theirs work any number of times here.
A wrong clock with async clients of httpx and httpx2: left out to save time.
""".splitlines()


def run(quick: bool) -> Results:
    results = Results()
    present: list[Contestant] = []
    for one in EVERYONE:
        gone = one.missing()
        if gone is None:
            present.append(one)
        else:
            results.missing.append(f"{one.name}, {one.row}: {gone} is not installed.")
    with Server() as server:
        for measure in (_cost.measure, _stampede.measure, _clock.measure):
            measure(results, present, server.world, quick)
    _imports.measure(results, present, quick)
    results.missing += NOT_MEASURED
    return results


#: What the project promises for its column.
STEP_LIMITS = {"requests": 3.0, "httpx": 2.0, "httpx2": 2.0}
MEMORY_LIMIT, IMPORT_LIMIT, CLOCK_LIMIT = 1.05, 8.0, 5


def missed(results: Results, *, with_times: bool) -> list[str]:
    """Return the promises that this run missed."""
    found: list[str] = []

    def require(kept: bool, row: str, figure: Figure, what: str) -> None:
        if not kept:
            found.append(f"{row}: {figure}; promised: {what}")

    for row in results.rows:
        figure, name = row.figures.get(OURS), f"{row.measure}, {row.library}"
        if isinstance(figure, Crowd):
            require(figure.failed == 0, name, figure, "no request fails")
            if row.measure.startswith(_clock.CLOCK):
                kept = figure.token_calls <= CLOCK_LIMIT
                require(kept, name, figure, f"{CLOCK_LIMIT} token calls")
            else:
                require(figure.token_calls == 1, name, figure, "one token call")
            if figure.wall is not None and with_times:
                most = _stampede.wall_limit(row.measure, row.library)
                require(round(figure.wall.median, 2) <= most, name, figure, f"{most} x")
            if figure.waited is not None and with_times:
                is_probe = row.measure == _clock.PROBE
                what = "no request waits" if is_probe else "only the request that renews waits"
                require(figure.waited <= (not is_probe), name, figure, what)
            if figure.added is not None and with_times:
                most = _clock.ADDED_LIMIT
                require(round(figure.added.median, 2) < most, name, figure, f"below {most:g} ms")
        elif isinstance(figure, Spread) and with_times:
            peers = [f for key, f in row.figures.items() if key != OURS and isinstance(f, Spread)]
            limits = {
                _cost.STEP: STEP_LIMITS.get(row.library.partition(" ")[0]),
                _cost.MEMORY: MEMORY_LIMIT,
                _imports.IMPORT: IMPORT_LIMIT,
            }
            if row.measure in limits:
                below = all(figure.median < peer.median for peer in peers)
                require(below, name, figure, "below every peer")
            limit = limits.get(row.measure)
            if limit is not None:
                require(round(figure.median, 2) <= limit, name, figure, f"{limit}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Compare MontaAuth with its peers."
    )
    parser.add_argument("--quick", action="store_true", help="run less, only for the counts")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="write tables and plots")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    options = parser.parse_args(arguments)
    for name in list(os.environ):
        if name.upper().startswith("MONTA_") or name.upper().endswith("_PROXY"):
            del os.environ[name]  # use only loopback and made-up credentials
    began = time.monotonic()
    results = run(options.quick)
    failures = missed(results, with_times=not options.quick)
    text = _report.page(results, options.quick, failures)
    print(text)
    if options.output is not None:
        for path in _report.write(results, options.output, text):
            print(f"wrote {path}")
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(results), indent=1), encoding="utf-8")
    print(f"took {time.monotonic() - began:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
