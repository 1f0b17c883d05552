"""The contract of every adapter, held by aiohttp.

Left out is what speaks of things that aiohttp's responses do not have (`history` with the refused
response, `elapsed`, pickles), and replaced what an error looks like: it carries no request.
"""

from __future__ import annotations

import pickle

import aiohttp
import pytest

from monta_auth import MontaAuthError
from monta_auth.emulator import Fault

from ..adapters import (
    test_contract_application,
    test_contract_arguments,
    test_contract_bodies,
    test_contract_failures,
    test_contract_redirects,
    test_contract_tokens,
)
from ..adapters.contract import Harness
from ..adapters.site import Host, Monta, Now, redirects, says
from .harness import leaked

SUITE = (
    test_contract_application,
    test_contract_arguments,
    test_contract_bodies,
    test_contract_failures,
    test_contract_redirects,
    test_contract_tokens,
)
NOT_OF_AIOHTTP = {
    "test_history_shows_no_token_call",
    "test_elapsed_is_set",
    "test_a_successful_renewal_leaves_no_trace",
    "test_the_response_of_a_401_that_is_handed_over_pickles_without_a_token",
    "test_errors_of_several_requests_share_no_state",
    "test_an_early_renewal_without_an_answer_fails_one_request_at_most",
    # It takes all harnesses by itself.
    "test_all_adapters_share_one_token",
}

for _module in SUITE:
    for _name, _test in vars(_module).items():
        if _name.startswith("test_") and _name not in NOT_OF_AIOHTTP:
            globals()[_name] = _test

# What follows replaces tests of the suite, or adds to them.


@pytest.fixture(autouse=True)
def _as_aiohttp_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for function in (network_class, check):
        monkeypatch.setattr(test_contract_failures, function.__name__, function)


def network_class(h: object, kind: str) -> tuple[type[Exception], ...]:
    return (aiohttp.ServerTimeoutError if kind == "timeout" else aiohttp.ClientConnectionError,)


def check(h: object, error: Exception, url: str | None) -> None:
    assert isinstance(error, aiohttp.ClientError)
    assert error.__context__ is None
    assert error.__cause__ is None
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    if isinstance(error, MontaAuthError):
        names = ("status", "error_code", "message", "request_id", "retry_after", "retryable")
        assert [getattr(again, n) for n in names] == [getattr(error, n) for n in names]


def test_an_early_renewal_without_an_answer_fails_no_request(
    h: Harness, monta: Monta, now: Now
) -> None:
    client = h.open(h.auth(source=monta.source()))
    client.get(monta.url("/charges"))
    now.advance(3600 - 200)
    for pause in (0, 11):
        now.advance(pause)
        monta.emulator.inject(Fault(close=True))
        assert {client.get(monta.url("/charges")).status_code for _ in range(5)} == {200}
    assert (monta.mints, monta.refreshes) == (2, 1)


def test_a_401_that_breaks_off_is_healed_too(h: Harness, monta: Monta) -> None:
    """Its body is of no interest; only its connection is lost."""
    client = h.open(h.auth(monta))
    monta.emulator.inject(Fault(status=401, truncate=True), path="/charges")
    assert client.get(monta.url("/charges")).status_code == 200
    assert (monta.mints, monta.refreshes, monta.count("/charges")) == (1, 1, 2)


def test_the_users_own_failure_is_left_as_it_is(h: Harness, monta: Monta) -> None:
    """By itself aiohttp tries a GET twice; a token call belongs to neither try."""
    client = h.open(h.auth(monta))
    client.get(monta.url("/charges"))
    monta.emulator.inject(Fault(close=True), times=2, path="/charges")
    with pytest.raises(aiohttp.ServerDisconnectedError) as caught:
        client.get(monta.url("/charges"))
    assert leaked(caught.value, monta.secrets) == []
    assert client.get(monta.url("/charges")).status_code == 200
    assert (monta.mints, monta.refreshes) == (1, 0)


def test_a_redirect_to_an_allowed_origin_may_be_refused_and_healed(
    h: Harness, monta: Monta, foreign: Host
) -> None:
    """Each hop is a request of its own to aiohttp: it gets the token where that may go."""
    client = h.open(h.auth(monta, allowed_origins=[foreign.origin]))
    url = monta.page("/from", redirects(302, foreign.origin + "/to"), guarded=True)
    foreign.pages["/to"] = says(401)
    assert client.get(url, follow=True).status_code == 401
    assert len(foreign.seen) == 2
    assert len(monta.asked("/api/v1/from")) == 1
    assert (monta.mints, monta.refreshes) == (1, 1)
