"""The class maps of a series on one grid, read block by block as trajectories."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.classes import IGNORE_INDEX, ClassScheme, class_options
from landshift.errors import ClassError, DateError, ParameterError
from landshift.files import dates as days
from landshift.grid import Window
from landshift.maps import trajectories
from landshift.raster import blockwise, recoding

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

Codes = NDArray[np.uint8]

MOST_DATES = 200
"""Largest number of dates: their periods are values of one byte."""

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
    """

    window: Window
    mapped: Codes
    number: NDArray[np.int64]
    pixels: NDArray[np.int64]
    hectares: NDArray[np.float64]


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

    @contextmanager
    def blocks(
        self, what: str, job: Callable[[Block], Any], every: int = 1
    ) -> Iterator[Iterator[Any]]:
        """Do a job for each block, on all cores.

        Args:
            what: What is done, for the progress.
            job: Called with the block; must not write to what others share.
            every: Take one of so many blocks.

        Yields:
            What the job returned for each block, in order.
        """
        windows = list(raster.blocks(self.box.height, self.box.width, _BLOCK))[::every]

        @contextmanager
        def opened() -> Iterator[list[DatasetReader]]:
            with ExitStack() as stack:
                yield [
                    stack.enter_context(raster.open_raster(path, cache=self._cache))
                    for path in self.paths
                ]

        def of_block(files: list[DatasetReader], block: blockwise.Block) -> Any:
            return job(self._read(files, block.window))

        with blockwise.results(windows, what, opened, of_block) as results:
            yield (result for _, result in results)

    def _read(self, files: Sequence[DatasetReader], window: Window) -> Block:
        """The trajectories of a window."""
        pixels = np.empty((len(files), window.height * window.width), np.uint8)
        for k, file in enumerate(files):
            values, classed = raster.read_classes(file, window, self._known[k])
            pixels[k] = self._tables[k].indices(values, classed, self.paths[k]).ravel()
        np.minimum(pixels, self.classes, out=pixels)  # IGNORE_INDEX becomes the number for none
        mapped, number = trajectories.distinct(pixels, self.classes)
        number = number.reshape(window.height, window.width)
        if self.ground is None:
            counts = grid.counts(number, len(mapped))
            return Block(window, mapped, number, counts, counts.astype(float))
        counts, hectares = self.ground.tally(window, number, len(mapped))
        return Block(window, mapped, number, counts, hectares)


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
