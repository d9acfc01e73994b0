"""The class maps of a series on one grid, read block by block as trajectories."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.classes import IGNORE_INDEX, ClassScheme, class_options
from landshift.errors import BandError, ClassError, DateError, ParameterError, RasterError, listed
from landshift.files import dates as days
from landshift.grid import Window
from landshift.maps import trajectories
from landshift.raster import blockwise, recoding

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from rasterio.io import DatasetReader

Codes = NDArray[np.uint8]

MOST_DATES = 200
"""Largest number of dates: their periods are values of one byte."""

_MOST = 2_000_000  # distinct trajectories that are counted at once
_BLOCK = 512


@dataclass(frozen=True)
class Block:
    """Distinct trajectories of a block.

    Attributes:
        window: The block.
        mapped: Trajectories ``(trajectory, date)`` as the maps have them.
        number: Row of each pixel's trajectory, ``(row, column)``.
        pixels: Pixels of each trajectory.
        hectares: Hectares of each; pixels where the grid has no CRS.
        shares: Probabilities of each class, ``(date, class, pixel)``, where they are read along;
            0 where a date has no class, or none are known.
    """

    window: Window
    mapped: Codes
    number: NDArray[np.int64]
    pixels: NDArray[np.int64]
    hectares: NDArray[np.float64]
    shares: NDArray[np.float32] | None = None


class MapSeries:
    """Class maps in order of time, open to be read.

    Args:
        paths: The maps.
        dates: Their dates as texts; None: as the files or their names state.
        classes: The classes, if they are given.
        recode: Recoding of every map's values.
        nodata: A value without a class, in addition to those that the files state.

    Raises:
        ParameterError: Fewer than three maps, or too many; a date that isn't one.
        DateError: A map without a date, or dates that aren't each later than the one before.
        GridError: Maps on different grids.
        ClassError: Legends that disagree; a map that holds no class.
        RasterError: A map can't be read.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        dates: Sequence[str] | None,
        classes: ClassScheme | None,
        recode: class_options.RecodingLike,
        nodata: float | None,
    ) -> None:
        if not 3 <= len(paths) <= MOST_DATES:
            raise ParameterError(
                f"A series must have 3 to {MOST_DATES} maps, got {len(paths)}; for two, see "
                "`landshift label`."
            )
        self.paths = list(paths)
        infos = [raster.info(path) for path in paths]
        stated = days.stated(dates, len(paths))
        self.dates = _in_order(
            [
                own if own is not None else info.taken
                for own, info in zip(stated, infos, strict=True)
            ],
            self.paths,
        )
        self.box = infos[0].grid
        for path, info in zip(paths[1:], infos[1:], strict=True):
            names = (f"in {paths[0]}", f"in {path}")
            grid.check_same(self.box, info.grid, what="Maps of a series", names=names)
        self._cache = max(raster.cache_for(info, _BLOCK) for info in infos)
        table = class_options.recoding_of(recode)
        by_name: list[dict[int, int]] = [{} for _ in paths]
        if classes is None and table is None:
            hint = "state what the values mean in all of them with `classes` or `recode`"
            one = recoding.united_files(self.paths, hint, nodata=nodata)
            if not one.values:
                raise ClassError(
                    f"Class maps must hold classes, got only nodata in {paths[0]} and the others."
                )
            classes, by_name = recoding.scheme_from(one.legend, one.values, []), [*one.recodings]
        elif classes is None:
            classes = recoding.scheme_from(raster.legend_of(paths[0]), [], [table or {}])
        coded = recoding.coded(classes)
        self.scheme = coded.scheme
        self.find = coded.find
        self._tables, self._known = [], []
        for path, names_of, info in zip(self.paths, by_name, infos, strict=True):
            targets = coded.targets(table, names_of)
            self._known.append(
                raster.map_classes(path, None if table is not None else classes, nodata)
                if not names_of
                else raster.map_classes(path, None, nodata)
            )
            numbers = {v: IGNORE_INDEX if k is None else k for v, k in targets.items()}
            self._tables.append(recoding.Table(numbers, np.dtype(info.dtype)))
        self._shares: list[_Shares] = []
        self.as_they_are = not coded.moved and table is None and not any(by_name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the dates."""
        return tuple(map(str, self.dates))

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.scheme)

    @property
    def years(self) -> tuple[float, ...]:
        """Years from the middle of the first date to that of each."""
        return tuple(self.dates[0].years_to(date) for date in self.dates)

    @property
    def periods(self) -> tuple[str, ...]:
        """Name of the period from each date to the next."""
        return tuple(f"{a} to {b}" for a, b in zip(self.names[:-1], self.names[1:], strict=True))

    @cached_property
    def ground(self) -> grid.Ground | None:
        """Areas of the pixels; None without a CRS."""
        return grid.known_ground(self.box)

    def read_along(self, paths: Sequence[Path]) -> None:
        """Read probabilities of each class with the maps.

        Args:
            paths: A raster for each map, with a band for each class: named as the classes, or in
                their order.

        Raises:
            ParameterError: Not one raster for each map.
            BandError: Not one band for each class.
            GridError: A raster on another grid.
            RasterError: A raster can't be read.
        """
        if len(paths) != len(self.paths):
            raise ParameterError(
                f"`probabilities` must be a raster for each of {len(self.paths)} maps, got "
                f"{len(paths)}."
            )
        self._shares = [_Shares.of(Path(path), self.box, self.scheme.names) for path in paths]

    @property
    def windows(self) -> list[Window]:
        """The blocks; smaller ones with probabilities, which take much memory."""
        size = _BLOCK // 2 if self._shares else _BLOCK
        return list(raster.blocks(self.box.height, self.box.width, size))

    @contextmanager
    def blocks(
        self, what: str, job: Callable[[Block], Any], chosen: Iterable[int] | None = None
    ) -> Iterator[Iterator[Any]]:
        """Do a job for each block, on all cores.

        Args:
            what: What is done, for the progress.
            job: Called with the block; must not write to what others share.
            chosen: Places of the blocks among all `windows`; None: all.

        Yields:
            What the job returned for each block, in order.
        """
        windows = self.windows
        if chosen is not None:
            windows = [windows[k] for k in chosen]

        @contextmanager
        def opened() -> Iterator[tuple[list[DatasetReader], list[DatasetReader]]]:
            with ExitStack() as stack:
                yield (
                    [stack.enter_context(self._opened(path)) for path in self.paths],
                    [stack.enter_context(self._opened(each.path)) for each in self._shares],
                )

        def of_block(
            files: tuple[list[DatasetReader], list[DatasetReader]], block: blockwise.Block
        ) -> Any:
            return job(self._read(*files, block.window))

        with blockwise.results(windows, what, opened, of_block) as results:
            yield (result for _, result in results)

    def _opened(self, path: Path) -> AbstractContextManager[DatasetReader]:
        return raster.open_raster(path, cache=self._cache)

    def _read(
        self, files: Sequence[DatasetReader], others: Sequence[DatasetReader], window: Window
    ) -> Block:
        """The trajectories of a window."""
        pixels = np.empty((len(files), window.height * window.width), np.uint8)
        for k, file in enumerate(files):
            values, classed = raster.read_classes(file, window, self._known[k])
            pixels[k] = self._tables[k].indices(values, classed, self.paths[k]).ravel()
        np.minimum(pixels, self.classes, out=pixels)  # IGNORE_INDEX becomes the number for none
        block = self.block(window, pixels)
        if not others:
            return block
        shares = np.empty((len(files), self.classes, pixels.shape[1]), np.float32)
        for k, (file, known) in enumerate(zip(others, self._shares, strict=True)):
            known.read(file, window, shares[k])
            shares[k][:, pixels[k] == self.classes] = 0
        return replace(block, shares=shares)

    def block(self, window: Window, pixels: Codes) -> Block:
        """The block of a window.

        Args:
            window: The window.
            pixels: Classes ``(date, pixel)``, `classes` for none.
        """
        mapped, number = trajectories.distinct(pixels, self.classes)
        number = number.reshape(window.height, window.width)
        if self.ground is None:
            counts = grid.counts(number, len(mapped))
            return Block(window, mapped, number, counts, counts.astype(float))
        counts, hectares = self.ground.tally(window, number, len(mapped))
        return Block(window, mapped, number, counts, hectares)


@dataclass(frozen=True)
class _Shares:
    """A raster of probabilities.

    Attributes:
        path: The file.
        bands: Number of each class's band.
        scaling: Scale and offset of each.
    """

    path: Path
    bands: tuple[int, ...]
    scaling: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, path: Path, box: GeoBox, names: Sequence[str]) -> _Shares:
        info = raster.info(path)
        where = ("of the maps", f"in {path}")
        grid.check_same(box, info.grid, what="Class maps and their probabilities", names=where)
        if len(info.numbers) != len(names):
            raise BandError(
                f"Probabilities must have a band for each of {len(names)} classes, got "
                f"{len(info.numbers)} in {path}."
            )
        places = raster.match_names(names, info.names)
        shared = {name.lower() for name in names} & {name.lower() for name in info.names}
        if places is None and shared:
            raise BandError(
                f"Bands of probabilities must be named as the classes, {listed(names)}, got "
                f"{listed(info.names)} in {path}; name them so."
            )
        bands = [info.numbers[k] for k in (range(len(names)) if places is None else places)]
        scaling = [info.scaling[number - 1] for number in bands]
        if np.dtype(info.dtype).kind in "iu":  # whole numbers are per cent if nothing is stated
            scaling = [(0.01, 0.0) if each == (1.0, 0.0) else each for each in scaling]
        return cls(path, tuple(bands), tuple(scaling))

    def read(self, file: DatasetReader, window: Window, out: NDArray[np.float32]) -> None:
        """Read a window's probabilities ``(class, pixel)``; 0 where none are known.

        Raises:
            RasterError: One below 0 or above 1.
        """
        values, mask = raster.read(file, window, self.bands)
        for each, band, (scale, offset) in zip(out, values, self.scaling, strict=True):
            np.multiply(np.where(mask, band, 0).ravel(), scale, out=each, casting="unsafe")
            each += offset
        out[:, ~mask.ravel()] = 0
        if not ((out >= 0) & (out <= 1.001)).all():
            raise RasterError(
                "Probabilities must lie between 0 and 1, or be whole per cents, got "
                f"{out.min():g} to {out.max():g} in {self.path}; state their scale or nodata "
                "(gdal_edit -scale, -a_nodata)."
            )


class Distinct:
    """Distinct trajectories of all blocks, with their pixels and hectares."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self.rows: Codes = np.zeros((0, 0), np.uint8)
        self.pixels: NDArray[np.int64] = np.zeros(0, np.int64)
        self.hectares: NDArray[np.float64] = np.zeros(0)
        self._waiting: list[tuple[Codes, NDArray[np.int64], NDArray[np.float64]]] = []

    def add(self, rows: Codes, pixels: NDArray[np.int64], hectares: NDArray[np.float64]) -> None:
        """Add the trajectories of a block."""
        there = pixels > 0
        self._waiting.append((rows[there], pixels[there], hectares[there]))
        if sum(len(w[0]) for w in self._waiting) > _MOST // 8:
            self.merge()

    def merge(self) -> None:
        """Join what was added; beyond the bound, the rarest are forgotten."""
        own = [(self.rows, self.pixels, self.hectares)] if len(self.rows) else []
        parts = [*own, *self._waiting]
        self._waiting = []
        if not parts:
            return
        rows, pixels, hectares = (np.concatenate(each) for each in zip(*parts, strict=True))
        keys = trajectories.keys_of(rows.T, self._classes)
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        inverse = inverse.reshape(-1)
        counts = np.zeros(len(first), np.int64)
        np.add.at(counts, inverse, pixels)
        self.rows, self.pixels = rows[first], counts
        self.hectares = np.bincount(inverse, hectares, len(first)).astype(np.float64)
        if len(counts) > _MOST:
            kept = np.sort(np.argsort(-counts, kind="stable")[: _MOST // 2])
            self.rows, self.pixels = self.rows[kept], self.pixels[kept]
            self.hectares = self.hectares[kept]


def _in_order(
    dates: Sequence[days.Period | None], paths: Sequence[Path]
) -> tuple[days.Period, ...]:
    """The dates, each later than the one before.

    Raises:
        DateError: One is missing, or two are out of order or equal.
    """
    known: list[days.Period] = []
    for date, path in zip(dates, paths, strict=True):
        if date is None:
            raise DateError(
                f"Each map of a series must have a date, got none in the tags or name of {path}; "
                "state them all (`dates`)."
            )
        if known and known[-1].last >= date.first:
            raise DateError(
                f"Maps of a series must be in order of time, got {date} ({path}) after "
                f"{known[-1]}; put them in order, or state their dates (`dates`)."
            )
        known.append(date)
    return tuple(known)
