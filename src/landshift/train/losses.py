"""What training minimises."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from landshift.classes import IGNORE_INDEX, ClassScheme
from landshift.dataset import LAYERS, TrainingData

WEIGHT_CAP = 10.0
"""No class weighs more than this many times the mean weight."""


def class_weights(pixels: Mapping[int, int], scheme: ClassScheme) -> torch.Tensor:
    """Weights of classes that let rare ones count: 1 / sqrt(share of labelled pixels).

    They are scaled to a mean of 1 over the classes that occur, then capped at `WEIGHT_CAP`;
    a class that doesn't occur weighs 1.

    Args:
        pixels: Training pixels of each label value.
        scheme: The classes.
    """
    counts = torch.tensor([float(pixels.get(v, 0)) for v in scheme.values])
    occurs = counts > 0
    weights = torch.ones(len(scheme))
    if occurs.any():
        rarity = (counts[occurs] / counts.sum()).rsqrt()
        weights[occurs] = (rarity / rarity.mean()).clamp(max=WEIGHT_CAP)
    return weights


class CrossEntropy(nn.Module):
    """Mean cross-entropy over labelled pixels, by class weight; 0 where none is labelled.

    Args:
        weights: One weight a class; None: all equal.
    """

    def __init__(self, weights: torch.Tensor | None = None) -> None:
        super().__init__()
        self.weights: torch.Tensor | None
        self.register_buffer("weights", weights)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of ``(batch, class, row, column)`` logits against class indices."""
        if not bool((targets != IGNORE_INDEX).any()):
            return logits.sum() * 0.0  # keeps the graph; the mean over nothing would be NaN
        return nn.functional.cross_entropy(
            logits.float(), targets, weight=self.weights, ignore_index=IGNORE_INDEX
        )


class HeadsLoss(nn.Module):
    """The loss of the change map, and half of that of the classes before and after each.

    Args:
        losses: Loss of each layer of the targets that the model learns from.
    """

    def __init__(self, losses: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.losses = nn.ModuleDict(losses)

    def forward(self, heads: Mapping[str, torch.Tensor], targets: torch.Tensor) -> torch.Tensor:
        """Loss of every head's logits against its layer of ``(batch, layer, row, column)``."""
        total = targets.new_zeros((), dtype=torch.float32)
        for name, loss in self.losses.items():
            share = 1.0 if name == LAYERS[0] else 0.5
            total = total + share * loss(heads[name], targets[:, LAYERS.index(name)])
        return total


def loss_for(data: TrainingData, *, class_balancing: bool, class_maps: bool) -> HeadsLoss:
    """The loss of a training, its class weights from the pixels of the training tiles.

    Args:
        data: The tiles.
        class_balancing: Whether classes are weighed.
        class_maps: Whether the model learns from the classes before and after too.
    """
    tiles, train = data.tiles, data.split.train
    counted = {"change": (tiles.class_pixels(train), data.scheme)}
    if class_maps:
        assert tiles.map_scheme is not None
        pooled = tiles.map_pixels(train)
        counted |= {"before": (pooled, tiles.map_scheme), "after": (pooled, tiles.map_scheme)}
    return HeadsLoss(
        {
            name: CrossEntropy(class_weights(pixels, scheme) if class_balancing else None)
            for name, (pixels, scheme) in counted.items()
        }
    )
