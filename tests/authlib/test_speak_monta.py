"""`speak_monta` for Authlib's three clients: all follow the same rules."""

from __future__ import annotations

import json
import pickle
import socket
import threading
import time
from typing import Any

import httpx
import httpx2
import pytest
import requests

from monta_auth import (
    ConfigurationError,
    InvalidCredentialsError,
    InvalidTokenResponseError,
    MontaAuthError,
    RateLimitError,
    TokenEndpointError,
)
from monta_auth.authlib import speak_monta
from monta_auth.emulator import Emulator, Fault

from ..adapters.frames import shown
from .clients import CLIENTS, OAuth2Session, OAuthError
from .conftest import Speak, Speaker

HOUR = 3600


def paths(site: Emulator) -> list[str]:
    return [call.path for call in site.calls]


def a_pair(**without: None) -> str:
    """Return a token reply in which some fields are missing."""
    pair = {"accessToken": "injected", "refreshToken": "injected-too"}
    return json.dumps({name: value for name, value in pair.items() if name not in without})


def test_one_token_serves_many_requests(speak: Speak, site: Emulator) -> None:
    """The emulator only accepts JSON in camelCase."""
    speaker = speak()
    token = speaker.fetch_token()
    for _ in range(3):
        assert speaker.get(site.base_url + "/charge-points").status_code == 200

    assert paths(site) == ["/auth/token"] + 3 * ["/charge-points"]
    assert token is speaker.client.token
    assert token["token_type"] == "Bearer"


@pytest.mark.parametrize("offset", [-HOUR, 0, HOUR], ids=["slow", "right", "fast"])
def test_the_life_of_a_token_is_measured_with_the_local_clock(
    speak: Speak, site: Emulator, offset: float
) -> None:
    """Authlib compares with this machine's clock, but the reply's dates are the server's."""
    site.clock_offset = offset
    site.access_lifetime, site.refresh_lifetime = HOUR, 2 * HOUR
    before = time.time()
    token = speak().fetch_token()
    after = time.time()

    for name, life in [("issued_at", 0), ("expires_at", HOUR), ("refresh_expires_at", 2 * HOUR)]:
        assert before + life - 2 <= token[name] <= after + life + 1, name
    assert token["expires_at"].__class__ is int


def test_an_expired_token_is_renewed_with_its_refresh_token(speak: Speak, site: Emulator) -> None:
    speaker = speak()
    first = dict(speaker.fetch_token())
    speaker.expire()
    assert speaker.get(site.base_url + "/charge-points").status_code == 200

    assert paths(site) == ["/auth/token", "/auth/refresh", "/charge-points"]
    assert speaker.client.token["refresh_token"] not in (None, first["refresh_token"])


def test_a_spent_refresh_token_is_not_kept(speak: Speak, site: Emulator) -> None:
    """Authlib would keep it if a reply has none, but Monta's works only once."""
    speaker = speak()
    speaker.fetch_token()
    site.inject(Fault(body=a_pair(refreshToken=None)), path="/auth/refresh")
    speaker.refresh_token(site.base_url + "/auth/refresh")

    assert speaker.client.token["refresh_token"] is None
    speaker.expire()
    assert speaker.get(site.base_url + "/charge-points").status_code == 200
    assert paths(site)[1:] == ["/auth/refresh", "/auth/token", "/charge-points"]


def test_an_expired_refresh_token_is_not_sent(speak: Speak, site: Emulator) -> None:
    """The Partner API's is valid for a day, so a client recovers after two days of sleep."""
    speaker = speak()
    speaker.fetch_token()
    speaker.client.token["refresh_expires_at"] = int(time.time()) - 1
    speaker.expire()
    assert speaker.get(site.base_url + "/charge-points").status_code == 200

    assert paths(site) == ["/auth/token", "/auth/token", "/charge-points"]


def test_a_refused_refresh_token_fails_one_request(speak: Speak, site: Emulator) -> None:
    """Authlib would send it again forever."""
    speaker = speak()
    speaker.fetch_token()
    site.revoke_refresh_tokens()
    speaker.expire()
    with pytest.raises(OAuthError) as caught:
        speaker.get(site.base_url + "/charge-points")
    assert caught.value.error == "invalid_grant"
    assert isinstance(caught.value, TokenEndpointError)

    assert speaker.get(site.base_url + "/charge-points").status_code == 200
    assert paths(site)[1:] == ["/auth/refresh", "/auth/token", "/charge-points"]


def test_a_refusal_keeps_a_newer_refresh_token(speak: Speak, site: Emulator) -> None:
    """Of two renewals at the same time, one was refused while the other got a pair."""
    speaker = speak()
    newer = speaker.fetch_token()["refresh_token"]
    with pytest.raises(TokenEndpointError):
        speaker.refresh_token(site.base_url + "/auth/refresh", refresh_token="spent")

    assert speaker.client.token["refresh_token"] == newer


@pytest.mark.parametrize(
    ("fault", "kind", "retry_after"),
    [
        pytest.param(Fault(status=503), TokenEndpointError, None, id="503"),
        pytest.param(
            Fault(status=429, headers={"Retry-After": "7"}), RateLimitError, 7.0, id="429"
        ),
    ],
)
def test_a_temporary_fault_keeps_the_refresh_token(
    speak: Speak, site: Emulator, fault: Fault, kind: type[Exception], retry_after: float | None
) -> None:
    speaker = speak()
    speaker.fetch_token()
    site.inject(fault)
    speaker.expire()
    with pytest.raises(OAuthError) as caught:
        speaker.get(site.base_url + "/charge-points")

    assert type(caught.value).__mro__[1] is kind
    assert caught.value.error == "temporarily_unavailable"
    assert caught.value.retry_after == retry_after
    assert speaker.get(site.base_url + "/charge-points").status_code == 200
    assert paths(site)[1:] == ["/auth/refresh", "/auth/refresh", "/charge-points"]


def test_wrong_credentials_raise_an_error_of_both_families(speak: Speak, site: Emulator) -> None:
    speaker = speak(client_secret="not-the-secret")
    with pytest.raises(OAuthError) as caught:
        speaker.fetch_token()

    error: Any = pickle.loads(pickle.dumps(caught.value))
    assert type(error) is type(caught.value)
    assert issubclass(type(error), InvalidCredentialsError)
    assert (error.error, error.status, error.uri) == ("invalid_client", 401, None)
    assert error.description == str(error) == str(caught.value)
    assert "127.0.0.1" in str(error)
    assert "not-the-secret" not in f"{error} {error!r} {vars(error)}"
    assert caught.value.__context__ is caught.value.__cause__ is None


def test_an_error_with_a_good_status_is_no_token(speak: Speak, site: Emulator) -> None:
    site.inject(Fault(body='{"errorCode": "OOPS"}'))
    with pytest.raises(OAuthError) as caught:
        speak().fetch_token()

    assert isinstance(caught.value, InvalidTokenResponseError)


def test_other_refusals_raise_the_servers_error(speak: Speak, site: Emulator) -> None:
    site.inject(Fault(status=404))
    with pytest.raises(OAuthError, match="is /api/v1 missing") as caught:
        speak().fetch_token()

    assert caught.value.error == "server_error"


def test_a_network_failure_raises_the_librarys_error(speak: Speak, site: Emulator) -> None:
    speaker = speak()
    site.stop()
    network = (requests.ConnectionError, httpx.ConnectError, httpx2.ConnectError)
    with pytest.raises(network) as caught:
        speaker.fetch_token()

    assert not isinstance(caught.value, MontaAuthError)


@pytest.mark.parametrize("status", [302, 307, 308])
def test_a_redirect_of_a_token_call_is_not_followed(
    speak: Speak, site: Emulator, foreign: Emulator, status: int
) -> None:
    """307 and 308 would send the secret to another host."""
    speaker = speak()
    speaker.follow_redirects()
    site.inject(Fault(status=status, headers={"Location": foreign.base_url + "/auth/token"}))
    with pytest.raises(OAuthError, match="redirects are not followed") as caught:
        speaker.fetch_token()

    assert isinstance(caught.value, TokenEndpointError)
    assert foreign.calls == ()


def test_other_redirects_are_followed(speak: Speak, site: Emulator) -> None:
    speaker = speak()
    speaker.follow_redirects()
    speaker.fetch_token()
    there = {"Location": site.base_url + "/charges"}
    site.inject(Fault(status=307, headers=there), path="/charge-points")
    assert speaker.get(site.base_url + "/charge-points").status_code == 200

    assert paths(site) == ["/auth/token", "/charge-points", "/charges"]


def test_the_token_goes_to_no_other_origin(
    speak: Speak, foreign: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """Authlib adds it to each request of the client."""
    speaker = speak()
    speaker.fetch_token()
    reply = speaker.get(foreign.base_url + "/charge-points")

    assert reply.status_code == 401
    assert "authorization" not in reply.request.headers
    assert "without the Monta token" in caplog.text


def test_a_foreign_redirect_cannot_send_the_token_anywhere(
    speak: Speak, site: Emulator, foreign: Emulator
) -> None:
    speaker = speak()
    speaker.follow_redirects()
    speaker.fetch_token()
    there = {"Location": site.base_url + "/charge-points"}
    foreign.inject(Fault(status=307, headers=there), path="/charges")
    reply = speaker.get(foreign.base_url + "/charges")

    assert (reply.status_code, paths(site)) == (401, ["/auth/token", "/charge-points"])
    assert "authorization" not in reply.request.headers


def test_the_users_own_hooks_are_kept(speak: Speak, site: Emulator) -> None:
    heard: list[Any] = []

    def hook(response: Any, **kwargs: Any) -> None:
        heard.append(response.status_code)

    async def async_hook(response: Any) -> None:
        heard.append(response.status_code)

    kind = speak().kind
    if kind == "requests":
        speaker = speak()
        speaker.client.hooks["response"].append(hook)
    else:
        mine = async_hook if kind == "httpx async" else hook
        speaker = speak(event_hooks={"response": [mine]})
    speaker.fetch_token()

    assert heard == [200]


def test_update_token_is_called_for_each_renewal(speak: Speak, site: Emulator) -> None:
    heard: list[Any] = []

    def keep(token: Any, refresh_token: str | None = None, access_token: str | None = None) -> None:
        heard.append((dict(token), refresh_token))

    async def akeep(token: Any, **old: Any) -> None:
        keep(token, **old)

    speaker = speak()
    speaker.client.update_token = akeep if speaker.kind == "httpx async" else keep
    first = dict(speaker.fetch_token())
    speaker.expire()
    speaker.get(site.base_url + "/charge-points")

    assert heard == [(dict(speaker.client.token), first["refresh_token"])]


@pytest.mark.parametrize("is_renewal", [False, True])
def test_no_frame_of_a_token_call_shows_a_secret(
    speak: Speak, site: Emulator, monkeypatch: pytest.MonkeyPatch, is_renewal: bool
) -> None:
    """Trackers show them, for example at SystemExit or when a task is cancelled."""

    class Struck(BaseException):
        pass

    speaker = speak()
    token = speaker.fetch_token() if is_renewal else {}
    secrets = {site.client_secret, *(str(token[n]) for n in token if n.endswith("_token"))}
    if is_renewal:
        speaker.expire()
    error = Struck()

    def strike(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr("monta_auth.authlib.read_pair", strike)
    with pytest.raises(Struck) as caught:
        speaker.get(site.base_url + "/charge-points") if is_renewal else speaker.fetch_token()
    assert shown(caught.value, secrets) == []


@pytest.mark.parametrize("kind", CLIENTS)
def test_no_text_of_the_library_shows_a_secret_that_a_server_echoes(kind: str) -> None:
    def serve() -> None:
        line, _ = server.accept()
        with line:
            data = b""
            while b"the-secret" not in data:
                data += line.recv(65536)
            line.sendall(b"HTTP/1.1 200 OK\r\n" + data.partition(b"\r\n\r\n")[2] + b"\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        base_url = f"http://127.0.0.1:{server.getsockname()[1]}/api/v1"
        speaker = Speaker(kind, base_url, "client-id", "the-secret-of-client")
        with pytest.raises(Exception) as caught:  # noqa: PT011 - each library has its own
            speaker.fetch_token()
        thread.join(10)
        speaker.shut()
    each: BaseException | None = caught.value
    while each is not None:
        assert "the-secret-of-client" not in f"{each} {each!r}"
        each = each.__cause__ or each.__context__


def test_a_token_in_a_client_of_authlib_is_plain(speak: Speak) -> None:
    """Users save it in any way, including pickles."""
    token = speak().fetch_token()
    assert pickle.loads(pickle.dumps(dict(token))) == token
    assert type(token["access_token"]) is type(token["refresh_token"]) is str


def test_a_401_of_the_api_is_returned(speak: Speak, site: Emulator) -> None:
    """Authlib has no place for a retry. MontaAuth on the same client makes one."""
    speaker = speak()
    speaker.fetch_token()
    site.revoke_access_tokens()

    assert speaker.get(site.base_url + "/charge-points").status_code == 401
    assert paths(site) == ["/auth/token", "/charge-points"]


def test_base_url_and_credentials_come_from_the_environment(
    speak: Speak, site: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONTA_BASE_URL", site.base_url)
    monkeypatch.setenv("MONTA_CLIENT_ID", site.client_id)
    monkeypatch.setenv("MONTA_CLIENT_SECRET", site.client_secret)
    speaker = speak(base_url=None)
    speaker.client.client_id = speaker.client.client_secret = None
    speaker.fetch_token()

    assert [call.status for call in site.calls] == [200]


@pytest.mark.parametrize(
    ("url", "arguments", "text"),
    [
        pytest.param("https://elsewhere.test/auth/token", {}, "no auth endpoint", id="other host"),
        pytest.param("{}/token", {}, "no auth endpoint", id="other path"),
        pytest.param("{}/auth/token", {"auth": ("a", "b")}, "without auth=", id="other auth"),
    ],
)
def test_a_token_call_of_another_kind_is_refused(
    speak: Speak, site: Emulator, url: str, arguments: dict[str, Any], text: str
) -> None:
    """The secret is never sent to a URL that is not Monta's."""
    with pytest.raises(ConfigurationError, match=text):
        speak().fetch_token(url.format(site.base_url), **arguments)


#: These look like the origin of base_url, which is https://public-api.monta.com.
FOREIGN = [
    pytest.param("http://public-api.monta.com", id="plain http"),
    pytest.param("http://public-api.monta.com:443", id="plain http on 443"),
    pytest.param("https://public-api.monta.com:8443", id="another port"),
    pytest.param("https://public-api.monta.com.", id="trailing dot"),
    pytest.param("https://public-api.monta.com@evil.example", id="our host as a user"),
    pytest.param("https://evil.example", id="another host"),
]


@pytest.mark.parametrize("origin", FOREIGN)
def test_the_secret_only_goes_to_the_origin_of_base_url(speak: Speak, origin: str) -> None:
    """With plain http it could be read on the way, and another port may be another server."""
    with pytest.raises(ConfigurationError, match="no auth endpoint of base_url"):
        speak(base_url=None).fetch_token(f"{origin}/api/v1/auth/token")


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_refresh_token_goes_to_base_url_whatever_the_argument_is(
    speak: Speak, site: Emulator, origin: str
) -> None:
    speaker = speak()
    speaker.fetch_token()
    speaker.refresh_token(f"{origin}/api/v1/auth/refresh")

    assert paths(site) == ["/auth/token", "/auth/refresh"]


@pytest.mark.parametrize("origin", [*FOREIGN, "https://evil.example\\@public-api.monta.com"])
def test_the_token_only_goes_to_the_origin_of_base_url(speak: Speak, origin: str) -> None:
    speaker = speak(base_url=None, token={"access_token": "a", "expires_at": 9e9})
    url, headers, _ = speaker.client.token_auth.prepare(f"{origin}/api/v1/charges", {}, b"")
    assert (url, headers) == (f"{origin}/api/v1/charges", {})


def test_no_proxy_of_the_environment_gets_plain_http_for_this_machine(
    speak: Speak, site: Emulator, foreign: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{foreign.port}")
    for call, path in [
        ("fetch_token", ""),
        ("refresh_token", "/auth/refresh"),
        ("get", "/charges"),
    ]:
        speaker = speak(token={"access_token": "a", "refresh_token": "r", "expires_at": 9e9})
        with pytest.raises(ConfigurationError, match=r"NO_PROXY=localhost,127\.0\.0\.1"):
            getattr(speaker, call)(*[site.base_url + path] * bool(path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    speak().fetch_token()

    assert (paths(site), foreign.calls) == (["/auth/token"], ())


@pytest.mark.parametrize("placement", ["uri", "body"])
def test_a_token_only_goes_into_the_header(speak: Speak, placement: str) -> None:
    """In a URL or a body, each host that the client talks to would get the token."""
    with pytest.raises(ConfigurationError, match="token_placement"):
        speak(token_placement=placement)


@pytest.mark.parametrize("secret", ["", lambda: "secret"], ids=["none", "callable"])
def test_without_a_secret_the_error_comes_before_any_call(
    speak: Speak, site: Emulator, secret: Any
) -> None:
    speaker = speak(client_secret=secret)
    if not secret:
        speaker.client.client_id = speaker.client.client_secret = None
    with pytest.raises(ConfigurationError, match="no credentials"):
        speaker.fetch_token()

    assert site.calls == ()


def test_a_second_call_for_the_same_client_is_an_error(speak: Speak) -> None:
    with pytest.raises(ConfigurationError, match="speaks Monta already"):
        speak_monta(speak().client)


@pytest.mark.parametrize("other", [requests.Session(), object()], ids=["Session", "object"])
def test_an_object_that_is_not_a_client_of_authlib_is_refused(other: object) -> None:
    with pytest.raises(ConfigurationError, match="a client of Authlib"):
        speak_monta(other)


def test_the_base_url_is_checked() -> None:
    with OAuth2Session("client-id", "client-secret") as session:
        with pytest.raises(ConfigurationError, match="https"):
            speak_monta(session, "http://public-api.monta.com/api/v1")
        assert session.token_endpoint_auth_method != "monta"
