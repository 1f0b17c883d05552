"""The states of a charge. All numbers and dates of the records fit together."""

from datetime import UTC, datetime
from typing import Any

import pytest

from monta_auth.emulator import Emulator

from ..clock import Now
from .helpers import Api

BUSY = {"state": "busy-charging", "cablePluggedIn": True}


def at(row: dict[str, Any], name: str) -> datetime:
    return datetime.fromisoformat(row[name])


def point_of(api: Api, number: int = 101) -> dict[str, Any]:
    row = api.get(f"/charge-points/{number}")
    return {key: row[key] for key in ("state", "cablePluggedIn")}


def stop(api: Api, charge: dict[str, Any]) -> int:
    method = "GET" if api.monta.partner else "POST"
    return api.call(method, f"/charges/{charge['id']}/stop").status_code


def test_a_charge_goes_through_its_states(api: Api, now: Now) -> None:
    charge = api.start()
    path = f"/charges/{charge['id']}"
    states = [charge["state"]]
    assert point_of(api) == {"state": "busy-non-charging", "cablePluggedIn": True}
    for seconds in (3, 600, 7 * 3600):
        now.advance(seconds)
        states.append(api.get(path)["state"])
        if states[-1] == "charging":
            assert point_of(api) == BUSY
    assert states == ["starting", "charging", "charging", "paused"]
    assert point_of(api)["state"] == "busy-non-charging"

    assert stop(api, charge) == 200
    for seconds in (0, 2, 2):
        now.advance(seconds)
        states.append(api.get(path)["state"])
    assert states[4:] == ["stopping", "stopped", "completed"]
    assert point_of(api) == {"state": "available", "cablePluggedIn": False}


def test_its_energy_grows_until_the_car_is_full(api: Api, now: Now) -> None:
    path = f"/charges/{api.start()['id']}"
    kwh = []
    for _ in range(4):
        now.advance(3600)
        kwh.append(api.get(path)["consumedKwh"])
    assert 10.9 < kwh[0] < 11
    assert kwh == sorted(kwh)
    row = api.get(path)
    assert row["fullyChargedAt"] is not None
    assert row["endMeterKwh"] is None, "it still goes on"
    now.advance(3600)
    assert api.get(path)["consumedKwh"] == kwh[-1]


def test_a_busy_point_accepts_no_second_charge_until_the_first_has_stopped(
    api: Api, now: Now
) -> None:
    charge = api.start()
    again = {"json": {"chargePointId": 101}}
    refused = api.call("POST", "/charges", **again)
    assert (refused.status_code, refused.json()["errorCode"]) == (400, "BAD_REQUEST")
    assert "busy" in refused.json()["readableMessage"]
    assert stop(api, charge) == 200
    assert stop(api, charge) == 200, "it is stopping already"
    assert api.call("POST", "/charges", **again).status_code == 400
    now.advance(2)
    assert stop(api, charge) == 400
    assert api.start()["id"] > charge["id"]


def test_a_disconnected_point_accepts_no_charge(api: Api) -> None:
    [first, *_] = api.rows("/charge-points", state="disconnected")
    reply = api.call("POST", "/charges", json={"chargePointId": first["id"]})
    assert (reply.status_code, "disconnected" in reply.text) == (400, True)


def test_a_charge_that_is_stopped_at_once_never_began(api: Api, now: Now) -> None:
    charge = api.start()
    assert stop(api, charge) == 200
    now.advance(60)
    row = api.get(f"/charges/{charge['id']}")
    assert (row["startedAt"], row["consumedKwh"], row["cost"]) == (None, 0.0, 0.0)
    assert row["stoppedAt"] == row["createdAt"]


def test_a_charge_that_ended_is_in_the_wallet(api: Api, now: Now) -> None:
    before = api.get("/wallets/personal")["balance"]["amount"]
    charge = api.start(103)
    now.advance(3600)
    assert stop(api, charge) == 200
    now.advance(60)
    charge = api.get(f"/charges/{charge['id']}")
    newest = api.rows("/wallet-transactions")[0]
    assert newest["state"] == "pending"
    assert newest["fromAmount"] == newest["toAmount"] == charge["cost"] > 0
    assert api.get(f"/wallet-transactions/{newest['id']}") == newest
    now.advance(36 * 3600)
    assert api.rows("/wallet-transactions")[0]["state"] == "complete"
    assert api.get("/wallets/personal")["balance"]["amount"] < before


def test_the_partner_api_reserves_and_restarts_charges(partner: Api, now: Now) -> None:
    paid = {"payingTeamId": 42, "partnerExternalId": "mine-1"}
    charge = partner.start(101, reserveCharge=True, **paid)
    path = f"/charges/{charge['id']}"
    assert (charge["state"], charge["startedAt"]) == ("reserved", None)
    assert (charge["payingTeam"]["id"], charge["partnerExternalId"]) == (42, "mine-1")
    assert point_of(partner) == {"state": "busy-reserved", "cablePluggedIn": False}

    assert partner.get(path + "/restart")["state"] == "starting"
    assert partner.call("GET", path + "/restart").status_code == 400
    now.advance(602)
    assert stop(partner, charge) == 200
    taken = partner.get(path)["consumedKwh"]
    now.advance(60)
    assert partner.get(path)["state"] == "completed"

    assert partner.get(path + "/restart")["state"] == "starting"
    now.advance(602)
    row = partner.get(path)
    assert (row["state"], row["consumedKwh"]) == ("charging", pytest.approx(2 * taken, abs=0.002))
    assert sum(hour["value"] for hour in row["kwhPerHour"]) == pytest.approx(row["consumedKwh"])


def test_only_the_last_charge_of_a_point_can_be_restarted(partner: Api, now: Now) -> None:
    first = partner.start(101, payingTeamId=1)
    assert stop(partner, first) == 200
    now.advance(60)
    second = partner.start(101, payingTeamId=1)
    assert stop(partner, second) == 200
    now.advance(60)
    reply = partner.call("GET", f"/charges/{first['id']}/restart")
    assert (reply.status_code, str(first["id"]) in reply.text) == (400, True)


def test_a_reservation_can_be_canceled(partner: Api, now: Now) -> None:
    charge = partner.start(101, payingTeamId=1, reserveCharge=True)
    assert stop(partner, charge) == 200
    now.advance(60)
    row = partner.get(f"/charges/{charge['id']}")
    assert (row["state"], row["cablePluggedInAt"], row["consumedKwh"]) == ("completed", None, 0.0)


def test_past_records_are_made_at_the_first_request(monta: Emulator, now: Now) -> None:
    """A test may set its fixture's clock first."""
    now.advance(400 * 86400)
    newest = Api(monta).rows("/charges")[0]
    ago = datetime.fromtimestamp(now(), UTC) - at(newest, "createdAt")
    assert ago.total_seconds() == 10800.25
    now.advance(86400)
    assert Api(monta).rows("/charges")[0]["createdAt"] == newest["createdAt"]


@pytest.mark.parametrize("day", [1, 2, 15, 30, 31])
def test_last_month_has_charges_and_transactions(monta: Emulator, now: Now, day: int) -> None:
    present = datetime(2026, 3, day, 0, 30, tzinfo=UTC)
    now.now = present.timestamp()
    api = Api(monta)
    span = {"fromDate": "2026-02-01T00:00:00Z", "toDate": "2026-02-28T23:59:59Z"}
    assert api.rows("/charges", **span)
    assert api.rows("/wallet-transactions", **span)


@pytest.mark.parametrize("partner", [False, True], ids=["public", "partner"])
def test_the_numbers_and_dates_of_a_charge_fit_together(api: Api, now: Now, partner: bool) -> None:
    api.monta.partner = partner
    present = datetime.fromtimestamp(now(), UTC)
    meters: dict[int, float] = {}
    rows = api.rows("/charges")
    assert len({row["id"] for row in rows}) == len(rows) == 60
    for row in reversed(rows):
        kwh = row["consumedKwh"]
        assert row["price"] == row["cost"] == round(kwh * row["averagePricePerKwh"], 2)
        names = ("createdAt", "cablePluggedInAt", "startedAt", "fullyChargedAt", "stoppedAt")
        dates = [at(row, name) for name in names if row[name] is not None]
        assert dates == sorted(dates)
        assert dates[-1] <= at(row, "updatedAt") <= present
        before = meters.get(row["chargePointId"], row["startMeterKwh"])
        assert row["startMeterKwh"] == before
        meters[row["chargePointId"]] = round(before + kwh, 3)
        if row["state"] == "completed":
            assert row["endMeterKwh"] == meters[row["chargePointId"]]
        else:
            assert (row["stoppedAt"], row["endMeterKwh"]) == (None, None)
    readings = {row["id"]: row["lastMeterReadingKwh"] for row in api.rows("/charge-points")}
    assert readings == meters


def test_a_point_is_busy_while_it_has_a_charge(api: Api) -> None:
    running = {
        row["chargePointId"]: row["state"]
        for row in api.rows("/charges")
        if row["state"] != "completed"
    }
    busy = {
        row["id"]: row["state"]
        for row in api.rows("/charge-points")
        if row["state"].startswith("busy")
    }
    assert [*running.values()] == ["paused", "paused"]
    assert busy.keys() == running.keys()


@pytest.mark.parametrize("seconds", [3600, 1800, 900, 600, 300])
def test_the_consumption_adds_up(api: Api, seconds: int) -> None:
    for row in api.rows("/charges")[:12]:
        path = f"/charges/{row['id']}/kwh-consumption"
        body = api.get(path, consumptionPeriodSizeInSeconds=seconds)
        assert (body["chargeId"], body["consumptionPeriodSizeInSeconds"]) == (row["id"], seconds)
        parts = body["kwhConsumption"]
        assert round(sum(part["value"] for part in parts), 3) == row["consumedKwh"]
        times = [at(part, "time").timestamp() for part in parts]
        assert times == sorted(times)
        assert all(time % seconds == 0 for time in times)
        if seconds == 3600:
            assert api.get(path) == body


def test_the_amounts_of_transactions_fit_together(partner: Api) -> None:
    charges = {str(row["id"]): row for row in partner.rows("/charges")}
    rows = partner.rows("/wallet-transactions")
    assert {row["group"] for row in rows} == {"charge", "deposit"}
    assert {row["toCurrency"]["identifier"] for row in rows} == {"dkk", "eur"}
    for row in rows:
        assert row["toAmount"] == round(row["fromAmount"] * row["exchangeRate"], 2)
        for side in ("from", "to"):
            parts = row[f"{side}SubAmount"] + row[f"{side}VatAmount"]
            assert parts == pytest.approx(row[f"{side}Amount"])
        assert (row["completedAt"] is None) == (row["state"] == "pending")
        if row["group"] == "charge":
            assert row["toAmount"] == charges[row["referenceId"]]["cost"]
            assert row["toCurrency"] == charges[row["referenceId"]]["currency"]


def test_setting_the_clock_back_breaks_nothing(api: Api, now: Now) -> None:
    api.start()
    now.advance(-90 * 86400)
    assert len(Api(api.monta).rows("/charges")) == 61
