"""aiohttp for the contract suite of the adapters: a harness, and responses in its words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp

import aiohttp_monta
from monta_auth import TokenSource

from ..adapters.contract import AsyncChunks, Client, Harness, Stream
from ..adapters.leaks import leaks
from ..adapters.site import Monta


class Answer:
    """A response of aiohttp that has been read, under the names that the suite uses."""

    def __init__(self, response: aiohttp.ClientResponse, content: bytes) -> None:
        self.raw = response
        self.status_code = response.status
        self.headers = response.headers
        self.url = response.url
        self.content = content
        self.history = [Answer(each, b"") for each in response.history]
        info = response.request_info
        self.request = SimpleNamespace(url=info.url, headers=info.headers)


class Aiohttp(Harness):
    """Runs each call in an event loop that lives in a thread of its own."""

    library = aiohttp
    adapter = aiohttp_monta
    error = aiohttp.ClientError
    is_async = True

    def run(self, function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        return self._portals("asyncio").call(function, *args)

    def auth(
        self, monta: Monta | None = None, *, source: TokenSource | None = None, **settings: Any
    ) -> Any:
        session = settings.pop("session", None)
        auth = super().auth(monta, source=source, **settings)
        if session is not None:
            auth._session = session
        return auth

    def open(self, auth: Any = None, **options: Any) -> Client:
        return Client(self, self.session(() if auth is None else (auth,), **options))

    def session(self, middlewares: tuple[Any, ...] = (), timeout: float | None = None) -> Any:
        async def make() -> aiohttp.ClientSession:
            limit = aiohttp.ClientTimeout(sock_read=timeout)
            return aiohttp.ClientSession(middlewares=middlewares, timeout=limit)

        session = self.run(make)
        self.exit.callback(self.run, session.close)
        return session

    def send(
        self, raw: Any, method: str, url: str, follow: bool, options: dict[str, Any]
    ) -> Answer:
        options = dict(options)
        files: dict[str, Any] | None = options.pop("files", None)

        async def request() -> Answer:
            if files is not None:
                options["data"] = form(options.get("data", {}), files)
            async with raw.request(method, url, allow_redirects=follow, **options) as response:
                return Answer(response, await response.read())

        answer: Answer = self.run(request)
        return answer

    def stream(self, raw: Any, url: str) -> Stream:
        async def begin() -> aiohttp.ClientResponse:
            response: aiohttp.ClientResponse = await raw.get(url)
            return response

        response = self.run(begin)

        async def close() -> None:
            response.close()

        async def more() -> bytes:
            chunk: bytes = await response.content.readany()
            return chunk

        self.exit.callback(self.run, close)
        shown = SimpleNamespace(status_code=response.status)
        return Stream(shown, lambda: bytes(self.run(more)))

    def token(self, auth: Any, *args: Any) -> Any:
        return self.run(auth.token, *args)

    def bearer_token(self, auth: Any) -> str:
        token: str = self.run(auth.bearer_token)
        return token

    def application(self, auth: Any, *args: Any) -> Any:
        return self.run(auth.application, *args)

    def impatient(self, seconds: float) -> tuple[dict[str, Any], dict[str, Any]]:
        # A request's own timeout is not for a middleware to see: it ends the whole request.
        return {"session": self.session(timeout=seconds)}, {}

    def content(self, body: object) -> dict[str, Any]:
        return {"data": body}

    def generator(self, *chunks: bytes) -> object:
        async def generate() -> Any:
            for chunk in chunks:
                yield chunk

        return generate()

    def iterator(self, *chunks: bytes) -> object:
        return AsyncChunks(*chunks)

    def _token_caller(self) -> dict[str, Any]:
        return {"session": self.session()} if self.separate else {}


def form(fields: dict[str, str], files: dict[str, Any]) -> aiohttp.FormData:
    data = aiohttp.FormData()
    for name, value in fields.items():
        data.add_field(name, value)
    for name, file in files.items():
        filename, content = file if isinstance(file, tuple) else (name, file)
        data.add_field(name, content, filename=filename)
    return data


def leaked(root: object, secrets: set[str]) -> list[str]:
    """As `leaks`, without what the tests of this folder know themselves."""
    ours = f"> frame > {Path(__file__).parent.name}/test_"
    return [way for way in leaks(root, secrets) if ours not in way]
