"""Saved models as OpenVINO graphs, converted once, so that a run needs no torch.

Loading torch takes most of a gigabyte, and seconds before the first tile. Only the conversion needs
it, which a separate process does. The graph is kept in the user's cache, under the digest of all
that it was made from.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from landshift import __version__
from landshift.engine.described import Description
from landshift.errors import LandshiftError, ModelError
from landshift.files import cache, provenance, whole
from landshift.machine.extras import required

log = logging.getLogger(__name__)

GRAPH, ABOUT = "graph.xml", "model.json"
"""Files in a graph's folder: the graph, with its weights beside it; and its description."""

_CONVERSION = "folded"  # changes whenever the same network is converted to a different graph
_MANIFEST = "landshift.json"  # of a package, as in `landshift.bundle`
_SUFFIXES = (".emd", ".safetensors", ".pth")  # of files that determine a network
_KEPT = 4  # graphs in the cache; each is as large as its model's weights


@dataclass(frozen=True)
class Prepared(Description):
    """A saved model as an OpenVINO graph.

    Attributes:
        package: The .dlpk, the .emd or the folder of the model.
        graph: The graph, in the cache of this machine.
    """

    package: Path = field(kw_only=True)
    graph: Path = field(kw_only=True)

    def file(self) -> Path:
        """The graph's file; converted again on a machine that has none.

        Raises:
            ModelError: It can't be made there from the same model.
        """
        if self.graph.is_file():
            return self.graph
        prepared = prepare(self.package)
        if prepared is None or prepared.digest != self.digest:
            raise ModelError(
                f"Every process must find the same model, got none or another one at "
                f"{self.package}; put it where all can read it."
            )
        return prepared.graph


def prepare(package: Path | str) -> Prepared | None:
    """A saved model as an OpenVINO graph: from the cache, or converted into it now.

    Args:
        package: The .dlpk, the .emd or the folder.

    Returns:
        None if that fails for any reason; loading the package then gives the error.
    """
    package = whole.repaired(Path(package))
    try:
        folder = cache.folder("graphs") / _key(package)
        if not (folder / ABOUT).is_file():
            with whole.whole_folder(folder, replace=True) as part:
                _convert(package, part)
            _forget(folder.parent)
        os.utime(folder)
        about = Description.from_dict(json.loads((folder / ABOUT).read_text(encoding="utf-8")))
    except (LandshiftError, OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        log.debug("no graph of %s: %s", package, error)
        return None
    return Prepared(**vars(about), package=package, graph=folder / GRAPH)


def _key(package: Path) -> str:
    """Digest of all that determines a graph."""
    given = package.suffix.lower() == ".emd"
    folder = package.parent if given else package
    files = [package]
    if folder.is_dir():  # other files there don't affect the network
        files = sorted(p for p in folder.iterdir() if p.suffix in _SUFFIXES or p.name == _MANIFEST)
    versions = _CONVERSION, __version__, version("openvino"), version("torch")
    parts = [*versions, *map(provenance.digest, files)]
    if given and sum(p.suffix == ".emd" for p in files) > 1:  # several models in one folder
        parts.append(package.name)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _convert(package: Path, folder: Path) -> None:
    """Write the graph and the description in a separate process."""
    if not Path(sys.executable).stem.lower().startswith("python"):
        raise OSError(f"no Python, but {sys.executable}, which hosts it")
    command = [sys.executable, "-m", "landshift.engine.conversion", str(package), str(folder)]
    frugal = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "0"}  # glibc: returns freed memory at once
    subprocess.run(command, check=True, capture_output=True, env=frugal)


def _forget(folder: Path) -> None:
    """Remove the least recently used graphs."""
    graphs = sorted((p for p in folder.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
    for old in graphs[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def import_openvino() -> Any:
    """The openvino package.

    Raises:
        ParameterError: It isn't installed.
    """
    return required("openvino", "openvino", "`engine` 'openvino'", instead="choose 'torch'")
