"""The contract of every adapter: how many token calls there are, and of which kind."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import monta_auth
import requests_monta
from monta_auth import RefreshPolicy, TokenSet, TokenSource
from monta_auth.emulator import Fault
from monta_auth.stores import MemoryStore

from ..clock import Now
from .contract import Harness, Portals
from .libraries import WAYS, Requests
from .site import Host, Monta, says

GOOD = "/charge-points"


def test_the_first_request_mints_and_the_next_hundred_do_not(h: Harness, monta: Monta) -> None:
    client = h.open(h.auth(monta))
    assert client.get(monta.url(GOOD)).status_code == 200
    assert (monta.mints, monta.refreshes) == (1, 0)
    assert {client.get(monta.url(GOOD)).status_code for _ in range(100)} == {200}
    assert (monta.mints, monta.refreshes) == (1, 0)
    assert monta.count(GOOD) == 101


def test_an_expired_token_is_refreshed_without_sending_the_secret(
    h: Harness, monta: Monta, now: Now
) -> None:
    client = h.open(h.auth(source=monta.source()))
    client.get(monta.url(GOOD))
    now.advance(3600)
    assert client.get(monta.url(GOOD)).status_code == 200
    assert (monta.mints, monta.refreshes) == (1, 1)
    (refresh,) = monta.asked("/api/v1/auth/refresh")
    assert monta.client_secret.encode() not in refresh.body


def test_a_token_is_renewed_before_it_expires(h: Harness, monta: Monta, now: Now) -> None:
    client = h.open(h.auth(source=monta.source()))
    client.get(monta.url(GOOD))
    now.advance(3600 - 299)
    assert client.get(monta.url(GOOD)).status_code == 200
    assert (monta.mints, monta.refreshes) == (1, 1)
    assert len({seen.token for seen in monta.asked("/api/v1" + GOOD)}) == 2


def test_a_failed_early_renewal_fails_no_request(h: Harness, monta: Monta, now: Now) -> None:
    client = h.open(h.auth(source=monta.source()))
    client.get(monta.url(GOOD))
    now.advance(3600 - 200)
    monta.emulator.inject(Fault(status=503, headers={"retry-after": "30"}), times=9)
    assert {client.get(monta.url(GOOD)).status_code for _ in range(5)} == {200}
    assert monta.refreshes == 1


def test_an_unanswered_early_renewal_fails_at_most_one_request(
    h: Harness, monta: Monta, now: Now
) -> None:
    """In httpx's own pipeline, a failed call also fails its request: at most one per pause."""
    client = h.open(h.auth(source=monta.source()))
    client.get(monta.url(GOOD))
    now.advance(3600 - 200)
    failed = 0
    for pause in (0, 11):
        now.advance(pause)
        monta.emulator.inject(Fault(close=True))
        for _ in range(5):
            try:
                assert client.get(monta.url(GOOD)).status_code == 200
            except h.error:
                failed += 1
    assert failed == (2 if h.calls_in_pipeline else 0)
    assert (monta.mints, monta.refreshes) == (2, 1)


def test_a_revoked_refresh_token_costs_one_mint(h: Harness, monta: Monta, now: Now) -> None:
    client = h.open(h.auth(source=monta.source()))
    client.get(monta.url(GOOD))
    monta.emulator.revoke_refresh_tokens()
    now.advance(3600)
    assert client.get(monta.url(GOOD)).status_code == 200
    assert (monta.mints, monta.refreshes) == (2, 1)
    now.advance(3600)
    assert client.get(monta.url(GOOD)).status_code == 200
    assert (monta.mints, monta.refreshes) == (2, 2)


def test_a_request_with_a_revoked_token_is_retried_once(h: Harness, monta: Monta) -> None:
    client = h.open(h.auth(monta))
    client.get(monta.url(GOOD))
    monta.emulator.revoke_access_tokens()
    assert client.get(monta.url(GOOD)).status_code == 200
    assert (monta.mints, monta.refreshes) == (1, 1)
    first, refused, again = monta.asked("/api/v1" + GOOD)
    assert first.token == refused.token != again.token


def test_if_a_renewal_returns_the_same_token_the_401_is_returned(h: Harness, monta: Monta) -> None:
    """No other token is available: no retry, and no renewal for each of the next requests."""
    source = monta.source()
    client = h.open(h.auth(source=source))
    client.get(monta.url(GOOD))
    held = source._source._state.held
    assert held is not None
    monta.emulator.revoke_access_tokens()
    monta.emulator.inject(monta.reissue(held.pair), path="/auth/refresh")
    assert client.get(monta.url(GOOD)).status_code == 401
    # httpx returns the last response of its own pipeline, so that must be the API's.
    assert monta.count(GOOD) == (3 if h.calls_in_pipeline else 2)
    assert client.get(monta.url(GOOD)).status_code == 401
    assert (monta.mints, monta.refreshes) == (1, 1)


def test_the_second_401_is_returned(h: Harness, monta: Monta) -> None:
    auth = h.auth(monta)
    client = h.open(auth)
    client.get(monta.url(GOOD))
    monta.emulator.inject(Fault(status=401), times=2, path="/charges")
    assert client.get(monta.url("/charges")).status_code == 401
    assert monta.count("/charges") == 2
    assert (monta.mints, monta.refreshes) == (1, 1)
    assert auth.status().refusals == 1
    assert client.get(monta.url(GOOD)).status_code == 200
    assert (monta.mints, monta.refreshes) == (1, 1)


def test_an_endpoint_that_always_answers_401_costs_three_token_calls(
    h: Harness, monta: Monta, caplog: pytest.LogCaptureFixture
) -> None:
    """Two strikes stop the renewals. Successful requests to other paths change nothing."""
    client = h.open(h.auth(monta))
    monta.emulator.inject(Fault(status=401), times=1000, path="/charges")
    for _ in range(50):
        assert client.get(monta.url("/charges")).status_code == 401
        assert client.get(monta.url(GOOD)).status_code == 200
    assert monta.mints + monta.refreshes == 3
    assert monta.count("/charges") == 52
    (warning,) = [r for r in caplog.records if "two new tokens in a row" in r.getMessage()]
    assert warning.levelno == logging.WARNING


def test_an_endpoint_that_always_answers_401_costs_three_calls_from_a_cold_start(
    h: Harness, monta: Monta
) -> None:
    client = h.open(h.auth(monta))
    monta.emulator.inject(Fault(status=401), times=1000, path="/charges")
    assert {client.get(monta.url("/charges")).status_code for _ in range(100)} == {401}
    assert monta.mints + monta.refreshes == 3


def test_renewals_continue_after_the_cool_down(h: Harness, monta: Monta, now: Now) -> None:
    client = h.open(h.auth(source=monta.source()))
    monta.emulator.inject(Fault(status=401), times=6, path="/charges")
    while monta.count("/charges") < 6:
        client.get(monta.url("/charges"))
    spent = monta.mints + monta.refreshes
    now.advance(16)
    monta.emulator.revoke_access_tokens()
    assert client.get(monta.url("/charges")).status_code == 200
    assert monta.mints + monta.refreshes == spent + 1


# --- where the token goes


def test_another_origin_gets_no_token_and_one_warning(
    h: Harness, monta: Monta, foreign: Host, caplog: pytest.LogCaptureFixture
) -> None:
    client = h.open(h.auth(monta))
    for _ in range(3):
        assert client.get(foreign.origin + "/x").status_code == 200
    assert [seen.token for seen in foreign.seen] == [None] * 3
    (warning,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert str(foreign.port) in warning.getMessage()
    assert monta.mints == 0


def test_an_allowed_origin_gets_the_token_and_its_401_is_retried(
    h: Harness, monta: Monta, foreign: Host
) -> None:
    client = h.open(h.auth(monta, allowed_origins=[foreign.origin]))
    client.get(foreign.origin + "/x")
    assert (foreign.seen[0].token or "").startswith("Bearer ")
    foreign.pages["/x"] = says(401)
    assert client.get(foreign.origin + "/x").status_code == 401
    assert len(foreign.seen) == 3
    assert (monta.mints, monta.refreshes) == (1, 1)


def test_a_401_from_a_foreign_origin_changes_nothing(
    h: Harness, monta: Monta, foreign: Host
) -> None:
    client = h.open(h.auth(monta))
    client.get(monta.url(GOOD))
    foreign.pages["/x"] = says(401)
    assert client.get(foreign.origin + "/x").status_code == 401
    assert len(foreign.seen) == 1
    client.get(monta.url(GOOD))
    assert (monta.mints, monta.refreshes) == (1, 0)


@pytest.mark.parametrize("path", ["/auth/token", "/auth/refresh"])
def test_the_users_own_call_of_an_auth_endpoint_gets_no_token(
    h: Harness, monta: Monta, path: str
) -> None:
    client = h.open(h.auth(monta))
    client.get(monta.url(GOOD))
    client.post(monta.url(path), json={})
    assert monta.asked("/api/v1" + path)[-1].token is None


def test_auth_me_gets_the_token(h: Harness, monta: Monta) -> None:
    client = h.open(h.auth(monta))
    assert client.get(monta.url("/auth/me")).status_code == 200


def test_the_users_authorization_header_is_replaced_for_allowed_origins(
    h: Harness, monta: Monta
) -> None:
    client = h.open(h.auth(monta))
    headers = {"Authorization": "Basic dXNlcjpwYXNz"}
    for _ in range(2):
        assert client.get(monta.url(GOOD), headers=headers).status_code == 200
    assert headers == {"Authorization": "Basic dXNlcjpwYXNz"}
    assert "Basic" not in str([seen.token for seen in monta.seen])


def test_the_users_authorization_header_is_kept_for_foreign_origins(
    h: Harness, monta: Monta, foreign: Host
) -> None:
    client = h.open(h.auth(monta))
    client.get(foreign.origin + "/x", headers={"Authorization": "Basic dXNlcjpwYXNz"})
    assert foreign.seen[0].token == "Basic dXNlcjpwYXNz"


# --- sharing


def test_inline_auth_objects_share_one_token(h: Harness, monta: Monta) -> None:
    for _ in range(12):
        assert h.open(h.auth(monta)).get(monta.url(GOOD)).status_code == 200
    assert (monta.mints, monta.refreshes) == (1, 0)


@pytest.mark.parametrize(
    "different",
    [
        pytest.param({"policy": RefreshPolicy(pause=3)}, id="policy"),
        pytest.param({"client_id": "other", "client_secret": "other-secret"}, id="credentials"),
        pytest.param({"on_token": lambda pair: None}, id="on_token"),
        pytest.param({"store": MemoryStore()}, id="store"),
        pytest.param({"client_secret": None}, id="callable secret"),
    ],
)
def test_auth_objects_with_different_settings_do_not_share_a_token(
    h: Harness, monta: Monta, different: dict[str, Any]
) -> None:
    monta.emulator.credentials["other"] = "other-secret"
    if "store" in different:
        different = {"store": MemoryStore()}
    if different.get("client_secret", "") is None:
        different = {"client_secret": lambda: monta.client_secret}
    for settings in ({}, different):
        client = h.open(h.auth(monta, **settings))
        assert client.get(monta.url(GOOD)).status_code == 200
    assert monta.mints == 2


def test_auth_objects_with_different_secrets_do_not_share_a_token(h: Harness, monta: Monta) -> None:
    h.open(h.auth(monta)).get(monta.url(GOOD))
    with pytest.raises(monta_auth.InvalidCredentialsError):
        h.open(h.auth(monta, client_secret="guessed")).get(monta.url(GOOD))


def test_a_source_can_be_passed_to_several_auth_objects(h: Harness, monta: Monta) -> None:
    source = monta.source()
    for auth in (h.auth(source=source), h.auth(source=source)):
        assert auth.source is source
        h.open(auth).get(monta.url(GOOD))
    assert monta.mints == 1


def test_all_adapters_share_one_token(monta: Monta, portals: Portals) -> None:
    for kind, separate in WAYS.values():
        harness = kind(portals, separate=separate)
        assert harness.open(harness.auth(monta)).get(monta.url(GOOD)).status_code == 200
        harness.close()
    assert (monta.mints, monta.refreshes) == (1, 0)


# --- arguments of the user


def test_on_token_gets_each_pair_once_and_may_use_the_auth(
    h: Harness, monta: Monta, now: Now
) -> None:
    heard: list[TokenSet] = []
    answers: list[int] = []

    def on_token(pair: TokenSet) -> None:
        heard.append(pair)
        answers.append(other.get(monta.url(GOOD)).status_code)

    source = monta.source(on_token=on_token)
    sync = Requests(lambda backend: pytest.fail("sync"))
    other = sync.open(requests_monta.MontaAuth(source=source))
    client = h.open(h.auth(source=source))
    for _ in range(3):
        assert client.get(monta.url(GOOD)).status_code == 200
    now.advance(3600)
    assert client.get(monta.url(GOOD)).status_code == 200
    sync.close()
    assert (monta.mints, monta.refreshes) == (1, 1)
    assert len({pair.access_token for pair in heard}) == len(heard) == 2
    assert answers == [200, 200]


def test_an_error_of_on_token_is_logged_by_type_and_fails_no_request(
    h: Harness, monta: Monta, caplog: pytest.LogCaptureFixture
) -> None:
    def on_token(pair: TokenSet) -> None:
        raise LookupError(pair.access_token)

    client = h.open(h.auth(source=monta.source(on_token=on_token)))
    assert client.get(monta.url(GOOD)).status_code == 200
    (warning,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "LookupError" in warning.getMessage()
    assert not any(secret in caplog.text for secret in monta.secrets)


def test_a_callable_secret_is_called_at_every_mint(h: Harness, monta: Monta, now: Now) -> None:
    asked: list[int] = []

    def secret() -> str:
        asked.append(1)
        return monta.client_secret

    client = h.open(h.auth(source=monta.source(client_secret=secret)))
    client.get(monta.url(GOOD))
    now.advance(3600)
    client.get(monta.url(GOOD))
    assert len(asked) == monta.mints == monta.refreshes == 1
    monta.emulator.revoke_refresh_tokens()
    now.advance(3600)
    client.get(monta.url(GOOD))
    assert len(asked) == monta.mints == 2


def test_a_callable_secret_is_called_once_more_after_a_401(h: Harness, monta: Monta) -> None:
    answers = ["rotated away", monta.client_secret]
    client = h.open(h.auth(source=monta.source(client_secret=lambda: answers.pop(0))))
    assert client.get(monta.url(GOOD)).status_code == 200
    assert (monta.mints, answers) == (2, [])


def test_a_callable_secret_that_returns_the_same_value_is_not_tried_again(
    h: Harness, monta: Monta
) -> None:
    asked: list[int] = []

    def secret() -> str:
        asked.append(1)
        return "wrong"

    client = h.open(h.auth(source=monta.source(client_secret=secret)))
    with pytest.raises(monta_auth.InvalidCredentialsError):
        client.get(monta.url(GOOD))
    assert (len(asked), monta.mints) == (2, 1)


def test_a_second_source_adopts_the_stored_pair(h: Harness, monta: Monta, now: Now) -> None:
    store = MemoryStore(monotonic=now)
    for _ in range(2):
        client = h.open(h.auth(source=monta.source(store=store)))
        assert client.get(monta.url(GOOD)).status_code == 200
    assert (monta.mints, monta.refreshes) == (1, 0)


def test_after_a_401_another_source_adopts_the_renewed_stored_pair(
    h: Harness, monta: Monta, now: Now
) -> None:
    store = MemoryStore(monotonic=now)
    clients = [h.open(h.auth(source=monta.source(store=store))) for _ in range(2)]
    for client in clients:
        client.get(monta.url(GOOD))
    monta.emulator.revoke_access_tokens()
    now.advance(1)
    assert [client.get(monta.url(GOOD)).status_code for client in clients] == [200, 200]
    assert (monta.mints, monta.refreshes) == (1, 1)


def test_a_token_pair_of_the_user_is_used_first(h: Harness, monta: Monta) -> None:
    pair = h.token(h.auth(source=monta.source()))
    source = TokenSource(token=pair, base_url=monta.base_url, clock=monta.now.clock())
    client = h.open(h.auth(source=source))
    assert client.get(monta.url(GOOD)).status_code == 200
    assert (monta.mints, monta.refreshes) == (1, 0)
    monta.now.advance(3600)
    assert client.get(monta.url(GOOD)).status_code == 200
    assert (monta.mints, monta.refreshes) == (1, 1)


def test_token_and_bearer_token_return_the_shared_token(h: Harness, monta: Monta) -> None:
    auth = h.auth(monta)
    pair = h.token(auth)
    assert isinstance(pair, TokenSet)
    assert h.bearer_token(auth) == pair.access_token
    h.open(auth).get(monta.url(GOOD))
    assert monta.asked("/api/v1" + GOOD)[0].token == "Bearer " + pair.access_token
    assert (monta.mints, monta.refreshes) == (1, 0)


def test_invalidate_drops_only_the_access_token(h: Harness, monta: Monta) -> None:
    auth = h.auth(monta)
    client = h.open(auth)
    client.get(monta.url(GOOD))
    auth.invalidate()
    assert client.get(monta.url(GOOD)).status_code == 200
    assert (monta.mints, monta.refreshes) == (1, 1)
    assert auth.status().refusals == 0


def test_forget_drops_the_pair_and_all_remembered_failures(h: Harness, monta: Monta) -> None:
    auth = h.auth(monta)
    client = h.open(auth)
    client.get(monta.url(GOOD))
    auth.forget()
    assert auth.status().access_expires_at is None
    assert client.get(monta.url(GOOD)).status_code == 200
    assert (monta.mints, monta.refreshes) == (2, 0)


def test_status_shows_no_secret(h: Harness, monta: Monta) -> None:
    auth = h.auth(monta)
    assert auth.status().fetches == 0
    h.open(auth).get(monta.url(GOOD))
    status = auth.status()
    assert (status.fetches, status.refreshes, status.failures, status.refusals) == (1, 0, 0, 0)
    assert status.access_expires_at is not None
    assert status.last_renewal is not None
    assert not any(secret in repr(status) for secret in monta.secrets)


def test_the_warning_about_a_failed_on_token_mentions_its_thread_in_async_clients(
    h: Harness, monta: Monta, caplog: pytest.LogCaptureFixture
) -> None:
    """Objects that belong to the event loop's thread, such as a database, cannot be used there."""

    def keep(pair: TokenSet) -> None:
        raise LookupError("another thread's")

    h.open(h.auth(monta, on_token=keep)).get(monta.url(GOOD))
    where = " in a separate thread (async clients call plain functions there)"
    line = f"{__file__}:{keep.__code__.co_firstlineno + 1}{where if h.is_async else ''}"
    text = f"on_token raised LookupError at {line}; the token pair is in use"
    assert text in [record.getMessage() for record in caplog.records]
