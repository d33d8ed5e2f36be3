"""The fast ops against the textbook form, and the textbook form against the complex step."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from an_ref import check_gradients, textbook
from tests.cases import case, feature_maps, ops

NAMES = [
    "batch_norm",
    "layer_norm",
    "instance_norm",
    "group_norm",
    "switchable_norm",
    "squeeze_excite",
    "attentive_norm",
]


@pytest.mark.parametrize("name", NAMES)
@given(drawn=feature_maps())
@settings(max_examples=25)
def test_table_form_equals_textbook_form(name, drawn):
    x, rng = drawn
    arrays, hyper = case(name, x, rng)
    if name == "attentive_norm":
        hyper = {}
    op, op_backward = ops(name)
    y, cache = op(*arrays, **hyper)
    y_book, cache_book = getattr(textbook, name)(*arrays, **hyper)
    np.testing.assert_allclose(y, y_book, rtol=1e-9, atol=1e-11 * np.abs(y_book).max())
    dy = rng.standard_normal(y.shape)
    gradients = op_backward(dy, cache)
    book = getattr(textbook, f"{name}_backward")(dy, cache_book)
    for i, (g, b) in enumerate(zip(gradients, book, strict=True)):
        # The terms that cancel in a gradient are about this large.
        scale = np.abs(b).max() + np.abs(dy * y).sum() / max(np.abs(arrays[i]).max(), 1e-2)
        np.testing.assert_allclose(g, b, atol=1e-10 * scale, rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_the_textbook_form_is_right_itself(name):
    rng = np.random.default_rng(0)
    arrays, hyper = case(name, rng.standard_normal((3, 4, 2, 3)), rng)
    hyper = {} if name == "attentive_norm" else hyper
    op, op_backward = getattr(textbook, name), getattr(textbook, f"{name}_backward")
    assert check_gradients(op, op_backward, arrays, hyper=hyper).max_error < 1e-13


def test_the_textbook_shares_no_code_with_the_fast_ops():
    lines = Path(textbook.__file__).read_text(encoding="utf-8").splitlines()
    imports = [line.strip() for line in lines if line.lstrip().startswith(("import ", "from "))]
    assert imports == [
        "from __future__ import annotations",
        "from typing import Any",
        "import numpy as np",
        "from numpy.typing import NDArray",
    ]
