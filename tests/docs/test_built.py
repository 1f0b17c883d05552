"""The built pages, as readers see them. Without Sphinx these tests are skipped: `tox -e docs`."""

from __future__ import annotations

import ast
import html
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .pages import DOCS, blocks
from .test_promises import SECURITY

for _package in ("sphinx", "furo", "sphinx_copybutton"):
    pytest.importorskip(_package, reason=f"{_package} is not installed")

# The first test of each process builds the pages.
pytestmark = pytest.mark.timeout(300)

_BLOCK = re.compile(
    r'<div class="(?:doctest )?highlight-(?P<language>\w+) notranslate"[^>]*>'
    r"<div class=\"highlight\"><pre>(?P<code>.*?)</pre>",
    re.DOTALL,
)
_PROMPT = r"\$ |>>> |\.\.\. "


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the pages as HTML. A warning is an error."""
    # README.rst says where this is after `tox -e docs`.
    folder = tmp_path_factory.mktemp("html", numbered=False)
    # -P: Sphinx must read the docstrings of the installed package, not of the folder beside docs/.
    command = [sys.executable, "-P", "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    result = subprocess.run([*command, DOCS, folder], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return folder


@dataclass(frozen=True)
class Shown:
    """A code block of a built page."""

    page: str
    language: str
    code: str

    def pasted(self) -> str:
        """Return what the copy button copies: with prompts, only the text after them."""
        lines = [line for line in self.code.splitlines() if re.match(_PROMPT, line)]
        return "\n".join(re.sub(_PROMPT, "", line, count=1) for line in lines) or self.code


def shown(built: Path) -> Iterator[Shown]:
    for file in sorted(built.rglob("*.html")):
        for block in _BLOCK.finditer(file.read_text(encoding="utf-8")):
            code = html.unescape(re.sub(r"<[^>]+>", "", block["code"]))
            yield Shown(str(file.relative_to(built)), block["language"], code)


def test_each_block_of_python_compiles(built: Path) -> None:
    found = [block for block in shown(built) if block.language in ("default", "python")]
    assert len(found) > 80
    cells: list[str] = []
    for block in found:
        code, flags = block.pasted(), 0
        if re.search(r"^\w+ = await ", code, re.MULTILINE):  # for a notebook
            cells.append(block.page)
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        compile(code, block.page, "exec", flags)
    assert cells == ["guides/where-to-put-auth.html"]


def test_each_command_can_be_pasted_into_a_shell(built: Path) -> None:
    found = [block for block in shown(built) if block.language in ("console", "sh")]
    assert len(found) > 20
    for block in found:
        assert (block.pasted() != block.code) == (block.language == "console")
        subprocess.run(["/bin/sh", "-n"], input=block.pasted(), text=True, check=True)


def test_the_copy_button_takes_commands_without_prompts(built: Path) -> None:
    script = (built / "_static" / "copybutton.js").read_text(encoding="utf-8")
    prompt = _PROMPT.replace("\\", "\\\\")
    assert f"formatCopyText(text, '{prompt}', true, true, true, " in script


def test_no_code_is_underlined_like_a_link(built: Path) -> None:
    # .gu is a heading in a diff.
    style = (built / "_static" / "pygments.css").read_text(encoding="utf-8")
    assert {*re.findall(r"(\.\w+) \{[^}]*underline", style)} <= {".gu"}


def test_each_error_text_has_a_link_to_itself(built: Path) -> None:
    page = (built / "guides" / "errors.html").read_text(encoding="utf-8")
    anchors = re.findall(r'<div class="highlight-text notranslate" id="([\w-]+)">', page)
    assert anchors == [block.name for block in blocks("guides/errors.rst", "text")]
    links = re.findall(r'<a class="headerlink" href="#([\w-]+)" title="Link to this text">', page)
    assert links == anchors


def test_security_md_is_a_page(built: Path) -> None:
    page = (built / "security.html").read_text(encoding="utf-8")
    text = html.unescape(re.sub(r"<[^>]+>", "", page))
    for line in re.findall(r"^#+ (.+)$|`(test_\w+)`|^    (.+)$", SECURITY, re.MULTILINE):
        assert "".join(line) in text
    assert page.count("<table") == SECURITY.count("| --- | --- |\n")
    for link in re.findall(r"\(docs/(\S+)\.rst\)", SECURITY):
        assert f'href="{link}.html"' in page
    for file in built.rglob("*.html"):
        links = "SECURITY.md" in file.read_text(encoding="utf-8")
        assert not links or file.stem in ("security", "contributing", "changelog"), file


def test_no_example_is_shown_as_a_quotation(built: Path) -> None:
    """Without ``::`` before it, an indented example in a docstring is one."""
    quoting = [file for file in built.rglob("*.html") if "<blockquote>" in file.read_text("utf-8")]
    assert quoting == []


def test_tables_of_text_set_the_widths_of_their_columns(built: Path) -> None:
    """Otherwise a long name takes the space of the sentences beside it."""
    for file in built.rglob("*.html"):
        if file.name != "benchmarks.html":  # its tables hold numbers
            text = file.read_text(encoding="utf-8")
            assert "table-wrapper docutils" not in text, file


def test_on_a_phone_no_table_of_words_is_cut(built: Path) -> None:
    """One cell is below the other, with the name of its column if it needs that."""
    wide = 0
    for file in built.rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        for table in re.findall(r"<table .*?</table>", text, re.DOTALL):
            if table.partition("</tr>")[0].count("<th ") > 2 and file.name != "benchmarks.html":
                assert "stacked" in table.partition(">")[0], file
                wide += 1
    assert wide > 20
    page = (built / "configuration.html").read_text(encoding="utf-8")
    assert '<td><p><span class="column-name">default: </span>none</p></td>' in page
    style = (built / "_static" / "pages.css").read_text(encoding="utf-8")
    assert ".column-name { display: none; }" in style


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("401", "guides/errors"),
        ("401", "how-it-works"),
        ("401", "what-happens-when"),
        ("403", "guides/errors"),
        ("429", "guides/errors"),
        ("429", "guides/rate-limits"),
        ("503", "guides/errors"),
        ("503", "guides/retries"),
        ("503", "what-happens-when"),
        ("FastAPI", "guides/in-production"),
        ("expired token", "how-it-works"),
        ("health", "guides/in-production"),
        ("Home Assistant", "guides/home-assistant"),
        ("pandas", "guides/where-to-put-auth"),
        ("proxy", "guides/proxies-and-tls"),
        ("refresh token", "how-it-works"),
    ],
)
def test_the_search_finds_the_page(words: str, page: str, built: Path) -> None:
    """The page is a top result: the words are in its headings or in the index."""
    script = (built / "searchindex.js").read_text(encoding="utf-8")
    index: Any = json.loads(script.removeprefix("Search.setIndex(").removesuffix(")"))
    if words in index["indexentries"]:  # The only place where the script looks for a number.
        found = [{number for number, *_ in index["indexentries"][words]}]
    else:
        stem = importlib.import_module("sphinx.search.en").SearchEnglish({}).stem
        numbers = [index["titleterms"].get(stem(word), []) for word in words.lower().split()]
        found = [{each} if isinstance(each, int) else {*each} for each in numbers]
    assert index["docnames"].index(page) in set.intersection(*found)
