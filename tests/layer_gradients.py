"""The complex step on a layer, for the tests of an_ref.nn."""

import numpy as np

STEP = 1e-20


def gradient_errors(layer, x, rng, train=True):
    """Compare backward with the complex step along random directions, for x and for each parameter.

    Return {name: error}: |<gradient, v> - derivative along v| over |gradient| |v|, or over |dy| where that is larger: a
    gradient can be tiny by cancellation.
    """
    y = layer.forward(x, train)
    dy = rng.normal(size=y.shape)
    dx = layer.backward(dy)
    grads = dict(layer.grads)
    v = rng.normal(size=x.shape)
    errors = {"x": _error(dx, v, dy, layer.forward(x + 1j * STEP * v, train))}
    for key, grad in grads.items():
        p = layer.params[key]
        v = rng.normal(size=p.shape)
        layer.params[key] = p + 1j * STEP * v
        errors[key] = _error(grad, v, dy, layer.forward(x, train))
        layer.params[key] = p
    return errors


def _error(grad, v, dy, y):
    derivative = float((dy * y.imag).sum() / STEP)
    scale = max(np.linalg.norm(grad) * np.linalg.norm(v), np.linalg.norm(dy))
    return abs(derivative - float((grad * v).sum())) / scale


def shake(layer, rng, scale=0.3):
    """Move every parameter and running statistic off its start, where gradients can vanish by symmetry."""
    for key, p in layer.params.items():
        layer.params[key] = p + scale * rng.normal(size=p.shape).astype(p.dtype)
    for key, s in layer.state.items():
        layer.state[key] = s + scale * rng.random(size=s.shape).astype(s.dtype)
