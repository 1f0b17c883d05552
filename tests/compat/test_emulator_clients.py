"""The calls of other Monta clients, copied from their source code: none gets a 501."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from monta_auth.emulator import Emulator
from requests_monta import MontaAuth


@pytest.fixture
def session(site: Emulator) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.auth = MontaAuth(site.client_id, site.client_secret, base_url=site.base_url)
        yield session
    assert not [call for call in site.calls if call.status == 501]


def test_home_assistant_sets_up_and_polls(site: Emulator, session: requests.Session) -> None:
    """It has two coordinators: charge points with their last charges, and the wallet."""
    base = site.base_url
    for _ in range(2):
        page = session.get(f"{base}/charge-points?page=0&perPage=10").json()
        for point in page["data"]:
            query = f"chargePointId={point['id']}&page=0&perPage=10"
            charges = session.get(f"{base}/charges?{query}").json()["data"]
            assert all(charge["chargePointId"] == point["id"] for charge in charges)
            assert charges == sorted(charges, key=lambda charge: -charge["id"])
        assert session.get(f"{base}/wallets/personal").json()["balance"]["amount"] > 0
        assert session.get(f"{base}/wallet-transactions?page=0&perPage=10").json()["data"]


def test_a_pipeline_loads_only_new_records(site: Emulator, session: requests.Session) -> None:
    """Page by page from where it stopped last time, without repeats or gaps."""
    site.access_lifetime = 1e7
    base, loaded = site.base_url, dict[int, Any]()
    since = datetime.now(UTC) - timedelta(days=90)
    for day in range(3):
        until = datetime.now(UTC) + timedelta(seconds=site.clock_offset)
        span: dict[str, Any] = {"fromDate": _text(since), "toDate": _text(until)}
        new = []
        for path in ("/charges", "/wallet-transactions"):
            page, last = 0, 1
            while page < last:
                reply = session.get(base + path, params={**span, "page": page, "perPage": 25})
                last = reply.json()["meta"]["totalPageCount"]
                new += reply.json()["data"]
                page += 1
        assert len(new) == (100, 1, 1)[day]
        loaded |= {row["id"]: row for row in new}
        since = until + timedelta(seconds=1)
        site.clock_offset += 86400 / 2
        session.post(f"{base}/charges", json={"chargePointId": 101 + day}).raise_for_status()
        site.clock_offset += 86400 / 2
    assert len(loaded) == 102


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_script_starts_polls_and_stops(site: Emulator, session: requests.Session) -> None:
    base, states = site.base_url, []
    charge = session.post(f"{base}/charges", json={"chargePointId": 101}).json()
    again = session.post(f"{base}/charges", json={"chargePointId": 101})
    assert (again.status_code, again.json()["errorCode"]) == (400, "BAD_REQUEST")
    for _ in range(30):
        site.clock_offset += 1
        shown = session.get(f"{base}/charges/{charge['id']}").json()
        states += [shown["state"]] if shown["state"] not in states else []
        if states[-1] == "charging":
            session.post(f"{base}/charges/{charge['id']}/stop").raise_for_status()
        if states[-1] == "completed":
            break
    assert states == ["starting", "charging", "stopping", "stopped", "completed"]


def test_a_crawler_of_afir_reads_the_open_list_and_then_each_state(site: Emulator) -> None:
    base, evses = site.base_url, list[str]()
    for country in ("DK", "BE"):
        for page in (1, 2, 3):
            url = f"{base}/afir/charge-points?country={country}&page={page}&perPage=3"
            table = requests.get(url, timeout=5).json()
            for site_row in table["energyInfrastructureTable"][0]["energyInfrastructureSite"]:
                where = site_row["locationReference"]["locPointLocation"]
                assert where["pointByCoordinates"]["pointCoordinates"]["latitude"] > 50
                for station in site_row["energyInfrastructureStation"]:
                    for point in station["refillPoint"]:
                        evses.append(point["externalIdentifier"][0]["identifier"])
                        assert point["connector"][0]["maxPowerAtSocket"] >= 22000
            if page * 3 >= table["meta"]["total"]:
                break
    assert len(evses) == len(set(evses)) == 18

    credentials = {"clientId": site.client_id, "clientSecret": site.client_secret}
    # Many scripts send the date in this form.
    kind = {"Content-Type": "application/json; charset=UTF-8"}
    body = json.dumps(credentials)
    pair = requests.post(f"{base}/auth/token", data=body, headers=kind, timeout=5).json()
    bearer = {"Authorization": f"Bearer {pair['accessToken']}"}
    for evse in evses[:3]:
        url = f"{base}/afir/charge-points/{evse}/status"
        shown = requests.get(url, headers=bearer, timeout=5).json()["electricChargingPointStatus"]
        assert shown["evseId"] == evse
        assert shown["energyRateUpdate"][0]["energyPrice"][0]["value"] > 0


def test_a_hobby_client_mints_with_more_fields_on_every_poll(site: Emulator) -> None:
    body = {"clientId": site.client_id, "clientSecret": site.client_secret, "grantType": "x"}
    for _ in range(3):
        pair = requests.post(f"{site.base_url}/auth/token", json=body, timeout=5).json()
        headers = {"Authorization": f"Bearer {pair['accessToken']}", "Accept": "application/json"}
        url = f"{site.base_url}/charges?state=charging,paused"
        assert len(requests.get(url, headers=headers, timeout=5).json()["data"]) == 2


def test_a_partner_starts_reserves_and_stops_with_gets(
    site: Emulator, session: requests.Session
) -> None:
    site.partner, base = True, site.base_url
    me = session.get(f"{base}/consumers/me").json()
    assert me["rateLimit"] == 1000
    point = session.get(f"{base}/charge-points", params={"state": "available"}).json()["data"][0]
    body = {"chargePointId": point["id"], "payingTeamId": point["teamId"], "reserveCharge": True}
    charge = session.post(f"{base}/charges", json=body).json()
    assert charge["state"] == "reserved"
    url = f"{base}/charges/{charge['id']}"
    assert session.get(f"{url}/restart").json()["state"] == "starting"
    assert session.get(f"{url}/stop").json()["state"] == "stopping"
    rows = session.get(f"{base}/charges", params={"siteId": point["siteId"]}).json()["data"]
    assert rows[0]["id"] == charge["id"]
