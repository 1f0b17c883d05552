"""`speak_monta` for openapi-generator with a stand-in for generated code, so it needs no Java.

The stand-in has the names and signatures of generated code and uses urllib3.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
from starlette.types import Send

import aiohttp_monta
import httpx_monta
import monta_auth
import requests_monta
from monta_auth import openapi_generator
from monta_auth.emulator import Fault
from monta_auth.openapi_generator import Auth, speak_monta

from ..adapters.site import Host, Monta, Seen, echo, redirects, respond, says


class Configuration:
    def __init__(self, host: str, access_token: Any = None) -> None:
        self.host = host
        self.access_token = access_token

    def auth_settings(self) -> dict[str, Any]:
        if self.access_token is None:
            return {}
        value = "Bearer " + self.access_token
        return {"bearer": {"in": "header", "key": "Authorization", "value": value}}


class RESTResponse:
    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self.response = response
        self.status = response.status
        self.data: bytes | None = None

    def read(self) -> bytes:
        if self.data is None:
            self.data = self.response.data
        return self.data


class RESTClientObject:
    def __init__(self) -> None:
        self.pool_manager = urllib3.PoolManager(maxsize=8)

    def request(
        self,
        method: str,
        url: str,
        headers: Any = None,
        body: Any = None,
        post_params: Any = None,
        _request_timeout: Any = None,
    ) -> RESTResponse:
        content: dict[str, Any] = {}
        if post_params:
            del headers["Content-Type"]
            content["fields"] = post_params
        elif body is not None and method != "GET":
            content["body"] = json.dumps(body)
        return RESTResponse(
            self.pool_manager.request(
                method,
                url,
                headers=headers,
                timeout=_request_timeout,
                preload_content=False,
                **content,
            )
        )


class ApiClient:
    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.rest_client = RESTClientObject()

    def call(
        self,
        path: str,
        method: str = "GET",
        *,
        security: bool = True,
        headers: dict[str, Any] | None = None,
        host: str | None = None,
        **content: Any,
    ) -> RESTResponse:
        """Do what a method of a generated API does. `security` comes from the description."""
        headers = {**(headers or {})}
        for setting in self.configuration.auth_settings().values() if security else ():
            headers[setting["key"]] = setting["value"]
        url = (self.configuration.host if host is None else host) + path
        response = self.rest_client.request(
            method, url, headers=headers, _request_timeout=5.0, **content
        )
        response.read()
        return response


MakeClient = Callable[..., ApiClient]


@pytest.fixture
def make() -> Iterator[MakeClient]:
    """Return a function that makes a client of a configuration, with an auth if there is one."""
    made: list[ApiClient] = []

    def make(configuration: Configuration, auth: Auth | None = None) -> ApiClient:
        made.append(ApiClient(configuration))
        return made[-1] if auth is None else speak_monta(made[-1], auth)

    yield make
    for api_client in made:
        api_client.rest_client.pool_manager.clear()


@pytest.fixture
def auth(monta: Monta) -> requests_monta.MontaAuth:
    return requests_monta.MontaAuth(source=monta.source())


@pytest.fixture
def client(monta: Monta, auth: requests_monta.MontaAuth, make: MakeClient) -> ApiClient:
    return make(Configuration(monta.base_url), auth)


def statuses(monta: Monta) -> list[tuple[str, int | None]]:
    return [(call.path, call.status) for call in monta.emulator.calls]


@pytest.mark.parametrize("security", [True, False])
def test_a_refused_token_is_renewed_once(client: ApiClient, monta: Monta, security: bool) -> None:
    assert client.call("/charge-points", security=security).status == 200
    monta.emulator.revoke_access_tokens()
    assert client.call("/charge-points", security=security).status == 200

    assert statuses(monta) == [
        ("/auth/token", 200),
        ("/charge-points", 200),
        ("/charge-points", 401),
        ("/auth/refresh", 200),
        ("/charge-points", 200),
    ]


@pytest.mark.parametrize("security", [True, False])
def test_a_token_near_its_end_is_renewed_before_the_call(
    client: ApiClient, monta: Monta, security: bool
) -> None:
    client.call("/charge-points", security=security)
    monta.now.advance(3595)
    assert client.call("/charge-points", security=security).status == 200

    assert (monta.mints, monta.refreshes) == (1, 1)
    assert {status for _, status in statuses(monta)} == {200}


def test_the_refused_call_gives_its_connection_back(client: ApiClient, monta: Monta) -> None:
    client.call("/charge-points").read()
    monta.emulator.revoke_access_tokens()
    client.call("/charge-points").read()

    assert len({seen.connection for seen in monta.asked("/api/v1/charge-points")}) == 1


def test_a_second_401_is_returned(client: ApiClient, monta: Monta) -> None:
    monta.emulator.inject(Fault(status=401), times=2, path="/charge-points")
    response = client.call("/charge-points")

    assert (response.status, "errorCode" in response.read().decode()) == (401, True)
    assert (monta.count("/charge-points"), monta.mints, monta.refreshes) == (2, 1, 1)


def test_if_a_renewal_returns_the_same_token_the_401_is_returned(
    client: ApiClient, auth: requests_monta.MontaAuth, monta: Monta
) -> None:
    client.call("/charge-points")
    pair = auth.token()
    monta.emulator.revoke_access_tokens()
    monta.emulator.inject(monta.reissue(pair), path="/auth/refresh")
    assert client.call("/charge-points").status == 401
    assert (monta.count("/charge-points"), monta.mints, monta.refreshes) == (2, 1, 1)


def test_an_api_that_refuses_every_token_starts_a_cool_down(
    client: ApiClient, monta: Monta
) -> None:
    """The core's cool-down: calls fail, but they cost no token calls."""
    monta.emulator.inject(Fault(status=401), times=20, path="/charge-points")
    for _ in range(8):
        assert client.call("/charge-points").status == 401

    assert monta.mints + monta.refreshes == 3


def test_another_status_is_returned_unchanged(client: ApiClient, monta: Monta) -> None:
    monta.emulator.inject(Fault(status=403), path="/charge-points")

    assert client.call("/charge-points").status == 403
    assert (monta.count("/charge-points"), monta.mints, monta.refreshes) == (1, 1, 0)


def test_a_retry_has_the_whole_body(client: ApiClient, monta: Monta) -> None:
    monta.page("/echo", echo, guarded=True)
    client.call("/charge-points")
    monta.emulator.revoke_access_tokens()
    response = client.call("/echo", "POST", body={"chargePointId": 101})

    assert response.read() == b'{"chargePointId": 101}'
    assert [seen.body for seen in monta.asked("/api/v1/echo")] == [response.read()] * 2


def test_a_form_is_retried_as_a_form(client: ApiClient, monta: Monta) -> None:
    """Generated code removes the Content-Type header, so that urllib3 sets its own."""
    monta.page("/echo", echo, guarded=True)
    client.call("/charge-points")
    monta.emulator.revoke_access_tokens()
    form = [("file", ("name.txt", b"content", "text/plain"))]
    headers = {"Content-Type": "multipart/form-data"}
    assert client.call("/echo", "POST", headers=headers, post_params=form).status == 200

    first, second = monta.asked("/api/v1/echo")
    for seen in (first, second):
        assert seen.headers["content-type"].startswith("multipart/form-data; boundary=")
        assert b"\r\n\r\ncontent\r\n" in seen.body


def test_many_threads_make_one_token_call(client: ApiClient, monta: Monta) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = [pool.submit(client.call, "/charge-points") for _ in range(32)]
    assert {future.result().status for future in found} == {200}

    assert (monta.count("/charge-points"), monta.mints) == (32, 1)


def test_many_refused_threads_make_one_refresh(client: ApiClient, monta: Monta) -> None:
    client.call("/charge-points")
    monta.emulator.revoke_access_tokens()
    with ThreadPoolExecutor(8) as pool:
        found = [pool.submit(client.call, "/charge-points") for _ in range(32)]
    assert {future.result().status for future in found} == {200}

    assert (monta.mints, monta.refreshes) == (1, 1)


# --- where the token goes


@pytest.mark.parametrize("security", [True, False])
def test_a_foreign_host_gets_no_token_and_causes_no_token_call(
    client: ApiClient, monta: Monta, foreign: Host, security: bool
) -> None:
    client.configuration.host = foreign.origin
    assert client.call("/charge-points", security=security).read() == b"foreign"

    assert [seen.token for seen in foreign.seen] == [None]
    assert monta.mints == 0


def test_a_foreign_host_of_one_call_gets_no_token(
    client: ApiClient, monta: Monta, foreign: Host
) -> None:
    """An operation may have its own server in the description."""
    assert client.call("/charge-points", host=foreign.origin).read() == b"foreign"

    assert [seen.token for seen in foreign.seen] == [None]


@pytest.mark.parametrize(
    "url",
    [
        "http://public-api.monta.com/api/v1/x",
        "https://public-api.monta.com:8443/api/v1/x",
        "https://public-api.monta.com@evil.example/api/v1/x",
        "https://evil.example\\@public-api.monta.com/api/v1/x",
        "https://public-api.monta.com/api/v1/auth/token",
    ],
)
def test_the_same_host_with_plain_http_or_another_port_is_foreign(
    url: str, make: MakeClient
) -> None:
    sent: list[Any] = []
    client = make(Configuration(monta_auth.PUBLIC_API))
    client.rest_client.request = lambda *call, **settings: sent.append(call)  # type: ignore[method-assign, assignment]
    pair = monta_auth.TokenSet("a", None, datetime.now(UTC) + timedelta(hours=1))
    speak_monta(client, requests_monta.MontaAuth(token=pair))
    with_token = {"Authorization": "Bearer " + client.configuration.access_token}
    assert with_token["Authorization"] == "Bearer a"
    client.rest_client.request("GET", url, with_token)

    assert sent == [("GET", url, {})]


def test_a_foreign_host_gets_no_token_from_another_client_of_the_configuration(
    client: ApiClient, foreign: Host, make: MakeClient
) -> None:
    client.configuration.host = foreign.origin
    make(client.configuration).call("/charge-points")

    assert [seen.token for seen in foreign.seen] == [""]


def test_another_client_of_the_configuration_is_renewed_too(
    client: ApiClient, monta: Monta, make: MakeClient
) -> None:
    """This client only reads the Configuration, and retries nothing."""
    other = make(client.configuration)
    assert other.call("/charge-points").status == 200
    monta.now.advance(3595)
    assert other.call("/charge-points").status == 200

    assert (monta.mints, monta.refreshes) == (1, 1)


def test_an_allowed_origin_gets_the_token(monta: Monta, foreign: Host, make: MakeClient) -> None:
    auth = requests_monta.MontaAuth(source=monta.source(), allowed_origins=[foreign.origin])
    client = make(Configuration(foreign.origin), auth)
    client.call("/charge-points")

    assert [seen.token for seen in foreign.seen] == ["Bearer " + auth.bearer_token()]


def test_a_401_from_an_allowed_origin_is_retried(
    monta: Monta, foreign: Host, make: MakeClient
) -> None:
    auth = requests_monta.MontaAuth(source=monta.source(), allowed_origins=[foreign.origin])
    client = make(Configuration(foreign.origin), auth)
    foreign.pages["/to"] = says(401)
    assert client.call("/to").status == 401

    assert len({seen.token for seen in foreign.asked("/to")}) == 2
    assert (monta.mints, monta.refreshes) == (1, 1)


def test_a_foreign_host_is_logged(
    client: ApiClient, foreign: Host, caplog: pytest.LogCaptureFixture
) -> None:
    client.call("/charge-points", host=foreign.origin)

    assert f"a request to {foreign.origin} goes out without the Monta token" in caplog.text


def test_headers_may_be_missing_and_are_not_changed(client: ApiClient, monta: Monta) -> None:
    headers = {"X-Mine": "1"}
    assert client.rest_client.request("GET", monta.url("/charge-points"), headers).status == 200
    assert client.rest_client.request("GET", monta.url("/charge-points")).status == 200

    assert headers == {"X-Mine": "1"}


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
def test_a_call_with_its_own_authorization_is_not_changed(
    client: ApiClient, monta: Monta, name: str
) -> None:
    response = client.call("/charge-points", security=False, headers={name: "Bearer mine"})

    assert response.status == 401
    assert [seen.token for seen in monta.asked("/api/v1/charge-points")] == ["Bearer mine"]
    assert monta.mints == 0


def test_a_401_from_a_foreign_host_after_a_redirect_renews_nothing(
    client: ApiClient, monta: Monta, foreign: Host
) -> None:
    """The server has executed the POST. A retry would execute it twice."""
    foreign.pages["/to"] = says(401, b"who are you?")
    monta.page("/from", redirects(307, foreign.origin + "/to"), guarded=True)
    response = client.call("/from", "POST", body={"pay": 1})

    assert (response.status, response.read()) == (401, b"who are you?")
    assert [seen.token for seen in foreign.seen] == [None]
    assert len(monta.asked("/api/v1/from")) == 1
    assert (monta.mints, monta.refreshes) == (1, 0)


def test_a_401_after_a_redirect_without_the_token_renews_nothing(
    monta: Monta, foreign: Host, make: MakeClient
) -> None:
    """urllib3 removes the header, even on the way to an allowed origin."""
    auth = requests_monta.MontaAuth(source=monta.source(), allowed_origins=[foreign.origin])
    client = make(Configuration(monta.base_url), auth)
    foreign.pages["/to"] = says(401)
    monta.page("/from", redirects(307, foreign.origin + "/to"), guarded=True)
    assert client.call("/from").status == 401

    assert [seen.token for seen in foreign.seen] == [None]
    assert (monta.mints, monta.refreshes) == (1, 0)


def test_a_foreign_redirect_cannot_send_the_token_anywhere(
    client: ApiClient, monta: Monta, foreign: Host
) -> None:
    foreign.pages["/to"] = redirects(307, monta.page("/stop", echo))
    monta.page("/from", redirects(307, foreign.origin + "/to"), guarded=True)
    assert client.call("/from", "POST", body={"pay": 1}).status == 200

    assert [seen.token for seen in monta.asked("/api/v1/stop")] == [None]


@pytest.mark.parametrize(("status", "method"), [(303, "GET"), (307, "POST")])
def test_after_a_redirect_only_the_refused_request_is_retried(
    client: ApiClient, monta: Monta, status: int, method: str
) -> None:
    async def revoke(seen: Seen, send: Send) -> None:
        monta.emulator.revoke_access_tokens()
        await respond(send, status, headers={"location": "to"})

    monta.page("/from", revoke, guarded=True)
    monta.page("/to", echo, guarded=True)
    response = client.call("/from", "POST", body={"pay": 1})

    assert response.status == 200
    assert len(monta.asked("/api/v1/from")) == 1
    body = b'{"pay": 1}' if method == "POST" else b""
    assert [(seen.method, seen.body) for seen in monta.asked("/api/v1/to")] == [(method, body)] * 2
    assert (monta.mints, monta.refreshes) == (1, 1)


# --- errors


@pytest.mark.parametrize("security", [True, False])
def test_a_failed_token_call_raises_what_the_auth_raises(
    monta: Monta, security: bool, make: MakeClient
) -> None:
    auth = requests_monta.MontaAuth(source=monta.source(client_secret="wrong"))
    client = make(Configuration(monta.base_url), auth)

    with pytest.raises(requests_monta.InvalidCredentialsError):
        client.call("/charge-points", security=security)
    assert monta.count("/charge-points") == 0


@pytest.mark.parametrize("wrong", [object(), "token", None])
def test_another_auth_is_an_error(monta: Monta, wrong: Any) -> None:
    with pytest.raises(monta_auth.ConfigurationError, match="takes a MontaAuth of requests_monta"):
        speak_monta(ApiClient(Configuration(monta.base_url)), wrong)


def test_an_auth_that_needs_an_event_loop_is_an_error(monta: Monta, make: MakeClient) -> None:
    auth: Any = aiohttp_monta.MontaAuth(source=monta.source())
    with pytest.raises(monta_auth.ConfigurationError, match="takes a MontaAuth of requests_monta"):
        make(Configuration(monta.base_url), auth)


class NoConfiguration:
    rest_client = RESTClientObject()


@pytest.mark.parametrize("wrong", [object(), NoConfiguration()])
def test_another_client_is_an_error(auth: requests_monta.MontaAuth, wrong: Any) -> None:
    with pytest.raises(monta_auth.ConfigurationError, match="takes the ApiClient of a generated"):
        speak_monta(wrong, auth)


def test_an_async_client_is_an_error(auth: requests_monta.MontaAuth) -> None:
    class AsyncRESTClient:
        async def request(self, method: str, url: str) -> None: ...

    client: Any = ApiClient(Configuration("http://127.0.0.1"))
    client.rest_client = AsyncRESTClient()
    with pytest.raises(monta_auth.ConfigurationError, match="this SDK is async"):
        speak_monta(client, auth)
    assert client.configuration.access_token is None


def test_calling_it_twice_for_a_client_is_an_error(
    client: ApiClient, auth: requests_monta.MontaAuth
) -> None:
    with pytest.raises(monta_auth.ConfigurationError, match="speaks Monta already"):
        speak_monta(client, auth)


def test_two_accounts_in_one_configuration_are_an_error(
    client: ApiClient, monta: Monta, make: MakeClient
) -> None:
    """All clients share the default Configuration: calls would use the other account."""
    other = requests_monta.MontaAuth(source=monta.source())
    with pytest.raises(monta_auth.ConfigurationError, match="this Configuration has another auth"):
        make(client.configuration, other)


def test_two_clients_of_one_configuration_share_a_token(
    client: ApiClient, auth: requests_monta.MontaAuth, monta: Monta, make: MakeClient
) -> None:
    second = make(client.configuration, copy.copy(auth))
    assert {api_client.call("/charge-points").status for api_client in (client, second)} == {200}

    assert monta.mints == 1


# --- the rest


def test_the_auth_of_httpx_works_as_well(monta: Monta, make: MakeClient) -> None:
    auth = httpx_monta.MontaAuth(source=monta.source())
    client = make(Configuration(monta.base_url), auth)

    assert client.call("/charge-points").status == 200


def test_a_copied_configuration_has_a_token_that_is_renewed(
    client: ApiClient, monta: Monta, foreign: Host, make: MakeClient
) -> None:
    """But it has its own host."""
    twin = copy.deepcopy(client.configuration)
    twin.host = foreign.origin
    make(twin).call("/charge-points")

    assert [seen.token for seen in foreign.seen] == [""]
    assert client.call("/charge-points").status == 200


def test_no_token_is_shown(client: ApiClient, monta: Monta) -> None:
    client.call("/charge-points")
    setting = client.configuration.auth_settings()
    shown = f"{vars(client.configuration)} {client.configuration.access_token} {setting}"

    assert "access token of requests_monta.MontaAuth" in shown
    assert not any(secret in shown for secret in monta.secrets)


def test_it_imports_no_other_package() -> None:
    code = "import sys, monta_auth.openapi_generator; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(monta_auth.__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert not {"urllib3", "requests", "httpx", "pydantic"} & {*done.stdout.split()}


def test_it_offers_one_function() -> None:
    assert openapi_generator.__all__ == ["speak_monta"]


def typed(sync: requests_monta.MontaAuth, httpx: httpx_monta.MontaAuth) -> list[Auth]:
    """For type checkers: they are auths of this type."""
    return [sync, httpx]
