"""One training run in a folder, which goes on where it was if it is killed.

    last.npz    the run after its last whole epoch (see `checkpoint`)
    best.npz    the same after the epoch with the highest test accuracy; the test images chose it, so its accuracy on
                them flatters the net
    log.csv     one line for each epoch, written anew from what last.npz knows
    curve.png   the same as a figure

Every file is written aside and renamed, best.npz before last.npz: whatever last.npz has seen is there.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from pathlib import Path

from ..backend import beside, to_host
from ..data import Dataset
from ..files import remove_asides, replace_file
from ..threads import one_blas_thread
from .checkpoint import About, Checkpoint, CheckpointError, to_bytes
from .checkpoint_about import present_versions
from .divergence import TrainingDiverged, blame_state, finite
from .loop import Progress, Training, evaluate
from .settings import EpochRecord, RunSettings, fingerprints

FILES = ("best.npz", "last.npz", "log.csv", "curve.png")
BETWEEN_FIGURES = 30.0  # seconds: a figure takes half of one


class Run:
    """A run in the folder `out`, which must exist: a new one, or with `checkpoint` the one that it holds.

    `data` must have the images of the checkpoint, its `limit` taken; else CheckpointError is raised. What a killed
    process left aside in `out` is removed. Raises backend.NoGpuError if the settings ask for a GPU and there is none.
    """

    def __init__(self, settings: RunSettings, data: Dataset, out: Path, checkpoint: Checkpoint | None = None) -> None:
        self.settings, self.data, self.out = settings, data, out
        self.history: list[EpochRecord] = []
        self._images = fingerprints(data)
        model = checkpoint.build_model() if checkpoint else settings.build_model(len(data.classes))
        model.to(settings.device)
        self._training = Training(model, data, settings.recipe, rng=settings.batch_generator())
        if checkpoint:
            self._continue(checkpoint)
        remove_asides(out / name for name in FILES)

    def _continue(self, checkpoint: Checkpoint) -> None:
        about, training = checkpoint.about, self._training
        if about.images != self._images or about.classes != self.data.classes:
            raise CheckpointError(
                f"{self.out / 'last.npz'}: about.images and about.classes are of other images than these; "
                f"take the same --data-dir, unchanged"
            )
        if about.step != about.epoch * training.steps:
            raise CheckpointError(
                f"{self.out / 'last.npz'}: about.step is {about.step}, but {about.epoch} epochs "
                f"have {about.epoch * training.steps} steps"
            )
        self.history = list(about.history)
        velocity, params = checkpoint.part("velocity"), training.model.params
        training.optimizer.velocity.update({key: beside(params[key], array) for key, array in velocity.items()})
        training.rng.bit_generator.state = about.rng

    def go_on(
        self, on_batch: Progress | None = None, on_epoch: Callable[[int, EpochRecord], None] | None = None
    ) -> None:
        """Train and test the epochs that are left, and write the files after each.

        `on_batch` is given to `Training.run_epoch`; `on_epoch(epoch, record)` hears of each epoch, from 1, once it is
        safe in last.npz. Raises TrainingDiverged, backend.OutOfMemoryError for a full GPU, and WriteError for a full
        disk or a folder that is gone: last.npz then is that of the epoch before, as it is after KeyboardInterrupt or
        the sudden end of the process.

        BLAS keeps to one thread, because the number of threads changes the last bits.
        """
        with one_blas_thread():
            self._go_on(on_batch, on_epoch)

    def _go_on(self, on_batch: Progress | None, on_epoch: Callable[[int, EpochRecord], None] | None) -> None:
        drawn = time.monotonic()
        self._write_log()
        for epoch in range(len(self.history), self.settings.recipe.epochs):
            loss = self._training.run_epoch(epoch, on_batch)
            self.history.append(self._test(loss))
            self._keep()
            if time.monotonic() - drawn > BETWEEN_FIGURES:
                self._draw()
                drawn = time.monotonic()
            if on_epoch is not None:
                on_epoch(epoch + 1, self.history[-1])
        self._draw()

    def _test(self, train_loss: float) -> EpochRecord:
        training = self._training
        if not finite(training.model.state):
            raise TrainingDiverged(f"{blame_state(training.model)}; train with a smaller learning rate")
        tested = evaluate(training.model, self.data.test_images, self.data.test_labels, training.mean, training.std)
        return EpochRecord(training.optimizer.lr, train_loss, tested.loss, tested.accuracy)

    def _keep(self) -> None:
        """Write the checkpoints and the log. The first of equally good epochs stays the best."""
        content = to_bytes(self._checkpoint())
        *before, accuracy = (record.test_accuracy for record in self.history)
        if accuracy > max(before, default=-1.0):
            replace_file(self.out / "best.npz", content)
        replace_file(self.out / "last.npz", content)
        self._write_log()

    def _checkpoint(self) -> Checkpoint:
        training = self._training
        about = About(
            settings=self.settings,
            classes=self.data.classes,
            images=self._images,
            step=len(self.history) * training.steps,
            rng=dict(training.rng.bit_generator.state),
            history=tuple(self.history),
            versions=present_versions(),
        )
        parts = {
            "params": training.model.params,
            "velocity": training.optimizer.velocity,
            "state": training.model.state,
            "input": {"mean": training.mean, "std": training.std},
        }
        named = {f"{part}.{key}": a for part, arrays in parts.items() for key, a in arrays.items()}
        return Checkpoint(about, {name: to_host(array) for name, array in named.items()})

    def _write_log(self) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["epoch", *EpochRecord._fields])
        writer.writerows([epoch, *record] for epoch, record in enumerate(self.history, start=1))
        replace_file(self.out / "log.csv", text.getvalue().encode())

    def _draw(self) -> None:
        from ..report.run_curve import draw_run  # matplotlib takes a while to import

        replace_file(self.out / "curve.png", draw_run(self.history, self.settings))
