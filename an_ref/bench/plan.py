"""What the bench measures: the cases of each section, how many rounds, and how long a turn is."""

from __future__ import annotations

from dataclasses import dataclass, replace

NORMS = ("bn", "gn", "sn", "se", "an")
SECTIONS = ("norms", "convolutions", "steps", "cost", "accuracy")


@dataclass(frozen=True)
class Case:
    """One thing to be done by every contestant.

    kind      "norm", "conv", "step" (of resnet20) or "depth" (a step of small_cnn)
    name      the norm, or that of the convolution
    shape     of x; its mean is offset, its deviation 1
    mixtures  K of AN
    blocks    of each of the three stages of small_cnn

    out, kernel and stride are those of a convolution.
    """

    kind: str
    name: str
    shape: tuple[int, ...]
    offset: float = 0.0
    mixtures: int = 10
    out: int = 0
    kernel: int = 3
    stride: int = 1
    blocks: int = 1

    @property
    def title(self) -> str:
        """The name and the shape, as tables show them."""
        return f"{self.name}, {'x'.join(map(str, self.shape))}"


@dataclass(frozen=True)
class Plan:
    """All cases of a run. budget: the seconds that a turn goes on for, after its warm-up and at least one timed run."""

    rounds: int
    budget: float
    norms: tuple[Case, ...]
    convolutions: tuple[Case, ...]
    steps: tuple[Case, ...]
    cost: dict[str, tuple[Case, ...]]  # what varies -> the cases, of bn and of an
    big: tuple[int, ...]  # the shape at which AN is held against BN
    accuracy: tuple[Case, ...]


def norm_cases(*shapes: tuple[int, ...]) -> tuple[Case, ...]:
    """Every norm at every shape."""
    return tuple(Case("norm", norm, shape) for shape in shapes for norm in NORMS)


def conv_cases(batch: int) -> tuple[Case, ...]:
    """The convolutions of resnet20: 3x3 at each width, the first of a stage with stride 2, a 1x1."""
    sizes = ((16, 16, 32, 3, 1), (32, 32, 16, 3, 1), (64, 64, 8, 3, 1), (16, 32, 32, 1, 1), (16, 32, 32, 3, 2))
    return tuple(
        Case("conv", f"{k}x{k} {c} to {out}, stride {stride}", (batch, c, hw, hw), out=out, kernel=k, stride=stride)
        for c, out, hw, k, stride in sizes
    )


def step_cases(batch: int, *norms: str) -> tuple[Case, ...]:
    """The training step of resnet20 with each norm, on images of 32x32."""
    return tuple(Case("step", norm, (batch, 3, 32, 32)) for norm in norms)


def cost_cases(base: tuple[int, int, int], factors: tuple[int, ...], batch: int) -> dict[str, tuple[Case, ...]]:
    """bn and an while one of N, C, H*W, K (an alone) or the depth of a net grows and the rest stays."""
    n, c, hw = base
    bn, an = (Case("norm", norm, (n, c, hw, hw)) for norm in ("bn", "an"))
    both = (bn, an)
    nets = [Case("depth", norm, (batch, 3, 32, 32)) for norm in ("bn", "an")]
    return {
        "N": tuple(replace(case, shape=(n * f, c, hw, hw)) for case in both for f in factors),
        "C": tuple(replace(case, shape=(n, c * f, hw, hw)) for case in both for f in factors),
        "H*W": tuple(replace(case, shape=(n, c, hw, hw * f)) for case in both for f in factors),
        "K": tuple(replace(an, mixtures=5 * f) for f in factors),
        "depth": tuple(replace(case, blocks=f) for case in nets for f in factors),
    }


def accuracy_cases(shape: tuple[int, ...]) -> tuple[Case, ...]:
    """Every norm on inputs whose mean is 0, 10, 1e3 and 1e4 times their deviation."""
    return tuple(Case("norm", norm, shape, offset=offset) for norm in NORMS for offset in (0.0, 10.0, 1e3, 1e4))


BIG = (128, 64, 32, 32)

FULL = Plan(
    rounds=9,
    budget=0.3,
    norms=norm_cases(BIG, (128, 16, 32, 32), (128, 64, 8, 8)),
    convolutions=conv_cases(128),
    steps=step_cases(128, *NORMS),
    cost=cost_cases((16, 32, 32), (1, 2, 4, 8), 32),
    big=BIG,
    accuracy=accuracy_cases((32, 64, 16, 16)),
)

QUICK = Plan(
    rounds=3,
    budget=0.1,
    norms=norm_cases((128, 64, 32, 32), (128, 64, 8, 8)),
    convolutions=conv_cases(128)[:3],
    steps=step_cases(128, "bn", "an"),
    cost=cost_cases((16, 32, 32), (1, 4), 16),
    big=BIG,
    accuracy=accuracy_cases((16, 32, 16, 16)),
)

GPU_FULL = replace(
    FULL,
    norms=norm_cases((32, 64, 32, 32), (128, 64, 32, 32), (128, 128, 28, 28), (256, 256, 56, 56)),
    steps=tuple(case for batch in (128, 256, 512, 1024) for case in step_cases(batch, "bn", "an")),
)

GPU_QUICK = replace(
    QUICK,
    norms=norm_cases((32, 64, 32, 32), (256, 256, 56, 56)),
    steps=tuple(case for batch in (128, 512) for case in step_cases(batch, "bn", "an")),
)

TINY = Plan(  # for the tests: every section, in seconds
    rounds=2,
    budget=0.0,
    norms=norm_cases((4, 16, 4, 4)),
    convolutions=conv_cases(2)[2:3],
    steps=step_cases(4, "bn"),
    cost=cost_cases((2, 16, 4), (1, 2), 2),
    big=(4, 16, 4, 4),
    accuracy=accuracy_cases((4, 16, 4, 4))[:2],
)

PLANS = {
    "cpu": {"full": FULL, "quick": QUICK, "tiny": TINY},
    "gpu": {"full": GPU_FULL, "quick": GPU_QUICK, "tiny": TINY},
}
