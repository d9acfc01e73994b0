import copy
import logging
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from scipy.ndimage import uniform_filter

from landshift.classes import ClassScheme
from landshift.engine import TorchEngine, choose_engine, opened
from landshift.engine.folding import folded
from landshift.engine.padding import measure_in_tiles, measure_padding
from landshift.errors import ModelError, ParameterError
from landshift.models import ChangeModel
from landshift.spec import InputSpec


@pytest.fixture(scope="module")
def images(trained):
    pairs = trained.data.training.valid_ds.arrays()
    return np.stack([image for image, _ in pairs])


def test_probabilities_are_the_softmax_of_the_models_logits_at_its_temperature(trained, images):
    probabilities = TorchEngine(trained.model, precision="float32").predict(images)
    with torch.no_grad():
        logits = trained.model.eval()(torch.from_numpy(images))
    assert TorchEngine(trained.model, precision="float32").logits(images) == pytest.approx(
        logits.numpy(), abs=1e-4
    )
    assert trained.model.temperature != 1
    expected = (logits / trained.model.temperature).softmax(1)
    assert probabilities == pytest.approx(expected.numpy(), abs=1e-5)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones_like(probabilities[:, 0]), abs=1e-5)


def test_bfloat16_gives_the_same_classes(trained, images):
    exact = TorchEngine(trained.model, precision="float32").predict(images).argmax(1)
    fast = TorchEngine(trained.model, precision="bfloat16").predict(images).argmax(1)
    assert (exact == fast).mean() > 0.995


def test_an_absent_device_is_one_line(trained):
    with pytest.raises(ParameterError, match="must be on this machine, got 'cuda:99'"):
        TorchEngine(trained.model, device="cuda:99")
    with pytest.raises(ParameterError, match="must be on this machine, got 'abacus'"):
        TorchEngine(trained.model, device="abacus")
    with pytest.raises(ParameterError, match="`precision` must be"):
        TorchEngine(trained.model, precision="int3")


@pytest.fixture(scope="module")
def openvino_engine(trained):
    pytest.importorskip("openvino", reason="the extra 'openvino' isn't installed")
    from landshift.engine.openvino import OpenVinoEngine

    return OpenVinoEngine(trained.model, precision="float32")


@pytest.fixture(scope="module")
def holed(images):
    """Two tiles as a raster gives them, and their masks with a hole."""
    values = images[:2].clip(0).round().astype(np.uint16)
    mask = np.ones((2, *values.shape[-2:]), np.bool_)
    mask[:, 10:20, 30:50] = False
    return values, mask


def test_openvino_says_what_torch_says(trained, openvino_engine, holed):
    exact = TorchEngine(trained.model, precision="float32")
    values, mask = holed
    filled = np.stack([trained.model.spec.fill(*pair) for pair in zip(values, mask, strict=True)])
    expected = exact.predict(filled)
    assert exact.predict(values, mask) == pytest.approx(expected, abs=1e-5)
    assert openvino_engine.predict(values, mask) == pytest.approx(expected, abs=1e-5)
    assert openvino_engine.predict(filled) == pytest.approx(expected, abs=1e-5)
    assert (openvino_engine.best(values, mask) == expected.argmax(1)).all()


def test_the_temperature_cools_every_engines_probabilities(trained, images):
    pytest.importorskip("openvino", reason="the extra 'openvino' isn't installed")
    from landshift.engine.openvino import OpenVinoEngine

    model = copy.deepcopy(trained.model)
    model.temperature = 2.5
    torch_engine = TorchEngine(model, precision="float32")
    logits = torch.from_numpy(torch_engine.logits(images[:1]))
    expected = (logits / 2.5).softmax(1).numpy()
    for engine in (torch_engine, OpenVinoEngine(model, precision="float32")):
        assert engine.predict(images[:1]) == pytest.approx(expected, abs=1e-5)


def test_tiles_of_any_size_fit(trained, openvino_engine, images):
    exact = TorchEngine(trained.model, precision="float32")
    odd = images[:1, :, :50, :60]
    assert openvino_engine.predict(odd) == pytest.approx(exact.predict(odd), abs=1e-5)


@pytest.mark.parametrize("turned", [False, True])
def test_an_engine_made_ready_compiles_nothing_more(trained, images, monkeypatch, turned):
    pytest.importorskip("openvino", reason="the extra 'openvino' isn't installed")
    from landshift.engine.openvino import OpenVinoEngine
    from landshift.engine.turning import TurningEngine

    inner = OpenVinoEngine(trained.model, precision="float32")
    engine = TurningEngine(inner) if turned else inner
    values = images[:1, :, :50, :60].clip(0).astype(np.int32)
    engine.ready(values.shape[1:], "int32", excluded=1)
    monkeypatch.setattr(inner, "_compile", lambda *key: pytest.fail(f"compiled {key}"))
    assert (engine.best(values, excluded=1) == 0).all()


class Blurred:
    """Class 1 where the mean of so many pixels to each side is above 0.5: a known reach."""

    def __init__(self, reach):
        self.reach = reach

    def best(self, values, mask=None, *, excluded=None):
        size = 0, 2 * self.reach + 1, 2 * self.reach + 1
        means = uniform_filter(values[:, 0].astype(float), size, mode="nearest")
        return (means > 0.5).astype(np.uint8)


@pytest.mark.parametrize(("reach", "padding", "enough"), [(12, 16, True), (22, 64, False)])
def test_the_padding_is_measured_in_tiles_up_to_a_quarter_of_them(trained, reach, padding, enough):
    spec = replace(trained.model.spec, tile_size=128)
    random = np.random.default_rng(0)
    tiles = [(random.random((1, 128, 128)) > 0.5, np.ones((128, 128), bool)) for _ in range(4)]
    measured = measure_in_tiles(Blurred(reach), spec, tiles)
    assert (measured.padding, measured.enough) == (padding, enough)
    assert list(measured.agreement) == [16]
    assert measure_in_tiles(Blurred(1), replace(spec, tile_size=64), tiles) is None
    masked = [(values, np.zeros_like(mask)) for values, mask in tiles]
    assert measure_in_tiles(Blurred(1), spec, masked) is None


@pytest.mark.parametrize(
    ("reach", "tried", "padding"),
    [
        (12, [16], 16),
        (20, [16, 32], 32),
        (80, [16, 32, 64, 96, 128], 96),
        (200, [16, 32, 64, 128], 0),
    ],
)
def test_the_padding_is_measured_on_a_raster(trained, reach, tried, padding):
    spec = replace(trained.model.spec, tile_size=256)
    raster = np.random.default_rng(0).random((768, 768)) > 0.5

    def read(window):
        rows, columns = (
            slice(start, start + size)
            for start, size in ((window.row, window.height), (window.column, window.width))
        )
        return raster[np.newaxis, rows, columns], np.ones((window.height, window.width), bool)

    measured = measure_padding(Blurred(reach), spec, read, [(256, 256)])
    assert list(measured.agreement) == tried
    assert [p for p in tried if measured.agreement[p] >= 0.998] == [
        p for p in tried if p >= padding > 0
    ]
    assert (measured.padding, measured.enough) == ((padding, True) if padding else (128, False))


def test_an_excluded_class_is_never_the_best(trained, openvino_engine, images):
    for engine in (TorchEngine(trained.model), openvino_engine):
        assert (engine.best(images, excluded=1) == 0).all()


@pytest.mark.parametrize(
    ("architecture", "options", "doublings"),
    [
        ("unet", {}, 5),
        ("unet", {"combination": "siamese"}, 5),
        ("unetplusplus", {}, 11),
        ("pspnet", {"options": {"use_unet": True}}, 5),
        ("fpn", {}, 0),
    ],
)
def test_folding_changes_no_answer(architecture, options, doublings):
    model = network(architecture, **options)
    example = torch.randn(2, 6, 96, 64) * 300 + 1000
    with torch.no_grad():
        expected = model(example)
        state = torch.get_rng_state()
        ready = folded(lambda: copy.deepcopy(model))
        logits = ready(example)
    assert torch.equal(torch.get_rng_state(), state)
    kinds = [type(module) for module in ready.modules()]
    assert torch.nn.BatchNorm2d not in kinds
    assert kinds.count(torch.nn.ConvTranspose2d) == doublings
    assert torch.allclose(logits, expected, atol=1e-4 * float(expected.abs().max()))


def network(architecture, **options):
    """A model for six bands whose batch norms do something."""
    names = tuple(f"{date}:{band}" for date in ("before", "after") for band in "rgb")
    statistics = [(value,) * 6 for value in (1000.0, 300.0, 0.0, 2000.0)]
    spec = InputSpec(names, *statistics, 64, "uint16", 30.0)
    scheme = ClassScheme.from_mapping({k: f"class {k}" for k in range(1, 4)})
    model = ChangeModel(architecture, spec, scheme, backbone="resnet18", **options).eval()
    random = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean, module.running_var):
                values.data = 0.5 + torch.rand(values.shape, generator=random)
    return model


class Shortcut(torch.nn.Module):
    """What a convolution gives goes through a batch norm, and past it."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(6, 3, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(3)

    def forward(self, images):
        features = self.first(images)
        return features + self.norm(features)


def test_what_cannot_be_folded_stays(caplog):
    model = network(Shortcut())
    example = torch.randn(1, 6, 64, 64) * 300 + 1000
    with torch.no_grad(), caplog.at_level(logging.DEBUG, "landshift.engine"):
        expected = model(example)
        ready = folded(lambda: copy.deepcopy(model))
        assert torch.equal(ready(example), expected)
    assert "stays as it was" in caplog.text


def test_auto_says_what_it_chose_and_why(trained, caplog):
    pytest.importorskip("openvino", reason="the extra 'openvino' isn't installed")
    with caplog.at_level(logging.INFO, "landshift.engine"):
        chosen = choose_engine(trained.model, device="cpu")
    assert chosen.name == "openvino"
    assert "engine: openvino, " in caplog.text
    assert "fastest on CPUs" in caplog.text


WITHOUT_TORCH = """
import sys
from landshift.classification import classify_pixels
classify_pixels(*sys.argv[1:], engine="auto", device="cpu", precision="float32")
print("torch" in sys.modules)
"""


def test_a_saved_model_is_converted_once_and_then_runs_without_torch(
    scene, trained, saved, tmp_path, monkeypatch
):
    pytest.importorskip("openvino", reason="the extra 'openvino' isn't installed")
    from landshift.classification import classify_pixels

    monkeypatch.setenv("LANDSHIFT_CACHE", str(tmp_path / "cache"))
    expected = tmp_path / "expected.tif"
    classify_pixels(scene[0], trained, expected, engine="openvino", precision="float32")
    for name, package in (("saved", saved), ("folder", saved.parent)):
        out = tmp_path / f"{name}.tif"
        code = [sys.executable, "-c", WITHOUT_TORCH, str(scene[0]), str(package), str(out)]
        result = subprocess.run(code, capture_output=True, text=True, check=True)
        assert result.stdout == "False\n"
        with rasterio.open(out) as one, rasterio.open(expected) as other:
            assert (one.read() == other.read()).all()
    assert len(list((tmp_path / "cache" / "graphs").iterdir())) == 1


def test_what_cannot_be_prepared_is_loaded_and_told_of_there(saved, tmp_path, monkeypatch):
    pytest.importorskip("openvino", reason="the extra 'openvino' isn't installed")
    from landshift.engine.prepared import prepare

    monkeypatch.setenv("LANDSHIFT_CACHE", str(tmp_path / "cache"))
    assert prepare(tmp_path / "none.dlpk") is None
    with pytest.raises(ModelError, match="must exist"):
        opened(tmp_path / "none.dlpk", device="cpu")
    (tmp_path / "cache").write_text("no folder")
    assert prepare(saved) is None
    assert isinstance(opened(saved, device="cpu"), torch.nn.Module)


def test_impossible_choices_are_one_line(trained):
    with pytest.raises(ParameterError, match="`engine` must be one of auto, torch, openvino, got"):
        choose_engine(trained.model, "abacus")
    with pytest.raises(ParameterError, match=r"int8.*no graph"):
        choose_engine(trained.model, precision="int8")
