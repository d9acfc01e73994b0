"""Small networks for few labels: one pixel, or a neighbourhood of 3 x 3, at a time."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

HIDDEN = 32
"""Channels of the hidden layers."""

SHRINK = 0.05
"""Shrinkage of each class's covariance towards the unit matrix (Friedman 1989, doi
10.1080/01621459.1989.10478752): what did best for the discriminant on Taizhou's training
columns."""

_ABSENT = 1e-6  # prior of a class without training pixels
_FLAT = 1e-9  # least variance
_COLLINEAR = 1e-4  # least variance along an axis, as a share of the largest


class Linear(nn.Conv2d):
    """Fisher's linear discriminant as a layer, trained from there.

    Args:
        inputs: Channels of the input.
        classes: Number of classes.
    """

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__(inputs, classes, 1)

    def start(self, pixels: NDArray[np.float64], labels: NDArray[np.uint8]) -> None:
        """Become the discriminant of pixels ``(pixel, channel)`` and their class indices."""
        classes = len(self.weight)
        means, spreads, priors = _normals(pixels, labels, classes, shrink=0.0)
        within = np.einsum("c,cij->ij", priors, spreads)
        weights = means @ np.linalg.pinv(within, rcond=_COLLINEAR, hermitian=True)
        bias = np.log(priors) - (weights * means).sum(axis=1) / 2
        with torch.no_grad():
            self.weight.copy_(torch.from_numpy(weights)[:, :, None, None])
            assert self.bias is not None
            self.bias.copy_(torch.from_numpy(bias))


class Quadratic(nn.Module):
    """The quadratic discriminant as layers, trained from there.

    A class's logit is its level less the squared norm of a linear map of the input: the logarithm
    of one normal distribution for each class.

    Args:
        inputs: Channels of the input.
        classes: Number of classes.
    """

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.map = nn.Conv2d(inputs, inputs * classes, 1)
        self.level = nn.Parameter(torch.zeros(classes, 1, 1))

    def start(self, pixels: NDArray[np.float64], labels: NDArray[np.uint8]) -> None:
        """Become the discriminant of pixels ``(pixel, channel)`` and their class indices."""
        means, spreads, priors = _normals(pixels, labels, len(self.level), shrink=SHRINK)
        variances, axes = np.linalg.eigh(spreads)
        variances = np.maximum(variances, _FLAT)
        maps = axes.swapaxes(1, 2) / np.sqrt(2 * variances)[..., None]
        shifts = -np.einsum("cij,cj->ci", maps, means)
        levels = np.log(priors) - np.log(variances).sum(axis=1) / 2
        with torch.no_grad():
            self.map.weight.copy_(torch.from_numpy(maps.reshape(self.map.weight.shape)))
            assert self.map.bias is not None
            self.map.bias.copy_(torch.from_numpy(shifts.ravel()))
            self.level.copy_(torch.from_numpy(levels[:, None, None]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of scaled inputs ``(batch, channel, row, column)``."""
        squares: torch.Tensor = self.map(images).square().unflatten(1, (len(self.level), -1))
        return self.level - squares.sum(dim=2)


def pixel(inputs: int, classes: int) -> nn.Module:
    """Two hidden layers over a pixel's channels."""
    return _hidden(inputs, classes, 1)


def conv3(inputs: int, classes: int) -> nn.Module:
    """Two hidden layers over the channels of a pixel and its eight neighbours."""
    return _hidden(inputs, classes, 3)


def _hidden(inputs: int, classes: int, size: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, HIDDEN, size, padding=size // 2, padding_mode="replicate"),
        nn.BatchNorm2d(HIDDEN), nn.ReLU(),
        nn.Conv2d(HIDDEN, HIDDEN, 1), nn.BatchNorm2d(HIDDEN), nn.ReLU(),
        nn.Conv2d(HIDDEN, classes, 1),
    )  # fmt: skip


def _normals(
    pixels: NDArray[np.float64], labels: NDArray[np.uint8], classes: int, *, shrink: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean, covariance and prior of each class.

    A class without two pixels has the mean of all, a wide covariance and next to no prior.
    """
    channels = pixels.shape[1]
    means = np.tile(pixels.mean(axis=0), (classes, 1))
    spreads = np.tile(np.eye(channels), (classes, 1, 1))
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    for k in np.flatnonzero(counts > 1):
        own = pixels[labels == k]
        means[k] = own.mean(axis=0)
        covariance = np.cov(own, rowvar=False, bias=False).reshape(channels, channels)
        spreads[k] = (1 - shrink) * covariance + shrink * np.eye(channels)
    counts[counts < 2] = 0
    return means, spreads, np.maximum(counts / counts.sum(), _ABSENT)
