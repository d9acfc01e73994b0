"""Results that are tables: as text, CSV or pandas data frame."""

from __future__ import annotations

import csv
import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from landshift.errors import ParameterError, shown
from landshift.files import whole

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
        """The first rows, in columns."""
        rows = self.rows()
        if not rows:
            return f"{type(self).__name__}: no rows"
        cells = [list(rows[0]), *([_text(v) for v in row.values()] for row in rows[:_SHOWN])]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]
        if len(rows) > _SHOWN:
            lines.append(f"... {len(rows) - _SHOWN} more rows")
        return "\n".join(lines)


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
