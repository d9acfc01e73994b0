"""What a composite will be: its grid, bands, names and values."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from landshift import grid, raster
from landshift import images as imagery
from landshift.errors import BandError, GridError, ParameterError, of_gdal, reason_of
from landshift.files.options import BandChoice, Bounds, check_choice
from landshift.grid import Window
from landshift.images import Plan
from landshift.prepare.image_reading import FileOrUrl, Numbers, Texts, numbers, split

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

log = logging.getLogger(__name__)

DATES = ("before", "after")
"""Names of two dates."""

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
"""Pixel types that a composite may have."""

Extent = Literal["intersection", "union"]


@dataclass(frozen=True)
class TargetGrid:
    """The grid of a composite."""

    like: FileOrUrl = None
    """Take the grid of this raster; left out: the first file's."""
    crs: str | None = None
    """CRS of the composite, as EPSG:32618; left out: that of the first file."""
    resolution: Numbers = None
    """Pixel size in CRS units: 10, or width,height. Pixel edges lie at whole multiples of it."""
    extent: Extent | None = None
    """Ground that the composite covers: what all dates cover, or what any date covers; left out:
    the whole of `like` if given, else the intersection."""
    bounds: Bounds | None = None
    """Left bottom right top, in the composite's CRS; the extent is cut to them."""

    def __post_init__(self) -> None:
        check_choice("extent", self.extent, Literal["intersection", "union", None])
        sizes = numbers("resolution", self.resolution)
        if sizes is not None and not (
            len(sizes) in (1, 2) and all(size is not None and size > 0 for size in sizes)
        ):
            raise ParameterError(
                f"`resolution` must be above 0, one size or width,height, got {self.resolution}."
            )
        if self.like is not None and (self.crs is not None or self.resolution is not None):
            raise ParameterError(
                "The grid must come from a raster (`like`), or from `crs` and `resolution`, got "
                "both; leave one out."
            )

    @property
    def pixel(self) -> tuple[float, float] | None:
        """Width and height of a pixel, if the options state them."""
        sizes = numbers("resolution", self.resolution)
        return None if sizes is None else (float(sizes[0] or 0), float(sizes[-1] or 0))


@dataclass(frozen=True)
class CompositeOutput:
    """What a composite's bands and dates are called, and how its values are stored."""

    bands: Texts = None
    """Names for a date's bands, as in 'red,green,blue'; a date whose own bands have these names
    gives them in this order, others get them one by one. Left out: the files' names, else b1,
    b2, ..."""
    names: Texts = None
    """Names of the dates, as in 'y1990,y2000,y2010'; left out: before and after for two, else
    date1, date2, ..."""
    dates: Texts = None
    """When each image was taken, as in '1990,2000-07,2010-07-15'; '-' as its files state; left
    out: as they state, in tags or names."""
    dtype: str | None = None
    """Pixel type of the composite; left out: the smallest that holds all images' types. Floats
    become integers by rounding, and values beyond its limits become those."""
    out_nodata: float | None = None
    """Value that means 'no data' in the composite; left out: the first that an image states, else
    NaN for floats and, where something may be missing, 0."""
    rgb: BandChoice = None
    """Bands of a date shown as red, green and blue by all that opens the composite: three names or
    numbers, as in nir,red,green or 4,3,2, or one shown in grey. Left out: by the bands' names, the
    images' own statements or wavelengths, else the first three."""

    def __post_init__(self) -> None:
        if self.dtype is not None and self.dtype not in DTYPES:
            raise ParameterError(
                f"`dtype` must be one of {', '.join(DTYPES)}, got '{self.dtype}'; choose one."
            )


@dataclass(frozen=True)
class Layout:
    """The file that a composite becomes.

    Attributes:
        box: Its grid.
        bands: Names of its bands, date after date.
        dtype: Its pixel type.
        nodata: Its nodata value, or None.
        displaced: Whether valid pixels of that value get another: where no image states one, and
            values are interpolated anyway.
    """

    box: GeoBox
    bands: tuple[str, ...]
    dtype: np.dtype[Any]
    nodata: float | None
    displaced: bool


def layout_of(
    plans: Sequence[Plan], dates: Sequence[str], target: TargetGrid, output: CompositeOutput
) -> Layout:
    """The file that a composite of these images becomes.

    Args:
        plans: The image of each date, its bands matched (`match_bands`).
        dates: Names of the dates.
        target: Options of the grid.
        output: Options of names and types.

    Raises:
        GridError: See `target_grid`.
        ParameterError: The nodata value doesn't fit the pixel type.
    """
    box = target_grid(plans, target)
    dtype = np.dtype(output.dtype or np.result_type(*(p.dtype for p in plans)))
    nodata, displaced = _choose_nodata(plans, box, dtype, output.out_nodata)
    bands = tuple(band_names(plans, dates, split(output.bands)))
    return Layout(box, bands, dtype, nodata, displaced)


def target_grid(plans: Sequence[Plan], target: TargetGrid) -> GeoBox:
    """The grid of a composite.

    Args:
        plans: The image of each date.
        target: Options of the grid.

    Raises:
        GridError: The images share no ground, or the bounds miss it; the raster that the grid is
            like has no CRS.
        ParameterError: PROJ doesn't know the CRS.
    """
    base = _base_grid(plans[0].grid, target)
    if target.like is not None and target.extent is None:
        whole = Window(0, 0, base.height, base.width)
    else:
        whole = _covered(plans, base, union=target.extent == "union")
    box = grid.window_geobox(base, whole)
    if target.bounds is None:
        return box
    return grid.window_geobox(box, grid.window_of_bounds(box, target.bounds))


def _base_grid(first: GeoBox, target: TargetGrid) -> GeoBox:
    """A grid that the composite's pixels lie on, whatever its extent."""
    if target.like is not None:
        base = raster.info(target.like).grid
        if base.crs is None:
            raise GridError(
                f"The raster that the grid is like must have a CRS, got none in {target.like}."
            )
        return base
    if target.crs is not None or target.pixel is not None:
        return _regular(first, target.crs, target.pixel)
    return first


def _covered(plans: Sequence[Plan], base: GeoBox, *, union: bool) -> Window:
    """The part of a grid that all dates cover, or any date."""
    sides = np.array([p.extent(base) for p in plans])
    least, most = sides.min(axis=0), sides.max(axis=0)
    first, last = (least, most) if union else (most, least)
    top, left = round(float(first[0])), round(float(first[1]))
    bottom, right = round(float(last[2])), round(float(last[3]))
    if bottom <= top or right <= left:
        raise GridError(
            "Images must share ground, got "
            + " and ".join(grid.describe(p.grid) for p in plans)
            + "; check their places and CRS."
        )
    return Window(top, left, bottom - top, right - left)


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
        names: Names for the bands; None: the first date's.

    Raises:
        BandError: Another number of bands; a band would get the name of another of its date.
    """
    _check_counts(plans, dates, names)
    matched: list[Plan] = []
    for plan, date in zip(plans, dates, strict=True):
        places = None if names is None else raster.match_names(names, plan.names)
        if places is None and names is not None and raster.crossed(names, plan.names):
            raise BandError(
                f"Bands must not get the names of others of their date, got {', '.join(names)} "
                f"for {', '.join(plan.names)} {date}; choose and order them first (`select`)."
            )
        if places is None and matched:
            places = raster.in_step(
                matched[0].names, plan.names, what=f"{dates[0]} and {date}",
                instead="choose and order them by name (`select`)",
            )  # fmt: skip
        matched.append(plan if places is None else plan.take(places))
    return matched


def _regular(base: GeoBox, crs: str | None, pixel: tuple[float, float] | None) -> GeoBox:
    """One pixel of a north-up grid whose edges lie at whole multiples of the pixel size."""
    from affine import Affine
    from rasterio.crs import CRS
    from rasterio.warp import calculate_default_transform

    target = base.crs if crs is None else imagery.crs_of(crs)
    if pixel is None:
        try:
            transform, _, _ = calculate_default_transform(
                CRS.from_user_input(str(base.crs)), CRS.from_user_input(str(target)), base.width,
                base.height, *base.boundingbox.bbox,
            )  # fmt: skip
        except of_gdal() as error:
            raise GridError(
                f"The images must have a place on the CRS {crs}, got {grid.describe(base)} "
                f"({reason_of(error)}); choose another CRS."
            ) from error
        pixel = (float(transform.a), float(transform.a))
    width, height = pixel
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
            f"`names` must hold {count} different names of dates without ':', got "
            f"{', '.join(names)}."
        )
    return list(names)


def _check_counts(plans: Sequence[Plan], dates: Sequence[str], names: Sequence[str] | None) -> None:
    count = len(plans[0].names)
    for date, plan in zip(dates[1:], plans[1:], strict=True):
        if len(plan.names) != count:
            raise BandError(
                f"Dates must have the same bands, got {count} {dates[0]} and {len(plan.names)} "
                f"{date} ({', '.join(plans[0].names)}; {', '.join(plan.names)}); choose the "
                "common ones (`select`)."
            )
    if names is not None and len(names) != count:
        raise BandError(f"Band names must number {count}, got {len(names)}: {', '.join(names)}.")


def band_names(
    plans: Sequence[Plan], dates: Sequence[str], names: Sequence[str] | None
) -> list[str]:
    """Names of a composite's bands: `date:band` where there are several dates."""
    bands = []
    for date, plan in zip(dates, plans, strict=True):
        own = list(names) if names is not None else list(plan.names)
        bands += own if len(plans) == 1 else [f"{date}:{b}" for b in own]
    return bands


def _choose_nodata(
    plans: Sequence[Plan], box: GeoBox, dtype: np.dtype[Any], wanted: float | None
) -> tuple[float | None, bool]:
    """The composite's nodata value, and whether valid pixels of that value get another."""
    if wanted is not None:
        if not imagery.fits(wanted, str(dtype)):
            raise ParameterError(
                f"The composite's nodata value (`out_nodata`) must fit {dtype}, got {wanted:g}."
            )
        return wanted, False
    floats = np.issubdtype(dtype, np.floating)
    if floats and any(p.image.scaled for p in plans):
        return float("nan"), False  # a file's value may be a scaled one
    layers = [layer for p in plans for layer in p.layers]
    for layer in layers:
        if layer.invalid is not None and imagery.fits(layer.invalid, str(dtype)):
            return layer.invalid, False
    if floats:
        return float("nan"), False
    complete = all(
        not layer.info.masked and layer.invalid is None and imagery.placed(layer, box).covers
        for layer in layers
    )
    if complete and not any(p.quality for p in plans):
        return None, False
    return 0, any(imagery.reach(p, box) for p in plans)


def warn_of_clashes(count: int, layout: Layout) -> None:
    """Warn where valid pixels held the composite's nodata value."""
    if not count:
        return
    if layout.displaced:
        log.warning(
            "%d valid pixels held 0 in a band, the composite's nodata value, and hold 1 there now; "
            "choose another nodata value (`out_nodata`) to keep them as they were.", count,
        )  # fmt: skip
    else:
        log.warning(
            "%d valid pixels hold %g, the composite's nodata value, on one date, and are nodata "
            "now; declare another nodata value in the images, or for the composite "
            "(`out_nodata`), to keep them.", count, layout.nodata,
        )  # fmt: skip
