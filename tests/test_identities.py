"""Exact identities: each follows from the definitions in a line, and no test of gradients would see it broken."""

import numpy as np
import pytest
from hypothesis import given, settings

import an_ref
from tests.cases import K, case, feature_maps, ops

NORMS = ["batch_norm", "layer_norm", "instance_norm", "group_norm", "switchable_norm", "attentive_norm"]


def _close(a, b, scale=1.0):
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * scale)


def _means(x):
    return x.reshape(*x.shape[:2], -1).mean(-1)


@pytest.mark.parametrize("name", NORMS)
@given(drawn=feature_maps())
@settings(max_examples=15)
def test_the_mean_over_a_map_of_y_is_the_table_b(name, drawn):
    x, rng = drawn
    arrays, hyper = case(name, x, rng)
    y, cache = ops(name)[0](*arrays, **hyper)
    _close(_means(y), cache.b, np.abs(y).max())


@given(drawn=feature_maps())
def test_law_of_total_variance(drawn):
    x, rng = drawn
    C = x.shape[1]
    axes = {"batch_norm": (0,), "layer_norm": (1,), "instance_norm": ()}
    for name, first in axes.items():
        arrays, hyper = case(name, x, rng)
        _, cache = ops(name)[0](*arrays, **hyper)
        over = (*first, *range(2, x.ndim))
        mu = x.mean(over, keepdims=True)
        var = ((x - mu) ** 2).mean(over, keepdims=True)
        shape = (len(x), C, *[1] * (x.ndim - 2))
        within = x.reshape(*x.shape[:2], -1).var(-1)
        _close(cache.v, within, np.abs(x).max() ** 2)
        _close(cache.mu.reshape(shape), np.broadcast_to(mu, shape), np.abs(x).max())
        _close(cache.var.reshape(shape), np.broadcast_to(var, shape), np.abs(x).max() ** 2)


@pytest.mark.parametrize("evaluate", [False, True])
@given(drawn=feature_maps())
@settings(max_examples=15)
def test_an_with_one_mixture_and_lambda_one_is_bn(evaluate, drawn):
    x, rng = drawn
    C = x.shape[1]
    gamma, beta, mean, var = rng.standard_normal((4, C))
    # hsigmoid(0 h + 10) = 1: the only weight is one, and its derivative is zero.
    attention = np.zeros((C, 1)), np.full(1, 10.0)
    choice = {"transform": "linear", "descriptor": "mean"}
    suffix, running = ("_eval", (mean, var**2 + 0.5)) if evaluate else ("", ())
    bn, bn_backward = ops(f"batch_norm{suffix}")
    an, an_backward = ops(f"attentive_norm{suffix}")
    y, cache = bn(x, gamma, beta, *running)
    y_an, cache_an = an(x, gamma[None], beta[None], *attention, *running, **choice)
    _close(y_an, y)
    dy = rng.standard_normal(y.shape)
    dx, dgamma, dbeta = bn_backward(dy, cache)
    dx_an, dgamma_an, dbeta_an, *rest = an_backward(dy, cache_an)
    _close(dx_an, dx, np.abs(dx).max())
    _close(dgamma_an[0], dgamma)
    _close(dbeta_an[0], dbeta)
    assert not any(g.any() for g in rest)


def test_an_with_equal_rows_and_softmax_does_not_depend_on_its_attention():
    rng = np.random.default_rng(0)
    x, (gamma, beta) = rng.standard_normal((3, 4, 2, 2)), rng.standard_normal((2, 4))
    rows = np.tile(gamma, (K, 1)), np.tile(beta, (K, 1))
    attention = rng.standard_normal((4, K)), rng.standard_normal(K), rng.standard_normal(K)
    y, _ = an_ref.attentive_norm(x, *rows, *attention, activation="softmax")
    _close(y, an_ref.batch_norm(x, gamma, beta)[0])


@given(drawn=feature_maps())
@settings(max_examples=20)
def test_sn_with_one_hot_weights_is_in_ln_or_bn(drawn):
    x, rng = drawn
    gamma, beta = rng.standard_normal((2, x.shape[1]))
    for k, name in enumerate(["instance_norm", "layer_norm", "batch_norm"]):
        logits = np.full(3, -np.inf)
        logits[k] = 0.0
        y, cache = an_ref.switchable_norm(x, gamma, beta, logits, logits)
        y_one, cache_one = ops(name)[0](x, gamma, beta)
        _close(y, y_one)
        dy = rng.standard_normal(y.shape)
        for g, g_one in zip(an_ref.switchable_norm_backward(dy, cache), ops(name)[1](dy, cache_one), strict=False):
            _close(g, g_one, max(np.abs(g_one).max(), np.abs(dy).max() / np.abs(x).max()))


@given(drawn=feature_maps())
@settings(max_examples=20)
def test_gn_with_one_group_is_ln_and_with_c_groups_is_in(drawn):
    x, rng = drawn
    gamma, beta = rng.standard_normal((2, x.shape[1]))
    for groups, name in ((1, "layer_norm"), (x.shape[1], "instance_norm")):
        y, cache = an_ref.group_norm(x, gamma, beta, groups=groups)
        y_same, cache_same = ops(name)[0](x, gamma, beta)
        _close(y, y_same)
        dy = rng.standard_normal(y.shape)
        for g, same in zip(an_ref.group_norm_backward(dy, cache), ops(name)[1](dy, cache_same), strict=True):
            _close(g, same, np.abs(same).max())


@given(drawn=feature_maps())
@settings(max_examples=20)
def test_eval_bn_is_an_affine_map_and_is_bn_at_its_own_statistics(drawn):
    x, rng = drawn
    (_, gamma, beta, mean, var), _ = case("batch_norm_eval", x, rng)
    half = 0.5 * x + 0.5 * x[::-1]
    y, y_flipped, y_half = (an_ref.batch_norm_eval(t, gamma, beta, mean, var)[0] for t in (x, x[::-1], half))
    _close(y_half, 0.5 * y + 0.5 * y_flipped, np.abs(y).max())
    y_train, cache = an_ref.batch_norm(x, gamma, beta)
    _close(an_ref.batch_norm_eval(x, gamma, beta, cache.mu[0], cache.var[0])[0], y_train, np.abs(x).max())


@given(drawn=feature_maps())
@settings(max_examples=20)
def test_switchable_eval_at_the_batch_statistics_is_switchable_norm(drawn):
    x, rng = drawn
    arrays, _ = case("switchable_norm", x, rng)
    y, cache = an_ref.switchable_norm(*arrays)
    _close(an_ref.switchable_norm_eval(*arrays, *cache.statistics.batch)[0], y, np.abs(y).max())


@pytest.mark.parametrize("standardize", ["batch", "switchable"])
def test_attentive_eval_at_the_batch_statistics_is_attentive_norm(standardize):
    rng = np.random.default_rng(1)
    arrays, hyper = case("attentive_norm", rng.standard_normal((3, 4, 2, 2)), rng, standardize=standardize)
    y, cache = an_ref.attentive_norm(*arrays, **hyper)
    stored = (*cache.statistics.batch, *cache.logits_norm.statistics.batch)
    _close(an_ref.attentive_norm_eval(*arrays, *stored, **hyper)[0], y)
    names = ("running_mean", "running_var", "attn_running_mean", "attn_running_var")
    by_name = dict(zip(names, stored, strict=True))
    _close(an_ref.attentive_norm_eval(*arrays, **hyper, **by_name)[0], y)


@pytest.mark.parametrize(
    ("name", "axes"),
    [("batch_norm", (0, 2, 3)), ("instance_norm", (2, 3)), ("layer_norm", (1, 2, 3)), ("group_norm", None)],
)
def test_dx_is_orthogonal_to_one_and_almost_to_x_in_each_cell(name, axes):
    """Shifting a cell changes nothing; scaling it changes nothing but for eps (zero here)."""
    rng = np.random.default_rng(2)
    arrays, hyper = case(name, 5 + rng.standard_normal((3, 4, 2, 3)), rng)
    x = arrays[0]
    y, cache = ops(name)[0](*arrays, **hyper, eps=0.0)
    dx = ops(name)[1](rng.standard_normal(y.shape), cache)[0]
    if axes is None:
        x, dx, axes = (*(t.reshape(3, hyper["groups"], -1) for t in (x, dx)), (2,))
    assert np.abs(dx).max() > 0.1
    assert np.abs(dx.sum(axes)).max() < 1e-13
    assert np.abs((dx * x).sum(axes)).max() < 1e-12


def test_the_sum_of_dx_need_not_vanish_for_sn_and_an():
    rng = np.random.default_rng(3)
    for name in ("switchable_norm", "attentive_norm"):
        arrays, hyper = case(name, rng.standard_normal((3, 4, 2, 3)), rng)
        y, cache = ops(name)[0](*arrays, **hyper)
        dx = ops(name)[1](rng.standard_normal(y.shape), cache)[0]
        assert np.abs(dx.sum((0, 2, 3))).max() > 1e-3


@given(drawn=feature_maps())
@settings(max_examples=20)
def test_a_known_squeeze_changes_neither_y_nor_a_gradient(drawn):
    x, rng = drawn
    arrays, _ = case("squeeze_excite", x, rng)
    y, cache = an_ref.squeeze_excite(*arrays)
    y_known, cache_known = an_ref.squeeze_excite(*arrays, squeeze=_means(x))
    _close(y_known, y, np.abs(y).max())
    dy = rng.standard_normal(y.shape)
    for g, known in zip(
        an_ref.squeeze_excite_backward(dy, cache), an_ref.squeeze_excite_backward(dy, cache_known), strict=True
    ):
        _close(known, g, np.abs(g).max())


def test_a_gate_after_a_norm_takes_its_squeeze_from_the_table_of_the_norm():
    """The whole chain, norm then gate with squeeze=cache.b, has the right gradient with respect to x."""
    rng = np.random.default_rng(4)
    x, (gamma, beta) = rng.standard_normal((3, 4, 2, 3)), rng.standard_normal((2, 4))
    gate = rng.standard_normal((4, 2)), rng.standard_normal(2), rng.standard_normal((2, 4)), rng.standard_normal(4)

    def chain(x):
        y, norm_cache = an_ref.batch_norm(x, gamma, beta)
        z, gate_cache = an_ref.squeeze_excite(y, *gate, squeeze=norm_cache.b)
        return z, (norm_cache, gate_cache)

    def chain_backward(dz, cache):
        dy, *_ = an_ref.squeeze_excite_backward(dz, cache[1])
        return an_ref.batch_norm_backward(dy, cache[0])[0]

    assert an_ref.check_gradients(chain, chain_backward, (x,)).max_error < 1e-14


def _forward_of_all_variants(x, gamma, beta, *arrays, standardize, descriptor, transform, activation, groups=1):
    """AN written once more, forward only, from the definitions: an oracle for all 135 combinations."""
    N, C, H, W = x.shape
    axes = {"batch": (0, 2, 3), "layer": (1, 2, 3), "instance": (2, 3)}
    if standardize == "group":
        g = x.reshape(N, groups, C // groups, H, W)
        mu, var = (np.repeat(f(g, axis=(2, 3, 4)), C // groups, 1)[..., None, None] for f in (np.mean, np.var))
    elif standardize == "switchable":
        w, w_ = (np.exp(logits) / np.exp(logits).sum() for logits in arrays[-2:])
        sets = [axes["instance"], axes["layer"], axes["batch"]]
        mu = sum(w[k] * x.mean(s, keepdims=True) for k, s in enumerate(sets))
        var = sum(w_[k] * x.var(s, keepdims=True) for k, s in enumerate(sets))
    else:
        mu, var = (f(x, axis=axes[standardize], keepdims=True) for f in (np.mean, np.var))
    m = x.mean((2, 3))
    h = {
        "mean": m,
        "mean_max": m + x.max((2, 3)),
        "mean_over_std": m / np.sqrt(x.var((2, 3), ddof=1) + 1e-3),
    }[descriptor]
    if transform == "linear":
        z = h @ arrays[0] + arrays[1]
    elif transform == "mlp":
        z = np.maximum(h @ arrays[0] + arrays[1], 0) @ arrays[2] + arrays[3]
    else:
        q = h @ arrays[0]
        axis = 0 if standardize in ("batch", "switchable") else 1
        z = (q - q.mean(axis, keepdims=True)) / np.sqrt(q.var(axis, keepdims=True) + 1e-5) * arrays[1] + arrays[2]
    weights = {
        "hsigmoid": np.clip(z + 3, 0, 6) / 6,
        "sigmoid": 1 / (1 + np.exp(-z)),
        "softmax": np.exp(z) / np.exp(z).sum(1, keepdims=True),
    }[activation]
    xhat = (x - mu) / np.sqrt(var + 1e-5)
    branches = gamma[:, None, :, None, None] * xhat + beta[:, None, :, None, None]  # (K, N, C, H, W)
    return np.einsum("nk,knchw->nchw", weights, branches)


def test_forward_of_all_135_combinations_against_an_oracle():
    from tests.cases import VARIANTS

    rng = np.random.default_rng(5)
    for variant in VARIANTS:
        arrays, hyper = case("attentive_norm", rng.standard_normal((3, 4, 2, 3)), rng, **variant)
        _close(an_ref.attentive_norm(*arrays, **hyper)[0], _forward_of_all_variants(*arrays, **hyper))
