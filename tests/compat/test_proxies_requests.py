"""Proxies and adapters of a session: with ``session=``, token calls use them, too."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from requests.adapters import HTTPAdapter

from monta_auth.emulator import Emulator

from .proxy import Proxy
from .requests_library import auth_of, visit
from .table import Combination
from .visits import PAGE, VISIT, calls

COMBINATION = Combination(
    name="Proxies and adapters",
    with_="requests",
    know="With ``session=`` token calls take those of the session. Without it they have a "
    "fresh session, which knows the environment only.",
    distribution="requests",
)


def test_all_calls_go_through_the_proxy_of_the_session(
    site: Emulator, proxy: Proxy, session: requests.Session
) -> None:
    session.proxies = {"http": proxy.url}
    visit(site, session, auth_of(site, session=session))
    assert calls(site) == VISIT
    assert proxy.forwarded == [path for path, _ in VISIT]


def test_without_session_token_calls_do_not_use_the_sessions_proxy(
    site: Emulator, proxy: Proxy, session: requests.Session
) -> None:
    session.proxies = {"http": proxy.url}
    visit(site, session, auth_of(site))
    assert calls(site) == VISIT
    assert proxy.forwarded == [PAGE] * 4


class Noting(HTTPAdapter):
    """A user's adapter, such as one with a client certificate."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **settings: Any) -> Any:
        self.paths.append(urlsplit(request.url or "").path.removeprefix("/api/v1"))
        return super().send(request, *args, **settings)


@pytest.mark.parametrize("of_session", [True, False], ids=["session=", "fresh session"])
def test_token_calls_go_through_the_adapter_of_that_session(
    site: Emulator, session: requests.Session, of_session: bool
) -> None:
    adapter = Noting()
    session.mount(site.base_url, adapter)
    visit(site, session, auth_of(site, **({"session": session} if of_session else {})))
    assert calls(site) == VISIT
    assert adapter.paths == [path for path, _ in VISIT if of_session or path == PAGE]
