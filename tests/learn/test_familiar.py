"""Names that users of arcgis.learn know, over what is there."""

import numpy as np
import pytest
import rasterio
import torch

from landshift.classes import IGNORE_INDEX
from landshift.errors import ClassError, ModelError, ParameterError
from landshift.learn import ChangeDetector, PSPNetClassifier, UnetClassifier, prepare_data
from landshift.training import Training
from landshift.training.run import Run
from scenes import MAPPING, write


@pytest.fixture(scope="module")
def data(tiles):
    return prepare_data(tiles, batch_size=2, class_mapping=MAPPING)


def small(data, **options):
    return UnetClassifier(data, backbone="resnet10t", pretrained_backbone=False, **options)


def moved(classifier, **fit):
    """How far the weights of encoder and rest move in a step."""
    model = classifier.model
    before = {k: v.detach().clone() for k, v in model.named_parameters()}
    classifier.fit(1, max_steps=1, ema=0, one_cycle=False, mixed_precision=False, **fit)
    encoder = {id(p) for p in model.encoder.parameters()}
    far = {True: 0.0, False: 0.0}
    for name, values in model.named_parameters():
        of_encoder = id(values) in encoder
        far[of_encoder] = max(far[of_encoder], float((values - before[name]).abs().max().detach()))
    return far[True], far[False]


def test_a_slice_of_rates_trains_encoder_and_rest_at_their_own(data):
    encoder, rest = moved(small(data), lr=slice(1e-5, 1e-3))
    assert encoder == pytest.approx(1e-5, rel=0.1)  # AdamW's first step is as long as its rate
    assert rest == pytest.approx(1e-3, rel=0.1)
    encoder, rest = moved(small(data), lr=slice(1e-3))
    assert encoder == pytest.approx(1e-4, rel=0.1)
    assert rest == pytest.approx(1e-3, rel=0.1)
    encoder, rest = moved(small(data), lr=1e-3)
    assert encoder == pytest.approx(1e-3, rel=0.1)


def test_one_cycle_keeps_the_ratio_of_the_rates(data):
    from landshift.training.processes import one_device

    options = Training(epochs=1, max_steps=4, lr=1e-2, encoder_lr=1e-4, precision="32-true")
    run = Run(one_device(options, exact=False), small(data).model, data.training, options)
    for _ in range(3):
        first, second = (group["lr"] for group in run.optimiser.param_groups)
        assert first / second == pytest.approx(1e-2, rel=0.01)
        run.optimiser.step()
        run.schedule.step()


def test_rates_that_say_nothing_are_one_line(data):
    model = small(data)
    for match, options in (
        (r"slice\(encoder, rest\) or slice\(rest\), stated once, got slice\(None, None",
         {"lr": slice(None)}),
        ("stated once, got .* beside `encoder_lr`", {"lr": slice(1e-4), "encoder_lr": 1e-3}),
        ("A learning rate of `lr` must be a number, got 'a'", {"lr": slice("a", 1e-3)}),
        ("`encoder_lr` must lie between 0 and 10, got 0", {"encoder_lr": 0, "lr": 1e-3}),
        ("`mixed_precision` must be True, False or None", {"mixed_precision": "yes"}),
        ("without `precision`, got True and '32-true'",
         {"mixed_precision": True, "precision": "32-true"}),
    ):  # fmt: skip
        with pytest.raises(ParameterError, match=match):
            model.fit(1, **options)
    model.freeze()
    with pytest.raises(ParameterError, match="encoder that is trained, got a frozen one"):
        model.fit(1, slice(1e-5, 1e-3))


def test_mixed_precision_is_a_precision(data, monkeypatch):
    used = []
    monkeypatch.setattr("landshift.training.fit", lambda *given, **_: used.append(given[2]) or [])
    model = small(data)
    for mixed in (True, False, None):
        model.fit(1, 1e-3, mixed_precision=mixed)
    assert [options.precision for options in used] == ["bf16-mixed", "32-true", "auto"]


def test_a_saved_model_is_loaded_into_one_of_the_same_network(trained, data, tmp_path):
    path = trained.save(tmp_path / "kept")
    model = UnetClassifier(data, backbone="resnet18", pretrained_backbone=False, loss="focal")
    model.load(path)
    assert model.evaluate().matrix.tolist() == trained.evaluate().matrix.tolist()
    assert len(model.history) == len(trained.history)
    assert model.loss.formula == "focal"
    start = UnetClassifier(data, backbone="resnet18", pretrained_path=path)
    assert start.history == []
    assert start.evaluate().matrix.tolist() == trained.evaluate().matrix.tolist()
    start.save("named", overwrite=True)
    model.load("named")
    with pytest.raises(ModelError, match="of the same network, stack unet over resnet10t, got st"):
        small(data).load(path)
    with pytest.raises(ModelError, match="of the same network, stack pspnet"):
        PSPNetClassifier(data, backbone="resnet18", pretrained_path=path)
    with pytest.raises(ParameterError, match="Weights must be stated once, got `pretrained_path`"):
        small(data, pretrained_path=path)
    with pytest.raises(ModelError, match=r"got .*nothing"):
        model.load(tmp_path / "nothing")


def test_backbones_and_metrics_are_lists_of_what_works(data):
    model = small(data)
    assert {"resnet18", "resnet50", "efficientnet_b0"} <= set(model.supported_backbones)
    for name in ("vgg16", "swin_tiny_patch4_window7_224"):
        works = name in model.supported_backbones
        try:
            network = UnetClassifier(data, backbone=name, pretrained_backbone=False).model
            network.eval()(torch.zeros(1, 6, 64, 64))
        except (ModelError, AssertionError, RuntimeError):
            assert not works
        else:
            assert works
    assert model.available_metrics == ["valid_loss", "accuracy", "dice", "miou", "change_f1"]
    model.fit(1, 1e-3, max_steps=1, monitor=model.available_metrics[-1])


def test_ignored_classes_count_in_no_score(trained):
    scores = trained.per_class_metrics(ignore_classes=[2])
    assert [row["name"] for row in scores.rows()] == ["to crop"]
    matrix = trained.evaluate().matrix
    assert scores["to crop"].precision == 1  # of what is labelled, all is to crop
    assert scores["to crop"].recall == matrix[0, 0] / matrix[0].sum()
    assert "No change" not in repr(scores)
    with pytest.raises(ParameterError, match="list of label values, got 'to crop'"):
        trained.per_class_metrics(ignore_classes="to crop")
    with pytest.raises(ClassError, match=r"among the classes \[1, 2\] and leave one"):
        trained.per_class_metrics(ignore_classes=[1, 2])


def test_a_change_detector_says_where_two_images_differ(data, scene, tmp_path):
    model = ChangeDetector(data, backbone="resnet18", pretrained_backbone=False)
    model.fit(6, 2e-3)
    scores = model.precision_recall_score()
    assert set(scores) == {"precision", "recall", "f1"}
    assert scores["f1"] == model.per_class_metrics()["to crop"].f1
    with rasterio.open(scene[0]) as source:
        values = source.read()
    before = write(tmp_path / "before.tif", values[:3], nodata=0, bands=["red", "green", "blue"])
    after = write(tmp_path / "after.tif", values[3:], nodata=0, bands=["red", "green", "blue"])
    change = model.predict(before, after, save=tmp_path / "map.tif")
    assert (change[:, :6] == IGNORE_INDEX).all()
    with rasterio.open(tmp_path / "map.tif") as source:
        codes = source.read(1)
    assert np.array_equal(change == 1, codes == 1)
    assert np.array_equal(change == 0, codes == 2)
    assert set(np.unique(change)) <= {0, 1, IGNORE_INDEX}
    assert np.array_equal(model.predict(before, after, visualize=True), change)
    again = ChangeDetector.from_model(model.save(tmp_path / "m"))
    assert np.array_equal(again.predict(before, after), change)
    with pytest.raises(ParameterError, match="`crop_predict` must be True"):
        model.predict(before, after, crop_predict=False)
    with pytest.raises(ParameterError, match="`save` a file, got True and True"):
        model.predict(before, after, save=True)


def test_a_change_detector_takes_two_classes_alone(tiles):
    other = prepare_data(tiles, class_mapping={1: "crop", 2: "forest"}, batch_size=2)
    with pytest.raises(ClassError, match="a change and 'No change', got crop, forest; label"):
        ChangeDetector(other)
