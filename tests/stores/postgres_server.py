"""A PostgreSQL for tests, if one is installed."""

from __future__ import annotations

import importlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import pytest


def _folder_of_programs() -> Path:
    folders = [Path(found).parent] if (found := shutil.which("initdb")) else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    pytest.skip("no PostgreSQL here: initdb and postgres are neither on PATH nor below /usr/lib")


class PostgresServer:
    """A server on a free port, with a user ``monta`` that has no rights yet."""

    def __init__(self) -> None:
        self.psycopg: Any = pytest.importorskip("psycopg", reason="psycopg is not installed")
        programs = _folder_of_programs()
        self._directory = Path(tempfile.mkdtemp(prefix="monta-postgres-"))
        # PostgreSQL refuses to run as root.
        who: dict[str, Any] = {"cwd": self._directory, "stdout": subprocess.DEVNULL}
        if os.geteuid() == 0:
            pwd: Any = importlib.import_module("pwd")
            nobody = pwd.getpwnam("nobody")
            os.chown(self._directory, nobody.pw_uid, nobody.pw_gid)
            who.update(user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])
        data = self._directory / "data"
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "owner", "-A", "trust", "--no-sync"],
            check=True,
            **who,
        )
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        self.url = f"postgresql://monta@127.0.0.1:{port}/postgres"
        self._owners_url = self.url.replace("monta@", "owner@")
        # -F: without fsync, -k: without a Unix socket.
        options = ["-p", str(port), "-k", "", "-F", "-c", "listen_addresses=127.0.0.1"]
        self._process = subprocess.Popen(
            [programs / "postgres", "-D", data, *options], stderr=subprocess.DEVNULL, **who
        )
        give_up = time.monotonic() + 20
        while True:
            try:
                self.run("CREATE ROLE monta LOGIN")
                return
            except self.psycopg.OperationalError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.02)

    def run(self, statement: str, *values: object) -> None:
        """Run a statement as the superuser."""
        with self.psycopg.connect(self._owners_url, autocommit=True) as connection:
            connection.execute(statement, values)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._directory)
