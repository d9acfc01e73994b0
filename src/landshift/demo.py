"""The whole chain on a simulated scene: the seven stages, one after another."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from landshift import composite, figures, labels, learn, simulate, tileset
from landshift.classify import classify_pixels
from landshift.confusion import Scores
from landshift.errors import ParameterError
from landshift.evaluate import Evaluation, evaluate_baselines
from landshift.hub import OFFLINE
from landshift.labels import TransitionTable

BATCH_SIZE = 4
LEARNING_RATE = 2e-3
BACKBONE = "resnet34"


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
        folder: Where everything goes; results of an earlier demo there are replaced.
        size: Rows and columns of the scene.
        epochs: Epochs of training.
        seed: Seed of scene and training.
        on_stage: Called with a line before each stage.

    Raises:
        ParameterError: The folder holds something that isn't an earlier demo.
    """
    folder = Path(folder)
    _make_room(folder)
    on_stage(f"1/7 composite: a simulated scene of {size} x {size} pixels, two dates stacked")
    scene = simulate.simulate(folder / "scene", height=size, width=size, seed=seed)
    stacked = composite.composite([scene.before, scene.after], folder / "composite.tif")
    on_stage("2/7 label: two class maps -> change map")
    change = folder / "change.tif"
    transitions = labels.label(scene.before_classes, scene.after_classes, change)
    table = transitions.write_csv(folder / "transitions.csv")
    on_stage("3/7 tiles: composite and change map -> training set")
    tiles = tileset.cut([stacked], [change], folder / "tiles").folder
    on_stage(f"4/7 train: a U-Net from random weights, {epochs} epochs")
    os.environ.setdefault(OFFLINE, "1")
    data = learn.prepare_data(tiles, batch_size=BATCH_SIZE, seed=seed)
    classifier = learn.UnetClassifier(data, backbone=BACKBONE, class_balancing=True)
    classifier.fit(epochs=epochs, lr=LEARNING_RATE)
    model = classifier.save("unet")
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
    """Remove what an earlier demo left, and nothing else."""
    if not folder.is_dir():
        return
    found = list(folder.iterdir())
    foreign = sorted(p.name for p in found if p.name.lstrip(".").split(".")[0] not in _OUTPUTS)
    if foreign:
        raise ParameterError(
            f"The demo's folder must be new or hold an earlier demo, got {folder} with "
            f"{', '.join(foreign[:3])} in it; give another with --out."
        )
    for path in found:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


_OUTPUTS = {"scene", "composite", "change", "transitions", "tiles", "scores", "map", "view"}
"""What a demo's files and folders are called, without their suffixes."""
