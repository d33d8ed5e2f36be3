"""Break the derivations of the notebooks in one place at a time, and see whether the notebook notices.

    python scripts/notebook_mutants.py                                  every notebook, every mutant
    python scripts/notebook_mutants.py notebooks/04_bn_backward.ipynb   one notebook
    python scripts/notebook_mutants.py --sample 8                       eight mutants of each notebook, spread evenly
    python scripts/notebook_mutants.py --all-cells                      also cells that are not tagged "derivation"

A mutant has one operation of a cell with the tag "derivation" changed: + and - swapped, * and / swapped, a power made a
product, a sign dropped, a term or a factor dropped. Assertions, functions that assert, figures, prints, indices and
statements that draw random numbers are left alone. The code cells are run as plain Python in one namespace. A mutant
with which the whole notebook runs is printed, and the exit code is 1: the notebook needs another assertion.

Needs os.fork: each mutant goes on from the state in front of its cell, in a process of its own.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import io
import json
import linecache
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
SECONDS = 120  # a mutant that runs longer counts as noticed
SWAPS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}
SHOWN = ("print", "quiz", "grade", "display", "draw_graph", "draw_cells", "plt", "ax", "axes", "fig", "figure")
RANDOM = ("rng", "default_rng")


class Cell(NamedTuple):
    """A code cell: its id, its code, and whether it is part of a derivation."""

    id: str
    source: str
    derivation: bool


class Mutant(NamedTuple):
    """A changed cell, and in words what was changed."""

    cell: int
    change: str
    tree: ast.Module


def code_cells(path: Path) -> list[Cell]:
    """Return the code cells of a notebook; lines that only IPython understands are left out."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    found = []
    for cell in cells:
        if cell["cell_type"] == "code":
            lines = "".join(cell["source"]).splitlines()
            source = "\n".join("" if line.startswith(("%", "!")) else line for line in lines)
            found.append(Cell(cell["id"], source, "derivation" in cell["metadata"].get("tags", [])))
    return found


def mutants(cells: list[Cell], all_cells: bool = False) -> list[Mutant]:
    """Return every mutant of the derivation cells."""
    asserting = {
        node.name
        for cell in cells
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.FunctionDef) and any(isinstance(inner, ast.Assert) for inner in ast.walk(node))
    }
    found = []
    for index, cell in enumerate(cells):
        if not (cell.derivation or all_cells):
            continue
        tree = ast.parse(cell.source)
        for place, node in enumerate(_places(tree, asserting)):
            for way, new in enumerate(_replacements(node)):
                changed = copy.deepcopy(tree)
                target = list(_places(changed, asserting))[place]
                _Swap(target, list(_replacements(target))[way]).visit(changed)
                words = f"{cell.id}, line {node.lineno}: {ast.unparse(node)} -> {ast.unparse(new)}"
                found.append(Mutant(index, words, ast.fix_missing_locations(changed)))
    return found


def _places(node: ast.AST, asserting: set[str]) -> Iterator[Any]:
    if _skipped(node, asserting):
        return
    operation = isinstance(node, ast.BinOp) and type(node.op) in SWAPS and not _zeros(node) and not _zeros(node.right)
    if operation or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not _constant(node.operand)):
        yield node
    for field, value in ast.iter_fields(node):
        if field == "slice" and isinstance(node, ast.Subscript):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _places(child, asserting)


def _skipped(node: ast.AST, asserting: set[str]) -> bool:
    if isinstance(node, ast.Assert) or (isinstance(node, ast.FunctionDef) and node.name in asserting):
        return True
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        return any(isinstance(name, ast.Name) and name.id in RANDOM for name in ast.walk(node))
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return ast.unparse(node.value.func).split(".")[0].split("[")[0] in {*SHOWN, *asserting}
    return False


def _zeros(node: ast.AST) -> bool:
    """Whether it is `0 * x`, zeros shaped like x: with another sign they are the same."""
    return isinstance(node, ast.BinOp) and ast.unparse(node.left) == "0"


def _constant(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant)


def _replacements(node: Any) -> Iterator[ast.expr]:
    if isinstance(node, ast.UnaryOp):
        yield node.operand
        return
    yield ast.BinOp(node.left, SWAPS[type(node.op)](), node.right)
    yield node.left
    if not (_constant(node.left) or isinstance(node.op, ast.Pow)):
        yield node.right


class _Swap(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.expr) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> Any:
        return self.new if node is self.old else super().visit(node)


def survivors(path: Path, chosen: Callable[[list[Mutant]], list[Mutant]], all_cells: bool) -> tuple[int, list[str]]:
    """Return how many mutants were run, and what was changed in those with which the notebook still runs."""
    cells = code_cells(path)
    todo = chosen(mutants(cells, all_cells))
    codes: list[CodeType] = []
    for cell in cells:
        file = f"{path.name}, {cell.id}"
        linecache.cache[file] = (len(cell.source), None, cell.source.splitlines(keepends=True), file)
        codes.append(compile(cell.source, file, "exec"))
    namespace: dict[str, Any] = {"__name__": "__main__", "display": lambda *values: None}
    alive = []
    for index in range(max((mutant.cell for mutant in todo), default=-1) + 1):
        for mutant in todo:
            if mutant.cell == index and _runs(
                [compile(mutant.tree, "<mutant>", "exec"), *codes[index + 1 :]], namespace
            ):
                alive.append(mutant.change)
        with contextlib.redirect_stdout(io.StringIO()):
            exec(codes[index], namespace)
    return len(todo), alive


def _runs(codes: list[CodeType], namespace: dict[str, Any]) -> bool:
    """Whether these cells run without an error, in a copy of this process."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    status = 1
    try:
        signal.alarm(SECONDS)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            for code in codes:
                exec(code, namespace)
        status = 0
    except BaseException:  # whatever stops the notebook is what we want to see
        pass
    os._exit(status)


def main() -> int:
    """Run the mutants of the notebooks that the command names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path, help="all of them by default")
    parser.add_argument("--sample", type=int, help="how many mutants of each notebook")
    parser.add_argument("--all-cells", action="store_true", help="break every code cell")
    options = parser.parse_args()
    os.environ.update(MPLBACKEND="Agg", OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")  # a fork wants one thread
    warnings.simplefilter("ignore")

    def chosen(found: list[Mutant]) -> list[Mutant]:
        count = min(options.sample or len(found), len(found))
        return [found[(2 * i + 1) * len(found) // (2 * count)] for i in range(count)]

    failed = False
    here = Path.cwd()
    for path in [(here / p).resolve() for p in options.notebooks] or sorted(NOTEBOOKS.glob("*.ipynb")):
        os.chdir(path.parent)
        count, alive = survivors(path, chosen, options.all_cells)
        print(f"{path.name}: {count - len(alive)} of {count} mutants noticed", flush=True)
        for change in alive:
            print(f"  not noticed: {change}", flush=True)
        if options.all_cells:
            hit = {mutant.split(",")[0] for mutant in alive}
            cells = code_cells(path)
            broken = dict.fromkeys(cells[mutant.cell].id for mutant in chosen(mutants(cells, all_cells=True)))
            print(f"  every mutant noticed in: {', '.join(id for id in broken if id not in hit)}", flush=True)
        failed = failed or bool(alive)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
