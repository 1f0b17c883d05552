"""The pages below docs/: their examples, and how to run one."""

from __future__ import annotations

import importlib.util
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import aiohttp_monta
import httpx2_monta
import httpx_monta
import monta_auth
import requests_monta
from monta_auth.emulator import Emulator

DOCS = Path(__file__).parents[2] / "docs"

_BLOCK = re.compile(
    r"^\.\. code-block:: (?P<language>\w+)\n(?: {3,4}:name: (?P<name>[\w-]+)\n)?\n"
    r"(?P<code>(?:   .*\n|\n)+)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Example:
    """A code block of a page, with the line where its code begins."""

    page: str
    name: str
    line: int
    language: str
    code: str

    def run(
        self, exchanged: Mapping[str, str] | None = None, package: str | None = None
    ) -> dict[str, Any]:
        """Execute it, with some of its texts exchanged; return its names.

        Args:
            package: the package that relative imports start from.
        """
        # With as many lines above it as in the file, a traceback shows the page's line.
        code = "\n" * (self.line - 1) + self.code
        for old, new in (exchanged or {}).items():
            assert old in code
            code = code.replace(old, new)
        names: dict[str, Any] = {"__name__": "example", "__package__": package}
        exec(compile(code, str(DOCS / self.page), "exec"), names)  # noqa: S102 - our own examples
        return names


def blocks(page: str, language: str = "python") -> list[Example]:
    """Return the code blocks of a page, in order. Blocks without a name are numbered."""
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
    """Return the examples of these pages as parameters of a test."""
    return [pytest.param(each, id=f"{page} {each.name}") for page in pages for each in blocks(page)]


def stand_in(monta: Emulator, base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the environment as users of the emulator do, and take its base URL for `PARTNER_API`.

    `PUBLIC_API` stays: an example that calls it although ``MONTA_BASE_URL`` is set leaves loopback.
    """
    monkeypatch.setenv("MONTA_BASE_URL", base_url)
    monkeypatch.setenv("MONTA_CLIENT_ID", monta.client_id)
    monkeypatch.setenv("MONTA_CLIENT_SECRET", monta.client_secret)
    for module in (monta_auth, requests_monta, httpx_monta, httpx2_monta, aiohttp_monta):
        monkeypatch.setattr(module, "PARTNER_API", base_url)


def called_by(
    shown: Example, monkeypatch: pytest.MonkeyPatch, *, is_public_api: bool = False
) -> list[str]:
    """Run an example with the emulator instead of Monta. Return the paths that it called.

    Args:
        is_public_api: whether its base URL is also that of `PUBLIC_API`.
    """
    with Emulator(client_id="client-id", client_secret="client-secret") as monta:
        stand_in(monta, monta.base_url, monkeypatch)
        if is_public_api:
            for module in (monta_auth, requests_monta, httpx_monta, httpx2_monta, aiohttp_monta):
                monkeypatch.setattr(module, "PUBLIC_API", monta.base_url)
        shown.run()
        assert {call.status for call in monta.calls} == {200}
        return [call.path for call in monta.calls]


def load(name: str) -> Any:
    """Import a module of docs/, where Sphinx finds it and Python does not."""
    spec = importlib.util.spec_from_file_location(f"monta_docs{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def tables(text: str) -> Iterator[list[list[str]]]:
    """Return the rows of each list-table of a page."""
    for chunk in text.split(".. list-table::")[1:]:
        rows: list[list[str]] = []
        for line in chunk.splitlines()[1:]:
            if line.startswith("   * -"):
                rows.append([line[6:].strip()])
            elif line.startswith("     -"):
                rows[-1].append(line[6:].strip())
            elif rows and line.startswith("       "):
                rows[-1][-1] += " " + line.strip()
            elif line and not line.startswith("   :"):
                break
        yield rows


def first_words(rows: list[list[str]]) -> list[str]:
    return [re.sub(r"``(\w+)``.*", r"\1", row[0]) for row in rows[1:]]


def table(text: str, *header: str, having: str) -> list[list[str]]:
    """Return the only table with these titles that has a row for this name."""
    (found,) = (
        rows for rows in tables(text) if rows[0] == [*header] and having in first_words(rows)
    )
    return found
