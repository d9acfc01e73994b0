"""The architectures we offer: one literal table from name to constructor."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
from segmentation_models_pytorch.base.modules import Conv2dReLU
from segmentation_models_pytorch.decoders.pspnet.decoder import PSPModule
from torch import nn

from landshift.errors import ModelError, reason_of, refuse_out_of_memory
from landshift.files.options import advice
from landshift.models import small
from landshift.models.dates import FUSIONS, SharedEncoder
from landshift.models.detail import COARSE, FEATURES, Detailed
from landshift.models.dilated import DeepLabV3, DilatedPSPNet
from landshift.models.dynamic import DynamicUnet
from landshift.models.semantic import SemanticChange
from landshift.models.transfer import EncoderWeights, fill

_BACKBONE = re.compile(r"\w+(\.\w+)?")  # other names that timm takes are places to load from
SMP = "smp:"
"""Prefix of the names of segmentation-models-pytorch's own encoders."""

WELL_KNOWN = (
    "resnet50", "resnet18", "resnet34", "resnet101", "efficientnet_b0", "convnext_tiny",
    "mobilenetv3_large_100", "swin_tiny_patch4_window7_224", "pvt_v2_b1", "densenet121", "vgg16",
)  # fmt: skip
"""Members of each family that an unknown backbone is taken for before others that are as like it:
those most used, and the defaults of `ARCHITECTURES`."""

NO_ENCODER = "none"
"""Backbone of networks without an encoder."""

_REFINING, _LEARNING = 1e-3, 3e-3
"""Learning rates of discriminants, which start near their goal, and of other small networks: those
that did best on Taizhou's training columns."""

_UNFIT = (KeyError, ValueError, RuntimeError, TypeError, AttributeError, AssertionError, ModelError)
"""Errors of encoders that an architecture can't use."""

_PSP_WIDTH = 512
_MAX_PYRAMID = 16  # grids of a pyramid


@dataclass(frozen=True)
class Architecture:
    """How a network is built, and its traits.

    Attributes:
        build: Constructor: encoder keywords of segmentation-models-pytorch and the options ->
            network; of a small network, channels and classes -> network.
        backbone: Encoder used where none is named; `NO_ENCODER` for small networks.
        fixed_tile: Whether its receptive field is the whole tile, so that the class of a pixel
            changes with the tile's size.
        joins_image: Whether its decoder reads the image too, besides the encoder's features.
        rate: Learning rate where none is given; None: a range test finds one.
        esri: Its name in Esri's model files; '' where they have no such network.
        options: Its options and their defaults.
    """

    build: Callable[..., nn.Module]
    backbone: str = "resnet34"
    fixed_tile: bool = False
    joins_image: bool = False
    rate: float | None = None
    esri: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


def _pspnet(*, pyramid_sizes: Sequence[int], use_unet: bool, **encoder: Any) -> nn.Module:
    """Pyramid pooling over the deepest features, decoded at once or by a U-Net's decoder."""
    sizes = tuple(pyramid_sizes)
    network: Any = smp.Unet(**encoder) if use_unet else smp.PSPNet(**encoder)
    deepest = network.encoder.out_channels[-1]
    pyramid = PSPModule(deepest, sizes=sizes)
    width = deepest + deepest // len(sizes) * len(sizes)
    if use_unet:
        squeeze = Conv2dReLU(width, deepest, 1, use_norm="batchnorm")
        network.decoder.center = nn.Sequential(pyramid, squeeze)
    else:
        network.decoder.psp = pyramid
        network.decoder.conv = Conv2dReLU(width, _PSP_WIDTH, 1, use_norm="batchnorm")
    assert isinstance(network, nn.Module)
    return network


def _deeplab(*, keep_dilation: bool, **encoder: Any) -> nn.Module:
    """Dilation in the last stage of the encoder, or in the last two (more memory, more detail)."""
    stride = 8 if keep_dilation else 16
    network: nn.Module = smp.DeepLabV3Plus(encoder_output_stride=stride, **encoder)
    return network


ARCHITECTURES: Mapping[str, Architecture] = {
    "unet": Architecture(smp.Unet, esri="_unet"),
    "unetplusplus": Architecture(smp.UnetPlusPlus),
    "fpn": Architecture(smp.FPN),
    "pspnet": Architecture(
        _pspnet, "resnet50", fixed_tile=True, esri="_psp",
        options={"pyramid_sizes": (1, 2, 3, 6), "use_unet": False},
    ),
    "deeplab": Architecture(
        _deeplab, "resnet101", fixed_tile=True, esri="_deeplab_infrencing",
        options={"keep_dilation": False},
    ),
    "upernet": Architecture(smp.UPerNet, fixed_tile=True),
    "segformer": Architecture(smp.Segformer, "pvt_v2_b1", fixed_tile=True),
    "dynamic_unet": Architecture(DynamicUnet, joins_image=True, esri="_unet"),
    "deeplabv3": Architecture(
        DeepLabV3, "resnet50", fixed_tile=True, esri="_deeplab_infrencing"
    ),
    "dilated_pspnet": Architecture(
        DilatedPSPNet, "resnet50", fixed_tile=True, esri="_psp",
        options={"pyramid_sizes": (1, 2, 3, 6)},
    ),
    "linear": Architecture(small.Linear, NO_ENCODER, rate=_REFINING),
    "quadratic": Architecture(small.Quadratic, NO_ENCODER, rate=_REFINING),
    "pixel": Architecture(small.pixel, NO_ENCODER, rate=_LEARNING),
    "conv3": Architecture(small.conv3, NO_ENCODER, rate=_LEARNING),
}  # fmt: skip
"""U-Net (Ronneberger 2015), U-Net++ (Zhou 2018), FPN (Kirillov 2019), PSPNet (Zhao 2017),
DeepLabV3+ (Chen 2018), UPerNet (Xiao 2018), SegFormer (Xie 2021; its decoder over pvt_v2), and
the networks of ArcGIS (`DynamicUnet`, `DeepLabV3`, `DilatedPSPNet`); and small networks without
an encoder."""


COMBINATIONS: Mapping[str, Mapping[str, Any]] = {
    "stack": {"detail": False},
    "siamese": {"detail": False, "fusion": "both"},
    "semantic": {"detail": True},
}
"""How a network combines the dates, with the options of each way and their defaults: all bands as
one image; each date through one shared encoder, fused at every scale (`SharedEncoder`); each date
through one shared network, with heads for both classes and the change (`SemanticChange`). With
``detail``, convolutions at full resolution stand beside the network (`Detailed`)."""


@dataclass(frozen=True)
class NetworkDesign:
    """The choices that decide a network's layers.

    Attributes:
        architecture: Name in `ARCHITECTURES`.
        combination: Name in `COMBINATIONS`.
        backbone: Name of a timm encoder; or `SMP` and the name of one that
            segmentation-models-pytorch has itself.
        options: Options of both, complete.
    """

    architecture: str
    combination: str
    backbone: str
    options: Mapping[str, Any]

    @property
    def has_encoder(self) -> bool:
        """Whether it is built over an encoder."""
        return self.backbone != NO_ENCODER

    @property
    def fixed_tile(self) -> bool:
        """Whether the class of a pixel changes with the size of the tile around it."""
        return ARCHITECTURES[self.architecture].fixed_tile


def design(
    architecture: str, combination: str, backbone: str | None, options: Mapping[str, Any]
) -> NetworkDesign:
    """The design of these names, with the default backbone and options filled in.

    Raises:
        ModelError: An unknown name, or an option that the design doesn't have.
    """
    if architecture not in ARCHITECTURES:
        raise ModelError(
            f"The architecture must be one of {', '.join(ARCHITECTURES)}, got {architecture!r}; "
            f"{advice(architecture, ARCHITECTURES)}."
        )
    if combination not in COMBINATIONS:
        raise ModelError(
            f"The dates must be combined by {', '.join(COMBINATIONS)}, got {combination!r}."
        )
    chosen = ARCHITECTURES[architecture]
    known = {**chosen.options, **COMBINATIONS[combination]}
    if set(options) - set(known):
        raise ModelError(
            f"Options of {architecture} must be among {', '.join(known) or 'none'}, got "
            f"{', '.join(sorted(set(options) - set(known)))}."
        )
    if chosen.backbone == NO_ENCODER and (
        backbone not in (None, NO_ENCODER) or combination != "stack" or options.get("detail")
    ):
        raise ModelError(
            f"The network {architecture} has no encoder and sees all dates as one image, got "
            f"{f'the backbone {backbone}' if backbone else f'{combination} with detail'}; leave "
            "that out."
        )
    if backbone not in (None, chosen.backbone) and not _is_encoder(backbone):
        hint = advice(
            backbone, [*WELL_KNOWN, *timm.list_models()], f"take one such as {WELL_KNOWN[0]}"
        )
        raise ModelError(f"The backbone must be an encoder of timm, got {backbone!r:.80}; {hint}.")
    complete = {**known, **options}
    for name, default in known.items():
        kind = (list, tuple) if isinstance(default, tuple) else type(default)
        if not isinstance(complete[name], kind):
            raise ModelError(f"`{name}` must be such as {default!r}, got {complete[name]!r:.60}.")
        if isinstance(default, tuple):
            complete[name] = tuple(complete[name])  # JSON has lists alone
    if complete.get("fusion", FUSIONS[0]) not in FUSIONS:
        raise ModelError(
            f"`fusion` must be one of {', '.join(FUSIONS)}, got {complete['fusion']!r}."
        )
    sizes = complete.get("pyramid_sizes", (1,))
    if not 0 < len(sizes) <= _MAX_PYRAMID or not all(type(v) is int and 0 < v < 64 for v in sizes):
        raise ModelError(
            f"`pyramid_sizes` must be 1 to {_MAX_PYRAMID} whole numbers from 1 to 63, got "
            f"{str(sizes)[:80]}."
        )
    return NetworkDesign(architecture, combination, backbone or chosen.backbone, complete)


def well_known(chosen: NetworkDesign, bands: int, tile_size: int) -> list[str]:
    """Those of `WELL_KNOWN` that a design works with at a tile size, without their memory.

    Args:
        chosen: The design; its backbone doesn't count.
        bands: Bands that the encoder sees.
        tile_size: Rows and columns of a tile.
    """
    kind = ARCHITECTURES[chosen.architecture]
    options = {k: v for k, v in chosen.options.items() if k in kind.options}
    if kind.joins_image:
        options["image_channels"] = bands
    working = []
    for name in WELL_KNOWN if chosen.has_encoder else ():
        encoder = {"encoder_name": f"tu-{name}", "encoder_weights": None, "in_channels": bands}
        try:
            with warnings.catch_warnings(), torch.device("meta"):
                warnings.simplefilter("ignore")
                kind.build(**encoder, classes=2, **options).eval()(
                    torch.empty(1, bands, tile_size, tile_size)
                )
        except _UNFIT:
            continue
        working.append(name)
    return working


def _is_encoder(backbone: str) -> bool:
    if backbone.startswith(SMP):
        return backbone.removeprefix(SMP) in smp.encoders.encoders
    return bool(_BACKBONE.fullmatch(backbone)) and bool(timm.is_model(backbone))


def build(
    chosen: NetworkDesign,
    inputs: Sequence[tuple[str, str]],
    dates: int,
    classes: int,
    pairs: Sequence[Sequence[tuple[int, int]]],
    weights: EncoderWeights | None,
) -> nn.Module:
    """The network of a design.

    Args:
        chosen: The design.
        inputs: Date and name of each band that the encoder sees: of all bands where the dates
            are stacked, else of one date's.
        dates: Number of dates with these bands in the network's input.
        classes: Outputs; of a semantic network, classes before and after.
        pairs: Of a semantic network, the pairs of classes that each code of its map stands for.
        weights: Weights of the encoder, put into it by `fill`; None for a random start.

    Raises:
        ModelError: The architecture can't use the backbone, or the backbone the weights.
    """
    if not chosen.has_encoder:
        return ARCHITECTURES[chosen.architecture].build(len(inputs), classes)
    semantic, detail = chosen.combination == "semantic", bool(chosen.options["detail"])
    outputs = COARSE if detail else FEATURES if semantic else classes
    own = chosen.backbone.startswith(SMP)
    encoder: dict[str, Any] = {
        "encoder_name": chosen.backbone.removeprefix(SMP) if own else f"tu-{chosen.backbone}",
        "encoder_weights": None,
        "in_channels": len(inputs),
        "classes": outputs,
    }
    architecture = ARCHITECTURES[chosen.architecture]
    options = {k: v for k, v in chosen.options.items() if k in architecture.options}
    seen = len(inputs) * (1 if semantic else dates)
    if architecture.joins_image:
        options["image_channels"] = seen
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of smp and timm, about their own internals
            network: Any = architecture.build(**encoder, **options)
    except _UNFIT as error:
        refuse_out_of_memory(error)
        raise ModelError(
            f"The backbone must work as encoder of {chosen.architecture}, got {chosen.backbone} "
            f"({reason_of(error)}); "
            "resnet34 works with all."
        ) from error
    if weights is not None:
        fill(network.encoder, chosen.backbone, weights, inputs)
    if chosen.combination == "siamese":
        network.encoder = SharedEncoder(network.encoder, dates, chosen.options["fusion"])
    features: nn.Module = Detailed(network, seen) if detail else network
    if semantic:
        return SemanticChange(features, pairs, classes)
    return nn.Sequential(features, nn.Conv2d(FEATURES, classes, 1)) if detail else features
