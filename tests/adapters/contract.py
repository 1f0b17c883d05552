"""What the contract suite needs of a library: a harness with clients and streams.

A test of the suite takes the fixture `h` and runs once for each of `libraries.WAYS`. A test that
some libraries cannot run names what it needs: ``@needs("sends_files")``.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

from anyio.from_thread import BlockingPortal

from monta_auth import TokenSource

from .site import Monta

Portals = Callable[[str], BlockingPortal]
Response = Any


class Stream:
    """A response that is read in pieces; `more` returns b"" at the end."""

    def __init__(self, status: int, more: Callable[[], bytes], raw: Response) -> None:
        self.status = status
        self.more = more
        self.raw = raw

    def rest(self) -> bytes:
        return b"".join(iter(self.more, b""))


class Client:
    """A client of one library, with the methods that the suite calls."""

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


class ApiError(Exception):
    """An error as most SDKs have one. It does not lead to the response."""


class Hurry(NamedTuple):
    """Arguments that make a token call time out: for the auth, for a request and for `token`."""

    auth: dict[str, Any]
    request: dict[str, Any]
    token: tuple[Any, ...]


class Harness:
    """One library, sync or async. The suite always calls it in sync style.

    It makes auth objects and clients. A request returns the library's own response, since requests
    and httpx use the same names for what the suite checks.

    Attributes:
        library: the HTTP library; `adapter`: our package for it.
        error: the base class of the library's errors.
        is_async: whether it has only an async API.
        separate: whether ``session=`` or ``client=`` makes the token calls.
        tries: how often the library itself sends a GET that gets no response.
    """

    library: Any
    adapter: Any
    error: type[Exception]
    is_async = False
    tries = 1

    # What most libraries can do. If one cannot, its harness says why.
    sends_files = True
    sends_iterables = True
    keeps_refused_responses = True
    measures_elapsed = True
    pickles_responses = True
    names_requests_in_errors = True
    limits_its_decoders = True
    has_hooks = True
    hooks_see_token_calls = True
    runs_in_this_thread = True
    can_be_closed = True

    #: The argument that names what makes the token calls.
    caller = "client"

    # What most libraries do not do. If one does, its harness says so.
    ends_token_calls_as_a_whole = False
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
        """Return an auth object: for the source, or with Monta's credentials and the real clock."""
        if source is not None:
            settings["source"] = source
        elif monta is not None:
            settings.setdefault("client_id", monta.client_id)
            settings.setdefault("client_secret", monta.client_secret)
            settings.setdefault("base_url", monta.base_url)
        return self.adapter.MontaAuth(**{**self._token_caller(), **settings})

    def open(self, auth: Any = None, **options: Any) -> Client:
        raise NotImplementedError

    def open_narrow(self) -> Client:
        """Return a client with at most one connection."""
        raise NotImplementedError

    def open_with_hook(self, reaction: str) -> Client:
        """Return a client with a response hook that treats errors so: raise, close, read or raw."""
        raise NotImplementedError

    def send(
        self, raw: Any, method: str, url: str, follow: bool, options: dict[str, Any]
    ) -> Response:
        raise NotImplementedError

    def stream(self, raw: Any, url: str) -> Stream:
        raise NotImplementedError

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function of the library or of the auth, in its event loop if it is async."""
        return function(*args)

    def token(self, auth: Any, *args: Any) -> Any:
        return self.run(auth.token, *args)

    def bearer_token(self, auth: Any) -> str:
        token: str = self.run(auth.bearer_token)
        return token

    def application(self, auth: Any, *args: Any) -> Any:
        return self.run(auth.application, *args)

    def invalidate(self, auth: Any) -> None:
        self.run(auth.invalidate)

    def forget(self, auth: Any) -> None:
        self.run(auth.forget)

    @property
    def calls_in_pipeline(self) -> bool:
        """Return whether a token call and its request go through one pipeline and fail together."""
        return False

    def hurry(self, seconds: float) -> Hurry:
        raise NotImplementedError

    def network_errors(self, kind: str) -> tuple[type[Exception], ...]:
        """Return the library's classes for "timeout", "connect" and "broken" (of a token call).

        "hung up" is for a connection that the server closes instead of answering a request.
        """
        raise NotImplementedError

    def content(self, body: object) -> dict[str, Any]:
        """Return the argument for a body of bytes, text or a stream of bytes."""
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
    """Runs each call in an event loop that has its own thread."""

    is_async = True
    runs_in_this_thread = False
    ends_token_calls_as_a_whole = True
    backend = "asyncio"

    def run(self, function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        return self._portals(self.backend).call(function, *args)

    def invalidate(self, auth: Any) -> None:
        self.run(auth.ainvalidate)

    def forget(self, auth: Any) -> None:
        self.run(auth.aforget)

    def generator(self, *chunks: bytes) -> object:
        async def generate() -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

        return generate()

    def iterator(self, *chunks: bytes) -> object:
        return AsyncChunks(*chunks)


class AsyncChunks:
    """An async iterator that is not a generator: a second pass silently yields nothing."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = iter(chunks)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration


class Pipe(io.RawIOBase):
    """A file that can only be read once."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def readinto(self, buffer: Any) -> int:
        return self._content.readinto(buffer)
