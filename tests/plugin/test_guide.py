"""docs/guides/testing.rst: each example is a test file that passes."""

from __future__ import annotations

import pytest

from ..docs.pages import Example, parameters
from .test_plugin import passes

pytest_plugins = ["pytester"]


@pytest.mark.parametrize("shown", parameters("guides/testing.rst"))
def test_the_example_passes(pytester: pytest.Pytester, shown: Example) -> None:
    passes(pytester, shown.code, passed=shown.code.count("def test_"))
