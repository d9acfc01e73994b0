"""Our package: a folder, and a .dlpk (a zip of it) with weights, description and Esri's .emd."""

from __future__ import annotations

import json
import logging
import math
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import nn

from landshift import __version__, archive, ledger
from landshift.bundle import arcgis
from landshift.bundle.contents import Package
from landshift.bundle.emd import definition
from landshift.classes import ClassScheme
from landshift.errors import ClassError, ModelError
from landshift.models import OWN, ChangeModel
from landshift.spec import InputSpec

log = logging.getLogger(__name__)

MANIFEST = "landshift.json"
FORMAT = 2
"""Version of the manifest's layout."""

_MAX_JSON = 16 << 20  # bytes; a real manifest has a few thousand
_MAX_PACKAGE = 8 << 30


def save(package: Package, folder: Path) -> Path:
    """Write a package as a folder that also holds a .dlpk of it.

    The folder holds ``<name>.safetensors`` (weights), ``landshift.json`` (what the model is),
    ``log.json`` (how long each epoch took), ``<name>.emd`` (the same for Esri's tools) and
    ``<name>.dlpk``. A folder of an earlier model of that name is replaced.

    Args:
        package: The model.
        folder: Where it goes; its parent is made if need be.

    Returns:
        The path of the .emd.

    Raises:
        ModelError: A name that can't be a file's; a folder there that isn't a model's.
        OutputError: The folder can't be written.
    """
    name = package.name
    if not re.fullmatch(r"[\w][\w .-]{0,99}", name):
        raise ModelError(
            f"A model's name must be letters, digits, space, '.', '-' or '_', got {name!r}."
        )
    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise ModelError(
            f"A model's folder must be new or hold a model, got {folder} with other files in it; "
            "give another name."
        )
    weights = f"{name}.safetensors"
    manifest, timing = _describe(package, weights)
    with ledger.whole_folder(folder, replace=True) as part:
        state = {k: v.detach().cpu().contiguous() for k, v in package.model.state_dict().items()}
        (part / weights).write_bytes(safetensors.torch.save(state))
        _write_json(part / MANIFEST, manifest)
        _write_json(part / "log.json", timing)
        _write_json(part / f"{name}.emd", definition(package, weights, MANIFEST))
        archive.pack(part / f"{name}.dlpk", part, [p for p in part.iterdir() if p.is_file()])
    return folder / f"{name}.emd"


def load(path: Path | str, *, network: nn.Module | None = None) -> Package:
    """Read a package; nothing in it is run, nothing is written outside a temporary folder.

    Args:
        path: The .dlpk, the .emd, or the folder.
        network: An untrained network with the layers of the saved one, where that is its
            author's own: a package holds no code.

    Raises:
        ModelError: It is missing, damaged, hostile, or not one of ours.
    """
    path = Path(path)
    if not path.exists():
        raise ModelError(f"The model must exist, got {path}; give its .emd, .dlpk or folder.")
    if path.is_dir():
        return _read_any(path, path, network)
    if path.suffix.lower() == ".emd":
        return _read_any(path.parent, path, network)
    temporary = Path(tempfile.mkdtemp(prefix="landshift-"))
    try:
        archive.unpack(path, temporary, error=ModelError, max_bytes=_MAX_PACKAGE)
        return _read_any(temporary, path, network)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def keep_padding(path: Path | str, padding: int) -> None:
    """Note in a package which padding its model was measured to need.

    Args:
        path: The .dlpk, the .emd, or the folder; a .dlpk in the folder is packed anew.
        padding: Pixels around a tile.

    Raises:
        ModelError: There is no package of ours.
        OutputError: It can't be written.
    """
    path = Path(path)
    if path.is_dir() or path.suffix.lower() == ".emd":
        folder = path if path.is_dir() else path.parent
        name = _note_padding(folder, padding, path)
        packed = folder / f"{name}.dlpk"
        if packed.is_file():
            _note_padding_packed(packed, padding)
    else:
        _note_padding_packed(path, padding)


def _note_padding(folder: Path, padding: int, shown: Path) -> str:
    """Note it in a folder's manifest; the package's name."""
    manifest = _read_json(folder / MANIFEST, shown)
    manifest["input"]["padding"] = padding
    with ledger.whole_file(folder / MANIFEST) as part:
        _write_json(part, manifest)
    return str(manifest["name"])


def _note_padding_packed(path: Path, padding: int) -> None:
    with tempfile.TemporaryDirectory(prefix="landshift-") as temporary:
        folder = Path(temporary)
        archive.unpack(path, folder, error=ModelError, max_bytes=_MAX_PACKAGE)
        _note_padding(folder, padding, path)
        with ledger.whole_file(path) as part:
            archive.pack(part, folder, [p for p in folder.iterdir() if p.is_file()])


def _describe(package: Package, weights: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest, which the same training gives again, and the times, which it doesn't."""
    model = package.model
    history = [{k: v for k, v in row.items() if k != "seconds"} for row in package.history]
    manifest = {
        "format": FORMAT,
        "software": f"landshift {__version__}",
        "name": package.name,
        "architecture": model.architecture,
        "combination": model.design.combination,
        "backbone": model.backbone,
        "options": dict(model.design.options),
        "weights": weights,
        "input": model.spec.as_dict(),
        "classes": model.scheme.as_list(),
        "map_classes": None if model.map_scheme is None else model.map_scheme.as_list(),
        "temperature": model.temperature,
        "training": dict(package.training),
        "history": history,
        "scores": package.scores,
    }
    return manifest, {"seconds": [row.get("seconds") for row in package.history]}


def _read_any(folder: Path, shown: Path, network: nn.Module | None) -> Package:
    """The package in a folder: our own, or one of arcgis.learn."""
    emds = [shown] if shown.suffix.lower() == ".emd" else sorted(folder.glob("*.emd"))
    if (folder / MANIFEST).exists() or len(emds) != 1:
        return _read(folder, shown, network)
    return arcgis.read(_read_json(emds[0], shown), folder, shown)


def _read(folder: Path, shown: Path, network: nn.Module | None) -> Package:
    manifest = _read_json(folder / MANIFEST, shown)
    if manifest.get("format") != FORMAT:
        raise ModelError(
            f"The package's format must be {FORMAT}, got {manifest.get('format')!r} in {shown}; "
            "read it with the version of landshift that wrote it."
        )
    try:
        name, architecture = str(manifest["name"]), str(manifest["architecture"])
        backbone, weights = str(manifest["backbone"]), str(manifest["weights"])
        spec = InputSpec.from_dict(manifest["input"])
        scheme = ClassScheme.from_list(manifest["classes"])
        combination, options = str(manifest["combination"]), dict(manifest["options"])
        entries = manifest["map_classes"]
        map_scheme = None if entries is None else ClassScheme.from_list(entries)
        temperature = float(manifest["temperature"])
        training = dict(manifest["training"])
        history = tuple(dict(row) for row in manifest["history"])
        scores = manifest["scores"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, (ModelError, ClassError)):
            raise ModelError(f"{error} [{shown}]") from error
        raise ModelError(
            f"The package must describe its model in full, got {error!r} in {shown}."
        ) from error
    if Path(weights).name != weights:
        raise ModelError(f"The weights must lie in the package, got {weights!r} in {shown}.")
    if architecture == OWN and network is None:
        raise ModelError(
            f"The model is a network of its author's own ({backbone}), got a package without its "
            f"code [{shown}]; pass network= with an untrained one of the same layers."
        )
    if not 0 < temperature < math.inf:
        raise ModelError(
            f"The temperature must be a number above 0, got {temperature} in {shown}; "
            "the package is damaged."
        )
    model = ChangeModel(
        network if architecture == OWN and network is not None else architecture, spec, scheme,
        combination=combination, map_scheme=map_scheme, backbone=backbone, options=options,
        pretrained=False,
    )  # fmt: skip
    model.temperature = temperature
    _load_weights(model, folder / weights, shown)
    return Package(name, model.eval(), training, history, scores)


def _load_weights(model: ChangeModel, path: Path, shown: Path) -> None:
    if not path.is_file() or path.is_symlink():
        raise ModelError(f"The package must hold its weights, got no file {path.name} in {shown}.")
    try:
        state = safetensors.torch.load_file(path)
        model.load_state_dict(state)
    except (safetensors.SafetensorError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"The weights must fit {model.architecture} over {model.backbone}, got "
            f"'{reason}' in {shown}; the package is damaged."
        ) from error


def _read_json(path: Path, shown: Path) -> dict[str, Any]:
    if not path.is_file() or path.is_symlink():
        raise ModelError(
            f"A model package must hold {path.name}, got none in {shown}; "
            "landshift reads the packages that it saved."
        )
    if path.stat().st_size > _MAX_JSON:
        raise ModelError(f"{path.name} must be at most {_MAX_JSON} bytes, got more in {shown}.")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path.name} must be JSON, got '{error}' in {shown}.") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path.name} must hold a JSON object, got another value in {shown}.")
    return found


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
