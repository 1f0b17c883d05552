"""An OpenAPI description of a part of the API, as the emulator answers it; for generated SDKs.

Source: the API reference, by way of what the emulator took from there. It is not Monta's own.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def _reply(schema: str, status: str = "200") -> Schema:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {
        status: {"description": "Success", "content": content},
        "401": {"description": "The access token is missing, unknown or expired"},
    }


def _query(name: str) -> Schema:
    return {"name": name, "in": "query", "schema": {"type": "integer"}}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": [*properties], "properties": properties}


def _nullable(kind: str) -> Schema:
    return {"type": [kind, "null"]}


_STRING, _INTEGER, _NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}
_DATE = {"type": "string", "format": "date-time"}

DOCUMENT: Schema = {
    "openapi": "3.1.0",
    "info": {"title": "Monta emulator", "version": "1"},
    "servers": [{"url": "/api/v1"}],
    "security": [{"bearer": []}],
    "paths": {
        "/charge-points": {
            "get": {
                "operationId": "getChargePoints",
                "tags": ["chargePoints"],
                "parameters": [_query("page"), _query("perPage")],
                "responses": _reply("ChargePointPage"),
            }
        },
        "/charge-points/{id}": {
            "get": {
                "operationId": "getChargePoint",
                "tags": ["chargePoints"],
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": _INTEGER},
                ],
                "responses": _reply("ChargePoint"),
            }
        },
        "/charges": {
            "post": {
                "operationId": "startCharge",
                "tags": ["charges"],
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/StartCharge"}}
                    },
                },
                "responses": _reply("Charge", "201"),
            }
        },
    },
    "components": {
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        "schemas": {
            "ChargePoint": _object(
                id=_INTEGER,
                name=_STRING,
                state=_STRING,
                maxKw=_NUMBER,
                serialNumber=_nullable("string"),
                createdAt=_DATE,
            ),
            "PageMeta": _object(
                itemCount=_INTEGER,
                currentPage=_INTEGER,
                perPage=_INTEGER,
                totalPageCount=_INTEGER,
                totalItemCount=_INTEGER,
            ),
            "ChargePointPage": _object(
                data={"type": "array", "items": {"$ref": "#/components/schemas/ChargePoint"}},
                meta={"$ref": "#/components/schemas/PageMeta"},
            ),
            "StartCharge": _object(chargePointId=_INTEGER),
            "Charge": _object(id=_INTEGER, chargePointId=_INTEGER, state=_STRING, createdAt=_DATE),
        },
    },
}
