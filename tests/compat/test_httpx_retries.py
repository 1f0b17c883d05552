"""httpx-retries: a transport that repeats requests, below the flow that renews tokens."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("httpx_retries", reason="httpx-retries is not installed")

import httpx
from httpx_retries import Retry, RetryTransport

import httpx_monta
from monta_auth.emulator import Emulator, Fault

from .table import Combination
from .visits import calls

COMBINATION = Combination(
    name="httpx-retries",
    with_="httpx",
    know="Leave 401 out of ``status_forcelist``: each try has the same token. With POST in "
    "``allowed_methods``, give ``client=`` a plain client: a token call is never sent twice.",
)


def _auth(site: Emulator, client: httpx.Client | None = None) -> httpx_monta.MontaAuth:
    return httpx_monta.MontaAuth(
        site.client_id, site.client_secret, base_url=site.base_url, client=client
    )


EACH_BY_ITS_OWN = [
    ("/auth/token", 200),
    ("/charge-points", 503),
    ("/charge-points", 200),
    ("/charge-points", 401),
    ("/auth/refresh", 503),
    ("/auth/refresh", 200),
    ("/charge-points", 200),
]


def test_pages_are_repeated_by_the_transport_and_token_calls_by_the_auth(
    site: Emulator, slept: list[float]
) -> None:
    """By default, it does not repeat POST."""
    auth = _auth(site)
    with httpx.Client(auth=auth, transport=RetryTransport(), base_url=site.base_url) as client:
        site.inject(Fault(status=503), path="/charge-points")
        assert client.get("/charge-points").status_code == 200
        site.revoke_access_tokens()
        site.inject(Fault(status=503), path="/auth/refresh")
        assert client.get("/charge-points").status_code == 200
    assert calls(site) == EACH_BY_ITS_OWN
    assert len(slept) == 1


def test_async_pages_are_repeated_by_the_transport_and_token_calls_by_the_auth(
    site: Emulator, slept: list[float]
) -> None:
    async def main() -> None:
        transport = RetryTransport()
        async with httpx.AsyncClient(
            auth=_auth(site), transport=transport, base_url=site.base_url
        ) as client:
            site.inject(Fault(status=503), path="/charge-points")
            assert (await client.get("/charge-points")).status_code == 200
            site.revoke_access_tokens()
            site.inject(Fault(status=503), path="/auth/refresh")
            assert (await client.get("/charge-points")).status_code == 200

    asyncio.run(main())
    assert calls(site) == EACH_BY_ITS_OWN
    assert len(slept) == 1


def test_with_401_in_its_list_it_wastes_tries_before_the_renewal(site: Emulator) -> None:
    transport = RetryTransport(retry=Retry(total=2, status_forcelist=[401]))
    with httpx.Client(auth=_auth(site), transport=transport, base_url=site.base_url) as client:
        client.get("/charge-points")
        site.revoke_access_tokens()
        assert client.get("/charge-points").status_code == 200
    assert calls(site) == [
        ("/auth/token", 200),
        ("/charge-points", 200),
        *[("/charge-points", 401)] * 3,
        ("/auth/refresh", 200),
        ("/charge-points", 200),
    ]


EVERYTHING = Retry(total=2, allowed_methods=["GET", "POST"])


def test_a_repeated_token_call_is_refused_before_it_is_sent(site: Emulator) -> None:
    """A refresh token works once. The second try gets no body, and the request fails."""
    transport = RetryTransport(retry=EVERYTHING)
    with httpx.Client(auth=_auth(site), transport=transport, base_url=site.base_url) as client:
        client.get("/charge-points")
        site.revoke_access_tokens()
        site.inject(Fault(close=True, after=True), path="/auth/refresh")
        with pytest.raises(httpx_monta.TokenEndpointError):
            client.get("/charge-points")
        # When the server accepts another connection, it has seen the end of that one.
        assert httpx.get(site.base_url + "/charges").status_code == 401
    assert site.count("/auth/token") == 1
    assert all(call.status != 200 for call in site.calls if call.path == "/auth/refresh")


def test_with_a_separate_client_for_token_calls_posts_may_be_repeated(
    site: Emulator, slept: list[float]
) -> None:
    transport = RetryTransport(retry=EVERYTHING)
    with (
        httpx.Client() as plain,
        httpx.Client(
            auth=_auth(site, client=plain), transport=transport, base_url=site.base_url
        ) as client,
    ):
        site.inject(Fault(status=503), path="/auth/token")
        site.inject(Fault(status=503), path="/charges")
        charge = {"chargePointId": 101}
        assert client.post("/charges", json=charge).status_code == 200
        site.revoke_access_tokens()
        charge = {"chargePointId": 102}  # the first charge point is busy
        assert client.post("/charges", json=charge).status_code == 200
    assert calls(site) == [
        ("/auth/token", 503),
        ("/auth/token", 200),
        ("/charges", 503),
        ("/charges", 200),
        ("/charges", 401),
        ("/auth/refresh", 200),
        ("/charges", 200),
    ]
    assert len(slept) == 1
