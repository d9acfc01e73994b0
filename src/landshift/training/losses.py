"""Losses."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from landshift.classes import IGNORE_INDEX, ClassScheme, same_name
from landshift.dataset import LAYERS, TrainingData
from landshift.errors import ParameterError
from landshift.training.options import Loss

WEIGHT_CAP = 10.0
"""No class weighs more than this many times the mean weight."""

GENERALISED = 0.7
"""q of the generalised cross-entropy, as its authors use it."""

LOG_0 = -4.0
"""log(0) in the symmetric cross-entropy, as its authors use it."""

BOOTSTRAPPED = 0.95
"""Part of the label in bootstrapped targets, as their authors use it; the rest is the network's."""

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


class PixelLoss(nn.Module):
    """The mean of a loss over labelled pixels, by class weight; 0 where none is labelled.

    Weights of labels multiply the loss of each pixel; those of all labels have a mean of 1, so that
    the loss stays comparable.

    Args:
        weights: One weight a class; None: all equal.
    """

    def __init__(self, weights: torch.Tensor | None = None) -> None:
        super().__init__()
        self.weights: torch.Tensor | None
        self.register_buffer("weights", weights)

    def of_pixels(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of each pixel ``(batch, row, column)``; what unlabelled ones have doesn't count."""
        return nn.functional.cross_entropy(
            logits, targets, ignore_index=IGNORE_INDEX, reduction="none"
        )

    def forward(
        self, logits: torch.Tensor, targets: torch.Tensor, sure: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Loss of ``(batch, class, row, column)`` logits against class indices.

        Args:
            logits: What the network says.
            targets: ``(batch, row, column)``, `IGNORE_INDEX` where unlabelled.
            sure: Weights of the labels ``(batch, row, column)``; None: all equal.
        """
        labelled = targets != IGNORE_INDEX
        share = labelled.float()
        if self.weights is not None:
            share = share * self.weights[targets.where(labelled, 0)]
        losses = self.of_pixels(logits.float(), targets)
        weighted = share if sure is None else share * sure
        return (weighted * losses).sum() / share.sum().clamp(min=1e-12)


class CrossEntropy(PixelLoss):
    """Cross-entropy of each labelled pixel."""

    def forward(
        self, logits: torch.Tensor, targets: torch.Tensor, sure: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See `PixelLoss`; torch's own mean where labels have no weights."""
        if sure is not None:
            return super().forward(logits, targets, sure)
        if not bool((targets != IGNORE_INDEX).any()):
            return logits.sum() * 0.0  # keeps the graph; the mean over nothing would be NaN
        return nn.functional.cross_entropy(
            logits.float(), targets, weight=self.weights, ignore_index=IGNORE_INDEX
        )


class Focal(PixelLoss):
    """Focal loss of each labelled pixel: (1 - p)^gamma times its cross-entropy.

    p is the pixel's own probability of its class (Lin et al. 2017, doi 10.1109/ICCV.2017.324,
    eq. 5; the mean is by class weight, so that gamma 0 is `CrossEntropy`).

    Args:
        gamma: Exponent; the larger, the less pixels count that are right already.
        weights: As in `PixelLoss`.
    """

    def __init__(self, gamma: float, weights: torch.Tensor | None = None) -> None:
        super().__init__(weights)
        self.gamma = gamma

    def of_pixels(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of each pixel."""
        entropy = super().of_pixels(logits, targets)
        return (-torch.expm1(-entropy)).clamp(min=0).pow(self.gamma) * entropy


class Generalised(PixelLoss):
    """Generalised cross-entropy (1 - p^q) / q: between cross-entropy (q to 0) and 1 - p (q = 1).

    A label that the network holds for unlikely pulls less than in cross-entropy, by p^q (Zhang &
    Sabuncu 2018, arXiv:1805.07836, eq. 6).
    """

    def of_pixels(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of each pixel."""
        return -torch.expm1(-GENERALISED * super().of_pixels(logits, targets)) / GENERALISED


class Symmetric(PixelLoss):
    """Symmetric cross-entropy: a little cross-entropy, and that of the labels under the network.

    The latter is -log(0) (1 - p), where log(0) counts as `LOG_0` (Wang et al. 2019, doi
    10.1109/ICCV.2019.00041, eq. 5 to 7, alpha 0.1 and beta 1).
    """

    def of_pixels(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of each pixel."""
        entropy = super().of_pixels(logits, targets)
        return 0.1 * entropy + LOG_0 * torch.expm1(-entropy)


class Bootstrapped(PixelLoss):
    """Cross-entropy against targets of which a part is what the network itself says.

    (Reed et al. 2015, arXiv:1412.6596, eq. 6, soft, beta `BOOTSTRAPPED`.)
    """

    def of_pixels(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of each pixel."""
        logs = logits.log_softmax(1)
        own = -(logs.exp() * logs).sum(1)
        return BOOTSTRAPPED * super().of_pixels(logits, targets) + (1 - BOOTSTRAPPED) * own


class Smoothed(PixelLoss):
    """Cross-entropy against how likely each class is where the label says what it says.

    Args:
        likely: ``(label, class)``, each row adding up to 1.
        weights: As in `PixelLoss`.
    """

    def __init__(self, likely: torch.Tensor, weights: torch.Tensor | None = None) -> None:
        super().__init__(weights)
        self.likely: torch.Tensor
        self.register_buffer("likely", likely)

    def of_pixels(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of each pixel."""
        shares = self.likely[targets.where(targets != IGNORE_INDEX, 0)].movedim(-1, 1)
        return -(shares * logits.log_softmax(1)).sum(1)


def likely_classes(loss: Loss, scheme: ClassScheme) -> torch.Tensor | None:
    """How likely each class is by label ``(label, class)``; None without a matrix of the classes.

    A label that the matrix never met stays itself.
    """
    if loss.matrix is None:
        return None
    names, counts = loss.matrix
    places = {same_name(name): k for k, name in enumerate(names)}
    if not all(same_name(name) in places for name in scheme.names):
        return None
    own = [places[same_name(name)] for name in scheme.names]
    by_label = torch.tensor(counts, dtype=torch.float64)[own][:, own].T
    total = by_label.sum(1, keepdim=True)
    itself = torch.eye(len(own), dtype=torch.float64)
    return torch.where(total > 0, by_label / total.clamp(min=1e-300), itself).float()


class Dice(nn.Module):
    """1 minus the soft Dice ratio of probabilities and labels over the labelled pixels of a batch.

    2 sum(p t) / (sum(p) + sum(t)) (Milletari et al. 2016, doi 10.1109/3DV.2016.79, with the plain
    sums of Sudre et al. 2017, doi 10.1007/978-3-319-67558-9_28). Weights of labels multiply each
    pixel's part of the sums.

    Args:
        average: As in `Loss.dice_average`.
    """

    def __init__(self, average: str) -> None:
        super().__init__()
        self.average = average

    def forward(
        self, logits: torch.Tensor, targets: torch.Tensor, sure: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Loss of ``(batch, class, row, column)`` logits against class indices."""
        probabilities, truth = _labelled(logits, targets)
        weights = None if sure is None else sure[targets != IGNORE_INDEX]
        if weights is not None:
            probabilities = probabilities * weights[:, None]
        hit = probabilities.new_zeros(logits.shape[1]).index_add(
            0, truth, probabilities.gather(1, truth[:, None])[:, 0]
        )
        support = truth.bincount(weights, minlength=logits.shape[1])
        size = probabilities.sum(0) + support
        if self.average == "micro":
            hit, size = hit.sum(0, keepdim=True), size.sum(0, keepdim=True)
        loss = 1 - (2 * hit + _SMOOTH) / (size + _SMOOTH)
        if self.average == "macro" and len(truth):
            loss = loss[support > 0]
        return loss.mean() if len(loss) else logits.sum() * 0.0


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
        likely: For `Smoothed`; None: labels are taken as they are.
    """

    def __init__(
        self, loss: Loss, weights: torch.Tensor | None, likely: torch.Tensor | None = None
    ) -> None:
        super().__init__()
        plain = CrossEntropy(weights)
        every: dict[str, nn.Module] = {
            "cross_entropy": plain,
            "focal": Focal(loss.focal_gamma, weights),
            "dice": Dice(loss.dice_average),
            "lovasz": Lovasz(),
            "generalised": Generalised(weights),
            "symmetric": Symmetric(weights),
            "bootstrapped": Bootstrapped(weights),
            "smoothed": plain if likely is None else Smoothed(likely, weights),
        }
        self.terms = loss.terms
        self.losses = nn.ModuleDict({name: every[name] for name in self.terms})

    def forward(
        self, logits: torch.Tensor, targets: torch.Tensor, sure: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Loss of ``(batch, class, row, column)`` logits against class indices."""
        rest = () if sure is None else (sure,)
        parts = [
            self.terms[name] * loss(logits, targets, *rest) for name, loss in self.losses.items()
        ]
        return torch.stack(parts).sum()


class HeadsLoss(nn.Module):
    """The loss of the change map, and half of that of the classes before and after each.

    Args:
        losses: Loss of each layer of the targets that the model learns from.
        mean_weight: Mean weight of the training labels, which weights are divided by.
    """

    def __init__(self, losses: Mapping[str, nn.Module], mean_weight: float | None = None) -> None:
        super().__init__()
        self.losses = nn.ModuleDict(losses)
        self.mean_weight = mean_weight or 1.0

    def forward(
        self, heads: Mapping[str, torch.Tensor], targets: torch.Tensor,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:  # fmt: skip
        """Loss of every head's logits against its layer of ``(batch, layer, row, column)``.

        Args:
            heads: Logits by layer.
            targets: Class indices.
            weights: Weights of the labels ``(batch, row, column)``; None: all equal.
        """
        sure = () if weights is None else (weights / self.mean_weight,)
        total = targets.new_zeros((), dtype=torch.float32)
        for name, loss in self.losses.items():
            share = 1.0 if name == LAYERS[0] else 0.5
            layer = targets[:, LAYERS.index(name)]
            total = total + share * loss(heads[name], layer, *sure)
        return total


def build_loss(loss: Loss, data: TrainingData, *, class_maps: bool) -> HeadsLoss:
    """The loss of a training, its class weights from the pixels of the training tiles.

    Args:
        loss: The options of a training's loss.
        data: The tiles.
        class_maps: Whether the model learns from the classes before and after too.

    Raises:
        ParameterError: A confusion matrix of other classes than any layer has.
    """
    counted = {"change": (data.class_pixels(), data.scheme)}
    if class_maps:
        tiles = data.tiles
        assert tiles.map_scheme is not None
        pooled = tiles.map_pixels(data.split.train)
        counted |= {"before": (pooled, tiles.map_scheme), "after": (pooled, tiles.map_scheme)}
    likely = {name: likely_classes(loss, scheme) for name, (_, scheme) in counted.items()}
    if loss.matrix is not None and all(each is None for each in likely.values()):
        schemes = [scheme for _, scheme in counted.values()]
        raise ParameterError(
            f"`confusion` must hold the classes {', '.join(schemes[0].names)}"
            + (f", or {', '.join(schemes[1].names)}" if class_maps else "")
            + f", got {', '.join(loss.matrix[0])} in {loss.confusion}."
        )
    return HeadsLoss(
        {
            name: Sum(
                loss, class_weights(pixels, scheme) if loss.class_balancing else None, likely[name]
            )
            for name, (pixels, scheme) in counted.items()
        },
        data.mean_weight,
    )


def _labelled(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities ``(pixel, class)`` and class indices of the labelled pixels."""
    chosen = targets != IGNORE_INDEX
    return logits.float().softmax(1).movedim(1, -1)[chosen], targets[chosen]
