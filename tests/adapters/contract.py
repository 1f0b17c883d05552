"""How the contract suite drives each library: one harness a way of using it, all in sync style.

A harness makes auth objects and clients. Its requests return the library's own response, since
requests and httpx call what the suite looks at the same names.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import httpx2
import requests
from anyio.from_thread import BlockingPortal

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


class Harness:
    """One way of using one library.

    Attributes:
        library: the HTTP library; `adapter`: our package for it.
        error: the base of the library's errors.
        is_async: whether it has no sync side.
        separate: whether ``session=`` or ``client=`` makes the token calls.
    """

    library: Any
    adapter: Any
    error: type[Exception]
    is_async = False

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
        return self.adapter.MontaAuth(**self._token_caller(), **settings)

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
        return auth.token(*args)

    def bearer_token(self, auth: Any) -> str:
        token: str = auth.bearer_token()
        return token

    def application(self, auth: Any, *args: Any) -> Any:
        return auth.application(*args)

    def impatient(self, seconds: float) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arguments for the auth and for the request that make a token call time out."""
        return {}, {"timeout": seconds}

    def content(self, body: object) -> dict[str, Any]:
        """The argument for a body of bytes, text or a stream of bytes."""
        return {"content": body}

    def generator(self, *chunks: bytes) -> object:
        return (chunk for chunk in chunks)

    def iterator(self, *chunks: bytes) -> object:
        return map(bytes, chunks)

    def _token_caller(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        self.exit.close()


class Requests(Harness):
    library = requests
    adapter = requests_monta
    error = requests.RequestException

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

    def impatient(self, seconds: float) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"timeout": seconds}, {}

    def content(self, body: object) -> dict[str, Any]:
        return {"data": body}

    def _token_caller(self) -> dict[str, Any]:
        return {"session": self.exit.enter_context(requests.Session())} if self.separate else {}


class HttpxSync(Harness):
    library: Any = httpx
    adapter: Any = httpx_monta
    error: type[Exception] = httpx.RequestError

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

    def _token_caller(self) -> dict[str, Any]:
        return {"client": self._client()} if self.separate else {}


class HttpxAsync(HttpxSync):
    """Runs each call in an event loop that lives in a thread of its own."""

    is_async = True
    backend = "asyncio"

    def run(self, function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        return self._portals(self.backend).call(function, *args)

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

    def generator(self, *chunks: bytes) -> object:
        async def generate() -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

        return generate()

    def iterator(self, *chunks: bytes) -> object:
        return AsyncChunks(*chunks)


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


KINDS: dict[str, type[Harness]] = {
    "requests": Requests,
    "httpx": HttpxSync,
    "httpx asyncio": HttpxAsync,
    "httpx trio": HttpxTrio,
    "httpx2": Httpx2Sync,
    "httpx2 asyncio": Httpx2Async,
    "httpx2 trio": Httpx2Trio,
}


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
