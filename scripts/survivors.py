"""How many bugs of the gallery survive the gradient checks that others use? Prints a table in Markdown.

A bug survives a rule that does not fail on it. Run from the root of the repository (PyTorch is optional):

    python scripts/survivors.py > survivors.md
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import numpy as np

import an_ref
from an_ref.bugs import BUGS, Bug, Case

try:
    import torch
except ImportError:
    torch = None

STEP = 1e-6
FAMILIES = {
    "BN": ("batch_norm", "batch_norm_eval"),
    "LN": ("layer_norm",),
    "IN": ("instance_norm",),
    "GN": ("group_norm",),
    "SN": ("switchable_norm",),
    "SE": ("squeeze_excite",),
    "AN": ("attentive_norm",),
    "conv": ("conv2d",),
    "linear": ("linear",),
    "loss": ("softmax_cross_entropy",),
}
Arrays = list[np.ndarray]
Rule = Callable[[Case], bool]


def forward(case: Case, arrays: Arrays) -> np.ndarray:
    """Return y for other values of the differentiable arrays; those behind them stay as they are."""
    return np.asarray(case.op(*arrays, *case.arrays[len(arrays) :], **case.hyper)[0])


def gradients(case: Case, dy: np.ndarray) -> tuple[Arrays, Arrays]:
    """Return the differentiable arrays and what op_backward says of them."""
    _, cache = case.op(*case.arrays, **case.hyper)
    returned = case.op_backward(dy, cache)
    grads = list(returned) if isinstance(returned, tuple) else [returned]
    return list(case.arrays[: len(grads)]), grads


def difference(case: Case, arrays: Arrays, moves: Arrays, dy: np.ndarray) -> float:
    """Return the central difference of sum(dy * y) when the arrays go along `moves`."""
    up, down = (forward(case, [a + s * STEP * m for a, m in zip(arrays, moves, strict=True)]) for s in (1, -1))
    return float((dy * (up - down)).sum() / (2 * STEP))


def entry(case: Case, arrays: Arrays, which: int, where: tuple[int, ...], dy: np.ndarray) -> float:
    """Return the central difference for one entry of one array."""
    moves = [np.zeros_like(a) for a in arrays]
    moves[which][where] = 1
    return difference(case, arrays, moves, dy)


def every_entry(case: Case, dy: np.ndarray, rtol: float, atol: float) -> bool:
    """Compare all entries of all gradients: |difference - gradient| <= atol + rtol |difference|."""
    arrays, grads = gradients(case, dy)
    for which, grad in enumerate(grads):
        numeric = np.array([entry(case, arrays, which, where, dy) for where in np.ndindex(grad.shape)])
        if not np.allclose(grad.ravel(), numeric, rtol=rtol, atol=atol):
            return False
    return True


def ones(case: Case) -> bool:
    """The loss is sum(y)."""
    return every_entry(case, np.ones(forward(case, []).shape), 1e-5, 1e-5)


def squares(case: Case, rtol: float, atol: float) -> bool:
    """The loss is sum(y^2), taken to first order: the difference is that of sum(dy * y) with dy = 2 y."""
    return every_entry(case, 2 * forward(case, []), rtol, atol)


def one_direction(case: Case) -> bool:
    """One random direction of length 1 in all arguments together, random dy, 1e-3 absolute and relative."""
    rng = np.random.default_rng(1)
    dy = rng.standard_normal(forward(case, []).shape)
    arrays, grads = gradients(case, dy)
    moves = [rng.standard_normal(a.shape) for a in arrays]
    length = np.sqrt(sum((m**2).sum() for m in moves))
    moves = [m / length for m in moves]
    numeric = difference(case, arrays, moves, dy)
    analytic = sum((g * m).sum() for g, m in zip(grads, moves, strict=True))
    return bool(np.isclose(analytic, numeric, rtol=1e-3, atol=1e-3))


def one_index(case: Case) -> bool:
    """One random entry of each argument, the loss is sum(y), 1e-2 absolute and relative."""
    rng = np.random.default_rng(1)
    dy = np.ones(forward(case, []).shape)
    arrays, grads = gradients(case, dy)
    for which, grad in enumerate(grads):
        where = tuple(int(rng.integers(length)) for length in grad.shape)
        if not np.isclose(grad[where], entry(case, arrays, which, where, dy), rtol=1e-2, atol=1e-2):
            return False
    return True


def gradcheck(case: Case, *, fast: bool) -> bool:
    """torch.autograd.gradcheck with its own tolerances on the pair, wrapped in an autograd.Function."""
    count = len(gradients(case, np.ones(forward(case, []).shape))[1])
    rest = case.arrays[count:]

    class Pair(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *tensors: Any) -> Any:
            y, ctx.cache = case.op(*(t.detach().numpy() for t in tensors), *rest, **case.hyper)
            return torch.from_numpy(np.array(y))

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            returned = case.op_backward(dy.numpy(), ctx.cache)
            returned = returned if isinstance(returned, tuple) else (returned,)
            return tuple(torch.from_numpy(np.array(g, order="C")) for g in returned)

    tensors = tuple(torch.from_numpy(a.copy()).requires_grad_() for a in case.arrays[:count])
    return bool(torch.autograd.gradcheck(Pair.apply, tensors, raise_exception=False, fast_mode=fast))


def ours(case: Case) -> bool:
    """check_gradients as it comes."""
    return an_ref.check_gradients(case.op, case.op_backward, case.arrays, hyper=case.hyper).ok


RULES: dict[str, Rule | None] = {
    "ones: loss sum(y), every entry, central differences, rtol 1e-5, atol 1e-5": ones,
    "squares: loss sum(y²), so dy = 2y, every entry, central differences, rtol 1e-3, atol 1e-4": (
        lambda case: squares(case, 1e-3, 1e-4)
    ),
    "squares, tight: the same with rtol 1e-5, atol 1e-5": lambda case: squares(case, 1e-5, 1e-5),
    "one direction: random dy, one random direction, central difference, rtol 1e-3, atol 1e-3": one_direction,
    "one index: loss sum(y), one random entry of each argument, rtol 1e-2, atol 1e-2": one_index,
    "`torch.autograd.gradcheck`, fast mode: eps 1e-6, rtol 1e-3, atol 1e-5": (
        (lambda case: gradcheck(case, fast=True)) if torch else None
    ),
    "`torch.autograd.gradcheck`, slow mode: eps 1e-6, rtol 1e-3, atol 1e-5": (
        (lambda case: gradcheck(case, fast=False)) if torch else None
    ),
    "`an_ref.check_gradients`: random dy, every entry, complex step, 1e-10": ours,
}


def row(title: str, survivors: list[Bug], rejected: int, forms: int) -> str:
    """Return one line of the table: the survivors of each family and of all, and the right code that was rejected."""
    counts = [sum(bug.op in ops for bug in survivors) for ops in FAMILIES.values()]
    return f"| {title} | {' | '.join(map(str, counts))} | **{len(survivors)}** | {rejected} of {forms} |"


def main() -> None:
    """Apply each rule to each bug and to each right form, and print the table and the names."""
    bugs = [bug for bug in BUGS if bug.kind == "gradient"]
    forms = list(dict.fromkeys(bug.form for bug in bugs))
    totals = [sum(bug.op in ops for bug in bugs) for ops in FAMILIES.values()]
    heads = [f"{family} ({total})" for family, total in zip(FAMILIES, totals, strict=True)]
    print(f"| rule | {' | '.join(heads)} | all ({len(bugs)}) | right code rejected |")
    print("| --- |" + " ---: |" * (len(heads) + 2))
    named = []
    for title, rule in RULES.items():
        if rule is None:
            print(f"| {title} |" + " |" * len(heads) + " PyTorch is not installed | |")
            continue
        survivors = [bug for bug in bugs if rule(bug.apply())]
        rejected = sum(not rule(form.case()) for form in forms)
        print(row(title, survivors, rejected, len(forms)), flush=True)
        named.append((title.split(":")[0], survivors))
    for name, survivors in named:
        print(f"\n**{name}**: {', '.join(bug.name for bug in survivors) or 'none'}.")
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    print(f"\n{versions}{f', PyTorch {torch.__version__}' if torch else ''}, an_ref {an_ref.__version__}.")


if __name__ == "__main__":
    main()
