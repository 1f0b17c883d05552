"""Plain http to this machine stays on it: no proxy of the environment gets it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
from aiohttp.helpers import get_env_proxy_for_url
from yarl import URL

import aiohttp_monta
import httpx2_monta
import httpx_monta
import requests_monta
from monta_auth import ConfigurationError, TokenSet
from monta_auth._adapters.proxies import client_carries_away, session_carries_away
from monta_auth._core.proxies import environment_carries, environment_proxy

from .contract import Harness
from .site import Host, Monta

REFUSED = "a proxy of the environment would carry requests to {}, .*NO_PROXY=localhost,127.0.0.1"


@pytest.fixture
def proxy(foreign: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    """The proxy of the environment. It must not receive anything."""
    monkeypatch.setenv("HTTP_PROXY", foreign.origin)
    return foreign


def refused(monta: Monta) -> Any:
    return pytest.raises(ConfigurationError, match=REFUSED.format(f"http://127.0.0.1:{monta.port}"))


def test_a_request_through_a_proxy_of_the_environment_is_refused(
    h: Harness, monta: Monta, proxy: Host
) -> None:
    client = h.open(h.auth(monta), trust_env=True)
    for _ in range(2):
        with refused(monta):
            client.get(monta.url("/charge-points"))
    assert proxy.seen == monta.seen == []


@pytest.mark.parametrize("no_proxy", ["*", "localhost,127.0.0.1", "x.example, 127.0.0.1"])
def test_the_no_proxy_variable_allows_plain_http_to_this_machine(
    h: Harness, monta: Monta, proxy: Host, monkeypatch: pytest.MonkeyPatch, no_proxy: str
) -> None:
    monkeypatch.setenv("NO_PROXY", no_proxy)
    client = h.open(h.auth(monta), trust_env=True)
    assert client.get(monta.url("/charge-points")).status_code == 200
    assert proxy.seen == []


def test_calls_without_a_client_use_no_proxy(h: Harness, monta: Monta, proxy: Host) -> None:
    auth = h.auth(monta, **{h.caller: None})
    assert h.token(auth).access_token
    assert h.application(auth).client_id == monta.client_id
    assert proxy.seen == []


def test_the_proxy_of_the_client_for_token_is_checked(
    h: Harness, monta: Monta, proxy: Host
) -> None:
    by, other = (h.open(trust_env=trust_env).raw for trust_env in (True, False))
    with refused(monta):
        h.application(h.auth(monta), by)
    with refused(monta):
        # With requests, token() accepts no session.
        if h.library is requests:
            h.token(h.auth(monta, session=by))
        else:
            h.token(h.auth(monta), by)
    assert proxy.seen == monta.seen == []
    auth = h.auth(monta, **{h.caller: None})
    assert h.application(auth, other).client_id == monta.client_id
    # The token call of this auth would be made by another session or client.
    if h.separate:
        auth.forget()
        with refused(monta):
            h.application(h.auth(monta, **{h.caller: by}), other)


def test_an_allowed_origin_of_plain_http_is_refused_too(
    h: Harness, monta: Monta, proxy: Host
) -> None:
    """The proxy could read the access token, though not the secret."""
    auth = h.auth(
        client_id="a",
        client_secret="client-secret",
        base_url="https://x.example",
        allowed_origins=["http://localhost:1"],
    )
    client = h.open(auth, trust_env=True)
    with pytest.raises(ConfigurationError, match="requests to http://localhost:1,"):
        client.get("http://localhost:1/")
    assert proxy.seen == []


def test_https_and_foreign_hosts_may_take_any_proxy(h: Harness, monta: Monta, proxy: Host) -> None:
    client = h.open(h.auth(monta), trust_env=True)
    assert client.get("http://files.example/").status_code == 200
    assert [seen.token for seen in proxy.seen] == [None]


# --- a proxy that the user set


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> TokenSet:
    """A token pair for requests through a proxy that is not set in the environment."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    return TokenSet("access-token", None, datetime.now(UTC) + timedelta(hours=1))


def test_a_proxy_of_the_session_is_the_users_decision(
    monta: Monta, foreign: Host, pair: TokenSet
) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"http": foreign.origin}
        auth = requests_monta.MontaAuth(base_url=monta.base_url, token=pair, session=session)
        assert session.get(monta.url("/charge-points"), auth=auth).content == b"foreign"


def test_a_session_prefers_the_proxy_of_the_environment_to_its_own(
    monta: Monta, foreign: Host, pair: TokenSet
) -> None:
    with requests.Session() as session:
        session.proxies = {"http": foreign.origin}
        auth = requests_monta.MontaAuth(base_url=monta.base_url, token=pair, session=session)
        with refused(monta):
            session.get(monta.url("/charge-points"), auth=auth)
        # But it does not prefer it to a session's proxy for exactly this host.
        session.proxies = {"http://127.0.0.1": foreign.origin}
        assert session.get(monta.url("/charge-points"), auth=auth).content == b"foreign"


@pytest.mark.parametrize(
    ("library", "adapter"), [(httpx, httpx_monta), (httpx2, httpx2_monta)], ids=["httpx", "httpx2"]
)
@pytest.mark.parametrize("way", ["proxy", "mounts", "transport"])
def test_a_proxy_of_the_client_is_the_users_decision(
    library: Any, adapter: Any, way: str, monta: Monta, foreign: Host, pair: TokenSet
) -> None:
    if way == "proxy":
        client = library.Client(proxy=foreign.origin)
    else:
        transport = library.HTTPTransport(proxy=foreign.origin)
        mounts = {"http://127.0.0.1": transport}
        client = library.Client(**{way: mounts if way == "mounts" else transport})
    with client:
        auth = adapter.MontaAuth(base_url=monta.base_url, token=pair, client=client)
        assert client.get(monta.url("/charge-points"), auth=auth).content == b"foreign"


WHERE = ["session", "request"]


@pytest.mark.parametrize("way", WHERE)
def test_a_proxy_of_aiohttp_is_the_users_decision(
    way: str, monta: Monta, foreign: Host, pair: TokenSet
) -> None:
    auth = aiohttp_monta.MontaAuth(base_url=monta.base_url, token=pair)
    of_session, of_request = (foreign.origin if way == where else None for where in WHERE)

    async def main() -> bytes:
        session = aiohttp.ClientSession(middlewares=(auth,), trust_env=True, proxy=of_session)
        url = monta.url("/charge-points")
        async with session, session.get(url, proxy=of_request) as response:
            return await response.read()

    assert asyncio.run(main()) == b"foreign"


@pytest.mark.parametrize("adapter", [httpx_monta, httpx2_monta, requests_monta])
def test_the_error_names_the_argument_that_turns_the_check_off(
    adapter: Any, monta: Monta, pair: TokenSet
) -> None:
    """Without ``client=`` or ``session=``, only the environment can be checked."""
    library = {httpx_monta: httpx, httpx2_monta: httpx2, requests_monta: requests}[adapter]
    argument = "session" if adapter is requests_monta else "client"
    auth = adapter.MontaAuth(base_url=monta.base_url, token=pair)
    with pytest.raises(ConfigurationError, match=rf"MontaAuth\({argument}=.*turns this check off"):
        library.get(monta.url("/charge-points"), auth=auth)


# --- how the environment is read


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, None),
        ({"HTTP_PROXY": "http://proxy.example:3128"}, ("proxy.example", 3128)),
        ({"http_proxy": "user:word@Proxy.example:3128"}, ("proxy.example", 3128)),
        ({"HTTP_PROXY": "https://proxy.example"}, ("proxy.example", 443)),
        ({"ALL_PROXY": "proxy.example"}, ("proxy.example", 80)),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, None),
        ({"HTTP_PROXY": "http://proxy.example:3128 "}, ("proxy.example", 3128)),
        ({"HTTP_PROXY": "http://proxy.example:port"}, ("proxy.example", None)),
    ],
)
def test_the_proxy_of_the_environment(
    variables: dict[str, str], address: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert environment_proxy() == address


NAMES = ["", "*", "localhost", "LOCALHOST", ".localhost", "127.0.0.1", "127.0.0.0/8", "::1"]
LISTS = ["localhost:80", "0.0.1", "host", "x.example, localhost", "localhost,*"]


@pytest.mark.parametrize("no_proxy", NAMES + LISTS)
@pytest.mark.parametrize("url", ["http://localhost", "http://127.0.0.1", "http://[::1]"])
def test_each_library_also_exempts_what_no_proxy_exempts_for_us(
    url: str, no_proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    if environment_carries(url):
        return
    with requests.Session() as session, httpx.Client() as client, httpx2.Client() as client2:
        assert not session_carries_away(session, url)
        assert not client_carries_away(client, url)
        assert not client_carries_away(client2, url)
    with pytest.raises(LookupError):
        get_env_proxy_for_url(URL(url))
