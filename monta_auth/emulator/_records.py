"""The data behind the token: a few dozen believable records, the same in every process, and how
they are paged.

No clock, no state, no HTTP. Field names and values are those of the API reference; the stations are
invented.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

Record = dict[str, object]

_STREETS = ("Strandgade", "Vesterbrogade", "Havnegade", "Skovvej", "Parkvej", "Banegårdsplads")
_CITIES = (
    ("1401", "Copenhagen", 55.676, 12.59),
    ("8000", "Aarhus", 56.157, 10.21),
    ("5000", "Odense", 55.403, 10.39),
)
_MODELS = (("Easee", "Home", 22.0), ("Zaptec", "Pro", 22.0), ("Alpitronic", "HYC150", 150.0))
_POINT_STATES = ("available", "busy-charging", "available", "busy-non-charging", "disconnected")
_CCS, _TYPE2 = {"identifier": "ccs", "name": "CCS"}, {"identifier": "type2", "name": "Type 2"}
_DKK = {"identifier": "dkk", "name": "Danish krone", "decimals": 2}
_START = datetime(2025, 1, 6, 7, 30, tzinfo=UTC)


def _date(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def charge_points() -> list[Record]:
    rows: list[Record] = []
    for n in range(24):
        zip_code, city, latitude, longitude = _CITIES[n % len(_CITIES)]
        brand, model, power = _MODELS[n // 8]
        rows.append(
            {
                "id": 101 + n,
                "name": f"{city} {n + 1}",
                "serialNumber": f"EM{n + 1:06d}",
                "type": "dc" if power > 50 else "ac",
                "state": _POINT_STATES[n % len(_POINT_STATES)],
                "visibility": "public" if n % 2 else "private",
                "maxKw": power,
                "lastMeterReadingKwh": 1200.5 + 37 * n,
                "brandName": brand,
                "modelName": model,
                "firmwareVersion": "1.4.2",
                "cablePluggedIn": _POINT_STATES[n % len(_POINT_STATES)].startswith("busy"),
                "note": None,
                "location": {
                    "coordinates": {"latitude": latitude, "longitude": longitude},
                    "address": {
                        "address1": f"{_STREETS[n % len(_STREETS)]} {n + 1}",
                        "address2": None,
                        "address3": None,
                        "zip": zip_code,
                        "city": city,
                        "country": "Denmark",
                    },
                },
                "connectors": [_CCS if power > 50 else _TYPE2],
                "createdAt": _date(_START + timedelta(days=n)),
                "updatedAt": _date(_START + timedelta(days=n, hours=5)),
            }
        )
    return rows


def charge(charge_id: int, charge_point_id: int, created: datetime, *, completed: bool) -> Record:
    kwh = 8.5 + charge_id % 17 if completed else None
    stopped = _date(created + timedelta(minutes=95)) if completed else None
    return {
        "id": charge_id,
        "chargePointId": charge_point_id,
        "humanReadableId": f"CHG-{charge_id}",
        "state": "completed" if completed else "starting",
        "consumedKwh": kwh,
        "cost": None if kwh is None else round(kwh * 2.35, 2),
        "price": None if kwh is None else round(kwh * 3.2, 2),
        "currency": _DKK,
        "stopReason": "completed" if completed else None,
        "failureReason": None,
        "note": None,
        "createdAt": _date(created),
        "updatedAt": stopped or _date(created),
        "startedAt": _date(created) if completed else None,
        "stoppedAt": stopped,
    }


def charges() -> list[Record]:
    return [
        charge(5001 + n, 101 + n * 7 % 24, _START + timedelta(hours=9 * n), completed=True)
        for n in range(60)
    ]


def wallet_transactions() -> list[Record]:
    return [
        {
            "id": 9001 + n,
            "state": "pending" if n > 37 else "complete",
            "type": "deposit" if n % 10 == 0 else "charge",
            "fromAmount": 250.0 if n % 10 == 0 else round(20 + n * 3.25, 2),
            "fromCurrency": _DKK,
            "note": None,
            "createdAt": _date(_START + timedelta(hours=9 * n, minutes=95)),
            "completedAt": None if n > 37 else _date(_START + timedelta(hours=9 * n, minutes=96)),
        }
        for n in range(40)
    ]


def page(rows: Sequence[Record], query: Mapping[str, str]) -> Record:
    """One page of a list: ``{"data": [...], "meta": {...}}``; ``chargePointId`` and ``state``
    filter it first.

    Raises:
        ValueError: ``page`` or ``perPage`` is not a number, or out of range.

    Source: pages are counted from 0 (partner changelog, 2022-09-16); ten records a page unless
        ``perPage`` says otherwise, a hundred at most (API reference).
    """
    number, size = int(query.get("page", "0")), int(query.get("perPage", "10"))
    if number < 0 or not 1 <= size <= 100:
        raise ValueError("need page >= 0 and 1 <= perPage <= 100")
    wanted = {key: query[key] for key in ("chargePointId", "state") if key in query}
    rows = [row for row in rows if all(str(row.get(key)) == value for key, value in wanted.items())]
    data = rows[number * size : (number + 1) * size]
    return {
        "data": data,
        "meta": {
            "itemCount": len(data),
            "currentPage": number,
            "perPage": size,
            "totalPageCount": math.ceil(len(rows) / size),
            "totalItemCount": len(rows),
        },
    }
