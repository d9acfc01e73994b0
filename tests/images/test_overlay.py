import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp, Resampling
from rasterio.warp import reproject

from landshift import grid, raster
from landshift.errors import GridError, ParameterError, RasterError
from landshift.grid import Window
from landshift.images import overlay


@pytest.fixture
def box(write_raster):
    return raster.info(write_raster("box.tif", np.ones((40, 50), np.uint8))).grid


def test_the_same_grid_is_read_unchanged_with_a_nodata_value_of_the_caller(box, write_raster):
    values = np.arange(2000, dtype=np.uint16).reshape(40, 50)
    path = write_raster("a.tif", values, nodata=7, bands=["x"])
    with overlay.on_grid(path, box, resampling=None, nodata=9) as layer:
        read, mask = layer.read(Window(-1, 0, 2, 12))
    assert (read[0, 1] == values[0, :12]).all()
    assert np.flatnonzero(~mask[1]).tolist() == [7, 9]
    assert not mask[0].any()
    assert layer.bands == ("x",)


@pytest.mark.parametrize("how", ["nearest", "mode"])
def test_another_grid_is_read_as_gdal_warps_the_whole(box, write_raster, how):
    random = np.random.default_rng(0)
    values = random.integers(1, 4, (120, 130)).astype(np.uint8)
    path = write_raster("a.tif", values, pixel=11.0, origin=(500_200.0, 3_999_900.0))
    expected = np.zeros((40, 50), np.uint8)
    with rasterio.open(path) as source:
        reproject(
            rasterio.band(source, 1), expected, dst_transform=box.affine, dst_crs=str(box.crs),
            resampling=Resampling[how], src_nodata=0, dst_nodata=0, tolerance=1e-9,
        )  # fmt: skip
    with overlay.on_grid(path, box, resampling=how) as layer:
        read, mask = layer.read(Window(0, 0, 40, 50))
    assert (np.where(mask, read[0], 0) == expected).all()
    assert 0 < mask.sum() < mask.size


def test_nodata_has_no_weight_in_the_mode(box, write_raster):
    values = np.full((160, 200), 3, np.uint8)
    values[:, ::4] = 1  # three pixels of four, and one, in each of the grid
    path = write_raster("a.tif", values, pixel=7.5)
    for options, expected in (({"nodata": 3}, 1), ({}, 3)):
        with overlay.on_grid(path, box, resampling="mode", **options) as layer:
            read, mask = layer.read(Window(0, 0, 40, 50))
        assert (read[0] == expected).all()
        assert mask.all()


def test_floats_keep_their_nan(box, write_raster):
    values = np.full((20, 25), np.nan, np.float32)
    values[:10] = 2
    path = write_raster("a.tif", values, pixel=60.0)
    with overlay.on_grid(path, box, resampling="mode") as layer:
        read, mask = layer.read(Window(0, 0, 40, 50))
    assert mask[:20].all()
    assert not mask[20:].any()
    assert (read[0, :20] == 2).all()


def test_a_map_of_the_whole_earth_is_read_on_a_small_grid(box, write_raster):
    earth = np.full((90, 180), 4, np.uint8)
    path = write_raster("e.tif", earth, crs="EPSG:4326", origin=(-180.0, 90.0), pixel=2.0)
    with overlay.on_grid(path, box, resampling="nearest") as layer:
        read, mask = layer.read(Window(0, 0, 40, 50))
    assert (read == 4).all()
    assert mask.all()


def test_rasters_that_do_not_fit_the_grid_are_one_line(box, write_raster, tmp_path):
    other = write_raster("a.tif", np.ones((3, 3), np.uint8))
    with pytest.raises(GridError, match=r"must share a grid, got 50 x 40 .* before and 3 x 3"):
        overlay.on_grid(other, box, resampling=None).__enter__()
    with pytest.raises(ParameterError, match="nearest, mode, got 'cubic'"):
        overlay.on_grid(other, box, resampling="cubic").__enter__()
    far = write_raster(
        "f.tif", np.ones((3, 3), np.uint8), crs="EPSG:4326", origin=(10, 50), pixel=1
    )
    with pytest.raises(GridError, match="must overlap on the ground"):
        overlay.on_grid(far, box, resampling="nearest").__enter__()
    with pytest.raises(RasterError, match="must exist"):
        overlay.on_grid(tmp_path / "none.tif", box, resampling=None).__enter__()


@pytest.mark.parametrize("nodata", [None, -9999.0])
def test_floats_are_not_valid_beyond_their_raster_nor_where_they_are_nodata(
    box, write_raster, nodata
):
    values = np.full((10, 10), 2, np.float32)
    if nodata is not None:
        values[:, 5:] = nodata
    path = write_raster("a.tif", values, pixel=60.0, nodata=nodata)
    with overlay.on_grid(path, box, resampling="mode") as layer:
        read, mask = layer.read(Window(0, 0, 40, 50))
    expected = np.zeros((40, 50), bool)
    expected[:20, : 20 if nodata is None else 10] = True
    assert (mask == expected).all()
    assert (read[0][mask] == 2).all()


@pytest.mark.parametrize("side", [(1500, 0), (-180, 0), (0, 180), (0, -1200)])
def test_grids_that_touch_do_not_overlap(box, write_raster, side):
    right, up = side
    for inward, meets in ((0, False), (30, True)):
        origin = (
            500_000.0 + right - inward * np.sign(right), 4_000_000.0 + up - inward * np.sign(up),
        )  # fmt: skip
        path = write_raster(f"{inward}.tif", np.ones((3, 3), np.uint8), pixel=60.0, origin=origin)
        if meets:
            with overlay.on_grid(path, box, resampling="nearest") as layer:
                assert layer.read(Window(0, 0, 40, 50))[1].any()
        else:
            with pytest.raises(GridError, match="must overlap on the ground"):
                overlay.on_grid(path, box, resampling="nearest").__enter__()


@pytest.mark.parametrize("pixel", [30.0, 60.0])
def test_some_of_the_bands_are_read_on_either_path(box, write_raster, pixel):
    bands = [np.full((40, 50), k, np.uint8) for k in (5, 6, 7)]
    path = write_raster("a.tif", np.stack(bands), pixel=pixel, bands=["x", "y", "z"])
    with overlay.on_grid(
        path, box, resampling="nearest", bands=(3, 1), allowed=overlay.IMAGE_RESAMPLINGS
    ) as layer:
        assert layer.bands == ("z", "x")
        both, _ = layer.read(Window(2, 3, 4, 5))
        one, _ = layer.read(Window(2, 3, 4, 5), [1])
    assert [np.unique(b).tolist() for b in both] == [[7], [5]]
    assert one.shape == (1, 4, 5)
    assert (one == 5).all()


@pytest.mark.parametrize("pixel", [30.0, 60.0])
def test_alpha_hides_pixels_unless_it_is_read_as_a_band(box, write_raster, pixel):
    values = np.full((4, 40, 50), 9, np.uint8)
    values[3] = 255
    values[3, :10] = 0
    path = write_raster("a.tif", values, pixel=pixel)
    with rasterio.open(path, "r+") as target:
        target.colorinterp = [*target.colorinterp[:3], ColorInterp.alpha]
    hidden = round(10 * pixel / 30)
    for bands, clear in ((None, False), ((2,), False), ((1, 4), True)):
        with overlay.on_grid(path, box, resampling="nearest", bands=bands) as layer:
            _, mask = layer.read(Window(0, 0, 40, 50))
        assert mask[hidden:].all()
        assert (mask[:hidden] == clear).all()


@pytest.mark.parametrize("without", ["grid", "raster"])
def test_resampling_needs_both_crs(box, write_raster, without):
    bare = grid.geobox(40, 50, box.affine, None)
    path = write_raster(
        "a.tif", np.ones((20, 25), np.uint8), pixel=60.0,
        crs=None if without == "raster" else "EPSG:32618",
    )  # fmt: skip
    with pytest.raises(GridError, match="needs a CRS on both grids"):
        overlay.on_grid(path, bare if without == "grid" else box, resampling="nearest").__enter__()


def test_a_raster_over_the_antimeridian_meets_a_grid_that_ends_there(write_raster):
    """In longitudes its left side is 177 and its right one -174."""
    path = write_raster(
        "pacific.tif", np.ones((10, 10), np.uint8), crs="EPSG:3832", pixel=100_000.0,
        origin=(3_000_000.0, 500_000.0),
    )  # fmt: skip
    half = grid.geobox(180, 180, Affine(1, 0, 0, 0, -1, 90), "EPSG:4326")
    with overlay.on_grid(path, half, resampling="nearest") as layer:
        _, mask = layer.read(Window(0, 0, 180, 180))
    assert mask[:, 177:].any()
    assert not mask[:, :176].any()
