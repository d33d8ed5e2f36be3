"""A tiny image set that a net learns at once, and made-up results, for the tests of experiment, report and command."""

import numpy as np

from an_ref.data import Dataset
from an_ref.results import Outcome, Settings, add_outcome, pack_correct, start_results

PIXELS, CLASSES = 16, ("red", "green", "blue & <b>")


def tiny_data(train=24, test=12, seed=0):
    """Noise with one brighter channel: the class."""
    rng = np.random.default_rng(seed)

    def split(count):
        labels = np.arange(count) % len(CLASSES)
        images = rng.integers(0, 120, (count, 3, PIXELS, PIXELS))
        images[np.arange(count), labels] += 120
        return images.astype(np.uint8), labels

    return Dataset("tiny", *split(train), *split(test), CLASSES)


def tiny_settings(**changes):
    settings = Settings("small_cnn", ("none", "bn"), (0,), epochs=1, batch_size=8, lr=0.05, weight_decay=5e-4)
    return settings._replace(**changes)


def made_up_results(norms=("none", "bn", "an"), seeds=3, epochs=4, skip=(), accuracy=None, test=400):
    """results, details and data as a comparison of these norms leaves them; `skip` holds (norm, seed) not finished."""
    rng = np.random.default_rng(1)
    data = tiny_data(test=test)
    settings = tiny_settings(norms=tuple(norms), seeds=tuple(range(seeds)), epochs=epochs)
    results, details = start_results(settings, data, workers=2)
    difficulty = rng.random(test)
    for norm in norms:
        for seed in range(seeds):
            if (norm, seed) not in skip:
                share = (accuracy or {}).get(norm, 0.6)
                correct = 0.8 * difficulty + 0.2 * rng.random(test) < share
                losses = [round(2.0 - 0.3 * epoch, 3) for epoch in range(epochs)]
                outcome = Outcome(float(correct.mean()), losses, 2.5, 1234, pack_correct(correct), attention_of(norm))
                add_outcome(results, details, norm, seed, outcome)
    return results, details, data


def attention_of(norm):
    layers, found = [f"{i}.branch.1" for i in range(6)], {"lambda": {}, "gates": {}, "mixture": {}}
    rng = np.random.default_rng(2)
    table = {"where": "block 1", "by_class": rng.random((len(CLASSES), 5)).tolist(), "share": 0.25}
    if norm.startswith("an"):
        found["lambda"] = dict.fromkeys(layers, table)
    if norm == "se":
        found["gates"] = dict.fromkeys(layers[:2], table)
    if norm.endswith("sn"):
        shares = {"where": "block 1", "parts": ["in", "ln", "bn"], "mean": [0.2, 0.3, 0.5], "variance": [0.4, 0.4, 0.2]}
        found["mixture"] = dict.fromkeys(layers, shares)
    return found
