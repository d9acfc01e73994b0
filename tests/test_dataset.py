import numpy as np
import pytest
import torch

from landshift import dataset, tileset
from landshift.classes import IGNORE_INDEX
from landshift.dataset import prepare
from landshift.errors import ClassError, ParameterError
from scenes import BANDS, MAPPING


@pytest.fixture(scope="module")
def data(tiles):
    return prepare(tiles, class_mapping=MAPPING, batch_size=4)


def test_samples_are_the_tiles_with_indices_for_labels(data, tiles):
    image, (target,) = data.valid_ds[0]
    tile = data.tiles.tiles[data.split.valid[0]]
    values, mask, labels = tileset.read_tile(tile)
    assert image.shape == (6, 64, 64)
    assert np.array_equal(image.numpy()[:, mask], values[:, mask])
    assert set(np.unique(target)) <= {0, 1, IGNORE_INDEX}
    assert np.array_equal(target.numpy()[labels > 0] + 1, labels[labels > 0])


def test_statistics_are_those_of_the_training_tiles_valid_pixels(data):
    pixels = []
    for k in data.split.train:
        values, mask, _ = tileset.read_tile(data.tiles.tiles[k])
        pixels.append(values[:, mask])
    stacked = np.concatenate(pixels, axis=1)
    assert data.spec.bands == tuple(BANDS)
    assert data.spec.mean == pytest.approx(stacked.mean(axis=1))
    assert data.spec.std == pytest.approx(stacked.std(axis=1), rel=1e-4)


def test_augmentation_turns_image_and_labels_together(data):
    torch.manual_seed(0)
    plain = data.plain(data.split.train)
    seen = set()
    for _ in range(40):
        image, target = data.train_ds[1]
        original, expected = plain[1]
        candidates = [
            (torch.rot90(original, k, (-2, -1)), torch.rot90(expected, k, (-2, -1)))
            for k in range(4)
        ]
        candidates += [(a.flip(-1), b.flip(-1)) for a, b in candidates]
        matches = [
            n for n, (a, b) in enumerate(candidates)
            if torch.equal(a, image) and torch.equal(b, target)
        ]  # fmt: skip
        assert matches
        seen.update(matches)
    assert len(seen) == 8


def test_a_chip_is_a_random_part_in_training_and_the_middle_in_validation(tiles):
    data = prepare(tiles, class_mapping=MAPPING, chip_size=32, augment=False)
    assert data.train_ds[0][0].shape == (6, 32, 32)
    whole = prepare(tiles, class_mapping=MAPPING).valid_ds[0][0]
    assert torch.equal(data.valid_ds[0][0], whole[:, 16:48, 16:48])
    assert data.spec.tile_size == 32


def test_tiles_beyond_the_memory_kept_for_them_are_read_again(tiles, monkeypatch):
    monkeypatch.setattr(dataset, "CACHE_BYTES", 150_000)
    data = prepare(tiles, class_mapping=MAPPING)
    for _ in range(2):
        assert len(list(data.train_ds.arrays())) == len(data.split.train)
    assert 0 < len(data.train_ds._cache) < len(data.split.train)


def test_a_batch_is_never_larger_than_the_set(tiles):
    data = prepare(tiles, class_mapping=MAPPING, batch_size=500)
    assert len(data.train_loader()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val_split_pct": 1.0}, "between 0 and 1"),
        ({"batch_size": 0}, "at least 1"),
        ({"split": "even"}, "ground, random"),
        ({"chip_size": 65}, "tile size 64, got 65"),
    ],
)
def test_options_out_of_range_are_refused(tiles, options, message):
    with pytest.raises(ParameterError, match=message):
        prepare(tiles, class_mapping=MAPPING, **options)


def test_a_label_outside_the_mapping_is_refused(tiles):
    with pytest.raises(ClassError, match=r"got .*2"):
        prepare(tiles, class_mapping={1: "to crop"})
