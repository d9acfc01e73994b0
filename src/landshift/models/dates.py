"""Encoders of each date alone, with shared weights."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import nn

FUSIONS = ("concat", "difference", "both")
"""How the features of the dates are fused: concatenated, as differences, or both."""


class SharedEncoder(nn.Module):
    """One encoder for every date; a decoder gets the fused features like those of one image.

    The dates' features are fused at every scale, then brought back to the encoder's own number of
    channels by a 1 x 1 convolution, so that any decoder works behind it (after Daudt et al. 2018,
    doi 10.1109/ICIP.2018.8451652, which compares concatenation with difference).

    Args:
        encoder: Encoder of one date, as segmentation-models-pytorch builds it.
        dates: Number of dates, at least 2.
        fusion: One of `FUSIONS`; differences are those of consecutive dates, without sign.
    """

    def __init__(self, encoder: nn.Module, dates: int, fusion: str) -> None:
        super().__init__()
        assert dates > 1
        assert fusion in FUSIONS
        self.encoder = encoder
        self.dates = dates
        self.fusion = fusion
        channels: Sequence[int] = encoder.out_channels  # type: ignore[assignment]
        self.out_channels = list(channels)
        self.output_stride = encoder.output_stride
        maps = {"concat": dates, "difference": dates - 1, "both": 2 * dates - 1}[fusion]
        self.fuse = nn.ModuleList(_mix(maps * c, c) for c in self.out_channels[1:])

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Fused features of stacked dates, ``(batch, date * band, row, column)``, by scale."""
        features = self.encoder(by_date(images, self.dates))
        fused = [mix(self._meet(f)) for mix, f in zip(self.fuse, features[1:], strict=True)]
        return [images, *fused]

    def _meet(self, features: torch.Tensor) -> torch.Tensor:
        """Features ``(batch * date, channel, ...)`` of the dates, fused by channel."""
        of_date = split_dates(features, self.dates)
        differences = [(late - early).abs() for early, late in itertools.pairwise(of_date)]
        if self.fusion == "concat":
            return torch.cat(of_date, 1)
        if self.fusion == "difference":
            return torch.cat(differences, 1)
        return torch.cat([*of_date, *differences], 1)


def by_date(images: torch.Tensor, dates: int) -> torch.Tensor:
    """Each date of stacked dates as an image of its own: ``(batch * date, band, row, column)``."""
    count, bands, height, width = images.shape
    return images.reshape(count * dates, bands // dates, height, width)


def split_dates(features: torch.Tensor, dates: int) -> tuple[torch.Tensor, ...]:
    """Features ``(batch, channel, row, column)`` of each date, from those of `by_date`."""
    count, channels, height, width = features.shape
    return features.reshape(count // dates, dates, channels, height, width).unbind(1)


def _mix(channels: int, out: int) -> nn.Module:
    if not out:  # of scales that an encoder skips
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU())
