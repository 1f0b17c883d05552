"""docs/guides/sdks.rst: the examples run."""

from __future__ import annotations

import pytest

from ..plugin.guide import examples, run


@pytest.mark.parametrize("code", examples("guides/sdks.rst"))
def test_the_example_runs_with_one_token(
    code: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if "monta_sdk" in code:
        request.getfixturevalue("monta_sdk")
    paths = run(code, monkeypatch)

    assert paths.count("/auth/token") == 1
    assert {*paths} == {"/auth/token", "/charge-points"}
