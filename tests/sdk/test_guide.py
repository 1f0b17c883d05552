"""docs/guides/sdks.rst: the examples run."""

from __future__ import annotations

import re

import pytest

from ..docs.pages import Example, called_by, parameters


# A generator may take longer than a test usually may.
@pytest.mark.timeout(120)
@pytest.mark.parametrize("shown", parameters("guides/sdks.rst"))
def test_the_example_runs_with_one_token(
    shown: Example, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    for generated in re.findall(r"^from (monta_sdk|monta_api\w*)", shown.code, re.MULTILINE):
        request.getfixturevalue(generated)
    paths = called_by(shown, monkeypatch)

    assert paths.count("/auth/token") == 1
    assert {*paths} == {"/auth/token", "/charge-points"}
