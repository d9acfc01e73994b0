"""Options of `tileset.cut`, and runs that were killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import get_type_hints

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.warp import Resampling, reproject
from rasterio.windows import Window

import landshift
from cutting import cut_tiles
from landshift import tileset
from landshift.classes import ClassScheme
from landshift.cli import show
from landshift.errors import (
    BandError,
    ClassError,
    GridError,
    ParameterError,
    TileSetError,
    VectorError,
)
from landshift.machine import progress
from landshift.raster.tiling import training_windows
from landshift.tileset import blocks, esri
from landshift.tileset.index import read_provenance
from landshift.tileset.sampling import Turn, turned
from landshift.tileset.tiles import without_georeference
from watching import Steps

SCHEME = ClassScheme.from_mapping({1: "to forest", 2: "to water", 3: "No change"})
MAPS = ClassScheme.from_mapping({1: "forest", 2: "water"})
PLACE = {"crs": "EPSG:32650", "transform": Affine(2, 0, 600000, 0, -2, 3000000)}


def write(path, values, *, nodata=None, bands=(), **place):
    values = values if values.ndim == 3 else values[None]
    with without_georeference(), rasterio.open(
        path, "w", driver="GTiff", count=len(values), height=values.shape[1],
        width=values.shape[2], dtype=values.dtype, nodata=nodata, photometric="minisblack",
        **(place or PLACE),
    ) as target:  # fmt: skip
        target.write(values)
        for number, band in enumerate(bands, start=1):
            target.set_band_description(number, band)
    return path


def pair(folder, *, height=80, width=96, name="a", dtype=np.int16, count=2, seed=1, **place):
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    image = rng.integers(1, 250, (count, height, width)).astype(dtype)
    labels = rng.integers(1, 4, (height, width)).astype(np.uint8)
    return (
        write(folder / f"{name}.tif", image, nodata=0, **place),
        write(folder / f"{name}_change.tif", labels, nodata=0, **place),
    )


def cut(folder, image, labels, **options):
    options = {"classes": SCHEME, "tile_size": 32, "stride": 16, **options}
    return cut_tiles([image], [labels], folder, **options)


def contents(folder, *, but=()):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in but
    }


def is_read_back(tiles):
    """Whether a set reads as cut, from the index and from its files alone."""
    assert tileset.read(tiles.folder) == tiles
    (tiles.folder / "landshift.sqlite").unlink()
    result = tileset.read(tiles.folder)
    assert result == tiles
    return True


# sizes, shares, polygons


def test_rows_and_columns_of_tiles_may_differ(tmp_path):
    image, labels = pair(tmp_path / "in")
    tiles = cut(tmp_path / "set", image, labels, tile_size=(16, 48), stride=(16, 24))
    assert (tiles.height, tiles.width, len(tiles.tiles)) == (16, 48, 5 * 3)
    with rasterio.open(image) as source:
        for tile in tiles.tiles:
            window = source.window(*tile.bounds)
            np.testing.assert_array_equal(tileset.read_tile(tile)[0], source.read(window=window))
    definition = json.loads((tiles.folder / esri.DEFINITION).read_text())
    assert (definition["ImageHeight"], definition["ImageWidth"]) == (16, 48)
    assert is_read_back(tiles)


def test_tiles_with_too_few_labels_are_left_out(tmp_path):
    image, labels = pair(tmp_path / "in", height=32, width=96)
    codes = np.zeros((32, 96), np.uint8)
    codes[:16, :32] = 1  # half of the first tile
    codes[0, 32:64] = 1  # one row of 32 of the second
    write(labels, codes, nodata=0)
    options = {"tile_size": 32, "stride": 32}
    assert len(cut(tmp_path / "a", image, labels, **options).tiles) == 2
    assert len(cut(tmp_path / "b", image, labels, minimum_labelled=0.5, **options).tiles) == 1
    tiles = cut(tmp_path / "c", image, labels, minimum_labelled=1 / 32, **options)
    assert [t.name for t in tiles.tiles] == ["000000000", "000000001"]
    with pytest.raises(TileSetError, match=r"that 0\.6 of a tile can be labelled"):
        cut(tmp_path / "d", image, labels, minimum_labelled=0.6, **options)


def test_windows_without_a_valid_pixel_give_no_tile(tmp_path):
    image, labels = pair(tmp_path / "in", height=32, width=64)
    with rasterio.open(image, "r+") as target:
        values = target.read()
        values[:, :, 32:] = 0
        target.write(values)
    tiles = cut(tmp_path / "set", image, labels, stride=32, unlabelled=True)
    assert len(tiles.tiles) == 1


def test_only_tiles_inside_the_polygons_are_cut(tmp_path):
    import shapely
    from pyogrio.raw import write as write_vector

    image, labels = pair(tmp_path / "in", height=64, width=96)
    # Pixels 16 to 80 of the columns, all rows: tiles that begin at columns 16, 32 and 48.
    shape = shapely.box(600000 + 32, 2999000, 600000 + 160, 3000100)
    path = tmp_path / "mask.gpkg"
    write_vector(
        path, shapely.to_wkb(np.array([shape])), [np.array([1])], ["id"], driver="GPKG",
        geometry_type="Polygon", crs="EPSG:32650",
    )  # fmt: skip
    tiles = cut(tmp_path / "set", image, labels, mask_polygons=path)
    assert sorted({(t.bounds[0] - 600000) / 2 for t in tiles.tiles}) == [16, 32, 48]
    assert len(tiles.tiles) == 9
    turned = cut(tmp_path / "turned", image, labels, mask_polygons=path, rotation_angle=45)
    for tile in turned.tiles:  # a turned tile reaches further
        assert tile.bounds[0] >= 600032 - 1e-6
        assert tile.bounds[2] <= 600160 + 1e-6
    with pytest.raises(TileSetError, match=r"a whole tile fits in the polygons of .*mask\.gpkg"):
        cut(tmp_path / "none", image, labels, mask_polygons=path, tile_size=65)
    bare = pair(tmp_path / "in", name="bare", transform=Affine(2, 0, 0, 0, -2, 0))
    with pytest.raises(GridError, match=r"A mask polygon needs images with a CRS"):
        cut(tmp_path / "bare", *bare, mask_polygons=path)


def test_self_intersecting_mask_polygons_are_repaired(tmp_path):
    import shapely
    from pyogrio.raw import write as write_vector

    image, labels = pair(tmp_path / "in", height=64, width=96)
    left, top = 600000, 3000000
    bow = shapely.Polygon(
        [(left, top), (left + 192, top - 128), (left + 192, top), (left, top - 128)]
    )
    shape = shapely.box(left, top - 128, left + 128, top)
    path = tmp_path / "mask.gpkg"
    for layer, shapes in (("area", [bow, shape]), ("other", [shape])):
        write_vector(
            path, shapely.to_wkb(np.array(shapes)), [np.arange(len(shapes))], ["id"],
            geometry_type="Polygon", crs="EPSG:32650", layer=layer, append=layer == "other",
        )  # fmt: skip
    with pytest.raises(VectorError, match=r"chosen, got area, other in .* \(`mask_layer`\)"):
        cut(tmp_path / "none", image, labels, mask_polygons=path)
    tiles = cut(tmp_path / "set", image, labels, mask_polygons=path, mask_layer="area")
    # the square holds tiles that begin at columns 0, 16 and 32; the bow adds no whole one
    assert sorted({(t.bounds[0] - left) / 2 for t in tiles.tiles}) == [0, 16, 32]


# blocks that tiles share


def test_shared_blocks_hold_what_the_rasters_hold(tmp_path, monkeypatch):
    tilted = {"crs": "EPSG:32650", "transform": Affine(2, 0.5, 6e5, 0.5, -2, 3e6)}
    pairs = [
        pair(tmp_path / "in", name=name, dtype=np.float32, seed=seed, height=72, **place)
        for name, seed, place in (("a", 1, PLACE), ("b", 2, tilted))
    ]
    monkeypatch.setattr(blocks, "KEPT_BYTES", 9000)  # far fewer than there are
    tiles = cut_tiles(
        [p[0] for p in pairs], [p[1] for p in pairs], tmp_path / "set", classes=SCHEME,
        tile_size=(32, 48), stride=(16, 16),
    )  # fmt: skip
    windows = list(training_windows(72, 96, (32, 48), (16, 16)))
    assert len(tiles.tiles) == 2 * len(windows) == 2 * 4 * 4
    for number, tile in enumerate(tiles.tiles):
        image, labels = pairs[number // len(windows)]
        window = windows[number % len(windows)]
        at = Window(window.column, window.row, window.width, window.height)
        with rasterio.open(image) as a, rasterio.open(labels) as b, rasterio.open(tile.image) as c:
            values, mask, codes = tileset.read_tile(tile)
            np.testing.assert_array_equal(values, a.read(window=at))
            np.testing.assert_array_equal(codes, b.read(1, window=at))
            assert mask.all()
            assert c.transform.almost_equals(a.window_transform(at), 1e-6)
            assert (c.crs, c.nodata, c.compression.name) == (a.crs, 0, "lzw")
            aligned = window.row % 16 == 0
            assert c.block_shapes[0] == ((16, 16) if aligned else (32, 48))
    assert is_read_back(tiles)


@pytest.mark.parametrize(
    ("tile_size", "stride", "block"),
    [
        ((256, 256), (128, 128), (128, 128)),
        ((256, 256), (192, 192), (64, 64)),
        ((256, 256), (256, 256), None),  # no overlap
        ((256, 256), (100, 128), None),  # 4 is no multiple of 16
        ((256, 256), (16, 16), None),  # too many
    ],
)
def test_blocks_that_tiles_share(tile_size, stride, block):
    assert blocks.shared_block(tile_size, stride) == block


# rotation


@settings(max_examples=40, deadline=None)
@given(st.floats(0.5, 359.5), st.integers(2, 20), st.integers(2, 20))
def test_a_turn_of_a_plane_is_the_plane(angle, height, width):
    """Bilinear sampling is exact on a plane, and stays inside what it looks up."""
    turn = Turn.of(angle, height, width)
    around = turn.around
    row, column = np.mgrid[0 : around.height, 0 : around.width].astype(np.float64)
    plane = (3 * (row + around.row) - 2 * (column + around.column))[None]
    mask = np.ones(plane.shape[1:], bool)
    values, valid = turn.bilinear(plane, mask)
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    where = turned(angle, height, width) @ (x, y)
    np.testing.assert_allclose(values[0], 3 * (where[1] - 0.5) - 2 * (where[0] - 0.5), atol=1e-6)
    assert valid.all()
    nearest, _ = turn.nearest(plane, mask)
    assert np.abs(nearest - values).max() <= 2.5 + 1e-6  # half a pixel each way


def test_quarter_turns_are_exact(tmp_path):
    image, labels = pair(tmp_path / "in", height=32, width=32)
    tiles = cut(tmp_path / "set", image, labels, rotation_angle=90)
    assert len(tiles.tiles) == 4
    straight, _, codes = tileset.read_tile(tiles.tiles[0])
    for turns, tile in enumerate(tiles.tiles):
        values, mask, result = tileset.read_tile(tile)
        np.testing.assert_array_equal(values, np.rot90(straight, turns, (1, 2)))
        np.testing.assert_array_equal(result, np.rot90(codes, turns))
        assert mask.all()
        assert tile.bounds == pytest.approx(tiles.tiles[0].bounds)
    assert is_read_back(tiles)


def test_turned_tiles_are_those_that_gdal_warps(tmp_path):
    image, labels = pair(tmp_path / "in", height=120, width=130)
    rng = np.random.default_rng(3)
    smooth = np.cumsum(rng.integers(1, 9, (2, 120, 130)), axis=2).astype(np.int16)
    write(image, smooth, nodata=0)
    tiles = cut(tmp_path / "set", image, labels, rotation_angle=50, tile_size=(24, 40), stride=24)
    seen = 0
    assert len(tiles.tiles) % 8 == 0  # 0, 50, 100 ... 350 degrees
    for tile in tiles.tiles[1:60:7]:
        values, mask, codes = tileset.read_tile(tile)
        with rasterio.open(tile.image) as chip, rasterio.open(image) as source:
            place = {"dst_transform": chip.transform, "dst_crs": chip.crs}
            warped = np.zeros_like(values)
            reproject(
                rasterio.band(source, [1, 2]), warped, resampling=Resampling.bilinear,
                dst_nodata=0, tolerance=0, XSCALE=1, YSCALE=1, **place,
            )  # fmt: skip
        with rasterio.open(labels) as source:
            nearest = np.zeros_like(codes)
            reproject(
                rasterio.band(source, 1), nearest, resampling=Resampling.nearest, tolerance=0,
                **place,
            )  # fmt: skip
        assert np.abs(values - warped)[:, mask].max() <= 1
        assert (codes[mask] == nearest[mask]).mean() > 0.999
        seen += int(mask.sum())
    assert seen > 3000


def test_turned_corners_outside_the_raster_are_nodata(tmp_path):
    image, labels = pair(tmp_path / "in", height=32, width=32)
    tiles = cut(tmp_path / "set", image, labels, rotation_angle=45)
    assert len(tiles.tiles) == 8
    values, mask, codes = tileset.read_tile(tiles.tiles[1])
    assert not mask[0, 0]
    assert mask[16, 16]
    assert not values[:, ~mask].any()
    assert not codes[~mask].any()
    with rasterio.open(tiles.tiles[1].image) as source:
        assert source.transform.b == pytest.approx(-(2**0.5))
        assert source.transform @ (16, 16) == pytest.approx((600032, 2999968))
    assert tiles.cell_size == (2, 2)


# formats


@pytest.mark.parametrize(("count", "dtype"), [(1, np.uint8), (3, np.uint8), (3, np.uint16)])
def test_png_tiles_hold_the_same_as_tiff(tmp_path, count, dtype):
    image, labels = pair(tmp_path / "in", height=40, width=48, count=count, dtype=dtype)
    with rasterio.open(image, "r+") as target:
        values = target.read()
        values[:, :10, :7] = 0
        target.write(values)
    tiff = cut(tmp_path / "tiff", image, labels)
    png = cut(tmp_path / "png", image, labels, format="png")
    for a, b in zip(tiff.tiles, png.tiles, strict=True):
        for x, y in zip(tileset.read_tile(a), tileset.read_tile(b), strict=True):
            np.testing.assert_array_equal(x, y)
        assert (a.bounds, a.crs, a.mean) == (b.bounds, b.crs, b.mean)
    names = {p.name for p in (png.folder / "images").iterdir()}
    assert {"000000000.png", "000000000.pgw", "000000000.png.aux.xml"} <= names
    assert rb"images\000000000.png  labels\000000000.png " in (png.folder / "map.txt").read_bytes()
    assert is_read_back(png)


def test_jpeg_tiles_keep_what_is_valid_and_the_labels(tmp_path):
    image, labels = pair(tmp_path / "in", height=40, width=48, count=3, dtype=np.uint8)
    with rasterio.open(image, "r+") as target:
        values = target.read()
        values[:, :10, :7] = 0
        target.write(values)
    tiff = cut(tmp_path / "tiff", image, labels)
    jpeg = cut(tmp_path / "jpeg", image, labels, format="JPEG")
    for a, b in zip(tiff.tiles, jpeg.tiles, strict=True):
        (_, mask, codes), (_, result, same) = tileset.read_tile(a), tileset.read_tile(b)
        np.testing.assert_array_equal(mask, result)
        np.testing.assert_array_equal(codes, same)
        assert (b.image.suffix, b.label.suffix) == (".jpg", ".png")
    assert (jpeg.folder / "images" / "000000000.jgw").exists()
    assert is_read_back(jpeg)  # statistics are those of the values as JPEG changed them


def test_formats_refuse_what_they_cannot_hold(tmp_path):
    twelve = pair(tmp_path / "in", count=12)
    with pytest.raises(BandError, match=r"PNG tiles must have 1 or 3 bands of uint8 or uint16, "):
        cut(tmp_path / "set", *twelve, format="PNG")
    deep = pair(tmp_path / "in", name="b", count=3, dtype=np.uint16)
    with pytest.raises(BandError, match=r"JPEG .* of uint8, got 3 of uint16 in .*b\.tif; choose"):
        cut(tmp_path / "set", *deep, format="JPEG")
    with pytest.raises(ParameterError, match="one of TIFF, PNG, JPEG, got 'GIF'"):
        cut(tmp_path / "set", *deep, format="GIF")
    image, labels = pair(tmp_path / "in", name="c", height=20, width=20, count=1, dtype=np.uint8)
    with rasterio.open(image, "r+") as target:
        target.nodata = None
    with pytest.raises(BandError, match="PNG tiles must have a nodata value"):
        cut(tmp_path / "set", image, labels, format="PNG")  # padded
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_options_out_of_range_are_refused(tmp_path):
    own = pair(tmp_path / "in")
    with pytest.raises(ParameterError, match=r"`minimum_labelled` must be a share .* got 1\.5"):
        cut(tmp_path / "set", *own, minimum_labelled=1.5)
    with pytest.raises(ParameterError, match=r"`rotation_angle` must be .* got 360"):
        cut(tmp_path / "set", *own, rotation_angle=360)
    with pytest.raises(ParameterError, match=r"or none does, got 2 for 1 images"):
        cut(tmp_path / "set", *own, images2=own)
    with pytest.raises(ParameterError, match="Class maps must come in pairs, got 1 before"):
        cut(tmp_path / "set", *own, labels_before=own[1:])


# a second input, class maps


def keys_and_types(value):
    if isinstance(value, dict):
        return {k: keys_and_types(v) for k, v in value.items()}
    if isinstance(value, list):
        return [keys_and_types(value[0])]
    return "number" if type(value) in (int, float) else type(value).__name__


def test_a_second_input_is_cut_and_read(tmp_path):
    image, labels = pair(tmp_path / "in", count=4, dtype=np.uint8)
    heights = np.arange(80 * 96, dtype=np.float32).reshape(80, 96)
    heights[:5, :5] = -9999
    second = write(tmp_path / "in" / "dsm.tif", heights, nodata=-9999, bands=["height"])
    tiles = cut(tmp_path / "set", image, labels, images2=[second])
    assert (tiles.second.bands, tiles.second.dtype, tiles.second.nodata) == (
        ("height",), "float32", -9999,
    )  # fmt: skip
    _, mask, codes = tileset.read_tile(tiles.tiles[0])
    values, same = tileset.read_second(tiles.tiles[0])
    np.testing.assert_array_equal(values[0], heights[:32, :32])
    np.testing.assert_array_equal(mask, same)
    assert not mask[:5, :5].any()
    assert not codes[:5, :5].any()
    stack = np.concatenate([tileset.read_second(t)[0][0][tileset.read_second(t)[1]]
                            for t in tiles.tiles]).astype(float)  # fmt: skip
    result = tiles.second_statistics()
    assert result.mean[0] == pytest.approx(stack.mean(), rel=1e-12)
    assert result.std[0] == pytest.approx(stack.std(ddof=1), rel=1e-12)
    line = (tiles.folder / "map.txt").read_bytes().split(b"\r\n")[0]
    assert line == rb"images\000000000.tif images2\000000000.tif  labels\000000000.tif "
    assert is_read_back(tiles)
    (tiles.folder / "map.txt").unlink()
    assert tileset.read(tiles.folder) == tiles
    with pytest.raises(TileSetError, match="must have class maps before and after"):
        tileset.read_class_maps(tiles.tiles[0])


def test_side_files_of_two_inputs_are_spelt_as_real_ones(tmp_path, data_folder):
    image, labels = pair(tmp_path / "in", count=4, dtype=np.uint8)
    second = write(tmp_path / "in" / "dsm.tif", np.ones((80, 96), np.uint16), nodata=0)
    folder = cut(tmp_path / "set", image, labels, images2=[second]).folder
    real = data_folder / "esri" / "two_input_sidecars"
    ours, theirs = (keys_and_types(json.loads((f / esri.DEFINITION).read_text()))
                    for f in (folder, real))  # fmt: skip
    assert ours == theirs
    assert list(ours) == list(theirs)
    ours, theirs = (json.loads((f / esri.ACCUMULATED).read_text()) for f in (folder, real))
    names = [k for k in ours if k != "ClassPixelStats"]
    assert names == [k for k in theirs if k != "FeatureStats"]  # that of labels from polygons
    for key in ("InputRastersProps2", "BandStatsState2"):
        assert keys_and_types(ours[key]) == keys_and_types(theirs[key])


def test_class_maps_are_kept_beside_the_labels(tmp_path):
    image, labels = pair(tmp_path / "in")
    rng = np.random.default_rng(4)
    before, after = (rng.integers(0, 3, (80, 96)).astype(np.uint8) for _ in range(2))
    paths = [write(tmp_path / "in" / f"{n}.tif", v) for n, v in (("b", before), ("a", after))]
    tiles = cut(
        tmp_path / "set", image, labels, labels_before=paths[:1], labels_after=paths[1:],
        map_classes=MAPS,
    )  # fmt: skip
    assert tiles.map_scheme == MAPS
    first, second = tileset.read_class_maps(tiles.tiles[1])
    np.testing.assert_array_equal(first, before[:32, 16:48])
    np.testing.assert_array_equal(second, after[:32, 16:48])
    counts = np.bincount(first.ravel())
    assert tiles.tiles[1].before_pixels == {v: n for v, n in enumerate(counts) if n}
    assert is_read_back(tiles)
    assert {p.name for p in tiles.folder.iterdir()} >= {"labels_before", "labels_after"}
    (tiles.folder / "labels_after" / "000000002.tif").unlink()
    with pytest.raises(TileSetError, match=r"1 missing: .*labels_after.000000002\.tif"):
        tileset.read(tiles.folder)
    with pytest.raises(ClassError, match=r"got 2 in .*b\.tif"):
        cut(
            tmp_path / "other", image, labels, labels_before=paths[:1], labels_after=paths[1:],
            map_classes=ClassScheme.from_mapping({1: "forest"}),
        )  # fmt: skip


# appending


def test_appending_gives_what_cutting_at_once_gives(tmp_path):
    a = pair(tmp_path / "in", name="a")
    far = {"crs": "EPSG:32650", "transform": Affine(3, 0, 700000, 0, -3, 3000000)}
    b = pair(tmp_path / "in", name="b", seed=2, **far)
    options = {"classes": SCHEME, "tile_size": 32, "stride": 16}
    once = cut_tiles([a[0], b[0]], [a[1], b[1]], tmp_path / "once", **options)
    first = cut(tmp_path / "twice", *a, append=True)  # nothing is there yet
    count = len(first.tiles)
    twice = cut(tmp_path / "twice", *b, append=True)
    assert len(twice.tiles) == len(once.tiles) == 2 * count
    skip = {"landshift.sqlite"}  # it tells how the set was made
    assert contents(tmp_path / "once", but=skip) == contents(tmp_path / "twice", but=skip)
    assert tileset.read(tmp_path / "twice") == twice
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    sidecar = json.loads((tmp_path / "twice" / esri.ACCUMULATED).read_text())
    assert sidecar["NextTileIndex"] == 2 * count
    assert (sidecar["MinCellSize"]["x"], sidecar["MaxCellSize"]["x"]) == (2, 3)


def test_appending_to_what_arcgis_wrote(tmp_path, data_folder):
    folder = tmp_path / "real"
    shutil.copytree(data_folder / "esri" / "classified_tiles_16bit_4band", folder)
    before = tileset.read(folder)
    rng = np.random.default_rng(0)
    values = rng.integers(0, 900, (4, 256, 300)).astype(np.int16)
    image = write(tmp_path / "i.tif", values)
    labels = write(tmp_path / "l.tif", np.ones((256, 300), np.uint8))
    after = cut(
        folder, image, labels, append=True, classes=before.scheme, tile_size=256, stride=128
    )
    assert [t.name for t in after.tiles[-2:]] == ["000000000011", "000000000012"]
    assert len(after.tiles) == 13
    assert after.class_pixels()[1] == before.class_pixels()[1] + 2 * 256 * 256
    state = json.loads((folder / esri.ACCUMULATED).read_text())["BandStatsState"]
    stack = np.concatenate([tileset.read_tile(t)[0][0].ravel() for t in after.tiles]).astype(float)
    assert state[0]["M1"] == pytest.approx(stack.mean(), rel=1e-12)
    assert state[0]["M2"] == pytest.approx(((stack - stack.mean()) ** 2).sum(), rel=1e-12)
    assert state[0]["Num"] == 13 * 256 * 256


def test_appending_refuses_unlike_tiles(tmp_path):
    own = pair(tmp_path / "in")
    cut(tmp_path / "set", *own)
    before = contents(tmp_path / "set")
    for options, match in (
        ({"tile_size": 16}, r"must have its tile size, got \(16, 16\) and not \(32, 32\)"),
        ({"start_index": 3}, r"`start_index` must be at least 20, .* got 3"),
    ):
        with pytest.raises((TileSetError, ParameterError), match=match):
            cut(tmp_path / "set", *own, append=True, **options)
    other = pair(tmp_path / "in", name="b", count=3)
    with pytest.raises(TileSetError, match="must have its number of bands, got 3 and not 2"):
        cut(tmp_path / "set", *other, append=True)
    with pytest.raises(ClassError, match="appended to a set must have its classes, got 1: 'x'"):
        cut(tmp_path / "set", *own, append=True, classes=ClassScheme.from_mapping({1: "x"}))
    assert contents(tmp_path / "set") == before
    assert not list(tmp_path.glob(".*"))


# runs that were killed


SLOW = """
import os, sys, time
from pathlib import Path
from landshift import tileset
from landshift.classes import ClassScheme
folder = Path(sys.argv[1])

def on_tile(done, total):
    if done == int(sys.argv[3]):
        (folder / "there").touch()
        time.sleep(60)

tileset.cut(
    [folder / "in/a.tif"], [folder / "in/a_change.tif"], folder / sys.argv[2],
    classes=ClassScheme.from_mapping({1: "to forest", 2: "to water", 3: "No change"}),
    cutting=tileset.Cutting(tile_size=32, stride=8, append="append" in sys.argv), on_tile=on_tile,
)
"""


def kill_in_the_middle(folder, name, tile, *more):
    """Cut tiles in another process and kill it once it has written so many."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SLOW, str(folder), name, str(tile), *more],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    start = time.monotonic()
    while not (folder / "there").exists() and time.monotonic() < start + 60:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (folder / "there").unlink()


def test_a_stopped_run_goes_on_with_the_sizes_that_it_chose(tmp_path):
    image, labels = pair(tmp_path / "in")

    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tileset.cut([image], [labels], tmp_path / "set", classes=SCHEME, on_tile=stop)
    ledger = (tmp_path / ".set.partial" / "ledger.jsonl").read_text().splitlines()
    assert (json.loads(ledger[0])["tile_size"], json.loads(ledger[0])["stride"]) == (32, 16)
    sizes = landshift.Cutting(tile_size=32, stride=16)  # the same, given
    tiles = landshift.tiles([image, labels], tmp_path / "set", classes=SCHEME, cutting=sizes)
    fresh = landshift.tiles([image, labels], tmp_path / "fresh", classes=SCHEME)
    assert contents(tiles.folder) == contents(fresh.folder)
    assert read_provenance(fresh.folder)["parameters"]["tile_size"] == 32


def test_a_window_that_is_done_moves_one_bar(tmp_path):
    image, labels = pair(tmp_path / "in")
    steps = Steps()
    hints = get_type_hints(landshift.tiles, include_extras=True)
    with progress.watched(steps), show.callbacks("tiles", hints, as_json=False) as callbacks:
        landshift.tiles([image, labels], tmp_path / "set", classes=SCHEME, **callbacks)
    moved = [what for what, done, _ in steps.parts if done]
    assert moved.count("cut") == 1
    assert "tiles" not in moved


def test_appended_tiles_have_the_sizes_of_the_set(tmp_path):
    first, second = (pair(tmp_path / "in", name=name, seed=k) for k, name in enumerate("ab"))
    options = {"classes": SCHEME, "append": True}
    cut_tiles([first[0]], [first[1]], tmp_path / "set", tile_size=(32, 48), stride=8, **options)
    tiles = cut_tiles([second[0]], [second[1]], tmp_path / "set", **options)
    assert len(tiles.tiles) == 2 * 7 * 7
    assert (tiles.height, tiles.width) == (32, 48)
    tiles = cut_tiles([second[0]], [second[1]], tmp_path / "set", stride=32, **options)
    assert len(tiles.tiles) == 2 * 7 * 7 + 3 * 3
    (tmp_path / "set" / "landshift.sqlite").unlink()  # which stated the stride
    tiles = cut_tiles([second[0]], [second[1]], tmp_path / "set", **options)
    assert len(tiles.tiles) == 2 * 7 * 7 + 3 * 3 + 4 * 3


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_run_continues_and_ends_with_the_same_bytes(tmp_path):
    image, labels = pair(tmp_path / "in")
    kill_in_the_middle(tmp_path, "set", 23)
    part = tmp_path / ".set.partial"
    assert not (tmp_path / "set").exists()
    done = (part / "ledger.jsonl").read_bytes().count(b"\n")
    assert done >= 2 + 23
    stamps = {p: p.stat().st_mtime_ns for p in (part / "whole").rglob("0000000[01]?.tif")}
    with pytest.raises(ParameterError, match=r"must be of the same .* got stride 8 and not 16 in"):
        cut(tmp_path / "set", image, labels, stride=16)
    kill_in_the_middle(tmp_path, "set", 40)  # taken up, and killed again
    seen = []
    tiles = cut(tmp_path / "set", image, labels, stride=8, on_tile=lambda *n: seen.append(n))
    assert seen[0][0] > 40
    assert not part.exists()
    undisturbed = cut(tmp_path / "other", image, labels, stride=8)
    assert contents(tiles.folder) == contents(undisturbed.folder)
    kept = [tiles.folder / p.relative_to(part / "whole") for p in stamps]
    assert [p.stat().st_mtime_ns for p in kept] == list(stamps.values())  # not written again


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_append_leaves_the_set_as_it_was(tmp_path):
    image, labels = pair(tmp_path / "in")
    options = {"stride": 8}
    for name in ("set", "other"):
        cut(tmp_path / name, image, labels, **options)
    before = contents(tmp_path / "set")
    kill_in_the_middle(tmp_path, "set", 23, "append")
    assert contents(tmp_path / "set") == before
    tiles = cut(tmp_path / "set", image, labels, append=True, **options)
    other = cut(tmp_path / "other", image, labels, append=True, **options)
    assert len(tiles.tiles) == 2 * 63
    assert contents(tiles.folder) == contents(other.folder)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_run_does_not_continue_with_other_inputs(tmp_path):
    image, labels = pair(tmp_path / "in")
    kill_in_the_middle(tmp_path, "set", 5)
    pair(tmp_path / "in", seed=9)  # other values, the same names
    with pytest.raises(ParameterError, match=r"same inputs and options, got inputs .*partial; fin"):
        cut(tmp_path / "set", image, labels, stride=8)
    assert (tmp_path / ".set.partial").is_dir()  # what was done isn't thrown away


# audits


def test_an_audit_counts_the_leaks_of_a_random_split(tmp_path, data_folder):
    folder = tmp_path / "real"
    shutil.copytree(data_folder / "esri" / "classified_tiles_16bit_4band", folder)
    tiles = tileset.read(folder)
    audited = tileset.audit(tiles)
    assert len(audited.pairs) == 26
    assert audited.groups == (11,)  # all hang together
    assert audited.at_random.leaking == len(audited.at_random.split.valid) == 1
    assert len(audited.at_random.leaks) > 0
    assert audited.by_ground.leaking == len(audited.by_ground.leaks) == 0
    assert len(audited.by_ground.split.dropped) == 3
    audited.write_csv(tmp_path / "pairs.csv")
    rows = (tmp_path / "pairs.csv").read_text().splitlines()
    assert len(rows) == 27
    assert sum(row.endswith(",1") for row in rows) == len(audited.at_random.leaks)


def test_an_audit_explains_why_no_split_by_ground_exists(tmp_path):
    tiles = cut(tmp_path / "set", *pair(tmp_path / "in", height=40, width=40), stride=4)
    audited = tileset.audit(tiles)
    assert audited.by_ground is None
    assert "cut tiles of at most 20 pixels with a stride of at most 20" in audited.why_not
    advised = cut(tmp_path / "advised", *pair(tmp_path / "in", height=40, width=40),
                  tile_size=20, stride=20)  # fmt: skip
    assert tileset.audit(advised).by_ground.leaking == 0


@pytest.mark.parametrize("stride", [16, 32])  # with blocks that tiles share, and without
def test_tiles_without_compression_hold_the_same_pixels(tmp_path, stride):
    image, labels = pair(tmp_path / "in", count=3)
    sets = [
        cut(tmp_path / str(u), image, labels, uncompressed=u, stride=stride) for u in (False, True)
    ]
    for a, b in zip(*(s.tiles for s in sets), strict=True):
        with rasterio.open(a.image) as packed, rasterio.open(b.image) as plain:
            assert (packed.read() == plain.read()).all()
            assert packed.transform == plain.transform
            assert packed.compression is not None
            assert plain.compression is None
            assert plain.interleaving.name == "band"  # which is read fastest
    with pytest.raises(ParameterError, match=r"Only TIFF tiles can be `uncompressed`"):
        cut(tmp_path / "set", image, labels, format="PNG", uncompressed=True)


def test_what_arcgis_learn_takes_otherwise_is_warned_of(tmp_path, caplog):
    image, labels = pair(tmp_path / "in")
    same, _ = pair(tmp_path / "in", name="b", seed=2)
    more, _ = pair(tmp_path / "in", name="c", count=3)
    options = {"tile_size": 32, "stride": 32, "classes": SCHEME}
    cut(tmp_path / "one", image, labels, images2=[same], **options)
    assert "arcgis.learn" not in caplog.text
    cut(tmp_path / "two", image, labels, images2=[more], **options)
    assert "The second input has 3 bands and the image 2; arcgis.learn needs" in caplog.text
    options["classes"] = ClassScheme.from_mapping({0: "water", 1: "a", 2: "b", 3: "c"})
    cut(tmp_path / "three", image, labels, **options)
    assert "The class water has the value 0, which arcgis.learn reads as 'NoData'" in caplog.text
    assert "`recode`" in caplog.text


# the public function


def test_tiles_cuts_pairs_of_rasters_and_audits(tmp_path):
    image, labels = pair(tmp_path / "in")
    cutting = landshift.Cutting(tile_size="32", stride=(16, 16))
    tiles = landshift.tiles([image, labels], tmp_path / "set", classes=SCHEME, cutting=cutting)
    assert contents(tiles.folder) == contents(cut(tmp_path / "same", image, labels).folder)
    assert repr(tiles).startswith(f"TileSet('{tmp_path / 'set'}': {len(tiles.tiles)} tiles of 32 x")
    audited = landshift.tiles(auditing=landshift.Auditing(audit=tiles.folder))
    assert len(audited.rows()) == len(audited.pairs)
    assert list(audited.rows()[0]) == ["tile", "other", "shared", "leaks_at_random"]
    assert str(audited).splitlines()[0].split() == list(audited.rows()[0])
    with pytest.raises(ParameterError, match="pairs of composite and change map, got 1"):
        landshift.tiles([image], tmp_path / "odd")
    with pytest.raises(ParameterError, match="`audit` reads a set that exists"):
        landshift.tiles([image], auditing=landshift.Auditing(audit=tiles.folder))


@pytest.mark.parametrize("size", ["320x256", (256, 320)])
def test_sizes_are_columns_by_rows_as_text_and_rows_first_as_numbers(size):
    assert landshift.Cutting(tile_size=size).sizes[0] == (256, 320)
