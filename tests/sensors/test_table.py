import re

import numpy as np
import pytest

from landshift import label, sensors
from landshift.classes import class_options
from landshift.errors import ParameterError
from landshift.images import quality

SCENES = {
    "LC08_L2SP_006066_20200721_20200911_02_T1": ("landsat-c2-l2", "LANDSAT_OLI"),
    "LC09_L2SP_006066_20230721_20230911_02_T1_SR_B4.TIF": ("landsat-c2-l2", "LANDSAT_OLI"),
    "LE07_L2SP_006066_20010721_20200911_02_T1": ("landsat-c2-l2", "LANDSAT_ETM"),
    "LT05_L2SP_006066_19900721_20200911_02_T1": ("landsat-c2-l2", "LANDSAT_TM"),
    "LT04_L2SR_006066_19880721_20200911_02_T1": ("landsat-c2-l2", "LANDSAT_TM"),
    "S2A_MSIL2A_20190625T150721_N0212_R082_T18LXR_20190625T192045": ("sentinel-2-l2a", ""),
    "S2B_18LXR_20230625_0_L2A": ("sentinel-2-l2a", ""),
    "HLS.L30.T18LXR.2021001T165700.v2.0": ("hls-l30", ""),
    "HLS.S30.T18LXR.2021001T165700.v2.0.B8A.tif": ("hls-s30", ""),
}


@pytest.mark.parametrize(("name", "about"), SCENES.items())
def test_names_of_scenes_state_product_and_sensor(name, about):
    product = sensors.product_of(name)
    assert product.name == about[0]
    assert (sensors.called(name) == about[1]) if about[1] else product.sensor


@pytest.mark.parametrize(
    ("product", "file", "band", "scaling"),
    [
        ("landsat-c2-l2", "LC08_L2SP_X_SR_B4.TIF", "SR_B4", (2.75e-05, -0.2, 0)),
        ("landsat-c2-l2", "LC08_L2SP_X_ST_B10.TIF", "ST_B10", (0.00341802, 149.0, 0)),
        ("landsat-c2-l2", "LC08_L2SP_X_QA_PIXEL.TIF", "QA_PIXEL", (1.0, 0.0, None)),
        ("sentinel-2-l2a", "T18LXR_20190625T150721_B8A_20m.jp2", "B8A", (0.0001, 0.0, 0)),
        ("sentinel-2-l2a", "B04.tif", "B04", (0.0001, 0.0, 0)),
        ("sentinel-2-l2a", "T18LXR_20190625T150721_SCL_20m.jp2", "SCL", (1.0, 0.0, None)),
        ("hls-l30", "HLS.L30.T18LXR.2021001T165700.v2.0.B05.tif", "B05", (0.0001, 0.0, -9999)),
        ("hls-s30", "HLS.S30.T18LXR.2021001T165700.v2.0.Fmask.tif", "FMASK", (1.0, 0.0, None)),
    ],
)  # fmt: skip
def test_names_of_files_state_band_and_scaling(product, file, band, scaling):
    of_file = sensors.known().products[product].band_of_file(file)
    assert of_file[0] == band
    assert (of_file[1].scale, of_file[1].offset, of_file[1].nodata) == scaling


def test_files_that_are_no_bands_are_none_of_a_product():
    landsat = sensors.known().products["landsat-c2-l2"]
    assert landsat.band_of_file("LC08_L2SP_X_SR_QA_AEROSOL.TIF") is None
    assert landsat.band_of_file("LC08_L2SP_X_thumb_small.jpeg") is None


def test_sentinel_s_offset_changed_in_2022():
    group = sensors.known().products["sentinel-2-l2a"].groups[0]
    assert [group.offset_at(b) for b in (None, 2.14, 3.01, 4.0, 5.11)] == [0, 0, 0, -0.1, -0.1]


def test_products_name_known_bands_and_codings():
    table = sensors.known()
    for product in table.products.values():
        names = [product.sensor] if product.sensor else list(table.sensors)
        bands = {band for name in names for band in table.sensors[name].bands}
        measured = {band for group in product.groups if group.scale != 1 for band in group.bands}
        assert {band for band in measured if not band.startswith("ST_")} <= bands
        for name in names:
            common = {word for band in bands for word in sensors.names_of(band, name)}
            assert product.name.startswith("landsat") or set(product.usual) <= common
        coding = quality.CODINGS[product.quality.quality]
        assert set(product.quality.hides) <= coding.classes.keys()
    for entry in (*table.products.values(), *table.maps.values()):
        assert entry.title
        assert entry.licence
        assert entry.source


def test_every_class_map_becomes_the_common_legend():
    common = set(class_options.classes_of("landcover").names)
    for name, about in sensors.known().maps.items():
        classes, recoding = class_options.classes_of(name), class_options.recoding_of(name)
        assert set(classes.values) == set(recoding), name
        assert {new for new in recoding.values() if new is not None} <= common, name
        assert about.classes.is_file()


def test_published_maps_are_compared_by_the_name_of_their_legend(write_raster, tmp_path):
    before = write_raster("wc.tif", np.array([[[10, 20], [95, 50]]], np.uint8))
    after = write_raster("io.tif", np.array([[[2, 11], [2, 10]]], np.uint8))
    flows = label(
        before, after, tmp_path / "change.tif", classes="landcover",
        reading=label_reading("worldcover", "io"),
    )  # fmt: skip
    names = list(flows.scheme.names)
    assert flows.pixels[names.index("trees"), names.index("trees")] == 1
    assert flows.pixels[names.index("rangeland"), names.index("rangeland")] == 1
    assert flows.pixels[names.index("wetland"), names.index("trees")] == 1
    assert flows.pixels.sum() == 3


def label_reading(before, after):
    from landshift import MapReading

    return MapReading(recode_before=before, recode_after=after)


def test_a_user_adds_to_the_table(tmp_path, monkeypatch):
    (tmp_path / "mine.csv").write_text("value,new,name\n1,trees,Forest\n")
    (tmp_path / "more.toml").write_text(
        """
        [sensors.CBERS]
        title = "CBERS-4A WPM"
        called = ['^CBERS_4A_WPM']
        bands.B1 = "blue"
        bands.B4 = "nir"
        [products.cbers]
        title = "CBERS-4A L4"
        called = '^CBERS_4A_WPM'
        collections = ["CBERS4A_WPM_L4_SR"]
        sensor = "CBERS"
        licence = "CC BY-SA 3.0"
        source = "INPE"
        usual = ["blue", "nir"]
        groups = [{ bands = ["B1", "B4"], files = '_(BAND\\d)\\.tif$' }]
        [maps.mine]
        title = "My map"
        classes = "mine.csv"
        licence = "-"
        source = "me"
        """
    )
    monkeypatch.setenv(sensors.VARIABLE, str(tmp_path / "more.toml"))
    assert sensors.called("CBERS_4A_WPM_20200730") == "CBERS"
    assert sensors.names_of("B4", "CBERS") == {"B4", "nir"}
    assert sensors.product_of("x", "CBERS4A_WPM_L4_SR").groups[0].bands == ("B1", "B4")
    assert sensors.product_of("LC08_L2SP_006066_20200721_20200911_02_T1").name == "landsat-c2-l2"
    assert class_options.recoding_of("mine") == {1: "trees"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[sensors.A]\ntitle = 'a'\ncolled = []\n", "unknown field 'colled' of A"),
        ("[sensor.A]\n", "unknown section sensor"),
        ("[sensors.A]\ntitle = 'a'\n", "missing"),
        ("[products.A]\ncalled = '('\n", "unterminated"),
        ("[products.A]\ngroups = [{bands = [], files = 'x'}]\n", "without one group"),
        ("a = ", "Invalid value"),
    ],
)
def test_a_wrong_table_is_one_line(tmp_path, monkeypatch, text, reason):
    path = tmp_path / "more.toml"
    path.write_text(text)
    monkeypatch.setenv(sensors.VARIABLE, str(path))
    with pytest.raises(ParameterError, match=rf"must be TOML.*{reason}.*in {re.escape(str(path))}"):
        sensors.known()
