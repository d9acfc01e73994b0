"""Quality bands: which pixels they hide, by class name, bit or value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
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
        fill: The class that means 'no data': never valid, whatever the rule.
        bands: Number of consecutive bands that the coding takes.
        places: Place of the band that holds a class, from 0, where it isn't the first.
    """

    how: Literal["values", "bits"]
    classes: Mapping[str, tuple[int, ...]]
    fill: str
    bands: int = 1
    places: Mapping[str, int] = field(default_factory=dict)


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
    # Planet's Usable Data Mask 2 and 2.1 (docs.planet.com/data/imagery/udm): eight bands, the last
    # of which holds bits, as the Unusable Data Mask before it; bit 0 marks ground not imaged
    "udm2": Coding(
        "values",
        {
            "not_clear": (0,), "snow": (1,), "shadow": (1,), "light_haze": (1,),
            "heavy_haze": (1,), "cloud": (1,), "unusable": tuple(range(1, 256)),
            "fill": tuple(range(1, 256, 2)),
        },
        "fill",
        bands=8,
        places={
            "snow": 1, "shadow": 2, "light_haze": 3, "heavy_haze": 4, "cloud": 5, "unusable": 7,
            "fill": 7,
        },
    ),
}  # fmt: skip
"""Codings of quality bands, by name."""

_USUAL: dict[str, str] = {
    "fmask": "fmask:{band}=cloud,shadow",
    "cfmask": "fmask:{band}=cloud,shadow",
    "qa_pixel": "qa_pixel:{band}=dilated_cloud,cloud,cirrus,shadow",
    "scl": "scl:{band}=cloud,shadow,cirrus",
    # Landsat 4-8 Surface Reflectance (Collection 1) product guides, pixel_qa: bits 3 and 5
    "pixel_qa": "bits:{band}=3,5",
    # Landsat Collection 1 Level-1 quality band: bit 4
    "bqa": "bits:{band}=4",
    # Sentinel-2 user handbook, cloud mask as a band: opaque clouds and cirrus
    "qa60": "bits:{band}=10,11",
}
"""Usual names of quality bands in lower case, and the rule that hides clouds by each."""

FREE = ("bits", "values")
"""Codings whose classes are the numbers themselves: bits, from 0, or values."""

_FIRST = {"udm2": "clear"}
"""Name of the first band of codings that aren't named like it."""

_MOST_BITS = 63


@dataclass(frozen=True)
class Hidden:
    """Values or bits of a quality band whose pixels aren't valid.

    Attributes:
        how: Whether codes are values of the band or bits of it, from 0.
        codes: The codes.
        place: Number of bands between the one that the rule names and this one.
    """

    how: str
    codes: tuple[int, ...]
    place: int = 0

    def check_held(self, kind: np.dtype[Any], band: str) -> None:
        """Check that pixels of a type have the bits.

        Raises:
            ParameterError: They don't, so that the rule would hide nothing.
        """
        size = 8 * kind.itemsize
        if self.how == "bits" and kind.kind in "iu" and max(self.codes) >= size:
            raise ParameterError(
                f"Bits of a quality band must be among its {size}, counted from 0, got "
                f"{max(self.codes)} for {band}; give those of this band."
            )

    def valid(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Where a quality band shows none of the codes.

        Args:
            values: The band, any shape, integers (or floats that hold them).

        Returns:
            True where the pixel is valid; same shape.
        """
        if self.how == "values":
            return np.asarray(~np.isin(values, self.codes))
        if values.dtype.kind == "f":
            values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        bits = np.int64(sum(1 << c for c in self.codes))
        return np.asarray((values.astype(np.int64) & bits) == 0)


@dataclass(frozen=True)
class Rule:
    """Which classes of which quality band are not valid.

    Attributes:
        coding: A name in `CODINGS` or `FREE`.
        classes: Names of the classes to leave out; of free codings the numbers, as text.
        band: The quality band: its name in the image, the end of it after a '_', or its number.
    """

    coding: str
    classes: tuple[str, ...]
    band: str

    def __post_init__(self) -> None:
        if self.coding in FREE:
            self._check_numbers()
            return
        if self.coding not in CODINGS:
            raise ParameterError(
                f"A quality band must be one of {', '.join([*CODINGS, *FREE])}, got "
                f"'{self.coding}'."
            )
        known = CODINGS[self.coding].classes
        unknown = [c for c in self.classes if c not in known]
        if unknown or not self.classes:
            raise ParameterError(
                f"Classes of {self.coding} must be among {', '.join(known)}, got "
                f"{', '.join(unknown) or 'none'}."
            )

    @property
    def bands(self) -> int:
        """How many bands, from `band` on, are quality bands."""
        return 1 if self.coding in FREE else CODINGS[self.coding].bands

    @property
    def hidden(self) -> tuple[Hidden, ...]:
        """The codes that aren't valid, fill included, by quality band."""
        if self.coding in FREE:
            return (Hidden(self.coding, tuple(map(int, self.classes))),)
        table = CODINGS[self.coding]
        codes: dict[int, set[int]] = {}
        for name in (*self.classes, table.fill):
            codes.setdefault(table.places.get(name, 0), set()).update(table.classes[name])
        return tuple(Hidden(table.how, tuple(sorted(c)), k) for k, c in sorted(codes.items()))

    def _check_numbers(self) -> None:
        what = "bits from 0 to 62" if self.coding == "bits" else "whole numbers"
        for text in self.classes or ("none",):
            digits = text.removeprefix("-") if self.coding == "values" else text
            number = int(text) if digits.isascii() and digits.isdigit() else None
            if number is None or (self.coding == "bits" and number >= _MOST_BITS):
                raise ParameterError(
                    f"{self.coding.capitalize()} of a quality band must be {what}, got '{text}'; "
                    f"an example is {self.coding}:8=2,4."
                )


def usual_rule(band: str, file: str = "") -> str | None:
    """The rule, as text, that hides clouds by a band with a usual quality band's name; else None.

    Args:
        band: The band's name, or one that ends with it after '_' or '.', as files' names do.
        file: Name of its file: HLS calls its bits Fmask.
    """
    usual = next((u for u in _USUAL if re.fullmatch(rf"(.*[_.])?{u}", band.lower())), None)
    if usual is None:
        return None
    if usual == "fmask" and file.upper().startswith("HLS"):
        return f"hls_fmask:{band}=cloud,adjacent,shadow"
    return _USUAL[usual].format(band=band).replace(f"{usual}:{usual}=", f"{usual}=")


def rule(text: str) -> Rule:
    """A rule from text: ``<coding>[:<band>]=<class>,<class>``, as ``fmask:8=cloud,shadow``.

    Without a band, the rule applies to the one named like the coding (of ``udm2`` to 'clear').
    ``bits:<band>=3,4`` and ``values:<band>=2,4`` name bits, counted from 0, or values.

    Raises:
        ParameterError: Another form, an unknown coding or class, no band where one is needed.
    """
    left, equals, right = text.partition("=")
    coding, _, band = left.partition(":")
    coding, band = coding.strip().lower(), band.strip()
    if not equals or not coding or (coding in FREE and not band):
        raise ParameterError(
            f"A quality rule must read <coding>[:<band>]=<class>,<class>, got '{text}'; "
            "examples are fmask:8=cloud,shadow, bits:QA_PIXEL=3,4 and values:8=2,4."
        )
    classes = tuple(c.strip().lower() for c in right.split(",") if c.strip())
    return Rule(coding, classes, band or _FIRST.get(coding, coding))
