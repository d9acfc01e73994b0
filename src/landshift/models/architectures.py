"""The architectures we offer: one literal table from name to constructor."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import segmentation_models_pytorch as smp
import timm
from torch import nn

from landshift.errors import ModelError


@dataclass(frozen=True)
class Architecture:
    """How a network is built, and what follows from its design.

    Attributes:
        build: Constructor: encoder keywords -> network.
        backbone: Encoder used where none is named.
        fixed_tile: Whether it pools over the whole tile, so that its answer for a pixel changes
            with the tile's size.
        esri: What Esri's model files call it.
    """

    build: Callable[..., Any]
    backbone: str
    fixed_tile: bool
    esri: str


def _deeplab(**encoder: Any) -> Any:
    return smp.DeepLabV3Plus(encoder_output_stride=16, **encoder)


ARCHITECTURES: Mapping[str, Architecture] = {
    "unet": Architecture(smp.Unet, "resnet34", fixed_tile=False, esri="_unet"),
    "pspnet": Architecture(smp.PSPNet, "resnet50", fixed_tile=True, esri="_psp"),
    "deeplab": Architecture(_deeplab, "resnet101", fixed_tile=True, esri="_deeplab_infrencing"),
}
"""U-Net (Ronneberger 2015), PSPNet (Zhao 2017), DeepLabV3+ (Chen 2018)."""


def check_names(architecture: str, backbone: str | None) -> str:
    """The name of the backbone, once both names are known; None stands for the usual one.

    Raises:
        ModelError: An unknown architecture or backbone.
    """
    chosen = ARCHITECTURES.get(architecture)
    if chosen is None:
        raise ModelError(
            f"The architecture must be one of {', '.join(ARCHITECTURES)}, got {architecture!r}."
        )
    if backbone is None:
        return chosen.backbone
    if not timm.is_model(backbone):
        near = timm.list_models(f"*{backbone[:6]}*")[:5]
        hint = f"; near it are {', '.join(near)}" if near else ""
        raise ModelError(f"The backbone must be an encoder of timm, got {backbone!r}{hint}.")
    return backbone


def build(
    architecture: str, backbone: str, bands: int, classes: int, weights: str | None
) -> nn.Module:
    """A network of an architecture over an encoder of timm.

    Args:
        architecture: Name in `ARCHITECTURES`.
        backbone: Name of a timm encoder, such as ``resnet34``.
        bands: Bands of its input.
        classes: Outputs.
        weights: File of encoder weights; None for a random start. The first convolution takes
            any number of bands: timm repeats its filters over them and scales their sum back.

    Raises:
        ModelError: The architecture can't use the backbone, or the backbone the weights.
    """
    encoder: dict[str, Any] = {
        "encoder_name": f"tu-{backbone}",
        "encoder_weights": None,
        "in_channels": bands,
        "classes": classes,
    }
    if weights is not None:
        encoder |= {"encoder_weights": True, "pretrained_cfg_overlay": {"file": weights}}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of smp and timm, about their own internals
            network: nn.Module = ARCHITECTURES[architecture].build(**encoder)
            return network
    except (KeyError, ValueError, RuntimeError, TypeError, AttributeError, AssertionError) as error:
        of = f" with the weights in {weights}" if weights else ""
        raise ModelError(
            f"The backbone must work as encoder of {architecture}, got {backbone}{of} "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__}); "
            "resnet34 works with all."
        ) from error
