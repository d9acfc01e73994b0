"""DeepLabV3 and PSPNet as they were published, which ArcGIS trains: dilation in the encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3Decoder
from segmentation_models_pytorch.encoders import get_encoder
from segmentation_models_pytorch.encoders._utils import replace_strides_with_dilation
from torch import nn
from torch.nn import functional

_RATES = (12, 24, 36)  # of the three dilated convolutions
_WIDTH = 256


class DeepLabV3(nn.Module):
    """DeepLabV3 (Chen 2017, arXiv:1706.05587), as torchvision's `deeplabv3_resnet50` builds it.

    Args:
        encoder_name: Encoder, as segmentation-models-pytorch names it.
        encoder_weights: Passed to it.
        in_channels: Bands that the encoder sees.
        classes: Outputs.
    """

    def __init__(
        self, encoder_name: str, encoder_weights: str | None, in_channels: int, classes: int
    ) -> None:
        super().__init__()
        self.encoder: Any = get_encoder(
            encoder_name, in_channels, 5, encoder_weights, output_stride=8
        )
        self.decoder = DeepLabV3Decoder(
            self.encoder.out_channels[-1], _WIDTH, _RATES, aspp_separable=False, aspp_dropout=0.5
        )
        self.classifier = nn.Conv2d(_WIDTH, classes, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """``(batch, class, row, column)`` logits of images ``(batch, band, row, column)``."""
        logits = self.classifier(self.decoder(self.encoder(images)))
        return _enlarged(logits, images)


class DilatedPSPNet(nn.Module):
    """PSPNet (Zhao 2017, arXiv:1612.01105) over a resnet whose last two stages are dilated.

    Every convolution of the third stage is dilated by 2, of the fourth by 4, and neither halves
    the rows and columns: features at stride 8. Each pooled grid has its share of the channels.

    Args:
        encoder_name: Encoder, as segmentation-models-pytorch names it; a resnet.
        encoder_weights: Passed to it.
        in_channels: Bands that the encoder sees.
        classes: Outputs.
        pyramid_sizes: Rows and columns of the grids that features are pooled to.
    """

    def __init__(
        self,
        encoder_name: str,
        encoder_weights: str | None,
        in_channels: int,
        classes: int,
        pyramid_sizes: Sequence[int],
    ) -> None:
        super().__init__()
        self.encoder: Any = get_encoder(
            encoder_name, in_channels, 5, encoder_weights, output_stride=8
        )
        stages = getattr(self.encoder, "model", self.encoder)
        for stage, rate in ((stages.layer3, 2), (stages.layer4, 4)):  # first blocks have half
            replace_strides_with_dilation(stage, rate)
        deepest = self.encoder.out_channels[-1]
        share = deepest // len(pyramid_sizes)
        self.pyramid = nn.ModuleList(
            nn.Sequential(
                nn.AdaptiveAvgPool2d(size), nn.Conv2d(deepest, share, 1, bias=False),
                nn.BatchNorm2d(share), nn.ReLU(inplace=True),
            )
            for size in pyramid_sizes
        )  # fmt: skip
        joined = deepest + share * len(pyramid_sizes)
        self.final = nn.Sequential(
            nn.Conv2d(joined, share, 3, padding=1, bias=False), nn.BatchNorm2d(share),
            nn.ReLU(inplace=True), nn.Dropout(0.1), nn.Conv2d(share, classes, 1),
        )  # fmt: skip

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """``(batch, class, row, column)`` logits of images ``(batch, band, row, column)``."""
        features = self.encoder(images)[-1]
        pooled = [_enlarged(grid(features), features) for grid in self.pyramid]
        return _enlarged(self.final(torch.cat([features, *pooled], 1)), images)


def _enlarged(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Values with the rows and columns of other ones, bilinear between the centres of cells."""
    return functional.interpolate(values, like.shape[-2:], mode="bilinear", align_corners=False)
