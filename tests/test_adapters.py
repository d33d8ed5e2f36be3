"""PyTorch and JAX code under the checker: right code passes, wrong code is found. Skipped where they are missing."""

import subprocess
import sys

import numpy as np
import pytest

from an_ref import check_gradients
from an_ref.gradcheck import from_jax, from_torch


def _missing(name):
    try:
        __import__(name)
    except ImportError:
        return True
    return False


needs_torch = pytest.mark.skipif(_missing("torch"), reason="PyTorch is not installed")
needs_jax = pytest.mark.skipif(_missing("jax"), reason="JAX is not installed")

if not _missing("torch"):
    import torch

    class RMSNorm(torch.autograd.Function):
        """y = gamma x / sqrt(mean(x^2) + eps) over the last axis; `fault` changes one term of the backward."""

        fault = ""

        @staticmethod
        def forward(ctx, x, gamma, eps=1e-5):
            rrms = (x * x).mean(-1, keepdim=True).add(eps).rsqrt()
            ctx.save_for_backward(x, gamma, rrms)
            return gamma * x * rrms

        @classmethod
        def backward(cls, ctx, dy):
            x, gamma, rrms = ctx.saved_tensors
            g = gamma * dy
            dx = g * rrms
            if cls.fault != "a dropped term":
                dx = dx - x * rrms**3 * (g * x).mean(-1, keepdim=True)
            dgamma = None if cls.fault == "no gradient" else (dy * x * rrms).sum(0)
            return dx, dgamma, None

    class DroppedTerm(RMSNorm):
        fault = "a dropped term"

    class NoGradient(RMSNorm):
        fault = "no gradient"

    class LeakyReLU(torch.autograd.Function):
        """Written with a call that refuses complex numbers, in the newer form without ctx in forward."""

        @staticmethod
        def forward(x, slope):
            return x.clamp(min=0) + slope * x.clamp(max=0)

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, dy):
            x, slope = ctx.saved_tensors
            return dy * torch.where(x > 0, 1, slope), (dy * x.clamp(max=0)).sum(0)

    class InPlace(torch.autograd.Function):
        """2 x, with the right gradient, but written over x."""

        @staticmethod
        def forward(ctx, x):
            return x.mul_(2).clone()

        @staticmethod
        def backward(ctx, dy):
            return 2 * dy


if not _missing("jax"):
    import jax
    import jax.numpy as jnp

    def _rms_norm(x, gamma):
        return gamma * x / jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)

    def _rms_norm_rule(dropped):
        def rms_norm(x, gamma):
            return _rms_norm(x, gamma)

        def forward(x, gamma):
            rrms = 1 / jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)
            return gamma * x * rrms, (x, gamma, rrms)

        def backward(saved, dy):
            x, gamma, rrms = saved
            g = gamma * dy
            through_rms = 0 if dropped else x * rrms**3 * (g * x).mean(-1, keepdims=True)
            return g * rrms - through_rms, (dy * x * rrms).sum(0)

        rule = jax.custom_vjp(rms_norm)
        rule.defvjp(forward, backward)
        return rule


def _arrays(dtype=np.float64):
    rng = np.random.default_rng(0)
    return rng.standard_normal((3, 4)).astype(dtype), rng.standard_normal(4).astype(dtype)


def _parameters(module):
    return [p.detach().numpy() for p in module.parameters()]


def _blamed(report):
    return {finding.name for finding in report.findings}


# --- PyTorch ---------------------------------------------------------------------------------------------------------
@needs_torch
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_right_autograd_function_passes(dtype):
    for function in (RMSNorm, RMSNorm.apply):
        report = check_gradients(*from_torch(function), _arrays(dtype))
        assert report.ok, report
        assert report.op == "RMSNorm"
        assert list(report.errors) == ["x", "gamma"]
        assert report.method == "complex step", "RMSNorm passes complex tensors through"
    assert report.max_error < (1e-14 if dtype == np.float64 else 1e-5)


@needs_torch
def test_a_wrong_autograd_function_is_found():
    assert _blamed(check_gradients(*from_torch(DroppedTerm.apply), _arrays())) == {"x"}
    assert _blamed(check_gradients(*from_torch(NoGradient.apply), _arrays())) == {"gamma"}


@needs_torch
def test_what_is_not_complex_safe_is_checked_by_differences():
    report = check_gradients(*from_torch(LeakyReLU.apply), _arrays())
    assert report.ok, report
    assert report.method == "central differences"
    assert "on complex input" in str(report)
    assert list(report.errors) == ["x", "slope"]
    report = check_gradients(*from_torch(lambda x: x.abs() ** 3), _arrays()[:1])
    assert report.ok, report
    assert "x.abs()" in str(report), "the user's own call is named"


@needs_torch
def test_a_forward_that_writes_over_its_input_does_so_to_the_array():
    x, _ = _arrays()
    before = x.copy()
    from_torch(InPlace.apply)[0](x)
    np.testing.assert_array_equal(x, 2 * before)
    from_torch(RMSNorm.apply)[0](x, np.ones(4))
    np.testing.assert_array_equal(x, 2 * before)


@needs_torch
def test_a_lambda_binds_constants_and_integers_come_last():
    x, gamma = _arrays()
    assert check_gradients(*from_torch(lambda x, scale: RMSNorm.apply(x, scale, 0.1)), (x, gamma)).ok
    labels = np.array([1, 0, 3])
    op, op_backward = from_torch(torch.nn.functional.cross_entropy)
    assert check_gradients(op, op_backward, (x, labels), hyper={"label_smoothing": 0.1}).ok
    y, cache = op(x, labels)
    assert isinstance(y, np.ndarray)
    assert y.shape == ()
    (dx,) = op_backward(np.ones(()), cache)
    assert dx.shape == x.shape
    with pytest.raises(TypeError, match=r"^from_torch: arrays\[0\] holds int64 and has no gradient; pass it after"):
        op(labels, x)


@needs_torch
@pytest.mark.parametrize("train", [True, False])
def test_a_module_takes_its_parameters_after_its_inputs_and_is_left_as_it_is(train):
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 2), torch.nn.BatchNorm2d(3), torch.nn.Softplus())
    module.train(train)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    x = np.random.default_rng(1).standard_normal((2, 2, 3, 3))
    arrays = (x, *(p.astype(np.float64) for p in _parameters(module)))
    report = check_gradients(*from_torch(module), arrays)
    assert report.ok, report
    assert list(report.errors) == ["input", "_0_weight", "_0_bias", "_1_weight", "_1_bias"]
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key]), key


@needs_torch
def test_a_module_around_a_wrong_function_is_found():
    class Layer(torch.nn.Module):
        def __init__(self, function):
            super().__init__()
            self.gamma, self.function = torch.nn.Parameter(torch.linspace(0.5, 2, 4)), function

        def forward(self, x):
            return self.function.apply(x, self.gamma)

    x, _ = _arrays(np.float32)
    for function, blamed in ((RMSNorm, set()), (DroppedTerm, {"x"}), (NoGradient, {"gamma"})):
        layer = Layer(function)
        assert _blamed(check_gradients(*from_torch(layer), (x, *_parameters(layer)))) == blamed


@needs_torch
def test_y_and_gradients_are_new_arrays_of_the_right_dtype():
    x, _ = _arrays(np.float32)
    x.setflags(write=False)
    op, op_backward = from_torch(torch.sigmoid)  # which keeps its y for the backward
    for array in (x, x[::-1]):
        y, cache = op(array)
        (dx,) = op_backward(np.ones_like(y), cache)
        y[...] = 0
        (again,) = op_backward(np.ones_like(y), cache)
        np.testing.assert_array_equal(dx, again)
        assert type(dx) is np.ndarray
        assert dx.dtype == y.dtype == np.float32
        assert not op_backward(np.zeros_like(y), cache)[0].any()


@needs_torch
def test_a_function_cut_off_from_its_input_has_gradient_zero():
    assert _blamed(check_gradients(*from_torch(lambda x: 2 * x.detach()), _arrays()[:1])) == {"x"}


@needs_torch
def test_something_else_than_a_tensor_is_refused():
    op, _ = from_torch(torch.linalg.qr)
    with pytest.raises(TypeError, match=r"^from_torch: linalg_qr must return one tensor, got linalg_qr; wrap it"):
        op(np.eye(2))


# --- JAX -------------------------------------------------------------------------------------------------------------
@needs_jax
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_right_custom_vjp_passes(dtype):
    for function in (_rms_norm_rule(dropped=False), jax.jit(_rms_norm)):
        report = check_gradients(*from_jax(function), _arrays(dtype))
        assert report.ok, report
        assert list(report.errors) == ["x", "gamma"]
        assert report.method == "complex step"
        assert report.max_error < (1e-14 if dtype == np.float64 else 1e-5)


@needs_jax
def test_a_wrong_custom_vjp_is_found():
    report = check_gradients(*from_jax(_rms_norm_rule(dropped=True)), _arrays())
    assert _blamed(report) == {"x"}
    assert report.op == "rms_norm"


@needs_jax
def test_jax_functions_that_are_not_complex_safe_are_checked_by_differences():
    report = check_gradients(*from_jax(lambda x: jnp.abs(x) ** 3), _arrays()[:1])
    assert report.ok, report
    assert report.method == "central differences"
    assert "jnp.abs(x)" in str(report), "the user's own call is named"


@needs_jax
def test_jax_takes_integers_last_and_returns_arrays():
    x, _ = _arrays()
    rows = np.array([2, 0])
    op, op_backward = from_jax(lambda x, rows: jnp.sin(x[rows]))
    assert check_gradients(op, op_backward, (x, rows)).ok
    y, cache = op(x, rows)
    (dx,) = op_backward(np.ones_like(y), cache)
    assert type(y) is type(dx) is np.ndarray
    assert dx.dtype == y.dtype == np.float64
    assert dx.flags.writeable
    assert y.flags.writeable
    with pytest.raises(TypeError, match=r"^from_jax: arrays\[0\] holds int64"):
        op(rows, x)
    with pytest.raises(TypeError, match=r"^from_jax: <lambda> must return one array, got tuple; wrap it"):
        from_jax(lambda x: (x, x))[0](x)


# --- without them ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("adapter", "package", "title"), [("torch", "torch", "PyTorch"), ("jax", "jax", "JAX")])
def test_without_the_library_one_line_says_what_to_install(adapter, package, title):
    call = f"from an_ref.gradcheck import from_{adapter} as adapt; adapt(abs)"
    code = f"import sys; sys.modules['{package}'] = None; {call}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    last = run.stderr.strip().splitlines()[-1]
    assert last == f"ImportError: from_{adapter} needs {title}; install it with: pip install {package}"
    assert run.stderr.count("Traceback") == 1
