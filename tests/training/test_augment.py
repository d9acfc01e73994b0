from dataclasses import replace

import numpy as np
import pytest
import torch

from landshift.classes import (
    CODINGS,
    IGNORE_INDEX,
    BinaryScheme,
    ChangeScheme,
    ClassScheme,
    FromToScheme,
)
from landshift.dataset import TrainingTiles, prepare
from landshift.errors import ParameterError
from landshift.training.augment import BatchAugmentation, shift, turn
from landshift.training.options import Augmentation
from scenes import MAPPING

LAND = ClassScheme.from_mapping({1: "water", 2: "forest", 3: "city"})
NONE = Augmentation(turns=False, brightness=0, contrast=0)


@pytest.fixture(scope="module")
def data(tiles):
    return prepare(tiles, reading=TrainingTiles(MAPPING, batch_size=4))


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def batch_of(data, count=4):
    samples = [data.train_ds[k] for k in range(count)]
    return torch.stack([s[0] for s in samples]), torch.stack([s[1] for s in samples])


def test_each_sample_is_turned_one_of_eight_ways_with_its_labels():
    images = torch.arange(64 * 2 * 9.0).reshape(64, 2, 3, 3)
    targets = torch.arange(64 * 9).reshape(64, 1, 3, 3)
    turned, labels = turn(images, targets)
    ways = set()
    for k in range(64):
        candidates = [
            (f(images[k]).rot90(n, (-2, -1)), f(targets[k]).rot90(n, (-2, -1)))
            for f in (lambda x: x, lambda x: x.flip(-1))
            for n in range(4)
        ]
        matches = [n for n, (a, b) in enumerate(candidates) if torch.equal(a, turned[k])]
        assert len(matches) == 1
        assert torch.equal(candidates[matches[0]][1], labels[k])
        ways.update(matches)
    assert ways == set(range(8))


def test_a_date_is_brighter_by_the_same_share_in_all_its_bands_and_apart_from_the_other(data):
    images, targets = batch_of(data)
    varied = BatchAugmentation(replace(NONE, brightness=0.5), data)(images, targets)
    std = torch.tensor(data.spec.std)[:, None]
    moved = (varied.images - images).flatten(2) / std
    known = (images != torch.tensor(data.spec.mean)[:, None, None]).any(1).flatten(1)
    amounts = torch.stack([moved[k][:, known[k]].median(1).values for k in range(4)])
    for k in range(4):
        assert torch.allclose(moved[k][:, known[k]], amounts[k][:, None], atol=1e-3)
    assert torch.allclose(amounts[:, :1].expand(4, 3), amounts[:, :3], atol=1e-4)
    assert (amounts[:, 0] - amounts[:, 3]).abs().min() > 1e-3
    assert amounts.abs().max() <= 0.5 + 1e-4
    assert torch.equal(varied.targets, targets)


def test_contrast_spreads_values_about_the_mean(data):
    images, targets = batch_of(data)
    varied = BatchAugmentation(replace(NONE, contrast=0.5), data)(images, targets).images
    mean = torch.tensor(data.spec.mean)[:, None, None]
    away = (images - mean).abs() > 1
    factors = ((varied - mean) / (images - mean)).where(away, torch.nan)
    for date in (slice(0, 3), slice(3, 6)):
        own = factors[:, date].flatten(1)
        middle = own.nanmedian(1, keepdim=True).values
        assert torch.nan_to_num(own - middle).abs().max() < 1e-2
        assert ((middle >= 0.5) & (middle <= 1.5)).all()


@pytest.mark.parametrize(
    "options",
    [{"brightness": 1.0, "contrast": 0.5}, {"noise": 1.0}, {"shift": 1.0}, {"band_dropout": 0.5}],
)
def test_what_is_not_valid_stays_as_unknown_as_it_was(data, options):
    images, targets = batch_of(data)
    mean = torch.tensor(data.spec.mean)[:, None, None]
    images[:, :, 10:20, 5:9] = mean
    varied = BatchAugmentation(replace(NONE, **options), data)(images, targets).images
    assert torch.equal(varied[:, :, 10:20, 5:9], mean.expand(4, 6, 10, 4))
    assert not torch.equal(varied, images)


def test_noise_and_dropped_bands_are_as_large_and_as_many_as_stated(data):
    images, targets = batch_of(data)
    std = torch.tensor(data.spec.std)[:, None, None]
    noisy = BatchAugmentation(replace(NONE, noise=0.2), data)(images, targets).images
    assert float(((noisy - images) / std).std()) == pytest.approx(0.2, rel=0.1)
    many = images.repeat(50, 1, 1, 1), targets.repeat(50, 1, 1, 1)
    dropped = BatchAugmentation(replace(NONE, band_dropout=0.3), data)(*many).images
    constant = dropped.flatten(2).std(2) == 0
    assert float(constant.float().mean()) == pytest.approx(0.3, abs=0.05)


def test_a_shift_is_bilinear_and_of_each_band_by_itself():
    images = torch.rand(1, 2, 5, 6)
    moved = shift(images, torch.tensor([[[0.25, 0.0], [0.0, -1.0]]]))
    assert torch.allclose(moved[0, 0, 1:], 0.75 * images[0, 0, 1:] + 0.25 * images[0, 0, :-1])
    assert torch.allclose(moved[0, 0, 0], images[0, 0, 0])
    assert torch.allclose(moved[0, 1, :, :-1], images[0, 1, :, 1:])


def test_only_one_date_of_a_sample_is_shifted(data):
    images, targets = batch_of(data)
    varied = BatchAugmentation(replace(NONE, shift=0.8), data)(images, targets).images
    same = (varied == images).flatten(2).all(2)
    assert ((same[:, :3].all(1)) ^ (same[:, 3:].all(1))).all()


def coded(data, coding, class_maps):
    """Data of a coding whose targets can be written by hand."""
    scheme = coding(LAND)
    tiles = replace(data.tiles, scheme=scheme, map_scheme=LAND if class_maps else None)
    return replace(data, tiles=tiles), scheme


@pytest.mark.parametrize("coding", CODINGS.values())
def test_swapped_dates_have_the_codes_of_the_swapped_class_maps(data, coding):
    swapped, scheme = coded(data, coding, class_maps=True)
    values = np.random.default_rng(0).integers(0, 4, (2, 4, 8, 8)).astype(np.uint8)
    before, after = values

    def targets_of(first, second):
        layers = (
            scheme.to_indices(scheme.code(first, second)),
            *(LAND.to_indices(v) for v in (first, second)),
        )
        return torch.from_numpy(np.stack(layers, 1).astype(np.int64))

    augment = BatchAugmentation(replace(NONE, swap=1.0), swapped)
    images = torch.rand(4, 6, 8, 8)
    varied = augment(images, targets_of(before, after))
    assert torch.equal(varied.images, images[:, [3, 4, 5, 0, 1, 2]])
    assert torch.equal(varied.targets, targets_of(after, before))
    assert augment.class_maps == (coding is ChangeScheme)


def test_labels_that_differ_from_the_class_maps_are_not_guessed(data):
    swapped, scheme = coded(data, ChangeScheme, class_maps=True)
    targets = torch.zeros(1, 3, 1, 3, dtype=torch.int64)
    targets[0, :, 0, 0] = torch.tensor([2, 0, 2])  # to city, as in the class maps
    targets[0, :, 0, 1] = torch.tensor([3, 0, 2])  # a filter called it 'No change'
    targets[0, :, 0, 2] = torch.tensor([IGNORE_INDEX, IGNORE_INDEX, 2])
    varied = BatchAugmentation(replace(NONE, swap=1.0), swapped)(torch.rand(1, 6, 1, 3), targets)
    assert varied.targets[0, 0, 0].tolist() == [0, IGNORE_INDEX, IGNORE_INDEX]
    assert scheme.unchanged == (3,)


@pytest.mark.parametrize("coding", [FromToScheme, BinaryScheme])
def test_codes_that_tell_both_classes_are_swapped_without_class_maps(data, coding):
    swapped, scheme = coded(data, coding, class_maps=False)
    targets = torch.arange(len(scheme)).reshape(1, 1, 1, -1)
    augment = BatchAugmentation(replace(NONE, swap=1.0), swapped)
    varied = augment(torch.rand(1, 6, 1, len(scheme)), targets).targets[0, 0, 0]
    names = [scheme.names[k] for k in varied.tolist()]
    assert names == ["->".join(reversed(n.split("->"))) for n in scheme.names]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"swap": 0.5}, "class before, or tiles with both class maps"),
        ({"brightness": -1}, "brightness must lie between 0 and 10"),
        ({"shift": 2}, "shift must lie between 0 and 1"),
    ],
)
def test_what_cannot_be_done_is_refused(data, options, message):
    with pytest.raises(ParameterError, match=message):
        BatchAugmentation(Augmentation(**options), data)


def test_swap_and_shift_need_two_dates(data):
    single = replace(data, spec=replace(data.spec, dates=("now",) * 6))
    with pytest.raises(ParameterError, match="bands of one date"):
        BatchAugmentation(Augmentation(shift=0.5), single)
    with pytest.raises(ParameterError, match="two dates with the same bands"):
        BatchAugmentation(Augmentation(swap=0.5), single)


def test_mixup_mixes_images_and_keeps_both_labels(data):
    images, targets = batch_of(data)
    varied = BatchAugmentation(replace(NONE, mixup=0.4), data)(images, targets)
    assert 0 < varied.share < 1
    expected = varied.share * images + (1 - varied.share) * images.roll(1, 0)
    assert torch.allclose(varied.images, expected, rtol=1e-4)
    assert torch.equal(varied.targets, targets)
    assert torch.equal(varied.partners, targets.roll(1, 0))


def test_cutmix_takes_a_rectangle_with_its_labels(data):
    images, targets = batch_of(data)
    varied = BatchAugmentation(replace(NONE, cutmix=1.0), data)(images, targets)
    taken = (varied.images != images).any(1) | (varied.targets != targets)[:, 0]
    rows, columns = taken.any(0).any(1).nonzero()[:, 0], taken.any(0).any(0).nonzero()[:, 0]
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    assert torch.equal(varied.images[:, :, *box], images.roll(1, 0)[:, :, *box])
    assert torch.equal(varied.targets[:, :, *box], targets.roll(1, 0)[:, :, *box])
    assert varied.partners is None


def test_without_augmentation_a_batch_stays_as_it_is(data):
    images, targets = batch_of(data)
    for options in (None, NONE):
        varied = BatchAugmentation(options, data)(images, targets)
        assert torch.equal(varied.images, images)
        assert torch.equal(varied.targets, targets)
