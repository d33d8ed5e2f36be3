"""The bench: statistics, turns in processes, inputs and answers, the record."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import an_ref
from an_ref.bench import TINY, Case, run_bench, write_record
from an_ref.bench.contestants import NORM, Contestant, present
from an_ref.bench.inputs import errors, expected_conv, expected_norm
from an_ref.bench.numpy_tasks import Convolution, Norm, OnePassNorm, Step
from an_ref.bench.plan import FULL, NORMS, QUICK
from an_ref.bench.ratios import exponent, paired_ratio, spread_of
from an_ref.bench.record import read_record, rows_of, start_record
from an_ref.bench.tables import tables
from an_ref.bench.turns import SEED, Died, Failed, play, players, rotated
from an_ref.bench.worker import Worker

ROOT = Path(__file__).resolve().parent.parent
FIRST, SECOND = Case("norm", "first", (2, 3)), Case("norm", "second", (2, 3))
RIGHT = {"y": np.ones(3)}


def fake(name, **options):
    return Contestant(name, "bench_tasks:Fake", {"name": name, **options}, keeps_memory=False)


@pytest.fixture
def missing():
    """A list of what was noted, with the function that notes."""
    found = []
    return found, lambda *entry: found.append(entry)


# --- statistics ------------------------------------------------------------------------------------------------------
def test_median_and_quartiles():
    assert spread_of([5.0, 1.0, 2.0, 4.0, 3.0]) == (3.0, 2.0, 4.0)


def test_a_ratio_is_taken_round_by_round():
    """A slow round slows both; the ratio of the medians would be 1 here."""
    assert paired_ratio([2.0, 20.0, 4.0], [1.0, 10.0, 20.0]) == (2.0, 1.1, 2.0)


def test_a_contestant_that_stopped_early_is_held_against_the_rounds_it_did():
    assert paired_ratio([3.0], [1.0, 100.0]) == (3.0, 3.0, 3.0)
    assert paired_ratio([], [1.0]) is None


def test_the_exponent_of_a_power_law_comes_back():
    sizes = [1, 2, 4, 8]
    assert exponent(sizes, [3 * size**1.5 for size in sizes]) == pytest.approx(1.5)
    assert exponent(sizes, [7, 7, 7, 7]) == pytest.approx(0)
    assert exponent([4], [1.0]) is None
    assert exponent([1, 2], [0, 1]) is None


# --- turns -----------------------------------------------------------------------------------------------------------
def test_each_round_begins_with_the_next_one():
    assert [rotated(list("abc"), turn) for turn in range(4)] == [list("abc"), list("bca"), list("cab"), list("abc")]
    assert rotated([], 1) == []


def test_turns_are_rotated_with_fresh_inputs_and_a_process_for_each(tmp_path, missing):
    log = tmp_path / "log"
    with players([fake("a", log=str(log)), fake("b", log=str(log), seconds=2.0)], 1) as group:
        found = play(group, FIRST, rounds=3, budget=0.0, expected=RIGHT, note=missing[1])
    assert found == {"a": {"both": [1.0] * 3}, "b": {"both": [2.0] * 3}}
    names, seeds, pids = zip(*(line.split() for line in log.read_text().splitlines()), strict=True)
    assert names == ("a", "b", "a", "b", "b", "a", "a", "b")  # the check, then three rounds
    assert [int(seed) - SEED for seed in seeds] == [-1, -1, 0, 0, 1, 1, 2, 2]
    assert len({os.getpid(), *map(int, pids)}) == 3
    assert not missing[0]


def test_one_that_disagrees_is_named_and_not_timed(missing):
    with players([fake("right"), fake("wrong", wrong=True)], 1) as group:
        found = play(group, FIRST, rounds=1, budget=0.0, expected=RIGHT, note=missing[1])
    assert set(found) == {"right"}
    assert missing[0] == [("wrong", "first, 2x3", "not timed: y is off by 0.1 of its largest value")]


@pytest.mark.parametrize(("trouble", "why"), [("make", "ValueError: no such thing"), ("raise", "RuntimeError: cannot")])
def test_one_that_fails_is_named_in_one_line_and_the_others_go_on(missing, trouble, why):
    with players([fake("a", trouble=trouble), fake("b")], 1) as group:
        found = play(group, FIRST, rounds=2, budget=0.0, expected=RIGHT, note=missing[1])
        assert len(group) == 2  # it may do better at the next case
    assert found == {"b": {"both": [1.0, 1.0]}}
    ((name, _, reason),) = missing[0]
    assert name == "a"
    assert reason.startswith(why)
    assert "\n" not in reason


def test_one_that_dies_is_named_and_leaves_the_group(missing):
    with players([fake("a", trouble="die"), fake("b")], 1) as group:
        first, second, third = (
            play(group, case, rounds=2, budget=0.0, expected=RIGHT, note=missing[1]) for case in (FIRST, SECOND, FIRST)
        )
        assert [player.name for player in group] == ["b"]
    assert set(first) == {"a", "b"}
    assert set(second) == set(third) == {"b"}
    assert missing[0] == [("a", "second, 2x3", "its process ended with exit code 3")]


def test_the_processes_end_also_after_an_exception():
    with pytest.raises(KeyboardInterrupt), players([fake("a")], 1) as group:  # noqa: PT012
        player = group[0]
        player.ask("make", FIRST)
        with pytest.raises(Failed, match="AttributeError"):
            player.ask("nonsense")
        raise KeyboardInterrupt
    assert not player._process.is_alive()
    with pytest.raises((Died, OSError)):
        player.ask("make", FIRST)


def test_a_turn_warms_up_with_fresh_inputs_and_takes_the_median(monkeypatch):
    class Told:
        def __init__(self):
            self.seeds, self.times = [], iter([100.0, 9.0, 1.0, 2.0])

        def fresh(self, seed):
            self.seeds.append(seed)

        def run(self):
            return {"both": next(self.times)}

    monkeypatch.setattr("an_ref.bench.worker.AT_MOST", 3)
    for budget, median in ((0.0, 9.0), (1e6, 2.0)):
        worker = Worker(fake("a"), 1)
        worker._task = Told()
        assert worker.turn(7, budget) == {"both": median}
        assert worker._task.seeds == [7]


# --- inputs and answers ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("norm", NORMS)
def test_an_ref_and_the_textbook_agree_on_every_norm(norm):
    case = Case("norm", norm, (4, 32, 5, 3))
    want = expected_norm(case, 1)
    for library in ("an_ref", "an_ref.textbook"):
        task = Norm(case, threads=1, library=library)
        task.fresh(1)
        off = errors(task.answer(), want)
        assert set(off) == set(want) >= {"y", "dx"}
        assert max(off.values()) < 1e-4
        task.fresh(2)
        assert min(errors(task.answer(), want).values()) > 1e-2  # other inputs
        assert set(task.run()) == {"forward", "backward", "both"}


@pytest.mark.parametrize("case", {(c.kernel, c.stride): c for c in TINY.convolutions + FULL.convolutions}.values())
def test_the_convolutions_agree(case):
    case = Case("conv", case.name, (2, 3, 6, 8), out=4, kernel=case.kernel, stride=case.stride)
    for channels_last in (False, True):
        task = Convolution(case, threads=1, channels_last=channels_last)
        task.fresh(1)
        assert max(errors(task.answer(), expected_conv(case, 1)).values()) < 1e-5


def test_a_step_in_float32_agrees_with_float64():
    case = Case("step", "an", (4, 3, 8, 8))
    narrow, wide = (Step(case, threads=1, dtype=dtype) for dtype in (np.float32, np.float64))
    for task in (narrow, wide):
        task.fresh(1)
    assert wide.model.params["0.weight"].dtype == np.float64
    got, want = narrow.answer(), wide.answer()
    assert want["losses"][0] != want["losses"][1]
    assert errors(got, want)["losses"] < 1e-4


def test_the_one_pass_variance_loses_what_the_others_keep():
    case = Case("norm", "bn", (8, 4, 8, 8), offset=1e4)
    want, off = expected_norm(case, 1), {}
    for name, task in (("an_ref", Norm(case, threads=1)), ("one pass", OnePassNorm(case, threads=1))):
        task.fresh(1)
        off[name] = errors(task.answer(), want)["y"]
    assert off["an_ref"] < 1e-3 < 0.1 < off["one pass"]


def test_numbers_that_are_not_finite_are_an_infinite_error():
    assert errors({"y": np.array([1.0, np.nan])}, {"y": np.ones(2)}) == {"y": float("inf")}


# --- memory ----------------------------------------------------------------------------------------------------------
def test_the_peak_is_of_this_process_and_begins_anew():
    """In a process of its own: here another test may have let the allocator keep memory."""
    code = """
import numpy as np
from an_ref.bench.memory import forget_peak, peak_bytes
before = forget_peak()
np.ones(1 << 23).sum()  # 64 MiB, given back at once
print(peak_bytes() - before, peak_bytes() - forget_peak())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    grown, forgotten = map(int, done.stdout.split())
    assert grown == pytest.approx(1 << 26, rel=0.015)
    if os.access("/proc/self/clear_refs", os.W_OK):
        assert forgotten == pytest.approx(1 << 26, rel=0.015)


# --- plans and the record --------------------------------------------------------------------------------------------
def test_the_plans_have_what_was_promised():
    assert {(c.name, c.shape) for c in FULL.norms} >= {(n, (128, 64, 32, 32)) for n in NORMS}
    assert len(FULL.norms) == 15
    assert [case.name for case in FULL.steps] == list(NORMS)
    assert {(c.name, c.offset) for c in FULL.accuracy} == {(n, o) for n in NORMS for o in (0.0, 10.0, 1e3, 1e4)}
    for plan in (FULL, QUICK, TINY):
        assert set(plan.cost) == {"N", "C", "H*W", "K", "depth"}


def test_without_pytorch_the_rest_takes_part(monkeypatch):
    monkeypatch.setattr("an_ref.bench.contestants.has_torch", lambda: False)
    names = [one.name for one in present(NORM)]
    assert names == ["an_ref", "an_ref, memory not kept", "textbook", "memory floor"]


def test_rows_have_the_ratio_to_each_reference_that_took_part():
    times = {"an_ref": {"both": [1.0, 2.0]}, "PyTorch, tuned": {"both": [4.0, 4.0]}}
    row, _ = rows_of("norms", FIRST, times)
    assert row["ratios"] == {"PyTorch, tuned": [0.375, 0.3125, 0.4375]}
    (alone,) = rows_of("norms", FIRST, {"an_ref": {"both": [1.0]}})
    assert alone["ratios"] == {"an_ref": [1.0, 1.0, 1.0]}


def test_a_real_run_of_an_ref_against_the_textbook(tmp_path, monkeypatch):
    monkeypatch.setattr("an_ref.bench.contestants.has_torch", lambda: False)
    record, heard = start_record(TINY, "an-ref bench --tiny"), []
    run_bench(TINY, record, only=("norms", "accuracy"), hear=heard.append, keep=lambda: write_record(record, tmp_path))
    write_record(record, tmp_path)
    kept = read_record(tmp_path / "bench.json")
    assert kept == json.loads(json.dumps(record))
    assert kept["complete"]
    assert kept["threads"] == an_ref.get_threads()
    assert not kept["missing"]
    assert {row["contestant"] for row in kept["rows"]} == {one.name for one in present(NORM)}
    assert {row["name"] for row in kept["rows"]} == set(NORMS)
    assert all(len(row["seconds"]) == TINY.rounds and min(row["seconds"]) > 0 for row in kept["rows"])
    assert set(tables(kept)) == {"norms", "accuracy"}
    assert len(heard) == len(TINY.norms) + len(TINY.accuracy)
