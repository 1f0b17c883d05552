"""Sphinx settings; ``tox -e docs`` builds with warnings as errors, and without a network."""

import inspect
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, get_type_hints

from docutils import nodes
from sphinx.util.typing import stringify_annotation

import monta_auth

sys.path.insert(0, str(Path(__file__).parent))  # for _diagrams

project = "monta-auth"
author = "monta-auth contributors"
copyright = "2026, monta-auth contributors"  # noqa: A001 - Sphinx wants this name
version = release = monta_auth.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
extensions += ["_diagrams", "myst_parser"]
# The button copies commands without their prompts and outputs.
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
html_theme = "furo"
html_title = f"monta-auth {version}"
# The theme's own dark style underlines the names of modules. This one goes with its light style.
pygments_dark_style = "a11y-high-contrast-dark"
html_static_path = ["_static"]
html_css_files = ["diagrams.css", "pages.css"]
html_show_sourcelink = False
# Texts say "quotes" and `--options` as they are typed.
smartquotes = False
highlight_language = "python"  # of "::" in docstrings
nitpicky = True
# Names of other projects: their inventories are not fetched, so that a build needs no network.
nitpick_ignore_regex = [
    ("py:.*", r"(requests|httpx|httpx2|aiohttp|starlette|responses|respx|redis|yarl)\..*"),
    ("py:class", r"monta_auth\.(authlib|openapi_generator)\.(T|Auth)"),
    ("py:.*", r"(collections|datetime|os|types|typing|_pytest|pytest)\..*"),
]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
default_role = "any"
exclude_patterns = ["_build"]


_WORD = re.compile(r"(?<![`\w:])`(\w+)`(?![`_])")
_SECTION = re.compile(r"(Args|Attributes|Raises|Returns):")
_CLIENTS = {
    "monta_auth._adapters.httpx_auth.Client": "{}.Client",
    "monta_auth._adapters.httpx_auth.AsyncClient": "{}.AsyncClient",
    "monta_auth._core.replies.Headers": "collections.abc.Mapping",  # or what has its items()
}


def _parameters(obj: Any) -> set[str]:
    """Return the names that a docstring may mention without a link."""
    try:
        return {*inspect.signature(obj).parameters}
    except (TypeError, ValueError):
        return set()  # a module or a value


def mark_arguments(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """In docstrings a single backtick stands for a name: an argument is text, others are links."""
    known = {*_parameters(obj), *monta_auth.TokenSet._fields}
    if name.startswith("monta_auth"):
        known |= {"MontaAuth", "application"}  # there are four of each

    def mark(found: re.Match[str]) -> str:
        return f"``{found[1]}``" if found[1] in known else found[0]

    lines[:] = [] if what == "data" else [_WORD.sub(mark, line) for line in _sections_last(lines)]


def _sections_last(lines: list[str]) -> list[str]:
    """Put what a docstring says after its ``Args`` before them: one list of fields, not two."""
    texts: list[str] = []
    sections: list[str] = []
    into = texts
    for line in lines:
        if line and not line[0].isspace():
            into = sections if _SECTION.fullmatch(line) else texts
        into.append(line)
    return [*texts, "", *sections]


def complete_types(
    app: Any, what: str, name: str, obj: Any, options: Any, args: str, returns: str
) -> tuple[str, None] | None:
    """Add the types that autodoc leaves out: of constructors, and for type variables."""
    notes = app.env.current_document.autodoc_annotations.setdefault(name, {})
    if what in ("class", "exception"):
        if issubclass(obj, monta_auth.MontaAuthError) and obj is not monta_auth.MontaAuthError:
            notes.clear()  # They take what their base takes.
            return "", None
        # Autodoc's own texts stay where only type checkers import a type.
        with suppress(NameError):
            hints = get_type_hints(obj.__init__)
            notes.update((n, stringify_annotation(t, "smart")) for n, t in hints.items())
        for unnamed in ("return", "args", "kwargs"):
            notes.pop(unnamed, None)
    library = name.partition("_monta.")[0]
    for argument, kind in notes.items():
        for variable, client in _CLIENTS.items():
            kind = kind.replace(variable, client.format(library))
        notes[argument] = kind
    return None


def link_texts(app: Any, doctree: Any, page: str) -> None:
    """Give each named block of text a link to itself, as headings have one: to look up an error."""
    for block in list(doctree.findall(nodes.literal_block)):
        if block.get("language") == "text" and block["ids"]:
            link = (
                f'<a class="headerlink" href="#{block["ids"][0]}" title="Link to this text">¶</a>'
            )
            block.parent.insert(block.parent.index(block) + 1, nodes.raw("", link, format="html"))


def set_widths(app: Any, doctree: Any, page: str) -> None:
    """Set the widths of columns, in percent, in the tables of SECURITY.md: Markdown has none."""
    if page != "security":
        return
    for group in doctree.findall(nodes.tgroup):
        group.parent["classes"] = ["colwidths-given"]
        if group["cols"] == 2:
            group.parent["classes"].append("stacked")
        widths = {2: (55, 45), 4: (16, 30, 30, 24)}[group["cols"]]
        for column, width in zip(group.findall(nodes.colspec), widths, strict=True):
            column["colwidth"] = width


def name_cells(app: Any, doctree: Any, page: str) -> None:
    """Let tables of three and more columns be stacked on a phone, each cell with its column's name.

    A page gives a table the class ``stacked`` itself if its cells read well without these names.
    """
    for table in doctree.findall(nodes.table):
        (group,) = table.findall(nodes.tgroup)
        kinds = table["classes"]
        # Tables of figures have no ":widths:".
        if group["cols"] < 3 or "stacked" in kinds or "colwidths" not in "".join(kinds):
            continue
        kinds += ["stacked", "named"]
        (head,) = group.findall(nodes.thead)
        names = [cell.astext() for cell in head.findall(nodes.entry)]
        (body,) = group.findall(nodes.tbody)
        for row in body:
            for name, cell in [*zip(names, row, strict=True)][1:]:
                if name and cell.children:
                    cell[0].insert(0, nodes.inline("", f"{name}: ", classes=["column-name"]))


def setup(app: Any) -> None:
    app.connect("doctree-resolved", link_texts)
    app.connect("doctree-resolved", set_widths)
    app.connect("doctree-resolved", name_cells)
    app.connect("autodoc-process-docstring", mark_arguments, priority=100)  # before napoleon
    # After autodoc's own listener has noted the types of the signature.
    app.connect("autodoc-process-signature", complete_types, priority=900)
