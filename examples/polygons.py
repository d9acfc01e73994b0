"""Polygons drawn by a script, as people draw them: for docs/polygons.md.

    python examples/polygons.py CLASSES OUT [--each 12] [--seed 1]

CLASSES is a class map, such as one of a simulated scene. OUT is a GeoJSON with squares of 5 to 9
pixels that lie in one class, so many of each, with a column 'class'.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import rasterio


def main() -> None:
    """Write the polygons."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("classes", type=Path)
    options.add_argument("out", type=Path)
    options.add_argument("--each", type=int, default=12)
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    random = np.random.default_rng(asked.seed)
    with rasterio.open(asked.classes) as source:
        values, place, crs = source.read(1), source.transform, source.crs
        names = {c["Value"]: c["Name"] for c in json.loads(source.tags()["LANDSHIFT_CLASSES"])}
    features = []
    for value, name in names.items():
        left = asked.each
        spots = random.permutation(np.flatnonzero(values == value))
        for row, column in zip(*np.unravel_index(spots, values.shape), strict=True):
            side = int(random.integers(5, 10))
            part = values[row : row + side, column : column + side]
            if left and part.shape == (side, side) and (part == value).all():
                corners = [(0, 0), (side, 0), (side, side), (0, side), (0, 0)]
                ring = [place @ (float(column + x), float(row + y)) for x, y in corners]
                features.append(
                    {"type": "Feature", "properties": {"class": name},
                     "geometry": {"type": "Polygon", "coordinates": [[list(p) for p in ring]]}}
                )  # fmt: skip
                values[row : row + side, column : column + side] = 0  # not drawn again
                left -= 1
    named = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{crs.to_epsg()}"}}
    asked.out.write_text(
        json.dumps({"type": "FeatureCollection", "crs": named, "features": features})
    )
    print(f"{len(features)} polygons of {len(names)} classes: {asked.out}")


if __name__ == "__main__":
    main()
