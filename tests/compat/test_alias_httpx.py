"""`httpx2.alias_httpx()`: the whole process, including `httpx_monta`, uses httpx2 as httpx."""

from __future__ import annotations

import subprocess
import sys

import pytest

httpx2 = pytest.importorskip("httpx2", reason="httpx2 is not installed")
if not hasattr(httpx2, "alias_httpx"):
    pytest.skip("this httpx2 has no alias_httpx", allow_module_level=True)

from .table import Combination  # noqa: E402

COMBINATION = Combination(
    name="``httpx2.alias_httpx()``",
    with_="httpx2",
    know="Call it before any import of httpx or ``httpx_monta``. Then ``httpx_monta`` and "
    "``httpx2_monta`` both work with the clients of httpx2, and share tokens.",
    distribution="httpx2",
)


def _run(source: str) -> None:
    """Run this in a separate Python in which warnings are errors."""
    command = [sys.executable, "-W", "error", "-c", source]
    done = subprocess.run(command, capture_output=True, text=True, timeout=25, check=False)
    assert (done.returncode, done.stderr) == (0, "")


VISIT = """
import asyncio

import httpx2
httpx2.alias_httpx()
import httpx
assert httpx is httpx2
import {adapter} as adapter
from monta_auth.emulator import Emulator

with Emulator() as site:
    auth = adapter.MontaAuth(site.client_id, site.client_secret, base_url=site.base_url)
    with httpx.Client(auth=auth, base_url=site.base_url) as client:
        assert client.get("/charge-points").status_code == 200
        auth.invalidate()
        assert client.get("/charge-points").status_code == 200

    async def main():
        async with httpx.AsyncClient(auth=auth, base_url=site.base_url) as client:
            site.revoke_access_tokens()
            files = {{"file": b"read twice"}}
            return await client.post("/charge-points", files=files)

    assert asyncio.run(main()).status_code == 501
    calls = [(call.path, call.status) for call in site.calls]
assert calls == [
    ("/auth/token", 200),
    ("/charge-points", 200),
    ("/auth/refresh", 200),
    ("/charge-points", 200),
    ("/charge-points", 401),
    ("/auth/refresh", 200),
    ("/charge-points", 501),
], calls
"""


@pytest.mark.parametrize("adapter", ["httpx_monta", "httpx2_monta"])
def test_either_adapter_works(adapter: str) -> None:
    _run(VISIT.format(adapter=adapter))


def test_both_adapters_share_a_token_and_raise_errors_of_httpx2() -> None:
    _run("""
import logging

import httpx2
httpx2.alias_httpx()
import httpx2_monta, httpx_monta
from monta_auth.emulator import Emulator

logging.disable()  # the failure below
with Emulator() as site, httpx2.Client(base_url=site.base_url) as client:
    for adapter in (httpx_monta, httpx2_monta):
        auth = adapter.MontaAuth(site.client_id, site.client_secret, base_url=site.base_url)
        assert client.get("/charge-points", auth=auth).status_code == 200
    assert site.count("/auth/token") == 1
    for adapter in (httpx_monta, httpx2_monta):
        try:
            wrong = adapter.MontaAuth(site.client_id, adapter.__name__, base_url=site.base_url)
            client.get("/charge-points", auth=wrong)
        except httpx2.RequestError as error:
            assert isinstance(error, adapter.InvalidCredentialsError)
        else:
            raise AssertionError("it should have failed")
""")


def test_the_alias_comes_too_late_after_an_import_of_the_adapter() -> None:
    _run("""
import httpx2, httpx_monta
try:
    httpx2.alias_httpx()
except RuntimeError as error:
    assert "before any `import httpx`" in str(error)
else:
    raise AssertionError("it should have failed")
""")
