"""The store in Redis, on a real server: late holders, wrong clocks, a server that is not well."""

from __future__ import annotations

import asyncio
import pickle
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import redis.asyncio
import redis.sentinel
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

import httpx_monta
from monta_auth import ConfigurationError, RefreshPolicy
from monta_auth.emulator import Emulator
from monta_auth.stores import RedisStore, _redis, record_key
from requests_monta import MontaAuth

from .contract import ID, URL, make_pair
from .fleet import ASYNC_LIMITS, LIMITS, RedisServer
from .helpers import get, held, put, warnings_of

KEY = f"monta-auth:{{{record_key(URL, ID)}}}"
PAIR, LOCK = f"{KEY}:pair", f"{KEY}:lock"


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    with server.client(decode_responses=True) as client:
        yield client


@pytest.fixture
def store(server: RedisServer) -> Any:
    return RedisStore(server.url).bind(URL, ID)


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """One that a test may kill."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def make_auth(monta: Emulator) -> Callable[[str], MontaAuth]:
    def make(url: str) -> MontaAuth:
        return MontaAuth(
            monta.client_id,
            monta.client_secret,
            base_url=monta.base_url,
            store=RedisStore(url),
            policy=RefreshPolicy(cooldown=0.0),
        )

    return make


# --- what is written there


def test_key_names_are_digests(store: Any, client: redis.Redis) -> None:
    put(store, 1)
    store.try_lock(8.0)
    assert sorted(client.keys()) == [LOCK, PAIR]


def test_the_prefix_can_be_chosen(server: RedisServer, client: redis.Redis) -> None:
    put(RedisStore(server.url, prefix="staging").bind(URL, ID), 1)
    assert client.keys() == [PAIR.replace("monta-auth", "staging")]


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        pytest.param({}, 86400, id="the refresh token's life"),
        pytest.param({"refresh_expires_at": None}, 86400, id="not known"),
        pytest.param({"refresh_token": None}, 3600, id="the access token's life without one"),
        pytest.param({"issued_at": None}, 86400, id="of unknown age"),
    ],
)
def test_a_pair_goes_when_its_refresh_token_does(
    store: Any, client: redis.Redis, changes: dict[str, Any], seconds: int
) -> None:
    put(store, 1, **changes)
    left: Any = client.pttl(PAIR)
    assert left / 1000 == pytest.approx(seconds, abs=5)


def test_the_expiry_survives_what_a_later_lease_notes(store: Any, client: redis.Redis) -> None:
    put(store, 1)
    store.try_lock(8.0)
    left: Any = client.pttl(PAIR)
    assert left > 86_000_000


def test_a_lock_has_a_time_limit_and_a_token_of_its_own(store: Any, client: redis.Redis) -> None:
    first = store.try_lock(8.0)
    left: Any = client.pttl(LOCK)
    assert 7000 < left <= 8000
    token = client.get(LOCK)
    first.release()
    store.try_lock(8.0)
    assert client.get(LOCK) not in (None, token)


# --- late holders


def test_a_late_holder_saves_if_nobody_has_led_since(store: Any, client: redis.Redis) -> None:
    """Its pair is the newest there is."""
    put(store, 1)
    lease = store.try_lock(8.0)
    client.delete(LOCK)
    store.save(make_pair(2), lease)
    assert held(store) == "access-2"


def test_a_late_holder_does_not_overwrite_a_newer_pair(store: Any, client: redis.Redis) -> None:
    """Although nobody has the lock any more."""
    put(store, 1)
    late = store.try_lock(8.0)
    client.delete(LOCK)
    put(store, 2)
    store.save(make_pair(3), late)
    assert held(store) == "access-2"


def test_a_late_holder_does_not_undo_a_deletion(store: Any, client: redis.Redis) -> None:
    put(store, 1)
    late = store.try_lock(8.0)
    client.delete(LOCK)
    lease = store.try_lock(8.0)
    store.save(None, lease)
    lease.release()
    store.save(make_pair(2), late)
    assert held(store) is None


def test_a_server_that_came_back_empty_takes_the_pair(store: Any, client: redis.Redis) -> None:
    """There is nothing to protect, and the pair would be lost otherwise."""
    put(store, 1)
    lease = store.try_lock(8.0)
    client.flushall()
    store.save(make_pair(2), lease)
    assert held(store) == "access-2"


def test_a_holder_that_renews_is_not_disturbed_by_one_from_before_the_loss(
    store: Any, client: redis.Redis
) -> None:
    put(store, 1)
    late = store.try_lock(8.0)
    client.flushall()
    lease = store.try_lock(8.0)
    store.save(make_pair(2), late)
    assert held(store) is None
    store.save(make_pair(3), lease)
    assert held(store) == "access-3"


def test_a_leader_that_marked_a_refused_token_and_vanished_is_noticed(
    store: Any, client: redis.Redis
) -> None:
    put(store, 1)
    lease = store.try_lock(8.0)
    store.save(make_pair(1), lease)
    client.delete(LOCK)
    store.try_lock(8.0)
    assert store.load().refresh_token is None


# --- clocks


@pytest.mark.parametrize("skew", [-7200.0, 7200.0])
def test_the_readers_clock_does_not_count(
    store: Any, skew: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container whose clock is two hours off uses the token for an hour like all others."""
    put(store, 1)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + skew)
    pair = store.load()
    assert pair.access_expires_at.timestamp() - time.time() == pytest.approx(3600, abs=2)
    assert pair.refresh_expires_at.timestamp() - time.time() == pytest.approx(86400, abs=2)


@pytest.mark.parametrize("skew", [-7200.0, 7200.0])
def test_the_writers_clock_does_not_count(
    store: Any, client: redis.Redis, skew: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: real() + skew)
        born = make_pair(1).issued_at
        assert born is not None
        put(store, 1)
    pair = store.load()
    assert pair.access_expires_at.timestamp() - time.time() == pytest.approx(3600, abs=2)
    left: Any = client.pttl(PAIR)
    assert left / 1000 == pytest.approx(86400, abs=5)


def test_age_is_counted_by_the_server(
    store: Any, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten minutes pass there; what the reader's clock does meanwhile is its own affair."""
    real = _redis._seconds
    put(store, 1)
    monkeypatch.setattr(_redis, "_seconds", lambda answer: real(answer) + 600)
    left = store.load().access_expires_at.timestamp() - time.time()
    assert left == pytest.approx(3000, abs=2)


def test_clocks_that_agree_leave_the_dates_alone(store: Any) -> None:
    pair = make_pair(1)
    lease = store.try_lock(8.0)
    store.save(pair, lease)
    assert store.load() == pair
    moved = pair.__replace__(issued_at=pair.issued_at + timedelta(seconds=1))  # type: ignore[operator]
    store.save(moved, lease)
    assert store.load() == moved


# --- a server that is not well


def test_a_server_that_is_down_is_memory_and_one_warning(
    own_server: RedisServer,
    monta: Emulator,
    make_auth: Callable[[str], MontaAuth],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And the store is tried again at the next renewal."""
    own_server.kill()
    auth = make_auth(own_server.url)
    for _ in range(3):
        assert get(auth, monta) == 200
        monta.revoke_access_tokens()
    assert len(warnings_of(caplog)) == 1
    assert "memory" in warnings_of(caplog)[0]

    own_server.start()
    assert get(auth, monta) == 200
    monta.clear()
    assert get(make_auth(own_server.url), monta) == 200
    assert monta.count("/auth/token") == 0


def test_a_server_that_hangs_costs_little_time(
    own_server: RedisServer,
    monta: Emulator,
    make_auth: Callable[[str], MontaAuth],
    caplog: pytest.LogCaptureFixture,
) -> None:
    auth = make_auth(own_server.url)
    assert get(auth, monta) == 200
    with own_server.paused():
        began = time.monotonic()
        for _ in range(2):
            monta.revoke_access_tokens()
            assert get(auth, monta) == 200
        assert time.monotonic() - began < 4
    assert len(warnings_of(caplog)) == 1
    monta.revoke_access_tokens()
    assert get(auth, monta) == 200
    monta.clear()
    assert get(make_auth(own_server.url), monta) == 200
    assert monta.count("/auth/token") == 0


def test_nothing_is_tried_twice(own_server: RedisServer) -> None:
    """Half a second, and not a multiple of it."""
    store: Any = RedisStore(own_server.url).bind(URL, ID)
    store.load()

    def seconds_in_vain() -> float:
        began = time.monotonic()
        with pytest.raises(redis.TimeoutError):
            store.load()
        return time.monotonic() - began

    with own_server.paused():
        # If a busy machine delays the first, it lets one of two more be quick.
        assert any(0.4 < seconds_in_vain() < 0.95 for _ in range(3))


def test_a_server_that_came_back_empty_is_filled_at_the_next_renewal(
    own_server: RedisServer,
    monta: Emulator,
    make_auth: Callable[[str], MontaAuth],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The connection that died meanwhile is not taken for a server that is down."""
    auth = make_auth(own_server.url)
    assert get(auth, monta) == 200
    own_server.kill()
    own_server.start()
    monta.revoke_access_tokens()
    assert get(auth, monta) == 200
    assert warnings_of(caplog) == []
    monta.clear()
    assert get(make_auth(own_server.url), monta) == 200
    assert monta.count("/auth/token") + monta.count("/auth/refresh") == 0


def test_a_key_of_another_kind_is_memory_and_one_warning(
    server: RedisServer,
    client: redis.Redis,
    monta: Emulator,
    make_auth: Callable[[str], MontaAuth],
    caplog: pytest.LogCaptureFixture,
) -> None:
    client.set(f"monta-auth:{{{record_key(monta.base_url, monta.client_id)}}}:pair", "rubbish")
    auth = make_auth(server.url)
    assert get(auth, monta) == 200
    assert len(warnings_of(caplog)) == 1


def test_a_connection_that_was_long_idle_is_made_anew(
    store: Any, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Firewalls forget connections without a word; the first command would get no answer."""

    def ids() -> set[str]:
        connections: Any = client.client_list()
        return {connection["id"] for connection in connections}

    store.load()
    before = ids()
    store.load()
    assert ids() == before
    monkeypatch.setattr(_redis, "_LONGEST_IDLE", 0.0)
    store.load()
    assert len(ids() - before) == 1


# --- async


def test_an_async_client_serves_async_auth_objects(server: RedisServer, monta: Emulator) -> None:
    async def run() -> None:
        async with redis.asyncio.Redis(port=server.port, **ASYNC_LIMITS) as client:
            for _ in range(2):
                auth = httpx_monta.MontaAuth(
                    monta.client_id,
                    monta.client_secret,
                    base_url=monta.base_url,
                    store=RedisStore(client),
                )
                async with httpx.AsyncClient(auth=auth) as http:
                    reply = await http.get(monta.base_url + "/auth/me")
                    assert reply.status_code == 200
            with pytest.raises(ConfigurationError, match="asynchronous"):
                get(
                    MontaAuth(
                        monta.client_id,
                        monta.client_secret,
                        base_url=monta.base_url,
                        store=RedisStore(client),
                    ),
                    monta,
                )

    asyncio.run(run())
    assert monta.count("/auth/token") == 1


def test_a_store_of_a_url_serves_them_too(server: RedisServer, monta: Emulator) -> None:
    """Its calls are made in worker threads, so the event loop goes on."""

    async def run() -> None:
        auth = httpx_monta.MontaAuth(
            monta.client_id,
            monta.client_secret,
            base_url=monta.base_url,
            store=RedisStore(server.url),
        )
        async with httpx.AsyncClient(auth=auth) as http:
            assert (await http.get(monta.base_url + "/auth/me")).status_code == 200

    asyncio.run(run())
    assert held(RedisStore(server.url).bind(monta.base_url, monta.client_id)) is not None


# --- what is accepted

PLAIN = [
    "redis://10.1.2.3:6379/0",
    "redis://:password-1@redis.example/0",
    "redis:///0?host=redis.example",
    "redis://127.0.0.1.example/0",
]


@pytest.mark.parametrize("url", PLAIN)
def test_plain_redis_to_another_machine_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="rediss://") as caught:
        RedisStore(url)
    assert "password-1" not in "".join(traceback.format_exception(caught.value))
    assert "password-1" not in repr(RedisStore(url, allow_plaintext=True))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis://localhost", "localhost:6379"),
        ("redis://user:password-1@127.0.0.1:7000/3", "127.0.0.1:7000"),
        ("redis://[::1]:7000", "::1:7000"),
        ("redis://", "localhost:6379"),
        ("rediss://:password-1@redis.example:6380/0", "redis.example:6380"),
        ("unix:///run/redis.sock", "a Unix socket"),
    ],
)
def test_loopback_tls_and_sockets_are_accepted(url: str, name: str) -> None:
    store = RedisStore(url)
    assert repr(store) == f"RedisStore({name})"
    assert repr(store.bind(URL, ID)) == "<RedisStore of one client>"


def test_a_client_of_the_users_own_is_held_to_the_same_rule() -> None:
    with pytest.raises(ConfigurationError, match="rediss://"):
        RedisStore(redis.Redis("redis.example", **LIMITS))
    with pytest.raises(ConfigurationError, match="rediss://"):
        RedisStore(redis.asyncio.Redis(host="redis.example", **ASYNC_LIMITS))
    RedisStore(redis.Redis("redis.example", ssl=True, **LIMITS))
    RedisStore(redis.Redis("redis.example", **LIMITS), allow_plaintext=True)


def test_where_a_sentinel_leads_is_not_known() -> None:
    new_sentinel: Any = redis.sentinel.Sentinel
    sentinel = new_sentinel([("localhost", 26379)], socket_timeout=0.5)
    master = sentinel.master_for("main", **LIMITS)
    with pytest.raises(ConfigurationError, match="rediss://"):
        RedisStore(master)
    assert "Redis" in repr(RedisStore(master, allow_plaintext=True))


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param({}, id="redis-py's own"),
        pytest.param({"socket_timeout": None, "retry": None}, id="none"),
        pytest.param({"socket_timeout": 5, "retry": None}, id="five seconds"),
        pytest.param({"socket_timeout": 0.5, "retry": Retry(NoBackoff(), 3)}, id="retries"),
    ],
)
def test_a_client_that_a_request_would_wait_for_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"socket_timeout=0\.5"):
        RedisStore(redis.Redis(**limits))


@pytest.mark.parametrize(
    "url",
    [
        "http://:password-1@localhost",
        "redis://localhost:password-1",
        "redis://localhost/?db=password-1",
        "password-1",
        "",
    ],
)
def test_a_url_that_cannot_be_read_is_not_quoted(url: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot read its URL") as caught:
        RedisStore(url)
    shown = "".join(traceback.format_exception(caught.value)[1:])
    assert "password-1" not in shown
    assert caught.value.__context__ is None


@pytest.mark.parametrize("what", [None, 5, object()])
def test_what_is_neither_a_url_nor_a_client_is_refused(what: Any) -> None:
    with pytest.raises(ConfigurationError, match="URL or a client"):
        RedisStore(what)


def test_one_of_a_url_can_be_pickled() -> None:
    """With its password, without which the twin could not connect."""
    url = "redis://:the-password@redis.example"
    store = RedisStore(url, allow_plaintext=True, prefix="staging")
    twin = pickle.loads(pickle.dumps(store))
    assert twin._client.connection_pool.connection_kwargs["password"] == "the-password"
    assert repr(twin) == repr(store)
    assert twin._settings == store._settings


@pytest.mark.parametrize("missing", ["redis", "redis.asyncio"])
def test_a_missing_package_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r"pip install 'monta-auth\[redis\]'"):
        RedisStore("redis://localhost")


def test_the_permissions_that_security_md_names_suffice(
    server: RedisServer, client: redis.Redis, monta: Emulator
) -> None:
    text = (Path(__file__).parents[2] / "SECURITY.md").read_text(encoding="utf-8")
    rule = re.search(r"ACL SETUSER (\w+) on >(\S+) (.*)", text)
    assert rule is not None
    name, password, rules = rule.groups()
    client.acl_setuser(
        name,
        enabled=True,
        passwords=["+" + password],
        reset=True,
        keys=[key[1:] for key in rules.split() if key[0] == "~"],
        commands=[command for command in rules.split() if command[0] in "+-"],
    )
    try:
        url = server.url.replace("redis://", f"redis://{name}:{password}@")
        auth = MontaAuth(
            monta.client_id, monta.client_secret, base_url=monta.base_url, store=RedisStore(url)
        )
        auth.token()
        auth.invalidate()
        auth.token()
        auth.forget()
        auth.token()
        assert (auth.status().mints, auth.status().refreshes) == (2, 1)
        with pytest.raises(NoPermissionError):
            redis.Redis.from_url(url).get("of-another-program")
    finally:
        client.acl_deluser(name)
