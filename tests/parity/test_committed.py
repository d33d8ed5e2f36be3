"""an_ref against PyTorch's results in values.npz, which scripts/make_parity_values.py wrote."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from . import run_an_ref
from .cases import CASES, Arrays, Case

REMAKE = "where PyTorch is installed, run: python scripts/make_parity_values.py"


@cache
def values() -> Arrays:
    with np.load(Path(__file__).with_name("values.npz"), allow_pickle=False) as file:
        return dict(file)


def stored(case: Case, part: str) -> Arrays:
    """The inputs ("in") or PyTorch's results ("out") of a case, by name."""
    start = f"{case.name}/{part}/"
    return {key.removeprefix(start): a for key, a in values().items() if key.startswith(start)}


def stored_inputs(case: Case) -> Arrays:
    """The inputs PyTorch saw: the comparison holds even if numpy's generator should change one day."""
    return {key: a if a.dtype.kind == "i" else a.astype(np.float64) for key, a in stored(case, "in").items()}


every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def test_the_file_holds_these_cases_and_the_version_of_pytorch() -> None:
    in_file = {key.split("/")[0] for key in values()} - {"torch_version"}
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names), "two cases have the same name"
    assert in_file == set(names), f"cases.py and values.npz differ; {REMAKE}"
    assert str(values()["torch_version"]).split(".")[0].isdigit()


@every_case
def test_inputs_are_still_made_from_the_seed(case: Case) -> None:
    kept = stored_inputs(case)
    made = case.inputs()
    same = kept.keys() == made.keys() and all(np.array_equal(kept[key], made[key]) for key in made)
    assert same, (
        f"{case.name}: the seed no longer gives the inputs in values.npz. Either cases.py changed, or "
        f"numpy's generator did (numpy {np.__version__}). The comparison itself uses the "
        f"stored inputs; {REMAKE}"
    )


@every_case
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
def test_same_as_pytorch(case: Case, dtype: type) -> None:
    tolerance = case.tolerance if dtype is np.float64 else case.tolerance32
    ours = run_an_ref.results(case, dtype, stored_inputs(case))
    wrong = run_an_ref.disagreements(ours, stored(case, "out"), tolerance, dtype)
    assert not wrong, f"{case.name}, PyTorch {values()['torch_version']}:\n" + "\n".join(wrong)


def test_a_wrong_last_digit_is_seen() -> None:
    theirs = {"y": np.array([[1.0, 1000.0], [2.0, 3.0]])}
    wrong = {"y": theirs["y"] + np.array([[0.0, 0.0], [0.0, 1e-8]])}
    (line,) = run_an_ref.disagreements(wrong, theirs, tolerance=1e-12)
    assert line.startswith("y: relative error 1.00e-11 > 1e-12; at (1, 1)")
    assert not run_an_ref.disagreements(theirs, theirs, tolerance=0.0)
    assert run_an_ref.disagreements({"y": np.full((2, 2), np.nan)}, theirs, tolerance=1.0)
    assert run_an_ref.disagreements({"y": theirs["y"].T[:1]}, theirs, tolerance=1.0)
    assert run_an_ref.disagreements({"dx": theirs["y"]}, theirs, tolerance=1.0)
