"""Each module here tries one combination with the real package and is one row of a table.

``--table=write`` writes the table from the modules whose tests all passed. ``--table=check``
fails unless the table in docs/ is the same, except for the versions.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from dataclasses import astuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from monta_auth._core import drivers

from .httpx_libraries import Library
from .proxy import Proxy
from .table import TABLE, Combination, table, without_versions


class Tried:
    """Compares the table with what ran, in the process that collects the workers' reports."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.passed: dict[str, Combination] = {}
        self.others: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        fields: Any = dict(report.user_properties).get("combination")
        file = report.nodeid.partition("::")[0]
        if fields is None:
            return
        if not report.passed:
            self.others.add(file)
        elif report.when == "call":
            self.passed[file] = Combination(*fields)

    def pytest_sessionfinish(self) -> None:
        passed, others = self.passed, self.others
        text = table(combination for file, combination in passed.items() if file not in others)
        if self.mode == "write":
            TABLE.write_text(text, encoding="utf-8")
        elif without_versions(text) != without_versions(TABLE.read_text(encoding="utf-8")):
            name = Path(*TABLE.parts[-3:])
            raise pytest.UsageError(f"{name} is not what ran: pytest tests/compat --table=write")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--table", choices=["check", "write"], help="of combinations, in docs/")


def pytest_configure(config: pytest.Config) -> None:
    mode = config.getoption("--table", None)
    if mode is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Tried(mode))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    combination = getattr(getattr(item, "module", None), "COMBINATION", None)
    if isinstance(combination, Combination):
        report.user_properties.append(("combination", astuple(combination)))
    return report


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(params=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> Library:
    return Library(request.param)


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of `MontaAuth` before another try. No test waits for them."""
    pauses: list[float] = []

    async def asleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(drivers, "time", SimpleNamespace(sleep=pauses.append))
    monkeypatch.setattr(drivers, "_sleep", asleep)
    return pauses
