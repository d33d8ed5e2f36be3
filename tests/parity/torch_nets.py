"""Layers and residual nets in PyTorch, written from the papers' equations, with the names that an_ref.interop gives.

PyTorch has BN, GN and IN; its GroupNorm with one group is LN with a parameter for each channel. SE, SN and AN are
modules here. The residual nets are called as torchvision calls them: conv1, bn1, layer1.0.conv1, ..., fc.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS, REDUCTION, MIXTURES = 8, 4, 10
STATISTICS = {"an": "batch", "an-gn": "group", "an-ln": "layer", "an-in": "instance", "an-sn": "switchable"}
BESIDE = {"an": "bn", "an-gn": "gn", "an-ln": "ln", "an-in": "in", "an-sn": "sn", "se": "bn"}


class SqueezeExcite(nn.Module):
    """y = x * sigmoid(fc2(relu(fc1(mean of each map)))), with fc1 and fc2 as 1x1 convolutions."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        m = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(m))))


class SwitchableNorm(nn.Module):
    """Mean and variance are mixtures of the instance, layer and (if `use_batch`) batch ones, with softmax weights."""

    def __init__(self, channels: int, *, use_batch: bool = True, affine: bool = True, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps, self.use_batch = eps, use_batch
        if affine:
            self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.mean_logits = nn.Parameter(torch.ones(2 + use_batch))
        self.var_logits = nn.Parameter(torch.ones(2 + use_batch))
        if use_batch:
            self.register_buffer("running_mean", torch.zeros(channels))
            self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        parts = [torch.var_mean(x, axes, correction=0, keepdim=True) for axes in ((2, 3), (1, 2, 3))]
        if self.use_batch:
            parts.append(self.over_batch(x))
        variances, means = zip(*parts, strict=True)
        mu = sum(w * mean for w, mean in zip(self.mean_logits.softmax(0), means, strict=True))
        var = sum(w * var for w, var in zip(self.var_logits.softmax(0), variances, strict=True))
        y = (x - mu) / torch.sqrt(var + self.eps)
        return y * per_channel(self.weight) + per_channel(self.bias) if hasattr(self, "weight") else y

    def over_batch(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Variance and mean of the batch, (1, C, 1, 1) each; the running ones in eval mode."""
        if not self.training:
            return per_channel(self.running_var), per_channel(self.running_mean)
        var, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        count = x.numel() // x.shape[1]
        self.running_mean.lerp_(mean.detach(), 0.1)
        self.running_var.lerp_(var.detach() * count / (count - 1), 0.1)
        return per_channel(var), per_channel(mean)


class Attention(nn.Module):
    """AN's weights lambda (N, K) = activation(transform(descriptor(x)))."""

    def __init__(
        self, channels: int, mixtures: int, *, over_batch: bool, descriptor: str, transform: str, activation: str
    ) -> None:
        super().__init__()
        self.descriptor, self.activation = descriptor, activation
        if transform == "mlp":
            self.fc1, self.fc2 = nn.Linear(channels, 2 * mixtures), nn.Linear(2 * mixtures, mixtures)
        else:
            self.fc = nn.Linear(channels, mixtures, bias=transform == "linear")
        if transform == "linear_norm":
            self.norm = nn.BatchNorm1d(mixtures) if over_batch else nn.GroupNorm(1, mixtures)

    def forward(self, x: Tensor) -> Tensor:
        h = x.mean((2, 3))
        if self.descriptor == "mean_max":
            h = h + x.amax((2, 3))
        elif self.descriptor == "mean_over_std":
            h = h / torch.sqrt(x.var((2, 3)) + 1e-3)
        z = self.fc2(F.relu(self.fc1(h))) if hasattr(self, "fc1") else self.fc(h)
        z = self.norm(z) if hasattr(self, "norm") else z
        if self.activation == "hsigmoid":
            return F.relu6(z + 3) / 6  # F.hardsigmoid rounds its gradient to float32, see run_torch.hsigmoid
        return torch.sigmoid(z) if self.activation == "sigmoid" else torch.softmax(z, 1)


class AttentiveNorm(nn.Module):
    """y = sum_k lambda[n,k] * (weight[k,c] * xhat + bias[k,c]), xhat from `norm`, lambda from `attention`."""

    def __init__(
        self,
        channels: int,
        mixtures: int = MIXTURES,
        *,
        standardize: str = "batch",
        groups: int = GROUPS,
        descriptor: str = "mean_over_std",
        transform: str = "linear_norm",
        activation: str = "hsigmoid",
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(1 + 0.1 * torch.randn(mixtures, channels))
        self.bias = nn.Parameter(0.1 * torch.randn(mixtures, channels))
        self.norm = {
            "batch": lambda: nn.BatchNorm2d(channels, affine=False),
            "group": lambda: nn.GroupNorm(groups, channels, affine=False),
            "layer": lambda: nn.GroupNorm(1, channels, affine=False),
            "instance": lambda: nn.InstanceNorm2d(channels),
            "switchable": lambda: SwitchableNorm(channels, affine=False),
        }[standardize]()
        self.attention = Attention(
            channels,
            mixtures,
            over_batch=standardize in ("batch", "switchable"),
            descriptor=descriptor,
            transform=transform,
            activation=activation,
        )

    def forward(self, x: Tensor) -> Tensor:
        weights = self.attention(x)
        scale, shift = weights @ self.weight, weights @ self.bias  # (N, C)
        return scale[:, :, None, None] * self.norm(x) + shift[:, :, None, None]


class Block(nn.Module):
    """A basic block of two 3x3 convolutions, or a bottleneck of 1x1, 3x3 and 1x1 that widens fourfold.

    AN follows the 3x3 convolution: the first one of a basic block, bn2 of a bottleneck.
    """

    def __init__(self, norm: str, channels: int, width: int, stride: int, *, bottleneck: bool, mixtures: int) -> None:
        super().__init__()
        out = 4 * width if bottleneck else width
        if bottleneck:
            sizes, widths, strides = (1, 3, 1), (channels, width, width, out), (1, stride, 1)
        else:
            sizes, widths, strides = (3, 3), (channels, width, out), (stride, 1)
        self.depth = len(sizes)
        for i, (size, step) in enumerate(zip(sizes, strides, strict=True)):
            attentive = mixtures if i == (1 if bottleneck else 0) else 0
            self.add_module(f"conv{i + 1}", convolution(norm, widths[i], widths[i + 1], size, step))
            self.add_module(f"bn{i + 1}", normalization(norm, widths[i + 1], attentive))
        self.se = SqueezeExcite(out, REDUCTION) if norm == "se" else nn.Identity()
        if stride == 1 and channels == out:
            self.downsample: nn.Module = nn.Identity()
        else:
            self.downsample = nn.Sequential(convolution(norm, channels, out, 1, stride), normalization(norm, out))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i in range(1, self.depth + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = F.relu(y) if i < self.depth else y
        return F.relu(self.se(y) + self.downsample(x))


class ResNet(nn.Module):
    """The residual nets of an_ref.nn for 32x32 images: three stages of `blocks` blocks each."""

    def __init__(
        self,
        *,
        norm: str,
        classes: int,
        blocks: int = 3,
        bottleneck: bool = False,
        stem_stride: int = 1,
        mixtures: tuple[int, ...] = (MIXTURES,) * 3,
    ) -> None:
        super().__init__()
        channels = 16
        self.conv1 = convolution(norm, 3, channels, 3, stem_stride)
        self.bn1 = normalization(norm, channels)
        for stage, width in enumerate((16, 32, 64)):
            made = []
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                made.append(Block(norm, channels, width, stride, bottleneck=bottleneck, mixtures=mixtures[stage]))
                channels = 4 * width if bottleneck else width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*made))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.layer3(self.layer2(self.layer1(y)))
        return self.fc(y.mean((2, 3)))


def convolution(norm: str, channels: int, width: int, size: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels, width, size, stride, size // 2, bias=norm == "none")


def normalization(norm: str, channels: int, mixtures: int = 0) -> nn.Module:
    """A norm of the net; AN with that many mixtures if there are any."""
    if norm in STATISTICS and mixtures:
        return AttentiveNorm(channels, mixtures, standardize=STATISTICS[norm])
    plain = {
        "none": nn.Identity,
        "bn": lambda: nn.BatchNorm2d(channels),
        "ln": lambda: nn.GroupNorm(1, channels),
        "in": lambda: nn.InstanceNorm2d(channels, affine=True),
        "gn": lambda: nn.GroupNorm(GROUPS, channels),
        "sn": lambda: SwitchableNorm(channels),
    }
    return plain[BESIDE.get(norm, norm)]()


def per_channel(p: Tensor) -> Tensor:
    return p[None, :, None, None]
