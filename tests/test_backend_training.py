"""Training, checkpoints and the command on a GPU, proven without one: on guards, which guard.py explains."""

import numpy as np
import pytest
from guard import MOVES, Guard, OutOfMemoryError, guards, install
from tiny import CLASSES, tiny_data, tiny_settings
from tiny_run import KEPT, content, tiny_run, without_figure
from typer.testing import CliRunner

from an_ref import backend, experiment, nn
from an_ref.cli import app
from an_ref.cli.train import run_training
from an_ref.cli.train_options import Options
from an_ref.observation import observe_attention
from an_ref.training import Recipe, Training, TrainingDiverged, evaluate, load_checkpoint, predict
from an_ref.training.terminal import heading


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    install(monkeypatch)


def trained(device, epochs=2, **changes):
    net = nn.small_cnn(norm="an", classes=len(CLASSES), rng=0).to(device)
    recipe = Recipe(**{"epochs": epochs, "batch_size": 8, "lr": 0.05, "label_smoothing": 0.1} | changes)
    training = Training(net, tiny_data(), recipe, rng=np.random.default_rng(1))
    MOVES.clear()
    return training, [training.run_epoch(epoch) for epoch in range(epochs)]


@pytest.mark.parametrize("mixup", [0.0, 0.2])
def test_an_epoch_moves_each_batch_once_and_fetches_one_array(mixup):
    steps = 3
    _, here = trained("cpu", epochs=1, mixup=mixup)
    training, there = trained("gpu", epochs=1, mixup=mixup)
    assert training.steps == steps
    moved = {0.0: 2, 0.2: 4}[mixup]  # images and labels; with mixup also its permutation and the other labels
    assert (len(MOVES.to_host), len(MOVES.to_device)) == (steps, steps * moved + 2)  # and once mean and std
    assert all(isinstance(p, Guard) for p in training.model.params.values())
    np.testing.assert_allclose(there, here, rtol=1e-4)


def test_images_go_to_the_gpu_once_and_as_bytes():
    trained("gpu", epochs=1)
    images = [array for array in MOVES.to_device if array.ndim == 4]
    assert {array.dtype for array in images} == {np.dtype(np.uint8)}
    assert sum(len(array) for array in images) == len(tiny_data().train_images)
    assert {array.shape for array in MOVES.to_host} == {(3,)}  # the loss, and whether all numbers are finite


def test_the_loss_follows_the_cpus():
    np.testing.assert_allclose(trained("gpu", epochs=4)[1], trained("cpu", epochs=4)[1], rtol=1e-5)


def test_a_net_on_the_gpu_is_tested_there():
    data, nets = tiny_data(), [trained(device, epochs=1)[0] for device in ("cpu", "gpu")]
    nets[1].model.params.update(guards(dict(nets[0].model.params)))
    nets[1].model.state.update(guards(dict(nets[0].model.state)))
    found = [evaluate(t.model, data.test_images, data.test_labels, t.mean, t.std) for t in nets]
    assert found[1].loss == pytest.approx(found[0].loss, rel=1e-4)
    np.testing.assert_array_equal(found[1].correct, found[0].correct)
    x = np.random.default_rng(0).standard_normal((5, 3, 16, 16)).astype(np.float32)
    logits = [predict(t.model, x) for t in nets]
    assert isinstance(logits[1], np.ndarray)
    np.testing.assert_allclose(logits[1], logits[0], rtol=1e-3, atol=1e-4)
    seen = [observe_attention(t.model, x, np.array([0, 1, 2, 0, 1]), 3)["lambda"] for t in nets]
    for name, of_layer in seen[0].items():
        np.testing.assert_allclose(seen[1][name]["by_class"], of_layer["by_class"], atol=2e-3)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda net: net.params["0.weight"].__setitem__((0, 0, 0, 0), np.nan),
            "is in the parameter weight of layer 0 ",
        ),
        (lambda net: spoil_backward(net), "a gradient is not finite: .*came out of the gradient of layer"),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_a_training_that_diverges_is_blamed_alike(device, spoil, words):
    net = nn.small_cnn(norm="bn", classes=len(CLASSES), rng=0).to(device)
    training = Training(net, tiny_data(), Recipe(epochs=1, batch_size=8, lr=0.05), rng=np.random.default_rng(1))
    spoil(net)
    before = dict(net.params)
    with pytest.raises(TrainingDiverged, match=words):
        training.run_epoch(0)
    assert all(net.params[key] is p for key, p in before.items())  # as they were before the step
    assert not training.optimizer.velocity


def spoil_backward(net):
    last = next(reversed(net.children.values()))
    backward = last.backward
    last.backward = lambda dy: backward(dy) * np.float32(np.inf)


def test_a_run_on_the_gpu_leaves_a_checkpoint_that_both_devices_read(tmp_path, monkeypatch):
    without_figure(monkeypatch)
    folders = [tmp_path / name for name in ("cpu", "gpu", "killed")]
    for folder, device in zip(folders, ("cpu", "gpu", "gpu"), strict=True):
        folder.mkdir()
        run = tiny_run(folder, device=device, epochs=3)
        if folder.name == "killed":
            with pytest.raises(KeyboardInterrupt):
                run.go_on(on_epoch=stop_after(2))
            run = tiny_run(folder)
            assert all(isinstance(v, Guard) for v in run._training.optimizer.velocity.values())
        run.go_on()
        assert (backend.where_is(next(iter(run._training.model.params.values()))) == "the CPU") == (device == "cpu")
    kept = [load_checkpoint(folder / "last.npz") for folder in folders]
    assert heading(run).endswith("; on the GPU\nAll epochs are done.")
    assert [checkpoint.about.settings.device for checkpoint in kept] == ["cpu", "gpu", "gpu"]
    for name, array in kept[0].arrays.items():
        np.testing.assert_allclose(kept[1].arrays[name], array, rtol=0, atol=1e-3)
    assert all(isinstance(p, np.ndarray) for p in kept[1].build_model().params.values())
    assert {name: content(folders[1])[name] for name in KEPT} == {name: content(folders[2])[name] for name in KEPT}


def stop_after(last):
    def on_epoch(epoch, _):
        if epoch == last:
            raise KeyboardInterrupt

    return on_epoch


def test_a_checkpoint_from_before_there_was_a_device_is_one_of_the_cpu(tmp_path, monkeypatch):
    from an_ref.training import checkpoint_about

    without_figure(monkeypatch)
    to_json = checkpoint_about.to_json
    monkeypatch.setattr(
        "an_ref.training.checkpoint.to_json", lambda about: to_json(about).replace(', "device": "cpu"', "")
    )
    tiny_run(tmp_path, epochs=1).go_on()
    assert load_checkpoint(tmp_path / "last.npz").about.settings.device == "cpu"


@pytest.mark.parametrize("place", ["forward", "eval"])
def test_a_full_gpu_is_a_clear_error_and_the_last_checkpoint_stays(tmp_path, monkeypatch, place):
    without_figure(monkeypatch)
    run = tiny_run(tmp_path, device="gpu")
    with pytest.raises(KeyboardInterrupt):
        run.go_on(on_epoch=stop_after(1))
    before = content(tmp_path)
    run = tiny_run(tmp_path)
    forward = run._training.model.forward

    def full(x, train=True):
        if train == (place == "forward"):
            raise OutOfMemoryError(3 * 2**30, 100 * 2**20)
        return forward(x, train)

    run._training.model.forward = full
    with pytest.raises(backend.OutOfMemoryError) as caught:
        run.go_on()
    message = str(caught.value)
    assert message.startswith(
        "the GPU's memory is full: 3.00 GiB more were asked for, beside the 100.0 MiB that this process has taken; "
    )
    assert "smaller batches" in message
    assert content(tmp_path) == before


def test_an_error_of_the_cpus_memory_is_left_alone():
    with pytest.raises(MemoryError) as caught, backend.clear_memory_errors("do something"):
        raise MemoryError("Unable to allocate")
    assert type(caught.value) is MemoryError


def test_a_comparison_trains_on_the_gpu():
    data, settings = tiny_data(), tiny_settings(device="gpu")
    moved = experiment.work(experiment.Run("an-sn", 0), lambda _: None, settings=settings, data=data)
    assert len(MOVES.to_host) > 0
    here = experiment.work(experiment.Run("an-sn", 0), lambda _: None, settings=tiny_settings(), data=data)
    np.testing.assert_allclose(moved.train_loss, here.train_loss, rtol=1e-3)
    assert list(moved.attention["mixture"]) == list(here.attention["mixture"])


def test_not_every_core_starts_a_process_on_the_gpu(monkeypatch, tmp_path):
    started = []
    monkeypatch.setattr(experiment, "usable_cores", lambda: 64)
    monkeypatch.setattr(experiment, "run_parallel", lambda *_, workers: started.append(workers) or (x for x in ()))
    for device in backend.DEVICES:
        settings = tiny_settings(device=device, norms=("bn", "an"), seeds=(0, 1, 2, 3, 4))
        results, _ = experiment.compare(settings, tiny_data(), tmp_path)
        assert results["device"] == device
    assert started == [10, experiment.GPU_WORKERS]


# --- the command ------------------------------------------------------------------------------------------------------
def command(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert "Traceback" not in result.output
    return result.exit_code, result.output


@pytest.mark.parametrize("name", ["train", "compare"])
def test_the_command_says_in_one_line_that_there_is_no_gpu(name, monkeypatch, tmp_path):
    install(monkeypatch, available=False)
    code, output = command(name, "--device", "gpu", "--out", tmp_path / "new")
    assert code == 2
    assert output.startswith("an-ref: --device gpu: no GPU: CuPy finds no NVIDIA GPU with a driver; ")
    assert output.count("\n") == 1
    assert not (tmp_path / "new").exists()
    assert command(name, "--device", "cuda") == (2, "an-ref: --device must be cpu or gpu, got cuda\n")


def test_a_run_stays_on_its_device(monkeypatch, tmp_path):
    without_figure(monkeypatch)
    for device in backend.DEVICES:
        (tmp_path / device).mkdir()
        tiny_run(tmp_path / device, device=device, epochs=1).go_on()
    code, output = command("train", "--resume", "--device", "gpu", "--out", tmp_path / "cpu")
    assert code == 2
    assert f"--device is gpu, but the run in {tmp_path / 'cpu' / 'last.npz'} has cpu; leave --device out" in output
    assert Options.of(load_checkpoint(tmp_path / "gpu" / "last.npz").about.settings).device == "gpu"
    install(monkeypatch, available=False)
    code, output = command("train", "--resume", "--out", tmp_path / "gpu")
    assert code == 2
    assert f"the run in {tmp_path / 'gpu' / 'last.npz'} began on a GPU and continues only there" in output
    assert output.count("\n") == 1


def test_the_command_reports_a_full_gpu_in_one_line_and_how_to_go_on(monkeypatch, tmp_path, capsys):
    run = tiny_run(tmp_path, device="gpu")
    monkeypatch.setattr(run._training, "_descend", lambda _: full_gpu())
    assert run_training(run) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("an-ref: the GPU's memory is full: 1.0 MiB more were asked for")
    assert "; no epoch was kept; to start again: an-ref train" in line
    assert "--device gpu" in line


def full_gpu():
    raise OutOfMemoryError(2**20, 2**20)
