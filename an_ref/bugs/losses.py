"""Bugs of softmax cross-entropy: the mean, the smoothing, the labels, the upstream gradient."""

from __future__ import annotations

from .bug import Bug
from .forms import LOSS

Q = "q = (1 - s) * np.eye(K)[labels] + s / K"
RETURN = "return dy * (p - q) / N"
LOGITS = ("logits",)

BUGS = (
    Bug(
        "loss-mean-forgotten",
        "The gradient is that of the sum over the samples, the loss is their mean.",
        LOSS, LOGITS, "sum where a mean belongs", RETURN, "return dy * (p - q)",
        incident="tensorflow/swift-apis pull request 42 (2019): the loss had come to end in mean(), its gradient had "
        "not. victorlempitsky/Mate issue 2 (2015) is of the same kind.",
    ),
    Bug(
        "loss-mean-twice",
        "The gradient is divided by the number of samples twice.",
        LOSS, LOGITS, "mean where a sum belongs", RETURN, "return dy * (p - q) / N**2",
        incident="paiml/aprender pull request 2182 (2026): the backward divided by the batch size whatever the "
        "reduction was, so the gradient of a summed loss was too small.",
    ),
    Bug(
        "loss-mean-over-classes",
        "The gradient is divided by the number of logits, N * K.",
        LOSS, LOGITS, "mean where a sum belongs", RETURN, "return dy * (p - q) / p.size",
        incident="victorlempitsky/Mate issue 2 (2015): a derivative was divided by the number of entries, not of "
        "samples.",
    ),
    Bug(
        "loss-doubled",
        "The gradient has a factor 2 too much.",
        LOSS, LOGITS, "doubled", RETURN, "return 2 * dy * (p - q) / N",
        incident="markroxor/fromscratchtoml issue 65 (2018): a gradient check showed the softmax off by a factor of "
        "two.",
    ),
    Bug(
        "loss-sign",
        "The gradient is q - p.",
        LOSS, LOGITS, "sign", RETURN, "return dy * (q - p) / N",
    ),
    Bug(
        "loss-onehot-missing",
        "The labels are not subtracted: the gradient is p.",
        LOSS, LOGITS, "missing", RETURN, "return dy * p / N",
    ),
    Bug(
        "loss-probabilities-missing",
        "The normalizer of the softmax gets no gradient: it is -q.",
        LOSS, LOGITS, "missing", RETURN, "return -dy * q / N",
    ),
    Bug(
        "loss-softmax-diagonal",
        "The gradient goes through the softmax's diagonal alone: it is -q (1 - p).",
        LOSS, LOGITS, "softmax", RETURN, "return -dy * q * (1 - p) / N",
    ),
    Bug(
        "loss-softmax-twice",
        "The gradient p - q is multiplied by the softmax's derivative once more.",
        LOSS, LOGITS, "softmax", RETURN, "return dy * (p - q) * p * (1 - p) / N",
    ),
    Bug(
        "loss-smoothing-forgotten",
        "The backward takes the hard labels, the forward the smoothed ones.",
        LOSS, LOGITS, "smoothing", Q, "q = np.eye(K)[labels]",
    ),
    Bug(
        "loss-smoothing-not-spread",
        "Each class gets s, not s / K.",
        LOSS, LOGITS, "smoothing", Q, Q.replace("s / K", "s"),
        incident="TimDettmers/ConvE issue 55 (2019): what was added to each class was 1 / K without the smoothing "
        "(there in the targets themselves).",
    ),
    Bug(
        "loss-smoothing-among-others",
        "The s is spread over the K - 1 other classes, in the forward over all K.",
        LOSS, LOGITS, "smoothing", Q, "q = (1 - s) * np.eye(K)[labels] + s / (K - 1) * (1 - np.eye(K)[labels])",
        incident="fastai/fastai pull request 1814 (2019): the weight of the label was 1 - s K / (K - 1) (there in the "
        "loss itself).",
    ),
    Bug(
        "loss-upstream-ignored",
        "dy is ignored: the gradient is right only for dy = 1.",
        LOSS, LOGITS, "dy", RETURN, "return (p - q) / N",
    ),
    Bug(
        "loss-labels-shifted",
        "The labels are taken to start at 1.",
        LOSS, LOGITS, "permuted", Q, Q.replace("[labels]", "[labels - 1]"),
    ),
    Bug(
        "loss-last-sample-skipped",
        "A loop over the samples ends one too early: the last one gets no gradient.",
        LOSS, LOGITS, "one sample", RETURN, "return dy * (p - q) / N * (np.arange(N) < N - 1)[:, None]",
    ),
    Bug(
        "loss-float16",
        "The gradient passes through float16 on its way out.",
        LOSS, LOGITS, "float16", RETURN, "return (dy * (p - q) / N).astype(np.float16).astype(np.float64)",
    ),
)  # fmt: skip
