"""Fixtures of the contract suite: `h` is each way to use each library, one after the other."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from monta_auth._core import drivers
from monta_auth._core.source import Source

from ..clock import Now
from .contract import Harness, Portals
from .libraries import WAYS
from .site import Host, Monta, Raw, Serve


@pytest.fixture(scope="session")
def portals() -> Iterator[Portals]:
    """Event loops for asyncio and trio, started when first needed."""
    running: dict[str, BlockingPortal] = {}
    with ExitStack() as stack:

        def portal(backend: str) -> BlockingPortal:
            if backend not in running:
                running[backend] = stack.enter_context(start_blocking_portal(backend))
            return running[backend]

        yield portal


@pytest.fixture(params=WAYS)
def h(request: pytest.FixtureRequest, portals: Portals) -> Iterator[Harness]:
    kind, separate = WAYS[request.param]
    harness = kind(portals, separate=separate)
    yield harness
    harness.close()


@pytest.fixture
def monta(now: Now) -> Iterator[Monta]:
    with Monta(now) as site:
        yield site


@pytest.fixture
def raw() -> Iterator[Raw]:
    """Start servers that pass each connection to a function; return the base URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def start(handle: Serve) -> str:
            def serve(line: socket.socket) -> None:
                with line:
                    try:
                        handle(line, line.recv(65536))
                    except OSError:
                        pass  # the client hung up

            def accept() -> None:
                while True:
                    try:
                        line, _ = server.accept()
                    except OSError:
                        return
                    threading.Thread(target=serve, args=(line,), daemon=True).start()

            threading.Thread(target=accept, daemon=True).start()
            return f"http://127.0.0.1:{server.getsockname()[1]}/api/v1"

        yield start
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def foreign() -> Iterator[Host]:
    with Host() as host:
        yield host


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch, now: Now) -> list[float]:
    """Record each pause and advance the test's clock instead of sleeping."""
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now.advance(seconds)

    async def asleep(seconds: float) -> None:
        sleep(seconds)

    monkeypatch.setattr(drivers, "time", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(drivers, "_sleep", asleep)
    return pauses


@pytest.fixture
def acquired(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """The `args` and `kwargs` of the adapters' calls of `Source.acquire`."""
    calls: list[SimpleNamespace] = []
    acquire = Source.acquire

    def note(self: Source, *args: Any, **kwargs: Any) -> Any:
        calls.append(SimpleNamespace(args=args, kwargs=kwargs))
        return acquire(self, *args, **kwargs)

    monkeypatch.setattr(Source, "acquire", note)
    return calls
