"""The contract of every adapter: `application()`, which makes a request like any other."""

from __future__ import annotations

import pytest

from monta_auth import InvalidCredentialsError, MontaAuthError, TokenEndpointError
from monta_auth.emulator import Fault

from .contract import Harness
from .leaks import leaks
from .site import Host, Monta, redirects


def test_it_makes_one_token_call_and_retries_after_a_401(h: Harness, monta: Monta) -> None:
    auth, by = h.auth(monta), h.open().raw
    me = h.application(auth, by)
    assert (me.client_id, me.scopes) == (monta.client_id, ("all",))
    monta.emulator.revoke_access_tokens()
    assert h.application(auth, by) == me
    # Without a client, the adapter opens and closes one for this call.
    assert h.application(auth) == me
    assert (monta.mints, monta.refreshes, monta.count("/auth/me")) == (1, 1, 4)


def test_after_a_404_it_asks_at_the_path_of_the_partner_api(h: Harness, monta: Monta) -> None:
    monta.emulator.partner = True
    monta.emulator.inject(Fault(status=404), path="/auth/me")
    me = h.application(h.auth(monta))
    assert (me.rate_limit, me.rate_limit_interval, me.team_ids) == (1000, 600, ())


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        pytest.param(Fault(status=403), "403", id="403"),
        pytest.param(Fault(status=401), "401", id="401"),
        pytest.param(Fault(body="<html>"), "something other", id="html"),
    ],
)
def test_an_unusable_response_raises_an_error_of_both_families(
    h: Harness, monta: Monta, fault: Fault, text: str
) -> None:
    monta.emulator.inject(fault, times=9, path="/auth/me")
    with pytest.raises(TokenEndpointError, match=text) as caught:
        h.application(h.auth(monta))
    assert isinstance(caught.value, h.error)
    assert caught.value.__context__ is None


def test_wrong_credentials_raise_the_same_error_as_requests(h: Harness, monta: Monta) -> None:
    with pytest.raises(InvalidCredentialsError) as caught:
        h.application(h.auth(monta, client_secret="wrong"))
    assert isinstance(caught.value, h.error)
    assert monta.count("/auth/me") == 0


def test_a_network_failure_raises_the_librarys_error(h: Harness, monta: Monta) -> None:
    auth = h.auth(monta)
    h.token(auth)
    monta.emulator.inject(Fault(close=True), times=9, path="/auth/me")
    with pytest.raises(h.error) as caught:
        h.application(auth)
    assert not isinstance(caught.value, MontaAuthError)


def test_a_redirect_is_not_followed(h: Harness, monta: Monta, foreign: Host) -> None:
    monta.page("/auth/me", redirects(302, foreign.origin + "/me"))
    with pytest.raises(TokenEndpointError, match="302"):
        h.application(h.auth(monta))
    assert foreign.seen == []


def test_an_error_holds_no_secret(h: Harness, monta: Monta) -> None:
    monta.emulator.inject(Fault(status=403), path="/auth/me")
    auth = h.auth(monta)
    with pytest.raises(TokenEndpointError) as caught:
        h.application(auth)
    assert monta.secrets
    assert not [each for each in monta.secrets if each in f"{caught.value!r} {vars(caught.value)}"]
    assert leaks(vars(caught.value), monta.secrets) == []
