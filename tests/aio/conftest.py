"""Fixtures: those of the contract suite, with aiohttp for `h`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..adapters.conftest import foreign, monta, now, portals, slept
from ..adapters.contract import Portals
from .harness import Aiohttp

__all__ = ["foreign", "monta", "now", "portals", "slept"]


@pytest.fixture(params=[False, True], ids=["aiohttp", "aiohttp session="])
def h(request: pytest.FixtureRequest, portals: Portals) -> Iterator[Aiohttp]:
    harness = Aiohttp(portals, separate=request.param)
    yield harness
    harness.close()
