"""Class maps of two dates read on one grid, as indices of one scheme's classes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import raster
from landshift.classes import IGNORE_INDEX, ClassScheme, class_options
from landshift.errors import ClassError
from landshift.files.options import check_choice
from landshift.grid import Window
from landshift.images import overlay
from landshift.maps.cleaning import majority
from landshift.raster import blockwise, recoding
from landshift.raster.blockwise import Block
from landshift.raster.recoding import Recoding

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

logger = logging.getLogger(__name__)

NONE = IGNORE_INDEX
"""Index of pixels without a class."""

_BLOCK = 512  # rows and columns that a thread works on; as large as the blocks of most files
_LARGEST_WHOLE = 2.0**53  # above it a float64 holds no class for sure


@dataclass(frozen=True)
class MapReading:
    """How class maps are read."""

    recode_before: class_options.RecodingLike = None
    """What each value of the first map becomes, a value or the name of a class, or nothing for no
    class; a file: CSV value,new value or class name; or the name of a known class map (worldcover,
    io, dynamic-world, mcd12q1, corine, nlcd), whose values become the common legend's. Without
    classes, new names get the lowest free values; the name of the common legend is landcover."""
    recode_after: class_options.RecodingLike = None
    """The same for the second map."""
    resampling: overlay.ClassResampling | None = None
    """How a map on another grid than the first is resampled; left out, the grids must be one."""
    nodata: float | None = None
    """A value without a class in every map, beside the files' own."""

    def __post_init__(self) -> None:
        if self.resampling is not None:
            check_choice("resampling", self.resampling, overlay.ClassResampling)


@dataclass(frozen=True)
class AlignedMap:
    """An open class map on the grid of the first.

    Attributes:
        layer: The map on that grid.
        known: Which of its values are classes.
    """

    layer: overlay.OverlayLayer
    known: raster.ClassValues

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Class values of a window, and where there are any.

        Raises:
            ClassError: Fractions, or numbers too large to be sure.
        """
        values, mask = self.layer.read(window)
        classes: NDArray[Any] = values[0]
        if np.issubdtype(classes.dtype, np.floating):
            classes = np.where(mask, classes, 0)
            if ((classes != np.round(classes)) | (np.abs(classes) > _LARGEST_WHOLE)).any():
                raise ClassError(
                    "A class map must hold whole numbers, got fractions or numbers above 2^53 in "
                    f"{self.layer.path}; give class maps, not images."
                )
            classes = classes.astype(np.int64)
        return classes, self.known.classed(classes, mask)


class _NewValues:
    """Class values of an open map that no window before had; for one thread.

    Args:
        aligned: The map.
    """

    def __init__(self, aligned: AlignedMap) -> None:
        self._map = aligned
        kind = aligned.layer.dtype
        # looking each value up is faster than finding the values anew in each window
        small = kind.kind in "iu" and kind.itemsize <= 2
        self._seen = np.zeros(1 << 8 * kind.itemsize, np.bool_) if small else None

    def read(self, window: Window) -> list[int]:
        """The new values of a window."""
        values, classed = self._map.read(window)
        if self._seen is not None and (self._seen.take(values) | ~classed).all():
            return []
        present: list[int] = raster.present(values, classed).tolist()
        if self._seen is not None:
            self._seen[present] = True  # negative values index from the end, as in numpy
        return present


class IndexedMap:
    """An open class map as indices of classes, smoothed on request."""

    def __init__(
        self, aligned: AlignedMap, targets: Mapping[int, int | None], smooth: int | None
    ) -> None:
        """Prepare to read.

        Args:
            aligned: The map.
            targets: Index of each value, None for no class.
            smooth: Side of the square whose commonest class each pixel gets, in pixels.
        """
        self._map = aligned
        self._smooth = smooth
        numbers = {v: NONE if index is None else index for v, index in targets.items()}
        self._table = recoding.Table(numbers, aligned.layer.dtype)

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Indices of a window's classes, `NONE` where there is no class.

        Raises:
            ClassError: A value without an index.
        """
        if self._smooth is None:
            return self.unsmoothed(window)
        halo = self._smooth // 2
        smoothed = majority(self.unsmoothed(window.grown(halo)), self._smooth, NONE)
        return smoothed[halo : halo + window.height, halo : halo + window.width]

    def unsmoothed(self, window: Window) -> NDArray[np.uint8]:
        """Indices as `read` gives them, without smoothing."""
        values, classed = self._map.read(window)
        return self._table.indices(values, classed, self._map.layer.path)


class MapStack:
    """The class maps of two dates on one grid.

    Attributes:
        earlier: The map of the first date, and those that confirm it.
        later: The map of the second date, and those that confirm it.
        recodings: Recoding of each map, of the first date's and then the second's; None for none.
    """

    def __init__(
        self,
        earlier: Sequence[Path],
        later: Sequence[Path],
        box: GeoBox,
        reading: MapReading,
        scheme: ClassScheme | None,
    ) -> None:
        """Decide which values of each map are classes.

        Args:
            earlier: Maps of the first date.
            later: Maps of the second date.
            box: The grid.
            reading: How the maps are read.
            scheme: The classes, if they are given.

        Raises:
            ClassError: A map that holds no classes; a recoding that can't be read.
            RasterError: A map can't be read.
        """
        self.earlier, self.later = list(earlier), list(later)
        before = class_options.recoding_of(reading.recode_before)
        after = class_options.recoding_of(reading.recode_after)
        self.recodings = [before] * len(self.earlier) + [after] * len(self.later)
        self._box, self._reading = box, reading
        self._known = [
            _class_values(path, scheme, each, reading.nodata)
            for path, each in zip(self.paths, self.recodings, strict=True)
        ]

    @property
    def paths(self) -> list[Path]:
        """All maps, those of the first date first."""
        return [*self.earlier, *self.later]

    @contextmanager
    def opened(self) -> Iterator[list[AlignedMap]]:
        """All maps, open on the grid; for one thread.

        Raises:
            GridError: The grids differ and no resampling is given; no overlap.
            RasterError: A map can't be read.
        """
        names = [*_roles("before", self.earlier), *_roles("after", self.later)]
        with ExitStack() as stack:
            layers = [
                stack.enter_context(
                    overlay.on_grid(
                        path, self._box, resampling=self._reading.resampling,
                        nodata=self._reading.nodata, names=("before", name),
                    )
                )
                for path, name in zip(self.paths, names, strict=True)
            ]  # fmt: skip
            yield [AlignedMap(*pair) for pair in zip(layers, self._known, strict=True)]

    @contextmanager
    def indexed(
        self, targets: Sequence[Mapping[int, int | None]], smooth: int | None
    ) -> Iterator[tuple[list[IndexedMap], list[IndexedMap]]]:
        """The maps of each date as indices of classes; for one thread.

        Args:
            targets: Index of each value of each map.
            smooth: See `IndexedMap`.
        """
        with self.opened() as aligned:
            maps = [IndexedMap(m, t, smooth) for m, t in zip(aligned, targets, strict=True)]
            yield maps[: len(self.earlier)], maps[len(self.earlier) :]

    def find_classes(self) -> tuple[ClassScheme, list[Mapping[int, int]]]:
        """The classes that the files, their pixels and the recodings state.

        Returns:
            The classes, and for each map what its values become where names decide.

        Raises:
            ClassError: No class anywhere, or maps that contradict each other.
        """
        plain = [k for k, each in enumerate(self.recodings) if each is None]
        values = self._values(plain)
        recodings = [each for each in self.recodings if each is not None]
        if not any(values.values()) and not any(recodings):
            where = " and ".join(dict.fromkeys(map(str, self.paths)))
            raise ClassError(f"Class maps must hold classes, got only nodata in {where}.")
        united = recoding.united(
            [
                recoding.MapLegend(
                    self.paths[k], raster.legend_of(self.paths[k]), frozenset(values[k])
                )
                for k in plain
            ],
            "state what the values mean in all of them with `classes`, or bring one to the other "
            "with `recode_before` or `recode_after`",
        )
        by_name: list[Mapping[int, int]] = [{} for _ in self.paths]
        for place, k in enumerate(plain):
            by_name[k] = united.recodings[place]
            line = united.line(place, self.paths[k])
            if line:
                logger.warning("%s", line)
        return recoding.scheme_from(united.legend, united.values, recodings), by_name

    def _values(self, numbers: Sequence[int]) -> dict[int, set[int]]:
        """The class values in the pixels of some of the maps."""
        values: dict[int, set[int]] = {k: set() for k in numbers}
        if not numbers:
            return values

        @contextmanager
        def opened() -> Iterator[dict[int, _NewValues]]:
            with self.opened() as maps:
                yield {k: _NewValues(maps[k]) for k in numbers}

        def new_values(maps: dict[int, _NewValues], block: Block) -> dict[int, list[int]]:
            return {k: each.read(block.window) for k, each in maps.items()}

        windows = blocks(self._box.height, self._box.width)
        with blockwise.results(windows, "finding classes", opened, new_values) as results:
            for _, new in results:
                for k, more in new.items():
                    values[k].update(more)
        return values


def blocks(height: int, width: int) -> list[Window]:
    """The windows that class maps are read in."""
    return list(raster.blocks(height, width, _BLOCK))


def _roles(first: str, paths: Sequence[Path]) -> list[str]:
    """How an error names the maps of a date."""
    return [first, *map(str, paths[1:])]


def _class_values(
    path: Path, scheme: ClassScheme | None, recode: Recoding | None, nodata: float | None
) -> raster.ClassValues:
    """Which values of a map are classes; a recoding or scheme lists them all."""
    names: Mapping[int, str] | None = None if scheme is None else scheme.mapping
    if recode is not None:
        names = {value: f"class {value}" for value in recode}
    with raster.open_raster(path) as source:
        raster.check_one_band(source)
        known = raster.class_values(source, names=names, nodata=nodata)
        if recode is not None:
            recoding.warn_of_nodata(recode, source.nodata, path)
    raster.warn_of_unstated(known)
    return known
