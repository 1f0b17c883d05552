"""A notebook: what IPython shows of an auth object with `?`, with Tab and as a value."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest

import aiohttp_monta
import httpx2_monta
import httpx_monta
import requests_monta
from monta_auth.emulator import Emulator

from .table import Combination

pytest.importorskip("IPython", reason="IPython is not installed")
interactiveshell: Any = importlib.import_module("IPython.core.interactiveshell")
completer: Any = importlib.import_module("IPython.core.completer")
pretty: Any = importlib.import_module("IPython.lib.pretty").pretty

COMBINATION = Combination(
    name="IPython",
    with_="all",
    know="``?`` shows arguments and errors, and no secret. A cell can ``await auth.atoken()``.",
    distribution="ipython",
)
ADAPTERS = [requests_monta, httpx_monta, httpx2_monta, aiohttp_monta]
SECRET = "the-client-secret-9f8e"


@pytest.fixture(scope="module")
def shell() -> Any:
    return interactiveshell.InteractiveShell(colors="nocolor")


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.__name__)
def test_a_question_mark_shows_arguments_and_docs_but_no_secret(shell: Any, adapter: Any) -> None:
    auth = adapter.MontaAuth("client-id", SECRET)
    shell.user_ns.update(auth=auth, MontaAuth=adapter.MontaAuth)
    of_class = shell.object_inspect_text("MontaAuth")
    assert all(f"{name}:" in of_class for name in inspect.signature(adapter.MontaAuth).parameters)
    assert "Raises:" in of_class
    of_object, of_method = (
        shell.object_inspect_text("auth"),
        shell.object_inspect_text("auth.token"),
    )
    assert "MontaAuth(TokenSource('client-id'" in of_object
    assert "Return a usable token pair" in of_method
    assert SECRET not in of_class + of_object + of_method + pretty(auth) + pretty(vars(auth))


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.__name__)
def test_tab_offers_the_methods(shell: Any, adapter: Any) -> None:
    names = {"auth": adapter.MontaAuth("client-id", SECRET)}
    tab = completer.IPCompleter(shell=shell, namespace=names, use_jedi=False)
    with completer.provisionalcompleter():
        offered = {each.text for each in tab.completions("auth.", 5)}
    verbs = {"application", "base_url", "bearer_token", "forget", "invalidate", "source", "status"}
    assert {f".{name}" for name in {*verbs, "token"}} <= offered
    assert not any(name.startswith("._") for name in offered)


@pytest.mark.parametrize("adapter", [httpx_monta, httpx2_monta, aiohttp_monta])
def test_a_cell_can_await_a_token(shell: Any, adapter: Any) -> None:
    with Emulator() as monta:
        shell.user_ns["auth"] = adapter.MontaAuth(
            monta.client_id, monta.client_secret, base_url=monta.base_url
        )
        ran = shell.run_cell("(await auth.atoken()).access_token")
        assert ran.result == shell.run_cell("await auth.abearer_token()").result
        assert monta.count() == 1
