"""Change or not, from few hand-drawn labels: Taizhou, China, Landsat 7 of 2000 and 2003.

    python examples/taizhou.py DATA OUT                      # the network that was chosen
    python examples/taizhou.py DATA OUT --network unet       # another one
    python examples/taizhou.py DATA OUT --folds              # judged on the training columns

DATA holds taizhou/t1_2000.tif, taizhou/t2_2003.tif and the labels beside them.

Protocol: six bands a date; 1 = no change, 2 = change, where polygons were drawn, and nothing
elsewhere. Trained on columns 0-199, tested on the labelled pixels of columns 200-399; what maps
them sees those columns alone. With --folds, each quarter of the training columns is mapped by a
network trained on the other three, so that networks can be compared without the test.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

os.environ.setdefault("LANDSHIFT_OFFLINE", "1")  # random weights, so that figures can be compared

from landshift import baselines, classify_pixels, evaluate_map, raster, tileset
from landshift.classes import ClassScheme
from landshift.composite import composite
from landshift.evaluate import Evaluation, evaluate_rules, pool
from landshift.grid import Window
from landshift.learn import (
    Data,
    SegmentationModel,
    SiameseClassifier,
    UnetClassifier,
    prepare_data,
)
from landshift.radiometry import Alteration, alteration
from landshift.train import Augmentation

CLASSES = ClassScheme.from_mapping({1: "No change", 2: "change"})
TRAIN_COLUMNS, TEST_COLUMNS = (0, 200), (200, 400)
FOLDS = 4
TILE, CROP = 50, 32
RULES = ("linear discriminant", "quadratic discriminant")
SEEDS = (1, 2, 3)
HIDDEN = 64

Columns = tuple[int, int]


class PixelNetwork(nn.Module):
    """Two hidden layers for each pixel, over its bands, or its neighbours' too.

    Args:
        bands: Bands of both dates.
        size: Rows and columns that it sees: 1 or 3.
        altered: What tells how far two dates of a pixel are from what unchanged ones are like; its
            logarithm is one more band. None: none.
    """

    def __init__(self, bands: int, size: int = 1, altered: Alteration | None = None) -> None:
        super().__init__()
        self.altered = None if altered is None else _projection(altered)
        inputs = bands + (altered is not None)
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, HIDDEN, size, padding=size // 2, padding_mode="replicate"),
            nn.BatchNorm2d(HIDDEN), nn.ReLU(),
            nn.Conv2d(HIDDEN, HIDDEN, 1), nn.BatchNorm2d(HIDDEN), nn.ReLU(),
            nn.Conv2d(HIDDEN, len(CLASSES), 1),
        )  # fmt: skip

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of scaled bands ``(batch, band, row, column)``."""
        if self.altered is not None:
            with torch.autocast(images.device.type, enabled=False):
                statistic = self.altered(images.float()).square().mean(1, keepdim=True)
            images = torch.cat([images, (statistic + FLOOR).log()], 1)
        return self.layers(images)


FLOOR = 0.05  # of the mean square: what is unchanged for certain is all the same


def _projection(altered: Alteration) -> nn.Conv2d:
    """The differences of an alteration, as a layer that stays as it is."""
    variates, bands = altered.weights.shape
    layer = nn.Conv2d(bands, variates, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(altered.weights)[..., None, None])
        layer.bias.copy_(torch.from_numpy(-altered.weights @ altered.centre))
    return layer.requires_grad_(False)


def altered_of(data: Data, images: Sequence[Path]) -> Alteration:
    """The alteration of the training images' pixels, labelled or not, in the network's scaling."""
    spec = data.training.spec
    mean, std = (np.array(v)[:, None] for v in (spec.mean, spec.std))
    pixels = []
    for path in images:
        with raster.open_raster(path) as source:
            values, mask = raster.read(source, Window(0, 0, source.height, source.width))
        pixels.append((values[:, mask] - mean) / std)
    both = np.concatenate(pixels, axis=1)
    before, after = spec.by_date().values()
    return alteration(both[list(before)], both[list(after)])


@dataclass(frozen=True)
class Part:
    """Some columns of the scene: the stacked dates, and the labels."""

    image: Path
    labels: Path


def cut_out(source: Path, out: Path, columns: Columns) -> Part:
    """Composite and labels of some columns."""
    grid = raster.info(source / "t1_2000.tif").grid
    left, top = grid.affine @ (columns[0], 0)
    right, bottom = grid.affine @ (columns[1], grid.height)
    bounds = (left, bottom, right, top)
    name = f"columns_{columns[0]}_{columns[1]}"
    dates = [source / "t1_2000.tif", source / "t2_2003.tif"]
    return Part(
        composite(dates, out / f"{name}.tif", bounds=bounds),
        composite(
            [source / "labels_0nodata_1nochange_2change.tif"], out / f"{name}_labels.tif",
            bounds=bounds,
        ),
    )  # fmt: skip


def prepare(parts: Sequence[Part], folder: Path, seed: int) -> Data:
    """The tiles of some parts, all but one of them for training."""
    tiles = tileset.cut(
        [p.image for p in parts], [p.labels for p in parts], folder, scheme=CLASSES,
        tile_size=TILE, stride=TILE,
    )  # fmt: skip
    # turned and mirrored as ever, but neither date brighter or darker: there is one pair alone, and
    # how its dates differ where nothing changed is what there is to learn
    return prepare_data(
        tiles.folder, chip_size=CROP, batch_size=16, val_split_pct=0.02, seed=seed,
        transforms=Augmentation(brightness=0, contrast=0),
    )  # fmt: skip


def new_classifier(network: str, data: Data, parts: Sequence[Part]) -> SegmentationModel:
    """An untrained classifier, by its name in `NETWORKS`."""
    if network == "unet":
        return UnetClassifier(data, backbone="resnet18", class_balancing=True)
    if network == "siamese":
        return SiameseClassifier(data, backbone="resnet18", class_balancing=True)
    bands = len(data.training.spec.bands)
    altered = altered_of(data, [p.image for p in parts]) if "altered" in network else None
    with torch.random.fork_rng():
        torch.manual_seed(data.training.options.seed)
        own = PixelNetwork(bands, 3 if "3x3" in network else 1, altered)
    return SegmentationModel(data, own, class_balancing=True)


NETWORKS = ("unet", "siamese", "pixel", "3x3", "pixel-altered", "3x3-altered")


def judge(
    network: str, train: Sequence[Part], test: Part, out: Path, seed: int, steps: int
) -> dict[str, Evaluation]:
    """Train, map the test part and score it, and the per-pixel rules beside it."""
    data = prepare(train, out / f"tiles_{test.image.stem}", seed)
    classifier = new_classifier(network, data, train)
    classifier.fit(epochs=1000, lr=3e-3, max_steps=steps, checkpoint=False, ema=0.98)
    mapped = classify_pixels(test.image, classifier.model, out / f"{test.image.stem}_map.tif")
    found = {network: evaluate_map(mapped, test.labels, scheme=CLASSES)}
    rules = baselines.fit(data.training, RULES)
    return found | evaluate_rules(
        rules, data.training.spec, test.image, test.labels, scheme=CLASSES
    )


def main() -> None:
    """Train with three seeds and print the scores."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("data", type=Path)
    options.add_argument("out", type=Path)
    options.add_argument("--network", choices=NETWORKS, default="pixel-altered")
    options.add_argument("--folds", action="store_true", help="judge on the training columns")
    options.add_argument("--max-steps", type=int, default=300)
    options.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    asked = options.parse_args()
    source, out = asked.data / "taizhou", asked.out
    out.mkdir(parents=True, exist_ok=True)

    jobs = [([cut_out(source, out, TRAIN_COLUMNS)], cut_out(source, out, TEST_COLUMNS))]
    if asked.folds:
        width = (TRAIN_COLUMNS[1] - TRAIN_COLUMNS[0]) // FOLDS
        folds = [cut_out(source, out, (k * width, (k + 1) * width)) for k in range(FOLDS)]
        jobs = [([p for p in folds if p is not fold], fold) for fold in folds]
    by_method: dict[str, list[Evaluation]] = {}
    for seed in asked.seeds:
        judged = [judge(asked.network, *job, out, seed, asked.max_steps) for job in jobs]
        for method in judged[0]:
            by_method.setdefault(method, []).append(pool([j[method] for j in judged]))

    where = "the training columns, four folds" if asked.folds else "columns 200-399"
    shown = Table("method", "accuracy", "kappa", "change F1", title=f"Taizhou, {where}")
    for method, found in by_method.items():
        cells = []
        for score in ("accuracy", "kappa", "change_f1"):
            values = [getattr(f.scores, score) for f in found]
            spread = f" ({min(values):.4f}-{max(values):.4f})" if len(set(values)) > 1 else ""
            cells.append(f"{np.mean(values):.4f}{spread}")
        shown.add_row(method, *cells)
    first = by_method[asked.network][0]
    first.write_json(out / "scores.json")
    console = Console(width=120)
    console.print(shown)
    console.print(f"{len(asked.seeds)} seeds, {first.scores.pixels:,} labelled pixels")


if __name__ == "__main__":
    main()
