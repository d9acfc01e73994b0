"""How long a training lasts: its epochs, and the batches of each."""

from __future__ import annotations

import math
from dataclasses import dataclass

from landshift.errors import ParameterError
from landshift.training.options import Training

BASE_STEPS = 100
"""Steps of a training before its classes are counted; see `steps_wanted`."""

CLASS_STEPS = 50
"""Further steps for each class: 200 in all for change or none, 400 for six classes of change
(docs/results.md: Taizhou and Pucallpa)."""

MOST_STEPS = 1000
"""More steps than this are planned only where the tiles are many: see `LEAST_PASSES`."""

USUAL_TILE = 128
"""Rows and columns of the tiles that these steps were measured with. Steps are fewer with larger
tiles, which show more and cost more, and more with smaller ones: in proportion to the side, by up
to a factor of two."""

LEAST_PASSES = 5
"""Times that a planned training sees each tile, unless that takes more than `LONGEST` steps."""

LONGEST = 10_000
"""Steps of the longest planned training: hours on a graphics card."""

EPOCH_STEPS = 20
"""Steps of a planned epoch, at least, so that validation costs little beside training; small sets
are drawn several times in each."""

_VALIDATION = 1 / 3  # time of a batch that is only scored, in steps: no gradients, no optimiser


@dataclass(frozen=True)
class TrainingPlan:
    """How long a training lasts.

    Attributes:
        epochs: Its epochs.
        batches: Batches of each epoch; of several processes, those of one.
        passes: Times that an epoch draws each tile.
    """

    epochs: int
    batches: int
    passes: int = 1

    @property
    def steps(self) -> int:
        """Batches in all."""
        return self.epochs * self.batches


def steps_wanted(tile_size: int, classes: int) -> int:
    """Steps that a training needs at least, as measured.

    They are `BASE_STEPS`, and `CLASS_STEPS` for each class, at most `MOST_STEPS`; times
    `USUAL_TILE` / tile size, 1/2 to 2.

    Args:
        tile_size: Rows and columns of a sample.
        classes: Number of classes.
    """
    steps = min(BASE_STEPS + CLASS_STEPS * classes, MOST_STEPS)
    return round(steps * min(max(USUAL_TILE / tile_size, 0.5), 2.0))


def plan(
    options: Training, drawn: float, batch: int, *, tile_size: int, classes: int
) -> TrainingPlan:
    """The epochs of a training and their batches.

    With ``epochs``, each passes once over the tiles. Without, the training makes `steps_wanted`
    steps, or as many as show each tile `LEAST_PASSES` times, in epochs of `EPOCH_STEPS` or more.
    ``max_steps`` makes epochs fewer, then shorter.

    Args:
        options: How it is trained.
        drawn: Samples that one pass over the tiles draws.
        batch: Samples of a step, over all processes.
        tile_size: Rows and columns of a sample.
        classes: Number of classes.

    Raises:
        ParameterError: One pass doesn't fill a batch.
    """
    once = round(drawn) // batch
    if not once:
        raise ParameterError(
            f"The training tiles must fill a batch of each process, got {drawn:.0f} tiles for "
            f"{batch} samples a step; use fewer `devices` or a smaller `batch_size`."
        )
    epochs, batches, passes = options.epochs, once, 1
    if epochs is None:
        passes = math.ceil(EPOCH_STEPS * batch / drawn)
        batches = round(passes * drawn) // batch
        least = min(max(LEAST_PASSES * once, 1), LONGEST)
        epochs = math.ceil(max(steps_wanted(tile_size, classes), least) / batches)
    if options.max_steps is not None:
        epochs = min(epochs, math.ceil(options.max_steps / batches))
        batches = min(batches, max(1, options.max_steps // epochs))
    return TrainingPlan(epochs, batches, passes)


def duration_line(
    plan: TrainingPlan, seconds: float, done: int = 0, accumulate: int = 1, validation: int = 0
) -> str:
    """A line that says how long a training will take, from the time of its first batches.

    Args:
        plan: Its epochs and batches.
        seconds: Seconds of a batch.
        done: Epochs that an earlier run has done.
        accumulate: Batches of a step.
        validation: Validation batches of an epoch.
    """
    epochs = plan.epochs - done
    total = seconds * epochs * (plan.batches + _VALIDATION * validation)
    steps = math.ceil(plan.batches / accumulate)
    return (
        f"about {_duration(total)}: {_counted(epochs, 'epoch')}{' more' * bool(done)} of "
        f"{_counted(steps, 'step')}, {seconds * accumulate:.2g} s a step"
    )


def _duration(seconds: float) -> str:
    """A duration in the unit that suits it: '40 s', '6 min', '2 h 10 min'."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
