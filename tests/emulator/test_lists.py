"""Order, filters and pages of the lists; the open data of AFIR."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from monta_auth.emulator import Emulator

from ..clock import START
from .helpers import Api, envelope, get, pair

LISTS = ["/charge-points", "/charges", "/wallet-transactions"]


@pytest.mark.parametrize("path", LISTS)
def test_the_newest_come_first_and_have_ids_beyond_floats(api: Api, path: str) -> None:
    rows = api.rows(path)
    created = [row["createdAt"] for row in rows]
    assert created == sorted(created, reverse=True)
    ids = [row["id"] for row in rows]
    assert ids == sorted(ids, reverse=True)
    assert all(int(float(number)) != number for number in ids[:8])
    assert all(2**53 < number < 2**63 for number in ids[:8])


def test_a_charge_that_was_just_started_comes_first(api: Api) -> None:
    charge = api.start()
    assert api.get("/charges", chargePointId=101, perPage=1)["data"][0] == charge
    assert api.rows("/charges")[0] == charge
    assert 2**53 < charge["id"] < 2**63


@pytest.mark.parametrize("path", LISTS)
def test_a_list_can_be_filtered_by_one_or_several_states(api: Api, path: str) -> None:
    rows = api.rows(path)
    states = sorted({row["state"] for row in rows})
    assert len(states) > 1
    for state in states:
        assert api.rows(path, state=state) == [row for row in rows if row["state"] == state]
    assert api.rows(path, state=",".join(states)) == rows
    several = [("state", state) for state in states] + [("perPage", "100")]
    assert api.call("GET", path, params=several).json()["data"] == rows  # as generated SDKs do
    assert api.rows("/charges", state="reserved") == []


@pytest.mark.parametrize("path", ["/charges", "/wallet-transactions"])
def test_a_list_can_be_filtered_by_creation_date_inclusively(api: Api, path: str) -> None:
    rows = api.rows(path)
    oldest, newest = rows[20]["createdAt"], rows[5]["createdAt"]
    assert api.rows(path, fromDate=oldest, toDate=newest) == rows[5:21]
    assert api.rows(path, fromDate=newest) == rows[:6]
    assert api.rows(path, toDate=oldest) == rows[20:]
    assert api.rows(path, fromDate="2030-01-01T00:00:00Z") == []
    assert api.rows(path, toDate="1970-01-01T00:00:00Z") == []


def test_charges_accept_any_date_with_a_zone_and_transactions_only_whole_seconds_in_utc(
    api: Api,
) -> None:
    rows = api.rows("/charges")
    moment = datetime.fromisoformat(rows[3]["createdAt"])
    for text in (
        (moment + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.000000001+02:00"),
        moment.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    ):
        assert len(api.rows("/charges", fromDate=text)) == 4
        assert api.call("GET", "/wallet-transactions", params={"fromDate": text}).status_code == 400


def test_a_list_can_be_filtered_by_ids(partner: Api) -> None:
    points, charges = partner.rows("/charge-points"), partner.rows("/charges")
    for name in ("siteId", "teamId"):
        value = points[0][name]
        found = [row for row in points if row[name] == value]
        assert 0 < len(found) < len(points)
        assert partner.rows("/charge-points", **{name: value}) == found
        there = {row["id"] for row in found}
        wanted = [row for row in charges if row["chargePointId"] in there]
        assert partner.rows("/charges", **{name: value}) == wanted
        assert partner.rows("/charges", **{name: 999}) == []
    partner.monta.partner = False
    assert len(partner.rows("/charges", siteId=31)) < 60


@pytest.mark.parametrize(
    "query",
    [
        *("page=-1", "page=x", "page=", "page=1_0", "page=+1", "page=1.0", "page=2147483648"),
        *("page=1&page=2", "page=%EF%BC%91", "perPage=0", "perPage=101", "chargePointId=x"),
        *("chargePointId=9223372036854775808", "siteId=a", "teamId=", "state=nonsense", "state="),
        *("state=charging,", "state=charging%20completed", "state=CHARGING"),
        *("fromDate=yesterday", "fromDate=2025-01-01", "fromDate=2025-01-01T00:00:00", "toDate="),
        *("toDate=2025-13-01T00:00:00Z", "toDate=2025-01-01T24:61:00Z", "toDate=1736200000"),
        "fromDate=2025-01-01T00:00:00+02:00",  # the plus sign is not escaped
    ],
)
def test_a_wrong_value_is_a_400_that_names_the_parameter(api: Api, query: str) -> None:
    reply = api.call("GET", f"/charges?{query}")
    assert envelope(reply) == (400, "BAD_REQUEST", "BAD_REQUEST")
    assert reply.json()["message"] == "Invalid request"
    assert query.partition("=")[0] in reply.json()["readableMessage"]


@pytest.mark.parametrize("size", ["0", "86400", "3600,300", "-300", ""])
def test_a_wrong_period_of_the_consumption_is_a_400(api: Api, size: str) -> None:
    query = {"consumptionPeriodSizeInSeconds": size}
    reply = api.call("GET", "/charges/5001/kwh-consumption", params=query)
    assert reply.status_code == 400


def afir(monta: Emulator, query: str) -> Any:
    """Call the list of AFIR without a token."""
    return requests.get(f"{monta.base_url}/afir/charge-points?{query}", timeout=5)


def evse_ids(body: Any) -> list[str]:
    return [
        identifier["identifier"]
        for table in body["energyInfrastructureTable"]
        for site in table["energyInfrastructureSite"]
        for station in site["energyInfrastructureStation"]
        for point in station["refillPoint"]
        for identifier in point["externalIdentifier"]
    ]


def test_the_list_of_afir_is_open_and_counts_pages_from_one(monta: Emulator) -> None:
    monta.quota = 1
    whole = afir(monta, "country=DK,BE").json()
    assert whole["meta"] == {"page": 1, "perPage": 100, "total": 6}
    both = evse_ids(whole)
    assert len(both) == len(set(both)) == 18
    assert {name[:2] for name in both} == {"DK", "BE"}
    pages = [afir(monta, f"country=BE&country=DK&perPage=4&page={n}").json() for n in (1, 2, 3)]
    assert [name for page in pages for name in evse_ids(page)] == both
    assert evse_ids(afir(monta, "country=BE").json()) == [n for n in both if n[:2] == "BE"]
    public = {row["evseId"] for row in _points(monta) if row["visibility"] == "public"}
    assert {*both} == public


def _points(monta: Emulator) -> list[dict[str, Any]]:
    monta.partner, monta.quota = True, None
    rows = Api(monta).rows("/charge-points")
    monta.partner = False
    return rows


@pytest.mark.parametrize(
    "query", ["", "country=DE", "country=dk", "country=DK&page=0", "country=DK&perPage=1001"]
)
def test_wrong_values_for_afir_are_a_400(monta: Emulator, query: str) -> None:
    assert envelope(afir(monta, query))[::2] == (400, "BAD_REQUEST")


def test_a_wrong_token_does_not_close_an_open_list_but_a_quota_does(monta: Emulator) -> None:
    monta.quota = 2
    path, token = "/afir/charge-points?country=DK", pair(monta)["accessToken"]
    assert get(monta, path, "wrong").status_code == 200
    assert [get(monta, path, token).status_code for _ in range(2)] == [200, 429]


def test_the_state_of_an_evse_needs_a_token(api: Api, monta: Emulator) -> None:
    """Without one, the real API answers with a 400 of its backend, not a 401."""
    path = "/afir/charge-points/DK*MON*E100001/status"
    url = monta.base_url + path
    bare = requests.get(url, timeout=5)
    assert envelope(bare) == (400, "BAD_REQUEST", "BAD_REQUEST")
    assert bare.json()["message"] == "upstream"
    assert get(monta, path, "wrong").status_code == 401

    shown = api.get(path)["electricChargingPointStatus"]
    assert (shown["evseId"], shown["availabilityStatus"]) == ("DK*MON*E100001", "available")
    [rate] = shown["energyRateUpdate"]
    assert rate["applicableCurrency"] == ["DKK"]
    assert (
        rate["energyPrice"][0]["value"]
        == api.rows("/charges", chargePointId=101)[0]["averagePricePerKwh"]
    )
    api.start()
    escaped = api.get(path.replace("*", "%2A"))["electricChargingPointStatus"]
    assert escaped["availabilityStatus"] == "occupied"
    assert api.call("GET", "/afir/charge-points/DK*MON*E9/status").status_code == 404
    assert api.call("GET", "/afir/charge-points/DK*OTH*E100001/status").status_code == 400


def test_dates_are_near_the_present(api: Api) -> None:
    present = datetime.fromtimestamp(START, UTC)
    newest = datetime.fromisoformat(api.rows("/charges")[0]["createdAt"])
    assert timedelta() < present - newest < timedelta(hours=4)
