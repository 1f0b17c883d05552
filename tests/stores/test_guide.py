"""docs/guides/fleets.rst: its examples run as they stand there, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from monta_auth.emulator import Emulator

from ..docs.pages import DOCS, blocks
from .fleet import RedisServer, token_calls

TEXT = (DOCS / "guides" / "fleets.rst").read_text(encoding="utf-8")
EXAMPLES = {each.name: each.code for each in blocks("guides/fleets.rst")}

#: In front of an example: it talks to the emulator in place of Monta.
HERE = """
import os, httpx_monta, requests_monta
httpx_monta.PUBLIC_API = requests_monta.PUBLIC_API = os.environ["MONTA_BASE_URL"]
"""

#: Celery's names, for a pool that is not Celery's: tasks are called as functions.
CELERY = """
import sys, types
class Celery:
    def __init__(self, name, broker): pass
    def task(self, **options):
        assert options == {"autoretry_for": (requests_monta.RateLimitError,), "retry_backoff": 30}
        return lambda function: function
sys.modules["celery"] = types.ModuleType("celery")
sys.modules["celery"].Celery = Celery
"""


@pytest.fixture
def environment(monta: Emulator, server: RedisServer, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "MONTA_BASE_URL": monta.base_url,
        "MONTA_CLIENT_ID": monta.client_id,
        "MONTA_CLIENT_SECRET": monta.client_secret,
        "XDG_STATE_HOME": str(tmp_path),
        "REDIS_URL": server.url,
        "BROKER_URL": server.url,
    }


def run(environment: dict[str, str], *parts: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", HERE + "\n".join(parts)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def names_of(example: str) -> dict[str, Any]:
    """What an example defines that is no program of its own."""
    names: dict[str, Any] = {}
    exec(EXAMPLES[example], names)  # noqa: S102 - our own guide
    return names


def test_every_example_is_tested_here() -> None:
    assert TEXT.count("code-block:: python") == len(EXAMPLES)
    assert set(EXAMPLES) == {
        "prefork",
        "celery",
        "cron",
        "containers",
        "redis-client",
        "django",
        "home-assistant",
    }


SERVE = """
def worker():
    states = []
    body = app({}, lambda status, headers: states.append(status))
    os._exit(0 if states == ["200 OK"] and body[0] else 1)

children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        worker()
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
"""


@pytest.mark.parametrize(
    "warm", ["", "app({}, lambda status, headers: None)"], ids=["cold", "warm"]
)
def test_prefork(environment: dict[str, str], monta: Emulator, warm: str) -> None:
    """Four workers forked from a process that has, or has not, served a request."""
    run(environment, EXAMPLES["prefork"], warm, SERVE)
    assert token_calls(monta) == [("token", 200)]


def test_celery(environment: dict[str, str], monta: Emulator) -> None:
    """Two pools of two forked workers, as on two machines."""
    pool = """
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as workers:
    print(workers.map(state_of, [5001, 5002, 5003]))
"""
    for _ in range(2):
        assert run(environment, CELERY, EXAMPLES["celery"], pool) == f"{['completed'] * 3}\n"
    assert token_calls(monta) == [("token", 200)]


def test_cron(environment: dict[str, str], monta: Emulator) -> None:
    del environment["HOME"]
    for _ in range(2):
        assert run(environment, EXAMPLES["cron"]) == "60\n"
    assert token_calls(monta) == [("token", 200)]


def test_containers(environment: dict[str, str], monta: Emulator) -> None:
    for _ in range(2):
        assert run(environment, EXAMPLES["containers"]) == "24\n"
    assert token_calls(monta) == [("token", 200)]


def test_a_client_of_your_own() -> None:
    names = names_of("redis-client")
    assert repr(names["store"]) == "RedisStore(localhost:6379/0)"
