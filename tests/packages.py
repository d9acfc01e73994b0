"""Small packages that tests make, and spoil."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

from landshift import bundle
from landshift.bundle.hashes import SUMS, write_sums
from landshift.classes import ClassScheme
from landshift.files import provenance
from landshift.models import ARCHITECTURES, ChangeModel
from landshift.models.architectures import NO_ENCODER
from landshift.spec import InputSpec
from scenes import BANDS, MAPPING

ENCODED = [name for name, kind in ARCHITECTURES.items() if kind.backbone != NO_ENCODER]
"""Architectures over an encoder."""


def spec(bands: int = 6, **changes: Any) -> InputSpec:
    """The input of some bands, named by date where there are six."""
    names = tuple(BANDS) if bands == len(BANDS) else tuple(f"b{k}" for k in range(bands))
    known = {
        "bands": names, "mean": (1000.0,) * bands, "std": (200.0,) * bands,
        "minimum": (1.0,) * bands, "maximum": (3000.0,) * bands, "tile_size": 64,
        "dtype": "uint16", "cell_size": 30.0,
    }  # fmt: skip
    return InputSpec(**{**known, **changes})


def untrained(architecture: Any = "pspnet", backbone: str = "test_resnet", **options: Any) -> Any:
    """A model of random weights; the usual one is the smallest on offer."""
    scheme = ClassScheme.from_mapping(MAPPING)
    return ChangeModel(architecture, spec(), scheme, backbone=backbone, **options).eval()


def save(folder: Path, model: ChangeModel | None = None, name: str = "small") -> Path:
    """The folder of a saved package."""
    bundle.save(bundle.Package(name, model or untrained()), folder / name)
    return folder / name


def edit(folder: Path, **changes: Any) -> None:
    """Change keys of a package's manifest, and hash it anew; a bare value that JSON knows not."""
    path = folder / "landshift.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    seal(folder)


def seal(folder: Path) -> None:
    """Hash a package's files anew, as a liar would; without the zip of them."""
    (folder / "small.dlpk").unlink(missing_ok=True)
    names = [p.name for p in folder.iterdir() if p.name not in (SUMS, "log.json")]
    write_sums(folder, {name: provenance.digest(folder / name) for name in names})


def packed(folder: Path, members: list[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    """A package's zip with further members, written without any care."""
    path = Path(shutil.copy(folder / "small.dlpk", folder.parent / "hostile.dlpk"))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as target:
        for member, data in members:
            target.writestr(member, data)
    return path
