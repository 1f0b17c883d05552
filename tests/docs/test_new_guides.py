"""The guides on production, rate limits, Home Assistant and other tools: their examples run."""

from __future__ import annotations

import pytest

from monta_auth.emulator import Emulator

from .pages import example

# dlt, gql and FastMCP run in tests/compat.
TOOLS = "guides/where-to-put-auth.rst"


# --- where to put auth=


def test_a_session_serves_most_tools(monta: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    example(TOOLS, "session").run()
    assert capsys.readouterr().out == "24\n"
    assert (monta.count("/auth/token"), monta.count()) == (1, 2)
