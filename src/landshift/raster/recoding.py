"""Recoding of class rasters to the values of one scheme."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift.classes import (
    IGNORE_INDEX,
    UNLABELLED,
    ClassScheme,
    Colour,
    MapScheme,
    check_names,
    means_none,
    same_name,
)
from landshift.classes.legend import Legend
from landshift.errors import ClassError
from landshift.raster import class_maps, reader

logger = logging.getLogger(__name__)

ANY = "*"
"""Stands for every class."""

LARGEST_CLASS = 253
"""The largest class value in a one-byte output that also needs a value for 'no change'."""

UNKNOWN = -1
"""Result of `Table` for an unknown value."""

Class = str | int
"""A class by its name or value."""

Recoding = Mapping[int, Class | None]
"""New value or class name of each value; None for no class."""

_TABLE_BYTES = 2  # pixel types up to this size use a table of all their values
_LISTED = 12  # moved values that a warning lists


@dataclass(frozen=True)
class Coded:
    """Classes with values that an output can hold.

    Attributes:
        scheme: The classes; those whose value the output can't hold have another value.
        moved: New value of each value that the output can't hold.
        none: Values whose names mean that there is no class ('No data', 'Fill').
    """

    scheme: ClassScheme
    moved: Mapping[int, int]
    none: frozenset[int] = frozenset()

    @property
    def sources(self) -> tuple[int, ...]:
        """Value of each class in the files, in the order of the scheme."""
        back = {new: old for old, new in self.moved.items()}
        return tuple(back.get(v, v) for v in self.scheme.values)

    @property
    def indices(self) -> dict[int, int]:
        """Class index of each value in the files."""
        return {value: k for k, value in enumerate(self.sources)}

    @property
    def values(self) -> dict[int, int]:
        """Value in the output of each value in the files."""
        return dict(zip(self.sources, self.scheme.values, strict=True))

    def line(self) -> str:
        """The moved values in one line; '' if there are none."""
        names = self.scheme.mapping
        moves = [f"{old} -> {new} {names[new]!r}" for old, new in sorted(self.moved.items())]
        more = f" and {len(moves) - _LISTED} more" if len(moves) > _LISTED else ""
        return ", ".join(moves[:_LISTED]) + more

    def find(self, wanted: Class | None) -> list[int]:
        """Indices of the classes with a name, or with a value in the files.

        Raises:
            ClassError: There is no such class.
        """
        text = same_name(str(wanted))
        if text == ANY:
            return list(range(len(self.scheme)))
        places = [k for k, c in enumerate(self.scheme) if same_name(c.name) == text]
        places = places or [k for k, value in enumerate(self.sources) if str(value) == text]
        if not places:
            have = zip(self.sources, self.scheme.names, strict=True)
            raise ClassError(
                f"A class must be one of {', '.join(f'{v} {n!r}' for v, n in have)}, got "
                f"{wanted!r}; give a name or a value."
            )
        return places

    def targets(
        self, recoding: Recoding | None, by_name: Mapping[int, int] | None = None
    ) -> dict[int, int | None]:
        """Class index of each value of a raster; None for no class.

        Args:
            recoding: Recoding of the raster's values; a new value 0 is a class only if the classes
                have one. None: the values are those of the classes.
            by_name: Without a recoding, the class value of each raster value that differs from it.

        Raises:
            ClassError: The recoding names an unknown class.
        """
        if recoding is None:
            indices: dict[int, int | None] = {**dict.fromkeys(self.none), **self.indices}
            return indices | {value: indices[new] for value, new in (by_name or {}).items()}
        lost = set() if UNLABELLED in self.sources else {UNLABELLED}
        return {
            value: None if _is_none(new) or new in lost else self.find(new)[0]
            for value, new in recoding.items()
        }


def as_filed(classes: ClassScheme) -> Coded:
    """Classes with their values in files, without those whose name means 'no data'."""
    none = frozenset(c.value for c in classes if means_none(c.name))
    rest = [c for c in classes if c.value not in none]
    return Coded(MapScheme(rest), {}, none) if none and rest else Coded(classes, {})


def coded(
    classes: ClassScheme, *, largest: int = LARGEST_CLASS, smallest: int = UNLABELLED + 1
) -> Coded:
    """Give classes whose value an output can't hold the lowest free values, in their order.

    Args:
        classes: The classes with their values in files.
        largest: The largest value that the output holds.
        smallest: The smallest one.

    Raises:
        ClassError: More classes than the output has values.
    """
    filed = as_filed(classes)
    classes = filed.scheme
    held = [v for v in classes.values if smallest <= v <= largest]
    others = [v for v in classes.values if not smallest <= v <= largest]
    free = list(_free(held, largest))
    if len(others) > len(free):
        raise ClassError(
            f"An output of one byte holds at most {largest} classes, got {len(classes)}; merge "
            "some by a recoding."
        )
    moved = dict(zip(others, free, strict=False))
    new = {c.value: moved.get(c.value, c.value) for c in classes}
    scheme = ClassScheme.from_mapping(
        {new[c.value]: c.name for c in classes}, {new[c.value]: c.colour for c in classes}
    )
    return Coded(scheme, moved, filed.none)


@dataclass(frozen=True)
class MapLegend:
    """The classes of a class map, as its files state them.

    Attributes:
        path: The map.
        legend: Names and colours of its classes.
        values: Class values that occur in its pixels.
    """

    path: object
    legend: Legend
    values: frozenset[int]


@dataclass(frozen=True)
class United:
    """One legend for several class maps.

    Attributes:
        legend: Names and colours of the classes.
        values: Class values that occur in pixels.
        recodings: For each map, the new value of each class that has another value in the legend.
    """

    legend: Legend
    values: frozenset[int]
    recodings: tuple[dict[int, int], ...]

    def line(self, k: int, path: object) -> str:
        """The recoded values of a map in one line; '' if there are none."""
        moves = [f"{a} -> {b} {self.legend.names[b]!r}" for a, b in self.recodings[k].items()]
        return f"{path}: recoded by name: {', '.join(moves)}." if moves else ""


def united(maps: Sequence[MapLegend], options: str) -> United:
    """Unite the legends of several maps; classes of the same name are the same class.

    Names are compared without case and spacing: a class that an earlier map names too gets its
    value there. Names of values that no pixel has count last.

    Args:
        maps: The classes of each map; values of earlier maps take precedence.
        options: Options that resolve a conflict, for the error.

    Raises:
        ClassError: Two classes of one map share a name; or a value has two names, neither of
            which identifies a class of an earlier map.
    """
    names: dict[int, str] = {}
    places: dict[str, int] = {}
    recodings: tuple[dict[int, int], ...] = tuple({} for _ in maps)
    for each in maps:
        check_names({v: n for v, n in each.legend.names.items() if v in each.values}, each.path)
    for occurs in (True, False):
        for each, recode in zip(maps, recodings, strict=True):
            for value, name in sorted(each.legend.names.items()):
                if (value in each.values) is not occurs:
                    continue
                place = places.get(same_name(name))
                if place is not None:
                    recode[value] = place
                elif value not in names:
                    names[value] = name
                    places[same_name(name)] = value
                elif occurs:
                    raise _disagreement(maps, value, options)
    for each, recode in zip(maps, recodings, strict=True):
        moved = {value: new for value, new in recode.items() if value != new}
        recode.clear()
        recode.update({value: new for value, new in moved.items() if value in each.values})
        for value in set(recode.values()) & each.values:
            if value not in moved and value not in each.legend.names:
                raise _disagreement(maps, value, options)
    values: set[int] = set()
    colours: dict[int, Colour] = {}
    for each, recode in zip(maps, recodings, strict=True):
        values.update(recode.get(value, value) for value in each.values)
        for value, colour in each.legend.colours.items():
            colours.setdefault(recode.get(value, value), colour)
    return United(Legend(names, colours), frozenset(values), recodings)


def united_files(
    paths: Sequence[Path], options: str, *, nodata: float | None = None, labels: bool = False
) -> United:
    """Unite the legends of class rasters, from their files and pixels; see `united`.

    A warning per raster lists the values that are recoded by name.

    Args:
        paths: The rasters; values of earlier ones take precedence.
        options: Options that resolve a conflict, for the error.
        nodata: A value without a class, in addition to those that the files state.
        labels: As for `raster.class_values`.

    Raises:
        ClassError: See `united`.
        RasterError: A raster can't be read.
    """
    stated = []
    for path in paths:
        with reader.open_raster(path) as source:
            known = class_maps.class_values(source, nodata=nodata, labels=labels)
        values = frozenset(class_maps.values_in(known))
        names = Legend(dict(known.names), class_maps.legend_of(path).colours)
        stated.append(MapLegend(path, names, values))
    one = united(stated, options)
    for k, path in enumerate(paths):
        line = one.line(k, path)
        if line:
            logger.warning("%s", line)
    return one


def _disagreement(maps: Sequence[MapLegend], value: int, options: str) -> ClassError:
    """The error for a value with two names; it lists the names in each map."""
    tables = "; ".join(
        f"{each.path}: {', '.join(f'{v} {n!r}' for v, n in sorted(each.legend.names.items())[:16])}"
        for each in maps
        if each.legend.names
    )
    meanings = dict.fromkeys(
        repr(each.legend.names.get(value, f"class {value}")) for each in maps if each.legend.names
    )
    return ClassError(
        f"Class maps must agree on their classes, got {' and '.join(meanings)} for value {value} "
        f"({tables}); {options}."
    )


def warn_of_nodata(recoding: Recoding, nodata: float | None, path: object) -> None:
    """Warn that a recoding names the value that a raster declares as nodata.

    Args:
        recoding: Recoding of the raster's values.
        nodata: The raster's nodata value, or None.
        path: The raster.
    """
    new = recoding.get(int(nodata)) if nodata is not None and nodata == nodata // 1 else None
    if not _is_none(new) and new != UNLABELLED:
        logger.warning(
            "%s: the recoding makes %d %r, but the file declares %d as nodata: such pixels stay "
            "without a class; remove the declaration (gdal_edit -unsetnodata) if they have one.",
            path, nodata, new, nodata,
        )  # fmt: skip


def warn_of_zero(recoding: Recoding, classes: Coded, nodata: float | None, path: object) -> None:
    """Warn that a recoding has the new value 0, but the classes have no 0.

    Args:
        recoding: Recoding of the raster's values.
        classes: The classes.
        nodata: The raster's nodata value, or None.
        path: The raster.
    """
    values = [value for value, new in recoding.items() if new == UNLABELLED and value != nodata]
    if values and UNLABELLED not in classes.sources:
        logger.warning(
            "%s: the recoding makes %s 0, which is no class here; give it a name if it is one.",
            path, ", ".join(map(str, values[:_LISTED])),
        )  # fmt: skip


def scheme_from(
    stated: Legend, values: Iterable[int], recodings: Sequence[Recoding]
) -> ClassScheme:
    """The classes in a legend, in pixels and in recodings.

    Names that occur only in a recoding get the lowest free values from 1 up. A new value 0 is no
    class.

    Args:
        stated: Names and colours of values.
        values: Values that occur in pixels.
        recodings: Recodings of further rasters.

    Raises:
        ClassError: No class at all, or too many.
    """
    news = [n for r in recodings for n in r.values() if n != UNLABELLED and not _is_none(n)]
    names = {v: f"class {v}" for v in [*values, *(n for n in news if isinstance(n, int))]}
    names |= stated.names
    taken = {same_name(name) for name in names.values()}
    free = _free(names, LARGEST_CLASS)
    for new in news:
        if isinstance(new, str) and same_name(new) not in taken:
            name = new.strip()
            taken.add(same_name(name))
            value = next(free, None)
            if value is None:
                raise ClassError(
                    f"A scheme has {LARGEST_CLASS} values, got no free one for {name!r}."
                )
            names[value] = name
    return MapScheme.from_mapping(names, {v: c for v, c in stated.colours.items() if v in names})


def _free(taken: Iterable[int], largest: int) -> Iterator[int]:
    held = set(taken)
    return (v for v in range(UNLABELLED + 1, largest + 1) if v not in held)


def _is_none(new: Class | None) -> bool:
    return new is None or (isinstance(new, str) and means_none(new))


class Table:
    """A lookup table from the values of a raster to numbers.

    Args:
        numbers: Number of each value, from 0 up.
        dtype: Pixel type of the raster.
    """

    def __init__(self, numbers: Mapping[int, int], dtype: np.dtype[Any]) -> None:
        self._numbers = numbers
        self._table: NDArray[np.int16] | None = None
        if dtype.kind in "iu" and dtype.itemsize <= _TABLE_BYTES:
            limits = np.iinfo(dtype)
            self._table = np.full(int(limits.max) - int(limits.min) + 1, UNKNOWN, np.int16)
            for value, number in numbers.items():
                if limits.min <= value <= limits.max:
                    # negative values index from the end of the table, as in numpy
                    self._table[value] = number

    def __call__(self, values: NDArray[Any]) -> NDArray[np.int16]:
        """The number of each pixel's value, or `UNKNOWN`."""
        if self._table is not None:
            looked_up: NDArray[np.int16] = self._table.take(values)
            return looked_up
        present, at = np.unique(values, return_inverse=True)
        numbers = [self._numbers.get(v, UNKNOWN) for v in present.tolist()]
        return np.array(numbers, np.int16)[at.reshape(values.shape)]

    def indices(
        self, values: NDArray[Any], classed: NDArray[np.bool_], path: Path | str
    ) -> NDArray[np.uint8]:
        """The number of each pixel's class, `IGNORE_INDEX` where there is none.

        Args:
            values: Class values ``(row, column)``.
            classed: Where there is a class.
            path: Their raster.

        Raises:
            ClassError: A class without a number.
        """
        numbers = self(values)
        if not classed.all():
            numbers = np.where(classed, numbers, IGNORE_INDEX)
        unknown = numbers == UNKNOWN
        if unknown.any():
            known, strange = sorted(self._numbers), np.unique(values[unknown]).tolist()
            raise ClassError(
                f"Class values must be in the class mapping {known[:16]}, got {strange[:8]} in "
                f"{path}; add them or recode them."
            )
        return numbers.astype(np.uint8)
