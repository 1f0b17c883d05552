"""The pages below docs/: their examples, and a way to run one."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"

_BLOCK = re.compile(
    r"^\.\. code-block:: (?P<language>\w+)\n(?:   :name: (?P<name>[\w-]+)\n)?\n"
    r"(?P<code>(?:   .*\n|\n)+)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Example:
    """A code block of a page, and the line at which its code begins."""

    page: str
    name: str
    line: int
    language: str
    code: str

    def run(self, exchanged: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Execute it, with some of its texts exchanged; return its names."""
        # As many lines above it as in the file: a traceback names the page's line.
        code = "\n" * (self.line - 1) + self.code
        for old, new in (exchanged or {}).items():
            assert old in code
            code = code.replace(old, new)
        names: dict[str, Any] = {"__name__": "example"}
        exec(compile(code, str(DOCS / self.page), "exec"), names)  # noqa: S102 - our own examples
        return names


def blocks(page: str, language: str = "python") -> list[Example]:
    """The code blocks of a page, in order; those without a name are numbered."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found: list[Example] = []
    for block in _BLOCK.finditer(text):
        if block["language"] == language:
            line = text.count("\n", 0, block.start("code")) + 1
            name = block["name"] or str(len(found) + 1)
            code = textwrap.dedent(block["code"])
            found.append(Example(page, name, line, language, code))
    assert len(found) == text.count(f".. code-block:: {language}\n")
    return found


def example(page: str, name: str) -> Example:
    (found,) = (each for each in blocks(page) if each.name == name)
    return found


def parameters(*pages: str) -> list[Any]:
    """Their examples as parameters of a test."""
    return [pytest.param(each, id=f"{page} {each.name}") for page in pages for each in blocks(page)]
