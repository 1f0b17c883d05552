"""requests' specialties: hooks, sessions, netrc, adapters, pickles."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import responses
from requests.adapters import HTTPAdapter
from urllib3.exceptions import EmptyPoolError
from urllib3.util.retry import Retry

import monta_auth
from monta_auth.emulator import Fault
from requests_monta import PUBLIC_API, MontaAuth

from ..clock import Now
from .site import Host, Monta, Seen, echo, redirects, respond, says

GOOD = "/charge-points"


class Recorder(HTTPAdapter):
    """Records the settings of each request. Sends without any proxy or CA."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def send(self, request: Any, *args: Any, **settings: Any) -> Any:
        assert not args
        self.sent.append((request.url, settings))
        harmless = {"timeout": settings["timeout"], "stream": settings["stream"]}
        return super().send(request, **harmless)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def session(recorder: Recorder) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.mount("http://", recorder)
        yield session


def auth_of(monta: Monta, **settings: Any) -> MontaAuth:
    return MontaAuth(monta.client_id, monta.client_secret, base_url=monta.base_url, **settings)


def test_a_thousand_requests_cost_one_token_call(monta: Monta) -> None:
    class Local(HTTPAdapter):
        def send(self, request: Any, *args: Any, **settings: Any) -> Any:
            response = requests.Response()
            response.status_code, response.request, response.url = 200, request, request.url
            response.raw = io.BytesIO()
            return response

    with requests.Session() as session:
        session.mount(monta.url(GOOD), Local())
        session.auth = auth_of(monta)
        for _ in range(1001):
            assert session.get(monta.url(GOOD)).status_code == 200
    assert (monta.mints, monta.refreshes) == (1, 0)


# --- token calls


@pytest.mark.parametrize("of_session", [False, True], ids=["fresh session", "session="])
def test_token_calls_use_neither_netrc_nor_the_sessions_auth(
    monta: Monta, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, of_session: bool
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password guessed\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with requests.Session() as session:
        session.auth = ("someone", "guessed")
        session.headers["Authorization"] = "Basic xyz"
        auth = auth_of(monta, session=session if of_session else None)
        assert requests.get(monta.url(GOOD), auth=auth).status_code == 200
        assert session.auth == ("someone", "guessed")
    assert monta.asked("/api/v1/auth/token")[0].token is None
    assert (monta.asked("/api/v1" + GOOD)[0].token or "").startswith("Bearer ")


def test_a_session_may_make_the_token_calls_of_its_own_auth(monta: Monta) -> None:
    with requests.Session() as session:
        session.auth = auth_of(monta, session=session)
        assert session.get(monta.url(GOOD)).status_code == 200
        monta.emulator.revoke_access_tokens()
        assert session.get(monta.url(GOOD)).status_code == 200
    assert (monta.mints, monta.refreshes) == (1, 1)


@pytest.mark.parametrize(
    ("timeout", "sent"),
    [
        pytest.param({}, (3.0, 10.0), id="default"),
        pytest.param({"timeout": 2.5}, (2.5, 2.5), id="shorter"),
        pytest.param({"timeout": 99}, (3.0, 10.0), id="longer than the deadline"),
        pytest.param({"timeout": None}, (3.0, 10.0), id="none"),
        pytest.param({"timeout": (1, 99)}, (1, 10.0), id="pair"),
        pytest.param({"timeout": (None, 3)}, (3.0, 3), id="pair with none"),
    ],
)
def test_a_token_call_has_its_own_timeout(
    monta: Monta,
    session: requests.Session,
    recorder: Recorder,
    timeout: dict[str, Any],
    sent: object,
) -> None:
    auth = MontaAuth(source=monta.source(), session=session, **timeout)
    requests.get(monta.url(GOOD), auth=auth)
    limits = recorder.sent[0][1]["timeout"]
    assert (limits.connect_timeout, limits.read_timeout) == sent
    assert limits.total == 10.0


def test_token_calls_use_the_sessions_settings(
    monta: Monta,
    session: requests.Session,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # they would override the session
        monkeypatch.delenv(name, raising=False)
    session.verify = "/ca.pem"
    session.cert = "/cert.pem"
    session.proxies = {"http": "http://127.0.0.1:9"}
    requests.get(monta.url(GOOD), auth=auth_of(monta, session=session))
    settings = recorder.sent[0][1]
    assert (settings["verify"], settings["cert"]) == ("/ca.pem", "/cert.pem")
    assert settings["proxies"]["http"] == "http://127.0.0.1:9"


def test_a_session_that_retries_and_raises_for_the_status_may_make_token_calls(
    monta: Monta,
) -> None:
    with requests.Session() as session:
        retry = Retry(total=2, status_forcelist=[503], allowed_methods=None, backoff_factor=0)
        session.mount("http://", HTTPAdapter(max_retries=retry))
        session.hooks["response"].append(lambda r, **kw: r.raise_for_status())
        monta.emulator.inject(Fault(status=503), times=2)
        assert requests.get(monta.url(GOOD), auth=auth_of(monta, session=session)).ok
        assert monta.mints == 3
        auth = MontaAuth(monta.client_id, "wrong", base_url=monta.base_url, session=session)
        with pytest.raises(monta_auth.InvalidCredentialsError):
            requests.get(monta.url(GOOD), auth=auth)


def test_a_retry_on_401_in_the_transport_hides_the_401_from_us(monta: Monta) -> None:
    """A limit of requests: urllib3 handles the 401, so the token is not marked as refused."""
    with requests.Session() as session:
        retry = Retry(total=1, status_forcelist=[401], backoff_factor=0)
        session.mount("http://", HTTPAdapter(max_retries=retry))
        session.auth = auth_of(monta)
        session.get(monta.url(GOOD))
        monta.emulator.revoke_access_tokens()
        with pytest.raises(requests.exceptions.RetryError):
            session.get(monta.url(GOOD))
    assert monta.refreshes == 0


def test_an_unreachable_proxy_suggests_the_session_argument(
    monta: Monta, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    auth = MontaAuth(monta.client_id, monta.client_secret)
    with pytest.raises(requests.exceptions.ProxyError, match="session="):
        requests.get(PUBLIC_API + GOOD, auth=auth)
    with requests.Session() as session:
        session.trust_env = False
        auth = auth_of(monta, session=session)
        auth.forget()
        assert session.get(monta.url(GOOD), auth=auth).status_code == 200


def test_the_sessions_query_parameters_and_headers_do_not_disturb_token_calls(
    monta: Monta,
) -> None:
    with requests.Session() as session:
        session.params = {"page": "1"}
        session.headers["Content-Type"] = "text/plain"
        assert requests.get(monta.url(GOOD), auth=auth_of(monta, session=session)).ok


# --- the resent request


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("timeout", (1.5, 2.5), id="timeout"),
        pytest.param("verify", "/ca.pem", id="verify"),
        pytest.param("verify", False, id="no verify"),
        pytest.param("cert", ("/cert.pem", "/key.pem"), id="cert"),
        pytest.param("proxies", {"http": "http://127.0.0.1:9"}, id="proxies"),
        pytest.param("stream", True, id="stream"),
    ],
)
def test_the_callers_settings_apply_to_the_retry(
    monta: Monta, session: requests.Session, recorder: Recorder, name: str, value: Any
) -> None:
    session.auth = auth_of(monta)
    session.get(monta.url(GOOD))
    monta.emulator.revoke_access_tokens()
    recorder.sent.clear()
    response = session.get(monta.url(GOOD), **{name: value})
    response.close()
    assert response.status_code == 200
    (_, first), (_, again) = recorder.sent
    if name == "proxies":
        assert again[name]["http"] == value["http"]
    else:
        assert again[name] == value
    assert again == first


def test_a_cookie_of_the_401_goes_with_the_retry(monta: Monta) -> None:
    async def page(seen: Seen, send: Any) -> None:
        status = 200 if "cookie" in seen.headers else 401
        await respond(send, status, b"", {"set-cookie": "a=1"})

    url = monta.page("/cookie", page)
    assert requests.get(url, auth=auth_of(monta)).status_code == 200
    assert monta.asked("/api/v1/cookie")[1].headers["cookie"] == "a=1"


def test_a_response_hook_of_the_user_only_sees_the_final_response(monta: Monta) -> None:
    seen: list[int] = []
    with requests.Session() as session:
        session.auth = auth_of(monta)
        session.hooks["response"].append(lambda r, **kw: seen.append(r.status_code))
        session.hooks["response"].append(lambda r, **kw: r.raise_for_status())
        session.get(monta.url(GOOD))
        monta.emulator.revoke_access_tokens()
        assert session.get(monta.url(GOOD)).status_code == 200
    assert seen == [200, 200]


def test_the_history_shows_which_token_was_refused(monta: Monta) -> None:
    auth = auth_of(monta)
    old = auth.bearer_token()
    monta.emulator.revoke_access_tokens()
    response = requests.get(monta.url(GOOD), auth=auth)
    (refused,) = response.history
    assert refused.request.headers["Authorization"] == f"Bearer {old}"
    assert response.request.headers["Authorization"] == f"Bearer {auth.bearer_token()}"


def test_a_prepared_request_can_be_sent_repeatedly(monta: Monta) -> None:
    with requests.Session() as session:
        request = requests.Request("GET", monta.url(GOOD), auth=auth_of(monta))
        prepared = session.prepare_request(request)
        for revokes in (False, False, True, False, True):
            if revokes:
                monta.emulator.revoke_access_tokens()
            assert session.send(prepared).status_code == 200
    assert (monta.mints, monta.refreshes) == (1, 2)
    assert len(prepared.hooks["response"]) == 1


def test_a_401_of_a_copied_prepared_request_is_retried(monta: Monta) -> None:
    with requests.Session() as session:
        prepared = session.prepare_request(
            requests.Request("GET", monta.url(GOOD), auth=auth_of(monta))
        )
        twin = prepared.copy()
        monta.emulator.revoke_access_tokens()
        assert session.send(twin).status_code == 200
        assert session.send(prepared).status_code == 200
    assert (monta.mints, monta.refreshes) == (1, 1)


def test_a_request_that_is_authorized_twice_has_one_hook(monta: Monta) -> None:
    auth = auth_of(monta)
    prepared = requests.Request("GET", monta.url(GOOD)).prepare()
    assert len(auth(auth(prepared)).hooks["response"]) == 1


def test_a_hook_that_is_called_twice_for_one_401_renews_once(monta: Monta) -> None:
    """requests-cache calls the hooks of a request a second time."""
    with requests.Session() as session:
        session.auth = auth_of(monta)
        monta.emulator.inject(Fault(status=401), times=2, path=GOOD)
        response = session.get(monta.url(GOOD))
        assert response.status_code == 401
        (hook,) = response.request.hooks["response"]
        assert hook(response).status_code == 401
    assert monta.count(GOOD) == 2
    assert (monta.mints, monta.refreshes) == (1, 1)


@pytest.mark.parametrize("monitored", [False, True], ids=["encoder", "monitor"])
def test_a_toolbelt_encoder_is_a_one_shot_body(monta: Monta, monitored: bool) -> None:
    toolbelt = pytest.importorskip("requests_toolbelt")
    body = toolbelt.MultipartEncoder({"f": ("n", io.BytesIO(b"x" * 1000), "text/plain")})
    if monitored:
        body = toolbelt.MultipartEncoderMonitor(body)
    with requests.Session() as session:
        session.auth = auth_of(monta)
        session.get(monta.url(GOOD))
        url = monta.page("/upload", echo, guarded=True)
        monta.emulator.revoke_access_tokens()
        headers = {"Content-Type": body.content_type}
        assert session.post(url, data=body, headers=headers).status_code == 401
        assert len(monta.asked("/api/v1/upload")) == 1
        assert monta.refreshes == 0
        assert session.get(monta.url(GOOD)).status_code == 200
    assert monta.refreshes == 1


def test_a_prepared_request_has_a_new_budget_each_time_it_is_sent(
    monta: Monta, acquired: list[Any]
) -> None:
    """The header of a stored request gets old, so each sending may need a renewal."""
    source = monta.source()
    with requests.Session() as session:
        session.auth = MontaAuth(source=source)
        request = session.prepare_request(requests.Request("GET", monta.url(GOOD)))
        for _ in range(2):
            monta.emulator.revoke_access_tokens()
            assert session.send(request).status_code == 200
            monta.now.advance(1000)
    mint, first, second = (call.args[0] for call in acquired)
    assert mint is first
    assert second is not first


def test_a_file_is_rewound_for_a_redirect_after_a_retried_401(monta: Monta) -> None:
    content = io.BytesIO(b"0123456789")
    content.seek(4)
    url = monta.page("/from", redirects(307, monta.page("/to", echo, guarded=True)), guarded=True)
    with requests.Session() as session:
        session.auth = auth_of(monta)
        session.get(monta.url(GOOD))
        monta.emulator.revoke_access_tokens()
        assert session.post(url, data=content).content == b"456789"


# --- copies and pickles


@pytest.mark.parametrize("own", [False, True], ids=["fresh session", "session="])
def test_a_session_with_the_auth_pickles(monta: Monta, own: bool) -> None:
    with requests.Session() as session, requests.Session() as caller:
        session.auth = auth_of(monta, session=caller if own else None)
        session.get(monta.url(GOOD))
        with pickle.loads(pickle.dumps(session)) as again:
            assert again.get(monta.url(GOOD)).status_code == 200
    assert monta.mints == 1


def test_a_session_whose_auth_refers_to_it_can_be_pickled(monta: Monta) -> None:
    with requests.Session() as session:
        session.auth = auth_of(monta, session=session)
        session.get(monta.url(GOOD))
        with pickle.loads(pickle.dumps(session)) as again:
            assert again.get(monta.url(GOOD)).status_code == 200


def test_a_deep_copy_of_a_session_shares_the_token(monta: Monta) -> None:
    with requests.Session() as session:
        session.auth = auth_of(monta)
        session.get(monta.url(GOOD))
        with copy.deepcopy(session) as twin:
            assert twin.get(monta.url(GOOD)).status_code == 200
    assert monta.mints == 1


def test_a_prepared_request_pickles_without_secret_and_token(monta: Monta) -> None:
    prepared = requests.Request("GET", monta.url(GOOD), auth=auth_of(monta)).prepare()
    pickled = pickle.dumps(prepared)
    assert not any(secret.encode() in pickled for secret in monta.secrets)
    (hook,) = pickle.loads(pickled).hooks["response"]
    response = requests.Response()
    response.status_code = 401
    assert hook(response) is None


# --- as users test


@responses.activate
def test_with_responses_as_users_use_it(now: Now) -> None:
    base = "https://public-api.monta.com/api/v1"
    pair = {
        "accessToken": "a1",
        "refreshToken": "r1",
        "accessTokenExpirationDate": "2025-08-06T10:20:37Z",
        "refreshTokenExpirationDate": "2025-09-06T10:20:37Z",
    }
    token = responses.post(base + "/auth/token", json=pair)
    refresh = responses.post(base + "/auth/refresh", json={**pair, "accessToken": "a2"})
    responses.get(base + GOOD, json={"data": []})
    responses.get(base + "/charges", status=401)
    responses.get(base + "/charges", json={"data": [1]})
    auth = MontaAuth("client-id", "client-secret")
    assert requests.get(base + GOOD, auth=auth).json() == {"data": []}
    assert responses.calls[1].request.headers["Authorization"] == "Bearer a1"
    assert requests.get(base + "/charges", auth=auth).json() == {"data": [1]}
    assert responses.calls[-1].request.headers["Authorization"] == "Bearer a2"
    assert (token.call_count, refresh.call_count) == (1, 1)


def test_the_module_function_of_the_readme_works(monta: Monta) -> None:
    for _ in range(12):
        assert requests.get(monta.url(GOOD), auth=auth_of(monta)).status_code == 200
    assert monta.mints == 1


def test_an_error_can_be_caught_as_ours_or_as_one_of_requests(monta: Monta) -> None:
    auth = MontaAuth(monta.client_id, "wrong", base_url=monta.base_url)
    for family in (requests.RequestException, monta_auth.MontaAuthError, IOError):
        with pytest.raises(family):
            requests.get(monta.url(GOOD), auth=auth)
    assert monta.mints == 1


def test_a_session_of_another_kind_is_refused_at_once() -> None:
    """It would only fail at the first token call, perhaps at night."""
    with pytest.raises(monta_auth.ConfigurationError, match="session="):
        MontaAuth("id", "secret", session="https://proxy.example")  # type: ignore[arg-type]


def test_a_full_or_closed_pool_is_the_callers_own_failure(monta: Monta) -> None:
    """Adapters that limit how long a request waits for a connection raise this error."""

    class Full(HTTPAdapter):
        def send(self, *args: Any, **kwargs: Any) -> requests.Response:
            raise requests.ConnectionError(EmptyPoolError(None, "Pool is full"))  # type: ignore[arg-type]

    session = requests.Session()
    session.mount("http://", Full())
    source = monta.source()
    auth = MontaAuth(source=source, session=session)
    for _ in range(2):  # the failure of the first request was not remembered for the second
        with pytest.raises(requests.ConnectionError, match="full"):
            auth.token()
    assert MontaAuth(source=source).token().access_token
    assert source.status().failures == 0


def test_responses_that_an_adapter_already_read_are_used_unchanged(monta: Monta) -> None:
    """Recorders and caching adapters return such responses."""

    class Reads(HTTPAdapter):
        def send(self, *args: Any, **kwargs: Any) -> requests.Response:
            response = super().send(*args, **kwargs)
            assert response.content
            return response

    session = requests.Session()
    session.mount("http://", Reads())
    session.auth = MontaAuth(source=monta.source(), session=session)
    session.get(monta.url(GOOD))
    monta.emulator.revoke_access_tokens()
    answer = session.get(monta.url(GOOD))
    assert (answer.status_code, answer.history[0].json()["status"]) == (200, "UNAUTHORIZED")


def test_if_a_session_follows_a_redirect_anyway_its_token_pair_is_not_used(
    monta: Monta, foreign: Host
) -> None:
    class Following(requests.Session):
        def send(self, *args: Any, **settings: Any) -> requests.Response:
            return super().send(*args, **{**settings, "allow_redirects": True})

    foreign.pages["/auth/token"] = says(200, b'{"accessToken": "a-foreign-token"}')
    headers = {"location": foreign.origin + "/auth/token"}
    monta.emulator.inject(Fault(status=303, headers=headers), times=5)
    with Following() as session:
        auth = MontaAuth(source=monta.source(), session=session)
        with pytest.raises(monta_auth.TokenEndpointError, match="redirects"):
            auth.token()
