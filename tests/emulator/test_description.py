"""Replies, the OpenAPI document and the guide agree, since one text generates them."""

import json
from typing import Any

import pytest
import requests

from monta_auth.emulator import Emulator
from monta_auth.emulator._operations import OPERATIONS, Operation, operations
from monta_auth.emulator._schema import models

from ..docs.pages import DOCS
from .helpers import Api, pair
from .test_unknown import IDS

PUBLIC = {
    *("POST /auth/token", "POST /auth/refresh", "GET /auth/me", "GET /charge-points"),
    *("GET /charge-points/{chargePointId}", "GET /charges", "GET /charges/{chargeId}"),
    *("POST /charges", "POST /charges/{chargeId}/stop"),
    *("GET /charges/{chargeId}/kwh-consumption", "GET /wallet-transactions"),
    *("GET /wallet-transactions/{transactionId}", "GET /wallets/personal"),
    *("GET /afir/charge-points", "GET /afir/charge-points/{evseId}/status"),
}


def document(monta: Emulator) -> dict[str, Any]:
    """It needs no token, since a generator of clients has none."""
    reply = requests.get(f"{monta.base_url}/openapi.json", timeout=5)
    assert reply.status_code == 200
    document: dict[str, Any] = reply.json()
    return document


def test_the_description_has_the_fifteen_public_operations(monta: Emulator) -> None:
    paths = document(monta)["paths"]
    assert {f"{m.upper()} {path}" for path, item in paths.items() for m in item} == PUBLIC


def test_the_partner_api_has_its_own_document(monta: Emulator) -> None:
    monta.partner = True
    paths = document(monta)["paths"]
    assert [*paths["/charges/{chargeId}/stop"]] == ["get"]
    assert {"/charges/{chargeId}/restart", "/consumers/me"} <= paths.keys()
    assert "/wallets/personal" not in paths


@pytest.mark.parametrize("is_partner", [False, True], ids=["public", "partner"])
def test_every_reference_exists_and_names_are_unique(monta: Emulator, is_partner: bool) -> None:
    monta.partner = is_partner
    whole = document(monta)
    text = json.dumps(whole)
    schemas = whole["components"]["schemas"]
    for piece in text.split('"#/components/schemas/')[1:]:
        assert piece.partition('"')[0] in schemas
    names = [known.name for known in operations(is_partner)]
    assert len(names) == len(set(names))
    for item in whole["paths"].values():
        for operation in item.values():
            assert operation["responses"].keys() == {
                *("200", "400", "401", "403", "404", "429", "501")
            }


def is_of(value: Any, schema: dict[str, Any], schemas: dict[str, Any]) -> bool:
    """Return whether a value has exactly this form. Our schemas use no more of JSON Schema."""
    if "$ref" in schema:
        return is_of(value, schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "anyOf" in schema:
        return any(is_of(value, one, schemas) for one in schema["anyOf"])
    kind = schema["type"]
    kinds = kind if isinstance(kind, list) else [kind]
    if value is None:
        return "null" in kinds
    if "array" in kinds:
        return all(is_of(one, schema["items"], schemas) for one in value)
    if "properties" in schema:
        return value.keys() == schema["properties"].keys() and all(
            is_of(value[name], one, schemas) for name, one in schema["properties"].items()
        )
    types: dict[str, Any] = {"string": str, "boolean": bool, "object": dict, "integer": int}
    types["number"] = (int, float)
    return value in schema.get("enum", [value]) and isinstance(value, types[kinds[0]])


def _id(known: Operation) -> str:
    dialect = {None: "", True: " partner", False: " public"}[known.partner]
    return f"{known.method} {known.path}{dialect}"


@pytest.mark.parametrize("is_partner", [False, True], ids=["public", "partner"])
@pytest.mark.parametrize("known", OPERATIONS, ids=_id)
def test_a_reply_has_exactly_the_described_fields(
    monta: Emulator, api: Api, known: Operation, is_partner: bool
) -> None:
    if known.partner not in (None, is_partner):
        return
    monta.partner = is_partner
    bodies = {
        "Credentials": {"clientId": monta.client_id, "clientSecret": monta.client_secret},
        "RefreshToken": {"refreshToken": pair(monta)["refreshToken"]},
        "StartCharge": {"chargePointId": 101} | ({"payingTeamId": 1} if is_partner else {}),
        None: None,
    }
    team = {"payingTeamId": 1} if is_partner else {}
    ids = {**IDS, "chargeId": str(api.start(102, **team)["id"])}
    if known.name == "restart_charge":
        ids["chargeId"] = "5055"
        ids["chargeId"] = str(api.rows("/charges", state="completed")[0]["id"])
    query = {"country": "DK"} if known.name == "get_afir_points" else {}
    path = known.path.format(**ids)
    reply = api.call(known.method, path, params=query, json=bodies[known.takes])
    assert reply.status_code == 200, reply.text
    whole = document(monta)
    schemas = whole["components"]["schemas"]
    [media] = whole["paths"][known.path][known.method.lower()]["responses"]["200"][
        "content"
    ].values()
    assert is_of(reply.json(), media["schema"], schemas)


def test_only_known_fields_are_null_in_every_record(partner: Api) -> None:
    """Only these fields may be null in every record: the emulator does not know them."""
    never = {
        *("note", "failedAt", "timeoutAt", "kwhLimit", "priceLimit", "socLimit", "failureReason"),
        "externalId",
    }
    partner.monta.partner = False
    for path in ("/charges", "/charge-points", "/wallet-transactions"):
        rows = partner.rows(path)
        empty = {name for name in rows[0] if all(row[name] is None for row in rows)}
        assert empty <= never


def test_each_model_is_used(monta: Emulator) -> None:
    for is_partner in (False, True):
        monta.partner = is_partner
        text = json.dumps(document(monta))
        known = models(is_partner)
        unused = {name for name in (*known.fields, *known.values) if f'/{name}"' not in text}
        assert unused <= {"Pair", "Point", "Session", "Transfer"}


def table() -> list[str]:
    """Return the rows of the table in the guide."""
    lines = []
    for known in OPERATIONS:
        dialects = {None: "both", True: "partner", False: "public"}[known.partner]
        query = ", ".join(f"``{parameter.name}``" for parameter in known.query)
        lines += [f"   * - ``{known.method} {known.path}``", f"     - {dialects}"]
        lines += [f"     - {query}".rstrip()]
    return lines


def test_the_guide_lists_what_the_emulator_serves() -> None:
    text = (DOCS / "guides" / "testing.rst").read_text(encoding="utf-8")
    assert "\n".join(table()) + "\n" in text, "put this there:\n" + "\n".join(table())
