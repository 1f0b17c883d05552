"""The contract of every adapter: how much memory and time a response can cost."""

from __future__ import annotations

import gzip
import json
import socket
import time
import tracemalloc
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from monta_auth import InvalidTokenResponseError, RefreshPolicy
from monta_auth._adapters import bodies
from monta_auth._core.policy import DRAIN_SECONDS
from monta_auth.emulator import Fault

from .contract import Harness
from .libraries import needs
from .site import Monta, Raw, Serve

GOOD = "/charge-points"
PAIR = b'{"accessToken":"access-1","accessTokenExpirationDate":"2099-01-01T00:00:00Z"}'
MEGABYTE = 1 << 20


def bomb(megabytes: int, wbits: int = 16 + zlib.MAX_WBITS) -> bytes:
    """Return compressed zeros, which are about a thousand times shorter."""
    pack = zlib.compressobj(9, zlib.DEFLATED, wbits)
    return b"".join([pack.compress(bytes(MEGABYTE)) for _ in range(megabytes)] + [pack.flush()])


CODINGS = {
    "gzip": gzip.compress(PAIR),
    "deflate": zlib.compress(PAIR),
    "deflate, raw": zlib.compress(PAIR, wbits=-zlib.MAX_WBITS),
    "identity": PAIR,
    "": PAIR,
}


@pytest.mark.parametrize("coding", CODINGS)
def test_a_token_call_accepts_gzip_and_deflate(h: Harness, monta: Monta, coding: str) -> None:
    header = {"Content-Encoding": coding.partition(",")[0]}
    monta.emulator.inject(Fault(status=200, body=CODINGS[coding], headers=header))
    assert h.token(h.auth(monta)).access_token == "access-1"
    (seen,) = monta.asked("/api/v1/auth/token")
    assert seen.headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, gzip"])
def test_an_unreadable_token_reply_raises_an_error(h: Harness, monta: Monta, coding: str) -> None:
    fault = Fault(status=200, body=b"\x80\x81", headers={"Content-Encoding": coding})
    monta.emulator.inject(fault)
    with pytest.raises(InvalidTokenResponseError):
        h.open(h.auth(monta)).get(monta.url(GOOD))


def flood(status: int, coding: str, lines: list[socket.socket]) -> Serve:
    """Send 40 MB for each request. Each connection is added to `lines`."""
    body = bomb(40) if coding == "gzip" else bytes(40 * MEGABYTE)
    head = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nContent-Encoding: %s\r\n\r\n"

    def serve(line: socket.socket, request: bytes) -> None:
        lines.append(line)
        while request:
            line.sendall(head % (status, len(body), coding.encode()))
            line.sendall(body)
            request = line.recv(65536)

    return serve


@contextmanager
def little_memory() -> Generator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 10 * MEGABYTE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_an_endless_token_reply_raises_an_error_and_needs_little_memory(
    h: Harness, raw: Raw, coding: str
) -> None:
    base_url = raw(flood(200, coding, []))
    auth = h.auth(client_id="id", client_secret="the-secret-value", base_url=base_url)
    client = h.open(auth)
    with little_memory(), pytest.raises(InvalidTokenResponseError):
        client.get(base_url + GOOD)


def ends_with_the_deadline(h: Harness, base_url: str, **settings: Any) -> None:
    """Check that a token call to this server ends with its deadline, a quarter of a second."""
    auth = h.auth(
        client_id="id",
        client_secret="the-secret-value",
        base_url=base_url,
        policy=RefreshPolicy(deadline=0.25),
        **settings,
    )
    started = time.monotonic()
    with pytest.raises(h.network_errors("timeout")):
        h.open(auth).get(base_url + GOOD)
    assert time.monotonic() - started < 2


def test_a_slow_token_reply_ends_at_the_deadline(h: Harness, raw: Raw) -> None:
    base_url = raw(drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"))
    ends_with_the_deadline(h, base_url)


@needs("ends_token_calls_as_a_whole")
def test_slow_headers_of_a_token_reply_end_at_the_deadline(h: Harness, raw: Raw) -> None:
    base_url = raw(drip(b"HTTP/1.1 200 OK\r\nDate:"))
    ends_with_the_deadline(h, base_url, **{h.caller: h.open().raw})


def test_a_truncated_token_reply_is_a_broken_connection(h: Harness, monta: Monta) -> None:
    monta.emulator.inject(Fault(truncate=True), times=3)
    with pytest.raises(h.network_errors("broken")):
        h.open(h.auth(monta)).get(monta.url(GOOD))


def test_a_truncated_401_is_retried(h: Harness, monta: Monta) -> None:
    client = h.open(h.auth(monta))
    client.get(monta.url(GOOD))
    monta.emulator.inject(Fault(status=401, truncate=True), path="/charges")
    assert client.get(monta.url("/charges")).status_code == 200


def test_the_body_of_a_401_that_is_not_retried_can_be_read(h: Harness, monta: Monta) -> None:
    auth = h.auth(monta)
    client, pair = h.open(auth), h.token(auth)
    body = json.dumps({"accessToken": pair.access_token})
    monta.emulator.inject(Fault(status=401, body="why"), times=2, path="/charges")
    for path in ("/auth/refresh", "/auth/token"):
        monta.emulator.inject(Fault(body=body), path=path)
    answer = client.get(monta.url("/charges"))
    assert (answer.status_code, answer.content) == (401, b"why")


def drip(head: bytes) -> Serve:
    def serve(line: socket.socket, request: bytes) -> None:
        line.sendall(head)
        for _ in range(50):
            line.sendall(b" ")
            time.sleep(0.1)

    return serve


@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_an_endless_401_costs_a_connection_and_needs_little_memory(
    h: Harness, monta: Monta, raw: Raw, coding: str
) -> None:
    if coding == "gzip" and not h.limits_its_decoders:
        pytest.skip("the library itself decodes each chunk without a limit, before anybody reads")
    lines: list[socket.socket] = []
    elsewhere = raw(flood(401, coding, lines))
    client = h.open(h.auth(source=monta.source(), allowed_origins=[elsewhere]))
    client.get(monta.url(GOOD))
    with little_memory():
        assert client.stream(elsewhere + GOOD).status == 401  # the response to the retry, unread
    if coding == "identity":
        assert len(lines) == 2


def test_a_slow_401_costs_a_second_at_most(
    h: Harness, monta: Monta, raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert DRAIN_SECONDS == 1.0
    monkeypatch.setattr(bodies, "DRAIN_SECONDS", 0.1)  # enough to show that it ends
    elsewhere = raw(drip(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 1000\r\n\r\n"))
    auth = h.auth(source=monta.source(), allowed_origins=[elsewhere])
    started = time.monotonic()
    response = h.open(auth).stream(elsewhere + GOOD)  # the second response drips as well
    assert response.status == 401
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("coding", CODINGS)
def test_a_refused_response_can_be_read_from_the_history(
    h: Harness, monta: Monta, coding: str
) -> None:
    client = h.open(h.auth(source=monta.source()))
    client.get(monta.url(GOOD))
    header = {"Content-Encoding": coding.partition(",")[0]}
    monta.emulator.inject(Fault(status=401, body=CODINGS[coding], headers=header), path="/charges")
    answer = client.get(monta.url("/charges"))
    assert answer.status_code == 200
    if h.keeps_refused_responses:
        assert answer.history[0].content == PAIR
        assert answer.history[0].elapsed.total_seconds() > 0


@needs("authorizes_each_hop")  # aiohttp. The others check whether an idle connection is still open.
def test_a_401_on_a_connection_that_closes_is_retried_on_another(h: Harness, raw: Raw) -> None:
    seen: list[bytes] = []

    def serve(line: socket.socket, request: bytes) -> None:
        while request:
            seen.append(request)
            is_refused = len(seen) == 3  # the third one, after the token call and one request
            body = PAIR.replace(b"-1", b"-%d" % len(seen)) if b"/auth/" in request else b"{}"
            head = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n"
            line.sendall(head % (401 if is_refused else 200, len(body)) + body)
            if is_refused:
                return
            request = line.recv(65536)

    base_url = raw(serve)
    client = h.open(h.auth(client_id="id", client_secret="the-secret-value", base_url=base_url))
    assert client.get(base_url + GOOD).status_code == 200
    assert client.get(base_url + GOOD).status_code == 200
    assert len([request for request in seen if request.startswith(b"POST")]) == 2


def test_a_cold_start_and_a_401_share_one_deadline(
    h: Harness, monta: Monta, acquired: list[Any]
) -> None:
    monta.emulator.inject(Fault(status=401), path=GOOD)
    assert h.open(h.auth(source=monta.source())).get(monta.url(GOOD)).status_code == 200
    first, second = acquired
    assert first.args[0] is second.args[0] is not None
