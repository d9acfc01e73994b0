"""A model and the tiles it learns from: trained, scored, saved. Notebooks and `train` share it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from landshift import bundle, export, tileset, training
from landshift.classes import IGNORE_INDEX
from landshift.dataset import TileDataset, TrainingData
from landshift.engine import TorchEngine
from landshift.engine.padding import measure_in_tiles
from landshift.errors import ModelError, ParameterError, check_number
from landshift.evaluation import baselines
from landshift.evaluation.evaluation import Evaluation
from landshift.evaluation.models import calibrate, evaluate_model
from landshift.models import ChangeModel
from landshift.pages import report
from landshift.training import Epoch, Loss, Training

log = logging.getLogger(__name__)

_PAGE_ROWS = 4
"""Validation tiles that a model's page shows."""

_PADDING_TILES = 16
"""Validation tiles that the padding is measured on."""


class Session:
    """A model, the tiles it learns from, and the record of its trainings.

    Args:
        model: The model.
        loss: Loss of its trainings.
        data: Its tiles; None: a saved model without any.

    Attributes:
        history: The training table.
        record: The last training, as packages state it.
        tiles: The tiles of the last training, as packages state them.
        scores: Scores that the model was saved with.
    """

    def __init__(self, model: ChangeModel, loss: Loss, data: TrainingData | None) -> None:
        self.model = model
        self.loss = loss
        self.history: list[Epoch] = []
        self.record: dict[str, Any] = {}
        self.tiles: Mapping[str, Any] | None = None
        self.scores: Mapping[str, Any] | None = None
        self._data = data

    @classmethod
    def start(
        cls,
        data: TrainingData,
        architecture: str | nn.Module,
        combination: str,
        loss: Loss,
        *,
        backbone: str | None = None,
        pretrained: bool | str | Path = True,
        options: Mapping[str, Any] | None = None,
        features: Sequence[str] = (),
    ) -> Session:
        """A new model for tiles; arguments and errors are those of `ChangeModel`.

        Discriminants and derived inputs (``features``, see `InputSpec`) start from the training
        pixels.
        """
        spec = replace(data.spec, features=tuple(features))
        model = ChangeModel(
            architecture, spec, data.scheme, combination=combination,
            map_scheme=data.tiles.map_scheme, backbone=backbone, options=options,
            pretrained=pretrained, seed=data.options.seed,
        )  # fmt: skip
        if model.starts_from_data:
            model.start(*baselines.training_pixels(data))
        return cls(model, loss, data)

    @classmethod
    def read(cls, path: str | Path, *, network: nn.Module | None = None) -> Session:
        """A saved model without tiles: its .emd, its .dlpk or its folder.

        Args:
            path: Where it lies.
            network: For a user's own network, an untrained one of the same layers.

        Raises:
            ModelError: It can't be read.
        """
        package = bundle.load(path, network=network)
        session = cls(package.model, _recorded_loss(package.training), None)
        session.record = dict(package.training)
        session.tiles = package.tiles
        session.scores = package.scores
        session.history = [_epoch(row, path) for row in package.history]
        return session

    def use(self, data: TrainingData) -> None:
        """Go on with these tiles.

        Raises:
            ModelError: Their bands or classes aren't those of the model.
        """
        _check_fits(self.model, data)
        self._data = data

    @property
    def data(self) -> TrainingData:
        """The tiles.

        Raises:
            ParameterError: The model was read from a file without any.
        """
        if self._data is None:
            raise ParameterError("This needs tiles, got a model without; pass data= to from_model.")
        return self._data

    def fit(
        self,
        options: Training,
        *,
        resume: Path | None = None,
        overwrite: bool = False,
        on_epoch: Callable[[Epoch], None] | None = None,
        on_time: Callable[[str], None] | None = None,
    ) -> None:
        """Train, calibrate the probabilities, measure the padding and keep the record.

        Arguments and errors are those of `landshift.training.fit`.
        """
        plan = training.check(self.model, self.data, options, resume=resume, overwrite=overwrite)
        options = training.with_learning_rate(self.model, self.data, options, resume)
        rows: list[Epoch] = []

        def add(row: Epoch) -> None:
            rows.append(row)
            if on_epoch is not None:
                on_epoch(row)

        try:
            rows = training.fit(
                self.model, self.data, options, resume=resume, overwrite=overwrite, on_epoch=add,
                on_time=on_time, checked=True,
            )  # fmt: skip
        finally:  # also of a training that was interrupted
            self.history += rows
        calibrate(self.model, self.data)
        _measure_padding(self.model, self.data)
        assert options.lr is not None
        self.record = {
            **options.as_dict(),
            "lr": float(f"{options.lr:.6g}"),
            "epochs": len(self.history),
            "planned": None if options.epochs else asdict(plan),
            "steps": self.record.get("steps", 0) + plan.batches * len(rows),
            "pixels": self.data.named_pixels(),
            "batch_size": self.data.batch_size,
            "frozen": self.model.frozen,
            **_recorded_reading(self.data),
            "data": asdict(self.data.options),
        }
        self.tiles = _recorded_tiles(self.data)

    def evaluate(self, ignored: Sequence[int] = ()) -> Evaluation:
        """Scores on the validation tiles.

        Args:
            ignored: Label values whose pixels don't count, beside those that training ignores.
        """
        data = self.data
        if ignored:
            data = data.ignoring([*{*ignored, *data.options.ignore_classes}])
        losses = [(epoch.train_loss, epoch.valid_loss) for epoch in self.history]
        return evaluate_model(TorchEngine(self.model), data, losses, self.record.get("steps"))

    def samples(self, count: int) -> report.Samples:
        """Validation tiles, evenly from first to last, and the model's classes of them."""
        chosen = self.data.plain(spread(self.data.split.valid, count))
        images, targets = read_samples(chosen)
        engine = TorchEngine(self.model)
        predicted = np.concatenate(
            [engine.predict(image[np.newaxis]).argmax(1) for image, _ in chosen.arrays()]
        ).astype(np.uint8)
        predicted[~np.isfinite(images).all(axis=1)] = IGNORE_INDEX  # as in maps
        return report.Samples(images, targets, predicted)

    def save(self, folder: Path, *, overwrite: bool = False) -> Path:
        """Save the model as a folder with an .emd, weights, a page that explains it and a .dlpk.

        Args:
            folder: The folder to write; its name is the model's.
            overwrite: Whether a model that exists there is replaced.

        Returns:
            The path of the .emd.

        Raises:
            ParameterError: A model exists there, and ``overwrite`` is off.
        """
        bundle.check_new(folder, overwrite=overwrite)
        evaluation = None if self._data is None else self.evaluate()
        package = bundle.Package(
            name=folder.name,
            model=self.model,
            training=self.record,
            history=tuple(asdict(row) for row in self.history),
            scores=self.scores if evaluation is None else evaluation.scores.as_dict(),
            tiles=self.tiles,
        )
        samples = None if self._data is None else self.samples(_PAGE_ROWS)
        page = report.model_page(package, evaluation=evaluation, samples=samples)
        extras = [
            bundle.Extras(files={report.METRICS_PAGE: page.encode()}),
            export.for_arcgis(self.model, folder.name),
        ]
        return bundle.save(package, folder, extras=extras, overwrite=overwrite)


def model_folder(name_or_path: str | Path, models: Path | None) -> Path:
    """Where a model is saved: its name in the folder of models, or the path that is given.

    Raises:
        ParameterError: A name alone, and no tiles.
    """
    path = Path(name_or_path)
    if path.name != str(name_or_path):
        return path
    if models is None:
        raise ParameterError(
            f"A model's name needs tiles to lie beside, got {path} and none; give a path, or pass "
            "data= to from_model."
        )
    return models / path


def warn_of_tiles(data: TrainingData) -> None:
    """Log what is too little to learn from: tiles, and labelled pixels of a class."""
    ignored = data.options.ignore_classes
    tileset.summarise(data.tiles, data.split, ignored=ignored).warn()


def spread(indices: tuple[int, ...], count: int) -> list[int]:
    """Some of the tiles, evenly from first to last."""
    check_number("`rows`", count, whole=True)
    places = np.linspace(0, len(indices) - 1, min(count, len(indices)))
    return [indices[round(p)] for p in places]


def read_samples(samples: TileDataset) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Images ``(sample, band, row, column)``, NaN where not valid, and class indices to show."""
    images, targets = [], []
    for position in range(len(samples)):
        values, mask, layers, _ = samples.read(position)
        images.append(np.where(mask, values, np.nan).astype(np.float32))
        targets.append(layers[0])
    return np.stack(images), np.stack(targets)


def _measure_padding(model: ChangeModel, data: TrainingData) -> None:
    """Measure on validation tiles how much ground around a tile the model needs."""
    if model.fixed_tile:
        return  # it always runs at its training tile
    samples = data.plain(spread(data.split.valid, _PADDING_TILES))
    tiles = [samples.read(position)[:2] for position in range(len(samples))]
    measured = measure_in_tiles(TorchEngine(model), model.spec, tiles)
    model.spec = replace(model.spec, padding=None if measured is None else measured.padding)
    if measured is not None and not measured.enough:
        most, share = list(measured.agreement.items())[-1]
        log.warning(
            "The model looks further than tiles of %d pixels show: with %d around, %.2f %% of "
            "pixels keep their class. Maps take half a tile, %d; `landshift padding` measures "
            "on a raster whether less is enough.",
            model.spec.tile_size, most, 100 * share, measured.padding,
        )  # fmt: skip


def _check_fits(model: ChangeModel, data: TrainingData) -> None:
    bands = data.spec.bands
    positions = model.spec.positions  # of an untrusted model, whose bands have names of their own
    if model.spec.bands != bands and positions != tuple(range(1, len(bands) + 1)):
        raise ModelError(
            f"The model's bands must be those of the tiles, got {', '.join(model.spec.bands)} and "
            f"{', '.join(bands)}."
        )
    if model.scheme.mapping != data.scheme.mapping:
        raise ModelError(
            f"The model's classes must be those of the tiles, got {model.scheme.mapping} and "
            f"{data.scheme.mapping}; pass the model's mapping to prepare_data."
        )


def _recorded_loss(record: Mapping[str, Any]) -> Loss:
    """The loss that a saved model was trained with; the default where its record has none."""
    options = record.get("loss")
    try:
        return Loss(**options) if isinstance(options, dict) else Loss()
    except (TypeError, ParameterError):
        return Loss()


def _recorded_tiles(data: TrainingData) -> dict[str, Any]:
    """The tiles of a training, as packages state them."""
    return {
        "name": " + ".join(folder.name for folder in data.tiles.folders),
        "sha256": tileset.digest(data.tiles),
        "training": len(data.split.train),
        "validation": len(data.split.valid),
        "sources": [s for folder in data.tiles.folders for s in tileset.sources(folder)],
    }


def _recorded_reading(data: TrainingData) -> dict[str, Any]:
    """What is unusual about how the tiles of a training were read."""
    record: dict[str, Any] = {} if data.resize_to is None else {"resize_to": data.resize_to}
    if data.tiles.parts:
        record["tile_sets"] = [folder.name for folder in data.tiles.folders]
    return record


def _epoch(row: Mapping[str, Any], path: str | Path) -> Epoch:
    """A row of a saved training table, which holds no times."""
    try:
        return Epoch(seconds=0.0, **row)
    except TypeError as error:
        raise ModelError(f"The training table must be whole, got {error} in {path}.") from error
