"""docs/guides/testing.rst: each example is a test file that passes."""

from __future__ import annotations

import pytest

from .guide import examples
from .test_plugin import passes

pytest_plugins = ["pytester"]


@pytest.mark.parametrize("code", examples("guides/testing.rst"))
def test_the_example_passes(pytester: pytest.Pytester, code: str) -> None:
    passes(pytester, code, passed=code.count("def test_"))
