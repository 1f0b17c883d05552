"""A local Monta, a keyring in memory, and commands that run as users run them.

Everything that a command prints is searched for all secrets and tokens that the emulator knows.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import keyring
import keyring.backend
import pytest

from monta_auth import _cli
from monta_auth.emulator import Emulator

from .harness import Done


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring that lasts as long as its test."""

    priority: float = 1  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture(autouse=True)
def memory_keyring() -> Iterator[MemoryKeyring]:
    before, backend = keyring.get_keyring(), MemoryKeyring()
    keyring.set_keyring(backend)
    yield backend
    keyring.set_keyring(before)


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Store tokens in a temporary directory, and let child processes find no keyring."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return tmp_path / "state"


@pytest.fixture
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a renewal make its next attempt without a pause."""
    monkeypatch.setattr("monta_auth._core.drivers.time.sleep", lambda seconds: None)


@pytest.fixture
def monta() -> Iterator[Emulator]:
    with Emulator(client_id="my-client", client_secret="my-top-secret") as monta:
        yield monta


@pytest.fixture
def credentials(monta: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the environment variables to the emulator and its credentials."""
    monkeypatch.setenv("MONTA_BASE_URL", monta.base_url)
    monkeypatch.setenv("MONTA_CLIENT_ID", monta.client_id)
    monkeypatch.setenv("MONTA_CLIENT_SECRET", monta.client_secret)


@pytest.fixture
def run(
    monta: Emulator, tokens: list[str], capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Return a function that runs a command here. With ``shows_token``, it may print a token."""

    def run(*arguments: str, shows_token: bool = False) -> Done:
        with pytest.raises(SystemExit) as ended:
            _cli.main(arguments)
        captured = capsys.readouterr()
        done = Done(ended.value.code, captured.out, captured.err)
        printed = done.err if shows_token else done.out + done.err
        assert not [s for s in (*tokens, monta.client_secret) if s in printed]
        return done

    return run


@pytest.fixture
def start(monta: Emulator, tokens: list[str]) -> Callable[..., Done]:
    """Return a function that runs a command in a separate process, without a terminal."""

    def start(*arguments: str, shows_token: bool = False, **environment: str) -> Done:
        ended = subprocess.run(
            [sys.executable, "-m", "monta_auth", *arguments],
            env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=25,
        )
        printed = ended.stderr if shows_token else ended.stdout + ended.stderr
        assert not [s for s in (*tokens, monta.client_secret) if s in printed]
        return Done(ended.returncode, ended.stdout, ended.stderr)

    return start
