"""What the papers report on ImageNet-1K, to stand beside our studies: other images, other nets, far longer training.

All figures are top-1 accuracies in percent. For the depth study there are none.
"""

from __future__ import annotations

from .tables import Table

# Luo et al. 2019, arXiv 1806.10779. BN's statistics are those of one GPU. None: it does not converge.
IMAGES_PER_GPU = (32, 16, 8, 4, 2, 1)
BY_IMAGES_PER_GPU: dict[str, tuple[float | None, ...]] = {
    "bn": (76.4, 76.3, 75.2, 72.7, 65.3, None),
    "gn": (75.9, 75.8, 76.0, 75.8, 75.9, 75.5),
    "sn": (76.9, 76.7, 76.7, 75.9, 75.6, 75.0),
}

# Li, Sun & Wu 2020, arXiv 1908.01259. The first of each net is BN alone.
BY_PLACEMENT = {
    "ResNet-34 (basic blocks)": {"BN": 74.5, "AN at bn1, our first": 75.5, "AN at bn1 and bn2": 75.1},
    "ResNet-50 (bottlenecks)": {"BN": 76.9, "AN at bn2": 78.4, "AN at bn3": 78.2, "AN everywhere": 77.8},
}

# The same paper: its default AN and other norms, 120 epochs; published as errors. Of an AN with one part changed, which
# is what our ablation tries, no figure is known to us.
BY_NET = {
    "ResNet-50": {"BN": 76.99, "GN": 76.48, "SN": 77.57, "SE": 77.63, "AN": 78.41},
    "ResNet-101": {"BN": 78.67, "AN": 79.39},
    "MobileNetV2": {"BN": 71.31, "AN": 73.33},
}


def published_table(study: str) -> Table | None:
    """Return the published figures that stand beside a study, None where there are none."""
    return {"batch-size": _batch_size, "placement": _placement, "ablation": _ablation}.get(study, lambda: None)()


def _batch_size() -> Table:
    columns = [
        ["does not converge" if v is None else f"{v:.1f}" for v in values] for values in BY_IMAGES_PER_GPU.values()
    ]
    rows = [(str(count), *cells) for count, *cells in zip(IMAGES_PER_GPU, *columns, strict=True)]
    title = "Published, ResNet-50 on ImageNet-1K with 8 GPUs: top-1 accuracy in percent, by images on each GPU"
    return Table(title, ("images per GPU", *BY_IMAGES_PER_GPU), rows)


def _placement() -> Table:
    rows = [
        (net, place, f"{accuracy:.1f}", f"{accuracy - places['BN']:+.1f}" if place != "BN" else "")
        for net, places in BY_PLACEMENT.items()
        for place, accuracy in places.items()
    ]
    return Table("Published, ImageNet-1K: top-1 accuracy in percent", ("net", "norms", "accuracy", "minus BN"), rows)


def _ablation() -> Table:
    norms = tuple(BY_NET["ResNet-50"])
    rows = [(net, *(f"{found[n]:.2f}" if n in found else "" for n in norms)) for net, found in BY_NET.items()]
    title = "Published, the default AN on ImageNet-1K, 120 epochs: top-1 accuracy in percent"
    return Table(title, ("net", *norms), rows)
