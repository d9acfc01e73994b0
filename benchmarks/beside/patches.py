"""`patches` beside scipy's labels of the whole map, class by class, and their areas."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
from blockwise import Pair, script
from preparation import class_map, landshift, repeated, tiled
from scipy import ndimage

NOISE = 0.01
"""Share of the pixels of the noisy map whose class is drawn by chance: most are patches."""


def pairs(folder: Path, size: int) -> Iterator[Pair]:
    """A map of seven classes in patches, and the same with noise."""
    plain = class_map(folder / "1.tif", 1)
    maps = {"": plain, f" with {NOISE:.0%} noise": noisy(plain, folder / "noisy.tif")}
    for what, path in maps.items():
        mapped = repeated(path, size, 0)
        yield Pair(
            f"patches, {size}^2{what}",
            landshift("patches", mapped, "-o", folder / "ours.csv"),
            "scipy.ndimage.label of each class, without edges",
            script("patches", "labelled", mapped, folder / "theirs.csv"),
        )


def noisy(path: Path, out: Path) -> Path:
    """A class map of which some pixels, by chance, are of another class."""
    with rasterio.open(path) as source:
        values = source.read()
    random = np.random.default_rng(0)
    drawn = random.integers(1, values.max(), values.shape, endpoint=True).astype(values.dtype)
    return tiled(out, np.where(random.random(values.shape) < NOISE, drawn, values))


def labelled(mapped: str, table: str) -> None:
    """Label the patches of each class in memory; a table of their number and areas."""
    with rasterio.open(mapped) as source:
        values = source.read(1)
        pixel = abs(source.transform.a * source.transform.e) / 10_000
    rows = []
    for value in np.unique(values[values != 0]):
        labels, count = ndimage.label(values == value, np.ones((3, 3)))
        areas = np.bincount(labels.ravel())[1:] * pixel
        weighted = (areas**2).sum() / areas.sum()
        rows.append([value, count, areas.sum(), areas.mean(), areas.std(), weighted, areas.max()])
    total = sum(row[2] for row in rows)
    names = ["class", "patches", "hectares", "mean", "deviation", "weighted_mean", "largest"]
    with Path(table).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "percent"])
        writer.writerows([*row, 100 * row[2] / total] for row in rows)
