"""Models of folds of ground: each judges the tiles that it wasn't trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from landshift import dataset, tileset, training
from landshift.dataset import DataOptions, TileDataset, TrainingData
from landshift.engine import TorchEngine
from landshift.errors import SplitError
from landshift.evaluation import baselines
from landshift.machine import progress
from landshift.models import ChangeModel
from landshift.training import Training


def engines(
    tiles: tileset.TileSet, count: int, seed: int, build: Callable[[TrainingData], ChangeModel]
) -> list[tuple[TorchEngine, Sequence[int]]]:
    """The model of each fold, and the tiles that it judges.

    Args:
        tiles: The tile set.
        count: Number of folds.
        seed: Seed of the folds and models.
        build: Trains a model.

    Raises:
        SplitError: Too few tiles for the folds.
    """
    values = tiles.scheme.values
    splits = tileset.folds_by_ground(tiles, count, seed=seed)
    for split in splits:
        held = tiles.class_pixels(split.train)
        classes = sum(held.get(v, 0) > 0 for v in values)
        if classes < 2:
            raise SplitError(
                "Each fold must leave tiles with two classes or more to train on, got "
                f"{len(split.train)} tiles with {classes} in {tiles.folder}; use fewer `folds`, or "
                "cut smaller tiles."
            )
    models: list[tuple[TorchEngine, Sequence[int]]] = []
    labelled = [s for s in splits if any(tiles.class_pixels(s.valid).get(v) for v in values)]
    for split in progress.each(labelled, "train on folds", len(labelled)):
        data = dataset.of_split(tiles, split, DataOptions(seed=seed, augment=False))
        models.append((TorchEngine(build(data)), split.valid))
    return models


def quick_model(
    data: TrainingData, architecture: str, features: Sequence[str], steps: int,
    combination: str = "stack",
) -> ChangeModel:  # fmt: skip
    """A model trained from scratch for a few steps; discriminants are fitted and need none.

    Args:
        data: Its tiles.
        architecture: A name in `landshift.models.ARCHITECTURES`.
        features: What it sees, see `InputSpec`.
        steps: Training steps.
        combination: A name in `landshift.models.COMBINATIONS`.
    """
    spec = replace(data.spec, features=tuple(features))
    model = ChangeModel(
        architecture, spec, data.scheme, combination=combination, pretrained=False,
        seed=data.options.seed,
    )  # fmt: skip
    if model.starts_from_data:
        model.start(*baselines.training_pixels(data))
    if not model.starts_near:
        options = Training(max_steps=steps, checkpoint=False, augmentation=None)
        options = training.with_learning_rate(model, data, options)
        training.fit(model, data, options, checked=True)
    return model


def predicted(
    tiles: tileset.TileSet, engine: TorchEngine, judged: Sequence[int]
) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.float32]]]:
    """Each tile's number, class indices and probabilities ``(class, row, column)``."""
    whole = max(tiles.height, tiles.width)
    samples = TileDataset(tiles, judged, engine.model.spec, chip_size=whole)
    for k, (image, target) in zip(judged, samples.arrays(), strict=True):
        yield k, target, engine.predict(image[np.newaxis])[0]
