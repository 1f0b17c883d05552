"""Tokens: their form, their life and their expiry; credentials, and both APIs."""

import threading
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest
import requests

from monta_auth.emulator import Emulator

from ..clock import START, Now
from .helpers import envelope, get, mint, pair, renew, token_body


def test_a_public_pair_has_the_six_fields_of_production(monta: Emulator) -> None:
    """The Content-Length in three production logs only leaves room for these six fields."""
    reply = mint(monta)

    body = reply.json()
    assert list(body) == [
        "applicationId",
        "userId",
        "accessToken",
        "accessTokenExpirationDate",
        "refreshToken",
        "refreshTokenExpirationDate",
    ]
    assert body["applicationId"] == body["userId"] == 1
    assert len(body["accessToken"]) == len(body["refreshToken"]) == 36
    assert body["accessTokenExpirationDate"] == "2025-08-06T10:20:37.250000000Z"
    assert body["refreshTokenExpirationDate"] == "2025-09-05T09:20:37.250000000Z"
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Date"] == "Wed, 06 Aug 2025 09:20:37 GMT"
    assert len(reply.headers["request-id"]) == 36
    assert "server" not in reply.headers
    assert b'": ' not in reply.content


def test_a_partner_pair_names_no_application_and_is_valid_for_a_day(monta: Emulator) -> None:
    monta.partner = True
    body = pair(monta)

    assert "applicationId" not in body
    assert "userId" not in body
    assert body["refreshTokenExpirationDate"].startswith("2025-08-07T09:20:37")


def test_an_access_token_expires_at_its_date(monta: Emulator, now: Now) -> None:
    token = pair(monta)["accessToken"]
    now.now = START + 3599.9
    assert get(monta, "/auth/me", token).status_code == 200
    now.now = START + 3600
    refused = envelope(get(monta, "/auth/me", token))
    assert refused == (401, "UNAUTHORIZED", "INVALID_ACCESS_TOKEN")


def test_a_refresh_token_works_once_and_the_next_one_expires_later(
    monta: Emulator, now: Now
) -> None:
    first = pair(monta)
    now.advance(1000)
    reply = renew(monta, first["refreshToken"])

    second = reply.json()
    assert reply.status_code == 200
    assert second["refreshToken"] != first["refreshToken"]
    assert second["refreshTokenExpirationDate"] == "2025-09-05T09:37:17.250000000Z"
    refused = envelope(renew(monta, first["refreshToken"]))
    assert refused == (401, "UNAUTHORIZED", "INVALID_ACCESS_TOKEN")
    assert get(monta, "/auth/me", first["accessToken"]).status_code == 200
    assert get(monta, "/auth/me", second["accessToken"]).status_code == 200


def test_an_expired_refresh_token_is_refused(monta: Emulator, now: Now) -> None:
    monta.refresh_lifetime = 10.0
    token = pair(monta)["refreshToken"]
    now.advance(10)
    assert envelope(renew(monta, token))[0] == 401


def test_zero_lifetimes_are_not_defaults(monta: Emulator) -> None:
    monta.access_lifetime = monta.refresh_lifetime = 0.0
    body = pair(monta)
    assert get(monta, "/auth/me", body["accessToken"]).status_code == 401
    assert renew(monta, body["refreshToken"]).status_code == 401


def test_two_threads_with_one_refresh_token_get_one_pair(monta: Emulator) -> None:
    """This race made users of a real client lose their session."""
    for _ in range(10):
        token = pair(monta)["refreshToken"]
        barrier = threading.Barrier(2)
        statuses: list[int] = []

        def race(
            token: str = token, barrier: threading.Barrier = barrier, statuses: list[int] = statuses
        ) -> None:
            barrier.wait()
            statuses.append(renew(monta, token).status_code)

        threads = [threading.Thread(target=race) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [200, 401]


@pytest.mark.parametrize("partner", [False, True], ids=["public", "partner"])
@pytest.mark.parametrize(
    "change", [{"clientSecret": "wrong"}, {"clientId": "wrong"}], ids=["secret", "id"]
)
def test_wrong_credentials_are_a_401(
    monta: Emulator, partner: bool, change: dict[str, str]
) -> None:
    monta.partner = partner
    reply = requests.post(
        monta.base_url + "/auth/token", json=token_body(monta) | change, timeout=5
    )
    assert envelope(reply) == (401, "UNAUTHORIZED", "CONSUMER_NOT_FOUND")
    assert "WWW-Authenticate" not in reply.headers


@pytest.mark.parametrize("path", ["/auth/token", "/auth/refresh"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b"{}",
        b'{"clientId":1,"clientSecret":2,"refreshToken":3}',
    ],
    ids=["empty", "cut", "list", "not text", "deep", "no fields", "numbers"],
)
def test_a_malformed_body_is_a_400(monta: Emulator, path: str, body: bytes) -> None:
    reply = requests.post(monta.base_url + path, data=body, timeout=5)
    assert envelope(reply) == (400, "BAD_REQUEST", "BAD_REQUEST")


@pytest.mark.parametrize("path", ["/auth/token", "/auth/refresh"])
def test_a_get_of_an_auth_endpoint_is_a_405(monta: Emulator, path: str) -> None:
    reply = requests.get(monta.base_url + path, timeout=5)
    assert envelope(reply) == (405, "METHOD_NOT_ALLOWED", "UNKNOWN")
    assert reply.headers["Allow"] == "POST"


@pytest.mark.parametrize("header", [None, "Basic abc", "Bearer", "Bearer unknown"])
def test_anything_but_a_valid_access_token_is_a_401(monta: Emulator, header: str | None) -> None:
    monta.partner = True
    headers = {} if header is None else {"Authorization": header}
    reply = requests.get(monta.base_url + "/charge-points", headers=headers, timeout=5)
    assert envelope(reply) == (401, "UNAUTHORIZED", "INVALID_ACCESS_TOKEN")


def test_revoking_one_kind_of_token_keeps_the_other(monta: Emulator) -> None:
    first, second = pair(monta), pair(monta)
    monta.revoke_access_tokens()
    assert get(monta, "/auth/me", first["accessToken"]).status_code == 401
    assert renew(monta, first["refreshToken"]).status_code == 200

    live = pair(monta)["accessToken"]
    monta.revoke_refresh_tokens()
    assert renew(monta, second["refreshToken"]).status_code == 401
    assert get(monta, "/auth/me", live).status_code == 200


def test_each_client_has_its_own_tokens(now: Now) -> None:
    with Emulator(
        client_id="a", client_secret="secret-a", credentials={"b": "secret-b"}, time=now
    ) as monta:
        reply = requests.post(
            monta.base_url + "/auth/token",
            json={"clientId": "b", "clientSecret": "secret-b"},
            timeout=5,
        )
        body = reply.json()
        assert body["applicationId"] == 2
        assert get(monta, "/auth/me", body["accessToken"]).json()["clientId"] == "b"
        assert pair(monta)["applicationId"] == 1

        del monta.credentials["b"]
        assert get(monta, "/auth/me", body["accessToken"]).status_code == 401
        assert renew(monta, body["refreshToken"]).status_code == 401
        monta.client_secret = "another"
        assert pair(monta)


def test_the_clock_offset_shows_in_dates_and_in_the_date_header(monta: Emulator) -> None:
    monta.clock_offset = 7200.0
    reply = mint(monta)
    assert reply.json()["accessTokenExpirationDate"].startswith("2025-08-06T12:20:37")
    assert parsedate_to_datetime(reply.headers["Date"]) == datetime(
        2025, 8, 6, 11, 20, 37, tzinfo=UTC
    )
    assert get(monta, "/auth/me", reply.json()["accessToken"]).status_code == 200


def test_the_date_header_can_be_left_out(monta: Emulator) -> None:
    monta.send_date = False
    assert "Date" not in mint(monta).headers


def test_both_apis_say_whose_token_it_is(monta: Emulator) -> None:
    token = pair(monta)["accessToken"]
    me = get(monta, "/auth/me", token).json()
    assert me["clientId"] == monta.client_id
    assert me["clientSecret"] is None
    assert me["scopes"] == ["all"]
    assert get(monta, "/consumers/me", token).status_code == 404

    monta.partner = True
    for path in ("/consumers/me", "/auth/me"):
        me = get(monta, path, token).json()
        assert me["clientId"] == monta.client_id
        assert (me["rateLimit"], me["rateLimitIntervalInSeconds"]) == (1000, 600)
    monta.quota = 7
    assert get(monta, "/consumers/me", token).json()["rateLimit"] == 7
