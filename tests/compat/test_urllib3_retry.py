"""urllib3's Retry, mounted with an adapter: it repeats requests below the auth."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from monta_auth.emulator import Emulator, Fault

from .requests_library import auth_of
from .table import Combination
from .visits import PAGE, calls

COMBINATION = Combination(
    name="urllib3 ``Retry``",
    with_="requests",
    know="Leave 401 out of ``status_forcelist``, or set ``raise_on_status=False``: else a 401 "
    "is an error and is never retried. If it repeats POST, do not give that session as "
    "``session=``.",
    distribution="urllib3",
)


def mount(session: requests.Session, **settings: Any) -> None:
    adapter = HTTPAdapter(max_retries=Retry(2, backoff_factor=0, **settings))
    session.mount("http://", adapter)


def test_it_repeats_after_a_503_and_the_auth_retries_after_a_401(
    site: Emulator, session: requests.Session
) -> None:
    mount(session, status_forcelist=[503])
    session.auth = auth_of(site)
    site.inject(Fault(status=503), path=PAGE)
    assert session.get(site.base_url + PAGE).status_code == 200
    site.revoke_access_tokens()
    site.inject(Fault(status=503), path=PAGE)
    assert session.get(site.base_url + PAGE).status_code == 200
    assert calls(site) == [
        ("/auth/token", 200),
        (PAGE, 503),
        (PAGE, 200),
        (PAGE, 503),
        (PAGE, 401),
        ("/auth/refresh", 200),
        (PAGE, 200),
    ]


def test_with_401_in_its_list_the_auth_never_retries(
    site: Emulator, session: requests.Session
) -> None:
    """urllib3 raises and calls no hook of requests, so the auth does not learn of the 401."""
    mount(session, status_forcelist=[401, 503])
    session.auth = auth_of(site)
    session.get(site.base_url + PAGE)
    site.revoke_access_tokens()
    with pytest.raises(requests.exceptions.RetryError, match="too many 401 error responses"):
        session.get(site.base_url + PAGE)
    assert calls(site) == [("/auth/token", 200), (PAGE, 200), *[(PAGE, 401)] * 3]


def test_with_401_in_its_list_the_auth_retries_if_the_last_response_is_returned(
    site: Emulator, session: requests.Session
) -> None:
    """The tries before that were bound to fail."""
    mount(session, status_forcelist=[401, 503], raise_on_status=False)
    session.auth = auth_of(site)
    session.get(site.base_url + PAGE)
    site.revoke_access_tokens()
    assert session.get(site.base_url + PAGE).status_code == 200
    renewal = ("/auth/refresh", 200)
    assert calls(site)[2:] == [*[(PAGE, 401)] * 3, renewal, (PAGE, 200)]


def test_token_calls_of_that_session_are_only_repeated_by_the_auth(
    site: Emulator, session: requests.Session, slept: list[float]
) -> None:
    """By default, Retry does not repeat POST."""
    mount(session, status_forcelist=[503])
    session.auth = auth_of(site, session=session)
    site.inject(Fault(status=503))
    assert session.get(site.base_url + PAGE).status_code == 200
    assert calls(site) == [("/auth/token", 503), ("/auth/token", 200), (PAGE, 200)]
    assert len(slept) == 1


@pytest.mark.parametrize(
    "fault", [Fault(close=True, after=True), Fault(status=503, after=True)], ids=["lost", "503"]
)
def test_a_refresh_that_it_repeats_causes_a_mint(
    site: Emulator, session: requests.Session, fault: Fault
) -> None:
    """The first try spent the token, so the second is refused, and the credentials are used."""
    mount(session, status_forcelist=[503], allowed_methods=None)
    session.auth = auth_of(site, session=session)
    session.get(site.base_url + PAGE)
    session.auth.invalidate()
    site.inject(fault)
    assert session.get(site.base_url + PAGE).status_code == 200
    assert calls(site)[2:] == [
        ("/auth/refresh", fault.status),
        ("/auth/refresh", 401),
        ("/auth/token", 200),
        (PAGE, 200),
    ]
