"""How Sphinx builds the site: `make docs`, or `python -m sphinx -W docs build/site`.

Everything that a page needs lies in the built folder: it can be read without a network.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

import an_ref

DOCS = Path(__file__).resolve().parent
NOTEBOOKS = DOCS.parent / "notebooks"
COPY = DOCS / "notebooks"

# The address of the public repository. Once it is set, every notebook has buttons that open it in Colab and in Binder.
REPOSITORY = ""

project = "an_ref"
author = "The an_ref authors"
copyright = author
version = release = an_ref.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_static"]
nb_execution_mode = "off"  # the notebooks are committed with their outputs
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
mathjax_path = "mathjax/tex-svg.js"  # MathJax 3.2.2, in _static: the default would load it from elsewhere
mathjax3_config = {
    "svg": {"displayAlign": "left"},  # a narrow screen then shows more of an equation
    "tex": {"inlineMath": [["$", "$"], ["\\(", "\\)"]]},
}
myst_mathjax_classes = "math|text_html"  # where it looks: in formulas, and in questions, which are HTML with $...$
myst_dmath_double_inline = True  # as in Jupyter, $$...$$ may follow a line of text

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_type_aliases = {name: name for name in ("Array", "Average", "DTypeLike", "Pair", "Seed", "Size")}
python_maximum_signature_line_length = 110
add_module_names = False

html_theme = "sphinx_book_theme"
html_title = "an_ref"
html_static_path = ["_static"]
html_css_files = ["site.css", "print.css"]
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system has it
html_copy_source = False
html_show_sphinx = False
html_theme_options: dict[str, Any] = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "navbar_persistent": [],  # the search stands in the sidebar
}
if REPOSITORY:
    html_theme_options |= {
        "repository_url": REPOSITORY,
        "path_to_docs": "docs",
        "launch_buttons": {"colab_url": "https://colab.research.google.com", "binderhub_url": "https://mybinder.org"},
    }


def copy_notebooks(app: Sphinx) -> None:
    """Copy notebooks/*.ipynb to where Sphinx finds them."""
    shutil.rmtree(COPY, ignore_errors=True)
    COPY.mkdir()
    for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
        shutil.copy(notebook, COPY)


NOTEBOOK_LINK = re.compile(r"\[([^\]]*)\]\(\.\./notebooks/([^)]*)\)")


def relink(app: Sphinx, page: str, source: list[str]) -> None:
    """Turn links between docs/ and notebooks/, which are right on GitHub, into what is right on the site.

    A link to a notebook that is not there becomes plain text. Without any notebook their table of contents goes too,
    for Sphinx warns of an empty one.
    """
    if page.startswith("notebooks/"):
        source[0] = source[0].replace("](../docs/", "](../")
    else:
        source[0] = NOTEBOOK_LINK.sub(lambda link: link[0] if (COPY / link[2]).exists() else link[1], source[0])
        source[0] = source[0].replace("](../notebooks/", "](notebooks/")
        if not any(COPY.iterdir()):
            source[0] = re.sub(r"```\{toctree\}[^`]*notebooks/\*\n```\n", "", source[0])


TAG = re.compile(r"\b(?:BN|LN|IN|GN|SN|SE|AN|VAR|TAB|SWEEP|CS)\.\d+\b")


def plain_docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn a docstring, which is plain text, into reStructuredText that looks as it does in the source.

    What is indented, and what has columns, becomes a block that keeps its line breaks. The rest becomes paragraphs,
    with `names` in a fixed width and the tags of equations, such as (BN.1), as links.
    """
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines).strip("\n"))
    lines[:] = [line for paragraph in paragraphs for line in (*_paragraph(paragraph), "")]


def _paragraph(text: str) -> list[str]:
    rows = text.splitlines()
    if any(row.startswith(" ") for row in rows) or re.search(r"\S {2,}\S", text):
        first = next((i for i, row in enumerate(rows) if row.startswith(" ") or re.search(r"\S {2,}\S", row)), 0)
        first = first if all(row.startswith(" ") for row in rows[first:]) else 0
        return [*map(_inline, rows[:first]), "", ".. code-block:: text", "", *("   " + row for row in rows[first:])]
    return [_inline(row) for row in rows]


def _inline(row: str) -> str:
    def escape(text: str) -> str:
        return TAG.sub(lambda tag: f":ref:`{tag[0]} <{label(tag[0])}>`", re.sub(r"([\\*_|])", r"\\\1", text))

    pieces = re.split(r"`([^`]+)`", row)
    return "".join(f"``{piece}``" if i % 2 else escape(piece) for i, piece in enumerate(pieces))


def label(tag: str) -> str:
    """Return the anchor of an equation: bn-1 for BN.1."""
    return tag.lower().replace(".", "-")


ARRAY = re.compile(r"~?(?:numpy\.)?ndarray\[tuple\[[^]]*\], ~?(?:numpy\.)?dtype\[[^]]*\]\]")
ALIAS = re.compile(r"TypeAliasForwardRef\('(\w+)'\)")


def plain_signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, result: str | None
) -> tuple[str | None, str | None]:
    """Write the names of types where Sphinx would write what they are made of."""
    short, result_short = (text and ALIAS.sub(r"\1", ARRAY.sub("Array", text)) for text in (signature, result))
    return short, result_short


def skip_fields(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out the fields of named tuples, of which Python only says that they are aliases of a number."""
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number") else None


def keep_formulas(app: Sphinx, doctree: nodes.document) -> None:
    r"""Leave formulas of several lines with a \tag alone: in the environment that Sphinx adds, \tag is an error."""
    for node in doctree.findall(nodes.math_block):
        text = node.astext()
        if r"\tag" in text and r"\\" in text:
            node.clear()
            node += nodes.Text(rf"\[{text}\]")
            node["no-wrap"] = node["nowrap"] = True  # since Sphinx 8.2, and before


def keep_together(app: Sphinx, doctree: nodes.document) -> None:
    """Put a formula and the full stop or comma behind it into one inline element, which does not break."""
    for formula in list(doctree.findall(nodes.math)):
        parent, place = formula.parent, formula.parent.index(formula)
        behind = parent[place + 1] if place + 1 < len(parent) else None
        sign = re.match(r"[^\s\w]+(?=\s|$)", behind) if isinstance(behind, nodes.Text) else None
        if sign:
            parent[place] = nodes.inline("", "", formula, nodes.Text(sign[0]), classes=["together"])
            parent[place + 1] = nodes.Text(behind[sign.end() :])


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_lexer("output", TextLexer)
    app.connect("builder-inited", copy_notebooks)
    app.connect("source-read", relink)
    app.connect("doctree-read", keep_formulas)
    app.connect("doctree-read", keep_together)
    app.connect("autodoc-process-docstring", plain_docstring)
    app.connect("autodoc-process-signature", plain_signature)
    app.connect("autodoc-skip-member", skip_fields)
