"""Classes, recodings and transitions as options: objects, or files and texts as typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from landshift import sensors
from landshift.classes.legend_readers import read_classes, read_recoding
from landshift.classes.scheme import ClassScheme
from landshift.errors import ParameterError

Class = str | int
"""A class by its name or value."""

if TYPE_CHECKING:
    ClassesLike = ClassScheme | Path | str | None
    RecodingLike = Mapping[int, Class | None] | Path | str | None
    TransitionsLike = Sequence[tuple[Class, Class] | str]
    Classes = Sequence[Class]
else:  # as typed on the command line
    ClassesLike = Path | None
    """Classes, the file that states them, or the name of a known class map; see `classes_of`."""
    RecodingLike = Path | None
    """A recoding of values, the file that states it, or the name of a known class map, whose values
    become the common legend's; see `recoding_of`."""
    TransitionsLike = Sequence[str]
    """Transitions as pairs of classes, or written 'from->to'."""
    Classes = Sequence[str]
    """Classes by name or value."""


def classes_of(given: ClassesLike) -> ClassScheme | None:
    """Classes from an option: a file, or the name of a known class map; None if it is empty.

    Raises:
        ClassError: See `legend_readers.read_classes`.
    """
    file = file_of(given)
    return read_classes(file) if file is not None else given  # type: ignore[return-value]


def recoding_of(given: RecodingLike) -> Mapping[int, int | str | None] | None:
    """A recoding from an option: a file, or the name of a known class map; None if it is empty.

    Raises:
        ClassError: See `legend_readers.read_recoding`.
    """
    file = file_of(given)
    return read_recoding(file) if file is not None else given  # type: ignore[return-value]


def file_of(given: object) -> Path | None:
    """The file of an option, which is an input of the stage; None for an object.

    A name that no file has may be that of a known class map (`sensors.class_map_file`).
    """
    if not isinstance(given, str | Path):
        return None
    return sensors.class_map_file(given) or Path(given)


def parse_transition(text: str) -> tuple[Class, Class]:
    """A transition written as ``forest->urban`` or ``1->2``; '*' stands for every other class.

    Raises:
        ParameterError: It is written otherwise.
    """
    parts = [p.strip() for p in text.split("->")]
    if len(parts) != 2 or not all(parts):
        raise ParameterError(
            f"A transition must be written 'from->to', got {text!r}; give names or values."
        )
    return parts[0], parts[1]
