"""Answers of labellers, and the classes of the map that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from landshift.classes import ARROW, TO, is_no_change
from landshift.errors import ClassError


@dataclass(frozen=True)
class Answer:
    """The answer of a labeller to a unit.

    Attributes:
        before: Class before; None where the map is of one date.
        after: Class after, or of the only date.
        confidence: How sure the labeller is, or None.
        notes: Remarks, or None.
    """

    before: str | None
    after: str
    confidence: str | None = None
    notes: str | None = None

    @property
    def labels(self) -> tuple[str | None, str]:
        """The two classes."""
        return self.before, self.after


@dataclass(frozen=True)
class Response:
    """How labels of a unit become a class of the map.

    Attributes:
        coding: 'from-to', 'to' and 'binary' for a change map whose classes are named as `label`
            names them (``forest->urban``; ``to urban`` and ``No change``; change or not), 'class'
            for any other map, whose classes are the labels themselves.
        choices: Names that a label may have.
        classes: Names of the map's classes.
    """

    coding: str
    choices: tuple[str, ...]
    classes: tuple[str, ...]

    @property
    def dates(self) -> int:
        """Number of labels that a unit needs: 2, before and after; 1, after alone."""
        return 1 if self.coding == "class" else 2

    @property
    def asked(self) -> tuple[str, ...]:
        """Names of the fields that hold the labels."""
        return ("after",) if self.dates == 1 else ("before", "after")

    def reference(self, before: str | None, after: str) -> str:
        """The class of the map that two labels stand for.

        Raises:
            ClassError: A label that is none of the choices.
        """
        for label in (after,) if self.dates == 1 else (before, after):
            if label not in self.choices:
                raise ClassError(
                    f"A label must be one of {', '.join(self.choices)}, got {label!r}; correct it."
                )
        if self.coding == "class":
            return after
        if self.coding == "from-to":
            return f"{before}{ARROW}{after}"
        no_change = next(n for n in self.classes if is_no_change(n))
        if before == after:
            return no_change
        if self.coding == "to":
            return f"{TO}{after}"
        return next(n for n in self.classes if n != no_change)


def response_of(classes: Sequence[str], choices: Sequence[str] | None = None) -> Response:
    """The labels that a map with such classes needs.

    Args:
        classes: Names of the map's classes.
        choices: Names that a label may have; None: those in the map's classes. A map of change or
            no change has none: without choices its labels are its own classes.

    Raises:
        ClassError: Choices that can't name the map's classes.
    """
    names = tuple(classes)
    changes = [n for n in names if not is_no_change(n)]
    one_stays = 0 < len(changes) == len(names) - 1
    if all(n.count(ARROW) == 1 for n in names):
        ends = (end for name in names for end in name.split(ARROW))
        coding, needed = "from-to", tuple(dict.fromkeys(ends))
    elif one_stays and all(n.startswith(TO) for n in changes) and (choices or len(changes) > 1):
        coding, needed = "to", tuple(n.removeprefix(TO) for n in changes)
    elif one_stays and len(changes) == 1 and choices is not None:
        coding, needed = "binary", ()
    else:
        coding, needed = "class", names
    labels = tuple(choices) if choices is not None else needed
    missing = [n for n in needed if n not in labels]
    if missing:
        raise ClassError(
            f"The classes to choose from must hold those of the map, got none named "
            f"{', '.join(missing)}; add them, or leave the classes to the map."
        )
    return Response(coding, labels, names)
