"""docs/conventions.md: every cell about an_ref, and with PyTorch every cell about PyTorch, is what a measurement says.

Each function below measures one row of the page and returns the text that must stand in its cell.
"""

import importlib.util
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import an_ref
from an_ref import nn

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "conventions.md").read_text(encoding="utf-8")
ROWS = {}
for line in PAGE.splitlines():
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    if line.startswith("| ") and cells[0] != "convention" and not cells[0].startswith("-"):
        assert cells[0] not in ROWS
        ROWS[cells[0]] = cells
MEASURED = {}
AN_REF, PYTORCH, KERAS = 1, 2, 3  # columns
NOTHING = "—"

torch = pytest.importorskip("torch") if importlib.util.find_spec("torch") else None
needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed; pip install -e '.[test,parity]'")

x = np.random.default_rng(0).normal(2, 3, (4, 6, 2, 5))


def row(name):
    """Register a function that measures this row; it is given whether to measure PyTorch."""
    return lambda measure: MEASURED.setdefault(name, measure)


@pytest.mark.parametrize("name", ROWS)
def test_what_the_page_says_of_an_ref(name):
    assert MEASURED[name](False) == ROWS[name][AN_REF]


@needs_torch
@pytest.mark.parametrize("name", [name for name, cells in ROWS.items() if cells[PYTORCH] != NOTHING])
def test_what_the_page_says_of_pytorch(name):
    assert MEASURED[name](True) == ROWS[name][PYTORCH]


def test_every_measurement_has_its_row():
    assert set(MEASURED) == set(ROWS)


def test_every_keras_cell_cites_its_documentation():
    keras = {name: cells[KERAS] for name, cells in ROWS.items() if cells[KERAS] != NOTHING}
    assert keras
    for name, cell in keras.items():
        page = re.search(r"\[(keras-\w+)\]$", cell)
        assert page, name
        assert re.search(rf"^\[{page[1]}\]: https://keras.io/api/", PAGE, re.MULTILINE), name


# --- how either library is asked ------------------------------------------------------------------------------------
def tensor(array):
    return torch.tensor(array, dtype=torch.float64)


def trained(pytorch, x, **options):
    """Return y of BN in training on x, and the running mean and variance afterwards."""
    if not pytorch:
        layer = nn.BatchNorm(x.shape[1], dtype=np.float64, **options)
        return layer.forward(x), layer.state["running_mean"], layer.state["running_var"]
    layer = torch.nn.BatchNorm2d(x.shape[1], dtype=torch.float64, **options)
    return layer(tensor(x)).detach().numpy(), layer.running_mean.numpy(), layer.running_var.numpy()


def parameters(layer):
    return layer.params if isinstance(layer, nn.Layer) else {k: p.detach().numpy() for k, p in layer.named_parameters()}


def name_of_variance(var, values):
    """Return which variance of these values, (..., count), var is."""
    names = [name for name, ddof in (("biased", 0), ("unbiased", 1)) if np.allclose(var, values.var(-1, ddof=ddof))]
    return " and ".join(names) or "neither"


def default(function, name):
    """Return the default of a parameter as text, "none" if it has none."""
    value = inspect.signature(function).parameters[name].default
    return "none" if value is inspect.Parameter.empty else re.sub(r"e-0", "e-", f"{value:g}")


def shape(array, names):
    return "(" + ", ".join(names[size] for size in array.shape) + ("," if array.ndim == 1 else "") + ")"


def gradient(pytorch, name, x, dy, *options):
    """Return dx of an activation or a pooling."""
    if not pytorch:
        _, cache = getattr(an_ref, name)(x, **dict(zip(["size"], options, strict=False)))
        return getattr(an_ref, name + "_backward")(dy, cache)
    t = tensor(x).requires_grad_()
    y = getattr(torch.nn.functional, name.replace("hsigmoid", "hardsigmoid"))(t, *options)
    return torch.autograd.grad(y, t, tensor(dy))[0].numpy()


def error_of(function, *args):
    with pytest.raises((ValueError, TypeError, RuntimeError)) as error:
        function(*args)
    return error.type.__name__


# --- normalization --------------------------------------------------------------------------------------------------
channels = x.transpose(1, 0, 2, 3).reshape(6, -1)
mean, var = channels.mean(1)[:, None, None], channels.var(1)[:, None, None]
ones, zeros = np.ones(6), np.zeros(6)


@row("BN: variance in training")
def variance_in_training(pytorch):
    y, *_ = trained(pytorch, x, eps=1e-5)
    return name_of_variance((((x - mean) / y) ** 2)[0, :, 0, 0] - 1e-5, channels)


@row("BN: variance that is stored")
def variance_that_is_stored(pytorch):
    return name_of_variance(trained(pytorch, x, **({"momentum": 1.0} if pytorch else {"decay": 0.0}))[2], channels)


@row("BN: share in the running statistics")
def share(pytorch):
    name, layer = ("momentum", torch.nn.BatchNorm2d) if pytorch else ("decay", nn.BatchNorm)
    value = float(default(layer, name))
    stored = float(trained(pytorch, np.full((2, 1, 2, 2), 5.0))[1][0])  # it was 0
    kind = {round(5 * value, 9): "new", round(5 * (1 - value), 9): "old"}[round(stored, 9)]
    return f"`{name}` = {value}, of the {kind} value"


@row("BN: running mean and variance at the start")
def start(pytorch):
    state = torch.nn.BatchNorm2d(3).state_dict() if pytorch else nn.BatchNorm(3).state
    return " and ".join(f"{set(state[name].tolist()).pop():g}" for name in ("running_mean", "running_var"))


@row("eps of BN, LN, IN and GN")
def eps(pytorch):
    layers = [nn.BatchNorm, nn.LayerNorm, nn.InstanceNorm, nn.GroupNorm, an_ref.batch_norm, an_ref.group_norm]
    if pytorch:
        layers = [torch.nn.BatchNorm2d, torch.nn.LayerNorm, torch.nn.InstanceNorm2d, torch.nn.GroupNorm]
    return " or ".join({default(layer, "eps") for layer in layers})


@row("place of eps")
def place_of_eps(pytorch):
    y, *_ = trained(pytorch, x, eps=2.0)
    roots = {"inside": np.sqrt(var + 2), "outside": np.sqrt(var) + 2}
    return " and ".join(f"{place} of the root" for place, root in roots.items() if np.allclose(y, (x - mean) / root))


@row("gamma and beta: names, values at the start")
def affine(pytorch):
    params = parameters(torch.nn.BatchNorm2d(3) if pytorch else nn.BatchNorm(3))
    return ", ".join(f"`{name}` = {set(value.tolist()).pop():g}" for name, value in params.items())


@row("BN: one value for each channel in training")
def one_value(pytorch):
    return error_of(trained, pytorch, np.ones((1, 3, 1, 1)))


@row("LN: averages over")
def ln_axes(pytorch):
    def standardized(count):
        axes = tuple(range(4 - count, 4))
        return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)

    if not pytorch:
        return "(C, H, W)" if np.allclose(an_ref.layer_norm(x, ones, zeros)[0], standardized(3)) else "others"
    ys = [torch.nn.functional.layer_norm(tensor(x), x.shape[-count:]).numpy() for count in (1, 2, 3)]
    right = all(np.allclose(y, standardized(count)) for count, y in enumerate(ys, 1))
    return "the last axes, as many as in `normalized_shape`" if right else "others"


@row("LN: shape of gamma")
def ln_gamma(pytorch):
    if pytorch:
        return f"`normalized_shape`, so {shape(torch.nn.LayerNorm([6, 2, 5]).weight, {6: 'C', 2: 'H', 5: 'W'})}"
    return shape(nn.LayerNorm(6).params["gamma"], {6: "C"})


@row("LN on images, gamma for each channel")
def ln_on_images(pytorch):
    gamma = np.arange(1.0, 7)
    y, _ = an_ref.layer_norm(x, gamma, zeros)
    if pytorch:
        same = torch.nn.functional.group_norm(tensor(x), 1, tensor(gamma)).numpy()
    else:
        same = an_ref.group_norm(x, gamma, zeros, groups=1)[0]
    return ("`GroupNorm(1, C)`" if pytorch else "`layer_norm`") if np.allclose(y, same) else "nothing"


@row("IN: gamma and beta")
def in_affine(pytorch):
    if not pytorch:
        return "always" if set(nn.InstanceNorm(3).params) == {"gamma", "beta"} else "not always"
    counts = [len(parameters(torch.nn.InstanceNorm2d(3, **options))) for options in ({"affine": True}, {})]
    return f"with `affine=True`: {counts[0]} parameters, else {counts[1]}"


@row("IN: running statistics")
def in_running(pytorch):
    state = dict(torch.nn.InstanceNorm2d(3).named_buffers()) if pytorch else nn.InstanceNorm(3).state
    return ("none by default" if pytorch else "none") if state == {} else "some"


@row("IN: one position for each map")
def in_one(pytorch):
    if pytorch:
        return error_of(torch.nn.InstanceNorm2d(3), torch.ones(2, 3, 1, 1))
    y, _ = an_ref.instance_norm(np.ones((2, 6, 1, 1)), ones, ones * 7)
    return "y = beta" if np.all(y == 7) else "another"


@row("GN: groups by default")
def groups(pytorch):
    if pytorch:
        return default(torch.nn.GroupNorm, "num_groups")
    return f"{default(nn.GroupNorm, 'groups')} in the layer, {default(an_ref.group_norm, 'groups')} in the op"


@row("SN: variances in the mixture")
def sn_variance(_):
    only_in = np.array([0.0, -1e3, -1e3])
    return name_of_variance(an_ref.switchable_norm(x, ones, zeros, only_in, only_in)[1].var, x.reshape(4, 6, -1))


@row("SN: logits, at the start")
def sn_logits(_):
    params = nn.SwitchableNorm(3).params
    mus = x.mean((2, 3)), np.broadcast_to(x.mean((1, 2, 3))[:, None], (4, 6)), np.broadcast_to(mean[:, 0, 0], (4, 6))
    names = []
    for logits in 1e3 * np.eye(3):
        mu = an_ref.switchable_norm(x, ones, zeros, logits, logits)[1].mu
        names += [name for name, part in zip(("`in`", "`ln`", "`bn`"), mus, strict=True) if np.allclose(mu, part)]
    assert params["mean_logits"].tolist() == params["var_logits"].tolist()
    return f"{', '.join(names)}: {params['var_logits'].astype(int).tolist()}"


@row("SE: activations")
def se_activations(_):
    arrays = np.zeros((6, 1)), np.array([-2.0]), np.full((1, 6), 100.0), np.full(6, 0.5)  # the hidden unit is off
    y, _ = an_ref.squeeze_excite(x, *arrays)
    return "ReLU, sigmoid" if np.allclose(y, x / (1 + np.exp(-0.5))) else "others"


@row("SE: biases, reduction")
def se_layer(_):
    return f"{'with' if 'b1' in nn.SqueezeExcite(16).params else 'without'}, {default(nn.SqueezeExcite, 'reduction')}"


@row("AN: variance and eps of the descriptor")
def an_descriptor(_):
    h, _ = an_ref.attention.mean_over_std(x, x.mean((2, 3)), x.var((2, 3)))
    return name_of_variance((x.mean((2, 3)) / h) ** 2 - 1e-3, x.reshape(4, 6, -1)) + ", 1e-3"


@row("AN: gamma and beta at the start")
def an_start(_):
    params = {name: nn.AttentiveNorm(1000, rng=0).params[name] for name in ("gamma", "beta")}
    return ", ".join(f"{name} normal({abs(p.mean()):.0f}, {p.std():.1f})" for name, p in params.items())


# --- layouts, start, kinks, padding, loss, optimizer ----------------------------------------------------------------
@row("weight of the linear layer")
def linear_weight(pytorch):
    layer = torch.nn.Linear(7, 3) if pytorch else nn.Linear(7, 3)
    return shape(parameters(layer)["weight"], {7: "in", 3: "out"})


@row("weight of the convolution")
def convolution_weight(pytorch):
    layer = torch.nn.Conv2d(12, 8, (3, 5), groups=2) if pytorch else nn.Conv2d(12, 8, size=(3, 5), groups=2)
    return shape(parameters(layer)["weight"], {8: "out", 6: "in / groups", 3: "kh", 5: "kw"})


@row("kernel of the convolution")
def kernel(pytorch):
    image, weight = np.array([[[[0.0, 1.0]]]]), np.array([[[[1.0, 2.0]]]])
    y = torch.conv2d(tensor(image), tensor(weight)) if pytorch else an_ref.conv2d(image, weight)[0]
    return {2: "not flipped", 1: "flipped"}[y.item()]


@row("weights and biases at the start")
def weights_at_the_start(pytorch):
    if pytorch:
        torch.manual_seed(0)
    weight, bias = parameters(torch.nn.Linear(400, 500) if pytorch else nn.Linear(400, 500, rng=0)).values()
    name = "uniform" if np.isclose(abs(weight).max(), weight.std() * 3**0.5, rtol=0.01) else "normal"
    factor = {2.0: "2 / fan_in", 0.33: "1 / (3 fan_in)"}[round(round(float(weight.var()) * 400 * 3, 1) / 3, 2)]
    return f"{name}, variance {factor}; biases {'too' if bias.any() else '0'}"


@row("gradient at the kinks: ReLU at 0, hard sigmoid at -3 and 3")
def kinks(pytorch):
    places = ("relu", 0.0), ("hsigmoid", -3.0), ("hsigmoid", 3.0)
    return ", ".join(f"{gradient(pytorch, op, np.array([at]), np.ones(1)).item():g}" for op, at in places)


@row("gradient of a maximum among equals")
def maximum_of_equals(pytorch):
    dx = gradient(pytorch, "max_pool2d", np.ones((1, 1, 2, 2)), np.ones((1, 1, 1, 1)), 2)
    return {(1, 0, 0, 0): "to the first", (0.25,) * 4: "to all"}[tuple(dx.ravel())]


@row("padding of the average pooling")
def average_padding(pytorch):
    image = np.ones((1, 1, 2, 2))
    y = an_ref.avg_pool2d(image, size=2, padding=1)[0]
    y = torch.nn.functional.avg_pool2d(tensor(image), 2, padding=1) if pytorch else y
    return {0.25: "zeros, counted", 1: "not counted"}[float(y[0, 0, 0, 0])]


@row("label smoothing s over K classes")
def smoothing(pytorch):
    logits, s = np.array([[1.0, 2.0, 4.0]]), 0.3
    if pytorch:
        loss = torch.nn.functional.cross_entropy(tensor(logits), torch.tensor([1]), label_smoothing=s)
    else:
        loss, _ = an_ref.softmax_cross_entropy(logits, np.array([1]), label_smoothing=s)
    log_p = logits[0] - np.log(np.exp(logits).sum())
    return "s / K for every class" if np.isclose(loss, -(1 - s) * log_p[1] - s * log_p.mean()) else "another"


@row("SGD: velocity when lr changes")
def velocity(pytorch):
    layer = nn.Linear(1, 1, bias=False)
    layer.params["weight"], layer.grads["weight"] = np.zeros((1, 1)), np.ones((1, 1))
    if pytorch:
        p = torch.zeros(1, requires_grad=True)
        p.grad = torch.ones(1)
    sgd = torch.optim.SGD([p], lr=1.0, momentum=0.5) if pytorch else nn.SGD(layer, lr=1.0, momentum=0.5)
    sgd.step()  # by 1; velocity 1
    if pytorch:
        sgd.param_groups[0]["lr"] = 0.1
    else:
        sgd.lr = 0.1
    sgd.step()
    second = -(p if pytorch else layer.params["weight"]).item() - 1
    return {0.15: "lr (momentum velocity + g)", 0.6: "momentum velocity + lr g"}[round(second, 6)]
