"""betamax: recordings of a session's traffic, as in docs/guides/recorders.rst."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import requests

from monta_auth._core import shared_sources
from monta_auth.emulator import Emulator

from ..docs.pages import blocks, called_by
from .requests_library import Secrets, auth_of
from .table import Combination
from .visits import PAGE, calls

betamax: Any = pytest.importorskip("betamax", reason="betamax is not installed")

pytestmark = pytest.mark.filterwarnings("ignore:datetime.*utcnow:DeprecationWarning")  # its own

COMBINATION = Combination(
    name="betamax",
    with_="requests",
    know="It sees token calls with ``session=`` only. Take the recipe of "
    ":doc:`/guides/recorders`. A 401 is not retried while it records or plays.",
)

(EXAMPLE,) = (each for each in blocks("guides/recorders.rst") if "import betamax" in each.code)


@pytest.fixture(autouse=True)
def _settings_of_one_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Undo the recipe's settings of betamax, which apply to the whole process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(betamax.cassette.Cassette, "hooks", defaultdict[str, Any](list))
    monkeypatch.setattr(betamax.configure.Configuration, "CASSETTE_LIBRARY_DIR", "")


def _set_up() -> None:
    """Run the example's code before the session."""
    recipe, found, _ = EXAMPLE.code.partition("\nwith requests.Session()")
    assert found
    exec(compile(recipe, "example", "exec"), {"__name__": "example"})  # noqa: S102 - our own


def _pages(site: Emulator, secrets: Secrets) -> list[int]:
    with requests.Session() as session:
        session.headers["Accept-Encoding"] = "identity"
        session.auth = auth_of(site, session=session, on_token=secrets.note)
        with betamax.Betamax(session).use_cassette("tape"):
            url = site.base_url + PAGE
            statuses = [session.get(url).status_code]
            session.auth.invalidate()
            return [*statuses, session.get(url).status_code]


def test_a_recording_holds_no_secret_and_plays_without_a_server(
    site: Emulator, tmp_path: Path
) -> None:
    _set_up()
    secrets = Secrets(site)
    assert _pages(site, secrets) == [200, 200]
    assert calls(site) == [
        *(("/auth/token", 200), (PAGE, 200)),
        *(("/auth/refresh", 200), (PAGE, 200)),
    ]
    (tape,) = tmp_path.rglob("tape.json")
    text = tape.read_text(encoding="utf-8")
    assert secrets.pairs == 2
    assert secrets.found_in(text) == []
    assert "Bearer" not in text
    assert len(json.loads(text)["http_interactions"]) == 4

    site.stop()
    shared_sources.forget_shared_sources()
    played = Secrets(site)
    assert _pages(site, played) == [200, 200]
    assert played.pairs == 2


def test_a_401_is_returned(site: Emulator) -> None:
    """betamax returns a copy of the response, with a request that it made itself."""
    _set_up()
    with requests.Session() as session:
        session.auth = auth_of(site, session=session)
        with betamax.Betamax(session).use_cassette("tape"):
            assert session.get(site.base_url + PAGE).status_code == 200
            site.revoke_access_tokens()
            assert session.get(site.base_url + "/charges").status_code == 401
    assert calls(site) == [("/auth/token", 200), (PAGE, 200), ("/charges", 401)]


def test_the_example_of_the_guide_records(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert called_by(EXAMPLE, monkeypatch) == ["/auth/token", PAGE]
    (tape,) = tmp_path.rglob("*.json")
    text = tape.read_text(encoding="utf-8")
    assert "Copenhagen" in text
    assert "client-secret" not in text
