import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from landshift import train
from landshift.classes import IGNORE_INDEX, ClassScheme
from landshift.dataset import prepare
from landshift.errors import ParameterError, TrainingError
from landshift.models import ChangeModel
from landshift.train.fit import _is_best
from landshift.train.losses import WEIGHT_CAP, CrossEntropy, class_weights
from landshift.train.lr_find import suggest
from scenes import MAPPING


@pytest.fixture(scope="module")
def data(tiles):
    return prepare(tiles, class_mapping=MAPPING, batch_size=4)


def fresh(data, seed=0):
    return ChangeModel("unet", data.spec, data.scheme, backbone="resnet18", seed=seed)


def test_training_learns_and_reports_each_epoch(trained):
    table = trained.history
    assert [row.epoch for row in table] == list(range(6))
    assert table[-1].train_loss < table[0].train_loss / 2
    assert table[-1].change_f1 > 0.9
    assert all(row.seconds > 0 for row in table)


def test_the_table_shows_what_an_evaluation_finds(data):
    model = fresh(data)
    rows = train.fit(model, data, epochs=1, lr=1e-3, precision="32-true")
    from landshift.engine import TorchEngine
    from landshift.evaluate import evaluate_model

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
        train.fit(model, data, epochs=1, lr=1e-3, precision="32-true")
        assert torch.equal(torch.rand(2), expected)
        results.append(model.state_dict())
    assert all(torch.equal(results[0][k], results[1][k]) for k in results[0])


def test_the_best_epoch_is_kept(data):
    model = fresh(data)
    rows = train.fit(model, data, epochs=3, lr=3e-3, monitor="change_f1", precision="32-true")
    from landshift.engine import TorchEngine
    from landshift.evaluate import evaluate_model

    kept = evaluate_model(TorchEngine(model, precision="float32"), data).scores.change_f1
    assert kept == pytest.approx(max(row.change_f1 for row in rows))


def test_max_steps_bounds_the_batches_and_every_epoch_is_validated(data):
    batches = len(data.train_loader())
    assert batches >= 2
    rows = train.fit(fresh(data), data, epochs=10, lr=1e-3, max_steps=batches + 1)
    assert len(rows) == 2


def test_early_stopping_ends_a_training_that_gets_no_better(data):
    rows = train.fit(
        fresh(data), data, epochs=60, lr=1e-9, one_cycle=False, early_stopping=True,
        monitor="accuracy", max_steps=60,
    )  # fmt: skip
    assert len(rows) < 30


def test_a_loss_that_is_no_number_ends_in_one_line_with_good_weights(data):
    model = fresh(data)
    with torch.no_grad():
        model.network.segmentation_head[0].bias.fill_(float("inf"))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(TrainingError, match=r"must stay a number, got (nan|inf) in epoch 0"):
        train.fit(model, data, epochs=1, lr=1e-3, precision="32-true")
    after = model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)


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
        train.fit(fresh(data), data, **options)


def test_change_is_monitored_in_every_coding_and_nowhere_else(tiles):
    from_to = prepare(tiles, class_mapping={1: "wood->crop", 2: "wood->wood"}, batch_size=4)
    rows = train.fit(fresh(from_to), from_to, lr=1e-3, max_steps=1, monitor="change_f1")
    assert rows[0].change_f1 is not None
    one_date = prepare(tiles, class_mapping={1: "crop", 2: "wood"}, batch_size=4)
    with pytest.raises(ParameterError, match="needs a class 'No change' or 'forest->forest'"):
        train.fit(fresh(one_date), one_date, monitor="change_f1")


def test_an_epoch_without_a_change_score_is_never_the_best(trained):
    rows = [replace(trained.history[0], change_f1=f1) for f1 in (None, 0.2, None)]
    best = [_is_best(rows[: k + 1], "change_f1") for k in range(3)]
    assert best == [True, True, False]


def test_unlabelled_pixels_never_count():
    loss = CrossEntropy()
    logits = torch.randn(1, 2, 2, 2, requires_grad=True)
    targets = torch.tensor([[[0, 1], [IGNORE_INDEX, IGNORE_INDEX]]])
    value = loss(logits, targets)
    expected = torch.nn.functional.cross_entropy(logits[:, :, 0], targets[:, 0])
    assert value.item() == pytest.approx(expected.item())
    value.backward()
    assert (logits.grad[:, :, 1] == 0).all()
    nothing = loss(logits, torch.full((1, 2, 2), IGNORE_INDEX))
    assert nothing.item() == 0


def test_class_weights_by_hand():
    scheme = ClassScheme.from_mapping({1: "a", 2: "b", 3: "c"})
    weights = class_weights({0: 999, 1: 100, 2: 400}, scheme)
    assert weights.tolist() == pytest.approx([4 / 3, 2 / 3, 1.0])
    rare = class_weights({1: 1, 2: 10**8}, ClassScheme.from_mapping({1: "a", 2: "b"}))
    assert rare.max() <= WEIGHT_CAP


def test_the_range_test_leaves_weights_and_random_state_as_they_were(data):
    model = fresh(data)
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    found = train.lr_find(model, data, steps=20)
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert 1e-6 < found.suggestion < 1
    assert list(found.rates) == sorted(found.rates)


def test_a_suggestion_lies_on_the_fall_of_the_loss():
    rates = np.geomspace(1e-6, 1, 61)
    losses = [1.0 - 0.6 / (1 + math.exp(-3 * (math.log10(r) + 3))) for r in rates]
    losses = [v if r < 0.1 else 2.0 + r for v, r in zip(losses, rates, strict=True)]
    assert 1e-4 < suggest(list(rates), losses) < 0.01
    assert suggest([1e-4, 1e-2], [1.0, 2.0]) == pytest.approx(1e-3)


def test_a_range_that_does_not_rise_is_refused(data):
    with pytest.raises(ParameterError, match="must rise"):
        train.lr_find(fresh(data), data, start=1.0, end=0.1)
