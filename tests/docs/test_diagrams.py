"""docs/_diagrams.py: the drawings are complete, legible in both themes, and show real numbers."""

from __future__ import annotations

import json
import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from monta_auth import RefreshPolicy

from ..core.test_rooms import MAY_USE
from .pages import DOCS, load

diagrams = load("_diagrams")
NAMES: list[str] = list(diagrams.DIAGRAMS)


def _root(drawing: Any) -> ET.Element:
    assert drawing.svg().startswith("<svg ")  # this also completes it
    root: ET.Element = drawing.root
    return root


def _drawn(name: str) -> ET.Element:
    return _root(diagrams.DIAGRAMS[name]())


def _words(root: ET.Element) -> str:
    return " ".join(span.text or "" for span in root.iter("tspan"))


def test_the_pages_show_each_drawing() -> None:
    pages = [DOCS / "how-it-works.rst", DOCS / "contributing.rst"]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert re.findall(r"^\.\. diagram:: (\S+)$", text, re.MULTILINE) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_drawing_has_a_text_for_screen_readers(name: str) -> None:
    root = _drawn(name)
    parts = {part.get("id"): part for part in root if part.tag in ("title", "desc")}
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == " ".join(parts[key].get("id", "") for key in parts)
    assert len(parts) == 2
    assert all(part.text for part in parts.values())


@pytest.mark.parametrize("name", NAMES)
def test_colors_come_from_the_stylesheet(name: str) -> None:
    """A color that is written into a drawing would be the same in both themes."""
    css = (DOCS / "_static" / "diagrams.css").read_text(encoding="utf-8")
    for element in _drawn(name).iter():
        assert not {"fill", "stroke", "style"} & {*element.attrib}
        for kind in element.get("class", "").split():
            assert f".{kind} " in css


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_inside_the_drawing_and_texts_fit_their_boxes(name: str) -> None:
    root = _drawn(name)
    _, _, width, height = map(float, root.get("viewBox", "").split())
    for box in root.iter("rect"):
        x, y, w, h = (float(box.get(key, "nan")) for key in ("x", "y", "width", "height"))
        assert 0 <= x < x + w <= width
        assert 0 <= y < y + h <= height
        inside = [
            text
            for text in root.iter("text")
            if text.get("text-anchor") == "middle"
            and abs(float(text.get("x", "nan")) - (x + w / 2)) < 0.01
            and y < float(text.get("y", "nan")) < y + h
        ]
        for span in (span for text in inside for span in text):
            assert 6.4 * len(span.text or "") <= w, span.text


def test_texts_are_legible_on_a_phone() -> None:
    """On a screen of 390 px, a page has 358. There, wide drawings scroll and narrow ones shrink."""
    css = (DOCS / "_static" / "diagrams.css").read_text(encoding="utf-8")
    assert f"svg.diagram {{ display: block; width: {diagrams.WIDTH}px; height: auto; }}" in css
    assert ".diagram.narrow .small { font-size: 14px; }" in css
    assert re.search(r"\.diagram-frame:not\(:has\(\.narrow\)\)::before {\s+content: \"Scroll", css)
    charts = [ET.parse(path).getroot() for path in (DOCS / "benchmarks").glob("*.svg")]  # noqa: S314
    assert {chart.get("font-size") for chart in charts} == {"14"}
    for width in (diagrams.NARROW, *(float(chart.get("width", "nan")) for chart in charts)):
        assert 14 * 358 / width > 12


def test_the_drawn_windows_agree_with_the_policy() -> None:
    """With the default numbers and with others, since they come from the code."""
    policy = RefreshPolicy()
    words = _words(_drawn("windows"))
    # Of an hour. The second life is so short that shares apply: 20 % and 5 % of 300 s.
    for seconds in (policy.advisory, policy.advisory + 60, policy.mandatory, 60, 15):
        assert f"\N{MINUS SIGN}{seconds:g} s" in words

    root = _root(diagrams.windows(RefreshPolicy(advisory=400, mandatory=77)))
    for seconds in (400, 460, 77):
        assert f"\N{MINUS SIGN}{seconds} s" in _words(root)


def test_the_drawn_tries_and_cool_downs_agree_with_the_policy() -> None:
    policy = RefreshPolicy(attempts=7, cooldown=33)
    assert "503, 7 times" in _words(_root(diagrams.single_flight(policy)))
    assert "no renewal for 33 s" in _words(_root(diagrams.refusal(policy)))


def test_arrows_lead_from_each_room_to_the_rooms_that_it_may_use() -> None:
    """Directly or through other rooms. No arrow leads to a room that may not be used."""
    reached: dict[str, set[str]] = {}
    for room in reversed(diagrams.ROOMS):  # the rooms below it come first
        direct = {used for user, used, *_ in diagrams.ARROWS if user == room}
        assert direct <= MAY_USE[room]
        reached[room] = direct.union(*(reached[used] for used in direct))
    assert reached.keys() == MAY_USE.keys()
    assert all(allowed <= reached[room] for room, allowed in MAY_USE.items())


def test_an_arrow_begins_at_one_box_and_ends_at_another() -> None:
    for user, used, leaves, arrives in diagrams.ARROWS:
        for room, x in ((diagrams.ROOMS[user], leaves), (diagrams.ROOMS[used], arrives)):
            assert room.x < x < room.x + room.width
        assert diagrams.ROOMS[user].y + diagrams.ROOMS[user].height < diagrams.ROOMS[used].y


def test_two_drawings_of_one_kind_share_no_id() -> None:
    ids = [
        element.get("id")
        for _ in range(2)
        for element in _drawn("flow").iter()
        if element.get("id") is not None
    ]
    assert len(ids) == len({*ids}) == 6


def test_pages_open_without_a_network() -> None:
    """Everything that a page loads is a local file."""
    styles = sorted((DOCS / "_static").glob("*.css"))
    files = [DOCS / "conf.py", DOCS / "_diagrams.py", *styles]
    files += (DOCS / "benchmarks").glob("*.svg")
    sources = [path.read_text(encoding="utf-8") for path in files]
    assert f"html_css_files = {json.dumps([path.name for path in styles])}\n" in sources[0]
    for text in sources:
        assert {*re.findall(r"https?://[^\s\"')]+", text)} <= {"http://www.w3.org/2000/svg"}
