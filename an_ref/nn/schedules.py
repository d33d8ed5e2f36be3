"""The learning rate over a training run."""

from __future__ import annotations

import math

from ..validation import check_integer
from .optimizers import check_learning_rate


def cosine_schedule(step: int, *, steps: int, lr: float, warmup: int = 0) -> float:
    """Return the learning rate at `step`: a linear warm-up, then half a cosine from lr to almost 0.

        step < warmup:  lr * (step + 1) / warmup
        else:           lr / 2 * (1 + cos(pi * (step - warmup) / (steps - warmup)))

    step counts from 0 to steps - 1; the result is in (0, lr]. Raises TypeError for a step, steps or warmup
    that is not an integer; ValueError for a step outside [0, steps), a warmup outside [0, steps) and an lr
    that is not positive.

    Source: Loshchilov & Hutter 2017, arXiv 1608.03983, equation 5, without restarts; warm-up: Goyal et al.
    2017, arXiv 1706.02677, section 2.2.
    """
    check_learning_rate("cosine_schedule", lr)
    steps = check_integer("cosine_schedule", "steps", steps)
    step = check_integer("cosine_schedule", "step", step, minimum=0)
    warmup = check_integer("cosine_schedule", "warmup", warmup, minimum=0)
    for name, value in (("step", step), ("warmup", warmup)):
        if value >= steps:
            raise ValueError(
                f"cosine_schedule: {name} must be below steps = {steps}, got {value}; choose from 0 to {steps - 1}"
            )
    if step < warmup:
        return float(lr * ((step + 1) / warmup))
    return float(lr / 2 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))))
