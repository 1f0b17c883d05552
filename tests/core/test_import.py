"""What `import monta_auth` imports, and which names it offers."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import monta_auth

ROOT = Path(monta_auth.__file__).parent.parent
FORBIDDEN = [
    "requests",
    "httpx",
    "httpx2",
    "urllib3",
    "trio",
    "anyio",
    "asyncio",
    "starlette",
    "uvicorn",
]


def in_a_fresh_interpreter(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


@pytest.mark.parametrize(
    "what",
    ["monta_auth", "monta_auth._core.shared_sources", "monta_auth.stores"],
)
def test_the_core_loads_no_http_library_and_no_event_loop(what: str) -> None:
    """A core that imports no HTTP library does not depend on one, and it starts fast."""
    code = f"import sys; old = set(sys.modules); import {what}; print(*set(sys.modules) - old)"
    loaded = in_a_fresh_interpreter(code).split()
    assert "monta_auth._core.source" in loaded or what == "monta_auth.stores"
    assert not set(loaded) & set(FORBIDDEN)


@pytest.mark.parametrize("module", FORBIDDEN)
def test_the_core_needs_none_of_these_modules(module: str) -> None:
    """Not even in a `try`. What is blocked here may not be installed at a user's."""
    code = f"import sys; sys.modules[{module!r}] = None; import monta_auth; print('fine')"
    assert in_a_fresh_interpreter(code) == "fine\n"


def order(name: str) -> tuple[bool, str]:
    """Constants first, then the rest in alphabetical order, as ruff sorts them (RUF022)."""
    return not name.isupper(), name


@pytest.mark.parametrize(
    "package",
    [
        "monta_auth",
        "monta_auth.stores",
        "monta_auth.emulator",
        "requests_monta",
        "httpx_monta",
        "httpx2_monta",
        "aiohttp_monta",
    ],
)
def test_all_lists_what_dir_shows_in_order(package: str) -> None:
    """If a name is there by accident, users will import it."""
    code = f"import {package} as p; print(*(n for n in dir(p) if not n.startswith('_')))"
    shown = in_a_fresh_interpreter(code).split()
    assert importlib.import_module(package).__all__ == sorted(shown, key=order)


def test_lazily_imported_names_exist_and_no_others() -> None:
    name = in_a_fresh_interpreter("import monta_auth; print(monta_auth.stores.__name__)")
    assert name == "monta_auth.stores\n"
    assert "base_url" in monta_auth.MontaAuthSettings.__annotations__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        monta_auth.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_the_version_is_valid() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", monta_auth.__version__)


def test_the_package_is_typed() -> None:
    assert (ROOT / "monta_auth" / "py.typed").is_file()
