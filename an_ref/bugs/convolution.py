"""Bugs of convolution and of the fully connected layer: places, directions, groups, sums."""

from __future__ import annotations

from .bug import Bug
from .forms import CONV, CONV_STRIDE_1, LINEAR

LOOP = "for a, b in np.ndindex(kh, kw):\n"
SHARE = 'dpadded[..., rows, cols] += np.einsum("ngohw,goc->ngchw", dyg, wg[..., a, b])'
ENTRY = 'dw[..., a, b] = np.einsum("ngohw,ngchw->goc", dyg, xg[..., rows, cols])'
CROP = "dx = dpadded[..., p : p + H, q : q + W].reshape(N, C, H, W)"
RETURN = "return dx, dw.reshape(shape), dy.sum((0, 2, 3))"
X, WEIGHT, BIAS = ("x",), ("weight",), ("bias",)

CONVOLUTION = (
    Bug(
        "conv-kernel-flipped",
        "The kernel is turned by 180 degrees on the way back, although shares are already laid where they came from.",
        CONV, X, "flipped", SHARE, SHARE.replace("wg[..., a, b]", "wg[..., -1 - a, -1 - b]"),
        incident="BVLC/caffe issue 5812 (2017) and pytorch/pytorch issue 61100 (2021) miss the turn in code that "
        "scatters, and ask whether that is an error. It is not; adding the turn there is.",
    ),
    Bug(
        "conv-dweight-flipped",
        "dweight comes out turned by 180 degrees.",
        CONV, WEIGHT, "flipped", ENTRY, ENTRY.replace("dw[..., a, b]", "dw[..., -1 - a, -1 - b]"),
    ),
    Bug(
        "conv-stride-ignored-in-dx",
        "Shares of dx are laid side by side, as if the stride were 1.",
        CONV, X, "stride", SHARE, SHARE.replace("rows, cols", "a : a + h, b : b + w"),
        incident="Kulbear/deep-learning-coursera pull request 34 (2018): conv_backward of a published notebook lacked "
        "the stride.",
    ),
    Bug(
        "conv-stride-ignored-in-dweight",
        "dweight reads x at neighbouring places, as if the stride were 1.",
        CONV, WEIGHT, "stride", ENTRY, ENTRY.replace("rows, cols]", "a : a + h, b : b + w]"),
    ),
    Bug(
        "conv-padding-kept",
        "dx is cut from the corner of the padded gradient: the padding is not taken off in front.",
        CONV, X, "padding", CROP, "dx = dpadded[..., :H, :W].reshape(N, C, H, W)",
    ),
    Bug(
        "conv-padding-of-other-axis",
        "The padding of the height is taken off the width, and the other way round.",
        CONV, X, "padding", CROP, "dx = dpadded[..., q : q + H, p : p + W].reshape(N, C, H, W)",
        incident="renmengye/np-conv2d pull request 2 (2020): the padding of the width was computed from the height of "
        "dy.",
    ),
    Bug(
        "conv-last-column-skipped",
        "The loop over the kernel ends one column too early.",
        CONV, X + WEIGHT, "missing", LOOP, "for a, b in np.ndindex(kh, kw - 1):\n",
    ),
    Bug(
        "conv-groups-reversed",
        "The groups of dx come out in reversed order.",
        CONV, X, "permuted", CROP, CROP.replace("dpadded[...", "dpadded[:, ::-1, ..."),
    ),
    Bug(
        "conv-weights-of-first-group",
        "dx uses the weights of the first group for all groups.",
        CONV, X, "group", SHARE, SHARE.replace("wg[..., a, b]", "np.broadcast_to(wg[:1], wg.shape)[..., a, b]"),
    ),
    Bug(
        "conv-dweight-group-mixed",
        "dweight multiplies each group of dy with the input of the other group.",
        CONV, WEIGHT, "permuted", ENTRY, ENTRY.replace("xg[...", "xg[:, ::-1, ..."),
        incident="pytorch/pytorch issue 51430 (2021): nn.grad.conv2d_weight was wrong for more than one group, "
        "silently. ml-explore/mlx pull request 2495 (2025) repairs the same on another device.",
    ),
    Bug(
        "conv-channels-interleaved",
        "Groups and channels of dx are in the wrong order when it is put back into shape.",
        CONV, X, "permuted", CROP, CROP.replace("W].", "W].swapaxes(1, 2)."),
    ),
    Bug(
        "conv-last-sample-skipped",
        "A loop over the samples ends one too early: dx of the last one stays zero.",
        CONV, X, "one sample", CROP, CROP + "\n    dx[-1] = 0",
    ),
    Bug(
        "conv-dweight-of-last-sample",
        "dweight is overwritten at each sample instead of added to: the last one is left.",
        CONV, WEIGHT, "one sample", ENTRY, ENTRY.replace("dyg,", "dyg[-1:],").replace("xg[...", "xg[-1:, ..."),
    ),
    Bug(
        "conv-dweight-averaged",
        "dweight is a mean over the samples.",
        CONV, WEIGHT, "mean where a sum belongs", RETURN, RETURN.replace("dw.", "(dw / N)."),
    ),
    Bug(
        "conv-dbias-averaged",
        "dbias is a mean over the positions.",
        CONV, BIAS, "mean where a sum belongs", RETURN, RETURN.replace("dy.sum((0, 2, 3))", "dy.mean((2, 3)).sum(0)"),
    ),
    Bug(
        "conv-dbias-of-one-position",
        "dbias is not summed over the positions: the first one is taken.",
        CONV, BIAS, "axes", RETURN, RETURN.replace("dy.sum((0, 2, 3))", "dy[:, :, 0, 0].sum(0)"),
    ),
)  # fmt: skip

TURNED = "turned = weight[:, :, ::-1, ::-1].swapaxes(0, 1)"
DWEIGHT = "dweight = _correlate(x.swapaxes(0, 1), dy.swapaxes(0, 1)).swapaxes(0, 1)"

STRIDE_1 = (
    Bug(
        "conv-flip-missing",
        "dx correlates dy with the kernel as it is, not turned by 180 degrees.",
        CONV_STRIDE_1, X, "flipped", TURNED, "turned = weight.swapaxes(0, 1)",
        incident="llvm/torch-mlir pull request 4437 (2026): the flip was left out when only one axis of the kernel was "
        "longer than 1.",
    ),
    Bug(
        "conv-flip-of-rows-only",
        "The kernel is turned over in its height alone.",
        CONV_STRIDE_1, X, "flipped", TURNED, "turned = weight[:, :, ::-1].swapaxes(0, 1)",
    ),
    Bug(
        "conv-kernel-transposed",
        "Height and width of the kernel are swapped, not its channels.",
        CONV_STRIDE_1, X, "transposed", TURNED, TURNED + ".swapaxes(2, 3)",
    ),
    Bug(
        "conv-channels-not-swapped",
        "In and out channels of the kernel are not swapped for dx.",
        CONV_STRIDE_1, X, "transposed", TURNED, "turned = weight[:, :, ::-1, ::-1]",
        incident="wuziheng/CNN-Numpy issue 2 (2018): a first version flipped the kernel without swapping the channels; "
        "the author names the gradient check that showed it.",
    ),
    Bug(
        "conv-dweight-transposed",
        "In and out channels of dweight are swapped.",
        CONV_STRIDE_1, WEIGHT, "transposed", DWEIGHT, DWEIGHT.removesuffix(".swapaxes(0, 1)"),
        incident="nntrainer/nntrainer issue 705 (2020): with more than one channel the weight's gradient was "
        "transposed in the wrong order (in the recorder of reference values).",
    ),
)  # fmt: skip

DX = "dx = dy @ weight.T"
FULL = "dweight = x.T @ dy"
DBIAS = "dbias = dy.sum(axis=0)"

FULLY_CONNECTED = (
    Bug(
        "linear-weight-not-transposed",
        "dx multiplies with weight, not with its transpose.",
        LINEAR, X, "transposed", DX, "dx = dy @ weight",
    ),
    Bug(
        "linear-dweight-transposed",
        "dweight is dy^T x, the transpose of what it should be.",
        LINEAR, WEIGHT, "transposed", FULL, "dweight = dy.T @ x",
    ),
    Bug(
        "linear-dweight-averaged",
        "dweight is a mean over the samples.",
        LINEAR, WEIGHT, "mean where a sum belongs", FULL, "dweight = x.T @ dy / len(x)",
    ),
    Bug(
        "linear-dbias-averaged",
        "dbias is a mean over the samples.",
        LINEAR, BIAS, "mean where a sum belongs", DBIAS, "dbias = dy.mean(axis=0)",
        incident="kvfrans/notes issue 5 (2025): a page on backpropagation took the mean for the bias; with the sum it "
        "agrees with automatic differentiation.",
    ),
    Bug(
        "linear-dbias-of-last-sample",
        "dbias is overwritten at each sample instead of added to: the last one is left.",
        LINEAR, BIAS, "one sample", DBIAS, "dbias = dy[-1].copy()",
    ),
    Bug(
        "linear-dweight-last-sample-skipped",
        "A loop over the samples ends one too early: the last one does not count in dweight.",
        LINEAR, WEIGHT, "one sample", FULL, "dweight = x[:-1].T @ dy[:-1]",
    ),
    Bug(
        "linear-dx-sign",
        "dx has the wrong sign.",
        LINEAR, X, "sign", DX, "dx = -dy @ weight.T",
    ),
    Bug(
        "linear-dweight-has-weight-decay",
        "The regularization's gradient, weight / 1000, is added in the backward of the layer.",
        LINEAR, WEIGHT, "weight", FULL, "dweight = x.T @ dy + 1e-3 * weight",
    ),
    Bug(
        "linear-dweight-in-float16",
        "The sum of dweight is rounded to float16.",
        LINEAR, WEIGHT, "float16", FULL, "dweight = (x.T @ dy).astype(np.float16).astype(np.float64)",
        incident="linkedin/Liger-Kernel pull request 950 (2025): a weight's gradient was summed in bfloat16 before it "
        "was added to a float32 total (there in RMSNorm).",
    ),
)  # fmt: skip

BUGS = CONVOLUTION + STRIDE_1 + FULLY_CONNECTED
