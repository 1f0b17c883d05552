"""Start and stop of the server, the application without a server, and the command."""

import asyncio
import errno
import gc
import importlib
import logging
import socket
import sys
import threading
import time
from statistics import median

import httpx
import pytest
import requests
import trio
from starlette.types import Message, Scope

from monta_auth import emulator
from monta_auth._cli import serve
from monta_auth.emulator import Emulator, Fault

from .helpers import mint, pair, token_body


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.com", ""])
def test_only_loopback_addresses_are_accepted(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        Emulator(host=host)


def test_a_host_set_later_is_checked_as_well() -> None:
    monta = Emulator()
    monta.host = "0.0.0.0"
    with pytest.raises(ValueError, match="loopback"):
        monta.start()


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_ipv6_loopback_is_bracketed() -> None:
    assert Emulator(host="::1", port=8000).base_url == "http://[::1]:8000/api/v1"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *(("localhost", 401), ("LOCALHOST:80", 401), ("127.0.0.1:1", 401), ("[::1]:8000", 401)),
        *(("127.8.9.1", 401), ("evil.example", 421), ("127.0.0.1.evil.example:80", 421)),
        *(("0.0.0.0", 421), ("192.168.0.1", 421), ("", 421)),
    ],
)
def test_only_loopback_names_are_accepted_as_the_host(host: str, status: int) -> None:
    """A page in a browser could make its own host name resolve to this machine."""
    with Emulator() as monta:
        url = monta.base_url + "/charges"
        reply = requests.get(url, headers={"Host": host}, timeout=5)
        assert reply.status_code == status
        assert monta.count() == (status == 401)


def test_credentials_are_random_unless_given() -> None:
    one, two = Emulator(), Emulator(client_id="id", client_secret="secret")
    assert len({one.client_id, one.client_secret, Emulator().client_id}) == 3
    assert (two.client_id, two.client_secret) == ("id", "secret")


def test_a_restarted_server_has_the_same_url_and_tokens() -> None:
    """During an outage connections are refused. Afterwards everything is as before."""
    monta = Emulator()
    assert monta.base_url == "http://127.0.0.1/api/v1"
    monta.start()
    url = monta.base_url
    token = pair(monta)["refreshToken"]
    with pytest.raises(RuntimeError):
        monta.start()
    monta.stop()
    monta.stop()
    with pytest.raises(requests.ConnectionError):
        mint(monta)
    monta.start()
    assert monta.base_url == url
    assert (
        requests.post(url + "/auth/refresh", json={"refreshToken": token}, timeout=5).status_code
        == 200
    )
    monta.stop()


def test_a_port_in_use_raises_an_oserror() -> None:
    with Emulator() as monta, pytest.raises(OSError, match=r"."):
        Emulator(port=monta.port).start()


def test_stopping_is_quick_and_quiet_with_open_connections(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    failures: list[Exception] = []

    def wait_in_vain(url: str) -> None:
        try:
            requests.post(url + "/auth/token", json={}, timeout=5)
        except requests.ConnectionError as error:
            failures.append(error)

    def seconds_to_stop() -> float:
        with requests.Session() as idle:
            monta = Emulator()
            monta.start()
            idle.post(monta.base_url + "/auth/token", json=token_body(monta), timeout=5)
            monta.inject(Fault(delay=60.0))
            thread = threading.Thread(target=wait_in_vain, args=(monta.base_url,))
            thread.start()
            while monta.count() < 2:
                time.sleep(0.001)
            began = time.perf_counter()
            monta.stop()
            took = time.perf_counter() - began
            thread.join()
            return took

    # on a busy machine, one fast stop of three is enough
    tries = [seconds_to_stop() for _ in range(3)]
    assert min(tries) < 0.2
    assert len(failures) == 3
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
    assert not [thread for thread in threading.enumerate() if thread.name == "monta-emulator"]


def test_stopping_closes_a_connection_that_just_arrived() -> None:
    """asyncio would drop it without closing, and warn in the middle of another test."""
    for _ in range(20):
        with Emulator() as site:
            line = socket.create_connection(("127.0.0.1", site.port))
            line.sendall(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
            line.close()
    gc.collect()


def test_calls_on_a_kept_connection_do_not_wait_for_acknowledgements() -> None:
    """Headers and body are two writes. Without TCP_NODELAY, each call takes 40 ms."""
    took: list[float] = []
    with Emulator() as monta, requests.Session() as session:
        for _ in range(20):
            began = time.perf_counter()
            session.post(monta.base_url + "/auth/token", json=token_body(monta), timeout=5)
            took.append(time.perf_counter() - began)
    assert median(took) < 0.02


async def _through_asgi(monta: Emulator) -> None:
    transport = httpx.ASGITransport(monta.app)
    async with httpx.AsyncClient(transport=transport, base_url=monta.base_url) as client:
        reply = await client.post("/auth/token", json=token_body(monta))
        headers = {"Authorization": f"Bearer {reply.json()['accessToken']}"}
        assert (await client.get("/charges", headers=headers)).status_code == 200
        assert (
            await client.post("/charges", headers=headers, json={"chargePointId": 101})
        ).status_code == 200
        for fault in (Fault(close=True), Fault(truncate=True), Fault(close=True, delay=0.001)):
            monta.inject(fault, path="/charges")
            with pytest.raises(ConnectionResetError):
                await client.get("/charges", headers=headers)
    assert [call.status for call in monta.calls] == [200, 200, 200, None, 200, None]


def test_the_app_needs_no_server_under_asyncio() -> None:
    asyncio.run(_through_asgi(Emulator()))


def test_the_app_needs_no_server_under_trio() -> None:
    trio.run(_through_asgi, Emulator())


async def _call_by_hand(monta: Emulator, scope: Scope, *messages: str) -> list[str]:
    waiting = [{"type": name} for name in messages]
    sent: list[str] = []

    async def receive() -> Message:
        return dict(waiting.pop(0))

    async def send(message: Message) -> None:
        sent.append(message["type"])

    await monta.app(scope, receive, send)
    return sent


def test_the_app_supports_the_lifespan_protocol() -> None:
    sent = asyncio.run(
        _call_by_hand(Emulator(), {"type": "lifespan"}, "lifespan.startup", "lifespan.shutdown")
    )
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_a_client_that_disconnects_while_sending_does_no_harm() -> None:
    monta = Emulator()
    scope: Scope = {"type": "http", "method": "POST", "path": "/api/v1/auth/token", "headers": []}
    asyncio.run(_call_by_hand(monta, scope, "http.disconnect"))
    assert [call.status for call in monta.calls] == [400]


@pytest.mark.parametrize("name", ["starlette", "uvicorn"])
def test_the_error_for_a_missing_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install 'monta-auth\[emulator\]'"):
        importlib.reload(emulator)


class Visitor:
    """Replaces the command's wait: makes one call, and presses Ctrl-C after a minute."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.shown = ""

    def sleep(self, seconds: float) -> None:
        if self.shown:
            raise KeyboardInterrupt
        self.shown = self.capsys.readouterr().out
        requests.get(self.shown.splitlines()[0] + "/charges?key=hidden", timeout=5)


def test_the_command_prints_shell_lines_and_requests(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MONTA_CLIENT_SECRET", raising=False)
    visitor = Visitor(capsys)
    monkeypatch.setattr(serve, "time", visitor)
    assert serve.main(["--client-id", "it's me", "--quota", "5"]) == 0

    url, *exports = visitor.shown.splitlines()
    assert exports[:2] == [
        f"export MONTA_BASE_URL={url}",
        """export MONTA_CLIENT_ID='it'"'"'s me'""",
    ]
    assert exports[2].startswith("export MONTA_CLIENT_SECRET=")
    assert capsys.readouterr().out.startswith("GET /charges 401 ")


def test_the_command_never_prints_a_secret_that_it_was_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MONTA_CLIENT_SECRET", "given-secret")
    visitor = Visitor(capsys)
    monkeypatch.setattr(serve, "time", visitor)
    assert serve.main(["--partner"]) == 0
    captured = capsys.readouterr()
    assert "given-secret" not in visitor.shown + captured.out + captured.err
    assert "export MONTA_CLIENT_ID=" in visitor.shown


def test_the_command_explains_a_port_that_is_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    with Emulator() as monta:
        assert serve.main(["--port", str(monta.port)]) == 1
    assert "cannot listen" in (error := capsys.readouterr().err)
    assert error == (
        f"cannot listen on port {monta.port} (EADDRINUSE): choose another port, or leave --port "
        "out for a free one\n"
    )


def test_the_command_explains_a_port_that_only_root_may_use(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("monta_auth.emulator._server.socket.create_server", refused)
    assert serve.main(["--port", "80"]) == 1
    assert capsys.readouterr().err == (
        "cannot listen on port 80 (EACCES): ports below 1024 are for root: choose a higher one, or "
        "leave --port out\n"
    )


@pytest.mark.parametrize("port", ["65536", "-1", "http", "\u00b2", ""])
def test_an_invalid_port_is_a_usage_error(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        serve.main([f"--port={port}"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith(
        f"argument --port: {port!r} is not a port: give a number from 1 to 65535, or 0 for a free "
        "port\n"
    )


@pytest.mark.parametrize("option", ["--latency=-1", "--quota=-1", "--access-lifetime=nan"])
def test_an_impossible_value_is_a_usage_error(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        serve.main([option])
    name = option.removeprefix("--").partition("=")[0].replace("-", "_")
    assert f"error: {name} must be" in capsys.readouterr().err
