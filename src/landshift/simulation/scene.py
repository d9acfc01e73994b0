"""Images and class maps of a simulated scene: dates of Landsat-like ground with known truth.

The land is a mosaic of patches: cells of a jittered lattice, whose borders noise bends into fractal
outlines. A patch's class follows from its height, its moisture and its distance to a settlement;
its change is drawn from `TRANSITIONS`. Rivers, which move, and roads, some of them new, are laid
over it. The images model a sensor's view of that land: spectra of `REFLECTANCE` with their spread
within a class, dry spells and the season, fields harvested and grassland burnt (`PASSING`), light
on slopes, a blurred and shifted pixel grid, haze, noise, clouds and shadows, and the gaps of
Landsat 7.

Single pixels are ambiguous on purpose. Noise and mottle are as large as the differences between
classes, and average out over a patch; passing states, slopes and dry spells change a pixel as much
as a change of class does, and only its surroundings tell the two apart.

Every value is a function of the pixel's row and column and of the seed alone, by hashing rather
than by drawing one number after another. So the scene can be made in blocks of any size in any
order, a small scene is the corner of a large one of the same seed, and memory doesn't grow with
size. Only sums, products, quotients and roots are taken per pixel: their result doesn't depend on
the value's place in an array, unlike that of a matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.errors import ParameterError
from landshift.files import provenance
from landshift.files.options import Flag, OutFile
from landshift.grid import Window
from landshift.raster import blockwise
from landshift.simulation.land import make_land
from landshift.simulation.sensor import ground_reflectance, sense, sunward_slope, visible_mask
from landshift.simulation.tables import (
    BANDS,
    HALO,
    LAND_COVER,
    MOST_DATES,
    Date,
    SceneConditions,
    dates_of,
)

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

__all__ = ["Scene", "SceneConditions", "simulate"]

CRS = "EPSG:32618"
ORIGIN = (300_000.0, 4_600_000.0)

BLOCK = 512
CACHE = 32 << 20  # bytes for GDAL: whole blocks are written once, there is nothing to keep


@dataclass(frozen=True)
class Scene:
    """The files of a simulated scene.

    Attributes:
        images: Image of each date, reflectance x 10,000.
        class_maps: Class map of each date, complete.
    """

    images: tuple[Path, ...]
    class_maps: tuple[Path, ...]

    @property
    def before(self) -> Path:
        """Image of the first date."""
        return self.images[0]

    @property
    def after(self) -> Path:
        """Image of the last date."""
        return self.images[-1]

    @property
    def before_classes(self) -> Path:
        """Class map of the first date."""
        return self.class_maps[0]

    @property
    def after_classes(self) -> Path:
        """Class map of the last date."""
        return self.class_maps[-1]

    @property
    def files(self) -> tuple[Path, ...]:
        """All files: images, then class maps."""
        return (*self.images, *self.class_maps)


def simulate(
    out: OutFile,
    *,
    height: int = 1024,
    width: int = 1024,
    dates: int = 2,
    years: int = 1,
    seed: int = 0,
    conditions: Annotated[SceneConditions, Parameter(parse=False)] = SceneConditions(),  # noqa: B008
    overwrite: Flag = False,
) -> Scene:
    """Simulate a scene: images and class maps of two or more dates, with known truth.

    Writes ``before.tif`` and ``after.tif`` (reflectance x 10,000 in six bands, 0 is nodata) and
    ``before_classes.tif`` and ``after_classes.tif`` (land cover, complete) on one UTM grid; of more
    dates ``2001.tif``, ``2001_classes.tif`` and so on. Between more dates some land changes for
    good, and some patches are of another class at one date alone.

    Args:
        out: Folder for the rasters; made where missing, other files in it stay.
        height: Rows.
        width: Columns.
        dates: Number of dates, from 2 on. Two are five years apart.
        years: Years from one of more than two dates to the next.
        seed: The same seed gives the same bytes; a smaller scene is the upper left corner of a
            larger one.
        conditions: Pixel size, clouds, scan gaps and misregistration.
        overwrite: Replace what is there already under the same name.

    Raises:
        ParameterError: A size below 1, a negative seed, or too few or too many dates.
        OutputError: The files can't be written.
    """
    if height < 1 or width < 1:
        raise ParameterError(
            f"`height` and `width` must be at least 1, got {height} x {width} pixels."
        )
    if seed < 0:
        raise ParameterError(f"`seed` must be 0 or more, got {seed}.")
    if not 2 <= dates <= MOST_DATES or not 1 <= years <= MOST_DATES:
        raise ParameterError(
            f"`dates` must be 2 to {MOST_DATES}, and `years` 1 to {MOST_DATES}, got {dates} and "
            f"{years}."
        )
    taken = dates_of(dates, years)
    scene = Scene(
        tuple(Path(out) / f"{date.name}.tif" for date in taken),
        tuple(Path(out) / f"{date.name}_classes.tif" for date in taken),
    )
    raster.check_new(*scene.files, overwrite=overwrite)
    options = {"height": height, "width": width, "seed": seed, **asdict(conditions)}
    if dates > 2:
        options |= {"dates": dates, "years": years}
    record = provenance.record("simulate", [], options)
    box = _geobox(height, width, conditions.cell_size)
    windows = list(raster.blocks(height, width, BLOCK))

    def rendered(_: None, block: blockwise.Block) -> tuple[NDArray[Any], ...]:
        return _render(block.window, taken, seed, conditions)

    with ExitStack() as outputs:  # a failure in any block leaves none of the files
        targets = _create(scene, taken, box, provenance.as_tag(record), outputs)
        with blockwise.results(windows, "simulating", nullcontext, rendered) as results:
            for block, images in results:
                for target, values in zip(targets, images, strict=True):
                    raster.write(target, values, block.window)
    return scene


def _create(
    scene: Scene, dates: Sequence[Date], box: GeoBox, tags: dict[str, str], outputs: ExitStack
) -> list[Any]:
    """The files, open to be written."""

    def create(path: Path, date: Date, **options: Any) -> Any:
        dated = {**tags, "ACQUISITION_DATE": date.taken}
        return outputs.enter_context(
            raster.create(path, box, nodata=0, tags=dated, cache=CACHE, **options)
        )

    image = {"count": len(BANDS), "dtype": "uint16", "bands": BANDS}
    classes = {"count": 1, "dtype": "uint8", "bands": ("land cover",), "scheme": LAND_COVER}
    return [
        create(path, date, **options)
        for paths, options in ((scene.images, image), (scene.class_maps, classes))
        for path, date in zip(paths, dates, strict=True)
    ]


def _geobox(height: int, width: int, cell_size: float) -> GeoBox:
    from affine import Affine

    west, north = ORIGIN
    return grid.geobox(height, width, Affine(cell_size, 0, west, 0, -cell_size, north), CRS)


def _render(
    window: Window, dates: Sequence[Date], seed: int, conditions: SceneConditions
) -> tuple[NDArray[Any], ...]:
    """The files' pixels in a window, in the order of `Scene.files`.

    Returns:
        ``(band, row, column)`` each.
    """
    wide = window.grown(HALO)
    slope = sunward_slope(wide, seed)
    images, maps = [], []
    for date, cover in zip(dates, make_land(wide, seed, dates), strict=True):
        surface = ground_reflectance(wide, cover, slope, date, seed)
        image = sense(window, surface, date, seed, conditions)
        image[:, ~visible_mask(window, date, seed, conditions)] = 0
        images.append(image)
        values = (cover.classes + 1).astype(np.uint8)[cover.patch]
        maps.append(values[None, HALO:-HALO, HALO:-HALO])
    return *images, *maps
