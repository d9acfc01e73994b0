import copy
import csv
import importlib.util
import itertools
import math
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch

import commands
from cutting import cut_tiles
from landshift import bundle, training
from landshift.classes import IGNORE_INDEX, ClassScheme
from landshift.dataset import DataOptions, TrainingTiles, prepare
from landshift.errors import ParameterError, TileSetError, TrainingError
from landshift.models import ChangeModel
from landshift.training import Training
from landshift.training.average import averaged
from landshift.training.range_test import suggest
from landshift.training.run import is_best
from landshift.training.sampling import repeat_factors
from scenes import BANDS, MAPPING, striped_scene, write


@pytest.fixture(scope="module")
def data(tiles):
    return prepare(tiles, reading=TrainingTiles(MAPPING, batch_size=4))


def fresh(data, seed=0):
    return ChangeModel("unet", data.spec, data.scheme, backbone="resnet10t", seed=seed)


def pixelwise(data, seed=0):
    """A network that looks at each pixel alone, and trains in no time."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ChangeModel(torch.nn.Conv2d(6, len(data.scheme), 1), data.spec, data.scheme)


def test_training_learns_and_reports_each_epoch(trained):
    table = trained.history
    assert [row.epoch for row in table] == list(range(6))
    assert table[-1].train_loss < table[0].train_loss / 2
    assert table[-1].change_f1 > 0.9
    assert all(row.seconds > 0 for row in table)


def test_the_table_shows_what_an_evaluation_finds(data):
    model = fresh(data)
    rows = training.fit(model, data, Training(epochs=1, lr=1e-3, precision="32-true"))
    from landshift.engine import TorchEngine
    from landshift.evaluation.models import evaluate_model

    scores = evaluate_model(TorchEngine(model, precision="float32"), data).scores
    assert rows[0].accuracy == pytest.approx(scores.accuracy)
    assert rows[0].dice == pytest.approx(scores.macro_f1)
    assert rows[0].miou == pytest.approx(scores.miou)
    assert rows[0].change_f1 == pytest.approx(scores.change_f1)


def test_the_same_seed_gives_the_same_weights_and_leaves_the_random_state(data):
    torch.manual_seed(7)
    expected = torch.rand(2)
    results = []
    for _ in range(2):
        torch.manual_seed(7)
        model = fresh(data)
        training.fit(model, data, Training(epochs=1, lr=1e-3, precision="32-true"))
        assert torch.equal(torch.rand(2), expected)
        results.append(model.state_dict())
    assert all(torch.equal(results[0][k], results[1][k]) for k in results[0])


def test_the_best_epoch_is_kept(data):
    model = fresh(data)
    rows = training.fit(
        model, data, Training(epochs=3, lr=3e-3, monitor="change_f1", precision="32-true")
    )
    from landshift.engine import TorchEngine
    from landshift.evaluation.models import evaluate_model

    kept = evaluate_model(TorchEngine(model, precision="float32"), data).scores.change_f1
    assert kept == pytest.approx(max(row.change_f1 for row in rows))


def test_max_steps_bounds_the_batches_and_every_epoch_is_validated(data):
    batches = len(data.train_loader())
    assert batches >= 2
    rows = training.fit(fresh(data), data, Training(epochs=10, lr=1e-3, max_steps=batches + 1))
    assert len(rows) == 2


def test_early_stopping_ends_a_training_that_gets_no_better(data):
    options = Training(
        epochs=60, lr=1e-9, one_cycle=False, early_stopping=True, monitor="accuracy", max_steps=60
    )
    rows = training.fit(fresh(data), data, options)
    assert len(rows) < 30


def test_a_loss_that_is_no_number_ends_in_one_line_with_good_weights(data):
    model = fresh(data)
    with torch.no_grad():
        model.network.segmentation_head[0].bias.fill_(float("inf"))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(TrainingError, match=r"must stay a number, got (nan|inf) in epoch 0"):
        training.fit(model, data, Training(epochs=1, lr=1e-3, precision="32-true"))
    after = model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_weights_that_the_last_step_of_an_epoch_spoiled_are_not_kept(data):
    model = pixelwise(data)
    before = model.network.weight.detach().clone()
    model.network.weight.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(TrainingError, match=r"must stay a number, got nan in epoch 0"):
        training.fit(model, data, Training(epochs=1, lr=1e-3, max_steps=1, precision="32-true"))
    assert torch.equal(model.network.weight, before)


def test_a_training_that_comes_to_nothing_keeps_its_best_epoch(
    tiles, tmp_path, monkeypatch, caplog
):
    steps = itertools.count(1)
    step = torch.optim.AdamW.step

    def diverge(optimiser, *arguments, **options):
        result = step(optimiser, *arguments, **options)
        if next(steps) > 4:  # an epoch has three
            for group in optimiser.param_groups:
                for weights in group["params"]:
                    weights.data.fill_(math.nan)
        return result

    monkeypatch.setattr(torch.optim.AdamW, "step", diverge)
    command = [
        "train", str(tiles), "--backbone", "resnet10t", "--epochs", "3", "--lr", "0.003",
        "--batch-size", "4", "--chip-size", "32", "--name", str(tmp_path / "mine"),
    ]  # fmt: skip
    ended = commands.run(*command)
    assert re.search(r"loss must stay a number, got nan in epoch 1", ended.stderr)
    assert "The best epoch before the error is kept" in caplog.text
    assert not (tmp_path / "mine").exists()
    kept = bundle.load(tmp_path / "mine_stopped")
    assert all(p.isfinite().all() for p in kept.model.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "at least 1"),
        ({"lr": 0.0}, "between 0 and 10"),
        ({"max_steps": 0}, "at least 1"),
        ({"monitor": "beauty"}, "must be one of valid_loss"),
    ],
)
def test_options_out_of_range_are_refused(data, options, message):
    with pytest.raises(ParameterError, match=message):
        training.fit(fresh(data), data, Training(**options))


def test_change_is_monitored_in_every_coding_and_nowhere_else(tiles):
    from_to = prepare(
        tiles, reading=TrainingTiles({1: "wood->crop", 2: "wood->wood"}, batch_size=4)
    )
    rows = training.fit(
        fresh(from_to), from_to, Training(lr=1e-3, max_steps=1, monitor="change_f1")
    )
    assert rows[0].change_f1 is not None
    one_date = prepare(tiles, reading=TrainingTiles({1: "crop", 2: "wood"}, batch_size=4))
    with pytest.raises(ParameterError, match="needs a class 'No change' or 'forest->forest'"):
        training.fit(fresh(one_date), one_date, Training(lr=1e-3, monitor="change_f1"))


def test_an_epoch_without_a_change_score_is_never_the_best(trained):
    rows = [replace(trained.history[0], change_f1=f1) for f1 in (None, 0.2, None)]
    best = [is_best(rows[: k + 1], "change_f1") for k in range(3)]
    assert best == [True, True, False]
    rows = [replace(trained.history[0], valid_loss=v) for v in (math.nan, 0.5, math.nan, 0.4)]
    best = [is_best(rows[: k + 1], "valid_loss") for k in range(4)]
    assert best == [True, True, False, True]


def test_the_range_test_leaves_weights_and_random_state_as_they_were(data):
    model = fresh(data)
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    tested = training.lr_find(model, data, steps=20)
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert 1e-6 < tested.suggestion < 1
    assert list(tested.rates) == sorted(tested.rates)


def test_a_suggestion_lies_on_the_fall_of_the_loss():
    rates = np.geomspace(1e-6, 1, 61)
    losses = [1.0 - 0.6 / (1 + math.exp(-3 * (math.log10(r) + 3))) for r in rates]
    losses = [v if r < 0.1 else 2.0 + r for v, r in zip(losses, rates, strict=True)]
    assert 1e-4 < suggest(list(rates), losses) < 0.01
    assert suggest([1e-4, 1e-2], [1.0, 2.0]) == pytest.approx(1e-3)


def test_suggestions_of_five_seeds_are_alike(tiles):
    suggestions = []
    for seed in range(5):
        data = prepare(
            tiles, DataOptions(seed=seed), TrainingTiles(MAPPING, batch_size=4, chip_size=32)
        )
        suggestions.append(training.lr_find(fresh(data, seed), data).suggestion)
    assert max(suggestions) < 3 * min(suggestions)
    assert min(suggestions) > 3e-4
    assert max(suggestions) < 3e-2


def test_a_range_that_does_not_rise_is_refused(data):
    with pytest.raises(ParameterError, match="must rise"):
        training.lr_find(fresh(data), data, start=1.0, end=0.1)


def test_batches_add_up_to_the_step_of_one_large_batch(tiles):
    """Two halves accumulated make the gradients of the whole; batch norm is left out of it."""
    small = prepare(tiles, reading=TrainingTiles(MAPPING, batch_size=2))
    large = prepare(tiles, reading=TrainingTiles(MAPPING, batch_size=4))
    results = []
    for data, accumulate, steps in ((small, 2, 2), (large, 1, 1)):
        model = pixelwise(data)
        options = Training(
            epochs=1, lr=0.1, max_steps=steps, accumulate=accumulate, one_cycle=False,
            augmentation=None, precision="32-true",
        )  # fmt: skip
        training.fit(model, data, options)
        results.append(model.network.weight.detach())
    assert torch.allclose(results[0], results[1], atol=1e-5)


def test_averaged_weights_are_those_that_are_validated_and_kept(data):
    plain, averaged = pixelwise(data), pixelwise(data)
    options = Training(
        epochs=1, lr=0.05, one_cycle=False, precision="32-true", checkpoint=False, ema=0
    )
    start = plain.network.weight.detach().clone()
    training.fit(plain, data, options)
    rows = training.fit(averaged, data, replace(options, ema=0.999))
    moved = (averaged.network.weight - start).abs().sum()
    assert 0 < moved < (plain.network.weight - start).abs().sum()
    from landshift.engine import TorchEngine
    from landshift.evaluation.models import evaluate_model

    scores = evaluate_model(TorchEngine(averaged, precision="float32"), data).scores
    assert rows[0].miou == pytest.approx(scores.miou)


def test_an_average_by_hand(data):
    model = pixelwise(data)
    norm = torch.nn.BatchNorm2d(len(data.scheme))
    model.network = torch.nn.Sequential(model.network, norm)
    average = averaged(model, 0.2)
    weight = model.network[0].weight
    start = weight.detach().clone()
    moved = 0
    for step, decay in ((1, 2 / 11), (2, 0.2)):  # (1 + 1) / (10 + 1); (1 + 2) / (10 + 2) is more
        with torch.no_grad():
            weight += 1
            norm.running_mean += 1
            norm.num_batches_tracked += 1
        average.update_parameters(model)
        moved = decay * moved + (1 - decay) * step
        kept = average.module.network
        assert torch.allclose(kept[0].weight, start + moved)
        assert kept[1].running_mean.tolist() == pytest.approx([moved] * len(data.scheme))
        assert kept[1].num_batches_tracked == step
        assert torch.allclose(weight, start + step)


class TwoNames(torch.nn.Module):
    """A convolution that is stored under two names."""

    def __init__(self, convolution):
        super().__init__()
        self.first = self.second = convolution

    def forward(self, images):
        return self.second(images)


def test_weights_with_two_names_are_averaged_as_those_with_one(data):
    one, two = pixelwise(data), pixelwise(data)
    two.network = TwoNames(two.network)
    options = Training(epochs=2, lr=0.05, precision="32-true", ema=0.9, checkpoint=False)
    tables = [training.fit(model, data, options) for model in (one, two)]
    assert tables[0][1].valid_loss == tables[1][1].valid_loss
    assert torch.equal(one.network.weight, two.network.first.weight)


def test_tiles_with_rare_classes_are_drawn_more_often(data):
    held = [data.tiles.tiles[k].class_pixels for k in data.split.train]
    tiles = list(data.tiles.tiles)
    rare = data.split.train[0]
    for k in data.split.train[1:]:  # class 1 now lies in one tile of all
        tiles[k] = replace(tiles[k], class_pixels={2: 4096})
    tiles[rare] = replace(tiles[rare], class_pixels={1: 10, 2: 4086})
    scarce = replace(data, tiles=replace(data.tiles, tiles=tuple(tiles)))
    factors = repeat_factors(scarce, 0.5)
    assert factors[0] == pytest.approx((0.5 * len(held)) ** 0.5)  # sqrt(t / f), f = 1 / n
    assert set(factors[1:]) == {1.0}
    assert set(repeat_factors(scarce, 0.0)) == {1.0}
    drawn = [p for p, _ in scarce.train_loader(factors=factors).sampler]
    assert drawn.count(0) in (int(factors[0]), int(factors[0]) + 1)


def test_logs_hold_the_table(data, tmp_path):
    rows = training.fit(pixelwise(data), data, Training(epochs=2, lr=1e-3, log=tmp_path / "logs"))
    with (tmp_path / "logs" / "training.csv").open() as file:
        logged = list(csv.DictReader(file))
    assert [float(r["valid_loss"]) for r in logged] == [r.valid_loss for r in rows]
    assert [r["epoch"] for r in logged] == ["0", "1"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of tensorboard's own imports
def test_tensorboard_gets_a_curve_of_each_number(data, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    rows = training.fit(
        pixelwise(data), data, Training(epochs=2, lr=1e-3, log=tmp_path, tensorboard=True)
    )
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    logged = [e.value for e in events.Scalars("valid_loss")]
    assert logged == pytest.approx([r.valid_loss for r in rows], rel=1e-6)


@pytest.mark.filterwarnings("ignore")  # of mlflow, about its stores of files
def test_mlflow_gets_the_options_and_each_number(data, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # what newer versions ask for
    rows = training.fit(pixelwise(data), data, Training(epochs=2, lr=1e-3, mlflow=True))
    client = MlflowClient()
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert run.info.status == "FINISHED"
    assert run.data.params["epochs"] == "2"
    logged = [m.value for m in client.get_metric_history(run.info.run_id, "valid_loss")]
    assert logged == pytest.approx([r.valid_loss for r in rows])


def test_a_log_that_needs_a_missing_package_says_which(data, tmp_path):
    if importlib.util.find_spec("mlflow"):
        pytest.skip("mlflow is installed")
    with pytest.raises(ParameterError, match=r"pip install 'landshift\[mlflow\]'"):
        training.fit(pixelwise(data), data, Training(lr=1e-3, mlflow=True))


def test_the_model_of_every_epoch_is_saved_on_request(tiles, tmp_path):
    root = shutil.copytree(tiles, tmp_path / "tiles")
    data = prepare(root, reading=TrainingTiles(MAPPING, batch_size=4))
    model = fresh(data)
    options = Training(epochs=2, lr=1e-3, checkpoint="all", precision="32-true")
    rows = training.fit(model, data, options)
    folders = [root / "models" / "checkpoints" / f"epoch_{k}" for k in (0, 1)]
    best = min(rows, key=lambda r: r.valid_loss).epoch
    saved = bundle.load(folders[best]).model.state_dict()
    assert all(torch.equal(saved[k], v) for k, v in model.state_dict().items())
    assert len(bundle.load(folders[1]).history) == 2


def test_a_frozen_encoder_stays_as_it_is(data):
    model = fresh(data)
    before = copy.deepcopy(model.state_dict())
    model.freeze()
    training.fit(model, data, Training(epochs=1, lr=1e-2))
    after = model.state_dict()
    changed = {k.split(".")[1] for k in after if not torch.equal(after[k], before[k])}
    assert changed == {"decoder", "segmentation_head"}
    model.freeze(False)
    training.fit(model, data, Training(epochs=1, lr=1e-2))
    first = next(k for k in before if k.startswith("network.encoder") and "conv" in k)
    assert not torch.equal(model.state_dict()[first], before[first])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the compiler, about its own workings
def test_a_compiled_network_trains_the_same(data):
    models = pixelwise(data), pixelwise(data)
    for model, compiled in zip(models, (False, True), strict=True):
        options = Training(epochs=1, lr=0.05, precision="32-true", compile=compiled)
        training.fit(model, data, options)
    assert torch.allclose(models[0].network.weight, models[1].network.weight, atol=1e-4)


def test_two_processes_train_one_model_and_score_all_tiles(data):
    model = fresh(data)
    seen = []
    options = Training(epochs=2, lr=1e-3, devices=2, accelerator="cpu", precision="32-true")
    rows = training.fit(model, data, options, on_epoch=seen.append)
    assert seen == rows
    assert len(rows) == 2
    from landshift.engine import TorchEngine
    from landshift.evaluation.models import evaluate_model

    scores = evaluate_model(TorchEngine(model, precision="float32"), data).scores
    best = min(rows, key=lambda r: r.valid_loss)
    assert best.accuracy == pytest.approx(scores.accuracy)
    assert best.miou == pytest.approx(scores.miou)


def test_a_failure_in_one_of_several_processes_is_one_line(data):
    model = fresh(data)
    with torch.no_grad():
        model.network.segmentation_head[0].bias.fill_(float("inf"))
    with pytest.raises(TrainingError, match="must stay a number"):
        training.fit(model, data, Training(epochs=1, lr=1e-3, devices=2, accelerator="cpu"))


def test_one_class_alone_is_nothing_to_learn(data):
    with pytest.raises(TileSetError, match=r"two classes or more, got only 'No change'"):
        training.fit(fresh(data), data.ignoring([1]), Training(lr=1e-3))


def test_tiles_without_a_label_are_refused(data):
    tiles = tuple(replace(t, class_pixels={0: 4096}) for t in data.tiles.tiles)
    empty = replace(data, tiles=replace(data.tiles, tiles=tiles))
    with pytest.raises(TileSetError, match="got no labelled pixel"):
        training.fit(fresh(data), empty, Training(lr=1e-3))


def test_validation_tiles_that_are_all_nodata_are_refused(tiles, data, tmp_path):
    shutil.copytree(tiles / "images", tmp_path / "images")
    shutil.copytree(tiles / "labels", tmp_path / "labels")
    for file in tiles.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    for k in data.split.valid:
        with rasterio.open(tmp_path / "images" / data.tiles.tiles[k].image.name, "r+") as image:
            image.write(np.zeros_like(image.read()))
    empty = prepare(tmp_path, reading=TrainingTiles(MAPPING, batch_size=4))
    assert empty.split == data.split
    with pytest.raises(TileSetError, match=r"Validation tiles .*, got none in \d tiles of"):
        training.fit(pixelwise(empty), empty, Training(epochs=1, lr=1e-3, max_steps=1))


def test_a_class_that_no_tile_holds_is_named(tiles, caplog):
    data = prepare(tiles, reading=TrainingTiles({**MAPPING, 7: "to ice"}, batch_size=4))
    training.fit(pixelwise(data), data, Training(epochs=1, lr=1e-3, max_steps=1))
    assert "No training tile holds pixels of to ice" in caplog.text


def test_values_that_are_no_number_enter_as_the_mean(tmp_path):
    composite, labels = striped_scene(192)
    composite = composite.astype(np.float32)
    composite[:, 40:60] = np.nan
    composite[2, 100:110] = np.nan
    paths = (
        write(tmp_path / "composite.tif", composite, bands=BANDS),
        write(tmp_path / "change.tif", labels, nodata=0),
    )
    scheme = ClassScheme.from_mapping(MAPPING)
    cut_tiles([paths[0]], [paths[1]], tmp_path / "set", classes=scheme, tile_size=32, stride=32)
    data = prepare(tmp_path / "set", reading=TrainingTiles(MAPPING, batch_size=2))
    assert np.isfinite([*data.spec.mean, *data.spec.std]).all()
    for images, targets in data.train_loader():
        assert images.isfinite().all()
        assert (targets != IGNORE_INDEX).any()
    rows = training.fit(pixelwise(data), data, Training(epochs=1, lr=1e-2))
    assert math.isfinite(rows[0].train_loss)


def test_a_batch_of_one_trains_where_batch_norm_can_and_else_says_so(tiles):
    data = prepare(tiles, reading=TrainingTiles(MAPPING, batch_size=1, chip_size=32))
    model = fresh(data)
    with pytest.raises(ParameterError, match="two samples or more for this network's batch norm"):
        training.fit(model, data, Training(epochs=1, lr=1e-3))
    whole = prepare(tiles, reading=TrainingTiles(MAPPING, batch_size=1))
    assert training.fit(fresh(whole), whole, Training(epochs=1, lr=1e-3, max_steps=2))


class _Greedy(torch.nn.Conv2d):
    """Asks for more memory than there is where a batch is larger than two."""

    def forward(self, images):
        torch.empty(1 << 50 if len(images) > 2 else 1)
        return super().forward(images)


def test_a_batch_that_does_not_fit_the_memory_says_which_does(tiles):
    data = prepare(tiles, reading=TrainingTiles(MAPPING, batch_size=8))
    model = ChangeModel(_Greedy(6, 2, 1), data.spec, data.scheme)
    with pytest.raises(TrainingError, match=r"got 8 samples of 64 px .*`batch_size` 2"):
        training.fit(model, data, Training(epochs=1, lr=1e-3))


def test_processes_that_load_tiles_change_nothing(tiles):
    results = []
    for workers in (0, 2):
        data = prepare(
            tiles, reading=TrainingTiles(MAPPING, batch_size=4, chip_size=32, num_workers=workers)
        )
        model = pixelwise(data)
        training.fit(model, data, Training(epochs=2, lr=0.05, precision="32-true"))
        results.append(model.network.weight)
    assert torch.equal(*results)


_FAULTS = """
import resource
from landshift.machine.memory import keeping_freed

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        b"x" * (48 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

usual = faults()
with keeping_freed():
    faults()
    kept = faults()
print(usual, kept, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the setting")
def test_memory_that_a_step_frees_is_kept_for_the_next_and_given_back_after_all():
    command = [sys.executable, "-c", _FAULTS]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    usual, kept, after = map(int, printed.split())
    assert kept < usual / 10
    assert after > usual / 10


_PEAK = """
import sys
from pathlib import Path
import torch
from landshift import dataset, training
from landshift.dataset import samples
from landshift.models import ChangeModel
samples.CACHE_BYTES = 8 << 20
reading = dataset.TrainingTiles({1: "to crop", 2: "No change"}, batch_size=50)
data = dataset.prepare(sys.argv[1], reading=reading)
model = ChangeModel(torch.nn.Conv2d(6, 2, 1), data.spec, data.scheme)
training.fit(model, data, training.Training(epochs=1, lr=1e-3, precision="32-true"))
status = Path("/proc/self/status").read_text()  # getrusage counts the parent too
print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_number_of_tiles(tmp_path):
    """Kept, 1,600 tiles would take 27 MB, of which the cache may hold 8; their index takes 10."""
    peaks = []
    for size in (10 * 32, 40 * 32):
        composite, labels = striped_scene(size)
        folder = tmp_path / str(size)
        folder.mkdir()
        paths = (
            write(folder / "composite.tif", composite, bands=BANDS),
            write(folder / "change.tif", labels, nodata=0),
        )
        cut_tiles(
            [paths[0]], [paths[1]], folder / "set", classes=ClassScheme.from_mapping(MAPPING),
            tile_size=32, stride=32,
        )  # fmt: skip
        command = [sys.executable, "-c", _PEAK, str(folder / "set")]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        peaks.append(int(printed.splitlines()[-1]))
    print(f"peak memory with 100 and 1,600 tiles: {peaks[0]} and {peaks[1]} MB")
    assert peaks[1] < peaks[0] + 25
