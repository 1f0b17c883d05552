"""The examples of a page in docs/."""

from __future__ import annotations

from typing import Any

import pytest

import httpx2_monta
import httpx_monta
import monta_auth
import requests_monta
from monta_auth.emulator import Emulator

from ..docs.pages import blocks


def examples(page: str) -> list[Any]:
    """Return the Python code blocks of a page, in order, as parameters of a test."""
    return [pytest.param(each.code, id=f"example {each.name}") for each in blocks(page)]


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
