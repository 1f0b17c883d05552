"""docs/guides/proxies-and-tls.rst: its examples work with a proxy, TLS and certificates."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import certifi
import pytest
import requests

import requests_monta
from monta_auth.emulator import Emulator

from .net import HOST, Certificates, Way
from .pages import Example, parameters, stand_in

PAGE = "guides/proxies-and-tls.rst"
API = f"https://{HOST}/api/v1"
BOTH = ["/auth/token", "/charge-points"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=[True], ids=["mTLS"])
def way(
    request: pytest.FixtureRequest,
    certificates: Certificates,
    monta: Emulator,
) -> Iterator[Way]:
    context = certificates.context(wants_client=request.param)
    with Way(monta.port, context).open() as way:
        yield way


only_tls = pytest.mark.parametrize("way", [False], indirect=True, ids=["TLS"])


# aiohttp warns with any middleware: asyncio.run ends before the socket below TLS is closed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("shown", parameters(PAGE))
def test_requests_and_token_calls_use_the_clients_proxy_and_certificates(
    shown: Example,
    way: Way,
    monta: Emulator,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand_in(monta, API, monkeypatch)
    shown.run(
        {
            "http://proxy.example:3128": way.proxy,
            "/etc/ssl/certs/company.pem": certificates.ca,
            "/etc/ssl/client.pem": certificates.file("client.pem"),
            "/etc/ssl/client.key": certificates.file("client.key"),
        }
    )
    gc.collect()  # now, where the warning is allowed
    assert [call.path for call in monta.calls] == BOTH
    assert {*way.asked} == {f"{HOST}:443"}


_SYNC = """
import {library}
from {library}_monta import MontaAuth
auth = MontaAuth()
print({library}.get(auth.source.base_url + "/charge-points", auth=auth).status_code)
"""
_ASYNC = """
import asyncio, aiohttp
from aiohttp_monta import MontaAuth
async def main():
    auth = MontaAuth()
    async with aiohttp.ClientSession(middlewares=(auth,), trust_env=True) as session:
        async with session.get(auth.source.base_url + "/charge-points") as reply:
            print(reply.status)
asyncio.run(main())
"""
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def _no_ca_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in _CA_VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@only_tls
@pytest.mark.parametrize("library", ["requests", "httpx", "httpx2", "aiohttp"])
def test_requests_and_token_calls_use_the_environments_proxy_and_ca(
    library: str, way: Way, monta: Emulator, certificates: Certificates, tmp_path: Path
) -> None:
    """In a separate process, since some libraries read the environment when they are imported."""
    variable = "REQUESTS_CA_BUNDLE" if library == "requests" else "SSL_CERT_FILE"
    code = _ASYNC if library == "aiohttp" else _SYNC.format(library=library)
    password = "p@ss/w#rd:%1"
    proxy = way.proxy.replace("//", f"//user:{quote(password, safe='')}@")
    environment = os.environ | {
        "MONTA_BASE_URL": API,
        "HTTPS_PROXY": proxy,
        variable: certificates.ca,
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=25,
    )
    assert done.stdout == "200\n", done.stderr
    assert [call.path for call in monta.calls] == BOTH
    assert {*way.asked} == {f"{HOST}:443"}
    assert {*way.users} == {f"user:{password}"}


@only_tls
def test_without_session_the_token_call_does_not_use_the_sessions_ca(
    way: Way, monta: Emulator, certificates: Certificates
) -> None:
    base_url = f"https://127.0.0.1:{way.front}/api/v1"
    with requests.Session() as session:
        session.verify = certificates.ca
        session.auth = requests_monta.MontaAuth(base_url=base_url)
        with pytest.raises(requests.exceptions.SSLError, match=r"MontaAuth\(session=\.\.\.\)"):
            session.get(f"{base_url}/charge-points", timeout=5)
        assert monta.count() == 0

        session.auth = requests_monta.MontaAuth(base_url=base_url, session=session)
        session.auth.forget()
        assert session.get(f"{base_url}/charge-points", timeout=5).ok
    assert [call.path for call in monta.calls] == BOTH


@only_tls
def test_requests_prefers_its_variable_to_verify(
    way: Way, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    base_url = f"https://127.0.0.1:{way.front}/api/v1"
    with requests.Session() as session:
        session.verify = certificates.ca
        session.auth = auth = requests_monta.MontaAuth(base_url=base_url, session=session)
        with pytest.raises(requests.exceptions.SSLError):
            session.get(f"{base_url}/charge-points", timeout=5)
        auth.forget()
        session.trust_env = False
        assert session.get(f"{base_url}/charge-points", timeout=5).ok
