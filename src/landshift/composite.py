"""The images of one or more dates -> one composite, its bands named by date."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import dates as days
from landshift import grid, legend, parallel, provenance, raster, registration
from landshift import image as imagery
from landshift.errors import (
    BandError,
    GridError,
    ParameterError,
    RasterError,
    of_gdal,
    reason_of,
)
from landshift.grid import Window
from landshift.image import Image, Plan

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

log = logging.getLogger(__name__)

DATES = ("before", "after")

DATES_TAG = "LANDSHIFT_DATES"
"""Name of the raster tag that holds the day, year or period of each date as JSON."""

_WINDOW = 1024  # rows and columns that one thread reads at once
_WINDOW_BYTES = 64 << 20
_CACHE = 48 << 20  # bytes for GDAL's blocks where windows follow the blocks
_STRIP = 128  # rows of a window at least
_SAMPLED = 4_000_000  # pixels above which radiometry looks at every fourth row and column
_SHIFT_BANDS = 4


def composite(
    images: Sequence[Path | str | Image],
    out: Path,
    *,
    bands: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    like: Path | str | None = None,
    crs: str | None = None,
    resolution: float | tuple[float, float] | None = None,
    extent: str | None = None,
    bounds: tuple[float, float, float, float] | None = None,
    nodata: float | None = None,
    dtype: str | None = None,
    dates: Sequence[str] | None = None,
    overwrite: bool = False,
    on_block: Callable[[int, int], None] | None = None,
) -> Path:
    """Stack the images of one or more dates into one Cloud-Optimised GeoTIFF on one grid.

    A pixel is valid only where it is valid in every band of every date; elsewhere all bands
    hold nodata. Images whose pixels coincide with the grid's are copied, others resampled.
    Pixels are read and written by windows, so that memory is bounded by bands, cores and GDAL's
    cache and not by the raster. Shifts between the dates, radiometric differences and
    shares of valid pixels are measured on the way and written to the provenance; `checks_of`
    reads them.

    Args:
        images: One image a date, in order of time: a raster's path or URL, a STAC Item, or an
            `Image` of several files with what is known about them.
        out: The composite to write; its bands are described ``<date>:<band>`` (one date:
            ``<band>``).
        bands: Names for the bands of each date; None: those in the files, else b1, b2, ... A date
            whose own bands have these names gives them in this order; see `match_bands`.
        names: Names of the dates; None: before and after for two, else date1, date2, ...
        like: A raster whose grid the composite takes; None: the first file of the first date.
        crs: CRS of the composite, where it is not that of ``like``.
        resolution: Size of a pixel in CRS units, or its width and height; pixel edges then lie at
            whole multiples of it.
        extent: Where the ground comes from that ``bounds`` is cut from: what all dates cover
            (``intersection``) or any date (``union``). None: the whole of ``like`` if given,
            else the intersection.
        bounds: Left, bottom, right, top in the composite's CRS; None for all.
        nodata: Value that means 'no data' in the composite; None: the first that an image states,
            else NaN for floats and, where something may be missing, 0.
        dtype: Pixel type of the composite; None: the smallest that holds all images' types.
            Floats become integers by rounding, and values beyond its limits become those.
        dates: When each image was taken: YYYY, YYYY-MM, YYYY-MM-DD or FROM/TO, or '-' as its files
            state; None: all as their files state, in tags or names (`dates.of_name`).
        overwrite: Whether what is there already is replaced.
        on_block: Called with blocks done and blocks in all.

    Raises:
        ParameterError: No image, or options that contradict each other or are out of range.
        GridError: An image has no CRS or place, or the images share no ground.
        BandError: The dates have another number of bands, or ``bands`` another number of names.
        DateError: A date is later than the next one, where the files tell.
        RasterError: An image can't be read, or no pixel is valid on every date.
        OutputError: The composite can't be written.
    """
    given = [i if isinstance(i, Image) else Image(files=(i,)) for i in images]
    if not given:
        raise ParameterError("A composite takes at least one image, got none.")
    called = date_names(len(given), names)
    sources = [f for i in given for f in i.files]
    raster.check_new(out, inputs=[*sources, like], overwrite=overwrite)
    periods = days.stated(dates, len(given))
    plans = [
        plan if period is None else replace(plan, taken=period)
        for plan, period in zip(map(imagery.plan, given), periods, strict=True)
    ]
    for first, second in pairwise(plans):
        raster.check_order(*(replace(p.layers[0].info, taken=p.taken) for p in (first, second)))
    plans = match_bands(plans, called, bands)
    own = _band_names(plans, called, bands)
    imagery.warn_of_scaling(plans, called)
    box = target_grid(
        plans, like=like, crs=crs, resolution=resolution, extent=extent, bounds=bounds
    )
    kind = np.dtype(_dtype(plans, dtype))
    blank, invented = _nodata(plans, box, kind, nodata)
    check = _Checks(plans, called, own, box)
    shifts = check.shifts() if len(plans) > 1 else {}
    record = provenance.record(
        "composite",
        [Path(f) for i in given for f in i.files],
        {
            "images": {d: _as_parameters(i) for d, i in zip(called, given, strict=True)},
            "bands": list(own), "like": None if like is None else Path(like).name, "crs": crs,
            "resolution": resolution, "extent": extent, "bounds": bounds, "nodata": nodata,
            "dtype": dtype, "dates": None if dates is None else list(dates),
        },
    )  # fmt: skip
    known = _legend(plans, kind)
    scheme = None
    if known.names:
        colours = {v: c for v, c in known.colours.items() if v in known.names}
        scheme = legend.Legend(known.names, colours).scheme()
    lock = threading.Lock()
    tasks = _tasks(plans, box, kind)
    total = sum(len(t) for t in tasks)
    clashes = 0
    done = 0
    with raster.create(
        Path(out), box, count=len(own), dtype=str(kind), nodata=blank, bands=own,
        classes=_classes(plans), scheme=scheme, colours=known.colours, cache=_cache(plans),
    ) as target:  # fmt: skip

        def write(readers: Sequence[imagery.Reader], window: Window) -> None:
            nonlocal clashes, done
            parts, masks = zip(*(r.read(window) for r in readers), strict=True)
            valid = np.logical_and.reduce(masks)
            measured = check.measure(parts, masks, valid)
            stacked = _cast(np.concatenate(parts), kind)
            count = 0
            if blank is not None:
                clash = (stacked == blank) & valid
                if invented:  # as gdalwarp does: next to it, rather than lost
                    stacked[clash] = 1
                count = int(clash.any(axis=0).sum())
                stacked[:, ~valid] = blank
            with lock:
                raster.write(target, stacked, window)
                check.keep(window, measured)
                clashes += count
                done += 1
                if on_block is not None:
                    on_block(done, total)

        _each(plans, box, tasks, write)
        found = {**check.found(), "shifts": shifts}
        if not found["valid"]["all"]:
            raise RasterError(
                f"A composite must have a pixel that is valid on every date, got none of "
                f"{box.width} x {box.height} (valid: {_shares(found)}); check the nodata "
                "values and quality rules."
            )
        target.update_tags(**provenance.as_tag({**record, "checks": found}), **_days(plans, called))
        _keep_scaling(target, plans)
    _warn_of_clashes(clashes, blank, invented=invented)
    for line in describe(found):
        log.info(line)
    for date, shift in shifts.items():
        if shift is not None and shift["large"]:
            log.warning(
                "%s lies %.2f pixels right and %.2f down of %s (%.0f %% of %d blocks agree): "
                "edges will look like change; register the images first.", date,
                shift["columns"], shift["rows"], called[0], 100 * shift["agreement"],
                shift["blocks"],
            )  # fmt: skip
    return Path(out)


def checks_of(path: Path | str) -> dict[str, Any]:
    """What was measured when a composite was made.

    Returns:
        ``dates`` and ``bands``: their names, in order. ``valid``: share of valid pixels of each
        date, and of ``all`` together. ``shifts``: of each later date against the first, as
        `registration.Shift`, or None where it can't be told. ``radiometry``: of each later date
        and band ``before`` and ``after`` (means), ``difference`` (mean), ``deviation`` (of the
        difference) and ``correlation``.

    Raises:
        RasterError: The file can't be read, or is no composite of ours.
    """
    with raster.open_raster(path) as source:
        tag = source.tags().get(provenance.TAG, "{}")
    checks = json.loads(tag).get("checks")
    if not isinstance(checks, dict):
        raise RasterError(f"A composite must hold its checks, got none in {path}; make it again.")
    return checks


def describe(checks: dict[str, Any]) -> Iterator[str]:
    """What was measured, in lines to print."""
    yield f"valid pixels: {_shares(checks)}"
    for date in checks["dates"][1:]:
        shift = checks["shifts"][date]
        if shift is None:
            yield f"shift of {date}: can't be told, no block shows a clear one"
        else:
            sure = "" if shift["sure"] else ", not sure"
            yield (
                f"shift of {date}: x {shift['columns']:+.2f}, y {shift['rows']:+.2f} pixels "
                f"(± {shift['spread']:.2f}; {shift['agreement']:.0%} of {shift['blocks']} blocks "
                f"agree{sure})"
            )
    for date in checks["dates"][1:]:
        for band in checks["bands"] if date in checks["radiometry"] else ():
            row = checks["radiometry"][date][band]
            yield (
                f"{date}:{band} mean {row['after']:.6g}, difference {row['difference']:+.6g} "
                f"(± {row['deviation']:.6g}), correlation {row['correlation']:.3f}"
            )


def target_grid(
    plans: Sequence[Plan],
    *,
    like: Path | str | None = None,
    crs: str | None = None,
    resolution: float | tuple[float, float] | None = None,
    extent: str | None = None,
    bounds: tuple[float, float, float, float] | None = None,
) -> GeoBox:
    """The grid of a composite; see `composite`.

    Raises:
        ParameterError: ``like`` together with ``crs`` or ``resolution``, or one out of range.
        GridError: The images share no ground, or the bounds miss it.
    """
    if like is not None and (crs is not None or resolution is not None):
        raise ParameterError(
            "Give a raster that the grid is like, or CRS and resolution, not both."
        )
    if extent not in (None, "intersection", "union"):
        raise ParameterError(f"The extent must be intersection or union, got '{extent}'.")
    base = plans[0].grid
    if like is not None:
        base = raster.info(like).grid
        if base.crs is None:
            raise GridError(
                f"The raster that the grid is like must have a CRS, got none in {like}."
            )
    elif crs is not None or resolution is not None:
        base = _regular(base, crs, resolution)
    if like is not None and extent is None:
        whole = Window(0, 0, base.height, base.width)
    else:
        sides = np.array([p.extent(base) for p in plans])
        least, most = sides.min(axis=0), sides.max(axis=0)
        first, last = (least, most) if extent == "union" else (most, least)
        top, left = round(float(first[0])), round(float(first[1]))
        bottom, right = round(float(last[2])), round(float(last[3]))
        if bottom <= top or right <= left:
            raise GridError(
                "Images must share ground, got "
                + " and ".join(grid.describe(p.grid) for p in plans)
                + "; check their places and CRS."
            )
        whole = Window(top, left, bottom - top, right - left)
    box = grid.window_geobox(base, whole)
    return box if bounds is None else grid.window_geobox(box, grid.window_of_bounds(box, bounds))


def bands_of(plans: Sequence[Plan]) -> tuple[str, ...]:
    """Names that the bands of a composite of these images, once matched, get without options."""
    return tuple(_band_names(plans, date_names(len(plans)), None))


def match_bands(
    plans: Sequence[Plan], dates: Sequence[str], names: Sequence[str] | None = None
) -> list[Plan]:
    """The images with their bands in one order, by name where they carry names.

    A date whose bands carry the given names, or else those of the first date, all of them and no
    others, gives them in that order. Bands of other names stay as they are; where the same name
    then stands at different places of two dates, a line warns.

    Args:
        plans: The image of each date.
        dates: Names of the dates.
        names: What the bands are to be called; None: as the first date's.

    Raises:
        BandError: Another number of bands; a band would be called what another of its date is.
    """
    _check_counts(plans, dates, names)
    found: list[Plan] = []
    for plan, date in zip(plans, dates, strict=True):
        places = None if names is None else raster.match_names(names, plan.names)
        if places is None and names is not None and raster.crossed(names, plan.names):
            raise BandError(
                f"Bands must not be called what others of their date are, got {', '.join(names)} "
                f"for {', '.join(plan.names)} {date}; choose and order them first (--select)."
            )
        if places is None and found:
            places = raster.in_step(
                found[0].names, plan.names, what=f"{dates[0]} and {date}",
                instead="choose and order them by name (--select)",
            )  # fmt: skip
        found.append(plan if places is None else plan.take(places))
    return found


class _Checks:
    """Shift, radiometry and valid share, gathered window by window in any order."""

    def __init__(
        self, plans: Sequence[Plan], dates: Sequence[str], own: Sequence[str], box: GeoBox
    ) -> None:
        self._plans, self._dates, self._box = plans, dates, box
        self._count = len(plans[0].names)
        first = own[: self._count]
        self._bands = [n.removeprefix(f"{dates[0]}:") for n in first] if len(plans) > 1 else first
        self._step = 4 if box.height * box.width > _SAMPLED else 1
        self._kept: dict[tuple[int, int], tuple[list[int], NDArray[np.float64]]] = {}

    def shifts(self) -> dict[str, dict[str, Any] | None]:
        """The shift of each later date against the first."""
        windows = registration.block_windows(self._box.height, self._box.width)
        some = np.unique(np.linspace(0, self._count - 1, _SHIFT_BANDS).round().astype(int))
        told: dict[tuple[int, Window], tuple[float, float] | None] = {}

        def compare(readers: Sequence[imagery.Reader], window: Window) -> None:
            values, masks = zip(*(r.read(window) for r in readers), strict=True)
            first = values[0][some].astype(np.float64)
            for k in range(1, len(readers)):
                told[k, window] = registration.block_shift(
                    first, values[k][some].astype(np.float64), masks[0] & masks[k]
                )

        _each(self._plans, self._box, [[w] for w in windows], compare)
        found: dict[str, dict[str, Any] | None] = {}
        for k, date in enumerate(self._dates[1:], start=1):
            shift = registration.combine([told[k, w] for w in windows])
            found[date] = None if shift is None else {
                "columns": round(shift.columns, 3), "rows": round(shift.rows, 3),
                "spread": round(shift.spread, 3), "agreement": round(shift.agreement, 3),
                "blocks": shift.blocks, "tried": shift.tried, "sure": shift.sure,
                "large": shift.large,
            }  # fmt: skip
        return found

    def measure(
        self,
        parts: Sequence[NDArray[Any]],
        masks: Sequence[NDArray[np.bool_]],
        valid: NDArray[np.bool_],
    ) -> tuple[list[int], NDArray[np.float64]]:
        """Valid pixels of each date and of all; sums of each later date, band and moment."""
        counts = [int(m.sum()) for m in masks] + [int(valid.sum())]
        sums = np.zeros((len(parts) - 1, self._count, 7))
        if len(parts) > 1:
            every = (slice(None, None, self._step), slice(None, None, self._step))
            inside = valid[every]
            for band in range(self._count):
                first = parts[0][(band, *every)][inside].astype(np.float64)
                for k, part in enumerate(parts[1:]):
                    second = part[(band, *every)][inside].astype(np.float64)
                    sums[k, band] = (
                        first.size, first.sum(), second.sum(), first @ first, second @ second,
                        first @ second, ((second - first) ** 2).sum(),
                    )  # fmt: skip
        return counts, sums

    def keep(self, window: Window, measured: tuple[list[int], NDArray[np.float64]]) -> None:
        """Remember what one window gave."""
        self._kept[window.row, window.column] = measured

    def found(self) -> dict[str, Any]:
        """Shares and radiometry over all windows, the same whatever their order was."""
        windows = sorted(self._kept)
        pixels = self._box.height * self._box.width
        counts = np.sum([self._kept[w][0] for w in windows], axis=0)
        shares = [float(f"{c / pixels:.6g}") for c in counts]
        sums = np.zeros((len(self._plans) - 1, self._count, 7))
        for w in windows:
            sums += self._kept[w][1]
        return {
            "dates": list(self._dates),
            "bands": list(self._bands),
            "valid": dict(zip([*self._dates, "all"], shares, strict=True)),
            "radiometry": {
                date: dict(zip(self._bands, map(_radiometry, rows), strict=True))
                for date, rows in zip(self._dates[1:], sums, strict=True)
                if rows[0][0] > 1
            },
        }


def _radiometry(sums: NDArray[np.float64]) -> dict[str, float]:
    count, first, second, first2, second2, both, apart2 = (float(s) for s in sums)
    mean1, mean2 = first / count, second / count
    var1 = max(first2 / count - mean1**2, 0.0)
    var2 = max(second2 / count - mean2**2, 0.0)
    covariance = both / count - mean1 * mean2
    spread = np.sqrt(var1 * var2)
    values = {
        "before": mean1, "after": mean2, "difference": mean2 - mean1,
        "deviation": np.sqrt(max(apart2 / count - (mean2 - mean1) ** 2, 0.0)),
        "correlation": covariance / spread if spread > 0 else 0.0,
    }  # fmt: skip
    return {k: float(f"{v:.6g}") for k, v in values.items()}


def _each(
    plans: Sequence[Plan],
    box: GeoBox,
    tasks: Sequence[Sequence[Window]],
    job: Callable[[Sequence[imagery.Reader], Window], None],
) -> None:
    """Do a job at every window, on all cores; each thread has the files open for itself."""
    cache = _cache(plans)

    @contextmanager
    def opened() -> Iterator[list[imagery.Reader]]:
        with ExitStack() as stack:
            yield [stack.enter_context(imagery.opened(p, box, cache=cache)) for p in plans]

    def run(readers: list[imagery.Reader], task: Sequence[Window]) -> None:
        for window in task:
            job(readers, window)

    with parallel.in_order(tasks, opened, run) as done:
        for _ in done:
            pass


def _tasks(plans: Sequence[Plan], box: GeoBox, kind: np.dtype[Any]) -> list[list[Window]]:
    """Windows of the target, in runs that one thread goes through.

    Where a file is stored in rows, a run is a whole row of low windows: its strips are then
    decoded once, by one thread, and lie in GDAL's cache while the run goes on.
    """
    pixel = kind.itemsize * sum(len(p.names) for p in plans)
    side = _WINDOW
    while side > _STRIP and side * side * pixel > _WINDOW_BYTES:
        side //= 2
    if _stored_in_rows(plans):
        most = raster.GDAL_CACHE // 2 // (parallel.threads() * box.width * pixel)
        rows = min(max(most // _STRIP, 1) * _STRIP, side)
    else:
        rows = side
    runs = [
        [
            Window(row, column, min(rows, box.height - row), min(side, box.width - column))
            for column in range(0, box.width, side)
        ]
        for row in range(0, box.height, rows)
    ]
    return runs if rows != side else [[w] for run in runs for w in run]


def _stored_in_rows(plans: Sequence[Plan]) -> bool:
    """Whether a file wider than a window is stored in strips of whole rows."""
    layers = [layer for p in plans for layer in p.layers]
    return any(_WINDOW < layer.info.width <= layer.info.block[1] for layer in layers)


def _cache(plans: Sequence[Plan]) -> int:
    return raster.GDAL_CACHE if _stored_in_rows(plans) else _CACHE


def _regular(
    base: GeoBox, crs: str | None, resolution: float | tuple[float, float] | None
) -> GeoBox:
    """One pixel of a north-up grid whose edges lie at whole multiples of the pixel size."""
    from affine import Affine
    from rasterio.crs import CRS
    from rasterio.warp import calculate_default_transform

    target = base.crs if crs is None else imagery.crs_of(crs)
    if resolution is None:
        try:
            found, _, _ = calculate_default_transform(
                CRS.from_user_input(str(base.crs)), CRS.from_user_input(str(target)), base.width,
                base.height, *base.boundingbox.bbox,
            )  # fmt: skip
        except of_gdal() as error:
            raise GridError(
                f"The images must have a place on the CRS {crs}, got {grid.describe(base)} "
                f"({reason_of(error)}); choose another CRS."
            ) from error
        resolution = float(found.a)
    width, height = resolution if isinstance(resolution, tuple) else (resolution, resolution)
    if not (width > 0 and height > 0):
        raise ParameterError(f"The resolution must be above 0, got {resolution}.")
    return grid.geobox(1, 1, Affine(width, 0.0, 0.0, 0.0, -height, 0.0), target)


def date_names(count: int, names: Sequence[str] | None = None) -> list[str]:
    """Names of dates: before and after for two, else date1, date2, ..., or those given.

    Raises:
        ParameterError: Another number of names, two alike, or one that is empty or holds ':'.
    """
    if names is None:
        return list(DATES) if count == len(DATES) else [f"date{k}" for k in range(1, count + 1)]
    if len(names) != count or len(set(names)) != count or any(":" in n or not n for n in names):
        raise ParameterError(
            f"Dates must have {count} different names without ':', got {', '.join(names)}."
        )
    return list(names)


def _check_counts(plans: Sequence[Plan], dates: Sequence[str], names: Sequence[str] | None) -> None:
    count = len(plans[0].names)
    for date, plan in zip(dates[1:], plans[1:], strict=True):
        if len(plan.names) != count:
            raise BandError(
                f"Dates must have the same bands, got {count} {dates[0]} and {len(plan.names)} "
                f"{date} ({', '.join(plans[0].names)}; {', '.join(plan.names)}); choose the "
                "common ones (--select)."
            )
    if names is not None and len(names) != count:
        raise BandError(f"Band names must number {count}, got {len(names)}: {', '.join(names)}.")


def _band_names(
    plans: Sequence[Plan], dates: Sequence[str], names: Sequence[str] | None
) -> list[str]:
    found = []
    for date, plan in zip(dates, plans, strict=True):
        own = list(names) if names is not None else list(plan.names)
        found += own if len(plans) == 1 else [f"{date}:{b}" for b in own]
    return found


def _dtype(plans: Sequence[Plan], dtype: str | None) -> str:
    if dtype is None:
        return str(np.result_type(*(p.dtype for p in plans)))
    allowed = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
    if dtype not in allowed:
        raise ParameterError(f"The pixel type must be one of {', '.join(allowed)}, got '{dtype}'.")
    return dtype


def _nodata(
    plans: Sequence[Plan], box: GeoBox, kind: np.dtype[Any], wanted: float | None
) -> tuple[float | None, bool]:
    """The composite's nodata value, and whether valid pixels give way to it.

    They do where none states one, and values are interpolated anyway.
    """
    if wanted is not None:
        if not imagery.fits(wanted, str(kind)):
            raise ParameterError(f"The nodata value must fit {kind}, got {wanted:g}.")
        return wanted, False
    if np.issubdtype(kind, np.floating) and any(p.image.scaled for p in plans):
        return float("nan"), False  # a file's value may be a scaled one
    layers = [layer for p in plans for layer in p.layers]
    for layer in layers:
        if layer.invalid is not None and imagery.fits(layer.invalid, str(kind)):
            return layer.invalid, False
    if np.issubdtype(kind, np.floating):
        return float("nan"), False
    whole = all(
        not layer.info.masked and layer.invalid is None and _covers(layer.info.grid, box)
        for layer in layers
    )
    if whole and not any(p.quality for p in plans):
        return None, False
    return 0, any(imagery.reach(p, box) for p in plans)


def _covers(box: GeoBox, target: GeoBox) -> bool:
    at = grid.offset(box, target)
    return (
        at is not None
        and at[0] <= 0
        and at[1] <= 0
        and at[0] + box.height >= target.height
        and at[1] + box.width >= target.width
    )


def _cast(values: NDArray[Any], kind: np.dtype[Any]) -> NDArray[Any]:
    if values.dtype == kind or np.issubdtype(kind, np.floating):
        return values.astype(kind, copy=False)
    if np.issubdtype(values.dtype, np.floating):
        values = np.nan_to_num(np.rint(values), nan=0.0)
    if np.can_cast(values.dtype, kind):
        return values.astype(kind)
    limits = np.iinfo(kind)
    clipped: NDArray[Any] = np.clip(values, limits.min, limits.max).astype(kind)
    return clipped


def _classes(plans: Sequence[Plan]) -> list[bool]:
    """Of each band, whether values are classes: they are never mixed where resampled."""
    return [
        all(layer.resampling in ("nearest", "mode") for layer in group)
        for p in plans
        for group in p.stack
        for _ in group[0].numbers
    ]


def _legend(plans: Sequence[Plan], kind: np.dtype[Any]) -> legend.Legend:
    """Names and colours of the values of a composite that is one class map; else empty."""
    layers = [layer for p in plans for layer in p.layers]
    found = legend.Legend()
    if sum(len(p.names) for p in plans) == 1 and kind in (np.uint8, np.uint16):
        for layer in layers:
            if layer.classes:
                found = found.or_else(raster.legend_of(layer.path))
    return found


def _keep_scaling(target: Any, plans: Sequence[Plan]) -> None:
    """What a stored value means, where it isn't applied."""
    # a band whose files differ has no tag that is right for all of it
    tags = [next(iter(t)) if len(t) == 1 else (1.0, 0.0) for p in plans for t in p.scaling]
    if any(tag != (1, 0) for tag in tags):
        target.scales, target.offsets = zip(*tags, strict=True)


def _days(plans: Sequence[Plan], dates: Sequence[str]) -> dict[str, str]:
    """When each date was taken, where that is known."""
    taken = {d: str(p.taken) for d, p in zip(dates, plans, strict=True) if p.taken is not None}
    if not taken:
        return {}
    if len(plans) == 1:
        return {"ACQUISITION_DATE": taken[dates[0]]}
    return {DATES_TAG: json.dumps(taken)}


def _as_parameters(image: Image) -> dict[str, Any]:
    return {
        "files": [str(f) if "://" in str(f) else Path(f).name for f in image.files],
        "select": image.bands, "nodata": image.nodata,
        "quality": [f"{r.coding}:{r.band}={','.join(r.classes)}" for r in image.quality],
        "resampling": image.resampling, "assume_crs": image.assume_crs, "scaled": image.scaled,
    }  # fmt: skip


def _shares(checks: dict[str, Any]) -> str:
    return ", ".join(f"{d} {checks['valid'][d]:.1%}" for d in [*checks["dates"], "all"])


def _warn_of_clashes(count: int, nodata: float | None, *, invented: bool) -> None:
    if not count:
        return
    if invented:
        log.warning(
            "%d valid pixels held 0 in a band, the composite's nodata value, and hold 1 there now; "
            "choose another nodata value to keep them as they were (--out-nodata).", count,
        )  # fmt: skip
    else:
        log.warning(
            "%d valid pixels hold %g, the composite's nodata value, on one date, and are nodata "
            "now; declare another nodata value in the images, or for the composite "
            "(--out-nodata), to keep them.", count, nodata,
        )  # fmt: skip
