"""Results that are tables: as text, CSV or pandas data frame."""

from __future__ import annotations

import csv
import importlib
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from landshift.errors import ParameterError, shown
from landshift.files import whole

WIDTH = 80
"""Columns of the terminal, where that isn't known: in a pipe, a file or a notebook."""

_SHOWN = 20  # rows in the text


class Rows(ABC):
    """A result with rows.

    Subclasses are dataclasses with ``repr=False``.
    """

    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """The rows; all have the same columns."""

    def to_pandas(self) -> Any:
        """The rows as a pandas DataFrame.

        Raises:
            ParameterError: pandas isn't installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError as error:
            raise ParameterError(
                f"A data frame must have the package pandas, got '{error}'; pip install pandas."
            ) from error
        return pandas.DataFrame(self.rows())

    def __repr__(self) -> str:
        """The first rows, in columns, or as blocks where the terminal is too narrow for these."""
        rows = self.rows()
        if not rows:
            return f"{type(self).__name__}: no rows"
        names = list(rows[0])
        cells = [[_text(v) for v in row.values()] for row in rows[:_SHOWN]]
        widths = [max(map(cell_len, column)) for column in zip(names, *cells, strict=True)]
        width = shutil.get_terminal_size((WIDTH, 24)).columns
        if sum(widths) + 2 * (len(widths) - 1) > width:
            lines = [line for row in cells for line in block(names, row, width)]
        else:
            lines = ["  ".join(map(_padded, row, widths)).rstrip() for row in (names, *cells)]
        if len(rows) > _SHOWN:
            lines.append(f"... {len(rows) - _SHOWN} more rows")
        return "\n".join(lines)


def block(names: Sequence[str], cells: Sequence[str], width: int) -> list[str]:
    """A row as a block: the first cell, below it the others as 'name: value'; empty ones left out.

    So is a row of a table that is too wide for columns written. Lines are broken between cells
    alone: a terminal that is narrower than a single one breaks that itself.

    Args:
        names: Name of each cell.
        cells: The cells.
        width: Columns of the terminal.
    """
    heading, *items = [f"{n}: {c}" for n, c in zip(names, cells, strict=True) if c] or [""]
    lines: list[str] = []
    for item in items:
        if lines and cell_len(lines[-1]) + 2 + cell_len(item) <= width:
            lines[-1] += f"  {item}"
        else:
            lines.append(f"  {item}")
    return [heading, *lines]


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _text(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, float) else shown(str(value))


def write_csv(
    path: Path | str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, overwrite: bool
) -> Path:
    """Write rows as CSV.

    Args:
        path: The file.
        columns: Names of the columns.
        rows: A value for each column.
        overwrite: Whether an existing file is replaced.

    Raises:
        OutputError: The file exists and ``overwrite`` is off, or it can't be written.
    """
    whole.check_new(path, overwrite=overwrite)
    with (
        whole.whole_file(Path(path)) as part,
        part.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return Path(path)
