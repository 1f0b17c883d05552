"""docs/guides/command-line.rst: its commands run in a shell and print what the page shows."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

import monta_auth
from monta_auth import PUBLIC_API
from monta_auth._cli import doctor, live
from monta_auth._cli import plain as plain_commands
from monta_auth.emulator import Emulator

from ..docs.net import Certificates, Way
from ..docs.pages import DOCS, blocks
from .harness import MONTA_AUTH, at_a_terminal, plain

TEXT = (DOCS / "guides" / "command-line.rst").read_text(encoding="utf-8")
BLOCKS = [each.code.strip() for each in blocks("guides/command-line.rst", "console")]
#: A block is one or more commands, each with its output.
EXAMPLES = {
    block.splitlines()[0][2:]: re.split(r"^\$ ", block, flags=re.MULTILINE)[1:] for block in BLOCKS
}
EMULATOR = next(command for command in EXAMPLES if command.startswith("monta-auth emulator"))

NIL = "00000000-0000-0000-0000-000000000000"

#: A keyring for several processes, which keeps everything in one file.
KEYRING = """
import json, os, pathlib, keyring.backend
class Keyring(keyring.backend.KeyringBackend):
    priority = 1
    file = pathlib.Path(__file__).with_name("keyring.json")
    def read(self): return json.loads(self.file.read_text()) if self.file.exists() else {}
    def get_password(self, service, name): return self.read().get(name)
    def set_password(self, service, name, text):
        self.file.write_text(json.dumps({**self.read(), name: text}))
    def delete_password(self, service, name):
        self.file.write_text(json.dumps({k: v for k, v in self.read().items() if k != name}))
"""


@pytest.fixture
def shell(
    monta: Emulator, credentials: None, state_home: Path, tmp_path: Path
) -> Callable[[str], str]:
    """Return a function that runs a line with ``monta-auth`` at a terminal.

    It returns the output.
    """
    command = tmp_path / "monta-auth"
    command.write_text(f'#!/bin/sh\nexec {shlex.join(MONTA_AUTH)} "$@"\n')
    command.chmod(0o755)
    (tmp_path / "keyring_in_a_file.py").write_text(KEYRING)
    (tmp_path / "secret.txt").write_text(monta.client_secret + "\n")

    def shell(line: str) -> str:
        done = at_a_terminal(
            "sh",
            "-c",
            f"cd {shlex.quote(str(tmp_path))}\nPATH=.:$PATH\nPYTHONPATH=.:$PYTHONPATH\n{line}",
            types=(("Client id: ", monta.client_id), ("shown): ", monta.client_secret)),
            environment={"PYTHON_KEYRING_BACKEND": "keyring_in_a_file.Keyring"},
        )
        assert monta.client_secret not in done.out
        return plain(done.out)

    return shell


def as_shown(text: str, monta: Emulator, state_home: Path) -> str:
    """Return the output with the page's values for what varies."""
    text = text.replace(monta.base_url, "http://127.0.0.1:8000/api/v1")
    text = text.replace(str(state_home), "/home/you/.local/state")
    text = text.replace("keyring_in_a_file.Keyring", "keyring.backends.SecretService.Keyring")
    text = re.sub(r"\b[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}\b", NIL, text)
    text = re.sub(r"\b20\d\d-\d\d-\d\dT[\d:.]+Z", "2026-01-31T12:00:00Z", text)
    text = re.sub(r"\b20\d\d-\d\d-\d\d,", "2026-01-31,", text)
    text = re.sub(r" [\d.]+ ms\b", " 1.0 ms", text)
    text = text.replace(f"monta-auth {monta_auth.__version__}", "monta-auth 0.1.0")
    versions = "Python 3.13.0, requests 2.32.5"
    text = re.sub(r"Python 3[^✓]*(?=\n✓)", versions, text)
    return "\n".join(line.rstrip() for line in text.splitlines())


def unwrapped(text: str) -> list[str]:
    """Return its lines, joined with indented lines after them, since paths are longer here."""
    return re.sub(r"\s*\n +", " ", text).splitlines()


def test_the_page_shows_every_command() -> None:
    shown = set(re.findall(r"^    \$ .*?monta-auth (\w+)", TEXT, re.MULTILINE))
    assert shown >= {"doctor", "emulator", "login", "logout", "me", "status", "token"}
    assert "``monta-auth demo``" in TEXT
    assert TEXT.count("code-block:: console") == len(BLOCKS) == len(EXAMPLES)


def test_the_commands_print_what_the_page_shows(
    shell: Callable[[str], str], monta: Emulator, state_home: Path
) -> None:
    """In the order of the page, as a reader would try them."""
    for name, commands in EXAMPLES.items():
        for command in commands:
            line, _, shown = command.partition("\n")
            if name == EMULATOR or ("curl" in line and shutil.which("curl") is None):
                continue
            printed = as_shown(shell(line), monta, state_home)
            assert unwrapped(printed) == unwrapped(shown)


def test_the_emulator_prints_what_the_page_shows(tmp_path: Path, state_home: Path) -> None:
    ((line, *shown),) = (command.splitlines() for command in EXAMPLES[EMULATOR])
    with subprocess.Popen(
        [*MONTA_AUTH, *line.split()[1:]], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            printed = [process.stdout.readline() for _ in range(4)]
            base_url, secret = printed[0].strip(), printed[3].strip().partition("=")[2]
            body = {"clientId": "my-client", "clientSecret": secret}
            pair = requests.post(f"{base_url}/auth/token", json=body, timeout=20).json()
            headers = {"Authorization": f"Bearer {pair['accessToken']}"}
            requests.get(f"{base_url}/auth/me", headers=headers, timeout=20)
            printed += [process.stdout.readline() for _ in range(2)]
        finally:  # otherwise leaving the block would wait forever
            process.send_signal(signal.SIGINT)
    assert process.returncode == 0
    there = Emulator(port=int(base_url.split(":")[2].split("/")[0]))
    assert as_shown("".join(printed), there, state_home).splitlines() == shown


def _table(header: str) -> list[str]:
    rows = TEXT.partition(f"   * - {header}\n")[2].partition("\n\n")[0]
    return re.findall(r"^   \* - (.+)$", rows, re.MULTILINE)


def test_the_tables_match_the_code() -> None:
    names = [check.name for check in doctor.CHECKS]
    names.insert(names.index("store") + 1, doctor.REDIS.name)
    assert _table("check") == names
    assert _table("exit status") == [str(status) for status in range(6)]
    assert (live.CALLS, live.SPENDING) == (7, 12)
    assert "seven more calls" in TEXT
    assert "at most 12 times" in TEXT


@pytest.mark.skipif(not (shutil.which("bash") and shutil.which("curl")), reason="no bash or curl")
def test_pipefail_shows_that_there_was_no_token(
    shell: Callable[[str], str], monta: Emulator
) -> None:
    assert "``set -o pipefail``" in TEXT
    pipe = f"monta-auth token --header | curl -s -H @- {monta.base_url}/charges >curl.out"
    line = f"export MONTA_CLIENT_SECRET=wrong\nbash -c '{{}}{pipe}; echo status $?'"
    assert shell(line.format("")).splitlines()[-1] == "status 0"
    assert shell(line.format("set -o pipefail; ")).splitlines()[-1] == "status 3"
    assert [call.status for call in monta.calls if call.path == "/charges"] == [401, 401]


def test_the_doctor_checks_with_the_ca_file_of_httpx(
    shell: Callable[[str], str], monta: Emulator, tmp_path: Path
) -> None:
    doctor = "REQUESTS_CA_BUNDLE=$SSL_CERT_FILE monta-auth doctor"
    assert f"``{doctor}``" in TEXT
    certificates = Certificates.make(tmp_path)
    with Way(monta.port, certificates.context(wants_client=False)).open() as way:
        settings = (
            f"unset REQUESTS_CA_BUNDLE CURL_CA_BUNDLE; export SSL_CERT_FILE={certificates.ca}"
        )
        settings += f" MONTA_BASE_URL=https://127.0.0.1:{way.front}/api/v1"
        assert "✗  connection" in shell(f"{settings}\nmonta-auth doctor")
        assert "✗" not in shell(f"{settings}\n{doctor}")


def test_the_page_names_the_extras_of_the_demo(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "monta_auth._cli.demo", None)
    monkeypatch.delattr("monta_auth._cli.demo", raising=False)
    assert plain_commands.demo() == 1
    needed = capsys.readouterr().err.rpartition("pip install 'monta-auth")[2].strip().strip("'")
    assert f"It needs the extras\n``{needed}``." in TEXT


def test_the_commands_of_the_readme_work(shell: Callable[[str], str], monta: Emulator) -> None:
    readme = DOCS.parent / "README.rst"
    section = readme.read_text(encoding="utf-8").partition("At the command line\n")[2]
    lines = re.findall(r"^    (monta-auth .+)$", section, re.MULTILINE)
    assert [line.split()[1] for line in lines] == ["me", "doctor", "token"]
    for line in lines:
        command = line.replace(PUBLIC_API, monta.base_url)
        if "curl" not in line or shutil.which("curl") is not None:
            assert shell(f"{command}\necho status $?").splitlines()[-1].endswith("status 0")
    assert {call.status for call in monta.calls if call.path != "/auth/me"} == {200}
