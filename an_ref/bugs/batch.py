"""Bugs of batch normalization, in the form dx = rstd * (dxhat - mean(dxhat) - xhat * mean(dxhat * xhat))."""

from __future__ import annotations

from .bug import Bug
from .forms import BN

DXHAT = "dxhat = gamma * dy"
ONES = "along_ones = dxhat.mean(axes, keepdims=True)"
XHAT = "along_xhat = (dxhat * xhat).mean(axes, keepdims=True)"
DX = "return rstd * (dxhat - along_ones - xhat * along_xhat)"
AFFINE = "return (dy * xhat).sum(axes), dy.sum(axes)"
X, GAMMA, BETA = ("x",), ("gamma",), ("beta",)

TERMS = (
    Bug(
        "bn-mean-term-missing",
        "The term mean(dxhat), which comes back through the mean, is left out.",
        BN, X, "missing", DX, "return rstd * (dxhat - xhat * along_xhat)",
    ),
    Bug(
        "bn-xhat-term-missing",
        "The term xhat * mean(dxhat * xhat), which comes back through the variance, is left out.",
        BN, X, "missing", DX, "return rstd * (dxhat - along_ones)",
    ),
    Bug(
        "bn-statistics-constant",
        "Mean and variance are taken for constants, as in evaluation: both of their terms are left out.",
        BN, X, "missing", DX, "return rstd * dxhat",
        incident="NVIDIA/apex issue 653 (2019) asks whether a synchronized BN that leaves them out can be right.",
    ),
    Bug(
        "bn-mean-term-doubled",
        "The term mean(dxhat) is subtracted twice.",
        BN, X, "doubled", DX, "return rstd * (dxhat - 2 * along_ones - xhat * along_xhat)",
    ),
    Bug(
        "bn-xhat-term-doubled",
        "The term xhat * mean(dxhat * xhat) has a 2 left over from the derivative of the square.",
        BN, X, "doubled", DX, "return rstd * (dxhat - along_ones - 2 * xhat * along_xhat)",
    ),
    Bug(
        "bn-xhat-term-halved",
        "The term xhat * mean(dxhat * xhat) keeps the 1/2 of the square root but lacks the 2 of the square.",
        BN, X, "factor 1/2", DX, "return rstd * (dxhat - along_ones - 0.5 * xhat * along_xhat)",
    ),
    Bug(
        "bn-mean-term-sign",
        "The term mean(dxhat) is added instead of subtracted.",
        BN, X, "sign", DX, "return rstd * (dxhat + along_ones - xhat * along_xhat)",
    ),
    Bug(
        "bn-xhat-term-sign",
        "The term xhat * mean(dxhat * xhat) is added instead of subtracted.",
        BN, X, "sign", DX, "return rstd * (dxhat - along_ones + xhat * along_xhat)",
    ),
    Bug(
        "bn-dx-sign",
        "All of dx has the wrong sign.",
        BN, X, "sign", DX, "return -rstd * (dxhat - along_ones - xhat * along_xhat)",
    ),
    Bug(
        "bn-xhat-missing-in-its-term",
        "The term xhat * mean(dxhat * xhat) lacks its xhat in front.",
        BN, X, "path through the variance", DX, "return rstd * (dxhat - along_ones - along_xhat)",
    ),
)  # fmt: skip

FACTORS = (
    Bug(
        "bn-gamma-missing",
        "dx is computed from dy, not from gamma * dy.",
        BN, X, "factor gamma", DXHAT, "dxhat = dy",
        incident="denizyuret/Knet.jl issue 288 (2018): on the CPU dy was multiplied by the scale only after the "
        "product that dx used had been made. Tests with random scales failed only now and then.",
    ),
    Bug(
        "bn-gamma-twice",
        "dx is multiplied by gamma once more at the end.",
        BN, X, "factor gamma", DX, "return gamma * rstd * (dxhat - along_ones - xhat * along_xhat)",
    ),
    Bug(
        "bn-gamma-missing-in-direct-term",
        "The first term of dx is dy, while both means are those of gamma * dy.",
        BN, X, "factor gamma", DX, "return rstd * (dxhat / gamma - along_ones - xhat * along_xhat)",
        incident="ROCm/MIOpen issue 104 (2019): a per-activation kernel left the scale out of N * dy but not out of "
        "what it subtracted. Its own tests agreed with it; cuDNN did not. Fixed in 2.0.0.",
    ),
    Bug(
        "bn-gamma-of-first-channel",
        "gamma of the first channel is used for all channels.",
        BN, X, "factor gamma", DXHAT, "dxhat = gamma[:, :1] * dy",
    ),
    Bug(
        "bn-rstd-missing",
        "dx is not divided by the standard deviation.",
        BN, X, "factor rstd", DX, "return dxhat - along_ones - xhat * along_xhat",
    ),
    Bug(
        "bn-rstd-twice",
        "dx is divided by the variance, not by the standard deviation.",
        BN, X, "factor rstd", DX, "return rstd**2 * (dxhat - along_ones - xhat * along_xhat)",
    ),
    Bug(
        "bn-rstd-cubed",
        "dx carries rstd to the third power, as dvar does in the chain rule.",
        BN, X, "factor rstd", DX, "return rstd**3 * (dxhat - along_ones - xhat * along_xhat)",
    ),
    Bug(
        "bn-mean-term-is-sum",
        "The first mean is a sum.",
        BN, X, "sum where a mean belongs", ONES, "along_ones = dxhat.sum(axes, keepdims=True)",
    ),
    Bug(
        "bn-xhat-term-is-sum",
        "The second mean is a sum.",
        BN, X, "sum where a mean belongs", XHAT, "along_xhat = (dxhat * xhat).sum(axes, keepdims=True)",
    ),
    Bug(
        "bn-dx-averaged",
        "dx is divided by the number of samples, which the loss has done already.",
        BN, X, "mean where a sum belongs", DX,
        "return rstd * (dxhat - along_ones - xhat * along_xhat) / len(dy)",
    ),
    Bug(
        "bn-unbiased-in-backward",
        "The mean of dxhat * xhat divides by n - 1, as for an unbiased variance.",
        BN, X, "factor n/(n-1)", DX,
        "n = dxhat[:, 0].size\n    return rstd * (dxhat - along_ones - xhat * along_xhat * n / (n - 1))",
    ),
    Bug(
        "bn-unbiased-in-forward",
        "The forward normalizes with the unbiased variance, the backward belongs to the biased one.",
        BN, X, "factor n/(n-1)", "var = ((x - mu) ** 2).mean(axes, keepdims=True)",
        "n = x[:, 0].size\n    var = ((x - mu) ** 2).sum(axes, keepdims=True) / (n - 1)", "_normalize",
        incident="FluxML/Flux.jl issue 529 (2018): normalise took the corrected standard deviation where "
        "PyTorch and two TensorFlow implementations take the uncorrected one.",
    ),
    Bug(
        "bn-eps-outside-root",
        "The forward divides by sqrt(var) + eps, the backward belongs to sqrt(var + eps).",
        BN, X, "eps", "rstd = 1 / np.sqrt(var + eps)", "rstd = 1 / (np.sqrt(var) + eps)", "_normalize",
        incident="Tencent/ncnn pull request 311 (2018): a first version added eps to the square root; the review asked "
        "for it inside.",
    ),
    Bug(
        "bn-eps-twice",
        "The backward adds eps to a variance that holds eps already.",
        BN, X, "eps", "xhat, rstd, gamma, axes = cache",
        "xhat, rstd, gamma, axes = cache\n    rstd = 1 / np.sqrt(1 / rstd**2 + 1e-5)",
    ),
    Bug(
        "bn-float16",
        "dx passes through float16 on its way out.",
        BN, X, "float16", DX,
        "dx = rstd * (dxhat - along_ones - xhat * along_xhat)\n    return dx.astype(np.float16).astype(np.float64)",
    ),
)  # fmt: skip

AXES = (
    Bug(
        "bn-mean-over-samples-only",
        "The mean of dxhat runs over the samples, not over the positions too.",
        BN, X, "axes", ONES, "along_ones = dxhat.mean(0, keepdims=True)",
    ),
    Bug(
        "bn-means-per-map",
        "Both means run over each map alone, as for instance normalization.",
        BN, X, "axes", DXHAT, "dxhat = gamma * dy\n    axes = (2, 3)",
    ),
    Bug(
        "bn-means-per-sample",
        "Both means run over (C, H, W) of each sample, as for layer normalization.",
        BN, X, "axes", DXHAT, "dxhat = gamma * dy\n    axes = (1, 2, 3)",
    ),
    Bug(
        "bn-mean-over-everything",
        "The mean of dxhat runs over the channels too: no axes were given.",
        BN, X, "axes", ONES, "along_ones = dxhat.mean()",
    ),
    Bug(
        "bn-mean-of-device-means",
        "The mean of dxhat is the plain average of the means of two devices, one with 1 sample and one with the rest.",
        BN, X, "path through the mean", ONES,
        "along_ones = (dxhat[:1].mean(axes, keepdims=True) + dxhat[1:].mean(axes, keepdims=True)) / 2",
        incident="pytorch/pytorch pull request 36688 (2020): once SyncBatchNorm allowed batches of different size, its "
        "backward still averaged the means of dy without weights. Fixed in 1.5.0.",
    ),
    Bug(
        "bn-last-sample-skipped",
        "A loop over the samples ends one too early: dx of the last one stays zero.",
        BN, X, "one sample", DX,
        "dx = np.zeros_like(dxhat)\n    for n in range(len(dx) - 1):\n        "
        "dx[n] = (rstd * (dxhat - along_ones - xhat * along_xhat))[n]\n    return dx",
    ),
    Bug(
        "bn-last-channel-skipped",
        "A loop over the channels ends one too early: dx of the last one stays zero.",
        BN, X, "one channel", DX,
        "dx = rstd * (dxhat - along_ones - xhat * along_xhat)\n    dx[:, -1] = 0\n    return dx",
    ),
    Bug(
        "bn-first-channel-uncorrected",
        "The first channel alone gets neither of the two correcting terms.",
        BN, X, "one channel", DX,
        "along_ones[:, 0] = along_xhat[:, 0] = 0\n    return rstd * (dxhat - along_ones - xhat * along_xhat)",
    ),
)  # fmt: skip

PARAMETERS = (
    Bug(
        "bn-dgamma-has-gamma",
        "dgamma is the sum of gamma * dy * xhat.",
        BN, GAMMA, "factor gamma", "_affine_gradients(dy, cache[0])",
        "((cache[2] * dy * cache[0]).sum((0, 2, 3)), dy.sum((0, 2, 3)))", "batch_norm_backward",
    ),
    Bug(
        "bn-dgamma-is-mean",
        "dgamma is a mean over samples and positions.",
        BN, GAMMA, "mean where a sum belongs", AFFINE, "return (dy * xhat).mean(axes), dy.sum(axes)",
        "_affine_gradients",
    ),
    Bug(
        "bn-dbeta-is-mean",
        "dbeta is a mean over samples and positions.",
        BN, BETA, "mean where a sum belongs", AFFINE, "return (dy * xhat).sum(axes), dy.mean(axes)",
        "_affine_gradients",
    ),
    Bug(
        "bn-dgamma-without-xhat",
        "dgamma lacks xhat: it is the sum of dy, as dbeta is.",
        BN, GAMMA, "missing", AFFINE, "return dy.sum(axes), dy.sum(axes)", "_affine_gradients",
    ),
    Bug(
        "bn-dbeta-has-xhat",
        "dbeta is the sum of dy * xhat, as dgamma is.",
        BN, BETA, "xhat", AFFINE, "return (dy * xhat).sum(axes), (dy * xhat).sum(axes)", "_affine_gradients",
    ),
    Bug(
        "bn-dgamma-dbeta-swapped",
        "dbeta is returned in the place of dgamma, and dgamma in that of dbeta.",
        BN, ("gamma", "beta"), "this is the gradient of", AFFINE, "return dy.sum(axes), (dy * xhat).sum(axes)",
        "_affine_gradients",
    ),
    Bug(
        "bn-parameters-counted-twice",
        "dgamma and dbeta are added up twice.",
        BN, ("gamma", "beta"), "doubled", AFFINE, "return 2 * (dy * xhat).sum(axes), 2 * dy.sum(axes)",
        "_affine_gradients",
        incident="sony/nnabla pull request 1120 (2022): a synchronized BN summed dgamma and dbeta over the devices, "
        "and the training loop did so again, so they grew with the number of devices.",
    ),
)  # fmt: skip

BUGS = TERMS + FACTORS + AXES + PARAMETERS
