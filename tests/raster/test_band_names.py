"""Bands with names are matched by name, in any order in the files."""

import numpy as np
import pytest
import rasterio

import commands
from landshift.classification import classify_pixels
from landshift.errors import BandError
from landshift.images import Image, plan
from landshift.prepare.checks import checks_of
from landshift.prepare.composite import CompositeOutput, composite
from landshift.prepare.difference import PairReading, difference
from landshift.prepare.normalise import normalise
from landshift.raster import colours, crossed, match_names
from landshift.show.figures import date_bands
from landshift.spec import split_name
from scenes import striped_scene

COLOURS = {"red": 100, "green": 200, "blue": 300}


@pytest.fixture
def coloured(write_raster):
    """Write an image whose bands, in an order, hold noise around values that tell them apart."""

    def write_coloured(name, order, more=0, **options):
        noise = np.random.default_rng(len(order)).integers(0, 9, (len(order), 16, 16))
        values = noise + np.array([COLOURS[n] + more for n in order])[:, None, None]
        return write_raster(name, values.astype(np.uint16), bands=order, **options)

    return write_coloured


def means(path):
    with rasterio.open(path) as source:
        values = source.read().mean(axis=(1, 2)) // 100 * 100
        return dict(zip(source.descriptions, values.astype(int).tolist(), strict=True))


def test_a_date_whose_bands_come_in_another_order_is_turned_to_the_first_one_s(coloured, tmp_path):
    before = coloured("b.tif", ["blue", "green", "red"])
    after = coloured("a.tif", ["red", "green", "blue"])
    expected = {f"{d}:{n}": COLOURS[n] for d in ("before", "after") for n in COLOURS}
    assert means(composite([before, after], tmp_path / "c.tif")) == expected
    with rasterio.open(tmp_path / "c.tif") as result:
        assert result.descriptions[3:] == ("after:blue", "after:green", "after:red")
    outcome = checks_of(tmp_path / "c.tif")["radiometry"]["after"]
    assert abs(outcome["blue"]["difference"]) < 5  # like with like
    assert abs(outcome["red"]["difference"]) < 5


@pytest.mark.parametrize("select", [None, (3, 2, 1)])
def test_bands_never_renames_red_to_blue(coloured, tmp_path, select):
    before = coloured("b.tif", ["blue", "green", "red"])
    after = coloured("a.tif", ["red", "green", "blue"])
    images = [Image(files=(f,), bands=select) for f in (before, after)]
    stacked = composite(
        images, tmp_path / "c.tif", output=CompositeOutput(bands=["blue", "green", "red"])
    )
    expected = {f"{d}:{n}": COLOURS[n] for d in ("before", "after") for n in COLOURS}
    assert means(stacked) == expected
    assert (
        means(
            composite(
                [after], tmp_path / "o.tif", output=CompositeOutput(bands=["blue", "green", "red"])
            )
        )
        == COLOURS
    )
    renamed = means(
        composite(images, tmp_path / "n.tif", output=CompositeOutput(bands=["B02", "B03", "B04"]))
    )
    first, second = list(renamed.values())[:3], list(renamed.values())[3:]
    assert first == second


def test_a_name_of_another_band_of_the_date_is_refused(coloured, tmp_path):
    image = coloured("i.tif", ["red", "green", "blue"])
    with pytest.raises(BandError, match=r"must not get the names of others .* got blue, nir, swir"):
        composite(
            [image], tmp_path / "c.tif", output=CompositeOutput(bands=["blue", "nir", "swir"])
        )
    with pytest.raises(BandError, match="names must number 3, got 2"):
        composite([image], tmp_path / "c.tif", output=CompositeOutput(bands=["blue", "nir"]))


def test_names_that_cross_without_being_the_same_are_warned_of(write_raster, tmp_path, caplog):
    values = np.random.default_rng(0).integers(1, 900, (4, 16, 16)).astype(np.uint16)
    tm = write_raster("tm.tif", values, bands=["B1", "B2", "B3", "B4"])
    oli = write_raster("oli.tif", values, bands=["B2", "B3", "B4", "B5"])
    composite([tm, oli], tmp_path / "c.tif")
    assert "bands of before and after are matched by position" in caplog.text
    assert "B2, B3, B4 (B1, B2, B3, B4; B2, B3, B4, B5)" in caplog.text
    caplog.clear()
    difference(tm, oli, tmp_path / "d.tif")
    assert "choose them by name (`bands`)" in caplog.text
    caplog.clear()
    normalise(tm, oli, tmp_path / "n.tif")
    assert "write the same bands of both first" in caplog.text
    caplog.clear()
    plain = write_raster("p.tif", values)
    composite([tm, plain], tmp_path / "p2.tif")
    difference(plain, oli, tmp_path / "p3.tif")
    assert not caplog.records


def test_images_are_compared_and_normalised_by_name(coloured, tmp_path):
    before = coloured("b.tif", ["blue", "green", "red"])
    after = coloured("a.tif", ["red", "green", "blue"], more=10)
    result = difference(before, after, tmp_path / "d.tif")
    assert [s.name for s in result.statistics] == ["blue", "green", "red"]
    assert [s.mean for s in result.statistics] == pytest.approx([10] * 3, abs=3)
    result = difference(before, after, tmp_path / "r.tif", reading=PairReading(bands=["red"]))
    assert result.statistics[0].mean == pytest.approx(10, abs=3)
    normalise(before, after, tmp_path / "n.tif")
    assert means(tmp_path / "n.tif") == COLOURS
    other = coloured("o.tif", ["green", "blue"])
    with pytest.raises(BandError, match=r"second image must have the band red, got green, blue"):
        difference(before, other, tmp_path / "x.tif", reading=PairReading(bands=["red"]))


def test_one_time_series_gives_two_dates(write_raster, tmp_path):
    values = np.random.default_rng(0).integers(1, 900, (6, 16, 16)).astype(np.uint16)
    names = [f"{b}_{year}" for year in (2000, 2010, 2020) for b in ("red", "nir")]
    series = str(write_raster("series.tif", values, bands=names))

    def run(name, *options):
        out = tmp_path / f"{name}.tif"
        return commands.run("composite", series, series, "-o", str(out), *options)

    select = ["--select", "red_2000,nir_2000", "--select", "5,6"]
    assert run("c", *select, "--bands", "red,nir").exit_code == 0
    with rasterio.open(tmp_path / "c.tif") as result:
        assert result.descriptions == ("before:red", "before:nir", "after:red", "after:nir")
        assert (result.read() == values[[0, 1, 4, 5]]).all()
    assert run("o", "--select", "3,4").exit_code == 0
    with rasterio.open(tmp_path / "o.tif") as result:
        assert (result.read() == values[[2, 3, 2, 3]]).all()
    wrong = run("w", *select, "--select", "1,2")
    assert "--select must be given once, or 2 times, once a date, got 3" in wrong.stderr


def test_tiles_whose_bands_come_in_another_order_are_one_mosaic(coloured):
    left = coloured("t1.tif", ["blue", "green", "red"])
    right = coloured("t2.tif", ["red", "green", "blue"], origin=(500_480.0, 4_000_000.0))
    result = plan(Image(files=(left, right)))
    assert result.names == ("blue", "green", "red")
    (mosaic,) = result.stack
    assert [layer.numbers for layer in mosaic] == [(1, 2, 3), (3, 2, 1)]


def test_a_number_is_never_taken_for_a_name(write_raster):
    values = np.stack([np.full((4, 4), k, np.uint8) for k in (4, 3, 2)])
    path = write_raster("i.tif", values, bands=["4", "3", "2"])
    assert plan(Image(files=(path,), bands=(2,))).layers[0].numbers == (2,)
    assert plan(Image(files=(path,), bands=("2",))).layers[0].numbers == (3,)


def test_dates_to_classify_are_matched_by_name(trained, write_raster, tmp_path):
    options = {"padding": 16, "tile_size": 64, "engine": "torch", "precision": "float32"}
    values, _ = striped_scene(64)
    names = ["red", "green", "blue"]
    before = write_raster("b.tif", values[:3], bands=names)
    after = write_raster("a.tif", values[3:], bands=names)
    turned = write_raster("t.tif", values[3:][::-1], bands=names[::-1])
    maps = []
    for number, second in enumerate((after, turned)):
        out = tmp_path / f"{number}.tif"
        classify_pixels([before, second], trained, out, **options)
        with rasterio.open(out) as result:
            maps.append(result.read(1))
    assert (maps[0] == maps[1]).all()


@pytest.mark.parametrize(
    ("name", "date", "band"),
    [
        ("before:red", "before", "red"),
        ("red", "", "red"),
        ("", "", ""),
        ("Resize (Band 1:scene.img)", "", "Resize (Band 1:scene.img)"),
        ("Band 12:scene.img", "", "Band 12:scene.img"),
        ("after:Resize (Band 1:scene.img)", "after", "Resize (Band 1:scene.img)"),
        ("y1990:Band 1:scene.img", "y1990", "Band 1:scene.img"),
    ],
)
def test_a_colon_in_a_band_s_own_name_parts_nothing(name, date, band):
    assert split_name(name) == (date, band)


def test_envi_names_with_colons_stay_whole(write_raster, tmp_path):
    names = [f"Resize (Band {k}:scene.img)" for k in (1, 2)]
    values = np.random.default_rng(0).integers(1, 900, (2, 16, 16)).astype(np.uint16)
    before = write_raster("b.tif", values, bands=names)
    after = write_raster("a.tif", values[::-1], bands=names[::-1])
    stacked = composite([before, after], tmp_path / "c.tif")
    with rasterio.open(stacked) as source:
        assert source.descriptions == tuple(f"{d}:{n}" for d in ("before", "after") for n in names)
        assert (source.read()[:2] == source.read()[2:]).all()
    assert checks_of(stacked)["bands"] == names
    assert list(checks_of(stacked)["radiometry"]["after"]) == names
    one = composite([before], tmp_path / "o.tif")
    assert checks_of(one)["bands"] == names
    assert date_bands(names) == {"Image": [0, 1]}
    assert colours.of_names(["b:red", "b:green", "b:blue"]).positions == (0, 1, 2)


def test_names_are_matched_whatever_their_case_and_only_where_they_are_one_band_s():
    assert match_names(["Red", "nir"], ["NIR", "green", "red"]) == [2, 0]
    assert match_names(["red"], ["nir"]) is None
    assert match_names(["red", ""], ["red", ""]) is None
    assert match_names(["red"], ["red", "Red"]) is None
    assert crossed(["a", "b", "c"], ["a", "c", "d"]) == ["c"]
    assert crossed(["a", ""], ["", "a"]) == ["a"]
    assert crossed(["a", "b"], ["a", "b"]) == []
