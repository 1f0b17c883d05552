"""All methods of the PyPI package monta, with the emulator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from monta_auth.emulator import Emulator

monta = pytest.importorskip("monta", reason="monta is not installed")

# The package does not read the body of a response that it raises an error for.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

from monta.exceptions import MontaApiClientRateLimitError  # noqa: E402
from monta.models import ChargeState, WalletTransactionState  # noqa: E402


def run(site: Emulator, job: Callable[[Any], Awaitable[None]]) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            await job(monta.MontaApiClient(site.client_id, site.client_secret, session))

    asyncio.run(main())


@pytest.fixture(autouse=True)
def _base_url(site: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monta.client.API_BASE_URL", site.base_url + "/")


def test_it_lists_charge_points(site: Emulator) -> None:
    async def job(client: Any) -> None:
        assert len(await client.async_get_charge_points()) == 10
        assert len(await client.async_get_charge_points(page=2)) == 4
        points = await client.async_get_all_charge_points(per_page=7)
        assert len(points) == 24
        point = await client.async_get_charge_point(101)
        assert point == points[101]
        assert point.location.address.city == "Copenhagen"

    run(site, job)


def test_it_starts_and_stops_a_charge(site: Emulator) -> None:
    async def job(client: Any) -> None:
        started = await client.async_start_charge(101)
        assert (started.state, started.id > 2**53) == ("starting", True)
        site.clock_offset += 600
        [charge] = await client.async_get_charges(101, state=ChargeState.CHARGING)
        assert (charge.id, charge.consumed_kwh > 1) == (started.id, True)
        assert (await client.async_get_charge_point(101)).state == "busy-charging"
        assert (await client.async_stop_charge(started.id)).state == "stopping"
        site.clock_offset += 60
        assert (await client.async_get_charges(101))[0].state == "completed"

    run(site, job)


def test_it_filters_charges_and_transactions_by_date(site: Emulator) -> None:
    until = datetime.now(UTC) - timedelta(days=7)
    span = {"from_date": until - timedelta(days=14), "to_date": until, "per_page": 100}

    async def job(client: Any) -> None:
        for get in (client.async_get_charges, client.async_get_wallet_transactions):
            found = await get(**span)
            assert 10 <= len(found) < 20
            assert all(span["from_date"] <= one.created_at <= until for one in found)

    run(site, job)


def test_it_reads_the_wallet(site: Emulator) -> None:
    async def job(client: Any) -> None:
        wallet = await client.async_get_personal_wallet()
        assert (wallet.balance.amount > 0, wallet.currency.identifier) == (True, "dkk")
        newest = (await client.async_get_wallet_transactions())[0]
        assert newest.to_amount > 0
        assert newest.summary
        state = WalletTransactionState.PENDING
        pending = await client.async_get_wallet_transactions(state=state)
        assert {one.state for one in pending} == {"pending"}

    run(site, job)


def test_its_tokens_are_renewed_and_its_quota_applies(site: Emulator) -> None:
    async def job(client: Any) -> None:
        await client.async_authenticate()
        for also_refresh in (False, True):
            site.revoke_access_tokens()
            if also_refresh:
                site.revoke_refresh_tokens()
            assert await client.async_get_charge_points()
        site.quota, site.send_retry_after = 1, True
        await client.async_get_charge_points()
        with pytest.raises(MontaApiClientRateLimitError) as caught:
            await client.async_get_charge_points()
        wait = caught.value.retry_after
        assert wait is not None
        assert 0 < wait <= 60

    run(site, job)
    assert not [call for call in site.calls if call.status == 501]
