"""docs/configuration.rst: every argument and every number agrees with the code."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

import aiohttp_monta
import httpx2_monta
import httpx_monta
import monta_auth
import requests_monta
from monta_auth.emulator import Emulator

from .pages import DOCS, Example, parameters, table

TEXT = (DOCS / "configuration.rst").read_text(encoding="utf-8")


@pytest.mark.parametrize("shown", parameters("configuration.rst"))
def test_an_auth_object_alone_makes_no_call(shown: Example, monta: Emulator) -> None:
    names = shown.run()
    assert monta.calls == ()
    if "second" in names:
        assert names["first"].source is names["second"].source


def test_the_defaults_of_the_policy_agree_with_the_code() -> None:
    """A number in a text gets out of date unless a test compares it."""
    rows = table(TEXT, "argument", "default", "meaning", having="advisory")[1:]
    told = {row[0].strip("`"): float(row[1].removesuffix(" s")) for row in rows}
    policy = monta_auth.RefreshPolicy()
    assert told == {name: getattr(policy, name) for name in policy._fields}


@pytest.mark.parametrize(
    ("auth", "library"),
    [
        pytest.param(requests_monta.MontaAuth, "requests", id="requests"),
        pytest.param(httpx_monta.MontaAuth, "httpx", id="httpx"),
        pytest.param(httpx2_monta.MontaAuth, "httpx2", id="httpx2"),
        pytest.param(aiohttp_monta.MontaAuth, "aiohttp", id="aiohttp"),
    ],
)
def test_the_arguments_agree_with_the_code(auth: Any, library: str) -> None:
    """Every argument is listed, none is invented, and the only number is right."""
    rows = table(TEXT, "argument", "default", "meaning", having="client_id")[1:]
    told: dict[str, str] = {}
    for argument, default, *_ in rows:
        name, _, only = argument.replace("`", "").partition(" (")
        if not only or library in only.rstrip(")").split(", "):
            told[name] = default.replace("`", "")
    taken = inspect.signature(auth).parameters
    assert {*told} == {*taken}
    numbers = {n: p.default for n, p in taken.items() if isinstance(p.default, float)}
    assert numbers == {n: float(d) for n, d in told.items() if re.fullmatch(r"[\d.]+", d)}
