import json
import shutil

import numpy as np
import pytest
from sklearn import metrics as sk

from landshift import tileset
from landshift.classes import ClassScheme
from landshift.engine import TorchEngine
from landshift.errors import ClassError, GridError, ModelError
from landshift.evaluate import (
    evaluate_discriminant,
    evaluate_map,
    evaluate_model,
    evaluate_package,
    pool,
)

SCHEME = ClassScheme.from_mapping({1: "to crop", 2: "No change"})


@pytest.fixture
def maps(write_raster):
    mapped = np.array([[1, 1, 2, 2, 0]], np.uint8)
    reference = np.array([[1, 2, 2, 0, 1]], np.uint8)
    return write_raster("map.tif", mapped, nodata=0), write_raster("ref.tif", reference, nodata=0)


def test_a_map_is_compared_where_the_reference_is_labelled(maps):
    found = evaluate_map(*maps, scheme=SCHEME)
    assert found.matrix.tolist() == [[1, 0, 1], [1, 1, 0]]
    assert found.scores.unmapped == 1
    assert found.scores.accuracy == pytest.approx(2 / 3)
    assert found.no_change_baseline.accuracy == pytest.approx(2 / 3)


def test_bounds_take_a_part(maps):
    found = evaluate_map(
        *maps, scheme=SCHEME, bounds=(500_000.0, 3_999_970.0, 500_060.0, 4_000_000.0)
    )
    assert found.matrix.tolist() == [[1, 0, 0], [1, 0, 0]]


def test_evaluations_are_pooled_pixel_by_pixel(maps):
    found = evaluate_map(*maps, scheme=SCHEME)
    assert pool([found, found]).matrix.tolist() == (2 * found.matrix).tolist()
    other = evaluate_map(*maps, scheme=ClassScheme.from_mapping({1: "a", 2: "b"}))
    with pytest.raises(ClassError, match="share their classes"):
        pool([found, other])


def test_bad_pairs_are_refused(maps, write_raster):
    with pytest.raises(ClassError, match="classes must be known"):
        evaluate_map(*maps)
    with pytest.raises(GridError, match="Map and reference must share a grid"):
        evaluate_map(maps[0], write_raster("o.tif", np.ones((2, 2), np.uint8)), scheme=SCHEME)
    empty = write_raster("e.tif", np.zeros((1, 5), np.uint8))
    with pytest.raises(ClassError, match="labelled pixels, got none"):
        evaluate_map(maps[0], empty, scheme=SCHEME)
    with pytest.raises(ClassError, match=r"got \[1\]"):
        evaluate_map(*maps, scheme=ClassScheme.from_mapping({2: "No change"}))


def test_a_model_is_scored_on_validation_tiles_alone(trained):
    training = trained.data.training
    engine = TorchEngine(trained.model, precision="float32")
    found = evaluate_model(engine, training)
    truth, mapped = [], []
    for k in training.split.valid:
        values, mask, labels = tileset.read_tile(training.tiles.tiles[k])
        codes = engine.predict(training.spec.fill(values, mask)[None])[0].argmax(0) + 1
        truth.append(labels[labels > 0])
        mapped.append(codes[labels > 0])
    truth, mapped = np.concatenate(truth), np.concatenate(mapped)
    assert found.matrix[:, :2].tolist() == sk.confusion_matrix(truth, mapped).tolist()
    assert found.scores.change_f1 > 0.9


def test_a_saved_model_is_scored_on_the_split_it_was_trained_beside(trained, saved, tiles):
    found = evaluate_package(saved, tiles)
    assert found.matrix.tolist() == trained.evaluate().matrix.tolist()


def test_a_model_for_other_bands_is_refused(saved, write_raster, tmp_path):
    image = write_raster("i.tif", np.ones((1, 128, 64), np.uint8))
    label = write_raster("l.tif", np.ones((128, 64), np.uint8))
    tileset.cut([image], [label], tmp_path / "t", scheme=SCHEME, tile_size=64, stride=64)
    with pytest.raises(ModelError, match="bands must be those of the tiles"):
        evaluate_package(saved, tmp_path / "t")


def test_a_model_with_a_damaged_split_is_refused(saved, tiles, tmp_path):
    folder = shutil.copytree(saved.parent, tmp_path / "small")
    manifest = json.loads((folder / "landshift.json").read_text())
    manifest["training"]["data"] = {"shell": "rm"}
    (folder / "landshift.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="how its tiles were split"):
        evaluate_package(folder, tiles)


def test_the_discriminant_is_scikit_learns_on_the_same_pixels(trained):
    found = evaluate_discriminant(trained.data.training)
    assert found.matrix.sum() == trained.evaluate().matrix.sum()
    assert 0.9 < found.scores.accuracy <= 1  # the striped scene is easy, pixel by pixel


def test_scores_are_written_as_json(maps, tmp_path):
    path = evaluate_map(*maps, scheme=SCHEME).write_json(tmp_path / "s.json")
    found = json.loads(path.read_text())
    assert found["confusion"]["counts"] == [[1, 0, 1], [1, 1, 0]]
    assert found["scores"]["classes"][0]["name"] == "to crop"
    assert found["all_no_change"]["change_f1"] == 0
