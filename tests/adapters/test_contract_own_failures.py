"""The contract of every adapter: which failures do not concern the endpoint, and what hooks do."""

from __future__ import annotations

import asyncio
import pickle
import signal
import socket
from typing import Any

import pytest
import requests
from starlette.types import Send

from monta_auth import InvalidCredentialsError, RefreshPolicy, TokenEndpointError, TokenSource
from monta_auth._core.errors import TransportFailure
from monta_auth.emulator import Fault

from .contract import ApiError, Client, Harness
from .libraries import needs
from .site import Monta, Seen

GOOD = "/charge-points"


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> set[bool]:
    """The values of `own` in all failures of this test."""
    found: set[bool] = set()
    init = TransportFailure.__init__

    def note(self: TransportFailure, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        found.add(self.own)

    monkeypatch.setattr(TransportFailure, "__init__", note)
    return found


def test_a_shorter_timeout_of_the_caller_is_its_own_failure(
    h: Harness, monta: Monta, own: set[bool]
) -> None:
    monta.emulator.inject(Fault(delay=0.5))
    hurry = h.hurry(0.05)
    client = h.open(h.auth(source=monta.source(), **hurry.auth))
    with pytest.raises(h.network_errors("timeout")):
        client.get(monta.url(GOOD), **hurry.request)
    assert own == {True}


def test_silence_until_the_deadline_is_a_failure_of_the_endpoint(
    h: Harness, monta: Monta, own: set[bool]
) -> None:
    monta.emulator.inject(Fault(delay=1))
    auth = h.auth(source=monta.source(policy=RefreshPolicy(deadline=0.2)))
    with pytest.raises(h.network_errors("timeout")):
        h.open(auth).get(monta.url(GOOD))
    assert own == {False}


def test_a_refused_connection_is_a_failure_of_the_endpoint(h: Harness, own: set[bool]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        base_url = f"http://127.0.0.1:{nobody.getsockname()[1]}/api/v1"
    auth = h.auth(client_id="id", client_secret="the-secret-value", base_url=base_url)
    with pytest.raises(h.network_errors("connect")):
        h.open(auth).get(base_url + GOOD)
    assert own == {False}


@needs("can_be_closed")
def test_a_closed_client_is_named_and_is_the_callers_own_failure(
    h: Harness, monta: Monta, own: set[bool]
) -> None:
    caller = h.open().raw
    auth = h.auth(source=monta.source(), **{h.caller: caller})
    h.run(caller.aclose if hasattr(caller, "aclose") else caller.close)
    with pytest.raises(h.error, match="closed"):
        h.open(auth).get(monta.url(GOOD))
    assert own == {True}


@needs("can_be_closed")
def test_a_full_pool_is_the_callers_own_failure(h: Harness, monta: Monta, own: set[bool]) -> None:
    async def endless(seen: Seen, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await asyncio.sleep(1)

    narrow = h.open_narrow()
    narrow.stream(monta.page("/endless", endless))
    source = monta.source(policy=RefreshPolicy(deadline=0.3))
    auth = h.auth(source=source, **{h.caller: narrow.raw})
    with pytest.raises(h.network_errors("timeout")):
        h.open(auth).get(monta.url(GOOD))
    assert own == {True}


def arm(h: Harness, client: Client, source: TokenSource, *, separate: bool = False) -> None:
    """Give the client an auth. The client makes the token calls in its pipeline or separately."""
    caller = {h.caller: client.raw} if separate else {}
    client.raw.auth = h.adapter.MontaAuth(source=source, **caller)


@needs("has_hooks")
@pytest.mark.parametrize("separate", [False, True])
def test_if_a_hook_raises_in_a_token_call_the_response_decides(
    h: Harness, monta: Monta, separate: bool
) -> None:
    if h.library is requests and not separate:
        pytest.skip("without session= a token call is made by a session without hooks")
    monta.emulator.partner = True
    client = h.open_with_hook("raise")
    arm(h, client, monta.source(client_secret="wrong-secret"), separate=separate)
    for _ in range(3):
        with pytest.raises(InvalidCredentialsError):
            client.get(monta.url(GOOD))
    assert monta.mints == 1


@needs("runs_in_this_thread")
def test_a_time_limit_of_a_job_reaches_the_job(h: Harness, monta: Monta, own: set[bool]) -> None:
    """Celery and RQ raise such an error in a signal handler, here during a token call."""

    class TimeLimit(Exception):
        pass

    def strike(*args: object) -> None:
        raise TimeLimit

    client = h.open(h.auth(source=monta.source()))
    monta.emulator.inject(Fault(delay=0.5))
    before = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(TimeLimit):
            client.get(monta.url(GOOD))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert own == set()
    assert client.get(monta.url(GOOD)).status_code == 200


@needs("hooks_see_token_calls")
def test_after_a_hook_raised_for_a_busy_endpoint_there_is_no_second_call(
    h: Harness, monta: Monta
) -> None:
    """Here the client makes the token call in its pipeline and raises for good."""
    monta.emulator.inject(Fault(status=503))
    client = h.open_with_hook("raise")
    arm(h, client, monta.source())
    with pytest.raises(TokenEndpointError) as caught:
        client.get(monta.url(GOOD))
    assert caught.value.status == 503
    assert monta.mints == 1


@needs("has_hooks")
def test_if_a_hook_raises_for_a_401_only_that_request_fails(h: Harness, monta: Monta) -> None:
    client = h.open_with_hook("raise")
    arm(h, client, monta.source())
    client.get(monta.url(GOOD))
    monta.emulator.revoke_access_tokens()
    statuses: list[object] = []
    for _ in range(3):
        try:
            statuses.append(client.get(monta.url(GOOD)).status_code)
        except ApiError:
            statuses.append(ApiError)
    assert statuses[1:] == [200, 200]
    assert (monta.mints, monta.refreshes) == (1, 1)


@needs("has_hooks")
@pytest.mark.parametrize("how", ["close", "read", "raw"])
def test_a_hook_may_read_or_close_a_401(h: Harness, monta: Monta, how: str) -> None:
    client = h.open_with_hook(how)
    arm(h, client, monta.source())
    client.get(monta.url(GOOD))
    monta.emulator.revoke_access_tokens()
    assert client.get(monta.url(GOOD)).status_code == 200
    assert (monta.mints, monta.refreshes) == (1, 1)


@needs("names_requests_in_errors")
def test_an_error_of_a_request_with_a_body_that_cannot_be_copied_pickles(
    h: Harness, monta: Monta
) -> None:
    monta.emulator.inject(Fault(status=400))
    client = h.open(h.auth(source=monta.source()))
    with pytest.raises(h.error) as caught:
        client.post(monta.url("/charges"), **h.content(h.generator(b"a", b"b")))
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert str(again.request.url) == monta.url("/charges")
