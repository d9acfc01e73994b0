"""Contents of a sample: strata, design, units, and the form to label them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift.assess.drawing import PopulationPart
from landshift.assess.response import Answer, Response

CONFIDENCES = ("high", "medium", "low")
"""How sure a labeller may be of a label."""

BESIDE = ("confidence", "notes")
"""Fields of a unit beside its labels."""


@dataclass(frozen=True)
class Stratum:
    """A stratum of a sample.

    Attributes:
        value: Its value in the raster of strata; 0 where there is only one.
        name: Its name.
        units: Units of the population.
        hectares: Area.
        sampled: Units in the sample.
    """

    value: int
    name: str
    units: int
    hectares: float
    sampled: int


@dataclass(frozen=True)
class Design:
    """How a sample was drawn.

    Attributes:
        map_name: Name of the map's file.
        map_digest: SHA-256 of that file.
        kind: 'stratified', 'simple' or 'systematic'.
        allocation: How strata share the units, where they do.
        seed: The seed.
        unit_size: Rows and columns of a unit.
        strata_name: Name of the file of strata; None: the map's classes, or none.
        classes: Name of each value of the map.
        strata: The strata; one, where the design isn't stratified.
        parts: The population by stratum and class of the map.
        response: How labels become classes of the map.
    """

    map_name: str
    map_digest: str
    kind: str
    allocation: str | None
    seed: int
    unit_size: int
    strata_name: str | None
    classes: dict[int, str]
    strata: tuple[Stratum, ...]
    parts: tuple[PopulationPart, ...]
    response: Response

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Design:
        """The design of `as_dict`'s values.

        Raises:
            KeyError: One is missing.
            TypeError: One is of another kind.
        """
        response = values["response"]
        known = dict(values) | {
            "classes": {int(v): str(n) for v, n in values["classes"].items()},
            "strata": tuple(Stratum(**s) for s in values["strata"]),
            "parts": tuple(PopulationPart(**p) for p in values["parts"]),
            "response": Response(
                response["coding"], tuple(response["choices"]), tuple(response["classes"])
            ),
        }
        return cls(**known)


@dataclass(frozen=True)
class Sample:
    """A sample read back.

    Attributes:
        design: How it was drawn.
        numbers: Number of each unit, from 1.
        stratum: Value of each unit's stratum.
        mapped: Value of each unit's class in the map.
        hectares: Area of each unit.
        rows: Row of each unit's first pixel.
        columns: Column of it.
        before: Label before; None where there is none yet.
        after: Label after, or of the only date.
    """

    design: Design
    numbers: NDArray[np.int64]
    stratum: NDArray[np.int64]
    mapped: NDArray[np.int64]
    hectares: NDArray[np.float64]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    before: tuple[str | None, ...]
    after: tuple[str | None, ...]

    def __len__(self) -> int:
        return self.numbers.size


@dataclass(frozen=True)
class Form:
    """The part of a sample that labellers see, with the answers filled in already.

    Attributes:
        design: How the sample was drawn.
        digest: SHA-256 of the record, which differs between samples.
        numbers: Number of each unit.
        crs: CRS of the outlines, as pyproj reads it.
        outlines: Polygon of each unit.
        longitude: Longitude of each unit's centre.
        latitude: Latitude of it.
        mapped: Name of each unit's class in the map.
        answers: Answers filled in, by number of the unit; none where a label is missing.
    """

    design: Design
    digest: str
    numbers: tuple[int, ...]
    crs: str
    outlines: tuple[Any, ...]
    longitude: tuple[float, ...]
    latitude: tuple[float, ...]
    mapped: tuple[str, ...]
    answers: dict[int, Answer]
