"""The drawings of the pages: inline SVG, made when the pages are built.

``.. diagram:: windows`` puts one of `DIAGRAMS` into a page. Colours and type come from the theme's
own variables (see ``_static/diagrams.css``), so that one drawing serves light and dark. Words are
text, and a title and a description say for screen readers what is to be seen. Numbers are asked of
the code.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

from monta_auth import RefreshPolicy, TokenSet
from monta_auth._core.held_pair import HeldPair, hold_new
from monta_auth._core.policy import (
    ADVISORY_JITTER,
    ADVISORY_SHARE,
    LONGEST_COOLDOWN,
    MANDATORY_SHARE,
)

WIDTH = 720
NARROW = 400
MINUS = "\N{MINUS SIGN}"
LINE = 17  # from one line of text to the next
POLICY = RefreshPolicy()

_ids = itertools.count(1)


class Drawing:
    """An SVG of fixed width that grows downwards.

    Args:
        title: a few words. Description: what somebody who does not see it should know.
        narrow: whether it fits a phone as a whole; the others scroll there, and do not shrink.
    """

    def __init__(self, name: str, title: str, description: str, narrow: bool = False) -> None:
        self.width = NARROW if narrow else WIDTH
        self.height = 0.0
        # Two of one kind on a page would share their ids.
        self._id = f"diagram-{name}-{next(_ids)}"
        self.root = ET.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "class": "diagram narrow" if narrow else "diagram",
                "role": "img",
                "aria-labelledby": f"{self._id}-title {self._id}-desc",
            },
        )
        ET.SubElement(self.root, "title", id=f"{self._id}-title").text = title
        ET.SubElement(self.root, "desc", id=f"{self._id}-desc").text = description
        marker = ET.SubElement(
            ET.SubElement(self.root, "defs"),
            "marker",
            {
                "id": f"{self._id}-tip",
                "viewBox": "0 0 10 10",
                "refX": "9",
                "refY": "5",
                "markerWidth": "7",
                "markerHeight": "7",
                "orient": "auto-start-reverse",
            },
        )
        ET.SubElement(marker, "path", {"d": "M0 0 10 5 0 10z", "class": "tip"})

    def _add(self, tag: str, kind: str, **numbers: float) -> ET.Element:
        attributes = {name.replace("_", "-"): f"{value:g}" for name, value in numbers.items()}
        return ET.SubElement(self.root, tag, {"class": kind, **attributes})

    def grow(self, to: float) -> None:
        self.height = max(self.height, to)

    def box(
        self, x: float, y: float, width: float, height: float, kind: str = "box", radius: float = 6
    ) -> None:
        self._add("rect", kind, x=x, y=y, width=width, height=height, rx=radius)
        self.grow(y + height)

    def text(self, x: float, y: float, lines: str, kind: str = "", anchor: str = "start") -> None:
        """Write lines of text, the first of them with its base line at y."""
        element = self._add("text", kind, x=x, y=y)
        element.set("text-anchor", anchor)
        for number, line in enumerate(lines.split("\n")):
            ET.SubElement(element, "tspan", x=f"{x:g}", dy=f"{LINE if number else 0:g}").text = line
        self.grow(y + LINE * lines.count("\n") + 6)

    def label(
        self, x: float, y: float, width: float, height: float, lines: str, kind: str = ""
    ) -> None:
        """Write lines of text into the middle of a rectangle."""
        down = (height - LINE * (lines.count("\n") + 1)) / 2 + LINE - 5
        self.text(x + width / 2, y + down, lines, kind, "middle")

    def line(self, *points: tuple[float, float], kind: str = "line", tip: bool = False) -> None:
        path = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
        element = ET.SubElement(self.root, "path", {"class": kind, "d": path})
        if tip:
            element.set("marker-end", f"url(#{self._id}-tip)")
        self.grow(max(y for _, y in points))

    def svg(self) -> str:
        self.root.set("viewBox", f"0 0 {self.width} {self.height + 4:g}")
        return ET.tostring(self.root, encoding="unicode")


# --- a list of questions, from top to bottom


@dataclass(frozen=True)
class Step:
    """A box of the left column, and what stands beside it.

    Args:
        text: with a question mark at its end if it is a question.
        down: the answer that leads on to the next step.
        aside, beside: the answer that leads to the right, and what is there.
        kind: of the box at the right.
    """

    text: str
    down: str = ""
    aside: str = ""
    beside: str = ""
    kind: str = "end"


def steps(drawing: Drawing, listed: Sequence[Step], skip: tuple[int, int, str]) -> None:
    """Draw steps; `skip` is an arrow past some of them: from, to, and its answer."""
    left, width, right, gap = 96.0, 296.0, 462.0, 34.0
    y = 2.0
    middles: list[tuple[float, float]] = []
    for number, step in enumerate(listed):
        lines = max(step.text.count("\n"), step.beside.count("\n")) + 1
        height = lines * LINE + 18
        middle = y + height / 2
        middles.append((middle, height))
        drawing.box(left, y, width, height, "box ask" if step.text.endswith("?") else "box")
        drawing.label(left, y, width, height, step.text)
        if step.beside:
            drawing.line((left + width, middle), (right - 2, middle), tip=True)
            drawing.text((left + width + right) / 2 - 3, middle - 6, step.aside, "small", "middle")
            drawing.box(right, y, WIDTH - right - 2, height, f"box {step.kind}")
            drawing.label(right, y, WIDTH - right - 2, height, step.beside)
        if number + 1 < len(listed):
            x = left + width / 2
            drawing.line((x, y + height), (x, y + height + gap - 2), tip=True)
            drawing.text(x + 10, y + height + gap / 2 + 4, step.down, "small")
        y += height + gap
    first, last, answer = skip
    (start, _), (end, _) = middles[first], middles[last]
    drawing.line((left, start), (36, start), (36, end), (left - 2, end), tip=True)
    drawing.text(66, start - 6, answer, "small", "middle")


# --- who says what to whom, from top to bottom


class Chart:
    """A sequence diagram: one column for each party.

    Args:
        drawing: what it is drawn into.
        parties: their names, from left to right.
    """

    def __init__(self, drawing: Drawing, *parties: str) -> None:
        self._drawing = drawing
        width = WIDTH / len(parties)
        self._at = {name: width * (number + 0.5) for number, name in enumerate(parties)}
        self._width = width
        self._y = 44.0
        self._top = self._y
        for name, x in self._at.items():
            drawing.box(x - 68, 2, 136, 32, "box ask")
            drawing.label(x - 68, 2, 136, 32, name, "strong")

    def say(self, sender: str, receiver: str, text: str, kind: str = "line") -> None:
        """An arrow with a text above it."""
        start, end = self._at[sender], self._at[receiver]
        lines = text.count("\n") + 1
        self._y += LINE * lines + 8
        towards = 1 if end > start else -1
        self._drawing.text(
            (start + end) / 2, self._y - LINE * (lines - 1) - 6, text, "small halo", "middle"
        )
        self._drawing.line((start, self._y), (end - 2 * towards, self._y), kind=kind, tip=True)

    def note(self, party: str, text: str, kind: str = "", span: float = 1.0) -> None:
        """A box upon one party's line: what happens there."""
        x, lines = self._at[party], text.count("\n") + 1
        height, width = lines * LINE + 10, self._width * span - 12
        left = min(max(x - width / 2, 2), WIDTH - width - 2)
        self._y += 10
        self._drawing.box(left, self._y, width, height, f"box {kind}".strip())
        self._drawing.label(left, self._y, width, height, text, "small")
        self._y += height

    def part(self, text: str) -> None:
        """A rule across, with what the part below it is about."""
        self._end()
        self._y += 30
        self._drawing.box(2, self._y, WIDTH - 4, 26, "band", 4)
        self._drawing.label(2, self._y, WIDTH - 4, 26, text, "strong")
        self._y += 26
        self._top = self._y

    def _end(self) -> None:
        self._y += 10
        for number, x in enumerate(self._at.values()):
            path = ET.Element(
                "path",
                {
                    "class": "life",
                    "d": f"M{x:g} {self._top - 10 * (self._top == 44):g}V{self._y:g}",
                },
            )
            # Behind everything else: after title, desc and defs.
            self._drawing.root.insert(3 + number, path)
        self._drawing.grow(self._y)

    def finish(self) -> None:
        self._end()


# --- which room may use which


@dataclass(frozen=True)
class Room:
    """A box of the drawing "rooms": its place, its name, and a few words on what it holds."""

    x: float
    y: float
    width: float
    height: float
    name: str
    holds: str = ""


#: By the names that tests/core/test_rooms.py gives them.
ROOMS = {
    "__main__": Room(106, 12, 90, 30, "__main__.py"),
    "pytest_plugin": Room(8, 66, 90, 46, "pytest_\nplugin.py"),
    "_cli": Room(106, 66, 90, 46, "_cli/"),
    "authlib": Room(204, 66, 90, 46, "authlib.py"),
    "openapi_generator": Room(302, 66, 90, 46, "openapi_\ngenerator.py"),
    "emulator": Room(28, 160, 70, 64, "emulator/", "a local\nMonta"),
    "adapters": Room(
        106,
        160,
        130,
        104,
        "adapters",
        "requests_monta/\nhttpx_monta/\nhttpx2_monta/\naiohttp_monta/",
    ),
    "public": Room(8, 296, 286, 46, "monta_auth/__init__.py", "the public names"),
    "stores": Room(8, 374, 168, 46, "stores/", "places for a token pair"),
    "_adapters": Room(204, 374, 188, 46, "_adapters/", "what the adapters share"),
    "_core": Room(8, 452, 384, 46, "_core/", "every decision about tokens"),
}
#: Who uses whom; from the bottom of one box, at this x, to the top of the other, at that x.
ARROWS = [
    ("__main__", "_cli", 151, 151),
    ("pytest_plugin", "emulator", 64, 64),
    ("pytest_plugin", "public", 19, 19),
    ("_cli", "emulator", 122, 84),
    ("_cli", "adapters", 151, 151),
    ("authlib", "public", 265, 265),
    ("openapi_generator", "_adapters", 347, 347),
    ("adapters", "public", 171, 171),
    ("public", "stores", 92, 92),
    ("public", "_adapters", 249, 249),
    ("stores", "_core", 92, 92),
    ("_adapters", "_core", 298, 298),
]


# --- the drawings


def flow() -> Drawing:
    drawing = Drawing(
        "flow",
        "The flow of one request",
        "A request to a foreign origin goes out without the token. With a fresh token it is "
        "sent at once. Otherwise one request renews the token, with the refresh token or else with "
        "the credentials. If that fails and there is no valid token, the request ends with an "
        "error. You get any response that is not a 401. After a 401, the token is renewed and the "
        "request is retried once.",
    )
    steps(
        drawing,
        [
            Step(
                "Does it go to the origin of base_url,\nor to one of allowed_origins?",
                "yes",
                "no",
                "sent without the token,\none warning is logged",
                "warn",
            ),
            Step("Is the token fresh?", "no"),
            Step(
                "Is another request renewing it?",
                "no: this request does",
                "yes",
                "mandatory window or no token: wait\nadvisory window: use the token",
                "wait",
            ),
            Step(
                "Renew: POST /auth/refresh\nif that is refused: POST /auth/token",
                "done, or failed while the token is valid",
                "failed",
                "no valid token:\nan error of your library",
                "bad",
            ),
            Step("Send it with the token"),
            Step(
                "401 to this token,\nand can the body be sent again?",
                "yes",
                "no",
                "you get the response,\nwhatever its status",
                "good",
            ),
            Step(
                "Get another token, as above,\nand retry once",
                "",
                "",
                "you get this response,\n401 or not",
                "good",
            ),
        ],
        (1, 4, "yes"),
    )
    return drawing


def windows(policy: RefreshPolicy = POLICY) -> Drawing:
    """Two lives: one hour, as Monta's tokens have, and one so short that the shares of it count."""
    hour = _moments(policy, 3600.0)
    short = _moments(policy, 300.0)
    early = f"{_seconds(hour.advisory_latest)} to {_seconds(hour.advisory_earliest)}"
    drawing = Drawing(
        "windows",
        "The two windows at the end of a token's life",
        f"Of a life of one hour, the advisory window begins {early} before the end, "
        f"and the mandatory window {_seconds(hour.mandatory)} before the end. Of a life of five "
        f"minutes they begin {_seconds(short.advisory_earliest)} and {_seconds(short.mandatory)} "
        "before the end.",
    )
    y = 0.0
    for moments, name in (
        (hour, "A token that lives one hour"),
        (short, "One that lives five minutes"),
    ):
        y = _life(drawing, y, moments, name)
    drawing.text(
        2,
        y + 14,
        f"The advisory window is {policy.advisory:g} s and, at random for each token source, 0 to "
        f"{ADVISORY_JITTER:g} s more,\nbut at most {ADVISORY_SHARE:.0%} of the life. The mandatory "
        f"window is {policy.mandatory:g} s, but at most {MANDATORY_SHARE:.0%} of the life.",
        "small",
    )
    return drawing


@dataclass(frozen=True)
class _Moments:
    """When the windows of a life begin, in seconds before its end."""

    life: float
    advisory_earliest: float
    advisory_latest: float
    mandatory: float


def _moments(policy: RefreshPolicy, life: float) -> _Moments:
    """Ask the code itself: by a pair that is born at 0."""
    born = datetime(2030, 1, 1, tzinfo=UTC)
    pair = TokenSet("a", None, born + timedelta(seconds=life), issued_at=born)

    def held(jitter: float) -> HeldPair:
        return hold_new(pair, policy, sent=0.0, jitter=jitter, after_refusal=False)

    return _Moments(
        life,
        life - held(1.0).advisory_at,
        life - held(0.0).advisory_at,
        life - held(0.0).mandatory_at,
    )


def _life(drawing: Drawing, y: float, moments: _Moments, name: str) -> float:
    """Draw one life as a bar. The fresh part is cut short, or the windows would not be seen."""
    left, fresh, right = 2.0, 210.0, WIDTH - 2.0
    scale = (right - left - fresh) / moments.advisory_earliest

    def at(before: float) -> float:
        return right - before * scale

    drawing.text(left, y + 16, name, "strong")
    top, height = y + 28, 74.0
    spread, mandatory = at(moments.advisory_latest), at(moments.mandatory)
    drawing.box(left, top, at(moments.advisory_earliest) - left, height, "box good", 0)
    if moments.advisory_earliest > moments.advisory_latest:
        earliest = at(moments.advisory_earliest)
        drawing.box(earliest, top, spread - earliest, height, "box wait spread", 0)
    drawing.box(spread, top, mandatory - spread, height, "box wait", 0)
    drawing.box(mandatory, top, right - mandatory, height, "box warn", 0)
    cut = left + fresh / 2 + 54
    for x in (cut, cut + 7):
        drawing.line((x - 5, top + height + 5), (x + 5, top - 5), kind="line cut")
    drawing.label(left, top, fresh - 46, height, "fresh\nevery request uses it", "small")
    words = "advisory\none request renews,\nthe others use the token"
    drawing.label(spread, top, mandatory - spread, height, words, "small")
    if spread > at(moments.advisory_earliest):
        start = at(moments.advisory_earliest)
        drawing.label(start, top, spread - start, height, "begins\nhere,\nat random", "small")
    # It is a narrow one: its words stand above it.
    middle = (mandatory + right) / 2
    drawing.line((middle, y + 21), (middle, top), kind="line thin")
    drawing.text(
        right,
        y + 16,
        "mandatory: all wait for one renewal, and use the token if that fails",
        "small",
        "end",
    )
    below = top + height + 18
    marks = [
        (left, "issued", "start"),
        (right, "expiry", "end"),
        (at(moments.advisory_earliest), f"{MINUS}{moments.advisory_earliest:g} s", "middle"),
        (mandatory - 5, f"{MINUS}{moments.mandatory:g} s", "end"),
    ]
    if moments.advisory_earliest > moments.advisory_latest:
        marks.append((spread, f"{MINUS}{moments.advisory_latest:g} s", "middle"))
    for x, text, anchor in marks:
        drawing.text(x, below, text, "small", anchor)
    return top + height + 44


def _seconds(value: float) -> str:
    return f"{value:g} seconds"


def single_flight(policy: RefreshPolicy = POLICY) -> Drawing:
    drawing = Drawing(
        "single-flight",
        "Single flight: one caller renews for all",
        "Caller A needs a token first and leads: it calls Monta. Caller B waits and gets the same "
        "token. If the renewal fails, B gets the same failure, or goes on with the token while "
        "that is valid. If A is cancelled, B takes over, and a refresh token that A had sent "
        "counts as spent.",
    )
    chart = Chart(drawing, "caller A", "token source", "caller B", "Monta")
    a, source, b, monta = "caller A", "token source", "caller B", "Monta"
    chart.say(a, source, "a token?")
    chart.say(source, a, "no valid token: you lead")
    chart.say(a, monta, "POST /auth/refresh")
    chart.say(b, source, "a token?")
    chart.note(b, "waits: no call")
    chart.say(monta, a, "a new pair", "line back")
    chart.say(a, source, "the new pair")
    chart.say(source, b, "the new token")
    chart.part("The call fails")
    chart.say(monta, a, f"503, {policy.attempts} times", "line back")
    chart.say(a, source, "failed")
    chart.say(source, b, "the same failure")
    chart.note(source, "remembered for a moment:\nlater callers get it without a call", span=1.4)
    chart.part("A is cancelled")
    chart.note(a, "cancelled while\nthe call is under way", "bad")
    chart.say(a, source, "gives up")
    chart.say(source, b, "you lead")
    chart.say(b, monta, "POST /auth/token")
    chart.note(b, "the refresh token\nmay be spent")
    chart.say(monta, b, "a new pair", "line back")
    chart.finish()
    return drawing


def refusal(policy: RefreshPolicy = POLICY) -> Drawing:
    drawing = Drawing(
        "refusal",
        "After a 401",
        "Two requests are refused with token 1. The first to report it has it renewed. The second "
        "one comes late, finds token 2 in its place and causes no renewal. Each is retried once. "
        f"If the API refuses new tokens as well, within {policy.cooldown:g} s after they were "
        "issued, two of them begin a cool-down in which the 401 goes to the caller without a "
        "renewal.",
    )
    first, source, second, monta = "request A", "token source", "request B", "Monta"
    chart = Chart(drawing, first, source, second, monta)
    chart.say(first, monta, "GET, with token 1")
    chart.say(second, monta, "GET, with token 1")
    chart.say(monta, first, "401", "line back")
    chart.say(first, source, "token 1 was refused")
    chart.note(source, "it is the current one:\nrenew it")
    chart.say(first, monta, "POST /auth/refresh: token 2")
    chart.say(first, monta, "GET again, with token 2")
    chart.say(monta, second, "401", "line back")
    chart.say(second, source, "token 1 was refused")
    chart.note(source, "it was already renewed:\nno renewal")
    chart.say(second, monta, "GET again,\nwith token 2")
    chart.part("An endpoint that refuses every token")
    chart.say(monta, first, "to a later request: 401 to token 2", "line back")
    chart.note(
        source,
        f"first strike: a renewed token, refused within\n{policy.cooldown:g} s. "
        "It is renewed: token 3",
        "wait", 2.0,
    )  # fmt: skip
    chart.say(monta, second, "to one after that:\n401 to token 3", "line back")
    chart.note(
        source,
        f"second strike: no renewal for {policy.cooldown:g} s,\n"
        f"the next time for twice as long, up to {LONGEST_COOLDOWN:g} s",
        "bad", 2.0,
    )  # fmt: skip
    chart.note(second, "the 401 goes to the caller")
    chart.finish()
    return drawing


def rooms() -> Drawing:
    drawing = Drawing(
        "rooms",
        "The rooms, and which of them may import which",
        "The entry points are at the top: __main__.py starts the command _cli; beside it are "
        "pytest_plugin.py, authlib.py and openapi_generator.py. No other room imports them. _cli "
        "and pytest_plugin.py import the emulator, which imports no other room. _cli imports the "
        "four adapters. The adapters, pytest_plugin.py and authlib.py import the public names of "
        "monta_auth. These come from stores, _adapters and _core. openapi_generator.py imports "
        "_adapters. stores and _adapters import _core alone. _core imports no other room.",
        narrow=True,
    )
    drawing.box(2, 2, NARROW - 4, 122, "band")
    drawing.text(12, 24, "entry points", "strong")
    for room in ROOMS.values():
        drawing.box(room.x, room.y, room.width, room.height)
        if not room.holds:
            drawing.label(room.x, room.y, room.width, room.height, room.name)
            continue
        drawing.text(room.x + room.width / 2, room.y + 20, room.name, "strong", "middle")
        drawing.text(room.x + room.width / 2, room.y + 37, room.holds, "small", "middle")
    for user, used, leaves, arrives in ARROWS:
        top = ROOMS[user].y + ROOMS[user].height
        bottom = ROOMS[used].y - 1
        middle = (top + bottom) / 2
        bends = [(leaves, middle), (arrives, middle)] if leaves != arrives else []
        drawing.line((leaves, top), *bends, (arrives, bottom), tip=True)
    return drawing


DIAGRAMS: dict[str, Callable[[], Drawing]] = {
    "flow": flow,
    "windows": windows,
    "single-flight": single_flight,
    "refusal": refusal,
    "rooms": rooms,
}


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    from docutils import nodes  # type: ignore[import-untyped]
    from sphinx.util.docutils import SphinxDirective

    class Diagram(SphinxDirective):
        required_arguments = 1

        def run(self) -> list[nodes.Node]:
            draw = DIAGRAMS.get(self.arguments[0])
            if draw is None:
                raise self.error(f"no diagram is called {self.arguments[0]!r}")
            self.env.note_dependency(__file__)
            figure = f'<div class="diagram-frame">{draw().svg()}</div>'
            return [nodes.raw("", figure, format="html")]

    app.add_directive("diagram", Diagram)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
