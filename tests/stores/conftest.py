"""A Redis for all tests of the stores, and a local Monta in the process of a test."""

from collections.abc import Iterator

import pytest

from monta_auth.emulator import Emulator

from .fleet import RedisServer
from .redis_servers import Cluster, Sentinel


@pytest.fixture(scope="session")
def shared_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    """A running, empty Redis."""
    with shared_server.client() as client:
        client.flushall()
    return shared_server


@pytest.fixture
def monta() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture(scope="session")
def sentinel() -> Iterator[Sentinel]:
    with Sentinel() as servers:
        yield servers


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with Cluster() as nodes:
        yield nodes
