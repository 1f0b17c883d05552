"""How the contract suite drives each library: one harness for each, all in sync style.

A harness makes auth objects and clients, and says what its library cannot do. Its requests return
the library's own response, since requests and httpx use the same names for what the suite looks
at; `Answer` gives these names to a response of aiohttp.

A test of the suite takes the fixture `h`, and runs with each of `WAYS`. If not every library can do
what it tries, it says what it needs: ``@needs("sends_files")``.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, NamedTuple

import aiohttp
import httpx
import httpx2
import pytest
import requests
from anyio.from_thread import BlockingPortal

import aiohttp_monta
import httpx2_monta
import httpx_monta
import requests_monta
from monta_auth import TokenSource

from .site import Monta

Portals = Callable[[str], BlockingPortal]
Response = Any


class Stream:
    """A response that is read in pieces; `more` returns b"" at its end."""

    def __init__(self, response: Response, more: Callable[[], bytes]) -> None:
        self.response = response
        self.status = response.status_code
        self.more = more

    def rest(self) -> bytes:
        return b"".join(iter(self.more, b""))


class Client:
    """A client of one library, as the suite sees it."""

    def __init__(self, harness: Harness, raw: Any) -> None:
        self._harness = harness
        self.raw = raw

    def request(self, method: str, url: str, *, follow: bool = False, **options: Any) -> Response:
        return self._harness.send(self.raw, method, url, follow, options)

    def get(self, url: str, **options: Any) -> Response:
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> Response:
        return self.request("POST", url, **options)

    def stream(self, url: str) -> Stream:
        return self._harness.stream(self.raw, url)


class Hurry(NamedTuple):
    """Arguments that make a token call time out: for the auth, for a request, for `token`."""

    auth: dict[str, Any]
    request: dict[str, Any]
    token: tuple[Any, ...]


class Harness:
    """One library, sync or async.

    Attributes:
        library: the HTTP library; `adapter`: our package for it.
        error: the base of the library's errors.
        is_async: whether it has no sync side.
        separate: whether ``session=`` or ``client=`` makes the token calls.
        tries: how often the library itself sends a GET that is not answered.
    """

    library: Any
    adapter: Any
    error: type[Exception]
    is_async = False
    tries = 1

    # What most libraries can do. Where one cannot, its harness says why.
    sends_files = True
    sends_iterables = True
    rewinds_files = True
    keeps_refused_responses = True
    measures_elapsed = True
    pickles_responses = True
    names_requests_in_errors = True

    # What most libraries do not do. Where one does, its harness says what.
    measures_whole_files = False
    reads_multipart_at_once = False
    authorizes_each_hop = False

    def __init__(self, portals: Portals, *, separate: bool = False) -> None:
        self._portals = portals
        self.separate = separate
        self.exit = ExitStack()

    def auth(
        self, monta: Monta | None = None, *, source: TokenSource | None = None, **settings: Any
    ) -> Any:
        """An auth object: over the source, or else of Monta's credentials on the real clock."""
        if source is not None:
            settings["source"] = source
        elif monta is not None:
            settings.setdefault("client_id", monta.client_id)
            settings.setdefault("client_secret", monta.client_secret)
            settings.setdefault("base_url", monta.base_url)
        return self.adapter.MontaAuth(**{**self._token_caller(), **settings})

    def open(self, auth: Any = None, **options: Any) -> Client:
        raise NotImplementedError

    def send(
        self, raw: Any, method: str, url: str, follow: bool, options: dict[str, Any]
    ) -> Response:
        raise NotImplementedError

    def stream(self, raw: Any, url: str) -> Stream:
        raise NotImplementedError

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function of the library or of the auth: as it is, or in its event loop."""
        return function(*args)

    def token(self, auth: Any, *args: Any) -> Any:
        return self.run(auth.token, *args)

    def bearer_token(self, auth: Any) -> str:
        token: str = self.run(auth.bearer_token)
        return token

    def application(self, auth: Any, *args: Any) -> Any:
        return self.run(auth.application, *args)

    @property
    def calls_in_pipeline(self) -> bool:
        """Whether a token call and its request go through one pipeline and fail together."""
        return False

    def hurry(self, seconds: float) -> Hurry:
        raise NotImplementedError

    def network_errors(self, kind: str) -> tuple[type[Exception], ...]:
        """The library's classes for "timeout", "connect" and "broken" (of a token call).

        "hung up" is for a connection that the server closes instead of answering a request.
        """
        raise NotImplementedError

    def content(self, body: object) -> dict[str, Any]:
        """The argument for a body of bytes, text or a stream of bytes."""
        return {"data": body}

    def generator(self, *chunks: bytes) -> object:
        return (chunk for chunk in chunks)

    def iterator(self, *chunks: bytes) -> object:
        return map(bytes, chunks)

    def _token_caller(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        self.exit.close()


class InLoop(Harness):
    """Runs each call in an event loop that lives in a thread of its own."""

    is_async = True
    backend = "asyncio"

    def run(self, function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        return self._portals(self.backend).call(function, *args)

    def generator(self, *chunks: bytes) -> object:
        async def generate() -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

        return generate()

    def iterator(self, *chunks: bytes) -> object:
        return AsyncChunks(*chunks)


class Requests(Harness):
    library = requests
    adapter = requests_monta
    error = requests.RequestException
    # A list means form fields.
    sends_iterables = False
    # The files of a multipart body are read when the request is prepared.
    reads_multipart_at_once = True

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

    def stream(self, raw: Any, url: str) -> Stream:
        response = self.exit.enter_context(raw.get(url, stream=True))
        chunks: Iterator[bytes] = response.iter_content(None)
        return Stream(response, lambda: next(chunks, b""))

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
    # The declared length is that of the whole file, even if it is sent from its middle.
    measures_whole_files = True

    def open(self, auth: Any = None, **options: Any) -> Client:
        return Client(self, self._client(auth=auth, **options))

    def _client(self, **options: Any) -> Any:
        # verify=False only spares each test the reading of the CA file.
        return self.exit.enter_context(self.library.Client(verify=False, **options))

    def send(
        self, raw: Any, method: str, url: str, follow: bool, options: dict[str, Any]
    ) -> Response:
        return raw.request(method, url, follow_redirects=follow, **options)

    def stream(self, raw: Any, url: str) -> Stream:
        response = self.exit.enter_context(raw.stream("GET", url))
        chunks = response.iter_bytes()
        return Stream(response, lambda: next(chunks, b""))

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
    # An async client takes async streams only.
    sends_files = False
    sends_iterables = False

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

        return Stream(response, lambda: bytes(self.run(more)))

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
    # aiohttp retries a GET once when its connection is lost.
    tries = 2
    # A list means form fields.
    sends_iterables = False
    # aiohttp rewinds a file while it sends it again: too late to return the 401.
    rewinds_files = False
    # The history of a response holds redirects only.
    keeps_refused_responses = False
    # A response has no `elapsed` and cannot be pickled.
    measures_elapsed = False
    pickles_responses = False
    # An error has no `request`.
    names_requests_in_errors = False
    # The middleware runs for each hop of a redirect.
    authorizes_each_hop = True

    def open(self, auth: Any = None, **options: Any) -> Client:
        return Client(self, self._session(() if auth is None else (auth,), **options))

    def _session(self, middlewares: tuple[Any, ...] = (), timeout: float | None = None) -> Any:
        async def make() -> aiohttp.ClientSession:
            limit = aiohttp.ClientTimeout(sock_read=timeout)
            return aiohttp.ClientSession(middlewares=middlewares, timeout=limit)

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
        return Stream(Answer(response, b""), lambda: bytes(self.run(response.content.readany)))

    def hurry(self, seconds: float) -> Hurry:
        # A middleware does not see a request's own timeout: it ends the request as a whole.
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
    """A response of aiohttp that has been read, under the names that the suite uses."""

    def __init__(self, response: aiohttp.ClientResponse, content: bytes) -> None:
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
"""Each way of using each library, and whether ``session=`` or ``client=`` makes the token calls."""


def needs(*capabilities: str) -> pytest.MarkDecorator:
    """Run a test with the libraries that can do this; for the others it does not exist."""
    able = [way for way, (kind, _) in WAYS.items() if all(getattr(kind, c) for c in capabilities)]
    return pytest.mark.parametrize("h", able, indirect=True)


class AsyncChunks:
    """An async iterator that is no generator: its second pass is silently empty."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = iter(chunks)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration


class Pipe(io.RawIOBase):
    """A file that can be read once."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def readinto(self, buffer: Any) -> int:
        return self._content.readinto(buffer)
