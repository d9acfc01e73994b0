"""Contents of the JSON and CSV files that pages show, checked when they are read."""

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
from landshift.scores.findings import Counted

_MAX_ROWS = 100_000

_Text = Annotated[str, Field(max_length=1000)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=0, lt=1 << 63)]
_Amount = Annotated[float, Field(ge=0)]


class _Record(BaseModel):
    """A JSON object with these keys and types, numbers finite; other keys are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, allow_inf_nan=False)


class ClassScoresRecord(_Record):
    """`landshift.scores.confusion.ClassScores`."""

    name: _Text
    precision: _Share | None
    recall: _Share | None
    f1: _Share | None
    iou: _Share | None
    support: _Count


class ScoresRecord(_Record):
    """The part of `landshift.scores.confusion.Scores` that pages show."""

    classes: Annotated[list[ClassScoresRecord], Field(min_length=1, max_length=255)]
    accuracy: _Share
    kappa: float | None = None
    macro_f1: _Share
    miou: _Share
    change_f1: _Share | None
    change_macro_f1: _Share | None = None
    unmapped: _Count = 0


class Bin(_Record):
    """A bin of `landshift.scores.calibration.Reliability`."""

    lower: Annotated[float, Field(alias="from")]
    upper: Annotated[float, Field(alias="to")]
    pixels: _Count
    confidence: float | None
    accuracy: _Share | None


class Curve(_Record):
    """`landshift.scores.calibration.Reliability`."""

    ece: float | None
    bins: Annotated[list[Bin], Field(max_length=1000)]

    @property
    def filled(self) -> list[Bin]:
        """The bins with pixels."""
        return [b for b in self.bins if b.confidence is not None and b.accuracy is not None]


class CalibrationRecord(_Record):
    """`landshift.scores.calibration.Calibration`."""

    temperature: Annotated[float, Field(gt=0)]
    raw: Curve
    scaled: Curve


class ClassName(_Record):
    """An entry of Esri's 'Classes', of which pages show the name."""

    Name: _Text


class Counts(_Record):
    """A confusion matrix of pixels; its last column counts pixels without a class."""

    counts: list[list[_Count]]


class EvaluationRecord(_Record):
    """The JSON of `landshift.evaluation.evaluation.Evaluation`."""

    classes: Annotated[list[ClassName], Field(min_length=1, max_length=255)]
    counted: Counted = "pixels"
    confusion: Counts
    scores: ScoresRecord
    baselines: Annotated[dict[_Text, ScoresRecord], Field(max_length=50)]
    calibration: CalibrationRecord | None

    @model_validator(mode="after")
    def _square(self) -> EvaluationRecord:
        size = len(self.classes)
        if [len(row) for row in self.confusion.counts] != [size + 1] * size:
            raise ValueError("The confusion matrix must have a row and a column for each class")
        return self


class FigureRecord(_Record):
    """`landshift.assess.assessment.IntervalEstimate`."""

    value: float
    error: _Amount | None
    margin: _Amount
    lower: float
    upper: float
    method: _Text = intervals.NORMAL

    @property
    def is_exact(self) -> bool:
        """Whether the interval is exact, and thus uneven: few units decide it."""
        return self.method == intervals.EXACT


class AreaClass(_Record):
    """`landshift.assess.assessment.ClassFigures`."""

    name: _Text
    map_units: _Count
    reference_units: _Count
    map_hectares: _Amount
    hectares: FigureRecord | None
    share: FigureRecord | None
    users: FigureRecord | None
    producers: FigureRecord | None


class Shares(_Record):
    """A confusion matrix in shares of the map's area."""

    shares: list[list[_Share]]


class Domain(_Record):
    """`landshift.assess.assessment.DomainFigures`."""

    name: _Text
    units: _Count
    hectares: _Amount
    classes: dict[_Text, FigureRecord]


class Areas(_Record):
    """The JSON of `landshift.assess.assessment.Assessment`."""

    map: _Text
    map_sha256: _Text
    design: _Text
    units: _Count
    level: Annotated[float, Field(gt=0, lt=1)]
    hectares: _Amount
    method: _Text
    notes: list[_Text]
    overall: FigureRecord
    classes: Annotated[list[AreaClass], Field(min_length=1, max_length=1000)]
    confusion: Shares
    domains: Annotated[list[Domain], Field(max_length=10_000)]

    @model_validator(mode="after")
    def _square(self) -> Areas:
        size = len(self.classes)
        if [len(row) for row in self.confusion.shares] != [size] * size:
            raise ValueError("The confusion matrix must have a row and a column for each class")
        return self


class Flow(_Record):
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
    """Check a JSON value.

    Args:
        kind: The expected contents.
        value: The value.
        what: Name of the value in errors.
        error: Raised, with the first fault, if the value is invalid.
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
        ParameterError: The file is too large, or holds no JSON object.
    """
    with path.open("rb") as file:
        data = file.read(jsons.MAX_BYTES + 1)
    content = jsons.parse(data, what=str(path), error=ParameterError)
    if not isinstance(content, dict):
        raise ParameterError(
            f"{path} must hold a JSON object, got another value; give another file."
        )
    return content


def read_flows(path: Path) -> list[Flow]:
    """A table of transitions, as `landshift label --table` writes it, the largest first.

    Raises:
        ParameterError: The file isn't such a table.
    """
    with path.open("rb") as file:
        data = file.read(jsons.MAX_BYTES)
    try:
        rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))[: _MAX_ROWS + 1]
        if not rows or rows[0] != FLOW_FIELDS:
            raise ValueError(f"its first line isn't {','.join(FLOW_FIELDS)}")
        flows = [
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
    return sorted(flows, key=lambda f: -f.pixels)


def finite(value: float | None) -> float | None:
    """A finite number, or None."""
    return value if value is not None and math.isfinite(value) else None
