"""Bugs of running statistics: what a layer stores in training, and what it uses in evaluation."""

from __future__ import annotations

from functools import partial

from .bug import Bug
from .forms import LAYER

NEW = 'new = {"running_mean": mean, "running_var": var * (count / max(count - 1, 1))}'
MIXED = "mixed = self.decay * old + (1 - self.decay) * value"
BATCH = "mean, var = batch"
TRACK = "if train:\n            self._track(x)"
MEAN, VAR, BOTH = ("running_mean",), ("running_var",), ("running_mean", "running_var")
running = partial(Bug, kind="running")

BUGS = (
    running(
        "running-var-biased",
        "running_var stores the biased variance, by which the batch was normalized.",
        LAYER, VAR, "factor n/(n-1)", NEW, 'new = {"running_mean": mean, "running_var": var}',
        incident="tinygrad/tinygrad pull request 807 (2023), callummcdougall/ARENA_3.0 issue 415 (2026) and "
        "tenstorrent/tt-metal issue 55438 (2026): evaluation differs from PyTorch, which stores the unbiased "
        "variance.",
    ),
    running(
        "running-count-of-samples",
        "The n of n / (n - 1) is the number of samples, not of all values of a channel.",
        LAYER, VAR, "factor n/(n-1)", "self._mix(\"\", self.cache.statistics.batch, x.size // x.shape[1])",
        'self._mix("", self.cache.statistics.batch, len(x))', "TrackingLayer._track",
    ),
    running(
        "running-decay-swapped",
        "decay is taken for the share of the new value.",
        LAYER, BOTH, "decay", MIXED, "mixed = (1 - self.decay) * old + self.decay * value",
        incident="Oneflow-Inc/oneflow pull request 6055 (2021): the momentum was handed to cuDNN as 1 - momentum. "
        "eriklindernoren/PyTorch-YOLOv3 issue 230 (2019): 0.9 was meant as the share of the old value.",
    ),
    running(
        "running-never-updated",
        "The running statistics stay what they were at the start.",
        LAYER, BOTH, "missing", TRACK, "pass", "TrackingLayer.forward",
        incident="paiml/aprender pull request 2166 (2026): BatchNorm1d never wrote them, so evaluation normalized by "
        "mean 0 and variance 1.",
    ),
    running(
        "running-updated-in-eval",
        "The running statistics are updated in evaluation too.",
        LAYER, BOTH, "eval", TRACK,
        "self.cache = self.ops[0](x, *self._arrays(), **self.hyper)[1]\n        self._track(x)",
        "TrackingLayer.forward",
    ),
    running(
        "running-updated-twice",
        "A second forward for the same step, as in recomputation, updates them once more.",
        LAYER, BOTH, "doubled", TRACK, "if train:\n            self._track(x)\n            self._track(x)",
        "TrackingLayer.forward",
        incident="RobinBruegger/RevTorch issue 13 (2022): a reversible block runs its forward again in the backward, "
        "and its BN layers count the batch twice.",
    ),
    running(
        "running-var-has-eps",
        "eps is added to the variance that is stored, and again in evaluation.",
        LAYER, VAR, "eps", BATCH, 'mean, var = batch[0], batch[1] + self.hyper["eps"]',
        incident="chainer/chainer pull request 4505 (2018): eps was added twice in test mode. nntrainer/nntrainer pull "
        "request 677 (2020) repairs the same.",
    ),
    running(
        "running-var-is-rstd",
        "The inverse of the standard deviation is averaged and stored, not the variance.",
        LAYER, VAR, "rstd", NEW,
        'new = {"running_mean": mean, "running_var": 1 / np.sqrt(var + self.hyper["eps"])}',
        incident="torch/nn issue 567 (2016): running_std held the inverse of the deviation; the answer says that it "
        "should become the variance.",
    ),
    running(
        "running-var-is-deviation",
        "The standard deviation is averaged and stored, not the variance.",
        LAYER, VAR, "standard deviation", NEW,
        'new = {"running_mean": mean, "running_var": np.sqrt(var * (count / (count - 1)))}',
    ),
    running(
        "running-replaced",
        "The running value is replaced by the batch's: the old one is forgotten.",
        LAYER, BOTH, "decay", MIXED, "mixed = value",
    ),
    running(
        "running-grows",
        "The old value is kept whole and a share of the new one added.",
        LAYER, BOTH, "decay", MIXED, "mixed = old + (1 - self.decay) * value",
    ),
    running(
        "running-mean-var-swapped",
        "The mean is stored in the place of the variance, and the variance in that of the mean.",
        LAYER, BOTH, "permuted", NEW,
        'new = {"running_mean": var * (count / (count - 1)), "running_var": mean}',
    ),
    running(
        "running-not-used-in-eval",
        "Evaluation normalizes with the batch's own statistics.",
        LAYER, ("y",), "eval", "y = super().forward(x, train)", "y = super().forward(x, True)",
        "TrackingLayer.forward",
    ),
)  # fmt: skip
