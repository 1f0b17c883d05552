"""Record what full test runs used, and make the tables of the documentation from it.

When all tests have passed, ``pytest --support=write`` saves the run in docs/support.json and
rewrites the tables. It replaces an earlier run with the same Python and system.
"""

from __future__ import annotations

import json
import platform
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from . import lowest

DOCS = Path(__file__).parents[1] / "docs"
RUNS = DOCS / "support.json"
TABLES = DOCS / "support.inc"

OLDEST = "3.11, oldest libraries"  # tox -e lowest
#: The rows and columns of the tables. Combinations that did not run are shown as untested.
PYTHONS = ("3.11", OLDEST, "3.12", "3.13", "3.14", "3.15", "3.14t")
SYSTEMS = ("Linux", "macOS", "Windows")


@dataclass(frozen=True)
class Run:
    python: str  # one of PYTHONS
    release: str  # of that Python, such as 3.12.4
    system: str
    machine: str
    monta_auth: str
    passed: int
    skipped: int
    libraries: dict[str, str]  # those that setup.cfg names, with their versions


def this_run(passed: int, skipped: int) -> Run:
    release = platform.python_version()
    python = release.rpartition(".")[0]
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        python += "t"
    elif python == "3.11" and lowest.main() is None:
        python = OLDEST
    system = platform.system().replace("Darwin", "macOS")
    return Run(
        python,
        release,
        system,
        platform.machine(),
        version("monta-auth"),
        passed,
        skipped,
        dict(_libraries()),
    )


def _libraries() -> Iterator[tuple[str, str]]:
    names = {Requirement(line).name for line in requires("monta-auth") or []}
    for name in sorted(names - {"monta-auth"}):  # the extras also name the package itself
        try:
            yield name, version(name)
        except PackageNotFoundError:  # it has no wheel for this Python
            continue


def runs() -> list[Run]:
    return [Run(**each) for each in json.loads(RUNS.read_text(encoding="utf-8"))]


def add(run: Run) -> None:
    others = [each for each in runs() if (each.python, each.system) != (run.python, run.system)]
    known = sorted([*others, run], key=lambda each: (each.system, PYTHONS.index(each.python)))
    text = json.dumps([asdict(each) for each in known], indent=1)
    RUNS.write_text(text + "\n", encoding="utf-8")
    TABLES.write_text(tables(known), encoding="utf-8")


def require_a_full_run(config: pytest.Config) -> None:
    """Raise before the tests start, so that a partial run does not fail only at its end."""
    chosen = [name for name in ("keyword", "markexpr", "deselect") if config.getoption(name)]
    if chosen or config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        raise pytest.UsageError("--support=write is for a run of all tests: name none of them")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: pytest.ExitCode
) -> None:
    if exitstatus == pytest.ExitCode.OK:
        counts = {name: len(reports) for name, reports in terminalreporter.stats.items()}
        add(this_run(counts["passed"], counts.get("skipped", 0)))


def tables(runs: Sequence[Run]) -> str:
    """The table of Pythons, and the table of the libraries that were tested with them."""
    releases = ", ".join(sorted({run.monta_auth for run in runs}, key=Version))
    ran = {(run.python, run.system): _cell(run) for run in runs}
    pythons = [
        [python, *(ran.get((python, system), "untested") for system in SYSTEMS)]
        for python in PYTHONS
    ]
    libraries = []
    for name in sorted({name for run in runs for name in run.libraries}):
        versions = {run.libraries[name] for run in runs if name in run.libraries}
        libraries.append([name, min(versions, key=Version), max(versions, key=Version)])
    return "\n".join(
        [
            f"These runs tested monta-auth {releases}.\n",
            _table(["Python", *SYSTEMS], pythons),
            _table(["Library", "Oldest tested", "Newest tested"], libraries),
        ]
    )


def _cell(run: Run) -> str:
    return f"{run.release} ({run.machine}): {run.passed} passed, {run.skipped} skipped"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: auto", ""]
    for row in [head, *rows]:
        lines += [f"   * - {row[0]}", *(f"     - {cell}" for cell in row[1:])]
    return "\n".join(lines) + "\n"
