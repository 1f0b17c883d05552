"""A combination, and the table of all combinations in the documentation."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).parents[2] / "docs" / "libraries" / "compatibility.inc"

_HEAD = """\
.. list-table::
   :header-rows: 1
   :widths: 20 15 10 55

   * - Package
     - With
     - Tried
     - What to know
"""
_VERSION = re.compile(r"^(   \* - .*\n     - .*\n     - ).*$", re.MULTILINE)


@dataclass(frozen=True)
class Combination:
    """One row. A module of this folder tries it and names it `COMBINATION`."""

    name: str  # what readers look for: a package, or a feature of the library
    with_: str  # "requests", "httpx", "httpx, httpx2"
    know: str  # reStructuredText, on one line
    distribution: str | None = None  # the package with the tested version, if it is not `name`

    def row(self) -> str:
        version = importlib.metadata.version(self.distribution or self.name)
        return f"   * - {self.name}\n     - {self.with_}\n     - {version}\n     - {self.know}\n"


def table(combinations: Iterable[Combination]) -> str:
    """Return the rows in the order of their names."""
    rows = sorted(combinations, key=lambda each: each.name.lstrip("`").lower())
    return _HEAD + "".join(each.row() for each in rows)


def without_versions(text: str) -> str:
    """Return what must be equal on each machine: a newer release changes no row."""
    return _VERSION.sub(r"\1", text)
