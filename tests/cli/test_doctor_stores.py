"""doctor and the places of tokens: why a disk or a Redis cannot be used."""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from monta_auth._cli import doctor

from ..stores.fleet import RedisServer
from .harness import Done

pytestmark = pytest.mark.usefixtures("credentials")
Run = Callable[..., Done]
Found = tuple[str, str, str]


@pytest.fixture
def found(run: Run) -> Callable[..., Found]:
    """Run doctor; return state, text and advice of one check."""

    def found(name: str, *arguments: str) -> Found:
        done = run("doctor", "--json", *arguments)
        checks = {each["check"]: each for each in json.loads(done.out)["checks"]}
        assert done.code == (0 if checks[name]["state"] == "ok" else 1)
        assert "redis-password" not in done.out + done.err
        return checks[name]["state"], checks[name]["text"], checks[name]["advice"]

    return found


# --- the disk


def test_a_directory_that_is_missing_can_be_made(
    found: Callable[..., Found], state_home: Path
) -> None:
    assert not state_home.exists()
    assert found("store") == ("ok", f"{state_home / 'monta-auth'} holds no token", "")
    assert list((state_home / "monta-auth").iterdir()) == []


@contextmanager
def _file_size(limit: int) -> Generator[None, None, None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_limit_on_files_is_found(found: Callable[..., Found], state_home: Path) -> None:
    with _file_size(10):
        state, text, _ = found("store")
    assert state == "failed"
    assert text == (
        f"try_lock failed: OSError (EFBIG) in {state_home / 'monta-auth'}: a limit on the size of "
        "files is reached: raise it (ulimit -f)"
    )


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "the disk is full: free some space"),
        (errno.EROFS, "the disk is read-only: name another directory"),
    ],
)
def test_a_disk_that_takes_nothing_is_found(
    found: Callable[..., Found],
    state_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    advice: str,
) -> None:
    """The disk itself is not to be had everywhere; the next test has one where it may."""
    real = os.mkdir

    def refuses(path: Any, *args: Any, **more: Any) -> None:
        if str(path).startswith(str(state_home)):
            raise OSError(number, "what the disk says", str(path))
        real(path, *args, **more)

    monkeypatch.setattr(os, "mkdir", refuses)
    state, text, _ = found("store")
    assert state == "failed"
    assert f"OSError ({errno.errorcode[number]}) in {state_home}" in text
    assert advice in text


def test_a_disk_that_is_really_full_or_read_only_is_found(
    found: Callable[..., Found], state_home: Path
) -> None:
    state_home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k,mode=700", "tmpfs", str(state_home)]
    unmount = ["umount", str(state_home)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        (state_home / "full").write_bytes(b"x" * 4096)
        assert "OSError (ENOSPC)" in found("store")[1]
        subprocess.run([*mount[:1], "-o", "remount,ro", str(state_home)], check=True)
        assert "OSError (EROFS)" in found("store")[1]
    finally:
        subprocess.run(unmount, check=True)


# --- Redis


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis(running: RedisServer) -> Iterator[RedisServer]:
    yield running
    with running.client(password="redis-password") as client:
        reset: Any = client
        reset.execute_command("REPLICAOF", "NO", "ONE")
        reset.config_set("maxmemory", 0)
        reset.config_set("requirepass", "")


def test_a_redis_that_works(found: Callable[..., Found], redis: RedisServer) -> None:
    """It is looked at beside the store, and nothing is left in it."""
    place = f"127.0.0.1:{redis.port}/0"
    expected = ("ok", f"{place} keeps records and grants leases", "")
    assert found("Redis", "--redis", redis.url) == expected
    with redis.client() as client:
        assert client.dbsize() == 0


def test_a_redis_is_a_line_after_the_store(run: Run, redis: RedisServer) -> None:
    lines = run("doctor", "--redis", redis.url).out.splitlines()
    assert [line[3:15].strip() for line in lines[3:6]] == ["store", "Redis", "proxy"]


def test_its_password_need_not_be_an_argument(
    found: Callable[..., Found], redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis.client() as client:
        client.config_set("requirepass", "redis-password")
    url = f"redis://:redis-password@127.0.0.1:{redis.port}/0\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(url))
    assert found("Redis", "--redis", "-")[0] == "ok"


def test_a_redis_is_looked_at_without_credentials(
    run: Run, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MONTA_CLIENT_ID")
    monkeypatch.delenv("MONTA_CLIENT_SECRET")
    assert "✓  Redis" in run("doctor", "--redis", redis.url).out


def test_a_redis_that_is_down_is_found(found: Callable[..., Found]) -> None:
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{nobody.getsockname()[1]}/0"
        assert found("Redis", "--redis", f"redis://:redis-password@{place}") == (
            "failed",
            f"try_lock failed: ConnectionError (ECONNREFUSED) at {place}",
            "Check the address, and that the server runs",
        )


@pytest.mark.parametrize(
    ("settings", "user", "word", "advice"),
    [
        pytest.param(
            ("CONFIG", "SET", "requirepass", "redis-password"),
            "",
            "AuthenticationError",
            "Check user and password",
            id="password missing",
        ),
        pytest.param(
            ("CONFIG", "SET", "requirepass", "redis-password"),
            "me:not-the-redis-password@",
            "AuthenticationError",
            "Check user and password",
            id="password wrong",
        ),
        pytest.param(
            ("REPLICAOF", "127.0.0.1", "1"),
            "",
            "READONLY|ReadOnlyError",
            "Connect to the primary, not to a replica",
            id="replica",
        ),
        pytest.param(
            ("CONFIG", "SET", "maxmemory", "1"),
            "",
            "OOM|OutOfMemoryError",
            "The server is full: see its maxmemory",
            id="full",
        ),
    ],
)
def test_a_redis_that_refuses_is_found(
    found: Callable[..., Found],
    redis: RedisServer,
    settings: tuple[str, ...],
    user: str,
    word: str,
    advice: str,
) -> None:
    with redis.client() as client:
        anything: Any = client
        anything.execute_command(*settings)
    state, text, advised = found("Redis", "--redis", redis.url.replace("://", f"://{user}"))
    assert (state, advised) == ("failed", advice)
    assert any(each in text for each in word.split("|"))
    assert text.endswith(f" at 127.0.0.1:{redis.port}/0")


def test_a_redis_without_tls_is_found(found: Callable[..., Found], redis: RedisServer) -> None:
    url = f"rediss://:redis-password@127.0.0.1:{redis.port}/0"
    state, text, advice = found("Redis", "--redis", url)
    assert state == "failed"
    assert "the server speak" in advice
    # Some servers hang up, older ones wait for more.
    assert "WRONG_VERSION_NUMBER" in text or "Timeout" in text


def test_plain_text_over_the_network_is_refused_without_a_connection(
    found: Callable[..., Found],
) -> None:
    url = "redis://:redis-password@redis.example:6379/0"
    assert found("Redis", "--redis", url) == (
        "failed",
        "RedisStore: without TLS the tokens could be read on their way to redis.example:6379/0",
        ("Use rediss:// (ssl=True), or allow_plaintext=True if nobody else is on that network"),
    )


def test_what_is_no_url_of_redis_is_not_quoted(found: Callable[..., Found]) -> None:
    state, text, advice = found("Redis", "--redis", "https://:redis-password@example.com")
    assert (state, advice) == ("failed", "")
    assert text.startswith("RedisStore cannot read its URL (ValueError): expected one like rediss:")


def test_a_missing_redis_py_is_named(
    found: Callable[..., Found], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    assert found("Redis", "--redis", "redis://127.0.0.1") == (
        "failed",
        "redis-py is not installed",
        "pip install 'monta-auth[redis]'",
    )


def test_the_url_does_not_show_in_a_report_of_an_error() -> None:
    from monta_auth._core.secret import hidden

    assert "redis-password" not in repr(
        doctor.Case(None, None, hidden("redis://:redis-password@h"))
    )
