"""Bugs of attentive normalization: the published form on batch statistics, and one with a softmax."""

from __future__ import annotations

from .bug import Bug
from .forms import AN, AN_SOFTMAX

DLAMBDA = "dlambda.append((dy * branch).sum((1, *_positions(x))))"
BRANCH = "branch = _per_channel(gamma[k], x) * xhat + _per_channel(beta[k], x)"
DGAMMA = "dgamma.append((dy * weight * xhat).sum(over_maps))"
DBETA = "dbeta.append((dy * weight).sum(over_maps))"
DXHAT = "dxhat = dxhat + dy * weight * _per_channel(gamma[k], x)"
DZ = "dz = np.where((z.real > -3) & (z.real < 3), np.stack(dlambda, axis=1) / 6, 0)"
DATTN = "dattn_gamma, dattn_beta = (dz * logits_cache[0]).sum(0), dz.sum(0)"
DLOGITS = "dlogits = _normalize_backward(dz, logits_cache)"
DH = "dmean, dvar = dh / std, -0.5 * dh * mean / std**3"
THROUGH = "through_lambda = _per_map(dmean, x) / M + _per_map(dvar, x) * 2 * (x - _per_map(mean, x)) / (M - 1)"
DX = "dx = _normalize_backward(dxhat, norm_cache) + through_lambda"
RETURN = "return dx, np.stack(dgamma), np.stack(dbeta), h.T @ dlogits, dattn_gamma, dattn_beta"
X = ("x",)
LOGITS = ("x", "attn_weight")
ATTENTION = ("x", "attn_weight", "attn_gamma", "attn_beta")

PATHS = (
    Bug(
        "an-attention-path-missing",
        "dx comes through xhat alone: lambda is taken for a constant.",
        AN, X, "path through the attention", DX, "dx = _normalize_backward(dxhat, norm_cache)",
    ),
    Bug(
        "an-normalization-path-missing",
        "dx comes through lambda alone.",
        AN, X, "missing", DX, "dx = through_lambda",
    ),
    Bug(
        "an-statistics-constant",
        "The part of dx that comes through xhat lacks its two means.",
        AN, X, "missing", DX, "dx = dxhat * norm_cache[1] + through_lambda",
    ),
    Bug(
        "an-attention-path-doubled",
        "What comes back through lambda is added twice.",
        AN, X, "doubled", DX, DX + "\n    dx = dx + through_lambda",
    ),
    Bug(
        "an-descriptor-mean-missing",
        "Nothing comes back through the mean in h = mean / std.",
        AN, X, "path through the attention", THROUGH,
        "through_lambda = _per_map(dvar, x) * 2 * (x - _per_map(mean, x)) / (M - 1)",
    ),
    Bug(
        "an-descriptor-variance-missing",
        "Nothing comes back through the deviation in h = mean / std.",
        AN, X, "path through the attention", THROUGH, "through_lambda = _per_map(dmean, x) / M",
    ),
    Bug(
        "an-descriptor-biased",
        "The path through the descriptor's variance divides by M, the forward by M - 1.",
        AN, X, "factor n/(n-1)", THROUGH, THROUGH.replace("(M - 1)", "M"),
    ),
    Bug(
        "an-descriptor-uncentred",
        "The derivative of the descriptor's variance is 2 x / (M - 1), without the mean taken off.",
        AN, X, "path through the attention", THROUGH, THROUGH.replace("(x - _per_map(mean, x))", "x"),
        incident="xunhuang1995/AdaIN-style issue 24 (2017): the backward of a deviation got the raw input instead of "
        "the centred one.",
    ),
    Bug(
        "an-descriptor-power",
        "The derivative of 1 / std has std^2 where std^3 belongs.",
        AN, X, "path through the attention", DH, DH.replace("std**3", "std**2"),
    ),
    Bug(
        "an-descriptor-sign",
        "The derivative of 1 / std lacks its minus.",
        AN, X, "sign", DH, DH.replace("-0.5", "0.5"),
    ),
    Bug(
        "an-descriptor-eps-forgotten",
        "The derivative of 1 / std is taken without the descriptor's eps of 1e-3.",
        AN, X, "eps", DH, DH.replace("std**3", "(std**2 - 1e-3) ** 1.5"),
    ),
    Bug(
        "an-lambda-averaged",
        "The part of dx that comes through xhat takes lambda's mean over the batch.",
        AN, X, "axes", DXHAT, DXHAT.replace("weight", "weight.mean(0, keepdims=True)"),
    ),
    Bug(
        "an-last-mixture-skipped",
        "The last of the K mixtures is left out of dxhat.",
        AN, X, "one mixture", DXHAT, "dxhat = dxhat + (k < len(gamma) - 1) * dy * weight * _per_channel(gamma[k], x)",
    ),
    Bug(
        "an-lambda-missing-in-dx",
        "dxhat is the sum of gamma_k * dy, without lambda_k.",
        AN, X, "lambda", DXHAT, "dxhat = dxhat + dy * _per_channel(gamma[k], x)",
    ),
)  # fmt: skip

LAMBDA = (
    Bug(
        "an-hsigmoid-slope-missing",
        "hsigmoid's slope 1/6 is left out.",
        AN, ATTENTION, "activation derivative", DZ, DZ.replace(" / 6", ""),
    ),
    Bug(
        "an-hsigmoid-slope-other",
        "hsigmoid's slope is taken as 0.2, that of another definition.",
        AN, ATTENTION, "activation derivative", DZ, DZ.replace(" / 6", " * 0.2"),
        incident="PaddlePaddle/Paddle issue 44820 (2022): two interfaces to the same function had the slopes 1/6 and "
        "0.2 by default.",
    ),
    Bug(
        "an-hsigmoid-kinks-ignored",
        "hsigmoid's slope 1/6 is used outside (-3, 3) too, where it is constant.",
        AN, ATTENTION, "activation derivative", DZ, "dz = np.stack(dlambda, axis=1) / 6",
        incident="pytorch/pytorch issue 51408 (2021): hardsigmoid_backward of version 1.5 returned 1/6 below -3 as "
        "well. tenstorrent/tt-metal issue 6534 (2024) reports a gradient at 10.",
    ),
    Bug(
        "an-sigmoid-derivative",
        "The derivative is lambda (1 - lambda), which is the sigmoid's, not hsigmoid's.",
        AN, ATTENTION, "activation derivative", DZ,
        "dz = np.stack(dlambda, axis=1) * lambda_ * (1 - lambda_)",
    ),
    Bug(
        "an-beta-missing-in-dlambda",
        "The gradient of lambda lacks beta_k: it is the sum of dy * gamma_k * xhat.",
        AN, ATTENTION, "missing", BRANCH, "branch = _per_channel(gamma[k], x) * xhat", "attentive_norm_backward",
    ),
    Bug(
        "an-dlambda-averaged",
        "The gradient of lambda is a mean over channels and positions.",
        AN, ATTENTION, "mean where a sum belongs", DLAMBDA, DLAMBDA.replace(".sum(", ".mean("),
    ),
    Bug(
        "an-logits-norm-skipped",
        "The normalization of the logits has no backward: dz is passed on as it is.",
        AN, LOGITS, "path through the attention", DLOGITS, "dlogits = dz",
    ),
    Bug(
        "an-logits-statistics-constant",
        "Mean and variance of the logits are taken for constants.",
        AN, LOGITS, "path through the attention", DLOGITS, "dlogits = dz * logits_cache[1] * logits_cache[2]",
    ),
    Bug(
        "an-logits-axes",
        "The backward of the logits' normalization averages over the K logits, the forward over the batch.",
        AN, LOGITS, "axes", DLOGITS, "dlogits = _normalize_backward(dz, (*logits_cache[:3], (1,)))",
    ),
    Bug(
        "an-attn-gamma-missing",
        "The backward of the logits' normalization lacks attn_gamma.",
        AN, LOGITS, "factor attn_gamma", DLOGITS,
        "dlogits = _normalize_backward(dz, (*logits_cache[:2], 1, (0,)))",
    ),
    Bug(
        "an-dattn-gamma-of-z",
        "The gradient of attn_gamma is made with z, not with the normalized logits.",
        AN, ("attn_gamma",), "xhat", DATTN, DATTN.replace("logits_cache[0]", "z"),
    ),
    Bug(
        "an-dgamma-without-lambda",
        "dgamma_k lacks lambda_k: all mixtures get the same.",
        AN, ("gamma",), "lambda", DGAMMA, "dgamma.append((dy * xhat).sum(over_maps))",
    ),
    Bug(
        "an-dbeta-without-lambda",
        "dbeta_k lacks lambda_k: all mixtures get the same.",
        AN, ("beta",), "lambda", DBETA, "dbeta.append(dy.sum(over_maps))",
    ),
    Bug(
        "an-mixtures-reversed",
        "The rows of dgamma come out in reversed order of mixtures.",
        AN, ("gamma",), "permuted", RETURN, RETURN.replace("np.stack(dgamma)", "np.stack(dgamma[::-1])"),
    ),
)  # fmt: skip

SOFTMAX = "dlogits = lambda_ * (dlambda - (lambda_ * dlambda).sum(axis=1, keepdims=True))"
ALONG = "dx = rstd * (dxhat - along_ones - xhat * along_xhat) + dh[:, :, None, None] / M"
WITH_BIAS = ("x", "attn_weight", "attn_bias")

WITH_SOFTMAX = (
    Bug(
        "an-softmax-diagonal",
        "The softmax's derivative is lambda (1 - lambda): only the diagonal of the Jacobian.",
        AN_SOFTMAX, WITH_BIAS, "activation derivative", SOFTMAX, "dlogits = lambda_ * (1 - lambda_) * dlambda",
        incident="deeplearning4j/libnd4j issue 440 (2017): softmaxderivative was output * (1 - output); the terms "
        "beside the diagonal were missing. Apiquet/DeepLearningFrameworkFromScratchCpp issue 1 (2024) is the same.",
    ),
    Bug(
        "an-softmax-sum-missing",
        "The softmax's backward lacks what it subtracts, sum_j lambda_j dlambda_j.",
        AN_SOFTMAX, WITH_BIAS, "activation derivative", SOFTMAX, "dlogits = lambda_ * dlambda",
        incident="HomericIntelligence/Odyssey issue 2134 (2025): a gradient check failed, with that sum as the "
        "suspect.",
    ),
    Bug(
        "an-softmax-axis",
        "The softmax's backward sums over the samples, not over the K weights.",
        AN_SOFTMAX, WITH_BIAS, "axes", SOFTMAX, SOFTMAX.replace("axis=1", "axis=0"),
    ),
    Bug(
        "an-softmax-missing",
        "The gradient of lambda is passed on as that of the logits.",
        AN_SOFTMAX, WITH_BIAS, "activation derivative", SOFTMAX, "dlogits = dlambda",
    ),
    Bug(
        "an-softmax-descriptor-not-averaged",
        "What comes back through the mean of each map is not divided by the number of positions.",
        AN_SOFTMAX, X, "sum where a mean belongs", ALONG, ALONG.replace(" / M", ""),
    ),
    Bug(
        "an-softmax-attention-detached",
        "dx comes through xhat alone.",
        AN_SOFTMAX, X, "path through the attention", ALONG, ALONG.replace(" + dh[:, :, None, None] / M", ""),
    ),
)  # fmt: skip

BUGS = PATHS + LAMBDA + WITH_SOFTMAX
