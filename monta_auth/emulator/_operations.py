"""The calls that the emulator answers. One text defines routes, parameters and OpenAPI document.

Source: the API references of both APIs; for AFIR, the pages of the Public API (2026).
"""

import contextlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qsl

from ._replies import ReplyError, bad_request, envelope, not_allowed, not_emulated
from ._schema import KINDS, Schema, models, reference

# Method, path, name, model of the reply. Then, in any order: `public` or `partner` if only that API
# has the call; `open` if it needs no token, `upstream` if it is a 400 without one (seen in 2026);
# the model of the body; the query parameters with their kinds.
_TEXT = """
POST /auth/token     get_token     Token  body=Credentials open
POST /auth/refresh   refresh_token Token  body=RefreshToken open
GET  /auth/me        get_me        Application
GET  /consumers/me   get_consumer  Application  partner
GET  /charge-points  get_charge_points ChargePointPage  ?page:page ?perPage:size ?siteId:id
    ?teamId:id ?state:ChargePointState
GET  /charge-points/{chargePointId} get_charge_point ChargePoint
GET  /charges        get_charges   ChargePage  ?page:page ?perPage:size ?chargePointId:id
    ?siteId:id ?teamId:id ?state:ChargeState ?fromDate:moment ?toDate:moment
GET  /charges/{chargeId}                  get_charge       Charge
POST /charges                             start_charge     Charge  body=StartCharge
POST /charges/{chargeId}/stop             stop_charge      Charge  public
GET  /charges/{chargeId}/stop             stop_charge      Charge  partner
GET  /charges/{chargeId}/restart          restart_charge   Charge  partner
GET  /charges/{chargeId}/kwh-consumption  get_consumption  Consumption  public
    ?consumptionPeriodSizeInSeconds:period
GET  /wallet-transactions      get_transactions  WalletTransactionPage  ?page:page ?perPage:size
    ?state:TransactionState ?fromDate:second ?toDate:second
GET  /wallet-transactions/{transactionId} get_transaction  WalletTransaction
GET  /wallets/personal         get_wallet        Wallet  public
GET  /afir/charge-points       get_afir_points   AfirPoints  public open ?country:AfirCountry
    ?page:afirPage ?perPage:afirSize
GET  /afir/charge-points/{evseId}/status  get_afir_status  AfirStatus  public upstream
"""
#: Calls of the Partner API that are not emulated, but whose paths match those of other calls.
_NOT_HERE = {
    *("GET /charge-points/map", "GET /charges/insights", "POST /charge-points"),
    *("PATCH /charge-points/{chargePointId}", "DELETE /charge-points/{chargePointId}"),
    *("PATCH /charges/{chargeId}", "PATCH /wallet-transactions/{transactionId}"),
}
_EXAMPLES: dict[str, object] = {"chargePointId": 101, "chargeId": 5001, "transactionId": 9001}
_TYPES = {"int": int, "bool": bool, "text": str}


class Parameter(NamedTuple):
    """A query parameter. ``kind`` is a key of `KINDS`, or an enumeration: then it takes a list."""

    name: str
    kind: str

    def read(self, texts: list[str], partner: bool) -> object:
        """Return the parsed value, a date as Unix seconds; raise a 400 if it is wrong."""
        text, kind = ",".join(texts), KINDS.get(self.kind)
        if kind is None:
            values = models(partner).values[self.kind]
            what = f"one or more of {', '.join(values)}, with commas"
            if set(text.split(",")) <= set(values):
                return frozenset(text.split(","))
        elif "pattern" in kind:
            what = "an ISO 8601 date with a time zone, such as 2022-05-22T09:30:03Z"
            if re.fullmatch(kind["pattern"], text):
                with contextlib.suppress(ValueError):
                    return datetime.fromisoformat(text).timestamp()
        else:
            allowed = kind.get("enum") or range(kind["minimum"], kind["maximum"] + 1)
            span = kind.get("enum", f"from {allowed[0]} to {allowed[-1]}")
            what = f"a whole number: {span}"
            if re.fullmatch("[0-9]{1,20}", text) and int(text) in allowed:
                return int(text)
        raise bad_request(f"{self.name} must be {what}")

    @property
    def described(self) -> Schema:
        described: Schema = {"name": self.name, "in": "query", "schema": KINDS.get(self.kind)}
        if self.kind in KINDS:
            return described
        described["schema"] = {"type": "array", "minItems": 1, "items": reference(self.kind)}
        return described | {"explode": False, "required": self.name == "country"}


class Operation:
    """One call, parsed from a line of the text. ``partner`` is None if both APIs have it."""

    def __init__(self, line: str) -> None:
        self.method, self.path, self.name, self.sends, *words = line.split()
        self.partner = "partner" in words if {"partner", "public"} & {*words} else None
        self.guard = next((word for word in words if word in ("open", "upstream")), None)
        self.takes = next((word[5:] for word in words if word.startswith("body=")), None)
        self.query = [Parameter(*word[1:].split(":")) for word in words if word.startswith("?")]
        self._pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path))

    def match(self, path: str) -> dict[str, str] | None:
        """Return the ids in this path, or None if the path does not match."""
        found = self._pattern.fullmatch(path)
        return None if found is None else found.groupdict()

    def read_query(self, text: str, partner: bool) -> dict[str, Any]:
        """Return the parameters, with defaults; raise a 400, or a 501 that names unknown ones."""
        given: dict[str, list[str]] = {}
        for name, value in parse_qsl(text, keep_blank_values=True):
            given.setdefault(name, []).append(value)
        known = {parameter.name: parameter for parameter in self.query}
        if given.keys() - known.keys():
            names = ", ".join(sorted(given.keys() - known.keys()))
            raise not_emulated(f"the query parameter {names} of {self.method} {self.path}")
        if "country" in known.keys() - given.keys():
            raise bad_request("country is missing")
        values: dict[str, Any] = {
            name: KINDS.get(kind, {}).get("default") for name, kind in self.query
        }
        return values | {name: known[name].read(given[name], partner) for name in given}

    def read_body(self, body: bytes, partner: bool) -> dict[str, Any]:
        """Return the fields; raise a 400, or a 501 that names unknown ones."""
        if self.method == "GET" or not (body or self.takes):
            return {}
        data: object = None
        with contextlib.suppress(ValueError, RecursionError):
            data = json.loads(body) or {}
        if not isinstance(data, dict):
            raise bad_request("The body must be a JSON object")
        given = cast("dict[str, object]", data)
        fields = models(partner).fields[self.takes] if self.takes else {}
        if given.keys() - fields.keys():
            names = ", ".join(sorted(given.keys() - fields.keys()))
            raise not_emulated(f"the field {names} in the body of {self.method} {self.path}")
        for name, field in fields.items():
            value, is_absent = given.get(name), name not in given
            if value is None and ("~" if is_absent else "?") in field.marks:
                continue
            is_too_big = isinstance(value, int) and not 0 <= value < 2**63
            if type(value) is not _TYPES[field.kind] or is_too_big:
                raise bad_request(f"{name} must be of the type {field.kind}")
        return given

    @property
    def described(self) -> Schema:
        parameters = [parameter.described for parameter in self.query]
        for name in re.findall(r"\{(\w+)\}", self.path):
            kind: Schema = {"type": "string", "examples": ["DK*MON*E100001"]}
            if name in _EXAMPLES:
                kind = {**KINDS["id"], "examples": [_EXAMPLES[name]]}
            parameters.append({"name": name, "in": "path", "required": True, "schema": kind})
        replies = {200: self.sends} | dict.fromkeys((400, 401, 403, 404, 429, 501), "Error")
        described: Schema = {"operationId": _camel(self.name), "parameters": parameters}
        described["tags"] = [_camel(self.path.split("/")[1])]
        described["responses"] = {
            str(status): {"description": HTTPStatus(status).phrase, **_json(model)}
            for status, model in replies.items()
        }
        if self.takes is not None:
            described["requestBody"] = {"required": True, **_json(self.takes)}
        return described | ({"security": []} if self.guard == "open" else {})


OPERATIONS = [Operation(line) for line in _TEXT.replace("\n    ", " ")[1:].splitlines()]


def operations(partner: bool) -> list[Operation]:
    return [known for known in OPERATIONS if known.partner in (None, partner)]


def guard_of(path: str, partner: bool) -> str | None:
    """Return the token check of this path: "open", "upstream", or None for the usual one."""
    here = (known.guard for known in operations(partner) if known.match(path) is not None)
    return next(here, None)


def find(method: str, path: str, partner: bool) -> tuple[Operation, Mapping[str, str]]:
    """Return the operation of a call, and the ids in its path.

    Raise a 405, or a 501 that names the call. ``/consumers/me`` is a 404 in the Public API, because
    clients that work with both APIs try it and continue.
    """
    wanted = "GET" if method == "HEAD" else method
    here = [(known, known.match(path)) for known in operations(partner)]
    found = {known.method: (known, ids) for known, ids in here if ids is not None}
    names = {path, *(known.path for known, _ in found.values())}
    hidden = {f"{wanted} {name}" for name in names} & _NOT_HERE
    if wanted in found and not hidden:
        return found[wanted]
    if found and not hidden:
        raise ReplyError(not_allowed(method, found))
    if path == "/consumers/me":
        raise ReplyError(envelope(404, "The Partner API has it: Emulator(partner=True)"))
    elsewhere = any(known.match(path) is not None for known in operations(not partner))
    hint = f" (Emulator(partner={not partner}) has it)" if elsewhere and not hidden else ""
    raise not_emulated(f"{method} {path}{hint}")


def document(partner: bool) -> Schema:
    """Return the OpenAPI document of one API, made from the text. It is not Monta's."""
    paths: Schema = {}
    for one in operations(partner):
        paths.setdefault(one.path, {})[one.method.lower()] = one.described
    scheme = {"bearer": {"type": "http", "scheme": "bearer"}}
    components = {"securitySchemes": scheme, "schemas": models(partner).schemas()}
    known: Schema = {"openapi": "3.1.0", "info": {"title": "Monta emulator", "version": "1"}}
    known |= {"servers": [{"url": "/api/v1"}], "security": [{"bearer": []}]}
    return known | {"paths": paths, "components": components}


def _camel(name: str) -> str:
    return re.sub(r"[-_](\w)", lambda found: found[1].upper(), name)


def _json(model: str) -> Schema:
    return {"content": {"application/json": {"schema": reference(model)}}}
