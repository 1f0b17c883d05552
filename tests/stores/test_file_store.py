"""The store on disk: who may read it, what happens to its holder, and disks that fail."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import random
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from monta_auth import TokenStoreError
from monta_auth._core.store_protocol import Lease, Store
from monta_auth.stores import _file_store, _files
from monta_auth.stores._file_store import FileStore
from monta_auth.stores.testing import StoreContract

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
    """Time that passes without waiting for it."""

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


def as_user(uid: int, function: Callable[[], object]) -> None:
    """Call it in a child that runs as another user; what it raises fails the test."""
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
    """A process that has the lease, runs some code and then waits."""
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


def test_it_is_a_store_and_its_lease_a_lease(store: FileStore) -> None:
    as_store: Store = store
    lease: Lease | None = store.try_lock(NAME, 6.0)
    assert as_store.load(NAME) is None
    assert lease is not None


def test_nothing_is_touched_when_it_is_made_or_loads(store: FileStore, directory: Path) -> None:
    assert store.load(NAME) is None
    assert not directory.exists()


def test_nothing_is_saved_without_a_lease_or_with_that_of_another_name(store: FileStore) -> None:
    store.save(NAME, b"record-1", None)
    other = lease_of(store, OTHER)
    store.save(NAME, b"record-1", other)
    assert store.load(NAME) is None


def test_it_can_be_pickled(directory: Path) -> None:
    """With the auth object that it belongs to."""
    assert repr(pickle.loads(pickle.dumps(FileStore(directory)))) == repr(FileStore(directory))


# --- check


def test_a_check_leaves_nothing(store: FileStore, directory: Path) -> None:
    put(store, b"record-1")
    store.check()
    assert {path.name.partition(".")[0] for path in directory.iterdir()} == {NAME}
    assert store.load(NAME) == b"record-1"


def test_a_check_finds_what_the_other_methods_raise(store: FileStore, directory: Path) -> None:
    directory.write_text("")
    with pytest.raises(TokenStoreError, match="is a file: delete it, or name another directory"):
        store.check()


# --- who may read it


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777], indirect=True, ids=oct)
def test_nobody_else_can_read_anything(directory: Path, umask: int) -> None:
    """Whatever the umask: it may neither give rights away nor take our own."""
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
def test_directories_on_the_way_are_made_for_this_user_alone(tmp_path: Path, umask: int) -> None:
    """Others could rename what is in a directory that they can write to."""
    there = tmp_path / "there"
    there.mkdir()
    there.chmod(0o755)
    directory = there / "state" / "app" / "monta"
    put(FileStore(directory), b"record-1")
    made = [directory, *directory.parents[:2]]
    assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o700] * 3
    assert stat.S_IMODE(there.stat().st_mode) == 0o755


@pytest.mark.parametrize("umask", [0o000], indirect=True, ids=oct)
def test_not_even_for_an_instant(
    store: FileStore, umask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_a_link_is_not_followed(store: FileStore, directory: Path, record: Path) -> None:
    """Neither to read (another user's file) nor to write (a file of ours)."""
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
def test_what_is_no_file_is_refused_and_never_waited_for(
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


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777], ids=oct)
def test_a_directory_that_others_can_write_to_is_refused(
    store: FileStore, directory: Path, mode: int
) -> None:
    """Also where a mounted volume prescribes such a mode, and chmod changes nothing."""
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
        f"try_lock failed: {directory} belongs to uid 12345, and this process runs as uid 0: run "
        "all as one user, or name another directory, as in FileStore('/var/lib/my-app/monta')"
    )


@pytest.mark.parametrize("below", ["", "tokens"])
def test_a_file_in_place_of_the_directory_is_an_error(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    store = FileStore(tmp_path / "file" / below)
    with pytest.raises(TokenStoreError, match=r"delete (it|the file), or name another directory"):
        store.try_lock(NAME, 6.0)


@is_root
def test_where_this_user_may_not_write_the_text_names_the_owner() -> None:
    """A directory below one of root's; and what root once left in a directory of this user."""
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
            start = f"try_lock failed: PermissionError (EACCES) in {roots}/monta: {roots} belongs "
            assert str(caught.value).startswith(start + "to uid 0, and this process runs as uid 4")
            with pytest.raises(TokenStoreError, match=rf"{NAME}\.record belongs to uid 0"):
                FileStore(own).load(NAME)
            with pytest.raises(TokenStoreError, match=rf"{NAME}\.lock belongs to uid 0"):
                FileStore(own).try_lock(NAME, 6.0)

        as_user(4321, check)


@is_root
def test_where_this_user_lacks_a_right_the_text_names_the_mode() -> None:
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
    """A record that may not be read. Root may do anything, so the refusal is played."""
    real = os.open

    def refuse(path: Any, *args: Any, **more: Any) -> int:
        if path == record:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *args, **more)

    monkeypatch.setattr(os, "open", refuse)
    return record


@is_root
def test_a_refusal_names_the_owner(store: FileStore, refused: Path) -> None:
    put(store, b"record-1")
    os.chown(refused, 12345, 12345)
    with pytest.raises(TokenStoreError) as caught:
        store.load(NAME)
    assert str(caught.value) == (
        f"load failed: PermissionError (EACCES) in {refused}: {refused} belongs to uid 12345, and "
        "this process runs as uid 0: run all as one user, or name another directory, as in "
        "FileStore('/var/lib/my-app/monta')"
    )
    assert isinstance(caught.value.__cause__, PermissionError)


@pytest.mark.parametrize("culprit", ["record", "directory"])
def test_a_refusal_names_the_mode(store: FileStore, refused: Path, culprit: str) -> None:
    put(store, b"record-1")
    path = refused
    if culprit == "directory":  # The record cannot be seen then.
        refused.unlink()
        path = refused.parent
    path.chmod(0o100)
    with pytest.raises(TokenStoreError, match=f"{path} has mode 0100: chmod [67]00 it;"):
        store.load(NAME)


@is_root
def test_a_refusal_without_a_visible_reason_names_the_system(
    store: FileStore, refused: Path
) -> None:
    put(store, b"record-1")
    with pytest.raises(TokenStoreError, match="a rule of the system forbids it"):
        store.load(NAME)


def test_a_directory_that_another_process_makes_just_now_is_used(
    store: FileStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.mkdir

    def late(self: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        real(self, mode, parents, exist_ok)
        real(self, mode, parents, exist_ok)

    monkeypatch.setattr(Path, "mkdir", late)
    put(store, b"record-1")
    assert store.load(NAME) == b"record-1"


def test_where_files_have_no_owners_it_works_without(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows, as far as it can be played."""
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
    """One that other users can get to: those of pytest are for this user alone."""
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


def test_without_home_that_of_the_account_is_taken() -> None:
    """As in cron and systemd."""
    code = "from monta_auth.stores._file_store import FileStore; print(FileStore())"
    assert str(Path(f"~{os.environ.get('USER', 'root')}").expanduser()) in run(
        code, HOME=None, XDG_STATE_HOME=None
    )


@pytest.mark.parametrize("answer", ["~/.local/state/monta-auth", RuntimeError(), KeyError()])
def test_an_account_without_home_is_told_to_name_a_path(
    answer: str | Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container with a user id that nobody knows. Releases of platformdirs differ."""

    def homeless(*_: Any, **__: Any) -> str:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(platformdirs, "user_state_dir", homeless)
    with pytest.raises(TokenStoreError, match=r"no home directory .*: name the directory, as in"):
        FileStore()


@is_root
def test_a_user_id_that_nobody_knows_is_told_to_name_a_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)

    def check() -> None:
        for path in (None, "~/monta"):
            with pytest.raises(TokenStoreError, match="no home directory"):
                FileStore(path)

    as_user(4321, check)


def test_a_tilde_that_leads_nowhere_is_an_error() -> None:
    with pytest.raises(TokenStoreError, match="no home directory"):
        FileStore("~no-such-user-here/tokens")


def test_an_empty_path_is_an_error() -> None:
    """As of a variable that is set to nothing: it would mean the working directory."""
    with pytest.raises(TokenStoreError, match="got an empty path: name the directory"):
        FileStore("")


def test_a_relative_path_does_not_move_with_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    store = FileStore("tokens")
    monkeypatch.chdir(tmp_path)
    put(store, b"record-1")
    assert list((tmp_path / "a" / "tokens").glob("*.record"))


def test_a_link_to_the_directory_is_followed_once(tmp_path: Path) -> None:
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
def test_a_missing_package_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r"pip install 'monta-auth\[file\]'"):
        FileStore()
