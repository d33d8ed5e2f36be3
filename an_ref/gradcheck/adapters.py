"""PyTorch and JAX code as a pair (op, op_backward) of NumPy functions, ready for check_gradients.

Neither library is needed until one of the adapters is called. A framework's own rules stay in force: None for a
gradient means zero, and y may be kept for the backward, so op hands out a copy of it.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..validation import Array

Pair = tuple[Callable[..., Any], Callable[..., Any]]


def from_torch(function: Any) -> Pair:
    """Return (op, op_backward) for a PyTorch function, autograd.Function or module, on the CPU.

    function: any function of tensors that returns one tensor; for an autograd.Function the class or its `apply`. op
    takes NumPy arrays of the same shapes. op_backward runs the backward that PyTorch would run, the hand-written one
    of an autograd.Function included:

        check_gradients(*from_torch(MyFunction.apply), (x, weight))

    For a module, op takes the inputs and then all parameters, in the order of module.parameters(); the module itself is
    left as it is, buffers such as running statistics too:

        parameters = [p.detach().numpy() for p in module.parameters()]
        check_gradients(*from_torch(module), (x, *parameters))

    Arguments that are no arrays are bound by a lambda: from_torch(lambda x, weight: MyFunction.apply(x, weight, 1e-5)).
    So are constants: each floating-point array counts as differentiable. Integer arrays come last and have no gradient.
    Raises ImportError without PyTorch; op raises TypeError if `function` does not return one tensor or if an integer
    array comes before a differentiable one.
    """
    torch = _import("from_torch", "torch", "PyTorch")
    call, names = function, _names(function)
    rule = _rule(torch, function)
    if isinstance(function, torch.nn.Module):
        call, names = _call_module(torch, function), _module_names(function)
    elif rule is not None:
        call, names, function = rule.apply, _rule_names(torch, rule), rule

    def op(*arrays: Array, **hyper: Any) -> tuple[Array, Any]:
        count = _differentiable("from_torch", arrays)
        tensors = [_tensor(torch, array) for array in arrays]
        for tensor in tensors[:count]:
            tensor.requires_grad_()
        y = call(*tensors, **hyper)
        if not isinstance(y, torch.Tensor):
            raise TypeError(
                f"from_torch: {op.__name__} must return one tensor, got {type(y).__name__}; wrap it in a function that "
                f"returns one of them"
            )
        return _array(y), (tensors[:count], y)

    def op_backward(dy: Array, cache: Any) -> tuple[Array, ...]:
        tensors, y = cache
        gradients: Sequence[Any] = [None] * len(tensors)
        if y.requires_grad:
            gradients = torch.autograd.grad(y, tensors, _tensor(torch, dy), retain_graph=True, allow_unused=True)
        pairs = zip(gradients, tensors, strict=True)
        return tuple(_array(torch.zeros_like(t) if gradient is None else gradient) for gradient, t in pairs)

    return _named(op, op_backward, function, names)


def from_jax(function: Callable[..., Any]) -> Pair:
    """Return (op, op_backward) for a JAX function of arrays that returns one array, a custom_vjp for example.

        check_gradients(*from_jax(my_function), (x, weight))

    op runs `function` itself, op_backward the rule that JAX would use: for a custom_vjp its fwd and bwd. Both run in
    double precision where the arrays are. Other arguments and constants are bound by a lambda, integer arrays come
    last. Raises ImportError without JAX; op raises TypeError if `function` does not return one array or if an integer
    array comes before a differentiable one.
    """
    jax = _import("from_jax", "jax", "JAX")
    home = jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")

    def op(*arrays: Array, **hyper: Any) -> tuple[Array, Any]:
        count = _differentiable("from_jax", arrays)
        with home.enable_x64(True):
            y = function(*map(jax.numpy.array, arrays), **hyper)
            if not isinstance(y, jax.Array):
                raise TypeError(
                    f"from_jax: {op.__name__} must return one array, got {type(y).__name__}; wrap it in a function "
                    f"that returns one of them"
                )
            return np.array(y), (arrays, count, hyper)

    def op_backward(dy: Array, cache: Any) -> tuple[Array, ...]:
        arrays, count, hyper = cache
        with home.enable_x64(True):
            _, vjp = jax.vjp(lambda *xs: function(*xs, *arrays[count:], **hyper), *arrays[:count])
            return tuple(np.array(gradient) for gradient in vjp(jax.numpy.asarray(dy)))

    return _named(op, op_backward, function, _names(function))


# --- shared ----------------------------------------------------------------------------------------------------------
def _import(adapter: str, module: str, title: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise ImportError(f"{adapter} needs {title}; install it with: pip install {package}") from None


def _differentiable(adapter: str, arrays: Sequence[Array]) -> int:
    """Return how many arrays are differentiable; they must come first."""
    kinds = [array.dtype.kind in "fc" for array in arrays]
    if kinds != sorted(kinds, reverse=True):
        raise TypeError(
            f"{adapter}: arrays[{kinds.index(False)}] holds {arrays[kinds.index(False)].dtype} and has no gradient; "
            f"pass it after the floating-point arrays, or bind it with a lambda"
        )
    return sum(kinds)


def _names(function: Any) -> list[str]:
    """Return the names of the positional arguments of `function`, none if they cannot be read."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _named(op: Any, op_backward: Any, function: Any, names: list[str]) -> Pair:
    """Give op the name of `function`, the names of its arguments, and its source: reports speak of them."""
    op.__name__ = getattr(function, "__name__", type(function).__name__)
    op_backward.__name__ = f"{op.__name__}_backward"
    op.__wrapped__ = getattr(function, "forward", function)
    kinds = inspect.Parameter
    if names:
        known = [kinds(name, kinds.POSITIONAL_OR_KEYWORD) for name in names]
        op.__signature__ = inspect.Signature([*known, kinds("hyper", kinds.VAR_KEYWORD)])
    return op, op_backward


# --- PyTorch ---------------------------------------------------------------------------------------------------------
def _tensor(torch: Any, array: Array) -> Any:
    """Return a tensor that shares memory with the array where it can: then a write to it is seen by the checker."""
    shared = array.flags.writeable and array.dtype.isnative and all(stride >= 0 for stride in array.strides)
    return torch.from_numpy(array if shared else array.copy())


def _array(tensor: Any) -> Array:
    return np.array(tensor.detach().resolve_conj().resolve_neg().cpu().numpy())


def _rule(torch: Any, function: Any) -> Any:
    """Return the autograd.Function that `function` is, or is the apply of; else None."""
    for candidate in (function, getattr(function, "__self__", None)):
        if isinstance(candidate, type) and issubclass(candidate, torch.autograd.Function):
            return candidate
    return None


def _rule_names(torch: Any, rule: Any) -> list[str]:
    """Return the names of the arguments of forward, without ctx; forward has none where setup_context is written."""
    separate = rule.setup_context is not torch.autograd.Function.setup_context
    return _names(rule.forward)[0 if separate else 1 :]


def _call_module(torch: Any, module: Any) -> Callable[..., Any]:
    """Return a function of inputs and parameters that calls the module, with copies of its buffers."""
    names = [name for name, _ in module.named_parameters()]

    def call(*tensors: Any, **hyper: Any) -> Any:
        inputs, values = tensors[: len(tensors) - len(names)], tensors[len(tensors) - len(names) :]
        precision = tensors[0].real.dtype  # a module's buffers have the precision of its parameters
        state = dict(zip(names, values, strict=True))
        for name, buffer in module.named_buffers():
            dtype = precision if buffer.is_floating_point() else buffer.dtype
            state[name] = buffer.detach().to("cpu", dtype, copy=True)
        return torch.func.functional_call(module, state, inputs, hyper)

    return call


def _module_names(module: Any) -> list[str]:
    """Return names for the inputs and parameters; "0.weight" becomes "_0_weight"."""
    inputs = _names(module.forward)
    names = [name.replace(".", "_") for name, _ in module.named_parameters()]
    return [*inputs, *(name if name.isidentifier() else f"_{name}" for name in names)]
