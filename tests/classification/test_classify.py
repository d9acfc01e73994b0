import logging
from functools import partial

import numpy as np
import pytest
import rasterio

from landshift import raster
from landshift.classes import ClassScheme
from landshift.classification import classify_pixels
from landshift.errors import BandError, ModelError, OutputError, ParameterError
from landshift.evaluation.maps import evaluate_map
from landshift.models import ChangeModel
from qgis_host import in_qgis, what_qgis_shows
from scenes import BANDS, striped_scene

classify = partial(classify_pixels, engine="torch")  # what the engines say: test_engine.py


def read(path):
    with rasterio.open(path) as source:
        return source.read(1)


def test_a_map_of_the_whole_raster_is_right_and_carries_its_legend(scene, trained, tmp_path):
    out = classify(scene[0], trained, tmp_path / "map.tif", 16, 4, True, 64)
    evaluation = evaluate_map(out, scene[1], scheme=trained.model.scheme)
    assert evaluation.scores.change_f1 > 0.9
    with rasterio.open(scene[0]) as image, rasterio.open(out) as mapped:
        assert mapped.transform == image.transform
        assert mapped.crs == image.crs
        assert mapped.dtypes == ("uint8",)
        assert mapped.nodata == 0
        assert mapped.colormap(1)[2][:3] == trained.model.scheme.colours[2]
    assert raster.scheme_of(out) == trained.model.scheme


def test_qgis_opens_a_map_with_its_names_and_colours(scene, trained, tmp_path):
    out = classify(scene[0], trained, tmp_path / "map.tif")
    shown = what_qgis_shows(out, tmp_path / "from_qgis.qml")
    assert shown["palette"] == shown["table"] == in_qgis(trained.model.scheme)


def test_nodata_stays_nodata_and_nothing_else_becomes_it(scene, trained, tmp_path):
    codes = read(classify(scene[0], trained, tmp_path / "map.tif"))
    assert (codes[:, :6] == 0).all()
    assert (codes[:, 6:] > 0).all()


def test_a_saved_model_gives_the_same_bytes(scene, trained, saved, tmp_path):
    first = read(classify(scene[0], trained, tmp_path / "1.tif"))
    for k, path in enumerate((saved, saved.with_suffix(".dlpk"), saved.parent)):
        assert (
            read(classify(scene[0], path, tmp_path / f"{k}.tif", overwrite=True)) == first
        ).all()


def test_batches_do_not_change_the_map(scene, trained, tmp_path):
    options = {"precision": "float32"}
    one = classify(scene[0], trained, tmp_path / "1.tif", batch_size=1, **options)
    five = classify(scene[0], trained, tmp_path / "5.tif", batch_size=5, **options)
    assert (read(one) == read(five)).mean() > 0.9999


def test_padding_makes_seams_vanish(scene, trained, tmp_path):
    options = {"batch_size": 4, "precision": "float32"}
    whole = read(classify(scene[0], trained, tmp_path / "w.tif", 0, tile_size=256, **options))
    bare = read(classify(scene[0], trained, tmp_path / "b.tif", 0, tile_size=64, **options))
    padded = read(classify(scene[0], trained, tmp_path / "p.tif", 64, tile_size=192, **options))
    assert (padded == whole).mean() > (bare == whole).mean()
    assert (padded == whole).mean() > 0.99


def test_empty_tiles_cost_no_model_call(trained, tmp_path, write_raster, caplog):
    values, _ = striped_scene(128)
    values[:, :, :] = 0
    empty = write_raster("empty.tif", values, nodata=0, bands=BANDS)
    calls = []
    hook = trained.model.register_forward_pre_hook(lambda *_: calls.append(1))
    options = {"padding": 8, "tile_size": 64, "engine": "torch"}
    with caplog.at_level(logging.WARNING):
        codes = read(classify(empty, trained, tmp_path / "1.tif", **options))
    assert (codes == 0).all()
    assert "has no valid pixel" in caplog.text
    once = len(calls)  # to make the engine
    values[:, 100:, 100:] = 1000
    sparse = write_raster("sparse.tif", values, nodata=0, bands=BANDS)
    codes = read(classify(sparse, trained, tmp_path / "2.tif", **options))
    hook.remove()
    assert (codes > 0).sum() == 28 * 28
    assert len(calls) == 2 * once + 1


def test_a_raster_smaller_than_a_tile_works(write_raster, trained, tmp_path):
    values, _ = striped_scene(32)
    small = write_raster("small.tif", values[:, :20, :30], nodata=0, bands=BANDS)
    assert read(classify(small, trained, tmp_path / "map.tif")).shape == (20, 30)


def test_bands_are_picked_by_name(scene, trained, write_raster, tmp_path):
    with rasterio.open(scene[0]) as source:
        values = source.read()
    shuffled = write_raster("s.tif", values[::-1].copy(), nodata=0, bands=BANDS[::-1])
    expected = read(classify(scene[0], trained, tmp_path / "1.tif"))
    assert (read(classify(shuffled, trained, tmp_path / "2.tif")) == expected).all()


def test_another_cell_size_gives_a_map_of_it(scene, trained, tmp_path):
    out = classify(scene[0], trained, tmp_path / "map.tif", cell_size=60.0)
    with rasterio.open(out) as mapped:
        assert mapped.shape == (128, 128)
        assert mapped.res == (60, 60)


def test_the_background_is_left_out_when_it_may_not_be_the_answer(scene, trained, tmp_path):
    spec = trained.model.spec
    scheme = ClassScheme.from_mapping({0: "background", 1: "to crop", 2: "No change"})
    model = ChangeModel("unet", spec, scheme, backbone="resnet18").eval()
    free = read(classify(scene[0], model, tmp_path / "1.tif"))
    bound = read(classify(scene[0], model, tmp_path / "2.tif", predict_background=False))
    assert (bound[:, 6:] != 0).all()
    assert (bound[:, :6] == 255).all()
    kept = (free != 0) & (free != 255)
    assert (bound[kept] == free[kept]).all()


def test_without_a_background_the_option_says_that_it_changes_nothing(
    scene, trained, tmp_path, caplog
):
    expected = read(classify(scene[0], trained, tmp_path / "1.tif"))
    with caplog.at_level(logging.WARNING):
        out = classify(scene[0], trained, tmp_path / "2.tif", predict_background=False)
    assert (read(out) == expected).all()
    assert "predict_background=False changes nothing" in caplog.text


def test_a_model_that_pools_over_the_tile_says_so(scene, trained, tmp_path, caplog):
    model = ChangeModel(
        "pspnet", trained.model.spec, trained.model.scheme, backbone="resnet18"
    ).eval()
    with caplog.at_level(logging.WARNING):
        classify(scene[0], model, tmp_path / "1.tif")
        assert not caplog.text
        classify(scene[0], model, tmp_path / "2.tif", tile_size=96)
    assert "pspnet pools over the whole tile" in caplog.text


def test_bad_input_is_one_line_and_leaves_no_map(scene, trained, write_raster, tmp_path):
    out = tmp_path / "map.tif"
    with pytest.raises(BandError, match="must have 6 bands"):
        classify(write_raster("3.tif", np.ones((3, 9, 9), np.uint8)), trained, out)
    with pytest.raises(ParameterError, match="below half the tile size"):
        classify(scene[0], trained, out, padding=32, tile_size=64)
    with pytest.raises(ParameterError, match="at least 1"):
        classify(scene[0], trained, out, batch_size=0)
    with pytest.raises(ParameterError, match="must not overwrite"):
        classify(scene[0], trained, scene[0])
    with pytest.raises(ModelError, match="must exist"):
        classify(scene[0], tmp_path / "none.dlpk", out)
    with pytest.raises(OutputError, match="must be writable"):
        classify(scene[0], trained, scene[1] / "map.tif")
    assert not out.exists()
