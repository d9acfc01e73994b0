"""Every error that landshift raises on purpose.

    LandshiftError
    ├── ParameterError (ValueError)      an option out of its range, or two that contradict
    ├── GridError (ValueError)           grids, CRS or extents that don't fit together
    ├── BandError (ValueError)           bands that are missing, or another number than needed
    ├── ClassError (ValueError)          values outside the class mapping, or a bad mapping
    ├── DateError (ValueError)           before and after in the wrong order
    ├── RasterError (OSError)            a raster that is missing or can't be read
    ├── VectorError (OSError)            a vector file that is missing, unreadable or no polygons
    ├── TileSetError (ValueError)        a training set that is empty, incomplete or damaged
    │   └── SplitError                   no split into training and validation tiles exists
    ├── SampleError (ValueError)         a sample that can't carry an estimate
    ├── ModelError (ValueError)          a model package that is damaged or doesn't fit the data
    ├── WeightsError (OSError)           weights or a model that can't be had
    ├── TrainingError (RuntimeError)     training that can't go on
    ├── ClusterError (RuntimeError)      a scheduler or workers that can't do the job
    ├── OutOfMemoryError (MemoryError)   memory that ran out, of whatever library
    └── OutputError (OSError)            an output that can't be written

A message says what must hold, what was found and where, and what to do. It names a parameter of a
public function by its Python name in backquotes, as in "`min_pixels` must be above 0"; the command
line shows it as the user types it there, --min-pixels (`landshift.cli.lines.spelled`).
"""

from __future__ import annotations

import numbers
import re
import unicodedata


class LandshiftError(Exception):
    """Base of every error that landshift raises on purpose."""


class ParameterError(LandshiftError, ValueError):
    """An option is out of its range, or two options contradict each other."""


class GridError(LandshiftError, ValueError):
    """Grids, CRS or extents don't fit together."""


class BandError(LandshiftError, ValueError):
    """Bands are missing, or there is another number of them than needed."""


class ClassError(LandshiftError, ValueError):
    """A value lies outside the class mapping, or the mapping itself is wrong."""


class DateError(LandshiftError, ValueError):
    """Before and after are in the wrong order."""


class RasterError(LandshiftError, OSError):
    """A raster is missing or can't be read."""


class VectorError(LandshiftError, OSError):
    """A vector file is missing, can't be read, or holds something else than polygons."""


class TileSetError(LandshiftError, ValueError):
    """A training set is empty, incomplete or damaged."""


class SplitError(TileSetError):
    """No split into training and validation tiles exists."""


class SampleError(LandshiftError, ValueError):
    """A sample can't carry an estimate: unlabelled, incomplete, too small, of another map."""


class ModelError(LandshiftError, ValueError):
    """A model package is damaged or doesn't fit the data."""


class WeightsError(LandshiftError, OSError):
    """Weights of an encoder, or a model on a hub, can't be had."""


class TrainingError(LandshiftError, RuntimeError):
    """Training can't go on."""


class ClusterError(LandshiftError, RuntimeError):
    """A scheduler or its workers can't do the job: not there, lost, or unlike each other."""


class OutOfMemoryError(LandshiftError, MemoryError):
    """Memory ran out, of whatever library."""


class OutputError(LandshiftError, OSError):
    """An output can't be written."""


def of_gdal() -> tuple[type[Exception], ...]:
    """What rasterio raises where GDAL or PROJ fails; its errors have no common ancestor."""
    from rasterio._err import CPLE_BaseError  # GDAL's own, which some functions let through
    from rasterio.errors import CRSError, RasterioError

    return RasterioError, CRSError, CPLE_BaseError


_NO_MEMORY = re.compile(
    r"bad_alloc|bad allocation|out ?of ?(?:host )?memory|(?:not enough|allocate) memory"
    r"|unable to allocate|malloc\w* ?failed|failed to allocate",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out: Python's, numpy's, GDAL's, torch's, OpenVINO's or the system's.

    Some libraries say it in words alone, or in the error that caused theirs.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        told = f"{type(error).__name__} {error} {getattr(error, 'errmsg', '')}"
        if isinstance(error, MemoryError) or _NO_MEMORY.search(told):
            return True
        error = error.__cause__ or error.__context__
    return False


def refuse_out_of_memory(error: BaseException, where: str = "") -> None:
    """Say that memory ran out where that is what an error comes from; else do nothing.

    Args:
        error: What was raised.
        where: While what: " while reading a.tif".

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
    """What an error of another library says: its first line, or its kind where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def shown(text: str) -> str:
    """A text as terminals and tables may show it: as it is written, control characters escaped.

    Those that move the cursor, colour what follows or turn its direction: line breaks and
    terminal controls, bidirectional controls (Unicode Annex 9), and halves of characters. What
    joins letters (U+200C, U+200D) stays.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


_ESCAPED = ("Cc", "Cf", "Cs", "Zl", "Zp")  # categories of Unicode
_JOINERS = "\u200c\u200d"


def _shown(letter: str) -> str:
    if unicodedata.category(letter) not in _ESCAPED or letter in _JOINERS:
        return letter
    return letter.encode("unicode_escape").decode("ascii")


def plain(text: str, most: int = 60) -> str:
    """Words of others as messages show them: on one line, control characters escaped, short."""
    line = shown("".join(" " if c.isspace() else c for c in text[: most + 1]))
    return line if len(text) <= most else f"{line[: most - 3]}..."
