"""docs/libraries/authlib.rst: the examples run."""

from __future__ import annotations

import pytest

from ..plugin.guide import examples, run


@pytest.mark.parametrize("code", examples("libraries/authlib.rst"))
def test_the_example_runs_with_one_token(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = run(code, monkeypatch)

    assert paths.count("/auth/token") == 1
    assert {*paths} == {"/auth/token", "/charge-points"}
