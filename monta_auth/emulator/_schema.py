"""The fields of all requests and replies. One text defines replies and OpenAPI document.

Source: the API reference; production logs of 2024-11 and 2025-03 (transactions, charges and charge
points of the Public API); Monta's description of the Partner API, version 2024-01-18; for AFIR,
public code that reads its lists (2026-07).
"""

import string
from collections.abc import Mapping
from typing import Any, NamedTuple

from ._replies import date_of_record

Record = Mapping[str, Any]
Schema = dict[str, Any]

# A line is a model, `Name = type: field field type: field`, or an enumeration, `Name | value
# value`. An indented line continues the line before. `@Name` stands for the fields of that model.
# After a type: `?` may be null, `*` is a list, `~` may be absent.
_BOTH = """
ChargeState | reserved starting charging stopping paused scheduled stopped completed
TransactionState | complete pending failed reserved
ChargePointState | available busy busy-blocked busy-charging busy-non-charging busy-non-released
    busy-reserved busy-scheduled error disconnected passive maintenance other
Error = text: status message errorCode text?~: readableMessage any~: context
Credentials = text: clientId clientSecret
RefreshToken = text: refreshToken
Pair = text: accessToken date: accessTokenExpirationDate text: refreshToken date:
    refreshTokenExpirationDate
PageMeta = int: itemCount currentPage perPage totalPageCount totalItemCount
ChargePointPage = ChargePoint*: data PageMeta: meta
ChargePage = Charge*: data PageMeta: meta
WalletTransactionPage = WalletTransaction*: data PageMeta: meta
Coordinates = number: latitude longitude
Currency = text: identifier name int: decimals
StateOfCharge = number: percentage text: source
KwhPerTime = date: time number: value
Point = int: id date: createdAt updatedAt text: visibility text?: type serialNumber name note
    brandName modelName firmwareVersion number?: maxKW maxKw lastMeterReadingKwh ChargePointState?:
    state Location: location Connector*: connectors bool: cablePluggedIn
Session = int: id chargePointId text: humanReadableId ChargeState: state date: createdAt updatedAt
    date?: cablePluggedInAt startedAt stoppedAt fullyChargedAt failedAt timeoutAt number?:
    consumedKwh kwhLimit startMeterKwh endMeterKwh cost price priceLimit averagePricePerKwh
    averageCo2PerKwh averageRenewablePerKwh socLimit text?: failureReason stopReason note Currency?:
    currency StateOfCharge?: soc
Transfer = int: id TransactionState: state text?: note number: fromAmount toAmount exchangeRate
    Currency: fromCurrency toCurrency date: createdAt date?: updatedAt completedAt
"""
_PUBLIC = """
Token = int: applicationId userId @Pair
Application = int: id userId text: name clientId text?: clientSecret text*: scopes date: createdAt
    date?: updatedAt
Address = text: address1 zip city country text?: address2 address3
Location = Coordinates: coordinates Address: address
Connector = text: identifier name
ChargePoint = @Point
StartCharge = int: chargePointId
Charge = @Session text?: externalId
Consumption = int: chargeId consumptionPeriodSizeInSeconds KwhPerTime*: kwhConsumption
WalletTransaction = @Transfer text: summary
Balance = number: amount credit
Wallet = int: id text: ownerType status Balance?: balance Currency: currency
AfirCountry | BE DK
AfirValue = text: value
AfirConnector = AfirValue: connectorType connectorFormat chargingMode number: maxPowerAtSocket
AfirRefillPoint = text: idG object*: externalIdentifier AfirValue: currentType deliveryUnit
    AfirConnector*: connector
AfirStation = text: idG AfirRefillPoint*: refillPoint
AfirSite = text: idG object: name operator owner locationReference AfirStation*:
    energyInfrastructureStation
AfirTable = text: idG AfirSite*: energyInfrastructureSite
AfirMeta = int: page perPage total
AfirPoints = date: publicationTime AfirTable*: energyInfrastructureTable AfirMeta: meta
AfirRate = AfirValue: ratePolicy text*: applicableCurrency object*: energyPrice
AfirPointStatus = text: evseId availabilityStatus date: lastUpdated AfirRate*: energyRateUpdate
AfirStatus = date: publicationTime AfirPointStatus: electricChargingPointStatus
"""
_PARTNER = """
Token = @Pair
Application = text: name clientId int: operatorId rateLimit rateLimitIntervalInSeconds int*:
    operatorIds teamIds text*: scopes date: createdAt date?: updatedAt
Address = text: address1 zip city text?: address2 address3 province country int?: countryAreaId
Location = Coordinates?: coordinates text?: addressLabel Address?: address
Connector = int: id text: identifier name
Operator = int: id text: name identifier int?: partnerId text?: vatNumber
Deeplinks = text: app web
Team = int: id operatorId text: publicName
User = int: id text: displayName
PublicChargePoint = int: id chargePointOperatorId text: evseId chargePointOperatorName text?: name
    brandName modelName Location: location number?: maxKw int?: chargePointModelId date?: deletedAt
ChargePoint = @Point int: teamId text?: partnerExternalId operatorNote meterId integrationType
    object?: partnerCustomPayload simCard metadata int?: siteId chargePointModelId priceGroupId
    costGroupId roamingPriceGroupId sponsoredPriceGroupId reservationTime Operator?: operator date?:
    deletedAt activeAt lastConnectedAt disconnectedAt Deeplinks: deeplinks text: evseId bool:
    isActive reservable roaming showOnMap bool?: occupied object: protocolData
StartCharge = int: chargePointId payingTeamId bool~: reserveCharge text?~: partnerExternalId
Charge = @Session User: user object?: teamMember sponsorTeam chargeAuth genericPaymentSession
    partnerCustomPayload signedData text: type emaidProviderId PublicChargePoint: publicChargePoint
    int?: sponsoredChargePointId costPriceGroupId memberCostPriceGroupId siteId promotionCodeId
    smartChargeId vehicleId int: priceGroupId date?: releasedAt completedAt text?: startSource
    paymentMethod partnerExternalId vid KwhPerTime*: kwhPerHour kwhPerMaxResolution costBreakdown
    priceBreakdown Team?: payingTeam Operator?: operator number?: chargePointKw object: protocolData
WalletTransaction = @Transfer number: fromSubAmount fromVatAmount toSubAmount toVatAmount
    vatPercentage text?: fromType toType referenceId referenceType partnerExternalId Team?: from
    int?: fromWalletId toWalletId Operator?: to text: group kind object?: partnerCustomPayload
    metadata
"""
_INT: Schema = {"type": "integer", "format": "int64"}
_DATE: Schema = {"type": "string", "format": "date-time"}
_SECOND = "[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}"
#: All types. Those from "id" on are only for parameters.
KINDS: dict[str, Schema] = {
    "text": {"type": "string"},
    "int": _INT,
    "number": {"type": "number", "format": "double"},
    "bool": {"type": "boolean"},
    "date": _DATE,
    "object": {"type": "object"},
    "any": {},
    "id": {**_INT, "minimum": 0, "maximum": 2**63 - 1},
    "page": {**_INT, "minimum": 0, "maximum": 2**31 - 1, "default": 0},
    "size": {**_INT, "minimum": 1, "maximum": 100, "default": 10},
    "afirPage": {**_INT, "minimum": 1, "maximum": 2**31 - 1, "default": 1},
    "afirSize": {**_INT, "minimum": 1, "maximum": 1000, "default": 100},
    "period": {**_INT, "enum": [3600, 1800, 900, 600, 300], "default": 3600},
    "moment": {**_DATE, "pattern": rf"^{_SECOND}(\.[0-9]+)?(Z|[+-][0-9]{{2}}:[0-9]{{2}})$"},
    # Transactions take only whole seconds in UTC, according to the pattern in Monta's description.
    "second": {**_DATE, "pattern": f"^{_SECOND}Z$"},
}


class Field(NamedTuple):
    """One field of a model; ``marks`` are the signs after its type in the text."""

    kind: str
    marks: str

    @property
    def schema(self) -> Schema:
        schema = KINDS[self.kind] if self.kind in KINDS else reference(self.kind)
        if "*" in self.marks:
            return {"type": "array", "items": schema}
        null: Schema = {"anyOf": [schema, {"type": "null"}]}
        if "type" in schema:
            null = {**schema, "type": [schema["type"], "null"]}
        return null if "?" in self.marks else schema


def reference(model: str) -> Schema:
    return {"$ref": f"#/components/schemas/{model}"}


class Models:
    """The models of one API."""

    def __init__(self, text: str) -> None:
        self.fields: dict[str, dict[str, Field]] = {}
        self.values: dict[str, list[str]] = {}
        for line in (_BOTH + text[1:]).replace("\n    ", " ")[1:].splitlines():
            name, sign, *words = line.split()
            if sign == "|":
                self.values[name] = words
                continue
            fields = self.fields[name] = {}
            kind = ""
            for word in words:
                if word.startswith("@"):
                    fields |= self.fields[word[1:]]
                elif word.endswith(":"):
                    kind = word[:-1]
                else:
                    fields[word] = Field(kind.rstrip("?*~"), kind.lstrip(string.ascii_letters))

    def schemas(self) -> Schema:
        """Return all models as JSON Schema."""
        schemas: Schema = {
            name: {"type": "string", "enum": values} for name, values in self.values.items()
        }
        for name, fields in self.fields.items():
            properties = {field: fields[field].schema for field in fields}
            required = [field for field in fields if "~" not in fields[field].marks]
            schemas[name] = {"type": "object", "required": required, "properties": properties}
        return schemas

    def shape(self, model: str, record: Record) -> dict[str, Any]:
        """Return the fields of this model from a record, which may have more fields.

        A missing field becomes null, if null is allowed. Dates in records are Unix seconds.
        """
        shaped: dict[str, Any] = {}
        for name, field in self.fields[model].items():
            value = record.get(name) if "?" in field.marks else record[name]
            if value is not None and "*" in field.marks:
                value = [self._one(field.kind, one) for one in value]
            elif value is not None:
                value = self._one(field.kind, value)
            shaped[name] = value
        return shaped

    def _one(self, kind: str, value: Any) -> Any:
        if kind == "date":
            return value if isinstance(value, str) else date_of_record(value)
        return self.shape(kind, value) if kind in self.fields else value


PUBLIC, PARTNER = Models(_PUBLIC), Models(_PARTNER)


def models(partner: bool) -> Models:
    return PARTNER if partner else PUBLIC
