"""Where the time of a training step goes: python scripts/profile_step.py [norm]

Takes steps of resnet20 on 128 random images in float32 under cProfile, and prints the table of docs/speed.md: the time
that each part takes itself, without what it calls. With one thread, because the profiler sees one.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from pathlib import Path

import numpy as np

import an_ref
from an_ref import nn
from an_ref.threads import one_blas_thread
from an_ref.windows import count_windows

STEPS = 5
PARTS = {  # file: what it does
    "convolution.py": "products of the convolutions",
    "windows.py": "their windows, copied side by side",
    "sweeps.py": "sweeps of the norms",
    "activations.py": "ReLU",
    "containers.py": "sums with the shortcuts",
    "optimizers.py": "SGD",
}
REST = "tables, small layers, calls"


def main(norm: str) -> None:
    """Print the table, and how fast the matrix products are."""
    an_ref.keep_memory()
    an_ref.set_threads(1)
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((128, 3, 32, 32), dtype=np.float32), rng.integers(10, size=128)
    net = nn.resnet20(norm=norm, classes=10, rng=0)
    sgd = nn.SGD(net, lr=0.01)

    def step() -> None:
        _, cache = an_ref.softmax_cross_entropy(net.forward(x), labels)
        net.backward(an_ref.softmax_cross_entropy_backward(np.float32(1), cache))
        sgd.step()

    with one_blas_thread():
        step()
        profile = cProfile.Profile()
        for _ in range(STEPS):
            profile.runcall(step)
        seconds = own_seconds(profile)
        whole, products = sum(seconds.values()), seconds[PARTS["convolution.py"]]
        print(f"| resnet20, {norm}, one thread | ms | share |\n| --- | --: | --: |")
        for part, own in sorted(seconds.items(), key=lambda entry: -entry[1]):
            print(f"| {part} | {1e3 * own:.0f} | {own / whole:.0%} |")
        print(f"| whole step | {1e3 * whole:.0f} | |")
        speed = product_operations(net) / products / 1e9
        print(f"\nThe products run at {speed:.0f} GFLOP/s, one of 1024 x 1024 matrices at {best_speed(rng):.0f}.")


def own_seconds(profile: cProfile.Profile) -> dict[str, float]:
    """Return the seconds of a step that each part took itself."""
    seconds = dict.fromkeys((*PARTS.values(), REST), 0.0)
    for (file, _, _), (_, _, own, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        seconds[PARTS.get(Path(file).name, REST)] += own / STEPS
    return seconds


def product_operations(net: nn.Layer) -> float:
    """Return the multiplications and additions of all convolutions, forward and backward (two products)."""
    total = 0
    for _, layer in net.named_layers():
        if isinstance(layer, nn.Conv2d):
            x, weight, _, stride, padding, _ = layer.cache
            places = count_windows("conv2d", x.shape[2:], weight.shape[2:], stride, padding)
            total += 3 * 2 * len(x) * int(np.prod(places)) * weight.size
    return total


def best_speed(rng: np.random.Generator) -> float:
    """Return the GFLOP/s of a product of two large matrices, the best of ten."""
    a, b = rng.standard_normal((2, 1024, 1024), dtype=np.float32)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2 * 1024**3 / min(times) / 1e9


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "bn")
