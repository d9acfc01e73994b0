"""State dicts of networks of segmentation-models-pytorch, and of torchgeo, which wraps them."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from landshift.bundle.contents import Package
from landshift.bundle.tensors import filled
from landshift.classes import ClassScheme
from landshift.errors import BandError, ModelError
from landshift.models import SMP, ChangeModel
from landshift.models.weights import read_state
from landshift.spec import InputSpec

_HEAD = "segmentation_head.0.weight"
_NAMES = {"deeplabv3plus": "deeplab", "deeplabv3+": "deeplab"}
"""Architectures of ours by their names in other libraries."""

_COLUMNS = ("band", "mean", "std")
_OPTIONAL = ("minimum", "maximum")
_ENDLESS = 1e30
"""Clipping limit that clips nothing: these networks take values of any size."""


def read_checkpoint(
    path: Path, *, architecture: str, backbone: str, spec: InputSpec, scheme: ClassScheme
) -> Package:
    """The model of a state dict, given its input and classes.

    The file may be a state dict, or a checkpoint that holds one, as Lightning writes; the rest of
    a checkpoint is neither read nor run.

    Args:
        path: .safetensors, or a file by torch.save.
        architecture: Name in `landshift.models.ARCHITECTURES`, or in segmentation-models-pytorch.
        backbone: Name of the encoder there: ``resnet34``, ``mit_b0``, ``tu-convnext_tiny``.
        spec: Input of the network, in the order of its bands; see `read_input`.
        scheme: Classes of the network; output k is the class with the k-th smallest value.

    Raises:
        WeightsError: The file doesn't exist.
        ModelError: It holds no such network, or one with other bands or classes.
    """
    state = read_state(path, skip=True)
    heads = [name for name in state if name.endswith(_HEAD)]
    if len(heads) != 1:
        raise ModelError(
            "The weights must be those of a network of segmentation-models-pytorch, got "
            f"{len(heads)} tensors named {_HEAD} in {path}; other networks can't be read."
        )
    prefix = heads[0].removesuffix(_HEAD)
    outputs = len(state[heads[0]])
    if outputs != len(scheme):
        raise ModelError(
            f"The network must have an output for each class, got {outputs} outputs in {path} and "
            f"{len(scheme)} classes ({', '.join(scheme.names)}); name the classes of all outputs."
        )
    own = {f"network.{k.removeprefix(prefix)}": v for k, v in state.items() if k.startswith(prefix)}
    of_timm = any(name.startswith("network.encoder.model.") for name in own)
    encoder = backbone.removeprefix(SMP).removeprefix("tu-")
    if not of_timm:
        encoder = f"{SMP}{encoder}"
    name = _NAMES.get(architecture.lower(), architecture.lower())

    def make() -> ChangeModel:
        return ChangeModel(name, spec, scheme, backbone=encoder)

    model = filled(make, encoder, own, path)
    return Package(path.stem, model.eval(), {"weights": path.name})


def read_input(path: Path, tile_size: int) -> InputSpec:
    """Read a network's input from a CSV of its bands.

    Args:
        path: Lines ``band,mean,std`` under that header, in the network's order of bands: it was
            trained on (x - mean) / std for a value x in the raster's units. Columns ``minimum``
            and ``maximum`` may give the range of values, which is not clipped.
        tile_size: Rows and columns of the training tiles.

    Raises:
        BandError: The file is missing or has other contents.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BandError(f"The bands must be a CSV file, got {path} ({error}).") from error
    if not rows or not set(_COLUMNS) <= set(rows[0]):
        raise BandError(
            f"The bands must be lines {','.join(_COLUMNS)} under that header, got "
            f"{','.join(map(str, rows[0])) if rows else 'no line'} in {path}."
        )
    bands = [str(row["band"] or "").strip() for row in rows]
    numbers: dict[str, tuple[float, ...]] = {}
    for column in (*_COLUMNS[1:], *(c for c in _OPTIONAL if c in rows[0])):
        numbers[column] = tuple(
            _number(row[column], f"{column} of {band or 'a band'} in {path}")
            for row, band in zip(rows, bands, strict=True)
        )
    if not all(bands) or len(set(bands)) != len(bands) or min(numbers["std"]) <= 0:
        raise BandError(
            f"Bands must have names that differ and a std above 0, got {', '.join(bands)} with "
            f"{min(numbers['std']):g} as the smallest in {path}."
        )
    mean, std = numbers["mean"], numbers["std"]
    spread = [(m - 3 * s, m + 3 * s) for m, s in zip(mean, std, strict=True)]
    return InputSpec(
        bands=tuple(bands), mean=mean, std=std,
        minimum=numbers.get("minimum", tuple(low for low, _ in spread)),
        maximum=numbers.get("maximum", tuple(high for _, high in spread)),
        tile_size=tile_size, dtype="float32", cell_size=None,
        low=(-_ENDLESS,) * len(bands), high=(_ENDLESS,) * len(bands),
    )  # fmt: skip


def _number(text: str | None, what: str) -> float:
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BandError(f"The {what} must be a number, got {text!r}.")
    return number
