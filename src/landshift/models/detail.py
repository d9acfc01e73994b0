"""Detail at full resolution, beside encoders whose first convolution has a stride."""

from __future__ import annotations

import torch
from torch import nn

FEATURES = 32
"""Features of a pixel in a detailed network's output."""

COARSE = 16
"""Features of a pixel that it takes from the network."""


class Detailed(nn.Module):
    """A network's features together with those of a few convolutions at full resolution.

    Where classes differ from pixel to pixel, as at 30 m, an encoder whose first convolution has a
    stride loses detail that a decoder can't restore. Two convolutions that keep every pixel see a
    neighbourhood of 5 x 5 instead, and a third joins both.

    Args:
        network: Network with `COARSE` outputs a pixel.
        bands: Bands of its input.
    """

    def __init__(self, network: nn.Module, bands: int) -> None:
        super().__init__()
        self.network = network
        self.detail = nn.Sequential(*_layer(bands, FEATURES), *_layer(FEATURES, FEATURES))
        self.join = nn.Sequential(*_layer(COARSE + FEATURES, FEATURES))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """``(batch, FEATURES, row, column)`` of images ``(batch, band, row, column)``."""
        joined: torch.Tensor = self.join(torch.cat([self.network(images), self.detail(images)], 1))
        return joined


def _layer(channels: int, out: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
