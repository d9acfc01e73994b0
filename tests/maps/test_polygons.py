import json

import numpy as np
import pyogrio
import pyproj
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.features import shapes
from rasterio.transform import from_origin
from scipy import ndimage

from landshift import grid, raster
from landshift.classes import ClassScheme
from landshift.errors import ClassError, GridError, OutputError, ParameterError
from landshift.grid import Window
from landshift.maps import polygons, tracing
from qgis_host import polygons_in_qgis
from scenes import write


def traced(mapped, out, **options):
    """Columns of the polygons of a map, with the geometries as 'outline'."""
    polygons.polygons(mapped, out, **options, overwrite=True)
    layer = polygons.LAYER if out.suffix == ".gpkg" else None
    about, _, outlines, values = pyogrio.raw.read(out, layer=layer)
    return dict(zip(about["fields"], values, strict=True)) | {"outline": shapely.from_wkb(outlines)}


def as_set(columns):
    """Polygons in one order, exactly: WKB, class, area."""
    return sorted(
        zip(shapely.to_wkb(columns["outline"]), columns["class"], columns["hectares"], strict=True)
    )


def patchwork(size, seed=0):
    random = np.random.default_rng(seed)
    coarse = np.kron(random.integers(0, 4, (size // 5, size // 5)), np.ones((5, 5)))
    return np.where(random.random((size, size)) < 0.4, random.integers(0, 3, coarse.shape), coarse)


def test_a_patch_with_a_hole_by_hand(tmp_path):
    codes = np.array(
        [
            [0, 0, 0, 0, 0],
            [0, 1, 1, 1, 0],
            [0, 1, 0, 1, 2],
            [0, 1, 1, 1, 2],
            [1, 0, 0, 0, 0],
        ],
        np.uint8,
    )
    result = traced(write(tmp_path / "m.tif", codes, nodata=0), tmp_path / "p.gpkg", block=3)

    def square(left, top, right, bottom):
        return shapely.box(
            500_000 + 30 * left, 4_000_000 - 30 * bottom, 500_000 + 30 * right, 4_000_000 - 30 * top
        )

    ring, side, corner = (result["outline"][k] for k in np.argsort(-result["hectares"]))
    assert ring.equals(square(1, 1, 4, 4) - square(2, 2, 3, 3))
    assert len(ring.exterior.coords) == len(ring.interiors[0].coords) == 5
    assert side.equals(square(4, 2, 5, 4))
    assert corner.equals(square(0, 4, 1, 5))  # pixels connect over sides
    assert sorted(result["hectares"] / 0.09) == pytest.approx([1, 2, 8])


@pytest.mark.parametrize("block", [7, 50, 1000])
def test_polygons_are_those_of_the_whole_map(tmp_path, block):
    codes = patchwork(150).astype(np.uint8)
    mapped = write(tmp_path / "m.tif", codes, nodata=0)
    result = traced(mapped, tmp_path / "p.gpkg", block=block)
    assert shapely.is_valid(result["outline"]).all()
    assert as_set(result) == as_set(traced(mapped, tmp_path / "w.gpkg", block=150))
    # GDAL's polygons touch themselves at corners; repaired for the comparison
    transform = from_origin(500_000, 4_000_000, 30, 30)
    theirs = [
        (shapely.to_wkb(shapely.normalize(shapely.make_valid(shapely.geometry.shape(g)).simplify(0))),
         f"class {v:.0f}")
        for g, v in shapes(codes, mask=codes > 0, connectivity=4, transform=transform)
    ]  # fmt: skip
    ours = zip(shapely.to_wkb(shapely.normalize(result["outline"])), result["class"], strict=True)
    assert sorted(theirs) == sorted(ours)
    assert result["hectares"] == pytest.approx(shapely.area(result["outline"]) / 10_000)


@pytest.mark.parametrize("limit", ["_KEYS", "_CLOSED_AT_ONCE"])
@pytest.mark.parametrize("neighbours", [4, 8])
def test_outlines_do_not_depend_on_limits(tmp_path, monkeypatch, limit, neighbours):
    """Of keys, which would overflow on huge maps, and of segments closed at once."""
    mapped = write(tmp_path / "m.tif", patchwork(60).astype(np.uint8), nodata=0)
    options = {"block": 16, "neighbours": neighbours}
    plain = traced(mapped, tmp_path / "p.gpkg", **options)
    monkeypatch.setattr(tracing, limit, 0)
    assert as_set(traced(mapped, tmp_path / "q.gpkg", **options)) == as_set(plain)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None
)
@given(arrays(np.uint8, (7, 7), elements=st.integers(0, 2)), st.integers(1, 8))
def test_patches_over_corners_are_those_of_the_whole_map(tmp_path, codes, block):
    codes[0, 0] = 1
    mapped = write(tmp_path / "m.tif", codes, nodata=0)
    result = traced(mapped, tmp_path / "p.gpkg", block=block, neighbours=8)
    assert shapely.is_valid(result["outline"]).all()
    assert as_set(result) == as_set(traced(mapped, tmp_path / "w.gpkg", block=7, neighbours=8))
    expected = []
    for value in (1, 2):
        labels, count = ndimage.label(codes == value, np.ones((3, 3)))
        expected += [(f"class {value}", int((labels == k + 1).sum())) for k in range(count)]
    pixels = np.rint(result["hectares"] / 0.09).astype(int)
    assert sorted(zip(result["class"], pixels, strict=True)) == sorted(expected)
    assert shapely.area(result["outline"]) / 900 == pytest.approx(pixels)


@pytest.mark.parametrize("block", [7, 50, 1000])
def test_parts_of_patches_over_corners_touch_at_points_only(tmp_path, block):
    mapped = write(tmp_path / "m.tif", patchwork(100).astype(np.uint8), nodata=0)
    result = traced(mapped, tmp_path / "p.gpkg", block=block, neighbours=8)
    assert shapely.is_valid(result["outline"]).all()
    sides = traced(mapped, tmp_path / "s.gpkg")
    parts = shapely.get_parts(result["outline"])
    assert sorted(shapely.to_wkb(parts)) == sorted(shapely.to_wkb(sides["outline"]))
    assert len(result["class"]) < len(sides["class"])
    assert result["hectares"].sum() == pytest.approx(sides["hectares"].sum())


def test_confidence_of_a_patch_over_corners_is_that_of_all_its_pixels(tmp_path):
    codes = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 2]], np.uint8)
    sure = np.array([[0.2, 9, 9], [9, 0.4, 9], [9, 0.6, 0.9]], np.float32)
    mapped = write(tmp_path / "m.tif", codes, nodata=0)
    confidence = write(tmp_path / "c.tif", sure)
    for block in (1, 2, 3):
        result = traced(
            mapped, tmp_path / "p.gpkg", confidence=confidence, neighbours=8, block=block
        )
        one = list(result["class"]).index("class 1")
        assert result["hectares"][one] == pytest.approx(3 * 0.09)
        assert result["confidence"][one] == pytest.approx(0.4, abs=1e-6)
        assert len(result["class"]) == 2


@pytest.mark.slow
def test_a_large_map_is_traced_as_if_whole(tmp_path):
    codes = np.kron(patchwork(580), np.ones((7, 7)))[:4000, :4000].astype(np.uint8)
    mapped = write(tmp_path / "m.tif", codes, nodata=0)
    by_blocks = traced(mapped, tmp_path / "p.gpkg")
    assert as_set(by_blocks) == as_set(traced(mapped, tmp_path / "w.gpkg", block=4000))


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None
)
@given(arrays(np.uint8, (6, 6), elements=st.integers(0, 2)), st.integers(1, 4))
def test_patches_cover_what_changed_once(tmp_path, codes, block):
    codes[0, 0] = 1
    mapped = write(tmp_path / "m.tif", codes, nodata=0)
    result = traced(mapped, tmp_path / "p.gpkg", block=block)
    assert shapely.is_valid(result["outline"]).all()
    centres = [
        shapely.Point(500_015 + 30 * c, 3_999_985 - 30 * r) for r in range(6) for c in range(6)
    ]
    covering = [[k for k, p in enumerate(result["outline"]) if p.contains(q)] for q in centres]
    for value, over in zip(codes.ravel(), covering, strict=True):
        assert len(over) == (value > 0)
        assert all(result["class"][k] == f"class {value}" for k in over)


def test_transitions_areas_and_confidence(tmp_path):
    names = {1: "crop->crop", 2: "crop->urban", 3: "to forest", 4: "No change"}
    scheme = ClassScheme.from_mapping(names)
    codes = np.array([[1, 2, 2, 4], [3, 3, 2, 4]], np.uint8)
    mapped = write(
        tmp_path / "m.tif", codes, nodata=0, crs="EPSG:4326", origin=(10, 50), pixel=0.1,
        LANDSHIFT_CLASSES=json.dumps(scheme.as_list()),
    )  # fmt: skip
    sure = np.array([[9, 0.5, 0.25, 9], [np.nan, np.nan, 0.3, 9]], np.float32)
    confidence = write(tmp_path / "c.tif", sure, crs="EPSG:4326", origin=(10, 50), pixel=0.1)
    ways = [traced(mapped, tmp_path / f"p{b}.fgb", confidence=confidence, block=b) for b in (1, 9)]
    areas = grid.ground(raster.info(mapped).grid).hectares(Window(0, 0, 2, 1))[:, 0]
    for each in ways:
        rows = {
            c: (f, t, h, s)
            for c, f, t, h, s in zip(
                *(each[k] for k in ("class", "from", "to", "hectares", "confidence")), strict=True
            )
        }
        assert set(rows) == {"crop->urban", "to forest"}
        assert rows["crop->urban"][:2] == ("crop", "urban")
        assert rows["crop->urban"][2] == pytest.approx(2 * areas[0] + areas[1], abs=1e-4)
        assert rows["crop->urban"][3] == pytest.approx(0.35, abs=1e-7)
        assert rows["to forest"][:2] == (None, "forest")
        assert np.isnan(rows["to forest"][3])
    assert sorted(ways[0]["hectares"]) == sorted(ways[1]["hectares"])
    assert len(traced(mapped, tmp_path / "all.gpkg", everything=True)["class"]) == 4


def test_ends_of_a_change_are_columns_where_names_state_them(tmp_path):
    mapped = write(
        tmp_path / "m.tif", np.array([[1, 2]], np.uint8), nodata=0,
        LANDSHIFT_CLASSES='[{"Value": 1, "Name": "to urban"}, {"Value": 2, "Name": "No change"}]',
    )  # fmt: skip
    result = traced(mapped, tmp_path / "to.gpkg")
    assert list(result) == ["class", "to", "hectares", "outline"]
    assert result["to"].tolist() == ["urban"]


@pytest.mark.parametrize(("pixel", "decimals"), [(30, 4), (1, 6), (0.05, 9)])
def test_hectares_have_digits_enough_for_a_pixel(tmp_path, pixel, decimals):
    mapped = write(tmp_path / "m.tif", np.ones((3, 3), np.uint8), pixel=pixel)
    (hectares,) = traced(mapped, tmp_path / "p.gpkg")["hectares"]
    assert hectares == round(9 * pixel**2 / 10_000, decimals)
    assert hectares == pytest.approx(9 * pixel**2 / 10_000, rel=1e-2)


COLOURED = {1: "to forest", 2: "Wässer & <ice>", 3: "No change"}


@pytest.fixture
def coloured(tmp_path):
    """A map with names and colours, one of which XML escapes."""
    scheme = ClassScheme.from_mapping(COLOURED, {1: (0, 100, 0), 2: (200, 10, 255)})
    codes = np.array([[1, 2, 3, 1], [1, 3, 3, 2]], np.uint8)
    return write(
        tmp_path / "m.tif", codes, nodata=0, LANDSHIFT_CLASSES=json.dumps(scheme.as_list())
    )


@pytest.mark.parametrize("suffix", ["gpkg", "fgb"])
def test_qgis_shows_polygons_in_the_colours_of_their_classes(coloured, tmp_path, suffix):
    out = tmp_path / f"p.{suffix}"
    polygons.polygons(coloured, out)
    shown = polygons_in_qgis(out, "hectares")
    assert shown["column"] == "class"
    assert shown["classes"] == [["to forest", "#006400"], ["Wässer & <ice>", "#c80aff"]]
    assert shown["fields"] == {"hectares": "0.18"}
    if suffix == "gpkg":  # the style inside it is enough
        (tmp_path / "p.qml").unlink()
        assert polygons_in_qgis(out, "hectares") == shown


def test_the_style_of_a_raster_of_the_same_name_stays(coloured, tmp_path, caplog):
    own = coloured.with_suffix(".qml")
    own.write_text("<qgis><pipe><rasterrenderer/></pipe></qgis>")
    polygons.polygons(coloured, tmp_path / "m.gpkg")
    assert not caplog.records  # it has a style inside
    polygons.polygons(coloured, tmp_path / "m.fgb")
    assert "m.qml is the style of a raster and stays" in caplog.text
    assert "rasterrenderer" in own.read_text()
    polygons.polygons(coloured, tmp_path / "p.gpkg")
    (tmp_path / "p.gpkg").unlink()
    with pytest.raises(OutputError, match=r"must be new, got .*p\.qml"):
        polygons.polygons(coloured, tmp_path / "p.gpkg")


def test_small_patches_are_left_out(tmp_path):
    codes = np.array([[1, 1, 0, 2], [1, 0, 3, 0]], np.uint8)
    mapped = write(tmp_path / "m.tif", codes, nodata=0)
    result = polygons.polygons(mapped, tmp_path / "p.gpkg", min_hectares=0.27)
    assert (result.polygons, result.dropped) == ({"class 1": 1}, 2)
    assert result.hectares["class 1"] == pytest.approx(0.27)
    with pytest.raises(ClassError, match=r"a patch of change of 0.28 ha or more"):
        polygons.polygons(mapped, tmp_path / "q.gpkg", min_hectares=0.28)
    assert not (tmp_path / "q.gpkg").exists()


def test_a_patch_of_the_smallest_area_is_kept_however_areas_round(tmp_path):
    codes = np.zeros((39, 20), np.uint8)
    for pixels in range(1, 21):
        codes[2 * pixels - 2, :pixels] = 1
    mapped = write(tmp_path / "m.tif", codes, nodata=0)
    for pixels in range(1, 21):
        result = polygons.polygons(
            mapped, tmp_path / f"{pixels}.gpkg", min_hectares=pixels * 900 / 10_000, block=9
        )
        assert result.dropped == pixels - 1
        assert result.polygons == {"class 1": 21 - pixels}


def test_progress_counts_each_block_once(tmp_path, steps):
    mapped = write(tmp_path / "m.tif", np.ones((5, 7), np.uint8))
    polygons.polygons(mapped, tmp_path / "p.gpkg", block=3)
    lines = [line for line in steps.lines if line.startswith("tracing")]
    assert lines == [
        "tracing patches of 6", *(f"tracing patches {k}/6" for k in range(1, 7)),
        "tracing patches over",
    ]  # fmt: skip


def test_simplified_neighbours_keep_their_borders(tmp_path):
    codes = (patchwork(60, seed=2) + 1).astype(np.uint8)
    mapped = write(tmp_path / "m.tif", codes, nodata=0)
    plain = traced(mapped, tmp_path / "p.gpkg")
    simple = traced(mapped, tmp_path / "s.gpkg", simplify=40, block=16)
    assert shapely.get_num_coordinates(simple["outline"]).sum() < 0.9 * (
        shapely.get_num_coordinates(plain["outline"]).sum()
    )
    assert shapely.coverage_is_valid(simple["outline"])
    assert sorted(simple["hectares"]) == pytest.approx(sorted(plain["hectares"]))


@pytest.mark.parametrize("neighbours", [4, 8])
def test_simplified_outlines_do_not_depend_on_blocks(tmp_path, neighbours):
    mapped = write(tmp_path / "m.tif", (patchwork(60, seed=2) + 1).astype(np.uint8), nodata=0)
    options = {"simplify": 40, "neighbours": neighbours}
    whole = traced(mapped, tmp_path / "w.gpkg", block=60, **options)
    for block in (7, 16, 30):
        assert as_set(traced(mapped, tmp_path / "b.gpkg", block=block, **options)) == as_set(whole)


@pytest.mark.parametrize("suffix", ["gpkg", "parquet"])
def test_the_same_map_gives_the_same_bytes(tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    mapped = write(tmp_path / "m.tif", patchwork(50).astype(np.uint8), nodata=0)
    first = polygons.polygons(mapped, tmp_path / f"a.{suffix}").path.read_bytes()
    assert polygons.polygons(mapped, tmp_path / f"b.{suffix}").path.read_bytes() == first


@pytest.mark.parametrize(("neighbours", "kind"), [(4, "Polygon"), (8, "MultiPolygon")])
def test_geoparquet_describes_its_geometry(tmp_path, monkeypatch, neighbours, kind):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(polygons, "_BATCH", 100)
    mapped = write(tmp_path / "m.tif", patchwork(60).astype(np.uint8), nodata=0)
    out = tmp_path / "p.parquet"
    polygons.polygons(mapped, out, neighbours=neighbours, block=16)
    file = parquet.ParquetFile(out)
    assert file.num_row_groups > 2
    about = json.loads(file.metadata.metadata[b"geo"])
    assert (about["version"], about["primary_column"]) == ("1.1.0", "geometry")
    geometry = about["columns"]["geometry"]
    assert (geometry["encoding"], geometry["geometry_types"]) == ("WKB", [kind])
    assert pyproj.CRS.from_json_dict(geometry["crs"]) == pyproj.CRS("EPSG:32618")
    table = file.read()
    outlines = shapely.from_wkb(np.array(table["geometry"].to_pylist(), object))
    assert geometry["bbox"] == list(shapely.total_bounds(outlines))
    assert {g.geom_type for g in outlines} == {kind}
    columns = {name: table[name].to_numpy() for name in ("class", "hectares")}
    other = traced(mapped, tmp_path / "p.gpkg", neighbours=neighbours, block=16)
    assert as_set(columns | {"outline": outlines}) == as_set(other)
    assert set(table.column_names) == {"class", "hectares", "geometry"}  # no class names its ends


def test_a_confidence_may_be_a_thousand(tmp_path):
    mapped = write(tmp_path / "m.tif", np.ones((3, 3), np.uint8))
    sure = write(tmp_path / "c.tif", np.full((3, 3), -1000, np.int16))
    assert traced(mapped, tmp_path / "p.gpkg", confidence=sure)["confidence"] == [-1000]


def test_what_cannot_be_traced_is_refused(tmp_path):
    mapped = write(tmp_path / "m.tif", np.ones((3, 3), np.uint8))
    out = tmp_path / "p.gpkg"
    with pytest.raises(ParameterError, match="4 or 8 neighbours, got 6"):
        polygons.polygons(mapped, out, neighbours=6)
    with pytest.raises(ParameterError, match=r"end in .gpkg, .fgb or .parquet, got .*p.shp"):
        polygons.polygons(mapped, tmp_path / "p.shp")
    with pytest.raises(ParameterError, match="must be at least 0, got -1 ha"):
        polygons.polygons(mapped, out, min_hectares=-1)
    with pytest.raises(GridError, match="Map and confidence must share a grid"):
        polygons.polygons(
            mapped, out, confidence=write(tmp_path / "c.tif", np.ones((2, 2), np.uint8))
        )
    with pytest.raises(GridError, match="must be one band, got 2"):
        polygons.polygons(
            mapped, out, confidence=write(tmp_path / "d.tif", np.ones((2, 3, 3), np.uint8))
        )
    sure = write(tmp_path / "e.tif", np.full((3, 3), 9000, np.uint16))
    with pytest.raises(ParameterError, match="a share or per cent, got 9000"):
        polygons.polygons(mapped, out, confidence=sure)
    with pytest.raises(GridError, match="Areas need a CRS"):
        polygons.polygons(write(tmp_path / "n.tif", np.ones((3, 3), np.uint8), crs=None), out)
