"""The contract of every adapter: what users get if no token can be had, and what it says."""

from __future__ import annotations

import logging
import pickle
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

import monta_auth
from monta_auth import (
    InvalidCredentialsError,
    InvalidTokenResponseError,
    MontaAuthError,
    RateLimitError,
    TokenEndpointError,
)
from monta_auth.emulator import Fault

from .contract import Client, Harness, Hurry
from .leaks import leaks
from .libraries import needs
from .site import Host, Monta

GOOD = "/charge-points"


@dataclass(frozen=True)
class Failure:
    """A way in which a token call fails.

    Args:
        fault: what the auth endpoint answers, or None for wrong credentials.
        ours: the class of the error; None if it is only the library's network error.
        calls: how many token calls are made.
        facts: attributes of the error.
        says: what its text must contain.
    """

    fault: Fault | None
    ours: type[MontaAuthError] | None
    calls: int = 1
    facts: dict[str, Any] = field(default_factory=dict)
    says: str = ""
    impatient: bool = False
    network: str = ""


LIMIT = b'{"context":{"rateLimitResponse":{"resetsIn":40}},"errorCode":"TOO_MANY","message":"slow"}'
HTML = {"content-type": "text/html"}
TOKEN = '{"accessToken":"%s","refreshToken":"r"}'
FAILURES = {
    "wrong credentials": Failure(
        None,
        InvalidCredentialsError,
        facts={"status": 401, "error_code": "CONSUMER_NOT_FOUND", "retryable": False},
        says="another environment",
    ),
    "404": Failure(Fault(status=404), TokenEndpointError, facts={"status": 404}, says="/api/v1"),
    "400": Failure(Fault(status=400), TokenEndpointError, facts={"status": 400}),
    "429": Failure(
        Fault(status=429, body=LIMIT),
        RateLimitError,
        facts={
            "retry_after": 40.0,
            "error_code": "TOO_MANY",
            "api_message": "slow",
            "retryable": True,
        },
    ),
    "429 without a hint": Failure(Fault(status=429), RateLimitError, calls=3),
    "503": Failure(
        Fault(status=503), TokenEndpointError, calls=3, facts={"status": 503, "retryable": True}
    ),
    "503 with a hint": Failure(
        Fault(status=503, headers={"retry-after": "30"}),
        TokenEndpointError,
        facts={"retry_after": 30.0},
        says="wait 30 s",
    ),
    "html": Failure(Fault(body="<html>", headers=HTML), InvalidTokenResponseError, says="web page"),
    "cut off json": Failure(Fault(body='{"accessToken":"abc'), InvalidTokenResponseError),
    "no json": Failure(Fault(body=b"\x80\x81"), InvalidTokenResponseError),
    "no token": Failure(Fault(body="{}"), InvalidTokenResponseError),
    "token null": Failure(Fault(body='{"accessToken":null}'), InvalidTokenResponseError),
    "token with a newline": Failure(Fault(body=TOKEN % "a\\nb"), InvalidTokenResponseError),
    "token not ASCII": Failure(Fault(body=TOKEN % "ä"), InvalidTokenResponseError),
    "an envelope with 200": Failure(
        Fault(status=200, body='{"status":"NOT_FOUND","message":"no","errorCode":"UNKNOWN"}'),
        InvalidTokenResponseError,
        facts={"error_code": "UNKNOWN", "api_message": "no"},
    ),
    "302": Failure(
        Fault(status=302, headers={"location": "http://127.0.0.1:1/"}), TokenEndpointError
    ),
    "closed": Failure(Fault(close=True), None, calls=3, network="broken"),
    "closed in the middle": Failure(Fault(truncate=True), None, calls=3, network="broken"),
    "timeout": Failure(Fault(delay=3), None, network="timeout", impatient=True),
}
failures = pytest.mark.parametrize(
    "failure", [pytest.param(value, id=name) for name, value in FAILURES.items()]
)


class Case:
    """A client whose next token call fails."""

    def __init__(self, h: Harness, monta: Monta, failure: Failure, **settings: Any) -> None:
        self.h, self.monta, self.impatient = h, monta, failure.impatient
        self.hurry = h.hurry(0.05) if failure.impatient else Hurry({}, {}, ())
        if failure.fault is None:
            monta.emulator.partner = True
            settings.setdefault("client_secret", "a-wrong-secret-of-length")
        else:
            monta.emulator.inject(failure.fault, times=9)
        self.auth = h.auth(source=monta.source(**settings), **self.hurry.auth)
        self.client: Client = h.open(self.auth)

    def fails(self, send: Callable[[], object] | None = None) -> Exception:
        try:
            if send is None:
                self.client.get(self.monta.url(GOOD), **self.hurry.request)
            else:
                send()
        except Exception as error:
            # On a busy machine, a client with a limit of 0.05 s gives up before the server is
            # called.
            give_up = time.monotonic() + 10
            while self.impatient and not self.monta.mints and time.monotonic() < give_up:
                time.sleep(0.001)
            return error
        raise AssertionError("it should have failed")


def check(h: Harness, error: Exception, url: str | None) -> None:
    """Check what must hold for each error that an adapter raises for a failed token call."""
    assert isinstance(error, h.error)
    assert error.__context__ is None
    assert error.__cause__ is None
    if url is not None and h.names_requests_in_errors:
        assert str(error.request.url) == url  # type: ignore[attr-defined]
        assert "Authorization" not in error.request.headers  # type: ignore[attr-defined]
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    if isinstance(error, MontaAuthError):
        names = ("status", "error_code", "api_message", "request_id", "retry_after", "retryable")
        assert [getattr(again, n) for n in names] == [getattr(error, n) for n in names]


@failures
def test_a_failed_token_call_raises_both_families(
    h: Harness,
    monta: Monta,
    slept: list[float],
    failure: Failure,
) -> None:
    case = Case(h, monta, failure)
    error = case.fails()
    if failure.ours is None:
        assert isinstance(error, h.network_errors(failure.network))
        assert not isinstance(error, MontaAuthError)
    else:
        assert isinstance(error, failure.ours)
        for name, value in failure.facts.items():
            assert getattr(error, name) == value
        assert error.request_id is not None
        assert error.request_id in str(error)
        assert failure.says in str(error)
    check(h, error, monta.url(GOOD))
    # In httpx's own pipeline, a broken connection ends the request.
    calls = 1 if failure.network == "broken" and h.calls_in_pipeline else failure.calls
    assert monta.mints == calls
    assert monta.count(GOOD) == 0
    assert len(slept) == calls - 1
    assert sum(slept) <= 2


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(FAILURES[name], id=name)
        for name in (
            "wrong credentials", "404", "429", "503", "html", "an envelope with 200", "302",
            "closed", "closed in the middle", "timeout",
        )
    ],
)  # fmt: skip
def test_a_failed_token_call_leaks_no_secret(
    h: Harness,
    monta: Monta,
    failure: Failure,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    case = Case(h, monta, failure)
    error = case.fails()
    secrets = {*monta.secrets, "a-wrong-secret-of-length"}
    assert leaks(error, secrets) == []
    assert leaks([vars(record) for record in caplog.records], secrets) == []
    assert not any(secret in caplog.text for secret in secrets)
    again = pickle.dumps(error)
    assert not any(secret.encode() in again for secret in secrets)


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(FAILURES[name], id=name)
        for name in ("wrong credentials", "429", "503", "html", "302", "closed in the middle")
    ],
)
def test_a_failed_renewal_after_a_401_leaks_no_secret(
    h: Harness,
    monta: Monta,
    failure: Failure,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The caller gets the renewal's error, and not a token response instead of the 401."""
    caplog.set_level(logging.DEBUG)
    client = h.open(h.auth(source=monta.source()))
    client.get(monta.url(GOOD))
    secrets = monta.secrets
    monta.emulator.revoke_access_tokens()
    if failure.fault is None:
        monta.emulator.revoke_refresh_tokens()
        monta.emulator.client_secret = "another-secret-since-then"
        monta.emulator.partner = True
    else:
        # After a refused refresh it mints, which then fails.
        monta.emulator.inject(failure.fault, times=9)
    with pytest.raises(h.error) as caught:
        client.get(monta.url(GOOD))
    error = caught.value
    assert failure.ours is None or isinstance(error, failure.ours)
    check(h, error, monta.url(GOOD))
    assert monta.count(GOOD) == 2
    secrets |= monta.secrets
    assert leaks(error, secrets) == []
    assert leaks([vars(record) for record in caplog.records], secrets) == []


@pytest.mark.parametrize("name", ["wrong credentials", "429", "html", "closed", "timeout"])
def test_token_raises_the_same_errors(h: Harness, monta: Monta, name: str) -> None:
    failure = FAILURES[name]
    case = Case(h, monta, failure)
    error = case.fails(lambda: h.token(case.auth, *case.hurry.token))
    kind = failure.ours or h.network_errors(failure.network)
    assert isinstance(error, kind)
    check(h, error, None)
    assert leaks(error, {*monta.secrets, "a-wrong-secret-of-length"}) == []


def test_a_refused_connection_is_the_librarys_error(h: Harness, monta: Monta) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    base_url = f"http://127.0.0.1:{port}/api/v1"
    auth = h.auth(monta, base_url=base_url)
    client = h.open(auth)
    with pytest.raises(h.network_errors("connect")) as caught:
        client.get(base_url + GOOD)
    assert not isinstance(caught.value, MontaAuthError)
    check(h, caught.value, base_url + GOOD)
    assert leaks(caught.value, monta.secrets) == []


def test_a_failure_is_remembered_for_a_while(h: Harness, monta: Monta) -> None:
    """Meanwhile callers get it at once; each gets its own instance."""
    client = h.open(h.auth(source=monta.source()))
    monta.emulator.inject(Fault(status=503), times=99)
    errors = []
    for _ in range(5):
        with pytest.raises(TokenEndpointError) as caught:
            client.get(monta.url(GOOD))
        errors.append(caught.value)
    assert monta.mints == 3
    assert len({id(error) for error in errors}) == 5
    for error in errors:
        check(h, error, monta.url(GOOD))


def test_after_an_outage_requests_work_again(h: Harness, monta: Monta) -> None:
    client = h.open(h.auth(source=monta.source()))
    lost = 1 if h.calls_in_pipeline else 3
    monta.emulator.inject(Fault(close=True), times=lost)
    with pytest.raises(h.error):
        client.get(monta.url(GOOD))
    monta.now.advance(6)
    assert client.get(monta.url(GOOD)).status_code == 200
    assert monta.mints == lost + 1


@pytest.mark.parametrize("fault", [Fault(close=True), Fault(truncate=True)], ids=repr)
def test_one_broken_connection_fails_no_request(h: Harness, monta: Monta, fault: Fault) -> None:
    client = h.open(h.auth(source=monta.source()))
    monta.emulator.inject(fault)
    if h.calls_in_pipeline:
        with pytest.raises(h.error):
            client.get(monta.url(GOOD))
        monta.now.advance(1)
    assert client.get(monta.url(GOOD)).status_code == 200
    assert monta.mints == 2


def test_wrong_credentials_are_sent_once_in_five_seconds(h: Harness, monta: Monta) -> None:
    client = h.open(h.auth(source=monta.source(client_secret="wrong-secret")))
    for _ in range(20):
        with pytest.raises(InvalidCredentialsError) as caught:
            client.get(monta.url(GOOD))
        check(h, caught.value, monta.url(GOOD))
    assert monta.mints == 1


def test_a_short_503_is_retried_and_not_seen_by_the_user(
    h: Harness, monta: Monta, slept: list[float]
) -> None:
    client = h.open(h.auth(source=monta.source()))
    monta.emulator.inject(Fault(status=503), times=2)
    assert client.get(monta.url(GOOD)).status_code == 200
    assert monta.mints == 3
    assert 0 < sum(slept) <= 2


def test_a_network_failure_of_a_refresh_spends_the_refresh_token(h: Harness, monta: Monta) -> None:
    """The server may have accepted it or not. The same request mints if it can go on."""
    client = h.open(h.auth(source=monta.source()))
    client.get(monta.url(GOOD))
    monta.now.advance(3600)
    monta.emulator.inject(Fault(close=True, after=True))
    if h.calls_in_pipeline:
        with pytest.raises(h.error):
            client.get(monta.url(GOOD))
        monta.now.advance(6)
    assert client.get(monta.url(GOOD)).status_code == 200
    assert (monta.mints, monta.refreshes) == (2, 1)


def test_the_error_of_a_failed_callable_secret_names_the_type(h: Harness, monta: Monta) -> None:
    def secret() -> str:
        raise LookupError("the vault says: " + monta.client_secret)

    client = h.open(h.auth(source=monta.source(client_secret=secret)))
    with pytest.raises(MontaAuthError, match="LookupError") as caught:
        client.get(monta.url(GOOD))
    check(h, caught.value, monta.url(GOOD))
    assert leaks(caught.value, monta.secrets) == []
    assert monta.mints == 0


def test_a_failure_of_the_users_own_request_is_left_unchanged(h: Harness, monta: Monta) -> None:
    """The token had nothing to do with the failure and stays in use."""
    client = h.open(h.auth(monta))
    client.get(monta.url(GOOD))
    monta.emulator.inject(Fault(close=True), times=h.tries, path=GOOD)
    with pytest.raises(h.network_errors("hung up")) as caught:
        client.get(monta.url(GOOD))
    assert not isinstance(caught.value, MontaAuthError)
    assert leaks(caught.value, monta.secrets) == []
    assert client.get(monta.url(GOOD)).status_code == 200
    assert (monta.mints, monta.refreshes) == (1, 0)


@pytest.mark.parametrize("how", ["cold", "warm", "retried"])
def test_a_successful_renewal_shows_no_secret(
    h: Harness, monta: Monta, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    caplog.set_level(logging.DEBUG)
    auth = h.auth(monta)
    client = h.open(auth)
    if how != "cold":
        client.get(monta.url(GOOD))
    if how == "retried":
        monta.emulator.revoke_access_tokens()
    response = client.get(monta.url(GOOD))
    assert response.status_code == 200
    assert not any(secret in caplog.text for secret in monta.secrets)
    assert leaks([vars(record) for record in caplog.records], monta.secrets) == []
    assert leaks(response.history, monta.secrets) == []
    if h.pickles_responses:
        pickled = pickle.dumps(response)
        assert not any(secret.encode() in pickled for secret in monta.secrets)
    assert not any(secret in repr(response.request.headers) for secret in monta.secrets)


@needs("pickles_responses")
def test_a_returned_401_pickles_without_a_token(h: Harness, monta: Monta) -> None:
    client = h.open(h.auth(monta))
    monta.emulator.inject(Fault(status=401), times=9, path=GOOD)
    response = client.get(monta.url(GOOD))
    assert response.status_code == 401
    pickled = pickle.dumps(response)
    assert pickle.loads(pickled).status_code == 401
    assert not any(secret.encode() in pickled for secret in monta.secrets)


@needs("names_requests_in_errors")
def test_errors_of_several_requests_share_no_state(h: Harness, monta: Monta, foreign: Host) -> None:
    client = h.open(h.auth(source=monta.source(client_secret="wrong-secret")))
    errors = []
    for path in (GOOD, "/charges"):
        with pytest.raises(monta_auth.InvalidCredentialsError) as caught:
            client.get(monta.url(path))
        errors.append(caught.value)
    urls = [str(error.request.url) for error in errors]  # type: ignore[attr-defined]
    assert urls == [monta.url(GOOD), monta.url("/charges")]
