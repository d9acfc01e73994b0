"""How often each tile is drawn, in an epoch and in all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from landshift.dataset import TrainingData
from landshift.training.options import Training
from landshift.training.plan import TrainingPlan, plan


def repeat_factors(data: TrainingData, threshold: float) -> NDArray[np.float64]:
    """How often each training tile is drawn in an epoch, so that rare classes are seen more often.

    A class that lies in a share f of the training tiles requires max(1, sqrt(threshold / f)) draws
    of each of them; a tile is drawn as often as its rarest class requires (repeat-factor sampling,
    Gupta et al. 2019, doi 10.1109/CVPR.2019.00550, section 4.2). With threshold 0 each is drawn
    once.

    Args:
        data: The tiles.
        threshold: Share of tiles below which a class is rare, 0 to 1.
    """
    counted = set(data.scheme.values) - set(data.options.ignore_classes)
    held = [
        {v for v, n in data.tiles.tiles[k].class_pixels.items() if n and v in counted}
        for k in data.split.train
    ]
    share = {v: sum(v in h for h in held) / len(held) for v in counted}
    required = {v: max(1.0, (threshold / f) ** 0.5) for v, f in share.items() if f}
    return np.array([max((required[v] for v in h), default=1.0) for h in held])


def plan_of(data: TrainingData, options: Training, processes: int = 1) -> TrainingPlan:
    """The epochs of a training on these tiles, see `plan`.

    Args:
        data: The tiles.
        options: How it is trained.
        processes: Processes that train together.

    Raises:
        ParameterError: One pass over the tiles doesn't fill a batch of each process.
    """
    drawn = float(repeat_factors(data, options.rare_classes).sum())
    return plan(
        options, drawn, min(data.batch_size, len(data.split.train)) * processes,
        tile_size=data.chip_size, classes=classes_of(data),
    )  # fmt: skip


def classes_of(data: TrainingData) -> int:
    """Number of classes that count in a training."""
    return len(data.scheme) - len(data.options.ignore_classes)
