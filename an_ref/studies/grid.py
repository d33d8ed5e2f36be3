"""The grids of the studies: which nets each of them trains. Nothing is done here; `study.py` does it.

Each case is trained once from every seed. What a case does not name is the default of `Case`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

LR_PER_IMAGE = 0.1 / 64  # the learning rate is in proportion to the batch; 0.1 for 64 is that of `an-ref compare`


@dataclass(frozen=True)
class Case:
    """One net to train, and how.

    norm, placement, mixtures           as the builders of `nn` take them; placement None is the paper's
    descriptor, transform, activation   of AN's attention
    batch_size                          images in a batch; the learning rate is LR_PER_IMAGE times as many
    blocks                              residual blocks in each of the three stages of small_cnn
    zero_start                          whether each residual branch starts at zero, as the builders have it
    weight_scale                        what all convolution weights are multiplied by before the training
    """

    norm: str
    batch_size: int = 64
    placement: str | None = None
    mixtures: int = 10
    descriptor: str = "mean_over_std"
    transform: str = "linear_norm"
    activation: str = "hsigmoid"
    blocks: int = 1
    zero_start: bool = True
    weight_scale: float = 1.0


class Study(NamedTuple):
    """A question, the cases that are to answer it, and what each case is compared with.

    references   the fields that make a case its reference: {"norm": "bn"} is bn with all else as the case has it
    seeds        how many, and epochs how long, when nothing else is asked for: two cores are done with it overnight
    """

    question: str
    cases: tuple[Case, ...]
    references: tuple[dict[str, Any], ...]
    seeds: int = 10
    epochs: int = 30


BN, AN = Case("bn"), Case("an")

STUDIES = {
    "batch-size": Study(
        "Which norms keep their accuracy when the batch is small?",
        tuple(
            Case(norm, batch_size=size)
            for size in (2, 4, 8, 16, 32, 64, 128)
            for norm in ("bn", "gn", "sn", "an", "an-gn")
        ),
        references=({"norm": "bn"},),
    ),
    "ablation": Study(
        "Which parts of AN matter?",
        (
            BN,
            AN,
            *(Case("an", mixtures=K) for K in (1, 2, 5, 20)),
            *(Case("an", descriptor=name) for name in ("mean", "mean_max")),
            *(Case("an", transform=name) for name in ("linear", "mlp")),
            *(Case("an", activation=name) for name in ("sigmoid", "softmax")),
        ),
        references=(asdict(BN), asdict(AN)),
    ),
    "placement": Study(
        "After which convolution of a basic block does AN belong?",
        (BN, *(Case("an", placement=place) for place in ("first", "second", "all"))),
        references=(asdict(BN),),
    ),
    "depth": Study(
        "What does a norm save as the net gets deeper and its first weights are off?",
        tuple(
            Case(norm, blocks=blocks, weight_scale=scale, zero_start=zero_start)
            for blocks in (1, 2, 4)
            for scale in (0.25, 1.0, 4.0)
            for norm, zero_start in (("none", True), ("none", False), ("bn", False), ("an", False))
        ),
        references=({"norm": "bn", "zero_start": False},),
    ),
}
