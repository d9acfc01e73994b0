import itertools

import pytest
import torch

from landshift.classes import IGNORE_INDEX, ClassScheme
from landshift.dataset import TrainingTiles, prepare
from landshift.errors import ParameterError
from landshift.training.losses import (
    WEIGHT_CAP,
    CrossEntropy,
    Dice,
    Focal,
    Lovasz,
    Sum,
    build_loss,
    class_weights,
)
from landshift.training.options import LOSSES, Loss
from scenes import MAPPING


def batch(classes=3, size=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, classes, size, size, generator=generator, requires_grad=True)
    targets = torch.randint(classes, (2, size, size), generator=generator)
    targets[:, 0] = IGNORE_INDEX
    return logits, targets


@pytest.mark.parametrize("name", LOSSES)
def test_unlabelled_pixels_never_count(name):
    loss = Sum(Loss(name), None)
    logits, targets = batch()
    value = loss(logits, targets)
    assert value.item() > 0
    assert loss(logits[:, :, 1:], targets[:, 1:]).item() == pytest.approx(value.item(), rel=1e-6)
    value.backward()
    assert (logits.grad[:, :, 0] == 0).all()
    assert (logits.grad[:, :, 1:] != 0).any()
    nothing = loss(logits, torch.full_like(targets, IGNORE_INDEX))
    nothing.backward()
    assert nothing.item() == 0


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_falls_to_0_where_the_network_is_sure_and_right(name):
    _, targets = batch()
    labels = targets.where(targets != IGNORE_INDEX, 0)
    sure = 50 * torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
    loss = Sum(Loss(name), None)
    assert loss(sure, targets).item() == pytest.approx(0, abs=1e-5)
    assert loss(-sure, targets).item() > 0.5


def test_focal_loss_is_that_of_each_pixel_by_itself():
    logits, targets = batch()
    probabilities = logits.softmax(1)
    expected = []
    for k, row, column in itertools.product(range(2), range(1, 6), range(6)):
        p = probabilities[k, targets[k, row, column], row, column]
        expected.append(-((1 - p) ** 2) * p.log())
    assert Focal(2.0)(logits, targets).item() == pytest.approx(torch.stack(expected).mean().item())


def test_focal_loss_without_focus_is_weighted_cross_entropy():
    logits, targets = batch()
    weights = torch.tensor([1.0, 3.0, 0.5])
    expected = CrossEntropy(weights)(logits, targets).item()
    assert Focal(0.0, weights)(logits, targets).item() == pytest.approx(expected, rel=1e-5)


def test_dice_by_hand():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).T[None, :, :, None]  # 2 pixels
    targets = torch.tensor([[[0], [1]]])
    p = logits[0, :, :, 0].softmax(0)
    micro = 1 - (2 * (p[0, 0] + p[1, 1]) + 1) / (2 + 2 + 1)
    assert Dice("micro")(logits, targets).item() == pytest.approx(micro.item())
    of_class = [1 - (2 * p[k, k] + 1) / (p[k].sum() + 1 + 1) for k in (0, 1)]
    assert Dice("macro")(logits, targets).item() == pytest.approx((sum(of_class) / 2).item())


def test_lovasz_is_one_minus_iou_where_probabilities_are_0_or_1():
    """At the corners the extension equals the set function (Berman 2018, eq. 8)."""
    truth = torch.tensor([0, 0, 0, 1, 1, 1, 1, 0])
    predicted = torch.tensor([0, 1, 0, 1, 1, 0, 1, 0])
    logits = 100 * torch.nn.functional.one_hot(predicted, 2).T[None, :, :, None].float()
    ious = [
        ((predicted == k) & (truth == k)).sum() / ((predicted == k) | (truth == k)).sum()
        for k in (0, 1)
    ]
    expected = 1 - sum(ious) / 2
    assert Lovasz()(logits, truth[None, :, None]).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_formula_adds_losses_by_weight():
    logits, targets = batch()
    parts = {n: Sum(Loss(n), None)(logits, targets) for n in ("focal", "dice", "lovasz")}
    loss = Sum(Loss("0.5*focal + dice+.25 * lovasz"), None)(logits, targets)
    expected = 0.5 * parts["focal"] + parts["dice"] + 0.25 * parts["lovasz"]
    assert loss.item() == pytest.approx(expected.item())


@pytest.mark.parametrize("formula", ["", "beauty", "focal+", "focal+focal", "2focal", "0*dice"])
def test_formulas_that_say_nothing_are_refused(formula):
    with pytest.raises(ParameterError, match=r"must add up|above 0"):
        Loss(formula)


def test_class_weights_by_hand():
    scheme = ClassScheme.from_mapping({1: "a", 2: "b", 3: "c"})
    weights = class_weights({1: 100, 2: 400}, scheme)
    assert weights.tolist() == pytest.approx([4 / 3, 2 / 3, 1.0])
    rare = class_weights({1: 1, 2: 10**8}, ClassScheme.from_mapping({1: "a", 2: "b"}))
    assert rare.max() <= WEIGHT_CAP


def test_ignored_classes_count_neither_in_the_loss_nor_in_scores(tiles):
    data = prepare(tiles, reading=TrainingTiles(MAPPING)).ignoring([2])
    assert set(data.class_pixels()) == {1}
    labels = torch.cat(
        [t.unique() for _, t in (data.train_ds[k] for k in range(len(data.train_ds)))]
    )
    assert set(labels.tolist()) == {0, IGNORE_INDEX}
    assert {int(v) for _, t in data.valid_ds.arrays() for v in t.flat} <= {0, IGNORE_INDEX}
    loss = build_loss(Loss(class_balancing=True), data, class_maps=False)
    assert loss.losses["change"].losses["cross_entropy"].weights.tolist() == [1, 1]
