"""What pages are made from, as JSON and CSV of other rooms hold it: checked before it is shown."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from landshift.assess import intervals
from landshift.errors import LandshiftError, ParameterError
from landshift.files import jsons

_MAX_ROWS = 100_000

_Text = Annotated[str, Field(max_length=1000)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=0, lt=1 << 63)]
_Amount = Annotated[float, Field(ge=0)]


class _Entry(BaseModel):
    """JSON of these keys and types, finite numbers; more keys may be there."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, allow_inf_nan=False)


class ClassScores(_Entry):
    """`landshift.scores.confusion.ClassScores`."""

    name: _Text
    precision: _Share | None
    recall: _Share | None
    f1: _Share | None
    iou: _Share | None
    support: _Count


class Scores(_Entry):
    """What pages show of `landshift.scores.confusion.Scores`."""

    classes: Annotated[list[ClassScores], Field(min_length=1, max_length=255)]
    accuracy: _Share
    kappa: float | None = None
    macro_f1: _Share
    miou: _Share
    change_f1: _Share | None
    change_macro_f1: _Share | None = None
    unmapped: _Count = 0


class Bin(_Entry):
    """A bin of `landshift.scores.calibration.Reliability`."""

    lower: Annotated[float, Field(alias="from")]
    upper: Annotated[float, Field(alias="to")]
    pixels: _Count
    confidence: float | None
    accuracy: _Share | None


class Curve(_Entry):
    """`landshift.scores.calibration.Reliability`."""

    ece: float | None
    bins: Annotated[list[Bin], Field(max_length=1000)]

    @property
    def filled(self) -> list[Bin]:
        """The bins that hold a pixel."""
        return [b for b in self.bins if b.confidence is not None and b.accuracy is not None]


class Calibration(_Entry):
    """`landshift.scores.calibration.Calibration`."""

    temperature: Annotated[float, Field(gt=0)]
    raw: Curve
    scaled: Curve


class ClassName(_Entry):
    """What pages show of one of Esri's 'Classes'."""

    Name: _Text


class Counts(_Entry):
    """A confusion matrix of pixels, and one more column for those without a class."""

    counts: list[list[_Count]]


class Judged(_Entry):
    """What `landshift.evaluation.evaluation.Evaluation` writes."""

    classes: Annotated[list[ClassName], Field(min_length=1, max_length=255)]
    confusion: Counts
    scores: Scores
    baselines: Annotated[dict[_Text, Scores], Field(max_length=50)]
    calibration: Calibration | None

    @model_validator(mode="after")
    def _square(self) -> Judged:
        size = len(self.classes)
        if [len(row) for row in self.confusion.counts] != [size + 1] * size:
            raise ValueError("The confusion matrix must have a row and a column for each class")
        return self


class Figure(_Entry):
    """`landshift.assess.estimate.Figure`."""

    value: float
    error: _Amount | None
    margin: _Amount
    lower: float
    upper: float
    method: _Text = intervals.NORMAL

    @property
    def is_exact(self) -> bool:
        """Whether few units decide the interval, which isn't even on both sides then."""
        return self.method == intervals.EXACT


class AreaClass(_Entry):
    """`landshift.assess.estimate.ClassFigures`."""

    name: _Text
    map_units: _Count
    reference_units: _Count
    map_hectares: _Amount
    hectares: Figure | None
    share: Figure | None
    users: Figure | None
    producers: Figure | None


class Shares(_Entry):
    """A confusion matrix in shares of the map's area."""

    shares: list[list[_Share]]


class Domain(_Entry):
    """`landshift.assess.estimate.DomainFigures`."""

    name: _Text
    units: _Count
    hectares: _Amount
    classes: dict[_Text, Figure]


class Areas(_Entry):
    """What `landshift.assess.estimate.Assessment` writes."""

    map: _Text
    map_sha256: _Text
    design: _Text
    units: _Count
    level: Annotated[float, Field(gt=0, lt=1)]
    hectares: _Amount
    method: _Text
    notes: list[_Text]
    overall: Figure
    classes: Annotated[list[AreaClass], Field(min_length=1, max_length=1000)]
    confusion: Shares
    domains: Annotated[list[Domain], Field(max_length=10_000)]

    @model_validator(mode="after")
    def _square(self) -> Areas:
        size = len(self.classes)
        if [len(row) for row in self.confusion.shares] != [size] * size:
            raise ValueError("The confusion matrix must have a row and a column for each class")
        return self


class Flow(_Entry):
    """A row of `landshift.maps.transitions.TransitionTable`."""

    before: _Text
    after: _Text
    pixels: _Count
    hectares: _Amount | None
    percent: _Amount

    @property
    def stayed(self) -> bool:
        """Whether the class is the same on both dates."""
        return self.before == self.after


FLOW_FIELDS = ["from", "to", "pixels", "hectares", "percent"]
"""The first line of a table of transitions."""

Kind = TypeVar("Kind", bound=BaseModel)


def check(
    kind: type[Kind],
    value: Any,
    *,
    what: str,
    error: type[LandshiftError] = ParameterError,
) -> Kind:
    """A value of JSON as what it must be.

    Args:
        kind: What it must be.
        value: The value.
        what: What errors call it.
        error: Raised, with the first fault, when it isn't.
    """
    try:
        return kind.model_validate_json(json.dumps(value))
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))[:80]
        raise error(
            f"{what} must be as landshift writes it, got '{first['msg']}' at {place or 'its top'}; "
            "make it again."
        ) from problem


def read_json(path: Path) -> Mapping[str, Any]:
    """An object of JSON.

    Raises:
        ParameterError: It is too large, or no object of JSON.
    """
    with path.open("rb") as file:
        data = file.read(jsons.MAX_BYTES + 1)
    found = jsons.parse(data, what=str(path), error=ParameterError)
    if not isinstance(found, dict):
        raise ParameterError(f"{path} must hold a JSON object, got another value; give another.")
    return found


def read_flows(path: Path) -> list[Flow]:
    """A table of transitions, as `landshift label --table` writes it, the largest first.

    Raises:
        ParameterError: It is something else.
    """
    with path.open("rb") as file:
        data = file.read(jsons.MAX_BYTES)
    try:
        rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))[: _MAX_ROWS + 1]
        if not rows or rows[0] != FLOW_FIELDS:
            raise ValueError(f"its first line isn't {','.join(FLOW_FIELDS)}")
        found = [
            check(
                Flow,
                {
                    "before": before,
                    "after": after,
                    "pixels": int(pixels),
                    "hectares": float(hectares) if hectares else None,
                    "percent": float(percent),
                },
                what=f"The table {path}",
            )
            for before, after, pixels, hectares, percent in rows[1:]
        ]
    except (ValueError, csv.Error) as problem:
        if isinstance(problem, ParameterError):
            raise
        raise ParameterError(
            f"A table of transitions must be as landshift label writes it, got '{problem}' in "
            f"{path}; make it again."
        ) from problem
    return sorted(found, key=lambda f: -f.pixels)


def finite(value: float | None) -> float | None:
    """A number, or None where it isn't one."""
    return value if value is not None and math.isfinite(value) else None
