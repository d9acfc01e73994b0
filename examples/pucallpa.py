"""Multi-class change on real Landsat images: the Ucayali river at Pucallpa, Peru, 1985-2005.

    python examples/pucallpa.py DATA OUT [--model semantic] [--seed 1]

DATA holds pucallpa/<year>.tif and pucallpa/landcover/<year>.tif for 1985, 1990, ..., 2005.

Protocol: the ten pairs of years (a, b) with a < b; labels 'to class' 1-5, 6 = No change; tiles of
128 pixels; training and validation on columns 0-479 of all pairs, the test on columns 512-696 of
all pairs: one pooled confusion matrix over every labelled pixel. No pixel is
used both in training and as input in the test. With --normalise, each
year's image is brought to the radiometry of 2000 first, by lines measured on columns 0-479.
"""

import argparse
import itertools
import os
import time
from pathlib import Path

from rich.console import Console

os.environ.setdefault("LANDSHIFT_OFFLINE", "1")  # random weights, so that figures can be compared

from landshift import (
    CompositeOutput,
    TargetGrid,
    classify_pixels,
    composite,
    evaluate_map,
    label,
    learn,
    normalise,
    raster,
    tileset,
)
from landshift.classes import ClassScheme
from landshift.evaluation import baselines
from landshift.evaluation.evaluation import pool
from landshift.evaluation.maps import evaluate_rules
from landshift.learn import prepare_data
from landshift.show import figures, tables  # fmt: skip

YEARS = (1985, 1990, 1995, 2000, 2005)
REFERENCE = 2000
BANDS = ("swir1", "nir", "red", "green")
CLASSES = ClassScheme.from_mapping(
    {1: "forest", 2: "regrowth", 3: "water", 4: "pasture and cropland", 5: "bare and built-up"},
    {1: (0, 100, 0), 2: (144, 200, 80), 3: (40, 90, 200), 4: (230, 220, 120), 5: (200, 40, 40)},
)
TRAIN_COLUMNS, TEST_COLUMNS = (0, 480), (512, 697)
MODELS = {
    "unet": learn.UnetClassifier,
    "pspnet": learn.PSPNetClassifier,
    "deeplab": learn.DeepLab,
    "siamese": learn.SiameseClassifier,
    "semantic": learn.SemanticChangeClassifier,
}


def bounds_of_columns(image: Path, first: int, end: int) -> tuple[float, float, float, float]:
    """Left, bottom, right, top of some columns of a raster."""
    grid = raster.info(image).grid
    left, top = grid.affine @ (first, 0)
    right, bottom = grid.affine @ (end, grid.height)
    return left, bottom, right, top


def bring_together(source: Path, out: Path) -> list[Path]:
    """The images of all years, each brought to the radiometry of the reference year."""
    images = []
    bounds = bounds_of_columns(source / f"{REFERENCE}.tif", *TRAIN_COLUMNS)
    for year in YEARS:
        image = source / f"{year}.tif"
        if year != REFERENCE:
            made = out / f"{year}_normalised.tif"
            normalise(image, source / f"{REFERENCE}.tif", made, bounds=bounds, overwrite=True)
            image = made
        images.append(image)
    return images


def prepare(
    source: Path, images: list[Path], out: Path, part: str, columns: tuple[int, int]
) -> list[tuple[Path, Path, Path, Path]]:
    """Composite, change map and both class maps of each pair of years, for some columns."""
    bounds = bounds_of_columns(source / "1985.tif", *columns)
    maps = {
        year: composite([source / "landcover" / f"{year}.tif"], out / f"{part}_{year}_classes.tif",
                        target=TargetGrid(bounds=bounds), overwrite=True)
        for year in YEARS
    }  # fmt: skip
    made = []
    for (a, before), (b, after) in itertools.combinations(zip(YEARS, images, strict=True), 2):
        stacked, change = (out / f"{part}_{a}_{b}{end}.tif" for end in ("", "_change"))
        composite(
            [before, after],
            stacked,
            output=CompositeOutput(bands=BANDS),
            target=TargetGrid(bounds=bounds),
            overwrite=True,
        )
        label(maps[a], maps[b], change, classes=CLASSES, overwrite=True)
        made.append((stacked, change, maps[a], maps[b]))
    return made


def cut_tiles(
    source: Path, out: Path, *, together: bool, stride: int = 32
) -> tuple[Path, list[tuple[Path, Path]]]:
    """Tiles of the training columns, and composite and change map of each pair for the test.

    Args:
        source: The folder of images and class maps.
        out: Where everything made goes.
        together: Whether each year's image is brought to the radiometry of the reference year.
        stride: Pixels between tiles.
    """
    images = [source / f"{year}.tif" for year in YEARS]
    if together:
        images = bring_together(source, out)
    training = prepare(source, images, out, "train", TRAIN_COLUMNS)
    test = prepare(source, images, out, "test", TEST_COLUMNS)
    stacked, labels, before, after = zip(*training, strict=True)
    tiles = tileset.cut(
        stacked, labels, out / "tiles", cutting=tileset.Cutting(tile_size=128, stride=stride),
        companions=tileset.Companions(
            labels_before=before, labels_after=after, map_classes=CLASSES
        ),
        overwrite=True,
    )  # fmt: skip
    return tiles.folder, [(stacked, change) for stacked, change, *_ in test]


def main() -> None:
    """Run the chain and print the scores."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("data", type=Path)
    options.add_argument("out", type=Path)
    options.add_argument("--model", choices=MODELS, default="unet")
    options.add_argument("--backbone")
    options.add_argument("--normalise", action="store_true")
    options.add_argument("--max-steps", type=int, default=400)
    options.add_argument("--stride", type=int, default=32)
    options.add_argument("--seed", type=int, default=42)
    asked = options.parse_args()
    source, out = asked.data / "pucallpa", asked.out
    out.mkdir(parents=True, exist_ok=True)

    tiles, test = cut_tiles(source, out, together=asked.normalise, stride=asked.stride)
    # little validation: in so small an area each validation block excludes the tiles that overlap
    # it, and the weights of the last step are kept whatever the validation scores
    data = prepare_data(tiles, batch_size=16, val_split_pct=0.02, seed=asked.seed)
    print(data)

    model = MODELS[asked.model](data, backbone=asked.backbone, class_balancing=True)
    print(model)
    started = time.perf_counter()
    model.fit(epochs=1000, lr=1e-3, max_steps=asked.max_steps, checkpoint=False)
    print(f"{asked.max_steps} steps of 16 tiles in {time.perf_counter() - started:.0f} s")
    saved = model.save(out / asked.model, overwrite=True)

    rules, training_data = baselines.fit(data.training), data.training
    judged = []
    for stacked, change in test:
        mapped = classify_pixels(stacked, saved, out / f"{stacked.stem}_map.tif", overwrite=True)
        beside = evaluate_rules(
            rules, training_data.spec, stacked, change, scheme=training_data.scheme
        )
        judged.append(evaluate_map(mapped, change).beside(beside))
    evaluation = pool(judged)
    evaluation.write_json(out / "scores.json", overwrite=True)
    console = Console()
    console.print(tables.per_class(evaluation.scores))
    console.print(tables.compare({asked.model: evaluation.scores, **evaluation.baselines}))
    print(*evaluation.write_figures(out), sep="\n")
    print(f"{evaluation.scores.pixels:,} test pixels, {evaluation.scores.unmapped} without a class")

    bounds = bounds_of_columns(source / "1985.tif", *TEST_COLUMNS)
    dates = [
        composite(
            [source / f"{y}.tif"],
            out / f"{y}.tif",
            output=CompositeOutput(bands=BANDS),
            target=TargetGrid(bounds=bounds),
            overwrite=True,
        )
        for y in (1995, 2005)
    ]
    name = "test_1995_2005"
    picture = figures.view(
        dates, out / f"{name}_map.tif", out / "view.png", reference=out / f"{name}_change.tif"
    )
    print(picture)


if __name__ == "__main__":
    main()
