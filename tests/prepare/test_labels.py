import csv
import json
import re
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import confusion_matrix

from commands import run
from landshift import raster
from landshift.classes import IGNORE_INDEX, ClassScheme, MapScheme, legend_readers
from landshift.classes.class_options import parse_transition
from landshift.errors import ClassError, DateError, GridError, LandshiftError
from landshift.machine import parallel
from landshift.prepare.label import Cleaning, Filters, MapReading, label
from landshift.prepare.rules import PairRules
from landshift.raster import recoding
from scenes import write

SCHEME = ClassScheme.from_mapping({1: "forest", 2: "urban", 3: "water"})
BEFORE = np.array([[1, 1, 2], [3, 0, 1]], np.uint8)
AFTER = np.array([[1, 2, 2], [1, 1, 255]], np.uint8)


@pytest.fixture
def maps(write_raster):
    return (
        write_raster("b.tif", BEFORE, nodata=0),
        write_raster("a.tif", AFTER, nodata=255),
    )


def test_the_change_map_and_the_table_by_hand(maps, tmp_path):
    table = label(*maps, tmp_path / "change.tif", classes=SCHEME)
    with rasterio.open(tmp_path / "change.tif") as source:
        assert source.read(1).tolist() == [[4, 2, 4], [1, 0, 0]]
        assert source.nodata == 0
    assert table.pixels.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert table.hectares == pytest.approx(table.pixels * 0.09)
    assert table.nodata == 2
    assert table.changed == pytest.approx(0.5)
    assert raster.scheme_of(tmp_path / "change.tif").mapping == {
        1: "to forest", 2: "to urban", 3: "to water", 4: "No change"
    }  # fmt: skip


def test_the_table_as_csv(maps, tmp_path):
    path = label(*maps, tmp_path / "c.tif", classes=SCHEME).write_csv(tmp_path / "t.csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert rows[1] == {
        "from": "forest", "to": "urban", "pixels": "1", "hectares": "0.09", "percent": "25.0"
    }  # fmt: skip


def test_without_a_scheme_the_values_found_are_the_classes(maps, tmp_path):
    table = label(*maps, tmp_path / "change.tif")
    assert table.scheme.mapping == {1: "class 1", 2: "class 2", 3: "class 3"}


def test_bounds_cut_a_part_out(maps, tmp_path):
    bounds = (500_030.0, 3_999_970.0, 500_090.0, 4_000_000.0)
    label(*maps, tmp_path / "change.tif", classes=SCHEME, bounds=bounds)
    with rasterio.open(tmp_path / "change.tif") as source:
        assert source.read(1).tolist() == [[2, 4]]
        assert source.bounds[:2] == (500_030, 3_999_970)


def test_plum_island_is_exactly_as_published(data_folder, tmp_path):
    folder = data_folder / "pie_lulc"
    scheme = ClassScheme.from_mapping({1: "forest", 2: "built", 3: "other"})
    table = label(
        folder / "lu_pie_1985.tif", folder / "lu_pie_1999.tif", tmp_path / "c.tif", classes=scheme
    )
    assert table.pixels.tolist() == [[44107, 4250, 656], [11, 36957, 154], [1259, 2248, 23921]]


def test_maps_in_the_wrong_order_are_refused(data_folder, tmp_path):
    folder = data_folder / "pie_lulc"
    with pytest.raises(DateError, match="swap the two"):
        label(folder / "lu_pie_1999.tif", folder / "lu_pie_1985.tif", tmp_path / "c.tif")
    assert not list(tmp_path.iterdir())


def test_other_grids_are_refused(maps, write_raster, tmp_path):
    other = write_raster("o.tif", np.ones((2, 4), np.uint8))
    with pytest.raises(GridError, match=r"Class maps must share a grid, got 3 x 2 .* 4 x 2"):
        label(maps[0], other, tmp_path / "c.tif")
    moved = write_raster("m.tif", BEFORE, crs="EPSG:32619")
    with pytest.raises(GridError, match="32619"):
        label(maps[0], moved, tmp_path / "c.tif")


def test_rasters_that_are_no_class_maps_are_refused(maps, write_raster, tmp_path):
    out = tmp_path / "c.tif"
    with pytest.raises(ClassError, match=r"got \[3\] in .*b\.tif"):
        label(*maps, out, classes=ClassScheme.from_mapping({1: "forest", 2: "urban"}))
    fractions = write_raster("f.tif", np.full((2, 3), 0.5, np.float32))
    with pytest.raises(ClassError, match="whole numbers"):
        label(fractions, fractions, out)
    image = write_raster("i.tif", np.ones((2, 2, 3), np.uint8))
    with pytest.raises(ClassError, match="one band, got 2"):
        label(image, image, out)
    empty = write_raster("e.tif", np.zeros((2, 3), np.uint8), nodata=0)
    with pytest.raises(ClassError, match="only nodata"):
        label(empty, empty, out)
    many = write_raster("l.tif", np.arange(300, dtype=np.uint16).reshape(2, 150))
    with pytest.raises(ClassError, match="at most 253 classes, got 300"):
        label(many, many, out)
    assert not out.exists()


def test_without_a_crs_there_are_no_hectares(write_raster, tmp_path):
    maps = [write_raster(f"{n}.tif", BEFORE, nodata=0, crs=None) for n in "ab"]
    table = label(*maps, tmp_path / "c.tif")
    assert table.hectares is None
    assert table.rows()[0]["hectares"] == ""


def read(path):
    with rasterio.open(path) as source:
        return source.read(1)


def test_from_to_codes_and_their_attribute_table(maps, tmp_path):
    out = tmp_path / "change.tif"
    label(*maps, out, classes=SCHEME, coding="from-to")
    assert read(out).tolist() == [[1, 2, 5], [7, 0, 0]]
    assert raster.scheme_of(out).mapping[2] == "forest->urban"
    about, _, _, values = pyogrio.raw.read(tmp_path / "change.tif.vat.dbf")
    rows = list(zip(*values, strict=True))
    fields = ["Value", "Name", "Count", "From", "To", "Hectares", "Red", "Green", "Blue"]
    assert list(about["fields"]) == fields
    assert rows[1][:6] == (2, "forest->urban", 1, "forest", "urban", 0.09)
    assert rows[2][:6] == (3, "forest->water", 0, "forest", "water", 0.0)
    assert legend_readers.read_classes(tmp_path / "change.qml") == raster.scheme_of(out)


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="gdalinfo isn't installed")
def test_gdal_reads_the_attribute_table_and_the_category_names(maps, tmp_path):
    out = tmp_path / "change.tif"
    label(*maps, out, classes=SCHEME)
    info = json.loads(subprocess.check_output(["gdalinfo", "-json", out]))
    assert info["bands"][0]["colorTable"]["entries"][4] == [221, 221, 221, 255]
    assert info["rat"]["row"][3]["f"][:5] == [4, "No change", 2, "", ""]
    text = subprocess.check_output(["gdalinfo", out], text=True)
    assert "4: No change" in text


def test_binary_coding(maps, tmp_path):
    label(*maps, tmp_path / "c.tif", classes=SCHEME, coding="binary")
    assert read(tmp_path / "c.tif").tolist() == [[2, 1, 2], [1, 0, 0]]


def test_two_byte_codes_are_written_with_names_and_colours(write_raster, tmp_path):
    values = np.arange(1, 18, dtype=np.uint8)[np.newaxis]
    maps = write_raster("b.tif", values), write_raster("a.tif", np.roll(values, 1))
    label(*maps, tmp_path / "c.tif", coding="from-to")
    codes = read(tmp_path / "c.tif")
    assert codes.dtype == np.uint16
    assert codes[0, :2].tolist() == [17, 18]  # 1->17, 2->1
    assert legend_readers.beside(tmp_path / "c.tif").names[289] == "class 17->class 17"
    with rasterio.open(tmp_path / "c.tif") as source:
        assert source.colormap(1)[289][3] == 255
    with pytest.raises(ClassError, match="at most 254 classes, got 289"):
        raster.scheme_of(tmp_path / "c.tif")


@pytest.mark.parametrize(
    ("options", "expected", "filtered"),
    [
        ({"keep": "changed"}, [[0, 2, 0], [1, 0, 0]], 2),
        ({"keep": "unchanged"}, [[4, 0, 4], [0, 0, 0]], 2),
        ({"from_classes": ["Forest"]}, [[4, 2, 4], [0, 0, 0]], 1),
        ({"to_classes": [1]}, [[4, 0, 4], [1, 0, 0]], 1),
        ({"to_classes": ["1"], "keep": "changed"}, [[0, 0, 0], [1, 0, 0]], 3),
    ],
)
def test_pixels_that_the_filter_drops_are_not_labelled(maps, tmp_path, options, expected, filtered):
    transitions = label(*maps, tmp_path / "c.tif", classes=SCHEME, filters=Filters(**options))
    assert read(tmp_path / "c.tif").tolist() == expected
    assert transitions.filtered == filtered
    assert transitions.pixels.sum() == 4  # the table counts all


def test_forbidden_transitions_are_nodata_and_counted(maps, tmp_path):
    table = label(
        *maps, tmp_path / "c.tif", classes=SCHEME, filters=Filters(forbidden=[("water", "*")])
    )
    assert read(tmp_path / "c.tif").tolist() == [[4, 2, 4], [0, 0, 0]]
    assert table.forbidden == {("water", "forest"): 1, ("water", "urban"): 0}
    assert table.nodata == 2
    assert table.pixels.sum() == 3
    assert parse_transition("3 -> forest") == ("3", "forest")


def test_a_nodata_option_replaces_a_missing_tag(write_raster, tmp_path):
    maps = [write_raster(f"{n}.tif", np.array([[9, 1]], np.uint8)) for n in "ab"]
    label(*maps, tmp_path / "c.tif", reading=MapReading(nodata=9))
    assert read(tmp_path / "c.tif").tolist() == [[0, 2]]


def test_two_legends_meet_in_one_scheme(write_raster, tmp_path):
    before = write_raster("b.tif", np.array([[311, 112, 0, 512]], np.uint16))
    after = write_raster("a.tif", np.array([[-1, 7, 7, 3]], np.int16))
    recode = {
        "recode_before": {311: "forest", 112: "urban", 0: "water", 512: None},
        "recode_after": {-1: "Urban", 7: "urban", 3: "forest"},
    }
    table = label(before, after, tmp_path / "c.tif", reading=MapReading(**recode))
    assert table.scheme.mapping == {1: "forest", 2: "urban", 3: "water"}
    assert read(tmp_path / "c.tif").tolist() == [[2, 4, 2, 0]]
    with pytest.raises(ClassError, match=r"got \[512\] in .*b\.tif"):
        label(
            before,
            after,
            tmp_path / "d.tif",
            reading=MapReading(
                recode_before={311: 1, 112: 2, 0: 3},
                recode_after=recode["recode_after"] | {-1: 1, 7: 1, 3: 1},
            ),
        )
    with pytest.raises(ClassError, match="got 'swamp'"):
        label(
            before,
            after,
            tmp_path / "d.tif",
            classes=SCHEME,
            reading=MapReading(recode_before={311: "swamp"}, recode_after={}),
        )


def test_names_and_colours_come_from_sidecars(maps, tmp_path):
    (tmp_path / "b.tif.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category>none</Category><Category>'
        "forest</Category></CategoryNames></PAMRasterBand></PAMDataset>"
    )
    (tmp_path / "a.clr").write_text("1 0 100 0\n2 255 0 0 255 urban\n200 9 9 9\n")
    table = label(*maps, tmp_path / "c.tif")
    assert table.scheme.mapping == {1: "forest", 2: "urban", 3: "class 3"}
    assert table.scheme.colours[2] == (255, 0, 0)


def test_a_legend_may_name_0_unclassified(maps, tmp_path):
    mapping = {0: "Unclassified", **SCHEME.mapping}
    table = label(*maps, tmp_path / "c.tif", classes=ClassScheme.from_mapping(mapping))
    assert table.scheme.mapping == SCHEME.mapping


def test_other_grids_are_resampled_on_request(write_raster, tmp_path):
    before = write_raster("b.tif", np.ones((2, 2), np.uint8), pixel=60.0)
    fine = np.array([[2, 1, 1, 1], [1, 1, 2, 2], [1, 2, 2, 2], [2, 2, 2, 2]], np.uint8)
    after = write_raster("a.tif", fine)
    label(before, after, tmp_path / "m.tif", reading=MapReading(resampling="mode"))
    assert read(tmp_path / "m.tif").tolist() == [[3, read(tmp_path / "m.tif")[0, 1]], [2, 2]]
    label(before, after, tmp_path / "n.tif", reading=MapReading(resampling="nearest"))
    nearest = read(tmp_path / "n.tif")
    assert nearest[1, 1] == 2
    part = write_raster("p.tif", fine[:2, :2], origin=(500_060.0, 3_999_940.0))
    table = label(before, part, tmp_path / "q.tif", reading=MapReading(resampling="nearest"))
    assert table.nodata == 3
    far = write_raster("f.tif", fine, crs="EPSG:32619")
    with pytest.raises(GridError, match="must overlap on the ground"):
        label(before, far, tmp_path / "r.tif", reading=MapReading(resampling="mode"))
    nowhere = write_raster("w.tif", fine, crs=None)
    with pytest.raises(GridError, match="needs a CRS on both"):
        label(before, nowhere, tmp_path / "r.tif", reading=MapReading(resampling="mode"))


def test_resampling_does_not_depend_on_the_blocks(write_raster, tmp_path, monkeypatch):
    random = np.random.default_rng(1)
    before = write_raster("b.tif", random.integers(1, 5, (60, 70)).astype(np.uint8))
    after = write_raster(
        "a.tif", random.integers(1, 5, (200, 160)).astype(np.uint8), crs="EPSG:4326",
        origin=(-75.001, 36.148), pixel=0.00013,
    )  # fmt: skip
    for how in ("nearest", "mode"):
        label(
            before,
            after,
            tmp_path / "whole.tif",
            reading=MapReading(resampling=how),
            coding="from-to",
            overwrite=True,
        )
        with monkeypatch.context() as patch:
            patch.setattr("landshift.prepare.map_reading._BLOCK", 13)
            label(
                before,
                after,
                tmp_path / "blocks.tif",
                reading=MapReading(resampling=how),
                coding="from-to",
                overwrite=True,
            )
        assert (read(tmp_path / "whole.tif") == read(tmp_path / "blocks.tif")).all()
        assert (read(tmp_path / "whole.tif") > 0).sum() > 1000


def test_changes_that_other_maps_do_not_confirm_are_removed(write_raster, tmp_path):
    first, second = np.array([[1, 1, 1, 1]], np.uint8), np.array([[2, 2, 2, 1]], np.uint8)
    maps = [write_raster("b.tif", first), write_raster("a.tif", second)]
    early = write_raster("e.tif", np.array([[1, 1, 2, 2]], np.uint8))
    late = write_raster("l.tif", np.array([[2, 1, 2, 2]], np.uint8))
    more = {"agree_before": [early], "agree_after": [late]}
    table = label(*maps, tmp_path / "c.tif", classes=SCHEME, cleaning=Cleaning(**more))
    assert read(tmp_path / "c.tif").tolist() == [[2, 4, 4, 4]]
    assert table.removed == 2
    assert table.pixels[0].tolist() == [3, 1, 0]
    table = label(
        *maps, tmp_path / "c.tif", classes=SCHEME,
        cleaning=Cleaning(unconfirmed="nodata", **more), overwrite=True,
    )  # fmt: skip
    assert read(tmp_path / "c.tif").tolist() == [[2, 0, 0, 4]]
    assert (table.nodata, table.removed) == (0, 2)


def test_smoothing_and_small_patches_by_blocks_are_those_of_the_whole(
    write_raster, tmp_path, monkeypatch
):
    random = np.random.default_rng(0)
    maps = [
        write_raster(f"{n}.tif", random.integers(0, 4, (70, 90)).astype(np.uint8), nodata=0)
        for n in "ba"
    ]
    cleaning = Cleaning(smooth=3, min_hectares=0.5, neighbours=4)
    whole = label(*maps, tmp_path / "whole.tif", coding="from-to", cleaning=cleaning)
    monkeypatch.setattr("landshift.prepare.map_reading._BLOCK", 16)
    blocks = label(*maps, tmp_path / "blocks.tif", coding="from-to", cleaning=cleaning)
    assert (read(tmp_path / "whole.tif") == read(tmp_path / "blocks.tif")).all()
    assert (whole.pixels == blocks.pixels).all()
    assert whole.removed == blocks.removed > 0


def test_small_patches_of_change_are_removed(write_raster, tmp_path):
    first = np.ones((3, 4), np.uint8)
    second = np.array([[2, 2, 1, 3], [1, 1, 3, 1], [2, 1, 1, 1]], np.uint8)
    maps = [write_raster("b.tif", first), write_raster("a.tif", second)]
    label(*maps, tmp_path / "c.tif", cleaning=Cleaning(min_pixels=2))
    assert read(tmp_path / "c.tif").tolist() == [[2, 2, 4, 3], [4, 4, 3, 4], [4, 4, 4, 4]]
    label(*maps, tmp_path / "c.tif", cleaning=Cleaning(min_pixels=2, neighbours=4), overwrite=True)
    assert read(tmp_path / "c.tif").tolist() == [[2, 2, 4, 4], [4] * 4, [4] * 4]
    table = label(
        *maps,
        tmp_path / "c.tif",
        cleaning=Cleaning(min_hectares=0.19, unconfirmed="nodata"),
        overwrite=True,
    )
    assert read(tmp_path / "c.tif").tolist() == [[0, 0, 4, 0], [4, 4, 0, 4], [0, 4, 4, 4]]
    assert table.removed == 5


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (lambda: {"coding": "x"}, "`coding` must be one of to, from-to, binary"),
        (lambda: {"filters": Filters(keep="x")}, "`keep` must be one of all"),
        (
            lambda: {"filters": Filters(keep="unchanged", to_classes=[1])},
            "`to_classes`.* leave one of the two out",
        ),
        (lambda: {"cleaning": Cleaning(unconfirmed="x")}, "`unconfirmed` must be one of"),
        (lambda: {"cleaning": Cleaning(smooth=4)}, "3, 5, 7, 9 or 11"),
        (lambda: {"cleaning": Cleaning(min_pixels=3, min_hectares=1)}, "got both"),
        (lambda: {"cleaning": Cleaning(min_pixels=0)}, "`min_pixels` must be above 0"),
        (lambda: {"cleaning": Cleaning(min_pixels=2, neighbours=6)}, "4 or 8"),
        (lambda: {"cleaning": Cleaning(neighbours=6)}, "4 or 8"),
        (
            lambda: {"reading": MapReading(resampling="bilinear")},
            "`resampling` must be one of nearest, mode, got 'bilinear'",
        ),
        (lambda: {"filters": Filters(forbidden=[("forest", "forest")])}, "must be a change"),
        (lambda: {"filters": Filters(forbidden=["forest"])}, "from->to"),
        (
            lambda: {"filters": Filters(to_classes=["swamp"])},
            "1 'forest', 2 'urban', 3 'water', got 'swamp'",
        ),
    ],
)
def test_options_out_of_range_are_one_line(maps, tmp_path, options, why):
    with pytest.raises(LandshiftError, match=why):
        label(*maps, tmp_path / "c.tif", classes=SCHEME, **options())
    assert not (tmp_path / "c.tif").exists()


def test_areas_on_a_geographic_grid_are_geodesic(data_folder, tmp_path):
    folder = data_folder / "pucallpa" / "landcover"
    table = label(folder / "1985.tif", folder / "2005.tif", tmp_path / "c.tif")
    with rasterio.open(folder / "1985.tif") as source:
        valid = (source.read(1) > 0) & (read(folder / "2005.tif") > 0)
        transform = source.transform
    geod, total = pyproj.Geod(ellps="WGS84"), 0.0
    for row, count in enumerate(valid.sum(axis=1)):
        left, top = transform @ (0, row)
        right, bottom = transform @ (1, row + 1)
        # a parallel is no geodesic: many short ones along it
        x = np.linspace(left, right, 50)
        ring = np.r_[x, x[::-1]], np.r_[np.full(50, bottom), np.full(50, top)]
        total += geod.polygon_area_perimeter(*ring)[0] * count / 1e4
    assert table.hectares.sum() == pytest.approx(total, rel=1e-9)


def test_mato_grosso_changes_over_seventeen_years(data_folder, tmp_path):
    folder = data_folder / "mato_grosso_lulc"
    names = (folder / "metadata_bbNovaIbiruna.txt").read_text().split()
    scheme = ClassScheme.from_mapping({k: n.strip('"')[3:] for k, n in enumerate(names, start=1)})
    paths = sorted(folder.glob("*.tif"))
    table = label(
        paths[0],
        paths[-1],
        tmp_path / "c.tif",
        classes=scheme,
        coding="from-to",
        filters=Filters(forbidden=[("Urban_Area", "*")]),
    )
    first, last = read(paths[0]), read(paths[-1])
    assert table.changed == pytest.approx(0.366, abs=0.0005)
    assert table.nodata == (first == 15).sum()
    pairs = confusion_matrix(
        first[first != 15], last[first != 15], labels=list(range(1, 14))
    )  # fmt: skip
    lost = pairs[10].sum() - pairs[10, 10]
    pairs[10, np.arange(13) != 10] = 0
    assert (table.pixels == pairs).all()
    assert sum(table.forbidden.values()) == lost
    # agreement of three later dates, against numpy
    table = label(
        paths[0],
        paths[5],
        tmp_path / "p.tif",
        classes=scheme,
        cleaning=Cleaning(agree_after=paths[6:9]),
    )
    sixth = read(paths[5])
    stays = np.all([read(p) == sixth for p in paths[6:9]], axis=0)
    assert (table.pixels.sum() - np.trace(table.pixels)) == (
        (first != sixth) & stays & (first != 15)
    ).sum()


def test_new_guinea_has_sparse_codes_and_names_in_its_sidecar(data_folder, tmp_path):
    folder = data_folder / "newguinea_cci"
    table = label(
        folder / "landcover2001.tif",
        folder / "landcover2015.tif",
        tmp_path / "c.tif",
        coding="from-to",
        cleaning=Cleaning(min_pixels=2),
    )
    assert table.scheme.values == (1, 2, 3, 5, 6, 7, 9)
    assert table.scheme.names[1] == "Forest"
    assert table.pixels.sum() == 9_358_246
    assert table.pixels.sum(axis=1).tolist() == [912075, 8071478, 85177, 3639, 5752, 76198, 203927]


def test_float_maps_with_nan_are_class_maps_too(data_folder, tmp_path):
    folder = data_folder / "newguinea_cci"
    table = label(
        folder / "landcover2001s.tif", folder / "landcover2015s.tif", tmp_path / "c.tif"
    )  # fmt: skip
    assert table.nodata == 24746


def expected_codes(b, a, e, late, *, forbidden, froms, keep, least):
    """`label` by plain numpy on the whole maps, coded 'to class', classes 1 to 3."""
    b, a = b.copy(), a.copy()
    none = (b == 0) | (a == 0)
    for i, j in forbidden:
        none |= (b == i) & (a == j)
    a[none] = b[none] = 0
    doubtful = (a != b) & ((e != b) | (late != a))
    a[doubtful] = b[doubtful]
    listed = (a != b) & (np.isin(b, froms) if froms else True)
    became = np.where(listed, a, 0)
    for code in (1, 2, 3):
        patches, _ = ndimage.label(became == code, np.ones((3, 3)))
        small = (np.bincount(patches.ravel()) < least)[patches] & (patches > 0)
        a[small] = b[small]
    codes = np.where(a == b, 4, a)
    codes[(a != b) & ~listed] = 0
    codes[(a != b) if keep == "unchanged" else (a == b) if keep == "changed" else a == 0] = 0
    codes[none] = 0
    pixels = np.zeros((3, 3), int)
    np.add.at(pixels, (b[~none] - 1, a[~none] - 1), 1)
    return codes, pixels


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 24), st.integers(2, 24)),
    forbidden=st.sets(st.sampled_from([(1, 2), (3, 1), (2, 3)])),
    froms=st.sets(st.sampled_from([1, 2, 3]), max_size=2),
    keep=st.sampled_from(["all", "changed", "unchanged"]),
    least=st.integers(1, 9),
    block=st.integers(3, 20),
)
def test_label_by_blocks_equals_plain_numpy_on_the_whole(
    seed, size, forbidden, froms, keep, least, block
):
    random = np.random.default_rng(seed)
    first = random.integers(0, 4, size).astype(np.uint8)
    second = np.where(random.random(size) < 0.6, random.integers(0, 4, size), first).astype(
        np.uint8
    )
    more = [np.where(random.random(size) < 0.1, 0, m).astype(np.uint8) for m in (first, second)]
    froms = [] if keep == "unchanged" else sorted(froms)
    codes, pixels = expected_codes(
        first, second, *more, forbidden=forbidden, froms=froms, keep=keep, least=least
    )
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("landshift.prepare.map_reading._BLOCK", block)
        paths = [
            write(Path(folder) / f"{k}.tif", m) for k, m in enumerate((first, second, *more))
        ]  # fmt: skip
        table = label(
            paths[0],
            paths[1],
            Path(folder) / "c.tif",
            classes=SCHEME,
            filters=Filters(forbidden=sorted(forbidden), from_classes=froms, keep=keep),
            cleaning=Cleaning(min_pixels=least, agree_before=[paths[2]], agree_after=[paths[3]]),
        )
        assert (read(Path(folder) / "c.tif") == codes).all()
        assert (table.pixels == pixels).all()
        about, _, _, values = pyogrio.raw.read(Path(folder) / "c.tif.vat.dbf")
        counts = dict(zip(values[0], values[2], strict=True))
        assert about["fields"][2] == "Count"
        assert [counts[v] for v in (1, 2, 3, 4)] == np.bincount(
            codes.ravel(), minlength=5
        )[1:].tolist()  # fmt: skip
        lost = table.nodata + sum(table.forbidden.values()) + table.pixels.sum()
        assert lost == first.size


def test_many_cores_write_the_same_as_one(tmp_path, write_raster, monkeypatch):
    random = np.random.default_rng(0)
    maps = [
        write_raster(f"{k}.tif", random.integers(1, 4, (1100, 1300)).astype(np.uint8), nodata=0)
        for k in (1, 2)
    ]
    written = []
    for cores in (1, 4):
        monkeypatch.setattr(parallel, "threads", lambda n=cores: n)
        out = tmp_path / f"{cores}" / "change.tif"
        table = label(*maps, out, cleaning=Cleaning(min_hectares=0.5, smooth=3))
        written.append((out.read_bytes(), table.pixels.tolist(), table.hectares.tolist()))
    assert written[0] == written[1]


def test_blocks_of_other_values_have_all_their_classes(tmp_path, write_raster, monkeypatch):
    monkeypatch.setattr("landshift.prepare.map_reading._BLOCK", 2)
    values = np.array([[5, 5, -3, 5, 300], [5, 9, 5, 9, 9], [7, 0, 0, 0, 12]], np.int16)
    before, after = (write_raster(f"{k}.tif", values, nodata=9) for k in "ba")
    table = label(before, after, tmp_path / "c.tif", coding="binary")
    assert sorted(table.scheme.names) == [f"class {k}" for k in (-3, 0, 12, 300, 5, 7)]
    assert np.diag(table.pixels).sum() == table.pixels.sum() == 12
    assert table.nodata == 3


@pytest.mark.parametrize("count", [1, 2, 15, 16, 253])
def test_pairs_of_as_many_classes_as_there_may_be_are_told_apart(count):
    scheme = MapScheme.from_mapping({k: f"class {k}" for k in range(1, count + 1)})
    rules = PairRules(recoding.coded(scheme), "to", Filters(), [], "unchanged")
    indices = np.array([*range(count), IGNORE_INDEX], np.uint8)
    pairs = rules.pairs(*np.meshgrid(indices, indices, indexing="ij"))
    assert pairs.ravel().tolist() == list(range(rules.size))
    assert rules.by_classes(np.arange(rules.size)).tolist() == pairs[:count, :count].tolist()
    assert (rules.without_change[pairs] == np.diag(pairs)[:, np.newaxis])[:count, :count].all()
    assert not rules.map_code[pairs[-1]].any()
    assert not rules.map_code[pairs[:, -1]].any()


def test_class_values_beyond_whole_numbers_of_float64_are_refused(write_raster, tmp_path):
    path = write_raster("a.tif", np.array([[1, 2], [1e300, 3]]))
    with pytest.raises(ClassError, match=r"whole numbers, got fractions or numbers above 2\^53"):
        label(path, path, tmp_path / "c.tif")


@pytest.mark.parametrize(
    ("share", "dates", "told"),
    [
        (0.6, None, True),
        (0.4, None, False),
        (0.25, ("2020-06", "2020-07"), True),
        (0.15, ("2020-06", "2020-07"), False),
        (0.35, ("2020", "2021"), True),
        (0.35, ("2010", "2020"), False),
        (0.6, ("2000", "2020"), True),
    ],
)
def test_more_change_than_land_cover_has_is_told(
    write_raster, tmp_path, caplog, share, dates, told
):
    before = np.ones((20, 20), np.uint8)
    after = before.copy()
    after.ravel()[: round(share * 400)] = 2
    maps = write_raster("b.tif", before), write_raster("a.tif", after)
    label(*maps, tmp_path / "change.tif", classes=SCHEME, dates=dates)
    assert (f"{100 * share:.0f} % of the pixels changed class" in caplog.text) == told
    assert ("check that both maps show one season without clouds" in caplog.text) == told


def test_the_line_that_shows_both_maps_can_be_typed(tmp_path, caplog):
    tags = {"LANDSHIFT_CLASSES": json.dumps(SCHEME.as_list())}
    first = write(tmp_path / "b.tif", np.full((8, 8), 1, np.uint8), **tags)
    second = write(tmp_path / "a.tif", np.full((8, 8), 2, np.uint8), **tags)
    label(first, second, tmp_path / "c.tif")
    line = re.search(r"\(landshift (view .*) shows", caplog.text)[1]
    line = line.replace("IMAGE", str(first)).replace("FILE", str(tmp_path / "shown"))
    assert run(*line.split()).exit_code == 0
    assert (tmp_path / "shown.png").is_file()
