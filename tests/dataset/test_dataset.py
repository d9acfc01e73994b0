import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, get_worker_info

from landshift import tileset
from landshift.classes import IGNORE_INDEX
from landshift.dataset import DataOptions, Draws, TrainingTiles, prepare, samples
from landshift.errors import ClassError, ParameterError
from scenes import BANDS, MAPPING


@pytest.fixture(scope="module")
def data(tiles):
    return prepare(tiles, reading=TrainingTiles(MAPPING, batch_size=4))


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


def test_a_draw_decides_where_a_sample_is_cropped(tiles):
    data = prepare(tiles, reading=TrainingTiles(MAPPING, chip_size=16))
    whole = data.tiles.tiles[data.split.train[2]]
    values, _, _ = tileset.read_tile(whole)
    seen = set()
    for position, number in [(2, 0), (2, 5), (2, 49 * 49 - 1), (2, 5 + 49 * 7)]:
        rows, columns = number % 49, number // 49 % 49
        image, _ = data.train_ds[position, number]
        assert np.array_equal(image, values[:, rows : rows + 16, columns : columns + 16])
        seen.add((rows, columns))
    assert (48, 48) in seen


def test_an_epoch_can_be_drawn_again_and_every_tile_is_in_it_once():
    draws = Draws(np.ones(40), seed=1, batch_size=4)
    first = list(draws)
    assert sorted(position for position, _ in first) == list(range(40))
    draws.epoch = 1
    assert list(draws) != first
    draws.epoch = 0
    assert list(draws) == first


def test_processes_share_an_epoch_without_meeting():
    whole = [p for p, _ in Draws(np.ones(40), seed=1, batch_size=4)]
    parts = [
        [p for p, _ in Draws(np.ones(40), seed=1, batch_size=4, process=k, processes=3)]
        for k in range(3)
    ]
    assert all(len(part) == 12 for part in parts)
    assert sorted(p for part in parts for p in part) == sorted(whole[:36])


def test_samples_are_drawn_as_often_as_their_factors_say():
    factors = np.array([1.0, 1.0, 2.5, 1.0, 1.5])
    counts = []
    draws = Draws(factors, seed=0, batch_size=1)
    for epoch in range(200):
        draws.epoch = epoch
        counts.append(np.bincount([p for p, _ in draws], minlength=5))
    assert len(draws) == 7
    assert np.mean(counts, axis=0) == pytest.approx(factors, abs=0.1)
    assert set(np.array(counts)[:, 0]) == {1}
    assert set(np.array(counts)[:, 2]) == {2, 3}


def test_a_chip_is_a_random_part_in_training_and_the_middle_in_validation(tiles):
    data = prepare(tiles, DataOptions(augment=False), TrainingTiles(MAPPING, chip_size=32))
    assert data.train_ds[0][0].shape == (6, 32, 32)
    whole = prepare(tiles, reading=TrainingTiles(MAPPING)).valid_ds[0][0]
    assert torch.equal(data.valid_ds[0][0], whole[:, 16:48, 16:48])
    assert data.spec.tile_size == 32


def test_tiles_beyond_the_memory_kept_for_them_are_read_again(tiles, monkeypatch):
    monkeypatch.setattr(samples, "CACHE_BYTES", 150_000)
    data = prepare(tiles, reading=TrainingTiles(MAPPING))
    for _ in range(2):
        assert len(list(data.train_ds.arrays())) == len(data.split.train)
    assert 0 < len(data.train_ds._cache) < len(data.split.train)


def _held(_):
    return len(get_worker_info().dataset._cache)


def test_processes_that_load_tiles_share_the_memory_kept_for_them(tiles, monkeypatch):
    monkeypatch.setattr(samples, "CACHE_BYTES", 4 * (6 * 2 + 4) * 64 * 64)  # four tiles
    tile_ds = prepare(tiles, reading=TrainingTiles(MAPPING)).train_ds
    loader = DataLoader(tile_ds, batch_size=1, num_workers=2, collate_fn=_held)
    assert max(loader) == 2


def test_a_batch_is_never_larger_than_the_set(tiles):
    data = prepare(tiles, reading=TrainingTiles(MAPPING, batch_size=500))
    assert len(data.train_loader()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (lambda: (DataOptions(val_split_pct=1.0),), "`val_split_pct` must lie between 0 and 1"),
        (lambda: (DataOptions(split="even"),), "`split` must be one of ground, random"),
        (lambda: (DataOptions(ignore_classes="3,wood"),), "must be numbers such as 3,7, got '3,w"),
        (lambda: (None, TrainingTiles(batch_size=0)), "at least 1"),
    ],
)
def test_options_out_of_range_are_refused(tiles, options, message):
    with pytest.raises(ParameterError, match=message):
        prepare(tiles, *options())


def test_a_label_outside_the_mapping_is_refused(tiles):
    with pytest.raises(ClassError, match=r"got .*2"):
        prepare(tiles, reading=TrainingTiles({1: "to crop"}))


def test_sensor_and_units_are_stated_once_or_for_each_band(tiles):
    units = ["a", None, "b", "a", None, "b"]
    spec = prepare(tiles, reading=TrainingTiles(sensor="ETM+", units=units)).spec
    assert spec.band_sensors == ("ETM+",) * 6
    assert spec.band_units == ("a", None, "b", "a", None, "b")
    assert prepare(tiles).spec.band_sensors == (None,) * 6
    with pytest.raises(
        ParameterError, match="`units` must be stated once, or for each of the 6 bands"
    ):
        prepare(tiles, reading=TrainingTiles(units=["a"]))


def test_a_batch_read_on_all_cores_is_that_of_one_by_one(tiles):
    tile_ds = prepare(tiles, reading=TrainingTiles(MAPPING, chip_size=32)).train_ds
    draws = [(k, 17 * k + 3) for k in (5, 0, 7, 5)]
    together = tile_ds.__getitems__(draws)
    assert len(together) == len(draws)
    for sample, draw in zip(together, draws, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(sample, tile_ds[draw], strict=True))
