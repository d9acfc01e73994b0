"""The ground around a unit as a picture, from the image of a date."""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, images, raster
from landshift.errors import BandError, GridError, ParameterError
from landshift.files.options import BandChoice
from landshift.grid import Window
from landshift.images import Image, Layer, Plan
from landshift.raster import colours
from landshift.raster.stretch import Limits, limits_of
from landshift.show import figures

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

ZOOMS = ("close", "context")
"""The two pictures of a unit: of the unit, and of what surrounds it."""

PICTURES = ("first", "second")
"""Pictures of the same ground in other bands: the one by the rule for colours, and false colour."""

SIZE = 400
"""Pixels along a picture's shorter side."""

LONGEST = 3
"""Longest side of a picture in shorter ones; a frame that is longer still shows a part of it."""

MOST_PIXELS = 4 << 20
"""Most pixels of a picture of a map's view: half of a screen of 3840 x 2160. A view of more gets a
coarser picture."""

FARTHEST = 4
"""How far a map's view may reach from its unit, in sides of the wide picture: of images without
overviews, all pixels in a view are read for its picture. 4 leaves room to move the wide view by
its own width."""

_LOOKED_AT = 512  # most rows and columns read to stretch an image
_PROBES = 8  # places a side read instead of an image without overviews
_PROBE = 64  # rows and columns of each
_READING = threading.Lock()  # rasterio sets Python's warning filters, which are one for all threads


@dataclass(frozen=True)
class UnitFrame:
    """The ground that a picture shows.

    Attributes:
        box: Its grid, north up: a square.
        outline: Corners of the unit in the square: x from the left and y from the top, 0 to 1.
        metres: Width of the square on the ground.
    """

    box: GeoBox
    outline: tuple[tuple[float, float], ...]
    metres: float


@dataclass(frozen=True)
class Ground:
    """The ground around a unit, in sides of the unit from its middle, east and north.

    Sides are as long eastwards as northwards on the ground, in degrees too; every unit is one side
    wide, so that a view of one is as close to any other.

    Attributes:
        x: Easting of the middle, or longitude.
        y: Northing, or latitude.
        east: A side eastwards, in units of the CRS.
        north: A side northwards.
        crs: The CRS, as pyproj reads it.
        outline: Corners of the unit, in sides.
        metres: Metres of a side.
    """

    x: float
    y: float
    east: float
    north: float
    crs: str
    outline: tuple[tuple[float, float], ...]
    metres: float

    def box(self, left: float, top: float, pixel: float, shape: tuple[int, int]) -> GeoBox:
        """A grid, north up.

        Args:
            left: Its left edge, in sides.
            top: Its upper edge, in sides.
            pixel: Side of a pixel, in sides.
            shape: Rows and columns.
        """
        from affine import Affine

        pixels = Affine(
            pixel * self.east, 0, self.x + left * self.east,
            0, -pixel * self.north, self.y + top * self.north,
        )  # fmt: skip
        return grid.geobox(*shape, pixels, self.crs)


@dataclass(frozen=True)
class Picture:
    """A picture of the ground.

    Attributes:
        png: The picture, transparent where no pixel is valid.
        seen: 'all' or 'part' of the ground; 'nothing' where the image has no valid pixel there;
            'outside' where the image doesn't reach.
    """

    png: bytes
    seen: str


@dataclass(frozen=True)
class DateImage:
    """The image of one date, ready to be shown around any unit.

    Attributes:
        name: 'before' or 'after'.
        files: Names of its files.
        plans: The bands shown as red, green and blue, by `PICTURES`.
        labels: What a caption calls them.
        limits: Values of each band that become black and white, the same for every unit, so that
            a colour means the same everywhere.
    """

    name: str
    files: tuple[str, ...]
    plans: dict[str, Plan]
    labels: dict[str, str]
    limits: dict[str, Limits]

    def picture(self, box: GeoBox, which: str) -> Picture:
        """The image on a grid.

        Args:
            box: The grid.
            which: One of the `PICTURES` that the date has.

        Raises:
            RasterError: A file can't be read.
        """
        plan = self.plans[which]
        bands, valid, met = [], np.ones(box.shape, np.bool_), False
        for group in plan.stack:
            values = np.zeros((len(group[0].numbers), *box.shape), np.float32)
            mask = np.zeros(box.shape, np.bool_)
            for layer in group:
                read = None if mask.all() else _read(layer, box)
                if read is None:
                    continue
                met = True
                if not mask.any():
                    values, mask = read
                else:
                    new = read[1] & ~mask
                    values[:, new] = read[0][:, new]
                    mask |= new
            bands.append(values)
            valid &= mask
        shown = figures.picture(np.concatenate(bands), valid, self.limits[which])
        seen = "outside" if not met else "nothing" if not valid.any() else "part"
        return Picture(_png(shown, valid), "all" if valid.all() else seen)

    def holds(self, x: Sequence[float], y: Sequence[float], crs: str) -> NDArray[np.bool_]:
        """Which places lie on the image, valid or not.

        Args:
            x: Eastings, or longitudes.
            y: Northings, or latitudes.
            crs: Their CRS, as pyproj reads it.
        """
        from odc.geo import CRS

        held = np.zeros(len(x), np.bool_)
        for layer in next(iter(self.plans.values())).stack[0]:
            box = layer.info.grid
            assert box.crs is not None, "the plan has checked it"
            transformer = grid.transformer(CRS(crs).proj, box.crs.proj)
            east, north = transformer.transform(np.array(x), np.array(y))
            columns, rows = grid.apply(~box.affine, east, north)
            held |= (rows >= 0) & (rows < box.height) & (columns >= 0) & (columns < box.width)
        return held


def look(
    name: str,
    files: Sequence[Path | str],
    *,
    rgb: BandChoice = None,
    second_rgb: BandChoice = None,
    kept: Mapping[str, str] | None = None,
    assume_crs: str | None = None,
) -> DateImage:
    """Open the image of a date: the bands of its pictures, and how they are stretched.

    Args:
        name: 'before' or 'after'. Of a file whose bands are described 'before:red' and so on,
            those of this date are taken.
        files: The files; see `landshift.images.Image`.
        rgb: Bands of the first picture, by name or number, see `colours.choose`; None: by the rule
            for colours.
        second_rgb: Bands of the second picture; None: near infrared, red and green where they are
            known. Bands that the first one shows are not shown twice.
        kept: Choices of earlier sessions, by `PICTURES`; those that don't fit are left aside.
        assume_crs: CRS of files that state none.

    Raises:
        RasterError: A file can't be read.
        GridError: A file has no CRS or no place on the ground.
        BandError: A band is missing.
        ParameterError: Not one or three bands.
    """
    whole = images.plan(Image(tuple(files), assume_crs=assume_crs))
    of_date = [k for k, n in enumerate(whole.names) if n.lower().startswith(f"{name}:")]
    own = of_date or list(range(len(whole.names)))
    notes, of_file = images.band_notes(whole)
    bands, kept = [notes[k] for k in own], kept or {}
    shown = {
        "first": _fitting(bands, rgb, kept.get("first"))
        or colours.choose_kept(bands, None, of_file)
    }
    try:
        second = _fitting(bands, second_rgb, kept.get("second"))
    except (BandError, ParameterError) as error:
        raise type(error)(str(error).replace("`rgb`", "`second_rgb`")) from error
    second = second or colours.find(bands, colours.FALSE_COLOUR)
    if second is not None and second.positions != shown["first"].positions:
        shown["second"] = second
    plans = {which: whole.take([own[k] for k in s.channels]) for which, s in shown.items()}
    return DateImage(
        name, tuple(Path(str(f)).name for f in files), plans,
        {which: s.label for which, s in shown.items()},
        {which: _limits(plan) for which, plan in plans.items()},
    )  # fmt: skip


def _fitting(
    bands: Sequence[colours.BandNotes], chosen: BandChoice, kept: str | None
) -> colours.Shown | None:
    """The bands that the user chose, or chose in an earlier session of images with such bands."""
    if chosen is None and kept is not None and colours.fits(bands, kept):
        chosen = kept
    return None if chosen is None else colours.choose(bands, chosen)


def ground(outline: Any, crs: str) -> Ground:
    """The ground around a unit.

    Args:
        outline: Polygon of the unit.
        crs: Its CRS, as pyproj reads it.
    """
    from odc.geo import CRS

    known = CRS(crs)
    left, bottom, right, top = outline.bounds
    x, y = (left + right) / 2, (bottom + top) / 2
    # a degree of longitude is shorter than one of latitude
    narrow = max(float(np.cos(np.radians(y))), 0.01) if known.geographic else 1.0
    side = max((right - left) * narrow, top - bottom)
    east = side / narrow
    corners = tuple(((e - x) / east, (n - y) / side) for e, n in outline.exterior.coords[:-1])
    return Ground(x, y, east, side, crs, corners, _metres(known, x, y, east))


def frames(around: Ground, sides: Sequence[float], size: int = SIZE) -> dict[str, UnitFrame]:
    """The ground that the pictures of a unit show, by `ZOOMS`.

    Args:
        around: The ground around the unit.
        sides: Side of each of the `ZOOMS`, in sides of the unit.
        size: Rows and columns of a picture.
    """
    from odc.geo import CRS

    known = CRS(around.crs)
    return {
        zoom: UnitFrame(
            around.box(-factor / 2, factor / 2, factor / size, (size, size)),
            tuple((0.5 + east / factor, 0.5 - north / factor) for east, north in around.outline),
            _metres(known, around.x, around.y, factor * around.east),
        )
        for zoom, factor in zip(ZOOMS, sides, strict=True)
    }


def _metres(crs: Any, x: float, y: float, width: float) -> float:
    """Metres on the ground of a width eastwards, around a place."""
    from pyproj import Geod

    transformer = grid.transformer(crs.proj, crs.proj.geodetic_crs)
    (lon, lon_end), (lat, lat_end) = transformer.transform([x - width / 2, x + width / 2], [y, y])
    return float(Geod(ellps="WGS84").inv(lon, lat, lon_end, lat_end)[2])


def widened(box: GeoBox, width: float, height: float) -> GeoBox:
    """A square grid extended around its middle to another shape; its pixels stay as large.

    Args:
        box: The square.
        width: Width in sides of the square, from 1.
        height: Height in sides of the square, from 1.
    """
    rows, columns = round(box.height * (height - 1) / 2), round(box.width * (width - 1) / 2)
    return grid.window_geobox(
        box, Window(-rows, -columns, box.height + 2 * rows, box.width + 2 * columns)
    )


def check_sides(sides: Sequence[float]) -> tuple[float, float]:
    """Sides of the two pictures, checked.

    Raises:
        ParameterError: Not two numbers from 1 to 10,000, the larger one last.
    """
    if len(sides) != len(ZOOMS) or not 1 <= sides[0] < sides[1] <= 10_000:
        raise ParameterError(
            f"The pictures' `sides` must be two numbers from 1 to 10,000, the larger one last, got "
            f"{', '.join(f'{s:g}' for s in sides)}; 15,120 shows 15 and 120 units across."
        )
    return sides[0], sides[1]


def _limits(plan: Plan) -> Limits:
    """Values that become black and white, from pixels all over the image."""
    limits: list[tuple[float, float]] = []
    for group in plan.stack:
        samples = []
        for layer in group:
            with images.open_layer(layer) as source:
                samples += list(_samples(source, layer))
        pooled = np.concatenate(samples, axis=1)
        limits += limits_of(pooled) if pooled.size else [(0.0, 1.0)] * len(pooled)
    return limits


def _samples(source: Any, layer: Layer) -> list[NDArray[Any]]:
    """Valid values of a layer, ``(band, pixel)``: of an overview, or of places all over it."""
    height, width = source.shape
    windows = [Window(0, 0, height, width)]
    if not source.overviews(1) and height * width > (4 * _LOOKED_AT) ** 2:
        windows = [
            Window(int(row), int(column), _PROBE, _PROBE).clipped(height, width)
            for row in np.linspace(0, max(height - _PROBE, 0), _PROBES)
            for column in np.linspace(0, max(width - _PROBE, 0), _PROBES)
        ]
    samples = []
    for window in windows:
        shape = (min(window.height, _LOOKED_AT), min(window.width, _LOOKED_AT))
        values, mask = raster.read_shrunk(
            source, window, shape, layer.numbers, nodata=layer.nodata, alpha=layer.alpha
        )
        samples.append(values[:, mask])
    return samples


def _window(layer: Layer, box: GeoBox) -> Window | None:
    """Pixels of a layer that a grid needs; None where it has none there."""
    try:
        top, left, bottom, right = grid.extent(box, layer.info.grid)
        near = Window(
            int(np.floor(top)) - 1, int(np.floor(left)) - 1,
            int(np.ceil(bottom) - np.floor(top)) + 2, int(np.ceil(right) - np.floor(left)) + 2,
        )  # fmt: skip
        if bottom <= 0 or right <= 0 or top >= layer.info.height or left >= layer.info.width:
            return None
        return near.clipped(layer.info.height, layer.info.width)
    except GridError:
        return None


def _read(layer: Layer, box: GeoBox) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
    """A layer on a grid: shrunk first, through overviews, then warped; None where it isn't."""
    from affine import Affine
    from rasterio.enums import Resampling
    from rasterio.warp import reproject

    near = _window(layer, box)
    if near is None:
        return None
    top, left, bottom, right = grid.extent(box, layer.info.grid)
    pixels = max(
        (bottom - top) / box.height, (right - left) / box.width
    )  # of the image, in one of the picture
    scale = max(pixels, 1.0)
    shape = (max(1, round(near.height / scale)), max(1, round(near.width / scale)))
    warped = np.full((len(layer.numbers), *box.shape), np.nan, np.float32)
    step = Affine.scale(near.width / shape[1], near.height / shape[0])
    with _READING:
        with images.open_layer(layer) as source:
            values, mask = raster.read_shrunk(
                source, near, shape, layer.numbers, nodata=layer.nodata, alpha=layer.alpha
            )
        reproject(
            np.where(mask, values, np.nan).astype(np.float32), warped, src_nodata=np.nan,
            src_transform=layer.info.grid.affine @ Affine.translation(near.column, near.row) @ step,
            src_crs=str(layer.info.grid.crs), dst_nodata=np.nan,
            dst_transform=box.affine, dst_crs=str(box.crs),
            # pixels of the image stay pixels where they are large enough to be seen
            resampling=Resampling.nearest if pixels < 1 else Resampling.bilinear,
        )  # fmt: skip
    return warped, np.asarray(np.isfinite(warped).all(axis=0))


def _png(shown: figures.Picture, mask: NDArray[np.bool_]) -> bytes:
    """A picture as PNG (RFC 2083), transparent where the mask is False."""
    height, width = mask.shape
    pixels = np.empty((height, width, 4), np.uint8)
    pixels[..., :3] = np.rint(255 * shown)
    pixels[..., 3] = np.where(mask, 255, 0)
    pixels[~mask] = 0
    rows = np.zeros((height, 1 + 4 * width), np.uint8)  # each begins with its filter: none
    rows[:, 1:] = pixels.reshape(height, -1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows.tobytes(), 1))
        + chunk(b"IEND", b"")
    )
