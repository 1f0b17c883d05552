"""Time that moves when a test says so."""

import pytest

from ..simulation.flows import Hands


@pytest.fixture
def hands() -> Hands:
    return Hands()
