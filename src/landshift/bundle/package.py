"""Packages: a folder, and a .dlpk (a zip of it), with weights, manifest and Esri's .emd."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import nn

from landshift.bundle import arcgis, manifest, manifest_writer
from landshift.bundle.contents import Extras, Package
from landshift.bundle.emd import OURS, definition
from landshift.bundle.files import is_zip, opened, read_bounded
from landshift.bundle.hashes import SUMS, Verified, check_sums, read_sums, write_sums
from landshift.bundle.manifest import MANIFEST, NAME, Manifest, write_json
from landshift.bundle.tensors import with_weights, write_weights
from landshift.classes import ClassScheme
from landshift.errors import ClassError, ModelError, ParameterError, plain
from landshift.files import archive, hub, jsons, provenance, whole
from landshift.models import OWN, ChangeModel
from landshift.spec import InputSpec

LOG = "log.json"


def save(
    package: Package, folder: Path, *, extras: Iterable[Extras] = (), overwrite: bool = False
) -> Path:
    """Write a package as a folder that also holds a .dlpk of it.

    The folder holds ``<name>.safetensors`` (weights), ``landshift.json`` (the manifest),
    ``<name>.emd`` (the same for Esri's tools), the extras, ``SHA256SUMS`` (their hashes), and a zip
    of all these, ``<name>.dlpk``. ``log.json`` (when the model was saved, how long each epoch took)
    is neither hashed nor zipped: the same training with the same versions of libraries gives the
    same bytes of all other files.

    Args:
        package: The package.
        folder: The folder to write; its parent is created if needed.
        extras: Further files, which are hashed and zipped like ours, and further keys of the .emd,
            which replace ours of the same names.
        overwrite: Whether a model in the folder is replaced.

    Returns:
        The path of the .emd.

    Raises:
        ModelError: A name that can't be a file's; a folder with other files; a model that couldn't
            be read again.
        ParameterError: The folder holds a model, and ``overwrite`` is off.
        OutputError: The folder can't be written.
    """
    name = package.name
    if not re.fullmatch(NAME, name) or not archive.portable(name):
        raise ModelError(
            "A model's name must be letters, digits, space, '.', '-' or '_', and a valid file name "
            f"on every system, got {name!r}."
        )
    folder = Path(folder)
    check_new(folder, overwrite=overwrite)
    weights = f"{name}.safetensors"
    emd = definition(package, weights, MANIFEST)
    with whole.whole_folder(folder, replace=True) as part:
        write_weights(package.model, part / weights)
        manifest_writer.write(package, weights, part / MANIFEST)
        for added in extras:
            emd |= added.emd
            _write_files(part, added.files)
        write_json(part / f"{name}.emd", emd)
        _seal(part, name)
        write_json(part / LOG, _times(package))
    return folder / f"{name}.emd"


def check_new(folder: Path, *, overwrite: bool = False) -> None:
    """Check that a model's folder is new or empty, or holds a model that is to be replaced.

    Raises:
        ModelError: The folder holds other files.
        ParameterError: The folder holds a model, and ``overwrite`` is off.
        OutputError: The path is a file.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise ModelError(
            f"A model's folder must be new or hold a model, got {folder} with other files in it; "
            "give another name."
        )
    whole.check_new_folder(folder, overwrite=overwrite)


def load(path: Path | str, *, network: nn.Module | None = None) -> Package:
    """Read a package. None of it is run, and nothing is written outside a temporary folder.

    Args:
        path: The .dlpk, the .emd, or the folder; or one on a hub (`landshift.files.hub.local`).
        network: An untrained network with the layers of the saved one, if that is a custom
            network: a package holds no code.

    Raises:
        ModelError: The package is missing, damaged, hostile, or of another tool.
    """
    path = hub.local(path)
    with opened(path) as folder:
        return _read_any(folder, path, network)


def verify(path: Path | str) -> Verified:
    """Check that all files of a package are unchanged.

    In a folder, files added later (``log.json``, an int8 graph) are ignored; a .dlpk in it must
    hold the same files. A .dlpk must hold no other files.

    Args:
        path: The .dlpk, the .emd, or the folder.

    Raises:
        ModelError: The package is missing or hostile; a file is missing, changed or added.
    """
    path = Path(path)
    with opened(path) as folder:
        sums = read_sums(folder, path)
        names = {*sums, MANIFEST}
        if is_zip(path):
            names |= {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        check_sums(folder, sums, sorted(names - {SUMS}), path)
        digest = provenance.digest(folder / SUMS)
        beside = folder / f"{manifest.read(folder, path).name}.dlpk"
    if beside.is_file() and verify(beside).digest != digest:
        raise ModelError(
            f"The .dlpk in a model's folder must hold the same files, got others in {beside}; "
            "remove it, or save the model again."
        )
    return Verified(tuple(sums), digest)


def copy_files(path: Path | str, folder: Path, *, overwrite: bool = False) -> None:
    """Copy the files of a package, checked, into a folder.

    Args:
        path: The .dlpk, the .emd, or the folder.
        folder: The folder to copy to.
        overwrite: Whether existing files are replaced.

    Raises:
        ModelError: The package is missing, hostile or of another tool; a file is missing or
            changed.
        OutputError: A file exists already, and ``overwrite`` is off.
    """
    path = Path(path)
    with opened(path) as source:
        sums = read_sums(source, path)
        check_sums(source, sums, sums, path)
        names = (*sums, SUMS)
        whole.check_new(*(folder / name for name in names), overwrite=overwrite)
        for name in names:
            shutil.copyfile(source / name, folder / name)


def check_new_padding(padding: int | None, path: Path | str, *, overwrite: bool) -> None:
    """Check that a package notes no padding yet.

    Raises:
        ParameterError: It does, and ``overwrite`` is off.
    """
    if padding is not None and not overwrite:
        raise ParameterError(
            f"The padding must be new, got {padding} that is noted in {path} already; replace it "
            "with `overwrite`."
        )


def keep_padding(path: Path | str, padding: int, *, overwrite: bool = False) -> None:
    """Note in a package the padding that its model was measured to need.

    Args:
        path: The .dlpk, the .emd, or the folder; a .dlpk in the folder is packed again.
        padding: Pixels around a tile.
        overwrite: Whether a padding that is noted already is replaced.

    Raises:
        ModelError: The package is missing or of another tool.
        ParameterError: A padding is noted already, and ``overwrite`` is off.
        OutputError: The package can't be written.
    """
    path = Path(path)
    with opened(path) as folder:
        sums = read_sums(folder, path)
        check_sums(folder, sums, sorted({*sums, MANIFEST}), path)  # all are packed again
        entry = manifest.read(folder, path).model_dump(mode="json", exclude_unset=True)
        check_new_padding(entry["input"].get("padding"), path, overwrite=overwrite)
        entry["input"]["padding"] = padding
        with whole.whole_file(folder / MANIFEST) as part:
            write_json(part, entry)
        write_sums(folder, {**sums, MANIFEST: provenance.digest(folder / MANIFEST)})
        packed = path if is_zip(path) else folder / f"{entry['name']}.dlpk"
        if packed.is_file():
            _pack(packed, folder, sums)


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
    with whole.whole_file(packed) as part:
        archive.pack(part, folder, [folder / name for name in (*names, SUMS)])


def _times(package: Package) -> dict[str, Any]:
    """The times, which differ between two runs of one training."""
    return {
        "saved": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": [row.get("seconds") for row in package.history],
    }


def _read_any(folder: Path, shown: Path, network: nn.Module | None) -> Package:
    """The package in a folder: of landshift or of arcgis.learn, as its .emd states."""
    given = shown.suffix.lower() == ".emd"
    emds = [shown] if given else sorted(folder.glob("*.emd"))
    if len(emds) != 1 or ((folder / MANIFEST).exists() and not given):
        return _read(folder, shown, network)
    data = read_bounded(emds[0], jsons.MAX_BYTES, shown)
    definition = jsons.parse(data, what=f"{emds[0].name} in {shown}", error=ModelError)
    if not isinstance(definition, dict):
        raise ModelError(f"An .emd must hold a JSON object, got another value in {shown}.")
    if OURS in definition:
        return _read(folder, shown, network)
    return arcgis.read(definition, emds[0], shown)


def _read(folder: Path, shown: Path, network: nn.Module | None) -> Package:
    stated = manifest.read(folder, shown)
    if stated.architecture == OWN and network is None:
        raise ModelError(
            f"The model is a network of its author's own ({stated.backbone}), got a package "
            f"without its code [{shown}]; pass network= with an untrained one of the same layers."
        )
    check_sums(folder, read_sums(folder, shown), [stated.weights], shown)
    model = with_weights(
        lambda: _untrained(stated, network, shown), stated.backbone, folder / stated.weights, shown
    )
    model.temperature = stated.temperature
    return Package(
        name=stated.name,
        model=model.eval(),
        training=stated.plain("training"),
        history=tuple(_numbers(row) for row in stated.plain("history")),
        scores=stated.plain("scores"),
        tiles=stated.plain("tiles"),
        versions=stated.versions,
    )


def _untrained(stated: Manifest, network: nn.Module | None, shown: Path) -> ChangeModel:
    """The model of a manifest, with its initial weights."""
    entries = stated.plain("map_classes")
    try:
        return ChangeModel(
            stated.architecture if stated.architecture != OWN or network is None else network,
            InputSpec.from_dict(stated.plain("input")),
            ClassScheme.from_list(stated.plain("classes")),
            combination=stated.combination,
            map_scheme=None if entries is None else ClassScheme.from_list(entries),
            backbone=stated.backbone,
            options=stated.options,
            pretrained=False,
        )
    except (ModelError, ClassError) as error:
        raise ModelError(f"{plain(str(error), 500)} [{shown}]") from error


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the training table, its null losses as NaN again."""
    return {k: math.nan if v is None and k.endswith("_loss") else v for k, v in row.items()}
