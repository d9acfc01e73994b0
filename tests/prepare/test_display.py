"""How programs show a composite: interpretation of its bands, the kept choice, QGIS' style."""

import json

import numpy as np
import pytest
import rasterio

from landshift import raster
from landshift.classes import ClassScheme
from landshift.errors import BandError, OutputError, ParameterError
from landshift.files import provenance
from landshift.prepare.composite import CompositeOutput, ImageReading, composite
from landshift.raster import colours
from qgis_host import bands_in_qgis

NAMES = ("blue", "green", "red", "nir")


@pytest.fixture
def dates(write_raster):
    """Two dates of four bands of 200 x 150 pixels, with nodata in a corner."""
    values = np.random.default_rng(0).integers(1, 1000, (4, 200, 150)).astype(np.uint16)
    values[:, :9, :9] = 0
    return lambda bands=(): [
        write_raster(f"{k}.tif", values + np.uint16(k) * (values > 0), nodata=0, bands=bands)
        for k in (0, 1)
    ]


def kinds(path):
    with rasterio.open(path) as source:
        return [kind.name for kind in source.colorinterp]


def label(path, numbers, rgb=None):
    with raster.open_raster(path) as source:
        return colours.of_raster(source, rgb, numbers).label


BY_NAME = ["blue", "green", "red", "undefined"]


def test_bands_that_are_red_green_and_blue_say_so_on_each_date(dates, tmp_path):
    out = composite(dates(NAMES), tmp_path / "c.tif")
    assert kinds(out) == [*BY_NAME, *BY_NAME]
    assert label(out, (5, 6, 7, 8)) == "true colour"
    with rasterio.open(out) as source:
        assert colours.TAG not in source.tags()


def test_bands_without_names_claim_no_colour(dates, tmp_path):
    out = composite(dates(), tmp_path / "c.tif")
    assert not {"red", "green", "blue", "alpha"} & set(kinds(out))
    assert label(out, (1, 2, 3, 4)) == "bands 1, 2, 3"


def test_a_choice_is_kept_and_taken_wherever_the_composite_is_shown(dates, tmp_path):
    out = composite(dates(), tmp_path / "c.tif", output=CompositeOutput(rgb="4,3, 2"))
    assert kinds(out) == ["undefined", "blue", "green", "red"] * 2
    with rasterio.open(out) as source:
        assert source.tags()[colours.TAG] == "4,3,2"
        assert json.loads(source.tags()[provenance.TAG])["parameters"]["rgb"] == "4,3,2"
    assert label(out, (1, 2, 3, 4)) == "bands 4, 3, 2"
    # a composite of that composite keeps it too
    again = composite([out], tmp_path / "d.tif")
    with rasterio.open(again) as source:
        assert source.tags()[colours.TAG] == "4,3,2"
    # not where its bands are others
    part = composite([out], tmp_path / "p.tif", reading=ImageReading(select="1,2"))
    with rasterio.open(part) as source:
        assert colours.TAG not in source.tags()
    named = composite(
        dates(NAMES), tmp_path / "e.tif", output=CompositeOutput(rgb=["nir", "red", "green"])
    )
    assert label(named, (5, 6, 7, 8)) == "false colour (nir, red, green)"


def test_the_choice_is_checked_before_any_work(dates, tmp_path):
    for rgb, error, why in (
        ("nir,red,swir", BandError, "among blue, green, red, nir, got 'swir'"),
        ("nir,red", ParameterError, "three bands, or one shown in grey, got nir, red"),
    ):
        with pytest.raises(error, match=why):
            composite(dates(NAMES), tmp_path / "c.tif", output=CompositeOutput(rgb=rgb))
    assert not (tmp_path / "c.tif").exists()


def test_pixels_are_those_of_a_composite_without_a_choice(dates, tmp_path):
    plain = composite(dates(NAMES), tmp_path / "c.tif")
    chosen = composite(dates(NAMES), tmp_path / "d.tif", output=CompositeOutput(rgb="4,3,2"))
    with rasterio.open(plain) as first, rasterio.open(chosen) as second:
        assert (first.read() == second.read()).all()
        assert (first.read_masks() == second.read_masks()).all()
        assert first.mask_flag_enums == second.mask_flag_enums


@pytest.mark.parametrize(
    ("bands", "rgb", "numbers"),
    [(NAMES, None, [7, 6, 5]), ((), None, [5, 6, 7]), ((), "4,3,2", [8, 7, 6]),
     (NAMES, "nir", [8])],
)  # fmt: skip
def test_qgis_shows_the_last_date_stretched_without_nodata(dates, tmp_path, bands, rgb, numbers):
    out = composite(dates(bands), tmp_path / "c.tif", output=CompositeOutput(rgb=rgb))
    shown = bands_in_qgis(out)
    assert shown["bands"] == numbers
    with rasterio.open(out) as source:
        values = source.read(numbers, masked=True)
    limits = [np.percentile(band.compressed(), (2, 98)).tolist() for band in values]
    assert shown["limits"] == limits
    assert shown["alpha"] == -1


def test_the_stretch_of_a_large_composite_comes_from_its_overviews(write_raster, tmp_path):
    values = np.tile(np.arange(1, 1001, dtype=np.uint16), (1, 900, 1))
    out = composite([write_raster("wide.tif", values)], tmp_path / "c.tif")
    (low, high), *_ = bands_in_qgis(out)["limits"]
    assert low == pytest.approx(20, abs=3)
    assert high == pytest.approx(980, abs=3)


def test_the_style_belongs_to_the_composite(dates, write_raster, tmp_path):
    out = tmp_path / "c.tif"
    composite(dates(NAMES), out)
    style = out.with_suffix(".qml")
    first = style.read_bytes()
    out.unlink()
    with pytest.raises(OutputError, match=r"must be new, got .*c\.qml"):
        composite(dates(NAMES), out)
    composite(dates(NAMES), out, overwrite=True)
    assert style.read_bytes() == first
    # that of a grey image is no legend
    grey = composite([dates(NAMES)[0]], tmp_path / "g.tif", reading=ImageReading(select=("red",)))
    assert not raster.legend_of(grey)


def test_a_class_map_keeps_the_style_of_its_classes(write_raster, tmp_path):
    scheme = ClassScheme.from_mapping({1: "forest", 2: "water"})
    path = write_raster(
        "m.tif", np.array([[1, 2]], np.uint8), nodata=0,
        LANDSHIFT_CLASSES=json.dumps(scheme.as_list()),
    )  # fmt: skip
    out = composite([path], tmp_path / "c.tif")
    assert 'type="paletted"' in out.with_suffix(".qml").read_text()
