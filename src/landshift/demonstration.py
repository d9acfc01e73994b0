"""The whole chain on a simulated scene: the seven stages, one after another."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from landshift import learn, tileset
from landshift.classification import classify_pixels
from landshift.errors import ParameterError
from landshift.evaluation.evaluation import Evaluation
from landshift.evaluation.models import evaluate_baselines
from landshift.files import provenance
from landshift.files import whole as whole_files
from landshift.files.hub import OFFLINE
from landshift.prepare import composite, label
from landshift.prepare.label import TransitionTable
from landshift.scores.confusion import Scores
from landshift.show import figures
from landshift.simulation import scene as simulate

BATCH_SIZE = 4
LEARNING_RATE = 2e-3
BACKBONE = "resnet34"
MODEL = "unet"

MARK = ".landshift-demo.json"
"""A file in a demo's folder that says what of it the demo made, and so may remove."""


@dataclass(frozen=True)
class Demo:
    """What a demo made.

    Attributes:
        paths: Where the result of each stage lies.
        transitions: How much of each class became which.
        network: Scores of the network on the validation tiles.
        methods: Scores of the network and of what it must beat, on the same pixels.
    """

    paths: dict[str, Path]
    transitions: TransitionTable
    network: Evaluation
    methods: dict[str, Scores]


def run(
    folder: Path,
    *,
    size: int = 1536,
    epochs: int = 12,
    seed: int = 0,
    on_stage: Callable[[str], None] = lambda _: None,
) -> Demo:
    """Simulate a scene and run all seven stages on it, from random weights.

    Args:
        folder: Where everything goes: new, empty, or with the mark of an earlier demo, whose
            results are replaced. Other files there stay.
        size: Rows and columns of the scene.
        epochs: Epochs of training.
        seed: Seed of scene and training.
        on_stage: Called with a line before each stage.

    Raises:
        ParameterError: The folder holds files and no mark of a demo, or what the demo made isn't
            as it was.
    """
    folder = Path(folder)
    _make_room(folder)
    on_stage(f"1/7 composite: a simulated scene of {size} x {size} pixels, two dates stacked")
    scene = simulate.simulate(folder / "scene", height=size, width=size, seed=seed)
    stacked = composite.composite([scene.before, scene.after], folder / "composite.tif")
    on_stage("2/7 label: two class maps -> change map")
    change = folder / "change.tif"
    transitions = label.label(scene.before_classes, scene.after_classes, change)
    table = transitions.write_csv(folder / "transitions.csv")
    on_stage("3/7 tiles: composite and change map -> training set")
    tiles = tileset.cut([stacked], [change], folder / "tiles").folder
    on_stage(f"4/7 train: a U-Net from random weights, {epochs} epochs")
    os.environ.setdefault(OFFLINE, "1")
    data = learn.prepare_data(tiles, batch_size=BATCH_SIZE, seed=seed)
    classifier = learn.UnetClassifier(data, backbone=BACKBONE, class_balancing=True)
    classifier.fit(epochs=epochs, lr=LEARNING_RATE)
    model = classifier.save(MODEL)
    on_stage("5/7 evaluate: on validation ground that no training tile touches")
    network = classifier.evaluate()
    scores = network.write_json(folder / "scores.json")
    methods = {"U-Net": network.scores}
    rule = "linear discriminant"
    methods[f"per-pixel {rule}"] = evaluate_baselines(data.training, [rule])[rule].scores
    methods |= network.baselines
    on_stage("6/7 classify: the model over the whole scene")
    mapped = classify_pixels(stacked, model, folder / "map.tif", padding=56, tile_size=224)
    on_stage("7/7 view: before, after, predicted, reference")
    picture = figures.view(
        [scene.before, scene.after], mapped, folder / "view.png", reference=change
    )
    whole = {n: provenance.fingerprint(folder / n) for n in _OUTPUTS if (folder / n).is_file()}
    _write_mark(folder, {**_read_mark(folder), **whole})
    return Demo(
        paths={
            "scene": scene.before.parent,
            "composite": stacked,
            "label": change,
            "table": table,
            "tiles": tiles,
            "train": model,
            "evaluate": scores,
            "classify": mapped,
            "view": picture,
        },
        transitions=transitions,
        network=network,
        methods=methods,
    )


def _make_room(folder: Path) -> None:
    """Remove what an earlier demo made, and nothing else; mark the folder as a demo's."""
    if (folder / MARK).is_file():
        made = _read_mark(folder)
        _check_own(folder, made)
        for name in made:
            path = folder / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    elif folder.is_dir() and any(folder.iterdir()):
        held = sorted(path.name for path in folder.iterdir())
        raise ParameterError(
            "The demo's folder must be new or empty, or carry an earlier demo's mark "
            f"({MARK}), got {folder} with {', '.join(held[:3])} in it; give another with --out."
        )
    rasters = [folder / name for name in _OUTPUTS if name.endswith(".tif")]
    beside = [path.name for raster in rasters for path in whole_files.side_files(raster)]
    _write_mark(folder, dict.fromkeys([*_OUTPUTS, *beside, *_UNFINISHED]))


def _check_own(folder: Path, made: Mapping[str, str | None]) -> None:
    """Check that what would be removed is still what the demo made."""
    changed = [
        name
        for name, fingerprint in made.items()
        if fingerprint is not None
        and (folder / name).is_file()
        and provenance.fingerprint(folder / name) != fingerprint
    ]
    models = (folder / "tiles" / "models").glob("*")
    changed += [
        f"tiles/models/{p.name}" for p in models if p.name.lstrip(".").split(".")[0] != MODEL
    ]
    if changed:
        raise ParameterError(
            f"The demo replaces only what it made itself, got {', '.join(sorted(changed)[:3])} in "
            f"{folder}; move that elsewhere, or give another folder with --out."
        )


def _write_mark(folder: Path, made: Mapping[str, str | None]) -> None:
    with whole_files.whole_file(folder / MARK) as part:
        part.write_text(json.dumps({"made by landshift demo": made}, indent=2) + "\n")


def _read_mark(folder: Path) -> dict[str, str | None]:
    """What the demo made in a folder, by name; and the fingerprint of files that are finished."""
    try:
        made = json.loads((folder / MARK).read_text(encoding="utf-8"))["made by landshift demo"]
        whole = all(Path(name).name == name and name not in (".", "..") for name in made)
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise ParameterError(
            f"The demo's mark must say what it made, got a damaged one at {folder / MARK}; give "
            "another folder with --out."
        )
    return dict(made)


_OUTPUTS = (
    "scene", "composite.tif", "change.tif", "transitions.csv", "tiles", "scores.json", "map.tif",
    "view.png",
)  # fmt: skip
_UNFINISHED = (".tiles.partial", ".map.tif.partial")
