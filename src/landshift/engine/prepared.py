"""Saved models as OpenVINO graphs, converted once, so that a run needs no torch.

A build of torch takes most of a gigabyte and seconds before the first tile. It is needed to turn
the network into a graph; a process of its own does that and ends. The graph is kept in the user's
cache, under the digest of all that it was made from.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from landshift import __version__
from landshift.engine.described import Description
from landshift.errors import LandshiftError, ModelError
from landshift.files import provenance, whole
from landshift.machine.extras import required

log = logging.getLogger(__name__)

CACHE = "LANDSHIFT_CACHE"
"""Environment variable: folder of what can be made again; ``~/.cache/landshift`` if not set."""

GRAPH, ABOUT = "graph.xml", "model.json"
"""What lies in a graph's folder: the graph, its weights beside it; and its description."""

_MADE = "folded"  # another word wherever the same network is converted into another graph
_MANIFEST = "landshift.json"  # of a package, as `landshift.bundle` has it
_TOLD = (".emd", ".safetensors", ".pth")  # suffixes of what decides a network
_KEPT = 4  # graphs; one has the size of its model's weights


@dataclass(frozen=True)
class Prepared(Description):
    """A saved model as an OpenVINO graph.

    Attributes:
        package: The .dlpk, the .emd or the folder that it was made from.
        graph: The graph, in the cache of this machine.
    """

    package: Path
    graph: Path

    def file(self) -> Path:
        """The graph's file; made anew on a machine that has none.

        Raises:
            ModelError: It can't be made there from the same model.
        """
        if self.graph.is_file():
            return self.graph
        found = prepare(self.package)
        if found is None or found.digest != self.digest:
            raise ModelError(
                f"Every process must find the same model, got none or another one at "
                f"{self.package}; put it where all can read it."
            )
        return found.graph


def prepare(package: Path | str) -> Prepared | None:
    """A saved model as an OpenVINO graph: from the cache, or converted into it now.

    Args:
        package: The .dlpk, the .emd or the folder.

    Returns:
        None where that can't be had, for whatever reason: loading the package will tell.
    """
    package = whole.repaired(Path(package))
    try:
        folder = _folder() / _key(package)
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


def _folder() -> Path:
    told = os.environ.get(CACHE)
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "landshift"
    return (Path(told) if told else usual) / "graphs"


def _key(package: Path) -> str:
    """Digest of all that decides a graph."""
    given = package.suffix.lower() == ".emd"
    folder = package.parent if given else package
    files = [package]
    if folder.is_dir():  # other files there say nothing of the network
        files = sorted(p for p in folder.iterdir() if p.suffix in _TOLD or p.name == _MANIFEST)
    versions = _MADE, __version__, version("openvino"), version("torch")
    parts = [*versions, *map(provenance.digest, files)]
    if given and sum(p.suffix == ".emd" for p in files) > 1:  # of several models
        parts.append(package.name)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _convert(package: Path, folder: Path) -> None:
    """Let a process of its own write the graph and the description."""
    if not Path(sys.executable).stem.lower().startswith("python"):
        raise OSError(f"no Python, but {sys.executable}, which hosts it")
    command = [sys.executable, "-m", "landshift.engine.conversion", str(package), str(folder)]
    frugal = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "0"}  # glibc's: what is freed is given back
    subprocess.run(command, check=True, capture_output=True, env=frugal)


def _forget(folder: Path) -> None:
    """Remove the graphs that were used longest ago."""
    graphs = sorted((p for p in folder.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
    for old in graphs[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def import_openvino() -> Any:
    """The openvino package.

    Raises:
        ParameterError: It isn't installed.
    """
    return required("openvino", "openvino", "engine='openvino'", instead="choose engine='torch'")
