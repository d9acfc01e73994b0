"""How fast a training steps, from its first batches."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import fmean

import torch

FIRST = 4
"""Batches that are timed. The very first isn't counted: it loads what the others find loaded."""


class Pace:
    """Seconds of a batch, measured over the first ones.

    Args:
        on_pace: Called once with the seconds.
    """

    def __init__(self, on_pace: Callable[[float], None] | None = None) -> None:
        self._on_pace = on_pace
        self._taken: list[float] = []
        self._began = 0.0

    def begin(self) -> None:
        """An epoch begins: what came before it doesn't count."""
        self._began = time.perf_counter()

    def batch(self, loss: torch.Tensor) -> None:
        """A batch is done.

        Args:
            loss: A result of it, which a GPU is waited for.
        """
        if len(self._taken) == FIRST:
            return
        loss.item()
        now = time.perf_counter()
        self._taken.append(now - self._began)
        self._began = now
        if len(self._taken) == FIRST and self._on_pace is not None:
            self._on_pace(fmean(self._taken[1:]))
