"""The learning-rate range test (Smith 2017, doi 10.1109/WACV.2017.58)."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from landshift.dataset import TrainingData
from landshift.errors import ParameterError, TrainingError
from landshift.machine import progress
from landshift.machine.memory import keeping_freed
from landshift.models import ChangeModel
from landshift.training.augment import BatchAugmentation, augmentation_of
from landshift.training.losses import build_loss
from landshift.training.options import Training
from landshift.training.processes import one_device
from landshift.training.resume import unfinished_lr
from landshift.training.run import LossStep
from landshift.training.sampling import repeat_factors

SMOOTHING = 0.9
"""Weight of the past in the running mean of the losses."""

DIVERGED = 4.0
"""The test ends where the smoothed loss exceeds this many times the smallest one."""

FALLEN = 0.7
"""Share of the loss's fall at the rate that a suggestion starts from."""

PART = 1 / 3
"""Suggested rate, as a share of that one."""


@dataclass(frozen=True)
class LearningRates:
    """Result of a range test.

    Attributes:
        rates: Learning rates tried, rising.
        losses: Smoothed loss at each.
        suggestion: The rate to train with.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float


def with_learning_rate(
    model: ChangeModel, data: TrainingData, options: Training, resume: Path | None = None
) -> Training:
    """The options of a training, with a learning rate.

    Where they have none, it is that of the unfinished training, that of a small network
    (`ChangeModel.rate`), or one that `lr_find` suggests for the same loss and augmentation.

    Args:
        model: The model to train.
        data: Its tiles.
        options: How it is trained.
        resume: State of an unfinished training, if there is one.
    """
    if options.lr is not None:
        return options
    if resume is not None and resume.exists():
        return replace(options, lr=unfinished_lr(resume))
    if model.rate is not None:
        return replace(options, lr=model.rate)
    trial = Training(loss=options.loss, augmentation=options.augmentation)
    return replace(options, lr=lr_find(model, data, trial).suggestion)


def lr_find(
    model: ChangeModel,
    data: TrainingData,
    options: Training | None = None,
    *,
    start: float = 1e-6,
    end: float = 1.0,
    steps: int = 60,
) -> LearningRates:
    """Train a few batches at rising learning rates and see where the loss falls best.

    The test works on a copy: the model's weights and the caller's random state stay as they were.

    Args:
        model: The model to train.
        data: Its tiles.
        options: How it will be trained: loss, augmentation, sampling, accelerator and precision
            count.
        start: First learning rate.
        end: Last learning rate.
        steps: Batches.

    Raises:
        ParameterError: A range that doesn't rise, or fewer than 10 steps.
        TrainingError: The loss is no number from the start.
    """
    if not 0 < start < end or steps < 10:
        raise ParameterError(
            f"The range must rise and hold 10 steps, got {start:g} to {end:g} in {steps}."
        )
    rates = [start * (end / start) ** (step / (steps - 1)) for step in range(steps)]
    with torch.random.fork_rng(), keeping_freed():
        losses = _smoothed(_losses(model, data, options or Training(), rates))
    if not losses:
        raise TrainingError(
            "The loss must be a number before training, got none; check the images."
        )
    tried = rates[: len(losses)]
    return LearningRates(tuple(tried), tuple(losses), suggest(tried, losses))


def _losses(
    model: ChangeModel, data: TrainingData, options: Training, rates: Sequence[float]
) -> Iterator[float]:
    """Loss of a batch at each learning rate, before the step with that rate."""
    augment = BatchAugmentation(augmentation_of(model, options), data)
    fabric = one_device(options, exact=model.exact)
    torch.manual_seed(data.options.seed)
    trial = copy.deepcopy(model).train()
    step: Any = LossStep(trial, build_loss(options.loss, data, class_maps=model.class_maps))
    learned = [p for p in trial.parameters() if p.requires_grad]
    optimiser: Any = torch.optim.AdamW(learned, rates[0], fused=True)
    step, optimiser = fabric.setup(step, optimiser)
    loader = data.train_loader(
        class_maps=model.class_maps or augment.class_maps,
        factors=repeat_factors(data, options.rare_classes),
    )
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    with progress.step("learning rate", len(rates)) as under_way:
        for rate, batch in zip(rates, batches, strict=False):
            optimiser.param_groups[0]["lr"] = rate
            loss = step(augment(*fabric.to_device(batch)))
            value = float(loss.detach())
            yield value
            optimiser.zero_grad()
            fabric.backward(loss)
            optimiser.step()
            under_way.advance(note=f"loss {value:.3f}")


def _smoothed(losses: Iterable[float]) -> list[float]:
    """Running means of losses, up to the first that is no number or far above the lowest."""
    means: list[float] = []
    mean, smallest = 0.0, math.inf
    for step, loss in enumerate(losses, start=1):
        if not math.isfinite(loss):
            break
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smooth = mean / (1 - SMOOTHING**step)
        smallest = min(smallest, smooth)
        if smooth > DIVERGED * smallest:
            break
        means.append(smooth)
    return means


def suggest(rates: list[float], losses: list[float]) -> float:
    """A third of the rate at which 70 % of the fall of the smoothed loss is done.

    The fall goes from the first losses, an eighth of them, to the lowest. A level that the loss
    passes on its way down depends less on the seed than where it falls most steeply or ends; the
    third makes up for the smoothing, which lags behind the loss. Where the loss never falls, the
    geometric mean of the rates tried.
    """
    lowest = int(np.argmin(losses))
    first = float(np.mean(losses[: max(1, len(losses) // 8)]))
    level = first - FALLEN * (first - losses[lowest])
    if losses[lowest] >= first:
        return float(np.exp(np.mean(np.log(rates))))
    reached = next(k for k in range(lowest + 1) if losses[k] <= level)
    return float(rates[reached] * PART)
