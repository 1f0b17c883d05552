"""Fixtures of the simulation."""

from __future__ import annotations

import pytest

from monta_auth._core import store_visit, stored_record


@pytest.fixture(autouse=True)
def _nothing_is_detached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make detached calls at once, since a simulation has no threads."""
    for module in (store_visit, stored_record):
        monkeypatch.setattr(module, "detach", lambda function: function())
