"""Options of classify: their checks, and plain keywords in their groups."""

from dataclasses import fields

import numpy as np
import pytest

from landshift.classification import (
    MapArea,
    MapEngine,
    MapOutputs,
    MapRun,
    MapTiling,
    classify,
    classify_pixels,
)
from landshift.classification.pixels import grouped
from landshift.errors import ModelError, ParameterError


@pytest.mark.parametrize(
    ("group", "option", "value", "message"),
    [
        (MapTiling, "batch_size", 0, "`batch_size` must be at least 1, got 0"),
        (MapTiling, "tile_size", -1, "`tile_size` must be at least 1, got -1"),
        (MapRun, "workers", 0, "`workers` must be at least 1, got 0"),
        (MapOutputs, "layers", ("luck",), "`layers` must be different ones of confidence"),
        (MapOutputs, "layers", ("entropy", "entropy"), "got entropy, entropy"),
        (MapOutputs, "mosaic", "zarr", "`mosaic` must be one of cog, vrt, got 'zarr'"),
    ],
)
def test_an_option_out_of_range_is_one_line(group, option, value, message):
    with pytest.raises(ParameterError, match=message):
        group(**{option: value})


@pytest.mark.parametrize("model", ["none.emd", "none.dlpk", "none/small.emd", "none/small.dlpk"])
def test_a_model_that_is_not_there_is_one_line(write_raster, tmp_path, model):
    image = write_raster("image.tif", np.ones((6, 8, 8), np.uint8))
    with pytest.raises(ModelError, match="The model must exist, got"):
        classify(image, tmp_path / model, tmp_path / "map.tif")


def test_plain_keywords_go_into_the_groups_that_have_them():
    keywords = {"padding": 16, "layers": ("entropy",), "bounds": (0, 0, 1, 1), "workers": 2}
    assert grouped(classify, {**keywords, "engine": "torch", "overwrite": True}) == {
        "tiling": MapTiling(padding=16),
        "outputs": MapOutputs(layers=("entropy",)),
        "area": MapArea(bounds=(0, 0, 1, 1)),
        "engine": MapEngine(engine="torch"),
        "run": MapRun(workers=2),
        "overwrite": True,
    }


def test_no_two_groups_have_an_option_of_one_name():
    groups = (MapArea, MapEngine, MapOutputs, MapRun, MapTiling)
    names = [f.name for group in groups for f in fields(group)]
    assert len(set(names)) == len(names)


def test_an_unknown_keyword_or_one_given_twice_is_an_error_of_type():
    with pytest.raises(TypeError, match="unexpected keyword argument 'tile'"):
        classify_pixels("a.tif", "model", "map.tif", tile=224)
    with pytest.raises(TypeError, match="each once, got 1 values and padding"):
        classify_pixels("a.tif", "model", "map.tif", 16, padding=16)
    with pytest.raises(TypeError, match="got 5 values"):
        classify_pixels("a.tif", "model", "map.tif", 16, 4, True, 96, False)
