"""Clouds that a network finds."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from scipy import ndimage

import landshift
from landshift import grid, images, raster
from landshift.errors import BandError, ParameterError, RasterError
from landshift.files import provenance
from landshift.grid import Window
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


def image(path, values, names=NAMES, nodata=-9999):
    """A raster of 30 m."""
    profile = {
        "driver": "GTiff", "height": values.shape[1], "width": values.shape[2],
        "dtype": values.dtype,
        "count": len(values), "crs": "EPSG:32615", "nodata": nodata,
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
    assert hidden[valid & (fmask == 4)].mean() > 0.85
    assert hidden[valid & (fmask == 2)].mean() > 0.7
    assert hidden[valid & (fmask == 0)].mean() < 0.04
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


def test_a_mask_does_not_depend_on_blocks(chiapas, tmp_path):
    """A grid that starts one tile further on has the same mask, but around its own edges."""
    _, values = chiapas
    wide = np.pad(values[:6], ((0, 0), (390, 0), (390, 0)), mode="symmetric")
    path = image(tmp_path / "image.tif", wide)
    whole = raster.info(path).grid
    masks = []
    for number, first in enumerate((0, 192)):
        box = grid.window_geobox(whole, Window(first, first, 640 - first, 640 - first))
        mask = tmp_path / f"{number}.tif"
        clouds.hidden(images.plan(images.Image((path,))), box, 0.0001, mask)
        with rasterio.open(mask) as source:
            masks.append(source.read(1))
    assert (masks[0][384:, 384:] == masks[1][192:, 192:]).all()
    assert len(np.unique(masks[0][384:, 384:])) > 3


def test_edges_are_those_of_clouds_and_shadows(chiapas, tmp_path):
    """What a network sees in pixels without data hides no pixel beside them."""
    _, values = chiapas
    values = values[:6].copy()
    values[:, 40:200:9, :] = -9999
    path = image(tmp_path / "image.tif", values)
    clouds.hidden(
        images.plan(images.Image((path,))), raster.info(path).grid, 0.0001, tmp_path / "mask.tif"
    )
    with rasterio.open(tmp_path / "mask.tif") as source:
        mask = source.read(1)
    near = ndimage.binary_dilation(np.isin(mask, (clouds.CLOUD, clouds.SHADOW)), iterations=4)
    assert (mask == clouds.EDGE).sum() > 100
    assert near[mask == clouds.EDGE].all()


@pytest.mark.parametrize("factor", [1, 0.1])
def test_values_that_are_no_reflectance_are_refused(factor, tmp_path):
    path = image(tmp_path / "image.tif", np.full((6, 32, 32), 900, np.int16))
    with pytest.raises(RasterError, match=r"found in reflectance, .* got a median of 9"):
        landshift.composite(
            [path], tmp_path / "out.tif", reading=landshift.ImageReading(mask_clouds=factor)
        )
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize(
    ("dtype", "value", "got"),
    [("uint8", 90, "got 8-bit values"), ("uint16", 9000, "got no value below 0.9 of")],
)
def test_values_that_are_stretched_or_have_an_offset_are_refused(tmp_path, dtype, value, got):
    """Landsat's stored values, times 0.0001, would all look like clouds."""
    values = np.full((6, 32, 32), value, dtype)
    path = image(tmp_path / "image.tif", values, nodata=0)
    with pytest.raises(RasterError, match=got):
        landshift.composite(
            [path], tmp_path / "out.tif", reading=landshift.ImageReading(mask_clouds=0.0001)
        )
    assert not (tmp_path / "out.tif").exists()


def test_the_narrow_band_serves_where_there_is_no_other(tmp_path):
    names = ("blue", "green", "red", "nir08", "swir16", "swir22")
    path = image(tmp_path / "image.tif", np.full((6, 32, 32), 900, np.int16), names)
    plan = images.plan(images.Image((path,)))
    clouds.hidden(plan, plan.grid, 0.0001, tmp_path / "mask.tif")


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
