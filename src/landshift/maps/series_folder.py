"""What `landshift series` wrote: the one reader of its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from landshift.classes import ClassScheme
from landshift.errors import LandshiftError, ParameterError
from landshift.files import dates, jsons, whole
from landshift.files.archive import inner_path

SERIES = "series.json"
"""The file that describes a series; a folder that has it is whole."""


@dataclass(frozen=True)
class Series:
    """A folder that `landshift series` wrote.

    Attributes:
        folder: The folder.
        dates: Date of each map.
        maps: Class map of each date: inside the folder where it differs from the input.
        scheme: The classes.
        provenance: What made it.
        cleaned: Whether the maps lie inside the folder.
    """

    folder: Path
    dates: tuple[dates.Period, ...]
    maps: tuple[str, ...]
    scheme: ClassScheme
    provenance: dict[str, Any]
    cleaned: bool = False

    @property
    def periods(self) -> tuple[str, ...]:
        """Name of the period from each date to the next; the values of period.tif from 1 up."""
        names = [str(date) for date in self.dates]
        return tuple(f"{a} to {b}" for a, b in pairwise(names))

    @property
    def no_lasting(self) -> int:
        """Value of period.tif: no lasting change."""
        return len(self.dates)

    @property
    def not_known(self) -> int:
        """Value of period.tif: not known."""
        return len(self.dates) + 1

    def raster(self, name: str) -> Path:
        """A raster: period, year, start, before, after, changes, lasting, flicker, trajectory."""
        return self.folder / f"{name}.tif"

    def map_paths(self) -> tuple[Path, ...]:
        """Path of each date's class map."""
        return tuple(self.folder / path for path in self.maps)

    def write(self, folder: Path) -> Path:
        """Write the description."""
        path = folder / SERIES
        content = {
            "landshift": "series", "format": 1, "dates": [str(d) for d in self.dates],
            "maps": list(self.maps), "cleaned": self.cleaned, "classes": self.scheme.as_list(),
            "no_lasting": self.no_lasting, "not_known": self.not_known,
            "provenance": self.provenance,
        }  # fmt: skip
        with whole.whole_file(path) as part:
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return path


def is_series(folder: Path) -> bool:
    """Whether a folder is a series."""
    return (Path(folder) / SERIES).is_file()


def read(folder: Path) -> Series:
    """Read a folder that `landshift series` wrote.

    Raises:
        ParameterError: It isn't one, or its description is damaged.
    """
    folder = Path(folder)
    if not is_series(folder):
        raise ParameterError(
            f"A series must be a folder that `landshift series` wrote, got {folder} without "
            f"{SERIES}."
        )
    content = jsons.parse(
        (folder / SERIES).read_bytes(), what=f"The series {folder}", error=ParameterError
    )
    try:
        if content["landshift"] != "series" or content["format"] != 1:
            raise ValueError("another format")
        maps, cleaned = tuple(map(str, content["maps"])), bool(content["cleaned"])
        periods = tuple(dates.parse(text) for text in content["dates"])
        if len(maps) != len(periods) or (cleaned and any(inner_path(m) is None for m in maps)):
            raise ValueError("maps")
        scheme = ClassScheme.from_list(content["classes"])
        return Series(folder, periods, maps, scheme, dict(content["provenance"]), cleaned)
    except (KeyError, TypeError, ValueError, LandshiftError) as error:
        raise ParameterError(
            f"A series must be as `landshift series` wrote it, got '{error}' in "
            f"{folder / SERIES}; make it again."
        ) from error
