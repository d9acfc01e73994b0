"""What a package says of its model, `landshift.json`: written, and checked before it is used."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from landshift import __version__
from landshift.bundle.contents import Package
from landshift.bundle.files import read_bounded
from landshift.errors import ModelError, plain
from landshift.files import archive, jsons

MANIFEST = "landshift.json"

FORMAT = 3
"""Version of the manifest's layout."""

NAME = r"^\w[\w .-]{0,98}\w$|^\w$"
"""What a model may be called: its files are called so."""

_MAX_BANDS = 4096
_MAX_SIZE = 1 << 16  # pixels
_LIBRARIES = ("torch", "segmentation-models-pytorch", "timm", "lightning", "numpy", "safetensors")
"""Libraries whose versions decide what a training gives."""

_Text = Annotated[str, Field(max_length=255)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=0, lt=1 << 63)]
_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Level = Annotated[int, Field(ge=0, le=255)]
_Numbers = Annotated[tuple[float, ...], Field(max_length=_MAX_BANDS)]
_Words = Annotated[tuple[_Text, ...], Field(max_length=_MAX_BANDS)]
_MaybeWords = Annotated[tuple[_Text | None, ...], Field(max_length=_MAX_BANDS)]


def _portable(name: str) -> str:
    if not archive.portable(name):
        raise ValueError("must be a plain file name on every system")
    return name


_File = Annotated[str, Field(max_length=255), AfterValidator(_portable)]


class _Entry(BaseModel):
    """JSON of exactly these keys and types; numbers are finite."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class _OpenEntry(_Entry):
    """JSON of these keys and types, which may hold further ones."""

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, JsonValue]


class Input(_Entry):
    """`landshift.spec.InputSpec`."""

    bands: Annotated[tuple[_Text, ...], Field(min_length=1, max_length=_MAX_BANDS)]
    mean: _Numbers
    std: _Numbers
    minimum: _Numbers
    maximum: _Numbers
    tile_size: Annotated[int, Field(ge=1, le=_MAX_SIZE)]
    dtype: Literal[
        "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16",
        "float32", "float64",
    ]  # fmt: skip
    cell_size: Annotated[float, Field(gt=0)] | None
    dates: _Words
    zero: _Numbers
    unit: _Numbers
    low: _Numbers = ()
    high: _Numbers = ()
    positions: Annotated[tuple[_Count, ...], Field(max_length=_MAX_BANDS)] = ()
    padding: Annotated[int, Field(ge=0, le=_MAX_SIZE)] | None
    band_sensors: _MaybeWords
    band_units: _MaybeWords
    nodata: float | None = None


class Class(_Entry):
    """One of Esri's 'Classes'."""

    Value: Annotated[int, Field(ge=0, le=254)]
    Name: _Text
    Color: tuple[_Level, _Level, _Level]


class Loss(_Entry):
    """`landshift.training.Loss`."""

    formula: _Text
    class_balancing: bool
    focal_gamma: float
    dice_average: _Text


class Split(_Entry):
    """`landshift.dataset.DataOptions`."""

    val_split_pct: Annotated[float, Field(gt=0, lt=1)]
    split: _Text
    augment: bool
    seed: Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
    ignore_classes: Annotated[tuple[_Level, ...], Field(max_length=255)]


class Training(_OpenEntry):
    """`landshift.training.Training`, and what a classifier adds to it."""

    lr: float | None = None
    loss: Loss | None = None
    data: Split | None = None


class Row(_Entry):
    """`landshift.training.Epoch` without its time; a loss that is no number is null."""

    epoch: _Count
    train_loss: float | None
    valid_loss: float | None
    accuracy: _Share
    dice: _Share
    miou: _Share
    change_f1: _Share | None


class ClassScore(_OpenEntry):
    """`landshift.scores.confusion.ClassScores`."""

    name: _Text
    precision: _Share | None
    recall: _Share | None
    f1: _Share | None
    iou: _Share | None
    support: _Count


class Scores(_OpenEntry):
    """`landshift.scores.confusion.Scores`."""

    accuracy: _Share
    miou: _Share
    macro_f1: _Share
    change_f1: _Share | None
    classes: Annotated[tuple[ClassScore, ...], Field(max_length=255)]


class Source(_Entry):
    """A raster that tiles were cut from."""

    name: _Text
    fingerprint: _Hash


class Tiles(_Entry):
    """The tile set of a training."""

    name: _Text
    sha256: _Hash
    training: _Count
    validation: _Count
    sources: Annotated[tuple[Source, ...], Field(max_length=100_000)]


class Manifest(_Entry):
    """All that a package says of its model; docs/formats.md tells what each key means."""

    format: int
    versions: Annotated[dict[_Text, _Text], Field(max_length=100)]
    name: Annotated[_File, Field(pattern=NAME)]
    architecture: _Text
    combination: _Text
    backbone: Annotated[str, Field(pattern=r"^(smp:[\w-]+|\w+(\.\w+)?)$", max_length=255)]
    options: Annotated[dict[_Text, JsonValue], Field(max_length=100)]
    weights: _File
    input: Input
    classes: Annotated[tuple[Class, ...], Field(max_length=255)]
    map_classes: Annotated[tuple[Class, ...], Field(max_length=255)] | None
    temperature: Annotated[float, Field(gt=0)]
    training: Training
    history: Annotated[tuple[Row, ...], Field(max_length=100_000)]
    scores: Scores | None
    tiles: Tiles | None

    def plain(self, key: str) -> Any:
        """A value as plain JSON holds it."""
        return self.model_dump(mode="json", include={key}, exclude_unset=True)[key]


def write(package: Package, weights: str, path: Path) -> None:
    """Write the manifest of a package, which the same training gives again: it tells no times.

    Args:
        package: The model.
        weights: File name of its weights.
        path: Where it goes.

    Raises:
        ModelError: It would be refused when it is read.
    """
    model = package.model
    told = {
        "format": FORMAT,
        "versions": {
            "landshift": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in _LIBRARIES},
        },
        "name": package.name,
        "architecture": model.architecture,
        "combination": model.design.combination,
        "backbone": model.backbone,
        "options": dict(model.design.options),
        "weights": weights,
        "input": model.spec.as_dict(),
        "classes": model.scheme.as_list(),
        "map_classes": None if model.map_scheme is None else model.map_scheme.as_list(),
        "temperature": model.temperature,
        "training": dict(package.training),
        "history": [_row(row) for row in package.history],
        "scores": package.scores,
        "tiles": package.tiles,
    }
    write_json(path, told)
    read(path.parent, path.parent)


def read(folder: Path, shown: Path) -> Manifest:
    """The manifest of a package.

    Args:
        folder: Where its files lie.
        shown: What errors call it.

    Raises:
        ModelError: There is none, or it isn't what it must be; in one line, with the first fault.
    """
    data = read_bounded(folder / MANIFEST, jsons.MAX_BYTES, shown)
    found = jsons.parse(data, what=f"{shown}: {MANIFEST}", error=ModelError)
    if not isinstance(found, dict):
        raise ModelError(f"{shown}: {MANIFEST} must hold a JSON object, got another value.")
    told = found.get("format")
    if told != FORMAT:
        raise ModelError(
            f"The package's format must be {FORMAT}, got {plain(repr(told))} in {shown}; "
            "read it with the version of landshift that wrote it."
        )
    try:
        return Manifest.model_validate_json(data.removeprefix(b"\xef\xbb\xbf"))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = plain(".".join(map(str, first["loc"])))
        got = "" if first["type"] == "missing" else f", got {plain(repr(first['input']))}"
        raise ModelError(
            f"The package must describe its model in full: {first['msg']} at {place}{got} in "
            f"{shown}; it is damaged or hostile."
        ) from error


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a file of ours: the same value, the same bytes."""
    path.write_bytes((json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the training table without its time; JSON knows no NaN."""
    told = {k: v for k, v in row.items() if k != "seconds"}
    for name in ("train_loss", "valid_loss"):
        if not math.isfinite(told[name]):
            told[name] = None
    return told
