"""A process of a fleet: makes requests with some threads when its parent says so.

Its first argument is JSON: ``store`` ("file", "redis" or "none"), ``place`` (a directory or a
URL), ``threads``, ``base_url``. Each line on standard input is a command, each answer a line of
JSON. It runs as a script, so that it imports what is installed.
"""

import json
import logging
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from monta_auth.stores import FileStore, RedisStore
from requests_monta import MontaAuth

STORES: dict[str, Any] = {"file": FileStore, "redis": RedisStore, "none": lambda _: None}


class Records(logging.Handler):
    """Keeps what was warned about."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def main() -> None:
    settings = json.loads(sys.argv[1])
    records = Records()
    logging.getLogger("monta_auth").addHandler(records)
    store = STORES[settings["store"]](settings["place"])
    auth = MontaAuth(base_url=settings["base_url"], store=store)
    threads = settings["threads"]
    barrier = threading.Barrier(threads)
    sessions = [requests.Session() for _ in range(threads)]
    url = settings["base_url"] + "/auth/me"

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

    def lease() -> Any:
        kept.append(auth._source._store.try_lock(1.0))  # type: ignore[union-attr]
        return kept[-1] is not None

    def load() -> Any:
        return auth._source._store.load() is not None  # type: ignore[union-attr]

    kept: list[Any] = []
    commands: dict[str, Callable[[], Any]] = {
        "go": go,
        "lease": lease,
        "load": load,
        "invalidate": auth.invalidate,
        "warnings": lambda: records.texts,
        "mints": lambda: auth.status().mints,
    }
    with ThreadPoolExecutor(threads) as pool:
        say("ready")
        for line in sys.stdin:
            say(commands[line.strip()]())


def say(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
