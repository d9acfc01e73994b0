"""The samples of an epoch, and their order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from landshift.dataset.samples import Draw


class Draws(Sampler[int | Draw]):
    """The samples that an epoch draws, their order and their crops.

    They follow from the seed and `epoch` alone, so an epoch can be drawn again. A sample is drawn
    as often as its factor states, rounded up or down at random (systematic sampling), and an epoch
    holds as many as the factors' sum.

    Args:
        factors: How often each sample is drawn in an epoch, on average.
        seed: Seed of order and crops.
        batch_size: Samples a batch; samples that don't fill a batch of every process are left out.
        process: Number of this process among those that train together.
        processes: Number of them.
        cropped: Whether samples are cropped at random; else the middle is taken.

    Attributes:
        epoch: The epoch that is drawn, from 0.
        batches: Batches of this process to draw; may be lowered.
    """

    def __init__(
        self,
        factors: NDArray[np.float64],
        *,
        seed: int,
        batch_size: int,
        process: int = 0,
        processes: int = 1,
        cropped: bool = True,
    ) -> None:
        self.cropped = cropped
        self.factors = factors
        self.seed = seed
        self.batch_size = batch_size
        self.process = process
        self.processes = processes
        self.epoch = 0
        self.batches = round(float(factors.sum())) // (batch_size * processes)

    def __len__(self) -> int:
        return self.batches * self.batch_size

    def __iter__(self) -> Iterator[int | Draw]:
        random = np.random.default_rng((self.seed, self.epoch))
        order = random.permutation(len(self.factors))
        ends = np.cumsum(self.factors[order])
        ends *= round(ends[-1]) / ends[-1]
        counts = np.diff(np.floor(ends.round(6) + random.random()), prepend=0)
        drawn = random.permutation(np.repeat(order, counts.astype(np.int64)))
        numbers = random.integers(2**62, size=len(drawn))
        mine = slice(self.process, len(self) * self.processes, self.processes)
        positions: list[int] = drawn[mine].tolist()
        yield from (
            zip(positions, numbers[mine].tolist(), strict=True) if self.cropped else positions
        )
