"""A process of a fleet, which makes requests with some threads when its parent says so.

Its first argument is JSON: ``store`` ("file", "redis", "sentinel" or "none"), ``place`` (a
directory or a URL), ``threads``, ``base_url``. Each line on standard input is a command, perhaps
with an argument. Each answer is a line of JSON. It runs as a script, so that it imports the
installed package.
"""

import json
import logging
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from redis.sentinel import Sentinel

from monta_auth import Clock, TokenSource
from monta_auth._core.sealing import Seal
from monta_auth.stores import FileStore, RedisStore
from requests_monta import MontaAuth


def sentinel(port: str) -> RedisStore:
    kind: Any = Sentinel
    manager = kind([("127.0.0.1", int(port))], socket_timeout=0.5)
    master = manager.master_for("tokens", socket_timeout=0.5)
    return RedisStore(master, allow_plaintext=True)


STORES: dict[str, Any] = {
    "file": FileStore,
    "redis": RedisStore,
    "sentinel": sentinel,
    "none": lambda _: None,
}


class Records(logging.Handler):
    """Keeps the warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


class Mortal:
    """A store that kills its process at a certain step of a renewal."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.last_step = ""
        self.extends = 0

    def step(self, name: str) -> None:
        if name == self.last_step:
            os.kill(os.getpid(), signal.SIGKILL)

    def load(self, name: str) -> bytes | None:
        found: bytes | None = self.inner.load(name)
        return found

    def try_lock(self, name: str, seconds: float) -> Any:
        lease = self.inner.try_lock(name, seconds)
        self.extends = 0
        self.step("leased")
        return None if lease is None else MortalLease(self, lease)

    def save(self, name: str, record: bytes | None, lease: Any) -> None:
        self.inner.save(name, record, lease.inner)
        self.step("saved")


class MortalLease:
    def __init__(self, store: Mortal, inner: Any) -> None:
        self.store = store
        self.inner = inner
        self.doubt = inner.doubt

    def extend(self, seconds: float) -> bool:
        self.store.extends += 1
        if self.store.extends == 2:
            self.store.step("refreshed")  # here the pair has arrived but is not saved yet
        is_ours = bool(self.inner.extend(seconds))
        self.store.step("extended")
        return is_ours

    def release(self) -> None:
        self.inner.release()


def main() -> None:
    settings = json.loads(sys.argv[1])
    records = Records()
    logging.getLogger("monta_auth").addHandler(records)
    inner = STORES[settings["store"]](settings["place"])
    store = None if settings["store"] == "none" else Mortal(inner)
    shift = [0.0]
    plain = Clock()
    clock = Clock(lambda: plain.monotonic() + shift[0], lambda: plain.wall() + shift[0])
    source = TokenSource(base_url=settings["base_url"], store=store, clock=clock)
    auth = MontaAuth(source=source)
    threads = settings["threads"]
    barrier = threading.Barrier(threads)
    sessions = [requests.Session() for _ in range(threads)]
    url = settings["base_url"] + "/auth/me"
    seal = Seal(
        settings["base_url"], os.environ["MONTA_CLIENT_ID"], os.environ["MONTA_CLIENT_SECRET"]
    )

    def request(session: requests.Session) -> str:
        session.auth = auth
        barrier.wait()
        try:
            reply = session.get(url, timeout=20)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return str(reply.status_code)

    def go() -> Any:
        return list(pool.map(request, sessions))

    def timed() -> Any:
        began = time.monotonic()
        return [go(), time.monotonic() - began]

    def lease() -> Any:
        kept.append(inner.try_lock(seal.name, 1.0))
        return kept[-1] is not None

    def load() -> Any:
        return seal.open(inner.load(seal.name)) is not None

    def advance(seconds: str) -> None:
        """Move the clock of the source forward. Tokens and leases of other processes do not age."""
        shift[0] += float(seconds)

    def die(step: str) -> None:
        assert store is not None
        store.last_step = step

    def fill_disk(limit: str) -> None:
        """Let no file grow beyond this many bytes; -1 for no limit."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))

    kept: list[Any] = []
    commands: dict[str, Callable[..., Any]] = {
        "go": go,
        "timed": timed,
        "lease": lease,
        "load": load,
        "advance": advance,
        "die": die,
        "fill": fill_disk,
        "invalidate": auth.invalidate,
        "warnings": lambda: records.texts,
        "mints": lambda: auth.status().fetches,
    }
    with ThreadPoolExecutor(threads) as pool:
        say("ready")
        for line in sys.stdin:
            name, *argument = line.split()
            say(commands[name](*argument))


def say(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
