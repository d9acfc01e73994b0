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
