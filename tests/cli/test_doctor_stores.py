"""doctor and the places where tokens are stored: why a disk or a Redis cannot be used."""

from __future__ import annotations

import errno
import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from monta_auth._cli import doctor
from monta_auth.stores import _redis_servers

from ..faults import file_size
from ..stores.fleet import RedisServer
from .harness import Done

pytestmark = pytest.mark.usefixtures("credentials")
Run = Callable[..., Done]
Found = tuple[str, str, str]


@pytest.fixture
def found(run: Run) -> Callable[..., Found]:
    """Run doctor. Return state, text and advice of one check."""

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
    assert found("store") == (
        "ok",
        f"{state_home / 'monta-auth'} has no token for these credentials",
        "",
    )
    assert list((state_home / "monta-auth").iterdir()) == []


def test_a_limit_on_files_is_found(found: Callable[..., Found], state_home: Path) -> None:
    with file_size(10):
        assert found("store") == (
            "failed",
            (
                f"try_lock failed: OSError (EFBIG) in {state_home / 'monta-auth'}: a limit on the "
                "size of files is reached"
            ),
            "raise it (ulimit -f)",
        )


@pytest.mark.parametrize(
    ("number", "reason", "advice"),
    [
        (errno.ENOSPC, ": the disk is full", "free some space"),
        (errno.EROFS, ": the disk is read-only", "name another directory with XDG_STATE_HOME"),
        (errno.ENXIO, "", ""),
    ],
)
def test_a_disk_that_cannot_be_written_is_found(
    found: Callable[..., Found],
    state_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    reason: str,
    advice: str,
) -> None:
    """The full disk is simulated. The next test uses a real one, where that is possible."""
    real = os.mkdir

    def refuses(path: Any, *args: Any, **more: Any) -> None:
        if str(path).startswith(str(state_home)):
            raise OSError(number, "what the disk says", str(path))
        real(path, *args, **more)

    monkeypatch.setattr(os, "mkdir", refuses)
    place = state_home / "monta-auth"
    text = f"try_lock failed: OSError ({errno.errorcode[number]}) in {place}"
    assert found("store") == ("failed", f"{text}{reason}", advice)


def test_a_really_full_or_read_only_disk_is_found(
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


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container has such users, whom the system does not know."""

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)


@pytest.mark.usefixtures("no_home")
def test_without_a_home_directory_the_variables_are_named(
    found: Callable[..., Found], run: Run
) -> None:
    text = "FileStore finds no home directory"
    assert found("store") == ("failed", text, "set HOME or XDG_STATE_HOME")
    for command in ("me", "token", "status"):
        assert run(command) == (1, "", f"monta-auth: {text}: set HOME or XDG_STATE_HOME\n")


@pytest.mark.usefixtures("no_home")
def test_without_a_home_directory_the_keyring_is_not_called_locked(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When keyring is first used, it looks there for its settings."""
    monkeypatch.setattr("keyring.core._keyring_backend", None)
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND")
    for command in ("login", "logout"):
        assert run(command) == (
            3,
            "",
            (
                "monta-auth: there is no home directory, where the keyring has its settings: set "
                "HOME\n"
            ),
        )


def test_the_advice_in_a_warning_of_the_library_is_for_a_shell(run: Run, state_home: Path) -> None:
    (state_home / "monta-auth").mkdir(parents=True)
    (state_home / "monta-auth").chmod(0o777)
    done = run("token", shows_token=True)
    assert "name another directory with XDG_STATE_HOME. Until" in done.err
    assert "FileStore(" not in done.err


# --- Redis


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis(running: RedisServer) -> Iterator[RedisServer]:
    with running.client() as client:
        # This connection stays open when a test sets a password. A new one would need to know
        # whether the test did that: an older redis-py cannot send a password to a server that has
        # none.
        client.ping()
        yield running
        reset: Any = client
        reset.execute_command("REPLICAOF", "NO", "ONE")
        reset.config_set("maxmemory", 0)
        reset.config_set("requirepass", "")


def test_a_working_redis_is_ok(found: Callable[..., Found], redis: RedisServer) -> None:
    """It is checked in addition to the store, and nothing is left in it."""
    place = f"127.0.0.1:{redis.port}/0"
    expected = ("ok", f"{place} keeps records and grants leases", "")
    assert found("Redis", "--redis", redis.url) == expected
    with redis.client() as client:
        assert client.dbsize() == 0


def test_a_redis_is_reported_after_the_store(run: Run, redis: RedisServer) -> None:
    lines = run("doctor", "--redis", redis.url).out.splitlines()
    assert [line[3:15].strip() for line in lines[3:6]] == ["store", "Redis", "proxy"]


def test_the_url_of_a_redis_may_come_from_standard_input(
    found: Callable[..., Found], redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis.client() as client:
        client.config_set("requirepass", "redis-password")
    url = f"redis://:redis-password@127.0.0.1:{redis.port}/0\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(url))
    assert found("Redis", "--redis", "-")[0] == "ok"


def test_an_empty_standard_input_is_reported(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable in a pipe may not be set."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    done = run("doctor", "--redis", "-")
    assert (done.code, done.out) == (2, "")
    assert done.err == "monta-auth: --redis has no URL: is the variable with the URL set?\n"


def test_a_redis_is_checked_even_without_credentials(
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
    # Some servers hang up, and older ones wait for more data.
    assert "WRONG_VERSION_NUMBER" in text or "Timeout" in text


def test_plaintext_over_the_network_is_refused_before_connecting(
    found: Callable[..., Found],
) -> None:
    url = "redis://:redis-password@redis.example:6379/0"
    assert found("Redis", "--redis", url) == (
        "failed",
        "RedisStore: without TLS the tokens could be read on their way to redis.example:6379/0",
        "Use rediss://, or --allow-plaintext if nobody else is on that network",
    )


@pytest.mark.parametrize(
    ("url", "text", "advice"),
    [
        pytest.param(
            "rediss://:redis-password@redis.example/0?ssl_cert_reqs=none",
            (
                "RedisStore: TLS to redis.example:6379/0 does not verify the certificate and its "
                "host name, so another server could take its place"
            ),
            (
                "Leave ssl_cert_reqs and ssl_check_hostname out of the URL, or use "
                "--allow-plaintext if nobody else is on that network"
            ),
            id="TLS without verification",
        ),
        pytest.param(
            "redis://:redis-password@127.0.0.1/0?socket_timeout=60",
            "RedisStore: a request would wait too long",
            "Leave limits out of a URL",
            id="time limit",
        ),
    ],
)
def test_the_advice_on_a_url_is_for_a_shell(
    found: Callable[..., Found], url: str, text: str, advice: str
) -> None:
    assert found("Redis", "--redis", url) == ("failed", text, advice)


def test_a_redis_is_checked_if_plaintext_is_allowed(
    found: Callable[..., Found], redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example for a Redis in a container network."""
    monkeypatch.setattr(_redis_servers, "_is_loopback", lambda host: False)
    assert found("Redis", "--redis", redis.url)[2].startswith("Use rediss://, or --allow-plaintext")
    assert found("Redis", "--allow-plaintext", "--redis", redis.url)[0] == "ok"


def test_plaintext_is_only_allowed_for_a_redis(run: Run) -> None:
    done = run("doctor", "--allow-plaintext")
    assert done.code == 2
    assert "--allow-plaintext needs --redis" in done.err


def test_an_invalid_redis_url_is_not_quoted(found: Callable[..., Found]) -> None:
    state, text, advice = found("Redis", "--redis", "https://:redis-password@example.com")
    assert (state, advice) == ("failed", "")
    assert text.startswith("RedisStore cannot read its URL (ValueError): expected one like rediss:")


def test_the_error_for_a_missing_redis_py_names_it(
    found: Callable[..., Found], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    assert found("Redis", "--redis", "redis://127.0.0.1") == (
        "failed",
        "redis-py is not installed",
        "pip install 'monta-auth[redis]'",
    )


def test_the_url_is_not_shown_in_an_error_report() -> None:
    from monta_auth._core.secret import hidden

    assert "redis-password" not in repr(
        doctor.Case(None, None, hidden("redis://:redis-password@h"))
    )
