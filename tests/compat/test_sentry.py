"""Sentry: events (with the variables of each frame) and breadcrumbs hold no secret."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import requests

import httpx_monta
import requests_monta
from monta_auth.emulator import Emulator, Fault

from .requests_library import Secrets
from .table import Combination
from .visits import PAGE

sentry_sdk: Any = pytest.importorskip("sentry_sdk", reason="sentry-sdk is not installed")
HttpxIntegration: Any = importlib.import_module("sentry_sdk.integrations.httpx").HttpxIntegration

COMBINATION = Combination(
    name="sentry-sdk",
    with_="requests, httpx",
    know="Frames and breadcrumbs hold no secret and no token. Headers of an httpx request in a "
    "variable of yours do: ``event_scrubber=EventScrubber(recursive=True)``.",
)


class Reports(sentry_sdk.transport.Transport):  # type: ignore[misc]
    """Keeps what would be sent to Sentry."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.raw: list[str] = []

    def capture_envelope(self, envelope: Any) -> None:
        self.raw.append(envelope.serialize().decode())

    @property
    def text(self) -> str:
        return "".join(self.raw)


@pytest.fixture
def sentry() -> Iterator[Callable[..., Reports]]:
    """Return a function that starts Sentry with these options, and the variables of frames."""

    def start(**options: Any) -> Reports:
        reports = Reports()
        sentry_sdk.init(
            dsn="http://key@127.0.0.1:1/1",
            transport=reports,
            traces_sample_rate=1.0,
            include_local_variables=True,
            max_value_length=100_000,
            auto_enabling_integrations=False,  # the emulator's Starlette is not tested here
            integrations=[HttpxIntegration()],
            **options,
        )
        return reports

    with sentry_sdk.isolation_scope() as scope:
        scope.clear()  # data of other tests
        yield start
    sentry_sdk.init()  # without a DSN, it sends nothing any more


class Client:
    """A client of one of the two libraries, used in frames that know no secret."""

    def __init__(self, library: str, site: Emulator, secrets: Secrets) -> None:
        self._site = site
        settings: dict[str, Any] = {"base_url": site.base_url, "on_token": secrets.note}
        if library == "requests":
            self._client: Any = requests.Session()
            self.auth: Any = requests_monta.MontaAuth(
                site.client_id, site.client_secret, **settings
            )
        else:
            self._client = httpx.Client()
            self.auth = httpx_monta.MontaAuth(site.client_id, site.client_secret, **settings)
        self._client.auth = self.auth

    def page(self) -> Any:
        return self._client.get(self._site.base_url + PAGE)

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def secrets(site: Emulator) -> Secrets:
    return Secrets(site)


@pytest.fixture(params=["requests", "httpx"])
def client(request: pytest.FixtureRequest, site: Emulator, secrets: Secrets) -> Iterator[Client]:
    client = Client(request.param, site, secrets)
    yield client
    client.close()


def _mint_refused(site: Emulator, client: Client) -> None:
    site.inject(Fault(status=401))
    client.page()


def _mint_lost(site: Emulator, client: Client) -> None:
    site.inject(Fault(truncate=True), times=9)
    client.page()


def _refresh_lost(site: Emulator, client: Client) -> None:
    client.page()
    client.auth.invalidate()
    site.inject(Fault(truncate=True), times=9)
    client.page()


def _page_lost(site: Emulator, client: Client) -> None:
    client.page()
    site.inject(Fault(close=True), path=PAGE)
    client.page()


def _second_sending_lost(site: Emulator, client: Client) -> None:
    client.page()
    site.inject(Fault(status=401), path=PAGE)
    site.inject(Fault(close=True), path=PAGE)
    client.page()


def _bad_status(site: Emulator, client: Client) -> None:
    client.page()
    site.inject(Fault(status=500), path=PAGE)
    client.page().raise_for_status()


def _error_of_the_users(site: Emulator, client: Client) -> None:
    reply = client.page()
    request = reply.request
    raise LookupError(request.method)


def _error_beside_headers(site: Emulator, client: Client) -> None:
    headers = client.page().request.headers
    raise LookupError(len(headers))


@pytest.mark.parametrize(
    "fails",
    [
        _mint_refused,
        _mint_lost,
        _refresh_lost,
        _page_lost,
        _second_sending_lost,
        _bad_status,
        _error_of_the_users,
    ],
)
def test_an_event_holds_no_secret(
    site: Emulator,
    secrets: Secrets,
    sentry: Callable[..., Reports],
    client: Client,
    fails: Callable[[Emulator, Client], None],
) -> None:
    """This holds even if Sentry does not filter names such as ``secret``."""
    scrubber = sentry_sdk.scrubber.EventScrubber(denylist=[], pii_denylist=[])
    reports = sentry(event_scrubber=scrubber)
    _capture(fails, site, client)
    assert '"vars":' in reports.text
    assert '"breadcrumbs":' in reports.text
    assert secrets.found_in(reports.text) == []


def test_headers_in_a_users_variable_are_only_hidden_by_sentrys_filter(
    site: Emulator, secrets: Secrets, sentry: Callable[..., Reports], client: Client
) -> None:
    """httpx returns plain text when a header is read, and Sentry reads the items of a mapping."""
    reports = sentry(event_scrubber=sentry_sdk.scrubber.EventScrubber(recursive=True))
    _capture(_error_beside_headers, site, client)
    assert '"headers":{' in reports.text
    assert secrets.found_in(reports.text) == []


def _capture(fails: Callable[[Emulator, Client], None], site: Emulator, client: Client) -> None:
    with sentry_sdk.start_transaction(name="work"):
        try:
            fails(site, client)
        except Exception as error:
            sentry_sdk.capture_exception(error)
