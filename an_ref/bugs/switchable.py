"""Bugs of switchable normalization: three parts, two softmaxes, and everything that can be mixed up between them."""

from __future__ import annotations

from .bug import Bug
from .forms import SN

LOOP = "for k, axes in enumerate(index_sets):"
DXHAT = "dxhat = gamma * dy"
DMU = "dmu = -(dxhat * rstd).sum(spatial, keepdims=True)"
DVAR = "dvar = -0.5 * (dxhat * xhat * rstd**2).sum(spatial, keepdims=True)"
CELL = "cell = x.size // means[k].size"
DMEAN = "dmean = (w[k] * dmu).sum(cells, keepdims=True)"
DVARIANCE = "dvariance = (w_[k] * dvar).sum(cells, keepdims=True)"
BOTH = f"{DMEAN}\n        {DVARIANCE}"
BOTH = f"{DMEAN}\n        {DVARIANCE}"
DX = "dx = dx + dmean / cell + dvariance * 2 * (x - means[k]) / cell"
DW = "dw = np.stack([(dmu * mean).sum() for mean in means])"
RETURN = "return dx, *_affine_gradients(dy, xhat), w * (dw - (w * dw).sum()), w_ * (dw_ - (w_ * dw_).sum())"
X, MEAN, VAR = ("x",), ("mean_logits",), ("var_logits",)

PATHS = (
    Bug(
        "sn-batch-part-missing",
        "Nothing comes back through the batch part's mean and variance.",
        SN, X, "path through the batch part", LOOP, "for k, axes in enumerate(index_sets[:2]):",
    ),
    Bug(
        "sn-instance-part-missing",
        "Nothing comes back through the instance part's mean and variance.",
        SN, X, "path through the instance part", LOOP, "for k, axes in list(enumerate(index_sets))[1:]:",
    ),
    Bug(
        "sn-layer-part-missing",
        "Nothing comes back through the layer part's mean and variance.",
        SN, X, "path through the layer part", LOOP, "for k, axes in list(enumerate(index_sets))[::2]:",
    ),
    Bug(
        "sn-batch-mean-missing",
        "Nothing comes back through the batch part's mean; its variance is right.",
        SN, X, "path through the batch part", DMEAN, "dmean = (w[k] * dmu * (k < 2)).sum(cells, keepdims=True)",
    ),
    Bug(
        "sn-mean-path-missing",
        "Nothing comes back through any of the three means.",
        SN, X, "path through the mean", DX, "dx = dx + dvariance * 2 * (x - means[k]) / cell",
    ),
    Bug(
        "sn-variance-path-missing",
        "Nothing comes back through any of the three variances.",
        SN, X, "path through the variance", DX, "dx = dx + dmean / cell",
    ),
    Bug(
        "sn-weights-mixed-up",
        "The means take the weights w' of the variances, and the variances those of the means.",
        SN, X, "weights", BOTH, BOTH.replace("w_[k]", "v[k]").replace("w[k]", "w_[k]").replace("v[k]", "w[k]"),
    ),
    Bug(
        "sn-one-set-of-weights",
        "The variances take the weights w of the means.",
        SN, X, "weights", DVARIANCE, "dvariance = (w[k] * dvar).sum(cells, keepdims=True)",
    ),
    Bug(
        "sn-weights-forgotten",
        "Each part counts 1/3, as at initialization, whatever the weights are.",
        SN, X, "part's mean", DMEAN, "dmean = (dmu / 3).sum(cells, keepdims=True)",
    ),
    Bug(
        "sn-centred-by-mixed-mean",
        "Each variance is differentiated around the mixed mean, not around its own.",
        SN, X, "path through the variance", DX, "dx = dx + dmean / cell + dvariance * 2 * (xhat / rstd) / cell",
    ),
    Bug(
        "sn-cell-of-one-map",
        "All three parts divide by the positions of one map.",
        SN, X, "sum where a mean belongs", CELL, "cell = x[0, 0].size",
    ),
    Bug(
        "sn-gamma-missing",
        "dx and the logits are computed from dy, not from gamma * dy.",
        SN, ("x", "mean_logits", "var_logits"), "factor gamma", DXHAT, "dxhat = dy",
    ),
    Bug(
        "sn-dvar-half-missing",
        "The derivative of 1 / sqrt lacks its 1/2.",
        SN, ("x", "var_logits"), "factor 2", DVAR, DVAR.replace("-0.5 * ", "-"),
    ),
    Bug(
        "sn-dvar-rstd",
        "The derivative of 1 / sqrt has one rstd too few.",
        SN, ("x", "var_logits"), "factor rstd", DVAR, DVAR.replace("rstd**2", "rstd"),
    ),
    Bug(
        "sn-dmu-sign",
        "dmu lacks its minus.",
        SN, ("x", "mean_logits"), "sign", DMU, DMU.replace("-(", "("),
    ),
)  # fmt: skip

LOGITS = (
    Bug(
        "sn-softmax-missing",
        "The gradient of the weights w is returned as that of their logits.",
        SN, MEAN, "softmax", RETURN, RETURN.replace("w * (dw - (w * dw).sum())", "dw"),
    ),
    Bug(
        "sn-softmax-diagonal",
        "The softmax's derivative is w (1 - w): only the diagonal of the Jacobian.",
        SN, MEAN, "softmax", RETURN, RETURN.replace("w * (dw - (w * dw).sum())", "w * (1 - w) * dw"),
    ),
    Bug(
        "sn-softmax-of-other-weights",
        "The gradient of var_logits takes the softmax's derivative at the weights of the means.",
        SN, VAR, "weights", RETURN, RETURN.replace("w_ * (dw_ - (w_ * dw_).sum())", "w * (dw_ - (w * dw_).sum())"),
    ),
    Bug(
        "sn-logits-swapped",
        "The gradients of mean_logits and var_logits are returned in each other's place.",
        SN, MEAN + VAR, "this is the gradient of", RETURN,
        "return dx, *_affine_gradients(dy, xhat), w_ * (dw_ - (w_ * dw_).sum()), w * (dw - (w * dw).sum())",
    ),
    Bug(
        "sn-logits-reversed",
        "The gradient of mean_logits has the order bn, ln, in.",
        SN, MEAN, "permuted", RETURN, RETURN.replace("w * (dw - (w * dw).sum())", "(w * (dw - (w * dw).sum()))[::-1]"),
    ),
    Bug(
        "sn-logits-sign",
        "The gradient of the weights of the means is made from +dxhat * rstd.",
        SN, MEAN, "sign", DW, "dw = np.stack([(-dmu * mean).sum() for mean in means])",
    ),
    Bug(
        "sn-logits-averaged",
        "The gradient of the weights of the means is a mean over the maps.",
        SN, MEAN, "mean where a sum belongs", DW, "dw = np.stack([(dmu * mean).sum() for mean in means]) / dmu.size",
    ),
)  # fmt: skip

BUGS = PATHS + LOGITS
