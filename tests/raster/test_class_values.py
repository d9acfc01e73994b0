"""Which values of a class raster are classes, in every command that reads one."""

import json
import logging
import re

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from hypothesis import given
from hypothesis import strategies as st

import commands
import landshift
from landshift import raster
from landshift.assess.domains import DomainSource, find_domains
from landshift.assess.plan import SamplePlan
from landshift.classes import ClassScheme, MapScheme, legend_readers, legend_writers
from landshift.errors import ClassError
from landshift.evaluation.maps import evaluate_class_maps, evaluate_map
from landshift.grid import Window
from landshift.maps import patches, polygons
from landshift.pages.report.maps import class_map
from landshift.prepare import label
from scenes import write

HECTARES = 0.09  # of a pixel of 30 m

ZERO_ONE = np.array([[0, 0, 1, 1], [0, 1, 1, 0], [0, 0, 0, 255]], np.uint8)
NEGATIVE = np.array([[-1, -1, 3, 3], [-5, -5, -5, 3], [-5, 0, 0, -32768]], np.int16)


def counts_of(path, **options):
    """Pixels of each value that is a class."""
    known = raster.map_classes(path, **options)
    with raster.open_raster(path) as source:
        window = Window(0, 0, source.height, source.width)
        values, mask = raster.read_classes(source, window, known)
    result, pixels = np.unique(values[mask], return_counts=True)
    return dict(zip(result.tolist(), pixels.tolist(), strict=True))


def mask_beside(path, valid):
    with rasterio.open(path, "r+") as target:
        target.write_mask(valid)


def test_0_is_a_class_unless_the_file_its_mask_or_the_caller_excludes_it(tmp_path):
    plain = write(tmp_path / "plain.tif", ZERO_ONE)
    assert counts_of(plain) == {0: 7, 1: 4, 255: 1}
    assert counts_of(plain, nodata=0) == {1: 4, 255: 1}
    assert counts_of(write(tmp_path / "d.tif", ZERO_ONE, nodata=255)) == {0: 7, 1: 4}
    assert counts_of(write(tmp_path / "z.tif", ZERO_ONE, nodata=0)) == {1: 4, 255: 1}
    masked = write(tmp_path / "m.tif", ZERO_ONE)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        mask_beside(masked, ZERO_ONE != 255)
    assert counts_of(masked) == {0: 7, 1: 4}


def test_alpha_beside_the_classes_hides_pixels_and_more_bands_are_refused(tmp_path):
    values = np.array([[1, 2, 2, 1], [0, 1, 1, 2]], np.uint8)
    alpha = np.full_like(values, 255)
    alpha[:, 0] = 0
    path, plain = tmp_path / "alpha.tif", tmp_path / "two.tif"
    profile = {
        "driver": "GTiff", "count": 2, "height": 2, "width": 4, "dtype": "uint8",
        "crs": "EPSG:32618", "transform": rasterio.Affine(30, 0, 5e5, 0, -30, 4e6),
    }  # fmt: skip
    for target, ends in ((path, ("gray", "alpha")), (plain, ("gray", "undefined"))):
        with rasterio.open(target, "w", **profile) as opened:
            opened.colorinterp = [rasterio.enums.ColorInterp[name] for name in ends]
            opened.write(np.stack([values, alpha]))
    assert counts_of(path) == {1: 3, 2: 3}
    one = write(tmp_path / "one.tif", values)
    scheme = MapScheme.from_mapping({0: "a", 1: "b", 2: "c"})
    assert evaluate_map(path, one, scheme=scheme).matrix.tolist() == [
        [0, 0, 0, 1], [0, 3, 0, 1], [0, 0, 3, 0]
    ]  # fmt: skip
    for use in (
        lambda: raster.map_classes(plain),
        lambda: evaluate_map(plain, one, scheme=scheme),
        lambda: evaluate_map(one, plain, scheme=scheme),
        lambda: label.label(one, plain, tmp_path / "c.tif"),
    ):
        with pytest.raises(ClassError, match=r"one band, got 2 in .*two\.tif; extract"):
            use()


def test_the_legend_decides_on_0(tmp_path):
    path = write(tmp_path / "a.tif", ZERO_ONE, nodata=255)
    for name, counted in (("No data", False), ("unclassified", False), ("not forest", True)):
        scheme = MapScheme.from_mapping({0: name, 1: "forest"})
        assert counts_of(path, scheme=scheme) == ({0: 7, 1: 4} if counted else {1: 4})
        legend_writers.write_category_names(path, scheme)
        assert counts_of(path) == ({0: 7, 1: 4} if counted else {1: 4})
    listed = MapScheme.from_mapping({1: "forest", 255: "sea"})
    assert counts_of(write(tmp_path / "b.tif", ZERO_ONE), scheme=listed) == {1: 4, 255: 1}


def test_our_own_maps_declare_what_0_is(tmp_path):
    mapped = write(tmp_path / "b.tif", ZERO_ONE, nodata=255)
    label.label(mapped, mapped, tmp_path / "c.tif")
    with rasterio.open(tmp_path / "c.tif") as source:
        assert source.read(1)[0, 0] == 3  # no change
    assert counts_of(tmp_path / "c.tif") == {3: 11}


@pytest.mark.parametrize(
    ("values", "options", "line"),
    [
        (ZERO_ONE, {}, "7 pixels of 0 count as a class, .* set `nodata` to 0"),
        (ZERO_ONE, {"nodata": 0}, None),
        (ZERO_ONE[:, 2:3], {}, "1 pixels of 0 count as a class"),
        (np.ones((2, 2), np.uint8), {}, None),
        (
            ZERO_ONE,
            {"scheme": MapScheme.from_mapping({1: "forest", 255: "sea"})},
            "7 pixels of 0 count as without a class, .* name 0 among them",
        ),
        (NEGATIVE, {}, "1 pixels of -32768 count as a class, .* set `nodata` to -32768"),
        (NEGATIVE, {"nodata": -32768}, "2 pixels of 0"),
    ],
)
def test_values_of_unstated_meaning_are_one_warning(tmp_path, caplog, values, options, line):
    with caplog.at_level(logging.WARNING):
        raster.map_classes(write(tmp_path / "a.tif", values), **options)
    if line is None:
        assert not caplog.records
    else:
        assert any(re.search(line, r.getMessage()) for r in caplog.records)


def test_a_nodata_value_outside_the_pixel_type_is_ignored(tmp_path, caplog):
    path = write(tmp_path / "a.tif", ZERO_ONE, nodata=255)
    vrt = tmp_path / "a.vrt"
    rasterio.shutil.copy(path, vrt, driver="VRT")
    vrt.write_text(vrt.read_text().replace(">255<", ">-9999<"))
    with caplog.at_level(logging.WARNING):
        assert counts_of(vrt) == {0: 7, 1: 4, 255: 1}
    assert "7 pixels of 0 count as a class" in caplog.text


def test_a_declared_nodata_value_needs_no_warning(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        raster.map_classes(write(tmp_path / "a.tif", ZERO_ONE, nodata=255))
        raster.map_classes(write(tmp_path / "b.tif", NEGATIVE, nodata=-32768))
    assert not caplog.records


# ---- The commands, each by hand


def test_patches_count_0_and_negative_classes(tmp_path):
    measures = patches.patches(write(tmp_path / "a.tif", ZERO_ONE, nodata=255), neighbours=4)
    assert [(c.name, c.patches, round(c.hectares / HECTARES)) for c in measures.classes] == [
        ("class 0", 2, 7), ("class 1", 1, 4)
    ]  # fmt: skip
    scheme = MapScheme.from_mapping({-5: "worse", -1: "bad", 0: "stable", 3: "good"})
    path = write(tmp_path / "n.tif", NEGATIVE, nodata=-32768)
    measures = patches.patches(path, classes=scheme, neighbours=4, block=2)
    assert [(c.name, c.patches, round(c.hectares / HECTARES)) for c in measures.classes] == [
        ("worse", 1, 4), ("bad", 1, 2), ("stable", 1, 2), ("good", 1, 3)
    ]  # fmt: skip
    # sides of 30 m between classes: 3 along 'bad', of which 2 to 'worse'
    assert measures.classes[1].edge == 3 * 30


def traced(path, out, **options):
    result = polygons.polygons(path, out, **options)
    return {n: (result.polygons[n], round(result.hectares[n] / HECTARES)) for n in result.polygons}


def test_polygons_trace_0_and_negative_classes(tmp_path):
    path = write(tmp_path / "a.tif", ZERO_ONE, nodata=255)
    assert traced(path, tmp_path / "a.gpkg") == {"class 0": (2, 7), "class 1": (1, 4)}
    assert traced(path, tmp_path / "b.gpkg", nodata=0) == {"class 1": (1, 4)}
    negative = write(tmp_path / "n.tif", NEGATIVE, nodata=-32768)
    assert traced(negative, tmp_path / "n.gpkg") == {
        "class -5": (1, 4), "class -1": (1, 2), "class 0": (1, 2), "class 3": (1, 3)
    }  # fmt: skip


def test_polygons_of_undeclared_nodata_of_four_bytes(tmp_path, caplog):
    least = np.iinfo(np.int32).min
    values = np.array([[1, 1, 70_000], [least, 1, 1]], np.int32)
    path = write(tmp_path / "a.tif", values)
    assert traced(path, tmp_path / "a.gpkg", nodata=least) == {
        "class 1": (1, 4), "class 70000": (1, 1)
    }  # fmt: skip
    with caplog.at_level(logging.WARNING):
        assert traced(path, tmp_path / "b.gpkg")[f"class {least}"] == (1, 1)
    assert f"1 pixels of {least} count as a class" in caplog.text


def test_zones_measure_0_and_negative_classes(tmp_path):
    pytest.importorskip("exactextract")
    from landshift.maps.zonal import measure_zones

    west, north = 500_000.0, 4_000_000.0
    ring = [[west, north], [west + 120, north], [west + 120, north - 90], [west, north - 90]]
    zones = tmp_path / "zones.geojson"
    zones.write_text(
        json.dumps(
            {
                "type": "FeatureCollection",
                "crs": {"type": "name", "properties": {"name": "EPSG:32618"}},
                "features": [
                    {
                        "type": "Feature",
                        "properties": {"zone": "all"},
                        "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
                    }
                ],
            }
        )
    )

    def measured(path, **options):
        result = measure_zones(path, zones, "zone", **options)
        pixels = (result.hectares[0] / HECTARES).round().astype(int).tolist()
        return dict(zip(result.classes, pixels, strict=True))

    path = write(tmp_path / "a.tif", ZERO_ONE, nodata=255)
    assert measured(path) == {0: 7, 1: 4}
    assert measured(path, nodata=0) == {1: 4}
    negative = write(tmp_path / "n.tif", NEGATIVE, nodata=-32768)
    assert measured(negative) == {-5: 4, -1: 2, 0: 2, 3: 3}
    with pytest.raises(ClassError, match=r"got no name for 0 in .*a\.tif; add it"):
        measured(path, classes=MapScheme.from_mapping({1: "forest"}))


def test_a_sample_counts_0_and_large_and_negative_classes(tmp_path):
    names = {-1: "degraded", 0: "stable", 523: "sea"}
    values = np.kron(np.array([[-1, 0], [523, 0]], np.int16), np.ones((10, 10), np.int16))
    values[0, :5] = -32768
    path = write(tmp_path / "m.tif", values, nodata=-32768)
    plan = SamplePlan(size=30, allocation="equal")
    result = landshift.sample(
        path, tmp_path / "s.gpkg", plan=plan, classes=MapScheme.from_mapping(names)
    ).design
    assert {s.name: s.units for s in result.strata} == {
        "degraded": 95, "stable": 200, "sea": 100
    }  # fmt: skip
    assert result.classes == names
    result = landshift.sample(path, tmp_path / "t.gpkg", plan=plan, nodata=0).design
    assert {s.value: s.units for s in result.strata} == {-1: 95, 523: 100}


def test_domains_hold_the_classes_of_the_sample_alone(tmp_path):
    path = write(tmp_path / "m.tif", ZERO_ONE, nodata=255)
    ring = [[500_000, 4_000_000], [500_060, 4_000_000], [500_060, 3_999_910], [500_000, 3_999_910]]
    shape = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}  # the two left columns
    feature = {"type": "Feature", "properties": {"zone": "west"}, "geometry": shape}
    crs = {"type": "name", "properties": {"name": "EPSG:32618"}}
    zones = tmp_path / "zones.geojson"
    zones.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    nowhere = np.zeros(0, np.int64)
    for classes, pixels in (({0, 1}, 6), ({0}, 5), ({1}, 1)):
        result = find_domains(path, DomainSource(zones, "zone"), nowhere, nowhere, classes=classes)
        assert result.hectares == pytest.approx([pixels * HECTARES], rel=0.01)


def test_a_report_shows_0_and_negative_classes(tmp_path):
    shown = class_map(write(tmp_path / "a.tif", ZERO_ONE, nodata=255), "Map").shown
    assert "about class 0 64%, class 1 36%" in shown
    shown = class_map(write(tmp_path / "n.tif", NEGATIVE, nodata=-32768), "Map").shown
    assert "about class -5 36%, class 3 27%, class -1 18%, class 0 18%" in shown


# ---- Change maps, which hold 0 for 'not labelled'


def test_a_change_map_moves_0_to_a_free_value_with_a_warning(tmp_path, caplog):
    after = np.array([[0, 1, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0]], np.uint8)
    paths = [
        write(tmp_path / f"{k}.tif", v, nodata=255) for k, v in enumerate((ZERO_ONE, after))
    ]  # fmt: skip
    scheme = ClassScheme.from_mapping({0: "other", 1: "forest"})
    with caplog.at_level(logging.WARNING):
        table = label.label(*paths, tmp_path / "c.tif", classes=scheme)
    assert "another one there: 0 -> 2 'other'." in caplog.text
    assert table.scheme.mapping == {1: "forest", 2: "other"}
    assert table.pixels.tolist() == [[3, 1], [1, 6]]
    assert raster.scheme_of(tmp_path / "c.tif").mapping == {
        1: "to forest", 2: "to other", 3: "No change"
    }  # fmt: skip
    with rasterio.open(tmp_path / "c.tif") as source:
        assert source.read(1).tolist() == [[3, 1, 3, 3], [3, 3, 2, 3], [3, 3, 3, 0]]
        (record,) = (json.loads(v) for k, v in source.tags().items() if "PROVENANCE" in k)
    assert record["parameters"]["moved"] == {"0": 2}


def test_values_of_classes_are_those_of_the_files(tmp_path):
    paths = [
        write(tmp_path / f"{k}.tif", np.array([v], np.int16), nodata=-99)
        for k, v in enumerate(([-1, 0, 311, -99], [0, 311, -1, 0]))
    ]
    table = label.label(
        *paths, tmp_path / "c.tif", filters=label.Filters(from_classes=[-1], to_classes=["0"])
    )
    assert table.scheme.mapping == {1: "class -1", 2: "class 0", 3: "class 311"}
    with rasterio.open(tmp_path / "c.tif") as source:
        assert source.read(1).tolist() == [[2, 0, 0, 0]]


CORINE = {111: "city", 112: "town", 311: "broad", 312: "conifer", 523: "sea"}


def test_corine_codes_are_recoded_with_their_names(tmp_path, caplog):
    random = np.random.default_rng(0)
    before, after = (random.choice(list(CORINE), (9, 9)).astype(np.int16) for _ in range(2))
    paths = [
        write(tmp_path / f"{k}.tif", v, nodata=-9999) for k, v in enumerate((before, after))
    ]  # fmt: skip
    listed = tmp_path / "corine.csv"
    listed.write_text("value,name\n" + "".join(f"{v},{n}\n" for v, n in CORINE.items()))
    with caplog.at_level(logging.WARNING):
        table = label.label(*paths, tmp_path / "c.tif", classes=legend_readers.read_classes(listed))
    assert "311 -> 1 'broad', 312 -> 2 'conifer', 523 -> 3 'sea'" in caplog.text
    assert table.scheme.mapping == {
        1: "broad", 2: "conifer", 3: "sea", 111: "city", 112: "town"
    }  # fmt: skip
    coded = {111: 111, 112: 112, 311: 1, 312: 2, 523: 3}
    wanted = np.where(before == after, 113, np.vectorize(coded.get)(after))
    with rasterio.open(tmp_path / "c.tif") as source:
        assert (source.read(1) == wanted).all()
    # the same maps against that reference: all right
    right = evaluate_class_maps(
        *paths, tmp_path / "c.tif", classes=legend_readers.read_classes(listed)
    )
    assert right.scores.accuracy == 1
    assert right.matrix.sum() == 81


# ---- Scores


def test_maps_with_0_and_large_values_are_scored(tmp_path):
    for values in ([0, 1, 1, 255], [-1, 523, 523, -9]):
        a, b, none = values[0], values[1], values[3]
        mapped = write(
            tmp_path / f"{a}m.tif", np.array([[a, a, b, b, none]], np.int16), nodata=none
        )
        truth = write(tmp_path / f"{a}r.tif", np.array([[a, b, b, a, a]], np.int16), nodata=none)
        scheme = MapScheme.from_mapping({a: "other", b: "forest"})
        evaluation = evaluate_map(mapped, truth, scheme=scheme)
        assert evaluation.matrix.tolist() == [[1, 1, 1], [1, 1, 0]]
    with pytest.raises(ClassError, match=r"must be in the class mapping \[523\], got \[-1\]"):
        evaluate_map(mapped, truth, scheme=MapScheme.from_mapping({523: "forest"}))


def test_each_command_has_the_option(tmp_path):
    path = write(tmp_path / "a.tif", ZERO_ONE)
    run = commands.run("patches", str(path), "-o", str(tmp_path / "a.csv"))
    assert run.exit_code == 0, run.output
    assert "class 0" in run.output
    options = ["patches", str(path), "-o", str(tmp_path / "b.csv"), "--nodata", "0"]
    assert "class 0" not in commands.run(*options).output
    for command in ("label", "sample", "polygons", "zonal", "evaluate"):
        assert "--nodata" in commands.run(command, "--help").output


# ---- Real rasters


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("taizhou/labels_0nodata_1nochange_2change.tif", {1: 17163, 2: 4227}),
        (
            "nc_landsat7_2000/labels_landclass96_on_lsat_grid.tif",
            {1: 72895, 2: 2137, 3: 25425, 4: 16792, 5: 126051, 6: 5303, 7: 194},
        ),
        ("chiapas_l7/labels_1999_sparse.tif", {1: 383, 2: 16, 3: 145, 4: 106, 5: 68}),
        ("pucallpa/landcover/1985.tif", {1: 155290, 2: 81321, 3: 15994, 4: 6848, 5: 3277}),
        ("pucallpa/landcover/2005.tif", {1: 134067, 2: 67498, 3: 10681, 4: 41687, 5: 8829}),
    ],
)
def test_real_labels_read_as_their_sources_say(data_folder, caplog, name, counts):
    with caplog.at_level(logging.WARNING):
        assert counts_of(data_folder / name) == counts
    assert not caplog.records


@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["u1", "i1", "u2", "i2", "i4", "u4"]),
    share=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_values_present_are_the_unique_ones_of_valid_pixels(seed, kind, share):
    random = np.random.default_rng(seed)
    limits = np.iinfo(kind)
    values = random.integers(limits.min, limits.max, (5, 7), kind, endpoint=True)
    mask = random.random((5, 7)) < share
    assert raster.present(values, mask).tolist() == np.unique(values[mask]).tolist()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "uint32"])
def test_class_values_are_ranked_as_numpy_does(dtype):
    random = np.random.default_rng(0)
    limits = np.iinfo(dtype)
    some = np.array([limits.min, limits.max, 3, 7, 100], dtype)
    codes = random.choice(some, (9, 11))
    mask = random.random(codes.shape) < 0.7
    values, ranks = raster.ranked(codes, mask)
    assert values.tolist() == sorted(some.tolist())
    assert (values[ranks[mask]] == codes[mask]).all()
    assert (ranks[~mask] == values.size).all()
    values, ranks = raster.ranked(codes, np.zeros_like(mask))
    assert (ranks == values.size).all()


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_classes_in_a_raster_are_those_of_its_pixels_in_any_block(write_raster, monkeypatch, dtype):
    codes = np.random.default_rng(0).choice(np.array([0, 2, 5, 9], dtype), (40, 50))
    codes[-1, -1] = 77
    path = write_raster("map.tif", codes, nodata=9)
    with raster.open_raster(path) as source:
        known = raster.class_values(source, nodata=2)
    assert raster.values_in(known) == {0, 5, 77}
    monkeypatch.setattr(raster.blocks, "__defaults__", (16,))
    assert raster.values_in(known) == {0, 5, 77}
