"""Every error that landshift raises on purpose.

    LandshiftError
    ├── ParameterError (ValueError)      an option out of its range, or two that contradict
    ├── GridError (ValueError)           grids, CRS or extents that don't fit together
    ├── BandError (ValueError)           bands that are missing, or a wrong number of them
    ├── ClassError (ValueError)          values outside the class mapping, or a bad mapping
    ├── DateError (ValueError)           before and after in the wrong order
    ├── RasterError (OSError)            a raster that is missing or can't be read
    ├── VectorError (OSError)            a vector file that is missing or can't be read
    ├── TileSetError (ValueError)        a training set that is empty, incomplete or damaged
    │   └── SplitError                   no split into training and validation tiles exists
    ├── SampleError (ValueError)         a sample that doesn't support an estimate
    ├── ModelError (ValueError)          a model package that is damaged or doesn't fit the data
    ├── WeightsError (OSError)           weights or a model that can't be obtained
    ├── TrainingError (RuntimeError)     training that can't continue
    ├── RecipeError (ValueError)         a recipe that doesn't hold, or a stage of it that failed
    ├── CatalogueError (OSError)         a catalogue, or a file that it names, that can't be had
    ├── ClusterError (RuntimeError)      a scheduler or workers that can't do the job
    ├── OutOfMemoryError (MemoryError)   memory that ran out, in any library
    └── OutputError (OSError)            an output that can't be written

A message states what must hold, the value and its place, and a remedy. It names a parameter of a
public function by its Python name in backquotes, as in "`min_pixels` must be above 0"; the command
line shows it as the user types it there, --min-pixels (`landshift.cli.lines.spelled`).
"""

from __future__ import annotations

import numbers
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class LandshiftError(Exception):
    """Base of every error that landshift raises on purpose."""


class ParameterError(LandshiftError, ValueError):
    """An option is out of its range, or two options contradict each other."""


class GridError(LandshiftError, ValueError):
    """Grids, CRS or extents don't fit together."""


class BandError(LandshiftError, ValueError):
    """Bands are missing, or there is a wrong number of them."""


class ClassError(LandshiftError, ValueError):
    """A value lies outside the class mapping, or the mapping itself is wrong."""


class DateError(LandshiftError, ValueError):
    """Before and after are in the wrong order."""


class RasterError(LandshiftError, OSError):
    """A raster is missing or can't be read."""


class VectorError(LandshiftError, OSError):
    """A vector file is missing, can't be read, or holds other geometries than needed."""


class TileSetError(LandshiftError, ValueError):
    """A training set is empty, incomplete or damaged."""


class SplitError(TileSetError):
    """No split into training and validation tiles exists."""


class SampleError(LandshiftError, ValueError):
    """A sample doesn't support an estimate: unlabelled, incomplete, too small, of another map."""


class ModelError(LandshiftError, ValueError):
    """A model package is damaged or doesn't fit the data."""


class WeightsError(LandshiftError, OSError):
    """Weights of an encoder, or a model on a hub, can't be obtained."""


class TrainingError(LandshiftError, RuntimeError):
    """Training can't continue."""


class RecipeError(LandshiftError, ValueError):
    """A recipe doesn't hold, a stage of it failed, or it would replace what isn't its own."""


class CatalogueError(LandshiftError, OSError):
    """A catalogue doesn't answer or isn't one, or a file that it names can't or mustn't be had."""


class ClusterError(LandshiftError, RuntimeError):
    """A scheduler or its workers can't do the job: missing, lost, or different from each other."""


class OutOfMemoryError(LandshiftError, MemoryError):
    """Memory ran out, in any library."""


class OutputError(LandshiftError, OSError):
    """An output can't be written."""


def of_gdal() -> tuple[type[Exception], ...]:
    """Errors of rasterio when GDAL or PROJ fails; they share no base class."""
    from rasterio._err import CPLE_BaseError  # GDAL's own; some functions don't convert it
    from rasterio.errors import CRSError, RasterioError

    return RasterioError, CRSError, CPLE_BaseError


_NO_MEMORY = re.compile(
    r"bad_alloc|bad allocation|out ?of ?(?:host )?memory|(?:not enough|allocate) memory"
    r"|unable to allocate|malloc\w* ?failed|failed to allocate",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out in Python, numpy, GDAL, torch, OpenVINO or the system.

    Some libraries state it only in the message, or in the error that caused theirs.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        text = f"{type(error).__name__} {error} {getattr(error, 'errmsg', '')}"
        if isinstance(error, MemoryError) or _NO_MEMORY.search(text):
            return True
        error = error.__cause__ or error.__context__
    return False


def refuse_out_of_memory(error: BaseException, where: str = "") -> None:
    """Raise `OutOfMemoryError` if an error comes from a lack of memory; else do nothing.

    Args:
        error: The error.
        where: The activity, such as " while reading a.tif".

    Raises:
        OutOfMemoryError: Memory ran out.
    """
    if isinstance(error, OutOfMemoryError) or not is_out_of_memory(error):
        return
    raise OutOfMemoryError(
        f"There must be memory enough, got none left{where} ({reason_of(error)}); close other "
        "programs, or take smaller tiles or batches, fewer workers, or a part."
    ) from error


def check_number(name: str, value: object, *, whole: bool = False) -> None:
    """Check that an option is a number, Python's or numpy's.

    Raises:
        ParameterError: It isn't.
    """
    kind = numbers.Integral if whole else numbers.Real
    if isinstance(value, bool) or not isinstance(value, kind):
        raise ParameterError(
            f"{name} must be a {'whole ' * whole}number, got {plain(repr(value), 80)}."
        )


def reason_of(error: BaseException) -> str:
    """Message of another library's error: its first line, or its class if it has none."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def shown(text: str) -> str:
    """A text that is safe in terminals and tables: with control characters escaped.

    These are line breaks, terminal controls, bidirectional controls (Unicode Annex 9) and
    surrogates. Joiners of letters (U+200C, U+200D) stay.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


_ESCAPED = ("Cc", "Cf", "Cs", "Zl", "Zp")  # categories of Unicode
_JOINERS = "\u200c\u200d"


def _shown(letter: str) -> str:
    if unicodedata.category(letter) not in _ESCAPED or letter in _JOINERS:
        return letter
    return letter.encode("unicode_escape").decode("ascii")


def listed(names: Sequence[str], most: int = 4) -> str:
    """Names in a sentence: 'a, b and c', 'a, b, c, d and 3 more'.

    Args:
        names: One or more names.
        most: How many are named where there are more; one more than that is named too.
    """
    named = list(names) if len(names) <= most + 1 else [*names[:most], f"{len(names) - most} more"]
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"


def plain(text: str, most: int = 60) -> str:
    """Untrusted text for messages: on one line, control characters escaped, shortened."""
    line = shown("".join(" " if c.isspace() else c for c in text[: most + 1]))
    return line if len(text) <= most else f"{line[: most - 3]}..."
