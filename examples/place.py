"""From a place and two years to areas with intervals: search, fetch, map, sample, estimate.

    python examples/place.py OUT [--size 512]

A catalogue on this machine stands for one on the web: a STAC catalogue of a simulated ground, with
four Landsat scenes of each of two summers, half of them clouded, and a class map of each year, one
pixel in twelve of it wrong. `landshift init` writes the recipe, `landshift run` runs it. A script
labels the sample from the truth, where people would look at images; the same command then goes on
to the areas. Since the truth is known, the script prints the true areas beside the estimates.
"""

import argparse
import csv
import json
import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.warp import transform_bounds
from scipy import ndimage

import landshift
from landshift.assess import answers

YEARS = (2016, 2021)
BANDS = ("B2", "B3", "B4", "B5", "B6", "B7")
CLEAR, CLOUD, SHADOW = 21824, 22280, 23888  # values of Landsat's QA_PIXEL
IO = {  # values of Esri/IO's land cover for the simulated classes
    "forest": 2, "savannas": 11, "grasslands": 11, "open shrublands": 11, "wetlands": 4,
    "croplands": 5, "urban": 7, "tundra": 8, "barren": 8, "water": 1,
}  # fmt: skip
COMMON = {1: "water", 2: "trees", 4: "wetland", 5: "cropland", 7: "built-up", 8: "bare",
          11: "rangeland"}  # fmt: skip


class Catalogue:
    """A static STAC catalogue in a folder."""

    def __init__(self, folder: Path, profile: dict) -> None:
        self.folder, self.profile, self.items = folder, profile, []
        folder.mkdir(parents=True)
        bounds = rasterio.transform.array_bounds(
            profile["height"], profile["width"], profile["transform"]
        )
        self.bounds = transform_bounds(profile["crs"], "EPSG:4326", *bounds)

    def add(self, name: str, collection: str, day: str, bands: dict, **properties) -> None:
        """An item with a file for each band."""
        assets = {}
        for key, values in bands.items():
            path = self.folder / f"{name}_{key}.TIF"
            kind = {**self.profile, "count": 1, "dtype": str(values.dtype), "nodata": 0}
            with rasterio.open(path, "w", **kind) as target:
                target.write(values, 1)
            assets[key] = {"href": f"./{path.name}", "roles": ["data"]}
        west, south, east, north = self.bounds
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        item = {
            "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": collection,
            "bbox": list(self.bounds), "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"datetime": f"{day}T15:00:00Z", **properties}, "links": [],
            "assets": assets,
        }  # fmt: skip
        (self.folder / f"{name}.json").write_text(json.dumps(item))
        self.items.append(name)

    def write(self) -> None:
        """The catalogue's own file."""
        links = [{"rel": "item", "href": f"./{name}.json"} for name in self.items]
        content = {"type": "Catalog", "stac_version": "1.0.0", "id": "simulated",
                   "description": "A simulated ground", "links": links}  # fmt: skip
        (self.folder / "catalog.json").write_text(json.dumps(content))


def simulated(out: Path, size: int) -> tuple[Catalogue, list[np.ndarray]]:
    """The catalogue, and the true class of each year in IO's values."""
    random = np.random.default_rng(1)
    scene = landshift.simulate(
        out / "truth", height=size, width=size, seed=1,
        conditions=landshift.SceneConditions(clouds=0, scan_gaps=False),
    )  # fmt: skip
    with rasterio.open(scene.before) as source:
        profile = {k: source.profile[k] for k in ("driver", "height", "width", "crs", "transform")}
    catalogue = Catalogue(out / "catalogue", {**profile, "tiled": True, "compress": "deflate",
                                              "blockxsize": 256, "blockysize": 256})  # fmt: skip
    truth = []
    for year, image, classes in zip(YEARS, scene.images, scene.class_maps, strict=True):
        with rasterio.open(image) as source, rasterio.open(classes) as legend:
            ground, mapped = source.read().astype(np.float32) / 10000, legend.read(1)
            names = {c["Value"]: c["Name"] for c in json.loads(legend.tags()["LANDSHIFT_CLASSES"])}
        true = np.zeros(mapped.shape, np.uint8)
        for value, name in names.items():
            true[mapped == value] = IO[name]
        truth.append(true)
        for number, day in enumerate(("06-10", "07-12", "08-13", "09-14")):
            seen = ground + random.normal(0, 0.005, ground.shape)
            field = ndimage.gaussian_filter(random.normal(size=mapped.shape), size / 12)
            cloud = field > np.quantile(field, 0.5 if number % 2 else 0.9)
            shadow = np.roll(cloud, (4, -6), (0, 1)) & ~cloud
            seen[:, cloud], seen[:, shadow] = 0.6, 0.35 * seen[:, shadow]
            stored = np.clip(np.rint((seen + 0.2) / 2.75e-5), 1, 65535).astype(np.uint16)
            quality = np.full(cloud.shape, CLEAR, np.uint16)
            quality[cloud], quality[shadow] = CLOUD, SHADOW
            compact = f"{year}-{day}".replace("-", "")
            catalogue.add(
                f"LC08_L2SP_018030_{compact}_{compact}_02_T1", "landsat-c2-l2", f"{year}-{day}",
                {**{f"SR_{b}": v for b, v in zip(BANDS, stored, strict=True)}, "QA_PIXEL": quality},
                platform="landsat-8", **{"eo:cloud_cover": round(100 * float(cloud.mean()), 1)},
            )  # fmt: skip
        field = ndimage.gaussian_filter(random.normal(size=mapped.shape), 2)
        wrong = field > np.quantile(field, 11 / 12)
        values = np.array(sorted(COMMON), np.uint8)
        other = values[(np.searchsorted(values, true) + 1) % len(values)]
        catalogue.add(
            f"io-{year}", "io-lulc-annual-v02", f"{year}-01-01",
            {"data": np.where(wrong, other, true)},
            start_datetime=f"{year}-01-01T00:00:00Z", end_datetime=f"{year}-12-31T00:00:00Z",
        )  # fmt: skip
    catalogue.write()
    return catalogue, truth


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_) -> None:
        """No line a request."""


def label(sample: Path, truth: list[np.ndarray], place: Affine) -> None:
    """Give each unit its true classes."""
    with sample.with_suffix(".csv").open(newline="", encoding="utf-8") as file:
        units = list(csv.DictReader(file))
    with answers.opened(sample) as given:
        for unit in units:
            column, row = ~place @ (float(unit["x"]), float(unit["y"]))
            classes = (COMMON[int(true[int(row), int(column)])] for true in truth)
            given.save("script", int(unit["unit"]), answers.Answer(*classes))


def main() -> None:
    """Make the catalogue, run the recipe twice, print the areas beside the true ones."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("out", type=Path)
    options.add_argument("--size", type=int, default=512)
    options.add_argument("--steps", type=int, help="steps of training; else as planned")
    asked = options.parse_args()
    os.environ["LANDSHIFT_CACHE"] = str(asked.out / "cache")
    catalogue, truth = simulated(asked.out, asked.size)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(catalogue.folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    recipe = landshift.init(
        asked.out / "recipe.yaml",
        place=landshift.Place(bbox=catalogue.bounds),
        catalogued=landshift.Catalogued(
            f"http://127.0.0.1:{server.server_port}/catalog.json", ["landsat-c2-l2"],
            "io-lulc-annual-v02", [f"{year}-06/{year}-09" for year in YEARS],
        ),
    )  # fmt: skip
    text = recipe.read_text().replace("# pretrained: false", "pretrained: false")
    steps = "" if asked.steps is None else f"    max-steps: {asked.steps}\n"
    recipe.write_text(text.replace("    tiles: ${tiles}\n", f"    tiles: ${{tiles}}\n{steps}"))
    first = landshift.run(recipe, on_stage=print)
    print(*first.commands, sep="\n")
    results = asked.out / "results"
    label(results / "sample.gpkg", truth, catalogue.profile["transform"])
    landshift.run(recipe, on_stage=print)
    server.shutdown()
    areas = json.loads((results / "areas.json").read_text())
    changed = truth[0] != truth[1]
    for each in areas["classes"]:
        name = each["name"].removeprefix("to ")
        where = (
            ~changed
            if name == "No change"
            else changed & (truth[1] == next((v for v, n in COMMON.items() if n == name), 0))
        )
        true = 0.09 * int(where.sum())
        low, high = each["hectares"]["lower"], each["hectares"]["upper"]
        held = "in" if low <= true <= high else "not in"
        print(f"{each['name']}: {low:,.0f} to {high:,.0f} ha; truly {true:,.0f} ha, {held} it")
    print(results / "report.html")


if __name__ == "__main__":
    main()
