"""What is not emulated says so and names itself. A wrong answer must never look plausible."""

import pytest
import requests
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from monta_auth.emulator import Emulator
from monta_auth.emulator._operations import OPERATIONS

from .helpers import Api, envelope, token_body

GETS = sorted(
    {(known.path, known.partner) for known in OPERATIONS if known.method == "GET"}, key=str
)
IDS = {"chargePointId": "101", "chargeId": "5001", "transactionId": "9001"}
IDS["evseId"] = "DK*MON*E100001"


def refused(reply: requests.Response, *words: str) -> None:
    assert envelope(reply) == (501, "NOT_IMPLEMENTED", "NOT_EMULATED")
    for word in (*words, "routes="):
        assert word in reply.json()["message"]


@pytest.mark.parametrize(
    "path",
    [
        *("/nowhere", "/sites", "/teams/1", "/charges/", "//charges", "/charges/5001/breakdown"),
        *("/charge-points/map", "/charges/insights", "/auth", "/line%0Abreak", "/wallets"),
    ],
)
@pytest.mark.parametrize("is_partner", [False, True], ids=["public", "partner"])
def test_an_unknown_path_is_a_501(api: Api, path: str, is_partner: bool) -> None:
    api.monta.partner = is_partner
    refused(api.call("GET", path), path.replace("%0A", "\n"))


@pytest.mark.parametrize(("path", "partner"), GETS)
def test_an_unknown_query_parameter_is_a_501_everywhere(
    api: Api, path: str, partner: bool | None
) -> None:
    api.monta.partner = bool(partner)
    for query in ("sortByLocation=1,2", "Page=1", "nonsense", "page=x&nonsense=", "=1"):
        reply = api.call("GET", f"{path.format(**IDS)}?{query}")
        refused(reply, query.replace("page=x&", "").partition("=")[0], f"GET {path}")


def test_the_error_for_a_call_of_the_other_api_names_that_api(api: Api) -> None:
    refused(api.call("GET", "/charges/5001/restart"), "Emulator(partner=True)")
    assert envelope(api.call("GET", "/consumers/me"))[::2] == (404, "RESOURCE_NOT_FOUND")
    api.monta.partner = True
    for path in ("/wallets/personal", "/charges/5001/kwh-consumption", "/afir/charge-points"):
        refused(api.call("GET", path), "Emulator(partner=False)")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", "/charge-points"), ("DELETE", "/charge-points/101"), ("PATCH", "/charges/5001")),
        *(("PATCH", "/charge-points/101"), ("PATCH", "/wallet-transactions/9001")),
    ],
)
def test_a_method_that_only_the_real_api_has_is_a_501(api: Api, method: str, path: str) -> None:
    refused(api.call(method, path), f"{method} {path}")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        *(("DELETE", "/charges", "GET, POST"), ("GET", "/charges/5001/stop", "POST")),
        *(("POST", "/auth/me", "GET"), ("OPTIONS", "/wallets/personal", "GET")),
    ],
)
def test_a_method_that_the_api_does_not_have_is_a_405(
    api: Api, method: str, path: str, allow: str
) -> None:
    reply = api.call(method, path)
    assert envelope(reply) == (405, "METHOD_NOT_ALLOWED", "UNKNOWN")
    assert reply.headers["Allow"] == allow


def test_head_is_a_get_without_a_body(api: Api) -> None:
    reply = api.call("HEAD", "/charge-points/101")
    assert (reply.status_code, reply.content) == (200, b"")


def test_without_a_token_even_an_unknown_path_is_a_401(monta: Emulator) -> None:
    for path in ("/nowhere", "/charges?nonsense=1"):
        assert requests.get(monta.base_url + path, timeout=5).status_code == 401


def test_an_unknown_field_of_a_body_is_a_501(partner: Api) -> None:
    body = {"chargePointId": 101, "payingTeamId": 1, "kwhLimit": 20}
    refused(partner.call("POST", "/charges", json=body), "kwhLimit", "POST /charges")
    partner.monta.partner = False
    refused(partner.call("POST", "/charges", json=body), "kwhLimit, payingTeamId")
    for name in ("reason", ""):
        refused(partner.call("POST", "/charges/5001/stop", json={name: 1}), name)


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"chargePointId": 101}, {"chargePointId": None, "payingTeamId": 1}),
        *({"chargePointId": 101.0, "payingTeamId": 1}, {"chargePointId": -1, "payingTeamId": 1}),
        {"chargePointId": 2**63, "payingTeamId": 1},
        {"chargePointId": 101, "payingTeamId": 1, "reserveCharge": None},
        {"chargePointId": 101, "payingTeamId": 1, "partnerExternalId": 5},
        *([], [1], "text", 5, None),
    ],
)
def test_a_wrong_body_is_a_400(partner: Api, body: object) -> None:
    assert partner.call("POST", "/charges", json=body).status_code == 400
    partner.start(101, payingTeamId=1, partnerExternalId=None)


def test_a_body_that_is_not_json_is_a_400(api: Api) -> None:
    for data in (b"{", b"\xff", b"[" * 100_000):
        headers = {"Content-Type": "application/json"}
        assert api.call("POST", "/charges", data=data, headers=headers).status_code == 400


def test_a_charge_is_stopped_with_an_empty_body_or_none(api: Api) -> None:
    for point, more in ((101, {}), (102, {"json": {}}), (103, {"data": "null"})):
        path = f"/charges/{api.start(point)['id']}/stop"
        assert api.call("POST", path, **more).status_code == 200


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "x"])
def test_a_body_of_another_type_is_a_400(api: Api, kind: str) -> None:
    """Many libraries send a form by default, and what Monta answers to it is unknown."""
    headers = {"Content-Type": kind}
    reply = api.call("POST", "/charges", data='{"chargePointId": 101}', headers=headers)
    assert envelope(reply)[::2] == (400, "BAD_REQUEST")
    assert "Content-Type" in reply.json()["readableMessage"]
    url = api.monta.base_url + "/auth/token"
    reply = requests.post(url, data=token_body(api.monta), headers=headers, timeout=5)
    assert "Content-Type" in reply.json()["readableMessage"]


@pytest.mark.parametrize("kind", ["application/json; charset=UTF-8", "Application/JSON", None])
def test_json_may_name_its_charset(api: Api, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    reply = api.call("POST", "/charges", data=b'{"chargePointId": 101}', headers=headers)
    assert reply.status_code == 200


def test_the_auth_endpoints_accept_a_query_and_more_fields(monta: Emulator) -> None:
    """A gateway may need a key in the query, and some existing clients send a grantType."""
    body = {**token_body(monta), "grantType": "client_credentials"}
    url = monta.base_url + "/auth/token?tenant=1"
    assert requests.post(url, json=body, timeout=5).status_code == 200


async def _anything(request: Request) -> Response:
    return JSONResponse({"query": dict(request.query_params)})


def test_a_route_of_the_user_accepts_any_query(api: Api) -> None:
    api.monta.routes = [Route("/sites/{id}", _anything), Route("/charges", _anything)]
    assert api.get("/sites/1", nonsense="2") == {"query": {"nonsense": "2"}}
    assert api.get("/charges", nonsense="2") == {"query": {"nonsense": "2"}}
    refused(api.call("POST", "/sites/1"), "POST /sites/1")
    api.start()
