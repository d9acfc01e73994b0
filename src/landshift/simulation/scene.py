"""Images and class maps of a made scene: two dates of Landsat-like ground with known truth.

The land is a mosaic of patches, cells of a jittered lattice whose borders are bent by noise into
fractal outlines. What covers a patch follows from its height, its moisture and how near it lies to
a settlement; what became of it is drawn from `TRANSITIONS`. Rivers, which move, and roads, some of
them new, are laid over it. The images are what a sensor might make of that land: spectra of
`REFLECTANCE` with their spread within a class, dry spells and the season, fields harvested and
grassland burnt (`PASSING`), light on slopes, a blurred and shifted pixel grid, haze, noise, clouds
and shadows, and the gaps of Landsat 7.

It is made so that single pixels say too little. Noise and mottle are as large as the differences
between classes, and average out over a patch; passing states, slopes and dry spells change a pixel
as much as a change of class does, and can be told from one by their surroundings.

Every value is a function of the pixel's row and column and of the seed alone, by hashing and not
by drawing one number after another. So the scene can be made in blocks of any size in any order,
a small scene is the corner of a large one of the same seed, and memory doesn't grow with size.
Only sums, products, quotients and roots are taken per pixel: their result doesn't depend on where
in an array a value lies, which can't be said of a matrix product.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.errors import ParameterError
from landshift.files import provenance
from landshift.grid import Window
from landshift.simulation.land import land_of
from landshift.simulation.sensor import sense, slope_of, surface_of, visible
from landshift.simulation.tables import AFTER, BANDS, BEFORE, HALO, LAND_COVER, Date, Settings

# fmt: on


CRS = "EPSG:32618"
ORIGIN = (300_000.0, 4_600_000.0)

BLOCK = 512
CACHE = 32 << 20  # bytes for GDAL: whole blocks are written once, there is nothing to keep


@dataclass(frozen=True)
class Scene:
    """The files of a made scene.

    Attributes:
        before: Image of the earlier date, reflectance x 10,000.
        after: Image of the later date.
        before_classes: Class map of the earlier date, complete.
        after_classes: Class map of the later date, complete.
    """

    before: Path
    after: Path
    before_classes: Path
    after_classes: Path


def simulate(
    folder: Path,
    *,
    height: int = 1024,
    width: int = 1024,
    seed: int = 0,
    cell_size: float = 30.0,
    clouds: float = 0.025,
    scan_gaps: bool = True,
    misregistration: float = 0.3,
    overwrite: bool = False,
    on_block: Callable[[int, int], None] | None = None,
) -> Scene:
    """Make two images and two class maps of one piece of land.

    Writes ``before.tif`` and ``after.tif`` (reflectance x 10,000 in six bands, 0 is nodata) and
    ``before_classes.tif`` and ``after_classes.tif`` (`LAND_COVER`, complete) on one UTM grid.

    Args:
        folder: Where the files go; made where missing, other files in it are left alone.
        height: Rows.
        width: Columns.
        seed: Same seed, same land; a smaller scene is the upper left corner of a larger one.
        cell_size: Metres of a pixel in the files' grid. The land's features are sized in pixels.
        clouds: Share of each date's ground under clouds, 0 to 0.5, on the mean of all land. Their
            shadows hide up to as much again.
        scan_gaps: Whether the later image has the gaps of Landsat 7's broken scan-line corrector.
            Column 0 lies near the swath's whole middle; the gaps widen to the right.
        misregistration: Distance in pixels by which the later image is shifted, 0 to 1.
        overwrite: Whether what is there already is replaced.
        on_block: Called with the number of blocks done and of all blocks.

    Raises:
        ParameterError: A size below 1, a negative seed, or an option out of its range.
        OutputError: The files can't be written.
    """
    _check(height, width, seed, cell_size, clouds, misregistration)
    settings = Settings(seed, clouds, scan_gaps, misregistration)
    folder = Path(folder)
    scene = Scene(*(folder / f"{field.name}.tif" for field in fields(Scene)))
    raster.check_new(*(getattr(scene, f.name) for f in fields(Scene)), overwrite=overwrite)
    size = {"height": height, "width": width, "cell_size": cell_size}
    made_by = provenance.record("simulate", [], {**size, **asdict(settings)})
    box = _geobox(height, width, cell_size)
    windows = list(raster.blocks(height, width, BLOCK))
    with ExitStack() as outputs:  # a failure in any block leaves none of the four files

        def create(path: Path, date: Date, **options: Any) -> Any:
            tags = {**provenance.as_tag(made_by), "ACQUISITION_DATE": date.taken}
            return outputs.enter_context(
                raster.create(path, box, nodata=0, tags=tags, cache=CACHE, **options)
            )

        image = {"count": len(BANDS), "dtype": "uint16", "bands": BANDS}
        classes = {"count": 1, "dtype": "uint8", "bands": ("land cover",), "scheme": LAND_COVER}
        targets = (
            create(scene.before, BEFORE, **image),
            create(scene.after, AFTER, **image),
            create(scene.before_classes, BEFORE, **classes),
            create(scene.after_classes, AFTER, **classes),
        )
        for done, window in enumerate(windows, start=1):
            for target, values in zip(targets, _render(window, settings), strict=True):
                raster.write(target, values, window)
            if on_block is not None:
                on_block(done, len(windows))
    return scene


def _check(
    height: int, width: int, seed: int, cell_size: float, clouds: float, misregistration: float
) -> None:
    if height < 1 or width < 1:
        raise ParameterError(
            f"A scene must have at least 1 row and column, got {height} x {width}."
        )
    if seed < 0:
        raise ParameterError(f"The seed must be 0 or more, got {seed}.")
    if not 0 < cell_size < float("inf"):
        raise ParameterError(f"The cell size must be above 0 metres, got {cell_size}.")
    if not 0 <= clouds <= 0.5:
        raise ParameterError(f"The share of clouds must be 0 to 0.5, got {clouds}.")
    if not 0 <= misregistration <= 1:
        raise ParameterError(f"The misregistration must be 0 to 1 pixel, got {misregistration}.")


def _geobox(height: int, width: int, cell_size: float) -> Any:
    from affine import Affine

    west, north = ORIGIN
    return grid.geobox(height, width, Affine(cell_size, 0, west, 0, -cell_size, north), CRS)


def _render(window: Window, settings: Settings) -> tuple[NDArray[Any], ...]:
    """The four files' pixels in a window, in the order of `Scene`, each ``(band, row, column)``."""
    wide = window.grown(HALO)
    slope = slope_of(wide, settings.seed)
    images, maps = [], []
    for date, cover in zip((BEFORE, AFTER), land_of(wide, settings.seed), strict=True):
        surface = surface_of(wide, cover, slope, date, settings.seed)
        image = sense(window, surface, date, settings)
        image[:, ~visible(window, date, settings)] = 0
        images.append(image)
        values = (cover.classes + 1).astype(np.uint8)[cover.patch]
        maps.append(values[None, HALO:-HALO, HALO:-HALO])
    return *images, *maps


# The land


# The images


# Noise: numbers that depend on place and seed alone
