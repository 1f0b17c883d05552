"""Each module here tries one combination with the real package, and is one row of a table.

``--table=write`` writes the table from the modules whose tests all passed, ``--table=check`` fails
unless the one in docs/ says the same (but for the versions).
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from .proxy import Proxy
from .table import TABLE, Combination, table, without_versions

_passed: pytest.StashKey[dict[str, Combination]] = pytest.StashKey()
_others: pytest.StashKey[set[str]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--table", choices=["check", "write"], help="of combinations, in docs/")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_passed] = {}
    config.stash[_others] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    combination = getattr(getattr(item, "module", None), "COMBINATION", None)
    if isinstance(combination, Combination):
        file = item.nodeid.partition("::")[0]
        if not report.passed:
            item.config.stash[_others].add(file)
        elif report.when == "call":
            item.config.stash[_passed][file] = combination
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    mode = session.config.getoption("--table", None)
    if mode is None:
        return
    passed, others = session.config.stash[_passed], session.config.stash[_others]
    text = table(combination for file, combination in passed.items() if file not in others)
    if mode == "write":
        TABLE.write_text(text, encoding="utf-8")
    elif without_versions(text) != without_versions(TABLE.read_text(encoding="utf-8")):
        name = Path(*TABLE.parts[-3:])
        raise pytest.UsageError(f"{name} is not what ran: pytest tests/compat --table=write")


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()
