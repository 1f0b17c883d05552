"""The contract of every adapter: arguments, environment, copies, pickles, repr."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from monta_auth import ConfigurationError, RefreshPolicy, TokenSet
from monta_auth.emulator import Fault
from monta_auth.stores import MemoryStore

from .contract import Harness
from .site import Monta

GOOD = "/charge-points"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({}, ["client_id", "MONTA_CLIENT_ID", "MONTA_CLIENT_SECRET"], id="none"),
        pytest.param({"client_id": "x"}, ["client_secret", "MONTA_CLIENT_SECRET"], id="no secret"),
        pytest.param({"client_secret": "x"}, ["client_id", "MONTA_CLIENT_ID"], id="no id"),
        pytest.param({"client_id": "", "client_secret": "x"}, ["client_id"], id="empty id"),
        pytest.param(
            {"client_id": "x", "client_secret": "s "},
            ["client_secret", "U+0020 SPACE at position 2"],
            id="edge",
        ),
        pytest.param(
            {"client_id": " x", "client_secret": "s"},
            ["client_id", "U+0020 SPACE at position 1"],
            id="edge 2",
        ),
    ],
)
def test_unusable_credentials_are_named(
    h: Harness, given: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        h.auth(**given)
    assert all(word in str(caught.value) for word in words)
    assert isinstance(caught.value, ValueError)
    assert not isinstance(caught.value, h.error)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"base_url": "http://api.example/api/v1"}, id="plain http"),
        pytest.param({"base_url": "api.example"}, id="no scheme"),
        pytest.param({"base_url": " https://api.example"}, id="white space"),
        pytest.param({"allowed_origins": ["http://api.example"]}, id="plain http allowed"),
        pytest.param({"allowed_origins": "https://api.example"}, id="a single string"),
        pytest.param({"policy": {"advisory": 1}}, id="policy"),
        pytest.param({"token": "abc"}, id="token"),
    ],
)
def test_unusable_settings_are_refused(h: Harness, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        h.auth(client_id="id", client_secret="secret", **settings)


@pytest.mark.parametrize(
    "setting", ["client_id", "client_secret", "token", "store", "on_token", "policy", "base_url"]
)
def test_source_excludes_the_arguments_that_belong_to_a_source(
    h: Harness, monta: Monta, setting: str
) -> None:
    source = monta.source()
    values: dict[str, Any] = {
        "client_id": "id",
        "client_secret": "secret",
        "token": h.token(h.auth(source=source)),
        "store": MemoryStore(),
        "on_token": print,
        "policy": RefreshPolicy(),
        "base_url": "https://elsewhere.example",
    }
    with pytest.raises(ConfigurationError, match=setting):
        h.auth(source=source, **{setting: values[setting]})


def test_the_source_argument_must_be_a_token_source(h: Harness) -> None:
    with pytest.raises(ConfigurationError, match="TokenSource"):
        h.auth(source="nonsense")  # type: ignore[arg-type]


def test_token_and_store_exclude_each_other(h: Harness, monta: Monta) -> None:
    pair = h.token(h.auth(monta))
    with pytest.raises(ConfigurationError, match="store="):
        h.auth(monta, token=pair, store=MemoryStore())


def test_credentials_come_from_the_environment(
    h: Harness, monta: Monta, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONTA_CLIENT_ID", monta.client_id)
    monkeypatch.setenv("MONTA_CLIENT_SECRET", monta.client_secret)
    monkeypatch.setenv("MONTA_BASE_URL", monta.base_url)
    assert h.open(h.auth()).get(monta.url(GOOD)).status_code == 200


def test_arguments_override_the_environment(
    h: Harness, monta: Monta, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MONTA_CLIENT_ID", "MONTA_CLIENT_SECRET"):
        monkeypatch.setenv(name, "other")
    monkeypatch.setenv("MONTA_BASE_URL", "https://elsewhere.example")
    assert h.open(h.auth(monta)).get(monta.url(GOOD)).status_code == 200


async def _async_secret() -> str:
    return "secret"


async def _async_on_token(pair: TokenSet) -> None:
    pass


class AsyncStore:
    """A store whose methods are coroutine functions."""

    def __init__(self) -> None:
        self._store = MemoryStore()

    async def load(self, name: str) -> bytes | None:
        return self._store.load(name)

    async def try_lock(self, name: str, seconds: float) -> Any:
        return self._store.try_lock(name, seconds)

    async def save(self, name: str, record: bytes | None, lease: Any) -> None:
        self._store.save(name, record, lease)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"on_token": _async_on_token}, id="on_token"),
        pytest.param({"client_secret": _async_secret}, id="client_secret"),
        pytest.param({"store": AsyncStore()}, id="store"),
    ],
)
def test_coroutine_functions_only_work_with_async_clients(
    h: Harness, monta: Monta, settings: dict[str, Any]
) -> None:
    monta.emulator.client_secret = "secret"
    auth = h.auth(source=monta.source(**settings))
    client = h.open(auth)
    if h.is_async:
        assert client.get(monta.url(GOOD)).status_code == 200
        assert monta.mints == 1
        return
    with pytest.raises(ConfigurationError, match="async"):
        client.get(monta.url(GOOD))
    with pytest.raises(ConfigurationError, match="async"):
        h.token(auth)
    assert monta.seen == []


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
def test_copies_share_the_token(h: Harness, monta: Monta, duplicate: Any) -> None:
    auth = h.auth(monta)
    twin = duplicate(auth)
    assert type(twin) is type(auth)
    assert twin.source is auth.source
    for each in (auth, twin):
        assert h.open(each).get(monta.url(GOOD)).status_code == 200
    monta.emulator.revoke_access_tokens()
    for each in (twin, auth):
        assert h.open(each).get(monta.url(GOOD)).status_code == 200
    assert (monta.mints, monta.refreshes) == (1, 1)


def _without_client(h: Harness, monta: Monta, **settings: Any) -> Any:
    """Return an auth object without an httpx client, since no library can pickle a client."""
    return h.adapter.MontaAuth(
        monta.client_id, monta.client_secret, base_url=monta.base_url, **settings
    )


def test_a_pickle_holds_the_settings_but_no_token_pair(h: Harness, monta: Monta) -> None:
    auth = _without_client(h, monta, policy=RefreshPolicy(pause=3))
    h.open(auth).get(monta.url(GOOD))
    pickled = pickle.dumps(auth)
    tokens = monta.secrets - {monta.client_secret}
    assert not any(token.encode() in pickled for token in tokens)
    again = pickle.loads(pickled)
    assert again._source.policy == RefreshPolicy(pause=3)
    assert h.open(again).get(monta.url(GOOD)).status_code == 200


def test_an_unpickled_private_source_mints_again(h: Harness, monta: Monta) -> None:
    auth = h.adapter.MontaAuth(source=monta.source())
    h.open(auth).get(monta.url(GOOD))
    again = pickle.loads(pickle.dumps(auth))
    assert again.source is not auth.source
    assert h.open(again).get(monta.url(GOOD)).status_code == 200
    assert monta.mints == 2


def test_a_pickle_does_not_hold_credentials_of_the_environment(
    h: Harness, monta: Monta, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONTA_CLIENT_ID", monta.client_id)
    monkeypatch.setenv("MONTA_CLIENT_SECRET", "of-the-sending-process")
    pickled = pickle.dumps(h.adapter.MontaAuth(base_url=monta.base_url))
    assert b"of-the-sending-process" not in pickled
    monkeypatch.setenv("MONTA_CLIENT_SECRET", monta.client_secret)
    assert h.open(pickle.loads(pickled)).get(monta.url(GOOD)).status_code == 200


def test_an_auth_with_only_a_token_pair_cannot_be_pickled(h: Harness, monta: Monta) -> None:
    pair = h.token(h.auth(monta))
    auth = h.adapter.MontaAuth(token=pair, base_url=monta.base_url)
    with pytest.raises(TypeError, match="token pair"):
        pickle.dumps(auth)


def test_repr_shows_client_id_and_base_url_but_no_secret(h: Harness, monta: Monta) -> None:
    auth = h.auth(monta)
    h.open(auth).get(monta.url(GOOD))
    shown = repr(auth) + repr(auth.source) + str(auth) + repr(h.token(auth))
    assert monta.client_id in shown
    assert monta.base_url in shown
    assert not any(secret in shown for secret in monta.secrets)


def test_arguments_of_the_caller_are_never_changed(h: Harness, monta: Monta) -> None:
    headers, origins = {"X-Mine": "1"}, ["https://other.example"]
    client = h.open(h.auth(monta, allowed_origins=origins))
    monta.emulator.inject(Fault(status=401), path=GOOD)
    assert client.get(monta.url(GOOD), headers=headers).status_code == 200
    assert (headers, origins) == ({"X-Mine": "1"}, ["https://other.example"])
    assert [seen.headers["x-mine"] for seen in monta.asked("/api/v1" + GOOD)] == ["1", "1"]


def test_another_path_of_the_same_origin_gets_the_token(h: Harness, monta: Monta) -> None:
    """The token goes to the whole origin, not only to URLs below the base URL."""
    client = h.open(h.auth(monta))
    client.get(f"{monta.origin}/api/v2/charge-points")
    assert monta.seen[-1].token is not None
