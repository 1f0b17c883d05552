"""Write the results as reStructuredText and as two plots.

The plots are SVG written without a library: a few kB, no background, and colors that stand out on
white and on black.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable, Sequence
from html import escape
from importlib import metadata
from pathlib import Path

from . import _cost, _stampede
from ._figures import Crowd, Figure, Results, Row, Spread
from ._peers import NAMES, OURS, STATIC

DISTRIBUTIONS = [
    "requests",
    "httpx",
    "httpx2",
    "aiohttp",
    "authlib",
    "requests-oauthlib",
    "google-auth",
    "httpx-auth",
    "monta",
]
ACCENT, PEER, BAD = "#2f86d6", "#b5762a", "#d0453e"


def versions() -> str:
    found: list[str] = []
    for name in DISTRIBUTIONS:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} (not installed)")
    return f"{platform.python_implementation()} {platform.python_version()}; " + ", ".join(found)


#: Heading, how the names of its measures begin, and what the figures are.
PARTS = {
    "A request that has its token": (("auth step", "request"), """\
Its time divided by the time with a static header in the same library: the median of all rounds
(quartiles).
"""),
    "Stampedes": (("cold start", "revocation"), """\
Token calls; wall time divided by the ideal, if every request succeeded; TCP connections that the
server accepted; failed requests.
"""),
    "Expiry": (("expiry",), """\
Eight threads or tasks call without a pause while the token expires: token calls, and how many
requests waited for one.
"""),
    "Expiry with a probe": (("probe",), """\
The same with two threads or tasks that pause between requests, while a readiness probe asks for the
token every 12 s: token calls, how many requests waited for one, and milliseconds that the renewal
added to the slowest request: the median of all rounds (quartiles).
"""),
    "A wrong clock": (("clock",), """\
A hundred requests in a hundred minutes, while a token is valid for an hour: token calls, and failed
requests. The worst of four runs: slow or fast, from the start or from the third request on.
"""),
    "Import": (("import",), """\
Milliseconds of processor time after the import of the library: the median of all rounds
(quartiles).
"""),
}  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """Return rows as a reStructuredText table, without empty columns."""
    names = [name for name in NAMES if any(name in row.figures for row in rows)]
    lines = [".. list-table::", "   :header-rows: 1", ""]

    def add(cells: Iterable[str]) -> None:
        for number, cell in enumerate(cells):
            lines.append(f"   {'* -' if number == 0 else '  -'} {cell}".rstrip())

    add(["measure", "library", "limit", *names])
    for row in rows:
        figures = [str(row.figures.get(name, "")) for name in names]
        add([row.measure, row.library, row.limit, *figures])
    return "\n".join(lines) + "\n"


def page(results: Results, quick: bool, missed: Sequence[str]) -> str:
    kind = "A quick run; ignore its times:" if quick else "Measured with"
    parts = [f".. Written by ``python -m benchmarks``; do not edit.\n\n{kind} {versions()}.\n"]
    for heading, (begins, what) in PARTS.items():
        rows = [row for row in results.rows if row.measure.startswith(begins)]
        parts.append(f"{heading}\n{'~' * len(heading)}\n\n{what}\n{table(rows)}")
    lists = {
        "What this run could not measure": results.missing,
        "Promises that this run missed": missed or ["None."],
    }
    for heading, lines in lists.items():
        text = "\n".join(f"* {line}" for line in lines)
        parts.append(f"{heading}\n{'~' * len(heading)}\n\n{text}\n")
    return "\n".join(parts)


#: Name, value, label. A bar without a value shows a failure.
Bar = tuple[str, float | None, str]


def plot(title: str, note: str, groups: dict[str, list[Bar]]) -> str:
    """Return horizontal bars on a logarithmic axis from 1, as SVG that fits a phone."""
    left, width, line = 136, 200, 20
    longest = max(bar[1] or 1.0 for bars in groups.values() for bar in bars)
    scale = width / math.log(max(longest, 2.0) * 1.05)
    shapes: list[str] = []
    y = 68

    def text(x: float, at: float, what: str, more: str = "") -> None:
        shapes.append(f'<text x="{x:.1f}" y="{at:.1f}" {more}>{escape(what)}</text>')

    text(8, 18, title, 'font-weight="bold"')
    for number, words in enumerate(note.split("\n")):
        text(8, 36 + 17 * number, words)
    top = y - 4
    for group, bars in groups.items():
        text(8, y + 14, group, 'font-weight="bold"')
        y += line
        for name, value, label in bars:
            text(left - 8, y + 14, name, 'text-anchor="end"')
            if value is None:
                text(left + 6, y + 14, label, f'fill="{BAD}"')
            else:
                long = max(1.5, scale * math.log(max(value, 1.0)))
                colour = ACCENT if name == OURS else PEER
                shapes.append(
                    f'<rect x="{left}" y="{y + 3}" width="{long:.1f}" height="{line - 7}" '
                    f'fill="{colour}"/>'
                )
                text(left + long + 6, y + 14, label)
            y += line
        y += 8
    tick, ticks = 1, ""
    while tick <= longest:
        x = left + scale * math.log(tick)
        ticks += f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{y}" stroke="currentColor" '
        ticks += f'stroke-width="1" stroke-opacity="{0.7 if tick == 1 else 0.25}"/>'
        text(x, y + 16, str(tick), 'text-anchor="middle"')
        tick *= 2 if longest < 20 else 4
    height, all_wide = y + 26, left + width + 64
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {all_wide} {height}" '
        f'width="{all_wide}" height="{height}" class="chart" role="img" font-family="sans-serif" '
        f'font-size="14" fill="currentColor"><title>{escape(title)}</title>{ticks}'
        + "".join(shapes)
        + "</svg>\n"
    )


def cost_plot(results: Results) -> str | None:
    def bar(name: str, figure: Figure) -> Bar:
        assert isinstance(figure, Spread)
        return name, figure.median, f"{figure.median:.2f}"

    groups = {
        row.library: [bar(name, row.figures[name]) for name in NAMES if name in row.figures]
        for row in results.rows
        if row.measure == _cost.STEP and row.figures
    }
    note = f"The {STATIC} of the same library is 1.\nLogarithmic; shorter is better."
    return plot("Auth step of a request that has its token", note, groups) if groups else None


def stampede_plot(results: Results) -> str | None:
    def bar(name: str, figure: Figure) -> Bar:
        assert isinstance(figure, Crowd)
        if figure.failed:
            return name, None, f"{figure.failed} of {figure.requests} requests failed"
        return name, float(figure.token_calls), str(figure.token_calls)

    groups: dict[str, list[Bar]] = {}
    for row in results.rows:
        if row.measure.startswith((_stampede.COLD, _stampede.REVOKED)) and row.figures:
            label = f"{row.measure.partition(',')[0]}, {row.library}"
            groups[label] = [bar(name, row.figures[name]) for name in NAMES if name in row.figures]
    note = "Many threads or tasks at once; one token call is right.\nLogarithmic."
    return plot("Token calls of a stampede", note, groups) if groups else None


def write(results: Results, folder: Path, text: str) -> list[Path]:
    """Write the tables and plots of the page into a folder; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "results.inc": text,
        "auth-step.svg": cost_plot(results),
        "stampedes.svg": stampede_plot(results),
    }
    written: list[Path] = []
    for name, content in texts.items():
        if content is not None:
            path = folder / name
            path.write_text(content, encoding="utf-8")
            written.append(path)
    return written
