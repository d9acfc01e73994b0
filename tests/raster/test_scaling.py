"""Scale and offset are each file's and each band's own, never those of the first."""

import json
import logging

import numpy as np
import pytest
import rasterio

from landshift.grid import Window
from landshift.images import Image, opened, plan
from landshift.prepare.composite import TargetGrid, composite
from landshift.prepare.difference import difference
from landshift.prepare.normalise import normalise
from scenes import striped_scene

SHAPE = (8, 10)
OPTIONS = {"padding": 16, "tile_size": 64, "engine": "torch", "precision": "float32"}


@pytest.fixture
def tagged(write_raster):
    """Write a raster whose bands carry scales and offsets."""

    def write_tagged(name, values, scales=(), offsets=(), **options):
        path = write_raster(name, values, **options)
        with rasterio.open(path, "r+") as target:
            if scales:
                target.scales, target.offsets = scales, offsets
        return path

    return write_tagged


def reflectance(seed=0):
    return np.random.default_rng(seed).uniform(0.02, 0.4, SHAPE)


def stored(values, offset):
    return np.round((values - offset) * 1e4).astype(np.uint16)[np.newaxis]


def read(path):
    with rasterio.open(path) as source:
        return source.read(), source.scales, source.offsets


@pytest.fixture
def halves(tagged):
    """Two tiles side by side, of Sentinel-2's baselines before and from 04.00 on."""
    truth = reflectance()
    left = tagged("t1.tif", stored(truth[:, :5], 0.0), [1e-4], [0.0], nodata=0, bands=["B04"])
    right = tagged(
        "t2.tif", stored(truth[:, 5:], -0.1), [1e-4], [-0.1], nodata=0, bands=["B04"],
        origin=(500_150.0, 4_000_000.0),
    )  # fmt: skip
    return truth, (left, right)


@pytest.mark.parametrize("shift", [0.0, 10.0])
def test_tiles_of_a_mosaic_are_scaled_by_their_own_tags(halves, shift, tmp_path):
    truth, files = halves
    image = Image(files=files, scaled=True, resampling="nearest")
    bounds = (500_000.0 + shift, 3_999_760.0, 500_300.0 + shift, 4_000_000.0)
    out = composite([image], tmp_path / "c.tif", target=TargetGrid(extent="union", bounds=bounds))
    values, scales, _ = read(out)
    assert values[0] == pytest.approx(truth, abs=1e-4)
    assert scales == (1,)


def test_tiles_joined_as_stored_are_warned_of_and_carry_no_tag(halves, tmp_path, caplog):
    _, files = halves
    values, scales, offsets = read(
        composite([Image(files=files)], tmp_path / "c.tif", target=TargetGrid(extent="union"))
    )
    assert values.shape == (1, *SHAPE)
    assert (scales, offsets) == ((1,), (0,))
    assert "Files of date1 state different scales or offsets in B04" in caplog.text
    assert "composite with `scaled`" in caplog.text


def test_dates_whose_tags_differ_are_warned_of_unless_they_are_applied(tagged, tmp_path, caplog):
    truth = np.stack([reflectance(1), reflectance(2)])
    names = ["red", "nir"]
    before = tagged(
        "b.tif", np.vstack([stored(t, 0.0) for t in truth]), [1e-4] * 2, [0.0] * 2, bands=names
    )
    after = tagged(
        "a.tif", np.vstack([stored(truth[0], 0.0), stored(truth[1], -0.1)]), [1e-4] * 2,
        [0.0, -0.1], bands=names,
    )  # fmt: skip
    _, scales, offsets = read(composite([before, after], tmp_path / "c.tif"))
    assert scales == pytest.approx([1e-4] * 4)
    assert offsets == pytest.approx([0, 0, 0, -0.1])
    assert "before and after state different scales or offsets in nir" in caplog.text
    caplog.clear()
    images = [Image(files=(f,), scaled=True) for f in (before, after)]
    values, scales, _ = read(composite(images, tmp_path / "s.tif"))
    assert values[:2] == pytest.approx(values[2:], abs=1.01e-4)
    assert scales == (1,) * 4
    assert not [r for r in caplog.records if "scales" in r.message]
    composite([images[0], Image(files=(after,))], tmp_path / "m.tif")
    assert "in red, nir" in caplog.text


def test_subtracted_images_whose_tags_differ_are_warned_of(tagged, tmp_path, caplog):
    truth = reflectance()
    before = tagged("b.tif", stored(truth, 0.0), [1e-4], [0.0], bands=["red"])
    after = tagged("a.tif", stored(truth, -0.1), [1e-4], [-0.1], bands=["red"])
    same = tagged("s.tif", stored(truth, 0.0), [1e-4], [0.0], bands=["red"])
    difference(before, same, tmp_path / "0.tif")
    assert not caplog.records
    difference(before, after, tmp_path / "1.tif")
    assert "state different scales or offsets in red, and are compared as stored" in caplog.text


def test_normalise_keeps_scale_and_offset(tagged, tmp_path, caplog):
    truth = np.stack([reflectance(1), reflectance(2)])
    own = [stored(t * 0.8, -0.1) for t in truth]
    theirs = [stored(t, 0.0) for t in truth]
    tags = ([1e-4, 2e-4], [-0.1, 0.0])
    image = tagged("i.tif", np.vstack(own), *tags)
    plain = tagged("p.tif", np.vstack(theirs))
    alike = tagged("l.tif", np.vstack(theirs), *tags)
    other = tagged("o.tif", np.vstack(theirs), [1e-4, 1e-4], [0.0, 0.0])
    for k, like in enumerate((plain, alike)):
        normalise(image, like, tmp_path / f"{k}.tif")
        _, scales, offsets = read(tmp_path / f"{k}.tif")
        assert (scales, offsets) == (pytest.approx(tags[0]), pytest.approx(tags[1]))
    assert not caplog.records
    normalise(image, other, tmp_path / "2.tif")
    values, scales, offsets = read(tmp_path / "2.tif")
    means = values.mean(axis=(1, 2)) * scales + offsets
    assert means == pytest.approx(truth.mean(axis=(1, 2)), rel=1e-3)  # those of the reference
    assert "the result has those of the latter" in caplog.text


def item(folder, *, applied, offset=-0.1):
    path = folder / f"item_{applied}.json"
    bands = [{"scale": 1e-4, "offset": offset}, {"scale": 2e-4, "offset": 0.5}]
    names = [{"name": "B04", "common_name": "red"}, {"name": "B08", "common_name": "nir"}]
    properties = {"datetime": "2022-07-01T10:00:00Z"}
    if applied is not None:
        properties["earthsearch:boa_offset_applied"] = applied
    assets = {"data": {"href": "./i.tif", "eo:bands": names, "raster:bands": bands}}
    path.write_text(
        json.dumps(
            {
                "type": "Feature", "stac_version": "1.0.0", "id": "S2", "geometry": None,
                "properties": properties, "links": [], "stac_extensions": [], "assets": assets,
            }
        )
    )  # fmt: skip
    return path


@pytest.mark.parametrize(
    ("applied", "offsets"), [(True, (0.0, 0.0)), (False, (-0.1, 0.5)), (None, (-0.1, 0.5))]
)
def test_an_offset_that_is_in_the_pixels_is_not_added_again(tagged, tmp_path, applied, offsets):
    tagged("i.tif", np.full((2, *SHAPE), 2000, np.uint16))
    image = Image(files=(item(tmp_path, applied=applied),), scaled=True)
    values, _, _ = read(composite([image], tmp_path / "c.tif"))
    expected = [0.2 + offsets[0], 0.4 + offsets[1]]
    assert values.mean(axis=(1, 2)) == pytest.approx(expected, abs=1e-6)


def test_a_band_of_an_item_has_the_file_s_own_tags_where_it_has_some(tagged, tmp_path):
    tagged("i.tif", np.full((2, *SHAPE), 2000, np.uint16), [1.0, 5e-4], [0.0, 0.3])
    result = plan(Image(files=(item(tmp_path, applied=None),)))
    assert [layer.scales for layer in result.layers] == [(1e-4,), (5e-4,)]
    assert [layer.offsets for layer in result.layers] == [(-0.1,), (0.3,)]


def test_a_classified_pair_of_dates_is_warned_of_too(trained, tagged, tmp_path, caplog):
    from landshift.classification import classify_pixels

    values, _ = striped_scene(64)
    names = ["red", "green", "blue"]
    before = tagged("b.tif", values[:3], [1e-4] * 3, [0.0] * 3, bands=names)
    after = tagged("a.tif", values[3:], [1e-4] * 3, [-0.1] * 3, bands=names)
    with caplog.at_level(logging.WARNING):
        classify_pixels([before, after], trained, tmp_path / "map.tif", **OPTIONS)
    assert "before and after state different scales or offsets in red, green, blue" in caplog.text


def test_a_window_of_scaled_tiles_on_another_grid_is_each_tile_s(halves):
    truth, files = halves
    result = plan(Image(files=files, scaled=True))
    with opened(result, result.grid) as reader:
        values, mask = reader.read(Window(0, 0, 8, 10))
    assert mask.all()
    assert values[0] == pytest.approx(truth, abs=1e-4)
