import numpy as np
import pytest
import rasterio

from landshift.errors import BandError, ParameterError
from landshift.images import Image, plan, quality
from landshift.prepare.composite import TargetGrid, composite
from scenes import write


def valid(values, text):
    (codes,) = quality.rule(text).hidden
    return codes.valid(values)


def test_values_hide_classes_and_fill():
    values = np.array([0, 1, 2, 3, 4, 255])
    clear = valid(values, "fmask=cloud,shadow")
    assert clear.tolist() == [True, True, False, True, False, False]


def test_bits_hide_classes_and_fill():
    # of the Landsat 8-9 Collection 2 guide, table 6-3: clear, water, cloud, cloud shadow, fill
    values = np.array([21824, 21952, 22280, 23888, 1], np.uint16)
    clear = valid(values, "qa_pixel=cloud,shadow")
    assert clear.tolist() == [True, True, False, False, False]
    assert valid(values, "qa_pixel=water").tolist() == [True, False, True, True, False]


def test_sentinel_clouds_are_both_probabilities():
    clear = valid(np.arange(12), "scl=cloud,cirrus")
    assert np.flatnonzero(~clear).tolist() == [0, 8, 9, 10]


def test_a_rule_is_read_from_text():
    assert quality.rule("fmask=cloud,shadow") == quality.Rule("fmask", ("cloud", "shadow"), "fmask")
    assert quality.rule("qa_pixel:QA_PIXEL=cloud").band == "QA_PIXEL"
    with pytest.raises(ParameterError, match="must read <coding>"):
        quality.rule("cloud")
    with pytest.raises(ParameterError, match="hls_fmask, udm2, bits, values, got 'qa'"):
        quality.rule("qa=cloud")
    with pytest.raises(ParameterError, match=r"among clear, water, .* got fog"):
        quality.rule("fmask=fog")
    with pytest.raises(ParameterError, match="got none"):
        quality.rule("fmask=")


def test_bits_and_values_can_be_named_themselves():
    values = np.array([0, 1, 8, 16, 24, 4096], np.uint16)
    assert valid(values, "bits:QA_PIXEL=3,4").tolist() == [True, True, False, False, False, True]
    assert valid(values, "bits:9=0,12").tolist() == [True, False, True, True, True, False]
    assert valid(values, "values:8=8, 4096").tolist() == [True, True, False, True, True, False]
    assert valid(np.array([-1, 0], np.int16), "values:1=-1").tolist() == [False, True]
    assert valid(np.array([-32768, 5], np.int16), "bits:1=15").tolist() == [False, True]
    floats = np.array([np.nan, 8.0, 2.0], np.float32)
    assert valid(floats, "bits:1=3").tolist() == [True, False, True]
    assert quality.rule("bits:QA_PIXEL=3,4") == quality.Rule("bits", ("3", "4"), "QA_PIXEL")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("bits=3", r"must read <coding>\[:<band>\].* bits:QA_PIXEL=3,4"),
        ("values:=3", "must read <coding>"),
        ("bits:8=cloud", "must be bits from 0 to 62, got 'cloud'"),
        ("bits:8=-1", "must be bits from 0 to 62, got '-1'"),
        ("bits:8=63", "must be bits from 0 to 62, got '63'"),
        ("values:8=1.5", "must be whole numbers, got '1.5'"),
        ("values:8=\u00b2", "must be whole numbers, got"),
        ("values:8=", "must be whole numbers, got 'none'"),
    ],
)
def test_numbers_that_name_no_bit_or_value_are_one_line(text, why):
    with pytest.raises(ParameterError, match=why):
        quality.rule(text)


def test_free_bits_find_their_band_by_name_by_its_end_or_by_number(write_raster, tmp_path):
    values = np.full((3, 4, 4), 9, np.uint16)
    values[2] = 0
    values[2, 0, 0], values[2, 1, 1], values[2, 2, 2] = 8, 16, 32
    path = write_raster("i.tif", values, bands=["red", "nir", "LC08_QA_PIXEL"])
    for band in ("LC08_QA_PIXEL", "QA_PIXEL", "qa_pixel", "3"):
        image = Image(files=(path,), quality=(quality.rule(f"bits:{band}=3,4"),))
        with rasterio.open(composite([image], tmp_path / f"{band}.tif")) as written:
            assert written.descriptions == ("red", "nir")
            hidden = np.argwhere((written.read_masks() == 0).any(axis=0)).tolist()
        assert hidden == [[0, 0], [1, 1]]
    with pytest.raises(BandError, match="one band 'QA', got red, nir, LC08_QA_PIXEL"):
        plan(Image(files=(path,), quality=(quality.rule("bits:QA=1"),)))


def test_planet_s_mask_is_eight_bands(write_raster, tmp_path):
    image = write_raster("scene.tif", np.full((4, 4, 5), 500, np.uint16))
    mask = np.zeros((8, 4, 5), np.uint8)
    mask[0], mask[6] = 1, 90
    for k, band in enumerate((1, 2, 3, 4, 5)):  # snow, shadow, haze, heavy haze, cloud
        mask[[0, band], 0, k] = 0, 1
    mask[7, 1, 0], mask[7, 1, 1] = 1, 4  # not imaged; missing in a band
    named = ["clear", "snow", "shadow", "haze_light", "haze_heavy", "cloud", "confidence", "udm1"]
    udm2 = write_raster("scene_udm2.tif", mask, bands=named)
    plain = write_raster("scene_plain.tif", mask)
    rules = (
        ("udm2=cloud,shadow", udm2, [[0, 1], [0, 4], [1, 0]]),
        ("udm2:clear=snow", udm2, [[0, 0], [1, 0]]),
        ("udm2:5=light_haze,heavy_haze", plain, [[0, 2], [0, 3], [1, 0]]),
        ("udm2=not_clear", udm2, [[0, 0], [0, 1], [0, 2], [0, 3], [0, 4], [1, 0]]),
        ("udm2=unusable", udm2, [[1, 0], [1, 1]]),
    )
    for number, (text, path, expected) in enumerate(rules):
        date = Image(files=(image, path), quality=(quality.rule(text),))
        assert len(plan(date).names) == 4
        with rasterio.open(composite([date], tmp_path / f"{number}.tif")) as written:
            hidden = np.argwhere((written.read_masks() == 0).any(axis=0)).tolist()
        assert hidden == expected
    with pytest.raises(BandError, match=r"udm2 mask must have 8 bands from '.*b2' on, got 7"):
        plan(Image(files=(image, plain), quality=(quality.rule("udm2:6=cloud"),)))


@pytest.mark.parametrize("text", ["fmask:3=cloud", "bits:3=2", "values:3=4"])
@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("shift", [0.0, 10.0])
def test_a_clear_pixel_of_0_is_clear_though_0_is_no_data_in_the_image(
    write_raster, tmp_path, text, declared, shift
):
    values = np.full((3, 5, 5), 500, np.uint16)
    values[2] = 0
    values[2, 1, 1] = 4
    values[:2, 3, 3] = 0
    path = write_raster("i.tif", values, nodata=0 if declared else None)
    image = Image(
        files=(path,), quality=(quality.rule(text),), nodata=None if declared else 0,
        resampling="nearest",
    )  # fmt: skip
    like = write_raster(
        "like.tif", np.zeros((5, 5), np.uint8), origin=(500_000 + shift, 4_000_000 - shift)
    )
    with rasterio.open(
        composite([image], tmp_path / "c.tif", target=TargetGrid(like=like))
    ) as written:
        hidden = np.argwhere((written.read_masks() == 0).any(axis=0)).tolist()
    assert hidden == [[1, 1], [3, 3]]


def test_bits_that_the_band_lacks_are_refused(tmp_path):
    values = np.ones((2, 2, 2), np.uint16)
    path = write(tmp_path / "q.tif", values, bands=["red", "QA_PIXEL"])
    for text, allowed in (("bits:QA_PIXEL=15", True), ("bits:QA_PIXEL=0,16", False)):
        wanted = Image((path,), quality=(quality.rule(text),))
        if allowed:
            plan(wanted)
            continue
        with pytest.raises(ParameterError, match=r"among its 16, counted from 0, got 16 for 'QA_"):
            plan(wanted)


@pytest.mark.parametrize(
    ("band", "file", "rule"),
    [
        ("fmask", "t1.tif", "fmask=cloud,shadow"),
        ("FMASK", "t1.tif", "fmask:FMASK=cloud,shadow"),
        ("HLS.L30.T10SEH.2020001T184431.v2.0.Fmask", "HLS.L30.Fmask.tif",
         "hls_fmask:HLS.L30.T10SEH.2020001T184431.v2.0.Fmask=cloud,adjacent,shadow"),
        ("LC08_L2SP_006066_QA_PIXEL", "a.tif",
         "qa_pixel:LC08_L2SP_006066_QA_PIXEL=dilated_cloud,cloud,cirrus,shadow"),
        ("SCL", "a.tif", "scl:SCL=cloud,shadow,cirrus"),
        ("pixel_qa", "a.tif", "bits:pixel_qa=3,5"),
        ("red", "a.tif", None),
        ("class", "a.tif", None),
        ("muscl", "a.tif", None),
    ],
)  # fmt: skip
def test_a_quality_band_is_known_by_its_usual_name(band, file, rule):
    assert quality.usual_rule(band, file) == rule
    if rule is not None:
        assert quality.rule(rule).band.lower() == band.lower()
