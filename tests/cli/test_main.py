"""Both ways to start it: the entry point and ``python -m monta_auth``, and what they need."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import click
import pytest

import monta_auth
from monta_auth import __main__, _cli
from monta_auth._cli import plain
from monta_auth._cli.group import cli
from monta_auth.emulator import Emulator

from .harness import Done

Run = Callable[..., Done]


def test_both_ways_to_start_it_have_the_same_commands() -> None:
    assert sorted(__main__.COMMANDS) == sorted(cli.commands)


def test_the_entry_point_is_the_command() -> None:
    try:
        entries = metadata.distribution("monta-auth").entry_points
    except metadata.PackageNotFoundError:
        pytest.skip("monta-auth is not installed, but run from its folder")
    (script,) = entries.select(group="console_scripts")
    assert (script.name, script.load()) == ("monta-auth", _cli.main)


def test_the_package_loads_nothing_of_the_command_line(tmp_path: Path) -> None:
    code = "import sys, monta_auth, monta_auth._cli; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert not {"click", "rich", "keyring", "requests"} & set(done.stdout.split())


@pytest.mark.usefixtures("credentials")
def test_token_loads_no_more_than_it_needs(monta: Emulator, tmp_path: Path) -> None:
    """A shell loop starts it many times, and loading keyring would double its time."""
    code = """
import atexit, sys
atexit.register(lambda: print(*sys.modules))
from monta_auth._cli import main
main(["token"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.splitlines()[1].split())
    assert "requests" in loaded
    assert not loaded & {
        "keyring",
        "rich",
        "httpx",
        "starlette",
        "monta_auth._cli.doctor",
        "monta_auth._cli.live",
    }


@pytest.mark.parametrize("command", ["me", "token"])
def test_without_click_the_error_is_one_sentence(command: str, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['click'] = None\n"
        "from monta_auth.__main__ import main\n"
        f"sys.exit(main([{command!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "monta-auth needs click, which is not installed: pip install 'monta-auth[cli]'\n"
    )


def test_the_emulator_needs_nothing_else_from_the_cli_extra(tmp_path: Path) -> None:
    """uvicorn already needs click."""
    code = (
        "import sys; sys.modules.update(keyring=None, filelock=None, requests=None)\n"
        "from monta_auth.__main__ import main\n"
        "sys.exit(main(['emulator', '--help']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "--access-lifetime" in done.stdout


def test_the_version(run: Run) -> None:
    assert run("--version") == (0, f"monta-auth {monta_auth.__version__}\n", "")


def test_help_names_the_exit_statuses(run: Run) -> None:
    text = " ".join(run("--help").out.split())
    assert (
        "Exit status: 0 done, 1 failed, 2 wrong usage or settings, 3 no credentials or refused "
        "ones, 4 rate limit, 5 network."
    ) in text


@pytest.mark.parametrize("command", sorted({*cli.commands} - {"emulator"}))
def test_help_fits_a_terminal(command: str, run: Run) -> None:
    """The emulator's help is argparse's."""
    assert max(map(len, run(command, "--help").out.splitlines())) <= 80


@pytest.mark.parametrize("command", [(), *((name,) for name in sorted(cli.commands))])
def test_h_is_help_everywhere(
    command: tuple[str, ...], run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """With both ways to start it. The emulator's help is argparse's."""
    done = run(*command, "-h")
    assert (done.code, done.err) == (0, "")
    assert done.out == run(*command, "--help").out
    assert done.out.lower().startswith("usage: ")
    try:
        status: object = __main__.main([*command, "-h"])
    except SystemExit as ended:
        status = ended.code
    assert status == 0
    assert "usage: " in capsys.readouterr().out.lower()


def test_an_unknown_command_is_status_2(run: Run) -> None:
    done = run("serve")
    assert (done.code, done.out) == (2, "")
    assert "No such command 'serve'" in done.err


def test_the_emulator_gets_its_own_options(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It serves until Ctrl-C, and prints its credentials for use."""
    monkeypatch.setattr("monta_auth._cli.serve.time.sleep", _interrupted)
    done = run("emulator", "--client-id", "me", "--port", "0", shows_token=True)
    assert done.code == 0
    assert "export MONTA_CLIENT_ID=me\n" in done.out


def _interrupted(seconds: float) -> None:
    raise KeyboardInterrupt


def test_the_demo_command_runs_the_demo(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "demo", lambda: 7)
    assert run("demo").code == 7


def test_arguments_come_from_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["monta-auth", "--version"])
    with pytest.raises(SystemExit):
        _cli.main()
    assert capsys.readouterr().out.startswith("monta-auth ")
    assert isinstance(cli, click.Group)


@pytest.mark.usefixtures("credentials")
def test_a_closed_pipe_causes_no_traceback(tmp_path: Path) -> None:
    """For example with ``monta-auth doctor | head -1``."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "monta_auth", "doctor"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as doctor:
        assert doctor.stdout is not None
        assert doctor.stderr is not None
        assert b"versions" in doctor.stdout.readline()
        doctor.stdout.close()
        assert doctor.stderr.read() == b""
    assert doctor.returncode == 1
