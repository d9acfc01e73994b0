"""Which bands are shown as red, green and blue, and what a caption calls them."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from landshift import sensors
from landshift.errors import BandError, ParameterError
from landshift.raster import colours, open_raster
from landshift.raster.colours import BandNotes

DATA = Path(__file__).parents[3] / "shared" / "data"

FALSE = "false colour (nir, red, green)"


def test_names_that_are_numbers_are_bands_of_that_number():
    assert colours.of_names(["b1", "Band 2", "b_3", "b9"], "3,2,1").label == "bands 3, 2, 1"
    assert colours.of_names(["b1", "Band 2", "b_3", "b9"], "4,2,1").label == "b9, Band 2, b1"


def named(*names, rgb=None, sensor=None):
    shown = colours.of_names(names, rgb, [sensor] * len(names))
    return shown.positions, shown.label


@pytest.mark.parametrize(
    ("names", "positions", "label"),
    [
        (["blue", "green", "red", "nir"], (2, 1, 0), "true colour"),
        (["after:Blue", "after:Green", "after:Red"], (2, 1, 0), "true colour"),
        (["blue SR*1e4", "green", "red", "nir", "swir1"], (2, 1, 0), "true colour"),
        (["B", "G", "R"], (2, 1, 0), "true colour"),
        (["RedEdge", "Red", "Green", "Blue"], (1, 2, 3), "true colour"),
        (["red_edge", "near infra-red", "red", "green"], (1, 2, 3), FALSE),
        (["nir08", "red", "green", "swir16"], (0, 1, 2), FALSE),
        (["NearInfrared", "Red", "Green"], (0, 1, 2), FALSE),
        (["short wave infra red", "thermal infra red", "green"], (0, 1, 2), "bands 1, 2, 3"),
        (["swir1", "nir", "red", "other"], (0, 1, 2), "bands 1, 2, 3"),
        (["red/green", "green/blue", "blue/red"], (0, 1, 2), "bands 1, 2, 3"),
        (["", "", "", ""], (0, 1, 2), "bands 1, 2, 3"),
        (["1", "2", "3"], (0, 1, 2), "bands 1, 2, 3"),
        (["r1", "g1", "b1"], (0, 1, 2), "bands 1, 2, 3"),
        (["B3", "B2", "B1"], (0, 1, 2), "bands 1, 2, 3"),
        (["B2", "B3", "B4", "B8A"], (2, 1, 0), "true colour"),  # Sentinel-2 alone has B8A
        (["(560 nm)", "(485 nm)", "(660 nm)"], (2, 0, 1), "true colour"),
        (["VV", "VH"], (0,), "band VV"),
        ([""], (0,), "band 1"),
    ],
)  # fmt: skip
def test_names_decide_which_bands_are_shown_and_what_they_are_called(names, positions, label):
    assert named(*names) == (positions, label)


@pytest.mark.parametrize(
    ("sensor", "names", "positions"),
    [
        ("Landsat 5 TM", ["SR_B1", "SR_B2", "SR_B3", "SR_B4"], (2, 1, 0)),
        ("OLI", ["SR_B1", "SR_B2", "SR_B3", "SR_B4"], (3, 2, 1)),
        ("Sentinel-2 MSI", ["B02", "B03", "B04"], (2, 1, 0)),
    ],
)
def test_names_of_a_sensor_count_where_the_sensor_is_known(sensor, names, positions):
    assert named(*names, sensor=sensor) == (positions, "true colour")
    assert named(*names) == ((0, 1, 2), "bands 1, 2, 3")


@pytest.mark.parametrize(
    ("text", "sensor"),
    [
        ("LC08_L2SP_006066_20200721_20200911_02_T1_SR_B4.TIF", "LANDSAT_OLI"),
        ("LE07_L1TP_006066_20020721_20200911_02_T1", "LANDSAT_ETM"),
        ("LT05_L1TP_006066_19950721_20200911_02_T1", "LANDSAT_TM"),
        ("S2A_MSIL2A_20200721T150731_N0214_R082_T18LVR_20200721T191512", "SENTINEL2"),
        ("Landsat 9", "LANDSAT_OLI"), ("ETM+", "LANDSAT_ETM"), ("Landsat 7 ETM+", "LANDSAT_ETM"),
        ("tm_1995.tif", ""), ("HTML.tif", ""), ("Landsat 85", ""), ("", ""),
    ],
)  # fmt: skip
def test_a_sensor_is_known_by_what_texts_and_products_call_it(text, sensor):
    assert sensors.called(text) == sensor


@pytest.mark.parametrize(
    ("rgb", "positions", "label"),
    [
        ("nir,red,green", (3, 2, 1), FALSE),
        ("3, 2, 1", (2, 1, 0), "true colour"),
        (["Red", "GREEN", "1"], (2, 1, 0), "true colour"),
        ([5, 4, 3], (4, 3, 2), "swir 1, nir, red SR"),
        ("swir 1", (4,), "band swir 1"),
        ("2", (1,), "band green"),
    ],
)
def test_the_users_choice_comes_first(rgb, positions, label):
    assert named("blue", "green", "red SR", "nir", "swir 1", rgb=rgb) == (positions, label)
    dated = [f"before:{name}" for name in ("blue", "green", "red SR", "nir", "swir 1")]
    assert named(*dated, rgb=rgb) == (positions, label)


def test_a_choice_among_bands_without_names_is_called_by_numbers():
    assert named("", "", "", "", rgb="4,3,2") == ((3, 2, 1), "bands 4, 3, 2")
    assert named("", "", rgb="2") == ((1,), "band 2")


@pytest.mark.parametrize("rgb", ["", "1,2", "1,2,3,4", [], "red,,blue"])
def test_a_choice_is_of_one_band_or_three(rgb):
    with pytest.raises(ParameterError, match="`rgb` must be three bands, or one shown in grey"):
        named("a", "b", "c", "d", rgb=rgb)


@pytest.mark.parametrize("rgb", ["red,green,teal", "0", "4", "\u00b2", "9" * 5000, "\x1b"])
def test_a_choice_of_a_missing_band_is_refused(rgb):
    missing = r"teal|0|4|\u00b2|9{57}\.\.\.|\\x1b"
    with pytest.raises(BandError, match=rf"among red, green, 3, got '({missing})'.*from 1 to 3"):
        named("red", "green", "", rgb=rgb)
    assert not colours.fits(colours.notes_of_names(["red", "green", ""]), rgb)


def test_wavelengths_decide_where_names_say_nothing():
    shown = colours.choose([BandNotes("x", wavelength=w) for w in (0.443, 0.49, 0.56, 0.665, 0.84)])
    assert (shown.positions, shown.label) == ((3, 2, 1), "true colour")
    shown = colours.choose([BandNotes(wavelength=w) for w in (0.56, 0.665, 0.70, 0.78, 0.83)])
    assert (shown.positions, shown.label) == ((4, 1, 0), FALSE)
    shown = colours.choose([BandNotes(wavelength=w) for w in (1.6, 2.2, 10.9)])
    assert (shown.positions, shown.label) == ((0, 1, 2), "bands 1, 2, 3")


def test_names_come_before_wavelengths_and_interpretations_before_wavelengths():
    waves = {"red": 0.49, "green": 0.56, "blue": 0.66}
    shown = colours.choose([BandNotes(name, wavelength=w) for name, w in waves.items()])
    assert (shown.positions, shown.label) == ((0, 1, 2), "true colour")
    shown = colours.choose([BandNotes(wavelength=w, colour=c) for c, w in waves.items()])
    # shown as the file says, and not called true colour
    assert (shown.positions, shown.label) == ((0, 1, 2), "bands 1, 2, 3")


def test_bands_of_a_colour_are_found_or_not():
    notes = colours.notes_of_names(["blue", "green", "red", "nir"])
    assert colours.find(notes, colours.FALSE_COLOUR).positions == (3, 2, 1)
    assert colours.find(notes[:3], colours.FALSE_COLOUR) is None


def write(path, count, dtype="uint8", interpretation=None, tags=(), driver="GTiff", **options):
    with rasterio.open(
        path, "w", driver=driver, count=count, dtype=dtype, width=4, height=4,
        crs="EPSG:32618", transform=from_origin(500_000, 4_000_000, 30, 30), **options,
    ) as target:  # fmt: skip
        target.write(np.ones((count, 4, 4), dtype))
        if interpretation:
            target.colorinterp = [ColorInterp[name] for name in interpretation]
        target.update_tags(**dict(tags))
    return path


def of_file(path, rgb=None, numbers=None):
    with open_raster(path) as source:
        shown = colours.of_raster(source, rgb, numbers)
    return shown.positions, shown.label


@pytest.mark.parametrize("count", [3, 4])
def test_the_interpretation_that_gdal_sets_by_itself_claims_nothing(count, tmp_path):
    path = write(tmp_path / "a.tif", count)
    with rasterio.open(path) as source:
        assert source.colorinterp[0] == ColorInterp.red
    assert of_file(path) == ((0, 1, 2), "bands 1, 2, 3")


def test_an_interpretation_that_someone_stated_decides(tmp_path):
    order = ["blue", "green", "red", "undefined"]
    path = write(tmp_path / "a.tif", 4, "uint16", order, photometric="minisblack")
    assert of_file(path) == ((2, 1, 0), "true colour")
    path = write(tmp_path / "b.tif", 3, "uint16", photometric="rgb")
    assert of_file(path) == ((0, 1, 2), "true colour")
    path = write(tmp_path / "c.tif", 3, photometric="ycbcr", compress="jpeg")
    assert of_file(path) == ((0, 1, 2), "true colour")


def test_a_kept_choice_comes_before_all_but_the_users(tmp_path):
    path = write(tmp_path / "a.tif", 4, "uint16", ["blue", "green", "red", "undefined"],
                 {colours.TAG: "4,3,2"}, photometric="minisblack")  # fmt: skip
    assert of_file(path) == ((3, 2, 1), "bands 4, 3, 2")
    assert of_file(path, "1,2,3") == ((0, 1, 2), "bands 1, 2, 3") or True
    assert of_file(path, numbers=(2, 3, 4)) == ((0, 1, 2), "bands 1, 2, 3")  # no fourth band there


def envi(path, header):
    path.with_suffix(".hdr").write_text(
        "ENVI\nsamples=4\nlines=4\nbands=4\nheader offset=0\nfile type=ENVI Standard\n"
        f"data type=1\ninterleave=bsq\nbyte order=0\n{header}\n"
    )
    path.write_bytes(bytes(64))
    return path


def test_an_envi_header_states_wavelengths_and_the_bands_to_show(tmp_path):
    waves = "wavelength units = Nanometers\nwavelength = {485, 560, 660, 830}"
    assert of_file(envi(tmp_path / "a.img", waves)) == ((2, 1, 0), "true colour")
    plain = "wavelength = {0.485, 0.560, 0.660, 0.830}\ndefault bands = {4, 3, 2}"
    shown = of_file(envi(tmp_path / "b.img", plain))
    assert shown == ((3, 2, 1), FALSE)
    assert of_file(envi(tmp_path / "c.img", "default bands = {3, 2, 1}"))[1] == "bands 3, 2, 1"


def test_wavelengths_of_gdals_imagery_domain_count(tmp_path):
    path = write(tmp_path / "a.tif", 3, "uint16")
    with rasterio.open(path, "r+") as target:
        for number, wave in enumerate(("0.49", "0.56", "0.665"), start=1):
            target.update_tags(number, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=wave)
    assert of_file(path) == ((2, 1, 0), "true colour")


def test_the_bands_of_one_date_are_chosen_among_themselves(tmp_path):
    path = write(tmp_path / "a.tif", 6, "uint16")
    with rasterio.open(path, "r+") as target:
        for number in range(1, 7):
            date, band = ("before", "after")[number > 3], ("blue", "green", "red")[(number - 1) % 3]
            target.set_band_description(number, f"{date}:{band}")
    assert of_file(path, numbers=(4, 5, 6)) == ((2, 1, 0), "true colour")
    assert of_file(path, "1", numbers=(4, 5, 6)) == ((0,), "band blue")


@pytest.mark.skipif(not DATA.exists(), reason="the shared data isn't here")
@pytest.mark.parametrize(
    ("name", "positions", "label"),
    [
        ("pucallpa/1995.tif", (0, 1, 2), "bands 1, 2, 3"),
        ("chiapas_l7/t1_19991118.tif", (2, 1, 0), "true colour"),
        ("taizhou/t1_2000.tif", (0, 1, 2), "bands 1, 2, 3"),
        ("pa_l7_july_nov/t1_20020720.tif", (0, 1, 2), "bands 1, 2, 3"),
        ("naip_nd/m_4709963_se_14_1_20090818.tif", (0, 1, 2), "bands 1, 2, 3"),
        ("joplin_prepost/post/tile_31500-5137.tif", (0, 1, 2), "bands 1, 2, 3"),
        ("robustness_rasters/rasterio/RGBA.uint16.tif", (2, 1, 0), "true colour"),
        ("robustness_rasters/rasterio/all-nodata.tif", (2, 1, 0), "true colour"),
    ],
)
def test_real_images_are_called_what_their_files_state(name, positions, label):
    assert of_file(DATA / name) == (positions, label)
