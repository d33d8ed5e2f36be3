"""The gallery of planted bugs: right code passes, and of each bug exactly the right arguments are blamed."""

import dataclasses
import re

import numpy as np
import pytest

from an_ref import check_gradients, textbook
from an_ref.bugs import BUGS
from an_ref.bugs.bug import Form
from an_ref.bugs.tracking import check_tracking
from an_ref.nn import BatchNorm

FAMILIES = {
    "batch_norm", "batch_norm_eval", "layer_norm", "instance_norm", "group_norm", "switchable_norm", "squeeze_excite",
    "attentive_norm", "conv2d", "linear", "softmax_cross_entropy", "BatchNorm",
}  # fmt: skip
FORMS = list(dict.fromkeys(bug.form for bug in BUGS if bug.kind != "running"))


def of_kind(kind):
    return pytest.mark.parametrize("bug", [bug for bug in BUGS if bug.kind == kind], ids=lambda bug: bug.name)


def blamed(report):
    return {finding.name for finding in report.findings}


def test_the_gallery_is_large_covers_all_families_and_names_each_bug_once():
    assert len(BUGS) >= 110
    assert len({bug.name for bug in BUGS}) == len(BUGS)
    assert {bug.op for bug in BUGS} == FAMILIES
    assert {bug.kind for bug in BUGS} == {"gradient", "purity", "running"}


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_is_described_in_words(bug):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", bug.name)
    assert bug.sentence.endswith(".")
    assert bug.term
    assert bug.blames
    assert bug.before != bug.after


def test_incidents_name_a_repository_and_a_thread():
    incidents = [bug.incident for bug in BUGS if bug.incident]
    assert len(incidents) >= 12
    for incident in incidents:
        assert re.search(r"[\w.-]+ (issues?|pull request) \d+", incident), incident
        assert re.search(r"\((19|20)\d\d\)", incident), incident


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.source.split('.')[-1]}-{form.name}")
def test_the_code_without_a_bug_passes(form):
    case = form.case()
    report = check_gradients(case.op, case.op_backward, case.arrays, hyper=case.hyper)
    assert report.ok, report
    assert report.max_error < 1e-12
    assert not report.blind


@of_kind("gradient")
def test_a_wrong_gradient_is_caught_and_the_right_arguments_are_blamed(bug):
    report = bug.check()
    assert not report.ok
    assert blamed(report) == set(bug.blames), report


@of_kind("purity")
def test_a_side_effect_or_a_wrong_form_is_caught(bug):
    report = bug.check()
    assert not report.ok
    assert blamed(report) >= set(bug.blames), report


@of_kind("running")
def test_wrong_running_statistics_are_caught(bug):
    report = bug.check()
    assert blamed(report) == set(bug.blames), report
    assert "no way that is known" not in str(report)


def test_right_running_statistics_pass():
    bug = next(bug for bug in BUGS if bug.kind == "running")
    case = bug.intact()
    assert case.op is BatchNorm
    report = check_tracking(case.op, *case.arrays, **case.hyper)
    assert report.ok, report


def test_running_statistics_that_are_wrong_in_an_unknown_way_are_called_so():
    bug = next(bug for bug in BUGS if bug.name == "running-replaced")
    report = dataclasses.replace(bug, after="mixed = value + 1").check()
    assert blamed(report) == {"running_mean", "running_var"}
    assert "no way that is known" in str(report)


def test_a_bug_whose_line_is_gone_says_so():
    bug = dataclasses.replace(BUGS[0], before="a line that nobody wrote")
    with pytest.raises(RuntimeError, match=f"{bug.name}: expected 'a line that nobody wrote' once"):
        bug.apply()
    with pytest.raises(RuntimeError, match="there is no function nothing"):
        dataclasses.replace(BUGS[0], function="nothing").apply()


def test_planting_a_bug_leaves_the_package_alone():
    bug = next(bug for bug in BUGS if bug.form.source == "an_ref.textbook")
    before = textbook.batch_norm_backward
    broken = bug.apply()
    assert broken.op_backward is not before
    assert textbook.batch_norm_backward is before
    assert bug.intact().op_backward is before


def test_inputs_are_the_same_at_every_call_and_fresh():
    form: Form = BUGS[0].form
    first, second = form.case(), form.case()
    for a, b in zip(first.arrays, second.arrays, strict=True):
        assert np.array_equal(a, b)
        assert not np.shares_memory(a, b)


def test_most_are_diagnosed_with_the_right_term():
    missed = [bug.name for bug in BUGS if not any(bug.term in finding.message for finding in bug.check().findings)]
    assert (len(BUGS) - len(missed), len(BUGS)) == (226, 244), missed  # docs/checker.md says so
