import json
import logging

import numpy as np
import pytest
import rasterio

from landshift import provenance
from landshift.composite import composite
from landshift.errors import BandError, DateError, GridError, OutputError, ParameterError

BEFORE = np.arange(1, 13, dtype=np.uint16).reshape(2, 2, 3)
AFTER = BEFORE + 100


def read(path):
    with rasterio.open(path) as source:
        return source.read(), source.descriptions, source.nodata


def test_two_dates_are_stacked_and_named(write_raster, tmp_path):
    before = write_raster("b.tif", BEFORE, bands=["red", "nir"])
    after = write_raster("a.tif", AFTER, bands=["red", "nir"])
    values, names, _ = read(composite([before, after], tmp_path / "c.tif"))
    assert (values == np.concatenate([BEFORE, AFTER])).all()
    assert names == ("before:red", "before:nir", "after:red", "after:nir")


def test_one_date_is_a_composite_of_one(write_raster, tmp_path):
    image = write_raster("i.tif", BEFORE)
    values, names, _ = read(composite([image], tmp_path / "c.tif"))
    assert (values == BEFORE).all()
    assert names == ("b1", "b2")


def test_a_pixel_is_valid_only_where_it_is_on_both_dates(write_raster, tmp_path):
    before = write_raster("b.tif", BEFORE, nodata=3)
    after = write_raster("a.tif", AFTER, nodata=104)
    values, _, nodata = read(composite([before, after], tmp_path / "c.tif"))
    assert nodata == 3
    assert (values[:, 0, 2] == 3).all()
    assert (values[:, 1, 0] == 3).all()
    assert (values != 3).all(axis=0).sum() == 4


def test_nan_is_nodata(write_raster, tmp_path):
    image = BEFORE.astype(np.float32)
    image[0, 0, 0] = np.nan
    paths = [write_raster(f"{n}.tif", image) for n in "ba"]
    values, _, nodata = read(composite(paths, tmp_path / "c.tif"))
    assert np.isnan(nodata)
    assert np.isnan(values[:, 0, 0]).all()
    assert np.isfinite(values).all(axis=0).sum() == 5


def test_a_mask_band_survives_where_no_nodata_value_is_declared(write_raster, tmp_path):
    path = write_raster("i.tif", BEFORE)
    with rasterio.open(path, "r+") as target:
        target.write_mask(np.array([[0, 255, 255], [255, 255, 255]], np.uint8))
    values, _, nodata = read(composite([path], tmp_path / "c.tif"))
    assert nodata == 0
    assert (values[:, 0, 0] == 0).all()


def test_values_that_become_nodata_are_counted(write_raster, tmp_path, caplog):
    before = write_raster("b.tif", BEFORE, nodata=101)
    after = write_raster("a.tif", AFTER)
    with caplog.at_level(logging.WARNING):
        composite([before, after], tmp_path / "c.tif")
    assert "1 valid pixels hold 101" in caplog.text


def test_the_file_says_what_made_it(write_raster, tmp_path):
    paths = [write_raster(f"{n}.tif", BEFORE) for n in "ba"]
    composite(paths, tmp_path / "c.tif")
    with rasterio.open(tmp_path / "c.tif") as source:
        record = json.loads(source.tags()[provenance.TAG])
    assert record["stage"] == "composite"
    assert [i["name"] for i in record["inputs"]] == ["b.tif", "a.tif"]
    first = (tmp_path / "c.tif").read_bytes()
    composite(paths, tmp_path / "c.tif")
    assert (tmp_path / "c.tif").read_bytes() == first


def test_bad_input_is_one_line_and_leaves_no_file(write_raster, tmp_path):
    before, out = write_raster("b.tif", BEFORE), tmp_path / "c.tif"
    with pytest.raises(ParameterError, match="one or two images, got 3"):
        composite([before] * 3, out)
    with pytest.raises(GridError, match="Images must share a grid"):
        composite([before, write_raster("s.tif", BEFORE, origin=(500_010, 4_000_000))], out)
    with pytest.raises(BandError, match="2 before and 1 after"):
        composite([before, write_raster("o.tif", BEFORE[:1])], out)
    with pytest.raises(BandError, match="Band names must number 2"):
        composite([before], out, bands=["red"])
    late, early = write_raster("2016.tif", BEFORE), write_raster("2001.tif", BEFORE)
    with pytest.raises(DateError, match="swap the two"):
        composite([late, early], out)
    with pytest.raises(OutputError, match="must be a file"):
        composite([before], tmp_path)
    assert not out.exists()


def test_two_real_landsat_dates(data_folder, tmp_path):
    folder = data_folder / "pucallpa"
    values, names, nodata = read(
        composite(
            [folder / "1995.tif", folder / "2005.tif"], tmp_path / "c.tif",
            bands=["swir1", "nir", "red", "green"],
        )
    )  # fmt: skip
    assert values.shape == (8, 377, 697)
    assert names[5] == "after:nir"
    assert nodata == 0
