import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.enums import ColorInterp

from landshift import grid
from landshift.errors import BandError, GridError, ParameterError
from landshift.grid import Window
from landshift.images import Image, opened, placed, plan, reach
from landshift.images.quality import rule


def read(image, target=None):
    planned = plan(image)
    box = planned.grid if target is None else target
    with opened(planned, box) as reader:
        return reader.read(Window(0, 0, box.height, box.width))


def numbers(count=1, height=6, width=8, start=1):
    values = np.arange(start, start + count * height * width)
    return values.reshape(count, height, width).astype(np.uint16)


def test_single_bands_are_stacked_and_named_by_the_part_that_differs(write_raster):
    files = tuple(
        write_raster(f"LE07_2000_{b}.tif", numbers(start=k))
        for k, b in enumerate(("B10", "B2", "QA_PIXEL"), 1)
    )
    planned = plan(Image(files=files))
    assert planned.names == ("B10", "B2", "QA_PIXEL")
    assert plan(Image(files=files, bands=("B2", 1))).names == ("B2", "B10")
    values, mask = read(Image(files=files))
    assert values[:, 0, 0].tolist() == [1, 2, 3]
    assert mask.all()
    with pytest.raises(BandError, match="one band 'B7', got B10, B2, QA_PIXEL"):
        plan(Image(files=files, bands=("B7",)))


def test_files_side_by_side_are_tiles_and_the_first_lies_on_top(write_raster):
    ground = numbers(2, 6, 16)
    left = write_raster("t1.tif", ground[:, :, :10])
    right = write_raster("t2.tif", ground[:, :, 8:] + 100, origin=(500_240, 4_000_000))
    planned = plan(Image(files=(left, right)))
    assert planned.names == ("b1", "b2")
    assert planned.extent(planned.grid) == (0, 0, 6, 16)
    values, mask = read(
        Image(files=(left, right)), grid.geobox(6, 16, planned.grid.affine, "EPSG:32618")
    )
    assert (values[:, :, :10] == ground[:, :, :10]).all()
    assert (values[:, :, 10:] == ground[:, :, 10:] + 100).all()
    assert mask.all()


def test_resolutions_meet_on_the_target_grid(write_raster):
    fine = write_raster("a_fine.tif", np.full((1, 8, 8), 7, np.uint8), pixel=15)
    coarse = write_raster("a_coarse.tif", np.full((1, 4, 4), 9, np.uint8), pixel=30)
    values, mask = read(Image(files=(coarse, fine)))
    assert values.shape == (2, 4, 4)
    assert (values[0] == 9).all()
    assert (values[1] == 7).all()
    assert mask.all()


@pytest.mark.parametrize("how", ["bilinear", "cubic", "average", "nearest"])
def test_nodata_never_bleeds_into_resampled_pixels(write_raster, how):
    values = np.full((2, 20, 20), 100, np.int16)
    values[0, 8:12, 8:12] = -9999
    values[1, 2, 2] = -9999
    file = write_raster("i.tif", values, nodata=-9999)
    target = grid.geobox(40, 40, Affine(17, 0, 500_003, 0, -17, 3_999_990), "EPSG:32618")
    for image in (
        Image(files=(file,), resampling=how),
        Image(files=(write_raster("n.tif", values),), resampling=how, nodata=-9999),
    ):
        read_values, mask = read(image, target)
        assert set(np.unique(read_values[:, mask])) == {100}
        assert not mask[15, 15]
        assert not mask[36:].any()
        assert 0.6 < mask.mean() < 0.85


def test_masks_alpha_and_nan_hide_pixels_copied_or_warped(write_raster):
    hole = np.full((1, 20, 20), 50, np.uint8)
    hole[0, 5:10, 5:10] = 7
    clear = hole[0] != 7
    masked = write_raster("m.tif", hole)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(masked, "r+") as target:
        target.write_mask(clear.astype(np.uint8) * 255)
    alpha = write_raster(
        "a.tif", np.concatenate([hole, hole, hole, clear[None].astype(np.uint8) * 255])
    )
    with rasterio.open(alpha, "r+") as target:
        target.colorinterp = [
            ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha
        ]  # fmt: skip
    nan = write_raster("f.tif", np.where(clear, 50, np.nan).astype(np.float32))
    shifted = grid.geobox(20, 20, Affine(30, 0, 500_010, 0, -30, 3_999_990), "EPSG:32618")
    for file, count in ((masked, 1), (alpha, 3), (nan, 1)):
        values, mask = read(Image(files=(file,)))
        assert values.shape[0] == count
        assert (mask == clear).all()
        values, mask = read(Image(files=(file,)), shifted)
        assert (values[:, mask] == 50).all()
        assert 0.8 < mask.mean() < 0.97
    values, mask = read(Image(files=(alpha,), bands=(1, 2, 3, 4)))
    assert values.shape[0] == 4
    assert mask.all()


def test_a_pixel_made_from_a_clouded_one_is_hidden(write_raster):
    values = np.full((2, 20, 20), 100, np.uint16)
    values[1] = 0
    values[0, 9, 9], values[1, 9, 9] = 10_000, 4
    file = write_raster("i.tif", values, bands=["red", "fmask"])
    image = Image(files=(file,), quality=(rule("fmask=cloud"),))
    assert plan(image).names == ("red",)
    _, mask = read(image)
    assert np.argwhere(~mask).tolist() == [[9, 9]]
    target = grid.geobox(34, 34, Affine(17, 0, 500_003, 0, -17, 3_999_990), "EPSG:32618")
    read_values, mask = read(image, target)
    assert set(read_values[0][mask]) == {100}
    assert mask.mean() > 0.9


def test_a_colour_table_means_nearest_unless_it_is_grey(write_raster):
    values = np.tile(np.array([1, 9], np.uint8), (1, 20, 10))
    file = write_raster("c.tif", values)
    target = grid.geobox(18, 18, Affine(30, 0, 500_015, 0, -30, 3_999_985), "EPSG:32618")
    with rasterio.open(file, "r+") as written:
        written.write_colormap(1, {1: (9, 8, 7, 255), 9: (0, 200, 0, 255)})
    assert set(np.unique(read(Image(files=(file,)), target)[0])) == {1, 9}
    grey = write_raster("g.tif", values)
    with rasterio.open(grey, "r+") as written:
        written.write_colormap(1, {k: (k, k, k, 255) for k in range(256)})
    assert 5 in np.unique(read(Image(files=(grey,)), target)[0])


def test_scale_and_offset_are_applied_on_request(write_raster):
    file = write_raster("i.tif", numbers(2))
    with rasterio.open(file, "r+") as target:
        target.scales, target.offsets = (0.5, 2.0), (10.0, 0.0)
    values, _ = read(Image(files=(file,), scaled=True))
    assert values.dtype == np.float32
    assert values[:, 0, 0].tolist() == [10.5, 98.0]
    assert read(Image(files=(file,)))[0][:, 0, 0].tolist() == [1, 49]


def test_codes_of_a_quality_band_are_never_scaled(write_raster):
    values = np.full((2, 4, 4), 100, np.uint16)
    values[1], values[1, 2, 3] = 0, 4  # clouds of Fmask
    file = write_raster("i.tif", values, bands=["red", "fmask"])
    with rasterio.open(file, "r+") as target:
        target.scales, target.offsets = (0.5, 0.5), (0.0, 1.0)
    read_values, mask = read(Image(files=(file,), quality=(rule("fmask=cloud"),), scaled=True))
    assert np.argwhere(~mask).tolist() == [[2, 3]]
    assert (read_values[0][mask] == 50).all()


def test_bad_images_are_one_line(write_raster):
    file = write_raster("i.tif", numbers())
    with pytest.raises(ParameterError, match="must have a file"):
        Image(files=())
    with pytest.raises(ParameterError, match="`resampling` must be one of"):
        Image(files=(file,), resampling="best")
    with pytest.raises(ParameterError, match="`nodata` must fit uint16, got -1"):
        plan(Image(files=(file,), nodata=-1))
    with pytest.raises(GridError, match="must have a CRS"):
        plan(Image(files=(write_raster("n.tif", numbers(), crs=None),)))
    with pytest.raises(ParameterError, match="that PROJ knows, got 'here'"):
        plan(Image(files=(write_raster("n.tif", numbers(), crs=None),), assume_crs="here"))
    with pytest.raises(BandError, match="a band beside its quality bands"):
        plan(Image(files=(file,), quality=(rule("fmask:1=cloud"),)))


def test_a_vrt_and_a_url_are_images(write_raster, tmp_path, monkeypatch):
    monkeypatch.delenv("LANDSHIFT_OFFLINE")
    file = write_raster("i.tif", numbers(2))
    vrt = tmp_path / "i.vrt"
    rasterio.shutil.copy(file, vrt, driver="VRT")
    assert (read(Image(files=(vrt,)))[0] == numbers(2)).all()
    script = Path(__file__).parents[1] / "range_server.py"
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            port = server.stdout.readline().strip()
            with rasterio.Env(GDAL_HTTP_TIMEOUT=10):
                values, _ = read(Image(files=(f"http://127.0.0.1:{port}/i.tif",)))
        finally:
            server.terminate()
    assert (values == numbers(2)).all()


def test_values_that_a_scale_turns_into_nan_are_not_valid(write_raster):
    path = write_raster("a.tif", np.array([[1, 2], [3, 0]], np.float32))
    with rasterio.open(path, "r+") as target:
        target.scales, target.offsets = [float("inf")], [1.0]
    _, mask = read(Image((path,), scaled=True))
    assert not mask.any()


def test_bands_without_names_of_overlapping_files_are_named_by_file(write_raster):
    files = tuple(write_raster(f"{name}.tif", numbers(2)) for name in ("dry", "wet"))
    assert plan(Image(files=files)).names == ("dry_b1", "dry_b2", "wet_b1", "wet_b2")
    beside = write_raster(
        "east.tif", numbers(2), origin=(500_240, 4_000_000)
    )  # a tile of the first
    planned = plan(Image(files=(*files, beside)))
    assert planned.names == ("dry_b1", "dry_b2", "wet_b1", "wet_b2")
    assert [len(group) for group in planned.stack] == [2, 1]


@pytest.mark.parametrize("side", [(0, 1), (1, 0), (0, -1), (-1, 0)])
@pytest.mark.parametrize(("shared", "tiles"), [(2, True), (3, False), (4, False), (6, False)])
def test_half_of_a_file_on_another_makes_them_bands(write_raster, side, shared, tiles):
    """Of 6 x 6 pixels."""
    right, down = ((6 - shared) * 30 * step for step in side)
    files = (
        write_raster("a.tif", numbers(2, 6, 6)),
        write_raster("b.tif", numbers(2, 6, 6), origin=(500_000 + right, 4_000_000 - down)),
    )
    assert len(plan(Image(files=files)).names) == (2 if tiles else 4)


def test_nameless_files_of_unequal_bands_are_no_tiles(write_raster):
    one = write_raster("a.tif", numbers(1))
    two = write_raster("b.tif", numbers(2), origin=(500_240, 4_000_000))
    assert plan(Image(files=(one, two))).names == ("a", "b1", "b2")
    assert plan(Image(files=(two, one))).names == ("b1", "b2", "a")


def test_each_file_may_be_resampled_its_own_way(write_raster):
    files = tuple(write_raster(f"{name}.tif", numbers(), bands=[name]) for name in ("x", "y"))
    planned = plan(Image(files=files, resampling=("cubic", None)))
    assert [layer.resampling for layer in planned.layers] == ["cubic", "bilinear"]
    for ways in (("cubic",), ("cubic",) * 3):
        with pytest.raises(ParameterError, match=rf"one for each of 2 files, got {len(ways)}"):
            Image(files=files, resampling=ways)


def test_the_extent_is_where_every_band_lies_and_any_of_its_tiles(write_raster):
    ground = numbers(1, 6, 16)
    west = write_raster("t1.tif", ground[:, :, :10], bands=["red"])
    east = write_raster("t2.tif", ground[:, :, 10:], origin=(500_300, 4_000_000), bands=["red"])
    nir = write_raster("n.tif", numbers(1, 5, 7), origin=(500_060, 3_999_910), bands=["nir"])
    on = grid.geobox(3, 3, Affine(30, 0, 499_970, 0, -30, 4_000_150), "EPSG:32618")
    assert plan(Image(files=(west, east))).extent(on) == (5, 1, 11, 17)
    assert plan(Image(files=(west, east, nir))).extent(on) == (8, 3, 11, 10)


def test_tiles_of_one_name_in_two_folders_keep_it_whole(tmp_path, write_raster):
    for folder in ("west", "east"):
        (tmp_path / folder).mkdir()
    files = (
        write_raster("west/mosaic_red.tif", numbers()),
        write_raster("east/mosaic_red.tif", numbers(), origin=(500_240, 4_000_000)),
    )
    assert plan(Image(files=files)).names == ("mosaic_red",)


def test_a_layer_states_the_nodata_value_that_its_pixels_can_hold(write_raster, tmp_path):
    file = write_raster("i.tif", numbers() % 200, nodata=7)
    assert plan(Image(files=(file,))).layers[0].invalid == 7
    assert plan(Image(files=(file,), nodata=9)).layers[0].invalid == 9
    vrt = tmp_path / "i.vrt"
    rasterio.shutil.copy(file, vrt, driver="VRT")
    text = vrt.read_text()
    assert "<NoDataValue>7</NoDataValue>" in text
    vrt.write_text(text.replace("<NoDataValue>7<", "<NoDataValue>-9999<"))
    layer = plan(Image(files=(vrt,))).layers[0]
    assert layer.invalid is None
    assert read(Image(files=(vrt,)))[1].sum() == read(Image(files=(file,)))[1].size


def test_a_file_with_more_bands_is_no_tile_of_one_with_fewer(write_raster):
    one = write_raster("a.tif", numbers(1), bands=["red"])
    two = write_raster("b.tif", numbers(2), bands=["red", "nir"], origin=(500_240, 4_000_000))
    assert plan(Image(files=(one, two))).names == ("a_red", "b_red", "nir")
    assert plan(Image(files=(two, one))).names == ("b_red", "nir", "a_red")


@pytest.mark.parametrize("shift", [0, 7])
def test_every_window_is_a_part_of_the_whole(write_raster, shift):
    """Windows beside a file, and those that touch it, hold none of its pixels."""
    ground = numbers(1, 6, 9)
    files = (
        write_raster("t1.tif", ground[:, :3, :4], origin=(500_090, 3_999_910)),
        write_raster("t2.tif", ground[:, 3:, 4:], origin=(500_210, 3_999_820)),
    )
    target = grid.geobox(
        12, 15, Affine(30, 0, 500_000 + shift, 0, -30, 4_000_000 - shift), "EPSG:32618"
    )
    planned = plan(Image(files=files, resampling="nearest"))
    expected = np.zeros((12, 15), np.uint16)
    expected[3:6, 3:7], expected[6:9, 7:12] = ground[0, :3, :4], ground[0, 3:, 4:]
    with opened(planned, target) as reader:
        for height, width in ((1, 1), (1, 3), (4, 2)):
            for row in range(12 - height + 1):
                for column in range(15 - width + 1):
                    window = Window(row, column, height, width)
                    values, mask = reader.read(window)
                    part = expected[window.slices]
                    assert (mask == (part > 0)).all()
                    assert (values[0][mask] == part[mask]).all()


def test_the_first_layer_s_pixels_stay_where_the_next_one_fills_its_holes(write_raster):
    first, second, third = (np.full((1, 2, 4), k, np.uint8) for k in (1, 2, 3))
    first[0, :, 1:], second[0, :, 2], third[0, :, 3] = 0, 0, 0
    first[0, :, 3] = 1
    files = tuple(
        write_raster(f"{k}.tif", values, nodata=0, bands=["x"])
        for k, values in enumerate((first, second, third))
    )
    values, mask = read(Image(files=files))
    assert values[0].tolist() == [[1, 2, 3, 1]] * 2
    assert mask.all()


@pytest.mark.parametrize(
    ("how", "pixel", "expected"),
    [
        ("nearest", 10, 0), ("bilinear", 30, 1), ("bilinear", 10, 3), ("cubic", 15, 4),
        ("cubic_spline", 30, 2), ("lanczos", 10, 9), ("average", 60, 1), ("mode", 15, 2),
        ("max", 30, 1), ("min", 30, 1), ("med", 30, 1), ("bilinear", 20, 2),
    ],
)  # fmt: skip
def test_reach_is_the_width_of_the_resampling_kernel(write_raster, how, pixel, expected):
    """So many pixels of 30 m, as GDAL's kernels reach, in pixels of the target."""
    planned = plan(Image(files=(write_raster("i.tif", numbers()),), resampling=how))
    assert reach(planned, planned.grid) == 0
    target = grid.geobox(9, 9, Affine(pixel, 0, 500_004, 0, -pixel, 3_999_996), "EPSG:32618")
    assert reach(planned, target) == expected


@pytest.mark.parametrize("nodata", [None, 9999])
def test_ground_control_points_place_an_image(write_raster, nodata):
    from rasterio.control import GroundControlPoint

    path = write_raster("g.tif", numbers(1, 8, 10))
    corners = [(0, 0), (0, 10), (8, 0), (8, 10)]
    points = [
        GroundControlPoint(row=r, col=c, x=600_000 + 20 * c, y=3_000_000 - 20 * r)
        for r, c in corners
    ]
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=8, width=10, dtype="uint16", gcps=points,
        crs="EPSG:32633", nodata=nodata,
    ) as target:  # fmt: skip
        target.write(numbers(1, 8, 10))
    planned = plan(Image(files=(path,), resampling="nearest"))
    assert planned.layers[0].derived
    assert planned.names == ("b1",)
    assert planned.layers[0].invalid == nodata
    assert planned.grid.crs == "EPSG:32633"
    place = grid.geobox(8, 10, Affine(20, 0, 600_000, 0, -20, 3_000_000), "EPSG:32633")
    values, mask = read(Image(files=(path,), resampling="nearest"), place)
    assert mask[1:-1, 1:-1].all()
    assert abs(values[0, 1:-1, 1:-1].astype(int) - numbers(1, 8, 10)[0, 1:-1, 1:-1]).max() <= 11


def test_a_layer_is_copied_where_pixels_coincide_and_reaches_further_where_they_do_not(
    write_raster,
):
    (layer,) = plan(Image(files=(write_raster("a.tif", numbers()),))).layers
    own = layer.info.grid
    inside = grid.window_geobox(own, Window(1, 2, 3, 4))
    place = placed(layer, inside)
    assert (place.offset, place.covers, place.reach) == ((-1, -2), True, 0)
    assert (place.rows, place.columns) == (pytest.approx((-1, 5)), pytest.approx((-2, 6)))
    assert placed(layer, grid.window_geobox(own, Window(-1, 0, 3, 4))).covers is False
    fine = grid.geobox(24, 32, own.affine @ Affine.scale(0.25), own.crs)
    place = placed(layer, fine)
    assert (place.offset, place.covers, place.reach) == (None, False, 4)  # bilinear, 4 to a pixel
    assert place.overlaps(Window(25, 0, 1, 1))
    assert not place.overlaps(Window(26, 0, 1, 1))
