"""A network together with what it eats and what it says."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from landshift.classes import ClassScheme
from landshift.models.architectures import ARCHITECTURES, build, check_names
from landshift.models.weights import encoder_weights
from landshift.spec import LIMIT, InputSpec

_MULTIPLE = 32
"""Encoders halve a tile up to five times; other sizes are extended to a multiple of this."""


class ChangeModel(nn.Module):
    """A network that takes tiles in the raster's own units and gives a logit per class.

    Args:
        architecture: Name in `ARCHITECTURES`.
        spec: Its input; the scaling is part of the model.
        scheme: Its classes, one output each.
        backbone: Name of a timm encoder; None for the architecture's usual one.
        pretrained: True for ImageNet weights, False for a random start, or a weights file.
        seed: Seed of the random start; the caller's random state is left as it was.

    Attributes:
        temperature: What logits are divided by to become probabilities; set after training.

    Raises:
        ModelError: An unknown architecture or backbone.
        WeightsError: The encoder's weights can't be had.
    """

    def __init__(
        self,
        architecture: str,
        spec: InputSpec,
        scheme: ClassScheme,
        *,
        backbone: str | None = None,
        pretrained: bool | str | Path = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.backbone = check_names(architecture, backbone)
        self.spec = spec
        self.scheme = scheme
        weights = encoder_weights(self.backbone, pretrained)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = build(architecture, self.backbone, len(spec.bands), len(scheme), weights)
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.tensor(spec.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(spec.std)[:, None, None], persistent=False)
        self.temperature = 1.0
        # Convolutions on CPU and GPU alike run faster with the bands of a pixel side by side.
        self.to(memory_format=torch.channels_last)

    @property
    def fixed_tile(self) -> bool:
        """Whether its answer for a pixel changes with the size of the tile around it."""
        return ARCHITECTURES[self.architecture].fixed_tile

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of images.

        Args:
            images: ``(batch, band, row, column)`` in the raster's units, as `InputSpec.fill`
                gives them.

        Returns:
            ``(batch, class, row, column)`` logits.
        """
        height, width = images.shape[-2:]
        images = images.contiguous(memory_format=torch.channels_last)
        scaled = ((images - self.mean) / self.std).clamp(-LIMIT, LIMIT)  # (B, C, H, W)
        down, right = -height % _MULTIPLE, -width % _MULTIPLE
        if down or right:
            scaled = functional.pad(scaled, (0, right, 0, down), mode="replicate")
        logits: torch.Tensor = self.network(scaled)  # (B, K, H + down, W + right)
        return logits[..., :height, :width]
