"""The page "What happens when" and SECURITY.md name a test for each promise. The tests exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
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
