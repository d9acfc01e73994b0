"""Areas with intervals: a sample of the change map of Pucallpa 1995-2005, labelled by a script.

    python examples/pucallpa_areas.py DATA OUT

DATA holds the images pucallpa/1995.tif and 2005.tif, and class maps of both in pucallpa/landcover.
The assessed map is the change map made from them with a strong clean-up (majority filter of 7 x 7
pixels, no patch of change below 12). The labels are the classes of the two class maps without it.
So the figures measure the effect of the clean-up, not the accuracy of the class maps; no images
were interpreted. In return the true areas are known, and the script prints them beside the
estimates. OUT/report.html explains all of it on one page.
"""

import argparse
import csv
from pathlib import Path

import rasterio
from rich.console import Console

import landshift
from landshift.classes import ClassScheme
from landshift.show import tables

CLASSES = ClassScheme.from_mapping(
    {1: "forest", 2: "regrowth", 3: "water", 4: "pasture and cropland", 5: "bare and built-up"}
)


def label_units(sheet: Path, before: Path, after: Path, out: Path) -> Path:
    """Fill in the sheet of units from two class maps, as a labeller would from images."""
    with sheet.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    at = [(float(row["x"]), float(row["y"])) for row in rows]
    for name, path in (("before", before), ("after", after)):
        with rasterio.open(path) as source:
            for row, values in zip(rows, source.sample(at), strict=True):
                row[name] = CLASSES.mapping[int(values[0])]
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return out


def main() -> None:
    """Make the map, draw, label and estimate; print the estimates and the true areas."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("data", type=Path)
    options.add_argument("out", type=Path)
    options.add_argument("--size", type=int, default=300)
    asked = options.parse_args()
    place = asked.data / "pucallpa"
    images = [place / f"{year}.tif" for year in (1995, 2005)]
    maps = [place / "landcover" / image.name for image in images]
    asked.out.mkdir(parents=True, exist_ok=True)
    change, sample = asked.out / "change.tif", asked.out / "sample.gpkg"

    landshift.composite(
        images,
        asked.out / "composite.tif",
        target=landshift.TargetGrid(like=maps[0]),
        overwrite=True,
    )
    cleaned = landshift.label(
        *maps,
        change,
        classes=CLASSES,
        cleaning=landshift.Cleaning(smooth=7, min_pixels=12),
        overwrite=True,
    )
    cleaned.write_csv(asked.out / "transitions.csv", overwrite=True)
    truth = landshift.label(*maps, asked.out / "uncleaned.tif", classes=CLASSES, overwrite=True)
    plan = landshift.SamplePlan(size=asked.size, allocation="floor", floor=30)
    drawn = landshift.sample(change, sample, plan=plan, overwrite=True)
    labels = label_units(sample.with_suffix(".csv"), *maps, asked.out / "labels.csv")
    found = landshift.estimate(sample, labels=labels, mapped=change)
    found.write_json(asked.out / "areas.json", overwrite=True)
    found.write_csv(asked.out / "areas.csv", overwrite=True)

    console = Console(width=110)
    for table in (
        tables.strata(drawn.design), tables.areas(found), tables.accuracies(found),
        tables.area_confusion(found),
    ):  # fmt: skip
        console.print(table)
    changes = {f"to {c.name}": c.gain for c in truth.per_class()}
    changes["No change"] = sum(c.persistence for c in truth.per_class())
    for c in found.classes:
        truly = changes[c.name]
        holds = c.hectares is not None and c.hectares.lower <= truly <= c.hectares.upper
        console.print(
            f"{c.name}: truly {truly:,.1f} ha, {'in' if holds else 'not in'} the interval"
        )
    title = "Change map of Pucallpa, 1995 to 2005"
    console.print(landshift.report(asked.out, asked.out / "report.html", title=title))


if __name__ == "__main__":
    main()
