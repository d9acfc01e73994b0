import csv

import numpy as np
import pytest
import rasterio

from landshift import raster
from landshift.classes import ClassScheme
from landshift.errors import ClassError, DateError, GridError
from landshift.labels import label

SCHEME = ClassScheme.from_mapping({1: "forest", 2: "urban", 3: "water"})
BEFORE = np.array([[1, 1, 2], [3, 0, 1]], np.uint8)
AFTER = np.array([[1, 2, 2], [1, 1, 255]], np.uint8)


@pytest.fixture
def maps(write_raster):
    return (
        write_raster("b.tif", BEFORE, nodata=0),
        write_raster("a.tif", AFTER, nodata=255),
    )


def test_the_change_map_and_the_table_by_hand(maps, tmp_path):
    found = label(*maps, tmp_path / "change.tif", scheme=SCHEME)
    with rasterio.open(tmp_path / "change.tif") as source:
        assert source.read(1).tolist() == [[4, 2, 4], [1, 0, 0]]
        assert source.nodata == 0
    assert found.pixels.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert found.hectares == pytest.approx(found.pixels * 0.09)
    assert found.nodata == 2
    assert found.changed == pytest.approx(0.5)
    assert raster.scheme_of(tmp_path / "change.tif").mapping == {
        1: "to forest", 2: "to urban", 3: "to water", 4: "No change"
    }  # fmt: skip


def test_the_table_as_csv(maps, tmp_path):
    path = label(*maps, tmp_path / "c.tif", scheme=SCHEME).write_csv(tmp_path / "t.csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert rows[1] == {
        "from": "forest", "to": "urban", "pixels": "1", "hectares": "0.09", "percent": "25.0"
    }  # fmt: skip


def test_without_a_scheme_the_values_found_are_the_classes(maps, tmp_path):
    found = label(*maps, tmp_path / "change.tif")
    assert found.scheme.mapping == {1: "class 1", 2: "class 2", 3: "class 3"}


def test_bounds_cut_a_part_out(maps, tmp_path):
    bounds = (500_030.0, 3_999_970.0, 500_090.0, 4_000_000.0)
    label(*maps, tmp_path / "change.tif", scheme=SCHEME, bounds=bounds)
    with rasterio.open(tmp_path / "change.tif") as source:
        assert source.read(1).tolist() == [[2, 4]]
        assert source.bounds[:2] == (500_030, 3_999_970)


def test_plum_island_is_exactly_as_published(data_folder, tmp_path):
    folder = data_folder / "pie_lulc"
    scheme = ClassScheme.from_mapping({1: "forest", 2: "built", 3: "other"})
    found = label(
        folder / "lu_pie_1985.tif", folder / "lu_pie_1999.tif", tmp_path / "c.tif", scheme=scheme
    )
    assert found.pixels.tolist() == [[44107, 4250, 656], [11, 36957, 154], [1259, 2248, 23921]]


def test_maps_in_the_wrong_order_are_refused(data_folder, tmp_path):
    folder = data_folder / "pie_lulc"
    with pytest.raises(DateError, match="swap the two"):
        label(folder / "lu_pie_1999.tif", folder / "lu_pie_1985.tif", tmp_path / "c.tif")
    assert not list(tmp_path.iterdir())


def test_other_grids_are_refused(maps, write_raster, tmp_path):
    other = write_raster("o.tif", np.ones((2, 4), np.uint8))
    with pytest.raises(GridError, match=r"Class maps must share a grid, got 3 x 2 .* 4 x 2"):
        label(maps[0], other, tmp_path / "c.tif")
    moved = write_raster("m.tif", BEFORE, crs="EPSG:32619")
    with pytest.raises(GridError, match="32619"):
        label(maps[0], moved, tmp_path / "c.tif")


def test_what_is_no_class_map_is_refused(maps, write_raster, tmp_path):
    out = tmp_path / "c.tif"
    with pytest.raises(ClassError, match=r"got \[3\] in .*b\.tif"):
        label(*maps, out, scheme=ClassScheme.from_mapping({1: "forest", 2: "urban"}))
    fractions = write_raster("f.tif", np.full((2, 3), 0.5, np.float32))
    with pytest.raises(ClassError, match="whole numbers"):
        label(fractions, fractions, out)
    image = write_raster("i.tif", np.ones((2, 2, 3), np.uint8))
    with pytest.raises(ClassError, match="one band, got 2"):
        label(image, image, out)
    empty = write_raster("e.tif", np.zeros((2, 3), np.uint8))
    with pytest.raises(ClassError, match="only nodata"):
        label(empty, empty, out)
    large = write_raster("l.tif", np.full((2, 3), 900, np.uint16))
    with pytest.raises(ClassError, match="1 to 253"):
        label(large, large, out)
    assert not out.exists()


def test_without_a_crs_there_are_no_hectares(write_raster, tmp_path):
    maps = [write_raster(f"{n}.tif", BEFORE, nodata=0, crs=None) for n in "ab"]
    found = label(*maps, tmp_path / "c.tif")
    assert found.hectares is None
    assert found.rows()[0]["hectares"] == ""
