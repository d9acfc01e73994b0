"""The result of an estimate: areas and accuracies with their intervals, also as JSON and CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift.assess import intervals
from landshift.assess.contents import Design
from landshift.files import whole
from landshift.files.rows import Rows


@dataclass(frozen=True)
class IntervalEstimate:
    """An estimate with its interval.

    Attributes:
        value: The estimate.
        error: Its standard error; None where no unit differs from the others, from which none
            follows.
        margin: Half of its interval's width, where neither end is cut. An exact interval reaches
            further on one side of the estimate than on the other.
        lower: Lower end of the interval, not below 0.
        upper: Upper end; of a share not above 1.
        method: Name of the interval: `landshift.assess.intervals.NORMAL` or ``EXACT``.
    """

    value: float
    error: float | None
    margin: float
    lower: float
    upper: float
    method: str = intervals.NORMAL

    @property
    def is_exact(self) -> bool:
        """Whether few units decide the interval, so that it isn't the normal one."""
        return self.method == intervals.EXACT


@dataclass(frozen=True)
class ClassFigures:
    """Area and accuracies of one class.

    Attributes:
        name: The class, or transition.
        map_units: Units of the sample that have the class in the map.
        reference_units: Units that labellers gave it.
        map_hectares: Area of the class in the map; it has no interval.
        hectares: Area estimated; where no unit is of the class it is 0, with the largest area that
            the sample allows as its upper end.
        share: The same as a share of the map's area.
        users: User's accuracy; None where no unit has the class in the map.
        producers: Producer's accuracy; None where no unit has the class in the reference.
    """

    name: str
    map_units: int
    reference_units: int
    map_hectares: float
    hectares: IntervalEstimate
    share: IntervalEstimate
    users: IntervalEstimate | None
    producers: IntervalEstimate | None


@dataclass(frozen=True)
class DomainFigures:
    """Areas of the classes in one domain.

    Attributes:
        name: The domain.
        units: Units of the sample in it.
        hectares: Its area on the map.
        classes: Area estimated of each class that units in it have, in hectares; empty where it
            holds too few units.
    """

    name: str
    units: int
    hectares: float
    classes: dict[str, IntervalEstimate]


@dataclass(frozen=True, repr=False)
class Assessment(Rows):
    """Areas and accuracies of a map, estimated from a labelled sample.

    Attributes:
        design: How the sample was drawn.
        units: Units of the sample.
        level: Level of the intervals.
        hectares: Area of the map.
        overall: Overall accuracy: share of the area where the map is right.
        classes: Figures of each class.
        confusion: ``(reference, map)`` shares of the map's area, in the order of the classes.
        counts: The same in units of the sample.
        method: The estimators and their assumptions, in words.
        notes: Remarks that a reader of the figures needs.
        domains: Figures of each domain, where there are some.
        files: The files written.
    """

    design: Design
    units: int
    level: float
    hectares: float
    overall: IntervalEstimate
    classes: tuple[ClassFigures, ...]
    confusion: NDArray[np.float64]
    counts: NDArray[np.int64]
    method: str
    notes: tuple[str, ...]
    domains: tuple[DomainFigures, ...] = ()
    files: tuple[Path, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return {
            "map": self.design.map_name,
            "map_sha256": self.design.map_digest,
            "design": self.design.kind,
            "units": self.units,
            "level": self.level,
            "hectares": self.hectares,
            "method": self.method,
            "notes": list(self.notes),
            "overall": asdict(self.overall),
            "classes": [asdict(c) for c in self.classes],
            "confusion": {
                "rows": "reference",
                "columns": "map",
                "shares": self.confusion.tolist(),
                "counts": self.counts.tolist(),
            },
            "domains": [asdict(d) for d in self.domains],
        }

    def rows(self) -> list[dict[str, Any]]:
        """A row per figure: domain, class, quantity, estimate, standard error, interval."""
        return [
            {
                "domain": domain,
                "class": name,
                "quantity": quantity,
                "estimate": figure.value,
                "standard error": figure.error,
                "lower": figure.lower,
                "upper": figure.upper,
                "interval by": figure.method,
            }
            for domain, name, quantity, figure in self._figures()
        ]

    def _figures(self) -> Iterator[tuple[str, str, str, IntervalEstimate]]:
        """Domain, class, quantity and estimate, in the order of the table."""
        yield "", "", "overall accuracy", self.overall
        for c in self.classes:
            for quantity, figure in (
                ("hectares", c.hectares), ("share of area", c.share),
                ("user's accuracy", c.users), ("producer's accuracy", c.producers),
            ):  # fmt: skip
                if figure is not None:
                    yield "", c.name, quantity, figure
        for d in self.domains:
            for name, figure in d.classes.items():
                yield d.name, name, "hectares", figure

    def write_json(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write `as_dict` as JSON."""
        whole.check_new(path, overwrite=overwrite)
        with whole.whole_file(Path(path)) as part:
            part.write_text(json.dumps(self.as_dict(), indent=2) + "\n", encoding="utf-8")
        return Path(path)

    def write_csv(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write `rows` as CSV.

        A standard error that doesn't follow from the sample is an empty field.
        """
        whole.check_new(path, overwrite=overwrite)
        with (
            whole.whole_file(Path(path)) as part,
            part.open("w", newline="", encoding="utf-8") as file,
        ):
            rows = self.rows()
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(rows[0])
            writer.writerows([_cell(v) for v in row.values()] for row in rows)
        return Path(path)


def _cell(value: float | str | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.10g}"
