"""The hot spots as CUDA kernels: the sweeps over feature maps, the loss of a classifier, and the convolution.

Each .cu file here is one subject, short enough to be read whole. The functions take arrays on a GPU and have the
signatures of those in sweeps.py; some of them take more (a residual sum, ReLU) where that saves a sweep. What the
kernels do not know (complex numbers, arrays that are no CuPy arrays) is computed by plain.py, in array code.

Maps are walked as (N, C, M), contiguous: other strides cost a copy. So conv2d makes its maps that way here.
"""

from .convolution import conv2d, conv2d_backward
from .losses import softmax_cross_entropy, softmax_cross_entropy_backward
from .sweeps import combine, gradient_sums, means, moments, peaks, scale_shift

__all__ = [
    "combine",
    "conv2d",
    "conv2d_backward",
    "gradient_sums",
    "means",
    "moments",
    "peaks",
    "scale_shift",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
]
