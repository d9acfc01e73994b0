import itertools

import numpy as np
import pytest
import torch

from cutting import cut_tiles
from landshift.classes import IGNORE_INDEX, ClassScheme
from landshift.dataset import TrainingTiles, prepare
from landshift.errors import ParameterError
from landshift.models import ChangeModel
from landshift.prepare.label import label
from landshift.training import Training, fit
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
from scenes import BANDS, MAPPING, striped_scene, write


def batch(classes=3, size=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, classes, size, size, generator=generator, requires_grad=True)
    targets = torch.randint(classes, (2, size, size), generator=generator)
    targets[:, 0] = IGNORE_INDEX
    return logits, targets


ALONE = [name for name in LOSSES if name != "smoothed"]  # it needs a matrix


@pytest.mark.parametrize("name", ALONE)
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


@pytest.mark.parametrize("name", ALONE)
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


def test_losses_for_wrong_labels_by_their_formulas():
    logits, targets = batch()
    labelled = targets != IGNORE_INDEX
    p = logits.softmax(1)
    own = p.gather(1, targets.where(labelled, 0)[:, None])[:, 0][labelled]
    given = torch.nn.functional.one_hot(targets.where(labelled, 0), 3).movedim(-1, 1).float()
    target = 0.95 * given + 0.05 * p
    expected = {
        "generalised": ((1 - own**0.7) / 0.7).mean(),
        "symmetric": (-0.1 * own.log() + 4 * (1 - own)).mean(),  # -sum(p log t), log(0) = -4
        "bootstrapped": -(target * p.log()).sum(1)[labelled].mean(),
    }
    for name, value in expected.items():
        assert Sum(Loss(name), None)(logits, targets).item() == pytest.approx(value.item())


@pytest.mark.parametrize("name", ["generalised", "symmetric", "bootstrapped"])
def test_a_label_that_the_network_holds_for_wrong_pulls_less_than_in_cross_entropy(name):
    logits = torch.tensor([0.0, 6.0])[None, :, None, None].requires_grad_()
    wrong, right = torch.zeros(1, 1, 1, dtype=torch.long), torch.ones(1, 1, 1, dtype=torch.long)
    doubtful = torch.tensor([0.0, 1.0])[None, :, None, None].requires_grad_()

    def ratio(loss):
        (of_wrong,) = torch.autograd.grad(loss(logits, wrong), logits)
        (of_right,) = torch.autograd.grad(loss(doubtful, right), doubtful)
        return (of_wrong.abs().sum() / of_right.abs().sum()).item()

    assert ratio(Sum(Loss(name), None)) < ratio(Sum(Loss("cross_entropy"), None))


def confusion(folder, text):
    path = folder / "confusion.csv"
    path.write_text(text)
    return path


def test_smoothed_targets_are_how_likely_each_class_is_given_the_label(tiles, tmp_path):
    # rows reference, columns label, in another order than the tiles': of 10 pixels labelled
    # 'to crop' 8 are; of 5 labelled 'No change' 4 are
    path = confusion(tmp_path, "reference;No change;To Crop\nNo change;4;2\nTo crop;1;8\n")
    data = prepare(tiles, reading=TrainingTiles(MAPPING))
    loss = build_loss(Loss("smoothed", confusion=path), data, class_maps=False)
    logits, targets = batch(classes=2)
    logs = logits.log_softmax(1)
    shares = torch.tensor([[0.8, 0.2], [0.2, 0.8]])[targets.clamp(max=1)].movedim(-1, 1)
    expected = -(shares * logs).sum(1)[targets != IGNORE_INDEX].mean()
    assert loss({"change": logits}, targets[:, None]).item() == pytest.approx(expected.item())
    unmet = confusion(tmp_path, "x,to crop,No change\nto crop,0,0\nNo change,0,9\n")
    plain = build_loss(Loss("smoothed", confusion=unmet), data, class_maps=False)
    value = CrossEntropy()(logits, targets).item()
    assert plain({"change": logits}, targets[:, None]).item() == pytest.approx(value)


def test_class_maps_are_smoothed_by_their_own_matrix_and_the_change_map_is_not(tmp_path):
    composite = write(tmp_path / "i.tif", striped_scene(64)[0], nodata=0, bands=BANDS)
    random = np.random.default_rng(0)
    maps = [write(tmp_path / f"{n}.tif", random.integers(1, 3, (64, 64), np.uint8)) for n in "ba"]
    classes = ClassScheme.from_mapping({1: "forest", 2: "crop"})
    label(*maps, tmp_path / "c.tif", classes=classes)
    tile_set = cut_tiles([composite], [tmp_path / "c.tif"], tmp_path / "s", tile_size=16, stride=16)
    data = prepare(tile_set.folder)
    path = confusion(tmp_path, "x,forest,crop\nforest,9,2\ncrop,1,8\n")
    loss = build_loss(Loss("smoothed", confusion=path), data, class_maps=True)
    own = {name: part.losses["smoothed"] for name, part in loss.losses.items()}
    assert isinstance(own["change"], CrossEntropy)
    for name in ("before", "after"):
        assert own[name].likely.numpy() == pytest.approx(np.array([[0.9, 0.1], [0.2, 0.8]]))
    with pytest.raises(
        ParameterError, match="must hold the classes to forest, to crop, No change, got"
    ):
        build_loss(Loss("smoothed", confusion=path), data, class_maps=False)
    model = ChangeModel(
        "unet", data.spec, data.scheme, map_scheme=data.tiles.map_scheme, combination="semantic",
        backbone="resnet18",
    )  # fmt: skip
    for name in ALONE[4:]:
        fit(model, data, Training(max_steps=1, lr=1e-3, checkpoint=False, loss=Loss(name)))
    options = Training(
        max_steps=1, lr=1e-3, checkpoint=False, loss=Loss("smoothed", confusion=path)
    )
    fit(model, data, options)
    assert options.as_dict()["loss"]["confusion"] == [["forest", "crop"], [[9, 2], [1, 8]]]
    assert "confusion" not in Training().as_dict()["loss"]


@pytest.mark.parametrize(
    "text", ["", "x,a\nb,1\n", "x,a,b\na,1\nb,1,2\n", "x,a\na,-1\n", "x,a\na,q\n"]
)
def test_files_that_are_no_confusion_matrix_are_refused(text, tmp_path):
    with pytest.raises(ParameterError, match="`confusion` must be CSV with the same classes"):
        Loss("smoothed", confusion=confusion(tmp_path, text))


def test_a_matrix_and_the_loss_that_takes_it_go_together(tmp_path):
    path = confusion(tmp_path, "x,a\na,1\n")
    for options in ({"formula": "smoothed"}, {"formula": "dice", "confusion": path}):
        with pytest.raises(ParameterError, match="give both or neither"):
            Loss(**options)


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
