"""docs/guides/sdks.rst: the examples run."""

from __future__ import annotations

import re

import pytest

from ..plugin.guide import examples, run


# A generator may take longer than a test.
@pytest.mark.timeout(120)
@pytest.mark.parametrize("code", examples("guides/sdks.rst"))
def test_the_example_runs_with_one_token(
    code: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    for generated in re.findall(r"^from (monta_sdk|monta_api\w*)", code, re.MULTILINE):
        request.getfixturevalue(generated)
    paths = run(code, monkeypatch)

    assert paths.count("/auth/token") == 1
    assert {*paths} == {"/auth/token", "/charge-points"}
