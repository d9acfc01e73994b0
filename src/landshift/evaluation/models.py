"""Scores of a model on the validation tiles of its training set."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from landshift import bundle
from landshift.classes import IGNORE_INDEX
from landshift.dataset import DataOptions, TrainingData, TrainingTiles, prepare
from landshift.engine import TorchEngine
from landshift.errors import ClassError, ModelError
from landshift.evaluation import baselines
from landshift.evaluation.evaluation import Evaluation
from landshift.machine import parallel, progress
from landshift.models import ChangeModel
from landshift.scores import calibration, comparability, confusion, findings
from landshift.scores.confusion import Matrix
from landshift.scores.findings import LearningRecord

log = logging.getLogger(__name__)
CALIBRATION_PIXELS = 200_000
"""Labelled validation pixels that a temperature is fitted on, at most."""
_CALIBRATION_LOGITS = 16_000_000  # numbers kept for it: fewer pixels where classes are many


def evaluate_model(
    engine: TorchEngine,
    data: TrainingData,
    losses: Sequence[tuple[float, float]] = (),
    steps: int | None = None,
) -> Evaluation:
    """Scores and calibration of a model on the validation tiles.

    Args:
        engine: The model.
        data: Its tiles.
        losses: Training and validation loss of each epoch of its training.
        steps: Steps of its training; None: not known.
    """
    n = len(data.scheme)
    matrix = np.zeros((n, n + 1), np.int64)
    temperature = engine.model.temperature
    nothing = np.zeros((0, n), np.float32), np.zeros(0, np.uint8)
    measured = calibration.measure(*nothing, temperature)
    for logits, targets in _labelled_logits(engine, data, "score the model"):
        matrix += confusion.count(targets, logits.argmax(axis=1).astype(np.uint8), n)
        measured += calibration.measure(logits, targets, temperature)
    learning = _learning(engine.model, data, losses, steps)
    images = tuple(comparability.shifted_input(data.spec))
    return Evaluation(data.scheme, matrix, measured, learning=learning, images=images)


def evaluate_baselines(
    data: TrainingData, names: Sequence[str] | None = None
) -> dict[str, Evaluation]:
    """Scores of per-pixel rules on the validation tiles: a baseline without context.

    Args:
        data: The tiles; the rules are fitted on the training ones.
        names: Which of `landshift.evaluation.baselines.RULES`; None for the usual ones.

    Raises:
        ClassError: No labelled pixel in the training tiles.
    """
    n = len(data.scheme)
    rules = baselines.fit(data, names)
    matrices = {name: np.zeros((n, n + 1), np.int64) for name in rules}

    def counted(_: None, position: int) -> dict[str, Matrix]:
        image, target = data.valid_ds.arrays_at(position)
        if (target == IGNORE_INDEX).all():
            return {}
        return {name: confusion.count(target, rule(image), n) for name, rule in rules.items()}

    tiles = range(len(data.valid_ds))
    with parallel.in_order(tiles, nullcontext, counted) as parts:
        for part in progress.each(parts, "apply per-pixel rules", len(tiles)):
            for name, matrix in part.items():
                matrices[name] += matrix
    return {name: Evaluation(data.scheme, matrix) for name, matrix in matrices.items()}


def evaluate_package(model: Path, tiles: Path, *, beside: bool = True) -> Evaluation:
    """Scores of a saved model on the validation tiles of the set it was trained on.

    The split is made again from the training options that the model states. On another tile set
    the validation tiles are held-out ground only if the model was trained on none of it.

    Args:
        model: The .emd, the .dlpk or the folder.
        tiles: The tile set, or a zip of it.
        beside: Whether per-pixel rules are fitted and scored beside it.

    Raises:
        ModelError: The model can't be read, or its bands aren't those of the tiles.
        TileSetError: The set can't be read.
        ClassError: No labelled pixel in the validation tiles, or in the training tiles.
    """
    package = bundle.load(model)
    network = package.model
    options = DataOptions(**(package.training.get("data") or {}))
    sets, resized = (package.training.get(key) for key in ("tile_sets", "resize_to"))
    if sets:
        log.warning(
            "The model was trained on several tile sets (%s), split together: validation tiles of "
            "one may lie on training ground.", ", ".join(map(str, sets))[:200],
        )  # fmt: skip
    reading = TrainingTiles(
        network.scheme.mapping, network.spec.tile_size, resize_to=resized,
        bands=[k - 1 for k in network.spec.positions] or None,
    )  # fmt: skip
    data = prepare(tiles, options, reading)
    if data.spec.bands != network.spec.bands:
        raise ModelError(
            f"The model's bands must be those of the tiles, got {', '.join(network.spec.bands)} "
            f"and {', '.join(data.spec.bands)}."
        )
    losses = [(row["train_loss"], row["valid_loss"]) for row in package.history]
    evaluation = evaluate_model(
        TorchEngine(network), data, losses, findings.steps_of(package.training)
    )
    if not evaluation.matrix.any():
        raise ClassError(
            f"The validation tiles must hold labelled pixels, got none in {tiles}; "
            "split them otherwise."
        )
    return evaluation.beside(evaluate_baselines(data)) if beside else evaluation


def _learning(
    model: ChangeModel,
    data: TrainingData,
    losses: Sequence[tuple[float, float]],
    steps: int | None,
) -> LearningRecord:
    """How a model learnt; arguments as those of `evaluate_model`."""
    return LearningRecord(
        training=tuple(training for training, _ in losses),
        validation=tuple(validation for _, validation in losses),
        pixels=data.named_pixels(),
        steps=steps,
        semantic=model.class_maps,
    )


def calibrate(model: ChangeModel, data: TrainingData) -> float:
    """Fit the temperature of a model on the validation tiles and set it (Guo et al. 2017).

    A temperature keeps the order of the logits, so classes stay and only probabilities change. At
    most `CALIBRATION_PIXELS` pixels are kept in memory.

    Args:
        model: The trained model.
        data: Its tiles.

    Returns:
        The temperature: above 1 where the model was overconfident, below 1 where it was
        underconfident; 1 where no validation pixel is labelled.
    """
    logits, targets = _calibration_pixels(TorchEngine(model), data)
    if len(targets):
        model.temperature = calibration.fit_temperature(logits, targets)
    else:
        log.warning("No validation pixel is labelled: probabilities stay uncalibrated.")
        model.temperature = 1.0
    return model.temperature


def _calibration_pixels(
    engine: TorchEngine, data: TrainingData
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Logits and classes of labelled validation pixels, drawn with equal probability."""
    random = np.random.default_rng(data.options.seed)
    n = len(data.scheme)
    most = min(CALIBRATION_PIXELS, _CALIBRATION_LOGITS // n)
    labelled = sum(int((t != IGNORE_INDEX).sum()) for _, t in data.valid_ds.arrays())
    kept, right = [np.zeros((0, n), np.float32)], [np.zeros(0, np.uint8)]
    for logits, targets in _labelled_logits(engine, data, "calibrate the model"):
        chosen = random.random(len(targets)) < most / labelled
        kept.append(logits[chosen])
        right.append(targets[chosen])
    return np.concatenate(kept)[:most], np.concatenate(right)[:most]


def _labelled_logits(
    engine: TorchEngine, data: TrainingData, what: str
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    """Logits ``(pixel, class)`` and class indices of the labelled pixels of a validation tile.

    Args:
        engine: The model.
        data: The tiles.
        what: Name of the work in progress reports.
    """
    for image, target in progress.each(data.valid_ds.arrays(), what, len(data.valid_ds)):
        labelled = target != IGNORE_INDEX
        if labelled.any():
            yield engine.logits(image[np.newaxis])[0][:, labelled].T, target[labelled]
