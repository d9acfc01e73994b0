"""Codings of change maps: the code of each pair of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift.classes.scheme import (
    ARROW,
    IGNORE_INDEX,
    NO_CHANGE,
    NO_CHANGE_GREY,
    PALETTE,
    TO,
    UNLABELLED,
    ClassScheme,
    LandClass,
    is_no_change,
)
from landshift.errors import ClassError


class ChangeScheme(ClassScheme):
    """Classes of a change map with the coding 'to': a pixel's later class, or no change.

    A pixel whose class differs between the dates gets the value of its later class; one whose
    class is the same gets `no_change_value`, the largest class value plus one.

    Args:
        classes: The classes of the two class maps.
    """

    dtype = "uint8"
    """Pixel type that holds the codes."""

    def __init__(self, classes: ClassScheme) -> None:
        if classes.values[-1] >= 254:
            raise ClassError(
                "A change map needs a free value above the largest class value, got "
                f"{classes.values[-1]} as the largest; recode the class maps to 1-253."
            )
        _check_no_background(classes)
        self.no_change_value = classes.values[-1] + 1
        self.ends = {c.value: ("", c.name) for c in classes} | {self.no_change_value: ("", "")}
        to_classes = [LandClass(c.value, f"{TO}{c.name}", c.colour) for c in classes]
        super().__init__([*to_classes, LandClass(self.no_change_value, NO_CHANGE, NO_CHANGE_GREY)])

    def code(self, before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.uint8]:
        """Change codes of two arrays of class values; 0 where either is 0."""
        codes = np.where(before == after, self.no_change_value, after).astype(np.uint8)
        codes[(before == UNLABELLED) | (after == UNLABELLED)] = UNLABELLED
        return codes


class FromToScheme(ClassScheme):
    """Classes of a change map with the coding 'from-to': each transition has its own code.

    With n classes, the transition from the i-th to the j-th (from 0, by value) has the code
    ``i * n + j + 1`` and the name ``forest->urban``; unchanged pixels have a code too:
    ``forest->forest``. The codes depend on the classes alone, never on which transitions occur, so
    that maps of several pairs of dates are comparable. Up to 15 classes fit in one byte.

    Args:
        classes: The classes of the two class maps.
    """

    largest = 65_534

    def __init__(self, classes: ClassScheme) -> None:
        _check_no_background(classes)
        n = len(classes)
        self.dtype = "uint8" if n * n <= ClassScheme.largest else "uint16"
        self.ends: dict[int, tuple[str, str]] = {}
        self._positions = np.zeros(ClassScheme.largest + 1, np.uint16)
        self._positions[list(classes.values)] = np.arange(n)
        self._n = n
        transitions = []
        for i, first in enumerate(classes):
            for j, second in enumerate(classes):
                value = i * n + j + 1
                # closer to the later class, so that a change and its reverse differ; unchanged
                # classes are pale
                other = second.colour if i != j else NO_CHANGE_GREY
                red, green, blue = (
                    round((a + 2 * b) / 3) for a, b in zip(first.colour, other, strict=True)
                )
                name = f"{first.name}{ARROW}{second.name}"
                transitions.append(LandClass(value, name, (red, green, blue)))
                self.ends[value] = (first.name, second.name)
        super().__init__(transitions)

    def code(self, before: NDArray[Any], after: NDArray[Any]) -> NDArray[Any]:
        """Codes of two arrays of class values, in `dtype`; 0 where either is 0."""
        codes: NDArray[Any] = self._positions[before] * self._n + self._positions[after] + 1
        codes[(before == UNLABELLED) | (after == UNLABELLED)] = UNLABELLED
        return codes.astype(self.dtype)


class BinaryScheme(ClassScheme):
    """Classes of a change map with the coding 'binary': 1 'Change', 2 'No change'.

    Args:
        classes: The classes of the two class maps.
    """

    dtype = "uint8"
    no_change_value = 2

    def __init__(self, classes: ClassScheme) -> None:
        _check_no_background(classes)
        self.ends = {1: ("", ""), 2: ("", "")}
        super().__init__(
            [LandClass(1, "Change", PALETTE[3]), LandClass(2, NO_CHANGE, NO_CHANGE_GREY)]
        )

    def code(self, before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.uint8]:
        """Codes of two arrays of class values; 0 where either is 0."""
        codes = np.where(before == after, 2, 1).astype(np.uint8)
        codes[(before == UNLABELLED) | (after == UNLABELLED)] = UNLABELLED
        return codes


CODINGS: dict[str, type[ChangeScheme] | type[FromToScheme] | type[BinaryScheme]] = {
    "to": ChangeScheme,
    "from-to": FromToScheme,
    "binary": BinaryScheme,
}
"""The codings by name."""
Pairs = tuple[tuple[tuple[int, int], ...], ...]
"""For each class of a change map, pairs (before, after) of indices of the classes."""


def pairs_of(scheme: ClassScheme, classes: ClassScheme) -> Pairs:
    """The pairs (before, after) of class indices that each class of a change map represents.

    Args:
        scheme: Classes of the change map.
        classes: Classes of the two class maps.

    Raises:
        ClassError: The change map's codes match no coding of these classes.
    """
    for coding in CODINGS.values():
        change = coding(classes)
        if change.values == scheme.values:
            values = np.array(classes.values)
            codes = change.code(*np.meshgrid(values, values, indexing="ij"))
            return tuple(
                tuple((int(i), int(j)) for i, j in np.argwhere(codes == v)) for v in change.values
            )
    raise ClassError(
        f"The change map's codes must be those of {', '.join(CODINGS)} for the classes "
        f"{', '.join(classes.names)}, got {list(scheme.values)}; label it from the same class maps."
    )


def code_table(scheme: ClassScheme, classes: ClassScheme) -> NDArray[np.uint8]:
    """The class index in a change map of each pair of class indices, `IGNORE_INDEX` for none.

    Args:
        scheme: Classes of the change map.
        classes: Classes of the two class maps.

    Returns:
        ``(before, after)``, for all indices of a byte.

    Raises:
        ClassError: See `pairs_of`.
    """
    table = np.full((256, 256), IGNORE_INDEX, np.uint8)
    for index, pairs in enumerate(pairs_of(scheme, classes)):
        table[tuple(np.array(pairs).T)] = index
    return table


def reversed_codes(scheme: ClassScheme) -> tuple[int, ...] | None:
    """The index of each class of a change map after the dates are swapped.

    None if the codes don't determine it: the coding 'to' lacks the earlier class.

    Args:
        scheme: Classes of the change map.
    """
    places = {ends: k for k, ends in enumerate(scheme.transitions) if ends is not None}
    indices = []
    for k, (name, ends) in enumerate(zip(scheme.names, scheme.transitions, strict=True)):
        same = is_no_change(name) or name.lower() == "change"
        at = places.get(ends[::-1]) if ends is not None else k if same else None
        if at is None:
            return None
        indices.append(at)
    return tuple(indices)


def _check_no_background(classes: ClassScheme) -> None:
    if classes.background is not None:
        raise ClassError(
            "A class map's value 0 must mean 'no data', got a class named "
            f"{classes.names[0]!r} there; recode it to a value from 1 to 253."
        )
