"""httpx and httpx2: what only these two have: the flow, timeouts, event hooks, transports."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import httpx
import httpx2
import pytest
import respx
import trio

import httpx2_monta
import httpx_monta
from monta_auth import ConfigurationError, InvalidCredentialsError, TokenEndpointError
from monta_auth._adapters import httpx_token_call
from monta_auth._core import shared_sources
from monta_auth.emulator import Emulator, Fault
from monta_auth.stores import MemoryStore

from .site import Host, Monta, says

BASE = "https://public-api.monta.com/api/v1"
GOOD = BASE + "/charge-points"


class Script:
    """A Monta in a transport. It issues numbered tokens and refuses the revoked ones."""

    def __init__(self, lib: Any) -> None:
        self.lib = lib
        self.seen: list[Any] = []
        self.issued = 0
        self.valid: set[str] = set()
        self.faults: list[Callable[[Any], Any]] = []

    def __call__(self, request: Any) -> Any:
        self.seen.append(request)
        if "/auth/" in request.url.path:
            if self.faults:
                return self.faults.pop(0)(request)
            return self.lib.Response(200, json=self._issue())
        if request.headers.get("Authorization") in self.valid:
            return self.lib.Response(200, json={"data": []})
        return self.lib.Response(401)

    def _issue(self) -> dict[str, str]:
        self.issued += 1
        self.valid.add(f"Bearer access-{self.issued}")
        return {
            "accessToken": f"access-{self.issued}",
            "refreshToken": f"refresh-{self.issued}",
            "accessTokenExpirationDate": "2099-01-01T00:00:00Z",
        }

    def revoke(self) -> None:
        self.valid.clear()

    def fails(self, status: int, **reply: Any) -> None:
        self.faults.append(lambda request: self.lib.Response(status, **reply))

    @property
    def paths(self) -> list[str]:
        return [request.url.path.removeprefix("/api/v1") for request in self.seen]


class Lib:
    """One of the two libraries with its adapter."""

    def __init__(self, library: Any, adapter: Any) -> None:
        self.library, self.adapter = library, adapter
        self.script = Script(library)

    def auth(self, **settings: Any) -> Any:
        return self.adapter.MontaAuth("client-id", "client-secret-value", **settings)

    def client(self, auth: Any = None, **options: Any) -> Any:
        transport = self.library.MockTransport(self.script)
        return self.library.Client(transport=transport, auth=auth, **options)

    def async_client(self, auth: Any = None, **options: Any) -> Any:
        transport = self.library.MockTransport(self.script)
        return self.library.AsyncClient(transport=transport, auth=auth, **options)


@pytest.fixture(params=["httpx", "httpx2"])
def lib(request: pytest.FixtureRequest) -> Iterator[Lib]:
    if request.param == "httpx":
        yield Lib(httpx, httpx_monta)
    else:
        yield Lib(httpx2, httpx2_monta)


def test_a_thousand_requests_cost_one_token_call(lib: Lib) -> None:
    with lib.client(lib.auth()) as client:
        for _ in range(1001):
            assert client.get(GOOD).status_code == 200
    assert lib.script.paths.count("/auth/token") == 1
    assert len(lib.script.paths) == 1002


def test_a_thousand_async_requests_cost_one_token_call(lib: Lib) -> None:
    async def main() -> None:
        async with lib.async_client(lib.auth()) as client:
            for _ in range(1001):
                assert (await client.get(GOOD)).status_code == 200

    asyncio.run(main())
    assert len(lib.script.paths) == 1002


# --- timeouts


@pytest.mark.parametrize("separate", [False, True], ids=["pipeline", "client="])
def test_the_callers_timeout_applies_to_the_token_call_and_the_retry(
    lib: Lib, separate: bool
) -> None:
    timeout = {"connect": 1.0, "read": 2.0, "write": 3.0, "pool": 4.0}
    with lib.client(timeout=77) as caller:
        auth = lib.auth(**({"client": caller} if separate else {}))
        with lib.client(auth) as client:
            client.get(GOOD, timeout=lib.library.Timeout(**timeout))
            lib.script.revoke()
            client.get(GOOD, timeout=lib.library.Timeout(**timeout))
    assert lib.script.paths == [
        "/auth/token", "/charge-points", "/charge-points", "/auth/refresh", "/charge-points",
    ]  # fmt: skip
    assert [request.extensions["timeout"] for request in lib.script.seen] == [timeout] * 5


@pytest.mark.parametrize("given", [None, 60.0], ids=["none", "longer than the deadline"])
def test_a_token_call_never_waits_longer_than_the_deadline(lib: Lib, given: float | None) -> None:
    with lib.client(lib.auth(), timeout=given) as client:
        client.get(GOOD)
    timeout = dict(lib.script.seen[0].extensions["timeout"])
    assert timeout.pop("connect") == 3
    for seconds in timeout.values():
        assert 9 < seconds <= 10


def test_the_timeout_of_the_given_client_applies_to_token(lib: Lib) -> None:
    with lib.client(timeout=1.5) as client:
        lib.auth().token(client)
    assert set(lib.script.seen[0].extensions["timeout"].values()) == {1.5}


# --- event hooks


def test_event_hooks_see_token_calls(lib: Lib) -> None:
    seen: list[str] = []
    hooks = {"request": [lambda request: seen.append(request.url.path)]}
    with lib.client(lib.auth(), event_hooks=hooks) as client:
        client.get(GOOD)
    assert seen == ["/api/v1/auth/token", "/api/v1/charge-points"]


def test_a_separate_client_hides_token_calls_from_event_hooks(lib: Lib) -> None:
    seen: list[str] = []
    hooks = {"request": [lambda request: seen.append(request.url.path)]}
    with lib.client() as caller, lib.client(lib.auth(client=caller), event_hooks=hooks) as client:
        client.get(GOOD)
    assert seen == ["/api/v1/charge-points"]


def _raise_for_status(response: Any) -> None:
    response.raise_for_status()


async def _raise_for_status_async(response: Any) -> None:
    response.raise_for_status()


def test_if_a_hook_raises_for_a_401_the_next_request_renews(lib: Lib) -> None:
    hooks = {"response": [_raise_for_status]}
    auth = lib.auth()
    with lib.client(auth, event_hooks=hooks) as client:
        client.get(GOOD)
        lib.script.revoke()
        with pytest.raises(lib.library.HTTPStatusError):
            client.get(GOOD)
        assert client.get(GOOD).status_code == 200
    assert auth.status().refusals == 1
    assert lib.script.paths[-2:] == ["/auth/refresh", "/charge-points"]


@pytest.mark.parametrize("cold", [False, True], ids=["ready token", "cold"])
def test_if_a_hook_raises_for_a_401_the_next_async_request_renews(lib: Lib, cold: bool) -> None:
    hooks = {"response": [_raise_for_status_async]}
    auth = lib.auth()

    async def main() -> None:
        async with lib.async_client(auth, event_hooks=hooks) as client:
            if not cold:
                await client.get(GOOD)
                lib.script.revoke()
            else:
                lib.script.valid = Never()
            with pytest.raises(lib.library.HTTPStatusError):
                await client.get(GOOD)
            lib.script.valid = {f"Bearer access-{n}" for n in range(9)}
            assert (await client.get(GOOD)).status_code == 200

    asyncio.run(main())
    assert auth.status().refusals == 1
    assert lib.script.paths[-2:] == ["/auth/refresh", "/charge-points"]


class Never(set[str]):
    """A set that never contains anything."""

    def __contains__(self, item: object) -> bool:
        return False


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        pytest.param(401, InvalidCredentialsError, id="401"),
        pytest.param(404, TokenEndpointError, id="404"),
        pytest.param(302, TokenEndpointError, id="302"),
    ],
)
@pytest.mark.parametrize("separate", [False, True], ids=["pipeline", "client="])
def test_if_a_hook_raises_in_a_token_call_our_error_is_raised(
    lib: Lib, status: int, kind: type[Exception], separate: bool
) -> None:
    hooks = {"response": [_raise_for_status]}
    lib.script.fails(status)
    with lib.client(event_hooks=hooks) as caller:
        auth = lib.auth(**({"client": caller} if separate else {}))
        client = lib.client(auth, event_hooks={} if separate else hooks)
        with client, pytest.raises(lib.library.RequestError) as caught:
            client.get(GOOD)
    assert isinstance(caught.value, kind) or not separate
    error: Any = caught.value
    assert str(error.request.url) == GOOD
    assert "client-secret-value" not in str(error)


def test_if_a_hook_raises_in_a_token_call_the_status_decides_the_error(lib: Lib) -> None:
    """A 401 of the token endpoint means wrong credentials, even if a hook sees it first."""
    lib.script.fails(401)
    with lib.client(lib.auth(), event_hooks={"response": [_raise_for_status]}) as client:
        with pytest.raises(InvalidCredentialsError):
            client.get(GOOD)
        with pytest.raises(InvalidCredentialsError):
            client.get(GOOD)
    assert lib.script.paths == ["/auth/token"]


_READING: dict[str, list[Callable[[Any], object]]] = {
    "request": [lambda request: request.read()],
    "response": [lambda response: response.read()],
}


def test_hooks_that_read_everything_work(lib: Lib) -> None:
    with lib.client(lib.auth(), event_hooks=_READING) as client:
        assert client.get(GOOD).status_code == 200
        lib.script.revoke()
        assert client.post(GOOD, content=b"x").status_code == 200


_FOLLOWED = [301, 302, 303, 307, 308]


@pytest.mark.parametrize("status", _FOLLOWED)
@pytest.mark.parametrize("hooks", [_READING, {}], ids=["reading hooks", "no hooks"])
def test_a_client_sends_nothing_to_the_target_of_a_redirected_token_call(
    lib: Lib, status: int, hooks: Any
) -> None:
    """Fails if a release follows redirects in a way that `Unredirected` does not expect."""
    lib.script.fails(status, headers={"location": "https://foreign.example/"})
    client = lib.client(lib.auth(), event_hooks=hooks, follow_redirects=True)
    with client, pytest.raises(TokenEndpointError, match="redirect") as caught:
        client.get(GOOD)
    assert caught.value.status == status
    assert lib.script.paths == ["/auth/token"]


@pytest.mark.parametrize("status", _FOLLOWED)
def test_an_async_client_sends_nothing_to_the_target_of_a_redirected_token_call(
    lib: Lib, status: int
) -> None:
    async def main() -> None:
        lib.script.fails(status, headers={"location": "https://foreign.example/"})
        async with lib.async_client(lib.auth(), follow_redirects=True) as client:
            with pytest.raises(TokenEndpointError, match="redirect") as caught:
                await client.get(GOOD)
        assert caught.value.status == status

    asyncio.run(main())
    assert lib.script.paths == ["/auth/token"]


@pytest.mark.parametrize("follow", [False, True], ids=["stays", "follows"])
def test_a_redirected_renewal_while_the_token_is_valid(
    lib: Lib, monta: Monta, foreign: Host, follow: bool
) -> None:
    """If the client follows redirects, only an exception can stop it. That ends the request."""
    auth = lib.adapter.MontaAuth(source=monta.source())
    with lib.library.Client(verify=False, auth=auth, follow_redirects=follow) as client:
        assert client.get(monta.url("/charge-points")).status_code == 200
        monta.now.advance(3400)
        monta.emulator.inject(Fault(status=302, headers={"location": foreign.origin + "/"}))
        if follow:
            with pytest.raises(TokenEndpointError, match="redirect") as caught:
                client.get(monta.url("/charge-points"))
            assert caught.value.status == 302
        assert client.get(monta.url("/charge-points")).status_code == 200
    assert foreign.seen == []
    assert (monta.mints, monta.refreshes) == (1, 1)


def test_the_url_of_a_token_call_can_be_read_by_hooks(lib: Lib) -> None:
    read: list[Callable[[Any], object]] = [lambda message: urls.append(message.url.fragment)]
    urls: list[str] = []
    hooks = {"request": read, "response": read}
    with lib.client(lib.auth(), event_hooks=hooks, follow_redirects=True) as client:
        assert client.get(GOOD).status_code == 200
    assert urls == [""] * 4
    assert lib.script.seen[0].url.fragment == ""


def test_a_transport_that_retries_sends_a_token_call_once(lib: Lib) -> None:
    """A second refresh with the same token would be refused, and another mint costs quota."""

    class Retrying(lib.library.MockTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            b"".join(request.stream)
            super().handle_request(request)
            b"".join(request.stream)

    client = lib.library.Client(transport=Retrying(lib.script), auth=lib.auth())
    with client, pytest.raises(TokenEndpointError, match="sent once"):
        client.get(GOOD)
    assert lib.script.paths == ["/auth/token"]


def test_if_a_hook_prevents_reading_the_response_there_is_no_token_pair(
    lib: Lib, monta: Monta
) -> None:
    def refuse(response: Any) -> None:
        raise KeyError("mine")

    auth = lib.adapter.MontaAuth(source=monta.source())
    client = lib.library.Client(verify=False, auth=auth, event_hooks={"response": [refuse]})
    with client, pytest.raises(lib.library.NetworkError, match="hook or transport raised KeyError"):
        client.get(monta.url("/charge-points"))
    assert monta.mints == 1


def test_if_a_hook_changes_the_url_of_a_token_call_its_redirect_is_not_followed(
    lib: Lib, monta: Monta, foreign: Host
) -> None:
    def change(request: Any) -> None:
        request.url = request.url.copy_merge_params({"gateway": "1"})

    headers = {"location": foreign.origin + "/auth/token"}
    monta.emulator.inject(Fault(status=307, headers=headers), times=5)
    auth = lib.adapter.MontaAuth(source=monta.source())
    hooks = {"request": [change]}
    with (
        lib.library.Client(
            verify=False, auth=auth, follow_redirects=True, event_hooks=hooks
        ) as client,
        pytest.raises(TokenEndpointError, match="redirects"),
    ):
        client.get(monta.url("/charge-points"))
    assert foreign.seen == []


def test_if_a_client_follows_the_redirect_anyway_its_token_pair_is_not_used(
    lib: Lib, monta: Monta, foreign: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients might do so one day, if their functions have other names then."""
    monkeypatch.setattr(httpx_token_call, "_response_to_follow", lambda url: None)
    foreign.pages["/auth/token"] = says(200, b'{"accessToken": "a-foreign-token"}')
    headers = {"location": foreign.origin + "/auth/token"}
    monta.emulator.inject(Fault(status=303, headers=headers), times=5)
    auth = lib.adapter.MontaAuth(source=monta.source())
    with (
        lib.library.Client(verify=False, auth=auth, follow_redirects=True) as client,
        pytest.raises(TokenEndpointError, match="redirects"),
    ):
        client.get(monta.url("/charge-points"))
    assert [(seen.method, seen.body) for seen in foreign.seen] == [("GET", b"")]


def test_the_response_of_a_hooks_own_request_is_no_reply_to_a_token_call(lib: Lib) -> None:
    def ask(request: Any) -> None:
        other = lib.library.Request("GET", "https://foreign.example/")
        reply = lib.library.Response(401, request=other)
        raise lib.library.HTTPStatusError("401", request=other, response=reply)

    client = lib.client(lib.auth(), event_hooks={"request": [ask]})
    with client, pytest.raises(lib.library.NetworkError, match="HTTPStatusError"):
        client.get(GOOD)


def test_a_transport_may_read_a_request_before_it_sends_it(lib: Lib, monta: Monta) -> None:
    """Logging transports do that. The body can still be sent once."""

    class Logging(lib.library.HTTPTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            assert request.read() is not None
            return super().handle_request(request)

    client = lib.library.Client(
        transport=Logging(), auth=lib.adapter.MontaAuth(source=monta.source())
    )
    with client:
        assert client.get(monta.url("/charge-points")).status_code == 200


def test_async_hooks_that_read_everything_work(lib: Lib) -> None:
    async def read(message: Any) -> None:
        await message.aread()

    async def main() -> None:
        hooks = {"request": [read], "response": [read]}
        async with lib.async_client(lib.auth(), event_hooks=hooks) as client:
            assert (await client.get(GOOD)).status_code == 200
            lib.script.revoke()
            assert (await client.post(GOOD, json={})).status_code == 200

    asyncio.run(main())


# --- the flow


def test_max_redirects_of_zero_needs_a_separate_client(lib: Lib) -> None:
    """The library counts what a flow yields as redirects."""
    client = lib.client(lib.auth(), max_redirects=0)
    with client, pytest.raises(lib.library.TooManyRedirects):
        client.get(GOOD)
    shared_sources.forget_shared_sources()
    with lib.client() as caller, lib.client(lib.auth(client=caller), max_redirects=0) as client:
        assert client.get(GOOD).status_code == 200


def _at(lib: Lib, auth: Any, step: str) -> tuple[Any, Any]:
    """Drive a flow by hand until it yielded: the token call, the request, the renewal, the end."""
    response = lib.library.Response
    request = lib.library.Request("GET", GOOD)
    flow = auth.sync_auth_flow(request)
    yielded = next(flow)
    if step == "mint":
        return flow, yielded
    yielded = flow.send(response(200, json=lib.script._issue(), request=yielded))
    if step == "request":
        return flow, yielded
    yielded = flow.send(response(401, request=yielded))
    if step == "renewal":
        return flow, yielded
    yielded = flow.send(response(200, json=lib.script._issue(), request=yielded))
    return flow, yielded


def _raise_and_close(error: BaseException, flow: Any) -> None:
    """Do what the library does when a request that the flow yielded fails."""
    try:
        raise error
    finally:
        flow.close()


@pytest.mark.parametrize("step", ["mint", "request", "renewal", "again"])
@pytest.mark.parametrize("how", ["quietly", "network error", "interrupt"])
def test_a_closed_flow_leaves_no_request_waiting(lib: Lib, step: str, how: str) -> None:
    auth = lib.auth()
    flow, yielded = _at(lib, auth, step)
    error: BaseException = KeyboardInterrupt()
    if how == "network error":
        error = lib.library.ReadTimeout("late", request=yielded)
    if how == "quietly":
        flow.close()
    else:
        with pytest.raises(type(error)):
            _raise_and_close(error, flow)
    if how == "network error" and step in ("mint", "renewal"):
        with lib.client(auth) as client, pytest.raises(lib.library.ReadTimeout):
            client.get(GOOD)  # the failure is remembered
        auth.forget()
    with lib.client(auth) as client:
        assert client.get(GOOD).status_code == 200


def test_an_exception_can_be_thrown_into_a_flow(lib: Lib) -> None:
    auth = lib.auth()
    flow, _ = _at(lib, auth, "mint")
    with pytest.raises(LookupError):
        flow.throw(LookupError("why not"))
    with lib.client(auth) as client:
        assert client.get(GOOD).status_code == 200


def _end(seen: list[BaseException | None]) -> None:
    seen.append(sys.exc_info()[1])
    error = LookupError()
    try:
        raise error
    finally:
        error.__context__ = None


def _sync_end(seen: list[BaseException | None]) -> Iterator[None]:
    try:
        yield
    except GeneratorExit:
        pass
    _end(seen)


async def _async_end(seen: list[BaseException | None]) -> AsyncIterator[None]:
    try:
        yield
    except GeneratorExit:
        pass
    _end(seen)


CLOSED_FOR = [ValueError(), KeyboardInterrupt(), asyncio.CancelledError(), None]


@pytest.mark.parametrize("cause", CLOSED_FOR, ids=lambda cause: type(cause).__name__)
def test_a_closed_generator_sees_the_exception_and_may_raise_another_one(cause: Any) -> None:
    """The flow relies on this. It tests each Python interpreter, not httpx."""
    seen: list[BaseException | None] = []

    def main() -> None:
        generator: Any = _sync_end(seen)
        next(generator)
        try:
            if cause is not None:
                raise cause
        finally:
            generator.close()

    with pytest.raises(LookupError) as caught:
        main()
    assert seen == [cause]
    assert caught.value.__context__ is None


@pytest.mark.parametrize("cause", CLOSED_FOR, ids=lambda cause: type(cause).__name__)
@pytest.mark.parametrize("run", [asyncio.run, trio.run], ids=["asyncio", "trio"])
def test_a_closed_async_generator_sees_the_exception_too(cause: Any, run: Any) -> None:
    seen: list[BaseException | None] = []

    async def main() -> None:
        generator: Any = _async_end(seen)
        await anext(generator)
        try:
            if cause is not None:
                raise cause
        finally:
            await generator.aclose()

    with pytest.raises(LookupError) as caught:
        run(main() if run is asyncio.run else main)
    assert seen == [cause]
    assert caught.value.__context__ is None


def test_a_flow_whose_coroutine_is_destroyed_leaves_no_request_waiting(lib: Lib) -> None:
    """This happens if its loop is closed while it waits. Then it is not even cancelled."""

    class Pending:
        def __await__(self) -> Generator[None]:
            yield

    class Hanging(lib.library.AsyncByteStream):  # type: ignore[misc, name-defined]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            await Pending()
            yield b""

    auth = lib.auth()
    flow = auth.async_auth_flow(lib.library.Request("GET", GOOD))
    with pytest.raises(StopIteration) as yielded:
        flow.asend(None).send(None)
    call = yielded.value.value
    waiting = flow.asend(lib.library.Response(200, request=call, stream=Hanging()))
    waiting.send(None)
    waiting.close()
    del waiting, flow
    gc.collect()
    with lib.client(auth) as client:
        assert client.get(GOOD).status_code == 200


def test_an_interrupt_in_the_flows_own_code_leaves_no_request_waiting(lib: Lib) -> None:
    """The traceback keeps the generator in memory, so nothing else would end the renewal."""

    def secret() -> str:
        asked.append(1)
        if len(asked) == 1:
            raise KeyboardInterrupt
        return "client-secret-value"

    asked: list[int] = []
    auth = lib.adapter.MontaAuth("client-id", secret)
    with lib.client(auth) as client:
        with pytest.raises(KeyboardInterrupt) as kept:
            client.get(GOOD)
        assert kept.value.__traceback__ is not None
        assert auth._source._state._flight is None
        assert client.get(GOOD).status_code == 200


def test_a_cancellation_in_the_flows_own_code_leaves_no_request_waiting(lib: Lib) -> None:
    """Here the flow waits for the client that makes its token calls."""

    async def main() -> None:
        reached = asyncio.Event()

        async def hangs(request: Any) -> Any:
            reached.set()
            await asyncio.Event().wait()

        transport = lib.library.MockTransport(hangs)
        async with lib.library.AsyncClient(transport=transport) as caller:
            auth = lib.auth(client=caller)
            async with lib.async_client(auth) as client:
                task = asyncio.ensure_future(client.get(GOOD))
                await reached.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError) as kept:
                    await task
        assert kept.value.__traceback__ is not None
        assert auth._source._state._flight is None

    asyncio.run(main())


# --- bodies that an event hook replaces


def _wrapped(lib: Lib, stream: Any, times: int) -> Any:
    """Return a stream of a user's class, like an upload meter's, that can be read `times` times."""

    class Wrapped(lib.library.SyncByteStream, lib.library.AsyncByteStream):  # type: ignore[misc, name-defined]
        passes = 0

        def _count(self) -> bool:
            self.passes += 1
            return self.passes <= times

        def __iter__(self) -> Iterator[bytes]:
            if self._count():
                yield from stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            if self._count():
                async for chunk in stream:
                    yield chunk

    return Wrapped()


@pytest.mark.parametrize("times", [1, 9], ids=["can be read once", "can be read again"])
@pytest.mark.parametrize("is_ready", [True, False], ids=["token ready", "cold"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_body_that_a_hook_replaced_is_not_sent_again(
    lib: Lib, monta: Monta, is_async: bool, is_ready: bool, times: int
) -> None:
    """Only its owner knows what a second pass yields: the caller gets the 401, and no exception."""

    def hook(request: Any) -> None:
        if request.url.path.endswith("/charges"):
            request.stream = _wrapped(lib, request.stream, times)

    async def ahook(request: Any) -> None:
        hook(request)

    async def main() -> None:
        auth = lib.adapter.MontaAuth(source=monta.source())
        kind = lib.library.AsyncClient if is_async else lib.library.Client
        client = kind(
            auth=auth, verify=False, event_hooks={"request": [ahook if is_async else hook]}
        )

        async def status(method: str, path: str, **options: Any) -> int:
            response = client.request(method, monta.url(path), **options)
            status: int = (await response if is_async else response).status_code
            return status

        if is_ready:
            assert await status("GET", "/charge-points") == 200
        monta.emulator.inject(Fault(status=401), path="/charges")
        assert await status("POST", "/charges", json={"chargePointId": 101}) == 401
        assert await status("POST", "/charges", json={"chargePointId": 101}) == 200
        await client.aclose() if is_async else client.close()

    asyncio.run(main())
    bodies = [json.loads(seen.body) for seen in monta.asked("/api/v1/charges")]
    assert bodies == [{"chargePointId": 101}] * 2
    assert (monta.mints, monta.refreshes) == (1, 1)


def test_auth_flow_is_the_sync_one(lib: Lib) -> None:
    flow = lib.auth().auth_flow(lib.library.Request("GET", GOOD))
    assert next(flow).url.path.endswith("/auth/token")
    flow.close()


@pytest.mark.parametrize("step", ["/auth/token", "/charge-points", "/auth/refresh", "again"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_request_leaves_no_request_waiting(lib: Lib, step: str, backend: str) -> None:
    """Wherever the request was cancelled, the next one gets its token."""
    auth = lib.auth()

    async def main(cancellable: Callable[[Any, Any], Any], event: Any) -> None:
        reached = event()
        count = 0

        async def handler(request: Any) -> Any:
            nonlocal count
            response = lib.script(request)
            path = request.url.path.removeprefix("/api/v1")
            count += path == "/charge-points"
            if path == step or (step == "again" and count == 2):
                reached.set()
                await event().wait()
            if step in ("/auth/refresh", "again") and path == "/charge-points" and count == 1:
                return lib.library.Response(401)
            return response

        transport = lib.library.MockTransport(handler)
        async with lib.library.AsyncClient(transport=transport, auth=auth) as client:
            await cancellable(lambda: client.get(GOOD), reached)
        async with lib.async_client(auth) as client:
            assert (await client.get(GOOD)).status_code == 200

    async def by_asyncio(send: Any, reached: Any) -> None:
        task = asyncio.ensure_future(send())
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def by_trio(send: Any, reached: Any) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await reached.wait()
            nursery.cancel_scope.cancel()

    if backend == "asyncio":
        asyncio.run(main(by_asyncio, asyncio.Event))
    else:
        trio.run(main, by_trio, trio.Event)


# --- clients


def test_the_client_argument_must_be_a_client_of_the_library(lib: Lib) -> None:
    other = httpx2 if lib.library is httpx else httpx
    for wrong in ("client", other.Client, object()):
        with pytest.raises(ConfigurationError, match="client="):
            lib.auth(client=wrong)
    with other.Client(verify=False) as client, pytest.raises(ConfigurationError, match="client="):
        lib.auth(client=client)


def test_a_sync_flow_does_not_use_an_async_client(lib: Lib) -> None:
    """An AsyncClient makes only the token calls of async flows.

    Sync requests use their pipeline.
    """
    caller = lib.library.AsyncClient(transport=lib.library.MockTransport(_never))
    with lib.client(lib.auth(client=caller)) as client:
        assert client.get(GOOD).status_code == 200
    asyncio.run(caller.aclose())


def _never(request: Any) -> Any:
    raise AssertionError("this client should get no request")


def test_a_separate_clients_auth_and_redirects_do_not_affect_token_calls(lib: Lib) -> None:
    options = {"auth": ("someone", "guessed"), "follow_redirects": True}
    with lib.client(**options) as caller, lib.client(lib.auth(client=caller)) as client:
        assert client.get(GOOD).status_code == 200
        assert "Authorization" not in lib.script.seen[0].headers
        lib.script.revoke()
        lib.script.fails(307, headers={"location": "https://foreign.example/"})
        with pytest.raises(TokenEndpointError, match="redirect"):
            client.get(GOOD)
    assert {request.url.host for request in lib.script.seen} == {"public-api.monta.com"}


def test_a_client_may_make_the_token_calls_of_its_own_auth(lib: Lib) -> None:
    with lib.client() as client:
        client.auth = lib.auth(client=client)
        assert client.get(GOOD).status_code == 200
    assert lib.script.paths == ["/auth/token", "/charge-points"]


def test_urls_relative_to_the_clients_base_url_get_the_token(lib: Lib) -> None:
    with lib.client(lib.auth(), base_url=BASE) as client:
        assert client.get("/charge-points").status_code == 200
        assert client.get("charge-points", params={"page": 0}).status_code == 200


def test_an_auth_for_one_request_works(lib: Lib) -> None:
    with lib.client() as client:
        for _ in range(12):
            assert client.get(GOOD, auth=lib.auth()).status_code == 200
    assert lib.script.issued == 1


def test_a_token_call_shows_the_clients_user_agent(lib: Lib) -> None:
    with lib.client(lib.auth(), headers={"User-Agent": "my-app/1"}) as client:
        client.get(GOOD)
    assert lib.script.seen[0].headers["User-Agent"] == "my-app/1"
    assert "Cookie" not in lib.script.seen[0].headers


def test_errors_in_handlers_have_a_request(lib: Lib) -> None:
    """Users log `exc.request`."""
    lib.script.fails(404)
    with lib.client(lib.auth()) as client:
        try:
            client.get(GOOD)
        except lib.library.HTTPError as error:
            assert str(error.request.url) == GOOD  # noqa: PT017 - as users write it
        else:
            pytest.fail("it should have raised")


@pytest.mark.parametrize("backend", [asyncio.run, trio.run], ids=["asyncio", "trio"])
def test_the_emulator_works_as_an_asgi_app(lib: Lib, backend: Callable[[Any], Any]) -> None:
    monta = Emulator(port=8123)

    async def main() -> None:
        auth = lib.adapter.MontaAuth(monta.client_id, monta.client_secret, base_url=monta.base_url)
        transport = lib.library.ASGITransport(monta.app)
        async with lib.library.AsyncClient(
            transport=transport, base_url=monta.base_url, auth=auth
        ) as client:
            assert (await client.get("/charge-points")).status_code == 200
            monta.revoke_access_tokens()
            assert (await client.get("/charge-points")).status_code == 200

    backend(main() if backend is asyncio.run else main)
    assert (monta.count("/auth/token"), monta.count("/auth/refresh")) == (1, 1)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("ProxyError", "403 Forbidden", id="proxy"),
        pytest.param("ConnectError", "[SSL: CERTIFICATE_VERIFY_FAILED] no issuer", id="TLS"),
    ],
)
def test_a_proxy_or_tls_error_of_a_token_call_suggests_the_client_argument(
    lib: Lib, name: str, text: str
) -> None:
    kind = getattr(lib.library, name)

    def fails(request: Any) -> Any:
        raise kind(text, request=request)

    client = lib.library.Client(transport=lib.library.MockTransport(fails), auth=lib.auth())
    with client, pytest.raises(kind, match="client=") as caught:
        client.get(GOOD)
    assert text in str(caught.value)


@respx.mock  # pyright: ignore[reportUntypedFunctionDecorator]
def test_with_respx_as_users_use_it() -> None:
    pair = {
        "accessToken": "a1",
        "refreshToken": "r1",
        "accessTokenExpirationDate": "2099-01-01T00:00:00Z",
    }
    token = respx.post(BASE + "/auth/token").respond(json=pair)
    refresh = respx.post(BASE + "/auth/refresh").respond(json={**pair, "accessToken": "a2"})
    respx.get(GOOD, headers={"Authorization": "Bearer a1"}).respond(json={"data": []})
    charges = respx.get(BASE + "/charges")
    charges.side_effect = [httpx.Response(401), httpx.Response(200, json={"data": [1]})]
    auth = httpx_monta.MontaAuth("client-id", "client-secret")
    with httpx.Client(auth=auth) as client:
        assert client.get(GOOD).json() == {"data": []}
        assert client.get(BASE + "/charges").json() == {"data": [1]}
    assert charges.calls.last.request.headers["Authorization"] == "Bearer a2"
    assert (token.call_count, refresh.call_count) == (1, 1)
    assert b"client-secret" not in refresh.calls.last.request.content


# --- hooks that use the same auth


def test_a_hook_may_make_requests_with_the_same_auth(lib: Lib) -> None:
    """The hook also runs for a token call. There, its request leads a separate renewal."""
    auth = lib.auth()
    with lib.client(auth=auth) as other:

        def hook(request: Any) -> None:
            request.headers["X-Status"] = str(other.get(GOOD).status_code)

        with lib.client(auth=auth, event_hooks={"request": [hook]}) as client:
            assert client.get(GOOD).request.headers["X-Status"] == "200"
    assert lib.script.paths.count("/auth/token") == 2


def test_an_async_hook_may_make_requests_with_the_same_auth(lib: Lib) -> None:
    async def main() -> None:
        auth = lib.auth()
        async with lib.async_client(auth=auth) as other:

            async def hook(request: Any) -> None:
                request.headers["X-Status"] = str((await other.get(GOOD)).status_code)

            async with lib.async_client(auth=auth, event_hooks={"request": [hook]}) as client:
                assert (await client.get(GOOD)).request.headers["X-Status"] == "200"

    asyncio.run(main())
    assert lib.script.paths.count("/auth/token") == 2


def test_certificates_are_read_once_for_all_token_calls_without_a_client(
    lib: Lib, monta: Monta, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = lib.adapter.MontaAuth._library
    auth = lib.adapter.MontaAuth(monta.client_id, monta.client_secret, base_url=monta.base_url)
    auth.token()
    monkeypatch.setattr(lib.library, "create_ssl_context", lambda: pytest.fail("read again"))
    assert library.client(auth._origins) is not library.client(auth._origins)
    auth.invalidate()
    asyncio.run(auth.atoken())
    assert (monta.mints, monta.refreshes) == (1, 1)


@pytest.mark.parametrize("run", [asyncio.run, trio.run], ids=["asyncio", "trio"])
def test_an_async_method_reads_no_file_in_the_event_loop(
    lib: Lib, monta: Monta, monkeypatch: pytest.MonkeyPatch, run: Any
) -> None:
    """An example is the CA file, which takes 20 ms."""
    library, read_by = lib.adapter.MontaAuth._library, list[int]()
    create = lib.library.create_ssl_context

    def create_elsewhere() -> object:
        read_by.append(threading.get_ident())
        return create()

    monkeypatch.delitem(vars(library), "_certificates", raising=False)
    monkeypatch.setattr(lib.library, "create_ssl_context", create_elsewhere)
    auth = lib.adapter.MontaAuth(monta.client_id, monta.client_secret, base_url=monta.base_url)

    async def main() -> None:
        await auth.aapplication()

    run(main if run is trio.run else main())
    assert len(read_by) == 1
    assert threading.get_ident() not in read_by


# --- which caller goes on when another one leaves


@pytest.mark.parametrize(("timeout", "limit"), [(7.0, 7.0), (None, float("inf"))])
def test_the_read_timeout_of_a_request_is_its_limit(
    lib: Lib, acquired: list[Any], timeout: float | None, limit: float
) -> None:
    async def main() -> None:
        async with lib.async_client(lib.auth(store=MemoryStore())) as client:
            await client.get(GOOD, timeout=timeout)

    with lib.client(lib.auth(store=MemoryStore())) as client:
        client.get(GOOD, timeout=timeout)
    asyncio.run(main())
    assert [call.kwargs["limit"] for call in acquired] == [limit, limit]


def test_a_trio_deadline_also_limits_a_request(lib: Lib, acquired: list[Any]) -> None:
    async def main() -> None:
        async with lib.async_client(lib.auth()) as client:
            with trio.fail_after(3):
                await client.get(GOOD, timeout=7)

    trio.run(main)
    assert 2 < acquired[0].kwargs["limit"] <= 3
