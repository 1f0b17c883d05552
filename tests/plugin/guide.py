"""The examples of a page in docs/."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import httpx2_monta
import httpx_monta
import monta_auth
import requests_monta
from monta_auth.emulator import Emulator

DOCS = Path(__file__).parents[2] / "docs"

_BLOCK = re.compile(r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)", re.MULTILINE)


def examples(page: str) -> list[Any]:
    """Return the Python code blocks of a page, in order, as parameters of a test."""
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = (re.sub("^    ", "", block, flags=re.MULTILINE) for block in _BLOCK.findall(text))
    return [pytest.param(code, id=f"example {number}") for number, code in enumerate(blocks, 1)]


def run(code: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run an example with the emulator in the place of Monta; return the paths it called."""
    with Emulator(client_id="client-id", client_secret="client-secret") as monta:
        monkeypatch.setenv("MONTA_BASE_URL", monta.base_url)
        monkeypatch.setenv("MONTA_CLIENT_ID", monta.client_id)
        monkeypatch.setenv("MONTA_CLIENT_SECRET", monta.client_secret)
        for module in (monta_auth, requests_monta, httpx_monta, httpx2_monta):
            monkeypatch.setattr(module, "PUBLIC_API", monta.base_url)
        exec(compile(code, "example", "exec"), {"__name__": "example"})  # noqa: S102 - our own
        assert {call.status for call in monta.calls} == {200}
        return [call.path for call in monta.calls]
