"""README.rst is true: its examples run, its commands work, its tables agree with the code."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

import monta_auth
from monta_auth.emulator import Emulator

from .pages import first_words, table

README = Path(__file__).parents[2] / "README.rst"
TEXT = README.read_text(encoding="utf-8")
LINES = TEXT.splitlines()

DEMO = (
    "python3 -m venv .venv && .venv/bin/pip install --quiet '.[all]' && "
    ".venv/bin/python -m monta_auth demo"
)
TESTS = "python3 -m venv .venv && .venv/bin/pip install --quiet tox && .venv/bin/tox -e py"
EVERYTHING = ".venv/bin/tox"


@dataclass(frozen=True)
class Block:
    """A code block and its place in the file."""

    section: str
    line: int
    language: str
    code: str

    @property
    def modules(self) -> set[str]:
        return set(re.findall(r"^(?:import|from) (\w+)", self.code, re.MULTILINE))


def _is_title(number: int) -> bool:
    below = LINES[number + 1] if number + 1 < len(LINES) else ""
    return bool(re.fullmatch(r"([=~-])\1+", below)) and len(below) == len(LINES[number])


def _blocks() -> Iterator[Block]:
    section, number = "", 0
    while number < len(LINES):
        line = LINES[number]
        if line and _is_title(number):
            section = line
        number += 1
        marker = re.fullmatch(r"\.\. code-block:: (\w+)", line)
        if marker is None and not (line.endswith("::") and not line.startswith("..")):
            continue
        start = number
        while number < len(LINES) and (not LINES[number] or LINES[number].startswith("    ")):
            number += 1
        # With as many lines above it as in the file, a traceback shows the README's line.
        code = "\n" * start + "\n".join(text[4:] for text in LINES[start:number]) + "\n"
        yield Block(section, start, marker[1] if marker else "", code)


BLOCKS = list(_blocks())
EXAMPLES = [block for block in BLOCKS if block.language == "python"]


def _run(block: Block) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "readme"}
    exec(compile(block.code, str(README), "exec"), namespace)  # noqa: S102 - our own examples
    return namespace


def _check_one_token(monta: Emulator, names: dict[str, Any]) -> None:
    assert monta.count("/auth/token") == 1
    assert monta.count() > 1
    assert {call.status for call in monta.calls} == {200}


def _check_errors(monta: Emulator, names: dict[str, Any]) -> None:
    assert [(call.path, call.status) for call in monta.calls] == [("/auth/token", 401)]


def _check_of(block: Block) -> Callable[[Emulator, dict[str, Any]], None]:
    return _check_errors if block.section == "Errors and what to do" else _check_one_token


def _id(block: Block) -> str:
    return f"line {block.line}: {block.section}"


@pytest.mark.parametrize(
    "block", [block for block in EXAMPLES if "pytest" not in block.modules], ids=_id
)
def test_each_example_runs(block: Block, monta: Emulator) -> None:
    """A broken example is worse than none."""
    names = _run(block)
    _check_of(block)(monta, names)
    for value in names.values():  # A script ends here, which closes its clients as well.
        if isinstance(value, httpx.Client | requests.Session):
            value.close()


@pytest.mark.parametrize("block", [b for b in EXAMPLES if "pytest" in b.modules], ids=_id)
def test_the_example_tests_pass(block: Block, tmp_path: Path) -> None:
    """Users paste them into a file and run it."""
    (tmp_path / "test_example.py").write_text(block.code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_example.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    assert f"{block.code.count('def test_')} passed" in done.stdout


def test_there_are_examples_for_each_library() -> None:
    """The parser of this file has found all of them, and none was removed by accident."""
    used = set().union(*(block.modules for block in EXAMPLES))
    assert used >= {"requests_monta", "httpx_monta", "aiohttp_monta", "pytest"}
    assert len(EXAMPLES) == TEXT.count(".. code-block:: python\n")


@pytest.mark.parametrize("command", [DEMO, TESTS, EVERYTHING], ids=["demo", "tests", "everything"])
def test_each_command_can_be_copied_from_one_place(command: str) -> None:
    """It is one line, alone in its block, so a triple click selects it."""
    alone = [block for block in BLOCKS if not block.language and block.code.strip() == command]
    assert len(alone) == 1
    assert len(re.findall(re.escape(command) + "(?! -e)", TEXT)) == 1


def test_the_contributing_page_has_the_same_commands() -> None:
    """If there were two ways to run the tests, one would get out of date."""
    page = (README.parent / "docs" / "contributing.rst").read_text(encoding="utf-8")
    assert f"    $ {TESTS}\n    $ {EVERYTHING}\n" in page
    page = " ".join(page.split())
    for how_long in re.findall(r"in ((?:less than|about) \w+ minutes)::", TEXT):
        assert f", in {how_long}" in page


def test_the_demo_command_works(tmp_path: Path) -> None:
    """As a new user starts it: without a terminal, and with an unreachable proxy."""
    python, *arguments = DEMO.rpartition(" && ")[2].split()
    assert python == ".venv/bin/python"
    environment = os.environ | {"HTTP_PROXY": "http://127.0.0.1:9", "PYTHONIOENCODING": "utf-8"}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=25,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - began < 20
    assert done.stdout.count("✓") == 10
    assert "✗" not in done.stdout
    assert done.stderr == ""


def test_each_error_is_explained() -> None:
    """Users only handle errors that are explained."""
    rows = table(TEXT, "error", "when", "what to do", having="RateLimitError")
    public = {name for name in monta_auth.__all__ if name.endswith("Error")}
    assert {*first_words(rows)} == public - {"MontaAuthError"}


def test_each_page_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"``((?:docs/)?(?:[\w-]+/)*[\w-]+\.(?:rst|md))``", TEXT))
    assert len(named) > 10
    docs = README.parent / "docs"
    places = (README.parent, docs, docs / "guides")
    missing = [name for name in named if not any((place / name).is_file() for place in places)]
    assert missing == []


def test_it_is_short_enough() -> None:
    assert len(LINES) <= 320


def test_it_renders_without_a_warning() -> None:
    """The package index shows a broken README as plain text."""
    core = pytest.importorskip("docutils.core", reason="docutils is not installed")
    pytest.importorskip("pygments", reason="docutils wants it for code")
    core.publish_string(
        TEXT, writer="null", settings_overrides={"halt_level": 2, "report_level": 2}
    )


def test_the_package_index_renders_it() -> None:
    """PyPI allows less than docutils does."""
    rst = pytest.importorskip("readme_renderer.rst", reason="readme_renderer is not installed")
    assert rst.render(TEXT) is not None
