"""A training that is killed, and taken up."""

import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

import commands
from landshift import bundle, training
from landshift.dataset import TrainingTiles, prepare
from landshift.errors import ParameterError
from landshift.models import ChangeModel
from landshift.training import Augmentation, Training
from landshift.training.resume import unfinished_lr
from scenes import MAPPING

OPTIONS = Training(
    epochs=3, lr=3e-3, precision="32-true", ema=0.9, rare_classes=0.5, accumulate=2,
    monitor="change_f1", early_stopping=True,
    augmentation=Augmentation(noise=0.1, shift=0.5, mixup=0.4, cutmix=1.0, band_dropout=0.1),
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tiles):
    return prepare(tiles, reading=TrainingTiles(MAPPING, batch_size=2, chip_size=32))


def fresh(data, architecture="unet"):
    return ChangeModel(architecture, data.spec, data.scheme, backbone="resnet10t")


class Stop(Exception):
    """Stands for whatever ends a training from outside."""


def test_a_run_that_is_taken_up_ends_with_the_same_weights_and_table(data, tmp_path):
    undisturbed = fresh(data)
    expected = training.fit(undisturbed, data, OPTIONS)
    state = tmp_path / "state.pt"

    def stop(row):
        if row.epoch == 1:
            raise Stop

    with pytest.raises(Stop):
        training.fit(fresh(data), data, OPTIONS, resume=state, on_epoch=stop)
    torch.rand(5)
    model = fresh(data)
    rows = training.fit(model, data, OPTIONS, resume=state)
    assert [replace(r, seconds=0) for r in rows] == [replace(r, seconds=0) for r in expected]
    _assert_same(model, undisturbed)
    again = fresh(data)
    assert training.fit(again, data, OPTIONS, resume=state) == rows  # there is nothing left to do
    _assert_same(again, undisturbed)


def test_a_process_killed_in_an_epoch_is_taken_up_by_the_same_command(tiles, tmp_path):
    command = [
        "train", str(tiles), "--backbone", "resnet10t", "--epochs", "5", "--lr", "2e-3",
        "--batch-size", "2", "--ema", "0.9", "--augment", "noise=0.1,shift=0.5,mixup=0.4",
        "--rare-classes", "0.5", "--chip-size", "32",
    ]  # fmt: skip
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    state = tmp_path / ".killed.unfinished.pt"
    program = [sys.executable, "-c", "from landshift.cli import main; main()"]
    process = subprocess.Popen(
        [*program, *command, "--name", str(killed)], stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )  # fmt: skip
    give_up = time.monotonic() + 120
    while not state.exists() and time.monotonic() < give_up:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 0 < len(torch.load(state, weights_only=True)["state"]["table"]) < 5
    for arguments in (["--name", str(killed), "--resume"], ["--name", str(undisturbed)]):
        assert commands.run(*command, *arguments).exit_code == 0
    first, second = (bundle.load(p) for p in (killed, undisturbed))
    _assert_same(first.model, second.model)
    assert first.history == second.history
    assert not state.exists()


def test_an_unfinished_training_of_another_kind_is_refused(data, tmp_path):
    state = tmp_path / "state.pt"
    training.fit(fresh(data), data, replace(OPTIONS, epochs=1), resume=state)
    assert unfinished_lr(state) == OPTIONS.lr
    one = replace(OPTIONS, epochs=1)
    fewer = replace(
        data.spec, bands=data.spec.bands[:3], mean=data.spec.mean[:3], std=data.spec.std[:3],
        minimum=data.spec.minimum[:3], maximum=data.spec.maximum[:3],
    )  # fmt: skip
    others = {
        r"architecture \"unet\" and not \"fpn\"": (fresh(data, "fpn"), data, one),
        r"lr 0.003 and not 0.1": (fresh(data), data, replace(one, lr=0.1)),
        r"bands \[.*and not": (fresh(replace(data, spec=fewer)), data, one),
        r"batch_size 2 and not 3": (fresh(data), replace(data, batch_size=3), one),
        r"training tiles": (fresh(data), _with_other_tiles(data), one),
    }
    for message, arguments in others.items():
        with pytest.raises(ParameterError, match=message):
            training.fit(*arguments, resume=state)


def test_a_file_that_is_no_training_is_refused_and_nothing_in_it_is_run(data, tmp_path):
    class Hostile:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "hacked"),))

    for name, content in {
        "noise.pt": b"noise",
        "pickle.pt": pickle.dumps(Hostile()),
        "empty.pt": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
    torch.save({"format": 2, "job": Hostile(), "state": {}}, tmp_path / "torch.pt")
    torch.save({"weights": torch.zeros(2)}, tmp_path / "other.pt")
    for name in ("noise.pt", "pickle.pt", "empty.pt", "torch.pt", "other.pt"):
        with pytest.raises(ParameterError, match="must be a file that this version wrote"):
            training.fit(fresh(data), data, OPTIONS, resume=tmp_path / name)
    assert not (tmp_path / "hacked").exists()


def _with_other_tiles(data):
    return replace(data, split=replace(data.split, train=data.split.train[:-1]))


def _assert_same(first, second):
    one, two = first.state_dict(), second.state_dict()
    assert one.keys() == two.keys()
    assert all(torch.equal(one[k], two[k]) for k in one)
