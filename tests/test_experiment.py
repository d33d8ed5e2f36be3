"""A comparison of norms, with real processes on tiny images."""

import json

import numpy as np
import pytest
from tiny import tiny_data, tiny_settings

from an_ref import experiment
from an_ref.experiment import Run, compare, work
from an_ref.parallel import Event
from an_ref.results import unpack_correct


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("compare")
    events = []
    settings = tiny_settings(norms=("none", "bn", "an"), seeds=(0, 1), epochs=2)
    results, details = compare(settings, tiny_data(), out, on_event=events.append)
    return out, results, details, events


def test_every_norm_has_every_seed(finished):
    _, results, details, _ = finished
    assert results["complete"]
    assert not results["interrupted"]
    assert list(results["results"]) == ["none", "bn", "an"]
    for norm, entry in results["results"].items():
        assert entry["seeds"] == [0, 1]
        assert [len(losses) for losses in entry["train_loss"]] == [2, 2]
        answers = [unpack_correct(text, 12) for text in details[norm]["test_correct"]]
        assert [float(a.mean()) for a in answers] == entry["test_accuracy"]
        assert all(seconds > 0 for seconds in entry["seconds"])


def test_files_hold_what_is_returned(finished):
    out, results, details, _ = finished
    assert json.loads((out / "results.json").read_text()) == results
    assert json.loads((out / "details.json").read_text()) == details


def test_one_seed_of_every_norm_comes_first(finished):
    *_, events = finished
    started = [event.job for event in events if event.kind == "started"]
    assert started == [Run(norm, seed) for seed in (0, 1) for norm in ("none", "bn", "an")]


def test_every_epoch_is_heard_of(finished):
    *_, events = finished
    for job in {event.job for event in events}:
        assert [event.value[0] for event in events if event.job == job and event.kind == "progress"] == [1, 2]


def test_a_run_repeats_to_the_bit_in_this_process(finished):
    _, results, details, _ = finished
    settings = tiny_settings(norms=("none", "bn", "an"), seeds=(0, 1), epochs=2)
    again = work(Run("an", 1), lambda value: None, settings=settings, data=tiny_data())
    assert again.train_loss == results["results"]["an"]["train_loss"][1]
    assert again.test_correct == details["an"]["test_correct"][1]
    assert again.attention == details["an"]["attention"][1]


def test_norms_of_a_seed_see_the_same_batches_and_seeds_see_others(monkeypatch):
    seen = {}

    def note(model, data, recipe, *, rng, on_epoch):
        seen[run] = rng.integers(0, 1_000_000, 20).tolist()
        return [1.0]

    monkeypatch.setattr(experiment, "train", note)
    for run in (Run("none", 0), Run("bn", 0), Run("an", 0), Run("bn", 1)):
        work(run, lambda value: None, settings=tiny_settings(), data=tiny_data())
    assert seen[Run("none", 0)] == seen[Run("bn", 0)] == seen[Run("an", 0)]
    assert seen[Run("bn", 1)] != seen[Run("bn", 0)]


def test_a_diverging_run_is_entered_with_its_reason_and_the_others_go_on(tmp_path):
    settings = tiny_settings(norms=("none", "bn"), lr=1e18, epochs=2)  # too much for a net without norms
    data = tiny_data()
    results, _ = compare(settings, data, tmp_path)
    (failure,) = results["results"]["none"]["failed"]
    assert failure["seed"] == 0
    assert "smaller learning rate" in failure["reason"]
    assert not results["complete"]
    assert json.loads((tmp_path / "results.json").read_text()) == results


def test_results_are_written_after_every_run_and_kept_on_ctrl_c(tmp_path, monkeypatch):
    outcome = work(Run("bn", 0), lambda value: None, settings=tiny_settings(), data=tiny_data())

    def interrupted_run(*_, **__):
        yield Event(Run("bn", 0), "done", outcome)
        assert json.loads((tmp_path / "results.json").read_text())["results"]["bn"]["seeds"] == [0]
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "run_parallel", interrupted_run)
    results, _ = compare(tiny_settings(), tiny_data(), tmp_path)
    assert results["interrupted"]
    assert results["results"]["none"]["seeds"] == []
    assert json.loads((tmp_path / "results.json").read_text()) == results


def test_ctrl_c_before_the_first_run_ended_writes_nothing(tmp_path, monkeypatch):
    def interrupted_run(*_, **__):
        yield Event(Run("bn", 0), "started")
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "run_parallel", interrupted_run)
    results, _ = compare(tiny_settings(), tiny_data(), tmp_path)
    assert results["interrupted"]
    assert not list(tmp_path.iterdir())


def test_accuracy_is_measured_on_the_test_images():
    data = tiny_data(train=96, test=30)
    settings = tiny_settings(epochs=8)
    good = work(Run("bn", 0), lambda value: None, settings=settings, data=data)
    wrong = data._replace(test_labels=(data.test_labels + 1) % 3)
    bad = work(Run("bn", 0), lambda value: None, settings=settings, data=wrong)
    assert good.test_accuracy > 0.8
    assert bad.test_accuracy < 0.2
    assert np.isclose(good.train_loss, bad.train_loss).all()
