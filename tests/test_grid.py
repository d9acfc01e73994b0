import numpy as np
import pytest
from affine import Affine
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


def test_the_window_of_bounds_is_the_nearest_whole_pixels():
    assert grid.window_of_bounds(UTM, (500_300, 3_999_700, 500_610, 4_000_000)) == Window(
        0, 10, 10, 10
    )
    with pytest.raises(GridError, match="left < right"):
        grid.window_of_bounds(UTM, (1, 0, 0, 1))
    with pytest.raises(GridError, match="overlap"):
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
