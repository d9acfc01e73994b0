import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

from cutting import cut_tiles
from landshift.classes import IGNORE_INDEX, ClassScheme
from landshift.errors import ModelError, ParameterError, TileSetError
from landshift.learn import DeepLab, PSPNetClassifier, UnetClassifier, prepare_data
from landshift.scores.confusion import Scores
from scenes import MAPPING


@pytest.fixture(scope="module")
def data(tiles):
    return prepare_data(path=tiles, batch_size=2, class_mapping=MAPPING)


def test_the_data_has_the_familiar_surface(data, tiles):
    assert data.classes == ["to crop", "No change"]
    assert data.c == 2
    assert data.class_mapping == MAPPING
    assert (data.chip_size, data.batch_size, data.path) == (64, 2, tiles)
    assert len(data.train_ds) > len(data.valid_ds) > 0
    assert "training and" in repr(data)
    assert len(data.batch_figure(rows=2).axes) == 2 * 3


def test_a_zip_of_the_folder_works_too(tiles, tmp_path):
    archive = shutil.make_archive(tmp_path / "tiles", "zip", tiles)
    assert prepare_data(archive, class_mapping=MAPPING).classes == ["to crop", "No change"]


@pytest.mark.parametrize("classifier", [UnetClassifier, PSPNetClassifier, DeepLab])
def test_each_classifier_trains_saves_and_comes_back(classifier, data, tmp_path):
    model = classifier(data, backbone="resnet18", pretrained_backbone=False)
    model.fit(epochs=1, lr=1e-3, max_steps=2)
    path = model.save(tmp_path / "m")
    again = classifier.from_model(path, data=data)
    assert again.evaluate().matrix.tolist() == model.evaluate().matrix.tolist()
    others = {UnetClassifier, PSPNetClassifier, DeepLab} - {classifier}
    with pytest.raises(ModelError, match="use the class for it"):
        others.pop().from_model(path)


def test_a_name_alone_saves_beside_the_tiles(trained, tiles):
    path = trained.save("small one")
    assert path == tiles / "models" / "small one" / "small one.emd"
    assert path.with_suffix(".dlpk").is_file()
    shutil.rmtree(tiles / "models")


def test_nothing_is_predicted_where_a_tile_has_no_data(tiles):
    data = prepare_data(tiles, batch_size=2, class_mapping=MAPPING, val_split_pct=0.5)
    model = UnetClassifier(data, backbone="resnet10t", pretrained_backbone=False)
    samples = model._session.samples(100)
    empty = ~np.isfinite(samples.images).all(axis=1)
    assert empty.any()
    assert (samples.predicted[empty] == IGNORE_INDEX).all()
    assert (samples.predicted[~empty] != IGNORE_INDEX).all()


def test_metrics_are_shown_as_a_table_and_read_by_name(trained):
    metrics = trained.per_class_metrics()
    assert isinstance(metrics.scores, Scores)
    assert metrics["to crop"].support == trained.evaluate().matrix[0].sum()
    assert "to crop" in repr(metrics)
    assert "precision" in repr(metrics)
    assert [row["name"] for row in metrics.rows()] == ["to crop", "No change"]
    pytest.importorskip("pandas")
    assert metrics.to_pandas()["support"].tolist() == [c.support for c in metrics.scores.classes]
    page = metrics._repr_html_()
    assert "<th>to crop</th>" in page
    assert f"{metrics['to crop'].iou:.3f}" in page
    with pytest.raises(KeyError):
        metrics["to moon"]
    assert trained.accuracy() == metrics.scores.accuracy
    assert trained.mIOU() == {c.name: c.iou for c in metrics.scores.classes}
    assert trained.mIOU(mean=True) == metrics.scores.miou


def test_results_and_losses_are_shown_without_a_notebook(trained):
    figure = trained.results_figure(rows=2)
    assert [a.get_title() for a in figure.axes[:4]] == ["Before", "After", "Labels", "Predicted"]
    trained.show_results(rows=1)
    trained.plot_losses()
    trained.data.show_batch(rows=1, alpha=1)


def test_the_learning_rate_is_looked_for_where_none_is_given(data, monkeypatch):
    model = UnetClassifier(data, backbone="resnet18")
    used = []
    monkeypatch.setattr("landshift.training.fit", lambda *given, **_: used.append(given[2]) or [])
    model.fit(epochs=1)
    assert used[0].lr == model.lr_find(allow_plot=False)
    assert math.isfinite(used[0].lr)


def test_the_familiar_options_make_the_loss_they_name(data):
    def loss_of(**options):
        return UnetClassifier(data, backbone="resnet10t", **options).loss

    assert loss_of().terms == {"cross_entropy": 1.0}
    both = loss_of(focal_loss=True, dice_loss_fraction=0.25, dice_loss_average="macro")
    assert both.terms == {"focal": 0.75, "dice": 0.25}
    assert both.dice_average == "macro"
    assert loss_of(loss="lovasz", class_balancing=True).class_balancing
    with pytest.raises(ParameterError, match="must be stated once"):
        loss_of(loss="lovasz", focal_loss=True)
    with pytest.raises(ParameterError, match="`dice_loss_fraction` must lie between 0 and 1"):
        loss_of(dice_loss_fraction=2)


def test_a_saved_model_says_how_it_was_trained(data, tmp_path):
    model = UnetClassifier(data, backbone="resnet10t", loss="focal", ignore_classes=[1], mixup=True)
    with pytest.raises(TileSetError, match="two classes or more"):
        model.fit(epochs=1, lr=1e-3)
    model = UnetClassifier(data, backbone="resnet10t", loss="focal", mixup=True)
    model.freeze()
    model.fit(epochs=1, lr=1e-3, max_steps=1, ema=0.9, log=tmp_path / "logs")
    assert (tmp_path / "logs" / "training.csv").is_file()
    path = model.save(tmp_path / "m")
    record = json.loads((path.parent / "landshift.json").read_text())["training"]
    assert record["loss"]["formula"] == "focal"
    assert record["augmentation"]["mixup"] > 0
    assert (record["ema"], record["frozen"], record["lr"]) == (0.9, True, 0.001)
    again = UnetClassifier.from_model(path, data=data)
    assert again.loss == model.loss
    with pytest.raises(ParameterError, match="Options of fit must be among accelerator"):
        again.fit(epoch=1)


def test_training_ends_with_the_padding_that_its_tiles_show(scene, tmp_path):
    folder = tmp_path / "tiles"
    scheme = ClassScheme.from_mapping(MAPPING)
    cut_tiles([scene[0]], [scene[1]], folder, classes=scheme, tile_size=96, stride=80)
    data = prepare_data(folder, class_mapping=MAPPING, batch_size=4, split="random")
    classifier = UnetClassifier(data, backbone="resnet18", pretrained_backbone=False)
    classifier.fit(epochs=1, lr=1e-3, max_steps=1)
    padding = classifier.model.spec.padding
    assert padding in (16, 48)  # the one that 96 pixels can show to be enough, or half of them
    saved = classifier.save(tmp_path / "model")
    assert UnetClassifier.from_model(saved).model.spec.padding == padding
    pooling = PSPNetClassifier(data, backbone="resnet18", pretrained_backbone=False)
    pooling.fit(epochs=1, lr=1e-3, max_steps=1)
    assert pooling.model.spec.padding is None  # it runs at its training tile


def test_training_goes_on_from_a_saved_model(saved, data):
    model = UnetClassifier.from_model(saved, data=data)
    start = model.evaluate().scores.change_f1
    model.fit(epochs=1, lr=1e-5, one_cycle=False)
    assert len(model.history) == 7
    assert model.evaluate().scores.change_f1 > start - 0.1


def test_a_model_without_tiles_says_what_it_needs(saved):
    with pytest.raises(ParameterError, match="pass data= to from_model"):
        UnetClassifier.from_model(saved).show_results()


def test_tiles_with_other_classes_are_refused(saved, tiles):
    other = prepare_data(tiles, class_mapping={1: "to corn", 2: "No change"})
    with pytest.raises(ModelError, match="classes must be those of the tiles"):
        UnetClassifier.from_model(saved, data=other)


def test_tiles_with_other_bands_are_refused(saved, tiles):
    other = prepare_data(tiles, class_mapping=MAPPING)
    spec = other.training.spec
    fewer = replace(
        spec, bands=spec.bands[:3], mean=spec.mean[:3], std=spec.std[:3],
        minimum=spec.minimum[:3], maximum=spec.maximum[:3],
    )  # fmt: skip
    other.training = replace(other.training, spec=fewer)
    with pytest.raises(ModelError, match="bands must be those of the tiles"):
        UnetClassifier.from_model(saved, data=other)


def test_wrong_options_of_a_familiar_notebook_are_one_line(tiles):
    for match, options in (
        ("path of a folder or zip, or a list of them, got None", {"path": None}),
        (r"or a list of them, got \['a', 3\]", {"path": ["a", 3]}),
        ("`valid_path` must be a path, got 3", {"valid_path": 3}),
        ("`working_dir` must be a path, got True", {"working_dir": True}),
        ("`stratify` must be True or False", {"stratify": "yes"}),
        ("`class_mapping` must give each label value its name", {"class_mapping": ["a", "b"]}),
        ("`chip_size` must be a whole number, got 64.0", {"chip_size": 64.0}),
        ("`batch_size` must be a whole number, got '4'", {"batch_size": "4"}),
        ("`val_split_pct` must be a number, got '0.1'", {"val_split_pct": "0.1"}),
        ("`seed` must be a whole number, got None", {"seed": None}),
        ("`num_workers` must be a whole number, got True", {"num_workers": True}),
        (r"`transforms` must be a landshift.training.Augmentation, .* got \(\[\], \[\]\)",
         {"transforms": ([], [])}),
    ):  # fmt: skip
        with pytest.raises(ParameterError, match=match):
            prepare_data(**{"path": tiles, "class_mapping": MAPPING, **options})


def test_wrong_options_of_a_classifier_are_one_line(data):
    for match, options in (
        ("`data` must come from prepare_data, got 'tiles'", {"data": "tiles"}),
        ("`backbone` must be the name of an encoder, as 'resnet34', got <", {"backbone": print}),
        ("`pretrained_backbone` must be True, False", {"pretrained_backbone": 3}),
        ("`loss` must be a formula", {"loss": 3}),
        ("`dice_loss_fraction` must be a number, got '1'", {"dice_loss_fraction": "1"}),
        ("`ignore_classes` must be a list of label values, got 3", {"ignore_classes": 3}),
        ("A value of `ignore_classes` must be a whole number, got 'a'", {"ignore_classes": ["a"]}),
        ("Options of unet must be among detail, or of its learning among dice_loss_average, "
         "dice_loss_fraction, features, focal_loss, ignore_classes, loss, mixup, "
         "pretrained_path, got focal",
         {"focal": 1}),
    ):  # fmt: skip
        with pytest.raises(ParameterError, match=match):
            UnetClassifier(**{"data": data, "backbone": "resnet10t", **options})


def test_wrong_options_of_fit_are_one_line(data):
    model = UnetClassifier(data, backbone="resnet10t")
    for match, options in (
        ("`lr` must be a number, got '0.001'", {"lr": "0.001"}),
        ("`epochs` must be a whole number, got '3'", {"epochs": "3"}),
        ("`epochs` must be a whole number, got 2.5", {"epochs": 2.5}),
        ("`max_steps` must be a whole number", {"max_steps": "all"}),
        ("`monitor` must be one of valid_loss", {"monitor": ["dice"]}),
        ("`checkpoint` must be True, 'all' or False, got None", {"checkpoint": None}),
        ("`resume` must be a path, got True", {"resume": True}),
        ("`log` must be a path, got True", {"log": True}),
    ):  # fmt: skip
        with pytest.raises(ParameterError, match=match):
            model.fit(**{"epochs": 1, "lr": 1e-3, **options})
    for match, call in (
        ("`rows` must be a whole number, got 'all'", lambda: model.show_results("all")),
        ("`rows` must be a whole number, got None", lambda: data.show_batch(None)),
        ("A model needs a name or a path, got 3", lambda: model.save(3)),
    ):
        with pytest.raises(ParameterError, match=match):
            call()
