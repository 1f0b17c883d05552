"""``SECURITY.md``, which hosts of repositories look for, as a page.

It uses a few features of Markdown: headings, paragraphs, bullets, tables, code. These are rewritten
as reStructuredText before Sphinx reads the page ``security``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[1] / "SECURITY.md"
UNDERLINES = {"#": "=", "##": "-"}
WIDTHS = {2: "55 45", 4: "16 30 30 24"}


def as_rst(markdown: str) -> str:
    """Return the same text as reStructuredText.

    Raises:
        ValueError: it has something else than the features above.
    """
    return "\n\n".join(map(_block, re.split(r"\n{2,}", markdown.strip()))) + "\n"


def _block(block: str) -> str:
    if block.startswith("    "):
        return f".. code-block:: text\n\n{block}"
    if block.startswith("|"):
        return _table(block)
    if heading := re.fullmatch(r"(##?) (.+)", block):
        return f"{heading[2]}\n{UNDERLINES[heading[1]] * len(heading[2])}"
    if re.match(r"#|>|```|\d+\. |- ", block) or re.search(r"\]\(|<\w", block):
        raise ValueError(f"docs/_markdown.py cannot rewrite this: {block}")
    return _inline(block)


def _inline(text: str) -> str:
    text = re.sub(r"`([^`]+)`", r"``\1``", text)
    return re.sub(r"``docs/([\w/-]+)\.rst``", r":doc:`/\1`", text)


def _table(block: str) -> str:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
    head, rule, *body = rows
    if {len(row) for row in rows} != {len(head)} or {*"".join(rule)} != {"-"}:
        raise ValueError(f"not a table: {block}")
    text = f".. list-table::\n   :header-rows: 1\n   :widths: {WIDTHS[len(head)]}\n"
    text += "   :class: stacked\n\n" if len(head) == 2 else "\n"
    for row in (head, *body):
        text += "   * - " + "\n     - ".join(map(_inline, row)) + "\n"
    return text.rstrip("\n")


def _read(app: Any, page: str, source: list[str]) -> None:
    if page == "security":
        app.env.note_dependency(SOURCE)
        source[0] = as_rst(SOURCE.read_text(encoding="utf-8"))


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
