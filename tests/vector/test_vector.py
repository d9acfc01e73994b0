import json

import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from odc.geo.crs import CRS

from landshift import grid, vector
from landshift.errors import ParameterError, VectorError

UTM = CRS("EPSG:32618")
BOX = grid.geobox(4, 4, Affine(30, 0, 500_000, 0, -30, 4_000_000), "EPSG:32618")


def write(path, kind, coordinates, crs="urn:ogc:def:crs:EPSG::32618"):
    feature = {
        "type": "Feature",
        "properties": {"id": 3},
        "geometry": {"type": kind, "coordinates": coordinates},
    }
    named = {"type": "name", "properties": {"name": crs}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": named, "features": [feature]}))
    return path


def square(left, top, size):
    right, bottom = left + size, top - size
    return [[[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]]


def test_polygons_are_read_and_burnt_where_their_pixels_have_their_centre(tmp_path):
    path = write(tmp_path / "a.geojson", "Polygon", square(500_000, 4_000_000, 60))
    layer = vector.read_polygons(path, BOX)
    burnt = vector.burn(layer.geometries, layer.columns["id"], BOX)
    assert burnt.tolist() == [[3, 3, 0, 0], [3, 3, 0, 0], [0] * 4, [0] * 4]
    assert (vector.burn([], [], BOX) == 0).all()


def test_polygons_are_returned_in_the_requested_crs(tmp_path):
    path = write(
        tmp_path / "a.geojson",
        "Polygon",
        square(-75.0, 36.0, 0.001),
        "urn:ogc:def:crs:OGC:1.3:CRS84",
    )
    left, _, right, _ = vector.read_polygons(path, BOX).geometries[0].bounds
    assert left == pytest.approx(500_000, abs=0.1)
    assert right - left == pytest.approx(90, abs=1)


def test_real_polygons(data_folder):
    layer = vector.read_polygons(
        data_folder / "chiapas_l7" / "training_data.shp",
        grid.geobox(10, 10, Affine(30, 0, 500_000, 0, -30, 1_900_000), "EPSG:32615"),
    )
    assert np.unique(layer.columns["id"]).tolist() == [1, 2, 3, 4, 5]
    assert set(layer.columns["class"]) >= {"forest", "water", "urban"}


def test_what_holds_no_polygons_is_one_line(tmp_path):
    with pytest.raises(VectorError, match="must exist"):
        vector.read_polygons(tmp_path / "none.gpkg", BOX)
    (tmp_path / "bad.gpkg").write_text("no vectors")
    with pytest.raises(VectorError, match="must be readable"):
        vector.read_polygons(tmp_path / "bad.gpkg", BOX)
    (tmp_path / "table.csv").write_text("value,name\n1,forest\n")
    with pytest.raises(VectorError, match="must hold polygons, got nothing"):
        vector.read_polygons(tmp_path / "table.csv", BOX)
    with pytest.raises(VectorError, match="must hold polygons, got nothing"):
        vector.read_polygons(write(tmp_path / "empty.geojson", "Polygon", []), BOX)
    with pytest.raises(VectorError, match="must hold polygons, got Point"):
        vector.read_polygons(write(tmp_path / "p.geojson", "Point", [0, 0]), BOX)


LATITUDE = 36.14  # of the grid


def features(
    path, *geometries, crs="EPSG:32618", driver=None, kind="Unknown", layer=None, append=False
):
    """A vector file of geometries (None: a feature without), numbered from 1 in the column v."""
    import pyogrio

    encoded = np.array([None if g is None else shapely.to_wkb(g) for g in geometries], object)
    pyogrio.raw.write(
        path, encoded, [np.arange(1, len(geometries) + 1)], np.array(["v"], object),
        geometry_type=kind, crs=crs, layer=layer, append=append,
    )  # fmt: skip
    return path


def test_a_self_intersecting_ring_is_repaired(tmp_path):
    bow = shapely.Polygon(
        [(499_995, 4e6), (500_125, 3_999_880), (500_125, 4e6), (499_995, 3_999_880)]
    )
    layer = vector.read_polygons(features(tmp_path / "a.gpkg", bow), BOX)
    assert layer.geometries[0].is_valid
    assert layer.geometries[0].area == pytest.approx(130 * 120 / 2)
    burnt = vector.burn(layer.geometries, [1], BOX)
    assert burnt.tolist() == [[0] * 4, [1, 0, 0, 1], [1, 0, 0, 1], [0] * 4]


def test_polygons_are_taken_out_of_collections(tmp_path):
    square = shapely.box(500_000, 3_999_940, 500_060, 4e6)
    other = shapely.box(500_060, 3_999_880, 500_120, 3_999_940)
    mixed = shapely.GeometryCollection(
        [square, shapely.Point(0, 0), shapely.GeometryCollection([other])]
    )
    path = features(tmp_path / "a.gpkg", mixed, kind="GeometryCollection")
    layer = vector.read_polygons(path, BOX)
    assert layer.geometries[0].equals(shapely.MultiPolygon([square, other]))


def test_curves_become_edges_within_a_thousandth_of_a_pixel(tmp_path):
    (tmp_path / "a.csv").write_text(
        'WKT,v\n"CURVEPOLYGON(CIRCULARSTRING(500000 3999940,500060 4000000,500120 3999940,'
        '500060 3999880,500000 3999940))",1\n"MULTISURFACE(CURVEPOLYGON(CIRCULARSTRING(500000 '
        '3999940,500060 4000000,500120 3999940,500060 3999880,500000 3999940)))",2\n'
    )
    (tmp_path / "a.vrt").write_text(
        '<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource relativeToVRT="1">a.csv'
        "</SrcDataSource><LayerSRS>EPSG:32618</LayerSRS></OGRVRTLayer></OGRVRTDataSource>"
    )
    for shape in vector.read_polygons(tmp_path / "a.vrt", BOX).geometries:
        assert shape.area == pytest.approx(np.pi * 60**2, rel=2e-5)


def test_heights_and_measures_are_left_out(tmp_path):
    flat = shapely.box(500_000, 3_999_940, 500_060, 4e6)
    path = features(tmp_path / "a.gpkg", shapely.force_3d(flat, 7.0), kind="Polygon Z")
    assert not vector.read_polygons(path, BOX).geometries[0].has_z


def test_features_without_a_geometry_are_left_out_and_counted(tmp_path, caplog):
    square = shapely.box(500_000, 3_999_940, 500_060, 4e6)
    path = features(tmp_path / "a.gpkg", square, None, shapely.Polygon())
    layer = vector.read_polygons(path, BOX)
    assert (len(layer.geometries), layer.columns["v"], layer.numbers) == (1, (1,), (1,))
    assert "2 features have no geometry and are left out" in caplog.text


def test_a_layer_of_several_must_be_named(tmp_path):
    square = shapely.box(500_000, 3_999_940, 500_060, 4e6)
    path = features(tmp_path / "a.gpkg", square, layer="fields")
    features(path, square, square, layer="lakes", append=True)
    with pytest.raises(VectorError, match=r"must be chosen, got fields, lakes in .*\(`layer`\)"):
        vector.read_polygons(path, BOX)
    with pytest.raises(VectorError, match=r"\(`mask_layer`\)"):
        vector.read_polygons(path, BOX, option="mask_layer")
    assert len(vector.read_polygons(path, BOX, "lakes").geometries) == 2
    with pytest.raises(VectorError, match=r"must be readable.*roads"):
        vector.read_polygons(path, BOX, "roads")


def test_unsupported_surfaces_are_named(tmp_path):
    (tmp_path / "a.csv").write_text('WKT,v\n"TIN(((0 0,1 0,1 1,0 0)))",1\n')
    with pytest.raises(VectorError, match=r"can be read, got a TIN in feature 1 of .*a\.csv"):
        vector.read_polygons(tmp_path / "a.csv", BOX)


def test_a_ring_that_isnt_closed_is_closed(tmp_path, caplog):
    (tmp_path / "a.json").write_text(
        json.dumps({"type": "Polygon", "coordinates": [square(-75.0, LATITUDE, 0.001)[0][:4]]})
    )
    assert vector.read_polygons(tmp_path / "a.json", BOX).geometries[0].is_valid
    assert caplog.text.count("Non closed ring") == 1


def test_points_and_lines_are_burnt_as_the_pixels_they_lie_in(tmp_path):
    point = shapely.Point(500_045, 3_999_925)
    line = shapely.LineString([(500_000, 3_999_999), (500_119, 3_999_881)])
    path = features(tmp_path / "a.gpkg", line, point)
    layer = vector.read_shapes(path, BOX)
    burnt = vector.burn(layer.geometries, layer.columns["v"], BOX)
    assert burnt[2, 1] == 2
    assert burnt.diagonal().tolist() == [1, 1, 1, 1]
    with pytest.raises(VectorError, match="must hold polygons, got LineString, Point"):
        vector.read_polygons(path, BOX)


def test_points_of_another_crs_lie_in_their_pixels(tmp_path):
    import pyproj

    there = pyproj.Transformer.from_crs("EPSG:32618", "EPSG:4326", always_xy=True)
    centres = [(500_015 + 30 * k, 3_999_985 - 30 * k) for k in range(4)]
    points = [shapely.Point(there.transform(*c)) for c in centres]
    path = features(tmp_path / "a.gpkg", *points, crs="EPSG:4326")
    layer = vector.read_shapes(path, BOX)
    assert vector.burn(layer.geometries, [1, 2, 3, 4], BOX).diagonal().tolist() == [1, 2, 3, 4]


def test_buffers_hold_the_pixels_within_their_metres(tmp_path):
    box = grid.geobox(100, 100, Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32618")
    point = shapely.Point(500_500, 3_999_500)
    layer = vector.read_shapes(features(tmp_path / "a.gpkg", point), box, buffer=200.0)
    rows, columns = np.mgrid[0:100, 0:100] * 10 + 5
    far = np.hypot(columns - 500, rows - 500)
    burnt = vector.burn(layer.geometries, [1], box) > 0
    # metres of the ground are 0.9996 of the grid's here
    assert (burnt == (far < 200 * 0.9996))[abs(far - 200) > 0.5].all()
    with pytest.raises(ParameterError, match=r"positive number of metres, got -1"):
        vector.read_shapes(tmp_path / "a.gpkg", box, buffer=-1)
    path = features(tmp_path / "b.gpkg", shapely.box(500_000, 3_999_900, 500_100, 4e6))
    with pytest.raises(ParameterError, match=r"for points and lines, got 5 m for the polygons"):
        vector.read_shapes(path, box, buffer=5)


def test_polygons_without_a_pixel_are_found():
    small = shapely.box(500_001, 3_999_985.1, 500_014, 3_999_990)
    thin = shapely.box(500_016, 3_999_890, 500_018, 3_999_990)  # three rows, between centres
    seen = shapely.box(500_014, 3_999_984, 500_016, 3_999_986)
    hook = thin | shapely.box(500_016, 3_999_890, 500_046, 3_999_896)  # a centre in its foot
    off = shapely.box(499_000, 3_999_000, 499_001, 3_999_001)
    shapes = [small, thin, seen, hook, off, shapely.Point(500_001, 3_999_999), shapely.Polygon()]
    lost = vector.without_pixel(shapes, BOX)
    on = [k for k in (0, 1, 2, 3) if not vector.burn([shapes[k]], [1], BOX).any()]
    assert lost == on == [0, 1]


@pytest.mark.parametrize(("ring", "area"), [([[0, 0], [1, 0], [1, 1]], 0.5), ([[0, 0], [1, 0]], 0)])
def test_rings_that_are_no_rings_are_closed(tmp_path, caplog, ring, area):
    path = write(tmp_path / "z.geojson", "Polygon", [ring])
    shape = vector.read_polygons(path, BOX).geometries[0]
    assert shape.is_valid
    assert shape.area == pytest.approx(area)
    assert "Non closed ring" in caplog.text


def test_layers_with_empty_outlines_and_tables_are_whole(tmp_path):
    """A spatial index holds no empty outline, and a table has none."""
    outlines = np.array([shapely.box(0, 0, 1, 1), shapely.Polygon(), shapely.box(1, 0, 2, 1)])
    path, grown = tmp_path / "layers.gpkg", tmp_path / "grown.gpkg"
    values = {"n": np.array([1.0, 2.0, 3.0])}
    vector.write_layer(path, "table", values)
    vector.write_layer(path, "zones", values, outlines, BOX.crs)
    with vector.new_layer(grown, "zones", BOX.crs, "GPKG") as layer:
        layer.add(values, outlines)
        layer.add(values, outlines)
    assert [len(pyogrio.raw.read(p, layer="zones")[2]) for p in (path, grown)] == [3, 6]


@pytest.mark.parametrize("strange", [np.inf, -np.inf, 1e200])
def test_coordinates_that_are_no_places_are_one_line(tmp_path, strange):
    good = shapely.box(500_000, 3_999_940, 500_060, 4e6)
    bad = shapely.Polygon([(500_000, 4e6), (500_060, 4e6), (500_060, strange)])
    path = features(tmp_path / "a.gpkg", good, bad)
    with pytest.raises(VectorError, match=r"that are places, got .* in feature 2 of .*a\.gpkg"):
        vector.read_polygons(path, BOX)


def test_geometries_burnt_from_both_ends_differ_where_their_values_overlap():
    left, middle, top = (
        shapely.Polygon(square(500_000 + 30 * column, 4_000_000 - 30 * row, 30 * size)[0])
        for row, column, size in ((0, 0, 2), (1, 1, 2), (0, 1, 2))
    )
    last, first = vector.burn_from_both_ends([left, middle, top], [1, 2, 1], BOX)
    assert last.tolist() == [[1, 1, 1, 0], [1, 1, 1, 0], [0, 2, 2, 0], [0] * 4]
    assert first.tolist() == [[1, 1, 1, 0], [1, 1, 2, 0], [0, 2, 2, 0], [0] * 4]
    last, first = vector.burn_from_both_ends([left, middle], [1, 1], BOX)
    assert (last == first).all()
