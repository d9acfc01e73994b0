"""The manifest of a package, `landshift.json`, checked before it is used; read without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from landshift.bundle.files import opened, read_bounded
from landshift.errors import ModelError, plain
from landshift.files import archive, hub, jsons
from landshift.spec import InputSpec

MANIFEST = "landshift.json"

FORMAT = 3
"""Version of the manifest's layout."""

NAME = r"^\w[\w .-]{0,98}\w$|^\w$"
"""Pattern of a model's name, which its files have too."""

_MAX_BANDS = 4096
_MAX_SIZE = 1 << 16  # pixels
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


class _ManifestEntry(BaseModel):
    """JSON with exactly these keys and types; numbers are finite."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class _OpenManifestEntry(_ManifestEntry):
    """JSON with at least these keys and types."""

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, JsonValue]


class InputEntry(_ManifestEntry):
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
    features: Annotated[tuple[_Text, ...], Field(max_length=20)] = ()


class ClassEntry(_ManifestEntry):
    """One of Esri's 'Classes'."""

    Value: Annotated[int, Field(ge=0, le=254)]
    Name: _Text
    Color: tuple[_Level, _Level, _Level]


class LossEntry(_ManifestEntry):
    """`landshift.training.Loss`."""

    formula: _Text
    class_balancing: bool
    focal_gamma: float
    dice_average: _Text


class SplitEntry(_ManifestEntry):
    """`landshift.dataset.DataOptions`."""

    val_split_pct: Annotated[float, Field(gt=0, lt=1)]
    split: _Text
    augment: bool
    seed: Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
    ignore_classes: Annotated[tuple[_Level, ...], Field(max_length=255)]
    stratify: bool = False


class TrainingEntry(_OpenManifestEntry):
    """`landshift.training.Training`, and a classifier's additions."""

    lr: float | None = None
    loss: LossEntry | None = None
    data: SplitEntry | None = None


class HistoryEntry(_ManifestEntry):
    """`landshift.training.Epoch` without its time; a loss of NaN is null."""

    epoch: _Count
    train_loss: float | None
    valid_loss: float | None
    accuracy: _Share
    dice: _Share
    miou: _Share
    change_f1: _Share | None


class ClassScoreEntry(_OpenManifestEntry):
    """`landshift.scores.confusion.ClassScores`."""

    name: _Text
    precision: _Share | None
    recall: _Share | None
    f1: _Share | None
    iou: _Share | None
    support: _Count


class ScoresEntry(_OpenManifestEntry):
    """`landshift.scores.confusion.Scores`."""

    accuracy: _Share
    miou: _Share
    macro_f1: _Share
    change_f1: _Share | None
    classes: Annotated[tuple[ClassScoreEntry, ...], Field(max_length=255)]


class SourceEntry(_ManifestEntry):
    """A raster that tiles were cut from."""

    name: _Text
    fingerprint: _Hash


class TilesEntry(_ManifestEntry):
    """The tile set of a training."""

    name: _Text
    sha256: _Hash
    training: _Count
    validation: _Count
    sources: Annotated[tuple[SourceEntry, ...], Field(max_length=100_000)]


class Manifest(_ManifestEntry):
    """Description of a package's model; docs/formats.md explains each key."""

    format: int
    versions: Annotated[dict[_Text, _Text], Field(max_length=100)]
    name: Annotated[_File, Field(pattern=NAME)]
    architecture: _Text
    combination: _Text
    backbone: Annotated[str, Field(pattern=r"^(smp:[\w-]+|\w+(\.\w+)?)$", max_length=255)]
    options: Annotated[dict[_Text, JsonValue], Field(max_length=100)]
    weights: _File
    input: InputEntry
    classes: Annotated[tuple[ClassEntry, ...], Field(max_length=255)]
    map_classes: Annotated[tuple[ClassEntry, ...], Field(max_length=255)] | None
    temperature: Annotated[float, Field(gt=0)]
    training: TrainingEntry
    history: Annotated[tuple[HistoryEntry, ...], Field(max_length=100_000)]
    scores: ScoresEntry | None
    tiles: TilesEntry | None

    def plain(self, key: str) -> Any:
        """A value as plain JSON."""
        return self.model_dump(mode="json", include={key}, exclude_unset=True)[key]


def read(folder: Path, shown: Path) -> Manifest:
    """Read the manifest of a package.

    Args:
        folder: Folder of its files.
        shown: Name of the package in errors.

    Raises:
        ModelError: The manifest is missing or invalid; one line, with the first fault.
    """
    data = read_bounded(folder / MANIFEST, jsons.MAX_BYTES, shown)
    entry = jsons.parse(data, what=f"{shown}: {MANIFEST}", error=ModelError)
    if not isinstance(entry, dict):
        raise ModelError(f"{shown}: {MANIFEST} must hold a JSON object, got another value.")
    layout = entry.get("format")
    if layout != FORMAT:
        raise ModelError(
            f"The package's format must be {FORMAT}, got {plain(repr(layout))} in {shown}; "
            "read it with the version of landshift that wrote it."
        )
    try:
        return Manifest.model_validate_json(data.removeprefix(b"\xef\xbb\xbf"))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = plain(".".join(map(str, first["loc"])))
        value = "" if first["type"] == "missing" else f", got {plain(repr(first['input']))}"
        raise ModelError(
            f"The package must describe its model in full: {first['msg']} at {place}{value} in "
            f"{shown}; it is damaged or hostile."
        ) from error


def is_model(path: Path | str) -> bool:
    """Whether a path names a saved model, by its suffix, hub or manifest; it isn't read."""
    return (
        Path(path).suffix.lower() in (".emd", ".dlpk")
        or hub.is_on_hub(path)
        or (Path(path) / MANIFEST).is_file()
    )


def input_of(path: Path | str) -> InputSpec:
    """The input of a saved model, with the statistics of its training tiles; weights aren't read.

    Args:
        path: The .dlpk, the .emd or the folder of a model of landshift; or one on a hub.

    Raises:
        ModelError: The package is missing, damaged, hostile, or of another tool.
    """
    path = hub.local(path)
    with opened(path) as folder:
        return InputSpec.from_dict(read(folder, path).plain("input"))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON; the same value gives the same bytes."""
    path.write_bytes((json.dumps(value, indent=2, allow_nan=False) + "\n").encode())
