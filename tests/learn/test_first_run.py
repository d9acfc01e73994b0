"""What a training is left to choose, checks before it begins, and says while it runs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import landshift
from cutting import cut_tiles
from landshift import bundle
from landshift.classes import ClassScheme
from landshift.errors import LandshiftError, ModelError, OutputError, ParameterError, WeightsError
from landshift.learn import UnetClassifier, prepare_data, progress
from landshift.machine.progress import Step, watched
from landshift.training import Epoch
from scenes import BANDS, MAPPING, write
from watching import Steps

SMALL = landshift.Network(backbone="resnet10t")
SHORT = landshift.Training(epochs=1, lr=1e-3, max_steps=1)


@pytest.fixture(scope="module")
def with_maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tile set that carries the class maps before and after."""
    folder = tmp_path_factory.mktemp("maps")
    random = np.random.default_rng(1)
    before = np.repeat(np.repeat(random.integers(1, 3, (16, 16)), 16, 0), 16, 1).astype(np.uint8)
    after = before.copy()
    after[:128] = 2
    change = np.where(before == after, 2, 1).astype(np.uint8)
    image = np.concatenate([np.stack([before] * 3), np.stack([after] * 3)]) * 40
    paths = [write(folder / f"{name}.tif", values, nodata=0) for name, values in
             (("before", before), ("after", after), ("change", change))]  # fmt: skip
    composite = write(folder / "image.tif", image, nodata=0, bands=BANDS)
    classes = ClassScheme.from_mapping({1: "forest", 2: "crop"})
    tiles = cut_tiles(
        [composite], [paths[2]], folder / "tiles", tile_size=64, stride=64,
        classes=ClassScheme.from_mapping(MAPPING), labels_before=paths[:1],
        labels_after=paths[1:2], map_classes=classes,
    )  # fmt: skip
    return tiles.folder


def test_the_network_is_semantic_where_tiles_carry_class_maps() -> None:
    assert landshift.Network().chosen(class_maps=True).model == "semantic"
    assert landshift.Network().chosen(class_maps=False).model == "unet"
    assert landshift.Network(model="fpn").chosen(class_maps=True).model == "fpn"


def test_without_options_tiles_with_class_maps_train_a_semantic_network(with_maps: Path) -> None:
    result = landshift.train(with_maps, network=SMALL, training=SHORT)
    assert result.path == with_maps / "models" / "semantic_1" / "semantic_1.emd"
    assert bundle.load(result.path).model.design.combination == "semantic"


def test_a_planned_training_is_recorded_and_named_after_the_network(tiles: Path) -> None:
    lines: list[str] = []
    steps = Steps()
    options = landshift.Training(lr=1e-3, max_steps=6)
    reading = landshift.TrainingTiles(MAPPING, batch_size=4, chip_size=32)
    with watched(steps):
        result = landshift.train(
            tiles, network=SMALL, training=options, reading=reading, on_time=lines.append,
            overwrite=True,
        )  # fmt: skip
    assert result.path.parent == tiles / "models" / "unet"
    record = bundle.load(result.path).training
    assert record["planned"]["epochs"] * record["planned"]["batches"] == 6
    assert record["planned"]["passes"] > 1
    (line,) = lines
    assert "1 epoch of 6 steps" in line
    assert ("epoch 0", 6, 6) in steps.parts
    (validation,) = (part for part in steps.parts if part[0] == "validation")
    assert validation[1] == validation[2]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"network": landshift.Network(backbone="resnet999")}, ModelError, "mean resnet50"),
        ({"network": landshift.Network(weights="no.pth")}, WeightsError, "weights file must exist"),
        ({"name": "there"}, LandshiftError, "there"),
    ],
)
def test_names_and_outputs_are_checked_before_the_tiles_are_read(
    changes: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    (tmp_path / "models" / "there").mkdir(parents=True)
    (tmp_path / "models" / "there" / "there.emd").write_text("{}")
    with pytest.raises(error, match=message):  # there are no tiles
        landshift.train(tmp_path, **changes)


def test_an_unfinished_training_with_other_options_is_refused_before_the_tiles_are_read(
    tiles: Path, tmp_path: Path
) -> None:
    def stop(_: Epoch) -> None:
        raise KeyboardInterrupt

    options = landshift.Training(epochs=2, lr=1e-3, max_steps=2)
    model = tmp_path / "m"
    with pytest.raises(KeyboardInterrupt):
        landshift.train(
            tiles, name=model, network=SMALL, training=options, on_epoch=stop,
            reading=landshift.TrainingTiles(MAPPING, chip_size=32),
        )  # fmt: skip
    empty = tmp_path / "empty"
    empty.mkdir()
    assert not (tmp_path / ".m.unfinished.pt").exists()  # stopped within the first epoch
    with pytest.raises(KeyboardInterrupt) as stopped:
        landshift.train(
            tiles, name=model, network=SMALL, training=options,
            on_epoch=lambda row: stop(row) if row.epoch else None,
            reading=landshift.TrainingTiles(MAPPING, chip_size=32),
        )  # fmt: skip
    (note,) = stopped.value.__notes__
    assert "The state after 1 epoch is kept in" in note
    assert note.endswith("the same command with `resume` goes on.")
    with pytest.raises(ParameterError, match=r"lr 0\.001 and not 0\.1"):
        landshift.train(
            empty, name=model, training=landshift.Training(epochs=2, lr=0.1, max_steps=2),
            resume=True,
        )  # fmt: skip


def test_what_is_interrupted_before_an_epoch_keeps_nothing(tiles: Path, tmp_path: Path) -> None:
    def stop(_: str) -> None:
        raise KeyboardInterrupt

    options = landshift.Training(epochs=9, lr=1e-3)
    with pytest.raises(KeyboardInterrupt) as stopped:
        landshift.train(
            tiles, name=tmp_path / "m", network=SMALL, training=options, on_time=stop,
            reading=landshift.TrainingTiles(MAPPING, batch_size=2, chip_size=32),
        )  # fmt: skip
    assert stopped.value.__notes__ == ["No epoch was done: nothing is kept."]


def test_an_interrupted_notebook_keeps_the_last_weights(
    tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = prepare_data(tiles, class_mapping=MAPPING, chip_size=32, batch_size=2)
    model = UnetClassifier(data, backbone="resnet10t", pretrained_backbone=False)
    before = {k: v.clone() for k, v in model.model.state_dict().items()}

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("landshift.learn.session.calibrate", stop)
    state = tmp_path / "state.pt"
    with pytest.raises(KeyboardInterrupt) as stopped:
        model.fit(epochs=1, lr=1e-3, max_steps=2, resume=state)
    assert (
        "keeps the weights of its last step; the state after 1 epoch"
        in (stopped.value.__notes__[0])
    )
    assert len(model.history) == 1
    after = model.model.state_dict()
    assert any(not v.equal(after[k]) for k, v in before.items())


def test_a_log_that_exists_is_refused_before_the_learning_rate_is_looked_for(
    tiles: Path, tmp_path: Path
) -> None:
    data = prepare_data(tiles, class_mapping=MAPPING)
    model = UnetClassifier(data, backbone="resnet10t", pretrained_backbone=False)
    (tmp_path / "training.csv").write_text("mine")
    steps = Steps()
    with watched(steps), pytest.raises(OutputError, match=r"training\.csv"):
        model.fit(epochs=1, log=tmp_path)
    assert not steps.steps
    with watched(steps):
        model.lr_find(allow_plot=False)
    assert ("learning rate", 60) in [(step.what, step.total) for step in steps.steps]


def test_a_short_training_and_few_tiles_are_warned_of(
    tiles: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    data = prepare_data(tiles, class_mapping=MAPPING, batch_size=4)
    assert "for training, fewer than 20" in caplog.text
    model = UnetClassifier(data, backbone="resnet10t", pretrained_backbone=False)
    model.fit(epochs=1, lr=1e-3, max_steps=1)
    assert "makes 1 step in all, few for 2 classes, for which 400 are planned" in caplog.text


@pytest.mark.parametrize(
    ("step", "seconds", "line"),
    [
        (Step("epoch 3", 20, 12, "loss 0.83"), 12.0, "epoch 3: 12/20 (60%), loss 0.83, 0:08 left"),
        (Step("read", None, 1200), 5.0, "read: 1,200"),
        (Step("read"), 5.0, "read"),
        (Step("read", 3), 5.0, "read: 0/3 (0%)"),
    ],
)
def test_a_step_as_a_line_of_text(step: Step, seconds: float, line: str) -> None:
    assert progress.progress_line(step, seconds) == line


def test_a_notebook_shows_the_steps_in_one_output_that_ends_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[dict[str, str]] = []

    class Handle:
        def update(self, content: dict[str, str], *, raw: bool) -> None:
            drawn.append(content)

    def display(content: dict[str, str], **_: Any) -> Handle:
        drawn.append(content)
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    clock = iter([0.0, 0.1, 1.0, 1.1, 2.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    bars = progress.NotebookBars()
    step = Step("read <tiles>", 4)
    bars.began(step)
    for done in range(1, 5):  # after 0.1, 1.0, 1.1 and 2.0 s
        step.done = done
        bars.moved(step)
    bars.ended(step)
    bars.close()
    texts = [content["text/plain"] for content in drawn]
    assert texts == ["read <tiles>: 2/4 (50%), 0:01 left", "read <tiles>: 4/4 (100%)", ""]
    assert "read &lt;tiles&gt;" in drawn[0]["text/html"]
    assert drawn[-1]["text/html"] == ""
