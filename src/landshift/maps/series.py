"""Class maps of many dates: what changed for good, when, and what only flickered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from landshift import raster
from landshift.classes import ClassScheme, Colour, class_options, legend, legend_writers
from landshift.errors import ParameterError
from landshift.files import options, provenance, whole
from landshift.files.rows import Rows, write_csv
from landshift.maps import intensity, trajectories
from landshift.maps.series_cleaning import Cleaning, Consistency, write_matrix
from landshift.maps.series_folder import SERIES, Series
from landshift.maps.series_stack import Block, Distinct, MapSeries
from landshift.maps.transitions import TransitionTable

__all__ = ["Consistency", "LastingChange", "SeriesTables", "series"]

COMMONEST = 200
"""Trajectories that have a code of their own; the others share one."""

Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class LastingChange:
    """What counts as a lasting change."""

    sustained_dates: int = 2
    """Dates in a row that must have the class before, and the class after."""
    sustained_years: float = 0.0
    """Years that must lie between the first and the last of these dates."""
    bridge: bool = True
    """Skip dates without a class; else pixels with such a date are 'not known'."""
    forbid: class_options.TransitionsLike = ()
    """A change that can't be, as water->forest or 'urban->*'; such a date keeps the class before.
    Can be repeated."""
    least: Sequence[str] = ()
    """Dates in a row that a class lasts at least, as forest=3; shorter runs between others get the
    class before them. Can be repeated."""


@dataclass(frozen=True, repr=False)
class SeriesTables(Rows):
    """What a series of class maps says; a row for each kind of pixel.

    Attributes:
        folder: The folder that was written.
        scheme: The classes.
        periods: Name of each period between two dates.
        transitions: ``(period, from, to)``: hectares, or pixels without a CRS.
        lasting: The same of lasting changes, in the period in which each ends.
        summary: Pixels and hectares of each kind.
        mean_log_likelihood: Of a trajectory after each round of the Markov model's estimate.
        files: Files written.
    """

    folder: Path
    scheme: ClassScheme
    periods: tuple[str, ...]
    transitions: NDArray[np.float64]
    lasting: NDArray[np.float64]
    summary: dict[str, tuple[int, float]]
    mean_log_likelihood: tuple[float, ...]
    files: tuple[Path, ...]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each kind of pixel."""
        total = max(self.summary["with a class"][0], 1)
        return [
            {"pixels that": name, "pixels": pixels, "hectares": round(hectares, 4),
             "percent": round(100 * pixels / total, 4)}
            for name, (pixels, hectares) in self.summary.items()
        ]  # fmt: skip


def series(
    maps: Sequence[options.FilePath],
    out: options.OutFile,
    *,
    classes: class_options.ClassesLike = None,
    recode: class_options.RecodingLike = None,
    dates: str | Sequence[str] | None = None,
    nodata: float | None = None,
    lasting: Annotated[LastingChange, options.GROUP] = LastingChange(),
    consistency: Annotated[Consistency, options.GROUP] = Consistency(),  # noqa: B008
    overwrite: options.Flag = False,
) -> SeriesTables:
    """Find what changed for good in class maps of many dates, when, and what only flickered.

    A change is lasting where enough dates have the class before, and enough the class after; what
    lies between may flicker. Writes rasters and tables into a folder, see docs/series.md. The maps
    are read by blocks, so that memory doesn't depend on their size.

    Args:
        maps: Class maps of three or more dates on one grid, in order of time.
        out: The folder to write.
        classes: The classes of all maps, as for label. Left out: names and colours that the maps
            carry, else the values found.
        recode: What each value of every map becomes, as for label.
        dates: Dates of the maps, with commas: YYYY, YYYY-MM, YYYY-MM-DD or FROM/TO, or '-' as the
            file states. Left out: as the files state, in tags or names.
        nodata: A value without a class in every map, in addition to those that the files state.
        overwrite: Replace the folder if it is there.

    Raises:
        ParameterError: Fewer than three maps; an option out of its range; a Markov model that is
            told nothing of the maps' errors.
        DateError: Dates that are missing, equal or out of order.
        GridError: Maps on different grids.
        ClassError: Legends that disagree, an unknown class, or no class in any map.
        RasterError: A map can't be read.
        OutputError: The folder can't be written.
    """
    folder = Path(out)
    whole.check_new_folder(folder, overwrite=overwrite)
    paths = [Path(path) for path in maps]
    inputs = [*paths, *consistency.files]
    for path in inputs:
        if folder.exists() and path.resolve().is_relative_to(folder.resolve()):
            raise ParameterError(f"The folder must not hold an input, got {path}; give another.")
    stated = [t.strip() for t in dates.split(",")] if isinstance(dates, str) else dates
    stack = MapSeries(paths, stated, class_options.classes_of(classes), recode, nodata)
    rules = _rules(stack, lasting)
    cleaning = Cleaning(stack, consistency, rules)
    job = _Job(stack, cleaning, trajectories.Lasting(
        lasting.sustained_dates, lasting.sustained_years, lasting.bridge
    ))  # fmt: skip
    record = provenance.record(
        "series", inputs,
        {**_stated(lasting), **_stated(consistency), "nodata": nodata, "dates": list(stack.names)},
        beside=folder / SERIES,
    )  # fmt: skip
    with whole.whole_folder(folder, replace=overwrite) as part:
        job.write(part, record)
        job.write_trajectories(part, record)
        job.write_tables(part)
        about = job.about(record, beside=folder)
        about.write(part)
        files = sorted(p.relative_to(part) for p in part.rglob("*") if p.is_file())
    return SeriesTables(
        folder, stack.scheme, stack.periods, job.hectares, job.lasting_hectares, job.summary,
        tuple(cleaning.history), tuple(folder / file for file in files),
    )  # fmt: skip


def _stated(group: Any) -> dict[str, Any]:
    return dict(json.loads(json.dumps(asdict(group), default=str)))


def _rules(stack: MapSeries, lasting: LastingChange) -> trajectories.Rules:
    """What trajectories can't be."""
    if lasting.sustained_dates < 1 or lasting.sustained_years < 0:
        raise ParameterError(
            "`sustained_dates` must be 1 or more, and `sustained_years` 0 or more, got "
            f"{lasting.sustained_dates} and {lasting.sustained_years:g}."
        )
    forbidden = np.zeros((stack.classes,) * 2, np.bool_)
    for each in lasting.forbid:
        pair = class_options.parse_transition(each) if isinstance(each, str) else each
        forbidden[np.ix_(*(stack.find(part) for part in pair))] = True
    np.fill_diagonal(forbidden, False)
    least = np.ones(stack.classes, np.int64)
    for text in lasting.least:
        name, _, number = text.rpartition("=")
        if not name or not number.strip().isdecimal() or int(number) < 1:
            raise ParameterError(
                f"`least` must be written CLASS=DATES, got {text!r}; an example is forest=3."
            )
        least[stack.find(name.strip())] = int(number)
    return trajectories.Rules(forbidden, least)


class _Job:
    """What is written and counted of a series."""

    def __init__(self, stack: MapSeries, cleaning: Cleaning, lasting: trajectories.Lasting) -> None:
        self._stack, self._cleaning, self._lasting = stack, cleaning, lasting
        n = stack.classes
        self._changed_maps = cleaning.changes_maps or not stack.as_they_are
        periods = len(stack.periods)
        self.pixels = np.zeros((periods, n + 1, n + 1), np.int64)
        self._hectares = np.zeros((periods, n + 1, n + 1))
        self.lasting_pixels = np.zeros((periods, n, n), np.int64)
        self.lasting_hectares = np.zeros((periods, n, n))
        self.summary: dict[str, tuple[int, float]] = {}
        self._distinct = Distinct(n)

    @property
    def hectares(self) -> NDArray[np.float64]:
        """``(period, from, to)``."""
        n = self._stack.classes
        return self._hectares[:, :n, :n]

    def _schemes(self) -> dict[str, tuple[ClassScheme | None, str, int | None]]:
        """Classes, pixel type and nodata of each raster."""
        stack = self._stack
        steps = np.linspace(0, 1, len(stack.periods))
        ramp = [_between(*_RAMP, float(s)) for s in steps]
        n = len(stack.names)
        names = dict(enumerate(stack.periods, 1)) | {n: NO_LASTING, n + 1: NOT_KNOWN}
        colours = dict(enumerate(ramp, 1)) | {n: (225, 225, 225), n + 1: (150, 150, 150)}
        flicker = ClassScheme.from_mapping(
            {1: "steady", 2: "flicker"}, {1: (225, 225, 225), 2: (230, 85, 13)}
        )
        return {
            "period": (ClassScheme.from_mapping(names, colours), "uint8", 0),
            "before": (stack.scheme, "uint8", 0),
            "after": (stack.scheme, "uint8", 0),
            "flicker": (flicker, "uint8", 0),
            "year": (None, "uint16", 0),
            "start": (None, "uint16", 0),
            "changes": (None, "uint8", 255),
            "lasting": (None, "uint8", 255),
        }

    def write(self, folder: Path, record: dict[str, Any]) -> None:
        """Write all rasters but that of trajectories, and count."""
        stack = self._stack
        schemes = self._schemes()
        if self._cleaning.model is not None:
            schemes[SURE] = (None, "uint8", 255)
        if self._changed_maps:
            (folder / "maps").mkdir()
            schemes |= {f"maps/{name}": (stack.scheme, "uint8", 0) for name in _files(stack)}
        tag = self._tags(record)
        dated = {
            f"maps/{name}": {**provenance.as_tag(record), "ACQUISITION_DATE": str(date)}
            for name, date in zip(_files(stack), stack.dates, strict=True)
        }
        with ExitStack() as opened:
            targets = {
                name: opened.enter_context(
                    raster.create(
                        folder / f"{name}.tif", stack.box, dtype=dtype, nodata=nodata,
                        count=len(stack.names) if name == SURE else 1,
                        bands=stack.names if name == SURE else [name.rpartition("/")[2]],
                        scheme=scheme, tags=dated.get(name, tag),
                        classes=scheme is None and name != SURE,
                    )
                )
                for name, (scheme, dtype, nodata) in schemes.items()
            }  # fmt: skip

            def work(block: Block) -> tuple[Block, Codes, trajectories.Changes]:
                cleaned = self._cleaning(block)
                block, rows = cleaned.block, cleaned.rows
                changes = trajectories.changes_of(rows, stack.classes, stack.years, self._lasting)
                for name, values in self._values(rows, changes).items():
                    raster.write(targets[name], values[block.number][np.newaxis], block.window)
                if cleaned.sure is not None:
                    raster.write(targets[SURE], cleaned.sure, block.window)
                return replace(block, shares=None), rows, changes

            with stack.blocks("series", work) as results:
                for block, rows, changes in results:
                    self._count(block, rows, changes)
        self._distinct.merge()

    def _tags(self, record: dict[str, Any]) -> dict[str, str]:
        """Tags of a raster: what made it, and its time."""
        first, last = self._stack.dates[0].first, self._stack.dates[-1].last
        ends = {"start": first, "end": last}
        time = {f"NC_GLOBAL#time_coverage_{name}": str(day) for name, day in ends.items()}
        return {**provenance.as_tag(record), **time}

    def _values(self, rows: Codes, changes: trajectories.Changes) -> dict[str, NDArray[Any]]:
        """What each raster holds for each trajectory."""
        stack, n = self._stack, len(self._stack.names)
        classed = (rows != stack.classes).any(axis=1)
        change = changes.lasting > 0
        period = np.where(change, changes.end, np.where(changes.known, n, n + 1))
        years = np.array([date.last.year for date in stack.dates])
        of_class = np.append(np.array(stack.scheme.values, np.uint8), 0)
        flicker = np.where(changes.flicker, 2, 1)
        values: dict[str, NDArray[Any]] = {
            "period": np.where(classed, period, 0).astype(np.uint8),
            "before": of_class[changes.before],
            "after": of_class[changes.after],
            "flicker": np.where(classed, flicker, 0).astype(np.uint8),
            "year": np.where(change, years[changes.end], 0).astype(np.uint16),
            "start": np.where(change, years[changes.start], 0).astype(np.uint16),
            "changes": np.where(classed, changes.changes, 255).astype(np.uint8),
            "lasting": np.where(classed, changes.lasting, 255).astype(np.uint8),
        }
        if self._changed_maps:
            for k, name in enumerate(_files(stack)):
                values[f"maps/{name}"] = of_class[rows[:, k]]
        return values

    def _count(self, block: Block, rows: Codes, changes: trajectories.Changes) -> None:
        """Add a block's pixels and hectares."""
        n, pixels, hectares = self._stack.classes, block.pixels, block.hectares
        size = (n + 1) ** 2
        for k in range(len(self._stack.periods)):
            pair = rows[:, k].astype(np.int64) * (n + 1) + rows[:, k + 1]
            shape = (n + 1, n + 1)
            self.pixels[k] += _sums(pair, pixels, size).reshape(shape)
            self._hectares[k] += np.bincount(pair, hectares, size).reshape(shape)
        last = np.flatnonzero(changes.lasting > 0)
        place = (changes.end[last] - 1, changes.before[last], changes.after[last])
        np.add.at(self.lasting_pixels, place, pixels[last])
        np.add.at(self.lasting_hectares, place, hectares[last])
        classed = (rows != n).any(axis=1)
        ends = classed & (rows[:, 0] != n) & (rows[:, -1] != n)
        for name, where in {
            "with a class": classed,
            "never changed": classed & (changes.changes == 0),
            "differ between the first and the last date": ends & (rows[:, 0] != rows[:, -1]),
            "with a lasting change": classed & (changes.lasting > 0),
            "with several lasting changes": classed & (changes.lasting > 1),
            "flicker": classed & changes.flicker,
            "not known": classed & (changes.lasting == 0) & ~changes.known,
        }.items():
            before = self.summary.get(name, (0, 0.0))
            self.summary[name] = (
                before[0] + int(pixels[where].sum()), before[1] + float(hectares[where].sum())
            )  # fmt: skip
        self._distinct.add(rows, pixels, hectares)

    def write_trajectories(self, folder: Path, record: dict[str, Any]) -> None:
        """Write the raster of the commonest trajectories; a second pass over the maps."""
        stack, known = self._stack, self._distinct
        classed = np.flatnonzero((known.rows != stack.classes).any(axis=1))
        order = classed[np.argsort(-known.pixels[classed], kind="stable")][:COMMONEST]
        self._common = order
        rows = known.rows[order]
        keys = trajectories.keys_of(rows.T, stack.classes)
        sorting = np.argsort(keys)
        names = {k: self._in_words(row) for k, row in enumerate(rows, 1)}
        colours = {k: self._colour(row) for k, row in enumerate(rows, 1)}
        other = len(order) + 1
        if len(classed) > len(order):
            names[other], colours[other] = "other", (255, 255, 255)
        scheme = ClassScheme.from_mapping(names, colours)
        path, maps = folder / "trajectory.tif", stack
        if self._changed_maps:  # as they were written, rather than made consistent once more
            paths = [folder / "maps" / f"{name}.tif" for name in _files(stack)]
            maps = MapSeries(paths, stack.names, stack.scheme, None, None)
        with raster.create(
            path, stack.box, count=1, dtype="uint8", nodata=0, bands=["trajectory"],
            scheme=scheme, tags=self._tags(record),
        ) as target:  # fmt: skip

            def work(block: Block) -> None:
                of_rows = trajectories.keys_of(block.mapped.T, stack.classes)
                place = np.searchsorted(keys[sorting], of_rows)
                at = sorting[np.minimum(place, len(sorting) - 1)]
                codes = np.where(keys[at] == of_rows, at + 1, other)
                codes[(block.mapped == stack.classes).all(axis=1)] = 0
                raster.write(target, codes.astype(np.uint8)[block.number][np.newaxis], block.window)

            with maps.blocks("trajectories", work) as results:
                for _ in results:
                    pass
        counts = [int(n) for n in known.pixels[order]]
        rest = int(known.pixels[classed].sum()) - sum(counts)
        column = legend.AttributeColumn("Count", [*counts, rest][: len(scheme)])
        legend_writers.write_attributes(path, scheme, [column])

    def _in_words(self, row: Codes) -> str:
        """A trajectory as '2001 forest > 2004 pasture': when each class begins."""
        names = (*self._stack.scheme.names, "none")
        starts = [k for k in range(len(row)) if k == 0 or row[k] != row[k - 1]]
        return " > ".join(f"{self._stack.names[k]} {names[row[k]]}" for k in starts)

    def _colour(self, row: Codes) -> tuple[int, int, int]:
        """The colour of its last class, paler the later that came."""
        classed = row[row != self._stack.classes]
        red, green, blue = list(self._stack.scheme)[int(classed[-1])].colour
        return (red, green, blue)

    def write_tables(self, folder: Path) -> None:
        """Write the tables."""
        stack, n = self._stack, self._stack.classes
        tables = folder / "tables"
        tables.mkdir()
        names = stack.scheme.names
        flows, lasting, classes = [], [], []
        for k, period in enumerate(stack.periods):
            flow = TransitionTable(stack.scheme, self.pixels[k, :n, :n], self.hectares[k], 0)
            flows += [{"period": period, **row} for row in flow.rows()]
            classes += [{"period": period, **row} for row in flow.class_rows()]
            both = TransitionTable(
                stack.scheme, self.lasting_pixels[k], self.lasting_hectares[k], 0
            )
            lasting += [{"period": period, **row} for row in both.rows()]
        at_dates = []
        for k, date in enumerate(stack.names):
            sums = [
                each[k].sum(axis=1)[:n] if k < len(stack.periods) else each[-1].sum(axis=0)[:n]
                for each in (self.pixels, self._hectares)
            ]
            at_dates += [
                {"date": date, "class": name, "pixels": int(p), "hectares": round(float(h), 4)}
                for name, p, h in zip(names, *sums, strict=True)
            ]
        lengths = np.diff(stack.years)
        known = self._distinct
        common = [
            {"code": code, "trajectory": self._in_words(known.rows[k]),
             "pixels": int(known.pixels[k]), "hectares": round(float(known.hectares[k]), 4)}
            for code, k in enumerate(self._common, 1)
        ]  # fmt: skip
        total = max(self.summary["with a class"][0], 1)
        summary = [
            {"pixels that": name, "pixels": p, "hectares": round(h, 4),
             "percent": round(100 * p / total, 4)}
            for name, (p, h) in self.summary.items()
        ]  # fmt: skip
        rates = intensity.rows(self.hectares, [float(v) for v in lengths], stack.periods, names)
        for name, rows in {
            "summary": summary, "classes": at_dates, "periods": classes, "transitions": flows,
            "lasting": lasting, "intensity": rates, "trajectories": common,
        }.items():  # fmt: skip
            columns = list(rows[0]) if rows else ["period", "from", "to", "pixels", "hectares"]
            write_csv(tables / f"{name}.csv", columns, rows, overwrite=False)
        if self._cleaning.model is not None:
            write_matrix(tables / "probabilities.csv", names, self._cleaning.model.transitions)

    def about(self, record: dict[str, Any], beside: Path) -> Series:
        """What `series.json` says."""
        stack = self._stack
        maps = (
            [f"maps/{name}.tif" for name in _files(stack)] if self._changed_maps
            else [str(path.absolute()) for path in stack.paths]
        )  # fmt: skip
        about = Series(beside, stack.dates, tuple(maps), stack.scheme, record)
        return replace(about, cleaned=self._changed_maps)


SURE = "confidence"
"""Raster of how sure the Markov model is, a band for each date, in per cent."""

NO_LASTING, NOT_KNOWN = "no lasting change", "not known"

_RAMP = ((255, 237, 160), (177, 0, 38))  # colours of the first and the last period


def _between(first: Colour, last: Colour, share: float) -> Colour:
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(first, last, strict=True))
    return red, green, blue


def _files(stack: MapSeries) -> list[str]:
    """Name of each date's map."""
    return [name.replace("/", "_") for name in stack.names]


def _sums(codes: NDArray[np.int64], weights: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Exact sums of whole numbers by code."""
    sums = np.zeros(size, np.int64)
    np.add.at(sums, codes, weights)
    return sums
