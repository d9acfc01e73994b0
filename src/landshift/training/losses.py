"""Losses."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from landshift.classes import IGNORE_INDEX, ClassScheme
from landshift.dataset import LAYERS, TrainingData
from landshift.training.options import Loss

WEIGHT_CAP = 10.0
"""No class weighs more than this many times the mean weight."""

_SMOOTH = 1.0  # pixels added to both sides of a Dice ratio, so that it is one of numbers


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


class Focal(nn.Module):
    """Focal loss of each labelled pixel, (1 - p)^gamma times its cross-entropy, then their mean.

    p is the pixel's own probability of its class (Lin et al. 2017, doi 10.1109/ICCV.2017.324,
    eq. 5; the mean is by class weight, so that gamma 0 is `CrossEntropy`).

    Args:
        gamma: Exponent; the larger, the less pixels count that are right already.
        weights: As in `CrossEntropy`.
    """

    def __init__(self, gamma: float, weights: torch.Tensor | None = None) -> None:
        super().__init__()
        self.gamma = gamma
        self.weights: torch.Tensor | None
        self.register_buffer("weights", weights)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of ``(batch, class, row, column)`` logits against class indices."""
        entropy = nn.functional.cross_entropy(
            logits.float(), targets, ignore_index=IGNORE_INDEX, reduction="none"
        )
        labelled = targets != IGNORE_INDEX
        share = labelled.float()
        if self.weights is not None:
            share = share * self.weights[targets.where(labelled, 0)]
        focal = (-torch.expm1(-entropy)).clamp(min=0).pow(self.gamma) * entropy
        return (share * focal).sum() / share.sum().clamp(min=1e-12)


class Dice(nn.Module):
    """1 minus the soft Dice ratio of probabilities and labels over the labelled pixels of a batch.

    2 sum(p t) / (sum(p) + sum(t)) (Milletari et al. 2016, doi 10.1109/3DV.2016.79, with the plain
    sums of Sudre et al. 2017, doi 10.1007/978-3-319-67558-9_28).

    Args:
        average: As in `Loss.dice_average`.
    """

    def __init__(self, average: str) -> None:
        super().__init__()
        self.average = average

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of ``(batch, class, row, column)`` logits against class indices."""
        probabilities, truth = _labelled(logits, targets)
        hit = probabilities.new_zeros(logits.shape[1]).index_add(
            0, truth, probabilities.gather(1, truth[:, None])[:, 0]
        )
        support = truth.bincount(minlength=logits.shape[1])
        size = probabilities.sum(0) + support
        if self.average == "micro":
            hit, size = hit.sum(0, keepdim=True), size.sum(0, keepdim=True)
        loss = 1 - (2 * hit + _SMOOTH) / (size + _SMOOTH)
        if self.average == "macro" and len(truth):
            loss = loss[support > 0]
        return loss.mean()


class Lovasz(nn.Module):
    """The Lovasz-softmax loss: a convex stand-in for 1 - IoU, mean over classes in the batch.

    (Berman et al. 2018, doi 10.1109/CVPR.2018.00464, eq. 8 to 13.)
    """

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of ``(batch, class, row, column)`` logits against class indices."""
        probabilities, truth = _labelled(logits, targets)
        losses = []
        for k in truth.bincount().nonzero()[:, 0].tolist():
            member = (truth == k).float()
            errors, order = (member - probabilities[:, k]).abs().sort(descending=True)
            member = member[order]
            missed = member.sum() - member.cumsum(0)
            jaccard = 1 - missed / (member.sum() + (1 - member).cumsum(0))
            losses.append(errors @ torch.diff(jaccard, prepend=jaccard.new_zeros(1)))
        return torch.stack(losses).mean() if losses else logits.sum() * 0.0


class Sum(nn.Module):
    """A weighted sum of losses.

    Args:
        loss: Its terms and options.
        weights: One weight a class, for those that weigh classes; None: all equal.
    """

    def __init__(self, loss: Loss, weights: torch.Tensor | None) -> None:
        super().__init__()
        every: dict[str, nn.Module] = {
            "cross_entropy": CrossEntropy(weights),
            "focal": Focal(loss.focal_gamma, weights),
            "dice": Dice(loss.dice_average),
            "lovasz": Lovasz(),
        }
        self.terms = loss.terms
        self.losses = nn.ModuleDict({name: every[name] for name in self.terms})

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of ``(batch, class, row, column)`` logits against class indices."""
        parts = [self.terms[name] * loss(logits, targets) for name, loss in self.losses.items()]
        return torch.stack(parts).sum()


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


def build_loss(loss: Loss, data: TrainingData, *, class_maps: bool) -> HeadsLoss:
    """The loss of a training, its class weights from the pixels of the training tiles.

    Args:
        loss: The options of a training's loss.
        data: The tiles.
        class_maps: Whether the model learns from the classes before and after too.
    """
    counted = {"change": (data.class_pixels(), data.scheme)}
    if class_maps:
        tiles = data.tiles
        assert tiles.map_scheme is not None
        pooled = tiles.map_pixels(data.split.train)
        counted |= {"before": (pooled, tiles.map_scheme), "after": (pooled, tiles.map_scheme)}
    return HeadsLoss(
        {
            name: Sum(loss, class_weights(pixels, scheme) if loss.class_balancing else None)
            for name, (pixels, scheme) in counted.items()
        }
    )


def _labelled(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities ``(pixel, class)`` and class indices of the labelled pixels."""
    chosen = targets != IGNORE_INDEX
    return logits.float().softmax(1).movedim(1, -1)[chosen], targets[chosen]
