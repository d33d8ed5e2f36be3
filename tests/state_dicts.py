"""What the tests of state dicts share."""

import numpy as np
from layer_gradients import shake


def arrays_of(layer):
    return {**layer.params, **layer.state}


def shaken(layer, rng):
    """Give every array its own random values, variances above zero."""
    draw = np.random.default_rng(rng)
    shake(layer, draw)
    for key, value in layer.state.items():
        layer.state[key] = draw.uniform(0.5, 2, value.shape).astype(value.dtype)
    return layer


def same(a, b):
    """Whether two dicts of arrays have the same keys, dtypes and bits."""
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) and a[key].dtype == b[key].dtype for key in a)


class Tensor:
    """What from_torch asks of a tensor."""

    def __init__(self, array, fault=None):
        self.array, self.fault, self.asked = array, fault, []

    def detach(self):
        self.asked.append("detach")
        return self

    def cpu(self):
        self.asked.append("cpu")
        return self

    def numpy(self):
        self.asked.append("numpy")
        if self.fault:
            raise self.fault
        return self.array
