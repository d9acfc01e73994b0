"""A model trained in place: checks before, the training, the model as it is left."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path

import torch

from landshift import bundle
from landshift.dataset import TrainingData
from landshift.errors import ParameterError, TileSetError
from landshift.files import whole
from landshift.models import ChangeModel
from landshift.scores.findings import FEW_STEPS
from landshift.training import logs, processes
from landshift.training import resume as resuming
from landshift.training.logs import TABLE, Epoch, Watch
from landshift.training.options import Training
from landshift.training.plan import TrainingPlan, steps_wanted
from landshift.training.range_test import with_learning_rate
from landshift.training.run import model_of_epoch
from landshift.training.sampling import classes_of, plan_of

log = logging.getLogger(__name__)


def fit(
    model: ChangeModel,
    data: TrainingData,
    options: Training | None = None,
    *,
    resume: Path | None = None,
    overwrite: bool = False,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_time: Callable[[str], None] | None = None,
    checked: bool = False,
) -> list[Epoch]:
    """Train a model in place with AdamW.

    Options, tiles and outputs are checked before anything that takes long. The random numbers of an
    epoch follow from the data's seed and the epoch's number alone, and the caller's random state
    stays as it was.

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
        on_time: Called once, after the first batches, with a line that says how long it will take.
        checked: Whether `check` was called with these before.

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
    if not checked:
        check(model, data, options, resume=resume, overwrite=overwrite)
    options = with_learning_rate(model, data, options, resume)
    request = processes.Request(model, data, options, resume)
    try:
        with torch.random.fork_rng():
            table = processes.train(request, Watch(on_epoch, on_time))
    except KeyboardInterrupt:
        model.to("cpu").eval()
        raise
    model.to("cpu").eval()
    return table


def check(
    model: ChangeModel,
    data: TrainingData,
    options: Training,
    *,
    resume: Path | None = None,
    overwrite: bool = False,
) -> TrainingPlan:
    """Check everything that can be checked before a training; arguments and errors are `fit`'s.

    What is doubtful but possible is logged: a short training, classes that the tiles lack.

    Returns:
        How long it lasts.
    """
    if options.encoder_lr is not None and (model.encoder is None or model.frozen):
        what = "a frozen one" if model.frozen else f"none in {model.title}"
        raise ParameterError(
            f"`encoder_lr` needs an encoder that is trained, got {what}; leave it out."
        )
    several = processes.count(options)
    logs.check_packages(options)
    plan = plan_of(data, options, several)
    if resume is None or not resume.exists():
        if options.log is not None:
            whole.check_new(options.log / TABLE, overwrite=overwrite)
        for epoch in range(plan.epochs if options.checkpoint == "all" else 0):
            bundle.check_new(model_of_epoch(data, epoch), overwrite=overwrite)
    else:
        known = with_learning_rate(model, data, options, resume)
        resuming.check_state(resume, resuming.job_of(model, data, known, several))
    check_data(data, options)
    if plan.steps < FEW_STEPS:
        classes = classes_of(data)
        wanted = steps_wanted(data.chip_size, classes)
        log.warning(
            "The training makes %s, few for %d classes, for which %s are planned; leave out "
            "`epochs` and `max_steps`, or give `epochs` %d or more.",
            "1 step in all" if plan.steps == 1 else f"{plan.steps} steps in all",
            classes, f"{wanted:,}", math.ceil(wanted / plan.batches),
        )  # fmt: skip
    return plan


def check_data(data: TrainingData, options: Training) -> None:
    """Check that the tiles have something to learn; log the classes that they lack.

    Raises:
        ParameterError: The monitored score needs another class.
        TileSetError: Fewer than two classes in the labels of the training tiles; weights that are
            all 0.
    """
    if data.mean_weight == 0:
        raise TileSetError(
            "The weights of some labels must be above 0, got 0 for all in "
            f"{len(data.split.train)} training tiles of {data.tiles.folder}; cut the tiles with "
            "other weights, or without."
        )
    if data.mean_weight is not None and "lovasz" in options.loss.terms:
        raise ParameterError(
            "Lovasz loss ranks pixels and can't weigh them, got tiles with weights in "
            f"{data.tiles.folder}; choose another `loss`, or cut the tiles without."
        )
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
