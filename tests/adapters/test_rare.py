"""Rare cases: odd bodies, odd failures, callers other than the library itself."""

from __future__ import annotations

import asyncio
import copy
import io
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import httpx2
import pytest
import requests

import httpx2_monta
import httpx_monta
import requests_monta
from monta_auth import TokenSet, TokenSource
from monta_auth._adapters.httpx_library import Library
from monta_auth._core.errors import TransportFailure
from requests_monta._errors import library_error

from .site import Monta

LIBRARIES = [
    pytest.param(httpx_monta, httpx, id="httpx"),
    pytest.param(httpx2_monta, httpx2, id="httpx2"),
]
URL = "https://public-api.monta.com/api/v1/charge-points"


def library_of(adapter: Any) -> Library:
    library: Library = adapter.MontaAuth._library
    return library


@pytest.mark.parametrize("name", ["requests", "httpx", "httpx2"])
def test_the_error_for_a_missing_library_shows_the_install_command(name: str) -> None:
    code = f"import sys; sys.modules[{name!r}] = None; import {name}_monta"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"pip install 'monta-auth[{name}]'" in done.stderr


@pytest.mark.parametrize(("adapter", "module"), LIBRARIES)
def test_a_waiter_gets_another_librarys_failure_as_its_own_librarys_class(
    adapter: Any, module: Any
) -> None:
    library = library_of(adapter)
    kinds = {"timeout": module.ReadTimeout, "connect": module.ConnectError}
    for kind, expected in (*kinds.items(), ("other", module.NetworkError)):
        failure = TransportFailure("x", kind, library_class=requests.Timeout, hint="; session=")  # type: ignore[arg-type]
        error = library.failures.error(failure, None)
        assert (type(error), str(error)) == (expected, "x")


def test_a_waiter_in_requests_gets_a_class_of_requests() -> None:
    failure = TransportFailure("x", "timeout", library_class=httpx.ReadTimeout, hint="; client=")
    error = library_error(failure, None)
    assert (type(error), str(error)) == (requests.Timeout, "x")


class Unreadable:
    """A file as some libraries make them: it can seek, but has no `seekable`."""

    def seek(self, position: int) -> None: ...


class Own(httpx.SyncByteStream, httpx2.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        yield b"once"


class AsyncFile:
    async def aread(self, size: int) -> bytes:
        return b""

    def __aiter__(self) -> AsyncIterator[bytes]:
        raise NotImplementedError


class Chunks:
    def __init__(self) -> None:
        self.begun = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.begun += 1
        yield b"chunk"


async def once() -> AsyncIterator[bytes]:
    yield b"once"


@pytest.mark.parametrize(("adapter", "module"), LIBRARIES)
def test_only_a_body_that_cannot_change_is_sent_again(adapter: Any, module: Any) -> None:
    rewinder = library_of(adapter).rewinder

    def content(value: Any) -> Any:
        return rewinder(module.Request("POST", URL, content=value).stream)

    def multipart(file: Any) -> Any:
        stream = module.Request("POST", URL, files={"f": io.BytesIO(b"x")}).stream
        stream.fields[0].file = file
        return rewinder(stream)

    closed = io.BytesIO(b"x")
    closed.close()
    assert content([b"a", b"b"])() is True
    assert content(Chunks())() is True
    assert content(once()) is None
    assert content(AsyncFile()) is None
    assert rewinder(Own()) is None
    assert rewinder(module.Response(200, content=iter([b"x"])).stream) is None
    assert multipart(Unreadable())() is True
    assert multipart(object()) is None
    assert multipart(closed) is None
    stream = module.Request("POST", URL, content=[b"x"]).stream
    del stream._stream
    assert rewinder(stream) is None


@pytest.mark.parametrize(("adapter", "module"), LIBRARIES)
def test_a_file_that_was_closed_meanwhile_is_not_sent_again(adapter: Any, module: Any) -> None:
    file = io.BytesIO(b"x")
    rewind = library_of(adapter).rewinder(module.Request("POST", URL, content=file).stream)
    assert rewind is not None
    file.close()
    assert rewind() is False
    assert library_of(adapter).rewinder(module.Request("POST", URL, content=[b"x"]).stream)
    stream = module.Request("POST", URL, content=io.BytesIO(b"x")).stream
    stream._stream.close()
    assert library_of(adapter).rewinder(stream) is None


class PlainUrl:
    """A URL that has a text and nothing else."""

    def __str__(self) -> str:
        return URL


@pytest.mark.parametrize(("adapter", "module"), LIBRARIES)
def test_only_the_text_of_a_url_decides_who_gets_the_token(adapter: Any, module: Any) -> None:
    pair = TokenSet("access-1", None, datetime.now(UTC) + timedelta(hours=1))
    request = module.Request("GET", URL)
    request.url = PlainUrl()
    next(adapter.MontaAuth(token=pair).sync_auth_flow(request))
    assert request.headers["Authorization"] == "Bearer access-1"


class Broken(Exception):
    pass


@pytest.mark.parametrize(("adapter", "module"), LIBRARIES)
def test_an_unknown_error_of_a_transport_is_a_network_error_without_its_text(
    adapter: Any, module: Any
) -> None:
    def handler(request: Any) -> Any:
        raise Broken("words with " + request.content.decode())

    with module.Client(transport=module.MockTransport(handler)) as client:
        auth = adapter.MontaAuth("id", "the-secret", client=client)
        with pytest.raises(module.NetworkError, match="Broken") as caught:
            auth.token()
    assert "the-secret" not in str(caught.value)


@pytest.mark.parametrize(("adapter", "module"), LIBRARIES)
def test_if_a_hook_raises_for_a_good_token_reply_the_token_is_kept(
    adapter: Any, module: Any
) -> None:
    def handler(request: Any) -> Any:
        body = {"accessToken": "access-1", "accessTokenExpirationDate": "2099-01-01T00:00:00Z"}
        return module.Response(200, json=body if "/auth/" in request.url.path else {})

    def picky(response: Any) -> None:
        response.read()
        assert response.text
        if "/auth/" in response.request.url.path:
            raise module.HTTPStatusError("no", request=response.request, response=response)

    source = TokenSource("id", "secret")
    hooks = {"response": [picky]}
    transport = module.MockTransport(handler)
    auth = adapter.MontaAuth(source=source)
    with module.Client(transport=transport, auth=auth, event_hooks=hooks) as client:
        with pytest.raises(module.NetworkError, match="HTTPStatusError"):
            client.get(URL)
        assert client.get(URL).status_code == 200


@pytest.mark.parametrize(("adapter", "module"), LIBRARIES)
def test_a_flow_may_be_driven_by_hand(adapter: Any, module: Any) -> None:
    request = module.Request("GET", "https://elsewhere.example/")
    auth = adapter.MontaAuth("id", "secret")
    assert auth.auth_flow(request).send(None) is request

    async def main() -> None:
        assert await auth.async_auth_flow(request).asend(None) is request
        for error in (KeyError("x"), KeyError):
            flow = auth.async_auth_flow(request)
            await anext(flow)
            with pytest.raises(KeyError):
                await flow.athrow(error)

    asyncio.run(main())
    flow = auth.sync_auth_flow(request)
    next(flow)
    with pytest.raises(KeyError):
        flow.throw(KeyError("x"))


def test_a_401_from_a_cache_is_no_refusal_of_the_token() -> None:
    pair = TokenSet("access-1", None, datetime.now(UTC) + timedelta(hours=1))
    request = requests.Request("GET", URL).prepare()
    (hook,) = requests_monta.MontaAuth(token=pair)(request).hooks["response"]
    assert copy.copy(hook) is copy.deepcopy(hook) is hook
    cached = requests.Response()
    cached.status_code = 401
    cached.request = request
    assert hook(cached) is cached


def test_a_request_that_was_prepared_without_cookies_is_retried(monta: Monta) -> None:
    """Prepared by hand, it has no cookie jar."""
    auth = requests_monta.MontaAuth(source=monta.source())
    request = auth(requests.Request("GET", monta.url("/charge-points")).prepare())
    request._cookies = None
    monta.emulator.revoke_access_tokens()
    with requests.Session() as session:
        assert session.send(request).status_code == 200
