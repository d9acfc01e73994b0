"""Values of label rasters and class maps as the values of tiles, one byte with 0 for unlabelled."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from landshift import raster, recoding
from landshift.classes import IGNORE_INDEX, UNLABELLED, ClassScheme
from landshift.errors import ClassError
from landshift.grid import Window
from landshift.legend import Legend
from landshift.recoding import Coded, Recoding

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

logger = logging.getLogger(__name__)

_NONE = IGNORE_INDEX


@dataclass(frozen=True)
class LabelCodes:
    """What values of class rasters become in tiles.

    Attributes:
        scheme: Classes of the tiles.
        numbers: Value in tiles of each value of the rasters, `IGNORE_INDEX` where a recoding takes
            it out.
        moved: Value in tiles of each class whose value tiles can't hold.
        recoded: Whether a recoding lists the rasters' values.
        labels: Whether the rasters are labels, which needn't cover the ground, or class maps.
    """

    scheme: ClassScheme
    numbers: Mapping[int, int]
    moved: Mapping[int, int]
    recoded: bool = False
    labels: bool = True

    @classmethod
    def of(cls, coded: Coded, recode: Recoding | None = None, *, labels: bool = True) -> LabelCodes:
        """The codes of classes, by their values or as a recoding says."""
        values = coded.scheme.values
        numbers = {
            value: _NONE if index is None else values[index]
            for value, index in coded.targets(recode).items()
        }
        return cls(coded.scheme, numbers, coded.moved, recode is not None, labels)

    def known(self, source: DatasetReader) -> raster.ClassValues:
        """Which values of an open raster are classes."""
        names = {value: f"class {value}" for value in self.numbers}
        return raster.class_values(source, names=names, labels=self.labels)


class LabelReader:
    """Reads an open class raster as values of tiles.

    Args:
        codes: What its values become.
        source: The open raster.
    """

    def __init__(self, codes: LabelCodes, source: DatasetReader) -> None:
        self._codes = codes
        self._source = source
        self._known = codes.known(source)
        self._table = recoding.Table(codes.numbers, np.dtype(source.dtypes[0]))
        # values that are named count, even where the file calls them nodata
        self._stated = [UNLABELLED] if UNLABELLED in codes.numbers else []
        if codes.recoded and source.nodata in codes.numbers:
            self._stated.append(int(source.nodata))

    def mask(
        self, values: NDArray[np.generic], mask: NDArray[np.bool_], window: Window
    ) -> NDArray[np.bool_]:
        """Where a window's pixels may have a label.

        Args:
            values: ``(1, row, column)``, as `raster.read` gives them.
            mask: As `raster.read` gives it; changed.
            window: The window, which may reach over the raster's edge.
        """
        inside = window.clipped(self._source.height, self._source.width)
        at = inside.shifted(-window.row, -window.column).slices
        for value in self._stated:
            mask[at] |= values[0][at] == value
        return mask

    def codes(self, values: NDArray[np.generic], mask: NDArray[np.bool_]) -> NDArray[np.int16]:
        """Values in tiles ``(row, column)``, -1 where unlabelled.

        Args:
            values: ``(row, column)``.
            mask: ``(row, column)``, True where there may be a label.

        Raises:
            ClassError: A value that is no class.
        """
        codes = self._table(values)
        codes[~self._known.classed(values, mask)] = _NONE
        unknown = codes == recoding.UNKNOWN
        if unknown.any():
            present = [f"{v:g}" for v in np.unique(values[unknown])[:8].tolist()]
            raise ClassError(
                f"Label values must be in the class mapping {sorted(self._codes.numbers)[:16]} (or "
                f"0, unlabelled), got {', '.join(present)} in {self._source.name}; add them to "
                "the mapping or recode them."
            )
        codes[codes == _NONE] = -1
        return codes


def _told(paths: Sequence[Path], *, labels: bool) -> Legend:
    """The classes that class rasters tell, together.

    Raises:
        ClassError: One value has two names.
    """
    told = Legend()
    for path in paths:
        scheme = raster.scheme_of(path, labels=labels)
        for c in scheme or ():
            if told.names.get(c.value, c.name) != c.name:
                raise ClassError(
                    f"Class rasters must agree on their classes, got {told.names[c.value]!r} and "
                    f"{c.name!r} for value {c.value} in {path}; give a class mapping."
                )
        if scheme is not None:
            told = told.or_else(Legend(scheme.mapping, scheme.colours))
    return told


def _known(told: Legend, what: str, path: Path) -> ClassScheme:
    if not told.names:
        raise ClassError(
            f"{what} must carry class names or a colour table, got neither in {path}; "
            "give a class mapping such as {1: 'to forest', 2: 'No change'}."
        )
    return told.scheme()


def codes_of_labels(
    images: Sequence[Path],
    labels: Sequence[Path],
    scheme: ClassScheme | None,
    recode: Recoding | None,
    base: ClassScheme | None,
) -> LabelCodes:
    """What the values of labels become in tiles.

    A class keeps its value where a byte holds it. Class 0 keeps it as long as every valid pixel has
    a label, for 0 is what tiles hold for unlabelled pixels.

    Args:
        images: The image of each label raster.
        labels: The label rasters.
        scheme: Their classes; None: as they, or the recoding, tell.
        recode: What their values become; None: they stay.
        base: Classes of the set that is appended to, or None.

    Raises:
        ClassError: No classes known, more than a byte holds, or others than the set's.
    """
    if scheme is None and recode is not None:
        scheme = base or recoding.scheme_from(Legend(), (), [recode])
    elif scheme is None:
        told = _told(labels, labels=True)
        scheme = base if base is not None and not told else _known(told, "Labels", labels[0])
    scheme = recoding.without_none(scheme)
    if base is not None:
        return LabelCodes.of(_as_in(scheme, base), recode)
    largest = ClassScheme.largest
    codes = LabelCodes.of(recoding.coded(scheme, largest=largest, smallest=UNLABELLED), recode)
    if codes.scheme.background is not None and _leaves_out(codes, images, labels):
        codes = LabelCodes.of(recoding.coded(scheme, largest=largest), recode)
    return codes


def codes_of_maps(paths: Sequence[Path], scheme: ClassScheme | None) -> LabelCodes:
    """What the values of class maps become in tiles: as `landshift.labels.label` codes them.

    Args:
        paths: The class maps.
        scheme: Their classes; None: as they tell.

    Raises:
        ClassError: No classes known, or more than a byte holds.
    """
    scheme = scheme or _known(_told(paths, labels=False), "Class maps", paths[0])
    return LabelCodes.of(recoding.coded(recoding.without_none(scheme)), labels=False)


def tell_codes(folder: Path, codes: LabelCodes, paths: Sequence[Path]) -> None:
    """Say what was moved, and how values are read whose meaning nothing states.

    Args:
        folder: The tile set.
        codes: What values become.
        paths: The rasters.
    """
    for path in paths:
        with raster.open_raster(path) as source:
            known = codes.known(source)
        raster.tell_unstated(known)
    if codes.moved:
        line = Coded(codes.scheme, codes.moved).line()
        logger.warning(
            "%s: classes whose value tiles can't hold have another one there: %s.", folder, line
        )


def _as_in(scheme: ClassScheme, base: ClassScheme) -> Coded:
    """Classes with the values that a set has for their names."""
    places = {name: value for value, name in base.mapping.items()}
    moved = {}
    for c in scheme:
        held = UNLABELLED < c.value <= ClassScheme.largest
        if base.mapping.get(c.value) == c.name:
            continue
        if held or c.name not in places:
            raise ClassError(
                "Tiles appended to a set must have its classes, got "
                f"{c.value}: {c.name!r} beside {base.mapping}; recode the labels, or give its "
                "class mapping."
            )
        moved[c.value] = places[c.name]
    return Coded(base, moved)


def _leaves_out(codes: LabelCodes, images: Sequence[Path], labels: Sequence[Path]) -> bool:
    """Whether a valid pixel of an image has no label."""
    for image, path in zip(images, labels, strict=True):
        with raster.open_raster(image) as source, raster.open_raster(path) as of_labels:
            reader = LabelReader(codes, of_labels)
            for window in raster.blocks(of_labels.height, of_labels.width):
                values, mask = raster.read(of_labels, window)
                bare = reader.codes(values[0], reader.mask(values, mask, window)) < 0
                if bare.any() and (bare & raster.read(source, window)[1]).any():
                    return True
    return False
