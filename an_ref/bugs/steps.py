"""Bugs of batch normalization, in the form that goes step by step: dxhat, dvar, dmu, dx; and of its evaluation."""

from __future__ import annotations

from .bug import Bug
from .forms import BN_EVAL, BN_STEPS

DVAR = "dvar = (dxhat * centred).sum(axes, keepdims=True) * -0.5 * (var + eps) ** -1.5"
DMU = "dmu = -(dxhat / std).sum(axes, keepdims=True)"
DX = "dx = dxhat / std + dvar * 2 * centred / n + dmu / n"
DGAMMA = "dgamma = (dy * xhat).sum(axes)"
X, GAMMA = ("x",), ("gamma",)

STEPS = (
    Bug(
        "bn-steps-path-through-mean-missing",
        "dmu is computed and forgotten: nothing comes back through the mean.",
        BN_STEPS, X, "path through the mean", DX, "dx = dxhat / std + dvar * 2 * centred / n",
    ),
    Bug(
        "bn-steps-path-through-variance-missing",
        "dvar is computed and forgotten: nothing comes back through the variance.",
        BN_STEPS, X, "path through the variance", DX, "dx = dxhat / std + dmu / n",
    ),
    Bug(
        "bn-steps-direct-path-missing",
        "Only what comes back through mean and variance is kept; dxhat / std is left out.",
        BN_STEPS, X, "missing", DX, "dx = dvar * 2 * centred / n + dmu / n",
    ),
    Bug(
        "bn-steps-dvar-sign",
        "dvar lacks the minus of (var + eps)^(-1/2)'.",
        BN_STEPS, X, "sign", DVAR,
        "dvar = (dxhat * centred).sum(axes, keepdims=True) * 0.5 * (var + eps) ** -1.5",
    ),
    Bug(
        "bn-steps-dvar-half-missing",
        "dvar lacks the 1/2 that the exponent brings down.",
        BN_STEPS, X, "factor 2", DVAR, "dvar = -(dxhat * centred).sum(axes, keepdims=True) * (var + eps) ** -1.5",
    ),
    Bug(
        "bn-steps-square-without-2",
        "The derivative of centred^2 lacks its 2.",
        BN_STEPS, X, "factor 1/2", DX, "dx = dxhat / std + dvar * centred / n + dmu / n",
    ),
    Bug(
        "bn-steps-dvar-exponent",
        "dvar keeps the exponent -1/2 instead of lowering it to -3/2.",
        BN_STEPS, X, "factor rstd", DVAR,
        "dvar = (dxhat * centred).sum(axes, keepdims=True) * -0.5 * (var + eps) ** -0.5",
    ),
    Bug(
        "bn-steps-dvar-of-raw-x",
        "dvar is made with x, from which the mean has not been taken off.",
        BN_STEPS, X, "path through the variance", DVAR,
        "dvar = (dxhat * x).sum(axes, keepdims=True) * -0.5 * (var + eps) ** -1.5",
    ),
    Bug(
        "bn-steps-raw-x-in-dx",
        "The variance's derivative is 2 x / n instead of 2 (x - mu) / n.",
        BN_STEPS, X, "path through the variance", DX, "dx = dxhat / std + dvar * 2 * x / n + dmu / n",
    ),
    Bug(
        "bn-steps-variance-not-averaged",
        "The path through the variance is not divided by n.",
        BN_STEPS, X, "sum where a mean belongs", DX, "dx = dxhat / std + dvar * 2 * centred + dmu / n",
    ),
    Bug(
        "bn-steps-mean-not-averaged",
        "The path through the mean is not divided by n.",
        BN_STEPS, X, "sum where a mean belongs", DX, "dx = dxhat / std + dvar * 2 * centred / n + dmu",
    ),
    Bug(
        "bn-steps-n-counts-samples",
        "n is the number of samples, as for (N, C) input; the positions are not counted.",
        BN_STEPS, X, "sum where a mean belongs", "n = x.size // x.shape[1]", "n = len(x)",
    ),
    Bug(
        "bn-steps-n-counts-positions",
        "n is the number of positions of a map; the samples are not counted.",
        BN_STEPS, X, "sum where a mean belongs", "n = x.size // x.shape[1]", "n = x[0, 0].size",
    ),
    Bug(
        "bn-steps-variance-unbiased",
        "The path through the variance divides by n - 1.",
        BN_STEPS, X, "factor n/(n-1)", DX, "dx = dxhat / std + dvar * 2 * centred / (n - 1) + dmu / n",
    ),
    Bug(
        "bn-steps-dmu-sign",
        "dmu lacks its minus.",
        BN_STEPS, X, "sign", DMU, "dmu = (dxhat / std).sum(axes, keepdims=True)",
    ),
    Bug(
        "bn-steps-dmu-without-std",
        "dmu is not divided by the standard deviation.",
        BN_STEPS, X, "factor rstd", DMU, "dmu = -dxhat.sum(axes, keepdims=True)",
    ),
    Bug(
        "bn-steps-dmu-without-gamma",
        "dmu is made from dy, not from gamma * dy.",
        BN_STEPS, X, "factor gamma", DMU, "dmu = -(dy / std).sum(axes, keepdims=True)",
    ),
    Bug(
        "bn-steps-eps-forgotten",
        "dvar is made with var, without eps.",
        BN_STEPS, X, "eps", DVAR, "dvar = (dxhat * centred).sum(axes, keepdims=True) * -0.5 * var**-1.5",
    ),
    Bug(
        "bn-steps-dgamma-not-normalized",
        "dgamma is the sum of dy * (x - mu), which is not divided by the standard deviation.",
        BN_STEPS, GAMMA, "factor rstd", DGAMMA, "dgamma = (dy * centred).sum(axes)",
    ),
    Bug(
        "bn-steps-dgamma-of-raw-x",
        "dgamma is the sum of dy * x.",
        BN_STEPS, GAMMA, "xhat", DGAMMA, "dgamma = (dy * x).sum(axes)",
    ),
    Bug(
        "bn-steps-dgamma-first-sample",
        "dgamma is the sum over the first sample alone.",
        BN_STEPS, GAMMA, "one sample", DGAMMA, "dgamma = (dy * xhat)[:1].sum(axes)",
    ),
    Bug(
        "bn-steps-dbeta-of-dxhat",
        "dbeta is the sum of gamma * dy.",
        BN_STEPS, ("beta",), "factor gamma", "dbeta = dy.sum(axes)", "dbeta = (dy * gamma).sum(axes)",
    ),
)  # fmt: skip

EVALUATION = (
    Bug(
        "bn-eval-trained-formula",
        "The backward of evaluation is that of training: it subtracts the two means of the batch.",
        BN_EVAL, X, "constants", "dx = gamma * rstd * dy",
        "dx = gamma * rstd * (dy - dy.mean(axes, keepdims=True) - xhat * (dy * xhat).mean(axes, keepdims=True))",
        incident="pytorch/pytorch issue 586 (2017): with cuDNN the backward in eval mode ran as if in training. "
        "pytorch/xla issue 913 (2019) reports wrong gradients of BatchNorm1d in eval mode.",
    ),
    Bug(
        "bn-eval-batch-variance",
        "The backward divides by the batch's standard deviation, the forward by the running one.",
        BN_EVAL, X, "factor rstd", "dx = gamma * rstd * dy",
        "dx = gamma * dy / np.sqrt(((x - x.mean(axes, keepdims=True)) ** 2).mean(axes, keepdims=True) + eps)",
        incident="torch/nn pull request 768 (2016): the backward read save_mean and save_std of the last batch, also "
        "in evaluation, where the forward normalizes by the running values.",
    ),
    Bug(
        "bn-eval-gamma-missing",
        "dx lacks gamma.",
        BN_EVAL, X, "factor gamma", "dx = gamma * rstd * dy", "dx = rstd * dy",
    ),
    Bug(
        "bn-eval-divides-by-variance",
        "dx is divided by the running variance, not by its root.",
        BN_EVAL, X, "factor rstd", "dx = gamma * rstd * dy", "dx = gamma * dy / (var + eps)",
    ),
    Bug(
        "bn-eval-eps-forgotten",
        "The backward leaves eps out of the root.",
        BN_EVAL, ("x", "gamma"), "eps", "rstd = 1 / np.sqrt(var + eps)", "rstd = 1 / np.sqrt(var)",
    ),
    Bug(
        "bn-eval-dgamma-batch-mean",
        "dgamma takes the batch's mean off x, the forward the running one.",
        BN_EVAL, GAMMA, "xhat", "return dx, (dy * xhat).sum(axes)",
        "return dx, (dy * (x - x.mean(axes, keepdims=True)) * rstd).sum(axes)",
    ),
)  # fmt: skip

BUGS = STEPS + EVALUATION
