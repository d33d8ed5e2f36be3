"""Every documented error of the normalization and attention ops: type, and what the message must say."""

import numpy as np
import pytest

import an_ref
from tests.cases import NORMS, VARIANTS, case, ops

TRAINING_BATCH = ("batch_norm", "attentive_norm")


def _good(name, shape=(3, 4, 2, 3), **variant):
    rng = np.random.default_rng(0)
    return case(name, rng.standard_normal(shape), rng, **variant)


def _fails(name, arrays, hyper, error, *words):
    with pytest.raises(error) as caught:
        ops(name)[0](*arrays, **hyper)
    message = str(caught.value)
    assert message.startswith(f"{name}: "), message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        ([[1.0, 2.0]], TypeError, ("x must be a NumPy array, got list", "numpy.asarray")),
        (None, TypeError, ("got NoneType",)),
        (1.5, TypeError, ("got float",)),
        (np.ones((3, 4, 2, 3), int), TypeError, ("dtype int64", "astype")),
        (np.ones((3, 4, 2, 3), np.uint8), TypeError, ("dtype uint8",)),
        (np.ones((3, 4, 2, 3), bool), TypeError, ("dtype bool",)),
        (np.ones((3, 4, 2, 3), object), TypeError, ("dtype object",)),
        (np.ones(4), ValueError, ("at least 2 axes", "(4,)")),
        (np.array(1.0), ValueError, ("at least 2 axes", "()")),
        (np.ones((0, 4, 2, 3)), ValueError, ("x is empty", "(0, 4, 2, 3)")),
        (np.ones((3, 0, 2, 3)), ValueError, ("x is empty",)),
        (np.ones((3, 4, 0, 3)), ValueError, ("x is empty",)),
        (np.ones((3, 5, 2, 3)), ValueError, ("must have shape", "5")),
    ],
)
def test_wrong_x(name, x, error, words):
    arrays, hyper = _good(name)
    if name == "group_norm" and np.shape(x) == (3, 5, 2, 3):
        hyper = {"groups": 5}
    _fails(name, (x, *arrays[1:]), hyper, error, *words)


@pytest.mark.parametrize("name", NORMS)
def test_wrong_parameters(name):
    arrays, hyper = _good(name)
    for i in range(1, len(arrays)):
        others = arrays[:i], arrays[i + 1 :]
        for bad, error, words in (
            (arrays[i].tolist(), TypeError, ("got list",)),
            (arrays[i].astype(int), TypeError, ("got dtype int64",)),
            (arrays[i][..., None], ValueError, ("got (", "(")),
            (np.concatenate([arrays[i], arrays[i]]), ValueError, ("got (",)),
        ):
            if name == "squeeze_excite" and i == 1 and error is ValueError and bad.ndim == 2:
                words = ("must have shape (C, R)",)
            _fails(name, (*others[0], bad, *others[1]), hyper, error, *words)


@pytest.mark.parametrize("name", [n for n in NORMS if n != "squeeze_excite"])
@pytest.mark.parametrize(
    ("eps", "error"),
    [(-1e-5, ValueError), (np.nan, ValueError), (np.inf, ValueError), ("1e-5", TypeError), (None, TypeError)],
)
def test_wrong_eps(name, eps, error):
    arrays, hyper = _good(name)
    _fails(name, arrays, {**hyper, "eps": eps}, error, "eps must be", repr(eps).strip("'"))


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize(
    ("dy", "error", "words"),
    [
        (np.ones((3, 4, 2, 2)), ValueError, ("dy must have the shape of y, (3, 4, 2, 3), got (3, 4, 2, 2)",)),
        (np.ones((4, 2, 3)), ValueError, ("(3, 4, 2, 3)",)),
        (np.array(1.0), ValueError, ("got ()",)),
        ([1.0], TypeError, ("dy must be a NumPy array, got list",)),
        (np.ones((3, 4, 2, 3), int), TypeError, ("int64",)),
    ],
)
def test_wrong_dy(name, dy, error, words):
    arrays, hyper = _good(name)
    _, cache = ops(name)[0](*arrays, **hyper)
    with pytest.raises(error) as caught:
        ops(name)[1](dy, cache)
    for word in (f"{name}_backward: ", *words):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("groups", "error", "words"),
    [
        (32, ValueError, ("24 channels do not divide into 32 groups; choose from 1, 2, 3, 4, 6, 8, 12, 24",)),
        (0, ValueError, ("at least 1, got 0",)),
        (-2, ValueError, ("at least 1, got -2",)),
        (2.0, TypeError, ("must be an integer, got 2.0",)),
        (True, TypeError, ("must be an integer, got True",)),
        ("2", TypeError, ("must be an integer, got '2'",)),
        (None, TypeError, ("must be an integer, got None",)),
    ],
)
def test_wrong_groups(groups, error, words):
    arrays, _ = _good("group_norm", (2, 24, 3))
    _fails("group_norm", arrays, {"groups": groups}, error, *words)
    if groups is not None:
        arrays, hyper = _good("attentive_norm", (2, 24, 3), standardize="group")
        _fails("attentive_norm", arrays, {**hyper, "groups": groups}, error, *words)


@pytest.mark.parametrize("name", TRAINING_BATCH)
def test_one_value_per_channel_in_training(name):
    arrays, hyper = _good(name, (1, 4, 1, 1), descriptor="mean", transform="linear")
    _fails(name, arrays, hyper, ValueError, "one value per channel", "(1, 4, 1, 1)")


def test_a_single_sample_with_several_positions_is_fine():
    arrays, hyper = _good("batch_norm", (1, 4, 2, 1))
    an_ref.batch_norm(*arrays, **hyper)


@pytest.mark.parametrize("standardize", ["batch", "switchable"])
def test_one_sample_with_logits_normalized_over_the_batch(standardize):
    arrays, hyper = _good("attentive_norm", (1, 4, 2, 3), standardize=standardize)
    _fails("attentive_norm", arrays, hyper, ValueError, "one sample", 'transform="linear"')


@pytest.mark.parametrize("variant", VARIANTS[::7], ids=lambda v: "-".join(v.values()))
def test_mean_over_std_needs_two_positions(variant):
    for name in ("attentive_norm", "attentive_norm_eval"):
        arrays, hyper = _good(name, (3, 4), **{**variant, "descriptor": "mean_over_std"})
        _fails(name, arrays, hyper, ValueError, "mean_over_std", 'descriptor="mean"')


@pytest.mark.parametrize(
    ("hyper", "words"),
    [
        ({"standardize": "btach"}, ("unknown standardize 'btach'", "did you mean 'batch'?")),
        ({"descriptor": "mean_over_sdt"}, ("unknown descriptor", "did you mean 'mean_over_std'?")),
        ({"transform": "lineer"}, ("unknown transform", "did you mean 'linear'?")),
        ({"activation": "h-sigmoid"}, ("unknown activation", "did you mean 'hsigmoid'?")),
        ({"activation": None}, ("unknown activation None", "'hsigmoid', 'sigmoid', 'softmax'")),
        ({"standardize": "group"}, ("needs groups", "4 channels")),
    ],
)
def test_unknown_names_and_missing_groups(hyper, words):
    arrays, good = _good("attentive_norm")
    _fails("attentive_norm", arrays, {**good, **hyper}, ValueError, *words)
    _fails("attentive_norm_eval", arrays, {**good, **hyper}, ValueError, *words)


def test_a_wrong_number_of_attention_arrays():
    arrays, hyper = _good("attentive_norm")
    expected = "expected 3 (attn_weight, attn_gamma, attn_beta) after beta, got 2 arrays"
    _fails("attentive_norm", arrays[:-1], hyper, TypeError, expected)
    _fails("attentive_norm", (*arrays, arrays[-1]), hyper, TypeError, "got 4 arrays")


def test_gamma_of_attentive_norm_must_be_a_matrix():
    arrays, hyper = _good("attentive_norm")
    _fails("attentive_norm", (arrays[0], arrays[1][0], *arrays[2:]), hyper, ValueError, "(K, C)", "(4,)")


@pytest.mark.parametrize("logits", [np.ones(4), np.ones(1), np.ones((3, 1))])
def test_wrong_numbers_of_logits(logits):
    arrays, hyper = _good("switchable_norm")
    _fails("switchable_norm", (*arrays[:3], logits, arrays[4]), hyper, ValueError, "mean_logits", "(in, ln, bn)")
    _fails("switchable_norm", (*arrays[:4], np.ones(2)), hyper, ValueError, "var_logits", "of mean_logits = (3,)")


@pytest.mark.parametrize(("index", "name"), [(3, "mean_logits"), (4, "var_logits")])
def test_logits_that_are_no_array_are_named(index, name):
    arrays, _ = _good("switchable_norm")
    arrays = (*arrays[:index], [0.0, 0.0, 0.0], *arrays[index + 1 :])
    _fails("switchable_norm", arrays, {}, TypeError, f"{name} must be a NumPy array, got list")


def test_running_statistics_that_are_missing_or_too_many():
    arrays, hyper = _good("attentive_norm")
    needed = "running_mean, running_var, attn_running_mean, attn_running_var"
    _fails("attentive_norm_eval", arrays, hyper, TypeError, f"{needed} missing")
    some = {"running_mean": np.zeros(4), "running_var": np.ones(4)}
    _fails("attentive_norm_eval", arrays, {**hyper, **some}, TypeError, "attn_running_mean, attn_running_var missing")
    _fails("attentive_norm_eval", (*arrays, np.zeros(4)), hyper, TypeError, "got 1 arrays")
    wrong = {**some, "attn_running_mean": np.zeros(4), "attn_running_var": np.ones(4)}
    _fails(
        "attentive_norm_eval", arrays, {**hyper, **wrong}, ValueError, "attn_running_mean must have shape (K,) = (3,)"
    )


def test_variants_that_need_no_running_statistics_take_none():
    arrays, hyper = _good("attentive_norm", standardize="layer")
    y, _ = an_ref.attentive_norm(*arrays, **hyper)
    np.testing.assert_array_equal(an_ref.attentive_norm_eval(*arrays, **hyper)[0], y)
    _fails("attentive_norm_eval", (*arrays, np.zeros(4)), hyper, TypeError, "expected none")


def test_a_squeeze_of_a_wrong_shape_or_type():
    arrays, _ = _good("squeeze_excite")
    _fails("squeeze_excite", arrays, {"squeeze": np.ones((3, 5))}, ValueError, "squeeze", "(N, C) = (3, 4), got (3, 5)")
    _fails("squeeze_excite", arrays, {"squeeze": [1.0]}, TypeError, "squeeze", "got list")


def test_messages_name_the_shape_that_was_expected():
    arrays, _ = _good("batch_norm")
    message = r"^batch_norm: gamma must have shape \(C,\) = \(4,\), got \(5,\); pass one of shape \(4,\)$"
    with pytest.raises(ValueError, match=message):
        an_ref.batch_norm(arrays[0], np.ones(5), arrays[2])
