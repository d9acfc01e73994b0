"""What an evaluation says of itself in plain words, and the progress that it reports."""

import json

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

import commands
import landshift
from landshift import composite
from landshift.classes import ClassScheme
from landshift.cli import results
from landshift.evaluation import baselines, evaluate, models
from landshift.evaluation.evaluate import Baselines, Comparison
from landshift.evaluation.evaluation import Evaluation
from landshift.evaluation.maps import evaluate_map
from landshift.learn.trained import TrainedModel
from landshift.machine import progress
from landshift.scores.findings import LearningRecord
from scenes import MAPPING
from watching import Steps

SCHEME = ClassScheme.from_mapping({1: "to crop", 2: "to water", 3: "No change"})


def kinds(evaluation):
    return [f.kind for f in evaluation.findings]


@pytest.fixture
def reference(write_raster):
    labels = np.full((60, 60), 3, np.uint8)
    labels[:30, :30], labels[:30, 30:] = 1, 2
    tag = json.dumps(SCHEME.as_list())
    return write_raster("reference.tif", labels, nodata=0, LANDSHIFT_CLASSES=tag)


@pytest.fixture
def useless(write_raster):
    """A map of one class, which is rare in the reference."""
    mapped = np.full((60, 60), 2, np.uint8)
    mapped[0, :9], mapped[0, 9:18] = 1, 3
    return write_raster("useless.tif", mapped, nodata=0)


def test_a_map_of_one_class_is_called_so_from_map_and_reference_alone(useless, reference):
    evaluation = evaluate_map(useless, reference)
    first, second, *rest = evaluation.findings
    assert (first.kind, second.kind) == ("one-class", "worse-than-no-change")
    assert first.text.startswith("99.5% of the map is 'to water', but 25.0% of the reference")
    # right are 9 and 900 of 3600 pixels, and half of all is unchanged
    assert "accuracy (0.253 against 0.500)" in second.text
    assert [f.kind for f in rest] == ["never-right", "few-reference"]


def test_a_good_map_is_called_better_than_no_change(reference):
    evaluation = evaluate_map(reference, reference)
    assert kinds(evaluation) == ["better-than-simpler", "few-reference"]
    assert evaluation.findings[0].text == (
        "Better than no change on accuracy (1.000), macro F1 (1.000) and change F1 (1.000)."
    )


def test_findings_are_in_the_json(useless, reference, tmp_path):
    evaluation = evaluate_map(useless, reference)
    written = json.loads(evaluation.write_json(tmp_path / "s.json").read_text())
    assert written["findings"] == [f.as_dict() for f in evaluation.findings]
    assert {"kind", "text", "advice"} == set(written["findings"][0])


def test_points_are_few_below_twenty():
    matrix = np.array([[19, 0, 0, 0], [0, 20, 0, 0], [0, 0, 21, 0]])
    points = Evaluation(SCHEME, matrix, counted="points")
    assert kinds(points) == ["better-than-simpler", "few-reference"]
    assert points.findings[-1].text.startswith("Few reference points: to crop (19).")


def test_a_training_that_was_too_short_and_classes_it_never_saw_are_told():
    matrix = np.diag([2000, 2000, 2000])
    matrix = np.concatenate([matrix, np.zeros((3, 1), np.int64)], axis=1)
    learning = LearningRecord((2.0, 1.5, 1.0), (3.0, 2.0, 1.5), {"to crop": 5, "to water": 0})
    assert kinds(Evaluation(SCHEME, matrix, learning=learning)) == [
        "better-than-simpler", "too-few-steps", "unseen"
    ]  # fmt: skip


def test_a_model_states_how_it_learnt(trained, saved, tiles):
    training = trained.data.training
    learning = trained.evaluate().learning
    rows = trained._session.history
    assert learning.training == tuple(row.train_loss for row in rows)
    assert learning.validation == tuple(row.valid_loss for row in rows)
    names = {c.value: c.name for c in training.scheme}
    assert learning.pixels == {names[v]: n for v, n in training.class_pixels().items()}
    again = models.evaluate_package(saved, tiles, beside=False).learning
    assert again.training == pytest.approx(learning.training)
    assert again.pixels == learning.pixels


def test_images_that_cannot_be_compared_are_told_beside_a_map(scene, tiles, write_raster, tmp_path):
    image, change = scene
    scheme = ClassScheme.from_mapping(MAPPING)
    judged = [change, change]
    plain = landshift.evaluate(
        *judged, baselines=Baselines(image, tiles), comparison=Comparison(scheme)
    )
    assert plain.images == ()  # no composite of `landshift composite`
    random = np.random.default_rng(0)
    first = random.integers(50, 100, (1, 30, 30)).astype(np.uint8)
    later = first + random.integers(60, 90, first.shape).astype(np.uint8)
    pair = [write_raster("first.tif", first), write_raster("later.tif", later)]
    made = composite(pair, tmp_path / "composite.tif")
    assert [f.kind for f in evaluate._on_images(made)] == ["shifted"]


def test_each_part_of_an_evaluation_reports_its_progress(saved, tiles, trained, useless, reference):
    steps = Steps()
    valid = len(trained.data.training.split.valid)
    with progress.watched(steps):
        models.evaluate_package(saved, tiles)
        evaluate_map(useless, reference)
    assert {
        ("score the model", valid, valid),
        ("fit random forest", baselines.TREES, baselines.TREES),
        ("apply per-pixel rules", valid, valid),
        ("compare map", 1, 1),
    } <= set(steps.parts)


def test_a_forest_that_reports_its_progress_is_that_of_one_fit():
    random = np.random.default_rng(1)
    pixels = random.normal(0, 1, (600, 4)).astype(np.float32)
    labels = (pixels.sum(axis=1) + random.normal(0, 1, 600) > 0).astype(np.uint8)
    forest = RandomForestClassifier(baselines.TREES, min_samples_leaf=baselines.LEAF,
                                    random_state=7).fit(pixels, labels)  # fmt: skip
    reported = baselines.RULES[baselines.FOREST](pixels, labels, 7)
    assert len(reported.estimators_) == baselines.TREES
    image = random.normal(0, 1, (4, 20, 30)).astype(np.float32)
    expected = forest.predict(image.reshape(4, -1).T).reshape(20, 30)
    assert baselines._by_pixel(reported)(image).tolist() == expected.tolist()


def test_a_rule_is_applied_in_parts_as_if_whole(monkeypatch):
    class Brightest:
        def predict(self, pixels):
            return pixels.argmax(axis=1)

    image = np.random.default_rng(0).normal(0, 1, (5, 17, 13)).astype(np.float32)
    monkeypatch.setattr(baselines, "_PART", 20)
    assert (baselines._by_pixel(Brightest())(image) == image.argmax(axis=0)).all()


def test_the_command_line_says_how_it_went_and_spells_options(useless, reference, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = commands.run("evaluate", useless, reference)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "- 99.5% of the map is 'to water', but 25.0% of the reference: the map hardly" in lines
    told = lines[lines.index(next(line for line in lines if line.startswith("- 99.5%"))) :]
    assert all(len(line) <= 80 for line in told)
    assert any(line.startswith("  Next: Train") for line in told)
    assert "--epochs" in result.stdout
    assert "`epochs`" not in result.stdout


def test_train_prints_the_methods_in_order_and_how_it_went(useless, reference, capsys, tmp_path):
    judged = evaluate_map(useless, reference)
    better = {"linear discriminant": evaluate_map(reference, reference)}
    results.train(TrainedModel((tmp_path / "m.emd",), judged.beside(better), ()))
    out = capsys.readouterr().out
    places = [out.index(f"\n{name} ") for name in ("linear discriminant", "this", "all no change")]
    assert places == sorted(places)
    assert "- Worse than the linear discriminant on accuracy (0.253 against 1.000)" in out
    assert out.splitlines()[-1] == str(tmp_path / "m.emd")
