"""The strategies draw what they promise, and a failing example shrinks to a small one."""

import ast
import inspect
import math
import subprocess
import sys
import textwrap

import hypothesis
import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import an_ref
from an_ref import attention, strategies
from an_ref.strategies import (
    adversarial_maps,
    affine,
    cotangents,
    feature_maps,
    groups_of,
    parameters,
    seeds,
)

PUBLIC = (seeds, feature_maps, adversarial_maps, parameters, affine, groups_of, cotangents)
LAYERS = (
    "batch_norm",
    "layer_norm",
    "instance_norm",
    "group_norm",
    "switchable_norm",
    "squeeze_excite",
    "attentive_norm",
)
DTYPES = st.sampled_from([np.float16, np.float32, np.float64])


def _positions(x):
    return math.prod(x.shape[2:])


def _per_channel(x):
    return x.reshape(*x.shape[:2], -1).swapaxes(0, 1).reshape(x.shape[1], -1)


@given(st.data(), DTYPES, st.sampled_from([2, 3, 4, 5]), st.integers(1, 6), st.integers(1, 8))
def test_feature_maps_keep_their_promises(data, dtype, axes, min_samples, min_positions):
    x = data.draw(
        feature_maps(
            axes=[axes] if axes > 2 else [2, 4],
            min_samples=min_samples,
            min_positions=min_positions,
            scales=[2.0],
            offsets=[100.0],
            dtype=dtype,
        )
    )
    N, C, *spatial = x.shape
    assert x.ndim in ([axes] if axes > 2 else [2, 4])
    assert min_samples <= N <= max(4, min_samples)
    assert 1 <= C <= 6
    assert min_positions <= math.prod(spatial) <= 9
    assert x.size > C
    assert x.dtype == dtype
    assert abs(x.mean() - 200) < 20
    assert x.astype(np.float64).std() < 10
    if dtype != np.float16:  # which may round two numbers near 200 to the same
        assert x.std() > 0


def test_feature_maps_have_all_numbers_of_axes_and_all_scales():
    for axes in (2, 3, 4, 5):
        find(feature_maps(), lambda x, axes=axes: x.ndim == axes)
    find(feature_maps(), lambda x: 0 < np.abs(x).max() < 0.1)
    find(feature_maps(), lambda x: x.max() < -100)


def _constant_channels(x):
    return np.ptp(_per_channel(x), axis=1) == 0


KINDS = {
    "a constant channel among others": lambda x: 0 < _constant_channels(x).sum() < x.shape[1],
    "all channels constant": lambda x: _constant_channels(x).all() and x.size > x.shape[1],
    "offset 1e4 at deviation 1": lambda x: x.min() > 9990 and np.ptp(x) > 1,
    "deviation 1e-6": lambda x: 0 < np.abs(x).max() < 1e-5,
    "one sample": lambda x: len(x) == 1,
    "one position": lambda x: _positions(x) == 1 and x.ndim > 2,
    "one channel": lambda x: x.shape[1] == 1,
    "one channel of one sample with an offset": lambda x: x.shape[0] == 1 and x.min() > 9000,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_adversarial_kind_occurs(kind):
    find(adversarial_maps(), KINDS[kind])


@given(adversarial_maps())
def test_adversarial_maps_are_legal_and_out_of_the_ordinary(x):
    assert np.isfinite(x).all()
    assert x.size > x.shape[1]
    y, _ = an_ref.batch_norm(x, np.ones(x.shape[1]), np.zeros(x.shape[1]))
    assert np.isfinite(y).all()
    hard = _constant_channels(x).any() or x.min() > 9000 or np.abs(x).max() < 1e-5
    assert hard or 1 in x.shape[:2] or _positions(x) == 1


@given(adversarial_maps(min_samples=2, min_positions=2, axes=[3, 4], dtype=np.float32))
def test_adversarial_maps_keep_the_limits_given(x):
    assert len(x) >= 2
    assert _positions(x) >= 2
    assert x.ndim in (3, 4)
    assert x.dtype == np.float32


def test_impossible_limits_are_an_error_that_says_what_to_do():
    with pytest.raises(ValueError, match=r"^feature_maps: no shape has axes from \[2\] and 2 positions; choose axes"):
        find(feature_maps(axes=[2], min_positions=2), lambda x: True)
    with pytest.raises(ValueError, match=r"^fill: unknown content 'large ofset'; did you mean 'large offset'\?"):
        strategies.fill("large ofset", (2, 3), np.random.default_rng(0))


@given(parameters(2, 3, scale=0.5, offset=100.0, dtype=np.float32), affine(5, dtype=np.float32), cotangents((4, 2)))
def test_parameters_and_cotangents(weight, pair, dy):
    assert weight.shape == (2, 3)
    assert weight.dtype == np.float32
    assert np.abs(weight - 100).max() < 5
    gamma, beta = pair
    assert gamma.shape == beta.shape == (5,)
    assert gamma.dtype == beta.dtype == np.float32
    assert len(np.unique([*gamma, *beta])) == 10
    assert dy.shape == (4, 2)
    assert np.ptp(dy) > 0


@given(cotangents((), dtype=np.float32))
def test_a_cotangent_of_a_loss_is_an_array_of_shape_nothing(dy):
    assert isinstance(dy, np.ndarray)
    assert dy.shape == ()
    assert dy.dtype == np.float32


def test_groups_of_draws_all_divisors():
    for groups in (1, 2, 3, 4, 6, 12):
        assert find(groups_of(12), lambda g, groups=groups: g == groups) == groups
    with pytest.raises(hypothesis.errors.NoSuchExample):
        find(groups_of(12), lambda g: 12 % g)


@given(seeds())
def test_seeds_are_seeds(seed):
    np.random.default_rng(seed)


def test_the_same_seed_gives_x_and_dy_different_numbers():
    x = find(feature_maps(), lambda x: x.size > 3)  # of the simplest seed, scale and offset
    for other in (cotangents(x.shape), parameters(*x.shape)):
        assert abs(np.corrcoef(x.ravel(), find(other, lambda dy: True).ravel())[0, 1]) < 0.999


def test_failing_examples_shrink_to_small_shapes():
    assert find(feature_maps(), lambda x: True).shape == (2, 1)
    assert find(feature_maps(), lambda x: x.shape[1] > 3).shape == (2, 4)
    assert find(feature_maps(), lambda x: x.ndim == 4 and _positions(x) > 1).shape == (1, 1, 1, 2)
    assert find(adversarial_maps(), lambda x: x.min() > 9000).size == 2
    assert 0.1 < abs(find(feature_maps(), lambda x: True)).max() < 10  # scale 1, offset 0


def _layer_case(data, name):
    """Draw arrays and hyper for one of the seven layers."""
    limits = {"min_samples": 2, "min_positions": 2} if name == "attentive_norm" else {}
    x = data.draw(feature_maps(**limits))
    C, K = x.shape[1], 2
    match name:
        case "group_norm":
            return (x, *data.draw(affine(C))), {"groups": data.draw(groups_of(C))}
        case "switchable_norm":
            return (x, *data.draw(affine(C)), data.draw(parameters(3)), data.draw(parameters(3))), {}
        case "squeeze_excite":
            scale = 0.5 / np.abs(x).max()
            first = data.draw(parameters(C, 2, scale=scale)), data.draw(parameters(2))
            return (x, *first, data.draw(parameters(2, C)), data.draw(parameters(C))), {}
        case "attentive_norm":
            shapes = [(K, C), (K, C), *((*map({"C": C, "K": K}.get, axes),) for axes in ("CK", "K", "K"))]
            assert list(attention.TRANSFORM_ARRAYS["linear_norm"].values()) == ["CK", "K", "K"]
            return (x, *(data.draw(parameters(*shape)) for shape in shapes)), {}
        case _:
            return (x, *data.draw(affine(C))), {}


@pytest.mark.parametrize("name", LAYERS)
@given(st.data())
@settings(max_examples=10)
def test_the_gradients_of_all_seven_layers_agree_on_drawn_maps(name, data):
    arrays, hyper = _layer_case(data, name)
    op, op_backward = getattr(an_ref, name), getattr(an_ref, f"{name}_backward")
    report = an_ref.check_gradients(op, op_backward, arrays, hyper=hyper, rng=data.draw(seeds()))
    assert report.ok, report


@pytest.mark.parametrize("strategy", PUBLIC, ids=lambda s: s.__name__)
def test_the_example_in_the_docstring_runs(strategy):
    _, example = inspect.getdoc(strategy).split("Example:\n")
    names = {"np": np, "an_ref": an_ref, "given": given, **{s.__name__: s for s in PUBLIC}}
    code = textwrap.dedent(example)
    exec(compile(code, strategy.__name__, "exec"), names)
    names[ast.parse(code).body[0].name]()


def test_without_hypothesis_one_line_says_what_to_install():
    code = "import sys; sys.modules['hypothesis'] = None; import an_ref, an_ref.strategies"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    last = "ImportError: an_ref.strategies needs hypothesis; install it with: pip install hypothesis"
    assert run.stderr.strip().splitlines()[-1] == last
    assert run.stderr.count("Traceback") == 1
