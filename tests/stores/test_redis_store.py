"""The store in Redis: real servers of each kind, alone, behind a Sentinel, and as a cluster."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.asyncio.sentinel
import redis.sentinel
import valkey
import valkey.asyncio
import valkey.sentinel
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

from monta_auth import ConfigurationError, TokenStoreError
from monta_auth._core.store_protocol import Lease, Store
from monta_auth.stores import _redis_calls, _redis_scripts, _redis_servers, _redis_store
from monta_auth.stores._redis_store import RedisStore
from monta_auth.stores.testing import StoreContract

from ..faults import server
from .fleet import ASYNC_LIMITS, LIMITS, RedisServer
from .redis_servers import (
    Certificates,
    Cluster,
    Proxy,
    Sentinel,
    names_of_node,
    program_of,
    until,
)

NAME = "0123456789abcdef0123456789abcdef"
RECORD = f"monta-auth:{{{NAME}}}"
LEASE = f"{RECORD}:lease"
#: The rights that suffice. Clients of a cluster also need these (INFO: only redis-py 5).
ACL = "-@all +eval +get +set +del +hmget +hset +pexpire +time +select +ping +hello +client|setinfo"
CLUSTER_ACL = f"{ACL} +cluster|slots +command +info"

ENGINES = [engine for engine in ("redis", "valkey") if program_of(engine) is not None]
each_engine = pytest.mark.parametrize("engine", ENGINES)

# --- servers


@pytest.fixture(scope="session")
def engines() -> Iterator[Callable[[str], RedisServer]]:
    """Return servers by their engine, "redis" or "valkey"."""
    servers: dict[str, RedisServer] = {}
    with ExitStack() as stack:

        def server_of(engine: str) -> RedisServer:
            if engine not in servers:
                server = RedisServer(program=program_of(engine))
                servers[engine] = stack.enter_context(server)
            return servers[engine]

        yield server_of


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A server that a test may kill or change."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    with server.client(decode_responses=True) as client:
        yield client


@pytest.fixture
def store(server: RedisServer) -> Any:
    return RedisStore(server.url)


# --- stores of each kind, and how to call them


class Stores:
    """Makes stores, calls sync and async ones, and closes the async clients."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.runner = runner
        self._clients: list[Any] = []

    def asynchronous(self, *clients: Any, allow_plaintext: bool = False) -> Any:
        """Return a store with the first of these clients. Close all of them in the end."""
        self._clients += clients
        return RedisStore(clients[0], allow_plaintext=allow_plaintext)

    def do(self, function: Callable[..., Any], *args: Any) -> Any:
        result = function(*args)
        return self.runner.run(result) if asyncio.iscoroutine(result) else result

    def open(self, store: Any, count: int) -> None:
        """Open this many idle connections in the pool of its client."""
        wait: Any = store._calls._client.blpop
        if isinstance(store, _redis_store._AsyncRedisStore):

            async def all_at_once() -> None:
                await asyncio.gather(*(wait("nothing", 0.05) for _ in range(count)))

            self.runner.run(all_at_once())
        else:
            with ThreadPoolExecutor(count) as threads:
                list(threads.map(wait, ["nothing"] * count, [0.05] * count))

    def close(self) -> None:
        for client in self._clients:
            self.runner.run(client.aclose())


@pytest.fixture
def stores() -> Iterator[Stores]:
    with asyncio.Runner() as runner:
        stores = Stores(runner)
        yield stores
        stores.close()


def sentinel_of(kind: Any, port: int, host: str = "127.0.0.1", **settings: Any) -> Any:
    return kind([(host, port)], **settings)


def of_sentinel(port: int, kind: Any = redis.sentinel.Sentinel) -> RedisStore:
    manager = sentinel_of(kind, port, **LIMITS)
    return RedisStore(manager.master_for(Sentinel.name), allow_plaintext=True)


def of_async_sentinel(stores: Stores, port: int) -> Any:
    manager = sentinel_of(redis.asyncio.sentinel.Sentinel, port, **ASYNC_LIMITS)
    primary = manager.master_for(Sentinel.name)
    return stores.asynchronous(primary, *manager.sentinels, allow_plaintext=True)


def of_cluster(port: int, kind: Any = redis.RedisCluster, **settings: Any) -> RedisStore:
    """A client without any time limit."""
    client = kind(host="127.0.0.1", port=port, **settings)
    return RedisStore(client, allow_plaintext=True)


def of_async_cluster(
    stores: Stores, port: int, kind: Any = redis.asyncio.cluster.RedisCluster
) -> Any:
    client = kind("127.0.0.1", port)
    return stores.asynchronous(client, allow_plaintext=True)


def of_async_client(stores: Stores, port: int, **settings: Any) -> Any:
    client: Any = redis.asyncio.Redis(port=port, **{**ASYNC_LIMITS, **settings})
    return stores.asynchronous(client)


#: How to make a store from clients, with pytest's `getfixturevalue`.
KINDS: dict[str, Callable[[Any, Stores], Any]] = {
    "client": lambda get, _: RedisStore(get("server").client(decode_responses=True)),
    "valkey-py": lambda get, _: RedisStore(valkey.Valkey(port=get("server").port, **LIMITS)),
    "asyncio": lambda get, stores: of_async_client(
        stores, get("server").port, decode_responses=True
    ),
    "valkey-py asyncio": lambda get, stores: stores.asynchronous(
        valkey.asyncio.Valkey(port=get("server").port, **ASYNC_LIMITS)
    ),
    "sentinel": lambda get, _: of_sentinel(get("sentinel").port),
    "asyncio sentinel": lambda get, stores: of_async_sentinel(stores, get("sentinel").port),
    "cluster": lambda get, _: of_cluster(get("cluster").nodes[0].port),
    "valkey-py cluster": lambda get, _: of_cluster(
        get("cluster").nodes[0].port, valkey.ValkeyCluster, decode_responses=True
    ),
    "asyncio cluster": lambda get, stores: of_async_cluster(stores, get("cluster").nodes[0].port),
    "valkey-py asyncio cluster": lambda get, stores: of_async_cluster(
        stores, get("cluster").nodes[0].port, valkey.asyncio.ValkeyCluster
    ),
}


class TestEveryKind(StoreContract):
    @pytest.fixture(params=[*ENGINES, *KINDS])
    def store(self, request: pytest.FixtureRequest) -> Iterator[Any]:
        stores = Stores(self.runner)
        kind: str = request.param
        if kind in ENGINES:
            port = request.getfixturevalue("engines")(kind).port
            yield RedisStore(f"{kind}://127.0.0.1:{port}")
        else:
            yield KINDS[kind](request.getfixturevalue, stores)
        stores.close()

    @pytest.fixture(autouse=True)
    def _patient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A machine that is busy with other tests must not look like a silent server."""
        monkeypatch.setattr(_redis_calls, "_LIMIT", 20.0)

    @pytest.fixture(autouse=True)
    def _servers(self, request: pytest.FixtureRequest) -> None:
        """Find the servers with the clocks that `pass_time` moves forward."""
        kind = request.node.callspec.params["store"]
        get = request.getfixturevalue
        if "cluster" in kind:
            self.ports = [node.port for node in get("cluster").nodes[:3]]
        elif "sentinel" in kind:
            self.ports = [get("sentinel").primary.port]
        else:
            self.ports = [(get("engines")(kind) if kind in ENGINES else get("server")).port]

    def pass_time(self, seconds: float) -> None:
        """Let all leases there expire early: with so many kinds, waiting would take too long."""
        for port in self.ports:
            client: Any = redis.Redis(port=port, **LIMITS)
            with client:
                keys: Any = client.scan_iter("*:lease")
                for key in keys:
                    client.hincrby(key, "until", -int(seconds * 1000))


@pytest.mark.parametrize("engine", ["redis", "valkey"])
def test_this_engine_is_tested(engine: str) -> None:
    if engine not in ENGINES:
        pytest.skip(f"no {engine}-server here, and no wheel that has one")


def test_type_checkers_accept_it_as_a_store(server: RedisServer) -> None:
    store: Store = RedisStore(server.url)
    lease: Any = store.try_lock(NAME, 6.0)
    typed: Lease = lease
    assert typed.doubt is False


# --- what is written there


def test_a_record_is_a_plain_string_and_a_lease_a_hash(store: Any, client: redis.Redis) -> None:
    lease = store.try_lock(NAME, 6.0)
    store.save(NAME, b"record-1", lease)
    assert sorted(client.keys()) == [RECORD, LEASE]
    assert client.get(RECORD) == "record-1"
    fields: Any = client.hgetall(LEASE)
    assert set(fields) == {"token", "until", "turn", "open", "doubt"}
    now: Any = client.time()
    assert int(fields["until"]) / 1000 - now[0] == pytest.approx(6.0, abs=1.5)


def test_every_key_expires_after_a_month(store: Any, client: redis.Redis) -> None:
    month = 30 * 86400
    lease = store.try_lock(NAME, 6.0)
    assert client.ttl(LEASE) == pytest.approx(month, abs=5)
    store.save(NAME, b"record-1", lease)
    client.expire(LEASE, 60)
    assert lease.extend(6.0)
    assert client.ttl(RECORD) == pytest.approx(month, abs=5)
    assert client.ttl(LEASE) == pytest.approx(month, abs=5)


def test_a_released_lease_leaves_no_key(store: Any, client: redis.Redis) -> None:
    store.try_lock(NAME, 6.0).release()
    assert client.keys() == []


def test_the_prefix_can_be_chosen(server: RedisServer, client: redis.Redis) -> None:
    store: Any = RedisStore(server.url, prefix="staging")
    store.try_lock(NAME, 6.0)
    assert client.keys() == [LEASE.replace("monta-auth", "staging")]


def test_a_record_may_contain_any_bytes(server: RedisServer, stores: Stores) -> None:
    """Also with a client that decodes responses."""
    record = bytes(range(256))
    for store in (
        RedisStore(server.client(decode_responses=True)),
        of_async_client(stores, server.port, decode_responses=True),
    ):
        lease = stores.do(store.try_lock, NAME, 6.0)
        stores.do(store.save, NAME, record, lease)
        assert stores.do(store.load, NAME) == record
        stores.do(lease.release)


def test_nothing_is_saved_without_a_lease_of_that_name(server: RedisServer, stores: Stores) -> None:
    for store in (RedisStore(server.url), of_async_client(stores, server.port)):
        lease = stores.do(store.try_lock, "another name", 6.0)
        for wrong in (None, lease):
            stores.do(store.save, NAME, b"record-1", wrong)
        assert stores.do(store.load, NAME) is None
        stores.do(lease.release)


# --- leases


def test_a_lease_expires_by_the_clock_of_the_server(store: Any) -> None:
    """In the suite, the server is only made to believe that time has passed."""
    lease = store.try_lock(NAME, 0.05)
    until(lambda: store.try_lock(NAME, 6.0))
    assert not lease.extend(6.0)


def test_a_doubt_is_settled_by_a_save_and_not_by_a_release(store: Any, client: redis.Redis) -> None:
    store.try_lock(NAME, 6.0)
    client.hset(LEASE, "until", 0)
    for _ in range(2):
        lease = store.try_lock(NAME, 6.0)
        assert lease.doubt
        assert lease.extend(6.0)
        lease.release()
        lease.release()
    lease = store.try_lock(NAME, 6.0)
    store.save(NAME, b"record-1", lease)
    lease.extend(6.0)
    lease.release()
    assert not store.try_lock(NAME, 6.0).doubt


def test_a_step_that_arrives_late_changes_nothing(store: Any) -> None:
    """The sender gave up and went on. Then a server that was paused reads both commands."""
    lease = store.try_lock(NAME, 6.0)
    late = lease.turn()
    store.save(NAME, None, lease)
    assert store._run("save", NAME, _redis_scripts.SAVE, *late, b"record-1") == 0
    assert store._run("extend", NAME, _redis_scripts.EXTEND, *late, 6000) == 0
    assert store.load(NAME) is None
    assert lease.extend(6.0)


def test_after_a_restart_without_data_the_lease_is_lost(own_server: RedisServer) -> None:
    store: Any = RedisStore(own_server.url)
    lease = store.try_lock(NAME, 6.0)
    own_server.kill()
    own_server.start()
    # The core repeats this call, since the dead connection to the old server is only noticed now.
    assert until(lambda: store.load(NAME) is None)
    assert lease.extend(6.0) is False
    store.save(NAME, b"record-1", lease)
    assert store.load(NAME) is None
    assert not store.try_lock(NAME, 6.0).doubt


# --- a network that loses answers, and idle connections


@pytest.fixture(params=["url", "asyncio"])
def proxied(request: pytest.FixtureRequest, proxy: Proxy, stores: Stores) -> Any:
    """A store behind the proxy, sync and async."""
    if request.param == "asyncio":
        return of_async_client(stores, proxy.port)
    return RedisStore(f"redis://127.0.0.1:{proxy.port}")


def test_if_the_answer_is_lost_the_lease_is_still_taken(
    proxied: Any, proxy: Proxy, stores: Stores
) -> None:
    proxy.lost = 1
    lease = stores.do(proxied.try_lock, NAME, 6.0)
    assert lease is not None
    assert not lease.doubt
    assert stores.do(lease.extend, 6.0)
    assert stores.do(proxied.try_lock, NAME, 6.0) is None
    proxy.lost = 2
    with pytest.raises(TokenStoreError, match=r"^try_lock failed: ConnectionError"):
        stores.do(proxied.try_lock, NAME, 6.0)


def test_a_step_whose_answer_was_lost_can_be_repeated(
    proxied: Any, proxy: Proxy, stores: Stores
) -> None:
    lease = stores.do(proxied.try_lock, NAME, 6.0)
    for record in (b"record-1", None):
        proxy.lost = 1
        with pytest.raises(TokenStoreError, match=r"^save failed: ConnectionError"):
            stores.do(proxied.save, NAME, record, lease)
        assert stores.do(proxied.load, NAME) == record
    proxy.lost = 1
    with pytest.raises(TokenStoreError, match=r"^extend failed: ConnectionError"):
        stores.do(lease.extend, 6.0)
    assert stores.do(lease.extend, 6.0) is True
    proxy.lost = 1
    with pytest.raises(TokenStoreError, match=r"^release failed: ConnectionError"):
        stores.do(lease.release)
    assert not stores.do(proxied.try_lock, NAME, 6.0).doubt


def test_after_one_broken_connection_the_next_call_gets_a_new_one(
    proxy: Proxy, stores: Stores
) -> None:
    """This holds for any number of broken connections in the pool."""
    for store in (
        RedisStore(f"redis://127.0.0.1:{proxy.port}"),
        RedisStore(redis.Redis(port=proxy.port, **LIMITS)),
        RedisStore(valkey.Valkey(port=proxy.port, **LIMITS)),
        of_async_client(stores, proxy.port),
    ):
        accepted = proxy.accepted
        stores.open(store, 4)
        assert proxy.accepted == accepted + 4
        proxy.cut()
        errors = 0
        for _ in range(3):
            try:
                stores.do(store.load, NAME)
            except TokenStoreError:
                errors += 1
        assert errors <= 1
        proxy.cut()
        assert stores.do(store.try_lock, NAME, 0.001) is not None
        time.sleep(0.002)


def test_a_pool_that_cannot_drop_its_idle_connections_is_not_changed(proxy: Proxy) -> None:
    class Pool(redis.ConnectionPool):
        def disconnect(self) -> None:  # type: ignore[override]
            raise AssertionError("not called")

    pool = Pool(port=proxy.port, **LIMITS)
    store: Any = RedisStore(redis.Redis(connection_pool=pool))
    proxy.lost = 1
    assert store.try_lock(NAME, 6.0) is not None


def test_our_connections_are_replaced_after_a_long_idle_time(
    store: Any, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Firewalls silently forget connections. The first command would get no answer."""

    def ids() -> set[str]:
        connections: Any = client.client_list()
        return {connection["id"] for connection in connections}

    store.load(NAME)
    before = ids()
    store.load(NAME)
    assert ids() == before
    monkeypatch.setattr(_redis_calls, "_LONGEST_IDLE", 0.0)
    store.load(NAME)
    assert len(ids() - before) == 1


# --- time


@contextmanager
def at_most(seconds: float) -> Generator[None, None, None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def test_the_time_limits_are_the_documented_ones() -> None:
    assert (_redis_calls._LIMIT, _redis_servers._TIMEOUT) == (1.0, 0.5)


def test_a_hanging_server_costs_half_a_second_and_answers_are_not_mixed_up(
    own_server: RedisServer, stores: Stores
) -> None:
    sync: Any = RedisStore(own_server.url)
    for store in (sync, of_async_client(stores, own_server.port, socket_timeout=0.2)):
        lease = stores.do(store.try_lock, NAME, 30.0)
        stores.do(store.save, NAME, b"record-1", lease)
        failed = pytest.raises(TokenStoreError, match=r"^extend failed: TimeoutError at ")
        with own_server.paused(), at_most(3.0), failed:
            stores.do(lease.extend, 30.0)
        assert stores.do(store.load, NAME) == b"record-1"
        stores.do(lease.release)


@pytest.fixture
def silent(proxy: Proxy) -> Proxy:
    proxy.silent = True
    return proxy


def test_a_hanging_client_without_limits_is_abandoned(
    silent: Proxy, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_redis_calls, "_LIMIT", 0.05)
    monkeypatch.setattr(_redis_servers, "_check_limits", lambda *_: None)
    limits = {"socket_timeout": None, "retry": None, "socket_connect_timeout": None}
    plain: Any = RedisStore(redis.Redis(port=silent.port, **limits))  # type: ignore[arg-type]
    for store in (plain, of_async_client(stores, silent.port, **limits)):
        with at_most(3.0), pytest.raises(TokenStoreError, match="TimeoutError at ") as caught:
            stores.do(store.load, NAME)
        assert isinstance(caught.value.__cause__, TimeoutError)
    silent.cut()


def test_a_hanging_name_lookup_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_redis_calls, "_LIMIT", 0.05)
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [over.wait(5)][1:])
    store = RedisStore("rediss://redis.example")
    text = r"^load failed: TimeoutError at redis\.example:6379/0$"
    with at_most(3.0), pytest.raises(TokenStoreError, match=text):
        store.load(NAME)
    over.set()


def test_a_time_limit_of_the_caller_reaches_the_caller(silent: Proxy) -> None:
    """Celery and RQ raise such an error in a signal handler."""

    class TimeLimit(Exception):
        pass

    def handler(*_: object) -> None:
        raise TimeLimit

    store = RedisStore(f"redis://127.0.0.1:{silent.port}")
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with at_most(3.0), pytest.raises(TimeLimit):
            store.load(NAME)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_hanging_calls_do_not_pile_up(silent: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_redis_calls, "_LIMIT", 0.001)
    monkeypatch.setattr(_redis_calls, "_LEFT_BEHIND", 3)
    monkeypatch.setattr(_redis_servers, "_TIMEOUT", 20.0)
    monkeypatch.setattr(_redis_servers, "_check_limits", lambda *_: None)
    store: Any = RedisStore(f"redis://127.0.0.1:{silent.port}")
    before = threading.active_count()
    for _ in range(8):
        with pytest.raises(TokenStoreError, match="load failed: TimeoutError at 127"):
            store.load(NAME)
    # The proxy has two threads for each connection.
    until(lambda: silent.accepted == 3)
    hanging = [thread for thread in threading.enumerate() if thread.name == "RedisStore"]
    assert len(hanging) == 3
    assert threading.active_count() <= before + 3 + 6
    monkeypatch.setattr(_redis_calls, "_LIMIT", 5.0)
    silent.silent = False
    silent.cut()
    for thread in hanging:
        thread.join(5)
    assert store.load(NAME) is None


def test_a_thread_that_cannot_start_is_a_store_error(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(TokenStoreError, match=r"^load failed: RuntimeError at 127"):
        store.load(NAME)


def test_a_try_lock_that_hung_is_not_repeated(
    server: RedisServer, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another try only makes sense if the answer was lost early."""
    monkeypatch.setattr(_redis_calls, "_AGAIN_BEFORE", -1.0)
    with Proxy(server.port) as proxy:
        for store in (
            RedisStore(f"redis://127.0.0.1:{proxy.port}"),
            of_async_client(stores, proxy.port),
        ):
            proxy.lost = 1
            with pytest.raises(TokenStoreError, match=r"^try_lock failed: ConnectionError"):
                stores.do(store.try_lock, NAME, 6.0)


def test_a_store_works_in_a_forked_child(store: Any) -> None:
    lease = store.try_lock(NAME, 6.0)
    store.save(NAME, b"record-1", lease)
    if (child := os.fork()) == 0:
        is_right = store.load(NAME) == b"record-1" and store.try_lock(NAME, 6.0) is None
        store.check()
        os._exit(0 if is_right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert lease.extend(6.0)


# --- a Sentinel and a cluster


@pytest.fixture
def failing_over() -> Iterator[Sentinel]:
    """A Sentinel with servers that the test may kill."""
    with Sentinel() as servers:
        yield servers


def test_stores_work_again_after_a_sentinel_failed_over(
    failing_over: Sentinel, stores: Stores
) -> None:
    """The new primary has the records and leases that the old one had replicated."""
    each = [
        of_sentinel(failing_over.port),
        of_sentinel(failing_over.port, valkey.sentinel.Sentinel),
        of_async_sentinel(stores, failing_over.port),
    ]
    leases = [stores.do(store.try_lock, f"{n}", 30.0) for n, store in enumerate(each)]
    for n, store in enumerate(each):
        stores.do(store.save, f"{n}", b"record-1", leases[n])
    failing_over.kill()
    for store in each:
        with pytest.raises(TokenStoreError, match=r" at the Sentinel service tokens$"):
            stores.do(store.load, "0")
    for n, store in enumerate(each):
        assert until(partial(stores.do, store.load, f"{n}")) == b"record-1"
        assert stores.do(leases[n].extend, 30.0) is True
        stores.do(leases[n].release)
        stores.do(store.check)


def test_a_hanging_or_killed_cluster_node_only_affects_its_own_records(
    cluster: Cluster, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With clients without time limits. Records on other nodes are not affected."""

    def answers(store: Any, name: str) -> bool:
        stores.do(store.load, name)
        return True

    @contextmanager
    def short() -> Generator[None, None, None]:
        """A short limit, but only for calls that must fail: a busy machine may be slow."""
        with monkeypatch.context() as patch, at_most(3.0):
            patch.setattr(_redis_calls, "_LIMIT", 0.3)
            yield

    monkeypatch.setattr(_redis_calls, "_LIMIT", 10.0)
    ports = [node.port for node in cluster.nodes]
    here, there, lonely = (next(names_of_node(cluster, number)) for number in (0, 1, 3))
    for store in (of_cluster(ports[0]), of_async_cluster(stores, ports[0])):
        lease = stores.do(store.try_lock, there, 30.0)
        stores.do(store.save, there, b"record-1", lease)
        stores.do(store.load, here)
        with cluster.nodes[1].paused():
            failed = pytest.raises(TokenStoreError, match=r"TimeoutError at a cluster$")
            with short(), failed:
                stores.do(store.load, there)
            stores.do(store.load, here)
        until(partial(answers, store, there))
        # No answer is mistaken for that of another call.
        assert stores.do(lease.extend, 30.0) is True
        assert stores.do(store.load, there) == b"record-1"
        stores.do(lease.release)
    cluster.nodes[3].kill()
    for store in (of_cluster(ports[0]), of_async_cluster(stores, ports[0])):
        with short(), pytest.raises(TokenStoreError, match=r"at a cluster$"):
            stores.do(store.load, lonely)
        until(partial(answers, store, here))
    cluster.nodes[3].start()


def test_a_cluster_slot_may_move_while_it_is_used(cluster: Cluster, stores: Stores) -> None:
    ports = [node.port for node in cluster.nodes]
    each = [of_cluster(ports[0]), of_async_cluster(stores, ports[1])]
    names = names_of_node(cluster, 0)
    for store in each:
        name = next(names)
        lease = stores.do(store.try_lock, name, 30.0)
        stores.do(store.save, name, b"record-1", lease)
        for source, target in ((0, 1), (1, 0)):
            with cluster.moving(name, source, target):
                assert stores.do(store.load, name) == b"record-1"
                assert stores.do(lease.extend, 30.0) is True
            assert stores.do(store.load, name) == b"record-1"
            assert stores.do(lease.extend, 30.0) is True
        stores.do(lease.release)


def test_a_cluster_is_named_even_before_the_first_connection() -> None:
    client: Any = redis.asyncio.cluster.RedisCluster("redis.example", 7000, ssl=True)
    assert repr(RedisStore(client, allow_plaintext=True)) == "RedisStore(a cluster)"


# --- TLS


@pytest.fixture(scope="session")
def tls_ports(certificates: Certificates) -> Iterator[dict[str, int]]:
    """Return the ports of proxies with each certificate in front of a server."""
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer())
        yield {
            kind: stack.enter_context(Proxy(server.port, getattr(certificates, kind))).port
            for kind in ("right", "other_host", "unknown_ca")
        }


def tls_stores(stores: Stores, port: int, ca: str) -> list[Any]:
    settings: dict[str, Any] = {
        "host": "localhost",
        "port": port,
        "ssl": True,
        "ssl_ca_certs": ca,
        "ssl_check_hostname": True,
    }
    return [
        RedisStore(f"rediss://localhost:{port}/0?ssl_ca_certs={ca}"),
        RedisStore(f"valkeys://localhost:{port}/0?ssl_ca_certs={ca}"),
        RedisStore(redis.Redis(**settings, **LIMITS)),
        RedisStore(valkey.Valkey(**settings, **LIMITS)),
        stores.asynchronous(redis.asyncio.Redis(**settings, **ASYNC_LIMITS)),
        stores.asynchronous(valkey.asyncio.Valkey(**settings, **ASYNC_LIMITS)),
    ]


def test_tls_with_a_trusted_certificate_works(
    tls_ports: dict[str, int], certificates: Certificates, stores: Stores
) -> None:
    for store in tls_stores(stores, tls_ports["right"], certificates.ca):
        stores.do(store.check)


@pytest.mark.parametrize("kind", ["other_host", "unknown_ca"])
def test_a_server_with_another_certificate_is_refused(
    kind: str, tls_ports: dict[str, int], certificates: Certificates, stores: Stores
) -> None:
    for store in tls_stores(stores, tls_ports[kind], certificates.ca):
        with pytest.raises(TokenStoreError, match=r"\(CERTIFICATE_VERIFY_FAILED\) at localhost:"):
            stores.do(store.load, NAME)
        with pytest.raises(TokenStoreError, match="Check the host name, and the CA"):
            stores.do(store.check)


UNVERIFIED = ["ssl_cert_reqs=none", "ssl_cert_reqs=optional", "ssl_check_hostname=false"]


@pytest.mark.parametrize("option", UNVERIFIED)
@pytest.mark.parametrize("host", ["redis.example", "localhost"])
def test_tls_without_verification_counts_as_plaintext(option: str, host: str) -> None:
    """Even on loopback, since a tunnel may lead elsewhere."""
    url = f"rediss://:password-1@{host}/0?{option}"
    with pytest.raises(ConfigurationError, match="ssl_check_hostname=True") as caught:
        RedisStore(url)
    assert f"to {host}:6379/0 does not verify" in str(caught.value)
    assert "password-1" not in str(caught.value)
    RedisStore(url, allow_plaintext=True)


@pytest.mark.parametrize("option", UNVERIFIED)
def test_a_client_without_verification_is_refused(option: str) -> None:
    name, _, value = option.partition("=")
    settings: Any = {"ssl_check_hostname": True, name: False if value == "false" else value}
    clients: list[Any] = [
        redis.Redis("redis.example", ssl=True, **settings, **LIMITS),
        redis.asyncio.Redis(host="redis.example", ssl=True, **settings, **ASYNC_LIMITS),
        redis.asyncio.cluster.RedisCluster("redis.example", 7000, ssl=True, **settings),
        valkey.Valkey("redis.example", ssl=True, **settings, **LIMITS),
    ]
    for client in clients:
        with pytest.raises(ConfigurationError, match="does not verify"):
            RedisStore(client)
        RedisStore(client, allow_plaintext=True)


def test_a_cluster_and_a_sentinel_are_accepted_with_tls() -> None:
    tls: Any = {"ssl": True, "ssl_check_hostname": True}
    client: Any = redis.asyncio.cluster.RedisCluster("redis.example", 7000, **tls)
    assert repr(RedisStore(client)) == "RedisStore(a cluster)"
    for kind in (redis.sentinel.Sentinel, redis.asyncio.sentinel.Sentinel):
        manager = sentinel_of(kind, 26379, "sentinel.example", sentinel_kwargs=tls)
        primary = manager.master_for("tokens", **tls)
        assert repr(RedisStore(primary)) == "RedisStore(the Sentinel service tokens)"


def test_a_sentinel_without_tls_is_refused() -> None:
    """An attacker in its place could lead us to a server with a good certificate of its own."""
    tls: Any = {"ssl": True, "ssl_check_hostname": True}
    for host, is_accepted in (("sentinel.example", False), ("localhost", True)):
        primary = sentinel_of(redis.sentinel.Sentinel, 26379, host).master_for("tokens", **tls)
        if is_accepted:
            RedisStore(primary)
        else:
            with pytest.raises(ConfigurationError, match=r"to the Sentinel sentinel.example:26379"):
                RedisStore(primary)


# --- what is accepted


@pytest.mark.parametrize(
    "url",
    [
        "redis://10.1.2.3:6379/0",
        "redis://:password-1@redis.example/0",
        "valkey://:password-1@redis.example/0",
        "redis:///0?host=redis.example",
        "redis://127.0.0.1.example/0",
    ],
)
def test_plain_redis_to_another_machine_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="rediss://") as caught:
        RedisStore(url)
    assert "password-1" not in "".join(traceback.format_exception(caught.value))
    assert "password-1" not in repr(RedisStore(url, allow_plaintext=True))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis://localhost", "localhost:6379/0"),
        ("redis://user:password-1@127.0.0.1:7000/3", "127.0.0.1:7000/3"),
        ("redis://[::1]:7000", "[::1]:7000/0"),
        ("redis://", "localhost:6379/0"),
        ("rediss://:password-1@redis.example:6380/0", "redis.example:6380/0"),
        ("valkeys://redis.example", "redis.example:6379/0"),
        ("unix:///run/redis.sock", "a Unix socket"),
    ],
)
def test_loopback_tls_and_sockets_are_accepted(url: str, name: str) -> None:
    assert repr(RedisStore(url)) == f"RedisStore({name})"


def test_a_unix_socket_works(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "s"
    with RedisServer("--unixsocket", str(path)):
        RedisStore(f"unix://{path}").check()
        client: Any = redis.asyncio.Redis(unix_socket_path=str(path), **ASYNC_LIMITS)
        stores.do(stores.asynchronous(client).check)


def test_the_users_own_client_must_also_use_tls_or_loopback() -> None:
    for client in (
        redis.Redis("redis.example", **LIMITS),
        redis.asyncio.Redis(host="redis.example", **ASYNC_LIMITS),
        redis.asyncio.cluster.RedisCluster("localhost", 7000),  # its nodes may be on other machines
        sentinel_of(redis.sentinel.Sentinel, 26379, "localhost").master_for("tokens"),
    ):
        with pytest.raises(ConfigurationError, match="rediss://"):
            RedisStore(client)
        RedisStore(client, allow_plaintext=True)


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param({}, id="redis-py's own"),
        pytest.param({"socket_timeout": None, "retry": None}, id="none"),
        pytest.param({"socket_timeout": 5, "retry": None}, id="five seconds"),
        pytest.param({"socket_timeout": 0.5, "retry": Retry(NoBackoff(), 3)}, id="retries"),
    ],
)
def test_a_client_with_long_time_limits_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"socket_timeout=0\.5"):
        RedisStore(redis.Redis(**limits))
    with pytest.raises(ConfigurationError, match=r"socket_timeout=0\.5"):
        RedisStore("redis://localhost?socket_timeout=60")


@pytest.mark.parametrize(
    "url",
    [
        "http://:password-1@localhost",
        "redis://localhost:password-1",
        "redis://localhost/?db=password-1",
        "redis://localhost/?unknown=password-1",
        "rediss://localhost/?ssl_cert_reqs=password-1",
        "password-1",
        "",
    ],
)
def test_an_unreadable_url_is_not_quoted(url: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot read its URL") as caught:
        RedisStore(url)
    error: BaseException = caught.value
    assert "password-1" not in "".join(traceback.format_exception(error)[1:])
    assert error.__context__ is None
    ours = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][1:]
    assert "password-1" not in repr([frame.f_locals for frame in ours])


def test_a_client_with_invalid_settings_is_refused() -> None:
    client = redis.Redis(ssl=True, ssl_cert_reqs="always", **LIMITS)
    with pytest.raises(ConfigurationError, match="cannot use this client"):
        RedisStore(client)


@pytest.mark.parametrize(
    "what", [None, 5, object(), sentinel_of(redis.sentinel.Sentinel, 26379), redis.Redis]
)
def test_an_argument_that_is_neither_a_url_nor_a_client_is_refused(what: Any) -> None:
    with pytest.raises(ConfigurationError, match="URL, or a client"):
        RedisStore(what)


def test_a_store_made_from_a_url_can_be_pickled() -> None:
    """The pickle has its password, since the copy could not connect without it."""
    url = "redis://:the-password@redis.example"
    store = RedisStore(url, allow_plaintext=True, prefix="staging")
    assert "the-password" not in repr(vars(store))
    twin = pickle.loads(pickle.dumps(store))
    assert twin._calls._client.connection_pool.connection_kwargs["password"] == "the-password"
    assert repr(twin) == repr(store)
    assert twin._settings == store._settings


@pytest.mark.parametrize("missing", ["redis", "redis.retry"])
def test_the_error_for_a_missing_package_shows_the_install_command(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r"pip install 'monta-auth\[redis\]'"):
        RedisStore("redis://localhost")


def test_the_error_for_an_asyncio_client_under_trio_says_what_to_do(stores: Stores) -> None:
    import trio

    store = of_async_client(stores, 6379)
    with pytest.raises(TokenStoreError, match=r"does not work under trio. Give RedisStore a URL"):
        trio.run(store.load, NAME)


# --- errors


def test_the_error_for_a_server_that_is_down_names_it(server: RedisServer, stores: Stores) -> None:
    with Proxy(server.port) as proxy:
        port = proxy.port
    for store in (RedisStore(f"redis://localhost:{port}/2"), of_async_client(stores, port, db=2)):
        with pytest.raises(TokenStoreError) as caught:
            stores.do(store.load, NAME)
        text = f"load failed: ConnectionError (ECONNREFUSED) at localhost:{port}/2"
        assert str(caught.value) == text
        assert isinstance(caught.value.__cause__, redis.ConnectionError)
        with pytest.raises(TokenStoreError, match=r"Check the address, and that the server runs$"):
            stores.do(store.check)


@contextmanager
def user(server: RedisServer, rules: str, keys: str = "monta-auth*") -> Generator[str, None, None]:
    """Make a user with these rights. Yield the URL with its name."""
    with server.client() as client:
        client.acl_setuser(
            "monta",
            enabled=True,
            passwords=["+password-1"],
            reset=True,
            keys=[keys],
            commands=rules.split(),
        )
        yield server.url.replace("://", "://monta:password-1@")
        client.acl_deluser("monta")


def seen(error: BaseException | None) -> str:
    """Return everything that the frames of an error and of its causes show."""
    texts: list[str] = []
    while error is not None:
        texts.append(str(error))
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        # The test's own frame holds the URL.
        texts += [repr(frame.f_locals) for frame in frames if frame.f_code.co_filename != __file__]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


@each_engine
def test_the_error_for_a_wrong_password_does_not_show_it(
    engine: str, engines: Callable[[str], RedisServer], stores: Stores
) -> None:
    with user(engines(engine), ACL) as url:
        url = url.replace("password-1", "password-2")
        client: Any = redis.asyncio.Redis.from_url(url, **ASYNC_LIMITS)
        for store in (RedisStore(url), stores.asynchronous(client)):
            with pytest.raises(TokenStoreError, match="failed: AuthenticationError") as caught:
                stores.do(store.check)
            assert str(caught.value).endswith(". Check user and password")
            assert "password-2" not in seen(caught.value)


@each_engine
def test_the_error_for_missing_permissions_says_so(
    engine: str, engines: Callable[[str], RedisServer]
) -> None:
    refused = pytest.raises(TokenStoreError, match=r"NoPermissionError.* SECURITY\.md lists")
    with user(engines(engine), ACL, keys="other*") as url, refused:
        RedisStore(url).check()


@each_engine
def test_the_error_for_a_full_server_says_so(
    engine: str, engines: Callable[[str], RedisServer]
) -> None:
    server = engines(engine)
    store: Any = RedisStore(server.url)
    with server.client() as client:
        lease = store.try_lock(NAME, 30.0)
        store.save(NAME, b"record-1", lease)
        client.config_set("maxmemory", 1)
        try:
            with pytest.raises(TokenStoreError, match=r"(OutOfMemory|OOM).* The server is full"):
                store.check()
            with pytest.raises(TokenStoreError, match=r"^save failed: "):
                store.save(NAME, b"record-2", lease)
            assert store.load(NAME) == b"record-1"
        finally:
            client.config_set("maxmemory", 0)
        lease.release()


@each_engine
def test_the_error_for_a_replica_says_to_use_the_primary(
    engine: str, engines: Callable[[str], RedisServer]
) -> None:
    engines(engine)
    with RedisServer("--replicaof", "127.0.0.1", "1", program=program_of(engine)) as replica:
        store: Any = RedisStore(replica.url)
        assert store.load(NAME) is None
        with pytest.raises(TokenStoreError, match=r"(?i)read_?only.* Connect to the primary"):
            store.check()


@pytest.mark.parametrize(
    ("answer", "error", "advice"),
    [
        pytest.param(
            b"-LOADING Redis is loading the dataset in memory\r\n",
            "BusyLoadingError",
            "Wait until the server has loaded its data",
            id="loading",
        ),
        pytest.param(
            b"-ERR max number of clients reached\r\n",
            "ConnectionError",
            "All connections are in use: see the server's maxclients",
            id="too many clients",
        ),
        pytest.param(
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "InvalidResponse",
            "Check the port: what answers there does not speak the protocol of Redis",
            id="HTTP",
        ),
        pytest.param(
            b"-DENIED Redis is running in protected mode\r\n",
            "ResponseError (DENIED)",
            "The server is in protected mode: give it a password (requirepass)",
            id="protected mode",
        ),
        pytest.param(
            b"-MISCONF Redis is configured to save RDB snapshots\r\n",
            "ResponseError (MISCONF)",
            "The server cannot save its data to disk: see its log",
            id="disk of the server",
        ),
    ],
)
def test_the_error_for_a_server_that_does_not_serve_gives_advice(
    answer: bytes, error: str, advice: str
) -> None:
    def say(connection: socket.socket) -> None:
        connection.settimeout(1.0)
        while connection.recv(4096):
            connection.sendall(answer)

    with server(say) as port:
        store = RedisStore(f"redis://127.0.0.1:{port}/0")
        with pytest.raises(TokenStoreError) as caught:
            store.check()
    assert str(caught.value) == f"try_lock failed: {error} at 127.0.0.1:{port}/0. {advice}"


def test_the_error_for_a_key_of_another_type_says_so(store: Any, client: redis.Redis) -> None:
    client.hset(RECORD, "a", "b")
    with pytest.raises(TokenStoreError, match=r"^load failed: ResponseError \(WRONGTYPE\) at 127"):
        store.load(NAME)
    # There is no advice for this error.
    client.set(LEASE, "rubbish")
    assert _redis_store._advised(error := TokenStoreError("check failed")) is error


# --- permissions


@each_engine
def test_the_permissions_in_security_md_are_enough(
    engine: str, engines: Callable[[str], RedisServer], stores: Stores
) -> None:
    with user(engines(engine), ACL) as url:
        url = url.replace("/0", "/2")
        RedisStore(url).check()
        stores.do(stores.asynchronous(redis.asyncio.Redis.from_url(url, **ASYNC_LIMITS)).check)
        with pytest.raises(NoPermissionError):
            redis.Redis.from_url(url).get("of-another-program")


def test_the_permissions_in_security_md_are_enough_for_a_cluster(
    cluster: Cluster, stores: Stores
) -> None:
    settings: Any = {"username": "monta", "password": "password-1"}
    port = cluster.nodes[0].port
    with ExitStack() as stack:
        for node in cluster.nodes[:3]:
            stack.enter_context(user(node, CLUSTER_ACL))
        of_cluster(port, **settings).check()
        client: Any = redis.asyncio.cluster.RedisCluster("127.0.0.1", port, **settings)
        stores.do(stores.asynchronous(client, allow_plaintext=True).check)
