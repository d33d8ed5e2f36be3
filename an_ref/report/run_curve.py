"""The figure of one training run: the losses above, the test accuracy below, by epoch."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ..training.settings import EpochRecord, RunSettings
from .style import COLOURS, GREY, drawing, new_figure, save_png


def draw_run(history: Sequence[EpochRecord], settings: RunSettings) -> bytes:
    """Return a PNG of the run so far; it is empty but for its axes before the first epoch is done."""
    with drawing():
        figure = new_figure(4.6)
        losses, accuracy = figure.subplots(2, 1, sharex=True)
        epochs = np.arange(1, len(history) + 1)
        colour = COLOURS[settings.norm]
        marker = "o" if len(history) == 1 else ""  # a single point makes no line
        losses.plot(
            epochs, [r.train_loss for r in history], marker or "-", color=GREY, label="training images, augmented"
        )
        losses.plot(epochs, [r.test_loss for r in history], marker or "-", color=colour, label="test images")
        losses.set_title(f"{settings.model}, {settings.norm}, on {settings.data}: cross-entropy")
        losses.set_ylim(bottom=0)
        losses.legend()
        values = [r.test_accuracy for r in history]
        accuracy.plot(epochs, values, marker or "-", color=colour)
        title = "test images named correctly"
        if history:
            best = int(np.argmax(values))
            accuracy.plot(epochs[best], values[best], "o", color=colour)
            title += f": at best {values[best]:.1%}, after epoch {best + 1}"
        accuracy.set_title(title)
        accuracy.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        accuracy.set_xlabel("epoch")
        accuracy.set_xlim(0.5, settings.recipe.epochs + 0.5)
        accuracy.xaxis.set_major_locator(MaxNLocator(integer=True))
        for axes in (losses, accuracy):
            axes.grid(axis="y")
        buffer = io.BytesIO()
        save_png(figure, buffer)
    return buffer.getvalue()
