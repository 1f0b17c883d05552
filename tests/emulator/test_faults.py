"""Faults: what the client sees, what the server did, and that no log mentions them."""

import logging
import time

import httpx
import pytest
import requests

from monta_auth.emulator import Emulator, Fault

from .helpers import envelope, get, mint, pair, renew


def test_a_status_comes_with_an_envelope_and_the_call_has_no_effect(monta: Emulator) -> None:
    token = pair(monta)["refreshToken"]
    monta.inject(Fault(503), times=2)
    assert envelope(renew(monta, token)) == (503, "SERVICE_UNAVAILABLE", "UNKNOWN")
    assert envelope(mint(monta)) == (503, "SERVICE_UNAVAILABLE", "UNKNOWN")
    assert renew(monta, token).status_code == 200


@pytest.mark.parametrize(("status", "name"), [(200, "OK"), (599, "HTTP_599")])
def test_any_status_has_an_envelope(monta: Emulator, status: int, name: str) -> None:
    """Monta was observed to send an envelope with 200."""
    monta.inject(Fault(status))
    assert envelope(mint(monta))[:2] == (status, name)


def test_a_status_without_content_has_none(monta: Emulator) -> None:
    monta.inject(Fault(204))
    assert mint(monta).content == b""


@pytest.mark.parametrize("body", [b"<html>", "<html>"], ids=["bytes", "text"])
def test_a_body_is_sent_unchanged(monta: Emulator, body: bytes | str) -> None:
    monta.inject(
        Fault(
            body=body, headers={"Content-Type": "text/html", "Date": "soon", "Content-Length": "1"}
        )
    )
    reply = mint(monta)
    assert (reply.status_code, reply.text) == (200, "<html>")
    assert (reply.headers["Content-Type"], reply.headers["Date"]) == ("text/html", "soon")


def test_a_fault_with_only_headers_changes_the_normal_reply(monta: Emulator) -> None:
    monta.inject(Fault(headers={"Retry-After": "7"}))
    reply = mint(monta)
    assert (reply.status_code, reply.headers["Retry-After"]) == (200, "7")


@pytest.mark.parametrize(
    "fault", [Fault(close=True), Fault(close=True, after=True)], ids=["before", "after"]
)
def test_a_connection_may_be_closed_before_or_after_the_effect(
    monta: Emulator, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """The client cannot know whether its refresh token is spent."""
    caplog.set_level(logging.INFO)
    token = pair(monta)["refreshToken"]
    monta.inject(fault, path="/auth/refresh")
    with pytest.raises(requests.ConnectionError):
        renew(monta, token)
    assert monta.calls[-1].status is None
    assert renew(monta, token).status_code == (401 if fault.after else 200)
    assert {record.levelno for record in caplog.records if record.name != "urllib3"} == {
        logging.INFO
    }
    assert " closed " in caplog.text


def test_httpx_sees_a_closed_connection_too(monta: Emulator) -> None:
    monta.inject(Fault(close=True), path="/charges")
    with httpx.Client() as client, pytest.raises(httpx.RemoteProtocolError):
        client.get(monta.base_url + "/charges")


def test_a_call_with_a_truncated_reply_is_carried_out(
    monta: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first, second = pair(monta)["refreshToken"], pair(monta)["refreshToken"]
    monta.inject(Fault(truncate=True), times=2)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        renew(monta, first)
    with httpx.Client() as client, pytest.raises(httpx.RemoteProtocolError):
        client.post(monta.base_url + "/auth/refresh", json={"refreshToken": second})
    assert [call.status for call in monta.calls[2:]] == [200, 200]
    assert renew(monta, first).status_code == renew(monta, second).status_code == 401
    assert {record.levelno for record in caplog.records} == {logging.INFO}


def test_an_error_after_the_effect_spends_the_refresh_token(monta: Emulator) -> None:
    token = pair(monta)["refreshToken"]
    monta.inject(Fault(502, after=True))
    assert renew(monta, token).status_code == 502
    assert renew(monta, token).status_code == 401


def test_a_fault_with_only_a_delay_delays_the_normal_reply_in_addition_to_latency(
    monta: Emulator,
) -> None:
    monta.latency = 0.01
    monta.inject(Fault(delay=0.02))
    began = time.perf_counter()
    assert mint(monta).status_code == 200
    assert time.perf_counter() - began >= 0.03


def test_a_client_that_stops_waiting_has_spent_its_refresh_token(monta: Emulator) -> None:
    token = pair(monta)["refreshToken"]
    monta.inject(Fault(delay=30.0))
    with pytest.raises(requests.Timeout):
        requests.post(monta.base_url + "/auth/refresh", json={"refreshToken": token}, timeout=0.03)
    assert renew(monta, token).status_code == 401


def test_faults_are_queued_for_each_path(monta: Emulator) -> None:
    body = pair(monta)
    monta.inject(Fault(500), path="/charges")
    monta.inject(Fault(503))
    monta.inject(Fault(502), path="/auth/refresh")
    assert get(monta, "/charge-points", body["accessToken"]).status_code == 200
    statuses = [renew(monta, body["refreshToken"]).status_code for _ in range(3)]
    assert statuses == [503, 502, 200]
    assert get(monta, "/charges", body["accessToken"]).status_code == 500

    monta.inject(Fault(503))
    monta.clear()
    assert mint(monta).status_code == 200


def test_a_fault_needs_no_token(monta: Emulator) -> None:
    monta.inject(Fault(429, headers={"Retry-After": "3"}), path="/charges")
    assert requests.get(monta.base_url + "/charges", timeout=5).status_code == 429


@pytest.mark.parametrize(
    "arguments",
    [
        {"close": True, "status": 500},
        {"close": True, "truncate": True},
        {"status": 100},
        {"status": 600},
        {"delay": -1.0},
        {"delay": float("inf")},
        {"delay": float("nan")},
    ],
)
def test_an_impossible_fault_is_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"close|status|delay"):
        Fault(**arguments)  # type: ignore[arg-type]


def test_inject_refuses_a_path_that_could_never_match(monta: Emulator) -> None:
    with pytest.raises(ValueError, match="times"):
        monta.inject(Fault(500), times=0)
    with pytest.raises(ValueError, match="slash"):
        monta.inject(Fault(500), path="charges")


def test_the_body_of_a_fault_is_not_shown() -> None:
    assert "token-in-a-body" not in repr(Fault(body="token-in-a-body"))
