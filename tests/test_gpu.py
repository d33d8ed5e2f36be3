"""On a GPU: everything agrees with NumPy. `pytest -m gpu` runs it; without a GPU it is skipped, and says so.

An op's results, in any dtype, must be within c * eps * sum |terms| of NumPy's in float64, with c = 64, and 256 for the
norms on large maps. The terms are those of the result as a function of the inputs: each input times its derivative.
With their signs drawn at random, the sum is one complex step; the largest one seen is taken for sum |terms|, which it
cannot exceed. Where all terms inside an op cancel (dx of IN with one position is 0), a gradient's natural size dy y / x
stands in their place. In nets the sums inside are larger than what comes out, so there eps stands beside the largest
number of an array, with c = 2^20 in float64: 2e-10.

What compares runs in the ordinary tests too, on guards, so that it cannot break unseen. See guard.py.
"""

import guard
import numpy as np
import pytest
from guard import guards
from test_backend import LAYERS, OPS
from tiny import CLASSES, tiny_data
from tiny_run import content, tiny_run, without_figure

import an_ref
from an_ref import backend, check_gradients, check_layer, cuda, nn
from an_ref.cuda import plain
from an_ref.training import Recipe, Training
from tests.cases import NORMS, as_tuple, case

FAULT = backend.gpu_fault()
C_OP, C_NET = 64, 2**20
DTYPES = [np.float16, np.float32, np.float64]


def on_gpu(test):
    """Mark a test that needs a GPU."""
    return pytest.mark.gpu(pytest.mark.skipif(FAULT is not None, reason=f"no GPU: {FAULT}")(test))


def each(cases):
    """All cases where there is a GPU; where there is none, one, to be skipped."""
    return list(cases) if FAULT is None else list(cases)[:1]


def to_device(value):
    """Arrays in tuples, lists and dicts, on the GPU."""
    if isinstance(value, (tuple, list)):
        return type(value)(to_device(v) for v in value)
    if isinstance(value, dict):
        return {key: to_device(v) for key, v in value.items()}
    return backend.to_device(value) if isinstance(value, np.ndarray) else value


# --- what compares ---------------------------------------------------------------------------------------------------
def gradients_and_y(name, arrays, dy, hyper):
    """(y, dx, ...): all that an op computes."""
    y, cache = getattr(an_ref, name)(*arrays, **hyper)
    return y, *as_tuple(getattr(an_ref, f"{name}_backward")(dy, cache))


def sizes_of_terms(name, arrays, dy, hyper, draws=4):
    """sum |terms| of each result, the largest of an array, from below: complex steps along all inputs at once."""
    rng = np.random.default_rng(2)
    largest = [0.0] * 99
    for draw in range(draws):
        signs = [rng.choice([-1, 1], array.shape) if draw else 1 for array in (*arrays, dy)]
        moved = [np.asarray(a + 1e-20j * s * np.abs(a)) for a, s in zip((*arrays, dy), signs, strict=True)]
        results = gradients_and_y(name, moved[:-1], moved[-1], hyper)
        terms = [np.abs(r.imag).max() / 1e-20 + np.abs(r.real).max() for r in results]
        largest = [max(pair) for pair in zip(largest, terms, strict=False)]
    y, dy, *sizes = (np.abs(array).max() for array in (results[0], dy, *arrays))
    return [largest[0], *(max(terms, y * dy / size) for terms, size in zip(largest[1:], sizes, strict=False))]


def check_op(title_or_case, dtype, c=C_OP):
    """An op on the GPU in `dtype`, forward and backward, against NumPy in float64."""
    name, arrays, hyper = OPS[title_or_case] if isinstance(title_or_case, str) else title_or_case
    arrays = [array.astype(dtype) for array in arrays]
    hyper = {key: value.astype(dtype) if key == "squeeze" else value for key, value in hyper.items()}
    y, _ = getattr(an_ref, name)(*arrays, **hyper)
    dy = np.asarray(np.random.default_rng(1).standard_normal(y.shape)).astype(dtype)
    wide = [array.astype(np.float64) for array in arrays]
    exact = gradients_and_y(name, wide, dy.astype(np.float64), hyper)
    scales = sizes_of_terms(name, wide, dy.astype(np.float64), hyper)
    found = gradients_and_y(name, to_device(arrays), to_device(dy), to_device(hyper))
    assert len(found) == len(exact)
    for i, (mine, right, scale) in enumerate(zip(found, exact, scales, strict=True)):
        assert backend.is_cupy(mine)
        assert mine.dtype == dtype
        mine = backend.to_host(mine).astype(np.float64)
        error = np.abs(mine - right).max()
        bound = c * np.finfo(dtype).eps * scale
        assert error <= bound, f"result {i} of {name}: an error of {error:.3g}, c eps sum |terms| is {bound:.3g}"


def check_near(found, exact, c=C_NET):
    """Dicts of arrays in float64, on the GPU and not, within c eps of the largest number in each."""
    assert list(found) == list(exact)
    for key, right in exact.items():
        error = np.abs(backend.to_host(found[key]) - right).max() / max(1, np.abs(right).max())
        assert error <= c * np.finfo(np.float64).eps, f"{key}: {error:.3g}"


def in_float64(layer):
    """The layer, its parameters and state in float64."""
    for part in (layer.params, layer.state):
        part.update({key: array.astype(np.float64) for key, array in part.items()})
    return layer


def check_layer_agrees(make, x):
    """A layer on the GPU, in training and evaluation, against the same layer on the CPU."""
    here, there = in_float64(make()), in_float64(make()).to("gpu")
    for train in (True, False):
        y = here.forward(x, train)
        dy = np.random.default_rng(1).standard_normal(y.shape)
        found = {"y": there.forward(to_device(x), train), "dx": there.backward(to_device(dy))}
        check_near(found, {"y": y, "dx": here.backward(dy)})
        check_near(there.grads, here.grads)
        check_near(there.state, here.state)


def check_step_agrees(make, images, classes=3):
    """One step of SGD, from the images to the parameters."""
    x = np.random.default_rng(0).standard_normal(images)
    labels = np.arange(len(x)) % classes
    here, there = in_float64(make()), in_float64(make()).to("gpu")
    for net, inputs in ((here, (x, labels)), (there, to_device((x, labels)))):
        step(net, nn.SGD(net, lr=0.1, momentum=0.9, weight_decay=1e-3), *inputs)
    for part in ("params", "grads", "state"):
        check_near(getattr(there, part), getattr(here, part))


def step(net, optimizer, x, labels):
    """One step of SGD; returns the loss."""
    loss, cache = an_ref.softmax_cross_entropy(net.forward(x), labels, label_smoothing=0.1)
    net.backward(an_ref.softmax_cross_entropy_backward(1.0, cache))
    optimizer.step()
    return loss


def losses_of_epochs(device, epochs=6):
    """The mean loss of each epoch of a training run in float32, and the parameters at its end."""
    net = nn.small_cnn(norm="an", classes=len(CLASSES), rng=0).to(device)
    recipe = Recipe(epochs=epochs, batch_size=8, lr=0.05)
    training = Training(net, tiny_data(), recipe, rng=np.random.default_rng(1))
    return [training.run_epoch(epoch) for epoch in range(epochs)], {
        k: backend.to_host(p) for k, p in net.params.items()
    }


def check_losses_follow():
    """Rounding errors grow from step to step: 0.1 % in the first epoch, 2 % after six are allowed."""
    here, there = losses_of_epochs("cpu")[0], losses_of_epochs("gpu")[0]
    np.testing.assert_allclose(there[0], here[0], rtol=1e-3)
    np.testing.assert_allclose(there, here, rtol=2e-2)
    assert here[-1] < 0.8 * here[0]  # it learns: the losses do not agree for want of any change


def check_fused(dtype, device=to_device):
    """ReLU and the residual sum inside the sweeps give what the plain code gives, one after the other."""
    rng = np.random.default_rng(0)
    x, dy, residual = (device(a.astype(dtype)) for a in rng.standard_normal((3, 4, 5, 33, 35)))
    a, m, b, dm, dv = (device(t.astype(np.result_type(dtype, np.float32))) for t in rng.standard_normal((5, 4, 5)))
    eps = np.finfo(dtype).eps
    y = cuda.scale_shift(x, a, m, b, x.dtype, residual=residual, relu=True)
    pairs = [(y, plain.scale_shift(x, a, m, b, x.dtype, residual=residual, relu=True), 16)]
    g, g_plain = np.empty_like(dy), np.empty_like(dy)
    sums = cuda.gradient_sums(dy, x, m, y=y, masked=g), plain.gradient_sums(dy, x, m, y=y, masked=g_plain)
    pairs += [(g, g_plain, 0), *((mine, right, 33 * 35) for mine, right in zip(*sums, strict=True))]
    pairs += [(cuda.combine(dy, x, a, m, dm, dv, y=y), plain.combine(dy, x, a, m, dm, dv, y=y), 16)]
    for mine, right, terms in pairs:
        mine, right = (backend.to_host(array).astype(np.float64) for array in (mine, right))
        np.testing.assert_allclose(mine, right, rtol=0, atol=C_OP * eps * terms)


def check_same_bits():
    """Twice the same bits: of an op, of the maps it makes, and of a net after a training run."""
    title = "attentive_norm batch-mean_max-linear_norm-softmax"
    name, arrays, hyper = OPS[title]
    arrays = to_device([array.astype(np.float32) for array in arrays])
    dy = to_device(np.random.default_rng(1).standard_normal(arrays[0].shape).astype(np.float32))
    first, second = (gradients_and_y(name, arrays, dy, hyper) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(backend.to_host(one), backend.to_host(other))
    (losses, params), (losses_again, params_again) = (losses_of_epochs("gpu", epochs=2) for _ in range(2))
    assert losses == losses_again
    for key, array in params.items():
        np.testing.assert_array_equal(array, params_again[key])


# --- on the GPU ------------------------------------------------------------------------------------------------------
@on_gpu
@pytest.mark.parametrize("dtype", each(DTYPES))
@pytest.mark.parametrize("title", each(OPS))
def test_an_op_agrees(title, dtype):
    check_op(title, dtype)


@on_gpu
@pytest.mark.parametrize("dtype", each(DTYPES))
@pytest.mark.parametrize("shape", each([(2, 17, 33, 35), (3, 24, 1, 1), (2, 6, 130, 130)]), ids=str)
@pytest.mark.parametrize("name", each(NORMS))
def test_a_norm_agrees_on_maps_of_every_size(name, shape, dtype):
    rng = np.random.default_rng(0)
    names = {"descriptor": "mean"} if name.startswith("attentive") else {}  # mean_over_std has no value at M = 1
    check_op((name, *case(name, rng.standard_normal(shape), rng, **names)), dtype, c=4 * C_OP)


@on_gpu
@pytest.mark.parametrize("name", each(NORMS))
def test_any_strides_are_accepted(name):
    rng = np.random.default_rng(0)
    (x, *rest), hyper = case(name, rng.standard_normal((3, 6, 7, 5)), rng)
    exact = gradients_and_y(name, (x, *rest), x, hyper)
    there = to_device(x)
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(there, 1, -1), like=there), -1, 1)
    for odd in (last, np.ascontiguousarray(there[::-1, :, ::-1], like=there)[::-1, :, ::-1]):
        for mine, right in zip(gradients_and_y(name, (odd, *to_device(rest)), odd, hyper), exact, strict=True):
            np.testing.assert_allclose(backend.to_host(mine), right, rtol=1e-10, atol=1e-10)


@on_gpu
@pytest.mark.parametrize("dtype", each(DTYPES))
def test_fused_sweeps_agree(dtype):
    check_fused(dtype)


@on_gpu
def test_moments_keep_their_digits_behind_an_offset():
    x = (1e4 + np.random.default_rng(0).standard_normal((4, 3, 1025))).astype(np.float32)
    _, v = cuda.moments(to_device(x), np.dtype(np.float32))
    np.testing.assert_allclose(backend.to_host(v), x.astype(np.float64).var(axis=2), rtol=1e-5)


@on_gpu
@pytest.mark.parametrize("name", each(LAYERS))
def test_a_layer_agrees(name):
    check_layer_agrees(LAYERS[name], np.random.default_rng(0).standard_normal((3, 4, 5, 6)))


@on_gpu
@pytest.mark.parametrize("norm", each(nn.NORMS))
def test_a_net_of_every_norm_takes_the_same_step(norm):
    check_step_agrees(lambda: nn.small_cnn(norm=norm, classes=3, rng=0), (4, 3, 16, 16))


@on_gpu
@pytest.mark.parametrize("model", each(nn.MODELS))
@pytest.mark.parametrize("norm", each(["se", "an"]))
def test_every_net_takes_the_same_step(model, norm):
    check_step_agrees(lambda: nn.MODELS[model](norm=norm, classes=3, rng=0), (2, 3, 32, 32))


CHECKABLE = [  # the checker takes differentiable arrays, and no others
    title
    for title, (name, _, hyper) in OPS.items()
    if (title in NORMS or "norm" not in name) and "eval" not in name and not {"labels", "squeeze"} & set(hyper)
]


@on_gpu
@pytest.mark.parametrize("title", each(CHECKABLE))
def test_gradients_are_right(title):
    name, arrays, hyper = OPS[title]
    op, op_backward = getattr(an_ref, name), getattr(an_ref, f"{name}_backward")
    assert check_gradients(op, op_backward, to_device(arrays), hyper=hyper).ok


@on_gpu
@pytest.mark.parametrize("name", each(["BatchNorm", "GroupNorm", "SwitchableNorm", "SqueezeExcite", "AttentiveNorm"]))
def test_the_gradients_of_a_layer_are_right(name):
    x = np.random.default_rng(0).standard_normal((3, 4, 2, 3))
    assert check_layer(in_float64(LAYERS[name]()).to("gpu"), to_device(x)).ok


@on_gpu
def test_the_same_bits_every_time():
    check_same_bits()


@on_gpu
def test_a_training_run_follows_the_cpus_loss():
    check_losses_follow()


@on_gpu
def test_a_full_gpu_is_a_clear_error_and_the_last_checkpoint_stays(tmp_path, monkeypatch):
    cupy = pytest.importorskip("cupy")
    without_figure(monkeypatch)
    pool = cupy.get_default_memory_pool()
    with pytest.raises(KeyboardInterrupt):
        tiny_run(tmp_path, device="gpu").go_on(on_epoch=stop_after_one)
    before = content(tmp_path)
    run = tiny_run(tmp_path)
    pool.free_all_blocks()
    pool.set_limit(size=pool.total_bytes() + 2**16)
    try:
        with pytest.raises(backend.OutOfMemoryError, match=r"the GPU's memory is full: .* more were asked for"):
            run.go_on()
    finally:
        pool.set_limit(size=0)
    assert content(tmp_path) == before


def stop_after_one(epoch, _):
    if epoch == 1:
        raise KeyboardInterrupt


# --- the same comparisons in the ordinary tests: on guards, which compute with NumPy ---------------------------------
@pytest.fixture
def played(monkeypatch):
    """Guards stand for CuPy's arrays."""
    guard.install(monkeypatch)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("title", [*NORMS, "conv2d", "linear", "smoothed", "max_pool2d", "relu"])
def test_what_compares_accepts_guards(played, title, dtype):
    check_op(title, dtype)


def test_what_compares_refuses_a_small_mistake(played, monkeypatch):
    """An error of 1e-4 in one sweep is seen in float32, in y and in dx; in float64 one of 1e-13 too."""
    of_sweeps = {name: getattr(plain, name) for name in ("scale_shift", "combine")}
    for name, sweep in of_sweeps.items():
        for dtype, error in ((np.float32, 1e-4), (np.float64, 1e-12)):
            with monkeypatch.context() as patch:
                wrong = lambda *args, sweep=sweep, error=error, **more: sweep(*args, **more) * (1 + error)  # noqa: E731
                patch.setattr(plain, name, wrong)
                with pytest.raises(AssertionError, match=r"eps sum \|terms\|"):
                    check_op("attentive_norm", dtype)


def test_nets_and_training_are_compared(played):
    check_layer_agrees(LAYERS["AttentiveNorm"], np.random.default_rng(0).standard_normal((3, 4, 5, 6)))
    check_step_agrees(lambda: nn.small_cnn(norm="an", classes=3, rng=0), (4, 3, 16, 16))
    check_losses_follow()
    check_same_bits()
    with pytest.raises(AssertionError, match="y: "):
        check_near({"y": guards(np.ones(3) + 1e-9)}, {"y": np.ones(3)})


@pytest.mark.parametrize("dtype", DTYPES)
def test_fused_sweeps_are_compared(played, dtype):
    check_fused(dtype)
