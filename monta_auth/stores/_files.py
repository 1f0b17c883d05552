"""File access for `FileStore`: for one user only, and never through a link."""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .._core.errors import TokenStoreError
from .._core.store_errors import cause_of

if TYPE_CHECKING:
    from filelock import BaseFileLock

#: A lease that begins this many seconds in the future does not count: the clock was set back.
_CLOCK_SLACK = 1.0
_LEASE = re.compile(rb"(\d{1,15}\.\d{3}) (\d{1,15}\.\d{3}) ([0-9a-f]{16}) (saved|open)\n")

#: Bytes to read at most; every record is shorter.
_LONGEST = 2**18

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
#: Windows has no owners; there the access lists of the user's profile protect the files.
_HAS_OWNERS = hasattr(os, "geteuid")

EXAMPLE = "as in FileStore('/var/lib/my-app/monta')"
_OTHER = f"name another directory, {EXAMPLE}"
_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space",
    getattr(errno, "EDQUOT", errno.ENOSPC): "the disk quota is used up: free some space",
    errno.EFBIG: "a limit on the size of files is reached: raise it (ulimit -f)",
    errno.EROFS: f"the disk is read-only: {_OTHER}",
    errno.EIO: "the disk fails: look at the system's log",
    errno.ELOOP: "a symbolic link is in place of a file: delete the link",
    errno.ENOTDIR: f"a file is in place of a directory: delete the file, or {_OTHER}",
    errno.ENOSYS: f"this file system has no locks: {_OTHER}",
    errno.ENOLCK: f"this file system has no locks: {_OTHER}",
    errno.EOPNOTSUPP: f"this file system has no locks: {_OTHER}",
}


class Unfit(Exception):
    """A file cannot be used, or not safely; the text says what to do."""


@contextmanager
def explained(operation: str, directory: Path) -> Generator[None, None, None]:
    """Turn file errors into a TokenStoreError that says why and what to do."""
    try:
        yield
    except Unfit as error:
        raise TokenStoreError(f"{operation} failed: {error}") from None
    except OSError as error:
        named = error.filename if isinstance(error.filename, str) else None
        place = Path(named) if named else directory
        number = error.errno or 0
        denied = number in (errno.EACCES, errno.EPERM) and _HAS_OWNERS
        advice = _why_denied(place) if denied else _ADVICE.get(number)
        text = f"{operation} failed: {cause_of(error)} in {place}"
        raise TokenStoreError(f"{text}: {advice}" if advice else text) from error


def _why_denied(place: Path) -> str:
    """Explain which part of the path this user may not use."""
    user = os.geteuid()
    is_there = False
    for path in (place, *place.parents):
        try:
            found = path.lstat()
        except OSError:  # It does not exist, or its directory may not be searched.
            continue
        is_there |= path == place
        if found.st_uid != user:
            return _foreign(path, found.st_uid) if is_there else _unmade(place, path)
        needed = 0o700 if stat.S_ISDIR(found.st_mode) else 0o600
        if found.st_mode & needed != needed:
            return _wrong_mode(path, found.st_mode, needed)
    return "a rule of the system forbids it (SELinux, AppArmor or a container)"  # as root


def _foreign(path: Path, owner: int) -> str:
    return (
        f"{path} belongs to uid {owner}, and this process runs as uid {os.geteuid()}: change its "
        f"owner (chown), or {_OTHER}"
    )


def _unmade(place: Path, parent: Path) -> str:
    user = os.geteuid()
    return (
        f"uid {user} may not make it in {parent}: make it for this user "
        f"(install -d -m 700 -o {user} {place}), or {_OTHER}"
    )


def _wrong_mode(path: Path, mode: int, wanted: int) -> str:
    return (
        f"{path} has mode {stat.S_IMODE(mode):04o}: chmod {wanted:o} it; if the mode stays as it "
        f"is (a mounted volume can prescribe it), {_OTHER}"
    )


def prepare(directory: Path) -> None:
    """Make the directory if needed, and check that only this user can write to it."""
    try:
        found = directory.stat()
    except FileNotFoundError:
        _make(directory)
        found = directory.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise Unfit(f"{directory} is a file: delete it, or {_OTHER}")
    if not _HAS_OWNERS:
        return
    user = os.geteuid()
    if found.st_uid not in (0, user):
        raise Unfit(_foreign(directory, found.st_uid))
    if found.st_mode & 0o022:
        if found.st_uid != user or found.st_mode & stat.S_ISVTX:  # such as /tmp
            raise Unfit(f"other users can write to {directory}: name a directory below, {EXAMPLE}")
        raise Unfit(f"other users can write: {_wrong_mode(directory, found.st_mode, 0o700)}")
    if found.st_uid == user and found.st_mode & 0o700 != 0o700:
        raise Unfit(f"files cannot be kept there: {_wrong_mode(directory, found.st_mode, 0o700)}")


def _make(directory: Path) -> None:
    """Make the directory and its missing parents, each for this user only."""
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except FileNotFoundError:
        if directory.parent.exists():
            raise  # The parent allows no new directories, like /proc.
        _make(directory.parent)
        _make(directory)
    else:
        directory.chmod(0o700)  # independent of the umask


def read(path: Path, *, touch_after: float | None = None) -> bytes | None:
    """Return the content of a file, or None if it does not exist.

    Args:
        touch_after: touch the file if its last change is before this Unix time (seconds).
    """
    try:
        descriptor = os.open(path, _READ)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Unfit(f"{path} is not a regular file: delete it")
        if _HAS_OWNERS and found.st_uid != os.geteuid():
            raise Unfit(_foreign(path, found.st_uid))
        if _HAS_OWNERS and found.st_mode & 0o077:
            raise Unfit(f"other users can read: {_wrong_mode(path, found.st_mode, 0o600)}")
        if touch_after is not None and found.st_mtime < touch_after:
            _touch(path)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(_LONGEST)
    finally:
        os.close(descriptor)


def _touch(path: Path) -> None:
    try:
        os.utime(path)
    except OSError:
        pass  # A read-only disk can still be read.


def write(path: Path, content: bytes, *, lasting: bool) -> None:
    """Replace a file atomically. The caller holds the guard of its name.

    Args:
        lasting: whether it must survive a power loss.
    """
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)  # its writer was killed
    descriptor = os.open(new, _CREATE, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if _HAS_OWNERS:
                os.fchmod(descriptor, 0o600)  # the umask may remove even our own rights
            file.write(content)
            file.flush()
            if lasting:
                os.fsync(descriptor)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    if lasting:
        sync(path.parent)


def sync(directory: Path) -> None:
    """Make a change of the directory survive a power loss."""
    if not hasattr(os, "O_DIRECTORY"):  # pragma: no cover - Windows cannot do this
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def taken(path: Path, patience: float) -> BaseFileLock | None:
    """Return the kernel's lock of a file, or None if it stays taken for `patience` seconds.

    Raises:
        OSError: locks do not work here, for example because the file system has none.
    """
    from filelock import FileLock, Timeout

    # The fallback without kernel locks leaves lock files behind when a process dies. Then no store
    # is better.
    lock = FileLock(path, mode=0o600, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(timeout=patience, poll_interval=0.01)
    except Timeout:
        return None
    return lock


def drop(held: Path, lock: BaseFileLock) -> None:
    lock.release()
    unlink(held)


def unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except PermissionError:
        pass  # Windows keeps files that others have open; a later clean-up deletes them.


def is_older(path: Path, limit: float) -> bool:
    try:
        return path.lstat().st_mtime < limit
    except OSError:
        return False


class Entry(NamedTuple):
    """The content of a ``.lease`` file."""

    start: float
    until: float
    token: str
    saved: bool

    @classmethod
    def starting_now(cls, seconds: float, token: str) -> Entry:
        now = time.time()
        return cls(now, now + seconds, token, False)

    @classmethod
    def read(cls, content: bytes) -> Entry:
        match = _LEASE.fullmatch(content)
        if match is None:  # after a power loss, its holder is lost too
            return cls(0.0, 0.0, "", False)
        return cls(float(match[1]), float(match[2]), match[3].decode(), match[4] == b"saved")

    def __bytes__(self) -> bytes:
        word = "saved" if self.saved else "open"
        return f"{self.start:.3f} {self.until:.3f} {self.token} {word}\n".encode()

    def has_time(self) -> bool:
        return self.start - _CLOCK_SLACK <= time.time() < self.until
