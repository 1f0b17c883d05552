"""httpx2_monta is the same code as httpx_monta, for another module."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2_monta
import httpx_monta

#: The name of the library or its adapter, but not of a module that both share.
_NAME = re.compile(r"\bhttpx(?=_monta\b|\b)")


def _files(package: Path) -> dict[str, str]:
    return {
        str(path.relative_to(package)): path.read_text("utf-8")
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def test_both_adapters_are_equal_except_for_the_librarys_name() -> None:
    one, other = (_files(Path(str(each.__file__)).parent) for each in (httpx_monta, httpx2_monta))
    assert "_auth.py" in one
    assert {name: _NAME.sub("httpx2", text) for name, text in one.items()} == other
