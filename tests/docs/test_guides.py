"""The pages below docs/ are true: each example runs and does what its page says."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import shlex
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import trustme

import httpx_monta
import monta_auth
import requests_monta
from monta_auth.emulator import Emulator, Fault
from monta_auth.stores import FileStore

from ..faults import server
from .pages import DOCS, Example, blocks, example, parameters, table
from .symptoms import SYMPTOMS, Symptom, plain

A_TOKEN_CLASS = "guides/migrating-from-a-token-class.rst"
FROM_AUTHLIB = "guides/migrating-from-authlib.rst"
FROM_HTTPX_AUTH = "guides/migrating-from-httpx-auth.rst"
SECRETS = "guides/secrets.rst"
ERRORS = "guides/errors.rst"

#: Pages with examples that run in this file.
HERE = {
    *("index.rst", "start.rst", "how-it-works.rst", A_TOKEN_CLASS, FROM_AUTHLIB, FROM_HTTPX_AUTH),
    *("libraries/requests.rst", "libraries/httpx.rst", "libraries/httpx2.rst"),
    *("libraries/aiohttp.rst", SECRETS, ERRORS),
}


def tokens(monta: Emulator) -> tuple[int, int]:
    return monta.count("/auth/token"), monta.count("/auth/refresh")


def test_each_page_with_examples_is_run_by_a_test() -> None:
    """Each page with examples is tested here or named by another test module."""
    pages = {
        str(path.relative_to(DOCS))
        for path in DOCS.rglob("*.rst")
        if ".. code-block:: python\n" in path.read_text(encoding="utf-8")
    }
    assert pages >= HERE
    modules = "".join(
        path.read_text(encoding="utf-8")
        for path in (DOCS.parent / "tests").rglob("test_*.py")
        if path.name != Path(__file__).name
    )
    assert [page for page in pages - HERE if Path(page).name not in modules] == []


@pytest.mark.parametrize(
    "shown",
    parameters(
        "index.rst",
        "start.rst",
        "libraries/requests.rst",
        "libraries/httpx.rst",
        "libraries/httpx2.rst",
        "libraries/aiohttp.rst",
    ),
)
def test_an_example_costs_one_token_call(shown: Example, monta: Emulator) -> None:
    shown.run()
    assert tokens(monta) == (1, 0)
    assert monta.count() > 1
    assert {call.status for call in monta.calls} == {200}


def test_no_page_installs_from_pypi_before_the_first_release() -> None:
    """Error texts keep the name, and one page quotes them."""
    pages = [DOCS.parent / "README.rst", *DOCS.rglob("*.rst")]
    texts = {page.name: page.read_text(encoding="utf-8") for page in pages}
    assert [name for name, text in texts.items() if "'monta-auth[" in text] == ["errors.rst"]
    for name in ("README.rst", "start.rst"):
        assert "The package is not on PyPI yet." in texts[name]


def test_the_local_monta_has_the_credentials_of_the_examples() -> None:
    (shown,) = (each for each in blocks("start.rst", "console") if "emulator" in each.code)
    setting, python, *arguments, option, port = shlex.split(shown.code.removeprefix("$ "))
    assert (python, option) == ("python", "--port")
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MONTA_")}
    command = [sys.executable, *arguments]  # on a free port
    with subprocess.Popen(
        command, env=ours | dict([setting.split("=")]), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url, *printed = (process.stdout.readline().strip() for _ in range(3))
            free = str(httpx.URL(url).port)
            (exports,) = (e.code for e in blocks("start.rst", "sh") if e.name == "local-monta")
            assert exports.replace(port, free).splitlines()[:2] == printed
            assert exports.splitlines()[2] == f"export {setting}"
            auth = requests_monta.MontaAuth("client-id", "client-secret", base_url=url)
            assert requests.get(f"{url}/charges", auth=auth, timeout=5).ok
        finally:
            process.terminate()


@pytest.mark.parametrize(
    ("number", "printed"),
    [
        pytest.param("1", "1", id="single flight"),
        pytest.param(
            "2",
            "200 ['/auth/token', '/charge-points', '/charge-points', '/auth/refresh', "
            "'/charge-points']",
            id="401",
        ),
    ],
)
def test_the_examples_of_how_it_works_print_what_they_say(
    number: str, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    example("how-it-works.rst", number).run()
    assert capsys.readouterr().out == printed + "\n"


def test_how_it_works_names_the_pause_in_the_code() -> None:
    text = (DOCS / "how-it-works.rst").read_text(encoding="utf-8")
    assert f"the next try comes {monta_auth.RefreshPolicy().pause:g} seconds" in text


# --- secrets


def test_a_secret_in_a_file_is_read_when_it_is_sent(monta: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "monta"
    file.write_text("client-secret\n")
    names = example(SECRETS, "file").run({"/run/secrets/monta": str(file)})
    assert tokens(monta) == (1, 0)

    monta.client_secret = "another"
    file.write_text("another\n")
    names["auth"].forget()
    names["auth"].token()
    assert tokens(monta) == (2, 0)
    assert {call.status for call in monta.calls} == {200}


def test_a_coroutine_function_reads_the_secret_from_a_vault(monta: Emulator) -> None:
    example(SECRETS, "vault").run()
    assert tokens(monta) == (1, 0)
    assert monta.count() == 2


def test_a_rotated_secret_is_used_when_it_is_sent_next(monta: Emulator) -> None:
    names = example(SECRETS, "rotation").run()
    assert tokens(monta) == (1, 0)

    auth, secrets = names["auth"], names["secrets"]
    monta.client_secret = "another"
    auth.invalidate()
    auth.token()  # with the refresh token, so the secret is not needed
    assert tokens(monta) == (1, 1)
    auth.forget()
    with pytest.raises(requests_monta.InvalidCredentialsError):
        auth.token()
    assert tokens(monta) == (2, 1)
    secrets["monta"] = "another"
    auth.forget()
    auth.token()
    assert tokens(monta) == (3, 1)


def test_after_a_401_a_secret_that_was_just_replaced_is_read_again(monta: Emulator) -> None:
    answers = iter(["an old one", "client-secret"])
    auth = requests_monta.MontaAuth("client-id", lambda: next(answers))
    auth.token()
    assert [call.status for call in monta.calls] == [401, 200]


def test_two_credentials_work_at_the_same_time(monta: Emulator) -> None:
    monta.credentials["new-id"] = "new-secret"
    old = requests_monta.MontaAuth()
    new = requests_monta.MontaAuth("new-id", "new-secret")
    for auth in (old, new, old):
        assert requests.get(f"{monta.base_url}/charges", auth=auth, timeout=5).ok
    assert tokens(monta) == (2, 0)
    assert [auth.application().client_id for auth in (old, new)] == ["client-id", "new-id"]


def test_after_a_leak_the_refresh_token_is_used_first(monta: Emulator) -> None:
    names = example(SECRETS, "leak").run()
    assert tokens(monta) == (1, 1)
    # If the thief was faster:
    stolen = names["auth"].token().refresh_token
    url = f"{monta.base_url}/auth/refresh"
    assert requests.post(url, json={"refreshToken": stolen}, timeout=5).ok
    names["auth"].invalidate()
    names["auth"].token()
    assert tokens(monta) == (2, 3)
    assert names["auth"].status().fetches == 2


# --- migrating


@pytest.mark.parametrize(
    "shown", [each for each in parameters(A_TOKEN_CLASS) if each.values[0].name != "stored"]
)
def test_a_token_class_does_the_same_before_and_after(
    shown: Example, monta: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    names = shown.run()
    assert "'itemCount': 5" in capsys.readouterr().out
    assert tokens(monta) == (1, 0)

    monta.revoke_access_tokens()
    assert names["monta"].get("/charge-points")["data"]
    assert tokens(monta) == (1, 1)


def test_a_token_class_renews_more_than_once_for_a_refused_token(monta: Emulator) -> None:
    """The page's table says so: before, each refused request renews; after, only one does."""
    before = example(A_TOKEN_CLASS, "before").run()["monta"]
    token = before.token
    for _ in range(2):  # two requests that were refused with one token, one after the other
        token.expires = token.expires.min.replace(tzinfo=token.expires.tzinfo)
        token.value()
    assert tokens(monta) == (1, 2)

    after = example(A_TOKEN_CLASS, "after").run()["monta"]
    monta.clear()
    monta.revoke_access_tokens()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(after.get, ["/charges"] * 4))
    assert tokens(monta) == (0, 1)


def test_a_token_class_fails_although_its_token_is_valid(monta: Emulator) -> None:
    """The first row of the page's table: the token is valid for four more minutes."""
    before = example(A_TOKEN_CLASS, "before").run()["monta"]
    before.token.expires -= timedelta(minutes=56)
    monta.inject(Fault(status=503), times=9)
    with pytest.raises(requests.HTTPError):
        before.get("/charges")

    monta.clear()
    moment = [0.0]
    clock = monta_auth.Clock(monotonic=lambda: moment[0])
    source = monta_auth.TokenSource(clock=clock, policy=monta_auth.RefreshPolicy(attempts=1))
    auth = requests_monta.MontaAuth(source=source)
    auth.token()
    moment[0] = 56 * 60.0
    monta.inject(Fault(status=503), times=9)
    assert requests.get(f"{monta.base_url}/charges", auth=auth, timeout=5).ok
    assert [call.path for call in monta.calls] == ["/auth/token", "/auth/refresh", "/charges"]


def test_an_old_header_of_the_session_is_replaced(monta: Emulator) -> None:
    after = example(A_TOKEN_CLASS, "after").run()["monta"]
    after.session.headers["Authorization"] = "Bearer old"
    after.auth.forget()
    assert after.get("/charges")["data"]
    assert {call.status for call in monta.calls} == {200}
    assert tokens(monta) == (2, 0)


def test_a_stored_pair_can_be_used(monta: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    example(A_TOKEN_CLASS, "stored").run()
    assert capsys.readouterr().out.startswith("2099-01-01")
    assert monta.calls == ()


def test_a_stored_pair_is_what_monta_sends(monta: Emulator) -> None:
    credentials = {"clientId": "client-id", "clientSecret": "client-secret"}
    pair = requests.post(f"{monta.base_url}/auth/token", json=credentials, timeout=5).json()
    monta.clear()
    stored = {
        "access-token": pair["accessToken"],
        "2099-01-01T00:00:00Z": pair["accessTokenExpirationDate"],
        "refresh-token": pair["refreshToken"],
        "2099-01-02T00:00:00Z": pair["refreshTokenExpirationDate"],
    }
    auth = example(A_TOKEN_CLASS, "stored").run(stored)["auth"]
    url = f"{monta.base_url}/charges"
    assert requests.get(url, auth=auth, timeout=5).ok
    assert tokens(monta) == (0, 0)
    monta.revoke_access_tokens()
    assert requests.get(url, auth=auth, timeout=5).ok
    assert tokens(monta) == (0, 1)


@pytest.mark.parametrize("shown", parameters(FROM_AUTHLIB))
def test_authlib_before_and_after_cost_one_token_call(shown: Example, monta: Emulator) -> None:
    pytest.importorskip("authlib")
    shown.run()
    assert [call.path for call in monta.calls] == ["/auth/token", "/charge-points"]


@pytest.mark.parametrize("shown", parameters(FROM_HTTPX_AUTH))
def test_httpx_auth_before_and_after_cost_one_token_call(shown: Example, monta: Emulator) -> None:
    if shown.name == "before":
        pytest.importorskip("httpx_auth", reason="httpx-auth is not installed")
    shown.run()
    assert [call.path for call in monta.calls] == ["/auth/token", "/charge-points"]


def test_httpx_auth_returns_a_401_and_sends_its_token_to_any_host(monta: Emulator) -> None:
    """The table of the page says so."""
    pytest.importorskip("httpx_auth", reason="httpx-auth is not installed")
    names = example(FROM_HTTPX_AUTH, "before").run()
    elsewhere = f"http://localhost:{monta.port}/api/v1/charges"
    theirs = names["MontaCredentials"]("client-id", "client-secret")
    ours = httpx_monta.MontaAuth()
    status: list[list[int]] = []
    for auth in (theirs, ours):
        with httpx.Client(auth=auth) as client:
            there = client.get(elsewhere).status_code
            client.get(f"{monta.base_url}/charges")
            monta.revoke_access_tokens()
            status.append([there, client.get(f"{monta.base_url}/charges").status_code])
    assert status == [[200, 401], [401, 200]]


# --- errors


@pytest.mark.parametrize(
    ("bring_about", "text"),
    [
        pytest.param(symptom, text, id=symptom.__name__)
        for symptom, text in zip(SYMPTOMS, blocks(ERRORS, "text"), strict=True)
    ],
)
def test_the_page_quotes_real_texts(
    bring_about: Symptom,
    text: Example,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    # The name is the anchor of links to the text, so it must not change.
    assert text.name == bring_about.__name__.replace("_", "-")
    caplog.set_level(logging.DEBUG, logger="monta_auth")
    with Emulator(client_id="client-id", client_secret="client-secret") as monta:
        assert plain(bring_about(monta, caplog, tmp_path), monta, tmp_path) == text.code.strip()


@pytest.fixture
def look(
    monta: Emulator, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Iterator[Callable[[], tuple[dict[str, Any], str]]]:
    """Run the page's first look; return its names and all that it shows."""

    def look() -> tuple[dict[str, Any], str]:
        names = example(ERRORS, "look").run()
        return names, capsys.readouterr().out + caplog.text

    logger = logging.getLogger("monta_auth")
    level = logger.level
    yield look
    logger.setLevel(level)


def test_the_first_look_shows_no_secret(look: Callable[[], tuple[dict[str, Any], str]]) -> None:
    names, shown = look()
    pair = names["auth"].token()
    assert "MontaAuth(TokenSource('client-id', base_url='http://127.0.0.1:" in shown
    assert "client_id='client-id'" in shown
    assert "fetches=1" in shown
    assert "kind=mint" in shown
    for secret in ("client-secret", pair.access_token, pair.refresh_token):
        assert secret is not None
        assert secret not in shown


def test_the_first_look_shows_the_status_after_a_failure_too(
    look: Callable[[], tuple[dict[str, Any], str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONTA_CLIENT_SECRET", "not-the-right-one")
    shown = look()[1]
    assert "MontaAuth(TokenSource('client-id', base_url='http://127.0.0.1:" in shown
    assert "\nInvalidCredentialsError 127.0.0.1:" in shown
    assert "failures=1" in shown
    assert "not-the-right-one" not in shown


@pytest.mark.parametrize("page", [ERRORS, "guides/command-line.rst"])
def test_the_store_of_an_app_is_checked_in_one_line(page: str, tmp_path: Path) -> None:
    (shown,) = (each for each in blocks(page, "sh") if each.code.startswith("python -c "))
    python, *rest = shlex.split(shown.code.replace("/var/lib/my-app/monta", str(tmp_path)))
    assert python == "python"

    def check() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *rest]
        return subprocess.run(command, capture_output=True, text=True, timeout=25, check=False)

    done = check()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    tmp_path.chmod(0o777)
    assert "TokenStoreError: try_lock failed: other users can write" in check().stderr


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOENT])
def test_the_page_has_a_row_for_each_fault_of_a_disk(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(tmp_path / "monta")

    def fail(path: Any, *rest: Any) -> None:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(os, "mkdir", fail)
    monkeypatch.setattr(Path, "exists", lambda path: True)  # of /proc, which allows no directories
    with pytest.raises(monta_auth.TokenStoreError) as caught:
        store.check()
    name = errno.errorcode[code]
    assert f"({name}) in {tmp_path}/monta" in str(caught.value)
    rows = table(
        (DOCS / ERRORS).read_text("utf-8"), "The reason contains", "What to do", having="EROFS"
    )
    assert [row for row in rows if f"``{name}``" in row[0]]


def test_an_expired_ca_of_your_own_looks_like_an_expired_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(trustme, "DEFAULT_EXPIRY", datetime(2020, 1, 1))
        ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "company.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)

    def shake_hands(connection: socket.socket) -> None:
        context.wrap_socket(connection, server_side=True).close()

    with server(shake_hands) as port, requests.Session() as session:
        session.trust_env, session.verify = False, str(tmp_path / "company.pem")
        base_url = f"https://127.0.0.1:{port}/api/v1"
        auth = requests_monta.MontaAuth("client-id", "secret", base_url=base_url, session=session)
        with pytest.raises(requests.exceptions.SSLError, match="has expired by the clock of this"):
            auth.token()


def test_each_error_is_on_the_page_about_errors() -> None:
    text = (DOCS / ERRORS).read_text(encoding="utf-8")
    public = {name for name in monta_auth.__all__ if name.endswith("Error")}
    assert public <= set(re.findall(r"\w+", text))


# --- claims on the pages about libraries that no example shows


def test_a_wrapped_auth_retries_a_401_in_both_clients(monta: Emulator) -> None:
    auth = httpx_monta.MontaAuth()
    wrapped = example("libraries/httpx.rst", "wrap").run()["Traced"](auth)
    url = f"{monta.base_url}/charges"

    def refused_before() -> None:
        monta.clear()
        monta.revoke_access_tokens()

    async def main() -> httpx.Response:
        async with httpx.AsyncClient(auth=wrapped) as client:
            return await client.get(url)

    def sync() -> httpx.Response:
        with httpx.Client(auth=wrapped) as client:
            return client.get(url)

    for call in (sync, lambda: asyncio.run(main())):
        refused_before()
        reply = call()
        assert (reply.status_code, reply.request.headers["X-Trace"]) == (200, "1")
        assert [each.path for each in monta.calls] == ["/charges", "/auth/refresh", "/charges"]


@pytest.mark.usefixtures("monta")
def test_a_wrapped_auth_is_closed_with_a_request_that_fails() -> None:
    closed: list[str] = []

    class Inner(httpx.Auth):
        def sync_auth_flow(
            self, request: httpx.Request
        ) -> Generator[httpx.Request, httpx.Response, None]:
            try:
                yield request
            finally:
                closed.append("sync")

        async def async_auth_flow(
            self, request: httpx.Request
        ) -> AsyncGenerator[httpx.Request, httpx.Response]:
            try:
                yield request
            finally:
                closed.append("async")

    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no network")

    wrapped = example("libraries/httpx.rst", "wrap").run()["Traced"](Inner())
    transport = httpx.MockTransport(fail)
    with httpx.Client(auth=wrapped, transport=transport) as client:
        with pytest.raises(httpx.ConnectError):
            client.get("https://api.example")
        assert closed == ["sync"]

    async def main() -> None:
        async with httpx.AsyncClient(auth=wrapped, transport=transport) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("https://api.example")
            assert closed == ["sync", "async"]

    asyncio.run(main())


def test_a_tool_that_creates_many_auth_objects_costs_one_token_call(monta: Emulator) -> None:
    names = example("libraries/requests.rst", "auth_type").run()
    url, first = names["PARTNER_API"], names["hook"].session.auth
    auth_type = partial(names["MontaAuth"], base_url=url)
    for _ in range(3):
        with names["HttpHook"](auth_type, "client-id", "client-secret").session as again:
            assert again.auth.source is first.source
            assert again.get(f"{url}/charges", timeout=10).status_code == 200
    assert tokens(monta) == (1, 0)


def test_texts_only_name_guides_that_exist() -> None:
    packages = ("monta_auth", "requests_monta", "httpx_monta", "httpx2_monta", "aiohttp_monta")
    files = [file for name in packages for file in (DOCS.parent / name).rglob("*.py")]
    code = "".join(file.read_text(encoding="utf-8") for file in files)
    named = set(re.findall(r"(?:guide|page) [\"'`]([A-Z][^\"'`]+)[\"'`]", code))
    titles = {page.read_text(encoding="utf-8").partition("\n")[0] for page in DOCS.rglob("*.rst")}
    assert "Workers, fleets and cron jobs" in named
    assert named <= titles
    assert ".readthedocs." not in code


def test_a_hook_that_raises_for_the_status_runs_after_the_retry(monta: Emulator) -> None:
    def check(response: requests.Response, **settings: Any) -> None:
        response.raise_for_status()

    with requests.Session() as session:
        session.auth = requests_monta.MontaAuth()
        hooks: list[Callable[..., Any]] = session.hooks["response"]
        hooks.append(check)
        session.get(f"{monta.base_url}/charges")
        monta.revoke_access_tokens()
        reply = session.get(f"{monta.base_url}/charges")
    assert [each.status_code for each in reply.history] == [401]
    assert tokens(monta) == (1, 1)


def test_a_session_of_niquests_retries_a_401(monta: Emulator) -> None:
    niquests: Any = pytest.importorskip("niquests", reason="niquests is not installed")
    with niquests.Session() as session:
        session.auth = requests_monta.MontaAuth()
        session.get(f"{monta.base_url}/charges")
        monta.revoke_access_tokens()
        assert session.get(f"{monta.base_url}/charges").status_code == 200
        assert tokens(monta) == (1, 1)

        session.auth = requests_monta.MontaAuth("client-id", "wrong")
        with pytest.raises(monta_auth.InvalidCredentialsError) as caught:
            session.get(f"{monta.base_url}/charges")
    assert isinstance(caught.value, requests.RequestException)
    assert not isinstance(caught.value, niquests.RequestException)
