"""requests-cache: a session with a cache, which stores pages but no tokens or token calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monta_auth.emulator import Emulator, Fault

from .requests_library import Secrets, auth_of
from .table import Combination
from .visits import PAGE, calls

requests_cache: Any = pytest.importorskip(
    "requests_cache", reason="requests-cache is not installed"
)

COMBINATION = Combination(
    name="requests-cache",
    with_="requests",
    know="A 401 is not stored, nor is a token. The token is no part of the key: one cache per "
    "account.",
)


@pytest.fixture
def secrets(site: Emulator) -> Secrets:
    return Secrets(site)


def cached(folder: Path, **settings: Any) -> Any:
    return requests_cache.CachedSession(str(folder / "pages"), backend="sqlite", **settings)


def stored(folder: Path) -> bytes:
    """Return everything on the disk."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


@pytest.mark.parametrize(
    ("of_session", "methods"),
    [
        pytest.param(False, ("GET", "HEAD"), id="defaults"),
        pytest.param(True, ("GET", "HEAD"), id="session="),
        pytest.param(False, ("GET", "HEAD", "POST"), id="POST cached"),
        pytest.param(True, ("GET", "HEAD", "POST"), id="POST cached, session="),
    ],
)
def test_pages_are_stored_and_nothing_secret(
    site: Emulator, secrets: Secrets, tmp_path: Path, of_session: bool, methods: tuple[str, ...]
) -> None:
    with cached(tmp_path, allowable_methods=methods) as session:
        settings = {"session": session} if of_session else {}
        session.auth = auth_of(site, on_token=secrets.note, **settings)
        for path in (PAGE, PAGE, "/charges"):
            assert session.get(site.base_url + path).status_code == 200
        site.revoke_access_tokens()
        assert session.get(site.base_url + "/charges").from_cache
        assert session.get(site.base_url + "/wallet-transactions").status_code == 200
        urls = {response.url for response in session.cache.responses.values()}
    assert urls == {site.base_url + p for p in (PAGE, "/charges", "/wallet-transactions")}
    assert calls(site) == [
        ("/auth/token", 200),
        (PAGE, 200),
        ("/charges", 200),
        ("/wallet-transactions", 401),
        ("/auth/refresh", 200),
        ("/wallet-transactions", 200),
    ]
    assert b"Copenhagen" in stored(tmp_path)
    assert secrets.pairs == 2
    assert secrets.found_in(stored(tmp_path)) == []


def test_a_renewal_does_not_empty_the_cache(site: Emulator, tmp_path: Path) -> None:
    """The token is not part of the key, but it is fetched anyway: the auth runs first."""
    with cached(tmp_path) as session:
        session.auth = auth_of(site)
        assert not session.get(site.base_url + PAGE).from_cache
        session.auth.invalidate()
        assert session.get(site.base_url + PAGE).from_cache
    assert calls(site) == [("/auth/token", 200), (PAGE, 200), ("/auth/refresh", 200)]


def test_a_401_is_returned_and_not_stored(site: Emulator, tmp_path: Path) -> None:
    with cached(tmp_path) as session:
        session.auth = auth_of(site)
        site.inject(Fault(status=401), times=2, path=PAGE)
        assert session.get(site.base_url + PAGE).status_code == 401
        assert session.get(site.base_url + PAGE).status_code == 200
    assert calls(site) == [
        ("/auth/token", 200),
        (PAGE, 401),
        ("/auth/refresh", 200),
        (PAGE, 401),
        (PAGE, 200),
    ]
