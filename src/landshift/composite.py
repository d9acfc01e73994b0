"""The images of two dates -> one composite, its bands named by date."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from landshift import grid, provenance, raster
from landshift.errors import BandError, ParameterError

log = logging.getLogger(__name__)

DATES = ("before", "after")


def composite(
    images: Sequence[Path],
    out: Path,
    *,
    bands: Sequence[str] | None = None,
    bounds: tuple[float, float, float, float] | None = None,
    on_block: Callable[[int, int], None] | None = None,
) -> Path:
    """Stack aligned images of two dates into one GeoTIFF.

    A pixel is valid only where it is valid in every band of every date; elsewhere all bands
    hold nodata.

    Args:
        images: Before and after; or one image, which is a composite of one date.
        out: The composite to write; its bands are described ``before:<band>``, ``after:<band>``
            (one date: ``<band>``).
        bands: Names of the bands of each date; None: those in the file, else b1, b2, ...
        bounds: Left, bottom, right, top in the images' CRS; None for all.
        on_block: Called with blocks done and blocks in all.

    Raises:
        ParameterError: Not one or two images.
        GridError: The images' grids or CRS differ.
        BandError: The dates have another number of bands, or ``bands`` another number of names.
        DateError: Before is later than after, where the files tell.
        RasterError: An image can't be read.
        OutputError: The composite can't be written.
    """
    paths = [Path(p) for p in images]
    if not 1 <= len(paths) <= len(DATES):
        raise ParameterError(f"A composite takes one or two images, got {len(paths)}.")
    infos = [raster.info(p) for p in paths]
    if len(infos) == len(DATES):
        before, after = infos
        grid.check_same(before.grid, after.grid, what="Images", names=DATES)
        raster.check_order(before, after)
    names = _band_names(infos, bands)
    dtype = str(np.result_type(*(i.dtype for i in infos)))
    nodata = _common_nodata(infos, dtype)
    height, width = infos[0].height, infos[0].width
    whole = grid.Window(0, 0, height, width)
    area = whole if bounds is None else grid.window_of_bounds(infos[0].grid, bounds)
    record = provenance.record("composite", paths, {"bounds": bounds, "bands": names})
    windows = list(raster.blocks(area.height, area.width))
    hidden = 0
    with ExitStack() as stack:
        sources = [stack.enter_context(raster.open_raster(p)) for p in paths]
        target = stack.enter_context(
            raster.create(
                Path(out), grid.window_geobox(infos[0].grid, area), count=len(names),
                dtype=dtype, nodata=nodata, bands=names, tags=provenance.as_tag(record),
            )
        )  # fmt: skip
        for done, window in enumerate(windows, start=1):
            at = window.shifted(area.row, area.column)
            parts, masks = zip(*(raster.read(s, at) for s in sources), strict=True)
            stacked = np.concatenate(parts).astype(dtype, copy=False)
            valid = np.logical_and.reduce(masks)
            if nodata is not None:
                hidden += int(((stacked == nodata).any(axis=0) & valid).sum())
                stacked[:, ~valid] = nodata
            raster.write(target, stacked, window)
            if on_block is not None:
                on_block(done, len(windows))
    if hidden:
        log.warning(
            "%d valid pixels hold %g, the composite's nodata value, on one date, and are nodata "
            "now; declare another nodata value in the images to keep them.", hidden, nodata,
        )  # fmt: skip
    return Path(out)


def _band_names(infos: Sequence[raster.RasterInfo], names: Sequence[str] | None) -> list[str]:
    counts = {len(i.bands) for i in infos}
    if len(counts) != 1:
        raise BandError(
            f"Both dates must have the same bands, got {len(infos[0].bands)} before and "
            f"{len(infos[-1].bands)} after; choose the common ones first (gdal_translate -b)."
        )
    count = counts.pop()
    if names is not None and len(names) != count:
        raise BandError(f"Band names must number {count}, got {len(names)}: {', '.join(names)}.")
    found = []
    for date, info in zip(DATES, infos, strict=False):
        own = (
            list(names)
            if names is not None
            else [b or f"b{k}" for k, b in enumerate(info.bands, start=1)]
        )
        found += own if len(infos) == 1 else [f"{date}:{b}" for b in own]
    return found


def _common_nodata(infos: Sequence[raster.RasterInfo], dtype: str) -> float | None:
    """The first nodata value that an image declares; else NaN for floats, 0 for masked integers."""
    declared = [i.nodata for i in infos if i.nodata is not None]
    if declared:
        return declared[0]
    if np.issubdtype(np.dtype(dtype), np.floating):
        return float("nan")
    return 0 if any(i.masked for i in infos) else None
