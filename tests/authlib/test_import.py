"""What ``import monta_auth.authlib`` imports."""

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


def test_it_imports_no_http_library_and_causes_no_warning() -> None:
    """Authlib's httpx module warns if httpx2 is missing. Our users must not get that warning."""
    loaded = python("import sys, monta_auth.authlib; print(*sys.modules)").split()

    assert "authlib" in loaded
    assert not {"requests", "httpx", "httpx2", "authlib.integrations.httpx_client"} & {*loaded}


def test_the_core_does_not_load_it() -> None:
    loaded = python("import sys, monta_auth, requests_monta, httpx_monta; print(*sys.modules)")

    assert not {"authlib", "monta_auth.authlib"} & {*loaded.split()}


def test_without_authlib_the_error_shows_the_install_command() -> None:
    code = (
        "import sys; sys.modules['authlib'] = None\n"
        "try: import monta_auth.authlib\n"
        "except ImportError as error: print(error)"
    )
    text = "monta_auth.authlib needs authlib: pip install 'monta-auth[authlib]'"
    assert python(code) == text


def test_it_offers_three_functions() -> None:
    assert monta_auth.authlib.__all__ == ["from_oauth2_token", "speak_monta", "to_oauth2_token"]
