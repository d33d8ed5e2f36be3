"""scripts/soak.py draws every op, draws the same case twice, and reports a wrong op."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import an_ref
from an_ref.strategies import CONTENTS

PATH = Path(__file__).resolve().parent.parent / "scripts" / "soak.py"


@pytest.fixture(scope="module")
def soak():
    spec = importlib.util.spec_from_file_location("soak", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_ops_variants_methods_and_contents_are_drawn(soak):
    cases = [soak.draw(0, number) for number in range(6000)]
    ops = {name.removesuffix("_backward") for name in an_ref.__all__ if name.endswith("_backward")}
    assert {case.name for case in cases if "textbook" not in case.name} == ops
    assert len({case.name for case in cases if "textbook" in case.name}) == 7
    assert {case.method for case in cases} == {"complex", "central", "five_point", "adjoint", "second_order"}
    assert {case.content for case in cases} == set(CONTENTS)
    assert {a.dtype.name for case in cases for a in case.arrays} == {"float32", "float64", "int64"}
    names = ("standardize", "descriptor", "transform", "activation")
    variants = {tuple(case.hyper.get(name) for name in names) for case in cases if case.name.startswith("attentive")}
    assert len(variants) == 135


def test_a_seed_and_a_number_make_a_case(soak):
    one, same, other = soak.draw(3, 8), soak.draw(3, 8), soak.draw(4, 8)
    assert one[::3] == same[::3]
    assert all((a == b).all() for a, b in zip(one.arrays, same.arrays, strict=True))
    assert not np.array_equal(one.arrays[0], other.arrays[0])


def test_a_wrong_op_is_reported_and_a_right_one_is_not(soak, monkeypatch):
    number = next(n for n in range(1000) if soak.draw(0, n).name == "linear" and soak.draw(0, n).method == "complex")
    assert soak.check(0, number).fault == ""
    backward = an_ref.linear_backward
    monkeypatch.setattr(an_ref, "linear_backward", lambda dy, cache: tuple(2 * g for g in backward(dy, cache)))
    fault = soak.check(0, number).fault
    assert fault.startswith(f"case {number} of seed 0: linear() method=complex")
    assert "WRONG" in fault


@pytest.mark.parametrize(("fault", "ok"), [("", True), ("case 3 is wrong", False)])
def test_faults_are_counted_and_printed(soak, monkeypatch, capsys, fault, ok):
    found = [soak.Outcome("complex, float64", CONTENTS[0], 1e-15, f) for f in ("", fault)]
    monkeypatch.setattr(soak, "outcomes", lambda *_: iter([found]))
    assert soak.soak(2, 0, Console()) is ok
    printed = capsys.readouterr().out
    assert f"2 cases, {int(not ok)} false alarms or errors" in printed
    assert fault in printed
    assert "1.0e-15" in printed


def test_a_lost_job_is_no_success(soak, monkeypatch):
    monkeypatch.setattr(soak, "outcomes", lambda *_: iter([]))
    assert not soak.soak(2, 0, Console(quiet=True))
