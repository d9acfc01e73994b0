"""Our package: a folder, and a .dlpk (a zip of it) with weights, description and Esri's .emd."""

from __future__ import annotations

import json
import logging
import math
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import nn

from landshift import __version__, archive, ledger, provenance
from landshift.bundle.contents import Extras, Package
from landshift.bundle.emd import definition
from landshift.bundle.files import read_bounded
from landshift.bundle.hashes import SUMS, check_sums, read_sums, write_sums
from landshift.classes import ClassScheme
from landshift.errors import ClassError, ModelError
from landshift.models import OWN, ChangeModel
from landshift.spec import InputSpec

log = logging.getLogger(__name__)

MANIFEST = "landshift.json"
FORMAT = 3
"""Version of the manifest's layout."""

_MAX_JSON = 16 << 20  # bytes; a real manifest has a few thousand
_MAX_PACKAGE = 8 << 30


def save(package: Package, folder: Path, *, extras: Iterable[Extras] = ()) -> Path:
    """Write a package as a folder that also holds a .dlpk of it.

    The folder holds ``<name>.safetensors`` (weights), ``landshift.json`` (what the model is),
    ``<name>.emd`` (the same for Esri's tools), the extras, ``SHA256SUMS`` (their hashes), and a zip
    of all these, ``<name>.dlpk``. Beside them lies ``log.json`` (how long each epoch took), outside
    hashes and zip: the same training gives the same bytes of all the rest. A folder of an earlier
    model of that name is replaced.

    Args:
        package: The model.
        folder: Where it goes; its parent is made if need be.
        extras: What rooms above add: files, which are hashed and zipped as ours are, and keys of
            the .emd, which stand for ours of the same names.

    Returns:
        The path of the .emd.

    Raises:
        ModelError: A name that can't be a file's; a folder there that isn't a model's.
        OutputError: The folder can't be written.
    """
    name = package.name
    if not re.fullmatch(r"[\w][\w .-]{0,99}", name) or not archive.portable(name):
        raise ModelError(
            "A model's name must be letters, digits, space, '.', '-' or '_', and a file's name on "
            f"every system, got {name!r}."
        )
    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise ModelError(
            f"A model's folder must be new or hold a model, got {folder} with other files in it; "
            "give another name."
        )
    weights = f"{name}.safetensors"
    manifest, timing = _describe(package, weights)
    emd = definition(package, weights, MANIFEST)
    with ledger.whole_folder(folder, replace=True) as part:
        state = {k: v.detach().cpu().contiguous() for k, v in package.model.state_dict().items()}
        (part / weights).write_bytes(safetensors.torch.save(state))
        _write_json(part / MANIFEST, manifest)
        for added in extras:
            emd |= added.emd
            _write_files(part, added.files)
        _write_json(part / f"{name}.emd", emd)
        _seal(part, name)
        _write_json(part / "log.json", timing)
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
    with _opened(path) as folder:
        return _read(folder, path, network)


@dataclass(frozen=True)
class Verified:
    """A package whose files are as they were saved.

    Attributes:
        files: Their names.
        digest: SHA-256 of the list of their hashes, which stands for the package.
    """

    files: tuple[str, ...]
    digest: str


def verify(path: Path | str) -> Verified:
    """Check that all files of a package are those that were saved.

    In a folder, files that came later (``log.json``, an int8 graph) don't count; the .dlpk there
    must hold the same files. A .dlpk must hold none but its own.

    Args:
        path: The .dlpk, the .emd, or the folder.

    Raises:
        ModelError: It is missing or hostile; a file is missing, changed or added.
    """
    path = Path(path)
    with _opened(path) as folder:
        sums = read_sums(folder, path)
        names = {*sums, MANIFEST}
        if _packed(path):
            names |= {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        check_sums(folder, sums, sorted(names - {SUMS}), path)
        digest = provenance.digest(folder / SUMS)
        beside = folder / f"{_read_json(folder / MANIFEST, path).get('name')}.dlpk"
    if beside.is_file() and verify(beside).digest != digest:
        raise ModelError(
            f"The .dlpk in a model's folder must hold the same files, got others in {beside}; "
            "remove it, or save the model again."
        )
    return Verified(tuple(sums), digest)


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
    with _opened(path) as folder:
        sums = read_sums(folder, path)
        check_sums(folder, sums, [MANIFEST], path)
        manifest = _read_json(folder / MANIFEST, path)
        manifest["input"]["padding"] = padding
        with ledger.whole_file(folder / MANIFEST) as part:
            _write_json(part, manifest)
        write_sums(folder, {**sums, MANIFEST: provenance.digest(folder / MANIFEST)})
        packed = path if _packed(path) else folder / f"{manifest['name']}.dlpk"
        if packed.is_file():
            _pack(packed, folder, sums)


def _packed(path: Path) -> bool:
    """Whether a path is that of a zip, not of a folder or of the .emd in one."""
    return not path.is_dir() and path.suffix.lower() != ".emd"


@contextmanager
def _opened(path: Path) -> Iterator[Path]:
    """The folder of a package's files: its own, or a temporary one that it is unpacked into."""
    if not path.exists():
        raise ModelError(f"The model must exist, got {path}; give its .emd, .dlpk or folder.")
    if not _packed(path):
        yield path if path.is_dir() else path.parent
        return
    with tempfile.TemporaryDirectory(prefix="landshift-") as temporary:
        archive.unpack(path, Path(temporary), error=ModelError, max_bytes=_MAX_PACKAGE)
        yield Path(temporary)


def _write_files(folder: Path, files: Mapping[str, bytes | Path]) -> None:
    for name, content in files.items():
        target = folder / name
        assert archive.portable(name), "names of extras are plain ones"
        assert not target.exists(), "two files of one name"
        if isinstance(content, Path):
            shutil.copyfile(content, target)
        else:
            target.write_bytes(content)


def _seal(folder: Path, name: str) -> None:
    """Hash the files of a folder, and zip them."""
    sums = {p.name: provenance.digest(p) for p in folder.iterdir()}
    write_sums(folder, sums)
    _pack(folder / f"{name}.dlpk", folder, sums)


def _pack(packed: Path, folder: Path, names: Iterable[str]) -> None:
    with ledger.whole_file(packed) as part:
        archive.pack(part, folder, [folder / name for name in (*names, SUMS)])


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
    check_sums(folder, read_sums(folder, shown), [weights], shown)
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
    try:
        found = json.loads(read_bounded(path, _MAX_JSON, shown))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path.name} must be JSON, got '{error}' in {shown}.") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path.name} must hold a JSON object, got another value in {shown}.")
    return found


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
