"""Which bodies aiohttp can send again after a 401, for each kind that it knows."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from starlette.types import Send

from aiohttp_monta import MontaAuth
from aiohttp_monta._calls import TokenBody
from aiohttp_monta._resend import can_repeat

from .contract import Pipe
from .site import Monta, Seen, echo, respond
from .test_aiohttp import GOOD, auth_of, raw_server, read_request, run, status

CONTENT = b"0123456789" * 30_000

Make = Callable[[Path], dict[str, Any]]


def _file(path: Path, at: int = 0) -> Any:
    (path / "content").write_bytes(CONTENT)
    file = (path / "content").open("rb")
    file.seek(at)
    return file


def _text_file(path: Path) -> Any:
    (path / "text").write_text("grüße", encoding="utf-8")
    return (path / "text").open(encoding="utf-8")


def _in_memory(at: int = 0) -> io.BytesIO:
    file = io.BytesIO(CONTENT)
    file.seek(at)
    return file


def _string_io() -> io.StringIO:
    file = io.StringIO("skipped, sent")
    file.seek(9)
    return file


def _form(*parts: Any) -> aiohttp.FormData:
    form = aiohttp.FormData({"key": "value"})
    for number, part in enumerate(parts):
        form.add_field(f"part-{number}", part, filename="name")
    return form


async def _chunks() -> AsyncIterator[bytes]:
    yield b"one"
    yield b"two"


class Again:
    """An async iterable that could start again, though aiohttp iterates it only once."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _chunks()


class Own(aiohttp.Payload):
    """A payload class that the adapter does not know."""

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return ""

    async def write(self, writer: Any) -> None:
        await writer.write(b"own")


REPEATABLE: list[Any] = [
    pytest.param(lambda p: {}, b"", id="none"),
    pytest.param(lambda p: {"data": CONTENT}, CONTENT, id="bytes"),
    pytest.param(lambda p: {"data": bytearray(b"abc")}, b"abc", id="bytearray"),
    pytest.param(lambda p: {"data": b""}, b"", id="empty bytes"),
    pytest.param(lambda p: {"data": "grüße"}, "grüße".encode(), id="text"),
    pytest.param(lambda p: {"json": {"a": 1}}, b'{"a": 1}', id="json"),
    pytest.param(lambda p: {"data": {"a": "b c"}}, b"a=b+c", id="form"),
    pytest.param(lambda p: {"data": _file(p)}, CONTENT, id="file"),
    pytest.param(lambda p: {"data": _file(p, 999)}, CONTENT[999:], id="file from its middle"),
    pytest.param(lambda p: {"data": _in_memory()}, CONTENT, id="BytesIO"),
    pytest.param(lambda p: {"data": _in_memory(999)}, CONTENT[999:], id="BytesIO from its middle"),
    pytest.param(lambda p: {"data": _text_file(p)}, "grüße".encode(), id="text file"),
    pytest.param(lambda p: {"data": _string_io()}, b"sent", id="StringIO"),
    pytest.param(lambda p: {"data": _form(b"bytes", "text")}, None, id="multipart of bytes"),
    pytest.param(
        lambda p: {"data": _form(_file(p), _in_memory())}, None, id="multipart with files"
    ),
    pytest.param(lambda p: {"data": CONTENT, "compress": True}, None, id="compressed"),
    pytest.param(lambda p: {"data": CONTENT, "chunked": True}, CONTENT, id="chunked"),
]
ONE_SHOT: list[Any] = [
    pytest.param(lambda p: {"data": _chunks()}, id="async generator"),
    pytest.param(lambda p: {"data": Again()}, id="async iterable"),
    pytest.param(lambda p: {"data": aiohttp.AsyncIterablePayload(_chunks())}, id="payload of one"),
    pytest.param(lambda p: {"data": Pipe(b"onetwo")}, id="unseekable file"),
    pytest.param(lambda p: {"data": _form(b"bytes", _chunks())}, id="multipart with a generator"),
    pytest.param(lambda p: {"data": _form(Pipe(b"onetwo"))}, id="multipart with a pipe"),
    pytest.param(lambda p: {"data": Own(None)}, id="payload of another class"),
]


async def post(session: aiohttp.ClientSession, url: str, **options: Any) -> tuple[int, bytes]:
    async with session.post(url, **options) as response:
        return response.status, await response.read()


@pytest.mark.parametrize(("make", "expected"), REPEATABLE)
def test_a_body_is_sent_again_from_its_original_position(
    monta: Monta, tmp_path: Path, make: Make, expected: bytes | None
) -> None:
    url = monta.page("/upload", echo, guarded=True)

    async def main() -> None:
        async with aiohttp.ClientSession(middlewares=(auth_of(monta),)) as session:
            assert await status(session, monta.url(GOOD)) == 200
            monta.emulator.revoke_access_tokens()
            code, content = await post(session, url, **make(tmp_path))
        assert code == 200
        assert expected is None or content == expected

    run(main())
    refused, again = monta.asked("/api/v1/upload")
    assert again.body == refused.body
    assert expected is None or again.body == expected
    names = ("content-length", "content-type", "transfer-encoding", "content-encoding")
    assert [again.headers.get(n) for n in names] == [refused.headers.get(n) for n in names]
    assert (monta.mints, monta.refreshes) == (1, 1)


@pytest.mark.parametrize("make", ONE_SHOT)
def test_with_a_one_shot_body_the_401_is_returned(monta: Monta, tmp_path: Path, make: Make) -> None:
    """The retry never has a different body. The next request renews."""
    url = monta.page("/upload", echo, guarded=True)

    async def main() -> None:
        async with aiohttp.ClientSession(middlewares=(auth_of(monta),)) as session:
            assert (await post(session, url, **make(tmp_path)))[0] == 200
            monta.emulator.revoke_access_tokens()
            code, content = await post(session, url, **make(tmp_path))
            assert code == 401
            assert b"message" in content
            assert (monta.mints, monta.refreshes) == (1, 0)
            assert await status(session, monta.url(GOOD)) == 200

    run(main())
    whole, refused = monta.asked("/api/v1/upload")
    assert len(whole.body) == len(refused.body) >= 3
    assert (monta.mints, monta.refreshes) == (1, 1)


def test_with_a_stream_reader_the_401_is_returned(monta: Monta) -> None:
    """The stream reader of a download, sent on as an upload."""
    source = monta.page("/download", echo)
    url = monta.page("/upload", echo, guarded=True)

    async def main() -> None:
        auth = auth_of(monta)
        async with aiohttp.ClientSession(middlewares=(auth,)) as session:
            assert await status(session, monta.url(GOOD)) == 200
            monta.emulator.revoke_access_tokens()
            async with session.post(source, data=b"onetwo", middlewares=()) as download:
                assert (await post(session, url, data=download.content))[0] == 401

    run(main())
    assert [seen.body for seen in monta.asked("/api/v1/upload")] == [b"onetwo"]
    assert (monta.mints, monta.refreshes) == (1, 0)


@pytest.mark.parametrize("is_multipart", [False, True], ids=["alone", "in multipart"])
def test_with_a_file_that_was_closed_meanwhile_the_401_is_returned(
    monta: Monta, is_multipart: bool
) -> None:
    file = _in_memory()

    async def refuse(seen: Seen, send: Send) -> None:
        file.close()
        await respond(send, 401)

    url = monta.page("/upload", refuse)

    async def main() -> None:
        async with aiohttp.ClientSession(middlewares=(auth_of(monta),)) as session:
            data = _form(file) if is_multipart else file
            assert (await post(session, url, data=data))[0] == 401

    run(main())
    assert len(monta.asked("/api/v1/upload")) == 1


def test_the_users_file_ends_as_without_our_middleware(monta: Monta, tmp_path: Path) -> None:
    """The file is open for the retry. Afterwards it is as aiohttp leaves it without us."""
    ends: list[bool] = []

    async def main() -> None:
        for auth in ((), (auth_of(monta),)):
            async with aiohttp.ClientSession(middlewares=auth) as session:
                file = _file(tmp_path)
                await post(session, monta.url("/charges"), data=file)
                await asyncio.sleep(0.05)
                ends.append(file.closed)
                file.close()

    run(main())
    assert ends[0] == ends[1]


def test_a_401_before_the_whole_body_is_sent_is_retried(monta: Monta) -> None:
    """The server reads the head, refuses and hangs up. It accepts the whole retry."""
    bodies: list[int] = []

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if not bodies:
            bodies.append(0)
            writer.write(b"HTTP/1.1 401 x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
            await writer.drain()
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        bodies.append(len(await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 200 x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()

    async def main() -> None:
        async with raw_server(early) as base:
            auth = MontaAuth(
                monta.client_id,
                monta.client_secret,
                base_url=monta.base_url,
                allowed_origins=[base],
            )
            async with aiohttp.ClientSession(middlewares=(auth,)) as session:
                big = io.BytesIO(b"x" * 20_000_000)
                try:
                    answer = await post(session, base + "/upload", data=big)
                except aiohttp.ClientOSError:  # the client may notice the hang-up before the 401
                    return
                assert answer == (200, b"ok")
                assert bodies == [0, 20_000_000]

    run(main())


def test_the_retry_also_waits_for_100_continue(monta: Monta) -> None:
    heads: list[str] = []

    async def careful(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            heads.append(head)
            if len(heads) == 1:
                writer.write(b"HTTP/1.1 401 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
                return
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await reader.readexactly(4)
            writer.write(b"HTTP/1.1 200 x\r\nContent-Length: 4\r\n\r\n" + body)
            await writer.drain()

    async def main() -> None:
        async with raw_server(careful) as base:
            auth = auth_of(monta, allowed_origins=[base])
            async with aiohttp.ClientSession(middlewares=(auth,)) as session:
                answer = await post(session, base + "/x", data=b"body", expect100=True)
                assert answer == (200, b"body")

    run(main())
    assert ["expect: 100-continue" in head for head in heads] == [True, True]


def test_a_lost_connection_during_the_retry_reaches_the_user(
    monta: Monta,
) -> None:
    calls: list[str] = []

    async def lose(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, _, _ = await read_request(reader)
        calls.append(line)
        if len(calls) == 1:
            writer.write(b"HTTP/1.1 401 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()

    async def main() -> None:
        async with raw_server(lose) as base:
            auth = auth_of(monta, allowed_origins=[base])
            async with aiohttp.ClientSession(middlewares=(auth,)) as session:
                with pytest.raises(aiohttp.ServerDisconnectedError):
                    await session.post(base + "/pay", data=b"once")

    run(main())
    assert len(calls) == 2
    assert (monta.mints, monta.refreshes) == (1, 1)


def test_the_body_of_a_token_call_shows_nothing() -> None:
    body = TokenBody(b"secret")
    assert (body.size, body.decode(), body.is_sent) == (6, "[redacted]", False)
    assert not can_repeat(body)
