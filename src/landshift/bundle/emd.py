"""Esri's model definition (.emd) of our models: JSON with the keys that ArcGIS reads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from landshift import __version__
from landshift.models import ARCHITECTURES

if TYPE_CHECKING:
    from landshift.bundle.package import Package


def definition(package: Package, weights: str, manifest: str) -> dict[str, Any]:
    """The .emd of a package.

    Args:
        package: The model.
        weights: File name of its weights.
        manifest: File name of our own, fuller description.
    """
    model = package.model
    spec = model.spec
    scaled = {
        f"scaled_{key}_values": [
            (v - low) / (high - low + 1e-4)
            for v, low, high in zip(values, spec.minimum, spec.maximum, strict=True)
        ]
        for key, values in (("mean", spec.mean),)
    }
    scaled["scaled_std_values"] = [
        s / (high - low + 1e-4)
        for s, low, high in zip(spec.std, spec.minimum, spec.maximum, strict=True)
    ]
    return {
        "Framework": "landshift",
        "FrameworkVersion": __version__,
        "ModelConfiguration": ARCHITECTURES[model.architecture].esri,
        "ModelType": "ImageClassification",
        "ModelName": package.name,
        "ModelFile": weights,
        "ModelFormat": "NCHW",
        "LandshiftModel": manifest,
        "ExtractBands": list(range(len(spec.bands))),
        "Bands": list(spec.bands),
        "Classes": model.scheme.as_list(),
        "ImageHeight": spec.tile_size,
        "ImageWidth": spec.tile_size,
        "ImageSpaceUsed": "MAP_SPACE",
        "ImageryType": "multispectral" if len(spec.bands) != 3 else "RGB",
        "IsMultispectral": len(spec.bands) != 3,
        "MinCellSize": spec.cell_size,
        "MaxCellSize": spec.cell_size,
        "SupportsVariableTileSize": not model.fixed_tile,
        "DoNormalize": True,
        "IsImageNetNormalization": False,
        "NormalizationStats": {
            "band_min_values": list(spec.minimum),
            "band_max_values": list(spec.maximum),
            "band_mean_values": list(spec.mean),
            "band_std_values": list(spec.std),
            **scaled,
        },
        "ModelParameters": {"backbone": model.backbone},
        "LearningRate": str(package.training.get("lr", "")),
        "accuracy": "" if package.scores is None else f"{package.scores['accuracy']:.6f}",
        "per_class_metrics": ""
        if package.scores is None
        else json.dumps(
            {
                c["name"]: {k: c[k] for k in ("precision", "recall", "f1")}
                for c in package.scores["classes"]
            }
        ),
    }
