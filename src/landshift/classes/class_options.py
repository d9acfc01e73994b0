"""Classes, recodings and transitions as options: objects, or files and texts as typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from landshift.classes.legend_readers import read_classes, read_recoding
from landshift.classes.scheme import ClassScheme

Class = str | int
"""A class by its name or value."""

if TYPE_CHECKING:
    ClassesLike = ClassScheme | Path | str | None
    RecodingLike = Mapping[int, Class | None] | Path | str | None
    TransitionsLike = Sequence[tuple[Class, Class] | str]
    Classes = Sequence[Class]
else:  # as typed on the command line
    ClassesLike = Path | None
    """Classes, or the file that states them; see `classes_of`."""
    RecodingLike = Path | None
    """A recoding of values, or the file that states it; see `recoding_of`."""
    TransitionsLike = Sequence[str]
    """Transitions as pairs of classes, or written 'from->to'."""
    Classes = Sequence[str]
    """Classes by name or value."""


def classes_of(given: ClassesLike) -> ClassScheme | None:
    """Classes from an option, which may be a file; None if it is empty.

    Raises:
        ClassError: See `legend_readers.read_classes`.
    """
    return read_classes(given) if isinstance(given, str | Path) else given


def recoding_of(given: RecodingLike) -> Mapping[int, int | str | None] | None:
    """A recoding from an option, which may be a file; None if it is empty.

    Raises:
        ClassError: See `legend_readers.read_recoding`.
    """
    return read_recoding(given) if isinstance(given, str | Path) else given


def file_of(given: object) -> Path | None:
    """The file of an option, which is an input of the stage; None for an object."""
    return Path(given) if isinstance(given, str | Path) else None
