"""State dicts in PyTorch's names and layouts, to and from layers; the same dicts as safetensors files.

PyTorch itself is not needed: a state dict is a mapping of names to arrays, or to tensors. The names:

    layer                  names and shapes                                             PyTorch's module
    ---------------------  -----------------------------------------------------------  ------------------------------
    BatchNorm              weight, bias, running_mean, running_var (C,)                 BatchNorm1d, 2d, 3d
                           num_batches_tracked ()
    GroupNorm              weight, bias (C,)                                            GroupNorm(groups, C)
    LayerNorm              weight, bias (C,)                                            GroupNorm(1, C), not LayerNorm
    InstanceNorm           weight, bias (C,)                                            InstanceNorm2d(C, affine=True)
    Conv2d                 weight (out, in / groups, kh, kw), bias (out,)               Conv2d
    Linear                 weight (out, in), bias (out,)                                Linear
    SqueezeExcite          fc1.weight (C/r, C, 1, 1), fc1.bias (C/r,)                   torchvision's
                           fc2.weight (C, C/r, 1, 1), fc2.bias (C,)                     SqueezeExcitation
    SwitchableNorm         weight, bias, running_mean, running_var (C,)                 it has none: names of an_ref's
                           mean_logits, var_logits (3,)
    AttentiveNorm          weight, bias (K, C)                                          it has none: names of an_ref's
      batch                norm.running_mean, norm.running_var (C,)                     BatchNorm2d(C, affine=False)
      switchable           the same, and norm.mean_logits, norm.var_logits (3,)
      linear, linear_norm  attention.fc.weight (K, C); linear: attention.fc.bias (K,)   Linear
      linear_norm          attention.norm.weight, attention.norm.bias (K,); over the    BatchNorm1d(K)
                           batch also attention.norm.running_mean, ...running_var (K,)  else GroupNorm(1, K)
      mlp                  attention.fc1.weight (2K, C), attention.fc1.bias (2K,)       Linear
                           attention.fc2.weight (K, 2K), attention.fc2.bias (K,)        Linear
    Residual               conv1, bn1, conv2, bn2, ..., se, downsample                  torchvision's blocks
    Sequential: a ResNet   conv1, bn1, layer1.0, layer1.1, ..., layer2.0, ..., fc       torchvision's ResNet
    Sequential: any other  0, 1, 2, ...                                                 Sequential

A norm of a block is called bn1, bn2, ... whatever its kind, as in torchvision. Matrices are transposed, for PyTorch has
them as (out, in). They are read as (out, in, 1, 1) too, and those of SE as (out, in): some write them as 1x1
convolutions, some as linear layers.

The running variance is the unbiased one on both sides, so nothing is converted. What a state dict does not hold has to
agree by hand: eps (1e-5 on both sides), groups, and the speed of the running statistics: PyTorch's momentum is
1 - decay, so decay = 0.9 is momentum 0.1. PyTorch's counter num_batches_tracked is written as 0, and may be missing
when read; PyTorch itself uses it only with momentum=None.
"""

from .state import from_torch, to_torch
from .storage import load_safetensors, save_safetensors

__all__ = ["from_torch", "load_safetensors", "save_safetensors", "to_torch"]
