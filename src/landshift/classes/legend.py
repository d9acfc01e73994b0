"""Legends: names and colours of pixel values, as stored in and beside rasters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from landshift.classes.scheme import ClassScheme, Colour, MapScheme

TAG = "LANDSHIFT_CLASSES"
"""Name of the raster tag that holds the classes as JSON."""

# GDAL's GDALRATFieldType and GDALRATFieldUsage (gdal.h)
_INTEGER, REAL, STRING = 0, 1, 2
GENERIC, PIXEL_COUNT, NAME, MIN, MAX, MIN_MAX = 0, 1, 2, 3, 4, 5
COLOUR_USAGES = {6: "red", 7: "green", 8: "blue"}


@dataclass(frozen=True)
class Legend:
    """Names and colours of pixel values, as a file states them.

    Attributes:
        names: Name of each value that has one; some names mean that the value is no class
            (`classes.means_none`).
        colours: Colour of each value that has one.
    """

    names: dict[int, str] = field(default_factory=dict)
    colours: dict[int, Colour] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.names or self.colours)

    def or_else(self, other: Legend) -> Legend:
        """This legend, completed by the other one."""
        return Legend(other.names | self.names, other.colours | self.colours)

    def scheme(self) -> ClassScheme:
        """The classes; a value without a name is called ``class <value>``.

        Raises:
            ClassError: See `ClassScheme`.
        """
        values = sorted(self.names.keys() | self.colours.keys())
        names = {v: self.names.get(v) or f"class {v}" for v in values}
        return MapScheme.from_mapping(names, self.colours)


@dataclass(frozen=True)
class AttributeColumn:
    """A column of a raster's attribute table.

    Attributes:
        name: Its name; the .vat.dbf keeps ten characters.
        values: A value for each row; all integers, all numbers or all texts.
    """

    name: str
    values: Sequence[int] | Sequence[float] | Sequence[str]

    @property
    def kind(self) -> int:
        """GDAL's type of the column."""
        if any(isinstance(v, str) for v in self.values):
            return STRING
        return REAL if any(isinstance(v, float) for v in self.values) else _INTEGER
