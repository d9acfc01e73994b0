"""The batch size of a training that is given none: the largest that fits the memory."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from landshift.dataset import LAYERS, TrainingData
from landshift.errors import TrainingError
from landshift.models import ChangeModel
from landshift.training.augment import Varied
from landshift.training.losses import build_loss
from landshift.training.memory import largest_batch
from landshift.training.options import Training
from landshift.training.processes import one_device
from landshift.training.run import LossStep

LARGEST = 64
"""Samples of the largest batch that is tried."""

_PART = 4  # of the training tiles: an epoch has as many steps at least
_TIMES = 1.5  # memory of a step, of what it keeps for the gradients; a U-Net took under 1
_SHARE = 0.5  # of the free memory, as a system may end a program that takes all of it


def batch_that_fits(model: ChangeModel, data: TrainingData, options: Training) -> int:
    """The largest power of two of samples whose training step fits the memory.

    At most `LARGEST`, and a quarter of the training tiles. On a GPU a step is made, with half as
    many samples where the memory runs out. On the CPU, where a system may end a program instead,
    what a step of two samples keeps for its gradients decides what is tried first.

    Args:
        model: The model to train; it stays as it is.
        data: Its tiles.
        options: How it is trained: loss, accelerator and precision count.

    Raises:
        TrainingError: Not even two samples fit, which batch norm needs.
    """
    fabric = one_device(options, exact=model.exact)
    loss = build_loss(options.loss, data, class_maps=model.class_maps)
    step: Any = fabric.setup(LossStep(copy.deepcopy(model).train(), loss))
    layers = len(LAYERS) if model.class_maps else 1
    side = data.chip_size

    def make(size: int) -> None:
        if size < 2:
            raise MemoryError("batch norm needs two samples")
        shape = size, len(model.spec.bands), side, side
        batch = Varied(
            torch.zeros(shape), torch.zeros((size, layers, side, side), dtype=torch.long)
        )
        images, targets = fabric.to_device((batch.images, batch.targets))
        fabric.backward(step(Varied(images, targets)))
        step.zero_grad()

    most = LARGEST
    while most > max(2, len(data.split.train) // _PART):
        most //= 2
    free = _free_bytes() if fabric.device.type == "cpu" else None
    if free is not None:
        kept: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            kept[tensor.data_ptr()] = tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            make(2)
        needed = _TIMES * sum(kept.values()) / 2
        while most > 2 and most * needed > _SHARE * free:
            most //= 2
    size = largest_batch(make, 2 * most)
    if not size:
        raise TrainingError(
            f"A training step must fit the memory, got none with two samples of {side} px; use a "
            "smaller `chip_size` or `backbone`."
        )
    return size


def _free_bytes() -> int | None:
    """Memory that a program can still take, on Linux; None elsewhere."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(li.split()[1]) for li in lines if li.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
