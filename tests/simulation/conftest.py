"""Fixtures of the simulation."""

from __future__ import annotations

import pytest

from monta_auth._core import store_visit


@pytest.fixture(autouse=True)
def _nothing_is_detached(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a flow leaves to a thread happens at once: a simulation has none."""
    monkeypatch.setattr(store_visit, "detach", lambda function: function())
