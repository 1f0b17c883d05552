"""What holds for each test: no environment of the developer's, no shared tokens, no network."""

import ipaddress
import os
import signal
import sys
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from hypothesis import HealthCheck, settings

from monta_auth._core import shared_sources, store_visit, stored_record
from monta_auth.emulator import Emulator, _state

from . import support
from .clock import Now
from .simulation.flows import Hands


class NetworkBlockedError(RuntimeError):
    """Not an OSError: nothing that handles a network failure may handle this one."""


def _require_loopback(host: str | bytes | None) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name is None or name == "localhost":
        return
    try:
        if ipaddress.ip_address(name).is_loopback:
            return
    except ValueError:  # a name, which would be looked up
        pass
    raise NetworkBlockedError(f"a test wants to reach {host!r}, outside this machine")


def _block_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        _require_loopback(arguments[0])
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        if isinstance(address, tuple):  # not a Unix socket's path, nor none
            _require_loopback(address[0])


# An audit hook sees every thread and every library, lookups of names too, whatever was imported
# or patched before. It stays for the life of the process.
sys.addaudithook(_block_network)


# When all cores are busy, an example may take long, and so may generating it.
settings.register_profile(
    "busy", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("busy")


# A shell starts what runs in the background with SIGINT ignored, and children inherit that. Some
# tests interrupt theirs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--support", choices=["write"], help="tables of what ran, in docs/")


def pytest_configure(config: pytest.Config) -> None:
    # Not in a worker: it knows its own part of the run only.
    if config.getoption("--support") and not hasattr(config, "workerinput"):
        support.require_a_full_run(config)
        config.pluginmanager.register(support)


@pytest.fixture(scope="session")
def _authority(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with one certificate, of no server: to read all public ones takes 20 ms."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, _authority: str) -> None:
    """Neither the developer's credentials nor a proxy reach a test."""
    for name in list(os.environ):
        if name.upper().startswith("MONTA_") or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    # Each client of httpx reads it anew.
    monkeypatch.setenv("SSL_CERT_FILE", _authority)


@pytest.fixture(autouse=True)
def _nothing_shared() -> Iterator[None]:
    """No test finds a token that another one left behind."""
    shared_sources.forget_shared_sources()
    yield
    shared_sources.forget_shared_sources()


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    """Time for flows that a test drives itself; what they leave to others happens at once."""
    for module in (store_visit, stored_record):
        monkeypatch.setattr(module, "detach", lambda function: function())
    return Hands()


@pytest.fixture
def site() -> Iterator[Emulator]:
    """A Monta, with calls to count."""
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All tokens that emulators issue from now on."""
    issued: list[str] = []

    def uuid4() -> uuid.UUID:
        issued.append(str(token := uuid.uuid4()))
        return token

    monkeypatch.setattr(_state, "uuid", SimpleNamespace(uuid4=uuid4))
    return issued
