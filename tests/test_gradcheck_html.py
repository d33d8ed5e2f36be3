"""Reports as HTML: what they say, that nothing is loaded from elsewhere, and that no text becomes a tag."""

from html.parser import HTMLParser

import numpy as np
import pytest

import an_ref
from an_ref import check_gradients
from an_ref.gradcheck import Finding, Report
from an_ref.gradcheck.html import page, report_html

RIGHT = Report("layer_norm", "complex step", {"x": 2e-16, "gamma": 0.0}, (), ())
ANALYTIC, NUMERIC = np.array([[1.0, 2.0], [3.0, 40.0]]), np.array([[1.0, 2.5], [3.0, 4.0]])
WRONG = Report(
    "batch_norm",
    "complex step",
    {"x": 0.9, "beta": 1e-16},
    ("beta",),
    (
        Finding(0, "x", "dx lacks <b>a & b</b>", ANALYTIC, NUMERIC, (1, 1)),
        Finding(1, "gamma", "dgamma must have the shape of gamma", np.ones((1, 2))),
        Finding(None, "dy", "op_backward must not modify dy"),
    ),
    ("the forward is not complex-safe",),
)


class Reader(HTMLParser):
    """Reads a page into cells of tables and text, and checks that tags are closed in order."""

    def __init__(self, html):
        super().__init__()
        self.open, self.rows, self.tags, self.text, self.attributes = [], [], [], "", []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in ("meta", "br"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def test_a_table_of_the_arguments_in_their_order():
    rows = Reader(report_html(WRONG)).rows
    assert rows[0] == ["gradient", "error", "", "verdict"]
    assert rows[1] == ["dx", "9.0e-01", "", "✗ wrong"]
    assert rows[2] == ["dgamma", "–", "", "✗ wrong"]
    assert rows[3] == ["dbeta", "1.0e-16", "", "– not seen by this cotangent"]


def test_findings_come_with_their_worst_entries():
    reader = Reader(report_html(WRONG))
    assert reader.rows[4:] == [
        ["where", "op_backward (analytic)", "derivative (numeric)", "difference"],
        ["[1, 1]", "40", "4", "36"],
        ["[0, 1]", "2", "2.5", "-0.5"],
    ]
    for text in ("op_backward must not modify dy", "cannot see the gradient of beta", "not complex-safe"):
        assert text in reader.text


def test_bars_are_logarithmic():
    html = report_html(
        Report("f", "m", {"a": 1.0, "b": 1e-17, "c": 10**-8.5, "d": 0.0, "e": np.inf, "f": 50.0}, (), ())
    )
    assert [value for name, value in Reader(html).attributes if name == "style"] == [
        f"width: {share}%" for share in (100, 0, 50, 0, 100, 100)
    ]


def test_text_is_escaped_and_nothing_is_loaded():
    evil = Report("<script>alert(1)</script>", "m", {"<i>x": 1.0}, (), WRONG.findings, ("<img src=x>",))
    for html in (report_html(evil), page([('"><script>', evil), ("b", RIGHT)])):
        reader = Reader(html)
        assert not {"script", "img", "b", "link"} & set(reader.tags)
        assert "<script>alert(1)</script>" in reader.text
        assert "dx lacks <b>a & b</b>" in reader.text
        assert not [value for name, value in reader.attributes if name in ("src", "onclick") or "//" in (value or "")]
        assert "url(" not in html
        assert "@import" not in html


def test_a_report_shows_itself_in_a_notebook():
    x = np.random.default_rng(0).standard_normal((3, 4))
    report = check_gradients(an_ref.relu, lambda dy, cache: 2 * an_ref.relu_backward(dy, cache), (x,))
    rows = Reader(report._repr_html_()).rows
    assert rows[1][0] == "dx"
    assert rows[1][3] == "✗ wrong"
    where = report.findings[0].where
    assert rows[3][0] == str(list(where))
    assert float(rows[3][1]) == pytest.approx(2 * float(rows[3][2]), rel=1e-5)


def test_right_numbers_with_a_fault_are_not_called_wrong():
    faulty = Report("f", "m", {"x": 1e-16}, (), (Finding(0, "x", "op must not modify its inputs"),))
    reader = Reader(report_html(faulty))
    assert "f: right numbers, other faults" in reader.text
    assert reader.rows[1][3] == "✗ see below"


def test_the_page_has_a_line_for_each_and_opens_those_with_findings():
    html = page([("LN", RIGHT), ("BN <1>", WRONG)])
    reader = Reader(html)
    assert [row[0] for row in reader.rows[:3]] == ["what", "LN", "BN <1>"]
    assert [row[3] for row in reader.rows[1:3]] == ["✓ right", "✗ WRONG"]
    assert "1 of 2 has findings" in reader.text
    assert html.count("<details") == 2
    assert '<details id="report-2" open>' in html
    assert '<details id="report-1">' in html
    links = [value for name, value in reader.attributes if name == "href"]
    assert links == ["#report-1", "#report-2"]
    assert "prefers-color-scheme: dark" in html
    assert html.startswith("<!doctype html>")
    assert "All 1 agree" in page([("LN", RIGHT)])
