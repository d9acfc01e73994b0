"""Every network, trained, saved and read again: the same map, to the byte."""

import json

import numpy as np
import pytest
import rasterio
import torch

import packages
from cutting import cut_tiles
from landshift import bundle, classify_pixels, tileset
from landshift.bundle.tensors import with_weights, write_weights
from landshift.classes import ClassScheme, FromToScheme
from landshift.learn import (
    SegmentationModel,
    SemanticChangeClassifier,
    SiameseClassifier,
    UnetClassifier,
    prepare_data,
)
from landshift.models import COMBINATIONS
from packages import ENCODED
from scenes import BANDS, write

CLASSES = ClassScheme.from_mapping({1: "crop", 2: "water"})
QUICK = {("unet", "stack"), ("pspnet", "siamese"), ("deeplab", "semantic")}
ALL = [
    pytest.param(a, c, marks=() if (a, c) in QUICK else pytest.mark.slow)
    for a in ENCODED
    for c in COMBINATIONS
]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A composite of two dates, and tiles of it that carry both class maps."""
    folder = tmp_path_factory.mktemp("scene")
    random = np.random.default_rng(0)
    maps = [
        np.kron(random.integers(1, 3, (8, 8)), np.ones((16, 16), int)).astype(np.uint8)
        for _ in range(2)
    ]
    image = np.concatenate([np.repeat(800.0 * m[None], 3, 0) for m in maps])
    image = (image + random.normal(0, 60, image.shape)).clip(1).astype(np.uint16)
    composite = write(folder / "composite.tif", image, nodata=0, bands=BANDS)
    before, after = (write(folder / f"{k}.tif", m, nodata=0) for k, m in enumerate(maps))
    scheme = FromToScheme(CLASSES)
    change = write(folder / "change.tif", scheme.code(*maps), nodata=0)
    cut_tiles(
        [composite], [change], folder / "tiles", classes=scheme, tile_size=32, stride=32,
        labels_before=[before], labels_after=[after], map_classes=CLASSES,
    )  # fmt: skip
    return composite, folder / "tiles"


@pytest.fixture(scope="module")
def data(scene):
    return prepare_data(scene[1], batch_size=4, sensor="Landsat 8 OLI", units=["DN"] * 6)


def train(kind, data, *arguments, **options):
    model = kind(data, *arguments, backbone="test_resnet", pretrained_backbone=False, **options)
    model.fit(epochs=1, lr=1e-3, max_steps=2, precision="32-true")
    return model


@pytest.mark.parametrize(("architecture", "combination"), ALL)
def test_a_model_that_was_saved_gives_the_same_map(
    architecture, combination, scene, data, tmp_path
):
    kind = {
        "stack": SegmentationModel, "siamese": SiameseClassifier,
        "semantic": SemanticChangeClassifier,
    }[combination]  # fmt: skip
    model = train(kind, data, architecture)
    saved = model.save(tmp_path / "m")
    maps = []
    for name, which in (("a", model), ("b", saved), ("c", saved.with_suffix(".dlpk"))):
        options = {"padding": 8, "tile_size": 64, "engine": "torch", "precision": "float32"}
        with rasterio.open(
            classify_pixels(scene[0], which, tmp_path / f"{name}.tif", **options)
        ) as f:
            maps.append(f.read().tobytes())
    assert maps[0] == maps[1] == maps[2]
    again = kind.from_model(saved)
    assert again.model.design == model.model.design
    image = torch.full((1, 6, 64, 64), 1000.0)
    with torch.no_grad():
        assert torch.equal(again.model.eval()(image), model.model.eval()(image))


def test_a_backbone_with_tables_of_its_own_comes_back(tmp_path):
    """Filters that blur, which timm computes from the design and no file holds."""

    def make():
        return packages.untrained("segformer", "resnetblur18")

    model = make()
    write_weights(model, tmp_path / "w.safetensors")
    loaded = with_weights(make, "resnetblur18", tmp_path / "w.safetensors", tmp_path).eval()
    image = torch.rand(1, 6, 64, 64) * 2000
    with torch.no_grad():
        assert torch.equal(loaded(image), model(image))


def test_the_same_training_gives_the_same_package(scene, tmp_path):
    for name in "ab":
        data = prepare_data(scene[1], batch_size=4)
        train(UnetClassifier, data).save(tmp_path / name / "m")
    files = sorted(p.name for p in (tmp_path / "a" / "m").iterdir())
    assert {"SHA256SUMS", "landshift.json", "m.dlpk", "m.emd", "m.safetensors"} < set(files)
    for name in files:
        first, second = ((tmp_path / k / "m" / name).read_bytes() for k in "ab")
        assert (first == second) == (name != "log.json"), name
    log = json.loads((tmp_path / "a" / "m" / "log.json").read_text())
    assert log["saved"].endswith("+00:00")
    assert len(log["seconds"]) == 1


def test_a_package_says_what_the_model_was_made_from(scene, data, tmp_path):
    model = train(UnetClassifier, data)
    package = bundle.load(model.save(tmp_path / "m"))
    split = data.training.split
    assert package.tiles == {
        "name": "tiles",
        "sha256": tileset.digest(data.training.tiles),
        "training": len(split.train),
        "validation": len(split.valid),
        "sources": tileset.sources(scene[1]),
    }
    assert {s["name"] for s in package.tiles["sources"]} >= {"composite.tif", "change.tif"}
    assert package.versions["torch"] == torch.__version__.split("+")[0]
    assert package.model.spec.band_sensors == ("Landsat 8 OLI",) * 6
    assert package.model.spec.band_units == ("DN",) * 6
    assert package.training["lr"] == 1e-3
    assert package.scores == model.evaluate().scores.as_dict() | {
        "classes": [vars(c) for c in model.evaluate().scores.classes]
    }


def test_training_goes_on_where_a_package_ended(scene, data, tmp_path):
    saved = train(UnetClassifier, data).save(tmp_path / "m")
    model = UnetClassifier.from_model(saved.with_suffix(".dlpk"), data=data)
    start = {k: v.clone() for k, v in model.model.state_dict().items()}
    model.fit(epochs=2, lr=1e-3, precision="32-true", checkpoint=False)
    assert any(not torch.equal(v, start[k]) for k, v in model.model.state_dict().items())
    assert [row.epoch for row in model.history] == [0, 0, 1]
    assert model.history[-1].train_loss < model.history[0].train_loss
    assert len(bundle.load(model.save(tmp_path / "m", overwrite=True)).history) == 3


def test_a_model_read_without_tiles_keeps_what_was_known_when_it_is_saved_again(data, tmp_path):
    saved = train(UnetClassifier, data).save(tmp_path / "m")
    UnetClassifier.from_model(saved).save(tmp_path / "again" / "m")
    first, second = (bundle.load(tmp_path / k) for k in ("m", "again/m"))
    assert first.scores == second.scores
    assert first.tiles == second.tiles
    assert first.training == second.training
