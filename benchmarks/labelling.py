"""Time from a labeller's key to the next unit's pictures, in Chromium.

    python benchmarks/labelling.py [--size 4000] [--units 40] [--folder FOLDER]

Two images of four bands (uint16, Cloud-Optimised GeoTIFFs with overviews) and a sample of a
synthetic change map. The command serves the page, and Playwright presses the keys. Needs Debian's
`chromium` and Playwright (`pip install playwright`).
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright
from preparation import WHERE

import landshift
from landshift import grid, raster
from landshift.assess.plan import SamplePlan
from landshift.classes import ClassScheme
from landshift.grid import Window

CLASSES = ClassScheme.from_mapping({1: "to forest", 2: "to crop", 3: "No change"})
BANDS = ("blue", "green", "red", "nir")
OPTIONS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
# from the key to the frame after all pictures of the next unit are shown
TIMED = """(key) => new Promise((done) => {
  const began = performance.now();
  const watch = new MutationObserver(() => {
    if (!document.body.dataset.ready) return;
    watch.disconnect();
    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began)));
  });
  watch.observe(document.body, { attributes: true, attributeFilter: ["data-ready"] });
  document.getElementById("form").requestSubmit();
})"""


def scene(folder: Path, size: int) -> list[Path]:
    """Two images and a change map of size x size pixels."""
    random = np.random.default_rng(0)
    box = grid.geobox(size, size, WHERE, "EPSG:32618")
    made = []
    for name in ("before", "after"):
        path = folder / f"{name}.tif"
        with raster.create(
            path, box, count=len(BANDS), dtype="uint16", nodata=0, bands=BANDS
        ) as target:
            for window in raster.blocks(size, size):
                values = random.integers(1, 4000, (len(BANDS), window.height, window.width))
                raster.write(target, values.astype(np.uint16), window)
        made.append(path)
    path = folder / "change.tif"
    with raster.create(path, box, count=1, dtype="uint8", nodata=0, scheme=CLASSES) as target:
        codes = random.integers(1, 4, (1, size, size)).astype(np.uint8)
        raster.write(target, codes, Window(0, 0, size, size))
    return [*made, path]


def label(page: Page, units: int, pause: float) -> list[float]:
    """Milliseconds from the answer to the next unit's pictures, for each unit."""
    times = []
    for _ in range(units):
        page.wait_for_selector('body[data-ready]:not([data-ready=""])')
        for key in "121":
            page.keyboard.press(key)
        page.wait_for_timeout(pause * 1000)
        times.append(page.evaluate(TIMED, None))
    return times


def told(milliseconds: Sequence[float]) -> str:
    """Median and 95th percentile."""
    ordered = sorted(milliseconds)
    most = np.quantile(ordered, 0.95)
    return f"median {statistics.median(ordered):.0f} ms, 95 % within {most:.0f} ms"


def main() -> None:
    """Make the scene, serve the page, label."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--size", type=int, default=4000)
    options.add_argument("--units", type=int, default=40)
    options.add_argument("--folder", type=Path)
    asked: Any = options.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        before, after, change = scene(folder, asked.size)
        sample = folder / "sample.gpkg"
        landshift.sample(change, sample, plan=SamplePlan(size=2 * asked.units + 2))
        command = [
            sys.executable, "-c", "from landshift.cli import main; main()", "label-samples",
            sample, "--before", before, "--after", after, "--labeller", "benchmark",
        ]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            address = re.search(r"http://\S+", server.stdout.readline())
            assert address, "the command prints its address"
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path="/usr/bin/chromium", args=list(OPTIONS)
                )
                page = browser.new_page(viewport={"width": 1440, "height": 860})
                page.goto(address[0])
                for pause in (2.0, 0.0):
                    times = label(page, asked.units, pause)
                    print(f"{pause:g} s to decide, {asked.size}^2, two maps: {told(times)}")
                browser.close()
            server.terminate()


if __name__ == "__main__":
    main()
