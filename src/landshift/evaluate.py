"""Scores of a map or a model against a reference, beside what trivial methods would score."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift import bundle, confusion, grid, ledger, raster
from landshift.classes import IGNORE_INDEX, ClassScheme
from landshift.confusion import Matrix, Scores
from landshift.dataset import DataOptions, TrainingData, prepare
from landshift.engine import TorchEngine
from landshift.errors import ClassError, ModelError

DISCRIMINANT_PIXELS = 200_000
"""Training pixels that the per-pixel discriminant is fitted on."""


@dataclass(frozen=True)
class Evaluation:
    """A confusion matrix and what follows from it.

    Attributes:
        scheme: The classes.
        matrix: As `landshift.confusion.count` gives it: rows reference, columns map, and one
            more column for labelled pixels without a class in the map.
    """

    scheme: ClassScheme
    matrix: Matrix

    @property
    def scores(self) -> Scores:
        """The map's scores."""
        return confusion.score(self.matrix, self.scheme)

    @property
    def no_change_baseline(self) -> Scores | None:
        """What a map that says 'No change' everywhere would score; None without that class."""
        matrix = confusion.all_no_change(self.matrix, self.scheme)
        return None if matrix is None else confusion.score(matrix, self.scheme)

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        baseline = self.no_change_baseline
        return {
            "classes": self.scheme.as_list(),
            "confusion": {
                "rows": "reference",
                "columns": "map; the last: labelled pixels without a class in the map",
                "counts": self.matrix.tolist(),
            },
            "scores": self.scores.as_dict(),
            "all_no_change": None if baseline is None else baseline.as_dict(),
        }

    def write_json(self, path: Path) -> Path:
        """Write `as_dict` as JSON."""
        with ledger.whole_file(Path(path)) as part:
            part.write_text(json.dumps(self.as_dict(), indent=2) + "\n", encoding="utf-8")
        return Path(path)


def pool(evaluations: Sequence[Evaluation]) -> Evaluation:
    """One evaluation over the pixels of several, of the same classes.

    Raises:
        ClassError: The classes differ.
    """
    first = evaluations[0]
    if any(e.scheme.mapping != first.scheme.mapping for e in evaluations):
        raise ClassError("Evaluations must share their classes to be pooled; evaluate them apart.")
    return Evaluation(first.scheme, np.sum([e.matrix for e in evaluations], axis=0))


def evaluate_map(
    mapped: Path,
    reference: Path,
    *,
    scheme: ClassScheme | None = None,
    bounds: tuple[float, float, float, float] | None = None,
    on_block: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Compare a class map with a reference on the same grid, over labelled pixels.

    Args:
        mapped: The map.
        reference: The reference; 0 and nodata are unlabelled and never count.
        scheme: The classes of both; None: as the reference says, else the map.
        bounds: Left, bottom, right, top of the part to compare; None for all.
        on_block: Called with blocks done and blocks in all.

    Raises:
        GridError: The grids or CRS differ.
        ClassError: Neither file says its classes and none are given; a value outside them; no
            labelled pixel.
        RasterError: A file can't be read.
    """
    first, second = raster.info(mapped), raster.info(reference)
    grid.check_same(first.grid, second.grid, what="Map and reference", names=("map", "reference"))
    scheme = scheme or raster.scheme_of(reference) or raster.scheme_of(mapped)
    if scheme is None:
        raise ClassError(
            f"The classes must be known, got none in {reference} or {mapped}; give a class mapping."
        )
    whole = grid.Window(0, 0, first.height, first.width)
    area = whole if bounds is None else grid.window_of_bounds(first.grid, bounds)
    n = len(scheme)
    matrix = np.zeros((n, n + 1), np.int64)
    windows = list(raster.blocks(area.height, area.width))
    with raster.open_raster(mapped) as source, raster.open_raster(reference) as truth:
        for done, window in enumerate(windows, start=1):
            at = window.shifted(area.row, area.column)
            matrix += confusion.count(_indices(truth, at, scheme), _indices(source, at, scheme), n)
            if on_block is not None:
                on_block(done, len(windows))
    if not matrix.any():
        raise ClassError(f"The reference must hold labelled pixels, got none in {reference}.")
    return Evaluation(scheme, matrix)


def evaluate_model(engine: TorchEngine, data: TrainingData) -> Evaluation:
    """Scores of a model on the validation tiles."""

    def predict(image: NDArray[np.float32]) -> NDArray[np.uint8]:
        codes: NDArray[np.uint8] = engine.predict(image[np.newaxis])[0].argmax(0).astype(np.uint8)
        return codes

    return _over_validation(data, predict)


def evaluate_package(model: Path, tiles: Path) -> Evaluation:
    """Scores of a saved model on the validation tiles of the set it was trained on.

    The split is made again from what the model says of its training; on another tile set than
    that one, all is held-out ground only if none of it was trained on.

    Args:
        model: The .emd, the .dlpk or the folder.
        tiles: The tile set, or a zip of it.

    Raises:
        ModelError: The model can't be read, or its bands aren't those of the tiles.
        TileSetError: The set can't be read.
    """
    package = bundle.load(model)
    network = package.model
    options = package.training.get("data", {})
    if not isinstance(options, dict) or set(options) - {f.name for f in fields(DataOptions)}:
        raise ModelError(f"The model must say how its tiles were split, got {options} in {model}.")
    data = prepare(
        tiles, class_mapping=network.scheme.mapping, chip_size=network.spec.tile_size, **options
    )
    if data.spec.bands != network.spec.bands:
        raise ModelError(
            f"The model's bands must be those of the tiles, got {', '.join(network.spec.bands)} "
            f"and {', '.join(data.spec.bands)}."
        )
    return evaluate_model(TorchEngine(network), data)


def evaluate_discriminant(data: TrainingData) -> Evaluation:
    """Scores of a per-pixel linear discriminant on the validation tiles: what no context gives.

    It is fitted on `DISCRIMINANT_PIXELS` labelled pixels of the training tiles, drawn with the
    data's seed.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    pixels, labels = _training_pixels(data)
    rule = LinearDiscriminantAnalysis().fit(pixels, labels)

    def predict(image: NDArray[np.float32]) -> NDArray[np.uint8]:
        flat = image.reshape(len(image), -1).T
        codes: NDArray[np.uint8] = rule.predict(flat).astype(np.uint8).reshape(image.shape[1:])
        return codes

    return _over_validation(data, predict)


def _over_validation(
    data: TrainingData, predict: Callable[[NDArray[np.float32]], NDArray[np.uint8]]
) -> Evaluation:
    n = len(data.scheme)
    matrix = np.zeros((n, n + 1), np.int64)
    for image, target in data.valid_ds.arrays():
        if (target != IGNORE_INDEX).any():
            matrix += confusion.count(target, predict(image), n)
    return Evaluation(data.scheme, matrix)


def _training_pixels(data: TrainingData) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The same share of labelled pixels from each training tile."""
    random = np.random.default_rng(data.options.seed)
    labelled = sum(
        n for v, n in data.tiles.class_pixels(data.split.train).items() if v in data.scheme.values
    )
    share = min(1.0, DISCRIMINANT_PIXELS / max(labelled, 1))
    pixels, labels = [], []
    for image, target in data.plain(data.split.train).arrays():
        chosen = (target != IGNORE_INDEX) & (random.random(target.shape) < share)
        pixels.append(image[:, chosen].T)
        labels.append(target[chosen])
    return np.concatenate(pixels), np.concatenate(labels)


def _indices(source: Any, window: grid.Window, scheme: ClassScheme) -> NDArray[np.uint8]:
    values, mask = raster.read(source, window, [1])
    indices = scheme.to_indices(np.where(mask[np.newaxis], values, 0)[0], where=source.name)
    indices[~mask] = IGNORE_INDEX
    return indices
