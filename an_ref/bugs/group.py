"""Bugs of layer, instance and group normalization."""

from __future__ import annotations

from .bug import Bug
from .forms import GN, IN, LN

DXHAT = "dxhat = gamma * dy"
ONES = "along_ones = dxhat.mean(axes, keepdims=True)"
XHAT = "along_xhat = (dxhat * xhat).mean(axes, keepdims=True)"
DX = "return rstd * (dxhat - along_ones - xhat * along_xhat)"
UNPACK = "xhat, rstd, gamma, axes = cache"
AFFINE = "return (dy * xhat).sum(axes), dy.sum(axes)"
GROUPED = "return dx.reshape(dy.shape), *_affine_gradients(dy, xhat.reshape(dy.shape))"
X, GAMMA, BETA = ("x",), ("gamma",), ("beta",)

LAYER = (
    Bug(
        "ln-gamma-outside-means",
        "gamma is taken out of the means, which is right for BN only: in LN it differs within a mean.",
        LN, X, "factor gamma", DXHAT, "rstd, dxhat = gamma * rstd, dy",
    ),
    Bug(
        "ln-gamma-missing",
        "dx is computed from dy, not from gamma * dy.",
        LN, X, "factor gamma", DXHAT, "dxhat = dy",
    ),
    Bug(
        "ln-mean-term-doubled",
        "The term mean(gamma * dy) is subtracted twice.",
        LN, X, "doubled", DX, "return rstd * (dxhat - 2 * along_ones - xhat * along_xhat)",
        incident="tenstorrent/tt-metal issue 53204 (2026): a register was added to before it was cleared, so the mean "
        "came off twice at every shape. The tests allowed 0.5 on gradients of size 1.",
    ),
    Bug(
        "ln-mean-term-missing",
        "The term mean(gamma * dy) is left out.",
        LN, X, "missing", DX, "return rstd * (dxhat - xhat * along_xhat)",
    ),
    Bug(
        "ln-xhat-term-of-last-channels",
        "The sum of dxhat * xhat holds its last block of two channels alone; the blocks before it are lost.",
        LN, X, "path through the variance", XHAT,
        "along_xhat = (dxhat * xhat)[:, -2:].sum(axes, keepdims=True) / dxhat[0].size",
        incident="tenstorrent/tt-metal issue 53204 (2026), the second bug in it: the running sum was cleared inside "
        "its loop, so only the last block counted.",
    ),
    Bug(
        "ln-axes-of-batch-norm",
        "The means run over the batch for each channel, copied from BN.",
        LN, X, "axes", DXHAT, "dxhat = gamma * dy\n    axes = (0, 2, 3)",
    ),
    Bug(
        "ln-axes-of-last-two",
        "The means run over the last axes alone: the backward guesses the normalized shape.",
        LN, X, "axes", DXHAT, "dxhat = gamma * dy\n    axes = (2, 3)",
        incident="flagos-ai/FlagGems issue 5392 (2026): the forward took the normalized shape, the backward assumed "
        "two axes, so with three axes its means ran over the wrong entries.",
    ),
    Bug(
        "ln-sums-of-all-rows",
        "A block of samples is reduced to one pair of means, which all samples share.",
        LN, X, "axes", DXHAT, "dxhat = gamma * dy\n    axes = (0, 1, 2, 3)",
        incident="flagos-ai/FlagGems pull request 59 (2024): with more than one row in a block, the backward's two "
        "sums ran over all rows of it.",
    ),
    Bug(
        "ln-rstd-in-float16",
        "rstd is kept in float16 for the backward.",
        LN, X, "float16", UNPACK, UNPACK + "\n    rstd = rstd.astype(np.float16).astype(np.float64)",
        incident="flagos-ai/FlagGems pull request 221 (2024): mean and rstd were stored in the input's half precision, "
        "and the backward read them back.",
    ),
    Bug(
        "ln-rstd-of-first-sample",
        "rstd of the first sample is used for all samples.",
        LN, X, "factor rstd", UNPACK, UNPACK + "\n    rstd = rstd[:1]",
    ),
    Bug(
        "ln-dgamma-order",
        "dgamma comes out in reversed order of channels.",
        LN, GAMMA, "permuted", AFFINE, "return (dy * xhat).sum(axes)[::-1], dy.sum(axes)", "_affine_gradients",
        incident="deepspeedai/DeepSpeed pull request 692 (2021): the kernel for dgamma read gamma and beta at the "
        "index of another thread, that is, of another channel.",
    ),
    Bug(
        "ln-dgamma-per-sample-mean",
        "dgamma is averaged over the samples.",
        LN, GAMMA, "mean where a sum belongs", AFFINE, "return (dy * xhat).sum(axes) / len(dy), dy.sum(axes)",
        "_affine_gradients",
    ),
)  # fmt: skip

INSTANCE = (
    Bug(
        "in-axes-of-batch-norm",
        "The means run over the samples too.",
        IN, X, "axes", DXHAT, "dxhat = gamma * dy\n    axes = (0, 2, 3)",
    ),
    Bug(
        "in-mean-over-rows-only",
        "The mean of dxhat runs over the last axis alone.",
        IN, X, "axes", ONES, "along_ones = dxhat.mean(3, keepdims=True)",
    ),
    Bug(
        "in-divides-by-batch-too",
        "The mean of dxhat divides by N * H * W, its sum runs over H * W.",
        IN, X, "mean where a sum belongs", ONES, "along_ones = dxhat.mean(axes, keepdims=True) / len(dxhat)",
    ),
    Bug(
        "in-xhat-term-missing",
        "The term xhat * mean(dxhat * xhat) is left out.",
        IN, X, "missing", DX, "return rstd * (dxhat - along_ones)",
    ),
    Bug(
        "in-statistics-of-last-sample",
        "rstd of the last sample is used for all: it was overwritten in a loop.",
        IN, X, "factor rstd", UNPACK, UNPACK + "\n    rstd = rstd[-1:]",
    ),
    Bug(
        "in-dgamma-first-sample",
        "dgamma is the sum over the first sample alone.",
        IN, GAMMA, "one sample", AFFINE, "return (dy * xhat)[:1].sum(axes), dy.sum(axes)", "_affine_gradients",
    ),
    Bug(
        "in-dbeta-last-sample",
        "dbeta is overwritten at each sample instead of added to: the last one is left.",
        IN, BETA, "one sample", AFFINE, "return (dy * xhat).sum(axes), dy[-1:].sum(axes)", "_affine_gradients",
    ),
)  # fmt: skip

GROUP = (
    Bug(
        "gn-axes-of-layer-norm",
        "The means run over all channels of a sample, not over its groups.",
        GN, X, "axes", DXHAT, "dxhat = gamma * dy\n    axes = (1, 2, 3, 4)",
    ),
    Bug(
        "gn-axes-of-instance-norm",
        "The means run over each channel alone.",
        GN, X, "axes", DXHAT, "dxhat = gamma * dy\n    axes = (3, 4)",
    ),
    Bug(
        "gn-gamma-outside-means",
        "gamma is taken out of the means, although it differs within a group.",
        GN, X, "factor gamma", DXHAT, "rstd, dxhat = gamma * rstd, dy",
    ),
    Bug(
        "gn-gamma-of-group",
        "gamma of the first channel of a group is used for the whole group.",
        GN, X, "factor gamma", DXHAT, "dxhat = gamma[:, :, :1] * dy",
        incident="mlpack/mlpack pull request 3028 (2021): the review found gamma and beta spread over the channels "
        "with an index that was off. apache/mxnet issue 17139 (2019): gamma had one entry for each group.",
    ),
    Bug(
        "gn-divides-by-channels-only",
        "The means divide by the channels of a group, not by channels times positions.",
        GN, X, "sum where a mean belongs", DX,
        "M = dy[0, 0, 0].size\n    return rstd * (dxhat - M * along_ones - xhat * M * along_xhat)",
    ),
    Bug(
        "gn-mean-term-missing",
        "The term mean(gamma * dy) is left out.",
        GN, X, "missing", DX, "return rstd * (dxhat - xhat * along_xhat)",
    ),
    Bug(
        "gn-rstd-of-first-group",
        "rstd of the first group is used for all groups of a sample.",
        GN, X, "factor rstd", UNPACK, UNPACK + "\n    rstd = rstd[:, :1]",
        incident="tenstorrent/tt-metal pull request 56202 (2026): each core counted its channels from zero, so all "
        "channels read mean and rstd of the first group (there for dgamma).",
    ),
    Bug(
        "gn-last-group-skipped",
        "A loop over the groups ends one too early: dx of the last group stays zero.",
        GN, X, "alone", DX,
        "dx = rstd * (dxhat - along_ones - xhat * along_xhat)\n    dx[:, -1] = 0\n    return dx",
    ),
    Bug(
        "gn-groups-reversed",
        "The groups of dx come out in reversed order.",
        GN, X, "permuted", GROUPED, GROUPED.replace("dx.reshape", "dx[:, ::-1].reshape"), "group_norm_backward",
    ),
    Bug(
        "gn-channels-interleaved",
        "Groups and channels of dx are in the wrong order when it is put back into shape.",
        GN, X, "permuted", GROUPED, GROUPED.replace("dx.reshape", "dx.swapaxes(1, 2).reshape"),
        "group_norm_backward",
    ),
    Bug(
        "gn-dgamma-group-by-modulo",
        "dgamma takes channel c for a member of group c % groups.",
        GN, GAMMA, "permuted", GROUPED, GROUPED.replace("xhat.reshape", "xhat.swapaxes(1, 2).reshape"),
        "group_norm_backward",
        incident="tenstorrent/tt-metal pull request 56202 (2026): with 8 channels and 2 groups the kernel for dgamma "
        "read the groups 0, 1, 0, 1, ... instead of 0, 0, 0, 0, 1, ...",
    ),
)  # fmt: skip

BUGS = LAYER + INSTANCE + GROUP
