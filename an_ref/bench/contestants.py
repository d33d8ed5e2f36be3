"""Who takes part in which section of the bench."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from .plan import SECTIONS, Case

NO_TORCH = "PyTorch is not installed, so an_ref is held against the textbook alone: pip install torch"


@dataclass(frozen=True)
class Contestant:
    """A name, the function "module:name" that makes its task of a case, with options, and whether memory is kept."""

    name: str
    make: str
    options: dict[str, Any] = field(default_factory=dict)
    keeps_memory: bool = True


OURS = "an_ref.bench.numpy_tasks"
THEIRS = "an_ref.bench.torch_tasks"

TUNED, COMPILED = "PyTorch, tuned", "torch.compile"
LAST, DEFAULT = "PyTorch, channels-last", "PyTorch, default layout"
CUPY, EAGER, FLOOR = "plain CuPy", "PyTorch", "memory floor"

NORM = (
    Contestant("an_ref", f"{OURS}:Norm"),
    Contestant("an_ref, memory not kept", f"{OURS}:Norm", keeps_memory=False),
    Contestant("textbook", f"{OURS}:Norm", {"library": "an_ref.textbook"}),
    Contestant(TUNED, f"{THEIRS}:Norm"),
    Contestant("PyTorch, as it comes", f"{THEIRS}:Norm", keeps_memory=False),
    Contestant(COMPILED, f"{THEIRS}:Norm", {"compiled": True}),
    Contestant(FLOOR, f"{OURS}:Floor"),
)

CONV = (
    Contestant("an_ref", f"{OURS}:Convolution", {"channels_last": True}),
    Contestant("an_ref, default layout", f"{OURS}:Convolution"),
    Contestant(LAST, f"{THEIRS}:Convolution", {"channels_last": True}),
    Contestant(DEFAULT, f"{THEIRS}:Convolution"),
)

STEP = (
    Contestant("an_ref", f"{OURS}:Step"),
    Contestant("an_ref, memory not kept", f"{OURS}:Step", keeps_memory=False),
    Contestant(LAST, f"{THEIRS}:Step", {"channels_last": True}),
    Contestant(DEFAULT, f"{THEIRS}:Step"),
    Contestant("PyTorch, default layout, as it comes", f"{THEIRS}:Step", keeps_memory=False),
)

ACCURACY = (
    Contestant("an_ref", f"{OURS}:Norm"),
    Contestant("textbook", f"{OURS}:Norm", {"library": "an_ref.textbook"}),
    Contestant("PyTorch", f"{THEIRS}:Norm"),
    Contestant("one-pass variance", f"{OURS}:OnePassNorm"),
)

COST = Contestant("an_ref", f"{OURS}:Norm"), Contestant("an_ref", f"{OURS}:Step")


def on_gpu(name: str, make: str, **options: Any) -> Contestant:
    """Return a contestant on the GPU, where the allocator of the CPU does not matter."""
    return Contestant(name, make, options | {"device": "gpu"}, keeps_memory=False)


GPU_NORM = (
    on_gpu("an_ref", f"{OURS}:Norm"),
    on_gpu(CUPY, f"{OURS}:Norm", library="an_ref.textbook"),
    on_gpu(EAGER, f"{THEIRS}:Norm"),
    on_gpu(COMPILED, f"{THEIRS}:Norm", compiled=True),
    on_gpu(FLOOR, f"{OURS}:Floor"),
)

GPU_STEP = (
    on_gpu("an_ref", f"{OURS}:Step"),
    on_gpu(LAST, f"{THEIRS}:Step", channels_last=True),
    on_gpu(DEFAULT, f"{THEIRS}:Step"),
    on_gpu(COMPILED, f"{THEIRS}:Step", compiled=True),
)

TIMED: dict[str, dict[str, tuple[Contestant, ...]]] = {
    "cpu": {"norms": NORM, "convolutions": CONV, "steps": STEP},
    "gpu": {"norms": GPU_NORM, "steps": GPU_STEP},
}

# In each section, what the others' times are divided by, where it takes part; else the first contestant.
REFERENCES: dict[str, dict[str, tuple[str, ...]]] = {
    "cpu": {"norms": (TUNED, COMPILED), "convolutions": (LAST, DEFAULT), "steps": (LAST, DEFAULT)},
    "gpu": {"norms": (EAGER, COMPILED, FLOOR), "steps": (LAST, DEFAULT, COMPILED)},
}


def sections(device: str) -> tuple[str, ...]:
    """Return what can be measured on a device: everything on the CPU, the norms and the steps on a GPU."""
    return SECTIONS if device == "cpu" else tuple(TIMED[device])


def has_torch() -> bool:
    """Say whether PyTorch can be imported, without importing it."""
    return find_spec("torch") is not None


def present(contestants: tuple[Contestant, ...]) -> list[Contestant]:
    """Return those that can take part here."""
    return [one for one in contestants if has_torch() or not one.make.startswith(THEIRS)]


def cost_contestant(case: Case) -> Contestant:
    """Return who measures how the cost of `case` grows: an_ref alone."""
    return COST[case.kind == "depth"]
