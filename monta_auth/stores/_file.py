"""A store on disk, for the processes of one user on one machine.

In a directory of its own each client has, under a name that tells nothing:

* ``NAME.json``: the record. It is replaced as a whole, so that at each moment there is an old
  one, a new one or none.
* ``NAME.lock``: whoever changes something here holds this lock for the milliseconds that it takes.
* ``NAME.START-UNTIL-TOKEN.lease``: the lease. Its holder keeps it locked, and removes it. One whose
  lock is free (its process died, or dropped it) or whose time is over is swept away by the next
  taker, who takes the refresh token for spent; a holder whose lease was swept away cannot save.
* ``NAME.new``: a record that is being written.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from .._core.errors import TokenStoreError
from .._core.old_store import Store
from .._core.secret import hidden
from .._core.tokens import TokenSet
from ._record import LONGEST, dump_record, load_record, record_key, without_refresh_token

if TYPE_CHECKING:
    from filelock import BaseFileLock

#: How long `save` waits for others who change something just now, in seconds.
_PATIENCE = 1.0
#: Where a lease begins later than now, the clock was set back: such a lease does not count.
_CLOCK_SLACK = 1.0

#: In the name of a lease: when it began and when it ends, in seconds since 1970.
_TIMES = re.compile(r"(\d{1,15}\.\d{3})-(\d{1,15}\.\d{3})-", re.ASCII)

# Some of these do not exist on Windows.
_READ: int = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)
_CREATE: int = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_HAS_OWNERS = hasattr(os, "geteuid")


class FileStore:
    """Keeps pairs in files: for the processes of one user on one machine, and for cron jobs.

    The directory is made with mode 0700, as are missing ones above it, and each file with 0600;
    nobody else can read them, not even for an instant. Any number of clients can share one
    directory. A process that is killed leaves the old pair or the new one.

    Needs filelock and platformdirs: ``pip install 'monta-auth[file]'``.

    Args:
        path: the directory. Default: ``monta-auth`` in the user's state directory
            (``~/.local/state`` on Linux, by platformdirs).

    Raises:
        ImportError: filelock or platformdirs is missing.
        TokenStoreError: there is no home to put a default directory in. Other users can read a
            record, or can write to the directory: that is found when an auth object is made.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        try:
            import platformdirs

            import_module("filelock")  # now, since nothing is imported during a request
        except ImportError as error:
            raise ImportError(
                "FileStore needs filelock and platformdirs: pip install 'monta-auth[file]'"
            ) from error
        if path is None:
            directory = Path(platformdirs.user_state_dir("monta-auth", appauthor=False))
            # Cron, systemd and containers run processes without HOME. The user database helps,
            # but not an account that is not in it.
            if not directory.is_absolute():
                raise TokenStoreError(
                    "FileStore finds no home directory (HOME is unset): name the directory, as "
                    "in FileStore('/var/lib/my-app/monta')"
                )
        else:
            try:
                directory = Path(path).expanduser()
            except RuntimeError:
                raise TokenStoreError("FileStore finds no home directory for '~'") from None
        # A daemon changes its working directory; links are followed now, and none later.
        self._directory = Path(os.path.realpath(directory))

    def bind(self, base_url: str, client_id: str | None) -> Store:
        """Return the store of this client; its auth object calls this."""
        return _ClientFile(self._directory, base_url, client_id)

    def __repr__(self) -> str:
        return f"FileStore({str(self._directory)!r})"


class _ClientFile:
    def __init__(self, directory: Path, base_url: str, client_id: str | None) -> None:
        self._directory = directory
        self._client = (base_url, client_id)
        self._name = record_key(*self._client)
        self._record = directory / f"{self._name}.json"
        try:
            self._prepare()
            self._read()
        except OSError as error:
            # A disk that is full or read-only today is no reason to refuse service.
            if error.errno not in _WEATHER:
                raise TokenStoreError(
                    f"FileStore cannot use {directory}: {error.strerror}"
                ) from None

    def load(self) -> TokenSet | None:
        return load_record(self._read(), *self._client)

    def try_lock(self, seconds: float) -> _FileLease | None:
        self._prepare()
        with self._guard(0.0) as is_ours:
            if not is_ours:
                return None
            now = time.time()
            for other in self._leases():
                if self._is_live(other, now):
                    return None
                # Its holder may have sent the refresh token before it died.
                self._doubt_refresh_token()
                try:
                    other.unlink()
                except PermissionError:  # Windows keeps what is open: it ends with its process
                    return None
            token = secrets.token_hex(8)
            path = self._directory / f"{self._name}.{now:.3f}-{now + seconds:.3f}-{token}.lease"
            lock = _taken(path, 0.0)
            return None if lock is None else _FileLease(path, lock)

    def save(self, pair: TokenSet | None, lease: object) -> None:
        text = None if pair is None else hidden(dump_record(pair, *self._client))
        with self._guard(_PATIENCE) as is_ours:
            if not is_ours:
                raise TokenStoreError("another process has been changing the stored pair for long")
            # Only as long as the lease is there: a holder that lost it must not overwrite the
            # pair of its successor.
            if isinstance(lease, _FileLease) and lease.path in self._leases():
                if text is None:
                    self._record.unlink(missing_ok=True)
                    self._sync()
                else:
                    self._write(text)

    def __repr__(self) -> str:
        return f"<FileStore of one client in {str(self._directory)!r}>"

    # --- leases

    @contextmanager
    def _guard(self, patience: float) -> Generator[bool, None, None]:
        lock = _taken(self._directory / f"{self._name}.lock", patience)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.release()

    def _leases(self) -> list[Path]:
        return list(self._directory.glob(f"{self._name}.*.lease"))

    def _is_live(self, lease: Path, now: float) -> bool:
        times = _TIMES.match(lease.name, len(self._name) + 1)
        if times is None or not float(times[1]) - _CLOCK_SLACK <= now < float(times[2]):
            return False
        lock = _taken(lease, 0.0)
        if lock is None:
            return True
        lock.release()
        return False

    def _doubt_refresh_token(self) -> None:
        record = self._read()
        # Without credentials, to try it is all that is left.
        if record is not None and self._client[1] is not None:
            text = hidden(without_refresh_token(record))
            if text is not None:
                self._write(text)

    # --- files

    def _prepare(self) -> None:
        """Make the directory, and see that nobody else can put files into it."""
        _make(self._directory)
        if not _HAS_OWNERS:
            return  # Windows: the access lists of the user's profile protect it
        found = self._directory.stat()
        if not stat.S_ISDIR(found.st_mode):
            raise TokenStoreError(f"{self._directory} is a file: FileStore takes a directory")
        if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
            raise TokenStoreError(
                f"other users can write to {self._directory}: FileStore needs a directory of its "
                "own (chmod 700)"
            )

    def _read(self) -> bytes | None:
        try:
            descriptor = os.open(self._record, _READ)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise TokenStoreError(f"{self._record} is a symbolic link") from None
            raise
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise TokenStoreError(f"{self._record} is not a regular file")
            if _HAS_OWNERS and (found.st_uid != os.geteuid() or found.st_mode & 0o077):
                raise TokenStoreError(
                    f"{self._record} belongs to another user or can be read by others: delete "
                    "it, or take the rights away (chmod 600) if nobody can have read it"
                )
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return hidden(file.read(LONGEST + 1))
        finally:
            os.close(descriptor)

    def _write(self, text: str) -> None:
        new = self._directory / f"{self._name}.new"
        new.unlink(missing_ok=True)  # we hold the guard: its writer was killed
        descriptor = os.open(new, _CREATE, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if _HAS_OWNERS:
                    os.fchmod(descriptor, 0o600)  # a umask may have taken even our own rights
                file.write(text.encode())
                file.flush()
                os.fsync(descriptor)
            new.replace(self._record)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        self._sync()

    def _sync(self) -> None:
        """Make the change of the directory last through a loss of power."""
        if not hasattr(os, "O_DIRECTORY"):  # pragma: no cover - Windows cannot do that
            return
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class _FileLease:
    """A locked file. One that is dropped unlocks itself when it is collected."""

    def __init__(self, path: Path, lock: BaseFileLock) -> None:
        self.path = path
        self._lock: BaseFileLock | None = lock

    def release(self) -> None:
        if self._lock is not None:
            lock, self._lock = self._lock, None
            self.path.unlink(missing_ok=True)
            lock.release()


def _make(directory: Path) -> None:
    """Make the directory and those above it that are missing, each for this user alone."""
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except FileNotFoundError:
        _make(directory.parent)
        _make(directory)
    else:
        directory.chmod(0o700)  # whatever the umask is


#: What may pass by itself: a disk that is read-only, full, over quota or failing.
_WEATHER = (errno.EROFS, errno.ENOSPC, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC))


def _taken(path: Path, patience: float) -> BaseFileLock | None:
    """Return the lock, or None if somebody else keeps it for longer than `patience` seconds.

    Raises:
        OSError: there can be no lock here, for instance because the filesystem has none.
    """
    from filelock import FileLock, Timeout

    # Without the kernel's locks there would be lock files that outlive their process: no store
    # is better than those.
    lock = FileLock(path, mode=0o600, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(timeout=patience, poll_interval=0.01)
    except Timeout:
        return None
    return lock
