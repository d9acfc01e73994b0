"""Text files of other programs: their encodings, and tables with their delimiters."""

from __future__ import annotations

import codecs
import csv
import io
import logging
from pathlib import Path

log = logging.getLogger(__name__)

DELIMITERS = ("\t", ";", ",")
"""Delimiters of tables."""

_MARKS = (  # the mark of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, UTF-16 or Windows-1252, with or without a byte order mark.

    Bytes that aren't UTF-8 are read as Windows-1252, with a warning: other code pages look alike.

    Raises:
        OSError: The file can't be read.
        UnicodeDecodeError: It is in none of these encodings.
    """
    data = Path(path).read_bytes()
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding)
    if b"\0" in data:  # no text in UTF-8 has it; UTF-16 has it beside each letter of ASCII
        return data.decode("utf-16-be" if data[::2].count(0) > data[1::2].count(0) else "utf-16-le")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("cp1252")
    log.warning(
        "%s isn't UTF-8 and was read as Windows-1252; save it as UTF-8 if its names look wrong.",
        path,
    )
    return text


def rows(text: str) -> list[list[str]]:
    """The cells of a table whose delimiter is a comma, a semicolon or a tab.

    The delimiter is the one that splits most rows; of several, one that gives all rows the same
    number of cells; then the one that is rarer inside cells (1;0,5). A first line ``sep=;``, as
    Excel writes it, states it. Cells may be quoted; spaces before a cell are dropped.

    Args:
        text: The table, with any line endings.

    Returns:
        A list per row, empty for an empty line. A row's position is its line number, unless a
        cell contains a line break.

    Raises:
        csv.Error: An unclosed quote, or text after a closing quote.
    """
    first = text.split("\n", 1)[0].strip()
    if first.lower().startswith("sep=") and first[4:] in (",", ";"):
        return [[], *_parsed(text, first[4:])[1:]]
    tables: dict[str, list[list[str]]] = {}
    problem: csv.Error | None = None
    for delimiter in DELIMITERS:
        try:
            tables[delimiter] = _parsed(text, delimiter)
        except csv.Error as error:  # usually a quote before another delimiter
            problem = error
    if not tables:
        assert problem is not None
        raise problem
    best = max(tables, key=lambda delimiter: _fit(tables[delimiter]))
    if problem is not None and not any(len(cells) > 1 for cells in tables[best]):
        raise problem
    return tables[best]


def cells(line: str) -> list[str]:
    """The cells of one comma-separated line; cells that contain commas are quoted.

    Raises:
        csv.Error: An unclosed quote, or text after a closing quote.
    """
    lines = _parsed(line, ",")
    return [cell.strip() for cell in lines[0]] if lines else []


def _parsed(text: str, delimiter: str) -> list[list[str]]:
    lines = io.StringIO(text, newline="")
    return list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True))


def _fit(cells: list[list[str]]) -> tuple[int, bool]:
    """Number of rows that a delimiter splits, and whether all rows get the same number of cells."""
    counts = [len(row) for row in cells if row]
    return sum(n > 1 for n in counts), len(set(counts)) == 1
