"""What a token gives access to: data, quota, the user's own routes, and the record of calls."""

import logging
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import requests
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from monta_auth.emulator import Call, Emulator

from ..clock import START, Now
from .helpers import envelope, get, mint, pair, renew, token_body


@pytest.mark.parametrize(
    ("path", "total"), [("/charge-points", 24), ("/charges", 60), ("/wallet-transactions", 40)]
)
def test_lists_come_in_pages_counted_from_zero(monta: Emulator, path: str, total: int) -> None:
    token = pair(monta)["accessToken"]
    rows: list[Any] = []
    for number in range(20):
        body = get(monta, f"{path}?page={number}", token).json()
        assert body["meta"]["currentPage"] == number
        assert body["meta"]["totalItemCount"] == total
        assert body["meta"]["itemCount"] == len(body["data"])
        rows += body["data"]
        if number + 1 == body["meta"]["totalPageCount"]:
            break
    assert len({row["id"] for row in rows}) == len(rows) == total


def test_a_page_has_the_requested_size_and_filters_apply(monta: Emulator) -> None:
    token = pair(monta)["accessToken"]
    assert get(monta, "/charges?perPage=100", token).json()["meta"]["totalPageCount"] == 1
    rows = get(monta, "/charges?chargePointId=108&state=completed", token).json()["data"]
    assert rows
    assert {row["chargePointId"] for row in rows} == {108}


@pytest.mark.parametrize("query", ["page=-1", "page=x", "perPage=0", "perPage=101"])
def test_an_impossible_page_is_a_400(monta: Emulator, query: str) -> None:
    token = pair(monta)["accessToken"]
    assert envelope(get(monta, f"/charges?{query}", token)) == (400, "BAD_REQUEST", "BAD_REQUEST")


def test_single_records_can_be_read_and_unknown_ones_are_404(monta: Emulator) -> None:
    token = pair(monta)["accessToken"]
    assert get(monta, "/charge-points/101", token).json()["id"] == 101
    assert get(monta, "/charges/5001", token).json()["id"] == 5001
    for path in ("/charge-points/1", "/charge-points/x", "/charges/1", "/wallet-transactions/1"):
        reply = get(monta, path, token)
        assert envelope(reply) == (404, "NOT_FOUND", "RESOURCE_NOT_FOUND")
        assert reply.json()["context"] == path.rpartition("/")[2]


def test_a_charge_can_be_started_and_is_listed(monta: Emulator) -> None:
    headers = {"Authorization": f"Bearer {pair(monta)['accessToken']}"}
    with httpx.Client(base_url=monta.base_url, headers=headers) as client:
        reply = client.post("/charges", json={"chargePointId": 101})
        assert reply.status_code == 200
        assert reply.json()["state"] == "starting"
        assert reply.json()["createdAt"] == "2025-08-06T09:20:37Z"
        assert client.get(f"/charges/{reply.json()['id']}").json() == reply.json()
        assert client.get("/charges").json()["meta"]["totalItemCount"] == 61

        assert client.post("/charges", json={"chargePointId": 1}).status_code == 404
        for wrong in ({}, {"chargePointId": "101"}, {"chargePointId": True}, [101]):
            assert client.post("/charges", json=wrong).status_code == 400
        assert client.delete("/charges").status_code == 405


def test_a_path_outside_the_base_path_is_a_404_and_no_auth_call(
    monta: Emulator,
) -> None:
    """It is a common mistake to leave /api/v1 out of the base URL."""
    root = monta.base_url.removesuffix("/api/v1")
    reply = requests.post(root + "/auth/token", json=token_body(monta), timeout=5)
    assert envelope(reply) == (404, "NOT_FOUND", "RESOURCE_NOT_FOUND")
    assert monta.count("/auth/token") == 0
    assert [call.path for call in monta.calls] == ["../../auth/token"]


def test_over_quota_is_a_429_that_says_how_long_to_wait(monta: Emulator, now: Now) -> None:
    monta.quota = 3
    first = pair(monta)
    now.advance(20.5)
    assert get(monta, "/auth/me", first["accessToken"]).status_code == 200
    second = renew(monta, first["refreshToken"])
    assert second.status_code == 200

    for reply in (
        mint(monta),
        get(monta, "/auth/me", first["accessToken"]),
        renew(monta, second.json()["refreshToken"]),
    ):
        assert envelope(reply) == (429, "TOO_MANY_REQUESTS", "UNKNOWN")
        limit = {"timeWindow": 60, "quota": 3, "remaining": 0, "resetsIn": 40, "exceeded": True}
        assert reply.json()["context"] == {"rateLimitResponse": limit}
        assert "RateLimit-Quota" not in reply.headers

    now.now = START + 60
    assert renew(monta, second.json()["refreshToken"]).status_code == 200, (
        "a 429 uses up no refresh token"
    )


def test_a_wrong_secret_counts_for_the_client_and_an_unknown_client_counts_not(
    monta: Emulator,
) -> None:
    monta.quota = 1
    for _ in range(2):
        body = {"clientId": "unknown", "clientSecret": "x"}
        assert (
            requests.post(monta.base_url + "/auth/token", json=body, timeout=5).status_code == 401
        )
    body = token_body(monta) | {"clientSecret": "x"}
    assert requests.post(monta.base_url + "/auth/token", json=body, timeout=5).status_code == 401
    assert mint(monta).status_code == 429


def test_the_partner_api_shows_its_quota_in_headers(monta: Emulator) -> None:
    monta.partner = True
    assert "RateLimit-Quota" not in mint(monta).headers
    monta.quota, monta.quota_window = 2, 600.0
    token = pair(monta)["accessToken"]
    replies = [get(monta, "/charges", token), get(monta, "/charges", token)]
    assert [reply.status_code for reply in replies] == [200, 429]
    for reply in replies:
        headers = {
            name: value
            for name, value in reply.headers.items()
            if name.lower().startswith("ratelimit")
        }
        assert headers == {
            "ratelimit-policy": "Quota",
            "ratelimit-timewindow": "600",
            "ratelimit-quota": "2",
            "ratelimit-remaining": "0",
            "ratelimit-resetsin": "600",
        }


async def _sites(request: Request) -> Response:
    return JSONResponse(
        {"caller": request.state.client_id, "body": (await request.body()).decode()}
    )


async def _cookies(_: Request) -> Response:
    reply = StreamingResponse(iter([b"a", b"b"]))
    reply.set_cookie("one", "1")
    reply.set_cookie("two", "2")
    return reply


async def _missing(_: Request) -> Response:
    raise HTTPException(403, "not yours")


async def _broken(_: Request) -> Response:
    raise LookupError("as planned")


def test_extra_routes_require_the_same_token(
    monta: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    monta.routes = [
        Route("/sites", _sites, methods=["POST"]),
        Route("/cookies", _cookies),
        Route("/forbidden", _missing),
        Route("/broken", _broken),
        Route("/charges", _sites),
    ]
    assert requests.post(monta.base_url + "/sites", timeout=5).status_code == 401
    token = pair(monta)["accessToken"]
    headers = {"Authorization": f"Bearer {token}"}
    reply = requests.post(monta.base_url + "/sites", data="hello", headers=headers, timeout=5)
    assert reply.json() == {"caller": monta.client_id, "body": "hello"}
    cookies = get(monta, "/cookies", token)
    assert cookies.text == "ab"
    assert dict(cookies.cookies) == {"one": "1", "two": "2"}
    assert envelope(get(monta, "/forbidden", token)) == (403, "FORBIDDEN", "ACCESS_FORBIDDEN")
    assert get(monta, "/charges", token).json()["caller"] == monta.client_id, (
        "they may replace built-in routes"
    )
    assert envelope(get(monta, "/broken", token))[0] == 500
    assert [record.getMessage() for record in caplog.records if record.levelno > logging.INFO] == [
        "a route raised"
    ]

    monta.routes = ()
    assert get(monta, "/sites", token).status_code == 501


def test_every_call_is_recorded_without_secrets(monta: Emulator) -> None:
    body = pair(monta)
    get(monta, "/charges?page=1&state=stopped", body["accessToken"])
    get(monta, "/charges", "no token")

    at = datetime.fromtimestamp(START, UTC)
    assert monta.calls == (
        Call("POST", "/auth/token", 200, at, monta.client_id),
        Call("GET", "/charges", 200, at, monta.client_id),
        Call("GET", "/charges", 401, at, None),
    )
    assert monta.count() == 3
    assert monta.count("/charges") == 2
    assert monta.count("/auth/refresh") == 0

    monta.clear()
    assert monta.count() == 0
    assert get(monta, "/charges", body["accessToken"]).status_code == 200, "tokens stay"


def test_no_secret_is_logged_or_shown(monta: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    with Emulator(
        client_secret=monta.client_secret, client_id=monta.client_id, credentials={"x": "y-secret"}
    ) as other:
        first = pair(other)
        second = renew(other, first["refreshToken"]).json()
        renew(other, first["refreshToken"])
        get(other, "/charges?key=hidden", second["accessToken"])
        get(other, "/line%0Abreak", second["accessToken"])
        shown = repr(other) + repr(other.calls)
    records = [
        record for record in caplog.records if record.name.startswith(("monta_auth", "uvicorn"))
    ]
    shown += "".join(record.getMessage() + repr(record.__dict__) for record in records)

    secrets = [monta.client_secret, "y-secret", "hidden"]
    secrets += [body[key] for body in (first, second) for key in ("accessToken", "refreshToken")]
    assert not [secret for secret in secrets if secret in shown]
    lines = [
        record.getMessage().rsplit(" ", 2)[0]
        for record in records
        if record.levelno >= logging.INFO
    ]
    assert lines == [
        "POST /auth/token 200",
        "POST /auth/refresh 200",
        "POST /auth/refresh 401",
        "GET /charges 501",
        "GET /line%0Abreak 501",
    ]


def test_the_description_needs_no_token(monta: Emulator) -> None:
    """A generator of clients has no token."""
    document = requests.get(f"{monta.base_url}/openapi.json").json()
    assert "/charge-points" in document["paths"]
