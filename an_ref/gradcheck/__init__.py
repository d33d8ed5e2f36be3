"""Gradient checking: is op_backward the derivative of op?"""

from .adapters import from_jax, from_torch
from .check import check_gradients, check_layer
from .report import Finding, Report

__all__ = ["Finding", "Report", "check_gradients", "check_layer", "from_jax", "from_torch"]
