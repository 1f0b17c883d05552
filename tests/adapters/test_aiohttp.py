"""aiohttp's specialties: middlewares, sessions, proxies, cancellation, event loops."""

from __future__ import annotations

import asyncio
import gc
import importlib
import signal
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, TypeVar

import aiohttp
import pytest
from starlette.types import Send
from yarl import URL

import aiohttp_monta
from aiohttp_monta import MontaAuth
from aiohttp_monta._calls import lent_by
from aiohttp_monta._hops import Requests
from monta_auth import (
    ConfigurationError,
    InvalidCredentialsError,
    MontaAuthError,
    RefreshPolicy,
    TokenEndpointError,
    TokenSet,
)
from monta_auth.emulator import Fault

from .leaks import leaks
from .site import Host, Monta, Seen, redirects, says

GOOD = "/charge-points"
T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


def auth_of(monta: Monta, **settings: Any) -> MontaAuth:
    return MontaAuth(monta.client_id, monta.client_secret, base_url=monta.base_url, **settings)


async def status(session: aiohttp.ClientSession, url: str, **options: Any) -> int:
    async with session.get(url, **options) as response:
        await response.read()
        return response.status


async def until_asked(monta: Monta, path: str) -> None:
    """Wait for a request to reach the server, which runs in another thread."""
    while not monta.asked("/api/v1" + path):  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0)


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(serve: Serve) -> AsyncGenerator[str, None]:
    """Run a server that can do anything to a connection. Yield its base URL."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1"
    finally:
        server.close()


async def read_request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    """Return method and target, headers by lower-case names, and the body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in head[1:-2])}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return head[0].rpartition(" ")[0], headers, body


@pytest.mark.parametrize("total", [None, 300.0])
def test_a_timer_belongs_to_one_request_and_to_all_its_hops(
    monta: Monta, foreign: Host, total: float | None
) -> None:
    """Fails if a release of aiohttp changes how `Requests.hops_of` recognizes a request."""
    hops: list[aiohttp.ClientRequest] = []

    async def note(request: Any, handler: Any) -> Any:
        hops.append(request)
        return await handler(request)

    async def main() -> None:
        timeout = aiohttp.ClientTimeout(total=total)
        async with aiohttp.ClientSession(middlewares=(note,), timeout=timeout) as session:
            await asyncio.gather(*(status(session, url) for _ in range(2)))

    url = monta.page("/from", redirects(302, foreign.origin + "/to"))
    run(main())
    timers = {id(hop._timer) for hop in hops}  # type: ignore[attr-defined, unused-ignore]
    assert (len(hops), len(timers)) == (4, 2)
    requests = Requests()
    first = requests.hops_of(hops[0])
    assert [requests.hops_of(hop) is first for hop in hops].count(True) == 2


@pytest.mark.parametrize("total", [None, 300.0])
def test_a_foreign_redirect_gets_no_token_when_aiohttp_repeats_it(
    total: float | None,
) -> None:
    """aiohttp repeats a GET whose connection was closed, and the middleware is not called."""
    asked: list[tuple[str, str | None]] = []
    targets: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target, headers, _ = await read_request(reader)
        asked.append((target, headers.get("authorization")))
        if len(asked) > 1:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        head = f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {targets[0]}\r\n\r\n"
        writer.write(head.encode())

    async def main() -> int:
        async with raw_server(serve) as base_url, raw_server(redirect) as elsewhere:
            targets.append(base_url + "/stop")
            pair = TokenSet("access", None, datetime.now(UTC) + timedelta(hours=1))
            auth = MontaAuth("id", "a-secret-value", base_url=base_url, token=pair)
            timeout = aiohttp.ClientTimeout(total=total)
            async with aiohttp.ClientSession(middlewares=(auth,), timeout=timeout) as session:
                return await status(session, elsewhere)

    assert run(main()) == 200
    assert asked == [("GET /api/v1/stop", None)] * 2


def test_concurrent_requests_are_distinguished(monta: Monta, foreign: Host) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession(middlewares=(auth_of(monta),)) as session:
            urls = [foreign.origin + "/callback", monta.url(GOOD)] * 20
            found = await asyncio.gather(*(status(session, url) for url in urls))
            assert found == [401, 200] * 20

    foreign.pages["/callback"] = redirects(302, monta.url(GOOD))
    run(main())
    assert monta.mints == 1


def test_nothing_is_kept_of_a_finished_request(monta: Monta, foreign: Host) -> None:
    auth = auth_of(monta)

    async def main() -> None:
        async with aiohttp.ClientSession(middlewares=(auth,)) as session:
            for _ in range(3):
                await status(session, foreign.origin + "/callback")
                await status(session, foreign.origin + "/callback", allow_redirects=False)

    foreign.pages["/callback"] = redirects(302, monta.url(GOOD))
    run(main())
    gc.collect()
    assert (len(auth._requests._by_timer), len(auth._requests._by_response)) == (0, 0)


# --- ways of using it


def test_a_middleware_of_a_session(monta: Monta) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession(middlewares=(auth_of(monta),)) as session:
            assert [await status(session, monta.url(GOOD)) for _ in range(3)] == [200] * 3

    run(main())
    assert (monta.mints, monta.refreshes, monta.count(GOOD)) == (1, 0, 3)


def test_a_middleware_of_a_request_on_a_shared_session(monta: Monta) -> None:
    """Home Assistant's session is shared, for example. Its other users must not get the token."""

    async def main() -> None:
        auth = auth_of(monta)
        async with aiohttp.ClientSession() as session:
            assert await status(session, monta.url(GOOD), middlewares=(auth,)) == 200
            assert await status(session, monta.url(GOOD)) == 401

    run(main())
    assert [seen.token is None for seen in monta.asked("/api/v1" + GOOD)] == [False, True]
    assert monta.mints == 1


def test_of_two_nested_auth_objects_the_inner_one_sets_the_token(monta: Monta) -> None:
    async def main() -> None:
        auth = auth_of(monta)
        async with aiohttp.ClientSession(middlewares=(auth, auth)) as session:
            assert await status(session, monta.url(GOOD)) == 200
            monta.emulator.revoke_access_tokens()
            assert await status(session, monta.url(GOOD)) == 200

    run(main())
    assert (monta.mints, monta.refreshes, monta.count(GOOD)) == (1, 1, 3)


def test_a_session_may_have_a_base_url(monta: Monta) -> None:
    async def main() -> None:
        auth = auth_of(monta)
        async with aiohttp.ClientSession(monta.base_url + "/", middlewares=(auth,)) as session:
            assert await status(session, "charge-points") == 200

    run(main())
    assert monta.mints == 1


def test_arguments_of_the_caller_are_not_changed(monta: Monta) -> None:
    headers, body = {"Monta-Version": "v1"}, {"a": [1]}

    async def main() -> None:
        async with aiohttp.ClientSession(middlewares=(auth_of(monta),)) as session:
            async with session.post(monta.url("/charges"), json=body, headers=headers):
                pass
            assert "Authorization" not in session.headers

    run(main())
    assert (headers, body) == ({"Monta-Version": "v1"}, {"a": [1]})
    assert [seen.headers.get("monta-version") for seen in monta.seen] == [None, "v1"]


def test_one_auth_object_works_in_successive_event_loops(monta: Monta) -> None:
    auth = auth_of(monta)

    async def main() -> None:
        async with aiohttp.ClientSession(middlewares=(auth,)) as session:
            assert await status(session, monta.url(GOOD)) == 200
            monta.emulator.revoke_access_tokens()
            assert await status(session, monta.url(GOOD)) == 200

    run(main())
    run(main())
    assert (monta.mints, monta.refreshes) == (1, 2)


def test_token_without_a_session_opens_and_closes_one(monta: Monta) -> None:
    auth = auth_of(monta)

    async def main() -> TokenSet:
        async with aiohttp.ClientSession() as session:
            assert await auth.bearer_token(session) == await auth.bearer_token()
        auth.forget()
        return await auth.token()

    assert isinstance(run(main()), TokenSet)
    assert monta.mints == 2


@pytest.mark.parametrize("session", [object(), "session"])
def test_the_session_argument_must_be_a_session(session: Any) -> None:
    with pytest.raises(ConfigurationError, match="ClientSession"):
        MontaAuth("id", "secret", session=session)


def test_a_closed_session_is_named_in_the_error(monta: Monta) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession() as closed:
            pass
        auth = auth_of(monta, session=closed)
        async with aiohttp.ClientSession(middlewares=(auth,)) as session:
            with pytest.raises(aiohttp.ClientConnectionError, match="Session is closed"):
                await session.get(monta.url(GOOD))

    run(main())
    assert monta.seen == []


def test_without_aiohttp_the_import_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp.client_middlewares", None)
    with pytest.raises(ImportError, match=r"pip install 'monta-auth\[aiohttp\]'"):
        importlib.reload(aiohttp_monta)


# --- many at once


def test_five_hundred_tasks_cost_one_mint(monta: Monta) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession(middlewares=(auth_of(monta),)) as session:
            tasks = [status(session, monta.url(GOOD)) for _ in range(500)]
            assert await asyncio.gather(*tasks) == [200] * 500

    run(main())
    assert (monta.mints, monta.refreshes, monta.count(GOOD)) == (1, 0, 500)


def test_a_hundred_requests_refused_at_once_cost_one_refresh(monta: Monta) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession(middlewares=(auth_of(monta),)) as session:
            assert await status(session, monta.url(GOOD)) == 200
            monta.emulator.revoke_access_tokens()
            tasks = [status(session, monta.url("/charges")) for _ in range(100)]
            assert await asyncio.gather(*tasks) == [200] * 100

    run(main())
    assert (monta.mints, monta.refreshes) == (1, 1)
    assert 101 <= monta.count("/charges") <= 200


def test_one_connection_is_enough_for_requests_and_token_calls(monta: Monta) -> None:
    """A refused response gives its connection back before the token call needs one."""

    async def main() -> None:
        line = aiohttp.TCPConnector(limit=1)
        auth = auth_of(monta)
        async with aiohttp.ClientSession(connector=line, middlewares=(auth,)) as session:
            for _ in range(2):
                tasks = [status(session, monta.url(GOOD)) for _ in range(30)]
                assert await asyncio.gather(*tasks) == [200] * 30
                monta.emulator.revoke_access_tokens()

    run(main())
    assert (monta.mints, monta.refreshes) == (1, 1)
    assert len(monta.connections) == 1


# --- the token call


def test_the_sessions_settings_do_not_disturb_a_token_call(
    monta: Monta, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its middlewares, auth, netrc, raise_for_status and encoding do not change a token call."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password you")
    monkeypatch.setenv("NETRC", str(netrc))
    seen: list[str] = []

    async def spy(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        seen.append(request.url.path)
        return await handler(request)

    async def main() -> None:
        async with aiohttp.ClientSession(
            middlewares=(spy, auth_of(monta), spy),
            raise_for_status=True,
            auto_decompress=False,
            trust_env=True,
        ) as session:
            assert await status(session, monta.url(GOOD)) == 200
        async with aiohttp.ClientSession(headers={"Authorization": "Basic abc"}) as session:
            auth = auth_of(monta, policy=RefreshPolicy(pause=3))
            assert await status(session, monta.url(GOOD), middlewares=(auth,)) == 200

    run(main())
    assert seen == ["/api/v1" + GOOD] * 2
    calls = monta.asked("/api/v1/auth/token")
    assert [call.token for call in calls] == [None, None]
    assert calls[0].headers["content-type"] == "application/json"
    assert calls[0].headers["accept"] == "application/json"


def test_raise_for_status_of_the_session_does_not_replace_our_error(monta: Monta) -> None:
    async def main() -> None:
        auth = MontaAuth(monta.client_id, "wrong", base_url=monta.base_url)
        async with aiohttp.ClientSession(middlewares=(auth,), raise_for_status=True) as session:
            with pytest.raises(InvalidCredentialsError) as caught:
                await session.get(monta.url(GOOD))
            assert isinstance(caught.value, aiohttp.ClientError)
            assert "ClientResponseError" not in {
                kind.__name__ for kind in type(caught.value).__mro__
            }

    run(main())


def test_aiohttp_does_not_retry_a_failed_token_call(monta: Monta) -> None:
    """After a `ServerDisconnectedError`, aiohttp would retry an idempotent request."""

    async def main() -> None:
        async with aiohttp.ClientSession(middlewares=(auth_of(monta),)) as session:
            monta.emulator.inject(Fault(close=True), times=9)
            with pytest.raises(aiohttp.ClientConnectionError) as caught:
                await session.get(monta.url(GOOD))
            assert type(caught.value) is aiohttp.ClientConnectionError

    run(main())
    assert monta.mints == 3  # the core's own tries
    assert monta.count(GOOD) == 0


def test_the_deadline_ends_a_token_call(monta: Monta) -> None:
    async def main() -> float:
        source = auth_of(monta, policy=RefreshPolicy(deadline=0.2))
        async with aiohttp.ClientSession(middlewares=(source,)) as session:
            monta.emulator.inject(Fault(delay=5))
            began = time.monotonic()
            with pytest.raises(aiohttp.ServerTimeoutError):
                await session.get(monta.url(GOOD))
            return time.monotonic() - began

    assert 0.15 < run(main()) < 2


def test_a_failed_connection_does_not_spend_the_refresh_token(monta: Monta) -> None:
    """The next renewal shows it: it refreshes instead of minting."""
    gone: list[str] = []

    class Resolver(aiohttp.resolver.ThreadedResolver):
        async def resolve(self, *args: Any, **kwargs: Any) -> Any:
            if gone:
                raise OSError("no such host")
            return await super().resolve(*args, **kwargs)

    async def main() -> None:
        auth = MontaAuth(source=monta.source())
        line = aiohttp.TCPConnector(resolver=Resolver(), use_dns_cache=False, force_close=True)
        async with aiohttp.ClientSession(connector=line, middlewares=(auth,)) as session:
            assert await status(session, monta.url(GOOD)) == 200
            auth.invalidate()
            gone.append("now")
            with pytest.raises(aiohttp.ClientConnectionError, match="no such host"):
                await session.get(monta.url(GOOD))
            gone.clear()
            monta.now.advance(6)
            assert await status(session, monta.url(GOOD)) == 200

    monta.emulator.host = "localhost"  # a name, which has to be looked up
    run(main())
    assert (monta.mints, monta.refreshes) == (1, 1)


@pytest.mark.parametrize("how", ["of the request", "of the session"])
def test_token_calls_also_use_the_proxy(monta: Monta, how: str) -> None:
    served: list[tuple[str, str | None]] = []

    # a name, which needs a lookup
    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, headers, body = await read_request(reader)
        served.append((line, headers.get("proxy-authorization")))
        method, _, target = line.partition(" ")
        names = ("authorization", "content-type", "accept")
        sent = {name: headers[name] for name in names if name in headers}
        async with (
            aiohttp.ClientSession() as direct,
            direct.request(method, target, headers=sent, data=body) as answer,
        ):
            content = await answer.read()
        head = f"HTTP/1.1 {answer.status} x\r\nContent-Length: {len(content)}\r\n\r\n"
        writer.write(head.encode() + content)
        await writer.drain()

    async def main() -> None:
        async with raw_server(proxy) as address:
            url = URL(address).origin().with_user("me").with_password("p@ss")
            options: dict[str, Any] = {}
            settings: dict[str, Any] = {}
            if how == "of the request":
                options["proxy"] = url
            else:
                settings["proxy"] = url
            auth = auth_of(monta)
            async with aiohttp.ClientSession(middlewares=(auth,), **settings) as session:
                assert await status(session, monta.url(GOOD), **options) == 200

    run(main())
    secret = "Basic bWU6cEBzcw=="
    expected = [("POST", "/auth/token"), ("GET", GOOD)]
    assert served == [(f"{method} {monta.url(path)}", secret) for method, path in expected]


class Asked:
    """The public attributes of a request, with the arguments for its host."""

    def __init__(self, url: str, **given: Any) -> None:
        self.url = URL(url)
        self.ssl: Any = given.get("ssl", True)
        self.server_hostname = given.get("server_hostname")
        self.proxy = given.get("proxy")
        self.proxy_auth = given.get("proxy_auth")
        self.proxy_headers = given.get("proxy_headers")


def test_a_token_call_uses_the_tls_and_proxy_arguments_of_its_request() -> None:
    """A certificate pin and a host name are for one host, so another host does not get them."""
    given = {"ssl": False, "server_hostname": "api", "proxy": URL("http://proxy:1")}
    given |= {
        "proxy_auth": SimpleNamespace(login="me", password="p@:"),
        "proxy_headers": {"X-P": "1"},
    }
    base = URL("https://api.example/api/v1")
    request: Any = Asked("https://api.example/api/v1/charges", **given)
    assert lent_by(request, base) == {
        "ssl": False,
        "server_hostname": "api",
        "proxy": URL("http://me:p%40%3A@proxy:1"),
        "proxy_headers": {"X-P": "1"},
    }
    assert lent_by(Asked("https://files.example/x", **given), base) == {}  # type: ignore[arg-type]
    plain: Any = Asked("https://api.example/api/v1/charges")
    assert lent_by(plain, base) == {"ssl": True, "server_hostname": None}


def test_the_error_of_a_proxy_does_not_show_its_password(monta: Monta) -> None:
    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async def main() -> aiohttp.ClientConnectionError:
        async with raw_server(proxy) as address:
            url = URL(address).origin().with_user("me").with_password("proxy-password")
            auth = MontaAuth("id", "secret", base_url="https://api.example/api/v1")
            async with aiohttp.ClientSession(middlewares=(auth,), proxy=url) as session:
                with pytest.raises(aiohttp.ClientConnectionError, match="session=") as caught:
                    await session.get("https://api.example/api/v1/charges")
                return caught.value

    error = run(main())
    assert "407" in str(error)
    assert "proxy-password" not in str(error)
    assert not isinstance(error, MontaAuthError)


def test_a_failed_tls_handshake_suggests_the_session_argument() -> None:
    async def main() -> str:
        async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"this is not TLS\r\n")
            await writer.drain()

        async with raw_server(no_tls) as base:
            secure = base.replace("http:", "https:")
            auth = MontaAuth("id", "secret", base_url=secure)
            async with aiohttp.ClientSession(middlewares=(auth,)) as session:
                with pytest.raises(aiohttp.ClientConnectionError, match="session=") as caught:
                    await session.get(secure + GOOD)
                return str(caught.value)

    assert " failed: [SSL: WRONG_VERSION_NUMBER]" in run(main())


# --- refusals


def test_if_a_later_middleware_raises_for_a_401_the_next_request_renews(
    monta: Monta,
) -> None:
    async def strict(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        response = await handler(request)
        response.raise_for_status()
        return response

    async def main() -> None:
        auth = auth_of(monta)
        async with aiohttp.ClientSession(middlewares=(auth, strict)) as session:
            assert await status(session, monta.url(GOOD)) == 200
            monta.emulator.revoke_access_tokens()
            with pytest.raises(aiohttp.ClientResponseError) as caught:
                await session.get(monta.url(GOOD))
            assert caught.value.status == 401
            assert not any(secret in repr(caught.value) for secret in monta.secrets)
            assert await status(session, monta.url(GOOD)) == 200

    run(main())
    assert (monta.mints, monta.refreshes) == (1, 1)


def test_raise_for_status_of_the_session_comes_after_the_retry(monta: Monta) -> None:
    async def main() -> None:
        auth = auth_of(monta)
        async with aiohttp.ClientSession(middlewares=(auth,), raise_for_status=True) as session:
            assert await status(session, monta.url(GOOD)) == 200
            monta.emulator.revoke_access_tokens()
            assert await status(session, monta.url(GOOD)) == 200

    run(main())
    assert monta.refreshes == 1


def test_a_401_for_another_middlewares_header_is_not_ours(monta: Monta) -> None:
    async def other(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        request.headers["Authorization"] = "Bearer of-another-account"
        return await handler(request)

    async def main() -> None:
        async with aiohttp.ClientSession(middlewares=(auth_of(monta), other)) as session:
            assert await status(session, monta.url(GOOD)) == 401

    run(main())
    assert (monta.mints, monta.refreshes, monta.count(GOOD)) == (1, 0, 1)


def test_cookies_of_a_refused_response_are_kept(monta: Monta) -> None:
    answers = [says(401, b"", {"set-cookie": "node=7; Path=/"}), says(200)]

    async def page(seen: Seen, send: Send) -> None:
        await answers.pop(0)(seen, send)

    async def main() -> None:
        jar = aiohttp.CookieJar(unsafe=True)
        auth = auth_of(monta)
        async with aiohttp.ClientSession(cookie_jar=jar, middlewares=(auth,)) as session:
            assert await status(session, monta.page("/sticky", page)) == 200
            assert [(cookie.key, cookie.value) for cookie in jar] == [("node", "7")]

    run(main())


# --- cancellation and timeouts: a caller may leave at each await


async def _never(seen: Seen, send: Send) -> None:
    await asyncio.sleep(30)


def _half(monta: Monta) -> Any:
    """A token reply that stops in the middle, after the tokens."""

    async def page(seen: Seen, send: Send) -> None:
        tokens = b'{"accessToken":"half-access-token","refreshToken":"half-refresh-token",'
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": tokens, "more_body": True})
        await asyncio.sleep(30)

    return page


@pytest.mark.parametrize("where", ["before the reply", "in the reply"])
@pytest.mark.parametrize("how", ["cancel", "asyncio.timeout", "total timeout"])
def test_an_exception_out_of_a_token_call_holds_no_secret(
    monta: Monta, where: str, how: str
) -> None:
    async def main() -> BaseException:
        auth = auth_of(monta)
        monta.pages["/api/v1/auth/token"] = _never if where == "before the reply" else _half(monta)
        async with aiohttp.ClientSession(middlewares=(auth,)) as session:
            limit = aiohttp.ClientTimeout(total=0.2 if how == "total timeout" else None)
            task = asyncio.ensure_future(status(session, monta.url(GOOD), timeout=limit))
            if how == "asyncio.timeout":
                with pytest.raises(TimeoutError) as timed_out:
                    async with asyncio.timeout(0.2):
                        await task
                return timed_out.value
            if how == "cancel":
                await asyncio.sleep(0.2)
                task.cancel()
            with pytest.raises((asyncio.CancelledError, TimeoutError)) as caught:
                await task
            return caught.value

    error = run(main())
    secrets = {*monta.secrets, "half-access-token", "half-refresh-token"}
    assert len(monta.asked("/api/v1/auth/token")) == 1
    assert leaks(error, secrets) == []


def test_a_time_limit_of_a_job_reaches_the_job(monta: Monta) -> None:
    """Celery and RQ raise such an error in a signal handler, here during a token call."""

    class TimeLimit(Exception):
        pass

    def strike(*args: object) -> None:
        raise TimeLimit

    async def hit(*args: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    async def main() -> None:
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(hit)
        auth = auth_of(monta)
        async with aiohttp.ClientSession(trace_configs=[trace]) as session:
            with pytest.raises(TimeLimit):
                await auth.token(session)
        await auth.token()

    before = signal.signal(signal.SIGTERM, strike)
    try:
        run(main())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert monta.mints == 1


@pytest.mark.parametrize(
    ("given", "limit"),
    [((7, 9), 7), ((9, 7), 7), ((0, 7), 7), ((None, None), float("inf"))],
    ids=["total", "read", "zero is none", "none"],
)
def test_the_sessions_timeout_limits_a_token_call(
    monta: Monta,
    acquired: list[Any],
    given: tuple[float | None, float | None],
    limit: float,
) -> None:
    async def main() -> None:
        timeout = aiohttp.ClientTimeout(total=given[0], sock_read=given[1])
        middlewares = (auth_of(monta),)
        async with aiohttp.ClientSession(middlewares=middlewares, timeout=timeout) as session:
            assert await status(session, monta.url(GOOD)) == 200

    run(main())
    (call,) = acquired
    assert call.kwargs["limit"] == limit


def test_a_waiter_takes_over_from_a_leader_that_is_cancelled(monta: Monta) -> None:
    async def main() -> None:
        auth = auth_of(monta)
        async with aiohttp.ClientSession(middlewares=(auth,)) as session:
            monta.emulator.inject(Fault(delay=20))
            leader = asyncio.ensure_future(status(session, monta.url(GOOD)))
            await until_asked(monta, "/auth/token")
            waiters = [asyncio.ensure_future(status(session, monta.url(GOOD))) for _ in range(20)]
            await asyncio.sleep(0.05)
            leader.cancel()
            assert await asyncio.gather(*waiters) == [200] * 20
            with pytest.raises(asyncio.CancelledError):
                await leader

    run(main())
    assert (monta.mints, monta.count(GOOD)) == (2, 20)


def test_cancelled_waiters_disturb_no_other_request(monta: Monta) -> None:
    async def main() -> None:
        auth = auth_of(monta)
        async with aiohttp.ClientSession(middlewares=(auth,)) as session:
            monta.emulator.inject(Fault(status=200, body=None, delay=0.3))
            tasks = [asyncio.ensure_future(status(session, monta.url(GOOD))) for _ in range(20)]
            await until_asked(monta, "/auth/token")
            for task in tasks[1:]:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert results[0] == 200 or isinstance(results[0], TokenEndpointError)
            assert all(isinstance(each, asyncio.CancelledError) for each in results[1:])

    run(main())


@pytest.mark.parametrize("turn", range(12))
def test_a_renewal_after_a_401_may_be_cancelled_at_any_await(monta: Monta, turn: int) -> None:
    """Wherever it is cancelled, the session needs at most one more token call."""

    async def main() -> None:
        auth = auth_of(monta)
        async with aiohttp.ClientSession(middlewares=(auth,)) as session:
            assert await status(session, monta.url(GOOD)) == 200
            monta.emulator.revoke_access_tokens()
            task = asyncio.ensure_future(status(session, monta.url("/charges")))
            await until_asked(monta, "/charges")
            for _ in range(turn):
                await asyncio.sleep(0.002)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            async with asyncio.timeout(3):
                tasks = [status(session, monta.url("/charges")) for _ in range(5)]
                assert await asyncio.gather(*tasks) == [200] * 5

    run(main())
    assert monta.refreshes <= 1
    assert monta.mints + monta.refreshes <= 3


def test_a_cancelled_request_gives_its_connection_back(monta: Monta) -> None:
    async def main() -> None:
        auth = auth_of(monta)
        line = aiohttp.TCPConnector(limit=1)
        monta.pages["/api/v1/auth/token"] = _never
        async with aiohttp.ClientSession(connector=line, middlewares=(auth,)) as session:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await session.get(monta.url(GOOD))
            del monta.pages["/api/v1/auth/token"]
            assert await status(session, monta.url(GOOD)) == 200

    run(main())


def test_a_401_that_never_ends_is_ended_by_the_users_timeout(monta: Monta) -> None:
    async def page(seen: Seen, send: Send) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await asyncio.sleep(30)

    async def main() -> None:
        auth = auth_of(monta)
        limit = aiohttp.ClientTimeout(total=0.3)
        async with aiohttp.ClientSession(middlewares=(auth,), timeout=limit) as session:
            with pytest.raises(TimeoutError):
                await session.get(monta.page("/endless", page))
            assert await status(session, monta.url(GOOD)) == 200

    run(main())
    assert (monta.mints, monta.refreshes) == (1, 1)
