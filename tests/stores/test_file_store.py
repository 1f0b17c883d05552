"""The store on disk: who may read it, what becomes of lost holders, and disks that fail."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pickle
import random
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import filelock
import platformdirs
import pytest

from monta_auth import TokenStoreError
from monta_auth._core.store_protocol import Lease, Store
from monta_auth.stores import _file_store, _files
from monta_auth.stores._file_store import FileStore
from monta_auth.stores.testing import StoreContract

from ..faults import file_size

NAME, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2
CHANCE = random.SystemRandom()
DAY = 86400.0

is_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def record(directory: Path) -> Path:
    return directory / f"{NAME}.record"


@pytest.fixture
def store(directory: Path) -> FileStore:
    return FileStore(directory)


@pytest.fixture(autouse=True)
def _never_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_file_store, "_swept", {})


class Passing:
    """A clock that a test can move forward instead of waiting."""

    def __init__(self) -> None:
        self.real = time.time
        self.passed = 0.0

    def __call__(self) -> float:
        return self.real() + self.passed


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Passing:
    passing = Passing()
    monkeypatch.setattr(time, "time", passing)
    return passing


@pytest.fixture
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    old = os.umask(request.param)
    yield request.param
    os.umask(old)


def lease_of(store: FileStore, name: str = NAME) -> Any:
    lease = store.try_lock(name, 6.0)
    assert lease is not None
    return lease


def put(store: FileStore, record: bytes | None, name: str = NAME) -> None:
    lease = lease_of(store, name)
    store.save(name, record, lease)
    lease.release()


def kinds(directory: Path) -> set[str]:
    return {path.suffix for path in directory.iterdir()}


def run(code: str, **environment: str | None) -> str:
    """Run code in a separate process. A variable with the value None is removed."""
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


def as_user(uid: int, function: Callable[[], object]) -> None:
    """Call a function in a child process of another user. An error there fails the test."""
    if (child := os.fork()) == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            function()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


@contextlib.contextmanager
def holder(
    directory: Path, code: str = "", die: str = "time.sleep(60)"
) -> Generator[Any, None, None]:
    """A process that gets the lease, runs some code and then waits."""
    code = f"""
        import os, signal, time
        from monta_auth.stores._file_store import FileStore
        store = FileStore({str(directory)!r})
        lease = store.try_lock({NAME!r}, 6.0)
        assert lease is not None
        {code}
        print("ready", flush=True)
        {die}
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


# --- the contract


class TestFileStore(StoreContract):
    @pytest.fixture
    def store(self, directory: Path, passing: Passing) -> FileStore:
        self.passing = passing
        return FileStore(directory)

    @pytest.fixture
    def other(self, store: FileStore, directory: Path) -> FileStore:
        return FileStore(directory)

    def pass_time(self, seconds: float) -> None:
        self.passing.passed += seconds


def test_it_has_the_protocols_of_a_store_and_a_lease(store: FileStore) -> None:
    as_store: Store = store
    lease: Lease | None = store.try_lock(NAME, 6.0)
    assert as_store.load(NAME) is None
    assert lease is not None


def test_creating_and_loading_change_no_file(store: FileStore, directory: Path) -> None:
    assert store.load(NAME) is None
    assert not directory.exists()


def test_nothing_is_saved_without_a_lease_of_that_name(store: FileStore) -> None:
    store.save(NAME, b"record-1", None)
    other = lease_of(store, OTHER)
    store.save(NAME, b"record-1", other)
    assert store.load(NAME) is None


def test_it_can_be_pickled(directory: Path) -> None:
    """Together with the auth object that uses it."""
    assert repr(pickle.loads(pickle.dumps(FileStore(directory)))) == repr(FileStore(directory))


# --- check


def test_a_check_leaves_no_file_behind(store: FileStore, directory: Path) -> None:
    put(store, b"record-1")
    store.check()
    assert {path.name.partition(".")[0] for path in directory.iterdir()} == {NAME}
    assert store.load(NAME) == b"record-1"


def test_a_check_raises_what_the_other_methods_would_raise(
    store: FileStore, directory: Path
) -> None:
    directory.write_text("")
    with pytest.raises(TokenStoreError, match="is a file: delete it, or name another directory"):
        store.check()


# --- who may read it


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777], indirect=True, ids=oct)
def test_other_users_can_read_nothing(directory: Path, umask: int) -> None:
    """With any umask: it may neither give others rights nor take away ours."""
    store = FileStore(directory)
    lease = lease_of(store)
    store.save(NAME, b"record-1", lease)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert kinds(directory) == {".record", ".lock", ".lease", ".held"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
    lease.release()
    assert kinds(directory) == {".record", ".lock"}
    assert FileStore(directory).load(NAME) == b"record-1"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777], indirect=True, ids=oct)
def test_parent_directories_are_made_for_this_user_only(tmp_path: Path, umask: int) -> None:
    """Others could rename files in a directory that they can write to."""
    there = tmp_path / "there"
    there.mkdir()
    there.chmod(0o755)
    directory = there / "state" / "app" / "monta"
    put(FileStore(directory), b"record-1")
    made = [directory, *directory.parents[:2]]
    assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o700] * 3
    assert stat.S_IMODE(there.stat().st_mode) == 0o755


@pytest.mark.parametrize("umask", [0o000], indirect=True, ids=oct)
def test_no_file_is_readable_by_others_even_for_an_instant(
    store: FileStore, umask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is created with this mode, so it has it before the first byte."""
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
    put(store, b"record-1")
    assert set(modes) == {0o600}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666], ids=oct)
def test_a_record_that_others_can_read_is_an_error(
    store: FileStore, record: Path, mode: int
) -> None:
    put(store, b"record-1")
    record.chmod(mode)
    with pytest.raises(TokenStoreError) as caught:
        store.load(NAME)
    start = f"load failed: other users can read: {record} has mode {mode:04o}: chmod 600 it"
    assert str(caught.value).startswith(start)


@is_root
def test_a_record_of_another_user_is_an_error(store: FileStore, record: Path) -> None:
    put(store, b"record-1")
    os.chown(record, 12345, 12345)
    with pytest.raises(TokenStoreError, match="belongs to uid 12345, and this process runs as uid"):
        store.load(NAME)


def test_a_link_in_place_of_a_record_is_not_followed(
    store: FileStore, directory: Path, record: Path
) -> None:
    """Neither for reading (another user's file) nor for writing (one of our files)."""
    put(store, b"record-1")
    elsewhere = directory.parent / "elsewhere"
    record.rename(elsewhere)
    record.symlink_to(elsewhere)
    with pytest.raises(TokenStoreError) as caught:
        store.load(NAME)
    assert str(caught.value) == (
        f"load failed: OSError (ELOOP) in {record}: a symbolic link is in place of a file: "
        "delete the link"
    )
    put(store, b"record-2")
    assert elsewhere.read_bytes() == b"record-1"
    assert not record.is_symlink()
    assert store.load(NAME) == b"record-2"


@pytest.mark.parametrize("kind", ["new", "lock"])
def test_a_link_in_place_of_another_file_is_not_followed(
    store: FileStore, directory: Path, kind: str
) -> None:
    put(store, b"record-1")
    victim = directory / "victim"
    victim.write_text("precious")
    link = directory / f"{NAME}.{kind}"
    link.unlink(missing_ok=True)
    link.symlink_to(victim)
    if kind == "lock":
        with pytest.raises(TokenStoreError, match=r"try_lock failed: .*delete the link"):
            store.try_lock(NAME, 6.0)
    else:
        put(store, b"record-2")
        assert store.load(NAME) == b"record-2"
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("kind", ["a directory", "a pipe"])
def test_a_path_that_is_not_a_regular_file_is_refused_at_once(
    store: FileStore, record: Path, kind: str
) -> None:
    record.parent.mkdir(mode=0o700)
    if kind == "a pipe":
        os.mkfifo(record, 0o600)
    else:
        record.mkdir(0o700)
    with pytest.raises(TokenStoreError, match="not a regular file: delete it"):
        store.load(NAME)


# --- directories that cannot be used


def test_a_shared_directory_such_as_tmp_is_refused_and_keeps_its_mode(
    store: FileStore, directory: Path
) -> None:
    directory.mkdir()
    directory.chmod(0o1777)
    with pytest.raises(TokenStoreError) as caught:
        store.check()
    assert str(caught.value) == (
        f"try_lock failed: other users can write to {directory}: name a directory below, as in "
        "FileStore('/var/lib/my-app/monta')"
    )


@pytest.mark.parametrize("mode", [0o770, 0o707], ids=oct)
def test_a_directory_that_others_can_write_to_is_refused(
    store: FileStore, directory: Path, mode: int
) -> None:
    """This includes a mounted volume that prescribes such a mode, so that chmod has no effect."""
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(TokenStoreError) as caught:
        store.check()
    assert str(caught.value) == (
        f"try_lock failed: other users can write: {directory} has mode {mode:04o}: chmod 700 it; "
        "if the mode stays as it is (a mounted volume can prescribe it), name another directory, "
        "as in FileStore('/var/lib/my-app/monta')"
    )


@pytest.mark.parametrize("mode", [0o300, 0o500, 0o600], ids=oct)
def test_a_directory_that_its_own_user_cannot_use_is_refused(
    store: FileStore, directory: Path, mode: int
) -> None:
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(TokenStoreError, match=f"has mode {mode:04o}: chmod 700 it"):
        store.check()


@is_root
def test_a_directory_of_another_user_is_refused(store: FileStore, directory: Path) -> None:
    directory.mkdir(0o700)
    os.chown(directory, 12345, 12345)
    with pytest.raises(TokenStoreError) as caught:
        store.check()
    assert str(caught.value) == (
        f"try_lock failed: {directory} belongs to uid 12345, and this process runs as uid 0: "
        "change its owner (chown), or name another directory, as in "
        "FileStore('/var/lib/my-app/monta')"
    )


@pytest.mark.parametrize("below", ["", "tokens"])
def test_a_file_in_place_of_the_directory_is_an_error(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    store = FileStore(tmp_path / "file" / below)
    with pytest.raises(TokenStoreError, match=r"delete (it|the file), or name another directory"):
        store.try_lock(NAME, 6.0)


@is_root
def test_if_this_user_may_not_write_the_error_names_the_owner() -> None:
    """A directory below one of root's, and files of root in a directory of this user."""
    with _temporary_directory() as name:
        top = Path(name)
        roots = top / "roots"
        roots.mkdir()
        own = top / "own"
        own.mkdir(0o700)
        put(FileStore(own), b"record-1")
        os.chown(own, 4321, 4321)

        def check() -> None:
            with pytest.raises(TokenStoreError) as caught:
                FileStore(roots / "monta").try_lock(NAME, 6.0)
            assert str(caught.value) == (
                f"try_lock failed: PermissionError (EACCES) in {roots}/monta: uid 4321 may not "
                f"make it in {roots}: make it for this user (install -d -m 700 -o 4321 "
                f"{roots}/monta), "
                "or name another directory, as in FileStore('/var/lib/my-app/monta')"
            )
            with pytest.raises(TokenStoreError, match=rf"{NAME}\.record belongs to uid 0"):
                FileStore(own).load(NAME)
            with pytest.raises(TokenStoreError, match=rf"{NAME}\.lock belongs to uid 0"):
                FileStore(own).try_lock(NAME, 6.0)

        as_user(4321, check)


def test_the_error_for_a_directory_that_cannot_be_made_shows_the_command(
    store: FileStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, mode: int) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    with pytest.raises(TokenStoreError) as caught:
        store.check()
    assert str(caught.value) == (
        f"try_lock failed: PermissionError (EACCES) in {directory}: uid 4321 may not make it in "
        f"{directory.parent}: make it for this user (install -d -m 700 -o 4321 {directory}), or "
        "name another directory, as in FileStore('/var/lib/my-app/monta')"
    )


@is_root
def test_if_this_user_lacks_a_right_the_error_names_the_mode() -> None:
    with _temporary_directory() as name:
        own = Path(name) / "own"
        own.mkdir(0o700)
        os.chown(own, 4321, 4321)

        def check() -> None:
            put(FileStore(own), b"record-1")
            path = own / f"{NAME}.record"
            path.chmod(0o200)
            with pytest.raises(TokenStoreError, match=r"\.record has mode 0200: chmod 600 it"):
                FileStore(own).load(NAME)
            own.chmod(0o200)
            with pytest.raises(TokenStoreError, match=r"own has mode 0200: chmod 700 it"):
                FileStore(own).load(NAME)

        as_user(4321, check)


@pytest.fixture
def refused(record: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A record that may not be read. Root may read everything, so the refusal is simulated."""
    real = os.open

    def refuse(path: Any, *args: Any, **more: Any) -> int:
        if path == record:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *args, **more)

    monkeypatch.setattr(os, "open", refuse)
    return record


@is_root
def test_the_error_for_a_refusal_names_the_owner(store: FileStore, refused: Path) -> None:
    put(store, b"record-1")
    os.chown(refused, 12345, 12345)
    with pytest.raises(TokenStoreError) as caught:
        store.load(NAME)
    assert str(caught.value) == (
        f"load failed: PermissionError (EACCES) in {refused}: {refused} belongs to uid 12345, and "
        "this process runs as uid 0: change its owner (chown), or name another directory, as in "
        "FileStore('/var/lib/my-app/monta')"
    )
    assert isinstance(caught.value.__cause__, PermissionError)


@pytest.mark.parametrize("culprit", ["record", "directory"])
def test_the_error_for_a_refusal_names_the_mode(
    store: FileStore, refused: Path, culprit: str
) -> None:
    put(store, b"record-1")
    path = refused
    if culprit == "directory":  # then the record cannot be seen
        refused.unlink()
        path = refused.parent
    path.chmod(0o100)
    with pytest.raises(TokenStoreError, match=f"{path} has mode 0100: chmod [67]00 it;"):
        store.load(NAME)


@is_root
def test_the_error_for_an_unexplained_refusal_blames_a_rule_of_the_system(
    store: FileStore, refused: Path
) -> None:
    put(store, b"record-1")
    with pytest.raises(TokenStoreError, match="a rule of the system forbids it"):
        store.load(NAME)


def test_a_directory_that_another_process_makes_at_the_same_time_is_used(
    store: FileStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.mkdir

    def late(self: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        real(self, mode, parents, exist_ok)
        real(self, mode, parents, exist_ok)

    monkeypatch.setattr(Path, "mkdir", late)
    put(store, b"record-1")
    assert store.load(NAME) == b"record-1"


def test_it_works_where_files_have_no_owners(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This simulates Windows as far as possible."""
    monkeypatch.setattr(_files, "_HAS_OWNERS", False)
    put(store, b"record-1")
    assert store.load(NAME) == b"record-1"


def test_a_directory_that_was_deleted_is_made_again(store: FileStore, directory: Path) -> None:
    lease = lease_of(store)
    _delete(directory)
    store.save(NAME, b"record-1", lease)
    assert not lease.extend(6.0)
    lease.release()
    assert store.load(NAME) is None
    put(store, b"record-2")
    assert store.load(NAME) == b"record-2"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_only_sweeping_lists_the_directory(
    store: FileStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    monkeypatch.setattr(os, "listdir", refuse)
    monkeypatch.setattr(os, "scandir", refuse)
    put(store, b"record-1")
    with holder(directory, die="os._exit(0)") as process:
        process.wait()
    put(store, b"record-2")
    store.check()
    assert store.load(NAME) == b"record-2"


@contextlib.contextmanager
def _temporary_directory() -> Generator[str, None, None]:
    """A directory that other users can reach. Those of pytest are only for the current user."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield name


def _delete(directory: Path) -> None:
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()


# --- where it is


def test_the_default_is_in_the_state_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    put(FileStore(), b"record-1")
    assert (tmp_path / "monta-auth").is_dir()
    assert repr(FileStore()) == f"FileStore('{tmp_path}/monta-auth')"


def test_without_home_the_accounts_home_directory_is_used() -> None:
    """HOME is missing in cron and systemd."""
    code = "from monta_auth.stores._file_store import FileStore; print(FileStore())"
    assert str(Path(f"~{os.environ.get('USER', 'root')}").expanduser()) in run(
        code, HOME=None, XDG_STATE_HOME=None
    )


@pytest.mark.parametrize("answer", ["~/.local/state/monta-auth", RuntimeError(), KeyError()])
def test_without_a_home_directory_the_error_asks_for_a_path(
    answer: str | Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container with an unknown user id, for example. Releases of platformdirs differ."""

    def homeless(*_: Any, **__: Any) -> str:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(platformdirs, "user_state_dir", homeless)
    with pytest.raises(TokenStoreError, match=r"no home directory .*: name the directory, as in"):
        FileStore()


@is_root
def test_for_an_unknown_user_id_the_error_asks_for_a_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)

    def check() -> None:
        for path in (None, "~/monta"):
            with pytest.raises(TokenStoreError, match="no home directory"):
                FileStore(path)

    as_user(4321, check)


def test_the_home_directory_of_an_unknown_user_is_an_error() -> None:
    with pytest.raises(TokenStoreError, match="no home directory"):
        FileStore("~no-such-user-here/tokens")


def test_an_empty_path_is_an_error() -> None:
    """A variable may be set to an empty value. The path would mean the working directory."""
    with pytest.raises(TokenStoreError, match="got an empty path: name the directory"):
        FileStore("")


def test_an_impossible_path_is_an_error() -> None:
    with pytest.raises(TokenStoreError, match=r"cannot use this path \(ValueError\)"):
        FileStore("tokens\0")


def test_a_relative_path_below_a_deleted_directory_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(TokenStoreError, match="ENOENT"):
        FileStore("tokens")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
def test_a_path_where_nothing_can_be_created_is_named_in_the_error() -> None:
    with pytest.raises(TokenStoreError, match=r"ENOENT.*/proc"):
        FileStore(f"/proc/{os.getpid()}/tokens").check()


def test_a_relative_path_does_not_follow_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    store = FileStore("tokens")
    monkeypatch.chdir(tmp_path)
    put(store, b"record-1")
    assert list((tmp_path / "a" / "tokens").glob("*.record"))


def test_a_link_to_the_directory_is_resolved_once(tmp_path: Path) -> None:
    """systemd makes such links for DynamicUser."""
    real = tmp_path / "private"
    link = tmp_path / "public"
    real.mkdir(0o700)
    link.symlink_to(real)
    store = FileStore(link)
    link.unlink()
    put(store, b"record-1")
    assert list(real.glob("*.record"))


@pytest.mark.parametrize("missing", ["filelock", "platformdirs"])
def test_the_error_for_a_missing_package_shows_the_install_command(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r"pip install 'monta-auth\[file\]'"):
        FileStore()


# --- disks that fail


def test_records_on_a_read_only_disk_can_be_loaded(
    store: FileStore, directory: Path, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, b"record-1")
    os.utime(record, (0.0, time.time() - 2 * DAY))
    real = os.open

    def read_only(path: Any, flags: int, *args: Any, **more: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR) and str(path).startswith(str(directory)):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return real(path, flags, *args, **more)

    def no_touch(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", read_only)
        patch.setattr(os, "utime", no_touch)
        assert store.load(NAME) == b"record-1"
        with pytest.raises(TokenStoreError, match=r"try_lock failed: OSError \(EROFS\) in .*/"):
            store.try_lock(NAME, 6.0)
    put(store, b"record-2")


@is_root
def test_a_really_read_only_or_full_disk_raises_the_right_error(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", str(place)]
    unmount = ["umount", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        store = FileStore(place)
        put(store, b"record-1")
        lease = lease_of(store)
        with pytest.raises(TokenStoreError) as caught:
            store.save(NAME, b"x" * 70_000, lease)
        assert "save failed: OSError (ENOSPC) in" in str(caught.value)
        assert str(caught.value).endswith("the disk is full: free some space")
        assert store.load(NAME) == b"record-1"
        store.save(NAME, b"record-2", lease)
        lease.release()
        subprocess.run([*mount[:1], "-o", "remount,ro", str(place)], check=True)
        assert store.load(NAME) == b"record-2"
        with pytest.raises(TokenStoreError, match=r"\(EROFS\) in .*: the disk is read-only"):
            store.check()
    finally:
        subprocess.run(unmount, check=True)


def test_a_full_disk_keeps_the_old_record(store: FileStore, directory: Path) -> None:
    put(store, b"record-1")
    lease = lease_of(store)
    with file_size(60), pytest.raises(TokenStoreError) as caught:
        store.save(NAME, b"x" * 100, lease)
    assert str(caught.value) == (
        f"save failed: OSError (EFBIG) in {directory}: a limit on the size of files is reached: "
        "raise it (ulimit -f)"
    )
    assert store.load(NAME) == b"record-1"
    assert kinds(directory) == {".record", ".lock", ".lease", ".held"}
    store.save(NAME, b"record-2", lease)
    assert store.load(NAME) == b"record-2"


def test_on_a_full_disk_there_is_no_lease_and_no_new_file(
    store: FileStore, directory: Path
) -> None:
    put(store, b"record-1")
    for _ in range(2):
        with file_size(10), pytest.raises(TokenStoreError, match=r"try_lock failed: .*\(EFBIG\)"):
            store.try_lock(NAME, 6.0)
    assert kinds(directory) == {".record", ".lock"}
    assert lease_of(store).doubt is False


def test_a_record_saved_while_the_disk_fills_up_is_kept_with_a_doubt(
    store: FileStore, passing: Passing, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = lease_of(store)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store, "_write_entry", full)
        with pytest.raises(TokenStoreError, match="the disk is full"):
            store.save(NAME, b"record-1", lease)
    passing.passed = 6.1
    assert lease_of(store).doubt
    assert store.load(NAME) == b"record-1"


def test_the_error_for_a_file_system_without_locks_says_so(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(TokenStoreError, match=r"\(ENOSYS\) in .*: this file system has no locks"):
        store.check()


def test_an_unknown_error_is_named_by_its_type(
    store: FileStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strange(*_: Any) -> None:
        raise OSError("what the disk says")

    monkeypatch.setattr(os, "fsync", strange)
    lease = lease_of(store)
    with pytest.raises(TokenStoreError) as caught:
        store.save(NAME, b"record-1", lease)
    assert str(caught.value) == f"save failed: OSError in {directory}"


# --- leases


def test_a_garbage_collected_lease_is_free_at_once(store: FileStore) -> None:
    """A cancelled leader cannot release: its flow is only dropped."""
    lease = lease_of(store)
    assert store.try_lock(NAME, 6.0) is None
    del lease
    assert lease_of(store).doubt


@pytest.mark.parametrize(
    ("code", "doubt"),
    [
        pytest.param("", True, id="when it had the lease"),
        pytest.param("store.save(lease.name, b'record-1', lease)", False, id="when it had saved"),
        pytest.param(
            "store.save(lease.name, b'record-1', lease); lease.extend(6.0)",
            True,
            id="when it had extended",
        ),
        pytest.param("lease.release()", False, id="when it had released"),
    ],
)
def test_the_lease_of_a_killed_process_is_free_at_once(
    store: FileStore, directory: Path, code: str, doubt: bool
) -> None:
    with holder(directory, code) as process:
        if "release" not in code:
            assert store.try_lock(NAME, 6.0) is None
        process.kill()
        process.wait()
        lease = lease_of(store)
        assert lease.doubt is doubt
        assert len(list(directory.glob("*.held"))) == 1


@pytest.mark.parametrize(
    ("code", "doubt"),
    [("", True), ("store.save(lease.name, b'record-1', lease)", False)],
    ids=["in its lease", "after its save"],
)
def test_the_lease_of_a_stopped_process_is_free_when_it_expires(
    store: FileStore, directory: Path, passing: Passing, code: str, doubt: bool
) -> None:
    """When it continues, it can change nothing."""
    after = (
        "os.kill(os.getpid(), signal.SIGSTOP)\n"
        "        store.save(lease.name, b'late', lease)\n"
        "        print(lease.extend(6.0), flush=True)\n"
        "        lease.release()"
    )
    with holder(directory, code, die=after) as process:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        passing.passed = 5.8
        assert store.try_lock(NAME, 6.0) is None
        passing.passed = 6.1
        lease = lease_of(store)
        assert lease.doubt is doubt
        store.save(NAME, b"record-2", lease)
        process.send_signal(signal.SIGCONT)
        assert process.stdout.readline() == "False\n"
        assert process.wait() == 0
        assert store.try_lock(NAME, 6.0) is None
        assert store.load(NAME) == b"record-2"
        assert lease.extend(6.0)


def test_the_error_names_the_lock_of_a_process_that_was_stopped_during_a_change(
    store: FileStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, b"record-1")
    lease = lease_of(store)
    monkeypatch.setattr(_file_store, "_PATIENCE", 0.05)
    with filelock.FileLock(directory / f"{NAME}.lock", thread_local=False):
        began = time.perf_counter()
        assert store.try_lock(NAME, 6.0) is None
        assert time.perf_counter() - began < 0.5
        for call in (
            lambda: store.save(NAME, b"record-2", lease),
            lambda: lease.extend(6.0),
            lambda: lease.release(),
        ):
            with pytest.raises(
                TokenStoreError, match=r"keeps .*\.lock locked for more than 0.05 s"
            ):
                call()
        assert store.load(NAME) == b"record-1"
    assert lease_of(store).doubt, "it could not say that it was released"


def test_the_methods_wait_a_moment_for_the_guard(
    store: FileStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("_BRIEF", "_PATIENCE"):  # a busy machine may take longer
        monkeypatch.setattr(_file_store, limit, 10.0)
    lease = lease_of(store)
    for call in (
        lambda: store.save(NAME, b"record-1", lease),
        lease.release,
        lambda: lease_of(store),
    ):
        lock = filelock.FileLock(directory / f"{NAME}.lock", thread_local=False)
        lock.acquire()
        timer = threading.Timer(0.03, lock.release)
        timer.start()
        call()
        timer.join()
    assert store.load(NAME) == b"record-1"


def test_a_forked_child_does_not_release_its_parents_lease(directory: Path) -> None:
    """The child does not keep the lease either, once the parent has released it."""
    run(
        f"""
        import gc, os, time
        from monta_auth.stores._file_store import FileStore
        store = FileStore({str(directory)!r})
        lease = store.try_lock({NAME!r}, 6.0)
        for explicitly in (True, False):
            child = os.fork()
            if child == 0:
                if explicitly:
                    store.save({NAME!r}, b"child", lease)
                    assert not lease.extend(6.0)
                    lease.release()
                del lease
                gc.collect()
                assert store.load({NAME!r}) is None
                os._exit(0 if store.try_lock({NAME!r}, 6.0) is None else 1)
            assert os.waitpid(child, 0)[1] == 0
            assert store.try_lock({NAME!r}, 6.0) is None

        child = os.fork()
        if child == 0:
            time.sleep(10)
            os._exit(0)
        lease.release()
        lease = store.try_lock({NAME!r}, 6.0)
        assert lease is not None
        os.kill(child, 9)
        os.waitpid(child, 0)
        """
    )


def test_a_child_does_not_keep_the_lease_of_an_exited_parent(
    store: FileStore, directory: Path
) -> None:
    child = run(
        f"""
        import os, time
        from monta_auth.stores._file_store import FileStore
        store = FileStore({str(directory)!r})
        lease = store.try_lock({NAME!r}, 6.0)
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
        assert lease_of(store).doubt
    finally:
        os.kill(int(child), 9)


@pytest.mark.parametrize("content", ["", "rubbish", f"9 9 {'0' * 16} saved\n"])
def test_an_invalid_lease_is_lost(store: FileStore, directory: Path, content: str) -> None:
    """This may happen after a loss of power."""
    lease = lease_of(store)
    (directory / f"{NAME}.lease").write_text(content)
    store.save(NAME, b"record-1", lease)
    assert store.load(NAME) is None
    assert not lease.extend(6.0)
    assert lease_of(store).doubt


@pytest.mark.parametrize(("seconds", "is_lost"), [(-0.5, False), (-900.0, True)])
def test_a_lease_from_the_future_is_lost(
    store: FileStore, passing: Passing, seconds: float, is_lost: bool
) -> None:
    """The clock was set back. Without this rule, the lease would last too long."""
    lease = lease_of(store)
    passing.passed = seconds
    assert (store.try_lock(NAME, 6.0) is not None) is is_lost
    assert lease is not None


def test_files_that_cannot_be_deleted_do_no_harm(
    store: FileStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows, an open file stays until it is closed."""
    real = Path.unlink

    def refuse(self: Path, missing_ok: bool = False) -> None:
        if self.suffix == ".held":
            raise PermissionError
        real(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    for _ in range(3):
        put(store, b"record-1")
    assert len(list(directory.glob("*.held"))) == 3
    assert lease_of(store).doubt is False


def test_a_new_file_that_is_already_locked_is_an_error(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = _files.taken

    def taken(path: Path, patience: float) -> Any:
        return None if path.suffix == ".held" else real(path, patience)

    monkeypatch.setattr(_file_store, "taken", taken)
    with pytest.raises(TokenStoreError, match=r"\.held is locked by another"):
        store.try_lock(NAME, 6.0)


# --- kill -9


def test_a_process_killed_at_any_moment_leaves_the_old_or_the_new_record(
    store: FileStore, directory: Path
) -> None:
    code = f"""
        from monta_auth.stores._file_store import FileStore
        store = FileStore({str(directory)!r})
        for serial in range(10**6):
            lease = store.try_lock({NAME!r}, 6.0)
            store.save({NAME!r}, b"%06d" % serial * 1000, lease)
            lease.extend(6.0)
            lease.release()
            if serial == 0:
                print("ready", flush=True)
    """
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(CHANCE.uniform(0.02, 0.07))
            process.kill()
        record = store.load(NAME)
        assert record is not None
        assert record == record[:6] * 1000
        put(store, b"record-7")
        assert store.load(NAME) == b"record-7"
        leftovers = [
            path for path in directory.iterdir() if path.suffix not in (".record", ".lock")
        ]
        assert len(leftovers) <= 8  # one for each process that was killed just before its lease


# --- sweeping


@pytest.fixture
def old(directory: Path) -> Callable[..., Path]:
    """Make files that were last touched some days ago."""
    directory.mkdir(mode=0o700)

    def make(name: str, days: float = 31.0) -> Path:
        path = directory / name
        path.touch(0o600)
        os.utime(path, (0.0, time.time() - days * DAY))
        return path

    return make


def test_files_untouched_for_30_days_are_swept_with_a_save(
    store: FileStore, directory: Path, old: Callable[..., Path]
) -> None:
    dead = [
        old(f"{OTHER}.record"),
        old(f"{OTHER}.lock"),
        old(f"{OTHER}.lease"),
        old(f"{OTHER}.{'0' * 16}.held"),
        old(f"{OTHER}.new"),
        old(f"{NAME}.{'0' * 16}.held"),
        old(f"{'a' * 32}.lock"),
        old(f"check-{'b' * 16}.lock"),
        # files of older releases
        old(f"{'c' * 32}.json"),
        old(f"{'c' * 32}.1700000000.000-1700000008.000-0123456789abcdef.lease"),
    ]
    alive = [
        old(f"{'d' * 32}.record", days=29.0),
        old(f"{'d' * 32}.lock"),
        old("notes.record"),
        old(f"{OTHER}.record.backup"),
    ]
    put(store, b"record-1")
    assert [path.name for path in dead if path.exists()] == []
    assert [path.name for path in alive if not path.exists()] == []
    assert store.load(NAME) == b"record-1"


def test_leased_records_are_not_swept(
    store: FileStore, directory: Path, old: Callable[..., Path]
) -> None:
    lease = lease_of(store, OTHER)
    stays = old(f"{OTHER}.record")
    put(store, b"record-1")
    assert stays.exists()
    assert lease.extend(6.0)


def test_an_unreadable_lease_does_not_stop_the_sweep_of_other_files(
    store: FileStore, old: Callable[..., Path]
) -> None:
    for digit in "0a":
        old(f"{digit * 32}.record")
    stays = old(f"{'5' * 32}.lease")
    stays.chmod(0o644)
    put(store, b"record-1")
    assert [path for path in stays.parent.glob("*.record") if path.stem != NAME] == []
    assert stays.exists()


def test_a_record_that_another_process_is_changing_is_not_swept(
    store: FileStore, directory: Path, old: Callable[..., Path]
) -> None:
    stays = old(f"{OTHER}.record")
    with filelock.FileLock(directory / f"{OTHER}.lock", thread_local=False):
        put(store, b"record-1")
    assert stays.exists()


def test_all_stores_of_a_process_sweep_once_an_hour(
    directory: Path, old: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 5000.0
    monkeypatch.setattr(_file_store, "monotonic_clock", lambda: now)
    put(FileStore(directory), b"record-1")
    dead = old(f"{OTHER}.record")
    put(FileStore(directory), b"record-1")
    assert dead.exists()
    now += 3600.0
    put(FileStore(directory), b"record-1")
    assert not dead.exists()


def test_a_record_that_is_only_loaded_is_touched_once_a_day(
    store: FileStore, old: Callable[..., Path]
) -> None:
    path = old(f"{OTHER}.record", days=29.0)
    assert store.load(OTHER) == b""
    touched = path.stat().st_mtime
    assert touched > time.time() - 60.0
    os.utime(path, (0.0, touched - 0.9 * DAY))
    store.load(OTHER)
    assert path.stat().st_mtime == pytest.approx(touched - 0.9 * DAY)


def test_a_failed_sweep_does_not_fail_the_save(
    store: FileStore, old: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    old(f"{OTHER}.record")
    real = Path.lstat

    def gone(self: Path) -> Any:
        if self.suffix == ".record":
            raise FileNotFoundError
        return real(self)

    monkeypatch.setattr(Path, "lstat", gone)
    put(store, b"record-1")

    def refuse(*_: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(_file_store, "_swept", {})
    monkeypatch.setattr(Path, "iterdir", refuse)
    put(store, b"record-2")
    assert store.load(NAME) == b"record-2"


def test_a_waiter_for_a_guard_that_was_swept_gets_the_new_guard(
    store: FileStore, directory: Path
) -> None:
    """Two processes must not hold guards of one name that are different files."""
    code = f"""
        import sys
        from monta_auth.stores._file_store import FileStore
        store = FileStore({str(directory)!r})
        while True:
            store._remove({NAME!r}, [], 0.0)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)]) as process:
        try:
            end = time.monotonic() + 1.0
            inside = threading.Lock()
            failed: list[str] = []

            def enter() -> None:
                while time.monotonic() < end:
                    with store._guard(NAME, 0.5) as is_ours:
                        if is_ours:
                            if not inside.acquire(blocking=False):
                                failed.append("two at once")
                                return
                            inside.release()

            threads = [threading.Thread(target=enter) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert failed == []
        finally:
            process.kill()
