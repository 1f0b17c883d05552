"""login, logout and profiles: which credentials the keyring gets and loses, and which are used."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import keyring
import pytest
from keyring.backends import SecretService, fail, null
from keyring.backends.chainer import ChainerBackend
from keyring.errors import KeyringLocked

from monta_auth._core import policy
from monta_auth._core.sealing import Seal
from monta_auth.emulator import Emulator
from monta_auth.stores import FileStore

from .conftest import MemoryKeyring
from .harness import MONTA_AUTH, Done, at_a_terminal

Run = Callable[..., Done]
KEY = ("monta-auth", "default")


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make this text the standard input, which is then no terminal."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


@pytest.fixture
def logged_in(monta: Emulator, memory_keyring: MemoryKeyring) -> str:
    """Make the emulator's credentials the default profile."""
    memory_keyring.kept[KEY] = json.dumps(
        {
            "client_id": monta.client_id,
            "client_secret": monta.client_secret,
            "base_url": monta.base_url,
        }
    )
    return memory_keyring.kept[KEY]


def test_the_secret_comes_from_a_pipe(
    monta: Emulator, run: Run, pipe: Callable[[str], None], memory_keyring: MemoryKeyring
) -> None:
    pipe(monta.client_secret + "\n")
    done = run("login", "--client-id", "my-client", "--base-url", monta.base_url + "/")
    name = "tests.cli.conftest.MemoryKeyring"
    assert done == (0, f"Profile default is in the keyring ({name}), for {monta.base_url}.\n", "")
    assert json.loads(memory_keyring.kept[KEY]) == {
        "client_id": "my-client",
        "client_secret": "my-top-secret",
        "base_url": monta.base_url,
    }
    assert [call.path for call in monta.calls] == ["/auth/token"]


def test_the_login_is_used_without_an_environment(
    monta: Emulator, run: Run, tokens: list[str], logged_in: str
) -> None:
    assert run("token", shows_token=True) == (0, f"{tokens[0]}\n", "")
    assert run("status").out.startswith("credentials    keyring, profile default\n")


@pytest.mark.usefixtures("logged_in", "credentials")
def test_the_environment_overrides_the_login(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONTA_CLIENT_ID", "another")
    assert json.loads(run("status", "--json").out)["client_id"] == "another"


@pytest.mark.usefixtures("logged_in")
def test_a_profile_overrides_the_environment(
    monta: Emulator, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its base URL: the environment's may belong to other credentials."""
    monkeypatch.setenv("MONTA_CLIENT_ID", "another")
    monkeypatch.setenv("MONTA_CLIENT_SECRET", "secret")
    monkeypatch.setenv("MONTA_BASE_URL", "https://example.com/api/v1")
    told = json.loads(run("status", "--json", "--profile", "default").out)
    assert (told["client_id"], told["base_url"]) == ("my-client", monta.base_url)


@pytest.mark.usefixtures("logged_in")
def test_an_option_overrides_the_base_url_of_a_profile(run: Run) -> None:
    done = run("status", "--json", "--base-url", "https://example.com/api/v1")
    assert json.loads(done.out)["base_url"] == "https://example.com/api/v1"


def test_each_profile_has_its_own_token(
    monta: Emulator, run: Run, pipe: Callable[[str], None], tokens: list[str]
) -> None:
    monta.credentials["other-client"] = "other-secret"
    for name, client_id, secret in (
        ("one", "my-client", "my-top-secret"),
        ("two", "other-client", "other-secret"),
    ):
        pipe(secret)
        arguments = ("--profile", name, "--client-id", client_id, "--base-url", monta.base_url)
        assert run("login", *arguments).code == 0
    printed = {run("token", "--profile", n, shows_token=True).out for n in ("one", "two", "one")}
    assert len(printed) == 2
    assert monta.count() == 4  # two to check them, two for tokens


def test_refused_credentials_are_not_kept(
    monta: Emulator, run: Run, pipe: Callable[[str], None], memory_keyring: MemoryKeyring
) -> None:
    pipe("wrong")
    done = run("login", "--client-id", "my-client", "--base-url", monta.base_url)
    assert (done.code, done.out) == (3, "")
    assert memory_keyring.kept == {}


def test_login_checks_the_secret_despite_a_stored_token(
    monta: Emulator, run: Run, pipe: Callable[[str], None], logged_in: str
) -> None:
    run("token", shows_token=True)
    pipe("wrong")
    assert run("login", "--client-id", "my-client", "--base-url", monta.base_url).code == 3


def test_without_a_check_no_call_is_made(
    monta: Emulator, run: Run, pipe: Callable[[str], None], memory_keyring: MemoryKeyring
) -> None:
    pipe("unknown")
    done = run("login", "--client-id", "me", "--no-check")
    assert done.out.endswith(", for https://public-api.monta.com/api/v1.\n")
    assert monta.calls == ()
    assert KEY in memory_keyring.kept


def test_a_pipe_needs_the_client_id(run: Run, pipe: Callable[[str], None]) -> None:
    pipe("secret")
    done = run("login")
    assert done.code == 2
    assert "--client-id is needed if the secret comes from a pipe" in done.err


def test_white_space_around_a_secret_is_status_2(run: Run, pipe: Callable[[str], None]) -> None:
    pipe(" secret ")
    done = run("login", "--client-id", "me")
    assert done.code == 2
    assert "U+0020 SPACE at position 1" in done.err


@pytest.fixture
def forgetful(tmp_path: Path) -> dict[str, str]:
    """The environment of a process with a keyring that accepts everything and keeps nothing."""
    (tmp_path / "forgetful.py").write_text(
        "import keyring.backend\n"
        "class Keyring(keyring.backend.KeyringBackend):\n"
        "    priority = 1\n"
        "    def get_password(self, service, name): return None\n"
        "    def set_password(self, service, name, text): pass\n"
        "    def delete_password(self, service, name): pass\n"
    )
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "PYTHON_KEYRING_BACKEND": "forgetful.Keyring",
        "PYTHONPATH": os.pathsep.join(paths),
    }


def test_a_typed_secret_is_not_shown(monta: Emulator, forgetful: dict[str, str]) -> None:
    """At a real terminal. Its backend keeps nothing, which login notices."""
    done = at_a_terminal(
        *MONTA_AUTH,
        "login",
        "--base-url",
        monta.base_url,
        types=(("Client id: ", "my-client"), ("(is not shown): ", "my-top-secret")),
        environment=forgetful,
    )
    assert "my-client" in done.out
    assert "my-top-secret" not in done.out
    assert [call.status for call in monta.calls] == [200]
    assert done.out.splitlines()[-1] == (
        "monta-auth: the keyring of this system does not store the credentials: set "
        "MONTA_CLIENT_ID and MONTA_CLIENT_SECRET"
    )
    assert done.code == 1


def test_a_known_client_id_is_not_asked_for(monta: Emulator, forgetful: dict[str, str]) -> None:
    done = at_a_terminal(
        *MONTA_AUTH,
        "login",
        "--client-id",
        "my-client",
        "--base-url",
        monta.base_url,
        types=(("(is not shown): ", "wrong"),),
        environment=forgetful,
    )
    assert done.code == 3
    assert "Client id" not in done.out
    assert "(is not shown): " in done.out


def test_logout_deletes_credentials_and_token(
    monta: Emulator, run: Run, logged_in: str, memory_keyring: MemoryKeyring
) -> None:
    run("token", shows_token=True)
    done = run("logout")
    assert done == (
        0,
        "Profile default is no longer in the keyring, and its token is deleted.\n",
        "",
    )
    assert memory_keyring.kept == {}
    seal = Seal(monta.base_url, monta.client_id, monta.client_secret)
    assert FileStore().load(seal.name) is None
    assert monta.count() == 1


@pytest.mark.usefixtures("logged_in")
def test_logout_fails_while_the_token_cannot_be_deleted(
    monta: Emulator,
    run: Run,
    memory_keyring: MemoryKeyring,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another process may be renewing it at that moment."""
    run("token", shows_token=True)
    seal = Seal(monta.base_url, monta.client_id, monta.client_secret)
    lease = FileStore().try_lock(seal.name, 8.0)
    assert lease is not None
    monkeypatch.setattr(policy, "STORE_POLL", 60.0)  # longer than logout tries
    done = run("logout")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "monta-auth: the token pair may still be in the store: another process has kept its lease "
        "for too long. Try again once that is over\n"
    )
    assert KEY in memory_keyring.kept
    lease.release()
    assert run("logout").code == 0


def test_logout_does_not_change_the_environment(
    run: Run, credentials: None, memory_keyring: MemoryKeyring
) -> None:
    """It names a profile, even if credentials of the environment would be used."""
    done = run("logout")
    assert done.code == 3
    assert done.err == (
        "monta-auth: the keyring has no profile 'default': run `monta-auth login --profile "
        "default`\n"
    )


def test_without_credentials_the_error_names_both_ways(run: Run) -> None:
    assert run("token") == (
        3,
        "",
        (
            "monta-auth: there are no credentials: set MONTA_CLIENT_ID and MONTA_CLIENT_SECRET, "
            "or run `monta-auth login`\n"
        ),
    )


@pytest.mark.parametrize("text", ["rubbish", "[]", '{"client_id": "a"}', "null"])
def test_the_error_for_a_broken_entry_says_to_log_in_again(
    run: Run, memory_keyring: MemoryKeyring, text: str
) -> None:
    memory_keyring.kept[KEY] = text
    assert run("token") == (
        3,
        "",
        "monta-auth: the entry of profile 'default' in the keyring cannot be read: log in again\n",
    )


class Plaintext(MemoryKeyring):
    priority = 0.5  # pyright: ignore[reportAssignmentType]


class Alternative(MemoryKeyring):
    """Some keyrings of that package have a priority that keyring takes for a recommendation."""

    __module__ = "keyrings.alt.some"


class ReadOnly(MemoryKeyring):
    """Keyrings that fetch the tokens of package indexes are like this."""

    priority = 9

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError


LOGIN = ("login", "--client-id", "me", "--no-check")


@pytest.mark.parametrize("kind", [Plaintext, Alternative])
def test_a_keyring_in_plain_text_is_refused_before_a_secret_is_asked_for(
    monta: Emulator, run: Run, pipe: Callable[[str], None], kind: type[MemoryKeyring]
) -> None:
    backend, name = kind(), f"{kind.__module__}.{kind.__qualname__}"
    keyring.set_keyring(backend)
    pipe("secret")
    done = run("login", "--client-id", "me")
    assert done == (
        1,
        "",
        (
            f"monta-auth: the keyring {name} stores secrets in plain text: install or unlock the "
            "keyring of your system, set MONTA_CLIENT_ID and MONTA_CLIENT_SECRET, or use "
            "--allow-plaintext\n"
        ),
    )
    assert (sys.stdin.read(), backend.kept, monta.calls) == ("secret", {}, ())

    pipe("secret")
    done = run(*LOGIN, "--allow-plaintext")
    assert done.out.startswith(f"Profile default is in the keyring ({name}), for https://")
    assert KEY in backend.kept


def test_the_first_allowed_and_writable_keyring_is_used(
    run: Run, pipe: Callable[[str], None]
) -> None:
    class Chain(ChainerBackend):
        backends: ClassVar[Any] = [ReadOnly(), Plaintext(), MemoryKeyring()]  # pyright: ignore[reportIncompatibleVariableOverride]

    def kept() -> list[bool]:
        return [KEY in each.kept for each in Chain.backends]

    keyring.set_keyring(Chain())  # type: ignore[no-untyped-call]
    pipe("secret")
    assert "(tests.cli.conftest.MemoryKeyring)" in run(*LOGIN).out
    assert kept() == [False, False, True]
    pipe("secret")
    assert "Plaintext)" in run(*LOGIN, "--allow-plaintext").out
    assert kept() == [False, True, True]
    del Chain.backends[1:]
    pipe("secret")
    assert "does not store the credentials" in run(*LOGIN).err


def test_the_error_for_a_keyring_that_does_not_work_says_so(
    run: Run, pipe: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example the desktop's keyring, when it is chosen on a server."""
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
    keyring.set_keyring(SecretService.Keyring())  # type: ignore[no-untyped-call]
    pipe("secret")
    assert "the system keyring cannot be used (FileNotFoundError)" in run(*LOGIN).err


NO_KEYRING = (
    "monta-auth: this system has no keyring: install or unlock the keyring of your system, or use "
    "MONTA_CLIENT_ID and MONTA_CLIENT_SECRET instead of a login\n"
)
TURNED_OFF = (
    "monta-auth: the keyring is turned off (keyring --disable, or PYTHON_KEYRING_BACKEND): turn it "
    "on (`keyring diagnose` names its files), or use MONTA_CLIENT_ID and MONTA_CLIENT_SECRET "
    "instead of a login\n"
)


@pytest.mark.parametrize(
    ("backend", "ended"),
    [
        pytest.param(fail.Keyring, (3, "", NO_KEYRING), id="missing"),
        pytest.param(null.Keyring, (1, "", TURNED_OFF), id="turned off"),
    ],
)
@pytest.mark.usefixtures("credentials")
def test_without_a_keyring_nothing_is_asked_for(
    monta: Emulator, run: Run, monkeypatch: pytest.MonkeyPatch, backend: Any, ended: object
) -> None:
    """No terminal is asked for the client id and secret, and the API gets no call."""
    keyring.set_keyring(backend())
    stdin = io.StringIO("my-client\nmy-top-secret\n")
    stdin.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", stdin)
    assert run("login") == ended
    assert run("logout") == ended
    assert (stdin.tell(), monta.calls) == (0, ())


def test_the_error_for_a_profile_without_a_keyring_says_so(run: Run) -> None:
    keyring.set_keyring(fail.Keyring())  # type: ignore[no-untyped-call]
    assert run("token", "--profile", "work") == (3, "", NO_KEYRING)


def test_a_locked_keyring_is_found_before_a_secret_is_asked_for(
    run: Run,
    pipe: Callable[[str], None],
    memory_keyring: MemoryKeyring,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def locked(*_: object) -> str:
        raise KeyringLocked("details of the system")

    monkeypatch.setattr(memory_keyring, "get_password", locked)
    pipe("secret")
    done = run(*LOGIN)
    assert (done.code, sys.stdin.read()) == (3, "secret")
    assert done.err.startswith(
        "monta-auth: the system keyring cannot be used (KeyringLocked): unlock it"
    )


def test_the_error_for_a_missing_keyring_says_what_to_do(run: Run) -> None:
    keyring.set_keyring(fail.Keyring())  # type: ignore[no-untyped-call]
    assert run("token") == (
        3,
        "",
        (
            "monta-auth: there are no credentials in the environment, and this system has no "
            "keyring: set MONTA_CLIENT_ID and MONTA_CLIENT_SECRET\n"
        ),
    )


@pytest.mark.usefixtures("credentials")
def test_the_environment_needs_no_keyring(run: Run) -> None:
    keyring.set_keyring(fail.Keyring())  # type: ignore[no-untyped-call]
    assert run("token", shows_token=True).code == 0


def test_the_error_for_a_locked_keyring_says_so(
    run: Run, memory_keyring: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> str:
        raise KeyringLocked("details of the system")

    monkeypatch.setattr(memory_keyring, "get_password", locked)
    assert run("me") == (
        3,
        "",
        (
            "monta-auth: the system keyring cannot be used (KeyringLocked): unlock it, or set "
            "MONTA_CLIENT_ID and MONTA_CLIENT_SECRET\n"
        ),
    )


def test_there_is_no_option_for_a_secret(run: Run) -> None:
    """It would be visible in the list of processes and in the history of the shell."""
    done = run("login", "--client-secret", "hidden")
    assert done.code == 2
    assert "hidden" not in done.err
