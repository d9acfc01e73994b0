"""Labels that are wrong: what `suspects` finds, and what weights and losses make of them.

    python benchmarks/labels.py            # 10, 20 and 30 % wrong labels, two seeds
    python benchmarks/labels.py --share 0.2 --seeds 1 --only plain generalised --model unet

A simulated scene of 384 x 384 pixels. Both class maps get patches of errors: where a smooth random
field is highest, a class becomes the one that it is mistaken for. The labels are what
`landshift.label` makes of these maps; the truth is what it makes of the scene's own. Small networks
(conv3; --model unet takes minutes each) learn from columns 0-255 in equal steps, and are judged on
the truth of columns 256-383. Lines are printed as results come.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

import landshift
from landshift import FoldModel, Weighting, raster, tileset, training
from landshift.dataset import TrainingTiles, prepare
from landshift.engine import TorchEngine
from landshift.errors import TileSetError
from landshift.models import ChangeModel
from landshift.scores import confusion
from landshift.simulation.scene import simulate
from landshift.simulation.tables import LAND_COVER
from landshift.training import Loss, Training

SIZE, LEFT, STEPS, RATE = 384, 256, 120, 2e-3  # the rate of networks that state none
PATCH = 4.0  # pixels, standard deviation of the fields of errors
SETS = ("truth", "plain", "accuracies", "probabilities", "suspects")
LOSSES = ("generalised", "symmetric", "bootstrapped", "smoothed")


def spoil(
    classes: NDArray[np.uint8], share: float, random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A class map with errors in patches, and its own probabilities, lower where it is wrong."""
    values = np.array(LAND_COVER.values)
    mistaken = dict(zip(values, np.roll(values, 1), strict=True))  # each class for one other
    field = gaussian_filter(random.normal(size=classes.shape), PATCH)
    wrong = field > np.quantile(field, 1 - share)
    table = np.arange(256, dtype=np.uint8)
    for value, other in mistaken.items():
        table[value] = other
    chance = np.where(wrong, random.beta(4, 3, wrong.shape), random.beta(8, 2, wrong.shape))
    return np.where(wrong, table[classes], classes), chance.astype(np.float32)


def write_like(path: Path, like: Path, values: NDArray[Any], columns: slice) -> Path:
    """Write columns of values on the grid of a raster, with its names and tags."""
    with rasterio.open(like) as source:
        profile = {**source.profile, "driver": "GTiff", "dtype": values.dtype}
        profile.update(count=len(values), width=columns.stop - columns.start)
        shift = source.transform @ rasterio.Affine.translation(columns.start, 0)
        names, tags = source.descriptions, source.tags()
    if values.dtype == np.float32:
        profile["nodata"] = None
    with rasterio.open(path, "w", **(profile | {"transform": shift})) as target:
        target.write(values[..., columns])
        if len(names) == len(values):
            target.descriptions = names
            target.update_tags(**{k: v for k, v in tags.items() if k == "LANDSHIFT_CLASSES"})
    return path


def read(path: Path) -> NDArray[Any]:
    """All bands of a raster."""
    with rasterio.open(path) as source:
        values: NDArray[Any] = source.read()
    return values


class Case:
    """The tile sets of one share of wrong labels and one seed."""

    def __init__(self, folder: Path, share: float, seed: int) -> None:
        random = np.random.default_rng(seed)
        scene = simulate(folder / "scene", height=SIZE, width=SIZE, seed=seed)
        stacked = landshift.composite([scene.before, scene.after], folder / "all.tif")
        self.folder, self.image = folder, read(stacked)
        left = slice(0, LEFT)
        composite = write_like(folder / "image.tif", stacked, self.image, left)
        maps, sure, right = [], [], []
        for path in scene.class_maps:
            classes, chance = spoil(read(path)[0], share / 2, random)
            name = path.stem
            maps.append(write_like(folder / f"{name}.tif", path, classes[None], left))
            sure.append(write_like(folder / f"{name}_p.tif", path, chance[None], left))
            right.append(write_like(folder / f"{name}_right.tif", path, read(path), left))
        truth, wrong = folder / "truth.tif", folder / "wrong.tif"
        landshift.label(scene.before_classes, scene.after_classes, folder / "all_truth.tif",
                        classes=LAND_COVER)  # fmt: skip
        landshift.label(*right, truth, classes=LAND_COVER)
        self.truth = read(folder / "all_truth.tif")[0]
        self.matrix, accuracies = self._report(read(truth)[0], maps, right, wrong)
        self._weigh(maps, accuracies, folder / "accuracies.tif")
        self._weigh(maps, [[path] for path in sure], folder / "probabilities.tif")
        self.error = float((read(truth) != read(wrong)).mean())
        self._cut("plain", composite, wrong)
        self._cut("truth", composite, truth)
        self.found = self._suspects(composite, read(truth)[0] != read(wrong)[0])
        for name in SETS[2:]:
            self._cut(name, composite, wrong, folder / f"{name}.tif")

    def _report(
        self, truth: NDArray[Any], maps: list[Path], right: list[Path], wrong: Path
    ) -> tuple[Path, list[list[dict[str, float]]]]:
        """The labels' confusion matrix as CSV, and each map's user's accuracies."""
        landshift.label(*maps, wrong, classes=LAND_COVER)
        scheme = raster.scheme_of(wrong)
        assert scheme is not None
        own = read(wrong)[0]
        counts = [[int(((truth == r) & (own == c)).sum()) for c in scheme.values]
                  for r in scheme.values]  # fmt: skip
        lines = [",".join(["reference", *scheme.names])]
        lines += [",".join([n, *map(str, row)])
                  for n, row in zip(scheme.names, counts, strict=True)]  # fmt: skip
        path = self.folder / "confusion.csv"
        path.write_text("\n".join(lines) + "\n")
        accuracies = []
        for said, true in zip(maps, right, strict=True):
            s, t = read(said)[0], read(true)[0]
            by_class = {c.name: float((t[s == c.value] == c.value).mean()) if (s == c.value).any()
                        else 1.0 for c in LAND_COVER}  # fmt: skip
            accuracies.append([by_class])
        return path, accuracies

    def _weigh(self, maps: list[Path], sure: list[Any], path: Path) -> None:
        landshift.label(*maps, path.with_suffix(".labels.tif"), classes=LAND_COVER,
                        weighting=Weighting(path, *sure))  # fmt: skip

    def _cut(self, name: str, image: Path, labels: Path, weights: Path | None = None) -> None:
        cutting = tileset.Cutting(tile_size=64, stride=32)
        own = () if weights is None else (weights,)
        companions = tileset.Companions(weights=own, class_maps=False)
        tileset.cut([image], [labels], self.folder / name, cutting=cutting, companions=companions)

    def _suspects(self, like: Path, wrong: NDArray[np.bool_]) -> dict[str, list[float]]:
        """Precision, recall and area under the curve of suspects of several models."""
        figures = {}
        for model in ("quadratic", "conv3"):
            mapped, weights = self.folder / f"{model}.tif", self.folder / f"{model}_w.tif"
            judging = FoldModel(model=model)  # type: ignore[arg-type]
            try:
                landshift.suspects(
                    self.folder / "plain", map_file=mapped, weights=weights, like=like,
                    judging=judging,
                )  # fmt: skip
            except TileSetError as error:  # most labels suspicious
                print(f"  {model}: {error}", flush=True)
                continue
            flagged, doubt = read(mapped)[0] > 0, 1 - read(weights)[0]
            hits = (flagged & wrong).sum()
            auc = roc_auc_score(wrong.ravel(), doubt.ravel())
            figures[model] = [hits / max(flagged.sum(), 1), hits / wrong.sum(), float(auc)]
        (self.folder / "conv3_w.tif").rename(self.folder / "suspects.tif")
        return figures

    def score(self, name: str, seed: int, network: str) -> list[float]:
        """Macro F1 and change F1 of a network, on the truth of the right part."""
        loss = Loss(name) if name in LOSSES[:3] else Loss()
        if name == "smoothed":
            loss = Loss(name, confusion=self.matrix)
        tiles = self.folder / (name if name in SETS else "plain")
        data = prepare(tiles, reading=TrainingTiles(batch_size=8))
        data = replace(data, options=replace(data.options, seed=seed))
        backbone = "resnet18" if network == "unet" else None
        model = ChangeModel(network, data.spec, data.scheme, backbone=backbone, seed=seed)
        rate = model.rate or RATE
        training.fit(model, data, Training(max_steps=STEPS, lr=rate, checkpoint=False, loss=loss))
        engine, side = TorchEngine(model), SIZE - LEFT
        counts = np.zeros((len(data.scheme), len(data.scheme) + 1), np.int64)
        for row in range(0, SIZE, side):
            at = np.s_[row : row + side, LEFT:]
            image = self.image[(slice(None), *at)].astype(np.float32)
            codes = engine.predict(image[None]).argmax(1)[0].astype(np.uint8)
            target = data.scheme.to_indices(self.truth[at], where="the truth")
            counts += confusion.count(target, codes, len(data.scheme))
        scores = confusion.score(counts, data.scheme)
        return [scores.macro_f1 or 0.0, scores.change_f1 or 0.0]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, nargs="+", default=[0.1, 0.2, 0.3])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", nargs="+", default=[*SETS, *LOSSES])
    parser.add_argument("--model", default="conv3")
    options = parser.parse_args()
    for share in options.share:
        rows: dict[str, list[list[float]]] = {}
        for seed in range(options.seeds):
            with tempfile.TemporaryDirectory() as folder:
                case = Case(Path(folder), share, seed)
                print(f"{share:.0%} asked, seed {seed}: {case.error:.1%} of labels wrong",
                      flush=True)  # fmt: skip
                for model, own in case.found.items():
                    rows.setdefault(f"suspects by {model}", []).append(own)
                for name in options.only:
                    rows.setdefault(name, []).append(case.score(name, seed, options.model))
                    print(f"  {name}: {rows[name][-1][0]:.3f} {rows[name][-1][1]:.3f}", flush=True)
        for name, values in rows.items():
            means = [statistics.fmean(column) for column in zip(*values, strict=True)]
            spread = [max(column) - min(column) for column in zip(*values, strict=True)]
            cells = [f"{m:.3f} ({s:.3f})" for m, s in zip(means, spread, strict=True)]
            print(f"| {share:.0%} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
