"""docs/reference: it has every public name, and no name that is not public."""

from __future__ import annotations

import importlib
import re

import pytest

from .pages import DOCS

#: Each public package or module with its page.
PAGES = {
    "requests_monta": "requests",
    "httpx_monta": "httpx",
    "httpx2_monta": "httpx2",
    "aiohttp_monta": "aiohttp",
    "monta_auth": "core errors",
    "monta_auth.stores": "stores",
    "monta_auth.stores.testing": "testing",
    "monta_auth.authlib": "authlib",
    "monta_auth.openapi_generator": "openapi_generator",
    "monta_auth.emulator": "emulator",
}
_DIRECTIVE = re.compile(r"^\.\. auto(?:class|data|exception|function):: ([\w.]+)$", re.MULTILINE)
_LINK = re.compile(r"`(\w+)`")


def _text(module: str) -> str:
    pages = (DOCS / "reference" / f"{name}.rst" for name in PAGES[module].split())
    return "".join(page.read_text(encoding="utf-8") for page in pages)


def _documented(module: str) -> set[str]:
    """Return the names that autodoc documents. It fails if one of them does not exist."""
    full = _DIRECTIVE.findall(_text(module))
    assert all(name.rpartition(".")[0] == module for name in full)
    return {name.rpartition(".")[2] for name in full}


@pytest.mark.parametrize("module", PAGES)
def test_each_public_name_is_documented(module: str) -> None:
    """By its package, or by the core if the package only re-exports it and links to it."""
    public = {n for n in importlib.import_module(module).__all__ if f"{module}.{n}" not in PAGES}
    own = _documented(module)
    handed_on = public - own
    assert own <= public
    if module in ("requests_monta", "httpx_monta", "httpx2_monta", "aiohttp_monta"):
        assert handed_on <= _documented("monta_auth")
        linked = set(_LINK.findall(_text(module).partition("From the core\n")[2]))
        assert linked == handed_on
    else:
        assert handed_on == set()


def test_each_page_is_in_the_list() -> None:
    index = (DOCS / "reference" / "index.rst").read_text(encoding="utf-8")
    listed = set(re.findall(r"^   (\w+)$", index, re.MULTILINE))
    assert listed == {path.stem for path in (DOCS / "reference").glob("*.rst")} - {"index"}
    assert listed == {page for pages in PAGES.values() for page in pages.split()} | {
        "pytest_plugin"
    }


def test_each_fixture_is_documented() -> None:
    plugin = importlib.import_module("monta_auth.pytest_plugin")
    text = (DOCS / "reference" / "pytest_plugin.rst").read_text(encoding="utf-8")
    fixtures = {name for name in vars(plugin) if name.startswith("monta_")}
    assert fixtures == {name.rpartition(".")[2] for name in _DIRECTIVE.findall(text)}
