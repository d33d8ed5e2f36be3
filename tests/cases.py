"""Inputs for the normalization and attention ops, shared by the tests: one maker of arrays for each op."""

import itertools

import numpy as np
from hypothesis import strategies as st

import an_ref
from an_ref.attention import ACTIVATIONS, DESCRIPTORS, TRANSFORM_ARRAYS
from an_ref.variants import OVER_BATCH, STATISTICS

K = 3
VARIANTS = [
    dict(zip(("standardize", "descriptor", "transform", "activation"), names, strict=True))
    for names in itertools.product(STATISTICS, DESCRIPTORS, TRANSFORM_ARRAYS, ACTIVATIONS)
]
NORMS = (
    "batch_norm",
    "batch_norm_eval",
    "layer_norm",
    "instance_norm",
    "group_norm",
    "switchable_norm",
    "switchable_norm_eval",
    "squeeze_excite",
    "attentive_norm",
    "attentive_norm_eval",
)


def ops(name):
    """Return the pair (op, op_backward)."""
    return getattr(an_ref, name), getattr(an_ref, f"{name}_backward")


def case(name, x, rng, **variant):
    """Return (arrays, hyper) for an op on x; `variant` are attentive_norm's names."""
    C = x.shape[1]

    def r(*shape):
        return rng.standard_normal(shape)

    affine, logits, running = (r(C), r(C)), (r(3), r(3)), (r(C), r(C) ** 2 + 0.5)
    match name:
        case "batch_norm_eval":
            return (x, *affine, *running), {}
        case "group_norm":
            return (x, *affine), {"groups": divisor(C)}
        case "switchable_norm":
            return (x, *affine, *logits), {}
        case "switchable_norm_eval":
            return (x, *affine, *logits, *running), {}
        case "squeeze_excite":
            return (x, r(C, 2) * _small(x), r(2), r(2, C), r(C)), {}
        case "attentive_norm" | "attentive_norm_eval":
            return attentive_case(x, rng, name.endswith("eval"), **variant)
        case _:
            return (x, *affine), {}


def attentive_case(x, rng, evaluate=False, standardize="batch", transform="linear_norm", **names):
    """Return (arrays, hyper) of one variant; running statistics come last."""
    C = x.shape[1]
    sizes = {"C": C, "K": K, "H": 2 * K}

    def r(*shape):
        return rng.standard_normal(shape)

    attention = [r(*(sizes[i] for i in axes)) * _small(x) for axes in TRANSFORM_ARRAYS[transform].values()]
    logits = [r(3), r(3)] if standardize == "switchable" else []
    running = []
    if evaluate and standardize in OVER_BATCH:
        running += [r(C), r(C) ** 2 + 0.5]
        if transform == "linear_norm":
            running += [r(K), r(K) ** 2 + 0.5]
    groups = {"groups": divisor(C)} if standardize == "group" else {}
    hyper = {"standardize": standardize, "transform": transform, **groups, **names}
    return (x, r(K, C), r(K, C), *attention, *logits, *running), hyper


def _small(x):
    """Return a factor for attention arrays that keeps sigmoid and softmax away from saturation.

    There, rounding leaves the derivatives few digits, analytic and numeric.
    """
    return 0.5 / max(1.0, np.abs(x[np.isfinite(x)]).max())


def divisor(C):
    """Return a number of groups for C channels, 1 < groups < C where there is one."""
    return next((d for d in range(2, C) if C % d == 0), 1)


@st.composite
def feature_maps(draw, min_samples=2, min_positions=2):
    """Draw (x, rng): a feature map of random shape, offset and scale, and a seeded generator for all else."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    N, C = draw(st.integers(min_samples, 4)), draw(st.sampled_from([1, 2, 3, 4, 6]))
    spatial = draw(st.sampled_from([s for s in [(), (1,), (5,), (2, 3), (1, 2, 2)] if np.prod(s) >= min_positions]))
    offset, scale = draw(st.sampled_from([0.0, 1.0, -30.0])), draw(st.sampled_from([1e-2, 1.0, 30.0]))
    return scale * (offset + rng.standard_normal((N, C, *spatial))), rng


def as_tuple(gradients):
    """Return gradients as a tuple, also where a single one came bare."""
    return gradients if isinstance(gradients, tuple) else (gradients,)


def adjoint_error(name, arrays, hyper, rng):
    """Return the worst error of <v, J u> = <J^T v, u> over the arguments: v is random, one u for each argument.

    The scale has |v| |y| in it, because a derivative that is zero comes out as rounding, not as zero.
    """
    op, op_backward = ops(name)
    y, cache = op(*arrays, **hyper)
    v = rng.standard_normal(y.shape)
    worst = 0.0
    for i, gradient in enumerate(as_tuple(op_backward(v, cache))):
        assert gradient.shape == arrays[i].shape
        u = rng.standard_normal(arrays[i].shape) * (np.abs(arrays[i]).mean() + 1e-3)
        moved = [*arrays[:i], arrays[i] + 1e-20j * u, *arrays[i + 1 :]]
        forward, backward = v * op(*moved, **hyper)[0].imag / 1e-20, gradient * u
        scale = np.abs(forward).sum() + np.abs(backward).sum() + np.abs(v * y).sum()
        worst = max(worst, abs(forward.sum() - backward.sum()) / (scale or 1.0))
    return worst
