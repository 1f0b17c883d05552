"""The fixtures, in separate test suites."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import monta_auth
from monta_auth import pytest_plugin

pytest_plugins = ["pytester"]

# Pytester drops modules that were first imported in one of its runs. These must not be imported
# twice, since other tests keep their classes, and the libraries import some of them late.
for _name in (
    *("requests_monta", "httpx_monta", "httpx2_monta", "monta_auth.emulator"),
    *("requests", "responses", "httpx", "httpcore", "httpx2", "httpcore2", "respx"),
    *("anyio._backends._asyncio", "anyio._backends._trio"),
):
    importlib.import_module(_name)

ROOT = Path(monta_auth.__file__).parent.parent


def passes(pytester: pytest.Pytester, source: str, **outcomes: int) -> pytest.RunResult:
    """Run these tests in a separate pytest with this plugin and no other (plugins take time)."""
    pytester.makepyfile(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        result = pytester.runpytest_inprocess(
            "-p", "no:cacheprovider", "-W", "error", plugins=[pytest_plugin]
        )
    result.assert_outcomes(**outcomes)
    return result


@pytest.mark.skipif(
    not entry_points(group="pytest11", name="monta_auth"), reason="monta-auth is not installed"
)
def test_pytest_loads_the_plugin_automatically(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--fixtures", "-q")

    result.stdout.fnmatch_lines(["monta_emulator -- *", "monta_responses -- *", "monta_respx -- *"])


def test_the_emulator_needs_three_lines(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
        import requests
        from requests_monta import MontaAuth

        def test_it(monta_emulator):
            assert requests.get(f"{monta_emulator.base_url}/charge-points", auth=MontaAuth()).ok
            assert monta_emulator.count("/auth/token") == 1
        """,
        passed=1,
    )


@pytest.mark.parametrize(
    ("before", "then"),
    [
        ({}, "localhost,127.0.0.1"),
        ({"NO_PROXY": "x.example"}, "localhost,127.0.0.1,x.example"),
        ({"NO_PROXY": "y.example", "no_proxy": "x.example"}, "localhost,127.0.0.1,x.example"),
        ({"NO_PROXY": "*"}, "*"),
    ],
)
def test_the_emulator_is_called_without_a_proxy(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    before: dict[str, str],
    then: str,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    passes(
        pytester,
        f"""
        import os
        import requests
        from urllib.request import getproxies
        from requests_monta import MontaAuth

        def test_it(monta_emulator):
            assert requests.get(f"{{monta_emulator.base_url}}/charge-points", auth=MontaAuth()).ok
            assert getproxies()["no"] == {then!r}
        """,
        passed=1,
    )


def test_each_test_has_its_own_emulator_and_environment(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONTA_CLIENT_ID", "before")
    passes(
        pytester,
        """
        import os
        import pytest

        seen = set()

        @pytest.mark.parametrize("number", [1, 2])
        def test_it(monta_emulator, number):
            assert os.environ["MONTA_BASE_URL"] == monta_emulator.base_url
            assert os.environ["MONTA_CLIENT_ID"] == monta_emulator.client_id
            assert os.environ["MONTA_CLIENT_SECRET"] == monta_emulator.client_secret
            assert monta_emulator.calls == ()
            seen.add(monta_emulator.client_id)

        def test_afterwards():
            assert len(seen) == 2
            assert os.environ["MONTA_CLIENT_ID"] == "before"
            assert "MONTA_BASE_URL" not in os.environ
        """,
        passed=3,
    )


def test_responses_answers_the_auth_calls(pytester: pytest.Pytester) -> None:
    """For any host, with one token after the other. A 401 is retried as usual."""
    passes(
        pytester,
        """
        import pytest
        import requests
        from requests_monta import PARTNER_API, PUBLIC_API, MontaAuth

        @pytest.mark.parametrize("api", [PUBLIC_API, PARTNER_API])
        def test_it(monta_responses, api):
            url = f"{api}/charge-points"
            monta_responses.get(url, status=401)
            monta_responses.get(url, json={"data": []})
            reply = requests.get(url, auth=MontaAuth(base_url=api))
            assert reply.json() == {"data": []}
            assert reply.request.headers["Authorization"] == "Bearer monta-access-2"
            assert [call.request.path_url for call in monta_responses.calls] == [
                "/api/v1/auth/token",
                "/api/v1/charge-points",
                "/api/v1/auth/refresh",
                "/api/v1/charge-points",
            ]

        def test_the_token_looks_like_montas(monta_responses):
            pair = MontaAuth().token()
            assert pair.refresh_token == "monta-refresh-1"
            life = pair.access_expires_at - pair.issued_at
            assert 3598 <= life.total_seconds() <= 3601

        def test_the_rest_is_not_answered(monta_responses):
            with pytest.raises(requests.ConnectionError):
                requests.get(PUBLIC_API, auth=MontaAuth())
        """,
        passed=4,
    )


def test_the_mocks_do_not_depend_on_the_base_url_of_the_environment(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONTA_BASE_URL", "http://127.0.0.1:9/api/v1")
    passes(
        pytester,
        """
        import pytest
        from monta_auth import PUBLIC_API
        from requests_monta import MontaAuth

        @pytest.mark.parametrize("mock", ["monta_responses", "monta_respx"])
        def test_it(mock, request):
            request.getfixturevalue(mock)
            assert MontaAuth().base_url == PUBLIC_API
        """,
        passed=2,
    )


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_respx_answers_the_auth_calls(pytester: pytest.Pytester, library: str) -> None:
    """Also for httpx2, which respx does not support; sync and async."""
    passes(
        pytester,
        f"""
        import asyncio
        import httpx
        import {library} as library
        import pytest
        from {library}_monta import PUBLIC_API, MontaAuth

        URL = f"{{PUBLIC_API}}/charge-points"

        @pytest.fixture
        def route(monta_respx):
            replies = [httpx.Response(401), httpx.Response(200, json={{"data": []}})]
            return monta_respx.get(URL).mock(side_effect=replies)

        def check(reply, route):
            assert reply.json() == {{"data": []}}
            assert reply.request.headers["Authorization"] == "Bearer monta-access-2"
            assert route.call_count == 2

        def test_sync(route):
            with library.Client(auth=MontaAuth()) as client:
                check(client.get(URL), route)

        def test_async(route):
            async def get():
                async with library.AsyncClient(auth=MontaAuth()) as client:
                    return await client.get(URL)

            check(asyncio.run(get()), route)

        def test_a_failure(monta_respx):
            monta_respx.get(URL).mock(side_effect=library.ReadTimeout("too slow"))
            with library.Client(auth=MontaAuth()) as client:
                with pytest.raises(library.ReadTimeout):
                    client.get(URL)
        """,
        passed=3,
    )


def test_after_respx_httpx2_is_unchanged(pytester: pytest.Pytester) -> None:
    """After the test, httpx2 uses the network again."""
    passes(
        pytester,
        """
        import respx.mocks

        before = list(respx.mocks.HTTPCoreMocker.targets)

        def test_while(monta_respx):
            assert len(respx.mocks.HTTPCoreMocker.targets) == 2 * len(before)

        def test_then():
            assert respx.mocks.HTTPCoreMocker.targets == before
        """,
        passed=2,
    )


@pytest.mark.parametrize(
    ("fixture", "missing"),
    [
        ("monta_responses", "responses"),
        ("monta_respx", "respx"),
        ("monta_emulator", "starlette"),
    ],
)
def test_the_error_for_a_missing_package_shows_the_install_command(
    pytester: pytest.Pytester, fixture: str, missing: str
) -> None:
    pytester.makeconftest(
        f"""
        import sys

        for name in [name for name in sys.modules if name.startswith("monta_auth.emulator")]:
            del sys.modules[name]
        sys.modules[{missing!r}] = None
        """
    )
    result = passes(pytester, f"def test_it({fixture}): pass", errors=1)
    result.stdout.fnmatch_lines(["E *ImportError: *: pip install *"])


def test_no_test_uses_the_token_of_another_test(pytester: pytest.Pytester) -> None:
    """Otherwise a mock that counts token calls would depend on the order of the tests."""
    passes(
        pytester,
        """
        import pytest
        import requests
        from requests_monta import PUBLIC_API, MontaAuth

        @pytest.mark.parametrize("number", [1, 2])
        def test_it(monta_responses, number):
            for _ in range(2):
                MontaAuth().token()
            assert len(monta_responses.calls) == 1
        """,
        passed=2,
    )


def test_no_test_shares_the_token_of_a_session_fixture(pytester: pytest.Pytester) -> None:
    """An auth object keeps its token, but a new object does not share it."""
    passes(
        pytester,
        """
        import pytest
        from requests_monta import MontaAuth

        @pytest.fixture(scope="session")
        def auth():
            return MontaAuth("id", "secret")

        @pytest.mark.parametrize("number", [1, 2])
        def test_it(auth, number):
            assert (MontaAuth("id", "secret").source is auth.source) == (number == 1)
        """,
        passed=2,
    )


def test_importing_the_plugin_imports_no_library() -> None:
    """It is imported in every pytest run where monta-auth is installed."""
    code = (
        "import sys, pytest; old = {*sys.modules}\n"
        "import monta_auth.pytest_plugin\n"
        "print(*{name.partition('.')[0] for name in {*sys.modules} - old})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    new = {*done.stdout.split()}
    assert "monta_auth" in new
    assert not new & {"requests", "httpx", "httpx2", "respx", "responses", "starlette", "asyncio"}


def test_without_adapters_no_registry_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite without adapters must not pay for importing one."""
    monkeypatch.delitem(sys.modules, "monta_auth._core.shared_sources", raising=False)
    pytest_plugin.pytest_runtest_setup()
    pytest_plugin.pytest_runtest_teardown()

    assert "monta_auth._core.shared_sources" not in sys.modules


def test_without_httpx2_respx_is_not_changed(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pytest_plugin, "find_spec", lambda name: None)
    passes(
        pytester,
        """
        import respx.mocks

        def test_it(monta_respx):
            assert not [t for t in respx.mocks.HTTPCoreMocker.targets if "httpcore2" in t]
        """,
        passed=1,
    )
