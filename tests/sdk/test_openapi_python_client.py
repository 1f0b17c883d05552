"""A client from openapi-python-client, with ``httpx_args={"auth": ...}``."""

from __future__ import annotations

import asyncio
import importlib
from types import ModuleType
from typing import Any

import httpx
import pytest

from httpx_monta import InvalidCredentialsError, MontaAuth
from monta_auth.emulator import Emulator

from ..compat.visits import calls
from .retried import RETRIED


@pytest.fixture
def client(monta_sdk: ModuleType, site: Emulator) -> Any:
    auth = MontaAuth(site.client_id, site.client_secret, base_url=site.base_url)
    return monta_sdk.Client(base_url=site.base_url, httpx_args={"auth": auth})


@pytest.fixture
def charge_points(monta_sdk: ModuleType) -> Any:
    return importlib.import_module("monta_sdk.api.charge_points.get_charge_points")


def test_a_refused_token_is_renewed(client: Any, charge_points: Any, site: Emulator) -> None:
    with client:
        assert charge_points.sync(client=client).meta.total_item_count == 24
        site.revoke_access_tokens()
        assert charge_points.sync(client=client, page=1).data[0].id == 114

    assert calls(site) == RETRIED


def test_a_refused_token_is_renewed_in_async_code(
    client: Any, charge_points: Any, site: Emulator
) -> None:
    async def main() -> None:
        async with client:
            assert (await charge_points.asyncio(client=client)).meta.total_item_count == 24
            site.revoke_access_tokens()
            assert (await charge_points.asyncio(client=client, page=1)).data[0].id == 114

    asyncio.run(main())
    assert calls(site) == RETRIED


def test_sync_and_async_calls_share_one_token(
    client: Any, charge_points: Any, site: Emulator
) -> None:
    """A client has one auth object for both of its httpx clients."""

    async def main() -> None:
        async with client:
            await asyncio.gather(*(charge_points.asyncio(client=client) for _ in range(8)))

    with client:
        charge_points.sync(client=client)
    asyncio.run(main())

    assert site.count("/auth/token") == 1
    assert site.count("/charge-points") == 9


def test_an_old_token_is_renewed(client: Any, charge_points: Any, site: Emulator) -> None:
    with client:
        charge_points.sync(client=client)
        client._httpx_args["auth"].invalidate()
        charge_points.sync(client=client)

    assert calls(site) == [call for call in RETRIED if call[1] == 200]


def test_a_refused_post_is_retried_with_its_whole_body(
    client: Any, monta_sdk: ModuleType, site: Emulator
) -> None:
    start = importlib.import_module("monta_sdk.api.charges.start_charge")
    models = importlib.import_module("monta_sdk.models")
    with client:
        client.get_httpx_client().get("/charge-points")
        site.revoke_access_tokens()
        charge = start.sync(client=client, body=models.StartCharge(charge_point_id=101))

    assert (charge.charge_point_id, charge.state) == (101, "starting")
    assert site.count("/charges") == 2


def test_wrong_credentials_raise_an_error_of_httpx(
    monta_sdk: ModuleType, charge_points: Any, site: Emulator
) -> None:
    """Users of the SDK already catch it."""
    auth = MontaAuth(site.client_id, "wrong", base_url=site.base_url)
    client = monta_sdk.Client(base_url=site.base_url, httpx_args={"auth": auth})
    with client, pytest.raises(httpx.RequestError) as caught:
        charge_points.sync(client=client)

    assert isinstance(caught.value, InvalidCredentialsError)
