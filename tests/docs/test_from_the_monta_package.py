"""docs/guides/from-the-monta-package.rst: the examples run.

The ported wrapper is also compared with the package itself, with the same emulator.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import aiohttp
import pytest

from aiohttp_monta import MontaAuth
from monta_auth.emulator import Emulator, Fault

from .pages import blocks

GUIDE = {each.name: each for each in blocks("guides/from-the-monta-package.rst")}


@pytest.fixture
def package(monta: Emulator, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The PyPI package, with the emulator instead of Monta."""
    package = pytest.importorskip("monta", reason="the PyPI package monta is not installed")
    monkeypatch.setattr("monta.client.API_BASE_URL", monta.base_url + "/")
    return package


def test_the_client_of_the_package_works_with_our_tokens(package: Any, monta: Emulator) -> None:
    names = GUIDE["subclass"].run()
    assert [call.path for call in monta.calls] == ["/auth/token", "/charge-points"]

    async def main() -> None:
        auth = MontaAuth("client-id", "client-secret")
        async with aiohttp.ClientSession(middlewares=(auth,)) as session:
            client = names["MontaClient"](session, auth)
            first = await client.async_get_charge_points()
            assert first
            monta.revoke_access_tokens()
            assert await client.async_get_charge_points() == first
        async with aiohttp.ClientSession() as session:
            plain = package.MontaApiClient("client-id", "client-secret", session)
            assert await plain.async_get_charge_points() == first

    asyncio.run(main())
    # With ours: one, and one renewal. The package itself: one more.
    assert (monta.count("/auth/token"), monta.count("/auth/refresh")) == (2, 1)


# The package leaves the refused response unread, and aiohttp warns when it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_second_401_raises_the_packages_error(package: Any, monta: Emulator) -> None:
    names = GUIDE["subclass"].run()

    async def main() -> None:
        auth = MontaAuth("client-id", "client-secret")
        async with aiohttp.ClientSession(middlewares=(auth,)) as session:
            client = names["MontaClient"](session, auth)
            monta.inject(Fault(status=401), times=99, path="/charge-points")
            with pytest.raises(package.MontaApiClientAuthenticationError):
                await client.async_get_charge_points()

    asyncio.run(main())
    gc.collect()
    assert monta.count("/auth/token") + monta.count("/auth/refresh") <= 3


@pytest.fixture
def ported(monta: Emulator) -> dict[str, Any]:
    names = GUIDE["wrapper"].run()
    assert [call.path for call in monta.calls] == ["/auth/token", "/charge-points"]
    return names


def ask(ported: dict[str, Any], *args: Any, secret: str = "client-secret") -> Any:
    async def main() -> Any:
        async with aiohttp.ClientSession() as session:
            return await ported["MontaApi"](session, MontaAuth("client-id", secret)).request(*args)

    return asyncio.run(main())


def test_the_ported_wrapper_returns_the_same_as_the_packages_own(
    package: Any, monta: Emulator, ported: dict[str, Any]
) -> None:
    page = ask(ported, "get", "charge-points?page=0&perPage=100")

    async def main() -> Any:
        async with aiohttp.ClientSession() as session:
            client = package.MontaApiClient("client-id", "client-secret", session)
            return await client.async_get_all_charge_points()

    theirs = asyncio.run(main())
    ours = {
        item["id"]: package.ChargePoint.from_dict(item)
        for item in page["data"]
        if item.get("serialNumber") is not None
    }
    assert ours == theirs


def test_the_ported_wrapper_retries_a_401_and_sends_the_body_again(
    monta: Emulator, ported: dict[str, Any]
) -> None:
    known = ask(ported, "get", "charge-points")["data"][0]["id"]
    monta.revoke_access_tokens()
    charge = ask(ported, "post", "charges", {"chargePointId": known})
    assert charge["chargePointId"] == known
    assert (monta.count("/auth/token"), monta.count("/auth/refresh")) == (1, 1)


@pytest.mark.parametrize(
    ("fault", "path", "name", "after"),
    [
        pytest.param(Fault(status=403), "/charges", "MontaLoginError", None, id="403"),
        pytest.param(
            Fault(status=429, headers={"retry-after": "25"}),
            "/charges",
            "MontaRateLimitError",
            25,
            id="429",
        ),
        pytest.param(
            Fault(status=429, body='{"context": {"rateLimitResponse": {"resetsIn": 41}}}'),
            "/charges",
            "MontaRateLimitError",
            41,
            id="429 of the Public API",
        ),
        pytest.param(Fault(status=404), "/charges", "MontaError", None, id="404"),
        pytest.param(
            Fault(status=429, headers={"retry-after": "25"}),
            "/auth/refresh",
            "MontaRateLimitError",
            25,
            id="429 of an auth endpoint",
        ),
        pytest.param(Fault(close=True), None, "MontaError", None, id="network"),
    ],
)
def test_the_ported_wrapper_raises_its_own_errors(
    monta: Emulator, ported: dict[str, Any], fault: Fault, path: str | None, name: str, after: Any
) -> None:
    monta.revoke_access_tokens()
    if path == "/charges":
        ask(ported, "get", "charge-points")
    monta.inject(fault, times=9, path=path)
    with pytest.raises(ported["MontaError"]) as caught:
        ask(ported, "get", "charges")
    assert type(caught.value).__name__ == name
    assert getattr(caught.value, "retry_after", None) == after


def test_the_ported_wrapper_reports_wrong_credentials(
    monta: Emulator, ported: dict[str, Any]
) -> None:
    with pytest.raises(ported["MontaLoginError"], match="does not accept client id"):
        ask(ported, "get", "charges", secret="wrong")


def test_a_stored_pair_of_the_package_can_be_used(package: Any, monta: Emulator) -> None:
    names = GUIDE["storage"].run()
    assert names["pair_of"]({}) is None

    async def main() -> None:
        storage = package.InMemoryTokenStorage()
        async with aiohttp.ClientSession() as session:
            before = package.MontaApiClient("client-id", "client-secret", session, storage)
            await before.async_get_charge_points()
            pair = names["pair_of"](await storage.load())
            auth = MontaAuth("client-id", "client-secret", token=pair)
            for _ in range(2):
                async with session.get(
                    monta.base_url + "/charge-points", middlewares=(auth,)
                ) as response:
                    assert response.status == 200
                monta.revoke_access_tokens()

    asyncio.run(main())
    assert (monta.count("/auth/token"), monta.count("/auth/refresh")) == (1, 1)
