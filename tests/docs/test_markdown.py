"""docs/_markdown.py: what it rewrites, and that it rewrites nothing by halves."""

from __future__ import annotations

import pytest

from .pages import load
from .test_promises import SECURITY

as_rst = load("_markdown").as_rst


def test_what_it_rewrites() -> None:
    assert as_rst("# A\n\n## Bee\n\n`c` **d**\n\n* e\n  f\n\n    g  h\n") == (
        "A\n=\n\nBee\n---\n\n``c`` **d**\n\n* e\n  f\n\n.. code-block:: text\n\n    g  h\n"
    )
    assert as_rst("see `docs/guides/secrets.rst`") == "see :doc:`/guides/secrets`\n"
    assert as_rst("| a | `b` |\n| --- | --- |\n| c |  |") == (
        ".. list-table::\n   :header-rows: 1\n   :widths: 55 45\n   :class: stacked\n\n"
        "   * - a\n     - ``b``\n   * - c\n     - \n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "### deeper",
        "> quoted",
        "```sh\nls\n```",
        "1. one",
        "- one",
        "[a](b)",
        "<https://a.example>",
    ],
)
def test_it_refuses_what_it_does_not_know(text: str) -> None:
    with pytest.raises(ValueError, match="cannot rewrite this"):
        as_rst(text)


@pytest.mark.parametrize("text", ["| a | b |\n| --- | --- |\n| c |", "| a | b |\n| c | d |"])
def test_it_refuses_half_a_table(text: str) -> None:
    with pytest.raises(ValueError, match="not a table"):
        as_rst(text)


def test_it_knows_all_of_security_md() -> None:
    text = as_rst(SECURITY)
    assert text.count(".. list-table::") == SECURITY.count("| --- | --- |\n")
    assert text.replace("``", "").count("`") == 2 * text.count(":doc:`")
