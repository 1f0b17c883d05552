"""An emulator with a clock that a test advances."""

from collections.abc import Iterator

import pytest

from monta_auth.emulator import Emulator

from ..clock import Now
from .helpers import Api


@pytest.fixture
def monta(now: Now) -> Iterator[Emulator]:
    with Emulator(time=now) as emulator:
        yield emulator


@pytest.fixture
def api(monta: Emulator) -> Iterator[Api]:
    monta.access_lifetime = 10 * 365 * 86400.0
    client = Api(monta)
    with client.session:
        yield client


@pytest.fixture
def partner(monta: Emulator, api: Api) -> Api:
    """The same for the Partner API."""
    monta.partner = True
    return api
