"""How long the map page takes until it is drawn, and what it fetches.

    python benchmarks/explore.py [--size 20000] [--runs 5] [--folder FOLDER]

A class map of SIZE x SIZE pixels and an image of 12 bands, made of repeated scenes with noise
(which compress badly), are served by `landshift explore`. Debian's Chromium without a graphics card
opens the page in a new profile each time, 1280 x 800: seconds until all tiles of the first view are
drawn, requests, and megabytes over the network.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright import sync_api
from preparation import class_map, landshift, repeated, scene

FLAGS = (
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
)  # fmt: skip


def first_view(browser: sync_api.Browser, address: str) -> str:
    """Seconds, requests and megabytes of one visit."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    start = time.perf_counter()
    page.goto(address)
    page.wait_for_selector("#map[aria-busy=false]", timeout=120_000)
    seconds = time.perf_counter() - start
    page.wait_for_timeout(300)
    context.close()
    return f"{seconds:.2f} s, {len(sizes)} requests, {sum(sizes) / 1e6:.2f} MB"


def measure(folder: Path, size: int, runs: int) -> None:
    """Make the files, serve them, and visit the page."""
    image = repeated(scene(folder / "image.tif", 12, 0), size, 0)
    maps = [repeated(class_map(folder / f"map{k}.tif", k), size, 0) for k in (1, 2)]
    subprocess.run(landshift("label", *maps, "-o", folder / "change.tif"), check=True)
    files = [str(folder / "change.tif"), str(image)]
    run = "from landshift.cli import main; main()"
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", run, "explore", *files, "--no-open"],
        stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found, "the command prints the address"
        print(f"served after {time.perf_counter() - start:.1f} s", flush=True)
        with sync_api.sync_playwright() as driver:
            chromium = shutil.which("chromium")
            browser = driver.chromium.launch(executable_path=chromium, args=list(FLAGS))
            for _ in range(runs):
                print(first_view(browser, found[0]), flush=True)
            browser.close()
        server.terminate()


def main() -> None:
    """Measure with the chosen size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=20_000, help="rows and columns")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="folder for temporary inputs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        measure(Path(folder), options.size, options.runs)


if __name__ == "__main__":
    main()
