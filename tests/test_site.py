"""The site builds without a warning, needs no network, and none of its links or images is broken.

Without Sphinx the pages are still checked for what can be seen in their sources.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import an_ref
from an_ref import data, interop, lessons, nn

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
missing = [name for name in ("sphinx", "myst_nb", "sphinx_book_theme") if importlib.util.find_spec(name) is None]
needs_sphinx = pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed; pip install -e '.[docs]'")
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


def build(folder, builder, *, notebooks=True):
    """Build the site from a copy of its sources, so that nothing is written into them; return the output's folder."""
    shutil.copytree(DOCS, folder / "docs", ignore=shutil.ignore_patterns("notebooks"))
    (folder / "notebooks").mkdir()
    for notebook in (ROOT / "notebooks").glob("*.ipynb") if notebooks else ():
        shutil.copy(notebook, folder / "notebooks")
    for name in ("an_ref", "tests"):  # a page may link to a source
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", builder, "docs", "site"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    site = build(tmp_path_factory.mktemp("site"), "html")
    paths = [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]  # the theme's templates
    return {path.relative_to(site).as_posix(): Page(path) for path in paths}


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
