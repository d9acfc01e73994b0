"""Polygons on grids of other CRSs, compared with each pixel's position in the polygon's CRS."""

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize

from landshift import grid
from landshift.errors import GridError, VectorError
from landshift.vector import reproject


def on(crs, left, top, cell, height=120, width=150):
    return grid.geobox(height, width, Affine(cell, 0, left, 0, -cell, top), crs)


def places(box, crs="EPSG:4326"):
    """Coordinates of the centres of a grid's pixels in another CRS; NaN off the Earth."""
    rows, columns = np.mgrid[0 : box.height, 0 : box.width] + 0.5
    x, y = grid.apply(box.affine, columns, rows)
    change = pyproj.Transformer.from_crs(box.crs.proj, crs, always_xy=True)
    return [np.where(np.isfinite(v), v, np.nan) for v in change.transform(x, y)]


def burnt(shapes, box, crs="EPSG:4326"):
    moved, _ = reproject.polygons(
        reproject.of_polygons(np.array(shapes, object)), reproject.Way(crs, box)
    )
    assert shapely.is_valid(moved).all()
    shapes = [(shape, 1) for shape in moved if not shape.is_empty]
    if not shapes:
        return np.zeros(box.shape, bool)
    return rasterize(shapes, out_shape=box.shape, transform=box.affine) > 0


ALBERS = on("EPSG:5070", -2_500_000, 3_300_000, 40_000)
UTM = on("EPSG:32631", 400_000, 5_200_000, 1000)
POLAR = on("EPSG:3413", -3_000_000, 3_000_000, 40_000, 150, 150)
SOUTH = on("EPSG:3031", -3_000_000, 3_000_000, 40_000, 150, 150)
CORNER = on("ESRI:54009", -18_000_000, 9_000_000, 100_000, 60, 60)  # its middle is off the Earth
EARTH = on("EPSG:3857", -20_037_508, 14_000_000, 267_166)
NORTH = on("EPSG:3857", 0, 9_000_000, 20_000)


@pytest.mark.parametrize(
    ("box", "bounds"),
    [
        (ALBERS, (-115, 35, -80, 45)),
        (ALBERS, (-180, 40, 180, 90)),
        (UTM, (2, 46, 3, 46.9)),
        (UTM, (-180, -90, 180, 46.5)),
        (UTM, (1.9, -80, 2.1, 80)),
        (POLAR, (-60, 65, 30, 80)),
        (POLAR, (-180, 75, 180, 90)),
        (POLAR, (0, 70, 360, 85)),
        (POLAR, (-180, -90, 180, 80)),
        (SOUTH, (-60, -80, 30, -65)),
        (SOUTH, (-180, -90, 180, -75)),
        (SOUTH, (-180, -80, 180, 90)),
        (NORTH, (2, 50, 20, 60)),
        (CORNER, (-170, 30, -120, 70)),
    ],
)
def test_a_rectangle_in_longitude_and_latitude_covers_its_pixels(box, bounds):
    x, y = places(box)
    left, bottom, right, top = bounds
    inside = (y > bottom) & (y < top) & ((x - left) % 360 < right - left)
    assert 0 < inside.sum() < inside.size
    wrong = burnt([shapely.box(*bounds)], box) != inside
    # within the tolerance of an edge, or on the meridian where a ring closes
    assert wrong.sum() <= 0.001 * inside.size, wrong.sum()


@pytest.mark.parametrize(
    "box", [ALBERS, UTM, POLAR, SOUTH, NORTH, EARTH, on("EPSG:4326", 170, 10, 0.1)]
)
def test_the_world_covers_every_pixel(box):
    assert burnt([shapely.box(-180, -90, 180, 90)], box).all()


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.floats(-125, -70), st.floats(25, 50)), min_size=3, max_size=7),
    st.sampled_from(["EPSG:5070", "EPSG:3857"]),
)
def test_any_polygon_holds_the_pixels_whose_centres_lie_in_it(points, crs):
    box = ALBERS if crs == "EPSG:5070" else on(crs, -13_900_000, 6_500_000, 50_000)
    shape = reproject.of_polygons(np.array([shapely.Polygon(points)], object))[0]
    if shape.area < 1:
        return
    x, y = places(box)
    inside = shapely.contains_xy(shape, x, y)
    wrong = burnt([shape], box) != inside
    # a pixel that differs has its centre within the tolerance (0.02 pixels) of the edge
    near = shapely.distance(shape.boundary, shapely.points(x[wrong], y[wrong]))
    assert (near < 0.02).all()


@pytest.mark.parametrize(
    "box",
    [
        on("EPSG:3857", -20_037_508, 9_000_000, 20_000),
        on("EPSG:3857", 17_037_508, -3_000_000, 20_000),
        on("EPSG:6933", -17_367_530, 7_000_000, 100_000, 140, 340),
        on("ESRI:54009", -18_000_000, 9_000_000, 240_000),
        on("EPSG:5070", -8_000_000, 9_000_000, 150_000),
        EARTH,
        POLAR,
    ],
)
@pytest.mark.parametrize(
    "bounds",
    [
        (-180, -90, 180, 90),
        (0, -90, 360, 90),
        (-180, -90, 180, -40),
        (100, -60, 300, 90),
        (170, 55, 190, 70),
        (-190, -20, -176, -10),
    ],
)
def test_polygons_over_the_seam_of_a_crs_cover_their_pixels(box, bounds):
    """Where Mercator and others cut the Earth open, on grids that touch the cut or hold it."""
    x, y = places(box)
    left, bottom, right, top = bounds
    inside = (y > bottom) & (y < top) & ((x - left) % 360 <= right - left)
    assert (burnt([shapely.box(*bounds)], box) != inside).sum() <= 3


def test_a_line_around_the_earth_crosses_a_grid_at_the_seam():
    west = on("EPSG:3857", -20_037_508, 3_000_000, 20_000)
    parallel = shapely.LineString([(0, 10), (360, 10)])
    moved, cut = reproject.lines(np.array([parallel], object), reproject.Way("EPSG:4326", west))
    x, y = shapely.get_coordinates(shapely.intersection(moved[0], west.extent.geom)).T
    there = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True)
    assert y == pytest.approx(there.transform(0, 10)[1])
    assert (x.min(), x.max()) == pytest.approx((-20_037_508, -17_037_508), abs=1)
    assert cut == 1


EAST = shapely.box(175, -20, 180, -10)
WEST = shapely.box(-180, -20, -176, -10)


@pytest.mark.parametrize(
    "shape", [shapely.MultiPolygon([EAST, WEST]), shapely.box(175, -20, 184, -10)]
)
@pytest.mark.parametrize(
    "box",
    [
        on("EPSG:32760", 600_000, 8_900_000, 10_000, 130, 140),
        on("EPSG:32701", -300_000, 8_900_000, 10_000, 130, 140),
        on("EPSG:3832", 2_700_000, -1_000_000, 10_000),
        on("EPSG:4326", 173, -9, 0.1),
        on("EPSG:4326", -187, -9, 0.1),
        on("EPSG:4269", 173, -9, 0.1),
    ],
)
def test_polygons_over_the_antimeridian(shape, box):
    x, y = places(box)
    inside = (y > -20) & (y < -10) & ((x - 175) % 360 < 9)
    assert inside.sum() > 1000
    assert (burnt([shape], box) != inside).sum() <= 0.002 * inside.size


def test_a_polygon_around_the_pole_on_a_piece_of_a_grid_in_longitude_and_latitude():
    disc = shapely.Point(0, 0).buffer(1_500_000, quad_segs=64)
    box = on("EPSG:4326", 10, 85, 0.1)
    x, y = places(box, "EPSG:3413")
    inside = shapely.contains_xy(disc, x, y)
    assert 0 < inside.sum() < inside.size
    assert (burnt([disc], box, "EPSG:3413") != inside).sum() <= 20


def test_a_cut_through_the_whole_grid_is_one_line():
    disc = shapely.Point(0, 0).buffer(1_500_000)
    with pytest.raises(VectorError, match=r"hold, got 1 that it cuts open on .*4326.*wrapdateline"):
        burnt([disc], on("EPSG:4326", -180, 90, 1.2, 150, 300), "EPSG:3413")


def test_a_sliver_that_collapses_on_the_grid_parts_no_ground_off():
    """A triangle with a hair to (-72, 25), beside a hair along the parallel."""
    triangle = [(-70, 27), (-70, 25), (-71, 26), (-72, 25.000000000000004)]
    sliver = [(-72, 25), (-72, 25.000000000000004), (-70, 25)]
    shape = shapely.MultiPolygon([shapely.Polygon(triangle), shapely.Polygon(sliver)])
    assert shape.is_valid
    moved, _ = reproject.polygons(np.array([shape], object), reproject.Way("EPSG:4326", ALBERS))
    ring = shapely.segmentize(shapely.Polygon(triangle[:3]), 0.01)
    ground = abs(pyproj.Geod(ellps="GRS80").geometry_area_perimeter(ring)[0])
    assert moved[0].area == pytest.approx(ground, rel=0.01)


def test_a_crs_is_cut_open_opposite_its_central_meridian():
    def seam(box):
        return reproject.Way("EPSG:4326", box).seam

    assert seam(EARTH) == pytest.approx(-180)
    assert seam(ALBERS) == pytest.approx(84 - 360)  # of 96 W
    for box in (POLAR, SOUTH, UTM, on("EPSG:4326", 170, 10, 0.1)):
        assert seam(box) is None
    way = reproject.Way("EPSG:4326", EARTH)
    longitudes = {
        (-180, 180): False, (0, 360): True, (175, 184): True, (-190, -176): True,
        (-10, 10): False, (185, 190): False, (-180, 0): False, (0, 180): False, (180, 181): False,
        (-181, -180): False, (530, 550): True,
    }  # fmt: skip
    shapes = np.array([shapely.box(west, 0, east, 1) for west, east in longitudes], object)
    assert way.crosses_seam(shapes).tolist() == list(longitudes.values())
    polar = reproject.Way("EPSG:4326", POLAR)
    assert not polar.crosses_seam(shapes).any()


def test_neighbours_stay_neighbours():
    squares = [shapely.box(x, y, x + 3, y + 3) for x in range(-110, -80, 3) for y in (30, 33, 36)]
    moved, cut = reproject.polygons(np.array(squares, object), reproject.Way("EPSG:4326", ALBERS))
    assert cut == 0
    joined = shapely.union_all(moved)
    assert joined.area == pytest.approx(shapely.area(moved).sum(), rel=1e-12)
    assert len(joined.interiors) == 0


def test_what_lies_elsewhere_is_empty_and_ordinary_edges_keep_their_points():
    far = np.array([shapely.box(-170, -60, -160, -50), shapely.box(2.5, 46, 2.501, 46.001)], object)
    moved, cut = reproject.polygons(far, reproject.Way("EPSG:4326", UTM))
    assert cut == 0
    assert not shapely.intersects(moved[0], UTM.extent.geom)
    assert shapely.get_num_coordinates(moved[1]) == 5


def test_a_polygon_in_the_grids_own_crs_is_left_as_it_is():
    shape = shapely.box(450_000, 5_150_000, 460_000, 5_160_000)
    moved, cut = reproject.polygons(np.array([shape], object), reproject.Way("EPSG:32631", UTM))
    assert (moved[0].equals_exact(shape, 0), cut) == (True, 0)


def test_no_way_between_two_crs_is_one_line():
    site = (
        'ENGCRS["here",EDATUM["here"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],'
        'LENGTHUNIT["metre",1]]'
    )
    with pytest.raises(GridError, match=r"must have a way to the raster's CRS, got '.*reproject"):
        burnt([shapely.box(0, 0, 1, 1)], UTM, site)
    with pytest.raises(GridError, match=r"must have a way to the raster's CRS, got 'Invalid proj"):
        burnt([shapely.box(0, 0, 1, 1)], UTM, "PROJCS[nothing]")


def test_buffers_are_geodesic():
    geod = pyproj.Geod(ellps="WGS84")
    shapes = np.array(
        [shapely.Point(179.999, 60), shapely.LineString([(10, 60), (10.5, 60)])], object
    )
    circle, strip = reproject.buffered(shapes, "EPSG:4326", 1000.0)
    area = abs(geod.geometry_area_perimeter(circle)[0])
    # a polygon of n corners in a circle: n / 2 sin(2 pi / n) r^2
    assert area == pytest.approx(32 * np.sin(2 * np.pi / 64) * 1e6, rel=1e-5)
    length = geod.line_length(*np.linspace([10, 60], [10.5, 60], 100).T)
    area = abs(geod.geometry_area_perimeter(strip)[0])
    assert area == pytest.approx(2000 * length + np.pi * 1e6, rel=1e-3)


def test_lines_and_points_reach_other_crs_too():
    way = reproject.Way("EPSG:4326", ALBERS)
    parallel = shapely.LineString([(-115, 45), (-80, 45)])
    world = shapely.MultiLineString([[(-180, 0), (180, 0)], [(-100, -90), (-100, 90)]])
    moved, cut = reproject.lines(np.array([parallel, world], object), way)
    back = pyproj.Transformer.from_crs("EPSG:5070", "EPSG:4326", always_xy=True)
    x, y = shapely.get_coordinates(shapely.segmentize(moved[0], 5000)).T
    latitudes = back.transform(x, y)[1]
    assert abs(latitudes - 45).max() * 111_000 < 0.02 * 40_000
    # the meridian is there; the equator lies outside of the grid
    assert cut == 1
    assert shapely.intersects(moved[1], ALBERS.extent.geom)
    points = np.array([shapely.Point(-96, 40), shapely.MultiPoint([(-96, 90), (-96, 41)])], object)
    moved = reproject.points(points, reproject.Way("EPSG:4326", NORTH))
    there = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True)
    for shape, latitude in zip(moved, (40, 41), strict=True):
        place = shapely.get_coordinates(shape)
        assert place == pytest.approx(np.array([there.transform(-96, latitude)]))


def test_many_small_polygons_keep_their_points():
    rng = np.random.default_rng(0)
    centres = shapely.points(rng.uniform(2, 4, 200), rng.uniform(45, 47, 200))
    small = shapely.buffer(centres, 0.001)
    moved, _ = reproject.polygons(small, reproject.Way("EPSG:4326", UTM))
    assert (shapely.get_num_coordinates(moved) == shapely.get_num_coordinates(small)).all()


def test_a_buffer_follows_a_line_that_its_projection_bends():
    """Half of a parallel's arc lies kilometres away from the geodesic between its ends."""
    geod = pyproj.Geod(ellps="WGS84")
    line = shapely.LineString([(6, 50), (14, 50)])
    strip = reproject.buffered(np.array([line], object), "EPSG:4326", 1000.0)[0]
    for longitude in (6, 8, 10, 11, 14):
        for azimuth in (0, 180):
            for metres, inside in ((990, True), (1010, False)):
                place = geod.fwd(longitude, 50, azimuth, metres)[:2]
                assert strip.contains(shapely.Point(place)) == inside, (longitude, metres)


@pytest.mark.parametrize("turn", [-360, 0, 360])
def test_what_lies_around_a_grid_is_found_on_every_turn(turn):
    """The band around the Earth can't lie on UTM whole, whichever turn its longitudes count."""
    box = on("EPSG:32631", 400_000, 5_200_000, 1000)
    x, y = places(box)
    inside = (x > 2) & (y < 46.5)
    shape = shapely.box(2 + turn, -90, 178 + turn, 46.5)
    assert 0 < inside.sum() < inside.size
    assert (burnt([shape], box) != inside).sum() <= 0.001 * inside.size


def test_a_neighbourhood_is_the_grid_and_a_margin_on_each_side():
    """Of 5 % of 150 columns and 120 rows of 1 km."""
    result = reproject.Way("EPSG:32631", UTM).neighbourhood
    assert result == pytest.approx((392_500, 5_074_000, 557_500, 5_206_000))
    there = pyproj.Transformer.from_crs("EPSG:3857", "EPSG:4326", always_xy=True)
    corners = np.concatenate(
        [there.transform(-150_000, 6_480_000), there.transform(3_150_000, 9_120_000)]
    )
    assert reproject.Way("EPSG:4326", NORTH).neighbourhood == pytest.approx(corners)
    assert reproject.Way("EPSG:4326", POLAR).neighbourhood[3] == 90
    assert reproject.Way("EPSG:4326", SOUTH).neighbourhood[1] == -90


def test_lengths_are_in_pixels_of_a_turned_grid_too():
    turned = Affine.rotation(30) @ Affine.scale(10, -20)
    way = reproject.Way("EPSG:4326", grid.geobox(5, 5, turned, "EPSG:32631"))
    shift = np.array([turned @ (3, 0), turned @ (0, 2), turned @ (3, -4)])
    assert way.pixels(shift) == pytest.approx([3, 2, 5])


def test_polygons_alone_are_taken_out_of_geometries():
    square = shapely.box(0, 0, 1, 1)
    bow = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    shapes = [
        shapely.Point(3, 3),
        shapely.MultiPoint([(0, 0), (5, 5)]),
        shapely.LineString([(0, 0), (9, 9)]),
        shapely.GeometryCollection([square, shapely.MultiPoint([(5, 5), (6, 6)])]),
        shapely.GeometryCollection([shapely.GeometryCollection([square]), shapely.Point(3, 3)]),
        square,
        bow,
    ]
    result = reproject.of_polygons(np.array(shapes, object))
    assert shapely.area(result).tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert shapely.is_empty(result).tolist() == [True] * 3 + [False] * 4
    assert {shape.geom_type for shape in result[3:]} == {"Polygon", "MultiPolygon"}


def test_lines_and_points_in_the_grids_own_crs_are_left_as_they_are():
    way = reproject.Way("EPSG:32631", UTM)
    line = shapely.LineString([(450_000, 5_150_000), (460_000, 5_160_000)])
    moved, cut = reproject.lines(np.array([line], object), way)
    assert (moved[0].equals_exact(line, 0), cut) == (True, 0)
    point = shapely.Point(450_000, 5_150_000)
    assert reproject.points(np.array([point], object), way)[0].equals_exact(point, 0)
