"""Quality bands: which pixels are clear, by the names of the classes that aren't."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from landshift.errors import ParameterError


@dataclass(frozen=True)
class Coding:
    """How a quality band states its classes.

    Attributes:
        how: Whether a class is a value of the band, or a bit of it (counted from 0).
        classes: Values or bits of each class; a pixel is of a class where any of them holds.
        fill: The class that means 'no data': never valid, whatever is asked for.
    """

    how: Literal["values", "bits"]
    classes: Mapping[str, tuple[int, ...]]
    fill: str


CODINGS: dict[str, Coding] = {
    # Zhu & Woodcock 2012, doi:10.1016/j.rse.2011.10.028, as the Fmask programs write it
    "fmask": Coding(
        "values",
        {"clear": (0,), "water": (1,), "shadow": (2,), "snow": (3,), "cloud": (4,), "fill": (255,)},
        "fill",
    ),
    # USGS Landsat 8-9 Collection 2 Level 2 Science Product Guide (LSDS-1619), table 6-2;
    # Landsat 4-7 (LSDS-1618) leave bit 2 unused
    "qa_pixel": Coding(
        "bits",
        {
            "fill": (0,), "dilated_cloud": (1,), "cirrus": (2,), "cloud": (3,), "shadow": (4,),
            "snow": (5,), "clear": (6,), "water": (7,),
        },
        "fill",
    ),
    # Sentinel-2 Level-2A Algorithm Theoretical Basis Document, scene classification
    "scl": Coding(
        "values",
        {
            "fill": (0,), "saturated": (1,), "dark": (2,), "shadow": (3,), "vegetation": (4,),
            "bare": (5,), "water": (6,), "unclassified": (7,), "cloud_medium": (8,),
            "cloud_high": (9,), "cloud": (8, 9), "cirrus": (10,), "snow": (11,),
        },
        "fill",
    ),
    # Harmonized Landsat Sentinel-2 v2.0 User Guide, Fmask layer
    "hls_fmask": Coding(
        "bits",
        {
            "cirrus": (0,), "cloud": (1,), "adjacent": (2,), "shadow": (3,), "snow": (4,),
            "water": (5,), "fill": (),
        },
        "fill",
    ),
}  # fmt: skip
"""Every coding of a quality band that we read, by name."""


@dataclass(frozen=True)
class Rule:
    """Which classes of which quality band are not valid.

    Attributes:
        coding: A name in `CODINGS`.
        classes: Names of the classes to leave out.
        band: The quality band: its name in the image, the end of it after a '_', or its number.
    """

    coding: str
    classes: tuple[str, ...]
    band: str

    def __post_init__(self) -> None:
        if self.coding not in CODINGS:
            raise ParameterError(
                f"A quality band must be one of {', '.join(CODINGS)}, got '{self.coding}'."
            )
        known = CODINGS[self.coding].classes
        unknown = [c for c in self.classes if c not in known]
        if unknown or not self.classes:
            raise ParameterError(
                f"Classes of {self.coding} must be among {', '.join(known)}, got "
                f"{', '.join(unknown) or 'none'}."
            )


def rule(text: str) -> Rule:
    """A rule from text: ``<coding>[:<band>]=<class>,<class>``, as ``fmask:8=cloud,shadow``.

    Without a band the one named like the coding is meant.

    Raises:
        ParameterError: Another form, an unknown coding or class.
    """
    left, equals, right = text.partition("=")
    coding, _, band = left.partition(":")
    if not equals or not coding:
        raise ParameterError(
            f"A quality rule must read <coding>[:<band>]=<class>,<class>, got '{text}'; "
            "an example is fmask:8=cloud,shadow."
        )
    coding = coding.strip().lower()
    classes = tuple(c.strip().lower() for c in right.split(",") if c.strip())
    return Rule(coding, classes, band.strip() or coding)


def valid(values: NDArray[Any], coding: str, classes: Sequence[str]) -> NDArray[np.bool_]:
    """Where a quality band shows none of these classes, nor fill.

    Args:
        values: The band, any shape, integers (or floats that hold them).
        coding: A name in `CODINGS`.
        classes: Names of the classes to leave out.

    Returns:
        True where the pixel is valid; same shape.
    """
    table = CODINGS[coding]
    codes = {c for name in [*classes, table.fill] for c in table.classes[name]}
    if table.how == "values":
        return np.asarray(~np.isin(values, sorted(codes)))
    bits = np.int64(sum(1 << c for c in codes))
    return np.asarray((values.astype(np.int64) & bits) == 0)
