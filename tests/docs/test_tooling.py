"""tox.ini says what is checked, and with which Pythons; all other files say the same."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[2]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


TOX = ConfigParser(interpolation=None)
TOX.read_string(read("tox.ini"))
ENVIRONMENTS = TOX["tox"]["env_list"].split(", ")
PYTHONS = [f"3.{name[3:]}" for name in ENVIRONMENTS if name.startswith("py3")]
CHECKS = [name for name in ENVIRONMENTS if not name.startswith("py3")]
PAGE = read("docs/contributing.rst")
WORKFLOW = read(".github/workflows/ci.yml")


def test_each_python_that_is_tested_is_promised_and_no_other() -> None:
    settings = read("setup.cfg")
    assert re.findall(r"Python :: (3\.\d+)$", settings, re.MULTILINE) == PYTHONS
    assert f"python_requires = >={PYTHONS[0]}\n" in settings
    first, last = (python.replace(".", "") for python in (PYTHONS[0], PYTHONS[-1]))
    assert f"``tox -e py{first}`` (to ``py{last}``)\n" in PAGE
    assert re.findall(r'"(3\.\d+)"', WORKFLOW) == PYTHONS


def test_the_page_has_a_row_for_each_check_and_the_workflow_runs_it() -> None:
    shown = re.findall(r"^   \* - ``tox -e (\w+)``", PAGE, re.MULTILINE)
    defined = [name.partition(":")[2] for name in TOX.sections() if name.startswith("testenv:")]
    assert sorted(shown) == sorted(["py311", *defined])
    assert f"check: [{', '.join(CHECKS)}]\n" in WORKFLOW


def test_the_releases_of_the_tools_are_named_once() -> None:
    """A newer one may find more, but not on a day when nobody has changed anything."""
    tools = TOX["testenv:lint"]["deps"] + TOX["testenv:types"]["deps"]
    pinned = dict(re.findall(r"^([a-z]+).*==([\d.]+)$", tools, re.MULTILINE))
    assert list(pinned) == ["ruff", "mypy", "pyright"]
    hooks = read(".pre-commit-config.yaml")
    assert re.findall(r"entry: (.*)", hooks) == ["tox -e lint", "tox -e types"]
    assert not [tool for tool, version in pinned.items() if version in hooks + WORKFLOW]
