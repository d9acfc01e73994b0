"""Averages of weights over the steps of a training."""

from __future__ import annotations

from typing import Any

import torch

from landshift.models import ChangeModel


class Average:
    """A running average of a model's weights and batch-norm statistics.

    After each step it moves by 1 - d towards the model, where d is the decay, or (1 + n) / (10 + n)
    after n steps while that is less, so that early weights are soon forgotten.

    Args:
        model: The model, on the device that it is trained on.
        decay: d, 0 to 1.
    """

    def __init__(self, model: ChangeModel, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self._live = [v for v in model.state_dict().values() if v.is_floating_point()]
        self._mean = [v.clone() for v in self._live]

    def update(self) -> None:
        """Take in the model's weights after a step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self._mean, self._live, 1 - decay)

    def exchange(self) -> None:
        """Give the model the averaged weights and keep its own, or the other way round."""
        for mean, live in zip(self._mean, self._live, strict=True):
            kept = live.clone()
            live.copy_(mean)
            mean.copy_(kept)

    def state(self) -> dict[str, Any]:
        """Everything that changes."""
        return {"steps": self.steps, "mean": self._mean}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.steps = int(state["steps"])
        for mean, kept in zip(self._mean, state["mean"], strict=True):
            mean.copy_(kept)
