"""Hypothesis strategies for property tests of a layer: feature maps, parameters, groups, cotangents.

A shape and a seed are drawn; the numbers come from NumPy's generator for that seed. So drawing is fast, and a failing
example shrinks to a small shape. Each strategy has a stream of its own: the same seed gives x and dy different numbers.
(With dy = x a norm's dx vanishes, and a test would see nothing.)

Needs hypothesis. Its deadline measures the machine, so switch that off: @settings(deadline=None).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from .validation import Array, check_choice

try:
    from hypothesis import strategies as st
except ImportError:
    raise ImportError("an_ref.strategies needs hypothesis; install it with: pip install hypothesis") from None

CONTENTS = ("normal", "constant channels", "large offset", "small scale")
FORMS = ("any", "one sample", "one position", "one channel")
SPATIAL: dict[int, list[tuple[int, ...]]] = {  # number of axes of x: the shapes of a map
    2: [()],
    3: [(1,), (2,), (5,), (8,)],
    4: [(1, 1), (1, 2), (2, 2), (2, 3), (3, 3)],
    5: [(1, 1, 1), (1, 2, 2), (2, 2, 2)],
}


def seeds() -> st.SearchStrategy[int]:
    """Draw a seed for numpy.random.default_rng, from 0 to 2^32 - 1.

    Example:
        @given(seeds())
        def test_softmax_sums_to_one(seed):
            y, _ = an_ref.softmax(np.random.default_rng(seed).standard_normal((2, 3)))
            assert np.allclose(y.sum(1), 1)
    """
    return st.integers(0, 2**32 - 1)


@st.composite
def feature_maps(
    draw: st.DrawFn,
    *,
    axes: Sequence[int] = (2, 3, 4, 5),
    min_samples: int = 1,
    min_positions: int = 1,
    scales: Sequence[float] = (1.0, 1e-2, 30.0),
    offsets: Sequence[float] = (0.0, 1.0, -30.0),
    dtype: DTypeLike = np.float64,
) -> Array:
    """Draw a feature map x = scale * (offset + normal numbers).

    axes: how many axes x may have: 2 (N, C), 3 (N, C, L), 4 (N, C, H, W), 5 (N, C, D, H, W). N is at most
    max(4, min_samples), C at most 6, the positions M of a map at most 9. N * M > 1, for training BN needs more than one
    value per channel. Pass min_samples=2 where the layer needs a batch, min_positions=2 where it needs a map. Raises
    ValueError if no shape is left.

    Example:
        @given(feature_maps(axes=[4]))
        def test_the_maps_of_instance_norm_have_no_mean(x):
            y, _ = an_ref.instance_norm(x, np.ones(x.shape[1]), np.zeros(x.shape[1]))
            assert np.abs(y.mean((2, 3))).max() < 1e-6
    """
    shape = draw(_shapes("feature_maps", axes, min_samples, min_positions, FORMS[:1]))
    scale, offset = draw(st.sampled_from(scales)), draw(st.sampled_from(offsets))
    normal = _generator(draw(seeds()), "feature map").standard_normal(shape)
    return (scale * (offset + normal)).astype(dtype)


@st.composite
def adversarial_maps(
    draw: st.DrawFn,
    *,
    axes: Sequence[int] = (2, 3, 4, 5),
    min_samples: int = 1,
    min_positions: int = 1,
    dtype: DTypeLike = np.float64,
) -> Array:
    """Draw a feature map that is legal and hard.

    Its values are normal numbers, perhaps with constant channels, with an offset of 1e4, or with a standard deviation
    of 1e-6 (far below the square root of the usual eps). It has one sample, one position, one channel, or any shape.
    At least one of the two is out of the ordinary. (groups_of draws one group.) The arguments are those of
    feature_maps, and N * M > 1 here too: min_samples=2 leaves out one sample, min_positions=2 one position.

    Example:
        @given(adversarial_maps())
        def test_layer_norm_stays_finite(x):
            y, _ = an_ref.layer_norm(x, np.ones(x.shape[1]), np.zeros(x.shape[1]))
            assert np.isfinite(y).all()
    """
    content = draw(st.sampled_from(CONTENTS))
    forms = FORMS[1:] if content == "normal" else FORMS
    shape = draw(_shapes("adversarial_maps", axes, min_samples, min_positions, forms))
    return fill(content, shape, _generator(draw(seeds()), "adversarial map")).astype(dtype)


def fill(content: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return a float64 feature map of this shape; content: "normal" or one of adversarial_maps' kinds of values.

    Those are "constant channels" (one or more; each has one value in all samples and positions), "large offset" and
    "small scale". Raises ValueError for another name.
    """
    check_choice("fill", "content", content, CONTENTS)
    x = rng.standard_normal(shape)
    if content == "constant channels":
        constant = rng.permutation(shape[1])[: rng.integers(1, shape[1] + 1)]
        x[:, constant] = rng.standard_normal((len(constant), *[1] * (x.ndim - 2)))
    return x * 1e-6 if content == "small scale" else x + 1e4 * (content == "large offset")


@st.composite
def parameters(
    draw: st.DrawFn, *shape: int, scale: float = 1.0, offset: float = 0.0, dtype: DTypeLike = np.float64
) -> Array:
    """Draw an array of this shape, offset + scale * normal numbers.

    Example:
        @given(parameters(4, 3), parameters(3))
        def test_linear_of_zero_is_the_bias(weight, bias):
            y, _ = an_ref.linear(np.zeros((1, 4)), weight, bias)
            assert (y == bias).all()
    """
    normal = _generator(draw(seeds()), "parameters").standard_normal(shape)
    return (offset + scale * normal).astype(dtype)


@st.composite
def affine(draw: st.DrawFn, channels: int, *, dtype: DTypeLike = np.float64) -> tuple[Array, Array]:
    """Draw gamma and beta, (C,) each, of normal numbers.

    They differ from channel to channel. (With gamma constant, LN and GN are blind to more cotangents.)

    Example:
        @given(affine(3))
        def test_batch_norm_of_a_constant_is_beta(drawn):
            gamma, beta = drawn
            y, _ = an_ref.batch_norm(np.ones((2, 3)), gamma, beta)
            assert np.allclose(y, beta)
    """
    gamma, beta = _generator(draw(seeds()), "affine").standard_normal((2, channels)).astype(dtype)
    return gamma, beta


def groups_of(channels: int) -> st.SearchStrategy[int]:
    """Draw a number of groups that divides `channels`, 1 and `channels` included.

    Example:
        @given(groups_of(12))
        def test_groups_divide_the_channels(groups):
            assert 12 % groups == 0
    """
    return st.sampled_from([groups for groups in range(1, channels + 1) if channels % groups == 0])


@st.composite
def cotangents(draw: st.DrawFn, shape: tuple[int, ...], *, dtype: DTypeLike = np.float64) -> Array:
    """Draw dy, normal numbers of this shape: never ones, which some layers cannot see.

    Example:
        @given(cotangents((2, 3)))
        def test_the_bias_of_linear_gets_the_sum_of_dy(dy):
            _, cache = an_ref.linear(np.ones((2, 4)), np.ones((4, 3)), np.zeros(3))
            _, _, dbias = an_ref.linear_backward(dy, cache)
            assert np.allclose(dbias, dy.sum(0))
    """
    return np.asarray(_generator(draw(seeds()), "cotangent").standard_normal(shape), dtype)


@st.composite
def _shapes(
    draw: st.DrawFn, name: str, axes: Sequence[int], min_samples: int, min_positions: int, forms: Sequence[str]
) -> tuple[int, ...]:
    """Draw the shape of a feature map with N * M > 1 and of one of the forms."""
    known = [s for number in axes for s in SPATIAL.get(number, [])]
    maps = sorted((s for s in known if math.prod(s) >= min_positions), key=math.prod)
    one, many = [s for s in maps if math.prod(s) == 1], [s for s in maps if math.prod(s) > 1]
    possible = {"any": maps, "one sample": many if min_samples <= 1 else [], "one position": one, "one channel": maps}
    choices = [(form, s) for form in forms for s in possible[form]]
    if not choices:
        raise ValueError(
            f"{name}: no shape has axes from {list(axes)} and {min_positions} positions; "
            f"choose axes from 2 to 5 and min_positions up to 8"
        )
    form, spatial = draw(st.sampled_from(choices))
    fewest = max(min_samples, 1 if math.prod(spatial) > 1 else 2)
    samples = 1 if form == "one sample" else draw(st.integers(fewest, max(4, fewest)))
    return samples, 1 if form == "one channel" else draw(st.integers(1, 6)), *spatial


def _generator(seed: int, stream: str) -> np.random.Generator:
    return np.random.default_rng([seed, *stream.encode()])
