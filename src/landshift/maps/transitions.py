"""Transitions between the classes of two dates: pixels, areas, and changes of each class."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift.classes import ClassScheme
from landshift.files.rows import Rows, write_csv


@dataclass(frozen=True)
class ClassChange:
    """Gain and loss of one class, in pixels or hectares.

    Pontius, Shusas & McEachern (2004), Agriculture, Ecosystems & Environment 101: 251-268,
    doi 10.1016/j.agee.2003.09.008; section 2.

    Attributes:
        name: The class.
        before: Area of the class before: the row's total.
        after: Area of the class after: the column's total.
        persistence: Area that stayed in the class: the diagonal.
        gain: Area that became the class: the column's total less the diagonal.
        loss: Area that left the class: the row's total less the diagonal.
    """

    name: str
    before: float
    after: float
    persistence: float
    gain: float
    loss: float

    @property
    def net(self) -> float:
        """Net change: gain less loss, negative if the class shrank.

        The paper uses its absolute value.
        """
        return self.gain - self.loss

    @property
    def swap(self) -> float:
        """Change of location without change of area: twice the smaller of gain and loss."""
        return 2 * min(self.gain, self.loss)

    @property
    def total(self) -> float:
        """Total change: gain plus loss, equal to swap plus the absolute net change."""
        return self.gain + self.loss


@dataclass(frozen=True, repr=False)
class TransitionTable(Rows):
    """Pixels and area of each transition; a row per transition that occurs.

    Attributes:
        scheme: The classes of the two maps.
        pixels: ``(from, to)`` counts; the diagonal is unchanged.
        hectares: ``(from, to)`` areas; None if the raster has no CRS.
        nodata: Pixels without a class on either date.
        forbidden: Pixels of each forbidden transition, by the names of its classes; they are
            nodata in the map and not in ``pixels``.
        filtered: Pixels in ``pixels`` that the filter excludes from the map.
        removed: Pixels whose change the cleaning removed.
        files: Files written: the requested tables, then the change map.
    """

    scheme: ClassScheme
    pixels: NDArray[np.int64]
    hectares: NDArray[np.float64] | None
    nodata: int
    forbidden: dict[tuple[str, str], int] = field(default_factory=dict)
    filtered: int = 0
    removed: int = 0
    files: tuple[Path, ...] = ()

    @property
    def changed(self) -> float:
        """Share of the classed pixels whose class differs between the dates."""
        total = self.pixels.sum()
        return float(1 - np.trace(self.pixels) / total) if total else 0.0

    def per_class(self) -> list[ClassChange]:
        """Gain, loss, persistence of each class, in hectares, or in pixels without a CRS."""
        matrix = self.pixels if self.hectares is None else self.hectares
        stayed = np.diag(matrix)
        before, after = matrix.sum(axis=1), matrix.sum(axis=0)
        changes = []
        for k, name in enumerate(self.scheme.names):
            b, a, s = before[k].item(), after[k].item(), stayed[k].item()
            # a difference of float sums can be slightly below 0
            changes.append(ClassChange(name, b, a, s, gain=max(a - s, 0), loss=max(b - s, 0)))
        return changes

    def rows(self) -> list[dict[str, Any]]:
        """A row per transition that occurs: from, to, pixels, hectares, per cent."""
        total = int(self.pixels.sum())
        names = self.scheme.names
        rows = []
        for i, j in zip(*np.nonzero(self.pixels), strict=True):
            rows.append(
                {
                    "from": names[i],
                    "to": names[j],
                    "pixels": int(self.pixels[i, j]),
                    "hectares": "" if self.hectares is None else round(self.hectares[i, j], 4),
                    "percent": round(100 * int(self.pixels[i, j]) / total, 4),
                }
            )
        return rows

    def class_rows(self) -> list[dict[str, Any]]:
        """A row per class: before, after, persistence, gain, loss, net change, swap, total."""
        return [
            {
                "class": c.name,
                "unit": "pixels" if self.hectares is None else "hectares",
                **{
                    key: round(getattr(c, key), 4)
                    for key in (
                        "before", "after", "persistence", "gain", "loss", "net", "swap", "total",
                    )
                },
            }
            for c in self.per_class()
        ]  # fmt: skip

    def write_csv(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write `rows` as CSV."""
        columns = ["from", "to", "pixels", "hectares", "percent"]
        return write_csv(path, columns, self.rows(), overwrite=overwrite)

    def write_class_csv(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write `class_rows` as CSV."""
        rows = self.class_rows()
        return write_csv(path, list(rows[0]), rows, overwrite=overwrite)
