"""A STAC Item of a model, with the Machine Learning Model extension."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from landshift import bundle
from landshift.bundle import Package
from landshift.errors import ModelError, ParameterError
from landshift.files import hub, jsons, whole
from landshift.models import ChangeModel
from landshift.publish import items

MLM = "https://stac-extensions.github.io/mlm/v1.6.0/schema.json"

_TASK = "semantic-segmentation"
_BYTES = "application/octet-stream"
_WEIGHTS = {
    ".safetensors": (f"{_BYTES}; application=safetensors", "safetensors.torch.save_file"),
    ".pth": (f"{_BYTES}; application=pytorch", "torch.save"),
    ".onnx": (f"{_BYTES}; application=onnx", "onnx"),
    ".dlpk": ("application/zip", "dlpk"),
}
"""Media type of a file with weights, and how it was written."""
_OTHERS = {
    ".emd": ("application/json", "metadata"),
    ".json": ("application/json", "metadata"),
    ".html": ("text/html", "overview"),
}
"""Media type of other files of a model, and what they are for."""
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]")  # what the extension takes as a name


def describe_model(
    path: Path | str,
    out: Path | str,
    *,
    moment: str | None = None,
    start: str | None = None,
    end: str | None = None,
    bounds: tuple[float, float, float, float] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the STAC Item of a saved model: its bands, scaling, classes, files with checksums.

    Args:
        path: The model: .emd, .dlpk or folder, or a place on a hub.
        out: The Item's file; paths in it are relative to it.
        moment: Date of the model; None: when it was saved, where its folder says so.
        start: First day of the time that it is for, instead.
        end: Last day of it.
        bounds: West, south, east, north of the ground that it is for, in degrees; None: anywhere.
        overwrite: Whether what is there already is replaced.

    Raises:
        ModelError: The model can't be read.
        ParameterError: No date is known, or one isn't valid; bounds aren't degrees.
        OutputError: The Item can't be written.
    """
    out = Path(out)
    whole.check_new(out, inputs=[path], overwrite=overwrite)
    path = hub.local(path)
    package = bundle.load(path)
    folder = path if path.is_dir() else path.parent
    packed = path.is_file() and path.suffix.lower() != ".emd"
    if (moment, start, end) == (None, None, None) and not packed:
        moment = _saved(folder)
    geometry = None if bounds is None else _rectangle(bounds)
    return items.write(
        out, name=package.name, extensions=[MLM, items.FILE], geometry=geometry,
        bounds=bounds, properties={**items.times(moment, start, end), **_properties(package)},
        assets=_assets([path] if packed else _files(path, folder), out, _bands(package.model)),
    )  # fmt: skip


def _properties(package: Package) -> dict[str, Any]:
    model, spec = package.model, package.model.spec
    size = spec.tile_size if model.fixed_tile else -1
    zero, unit = spec.scaling
    clipped = "" if spec.low else ", clipped"
    told = {
        "title": package.name,
        "description": f"Land-cover change map from {len(spec.bands)} bands: "
        f"{', '.join(model.scheme.names)}.",
        "bands": _bands(model),
        "mlm:name": _name(package.name),
        "mlm:architecture": f"{model.architecture} over {model.backbone}, dates by "
        f"{model.design.combination}",
        "mlm:tasks": [_TASK],
        "mlm:framework": "PyTorch",
        "mlm:total_parameters": sum(p.numel() for p in model.parameters()),
        "mlm:accelerator_constrained": False,
        "mlm:input": [
            {
                "name": "tiles",
                "description": "Values in the raster's own units; landshift and an ONNX file of "
                f"it scale them as stated{clipped}. Pixels that aren't valid enter as the mean.",
                "bands": list(spec.bands),
                "input": {
                    "shape": [-1, len(spec.bands), size, size],
                    "dim_order": ["batch", "bands", "height", "width"],
                    "data_type": spec.dtype,
                },
                "value_scaling": [
                    {"type": "z-score", "mean": z, "stddev": u}
                    for z, u in zip(zero, unit, strict=True)
                ],
            }
        ],
        "mlm:output": [
            {
                "name": "classes",
                "description": "A logit for each class; the map has the value of the largest.",
                "tasks": [_TASK],
                "result": {
                    "shape": [-1, len(model.scheme), size, size],
                    "dim_order": ["batch", "class", "height", "width"],
                    "data_type": "float32",
                },
                "classification:classes": items.classes(model.scheme),
            }
        ],
    }
    plain = {k: v for k, v in package.training.items() if isinstance(v, str | int | float)}
    if plain:
        told["mlm:hyperparameters"] = plain
    return told


def _bands(model: ChangeModel) -> list[dict[str, Any]]:
    spec = model.spec
    nothing = (None,) * len(spec.bands)
    found = []
    for name, unit, sensor in zip(
        spec.bands, spec.band_units or nothing, spec.band_sensors or nothing, strict=True
    ):
        told = {"name": name, "data_type": spec.dtype, "unit": unit}
        told["description"] = f"Band of {sensor}" if sensor else None
        found.append({k: v for k, v in told.items() if v})
    return found


def _name(name: str) -> str:
    """A name as the extension takes it: from a letter, to a letter or digit."""
    plain = re.sub(r"[^a-zA-Z0-9_.\- ]", "_", name)
    return plain if _NAME.fullmatch(plain) else f"landshift_{plain}".rstrip("_.- ")


def _files(path: Path, folder: Path) -> list[Path]:
    """The files of a model in a folder: those of its hashes and their zip, or of arcgis.learn."""
    if (folder / "SHA256SUMS").is_file():
        names = bundle.verify(path).files
        return [folder / name for name in names] + sorted(folder.glob("*.dlpk"))
    return [p for p in folder.iterdir() if p.suffix.lower() in (".emd", ".pth")]


def _assets(paths: Iterable[Path], out: Path, bands: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The files of a model that others can use; weights tell the bands that they are for."""
    found: dict[str, Any] = {}
    for path in sorted(p for p in paths if p.is_file() and not p.is_symlink()):
        if path.suffix in _WEIGHTS:
            kind, how = _WEIGHTS[path.suffix]
            told = {"mlm:artifact_type": how, "bands": bands}
            roles = ["mlm:model", "mlm:weights"]
        elif path.suffix in _OTHERS:
            kind, *roles = _OTHERS[path.suffix]
            told = {}
        else:
            continue
        found[path.name] = items.asset(path, out, kind, roles, title=path.name, **told)
    return found


def _saved(folder: Path) -> str | None:
    """When a model was saved, by the log in its folder."""
    log = folder / "log.json"
    if log.is_symlink() or not log.is_file():
        return None
    told = jsons.parse(log.read_bytes(), what=str(log), error=ModelError)
    saved = told.get("saved") if isinstance(told, Mapping) else None
    return saved if isinstance(saved, str) else None


def _rectangle(bounds: tuple[float, float, float, float]) -> dict[str, Any]:
    west, south, east, north = bounds
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise ParameterError(
            f"bounds must be west, south, east and north in degrees, got {bounds}."
        )
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}
