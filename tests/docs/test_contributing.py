"""docs/contributing.rst: the table of modules is complete, and the named places exist."""

from __future__ import annotations

import pkgutil
import re

from ..core.test_rooms import CORE, MODULES, ROOT
from .pages import DOCS

PAGE = (DOCS / "contributing.rst").read_text(encoding="utf-8")
PLACES = PAGE.partition("\nWhere is ...?\n")[2].partition("\nAll rooms and modules\n")[0]
TABLE = PAGE.partition("\nAll rooms and modules\n")[2].partition("\nRun the checks\n")[0]

#: The folders whose modules each have a row.
IN_DETAIL = ("monta_auth/", "monta_auth/_core/", "monta_auth/_adapters/")


def listed() -> list[str]:
    """Return the paths in the table, where modules follow their folder."""
    paths: list[str] = []
    folder = ""
    for name in re.findall(r"^   \* - ``(.+)``\n     - .+$", TABLE, re.MULTILINE):
        folder = name if name.endswith("/") else folder
        paths.append(name if name.endswith("/") else folder + name)
    assert len(paths) == TABLE.count("* - ") - 1  # without the head
    return paths


def test_the_table_has_each_folder_and_each_module_once() -> None:
    expected = {"benchmarks/", "docs/", "tests/"}
    for path in MODULES.values():
        folder = f"{path.relative_to(ROOT).parent.as_posix()}/"
        expected.add(folder)
        if folder in IN_DETAIL and path.name != "__init__.py":
            expected.add(folder + path.name)
    assert sorted(listed()) == sorted(expected)


def test_the_core_is_listed_in_the_order_of_its_imports() -> None:
    core = [path for path in listed() if path.startswith("monta_auth/_core/")]
    assert core == ["monta_auth/_core/", *(f"monta_auth/_core/{name}.py" for name in CORE)]


def test_each_place_exists() -> None:
    answers = re.findall(r"^Where .+\?\n((?:    .+\n)+)", PLACES, re.MULTILINE)
    assert len(answers) == 4
    for answer in answers:
        places = re.findall(r"``(\S+)`` in ``(\S+)\.py``", answer)
        assert places
        for name, path in places:
            assert callable(pkgutil.resolve_name(f"{path.replace('/', '.')}:{name}"))
