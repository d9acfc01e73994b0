"""Small networks and derived inputs, against scikit-learn, by hand, and as files."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis

from landshift import bundle
from landshift.classes import ClassScheme
from landshift.engine.openvino import OpenVinoEngine
from landshift.errors import ModelError
from landshift.export.graph import write_onnx
from landshift.models import ChangeModel, small
from landshift.models.derived import alteration
from packages import spec

SCHEME = ClassScheme.from_mapping({1: "to crop", 2: "No change"})
KINDS = ["bands", "difference", "ratio", "mad"]
LANDSAT = ("blue", "green", "red", "nir", "swir16", "swir22")


def named(bands, **changes):
    return replace(spec(len(bands)), bands=bands, **changes)


def two_classes(count=2000, bands=6, seed=0):
    random = np.random.default_rng(seed)
    labels = (random.random(count) < 0.3).astype(np.uint8)
    mixing = random.normal(0, 100, (bands, bands))
    pixels = 1000 + random.normal(0, 1, (count, bands)) @ mixing
    pixels[labels == 1] += random.normal(0, 150, bands)
    pixels[labels == 1, 0] += random.normal(0, 300, labels.sum())
    return pixels.astype(np.float32), labels


def made(architecture, **changes):
    return ChangeModel(architecture, spec(**changes), SCHEME, pretrained=False).eval()


def mapped(model, pixels):
    with torch.no_grad():
        images = torch.from_numpy(pixels.T.copy())[None, :, :, None]
        return model(images)[0, :, :, 0].argmax(0).numpy()


def test_the_linear_network_starts_as_fishers_discriminant():
    pixels, labels = two_classes()
    model = made("linear")
    model.start(pixels, labels)
    rule = LinearDiscriminantAnalysis().fit(pixels, labels)
    assert (mapped(model, pixels) == rule.predict(pixels)).mean() > 0.999


def test_the_quadratic_network_starts_as_the_quadratic_discriminant(monkeypatch):
    monkeypatch.setattr(small, "SHRINK", 0.0)
    pixels, labels = two_classes()
    model = made("quadratic")
    model.start(pixels, labels)
    rule = QuadraticDiscriminantAnalysis().fit(pixels, labels)
    assert (mapped(model, pixels) == rule.predict(pixels)).mean() > 0.999


@pytest.mark.parametrize("architecture", ["linear", "quadratic"])
def test_collinear_inputs_do_no_harm(architecture):
    pixels, labels = two_classes()
    plain, more = made(architecture), made(architecture, features=("bands", "difference"))
    right = []
    for model in (plain, more):
        model.start(pixels, labels)
        right.append((mapped(model, pixels) == labels).mean())
    assert right[1] > right[0] - 0.02


def test_a_class_without_pixels_is_never_mapped():
    pixels, labels = two_classes()
    for architecture in ("linear", "quadratic"):
        model = made(architecture)
        model.start(pixels, np.zeros_like(labels))
        assert (mapped(model, pixels) == 0).mean() > 0.99


def test_differences_ratios_and_indices_by_hand():
    bands = tuple(f"{date}:{band}" for date in ("before", "after") for band in LANDSAT)
    values = torch.tensor([1.0, 2, 3, 9, 5, 6, 2, 6, 9, 27, 4, 3])[None, :, None, None]
    about = named(bands, features=("difference", "ratio", "indices"))
    model = ChangeModel("pixel", about, SCHEME, pretrained=False)
    seen = model.scaled(values)[0, :, 0, 0].tolist()
    difference = [1, 4, 6, 8, -1, -3]  # 18, clipped to 8 deviations
    ratio = [1 / 3, 4 / 8, 6 / 12, 18 / 36, -1 / 9, -3 / 9]
    before = [6 / 12, 3 / 15, 4 / 14, -7 / 11]  # ndvi, nbr, ndmi, ndwi
    after = [18 / 36, 24 / 30, 23 / 31, -21 / 33]
    assert seen == pytest.approx([*difference, *ratio, *before, *after])
    assert model.derived.names[-1] == ("after", "ndwi")


def test_the_tasselled_cap_by_hand():
    bands = tuple(f"before:{band}" for band in LANDSAT)
    about = named(bands, features=("tasselled_cap",))
    one = torch.zeros(1, 6, 1, 1)
    one[0, 3] = 1
    for sensor, greenness in (("LANDSAT_OLI", 0.7276), ("LANDSAT_TM", 0.7940), (None, 0.7940)):
        model = ChangeModel(
            "pixel", replace(about, band_sensors=(sensor,) * 6), SCHEME, pretrained=False
        )
        assert model.scaled(one)[0, 1, 0, 0].item() == pytest.approx(greenness)


def test_alteration_finds_change_whatever_the_gains():
    random = np.random.default_rng(0)
    early = random.normal(0, 1, (3, 3)) @ random.normal(0, 1, (3, 5000))
    late = early + random.normal(0, 0.1, early.shape)
    late[:, :200] += 3
    gains, offsets = np.array([[0.5], [2.0], [1.3]]), np.array([[5.0], [-3.0], [1.0]])
    both = []
    for other in (late, gains * late + offsets):
        before, after = alteration(early, other)
        variates = after @ other - before @ early
        variates -= np.median(variates, axis=1, keepdims=True)
        both.append((variates**2).sum(axis=0))
        assert np.allclose(before @ np.cov(early[:, 200:]) @ before.T, np.eye(3), atol=0.1)
    assert np.allclose(*both, rtol=0.01, atol=0.01)
    assert both[0][:200].min() > np.quantile(both[0][200:], 0.99)


@pytest.mark.parametrize("architecture", ["linear", "quadratic", "pixel", "conv3"])
def test_a_saved_small_network_gives_the_same_in_every_form(architecture, tmp_path):
    pytest.importorskip("openvino")
    onnxruntime = pytest.importorskip("onnxruntime")
    pixels, labels = two_classes()
    model = made(architecture, features=tuple(KINDS))
    model.start(pixels, labels)
    stored = pixels[:1024].T.reshape(1, 6, 32, 32).clip(1).astype(np.uint16)
    images = torch.from_numpy(stored.astype(np.float32))
    expected = model(images).detach()
    bundle.save(bundle.Package("small", model), tmp_path / "small")
    again = bundle.load(tmp_path / "small").model.eval()
    assert torch.equal(again(images), expected)
    engine = OpenVinoEngine(again)
    assert engine.precision == "float32"
    assert np.allclose(engine.predict(images.numpy()), expected.softmax(1), atol=1e-3)
    path = tmp_path / "small.onnx"
    write_onnx(again, path)
    session = onnxruntime.InferenceSession(path)
    shares = session.run(None, {session.get_inputs()[0].name: stored})[0]
    assert np.allclose(shares, expected.softmax(1), atol=1e-4)


@pytest.mark.parametrize(
    ("features", "bands", "message"),
    [
        (("diference",), None, "must be among .*'diference'; did you mean difference"),
        (("difference",), ("red", "nir"), "compares two or more dates .*no date: red, nir"),
        (("mad",), ("a:red", "b:red", "c:red"), "mad compares two dates, got 3"),
        (("indices",), ("before:x", "after:x"), "needs bands named nir and red"),
        (("tasselled_cap",), ("before:red", "after:red"), "without blue, green, nir"),
    ],
)
def test_features_that_the_bands_do_not_give_are_refused(features, bands, message):
    about = spec() if bands is None else named(bands)
    with pytest.raises(ModelError, match=message):
        ChangeModel("pixel", replace(about, features=features), SCHEME)


def test_what_a_small_network_lacks_is_said():
    with pytest.raises(ModelError, match=r"pixel has no encoder .*got the backbone resnet18"):
        ChangeModel("pixel", spec(), SCHEME, backbone="resnet18")
    with pytest.raises(ModelError, match=r"pixel has no encoder .*got siamese"):
        ChangeModel("pixel", spec(), SCHEME, combination="siamese")
    with pytest.raises(ModelError, match="Weights are those of an encoder"):
        ChangeModel("pixel", spec(), SCHEME, pretrained="weights.safetensors")
    with pytest.raises(ModelError, match="known encoder can be frozen, got pixel"):
        made("pixel").freeze()
    with pytest.raises(ModelError, match="stacked dates, got a siamese one"):
        ChangeModel("unet", spec(features=("ratio",)), SCHEME, combination="siamese")


def test_a_users_own_network_is_never_started_and_takes_derived_channels_once():
    class Own(torch.nn.Conv2d):
        def start(self, *_: object) -> None:
            raise AssertionError

    model = ChangeModel(Own(3, 2, 1), spec(features=("difference",)), SCHEME)
    model.start(*two_classes())
    assert model(torch.rand(1, 6, 8, 8)).shape == (1, 2, 8, 8)

    class Pair(torch.nn.Module):
        def forward(self, early: torch.Tensor, late: torch.Tensor) -> torch.Tensor:
            return late - early

    with pytest.raises(ModelError, match="stacked dates, got a siamese one"):
        ChangeModel(Pair(), spec(features=("difference",)), SCHEME)


def test_constant_bands_have_no_variates_and_no_error():
    flat = np.ones((3, 50))
    for maps in alteration(flat, flat):
        assert np.isfinite(maps).all()


def test_a_network_is_named_by_what_it_is_and_sees():
    assert made("quadratic", features=("difference", "bands")).title == (
        "quadratic, on difference and bands"
    )
    assert ChangeModel("unet", spec(), SCHEME, backbone="resnet10t").title == "unet over resnet10t"
