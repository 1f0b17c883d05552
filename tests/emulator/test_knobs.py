"""Settings for what is not certain about Monta: each can be emulated either way."""

from typing import Any

import pytest
import requests

from monta_auth.emulator import Emulator, Fault

from ..clock import Now
from .helpers import Api, get, mint, pair, renew, token_body


def test_reissue_returns_the_same_access_token_while_it_is_valid(monta: Emulator, now: Now) -> None:
    monta.reissue, monta.credentials = True, {"b": "secret-b"}
    other = {"clientId": "b", "clientSecret": "secret-b"}
    first = pair(monta)
    now.advance(1800)
    again = pair(monta)
    for name in ("accessToken", "accessTokenExpirationDate"):
        assert again[name] == first[name]
    assert again["refreshToken"] != first["refreshToken"]
    reply = requests.post(monta.base_url + "/auth/token", json=other, timeout=5)
    assert reply.json()["accessToken"] != first["accessToken"]
    assert renew(monta, first["refreshToken"]).json()["accessToken"] != first["accessToken"]

    monta.revoke_access_tokens()
    third = pair(monta)["accessToken"]
    assert third != first["accessToken"]
    now.advance(3600)
    assert pair(monta)["accessToken"] != third


def test_a_refresh_token_may_be_used_twice(monta: Emulator) -> None:
    monta.single_use_refresh = False
    token = pair(monta)["refreshToken"]
    replies = [renew(monta, token) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [200, 200]
    tokens = {reply.json()["refreshToken"] for reply in replies} | {token}
    assert len(tokens) == 3


def test_a_refresh_may_revoke_the_old_access_token(monta: Emulator) -> None:
    monta.rotation_revokes = True
    first, beside = pair(monta), pair(monta)
    second = renew(monta, first["refreshToken"]).json()
    statuses = [
        get(monta, "/auth/me", one["accessToken"]).status_code for one in (first, second, beside)
    ]
    assert statuses == [401, 200, 200]


@pytest.mark.parametrize("partner", [False, True], ids=["public", "partner"])
def test_a_429_has_retry_after_or_not(monta: Emulator, now: Now, partner: bool) -> None:
    monta.quota, monta.partner = 1, partner
    assert mint(monta).status_code == 200
    now.advance(20.5)
    assert "Retry-After" not in mint(monta).headers
    monta.send_retry_after = True
    reply = mint(monta)
    assert (reply.status_code, reply.headers["Retry-After"]) == (429, "40")


#: From Monta's description, unchanged.
WORDS: dict[int, dict[str, Any]] = {
    400: {"message": "Invalid request", "errorCode": "BAD_REQUEST"},
    401: {
        "message": "Invalid or expired `accessToken`.",
        "errorCode": "INVALID_ACCESS_TOKEN",
    },
    403: {
        "message": "Operator doesn't have access to resource",
        "errorCode": "ACCESS_FORBIDDEN",
    },
    404: {
        "message": "Requested entity/entity provided in body was not found",
        "errorCode": "RESOURCE_NOT_FOUND",
    },
}


@pytest.mark.parametrize("status", WORDS)
def test_errors_have_null_keys_or_leave_them_out(monta: Emulator, status: int) -> None:
    monta.inject(Fault(status), times=2, path="/charges")
    body = get(monta, "/charges", "x").json()
    assert {key: body.pop(key) for key in WORDS[status]} == WORDS[status]
    assert body.keys() == {"status", "readableMessage", "context"}
    monta.null_keys = False
    body = get(monta, "/charges", "x").json()
    assert body.pop("status")
    assert body == WORDS[status]


def test_the_error_for_wrong_credentials_has_the_documented_text(monta: Emulator) -> None:
    monta.null_keys = False
    url, body = monta.base_url + "/auth/token", token_body(monta) | {"clientSecret": "x"}
    words = {
        "status": "UNAUTHORIZED",
        "message": "Consumer with given `clientId` and `clientSecret` not found",
        "errorCode": "CONSUMER_NOT_FOUND",
    }
    assert requests.post(url, json=body, timeout=5).json() == words
    monta.inject(Fault(401))
    assert mint(monta).json() == words


def test_only_errors_leave_out_null_keys(api: Api) -> None:
    api.monta.null_keys = False
    assert api.get("/auth/me")["clientSecret"] is None
    assert "context" in api.call("GET", "/charges/1").json()
    api.monta.inject(Fault(body=b'{"a": null}'), path="/charges")
    assert api.get("/charges") == {"a": None}
