"""A STAC Item of a model, with the Machine Learning Model extension."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landshift import bundle
from landshift.errors import ModelError, ParameterError
from landshift.files import hub, jsons, kinds, options, whole
from landshift.publish import items

if TYPE_CHECKING:
    from landshift.bundle import Package
    from landshift.models import ChangeModel

MLM = "https://stac-extensions.github.io/mlm/v1.6.0/schema.json"

_TASK = "semantic-segmentation"
_BYTES = "application/octet-stream"
_WEIGHTS = {
    ".safetensors": (f"{_BYTES}; application=safetensors", "safetensors.torch.save_file"),
    ".pth": (f"{_BYTES}; application=pytorch", "torch.save"),
    ".onnx": (f"{_BYTES}; application=onnx", "onnx"),
    ".dlpk": ("application/zip", "dlpk"),
}
"""Media type and artifact type of a file with weights, by its suffix."""
_OTHERS = {
    ".emd": ("application/json", "metadata"),
    ".json": ("application/json", "metadata"),
    ".html": ("text/html", "overview"),
}
"""Media type and roles of a model's other files, by their suffix."""
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]")  # names that the extension permits


def describe_model(
    model: Path | str,
    out: options.OutFile,
    *,
    datetime: str | None = None,
    start: str | None = None,
    end: str | None = None,
    bounds: options.Bounds | None = None,
    overwrite: options.Flag = False,
) -> Path:
    """Describe a model as a STAC Item with the Machine Learning Model extension.

    The Item holds bands, scaling, classes, and the model's files with their checksums. Its paths
    are relative.

    Args:
        model: A saved model: .emd, .dlpk, folder or hf://owner/repo.
        out: The Item to write (.json).
        datetime: Day or time of the model, as 2016-07-01 (UTC); left out: when it was saved.
        start: First day of the period that the model is for, instead of a single time.
        end: Last day of the period that the model is for.
        bounds: West south east north of the area that the model is for, in degrees.
        overwrite: Replace what is there already under the same name.

    Raises:
        ModelError: The model can't be read.
        ParameterError: No date is known, or one is invalid; bounds aren't degrees.
        OutputError: The Item can't be written.
    """
    out = Path(out)
    kinds.ITEM.check(out)
    whole.check_new(out, inputs=[model], overwrite=overwrite)
    path = hub.local(model)
    package = bundle.load(path)
    folder = path if path.is_dir() else path.parent
    packed = path.is_file() and path.suffix.lower() != ".emd"
    if (datetime, start, end) == (None, None, None) and not packed:
        datetime = _saved(folder)
    geometry = None if bounds is None else _rectangle(bounds)
    return items.write(
        out, name=package.name, extensions=[MLM, items.FILE], geometry=geometry,
        bounds=bounds, properties={**items.times(datetime, start, end), **_properties(package)},
        assets=_assets([path] if packed else _files(path, folder), out, _bands(package.model)),
    )  # fmt: skip


def _properties(package: Package) -> dict[str, Any]:
    model, spec = package.model, package.model.spec
    properties = {
        "title": package.name,
        "description": f"Land-cover change map from {len(spec.bands)} bands: "
        f"{', '.join(model.scheme.names)}.",
        "bands": _bands(model),
        "mlm:name": _name(package.name),
        "mlm:architecture": f"{model.title}, dates by {model.design.combination}",
        "mlm:tasks": [_TASK],
        "mlm:framework": "PyTorch",
        "mlm:total_parameters": sum(p.numel() for p in model.parameters()),
        "mlm:accelerator_constrained": False,
        "mlm:input": [_input(model)],
        "mlm:output": [_output(model)],
    }
    plain = {k: v for k, v in package.training.items() if isinstance(v, str | int | float)}
    if plain:
        properties["mlm:hyperparameters"] = plain
    return properties


def _input(model: ChangeModel) -> dict[str, Any]:
    spec = model.spec
    size = spec.tile_size if model.fixed_tile else -1
    zero, unit = spec.scaling
    clipped = "" if spec.low else ", clipped"
    return {
        "name": "tiles",
        "description": "Values in the raster's own units; landshift and an ONNX file of it scale "
        f"them as stated{clipped}. Pixels that aren't valid enter as the mean.",
        "bands": list(spec.bands),
        "input": {
            "shape": [-1, len(spec.bands), size, size],
            "dim_order": ["batch", "bands", "height", "width"],
            "data_type": spec.dtype,
        },
        "value_scaling": [
            {"type": "z-score", "mean": z, "stddev": u} for z, u in zip(zero, unit, strict=True)
        ],
    }


def _output(model: ChangeModel) -> dict[str, Any]:
    size = model.spec.tile_size if model.fixed_tile else -1
    return {
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


def _bands(model: ChangeModel) -> list[dict[str, Any]]:
    spec = model.spec
    unknown = (None,) * len(spec.bands)
    entries = []
    for name, unit, sensor in zip(
        spec.bands, spec.band_units or unknown, spec.band_sensors or unknown, strict=True
    ):
        band = {"name": name, "data_type": spec.dtype, "unit": unit}
        band["description"] = f"Band of {sensor}" if sensor else None
        entries.append({k: v for k, v in band.items() if v})
    return entries


def _name(name: str) -> str:
    """A name that the extension permits: from a letter to a letter or digit."""
    plain = re.sub(r"[^a-zA-Z0-9_.\- ]", "_", name)
    return plain if _NAME.fullmatch(plain) else f"landshift_{plain}".rstrip("_.- ")


def _files(path: Path, folder: Path) -> list[Path]:
    """The files of a model in a folder: those with hashes and their zip, or of arcgis.learn."""
    if (folder / "SHA256SUMS").is_file():
        names = bundle.verify(path).files
        return [folder / name for name in names] + sorted(folder.glob("*.dlpk"))
    return [p for p in folder.iterdir() if p.suffix.lower() in (".emd", ".pth")]


def _assets(paths: Iterable[Path], out: Path, bands: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The files of a model of known types; those with weights state their bands."""
    assets: dict[str, Any] = {}
    for path in sorted(p for p in paths if p.is_file() and not p.is_symlink()):
        if path.suffix in _WEIGHTS:
            kind, artifact = _WEIGHTS[path.suffix]
            more = {"mlm:artifact_type": artifact, "bands": bands}
            roles = ["mlm:model", "mlm:weights"]
        elif path.suffix in _OTHERS:
            kind, *roles = _OTHERS[path.suffix]
            more = {}
        else:
            continue
        assets[path.name] = items.asset(path, out, kind, roles, title=path.name, **more)
    return assets


def _saved(folder: Path) -> str | None:
    """Time at which a model was saved, from the log in its folder."""
    log = folder / "log.json"
    if log.is_symlink() or not log.is_file():
        return None
    entries = jsons.parse(log.read_bytes(), what=str(log), error=ModelError)
    saved = entries.get("saved") if isinstance(entries, Mapping) else None
    return saved if isinstance(saved, str) else None


def _rectangle(bounds: tuple[float, float, float, float]) -> dict[str, Any]:
    west, south, east, north = bounds
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise ParameterError(
            f"`bounds` must be west, south, east and north in degrees, got {bounds}."
        )
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}
