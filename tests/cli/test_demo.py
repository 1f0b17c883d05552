"""The demo: it really checks each step, failures set the exit status, and no secret shows."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from monta_auth import RefreshPolicy, __main__
from monta_auth._cli import demo
from monta_auth.emulator import Emulator


class Terminal(io.TextIOWrapper):
    """A stdout that keeps what was written; it is a terminal or not."""

    def __init__(self, encoding: str, *, is_terminal: bool) -> None:
        self._bytes = io.BytesIO()
        self._is_terminal = is_terminal
        super().__init__(self._bytes, encoding=encoding)

    def isatty(self) -> bool:
        return self._is_terminal

    @property
    def text(self) -> str:
        self.flush()
        return self._bytes.getvalue().decode(self.encoding)


def test_the_demo_succeeds_and_shows_no_secret(
    tokens: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on the simplest terminals, which only know ASCII."""
    screen = Terminal("ascii", is_terminal=False)
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("NO_PROXY", "example.com")
    monta = Emulator()
    assert demo.main(monta) == 0
    steps = len(demo.Demo(monta).steps())
    lines = screen.text.splitlines()
    assert sum(line.startswith(" ok sent ") for line in lines) == steps == 10
    assert not [line for line in lines if line.startswith(" XX ")]
    assert "python -m monta_auth emulator" in lines[-1]
    assert max(map(len, lines)) <= 80
    assert len(tokens) >= 16
    hidden = [*tokens, monta.client_secret, *monta.credentials.values()]
    assert not [secret for secret in hidden if secret in screen.text]
    assert os.environ["NO_PROXY"] == "example.com"


def test_a_quota_that_is_too_small_fails_the_demo(
    capsys: pytest.CaptureFixture[str], tokens: list[str]
) -> None:
    """Errors in a step are shown, not raised. The steps after it still run."""
    assert demo.main(Emulator(quota=1)) == 1
    text = capsys.readouterr().out
    assert "✗ sent POST /auth/token 200 · GET /charge-points 429\n    got  429\n" in text
    assert "    expected calls: POST /auth/token 200 · GET /charge-points 200\n" in text
    assert "    got  RateLimitError\n" in text
    assert "10 steps failed." in text.splitlines()[-1]
    assert not [secret for secret in tokens if secret in text]


def test_a_missing_renewal_fails_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    """Without windows, a policy renews nothing early. The demo counts the calls."""
    never_early = RefreshPolicy(advisory=0, mandatory=0)
    assert demo.main(policy=never_early) == 1
    text = capsys.readouterr().out
    assert text.count("✗") == 3
    assert text.splitlines()[-1] == "3 of 10 steps failed."


@pytest.mark.parametrize(
    ("is_terminal", "environment", "colored"),
    [
        pytest.param(True, {}, True, id="terminal"),
        pytest.param(True, {"NO_COLOR": "1"}, False, id="NO_COLOR"),
        pytest.param(True, {"NO_COLOR": ""}, True, id="empty NO_COLOR"),
        pytest.param(True, {"TERM": "dumb"}, False, id="dumb terminal"),
        pytest.param(False, {}, False, id="pipe"),
    ],
)
def test_color_is_for_terminals_that_want_it(
    is_terminal: bool,
    environment: dict[str, str],
    colored: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Logs and pipes get plain text, and https://no-color.org is respected."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal("utf-8", is_terminal=is_terminal)
    monkeypatch.setattr(sys, "stdout", terminal)
    step = demo.Step("a title", "a line", list, ["GET /a 200 x3"], ["200"])
    screen = demo.Screen()
    screen.begin(1, step)
    assert screen.end(step, step.sent, step.got, "")
    assert not screen.end(step, [], step.got, "why")
    assert ("\x1b[" in terminal.text) is colored
    plain = terminal.text
    for code in ("\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[32m"):
        plain = plain.replace(code, "")
    assert "  ✓ sent GET /a 200 \N{MULTIPLICATION SIGN}3\n    got  200\n" in plain
    assert "  ✗ sent nothing\n" in plain


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="none"),
        pytest.param(["serve"], id="unknown"),
        pytest.param(["demo", "--fast"], id="option of demo"),
    ],
)
def test_an_unknown_command_shows_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2 and standard error, as shells expect."""
    with pytest.raises(SystemExit) as ended:
        __main__.main(arguments)
    captured = capsys.readouterr()
    assert ended.value.code == 2
    assert captured.err.startswith("usage: python -m monta_auth demo | emulator")
    assert captured.out == ""


@pytest.mark.parametrize(
    ("command", "module", "extras"),
    [
        pytest.param("demo", "httpx2", "requests,httpx,httpx2,emulator", id="demo"),
        pytest.param("demo", "uvicorn", "requests,httpx,httpx2,emulator", id="demo's emulator"),
        pytest.param("emulator", "starlette", "emulator", id="emulator"),
    ],
)
def test_the_error_for_a_missing_extra_shows_the_install_command(
    command: str, module: str, extras: str, tmp_path: Path
) -> None:
    """A sentence, not a traceback."""
    program = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from monta_auth.__main__ import main\n"
        "sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, command], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert f"needs {module}, " in done.stderr
    assert done.stderr.endswith(f"pip install 'monta-auth[{extras}]'\n")


def test_a_closed_pipe_causes_no_traceback(tmp_path: Path) -> None:
    """For example with ``python -m monta_auth demo | head``."""
    with subprocess.Popen(
        [sys.executable, "-m", "monta_auth", "demo"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        assert demo.stdout.readline().startswith(b"monta-auth ")
        demo.stdout.close()
        assert demo.stderr.read() == b""
    assert demo.returncode == 1


def test_the_emulator_gets_its_own_options(capsys: pytest.CaptureFixture[str]) -> None:
    """All arguments after the command belong to the command."""
    with pytest.raises(SystemExit) as ended:
        __main__.main(["emulator", "--help"])
    assert ended.value.code == 0
    assert "--access-lifetime" in capsys.readouterr().out
