"""Token sources for the tests that drive flows by hand."""

from __future__ import annotations

import pytest

from monta_auth._core.source import Source
from monta_auth.stores import MemoryStore

from ..simulation.flows import Hands, hold, make_source


@pytest.fixture
def source(hands: Hands) -> Source:
    """A source that holds nothing yet."""
    return make_source(hands)


@pytest.fixture
def holder(hands: Hands) -> Source:
    """A source that holds pair 1, just issued."""
    source = make_source(hands)
    hold(hands, source)
    return source


@pytest.fixture
def store(hands: Hands) -> MemoryStore:
    """A store with leases on the clock of the flows."""
    return MemoryStore(monotonic=lambda: hands.now)
