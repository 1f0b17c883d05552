"""Handwritten SDKs: a class that is a session, a class that has one, and async ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import httpx2
import pytest
import requests

import httpx2_monta
import httpx_monta
import requests_monta
from monta_auth.emulator import Emulator

from .retried import RETRIED


class IsSession(requests.Session):
    def __init__(self, base_url: str, **credentials: Any) -> None:
        super().__init__()
        self.base_url = base_url
        self.auth = requests_monta.MontaAuth(base_url=base_url, session=self, **credentials)

    def charge_points(self) -> Any:
        return self.get(self.base_url + "/charge-points").json()


class HasSession:
    def __init__(self, base_url: str, **credentials: Any) -> None:
        self.base_url = base_url
        self.session = requests.Session()
        self.session.auth = requests_monta.MontaAuth(
            base_url=base_url, session=self.session, **credentials
        )

    def charge_points(self) -> Any:
        return self.session.get(self.base_url + "/charge-points").json()

    def close(self) -> None:
        self.session.close()


class HasClient:
    def __init__(self, base_url: str, **credentials: Any) -> None:
        auth = httpx_monta.MontaAuth(base_url=base_url, **credentials)
        self.client = httpx.Client(base_url=base_url, auth=auth)

    def charge_points(self) -> Any:
        return self.client.get("/charge-points").json()

    def close(self) -> None:
        self.client.close()


class IsAsyncClient(httpx2.AsyncClient):
    def __init__(self, base_url: str, **credentials: Any) -> None:
        super().__init__(base_url=base_url)
        self.auth = httpx2_monta.MontaAuth(base_url=base_url, client=self, **credentials)

    async def charge_points(self) -> Any:
        return (await self.get("/charge-points")).json()


class HasAsyncClient:
    def __init__(self, base_url: str, **credentials: Any) -> None:
        auth = httpx_monta.MontaAuth(base_url=base_url, **credentials)
        self.client = httpx.AsyncClient(base_url=base_url, auth=auth)

    async def charge_points(self) -> Any:
        return (await self.client.get("/charge-points")).json()

    async def aclose(self) -> None:
        await self.client.aclose()


def twice(sdk: Any, between: Callable[[], None]) -> list[Any]:
    first = sdk.charge_points()
    between()
    second = sdk.charge_points()
    sdk.close()
    return [first, second]


async def atwice(sdk: Any, between: Callable[[], None]) -> list[Any]:
    first = await sdk.charge_points()
    between()
    second = await sdk.charge_points()
    await sdk.aclose()
    return [first, second]


@pytest.mark.parametrize("cls", [IsSession, HasSession, HasClient, IsAsyncClient, HasAsyncClient])
def test_a_handwritten_sdk_needs_no_code_for_tokens(cls: Any, site: Emulator) -> None:
    """Below the SDK, tokens are fetched, and renewed after a 401."""
    sdk = cls(site.base_url, client_id=site.client_id, client_secret=site.client_secret)
    if hasattr(sdk, "aclose"):
        pages = asyncio.run(atwice(sdk, site.revoke_access_tokens))
    else:
        pages = twice(sdk, site.revoke_access_tokens)

    assert [page["meta"]["totalItemCount"] for page in pages] == [24, 24]
    assert [(call.path, call.status) for call in site.calls] == RETRIED
