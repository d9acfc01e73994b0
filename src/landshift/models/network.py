"""A network together with its input and its classes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from segmentation_models_pytorch.encoders._base import EncoderMixin
from segmentation_models_pytorch.encoders.timm_universal import TimmUniversalEncoder
from torch import nn
from torch.nn import functional

from landshift.classes import ClassScheme, Pairs, pairs_of
from landshift.errors import ModelError
from landshift.models.architectures import ARCHITECTURES, NetworkDesign, build, design
from landshift.models.derived import Derived
from landshift.models.small import Linear, Quadratic
from landshift.models.transfer import scale
from landshift.models.weights import backbone_of, encoder_weights
from landshift.spec import MULTIPLE, InputSpec

OWN = "own"
"""Architecture of a network that the user brings."""


class ChangeModel(nn.Module):
    """A network that takes tiles in the raster's own units and gives a logit per class.

    Args:
        architecture: Name in `ARCHITECTURES`, or a network of the user's own. Its forward takes
            scaled tiles ``(batch, band, row, column)``, or two such arguments, before and after,
            and gives logits ``(batch, class, row, column)``.
        spec: Its input; the scaling is part of the model, and is that of the weights where they
            require one.
        scheme: Its classes, one output each.
        combination: How it combines the dates, a name in `COMBINATIONS`.
        map_scheme: Classes before and after, for a semantic network.
        backbone: Name of a timm encoder; None for the one of the weights, where their name states
            it, or the architecture's default.
        options: Options of the architecture and of the combination.
        pretrained: True for ImageNet weights, False for a random start, a name of torchgeo's, or
            a weights file (`landshift.models.weights.encoder_weights`).
        seed: Seed of the random start; the caller's random state is left as it was.

    Attributes:
        temperature: Divisor of the logits before the softmax; set after training.

    Raises:
        ModelError: An unknown name or option; the bands don't divide into dates as it needs; no
            class maps for a semantic network.
        WeightsError: The encoder's weights can't be had.
        ParameterError: Weights of torchgeo, which isn't installed.
    """

    def __init__(
        self,
        architecture: str | nn.Module,
        spec: InputSpec,
        scheme: ClassScheme,
        *,
        combination: str = "stack",
        map_scheme: ClassScheme | None = None,
        backbone: str | None = None,
        options: Mapping[str, Any] | None = None,
        pretrained: bool | str | Path = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.scheme = scheme
        self.map_scheme = map_scheme
        self._order: list[int] | None = None
        self._frozen = False
        self.derived = Derived(spec) if spec.features else None
        if isinstance(architecture, nn.Module):
            self._bring(architecture)
        else:
            backbone = backbone_of(pretrained, backbone)
            self.design = design(architecture, combination, backbone, options or {})
            self._check_derived()
            self._build(pretrained, seed)
        self._register_scaling()
        self.temperature = 1.0
        # Convolutions on CPU and GPU alike run faster with the bands of a pixel side by side.
        self.to(memory_format=torch.channels_last)

    def _bring(self, network: nn.Module) -> None:
        """Take a network of the user's own."""
        combination = "siamese" if _takes_two(network) else "stack"
        self.design = NetworkDesign(OWN, combination, type(network).__name__, {})
        self._check_derived()
        if combination == "siamese":
            self._by_date(2)
        self.network = network

    def _check_derived(self) -> None:
        combination = self.design.combination
        if self.derived is not None and combination != "stack":
            raise ModelError(
                f"`features` are derived for networks over stacked dates, got a {combination} "
                "one, which compares the dates itself; leave them out, or choose such as unet."
            )

    def _build(self, pretrained: bool | str | Path, seed: int) -> None:
        """Build the network of the design, its encoder with the weights."""
        combination, classes = self.design.combination, len(self.scheme)
        dates = 1 if combination == "stack" else self._by_date(2 * (combination == "semantic"))
        pairs: Pairs = ()
        if combination == "semantic":
            if self.map_scheme is None:
                raise ModelError(
                    "A semantic network needs the class maps before and after, got tiles without; "
                    "cut the set with both (labels_before, labels_after)."
                )
            classes, pairs = len(self.map_scheme), pairs_of(self.scheme, self.map_scheme)
        weights = None
        if self.design.has_encoder:
            weights = encoder_weights(self.design.backbone, pretrained)
        elif not isinstance(pretrained, bool):
            raise ModelError(
                f"Weights are those of an encoder, got {pretrained} for {self.architecture}, which "
                "has none; leave them out."
            )
        if weights is not None:
            self.spec = scale(self.spec, weights)
        inputs = self.spec.inputs() if self.derived is None else self.derived.names
        if dates > 1:
            inputs = [inputs[k] for k in next(iter(self.spec.by_date().values()))]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = build(self.design, inputs, dates, classes, pairs, weights)

    def _register_scaling(self) -> None:
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.least: torch.Tensor
        self.greatest: torch.Tensor
        names = ("mean", "std", "least", "greatest")
        for name, values in zip(names, (*self.spec.scaling, *self.spec.limits), strict=True):
            known = torch.tensor(values, device="cpu")  # also of a network on the device "meta"
            self.register_buffer(name, known[:, None, None], persistent=False)

    @property
    def architecture(self) -> str:
        """Name in `ARCHITECTURES`; `OWN` for a network that the user brought."""
        return self.design.architecture

    @property
    def backbone(self) -> str:
        """Name of its encoder."""
        return self.design.backbone

    @property
    def title(self) -> str:
        """Its network in words: 'unet over resnet34', 'quadratic, on difference'."""
        known = self.architecture == OWN or self.design.has_encoder
        network = f"{self.architecture} over {self.backbone}" if known else self.architecture
        seen = f", on {' and '.join(self.spec.features)}" if self.spec.features else ""
        return f"{network}{seen}"

    @property
    def fixed_tile(self) -> bool:
        """Whether the class of a pixel changes with the size of the tile around it."""
        return self.architecture != OWN and self.design.fixed_tile

    @property
    def rate(self) -> float | None:
        """Learning rate where none is given; None: a range test finds one."""
        return None if self.architecture == OWN else ARCHITECTURES[self.architecture].rate

    @property
    def compares_light(self) -> bool:
        """Whether it learns from how bright the dates are, which training then doesn't vary.

        Small networks see little else: of one pair of images, the difference in brightness
        without change is what they must learn.
        """
        return self.architecture != OWN and not self.design.has_encoder

    @property
    def exact(self) -> bool:
        """Whether it computes in float32 unless another precision is asked for.

        Differences of values lose most of their digits in bfloat16, and small networks gain next
        to no time by it.
        """
        return self.derived is not None or self.compares_light

    @property
    def class_maps(self) -> bool:
        """Whether it learns from the classes before and after too."""
        return self.design.combination == "semantic"

    @property
    def encoder(self) -> nn.Module | None:
        """The part that starts from pretrained weights; None in small and users' own networks."""
        if self.architecture == OWN or not self.design.has_encoder:
            return None
        encoder: nn.Module = next(
            m for m in self.network.modules() if isinstance(m, TimmUniversalEncoder | EncoderMixin)
        )
        return encoder

    @property
    def frozen(self) -> bool:
        """Whether the encoder stays as it is in training."""
        return self._frozen

    def freeze(self, frozen: bool = True) -> None:
        """Keep the encoder, weights and batch-norm statistics, as it is in training; or not.

        Raises:
            ModelError: A small network, or a user's own, whose parts aren't known.
        """
        if self.encoder is None:
            raise ModelError(
                "Only a network with a known encoder can be frozen, got "
                f"{self.backbone if self.architecture == OWN else self.architecture}; set "
                "requires_grad of its parameters."
            )
        self.encoder.requires_grad_(not frozen)
        self._frozen = frozen
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Switch to training or evaluation; a frozen encoder stays in evaluation."""
        super().train(mode)
        if self._frozen and self.encoder is not None:
            self.encoder.eval()
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of images.

        Args:
            images: ``(batch, band, row, column)`` in the raster's units, as `InputSpec.fill`
                gives them.

        Returns:
            ``(batch, class, row, column)`` logits.
        """
        return self.heads(images)["change"]

    def heads(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits of every head, by the layer of targets it learns from (`LAYERS` of the dataset).

        Args:
            images: As in `forward`.

        Returns:
            ``(batch, class, row, column)`` logits each: of the map's classes for ``change``, of
            the class maps' for ``before`` and ``after``, which only semantic networks have.
        """
        height, width = images.shape[-2:]
        scaled = self.scaled(images)
        if self._order is not None:
            scaled = scaled[:, self._order]
        down, right = -height % MULTIPLE, -width % MULTIPLE
        if down or right:
            scaled = functional.pad(scaled, (0, right, 0, down), mode="replicate")
        if self.class_maps:
            heads: dict[str, torch.Tensor] = self.network.heads(scaled)  # type: ignore[operator]
        elif self.architecture == OWN and self.design.combination == "siamese":
            heads = {"change": self.network(*scaled.chunk(2, 1))}
        else:
            heads = {"change": self.network(scaled)}
        return {name: logits[..., :height, :width] for name, logits in heads.items()}

    def scaled(self, images: torch.Tensor) -> torch.Tensor:
        """What the network sees: scaled bands, and what is derived from them.

        Args:
            images: As in `forward`.

        Returns:
            ``(batch, channel, row, column)``.
        """
        images = images.contiguous(memory_format=torch.channels_last)
        scaled = (images - self.mean).div_(self.std).clamp_(self.least, self.greatest)
        return scaled if self.derived is None else self.derived(images, scaled)

    @property
    def starts_from_data(self) -> bool:
        """Whether `start` is to be called before its training."""
        return self.derived is not None or self.starts_near

    @property
    def starts_near(self) -> bool:
        """Whether `start` makes a network that maps, before any training: a discriminant."""
        return isinstance(self.network, Linear | Quadratic)

    def start(self, pixels: NDArray[np.float32], labels: NDArray[np.uint8]) -> None:
        """Fit what starts from data: derived inputs, and discriminants.

        Args:
            pixels: ``(pixel, band)`` training pixels in the raster's units.
            labels: Their class indices.
        """
        images = torch.from_numpy(np.ascontiguousarray(pixels.T, np.float32))[None, :, :, None]
        with torch.no_grad():
            if self.derived is not None:
                self.derived.start(images)
            seen = self.scaled(images)[0, :, :, 0].T.double().numpy()
        if isinstance(self.network, Linear | Quadratic):
            self.network.start(seen, labels)

    def _by_date(self, wanted: int) -> int:
        """Number of dates, once the bands are ordered date by date.

        Args:
            wanted: Dates that there must be; 0 for any number from 2 up.
        """
        dates, inputs = self.spec.by_date(), self.spec.inputs()
        names = [tuple(inputs[k][1] for k in positions) for positions in dates.values()]
        differing = len({len(n) for n in names} if self.spec.dates else set(names)) != 1
        if len(dates) < 2 or wanted not in (0, len(dates)) or differing:
            listed = "; ".join(
                f"{date or 'no date'}: {', '.join(n)}" for date, n in zip(dates, names, strict=True)
            )
            raise ModelError(
                f"A network that encodes each date alone needs {wanted or 'two or more'} dates "
                f"with the same bands, got {listed}; name bands as in 'before:red', or give "
                "`dates`."
            )
        order = [k for positions in dates.values() for k in positions]
        self._order = None if order == sorted(order) else order
        return len(dates)


def _takes_two(network: nn.Module) -> bool:
    """Whether a network's forward takes two dates instead of one stacked image."""
    needed = [
        p
        for p in inspect.signature(network.forward).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return len(needed) == 2
