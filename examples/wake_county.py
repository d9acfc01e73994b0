"""Land cover of one date on a real Landsat 7 image: Wake County, North Carolina, 2000.

    python examples/wake_county.py DATA OUT

DATA holds nc_landsat7_2000/. The composite has one date, and the labels are land-cover classes
instead of changes; nothing else differs. Training and validation on columns 0-319, the test on
columns 352-474.
"""

import argparse
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
    raster,
    tileset,
)
from landshift.classes import ClassScheme
from landshift.images import Image
from landshift.learn import UnetClassifier, prepare_data
from landshift.show import figures, tables

BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")
CLASSES = ClassScheme.from_mapping(
    {
        1: "developed", 2: "agriculture", 3: "herbaceous", 4: "shrubland",
        5: "forest", 6: "water", 7: "sediment",
    },
    {
        1: (200, 40, 40), 2: (240, 200, 90), 3: (190, 220, 120), 4: (170, 130, 70),
        5: (0, 100, 0), 6: (40, 90, 200), 7: (170, 160, 150),
    },
)  # fmt: skip
TRAIN_COLUMNS, TEST_COLUMNS = (0, 320), (352, 475)


def main() -> None:
    """Run the chain and print the scores."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("data", type=Path)
    options.add_argument("out", type=Path)
    options.add_argument("--max-steps", type=int, default=400)
    options.add_argument("--seed", type=int, default=42)
    asked = options.parse_args()
    source, out = asked.data / "nc_landsat7_2000", asked.out
    image = source / "lsat7_2000_6band.tif"
    labels = source / "labels_landclass96_on_lsat_grid.tif"
    classes = Image(files=(labels,), resampling="nearest")

    grid = raster.info(image).grid
    parts = {}
    for part, (first, end) in {"train": TRAIN_COLUMNS, "test": TEST_COLUMNS}.items():
        left, top = grid.affine @ (first, 0)
        right, bottom = grid.affine @ (end, grid.height)
        bounds = (left, bottom, right, top)
        parts[part] = [
            composite(
                [image],
                out / f"{part}.tif",
                output=CompositeOutput(bands=BANDS),
                target=TargetGrid(bounds=bounds),
                overwrite=True,
            ),
            composite(
                [classes],
                out / f"{part}_classes.tif",
                target=TargetGrid(bounds=bounds),
                overwrite=True,
            ),
        ]
    tiles = tileset.cut(
        parts["train"][:1], parts["train"][1:], out / "tiles",
        classes=CLASSES, cutting=tileset.Cutting(tile_size=128, stride=32), overwrite=True,
    )  # fmt: skip
    data = prepare_data(tiles.folder, batch_size=16, seed=asked.seed)
    print(data)

    model = UnetClassifier(data, class_balancing=True)
    started = time.perf_counter()
    model.fit(epochs=1000, lr=1e-3, max_steps=asked.max_steps)
    print(f"{asked.max_steps} steps of 16 tiles in {time.perf_counter() - started:.0f} s")
    saved = model.save(out / "unet", overwrite=True)

    stacked, reference = parts["test"]
    mapped = classify_pixels(stacked, saved, out / "map.tif", overwrite=True)
    evaluation = evaluate_map(mapped, reference, scheme=CLASSES)
    evaluation.write_json(out / "scores.json", overwrite=True)
    console = Console()
    console.print(tables.per_class(evaluation.scores))
    console.print(tables.compare({"U-Net": evaluation.scores}))
    picture = figures.view([stacked], mapped, out / "view.png", reference=reference)
    print(picture)


if __name__ == "__main__":
    main()
