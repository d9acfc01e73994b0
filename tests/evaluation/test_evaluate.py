import copy
import json
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from sklearn import metrics as sk

import landshift
from cutting import cut_tiles
from landshift import dataset, tileset
from landshift.classes import CODINGS, ClassScheme
from landshift.engine import TorchEngine
from landshift.errors import ClassError, GridError, ModelError, ParameterError
from landshift.evaluation import baselines, models
from landshift.evaluation.evaluate import Baselines, ClassMaps, Comparison
from landshift.evaluation.evaluation import pool
from landshift.evaluation.maps import evaluate_class_maps, evaluate_map
from landshift.evaluation.models import (
    calibrate,
    evaluate_baselines,
    evaluate_model,
    evaluate_package,
)
from landshift.scores import calibration
from scenes import BANDS, MAPPING, striped_scene, write

SCHEME = ClassScheme.from_mapping({1: "to crop", 2: "No change"})


@pytest.fixture
def maps(write_raster):
    mapped = np.array([[1, 1, 2, 2, 0]], np.uint8)
    reference = np.array([[1, 2, 2, 0, 1]], np.uint8)
    return write_raster("map.tif", mapped, nodata=0), write_raster("ref.tif", reference, nodata=0)


def test_a_map_is_compared_where_the_reference_is_labelled(maps):
    evaluation = evaluate_map(*maps, scheme=SCHEME)
    assert evaluation.matrix.tolist() == [[1, 0, 1], [1, 1, 0]]
    assert evaluation.scores.unmapped == 1
    assert evaluation.scores.accuracy == pytest.approx(2 / 3)
    assert evaluation.no_change_baseline.accuracy == pytest.approx(2 / 3)


def test_bounds_take_a_part(maps):
    evaluation = evaluate_map(
        *maps, scheme=SCHEME, bounds=(500_000.0, 3_999_970.0, 500_060.0, 4_000_000.0)
    )
    assert evaluation.matrix.tolist() == [[1, 0, 0], [1, 0, 0]]


def test_evaluations_are_pooled_pixel_by_pixel(maps):
    evaluation = evaluate_map(*maps, scheme=SCHEME)
    assert pool([evaluation, evaluation]).matrix.tolist() == (2 * evaluation.matrix).tolist()
    other = evaluate_map(*maps, scheme=ClassScheme.from_mapping({1: "a", 2: "b"}))
    with pytest.raises(ClassError, match="share their classes"):
        pool([evaluation, other])


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
    evaluation = evaluate_model(engine, training)
    truth, mapped = [], []
    for k in training.split.valid:
        values, mask, labels = tileset.read_tile(training.tiles.tiles[k])
        codes = engine.predict(training.spec.fill(values, mask)[None])[0].argmax(0) + 1
        truth.append(labels[labels > 0])
        mapped.append(codes[labels > 0])
    truth, mapped = np.concatenate(truth), np.concatenate(mapped)
    assert evaluation.matrix[:, :2].tolist() == sk.confusion_matrix(truth, mapped).tolist()
    assert evaluation.scores.change_f1 > 0.9


def test_a_saved_model_is_scored_on_the_split_it_was_trained_beside(trained, saved, tiles):
    evaluation = evaluate_package(saved, tiles, beside=False)
    assert evaluation.matrix.tolist() == trained.evaluate().matrix.tolist()


def test_a_model_for_other_bands_is_refused(saved, write_raster, tmp_path):
    image = write_raster("i.tif", np.ones((1, 128, 64), np.uint8))
    label = write_raster("l.tif", np.ones((128, 64), np.uint8))
    cut_tiles([image], [label], tmp_path / "t", classes=SCHEME, tile_size=64, stride=64)
    with pytest.raises(ModelError, match="bands must be those of the tiles"):
        evaluate_package(saved, tmp_path / "t")


def test_a_model_with_a_damaged_split_is_refused(saved, tiles, tmp_path):
    folder = shutil.copytree(saved.parent, tmp_path / "small")
    manifest = json.loads((folder / "landshift.json").read_text())
    manifest["training"]["data"] = {"shell": "rm"}
    (folder / "landshift.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=r"at training\.data\.val_split_pct"):
        evaluate_package(folder, tiles)


def test_per_pixel_rules_are_fitted_on_training_tiles_and_scored_on_validation(trained):
    training = trained.data.training
    baselines_ = evaluate_baselines(training)
    assert list(baselines_) == list(baselines.USUAL)
    for evaluation in baselines_.values():
        assert evaluation.matrix.sum() == trained.evaluate().matrix.sum()
        assert 0.9 < evaluation.scores.accuracy <= 1  # the striped scene is easy, pixel by pixel
    again = evaluate_baselines(training, ["random forest"])["random forest"]
    assert again.matrix.tolist() == baselines_["random forest"].matrix.tolist()


def test_a_model_is_shown_beside_every_baseline(saved, tiles, tmp_path):
    evaluation = evaluate_package(saved, tiles)
    assert list(evaluation.methods) == [
        "this", "all no change", "linear discriminant", "random forest"
    ]  # fmt: skip
    assert len({s.pixels for s in evaluation.methods.values()}) == 1
    read = json.loads(evaluation.write_json(tmp_path / "s.json").read_text())
    assert list(read["baselines"]) == list(evaluation.baselines)
    assert read["calibration"]["scaled"]["ece"] == evaluation.calibration.scaled.ece
    names = [p.name for p in evaluation.write_figures(tmp_path / "pictures")]
    assert names == ["confusion.png", "f1.png", "reliability.png"]


def test_one_class_alone_is_learnt_by_each_rule_without_a_warning():
    pixels, labels = np.ones((9, 2)), np.zeros(9, np.uint8)
    for fit in baselines.RULES.values():
        assert fit(pixels, labels, 0).predict(pixels).tolist() == [0] * 9
    collinear = np.repeat(np.arange(8.0)[:, np.newaxis], 3, axis=1)
    with warnings.catch_warnings(record=True) as caught:
        baselines.RULES["linear discriminant"](collinear, np.arange(8) // 4, 0)
    assert caught == []


def test_the_quadratic_discriminant_is_one_normal_distribution_for_each_class():
    random = np.random.default_rng(0)
    still, changed = random.normal(0, 1, (400, 2)), random.normal(0, 6, (400, 2))
    pixels, labels = np.concatenate([still, changed]), np.repeat([0, 1], 400).astype(np.uint8)
    fitted = baselines.RULES["quadratic discriminant"](pixels, labels, 0)
    predicted = fitted.predict(np.array([[0.0, 0.0], [9.0, 0.0], [-9.0, 0.0], [0.0, 9.0]]))
    assert predicted.tolist() == [0, 1, 1, 1]  # which no line can tell apart
    few = np.array([*labels, 2], np.uint8)  # one pixel of a class says nothing of its spread
    pixels = np.concatenate([pixels, [[50.0, 50.0]]])
    copied = np.concatenate([pixels, pixels], axis=1)  # and bands may repeat others
    again = baselines.RULES["quadratic discriminant"](copied, few, 0).predict(copied[:-1])
    assert (again == fitted.predict(pixels[:-1])).mean() > 0.99


def test_the_temperature_is_that_of_all_validation_logits_and_keeps_the_classes(trained):
    training, model = trained.data.training, trained.model
    before = trained.evaluate()
    model.temperature = 9.0
    assert trained.evaluate().matrix.tolist() == before.matrix.tolist()
    pairs = list(models._labelled_logits(TorchEngine(model), training, "logits"))
    logits, targets = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    assert calibrate(model, training) == calibration.fit_temperature(logits, targets)
    assert model.temperature == before.calibration.temperature != 1
    after = trained.evaluate().calibration
    assert after.scaled.nll < after.raw.nll
    assert after.raw.pixels.sum() == before.scores.pixels


def test_a_temperature_and_a_rule_are_fitted_on_a_bounded_part(trained, monkeypatch):
    training = trained.data.training
    monkeypatch.setattr(models, "CALIBRATION_PIXELS", 1000)
    logits, targets = models._calibration_pixels(TorchEngine(trained.model), training)
    assert logits.shape == (len(targets), 2)
    assert 900 < len(targets) <= 1000
    monkeypatch.setattr(baselines, "PIXELS", 500)
    pixels, labels = baselines.training_pixels(training)
    assert pixels.shape == (len(labels), 6)
    assert 400 < len(labels) <= 500


def test_validation_without_labels_scores_nothing_and_calibrates_nothing(trained, tmp_path, caplog):
    training = trained.data.training
    blank = replace(training, split=replace(training.split, valid=()))
    evaluation = evaluate_model(TorchEngine(trained.model), blank)
    assert evaluation.scores.pixels == 0
    read = evaluation.write_json(tmp_path / "s.json").read_text()
    assert json.loads(read, parse_constant=pytest.fail)["calibration"]["raw"]["ece"] is None
    assert len(evaluation.write_figures(tmp_path)) == 3
    model = copy.deepcopy(trained.model)
    assert calibrate(model, blank) == model.temperature == 1
    assert "probabilities stay uncalibrated" in caplog.text


def test_tiles_whose_labels_a_model_does_not_see_are_refused(saved, tmp_path):
    values, labels = striped_scene(384)
    inner = np.arange(384) % 128
    middle = (inner >= 32) & (inner < 96)  # what a model of 64 pixels sees of a tile of 128
    labels[np.ix_(middle, middle)] = 0
    image = write(tmp_path / "i.tif", values, nodata=0, bands=BANDS)
    label = write(tmp_path / "l.tif", labels, nodata=0)
    cut_tiles([image], [label], tmp_path / "t", classes=SCHEME, tile_size=128, stride=128)
    with pytest.raises(ClassError, match="validation tiles must hold labelled pixels, got none"):
        evaluate_package(saved, tmp_path / "t")


def test_training_without_labels_fits_no_rule(trained):
    training = trained.data.training
    blank = replace(training, split=replace(training.split, train=()))
    with pytest.raises(ClassError, match="training tiles must hold labelled pixels, got none"):
        evaluate_baselines(blank)


def test_scores_are_written_as_json_without_a_nan(maps, tmp_path):
    path = evaluate_map(*maps, scheme=SCHEME).write_json(tmp_path / "s.json")
    values = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert values["confusion"]["counts"] == [[1, 0, 1], [1, 1, 0]]
    assert values["scores"]["classes"][0]["name"] == "to crop"
    assert values["scores"]["pooled"] is None
    assert values["unchanged"] == ["No change"]
    assert values["baselines"]["all no change"]["change_f1"] == 0
    assert values["calibration"] is None


LAND = ClassScheme.from_mapping({1: "forest", 4: "urban", 9: "water"})


@pytest.fixture
def land(write_raster):
    """Class maps of two dates, with errors, and the true change of those pixels in each coding."""
    random = np.random.default_rng(0)
    truth = random.choice(LAND.values, (2, 40, 50)).astype(np.uint8)
    truth[1] = np.where(random.random((40, 50)) < 0.7, truth[0], truth[1])
    wrong = random.random(truth.shape) < 0.1
    maps = np.where(wrong, random.choice(LAND.values, truth.shape), truth).astype(np.uint8)
    maps[0, 0, :5] = 0
    paths = [write_raster(f"land{k}.tif", m, nodata=0) for k, m in enumerate(maps)]
    changes = {}
    for name, make in CODINGS.items():
        scheme = make(LAND)
        tag = json.dumps(scheme.as_list())
        codes = scheme.code(*truth)
        codes[-1] = 0
        changes[name] = write_raster(f"{name}.tif", codes, nodata=0, LANDSHIFT_CLASSES=tag)
    return maps, truth, paths, changes


@pytest.mark.parametrize("coding", CODINGS)
def test_two_class_maps_are_scored_as_the_change_between_them(land, coding):
    maps, truth, paths, changes = land
    evaluation = evaluate_class_maps(*paths, changes[coding], classes=LAND)
    scheme = CODINGS[coding](LAND)
    assert evaluation.scheme.mapping == scheme.mapping
    reference, mapped = scheme.code(*truth)[:-1].ravel(), scheme.code(*maps)[:-1].ravel()
    expected = sk.confusion_matrix(reference, mapped, labels=[*scheme.values, 0])
    assert evaluation.matrix.tolist() == expected[:-1].tolist()
    assert evaluation.scores.unmapped == 5
    assert (evaluation.scores.from_to is not None) == (coding == "from-to")
    stated = evaluate_class_maps(*paths, changes[coding], classes=LAND, coding=coding)
    assert stated.matrix.tolist() == evaluation.matrix.tolist()


def test_class_maps_stand_beside_a_map_of_the_change(land):
    _, _, paths, changes = land
    options = {"class_maps": ClassMaps(*paths), "comparison": Comparison(classes=LAND)}
    evaluation = landshift.evaluate(changes["to"], changes["to"], **options)
    assert list(evaluation.methods) == ["this", "all no change", "post-classification"]
    assert evaluation.scores.accuracy == 1
    alone = landshift.evaluate(changes["to"], **options)
    assert evaluation.baselines["post-classification"] == alone.scores


def test_class_maps_that_do_not_fit_are_refused(land, write_raster):
    maps, _, paths, changes = land
    with pytest.raises(ClassError, match="class maps must state their classes"):
        evaluate_class_maps(*paths, changes["to"])
    other = ClassScheme.from_mapping({1: "forest", 4: "town", 9: "water"})
    with pytest.raises(ClassError, match="must be a change map of the class maps' classes"):
        evaluate_class_maps(*paths, changes["to"], classes=other)
    with pytest.raises(
        ParameterError, match="`coding` must be one of to, from-to, binary, got 'x'"
    ):
        evaluate_class_maps(*paths, changes["to"], classes=LAND, coding="x")
    less = ClassScheme.from_mapping({1: "forest", 4: "urban"})
    with pytest.raises(ClassError, match=r"got \[9\] in .*land0"):
        evaluate_class_maps(*paths, changes["binary"], classes=less)
    small = write_raster("small.tif", maps[0, :9])
    with pytest.raises(GridError, match="Map of before and map of after must share a grid"):
        evaluate_class_maps(paths[0], small, changes["to"], classes=LAND)
    with pytest.raises(GridError, match="Map of before and reference must share a grid"):
        evaluate_class_maps(small, small, changes["to"], classes=LAND)


def test_class_maps_that_name_their_classes_need_no_mapping(land, write_raster):
    maps, _, paths, changes = land
    half = {1: "forest", 4: "urban"}
    tags = [json.dumps(ClassScheme.from_mapping(m).as_list()) for m in (half, LAND.mapping)]
    named = [
        write_raster(f"named{k}.tif", maps[k].clip(0, 9), nodata=0, LANDSHIFT_CLASSES=tags[k])
        for k in (0, 1)
    ]
    expected = evaluate_class_maps(*paths, changes["to"], classes=LAND)
    assert evaluate_class_maps(*named, changes["to"]).matrix.tolist() == expected.matrix.tolist()
    tag = json.dumps(ClassScheme.from_mapping({1: "wood"}).as_list())
    odd = write_raster("odd.tif", maps[1], LANDSHIFT_CLASSES=tag)
    with pytest.raises(ClassError, match="got 'forest' and 'wood' for value 1"):
        evaluate_class_maps(named[0], odd, changes["to"])


def test_per_pixel_rules_map_an_image_beside_a_map(scene, tiles):
    composite, change = scene
    scheme = ClassScheme.from_mapping(MAPPING)
    evaluation = landshift.evaluate(
        change, change, baselines=Baselines(composite, tiles), comparison=Comparison(scheme)
    )
    assert list(evaluation.baselines) == ["all no change", "linear discriminant", "random forest"]
    assert evaluation.scores.accuracy == 1
    data = dataset.prepare(tiles, reading=dataset.TrainingTiles(MAPPING))
    with rasterio.open(composite) as image, rasterio.open(change) as reference:
        codes = baselines.fit(data)["linear discriminant"](image.read().astype(np.float32)) + 1
        labels = reference.read(1)
    expected = sk.confusion_matrix(labels[labels > 0], codes[labels > 0])
    assert evaluation.others["linear discriminant"][:, :2].tolist() == expected.tolist()


def test_a_rule_gives_no_class_where_the_image_is_not_valid(scene, tiles, write_raster):
    composite, change = scene
    scheme = ClassScheme.from_mapping(MAPPING)
    with rasterio.open(composite) as image:
        values, bands = image.read(), image.descriptions
    values[2, 10] = 0
    holed = write_raster("holed.tif", values, nodata=0, bands=bands)
    evaluation = landshift.evaluate(
        change, change, baselines=Baselines(holed, tiles), comparison=Comparison(scheme)
    )
    assert evaluation.scores.unmapped == 0
    assert {s.unmapped for s in evaluation.baselines.values()} == {0, 250}


def test_bad_pairs_of_image_tiles_and_maps_are_refused(scene, tiles):
    composite, change = scene
    with pytest.raises(ParameterError, match="both `image` and the tile set"):
        landshift.evaluate(change, change, baselines=Baselines(image=composite))
    with pytest.raises(ParameterError, match="must be given to be judged"):
        landshift.evaluate(change)
    with pytest.raises(ParameterError, match="give `before_map` and `after_map`"):
        landshift.evaluate(change, change, class_maps=ClassMaps(coding="to"))


def test_an_evaluation_is_a_table(maps):
    evaluation = landshift.evaluate(*maps, comparison=Comparison(SCHEME))
    assert evaluation.matrix.tolist() == evaluate_map(*maps, scheme=SCHEME).matrix.tolist()
    assert repr(evaluation).splitlines()[0].split() == [
        "class", "precision", "recall", "f1", "iou", "support",
    ]  # fmt: skip
    frame = pytest.importorskip("pandas") and evaluation.to_pandas()
    assert frame["support"].tolist() == [1, 2]


def test_evaluations_are_pooled_with_what_stands_beside_them(maps, trained):
    one = evaluate_map(*maps, scheme=SCHEME)
    other = one.beside({"x": one})
    assert pool([other, other]).others["x"].tolist() == (2 * one.matrix).tolist()
    assert pool([one, other]).others == {}
    evaluation = trained.evaluate()
    both = pool([evaluation, evaluation])
    assert both.calibration.raw.ece == pytest.approx(evaluation.calibration.raw.ece)
    assert both.calibration.raw.pixels.sum() == 2 * evaluation.scores.pixels
