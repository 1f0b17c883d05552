"""FastMCP: tools for a model, generated from a description of the API."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from monta_auth.emulator import Emulator

from ..docs.pages import example, stand_in
from .table import Combination

fastmcp: Any = pytest.importorskip("fastmcp", reason="FastMCP is not installed")

COMBINATION = Combination(
    name="FastMCP",
    with_="httpx2",
    know="``from_openapi`` takes a client with the auth. Exclude ``/auth/``, "
    "or a tool fetches tokens. See :doc:`/guides/where-to-put-auth`.",
    distribution="fastmcp",
)


def test_a_tool_retries_a_401_and_no_tool_fetches_tokens(
    site: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(site, site.base_url, monkeypatch)
    names = example("guides/where-to-put-auth.rst", "fastmcp").run()

    async def use() -> None:
        async with names["client"], fastmcp.Client(names["server"]) as client:
            tools = {tool.name for tool in await client.list_tools()}
            paths = names["description"]["paths"].items()
            calls = [
                call for path, calls in paths if "/auth/" not in path for call in calls.values()
            ]
            assert tools == {call["operationId"] for call in calls} > {"getChargePoints"}
            site.revoke_access_tokens()
            reply = await client.call_tool("getChargePoints", {"page": 1})
            assert reply.structured_content["meta"]["currentPage"] == 1

    asyncio.run(use())
    assert (site.count("/auth/token"), site.count("/auth/refresh")) == (1, 1)


def test_without_that_route_map_the_token_endpoint_is_a_tool(
    site: Emulator,
) -> None:
    """The page warns about this pitfall."""
    description = httpx2.get(f"{site.base_url}/openapi.json").json()
    server = fastmcp.FastMCP.from_openapi(description, httpx2.AsyncClient(base_url=site.base_url))

    async def tools() -> list[str]:
        async with fastmcp.Client(server) as client:
            return [tool.name for tool in await client.list_tools()]

    assert {"getToken", "refreshToken"} <= {*asyncio.run(tools())}
