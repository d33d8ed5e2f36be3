"""The same code on the CPU and on a GPU, proven without one: on guards, every op gives what it gives on NumPy's arrays.

`guard.py` says what a guard is. Here no op, no layer and no model moves one.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from guard import MOVES, Guard, guards, install, no_moves, values

import an_ref
from an_ref import backend, check_gradients, check_layer, interop, nn, textbook
from an_ref.gradcheck.check import _names
from tests.cases import NORMS, VARIANTS, as_tuple, case

ROOT = Path(__file__).resolve().parent.parent
MAPS = (3, 4, 5, 6)


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    install(monkeypatch)


def rng():
    return np.random.default_rng(0)


def draw(*shape):
    return rng().standard_normal(shape)


def labels(count, classes):
    return rng().integers(0, classes, count)


# name -> (arrays with a gradient or running statistics, keywords); arrays among the keywords are inputs too
OPS = {name: (name, *case(name, draw(*MAPS), rng())) for name in NORMS}
OPS |= {f"{name} of (N, C)": (name, *case(name, draw(5, 4), rng())) for name in ("batch_norm", "group_norm")}
OPS |= {
    f"{name} {'-'.join(variant.values())}": (name, *case(name, draw(*MAPS), rng(), **variant))
    for name in ("attentive_norm", "attentive_norm_eval")
    for variant in VARIANTS
}
OPS |= {
    "relu": ("relu", (draw(*MAPS),), {}),
    "relu of one number": ("relu", (draw(),), {}),
    "relu6": ("relu6", (4 * draw(*MAPS),), {}),
    "sigmoid": ("sigmoid", (draw(*MAPS),), {}),
    "hsigmoid": ("hsigmoid", (4 * draw(*MAPS),), {}),
    "softmax": ("softmax", (draw(*MAPS),), {"axis": 1}),
    "linear": ("linear", (draw(3, 4), draw(4, 2), draw(2)), {}),
    "linear without bias": ("linear", (draw(3, 4), draw(4, 2)), {}),
    "max_pool2d": ("max_pool2d", (draw(*MAPS),), {"size": 3, "stride": 2, "padding": 1}),
    "avg_pool2d": ("avg_pool2d", (draw(*MAPS),), {"size": (2, 3), "padding": (1, 0)}),
    "global_avg_pool2d": ("global_avg_pool2d", (draw(*MAPS),), {}),
    "conv2d": ("conv2d", (draw(*MAPS), draw(6, 4, 3, 3), draw(6)), {"padding": 1}),
    "conv2d with strides": ("conv2d", (draw(*MAPS), draw(6, 4, 3, 2)), {"stride": (2, 1), "padding": (2, 1)}),
    "conv2d in groups": ("conv2d", (draw(*MAPS), draw(6, 2, 3, 3), draw(6)), {"groups": 2, "stride": 2}),
    "conv2d depthwise": ("conv2d", (draw(*MAPS), draw(8, 1, 3, 3), draw(8)), {"groups": 4, "padding": 1}),
    "conv2d 1x1": ("conv2d", (draw(*MAPS), draw(6, 4, 1, 1)), {"stride": 2}),
    "squeeze known": ("squeeze_excite", OPS["squeeze_excite"][1], {"squeeze": draw(*MAPS).mean(axis=(2, 3))}),
    "softmax_cross_entropy": ("softmax_cross_entropy", (draw(5, 3),), {"labels": labels(5, 3)}),
    "smoothed": ("softmax_cross_entropy", (draw(5, 3),), {"labels": labels(5, 3), "label_smoothing": 0.1}),
}
MIXED = [*NORMS, "squeeze known", "softmax_cross_entropy", "conv2d", "linear"]
MIXED += ["attentive_norm_eval switchable-mean_max-linear_norm-softmax", "attentive_norm layer-mean-mlp-sigmoid"]
ONE_DEVICE = ["relu", "relu6", "sigmoid", "hsigmoid", "softmax", "max_pool2d", "avg_pool2d", "global_avg_pool2d"]


def pair(name):
    return getattr(an_ref, name), getattr(an_ref, f"{name}_backward")


def assert_agree(found, expected, tolerance=1e-12):
    """Equal but for rounding, by the largest number; a guard for each array, with its shape and dtype."""
    found, expected = as_tuple(values(found)), as_tuple(expected)
    assert len(found) == len(expected)
    for mine, numpys in zip(found, expected, strict=True):
        assert mine.dtype == numpys.dtype
        assert mine.shape == numpys.shape
        np.testing.assert_allclose(mine, numpys, rtol=0, atol=tolerance * max(1, np.abs(numpys).max(initial=0)))


# --- ops -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("title", OPS)
def test_an_op_on_the_gpu_moves_nothing_and_agrees(title):
    name, arrays, hyper = OPS[title]
    op, op_backward = pair(name)
    y, cache = op(*arrays, **hyper)
    dy = np.asarray(np.random.default_rng(1).standard_normal(y.shape))
    with no_moves():
        y_there, cache_there = op(*guards(arrays), **guards(hyper))
        gradients = op_backward(guards(dy), cache_there)
    assert_agree(y_there, y)
    assert_agree(gradients, op_backward(dy, cache))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.complex128])
@pytest.mark.parametrize("title", [*NORMS, *ONE_DEVICE, "conv2d", "linear", "softmax_cross_entropy"])
def test_every_dtype_passes(title, dtype):
    name, arrays, hyper = OPS[title]
    op, op_backward = pair(name)
    arrays = tuple(array.astype(dtype) for array in arrays)
    hyper = {**hyper}
    y, cache = op(*arrays, **hyper)
    dy = np.asarray(np.random.default_rng(1).standard_normal(y.shape)).astype(dtype)
    with no_moves():
        y_there, cache_there = op(*guards(arrays), **guards(hyper))
        gradients = op_backward(guards(dy), cache_there)
    tolerance = {np.float16: 2e-3, np.float32: 1e-5, np.complex128: 1e-12}[dtype]
    assert_agree(y_there, y, tolerance)
    assert_agree(gradients, op_backward(dy, cache), 10 * tolerance)


@pytest.mark.parametrize("title", MIXED)
@pytest.mark.parametrize(("here", "there"), [("the CPU", "GPU 0"), ("GPU 0", "the CPU")])
def test_an_array_on_the_other_device_is_named(title, here, there):
    name, arrays, hyper = OPS[title]
    op, _ = pair(name)
    on_cpu, on_gpu = (arrays, hyper), (guards(arrays), guards(hyper))
    (odd, odd_hyper), (others, other_hyper) = (on_cpu, on_gpu) if here == "the CPU" else (on_gpu, on_cpu)
    for index, argument in list(enumerate(_names(op, hyper, len(arrays))[: len(arrays)]))[1:]:
        assert_names(argument, here, there, op, (*others[:index], odd[index], *others[index + 1 :]), other_hyper)
    for key in (key for key, value in hyper.items() if isinstance(value, np.ndarray)):
        assert_names(key, here, there, op, others, other_hyper | {key: odd_hyper[key]})


def assert_names(argument, here, there, op, arrays, hyper):
    with pytest.raises(TypeError) as caught:
        op(*arrays, **hyper)
    message = str(caught.value)
    assert message.startswith(f"{op.__name__}: {argument} is on {here} and ")
    assert f" on {there}; bring them together, " in message
    assert f"{'to_host' if there == 'the CPU' else 'to_device'}({argument})" in message


def test_the_message_says_what_to_do():
    arrays, _ = case("batch_norm", draw(*MAPS), rng())
    expected = (
        "batch_norm: gamma is on the CPU and x on GPU 0; bring them together, gamma with "
        'an_ref.backend.to_device(gamma), or all arrays of a layer with layer.to("gpu")'
    )
    with pytest.raises(TypeError) as caught:
        an_ref.batch_norm(guards(arrays[0]), *arrays[1:])
    assert str(caught.value) == expected


@pytest.mark.parametrize("title", [*MIXED, *ONE_DEVICE])
def test_a_dy_on_the_other_device_is_refused(title):
    name, arrays, hyper = OPS[title]
    op, op_backward = pair(name)
    y, cache = op(*arrays, **hyper)
    _, cache_there = op(*guards(arrays), **guards(hyper))
    dy = np.ones_like(y)
    for kept, odd in ((cache, guards(dy)), (cache_there, dy)):
        with pytest.raises(TypeError, match=f"^{name}_backward: dy is on "):
            op_backward(odd, kept)


def test_a_number_as_the_gradient_of_the_loss_is_on_every_device():
    logits, target = draw(5, 3), labels(5, 3)
    _, cache = an_ref.softmax_cross_entropy(logits, target)
    with no_moves():
        _, there = an_ref.softmax_cross_entropy(guards(logits), guards(target))
        gradient = an_ref.softmax_cross_entropy_backward(0.5, there)
    assert_agree(gradient, an_ref.softmax_cross_entropy_backward(0.5, cache))


@pytest.mark.parametrize(
    "name", ["batch_norm", "layer_norm", "group_norm", "switchable_norm", "squeeze_excite", "attentive_norm"]
)
def test_the_textbook_form_runs_on_the_gpu_too(name):
    _, arrays, hyper = OPS[name]
    hyper = {key: value for key, value in hyper.items() if key == "groups"}  # the textbook's AN has one form
    op, op_backward = getattr(textbook, name), getattr(textbook, f"{name}_backward")
    y, cache = op(*arrays, **hyper)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    with no_moves():
        y_there, cache_there = op(*guards(arrays), **hyper)
        gradients = op_backward(guards(dy), cache_there)
    assert_agree(y_there, y)
    assert_agree(gradients, op_backward(dy, cache))


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_that_is_no_class_makes_the_loss_nan_on_the_gpu(label):
    loss, _ = an_ref.softmax_cross_entropy(guards(draw(5, 3)), guards(np.array([0, 1, label, 2, 0])))
    assert np.isnan(values(loss))


@pytest.mark.parametrize("wrong", [[1.0], "x", None, sys])
def test_what_is_no_array_of_either_kind_is_refused(wrong):
    with pytest.raises(TypeError, match="relu: x must be a NumPy array"):
        an_ref.relu(wrong)


# --- layers, models, the optimizer -----------------------------------------------------------------------------------
LAYERS = {
    "BatchNorm": lambda: nn.BatchNorm(4),
    "LayerNorm": lambda: nn.LayerNorm(4),
    "InstanceNorm": lambda: nn.InstanceNorm(4),
    "GroupNorm": lambda: nn.GroupNorm(4, groups=2),
    "SwitchableNorm": lambda: nn.SwitchableNorm(4),
    "SwitchableNorm in, ln": lambda: nn.SwitchableNorm(4, use_batch=False),
    "SqueezeExcite": lambda: nn.SqueezeExcite(4, reduction=2, rng=0),
    "GatedNorm": lambda: nn.GatedNorm(nn.BatchNorm(4), nn.SqueezeExcite(4, reduction=2, rng=0)),
    "AttentiveNorm": lambda: nn.AttentiveNorm(4, mixtures=3, rng=0),
    "AttentiveNorm sn": lambda: nn.AttentiveNorm(4, mixtures=3, standardize="switchable", rng=0),
    "Conv2d": lambda: nn.Conv2d(4, 6, size=3, stride=2, padding=1, rng=0),
    "ReLU": nn.ReLU,
    "ReLU6": nn.ReLU6,
    "Sigmoid": nn.Sigmoid,
    "HSigmoid": nn.HSigmoid,
    "Softmax": lambda: nn.Softmax(axis=1),
    "MaxPool2d": lambda: nn.MaxPool2d(2),
    "AvgPool2d": lambda: nn.AvgPool2d(2),
    "GlobalAvgPool2d": nn.GlobalAvgPool2d,
    "Linear behind": lambda: nn.Sequential(nn.GlobalAvgPool2d(), nn.Linear(4, 3, rng=0)),
    "Residual": lambda: nn.Residual(nn.BatchNorm(4), nn.LayerNorm(4)),
    "Concatenated": lambda: nn.Concatenated(nn.Conv2d(4, 2, size=3, padding=1, rng=0)),
}


def test_every_layer_is_here():
    kinds = {type(leaf) for make in LAYERS.values() for leaf in all_layers(make())}
    known = {c for c in vars(nn).values() if isinstance(c, type) and issubclass(c, nn.Layer)} - {nn.Layer}
    assert known <= kinds


def all_layers(layer):
    yield layer
    for child in layer.children.values():
        yield from all_layers(child)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_on_the_gpu_moves_nothing_and_agrees(name):
    here, there = LAYERS[name](), LAYERS[name]()
    assert there.to("gpu") is there
    x = draw(*MAPS).astype(np.float32)
    x_there = guards(x)
    for train in (True, False):
        y = here.forward(x, train)
        dy = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
        dx, dy_there = here.backward(dy), guards(dy)
        with no_moves():
            y_there = there.forward(x_there, train)
            dx_there = there.backward(dy_there)
        assert_agree(y_there, y, 1e-5)
        assert_agree(dx_there, dx, 1e-4)
        for part in ("grads", "state", "params"):
            mine, numpys = getattr(there, part), getattr(here, part)
            assert list(mine) == list(numpys)
            assert_agree(tuple(mine.values()), tuple(numpys.values()), 1e-4)


@pytest.mark.parametrize("norm", nn.NORMS)
def test_a_net_of_every_norm_takes_a_step_on_the_gpu(norm):
    assert_a_step_agrees(lambda: nn.small_cnn(norm=norm, classes=3, rng=0), draw(4, 3, 16, 16))


@pytest.mark.parametrize("model", nn.MODELS)
def test_every_net_takes_a_step_on_the_gpu(model):
    assert_a_step_agrees(lambda: nn.MODELS[model](norm="an", classes=3, rng=0), draw(2, 3, 16, 16))


def assert_a_step_agrees(make, x):
    """One step of SGD in float64, from the images to the parameters."""
    here, there = make(), make()
    for net in (here, there):
        net.params.update({key: p.astype(np.float64) for key, p in net.params.items()})
        net.state.update({key: s.astype(np.float64) for key, s in net.state.items()})
    target = labels(len(x), 3)
    there.to("gpu")
    optimizers = [nn.SGD(net, lr=0.1, weight_decay=1e-3, nesterov=True) for net in (here, there)]
    step(here, optimizers[0], x, target)
    x_there, target_there = guards(x), guards(target)
    with no_moves():
        step(there, optimizers[1], x_there, target_there)
    for part in ("params", "grads", "state"):
        assert_agree(tuple(getattr(there, part).values()), tuple(getattr(here, part).values()), 1e-8)
    assert_agree(tuple(optimizers[1].velocity.values()), tuple(optimizers[0].velocity.values()), 1e-8)


def step(net, optimizer, x, target):
    _, cache = an_ref.softmax_cross_entropy(net.forward(x), target)
    net.backward(an_ref.softmax_cross_entropy_backward(1.0, cache))
    optimizer.step()


def test_a_layer_comes_back_to_the_cpu():
    layer = nn.AttentiveNorm(4, mixtures=3, rng=0)
    before = dict(layer.params)
    layer.to("gpu").to("cpu").to("cpu")
    for key, array in layer.params.items():
        assert isinstance(array, np.ndarray)
        np.testing.assert_array_equal(array, before[key])
    assert all(isinstance(array, np.ndarray) for array in (*layer.grads.values(), *layer.state.values()))
    layer.forward(draw(*MAPS))


def test_a_layer_that_was_moved_needs_a_new_forward():
    layer = nn.Sequential(nn.BatchNorm(4), nn.ReLU())
    layer.forward(draw(*MAPS))
    layer.to("gpu")
    with pytest.raises(RuntimeError, match="backward needs a forward before it"):
        layer.backward(guards(draw(*MAPS)))


def test_a_layer_on_the_cpu_refuses_images_of_the_gpu_and_says_how_to_move_it():
    with pytest.raises(TypeError, match=r'gamma is on the CPU and x on GPU 0.*layer.to\("gpu"\)'):
        nn.BatchNorm(4).forward(guards(draw(*MAPS)))


def test_a_residual_sum_on_two_devices_is_refused():
    net = nn.Residual(nn.BatchNorm(4), nn.ReLU())
    net.children["branch"].forward = lambda x, train: guards(x)
    with pytest.raises(TypeError, match="Residual: the shortcut is on the CPU and the branch on GPU 0"):
        net.forward(draw(*MAPS))
    net = nn.Concatenated(nn.ReLU())
    net.children["branch"].forward = lambda x, train: guards(x)
    with pytest.raises(TypeError, match="Concatenated: the branch's result is on GPU 0 and x on the CPU"):
        net.forward(draw(*MAPS))


def test_unknown_devices():
    with pytest.raises(ValueError, match='BatchNorm: device must be "cpu" or "gpu", got \'cuda\''):
        nn.BatchNorm(4).to("cuda")


def test_the_optimizer_follows_a_layer_that_was_moved():
    here, there = (nn.Linear(4, 3, rng=0) for _ in "ab")
    optimizers = [nn.SGD(layer, lr=0.1) for layer in (here, there)]
    x, target = draw(5, 4).astype(np.float32), labels(5, 3)
    for device in ("cpu", "gpu", "gpu", "cpu"):
        there.to(device)
        step(here, optimizers[0], x, target)
        step(there, optimizers[1], *(guards((x, target)) if device == "gpu" else (x, target)))
        assert {backend.is_cupy(v) for v in optimizers[1].velocity.values()} == {device == "gpu"}
    np.testing.assert_allclose(there.params["weight"], here.params["weight"], rtol=1e-5, atol=1e-6)


def test_the_optimizer_refuses_gradients_of_the_other_device():
    layer = nn.Linear(4, 3, rng=0)
    layer.grads.update(guards(dict(layer.grads)))
    with pytest.raises(TypeError, match="SGD: the gradient of 'weight' is on GPU 0 and the parameter on the CPU"):
        nn.SGD(layer, lr=0.1).step()


@pytest.mark.parametrize("name", ["batch_norm", "attentive_norm", "squeeze_excite"])
def test_gradients_are_checked_on_the_gpu(name):
    arrays, hyper = case(name, draw(3, 4, 2, 3), rng())
    assert check_gradients(*pair(name), guards(arrays), hyper=hyper).ok


def test_layers_are_checked_on_the_gpu():
    layer = nn.AttentiveNorm(4, mixtures=3, rng=0, dtype=np.float64).to("gpu")
    assert check_layer(layer, guards(draw(3, 4, 2, 3))).ok
    assert all(isinstance(array, Guard) for array in (*layer.params.values(), *layer.state.values()))
    with pytest.raises(TypeError, match="check_layer: gamma is on GPU 0 and x on the CPU"):
        check_layer(layer, draw(3, 4, 2, 3))


def test_a_state_dict_is_on_the_cpu_and_a_layer_keeps_its_device():
    here, there = (nn.AttentiveNorm(4, mixtures=3, rng=seed) for seed in (0, 1))
    there.to("gpu")
    interop.from_torch(there, interop.to_torch(here))
    for key, array in interop.to_torch(there).items():
        np.testing.assert_array_equal(array, interop.to_torch(here)[key])
    assert all(isinstance(array, Guard) for array in there.params.values())


# --- asking for a device ---------------------------------------------------------------------------------------------
def test_arrays_are_moved_where_it_is_written():
    x = draw(3)
    there = backend.to_device(x)
    assert isinstance(there, Guard)
    assert backend.to_device(there) is there
    assert backend.to_host(x) is x
    np.testing.assert_array_equal(backend.to_host(there), x)
    assert (len(MOVES.to_device), len(MOVES.to_host)) == (1, 1)
    assert [backend.where_is(array) for array in (x, there)] == ["the CPU", "GPU 0"]


def test_without_a_gpu_asking_for_one_is_one_clear_line(monkeypatch):
    install(monkeypatch, available=False)
    with pytest.raises(
        backend.NoGpuError, match=r"^BatchNorm: no GPU: CuPy finds no NVIDIA GPU.*an-ref doctor"
    ) as caught:
        nn.BatchNorm(4).to("gpu")
    assert "\n" not in str(caught.value)
    with pytest.raises(backend.NoGpuError, match=r"^to_device: no GPU: "):
        backend.to_device(draw(3))


def test_without_cupy_asking_for_a_gpu_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # import then fails
    with pytest.raises(backend.NoGpuError, match=r"no GPU: CuPy .*; pip install 'an-ref\[gpu\]'") as caught:
        nn.BatchNorm(4).to("gpu")
    assert "\n" not in str(caught.value)


def test_without_a_compiler_for_kernels_asking_for_a_gpu_says_what_to_install(monkeypatch):
    def fail():
        raise RuntimeError("CuPy failed to load libnvrtc.so.12\nmore lines")

    monkeypatch.setattr(sys.modules["cupy_backends.cuda.libs.nvrtc"], "getVersion", fail)
    with pytest.raises(backend.NoGpuError, match=r"no compiler \(NVRTC\); pip install 'cupy-cuda12x\[ctk\]'"):
        nn.BatchNorm(4).to("gpu")


def test_nothing_of_cupy_is_imported_for_arrays_of_numpy():
    code = (
        "import sys, numpy as np, an_ref, an_ref.training, an_ref.experiment\n"
        "net = an_ref.nn.small_cnn(norm='an', classes=3, rng=0)\n"
        "net.backward(net.forward(np.ones((2, 3, 16, 16), np.float32)))\n"
        "print([name for name in sys.modules if name.startswith(('cupy', 'an_ref.cuda'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
