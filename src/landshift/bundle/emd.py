"""Esri's model definition (.emd) of a package: JSON with the keys that ArcGIS reads."""

from __future__ import annotations

import json
from typing import Any

from landshift import __version__
from landshift.bundle.contents import Package
from landshift.models import ARCHITECTURES
from landshift.spec import InputSpec

OURS = "LandshiftModel"
"""Key that marks an .emd of landshift; an .emd without it is another tool's."""


def definition(package: Package, weights: str, manifest: str) -> dict[str, Any]:
    """The .emd of a package.

    Args:
        package: The package.
        weights: File name of its weights.
        manifest: File name of its manifest.
    """
    model = package.model
    spec = model.spec
    size, _ = spec.hosted(fixed=model.fixed_tile)
    return {
        "Framework": "landshift",
        "FrameworkVersion": __version__,
        "ModelConfiguration": _configuration(package),
        "ModelType": "ImageClassification",
        "ModelName": package.name,
        "ModelFile": weights,
        "ModelFormat": "NCHW",
        OURS: manifest,
        "ExtractBands": [k - 1 for k in spec.positions] or list(range(len(spec.bands))),
        "Bands": list(spec.bands),
        "Classes": model.scheme.as_list(),
        "ImageHeight": size,
        "ImageWidth": size,
        "ImageSpaceUsed": "MAP_SPACE",
        "ImageryType": "multispectral" if len(spec.bands) != 3 else "RGB",
        "IsMultispectral": len(spec.bands) != 3,
        "MinCellSize": None,
        "MaxCellSize": None,
        "SupportsVariableTileSize": not model.fixed_tile,
        "DoNormalize": True,
        "IsImageNetNormalization": False,
        "NormalizationStats": _statistics(spec),
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


def _configuration(package: Package) -> str:
    """Esri's name of the network; our own if Esri has none for it."""
    design = package.model.design
    known = ARCHITECTURES.get(design.architecture)
    if known is not None and known.esri and design.combination == "stack":
        return known.esri
    return f"landshift_{design.combination}_{design.architecture}"


def _statistics(spec: InputSpec) -> dict[str, list[float]]:
    """Band statistics in the raster's units, and the same with each band's range scaled to 0..1."""
    span = [high - low + 1e-4 for low, high in zip(spec.minimum, spec.maximum, strict=True)]
    shifted = [v - low for v, low in zip(spec.mean, spec.minimum, strict=True)]
    return {
        "band_min_values": list(spec.minimum),
        "band_max_values": list(spec.maximum),
        "band_mean_values": list(spec.mean),
        "band_std_values": list(spec.std),
        "scaled_min_values": [0.0] * len(span),
        "scaled_max_values": [1.0] * len(span),
        "scaled_mean_values": [v / s for v, s in zip(shifted, span, strict=True)],
        "scaled_std_values": [v / s for v, s in zip(spec.std, span, strict=True)],
    }
