import json
from typing import get_args

import pytest

import commands
import landshift
from landshift import bundle, training
from landshift.errors import ParameterError
from landshift.learn import trained
from landshift.models import ARCHITECTURES
from packages import ENCODED
from scenes import MAPPING

SMALL = ("--backbone", "resnet10t", "--epochs", "1", "--lr", "0.002", "--batch-size", "4")


def test_the_networks_on_offer_are_those_that_can_be_built():
    assert set(get_args(trained.Decoder)) == set(ENCODED)
    assert {*get_args(trained.Decoder), *get_args(trained.Small)} == set(ARCHITECTURES)


def test_the_function_and_the_command_train_the_same_model(tiles, tmp_path):
    result = landshift.train(
        tiles,
        name=str(tmp_path / "function"),
        network=landshift.Network(model="siamese", decoder="fpn", backbone="resnet10t"),
        data=landshift.DataOptions(seed=3, split="random", val_split_pct=0.2),
        reading=landshift.TrainingTiles(
            MAPPING, chip_size=32, batch_size=4, sensor=["A", "B", "A", "B", None, "B"], units="x"
        ),
        training=landshift.Training(
            epochs=1, lr=2e-3, loss=landshift.Loss("focal+dice", class_balancing=True),
            augmentation=landshift.Augmentation(shift=0.5, mixup=0.4), ema=0.9,
        ),
    )  # fmt: skip
    legend = tmp_path / "classes.json"
    legend.write_text(json.dumps(MAPPING))
    ended = commands.run(
        "train", tiles, *SMALL, "--name", tmp_path / "command", "--model", "siamese",
        "--decoder", "fpn", "--seed", 3, "--split", "random", "--val-split-pct", 0.2,
        "--classes", legend, "--chip-size", 32, "--sensor", "A,B,A,B,,B", "--units", "x",
        "--loss", "focal+dice", "--class-balancing", "--augment", "shift=0.5,mixup=0.4",
        "--ema", 0.9,
    )  # fmt: skip
    assert ended.exit_code == 0, ended.stderr
    first, second = bundle.load(result.path), bundle.load(tmp_path / "command")
    for key, tensor in first.model.state_dict().items():
        assert tensor.equal(second.model.state_dict()[key]), key
    assert first.training == second.training
    assert first.history == second.history
    assert first.model.spec == second.model.spec
    assert first.model.spec.band_sensors == ("A", "B", "A", "B", None, "B")


def test_a_command_tells_the_tiles_the_epochs_the_scores_and_the_path(tiles, tmp_path):
    ended = commands.run("train", tiles, *SMALL, "--name", tmp_path / "m", "--augment", "none")
    lines = ended.stdout.splitlines()
    assert "training and" in lines[0]
    assert lines[1].startswith("epoch 0  train_loss")
    assert lines[-1] == str(tmp_path / "m" / "m.emd")
    record = json.loads((tmp_path / "m" / "landshift.json").read_text())["training"]
    assert record["augmentation"] is None
    assert record["data"]["augment"] is False


def test_a_result_shows_its_training_table(tiles, tmp_path):
    lines = []
    result = landshift.train(
        tiles, name=str(tmp_path / "m"), network=landshift.Network(backbone="resnet10t"),
        training=landshift.Training(epochs=2, lr=1e-3, max_steps=2), on_data=lines.append,
        on_epoch=lines.append,
    )  # fmt: skip
    assert len(result.rows()) == len(lines) - 1
    assert result.files == (tmp_path / "m" / "m.emd",)
    assert "valid_loss" in repr(result)
    assert not list(tmp_path.glob(".*.pt"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--model", "moon"), '--model. Choose from: "unet"'),
        (("--monitor", "beauty"), '--monitor. Choose from: "valid_loss"'),
        (("--augment", "swop=1"), "--augment must be 'none' or name=number for some of turns"),
        (("--augment", "shift=2"), "Augmentation's shift must lie between 0 and 1, got 2.0"),
        (("--ignore-classes", "3,x"), "--ignore-classes must be numbers such as 3,7, got '3,x'"),
        (("--loss", "moon"), "The loss must add up some of cross_entropy"),
        (("--epochs", "0"), "--epochs must be at least 1, got 0; leave it out"),
        (("--val-split-pct", "2"), "--val-split-pct must lie between 0 and 1, got 2.0"),
        (("--workers", "-1"), "--batch-size must be at least 1 and --workers"),
        (("--tensorboard",), "--tensorboard needs a folder for its files, got none; give --log"),
        (("--units", "a,b"), "--units must be stated once, or for each of the 6 bands"),
    ],
)
def test_errors_name_options_as_users_type_them(tiles, words, message):
    ended = commands.run("train", tiles, *words)
    assert ended.exit_code == 2
    assert message in ended.stderr


def test_options_take_text_or_objects():
    assert training.Training(augmentation="none").augmentation is None
    assert training.Training().augmentation == training.Augmentation()
    shifted = training.Training(augmentation="shift=0.5").augmentation
    assert shifted == training.Augmentation(shift=0.5)
    assert landshift.DataOptions(ignore_classes="3,7").ignore_classes == (3, 7)
    with pytest.raises(ParameterError, match="`monitor` must be one of valid_loss"):
        training.Training(monitor="beauty")


def test_another_process_of_ddp_ends_after_its_training(tiles, tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(SystemExit) as ended:
        landshift.train(
            tiles, name=str(tmp_path / "m"), network=landshift.Network(backbone="resnet10t"),
            training=landshift.Training(epochs=1, lr=1e-3, max_steps=1),
        )  # fmt: skip
    assert ended.value.code == 0
    assert not (tmp_path / "m").exists()
