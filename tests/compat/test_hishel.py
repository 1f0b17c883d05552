"""hishel: a cache below the client. It stores no token calls, but it does store access tokens."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path
from typing import Any

import pytest

hishel: Any = pytest.importorskip("hishel", reason="hishel is not installed")

from starlette.requests import Request  # noqa: E402
from starlette.responses import JSONResponse  # noqa: E402
from starlette.routing import Route  # noqa: E402

from monta_auth.emulator import Emulator  # noqa: E402

from .httpx_libraries import Library  # noqa: E402
from .table import Combination  # noqa: E402
from .visits import calls  # noqa: E402

COMBINATION = Combination(
    name="hishel",
    with_="httpx, httpx2",
    know="Token calls are never stored, but the access token is, in each stored request: guard the "
    "storage. Without ``rfc=`` the URL alone is the key: one storage per account.",
)

LIBRARIES = [
    pytest.param(("httpx", "hishel.httpx"), id="httpx"),
    pytest.param(("httpx2", "hishel.httpx2"), id="httpx2"),
]


class Cached:
    """A library, and its clients that share a cache in a file."""

    def __init__(self, name: str, module: str, folder: Path) -> None:
        self.library = Library(name)
        self._module: Any = importlib.import_module(module)
        self._folder = folder

    def client(self, auth: Any, site: Emulator, **options: Any) -> Any:
        storage = hishel.SqliteStorage(database_path=self._folder / "cache.db")
        return self._module.CacheClient(
            auth=auth, base_url=site.base_url, storage=storage, **options
        )

    def async_client(self, auth: Any, site: Emulator, **options: Any) -> Any:
        storage = hishel.AsyncSqliteStorage(database_path=self._folder / "cache.db")
        return self._module.AsyncCacheClient(
            auth=auth, base_url=site.base_url, storage=storage, **options
        )

    @property
    def stored(self) -> bytes:
        """Return everything on the disk."""
        return b"".join(path.read_bytes() for path in self._folder.rglob("*.db*"))


@pytest.fixture(params=LIBRARIES)
def cached(request: pytest.FixtureRequest, tmp_path: Path) -> Cached:
    name, module = request.param
    return Cached(name, module, tmp_path)


def _is_cached(response: Any) -> tuple[int, bool]:
    return response.status_code, response.extensions["caching"]["from_cache"]


ONCE_EACH = [
    ("/auth/token", 200),
    ("/charge-points", 200),
    ("/charges", 401),
    ("/auth/refresh", 200),
    ("/charges", 200),
]


def test_an_answer_is_cached_and_a_401_is_not(cached: Cached, site: Emulator) -> None:
    """The page from the cache needs no call, although its token was refused meanwhile."""
    auth = cached.library.auth(site)
    with cached.client(auth, site) as client:
        first = client.get("/charge-points")
        site.revoke_access_tokens()
        again = client.get("/charge-points")
        replies = [first, again, client.get("/charges"), client.get("/charges")]
        secrets = [auth.token().refresh_token, site.client_secret]
        assert [_is_cached(r) for r in replies] == [(200, c) for c in (False, True, False, True)]
        assert calls(site) == ONCE_EACH
        assert auth.token().access_token.encode() in cached.stored  # in the request of /charges
        assert not any(secret.encode() in cached.stored for secret in secrets)


def test_an_async_answer_is_cached_and_a_401_is_not(cached: Cached, site: Emulator) -> None:
    pytest.importorskip("anysqlite", reason="hishel[async] is not installed")
    auth = cached.library.auth(site)

    async def main() -> list[Any]:
        async with cached.async_client(auth, site) as client:
            first = await client.get("/charge-points")
            site.revoke_access_tokens()
            again = await client.get("/charge-points")
            return [first, again, await client.get("/charges"), await client.get("/charges")]

    replies = asyncio.run(main())
    assert [_is_cached(r) for r in replies] == [(200, c) for c in (False, True, False, True)]
    assert calls(site) == ONCE_EACH
    secrets = [auth.token().refresh_token, site.client_secret]
    assert not any(secret.encode() in cached.stored for secret in secrets)


async def _tariff(request: Request) -> JSONResponse:
    control = f"{request.path_params['kind']}, max-age=60"
    return JSONResponse({"price": 1}, headers={"Cache-Control": control})


@pytest.mark.parametrize(
    ("shared", "asked"),
    [
        pytest.param(True, ["private", "private", "public"], id="shared, the default"),
        pytest.param(False, ["private", "public"], id="private"),
    ],
)
def test_with_rfc_rules_a_shared_cache_stores_only_public_responses(
    cached: Cached, site: Emulator, shared: bool, asked: list[str]
) -> None:
    """`rfc=True` caches almost nothing of an API with tokens. A private cache does."""
    site.routes = [Route("/tariffs/{kind}", _tariff)]
    auth = cached.library.auth(site)
    with cached.client(auth, site, rfc=hishel.CacheOptions(shared=shared)) as client:
        for kind in ("private", "private", "public", "public"):
            assert client.get(f"/tariffs/{kind}").json() == {"price": 1}
    assert calls(site) == [("/auth/token", 200)] + [(f"/tariffs/{kind}", 200) for kind in asked]


def test_accounts_that_share_a_storage_need_their_own_keys(cached: Cached, site: Emulator) -> None:
    site.credentials["other-id"] = "other-secret"
    other = cached.library.adapter.MontaAuth("other-id", "other-secret", base_url=site.base_url)
    with cached.client(cached.library.auth(site), site) as client:
        mine = client.get("/auth/me").json()
    with cached.client(other, site) as client:
        theirs = client.get("/auth/me").json()
        own = client.get("/auth/me", extensions={"caching": {"key": "other-id /auth/me"}}).json()
    assert (mine["clientId"], theirs["clientId"]) == (site.client_id, site.client_id)
    assert own["clientId"] == "other-id"
