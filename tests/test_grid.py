import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod

from landshift import grid
from landshift.errors import GridError
from landshift.grid import Window

UTM = grid.geobox(100, 80, Affine(30, 0, 500_000, 0, -30, 4_000_000), "EPSG:32618")


def test_a_window_grows_and_is_clipped_to_the_raster():
    window = Window(0, 10, 5, 5).grown(2)
    assert window == Window(-2, 8, 9, 9)
    assert window.clipped(100, 12) == Window(0, 8, 7, 4)
    with pytest.raises(GridError, match="overlap the raster"):
        Window(200, 0, 5, 5).clipped(100, 100)
    with pytest.raises(GridError, match="hold a pixel"):
        Window(0, 0, 0, 5)


def test_grids_are_the_same_to_a_thousandth_of_a_pixel():
    near = grid.geobox(100, 80, Affine(30, 0, 500_000.01, 0, -30, 4_000_000), "EPSG:32618")
    half = grid.geobox(100, 80, Affine(30, 0, 500_015, 0, -30, 4_000_000), "EPSG:32618")
    other = grid.geobox(100, 80, UTM.affine, "EPSG:32617")
    assert grid.same(UTM, near)
    assert not grid.same(UTM, half)
    assert not grid.same(UTM, other)
    with pytest.raises(GridError, match=r"Images must share a grid, got 80 x 100 .*32618.* before"):
        grid.check_same(UTM, other, what="Images", names=("before", "after"))


def test_grids_whole_pixels_apart_have_an_offset():
    inside = grid.window_geobox(UTM, Window(3, -7, 20, 20))
    assert grid.offset(inside, UTM) == (3, -7)
    assert grid.offset(UTM, inside) == (-3, 7)
    for other in (
        grid.geobox(9, 9, Affine(30, 0, 500_010, 0, -30, 4_000_000), "EPSG:32618"),
        grid.geobox(900, 900, Affine(30.001, 0, 500_000, 0, -30, 4_000_000), "EPSG:32618"),
        grid.geobox(9, 9, Affine(30, 0, 500_000, 0, 30, 4_000_000), "EPSG:32618"),
        grid.geobox(9, 9, UTM.affine, "EPSG:32617"),
    ):
        assert grid.offset(other, UTM) is None


@given(
    row=st.integers(-500, 500), column=st.integers(-500, 500),
    height=st.integers(1, 300), width=st.integers(1, 300),
)  # fmt: skip
def test_the_extent_of_a_window_is_the_window(row, column, height, width):
    box = grid.window_geobox(UTM, Window(row, column, height, width))
    assert grid.offset(box, UTM) == (row, column)
    assert grid.extent(box, UTM) == pytest.approx(
        (row, column, row + height, column + width), abs=1e-6
    )


def test_the_extent_on_another_crs_agrees_with_gdal():
    from rasterio.warp import transform_bounds

    world = grid.geobox(180, 360, Affine(1, 0, -180, 0, -1, 90), "EPSG:4326")
    top, left, bottom, right = grid.extent(UTM, world)
    west, south, east, north = transform_bounds("EPSG:32618", "EPSG:4326", *UTM.boundingbox.bbox)
    assert (left - 180, 90 - top) == pytest.approx((west, north), abs=1e-6)
    assert (right - 180, 90 - bottom) == pytest.approx((east, south), abs=1e-6)
    with pytest.raises(GridError, match=r"must both have a CRS.*--assume-crs"):
        grid.extent(UTM, grid.geobox(9, 9, UTM.affine, None))
    moon = "+proj=longlat +R=1737400 +no_defs"
    with pytest.raises(GridError, match="one body"):
        grid.extent(UTM, grid.geobox(9, 9, Affine(1, 0, 0, 0, -1, 0), moon))


def test_the_window_of_bounds_is_the_nearest_whole_pixels():
    assert grid.window_of_bounds(UTM, (500_300, 3_999_700, 500_610, 4_000_000)) == Window(
        0, 10, 10, 10
    )
    with pytest.raises(GridError, match="left < right"):
        grid.window_of_bounds(UTM, (1, 0, 0, 1))
    with pytest.raises(GridError, match=r"must overlap the raster, got \(0, .* \(EPSG:32618\)"):
        grid.window_of_bounds(UTM, (0, 0, 300, 300))


def test_pixels_of_a_projected_raster_have_their_crs_area():
    assert grid.row_hectares(UTM) == pytest.approx(np.full(100, 0.09))


def test_feet_become_metres():
    feet = grid.geobox(2, 2, Affine(100, 0, 0, 0, -100, 0), "EPSG:2264")
    assert grid.row_hectares(feet)[0] == pytest.approx((100 * 0.3048006096) ** 2 / 1e4)


@pytest.mark.parametrize("latitude", [-8.3, 0.0, 45.0, 71.0, 89.9])
def test_pixels_of_a_geographic_raster_have_their_geodesic_area(latitude):
    size = 0.0008
    box = grid.geobox(1, 1, Affine(size, 0, 10, 0, -size, latitude), "EPSG:4326")
    corners = [
        (10, latitude),
        (10 + size, latitude),
        (10 + size, latitude - size),
        (10, latitude - size),
    ]
    area, _ = Geod(ellps="WGS84").polygon_area_perimeter(*zip(*corners, strict=True))
    assert grid.row_hectares(box)[0] == pytest.approx(abs(area) / 1e4, rel=1e-5)


def test_areas_need_a_crs_and_a_north_up_geographic_grid():
    with pytest.raises(GridError, match="need a CRS"):
        grid.row_hectares(grid.geobox(1, 1, Affine.identity(), None))
    with pytest.raises(GridError, match="north up"):
        grid.row_hectares(grid.geobox(1, 1, Affine.rotation(30), "EPSG:4326"))


def test_north_and_scale_at_a_grids_middle():
    turned = Affine.translation(500_000, 4_000_000) @ Affine.rotation(30) @ Affine.scale(30, -30)
    found = grid.bearing(grid.geobox(2, 2, turned, "EPSG:32618"))
    assert found.metres == pytest.approx(30 / 0.9996, rel=1e-6)  # on UTM's central meridian
    # columns run 30 degrees left of the east, so that north lies 30 degrees right of up
    assert found.north == pytest.approx(30, abs=1e-3)
    degrees = grid.geobox(100, 200, Affine(0.01, 0, 10, 0, -0.01, 60.5), "EPSG:4326")
    at_60 = np.cos(np.radians(60)) * 6_378_137 / np.sqrt(1 - 0.00669438 * np.sin(np.pi / 3) ** 2)
    assert grid.bearing(degrees).metres == pytest.approx(np.radians(0.01) * at_60, rel=1e-6)
    assert grid.bearing(degrees).north == pytest.approx(0, abs=1e-9)
    east = grid.geobox(2, 2, Affine(30, 0, 700_000, 0, -30, 6_000_000), "EPSG:32618")
    assert -4 < grid.bearing(east).north < -2  # meridians lean to the central one


def test_scale_and_north_need_a_place_on_earth():
    with pytest.raises(GridError, match="Scale and north need a CRS on an ellipsoid, got 2 x 2"):
        grid.bearing(grid.geobox(2, 2, Affine.identity(), None))
    far = grid.geobox(2, 2, Affine(1, 0, 1e12, 0, -1, 1e12), "EPSG:32618")
    with pytest.raises(GridError, match="Scale and north need"):
        grid.bearing(far)


def test_sides_of_pixels_are_metres():
    across, down = grid.side_metres(UTM)
    assert (len(across), len(down)) == (101, 100)
    assert set(across) == set(down) == {30.0}
    feet = grid.geobox(2, 2, Affine(100, 0, 0, 0, -50, 0), "EPSG:2264")
    assert grid.side_metres(feet)[0] == pytest.approx(100 * 0.3048006096, rel=1e-9)
    degrees = grid.geobox(2, 3, Affine(0.001, 0, 10, 0, -0.002, 45), "EPSG:4326")
    across, down = grid.side_metres(degrees)
    earth = Geod(ellps="WGS84")
    # so short a piece of a parallel is hardly longer than the way straight on
    assert across[0] == pytest.approx(earth.inv(10, 45, 10.001, 45)[2], rel=1e-8)
    assert across[2] == pytest.approx(earth.inv(10, 44.996, 10.001, 44.996)[2], rel=1e-8)
    assert down[1] == pytest.approx(earth.inv(10, 44.998, 10, 44.996)[2], rel=1e-12)
    with pytest.raises(GridError, match="must be north up"):
        grid.side_metres(grid.geobox(2, 2, Affine(1, 1, 0, 1, -1, 0), "EPSG:4326"))
