"""Values of labels and class maps in tiles: one byte, with 0 for unlabelled."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from landshift import raster
from landshift.classes import IGNORE_INDEX, UNLABELLED, ClassScheme
from landshift.classes.legend import Legend
from landshift.errors import ClassError
from landshift.grid import Window
from landshift.raster import blockwise, recoding
from landshift.raster.recoding import Coded, Recoding

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

logger = logging.getLogger(__name__)

_NONE = IGNORE_INDEX

ByName = Mapping[Path, Mapping[int, int]]
"""For each class raster, the value in the scheme of each class with another value there."""


@dataclass(frozen=True)
class LabelCodes:
    """Values in tiles of the values of class rasters.

    Attributes:
        scheme: Classes of the tiles.
        numbers: Value in tiles of each value of the rasters; `IGNORE_INDEX` where a recoding
            removes it.
        moved: Value in tiles of each class whose value tiles can't hold.
        recoded: Whether a recoding lists the rasters' values.
        labels: Whether the rasters are labels, which needn't cover the ground, or class maps.
        by_name: Values of each raster that differ from those of the scheme.
    """

    scheme: ClassScheme
    numbers: Mapping[int, int]
    moved: Mapping[int, int]
    recoded: bool = False
    labels: bool = True
    by_name: ByName = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        coded: Coded,
        recode: Recoding | None = None,
        *,
        labels: bool = True,
        by_name: ByName | None = None,
    ) -> LabelCodes:
        """The codes of classes, by their values or by a recoding."""
        values = coded.scheme.values
        numbers = {
            value: _NONE if index is None else values[index]
            for value, index in coded.targets(recode).items()
        }
        return cls(coded.scheme, numbers, coded.moved, recode is not None, labels, by_name or {})

    def numbers_in(self, path: Path) -> dict[int, int]:
        """Value in tiles of each value of one of the rasters."""
        own = {value: self.numbers[new] for value, new in self.by_name.get(path, {}).items()}
        return {**self.numbers, **own}

    def known(self, path: Path, source: DatasetReader) -> raster.ClassValues:
        """The values of an open raster that are classes."""
        names = {value: f"class {value}" for value in self.numbers_in(path)}
        return raster.class_values(source, names=names, labels=self.labels)


class LabelReader:
    """Reads an open class raster as values of tiles.

    Args:
        codes: Values in tiles of its values.
        path: Its path.
        source: The open raster.
    """

    def __init__(self, codes: LabelCodes, path: Path, source: DatasetReader) -> None:
        self._source = source
        self._known = codes.known(path, source)
        self._numbers = codes.numbers_in(path)
        self._table = recoding.Table(self._numbers, np.dtype(source.dtypes[0]))
        # named values count, even if the file declares them as nodata
        self._stated = [UNLABELLED] if UNLABELLED in self._numbers else []
        if codes.recoded and source.nodata in self._numbers:
            self._stated.append(int(source.nodata))

    @classmethod
    @contextmanager
    def opened(cls, codes: LabelCodes, path: Path) -> Iterator[LabelReader]:
        """Open a class raster to read it as values of tiles."""
        with raster.open_raster(path) as source:
            yield cls(codes, path, source)

    def read(self, window: Window) -> NDArray[np.int16]:
        """Values in tiles of a window; see `codes`."""
        values, mask = raster.read(self._source, window)
        return self.codes(values[0], self.mask(values, mask, window))

    def mask(
        self, values: NDArray[np.generic], mask: NDArray[np.bool_], window: Window
    ) -> NDArray[np.bool_]:
        """Mask of a window's pixels that may have a label.

        Args:
            values: ``(1, row, column)``, from `raster.read`.
            mask: The mask from `raster.read`; modified in place.
            window: The window, which may extend beyond the raster.
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
                f"Label values must be in the class mapping {sorted(self._numbers)[:16]} (or "
                f"0, unlabelled), got {', '.join(present)} in {self._source.name}; add them to "
                "the mapping or recode them."
            )
        codes[codes == _NONE] = -1
        return codes


def _stated(
    paths: Sequence[Path], what: str, options: str, *, labels: bool
) -> tuple[ClassScheme, ByName]:
    """The classes that class rasters state, and their values that differ between rasters.

    Raises:
        ClassError: They state none; or see `recoding.united`.
    """
    stating = [path for path in paths if raster.legend_of(path)]
    if not stating:
        raise ClassError(
            f"{what} must carry class names or a colour table, got neither in {paths[0]}; "
            "give a class mapping such as {1: 'to forest', 2: 'No change'}."
        )
    one = recoding.united_files(stating, options, labels=labels)
    scheme = recoding.scheme_from(one.legend, one.values, ())
    return scheme, dict(zip(stating, one.recodings, strict=True))


def codes_of_labels(
    images: Sequence[Path],
    labels: Sequence[Path],
    scheme: ClassScheme | None,
    recode: Recoding | None,
    base: ClassScheme | None,
) -> LabelCodes:
    """Values in tiles of the values of labels.

    A class keeps its value if it fits in a byte. Class 0 keeps it if every valid pixel has a label,
    since 0 means unlabelled in tiles.

    Args:
        images: The image of each label raster.
        labels: The label rasters.
        scheme: Their classes; None: as they or the recoding state them.
        recode: Recoding of their values, or None.
        base: Classes of the set that is appended to, or None.

    Raises:
        ClassError: No classes known, more than a byte holds, or others than the set's.
    """
    by_name: ByName = {}
    if scheme is None and recode is not None:
        scheme = base or recoding.scheme_from(Legend(), (), [recode])
    elif scheme is None and base is not None and not any(map(raster.legend_of, labels)):
        scheme = base
    elif scheme is None:
        scheme, by_name = _stated(
            labels, "Labels", "say what the values mean in all of them (`classes`), or bring "
            "them to one coding first", labels=True,
        )  # fmt: skip
    if recode is not None:
        for path in labels:
            recoding.warn_of_zero(recode, recoding.as_filed(scheme), None, path)
    if base is not None:
        return LabelCodes.of(_as_in(scheme, base), recode, by_name=by_name)
    largest = ClassScheme.largest
    coded = recoding.coded(scheme, largest=largest, smallest=UNLABELLED)
    codes = LabelCodes.of(coded, recode, by_name=by_name)
    if codes.scheme.background is not None and _leaves_out(codes, images, labels):
        codes = LabelCodes.of(recoding.coded(scheme, largest=largest), recode, by_name=by_name)
    return codes


def codes_of_maps(paths: Sequence[Path], scheme: ClassScheme | None) -> LabelCodes:
    """Values in tiles of the values of class maps; the same as in `landshift.label`.

    Args:
        paths: The class maps.
        scheme: Their classes; None: as they state them.

    Raises:
        ClassError: No classes known, or more than a byte holds.
    """
    by_name: ByName = {}
    if scheme is None:
        scheme, by_name = _stated(
            paths, "Class maps", "say what the values mean in all of them (`map_classes`)",
            labels=False,
        )  # fmt: skip
    return LabelCodes.of(recoding.coded(scheme), labels=False, by_name=by_name)


def warn_of_codes(folder: Path, codes: LabelCodes, paths: Sequence[Path]) -> None:
    """Warn of moved values, and of values of unstated meaning.

    Args:
        folder: The tile set.
        codes: Values in tiles of the rasters' values.
        paths: The rasters.
    """
    for path in paths:
        with raster.open_raster(path) as source:
            known = codes.known(path, source)
        raster.warn_of_unstated(known)
    if codes.moved:
        line = Coded(codes.scheme, codes.moved).line()
        logger.warning(
            "%s: classes whose value tiles can't hold have another value there: %s.", folder, line
        )


def _as_in(scheme: ClassScheme, base: ClassScheme) -> Coded:
    """Classes with the values that their names have in a set."""
    places = {name: value for value, name in base.mapping.items()}
    moved = {}
    filed = recoding.as_filed(scheme)
    for c in filed.scheme:
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
    return Coded(base, moved, filed.none)


def _leaves_out(codes: LabelCodes, images: Sequence[Path], labels: Sequence[Path]) -> bool:
    """Whether a valid pixel of an image has no label."""
    return any(
        _has_bare_pixel(codes, image, path) for image, path in zip(images, labels, strict=True)
    )


def _has_bare_pixel(codes: LabelCodes, image: Path, path: Path) -> bool:
    @contextmanager
    def opened() -> Iterator[tuple[DatasetReader, LabelReader]]:
        with raster.open_raster(image) as source, LabelReader.opened(codes, path) as labels:
            yield source, labels

    def is_bare(tools: tuple[DatasetReader, LabelReader], block: blockwise.Block) -> bool:
        source, labels = tools
        bare = labels.read(block.window) < 0
        return bool(bare.any() and (bare & raster.read(source, block.window)[1]).any())

    about = raster.info(path)
    windows = list(raster.blocks(about.height, about.width))
    with blockwise.results(windows, "checking labels", opened, is_bare) as results:
        return any(bare for _, bare in results)
