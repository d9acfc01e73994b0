"""Change or not, from few hand-drawn polygons: Taizhou, China, Landsat 7 of 2000 and 2003.

    python examples/taizhou.py DATA OUT --folds     # choose by the training columns
    python examples/taizhou.py DATA OUT             # then score the test columns

DATA holds taizhou/t1_2000.tif, taizhou/t2_2003.tif and the labels beside them.

Protocol: six bands a date; 1 = no change, 2 = change inside the drawn polygons, no label elsewhere.
Trained on columns 0-199, tested on the labelled pixels of columns 200-399; predictions there use
those columns only. With --folds, each quarter of the training columns is predicted by models
trained on the other three, and the four are scored together.

Pixels of one polygon are correlated, so intervals come from a bootstrap by groups: whole polygons
are drawn with replacement, as many of each class as there are. Existing maps of networks in OUT are
reused.
"""

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import ndimage

os.environ.setdefault("LANDSHIFT_OFFLINE", "1")  # random weights, so that figures can be compared

from pucallpa import bounds_of_columns

from landshift import TargetGrid, classify_pixels, composite, raster, tileset
from landshift.classes import IGNORE_INDEX, ClassScheme
from landshift.evaluation import baselines
from landshift.grid import Window
from landshift.learn import Data, SegmentationModel, prepare_data
from landshift.scores import confusion

CLASSES = ClassScheme.from_mapping({1: "No change", 2: "change"})
LABELS = "labels_0nodata_1nochange_2change.tif"
TRAIN, TEST = (0, 200), (200, 400)
FOLDS = ((0, 50), (50, 100), (100, 150), (150, 200))
TILE = 25
RULES = ("linear discriminant", "quadratic discriminant")
DRAWS = 2000

Part = tuple[Path, Path]
"""Some columns of the scene: both dates stacked, and the labels."""

Counts = NDArray[np.int64]
"""The confusion matrix of each polygon, as from `confusion.count`."""


NETWORKS = ("quadratic", "pixel", "conv3")
"""Small networks of `landshift.models`."""


def cut_out(source: Path, out: Path, columns: tuple[int, int]) -> Part:
    """Composite and labels of some columns."""
    bounds = bounds_of_columns(source / LABELS, *columns)
    image = out / "columns_{}_{}.tif".format(*columns)
    return (
        composite(
            [source / "t1_2000.tif", source / "t2_2003.tif"],
            image,
            target=TargetGrid(bounds=bounds),
            overwrite=True,
        ),
        composite(
            [source / LABELS],
            image.with_stem(f"{image.stem}_labels"),
            target=TargetGrid(bounds=bounds),
            overwrite=True,
        ),
    )


def map_by_network(name: str, data: Data, image: Path, out: Path, steps: int) -> Path:
    """Train a network and classify an image with it, unless the map exists."""
    if out.exists():
        return out
    classifier = SegmentationModel(data, name)
    classifier.fit(epochs=1000, max_steps=steps, checkpoint=False, precision="32-true")
    return classify_pixels(image, classifier.model, out)


def read_all(path: Path) -> NDArray[np.uint8]:
    """All bands of a raster."""
    with raster.open_raster(path) as source:
        return raster.read(source, Window(0, 0, source.height, source.width))[0]


def count(labels: Path, mapped: NDArray[np.uint8]) -> Counts:
    """Confusion matrix of each polygon: pixels of one label, connected over sides or corners."""
    codes = read_all(labels)[0]
    reference = CLASSES.to_indices(codes, where=str(labels))
    chosen = []
    for value in np.unique(codes[reference != IGNORE_INDEX]):
        polygon, polygons = ndimage.label(codes == value, np.ones((3, 3)))
        chosen += [polygon == k for k in range(1, polygons + 1)]
    chosen.sort(key=np.argmax)  # by their first pixels
    return np.stack([confusion.count(reference[c], mapped[c], len(CLASSES)) for c in chosen])


def judge(
    names: Sequence[str], train: Sequence[Part], test: Part, out: Path, folder: Path,
    seeds: Sequence[int], steps: int,
) -> dict[str, list[Counts]]:  # fmt: skip
    """Confusion matrices of rules and networks, trained on some parts, on another, by seed.

    Tiles go to the folder, maps to OUT.
    """
    image, labels = test
    counts: dict[str, list[Counts]] = {name: [] for name in (*RULES, *names)}
    tiles = tileset.cut(
        *zip(*train, strict=True),
        folder,
        classes=CLASSES,
        cutting=tileset.Cutting(tile_size=TILE, stride=TILE),
    )
    for seed in seeds:
        data = prepare_data(tiles.folder, val_split_pct=0.02, seed=seed)
        for name, rule in baselines.fit(data.training, RULES).items():
            counts[name].append(count(labels, rule(read_all(image).astype(np.float32))))
        for name in names:
            mapped = out / f"{image.stem}_{name}_{seed}_{steps}.tif"
            codes = read_all(map_by_network(name, data, image, mapped, steps))[0]
            counts[name].append(count(labels, CLASSES.to_indices(codes, where=str(mapped))))
    return counts


def kappas(counts: Sequence[Counts]) -> NDArray[np.float64]:
    """Mean kappa over seeds, for each draw of polygons with the number of each class kept."""
    random = np.random.default_rng(0)  # the same polygons for every method
    changed = counts[0][:, 1].any(axis=1)
    classes = [np.flatnonzero(changed == c) for c in (False, True)]
    drawn = []
    for _ in range(DRAWS):
        chosen = np.concatenate([random.choice(c, len(c)) for c in classes])
        drawn.append(np.mean([confusion.kappa(c[chosen].sum(axis=0)[:, :-1]) for c in counts]))
    return np.array(drawn)


def show(methods: Mapping[str, Sequence[Counts]], title: str) -> None:
    """Print the scores, intervals of kappa, and the polygon with the most errors."""
    table = Table(
        "method", "accuracy", "kappa", "change F1", "95 % interval of kappa",
        "of kappa less the\nquadratic discriminant's", "wrong pixels, and\nin the worst polygon",
        title=title, box=None,
    )  # fmt: skip
    drawn = {name: kappas(counts) for name, counts in methods.items()}
    for name, counts in methods.items():
        scores = [confusion.score(c.sum(axis=0), CLASSES) for c in counts]
        cells = []
        for score in ("accuracy", "kappa", "change_f1"):
            values = [getattr(s, score) for s in scores]
            cells.append(f"{np.mean(values):.4f} ({min(values):.3f}-{max(values):.3f})")
        for values in (drawn[name], drawn[name] - drawn[RULES[-1]]):
            cells.append("{:.3f} to {:.3f}".format(*np.quantile(values, (0.025, 0.975))))
        wrong = np.mean([c.sum(axis=(1, 2)) - c.trace(axis1=1, axis2=2) for c in counts], axis=0)
        worst = wrong.argmax()
        cells.append(f"{wrong.sum():.0f}, {wrong[worst]:.0f} of {counts[0][worst].sum()}")
        table.add_row(name, *cells)
    Console(width=170).print(table)


def show_polygons(labels: Path) -> None:
    """Print the number of polygons and labelled pixels in some columns."""
    nothing = np.full(read_all(labels).shape[1:], IGNORE_INDEX)
    pixels = count(labels, nothing).sum(axis=2)
    for k, c in enumerate(CLASSES):
        sizes = np.sort(pixels[pixels[:, k] > 0, k])[::-1]
        half = np.searchsorted(sizes.cumsum(), sizes.sum() / 2) + 1
        print(f"{labels.stem}: {c.name}: {sizes.sum():,} pixels in {len(sizes)} polygons, "
              f"half in {half} of them")  # fmt: skip


def main() -> None:
    """Train, map and print the scores."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("data", type=Path)
    options.add_argument("out", type=Path)
    options.add_argument("--folds", action="store_true", help="score on the training columns")
    options.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    options.add_argument("--max-steps", type=int, default=200)
    options.add_argument("--seeds", type=int, nargs="+", default=(1, 2, 3))
    asked = options.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)

    parts = {c: cut_out(asked.data / "taizhou", asked.out, c) for c in (TRAIN, TEST, *FOLDS)}
    jobs = [([c for c in FOLDS if c != fold], fold) for fold in FOLDS]
    if not asked.folds:
        jobs = [([TRAIN], TEST)]
    with tempfile.TemporaryDirectory() as folder:
        judged = [
            judge(
                asked.networks, [parts[c] for c in train], parts[test], asked.out,
                Path(folder) / str(test[0]), asked.seeds, asked.max_steps,
            )
            for train, test in jobs
        ]  # fmt: skip
    methods = {
        name: [np.concatenate(of_seed) for of_seed in zip(*(j[name] for j in judged), strict=True)]
        for name in judged[0]
    }
    show(
        methods, "Taizhou, training columns, four folds" if asked.folds else "Taizhou, test columns"
    )
    for columns in (TRAIN, TEST):
        show_polygons(parts[columns][1])


if __name__ == "__main__":
    main()
