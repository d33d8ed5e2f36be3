"""The site builds without a warning, needs no network, and none of its links or images is broken.

Without Sphinx the pages are still checked for what can be seen in their sources.
"""

import importlib.util
import re
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from built_site import DOCS, ROOT, build, html_files, needs_sphinx

import an_ref
from an_ref import data, interop, lessons, nn

LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src"), ("object", "data")}
LINKS = {"stylesheet", "preload", "prefetch", "icon", "modulepreload", "preconnect"}  # rel of what a browser fetches


class Page(HTMLParser):
    """What a page loads, where it leads, and the anchors in it."""

    def __init__(self, path):
        super().__init__()
        self.path, self.loads, self.leads, self.anchors = path, [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        self.loads += [values[name] for element, name in LOADED if tag == element and values.get(name)]
        if tag == "link" and LINKS & set((values.get("rel") or "").split()):
            self.loads.append(values["href"])
        if tag == "a" and values.get("href"):
            self.leads.append(values["href"])


@pytest.fixture(scope="module")
def pages(site):
    return {path.relative_to(site).as_posix(): Page(path) for path in html_files(site)}


@needs_sphinx
def test_it_has_a_page_for_every_source(pages):
    sources = [path.stem + ".html" for path in DOCS.glob("*.md")]
    sources += [f"notebooks/{path.stem}.html" for path in (ROOT / "notebooks").glob("*.ipynb")]
    assert not set(sources) - set(pages)


@needs_sphinx
def test_it_builds_without_notebooks(tmp_path):
    build(tmp_path, "dummy", notebooks=False)


@needs_sphinx
def test_nothing_is_loaded_from_the_network(pages):
    for name, page in pages.items():
        assert page.loads, name
        for url in page.loads:
            assert urlsplit(url).scheme in ("", "data"), f"{name} loads {url}"
            assert not urlsplit(url).netloc, f"{name} loads {url}"
    for style in (pages["index.html"].path.parent / "_static").rglob("*.css"):
        assert not re.search(r"(?:url\(|@import)\s*['\"]?\s*(?:https?:)?//", style.read_text(encoding="utf-8")), style


@needs_sphinx
def test_links_and_images_lead_somewhere(pages):
    by_path = {page.path.resolve(): page for page in pages.values()}
    inside = 0
    for name, page in pages.items():
        for url in page.loads + page.leads:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path.resolve()
            assert target.exists(), f"{name} leads to {url}, which does not exist"
            if parts.fragment and target in by_path:
                assert unquote(parts.fragment) in by_path[target].anchors, f"{name} leads to {url}: no such place"
                inside += 1
    assert inside > 100


@needs_sphinx
def test_pages_with_mathematics_load_mathjax_from_the_site(pages):
    text = pages["equations.html"].path.read_text(encoding="utf-8")
    assert re.search(r'<script[^>]* src="_static/mathjax/tex-svg\.js', text)
    assert (pages["index.html"].path.parent / "_static/mathjax/tex-svg.js").stat().st_size > 1e6


@needs_sphinx
def test_no_formula_is_taken_for_text(pages):
    for name, page in pages.items():
        text = re.sub(r"<pre.*?</pre>", "", page.path.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert not re.search(r'\$<span class="math|</span>\$', text), name


@needs_sphinx
def test_a_formula_keeps_its_full_stop_and_no_text_is_lost():
    from docutils import nodes
    from docutils.utils import new_document

    specification = importlib.util.spec_from_file_location("conf", DOCS / "conf.py")
    conf = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(conf)
    page = new_document("page")
    page += nodes.paragraph()
    for behind in (", ", ", ", " and (", "); ", "th ", "."):
        page[0] += [nodes.math("", "x"), nodes.Text(behind)]
    before = page.astext()
    conf.keep_together(None, page)
    assert page.astext() == before == "x, x, x and (x); xth x."
    assert [inline.astext() for inline in page.findall(nodes.inline)] == ["x,", "x,", "x);", "x."]


@needs_sphinx
def test_docstrings_are_rendered_and_not_garbled(pages):
    text = re.sub(r"<[^>]+>", "", pages["api.html"].path.read_text(encoding="utf-8"))
    assert "dx = gamma * rstd * (dy - mean(dy) - xhat * mean(dy * xhat))" in text
    for garbled in ("TypeAliasForwardRef", "Alias for field", "ndarray[", "system-message"):
        assert garbled not in text, garbled


def test_every_public_name_is_on_the_page_of_the_api():
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    for module in (an_ref, nn, interop, lessons):
        for name in module.__all__:
            assert re.search(rf"\b{name}\b", text), f"{module.__name__}.{name}"
    for name in data.__all__:
        assert name in ("DATASETS", "DataError") or re.search(rf"\b{name}\b", text), name


def test_the_first_page_lists_every_notebook_in_order_with_its_minutes():
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[(\d+).*?\]\(\.\./notebooks/(\d+)_(\w+\.ipynb)\) \|.*\| (\d+) \|$", index, re.MULTILINE)
    assert [f"{number}_{name}" for _, number, name, _ in listed] == sorted(
        path.name for path in (ROOT / "notebooks").glob("*.ipynb")
    )
    assert all(int(shown) == int(number) and 5 <= int(minutes) <= 60 for shown, number, _, minutes in listed)


def test_mathjax_lies_beside_its_licence():
    folder = DOCS / "_static" / "mathjax"
    assert sorted(path.name for path in folder.iterdir()) == ["LICENSE", "tex-svg.js"]
    assert "Apache License" in (folder / "LICENSE").read_text(encoding="utf-8")
