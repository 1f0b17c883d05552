"""What applies to every test: a clean environment, no shared tokens, no network."""

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
    """Not an OSError, so that no code that handles network failures handles this one."""


def _require_loopback(host: str | bytes | None) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name is None or name == "localhost":
        return
    try:
        if ipaddress.ip_address(name).is_loopback:
            return
    except ValueError:  # a name, which would need a lookup
        pass
    raise NetworkBlockedError(f"a test wants to reach {host!r}, outside this machine")


def _block_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        _require_loopback(arguments[0])
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        if isinstance(address, tuple):  # neither the path of a Unix socket nor None
            _require_loopback(address[0])


# An audit hook sees every thread and every library, including name lookups, even if they were
# imported or patched earlier. It stays until the process ends.
sys.addaudithook(_block_network)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_auto_num_workers() -> int:
    """Run one worker more than there are cores, because tests of sockets and processes wait."""
    return (os.cpu_count() or 1) + 1


# When all cores are busy, an example and its generation may take long.
settings.register_profile(
    "busy", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("busy")


# A shell starts background programs with SIGINT ignored, and child processes inherit that. Some
# tests interrupt their child processes.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--support", choices=["write"], help="tables of what ran, in docs/")


def pytest_configure(config: pytest.Config) -> None:
    # Not in a worker, which knows only its own part of the run.
    if config.getoption("--support") and not hasattr(config, "workerinput"):
        support.require_a_full_run(config)
        config.pluginmanager.register(support)


@pytest.fixture(scope="session")
def _authority(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with one certificate that no server uses: reading all public ones takes 20 ms."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, _authority: str) -> None:
    """Hide the developer's credentials and proxies from the tests."""
    for name in list(os.environ):
        if name.upper().startswith("MONTA_") or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    # Each httpx client reads this file again.
    monkeypatch.setenv("SSL_CERT_FILE", _authority)


@pytest.fixture(autouse=True)
def _nothing_shared() -> Iterator[None]:
    """Prevent a test from using a token that another test left behind."""
    shared_sources.forget_shared_sources()
    yield
    shared_sources.forget_shared_sources()


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    """Time for flows that a test drives itself. Detached calls are made at once."""
    for module in (store_visit, stored_record):
        monkeypatch.setattr(module, "detach", lambda function: function())
    return Hands()


@pytest.fixture
def site() -> Iterator[Emulator]:
    """A local Monta that counts calls."""
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All tokens that emulators issue from here on."""
    issued: list[str] = []

    def uuid4() -> uuid.UUID:
        issued.append(str(token := uuid.uuid4()))
        return token

    monkeypatch.setattr(_state, "uuid", SimpleNamespace(uuid4=uuid4))
    return issued
