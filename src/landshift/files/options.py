"""Kinds of options that stages share, and their spelling on the command line.

A public function is a command. Its parameters before ``*`` are arguments, in this order, unless
their annotation gives them a name that begins with dashes; all others are options, named after the
parameter. Choices are `Literal`, options that may be repeated are a `Sequence`, groups of options
are frozen dataclasses annotated with `GROUP`. Options that may be an object in Python but are a
file on the command line have a kind below or in `classes.class_options`; the function takes either.
The meaning of an option is stated once: in the docstring of the function under ``Args``, or below
the field of the dataclass.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

from cyclopts import Parameter

from landshift.errors import ParameterError

GROUP = Parameter(name="*")
"""The fields of this dataclass are options of the command itself."""


if TYPE_CHECKING:
    FilePath = Path | str
    BandChoice = str | Sequence[str | int] | None
else:  # as typed on the command line
    FilePath = Path
    """A file or folder, as a path or as text."""
    BandChoice = str | None
    """Bands by name or number from 1; in a text: with commas."""

MapFile = Annotated[FilePath, Parameter(name="MAP")]
"""The class or change map that a command reads."""

OutFile = Annotated[FilePath, Parameter(name=("--out", "-o"))]
"""The file that a command writes, also in Python."""

TableFile = Annotated[FilePath | None, Parameter(name=("--out", "-o"), required=True)]
"""The table that a command writes; optional in Python."""

Flag = Annotated[bool, Parameter(negative=())]
"""A switch without a --no- form."""

Dates = Annotated[tuple[str, str] | None, Parameter(metavar="BEFORE AFTER")]
"""Dates of two images or maps."""

Bounds = tuple[float, float, float, float]
"""Left, bottom, right, top."""

PARAMETER = re.compile(r"`([^\W\d]\w*)`")
"""A parameter's name in messages and texts: in backquotes."""


def option_of(parameter: str) -> str:
    """How the command line spells a parameter, unless its annotation gives it another name."""
    return "--" + parameter.replace("_", "-")


ALIKE = 0.6
"""Likeness, from 0 to 1 (difflib's ratio), from which a choice is offered for a misspelt word: a
third of the letters may be wrong; below it, words share little more than an ending."""


def near(word: str, choices: Iterable[str]) -> str | None:
    """The choice that a misspelt word is most like, upper and lower case alike.

    Args:
        word: What was given.
        choices: What there is; of two that are as like, the first counts, so that the best known
            ones come first.

    Returns:
        None if no choice is like it.
    """
    matcher = difflib.SequenceMatcher(b=word.lower())
    best, most = None, ALIKE
    for choice in choices:
        matcher.set_seq1(choice.lower())
        likeness = matcher.ratio() if matcher.quick_ratio() >= most else 0.0
        if likeness > most or (best is None and likeness == most):
            best, most = choice, likeness
    return best


def advice(word: str, choices: Iterable[str], otherwise: str = "choose one") -> str:
    """The end of an error about an unknown word: the choice it is most like, if there is one.

    Args:
        word: What was given.
        choices: As for `near`.
        otherwise: What to do where no choice is like it.
    """
    choice = near(word, choices)
    return otherwise if choice is None else f"did you mean {choice}"


def check_choice(name: str, value: object, choices: object) -> None:
    """Check that an option is one of its choices.

    Args:
        name: The parameter's name.
        value: Its value.
        choices: A `Literal`.

    Raises:
        ParameterError: The value is none of the choices.
    """
    allowed = get_args(choices)
    if value not in allowed:
        words = list(map(str, allowed))
        raise ParameterError(
            f"`{name}` must be one of {', '.join(words)}, got {value!r}; "
            f"{advice(str(value), words)}."
        )
