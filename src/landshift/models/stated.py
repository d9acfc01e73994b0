"""What a weights file states of its input: bands, sensor, units, scaling."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import safetensors
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from landshift import sensors
from landshift.errors import ModelError, plain
from landshift.files import jsons
from landshift.spec import InputSpec

METADATA = "landshift"
"""Key of a safetensors file's metadata whose text is the statement."""

_PACKAGE = "landshift.json"  # the manifest beside the weights of a landshift model
_MOST = 1 << 20  # bytes of a statement
_Positive = Annotated[float, Field(gt=0)]


class Statement(BaseModel):
    """The input of an encoder's weights, as JSON states it; docs/models.md has the fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    bands: Annotated[tuple[str, ...], Field(min_length=1, max_length=4096)]
    sensor: str = ""
    units: Literal["reflectance", "8 bit"] | None = None
    zero: tuple[float, ...] = ()
    unit: tuple[_Positive, ...] = ()


def of_file(path: Path) -> Statement | None:
    """What a weights file states: in its metadata, in a JSON of its name, or as a landshift model.

    Args:
        path: The weights file.

    Returns:
        None where it states nothing.

    Raises:
        ModelError: What is stated is damaged, or contradicts itself.
    """
    text: bytes | None = None
    place = path
    if path.suffix == ".safetensors":
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        text = metadata[METADATA].encode() if METADATA in metadata else None
    if text is None:
        place = path.with_suffix(".json")
        text = _read(place)
    entry = None if text is None else _parsed(text, place)
    if isinstance(entry, dict) and "bands" in entry:
        return _checked(entry, place)
    return _of_package(path.with_name(_PACKAGE))


def _read(path: Path) -> bytes | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return file.read(_MOST + 1)


def _parsed(text: bytes, place: Path) -> Any:
    return jsons.parse(text, what=f"What {place} states", error=ModelError, most=_MOST)


def _checked(entry: dict[str, Any], place: Path) -> Statement:
    try:
        statement = Statement.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = plain(".".join(map(str, first["loc"])))
        raise ModelError(
            f"A statement of weights must be as docs/models.md says, got '{first['msg']}' for "
            f"{field} in {place}; correct it."
        ) from error
    if statement.sensor and statement.sensor not in sensors.known().sensors:
        raise ModelError(
            f"The sensor of weights must be one of {', '.join(sensors.known().sensors)}, got "
            f"{plain(statement.sensor)} in {place}; correct it, or leave it out."
        )
    counts = {len(statement.bands), *(len(v) for v in (statement.zero, statement.unit) if v)}
    if len(counts) > 1 or (statement.units is None and (statement.zero or statement.unit)):
        raise ModelError(
            f"`zero` and `unit` of weights must have a number a band, beside `units`, got "
            f"{len(statement.bands)} bands, {len(statement.zero)} and {len(statement.unit)} "
            f"numbers, units {statement.units} in {place}; correct it."
        )
    return statement


def _of_package(manifest: Path) -> Statement | None:
    """The bands of a landshift model, DATE:BAND; it scales its input as any training does."""
    text = _read(manifest)
    if text is None:
        return None
    try:
        spec = InputSpec.from_dict(_parsed(text, manifest)["input"])
        if spec.features:
            return None
        return Statement(bands=tuple(f"{d}:{b}" if d else b for d, b in spec.inputs()))
    except (LookupError, TypeError, ValueError):
        return None
