"""Print for terminals, for pipes, and as JSON."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable
from datetime import datetime
from textwrap import wrap
from typing import TextIO

import click

from .._core.tokens import date_text

_WIDEST = 100


def echo(text: str, *, err: bool = False, style: str = "") -> None:
    """Print a line. Characters that the stream cannot encode are replaced.

    Args:
        style: a style of rich for the first two columns, if the terminal has colors.
    """
    from rich.console import Console
    from rich.text import Text

    stream = sys.stderr if err else sys.stdout
    line = Text(_encodable(text, stream, "replace"))
    line.stylize(style, 0, 2)
    Console(file=stream).print(line, soft_wrap=True)


def sign(wanted: str, plain: str) -> str:
    """Return the wanted sign, or the plain one if stdout cannot encode it, two columns wide."""
    try:
        return f"{_encodable(wanted, sys.stdout):<2}"
    except UnicodeEncodeError:
        return f"{plain:<2}"


def _encodable(text: str, stream: TextIO, errors: str = "strict") -> str:
    encoding = stream.encoding or "ascii"
    return text.encode(encoding, errors).decode(encoding)


def show(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and values in two columns."""
    rows = list(pairs)
    width = max(len(name) for name, _ in rows) + 2
    for name, value in rows:
        lines = wrapped(value, width)
        echo(f"{name:<{width}}" + f"\n{' ' * width}".join(lines))


def wrapped(text: str, indent: int) -> list[str]:
    """Return the lines of a text that begins in this column, wrapped only at a terminal.

    Unprintable characters become spaces, because a text of the API could control the terminal.
    """
    text = "".join(c if c.isprintable() else " " for c in text)
    if not sys.stdout.isatty():
        return [text]
    width = min(shutil.get_terminal_size().columns, _WIDEST) - indent - 1
    # Long paths and URLs stay on one line, so that they can be copied.
    return wrap(text, max(width, 20), break_on_hyphens=False, break_long_words=False) or [""]


def show_json(data: object) -> None:
    """Print an object as JSON, with dates in ISO 8601."""
    click.echo(json.dumps(data, indent=2, default=_iso))


def _iso(value: object) -> str:
    assert isinstance(value, datetime)
    return date_text(value)


def duration(seconds: float) -> str:
    """Return a duration in words, such as ``"59 minutes"``."""
    for name, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        # "90 minutes" says more than "2 hours" or "1 hour", so a unit needs at least two.
        if round(seconds) >= 2 * length:
            return f"{seconds / length:.0f} {name}s"
    return "1 second" if round(seconds) == 1 else f"{seconds:.0f} seconds"
