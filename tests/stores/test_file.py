"""The store on disk: who may read it, and what happens where a disk does not do as it should."""

from __future__ import annotations

import errno
import fcntl
import os
import pickle
import random
import resource
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import platformdirs
import pytest

from monta_auth import RefreshPolicy, TokenStoreError, stores
from monta_auth.emulator import Emulator
from monta_auth.stores import FileStore, _file, record_key
from requests_monta import MontaAuth

from .contract import ID, URL, make_pair
from .helpers import get, held, put, warnings_of

CHANCE = random.SystemRandom()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def record(directory: Path) -> Path:
    return directory / f"{record_key(URL, ID)}.json"


@pytest.fixture
def store(directory: Path) -> Any:
    return FileStore(directory).bind(URL, ID)


@pytest.fixture
def auth(monta: Emulator, directory: Path) -> MontaAuth:
    return MontaAuth(
        monta.client_id,
        monta.client_secret,
        base_url=monta.base_url,
        store=FileStore(directory),
    )


@pytest.fixture
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    old = os.umask(request.param)
    yield request.param
    os.umask(old)


def run(code: str, **environment: str | None) -> str:
    """Run code in a process of its own; None takes a variable away."""
    env = {**os.environ, **{k: v for k, v in environment.items() if v is not None}}
    for name, value in environment.items():
        if value is None:
            env.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env=env,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- who may read it


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777], indirect=True, ids=oct)
def test_nobody_else_can_read_anything(directory: Path, umask: int) -> None:
    """Whatever the umask: it may neither give rights away nor take our own."""
    store: Any = FileStore(directory).bind(URL, ID)
    lease = store.try_lock(8.0)
    store.save(make_pair(1), lease)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    found = list(directory.iterdir())
    assert {path.suffix for path in found} == {".json", ".lock", ".lease"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o600}
    lease.release()
    assert held(FileStore(directory).bind(URL, ID)) == "access-1"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777], indirect=True, ids=oct)
def test_directories_on_the_way_are_made_for_this_user_alone(tmp_path: Path, umask: int) -> None:
    """Others could rename what is in a directory that they can write to."""
    there = tmp_path / "there"
    there.mkdir()
    there.chmod(0o755)
    directory = there / "state" / "app" / "monta"
    put(FileStore(directory).bind(URL, ID), 1)
    made = [directory, *directory.parents[:2]]
    assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o700] * 3
    assert stat.S_IMODE(there.stat().st_mode) == 0o755


@pytest.mark.parametrize("umask", [0o000], indirect=True, ids=oct)
def test_not_even_for_an_instant(store: Any, umask: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is made with its mode and has it before the first byte."""
    modes: list[int] = []
    real = os.open

    def watched(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        descriptor = real(path, flags, mode, **more)
        if str(path).endswith(".new"):
            modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
            assert flags & os.O_EXCL
            assert flags & os.O_NOFOLLOW
        return descriptor

    monkeypatch.setattr(os, "open", watched)
    put(store, 1)
    assert modes == [0o600]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666], ids=oct)
def test_a_record_that_others_can_read_is_an_error_at_construction(
    store: Any, auth: MontaAuth, directory: Path, record: Path, mode: int
) -> None:
    put(store, 1)
    record.chmod(mode)
    with pytest.raises(TokenStoreError, match="chmod 600"):
        FileStore(directory).bind(URL, ID)


def test_found_later_it_is_memory_and_one_warning(
    auth: MontaAuth,
    monta: Emulator,
    directory: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert get(auth, monta) == 200
    [file] = directory.glob("*.json")
    before = file.read_bytes()
    file.chmod(0o644)
    for _ in range(2):
        auth.invalidate()
        assert get(auth, monta) == 200
    assert file.read_bytes() == before
    warned = [text for text in warnings_of(caplog) if "lives in memory" in text]
    assert len(warned) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_record_of_another_user_is_an_error(store: Any, directory: Path, record: Path) -> None:
    put(store, 1)
    os.chown(record, 12345, 12345)
    with pytest.raises(TokenStoreError, match="belongs to another user"):
        FileStore(directory).bind(URL, ID)


def test_a_link_is_not_followed(store: Any, directory: Path, record: Path) -> None:
    """Neither to read (another user's file) nor to write (a file of ours)."""
    put(store, 1)
    elsewhere = directory.parent / "elsewhere"
    record.rename(elsewhere)
    record.symlink_to(elsewhere)
    with pytest.raises(TokenStoreError, match="symbolic link"):
        FileStore(directory).bind(URL, ID)
    with pytest.raises(TokenStoreError, match="symbolic link"):
        store.load()
    before = elsewhere.read_bytes()
    put(store, 2)
    assert elsewhere.read_bytes() == before
    assert not record.is_symlink()
    assert held(store) == "access-2"


def test_a_link_in_place_of_the_new_file_is_not_followed(store: Any, record: Path) -> None:
    victim = record.parent / "victim"
    victim.write_text("precious")
    record.with_suffix(".new").symlink_to(victim)
    put(store, 1)
    assert victim.read_text() == "precious"
    assert held(store) == "access-1"


@pytest.mark.parametrize("kind", ["a directory", "a pipe"])
def test_what_is_no_file_is_refused_and_never_waited_for(
    store: Any, record: Path, kind: str
) -> None:
    if kind == "a pipe":
        os.mkfifo(record, 0o600)
    else:
        record.mkdir(0o700)
    with pytest.raises(TokenStoreError, match="not a regular file"):
        store.load()


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777], ids=oct)
def test_a_directory_that_others_can_write_to_is_refused(directory: Path, mode: int) -> None:
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(TokenStoreError, match="other users can write"):
        FileStore(directory).bind(URL, ID)


# --- where it is


def test_the_default_is_in_the_state_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    store: Any = FileStore().bind(URL, ID)
    put(store, 1)
    assert (tmp_path / "monta-auth").is_dir()
    assert repr(FileStore()) == f"FileStore('{tmp_path}/monta-auth')"
    assert str(tmp_path) in repr(store)


def test_without_home_that_of_the_account_is_taken() -> None:
    """As in cron and systemd."""
    code = "from monta_auth.stores import FileStore; print(FileStore())"
    assert str(Path(f"~{os.environ.get('USER', 'root')}").expanduser()) in run(
        code, HOME=None, XDG_STATE_HOME=None
    )


def test_an_account_without_home_is_told_to_name_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container with a user id that nobody knows: expanduser leaves the tilde as it is."""

    def homeless(*_: Any, **__: Any) -> str:
        return "~/.local/state/monta-auth"

    monkeypatch.setattr(platformdirs, "user_state_dir", homeless)
    with pytest.raises(TokenStoreError, match="name the directory"):
        FileStore()


def test_a_tilde_that_leads_nowhere_is_an_error() -> None:
    with pytest.raises(TokenStoreError, match="no home directory"):
        FileStore("~no-such-user-here/tokens")


def test_a_relative_path_does_not_move_with_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    store: Any = FileStore("tokens").bind(URL, ID)
    monkeypatch.chdir(tmp_path)
    put(store, 1)
    assert list((tmp_path / "a" / "tokens").glob("*.json"))


def test_a_link_to_the_directory_is_followed_once(tmp_path: Path) -> None:
    """systemd makes such links for DynamicUser."""
    real = tmp_path / "private"
    link = tmp_path / "public"
    real.mkdir(0o700)
    link.symlink_to(real)
    unbound = FileStore(link)
    link.unlink()
    put(unbound.bind(URL, ID), 1)
    assert list(real.glob("*.json"))


@pytest.mark.parametrize("below", ["", "tokens"])
def test_a_file_in_place_of_the_directory_is_an_error(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TokenStoreError, match=r"file|Not a directory"):
        FileStore(tmp_path / "file" / below).bind(URL, ID)


def test_a_directory_that_cannot_be_made_is_an_error(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may do anything, so the refusal is played."""

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(TokenStoreError, match="Permission denied"):
        FileStore(directory).bind(URL, ID)


def test_a_record_that_cannot_be_opened_is_an_error(
    store: Any, directory: Path, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, 1)
    real = os.open

    def refuse(path: Any, *args: Any, **more: Any) -> int:
        if path == record:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *args, **more)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(TokenStoreError, match="Permission denied"):
        FileStore(directory).bind(URL, ID)


def test_where_files_have_no_owners_it_works_without(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows, as far as it can be played."""
    monkeypatch.setattr(_file, "_HAS_OWNERS", False)
    store: Any = FileStore(directory).bind(URL, ID)
    put(store, 1)
    assert held(store) == "access-1"


def test_a_directory_that_was_deleted_is_made_again(store: Any, directory: Path) -> None:
    directory.rmdir()
    assert held(store) is None
    put(store, 1)
    assert held(store) == "access-1"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_it_can_be_pickled(directory: Path) -> None:
    """With the auth object that it belongs to."""
    assert repr(pickle.loads(pickle.dumps(FileStore(directory)))) == repr(FileStore(directory))


# --- disks that fail


def test_a_read_only_disk_is_read_and_one_warning(
    auth: MontaAuth,
    monta: Emulator,
    directory: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert get(auth, monta) == 200
    real = os.open

    def read_only(path: Any, flags: int, *args: Any, **more: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR) and str(path).startswith(str(directory)):
            raise OSError(errno.EROFS, "Read-only file system")
        return real(path, flags, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", read_only)
        other = MontaAuth(
            monta.client_id,
            monta.client_secret,
            base_url=monta.base_url,
            store=FileStore(directory),
            policy=RefreshPolicy(cooldown=0.0),
        )
        assert get(other, monta) == 200
        assert monta.count("/auth/token") == 1
        assert warnings_of(caplog) == []
        monta.revoke_access_tokens()
        assert get(other, monta) == 200
        monta.revoke_access_tokens()
        assert get(other, monta) == 200
        assert len(warnings_of(caplog)) == 1

    monta.revoke_access_tokens()
    assert get(other, monta) == 200
    monta.clear()
    assert get(auth, monta) == 200
    assert monta.count("/auth/token") + monta.count("/auth/refresh") == 0


def test_a_directory_that_cannot_be_made_today_does_not_stop_the_service(
    monta: Emulator,
    directory: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = Path.mkdir

    def read_only(self: Path, *args: Any, **more: Any) -> None:
        if self == directory:
            raise OSError(errno.EROFS, "Read-only file system")
        real(self, *args, **more)

    monkeypatch.setattr(Path, "mkdir", read_only)
    auth = MontaAuth(
        monta.client_id, monta.client_secret, base_url=monta.base_url, store=FileStore(directory)
    )
    assert get(auth, monta) == 200
    assert len(warnings_of(caplog)) == 1


def test_a_full_disk_leaves_the_old_pair(store: Any, directory: Path) -> None:
    put(store, 1)
    lease = store.try_lock(8.0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            store.save(make_pair(2), lease)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert held(store) == "access-1"
    assert not list(directory.glob("*.new"))
    store.save(make_pair(2), lease)
    assert held(store) == "access-2"


def test_a_filesystem_without_locks_is_memory_and_one_warning(
    auth: MontaAuth,
    monta: Emulator,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    for _ in range(2):
        assert get(auth, monta) == 200
        monta.revoke_access_tokens()
    assert len(warnings_of(caplog)) == 1


# --- leases


def test_a_lease_that_is_dropped_is_free_at_once(store: Any) -> None:
    """Who is cancelled while it leads cannot release: its flow is only thrown away."""
    lease = store.try_lock(8.0)
    assert store.try_lock(8.0) is None
    del lease
    assert store.try_lock(8.0) is not None


def test_the_lease_of_a_process_that_died_is_free_at_once(store: Any, directory: Path) -> None:
    run(
        f"""
        import os
        from monta_auth.stores import FileStore
        lease = FileStore({str(directory)!r}).bind({URL!r}, {ID!r}).try_lock(8.0)
        assert lease is not None
        os.kill(os.getpid(), 0)
        os._exit(0)
        """
    )
    assert list(directory.glob("*.lease"))
    lease = store.try_lock(8.0)
    assert lease is not None
    assert len(list(directory.glob("*.lease"))) == 1


def test_a_forked_child_does_not_give_the_lease_of_its_parent_back(directory: Path) -> None:
    """Nor does it keep it when the parent has given it back."""
    run(
        f"""
        import gc, os, time
        from monta_auth.stores import FileStore
        store = FileStore({str(directory)!r}).bind({URL!r}, {ID!r})
        lease = store.try_lock(8.0)
        child = os.fork()
        if child == 0:
            del lease
            gc.collect()
            os._exit(0 if store.try_lock(8.0) is None else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert store.try_lock(8.0) is None

        child = os.fork()
        if child == 0:
            time.sleep(10)
            os._exit(0)
        lease.release()
        assert store.try_lock(8.0) is not None
        os.kill(child, 9)
        os.waitpid(child, 0)
        """
    )


def test_a_child_of_a_dead_parent_does_not_keep_its_lease(store: Any, directory: Path) -> None:
    child = run(
        f"""
        import os, time
        from monta_auth.stores import FileStore
        store = FileStore({str(directory)!r}).bind({URL!r}, {ID!r})
        lease = store.try_lock(8.0)
        child = os.fork()
        if child == 0:
            os.close(1), os.close(2)
            time.sleep(10)
            os._exit(0)
        print(child, flush=True)
        os._exit(0)
        """
    )
    try:
        assert store.try_lock(8.0) is not None
    finally:
        os.kill(int(child), 9)


def test_while_another_changes_something_there_is_no_lease_and_no_waiting(
    store: Any, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = store.try_lock(8.0)
    monkeypatch.setattr(_file, "_PATIENCE", 0.05)
    with filelock.FileLock(record.with_suffix(".lock"), thread_local=False):
        assert store.try_lock(8.0) is None
        with pytest.raises(TokenStoreError, match="for long"):
            store.save(make_pair(1), lease)
    store.save(make_pair(1), lease)
    assert held(store) == "access-1"


def test_save_waits_for_a_moment(store: Any, record: Path) -> None:
    lease = store.try_lock(8.0)
    with filelock.FileLock(record.with_suffix(".lock"), thread_local=False) as lock:
        timer = threading.Timer(0.1, lock.release)
        timer.start()
        store.save(make_pair(1), lease)
        timer.join()
    assert held(store) == "access-1"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("rubbish", id="no times"),
        pytest.param("9.9.9-9-x", id="no numbers"),
        pytest.param(f"{time.time() + 900:.3f}-{time.time() + 908:.3f}-x", id="in the future"),
    ],
)
def test_leases_that_make_no_sense_are_swept_away(store: Any, record: Path, name: str) -> None:
    """The last one appears when a clock is set back."""
    path = record.with_suffix(f".{name}.lease")
    with filelock.FileLock(path, thread_local=False):
        assert store.try_lock(8.0) is not None
    assert not path.exists()


def test_a_lease_that_cannot_be_swept_away_holds(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where an open file stays until it is closed."""
    lease = store.try_lock(8.0)
    after = time.time() + 8.1
    monkeypatch.setattr(time, "time", lambda: after)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        assert store.try_lock(8.0) is None
    assert store.try_lock(8.0) is not None
    assert lease is not None


def test_in_rubbish_there_is_no_refresh_token_to_doubt(
    store: Any, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, 1)
    record.write_text("rubbish")
    lease = store.try_lock(8.0)
    after = time.time() + 8.1
    monkeypatch.setattr(time, "time", lambda: after)
    assert store.try_lock(8.0) is not None
    assert record.read_text() == "rubbish"
    assert lease is not None


# --- kill -9


def test_killed_at_any_moment_it_has_the_old_or_the_new_pair(
    store: Any, directory: Path, record: Path
) -> None:
    code = f"""
        from monta_auth.stores import FileStore
        from datetime import UTC, datetime, timedelta
        from monta_auth import TokenSet
        store = FileStore({str(directory)!r}).bind({URL!r}, {ID!r})
        hour = timedelta(hours=1)
        print("ready", flush=True)
        for serial in range(10**6):
            lease = store.try_lock(8.0)
            now = datetime.now(UTC)
            store.save(TokenSet(f"a{{serial}}", "r" * 4000, now + hour, now + hour, now), lease)
            lease.release()
    """
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(CHANCE.uniform(0.02, 0.07))
            process.kill()
        pair = store.load()
        assert pair is not None
        assert pair.access_token.startswith("a")
        put(store, 7)
        assert held(store) == "access-7"
        assert {path.suffix for path in directory.iterdir()} == {".json", ".lock"}


# --- without the packages


@pytest.mark.parametrize("missing", ["filelock", "platformdirs"])
def test_a_missing_package_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r"pip install 'monta-auth\[file\]'"):
        FileStore()


def test_importing_the_stores_imports_none_of_their_packages() -> None:
    code = """
        import logging, sys  # from Python 3.15 on, logging loads pathlib
        before = set(sys.modules)  # a coverage run has loaded a thing or two
        import monta_auth.stores as stores
        wanted = {"filelock", "platformdirs", "redis", "pathlib"}
        wanted |= {f"monta_auth.stores.{name}" for name in ("_file", "_redis", "_record")}
        assert not wanted & (set(sys.modules) - before)
        stores.FileStore, stores.RedisStore
        assert not {"filelock", "platformdirs", "redis"} & set(sys.modules)
    """
    run(code)


def test_the_package_gives_what_it_names() -> None:
    assert set(stores.__all__) <= set(dir(stores))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        stores.Nothing  # type: ignore[attr-defined]  # noqa: B018 - looking it up is the test
