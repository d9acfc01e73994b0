"""The images of one or more dates -> one composite, its bands named by date."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import images as imagery
from landshift import raster
from landshift.classes import legend
from landshift.errors import (
    ParameterError,
    RasterError,
)
from landshift.files import dates as days
from landshift.files import provenance
from landshift.grid import Window
from landshift.images import Image, Plan
from landshift.images.windows import cache_bytes, each_window, window_tasks
from landshift.prepare.checks import CompositeChecks, describe, share_of_pixels
from landshift.prepare.target import (
    band_names,
    date_names,
    match_bands,
    nodata_of,
    pixel_type,
    target_grid,
    warn_of_clashes,
)

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)


DATES_TAG = "LANDSHIFT_DATES"
"""Name of the raster tag that holds the day, year or period of each date as JSON."""


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
    own = band_names(plans, called, bands)
    imagery.warn_of_scaling(plans, called)
    box = target_grid(
        plans, like=like, crs=crs, resolution=resolution, extent=extent, bounds=bounds
    )
    kind = np.dtype(pixel_type(plans, dtype))
    blank, invented = nodata_of(plans, box, kind, nodata)
    check = CompositeChecks(plans, called, own, box)
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
    tasks = window_tasks(plans, box, kind)
    total = sum(len(t) for t in tasks)
    clashes = 0
    done = 0
    with raster.create(
        Path(out), box, count=len(own), dtype=str(kind), nodata=blank, bands=own,
        classes=_classes(plans), scheme=scheme, colours=known.colours, cache=cache_bytes(plans),
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

        each_window(plans, box, tasks, write)
        found = {**check.found(), "shifts": shifts}
        if not found["valid"]["all"]:
            raise RasterError(
                f"A composite must have a pixel that is valid on every date, got none of "
                f"{box.width} x {box.height} (valid: {share_of_pixels(found)}); check the nodata "
                "values and quality rules."
            )
        target.update_tags(**provenance.as_tag({**record, "checks": found}), **_days(plans, called))
        _keep_scaling(target, plans)
    warn_of_clashes(clashes, blank, invented=invented)
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
