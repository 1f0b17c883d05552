"""SDKs from openapi-generator: with `speak_monta`, and the async ones without it."""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from io import StringIO
from types import ModuleType
from typing import Any

import httpx
import pytest

import aiohttp_monta
import httpx_monta
import requests_monta
from monta_auth import ConfigurationError
from monta_auth.emulator import Emulator, Fault
from monta_auth.openapi_generator import speak_monta

from ..adapters.site import Host, Monta, echo
from ..clock import Now
from ..compat.visits import calls
from . import test_openapi_generator_unit as stand_in
from .retried import RETRIED

# The generator may take longer than a test usually may.
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(params=["monta_api", "monta_api_plain"])
def sdk(request: pytest.FixtureRequest) -> ModuleType:
    """An SDK from a description with a security scheme, and one without it."""
    module: ModuleType = request.getfixturevalue(request.param)
    return module


@pytest.fixture
def auth(site: Emulator) -> requests_monta.MontaAuth:
    return requests_monta.MontaAuth(site.client_id, site.client_secret, base_url=site.base_url)


@pytest.fixture
def make() -> Iterator[Callable[..., Any]]:
    """Return a function that makes an API client of an SDK with `speak_monta`."""
    made: list[Any] = []

    def make(sdk: ModuleType, host: str, auth: requests_monta.MontaAuth) -> Any:
        made.append(speak_monta(sdk.ApiClient(sdk.Configuration(host=host)), auth))
        return made[-1]

    yield make
    for api_client in made:
        api_client.rest_client.pool_manager.clear()


@pytest.fixture
def client(
    sdk: ModuleType, site: Emulator, auth: requests_monta.MontaAuth, make: Callable[..., Any]
) -> Any:
    return make(sdk, site.base_url, auth)


@pytest.fixture
def charge_points(sdk: ModuleType, client: Any) -> Any:
    return sdk.ChargePointsApi(client)


def test_a_refused_token_is_renewed(charge_points: Any, site: Emulator) -> None:
    assert charge_points.get_charge_points().meta.total_item_count == 24
    site.revoke_access_tokens()
    assert charge_points.get_charge_points(page=1).data[0].id == 114

    assert calls(site) == RETRIED


def test_an_old_token_is_renewed(
    charge_points: Any, auth: requests_monta.MontaAuth, site: Emulator
) -> None:
    charge_points.get_charge_points()
    auth.invalidate()
    charge_points.get_charge_points()

    assert calls(site) == [call for call in RETRIED if call[1] == 200]


def test_a_refused_post_is_retried_with_its_whole_body(
    sdk: ModuleType, client: Any, charge_points: Any, site: Emulator
) -> None:
    charge_points.get_charge_points()
    site.revoke_access_tokens()
    body = sdk.StartCharge(chargePointId=101)
    charge = sdk.ChargesApi(client).start_charge(body)

    assert (charge.charge_point_id, charge.state) == (101, "starting")
    assert site.count("/charges") == 2


def test_a_refused_form_is_retried_with_its_whole_body(
    sdk: ModuleType, make: Callable[..., Any]
) -> None:
    with Monta(Now()) as monta:
        monta.page("/echo", echo, guarded=True)
        auth = requests_monta.MontaAuth(source=monta.source())
        client = make(sdk, monta.base_url, auth)
        auth.token()
        monta.emulator.revoke_access_tokens()
        form = client.files_parameters({"file": ("name.txt", b"content")})
        headers = {"Content-Type": "multipart/form-data"}
        reply = client.call_api("POST", monta.url("/echo"), headers, post_params=form)
        assert (reply.status, b"\r\n\r\ncontent\r\n" in reply.read()) == (200, True)

        first, second = monta.asked("/api/v1/echo")
        assert len(first.body) == len(second.body) > 0


def test_a_response_that_is_not_preloaded_is_complete(charge_points: Any, site: Emulator) -> None:
    charge_points.get_charge_points()
    site.revoke_access_tokens()
    response = charge_points.get_charge_points_without_preload_content()

    assert (response.status, response.json()["meta"]["totalItemCount"]) == (200, 24)


def test_many_threads_make_one_token_call(charge_points: Any, site: Emulator) -> None:
    with ThreadPoolExecutor(8) as pool:
        pages = [pool.submit(charge_points.get_charge_points) for _ in range(32)]
    assert {page.result().meta.total_item_count for page in pages} == {24}

    assert (site.count("/charge-points"), site.count("/auth/token")) == (32, 1)


def test_wrong_credentials_raise_an_error_of_the_auth(
    sdk: ModuleType, site: Emulator, make: Callable[..., Any]
) -> None:
    auth = requests_monta.MontaAuth(site.client_id, "wrong", base_url=site.base_url)
    client = make(sdk, site.base_url, auth)

    with pytest.raises(requests_monta.InvalidCredentialsError):
        sdk.ChargePointsApi(client).get_charge_points()
    assert site.count("/charge-points") == 0


def test_a_second_401_raises_the_sdks_error(
    sdk: ModuleType, charge_points: Any, site: Emulator
) -> None:
    """Users of the SDK already catch it."""
    site.inject(Fault(status=401), times=2, path="/charge-points")
    with pytest.raises(sdk.ApiException) as caught:
        charge_points.get_charge_points()

    assert caught.value.status == 401
    assert site.count("/charge-points") == 2


def test_a_foreign_host_gets_no_token(client: Any, charge_points: Any, site: Emulator) -> None:
    with Host() as foreign:
        client.configuration.host = foreign.origin
        reply = charge_points.get_charge_points_without_preload_content()
        assert reply.read() == b"foreign"

        assert [seen.token for seen in foreign.seen] == [None]
    assert site.calls == ()


def test_only_with_a_security_scheme_the_sdk_reads_its_configuration(
    monta_api: ModuleType, monta_api_plain: ModuleType
) -> None:
    """So both ways are tested here."""
    found = [
        sdk.Configuration(access_token="x").auth_settings() for sdk in (monta_api, monta_api_plain)
    ]
    assert [[*settings] for settings in found] == [["bearer"], []]


def test_a_call_with_its_own_auth_is_not_changed(
    monta_api: ModuleType,
    site: Emulator,
    auth: requests_monta.MontaAuth,
    make: Callable[..., Any],
) -> None:
    client = make(monta_api, site.base_url, auth)
    own = {"in": "header", "type": "bearer", "key": "Authorization", "value": "Bearer mine"}
    with pytest.raises(monta_api.ApiException) as caught:
        monta_api.ChargePointsApi(client).get_charge_points(_request_auth=own)

    assert caught.value.status == 401
    assert calls(site) == [("/charge-points", 401)]


def test_no_token_is_shown(
    client: Any, charge_points: Any, auth: requests_monta.MontaAuth, site: Emulator
) -> None:
    charge_points.get_charge_points()
    configuration = client.configuration
    shown = [repr(configuration.access_token), repr(vars(configuration)), repr(vars(client))]
    shown += [repr(configuration.auth_settings()), configuration.to_debug_report()]
    with redirect_stdout(StringIO()) as printed:
        print(configuration.access_token, configuration.auth_settings())  # noqa: T201

    for text in (*shown, printed.getvalue()):
        assert auth.bearer_token() not in text
        assert site.client_secret not in text


@pytest.mark.parametrize("name", ["ApiClient.__init__", "RESTClientObject.request"])
def test_the_stand_in_of_the_unit_tests_has_the_signature(monta_api: ModuleType, name: str) -> None:
    owner, method = name.split(".")
    real = vars(monta_api.api_client) | vars(importlib.import_module("monta_api.rest"))
    theirs = [*inspect.signature(getattr(real[owner], method)).parameters]
    ours = [*inspect.signature(getattr(getattr(stand_in, owner), method)).parameters]

    assert theirs[: len(ours)] == ours
    assert len(ours) == len(theirs) or owner == "ApiClient"


# --- async SDKs have an HTTP client, which accepts a MontaAuth


@pytest.mark.parametrize("name", ["monta_api_aiohttp", "monta_api_httpx"])
def test_speak_monta_refuses_an_async_client(
    name: str, auth: requests_monta.MontaAuth, request: pytest.FixtureRequest
) -> None:
    sdk = request.getfixturevalue(name)
    with pytest.raises(ConfigurationError, match="this SDK is async"):
        speak_monta(sdk.ApiClient(sdk.Configuration()), auth)


async def page_twice(sdk: ModuleType, client: Any, site: Emulator) -> None:
    charge_points = sdk.ChargePointsApi(client)
    assert (await charge_points.get_charge_points()).meta.total_item_count == 24
    site.revoke_access_tokens()
    assert (await charge_points.get_charge_points(page=1)).data[0].id == 114


def test_an_aiohttp_sdk_works_with_the_middleware(
    monta_api_aiohttp: ModuleType, site: Emulator
) -> None:
    sdk = monta_api_aiohttp

    async def main() -> None:
        auth = aiohttp_monta.MontaAuth(site.client_id, site.client_secret, base_url=site.base_url)
        configuration = sdk.Configuration(
            host=site.base_url, client_session_kwargs={"middlewares": (auth,)}
        )
        async with sdk.ApiClient(configuration) as client:
            await page_twice(sdk, client, site)

    asyncio.run(main())
    assert calls(site) == RETRIED


def test_an_httpx_sdk_works_with_a_client(monta_api_httpx: ModuleType, site: Emulator) -> None:
    sdk = monta_api_httpx

    async def main() -> None:
        auth = httpx_monta.MontaAuth(site.client_id, site.client_secret, base_url=site.base_url)
        async with sdk.ApiClient(sdk.Configuration(host=site.base_url)) as client:
            client.rest_client.pool_manager = httpx.AsyncClient(auth=auth)
            await page_twice(sdk, client, site)

    asyncio.run(main())
    assert calls(site) == RETRIED
