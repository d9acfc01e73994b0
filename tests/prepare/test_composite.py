import json
import logging

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window
from scipy import ndimage

import commands
from landshift import grid, raster
from landshift import images as imagery
from landshift.classes import MapScheme, legend_writers
from landshift.errors import (
    BandError,
    DateError,
    GridError,
    OutputError,
    ParameterError,
    RasterError,
)
from landshift.files import provenance
from landshift.files.dates import DATES_TAG
from landshift.images import Image, quality, windows
from landshift.machine import parallel, progress
from landshift.prepare.checks import checks_of, describe
from landshift.prepare.composite import CompositeOutput, ImageReading, TargetGrid, composite

BEFORE = np.arange(1, 13, dtype=np.uint16).reshape(2, 2, 3)
AFTER = BEFORE + 100


def read(path):
    with rasterio.open(path) as source:
        return source.read(), source.descriptions, source.nodata


def test_two_dates_are_stacked_and_named(write_raster, tmp_path):
    before = write_raster("b.tif", BEFORE, bands=["red", "nir"])
    after = write_raster("a.tif", AFTER, bands=["red", "nir"])
    values, names, _ = read(composite([before, after], tmp_path / "c.tif"))
    assert (values == np.concatenate([BEFORE, AFTER])).all()
    assert names == ("before:red", "before:nir", "after:red", "after:nir")


def test_one_date_is_a_composite_of_one(write_raster, tmp_path):
    image = write_raster("i.tif", BEFORE)
    values, names, _ = read(composite([image], tmp_path / "c.tif"))
    assert (values == BEFORE).all()
    assert names == ("b1", "b2")


def test_a_pixel_is_valid_only_where_it_is_on_both_dates(write_raster, tmp_path):
    before = write_raster("b.tif", BEFORE, nodata=3)
    after = write_raster("a.tif", AFTER, nodata=104)
    values, _, nodata = read(composite([before, after], tmp_path / "c.tif"))
    assert nodata == 3
    assert (values[:, 0, 2] == 3).all()
    assert (values[:, 1, 0] == 3).all()
    assert (values != 3).all(axis=0).sum() == 4


def test_nan_is_nodata(write_raster, tmp_path):
    image = BEFORE.astype(np.float32)
    image[0, 0, 0] = np.nan
    paths = [write_raster(f"{n}.tif", image) for n in "ba"]
    values, _, nodata = read(composite(paths, tmp_path / "c.tif"))
    assert np.isnan(nodata)
    assert np.isnan(values[:, 0, 0]).all()
    assert np.isfinite(values).all(axis=0).sum() == 5


def test_a_mask_band_survives_where_no_nodata_value_is_declared(write_raster, tmp_path):
    path = write_raster("i.tif", BEFORE)
    with rasterio.open(path, "r+") as target:
        target.write_mask(np.array([[0, 255, 255], [255, 255, 255]], np.uint8))
    values, _, nodata = read(composite([path], tmp_path / "c.tif"))
    assert nodata == 0
    assert (values[:, 0, 0] == 0).all()


def test_values_that_become_nodata_are_counted(write_raster, tmp_path, caplog):
    before = write_raster("b.tif", BEFORE, nodata=101)
    after = write_raster("a.tif", AFTER)
    with caplog.at_level(logging.WARNING):
        composite([before, after], tmp_path / "c.tif")
    assert "1 valid pixels hold 101" in caplog.text


def test_provenance_states_stage_and_inputs(write_raster, tmp_path):
    paths = [write_raster(f"{n}.tif", BEFORE) for n in "ba"]
    composite(paths, tmp_path / "c.tif")
    with rasterio.open(tmp_path / "c.tif") as source:
        record = json.loads(source.tags()[provenance.TAG])
    assert record["stage"] == "composite"
    assert [i["name"] for i in record["inputs"]] == ["b.tif", "a.tif"]
    first = (tmp_path / "c.tif").read_bytes()
    composite(paths, tmp_path / "c.tif", overwrite=True)
    assert (tmp_path / "c.tif").read_bytes() == first


def test_bad_input_is_one_line_and_leaves_no_file(write_raster, tmp_path):
    before, out = write_raster("b.tif", BEFORE), tmp_path / "c.tif"
    with pytest.raises(ParameterError, match="at least one image, got none"):
        composite([], out)
    with pytest.raises(GridError, match=r"Images must share ground, got .* check their places"):
        composite([before, write_raster("s.tif", BEFORE, origin=(900_000, 4_000_000))], out)
    with pytest.raises(GridError, match=r"must have a CRS, got none in .*n\.tif; .*`assume_crs`"):
        composite([write_raster("n.tif", BEFORE, crs=None)], out)
    with pytest.raises(RasterError, match=r"valid on every date, got none of 3 x 2"):
        composite([write_raster("z.tif", 0 * BEFORE, nodata=0)], out)
    with pytest.raises(BandError, match="2 before and 1 after"):
        composite([before, write_raster("o.tif", BEFORE[:1])], out)
    with pytest.raises(BandError, match="Band names must number 2"):
        composite([before], out, output=CompositeOutput(bands=["red"]))
    late, early = write_raster("2016.tif", BEFORE), write_raster("2001.tif", BEFORE)
    with pytest.raises(DateError, match="swap the two"):
        composite([late, early], out)
    with pytest.raises(ParameterError, match="must not overwrite its input"):
        composite([before], before)
    with pytest.raises(OutputError, match="must be a file"):
        composite([before], tmp_path)
    assert not out.exists()


def test_more_dates_and_given_names(write_raster, tmp_path):
    paths = [write_raster(f"{n}.tif", BEFORE[:1]) for n in "uvw"]
    _, names, _ = read(composite(paths, tmp_path / "c.tif", output=CompositeOutput(bands=["red"])))
    assert names == ("date1:red", "date2:red", "date3:red")
    _, names, _ = read(
        composite(
            paths,
            tmp_path / "c.tif",
            output=CompositeOutput(bands=["red"], names=["x", "y", "z"]),
            overwrite=True,
        )
    )
    assert names == ("x:red", "y:red", "z:red")
    with pytest.raises(ParameterError, match="3 different names"):
        composite(paths, tmp_path / "c.tif", output=CompositeOutput(names=["x", "y", "y"]))


def test_images_whole_pixels_apart_are_copied_where_both_lie(write_raster, tmp_path):
    ground = np.random.default_rng(0).integers(1, 60_000, (1, 40, 50)).astype(np.uint16)
    before = write_raster("b.tif", ground[:, :30, :40])
    after = write_raster("a.tif", ground[:, 5:, 7:], origin=(500_000 + 7 * 30, 4_000_000 - 5 * 30))
    values, _, nodata = read(composite([before, after], tmp_path / "c.tif"))
    assert (values == ground[:, 5:30, 7:40]).all()
    assert nodata is None
    values, _, nodata = read(
        composite([before, after], tmp_path / "u.tif", target=TargetGrid(extent="union"))
    )
    assert values.shape == (2, 40, 50)
    assert nodata == 0
    assert (values[:, 5:30, 7:40] == ground[:, 5:30, 7:40]).all()
    assert (values[:, :5] == 0).all()


def test_half_a_pixel_apart_is_interpolated(write_raster, tmp_path):
    ramp = np.tile(np.arange(100, 140, dtype=np.float32), (1, 20, 1))
    before = write_raster("b.tif", ramp)
    after = write_raster("a.tif", ramp, origin=(500_015, 4_000_000))
    values, _, _ = read(composite([before, after], tmp_path / "c.tif"))
    assert values[1, 5, 5:30] == pytest.approx(values[0, 5, 5:30] - 0.5)


def test_interpolated_values_never_become_nodata(write_raster, tmp_path, caplog):
    flat = np.zeros((1, 20, 20), np.uint8)
    before = write_raster("b.tif", flat)
    after = write_raster("a.tif", flat, origin=(500_015, 4_000_000))
    with caplog.at_level(logging.WARNING):
        values, _, nodata = read(composite([before, after], tmp_path / "c.tif"))
    assert nodata == 0
    assert (values[:, 5, 5] == 1).all()
    assert "hold 1 there now" in caplog.text


def test_the_grid_is_like_a_raster_or_made_from_crs_and_resolution(write_raster, tmp_path):
    image = write_raster("i.tif", np.full((1, 40, 40), 9, np.uint8))
    like = write_raster("l.tif", np.zeros((1, 10, 12)), pixel=60, origin=(500_100, 3_999_900))
    with rasterio.open(
        composite([image], tmp_path / "c.tif", target=TargetGrid(like=like))
    ) as written:
        with rasterio.open(like) as wanted:
            assert (written.transform, written.shape) == (wanted.transform, wanted.shape)
        assert (written.read() == 9).all()
    with rasterio.open(
        composite([image], tmp_path / "r.tif", target=TargetGrid(resolution=50))
    ) as written:
        assert (written.transform.c % 50, written.transform.f % 50, written.res) == (0, 0, (50, 50))
    with rasterio.open(
        composite([image], tmp_path / "w.tif", target=TargetGrid(crs="EPSG:4326"))
    ) as written:
        assert written.crs.to_epsg() == 4326
        assert written.bounds.left == pytest.approx(-75.0, abs=1e-3)
    with pytest.raises(ParameterError, match="got both; leave one out"):
        composite([image], tmp_path / "x.tif", target=TargetGrid(like=like, crs="EPSG:4326"))
    with pytest.raises(ParameterError, match="`resolution` must be above 0"):
        composite([image], tmp_path / "x.tif", target=TargetGrid(resolution=-1))
    with pytest.raises(ParameterError, match="PROJ knows, got 'EPSG:1'"):
        composite([image], tmp_path / "x.tif", target=TargetGrid(crs="EPSG:1"))


def test_the_pixel_type_is_kept_unless_another_is_given(write_raster, tmp_path):
    image = write_raster("i.tif", np.array([[[-3.6, 2.5, 300.0, np.nan]]], np.float32))
    values, _, nodata = read(
        composite(
            [image], tmp_path / "c.tif", output=CompositeOutput(dtype="uint8", out_nodata=255)
        )
    )
    assert values.tolist() == [[[0, 2, 255, 255]]]
    assert nodata == 255
    with pytest.raises(ParameterError, match="must fit uint8, got -1"):
        composite(
            [image],
            tmp_path / "c.tif",
            output=CompositeOutput(dtype="uint8", out_nodata=-1),
            overwrite=True,
        )
    with pytest.raises(ParameterError, match="`dtype` must be one of"):
        composite([image], tmp_path / "c.tif", output=CompositeOutput(dtype="byte"), overwrite=True)


def test_the_checks_are_in_the_file(write_raster, tmp_path):
    before = write_raster("b.tif", BEFORE, nodata=3, bands=["red", "nir"])
    after = write_raster("a.tif", AFTER, bands=["red", "nir"])
    checks = checks_of(composite([before, after], tmp_path / "c.tif"))
    assert checks["valid"] == {"before": 0.833333, "after": 1.0, "all": 0.833333}
    assert checks["shifts"] == {"after": None}
    assert checks["radiometry"]["after"]["nir"] == {
        "before": 9.6, "after": 109.6, "difference": 100.0, "deviation": 0.0, "correlation": 1.0,
    }  # fmt: skip
    lines = list(describe(checks))
    assert lines[0] == "valid pixels: before 83.3%, after 100.0%, all 83.3%"
    assert "shift of after: unknown" in lines[1]
    for damaged in ("{}", "[]", "{", "[" * 100_000):
        other = write_raster("other.tif", BEFORE, LANDSHIFT_PROVENANCE=damaged)
        with pytest.raises(RasterError, match="must hold its checks"):
            checks_of(other)


def test_the_checks_are_printed_once(write_raster, tmp_path, caplog):
    paths = [write_raster(f"{n}.tif", BEFORE, bands=["red", "nir"]) for n in "ba"]
    with caplog.at_level(logging.INFO):
        ended = commands.run("composite", *paths, "-o", tmp_path / "c.tif", "--verbose")
    assert (ended.stderr + caplog.text).count("valid pixels: ") == 1


def test_a_band_of_values_too_large_to_be_squared_has_no_radiometry(write_raster, tmp_path):
    random = np.random.default_rng(0)
    images = random.uniform(1, 2, (2, 2, 8, 8)) * np.array([1.0, 1e300])[:, None, None]
    paths = [write_raster(f"{k}.tif", v, bands=["red", "nir"]) for k, v in enumerate(images)]
    checks = checks_of(composite(paths, tmp_path / "c.tif"))
    assert list(checks["radiometry"]["after"]) == ["red"]
    (line,) = [line for line in describe(checks) if "after:nir" in line]
    assert "state their nodata value" in line
    assert len(list(describe(checks))) == 4


def test_a_large_shift_gives_a_warning(write_raster, tmp_path, caplog):
    ground = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(1, 210, 210)), (0, 2, 2))
    image = (1000 + 2000 * ground).astype(np.int16)
    before = write_raster("b.tif", image[:, :200, :200])
    after = write_raster("a.tif", image[:, 2:202, 1:201])
    with caplog.at_level(logging.WARNING):
        checks = checks_of(composite([before, after], tmp_path / "c.tif"))
    shift = checks["shifts"]["after"]
    assert (shift["columns"], shift["rows"]) == pytest.approx((-1, -2), abs=0.05)
    assert "down of before (100 % of 9 blocks agree): edges will look like" in caplog.text


def test_shifts_are_the_same_where_windows_cut_the_blocks(write_raster, tmp_path, monkeypatch):
    ground = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(1, 210, 210)), (0, 2, 2))
    image = (1000 + 2000 * ground).astype(np.int16)
    before = write_raster("b.tif", image[:, :200, :200])
    after = write_raster("a.tif", image[:, 2:202, 1:201])
    whole = checks_of(composite([before, after], tmp_path / "1.tif"))
    low = [[grid.Window(row, 0, 40, 200)] for row in range(0, 200, 40)]
    monkeypatch.setattr(windows, "runs_of", lambda *_: low)
    checks = checks_of(composite([before, after], tmp_path / "2.tif"))
    assert checks["shifts"] == whole["shifts"]
    assert checks["shifts"]["after"]["blocks"] == 9
    assert checks["valid"] == whole["valid"]
    assert (read(tmp_path / "1.tif")[0] == read(tmp_path / "2.tif")[0]).all()


def test_windows_are_progress(write_raster, tmp_path):
    steps = []

    class Watcher:
        def began(self, step):
            steps.append(step)

        def moved(self, step):
            assert step in steps

        def ended(self, step):
            assert step.done == step.total

    before = write_raster("b.tif", np.ones((1, 20, 1100), np.uint8))
    with progress.watched(Watcher()):
        composite([before], tmp_path / "c.tif")
    assert next((s.what, s.done) for s in steps if s.total) == ("writing", 2)


def test_the_bytes_are_the_same_whatever_the_threads_do(write_raster, tmp_path):
    ground = np.random.default_rng(0).integers(1, 200, (2, 1500, 1300)).astype(np.uint8)
    before = write_raster("b.tif", ground)
    after = write_raster("a.tif", ground, origin=(500_010, 4_000_010))
    first = composite([before, after], tmp_path / "1.tif").read_bytes()
    assert composite([before, after], tmp_path / "2.tif").read_bytes() == first


def test_windows_cover_the_composite_once_and_follow_strips(write_raster, monkeypatch):
    monkeypatch.setattr(parallel, "threads", lambda: 2)
    path = write_raster("wide.tif", np.ones((3, 300, 5000), np.uint8))
    plans = [imagery.plan(Image(files=(path,)))]
    runs = windows.runs_of(plans, plans[0].grid, np.dtype("uint8"))
    seen = np.zeros((300, 5000), int)
    for window in (w for run in runs for w in run):
        seen[window.slices] += 1
    assert (seen == 1).all()


def test_two_real_landsat_dates(data_folder, tmp_path):
    folder = data_folder / "pucallpa"
    values, names, nodata = read(
        composite(
            [folder / "1995.tif", folder / "2005.tif"], tmp_path / "c.tif",
            output=CompositeOutput(bands=["swir1", "nir", "red", "green"]),
        )
    )  # fmt: skip
    assert values.shape == (8, 377, 697)
    assert names[5] == "after:nir"
    assert nodata == 0


def test_chiapas_as_published_lacks_its_nodata_tag_and_hides_clouds(data_folder, tmp_path):
    folder = data_folder / "chiapas_l7"
    cloudy = (quality.rule("fmask:8=cloud,shadow"),)
    images = [
        Image(files=(folder / name,), nodata=-9999, quality=cloudy, bands=(1, 2, 3, 4, 5, 6))
        for name in ("t1_19991118.tif", "original_20020416_no_nodata_tag.tif")
    ]
    path = composite(images, tmp_path / "c.tif")
    values, _, nodata = read(path)
    with rasterio.open(folder / "t2_20020416.tif") as source:
        after = source.read()
    with rasterio.open(folder / "t1_19991118.tif") as source:
        before = source.read()
    clear = ~np.isin(after[7], (2, 4, 255)) & ~np.isin(before[7], (2, 4, 255))
    clear &= (after[:6] != -9999).all(axis=0) & (before[:6] != -9999).all(axis=0)
    assert nodata == -9999
    assert ((values != -9999).all(axis=0) == clear).all()
    assert (values[6:, clear] == after[:6, clear]).all()
    with rasterio.open(path) as source:
        days = json.loads(source.tags()[DATES_TAG])
    assert days == {"before": "1999-11-18", "after": "2002-04-16"}


def test_naip_of_three_dates_meets_on_the_first_ones_grid(data_folder, tmp_path):
    files = sorted((data_folder / "naip_nd").glob("*.tif"))
    path = composite(
        files, tmp_path / "c.tif", output=CompositeOutput(bands=["red", "green", "blue", "nir"])
    )
    with rasterio.open(path) as written, rasterio.open(files[0]) as first:
        assert written.shape == (723, 934)
        assert written.transform == first.transform
        assert (written.read([1, 2, 3, 4]) == first.read()[:, :723]).mean() > 0.999
    assert checks_of(path)["shifts"]["date3"]["sure"] is False


def test_joplin_tiles_are_joined_and_warped_onto_before(data_folder, tmp_path):
    folder = data_folder / "joplin_prepost"
    images = [Image(files=tuple(sorted((folder / d).glob("*.tif")))) for d in ("pre", "post")]
    path = composite(
        images, tmp_path / "c.tif", output=CompositeOutput(bands=["red", "green", "blue"])
    )
    assert checks_of(path)["valid"]["all"] > 0.95
    with rasterio.open(path) as written, rasterio.open(images[0].files[0]) as tile:
        assert written.crs.to_epsg() == 26915
        row, column = (round(v) for v in (~written.transform @ (tile.transform.c, 0))[::-1])
        row = round((~written.transform @ (0, tile.transform.f))[1])
        rows = min(written.height - row, 1024)
        same = written.read([1, 2, 3], window=Window(column, max(row, 0), 400, rows))
        assert (same == tile.read(window=Window(0, max(-row, 0), 400, rows))).mean() > 0.95


def test_pennsylvania_needs_a_crs(data_folder, tmp_path):
    files = sorted((data_folder / "pa_l7_july_nov").glob("t*.tif"))
    with pytest.raises(GridError, match=r"CRS, got none in .*t1_20020720\.tif"):
        composite(files, tmp_path / "c.tif")
    images = [Image(files=(f,), assume_crs="EPSG:32618") for f in files]
    with rasterio.open(composite(images, tmp_path / "c.tif")) as written:
        assert written.crs.to_epsg() == 32618
        assert written.descriptions[0] == "before:B1"


NAMED = "1 0 100 0 255 forest\n9 1 2 255 255 lake\n"
HALF_A_PIXEL = (500_015.0, 3_999_985.0)
TABLE = (
    '<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category/><Category>forest</Category>'
    + "<Category/>" * 7
    + "<Category>lake</Category></CategoryNames></PAMRasterBand></PAMDataset>"
)


def _class_map(write_raster, name, size=20, **options):
    values = np.where(np.indices((size, size)).sum(axis=0) % 4 < 2, 1, 9).astype(np.uint8)
    return write_raster(name, values, nodata=0, **options)


def test_a_composite_of_one_class_map_keeps_its_names_and_colours(write_raster, tmp_path):
    file = _class_map(write_raster, "c.tif", size=700)
    with rasterio.open(file, "r+") as target:
        target.write_colormap(1, {1: (9, 8, 7, 255), 9: (0, 200, 0, 255)})
    like = _class_map(write_raster, "like.tif", size=700, origin=HALF_A_PIXEL)
    plain = composite([file], tmp_path / "plain.tif", target=TargetGrid(like=like))
    with rasterio.open(plain) as source:
        assert source.colormap(1)[1] == (9, 8, 7, 255)
        assert set(np.unique(source.read(1))) == {0, 1, 9}
    with rasterio.open(plain, overview_level=0) as coarse:
        assert set(np.unique(coarse.read(1))) <= {0, 1, 9}
        assert coarse.colormap(1)[9] == (0, 200, 0, 255)
    (tmp_path / "c.tif.aux.xml").write_text(TABLE)
    named = composite([file], tmp_path / "named.tif", target=TargetGrid(like=like))
    scheme = raster.scheme_of(named)
    assert scheme.mapping == {1: "forest", 9: "lake"}
    assert scheme.colours == {1: (9, 8, 7), 9: (0, 200, 0)}


def test_an_attribute_table_makes_values_classes(write_raster, tmp_path):
    file = _class_map(write_raster, "c.tif")
    like = _class_map(write_raster, "like.tif", origin=HALF_A_PIXEL)
    mixed = composite([file], tmp_path / "mixed.tif", target=TargetGrid(like=like))
    assert 3 in read(mixed)[0]
    (tmp_path / "c.clr").write_text(NAMED)  # a style alone says nothing: heights have them too
    assert 3 in read(composite([file], mixed, target=TargetGrid(like=like), overwrite=True))[0]
    (tmp_path / "c.tif.aux.xml").write_text(TABLE)
    assert set(
        np.unique(read(composite([file], mixed, target=TargetGrid(like=like), overwrite=True))[0])
    ) <= {0, 1, 9}


def test_each_file_is_resampled_in_its_own_way(write_raster, tmp_path):
    files = tuple(_class_map(write_raster, f"{k}.tif", size=700, bands=[k]) for k in "abc")
    like = _class_map(write_raster, "like.tif", size=700, origin=HALF_A_PIXEL)
    out = composite(
        [Image(files=files, resampling=("bilinear", "nearest", None))],
        tmp_path / "out.tif", target=TargetGrid(like=like),
    )  # fmt: skip
    values, names, _ = read(out)
    assert names == ("a", "b", "c")
    assert [3 in band for band in values] == [True, False, True]
    with rasterio.open(out, overview_level=0) as coarse:
        assert [bool(np.isin(band, [0, 1, 9]).all()) for band in coarse.read()] == [
            False, True, False,
        ]  # fmt: skip
    with rasterio.open(out) as source:
        record = json.loads(source.tags()[provenance.TAG])
    ways = record["parameters"]["images"]["date1"]["resampling"]
    assert ways == ["bilinear", "nearest", None]
    with pytest.raises(ParameterError, match="one for each of 3 files, got 2"):
        Image(files=files, resampling=("bilinear", "nearest"))


def test_a_composite_keeps_the_names_of_large_class_values(write_raster, tmp_path):
    file = write_raster("c.tif", np.array([[311, 523], [523, 111]], np.uint16), nodata=0)
    scheme = MapScheme.from_mapping({111: "city", 311: "broad", 523: "sea"})
    legend_writers.write_category_names(file, scheme)
    out = composite([file], tmp_path / "out.tif")
    assert raster.scheme_of(out).mapping == scheme.mapping


def test_reading_options_hold_for_all_dates_or_for_each(write_raster, tmp_path):
    paths = [write_raster(f"{n}.tif", BEFORE, bands=["red", "nir"]) for n in "ba"]
    reading = ImageReading(select=["nir,red", (1, 2)], nodata="12,-", resampling="cubic,-")
    first, second = reading.images([paths[0], str(paths[1])])
    assert (first.bands, second.bands) == (("nir", "red"), (1, 2))
    assert (first.nodata, second.nodata) == (12, None)
    assert (first.resampling, second.resampling) == ("cubic", None)
    for reading in (ImageReading(select="2"), ImageReading(select=["2"], nodata=7)):
        assert {image.bands for image in reading.images(paths)} == {("2",)}
    (both,) = ImageReading(resampling="nearest+-").images([f"{paths[0]},{paths[1]}"])
    assert both.files == (str(paths[0]), str(paths[1]))
    assert both.resampling == ("nearest", None)


def test_a_comma_in_the_name_of_a_file_joins_nothing(write_raster):
    path = write_raster("a,b.tif", BEFORE)
    (image,) = ImageReading().images([str(path)])
    assert image.files == (str(path),)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"select": ["1", "2", "1"]}, "`select` must be given once, or 2 times, .* got 3"),
        ({"nodata": "1,2,3"}, "`nodata` must be given once, or 2 times, .* got 3"),
        ({"nodata": ""}, "`nodata` must be given once, or 2 times, .* got 0"),
        ({"nodata": "none"}, "`nodata` must be a number, got 'none'"),
        ({"resampling": "best"}, "`resampling` must be one of nearest"),
        ({"mask_qa": ["fmask"]}, "A quality rule must read"),
    ],
)
def test_reading_options_that_fit_no_date_are_one_line(write_raster, options, why):
    paths = [write_raster(f"{n}.tif", BEFORE) for n in "ba"]
    with pytest.raises(ParameterError, match=why):
        ImageReading(**options).images(paths)


def test_an_image_and_reading_options_contradict_each_other(write_raster, tmp_path):
    image = Image(files=(write_raster("i.tif", BEFORE),))
    with pytest.raises(ParameterError, match="must state itself how it is read"):
        composite([image], tmp_path / "c.tif", reading=ImageReading(scaled=True))


@pytest.mark.parametrize("resolution", ["0", "30,x", "1,2,3", "", "-", (30.0, -1.0)])
def test_a_resolution_is_one_or_two_sizes_above_0(resolution):
    with pytest.raises(ParameterError, match="`resolution` must be"):
        TargetGrid(resolution=resolution)


def test_python_and_the_command_line_write_the_same(write_raster, tmp_path):
    paths = [write_raster(f"{n}.tif", BEFORE, bands=["red", "nir"]) for n in "ba"]
    ended = commands.run(
        "composite", *paths, "-o", tmp_path / "typed.tif", "--select", "nir,red", "--names", "x,y",
        "--resolution", "15,15", "--out-nodata", "-1", "--dtype", "float32", "--dates", "2001,-",
    )  # fmt: skip
    assert ended.exit_code == 0, ended.stderr
    assert ended.stdout.strip() == str(tmp_path / "typed.tif")
    assert "valid pixels: x" in ended.stderr
    composite(
        paths, tmp_path / "called.tif", reading=ImageReading(select="nir,red"),
        target=TargetGrid(resolution=15),
        output=CompositeOutput(
            names=["x", "y"], dates=["2001", "-"], dtype="float32", out_nodata=-1.0
        ),
    )  # fmt: skip
    assert (tmp_path / "typed.tif").read_bytes() == (tmp_path / "called.tif").read_bytes()


def dated(write_raster, size=40, bands=("red", "nir")):
    """Two dates of one ground, alike but for some noise."""
    random = np.random.default_rng(0)
    ground = random.normal(1000, 100, (len(bands), size, size))
    for name in ("b", "a"):
        values = ground + random.normal(0, 30, ground.shape)
        yield write_raster(f"{name}.tif", values.astype(np.uint16), bands=bands)


def test_quality_bands_among_the_bands_are_told_with_the_option_that_uses_them(
    write_raster, tmp_path, caplog
):
    images = list(dated(write_raster, bands=("red", "nir", "fmask")))
    with caplog.at_level(logging.WARNING):
        composite(images, tmp_path / "c.tif")
    hint = "(before:fmask, after:fmask), and its codes would be learned from. `mask_qa` fmask=cloud"
    assert caplog.text.count("quality band") == 1
    assert hint in caplog.text
    caplog.clear()
    reading = ImageReading(mask_qa=["fmask=cloud,shadow"])
    composite(images, tmp_path / "m.tif", reading=reading)
    assert caplog.text == ""
    assert read(tmp_path / "m.tif")[1] == ("before:red", "before:nir", "after:red", "after:nir")


def test_dates_that_cannot_be_compared_are_told(write_raster, tmp_path, caplog):
    before, after = dated(write_raster)
    with rasterio.open(after, "r+") as target:
        target.write(target.read() + 500)
    composite([before, after], tmp_path / "shifted.tif")
    assert caplog.text.count("`landshift normalise`") == 1
    caplog.clear()
    with rasterio.open(after, "r+") as target:
        target.write(np.random.default_rng(1).integers(800, 1200, (2, 40, 40)).astype(np.uint16))
    composite([before, after], tmp_path / "unrelated.tif")
    assert "hardly resembles the first one" in caplog.text
    assert "nothing in common" not in caplog.text  # said once, of all bands


def test_a_band_without_correlation_among_others_is_told(write_raster, tmp_path, caplog):
    before, after = dated(write_raster, bands=("red", "green", "nir"))
    for path in (before, after):
        with rasterio.open(path, "r+") as target:
            target.write(np.zeros((40, 40), np.uint16), 2)
    composite([before, after], tmp_path / "c.tif")
    assert "nothing in common with the first date in green (correlation 0.00)" in caplog.text
    assert "`mask_qa`" in caplog.text
    assert "red (" not in caplog.text


def test_the_hint_on_chiapas_leads_to_a_composite_without_its_quality_band(
    data_folder, tmp_path, caplog
):
    folder = data_folder / "chiapas_l7"
    images = [folder / "t1_19991118.tif", folder / "t2_20020416.tif"]
    with caplog.at_level(logging.WARNING):
        composite(images, tmp_path / "c.tif")
    hint = next(r.getMessage() for r in caplog.records if "quality band" in r.getMessage())
    rule = hint.partition("`mask_qa` ")[2].split()[0]
    composite(images, tmp_path / "m.tif", reading=ImageReading(mask_qa=[rule]))
    _, names, _ = read(tmp_path / "m.tif")
    assert len(names) == 14
    assert not any("fmask" in name for name in names)
    assert checks_of(tmp_path / "m.tif")["valid"]["after"] == pytest.approx(0.731, abs=1e-3)
