"""The records of one emulator, and what calls do to them.

No HTTP and no clock: the time of a call is an argument. The past ends at the first call.
"""

import math
import threading
from collections.abc import Callable, Sequence
from typing import cast

from ._operations import Operation
from ._replies import ReplyError, bad_request, envelope
from ._schema import models
from ._stations import POINTS, Charge, Record, afir_points, afir_status, point_record, transaction

#: The charges of the past: one every 25 hours, so that last month always has some. The wallet shows
#: four deposits, and all charges after the first 22.
_CHARGES, _EVERY, _FREE, _DEPOSITS = 60, 25 * 3600.0, 22, 4
#: The last two charges still run. Their cars are full, so that nothing changes without a call. The
#: values are the place of the charge point, and for how many seconds the charge has run.
_RUNNING = {_CHARGES - 2: (10, 18000.0), _CHARGES - 1: (16, 10800.0)}


class Site:
    """The charges and transactions of one emulator. Methods have the names of operations."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._start = 0.0
        self._charges: list[Charge] = []
        self._last: dict[int, Charge] = {}  # by the place of the charge point

    def answer(self, operation: Operation, asked: Record, now: float, partner: bool) -> Record:
        """Return the body of the reply to a call, or raise ReplyError.

        ``asked`` holds the ids in the path, the query, and the body of the call.
        """
        handler: Callable[[Record, float], Record] = getattr(self, operation.name)
        with self._lock:
            if not self._charges:
                self._begin(now)
            return models(partner).shape(operation.sends, handler(asked, now))

    def _begin(self, now: float) -> None:
        self._start = float(math.floor(now))
        for count in range(_CHARGES):
            ago = 6 * 3600 + _EVERY * (_CHARGES - len(_RUNNING) - 1 - count)
            place, ago = _RUNNING.get(count, (count * 7 % len(POINTS), ago))
            begin = self._start - ago
            charge = self._add(POINTS[place], begin)
            if count not in _RUNNING:  # every fourth driver left early
                end = begin + 1500 if count % 4 == 1 else charge.full + 600
                charge.runs = [(begin, end)]

    def _add(self, point: Record, now: float) -> Charge:
        count, place, meter = len(self._charges), int(point["place"]), 1200.5 + 37 * point["place"]
        if place in self._last:
            meter = round(self._last[place].meter + self._last[place].kwh(now), 3)
        room = 8.5 + count * 5 % 17 + (30 if point["type"] == "dc" else 0)
        charge = Charge(
            count, POINTS[place], float(math.floor(now)), meter, room, [(now, math.inf)]
        )
        self._charges.append(charge)
        self._last[place] = charge
        return charge

    def _point(self, now: float, wanted: object, name: str = "id") -> Record:
        point = _one(POINTS, name, wanted, "charge point")
        return point_record(point, self._start, now, self._last[point["place"]])

    def get_charge_points(self, asked: Record, now: float) -> Record:
        return _page([self._point(now, point["id"]) for point in reversed(POINTS)], asked)

    def get_charge_point(self, asked: Record, now: float) -> Record:
        return self._point(now, asked["chargePointId"])

    def _charge(self, asked: Record) -> Charge:
        known = [{"id": charge.id, "charge": charge} for charge in self._charges]
        return cast("Charge", _one(known, "id", asked["chargeId"], "charge")["charge"])

    def get_charges(self, asked: Record, now: float) -> Record:
        rows: list[Record] = []  # only the fields for filters, because whole records are slow
        for charge in reversed(self._charges):
            ids = {"chargePointId": charge.point["id"], "teamId": charge.point["teamId"]}
            ids |= {"siteId": charge.point["siteId"], "createdAt": charge.created}
            rows.append({**ids, "state": charge.state(now), "charge": charge})
        page = _page(rows, asked)
        return page | {"data": [row["charge"].record(now) for row in page["data"]]}

    def get_charge(self, asked: Record, now: float) -> Record:
        return self._charge(asked).record(now)

    def get_consumption(self, asked: Record, now: float) -> Record:
        charge, name = self._charge(asked), "consumptionPeriodSizeInSeconds"
        parts = charge.parts(now, asked[name])
        return {"chargeId": charge.id, name: asked[name], "kwhConsumption": parts}

    def start_charge(self, asked: Record, now: float) -> Record:
        point = self._point(now, asked["chargePointId"])
        _require_free(point)
        charge = self._add(point, now)
        if asked.get("reserveCharge"):
            charge.runs = []
        charge.team = asked.get("payingTeamId", charge.team)
        charge.external = asked.get("partnerExternalId")
        return charge.record(now)

    def stop_charge(self, asked: Record, now: float) -> Record:
        charge = self._charge(asked)
        if charge.is_over(now):
            raise bad_request(f"The charge {charge.id} is {charge.state(now)}")
        if charge.stopped == math.inf:
            charge.cancelled = now
            charge.runs = [(begin, min(end, now)) for begin, end in charge.runs]
        return charge.record(now)

    def restart_charge(self, asked: Record, now: float) -> Record:
        charge = self._charge(asked)
        if charge.state(now) != "reserved":
            _require_free(self._point(now, charge.point["id"]))
        if self._last[charge.point["place"]] is not charge:
            raise bad_request(f"There was another charge after {charge.id}")
        charge.runs.append((now, math.inf))
        return charge.record(now)

    def _transactions(self, now: float) -> list[Record]:
        """Return all transactions, the newest first."""
        first = self._charges[_FREE].created
        weeks = [first - 604800 * (_DEPOSITS - count) for count in range(_DEPOSITS)]
        found = [transaction(count, at, now, None) for count, at in enumerate(weeks)]
        for number, charge in enumerate(self._charges[_FREE:], start=_DEPOSITS):
            if charge.state(now) == "completed":
                found.append(transaction(number, charge.stopped, now, charge))
        return sorted(found, key=lambda one: (one["createdAt"], one["id"]), reverse=True)

    def get_transactions(self, asked: Record, now: float) -> Record:
        return _page(self._transactions(now), asked)

    def get_transaction(self, asked: Record, now: float) -> Record:
        return _one(self._transactions(now), "id", asked["transactionId"], "transaction")

    def get_wallet(self, asked: Record, now: float) -> Record:
        sign = {"deposit": 1, "charge": -1}
        complete = [one for one in self._transactions(now) if one["state"] == "complete"]
        amount = round(sum(sign[one["group"]] * one["fromAmount"] for one in complete), 2)
        wallet: Record = {"id": 71, "ownerType": "user", "status": "active"}
        wallet["currency"] = complete[0]["fromCurrency"]
        return wallet | {"balance": {"amount": amount, "credit": 0.0}}

    def get_afir_points(self, asked: Record, now: float) -> Record:
        return afir_points(asked["country"], asked["page"], asked["perPage"], now)

    def get_afir_status(self, asked: Record, now: float) -> Record:
        evse = asked["evseId"]
        if "*MON*" not in evse:  # other operators have no status here (seen in 2026)
            raise bad_request(f"{evse} is not an EVSE of Monta")
        return afir_status(self._point(now, evse, "evseId"), now)


def _require_free(point: Record) -> None:
    if point["state"] != "available":
        raise bad_request(f"The charge point {point['id']} is {point['state']}")


def _one(known: Sequence[Record], name: str, wanted: object, what: str) -> Record:
    for one in known:
        if str(one[name]) == str(wanted):
            return one
    raise ReplyError(envelope(404, f"There is no {what} {wanted}", context=str(wanted)))


def _fits(record: Record, asked: Record) -> bool:
    """Return whether the record matches the filters of the query."""
    for name, wanted in asked.items():
        if wanted is None or name in ("page", "perPage"):
            continue
        value = record["createdAt" if name in ("fromDate", "toDate") else name]
        if isinstance(wanted, frozenset):
            fits = value in wanted
        else:
            fits = {"fromDate": value >= wanted, "toDate": value <= wanted}.get(
                name, value == wanted
            )
        if not fits:
            return False
    return True


def _page(every: Sequence[Record], asked: Record) -> Record:
    """Return a page of the matching records. The first page is 0 (changelog of the Partner API,
    2022-09-16)."""
    found = [one for one in every if _fits(one, asked)]
    number, size = asked["page"], asked["perPage"]
    data = found[number * size : (number + 1) * size]
    meta = {"itemCount": len(data), "currentPage": number, "perPage": size}
    meta |= {"totalPageCount": math.ceil(len(found) / size), "totalItemCount": len(found)}
    return {"data": data, "meta": meta}
