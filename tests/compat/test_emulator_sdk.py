"""openapi-python-client generates an SDK from the emulator's document without a warning.

Every call of the SDK works.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import requests

from httpx_monta import MontaAuth
from monta_auth.emulator import Emulator
from monta_auth.emulator._operations import operations

pytest.importorskip("openapi_python_client", reason="openapi-python-client is not installed")


def generate(folder: Path, package: str, partner: bool) -> ModuleType:
    with Emulator(partner=partner) as monta:
        document = requests.get(f"{monta.base_url}/openapi.json", timeout=5).json()
    (folder / "openapi.json").write_text(json.dumps(document))
    settings = {"package_name_override": package, "post_hooks": []}
    (folder / "settings.json").write_text(json.dumps(settings))
    command = "-m openapi_python_client generate --path openapi.json --config settings.json"
    more = ["--fail-on-warning", "--meta", "none", "--output-path", package]
    done = subprocess.run(
        [sys.executable, *command.split(), *more],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return importlib.import_module(package)


@pytest.mark.parametrize("partner", [False, True], ids=["public", "partner"])
def test_every_call_of_a_generated_client_works(
    site: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, partner: bool
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    package = f"generated_{'partner' if partner else 'public'}"
    sdk = generate(tmp_path, package, partner)
    site.partner = partner
    auth = MontaAuth(site.client_id, site.client_secret, base_url=site.base_url)
    client = sdk.Client(base_url=site.base_url, httpx_args={"auth": auth})
    models = importlib.import_module(f"{package}.models")
    calls = {
        found.name.rpartition(".")[2]: importlib.import_module(found.name)
        for found in pkgutil.walk_packages([str(tmp_path / package / "api")], f"{package}.api.")
        if not found.ispkg
    }
    assert calls.keys() == {known.name for known in operations(partner)}

    team = {"paying_team_id": 1} if partner else {}
    start = models.StartCharge(charge_point_id=101, **team)
    pair = auth.token()
    given: dict[str, Any] = {
        "charge_point_id": 101,
        "transaction_id": 9001,
        "evse_id": "DK*MON*E100001",
        "charge_id": calls["start_charge"].sync(client=client, body=start).id,
        "country": [models.AfirCountry.DK] if not partner else None,
    }
    bodies = {
        "get_token": models.Credentials(site.client_id, site.client_secret),
        "refresh_token": models.RefreshToken(pair.refresh_token),
        "start_charge": models.StartCharge(charge_point_id=102, **team),
    }
    # Calls that change something come last: a charge is stopped before it is restarted.
    order = ["stop_charge", "restart_charge"]
    with closing(client.get_httpx_client()):
        for name in sorted(calls, key=lambda name: order.index(name) if name in order else -1):
            if name == "restart_charge":
                site.clock_offset += 60
            wanted = inspect.signature(calls[name].sync_detailed).parameters
            arguments = {key: value for key, value in given.items() if key in wanted}
            if name.startswith("get_charge") and name.endswith("s"):
                arguments.pop("charge_point_id", None)
            if name in bodies:
                arguments["body"] = bodies[name]
            reply = calls[name].sync_detailed(client=client, **arguments)
            assert (name, reply.status_code.value) == (name, 200)
            assert not isinstance(reply.parsed, models.Error)

        since = datetime.now(UTC).replace(microsecond=0) - timedelta(days=7)
        states = [models.ChargeState.COMPLETED, models.ChargeState.PAUSED]
        page = calls["get_charges"].sync(client=client, from_date=since, state=states, per_page=100)
        assert {charge.state for charge in page.data} == {*states}
        assert all(charge.created_at >= since for charge in page.data)
