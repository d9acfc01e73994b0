"""Classes of maps: schemes, codings of change, and legends."""

from __future__ import annotations

from landshift.classes.codings import (
    CODINGS,
    BinaryScheme,
    ChangeScheme,
    FromToScheme,
    Pairs,
    pairs_of,
    reversed_codes,
)
from landshift.classes.scheme import (
    ARROW,
    IGNORE_INDEX,
    NO_CHANGE,
    TO,
    UNLABELLED,
    ClassScheme,
    Coding,
    Colour,
    LandClass,
    MapScheme,
    check_names,
    colour_of,
    ends_of,
    is_no_change,
    means_none,
    same_name,
    stays,
)

__all__ = [
    "ARROW",
    "CODINGS",
    "IGNORE_INDEX",
    "NO_CHANGE",
    "TO",
    "UNLABELLED",
    "BinaryScheme",
    "ChangeScheme",
    "ClassScheme",
    "Coding",
    "Colour",
    "FromToScheme",
    "LandClass",
    "MapScheme",
    "Pairs",
    "check_names",
    "colour_of",
    "ends_of",
    "is_no_change",
    "means_none",
    "pairs_of",
    "reversed_codes",
    "same_name",
    "stays",
]
