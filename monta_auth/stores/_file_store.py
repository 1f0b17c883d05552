"""A store on disk, for the processes of one user on one machine.

Its directory holds these files for each name:

* ``NAME.record``: the record. It is replaced atomically.
* ``NAME.lock``: the guard. Every change locks it for a few milliseconds.
* ``NAME.lease``: the lease: when it was taken or last extended, when it expires, a random token,
  and whether its holder has saved since.
* ``NAME.TOKEN.held``: stays locked by the holder. The kernel unlocks it when the process dies, so
  that others need not wait.
* ``NAME.new``: a file that is being written.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from .._core.errors import TokenStoreError
from .._core.policy import monotonic_clock
from .._core.store_errors import cause_of
from . import _check
from ._files import (
    EXAMPLE,
    Entry,
    Unfit,
    drop,
    explained,
    is_older,
    prepare,
    read,
    sync,
    taken,
    unlink,
    write,
)

if TYPE_CHECKING:
    from filelock import BaseFileLock

#: How long to wait for the guard in seconds: to ask for a lease, and as its holder.
_BRIEF, _PATIENCE = 0.1, 1.0
#: How often a process cleans up a directory, and the age of what it deletes, in seconds.
_SWEEP_EVERY, _UNTOUCHED = 3600.0, 30 * 86400.0
#: Reading touches a record that was not touched for this many seconds.
_TOUCH = 86400.0

_NAME = r"(?:[0-9a-f]{32}|check-[0-9a-f]{16})"
#: Files to clean up, including records and leases of older releases.
_SWEPT = re.compile(
    rf"({_NAME})\.(?:record|lock|lease|new|[0-9a-f]{{16}}\.held"
    r"|json|\d+\.\d+-\d+\.\d+-[0-9a-f]+\.lease)",
    re.ASCII,
)

_NO_HOME = f"FileStore finds no home directory (is HOME set?): name the directory, {EXAMPLE}"

#: When this process last cleaned up each directory.
_swept: dict[Path, float] = {}


class FileStore:
    """Keep records in files, for cron jobs and other processes of one user on one machine.

    The directory and its missing parents get mode 0700, files get 0600. Any number of clients can
    share one directory. A killed process leaves either the old record or the new one. Saving
    deletes records that were not used for 30 days, at most once an hour.

    Needs filelock and platformdirs: ``pip install 'monta-auth[file]'``.

    Args:
        path: the directory. Default: ``monta-auth`` in the user's state directory
            (``~/.local/state`` on Linux, from platformdirs).

    Raises:
        ImportError: filelock or platformdirs is missing.
        TokenStoreError: there is no home directory, or the path is empty. The first use, or
            `check`, reports everything else.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        try:
            import platformdirs

            import_module("filelock")  # now, because a request must not import anything
        except ImportError as error:
            raise ImportError(
                "FileStore needs filelock and platformdirs: pip install 'monta-auth[file]'"
            ) from error
        if path == "":
            raise TokenStoreError(f"FileStore got an empty path: name the directory, {EXAMPLE}")
        # Cron, systemd and containers run processes without HOME. The user database may not have
        # the account either.
        try:
            if path is None:
                path = platformdirs.user_state_dir("monta-auth", appauthor=False)
                directory = Path(path)
            else:
                directory = Path(path).expanduser()
        except (RuntimeError, KeyError) as error:
            raise TokenStoreError(_NO_HOME) from error
        if str(path).startswith("~") and not directory.is_absolute():
            raise TokenStoreError(_NO_HOME)
        # A daemon changes its working directory. Links are followed only now.
        try:
            self._directory = Path(os.path.realpath(directory))
        except (OSError, ValueError) as error:
            cause = f"FileStore cannot use this path ({cause_of(error)})"
            raise TokenStoreError(f"{cause}: name the directory, {EXAMPLE}") from error

    def load(self, name: str) -> bytes | None:
        with explained("load", self._directory):
            return read(self._path(name, "record"), touch_after=time.time() - _TOUCH)

    def try_lock(self, name: str, seconds: float) -> _FileLease | None:
        with (
            explained("try_lock", self._directory),
            self._guard(name, _BRIEF) as is_ours,
        ):
            before = self._entry(name) if is_ours else None
            if not is_ours or (before is not None and self._is_live(name, before)):
                return None
            token = secrets.token_hex(8)
            held = self._path(name, f"{token}.held")
            lock = taken(held, _BRIEF)
            if lock is None:
                raise Unfit(f"{held} is locked by another, although it is new")
            try:
                self._write_entry(name, Entry.starting_now(seconds, token))
            except BaseException:
                drop(held, lock)
                raise
            if before is not None:
                unlink(self._path(name, f"{before.token}.held"))
            return _FileLease(self, name, token, lock, before is not None and not before.saved)

    def save(self, name: str, record: bytes | None, lease: object) -> None:
        with explained("save", self._directory):
            with self._guard_of_holder(name):
                entry = self._entry_of(lease, name)
                if entry is None:  # a holder that lost its lease must not overwrite a newer record
                    return
                path = self._path(name, "record")
                if record is None:
                    path.unlink(missing_ok=True)
                    sync(self._directory)
                else:
                    write(path, record, lasting=True)
                self._write_entry(name, entry._replace(saved=True))
            with suppress(OSError):
                self._sweep()

    def check(self) -> None:
        """Save, load and delete a record under a name that nothing else uses.

        Raises:
            TokenStoreError: the store does not work; the text says why and what to do.
        """
        self._remove(_check.check(self), [], 0.0)

    def __repr__(self) -> str:
        return f"FileStore({str(self._directory)!r})"

    def _path(self, name: str, kind: str) -> Path:
        return self._directory / f"{name}.{kind}"

    # --- leases

    def _extend(self, lease: _FileLease, seconds: float) -> bool:
        with explained("extend", self._directory), self._guard_of_holder(lease.name):
            if self._entry_of(lease, lease.name) is None:
                return False
            self._write_entry(lease.name, Entry.starting_now(seconds, lease.token))
            return True

    def _release(self, lease: _FileLease) -> None:
        lock = lease.lock if lease.is_ours else None
        if lock is None:
            return
        try:
            with explained("release", self._directory), self._guard_of_holder(lease.name):
                # An expired lease stays: its holder could not save, which leaves a doubt.
                if self._entry_of(lease, lease.name) is not None:
                    self._path(lease.name, "lease").unlink()
        finally:
            lease.lock = None
            drop(self._path(lease.name, f"{lease.token}.held"), lock)

    @contextmanager
    def _guard(self, name: str, patience: float) -> Generator[bool, None, None]:
        prepare(self._directory)
        lock = taken(self._path(name, "lock"), patience)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.release()

    @contextmanager
    def _guard_of_holder(self, name: str) -> Generator[None, None, None]:
        with self._guard(name, _PATIENCE) as is_ours:
            if not is_ours:
                raise Unfit(
                    f"another process keeps {self._path(name, 'lock')} locked for more than "
                    f"{_PATIENCE:g} s: see whether it was stopped (fuser, kill -CONT)"
                )
            yield

    def _entry(self, name: str) -> Entry | None:
        content = read(self._path(name, "lease"))
        return None if content is None else Entry.read(content)

    def _write_entry(self, name: str, entry: Entry) -> None:
        # After a power loss, no process is left that could hold a lease.
        write(self._path(name, "lease"), bytes(entry), lasting=False)

    def _entry_of(self, lease: object, name: str) -> Entry | None:
        """Return the entry of a lease of this name, or None if it is lost."""
        if not isinstance(lease, _FileLease) or lease.name != name or not lease.is_ours:
            return None
        entry = self._entry(name)
        is_held = entry is not None and entry.token == lease.token and entry.has_time()
        return entry if is_held else None

    def _is_live(self, name: str, entry: Entry) -> bool:
        if not entry.has_time():
            return False
        held = self._path(name, f"{entry.token}.held")
        lock = taken(held, 0.0)
        if lock is not None:
            drop(held, lock)
        return lock is None

    # --- cleaning up

    def _sweep(self) -> None:
        now = monotonic_clock()
        if now - _swept.get(self._directory, float("-inf")) < _SWEEP_EVERY:
            return
        _swept[self._directory] = now
        limit = time.time() - _UNTOUCHED
        found: dict[str, list[Path]] = {}
        for path in self._directory.iterdir():
            match = _SWEPT.fullmatch(path.name)
            if match is not None:
                found.setdefault(match[1], []).append(path)
        for name, paths in found.items():
            # The guard of a name in use keeps its first date.
            others = [path for path in paths if path.suffix != ".lock"]
            if any(is_older(path, limit) for path in others or paths):
                self._remove(name, others, limit)

    def _remove(self, name: str, paths: list[Path], limit: float) -> None:
        """Delete files older than `limit`, and the guard if no others are left."""
        with suppress(OSError, Unfit), self._guard(name, 0.0) as is_ours:
            if not is_ours:
                return
            entry = self._entry(name)
            used: list[Path] = []
            if entry is not None and self._is_live(name, entry):
                used = [self._path(name, each) for each in ("record", f"{entry.token}.held")]
            old = [path for path in paths if is_older(path, limit) and path not in used]
            for path in old:
                unlink(path)
            # A process that waits for the guard notices the deletion and makes a new one, because
            # filelock checks the number of links once it has the lock.
            if old == paths and not used:
                unlink(self._path(name, "lock"))


class _FileLease:
    """A lease with its locked file, which is unlocked when the object is collected."""

    def __init__(
        self, store: FileStore, name: str, token: str, lock: BaseFileLock, doubt: bool
    ) -> None:
        self.name = name
        self.token = token
        self.doubt = doubt
        self.lock: BaseFileLock | None = lock
        self._store = store
        self._process = os.getpid()

    @property
    def is_ours(self) -> bool:
        """Whether this process still holds it: not released, and not inherited through a fork."""
        return self.lock is not None and self._process == os.getpid()

    def extend(self, seconds: float) -> bool:
        return self._store._extend(self, seconds)

    def release(self) -> None:
        self._store._release(self)
