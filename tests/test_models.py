import logging

import pytest
import safetensors.torch
import timm
import torch

from landshift.classes import ClassScheme
from landshift.errors import ModelError, WeightsError
from landshift.models import ARCHITECTURES, ChangeModel
from landshift.models.weights import encoder_weights
from landshift.spec import InputSpec

SCHEME = ClassScheme.from_mapping({1: "to crop", 2: "to water", 3: "No change"})


def spec(bands=4):
    names = tuple(f"b{k}" for k in range(bands))
    return InputSpec(
        names,
        (100.0,) * bands,
        (10.0,) * bands,
        (0.0,) * bands,
        (255.0,) * bands,
        64,
        "uint8",
        None,
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("size", [(64, 64), (50, 37)])
def test_every_architecture_gives_a_logit_per_class_and_pixel(architecture, size):
    model = ChangeModel(architecture, spec(), SCHEME, backbone="resnet18").eval()
    assert model(torch.rand(2, 4, *size)).shape == (2, 3, *size)


def test_the_usual_backbones_are_the_familiar_ones():
    found = {name: a.backbone for name, a in ARCHITECTURES.items()}
    assert found == {"unet": "resnet34", "pspnet": "resnet50", "deeplab": "resnet101"}


def test_scaling_is_that_of_the_spec_and_not_of_the_tile():
    model = ChangeModel("unet", spec(), SCHEME, backbone="resnet18").eval()
    seen = []
    model.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(torch.full((1, 4, 32, 32), 120.0))
    model(torch.full((1, 4, 32, 32), 1e6))
    assert torch.equal(seen[0].unique(), torch.tensor([2.0]))
    assert torch.equal(seen[1].unique(), torch.tensor([8.0]))  # clipped


def test_the_seed_decides_the_start_and_nothing_else_is_disturbed():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = ChangeModel("unet", spec(), SCHEME, backbone="resnet18", seed=5)
    assert torch.equal(torch.rand(3), expected)
    second = ChangeModel("unet", spec(), SCHEME, backbone="resnet18", seed=5)
    other = ChangeModel("unet", spec(), SCHEME, backbone="resnet18", seed=6)
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_weights_file_fills_the_encoder_for_any_number_of_bands(tmp_path, suffix):
    encoder = timm.create_model("resnet18", pretrained=False)
    path = tmp_path / f"encoder{suffix}"
    if suffix == ".pth":
        torch.save(encoder.state_dict(), path)
    else:
        safetensors.torch.save_file(encoder.state_dict(), path)
    model = ChangeModel("unet", spec(6), SCHEME, backbone="resnet18", pretrained=path)
    loaded = model.network.encoder.model
    assert torch.equal(loaded.layer1[0].conv1.weight, encoder.layer1[0].conv1.weight)
    first = encoder.conv1.weight / 2  # two copies of three bands, halved
    assert torch.allclose(loaded.conv1.weight, torch.cat([first, first], 1))


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    path = tmp_path / "encoder.pth"
    torch.save(Hostile(), path)
    with pytest.raises(ModelError, match="must work as encoder"):
        ChangeModel("unet", spec(), SCHEME, backbone="resnet18", pretrained=path)
    assert not (tmp_path / "owned").exists()


def test_unknown_names_are_one_line():
    with pytest.raises(ModelError, match="must be one of unet, pspnet, deeplab, got 'vnet'"):
        ChangeModel("vnet", spec(), SCHEME)
    with pytest.raises(ModelError, match=r"encoder of timm, got 'resnet35'; near it are"):
        ChangeModel("unet", spec(), SCHEME, backbone="resnet35")


def test_offline_starts_from_random_weights_and_says_so(monkeypatch, caplog):
    monkeypatch.setenv("LANDSHIFT_OFFLINE", "1")
    with caplog.at_level(logging.WARNING):
        assert encoder_weights("resnet18", True) is None
    assert "resnet18 starts from random weights" in caplog.text


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
