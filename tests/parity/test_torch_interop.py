"""State dicts through real modules of PyTorch: both ways, then the same outputs, gradients and running statistics."""

import importlib
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from an_ref import nn
from an_ref.interop import from_torch, load_safetensors, save_safetensors, to_torch

torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed; for live parity: pip install -e '.[test,parity]'"
)

from . import torch_nets  # noqa: E402

pytestmark = pytest.mark.parity

C, K = 8, 3
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}
BOTH_DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=["float32", "float64"])

Pair = tuple[Callable[..., nn.Layer], Callable[[], Any]]


def attentive(**variant: str) -> Pair:
    groups = {"groups": 2} if variant.get("standardize") == "group" else {}
    return (
        lambda **kw: nn.AttentiveNorm(C, mixtures=K, **variant, **groups, **kw),  # type: ignore[arg-type]
        lambda: torch_nets.AttentiveNorm(C, K, **variant, **groups),  # type: ignore[arg-type]
    )


LAYERS: dict[str, Pair] = {
    "bn": (lambda **kw: nn.BatchNorm(C, **kw), lambda: torch.nn.BatchNorm2d(C)),
    "gn": (lambda **kw: nn.GroupNorm(C, groups=4, **kw), lambda: torch.nn.GroupNorm(4, C)),
    "ln": (lambda **kw: nn.LayerNorm(C, **kw), lambda: torch.nn.GroupNorm(1, C)),
    "in": (lambda **kw: nn.InstanceNorm(C, **kw), lambda: torch.nn.InstanceNorm2d(C, affine=True)),
    "sn": (lambda **kw: nn.SwitchableNorm(C, **kw), lambda: torch_nets.SwitchableNorm(C)),
    "sn-of-two": (
        lambda **kw: nn.SwitchableNorm(C, use_batch=False, **kw),
        lambda: torch_nets.SwitchableNorm(C, use_batch=False),
    ),
    "se": (lambda **kw: nn.SqueezeExcite(C, reduction=2, **kw), lambda: torch_nets.SqueezeExcite(C, 2)),
    "conv": (
        lambda **kw: nn.Conv2d(C, 6, size=3, stride=2, padding=1, groups=2, **kw),
        lambda: torch.nn.Conv2d(C, 6, 3, 2, 1, groups=2),
    ),
    "conv-bare": (
        lambda **kw: nn.Conv2d(C, 6, size=1, bias=False, **kw),
        lambda: torch.nn.Conv2d(C, 6, 1, bias=False),
    ),
    "sequential": (
        lambda **kw: nn.Sequential(nn.Conv2d(C, 4, size=3, **kw), nn.ReLU(), nn.BatchNorm(4, **kw)),
        lambda: torch.nn.Sequential(torch.nn.Conv2d(C, 4, 3), torch.nn.ReLU(), torch.nn.BatchNorm2d(4)),
    ),
}
for standardize, transform in product(
    ("batch", "group", "layer", "instance", "switchable"), ("linear", "linear_norm", "mlp")
):
    LAYERS[f"an-{standardize}-{transform}"] = attentive(standardize=standardize, transform=transform)
for descriptor, activation in product(("mean", "mean_max"), ("sigmoid", "softmax")):
    LAYERS[f"an-{descriptor}-{activation}"] = attentive(descriptor=descriptor, activation=activation)

NETS: dict[str, Pair] = {
    norm: (
        lambda norm=norm, **kw: nn.small_cnn(norm=norm, classes=5, **kw),
        lambda norm=norm: torch_nets.ResNet(norm=norm, classes=5, blocks=1, stem_stride=2),
    )
    for norm in nn.NORMS
} | {
    "resnet20-an": (
        lambda **kw: nn.resnet20(norm="an", classes=5, **kw),
        lambda: torch_nets.ResNet(norm="an", classes=5),
    ),
    "resnet20-bottleneck-se": (
        lambda **kw: nn.resnet20(norm="se", classes=5, block="bottleneck", **kw),
        lambda: torch_nets.ResNet(norm="se", classes=5, blocks=2, bottleneck=True),
    ),
    "resnet56-bottleneck-an": (
        lambda **kw: nn.resnet56(norm="an", classes=5, block="bottleneck", **kw),
        lambda: torch_nets.ResNet(norm="an", classes=5, blocks=6, bottleneck=True, mixtures=(10, 10, 20)),
    ),
}
EVERY = pytest.mark.parametrize("pair", [*LAYERS.values(), *NETS.values()], ids=[*LAYERS, *NETS])


def a_module(pair: Pair, dtype: type, seed: int) -> Any:
    """The module of a pair with random arrays: all parts of a branch count, and no variance is near 0."""
    torch.manual_seed(seed)
    module = pair[1]().to(torch.float64 if dtype is np.float64 else torch.float32)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.1 * torch.randn_like(p))
        for key, buffer in module.named_buffers():
            if not key.endswith("num_batches_tracked"):
                buffer.add_(0.5 * torch.rand_like(buffer))
    return module


def images(pair: Pair, dtype: type) -> np.ndarray:
    channels = 3 if pair in NETS.values() else C
    return np.random.default_rng(3).normal(0.3, 1, (6, channels, 16, 16)).astype(dtype)


def assert_close(ours: np.ndarray, theirs: Any, tolerance: float) -> None:
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    error = np.abs(ours - theirs).max() / max(1.0, np.abs(theirs).max())
    assert error <= tolerance, f"relative error {error:.2e}"


def assert_same_outputs(layer: nn.Layer, module: Any, x: np.ndarray, tolerance: float) -> None:
    """Eval mode, then training, which moves the running statistics, then eval mode again."""
    for train in (False, True, False):
        module.train(train)
        assert_close(layer.forward(x, train=train), module(torch.from_numpy(x)), tolerance)


@BOTH_DTYPES
@EVERY
def test_from_torch(pair: Pair, dtype: type) -> None:
    layer, module = pair[0](rng=0, dtype=dtype), a_module(pair, dtype, seed=1)
    from_torch(layer, module.state_dict())
    assert_same_outputs(layer, module, images(pair, dtype), TOLERANCE[dtype])


@BOTH_DTYPES
@EVERY
def test_to_torch(pair: Pair, dtype: type) -> None:
    layer, module = pair[0](rng=0, dtype=dtype), a_module(pair, dtype, seed=1)
    from_torch(layer, a_module(pair, dtype, seed=2).state_dict())
    module.load_state_dict({key: torch.from_numpy(a) for key, a in to_torch(layer).items()}, strict=True)
    assert_same_outputs(layer, module, images(pair, dtype), TOLERANCE[dtype])


@EVERY
def test_a_state_dict_comes_back_as_it_was_after_training(pair: Pair) -> None:
    """The running statistics too: they are in the same unit on both sides."""
    layer, module = pair[0](rng=0, dtype=np.float64), a_module(pair, np.float64, seed=1)
    from_torch(layer, module.state_dict())
    x = images(pair, np.float64)
    layer.forward(x, train=True)
    module.train()(torch.from_numpy(x))
    ours, theirs = to_torch(layer), module.state_dict()
    assert set(ours) == set(theirs)
    for key in theirs:
        if not key.endswith("num_batches_tracked"):
            assert_close(ours[key], theirs[key], 1e-12)


@EVERY
def test_gradients_have_the_names_of_their_parameters(pair: Pair) -> None:
    layer, module = pair[0](rng=0, dtype=np.float64), a_module(pair, np.float64, seed=1)
    from_torch(layer, module.state_dict())
    x = images(pair, np.float64)
    x_there = torch.from_numpy(x).requires_grad_()
    y = module.train()(x_there)
    dy = np.random.default_rng(4).normal(size=y.shape)
    torch.autograd.backward(y, torch.from_numpy(dy))
    layer.forward(x, train=True)
    assert_close(layer.backward(dy), x_there.grad, 1e-10)

    for key, grad in list(layer.grads.items()):
        layer.params[key] = grad  # to_torch gives them PyTorch's names
    named = to_torch(layer)
    for key, p in module.named_parameters():
        assert_close(named[key], p.grad, 1e-10)


def test_tensors_that_cannot_be_arrays_are_an_error_that_names_the_key() -> None:
    state = torch.nn.BatchNorm2d(C).bfloat16().state_dict()
    with pytest.raises(TypeError, match="'weight' is a tensor that NumPy cannot hold"):
        from_torch(nn.BatchNorm(C), state)


def test_tensors_may_need_a_gradient() -> None:
    module = torch.nn.Linear(C, 2)
    layer = nn.Linear(C, 2)
    from_torch(layer, dict(module.named_parameters()))
    assert_close(layer.params["weight"].T.copy(), module.weight, 0)


def test_safetensors_files_of_pytorch(tmp_path: Any) -> None:
    """Written there, read here, and the other way round."""
    files = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    pair = NETS["se"]
    layer, one, two = pair[0](rng=0), a_module(pair, np.float32, seed=1), a_module(pair, np.float32, seed=2)
    files.save_file(one.state_dict(), tmp_path / "theirs.safetensors")
    load_safetensors(layer, tmp_path / "theirs.safetensors")
    save_safetensors(layer, tmp_path / "ours.safetensors")
    two.load_state_dict(files.load_file(tmp_path / "ours.safetensors"))
    for key, p in one.named_parameters():
        assert torch.equal(p, two.get_parameter(key))


def test_the_names_are_torchvisions() -> None:
    """Held against torchvision itself where it is installed."""
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    blocks = models.resnet.BasicBlock, models.resnet.Bottleneck
    for kind, block in zip(blocks, ("basic", "bottleneck"), strict=True):
        theirs = {key for key in models.resnet.ResNet(kind, [3, 3, 3, 1]).state_dict() if "layer4" not in key}
        ours = set(to_torch(nn.resnet20(norm="bn", classes=5, block=block)))
        stages = {key.split(".")[0] for key in ours}
        assert stages == {key.split(".")[0] for key in theirs}
        assert ours <= theirs
    gate = importlib.import_module("torchvision.ops").SqueezeExcitation(C, 2)
    from_torch(nn.SqueezeExcite(C, reduction=4), gate.state_dict())
