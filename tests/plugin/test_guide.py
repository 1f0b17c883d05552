"""docs/guides/testing.rst: each example is a test file that passes."""

from __future__ import annotations

import pytest

from ..docs.pages import Example, example, parameters
from .test_plugin import passes

pytest_plugins = ["pytester"]


@pytest.mark.parametrize("shown", parameters("guides/testing.rst"))
def test_the_example_passes(pytester: pytest.Pytester, shown: Example) -> None:
    if shown.name == "fastapi":
        pytest.importorskip("fastapi", reason="FastAPI is not installed; it is in tox -e compat")
        pytester.makepyfile(app=example("guides/in-production.rst", "fastapi").code)
    passes(pytester, shown.code, passed=shown.code.count("def test_"))
