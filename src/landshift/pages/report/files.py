"""The files of a job that its report shows."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class ReportFiles:
    """The files that a report shows; what is left out is searched for in the job's folder."""

    map: Path | None = None
    """The map that the report is about."""

    before: Path | None = None
    """Image of the first date, or a composite with it."""

    after: Path | None = None
    """Image of the second date, or a composite with it."""

    reference: Path | None = None
    """Reference that the map is compared with."""

    confidence: Path | None = None
    """Confidence of the map, as landshift classify --layer confidence writes it."""

    areas: Path | None = None
    """Areas with intervals: JSON of landshift estimate."""

    scores: Path | None = None
    """Scores of the map or model: JSON of landshift evaluate."""

    model: Path | None = None
    """The model that made the map: .emd, .dlpk or folder."""

    transitions: Path | None = None
    """Table of transitions: CSV of landshift label --table."""

    def __post_init__(self) -> None:
        for field in fields(self):
            path = getattr(self, field.name)
            if path is not None:
                object.__setattr__(self, field.name, Path(path))
