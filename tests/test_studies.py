"""Studies: the grids, the nets they start from, records that go on after a stop, and what the results allow to say."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from tiny import tiny_data

from an_ref.nn import Conv2d
from an_ref.parallel import Event
from an_ref.report.intervals import paired_difference
from an_ref.results import pack_correct, unpack_correct
from an_ref.studies import STUDIES, Case, Study, StudyError, prepare, run_study, study
from an_ref.studies.figures import draw_study
from an_ref.studies.net import build_net
from an_ref.studies.published import BY_NET, published_table
from an_ref.studies.record import Outcome, StudySettings, add_run, missing_runs, read_record, start_record
from an_ref.studies.summary import compare_cases, summarize_cases
from an_ref.studies.tables import result_tables
from an_ref.studies.terminal import remaining

BN, AN = Case("bn", batch_size=8), Case("an", batch_size=8)
SETTINGS = StudySettings("placement", "emoji", None, "small_cnn", epochs=1, seeds=2, limit=None)


@pytest.fixture
def tiny_grid(monkeypatch):
    """A grid of two cases in the place of a real one."""
    monkeypatch.setitem(STUDIES, "placement", Study("?", (BN, AN), ({"norm": "bn"},)))


@pytest.fixture
def in_this_process(monkeypatch):
    """Run the jobs one after the other, without processes; the list that comes back names those that were run."""
    done = []

    def run_here(work, jobs, *, workers):
        for job in jobs:
            yield Event(job, "started")
            done.append((job.place, job.seed))
            yield Event(job, "done", work(job, lambda value: None))

    monkeypatch.setattr(study, "run_parallel", run_here)
    return done


def start(tmp_path, **changes):
    return prepare(SETTINGS._replace(**changes), tiny_data(), tmp_path)


def made_up(name, share, *, seeds=3, images=400, diverged=()):
    """A record of study `name` in which `share(case)` of the test images are right; `diverged` holds cases."""
    rng = np.random.default_rng(0)
    settings = StudySettings(name, "emoji", None, "small_cnn", epochs=2, seeds=seeds, limit=None)
    record = start_record(settings, tiny_data(test=images), workers=2)
    difficulty = rng.random(images)
    for i, case in enumerate(STUDIES[name].cases):
        for seed in range(seeds):
            correct = 0.8 * difficulty + 0.2 * rng.random(images) < share(case)
            outcome = Outcome(float(correct.mean()), [2.0, 1.5], 10.0, 1234, pack_correct(correct), None)
            if case in diverged:
                outcome = Outcome(None, [], 1.0, 1234, None, "the loss is nan")
            add_run(record, i, seed, outcome)
    return record


# --- the grids -------------------------------------------------------------------------------------------------------
def test_batch_size_is_every_size_with_every_norm():
    cases = STUDIES["batch-size"].cases
    assert len(cases) == 35
    norms, sizes = ("bn", "gn", "sn", "an", "an-gn"), (2, 4, 8, 16, 32, 64, 128)
    assert set(cases) == {Case(norm, batch_size=size) for norm in norms for size in sizes}


def test_ablation_changes_one_factor_at_a_time():
    bn, default, *others = STUDIES["ablation"].cases
    assert (bn, default) == (Case("bn"), Case("an"))
    changes = [{k: v for k, v in asdict(case).items() if v != asdict(default)[k]} for case in others]
    assert all(len(change) == 1 for change in changes)
    tried = [next(iter(change.items())) for change in changes]
    expected = [("mixtures", K) for K in (1, 2, 5, 20)]
    expected += [("descriptor", "mean"), ("descriptor", "mean_max"), ("transform", "linear"), ("transform", "mlp")]
    assert tried == [*expected, ("activation", "sigmoid"), ("activation", "softmax")]


def test_placement_and_depth():
    assert STUDIES["placement"].cases == (Case("bn"), *(Case("an", placement=p) for p in ("first", "second", "all")))
    cases = STUDIES["depth"].cases
    assert len(set(cases)) == 36
    for norm, zero_start in (("none", True), ("none", False), ("bn", False), ("an", False)):
        for blocks in (1, 2, 4):
            for scale in (0.25, 1.0, 4.0):
                assert Case(norm, blocks=blocks, weight_scale=scale, zero_start=zero_start) in cases


@pytest.mark.parametrize("name", STUDIES)
def test_every_case_can_be_built_and_compared(name, tmp_path):
    data = tiny_data(train=128)
    record, _ = prepare(SETTINGS._replace(study=name), data, tmp_path)
    assert len(record["cases"]) == len(STUDIES[name].cases)
    assert len(compare_cases(record)) == {"batch-size": 28, "ablation": 21, "placement": 3, "depth": 27}[name]


def test_a_grid_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(StudyError, match="batches of 128, and there are only 24 training images"):
        prepare(SETTINGS._replace(study="batch-size"), tiny_data(), tmp_path)
    with pytest.raises(StudyError, match="grid of depth does not fit resnet20: the number of blocks can be chosen for"):
        prepare(SETTINGS._replace(study="depth", model="resnet20"), tiny_data(train=64), tmp_path)


# --- the nets --------------------------------------------------------------------------------------------------------
def kernels(net):
    return [layer.params["weight"] for _, layer in net.named_layers() if isinstance(layer, Conv2d)]


def test_all_convolution_weights_are_scaled_and_nothing_else():
    plain, scaled = (
        build_net(Case("bn", weight_scale=scale, zero_start=False), "small_cnn", 3, np.random.default_rng(0))
        for scale in (1.0, 4.0)
    )
    convolutions = {f"{name}.weight" for name, layer in plain.named_layers() if isinstance(layer, Conv2d)}
    assert len(convolutions) == 9
    for key, p in plain.params.items():
        assert np.array_equal(scaled.params[key], p * np.float32(4 if key in convolutions else 1)), key
        assert scaled.params[key].dtype == np.float32


@pytest.mark.parametrize("norm", ["none", "bn", "an"])
def test_branches_that_do_not_start_at_zero(norm):
    rng = np.random.default_rng
    zero, full = (build_net(Case(norm, zero_start=z), "small_cnn", 3, rng(0)) for z in (True, False))
    started = [key for key, p in zero.params.items() if p.any() != full.params[key].any()]
    if norm == "none":
        assert len(started) == 3  # the last convolution of each branch
        for key in started:
            w = full.params[key]
            assert np.isclose(w.std(), np.sqrt(2 / w[0].size), rtol=0.1)
    else:
        assert len(started) == 3
        assert all(key.endswith("gamma") and (full.params[key] == 1).all() for key in started)
    same = [key for key in zero.params if key not in started]
    assert all(np.array_equal(zero.params[key], full.params[key]) for key in same)


# --- running and going on --------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("tiny_grid")
def test_a_study_runs_every_case_from_every_seed_in_processes(tmp_path):
    record, data = start(tmp_path)
    heard = []
    run_study(record, data, tmp_path, on_event=lambda event: heard.append(event.kind))
    kept = read_record(tmp_path / "placement.json")
    assert kept == record
    assert kept["complete"]
    assert (heard.count("started"), heard.count("progress"), heard.count("done")) == (4, 4, 4)
    for entry in kept["cases"]:
        assert [run["seed"] for run in entry["runs"]] == [0, 1]
        for run in entry["runs"]:
            assert len(run["train_loss"]) == 1
            assert np.isclose(unpack_correct(run["test_correct"], 12).mean(), run["test_accuracy"])
    assert kept["cases"][0]["parameters"] < kept["cases"][1]["parameters"]
    assert [p.name for p in tmp_path.iterdir()] == ["placement.json"]


@pytest.mark.usefixtures("tiny_grid")
def test_a_stopped_study_does_only_the_missing_runs_and_ends_the_same(tmp_path, in_this_process):
    def stop(event):
        if len(in_this_process) == 3 and event.kind == "done":
            raise KeyboardInterrupt

    for folder in ("whole", "stopped"):
        (tmp_path / folder).mkdir()
    whole, data = start(tmp_path / "whole")
    run_study(whole, data, tmp_path / "whole")
    in_this_process.clear()
    record, _ = start(tmp_path / "stopped")
    with pytest.raises(KeyboardInterrupt):
        run_study(record, data, tmp_path / "stopped", on_event=stop)
    assert in_this_process == [(0, 0), (1, 0), (0, 1)]  # one seed of every case before the next seed
    again, _ = start(tmp_path / "stopped")
    assert not again["complete"]
    assert missing_runs(again) == [(1, 1)]
    in_this_process.clear()
    run_study(again, data, tmp_path / "stopped")
    assert in_this_process == [(1, 1)]
    assert again["complete"]
    for one, other in zip(whole["cases"], again["cases"], strict=True):
        for run in (*one["runs"], *other["runs"]):
            run.pop("seconds")
        assert one == other


@pytest.mark.usefixtures("tiny_grid")
def test_more_seeds_go_on_and_fewer_are_refused(tmp_path, in_this_process):
    record, data = start(tmp_path)
    run_study(record, data, tmp_path)
    more, _ = start(tmp_path, seeds=3)
    assert missing_runs(more) == [(0, 2), (1, 2)]
    assert (more["complete"], more["command"].split()[-1]) == (False, "3")
    with pytest.raises(StudyError, match="made with seeds = 2, and now it is 1"):
        start(tmp_path, seeds=1)


@pytest.mark.usefixtures("tiny_grid", "in_this_process")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 2}, "was made with epochs = 1, and now it is 2; give the same to continue"),
        ({"model": "resnet20"}, "was made with model = 'small_cnn', and now it is 'resnet20'"),
        ({"limit": 20}, "was made with limit = None, and now it is 20"),
        ({"data": "folder"}, "was made with data = 'emoji', and now it is 'folder'"),
    ],
)
def test_other_settings_are_refused(tmp_path, changes, words):
    record, data = start(tmp_path)
    run_study(record, data, tmp_path)
    before = (tmp_path / "placement.json").read_bytes()
    with pytest.raises(StudyError, match=words):
        start(tmp_path, **changes)
    assert (tmp_path / "placement.json").read_bytes() == before


@pytest.mark.usefixtures("tiny_grid", "in_this_process")
def test_other_images_versions_grids_and_files_are_refused(tmp_path, monkeypatch):
    record, data = start(tmp_path)
    run_study(record, data, tmp_path)
    path = tmp_path / "placement.json"
    with pytest.raises(StudyError, match="was made with images = another set"):
        prepare(SETTINGS, data._replace(test_images=255 - data.test_images), tmp_path)
    good = path.read_text()
    for wrong, words in [
        (good.replace(f'"numpy": "{np.__version__}"', '"numpy": "1.0"'), "was made with numpy = '1.0'"),
        (good.replace('"study": "placement"', '"study": "depth"'), "was made with study = 'depth'"),
        (good.replace('"mixtures": 10', '"mixtures": 9'), "was made with another grid of placement"),
        (good[:-50], "is not the record of a study"),
        ("[]", "is not the record of a study"),
        (good.replace('"cases": [', '"cases": [7,'), "is not the record of a study"),
        (good.replace('"seed": 0', '"seed": null'), "is not the record of a study"),
        (good.replace('"seeds": 2', '"seeds": "many"'), "is not the record of a study"),
        (good.replace('"mixtures"', '"minxtures"'), "is not the record of a study"),
    ]:
        assert wrong != good
        path.write_text(wrong)
        with pytest.raises(StudyError, match=words):
            start(tmp_path)
        assert path.read_text() == wrong


@pytest.mark.usefixtures("tiny_grid")
def test_a_failed_run_is_not_entered_and_tried_again(tmp_path, monkeypatch):
    record, data = start(tmp_path)
    usual = study.run_parallel
    monkeypatch.setattr(
        study, "run_parallel", lambda work, jobs, workers: (Event(j, "failed", "no memory") for j in jobs)
    )
    run_study(record, data, tmp_path)
    monkeypatch.setattr(study, "run_parallel", usual)
    assert not record["complete"]
    assert len(missing_runs(start(tmp_path)[0])) == 4


def test_a_diverged_run_is_recorded_as_diverged(tmp_path, monkeypatch, in_this_process):
    wild = Case("none", batch_size=8, zero_start=False, weight_scale=1e12)
    monkeypatch.setitem(STUDIES, "placement", Study("?", (wild, BN), (asdict(BN),)))
    record, data = start(tmp_path)
    run_study(record, data, tmp_path)
    assert record["complete"]
    for run in record["cases"][0]["runs"]:
        assert "not finite" in run["diverged"]
        assert not {"test_accuracy", "test_correct"} & run.keys()
    summary = summarize_cases(record)[0]
    assert (summary.diverged, summary.accuracy) == ([0, 1], None)
    (comparison,) = compare_cases(record)
    assert (comparison.difference, comparison.why_not) == (None, "none: 2 of 2 diverged")
    assert result_tables(record)[0].rows[0][1] == "2 of 2 diverged"


def test_the_command_names_the_last_part_of_the_folder_alone(tmp_path):
    settings = SETTINGS._replace(data="cifar10", data_dir=tmp_path / "cifar-10-batches-bin", limit=2000)
    assert settings.command == (
        "an-ref study placement --data cifar10 --data-dir cifar-10-batches-bin --model small_cnn --epochs 1 --seeds 2 "
        "--limit 2000"
    )
    assert str(tmp_path) not in json.dumps(start_record(settings, tiny_data(), workers=2))


# --- what is said ----------------------------------------------------------------------------------------------------
def test_differences_are_paired_and_the_second_verdict_is_corrected():
    record = made_up("ablation", lambda case: 0.64 if case.mixtures == 20 else 0.6)
    found = {(c.case, c.reference): c for c in compare_cases(record)}
    assert len(found) == 21
    ours, default = replace(Case("an"), mixtures=20), Case("an")
    runs = {
        case: [r["test_correct"] for r in e["runs"]]
        for case, e in zip(STUDIES["ablation"].cases, record["cases"], strict=True)
    }
    a, b = (np.stack([unpack_correct(text, 400) for text in runs[case]]).astype(float) for case in (ours, default))
    expected = paired_difference(a, b)
    assert np.allclose(found[ours, default].difference, expected)
    corrected = paired_difference(a, b, 1 - 0.05 / 21)
    assert corrected.high - corrected.low > expected.high - expected.low
    assert (found[ours, default].alone, found[ours, default].among_all) == ("better", "better")
    assert np.allclose(found[ours, default].by_seed, (a - b).mean(axis=1))


def test_a_verdict_may_fall_to_the_correction():
    shares = np.linspace(0.6, 0.66, 13)
    verdicts = set()
    for share in shares:
        record = made_up("batch-size", lambda case, share=share: share if case.norm == "an" else 0.6)
        verdicts |= {(c.alone, c.among_all) for c in compare_cases(record)}
    assert ("better", "cannot tell") in verdicts
    assert ("better", "better") in verdicts
    assert ("cannot tell", "better") not in verdicts


def test_one_seed_has_no_interval():
    for c in compare_cases(made_up("placement", lambda case: 0.9 if case.norm == "an" else 0.5, seeds=1)):
        assert c.difference.low is c.difference.high is None
        assert c.difference.mean > 0.3
        assert (c.alone, c.among_all) == ("one seed", "one seed")


def test_a_case_that_diverged_once_has_no_mean_and_no_difference():
    record = made_up("placement", lambda case: 0.6)
    record["cases"][0]["runs"][1] = {"seed": 1, "train_loss": [], "seconds": 1.0, "diverged": "the loss is nan"}
    bn, *_ = summarize_cases(record)
    assert (sorted(bn.accuracies), bn.diverged, bn.accuracy) == ([0, 2], [1], None)
    assert {c.why_not for c in compare_cases(record)} == {"bn: 1 of 3 diverged"}
    accuracies, comparisons = result_tables(record)
    assert accuracies.rows[0][1] == "1 of 3 diverged"
    assert comparisons.rows[0][2] == "bn: 1 of 3 diverged"


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("seeds", [3, 0])
def test_tables_and_figure_of_a_whole_study_and_of_one_that_has_hardly_begun(name, seeds):
    diverged = [case for case in STUDIES[name].cases if case.norm == "none"]
    record = made_up(name, lambda case: 0.6, seeds=seeds, diverged=diverged)
    tables = [*result_tables(record), *([published_table(name)] if published_table(name) else [])]
    assert len(tables) == 2 + (name != "depth")
    for table in tables:
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.heads)}
    assert draw_study(record).startswith(b"\x89PNG")


def test_the_published_accuracies_are_the_published_errors():
    errors = {"BN": 23.01, "GN": 23.52, "SN": 22.43, "SE": 22.37, "AN": 21.59}
    assert {name: round(100 - value, 2) for name, value in BY_NET["ResNet-50"].items()} == errors
    rows = published_table("placement").rows
    assert [row[3] for row in rows] == ["", "+1.0", "+0.6", "", "+1.5", "+1.3", "+0.9"]
    assert published_table("batch-size").rows[-1] == ("1", "does not converge", "75.5", "75.0")


def test_the_remaining_time_expects_a_run_to_take_what_its_case_took():
    record = made_up("placement", lambda case: 0.6, seeds=2)
    assert remaining(record, {}) == 0
    for entry, seconds in zip(record["cases"], (10, 20, 30, 40), strict=True):
        entry["runs"] = [entry["runs"][0] | {"seconds": seconds}]
    assert remaining(record, {}) == 50  # 100 seconds, two processes
    job = study.Job(3, STUDIES["placement"].cases[3], 1)
    assert remaining(record, {job: 15.0}) == 42.5
    record["cases"][3]["runs"] = []
    assert remaining(record, {}) == 50  # 10 + 20 + 30, and twice their mean
    for entry in record["cases"]:
        entry["runs"] = []
    assert remaining(record, {}) is None
