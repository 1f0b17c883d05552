"""The benchmarks run, and their counts for `MontaAuth` are what the project promises.

Only counts are compared, since times mean nothing on a machine that runs tests.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("benchmarks/ is not here", allow_module_level=True)
for _module in ("authlib", "google.auth", "httpx_auth", "monta", "requests_oauthlib"):
    pytest.importorskip(_module, reason=f"a peer is not installed: {_module}")

LIBRARIES = ["requests", "httpx", "httpx async", "httpx2", "httpx2 async", "aiohttp"]
SYNC = ["requests", "httpx", "httpx2"]
#: After the installed packages: only the benchmarks come from the checkout.
BOOT = "import sys; sys.path.append(sys.argv.pop(1)); "
RUN = BOOT + "from benchmarks.__main__ import main; sys.exit(main())"

pytestmark = pytest.mark.timeout(300)


def in_child(code: str, *arguments: str) -> str:
    command = [sys.executable, "-P", "-c", code, str(ROOT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmarks")
    in_child(RUN, "--quick", "--output", str(folder), "--json", str(folder / "figures.json"))
    return folder


def figures(folder: Path, name: str = "monta-auth") -> dict[tuple[str, str], dict[str, Any]]:
    rows = json.loads((folder / "figures.json").read_text(encoding="utf-8"))["rows"]
    return {
        (row["measure"], row["library"]): row["figures"][name]
        for row in rows
        if name in row["figures"]
    }


def counts(folder: Path, measure: str) -> dict[str, tuple[int, int]]:
    return {
        library: (figure["token_calls"], figure["failed"])
        for (what, library), figure in figures(folder).items()
        if what.startswith(measure)
    }


@pytest.mark.parametrize("measure", ["cold start", "revocation", "expiry", "probe"])
def test_every_stampede_makes_one_token_call_and_loses_no_request(
    quick_run: Path, measure: str
) -> None:
    assert counts(quick_run, measure) == dict.fromkeys(LIBRARIES, (1, 0))


@pytest.mark.parametrize("off", ["10 min", "2 h"])
def test_a_wrong_clock_costs_neither_a_request_nor_a_token_call(quick_run: Path, off: str) -> None:
    """With tokens of an hour, a hundred minutes take two token calls."""
    assert counts(quick_run, f"clock off by {off}") == dict.fromkeys([*SYNC, "aiohttp"], (2, 0))


def test_a_stampede_opens_at_most_one_connection_per_call(quick_run: Path) -> None:
    opened = {
        (what.partition(",")[0], library): (figure["connections"], figure["requests"])
        for (what, library), figure in figures(quick_run).items()
        if figure.get("connections") is not None
    }
    stampedes = ["cold start", "revocation"]
    assert set(opened) == {(what, library) for what in stampedes for library in LIBRARIES}
    for (what, _), (connections, requests) in opened.items():
        calls = requests + 1 if what == "cold start" else 2 * requests + 1
        assert connections <= calls


def test_the_counts_distinguish_good_from_bad(quick_run: Path) -> None:
    """A library that never retries after a 401 is seen to lose its requests."""
    lost = figures(quick_run, "Authlib")["revocation, 32 threads", "requests"]
    assert (lost["token_calls"], lost["failed"]) == (0, 32)


def test_each_measure_has_a_number_for_each_library(quick_run: Path) -> None:
    measured = {(what.partition(",")[0], library) for what, library in figures(quick_run)}
    expected = {
        *(("auth step", library) for library in LIBRARIES),
        *(("request in memory", library) for library in LIBRARIES if library != "aiohttp"),
        *(("request over loopback", library) for library in LIBRARIES),
        *(("cold start", library) for library in LIBRARIES),
        *(("revocation", library) for library in LIBRARIES),
        *(("expiry", library) for library in LIBRARIES),
        *(("probe", library) for library in LIBRARIES),
        *(("clock off by 10 min", library) for library in [*SYNC, "aiohttp"]),
        *(("clock off by 2 h", library) for library in [*SYNC, "aiohttp"]),
        *(("import", library) for library in [*SYNC, "aiohttp"]),
    }
    assert measured == expected


def test_the_page_says_what_could_not_be_measured_and_its_tables_are_complete(
    quick_run: Path,
) -> None:
    page = (quick_run / "results.inc").read_text(encoding="utf-8")
    head, tail = page.split("What this run could not measure\n")
    missing, missed = tail.split("Promises that this run missed\n")
    assert missed.endswith("* None.\n")
    assert "aiohttp, request in memory" in missing
    tables = head.split(".. list-table::")[1:]
    assert len(tables) == 6
    for table in tables:
        rows = [row.count("\n     -") for row in table.split("\n   * -")[1:]]
        assert len(rows) > 1
        assert set(rows) == {rows[0]}


@pytest.mark.parametrize("name", ["auth-step.svg", "stampedes.svg"])
def test_the_plots_are_small_svg_without_a_background(quick_run: Path, name: str) -> None:
    path = quick_run / name
    picture = ElementTree.parse(path).getroot()  # noqa: S314
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    widths = [shape.get("width") for shape in picture.iter("{http://www.w3.org/2000/svg}rect")]
    assert widths
    assert picture.get("width") not in widths
    assert path.stat().st_size < 20_000


def test_a_broken_promise_is_reported() -> None:
    code = BOOT + (
        "from benchmarks.__main__ import missed; from benchmarks._figures import *;"
        "results = Results();"
        "row = results.row('cold start, 32 threads', 'requests', '');"
        "row.figures['monta-auth'] = Crowd(32, failed=1, token_calls=2);"
        "row = results.row('cold start, 64 threads', 'requests', '');"
        "row.figures['monta-auth'] = Crowd(64, 0, 1, wall=Spread(1.1, 1.0, 1.2), connections=9);"
        "row = results.row('cold start, 500 tasks', 'httpx async', '');"
        "row.figures['monta-auth'] = Crowd(500, 0, 1, wall=Spread(0.96, 0.9, 1.0), connections=9);"
        "row = results.row('revocation, 100 tasks', 'httpx async', '');"
        "row.figures['monta-auth'] = Crowd(100, 0, 1, wall=Spread(1.1, 1.0, 1.2), connections=9);"
        "row = results.row('probe, 2 at a time', 'aiohttp', '');"
        "row.figures['monta-auth'] = Crowd(9, 0, 1, waited=1, added=Spread(1.0, 0.9, 1.1));"
        "row = results.row('auth step', 'requests', '');"
        "row.figures['monta-auth'] = Spread(3.1, 3.1, 3.1);"
        "row = results.row('request in memory', 'httpx', '');"
        "row.figures['monta-auth'] = Spread(1.04, 1.0, 1.1);"
        "row.figures['httpx-auth'] = Spread(1.03, 1.0, 1.1);"
        "row = results.row('request in memory', 'httpx2', '');"
        "row.figures['monta-auth'] = Spread(1.06, 1.0, 1.1);"
        "print(*missed(results, with_times=True), sep='\\n')"
    )
    probe = "probe, 2 at a time, aiohttp: 1 token call, 1 waited, 1.00 (0.90-1.10) ms added; "
    tasks = "cold start, 500 tasks, httpx async: "
    crowd = "cold start, 32 threads, requests: 2 token calls, 1 of 32 failed; promised: "
    assert in_child(code).splitlines() == [
        crowd + "no request fails",
        crowd + "one token call",
        tasks + "1 token call, 0.96 (0.90-1.00) x, 9 connections opened; promised: 0.95 x",
        probe + "promised: no request waits",
        probe + "promised: below 1 ms",
        "auth step, requests: 3.10 (3.10-3.10); promised: 3.0",
        "request in memory, httpx: 1.04 (1.00-1.10); promised: below every peer",
        "request in memory, httpx2: 1.06 (1.00-1.10); promised: 1.05",
    ]
