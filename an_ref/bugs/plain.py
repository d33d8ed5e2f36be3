"""Plain forms for the gallery, beside those of an_ref.textbook: written the way everybody writes them first.

Batch normalization step by step (the paper's chain rule), convolution by loops over the kernel, and the rest of what
the gallery breaks. They share no code with the ops of the package. Inputs are not checked. Names and contract are
those of an_ref: y, cache = op(x, ...), and op_backward(dy, cache).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Cache = tuple[Any, ...]
Pair = tuple[int, int]


# --- batch normalization, one step of the chain rule a line ----------------------------------------------------------
def batch_norm(x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5) -> tuple[Array, Cache]:
    """BN of (N, C, H, W), as algorithm 1 of arXiv 1502.03167 prints it."""
    axes = (0, 2, 3)
    gamma, beta = gamma.reshape(1, -1, 1, 1), beta.reshape(1, -1, 1, 1)
    mu = x.mean(axes, keepdims=True)
    centred = x - mu
    var = (centred**2).mean(axes, keepdims=True)
    std = np.sqrt(var + eps)
    xhat = centred / std
    return gamma * xhat + beta, (x, centred, var, std, xhat, gamma, eps)


def batch_norm_backward(dy: Array, cache: Cache) -> tuple[Array, ...]:
    """BN: dvar, then dmu, then dx. Source: arXiv 1502.03167, section 3."""
    x, centred, var, std, xhat, gamma, eps = cache
    axes = (0, 2, 3)
    n = x.size // x.shape[1]
    dgamma = (dy * xhat).sum(axes)
    dbeta = dy.sum(axes)
    dxhat = dy * gamma
    dvar = (dxhat * centred).sum(axes, keepdims=True) * -0.5 * (var + eps) ** -1.5
    dmu = -(dxhat / std).sum(axes, keepdims=True)
    dx = dxhat / std + dvar * 2 * centred / n + dmu / n
    return dx, dgamma, dbeta


def batch_norm_eval(
    x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, *, eps: float = 1e-5
) -> tuple[Array, Cache]:
    """BN in evaluation: an affine map of each channel. Source: arXiv 1502.03167, algorithm 2."""
    gamma, beta, mean, var = (p.reshape(1, -1, 1, 1) for p in (gamma, beta, running_mean, running_var))
    y = gamma * (x - mean) / np.sqrt(var + eps) + beta
    return y, (x, gamma, mean, var, eps)


def batch_norm_eval_backward(dy: Array, cache: Cache) -> tuple[Array, ...]:
    """BN in evaluation: the statistics are constants, so dx is dy times gamma * rstd."""
    x, gamma, mean, var, eps = cache
    axes = (0, 2, 3)
    rstd = 1 / np.sqrt(var + eps)
    xhat = (x - mean) * rstd
    dx = gamma * rstd * dy
    return dx, (dy * xhat).sum(axes), dy.sum(axes)


# --- attentive normalization on instance statistics, with a softmax --------------------------------------------------
def attentive_norm(
    x: Array, gamma: Array, beta: Array, attn_weight: Array, attn_bias: Array, *, eps: float = 1e-5
) -> tuple[Array, Cache]:
    """AN of (N, C, H, W): lambda = softmax(h attn_weight + attn_bias), h the mean of each map. arXiv 1908.01259."""
    mu = x.mean((2, 3), keepdims=True)
    rstd = 1 / np.sqrt(((x - mu) ** 2).mean((2, 3), keepdims=True) + eps)
    xhat = (x - mu) * rstd
    h = mu[:, :, 0, 0]
    logits = h @ attn_weight + attn_bias  # (N, K)
    e = np.exp(logits - logits.real.max(axis=1, keepdims=True))
    lambda_ = e / e.sum(axis=1, keepdims=True)
    y = (lambda_ @ gamma)[:, :, None, None] * xhat + (lambda_ @ beta)[:, :, None, None]
    return y, (xhat, rstd, h, lambda_, gamma, beta, attn_weight)


def attentive_norm_backward(dy: Array, cache: Cache) -> tuple[Array, ...]:
    """AN: dx through xhat and, through softmax and logits, the mean of each map; then all parameters."""
    xhat, rstd, h, lambda_, gamma, beta, attn_weight = cache
    M = dy[0, 0].size
    da, db = (dy * xhat).sum((2, 3)), dy.sum((2, 3))  # (N, C)
    dlambda = da @ gamma.T + db @ beta.T  # (N, K)
    dgamma, dbeta = lambda_.T @ da, lambda_.T @ db
    dlogits = lambda_ * (dlambda - (lambda_ * dlambda).sum(axis=1, keepdims=True))
    dh = dlogits @ attn_weight.T
    dxhat = dy * (lambda_ @ gamma)[:, :, None, None]
    along_ones = dxhat.mean((2, 3), keepdims=True)
    along_xhat = (dxhat * xhat).mean((2, 3), keepdims=True)
    dx = rstd * (dxhat - along_ones - xhat * along_xhat) + dh[:, :, None, None] / M
    return dx, dgamma, dbeta, h.T @ dlogits, dlogits.sum(axis=0)


# --- convolution -----------------------------------------------------------------------------------------------------
def conv2d(
    x: Array, weight: Array, bias: Array, *, stride: Pair = (1, 1), padding: Pair = (0, 0), groups: int = 1
) -> tuple[Array, Cache]:
    """Cross-correlation of (N, C, H, W) with (O, C / groups, kh, kw), one place of the kernel at a time."""
    N, C, H, W = x.shape
    out, _, kh, kw = weight.shape
    (s, t), (p, q) = stride, padding
    h, w = (H + 2 * p - kh) // s + 1, (W + 2 * q - kw) // t + 1
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (q, q)))
    xg = padded.reshape(N, groups, C // groups, *padded.shape[2:])
    wg = weight.reshape(groups, out // groups, C // groups, kh, kw)
    y = np.zeros((N, groups, out // groups, h, w), np.result_type(x, weight, bias))
    for a, b in np.ndindex(kh, kw):
        rows, cols = slice(a, a + s * h, s), slice(b, b + t * w, t)
        y += np.einsum("ngchw,goc->ngohw", xg[..., rows, cols], wg[..., a, b])
    return y.reshape(N, out, h, w) + bias[:, None, None], (xg, wg, x.shape, weight.shape, stride, padding)


def conv2d_backward(dy: Array, cache: Cache) -> tuple[Array, ...]:
    """Each place of the kernel gives its share of dx to the places of x that it saw, and its own entry of dweight."""
    xg, wg, (N, C, H, W), shape, (s, t), (p, q) = cache
    kh, kw = shape[2:]
    h, w = dy.shape[2:]
    dyg = dy.reshape(N, xg.shape[1], -1, h, w)
    kind = np.result_type(dy, xg, wg)
    dpadded, dw = np.zeros(xg.shape, kind), np.zeros(wg.shape, kind)
    for a, b in np.ndindex(kh, kw):
        rows, cols = slice(a, a + s * h, s), slice(b, b + t * w, t)
        dpadded[..., rows, cols] += np.einsum("ngohw,goc->ngchw", dyg, wg[..., a, b])
        dw[..., a, b] = np.einsum("ngohw,ngchw->goc", dyg, xg[..., rows, cols])
    dx = dpadded[..., p : p + H, q : q + W].reshape(N, C, H, W)
    return dx, dw.reshape(shape), dy.sum((0, 2, 3))


def _correlate(x: Array, weight: Array) -> Array:
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))  # (N, C, h, w, kh, kw)
    return np.einsum("nchwab,ocab->nohw", windows, weight)


def conv2d_stride_1(x: Array, weight: Array, bias: Array) -> tuple[Array, Cache]:
    """Cross-correlation without stride, padding and groups."""
    return _correlate(x, weight) + bias[:, None, None], (x, weight)


def conv2d_stride_1_backward(dy: Array, cache: Cache) -> tuple[Array, ...]:
    """dx is the full correlation of dy with the kernel turned by 180 degrees, in and out channels swapped."""
    x, weight = cache
    a, b = weight.shape[2] - 1, weight.shape[3] - 1
    padded = np.pad(dy, ((0, 0), (0, 0), (a, a), (b, b)))
    turned = weight[:, :, ::-1, ::-1].swapaxes(0, 1)
    dx = _correlate(padded, turned)
    dweight = _correlate(x.swapaxes(0, 1), dy.swapaxes(0, 1)).swapaxes(0, 1)
    return dx, dweight, dy.sum((0, 2, 3))


# --- the fully connected layer and the loss --------------------------------------------------------------------------
def linear(x: Array, weight: Array, bias: Array) -> tuple[Array, Cache]:
    """y = x @ weight + bias, with weight (in, out)."""
    return x @ weight + bias, (x, weight)


def linear_backward(dy: Array, cache: Cache) -> tuple[Array, ...]:
    """dx = dy weight^T, dweight = x^T dy, dbias = the sum of dy over the samples."""
    x, weight = cache
    dx = dy @ weight.T
    dweight = x.T @ dy
    dbias = dy.sum(axis=0)
    return dx, dweight, dbias


def softmax_cross_entropy(logits: Array, labels: Array, *, label_smoothing: float = 0.0) -> tuple[Array, Cache]:
    """The mean over the samples of -sum_k q_k log p_k, q = (1 - s) onehot + s / K. Source: arXiv 1512.00567."""
    N, K = logits.shape
    shifted = logits - logits.real.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    q = (1 - label_smoothing) * np.eye(K)[labels] + label_smoothing / K
    return np.asarray(-(q * log_p).sum() / N), (np.exp(log_p), labels, label_smoothing)


def softmax_cross_entropy_backward(dy: Array, cache: Cache) -> Array:
    """dlogits = dy (p - q) / N."""
    p, labels, s = cache
    N, K = p.shape
    q = (1 - s) * np.eye(K)[labels] + s / K
    return dy * (p - q) / N
