"""Models of change, from a tile set that carries both class maps to a map."""

import numpy as np
import pytest
import rasterio

import landshift
from cutting import cut_tiles
from landshift import classify_pixels, evaluate_map
from landshift.classes import CODINGS, IGNORE_INDEX, ClassScheme
from landshift.dataset import TrainingTiles, prepare
from landshift.errors import ModelError, TileSetError
from landshift.learn import (
    SegmentationModel,
    SemanticChangeClassifier,
    SiameseClassifier,
    prepare_data,
)
from landshift.prepare.label import Cleaning
from scenes import BANDS, write

CLASSES = ClassScheme.from_mapping({1: "crop", 2: "water"})
LEVELS = np.array([0, 1000, 1800])


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Composite, and class maps before and after: squares of two classes with distinct values."""
    folder = tmp_path_factory.mktemp("scene")
    random = np.random.default_rng(0)
    maps = [
        np.kron(random.integers(1, 3, (16, 16)), np.ones((16, 16), int)).astype(np.uint8)
        for _ in range(2)
    ]
    maps[1][:, :8] = 0
    image = np.concatenate([np.repeat(LEVELS[m][None], 3, 0) for m in maps])
    image = (image + random.normal(0, 60, image.shape)).clip(1).astype(np.uint16)
    return (
        write(folder / "composite.tif", image, nodata=0, bands=BANDS),
        *(write(folder / f"{k}.tif", m, nodata=0) for k, m in enumerate(maps)),
    )


def cut(scene, folder, coding="from-to"):
    composite, before, after = scene
    with rasterio.open(before) as a, rasterio.open(after) as b:
        scheme = CODINGS[coding](CLASSES)
        codes = scheme.code(a.read(1), b.read(1))
    change = write(folder / "change.tif", codes, nodata=0)
    cut_tiles(
        [composite], [change], folder / "tiles", classes=scheme, tile_size=64, stride=64,
        labels_before=[before], labels_after=[after], map_classes=CLASSES,
    )  # fmt: skip
    return folder / "tiles", change


@pytest.fixture(scope="module")
def tiles(scene, tmp_path_factory):
    return cut(scene, tmp_path_factory.mktemp("set"))


def test_samples_hold_the_class_maps_on_request(tiles):
    data = prepare(tiles[0], reading=TrainingTiles(batch_size=2))
    image, targets = next(iter(data.valid_loader(class_maps=True)))
    assert image.shape == (2, 6, 64, 64)
    assert targets.shape == (2, 3, 64, 64)
    change, before, after = targets.numpy()[:, 0], targets.numpy()[:, 1], targets.numpy()[:, 2]
    known = change != IGNORE_INDEX
    assert np.array_equal(known, (before != IGNORE_INDEX) & (after != IGNORE_INDEX))
    assert np.array_equal(change[known], before[known] * 2 + after[known])
    assert next(iter(data.valid_loader()))[1].shape == (2, 1, 64, 64)


def test_class_maps_that_differ_from_the_label_are_in_doubt(scene, tmp_path):
    composite, before, after = scene
    change = tmp_path / "change.tif"
    landshift.label(before, after, change, classes=CLASSES, cleaning=Cleaning(min_pixels=300))
    cut_tiles([composite], [change], tmp_path / "tiles", tile_size=64, stride=64)
    data = prepare(tmp_path / "tiles", reading=TrainingTiles(batch_size=2))
    removed = 0
    for _, targets in data.train_loader(class_maps=True):
        change, before, after = targets.numpy().swapaxes(0, 1)
        unknown = (before == IGNORE_INDEX) & (after == IGNORE_INDEX) & (change != IGNORE_INDEX)
        assert set(np.unique(change[unknown])) <= {2}  # a removed change is 'No change'
        known = (targets != IGNORE_INDEX).all(1).numpy()
        expected = np.where(before == after, 2, after)
        assert np.array_equal(change[known], expected[known])
        removed += int(unknown.sum())
    assert removed > 0


def test_class_maps_that_the_set_lacks_are_one_line(scene, tmp_path):
    composite, before, _ = scene
    cut_tiles([composite], [before], tmp_path / "tiles", classes=CLASSES, tile_size=64, stride=64)
    data = prepare_data(tmp_path / "tiles")
    with pytest.raises(TileSetError, match="must carry the class maps before and after, got none"):
        data.training.valid_loader(class_maps=True)
    with pytest.raises(ModelError, match="needs the class maps before and after"):
        SemanticChangeClassifier(data, backbone="resnet18")


def test_a_semantic_model_learns_both_dates_and_maps_from_to(tiles, scene, tmp_path):
    data = prepare_data(tiles[0], batch_size=4)
    model = SemanticChangeClassifier(data, backbone="resnet10t")
    model.fit(epochs=6, lr=2e-3, precision="32-true")
    saved = model.save(tmp_path / "semantic")
    mapped = classify_pixels(scene[0], saved, tmp_path / "map.tif")
    scores = evaluate_map(mapped, tiles[1]).scores
    assert {c.name for c in scores.classes} >= {"crop->water", "water->water"}
    assert scores.accuracy > 0.9
    again = SemanticChangeClassifier.from_model(saved, data=data)
    assert again.model.map_scheme.names == CLASSES.names
    assert again.evaluate().matrix.tolist() == model.evaluate().matrix.tolist()
    with pytest.raises(ModelError, match="reads siamese unet models, got a semantic unet"):
        SiameseClassifier.from_model(saved)


@pytest.mark.parametrize("coding", ["to", "binary"])
def test_a_siamese_model_trains_saves_and_comes_back(coding, scene, tmp_path):
    data = prepare_data(cut(scene, tmp_path, coding)[0], batch_size=4)
    model = SiameseClassifier(data, backbone="resnet18", decoder="fpn", fusion="difference")
    model.fit(epochs=1, lr=1e-3, max_steps=2)
    saved = model.save(tmp_path / "siamese")
    again = SiameseClassifier.from_model(saved, data=data)
    assert again.model.design == model.model.design
    assert again.evaluate().matrix.tolist() == model.evaluate().matrix.tolist()


def test_a_network_of_ones_own_comes_back_with_its_code(tiles, tmp_path):
    from torch import nn

    data = prepare_data(tiles[0], batch_size=4)
    model = SegmentationModel(data, nn.Conv2d(6, 4, 3, padding=1))
    model.fit(epochs=1, lr=1e-2, max_steps=2)
    saved = model.save(tmp_path / "own")
    with pytest.raises(ModelError, match=r"network of its author's own \(Conv2d\).*pass network="):
        SegmentationModel.from_model(saved)
    again = SegmentationModel.from_model(saved, data=data, network=nn.Conv2d(6, 4, 3, padding=1))
    assert again.evaluate().matrix.tolist() == model.evaluate().matrix.tolist()
    with pytest.raises(ModelError, match="weights must fit own over Conv2d"):
        SegmentationModel.from_model(saved, network=nn.Conv2d(6, 4, 1))
