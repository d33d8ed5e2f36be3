"""Chromium opens every page of the site, as a reader on a phone and on a laptop would, and complains of nothing.

What each check of browser.js complains of is shown on tiny pages that are broken on purpose.
"""

import pytest
from browser import check, load, problems, watch
from built_site import DOCS, ROOT, html_files, needs_sphinx

SOURCES = [path.with_suffix(".html").name for path in sorted(DOCS.glob("*.md"))]
SOURCES += [f"notebooks/{path.stem}.html" for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
MATHJAX = (DOCS / "_static/mathjax/tex-svg.js").as_uri()
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="


@needs_sphinx
@pytest.mark.parametrize("name", SOURCES)
def test_a_page_is_as_a_reader_wants_it(page, site, name):
    assert problems(page, (site / name).as_uri()) == []


@needs_sphinx
def test_the_pages_that_sphinx_adds_are_in_order(page, site):
    added = [path for path in html_files(site) if path.relative_to(site).as_posix() not in SOURCES]
    assert {"genindex.html", "search.html"} <= {path.name for path in added}
    found = watch(page)
    for path in added:
        load(page, path.as_uri())
        found += [f"{path.name}: {text}" for text in check(page, "mathematics", "images", "overflow", "textSize")]
    assert found == []


@needs_sphinx
def test_the_pages_are_worth_a_browser(page, site):
    load(page, (site / "notebooks/04_bn_backward.html").as_uri())
    count = "selector => document.querySelectorAll(selector).length"
    assert page.evaluate(count, "mjx-container svg") > 100
    assert page.evaluate(count, "details > summary") > 10
    assert page.evaluate(count, ".cell_output img") > 2
    closed = "[...document.querySelectorAll('details:has(blockquote)')].filter(d => !d.open).length"
    before = page.evaluate(closed)
    page.locator("details:has(blockquote) > summary").first.click()
    assert page.evaluate(closed) == before - 1


GOOD = f"""<p>A question about <span class="math">\\(x^2\\)</span>: <img src="{PIXEL}" alt="a dot"></p>
<details><summary>a) yes</summary><blockquote>Right.</blockquote></details>
<pre>{"a line of code that is much wider than a phone " * 4}</pre>
<p><a href="#here">down</a></p><p id="here">here</p>"""
BROKEN = {
    "a formula with an error": ('<span class="math">\\(\\frac{1}\\)</span>', "has an error"),
    "an unknown command": ('<span class="math">\\(\\nosuch{x}\\)</span>', "has an error"),
    "a formula that is left alone": ('<span class="math">x</span>', "is not rendered"),
    "a dollar sign": ("<p>so $x$ is</p>", "is left as text: so $x$ is"),
    "a missing image": ('<img src="nowhere.png" alt="a picture">', "image is broken: nowhere.png"),
    "an image that says nothing": (f'<img src="{PIXEL}">', "no alt text"),
    "a link to nowhere": ('<a href="#gone">there</a>', "leads nowhere: #gone"),
    "a wide element": ('<div style="width: 500px; height: 9px"></div>', "390 pixels wide: the page is 5"),
    "wide on a laptop": ('<div style="width: 1400px; height: 9px"></div>', "1280 pixels wide: the page is 14"),
    "a part cut off": ('<div style="overflow: hidden"><p style="width: 500px">a</p></div>', "are cut off"),
    "text that scrolls": ('<div style="overflow: auto"><p style="width: 500px">a</p></div>', "scrolls sideways"),
    "beyond the left edge": ('<p style="margin-left: -30px">a word</p>', "beyond the edge: <p> a word"),
    "small text": ('<p style="font-size: 11px">fine print</p>', "text of 11.0 pixels: <p> fine print"),
    "small text in a drawing": (
        '<svg viewBox="0 0 200 20" width="100" role="img"><text y="16" style="font-size: 16px">x</text></svg>',
        "text of 8.0 pixels: <text> x",
    ),
    "grey on white": ('<p style="color: #888">pale</p>', "light: contrast 3.54"),
    "pale in the dark": ('<p class="dim">dim</p>', "dark: contrast 3.29"),
    "an answer that stays hidden": (
        '<details><summary>b)</summary><p style="display: none">no</p></details>',
        "a click shows no answer: <summary> b)",
    ),
    "an answer given away": (
        "<details open><summary>b)</summary><p>no</p></details>",
        "shows before the click: <summary> b)",
    ),
    "a choice under something": (
        '<details><summary>b)</summary><p>no</p></details><div style="position: fixed; inset: 0"></div>',
        "something lies over: <summary> b)",
    ),
    "an error in a script": ("<script>nosuch()</script>", "script: nosuch is not defined"),
    "an error on the console": ("<script>console.error('oh')</script>", "console: oh"),
    "a script from elsewhere": ('<script src="http://an-ref.invalid/a.js"></script>', "asks another host: http://an"),
    "a missing file": ('<link rel="stylesheet" href="gone.css">', "request failed: file:"),
}
HEAD = """<!DOCTYPE html><html lang="en"><meta name="viewport" content="width=device-width">
<style>
.dim { color: #666 } @media (prefers-color-scheme: dark) { body { background: #111; color: #eee } a { color: #8cf } }
pre { overflow-x: auto } details > :not(summary) { margin: 1em }
</style><title>tiny</title><body>"""


def tiny(folder, body):
    path = folder / "tiny.html"
    mathjax = f'<script src="{MATHJAX}"></script>' if "math" in body else ""
    path.write_text(HEAD + mathjax + body, encoding="utf-8")
    return path.as_uri()


def test_a_good_page_has_no_complaint(page, tmp_path):
    assert problems(page, tiny(tmp_path, GOOD)) == []


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_page_is_complained_of(page, tmp_path, case):
    body, complaint = BROKEN[case]
    found = problems(page, tiny(tmp_path, body))
    assert any(complaint in text for text in found), found
