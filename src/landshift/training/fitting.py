"""A model trained in place: checks before, the training, the model as it is left."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import torch

from landshift import bundle
from landshift.dataset import TrainingData
from landshift.errors import ParameterError, TileSetError
from landshift.files import whole
from landshift.models import ChangeModel
from landshift.training import processes
from landshift.training.logs import TABLE, Epoch
from landshift.training.options import Training
from landshift.training.range_test import with_learning_rate
from landshift.training.run import model_of_epoch

log = logging.getLogger(__name__)


def fit(
    model: ChangeModel,
    data: TrainingData,
    options: Training | None = None,
    *,
    resume: Path | None = None,
    overwrite: bool = False,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> list[Epoch]:
    """Train a model in place with AdamW.

    The random numbers of an epoch follow from the data's seed and the epoch's number alone, and
    the caller's random state stays as it was.

    Args:
        model: The model to train.
        data: Training and validation tiles.
        options: How it is trained; without a learning rate, `with_learning_rate` finds one.
        resume: File that keeps the state after each epoch. If it exists, the training goes on from
            it and ends with the weights of an uninterrupted one. It stays when the training is
            done.
        overwrite: Whether the log and the models of each epoch that an earlier training left are
            replaced; a training that goes on always replaces its own.
        on_epoch: Called with each row of the training table.

    Returns:
        The training table.

    Raises:
        ParameterError: Options that don't fit each other, the data or the machine; ``resume`` is
            of another training; a model of an epoch exists already.
        OutputError: The log exists already, or can't be written.
        TileSetError: No labelled pixels of two classes to learn from, or none to validate on.
        TrainingError: The loss is no longer a number, or a batch doesn't fit the memory; the
            model holds the weights of the best epoch before, or those that it came with.
    """
    options = options or Training()
    if resume is None or not resume.exists():
        _check_new(data, options, overwrite=overwrite)
    check_data(data, options)
    options = with_learning_rate(model, data, options, resume)
    with torch.random.fork_rng():
        table = processes.train(processes.Request(model, data, options, resume), on_epoch)
    model.to("cpu").eval()
    return table


def _check_new(data: TrainingData, options: Training, *, overwrite: bool) -> None:
    if options.log is not None:
        whole.check_new(options.log / TABLE, overwrite=overwrite)
    if options.checkpoint == "all":
        for epoch in range(options.epochs):
            bundle.check_new(model_of_epoch(data, epoch), overwrite=overwrite)


def check_data(data: TrainingData, options: Training) -> None:
    """Check that the tiles have something to learn; log the classes that they lack.

    Raises:
        ParameterError: The monitored score needs another class.
        TileSetError: Fewer than two classes in the labels of the training tiles.
    """
    if options.monitor == "change_f1" and not data.scheme.unchanged:
        raise ParameterError(
            "`monitor` change_f1 needs a class 'No change' or 'forest->forest', got "
            f"{', '.join(data.scheme.names)}; monitor miou instead."
        )
    pixels = data.class_pixels()
    names = data.scheme.mapping
    seen = [v for v in sorted(pixels) if pixels[v]]
    if len(seen) < 2:
        held = f"only {names[seen[0]]!r}" if seen else "no labelled pixel"
        raise TileSetError(
            f"Training tiles must hold pixels of two classes or more, got {held} in "
            f"{len(data.split.train)} tiles of {data.tiles.folder}; check labels and class mapping."
        )
    ignored = set(data.options.ignore_classes)
    missing = [names[v] for v in data.scheme.values if v not in seen and v not in ignored]
    if missing:
        log.warning(
            "No training tile holds pixels of %s: the network can't learn %s.",
            ", ".join(missing), "them" if len(missing) > 1 else "it",
        )  # fmt: skip
