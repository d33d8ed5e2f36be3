"""The report: complete, self-contained, and right about what is missing."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from tiny import CLASSES, made_up_results

from an_ref import nn
from an_ref.report import summarize, verdict, write_report
from an_ref.report.figures import _spread
from an_ref.report.style import COLOURS, MEANINGS

NBSP = "\N{NO-BREAK SPACE}"


class Page(HTMLParser):
    """The text, the tags and the attributes of a page."""

    def __init__(self, source):
        super().__init__()
        self.source, self.words, self.tags, self.open = source, [], [], []
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"style", "svg"} & set(self.open):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).replace(NBSP, " ").split())


def report(folder, *made_up, **options):
    results, details, data = made_up or made_up_results(**options)
    return Page(write_report(folder, results, details, data).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    accuracy = {"none": 0.2, "bn": 0.5, "gn": 0.5, "sn": 0.5, "se": 0.5, "an": 0.8}
    return folder, report(folder, norms=("none", "bn", "gn", "sn", "se", "an"), accuracy=accuracy)


def test_the_page_asks_for_nothing_from_outside(full):
    _, page = full
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "iframe", "object", "base"}
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "xlink:href"):
            target = attributes.get(name, "#")
            assert target.startswith(("#", "data:image/png;base64,")), (tag, target)
    assert not re.search(r"url\((?!#)|@import", page.source)


def test_ids_are_unique_and_references_point_somewhere(full):
    _, page = full
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    targets = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page.source)
    assert targets
    assert {a or b for a, b in targets} <= set(ids)
    headings = [attributes["id"] for tag, attributes in page.tags if tag == "figure"]
    assert len(headings) == len(set(headings)) == 8


def test_every_figure_is_described_and_is_there_as_png(full):
    folder, page = full
    figures = [attributes["id"] for tag, attributes in page.tags if tag == "figure"]
    descriptions = [attributes["aria-label"] for _, attributes in page.tags if attributes.get("role") == "img"]
    assert len(descriptions) == len(figures)
    assert all(len(words) > 20 for words in descriptions)
    assert {path.stem for path in (folder / "figures").glob("*.png")} == set(figures)
    for path in (folder / "figures").glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
    assert {"images", "accuracy", "differences", "learning_curves", "cost"} <= set(figures)
    assert {"lambda_an", "mixture_sn", "gates_se"} <= set(figures)


def test_the_first_sentences_say_what_was_found(full):
    _, page = full
    assert "right most often with an" in page.text
    assert "Clearly better than bn: an." in page.text
    assert "Clearly worse than bn: no normalization." in page.text  # "worse: none" would say the opposite
    assert "Whether gn, sn or se is better or worse than bn, this experiment cannot tell." in page.text


def test_the_first_sentences_do_not_crown_a_norm_by_chance(tmp_path):
    page = report(tmp_path, seeds=2)
    assert "But no norm is clearly better or worse than bn: this experiment cannot tell." in page.text


def test_numbers_in_the_page_are_those_of_the_results(tmp_path):
    results, details, data = made_up_results(accuracy={"none": 0.2, "an": 0.7})
    page = report(tmp_path, results, details, data)
    for s in summarize(results, details):
        assert f"{s.accuracy.mean:.3f}" in page.text
        if s.difference:
            low, high = (f"{end:+.3f}".replace("-", "−") for end in s.difference[1:])
            assert f"{low} to {high} {verdict(s.difference)}" in page.text


def test_the_page_says_how_it_was_made(full):
    _, page = full
    for words in ("an-ref compare --norms none,bn,gn,sn,se,an", "momentum 0.9", "numpy 2", "learning rate 0.05"):
        assert words in page.text
    assert "is right 34 % of the time" in page.text  # 134 of the 400 test images are of the first class


def test_the_page_says_where_the_nets_were_trained(tmp_path):
    results, details, data = made_up_results()
    for device in ("cpu", "gpu", None):
        results["device"] = device
        if device is None:  # as in results from before there was a choice
            del results["device"]
        text = report(tmp_path, results, details, data).text
        assert ("trained on its GPU" in text) == ("at a time, on its GPU." in text) == (device == "gpu")


def test_text_is_escaped(tmp_path):
    results, details, data = made_up_results()
    results["results"]["none"]["failed"].append({"seed": 7, "reason": "<script>alert(1)</script>"})
    page = report(tmp_path, results, details, data)
    assert "<script>alert(1)</script>" in page.text
    assert not any(tag == "script" for tag, _ in page.tags)
    assert CLASSES[2] in " ".join(attributes.get("aria-label", "") for _, attributes in page.tags)


def test_one_seed_has_no_interval_and_the_page_says_so(tmp_path):
    page = report(tmp_path, seeds=1)
    assert "One seed says nothing about how far seeds lie apart" in page.text
    assert "the interval speaks of other test images only" in page.text


def test_without_bn_nothing_is_paired(tmp_path):
    page = report(tmp_path, norms=("none", "an"))
    assert "bn was not among the norms" in page.text
    assert "cannot tell." not in page.text.split("How they learn")[0].split("One")[0]
    assert not (tmp_path / "figures/differences.png").exists()


@pytest.mark.parametrize("norm", ["bn", "none"])
def test_a_single_norm(tmp_path, norm):
    page = report(tmp_path, norms=(norm,), epochs=1)
    assert "One way to normalize" in page.text
    assert "Not known" in page.text


def test_an_interrupted_comparison(tmp_path):
    unfinished = [(norm, seed) for norm in ("none", "bn", "an") for seed in (1, 2)] + [("an", 0)]
    results, details, data = made_up_results(skip=unfinished)
    results["interrupted"] = True
    page = report(tmp_path, results, details, data)
    assert "interrupted. 2 of 9 runs had finished" in page.text
    assert "an no run finished" in page.text


def test_seeds_are_paired_only_where_both_finished(tmp_path):
    results, details, data = made_up_results(skip=[("bn", 0), ("an", 2)])
    paired = {s.norm: s.paired_seeds for s in summarize(results, details)}
    assert paired == {"none": [1, 2], "bn": [], "an": [1]}
    report(tmp_path, results, details, data)


def test_failed_runs_are_listed(tmp_path):
    results, details, data = made_up_results(skip=[("none", 1)])
    results["results"]["none"]["failed"].append({"seed": 1, "reason": "the loss is nan in epoch 2"})
    page = report(tmp_path, results, details, data)
    assert "1 of 9 runs failed and is missing below: none, seed 1: the loss is nan in epoch 2" in page.text


def test_nothing_finished_is_an_error(tmp_path):
    results, details, data = made_up_results(norms=("bn",), seeds=1, skip=[("bn", 0)])
    with pytest.raises(ValueError, match="no run finished"):
        write_report(tmp_path, results, details, data)


def test_all_norms_together(tmp_path):
    page = report(tmp_path, norms=nn.NORMS, seeds=2)
    assert "Twelve ways to normalize" in page.text
    assert "Four of the 6 layers are shown" in page.text


def test_a_second_report_leaves_no_figure_of_the_first(tmp_path):
    report(tmp_path, norms=("bn", "an"))
    report(tmp_path, norms=("bn", "gn"))
    names = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert names == {"images", "accuracy", "differences", "learning_curves", "cost"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures", "report.html"]


def test_every_norm_has_its_own_colour_and_words():
    assert set(COLOURS) == set(MEANINGS) == set(nn.NORMS)
    assert len(set(COLOURS.values())) == len(COLOURS)


def test_labels_keep_their_order_and_do_not_overlap():
    ends = np.array([1.0, 0.99, 1.01, 0.2, 1.0])
    heights = _spread(ends, gap=0.1)
    assert np.diff(np.sort(heights)).min() > 0.098
    assert heights[3] < heights[1] < heights[0] < heights[2]
