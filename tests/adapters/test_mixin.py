"""`MontaAuthMixin` on each kind of client."""

from __future__ import annotations

import asyncio
import inspect
import pickle
from typing import Any, cast

import httpx
import httpx2
import pytest
import requests
from requests.adapters import HTTPAdapter

import httpx2_monta
import httpx_monta
import requests_monta
from monta_auth import ConfigurationError, MontaAuthSettings
from monta_auth.emulator import Emulator

from .frames import shown


class RequestsSdk(requests_monta.MontaAuthMixin, requests.Session):
    pass


class HttpxSdk(httpx_monta.MontaAuthMixin, httpx.Client):
    pass


class AsyncHttpxSdk(httpx_monta.MontaAuthMixin, httpx.AsyncClient):
    pass


class Httpx2Sdk(httpx2_monta.MontaAuthMixin, httpx2.Client):
    pass


class AsyncHttpx2Sdk(httpx2_monta.MontaAuthMixin, httpx2.AsyncClient):
    pass


SDKS: list[Any] = [RequestsSdk, HttpxSdk, AsyncHttpxSdk, Httpx2Sdk, AsyncHttpx2Sdk]
OF_HTTPX = SDKS[1:]


def settings(site: Emulator) -> MontaAuthSettings:
    return {
        "client_id": site.client_id,
        "client_secret": site.client_secret,
        "base_url": site.base_url,
    }


def calls_of(sdk: Any, *urls: str, between: Any = None) -> list[int]:
    """Return the statuses of GETs, one after the other. Then close the client."""

    async def run() -> list[int]:
        statuses: list[int] = []
        for url in urls:
            if statuses and between is not None:
                between()
            reply = sdk.get(url)
            statuses.append((await reply if inspect.isawaitable(reply) else reply).status_code)
        if hasattr(sdk, "aclose"):
            await sdk.aclose()
        else:
            sdk.close()
        return statuses

    return asyncio.run(run())


@pytest.mark.parametrize("cls", SDKS)
def test_the_mixin_needs_no_other_change(
    cls: Any, site: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No argument and no code: credentials from the environment, and a 401 is retried."""
    monkeypatch.setenv("MONTA_BASE_URL", site.base_url)
    monkeypatch.setenv("MONTA_CLIENT_ID", site.client_id)
    monkeypatch.setenv("MONTA_CLIENT_SECRET", site.client_secret)
    url = site.base_url + "/charge-points"

    assert calls_of(cls(), url, url, between=site.revoke_access_tokens) == [200, 200]
    assert [(call.path, call.status) for call in site.calls] == [
        ("/auth/token", 200),
        ("/charge-points", 200),
        ("/charge-points", 401),
        ("/auth/refresh", 200),
        ("/charge-points", 200),
    ]


@pytest.mark.parametrize("cls", SDKS)
def test_the_arguments_of_the_auth_pass_through(cls: Any, site: Emulator) -> None:
    sdk = cls(monta_auth=settings(site))

    assert isinstance(
        sdk.auth, (requests_monta.MontaAuth, httpx_monta.MontaAuth, httpx2_monta.MontaAuth)
    )
    assert calls_of(sdk, site.base_url + "/charge-points") == [200]


@pytest.mark.parametrize("cls", OF_HTTPX)
def test_the_arguments_of_the_client_pass_through(cls: Any, site: Emulator) -> None:
    sdk = cls(base_url=site.base_url, headers={"X-Sdk": "1"}, monta_auth=settings(site))

    assert sdk.headers["x-sdk"] == "1"
    assert calls_of(sdk, "/charge-points") == [200]


@pytest.mark.parametrize("cls", OF_HTTPX)
def test_without_a_base_url_paths_begin_at_that_of_the_auth(
    cls: Any, site: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    sdk = cls(monta_auth=settings(site))

    assert calls_of(sdk, "/charge-points", site.base_url + "/charge-points") == [200, 200]
    assert caplog.messages == []


@pytest.mark.parametrize("cls", OF_HTTPX)
def test_the_users_own_auth_brings_no_base_url(cls: Any) -> None:
    assert str(cls(auth=("user", "password")).base_url) == ""


@pytest.mark.parametrize("cls", OF_HTTPX)
def test_the_users_own_auth_is_used(cls: Any, site: Emulator) -> None:
    """This needs no credentials, since no MontaAuth is made."""
    sdk = cls(auth=("user", "password"))

    assert calls_of(sdk, site.base_url + "/charge-points") == [401]
    assert [call.path for call in site.calls] == ["/charge-points"]


@pytest.mark.parametrize("cls", SDKS)
def test_settings_of_the_wrong_type_are_refused_and_not_shown(cls: Any) -> None:
    with pytest.raises(ConfigurationError, match="takes a dict") as caught:
        cls(monta_auth=("client-id", "the-client-secret"))
    assert shown(caught.value, {"the-client-secret"}) == []


@pytest.mark.parametrize("cls", OF_HTTPX)
def test_two_auth_arguments_are_refused(cls: Any, site: Emulator) -> None:
    with pytest.raises(ConfigurationError, match="exclude each other"):
        cls(auth=("user", "password"), monta_auth=settings(site))


class Counting(HTTPAdapter):
    """Counts the requests."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        self.paths.append(request.path_url)
        return super().send(request, *args, **kwargs)


def test_token_calls_go_through_the_session_itself(site: Emulator) -> None:
    """This test uses an adapter as an example of the session's proxies and CA."""
    adapter = Counting()
    with RequestsSdk(monta_auth=settings(site)) as sdk:
        sdk.mount("http://", adapter)
        sdk.get(site.base_url + "/charge-points")

    assert adapter.paths == ["/api/v1/auth/token", "/api/v1/charge-points"]


@pytest.mark.parametrize("cls", OF_HTTPX)
def test_token_calls_go_through_the_client_itself(cls: Any, site: Emulator) -> None:
    """Its event hooks see them, like everything that it sends."""
    paths: list[str] = []

    def see(request: Any) -> None:
        paths.append(request.url.path)

    async def asee(request: Any) -> None:
        see(request)

    hook = asee if hasattr(cls, "aclose") else see
    sdk = cls(event_hooks={"request": [hook]}, monta_auth=settings(site))
    calls_of(sdk, site.base_url + "/charge-points")

    assert paths == ["/api/v1/auth/token", "/api/v1/charge-points"]


def test_a_session_can_be_pickled(site: Emulator) -> None:
    """Its auth refers back to it."""
    with RequestsSdk(monta_auth=settings(site)) as sdk:
        twin = pickle.loads(pickle.dumps(sdk))
    assert twin.auth._session is twin
    assert calls_of(twin, site.base_url + "/charge-points") == [200]


@pytest.mark.parametrize(
    ("mixin", "client"),
    [
        (requests_monta.MontaAuthMixin, requests.Session),
        (httpx_monta.MontaAuthMixin, httpx.AsyncClient),
        (httpx2_monta.MontaAuthMixin, httpx2.Client),
    ],
)
def test_a_mixin_after_the_client_class_is_refused(mixin: Any, client: Any) -> None:
    """Python would accept the class, but no request would ever get a token."""
    with pytest.raises(TypeError, match=rf"class Sdk\(MontaAuthMixin, {client.__name__}\)"):
        type("Sdk", (client, mixin), {})


def test_a_class_that_is_not_a_client_is_refused() -> None:
    class Owner(httpx_monta.MontaAuthMixin):
        pass

    with pytest.raises(TypeError) as caught:
        Owner()
    assert str(caught.value) == (
        "the MontaAuthMixin of httpx_monta is for classes that derive from httpx.Client or "
        "httpx.AsyncClient; Owner does not"
    )


def test_an_unknown_argument_is_named_in_the_error(site: Emulator) -> None:
    with pytest.raises(TypeError, match="'nope'"):
        RequestsSdk(monta_auth=cast(Any, {**settings(site), "nope": 1}))


def test_missing_credentials_are_named_in_the_error() -> None:
    with pytest.raises(ConfigurationError, match="MONTA_CLIENT_ID"):
        RequestsSdk()


def test_a_cooperative_init_passes_the_arguments_on(site: Emulator) -> None:
    """An SDK has its own arguments and base classes."""

    class Base(requests_monta.MontaAuthMixin, requests.Session):
        def __init__(self, region: str, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.region = region

    class Sdk(Base):
        def charge_points(self) -> Any:
            return self.get(site.base_url + "/charge-points").json()["data"]

    with Sdk("eu", monta_auth=settings(site)) as sdk:
        assert sdk.region == "eu"
        assert sdk.charge_points()
