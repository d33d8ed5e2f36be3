"""The bench on a GPU. Without one: on a card made of guards, all in one process. With one (`pytest -m gpu`): whole."""

import json
import re
import sys
import types

import cuda_shim
import guard
import numpy as np
import pytest
from fake_card import Event, LocalPlayer, install
from test_gpu import on_gpu
from typer.testing import CliRunner

from an_ref import cli, set_threads
from an_ref.bench import PLANS, TINY, Case, inputs
from an_ref.bench.contestants import FLOOR, GPU_NORM, GPU_STEP, present, sections
from an_ref.bench.devices import CupyGpu, TorchGpu
from an_ref.bench.figures import draw_ratios
from an_ref.bench.inputs import errors, expected_norm, normal, sample
from an_ref.bench.numpy_tasks import Norm, Step
from an_ref.bench.plan import NORMS
from an_ref.bench.record import expected, rows_of, start_record
from an_ref.bench.tables import facts, on_which, tables
from an_ref.bench.turns import SEED, play, players
from an_ref.bench.worker import Worker
from an_ref.cuda import plain

OURS = [one for one in (*GPU_NORM, *GPU_STEP) if "numpy_tasks" in one.make]


@pytest.fixture
def card(monkeypatch):
    """The memory pool of a card made of guards."""
    monkeypatch.setattr("an_ref.bench.turns.Player", LocalPlayer)
    monkeypatch.setattr("an_ref.bench.turns.REST", 0)
    for module in ("contestants", "record"):
        monkeypatch.setattr(f"an_ref.bench.{module}.has_torch", lambda: False)
    return install(monkeypatch)


def bench(*arguments):
    return CliRunner().invoke(cli.app, ["bench", "--tiny", "--device", "gpu", *map(str, arguments)])


def made(one, case):
    """The task of a contestant with its first inputs."""
    worker = Worker(one, 1)
    worker.make(case)
    worker._task.fresh(1)
    return worker._task


def check_record(record, contestants):
    """What every whole run on a GPU leaves."""
    assert record["complete"]
    assert record["device"] == "gpu"
    assert set(record["gpu"]) == {"name", "memory", "driver", "runtime"}
    assert re.fullmatch(r"\d+\.\d+", record["gpu"]["driver"])
    assert "cupy" in record["versions"]
    assert {row["section"] for row in record["rows"]} == {"norms", "steps"}
    assert {row["name"] for row in record["rows"] if row["section"] == "norms"} == set(NORMS)
    assert {row["contestant"] for row in record["rows"]} >= contestants
    assert all(len(row["seconds"]) == TINY.rounds and min(row["seconds"]) > 0 for row in record["rows"])
    for row in record["rows"]:
        if row["section"] == "steps":
            assert 0 < row["memory"] <= row["process_memory"]


# --- the whole run ---------------------------------------------------------------------------------------------------
def test_a_whole_run(card, tmp_path):
    result = bench("--out", tmp_path)
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "bench.json").read_text())
    check_record(record, {"an_ref", "plain CuPy", FLOOR})
    assert record["missing"] == []
    assert record["gpu"] == {"name": "Paper card", "memory": 8 << 30, "driver": "12.8", "runtime": "12.9"}
    assert record["command"].startswith("an-ref bench --tiny --device gpu")
    assert "GPU: Paper card, 8 GiB\n" in result.output
    assert all(set(row["ratios"]) == {FLOOR} for row in record["rows"] if row["section"] == "norms")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "cost.png").exists()


@on_gpu
def test_a_whole_run_on_a_real_gpu(tmp_path):
    """What PyTorch cannot do here (it may lack CUDA, or a compiler) is named; an_ref and CuPy miss nothing."""
    result = bench("--out", tmp_path)
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "bench.json").read_text())
    check_record(record, {"an_ref", "plain CuPy", FLOOR})
    assert not [entry for entry in record["missing"] if "orch" not in entry["contestant"]]


def test_the_plans_have_what_was_promised():
    full, quick, tiny = PLANS["gpu"].values()
    for plan in (full, quick):
        assert {case.shape for case in plan.norms} >= {(32, 64, 32, 32), (256, 256, 56, 56)}
        assert {case.name for case in plan.norms} == set(NORMS)
        assert {case.name for case in plan.steps} == {"bn", "an"}
    assert sorted({case.shape[0] for case in full.steps}) == [128, 256, 512, 1024]
    assert len({case.shape for case in full.norms}) == 4
    assert tiny is TINY
    assert sections("gpu") == ("norms", "steps")


# --- each contestant -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("one", [one for one in OURS if not one.make.endswith("Step")], ids=lambda one: one.name)
def test_nothing_moves_while_a_norm_is_timed(card, one, norm):
    task = made(one, Case("norm", norm, (4, 16, 4, 4)))
    guard.MOVES.clear()
    with guard.no_moves():
        times = task.run()
    assert set(times) == {"forward", "backward", "both"}
    assert times["both"] == pytest.approx(times["forward"] + times["backward"])


def test_a_step_fetches_its_loss_and_nothing_else(card):
    (one,) = (one for one in OURS if one.make.endswith("Step"))
    task = made(one, TINY.steps[0])
    guard.MOVES.clear()
    assert task.run()["step"] > 0
    assert [array.shape for array in guard.MOVES.to_host] == [()]
    assert guard.MOVES.to_device == []


@pytest.mark.parametrize("one", OURS, ids=lambda one: f"{one.name}, {one.make.partition(':')[2]}")
def test_a_contestant_that_rests_holds_nothing_but_its_net(card, one):
    case = TINY.steps[0] if one.make.endswith("Step") else Case("norm", "an", (4, 16, 4, 4))
    worker = Worker(one, 1)
    assert worker.reply("make", case) == ("ok", None)
    before = card.live
    for ask in (("answer", 1), ("turn", 1, 0.0), ("memory", 1)):
        kind, value = worker.reply(*ask)
        assert kind == "ok", value
        weights = 3 * before  # of a net, its gradients and velocities
        assert card.live <= weights
        assert card.taken == card.live
    assert value[0] > 0


@cuda_shim.needs_shim
def test_an_ref_runs_on_its_kernels_and_plain_cupy_on_none(monkeypatch):
    install(monkeypatch)
    ran, case = cuda_shim.install_under_guards(monkeypatch), Case("norm", "an", (4, 16, 4, 4))
    sys.modules["cupy"].cuda.Event, sys.modules["cupy"].get_default_memory_pool = Event, lambda: None
    launched = {}
    for one in GPU_NORM[:2]:
        ran.clear()
        found = made(one, case).answer()
        assert max(errors(found, expected_norm(case, 1)).values()) < 1e-4
        launched[one.name] = list(ran)
    assert launched == {"an_ref": ["moments", "scale_shift", "gradient_sums", "combine"], "plain CuPy": []}


def test_who_runs_out_of_memory_is_named_and_the_others_go_on(card, monkeypatch):
    def full(dy, cache):
        raise guard.OutOfMemoryError(1 << 30, 2 << 30)

    missing, case = [], Case("norm", "an", (4, 16, 4, 4))
    want = expected(case, "gpu")
    monkeypatch.setattr("an_ref.textbook.attentive_norm_backward", full)
    with players(present(GPU_NORM), 1) as group:
        found = play(group, case, rounds=2, budget=0.0, expected=want, note=lambda *entry: missing.append(entry))
        assert len(group) == 3
    assert set(found) == {"an_ref", FLOOR}
    reason = "OutOfMemoryError: Out of memory allocating 1,073,741,824 bytes (allocated so far: 2,147,483,648 bytes)."
    assert missing == [("plain CuPy", case.title, reason)]
    assert card.live == card.taken == 0


def test_who_disagrees_is_named_and_not_timed(card, monkeypatch):
    combine, missing, case = plain.combine, [], Case("norm", "gn", (4, 16, 4, 4))
    monkeypatch.setattr(plain, "combine", lambda *args, **more: combine(*args, **more) * 1.001)
    with players(present(GPU_NORM), 1) as group:
        want = expected_norm(case, SEED - 1)
        found = play(group, case, rounds=1, budget=0.0, expected=want, note=lambda *entry: missing.append(entry))
    assert set(found) == {"plain CuPy", FLOOR}
    assert [(who, why.partition(" is off")[0]) for who, _, why in missing] == [("an_ref", "not timed: dx")]


@pytest.mark.parametrize("answers", [True, False])
def test_a_card_that_has_broken_down_is_a_reason_too(card, monkeypatch, answers):
    """After some errors of CUDA every call fails, also the one that gives memory back."""

    def broken():
        raise RuntimeError("an illegal memory access was encountered")

    worker = Worker(GPU_NORM[0], 1)
    worker.make(Case("norm", "bn", (4, 16, 4, 4)))
    card.free_all_blocks = broken
    if not answers:
        monkeypatch.setattr(worker._task, "run", lambda: 1 / 0)
    why = "RuntimeError: an illegal memory access was encountered" if answers else "ZeroDivisionError: division by zero"
    assert worker.reply("turn", 1, 0.0) == ("failed", why)


def test_a_time_is_read_after_waiting_for_it(card):
    device = CupyGpu()
    begin, end = device.mark(), device.mark()
    with pytest.raises(RuntimeError, match="NotReady"):
        begin.elapsed_time(end)
    begin.time, end.time = 1.0, 1.5
    assert device.seconds(begin, end) == pytest.approx(0.5)


# --- answers ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("norm", NORMS)
def test_the_right_answers_of_a_gpu_are_those_of_the_textbook_made_without_it(norm, monkeypatch):
    case = Case("norm", norm, (4, 16, 4, 4))
    textbooks = expected(case, "cpu")
    monkeypatch.setattr(f"an_ref.textbook.{inputs.OPS[norm]}", None)
    assert max(errors(expected(case, "gpu"), textbooks).values()) < 1e-11


def test_very_large_answers_are_compared_at_the_same_random_places(monkeypatch):
    array = np.arange(10_000.0).reshape(100, 100)
    assert sample(array) is array
    monkeypatch.setattr(inputs, "LARGEST", 9_999)
    monkeypatch.setattr(inputs, "SAMPLE", 5_000)
    found = sample(array)
    np.testing.assert_array_equal(found, sample(np.asfortranarray(array)))
    assert found.shape == (5_000,)
    assert len(set(found // 100)) == 100  # every row has been looked at
    case = Case("norm", "bn", (20, 8, 8, 8))
    task = Norm(case, threads=1)
    task.fresh(SEED - 1)
    worker = Worker(GPU_NORM[0], 1)
    worker._task = task
    got = worker.answer(SEED - 1)
    assert got["y"].shape == (5_000,)
    assert max(errors(got, expected(case)).values()) < 1e-4


def test_inputs_do_not_depend_on_the_number_of_threads(monkeypatch):
    monkeypatch.setattr(inputs, "CHUNK", 100)
    first = normal((7, 61), 3)
    try:
        set_threads(3)
        np.testing.assert_array_equal(normal((7, 61), 3), first)
    finally:
        set_threads(1)
    assert first.dtype == np.float32
    assert len(np.unique(first)) == first.size  # no chunk like another
    assert not np.isin(normal((7, 61), 4), first).any()
    assert abs(first.mean()) < 0.2
    assert abs(first.std() - 1) < 0.2


def test_the_step_of_the_card_takes_the_losses_of_the_cpu(card):
    case = TINY.steps[0]
    there = Step(case, threads=1, device="gpu")
    there.fresh(SEED - 1)
    assert isinstance(there.model.params["0.weight"], guard.Guard)
    assert max(errors(there.answer(), expected(case, "gpu")).values()) < 1e-4


# --- PyTorch ---------------------------------------------------------------------------------------------------------
class Tensor:
    """As far as TorchGpu asks."""

    def __init__(self, array, device="cpu"):
        self.array, self.device = array, device

    def to(self, device):
        return Tensor(self.array, device)

    def cpu(self):
        return Tensor(self.array)

    def detach(self):
        return self

    def numpy(self):
        assert self.device == "cpu", "can't convert cuda:0 device type tensor to numpy"
        return self.array


def test_pytorch_on_a_gpu(monkeypatch):
    taken = {"now": 5, "peak": 9}
    cuda = types.SimpleNamespace(
        Event=Event,
        empty_cache=lambda: taken.update(now=2),
        reset_peak_memory_stats=lambda: taken.update(peak=taken["now"]),
        memory_reserved=lambda: taken["now"],
        max_memory_reserved=lambda: taken["peak"],
    )
    cudnn = types.SimpleNamespace(allow_tf32=True, benchmark=False)
    torch = types.SimpleNamespace(cuda=cuda, backends=types.SimpleNamespace(cudnn=cudnn), from_numpy=Tensor)
    monkeypatch.setitem(sys.modules, "torch", torch)
    device, array = TorchGpu(), np.ones(3)
    assert not cudnn.allow_tf32  # float32 for everyone
    there = device.put(array)
    assert there.device == "cuda"
    assert device.get(there) is array
    begin, end = device.mark(), device.mark()
    begin.time, end.time = 1.0, 1.5
    assert device.seconds(begin, end) == pytest.approx(0.5)
    assert device.peak_bytes() == 9
    assert device.forget_peak() == device.peak_bytes() == 2


@pytest.mark.parity
@pytest.mark.parametrize("compiled", [False, True])
def test_pytorchs_tasks_give_the_right_answers_on_any_device(monkeypatch, compiled):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install -e '.[parity]'")
    from an_ref.bench import torch_tasks

    monkeypatch.setitem(torch_tasks.DEVICES, "gpu", torch_tasks.TorchCpu)
    monkeypatch.setattr(torch, "compile", lambda function, dynamic: function)
    for norm in NORMS:
        case = Case("norm", norm, (4, 16, 4, 4))
        task = torch_tasks.Norm(case, threads=1, compiled=compiled, device="gpu")
        task.fresh(SEED - 1)
        assert max(errors(task.answer(), expected(case)).values()) < 1e-4
        assert set(task.run()) == {"forward", "backward", "both"}
    for channels_last in (False, True):
        task = torch_tasks.Step(TINY.steps[0], threads=1, channels_last=channels_last, compiled=compiled, device="gpu")
        task.fresh(SEED - 1)
        assert max(errors(task.answer(), expected(TINY.steps[0])).values()) < 1e-4
        assert set(task.run()) == {"step"}
        task.rest()
        assert not task.inputs


# --- what is shown ---------------------------------------------------------------------------------------------------
@pytest.fixture
def record(card):
    """The record of an invented run."""
    made = start_record(TINY, "an-ref bench --device gpu", device="gpu")
    times = {"an_ref": {"both": [0.002]}, "PyTorch": {"both": [0.004]}, FLOOR: {"both": [0.001]}}
    parts = {name: found | {"forward": [0.5], "backward": [0.5]} for name, found in times.items()}
    made["rows"] = rows_of("norms", Case("norm", "an", (4, 16, 8, 8)), parts, device="gpu")
    made["versions"]["torch"] = "2.9.0+cu128"
    made["date"] = "2027-01-02T03:04:05+00:00"
    return made


WHICH = "Paper card, CuPy 14.0.0, PyTorch 2.9.0+cu128, CUDA 12.9, driver for CUDA 12.8, 2027-01-02"


def test_table_and_facts_name_the_card(record):
    assert on_which(record) == WHICH
    table = tables(record)["norms"]
    assert table.title.endswith(WHICH)
    assert table.heads[-2:] == ("over PyTorch", "over floor")
    assert table.rows[0][-2:] == ("0.50 (0.50-0.50)", "2.00 (2.00-2.00)")
    assert "GPU: Paper card, 8 GiB" in facts(record)
    assert any("cupy 14.0.0" in fact and "CUDA 12.9, driver for CUDA 12.8" in fact for fact in facts(record))
    assert on_which(start_record(TINY, "an-ref bench")) == ""


def test_the_figure_names_the_card(record, monkeypatch):
    drawn = []
    monkeypatch.setattr("an_ref.bench.figures.save_png", lambda figure, file: drawn.append(figure))
    draw_ratios(record)
    assert drawn[0].get_suptitle().replace("\n", ", ") == WHICH
