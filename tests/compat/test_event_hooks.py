"""Event hooks: they see each step of a request before the auth does, and also the token calls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from monta_auth.emulator import Emulator, Fault

from .httpx_libraries import PAGES, Library, avisit, visit
from .table import Combination
from .visits import PAGE, VISIT, calls

COMBINATION = Combination(
    name="event hooks",
    with_="httpx, httpx2",
    know="A hook that calls ``raise_for_status()`` must leave out a 401, or it raises before the "
    "token is replaced. Hooks see the token calls, secrets included, without ``client=``.",
    distribution="httpx",
)


def _raise_for_status(response: Any) -> None:
    response.raise_for_status()


def _raise_but_for_a_401(response: Any) -> None:
    if response.status_code != 401:
        response.raise_for_status()


async def _raise_but_for_a_401_async(response: Any) -> None:
    _raise_but_for_a_401(response)


def test_if_a_hook_raises_for_a_401_only_that_request_fails(
    library: Library, site: Emulator
) -> None:
    """The next request has a new token."""
    hooks = {"response": [_raise_for_status]}
    auth = library.auth(site)
    with library.module.Client(auth=auth, event_hooks=hooks, base_url=site.base_url) as client:
        client.get(PAGE)
        site.revoke_access_tokens()
        with pytest.raises(library.module.HTTPStatusError, match="401"):
            client.get(PAGE)
        assert client.get(PAGE).status_code == 200
    assert calls(site) == [VISIT[0], VISIT[1], *VISIT[4:]]


def test_if_a_hook_ignores_a_401_no_request_fails(library: Library, site: Emulator) -> None:
    hooks = {"response": [_raise_but_for_a_401]}
    auth = library.auth(site)
    with library.module.Client(auth=auth, event_hooks=hooks, base_url=site.base_url) as client:
        visit(site, client, auth)
        assert calls(site) == VISIT
        site.inject(Fault(status=500), path=PAGE)
        with pytest.raises(library.module.HTTPStatusError, match="500"):
            client.get(PAGE)


def test_if_an_async_hook_ignores_a_401_no_request_fails(library: Library, site: Emulator) -> None:
    hooks = {"response": [_raise_but_for_a_401_async]}
    auth = library.auth(site)

    async def main() -> None:
        async with library.module.AsyncClient(
            auth=auth, event_hooks=hooks, base_url=site.base_url
        ) as client:
            await avisit(site, client, auth)
            site.inject(Fault(status=500), path=PAGE)
            with pytest.raises(library.module.HTTPStatusError, match="500"):
                await client.get(PAGE)

    asyncio.run(main())
    assert calls(site) == [*VISIT, (PAGE, 500)]


def test_the_caller_raises_for_a_401_that_remains(library: Library, site: Emulator) -> None:
    """The second 401 is returned; this hook raises for it."""
    hooks = {"response": [_raise_but_for_a_401]}
    auth = library.auth(site)
    with library.module.Client(auth=auth, event_hooks=hooks, base_url=site.base_url) as client:
        client.get(PAGE)
        site.inject(Fault(status=401), times=2, path=PAGE)
        with pytest.raises(library.module.HTTPStatusError, match="401"):
            client.get(PAGE).raise_for_status()
    assert calls(site) == [VISIT[0], VISIT[1], (PAGE, 401), VISIT[2], (PAGE, 401)]


class Log:
    """Hooks that record what a log would show: headers and bodies in both directions."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.text = ""

    def request(self, request: Any) -> None:
        self.paths.append(request.url.path.removeprefix("/api/v1"))
        self.text += f"{request.headers} {request.read().decode()}"

    def response(self, response: Any) -> None:
        self.text += f"{response.headers} {response.read()!r}"

    async def arequest(self, request: Any) -> None:
        self.request(request)

    async def aresponse(self, response: Any) -> None:
        self.text += f"{response.headers} {await response.aread()!r}"


def _secrets_in(text: str, site: Emulator, auth: Any) -> list[bool]:
    pair = auth.token()
    return [s in text for s in (site.client_secret, pair.refresh_token, pair.access_token)]


def test_hooks_that_log_bodies_log_secrets(library: Library, site: Emulator) -> None:
    log, auth = Log(), library.auth(site)
    hooks = {"request": [log.request], "response": [log.response]}
    with library.module.Client(auth=auth, event_hooks=hooks, base_url=site.base_url) as client:
        visit(site, client, auth)
    assert log.paths == [path for path, _ in VISIT]
    assert _secrets_in(log.text, site, auth) == [True, True, True]


def test_a_separate_client_keeps_token_calls_out_of_the_log(
    library: Library, site: Emulator
) -> None:
    """Only the header of the request is left, and httpx itself hides that one."""
    log = Log()
    hooks = {"request": [log.request], "response": [log.response]}
    with library.module.Client() as caller:
        auth = library.auth(site, client=caller)
        with library.module.Client(auth=auth, event_hooks=hooks, base_url=site.base_url) as client:
            visit(site, client, auth)
    assert log.paths == PAGES
    assert _secrets_in(log.text, site, auth) == [False, False, False]


def test_a_separate_async_client_keeps_token_calls_out_of_the_log(
    library: Library, site: Emulator
) -> None:
    log = Log()
    hooks = {"request": [log.arequest], "response": [log.aresponse]}

    async def main() -> list[bool]:
        async with library.module.AsyncClient() as caller:
            auth = library.auth(site, client=caller)
            async with library.module.AsyncClient(
                auth=auth, event_hooks=hooks, base_url=site.base_url
            ) as client:
                await avisit(site, client, auth)
            pair = await auth.atoken()
        secrets = (site.client_secret, pair.refresh_token, pair.access_token)
        return [secret in log.text for secret in secrets]

    assert asyncio.run(main()) == [False, False, False]
    assert log.paths == PAGES
    assert calls(site) == VISIT
