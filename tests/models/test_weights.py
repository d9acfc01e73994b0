import argparse
import json
import logging
import socket
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import segmentation_models_pytorch as smp
import timm
import torch

from landshift.classes import ClassScheme
from landshift.errors import ModelError, ParameterError, WeightsError
from landshift.models import ChangeModel, stated
from landshift.models.sensors import match
from landshift.models.transfer import EncoderWeights, Scaling, scale
from landshift.models.weights import encoder_weights
from landshift.spec import InputSpec

SCHEME = ClassScheme.from_mapping({1: "to crop", 2: "to water", 3: "No change"})
MAPS = ClassScheme.from_mapping({1: "crop", 2: "water"})
SIX = ("blue", "green", "red", "nir", "swir1", "swir2")
ETM = ("B1", "B2", "B3", "B4", "B5", "B6_VCID_1", "B6_VCID_2", "B7", "B8")
NAME = "ResNet18_Weights.LANDSAT_ETM_TOA_MOCO"
PUBLISHED = "resnet18_landsat_etm_toa_moco-bb88689c.pth"


def spec(bands, *, mean=1500.0, std=500.0, low=0.0, high=6000.0, dtype="int16"):
    bands = tuple(bands)
    n = len(bands)
    return InputSpec(bands, (mean,) * n, (std,) * n, (low,) * n, (high,) * n, 64, dtype, 30.0)


def two_dates(bands, **options):
    return spec([f"{date}:{b}" for date in ("before", "after") for b in bands], **options)


def unet(of, pretrained, combination="stack", backbone="resnet18"):
    return ChangeModel(
        "unet", of, SCHEME, combination=combination, map_scheme=MAPS, backbone=backbone,
        pretrained=pretrained,
    ).eval()  # fmt: skip


def state_bands(path, bands, **more):
    """A JSON of the file's name that says what it saw."""
    path.with_suffix(".json").write_text(json.dumps({"bands": list(bands), **more}))


def saved(path, bands, backbone="resnet18", prefix=""):
    """An encoder's state dict, as files on the web hold it."""
    encoder = timm.create_model(backbone, in_chans=bands)
    torch.save({"state_dict": {prefix + k: v for k, v in encoder.state_dict().items()}}, path)
    return path, encoder


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_weights_file_fills_the_encoder_for_any_number_of_bands(tmp_path, suffix):
    encoder = timm.create_model("resnet18", pretrained=False)
    path = tmp_path / f"encoder{suffix}"
    if suffix == ".pth":
        torch.save(encoder.state_dict(), path)
    else:
        safetensors.torch.save_file(encoder.state_dict(), path)
    state_bands(path, ("red", "green", "blue"))
    loaded = unet(spec(f"b{k}" for k in range(6)), path).network.encoder.model
    assert torch.equal(loaded.layer1[0].conv1.weight, encoder.layer1[0].conv1.weight)
    first = encoder.conv1.weight / 2  # two copies of three bands, halved
    assert torch.allclose(loaded.conv1.weight, torch.cat([first, first], 1))


@pytest.mark.parametrize("prefix", ["model.", "module.backbone.", "module.encoder_q."])
def test_prefixes_of_what_the_encoder_was_part_of_are_left_out(tmp_path, prefix):
    path, encoder = saved(tmp_path / "e.pth", 9, prefix=prefix)
    loaded = unet(spec(f"b{k}" for k in range(9)), path).network.encoder.model
    assert torch.equal(loaded.conv1.weight, encoder.conv1.weight)
    assert torch.equal(loaded.layer4[1].bn2.running_var, encoder.layer4[1].bn2.running_var)


@pytest.mark.parametrize("combination", ["stack", "siamese", "semantic"])
def test_a_network_of_ours_starts_another(tmp_path, combination):
    first = unet(two_dates(SIX), False, combination)
    torch.save(first.state_dict(), tmp_path / "m.pth")
    (tmp_path / "landshift.json").write_text(json.dumps({"input": first.spec.as_dict()}))
    second = unet(two_dates(SIX), tmp_path / "m.pth", "siamese")
    weights = [k for k in first.state_dict() if k.endswith("encoder.model.layer3.0.conv1.weight")]
    layer = second.network.encoder.encoder.model.layer3[0].conv1.weight
    assert torch.equal(layer, first.state_dict()[weights[0]])
    seen = second.network.encoder.encoder.model.conv1.weight
    own = next(v for k, v in first.state_dict().items() if k.endswith("encoder.model.conv1.weight"))
    if combination == "stack":  # what it answers to the same image on both dates
        assert torch.allclose(seen, own[:, :6] + own[:, 6:])
        third = unet(two_dates(SIX), tmp_path / "m.pth")
        assert torch.equal(third.network.encoder.model.conv1.weight, own)
    else:
        assert torch.equal(seen, own)


OTHERS = ["convnext_atto", "swin_tiny_patch4_window7_224", "hrnet_w18_small"]


@pytest.mark.parametrize("backbone", OTHERS)
def test_encoders_whose_features_have_other_names_are_filled(tmp_path, backbone):
    path, encoder = saved(tmp_path / "e.pth", 3, backbone)
    loaded = unet(spec(f"b{k}" for k in range(3)), path, backbone=backbone)
    ours = {k.replace(".", "_"): v for k, v in loaded.network.encoder.model.state_dict().items()}
    theirs = {k.replace(".", "_"): v for k, v in encoder.state_dict().items()}
    assert len(ours) > 15
    assert all(torch.equal(v, theirs[k.removeprefix("model_")]) for k, v in ours.items())


def test_names_of_another_time_are_known_where_timm_knows_them(tmp_path):
    encoder = timm.create_model("pvt_v2_b0")
    older = {}
    for name, tensor in encoder.state_dict().items():
        parts = name.split(".")
        if parts[0] == "stages":
            stage = int(parts[1]) + 1
            parts = {
                "downsample": [f"patch_embed{stage}", *parts[3:]],
                "blocks": [f"block{stage}", *parts[3:]],
                "norm": [f"norm{stage}", *parts[3:]],
            }[parts[2]]
        elif parts[0] == "patch_embed":
            parts = ["patch_embed1", *parts[1:]]
        older[".".join(parts)] = tensor
    torch.save(older, tmp_path / "e.pth")
    loaded = unet(spec(SIX[:3]), tmp_path / "e.pth", backbone="pvt_v2_b0").network.encoder.model
    stage = encoder.stages[2].blocks[0].mlp.fc1.weight
    assert any(torch.equal(stage, v) for v in loaded.state_dict().values())


def test_weights_that_do_not_fit_are_refused(tmp_path):
    path, _ = saved(tmp_path / "e.pth", 3, "resnet34")
    with pytest.raises(
        ModelError, match=r"must fit resnet50, got \d+ of its 26\d tensors in .*e\."
    ):
        unet(spec(SIX), path, backbone="resnet50")
    torch.save({"epoch": 3}, path)
    with pytest.raises(ModelError, match="got no tensors in"):
        unet(spec(SIX), path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ModelError, match=r"must hold a state dict, got .*e\.pth \("):
        unet(spec(SIX), path)


def test_weights_of_a_larger_network_are_reported(tmp_path, caplog):
    for backbone in ("resnet34", "resnet18"):
        path, _ = saved(tmp_path / f"{backbone}.pth", 6, backbone)
        caplog.clear()
        unet(spec(SIX), path, backbone="resnet18")
        larger = "resnet18 lacks, such as layer1_2_" in caplog.text
        assert larger == (backbone == "resnet34")


def test_a_file_that_states_no_bands_fits_as_many_alone(tmp_path):
    path, encoder = saved(tmp_path / "e.pth", 6)
    match = r"got 6 in .*e\.pth for 4 \(blue, green, red and nir\); state them in .*e\.json"
    for of in (spec(SIX[:4]), two_dates(SIX[:4])):
        with pytest.raises(ModelError, match=match):
            unet(of, path)
    with pytest.raises(ModelError, match=r"got 6 in .* for 3"):
        unet(two_dates(SIX[:3]), path)  # six stacked bands aren't those of one date
    state_bands(path, ("blue", "green", "red", "nir", "swir16", "swir22"))
    first = unet(spec(("swir2", "nir", "dem")), path).network.encoder.model.conv1.weight
    bank = encoder.conv1.weight
    assert torch.equal(first, torch.stack([bank[:, 5], bank[:, 3], bank.mean(1)], 1))


@pytest.mark.parametrize("inside", [True, False])
def test_a_file_states_units_and_scaling(tmp_path, inside):
    path = tmp_path / "e.safetensors"
    tensors = timm.create_model("resnet18", in_chans=2).state_dict()
    about = {
        "bands": ["B4", "B5"], "sensor": "LANDSAT_OLI", "units": "reflectance",
        "zero": [0.1, 0.2], "unit": [0.05, 0.1],
    }  # fmt: skip
    metadata = {stated.METADATA: json.dumps(about)} if inside else None
    safetensors.torch.save_file(tensors, path, metadata)
    state_bands(path, **({"bands": ["not read"]} if inside else about))
    model = unet(two_dates(("nir", "red")), path)
    assert model.spec.zero == pytest.approx((2000.0, 1000.0) * 2)
    assert model.spec.unit == pytest.approx((1000.0, 500.0) * 2)


@pytest.mark.parametrize(
    ("about", "match"),
    [
        ({"bands": []}, r"for bands in .*e\.json; correct it"),
        ({"bands": ["red"], "scale": 1}, r"Extra inputs .* for scale in"),
        ({"bands": ["red"], "units": "reflectance", "unit": [0]}, "greater than 0' for unit.0 in"),
        ({"bands": ["red"], "units": "reflectance", "zero": [1, 2]}, "got 1 bands, 2 and 0 numb"),
        ({"bands": ["red"], "zero": [1]}, "units None in"),
        ({"bands": ["red"], "sensor": "MSS"}, "must be one of LANDSAT_OLI, .*, got MSS in"),
        ({"bands": ["red", "nir"]}, "got 2 names for filters of 1 bands in"),
        ("{", "must be whole JSON"),
    ],
)
def test_a_statement_that_is_wrong_is_refused(tmp_path, about, match):
    path, _ = saved(tmp_path / "e.pth", 1)
    text = about if isinstance(about, str) else json.dumps(about)
    path.with_suffix(".json").write_text(text)
    with pytest.raises(ModelError, match=match):
        unet(spec(("red",)), path)


def test_a_json_of_other_programs_states_nothing(tmp_path):
    path, encoder = saved(tmp_path / "e.pth", 6)
    path.with_suffix(".json").write_text('{"architecture": "resnet18"}')
    assert torch.equal(
        unet(spec(SIX), path).network.encoder.model.conv1.weight, encoder.conv1.weight
    )


@pytest.mark.parametrize("name", ["resnet18", "efficientnet-b0", "vgg11", "mobilenet_v2"])
def test_networks_of_smp_fill_its_own_encoders(tmp_path, name):
    """As smp names their tensors, with decoder and head beside them."""
    theirs = smp.Unet(name, encoder_weights=None, in_channels=3, classes=2)
    path = tmp_path / "unet.pth"
    torch.save({"state_dict": {f"model.{k}": v for k, v in theirs.state_dict().items()}}, path)
    ours = unet(spec(SIX[:3]), path, backbone=f"smp:{name}").network.encoder.state_dict()
    assert all(torch.equal(v, ours[k]) for k, v in theirs.encoder.state_dict().items())
    state_bands(path, ("nir", "green", "red"))
    more = unet(two_dates(SIX), path, "siamese", f"smp:{name}").network.encoder.encoder
    first = next(m for m in more.modules() if isinstance(m, torch.nn.Conv2d)).weight
    bank = next(m for m in theirs.modules() if isinstance(m, torch.nn.Conv2d)).weight
    assert torch.allclose(first[:, 3], bank[:, 0] / 2)


def test_layers_that_no_feature_comes_from_may_be_missing(tmp_path):
    """Graphs that other programs export leave them out."""
    tensors = smp.Unet("efficientnet-b0", encoder_weights=None).state_dict()
    idle = {
        k: v for k, v in tensors.items() if k.startswith(("encoder._conv_head", "encoder._bn1"))
    }
    path = tmp_path / "e.pth"
    torch.save({k: v for k, v in tensors.items() if k not in idle}, path)
    unet(spec(SIX[:3]), path, backbone="smp:efficientnet-b0")
    torch.save({k: v for k, v in tensors.items() if "_blocks.3._bn1" not in k}, path)
    with pytest.raises(ModelError, match=r"not _blocks_3__bn1_weight"):
        unet(spec(SIX[:3]), path, backbone="smp:efficientnet-b0")


def test_weights_of_an_onnx_graph_start_a_network(tmp_path):
    """As docs/models.md takes them out: those of ukis-csmask, which finds clouds."""
    onnx = pytest.importorskip("onnx", reason="the extra 'onnx' is not here")
    csmask = pytest.importorskip("ukis_csmask", reason="the extra 'clouds' is not here")
    graph = Path(csmask.__file__).with_name("model_6b_l2a.onnx")
    with pytest.raises(ModelError, match=r"6b_l2a\.onnx \(an ONNX graph, whose tensors have to be"):
        unet(spec(SIX), graph, backbone="smp:efficientnet-b4")
    tensors = {
        t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy())
        for t in onnx.load(graph, load_external_data=False).graph.initializer
    }
    about = json.loads(graph.with_suffix(".json").read_text())["data"]["dataset_statistics"]
    (zero, unit), bands = about["img"], about["band_names"]
    path = tmp_path / "csmask.safetensors"
    safetensors.torch.save_file(tensors, path)
    state_bands(path, bands, units="reflectance", zero=zero, unit=unit)
    model = unet(two_dates(SIX), path, "siamese", "smp:efficientnet-b4")
    stem = model.network.encoder.encoder._conv_stem.weight
    assert torch.equal(stem, tensors["model.encoder._conv_stem.weight"])
    assert model.spec.zero == pytest.approx([z * 10_000 for z in zero] * 2)


@pytest.mark.parametrize(
    ("contents", "match"),
    [
        (b"\x08\x07 no checkpoint" * 50, r"\(not a file of torch\.save\)"),
        ({"a": torch.zeros(1), "args": argparse.Namespace()}, r"it also holds argparse\.Namespace"),
    ],
)
def test_a_file_that_is_not_read_gets_our_own_line(tmp_path, contents, match):
    path = tmp_path / "e.pth"
    if isinstance(contents, bytes):
        path.write_bytes(contents)
    else:
        torch.save(contents, path)
    with pytest.raises(ModelError, match=match) as error:
        unet(spec(SIX), path)
    assert "weights_only" not in str(error.value)


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    path = tmp_path / "encoder.pth"
    torch.save(Hostile(), path)
    with pytest.raises(ModelError, match="must hold a state dict"):
        unet(spec(SIX), path)
    assert not (tmp_path / "owned").exists()


def test_bands_meet_by_what_they_see():
    assert match(("swir1", "swir2"), ("swir22", "swir16")).partners == (1, 0)
    assert match(("swir1", "red", "SR_B4", "B04"), ETM, "LANDSAT_ETM").partners == (4, 2, 3, 3)
    assert match(("nir08", "rededge2", "dem"), ("B8", "B8a", "B06"), "SENTINEL2").partners == (
        1, 2, None,
    )  # fmt: skip
    by_name = match((*SIX, "dem"), ("red", "green", "blue"))
    assert by_name.partners == (2, 1, 0, None, None, None, None)
    assert by_name.factor == 3 / 7  # fewer are left as they are
    assert match(("red",), ETM, "LANDSAT_ETM").factor == 1
    by_order = match(("b1", "b2", "b3", "b4"), ("red", "green", "blue"))
    assert (by_order.partners, by_order.factor) == ((0, 1, 2, 0), 3 / 4)
    assert match(("b1",), ("",) * 9) == match(("gray",), ETM)
    assert match(("b1",), ("",) * 9).partners == (None,)
    assert match(("b1",), ("",) * 9).factor == 9


def test_the_first_layer_takes_the_filters_of_the_same_bands(monkeypatch):
    encoder = timm.create_model("resnet18", in_chans=9)
    weights = EncoderWeights("w", encoder.state_dict(), ETM, "LANDSAT_ETM")
    monkeypatch.setattr("landshift.models.network.encoder_weights", lambda *_: weights)
    first = unet(spec(("nir", "dem", "red")), True).network.encoder.model.conv1.weight
    bank = encoder.conv1.weight
    assert torch.equal(first, torch.stack([bank[:, 3], bank.mean(1), bank[:, 2]], 1))


@pytest.mark.parametrize("mixed", [False, True])
def test_a_bank_of_one_date_fits_stacked_dates(tmp_path, mixed):
    path, encoder = saved(tmp_path / "e.pth", 6)
    of = two_dates(SIX)
    if mixed:
        of = spec([f"{date}:{b}" for b in SIX for date in ("before", "after")])
    stacked = unet(of, path).network.encoder.model.conv1
    image = torch.rand(1, 6, 32, 32)
    both = image.repeat_interleave(2, 1) if mixed else image.repeat(1, 2, 1, 1)
    assert torch.allclose(stacked(both), encoder.conv1(image), atol=1e-5)


@pytest.mark.parametrize("combination", ["siamese", "semantic"])
def test_a_network_that_sees_one_date_takes_the_bank_as_it_is(tmp_path, combination):
    path, encoder = saved(tmp_path / "e.pth", 6)
    network = unet(two_dates(SIX), path, combination).network
    shared = network.features.network.encoder if combination == "semantic" else (
        network.encoder.encoder
    )  # fmt: skip
    assert torch.equal(shared.model.conv1.weight, encoder.conv1.weight)


# ---- the scaling that weights need -----------------------------------------------------------

SURFACE = EncoderWeights(
    "SR", {}, ("SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B7"), "LANDSAT_ETM",
    Scaling("reflectance", (0.0,) * 6, (0.3,) * 6, ((1, 0), (1e-4, 0), (2.75e-5, -0.2))),
)  # fmt: skip


@pytest.mark.parametrize(
    ("factor", "offset", "dtype"),
    [(1.0, 0.0, "float32"), (1e-4, 0.0, "int16"), (2.75e-5, -0.2, "uint16")],
)
@pytest.mark.parametrize("reflectance", [(0.02, 0.15), (0.12, 0.6), (0.55, 1.1)])
def test_reflectance_is_known_however_it_is_stored(factor, offset, dtype, reflectance):
    mean, high, low, std = ((v - offset) / factor for v in (*reflectance, 0.0, offset + 0.05))
    of = two_dates(SIX, mean=mean, high=high, low=low, std=std, dtype=dtype)
    scaled = scale(of, SURFACE)
    assert scaled.zero == pytest.approx([-offset / factor] * 12)
    assert scaled.unit == pytest.approx([0.3 / factor] * 12)
    assert (scaled.mean, scaled.std) == (of.mean, of.std)  # what isn't valid stays their mean
    assert InputSpec.from_dict(scaled.as_dict()) == scaled


def test_dark_level_1_values_are_not_taken_for_bright_reflectance():
    toa = replace(SURFACE, scaling=replace(SURFACE.scaling, encodings=((1e-4, 0), (2e-5, -0.1))))
    water = spec(SIX, mean=6500.0, low=5100.0, high=14000.0, dtype="uint16")
    assert scale(water, toa).zero == pytest.approx((5000.0,) * 6)
    snow = spec(SIX, mean=6500.0, low=300.0, high=14000.0, dtype="uint16")
    assert scale(snow, toa).zero == (0.0,) * 6


@pytest.mark.parametrize(
    "values",
    [
        {"dtype": "uint8", "mean": 120.0, "high": 255.0},
        {"dtype": "float32", "mean": 0.0, "low": -3.0, "high": 4.0},
        {"dtype": "float32", "mean": 12.0, "high": 90.0},
        {"dtype": "int16", "mean": 120.0, "high": 255.0},
    ],
)
def test_values_that_are_no_reflectance_keep_the_scaling_of_the_tiles(values, caplog):
    of = two_dates(SIX, **values)
    assert scale(of, SURFACE) == of
    low, high = values.get("low", 0.0), values["high"]
    assert f"got {values['dtype']} values of {low:g} to {high:g} (mean " in caplog.text


def test_pictures_need_values_to_255(caplog):
    zero, unit = (123.7, 116.3, 103.5), (58.4, 57.1, 57.4)
    rgb = EncoderWeights("p", {}, ("red", "green", "blue"), "", Scaling("8 bit", zero, unit))
    picture = spec(("red", "green", "blue"), mean=90.0, std=40.0, high=250.0, dtype="uint8")
    assert (scale(picture, rgb).zero, scale(picture, rgb).unit) == (zero, unit)
    assert scale(spec(("red", "green", "blue")), rgb).zero == ()
    assert "p were trained on 8 bit, got int16 values of 0 to 6000 (mean 1500)" in caplog.text


def test_bands_without_a_partner_enter_like_the_others():
    of = replace(spec((*SIX, "dem")), mean=(1500.0,) * 6 + (300.0,), std=(600.0,) * 6 + (80.0,))
    scaled = scale(of, SURFACE)
    entering = [(m - z) / u for m, z, u in zip(of.mean, scaled.zero, scaled.unit, strict=True)]
    assert entering == pytest.approx([0.5] * 7)
    assert [s / u for s, u in zip(of.std, scaled.unit, strict=True)] == pytest.approx([0.2] * 7)


def test_the_network_sees_what_its_weights_saw():
    scaled = scale(two_dates(SIX), SURFACE)
    model = ChangeModel("unet", scaled, SCHEME, backbone="resnet18").eval()
    seen = []
    model.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(torch.full((1, 12, 32, 32), 1500.0))
    assert torch.allclose(seen[0], torch.tensor(0.5))


# ---- where weights come from -----------------------------------------------------------------


def test_offline_starts_from_random_weights_and_says_so(monkeypatch, caplog):
    monkeypatch.setenv("LANDSHIFT_OFFLINE", "1")
    with caplog.at_level(logging.WARNING):
        assert encoder_weights("resnet18", True) is None
        assert ChangeModel("unet", spec(SIX), SCHEME, pretrained=NAME).backbone == "resnet18"
    assert caplog.text.count("resnet18 starts from random weights") == 2


def test_without_a_network_the_line_names_the_two_ways_on(monkeypatch):
    monkeypatch.delenv("LANDSHIFT_OFFLINE")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    with pytest.raises(
        WeightsError, match=r"got no answer; pass pretrained_backbone=False .* file"
    ):
        encoder_weights("resnet18", True)
    with pytest.raises(WeightsError, match=r"must exist, got none\.pth"):
        encoder_weights("resnet18", "none.pth")


def test_imagenet_weights_know_their_colours(tmp_path, monkeypatch):
    monkeypatch.delenv("LANDSHIFT_OFFLINE")
    encoder = timm.create_model("resnet18")
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(encoder.state_dict(), path)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: str(path))
    model = unet(spec(("blue", "green", "red")), True)
    assert torch.equal(model.network.encoder.model.conv1.weight, encoder.conv1.weight.flip(1))
    assert model.spec.scaling == (model.spec.mean, model.spec.std)


def test_names_of_torchgeo_decide_the_backbone():
    with pytest.raises(ModelError, match=r"must be resnet18 for ResNet18_.*, got resnet34; leave"):
        ChangeModel("unet", spec(SIX), SCHEME, backbone="resnet34", pretrained=NAME)
    with pytest.raises(ModelError, match=r"those of ResNet18, .*, got ViTSmall16_Weights\.LANDSAT"):
        ChangeModel("unet", spec(SIX), SCHEME, pretrained="ViTSmall16_Weights.LANDSAT_ETM_SR_MOCO")


def test_without_torchgeo_the_line_says_how_to_get_it(tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("LANDSHIFT_OFFLINE")
    for name in ("torchgeo", "torchgeo.models"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ParameterError, match=r"pip install 'landshift\[torchgeo\]'"):
        ChangeModel("unet", spec(SIX), SCHEME, pretrained=NAME)
    path, _ = saved(tmp_path / PUBLISHED, 6)
    assert ChangeModel("unet", spec(SIX), SCHEME, pretrained=path).backbone == "resnet18"
    assert "Bands and scaling of resnet18_landsat_etm_toa_moco" in caplog.text


@pytest.fixture(scope="module")
def torchgeo():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("torchgeo.models", reason="the extra 'torchgeo' is not here")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of downloads, and nobody who answers."""

    def refuse(*_):
        raise OSError("unreachable")

    monkeypatch.delenv("LANDSHIFT_OFFLINE")
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_torchgeo_weights_come_with_bands_and_scaling(torchgeo, hub):
    _, encoder = saved(hub / PUBLISHED, 9)
    model = ChangeModel("unet", two_dates(SIX), SCHEME, combination="siamese", pretrained=NAME)
    first = model.network.encoder.encoder.model.conv1.weight
    assert torch.equal(first, encoder.conv1.weight[:, [0, 1, 2, 3, 4, 7]])
    zero, unit = model.spec.scaling
    assert zero == (0,) * 12
    assert unit == pytest.approx([0.4 * 255 / 256 * 10_000] * 12)
    renamed = hub / "copy.pth"
    (hub / PUBLISHED).rename(renamed)
    plain = ChangeModel("unet", two_dates(SIX), SCHEME, backbone="resnet18", pretrained=renamed)
    assert plain.spec.zero == ()  # nothing is known of it
    renamed.rename(hub / PUBLISHED)
    known = ChangeModel("unet", two_dates(SIX), SCHEME, pretrained=hub / PUBLISHED)
    assert known.spec == model.spec


def test_torchgeo_without_a_network_or_with_a_wrong_name_is_one_line(torchgeo, hub):
    with pytest.raises(
        WeightsError, match=r"got no answer; pass pretrained_backbone=False .* file"
    ):
        encoder_weights("resnet18", NAME)
    with pytest.raises(
        ParameterError, match=r"know the weights, got .*MSS; ResNet18_Weights has L"
    ):
        encoder_weights("resnet18", "ResNet18_Weights.LANDSAT_MSS")


def test_every_band_that_torchgeo_names_is_known(torchgeo, hub):
    seen = 0
    for kind in ("ResNet18", "ResNet50", "ResNet152"):
        for entry in getattr(torchgeo, f"{kind}_Weights"):
            torch.save({"conv1.weight": torch.zeros(1)}, hub / entry.url.rpartition("/")[2])
            weights = encoder_weights(kind.lower(), str(entry))
            assert len(weights.bands) == entry.meta["in_chans"]
            if entry.name.startswith("SENTINEL1"):
                assert weights.scaling is None
                continue
            few = len(weights.bands) < 6 or "NDVI" in weights.bands
            partners = match(SIX[:3] if few else SIX, weights.bands, weights.sensor).partners
            assert None not in partners
            assert len(set(partners)) == len(partners)
            assert all(u > 0 for u in weights.scaling.unit)
            seen += 1
    assert seen > 40


def test_sentinel_2_enters_as_reflectance(torchgeo, hub):
    entry = torchgeo.ResNet50_Weights.SENTINEL2_ALL_SOFTCON
    torch.save({"conv1.weight": torch.zeros(1)}, hub / entry.url.rpartition("/")[2])
    weights = encoder_weights("resnet50", str(entry))
    scaled = scale(spec(SIX, dtype="uint16"), weights)
    assert scaled.zero == pytest.approx([1397.6, 1322.3, 1373.1, 2318.7, 2195.2, 1537.4])
    assert scaled.unit == pytest.approx([854.3, 878.7, 1144.9, 1249.5, 1340.0, 1142.9])
