"""The learning-rate range test (Smith 2017, doi 10.1109/WACV.2017.58)."""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from landshift.dataset import TrainingData
from landshift.errors import ParameterError, TrainingError
from landshift.machine.memory import keeping_freed
from landshift.models import ChangeModel
from landshift.training.augment import BatchAugmentation
from landshift.training.losses import build_loss
from landshift.training.options import Training
from landshift.training.processes import one_device
from landshift.training.run import Step
from landshift.training.sampling import repeat_factors

SMOOTHING = 0.9
"""Weight of the past in the running mean of the losses."""

DIVERGED = 4.0
"""The test ends where the smoothed loss exceeds this many times the smallest one."""

FALLEN = 0.7
"""Share of the loss's fall at the rate that a suggestion starts from."""

PART = 1 / 3
"""What is suggested, of that rate."""


@dataclass(frozen=True)
class LearningRates:
    """What a range test found.

    Attributes:
        rates: Learning rates tried, rising.
        losses: Smoothed loss at each.
        suggestion: The rate to train with.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float


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
        model: What will be trained.
        data: Its tiles.
        options: How it will be trained: loss, augmentation, sampling, accelerator, precision; the
            rest doesn't matter.
        start: First learning rate.
        end: Last learning rate.
        steps: Batches.

    Raises:
        ParameterError: A range that doesn't rise, or under 10 steps.
        TrainingError: The loss is no number from the start.
    """
    if not 0 < start < end or steps < 10:
        raise ParameterError(
            f"The range must rise and hold 10 steps, got {start:g} to {end:g} in {steps}."
        )
    options = options or Training()
    augment = BatchAugmentation(options.augmentation, data)
    rates, losses = [], []
    fabric = one_device(options)
    with torch.random.fork_rng(), keeping_freed():
        torch.manual_seed(data.options.seed)
        trial = copy.deepcopy(model).train()
        step_of: Any = Step(trial, build_loss(options.loss, data, class_maps=model.class_maps))
        learnt = [p for p in trial.parameters() if p.requires_grad]
        optimiser: Any = torch.optim.AdamW(learnt, start, fused=True)
        step_of, optimiser = fabric.setup(step_of, optimiser)
        loader = data.train_loader(
            class_maps=model.class_maps or augment.class_maps,
            factors=repeat_factors(data, options.rare_classes),
        )
        batches = itertools.chain.from_iterable(itertools.repeat(loader))
        mean, smallest = 0.0, math.inf
        for step, (images, targets) in zip(range(steps), batches, strict=False):
            rate = start * (end / start) ** (step / (steps - 1))
            optimiser.param_groups[0]["lr"] = rate
            loss = step_of(augment(*fabric.to_device((images, targets))))
            value = float(loss.detach())
            if not math.isfinite(value):
                break
            mean = SMOOTHING * mean + (1 - SMOOTHING) * value
            smooth = mean / (1 - SMOOTHING ** (step + 1))
            smallest = min(smallest, smooth)
            if smooth > DIVERGED * smallest:
                break
            rates.append(rate)
            losses.append(smooth)
            optimiser.zero_grad()
            fabric.backward(loss)
            optimiser.step()
    if not rates:
        raise TrainingError(
            "The loss must be a number before training, got none; check the images."
        )
    return LearningRates(tuple(rates), tuple(losses), suggest(rates, losses))


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
