"""Which module may import which: one direction between rooms, one order inside the core."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import monta_auth

ROOT = Path(monta_auth.__file__).parent.parent
PACKAGES = ("monta_auth", "requests_monta", "httpx_monta", "httpx2_monta", "aiohttp_monta")

#: The core, in order: a module uses only modules above it.
CORE = [
    "errors",
    "frozen",
    "secret",
    "credentials",
    "origins",
    "proxies",
    "tokens",
    "policy",
    "arguments",
    "replies",
    "token_calls",
    "held_pair",
    "refusals",
    "flight",
    "state",
    "status",
    "effects",
    "loops",
    "drivers",
    "store_protocol",
    "sealing",
    "store_errors",
    "terms",
    "stored_record",
    "store_visit",
    "store_changes",
    "outcomes",
    "renewal",
    "leader",
    "source",
    "application",
    "shared_sources",
]

#: For each room, the other rooms that it may import; "public" is monta_auth/__init__.py.
MAY_USE = {
    "_core": set[str](),
    "stores": {"_core"},
    "public": {"_core", "_adapters", "stores"},
    "_adapters": {"_core"},
    "adapters": {"_core", "_adapters", "public"},
    "emulator": set[str](),
    # Entry points.
    "_cli": {"_core", "_adapters", "public", "stores", "emulator", "adapters"},
    "__main__": {"_cli"},
    "authlib": {"_core", "_adapters", "public"},
    "openapi_generator": {"_core", "_adapters"},
    "pytest_plugin": {"_core", "_adapters", "public", "emulator"},
}


def modules() -> dict[str, Path]:
    """Return each module of the distribution by its dotted name."""
    found: dict[str, Path] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


@cache
def uses(module: str) -> frozenset[str]:
    """Return our modules that a module imports, anywhere in it, even if only for type checkers."""
    return frozenset(_imported(module))


def _imported(module: str) -> Iterator[str]:
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) + 1 - node.level]
            start = ".".join([*base, node.module or ""] if node.level else [node.module or ""])
            start = start.strip(".")
            names = [f"{start}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else start for name in names]
        else:
            continue
        yield from (name for name in names if name in MODULES and name != module)


def room(module: str) -> str:
    package, _, rest = module.partition(".")
    if package != "monta_auth":
        return "adapters"
    return rest.partition(".")[0] or "public"


def test_the_core_is_listed_in_full() -> None:
    assert {f"monta_auth._core.{name}" for name in CORE} == {
        name for name in MODULES if name.startswith("monta_auth._core.")
    }


@pytest.mark.parametrize("name", CORE)
def test_a_module_of_the_core_uses_only_modules_above_it(name: str) -> None:
    above = {f"monta_auth._core.{other}" for other in CORE[: CORE.index(name)]}
    assert set(uses(f"monta_auth._core.{name}")) <= above


@pytest.mark.parametrize("module", MODULES)
def test_a_room_uses_only_rooms_below_it(module: str) -> None:
    own = room(module)
    assert {room(used) for used in uses(module)} <= MAY_USE[own] | {own}


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_part_of_an_import_cycle(module: str) -> None:
    """Not even for type checkers: two modules that only make sense together are one module."""
    seen: set[str] = set()
    todo = set(uses(module))
    while todo:
        name = todo.pop()
        if MODULES[name].name == "__init__.py" and module.startswith(f"{name}."):
            continue  # a package is only what its modules make of it
        assert name != module
        seen.add(name)
        todo |= set(uses(name)) - seen
