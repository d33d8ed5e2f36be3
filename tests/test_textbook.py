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
    _compare(name, *drawn)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "attentive_norm"])
def test_table_form_equals_textbook_form_without_positions(name):
    rng = np.random.default_rng(5)
    _compare(name, rng.standard_normal((4, 6)), rng)


def _compare(name, x, rng):
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


@pytest.mark.parametrize("name", NAMES)
def test_the_textbook_form_is_right_for_one_sample(name):
    rng = np.random.default_rng(1)
    arrays, hyper = case(name, rng.standard_normal((1, 4, 2, 3)), rng)
    hyper = {} if name == "attentive_norm" else hyper
    op, op_backward = getattr(textbook, name), getattr(textbook, f"{name}_backward")
    assert check_gradients(op, op_backward, arrays, hyper=hyper).max_error < 1e-13


@pytest.mark.parametrize("name", NAMES)
def test_a_zero_dy_gives_zero_gradients(name):
    rng = np.random.default_rng(2)
    arrays, hyper = case(name, rng.standard_normal((3, 4, 2, 3)), rng)
    hyper = {} if name == "attentive_norm" else hyper
    y, cache = getattr(textbook, name)(*arrays, **hyper)
    assert not any(g.any() for g in getattr(textbook, f"{name}_backward")(np.zeros_like(y), cache))


@pytest.mark.parametrize("name", NAMES)
def test_float32_stays_float32(name):
    rng = np.random.default_rng(6)
    arrays, hyper = case(name, rng.standard_normal((3, 4, 2, 3)), rng)
    hyper = {} if name == "attentive_norm" else hyper
    y, cache = getattr(textbook, name)(*(a.astype(np.float32) for a in arrays), **hyper)
    for array in (y, *getattr(textbook, f"{name}_backward")(y, cache)):
        assert array.dtype == np.float32


def test_hsigmoid_is_flat_from_3_on_both_sides_its_kinks_included():
    z = np.array([-5, -3.5, -3, -2.5, 0, 2.5, 3, 3.5, 5]) + 1e-20j
    y = textbook.hsigmoid(z)
    np.testing.assert_allclose(y.real, np.clip((z.real + 3) / 6, 0, 1), rtol=1e-15)
    np.testing.assert_allclose(y.imag / 1e-20, np.where(abs(z.real) < 3, 1 / 6, 0), rtol=1e-15)


def test_attention_whose_logits_lie_on_the_flat_parts_and_on_the_kinks_gets_no_gradient():
    """With attn_gamma = 0 the logits are attn_beta, the same for every sample."""
    rng = np.random.default_rng(3)
    z = np.array([-3.5, -3.0, -2.5, 2.5, 3.0, 3.5])
    x, gamma, beta = rng.standard_normal((3, 4, 2, 3)), *rng.standard_normal((2, 6, 4))
    y, cache = textbook.attentive_norm(x, gamma, beta, rng.standard_normal((4, 6)), np.zeros(6), z)
    *_, dattn_beta = textbook.attentive_norm_backward(rng.standard_normal(y.shape), cache)
    np.testing.assert_array_equal(dattn_beta != 0, abs(z) < 3)


def test_a_hidden_unit_of_the_gate_at_exactly_zero_gets_no_gradient():
    rng = np.random.default_rng(4)
    x, w1, b1 = rng.standard_normal((3, 4, 2, 3)), np.zeros((4, 2)), np.array([0.0, 1.0])
    w2, b2 = rng.standard_normal((2, 4)), rng.standard_normal(4)
    y, cache = textbook.squeeze_excite(x, w1, b1, w2, b2)
    _, dw1, db1, *_ = textbook.squeeze_excite_backward(rng.standard_normal(y.shape), cache)
    assert not dw1[:, 0].any()
    assert db1[0] == 0 != db1[1]
    moved, _ = textbook.squeeze_excite(x, w1, b1 + 1e-20j * np.array([1, 0]), w2, b2)
    assert not moved.imag.any()


def test_softmax_of_large_numbers_does_not_overflow():
    np.testing.assert_allclose(textbook.softmax(np.array([1000.0, 999.0])), np.array([np.e, 1]) / (np.e + 1))
