"""The learning-rate range test (Smith 2017, doi 10.1109/WACV.2017.58)."""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch

from landshift.dataset import TrainingData
from landshift.errors import ParameterError, TrainingError
from landshift.models import ChangeModel
from landshift.train.losses import loss_for

SMOOTHING = 0.9
"""Weight of the past in the running mean of the losses."""

DIVERGED = 4.0
"""The test ends where the smoothed loss exceeds this many times the smallest one."""


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
    *,
    start: float = 1e-6,
    end: float = 1.0,
    steps: int = 60,
    class_balancing: bool = False,
) -> LearningRates:
    """Train a few batches at rising learning rates and see where the loss falls best.

    The test works on a copy: the model's weights and the caller's random state stay as they were.

    Args:
        model: What will be trained.
        data: Its tiles.
        start: First learning rate.
        end: Last learning rate.
        steps: Batches.
        class_balancing: As in `landshift.train.fit`.

    Raises:
        ParameterError: A range that doesn't rise, or under 10 steps.
        TrainingError: The loss is no number from the start.
    """
    if not 0 < start < end or steps < 10:
        raise ParameterError(
            f"The range must rise and hold 10 steps, got {start:g} to {end:g} in {steps}."
        )
    loss_of = loss_for(data, class_balancing=class_balancing, class_maps=model.class_maps)
    rates, losses = [], []
    with torch.random.fork_rng():
        torch.manual_seed(data.options.seed)
        trial = copy.deepcopy(model).train()
        optimiser = torch.optim.AdamW(trial.parameters(), start, fused=True)
        loader = data.train_loader(class_maps=model.class_maps)
        batches = itertools.chain.from_iterable(itertools.repeat(loader))
        mean, smallest = 0.0, math.inf
        for step, (images, targets) in zip(range(steps), batches, strict=False):
            rate = start * (end / start) ** (step / (steps - 1))
            optimiser.param_groups[0]["lr"] = rate
            loss = loss_of(trial.heads(images), targets)
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
            loss.backward()
            optimiser.step()
    if not rates:
        raise TrainingError(
            "The loss must be a number before training, got none; check the images."
        )
    return LearningRates(tuple(rates), tuple(losses), suggest(rates, losses))


def suggest(rates: list[float], losses: list[float]) -> float:
    """The rate in the middle of the longest fall of the loss, at most a tenth of its lowest's.

    The fall is the longest run of non-rising smoothed losses, its middle that of the logarithm of
    the rate: steep enough to learn fast, far enough from where learning breaks. Where the loss
    never falls, the geometric mean of the rates tried.
    """
    falls = np.diff(losses) <= 0
    best_start, best_end, start = 0, 0, 0
    for k, falling in enumerate([*falls, False]):
        if not falling:
            if k - start > best_end - best_start:
                best_start, best_end = start, k
            start = k + 1
    if best_end == best_start:
        return float(np.exp(np.mean(np.log(rates))))
    at = (best_start + best_end) // 2
    lowest = rates[int(np.argmin(losses))]
    return float(min(rates[at], lowest / 10))
