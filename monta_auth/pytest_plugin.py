"""Fixtures for the tests of code that calls Monta. pytest finds them by itself.

``monta_emulator`` is a server; ``monta_responses`` (for requests) and ``monta_respx`` (for httpx
and httpx2) answer the auth calls without one. Beside that, no test finds the token that another
one fetched: before and after each the registry of shared sources is emptied.

Every pytest run on the machine loads this module: what it needs, it imports when it needs it.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import formatdate
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import responses
    import respx

    from .emulator import Emulator

_AUTH_CALL = re.compile(r"https?://.*/auth/(?:token|refresh)$")

#: Where httpx2 meets the network, in the words of respx, which knows httpx's own only.
_HTTPX2_TARGETS = (
    "httpcore2._sync.connection.HTTPConnection",
    "httpcore2._sync.connection_pool.ConnectionPool",
    "httpcore2._sync.http_proxy.HTTPProxy",
    "httpcore2._async.connection.AsyncHTTPConnection",
    "httpcore2._async.connection_pool.AsyncConnectionPool",
    "httpcore2._async.http_proxy.AsyncHTTPProxy",
)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    _forget_shared_sources()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    _forget_shared_sources()


@pytest.fixture
def monta_emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """A local Monta that runs, a new one for each test; see `monta_auth.emulator.Emulator`.

    ``MONTA_BASE_URL``, ``MONTA_CLIENT_ID`` and ``MONTA_CLIENT_SECRET`` are set to its own for as
    long as the test runs, so that ``MontaAuth()`` needs no arguments. ``NO_PROXY`` keeps its calls
    away from a proxy of the environment.
    """
    from .emulator import Emulator

    with Emulator() as emulator:
        monkeypatch.setenv("MONTA_BASE_URL", emulator.base_url)
        _keep_here(monkeypatch)
        _set_credentials(monkeypatch, emulator.client_id, emulator.client_secret)
        yield emulator


@pytest.fixture
def monta_responses(monkeypatch: pytest.MonkeyPatch) -> Iterator[responses.RequestsMock]:
    """A ``responses.RequestsMock`` that answers ``/auth/token`` and ``/auth/refresh`` of any host.

    The tokens are ``monta-access-1``, ``monta-access-2`` and so on, and live for an hour.
    ``MONTA_CLIENT_ID`` and ``MONTA_CLIENT_SECRET`` are set to made-up values. A reply that was not
    asked for fails no test: set ``assert_all_requests_are_fired`` if it should.
    """
    responses = _import("responses", "monta_responses")
    pairs = _pairs()

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        body, headers = next(pairs)
        return 200, headers, body

    _set_credentials(monkeypatch, "client-id", "client-secret")
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add_callback("POST", _AUTH_CALL, answer, content_type="application/json")
        yield mock


@pytest.fixture
def monta_respx(monkeypatch: pytest.MonkeyPatch) -> Iterator[respx.MockRouter]:
    """A respx router for httpx and httpx2 that answers the auth calls as `monta_responses` does.

    A route that was not called fails no test. For httpx2, which respx itself does not know, routes
    answer with ``httpx.Response`` nonetheless.
    """
    respx = _import("respx", "monta_respx")
    pairs = _pairs()

    def answer(request: Any) -> Any:
        body, headers = next(pairs)
        return importlib.import_module("httpx").Response(200, headers=headers, text=body)

    targets = _HTTPX2_TARGETS if find_spec("httpcore2") else ()
    _set_credentials(monkeypatch, "client-id", "client-secret")
    mocker = respx.mocks.HTTPCoreMocker
    mocker.add_targets(*targets)
    try:
        with respx.mock(assert_all_called=False) as router:
            router.post(url__regex=_AUTH_CALL.pattern).mock(side_effect=answer)
            yield router
    finally:
        mocker.remove_targets(*targets)


def _forget_shared_sources() -> None:
    # Without this module there is nothing to forget.
    registry = sys.modules.get("monta_auth._core.shared_sources")
    if registry is not None:
        registry.forget_shared_sources()


def _set_credentials(monkeypatch: pytest.MonkeyPatch, client_id: str, secret: str) -> None:
    monkeypatch.setenv("MONTA_CLIENT_ID", client_id)
    monkeypatch.setenv("MONTA_CLIENT_SECRET", secret)


def _keep_here(monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    if before != "*":
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, ",".join(["localhost", "127.0.0.1", *filter(None, [before])]))


def _import(name: str, fixture: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"the fixture {fixture} needs {name}: pip install {name}") from error


def _pairs() -> Iterator[tuple[str, dict[str, str]]]:
    """The replies of an auth endpoint, one after the other: body and headers."""
    number = 0
    while True:
        number += 1
        now = time.time()
        pair = {
            "accessToken": f"monta-access-{number}",
            "refreshToken": f"monta-refresh-{number}",
            "accessTokenExpirationDate": _date(now + 3600),
            "refreshTokenExpirationDate": _date(now + 30 * 86400),
            "applicationId": 1,
            "userId": 1,
        }
        yield json.dumps(pair), {"Date": formatdate(now, usegmt=True)}


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
