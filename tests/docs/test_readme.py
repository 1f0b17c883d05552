"""README.rst says what is so: its examples run, its commands work, its tables are the code's."""

import asyncio
import importlib.util
import inspect
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
from starlette.applications import Starlette

import aiohttp_monta
import httpx2_monta
import httpx_monta
import monta_auth
import requests_monta
from monta_auth.emulator import Emulator, Fault

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
    """A code block, and where it stands."""

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
        # As many lines above it as in the file: a traceback names the README's line.
        code = "\n" * start + "\n".join(text[4:] for text in LINES[start:number]) + "\n"
        yield Block(section, start, marker[1] if marker else "", code)


BLOCKS = list(_blocks())
EXAMPLES = [block for block in BLOCKS if block.language == "python"]


def _tables() -> Iterator[list[list[str]]]:
    for chunk in TEXT.split(".. list-table::")[1:]:
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


TABLES = list(_tables())


def _first_words(table: list[list[str]]) -> list[str]:
    return [re.sub(r"``(\w+)``.*", r"\1", row[0]) for row in table[1:]]


def _table(*header: str, having: str) -> list[list[str]]:
    (found,) = (
        table for table in TABLES if table[0] == [*header] and having in _first_words(table)
    )
    return found


def _run(block: Block) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "readme"}
    exec(compile(block.code, str(README), "exec"), namespace)  # noqa: S102 - our own examples
    return namespace


def _check_nothing(monta: Emulator, names: dict[str, Any]) -> None:
    assert monta.calls == ()


def _check_one_token(monta: Emulator, names: dict[str, Any]) -> None:
    assert monta.count("/auth/token") == 1
    assert monta.count() > 1
    assert {call.status for call in monta.calls} == {200}


def _check_errors(monta: Emulator, names: dict[str, Any]) -> None:
    assert [(call.path, call.status) for call in monta.calls] == [("/auth/token", 401)]


def _check_starlette(monta: Emulator, names: dict[str, Any]) -> None:
    app: Starlette = names["app"]

    async def ask() -> httpx.Response:
        async with app.router.lifespan_context(app) as state:

            async def with_state(scope: Any, receive: Any, send: Any) -> None:
                await app({**scope, "state": dict(state or {})}, receive, send)

            transport = httpx.ASGITransport(with_state)
            async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
                return await client.get("/charge-points")

    reply = asyncio.run(ask())
    assert reply.status_code == 200
    assert len(reply.json()["data"]) > 0
    _check_one_token(monta, names)


def _check_tenacity(monta: Emulator, names: dict[str, Any]) -> None:
    _check_one_token(monta, names)
    requests_monta.MontaAuth().forget()
    monta.inject(Fault(status=429, headers={"Retry-After": "2.5"}))
    slept: list[float] = []
    points = names["charge_points"].retry_with(sleep=slept.append)
    with pytest.raises(requests_monta.RateLimitError):
        points()  # our memory of the failure answers each try until it is over
    assert len(slept) == 3
    assert all(0 < seconds <= 2.5 for seconds in slept)


class _AskedAgain(Exception):
    """Celery's own `Retry` needs a broker."""


def _check_celery(monta: Emulator, names: dict[str, Any]) -> None:
    task = names["count_charges"]
    assert task() > 0
    _check_one_token(monta, names)
    assert task.autoretry_for == (requests.ConnectionError, requests.Timeout)

    def retry(*, exc: Exception, countdown: float) -> Exception:
        assert isinstance(exc, requests_monta.RateLimitError)
        return _AskedAgain(countdown)

    task.retry = retry
    requests_monta.MontaAuth().forget()
    monta.inject(Fault(status=429, headers={"Retry-After": "45"}))
    with pytest.raises(_AskedAgain, match="45"):
        task()


CHECKS: dict[str, Callable[[Emulator, dict[str, Any]], None]] = {
    "Configuration": _check_nothing,
    "How sharing works": _check_nothing,
    "FastAPI and Starlette": _check_starlette,
}


def _check_of(block: Block) -> Callable[[Emulator, dict[str, Any]], None]:
    if "tenacity" in block.modules:
        return _check_tenacity
    if "celery" in block.modules:
        return _check_celery
    if block.section == "Errors":
        return _check_errors
    return CHECKS.get(block.section, _check_one_token)


def _id(block: Block) -> str:
    return f"line {block.line}: {block.section}"


@pytest.mark.parametrize(
    "block", [block for block in EXAMPLES if "pytest" not in block.modules], ids=_id
)
def test_each_example_runs(block: Block, monta: Emulator) -> None:
    """An example that does not work is worse than none."""
    for module in sorted(block.modules & {"celery", "tenacity"}):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    names = _run(block)
    _check_of(block)(monta, names)


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
    """The parser of this file has found them, and nobody has lost one."""
    used = set().union(*(block.modules for block in EXAMPLES))
    assert used >= {"requests_monta", "httpx_monta", "httpx2_monta", "aiohttp_monta", "starlette"}
    assert used >= {"celery", "tenacity", "pytest"}
    assert len(EXAMPLES) == TEXT.count(".. code-block:: python\n")


def test_the_promise_of_the_diff_is_the_first_example() -> None:
    """What is added in the diff is what was just shown to work."""
    (diff,) = (block for block in BLOCKS if block.language == "diff")
    added = [line[1:] for line in diff.code.splitlines() if line.startswith("+")]
    assert added
    assert set(added) <= set(EXAMPLES[0].code.splitlines())


@pytest.mark.parametrize("command", [DEMO, TESTS, EVERYTHING], ids=["demo", "tests", "everything"])
def test_each_command_stands_there_once_to_paste(command: str) -> None:
    """One line, alone in its block: a triple click copies it whole."""
    alone = [block for block in BLOCKS if not block.language and block.code.strip() == command]
    assert len(alone) == 1
    assert len(re.findall(re.escape(command) + "(?! -e py)", TEXT)) == 1


def test_who_contributes_runs_the_same_commands() -> None:
    """Of two ways to run the tests, one is out of date."""
    page = (README.parent / "docs" / "contributing.rst").read_text(encoding="utf-8")
    assert f"    $ {TESTS}\n    $ {EVERYTHING}\n" in page


def test_the_demo_command_works(tmp_path: Path) -> None:
    """As a stranger starts it: no terminal, and a proxy that leads nowhere."""
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


def test_the_defaults_of_the_policy_are_the_codes() -> None:
    """Numbers in a text outlive those in the code unless somebody compares them."""
    rows = _table("argument", "default", "meaning", having="advisory")[1:]
    told = {row[0].strip("`"): float(row[1].removesuffix(" s")) for row in rows}
    policy = monta_auth.RefreshPolicy()
    assert told == {name: getattr(policy, name) for name in policy._fields}


@pytest.mark.parametrize(
    ("auth", "library"),
    [
        pytest.param(requests_monta.MontaAuth, "requests", id="requests"),
        pytest.param(httpx_monta.MontaAuth, "httpx", id="httpx"),
        pytest.param(httpx2_monta.MontaAuth, "httpx2", id="httpx2"),
        pytest.param(aiohttp_monta.MontaAuth, "aiohttp", id="aiohttp"),
    ],
)
def test_the_arguments_are_the_codes(auth: Any, library: str) -> None:
    """All of them are told, none is made up, and the one number is right."""
    rows = _table("argument", "default", "meaning", having="client_id")[1:]
    told: dict[str, str] = {}
    for argument, default, *_ in rows:
        name, _, only = argument.replace("`", "").partition(" (")
        if not only or library in only.rstrip(")").split(", "):
            told[name] = default.replace("`", "")
    taken = inspect.signature(auth).parameters
    assert {*told} == {*taken}
    numbers = {n: p.default for n, p in taken.items() if isinstance(p.default, float)}
    assert numbers == {n: float(d) for n, d in told.items() if re.fullmatch(r"[\d.]+", d)}


def test_each_error_is_told() -> None:
    """An error that nobody explains is an error that nobody handles."""
    rows = _table("error", "when", "what to do", having="RateLimitError")
    public = {name for name in monta_auth.__all__ if name.endswith("Error")}
    assert {*_first_words(rows)} == public - {"MontaAuthError"}


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
