"""gql: GraphQL with each of its transports. The httpx transport prefers httpx2."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import aiohttp_monta
import httpx_monta
import requests_monta
from monta_auth.emulator import Emulator

from ..docs.pages import example, stand_in
from .table import Combination

gql: Any = pytest.importorskip("gql", reason="gql is not installed")

COMBINATION = Combination(
    name="gql",
    with_="all",
    know="``HTTPXTransport`` uses httpx2 if that is installed: take ``httpx2_monta`` then. "
    "See :doc:`/guides/where-to-put-auth`.",
)
QUERY = gql.gql("{ chargePoints { name } }")
ANSWER = {"chargePoints": [{"name": "Aarhus 2"}]}


async def _answer(request: Request) -> JSONResponse:
    return JSONResponse({"data": ANSWER})


@pytest.fixture
def graph(site: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    site.routes = [Route("/graphql", _answer, methods=["POST"])]
    stand_in(site, site.base_url, monkeypatch)
    return site


def _transport(graph: Emulator, module: str, name: str, **settings: Any) -> Any:
    transport = getattr(importlib.import_module(f"gql.transport.{module}"), name)
    return transport(url=f"{graph.base_url}/graphql", **settings)


def _check(graph: Emulator, transport: Any) -> None:
    assert gql.Client(transport=transport).execute(QUERY) == ANSWER
    graph.revoke_access_tokens()
    assert gql.Client(transport=transport).execute(QUERY) == ANSWER
    assert (graph.count("/auth/token"), graph.count("/auth/refresh")) == (1, 1)


def test_the_example_retries_a_401(graph: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    transport = example("guides/where-to-put-auth.rst", "gql").run()["transport"]
    assert capsys.readouterr().out == f"{ANSWER}\n"
    _check(graph, transport)


def test_the_requests_transport_retries_a_401(graph: Emulator) -> None:
    auth = requests_monta.MontaAuth()
    _check(graph, _transport(graph, "requests", "RequestsHTTPTransport", auth=auth))


def test_the_aiohttp_transport_retries_a_401(graph: Emulator) -> None:
    session = {"middlewares": (aiohttp_monta.MontaAuth(),)}
    transport = _transport(graph, "aiohttp", "AIOHTTPTransport", client_session_args=session)

    async def use() -> None:
        async with gql.Client(transport=transport) as client:
            assert await client.execute(QUERY) == ANSWER
            graph.revoke_access_tokens()
            assert await client.execute(QUERY) == ANSWER

    asyncio.run(use())
    assert (graph.count("/auth/token"), graph.count("/auth/refresh")) == (1, 1)


def test_the_auth_of_httpx_is_refused_with_the_right_import(graph: Emulator) -> None:
    transport = _transport(graph, "httpx", "HTTPXTransport", auth=httpx_monta.MontaAuth())
    failure = importlib.import_module("gql.transport.exceptions").TransportConnectionFailed
    with pytest.raises(failure, match="write `from httpx2_monta import MontaAuth`"):
        gql.Client(transport=transport).execute(QUERY)
