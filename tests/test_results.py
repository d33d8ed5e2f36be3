"""The files that a comparison leaves."""

import json

import numpy as np
import pytest
from tiny import made_up_results, tiny_data, tiny_settings

from an_ref.results import Outcome, add_outcome, pack_correct, start_results, unpack_correct, write_results


@pytest.mark.parametrize("count", [1, 7, 8, 400])
def test_answers_survive_packing(count):
    correct = np.random.default_rng(count).random(count) < 0.5
    np.testing.assert_array_equal(unpack_correct(pack_correct(correct), count), correct)


def test_seeds_are_kept_in_order_whichever_ends_first():
    settings = tiny_settings(norms=("bn",), seeds=(0, 1, 2))
    results, details = start_results(settings, tiny_data(), workers=1)
    for seed in (2, 0, 1):
        assert not results["complete"]
        outcome = Outcome(seed / 10, [float(seed)], 1.0, 5, pack_correct([seed, 1]), {"seed": seed})
        add_outcome(results, details, "bn", seed, outcome)
    found = results["results"]["bn"]
    assert found["seeds"] == [0, 1, 2]
    assert found["test_accuracy"] == [0.0, 0.1, 0.2]
    assert found["train_loss"] == [[0.0], [1.0], [2.0]]
    assert [entry["seed"] for entry in details["bn"]["attention"]] == [0, 1, 2]
    assert results["complete"]


def test_results_say_what_was_run(tmp_path):
    results, details, _ = made_up_results()
    write_results(tmp_path, results, details)
    read = json.loads((tmp_path / "results.json").read_text())
    assert {"dataset", "model", "epochs", "batch_size", "seeds", "machine", "results"} <= set(read)
    assert read["seeds"] == [0, 1, 2]
    for norm in ("none", "bn", "an"):
        entry = read["results"][norm]
        assert len(entry["test_accuracy"]) == len(entry["seconds"]) == 3
        assert [len(losses) for losses in entry["train_loss"]] == [4, 4, 4]
        assert entry["parameters"] == 1234
    assert json.loads((tmp_path / "details.json").read_text()) == details


def test_chance_is_the_share_of_the_largest_class():
    data = tiny_data(test=9)
    labels = np.array([0, 1, 1, 1, 1, 1, 2, 2, 0])
    results, _ = start_results(tiny_settings(), data._replace(test_labels=labels), workers=1)
    assert results["chance"] == 5 / 9


def test_writing_leaves_nothing_aside(tmp_path):
    results, details, _ = made_up_results()
    for _ in range(2):
        write_results(tmp_path, results, details)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["details.json", "results.json"]


def test_a_write_that_fails_keeps_the_old_file(tmp_path):
    results, details, _ = made_up_results()
    write_results(tmp_path, results, details)
    before = (tmp_path / "results.json").read_text()
    with pytest.raises(TypeError):
        write_results(tmp_path, results | {"machine": object()}, details)
    assert (tmp_path / "results.json").read_text() == before


def test_the_command_repeats_the_settings():
    command = tiny_settings(norms=("bn", "an"), seeds=(0, 1), lr=0.3).command
    expected = "--norms bn,an --model small_cnn --epochs 1 --batch-size 8 --seeds 2 --lr 0.3 --device cpu"
    assert command == f"an-ref compare {expected}"
