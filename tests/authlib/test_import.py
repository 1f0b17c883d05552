"""What ``import monta_auth.authlib`` brings along."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import monta_auth
import monta_auth.authlib

ROOT = Path(monta_auth.__file__).parent.parent


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def test_it_loads_no_http_library_and_no_warning() -> None:
    """Authlib warns who imports its httpx part without httpx2; our users must not meet that."""
    loaded = python("import sys, monta_auth.authlib; print(*sys.modules)").split()

    assert "authlib" in loaded
    assert not {"requests", "httpx", "httpx2", "authlib.integrations.httpx_client"} & {*loaded}


def test_the_core_does_not_load_it() -> None:
    loaded = python("import sys, monta_auth, requests_monta, httpx_monta; print(*sys.modules)")

    assert not {"authlib", "monta_auth.authlib"} & {*loaded.split()}


def test_without_authlib_it_names_the_command() -> None:
    code = (
        "import sys; sys.modules['authlib'] = None\n"
        "try: import monta_auth.authlib\n"
        "except ImportError as error: print(error)"
    )
    text = "monta_auth.authlib needs authlib: pip install 'monta-auth[authlib]'"
    assert python(code) == text


def test_it_shows_three_functions() -> None:
    assert monta_auth.authlib.__all__ == ["from_oauth2_token", "speak_monta", "to_oauth2_token"]
