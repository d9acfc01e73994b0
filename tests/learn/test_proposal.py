"""The small network that is proposed where few pixels are labelled."""

import logging
from dataclasses import replace

import numpy as np
import pytest

import commands
import landshift
from cutting import cut_tiles
from landshift import bundle, dataset
from landshift.classes import ClassScheme
from landshift.learn import proposal
from scenes import BANDS, MAPPING, striped_scene, write


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Fewer folds and steps: what is compared here is easy."""
    monkeypatch.setattr(proposal, "FOLDS", 2)
    monkeypatch.setattr(proposal, "STEPS", 10)


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    """Tiles of which 4 pixels in 256 are labelled."""
    folder = tmp_path_factory.mktemp("sparse")
    composite, labels = striped_scene(256)
    drawn = np.zeros_like(labels)
    drawn[4::16, 4::16] = drawn[5::16, 4::16] = drawn[4::16, 5::16] = drawn[5::16, 5::16] = 1
    image = write(folder / "image.tif", composite, nodata=0, bands=BANDS)
    label = write(folder / "labels.tif", labels * drawn, nodata=0)
    classes = ClassScheme.from_mapping(MAPPING)
    return cut_tiles([image], [label], folder / "tiles", tile_size=32, stride=32, classes=classes)


def test_the_first_of_the_best_candidates_is_taken(sparse, steps):
    data = dataset.prepare(sparse.folder)
    assert proposal.labelled_share(data) == pytest.approx(4 / 256)
    proposed = proposal.propose(data)
    assert len(proposed.compared) == 12
    best = max(proposed.compared, key=lambda c: c.mean)
    chosen = next(
        c for c in proposed.compared if (c.model, c.features) == (proposed.model, proposed.features)
    )
    assert chosen is next(c for c in proposed.compared if c.mean >= best.mean - best.error)
    assert chosen.mean > 0.9
    assert ("compare small networks", 12, 12) in steps.parts
    line = proposed.line(4 / 256)
    assert line.startswith("1.6 % of the training pixels are labelled: the small network linear on")
    assert "a kappa of " in line


def test_features_that_are_named_are_kept(sparse):
    proposed = proposal.propose(dataset.prepare(sparse.folder), ["ratio"])
    assert proposed.features == ("ratio",)
    assert {c.features for c in proposed.compared} == {("ratio",)}


def test_too_few_tiles_of_a_class_are_not_compared_by(sparse, monkeypatch):
    monkeypatch.setattr(proposal, "LEAST_TILES", 1000)
    proposed = proposal.propose(dataset.prepare(sparse.folder))
    assert (proposed.model, proposed.features) == ("quadratic", ("difference",))
    assert "training tiles hold" in proposed.line(0.1)
    assert "too few to compare networks by" in proposed.line(0.1)


def test_dates_of_other_bands_leave_the_bands(sparse):
    dates = ["a", "b", "c", "d", "e", "f"]
    data = dataset.prepare(sparse.folder)
    odd = replace(data, spec=replace(data.spec, bands=tuple(f"{d}:{d}" for d in dates)))
    assert {c.features for c in proposal.propose(odd).compared} == {("bands",)}


def test_few_labels_get_the_proposed_network_and_many_do_not(sparse, tiles, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        result = landshift.train(sparse.folder, name=tmp_path / "few")
    assert any("the small network" in line for line in caplog.messages)
    saved = bundle.load(result.path).model
    assert saved.architecture in proposal.MODELS
    assert saved.spec.features in proposal.FEATURES
    caplog.clear()
    dense = landshift.train(
        tiles, name=tmp_path / "many", network=landshift.Network(backbone="resnet10t"),
        training=landshift.Training(epochs=1, lr=1e-3),
    )  # fmt: skip
    assert bundle.load(dense.path).model.architecture == "unet"
    assert not any("the small network" in line for line in caplog.messages)


def test_a_named_network_is_taken_as_it_is(sparse, tmp_path):
    ended = commands.run(
        "train", sparse.folder, "--name", tmp_path / "m", "--model", "pixel", "--features",
        "difference", "--features", "ratio", "--epochs", 2,
    )  # fmt: skip
    assert ended.exit_code == 0, ended.stderr
    saved = bundle.load(tmp_path / "m").model
    assert (saved.architecture, saved.spec.features) == ("pixel", ("difference", "ratio"))
    assert "small network" not in ended.stderr


def test_tiles_of_one_date_are_compared_on_their_bands_alone(sparse):
    data = dataset.prepare(sparse.folder, reading=landshift.TrainingTiles(dates=["all"]))
    assert {c.features for c in proposal.propose(data).compared} == {("bands",)}
