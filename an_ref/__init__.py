"""an_ref: feature normalization and channel attention, forward and backward by hand, in NumPy.

The seven layers: batch_norm, layer_norm, instance_norm, group_norm and switchable_norm in norms.py, squeeze_excite in
squeeze.py, attentive_norm in attentive.py. Each op has a NAME_backward: y, cache = op(x, *arrays, **hyper) and
dx, *darrays = op_backward(dy, cache). Layers with parameters and state live in an_ref.nn.
"""

from . import data, nn, textbook
from .activations import (
    hsigmoid,
    hsigmoid_backward,
    relu,
    relu6,
    relu6_backward,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    softmax,
    softmax_backward,
)
from .attentive import attentive_norm, attentive_norm_backward, attentive_norm_eval, attentive_norm_eval_backward
from .convolution import conv2d, conv2d_backward
from .gradcheck import check_gradients, check_layer
from .linear import linear, linear_backward
from .losses import softmax_cross_entropy, softmax_cross_entropy_backward
from .memory import keep_memory
from .norms import (
    batch_norm,
    batch_norm_backward,
    batch_norm_eval,
    batch_norm_eval_backward,
    group_norm,
    group_norm_backward,
    instance_norm,
    instance_norm_backward,
    layer_norm,
    layer_norm_backward,
    switchable_norm,
    switchable_norm_backward,
    switchable_norm_eval,
    switchable_norm_eval_backward,
)
from .pooling import (
    avg_pool2d,
    avg_pool2d_backward,
    global_avg_pool2d,
    global_avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)
from .squeeze import squeeze_excite, squeeze_excite_backward
from .threads import get_threads, set_threads

__version__ = "0.1.0"

__all__ = [
    "attentive_norm",
    "attentive_norm_backward",
    "attentive_norm_eval",
    "attentive_norm_eval_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_eval",
    "batch_norm_eval_backward",
    "check_gradients",
    "check_layer",
    "conv2d",
    "conv2d_backward",
    "data",
    "get_threads",
    "global_avg_pool2d",
    "global_avg_pool2d_backward",
    "group_norm",
    "group_norm_backward",
    "hsigmoid",
    "hsigmoid_backward",
    "instance_norm",
    "instance_norm_backward",
    "keep_memory",
    "layer_norm",
    "layer_norm_backward",
    "linear",
    "linear_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "nn",
    "relu",
    "relu6",
    "relu6_backward",
    "relu_backward",
    "set_threads",
    "sigmoid",
    "sigmoid_backward",
    "softmax",
    "softmax_backward",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "squeeze_excite",
    "squeeze_excite_backward",
    "switchable_norm",
    "switchable_norm_backward",
    "switchable_norm_eval",
    "switchable_norm_eval_backward",
    "textbook",
]
