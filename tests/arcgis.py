"""Models as arcgis.learn saves them, made without it: its keys in an .emd, its names in a .pth."""

from __future__ import annotations

import ast
import json
import os
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torchvision.models import resnet, segmentation

from landshift.models.dynamic import DynamicUnet

_NAMES = (
    ("encoder.model.conv1.", "layers.0.0."),
    ("encoder.model.bn1.", "layers.0.1."),
    *((f"encoder.model.layer{k}.", f"layers.0.{k + 3}.") for k in range(1, 5)),
    ("norm.", "layers.1."),
    ("middle.0.", "layers.3.0.0."),
    ("middle.2.", "layers.3.1.0."),
    *((f"blocks.{k}.up.convolution.", f"layers.{k + 4}.shuf.conv.0.") for k in range(4)),
    *((f"blocks.{k}.norm.", f"layers.{k + 4}.bn.") for k in range(4)),
    *((f"blocks.{k}.convolutions.0.", f"layers.{k + 4}.conv1.0.") for k in range(4)),
    *((f"blocks.{k}.convolutions.2.", f"layers.{k + 4}.conv2.0.") for k in range(4)),
    ("up.convolution.", "layers.8.conv.0."),
    ("residual.0.", "layers.10.layers.0.0."),
    ("residual.2.", "layers.10.layers.1.0."),
    ("classifier.", "layers.11.0."),
)

RANGES = ((0.0, 1000.0), (10.0, 500.0), (1.0, 4000.0), (0.0, 255.0))


def definition(bands: tuple[int, ...] = (0, 1, 2, 3), **changes: Any) -> dict[str, Any]:
    """An .emd of four bands, of which some are extracted, and the classes 1 to 3."""
    low, high = zip(*RANGES, strict=True)
    return {
        "Framework": "arcgis.learn.models._inferencing",
        "ModelConfiguration": "_unet",
        "ModelType": "ImageClassification",
        "InferenceFunction": "ArcGISImageClassifier.py",
        "ExtractBands": list(bands),
        "ignore_mapped_class": [],
        "Classes": [
            {"Value": 1, "Name": "forest", "Color": [0, 100, 0]},
            {"Value": 2, "Name": "water", "Color": [0, 0, 200]},
            {"Value": 3, "Name": "urban", "Color": [-1, -1, -1]},
        ],
        "MinCellSize": {"x": 30.0, "y": 30.0, "spatialReference": {"wkid": 32618}},
        "ArcGISLearnVersion": "2.4.4",
        "ModelFile": "m.pth",
        "ImageHeight": 64,
        "ImageWidth": 64,
        "ModelParameters": {"backbone": "resnet18", "backend": "pytorch"},
        "resize_to": 64,
        "IsMultispectral": True,
        "IsImageNetNormalization": True,
        "Bands": [f"Band_{k}" for k in range(1, 5)],
        "NormalizationStats": {
            "band_min_values": low,
            "band_max_values": high,
            "band_mean_values": [0.4 * b for b in high],
            "band_std_values": [0.2 * b for b in high],
            "scaled_mean_values": [0.4, 0.38, 0.41, 0.5],
            "scaled_std_values": [0.2, 0.02, 0.19, 0.3],
        },
        "DoNormalize": True,
    } | changes


def state(backbone: str, bands: int, outputs: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """A random state dict of its U-Net, under its names."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = DynamicUnet(f"tu-{backbone}", None, bands, bands, outputs)
        assert network.classifier.bias is not None
        torch.nn.init.normal_(network.classifier.bias)
    made = OrderedDict()
    for name, tensor in network.state_dict().items():
        ours, theirs = next(pair for pair in _NAMES if name.startswith(pair[0]))
        made[theirs + name.removeprefix(ours)] = tensor
    return made


def deeplab(bands: int, outputs: int) -> nn.Module:
    """torchvision's deeplabv3_resnet50 with random weights and statistics, ready to predict."""
    made: Any = segmentation.deeplabv3_resnet50(
        weights=None, weights_backbone=None, num_classes=outputs, aux_loss=True
    )
    made.backbone.conv1 = nn.Conv2d(bands, 64, 7, 2, 3, bias=False)
    return randomised(made)


class PSPNet(nn.Module):
    """The layers of PSPNet as published for torch (Zhao 2017), with an output for training."""

    def __init__(self, bands: int, outputs: int, sizes: tuple[int, ...] = (1, 2, 3, 6)) -> None:
        super().__init__()
        body = resnet.resnet50(weights=None)
        body.conv1 = nn.Conv2d(bands, 64, 7, 2, 3, bias=False)
        self.backbone = nn.Sequential(*list(body.children())[:-2])
        for stage, rate in ((body.layer3, 2), (body.layer4, 4)):
            for name, layer in stage.named_modules():
                if name.endswith("conv2"):
                    layer.stride, layer.dilation, layer.padding = (1, 1), (rate,) * 2, (rate,) * 2
                elif name.endswith("downsample.0"):
                    layer.stride = (1, 1)
        share = 2048 // len(sizes)
        self.ppm: Any = nn.Module()
        self.ppm.features = nn.ModuleList(
            nn.Sequential(
                nn.AdaptiveAvgPool2d(k), nn.Conv2d(2048, share, 1, bias=False),
                nn.BatchNorm2d(share), nn.ReLU(),
            )
            for k in sizes
        )  # fmt: skip
        self.final = nn.Sequential(
            nn.Conv2d(2048 + len(sizes) * share, share, 3, padding=1, bias=False),
            nn.BatchNorm2d(share), nn.ReLU(), nn.Dropout(0.1), nn.Conv2d(share, outputs, 1),
        )  # fmt: skip
        self.aux_logits = nn.Conv2d(1024, outputs, 1)
        randomised(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        deepest = self.backbone(images)
        parts = [deepest]
        for grid in self.ppm.features:
            parts.append(functional.interpolate(grid(deepest), deepest.shape[2:], mode="bilinear"))
        logits = self.final(torch.cat(parts, 1))
        return functional.interpolate(logits, images.shape[2:], mode="bilinear")


def randomised(network: nn.Module) -> nn.Module:
    """A network with random statistics of its batch norms, ready to predict."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1)
            assert layer.running_mean is not None
            assert layer.running_var is not None
            for values in (layer.bias, layer.running_mean):
                nn.init.normal_(values, std=0.1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    return network.eval()


def write(folder: Path, emd: dict[str, Any], weights: Any) -> Path:
    """Write both files, the weights from a file where there is one; the path of the .emd."""
    folder.mkdir(exist_ok=True)
    if isinstance(weights, Path):
        os.link(weights, folder / "m.pth")
    else:
        torch.save(weights, folder / "m.pth")
    (folder / "m.emd").write_text(json.dumps(emd))
    return folder / "m.emd"


def fixture(folder: Path) -> dict[str, torch.Tensor]:
    """The state dict of the test vector, by the rule in its README."""
    made = OrderedDict()
    for line in (folder / "state_dict_keys.txt").read_text().splitlines():
        name, told, dtype = line.split("\t")
        shape = ast.literal_eval(told)
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        if dtype != "torch.float32":
            made[name] = torch.zeros(shape, dtype=torch.int64)
        elif name.endswith(("running_mean", "bias")):
            made[name] = torch.randn(shape, generator=generator) * 0.05
        elif len(shape) == 1:
            made[name] = torch.rand(shape, generator=generator) * 0.5 + 0.75
        else:
            values = torch.randn(shape, generator=generator)
            made[name] = values * (1 / values[0].numel()) ** 0.5
    return made
