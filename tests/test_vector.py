import json

import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from odc.geo.crs import CRS

from landshift import grid, vector
from landshift.errors import VectorError

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
    found = vector.read_polygons(path, UTM)
    burnt = vector.burn(found.geometries, found.columns["id"], BOX)
    assert burnt.tolist() == [[3, 3, 0, 0], [3, 3, 0, 0], [0] * 4, [0] * 4]
    assert (vector.burn([], [], BOX) == 0).all()


def test_polygons_come_in_the_crs_asked_for(tmp_path):
    path = write(
        tmp_path / "a.geojson",
        "Polygon",
        square(-75.0, 36.0, 0.001),
        "urn:ogc:def:crs:OGC:1.3:CRS84",
    )
    left, _, right, _ = vector.read_polygons(path, UTM).geometries[0].bounds
    assert left == pytest.approx(500_000, abs=0.1)
    assert right - left == pytest.approx(90, abs=1)


def test_real_polygons(data_folder):
    found = vector.read_polygons(
        data_folder / "chiapas_l7" / "training_data.shp", CRS("EPSG:32615")
    )
    assert np.unique(found.columns["id"]).tolist() == [1, 2, 3, 4, 5]
    assert set(found.columns["class"]) >= {"forest", "water", "urban"}


def test_what_holds_no_polygons_is_one_line(tmp_path):
    with pytest.raises(VectorError, match="must exist"):
        vector.read_polygons(tmp_path / "none.gpkg", UTM)
    (tmp_path / "bad.gpkg").write_text("no vectors")
    with pytest.raises(VectorError, match="must be readable"):
        vector.read_polygons(tmp_path / "bad.gpkg", UTM)
    (tmp_path / "table.csv").write_text("value,name\n1,forest\n")
    with pytest.raises(VectorError, match="must hold polygons, got nothing"):
        vector.read_polygons(tmp_path / "table.csv", UTM)
    with pytest.raises(VectorError, match="must hold polygons, got nothing"):
        vector.read_polygons(write(tmp_path / "empty.geojson", "Polygon", []), UTM)
    with pytest.raises(VectorError, match="must hold polygons, got Point"):
        vector.read_polygons(write(tmp_path / "p.geojson", "Point", [0, 0]), UTM)


def test_layers_with_empty_outlines_and_tables_are_whole(tmp_path):
    """A spatial index holds no empty outline, and a table has none."""
    outlines = np.array([shapely.box(0, 0, 1, 1), shapely.Polygon(), shapely.box(1, 0, 2, 1)])
    path, grown = tmp_path / "layers.gpkg", tmp_path / "grown.gpkg"
    values = {"n": np.array([1.0, 2.0, 3.0])}
    vector.write_layer(path, "table", values)
    vector.write_layer(path, "zones", values, outlines, UTM)
    with vector.new_layer(grown, "zones", UTM, "GPKG") as layer:
        layer.add(values, outlines)
        layer.add(values, outlines)
    assert [len(pyogrio.raw.read(p, layer="zones")[2]) for p in (path, grown)] == [3, 6]
