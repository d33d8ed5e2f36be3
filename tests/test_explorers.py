"""The explorers are whole HTML that asks for nothing, say the same as the ops, and answer pointer and keyboard."""

import re
from html.parser import HTMLParser
from itertools import product

import numpy as np
import pytest
from browser import problems

import an_ref
from an_ref.lessons import explore_cells, explore_circle

EXPLORERS = pytest.mark.parametrize("explorer", [explore_cells(), explore_circle()], ids=["cells", "circle"])
OPS = {
    "BN": an_ref.batch_norm,
    "LN": an_ref.layer_norm,
    "IN": an_ref.instance_norm,
    "GN": lambda x, gamma, beta: an_ref.group_norm(x, gamma, beta, groups=2),
}
HEAD = """<!DOCTYPE html><html lang="en"><meta name="viewport" content="width=device-width"><title>explorer</title>
<style>pre { overflow-x: auto }
@media (prefers-color-scheme: dark) { body { background: #111; color: #eee } }</style>"""


class Nesting(HTMLParser):
    """Check that each element is closed in its turn, and keep the attributes."""

    def __init__(self):
        super().__init__()
        self.open, self.attributes = [], []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.attributes += [name for name, _ in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def sharing(norm, cell):
    """The values whose mean moves when x[cell] moves: by a complex step through the op."""
    x = np.random.default_rng(0).standard_normal((2, 4, 4)).astype(complex)
    x[cell] += 1e-20j
    moved = OPS[norm](x, np.ones(4), np.zeros(4))[1].mu.imag != 0
    return {(n, c, i) for n, c, i in np.ndindex(2, 4, 4) if np.broadcast_to(moved, (2, 4))[n, c]}


@EXPLORERS
def test_it_is_well_formed_and_asks_for_nothing(explorer):
    nesting = Nesting()
    nesting.feed(explorer._repr_html_())
    assert nesting.open == []
    assert not {"src", "href", "id", "onclick", "style"} & set(nesting.attributes)
    assert not re.search(r"https?:|url\(|@import|import\(|fetch\(|XMLHttp", explorer._repr_html_())


@EXPLORERS
def test_where_no_script_runs_a_text_stands_in(explorer):
    assert f'<p class="still">{explorer!r}</p>\n<div class="live" hidden' in explorer._repr_html_()


def test_the_text_has_the_right_counts():
    said = {
        norm: int(count) for norm, count in re.findall(r"\b([BLIG]N)\b[^.]*? = (\d+) values", repr(explore_cells()))
    }
    assert said == {norm: len(sharing(norm, (0, 0, 0))) for norm in OPS}


@pytest.fixture
def opened(page, tmp_path):
    """Return a function that opens explorers in the browser."""

    def open_page(*explorers):
        path = tmp_path / "explorer.html"
        path.write_text(HEAD + "".join(explorer._repr_html_() for explorer in explorers), encoding="utf-8")
        page.goto(path.as_uri())
        return page

    return open_page


@EXPLORERS
def test_a_reader_meets_nothing_wrong(page, tmp_path, explorer):
    path = tmp_path / "explorer.html"
    path.write_text(HEAD + explorer._repr_html_(), encoding="utf-8")
    assert problems(page, path.as_uri()) == []


def marked(page):
    marks = page.locator(".shares").evaluate_all("list => list.map(e => [e.dataset.n, e.dataset.c, e.dataset.i])")
    return {tuple(map(int, mark)) for mark in marks}


def cell_at(page, n, c, i):
    return page.locator(f'.cell[data-n="{n}"][data-c="{c}"][data-i="{i}"]')


@pytest.mark.parametrize("norm", OPS)
def test_a_click_marks_the_values_that_share_statistics(opened, norm):
    page = opened(explore_cells())
    page.locator(f'button[data-norm="{norm}"]').click()
    for cell in product((0, 1), (0, 1, 3), (0, 3)):
        cell_at(page, *cell).click()
        assert marked(page) == sharing(norm, cell)
        said = page.locator(".result").inner_text()
        assert said.startswith(f"{norm}: the mean and the variance of x[{', '.join(map(str, cell))}]")
        assert said.endswith(f"= {len(marked(page))} values.")
    assert page.locator('[aria-pressed="true"]').count() == 2  # the button and the value


def test_the_pointer_and_the_arrow_keys_choose_a_value(opened):
    page = opened(explore_cells())
    page.locator('button[data-norm="IN"]').click()
    cell_at(page, 1, 2, 0).hover()
    assert marked(page) == sharing("IN", (1, 2, 0))
    cell_at(page, 0, 0, 0).focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown", "ArrowUp", "ArrowDown"):
        page.keyboard.press(key)
    assert marked(page) == sharing("IN", (1, 1, 0))
    assert page.locator(".cell:focus").get_attribute("aria-label") == "sample 1, channel 1, position 0"


def test_two_of_them_on_a_page_do_not_mix(opened):
    page = opened(explore_cells(), explore_cells())
    page.locator('button[data-norm="LN"]').last.click()
    assert page.locator(".an-ref-cells").first.locator(".shares").count() == 8
    assert page.locator(".an-ref-cells").last.locator(".shares").count() == 16


def numbers(page):
    rows = re.findall(r"^(\w+) += \((.*)\)", page.locator("pre").inner_text(), re.MULTILINE)
    return {name: np.array([float(value) for value in values.split(",")]) for name, values in rows}


def check_numbers(page):
    shown = numbers(page)
    y, cache = an_ref.batch_norm(shown["x"][:, None], np.ones(1), np.zeros(1), eps=0.0)
    dx = an_ref.batch_norm_backward(shown["dy"][:, None], cache)[0]
    np.testing.assert_allclose(shown["y"], y[:, 0], atol=0.02)  # x and dy are shown with two digits
    np.testing.assert_allclose(shown["dx"], dx[:, 0], atol=0.03)
    return shown


def ends(page, name):
    """First and last point of a line, in units of the drawing with y upwards."""
    path = page.locator(f'[data-is="{name}"]').get_attribute("d")
    pairs = np.array(re.findall(r"(-?[\d.e-]+),(-?[\d.e-]+)", path), dtype=float) / [40, -40]
    return pairs[0], pairs[1]


def middle(page, name):
    box = page.locator(f'[data-is="{name}"]').bounding_box()
    return np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])


def test_the_circle_says_what_the_op_computes_wherever_x_and_dy_are(opened):
    page = opened(explore_circle())
    before = check_numbers(page)
    page.locator('[data-is="x"]').focus()
    for key in ["ArrowLeft"] * 9 + ["ArrowDown"] * 14:
        page.keyboard.press(key)
    moved = check_numbers(page)
    assert np.abs(moved["x"] - before["x"]).max() > 0.5
    np.testing.assert_array_equal(moved["dy"], before["dy"])
    start = middle(page, "tip")
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*(start - [50, 20]), steps=3)
    page.mouse.up()
    np.testing.assert_allclose(middle(page, "tip"), start - [50, 20], atol=1)
    dragged = check_numbers(page)
    np.testing.assert_array_equal(dragged["x"], moved["x"])
    assert np.abs(dragged["dy"] - moved["dy"]).max() > 0.5
    assert abs(dragged["dy"].mean() - moved["dy"].mean()) < 0.01


def test_the_arrows_of_the_circle_are_tangent(opened):
    page = opened(explore_circle())
    page.locator('[data-is="tip"]').focus()
    for _ in range(5):
        page.keyboard.press("ArrowUp")
    y, foot = ends(page, "tangent")
    x, tip = ends(page, "dx")
    assert np.linalg.norm(y) == pytest.approx(3**0.5, abs=1e-3)
    assert abs(y @ (foot - y)) < 1e-3
    assert abs(x @ (tip - x)) < 1e-3
    np.testing.assert_allclose(tip - x, (foot - y) * 3**0.5 / np.linalg.norm(x), atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(tip - x), np.linalg.norm(numbers(page)["dx"]), atol=0.02)
