"""`monta_sdk`: an SDK that openapi-python-client generates while the tests run."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import httpx
import pytest

from monta_auth.emulator import Emulator


@pytest.fixture(scope="session")
def monta_sdk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The generated package, from the description that an emulator serves."""
    pytest.importorskip("openapi_python_client", reason="openapi-python-client is not installed")
    folder = tmp_path_factory.mktemp("sdk")
    with Emulator() as monta:
        reply = httpx.get(monta.base_url + "/openapi.json")
    (folder / "openapi.json").write_bytes(reply.raise_for_status().content)
    # Without post hooks, which would format it.
    settings = {"package_name_override": "monta_sdk", "post_hooks": []}
    (folder / "settings.json").write_text(json.dumps(settings))
    command = "-m openapi_python_client generate --path openapi.json --config settings.json"
    subprocess.run(
        [sys.executable, *command.split(), "--meta", "none", "--output-path", "monta_sdk"],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=60,
    )
    sys.path.insert(0, str(folder))
    yield importlib.import_module("monta_sdk")
    sys.path.remove(str(folder))
