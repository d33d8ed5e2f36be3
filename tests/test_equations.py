"""docs/equations.md: each tag is defined once, none that is mentioned dangles, and each equation holds in the code."""

import re
from pathlib import Path

import numpy as np
import pytest

import an_ref
from an_ref import nn, statistics, textbook

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "equations.md").read_text(encoding="utf-8")
TAG = re.compile(r"\b(?:BN|LN|IN|GN|SN|SE|AN|VAR|TAB|SWEEP|CS)\.\d+\b")
DEFINED = re.findall(r"\\tag\{(.*?)\}", PAGE)
MENTIONING = [
    path
    for folder, pattern in (("docs", "*.md"), ("an_ref", "**/*.py"), ("notebooks", "*.ipynb"), ("tests", "**/*.py"))
    for path in sorted((ROOT / folder).glob(pattern))
] + [ROOT / "README.md"]


def test_each_tag_is_defined_once_with_its_anchor_before_it():
    assert DEFINED
    assert len(DEFINED) == len(set(DEFINED))
    anchors = re.findall(r"^\((.*?)\)=\n\$\$\n[^$]*?\\tag\{(.*?)\}\n\$\$$", PAGE, re.MULTILINE)
    assert anchors == [(tag.lower().replace(".", "-"), tag) for tag in DEFINED]


def test_the_tags_of_a_section_are_numbered_without_gaps():
    families = {}
    for tag in DEFINED:
        family, number = tag.split(".")
        families.setdefault(family, []).append(int(number))
    for family, numbers in families.items():
        assert numbers == list(range(1, len(numbers) + 1)), family


@pytest.mark.parametrize("path", MENTIONING, ids=lambda path: path.name)
def test_no_tag_dangles(path):
    text = path.read_text(encoding="utf-8")
    assert not set(TAG.findall(text)) - set(DEFINED)
    anchors = {tag.lower().replace(".", "-") for tag in DEFINED}
    assert not set(re.findall(r"equations\.(?:md|html)#([\w-]+)", text)) - anchors


# --- the equations, computed as they stand on the page ---------------------------------------------------------------
N, C, H, W, K, R, G = 3, 4, 2, 3, 2, 2, 2
M, EPS = H * W, 1e-3
SEED = 5
x, dy = np.random.default_rng(SEED).standard_normal((2, N, C, M)) * 2 + 0.5
gamma, beta = np.random.default_rng(SEED + 1).standard_normal((2, C))
CELLS = {"BN": (0, 2), "LN": (1, 2), "IN": (2,)}
OPS = {"BN": "batch_norm", "LN": "layer_norm", "IN": "instance_norm", "GN": "group_norm"}
COMPUTED = {}


def same(*pairs):
    for left, right in pairs:
        np.testing.assert_allclose(left, right, rtol=1e-10, atol=1e-12)


def equation(*tags):
    """Register a function that computes these equations, each in its own line or lines."""

    def register(function):
        COMPUTED.update(dict.fromkeys(tags, function))
        return function

    return register


def per_channel(p):
    return p[:, None]  # (C, 1)


def per_map(table):
    return np.broadcast_to(table, (N, C))[..., None]  # (N, C, 1)


def run(name, **hyper):
    y, cache = getattr(an_ref, OPS[name])(x, gamma, beta, eps=EPS, **hyper)
    return y, cache, getattr(an_ref, OPS[name] + "_backward")(dy, cache)


def average(t, name):
    """Return <t>: the average over the cell of the norm."""
    if name == "GN":
        cells = t.reshape(N, G, -1)
        return np.broadcast_to(cells.mean(-1, keepdims=True), cells.shape).reshape(t.shape)
    return np.broadcast_to(t.mean(CELLS[name], keepdims=True), t.shape)


def check_statistics(name, **hyper):
    _, cache, _ = run(name, **hyper)
    mu = average(x, name)
    same((cache.mu, mu[..., 0]), (cache.var, average((x - mu) ** 2, name)[..., 0]))


def check_dx(name, **hyper):
    _, cache, gradients = run(name, **hyper)
    r, xhat, g = per_map(cache.rstd), per_map(cache.rstd) * (x - per_map(cache.mu)), per_channel(gamma) * dy
    same((gradients[0], r * (g - average(g, name) - xhat * average(g * xhat, name))))


@equation("BN.1")
def bn_statistics():
    check_statistics("BN")
    _, cache, _ = run("BN")
    same((cache.mu[0], x.sum((0, 2)) / (N * M)))


@equation("BN.2", "BN.3", "BN.4")
def bn_forward_and_parameters():
    for name, hyper in (("BN", {}), ("LN", {}), ("IN", {}), ("GN", {"groups": G})):
        y, cache, (_, dgamma, dbeta) = run(name, **hyper)
        xhat = per_map((cache.var + EPS) ** -0.5) * (x - per_map(cache.mu))
        same((y, per_channel(gamma) * xhat + per_channel(beta)))
        same((dgamma, (dy * xhat).sum((0, 2))), (dbeta, dy.sum((0, 2))))


@equation("BN.5")
def bn_dx():
    _, cache, (dx, *_) = run("BN")
    r, xhat = per_map(cache.rstd), per_map(cache.rstd) * (x - per_map(cache.mu))
    same((dx, per_channel(gamma) * r * (dy - average(dy, "BN") - xhat * average(dy * xhat, "BN"))))


@equation("BN.6")
def bn_running():
    layer = nn.BatchNorm(C, decay=0.7, dtype=np.float64)
    layer.forward(x)
    mu, var = x.mean((0, 2)), x.var((0, 2))
    same((layer.state["running_mean"], 0.7 * 0 + 0.3 * mu))
    same((layer.state["running_var"], 0.7 * 1 + 0.3 * N * M / (N * M - 1) * var))


@equation("BN.7", "BN.8")
def bn_eval():
    rng = np.random.default_rng(SEED + 2)
    mu, v = rng.standard_normal(C), rng.uniform(0.5, 2, C)
    y, cache = an_ref.batch_norm_eval(x, gamma, beta, mu, v, eps=EPS)
    dx, dgamma, dbeta = an_ref.batch_norm_eval_backward(dy, cache)
    xhat = (x - per_channel(mu)) / np.sqrt(per_channel(v) + EPS)
    same((y, per_channel(gamma) * xhat + per_channel(beta)))
    same((dx, per_channel(gamma * (v + EPS) ** -0.5) * dy), (dgamma, (dy * xhat).sum((0, 2))))
    same((dbeta, dy.sum((0, 2))))


@equation("LN.1", "LN.2")
def ln():
    check_statistics("LN")
    check_dx("LN")


@equation("IN.1", "IN.2")
def in_():
    check_statistics("IN")
    check_dx("IN")


@equation("GN.1", "GN.2")
def gn():
    check_statistics("GN", groups=G)
    check_dx("GN", groups=G)
    _, cache, _ = run("GN", groups=G)
    same((cache.mu[:, C // G], G / (C * M) * x[:, C // G :].sum((1, 2))))


POOLINGS = {"BN": statistics.over_batch, "LN": statistics.over_layer, "IN": statistics.over_instance}
POOLINGS["GN"] = statistics.over_group(G)
m, v = x.mean(2), x.var(2)  # the tables of SWEEP.1


@equation("VAR.1", "VAR.2")
def total_variance():
    for name, P in POOLINGS.items():
        mu = P(m)
        var = average((x - average(x, name)) ** 2, name)[..., 0]
        same((mu, average(x, name)[..., 0]), (P(v + (m - mu) ** 2), var), (P(v) + P(m**2) - P(m) ** 2, var))


@equation("VAR.3")
def total_variance_backward():
    rng = np.random.default_rng(SEED + 2)
    dmu, dvar, u, t = rng.standard_normal((4, N, C))  # u, t: a direction for m and for v
    for P in POOLINGS.values():
        d = m - P(m)
        dv, dm = P(dvar), P(dmu) + 2 * d * P(dvar)
        h = 1e-20
        part = statistics.pool(m + h * 1j * u, v + h * 1j * t, P)
        same(((dmu * part.mu + dvar * part.var).sum().imag / h, (dm * u + dv * t).sum()))


@equation("SN.1", "SN.2", "SN.3", "SN.4", "SN.5")
def sn():
    rng = np.random.default_rng(SEED + 2)
    mean_logits, var_logits = rng.standard_normal((2, 3))
    y, cache = an_ref.switchable_norm(x, gamma, beta, mean_logits, var_logits, eps=EPS)
    w, w_ = (np.exp(z) / np.exp(z).sum() for z in (mean_logits, var_logits))
    pools = [POOLINGS[k] for k in ("IN", "LN", "BN")]
    mus = [P(m) for P in pools]
    variances = [P(v + (m - mu) ** 2) for P, mu in zip(pools, mus, strict=True)]
    mu, var = np.tensordot(w, mus, 1), np.tensordot(w_, variances, 1)
    same((cache.mu, mu), (cache.var, var))
    r = (var + EPS) ** -0.5
    xhat = per_map(r) * (x - per_map(mu))
    same((y, per_channel(gamma) * xhat + per_channel(beta)))
    g = per_channel(gamma) * dy
    dmu, dvar = -r * g.sum(2), -0.5 * r**2 * (g * xhat).sum(2)
    dv = sum(w_[k] * P(dvar) for k, P in enumerate(pools))
    dm = sum(w[k] * P(dmu) + 2 * w_[k] * (m - mus[k]) * P(dvar) for k, P in enumerate(pools))
    dx, _, _, dmean_logits, dvar_logits = an_ref.switchable_norm_backward(dy, cache)
    same((dx, g * per_map(r) + per_map(dm) / M + 2 / M * per_map(dv) * (x - per_map(m))))
    same((dmean_logits, [w[k] * (dmu * (mus[k] - mu)).sum() for k in range(3)]))
    same((dvar_logits, [w_[k] * (dvar * (variances[k] - var)).sum() for k in range(3)]))


@equation("SE.1", "SE.2", "SE.3", "SE.4", "SE.5")
def se():
    rng = np.random.default_rng(SEED + 2)
    w1, w2, b2 = (rng.standard_normal(shape) for shape in ((C, R), (R, C), C))
    b1 = -(m @ w1).mean(0)  # so that the ReLU is on for some samples and off for others
    y, cache = an_ref.squeeze_excite(x, w1, b1, w2, b2)
    h = m @ w1 + b1
    active = h * (h > 0)
    assert 0 < (h > 0).mean() < 1
    s = 1 / (1 + np.exp(-(active @ w2 + b2)))
    same((y, per_map(s) * x))
    dz = (dy * x).sum(2) * s * (1 - s)
    dh = (h > 0) * (dz @ w2.T)
    dx = per_map(s) * dy + per_map(dh @ w1.T) / M
    expected = dx, m.T @ dh, dh.sum(0), active.T @ dz, dz.sum(0)
    same(*zip(an_ref.squeeze_excite_backward(dy, cache), expected, strict=True))


@equation("AN.1", "AN.2", "AN.3", "AN.4", "AN.5", "AN.6", "AN.7", "AN.8", "AN.9", "AN.10", "AN.11")
def an():
    rng = np.random.default_rng(SEED + 2)
    gammas, betas = rng.standard_normal((2, K, C))
    weight, attn_gamma, attn_beta = rng.standard_normal((C, K)), np.array([1.5, 3.5]), np.array([0.3, 0.2])
    y, cache = an_ref.attentive_norm(x, gammas, betas, weight, attn_gamma, attn_beta, eps=EPS)
    r = per_map((cache.var + EPS) ** -0.5)
    xhat = r * (x - per_map(cache.mu))
    rho = (M / (M - 1) * v + 1e-3) ** -0.5
    h = m * rho
    q = h @ weight
    r_q = (((q - q.mean(0)) ** 2).mean(0) + EPS) ** -0.5
    qhat = (q - q.mean(0)) * r_q
    z = attn_gamma * qhat + attn_beta
    lambda_ = np.minimum(np.maximum(z + 3, 0), 6) / 6
    inside = (z > -3) & (z < 3)
    assert 0 < inside.mean() < 1
    scale, shift = lambda_ @ gammas, lambda_ @ betas
    same((cache.lambda_, lambda_), (y, per_map(scale) * xhat + per_map(shift)))
    terms = (lambda_[:, k, None, None] * (per_channel(gammas[k]) * xhat + per_channel(betas[k])) for k in range(K))
    same((y, sum(terms)))

    dscale, dshift = (dy * xhat).sum(2), dy.sum(2)
    dlambda = dscale @ gammas.T + dshift @ betas.T
    dz = dlambda / 6 * inside
    dq = attn_gamma * r_q * (dz - dz.mean(0) - qhat * (dz * qhat).mean(0))  # BN.5
    dh = dq @ weight.T
    dm, dv = dh * rho, -0.5 * dh * m * rho**3 * M / (M - 1)
    g = per_map(scale) * dy
    dx = r * (g - average(g, "BN") - xhat * average(g * xhat, "BN"))
    dx = dx + per_map(dm) / M + 2 / M * per_map(dv) * (x - per_map(m))
    expected = dx, lambda_.T @ dscale, lambda_.T @ dshift, h.T @ dq, (dz * qhat).sum(0), dz.sum(0)
    same(*zip(an_ref.attentive_norm_backward(dy, cache), expected, strict=True))


@equation("TAB.1", "TAB.2", "TAB.3", "TAB.4", "TAB.5", "SWEEP.1", "SWEEP.2", "SWEEP.3", "SWEEP.4")
def tables_and_sweeps():
    for name, hyper in (("BN", {}), ("LN", {}), ("IN", {}), ("GN", {"groups": G})):
        y, cache, gradients = run(name, **hyper)
        P, mu, r = POOLINGS[name], cache.mu, cache.rstd
        same((cache.m, x.sum(2) / M), (cache.v, ((x - per_map(m)) ** 2).sum(2) / M))
        a0, b0 = r, (m - mu) * r
        a, b = gamma * a0, gamma * b0 + beta
        same((cache.a, a), (cache.b, b), (y, per_map(a) * (x - per_map(m)) + per_map(b)), (y.mean(2), b))
        da, db = (dy * (x - per_map(m))).sum(2), dy.sum(2)
        da0, db0, dG, dB = gamma * da, gamma * db, a0 * da + b0 * db, db
        dmu, dvar = -r * db0, -0.5 * r**3 * (da0 + (m - mu) * db0)
        dv, dm = P(dvar), P(dmu) + 2 * (m - mu) * P(dvar)  # VAR.3
        dx = per_map(a) * dy + per_map(dm) / M + 2 / M * per_map(dv) * (x - per_map(m))
        same(*zip(gradients, (dx, dG.sum(0), dB.sum(0)), strict=True))


@equation("CS.1", "CS.2", "CS.3")
def derivatives():
    rng = np.random.default_rng(SEED + 2)

    def f(x):
        return (dy * textbook.batch_norm(x, gamma, beta, eps=EPS)[0]).sum()

    u = rng.standard_normal(x.shape)
    dx = textbook.batch_norm_backward(dy, textbook.batch_norm(x, gamma, beta, eps=EPS)[1])[0]
    exact = (dx * u).sum()
    same((f(x + 1e-20j * u).imag / 1e-20, exact))
    for derivative in (lambda h: f(x + 1j * h * u).imag / h, lambda h: (f(x + h * u) - f(x - h * u)) / (2 * h)):
        ratio = (derivative(2e-3) - exact) / (derivative(1e-3) - exact)
        assert ratio == pytest.approx(4, rel=0.01)  # O(h^2)
    Ju = textbook.batch_norm(x + 1e-20j * u, gamma, beta, eps=EPS)[0].imag / 1e-20
    same(((dy * Ju).sum(), exact))


@pytest.mark.parametrize("function", sorted(set(COMPUTED.values()), key=lambda f: f.__name__), ids=lambda f: f.__name__)
def test_the_equations_are_those_of_the_code(function):
    function()


def test_every_equation_of_the_page_is_computed_here():
    assert set(COMPUTED) == set(DEFINED)
