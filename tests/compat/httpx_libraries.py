"""httpx and httpx2 with their adapters, and a visit that needs all three kinds of token call."""

from __future__ import annotations

import importlib
from typing import Any

from monta_auth.emulator import Emulator

from .visits import PAGE

TOKEN_CALLS = ["/auth/token", "/auth/refresh", "/auth/refresh"]
PAGES = [PAGE] * 4


class Library:
    """One of the two libraries with its adapter."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.module: Any = importlib.import_module(name)
        self.adapter: Any = importlib.import_module(f"{name}_monta")

    def auth(self, site: Emulator, base_url: str | None = None, **settings: Any) -> Any:
        return self.adapter.MontaAuth(
            site.client_id, site.client_secret, base_url=base_url or site.base_url, **settings
        )


def visit(site: Emulator, client: Any, auth: Any) -> list[Any]:
    """Get three pages: with a new token, a renewed one, and a retry after a 401."""
    first = client.get(PAGE)
    auth.invalidate()
    second = client.get(PAGE)
    site.revoke_access_tokens()
    return _checked([first, second, client.get(PAGE)])


async def avisit(site: Emulator, client: Any, auth: Any) -> list[Any]:
    """Do what `visit` does, with an async client."""
    first = await client.get(PAGE)
    auth.invalidate()
    second = await client.get(PAGE)
    site.revoke_access_tokens()
    return _checked([first, second, await client.get(PAGE)])


def _checked(responses: list[Any]) -> list[Any]:
    assert [response.json()["meta"]["totalItemCount"] for response in responses] == [24] * 3
    return responses
