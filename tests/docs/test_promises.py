"""The page "What happens when" and SECURITY.md name a test for each promise. The tests exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "docs" / "benchmarks.rst"
FIGURES = ROOT / "docs" / "benchmarks" / "results.inc"
PAGE = (ROOT / "docs" / "what-happens-when.rst").read_text(encoding="utf-8")
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def promises(text: str = PAGE + SECURITY) -> list[tuple[str, str]]:
    """Return each test that the text names, with the last file name before it."""
    found: list[tuple[str, str]] = []
    file = ""
    for name in re.findall(r"`([\w/]+\.py|test_\w+)`", text):
        if name.endswith(".py"):
            file = name
        else:
            found.append((file, name))
    return found


def test_the_page_names_a_test_for_each_promise() -> None:
    rows = PAGE.count("\n   * - ") - PAGE.count("\n   * - When\n")
    assert len(promises(PAGE)) >= rows > 20


def test_security_md_names_a_test_for_each_promise() -> None:
    rows = re.findall(r"^\| [A-Z`].*\. \| (.*) \|$", SECURITY, re.MULTILINE)
    assert len(rows) > 20
    assert all("`test_" in tests for tests in rows)


@pytest.mark.parametrize(("file", "name"), sorted(set(promises())))
def test_a_test_that_the_page_names_exists(file: str, name: str) -> None:
    text = (ROOT / "tests" / file).read_text(encoding="utf-8")
    assert re.search(rf"^ *(async )?def {name}\(", text, re.MULTILINE)


def test_the_page_of_benchmarks_admits_what_its_figures_missed() -> None:
    """The page quotes figures in its own words: they are those of the last run."""
    page = BENCHMARKS.read_text(encoding="utf-8")
    figures = FIGURES.read_text(encoding="utf-8")
    missed = figures.partition("Promises that this run missed\n")[2]
    assert page.count("`Promises that this run missed`_") == 2 * ("None." not in missed)
    admitted = page.rpartition("`Promises that this run missed`_")[2].partition("\n\n")[0]
    quoted = re.findall(r"\d+\.\d+", admitted)
    assert [each for each in quoted if f" {each} (" not in figures] == []
    for what in {line.partition(", ")[0] for line in missed.splitlines() if line[:1] == "*"}:
        assert what.removeprefix("* ") in admitted
