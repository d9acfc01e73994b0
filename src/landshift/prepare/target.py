"""What a composite will be: its grid, bands, names and values."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from landshift import grid, raster
from landshift import images as imagery
from landshift.errors import (
    BandError,
    GridError,
    ParameterError,
    of_gdal,
    reason_of,
)
from landshift.grid import Window
from landshift.images import Plan

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

log = logging.getLogger(__name__)
DATES = ("before", "after")


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
    return tuple(band_names(plans, date_names(len(plans)), None))


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


def band_names(
    plans: Sequence[Plan], dates: Sequence[str], names: Sequence[str] | None
) -> list[str]:
    """Names of a composite's bands: `date:band` where there are several dates."""
    found = []
    for date, plan in zip(dates, plans, strict=True):
        own = list(names) if names is not None else list(plan.names)
        found += own if len(plans) == 1 else [f"{date}:{b}" for b in own]
    return found


def pixel_type(plans: Sequence[Plan], dtype: str | None) -> str:
    """The pixel type of a composite: as asked, else one that holds all images' values.

    Raises:
        ParameterError: The type is not one of a composite's.
    """
    if dtype is None:
        return str(np.result_type(*(p.dtype for p in plans)))
    allowed = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
    if dtype not in allowed:
        raise ParameterError(f"The pixel type must be one of {', '.join(allowed)}, got '{dtype}'.")
    return dtype


def nodata_of(
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


def warn_of_clashes(count: int, nodata: float | None, *, invented: bool) -> None:
    """Warn where valid pixels held the composite's nodata value."""
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
