"""The U-Net of fastai, which ArcGIS trains: upsampling by pixel shuffle, the image joined again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from segmentation_models_pytorch.encoders import get_encoder
from torch import nn

from landshift.errors import ModelError


class DynamicUnet(nn.Module):
    """A U-Net whose decoder follows from its encoder's channels.

    As fastai describes its DynamicUnet (docs.fast.ai/vision.models.unet): the deepest features
    pass two convolutions; at each scale they are upsampled by `_Shuffle`, joined with the batch
    norm of the encoder's features, and convolved twice; at full resolution the image itself is
    joined, and a residual block reads both. Tiles must have a multiple of 32 rows and columns.

    Args:
        encoder_name: Encoder, as segmentation-models-pytorch names it.
        encoder_weights: Passed to it.
        in_channels: Bands that the encoder sees.
        image_channels: Channels of the first features that it gives, the image itself.
        classes: Outputs.
    """

    def __init__(
        self,
        encoder_name: str,
        encoder_weights: str | None,
        in_channels: int,
        image_channels: int,
        classes: int,
    ) -> None:
        super().__init__()
        self.encoder: Any = get_encoder(encoder_name, in_channels, 5, encoder_weights)
        skips = list(self.encoder.out_channels)
        if len(skips) != 6 or not all(skips):
            raise ModelError("an encoder with features at strides 2, 4, 8, 16 and 32 is needed")
        deepest = skips[-1]
        self.norm = nn.BatchNorm2d(deepest)
        self.middle = nn.Sequential(
            *_convolution(deepest, 2 * deepest), *_convolution(2 * deepest, deepest)
        )
        self.blocks = nn.ModuleList()
        channels = deepest
        for scale in (4, 3, 2, 1):
            joined = channels // 2 + skips[scale]
            out = joined if scale > 1 else joined // 2
            self.blocks.append(_DecoderBlock(channels, skips[scale], out))
            channels = out
        self.up = _Shuffle(channels, channels)
        channels += image_channels
        self.residual = nn.Sequential(
            *_convolution(channels, channels // 2), *_convolution(channels // 2, channels)
        )
        self.classifier = nn.Conv2d(channels, classes, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """``(batch, class, row, column)`` logits of images ``(batch, band, row, column)``."""
        image, *skips, deepest = self.encoder(images)
        features = self.middle(self.norm(deepest).relu())
        for block, skip in zip(self.blocks, reversed(skips), strict=True):
            features = block(features, skip)
        features = torch.cat([self.up(features), image], 1)
        logits: torch.Tensor = self.classifier(features + self.residual(features))
        return logits


class _DecoderBlock(nn.Module):
    """Features upsampled, joined with those of the encoder at that scale, and convolved twice."""

    def __init__(self, channels: int, skip: int, out: int) -> None:
        super().__init__()
        self.up = _Shuffle(channels, channels // 2)
        self.norm = nn.BatchNorm2d(skip)
        self.convolutions = nn.Sequential(
            *_convolution(channels // 2 + skip, out), *_convolution(out, out)
        )

    def forward(self, features: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        joined = torch.cat([self.up(features), self.norm(skip)], 1).relu()
        convolved: torch.Tensor = self.convolutions(joined)
        return convolved


class _Shuffle(nn.Module):
    """Twice the rows and columns: four channels become the four pixels of one.

    The four start equal, against checkerboards (Aitken et al. 2017, arXiv:1707.02937).
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, 4 * out, 1)
        self.shuffle = nn.PixelShuffle(2)
        start = nn.init.kaiming_normal_(torch.empty(out, channels, 1, 1))
        with torch.no_grad():
            self.convolution.weight.copy_(start.repeat_interleave(4, 0))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        upsampled: torch.Tensor = self.shuffle(self.convolution(features).relu())
        return upsampled


def _convolution(channels: int, out: int) -> Sequence[nn.Module]:
    return nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(inplace=True)
