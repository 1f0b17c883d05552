"""The contract of every adapter: what is sent again after a 401, and what is not.

A retry never has a different body. If a body cannot be sent a second time, the caller gets the
401, and the next request renews.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.types import Send

from monta_auth.emulator import Fault

from .contract import Harness, Pipe
from .libraries import needs
from .site import Monta, Seen, echo, redirects, respond, says

CONTENT = b"0123456789" * 1000

Make = Callable[[Harness, Path], dict[str, Any]]


def opened(path: Path, at: int = 0) -> Any:
    file = path / "content"
    file.write_bytes(CONTENT)
    stream = file.open("rb")
    stream.seek(at)
    return stream


def in_memory(at: int) -> io.BytesIO:
    stream = io.BytesIO(CONTENT)
    stream.seek(at)
    return stream


REPEATABLE = [
    pytest.param(lambda h, p: {}, b"", id="none"),
    pytest.param(lambda h, p: h.content(CONTENT), CONTENT, id="bytes"),
    pytest.param(lambda h, p: h.content("grüße".encode().decode()), "grüße".encode(), id="text"),
    pytest.param(lambda h, p: h.content(b""), b"", id="empty bytes"),
    pytest.param(lambda h, p: {"json": {"a": 1}}, None, id="json"),
    pytest.param(lambda h, p: {"data": {"a": "b c"}}, b"a=b+c", id="form"),
    pytest.param(lambda h, p: {"files": {"f": ("n", CONTENT)}}, None, id="multipart of bytes"),
    pytest.param(lambda h, p: {"files": {"f": ("n", opened(p))}}, None, id="multipart with a file"),
    pytest.param(
        lambda h, p: {"data": {"k": "v"}, "files": {"f": in_memory(0)}},
        None,
        id="multipart with BytesIO and fields",
    ),
]
FILES = [
    pytest.param(lambda h, p: h.content(opened(p)), CONTENT, id="file"),
    pytest.param(
        lambda h, p: h.content(opened(p, 5000)), CONTENT[5000:], id="file from its middle"
    ),
    pytest.param(lambda h, p: h.content(in_memory(0)), CONTENT, id="BytesIO"),
]
ONE_SHOT = [
    pytest.param(lambda h, p: h.content(h.generator(b"one", b"two")), id="generator"),
    pytest.param(lambda h, p: h.content(h.iterator(b"one", b"two")), id="iterator"),
]
ONE_SHOT_FILES = [
    pytest.param(lambda h, p: h.content(Pipe(CONTENT)), id="unseekable file"),
]


def _warm(h: Harness, monta: Monta) -> Any:
    client = h.open(h.auth(monta))
    assert client.get(monta.url("/charge-points")).status_code == 200
    return client


def _close_files(options: dict[str, Any]) -> None:
    files: list[Any] = [options.get("data"), options.get("content")]
    files += [f[1] if isinstance(f, tuple) else f for f in options.get("files", {}).values()]
    for file in files:
        if hasattr(file, "seek") or isinstance(file, Pipe):
            file.close()


def _is_retried(h: Harness, monta: Monta, options: dict[str, Any], expected: bytes | None) -> None:
    client = _warm(h, monta)
    url = monta.page("/upload", echo, guarded=True)
    monta.emulator.revoke_access_tokens()
    response = client.post(url, **options)
    assert response.status_code == 200
    refused, again = monta.asked("/api/v1/upload")
    assert again.body == refused.body == response.content
    assert expected is None or again.body == expected
    assert expected is not None or len(again.body) > 5
    names = ("content-length", "content-type", "transfer-encoding")
    assert [again.headers.get(n) for n in names] == [refused.headers.get(n) for n in names]
    assert (monta.mints, monta.refreshes) == (1, 1)
    _close_files(options)


def _gets_the_401(h: Harness, monta: Monta, options: dict[str, Any]) -> None:
    client = _warm(h, monta)
    url = monta.page("/upload", echo, guarded=True)
    monta.emulator.revoke_access_tokens()
    assert client.post(url, **options).status_code == 401
    assert len(monta.asked("/api/v1/upload")) == 1
    assert (monta.mints, monta.refreshes) == (1, 0)
    assert client.get(monta.url("/charge-points")).status_code == 200
    assert len(monta.asked("/api/v1/charge-points")) == 2
    assert (monta.mints, monta.refreshes) == (1, 1)
    _close_files(options)


@pytest.mark.parametrize(("make", "expected"), REPEATABLE)
def test_a_body_is_sent_again_unchanged(
    h: Harness, monta: Monta, tmp_path: Path, make: Make, expected: bytes | None
) -> None:
    _is_retried(h, monta, make(h, tmp_path), expected)


@needs("sends_files")
@pytest.mark.parametrize(("make", "expected"), FILES)
def test_a_file_is_sent_again_from_its_original_position(
    h: Harness, monta: Monta, tmp_path: Path, make: Make, expected: bytes
) -> None:
    options = make(h, tmp_path)
    if h.measures_whole_files and expected != CONTENT:
        options["headers"] = {"Content-Length": str(len(expected))}
    _is_retried(h, monta, options, expected)


@pytest.mark.parametrize("make", ONE_SHOT)
def test_with_a_one_shot_body_the_401_is_returned(
    h: Harness, monta: Monta, tmp_path: Path, make: Make
) -> None:
    _gets_the_401(h, monta, make(h, tmp_path))


@needs("sends_files")
@pytest.mark.parametrize("make", ONE_SHOT_FILES)
def test_with_an_unseekable_file_the_401_is_returned(
    h: Harness, monta: Monta, tmp_path: Path, make: Make
) -> None:
    _gets_the_401(h, monta, make(h, tmp_path))


def test_with_an_unseekable_file_in_multipart_the_401_is_returned(h: Harness, monta: Monta) -> None:
    """httpx would silently send the multipart body with an empty part."""
    options = {"files": {"f": ("n", Pipe(CONTENT))}}
    if h.reads_multipart_at_once:
        _is_retried(h, monta, options, None)
    else:
        _gets_the_401(h, monta, options)


@needs("sends_files")
def test_if_the_file_cannot_be_rewound_any_more_the_401_is_returned(
    h: Harness, monta: Monta
) -> None:
    class Closing(io.BytesIO):
        is_gone = False

        def seek(self, *args: int) -> int:
            if self.is_gone:
                raise ValueError("I/O operation on closed file")
            return super().seek(*args)

    file = Closing(CONTENT)

    async def close(seen: Seen, send: Send) -> None:
        file.is_gone = True
        await respond(send, 401)

    client = _warm(h, monta)
    url = monta.page("/upload", close)
    assert client.post(url, **h.content(file)).status_code == 401
    assert len(monta.asked("/api/v1/upload")) == 1
    client.get(monta.url("/charge-points"))
    assert (monta.mints, monta.refreshes) == (1, 1)


@needs("sends_iterables")
def test_a_repeatable_iterable_is_sent_again(h: Harness, monta: Monta) -> None:
    """A list of chunks is not an iterator, so it can be sent any number of times."""
    _is_retried(h, monta, h.content([b"one", b"two"]), b"onetwo")


def test_a_cold_one_shot_body_is_sent_whole(h: Harness, monta: Monta) -> None:
    """Before the first token there is nothing to retry."""
    client = h.open(h.auth(monta))
    url = monta.page("/upload", echo, guarded=True)
    response = client.post(url, **h.content(h.generator(b"one", b"two")))
    assert (response.status_code, response.content) == (200, b"onetwo")


# --- responses


def _slow(go_on: threading.Event, missed: list[bool]) -> Any:
    async def page(seen: Seen, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        with anyio.move_on_after(5):
            while not go_on.is_set():  # noqa: ASYNC110 - it is set by another thread
                await anyio.sleep(0.002)
        missed.append(not go_on.is_set())
        await send({"type": "http.response.body", "body": b"last"})

    return page


@pytest.mark.parametrize("revoked", [False, True], ids=["ready token", "retried 401"])
def test_a_streaming_response_stays_streaming(h: Harness, monta: Monta, revoked: bool) -> None:
    """The first chunk arrives before the last one is sent."""
    go_on, missed = threading.Event(), list[bool]()
    client = _warm(h, monta)
    url = monta.page("/stream", _slow(go_on, missed), guarded=True)
    if revoked:
        monta.emulator.revoke_access_tokens()
    stream = client.stream(url)
    assert stream.status == 200
    assert stream.more() == b"first"
    assert not missed
    go_on.set()
    assert stream.rest() == b"last"
    assert missed == [False]
    assert monta.refreshes == int(revoked)


def test_a_cold_streaming_response_stays_streaming(h: Harness, monta: Monta) -> None:
    go_on, missed = threading.Event(), list[bool]()
    client = h.open(h.auth(monta))
    stream = client.stream(monta.page("/stream", _slow(go_on, missed), guarded=True))
    assert stream.more() == b"first"
    go_on.set()
    assert stream.rest() == b"last"
    assert missed == [False]


def test_a_returned_401_can_still_be_read(h: Harness, monta: Monta) -> None:
    client = _warm(h, monta)
    stream = client.stream(monta.page("/no", says(401, b"never")))
    assert (stream.status, stream.rest()) == (401, b"never")


def test_the_connection_of_a_401_is_used_again(h: Harness, monta: Monta) -> None:
    client = _warm(h, monta)
    monta.emulator.revoke_access_tokens()
    assert client.get(monta.url("/charges")).status_code == 200
    refused, again = monta.asked("/api/v1/charges")
    (first,) = monta.asked("/api/v1/charge-points")
    assert first.connection == refused.connection == again.connection


def test_a_401_with_a_broken_connection_is_retried(h: Harness, monta: Monta) -> None:
    """The body does not matter; only the connection is lost."""
    client = _warm(h, monta)
    monta.emulator.inject(Fault(status=401, truncate=True), path="/charges")
    assert client.get(monta.url("/charges")).status_code == 200
    assert (monta.mints, monta.refreshes, monta.count("/charges")) == (1, 1, 2)


@needs("keeps_refused_responses")
def test_history_shows_no_token_call(h: Harness, monta: Monta) -> None:
    """As with the library's own digest auth, the history has the refused response."""
    client = h.open(h.auth(monta))
    cold = client.get(monta.url("/charges"))
    assert [str(r.url) for r in cold.history] == []
    monta.emulator.revoke_access_tokens()
    retried = client.get(monta.url("/charges"))
    assert [(r.status_code, str(r.url)) for r in retried.history] == [(401, monta.url("/charges"))]
    assert _calls_in(retried) == []


def test_history_of_a_redirect_shows_no_token_call(h: Harness, monta: Monta) -> None:
    client = h.open(h.auth(monta))
    url = monta.page("/from", redirects(302, monta.url("/charges")), guarded=True)
    cold = client.get(url, follow=True)
    assert [(r.status_code, str(r.url)) for r in cold.history] == [(302, url)]
    monta.emulator.revoke_access_tokens()
    retried = client.get(url, follow=True)
    assert retried.status_code == 200
    assert [r.status_code for r in retried.history][-1] == 302
    assert _calls_in(cold) + _calls_in(retried) == []


def _calls_in(response: Any) -> list[str]:
    """Return the token calls in a response's history, and in the history of each entry."""
    found = [u for r in response.history for u in _calls_in(r)]
    urls = [str(r.url) for r in (response, *response.history)]
    return found + [url for url in urls if "/auth/" in url]


@needs("measures_elapsed")
@pytest.mark.parametrize("revoked", [False, True], ids=["ready token", "retried 401"])
def test_elapsed_is_set(h: Harness, monta: Monta, revoked: bool) -> None:
    client = _warm(h, monta)
    if revoked:
        monta.emulator.revoke_access_tokens()
    assert client.get(monta.url("/charges")).elapsed.total_seconds() > 0


def test_the_response_belongs_to_the_request_that_was_answered(h: Harness, monta: Monta) -> None:
    client = _warm(h, monta)
    monta.emulator.revoke_access_tokens()
    response = client.get(monta.url("/charges"))
    assert str(response.request.url) == monta.url("/charges")
    assert response.request.headers["Authorization"] == monta.seen[-1].token
