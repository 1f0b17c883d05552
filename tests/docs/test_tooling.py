"""tox.ini says what is checked and with which Pythons. All other files agree with it."""

from __future__ import annotations

import re
import textwrap
from configparser import ConfigParser
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from .. import support

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


def test_exactly_the_tested_pythons_are_promised() -> None:
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


def test_the_readme_names_the_folder_of_the_built_pages() -> None:
    (folder,) = re.findall(r"--basetemp=\{env_dir\}/(\w+)", TOX["testenv:docs"]["commands"])
    assert 'mktemp("html", numbered=False)' in read("tests/docs/test_built.py")
    assert f"``.tox/docs/{folder}/html/index.html``" in read("README.rst")
    assert f"``.tox/docs/{folder}/html``" in PAGE


def test_the_versions_of_the_tools_are_set_in_one_place() -> None:
    """A newer release may find more faults, but not on a day when no code has changed."""
    tools = TOX["testenv:lint"]["deps"] + TOX["testenv:types"]["deps"]
    pinned = dict(re.findall(r"^([a-z]+).*==([\d.]+)$", tools, re.MULTILINE))
    assert list(pinned) == ["ruff", "mypy", "pyright"]
    hooks = read(".pre-commit-config.yaml")
    assert re.findall(r"entry: (.*)", hooks) == ["tox -e lint", "tox -e types"]
    assert not [tool for tool, version in pinned.items() if version in hooks + WORKFLOW]


def test_the_support_tables_agree_with_the_recorded_runs() -> None:
    assert support.TABLES.read_text(encoding="utf-8") == support.tables(support.runs())
    assert ".. include:: support.inc\n" in read("docs/versions.rst")
    rows = dict.fromkeys(name.partition(",")[0] for name in support.PYTHONS)
    assert list(rows) == [*PYTHONS, "3.14t"]


def test_combinations_that_did_not_run_are_shown_as_untested() -> None:
    new = support.Run("3.12", "3.12.1", "Linux", "x86_64", "0.1.0", 7, 1, {"a": "10.0", "b": "1"})
    old = replace(new, python=support.OLDEST, release="3.11.7", libraries={"a": "9.1"})
    text = support.tables([old, new])
    assert "   * - 3.12\n     - 3.12.1 (x86_64): 7 passed, 1 skipped\n     - untested\n" in text
    assert text.count("untested") == len(support.PYTHONS) * len(support.SYSTEMS) - 2
    assert "   * - a\n     - 9.1\n     - 10.0\n   * - b\n     - 1\n     - 1\n" in text


@pytest.mark.parametrize("chosen", ["args", "keyword", "markexpr", "deselect"])
def test_a_partial_run_is_not_recorded(chosen: str) -> None:
    sources = pytest.Config.ArgsSource
    source = sources.ARGS if chosen == "args" else sources.TESTPATHS
    config: Any = SimpleNamespace(getoption=lambda name: name == chosen, args_source=source)
    with pytest.raises(pytest.UsageError, match="name none of them"):
        support.require_a_full_run(config)


def test_only_a_passed_run_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[support.Run] = []
    monkeypatch.setattr(support, "add", added.append)
    reporter: Any = SimpleNamespace(stats={"passed": [1, 2, 3], "skipped": [4], "": [5]})
    support.pytest_terminal_summary(reporter, pytest.ExitCode.TESTS_FAILED)
    assert added == []
    support.pytest_terminal_summary(reporter, pytest.ExitCode.OK)
    assert [(run.passed, run.skipped) for run in added] == [(3, 1)]
    assert "requests" in added[0].libraries


RELEASE = read(".github/workflows/release.yml")


def test_only_a_tag_of_the_version_is_published_after_all_checks() -> None:
    assert 'on:\n  push:\n    tags: ["v*"]\n' in RELEASE
    assert 'run: test "$GITHUB_REF_NAME" = "v$(python -c ' in RELEASE
    assert "  checks:\n    uses: ./.github/workflows/ci.yml\n" in RELEASE
    assert "\n  workflow_call:\n" in WORKFLOW
    before, publish = RELEASE.split("\n  publish:\n")
    assert "needs: [checks, build]\n" in publish
    assert "permissions:\n      id-token: write\n" in publish
    assert "permissions:\n  contents: read\n\njobs:" in before
    assert RELEASE.count("permissions:") == 2
    # PyPI compares these two names, and the page tells people to enter them.
    assert "environment: pypi\n" in publish
    assert "workflow ``release.yml``, environment ``pypi``" in PAGE


def test_the_links_of_a_release_lead_to_its_own_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = RELEASE.partition("shell: python\n        run: |\n")[2].partition("\n      - ")[0]
    (tmp_path / "setup.cfg").write_text(read("setup.cfg"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://code.example")
    monkeypatch.setenv("GITHUB_REPOSITORY", "owner/name")
    monkeypatch.setenv("GITHUB_REF_NAME", "v1.2.3")
    exec(textwrap.dedent(step), {})  # noqa: S102 - as the workflow does
    settings = ConfigParser(interpolation=None)
    settings.read("setup.cfg", encoding="utf-8")
    links = dict(line.split(" = ") for line in settings["metadata"]["project_urls"].split("\n")[1:])
    assert links == {
        "Documentation": "https://code.example/owner/name/tree/v1.2.3/docs",
        "Source": "https://code.example/owner/name",
        "Changelog": "https://code.example/owner/name/blob/v1.2.3/CHANGELOG.rst",
        "Issues": "https://code.example/owner/name/issues",
        "Monta Public API": "https://docs.public-api.monta.com/reference/authentication",
        "Monta Partner API": "https://docs.partner-api.monta.com/docs/integration-notes",
    }
    assert settings["metadata"]["name"] == "monta-auth"
