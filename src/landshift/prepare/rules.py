"""Rules of a change map: which changes it keeps, and which are removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from landshift.classes import CODINGS, UNLABELLED, Coding, class_options
from landshift.errors import ParameterError
from landshift.files.options import check_choice
from landshift.maps.cleaning import check_kernel, check_neighbours
from landshift.raster.recoding import Class, Coded

Keep = Literal["all", "changed", "unchanged"]
Unconfirmed = Literal["unchanged", "nodata"]


@dataclass(frozen=True)
class Filters:
    """Which pixels a change map keeps; the others become 0, not labelled."""

    keep: Keep = "all"
    """Pixels that the map keeps. `keep` alone decides whether unchanged pixels stay."""
    from_classes: Annotated[class_options.Classes, Parameter(name="--from")] = ()
    """Keep changes from this class only, by name or value; can be repeated."""
    to_classes: Annotated[class_options.Classes, Parameter(name="--to")] = ()
    """Keep changes to this class only; can be repeated."""
    forbidden: Annotated[class_options.TransitionsLike, Parameter(name="--forbid")] = ()
    """A transition that can't be, 'urban->forest', or 'urban->*' for every other class; its pixels
    become 0 and are counted by themselves. Can be repeated."""

    def __post_init__(self) -> None:
        check_choice("keep", self.keep, Keep)
        if self.keep == "unchanged" and (self.from_classes or self.to_classes):
            raise ParameterError(
                "Lists of classes (`from_classes`, `to_classes`) choose among the changes, got "
                "them with `keep` 'unchanged'; leave one of the two out."
            )


@dataclass(frozen=True)
class Cleaning:
    """Which changes are removed before the map is written."""

    smooth: int | None = None
    """Each pixel of each map first gets the commonest class in a square of so many pixels: 3, 5,
    7, 9 or 11."""
    min_pixels: int | None = None
    """Remove changes in patches of fewer pixels. A patch is a set of connected pixels of one code
    of the change map."""
    min_hectares: float | None = None
    """The same by area."""
    neighbours: int = 8
    """Whether pixels of a patch connect over their sides only, 4, or corners too, 8."""
    agree_before: Sequence[Path] = ()
    """One more class map, recoded as the first: a change counts only where it has the earlier
    class. Can be repeated."""
    agree_after: Sequence[Path] = ()
    """One more class map, recoded as the second: a change counts only where it has the later
    class: it persists. Can be repeated."""
    unconfirmed: Unconfirmed = "unchanged"
    """What removed changes become: unchanged, as if the pixel had kept its earlier class, or
    nodata."""

    def __post_init__(self) -> None:
        check_choice("unconfirmed", self.unconfirmed, Unconfirmed)
        if self.smooth is not None:
            check_kernel(self.smooth)
        check_neighbours(self.neighbours)
        if self.min_pixels is not None and self.min_hectares is not None:
            raise ParameterError(
                "The smallest patch must be given in pixels (`min_pixels`) or in hectares "
                "(`min_hectares`), got both; choose one."
            )
        if self.least is not None and not 0 < self.least < float("inf"):
            name = "min_pixels" if self.min_hectares is None else "min_hectares"
            raise ParameterError(f"`{name}` must be above 0, got {self.least}; leave it out.")

    @property
    def least(self) -> float | None:
        """The smallest patch, in pixels or hectares; None where every patch stays."""
        return self.min_pixels if self.min_hectares is None else self.min_hectares


class PairRules:
    """Tables by pair of classes; see `pairs`.

    Attributes:
        scheme: The n classes of the two maps.
        change: The classes of the change map.
        size: Number of pairs.
        classed: Whether both have a class.
        forbidden: Whether the pair is a forbidden transition.
        changed: Whether the pair is a change that isn't forbidden.
        kept: Whether the map keeps the pair.
        map_code: The pair's value in the change map; 0 where it isn't kept.
        patch_code: The same, for all changes that the lists of classes choose.
        without_change: The pair that a removed change becomes.
        removed_are_nodata: Whether removed changes have no class.
    """

    def __init__(
        self,
        classes: Coded,
        coding: Coding,
        filters: Filters,
        forbidden: Sequence[tuple[Class, Class]],
        unconfirmed: Unconfirmed,
    ) -> None:
        """Make the tables.

        Args:
            classes: The classes of the two maps.
            coding: The coding of the change map.
            filters: What it keeps.
            forbidden: Transitions that can't be, by name or value.
            unconfirmed: What removed changes become.

        Raises:
            ClassError: A class that there isn't.
            ParameterError: A forbidden transition that is no change.
        """
        scheme = self.scheme = classes.scheme
        n = len(scheme)
        self.change = CODINGS[coding](scheme)
        self.size = (n + 1) ** 2
        i, j = (k.ravel() for k in np.indices((n + 1, n + 1)))
        classed = self.classed = (i < n) & (j < n)
        self.forbidden = np.zeros(self.size, np.bool_)
        for before, after in forbidden:
            at = [
                a * (n + 1) + b for a in classes.find(before) for b in classes.find(after) if a != b
            ]
            if not at:
                raise ParameterError(
                    f"A forbidden transition must be a change, got {before}->{after}; "
                    "choose unchanged pixels with `keep`."
                )
            self.forbidden[at] = True
        froms = {k for c in filters.from_classes for k in classes.find(c)} or set(range(n))
        tos = {k for c in filters.to_classes for k in classes.find(c)} or set(range(n))
        self.changed = classed & (i != j) & ~self.forbidden
        listed = self.changed & np.isin(i, list(froms)) & np.isin(j, list(tos))
        self.kept = (listed & (filters.keep != "unchanged")) | (
            classed & (i == j) & (filters.keep != "changed")
        )
        values = np.array([*scheme.values, UNLABELLED])
        code = self.change.code(values[i], values[j])
        self.map_code = np.where(self.kept, code, 0).astype(self.change.dtype)
        self.patch_code = np.where(listed, code, 0).astype(self.change.dtype)
        self.removed_are_nodata = unconfirmed == "nodata"
        back = self.size - 1 if self.removed_are_nodata else i * (n + 1) + i
        kind = np.uint8 if self.size <= 1 << 8 else np.uint16
        self.without_change = np.where(classed, back, self.size - 1).astype(kind)

    def pairs(self, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[Any]:
        """The pair of each pixel: i * (n + 1) + j, where n stands for no class.

        Args:
            before: Index of the earlier class, `IGNORE_INDEX` for none.
            after: Index of the later class.
        """
        n = len(self.scheme)
        i, j = (np.minimum(k, n).astype(self.without_change.dtype) for k in (before, after))
        i *= n + 1
        i += j
        return i

    def by_classes(self, by_pair: NDArray[Any]) -> NDArray[Any]:
        """Figures by pair as ``(from, to)``, without forbidden pairs and pixels without a class."""
        n = len(self.scheme)
        return np.where(self.forbidden, 0, by_pair).reshape(n + 1, n + 1)[:n, :n]

    def names(self, pair: int) -> tuple[str, str]:
        """Names of a pair's classes."""
        i, j = divmod(pair, len(self.scheme) + 1)
        return self.scheme.names[i], self.scheme.names[j]
