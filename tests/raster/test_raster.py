import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.enums import ColorInterp

from landshift import grid, raster
from landshift.classes import ClassScheme
from landshift.errors import (
    BandError,
    ClassError,
    DateError,
    GridError,
    ParameterError,
    RasterError,
)
from landshift.files import dates
from landshift.grid import Window

VALUES = np.arange(2 * 4 * 5, dtype=np.int16).reshape(2, 4, 5)


def test_a_window_over_the_edge_comes_with_a_mask(write_raster):
    path = write_raster("a.tif", VALUES, nodata=7)
    with raster.open_raster(path) as source:
        values, mask = raster.read(source, Window(-1, 3, 3, 3))
    assert values[0].tolist() == [[0, 0, 0], [3, 4, 0], [8, 9, 0]]
    assert mask.tolist() == [[False] * 3, [True, True, False], [True, True, False]]


def test_a_pixel_is_valid_only_where_every_band_is(write_raster):
    path = write_raster("a.tif", VALUES, nodata=7)
    with raster.open_raster(path) as source:
        _, mask = raster.read(source, Window(0, 0, 4, 5))
        _, second = raster.read(source, Window(0, 0, 4, 5), [2])
    assert np.argwhere(~mask).tolist() == [[1, 2]]
    assert second.all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_finite_number_is_not_valid(write_raster, bad):
    values = np.ones((1, 3, 3), np.float32)
    values[0, 1, 1] = bad
    with raster.open_raster(write_raster("a.tif", values)) as source:
        _, mask = raster.read(source, Window(0, 0, 3, 3))
    assert np.argwhere(~mask).tolist() == [[1, 1]]


def test_a_class_raster_carries_names_and_colours(tmp_path, write_raster):
    scheme = ClassScheme.from_mapping({1: "forest", 4: "water"})
    like = raster.info(write_raster("a.tif", VALUES))
    out = tmp_path / "classes.tif"
    with raster.create(out, like.grid, count=1, dtype="uint8", nodata=0, scheme=scheme) as target:
        raster.write(target, np.full((1, 4, 5), 4, np.uint8), Window(0, 0, 4, 5))
    assert raster.scheme_of(out) == scheme
    with rasterio.open(out) as source:
        assert source.colormap(1)[4] == (*scheme.colours[4], 255)
        assert source.nodata == 0
    names = (tmp_path / "classes.tif.aux.xml").read_text()
    assert names.count("<Category") == 6  # the list, and values 0 to 4
    assert "<Category>water</Category>" in names


def test_new_rasters_are_cloud_optimised(tmp_path):
    random = np.random.default_rng(0)
    values = random.integers(1, 200, (4, 1300, 1100)).astype(np.uint8)
    box = grid.geobox(1300, 1100, Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32618")
    out = tmp_path / "c.tif"

    def make(windows):
        with raster.create(
            out, box, count=4, dtype="uint8", nodata=0, bands=["r", "g", "b", "n"], tags={"A": "1"}
        ) as target:
            for window in windows:
                raster.write(target, values[(slice(None), *window.slices)], window)
        return out.read_bytes()

    windows = list(raster.blocks(1300, 1100, 512))
    first = make(windows)
    assert {p.name for p in tmp_path.iterdir()} == {"c.tif"}
    assert make(windows[::-1]) == first
    # whole blocks of the first overview: it is made on the way, not from the file
    whole = list(raster.blocks(1300, 1100))
    assert make(whole) == first
    assert make(whole[:1] + windows[2:]) == first  # given up on the way
    with rasterio.open(out) as source:
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert source.block_shapes[0] == (512, 512)
        assert source.overviews(1) == [2, 4]
        assert source.descriptions == ("r", "g", "b", "n")
        assert source.tags()["A"] == "1"
        assert source.nodata == 0
        assert source.colorinterp[3] != ColorInterp.alpha
        assert (source.read() == values).all()
        fine = int(source.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
        places = [int(source.get_tag_item("IFD_OFFSET", "TIFF", bidx=1, ovr=k)) for k in (0, 1)]
    # what a reader needs first comes first: directories at the head, coarse pixels before fine
    assert max(places) < 4096
    assert first[8:].startswith(b"GDAL_STRUCTURAL_METADATA_SIZE=")
    with rasterio.open(out, overview_level=1) as coarse:
        at = int(coarse.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    assert max(places) < at < fine


def test_the_first_overview_is_made_of_windows_that_fill_its_blocks(tmp_path):
    box = grid.geobox(1300, 1100, Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32618")
    values = np.ones((1, 1300, 1100), np.uint8)
    complete = {}
    for size in (1024, 2048, 512):
        with raster.create(tmp_path / "a.tif", box, count=1, dtype="uint8", nodata=0) as target:
            for window in raster.blocks(1300, 1100, size):
                raster.write(target, values[(slice(None), *window.slices)], window)
            complete[size] = target.first.complete
    assert complete == {1024: True, 2048: True, 512: False}


def test_overviews_average_images_and_never_mix_classes(tmp_path):
    values = np.tile(np.array([[10, 20], [20, 20]], np.uint8), (1, 300, 300))
    box = grid.geobox(600, 600, Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32618")
    result = {}
    for name, options in {
        "image": {},
        "classes": {"classes": True},
        "scheme": {"scheme": ClassScheme.from_mapping({10: "forest", 20: "water"})},
    }.items():
        out = tmp_path / f"{name}.tif"
        with raster.create(out, box, count=1, dtype="uint8", nodata=0, **options) as target:
            raster.write(target, values, Window(0, 0, 600, 600))
        with rasterio.open(out, overview_level=0) as coarse:
            result[name] = set(np.unique(coarse.read()))
    assert result == {"image": {18}, "classes": {20}, "scheme": {20}}
    with rasterio.open(tmp_path / "scheme.tif") as source:
        assert source.colormap(1)[20][3] == 255


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32"])
@pytest.mark.parametrize("nodata", [None, 7, 100])
def test_overviews_are_gdals(tmp_path, dtype, nodata):
    random = np.random.default_rng(0)
    values = random.integers(0, 9, (2, 600, 522)).astype(dtype)
    box = grid.geobox(600, 522, Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32618")
    out = tmp_path / "a.tif"
    with raster.create(out, box, count=2, dtype=dtype, nodata=nodata) as target:
        raster.write(target, values, Window(0, 0, 600, 522))
    rasterio.shutil.copy(
        out, tmp_path / "g.tif", driver="COG", overviews="IGNORE_EXISTING",
        overview_resampling="AVERAGE", blocksize=512,
    )  # fmt: skip
    with (
        rasterio.open(out, overview_level=0) as ours,
        rasterio.open(tmp_path / "g.tif", overview_level=0) as gdals,
    ):
        assert ours.shape == gdals.shape == (300, 261)
        result, wanted = ours.read(), gdals.read()
    assert np.abs(result - wanted.astype(np.float64)).max() <= 1  # of two roundings
    assert (result == wanted).mean() > 0.95


def test_a_mean_never_becomes_nodata(tmp_path):
    box = grid.geobox(600, 600, Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32618")
    for nodata, low, mean in ((0, 1, 1), (255, 254, 254), (20, 10, 21)):
        values = np.tile(np.array([[low, low], [30, 30]], np.uint8), (1, 300, 300))
        if nodata != 20:
            values[:] = low
        out = tmp_path / f"{nodata}.tif"
        with raster.create(out, box, count=1, dtype="uint8", nodata=nodata) as target:
            raster.write(target, values, Window(0, 0, 600, 600))
        with rasterio.open(out, overview_level=0) as coarse:
            assert set(np.unique(coarse.read())) == {mean}


def test_overviews_of_odd_rasters_keep_their_last_row_and_column(tmp_path):
    values = np.full((1, 601, 523), 7, np.uint8)
    values[0, -1], values[0, :, -1] = 9, 9
    box = grid.geobox(601, 523, Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32618")
    with raster.create(tmp_path / "a.tif", box, count=1, dtype="uint8", nodata=0) as target:
        raster.write(target, values, Window(0, 0, 601, 523))
    with rasterio.open(tmp_path / "a.tif", overview_level=0) as coarse:
        result = coarse.read(1)
    assert result.shape == (301, 262)
    assert (result[-1] == 9).all()
    assert (result[:-1, :-1] == 7).all()


def test_a_small_raster_needs_no_overview(tmp_path):
    box = grid.geobox(500, 512, Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32618")
    with raster.create(tmp_path / "a.tif", box, count=1, dtype="float32", nodata=None) as target:
        raster.write(target, np.ones((1, 500, 512), np.float32), Window(0, 0, 500, 512))
    with rasterio.open(tmp_path / "a.tif") as source:
        assert source.overviews(1) == []
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_another_nodata_value_takes_the_place_of_the_file_s(write_raster):
    path = write_raster("a.tif", VALUES, nodata=7)
    with raster.open_raster(path) as source:
        _, mask = raster.read(source, Window(0, 0, 4, 5), nodata=9)
        _, both = raster.read(source, Window(0, 0, 4, 5), also=9)
    assert np.argwhere(~mask).tolist() == [[1, 4]]
    assert np.argwhere(~both).tolist() == [[1, 2], [1, 4]]


def test_a_colour_table_alone_gives_classes_named_by_value(write_raster, tmp_path):
    path = write_raster("a.tif", np.array([[1, 2, 0]], np.uint8), nodata=0)
    with rasterio.open(path, "r+") as target:
        target.write_colormap(1, {1: (9, 8, 7, 255)})
    scheme = raster.scheme_of(path)
    assert scheme.mapping == {1: "class 1", 2: "class 2"}
    assert scheme.colours[1] == (9, 8, 7)
    assert raster.scheme_of(write_raster("b.tif", VALUES)) is None


def test_a_scheme_is_read_from_a_raster_or_a_legend(write_raster, tmp_path):
    path = write_raster("a.tif", np.array([[1, 2, 0]], np.uint8), nodata=0)
    with pytest.raises(
        ClassError, match=r"must state its classes, got none in .*a\.tif; give a CSV"
    ):
        raster.read_scheme(path)
    (tmp_path / "a.csv").write_text("value,name\n1,forest\n2,lake\n")
    assert raster.read_scheme(tmp_path / "a.csv").mapping == {1: "forest", 2: "lake"}
    with rasterio.open(path, "r+") as target:
        target.write_colormap(1, {1: (9, 8, 7, 255)})
    assert raster.read_scheme(path).mapping == {1: "class 1", 2: "class 2"}


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (np.ones((1, 2, 2), np.float32), r"must hold whole numbers, got float32 in .*a\.tif"),
        (np.ones((2, 2, 2), np.uint8), r"must have one band, got 2 in .*a\.tif"),
    ],
)
def test_class_rasters_are_one_band_of_whole_numbers(write_raster, values, match):
    path = write_raster("a.tif", values)
    with pytest.raises(ClassError, match=match):
        raster.map_classes(path)
    known = raster.map_classes(write_raster("b.tif", np.ones((1, 2, 2), np.uint8)))
    with raster.open_raster(path) as source, pytest.raises(ClassError, match=match):
        raster.read_classes(source, Window(0, 0, 2, 2), known)


def test_a_value_named_fill_is_no_class(write_raster, tmp_path):
    path = write_raster("a.tif", np.array([[1, 2, 255]], np.uint8))
    (tmp_path / "a.clr").write_text("1 9 8 7 255 forest\n2 1 1 1 255 lake\n255 0 0 0 255 Fill\n")
    known = raster.map_classes(path)
    with raster.open_raster(path) as source:
        values, mask = raster.read_classes(source, Window(0, 0, 1, 3), known)
    assert values.tolist() == [[1, 2, 255]]
    assert mask.tolist() == [[True, True, False]]
    assert known.named([1, 2]) == {1: "forest", 2: "lake"}


@pytest.mark.parametrize(
    ("zero", "unstated"), [("0 0 0 9 255 water", ()), ("5 0 0 9 255 ice", (0,))]
)
def test_what_0_means_is_stated_where_it_has_a_name(write_raster, tmp_path, zero, unstated):
    path = write_raster("a.tif", np.array([[0, 1]], np.uint8))
    (tmp_path / "a.clr").write_text(f"{zero}\n1 9 8 7 255 forest\n")
    known = raster.map_classes(path)
    assert (known.zero, known.unstated) == (True, unstated)


def test_names_inside_a_vrt_name_its_classes(write_raster, tmp_path):
    path = write_raster("a.tif", np.array([[1, 2, 2]], np.uint8), nodata=0)
    rasterio.shutil.copy(path, tmp_path / "a.vrt", driver="VRT")
    text = (tmp_path / "a.vrt").read_text()
    names = "".join(f"<Category>{name}</Category>" for name in ("", "forest", "lake"))
    head, band, rest = text.partition('<VRTRasterBand dataType="Byte" band="1">')
    assert band
    (tmp_path / "a.vrt").write_text(f"{head}{band}<CategoryNames>{names}</CategoryNames>{rest}")
    assert raster.scheme_of(tmp_path / "a.vrt").mapping == {1: "forest", 2: "lake"}
    assert raster.scheme_of(path) is None


def test_files_beside_a_class_raster_name_its_classes(write_raster, tmp_path):
    path = write_raster("a.tif", np.array([[1, 2, 0]], np.uint8), nodata=0)
    (tmp_path / "a.clr").write_text("0 0 0 0 255 nodata\n1 9 8 7 255 forest\n5 1 1 1 255 lake\n")
    scheme = raster.scheme_of(path)
    assert scheme.mapping == {1: "forest", 2: "class 2", 5: "lake"}
    assert scheme.colours[1] == (9, 8, 7)
    (tmp_path / "b.clr").write_text("1 9 8 7 255 low\n")  # the ramp of heights, no classes
    assert raster.scheme_of(write_raster("b.tif", np.ones((1, 2, 2), np.float32))) is None


def test_a_missing_and_a_damaged_file_are_one_line(tmp_path, data_folder):
    with pytest.raises(RasterError, match=r"must exist, got .*none\.tif"):
        raster.info(tmp_path / "none.tif")
    (tmp_path / "a.tif").write_text("no raster")
    with pytest.raises(RasterError, match="must be readable"):
        raster.info(tmp_path / "a.tif")
    corrupt = data_folder / "robustness_rasters" / "rasterio" / "corrupt.tif"
    with (
        pytest.raises(RasterError, match=r"must be readable, got .*corrupt\.tif"),
        raster.open_raster(corrupt) as source,
    ):
        raster.read(source, Window(0, 0, source.height, source.width))


def test_a_failed_write_leaves_no_file(tmp_path, write_raster):
    like = raster.info(write_raster("a.tif", VALUES))
    with (
        pytest.raises(ValueError, match="mine"),
        raster.create(tmp_path / "b.tif", like.grid, count=1, dtype="uint8", nodata=0),
    ):
        raise ValueError("mine")
    assert {p.name for p in tmp_path.iterdir()} == {"a.tif"}


def test_bands_are_picked_by_name_else_by_number(write_raster):
    named = raster.info(write_raster("a.tif", VALUES, bands=["nir", "red"]))
    plain = raster.info(write_raster("b.tif", VALUES))
    assert raster.pick_bands(named, ["red"]) == (2,)
    assert raster.pick_bands(named, ["red", "nir"]) == (2, 1)
    assert raster.pick_bands(plain, ["red", "nir"]) == (1, 2)
    with pytest.raises(BandError, match="must have 3 bands"):
        raster.pick_bands(plain, ["red", "nir", "blue"])
    for wanted in (["red", "blue"], ["green", "blue"]):
        with pytest.raises(BandError, match=rf"bands {', '.join(wanted)}, got nir, red"):
            raster.pick_bands(named, wanted)
    assert raster.pick_bands(plain, ["red", "nir"], [2, 1]) == (2, 1)
    with pytest.raises(BandError, match=r"must have the bands 1, 3, got 2"):
        raster.pick_bands(plain, ["red", "nir"], [1, 3])


def test_an_alpha_band_is_no_band_of_a_model_unless_requested(write_raster):
    values = np.full((4, 4, 5), 9, np.uint8)
    values[3, 0] = 0
    path = write_raster("a.tif", values, bands=["nir", "red", "green"])
    with rasterio.open(path, "r+") as target:
        target.colorinterp = [*target.colorinterp[:3], ColorInterp.alpha]
    info = raster.info(path)
    assert raster.pick_bands(info, ["red", "nir"]) == (2, 1)
    assert raster.pick_bands(info, [""] * 3) == (1, 2, 3)
    assert raster.pick_bands(info, [""] * 4) == (1, 2, 3, 4)
    with pytest.raises(BandError, match=r"bands red, blue, nir, got nir, red, green"):
        raster.pick_bands(info, ["red", "blue", "nir"])
    with raster.open_raster(path) as source:
        _, mask = raster.read(source, Window(0, 0, 4, 5), [2, 1])
    assert mask.sum(axis=1).tolist() == [0, 5, 5, 5]


@pytest.mark.parametrize(
    ("name", "tags", "expected"),
    [
        ("t2_20020416.tif", {}, "2002-04-16"),
        ("1990.tif", {}, "1990"),
        ("m_4709963_se_14_1_20100629.tif", {}, "2010-06-29"),
        ("before.tif", {"DATE_ACQUIRED": "2016-07-01"}, "2016-07-01"),
        ("tile_31500-5137.tif", {}, None),
        ("x_20161399.tif", {}, None),
    ],
)
def test_the_date_comes_from_tags_or_the_name(write_raster, name, tags, expected):
    taken = raster.info(write_raster(name, VALUES, **tags)).taken
    assert taken == (None if expected is None else dates.parse(expected))


def test_before_later_than_after_is_refused(write_raster):
    early = raster.info(write_raster("2001.tif", VALUES))
    late = raster.info(write_raster("2016.tif", VALUES))
    raster.check_order(early, late)
    with pytest.raises(DateError, match=r"got 2016 .* swap the two"):
        raster.check_order(late, early)


def test_another_cell_size_resamples_on_the_fly(write_raster):
    path = write_raster("a.tif", np.full((1, 8, 8), 5, np.uint8), nodata=0)
    with raster.open_raster(path) as source:
        with raster.at_cell_size(source, 60.0) as coarse:
            values, mask = coarse.read(Window(0, 0, 4, 4))
            assert coarse.grid.shape == (4, 4)
        for size in (0.0, -30.0, 480.0):  # of 480 m, half a pixel
            with pytest.raises(ParameterError, match="`cell_size` must be above 0"):
                raster.at_cell_size(source, size).__enter__()
        with raster.at_cell_size(source, 479.0) as one:
            assert one.grid.shape == (1, 1)
        with pytest.raises(GridError, match=r"at most 2,147,483,647 rows and columns, got 24000"):
            raster.at_cell_size(source, 1e-7).__enter__()
    assert (values == 5).all()
    assert mask.all()
    with (
        raster.open_raster(write_raster("b.tif", VALUES, crs=None)) as source,
        pytest.raises(GridError, match="needs a CRS"),
    ):
        raster.at_cell_size(source, 60.0).__enter__()


def test_another_cell_size_keeps_a_raster_turned_as_it_is(tmp_path):
    transform = Affine.translation(500_000, 4_000_000) @ Affine.rotation(30) @ Affine.scale(30, -30)
    values = np.arange(64, dtype=np.uint16).reshape(1, 8, 8) + 1
    with rasterio.open(
        tmp_path / "turned.tif", "w", driver="GTiff", count=1, height=8, width=8, dtype="uint16",
        crs="EPSG:32618", transform=transform,
    ) as target:  # fmt: skip
        target.write(values)
    with (
        raster.open_raster(tmp_path / "turned.tif") as source,
        raster.at_cell_size(source, 60.0) as coarse,
    ):
        assert coarse.grid.shape == (4, 4)
        assert coarse.grid.affine.almost_equals(transform @ Affine.scale(2))
        result, _ = coarse.read(Window(0, 0, 4, 4))
    assert result[0, 1, 1] == pytest.approx(values[0, 2:4, 2:4].mean(), abs=1)


def test_a_preview_is_at_most_so_large(write_raster):
    path = write_raster("a.tif", np.tile(np.array([1, 3], np.uint8), (50, 50)))
    values, mask = raster.preview(path, 10, classes=True)
    assert values.shape == (1, 5, 10)
    assert set(np.unique(values)) <= {1, 3}
    assert mask.all()


@pytest.mark.parametrize(
    ("size", "shape"), [(200, (1, 60)), (60, (1, 60)), (59, (1, 59)), (20, (1, 20)), (1, (1, 1))]
)
def test_a_preview_has_no_more_pixels_than_the_raster_and_at_least_one(write_raster, size, shape):
    path = write_raster("a.tif", np.full((1, 60), 7, np.uint8))
    values, mask = raster.preview(path, size)
    assert values.shape == (1, *shape)
    assert mask.shape == shape
    assert (values == 7).all()


def test_a_raster_states_one_nodata_value_only_where_its_bands_share_it(write_raster, tmp_path):
    shared = write_raster("a.tif", VALUES, nodata=7)
    other = write_raster("b.tif", VALUES, nodata=9)
    plain = write_raster("c.tif", VALUES)
    for path, nodata in ((shared, 7), (other, 9), (plain, None)):
        info = raster.info(path)
        assert (info.nodata, info.masked) == (nodata, False)
    bands = "".join(
        f'<VRTRasterBand dataType="Int16" band="{k}"><NoDataValue>{none}</NoDataValue>'
        f'<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        for k, (name, none) in enumerate([("a.tif", 7), ("b.tif", 9)], start=1)
    )
    vrt = tmp_path / "both.vrt"
    vrt.write_text(
        '<VRTDataset rasterXSize="5" rasterYSize="4"><SRS>EPSG:32618</SRS>'
        f"<GeoTransform>500000, 30, 0, 4000000, 0, -30</GeoTransform>{bands}</VRTDataset>"
    )
    info = raster.info(vrt)
    assert (info.nodata, info.masked) == (None, True)


def test_zeros_are_valid_on_another_grid_where_no_nodata_is_declared(write_raster):
    path = write_raster("a.tif", np.zeros((1, 8, 8), np.uint8))
    shifted = grid.geobox(8, 8, Affine(30, 0, 500_060, 0, -30, 3_999_940), "EPSG:32618")
    with (
        raster.open_raster(path) as source,
        raster.on_grid(source, raster.grid_of(source), shifted, "nearest") as warped,
    ):
        _, mask = warped.read(Window(-1, -1, 10, 10))
    expected = np.zeros((10, 10), bool)
    expected[1:7, 1:7] = True  # two rows and columns of eight lie beyond the raster
    assert (mask == expected).all()


def test_what_makes_a_raster_one_of_classes(write_raster):
    def holds(name, values, **colours):
        path = write_raster(name, values)
        with rasterio.open(path, "r+") as target:
            if colours:
                target.write_colormap(1, colours["table"])
        with raster.open_raster(path) as source:
            return raster.holds_classes(source)

    byte = np.ones((1, 2, 2), np.uint8)
    assert holds("palette.tif", byte, table={1: (9, 8, 7, 255)})
    assert holds("yellow.tif", byte, table={1: (9, 9, 0, 255)})
    assert not holds("grey.tif", byte, table={k: (k, k, k, 255) for k in range(256)})
    assert not holds("plain.tif", byte)
    assert not holds("bands.tif", np.ones((2, 2, 2), np.uint8))
    assert not holds("floats.tif", np.ones((1, 2, 2), np.float32))


@pytest.mark.skipif(sys.platform == "win32", reason="file sizes can't be limited there")
@pytest.mark.parametrize("room", [3, 60, 400, 700])
def test_a_disk_that_fills_up_is_one_line_and_leaves_nothing(write_raster, tmp_path, room):
    random = np.random.default_rng(0)
    image = write_raster("image.tif", random.integers(0, 60_000, (2, 512, 512)).astype(np.uint16))
    script = (
        "import resource\n"
        "from landshift.prepare.composite import composite\n"
        "from landshift.errors import OutputError\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({room} << 10, {room} << 10))\n"
        "try:\n"
        f"    composite([{str(image)!r}], {str(tmp_path / 'out.tif')!r})\n"
        "except OutputError as error:\n"
        "    print('Error:', error)\n"
    )
    completed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "Error: The output must be writable" in completed.stdout, completed.stderr
    assert {p.name for p in tmp_path.iterdir()} == {"image.tif"}


@pytest.mark.parametrize("dtype", ["complex64", "complex_int16"])
def test_complex_pixels_are_refused(tmp_path, dtype):
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=2, height=2, count=1, dtype=dtype, crs="EPSG:32618",
        transform=Affine(30, 0, 500_000, 0, -30, 4_000_000),
    ) as target:  # fmt: skip
        target.write(np.ones((1, 2, 2), np.complex64))
    with pytest.raises(RasterError, match=rf"must be real numbers, got {dtype} in .*AMPLITUDE"):
        raster.info(path)


def test_a_raster_without_a_place_is_written_without_a_warning(tmp_path):
    """The suite takes warnings for errors."""
    box = grid.geobox(2, 2, Affine.identity(), None)
    with raster.create(tmp_path / "a.tif", box, count=1, dtype="uint8", nodata=0) as target:
        raster.write(target, np.ones((1, 2, 2), np.uint8), Window(0, 0, 2, 2))
    assert raster.info(tmp_path / "a.tif").grid == box


def test_band_names_that_arent_utf8_are_one_line(write_raster):
    path = write_raster("a.tif", VALUES, bands=["agua~na"] * len(VALUES))
    path.write_bytes(path.read_bytes().replace(b"agua~", b"agua\xf1"))
    with pytest.raises(RasterError, match=r"must be UTF-8, got b'.*\\xf1na.* in .*a.tif; write"):
        raster.info(path)


def test_the_cache_holds_two_rows_of_windows_within_bounds(write_raster):
    about = raster.info(write_raster("m.tif", np.zeros((1, 4, 4), np.uint16)))

    def cache(width, rows, block=(512, 512)):
        wide = dataclasses.replace(
            about, grid=grid.geobox(4, width, about.grid.affine, about.grid.crs), block=block
        )
        return raster.cache_for(wide, rows)

    assert cache(4, 512) == 32 << 20
    assert cache(20_000, 512) == 2 * (512 + 2 * 512) * 20_000 * 2
    assert cache(20_000, 512, block=(1, 20_000)) == 2 * 514 * 20_000 * 2
    assert cache(1_000_000, 512) == raster.GDAL_CACHE
