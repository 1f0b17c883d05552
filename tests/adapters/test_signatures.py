"""What an editor shows of each `MontaAuth`: every argument, its default and its type."""

from __future__ import annotations

import asyncio
import inspect
import pydoc
from typing import Any, get_type_hints

import aiohttp
import pytest

import aiohttp_monta
import httpx2_monta
import httpx_monta
import requests_monta
from monta_auth import AnyMontaAuth, MontaAuthSettings
from monta_auth._adapters.auth import BaseAuth

from .site import Monta

SHARED = {
    "client_id": None,
    "client_secret": None,
    "base_url": None,
    "allowed_origins": (),
    "token": None,
    "store": None,
    "on_token": None,
    "policy": None,
    "source": None,
}
EACH = [
    pytest.param(requests_monta.MontaAuth, {"session": None, "timeout": 10.0}, id="requests"),
    pytest.param(httpx_monta.MontaAuth, {"client": None}, id="httpx"),
    pytest.param(httpx2_monta.MontaAuth, {"client": None}, id="httpx2"),
    pytest.param(aiohttp_monta.MontaAuth, {"session": None}, id="aiohttp"),
]


@pytest.mark.parametrize(("auth", "own"), EACH)
def test_each_argument_is_spelled_out(auth: Any, own: dict[str, Any]) -> None:
    parameters = inspect.signature(auth).parameters.values()
    assert [(p.name, p.default) for p in parameters] == [*(SHARED | own).items()]
    assert [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY] == [*SHARED][:2]
    assert all(p.annotation is not p.empty for p in parameters)


@pytest.mark.parametrize(("auth", "own"), EACH)
def test_the_shared_arguments_have_the_types_of_the_settings(auth: Any, own: object) -> None:
    types = get_type_hints(MontaAuthSettings)
    assert [*types] == [*SHARED]
    for each in (auth, BaseAuth):
        given = get_type_hints(each.__init__)
        assert {name: given[name] for name in SHARED} == types


@pytest.mark.parametrize(("auth", "own"), EACH)
def test_a_wrong_argument_raises_pythons_own_error(auth: Any, own: object) -> None:
    with pytest.raises(TypeError, match=r"^MontaAuth\.__init__\(\) got an unexpected .+ 'nope'"):
        auth("client-id", "client-secret", nope=1)
    with pytest.raises(TypeError, match="positional"):
        auth("client-id", "client-secret", "https://public-api.monta.com/api/v1")


@pytest.mark.parametrize(("auth", "own"), EACH)
def test_allowed_origins_may_be_none(auth: Any, own: object) -> None:
    assert auth("client-id", "client-secret", allowed_origins=None).status().fetches == 0


VERBS = {"application", "base_url", "bearer_token", "forget", "invalidate", "status", "token"}
ASYNC_VERBS = {"aapplication", "abearer_token", "aforget", "ainvalidate", "atoken"}


@pytest.mark.parametrize(("auth", "own"), EACH)
def test_each_library_offers_the_same_methods(auth: Any, own: object) -> None:
    is_sync_only = auth is requests_monta.MontaAuth
    flows = {"auth_flow", "sync_auth_flow", "async_auth_flow"}
    flags = {"requires_request_body", "requires_response_body"}
    offered = {name for name in dir(auth) if not name.startswith("_")} - flows - flags
    assert offered == (VERBS if is_sync_only else VERBS | ASYNC_VERBS)
    assert isinstance(auth("client-id", "client-secret"), AnyMontaAuth)


@pytest.mark.parametrize(("auth", "own"), EACH)
def test_help_explains_each_method_and_argument(auth: Any, own: dict[str, Any]) -> None:
    text = pydoc.plain(pydoc.render_doc(auth))
    for name in (*SHARED, *own):
        assert f" |      {name}: " in text
    for name in VERBS if auth is requests_monta.MontaAuth else VERBS | ASYNC_VERBS:
        first, _, _ = (inspect.getdoc(getattr(auth, name)) or "").partition("\n")
        assert first.endswith(".")
        assert f" |      {first}\n" in text


def test_the_async_names_of_aiohttp_do_what_the_others_do(monta: Monta) -> None:
    async def main() -> None:
        auth = aiohttp_monta.MontaAuth(source=monta.source())
        async with aiohttp.ClientSession() as session:
            pair = await auth.atoken(session)
            assert await auth.abearer_token() == pair.access_token
            assert await auth.aapplication(session) == await auth.application(session)

    asyncio.run(main())
    assert monta.mints == 1
