"""The charge points and charges. Records follow from a few numbers and the time in Unix seconds.

The stations are invented. No state and no clock. Records have the fields of both APIs; `_schema`
selects those of one.
"""

import json
import math
from collections.abc import Container
from dataclasses import dataclass
from string import Template
from typing import Any

Record = dict[str, Any]

#: Seconds that a charge is "starting", "stopping", and "stopped" before "completed". Our choice:
#: long enough to be seen, short enough to wait for.
STARTING = STOPPING = 2.0
OPERATOR: Record = {"id": 1, "name": "Emulated operator", "identifier": "emulated"}
DKK: Record = {"identifier": "dkk", "name": "Danish krone", "decimals": 2}
EUR: Record = {"identifier": "eur", "name": "Euro", "decimals": 2}
#: A deposit in kroner; seconds until a transaction is complete; euros per krone.
_DEPOSIT, _SETTLING, _RATE = 2500.0, 36 * 3600.0, 0.134
_STREETS = ("Strandgade", "Vesterbrogade", "Havnegade", "Skovvej", "Parkvej", "Banegårdsplads")
_CITIES = (
    ("1401", "Copenhagen", "Denmark", 55.676, 12.59),
    ("8000", "Aarhus", "Denmark", 56.157, 10.21),
    ("5000", "Odense", "Denmark", 55.403, 10.39),
    ("2000", "Antwerp", "Belgium", 51.221, 4.4),
)
_MODELS = (("Easee", "Home", 22.0), ("Zaptec", "Pro", 22.0), ("Alpitronic", "HYC150", 150.0))
_CONNECTORS = ("type2", "Type 2"), ("ccs", "CCS")
#: The state of a charge point for each state of its charge.
_PLUGGED = dict.fromkeys(("starting", "paused", "stopping"), "busy-non-charging")
_BUSY = {"reserved": "busy-reserved", "charging": "busy-charging", **_PLUGGED}


def number_of(first: int, count: int, small: int) -> int:
    """Return the id of the record that has ``count`` records before it.

    The oldest ``small`` ids count from ``first``. Later ones are above 2**53, where floats are not
    exact (seen in production: 689100419745380035).
    """
    if count < small:
        return first + count
    return 689_100_419_745_380_035 + 2 * first + 1_000_000 * (count - small)


def team_record(team: int) -> Record:
    return {"id": team, "publicName": f"Team {team}", "operatorId": OPERATOR["id"]}


def _point(place: int) -> Record:
    """Return the constant fields of a charge point; ``price`` is per kWh."""
    number, site, step = number_of(101, place, small=16), place // 3, place % 5
    zip_code, city, country, latitude, longitude = _CITIES[site % len(_CITIES)]
    code, currency, price = "DK", DKK, 2.5 + 0.25 * step
    if country == "Belgium":
        code, currency, price = "BE", EUR, round(0.45 + 0.05 * step, 2)
    brand, model, power = _MODELS[place // 8]
    is_public, is_fast = site % 3 != 2, power > 50
    identifier, title = _CONNECTORS[is_fast]
    connector = {"id": 1 + is_fast, "identifier": identifier, "name": title}
    street = f"{_STREETS[site % len(_STREETS)]} {site + 1}"
    address = {"address1": street, "zip": zip_code, "city": city, "country": country}
    place_on_map = {"latitude": latitude, "longitude": longitude}
    where: Record = {"coordinates": place_on_map, "address": address}
    where["addressLabel"] = f"{street}, {zip_code} {city}, {country}"
    links = {kind: f"https://{kind}.example/charge-points/{number}" for kind in ("app", "web")}
    return (
        {"place": place, "country": code, "currency": currency, "price": price}
        | {"id": number, "evseId": f"{code}*MON*E{100_001 + place}", "location": where}
        | {"name": f"{city} {place + 1}", "serialNumber": f"EM{place + 1:06d}"}
        | {"siteId": 31 + site, "teamId": 21 + site // 4, "deeplinks": links}
        | {"visibility": "public" if is_public else "private", "type": "dc" if is_fast else "ac"}
        | {"maxKw": power, "maxKW": power, "connectors": [connector]}
        | {"brandName": brand, "modelName": model, "chargePointModelId": 51 + place // 8}
        | {"firmwareVersion": "1.4.2", "integrationType": "ocpp", "protocolData": {}}
        | {"roaming": is_public, "showOnMap": is_public, "operator": OPERATOR, "isActive": True}
        | {"chargePointOperatorId": 1, "chargePointOperatorName": OPERATOR["name"]}
        | {"reservable": True, "reservationTime": 15}
    )


POINTS = [_point(place) for place in range(24)]


def point_record(point: Record, start: float, now: float, latest: "Charge") -> Record:
    """Return the record of a charge point; ``latest`` is its latest charge."""
    created, changed = start - 86400 * (400 - 10 * point["place"]), latest.changed(now)
    state, lost = _BUSY.get(latest.state(now), "available"), None
    if point["place"] in (4, 14):
        state, lost = "disconnected", changed
    return (
        point
        | {"createdAt": created, "updatedAt": changed, "activeAt": created + 3600}
        | {"state": state, "lastConnectedAt": lost or now, "disconnectedAt": lost}
        | {"cablePluggedIn": state in ("busy-charging", "busy-non-charging")}
        | {"lastMeterReadingKwh": round(latest.meter + latest.kwh(now), 3)}
    )


@dataclass(slots=True)
class Charge:
    """One charge, with ``count`` charges before it.

    ``runs`` has the start and the stop of each run; the stop of a current run is infinity. Without
    runs, the charge is reserved.
    """

    count: int
    point: Record
    created: float  # whole seconds, like the date in the record
    meter: float  # of the charge point at that time, in kWh
    room: float  # how much the car can take, in kWh
    runs: list[tuple[float, float]]
    team: int = 21
    external: str | None = None
    cancelled: float = math.inf  # when the reservation was canceled

    @property
    def id(self) -> int:
        return number_of(5001, self.count, small=30)

    @property
    def stopped(self) -> float:
        """When it was stopped for good, or infinity."""
        return self.runs[-1][1] if self.runs else self.cancelled

    @property
    def full(self) -> float:
        """When the car is full, or infinity if the charge stops before."""
        left = self.room / self._rate
        for begin, end in self.runs:
            if begin + STARTING + left <= end:
                return begin + STARTING + left
            left -= max(0.0, end - begin - STARTING)
        return math.inf

    @property
    def _rate(self) -> float:  # kWh per second: half the maximum of the charge point
        return float(self.point["maxKw"]) / 2 / 3600

    def kwh(self, now: float) -> float:
        """Return the energy charged so far, in kWh."""
        seconds = sum(max(0.0, min(now, end) - begin - STARTING) for begin, end in self.runs)
        return min(self.room, round(seconds * self._rate, 3))

    def amount(self, now: float) -> float:
        return round(self.kwh(now) * float(self.point["price"]), 2)

    def state(self, now: float) -> str:
        if now >= self.stopped:
            since = now - self.stopped
            return ("stopping", "stopped", "completed")[min(2, int(since // STOPPING))]
        if not self.runs:
            return "reserved"
        if now < self.runs[-1][0] + STARTING:
            return "starting"
        return "paused" if now >= self.full else "charging"

    def is_over(self, now: float) -> bool:
        """Return whether the charge point is free again."""
        return self.state(now) not in _BUSY

    def changed(self, now: float) -> float:
        """Return when the state last changed."""
        moments = [self.full, self.stopped, self.stopped + STOPPING, self.stopped + 2 * STOPPING]
        moments += [moment for begin, _ in self.runs for moment in (begin, begin + STARTING)]
        return max((moment for moment in moments if moment <= now), default=self.created)

    def parts(self, now: float, seconds: int) -> list[Record]:
        """Return the kWh of each period of this many seconds, without empty ones."""
        parts: dict[float, float] = {}
        for begin, end in self.runs:
            at = math.floor(begin / seconds) * seconds
            while at < min(end, now, self.full):
                taken = self.kwh(min(at + seconds, end, now)) - self.kwh(max(at, begin))
                parts[at] = round(parts.get(at, 0.0) + taken, 3)
                at += seconds
        return [{"time": at, "value": kwh} for at, kwh in parts.items() if kwh > 0]

    def record(self, now: float) -> Record:
        """Return the record of the charge."""
        point, kwh, amount = self.point, self.kwh(now), self.amount(now)
        begun = (begin + STARTING for begin, end in self.runs if begin + STARTING < end)
        moments = {"cablePluggedInAt": self.runs[0][0] if self.runs else math.inf}
        moments |= {"startedAt": next(begun, math.inf), "fullyChargedAt": self.full}
        moments |= {"stoppedAt": self.stopped, "completedAt": self.stopped + 2 * STOPPING}
        soc = {"percentage": round(20 + 60 * kwh / self.room, 1), "source": "vehicle"}
        hours = self.parts(now, 3600)
        prices = [one | {"value": round(one["value"] * point["price"], 2)} for one in hours]
        return (
            {"id": self.id, "humanReadableId": f"CHG-{self.id}", "chargePointId": point["id"]}
            | {"siteId": point["siteId"], "teamId": point["teamId"], "publicChargePoint": point}
            | {"state": self.state(now), "createdAt": self.created, "updatedAt": self.changed(now)}
            | {name: moment if moment <= now else None for name, moment in moments.items()}
            | {"consumedKwh": kwh, "startMeterKwh": self.meter, "chargePointKw": point["maxKw"]}
            | {"endMeterKwh": round(self.meter + kwh, 3) if self.is_over(now) else None}
            | {"cost": amount, "price": amount, "averagePricePerKwh": point["price"]}
            | {"averageCo2PerKwh": float(90 + self.count % 7 * 10)}
            | {"averageRenewablePerKwh": float(80 - self.count % 7 * 5)}
            | {"stopReason": "Stopped by the user" if now >= self.stopped else None}
            | {"currency": point["currency"], "soc": soc if point["type"] == "dc" else None}
            | {"kwhPerHour": hours, "kwhPerMaxResolution": self.parts(now, 900)}
            | {"costBreakdown": prices, "priceBreakdown": prices, "priceGroupId": 61}
            | {"user": {"id": 1, "displayName": "Emulated user"}, "type": "operator"}
            | {"startSource": "partner-api", "paymentMethod": "team-has-fund"}
            | {"payingTeam": team_record(self.team), "operator": OPERATOR, "protocolData": {}}
            | {"partnerExternalId": self.external, "emaidProviderId": "DKMON"}
        )


def transaction(count: int, created: float, now: float, charge: Charge | None) -> Record:
    """Return the transaction of a charge, or a deposit if there is no charge."""
    created = math.floor(created)
    completed = created + _SETTLING if created + _SETTLING <= now else None
    got, currency, team = _DEPOSIT, DKK, 21
    if charge is not None:
        got, currency, team = charge.amount(now), charge.point["currency"], charge.team
    rate = 1.0 if currency is DKK else _RATE
    record: Record = {"id": number_of(9001, count, small=20), "vatPercentage": 25.0}
    record |= {"state": "pending" if completed is None else "complete", "createdAt": created}
    record |= {"updatedAt": completed or created, "completedAt": completed}
    record |= {"exchangeRate": rate, "fromCurrency": DKK, "toCurrency": currency}
    for side, amount in (("from", round(got / rate, 2)), ("to", got)):
        net = round(amount * 0.8, 2)
        record |= {f"{side}Amount": amount, f"{side}SubAmount": net}
        record |= {f"{side}VatAmount": round(amount - net, 2)}
    record |= {"from": team_record(team), "fromType": "team", "to": OPERATOR, "toType": "operator"}
    if charge is None:
        record |= {"summary": "Deposit", "toWalletId": 71, "group": "deposit"}
        return record | {"kind": "deposit"}
    record |= {"summary": f"Charge at {charge.point['name']}", "fromWalletId": 71}
    record |= {"referenceId": str(charge.id), "referenceType": "CHARGE", "group": "charge"}
    return record | {"kind": "charge"}


# The public charge points for AFIR: DATEX II as JSON, as readers expect it (2026-07).
_SITE = Template("""{"idG": "site-$siteId", "name": {"values": [{"lang": "en", "value": "$city"}]},
    "operator": $party, "owner": $party, "locationReference": {"locPointLocation": {
        "pointByCoordinates": {"pointCoordinates": $coordinates},
        "locLocationExtensionG": {"FacilityLocation": {"address": {"postcode": "$zip",
            "city": {"values": [{"lang": "en", "value": "$city"}]}, "countryCode": "$country",
            "addressLine": [{"order": 1, "type": {"value": "street"},
                "text": {"values": [{"lang": "en", "value": "$address1"}]}}]}}}}},
    "energyInfrastructureStation": [{"idG": "station-$siteId", "refillPoint": []}]}""")
_PARTY = Template("""{"afacAnOrganisation": {"name":
    {"values": [{"lang": "en", "value": "$name"}]}}}""").substitute(OPERATOR)
_POINT = Template("""{"idG": "point-$id", "externalIdentifier": [{"identifier": "$evseId"}],
    "currentType": {"value": "$type"}, "deliveryUnit": {"value": "kWh"}, "connector": [{
        "connectorType": {"value": "$plug"}, "connectorFormat": {"value": "$form"},
        "chargingMode": {"value": "$mode"}, "maxPowerAtSocket": $watt}]}""")
_PLUGS = {
    "ac": {"plug": "iec62196T2", "form": "socket", "mode": "mode3AC3p"},
    "dc": {"plug": "iec62196T2COMBO", "form": "cableMode3", "mode": "mode4DC"},
}
_STATUS = Template("""{"evseId": "$evseId", "availabilityStatus": "$available",
    "energyRateUpdate": [{"ratePolicy": {"value": "adHoc"}, "applicableCurrency": ["$currency"],
        "energyPrice": [{"priceType": {"value": "pricePerKWh"}, "value": $price,
            "taxIncluded": true}]}]}""")
_AVAILABLE = {"available": "available", "disconnected": "outOfService", "busy-reserved": "reserved"}


def afir_points(countries: Container[str], page: int, size: int, now: float) -> Record:
    """Return one page of sites. The first page is 1 here."""
    found: dict[int, Record] = {}
    for point in POINTS:
        if point["visibility"] == "public" and point["country"] in countries:
            where = point["location"]
            known = {**where["address"], "party": _PARTY, **point}
            known["coordinates"] = json.dumps(where["coordinates"])
            site = found.setdefault(point["siteId"], json.loads(_SITE.substitute(known)))
            shown = _POINT.substitute(point, **_PLUGS[point["type"]], watt=1000 * point["maxKw"])
            site["energyInfrastructureStation"][0]["refillPoint"].append(json.loads(shown))
    sites = [*found.values()][(page - 1) * size : page * size]
    tables = [{"idG": "monta", "energyInfrastructureSite": sites}]
    meta = {"page": page, "perPage": size, "total": len(found)}
    return {"publicationTime": now, "energyInfrastructureTable": tables, "meta": meta}


def afir_status(point: Record, now: float) -> Record:
    known = point | {"available": _AVAILABLE.get(point["state"], "occupied")}
    known |= {"currency": point["currency"]["identifier"].upper()}
    shown = {"lastUpdated": point["updatedAt"], **json.loads(_STATUS.substitute(known))}
    return {"publicationTime": now, "electricChargingPointStatus": shown}
