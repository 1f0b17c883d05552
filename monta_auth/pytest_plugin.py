"""Test code that calls Monta with these fixtures. pytest finds them automatically.

``monta_emulator`` is a local server. ``monta_responses`` (for requests) and ``monta_respx`` (for
httpx and httpx2) answer token calls without a server. Tests do not share tokens: the registry of
shared sources is emptied before and after each test.

Every pytest run in this environment loads the module, so it imports what it needs only on use.
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

#: Where respx has to intercept httpx2, in its own format. It knows only httpx.
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
    """Run a local Monta for this test; see `monta_auth.emulator.Emulator`.

    During the test, ``MONTA_BASE_URL``, ``MONTA_CLIENT_ID`` and ``MONTA_CLIENT_SECRET`` point to
    it, so ``MontaAuth()`` needs no arguments. ``NO_PROXY`` keeps proxies of the environment out.
    """
    from .emulator import Emulator

    with Emulator() as emulator:
        monkeypatch.setenv("MONTA_BASE_URL", emulator.base_url)
        _keep_here(monkeypatch)
        _set_credentials(monkeypatch, emulator.client_id, emulator.client_secret)
        yield emulator


@pytest.fixture
def monta_responses(monkeypatch: pytest.MonkeyPatch) -> Iterator[responses.RequestsMock]:
    """Answer ``/auth/token`` and ``/auth/refresh`` of any host with a ``responses.RequestsMock``.

    The tokens are ``monta-access-1``, ``monta-access-2`` and so on, valid for one hour.
    ``MONTA_CLIENT_ID`` and ``MONTA_CLIENT_SECRET`` are set to made-up values, and
    ``MONTA_BASE_URL`` is removed, so that tests do not depend on the environment. Unused
    responses do not fail the test unless you set ``assert_all_requests_are_fired``.
    """
    responses = _import("responses", "monta_responses")
    pairs = _pairs()

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        body, headers = next(pairs)
        return 200, headers, body

    _set_made_up(monkeypatch)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add_callback("POST", _AUTH_CALL, answer, content_type="application/json")
        yield mock


@pytest.fixture
def monta_respx(monkeypatch: pytest.MonkeyPatch) -> Iterator[respx.MockRouter]:
    """Answer token calls of httpx and httpx2 with a respx router, like `monta_responses`.

    Unused routes do not fail the test. Routes answer with ``httpx.Response`` for httpx2 as well,
    because respx does not know httpx2.
    """
    respx = _import("respx", "monta_respx")
    pairs = _pairs()

    def answer(request: Any) -> Any:
        body, headers = next(pairs)
        return importlib.import_module("httpx").Response(200, headers=headers, text=body)

    targets = _HTTPX2_TARGETS if find_spec("httpcore2") else ()
    _set_made_up(monkeypatch)
    mocker = respx.mocks.HTTPCoreMocker
    mocker.add_targets(*targets)
    try:
        with respx.mock(assert_all_called=False) as router:
            router.post(url__regex=_AUTH_CALL.pattern).mock(side_effect=answer)
            yield router
    finally:
        mocker.remove_targets(*targets)


def _forget_shared_sources() -> None:
    # Without this module, there are no shared sources.
    registry = sys.modules.get("monta_auth._core.shared_sources")
    if registry is not None:
        registry.forget_shared_sources()


def _set_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    _set_credentials(monkeypatch, "client-id", "client-secret")
    monkeypatch.delenv("MONTA_BASE_URL", raising=False)


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
    """Yield the responses of an auth endpoint: body and headers."""
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
