"""The one rule for valid pixels, in all formats and for all ways of reading."""

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp, MaskFlags
from scipy import ndimage

from cutting import cut_tiles
from landshift import grid, images, raster, tileset
from landshift.classes import ClassScheme
from landshift.grid import Window
from landshift.images import overlay
from landshift.prepare.composite import TargetGrid, composite
from landshift.prepare.difference import difference
from landshift.prepare.label import MapReading, label
from landshift.prepare.normalise import normalise
from landshift.raster import validity
from scenes import write as write_file

SIZE = 24
SHIFTED = grid.geobox(SIZE, SIZE, Affine(30, 0, 500_010, 0, -30, 3_999_990), "EPSG:32618")
WHOLE = Window(0, 0, SIZE, SIZE)


def hide(path, *, mask=None, beside=False, alpha=None):
    """Give a raster a mask, in the file or beside it, or make a band its alpha band."""
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=not beside), rasterio.open(path, "r+") as target:
        if mask is not None:
            target.write_mask(np.where(mask, 255, 0).astype(np.uint8))
        if alpha:
            kinds = [ColorInterp.undefined] * target.count
            kinds[alpha - 1] = ColorInterp.alpha
            target.colorinterp = kinds
    return path


def separate(folder, bands, nodata):
    """A VRT of bands with nodata values of their own, as ``gdalbuildvrt -separate`` makes it."""
    parts = []
    for k, (band, none) in enumerate(zip(bands, nodata, strict=True), start=1):
        name = write_file(folder / f"part{k}.tif", band, nodata=none).name
        kind = {"uint8": "Byte", "int16": "Int16", "float32": "Float32"}[str(band.dtype)]
        own = "" if none is None else f"<NoDataValue>{none}</NoDataValue>"
        parts.append(
            f'<VRTRasterBand dataType="{kind}" band="{k}">{own}<SimpleSource><SourceFilename '
            f'relativeToVRT="1">{name}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>'
            "</VRTRasterBand>"
        )
    (folder / "s.vrt").write_text(
        f'<VRTDataset rasterXSize="{SIZE}" rasterYSize="{SIZE}"><SRS>EPSG:32618</SRS>'
        "<GeoTransform>500000,30,0,4000000,0,-30</GeoTransform>" + "".join(parts) + "</VRTDataset>"
    )
    return folder / "s.vrt"


@pytest.fixture
def values():
    return np.random.default_rng(0).integers(20, 200, (4, SIZE, SIZE)).astype(np.uint8)


@pytest.fixture
def clear():
    """True but in the left third."""
    return np.arange(SIZE)[None, :].repeat(SIZE, axis=0) >= SIZE // 3


def cases(folder, values, clear):
    """Files whose pixels are valid where clear, and not in the first four rows where stated."""
    top = values.copy()
    top[:, :4] = 0
    alpha = np.where(clear, 255, 0).astype(np.uint8)[None]
    rows = clear & (np.arange(SIZE)[:, None] >= 4)
    bands = values  # bytes: GDAL takes the fourth of four bands for alpha
    values, top = values[:3], top[:3]
    yield hide(write_file(folder / "m.tif", values), mask=clear), clear
    yield hide(write_file(folder / "b.tif", values), mask=clear, beside=True), clear
    yield hide(write_file(folder / "mn.tif", top, nodata=0), mask=clear), rows
    yield hide(write_file(folder / "mn1.tif", top[:1], nodata=0), mask=clear), rows
    yield hide(write_file(folder / "bn1.tif", top[:1], nodata=0), mask=clear, beside=True), rows
    yield hide(write_file(folder / "a2.tif", np.vstack([values[:1], alpha])), alpha=2), clear
    yield hide(write_file(folder / "a4.tif", np.vstack([values, alpha])), alpha=4), clear
    yield hide(write_file(folder / "a5.tif", np.vstack([bands, alpha])), alpha=5), clear
    yield hide(write_file(folder / "an.tif", np.vstack([top, alpha]), nodata=0), alpha=4), rows
    first = np.arange(SIZE)[:, None] >= 4
    both = hide(write_file(folder / "ma.tif", np.vstack([bands, alpha])), alpha=5)
    yield hide(both, mask=first & np.ones_like(clear)), rows
    floats = np.where(rows, values[:2], -3.4e38).astype(np.float32)
    yield write_file(folder / "f.tif", floats, nodata=-3.4e38), rows
    floats = np.where(first, values[:2], np.nan).astype(np.float32)
    yield hide(write_file(folder / "fm.tif", floats), mask=clear), rows
    one, two = values[0].astype(np.int16), values[1].astype(np.int16)
    one[:4], two[~clear] = 0, -9999
    yield separate(folder, [one, two], [0, -9999]), rows
    folder = folder / "half"
    folder.mkdir()
    yield separate(folder, [values[0].astype(np.int16), two], [None, -9999]), clear


@pytest.mark.parametrize("how", ["nearest", "bilinear", "cubic"])
def test_every_way_to_say_it_is_heeded_copied_and_warped(tmp_path, values, clear, how):
    near = {"nearest": 0, "bilinear": 1, "cubic": 2}[how]
    for path, expected in cases(tmp_path, values, clear):
        plan = images.plan(images.Image(files=(path,), resampling=how))
        with images.opened(plan, plan.grid) as reader:
            assert (reader.read(WHOLE)[1] == expected).all(), path
        with images.opened(plan, SHIFTED) as reader:  # centres stay in their pixels
            _, mask = reader.read(WHOLE)
        assert mask[expected].all(), path
        reached = ndimage.binary_dilation(expected, np.ones((3, 3)), iterations=near)
        assert not mask[~reached].any(), path
        if near == 0:
            assert (mask == expected).all(), path


@pytest.mark.parametrize("how", ["nearest", "bilinear", "cubic", "average", "mode"])
def test_values_come_from_valid_pixels_alone(tmp_path, clear, how):
    flat = np.where(clear, 100, 7).astype(np.uint8)[None].repeat(4, axis=0)
    target = grid.geobox(40, 40, Affine(17, 0, 500_003, 0, -17, 3_999_990), "EPSG:32618")
    for path, _ in cases(tmp_path, flat, clear):
        if path.suffix == ".vrt":
            continue  # a band's own valid pixels count, where another band isn't valid as well
        plan = images.plan(images.Image(files=(path,), resampling=how))
        with images.opened(plan, target) as reader:
            read, mask = reader.read(Window(0, 0, 40, 40))
        assert set(np.unique(read[:, mask])) == {100}, path
        assert 0.4 < mask.mean() < 0.75, path


def test_another_cell_size_and_another_grid_heed_it_too(tmp_path, values, clear):
    for path, expected in cases(tmp_path, values, clear):
        with raster.open_raster(path) as source, raster.at_cell_size(source, 60.0) as coarse:
            _, half = coarse.read(Window(0, 0, SIZE // 2, SIZE // 2))
        valid = expected.reshape(SIZE // 2, 2, SIZE // 2, 2).all(axis=(1, 3))
        assert half[valid].all(), path
        assert not half[~ndimage.binary_dilation(valid, np.ones((3, 3)))].any(), path
        with overlay.on_grid(path, SHIFTED, resampling="nearest", allowed=("nearest",)) as layer:
            _, mask = layer.read(WHOLE)
        assert (mask == expected).all(), path


def test_a_preview_shows_what_is_valid(tmp_path, values, clear):
    for path, expected in cases(tmp_path, values, clear):
        _, mask = raster.preview(path, SIZE)
        assert (mask == expected).all(), path
        _, mask = raster.preview(path, SIZE // 2)
        valid = expected.reshape(SIZE // 2, 2, SIZE // 2, 2)
        assert (mask == valid.all(axis=(1, 3))).all(), path


def test_a_preview_never_mixes_in_a_nodata_value_that_the_user_gives(tmp_path):
    values = np.full((SIZE, SIZE), 100, np.int16)
    values[:, ::2] = -9999
    path = write_file(tmp_path / "i.tif", values)
    with raster.open_raster(path) as source:
        read, mask = raster.read_shrunk(source, WHOLE, (SIZE // 2, SIZE // 2), nodata=-9999)
    assert (read[0][mask] == 100).all()


@pytest.mark.parametrize("nodata", [-1e37, 0.1, 0.0, 1e-30, 12.5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_are_nodata_as_in_gdal(tmp_path, nodata, dtype):
    apart = np.concatenate([[0], 10.0 ** np.arange(-17, 1, 0.3)])
    values = (nodata * (1 - apart))[None].astype(dtype)
    path = write_file(tmp_path / "f.tif", values, nodata=nodata)
    with rasterio.open(path) as source:
        _, mask = raster.read(source, Window(0, 0, 1, len(apart)))
        assert (mask == (source.read_masks(1) > 0)).all()


def test_integers_that_cannot_hold_the_nodata_value_are_all_valid(tmp_path):
    values = np.arange(SIZE * SIZE, dtype=np.int16).reshape(SIZE, SIZE)
    with rasterio.open(write_file(tmp_path / "i.tif", values)) as source:
        for odd in (0.5, 1e9, float("nan"), float("inf")):
            assert raster.read(source, WHOLE, nodata=odd)[1].all()
        assert (~raster.read(source, WHOLE, nodata=3.0)[1]).sum() == 1


def test_an_alpha_band_counts_unless_it_is_taken_as_a_band(tmp_path, values, clear):
    alpha = np.where(clear, 255, 0).astype(np.uint8)[None]
    path = hide(write_file(tmp_path / "a.tif", np.vstack([values[:3], alpha])), alpha=4)
    assert raster.info(path).numbers == (1, 2, 3)
    for bands, shape, whole in (
        (None, 3, False), ((2, 3), 2, False), ((1, 2, 3, 4), 4, True), ((4, 1), 2, True),
    ):  # fmt: skip
        plan = images.plan(images.Image(files=(path,), bands=bands, resampling="nearest"))
        for box in (plan.grid, SHIFTED):
            with images.opened(plan, box) as reader:
                read, mask = reader.read(Window(0, 0, SIZE - 1, SIZE - 1))
            assert len(read) == shape
            assert mask.all() == whole
        with raster.open_raster(path) as source:
            assert raster.read(source, WHOLE, bands)[1].all() == whole


def test_a_fourth_band_with_a_name_of_its_own_is_no_alpha(tmp_path, values):
    names = ["red", "green", "blue", "nir"]
    values[3, :5] = 0
    path = hide(write_file(tmp_path / "i.tif", values, bands=names), alpha=4)
    with rasterio.open(path) as source:
        assert MaskFlags.alpha in source.mask_flag_enums[0]
        assert validity.alpha_of(source) is None
    plan = images.plan(images.Image(files=(path,)))
    assert plan.names == tuple(names)
    for box in (plan.grid, SHIFTED):
        with images.opened(plan, box) as reader:
            read, mask = reader.read(Window(0, 0, SIZE - 1, SIZE - 1))
        assert mask.all()
        assert len(read) == 4
    named = hide(write_file(tmp_path / "n.tif", values, bands=[*names[:3], "Alpha"]), alpha=4)
    assert raster.info(named).alpha == 4


def test_an_alpha_that_is_none_hides_nothing_beside_a_nodata_value(tmp_path, values):
    names = ["red", "green", "blue", "nir"]
    values[3, :5] = 0
    path = hide(write_file(tmp_path / "i.tif", values, bands=names, nodata=255), alpha=4)
    plan = images.plan(images.Image(files=(path,), resampling="nearest"))
    for box in (plan.grid, SHIFTED):
        with images.opened(plan, box) as reader:
            read, mask = reader.read(Window(0, 0, SIZE - 1, SIZE - 1))
        assert mask.all()
        assert (read[:, :20, :20] == values[:, :20, :20]).all()


def test_a_mask_of_ones_hides_nothing(tmp_path, values, clear):
    """Masks beside a file hold what was written; only 0 hides."""
    path = write_file(tmp_path / "i.tif", values[:3])
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as target:
        target.write_mask(clear.astype(np.uint8))
    with raster.open_raster(path) as source:
        assert source.read_masks(1).max() == 1
        assert (raster.read(source, WHOLE)[1] == clear).all()
        own = raster.grid_of(source)
        with raster.on_grid(source, own, SHIFTED, "nearest") as warped:
            assert (warped.read(WHOLE)[1] == clear).all()


@pytest.mark.parametrize("opaque", [1, 2, 255])
def test_a_pixel_with_some_alpha_is_valid(tmp_path, values, clear, opaque):
    alpha = np.where(clear, opaque, 0).astype(np.uint8)[None]
    path = hide(write_file(tmp_path / "a.tif", np.vstack([values[:3], alpha])), alpha=4)
    plan = images.plan(images.Image(files=(path,), resampling="nearest"))
    for box in (plan.grid, SHIFTED):
        with images.opened(plan, box) as reader:
            read, mask = reader.read(WHOLE)
        assert (mask == clear).all()
        assert (read[:, mask] == values[:3, mask]).all()


def test_masks_count_once_where_bands_share_one_and_each_where_they_do_not(tmp_path, values, clear):
    shared = hide(write_file(tmp_path / "m.tif", values[:3]), mask=clear)
    with rasterio.open(shared) as source:
        assert validity.of(source).masks == (1,)
        assert validity.of(source, [3, 2]).masks == (3,)
    together = write_file(tmp_path / "n.tif", values[:3], NODATA_VALUES="7 8 9")
    with rasterio.open(together) as source:
        assert MaskFlags.nodata in source.mask_flag_enums[2]
        assert validity.of(source).masks == (1,)
        assert validity.of(source, nodata=5).masks == ()
    top = np.arange(SIZE)[:, None] >= 4
    for name, valid in (("left", clear), ("top", top & np.ones_like(clear))):
        write_file(tmp_path / f"{name}.tif", np.where(valid, 255, 0).astype(np.uint8))
    write_file(tmp_path / "values.tif", values[:2])

    def source_of(name, band):
        return (
            f'<SimpleSource><SourceFilename relativeToVRT="1">{name}.tif</SourceFilename>'
            f"<SourceBand>{band}</SourceBand></SimpleSource>"
        )

    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{k}">{source_of("values", k)}<MaskBand>'
        f'<VRTRasterBand dataType="Byte">{source_of(name, 1)}</VRTRasterBand></MaskBand>'
        "</VRTRasterBand>"
        for k, name in ((1, "left"), (2, "top"))
    )
    bands += f'<VRTRasterBand dataType="Byte" band="3">{source_of("values", 1)}</VRTRasterBand>'
    (tmp_path / "own.vrt").write_text(
        f'<VRTDataset rasterXSize="{SIZE}" rasterYSize="{SIZE}"><SRS>EPSG:32618</SRS>'
        f"<GeoTransform>500000,30,0,4000000,0,-30</GeoTransform>{bands}</VRTDataset>"
    )
    with rasterio.open(tmp_path / "own.vrt") as source:
        assert validity.of(source).masks == (1, 2)
        none = np.ones_like(clear)
        for chosen, expected in (
            ([1], clear), ([2], top), ([3], none), ([1, 2], clear & top), ([3, 2], top),
        ):  # fmt: skip
            assert (raster.read(source, WHOLE, chosen)[1] == expected).all()
            plan = images.plan(
                images.Image(
                    files=(tmp_path / "own.vrt",), bands=tuple(chosen), resampling="nearest"
                )
            )
            with images.opened(plan, SHIFTED) as reader:
                assert (reader.read(WHOLE)[1] == expected).all()


def test_the_user_s_nodata_takes_the_place_of_the_file_s_beside_its_mask(tmp_path, values, clear):
    values[:, :4] = 9
    values[:, 4:8] = 0
    path = hide(write_file(tmp_path / "i.tif", values[:3], nodata=0), mask=clear)
    expected = clear & (values[0] != 9)
    plan = images.plan(images.Image(files=(path,), nodata=9, resampling="nearest"))
    with images.opened(plan, plan.grid) as reader:
        assert (reader.read(WHOLE)[1] == expected).all()
    with images.opened(plan, SHIFTED) as reader:
        _, mask = reader.read(WHOLE)
    assert (mask == expected).all()


def test_a_value_beside_the_file_s_nodata_is_never_mixed_in(tmp_path):
    values = np.full((1, SIZE, SIZE), 100, np.int16)
    values[:, 5:9, 5:9], values[:, 15:19, 15:19] = -1, 30_000
    path = write_file(tmp_path / "i.tif", values, nodata=-1)
    for how in ("bilinear", "cubic", "average"):
        with overlay.on_grid(path, SHIFTED, resampling=how, nodata=30_000, allowed=(how,)) as layer:
            read, mask = layer.read(WHOLE)
        assert set(np.unique(read[0][mask])) == {100}
        assert not mask[6, 6]
        assert not mask[16, 16]


@pytest.mark.parametrize("beside", [False, True])
def test_a_value_given_twice_is_never_mixed_in_beside_a_mask(tmp_path, clear, beside):
    flat = np.full((SIZE, SIZE), 100, np.uint8)
    flat[:4] = 0
    flat[~clear] = 7
    path = hide(write_file(tmp_path / "i.tif", flat, nodata=0), mask=clear, beside=beside)
    with overlay.on_grid(
        path, SHIFTED, resampling="bilinear", nodata=0, allowed=("bilinear",)
    ) as layer:
        read, mask = layer.read(WHOLE)
    assert set(np.unique(read[0][mask])) == {100}
    assert mask[6:-1, SIZE // 3 + 1 : -1].all()
    assert not mask[:3].any()
    assert not mask[:, : SIZE // 3 - 1].any()


def test_tiles_differences_and_normalised_images_heed_it_too(tmp_path, values, clear):
    (tmp_path / "out").mkdir()
    for number, (path, expected) in enumerate(cases(tmp_path, values, clear)):
        out = tmp_path / "out" / f"{number}.tif"
        assert difference(path, path, out).valid == expected.sum(), path
        info = raster.info(path)
        with raster.open_raster(path) as source:
            read, _ = raster.read(source, WHOLE)
        reference = write_file(out.with_suffix(".like.tif"), np.nan_to_num(read).clip(1) * 2.0)
        normalised = out.with_suffix(".normalised.tif")
        assert normalise(path, reference, normalised).pixels == expected.sum(), path
        with raster.open_raster(normalised) as source:
            assert (raster.read(source, WHOLE)[1] == expected).all(), path
        labels = write_file(out.with_suffix(".labels.tif"), np.ones((SIZE, SIZE), np.uint8))
        tiles = cut_tiles(
            [path], [labels], out.with_suffix(""), classes=ClassScheme.from_mapping({1: "a"}),
            tile_size=SIZE, stride=SIZE,
        )  # fmt: skip
        tile, mask, _ = tileset.read_tile(tiles.tiles[0])
        assert (mask == expected).all(), path
        assert len(tile) == len(info.numbers), path


def rgba(folder, name, values, clear):
    alpha = np.where(clear, 255, 0).astype(np.uint8)[None]
    return hide(write_file(folder / name, np.vstack([values[:3], alpha])), alpha=4)


def test_alpha_is_no_fourth_band_of_difference_normalise_and_tiles(tmp_path, values, clear):
    before = rgba(tmp_path, "b.tif", values, clear)
    after = write_file(tmp_path / "a.tif", np.clip(values[:3], 0, 100) + 50)
    outcome = difference(before, after, tmp_path / "d.tif")
    assert len(outcome.statistics) == 3
    assert outcome.valid == clear.sum()
    result = normalise(before, after, tmp_path / "n.tif")
    assert result.pixels == clear.sum()
    with rasterio.open(tmp_path / "n.tif") as tiles:
        assert tiles.count == 3
        assert (tiles.dataset_mask() > 0).sum() == clear.sum()
    labels = write_file(tmp_path / "l.tif", np.ones((SIZE, SIZE), np.uint8))
    tiles = cut_tiles(
        [before], [labels], tmp_path / "set", classes=ClassScheme.from_mapping({1: "a"}),
        tile_size=SIZE, stride=SIZE,
    )  # fmt: skip
    assert len(tiles.bands) == 3
    read, mask, _ = tileset.read_tile(tiles.tiles[0])
    assert read.shape[0] == 3
    assert (mask == clear).all()


def test_masked_class_maps_are_labelled_where_both_are_valid(tmp_path, clear):
    maps = np.random.default_rng(1).integers(1, 4, (2, SIZE, SIZE)).astype(np.uint8)
    before = write_file(tmp_path / "b.tif", maps[0], origin=(500_010.0, 3_999_990.0))
    after = maps[1]
    after[:4] = 255
    after = hide(write_file(tmp_path / "a.tif", after, nodata=255), mask=clear)
    label(before, after, tmp_path / "c.tif", reading=MapReading(resampling="nearest"), classes=None)
    with rasterio.open(tmp_path / "c.tif") as result:
        codes = result.read(1)
    assert (codes[:, : SIZE // 3 - 1] == 0).all()
    assert (codes[:3] == 0).all()
    assert (codes[5:, SIZE // 3 + 1 :] > 0).all()


def test_a_composite_of_bands_with_nodata_of_their_own_equals_that_of_their_files(tmp_path, clear):
    random = np.random.default_rng(2)
    one = random.integers(100, 3000, (SIZE, SIZE)).astype(np.float32)
    two = random.uniform(1, 50, (SIZE, SIZE)).astype(np.float32)
    one[:5], two[~clear] = 0, -9999
    stacked = separate(tmp_path, [one, two], [0, -9999])
    like = write_file(
        tmp_path / "like.tif", np.zeros((SIZE, SIZE), np.uint8), origin=(500_010.0, 3_999_990.0)
    )
    parts = images.Image(files=(tmp_path / "part1.tif", tmp_path / "part2.tif"))
    # GDAL fills a band's edge by one pixel more where the file has other bands
    parts = replace(parts, resampling="nearest")
    stacked = images.Image(files=(stacked,), resampling="nearest")
    for name, options in (("copied", {}), ("warped", {"target": TargetGrid(like=like)})):
        result = []
        for k, what in enumerate((stacked, parts)):
            with rasterio.open(composite([what], tmp_path / f"{name}{k}.tif", **options)) as file:
                result.append((file.read(), file.dataset_mask() > 0))
        (first, mask), (second, again) = result
        assert (mask == again).all()
        assert mask.any()
        assert (first[:, mask] == second[:, mask]).all()


def test_points_of_control_keep_the_mask_and_the_nodata_value(tmp_path, values, clear):
    from rasterio.control import GroundControlPoint
    from rasterio.transform import from_gcps

    corners = [(0, 0), (0, SIZE), (SIZE, 0), (SIZE, SIZE)]
    points = [
        GroundControlPoint(row=r, col=c, x=500_000 + 30 * c, y=4_000_000 - 30 * r)
        for r, c in corners
    ]
    assert from_gcps(points).a == pytest.approx(30)
    values[:, :4] = 0
    path = tmp_path / "g.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(
        path, "w", driver="GTiff", count=1, height=SIZE, width=SIZE, dtype="uint8", nodata=0,
        gcps=points, crs="EPSG:32618",
    ) as target:  # fmt: skip
        target.write(values[:1])
        target.write_mask(np.where(clear, 255, 0).astype(np.uint8))
    plan = images.plan(images.Image(files=(path,)))
    with images.opened(plan, plan.grid) as reader:
        _, mask = reader.read(Window(0, 0, *plan.grid.shape))
    expected = clear & (np.arange(SIZE)[:, None] >= 4)
    assert abs(int(mask.sum()) - int(expected.sum())) <= 2 * SIZE
    assert not mask[:, : SIZE // 3 - 1].any()
    assert not mask[:3].any()


def test_the_checks_of_a_composite_count_what_is_valid(tmp_path, values, clear):
    alpha = np.where(clear, 255, 0).astype(np.uint8)[None]
    path = hide(write_file(tmp_path / "a.tif", np.vstack([values, alpha])), alpha=5)
    with rasterio.open(composite([path], tmp_path / "c.tif")) as result:
        checks = json.loads(result.tags()["LANDSHIFT_PROVENANCE"])["checks"]
        assert result.count == 4
    assert checks["valid"]["all"] == pytest.approx(2 / 3, abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    dtype=st.sampled_from(["uint8", "int16", "uint16", "float32", "float64"]),
    count=st.integers(1, 5),
    nodata=st.sampled_from([None, 0, 7, 200.0]),
    masked=st.booleans(),
    beside=st.booleans(),
    opaque=st.sampled_from([0, 1, 200]),  # 0: no alpha band
    users=st.sampled_from([None, 7]),
    seed=st.integers(0, 99),
)
def test_copied_and_warped_masks_equal_numpys(
    tmp_path_factory, dtype, count, nodata, masked, beside, opaque, users, seed
):
    random = np.random.default_rng(seed)
    values = random.integers(1, 250, (count, SIZE, SIZE)).astype(dtype)
    for value in (0, 7, 200):
        values[random.random(values.shape) < 0.08] = value
    if dtype.startswith("float"):
        values[random.random(values.shape) < 0.05] = np.nan
    mask, alpha = random.random((2, SIZE, SIZE)) < 0.8
    with_alpha = opaque > 0
    bands = values
    if with_alpha:
        bands = np.concatenate([values, np.where(alpha, opaque, 0).astype(dtype)[None]])
    path = write_file(tmp_path_factory.mktemp("v") / "i.tif", bands, nodata=nodata)
    if with_alpha or masked:
        hide(path, mask=mask if masked else None, beside=beside, alpha=len(bands) * with_alpha)
    wild = not with_alpha and len(bands) == 4 and dtype == "uint8"  # taken for alpha by GDAL
    if wild:
        values, alpha = bands[:3], bands[3] > 0
    none = nodata if users is None else users
    expected = np.isfinite(values).all(axis=0)
    if none is not None:
        expected &= (values != none).all(axis=0)
    if masked:
        expected &= mask
    if with_alpha or wild:
        expected &= alpha
    plan = images.plan(images.Image(files=(path,), nodata=users, resampling="nearest"))
    for box in (plan.grid, SHIFTED):
        with images.opened(plan, box) as reader:
            read, valid = reader.read(WHOLE)
        assert (valid == expected).all()
        assert (read[:, valid] == values[:, valid]).all()
