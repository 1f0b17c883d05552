"""The libraries that must pass the contract: a harness for each, which says what it cannot do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests

import aiohttp_monta
import httpx2_monta
import httpx_monta
import requests_monta

from .contract import ApiError, Client, Harness, Hurry, InLoop, Response, Stream


class Requests(Harness):
    library = requests
    adapter = requests_monta
    error = requests.RequestException
    # A list means form fields.
    sends_iterables = False
    # The files of a multipart body are read when the request is prepared.
    reads_multipart_at_once = True
    # Without session=, a separate session makes each token call.
    hooks_see_token_calls = False
    # A closed session opens its connections again, and its pool opens as many as needed.
    can_be_closed = False
    caller = "session"

    def open(self, auth: Any = None, **options: Any) -> Client:
        session = self.exit.enter_context(requests.Session())
        session.auth = auth
        for name, value in options.items():
            setattr(session, name, value)
        return Client(self, session)

    def send(
        self, raw: Any, method: str, url: str, follow: bool, options: dict[str, Any]
    ) -> Response:
        return raw.request(method, url, allow_redirects=follow, **options)

    def open_with_hook(self, reaction: str) -> Client:
        def hook(response: Any, **kwargs: Any) -> None:
            if response.status_code < 400:
                return
            if reaction == "raise":
                raise ApiError
            if reaction == "close":
                response.close()
            elif reaction == "read":
                assert response.content
            else:
                response.raw.read()

        client = self.open()
        client.raw.hooks["response"].append(hook)
        return client

    def stream(self, raw: Any, url: str) -> Stream:
        response = self.exit.enter_context(raw.get(url, stream=True))
        chunks: Iterator[bytes] = response.iter_content(None)
        return Stream(response.status_code, lambda: next(chunks, b""), response)

    def hurry(self, seconds: float) -> Hurry:
        return Hurry({"timeout": seconds}, {}, ())

    def network_errors(self, kind: str) -> tuple[type[Exception], ...]:
        if kind == "timeout":
            return (requests.Timeout,)
        if kind == "connect":
            return (requests.ConnectionError,)
        return (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)

    def _token_caller(self) -> dict[str, Any]:
        return {"session": self.exit.enter_context(requests.Session())} if self.separate else {}


class HttpxSync(Harness):
    library: Any = httpx
    adapter: Any = httpx_monta
    error: type[Exception] = httpx.RequestError
    # The declared length is that of the whole file, even if sending starts in its middle.
    measures_whole_files = True

    def open(self, auth: Any = None, **options: Any) -> Client:
        return Client(self, self._client(auth=auth, **options))

    def open_narrow(self) -> Client:
        return self.open(limits=self.library.Limits(max_connections=1))

    def open_with_hook(self, reaction: str) -> Client:
        def hook(response: Any) -> None:
            if not response.is_error:
                return
            if reaction == "raise":
                raise ApiError
            if reaction == "close":
                response.close()
            elif reaction == "read":
                assert response.read()
            else:
                assert list(response.iter_raw())

        return self.open(event_hooks={"response": [hook]})

    def _client(self, **options: Any) -> Any:
        # verify=False saves each test from reading the CA file.
        return self.exit.enter_context(self.library.Client(verify=False, **options))

    def send(
        self, raw: Any, method: str, url: str, follow: bool, options: dict[str, Any]
    ) -> Response:
        return raw.request(method, url, follow_redirects=follow, **options)

    def stream(self, raw: Any, url: str) -> Stream:
        response = self.exit.enter_context(raw.stream("GET", url))
        chunks = response.iter_bytes()
        return Stream(response.status_code, lambda: next(chunks, b""), response)

    @property
    def calls_in_pipeline(self) -> bool:
        return not self.separate

    def hurry(self, seconds: float) -> Hurry:
        return Hurry({}, {"timeout": seconds}, (self.open(timeout=seconds).raw,))

    def network_errors(self, kind: str) -> tuple[type[Exception], ...]:
        if kind == "timeout":
            return (self.library.TimeoutException,)
        if kind == "connect":
            return (self.library.ConnectError,)
        return (self.library.NetworkError, self.library.RemoteProtocolError)

    def content(self, body: object) -> dict[str, Any]:
        return {"content": body}

    def _token_caller(self) -> dict[str, Any]:
        return {"client": self._client()} if self.separate else {}


class HttpxAsync(InLoop, HttpxSync):
    # An async client accepts only async streams.
    sends_files = False
    sends_iterables = False

    def open_with_hook(self, reaction: str) -> Client:
        async def hook(response: Any) -> None:
            if not response.is_error:
                return
            if reaction == "raise":
                raise ApiError
            if reaction == "close":
                await response.aclose()
            elif reaction == "read":
                assert await response.aread()
            else:
                assert [chunk async for chunk in response.aiter_raw()]

        return self.open(event_hooks={"response": [hook]})

    def _client(self, **options: Any) -> Any:
        client = self.library.AsyncClient(verify=False, **options)
        self.exit.callback(self.run, client.aclose)
        return client

    def send(
        self, raw: Any, method: str, url: str, follow: bool, options: dict[str, Any]
    ) -> Response:
        async def request() -> Response:
            return await raw.request(method, url, follow_redirects=follow, **options)

        return self.run(request)

    def stream(self, raw: Any, url: str) -> Stream:
        async def begin() -> Response:
            return await raw.send(raw.build_request("GET", url), stream=True)

        response = self.run(begin)
        self.exit.callback(self.run, response.aclose)
        chunks: AsyncIterator[bytes] = response.aiter_bytes()

        async def more() -> bytes:
            return await anext(chunks, b"")

        return Stream(response.status_code, lambda: bytes(self.run(more)), response)

    def token(self, auth: Any, *args: Any) -> Any:
        return self.run(auth.atoken, *args)

    def bearer_token(self, auth: Any) -> str:
        token: str = self.run(auth.abearer_token)
        return token

    def application(self, auth: Any, *args: Any) -> Any:
        return self.run(auth.aapplication, *args)


class HttpxTrio(HttpxAsync):
    backend = "trio"


class Httpx2Sync(HttpxSync):
    library = httpx2
    adapter = httpx2_monta
    error = httpx2.RequestError


class Httpx2Async(HttpxAsync):
    library = httpx2
    adapter = httpx2_monta
    error = httpx2.RequestError


class Httpx2Trio(Httpx2Async):
    backend = "trio"


class Aiohttp(InLoop):
    library = aiohttp
    adapter = aiohttp_monta
    error = aiohttp.ClientError
    # aiohttp retries a GET once if its connection is lost.
    tries = 2
    # A list means form fields.
    sends_iterables = False
    # The history of a response holds only redirects.
    keeps_refused_responses = False
    # A response has no `elapsed` and cannot be pickled.
    measures_elapsed = False
    pickles_responses = False
    # An error has no `request`.
    names_requests_in_errors = False
    # Middlewares replace hooks.
    has_hooks = False
    hooks_see_token_calls = False
    caller = "session"
    # Older releases decode every response, without any limit on its size.
    limits_its_decoders = tuple(map(int, aiohttp.__version__.split(".")[:3])) >= (3, 13, 3)
    # The middleware runs for each hop of a redirect.
    authorizes_each_hop = True

    def open(self, auth: Any = None, **options: Any) -> Client:
        return Client(self, self._session(() if auth is None else (auth,), **options))

    def open_narrow(self) -> Client:
        return self.open(connections=1)

    def _session(
        self,
        middlewares: tuple[Any, ...] = (),
        timeout: float | None = None,
        connections: int = 100,
        **options: Any,
    ) -> Any:
        async def make() -> aiohttp.ClientSession:
            limit = aiohttp.ClientTimeout(sock_read=timeout)
            connector = aiohttp.TCPConnector(limit=connections)
            return aiohttp.ClientSession(
                middlewares=middlewares, timeout=limit, connector=connector, **options
            )

        session = self.run(make)
        self.exit.callback(self.run, session.close)
        return session

    def send(
        self, raw: Any, method: str, url: str, follow: bool, options: dict[str, Any]
    ) -> Response:
        async def request() -> Response:
            given = dict(options)
            if files := given.pop("files", None):
                given["data"] = _form(given.get("data", {}), files)
            async with raw.request(method, url, allow_redirects=follow, **given) as response:
                return Answer(response, await response.read())

        return self.run(request)

    def stream(self, raw: Any, url: str) -> Stream:
        async def begin() -> aiohttp.ClientResponse:
            response: aiohttp.ClientResponse = await raw.get(url)
            return response

        response = self.run(begin)

        async def close() -> None:
            response.close()

        self.exit.callback(self.run, close)

        def more() -> bytes:
            return bytes(self.run(response.content.readany))

        return Stream(response.status, more, response)

    def hurry(self, seconds: float) -> Hurry:
        # A middleware does not see a request's own timeout, which ends the request as a whole.
        session = self._session(timeout=seconds)
        return Hurry({"session": session}, {}, (session,))

    def network_errors(self, kind: str) -> tuple[type[Exception], ...]:
        if kind == "timeout":
            return (aiohttp.ServerTimeoutError,)
        if kind == "hung up":
            return (aiohttp.ServerDisconnectedError,)
        return (aiohttp.ClientConnectionError,)

    def _token_caller(self) -> dict[str, Any]:
        return {"session": self._session()} if self.separate else {}


class Answer:
    """A response of aiohttp that was read, with the attribute names that the suite uses."""

    def __init__(self, response: aiohttp.ClientResponse, content: bytes) -> None:
        self.of_library = response
        self.status_code = response.status
        self.headers = response.headers
        self.url = response.url
        self.content = content
        self.history = [Answer(each, b"") for each in response.history]
        info = response.request_info
        self.request = SimpleNamespace(url=info.url, headers=info.headers)


def _form(fields: dict[str, str], files: dict[str, Any]) -> aiohttp.FormData:
    data = aiohttp.FormData(fields)
    for name, file in files.items():
        filename, content = file if isinstance(file, tuple) else (name, file)
        data.add_field(name, content, filename=filename)
    return data


WAYS: dict[str, tuple[type[Harness], bool]] = {
    "requests": (Requests, False),
    "requests session=": (Requests, True),
    "httpx": (HttpxSync, False),
    "httpx client=": (HttpxSync, True),
    "httpx asyncio": (HttpxAsync, False),
    "httpx asyncio client=": (HttpxAsync, True),
    "httpx trio": (HttpxTrio, False),
    "httpx2": (Httpx2Sync, False),
    "httpx2 client=": (Httpx2Sync, True),
    "httpx2 asyncio": (Httpx2Async, False),
    "httpx2 asyncio client=": (Httpx2Async, True),
    "httpx2 trio": (Httpx2Trio, False),
    "aiohttp": (Aiohttp, False),
    "aiohttp session=": (Aiohttp, True),
}
"""Each way to use each library, and whether ``session=`` or ``client=`` makes the token calls."""


def needs(*capabilities: str) -> pytest.MarkDecorator:
    """Run a test only with the libraries that can do this. For the others it does not exist."""
    able = [way for way, (kind, _) in WAYS.items() if all(getattr(kind, c) for c in capabilities)]
    return pytest.mark.parametrize("h", able, indirect=True)
