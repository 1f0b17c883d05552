"""schemathesis sends the emulator what its OpenAPI document allows, and a bit more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import requests

from monta_auth.emulator import Emulator

pytest.importorskip("schemathesis", reason="schemathesis is not installed")

#: No undocumented status, and no response of another type or with another schema.
CHECKS = "status_code_conformance,response_schema_conformance,content_type_conformance"


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("partner", "null_keys"), [(False, True), (True, False)], ids=["public", "partner"]
)
def test_no_reply_is_undocumented(tmp_path: Path, partner: bool, null_keys: bool) -> None:
    with Emulator(partner=partner, null_keys=null_keys, access_lifetime=1e6) as monta:
        credentials = {"clientId": monta.client_id, "clientSecret": monta.client_secret}
        pair = requests.post(f"{monta.base_url}/auth/token", json=credentials, timeout=5).json()
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{monta.base_url}/openapi.json"),
            *("--url", monta.base_url, "--checks", CHECKS, "--no-color", "--mode", "all"),
            *(
                "--max-examples",
                "25",
                "--generation-deterministic",
                "--suppress-health-check",
                "all",
            ),
            *("--header", f"Authorization: Bearer {pair['accessToken']}"),
        ]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280)
        statuses = {call.status for call in monta.calls}
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert {200, 400, 404, 501} <= statuses
    assert 500 not in statuses
