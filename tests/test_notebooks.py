"""Each notebook keeps to its form, imports no op before it is derived, runs, and notices a broken derivation."""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from an_ref.lessons.exercises import load, modules

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECONDS = 120
ALLOWED = ("numpy", "matplotlib", "math", "json", "inspect", "an_ref.data", "an_ref.lessons", "an_ref.check_gradients")
PLACES = re.compile(r"/(?:home|tmp|work|root|usr|opt|var|Users)/|[A-Z]:\\|ipykernel_\d|site-packages")

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def source(cell):
    return "".join(cell["source"])


def tags(cell):
    return cell["metadata"].get("tags", [])


def code(path):
    return [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def prose(path):
    return "\n\n".join(source(cell) for cell in read(path)["cells"] if cell["cell_type"] == "markdown")


def words(text):
    """Words of the text; a formula or a piece of code in a line counts as one, blocks of code not at all."""
    text = re.sub(r"```.*?```", " ", text, flags=re.DOTALL)
    text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`", " formula ", text, flags=re.DOTALL)  # first: < is no tag there
    text = re.sub(r"<!--.*?-->|</?[A-Za-z][^>]*>|\]\([^)]*\)", " ", text, flags=re.DOTALL)
    return len(re.findall(r"[A-Za-z0-9][\w.,'’-]*", text))


def calls(path, name):
    trees = [ast.parse(source(cell)) for cell in code(path)]
    found = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call for call in found if isinstance(call.func, ast.Name) and call.func.id == name]


@each
def test_it_is_valid_and_small(path):
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbformat.validate(nbformat.read(path, as_version=4))
    notebook = read(path)
    assert path.stat().st_size < 500_000
    assert len(notebook["cells"]) <= 40
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell["id"] for cell in notebook["cells"]]
    assert ids == [f"c{number:02}" for number in range(len(ids))]
    long = [cell["id"] for cell in code(path) if source(cell).count("\n") >= 15 and "source" not in tags(cell)]
    assert not long, "cells with more than 15 lines"


@each
def test_it_is_committed_with_its_outputs_and_nothing_of_the_machine(path):
    outputs = [output for cell in code(path) for output in cell["outputs"]]
    assert outputs
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert all(cell["execution_count"] or not source(cell) for cell in code(path))
    assert not [cell["id"] for cell in read(path)["cells"] if "execution" in cell["metadata"]]
    for output in outputs:
        output.get("data", {}).pop("image/png", None)  # Base64 can spell anything.
    text = json.dumps([outputs, [source(cell) for cell in read(path)["cells"]], read(path)["metadata"]])
    assert not PLACES.search(text), PLACES.search(text)


@each
def test_its_text_has_the_right_length_and_ends_with_limits_and_sources(path):
    text = prose(path)
    assert text.startswith("# ")
    assert 1200 <= words(text) <= 2500, words(text)
    headings = re.findall(r"^#+ +(.*?) *$", text, re.MULTILINE)
    assert headings[-2:] == ["Limits", "Sources"]


@each
def test_it_asks_for_predictions_and_for_code(path):
    assert len(calls(path, "quiz")) >= 3
    graded = [call.args[0].value for call in calls(path, "grade")]
    assert graded
    assert set(graded) <= set(load(re.sub(r"^\d+_", "", path.stem)))


def test_each_file_of_exercises_belongs_to_a_notebook():
    stems = {re.sub(r"^\d+_", "", path.stem) for path in NOTEBOOKS}
    if not stems:
        pytest.skip("there are no notebooks")
    assert set(modules()) <= stems


@each
def test_it_imports_no_op_of_the_library_before_it_meets_it(path):
    imported = set()
    for cell in code(path):
        if "meet-the-library" in tags(cell):
            break
        for node in ast.walk(ast.parse(source(cell))):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                whole = node.module == "an_ref"
                imported |= {f"an_ref.{alias.name}" for alias in node.names} if whole else {node.module}
    assert imported
    foreign = {name for name in imported if not any(f"{name}.".startswith(f"{allowed}.") for allowed in ALLOWED)}
    assert not foreign


@each
def test_it_runs_from_a_clean_kernel(path, tmp_path):
    missing = [name for name in ("nbclient", "ipykernel") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed; see the extra named notebooks")
    own = ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "MPLCONFIGDIR")
    env = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "MPLBACKEND")}
    env |= {name: str(tmp_path / name) for name in own} | {"JUPYTER_PREFER_ENV_PATH": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", "from nbclient.cli import main; main()", f"--timeout={SECONDS}", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, env=env, timeout=SECONDS, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def mutants_of(path, *options):
    command = [sys.executable, str(ROOT / "scripts" / "notebook_mutants.py"), str(path), *options]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=600, check=False)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the mutants of the notebooks need os.fork")


@each
@needs_fork
def test_it_notices_a_broken_derivation(path):
    """A few mutants of each notebook; python scripts/notebook_mutants.py runs all of them."""
    assert any("derivation" in tags(cell) for cell in code(path)), "no cell has the tag derivation"
    result = mutants_of(path, "--sample", "6")
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r" of [1-9]\d* mutants noticed", result.stdout)


@needs_fork
@pytest.mark.parametrize(("check", "alive"), [("assert y == 11 and z == 25", 0), ("assert y == 11", 5), ("", 10)])
def test_a_derivation_without_an_assertion_is_found(tmp_path, check, alive):
    lines = ["x = 2 * rng()", "y = 3 * x + 5", "z = (x + 3) ** 2", "print(y - z, [y][x - 2])"]
    cells = ["rng = lambda: 1", "\n".join(lines), check]
    derivation = {"tags": ["derivation"]}
    notebook = {
        "cells": [
            {"cell_type": "code", "id": f"c0{i}", "metadata": derivation if i == 1 else {}, "source": text}
            for i, text in enumerate(cells)
        ]
    }
    path = tmp_path / "small.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    result = mutants_of(path)
    assert result.returncode == (alive > 0), result.stdout + result.stderr
    assert result.stdout.count("not noticed") == alive
