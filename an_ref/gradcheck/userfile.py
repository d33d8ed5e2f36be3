"""Check the ops of somebody's file: load it, find the pairs NAME and NAME_backward, find or guess inputs for them.

Whatever the file does, one clear line comes out: a UserFileError if an op cannot be found or tried, a Report with a
finding if it was tried and fails.
"""

from __future__ import annotations

import difflib
import sys
import traceback
import types
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..validation import Array
from .check import check_gradients
from .derivatives import listed
from .guess import RUNNING, SHAPES, Guess, example_code, guess_inputs, positional_names
from .report import Finding, Report


class UserFileError(Exception):
    """A file that cannot be loaded, or an op in it that cannot be found or tried; the text is for its author."""


class Pair(NamedTuple):
    """An op of a user's file and its backward."""

    name: str
    op: Callable[..., Any]
    op_backward: Callable[..., Any]


class Example(NamedTuple):
    """Inputs for a pair, and a note on where they come from if they were guessed."""

    arrays: tuple[Array, ...]
    hyper: dict[str, Any]
    note: str = ""


def load(path: Path) -> types.ModuleType:
    """Run a Python file as a module under a name of its own and return it.

    Its folder comes first on sys.path, as with `python FILE`; no bytecode is read or written. Raises UserFileError if
    there is no such file or if it does not run to its end.
    """
    if not path.is_file():
        raise UserFileError(f"there is no file {path}" if not path.exists() else f"{path} is not a file")
    name = f"an_ref_checks_{path.stem}"
    loader = SourceFileLoader(name, str(path))
    spec = spec_from_loader(name, loader)
    assert spec is not None  # there is one for every SourceFileLoader
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look there for the module of a class
    sys.path.insert(0, str(path.resolve().parent))
    try:
        exec(loader.source_to_code(loader.get_data(str(path)), str(path)), module.__dict__)
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        advice = 'put what only a run needs behind if __name__ == "__main__":'
        raise UserFileError(f"cannot load {path}: it exits{_line(error, module)}; {advice}") from None
    except BaseException as error:
        raise UserFileError(f"cannot load {path}: {_words(error, module)}") from None
    return module


def find_pairs(module: types.ModuleType, name: str | None = None) -> tuple[list[Pair], list[str]]:
    """Return the pair called `name`, or all public pairs of the file, and a complaint about each backward without op.

    The forward may be called NAME or NAME_forward. Pairs that are imported as they are do not count, unless there is no
    other. Raises UserFileError, with the nearest name, if a function is missing, or if the file has no pair.
    """
    if name is not None:
        return [_one_pair(module, name)], []
    functions = _functions(module)
    stems = [key.removesuffix("_backward") for key in functions if key.endswith("_backward") and key[0] != "_"]
    stems = [stem for stem in stems if not stem.endswith("_backward")]
    pairs = [pair for stem in stems if (pair := _pair(functions, stem))]
    if not pairs:
        found = [key for key, value in functions.items() if getattr(value, "__module__", "") == module.__name__]
        own = ", ".join(found) or "none"
        raise UserFileError(f"{module.__file__} has no functions NAME and NAME_backward; its functions: {own}")
    alone = [stem for stem in stems if not _pair(functions, stem) and not _imported(functions[f"{stem}_backward"])]
    complaints = [f"{stem}_backward is not checked: there is no function {stem}" for stem in alone]
    written_here = [pair for pair in pairs if not (_imported(pair.op) and _imported(pair.op_backward))]
    return written_here or pairs, complaints


def _pair(functions: dict[str, Callable[..., Any]], stem: str) -> Pair | None:
    op = functions.get(stem) or functions.get(f"{stem}_forward")
    op_backward = functions.get(f"{stem}_backward")
    return Pair(stem, op, op_backward) if op and op_backward else None


def _one_pair(module: types.ModuleType, name: str) -> Pair:
    functions = _functions(module)
    for stem in (name, name.removesuffix("_backward"), name.removesuffix("_forward")):
        if pair := _pair(functions, stem):
            return pair
    forward = name if name in functions else f"{name}_forward"
    if forward not in functions:
        if name in vars(module):
            raise UserFileError(f"{name} in {module.__file__} is no function but {type(vars(module)[name]).__name__}")
        near = _nearest(name, [key for key in functions if not key.endswith("_backward")] or functions)
        raise UserFileError(f"{module.__file__} has no function {name}; {near}")
    wanted = f"{name}_backward"
    near = _nearest(wanted, [key for key in functions if key != forward])
    raise UserFileError(f"{module.__file__} has {forward} but no function {wanted}; {near}")


def _functions(module: types.ModuleType) -> dict[str, Callable[..., Any]]:
    return {
        key: value
        for key, value in vars(module).items()
        if callable(value) and not isinstance(value, type) and not key.startswith("__")
    }


def _nearest(word: str, known: Sequence[str] | dict[str, Any]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.0)
    return f"the nearest name is {near[0]}" if near else "it has no other function"


def _imported(function: Any) -> bool:
    """Whether a function came into the file by an import: it stands under its own name in another module."""
    home, name = getattr(function, "__module__", None), getattr(function, "__name__", "")
    if not home or home.startswith("an_ref_checks_"):
        return False
    return getattr(sys.modules.get(home), name, None) is function


def find_examples(module: types.ModuleType, pairs: Sequence[Pair]) -> tuple[list[tuple[Pair, Example]], list[str]]:
    """Return the pairs that can be tried, with inputs for each, and what is in the way of the others."""
    ready, complaints = [], []
    for pair in pairs:
        try:
            ready.append((pair, find_example(module, pair)))
        except UserFileError as error:
            complaints.append(str(error))
    return ready, complaints


def find_example(module: types.ModuleType, pair: Pair) -> Example:
    """Return inputs for a pair: what NAME_example returns, or NAME_arrays, or else a guess from the parameters' names.

    Raises UserFileError if there are none, or none that the forward takes, with the lines of code that would help.
    """
    for key in (f"{pair.name}_example", f"{pair.name}_arrays"):
        value = vars(module).get(key)
        if callable(value):
            try:
                value = value()
            except (Exception, SystemExit) as error:
                raise UserFileError(f"{key} raises {_words(error, module)}") from None
        if value is not None:
            return _as_example(key, value)
    return _guessed(module, pair)


def _as_example(key: str, value: Any) -> Example:
    """Make an example of an array, of a tuple of arrays, or of (arrays, hyper)."""
    hyper: dict[str, Any] = {}
    if isinstance(value, (tuple, list)) and len(value) == 2 and isinstance(value[1], dict):
        value, hyper = value
    arrays = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    for index, array in enumerate(arrays):
        if not (hasattr(array, "dtype") and hasattr(array, "shape")):
            raise UserFileError(
                f"{key} must give a tuple of arrays, or (arrays, hyper) with a dict of keywords, but entry {index} of "
                f"the arrays is of type {type(array).__name__}"
            )
    if not arrays:
        raise UserFileError(f"{key} must give a tuple of arrays, or (arrays, hyper), but it gives no array")
    return Example(arrays, hyper)


def _guessed(module: types.ModuleType, pair: Pair) -> Example:
    """Return the first guess that the forward takes."""
    first = guess_inputs(pair.op, SHAPES[0])
    advice = f"define {pair.name}_example in {module.__file__}, such as\n{example_code(pair.name, first)}"
    if first.unknown:
        raise UserFileError(f"{pair.name}: there is no guess for {', '.join(first.unknown)}; {advice}")
    reasons = []
    for guess in (guess_inputs(pair.op, shape) for shape in SHAPES):
        reason = _refusal(module, pair, guess)
        if not reason:
            return Example(tuple(guess.arrays.values()), guess.hyper, f"inputs guessed from the names: {guess}")
        reasons.append(reason)
    raise UserFileError(f"{pair.name} does not take the inputs guessed for it, {first}: {reasons[0]}; {advice}")


def _refusal(module: types.ModuleType, pair: Pair, guess: Guess) -> str:
    """Return why an op does not take guessed inputs, or nothing."""
    try:
        with np.errstate(all="ignore"):
            result = pair.op(*(array.copy() for array in guess.arrays.values()), **guess.hyper)
    except (Exception, SystemExit) as error:
        return _words(error, module)
    y = result[0] if isinstance(result, tuple) and result else None
    finite = not isinstance(y, np.ndarray) or y.dtype.kind not in "fc" or bool(np.isfinite(y).all())
    return "" if finite else "y is not finite there"


def check_pair(module: types.ModuleType, pair: Pair, example: Example) -> Report:
    """Check a pair. Whatever it raises, and whatever it returns in place of (y, cache) and gradients, is a finding."""
    try:
        message = _broken_contract(module, pair, example)
        if not message:
            report = check_gradients(pair.op, pair.op_backward, example.arrays, hyper=example.hyper)
    except (Exception, SystemExit) as error:
        message = f"the check cannot go on: {_words(error, module)}"
    if message:
        report = Report(pair.name, "not finished", {}, (), (Finding(None, pair.name, message),))
    notes = (example.note,) if example.note else ()
    return replace(report, op=pair.name, notes=(*notes, *report.notes))


def _broken_contract(module: types.ModuleType, pair: Pair, example: Example) -> str:
    """Run forward and backward once and return what is wrong with the form of their results, or nothing."""
    op, op_backward = (getattr(f, "__name__", pair.name) for f in (pair.op, pair.op_backward))
    try:
        result = pair.op(*(array.copy() for array in example.arrays), **example.hyper)
    except (Exception, SystemExit) as error:
        return f"{op} raises {_words(error, module)}"
    if not isinstance(result, tuple) or len(result) != 2:
        what = f"a tuple of {len(result)}" if isinstance(result, tuple) else f"a single {type(result).__name__}"
        return f"{op} must return (y, cache), the second for the backward, but it returns {what}"
    y, cache = np.asarray(result[0]), result[1]
    if y.dtype.kind not in "fc":
        return f"{op} must return y as an array of floating-point numbers, but it is {_kind(result[0])}"
    dy = np.random.default_rng(0).standard_normal(y.shape).astype(y.dtype)
    try:
        returned = pair.op_backward(dy, cache)
    except (Exception, SystemExit) as error:
        return f"{op_backward} raises {_words(error, module)}"
    return _wrong_number(op_backward, len(listed(returned)), pair, example)


def _kind(y: Any) -> str:
    return f"an array of {y.dtype}" if isinstance(y, np.ndarray) else f"a {type(y).__name__}"


def _wrong_number(op_backward: str, count: int, pair: Pair, example: Example) -> str:
    """There must be one gradient for each array of real numbers; running statistics, which come last, need none."""
    names = positional_names(pair.op, len(example.arrays))
    real = [name for name, array in zip(names, example.arrays, strict=True) if array.dtype.kind in "fc"]
    needed = [name for name in real if name not in RUNNING]
    if len(needed) <= count <= len(example.arrays):
        return ""
    return (
        f"{op_backward} returns {count} gradient{'s' * (count != 1)} where there must be one for each array, "
        f"{', '.join(f'd{name}' for name in needed)}; pass by keyword what has none"
    )


def _words(error: BaseException, module: types.ModuleType) -> str:
    """Return an exception in one line, with the line of the file where it came from."""
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}{': ' * bool(text)}{text}{_line(error, module)}"


def _line(error: BaseException, module: types.ModuleType) -> str:
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == module.__file__]
    return f" (line {lines[-1]})" if lines else ""
