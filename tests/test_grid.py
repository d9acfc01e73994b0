import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod, Transformer

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


def test_a_window_holds_those_inside_it():
    window = Window(2, 3, 4, 5)
    assert window.holds(window)
    assert window.holds(Window(5, 7, 1, 1))
    assert not window.holds(Window(5, 7, 1, 2))
    assert not window.holds(Window(1, 3, 1, 1))


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
    with pytest.raises(GridError, match=r"must both have a CRS.*`assume_crs`"):
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


def test_north_and_scale_at_a_grids_middle():
    turned = Affine.translation(500_000, 4_000_000) @ Affine.rotation(30) @ Affine.scale(30, -30)
    bearing = grid.bearing(grid.geobox(2, 2, turned, "EPSG:32618"))
    assert bearing.metres == pytest.approx(30 / 0.9996, rel=1e-6)  # on UTM's central meridian
    # columns run 30 degrees left of the east, so that north lies 30 degrees right of up
    assert bearing.north == pytest.approx(30, abs=1e-3)
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


def on_ellipsoid(box, window, points=2_000):
    """The oracle: area of a window in hectares by Karney's polygons, its outline in many steps."""
    steps = np.arange(points) / points
    columns = np.concatenate([steps, np.ones(points), 1 - steps, np.zeros(points)])
    rows = np.concatenate([np.zeros(points), steps, np.ones(points), 1 - steps])
    longitude, latitude = degrees(
        box, window.column + columns * window.width, window.row + rows * window.height
    )
    return abs(earth_of(box).polygon_area_perimeter(longitude, latitude)[0]) / 1e4


def earth_of(box):
    ellipsoid = box.crs.proj.ellipsoid
    return Geod(a=ellipsoid.semi_major_metre, b=ellipsoid.semi_minor_metre)


def degrees(box, columns, rows):
    crs = box.crs.proj
    base = crs.source_crs if crs.is_geographic and crs.is_derived else crs.geodetic_crs
    way = Transformer.from_crs(crs, base, always_xy=True)
    places = way.transform(*(box.affine @ (np.asarray(columns), np.asarray(rows))))
    unit = np.degrees(base.axis_info[0].unit_conversion_factor)  # of a CRS in grads
    return np.array(places) * unit


def sides_of(box, row, column):
    """Metres of the sides below and at the right of a pixel, by geodesics."""
    longitude, latitude = degrees(box, column + np.array([0, 1, 1]), row + np.array([1, 1, 0]))
    return earth_of(box).inv(longitude[:-1], latitude[:-1], longitude[1:], latitude[1:])[2]


TURNED = Affine.rotation(30)
ROTATED_POLE = "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +datum=WGS84"
CURVED = {
    "Web Mercator at 60 N": ("EPSG:3857", 2.8e6, 8.4e6, 20, None),
    "Web Mercator, pixels of 5 cm": ("EPSG:3857", 2.8e6, 8.4e6, 0.05, None),
    "Web Mercator, pixels of 20 km, turned": ("EPSG:3857", 1e6, 1.5e7, 20_000, TURNED),
    "polar stereographic": ("EPSG:3413", -2.5e6, 1e6, 30, None),
    "the pole": ("EPSG:3413", -50_000, 50_000, 100, TURNED),
    "Antarctica, pixels of 25 km": ("EPSG:3031", -3.95e6, 4.35e6, 25_000, None),
    "Lambert conic in France": ("EPSG:2154", 6e5, 6.8e6, 10, TURNED),
    "US survey feet": ("EPSG:2264", 2e6, 6e5, 100, None),
    "UTM far from its zone": ("EPSG:32633", 1.2e6, 5e6, 30, None),
    "Mollweide of the sphere": ("ESRI:54009", -1e6, 6e6, 1_000, None),
    "plate carrée": ("EPSG:32662", 1e6, 6e6, 1_000, None),
    "degrees, turned": ("EPSG:4326", 10, 60, 0.01, TURNED),
    "a rotated pole": (ROTATED_POLE, -20, 15, 0.05, None),
    "a base in grads": ("EPSG:27572", 6e5, 2.4e6, 100, None),
    "Bessel, a datum of its own": ("EPSG:31370", 1.5e5, 1.7e5, 10, None),
}


@pytest.mark.parametrize(
    ("metres", "length", "label"),
    [
        (20_910, 5000, "5 km"), (7_500, 2000, "2 km"), (3_600, 1000, "1 km"),
        (3_500, 500, "500 m"), (10, 2, "2 m"), (2, 0.5, "0.5 m"), (4e7, 1e7, "10000 km"),
    ],
)  # fmt: skip
def test_a_scale_bar_has_the_longest_round_length_that_fits(metres, length, label):
    bar = grid.scale_bar(metres)
    assert (bar.metres, bar.label) == (length, label)
    assert bar.share == length / metres
    assert bar.share <= grid.SCALE_BAR < bar.share * 2.5


@pytest.mark.parametrize("name", CURVED)
def test_areas_and_sides_of_pixels_are_those_of_the_ellipsoid(name):
    crs, x, y, size, turn = CURVED[name]
    affine = Affine.translation(x, y) @ (turn or Affine.identity()) @ Affine.scale(size, -size)
    box = grid.geobox(600, 700, affine, crs)
    ground = grid.ground(box)
    for window in (Window(0, 0, 80, 50), Window(500, 490, 40, 60), Window(299, 420, 101, 1)):
        assert ground.hectares(window).sum() == pytest.approx(on_ellipsoid(box, window), rel=2e-7)
    if size > 1:  # coordinates of places 5 cm apart don't give their distance to a millionth
        window = Window(510, 511, 3, 4)
        below, right = ground.sides(window)
        assert (below[2, 1], right[2, 1]) == pytest.approx(sides_of(box, 512, 512), rel=1e-5)
        assert (below[0, 3], right[0, 3]) == pytest.approx(sides_of(box, 510, 514), rel=1e-5)


def test_web_mercator_gives_the_ground_its_size():
    box = grid.geobox(100, 100, Affine(20, 0, 2_782_987.27, 0, -20, 8_399_737.89), "EPSG:3857")
    whole = grid.ground(box).hectares(Window(0, 0, 100, 100))
    assert whole.sum() == pytest.approx(100.55, abs=0.2)  # 400 ha in the plane
    assert whole[0, 0] < whole[99, 0]


@pytest.mark.parametrize(
    ("crs", "x", "y"),
    [
        ("EPSG:5070", 0, 2e6),
        ("EPSG:3035", 4.3e6, 3.2e6),
        ("EPSG:6933", 0, 6e6),
        ("EPSG:2163", -5e5, 5e5),
        ("+proj=sinu +R=6371007.181", -1e6, 6e6),
    ],
)
def test_areas_of_an_equal_area_crs_are_those_of_its_plane(crs, x, y):
    box = grid.geobox(600, 700, Affine(500, 0, x, 0, -500, y), crs)
    ground = grid.ground(box)
    window = Window(100, 200, 300, 400)
    assert set(ground.hectares(window).ravel()) == {25.0}
    assert on_ellipsoid(box, window) == pytest.approx(25 * 300 * 400, rel=1e-6)
    assert {float(v) for sides in ground.sides(window) for v in sides.ravel()} == {500.0}


def test_transverse_mercator_in_its_zone_has_its_planes_areas_to_0_2_per_cent():
    whole = Window(0, 0, 100, 80)
    assert set(grid.ground(UTM).hectares(whole).ravel()) == {0.09}
    assert on_ellipsoid(UTM, whole) == pytest.approx(0.09 * 8_000 * 1.0008, rel=2e-5)
    to_utm = Transformer.from_crs("EPSG:4326", "EPSG:32618", always_xy=True)
    for latitude, off in ((0.2, 0.0019), (40, 0.00083), (60, -0.00012), (84, -0.00077)):
        x, y = to_utm.transform(-72.02, latitude)  # the zone's border, nearly
        edge = grid.geobox(10, 10, Affine(30, 0, x, 0, -30, y), "EPSG:32618")
        window = Window(0, 0, 10, 10)
        assert set(grid.ground(edge).hectares(window).ravel()) == {0.09}
        assert 9 / on_ellipsoid(edge, window) - 1 == pytest.approx(off, abs=1e-4)
    beyond = grid.geobox(10, 10, Affine(30, 0, 900_000, 0, -30, 1e6), "EPSG:32618")
    assert grid.ground(beyond).hectares(window)[0, 0] == pytest.approx(0.09 / 1.0031, rel=1e-4)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from(["u1", "u2", "i4"]))
def test_codes_are_counted_as_by_bincount(seed, width, kind):
    codes = np.random.default_rng(seed).integers(0, 200, (7, width)).astype(kind)
    assert (grid.counts(codes, 256) == np.bincount(codes.ravel(), minlength=256)).all()


@pytest.mark.parametrize(
    "box",
    [
        UTM,
        grid.geobox(100, 80, Affine(0.1, 0, 10, 0, -0.1, 50), "EPSG:4326"),
        grid.geobox(100, 80, Affine(5000, 0, 0, 0, -5000, 6e6), "EPSG:3857"),
    ],
    ids=["alike", "by row", "curved"],
)
@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_a_tally_is_the_pixels_and_areas_of_each_code(box, kind):
    window = Window(20, 30, 51, 41)
    codes = np.random.default_rng(0).integers(0, 9, (51, 41)).astype(kind)
    ground = grid.ground(box)
    pixels, hectares = ground.tally(window, codes, 10)
    assert pixels.tolist() == [(codes == k).sum() for k in range(10)]
    areas = ground.hectares(window)
    assert hectares == pytest.approx([areas[codes == k].sum() for k in range(10)], rel=1e-12)


def test_feet_become_metres():
    # Florida East: transverse Mercator in US survey feet
    feet = grid.geobox(2, 2, Affine(100, 0, 656_166, 0, -50, 9e5), "EPSG:2236")
    ground = grid.ground(feet)
    foot = 1200 / 3937
    assert ground.hectares(Window(0, 0, 2, 2)) == pytest.approx(100 * 50 * foot**2 / 1e4)
    below, right = ground.sides(Window(0, 0, 2, 2))
    assert below == pytest.approx(100 * foot)
    assert right == pytest.approx(50 * foot)


@pytest.mark.parametrize("latitude", [-8.3, 0.25, 45.0, 71.0, 90.0])
@pytest.mark.parametrize("up", [False, True])
def test_pixels_of_a_geographic_raster_have_their_geodesic_area(latitude, up):
    size = 0.5
    affine = Affine(size, 0, 10, 0, size if up else -size, latitude - 4 * size * up)
    box = grid.geobox(4, 3, affine, "EPSG:4326")
    hectares = grid.ground(box).hectares(Window(0, 0, 4, 3))
    for row in range(4):
        pixel = Window(row, 2, 1, 1)
        assert hectares[row, 2] == pytest.approx(on_ellipsoid(box, pixel, 500), rel=1e-8)
    assert (hectares == hectares[:, :1]).all()
    assert (grid.ground(box).hectares(Window(1, 1, 2, 2)) == hectares[1:3, 1:3]).all()


def test_a_sphere_has_the_areas_of_a_sphere():
    box = grid.geobox(2, 1, Affine(1, 0, 0, 0, -1, 61), "+proj=longlat +R=6371000")
    hectares = grid.ground(box).hectares(Window(0, 0, 2, 1))[:, 0]
    sines = np.sin(np.radians([61, 60, 59]))
    assert hectares == pytest.approx(6371**2 * 100 * np.radians(1) * -np.diff(sines))


def test_rows_over_a_pole_end_at_it():
    box = grid.geobox(181, 360, Affine(1, 0, -180, 0, -1, 90.5), "EPSG:4326")
    ground = grid.ground(box)
    world = ground.hectares(Window(0, 0, 181, 360)).sum()
    assert world == pytest.approx(51_006_562_172.4, rel=1e-9)  # WGS 84
    below, right = ground.sides(Window(0, 0, 181, 1))
    assert right[0, 0] == pytest.approx(right[1, 0] / 2, rel=1e-3)
    assert below[-1, 0] == pytest.approx(0, abs=1e-6)


def test_sides_of_geographic_pixels_follow_parallels_and_meridians():
    box = grid.geobox(2, 3, Affine(0.001, 0, 10, 0, -0.002, 45), "EPSG:4326")
    below, right = grid.ground(box).sides(Window(0, 0, 2, 3))
    earth = Geod(ellps="WGS84")
    # so short a piece of a parallel is hardly longer than the way straight on
    assert below[0] == pytest.approx(earth.inv(10, 44.998, 10.001, 44.998)[2], rel=1e-8)
    assert below[1] == pytest.approx(earth.inv(10, 44.996, 10.001, 44.996)[2], rel=1e-8)
    assert right[0] == pytest.approx(earth.inv(10, 45, 10, 44.998)[2], rel=1e-12)
    assert right[1] == pytest.approx(earth.inv(10, 44.998, 10, 44.996)[2], rel=1e-12)


def test_areas_are_the_same_whatever_window_they_are_read_in():
    box = grid.geobox(1200, 1300, Affine(900, 0, -4e5, 0, -900, 9e5), "EPSG:3413")
    ground = grid.ground(box)
    whole = ground.hectares(Window(0, 0, 1200, 1300))
    for window in (Window(0, 0, 1, 1300), Window(270, 275, 300, 10), Window(1199, 1299, 1, 1)):
        assert ground.hectares(window) == pytest.approx(whole[window.slices], rel=1e-13)
        shares = ground.shares(window)
        assert shares * ground.share == pytest.approx(whole[window.slices], rel=1e-9)
    assert UTM.crs is not None
    assert grid.ground(UTM).shares(Window(0, 0, 2, 2)).tolist() == [[2**30] * 2] * 2


def test_pixels_off_the_ellipsoid_have_no_area():
    goes = "+proj=geos +h=35785831 +lon_0=-75 +sweep=x"
    size = 40_000
    box = grid.geobox(300, 300, Affine(size, 0, -6e6, 0, -size, 6e6), goes)
    hectares = grid.ground(box).hectares(Window(0, 0, 300, 300))
    middle = np.arange(300) + 0.5
    longitude, _ = degrees(box, *np.meshgrid(middle, middle))
    on = np.isfinite(longitude)
    assert (hectares[~on] == 0).all()
    assert (hectares[on] > 0).mean() > 0.99  # a step outward from the last ones leads off
    below, right = grid.ground(box).sides(Window(0, 0, 3, 3))
    assert not below.any()
    assert not right.any()
    window = Window(145, 148, 9, 6)
    assert hectares[window.slices].sum() == pytest.approx(on_ellipsoid(box, window), rel=1e-6)
    with pytest.raises(
        GridError, match="must have a place on the CRS's ellipsoid, got none of 2 x"
    ):
        grid.ground(grid.geobox(2, 2, Affine(size, 0, 9e6, 0, -size, 9e6), goes))


LOCAL = 'LOCAL_CS["drawing",UNIT["metre",1]]'


def test_areas_need_a_crs_on_an_ellipsoid():
    with pytest.raises(GridError, match="need a CRS, got a raster without one; assign"):
        grid.ground(grid.geobox(1, 1, Affine.identity(), None))
    with pytest.raises(GridError, match=r"need a CRS on an ellipsoid, got 1 x 1 .*own CRS"):
        grid.ground(grid.geobox(1, 1, Affine.identity(), LOCAL))
    for crs in (None, LOCAL):
        assert grid.known_ground(grid.geobox(1, 1, Affine.identity(), crs)) is None
    assert grid.known_ground(UTM) is not None


def _written(code, kind):
    from pyproj import CRS

    return CRS(code).to_wkt(kind)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("EPSG:4326", "OGC:CRS84"),
        ("EPSG:4326", "EPSG:4979"),
        ("EPSG:32618", "EPSG:32618+5773"),
        ("EPSG:28992", "EPSG:7415"),
        ("EPSG:3857", "ESRI:102100"),
        ("EPSG:32618", "+proj=utm +zone=18 +datum=WGS84 +units=m"),
        *[
            (code, _written(code, kind))
            for code in ("EPSG:26918", "EPSG:5070", "EPSG:3035", "EPSG:3006", "EPSG:2193",
                         "EPSG:31287", "EPSG:5514", "EPSG:4269")
            for kind in ("WKT1_GDAL", "WKT1_ESRI", "WKT2_2019")
        ],
    ],
)  # fmt: skip
def test_a_crs_is_the_same_however_it_is_written(first, second):
    from pyproj import CRS, Transformer

    assert grid.same_crs(first, second)
    assert grid.same_crs(second, first)
    flat = [CRS(c).to_2d() for c in (first, second)]
    way = Transformer.from_crs(*flat, always_xy=True)
    assert way.transform(1.5, 2.5) == (1.5, 2.5)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("EPSG:4326", "EPSG:4269"),
        ("EPSG:4326", "EPSG:4258"),
        ("EPSG:26918", "EPSG:32618"),
        ("EPSG:32618", "EPSG:32619"),
        ("EPSG:2263", "EPSG:32118"),
        ("EPSG:5513", "EPSG:5514"),
        ("EPSG:32661", "EPSG:32761"),
        ("EPSG:6350", "ESRI:102039"),
        ("+proj=tmerc +lat_0=0 +lon_0=9 +ellps=bessel +towgs84=598,73,418,0,0,0,0",
         "+proj=tmerc +lat_0=0 +lon_0=9 +ellps=bessel +towgs84=0,0,0,0,0,0,0"),
        ("EPSG:4326", None),
        ("EPSG:4326", "no CRS"),
    ],
)  # fmt: skip
def test_other_datums_units_zones_and_axes_are_other_crs(first, second):
    assert not grid.same_crs(first, second)
    assert not grid.same_crs(second, first)


def test_no_crs_is_like_no_crs():
    assert grid.same_crs(None, None)


def test_a_crs_that_pyproj_doesnt_take_is_one_line():
    from rasterio.crs import CRS

    wkt = _written("EPSG:32618", "WKT1_GDAL").replace('"WGS 84 / UTM', '"site {A} / UTM')
    with pytest.raises(GridError, match=r"CRS must be one that PROJ knows, got .*; assign"):
        grid.geobox(2, 2, Affine(1, 0, 0, 0, -1, 0), CRS.from_wkt(wkt))


def test_windows_of_one_pixel_are_the_least_and_know_their_slices():
    window = Window(3, 4, 1, 1)
    assert window.slices == (slice(3, 4), slice(4, 5))
    assert window.shifted(-1, 5) == Window(2, 9, 1, 1)
    for empty in ((0, 1), (1, 0)):
        with pytest.raises(GridError, match=rf"hold a pixel, got {empty[0]} x {empty[1]}"):
            Window(0, 0, *empty)
    assert Window(-2, -3, 9, 9).clipped(4, 5) == Window(0, 0, 4, 5)
    assert Window(2, 3, 9, 9).clipped(4, 5) == Window(2, 3, 2, 2)
    for beside in (
        Window(4, 0, 1, 1),
        Window(0, 5, 1, 1),
        Window(-1, 0, 1, 1),
        Window(0, -2, 1, 2),
    ):
        with pytest.raises(GridError, match="overlap the raster of 4 x 5"):
            beside.clipped(4, 5)


def test_a_grid_has_no_more_rows_than_gdal_counts():
    most = 2**31 - 1
    assert grid.geobox(1, most, Affine.identity(), None).width == most
    for size in ((most + 1, 1), (1, most + 1)):
        with pytest.raises(GridError, match=r"at most 2,147,483,647 rows and columns, got"):
            grid.geobox(*size, Affine.identity(), None)


def test_a_window_of_a_turned_grid_starts_at_its_corner():
    turned = Affine.translation(10, 20) @ Affine.rotation(90) @ Affine.scale(2, -3)
    box = grid.window_geobox(grid.geobox(9, 9, turned, None), Window(2, 5, 3, 4))
    assert box.shape == (3, 4)
    assert box.affine @ (0, 0) == pytest.approx((10 + 3 * 2, 20 + 2 * 5))


def test_a_grid_in_a_few_words():
    assert grid.describe(UTM) == "80 x 100 pixels of 30 x 30 at 500000, 4000000 (EPSG:32618)"
    own = grid.geobox(2, 3, Affine(1.5, 0, -7.25, 0, 2, 8), "+proj=sinu +R=6371007.181")
    assert grid.describe(own) == "3 x 2 pixels of 1.5 x 2 at -7.25, 8 (own CRS)"
    assert grid.describe(grid.geobox(1, 1, Affine.identity(), None)).endswith("(no CRS)")


@pytest.mark.parametrize("corner", [(0, 0), (80, 0), (0, 100), (80, 100)])
@pytest.mark.parametrize("down", [False, True])
def test_every_corner_of_two_grids_is_compared(corner, down):
    """Grids apart by 0 at the opposite corner, by `by` at the two beside, by twice that at this."""

    def other(by):
        across, along = (by / n if at else -by / n for at, n in zip(corner, (80, 100), strict=True))
        start = by * (2 - (corner[0] > 0) - (corner[1] > 0))
        if down:
            shift = Affine(1, 0, 0, across, 1 + along, start)
        else:
            shift = Affine(1 + across, along, start, 0, 1, 0)
        return grid.geobox(100, 80, UTM.affine @ shift, UTM.crs)

    assert grid.same(UTM, other(0.00049))
    assert not grid.same(UTM, other(0.00051))
    assert not grid.same(UTM, other(-0.00051))


def test_grids_of_another_size_or_direction_differ():
    assert not grid.same(UTM, grid.geobox(99, 80, UTM.affine, UTM.crs))
    assert not grid.same(UTM, grid.geobox(100, 80, UTM.affine, None))
    up = grid.geobox(100, 80, Affine(30, 0, 500_000, 0, 30, 3_997_000), UTM.crs)
    assert not grid.same(UTM, up)
    grid.check_same(UTM, UTM, what="Images", names=("a", "b"))


def test_the_extent_follows_a_bent_outline():
    # a parallel bends upward in this projection: its middle lies beyond its corners
    conic = grid.geobox(100, 100, Affine(1e5, 0, -5e6, 0, -1e5, 5e6), "EPSG:5070")
    strip = grid.geobox(10, 60, Affine(1, 0, -126, 0, -1, 50), "EPSG:4326")
    top, left, bottom, right = grid.extent(strip, conic)
    to = Transformer.from_crs("EPSG:4326", "EPSG:5070", always_xy=True)
    assert top == pytest.approx((5e6 - to.transform(-126, 50)[1]) / 1e5, abs=1e-6)
    assert bottom == pytest.approx((5e6 - to.transform(-96, 40)[1]) / 1e5, abs=1e-6)
    assert left == pytest.approx((to.transform(-126, 40)[0] + 5e6) / 1e5, abs=1e-6)
    assert right == pytest.approx((to.transform(-66, 40)[0] + 5e6) / 1e5, abs=1e-6)


def test_a_grid_without_a_place_on_another_is_refused():
    world = grid.geobox(180, 360, Affine(1, 0, -180, 0, -1, 90), "EPSG:4326")
    geos = "+proj=geos +h=35785831 +lon_0=-75 +sweep=x"
    behind = grid.geobox(10, 10, Affine(1, 0, 100, 0, -1, 5), "EPSG:4326")  # of the earth
    full_disk = grid.geobox(100, 100, Affine(1e5, 0, -5e6, 0, -1e5, 5e6), geos)
    with pytest.raises(GridError, match="must have a place on the target's CRS"):
        grid.extent(behind, full_disk)
    first_row, first_column, last_row, last_column = grid.extent(full_disk, world)
    assert 0 < first_row < last_row < 180
    assert 0 < first_column < last_column < 360


def test_the_window_of_bounds_is_cut_and_may_be_turned_or_empty():
    assert grid.window_of_bounds(UTM, (499_000, 3_999_980, 500_044, 4_000_999)) == Window(
        0, 0, 1, 1
    )
    half = grid.window_of_bounds(UTM, (500_016, 3_999_900, 500_104, 3_999_944))
    assert half == Window(2, 1, 1, 2)
    with pytest.raises(GridError, match="must hold a pixel"):
        grid.window_of_bounds(UTM, (500_001, 3_999_000, 500_014, 4_000_000))
    with pytest.raises(GridError, match="must hold a pixel"):
        grid.window_of_bounds(UTM, (500_000, 3_999_991, 500_300, 3_999_999))
    with pytest.raises(GridError, match="bottom < top"):
        grid.window_of_bounds(UTM, (500_000, 4_000_000, 500_300, 4_000_000))
    up = grid.geobox(100, 80, Affine(-30, 0, 502_400, 0, 30, 3_997_000), "EPSG:32618")
    assert grid.window_of_bounds(up, (500_000, 3_997_000, 500_060, 3_997_090)) == Window(
        0, 78, 3, 2
    )


def test_a_turned_or_sheared_grid_in_its_zone_has_its_planes_areas_and_sides():
    turned = Affine.translation(5e5, 4e6) @ Affine.rotation(30) @ Affine.scale(30, -20)
    ground = grid.ground(grid.geobox(2, 2, turned, "EPSG:32618"))
    assert ground.hectares(Window(0, 0, 2, 2)) == pytest.approx(0.06)
    below, right = ground.sides(Window(0, 0, 2, 2))
    assert below == pytest.approx(30)
    assert right == pytest.approx(20)
    sheared = grid.geobox(2, 2, Affine(30, 8, 5e5, 5, -20, 4e6), "EPSG:32618")
    hectares = grid.ground(sheared).hectares(Window(0, 0, 2, 2))
    assert hectares == pytest.approx((30 * 20 + 8 * 5) / 1e4)


def test_a_pixel_alone_in_the_corner_of_its_square_is_not_lost():
    # the tip of a lobe of Goode's projection, of which a square of 124 pixels holds one pixel
    lobe = Affine(2000, 0, 5_792_000, 0, -2000, 8_700_000)
    box = grid.geobox(248, 248, lobe, "+proj=goode +datum=WGS84")
    hectares = grid.ground(box).hectares(Window(124, 0, 124, 124))
    assert np.argwhere(hectares).tolist() == [[123, 0]]
    assert hectares[123, 0] == pytest.approx(400, rel=0.01)


def test_grads_are_no_degrees():
    box = grid.geobox(3, 2, Affine(0.01, 0, 1, 0, -0.01, 54), "EPSG:4807")
    hectares = grid.ground(box).hectares(Window(0, 0, 3, 2))
    assert hectares[1, 1] == pytest.approx(on_ellipsoid(box, Window(1, 1, 1, 1)), rel=1e-6)
    below, right = grid.ground(box).sides(Window(0, 0, 3, 2))
    assert (below[2, 1], right[2, 1]) == pytest.approx(sides_of(box, 2, 1), rel=1e-6)
    projected = grid.geobox(2, 2, Affine(30, 0, 6e5, 0, -30, 2.4e6), "EPSG:27572")
    bearing = grid.bearing(projected)
    assert bearing.metres == pytest.approx(30, rel=2e-3)
    assert bearing.north == pytest.approx(0, abs=0.1)  # on the projection's own meridian
    east = grid.geobox(2, 2, Affine(30, 0, 9e5, 0, -30, 2.4e6), "EPSG:27572")
    longitude, latitude = degrees(east, [1, 1.5], [1, 1])
    middle = [longitude[0], latitude[0]]
    up = degrees(east, [1], [0.5])
    azimuth = Geod(a=6378249.2, b=6356515).inv(*middle, up[0][0], up[1][0])[0]
    assert grid.bearing(east).north == pytest.approx(-azimuth, abs=1e-4)
    assert abs(azimuth) > 2


def test_pixels_larger_than_a_square_have_areas_too():
    box = grid.geobox(10, 10, Affine(300_000, 0, -1.5e6, 0, -300_000, 1.5e6), "EPSG:3413")
    hectares = grid.ground(box).hectares(Window(0, 0, 10, 10))
    for row, column in ((0, 0), (4, 5), (9, 3)):
        pixel = Window(row, column, 1, 1)
        assert hectares[row, column] == pytest.approx(on_ellipsoid(box, pixel), rel=1e-6)
