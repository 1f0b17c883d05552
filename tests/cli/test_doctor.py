"""doctor: it finds each possible fault, describes it in one line, and gives advice."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from monta_auth import PUBLIC_API
from monta_auth._cli import doctor
from monta_auth.emulator import Emulator, Fault

from ..certificates import tls_server
from ..faults import server
from .harness import MONTA_AUTH, Done, at_a_terminal, plain

pytestmark = pytest.mark.usefixtures("credentials")
Run = Callable[..., Done]


@pytest.fixture
def examine(run: Run) -> Callable[..., dict[str, tuple[str, str, str]]]:
    """Run doctor. Return state, text and advice of each check."""

    def examine(*arguments: str) -> dict[str, tuple[str, str, str]]:
        done = run("doctor", "--json", *arguments)
        told = json.loads(done.out)
        found = {c["check"]: (c["state"], c["text"], c["advice"]) for c in told["checks"]}
        assert list(found) == [check.name for check in doctor.CHECKS]
        good = not {"failed", "skipped"} & {state for state, *_ in found.values()}
        assert (done.code, told["ok"]) == ((0, True) if good else (1, False))
        return found

    return examine


Examine = Callable[..., dict[str, tuple[str, str, str]]]


def states(found: dict[str, tuple[str, str, str]], state: str) -> list[str]:
    return [name for name, (it, *_) in found.items() if it == state]


def test_doctor_finds_nothing_if_nothing_is_wrong(
    monta: Emulator, run: Run, state_home: Path
) -> None:
    done = run("doctor")
    assert (done.code, done.err) == (0, "")
    first, *lines = done.out.splitlines()
    assert first.startswith("✓  versions       monta-auth ")
    assert lines == [
        f"✓  base URL       {monta.base_url}",
        "✓  environment    client id my-client, from the environment",
        f"✓  store          {state_home / 'monta-auth'} has no token for these credentials",
        "✓  proxy          none is set for 127.0.0.1",
        "✓  host name      127.0.0.1 is 127.0.0.1",
        "✓  connection     127.0.0.1 answers",
        "✓  clock          this machine and the API agree",
        "✓  credentials    accepted; an access token is valid for 60 minutes",
        "✓  scopes         all",
        "✓  rate limit     the API does not say; users of the Public API report 10 calls in 60 s",
    ]
    assert [call.path for call in monta.calls] == ["/auth/me", "/auth/token", "/auth/me"]


def test_the_rate_limit_of_the_partner_api_is_shown(monta: Emulator, examine: Examine) -> None:
    monta.partner = True
    assert examine()["rate limit"] == ("ok", "1000 calls in 600 s", "")
    monta.quota = 50
    assert examine()["rate limit"] == ("ok", "50 calls in 60 s, 48 of them left", "")


def test_a_nearly_reached_rate_limit_is_a_warning(monta: Emulator, examine: Examine) -> None:
    monta.partner, monta.quota = True, 2
    assert examine()["rate limit"] == (
        "warning",
        "2 calls in 60 s, 0 of them left",
        "let all processes share a token (store=), and call less often",
    )


def test_a_stored_token_is_found(run: Run, examine: Examine) -> None:
    run("token", shows_token=True)
    assert examine()["store"][1].endswith("/monta-auth has a token for these credentials")


def test_no_credentials(monta: Emulator, examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is still checked."""
    monkeypatch.delenv("MONTA_CLIENT_ID")
    monkeypatch.delenv("MONTA_CLIENT_SECRET")
    found = examine()
    assert found["environment"] == (
        "failed",
        "there are no credentials",
        "set MONTA_CLIENT_ID and MONTA_CLIENT_SECRET, or run `monta-auth login`",
    )
    assert states(found, "skipped") == ["store", "credentials", "scopes", "rate limit"]
    assert found["store"][1] == "not tried, because of: environment"
    assert found["connection"][0] == "ok"
    assert monta.count() == 1


def test_the_base_url_of_a_profile_is_used(
    monta: Emulator, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = json.dumps({"client_id": "a", "client_secret": "b", "base_url": monta.base_url})
    monkeypatch.setattr("monta_auth._cli.keyring.load", lambda name, is_named: json.loads(kept))
    monkeypatch.setenv("MONTA_BASE_URL", "https://example.com/api/v1")
    found = examine("--profile", "x")
    assert found["environment"][1] == (
        f"client id a, from the keyring, profile x, for {monta.base_url}"
    )
    assert found["connection"][0] == "ok"
    assert states(found, "failed") == ["credentials"]


def test_wrong_credentials(
    monta: Emulator, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONTA_CLIENT_SECRET", "wrong")
    state, text, advice = examine()["credentials"]
    assert state == "failed"
    assert text.startswith(f"127.0.0.1:{monta.port} does not accept client id ")
    assert advice == (
        "compare them with Monta's portal, and check that the base URL is for the same API"
    )


def test_a_stored_token_does_not_hide_wrong_credentials(
    run: Run, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("token", shows_token=True)
    monkeypatch.setenv("MONTA_CLIENT_SECRET", "wrong")
    assert states(examine(), "failed") == ["credentials"]


def test_credentials_without_scopes(monta: Emulator, examine: Examine) -> None:
    monta.inject(Fault(), path="/auth/me")
    monta.inject(Fault(body='{"name": "a", "scopes": []}'), path="/auth/me")
    found = examine()
    assert found["scopes"] == (
        "failed",
        "the credentials have no scopes",
        "add them in Monta's portal",
    )
    assert states(found, "skipped") == ["rate limit"]


def test_a_spent_rate_limit(monta: Emulator, examine: Examine) -> None:
    monta.quota = 0
    state, text, advice = examine()["credentials"]
    assert state == "failed"
    assert text.startswith("the rate limit of these credentials at 127.0.0.1:")
    assert text.count("wait 60 s before the next try") == text.count("60 s") == 1
    assert advice == ""


def test_a_server_that_is_down(monta: Emulator, examine: Examine) -> None:
    monta.stop()
    found = examine()
    assert found["connection"] == (
        "failed",
        "the connection to the API failed ([Errno 111] Connection refused)",
        "check the base URL, the network, the firewall and the proxy",
    )
    assert states(found, "skipped") == ["clock", "credentials", "scopes", "rate limit"]


def test_a_server_that_is_silent(
    monta: Emulator, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "TIMEOUT", 0.05)
    monta.latency = 5.0
    assert examine()["connection"] == (
        "failed",
        "the API did not answer in time",
        "try again, and check the network, the firewall and the proxy",
    )


@pytest.mark.parametrize(
    ("fault", "text", "advice"),
    [
        pytest.param(
            Fault(status=503),
            "127.0.0.1 answers HTTP 503 to a call without a token, where 401 is expected",
            "the problem is in the API: try again later",
            id="broken",
        ),
        pytest.param(
            Fault(body="<html>Welcome to our hotel</html>"),
            "127.0.0.1 answers HTTP 200 to a call without a token, where 401 is expected",
            (
                "check that the base URL is for the API, and that no login page of the network "
                "answers instead"
            ),
            id="hotel",
        ),
        pytest.param(
            Fault(status=302, headers={"Location": "https://login.example.com/"}),
            "127.0.0.1 answers HTTP 302 to a call without a token, where 401 is expected",
            (
                "check that the base URL is for the API, and that no login page of the network "
                "answers instead"
            ),
            id="redirect",
        ),
    ],
)
def test_a_server_that_is_not_the_api(
    monta: Emulator, examine: Examine, fault: Fault, text: str, advice: str
) -> None:
    monta.inject(fault, path="/auth/me")
    assert examine()["connection"] == ("failed", text, advice)


def test_a_base_url_without_its_path(monta: Emulator, examine: Examine) -> None:
    assert examine("--base-url", monta.base_url.removesuffix("/api/v1"))["connection"] == (
        "failed",
        "127.0.0.1 answers HTTP 404 to a call without a token, where 401 is expected",
        "is /api/v1 missing at the end of the base URL?",
    )


def test_an_impossible_base_url(monta: Emulator, examine: Examine) -> None:
    found = examine("--base-url", "public-api.monta.com")
    assert states(found, "failed") == ["base URL"]
    assert found["base URL"][1].startswith("base_url must start with https://")
    assert len(states(found, "skipped")) == 9
    assert monta.count() == 0


def test_a_port_without_tls(monta: Emulator, examine: Examine) -> None:
    found = examine("--base-url", monta.base_url.replace("http:", "https:"))
    assert found["connection"] == (
        "failed",
        "something that does not speak TLS answers instead of the API",
        "check the host and the port of the base URL, and the proxy",
    )


@pytest.mark.parametrize(
    ("problem", "text", "advice"),
    [
        (
            "not yet valid",
            "the certificate of 127.0.0.1 is not yet valid by the clock of this machine (NOW)",
            "check the clock",
        ),
        (
            "expired",
            "the certificate of 127.0.0.1 has expired by the clock of this machine (NOW)",
            "check the clock; if it is right, the server needs a new certificate",
        ),
        (
            "other host",
            "the certificate that was shown is not for 127.0.0.1, but for another host",
            (
                "check the host of the base URL, and whether a proxy or a login page of the "
                "network answers in its place"
            ),
        ),
        (
            "unknown issuer",
            "the certificate of 127.0.0.1 has an issuer that is unknown here",
            (
                "if a proxy opens TLS, or the server uses your company's CA, name the file of that "
                "CA in REQUESTS_CA_BUNDLE"
            ),
        ),
    ],
)
def test_a_certificate_that_is_not_accepted(
    examine: Examine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    problem: str,
    text: str,
    advice: str,
) -> None:
    with tls_server(tmp_path, problem) as (base_url, ca):
        if problem != "unknown issuer":
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", ca)
        found = examine("--base-url", base_url)
    state, told, advised = found["connection"]
    told = re.sub(r"\(20\d\d-\d\d-\d\d \d\d:\d\d UTC\)", "(NOW)", told)
    assert (state, told, advised) == ("failed", text, advice)


@pytest.mark.parametrize(
    ("problem", "text", "advice"),
    [
        (
            "expired",
            "the certificate of the proxy has expired by the clock of this machine (NOW)",
            "check the clock; if it is right, the server needs a new certificate",
        ),
        (
            "other host",
            "the certificate of the proxy is not for 127.0.0.1, but for another host",
            (
                "check the host of HTTPS_PROXY, and whether a proxy or a login page of the network "
                "answers in its place"
            ),
        ),
        (
            "unknown issuer",
            "the certificate of the proxy has an issuer that is unknown here",
            (
                "if a proxy opens TLS, or the server uses your company's CA, name the file of that "
                "CA in REQUESTS_CA_BUNDLE"
            ),
        ),
    ],
)
@pytest.mark.usefixtures("no_sleep")
def test_a_certificate_of_a_proxy_that_is_not_accepted(
    examine: Examine,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    problem: str,
    text: str,
    advice: str,
) -> None:
    """The proxy was reached, but not the API, so its certificate is unknown."""
    with tls_server(tmp_path, problem) as (base_url, ca):
        monkeypatch.setenv("HTTPS_PROXY", base_url.removesuffix("/api/v1"))
        monkeypatch.setenv("MONTA_BASE_URL", PUBLIC_API)
        if problem != "unknown issuer":
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", ca)
        found, done = examine(), run("token")
    state, told, advised = found["connection"]
    now = r"\(20\d\d-\d\d-\d\d \d\d:\d\d UTC\)"
    assert (state, re.sub(now, "(NOW)", told), advised) == ("failed", text, advice)
    assert re.sub(now, "(NOW)", done.err) == (
        f"monta-auth: {text}: {advice}; `monta-auth doctor` finds out more\n"
    )


def test_other_commands_explain_a_bad_certificate_in_one_sentence(
    run: Run, tmp_path: Path, no_sleep: None
) -> None:
    with tls_server(tmp_path) as (base_url, _):
        done = run("token", "--base-url", base_url)
    assert done == (
        5,
        "",
        (
            "monta-auth: the certificate of 127.0.0.1 has an issuer that is unknown here: if a "
            "proxy opens TLS, or the server uses your company's CA, name the file of that CA in "
            "REQUESTS_CA_BUNDLE; `monta-auth doctor` finds out more\n"
        ),
    )


def test_a_certificate_that_is_trusted(
    examine: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The advice names this variable. The server itself does not answer, though."""
    with tls_server(tmp_path) as (base_url, ca):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", ca)
        found = examine("--base-url", base_url)
    assert found["connection"][1].startswith("the connection to the API failed (")


def test_a_missing_ca_file(examine: Examine, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nope.pem")
    monkeypatch.setenv("MONTA_BASE_URL", "https://localhost:9/api/v1")
    text = "there is no file of CAs at /nope.pem"
    advice = "correct REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE"
    assert examine()["connection"] == ("failed", text, advice)
    assert run("me").err.startswith(f"monta-auth: {text}: {advice}; ")


@pytest.mark.parametrize(
    ("offset", "text"),
    [
        (7200.0, "the clock of this machine is 2 hours behind that of the API"),
        (-300.0, "the clock of this machine is 5 minutes ahead of that of the API"),
    ],
)
def test_a_wrong_clock_is_a_warning(
    monta: Emulator, examine: Examine, offset: float, text: str
) -> None:
    """Tokens work anyway, so there is no other finding."""
    monta.clock_offset = offset
    found = examine()
    assert found["clock"] == (
        "warning",
        text,
        "set it with NTP; tokens work anyway, but certificates and logs may not",
    )
    assert states(found, "warning") == ["clock"]


def test_a_server_without_a_clock(monta: Emulator, examine: Examine) -> None:
    monta.send_date = False
    assert examine()["clock"] == ("ok", "the API sends no date", "")


def test_an_unreachable_proxy(
    monta: Emulator, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its password is not shown."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("HTTP_PROXY", f"http://user:proxy-password@127.0.0.1:{port}")
    found = examine()
    assert found["proxy"] == (
        "failed",
        f"the proxy 127.0.0.1:{port} cannot be reached (Connection refused)",
        "correct HTTPS_PROXY, or name 127.0.0.1 in NO_PROXY",
    )
    assert "proxy-password" not in str(found)
    assert "connection" in states(found, "skipped")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert examine()["proxy"][0] == "ok"


def test_a_proxy_that_would_get_plain_http_for_this_machine(
    monta: Emulator, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("HTTP_PROXY", address)
        found = examine()
    assert found["proxy"] == (
        "failed",
        f"the proxy {address} would carry calls to this machine, and could read the client secret",
        "name 127.0.0.1 in NO_PROXY",
    )
    assert "connection" in states(found, "skipped")


def test_a_proxy_that_hangs_up(
    monta: Emulator, run: Run, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("HTTPS_PROXY", address)  # without a scheme
        monkeypatch.setattr(doctor, "TIMEOUT", 0.05)
        found = examine("--base-url", "https://public-api.monta.com/api/v1")
    assert found["proxy"] == ("ok", f"{address} accepts connections", "")
    assert found["host name"] == ("ok", "the proxy looks it up", "")
    assert states(found, "failed") == ["connection"]


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (
            "407 Proxy Authentication Required",
            "write HTTPS_PROXY=http://user:password@host:port, and percent-encode both",
        ),
        ("403 Forbidden", "ask who runs the proxy, or name the API's host in NO_PROXY"),
    ],
)
def test_a_proxy_that_refuses_is_quoted(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, status: str, advice: str
) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(9999)
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    with server(refuse) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://joe:proxy-password@127.0.0.1:{port}")
        found = examine("--base-url", "https://public-api.monta.com/api/v1")
    assert found["connection"] == (
        "failed",
        f"the proxy refuses the connection (HTTP {status})",
        advice,
    )
    assert "proxy-password" not in str(found)


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        (Fault(status=403), "read Monta's message; if it does not help, give the request-id to "),
        (Fault(body="<html>"), "check that the base URL is for the API, and that no login page"),
        (Fault(status=503), "try again later"),
    ],
    ids=["403", "web page", "503"],
)
def test_a_token_call_that_fails_gets_advice_once(
    monta: Emulator, examine: Examine, no_sleep: None, fault: Fault, advice: str
) -> None:
    monta.inject(fault, times=3, path="/auth/token")
    state, text, said = examine()["credentials"]
    assert state == "failed"
    assert said.startswith(advice)
    assert "try again" not in text


def test_other_commands_explain_a_bad_proxy_in_one_sentence(
    run: Run, monkeypatch: pytest.MonkeyPatch, no_sleep: None
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MONTA_BASE_URL", PUBLIC_API)
    done = run("token")
    assert done.code == 5
    assert done.err == (
        "monta-auth: the proxy cannot be reached, or closes the connection: correct HTTPS_PROXY, "
        "or name the API's host in NO_PROXY; `monta-auth doctor` finds out more\n"
    )


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (TimeoutError(), "TimeoutError"),
    ],
    ids=["unknown", "without words"],
)
def test_an_unknown_host_name(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, error: OSError, reason: str
) -> None:
    """Only this is simulated, since no test may use a name server."""

    def unknown(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("monta_auth._cli.doctor.socket.getaddrinfo", unknown)
    assert examine("--base-url", "https://public-api.monta.example/api/v1")["host name"] == (
        "failed",
        f"the name public-api.monta.example is not known ({reason})",
        "check the spelling of the base URL, and the name server of this machine",
    )


def test_a_store_that_others_can_write_to(examine: Examine, state_home: Path) -> None:
    """The credentials are still checked."""
    (state_home / "monta-auth").mkdir(parents=True)
    (state_home / "monta-auth").chmod(0o777)
    found = examine()
    assert found["store"] == (
        "failed",
        (f"try_lock failed: other users can write: {state_home / 'monta-auth'} has mode 0777"),
        (
            "chmod 700 it; if the mode stays as it is (a mounted volume can prescribe it), name "
            "another directory with XDG_STATE_HOME"
        ),
    )
    assert states(found, "skipped") == []
    assert found["credentials"][0] == "ok"


def test_a_library_that_is_too_old(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"requests": "2.31.0", "httpx": "0.27", "keyring": "99rc1"}

    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError
        return installed[name]

    lines = ["requests>=2.32.2; extra == 'requests'", "httpx>=0.27; extra == 'httpx'", "other"]
    monkeypatch.setattr("monta_auth._cli.doctor.metadata.version", version)
    monkeypatch.setattr("monta_auth._cli.doctor.metadata.requires", lambda name: lines)
    state, text, advice = examine()["versions"]
    assert state == "failed"
    assert text.endswith(", requests 2.31.0, httpx 0.27, keyring 99rc1")
    assert advice == "pip install --upgrade 'requests>=2.32.2'"


def test_an_uninstalled_package_has_no_version_limits(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def requires(name: str) -> list[str]:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr("monta_auth._cli.doctor.metadata.requires", requires)
    assert examine()["versions"][0] == "ok"


def test_a_check_that_raises_is_a_failure(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr("monta_auth._cli.doctor.metadata.version", broken)
    found = examine()
    assert found["versions"] == (
        "failed",
        "the check itself broke (ZeroDivisionError)",
        "please report it as a bug of monta-auth",
    )
    assert states(found, "skipped") == []


def test_an_unknown_expiry(monta: Emulator, examine: Examine) -> None:
    """If Monta leaves out the dates, five minutes are assumed."""
    monta.inject(Fault(body='{"accessToken": "made-up"}'), path="/auth/token")
    found = examine()
    assert found["credentials"][1] == "accepted; an access token is valid for 5 minutes"


def test_every_line_fits_a_terminal(monta: Emulator, state_home: Path) -> None:
    """In color, unless NO_COLOR or a dumb terminal prevents it."""
    monta.inject(Fault(status=401), path="/auth/token")
    colored = at_a_terminal(*MONTA_AUTH, "doctor")
    assert colored.code == 1
    assert "\x1b[31m✗ \x1b[0m credentials    127.0.0.1:" in colored.out
    lines = plain(colored.out).splitlines()
    # Paths are not broken, so that they can be copied.
    assert max(len(line) for line in lines if str(state_home) not in line) <= 80
    at = next(n for n, line in enumerate(lines) if line.startswith("✗"))
    assert lines[at + 1].startswith(" " * 18 + "this secret: they are wrong")
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in at_a_terminal(*MONTA_AUTH, "doctor", environment=environment).out


def test_text_does_not_fill_a_wide_terminal(state_home: Path) -> None:
    lines = plain(at_a_terminal(*MONTA_AUTH, "doctor", columns=200).out).splitlines()
    assert max(len(line) for line in lines if str(state_home) not in line) <= 100


def test_a_pipe_gets_whole_lines_without_color(start: Run) -> None:
    """With one line per check, for grep."""
    done = start("doctor")
    assert done.code == 0
    assert len(done.out.splitlines()) == len(doctor.CHECKS)
    assert "\x1b" not in done.out


def test_a_simple_terminal_gets_ascii(start: Run) -> None:
    done = start("doctor", PYTHONIOENCODING="ascii")
    assert {line[:3] for line in done.out.splitlines()} == {"ok "}


def test_options_of_live_require_live(run: Run) -> None:
    for option in ("--wait", "--spend-quota"):
        done = run("doctor", option)
        assert done.code == 2
        assert "--wait and --spend-quota need --live" in done.err
