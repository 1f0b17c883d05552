"""VCR.py: recordings of HTTP traffic, as in docs/guides/recorders.rst."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

import httpx_monta
from monta_auth._core import shared_sources
from monta_auth.emulator import Emulator

from ..docs.pages import blocks, called_by
from .requests_library import Secrets, auth_of
from .table import Combination
from .visits import PAGE, calls

pytest.importorskip("vcr", reason="vcrpy is not installed")
yaml: Any = importlib.import_module("yaml")

COMBINATION = Combination(
    name="vcrpy",
    with_="requests, httpx",
    know="A tape would hold the token and the client secret: take the recipe of "
    ":doc:`/guides/recorders`, which plays token calls back, too.",
)

(EXAMPLE,) = (each for each in blocks("guides/recorders.rst") if "import vcr" in each.code)


@pytest.fixture
def recorder() -> Any:
    """Return the recorder that the example defines before it is used."""
    names: dict[str, Any] = {"__name__": "example"}
    recipe, found, _ = EXAMPLE.code.partition("\nwith ")
    assert found
    exec(compile(recipe, "example", "exec"), names)  # noqa: S102 - our own
    return names["recorder"]


def _three_pages(library: str, site: Emulator, secrets: Secrets) -> list[int]:
    """Get three pages. The second one is refused, both when recorded and when played."""
    settings: dict[str, Any] = {"base_url": site.base_url, "on_token": secrets.note}
    client: Any
    if library == "requests":
        client = requests.Session()
        client.auth = auth_of(site, on_token=secrets.note)
    else:
        client = httpx.Client()
        client.auth = httpx_monta.MontaAuth(site.client_id, site.client_secret, **settings)
    with client:
        statuses = [client.get(site.base_url + PAGE).status_code]
        site.revoke_access_tokens()
        statuses += [client.get(site.base_url + path).status_code for path in ("/charges", PAGE)]
    return statuses


@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_a_recording_holds_no_secret_and_plays_without_a_server(
    site: Emulator, tmp_path: Path, recorder: Any, library: str
) -> None:
    secrets = Secrets(site)
    tape = tmp_path / "tape.yaml"
    with recorder.use_cassette(str(tape)):
        assert _three_pages(library, site, secrets) == [200, 200, 200]
    assert calls(site) == [
        *(("/auth/token", 200), (PAGE, 200)),
        *(("/charges", 401), ("/auth/refresh", 200), ("/charges", 200), (PAGE, 200)),
    ]
    assert secrets.pairs == 2
    text = tape.read_text(encoding="utf-8")
    assert secrets.found_in(text) == []
    assert "Bearer" not in text
    assert len(yaml.safe_load(text)["interactions"]) == 6

    site.stop()
    shared_sources.forget_shared_sources()
    played = Secrets(site)
    with recorder.use_cassette(str(tape), record_mode="none") as cassette:
        assert _three_pages(library, site, played) == [200, 200, 200]
    assert cassette.play_count == 6
    assert played.pairs == 2
    assert tape.read_text(encoding="utf-8") == text


def test_the_example_of_the_guide_records(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert called_by(EXAMPLE, monkeypatch) == ["/auth/token", PAGE]
    (tape,) = tmp_path.rglob("*.yaml")
    text = tape.read_text(encoding="utf-8")
    assert "Copenhagen" in text
    assert "client-secret" not in text
