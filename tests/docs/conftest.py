"""A Monta that stands where Monta's API does, and knows the credentials of the examples."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import aiohttp_monta
import httpx2_monta
import httpx_monta
import monta_auth
import requests_monta
from monta_auth.emulator import Emulator


@pytest.fixture
def monta(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator(client_id="client-id", client_secret="client-secret") as monta:
        stand_in(monta, monta.base_url, monkeypatch)
        yield monta


def stand_in(monta: Emulator, base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the packages take this base URL for that of each API, and find the credentials."""
    monkeypatch.setenv("MONTA_BASE_URL", base_url)
    monkeypatch.setenv("MONTA_CLIENT_ID", monta.client_id)
    monkeypatch.setenv("MONTA_CLIENT_SECRET", monta.client_secret)
    for module in (monta_auth, requests_monta, httpx_monta, httpx2_monta, aiohttp_monta):
        monkeypatch.setattr(module, "PUBLIC_API", base_url)
        monkeypatch.setattr(module, "PARTNER_API", base_url)
