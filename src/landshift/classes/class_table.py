"""Class tables written by people: which column holds the value, the name, the colour."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from landshift.classes.scheme import Colour
from landshift.files import texts

VALUE_COLUMNS = (
    "value", "pixel_value", "class_value", "code", "class_code", "id", "class_id", "gridcode",
    "grid_code",
)  # fmt: skip
"""Column names for values, in lower case, the likeliest first."""

NAME_COLUMNS = (
    "name", "class_name", "classname", "class", "label", "category", "landcover", "land_cover",
    "legend", "descriptio", "description",
)  # fmt: skip
"""Column names for class names, in lower case, the likeliest first."""

_CHANNELS = (("red", "r"), ("green", "g"), ("blue", "b"))
_COLOURS = ("color", "colour", "rgb", "hex", "color_hex", "hex_color")
_OLD = ("value", "old", "old_value", "from", "code", "id")
_NEW = ("new", "new_value", "to", "becomes", "name", "new_name", "class")

_WHOLE = re.compile(r"[+-]?\d+(?:[.,]0*)?")
_HEX = re.compile(r"#?(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{8})")


@dataclass(frozen=True)
class ClassRow:
    """A class of a table.

    Attributes:
        value: Its value.
        name: Its name; empty if the table has none.
        colour: Its colour; None if the table has none.
    """

    value: int
    name: str
    colour: Colour | None


@dataclass(frozen=True)
class _Columns:
    """Positions of the columns of a table."""

    value: int
    name: int | None
    channels: tuple[int, ...] = ()
    colour: int | None = None


Shades = tuple[float, float, float]
"""Red, green and blue, 0 to 255 or 0 to 1."""

Lines = list[tuple[int, list[str]]]
"""Number of each line of a table, from 1, and its cells."""


def read(text: str) -> list[ClassRow]:
    """The classes of a table, with columns in any order.

    A header (a first line whose cells all begin with a letter) names the columns. Columns without
    a known name have the order value, name, red, green, blue, unless their cells decide: the only
    column of whole numbers is the value, the only text column the name. Empty lines and lines that
    begin with ``#`` are skipped.

    Raises:
        ValueError: A malformed line, a duplicate value, or several columns that could be the name;
            csv.Error and UnicodeDecodeError are passed on.
    """
    header, lines = _header(_lines(text))
    if not lines:
        return []
    columns = _columns(header, lines)
    _check_widths(header, lines)
    rows: list[tuple[int, str, Shades | None]] = []
    for value, number, cells in _each_once(lines, columns.value):
        name = "" if columns.name is None else _cell(cells, columns.name)
        colour = _colour(cells, columns, number)
        if columns.name is not None and len(cells) <= columns.name and colour is None:
            raise ValueError(f"line {number}: {','.join(cells)!r} has no name")
        rows.append((value, name, colour))
    shades = as_bytes({v: c for v, _, c in rows if c is not None})
    return [ClassRow(value, name, shades.get(value)) for value, name, _ in rows]


def read_pairs(text: str) -> list[tuple[int, str]]:
    """A recoding table: each value and its new value or name; a header may change the order.

    Raises:
        ValueError: A malformed line, or a duplicate value.
    """
    header, lines = _header(_lines(text))
    old = next((header.index(n) for n in _OLD if n in header), None)
    new = next((header.index(n) for n in _NEW if n in header and header.index(n) != old), None)
    if old is None:
        old = 1 if new == 0 else 0
    if new is None:
        new = 1 if old == 0 else 0
    pairs = []
    for value, number, cells in _each_once(lines, old):
        if len(cells) <= max(old, new):
            raise ValueError(f"line {number}: {','.join(cells)!r} has no new value")
        _check_rest(cells, header or ["", ""], number)
        pairs.append((value, _cell(cells, new)))
    return pairs


def is_whole(text: str) -> bool:
    """Whether a cell holds a whole number, also written as 2.0."""
    return _WHOLE.fullmatch(text.strip()) is not None


def whole(text: str, line: int) -> int:
    """The whole number in a cell.

    Args:
        text: The cell.
        line: Number of its line, for the error.

    Raises:
        ValueError: The cell holds something else.
    """
    if not is_whole(text):
        raise ValueError(f"line {line}: the value {text[:40]!r} is no whole number")
    return int(re.split("[.,]", text.strip())[0])


def as_bytes(shades: dict[int, Shades]) -> dict[int, Colour]:
    """Colours from 0 to 255; some tables hold them from 0 to 1."""
    brightest = max((max(s) for s in shades.values()), default=0.0)
    fractions = any(c != int(c) for s in shades.values() for c in s)
    scale = 255 if fractions and brightest <= 1 else 1
    return {
        value: (round(red * scale), round(green * scale), round(blue * scale))
        for value, (red, green, blue) in shades.items()
    }


def hex_colour(text: str) -> Colour:
    """The colour of ``#rrggbb`` or ``#rrggbbaa``.

    Raises:
        ValueError: The text is neither.
    """
    digits = text.strip().removeprefix("#")
    if _HEX.fullmatch(digits) is None:
        raise ValueError(f"the colour {text!r}")
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)


def _lines(text: str) -> Lines:
    """The lines that are neither empty nor comments."""
    number = 1
    lines: Lines = []
    for cells in texts.rows(text):
        trimmed = [c.strip() for c in cells]
        comment = bool(trimmed) and trimmed[0][:1] == "#" and _HEX.fullmatch(trimmed[0]) is None
        while len(trimmed) > 2 and not trimmed[-1]:
            trimmed.pop()
        if any(trimmed) and not comment:
            lines.append((number, trimmed))
        number += 1 + sum(len(re.findall("\r\n|\r|\n", c)) for c in cells)
    return lines


def _header(lines: Lines) -> tuple[list[str], Lines]:
    """The column names in lower case, empty without a header; and the lines below it."""
    if not lines:
        return [], lines
    cells = lines[0][1]
    if not all(c == "" or c[0].isalpha() for c in cells):
        return [], lines
    return [re.sub(r"[^0-9a-z]+", "_", c.lower()).strip("_") for c in cells], lines[1:]


def _each_once(lines: Lines, at: int) -> Iterator[tuple[int, int, list[str]]]:
    """Value, number and cells of each line; refuses duplicate values."""
    first_of: dict[int, int] = {}
    for number, cells in lines:
        value = whole(_cell(cells, at), number)
        if value in first_of:
            first = first_of[value]
            raise ValueError(f"the value {value} twice, in the lines {first} and {number}")
        first_of[value] = number
        yield value, number, cells


def _columns(header: Sequence[str], lines: Lines) -> _Columns:
    width = max(len(cells) for _, cells in lines)
    numbers = [k for k in range(width) if _all_whole(lines, k)]
    words = [k for k in range(width) if k not in numbers and any(_column(lines, k))]
    channels: tuple[int, ...] = tuple(
        header.index(n) for names in _CHANNELS for n in names if n in header
    )
    channels = channels if len(channels) == 3 else ()
    hexes = next((header.index(n) for n in _COLOURS if n in header), None)
    taken = {*channels, hexes}
    known = [header.index(n) for n in VALUE_COLUMNS if n in header]
    known = [k for k in known if any(is_whole(c) for c in _column(lines, k))]
    free = [k for k in numbers if k not in taken]
    # the documented order: the value, then its name or three colours
    first = 0 in free and (1 not in free or width == 2 or len(free) >= 4)
    value = known[0] if known else 0 if first else free[0] if len(free) == 1 else None
    if value is None and len(free) > 1:
        raise ValueError(
            f"{_listed(header, free)} with whole numbers; name the one with the value 'value'"
        )
    value = value or 0
    taken.add(value)
    named = [header.index(n) for n in NAME_COLUMNS if n in header]
    name = next((k for k in named if k not in taken), None)
    if name is None:
        free = [k for k in words if k not in taken]
        # the documented order: the value, then its name
        name = 1 if value == 0 and 1 in free else free[0] if len(free) == 1 else None
        if name is None and free:
            raise ValueError(f"{_listed(header, free)} of texts; name the one with the name 'name'")
    positions = not header or not ({*header} & {*VALUE_COLUMNS, *NAME_COLUMNS})
    if name is None and positions and width in (2, 5, 6) and value == 0 and not channels:
        name = 1  # names may be numbers
    if not channels and hexes is None and positions:
        rest = [k for k in numbers if k not in (value, name)]
        channels = tuple(rest[:3]) if len(rest) >= 3 else ()
    if name is None and hexes is None and not channels:
        raise ValueError("no column of names or colours")
    return _Columns(value, name, channels, hexes)


def _colour(cells: Sequence[str], columns: _Columns, line: int) -> Shades | None:
    """Red, green and blue of a line; None if it has no colour."""
    if columns.colour is not None and _cell(cells, columns.colour):
        text = _cell(cells, columns.colour)
        shades = re.findall(r"\d+", text)
        try:
            if len(shades) != 3 or _HEX.fullmatch(text):  # three numbers as 230-000-077
                return hex_colour(text)
        except ValueError:
            raise ValueError(f"line {line}: the colour {text[:40]!r}") from None
    else:
        shades = [_cell(cells, k) for k in columns.channels]
    if not any(shades):
        return None
    try:
        red, green, blue = (float(s) for s in shades)
    except ValueError:
        raise ValueError(f"line {line}: the colour {', '.join(shades)[:40]!r}") from None
    return red, green, blue


def _check_widths(header: Sequence[str], lines: Lines) -> None:
    """Refuse lines with too many or too few cells, such as an unquoted name with a delimiter."""
    if header:
        for number, cells in lines:
            _check_rest(cells, header, number)
        return
    widths = Counter(len(cells) for _, cells in lines)
    usual = widths.most_common(1)[0][0]
    for number, cells in lines:
        # a colour may be missing
        short = max(widths) >= 5 and len(cells) == 2
        if len(cells) != usual and not short and not (usual == 2 and len(cells) in (5, 6)):
            raise ValueError(
                f"line {number}: {len(cells)} cells where other lines have {usual}; quote a name "
                "that holds the delimiter"
            )


def _check_rest(cells: Sequence[str], header: Sequence[str], line: int) -> None:
    if any(cells[len(header) :]):
        raise ValueError(
            f"line {line}: {len(cells)} cells in {len(header)} columns; quote a name that holds "
            "the delimiter"
        )


def _cell(cells: Sequence[str], at: int) -> str:
    return cells[at] if at < len(cells) else ""


def _column(lines: Lines, at: int) -> Iterator[str]:
    return (cells[at] for _, cells in lines if at < len(cells) and cells[at])


def _all_whole(lines: Lines, at: int) -> bool:
    cells = list(_column(lines, at))
    return bool(cells) and all(map(is_whole, cells))


def _listed(header: Sequence[str], places: Iterable[int]) -> str:
    names = [header[k] if k < len(header) else f"column {k + 1}" for k in places]
    return f"the columns {', '.join(names)}"
