"""Class schemes: the class and colour of each value of a raster."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from landshift.errors import ClassError

UNLABELLED = 0
"""The label value without a class, unless a class mapping names it."""

IGNORE_INDEX = 255
"""Class index of unlabelled pixels."""

NO_CHANGE = "No change"

ARROW = "->"
"""Separator of the classes in a transition's name."""

TO = "to "
"""Prefix of the later class in a change map with the coding 'to'."""

_STAYED = re.compile(rf"\s*(\S.*?)\s*{ARROW}\s*\1\s*")  # 'forest->forest'

_NO_DATA = re.compile(
    r"\bno ?data\b|^(?:no ?value|none|null|nan|fill(?:ed)?(?: ?values?)?"
    r"|missing(?: ?(?:data|values?))?|(?:un|not )classified|(?:un|not )label+ed|masked(?: out)?)$"
)

_UNWRITABLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # in XML 1.0

Colour = tuple[int, int, int]

# Okabe & Ito (2008) and Paul Tol's 'muted' scheme (2021): safe for colour-blind people
PALETTE: tuple[Colour, ...] = (
    (0, 158, 115), (230, 159, 0), (86, 180, 233), (213, 94, 0), (240, 228, 66),
    (204, 121, 167), (0, 114, 178), (136, 34, 85), (153, 153, 51), (51, 34, 136),
    (17, 119, 51), (204, 102, 119), (136, 204, 238), (221, 204, 119), (68, 170, 153),
)  # fmt: skip
NO_CHANGE_GREY: Colour = (221, 221, 221)


@dataclass(frozen=True)
class LandClass:
    """One class of a raster.

    Attributes:
        value: Pixel value.
        name: Its name.
        colour: Red, green, blue, 0 to 255.
    """

    value: int
    name: str
    colour: Colour


class ClassScheme:
    """The classes of a raster, ascending by value; output k of a network is class k.

    Args:
        classes: One entry per class; values must differ and lie in 0 to 254.

    Raises:
        ClassError: No class, a duplicate value, a value outside 0 to 254, an empty name or one
            with control characters other than tabs and line breaks.
    """

    smallest = 0
    """The smallest value that a class may have."""

    largest = 254
    """The largest value that a class may have."""

    def __init__(self, classes: Iterable[LandClass]) -> None:
        self._classes = tuple(sorted(classes, key=lambda c: c.value))
        if not self._classes:
            raise ClassError("A class mapping must name at least one class, got none.")
        values = [c.value for c in self._classes]
        if len(set(values)) != len(values):
            raise ClassError(f"Class values must differ, got {values}.")
        if values[0] < self.smallest or values[-1] > self.largest:
            raise ClassError(
                f"Class values must lie in {self.smallest} to {self.largest}, got {values[0]} to "
                f"{values[-1]}; recode the others."
            )
        for c in self._classes:
            if not c.name.strip():
                raise ClassError(f"Every class needs a name, got an empty one for value {c.value}.")
            if _UNWRITABLE.search(c.name):
                raise ClassError(
                    "A class name must be text that XML can hold, got a control character in "
                    f"{c.name[:60]!r} for value {c.value}; take it out."
                )

    @classmethod
    def from_mapping(
        cls, mapping: Mapping[int, str], colours: Mapping[int, Colour] | None = None
    ) -> ClassScheme:
        """The scheme of a class mapping such as ``{1: 'to forest', 2: 'No change'}``.

        Args:
            mapping: Name of each value.
            colours: Colour of some values; the rest get colour-blind-safe ones.

        Raises:
            ClassError: See the class; also a value that is no integer.
        """
        colours = colours or {}
        names: dict[int, str] = {}
        for value, name in mapping.items():
            try:
                names[int(value)] = str(name).strip()
            except (TypeError, ValueError):
                raise ClassError(f"Class values must be integers, got {value!r}.") from None
        spare = _spare_colours({c for v, c in colours.items() if v in names})
        classes = []
        for value in sorted(names):
            colour = colours.get(value)
            if colour is None:
                no_change = is_no_change(names[value])
                colour = NO_CHANGE_GREY if no_change else next(spare)
            classes.append(LandClass(value, names[value], colour))
        return cls(classes)

    @classmethod
    def from_list(cls, entries: Iterable[Mapping[str, Any]]) -> ClassScheme:
        """The scheme of a list as `as_list` returns it, or of Esri's 'Classes'.

        A missing colour, or Esri's [-1, -1, -1], becomes a colour-blind-safe one.

        Raises:
            ClassError: An entry without value or name, or a duplicate value.
        """
        mapping: dict[int, str] = {}
        colours: dict[int, Colour] = {}
        for entry in entries:
            value = entry.get("Value", entry.get("ClassValue"))
            name = entry.get("Name", entry.get("ClassName"))
            if not isinstance(value, int) or isinstance(value, bool) or name is None:
                raise ClassError(
                    f"A class needs an integer Value and a Name, got {str(dict(entry))[:100]}."
                )
            if value in mapping:
                raise ClassError(
                    f"Class values must differ, got {value} for {mapping[value]!r} and {name!r}."
                )
            mapping[value] = str(name)
            colour = colour_of(entry)
            if colour is not None:
                colours[value] = colour
        return cls.from_mapping(mapping, colours)

    def as_list(self) -> list[dict[str, Any]]:
        """The classes as Esri's 'Classes' hold them: Value, Name, Color."""
        return [{"Value": c.value, "Name": c.name, "Color": list(c.colour)} for c in self]

    def __iter__(self) -> Iterator[LandClass]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClassScheme) and self._classes == other._classes

    def __hash__(self) -> int:
        return hash(self._classes)

    def __repr__(self) -> str:
        return f"ClassScheme({self.mapping})"

    @property
    def values(self) -> tuple[int, ...]:
        """Pixel value of each class, ascending."""
        return tuple(c.value for c in self)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each class, in the order of the values."""
        return tuple(c.name for c in self)

    @property
    def colours(self) -> dict[int, Colour]:
        """Colour of each value."""
        return {c.value: c.colour for c in self}

    @property
    def mapping(self) -> dict[int, str]:
        """Name of each value."""
        return {c.value: c.name for c in self}

    @property
    def background(self) -> int | None:
        """Index of the background: the class of value 0, if the scheme has one."""
        return self.values.index(UNLABELLED) if UNLABELLED in self.values else None

    @property
    def unchanged(self) -> tuple[int, ...]:
        """Indices of the classes that mean 'unchanged', for any coding of the change map.

        These are 'No change', in any spelling, and unchanged classes of the coding 'from-to'
        ('forest->forest'). A map of one date has none.
        """
        return tuple(k for k, c in enumerate(self) if stays(c.name))

    @property
    def transitions(self) -> tuple[tuple[str, str] | None, ...]:
        """Class before and after of each class: ('forest', 'urban') of 'forest->urban'.

        None for a name that doesn't state both, or has more than one arrow.
        """
        ends = (ends_of(c.name) for c in self)
        return tuple(None if e[0] is None or e[1] is None else (e[0], e[1]) for e in ends)

    def to_indices(self, values: NDArray[Any], *, where: str = "the labels") -> NDArray[np.uint8]:
        """Pixel values as class indices; unlabelled pixels become `IGNORE_INDEX`.

        Args:
            values: Integer array of any shape.
            where: Source of the values, for the error.

        Raises:
            ClassError: A value is neither 0 nor in the scheme; or there are more than 255 classes.
        """
        self.check_count()
        unknown = self.unknown(values)
        if unknown:
            raise ClassError(
                f"Label values must be in the class mapping {list(self.values)} (or 0, "
                f"unlabelled), got {unknown[:8]} in {where}; add them or recode them."
            )
        indices: NDArray[np.uint8]
        if self.values[0] < 0 or self.values[-1] > np.iinfo(np.uint16).max:
            known = np.array(self.values)
            places = np.searchsorted(known, values).clip(max=len(self) - 1)
            indices = np.where(known[places] == values, places, IGNORE_INDEX).astype(np.uint8)
            return indices
        wide = np.uint8 if self.values[-1] < 256 else np.uint16
        table = np.full(np.iinfo(wide).max + 1, IGNORE_INDEX, np.uint8)
        table[list(self.values)] = np.arange(len(self), dtype=np.uint8)
        indices = table[np.asarray(values).astype(wide)]
        return indices

    def check_count(self) -> None:
        """Check that class indices fit in one byte.

        Raises:
            ClassError: There are more classes.
        """
        if len(self) > IGNORE_INDEX:
            raise ClassError(
                f"A network can have at most {IGNORE_INDEX} classes, got {len(self)}; "
                "code the change map by 'to class', or merge classes."
            )

    def to_values(self, indices: NDArray[Any]) -> NDArray[np.uint8]:
        """Class indices as pixel values; `IGNORE_INDEX` becomes 0."""
        table = np.full(256, UNLABELLED, np.uint8)
        table[: len(self)] = self.values
        values: NDArray[np.uint8] = table[indices]
        return values

    def unknown(self, values: NDArray[Any]) -> list[int]:
        """Values of an array that are neither 0 nor in the scheme, ascending."""
        present = np.unique(values)
        return [int(v) for v in present if v != UNLABELLED and v not in self.values]


class MapScheme(ClassScheme):
    """Classes of a class map, with any whole numbers of four bytes as values.

    Values that a one-byte output can't hold are moved there, see
    `landshift.raster.recoding.coded`.
    """

    smallest = -(1 << 31)
    largest = (1 << 32) - 1


Coding = Literal["to", "from-to", "binary"]
"""Names of the codings."""


def colour_of(entry: Mapping[str, Any]) -> Colour | None:
    """Colour of an entry of Esri's 'Classes'; None if it has none, which Esri writes as -1."""
    colour = entry.get("Color")
    if not isinstance(colour, list) or len(colour) < 3:
        return None
    if not all(isinstance(c, int | float) and 0 <= c < 256 for c in colour):
        return None
    return int(colour[0]), int(colour[1]), int(colour[2])


def is_no_change(name: str) -> bool:
    """Whether a class name means 'no change', in any case and with any separators."""
    return re.sub(r"[^a-z]", "", name.lower()) in {"nochange", "unchanged"}


def same_name(name: str) -> str:
    """A class name in its normal form, without differences of case and spacing."""
    return "no change" if is_no_change(name) else " ".join(name.casefold().split())


def check_names(names: Mapping[int, str], where: object) -> None:
    """Check that no two classes share a name.

    Args:
        names: Name of each class, by value.
        where: Source of the classes, for the error.

    Raises:
        ClassError: Two classes share one.
    """
    values: dict[str, list[int]] = {}
    for value, name in names.items():
        values.setdefault(same_name(name), []).append(value)
    shared = [same for same in values.values() if len(same) > 1]
    if shared:
        listed = "; ".join(f"{names[v[0]]!r} for {', '.join(map(str, v))}" for v in shared[:8])
        raise ClassError(
            f"Class names must differ, got {listed} in {where}; give each class another name "
            "(`classes`), or merge them by a recoding."
        )


def means_none(name: str) -> bool:
    """Whether a name in a legend means that its value is no class: 'No data', 'Unclassified'.

    'Background' and 'Unknown' are classes: many maps and training sets use them as such.
    """
    words = re.sub(r"[^a-z]+", " ", name.lower()).strip()
    return _NO_DATA.search(words) is not None


def ends_of(name: str) -> tuple[str | None, str | None]:
    """Class before and after in the name of a change map's class; None where it isn't stated."""
    ends = [end.strip() for end in name.split(ARROW)]
    if len(ends) == 2 and all(ends):
        return ends[0], ends[1]
    return None, name.removeprefix(TO) if name.startswith(TO) else None


def stays(name: str) -> bool:
    """Whether the name of a change map's class means that nothing changed."""
    return is_no_change(name) or _STAYED.fullmatch(name) is not None


def _spare_colours(taken: set[Colour]) -> Iterator[Colour]:
    yield from (c for c in PALETTE if c not in taken)
    k = 0
    while True:  # golden-angle hues in alternating lightness, once the palette is used up
        red, green, blue = colorsys.hls_to_rgb(
            (k * 0.381966) % 1.0, (0.35, 0.55, 0.75)[k % 3], 0.65
        )
        yield round(red * 255), round(green * 255), round(blue * 255)
        k += 1
