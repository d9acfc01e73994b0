"""Bad input to a model's run over a raster: one clear line, or the right result."""

import shutil

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp

from landshift import raster
from landshift.classification import classify_pixels
from landshift.errors import BandError, OutputError, ParameterError
from scenes import BANDS, striped_scene, write

OPTIONS = {"padding": 16, "tile_size": 64, "engine": "torch", "precision": "float32"}


def read(path):
    with rasterio.open(path) as source:
        return source.read(1)


def test_missing_band_names_are_named(trained, write_raster, tmp_path):
    values, _ = striped_scene(32)
    names = [*BANDS[:5], "after:nir"]
    image = write_raster("other.tif", values, bands=names)
    with pytest.raises(BandError, match=r"must have the bands .*after:blue, got .*after:nir"):
        classify_pixels(image, trained, tmp_path / "map.tif", **OPTIONS)


def test_an_alpha_band_that_gdal_does_not_heed_hides_pixels(trained, write_raster, tmp_path):
    values, _ = striped_scene(32)
    alpha = np.full((1, 32, 32), 65535, np.uint16)
    alpha[0, :, :7] = 0
    image = write_raster("alpha.tif", np.concatenate([values, alpha]), bands=BANDS)
    with rasterio.open(image, "r+") as target:
        target.colorinterp = [*target.colorinterp[:6], ColorInterp.alpha]
    codes = read(classify_pixels(image, trained, tmp_path / "map.tif", **OPTIONS))
    assert (codes[:, :7] == 0).all()
    assert (codes[:, 7:] > 0).all()


def test_a_nodata_value_that_is_not_declared_is_told_in_figures(
    trained, write_raster, tmp_path, caplog
):
    values = striped_scene(32)[0].astype(np.float64)
    values[:, :5] = np.finfo(np.float64).min
    image = write_raster("undeclared.tif", values, bands=BANDS)
    classify_pixels(image, trained, tmp_path / "map.tif", **OPTIONS)
    assert "before:red -inf" in caplog.text
    assert "check units, bands, sensor and nodata" in caplog.text


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (3, 100)])
def test_a_raster_smaller_than_the_padding_is_mapped_whole(trained, write_raster, tmp_path, shape):
    values, _ = striped_scene(112)
    image = write_raster("small.tif", values[:, : shape[0], : shape[1]], nodata=0, bands=BANDS)
    codes = read(classify_pixels(image, trained, tmp_path / "map.tif", **OPTIONS))
    assert codes.shape == shape
    assert (codes > 0).all()


def test_the_map_never_overwrites_what_it_is_made_from(scene, saved, tmp_path):
    image = tmp_path / "map_confidence.tif"
    shutil.copy(scene[0], image)
    model = tmp_path / "model"
    shutil.copytree(saved.parent, model)
    before = {p: p.read_bytes() for p in [image, *model.iterdir()]}
    (tmp_path / "link.tif").symlink_to(image)
    (tmp_path / "folder").mkdir()
    rasterio.shutil.copy(image, tmp_path / "stack.vrt", driver="VRT")
    shutil.copy(tmp_path / "stack.vrt", tmp_path / "first.vrt")
    rasterio.shutil.copy(tmp_path / "first.vrt", tmp_path / "nested.vrt", driver="VRT")
    for source, out, layers in (
        (image, image, ()),
        (image, tmp_path / "link.tif", ()),
        (tmp_path / "link.tif", image, ()),
        (image, tmp_path / "folder" / ".." / image.name, ()),
        (image, tmp_path / "map.tif", ("confidence",)),
        (tmp_path / "stack.vrt", image, ()),
        (tmp_path / "nested.vrt", image, ()),
        (image, model / "small.dlpk", ()),
        (image, model / "small.safetensors", ()),
        (image, model / "small.emd", ()),
    ):
        for path in (model, model / "small.emd"):
            with pytest.raises(ParameterError, match="must not overwrite its input"):
                classify_pixels(source, path, out, layers=layers, **OPTIONS, overwrite=True)
    with pytest.raises(ParameterError, match="must not overwrite its input"):
        classify_pixels(image, model / "small.dlpk", model / "small.dlpk", **OPTIONS)
    assert {p: p.read_bytes() for p in before} == before


def test_dates_and_polygons_are_not_overwritten_either(trained, write_raster, tmp_path):
    values, _ = striped_scene(32)
    dates = [
        write_raster(f"{name}.tif", values[k : k + 3], nodata=0, bands=["red", "green", "blue"])
        for name, k in (("before", 0), ("after", 3))
    ]
    rasterio.shutil.copy(dates[0], tmp_path / "before.vrt", driver="VRT")
    for out in dates:
        with pytest.raises(ParameterError, match="must not overwrite its input"):
            classify_pixels(
                [tmp_path / "before.vrt", dates[1]], trained, out, **OPTIONS, overwrite=True
            )


def test_a_mosaic_of_blocks_says_what_one_file_says(scene, trained, tmp_path):
    options = {**OPTIONS, "layers": ("confidence",)}
    one = classify_pixels(scene[0], trained, tmp_path / "one" / "map.tif", **options)
    out = classify_pixels(
        scene[0], trained, tmp_path / "here" / "map.vrt", mosaic="vrt", **options
    )  # fmt: skip
    moved = tmp_path / "there"
    out.parent.rename(moved)
    for name in ("map", "map_confidence"):
        with (
            rasterio.open(one.parent / f"{name}.tif") as whole,
            rasterio.open(moved / f"{name}.vrt") as mosaic,
        ):
            assert (mosaic.read() == whole.read()).all()
            assert (mosaic.crs, mosaic.transform) == (whole.crs, whole.transform)
            assert (mosaic.nodata, mosaic.scales) == (whole.nodata, whole.scales)
            assert mosaic.descriptions == whole.descriptions
            if name == "map":
                for value in (0, 1, 2):  # a GeoTIFF keeps no transparency of the others
                    assert mosaic.colormap(1)[value] == whole.colormap(1)[value]
            for block in (moved / f"{name}_blocks").iterdir():
                with rasterio.open(block) as source:
                    assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
                    assert source.nodata == whole.nodata
    table = (one.parent / "map.tif.aux.xml").read_text()
    assert (moved / "map.vrt.aux.xml").read_text() == table
    assert raster.scheme_of(moved / "map.vrt") == trained.model.scheme
    assert not any(p.name.startswith(".") for p in moved.iterdir())


def test_what_killed_workers_left_among_blocks_goes(scene, trained, tmp_path):
    out = tmp_path / "map.vrt"

    def leave(progress):
        for folder in (tmp_path / ".map.vrt.partial" / "whole").glob("*/class"):
            (folder / "..0000000.elsewhere.part9.elsewhere.part9.draft.1.tif").touch()

    classify_pixels(scene[0], trained, out, mosaic="vrt", on_block=leave, **OPTIONS)
    assert [p.name for p in (tmp_path / "map_blocks").iterdir()] == ["0000000.tif"]


def test_a_mosaic_replaces_an_earlier_one_and_nothing_else(scene, trained, write_raster, tmp_path):
    out = tmp_path / "map.vrt"
    classify_pixels(scene[0], trained, out, mosaic="vrt", **OPTIONS)
    values, _ = striped_scene(48)
    image = write_raster("small.tif", values, nodata=0, bands=BANDS)
    classify_pixels(image, trained, out, mosaic="vrt", **OPTIONS, overwrite=True)
    assert read(out).shape == (48, 48)
    assert len(list((tmp_path / "map_blocks").iterdir())) == 1
    (tmp_path / "map_blocks" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"folder of their own, got .*notes\.txt"):
        classify_pixels(image, trained, out, mosaic="vrt", **OPTIONS)
    for name, mosaic in (("map.tif", "vrt"), ("map.vrt", "cog")):
        with pytest.raises(ParameterError, match=r"must end in \.vrt if `mosaic` is 'vrt'"):
            classify_pixels(image, trained, tmp_path / name, mosaic=mosaic, **OPTIONS)
    with pytest.raises(ParameterError, match="`mosaic` must be one of cog, vrt"):
        classify_pixels(image, trained, out, mosaic="zarr", **OPTIONS)


@pytest.mark.parametrize("mosaic", ["cog", "vrt"])
def test_a_full_disk_at_a_block_or_at_the_end_is_taken_up(trained, disk, tmp_path, mosaic):
    values, _ = striped_scene(64)
    values = np.tile(values, (1, 50, 1))
    image = write(tmp_path / "tall.tif", values, nodata=0, bands=BANDS)
    options = {**OPTIONS, "mosaic": mosaic}
    name = "map.tif" if mosaic == "cog" else "map.vrt"
    expected = read(classify_pixels(image, trained, tmp_path / name, **options))
    folder = disk(1024)
    out, ballast = folder / name, folder / "ballast"

    def fill(after):
        def on_block(progress):
            if progress.done == after and not ballast.exists():
                with ballast.open("wb", buffering=0) as file:
                    for size in (4096, 1):
                        try:
                            while True:
                                file.write(bytes(size))
                        except OSError:
                            pass

        return on_block

    for after in (1, 4):
        with pytest.raises(OutputError, match=r"must be writable, got .*make room"):
            classify_pixels(image, trained, out, on_block=fill(after), **options)
        assert not out.exists()
        ballast.unlink()
    seen = []
    classify_pixels(image, trained, out, on_block=seen.append, **options)
    assert [p.done for p in seen] == [4]
    assert (read(out) == expected).all()
    assert not list(folder.glob(".*"))
