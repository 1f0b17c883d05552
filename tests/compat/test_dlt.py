"""dlt: its sources of REST APIs, which accept a session and refuse an auth object."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import requests_monta
from monta_auth.emulator import Emulator, Fault

from ..docs.pages import example, stand_in
from .table import Combination

COMBINATION = Combination(
    name="dlt",
    with_="requests",
    know="``rest_api_source`` takes a session, and no auth object. Do not give that session as "
    "``session=``. See :doc:`/guides/where-to-put-auth`.",
)
PAGE = "guides/where-to-put-auth.rst"


@pytest.fixture
def rest_api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Its module. What dlt stores is in the folder of the test."""
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    pytest.importorskip("dlt", reason="dlt is not installed")
    return importlib.import_module("dlt.sources.rest_api")


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of dlt. No test waits for them."""
    pauses: list[float] = []
    nap = pytest.importorskip("tenacity.nap", reason="tenacity comes with dlt")
    monkeypatch.setattr(nap, "time", SimpleNamespace(sleep=pauses.append))
    return pauses


def test_a_source_retries_a_401(
    rest_api: Any,
    site: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stand_in(site, site.base_url, monkeypatch)
    source = example(PAGE, "dlt").run()["source"]
    assert capsys.readouterr().out == "60\n"

    site.revoke_access_tokens()
    rows = {name: len(list(resource)) for name, resource in source.resources.items()}
    assert rows == {"charge-points": 24, "charges": 60, "wallet-transactions": 40}
    assert (site.count("/auth/token"), site.count("/auth/refresh")) == (1, 1)


def test_it_waits_for_more_than_a_minute_at_a_429(
    rest_api: Any, site: Emulator, waited: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(site, site.base_url, monkeypatch)
    session = example(PAGE, "dlt").run()["session"]
    site.quota = 1
    session.get(f"{site.base_url}/charges")
    assert session.get(f"{site.base_url}/charges").status_code == 429
    assert waited == [5, 10, 20, 40]


def test_it_repeats_the_token_calls_of_its_session(
    rest_api: Any, site: Emulator, waited: list[float], slept: list[float]
) -> None:
    """That is why the page leaves out `session=`."""
    helpers: Any = importlib.import_module("dlt.sources.helpers.requests")
    counts: list[int] = []
    for by_it in (False, True):
        session = helpers.Client(raise_for_status=False).session
        settings = {"session": session} if by_it else {}
        auth = requests_monta.MontaAuth("client-id", "wrong", base_url=site.base_url, **settings)
        site.clear()
        site.inject(Fault(status=503), times=99)
        auth.forget()
        with pytest.raises(requests_monta.TokenEndpointError):
            auth.token()
        counts.append(site.count("/auth/token"))
    assert counts == [3, 15]


def test_an_auth_object_is_refused(rest_api: Any, site: Emulator) -> None:
    auth = requests_monta.MontaAuth("client-id", "client-secret", base_url=site.base_url)
    client = {"base_url": site.base_url, "auth": auth}
    with pytest.raises(ValueError, match="Incorrect auth object type 'MontaAuth'"):
        rest_api.rest_api_source({"client": client, "resources": ["charges"]})
