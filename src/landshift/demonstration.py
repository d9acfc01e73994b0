"""The whole chain on a simulated scene: the seven stages, one after another."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from landshift.errors import ParameterError
from landshift.files import provenance
from landshift.files import whole as whole_files
from landshift.files.options import OutFile

if TYPE_CHECKING:
    from landshift.evaluation.evaluation import Evaluation
    from landshift.maps.transitions import TransitionTable
    from landshift.scores.confusion import Scores

BATCH_SIZE = 4
LEARNING_RATE = 2e-3
BACKBONE = "resnet18"
MODEL = "semantic"
METHOD = "semantic network"
"""The network's name in the table of methods."""

TILE_SIZE = 128
"""Rows and columns of tiles, which lie side by side: with larger ones, steps take longer."""

MARK = ".landshift-demo.json"
"""A file in a demo's folder that lists the demo's own files, which it may remove."""


@dataclass(frozen=True)
class Demo:
    """Results of a demo.

    Attributes:
        paths: Where the result of each stage lies.
        transitions: Area of each transition of the scene.
        network: Scores of the network on the validation tiles.
        methods: Scores of the network and of its baselines, on the same pixels.
    """

    paths: dict[str, Path]
    transitions: TransitionTable
    network: Evaluation
    methods: dict[str, Scores]


def demo(
    out: OutFile = Path("demo"),
    *,
    size: int = 1536,
    epochs: int = 12,
    seed: int = 0,
    on_stage: Annotated[Callable[[str], None] | None, Parameter(parse=False)] = None,
) -> Demo:
    """Run the whole chain on a simulated scene and list its results.

    Args:
        out: Folder for all results: new, empty, or with the mark of an earlier demo, whose results
            are replaced. Other files there stay.
        size: Rows and columns of the scene.
        epochs: Epochs of training.
        seed: Seed of the scene and the training.
        on_stage: Called with a line before each stage.

    Raises:
        ParameterError: The folder holds files and no mark of a demo, or the demo's files there
            have changed.
    """
    out = Path(out)
    _make_room(out)
    report = on_stage or (lambda _: None)
    paths, transitions = _prepare(out, size, seed, report)
    network, methods = _learn(paths, out, epochs, seed, report)
    _map(paths, out, report)
    written = {n: provenance.fingerprint(out / n) for n in _OUTPUTS if (out / n).is_file()}
    _write_mark(out, {**_read_mark(out), **written})
    return Demo({stage: paths[stage] for stage in _STAGES}, transitions, network, methods)


def _prepare(
    out: Path, size: int, seed: int, report: Callable[[str], None]
) -> tuple[dict[str, Path], TransitionTable]:
    """Simulate a scene and make a training set of it; paths by stage, and the transitions."""
    from landshift import tileset
    from landshift.prepare.composite import composite
    from landshift.prepare.label import label
    from landshift.simulation.scene import simulate

    report(f"1/7 composite: a simulated scene of {size} x {size} pixels, two dates stacked")
    scene = simulate(out / "scene", height=size, width=size, seed=seed)
    stacked = composite([scene.before, scene.after], out / "composite.tif")
    report("2/7 label: two class maps -> change map")
    change = out / "change.tif"
    transitions = label(scene.before_classes, scene.after_classes, change)
    table = transitions.write_csv(out / "transitions.csv")
    report("3/7 tiles: composite, change map and class maps -> training set")
    companions = tileset.Companions(
        labels_before=[scene.before_classes], labels_after=[scene.after_classes]
    )
    cutting = tileset.Cutting(tile_size=TILE_SIZE, stride=TILE_SIZE)
    tiles = tileset.cut(
        [stacked], [change], out / "tiles", cutting=cutting, companions=companions
    ).folder
    paths = {
        "scene": scene.before.parent, "before": scene.before, "after": scene.after,
        "composite": stacked, "label": change, "table": table, "tiles": tiles,
    }  # fmt: skip
    return paths, transitions


def _learn(
    paths: dict[str, Path], out: Path, epochs: int, seed: int, report: Callable[[str], None]
) -> tuple[Evaluation, dict[str, Scores]]:
    """Train and evaluate a network; add the paths of its model and scores to ``paths``."""
    from landshift import learn
    from landshift.evaluation.models import evaluate_baselines
    from landshift.files.hub import OFFLINE

    report(f"4/7 train: a {METHOD} ({BACKBONE}) from random weights, {epochs} epochs")
    os.environ.setdefault(OFFLINE, "1")
    data = learn.prepare_data(paths["tiles"], batch_size=BATCH_SIZE, seed=seed)
    classifier = learn.SemanticChangeClassifier(data, backbone=BACKBONE, class_balancing=True)
    classifier.fit(epochs=epochs, lr=LEARNING_RATE)
    paths["train"] = classifier.save(MODEL)
    report("5/7 evaluate: on validation ground that no training tile touches")
    network = classifier.evaluate()
    paths["evaluate"] = network.write_json(out / "scores.json")
    rule = "linear discriminant"
    baseline = evaluate_baselines(data.training, [rule])[rule]
    methods = {METHOD: network.scores, f"per-pixel {rule}": baseline.scores, **network.baselines}
    return network, methods


def _map(paths: dict[str, Path], out: Path, report: Callable[[str], None]) -> None:
    """Classify the scene and draw it; add the paths of map and picture to ``paths``."""
    from landshift.classification import classify_pixels
    from landshift.show import figures

    report("6/7 classify: the model over the whole scene")
    paths["classify"] = classify_pixels(
        paths["composite"], paths["train"], out / "map.tif", padding=56, tile_size=224
    )
    report("7/7 view: before, after, predicted, reference")
    paths["view"] = figures.view(
        [paths["before"], paths["after"]], paths["classify"], out / "view.png",
        reference=paths["label"],
    )  # fmt: skip


def _make_room(folder: Path) -> None:
    """Remove an earlier demo's results, and nothing else; mark the folder as a demo's."""
    if (folder / MARK).is_file():
        own = _read_mark(folder)
        _check_own(folder, own)
        for name in own:
            path = folder / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    elif folder.is_dir() and any(folder.iterdir()):
        held = sorted(path.name for path in folder.iterdir())
        raise ParameterError(
            "The demo's folder (`out`) must be new or empty, or carry an earlier demo's mark "
            f"({MARK}), got {folder} with {', '.join(held[:3])} in it; give another."
        )
    rasters = [folder / name for name in _OUTPUTS if name.endswith(".tif")]
    beside = [path.name for raster in rasters for path in whole_files.side_files(raster)]
    _write_mark(folder, dict.fromkeys([*_OUTPUTS, *beside, *_UNFINISHED]))


def _check_own(folder: Path, own: Mapping[str, str | None]) -> None:
    """Check that the files to remove are still the demo's own."""
    changed = [
        name
        for name, fingerprint in own.items()
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
            f"The demo replaces only its own files, got {', '.join(sorted(changed)[:3])} in "
            f"{folder}; move that elsewhere, or give another folder (`out`)."
        )


def _write_mark(folder: Path, own: Mapping[str, str | None]) -> None:
    with whole_files.whole_file(folder / MARK) as part:
        part.write_text(json.dumps({"made by landshift demo": own}, indent=2) + "\n")


def _read_mark(folder: Path) -> dict[str, str | None]:
    """The demo's own files in a folder, by name; and the fingerprint of those that are finished."""
    try:
        own = json.loads((folder / MARK).read_text(encoding="utf-8"))["made by landshift demo"]
        whole = all(Path(name).name == name and name not in (".", "..") for name in own)
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise ParameterError(
            f"The demo's mark must list its files, got a damaged one at {folder / MARK}; give "
            "another folder (`out`)."
        )
    return dict(own)


_STAGES = (
    "scene", "composite", "label", "table", "tiles", "train", "evaluate", "classify", "view",
)  # fmt: skip
_OUTPUTS = (
    "scene", "composite.tif", "change.tif", "transitions.csv", "tiles", "scores.json", "map.tif",
    "view.png",
)  # fmt: skip
_UNFINISHED = (".tiles.partial", ".map.tif.partial")
