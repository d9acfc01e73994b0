"""Which pixels the map page counts in a polygon: the same as GDAL, run by Node.js."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.features import geometry_mask

from landshift import grid, raster, vector
from landshift.grid import Window
from landshift.maps.zonal import measure_zones
from scenes import write

SOURCE = Path(__file__).parents[2] / "web/src/scanline.js"
ROWS, COLUMNS = 30, 40

PROGRAM = """
import { readFileSync } from "node:fs";
const { runsInside } = await import(process.argv[1]);
const polygons = JSON.parse(readFileSync(0, "utf8"));
const found = polygons.map((rings) => [...runsInside(rings, ...process.argv.slice(2).map(Number))]);
process.stdout.write(JSON.stringify(found));
"""


def polygons():
    """Random rings: anywhere, at corners and at centres of pixels, beyond the raster, with holes.

    Those that cross themselves have no edge along the centres of pixels, where GDAL's rule depends
    on which way they run.
    """
    random = np.random.default_rng(2)
    made = []
    for number in range(3000):
        step = (None, 1.0, 0.5)[number % 3]
        rings = []
        for _ in range(1 + number % 2):
            points = random.uniform(-5, 45, (random.integers(3, 9), 2))
            points = points if step is None else np.round(points / step) * step
            rings.append([*points.tolist(), points[0].tolist()])
        if step is None or all(shapely.Polygon(ring).is_valid for ring in rings):
            made.append(rings)
    return made


def test_pixels_inside_are_those_of_gdal():
    if shutil.which("node") is None or not SOURCE.is_file():
        pytest.skip("Node.js isn't installed, or the page's sources aren't here")
    made = polygons()
    done = subprocess.run(
        ["node", "--input-type=module", "-e", PROGRAM, str(SOURCE), str(COLUMNS), str(ROWS)],
        input=json.dumps(made), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert len(made) > 1000
    for rings, runs in zip(made, json.loads(done.stdout), strict=True):
        inside = np.zeros((ROWS, COLUMNS), bool)
        for row, columns in runs:
            for first, end in zip(columns[::2], columns[1::2], strict=True):
                inside[row, first:end] = True
        places = [[(x, -y) for x, y in ring] for ring in rings]
        shape = {"type": "Polygon", "coordinates": places}
        expected = geometry_mask([shape], (ROWS, COLUMNS), Affine.scale(1, -1), invert=True)
        assert np.array_equal(inside, expected), rings


def test_large_polygons_have_nearly_the_area_that_zonal_gives(tmp_path):
    pytest.importorskip("exactextract", reason="exactextract isn't installed")
    random = np.random.default_rng(0)
    codes = np.full((300, 300), 3, np.uint8)
    mapped = write(tmp_path / "map.tif", codes, nodata=0)
    left, top = raster.info(mapped).grid.affine @ (0, 0)
    side = abs(raster.info(mapped).grid.affine.a)
    rings = []
    for _ in range(20):
        turns = np.sort(random.uniform(0, 2 * np.pi, 40))
        reach = random.uniform(25, 60, 40)
        middle = random.uniform(70, 230, (2, 1))
        ring = middle + reach * np.stack([np.cos(turns), np.sin(turns)])
        rings.append(shapely.Polygon(ring.T * [side, -side] + [left, top]))
    zones = tmp_path / "zones.gpkg"
    vector.write_layer(
        zones, "zones", {"name": np.array([f"{k}" for k in range(20)], object)},
        np.array(rings, object), raster.info(mapped).grid.crs, kind="Polygon",
    )  # fmt: skip
    measured = measure_zones(mapped, zones, "name").hectares.sum(axis=1)
    box = raster.info(mapped).grid
    areas = grid.ground(box).hectares(Window(0, 0, 300, 300))
    for ring, hectares in zip(rings, measured, strict=True):
        inside = geometry_mask([ring], box.shape, box.affine, invert=True)
        assert inside.sum() >= 1000
        assert (areas * inside).sum() == pytest.approx(hectares, rel=0.01)
