"""What `prepare_data` reads: several folders, chosen bands, other sizes, splits."""

import hashlib
import json

import numpy as np
import pytest
import torch

from cutting import cut_tiles
from landshift import classify_pixels, tileset
from landshift.classes import IGNORE_INDEX, ClassScheme
from landshift.errors import BandError, ParameterError, SplitError, TileSetError, TrainingError
from landshift.evaluation.models import evaluate_package
from landshift.learn import UnetClassifier, prepare_data
from landshift.training import batch_size as batch_sizes
from scenes import BANDS, MAPPING, striped_scene, write


def cut(folder, *, size=128, seed=1, origin=(700_000.0, 4_000_000.0), change=None, **options):
    """A tile set of a striped scene of its own, on ground of its own."""
    folder.mkdir(parents=True)
    composite, labels = striped_scene(size, seed)
    if change is not None:
        composite, labels = change(composite, labels)
    bands = options.pop("bands", BANDS[: len(composite)])
    scheme = ClassScheme.from_mapping(options.pop("mapping", MAPPING))
    image = write(folder / "c.tif", composite, nodata=0, bands=bands, origin=origin)
    change_map = write(folder / "l.tif", labels, nodata=0, origin=origin)
    options = {"tile_size": 32, "stride": 32, **options}
    cut_tiles([image], [change_map], folder / "tiles", classes=scheme, **options)
    return folder / "tiles"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two sets of other values and other sizes, the second half without data."""

    def darker(composite, labels):
        composite = composite // 3
        composite[:, :40] = 0
        return composite, labels

    folder = tmp_path_factory.mktemp("pair")
    east = (900_000.0, 4_000_000.0)
    return cut(folder / "a"), cut(folder / "b", size=64, seed=2, origin=east, change=darker)


def small(data, **options):
    return UnetClassifier(data, backbone="resnet10t", pretrained_backbone=False, **options)


def pixels_of(data, indices):
    values = []
    for k in indices:
        image, mask, _ = tileset.read_tile(data.training.tiles.tiles[k])
        values.append(image[:, mask].astype(np.float64))
    return np.concatenate(values, axis=1)


def test_folders_are_joined_and_their_statistics_pooled_by_pixels(pair):
    data = prepare_data(list(pair), batch_size=2, val_split_pct=0.2)
    counts = [len(prepare_data(p).training.tiles.tiles) for p in pair]
    assert len(data.training.tiles.tiles) == sum(counts)
    pixels = pixels_of(data, data.training.split.train)
    spec = data.training.spec
    np.testing.assert_allclose(spec.mean, pixels.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(spec.std, pixels.std(axis=1, ddof=1), rtol=1e-12)
    assert spec.minimum == tuple(pixels.min(axis=1))
    means = [np.mean(prepare_data(p).training.spec.mean) for p in pair]
    assert np.mean(spec.mean) != pytest.approx(np.mean(means), rel=0.05)  # no mean of means
    both = sum(counts), data.training.tiles.class_pixels()
    assert both[1] == {
        v: sum(tileset.read(p).class_pixels().get(v, 0) for p in pair) for v in both[1]
    }
    assert str(pair[0]) in repr(data)
    assert str(pair[1]) in repr(data)
    assert data.path == pair[0]


def test_a_model_of_several_folders_says_so(pair, tmp_path, caplog):
    data = prepare_data(pair, batch_size=2, val_split_pct=0.2, working_dir=tmp_path)
    model = small(data)
    model.fit(1, 1e-3, max_steps=1, checkpoint="all", tensorboard=False)
    path = model.save("both")
    assert path == tmp_path / "models" / "both" / "both.emd"
    assert (tmp_path / "models" / "checkpoints" / "epoch_0").is_dir()
    assert not (pair[0] / "models").exists()
    package = json.loads((path.parent / "landshift.json").read_text())
    assert package["training"]["tile_sets"] == ["tiles", "tiles"]
    assert package["tiles"]["name"] == "tiles + tiles"
    digests = "".join(tileset.digest(tileset.read(p)) for p in pair)

    assert package["tiles"]["sha256"] == hashlib.sha256(digests.encode()).hexdigest()
    assert len(package["tiles"]["sources"]) == 4
    evaluate_package(path, pair[0], beside=False)
    assert "trained on several tile sets (tiles, tiles), split together" in caplog.text
    model.load("both")


def test_no_ground_is_on_both_sides_whichever_folder_it_is_from(tmp_path):
    sets = [cut(tmp_path / name, seed=k, stride=16) for k, name in enumerate("ab")]  # same ground
    for options in ({}, {"stratify": True}):
        data = prepare_data(sets, val_split_pct=0.2, **options)
        split = data.training.split
        assert len(tileset.leaking_pairs(data.training.tiles, split)) == 0
        sides = {k < len(data.training.tiles.tiles) / 2 for k in split.valid}
        assert sides == {True, False}  # a block of ground has the tiles of both


def test_stratified_sides_are_more_alike(tmp_path):
    """Change lies at the right alone, so that most splits give one side little of it."""

    def lopsided(composite, labels):
        labels[:, :160] = 2
        return composite, labels

    def spread(data):
        tiles, split = data.training.tiles, data.training.split
        assert len(tileset.leaking_pairs(tiles, split)) == 0
        own, everywhere = tiles.class_pixels(split.valid), tiles.class_pixels()
        shares = [own.get(v, 0) / everywhere[v] for v in tiles.scheme.values]
        assert 0.1 < len(split.valid) / len(tiles.tiles) < 0.3
        return max(shares) - min(shares)

    folder = cut(tmp_path / "s", size=256, seed=4, change=lopsided)
    plain, even = (
        [spread(prepare_data(folder, None, None, 0.2, seed=k, stratify=s)) for k in range(4)]
        for s in (False, True)
    )
    assert max(even) < 0.05
    assert np.mean(plain) > 2 * np.mean(even)
    with pytest.raises(ParameterError, match="chooses among splits by ground, got True with rand"):
        prepare_data(folder, split="random", stratify=True)


def test_a_set_of_its_own_validates(pair, tmp_path, caplog):
    data = prepare_data(pair[0], valid_path=pair[1])
    split = data.training.split
    assert (len(split.train), len(split.valid), split.dropped) == (16, 2, ())
    pixels = pixels_of(data, split.train)
    np.testing.assert_allclose(data.training.spec.mean, pixels.mean(axis=1))
    small(data).fit(1, 1e-3, max_steps=1)
    near = cut(tmp_path / "near", size=64, seed=3)  # the first corner of the first set
    data = prepare_data(pair[0], valid_path=near)
    assert len(data.training.split.dropped) == 4
    assert len(tileset.leaking_pairs(data.training.tiles, data.training.split)) == 0
    assert "4 of 16 training tiles share ground with validation tiles" in caplog.text
    with pytest.raises(SplitError, match="must lie apart from the validation tiles, got 4 that"):
        prepare_data(near, valid_path=pair[0])
    with pytest.raises(ParameterError, match="`valid_path` decides what validates"):
        prepare_data(pair[0], valid_path=near, val_split_pct=0.2)
    with pytest.raises(TileSetError, match="Each tile set must be given once"):
        prepare_data(pair[0], valid_path=pair[0])


def test_folders_that_do_not_fit_are_one_line(pair, tmp_path):
    three = cut(tmp_path / "three", change=lambda c, la: (c[:3], la))
    named = cut(tmp_path / "named", bands=[f"b{k}" for k in range(6)])
    floats = cut(tmp_path / "floats", change=lambda c, la: (c.astype(np.float32), la))
    large = cut(tmp_path / "large", tile_size=64, stride=64)
    other = cut(tmp_path / "other", mapping={1: "to forest", 2: "No change"})
    for folder, message in (
        (three, "the same number of bands, got 6 in .* and 3 in .*three"),
        (named, "the same names of bands, got before:red, .* and b0, b1"),
        (floats, "the same pixel type, got uint16 in .* and float32"),
        (large, "the same tile size, got 32 x 32 pixels in .* and 64 x 64 pixels"),
        (other, r"the same classes, got .*'to crop'.*; cut them alike, or pass `class_mapping`"),
        (pair[0], "Each tile set must be given once"),
    ):
        with pytest.raises(TileSetError, match=message) as caught:
            prepare_data([pair[0], folder])
        assert "\n" not in str(caught.value)
    assert prepare_data([pair[0], other], class_mapping=MAPPING).classes == list(MAPPING.values())
    with pytest.raises(ParameterError, match=r"or a list of them, got \[\]"):
        prepare_data([])


def test_bands_are_extracted_in_training_and_in_maps(pair, tmp_path):
    data = prepare_data(pair[0], batch_size=2, extract_bands=["after:green", 0])
    spec = data.training.spec
    assert spec.bands == ("after:green", "before:red")
    assert spec.positions == (5, 1)
    whole = prepare_data(pair[0]).training
    assert spec.mean == (whole.spec.mean[4], whole.spec.mean[0])
    image = data.train_ds.read(0)[0]
    everything = whole.train_ds.read(0)[0]
    assert np.array_equal(image, everything[[4, 0]])
    model = small(data)
    model.fit(1, 1e-3, max_steps=1)
    path = model.save(tmp_path / "m")
    again = evaluate_package(path, pair[0], beside=False)
    assert again.matrix.tolist() == model.evaluate().matrix.tolist()
    assert json.loads(path.read_text())["ExtractBands"] == [4, 0]
    nameless = write(tmp_path / "n.tif", striped_scene(64)[0], nodata=0)

    assert classify_pixels(nameless, path, tmp_path / "map.tif", engine="torch").is_file()
    for bands, match in (
        ([6], "by position from 0, got \\[6\\]"), (["red"], "'before:red', .* got \\['red'\\]"),
        ([0, 0], "must be different ones"), ([], "got \\[\\]"), ([-1], "got \\[-1\\]"),
    ):  # fmt: skip
        with pytest.raises(BandError, match=match):
            prepare_data(pair[0], extract_bands=bands)
    with pytest.raises(ParameterError, match="must be a list of names or positions, got 'red'"):
        prepare_data(pair[0], extract_bands="red")


def test_tiles_are_resized_with_their_labels(pair, tmp_path, caplog):
    data = prepare_data(pair[0], batch_size=2, resize_to=16)
    assert "Tiles are resized from 32 to 16 pixels: run the model at 2 times" in caplog.text
    assert data.chip_size == 16
    assert data.training.spec.cell_size == 60
    image, mask, targets, _ = data.train_ds.read(0)
    whole, _, labels, _ = prepare_data(pair[0]).train_ds.read(0)
    assert image.shape == (6, 16, 16)
    blocks = whole.reshape(6, 16, 2, 16, 2).mean((2, 4))
    inner = slice(1, -1)  # the filter reaches two pixels further
    assert np.abs(image - blocks)[:, inner, inner].mean() < 60
    assert image.mean() == pytest.approx(whole.mean(), rel=0.01)
    assert np.array_equal(targets[0], labels[0][1::2, 1::2]) or np.array_equal(
        targets[0], labels[0][::2, ::2]
    )
    model = small(data)
    model.fit(1, 1e-3, max_steps=1)
    assert model.evaluate().matrix.sum() == len(data.valid_ds) * 16 * 16
    path = model.save(tmp_path / "m")
    assert json.loads((path.parent / "landshift.json").read_text())["training"]["resize_to"] == 16
    again = evaluate_package(path, pair[0], beside=False)
    assert again.matrix.tolist() == model.evaluate().matrix.tolist()
    larger = prepare_data(pair[1], resize_to=64, val_split_pct=0.25)
    for ds in (larger.train_ds, larger.valid_ds):
        for position in range(len(ds)):
            _, mask, targets, _ = ds.read(position)
            assert (targets[0][~mask] == IGNORE_INDEX).all()
    with pytest.raises(ParameterError, match="`resize_to` must lie between 16 and 8192"):
        prepare_data(pair[0], resize_to=4)
    with pytest.raises(ParameterError, match="`resize_to` must be a whole number"):
        prepare_data(pair[0], resize_to=16.5)


def test_chips_beyond_the_tile_are_whole_tiles(pair, caplog):
    data = prepare_data(pair[0], chip_size=224)
    assert data.chip_size == 32
    assert (
        "`chip_size` 224 is more than the tiles have: samples are whole tiles of 32" in caplog.text
    )
    assert prepare_data(pair[0], chip_size=48, resize_to=64).chip_size == 48
    with pytest.raises(ParameterError, match="`chip_size` must be at least 1, got 0"):
        prepare_data(pair[0], chip_size=0)


def test_pictures_show_the_bands_that_are_asked_for(pair):
    data = prepare_data(pair[0], rgb_bands=["blue"])

    def caption(figure):
        return " ".join(
            t.get_text() for a in figure.axes for t in (a.title, a.xaxis.label, *a.texts)
        )

    assert "blue" in caption(data.batch_figure(1))
    assert "true colour" not in caption(data.batch_figure(1))
    assert "green" in caption(data.batch_figure(1, rgb_bands=[1]))
    data.show_batch(1, rgb_bands=[2, 1, 0])
    with pytest.raises(BandError):
        data.show_batch(1, rgb_bands=[9])
    for wrong in ("red", [-1], [0.5]):
        with pytest.raises(ParameterError, match="`rgb_bands` must be a list of names or pos"):
            data.show_batch(rgb_bands=wrong)


def test_the_batch_that_fits_is_measured(pair, monkeypatch, capsys):
    data = prepare_data(pair[0], batch_size=None)
    assert data.batch_size is None
    model = small(data)
    tiles = len(data.training.split.train)
    assert model.data.batch_size == 2 ** int(np.log2(max(2, tiles // 4)))
    before = small(prepare_data(pair[0])).model.state_dict()
    after = model.model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert "samples fit the memory" in capsys.readouterr().out
    monkeypatch.setattr(batch_sizes, "_PART", 0.1)  # many tiles, in effect
    monkeypatch.setattr(batch_sizes, "_free_bytes", lambda: 8 << 20)
    fewer = small(data).data.batch_size
    assert 1 <= fewer < batch_sizes.LARGEST
    monkeypatch.setattr(batch_sizes, "_free_bytes", lambda: 1 << 40)
    assert small(data).data.batch_size == batch_sizes.LARGEST

    def never(make, failed):
        return 0

    monkeypatch.setattr(batch_sizes, "largest_batch", never)
    with pytest.raises(TrainingError, match="got none with two samples of 32 px"):
        small(data)
