"""Maps where the model was not trained: later years, other ground, few labels.

    python examples/transfer.py DATA OUT                          # every run that is missing
    python examples/transfer.py DATA OUT --only time time/unet    # protocols, or methods of them
    python examples/transfer.py DATA OUT --seeds 0                # the seed for choosing
    python examples/transfer.py DATA OUT --table                  # results so far

Each method is trained twice: where the labels are (`transfer`), and at the target (`ceiling`), on
ground or polygons that are not tested. The distance between the two is what transfer costs. Every
run writes its scores to OUT/runs/<protocol>/<method>_<where>_<seed>.json, and runs with such a file
are skipped, so that the script can be stopped and started again. Seeds 1 to 3 are reported; what a
method is made of is to be chosen with seed 0, and on the protocols whose names end in '-choice',
which use no pixel of the targets.

Beside networks over all bands: small networks on the difference of the dates, after
`normalise --method invariant` of the later one ('linear', 'quadratic', 'pixel', 'conv3'), and what
`train` proposes for these images ('proposed').

Protocols
    time          Pucallpa: the pairs within 1985, 1990 and 1995 (columns 0-479); target: 1995 to
                  2000, 1995 to 2005 and 2000 to 2005 (columns 512-696). Images are brought to the
                  radiometry of 1995.
    time-choice   1985 to 1990 (columns 160-479); target: 1990 to 1995 (columns 0-127).
    place         a simulated scene; target: scenes of other seeds, with another mix of classes,
                  more haze, and gains of each band and date changed by up to 20 %.
    gains         Taizhou: columns 0-199; target: columns 200-399, gains changed likewise. The
                  ceiling: each quarter of the target's polygons by what the others teach.
    taizhou-N     Taizhou, N polygons of each class on columns 0-199; target: columns 200-399.
    simulated-N   the simulated scene, N polygons of each class of the change map.
    chiapas-N     Chiapas, land cover of 1999 from N polygons of each class, tested on the other
                  polygons. Too few to rank methods by: reported, and no more.
"""

import argparse
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import ndimage

os.environ.setdefault("LANDSHIFT_OFFLINE", "1")  # random weights, so that figures can be compared

import pucallpa
import taizhou
from pucallpa import bounds_of_columns

from landshift import (
    CompositeOutput,
    DataOptions,
    TargetGrid,
    classify_pixels,
    composite,
    evaluate_map,
    label,
    normalise,
    raster,
    simulate,
    tileset,
    train,
)
from landshift.classes import ClassScheme
from landshift.evaluation import baselines
from landshift.evaluation.evaluation import Evaluation, pool
from landshift.evaluation.maps import evaluate_rules
from landshift.files import whole
from landshift.grid import Window
from landshift.learn import Data, SegmentationModel, prepare_data
from landshift.simulation import tables

RULES, POST, PROPOSED = "rules", "post-classification", "proposed"
SMALL = ("linear", "quadratic", "pixel", "conv3")
NETWORKS = ("unet", "semantic")
METHODS = (RULES, POST, *NETWORKS)
BACKBONE = "resnet18"
SEEDS = (1, 2, 3)
TESTED = 100
"""Test pixels of a class from which its F1 counts in 'macro F1, common': rare classes lower the
mean by their rarity alone."""

GAIN = 0.2
"""Largest change of a gain, as a share."""

HAZE = 200.0
"""Most haze added to the blue band, in reflectance x 10,000; other bands less."""

FOLDS = 4
"""Parts of the target's polygons, where there are too few to set some apart."""

LEAST = 20
"""Pixels of a polygon, at least; smaller ones aren't worth a person's time."""

MOST = 60
"""Pixels of a simulated polygon, at most: people draw a part of a large patch."""

TRAINED_SCENE, TARGET_SCENES = 0, (11, 12)
SIZE = 1024


@dataclass(frozen=True)
class Part:
    """A piece of ground.

    Attributes:
        image: Both dates stacked, or the one image.
        labels: What is to be mapped.
        dates: The image of each date; empty where there is one date.
        maps: The class map of each date; empty where there is none.
    """

    image: Path
    labels: Path
    dates: tuple[Path, ...] = ()
    maps: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Trial:
    """What is trained on, and what is mapped then."""

    train: Sequence[Part]
    test: Sequence[Part]


Trials = Callable[[Path, Path, int], list[Trial]]
"""Function of the folder of data, a folder to work in, and the seed of what is drawn."""


@dataclass(frozen=True)
class Protocol:
    """Transfer and ceiling on the same test pixels.

    Attributes:
        transfer: Trained elsewhere; several trials are pooled.
        ceiling: Trained at the target. None: there is no ceiling.
        classes: Classes of the labels.
        map_classes: Classes of the class maps; None where there are none.
        steps: Training steps.
        batch_size: Crops a step.
        tile: Rows and columns of tiles.
        stride: Pixels between tiles.
        chip: Rows and columns of crops; None: whole tiles.
    """

    transfer: Trials
    ceiling: Trials | None
    classes: ClassScheme | None
    map_classes: ClassScheme | None
    steps: int = 400
    batch_size: int = 8
    tile: int = 64
    stride: int = 64
    chip: int | None = None


def crop(source: Path, out: Path, columns: tuple[int, int], bands: Sequence[str] = ()) -> Path:
    """Some columns of a raster, with names for its bands; made once."""
    if not out.exists():
        composite(
            [source], out, output=CompositeOutput(bands=tuple(bands) or None),
            target=TargetGrid(bounds=bounds_of_columns(source, *columns)),
        )  # fmt: skip
    return out


def pair(dates: Sequence[Path], maps: Sequence[Path], out: Path, classes: ClassScheme) -> Part:
    """Stack the images of two dates, and compare their class maps; made once."""
    change = out.with_stem(f"{out.stem}_change")
    if not change.exists():
        composite(list(dates), out, overwrite=True)
        label(*maps, change, classes=classes, overwrite=True)
    return Part(out, change, tuple(dates), tuple(maps))


def read(path: Path) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Values ``(band, row, column)`` and mask of a whole raster."""
    with raster.open_raster(path) as source:
        return raster.read(source, Window(0, 0, source.height, source.width))


def write(out: Path, values: NDArray[Any], like: Path, bands: Sequence[str] = ()) -> Path:
    """Write a whole raster, 0 is nodata, with the grid and legend of another, or its bands."""
    about = raster.info(like)
    with raster.create(
        out, about.grid, count=len(values), dtype=values.dtype.name, nodata=0,
        bands=bands or about.bands,
        scheme=raster.scheme_of(like, labels=True) if len(values) == 1 else None,
    ) as target:  # fmt: skip
        raster.write(target, values, Window(0, 0, about.height, about.width))
    return out


# Later years: Pucallpa


def pucallpa_parts(
    data: Path, out: Path, pairs: Sequence[tuple[int, int]], columns: tuple[int, int]
) -> list[Part]:
    """Some columns of pairs of years, all images in the radiometry of 1995."""
    source = data / "pucallpa"
    out.mkdir(parents=True, exist_ok=True)
    cut = "{}_{}".format(*columns)
    images, maps = {}, {}
    for year in sorted({year for both in pairs for year in both}):
        image = source / f"{year}.tif"
        if year != 1995:
            matched = out / f"{year}.tif"
            if not matched.exists():
                bounds = bounds_of_columns(image, *pucallpa.TRAIN_COLUMNS)
                normalise(image, source / "1995.tif", matched, bounds=bounds)
            image = matched
        images[year] = crop(image, out / f"{year}_{cut}.tif", columns, pucallpa.BANDS)
        classes = source / "landcover" / f"{year}.tif"
        maps[year] = crop(classes, out / f"{year}_{cut}_classes.tif", columns)
    return [
        pair(
            (images[a], images[b]), (maps[a], maps[b]), out / f"{a}_{b}_{cut}.tif",
            pucallpa.CLASSES,
        )
        for a, b in pairs
    ]  # fmt: skip


EARLY, LATE = ((1985, 1990), (1985, 1995), (1990, 1995)), ((1995, 2000), (1995, 2005), (2000, 2005))


def time_transfer(data: Path, out: Path, seed: int) -> list[Trial]:
    """Early pairs, then late ones."""
    return [
        Trial(
            pucallpa_parts(data, out, EARLY, pucallpa.TRAIN_COLUMNS),
            pucallpa_parts(data, out, LATE, pucallpa.TEST_COLUMNS),
        )
    ]


def time_ceiling(data: Path, out: Path, seed: int) -> list[Trial]:
    """Late pairs, on other ground than is tested."""
    return [
        Trial(
            pucallpa_parts(data, out, LATE, pucallpa.TRAIN_COLUMNS),
            pucallpa_parts(data, out, LATE, pucallpa.TEST_COLUMNS),
        )
    ]


def choice_transfer(data: Path, out: Path, seed: int) -> list[Trial]:
    """The same question inside the training years and columns."""
    return [
        Trial(
            pucallpa_parts(data, out, ((1985, 1990),), (160, 480)),
            pucallpa_parts(data, out, ((1990, 1995),), (0, 128)),
        )
    ]


def choice_ceiling(data: Path, out: Path, seed: int) -> list[Trial]:
    """The later pair, on other ground than is tested."""
    later = ((1990, 1995),)
    return [
        Trial(
            pucallpa_parts(data, out, later, (160, 480)), pucallpa_parts(data, out, later, (0, 128))
        )
    ]


# Other ground: the simulated scene, Taizhou


def changed_sensor(
    image: Path, out: Path, random: np.random.Generator, haze: NDArray[Any] | float = 0.0
) -> Path:
    """An image as another sensor, on another day, would show it; made once.

    Each band's values are multiplied by a gain of its own, and haze is added; nodata stays.
    """
    gains = random.uniform(1 - GAIN, 1 + GAIN, len(raster.info(image).bands))
    if out.exists():
        return out
    values, valid = read(image)
    changed = values * gains[:, None, None] + np.reshape(haze, (-1, 1, 1))
    changed = np.where(valid, np.clip(np.rint(changed), 1, np.iinfo(values.dtype).max), 0)
    return write(out, changed.astype(values.dtype), image)


def simulated_scene(out: Path, seed: int, *, strange: bool) -> tuple[list[Path], list[Path]]:
    """Images and class maps of both dates of a scene; ``strange`` as another sensor shows it."""
    folder = out / f"scene_{seed}"
    if not (folder / "after_classes.tif").exists():
        simulate(folder, height=SIZE, width=SIZE, seed=seed, overwrite=True)
    images = [folder / "before.tif", folder / "after.tif"]
    if strange:
        random = np.random.default_rng(seed)
        for k, image in enumerate(images):
            haze = random.uniform(0, HAZE) * tables.HAZE_COLOUR
            images[k] = changed_sensor(image, image.with_stem(f"{image.stem}_s"), random, haze)
    return images, [folder / "before_classes.tif", folder / "after_classes.tif"]


def simulated_part(out: Path, seed: int, columns: tuple[int, int], *, strange: bool) -> Part:
    """Some columns of a simulated scene."""
    name = f"scene_{seed}_{'s_' if strange else ''}{columns[0]}_{columns[1]}"
    images, maps = (
        [crop(f, out / f"{name}_{f.stem}.tif", columns) for f in files]
        for files in simulated_scene(out, seed, strange=strange)
    )
    return pair(images, maps, out / f"{name}.tif", tables.LAND_COVER)


LEFT, RIGHT = (0, 640), (704, 1024)


def place_transfer(_: Path, out: Path, seed: int) -> list[Trial]:
    """One scene, then others."""
    out.mkdir(parents=True, exist_ok=True)
    return [
        Trial(
            [simulated_part(out, TRAINED_SCENE, LEFT, strange=False)],
            [simulated_part(out, seed, RIGHT, strange=True) for seed in TARGET_SCENES],
        )
    ]


def place_ceiling(_: Path, out: Path, seed: int) -> list[Trial]:
    """Each other scene, on other columns than are tested."""
    return [
        Trial(
            [simulated_part(out, seed, LEFT, strange=True)],
            [simulated_part(out, seed, RIGHT, strange=True)],
        )
        for seed in TARGET_SCENES
    ]


def taizhou_part(data: Path, out: Path, columns: tuple[int, int], *, strange: bool) -> Part:
    """Some columns of Taizhou."""
    source = data / "taizhou"
    out.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    name = "{}_{}{}".format(*columns, "_s" if strange else "")
    dates = []
    for date in ("t1_2000", "t2_2003"):
        image = source / f"{date}.tif"
        if strange:
            image = changed_sensor(image, out / f"{date}_s.tif", random)
        dates.append(crop(image, out / f"{date}_{name}.tif", columns))
    stacked = out / f"{name}.tif"
    if not stacked.exists():
        composite(dates, stacked)
    labels = crop(source / taizhou.LABELS, out / f"{name}_labels.tif", columns)
    return Part(stacked, labels, tuple(dates))


def gains_transfer(data: Path, out: Path, seed: int) -> list[Trial]:
    """The left half, then the right half with other gains."""
    return [
        Trial(
            [taizhou_part(data, out, taizhou.TRAIN, strange=False)],
            [taizhou_part(data, out, taizhou.TEST, strange=True)],
        )
    ]


def taizhou_ceiling(*, strange: bool) -> Callable[[Path, Path, int], list[Trial]]:
    """The target's polygons in four folds: each is tested by what the other three teach."""

    def trials(data: Path, out: Path, seed: int) -> list[Trial]:
        part = taizhou_part(data, out, taizhou.TEST, strange=strange)
        labels = label_values(part.labels)
        fold = np.zeros(labels.shape, int)
        for masks in polygons(labels).values():
            for number, k in enumerate(np.random.default_rng(0).permutation(len(masks))):
                fold[masks[k]] = 1 + number % FOLDS
        name = part.labels.stem
        return [
            Trial(
                [replace(part, labels=keep(part.labels, (fold > 0) & (fold != k), train))],
                [replace(part, labels=keep(part.labels, fold == k, test))],
            )
            for k in range(1, FOLDS + 1)
            for train, test in [(out / f"{name}_not_{k}.tif", out / f"{name}_{k}.tif")]
        ]

    return trials


# Few labels

CHIAPAS = ("blue", "green", "red", "nir", "swir1", "swir2")


def polygons(labels: NDArray[Any], most: int | None = None) -> dict[int, list[NDArray[np.bool_]]]:
    """Pixels of each polygon by value: pixels of one value, connected over sides or corners.

    Args:
        labels: Labels ``(row, column)``, 0 is none.
        most: Pixels of a polygon at most, around its first one; None for all.
    """
    by_value = {}
    for value in np.unique(labels[labels > 0]):
        numbers, count = ndimage.label(labels == value, np.ones((3, 3)))
        sizes = np.bincount(numbers.ravel(), minlength=count + 1)
        masks = []
        for number in 1 + np.flatnonzero(sizes[1:] >= LEAST):
            mask = numbers == number
            if most is not None and sizes[number] > most:
                mask = _near(mask, most)
            masks.append(mask)
        by_value[int(value)] = masks
    return by_value


def _near(mask: NDArray[np.bool_], most: int) -> NDArray[np.bool_]:
    """The pixels of a mask that lie nearest to its innermost pixel."""
    inner = np.unravel_index(ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1].argmax(),
                             mask.shape)  # fmt: skip
    rows, columns = np.nonzero(mask)
    nearest = np.argsort((rows - inner[0]) ** 2 + (columns - inner[1]) ** 2, kind="stable")[:most]
    kept = np.zeros_like(mask)
    kept[rows[nearest], columns[nearest]] = True
    return kept


def few(part: Part, number: int, seed: int, out: Path, most: int | None = None) -> Part:
    """The same ground with labels in a number of polygons of each class alone."""
    random = np.random.default_rng(seed)
    kept = drawn(label_values(part.labels), number, random, most)
    files = [part.labels, *part.maps]
    sparse = [keep(f, kept, out / f"{f.stem}_{number}_{seed}.tif") for f in files]
    return replace(part, labels=sparse[0], maps=tuple(sparse[1:]))


def drawn(
    labels: NDArray[Any], number: int, random: np.random.Generator, most: int | None = None
) -> NDArray[np.bool_]:
    """Pixels of a number of polygons of each class."""
    kept = np.zeros(labels.shape, np.bool_)
    for masks in polygons(labels, most).values():
        for k in random.choice(len(masks), min(number, len(masks)), replace=False):
            kept |= masks[k]
    return kept


def label_values(path: Path) -> NDArray[Any]:
    """Values ``(row, column)`` of labels, 0 where there is none."""
    values, valid = read(path)
    return np.where(valid, values[0], 0)


def keep(labels: Path, kept: NDArray[np.bool_], out: Path) -> Path:
    """Labels with 0 wherever they aren't kept; made once."""
    if out.exists():
        return out
    return write(out, np.where(kept, label_values(labels), 0)[None], labels)


def taizhou_few(number: int) -> Callable[[Path, Path, int], list[Trial]]:
    """A number of polygons of each class on the left half, then the right half."""

    def trials(data: Path, out: Path, seed: int) -> list[Trial]:
        left = taizhou_part(data, out, taizhou.TRAIN, strange=False)
        right = taizhou_part(data, out, taizhou.TEST, strange=False)
        return [Trial([few(left, number, seed, out)], [right])]

    return trials


def simulated_few(number: int) -> Callable[[Path, Path, int], list[Trial]]:
    """A number of polygons of each class of the change map, tested on other columns."""

    def trials(_: Path, out: Path, seed: int) -> list[Trial]:
        out.mkdir(parents=True, exist_ok=True)
        left, right = (simulated_part(out, TRAINED_SCENE, c, strange=False) for c in (LEFT, RIGHT))
        return [Trial([few(left, number, seed, out, MOST)], [right])]

    return trials


def simulated_ceiling(_: Path, out: Path, seed: int) -> list[Trial]:
    """All labels of the same columns."""
    out.mkdir(parents=True, exist_ok=True)
    left, right = (simulated_part(out, TRAINED_SCENE, c, strange=False) for c in (LEFT, RIGHT))
    return [Trial([left], [right])]


def chiapas_few(number: int) -> Callable[[Path, Path, int], list[Trial]]:
    """A number of polygons of each class, tested on those that are left."""

    def trials(data: Path, out: Path, seed: int) -> list[Trial]:
        source = data / "chiapas_l7"
        out.mkdir(parents=True, exist_ok=True)
        image, labels = out / "1999.tif", source / "labels_1999_sparse.tif"
        if not image.exists():
            values, valid = read(source / "t1_19991118.tif")
            bands = np.clip(values[: len(CHIAPAS)], 1, None)  # without thermal and quality bands
            write(image, np.where(valid, bands, 0), labels, CHIAPAS)
        chosen = drawn(label_values(labels), number, np.random.default_rng(seed))
        parts = [
            Part(image, keep(labels, mask, out / f"{name}_{number}_{seed}.tif"))
            for name, mask in (("train", chosen), ("test", ~chosen))
        ]
        return [Trial(parts[:1], parts[1:])]

    return trials


PUCALLPA = {"classes": None, "map_classes": pucallpa.CLASSES, "batch_size": 16, "tile": 128,
            "stride": 32}  # fmt: skip
SIMULATED = {"classes": None, "map_classes": tables.LAND_COVER, "tile": 128, "chip": 64}
TAIZHOU = {"classes": taizhou.CLASSES, "map_classes": None, "tile": taizhou.TILE,
           "stride": taizhou.TILE}  # fmt: skip
CHIAPAS_CLASSES = ClassScheme.from_mapping(
    {1: "forest", 2: "water", 3: "herbaceous", 4: "barren", 5: "urban"}
)

PROTOCOLS: dict[str, Protocol] = {
    "time": Protocol(time_transfer, time_ceiling, **PUCALLPA),
    "time-choice": Protocol(choice_transfer, choice_ceiling, **PUCALLPA),
    "place": Protocol(place_transfer, place_ceiling, **SIMULATED),
    "gains": Protocol(gains_transfer, taizhou_ceiling(strange=True), **TAIZHOU),
    **{
        f"taizhou-{n}": Protocol(taizhou_few(n), taizhou_ceiling(strange=False), **TAIZHOU)
        for n in (1, 5, 20)
    },
    **{
        f"simulated-{n}": Protocol(simulated_few(n), simulated_ceiling, **SIMULATED)
        for n in (1, 5, 20)
    },
    **{
        f"chiapas-{n}": Protocol(
            chiapas_few(n), None, CHIAPAS_CLASSES, None, tile=taizhou.TILE, stride=taizhou.TILE
        )
        for n in (1, 3)
    },
}


# Training and scores


def tiles_of(protocol: Protocol, parts: Sequence[Part], folder: Path, *, by_date: bool) -> Path:
    """Cut parts into tiles, of both dates stacked or of each date by itself."""
    if by_date:
        images = [image for part in parts for image in part.dates]
        labels = [classes for part in parts for classes in part.maps]
        companions = tileset.Companions()
        classes = protocol.map_classes
    else:
        images, labels = [p.image for p in parts], [p.labels for p in parts]
        maps = list(zip(*(p.maps for p in parts), strict=True)) or [(), ()]
        companions = tileset.Companions(
            labels_before=maps[0], labels_after=maps[1], map_classes=protocol.map_classes
        )
        classes = protocol.classes
    return tileset.cut(
        images, labels, folder, classes=classes, companions=companions,
        cutting=tileset.Cutting(tile_size=protocol.tile, stride=protocol.stride),
    ).folder  # fmt: skip


def loaded(protocol: Protocol, tiles: Path, seed: int) -> Data:
    """Tiles as data for training; next to none of them validate, and nothing is chosen by them."""
    return prepare_data(
        tiles, chip_size=protocol.chip or protocol.tile, batch_size=protocol.batch_size,
        val_split_pct=0.02, seed=seed,
    )  # fmt: skip


def map_by_network(
    name: str, data: Data, images: Sequence[Path], folder: Path, steps: int
) -> list[Path]:
    """Train a network and map images with it."""
    if name in SMALL:
        small = SegmentationModel(data, name, features=("difference",))
        small.fit(epochs=1000, max_steps=steps, checkpoint=False)
        return classified(small.save(folder / name), images, folder)
    model = pucallpa.MODELS[name](data, backbone=BACKBONE, class_balancing=True)
    model.fit(epochs=1000, lr=1e-3, max_steps=steps, checkpoint=False)
    return classified(model.save(folder / name), images, folder)


def classified(saved: Path, images: Sequence[Path], folder: Path) -> list[Path]:
    """Maps of images by a saved model."""
    return [
        classify_pixels(image, saved, folder / f"{k}_map.tif") for k, image in enumerate(images)
    ]


def invariant(part: Part) -> Part:
    """The same ground with the later date brought to the earlier one; made once."""
    early, late = part.dates
    close = part.image.with_stem(f"{part.image.stem}_late")
    stacked = part.image.with_stem(f"{part.image.stem}_invariant")
    if not stacked.exists():
        normalise(late, early, close, method="invariant", overwrite=True)
        composite([early, close], stacked)
    return replace(part, image=stacked, dates=(early, close))


def judge(protocol: Protocol, method: str, trial: Trial, seed: int, folder: Path) -> Evaluation:
    """Train a method and score its maps of the test parts, pooled.

    For the rules, the scores are those of the first, with all of them as baselines.
    """
    if method in (*SMALL, PROPOSED):
        trial = Trial(*([invariant(part) for part in parts] for parts in (trial.train, trial.test)))
    tiles = tiles_of(protocol, trial.train, folder / "tiles", by_date=method == POST)
    data = loaded(protocol, tiles, seed)
    if method == RULES:
        rules, training = baselines.fit(data.training, list(baselines.RULES)), data.training
        scored = [
            evaluate_rules(rules, training.spec, part.image, part.labels, scheme=training.scheme)
            for part in trial.test
        ]
        return pool([each[next(iter(rules))].beside(each) for each in scored])
    if method == POST:
        images = [image for part in trial.test for image in part.dates]
        of_dates = map_by_network("unet", data, images, folder, protocol.steps)
        maps = [folder / f"{k}_change.tif" for k in range(len(trial.test))]
        for k, mapped in enumerate(maps):
            label(*of_dates[2 * k : 2 * k + 2], mapped, classes=protocol.map_classes)
    elif method == PROPOSED:
        # as many steps as `train` plans
        saved = train(tiles, name=folder / "model", data=DataOptions(seed=seed)).path
        maps = classified(saved, [part.image for part in trial.test], folder)
    else:
        images = [part.image for part in trial.test]
        maps = map_by_network(method, data, images, folder, protocol.steps)
    return pool(
        [
            evaluate_map(mapped, part.labels, scheme=protocol.classes)
            for mapped, part in zip(maps, trial.test, strict=True)
        ]
    )


def run(
    name: str, method: str, where: str, seed: int, data: Path, out: Path, steps: int | None
) -> dict[str, Any]:
    """Contents of the file of one run."""
    protocol = PROTOCOLS[name]
    protocol = replace(protocol, steps=protocol.steps if steps is None else steps)
    trials = protocol.transfer if where == TRANSFER else protocol.ceiling
    assert trials is not None
    started = time.process_time()
    judged = []
    # every protocol of one data set shares its images
    for trial in trials(data, out / "data" / name.split("-")[0], seed):
        with tempfile.TemporaryDirectory() as folder:
            judged.append(judge(protocol, method, trial, seed, Path(folder)))
    evaluation = pool(judged)
    return {
        "protocol": name, "method": method, "where": where, "seed": seed, "backbone": BACKBONE,
        "steps": protocol.steps, "processor_seconds": round(time.process_time() - started, 1),
        **evaluation.as_dict(),
    }  # fmt: skip


TRANSFER, CEILING = "transfer", "ceiling"

Key = tuple[str, str, str, int]
"""Protocol, method, where it is trained, seed."""


def wanted(only: Sequence[str], seeds: Sequence[int]) -> list[Key]:
    """The runs, by seed."""
    runs = []
    for seed, (name, protocol) in itertools.product(seeds, PROTOCOLS.items()):
        methods = METHODS if protocol.map_classes is not None else (RULES, "unet")
        if name.startswith(("gains", "taizhou", "simulated")):
            methods += (*SMALL, PROPOSED)
        places = (TRANSFER,) if protocol.ceiling is None else (TRANSFER, CEILING)
        for method, where in itertools.product(methods, places):
            if not only or {name, f"{name}/{method}"} & set(only):
                runs.append((name, method, where, seed))
    return runs


# The table

SCORES = ("accuracy", "kappa", "macro_f1", "change_f1")


def file_of(runs: Path, key: Key) -> Path:
    """Where a run's scores lie."""
    name, method, where, seed = key
    return runs / name / f"{method}_{where}_{seed}.json"


def scores_of(contents: dict[str, Any], scores: dict[str, Any]) -> dict[str, float | None]:
    """The scores that are shown, of a run or of one of its baselines."""
    common = [c["f1"] for c in scores["classes"] if c["support"] > TESTED]
    return {
        **{name: scores[name] for name in SCORES},
        "macro F1, common": fmean(common) if common else None,
    }


def by_method(runs: Path, keys: Sequence[Key]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The scores of each finished run, by method and where it was trained."""
    shown: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for key in keys:
        path = file_of(runs, key)
        if not path.exists():
            continue
        contents = json.loads(path.read_text())
        named = contents["baselines"] if key[1] == RULES else {key[1]: contents["scores"]}
        for method, scores in named.items():
            shown.setdefault((method, key[2]), []).append(scores_of(contents, scores))
    return shown


def table(name: str, runs: Path, keys: Sequence[Key]) -> Table:
    """Mean, lowest and highest of each score over the finished seeds."""
    columns = (*SCORES, "macro F1, common")
    shown = Table("method", "trained at", "seeds", *columns, title=name, box=None)
    for (method, where), scores in sorted(by_method(runs, keys).items()):
        cells = []
        for column in columns:
            values = [s[column] for s in scores if s[column] is not None]
            cells.append(f"{fmean(values):.3f} ({min(values):.3f}-{max(values):.3f})"
                         if values else "")  # fmt: skip
        place = "the target" if where == CEILING else "elsewhere"
        shown.add_row(method, place, str(len(scores)), *cells)
    return shown


def main() -> None:
    """Make the missing runs, and print the tables."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("data", type=Path, help="folder that holds pucallpa/, taizhou/, ...")
    options.add_argument("out", type=Path)
    options.add_argument("--only", nargs="+", default=(), metavar="PROTOCOL[/METHOD]")
    options.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    options.add_argument("--max-steps", type=int, help="instead of each protocol's own")
    options.add_argument("--table", action="store_true", help="print the tables only")
    asked = options.parse_args()
    runs = asked.out / "runs"
    keys = wanted(asked.only, asked.seeds)
    if not keys:
        options.error(f"no such run: {' '.join(asked.only)}")
    for key in () if asked.table else keys:
        path = file_of(runs, key)
        if path.exists():
            continue
        print(*key, flush=True)
        contents = run(*key, asked.data, asked.out, asked.max_steps)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole.whole_file(path) as part:
            part.write_text(json.dumps(contents, indent=2) + "\n")
    console = Console(width=150)
    for name in dict.fromkeys(key[0] for key in keys):
        console.print(table(name, runs, [key for key in keys if key[0] == name]))


if __name__ == "__main__":
    main()
