"""Train one net on images: the recipe, the loop, checkpoints, and a run in a folder that survives being killed."""

from .checkpoint import Checkpoint, CheckpointError, load_checkpoint
from .divergence import TrainingDiverged
from .loop import (
    WEIGHT_DECAY,
    Evaluation,
    Training,
    evaluate,
    mixed_cross_entropy,
    pixel_scale,
    predict,
    to_input,
    train,
)
from .recipe import Recipe, generators, not_decayed

__all__ = [
    "WEIGHT_DECAY",
    "Checkpoint",
    "CheckpointError",
    "Evaluation",
    "Recipe",
    "Training",
    "TrainingDiverged",
    "evaluate",
    "generators",
    "load_checkpoint",
    "mixed_cross_entropy",
    "not_decayed",
    "pixel_scale",
    "predict",
    "to_input",
    "train",
]
