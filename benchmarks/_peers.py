"""The contestants behind one interface: open a client, send a request, run only the auth step.

Each is used as documented, with its defaults, its dialect, and the grant that suits it best.
Authlib and requests-oauthlib fetch no first token, so they start with an expired one. google-auth
and requests-oauthlib renew only with a refresh token, so they get a reusable one. A library is
imported when its client is opened, so that a missing one costs only its figures.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import importlib.util
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from monta_auth import TokenSource

from ._server import CLIENT_ID, CLIENT_SECRET, PAGE, REFRESH_TOKEN, World

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # lets requests-oauthlib use http on loopback

load: Callable[[str], Any] = importlib.import_module
OURS = "monta-auth"
STATIC = "static header"
TOKEN = "a" * 36
LONG_AGO = 1
OAUTH_TOKEN = json.dumps(
    {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600}
).encode()
MINT = {"clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET}
JSON_TYPE = {"Content-Type": "application/json"}


def canned(url: str) -> bytes:
    """Return the body that the in-memory transport answers with."""
    if "/auth/" in url:
        in_an_hour = datetime.now(UTC) + timedelta(hours=1)
        pair = {
            "accessToken": TOKEN,
            "accessTokenExpirationDate": in_an_hour.isoformat(),
            "refreshToken": "r" * 36,
            "refreshTokenExpirationDate": in_an_hour.isoformat(),
        }
        return json.dumps(pair).encode()
    return OAUTH_TOKEN if "oauth2" in url else PAGE


@dataclass(frozen=True)
class Block:
    """Code to measure.

    Attributes:
        run: a function, or a coroutine function if the client is async.
        before: called before each run; its time is not measured.
    """

    run: Callable[[], None] | Callable[[], Awaitable[None]]
    before: Callable[[], None] = lambda: None


class Contestant:
    """One way to authorize requests of one library.

    Attributes:
        name: the column of its figures.
        library: the HTTP library.
        modules: the modules that it needs.
        added: the module to import for the import figure.
        is_async: whether its client is async.
        renews_apart: whether it can renew while no request waits: in a probe or in the background.
    """

    name: str
    library: str
    modules: tuple[str, ...] = ()
    added: str = ""
    is_async = False
    renews_apart = False

    @property
    def row(self) -> str:
        return self.library + (" async" if self.is_async and self.library != "aiohttp" else "")

    def missing(self) -> str | None:
        """Return the first module that is not installed, or None."""
        for module in (self.library, *self.modules):
            try:
                if importlib.util.find_spec(module) is None:
                    return module
            except ModuleNotFoundError:
                return module
        return None

    def open(self, world: World, *, in_memory: bool = False) -> Any:
        """Return a client without a token. Call this in a running loop for async clients."""
        raise NotImplementedError

    def get(self, client: Any, url: str) -> int:
        """Send one request; return its status. Async clients have `aget`."""
        status: int = client.get(url).status_code
        return status

    async def aget(self, client: Any, url: str) -> int:
        raise NotImplementedError

    def close(self, client: Any) -> None:
        client.close()

    async def aclose(self, client: Any) -> None:
        raise NotImplementedError

    def step(self, client: Any, url: str, calls: int) -> Block:
        """Return the block that only authorizes `calls` requests, with an existing token."""
        raise NotImplementedError

    def obtain(self, client: Any, world: World) -> None:
        """Make one token call; only the static header needs it."""

    async def aobtain(self, client: Any, world: World) -> None:
        pass

    def prepare(self, client: Any) -> None:
        """Enable renewals in the background, if the contestant has them."""

    def probe(self, client: Any) -> None:
        """Do what a readiness probe does. Async clients have `aprobe`."""

    async def aprobe(self, client: Any) -> None:
        pass


def new_source(world: World) -> TokenSource:
    """Return a token source that shares its token with no other."""
    return TokenSource(CLIENT_ID, CLIENT_SECRET, base_url=world.base_url)


# --- requests


def memory_adapter() -> Any:
    requests = load("requests")

    class Memory(requests.adapters.BaseAdapter):  # type: ignore[misc, name-defined]
        def send(self, request: Any, *args: Any, **keywords: Any) -> Any:
            response = requests.Response()
            response.status_code, response.request, response.url = 200, request, request.url
            response._content = canned(request.url)
            response.headers["Content-Type"] = "application/json"
            return response

        def close(self) -> None:
            pass

    return Memory()


def with_memory(session: Any, in_memory: bool) -> Any:
    if in_memory:
        session.mount("http://", memory_adapter())
    return session


def prepared_requests(url: str, calls: int) -> list[Any]:
    requests = load("requests")

    return [requests.Request("GET", url).prepare() for _ in range(calls)]


class RequestsContestant(Contestant):
    library = "requests"

    def auth_of(self, client: Any) -> Any:
        return client.auth

    def step(self, client: Any, url: str, calls: int) -> Block:
        requests, auth = prepared_requests(url, calls), self.auth_of(client)

        def before() -> None:
            for request in requests:
                request.headers.pop("Authorization", None)
                request.hooks["response"] = []

        def run() -> None:
            for request in requests:
                auth(request)

        return Block(run, before)


class StaticRequests(RequestsContestant):
    name = STATIC

    def open(self, world: World, *, in_memory: bool = False) -> Any:
        requests = load("requests")

        class HeaderAuth(requests.auth.AuthBase):  # type: ignore[misc, name-defined]
            def __init__(self, token: str) -> None:
                self.token = token

            def __call__(self, r: Any) -> Any:
                r.headers["Authorization"] = f"Bearer {self.token}"
                return r

        session = with_memory(requests.Session(), in_memory)
        session.auth = HeaderAuth(TOKEN)
        return session

    def obtain(self, client: Any, world: World) -> None:
        requests = load("requests")

        reply = requests.post(world.base_url + "/auth/token", json=MINT, timeout=10)
        client.auth.token = reply.json()["accessToken"]


class OursRequests(RequestsContestant):
    name, modules, added = OURS, ("requests_monta",), "requests_monta"
    renews_apart = True

    def open(self, world: World, *, in_memory: bool = False) -> Any:
        requests = load("requests")

        session = with_memory(requests.Session(), in_memory)
        session.auth = load(self.added).MontaAuth(
            source=new_source(world),
            session=with_memory(requests.Session(), True) if in_memory else None,
        )
        return session

    def probe(self, client: Any) -> None:
        client.auth.token()


EXPIRED = {"access_token": "expired", "token_type": "Bearer", "expires_at": LONG_AGO}


class AuthlibRequests(RequestsContestant):
    name, modules = "Authlib", ("authlib",)
    added = "authlib.integrations.requests_client"

    def open(self, world: World, *, in_memory: bool = False) -> Any:
        session = load(self.added).OAuth2Session(
            CLIENT_ID,
            CLIENT_SECRET,
            token_endpoint=world.token_url,
            grant_type="client_credentials",
            token=dict(EXPIRED),
        )
        return with_memory(session, in_memory)

    def auth_of(self, client: Any) -> Any:
        return client.token_auth


class OauthlibRequests(RequestsContestant):
    name, modules, added = "requests-oauthlib", ("requests_oauthlib",), "requests_oauthlib"

    def open(self, world: World, *, in_memory: bool = False) -> Any:
        session = load(self.added).OAuth2Session(
            CLIENT_ID,
            token={**EXPIRED, "refresh_token": REFRESH_TOKEN, "expires_in": -1},
            auto_refresh_url=world.token_url,
            auto_refresh_kwargs={"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET},
            token_updater=lambda token: None,  # pyright: ignore[reportUnknownLambdaType]
        )
        return with_memory(session, in_memory)

    def step(self, client: Any, url: str, calls: int) -> Block:
        requests = prepared_requests(url, calls)

        def run() -> None:
            for _ in requests:
                client._client.add_token(url, http_method="GET", body=None, headers=None)

        return Block(run)


class GoogleRequests(RequestsContestant):
    name, modules, added = "google-auth", ("google.auth",), "google.auth.transport.requests"
    renews_apart = True

    def open(self, world: World, *, in_memory: bool = False) -> Any:
        requests = load("requests")
        google = load(self.added)
        credentials = load("google.oauth2.credentials").Credentials(
            None,
            refresh_token=REFRESH_TOKEN,
            token_uri=world.token_url,
            client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET,
        )
        inner = google.Request(with_memory(requests.Session(), True)) if in_memory else None
        return with_memory(google.AuthorizedSession(credentials, auth_request=inner), in_memory)

    def prepare(self, client: Any) -> None:
        client.credentials.with_non_blocking_refresh()

    def step(self, client: Any, url: str, calls: int) -> Block:
        requests = prepared_requests(url, calls)
        credentials, call = client.credentials, client._auth_request

        def run() -> None:
            for _ in requests:
                credentials.before_request(call, "GET", url, {})

        return Block(run)


# --- httpx and httpx2


class HttpxContestant(Contestant):
    def __init__(self, library: str = "httpx", is_async: bool = False) -> None:
        self.library, self.is_async = library, is_async

    @functools.cached_property
    def httpx(self) -> Any:
        return load(self.library)

    def auth(self, world: World, in_memory: bool) -> Any:
        raise NotImplementedError

    def transport(self, in_memory: bool) -> Any:
        if not in_memory:
            return None
        httpx = self.httpx

        def answer(request: Any) -> Any:
            return httpx.Response(200, content=canned(request.url.path), headers=JSON_TYPE)

        return httpx.MockTransport(answer)

    def settings(self, in_memory: bool) -> dict[str, Any]:
        """Return the settings of all clients of the library."""
        # Idle connections must not expire when a clock is moved: httpcore would close some that are
        # in use. And 500 tasks must not wait for one of 100 connections.
        limits = self.httpx.Limits(keepalive_expiry=None)
        return {"transport": self.transport(in_memory), "timeout": 60, "limits": limits}

    def open(self, world: World, *, in_memory: bool = False) -> Any:
        kind = self.httpx.AsyncClient if self.is_async else self.httpx.Client
        return kind(auth=self.auth(world, in_memory), **self.settings(in_memory))

    async def aget(self, client: Any, url: str) -> int:
        status: int = (await client.get(url)).status_code
        return status

    async def aclose(self, client: Any) -> None:
        await client.aclose()

    def ensure(self, client: Any) -> Callable[[], Any] | None:
        """Return the part of the step that the client runs before the flow, if any."""

    def auth_of(self, client: Any) -> Any:
        return client.auth

    def step(self, client: Any, url: str, calls: int) -> Block:
        requests = [self.httpx.Request("GET", url) for _ in range(calls)]
        response, auth, ensure = self.httpx.Response(200), self.auth_of(client), self.ensure(client)

        def before() -> None:
            for request in requests:
                request.headers.pop("Authorization", None)

        def run() -> None:
            for request in requests:
                if ensure is not None:
                    ensure()
                flow = auth.sync_auth_flow(request)
                next(flow)
                try:
                    flow.send(response)
                except StopIteration:
                    pass
                flow.close()

        async def arun() -> None:
            for request in requests:
                if ensure is not None:
                    await ensure()
                flow = auth.async_auth_flow(request)
                await flow.__anext__()
                try:
                    await flow.asend(response)
                except StopAsyncIteration:
                    pass
                await flow.aclose()

        return Block(arun if self.is_async else run, before)


class StaticHttpx(HttpxContestant):
    name = STATIC

    def auth(self, world: World, in_memory: bool) -> Any:
        class HeaderAuth(self.httpx.Auth):  # type: ignore[misc, name-defined]
            token = TOKEN

            def auth_flow(self, request: Any) -> Any:
                request.headers["Authorization"] = f"Bearer {self.token}"
                yield request

        return HeaderAuth()

    def obtain(self, client: Any, world: World) -> None:
        reply = client.post(world.base_url + "/auth/token", json=MINT, auth=None)
        client.auth.token = reply.json()["accessToken"]

    async def aobtain(self, client: Any, world: World) -> None:
        reply = await client.post(world.base_url + "/auth/token", json=MINT, auth=None)
        client.auth.token = reply.json()["accessToken"]


class OursHttpx(HttpxContestant):
    name, renews_apart = OURS, True

    def __init__(self, library: str = "httpx", is_async: bool = False) -> None:
        super().__init__(library, is_async)
        self.added = f"{library}_monta"
        self.modules = (self.added,)

    def auth(self, world: World, in_memory: bool) -> Any:
        return load(self.added).MontaAuth(source=new_source(world))

    def probe(self, client: Any) -> None:
        client.auth.token(client)

    async def aprobe(self, client: Any) -> None:
        await client.auth.atoken(client)


class HttpxAuthHttpx(HttpxContestant):
    name, modules, added = "httpx-auth", ("httpx_auth",), "httpx_auth"

    def auth(self, world: World, in_memory: bool) -> Any:
        httpx_auth = load("httpx_auth")
        httpx_auth.OAuth2.token_cache.clear()
        inner = self.httpx.Client(transport=self.transport(True)) if in_memory else None
        kind = httpx_auth.OAuth2ClientCredentials
        return kind(world.token_url, CLIENT_ID, CLIENT_SECRET, client=inner)


class AuthlibHttpx(HttpxContestant):
    name, modules = "Authlib", ("authlib",)
    added = "authlib.integrations.httpx_client"

    def open(self, world: World, *, in_memory: bool = False) -> Any:
        httpx_client = load(self.added)
        kind: Any = httpx_client.AsyncOAuth2Client if self.is_async else httpx_client.OAuth2Client
        return kind(
            CLIENT_ID,
            CLIENT_SECRET,
            token_endpoint=world.token_url,
            grant_type="client_credentials",
            token=dict(EXPIRED),
            **self.settings(in_memory),
        )

    def auth_of(self, client: Any) -> Any:
        return client.token_auth

    def ensure(self, client: Any) -> Callable[[], Any]:
        return lambda: client.ensure_active_token(client.token)


# --- aiohttp


class AiohttpContestant(Contestant):
    library, is_async = "aiohttp", True

    def middleware(self, world: World) -> Any:
        raise NotImplementedError

    def open(self, world: World, *, in_memory: bool = False) -> Any:
        aiohttp = load("aiohttp")

        middleware = self.middleware(world)
        client: Any = aiohttp.ClientSession(
            middlewares=[middleware], connector=aiohttp.TCPConnector(limit=0)
        )
        return SimpleNamespace(session=client, auth=middleware)

    async def aget(self, client: Any, url: str) -> int:
        async with client.session.get(url) as response:
            await response.json()  # because `monta` does this, too
            status: int = response.status
            return status

    async def aclose(self, client: Any) -> None:
        await client.session.close()

    def step(self, client: Any, url: str, calls: int) -> Block:
        aiohttp = load("aiohttp")
        auth, answer = client.auth, SimpleNamespace(status=200)
        loop = asyncio.get_running_loop()
        requests = [
            aiohttp.ClientRequest("GET", load("yarl").URL(url), loop=loop, session=client.session)
            for _ in range(calls)
        ]

        async def handler(request: Any) -> Any:
            return answer

        async def run() -> None:
            for request in requests:
                await auth(request, handler)

        return Block(run)


class StaticAiohttp(AiohttpContestant):
    name = STATIC

    def middleware(self, world: World) -> Any:
        class HeaderAuth:
            token = TOKEN

            async def __call__(self, request: Any, handler: Any) -> Any:
                request.headers["Authorization"] = f"Bearer {self.token}"
                return await handler(request)

        return HeaderAuth()

    async def aobtain(self, client: Any, world: World) -> None:
        url = world.base_url + "/auth/token"
        async with client.session.post(url, json=MINT, middlewares=()) as reply:
            client.auth.token = (await reply.json())["accessToken"]


class OursAiohttp(AiohttpContestant):
    name, modules, added = OURS, ("aiohttp_monta",), "aiohttp_monta"
    renews_apart = True

    def middleware(self, world: World) -> Any:
        return load(self.added).MontaAuth(source=new_source(world))

    async def aprobe(self, client: Any) -> None:
        await client.auth.token(client.session)


class MontaAiohttp(AiohttpContestant):
    name, modules, added = "monta", ("monta",), "monta"

    def open(self, world: World, *, in_memory: bool = False) -> Any:
        aiohttp = load("aiohttp")
        monta = load("monta")
        load("monta.client").API_BASE_URL = world.base_url + "/"
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        api = monta.MontaApiClient(CLIENT_ID, CLIENT_SECRET, session)
        return SimpleNamespace(api=api, session=session)

    async def aget(self, client: Any, url: str) -> int:
        # It returns no status, but raises unless the call succeeds.
        await client.api._async_authorized_request(method="get", path="charge-points")
        return 200

    def step(self, client: Any, url: str, calls: int) -> Block:
        async def handler(headers: dict[str, str]) -> None:
            pass

        async def run() -> None:
            for _ in range(calls):
                token = await client.api.async_get_access_token()
                await handler({"authorization": f"Bearer {token}"})

        return Block(run)


EVERYONE: list[Contestant] = [
    StaticRequests(),
    OursRequests(),
    AuthlibRequests(),
    OauthlibRequests(),
    GoogleRequests(),
    StaticHttpx(),
    OursHttpx(),
    HttpxAuthHttpx(),
    StaticHttpx(is_async=True),
    OursHttpx(is_async=True),
    HttpxAuthHttpx(is_async=True),
    StaticHttpx("httpx2"),
    OursHttpx("httpx2"),
    AuthlibHttpx("httpx2"),
    StaticHttpx("httpx2", is_async=True),
    OursHttpx("httpx2", is_async=True),
    AuthlibHttpx("httpx2", is_async=True),
    StaticAiohttp(),
    OursAiohttp(),
    MontaAiohttp(),
]
NAMES = [OURS, "Authlib", "requests-oauthlib", "google-auth", "httpx-auth", "monta"]


def rows(present: list[Contestant]) -> dict[str, list[Contestant]]:
    """Group contestants by row; the static header comes first."""
    grouped: dict[str, list[Contestant]] = {}
    for contestant in present:
        grouped.setdefault(contestant.row, []).append(contestant)
    return grouped
