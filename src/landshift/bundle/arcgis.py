"""Models trained by arcgis.learn: an .emd and its .pth, read without any of its code.

Supported are the networks of its UnetClassifier, DeepLab and PSPNetClassifier over a resnet. The
meaning of the keys comes from files that arcgis.learn wrote, and from its public guides; the layers
from where the networks were published.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeInt, ValidationError

from landshift.bundle.contents import Package
from landshift.bundle.tensors import filled
from landshift.classes import UNLABELLED, ClassScheme
from landshift.errors import ClassError, ModelError
from landshift.files import jsons
from landshift.models import ChangeModel
from landshift.models.weights import read_state
from landshift.spec import InputSpec

log = logging.getLogger(__name__)

BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
"""Supported encoders: torchvision's, whose tensors have the same names in timm."""

DEEP = BACKBONES[2:]
"""Those that the published networks dilate."""

_NO_DATA = "NoData"  # its name for the output before those of the classes
_BLACK = (0, 0, 0)
_EPSILON = 1e-4  # added to each band's range
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and deviation of red, green, blue

Names = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]
"""First part of tensor names in its files, and the same tensors' in our network."""

_UNET: Names = (
    (r"layers\.0\.0\.", "encoder.model.conv1."),
    (r"layers\.0\.1\.", "encoder.model.bn1."),
    (r"layers\.0\.([4-7])\.", lambda m: f"encoder.model.layer{int(m[1]) - 3}."),
    (r"layers\.1\.", "norm."),
    (r"layers\.3\.([01])\.0\.", lambda m: f"middle.{2 * int(m[1])}."),
    (r"layers\.([4-7])\.shuf\.conv\.0\.", lambda m: f"blocks.{int(m[1]) - 4}.up.convolution."),
    (r"layers\.([4-7])\.bn\.", lambda m: f"blocks.{int(m[1]) - 4}.norm."),
    (
        r"layers\.([4-7])\.conv([12])\.0\.",
        lambda m: f"blocks.{int(m[1]) - 4}.convolutions.{2 * int(m[2]) - 2}.",
    ),
    (r"layers\.8\.conv\.0\.", "up.convolution."),
    (r"layers\.10\.layers\.([01])\.0\.", lambda m: f"residual.{2 * int(m[1])}."),
    (r"layers\.11\.0\.", "classifier."),
)

_DEEPLAB: Names = (
    (r"backbone\.(?=[a-z])", "encoder.model."),
    (r"classifier\.0\.", "decoder.aspp."),
    (r"classifier\.1\.", "decoder.conv."),
    (r"classifier\.2\.", "decoder.bn."),
    (r"classifier\.4\.", "classifier."),
)

_PSPNET: Names = (
    (r"backbone\.0\.", "encoder.model.conv1."),  # fastai numbers the parts of a resnet
    (r"backbone\.1\.", "encoder.model.bn1."),
    (r"backbone\.([4-7])\.", lambda m: f"encoder.model.layer{int(m[1]) - 3}."),
    (r"backbone\.(?=[a-z])", "encoder.model."),
    (r"ppm\.features\.", "pyramid."),
    (r"final\.", "final."),
)


@dataclass(frozen=True)
class _Kind:
    """A network of arcgis.learn.

    Attributes:
        classifier: Its class there.
        architecture: Ours with the same layers.
        backbones: Encoders that it can be read with.
        names: Its names of tensors, and ours.
        last: First part of the names of the last layer, which has an output for each class.
        unused: First part of the names of what is used in its training alone.
    """

    classifier: str
    architecture: str
    backbones: Sequence[str]
    names: Names
    last: str
    unused: str | None = None


_KINDS = {
    "_unet": _Kind("UnetClassifier", "dynamic_unet", BACKBONES, _UNET, "layers.11.0."),
    "_psp": _Kind(
        "PSPNetClassifier", "dilated_pspnet", DEEP, _PSPNET, "final.4.", "aux_logits."
    ),
    "_deeplab_infrencing": _Kind(
        "DeepLab", "deeplabv3", DEEP, _DEEPLAB, "classifier.4.", "aux_classifier."
    ),
}  # fmt: skip

_Numbers = Annotated[list[FiniteFloat], Field(min_length=1, max_length=1000)]


class _EmdPart(BaseModel):
    """JSON of an .emd; other keys may hold any value."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _EmdClass(_EmdPart):
    value: Annotated[int, Field(alias="Value")]
    name: Annotated[str, Field(alias="Name")]
    colour: Annotated[list[FiniteFloat] | None, Field(alias="Color")] = None


class _EmdStatistics(_EmdPart):
    band_min_values: _Numbers
    band_max_values: _Numbers
    band_mean_values: _Numbers
    band_std_values: _Numbers
    scaled_mean_values: _Numbers
    scaled_std_values: _Numbers


class _EmdCell(_EmdPart):
    x: FiniteFloat


class _EmdParameters(_EmdPart):
    backbone: str
    backend: str = "pytorch"
    pointrend: bool = False
    use_unet: bool = False
    pyramid_sizes: list[int] | None = None


class _EmdDefinition(_EmdPart):
    """The keys of an .emd that describe the network's input and output."""

    weights: Annotated[str, Field(alias="ModelFile")]
    bands: Annotated[
        list[NonNegativeInt], Field(alias="ExtractBands", min_length=1, max_length=1000)
    ]
    names: Annotated[list[str] | None, Field(alias="Bands")] = None
    classes: Annotated[list[_EmdClass], Field(alias="Classes", min_length=1, max_length=255)]
    ignored: Annotated[list[NonNegativeInt] | None, Field(alias="ignore_mapped_class")] = None
    height: Annotated[int, Field(alias="ImageHeight", ge=1, le=1 << 16)]
    width: Annotated[int, Field(alias="ImageWidth", ge=1, le=1 << 16)]
    resized: Annotated[int | None, Field(alias="resize_to", ge=1, le=1 << 16)] = None
    cell: Annotated[_EmdCell | None, Field(alias="MinCellSize")] = None
    parameters: Annotated[_EmdParameters, Field(alias="ModelParameters")]
    multispectral: Annotated[bool, Field(alias="IsMultispectral")] = False
    imagenet: Annotated[bool | None, Field(alias="IsImageNetNormalization")] = None
    statistics: Annotated[_EmdStatistics | None, Field(alias="NormalizationStats")] = None
    standardised: Annotated[bool, Field(alias="DoNormalize")] = True
    version: Annotated[str, Field(alias="ArcGISLearnVersion")] = ""


def read(definition: Mapping[str, Any], path: Path, shown: Path) -> Package:
    """The model of an .emd that arcgis.learn wrote.

    Its first output, NoData, becomes the class of value 0. Outputs of ignored classes are left
    out, since arcgis.learn never predicts them.

    Args:
        definition: Contents of the .emd.
        path: The .emd, with its weights beside it.
        shown: Name of the model in errors.

    Raises:
        ModelError: The .emd is of another tool or network, incomplete or damaged; or the weights
            are missing, hostile, or not those that it describes.
    """
    kind = _kind_of(definition, shown)
    try:
        emd = _EmdDefinition.model_validate(dict(definition))
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        raise ModelError(
            f"An .emd must hold what arcgis.learn writes, got '{first['msg']}' at {at} in {shown}; "
            "save the model with it again."
        ) from error
    parameters = emd.parameters
    if parameters.backbone not in kind.backbones or parameters.backend != "pytorch":
        raise ModelError(
            f"A {kind.classifier} of arcgis.learn must have a backbone of "
            f"{', '.join(kind.backbones)} in pytorch, got {parameters.backbone} in "
            f"{parameters.backend} [{shown}]; its others can't be read."
        )
    if parameters.pointrend:
        raise ModelError(
            f"A {kind.classifier} of arcgis.learn must be one without PointRend, got `pointrend` "
            f"in {shown}; train it with landshift."
        )
    spec = _spec(emd, shown)
    weights = path.parent / (PureWindowsPath(emd.weights).name or "?")
    if weights.is_symlink() or not weights.is_file():
        raise ModelError(
            f"A model's weights must lie beside its .emd, got no file {weights.name} for {shown}; "
            "copy it there."
        )
    state = read_state(weights)
    where = f"{weights.name} of {shown}"
    unet = parameters.use_unet or any(name.startswith("layers.") for name in state)
    if unet and kind is not _KINDS["_unet"]:
        raise ModelError(
            f"A {kind.classifier} of arcgis.learn must be one without a U-Net, got one over "
            f"fastai's DynamicUnet in {where}; train it with landshift (use_unet=True)."
        )
    scheme, outputs = _classes(emd, state, kind, where)
    sizes = {} if parameters.pyramid_sizes is None else {"pyramid_sizes": parameters.pyramid_sizes}
    options = sizes if kind.architecture == "dilated_pspnet" else {}
    model = filled(
        lambda: ChangeModel(
            kind.architecture, spec, scheme, backbone=parameters.backbone, options=options
        ),
        parameters.backbone,
        _translated(state, outputs, kind),
        where,
    )
    training: dict[str, Any] = {"software": f"arcgis.learn {emd.version}".strip()}
    scores = _stated_scores(definition)
    return Package(path.stem, model.eval(), training | ({"stated": scores} if scores else {}))


def _stated_scores(definition: Mapping[str, Any]) -> dict[str, Any]:
    """The accuracy and each class's F1, as far as the .emd states them."""
    stated: dict[str, Any] = {}
    accuracy = _share(definition.get("accuracy"))
    if accuracy is not None:
        stated["accuracy"] = accuracy
    text = definition.get("per_class_metrics")
    if isinstance(text, str) and text:
        try:
            classes = jsons.parse(text.encode(), what="per_class_metrics", error=ModelError)
        except (ModelError, UnicodeEncodeError):
            return stated  # stated scores affect no map
        if isinstance(classes, dict):
            shares = {n: _share(v.get("f1")) for n, v in classes.items() if isinstance(v, dict)}
            stated["f1"] = {n: v for n, v in shares.items() if v is not None}
    return stated


def _share(value: object) -> float | None:
    """A share between 0 and 1, stated as a number or a text; None for any other value."""
    try:
        share = float(str(value))
    except ValueError:
        return None
    return share if 0 <= share <= 1 else None


def _kind_of(definition: Mapping[str, Any], shown: Path) -> _Kind:
    """The network of an .emd; one that isn't of arcgis.learn, or is another one, is refused."""
    framework, kind = (definition.get(k) for k in ("Framework", "ModelConfiguration"))
    ours = isinstance(framework, str) and framework.startswith("arcgis.learn")
    if ours and isinstance(kind, str) and kind in _KINDS:
        return _KINDS[kind]
    if isinstance(kind, Mapping):
        kind = kind.get("Name")
    raise ModelError(
        "An .emd must be of landshift or of arcgis.learn's "
        f"{', '.join(k.classifier for k in _KINDS.values())}, got "
        f"{definition.get('ModelType', 'no ModelType')!s:.40} of "
        f"{framework or 'no Framework'!s:.40} ({kind or 'no ModelConfiguration'!s:.40}) in "
        f"{shown}; run it with the tool that it was made for."
    )


def _spec(emd: _EmdDefinition, shown: Path) -> InputSpec:
    """Input of the network: each band clamped to its range, then standardised."""
    statistics = emd.statistics
    if statistics is not None and (emd.multispectral or not emd.imagenet):
        low, high, mean, std, scaled_mean, scaled_std = (
            _extracted(values, emd, shown)
            for values in (
                statistics.band_min_values, statistics.band_max_values,
                statistics.band_mean_values, statistics.band_std_values,
                statistics.scaled_mean_values, statistics.scaled_std_values,
            )
        )  # fmt: skip
        span = [b - a + _EPSILON for a, b in zip(low, high, strict=True)]
        if not emd.standardised:
            scaled_mean, scaled_std = (0.0,) * len(span), (1.0,) * len(span)
        if min(*span, *std, *scaled_std) <= 0:
            raise ModelError(
                "NormalizationStats must hold ranges and standard deviations above 0, got others "
                f"in {shown}; save the model again."
            )
        scaling: dict[str, Any] = {
            "zero": tuple(a + m * s for a, m, s in zip(low, scaled_mean, span, strict=True)),
            "unit": tuple(d * s for d, s in zip(scaled_std, span, strict=True)),
            "low": low, "high": tuple(a + s for a, s in zip(low, span, strict=True)),
            "mean": mean, "std": std, "minimum": low, "maximum": high, "dtype": "float32",
        }  # fmt: skip
    elif not emd.multispectral and emd.imagenet is not False and len(emd.bands) == 3:
        scaling = {
            "mean": tuple(255 * m for m in _IMAGENET[0]), "dtype": "uint8",
            "std": tuple(255 * s for s in _IMAGENET[1]),
            "minimum": (0.0,) * 3, "maximum": (255.0,) * 3,
        }  # fmt: skip
    else:
        raise ModelError(
            "An .emd must state how its bands are scaled (NormalizationStats; or three bands, "
            f"scaled as ImageNet's), got {len(emd.bands)} bands without in {shown}; save the model "
            "again."
        )
    size = emd.resized or min(emd.height, emd.width)
    if size != emd.height:
        log.warning(
            "%s was trained on tiles resized from %d to %d pixels: run it at %.4g times the cell "
            "size of its imagery (--cell-size).", shown, emd.height, size, emd.height / size,
        )  # fmt: skip
    names = emd.names if emd.names and len(emd.names) > max(emd.bands) else None
    return InputSpec(
        bands=tuple(f"Band_{k + 1}" if names is None else names[k] for k in emd.bands),
        tile_size=size, cell_size=None if emd.cell is None else emd.cell.x,
        positions=tuple(k + 1 for k in emd.bands), **scaling,
    )  # fmt: skip


def _extracted(values: Sequence[float], emd: _EmdDefinition, shown: Path) -> tuple[float, ...]:
    """Values of the extracted bands, out of those of all bands."""
    if max(emd.bands) < len(values):
        return tuple(values[k] for k in emd.bands)
    if len(values) != len(emd.bands):
        raise ModelError(
            f"NormalizationStats must hold a number for each band, got {len(values)} for bands up "
            f"to {max(emd.bands) + 1} in {shown}; save the model again."
        )
    return tuple(values)


def _classes(
    emd: _EmdDefinition, state: Mapping[str, torch.Tensor], kind: _Kind, where: str
) -> tuple[ClassScheme, list[int]]:
    """The classes that the network can predict, and the output of each."""
    bias = state.get(f"{kind.last}bias")
    count = 0 if bias is None else bias.numel()
    values = [c.value for c in emd.classes]
    names = [c.name for c in emd.classes]
    colours = [_colour(c) for c in emd.classes]
    if count == len(values) + 1 and UNLABELLED not in values:
        values, names = [UNLABELLED, *values], [_NO_DATA, *names]
        colours = [_BLACK, *colours]
    if count != len(values) or len(set(values)) != count:
        raise ModelError(
            "The weights must have an output for NoData and each class of the .emd, whose values "
            f"must differ, got {count} outputs and the values {values[:20]} in {where}; give "
            "the two files of one model."
        )
    outputs = sorted(set(range(count)) - set(emd.ignored or ()), key=lambda k: values[k])
    try:
        scheme = ClassScheme.from_mapping(
            {values[k]: names[k] for k in outputs},
            {values[k]: colour for k in outputs if (colour := colours[k]) is not None},
        )
    except ClassError as error:
        raise ModelError(f"{error} [{where}]") from error
    return scheme, outputs


def _colour(entry: _EmdClass) -> tuple[int, int, int] | None:
    """Colour of a class; None if it has none, which arcgis.learn writes as -1s."""
    colour = entry.colour
    if colour is None or len(colour) < 3 or not all(0 <= c < 256 for c in colour):
        return None
    red, green, blue = (int(c) for c in colour[:3])
    return red, green, blue


def _translated(
    state: Mapping[str, torch.Tensor], outputs: Sequence[int], kind: _Kind
) -> dict[str, torch.Tensor]:
    """The tensors under our names; of the last layer those of the given outputs.

    What is used in training alone is left out. A tensor without a name of ours keeps its own, and
    is refused as an extra one later.
    """
    translated = {}
    for name, tensor in state.items():
        if kind.unused is not None and name.startswith(kind.unused):
            continue
        if name.startswith(kind.last) and tensor.ndim:
            tensor = tensor[[k for k in outputs if k < len(tensor)]]
        matches = ((re.match(begin, name), ours) for begin, ours in kind.names)
        match, ours = next(((m, o) for m, o in matches if m), (None, ""))
        if match is not None:
            name = (
                f"network.{match.expand(ours) if isinstance(ours, str) else ours(match)}"
                + (name[match.end() :])
            )
        translated[name] = tensor.float() if tensor.is_floating_point() else tensor
    return translated
