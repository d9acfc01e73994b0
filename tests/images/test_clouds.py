"""Clouds that a network finds."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

import landshift
from landshift import images, raster
from landshift.errors import BandError, ParameterError, RasterError
from landshift.files import provenance
from landshift.images import clouds
from landshift.machine import extras

NAMES = ("blue", "green", "red", "nir", "swir1", "swir2")
CHIAPAS = Path(__file__).parents[3] / "shared" / "data" / "chiapas_l7"


@pytest.fixture
def chiapas(tmp_path):
    """The image of 2002 with names, and its Fmask."""
    if not CHIAPAS.is_dir():
        pytest.skip("the images of Chiapas aren't here")
    with rasterio.open(CHIAPAS / "t2_20020416.tif") as source:
        values, profile = source.read(), source.profile
    path = tmp_path / "chiapas.tif"
    with rasterio.open(path, "w", **profile | {"count": 8}) as target:
        target.write(values)
        target.descriptions = (*NAMES, "thermal", "fmask")
    return path, values


def image(path, values, names=NAMES):
    """A raster of 30 m."""
    profile = {
        "driver": "GTiff", "height": values.shape[1], "width": values.shape[2],
        "dtype": values.dtype,
        "count": len(values), "crs": "EPSG:32615", "nodata": -9999,
        "transform": rasterio.Affine(30, 0, 500_000, 0, -30, 1_800_000),
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as target:
        target.write(values)
        target.descriptions = names
    return path


def test_clouds_of_a_real_image_are_hidden(chiapas, tmp_path):
    """Fmask is a peer: most of its clouds, and little that it calls clear."""
    path, values = chiapas
    out = tmp_path / "out.tif"
    reading = landshift.ImageReading(select=",".join(NAMES), mask_clouds=0.0001)
    landshift.composite([path], out, reading=reading)
    with rasterio.open(out) as source:
        hidden = source.read(1) == source.nodata
        tags = source.tags()
    valid, fmask = (values[:6] > -9000).all(axis=0), values[7]
    assert hidden[valid & (fmask == 4)].mean() > 0.6
    assert hidden[valid & (fmask == 0)].mean() < 0.02
    share = provenance.from_tags(tags)["parameters"]["clouds"]["hidden"]
    assert sum(share.values()) == pytest.approx(hidden[valid].mean(), abs=1e-6)


def test_a_quality_band_hides_besides(chiapas, tmp_path):
    path, _ = chiapas
    hidden = {}
    for name, options in {
        "both": {"mask_clouds": 0.0001, "mask_qa": ["fmask=shadow,cloud"]},
        "quality": {"mask_qa": ["fmask=shadow,cloud"]},
        "network": {"mask_clouds": 0.0001},
    }.items():
        reading = landshift.ImageReading(select=",".join(NAMES), **options)
        out = landshift.composite([path], tmp_path / f"{name}.tif", reading=reading)
        with rasterio.open(out) as source:
            hidden[name] = source.read(1) == source.nodata
    assert (hidden["both"] == (hidden["quality"] | hidden["network"])).all()
    assert hidden["both"].sum() > hidden["quality"].sum() > 0


def test_the_mask_has_the_pixels_of_its_grid(tmp_path):
    """Also where the grid is smaller than a tile, and no multiple of its step."""
    values = np.full((6, 200, 70), 800, np.int16)
    values[:, :20, :] = -9999
    path = image(tmp_path / "image.tif", values)
    plan = images.plan(images.Image((path,)))
    with_mask, share = clouds.hidden(plan, raster.info(path).grid, 0.0001, tmp_path / "mask.tif")
    with rasterio.open(tmp_path / "mask.tif") as source:
        mask = source.read(1)
    assert ((mask == clouds.NODATA) == (values[0] == -9999)).all()
    assert 0 <= share <= 1
    assert len(with_mask.quality) == 1


def test_four_bands_are_enough(tmp_path):
    path = image(tmp_path / "image.tif", np.full((4, 32, 32), 0.1, np.float32), NAMES[:4])
    plan = images.plan(images.Image((path,)))
    clouds.hidden(plan, raster.info(path).grid, 1, tmp_path / "mask.tif")


@pytest.mark.parametrize("factor", [1, 0.1])
def test_values_that_are_no_reflectance_are_refused(factor, tmp_path):
    path = image(tmp_path / "image.tif", np.full((6, 32, 32), 900, np.int16))
    with pytest.raises(RasterError, match=r"found in reflectance, .* got a median of 9"):
        landshift.composite(
            [path], tmp_path / "out.tif", reading=landshift.ImageReading(mask_clouds=factor)
        )
    assert not (tmp_path / "out.tif").exists()


def test_bands_must_be_named(tmp_path):
    names = ("band 1", "green", "red", "nir", "swir1", "swir2")
    path = image(tmp_path / "image.tif", np.full((6, 32, 32), 900, np.int16), names)
    with pytest.raises(BandError, match="got none named blue among band 1, green"):
        landshift.composite(
            [path], tmp_path / "out.tif", reading=landshift.ImageReading(mask_clouds=0.0001)
        )


@pytest.mark.parametrize("factor", [0, -1, 2, float("nan")])
def test_a_factor_is_between_0_and_1(factor, tmp_path):
    path = image(tmp_path / "image.tif", np.full((6, 32, 32), 900, np.int16))
    with pytest.raises(ParameterError, match="`mask_clouds` must be above 0 and at most 1"):
        landshift.composite(
            [path], tmp_path / "out.tif", reading=landshift.ImageReading(mask_clouds=factor)
        )


def test_without_the_extra_a_line_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ukis_csmask", None)
    with pytest.raises(ParameterError, match=r"pip install 'landshift\[clouds\]'"):
        extras.required("ukis_csmask", "clouds", "The search for clouds")
    path = image(tmp_path / "image.tif", np.full((6, 32, 32), 900, np.int16))
    with pytest.raises(ParameterError, match=r"landshift\[clouds\]"):
        landshift.composite(
            [path], tmp_path / "out.tif", reading=landshift.ImageReading(mask_clouds=0.0001)
        )
