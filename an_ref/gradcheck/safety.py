"""Does a forward pass complex numbers through? If not, which call is to blame?"""

from __future__ import annotations

import ast
import inspect
import textwrap
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..validation import Array
from . import derivatives

# Calls that drop or misuse the imaginary part, and what to write in their place.
UNSAFE = {
    "abs": "np.where(x.real < 0, -x, x)",
    "absolute": "np.where(x.real < 0, -x, x)",
    "fabs": "np.where(x.real < 0, -x, x)",
    "var": "((x - x.mean()) ** 2).mean()",
    "std": "np.sqrt(((x - x.mean()) ** 2).mean())",
    "nanvar": "((x - x.mean()) ** 2).mean()",
    "nanstd": "np.sqrt(((x - x.mean()) ** 2).mean())",
    "norm": "np.sqrt((x * x).sum())",
    "vdot": "(x * y).sum()",
    "vecdot": "(x * y).sum(-1)",
    "conj": "nothing: the complex step has no conjugates",
    "conjugate": "nothing: the complex step has no conjugates",
    "real": "x itself, with .real only in comparisons",
    "float": "x itself",
    "float32": "the dtype of x",
    "float64": "the dtype of x",
    "astype": "the dtype of x",
    "asarray": "asarray without a dtype",
    "array": "array without a dtype",
    "zeros": "a buffer with the dtype of x",
    "empty": "a buffer with the dtype of x",
    "ones": "a buffer with the dtype of x",
    "full": "a buffer with the dtype of x",
}


def complex_fault(
    op: Any, arrays: Sequence[Array], indices: Sequence[int], hyper: dict[str, Any], name: str = "forward"
) -> str | None:
    """Return None if op may be complex-stepped in each argument of `indices`, else what goes wrong in the `name`.

    Along one random direction for each argument, the complex step is held against central differences.
    """
    generator = np.random.default_rng(20)
    # Beside the given point, where no two entries are tied and none is at a kink.
    arrays = [a * (1 + 0.1 * generator.random(a.shape)) if a.dtype.kind == "f" else a for a in arrays]
    for index in indices:
        direction = generator.standard_normal(arrays[index].shape)
        fault = _fault_along(op, arrays, index, direction, hyper)
        if fault:
            return f"the {name} is not complex-safe: {fault}{_culprit(inspect.unwrap(op))}"
    return None


def _fault_along(op: Any, arrays: Sequence[Array], index: int, direction: Array, hyper: dict[str, Any]) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        try:
            exact = derivatives.directional("complex", op, arrays, index, direction, hyper)
        except Exception as error:
            return f"it raises {type(error).__name__} on complex input ({str(error).splitlines()[0][:100]})"
    # A kink nearer than the step spoils one difference; a forward that is not complex-safe fits none.
    if all(_differs(exact, op, arrays, index, direction, hyper, step) for step in (6e-6, 1e-8)):
        return "its derivative by complex step differs from that by differences"
    return ""


def _differs(
    exact: Array, op: Any, arrays: Sequence[Array], index: int, direction: Array, hyper: dict[str, Any], step: float
) -> bool:
    rough = derivatives.directional("central", op, arrays, index, direction, hyper, step)
    rougher = derivatives.directional("central", op, arrays, index, direction, hyper, 2 * step)
    scale = np.abs(rough).max() + np.abs(exact).max()
    if not np.isfinite(scale):
        return False
    # Where two steps disagree there is a kink or noise, and the difference proves nothing.
    trusted = np.abs(rough - rougher) < 1e-4 * scale
    h = step * max(1.0, float(np.abs(arrays[index]).max()))
    rounding = 100 * np.finfo(np.float64).eps * float(np.abs(op(*arrays, **hyper)[0]).max()) / h
    return bool((np.abs(exact - rough)[trusted] > 1e-3 * scale + rounding).any())


def _culprit(op: Any) -> str:
    """Return words on the first call in op's source that is known to be unsafe, or nothing."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(op)))
    except (OSError, TypeError, SyntaxError):
        return ""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in UNSAFE:
                found.append((list(UNSAFE).index(name), ast.unparse(node), UNSAFE[name]))
        elif isinstance(node, ast.Attribute) and node.attr == "real" and not _in_comparison(node, tree):
            found.append((list(UNSAFE).index("real"), ast.unparse(node), UNSAFE["real"]))
    if not found:
        return ""
    _, call, instead = min(found)
    return f"; probably {call} is the cause: write {instead}"


def _in_comparison(node: ast.AST, tree: ast.AST) -> bool:
    return any(node in ast.walk(other) for other in ast.walk(tree) if isinstance(other, ast.Compare))
