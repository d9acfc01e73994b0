import csv
import json
from functools import partial

import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from odc.geo.crs import CRS

import commands
from landshift import grid, raster
from landshift.classes import ClassScheme
from landshift.errors import ClassError, GridError
from landshift.grid import Window
from landshift.maps import zonal
from landshift.show import figures
from scenes import write

LEFT, TOP = 500_000.0, 4_000_000.0


def polygons(path, shapes, names, crs="EPSG:32618"):
    outlines = shapely.to_wkb(np.array(shapes, object))
    pyogrio.raw.write(
        path, outlines, [np.array(names, object)], np.array(["name"], object), driver="GPKG",
        geometry_type="Unknown", crs=crs,
    )  # fmt: skip
    return path


def box(left, top, right, bottom):
    """A rectangle given in pixels of 30 m."""
    return shapely.box(LEFT + 30 * left, TOP - 30 * bottom, LEFT + 30 * right, TOP - 30 * top)


def test_border_pixels_count_by_their_part(tmp_path):
    mapped = write(tmp_path / "map.tif", np.array([[1, 1, 2], [0, 2, 2]], np.uint8), nodata=0)
    path = polygons(
        tmp_path / "z.gpkg", [box(0.5, 0.5, 2.25, 1.5), box(2, 0, 4, 1), box(2, 1, 3, 2)],
        ["a", "b", "b"],
    )  # fmt: skip
    zones = zonal.measure_zones(mapped, path, "name")
    assert zones.names == ("a", "b")
    assert zones.classes == {1: "class 1", 2: "class 2"}
    # a: class 1 half of 1.5 pixels; class 2 1/8 of the corner, 1/2 and 1/8 below
    assert zones.hectares / 0.09 == pytest.approx(np.array([[0.75, 0.75], [0, 2]]), abs=1e-6)
    assert zones.outside == pytest.approx([0.25 / 1.75, 1 / 3], abs=1e-6)
    assert zones.rows()[0] == {"zone": "a", "class": "class 1", "hectares": 0.0675, "percent": 50.0}


def test_zones_that_part_the_map_have_its_area(tmp_path, monkeypatch):
    monkeypatch.setattr(zonal.raster, "blocks", partial(raster.blocks, size=16))
    random = np.random.default_rng(0)
    codes = random.integers(0, 4, (50, 70)).astype(np.uint8)
    mapped = write(
        tmp_path / "map.tif", codes, nodata=0, crs="EPSG:4326", origin=(10, 50), pixel=0.1
    )
    corners = shapely.MultiPoint([(x, y) for x, y in random.uniform((9, 44), (18, 51), (40, 2))])
    cells = shapely.get_parts(
        shapely.voronoi_polygons(corners, extend_to=shapely.box(0, 40, 30, 60))
    )
    path = polygons(tmp_path / "z.gpkg", cells, [f"z{k}" for k in range(40)], "EPSG:4326")
    zones = zonal.measure_zones(mapped, path, "name")
    areas = grid.ground(raster.info(mapped).grid).hectares(Window(0, 0, *codes.shape))
    whole = [((codes == v) * areas).sum() for v in (1, 2, 3)]
    assert zones.hectares.sum(axis=0) == pytest.approx(whole, rel=1e-7)
    monkeypatch.setattr(zonal.raster, "blocks", partial(raster.blocks, size=1000))
    at_once = zonal.measure_zones(mapped, path, "name")
    assert zones.hectares == pytest.approx(at_once.hectares, rel=1e-5, abs=1e-2)


def test_a_turned_grid_and_another_crs(tmp_path):
    import rasterio

    turned = Affine.translation(LEFT, TOP) @ Affine.rotation(30) @ Affine.scale(30, -30)
    with rasterio.open(
        tmp_path / "map.tif", "w", driver="GTiff", count=1, height=20, width=20, dtype="uint8",
        crs="EPSG:32618", transform=turned, nodata=0,
    ) as target:  # fmt: skip
        target.write(np.ones((1, 20, 20), np.uint8))
    centre = shapely.Point(turned @ (10, 10)).buffer(150, quad_segs=64)
    path = polygons(tmp_path / "z.gpkg", [centre], ["disc"])
    zones = zonal.measure_zones(tmp_path / "map.tif", path, "name")
    assert zones.hectares[0, 0] == pytest.approx(centre.area / 10_000, rel=1e-6)

    from pyproj import Transformer

    way = Transformer.from_crs("EPSG:32618", "EPSG:4326", always_xy=True)
    degrees = shapely.transform(centre, way.transform, interleaved=False)
    path = polygons(tmp_path / "d.gpkg", [degrees], ["disc"], "EPSG:4326")
    moved = zonal.measure_zones(tmp_path / "map.tif", path, "name")
    assert moved.hectares[0, 0] == pytest.approx(centre.area / 10_000, rel=1e-6)


def test_zones_as_files(tmp_path):
    scheme = ClassScheme.from_mapping({1: "forest->urban", 2: "No change"})
    mapped = write(
        tmp_path / "map.tif", np.array([[1, 2], [2, 2]], np.uint8), nodata=0,
        LANDSHIFT_CLASSES=json.dumps(scheme.as_list()),
    )  # fmt: skip
    path = polygons(tmp_path / "z.gpkg", [box(0, 0, 1, 1), box(0, 0, 2, 2)], ["a", "b"])
    zones = zonal.measure_zones(mapped, path, "name")
    with zones.write_csv(tmp_path / "z.csv").open() as file:
        rows = [tuple(r.values()) for r in csv.DictReader(file)]
    assert rows == [
        ("a", "forest->urban", "0.09", "100.0"),
        ("b", "forest->urban", "0.09", "25.0"),
        ("b", "No change", "0.27", "75.0"),
    ]
    first = zones.write_geopackage(tmp_path / "out.gpkg").read_bytes()
    about, _, outlines, values = pyogrio.raw.read(tmp_path / "out.gpkg", layer="zones")
    assert list(about["fields"]) == ["zone", "forest->urban, ha", "No change, ha", "changed, %"]
    assert values[1].tolist() == [0.09, 0.09]
    assert values[3].tolist() == [100, 25]
    styles, _, _, rows = pyogrio.raw.read(tmp_path / "out.gpkg", layer="layer_styles")
    style = dict(zip(styles["fields"], (v[0] for v in rows), strict=True))["styleQML"]
    assert style.count("<range ") == 5
    assert 'lower="80.0" upper="100.0"' in style
    assert shapely.area(shapely.from_wkb(outlines)).tolist() == [900, 3600]
    assert CRS(about["crs"]) == CRS("EPSG:32618")
    assert zones.write_geopackage(tmp_path / "out.gpkg", overwrite=True).read_bytes() == first


def test_crossed_outlines_are_repaired(tmp_path):
    mapped = write(tmp_path / "map.tif", np.ones((4, 4), np.uint8))
    crossed = shapely.transform(
        shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)]), lambda x: x * (30, -30) + (LEFT, TOP)
    )
    line = shapely.transform(
        shapely.Polygon([(0, 0), (3, 3), (0, 0), (0, 0)]), lambda x: x * (30, -30) + (LEFT, TOP)
    )
    path = polygons(tmp_path / "z.gpkg", [crossed, line], ["crossed", "line"])
    zones = zonal.measure_zones(mapped, path, "name")
    assert zones.hectares[:, 0] / 0.09 == pytest.approx([2, 0], abs=1e-6)
    assert zones.outside == pytest.approx([0, 1], abs=1e-6)
    assert zones.write_geopackage(tmp_path / "out.gpkg").is_file()


def test_a_long_edge_in_longitude_and_latitude_is_a_parallel_on_the_map(tmp_path):
    import pyproj

    values = np.ones((300, 500), np.uint8)
    mapped = write(
        tmp_path / "m.tif", values, nodata=0, crs="EPSG:5070", origin=(-2_500_000, 3_300_000),
        pixel=10_000,
    )  # fmt: skip
    path = polygons(tmp_path / "z.gpkg", [shapely.box(-115, 35, -80, 45)], ["a"], crs="EPSG:4326")
    zones = zonal.measure_zones(mapped, path, "name")
    # Albers: what lies between two parallels and two meridians on the ellipsoid
    ellipsoid = pyproj.Geod(ellps="GRS80")
    east = np.linspace(-115, -80, 5001)
    ring = np.concatenate([east, east[::-1]]), np.repeat([35.0, 45.0], 5001)
    area = abs(ellipsoid.polygon_area_perimeter(*ring)[0]) / 1e4
    assert zones.hectares.sum() == pytest.approx(area, rel=1e-4)


def test_zones_that_miss_the_map_are_refused(tmp_path):
    mapped = write(tmp_path / "map.tif", np.ones((3, 3), np.uint8))
    far = polygons(tmp_path / "far.gpkg", [box(10, 10, 11, 11)], ["far"])
    with pytest.raises(GridError, match="must lie on pixels of the map"):
        zonal.measure_zones(mapped, far, "name")
    with pytest.raises(ClassError, match="must be one of name, got 'id'"):
        zonal.measure_zones(mapped, far, "id")
    near = polygons(tmp_path / "near.gpkg", [box(0, 0, 1, 1)], ["near"])
    with pytest.raises(ClassError, match="got no name for 1"):
        zonal.measure_zones(mapped, near, "name", classes=ClassScheme.from_mapping({2: "forest"}))


@pytest.fixture
def changing(tmp_path):
    """A map with 'No change', and three zones: half changed, not at all, off the map."""
    scheme = ClassScheme.from_mapping({1: "to crop", 2: "to $urban$", 3: "No change"})
    codes = np.array([[1, 3, 3, 3], [2, 3, 3, 3]], np.uint8)
    mapped = write(
        tmp_path / "map.tif", codes, nodata=0, LANDSHIFT_CLASSES=json.dumps(scheme.as_list())
    )
    ring = box(2, 0, 4, 2) - box(2.5, 0.5, 3, 1)
    zones = polygons(
        tmp_path / "z.gpkg", [box(0, 0, 2, 2), ring, box(5, 0, 6, 1)], ["west", "east", "far"]
    )
    return mapped, zones


def test_zones_tell_their_share_of_change(changing):
    zones = zonal.measure_zones(*changing, "name")
    np.testing.assert_allclose(zones.percent(), [50, 0, np.nan])
    np.testing.assert_allclose(zones.percent("to crop"), [25, 0, np.nan])
    with pytest.raises(ClassError, match=r"must be one of to crop, .*, got 'to ice'"):
        zones.percent("to ice")


def test_change_in_zones_needs_to_know_what_stayed(tmp_path):
    mapped = write(tmp_path / "map.tif", np.array([[1, 2]], np.uint8), nodata=0)
    zones = zonal.measure_zones(
        mapped, polygons(tmp_path / "z.gpkg", [box(0, 0, 2, 1)], ["a"]), "name"
    )
    with pytest.raises(ClassError, match="needs a class that means 'unchanged', got class 1"):
        zones.percent()


def test_zones_are_drawn_by_their_share(changing, tmp_path):
    figure = figures.show_zones(zonal.measure_zones(*changing, "name"))
    axes, bar = figure.axes
    assert [t.get_text() for t in axes.texts] == ["west\n50.0 %", "east\n0.0 %", "far\nno class"]
    assert (axes.get_title(), bar.get_ylabel()) == (
        "Share that changed", "% of the zone's classed area",
    )  # fmt: skip
    drawn, off = axes.collections
    assert (len(drawn.get_paths()), off.get_hatch()) == (2, "////")
    # the brightest is the most, and a hole is a second ring
    assert drawn.get_facecolors()[0].mean() > drawn.get_facecolors()[1].mean()
    assert len(drawn.get_paths()[1].to_polygons()) == 2
    for of in (None, "to $urban$"):  # no formula
        out = figures.save(
            figures.show_zones(zonal.measure_zones(*changing, "name"), of), tmp_path / "z.png"
        )
        assert out.stat().st_size > 5000


def test_a_picture_of_zones_on_the_command_line(changing, tmp_path):
    mapped, zones = map(str, changing)
    picture, table = tmp_path / "z.png", tmp_path / "z.csv"
    arguments = ["zonal", mapped, zones, "--column", "name", "-o", str(table)]
    completed = commands.run(*arguments, "--picture", str(picture), "--of", "to crop")
    assert completed.exit_code == 0, completed.output
    assert picture.read_bytes().startswith(b"\x89PNG")
    completed = commands.run(*arguments, "--of", "to crop")
    assert "without --picture" in completed.stderr


def test_two_classes_of_one_name_are_refused_not_overwritten(tmp_path):
    mapped = write(tmp_path / "map.tif", np.array([[1, 2, 3, 3]], np.uint8), nodata=0)
    path = polygons(tmp_path / "z.gpkg", [box(0, 0, 4, 1), box(0, 0, 2, 1)], ["all", "west"])
    scheme = ClassScheme.from_mapping({1: "Other", 2: "forest", 3: "other"})
    with pytest.raises(ClassError, match=r"names must differ, got 'Other' for 1, 3 in .*map\.tif"):
        zonal.measure_zones(mapped, path, "name", classes=scheme)


@pytest.mark.parametrize("block", [5, 7, 1024])
def test_zones_of_whole_pixels_are_counted_as_numpy_does(tmp_path, monkeypatch, block):
    random = np.random.default_rng(3)
    codes = random.choice(np.array([1, 2, 3, 255], np.uint8), (20, 23))
    mapped = write(tmp_path / "map.tif", codes, nodata=255)
    rectangles = [(0, 0, 23, 20), (5, 5, 10, 10), (4, 6, 6, 7), (20, 15, 30, 25), (7, 0, 8, 20)]
    path = polygons(tmp_path / "z.gpkg", [box(*r) for r in rectangles], [f"z{k}" for k in range(5)])
    monkeypatch.setattr(zonal.raster, "blocks", partial(raster.blocks, size=block))
    zones = zonal.measure_zones(mapped, path, "name")
    assert list(zones.classes) == [1, 2, 3]
    for k, (left, top, right, bottom) in enumerate(rectangles):
        inside = codes[top:bottom, left:right]
        counts = [(inside == v).sum() for v in (1, 2, 3)]
        assert zones.hectares[k] / 0.09 == pytest.approx(counts, abs=1e-5)
        assert zones.outside[k] == pytest.approx(
            1 - sum(counts) / ((right - left) * (bottom - top)), abs=1e-6
        )
    shares = [r["percent"] for r in zones.rows() if r["zone"] == "z1"]
    assert sum(shares) == pytest.approx(100, abs=1e-3)


@pytest.mark.parametrize(("cut", "at_once"), [(4, 1), (30, 1 << 19), (400, 1 << 19)])
def test_zones_do_not_depend_on_the_pieces_that_are_measured(tmp_path, monkeypatch, cut, at_once):
    random = np.random.default_rng(4)
    mapped = write(tmp_path / "map.tif", random.integers(1, 4, (20, 23), np.uint8))
    angles = np.linspace(0, 2 * np.pi, 41)
    zones = [box(0, 0, 23, 20), box(2.5, 0, 20, 17.25)]  # overlapping, with curves and holes
    for radius in (2.3, 6.1, 8.2):
        edge = radius * (1 + 0.2 * np.sin(5 * angles))
        ring = np.stack([11 + edge * np.cos(angles), 10 + edge * np.sin(angles)], axis=-1)
        edge, hole = (r * (30, -30) + (LEFT, TOP) for r in (ring, 11 + 0.4 * (ring - 11)))
        zones.append(shapely.Polygon(edge, [hole]))
    path = polygons(tmp_path / "z.gpkg", zones, [f"z{k}" for k in range(len(zones))])
    whole = zonal.measure_zones(mapped, path, "name")
    assert whole.hectares.sum(axis=1) == pytest.approx([z.area / 1e4 for z in zones], rel=1e-6)
    monkeypatch.setattr(zonal, "CUT", cut)
    monkeypatch.setattr(zonal, "AT_ONCE", at_once)
    in_pieces = zonal.measure_zones(mapped, path, "name")
    assert in_pieces.hectares == pytest.approx(whole.hectares, rel=1e-6)
    assert in_pieces.outside == pytest.approx(whole.outside, abs=1e-6)


def test_hectares_and_per_cent_have_four_decimals(tmp_path):
    mapped = write(tmp_path / "map.tif", np.array([[1, 2]], np.uint8))
    path = polygons(tmp_path / "z.gpkg", [box(1 - 0.13579, 0, 1 + 1 / 7, 1)], ["a"])
    rows = zonal.measure_zones(mapped, path, "name").rows()
    assert [row["hectares"] for row in rows] == [0.0122, 0.0129]  # 0.012221 and 0.012857
    assert [row["percent"] for row in rows] == [48.7319, 51.2681]


def test_a_zone_on_the_map_has_nothing_outside_though_parts_round(tmp_path):
    mapped = write(tmp_path / "map.tif", np.ones((8, 8), np.uint8))
    random = np.random.default_rng(0)
    triangles = [
        shapely.Polygon(corners * (30, -30) + (LEFT, TOP))
        for corners in random.uniform(0, 8, (20, 3, 2))
    ]
    path = polygons(tmp_path / "z.gpkg", triangles, [f"z{k}" for k in range(20)])
    outside = zonal.measure_zones(mapped, path, "name").outside
    assert outside.min() == 0
    assert outside.max() < 1e-6
