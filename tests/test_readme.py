"""The README tells the truth: its code runs, its output is what comes out, its links lead where they say."""

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
CODE = [text for language, text in BLOCKS if language == "python"]
LAYERS = {
    "Batch Norm": "batch_norm",
    "Layer Norm": "layer_norm",
    "Instance Norm": "instance_norm",
    "Group Norm": "group_norm",
    "Switchable Norm": "switchable_norm",
    "Squeeze-and-Excitation": "squeeze_excite",
    "Attentive Norm": "attentive_norm",
}


def _run(code):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    return printed.getvalue()


@pytest.mark.parametrize("index", range(len(CODE)))
def test_python_blocks_run(index):
    _run(CODE[index])


def test_the_first_block_prints_what_stands_below_it():
    shown = next(text for language, text in BLOCKS if language == "text")
    digits = re.compile(r"\d\.\de-1\d")  # rounding errors differ between machines
    assert digits.sub("tiny", _run(CODE[0])) == digits.sub("tiny", shown)


@pytest.mark.parametrize("layer", LAYERS)
def test_links_to_forward_and_backward_lead_there(layer):
    row = next(line for line in README.splitlines() if line.startswith(f"| {layer} |"))
    links = dict(re.findall(r"\[(forward|backward)\]\((.*?)\)", row))
    for word, suffix in (("forward", ""), ("backward", "_backward")):
        path, line = links[word].split("#L")
        text = (ROOT / path).read_text(encoding="utf-8").splitlines()[int(line) - 1]
        assert text.startswith(f"def {LAYERS[layer]}{suffix}("), text


def test_local_links_exist():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target
