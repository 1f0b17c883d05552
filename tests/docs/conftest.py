"""A local Monta in place of Monta's API, which knows the credentials of the examples."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from monta_auth.emulator import Emulator

from .pages import stand_in


@pytest.fixture
def monta(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator(client_id="client-id", client_secret="client-secret") as monta:
        stand_in(monta, monta.base_url, monkeypatch)
        yield monta
