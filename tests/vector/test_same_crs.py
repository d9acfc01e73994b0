"""Rasters with the same CRS in different notations: one grid in every stage."""

import numpy as np
import pytest
import rasterio
from pyproj import CRS

from cutting import cut_tiles
from landshift import raster
from landshift.classes import ClassScheme
from landshift.evaluation.maps import evaluate_map
from landshift.maps.patches import patches
from landshift.prepare.composite import composite
from landshift.prepare.difference import difference
from landshift.prepare.label import label

MAP = np.kron([[1, 2, 2], [1, 1, 2]], np.ones((16, 16))).astype(np.uint8)
OTHERS = {
    "heights": "EPSG:32618+5773",
    "Esri": CRS("EPSG:32618").to_wkt("WKT1_ESRI"),
    "PROJ": "+proj=utm +zone=18 +datum=WGS84 +units=m",
}


@pytest.fixture(params=OTHERS)
def pair(request, write_raster):
    return write_raster("a.tif", MAP), write_raster(
        "b.tif", MAP[:, ::-1], crs=OTHERS[request.param]
    )


def test_class_maps_and_images_share_a_grid_without_resampling(pair, tmp_path):
    table = label(*pair, tmp_path / "c.tif")
    assert table.pixels.sum() == MAP.size
    difference(*pair, tmp_path / "d.tif")
    with rasterio.open(tmp_path / "d.tif") as source:
        assert source.read(1)[::16, ::16].tolist() == [[1, 0, -1], [1, 0, -1]]


def test_an_image_is_copied_not_warped(pair, tmp_path):
    composite(pair, tmp_path / "c.tif")
    with raster.open_raster(tmp_path / "c.tif") as source:
        assert (source.read() == np.stack([MAP, MAP[:, ::-1]])).all()


def test_a_reference_and_labels_share_a_grid(pair, tmp_path):
    scheme = ClassScheme.from_mapping({1: "forest", 2: "water"})
    assert evaluate_map(*pair, scheme=scheme).matrix.sum() == MAP.size
    tiles = cut_tiles([pair[0]], [pair[1]], tmp_path / "t", classes=scheme, tile_size=16, stride=16)
    assert len(tiles.tiles) == 6


def test_heights_beside_a_crs_change_no_area(write_raster):
    options = {"origin": (10.0, 50.0), "pixel": 0.01}
    flat = write_raster("a.tif", MAP, crs="EPSG:4326", **options)
    high = write_raster("b.tif", MAP, crs="EPSG:4326+5773", **options)
    assert patches(flat) == patches(high)
