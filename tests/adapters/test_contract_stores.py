"""What every adapter does with a store: separate clients, outages, and `forget`."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import monta_auth
from monta_auth import TokenSet
from monta_auth.stores import MemoryStore

from ..clock import Now
from .contract import Harness
from .site import Monta

GOOD = "/charge-points"


class Shaky(MemoryStore):
    """A store that a test can switch off."""

    is_down = False

    def load(self, name: str) -> bytes | None:
        if self.is_down:
            raise ConnectionRefusedError("token-1 is not in this text")
        return super().load(name)


@pytest.fixture
def store(now: Now) -> Shaky:
    return Shaky(monotonic=now)


def count(store: MemoryStore) -> int:
    return len(store._records)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def test_the_client_id_without_the_secret_opens_no_stored_record(
    h: Harness, monta: Monta, store: Shaky
) -> None:
    client = h.open(h.auth(source=monta.source(store=store)))
    assert client.get(monta.url(GOOD)).status_code == 200
    stranger = h.open(h.auth(source=monta.source(store=store, client_secret="wrong-secret")))
    with pytest.raises(monta_auth.InvalidCredentialsError):
        stranger.get(monta.url(GOOD))
    assert count(store) == 1


def test_each_client_and_base_url_has_its_own_pair_in_one_store(
    h: Harness, monta: Monta, store: Shaky
) -> None:
    monta.emulator.credentials["client-b"] = "secret-of-client-b"
    one = monta.source(store=store)
    two = monta.source(store=store, client_id="client-b", client_secret="secret-of-client-b")
    for source in (one, two, one, two):
        assert h.open(h.auth(source=source)).get(monta.url(GOOD)).status_code == 200
    assert monta.mints == 2
    assert count(store) == 2


def test_an_unavailable_store_causes_no_token_call_in_the_advisory_window(
    h: Harness, monta: Monta, store: Shaky, now: Now, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise a fleet would use up its quota and send one refresh token many times."""
    caplog.set_level(logging.INFO, "monta_auth")
    sources = [monta.source(store=store) for _ in range(4)]
    clients = [h.open(h.auth(source=source)) for source in sources]
    for client in clients:
        client.get(monta.url(GOOD))
    now.advance(3400)
    store.is_down = True
    assert [client.get(monta.url(GOOD)).status_code for client in clients] == [200] * 4
    assert (monta.mints, monta.refreshes) == (1, 0)
    [text, *others] = warnings_of(caplog)
    assert len(others) == 3
    assert "load() raised ConnectionRefusedError" in text
    assert __file__ in text
    assert "token-1" not in caplog.text
    failure = sources[0].status().store_failure
    assert failure is not None
    assert failure in text
    store.is_down = False
    now.advance(11)
    caplog.clear()
    assert [client.get(monta.url(GOOD)).status_code for client in clients] == [200] * 4
    assert (monta.mints, monta.refreshes) == (1, 1)
    assert sources[0].status().store_failure is None
    infos = [record.getMessage() for record in caplog.records]
    assert infos.count("the token store works again") == 4


def test_an_unavailable_store_fails_no_request_without_a_valid_token(
    h: Harness, monta: Monta, store: Shaky, now: Now
) -> None:
    client = h.open(h.auth(source=monta.source(store=store)))
    store.is_down = True
    assert client.get(monta.url(GOOD)).status_code == 200
    now.advance(3700)
    assert client.get(monta.url(GOOD)).status_code == 200
    assert (monta.mints, monta.refreshes) == (1, 1)  # the token was never in the store


def test_a_refused_stored_token_costs_at_most_one_401(
    h: Harness, monta: Monta, store: Shaky, now: Now
) -> None:
    one, two = (h.auth(source=monta.source(store=store)) for _ in range(2))
    clients = [h.open(auth) for auth in (one, two)]
    for client in clients:
        client.get(monta.url(GOOD))
    now.advance(20)
    h.invalidate(two)
    clients[1].get(monta.url(GOOD))
    now.advance(20)
    monta.emulator.revoke_access_tokens()
    assert clients[0].get(monta.url(GOOD)).status_code == 401  # each request is retried only once
    assert [clients[n].get(monta.url(GOOD)).status_code for n in (0, 1, 0)] == [200] * 3


def test_forget_reaches_the_store(h: Harness, monta: Monta, store: Shaky) -> None:
    heard: list[TokenSet] = []

    async def note(pair: TokenSet) -> None:
        heard.append(pair)

    settings: dict[str, Any] = {"on_token": note} if h.is_async else {}
    auth = h.auth(source=monta.source(store=store, **settings))
    h.open(auth).get(monta.url(GOOD))
    h.forget(auth)
    assert count(store) == 0
    h.open(h.auth(source=monta.source(store=store))).get(monta.url(GOOD))
    assert (monta.mints, monta.refreshes) == (2, 0)
    assert len(heard) == h.is_async


def test_forget_raises_if_it_did_not_reach_the_store(
    h: Harness, monta: Monta, store: Shaky
) -> None:
    auth = h.auth(source=monta.source(store=store))
    client = h.open(auth)
    client.get(monta.url(GOOD))
    store.is_down = True
    with pytest.raises(monta_auth.TokenStoreError, match="may still be in the store") as raised:
        h.forget(auth)
    assert raised.value.retryable
    store.is_down = False
    assert client.get(monta.url(GOOD)).status_code == 200
    assert (monta.mints, monta.refreshes) == (2, 0)
