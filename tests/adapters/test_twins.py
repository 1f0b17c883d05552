"""httpx2_monta is httpx_monta for another module, and stays so."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2_monta
import httpx_monta

#: The name of the library or of its adapter, and not that of a module which both share.
_NAME = re.compile(r"\bhttpx(?=_monta\b|\b)")


def _files(package: Path) -> dict[str, str]:
    return {
        str(path.relative_to(package)): path.read_text("utf-8")
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def test_one_adapter_is_the_other_with_the_librarys_name_replaced() -> None:
    one, other = (_files(Path(str(each.__file__)).parent) for each in (httpx_monta, httpx2_monta))
    assert "_auth.py" in one
    assert {name: _NAME.sub("httpx2", text) for name, text in one.items()} == other
